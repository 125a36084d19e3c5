/* signalbox-edge: flags and wiring. */
#include "agent/localsock.h"
#include "agent/shell.h"
#include "core/error.h"
#include "core/fileio.h"
#include "core/log.h"
#include "core/notify.h"
#include "dcdn/edge.h"
#include "dcdn/hold.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

static struct {
    char *name, *cluster, **servers, *ca, *token_file, *state, *haproxy_socket, *master_socket, *listen, *socket;
    gboolean render_only, version, verbose;
    gint hold_s, hold_stage_s;
} flags = {.hold_s = HOLD_US / G_USEC_PER_SEC, .hold_stage_s = HOLD_STAGE_US / G_USEC_PER_SEC};

static const GOptionEntry entries[] = {
    {"name", 0, 0, G_OPTION_ARG_STRING, &flags.name, "name of this edge in the inventory", "NAME"},
    {"cluster", 0, 0, G_OPTION_ARG_STRING, &flags.cluster, "cluster whose tables it obeys", "NAME"},
    {"server", 0, 0, G_OPTION_ARG_STRING_ARRAY, &flags.servers, "control server, agents' listener; may be repeated",
     "URL"},
    {"ca", 0, 0, G_OPTION_ARG_FILENAME, &flags.ca, "certificates that servers are checked with (PEM)", "FILE"},
    {"token-file", 0, 0, G_OPTION_ARG_FILENAME, &flags.token_file, "bearer token of this edge", "FILE"},
    {"state", 0, 0, G_OPTION_ARG_FILENAME, &flags.state,
     "folder of last-good, maps and haproxy.cfg (/var/lib/signalbox-edge)", "DIR"},
    {"haproxy-socket", 0, 0, G_OPTION_ARG_FILENAME, &flags.haproxy_socket, "HAProxy's stats socket (DIR/haproxy.sock)",
     "PATH"},
    {"master-socket", 0, 0, G_OPTION_ARG_FILENAME, &flags.master_socket,
     "HAProxy's master socket (haproxy -W -S PATH), for reloads when the inventory changes", "PATH"},
    {"listen", 0, 0, G_OPTION_ARG_STRING, &flags.listen, "where HAProxy is to listen (0.0.0.0:80)", "ADDR:PORT"},
    {"socket", 0, 0, G_OPTION_ARG_FILENAME, &flags.socket, "local socket: write `status`, read JSON (DIR/edge.sock)",
     "PATH"},
    {"hold", 0, 0, G_OPTION_ARG_INT, &flags.hold_s, "how long a room that failed gets no users back (60)", "SECONDS"},
    {"hold-stage", 0, 0, G_OPTION_ARG_INT, &flags.hold_stage_s, "then a tenth returns, so far apart (5)", "SECONDS"},
    {"render-only", 0, 0, G_OPTION_ARG_NONE, &flags.render_only, "write haproxy.cfg and maps from last-good, and end",
     NULL},
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

static json_t *on_local(void *data, const char *line)
{
    return strcmp(line, "status") == 0 ? shell_status(data) : NULL;
}

static bool parse_flags(int argc, char **argv, GError **error)
{
    g_autoptr(GOptionContext) context = g_option_context_new("- the agent of an edge, beside its HAProxy");
    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse(context, &argc, &argv, error))
        return false;
    if (flags.version)
        return true;
    if (argc > 1) {
        g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "unexpected argument '%s'; --help lists all", argv[1]);
        return false;
    }
    if (flags.name == NULL || flags.cluster == NULL) {
        g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "--name and --cluster are needed; --help lists all");
        return false;
    }
    flags.state = flags.state != NULL ? flags.state : g_strdup("/var/lib/signalbox-edge");
    flags.listen = flags.listen != NULL ? flags.listen : g_strdup("0.0.0.0:80");
    if (flags.haproxy_socket == NULL)
        flags.haproxy_socket = g_build_filename(flags.state, "haproxy.sock", NULL);
    if (flags.socket == NULL)
        flags.socket = g_build_filename(flags.state, "edge.sock", NULL);
    return true;
}

static bool run(const struct edge_settings *settings, GError **error)
{
    static const char *const none[] = {NULL};
    g_autofree char *token = NULL;
    if (flags.token_file != NULL && (token = file_read(flags.token_file, 4096, NULL, error)) == NULL)
        return false;
    if (token != NULL)
        g_strstrip(token);
    struct shell_config config = {
        .cluster = flags.cluster,
        .link = {flags.name, flags.servers != NULL ? (const char *const *)flags.servers : none, flags.ca, token},
        .state_dir = flags.state,
    };
    struct loop *loop = loop_new(error);
    if (loop == NULL)
        return false;
    struct edge *edge = edge_new(loop, settings);
    struct actuator actuator = edge_actuator(edge);
    struct shell *shell = shell_new(loop, &config, &actuator, error);
    struct localsock *sock = shell != NULL ? localsock_new(loop, flags.socket, on_local, shell, error) : NULL;
    bool ok = sock != NULL;
    if (ok) {
        edge_set_shell(edge, shell);
        stop_loop = loop;
        signal(SIGTERM, on_signal);
        signal(SIGINT, on_signal);
        signal(SIGPIPE, SIG_IGN);
        log_info("edge agent is up", "name=%s cluster=%s state=%s", flags.name, flags.cluster, flags.state);
        shell_start(shell);
        notify("READY=1");
        struct notify_watchdog *watchdog = notify_watchdog_new(loop);
        loop_run(loop);
        notify_watchdog_free(watchdog);
        notify("STOPPING=1");
        log_info("edge agent ends; HAProxy serves on", "name=%s", flags.name);
    }
    localsock_free(sock);
    shell_free(shell);
    edge_free(edge);
    loop_free(loop);
    return ok;
}

int main(int argc, char **argv)
{
    g_autoptr(GError) error = NULL;
    if (!parse_flags(argc, argv, &error)) {
        fprintf(stderr, "signalbox-edge: %s\n", error->message);
        return 2;
    }
    if (flags.version) {
        puts("signalbox-edge " SIGNALBOX_VERSION);
        return 0;
    }
    if (flags.verbose)
        log_set_level(LOG_LEVEL_DEBUG);
    struct edge_settings settings = {flags.name,
                                     flags.cluster,
                                     flags.state,
                                     flags.listen,
                                     flags.haproxy_socket,
                                     flags.master_socket,
                                     flags.hold_s * G_USEC_PER_SEC,
                                     flags.hold_stage_s * G_USEC_PER_SEC};
    if (!edge_settings_check(&settings, &error) ||
        !(flags.render_only ? edge_render_files(&settings, &error) : run(&settings, &error))) {
        fprintf(stderr, "signalbox-edge: %s\n", error->message);
        return error->domain == SB_ERROR ? error_exit_code(error) : 1;
    }
    return 0;
}
