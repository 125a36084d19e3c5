/* signalbox-gateway: flags and wiring. */
#include "agent/localsock.h"
#include "core/error.h"
#include "core/fileio.h"
#include "core/log.h"
#include "core/sdnotify.h"
#include "gateway/gateway.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

static struct {
    char *name, *cluster, **servers, *ca, *cert, *key, *token_file, *state, *socket, *forwarder, *bird;
    gint settle_ms, settle_max_ms, calm_ms;
    gboolean version, verbose;
} flags = {.settle_ms = 1000, .settle_max_ms = 60000, .calm_ms = 30000};

static const GOptionEntry entries[] = {
    {"name", 0, 0, G_OPTION_ARG_STRING, &flags.name, "name of this gateway in the inventory", "NAME"},
    {"cluster", 0, 0, G_OPTION_ARG_STRING, &flags.cluster, "cluster whose tables it obeys", "NAME"},
    {"server", 0, 0, G_OPTION_ARG_STRING_ARRAY, &flags.servers, "agents' listener of a server; may be repeated", "URL"},
    {"ca", 0, 0, G_OPTION_ARG_FILENAME, &flags.ca, "certificates that servers are checked with (PEM)", "FILE"},
    {"cert", 0, 0, G_OPTION_ARG_FILENAME, &flags.cert, "certificate of this gateway, if servers ask (PEM)", "FILE"},
    {"key", 0, 0, G_OPTION_ARG_FILENAME, &flags.key, "its key (PEM)", "FILE"},
    {"token-file", 0, 0, G_OPTION_ARG_FILENAME, &flags.token_file, "bearer token of this gateway", "FILE"},
    {"state", 0, 0, G_OPTION_ARG_FILENAME, &flags.state, "folder of last-good (/var/lib/signalbox-gateway)", "DIR"},
    {"forwarder-socket", 0, 0, G_OPTION_ARG_FILENAME, &flags.forwarder,
     "--socket of signalbox-forwarder (DIR/forwarder.sock)", "PATH"},
    {"bird-socket", 0, 0, G_OPTION_ARG_FILENAME, &flags.bird, "BIRD's control socket (/run/bird/bird.ctl)", "PATH"},
    {"socket", 0, 0, G_OPTION_ARG_FILENAME, &flags.socket, "local socket: write `status`, read JSON (DIR/gateway.sock)",
     "PATH"},
    {"settle", 0, 0, G_OPTION_ARG_INT, &flags.settle_ms,
     "an address is announced when nothing has spoken against it for so long (1000)", "MS"},
    {"settle-max", 0, 0, G_OPTION_ARG_INT, &flags.settle_max_ms, "the same, of one that comes and goes (60000)", "MS"},
    {"calm", 0, 0, G_OPTION_ARG_INT, &flags.calm_ms, "announced for so long, it does not (30000)", "MS"},
    {"verbose", 'v', 0, G_OPTION_ARG_NONE, &flags.verbose, "log more", NULL},
    {"version", 0, 0, G_OPTION_ARG_NONE, &flags.version, "print the version", NULL},
    G_OPTION_ENTRY_NULL,
};

static struct loop *stop_loop;

static void on_signal(int number)
{
    (void)number;
    loop_stop(stop_loop);
}

static void refuse(GError **error, const char *text)
{
    g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "%s; --help lists all", text);
}

static bool parse_flags(int argc, char **argv, GError **error)
{
    g_autoptr(GOptionContext) context = g_option_context_new("- the agent of a gateway, beside its forwarder and BIRD");
    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse(context, &argc, &argv, error))
        return false;
    if (flags.version)
        return true;
    if (argc > 1)
        return refuse(error, "found an argument, expected options only"), false;
    if (flags.name == NULL || flags.cluster == NULL)
        return refuse(error, "--name and --cluster are needed"), false;
    if (flags.settle_ms < 0 || flags.settle_max_ms < flags.settle_ms || flags.calm_ms < 0)
        return refuse(error, "expected --settle and --calm of 0 or more, --settle-max no less than --settle"), false;
    flags.state = flags.state != NULL ? flags.state : g_strdup("/var/lib/signalbox-gateway");
    flags.bird = flags.bird != NULL ? flags.bird : g_strdup("/run/bird/bird.ctl");
    if (flags.forwarder == NULL)
        flags.forwarder = g_build_filename(flags.state, "forwarder.sock", NULL);
    if (flags.socket == NULL)
        flags.socket = g_build_filename(flags.state, "gateway.sock", NULL);
    return true;
}

/* Everything is there: until it is stopped. */
static void serve(struct loop *loop, struct shell *shell)
{
    stop_loop = loop;
    signal(SIGTERM, on_signal);
    signal(SIGINT, on_signal);
    signal(SIGPIPE, SIG_IGN);
    log_info("gateway agent is up", "name=%s cluster=%s state=%s", flags.name, flags.cluster, flags.state);
    shell_start(shell);
    notify("READY=1");
    struct notify_watchdog *watchdog = notify_watchdog_new(loop);
    loop_run(loop);
    notify_watchdog_free(watchdog);
    notify("STOPPING=1");
    log_info("gateway agent ends; forwarder and BIRD go on", "name=%s", flags.name);
}

static bool run(GError **error)
{
    static const char *const none[] = {NULL};
    g_autofree char *token = NULL;
    if (flags.token_file != NULL && (token = file_read(flags.token_file, 4096, NULL, error)) == NULL)
        return false;
    if (token != NULL)
        g_strstrip(token);
    const char *const *servers = flags.servers != NULL ? (const char *const *)flags.servers : none;
    struct shell_config config = {.cluster = flags.cluster,
                                  .link = {flags.name, servers, flags.ca, flags.cert, flags.key, token},
                                  .state_dir = flags.state};
    struct gateway_settings settings = {.forwarder_socket = flags.forwarder,
                                        .bird_socket = flags.bird,
                                        .limits = {(int64_t)flags.settle_ms * 1000, (int64_t)flags.settle_max_ms * 1000,
                                                   (int64_t)flags.calm_ms * 1000, 1}};
    struct loop *loop = loop_new(error);
    if (loop == NULL)
        return false;
    struct gateway *gateway = gateway_new(loop, &settings);
    struct actuator actuator = gateway_actuator(gateway);
    struct shell *shell = shell_new(loop, &config, &actuator, error);
    struct localsock *sock = shell != NULL ? localsock_new(loop, flags.socket, shell_command, shell, error) : NULL;
    bool ok = sock != NULL;
    if (ok) {
        gateway_set_shell(gateway, shell);
        serve(loop, shell);
    }
    localsock_free(sock);
    shell_free(shell);
    gateway_free(gateway);
    loop_free(loop);
    return ok;
}

int main(int argc, char **argv)
{
    g_autoptr(GError) error = NULL;
    if (!parse_flags(argc, argv, &error)) {
        fprintf(stderr, "signalbox-gateway: %s\n", error->message);
        return 2;
    }
    if (flags.version) {
        puts("signalbox-gateway " SIGNALBOX_VERSION);
        return 0;
    }
    if (flags.verbose)
        log_set_level(LOG_LEVEL_DEBUG);
    if (!run(&error)) {
        fprintf(stderr, "signalbox-gateway: %s\n", error->message);
        return error->domain == SB_ERROR ? error_exit_code(error) : 1;
    }
    return 0;
}
