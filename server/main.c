/* signalboxd: the control server. Flags and wiring; what it does is in engine/, store/ and api/. */
#include "core/error.h"
#include "core/log.h"
#include "core/sdnotify.h"
#include "server/api/api.h"
#include "server/config.h"
#include "server/engine/executor.h"

#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool restore_kept(void *data, const struct journal_entry *entry, GError **error)
{
    const struct api_kept *kept = data;
    if (strcmp(entry->kind, "token") == 0)
        return tokens_restore(kept->tokens, entry, error);
    return strcmp(entry->kind, "session") == 0 ? sessions_restore(kept->sessions, entry, error)
                                               : answers_restore(kept->answers, entry, error);
}

static struct executor *start_executor(const struct config *config, struct api_kept *kept, GError **error)
{
    struct executor_config executor_config = {
        .cluster = config->cluster,
        .state_dir = config->state,
        .store_url = config->store,
        .keys_dir = config->keys,
        .call_allow = config->call_allow,
        .runbooks_dir = config->runbooks,
        .node = config->node_number,
        .ballast_size = config->ballast_size,
        .record_size = config->record_size,
        .record_us = config->record_us,
        .restore = restore_kept,
        .restore_data = kept,
    };
    struct executor *executor = executor_new(&executor_config, error);
    if (executor != NULL && !executor_start(executor, error)) {
        executor_free(executor);
        return NULL;
    }
    return executor;
}

static struct api *start_api(const struct config *config, struct executor *executor, const struct api_kept *kept,
                             GError **error)
{
    struct api_config api_config = {
        .listen = config->listen_endpoint,
        .agents_listen = config->agents_endpoint,
        .socket = config->socket,
        .tls = {config->tls_cert, config->tls_key, config->agents_ca, config->agents_revoked},
    };
    return api_new(&api_config, executor, kept, error);
}

static void say_ready(const struct config *config, struct tokens *tokens)
{
    if (tokens_count(tokens) == 0)
        log_info("there is no token yet; the first is made on this machine with this command",
                 "command=\"signalbox --socket %s token create --name admin --role admin\"", config->socket);
    log_info("ready", "cluster=%s listen=%s agents_listen=%s socket=%s tls=%s", config->cluster, config->listen,
             config->agents_listen, config->socket, config->tls_cert != NULL ? "yes" : "no");
    notify("READY=1");
}

/* From start to SIGTERM or SIGINT. */
static bool serve(const struct config *config, const sigset_t *signals, GError **error)
{
    sb_auto(tokens) tokens = tokens_new();
    sb_auto(sessions) sessions = sessions_new();
    sb_auto(answers) answers = answers_new();
    struct api_kept kept = {tokens, sessions, answers};
    struct executor *executor = start_executor(config, &kept, error);
    if (executor == NULL)
        return false;
    struct api *api = start_api(config, executor, &kept, error);
    if (api != NULL) {
        int number = 0;
        say_ready(config, tokens);
        sigwait(signals, &number);
        notify("STOPPING=1");
        log_info("ending; what runs goes on after the next start", "signal=%d", number);
    }
    bool ok = api != NULL;
    api_free(api);
    executor_free(executor);
    return ok;
}

int main(int argc, char **argv)
{
    g_autoptr(GError) error = NULL;
    struct config config;
    sigset_t signals;
    /* Before the first thread, so that all threads leave the signals to sigwait. */
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN);
    if (sodium_init() < 0)
        return EXIT_FAILURE;
    enum config_result result = config_load(&config, argc, argv, &error);
    int code = EXIT_SUCCESS;
    if (result == CONFIG_WRONG) {
        fprintf(stderr, "signalboxd: %s\n", error->message);
        code = 2;
    } else if (result == CONFIG_RUN && config.check_only) {
        puts("the configuration is sound");
    } else if (result == CONFIG_RUN) {
        log_set_level(config.debug ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO);
        if (!serve(&config, &signals, &error)) {
            log_error("cannot start", "error=\"%s\"", error->message);
            code = EXIT_FAILURE;
        }
    }
    config_clear(&config);
    return code;
}
