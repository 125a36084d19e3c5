#include "gateway/gwoptions.h"

#include "core/error.h"

static struct gwoptions options;
static char *forwarder_socket, *bird_socket;
static gint settle_ms = 1000, settle_max_ms = 60000, calm_ms = 30000, probe_ms;

static const GOptionEntry entries[] = {
    {"name", 0, 0, G_OPTION_ARG_STRING, &options.name, "name of this gateway in the inventory", "NAME"},
    {"cluster", 0, 0, G_OPTION_ARG_STRING, &options.cluster, "cluster whose tables it obeys", "NAME"},
    {"server", 0, 0, G_OPTION_ARG_STRING_ARRAY, &options.servers, "agents' listener of a server; may be repeated",
     "URL"},
    {"ca", 0, 0, G_OPTION_ARG_FILENAME, &options.ca, "certificates that servers are checked with (PEM)", "FILE"},
    {"cert", 0, 0, G_OPTION_ARG_FILENAME, &options.cert, "certificate of this gateway, if servers ask (PEM)", "FILE"},
    {"key", 0, 0, G_OPTION_ARG_FILENAME, &options.key, "its key (PEM)", "FILE"},
    {"token-file", 0, 0, G_OPTION_ARG_FILENAME, &options.token_file, "bearer token of this gateway", "FILE"},
    {"state", 0, 0, G_OPTION_ARG_FILENAME, &options.state, "folder of last-good (/var/lib/signalbox-gateway)", "DIR"},
    {"forwarder-socket", 0, 0, G_OPTION_ARG_FILENAME, &forwarder_socket,
     "--socket of signalbox-forwarder (DIR/forwarder.sock)", "PATH"},
    {"bird-socket", 0, 0, G_OPTION_ARG_FILENAME, &bird_socket, "BIRD's control socket (/run/bird/bird.ctl)", "PATH"},
    {"socket", 0, 0, G_OPTION_ARG_FILENAME, &options.socket,
     "local socket: write `status`, read JSON (DIR/gateway.sock)", "PATH"},
    {"settle", 0, 0, G_OPTION_ARG_INT, &settle_ms,
     "an address is announced when nothing has spoken against it for so long (1000)", "MS"},
    {"settle-max", 0, 0, G_OPTION_ARG_INT, &settle_max_ms, "the same, of one that comes and goes (60000)", "MS"},
    {"calm", 0, 0, G_OPTION_ARG_INT, &calm_ms, "announced for so long, it does not (30000)", "MS"},
    {"probe", 0, 0, G_OPTION_ARG_INT, &probe_ms,
     "ask at the addresses themselves, so far apart; the room must route that to this forwarder (0: never)", "MS"},
    {"metrics", 0, 0, G_OPTION_ARG_STRING, &options.metrics,
     "answer GET /metrics (Prometheus) there, to whoever can reach it", "ADDR:PORT"},
    {"verbose", 'v', 0, G_OPTION_ARG_NONE, &options.verbose, "log more", NULL},
    {"version", 0, 0, G_OPTION_ARG_NONE, &options.version, "print the version", NULL},
    G_OPTION_ENTRY_NULL,
};

static const struct gwoptions *refuse(GError **error, const char *text)
{
    g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "%s; --help lists all", text);
    return NULL;
}

static char *in_state(const char *name)
{
    return g_build_filename(options.state, name, NULL);
}

static void set_defaults(void)
{
    static char *none[] = {NULL};
    options.servers = options.servers != NULL ? options.servers : none;
    options.state = options.state != NULL ? options.state : g_strdup("/var/lib/signalbox-gateway");
    options.socket = options.socket != NULL ? options.socket : in_state("gateway.sock");
    options.gateway = (struct gateway_settings){
        .forwarder_socket = forwarder_socket != NULL ? forwarder_socket : in_state("forwarder.sock"),
        .bird_socket = bird_socket != NULL ? bird_socket : "/run/bird/bird.ctl",
        .limits = {(int64_t)settle_ms * 1000, (int64_t)settle_max_ms * 1000, (int64_t)calm_ms * 1000, 1},
        .probe_us = (int64_t)probe_ms * 1000};
}

const struct gwoptions *gwoptions_parse(int argc, char **argv, GError **error)
{
    g_autoptr(GOptionContext) context = g_option_context_new("- the agent of a gateway, beside its forwarder and BIRD");
    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse(context, &argc, &argv, error))
        return NULL;
    if (options.version)
        return &options;
    if (argc > 1)
        return refuse(error, "found an argument, expected options only");
    if (options.name == NULL || options.cluster == NULL)
        return refuse(error, "--name and --cluster are needed");
    if (settle_ms < 0 || settle_max_ms < settle_ms || calm_ms < 0 || probe_ms < 0)
        return refuse(error, "expected --settle, --calm and --probe of 0 or more, --settle-max no less than --settle");
    set_defaults();
    return &options;
}
