/* signalbox-gateway: wiring. */
#include "agent/localsock.h"
#include "core/error.h"
#include "core/fileio.h"
#include "core/log.h"
#include "core/sdnotify.h"
#include "gateway/gwmetrics.h"
#include "gateway/gwoptions.h"
#include "gateway/keeper.h"
#include "gateway/scrape.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

static struct loop *stop_loop;

static void on_signal(int number)
{
    (void)number;
    loop_stop(stop_loop);
}

/* Everything is there: until it is stopped. */
static void serve(const struct gwoptions *options, struct loop *loop, struct shell *shell, struct keeper *keeper)
{
    stop_loop = loop;
    signal(SIGTERM, on_signal);
    signal(SIGINT, on_signal);
    signal(SIGPIPE, SIG_IGN);
    log_info("gateway agent is up", "name=%s cluster=%s state=%s", options->name, options->cluster, options->state);
    shell_start(shell);
    notify("READY=1");
    struct notify_watchdog *watchdog = notify_watchdog_new(loop);
    loop_run(loop);
    keeper_dismiss(keeper);
    notify_watchdog_free(watchdog);
    notify("STOPPING=1");
    log_info("gateway agent ends; forwarder and BIRD go on", "name=%s", options->name);
}

static char *metrics(void *data)
{
    json_t *status = shell_command(data, 0, "status");
    char *text = gwmetrics_text(status);
    json_decref(status);
    return text;
}

/* One agent at a time, then the sockets that it is asked at. */
static bool listen_and_serve(const struct gwoptions *options, struct loop *loop, struct shell *shell, GError **error)
{
    sb_auto(keeper) keeper = keeper_new(loop, options->state, options->gateway.bird_socket, error);
    if (keeper == NULL)
        return false;
    sb_auto(localsock) sock = localsock_new(loop, options->socket, shell_command, shell, error);
    if (sock == NULL)
        return false;
    sb_auto(scrape) scrape = NULL;
    if (options->metrics != NULL && (scrape = scrape_new(loop, options->metrics, metrics, shell, error)) == NULL)
        return false;
    serve(options, loop, shell, keeper);
    return true;
}

static bool run(const struct gwoptions *options, GError **error)
{
    g_autofree char *token = NULL;
    if (options->token_file != NULL && (token = file_read(options->token_file, 4096, NULL, error)) == NULL)
        return false;
    if (token != NULL)
        g_strstrip(token);
    struct shell_config config = {
        .cluster = options->cluster,
        .link = {options->name, (const char *const *)options->servers, options->ca, options->cert, options->key, token},
        .state_dir = options->state};
    struct loop *loop = loop_new(error);
    if (loop == NULL)
        return false;
    struct gateway *gateway = gateway_new(loop, &options->gateway);
    struct actuator actuator = gateway_actuator(gateway);
    struct shell *shell = shell_new(loop, &config, &actuator, error);
    gateway_set_shell(gateway, shell);
    bool ok = shell != NULL && listen_and_serve(options, loop, shell, error);
    shell_free(shell);
    gateway_free(gateway);
    loop_free(loop);
    return ok;
}

int main(int argc, char **argv)
{
    g_autoptr(GError) error = NULL;
    const struct gwoptions *options = gwoptions_parse(argc, argv, &error);
    if (options == NULL) {
        fprintf(stderr, "signalbox-gateway: %s\n", error->message);
        return 2;
    }
    if (options->version) {
        puts("signalbox-gateway " SIGNALBOX_VERSION);
        return 0;
    }
    if (options->verbose)
        log_set_level(LOG_LEVEL_DEBUG);
    if (!run(options, &error)) {
        fprintf(stderr, "signalbox-gateway: %s\n", error->message);
        return error->domain == SB_ERROR ? error_exit_code(error) : 1;
    }
    return 0;
}
