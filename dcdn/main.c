/* signalbox-edge: flags and wiring. */
#include "agent/localsock.h"
#include "agent/shell.h"
#include "core/error.h"
#include "core/fileio.h"
#include "core/log.h"
#include "core/sdnotify.h"
#include "dcdn/ctl.h"
#include "dcdn/edge.h"
#include "dcdn/hold.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

static struct edge_settings settings = {.relay_allowance = EDGE_RELAY_ALLOWANCE};
static struct {
    char **servers, *ca, *cert, *key, *token_file, *socket;
    gboolean render_only, version, verbose;
    gint hold_s, hold_stage_s;
} flags = {.hold_s = HOLD_US / G_USEC_PER_SEC, .hold_stage_s = HOLD_STAGE_US / G_USEC_PER_SEC};

static const GOptionEntry entries[] = {
    {"name", 0, 0, G_OPTION_ARG_STRING, &settings.name, "name of this edge in the inventory", "NAME"},
    {"cluster", 0, 0, G_OPTION_ARG_STRING, &settings.cluster, "cluster whose tables it obeys", "NAME"},
    {"server", 0, 0, G_OPTION_ARG_STRING_ARRAY, &flags.servers, "agents' listener of a server; may be repeated", "URL"},
    {"ca", 0, 0, G_OPTION_ARG_FILENAME, &flags.ca, "certificates that servers are checked with (PEM)", "FILE"},
    {"cert", 0, 0, G_OPTION_ARG_FILENAME, &flags.cert, "certificate of this edge, if servers ask (PEM)", "FILE"},
    {"key", 0, 0, G_OPTION_ARG_FILENAME, &flags.key, "its key (PEM)", "FILE"},
    {"token-file", 0, 0, G_OPTION_ARG_FILENAME, &flags.token_file, "bearer token of this edge", "FILE"},
    {"state", 0, 0, G_OPTION_ARG_FILENAME, &settings.state_dir,
     "folder of last-good, maps and haproxy.cfg (/var/lib/signalbox-edge)", "DIR"},
    {"haproxy-socket", 0, 0, G_OPTION_ARG_FILENAME, &settings.haproxy_socket,
     "HAProxy's stats socket (DIR/haproxy.sock)", "PATH"},
    {"master-socket", 0, 0, G_OPTION_ARG_FILENAME, &settings.master_socket, "its master socket, for reloads", "PATH"},
    {"listen", 0, 0, G_OPTION_ARG_STRING, &settings.listen, "where HAProxy is to listen (0.0.0.0:80)", "ADDR:PORT"},
    {"socket", 0, 0, G_OPTION_ARG_FILENAME, &flags.socket, "local socket: write `status`, read JSON (DIR/edge.sock)",
     "PATH"},
    {"hold", 0, 0, G_OPTION_ARG_INT, &flags.hold_s, "how long a room that failed gets no users back (60)", "SECONDS"},
    {"hold-stage", 0, 0, G_OPTION_ARG_INT, &flags.hold_stage_s, "then a tenth returns, so far apart (5)", "SECONDS"},
    {"relay-allowance", 0, 0, G_OPTION_ARG_INT, &settings.relay_allowance, "requests a second to relay (1000)", "N"},
    {"render-only", 0, 0, G_OPTION_ARG_NONE, &flags.render_only, "write haproxy.cfg and maps, and end", NULL},
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

static bool parse_flags(int argc, char **argv, GError **error)
{
    g_autoptr(GOptionContext) context = g_option_context_new("- the agent of an edge, beside its HAProxy");
    g_option_context_set_description(context, "`signalbox-edge ctl --help`: what a person can do at the agent itself.");
    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse(context, &argc, &argv, error))
        return false;
    if (flags.version)
        return true;
    if (argc > 1) {
        g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "unexpected argument '%s'; --help lists all", argv[1]);
        return false;
    }
    if (settings.name == NULL || settings.cluster == NULL) {
        g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "--name and --cluster are needed; --help lists all");
        return false;
    }
    settings.state_dir = settings.state_dir != NULL ? settings.state_dir : g_strdup("/var/lib/signalbox-edge");
    settings.listen = settings.listen != NULL ? settings.listen : g_strdup("0.0.0.0:80");
    if (settings.haproxy_socket == NULL)
        settings.haproxy_socket = g_build_filename(settings.state_dir, "haproxy.sock", NULL);
    settings.hold_us = (int64_t)flags.hold_s * G_USEC_PER_SEC;
    settings.hold_stage_us = (int64_t)flags.hold_stage_s * G_USEC_PER_SEC;
    if (flags.socket == NULL)
        flags.socket = g_build_filename(settings.state_dir, "edge.sock", NULL);
    return true;
}

static bool run(GError **error)
{
    g_autofree char *token = NULL;
    if (flags.token_file != NULL && (token = file_read(flags.token_file, 4096, NULL, error)) == NULL)
        return false;
    if (token != NULL)
        g_strstrip(token);
    struct shell_config config = {
        .cluster = settings.cluster,
        .link = {settings.name,
                 flags.servers != NULL ? (const char *const *)flags.servers : (const char *const[]){NULL}, flags.ca,
                 flags.cert, flags.key, token},
        .state_dir = settings.state_dir,
    };
    struct loop *loop = loop_new(error);
    if (loop == NULL)
        return false;
    struct edge *edge = edge_new(loop, &settings);
    struct actuator actuator = edge_actuator(edge);
    struct shell *shell = shell_new(loop, &config, &actuator, error);
    struct localsock *sock = shell != NULL ? localsock_new(loop, flags.socket, shell_command, shell, error) : NULL;
    bool ok = sock != NULL;
    if (ok) {
        edge_set_shell(edge, shell);
        stop_loop = loop;
        signal(SIGTERM, on_signal);
        signal(SIGINT, on_signal);
        signal(SIGPIPE, SIG_IGN);
        log_info("edge agent is up", "name=%s cluster=%s state=%s", settings.name, settings.cluster,
                 settings.state_dir);
        shell_start(shell);
        notify("READY=1");
        struct notify_watchdog *watchdog = notify_watchdog_new(loop);
        loop_run(loop);
        notify_watchdog_free(watchdog);
        notify("STOPPING=1");
        log_info("edge agent ends; HAProxy serves on", "name=%s", settings.name);
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
    if (argc > 1 && strcmp(argv[1], "ctl") == 0)
        return ctl_main(argc - 1, argv + 1);
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
    if (!edge_settings_check(&settings, &error) ||
        !(flags.render_only ? edge_render_files(&settings, &error) : run(&error))) {
        fprintf(stderr, "signalbox-edge: %s\n", error->message);
        return error->domain == SB_ERROR ? error_exit_code(error) : 1;
    }
    return 0;
}
