#include "server/api/api.h"

#include "core/error.h"
#include "core/log.h"
#include "core/loop.h"
#include "server/api/api_internal.h"
#include "server/api/dispatch.h"

#include <arpa/inet.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define CLOCK_US (G_USEC_PER_SEC / 4)
#define OPERATORS_MAX 512u
#define AGENTS_MAX 16384u   /* connections; each agent keeps two or three */
#define STRANGERS_MAX 2048u /* what strangers cost is bounded by this, not by how many agents fit */
#define LOCAL_MAX 64u
#define SECOND_US ((int64_t)G_USEC_PER_SEC)
#define OTHER_FILES 128u /* descriptors for all that is not a connection */
#define SOCKET_MODE 0660

/* ---- checks ---- */

bool api_check_address(const char *flag, const struct endpoint *address, bool tls, GError **error)
{
    char text[ENDPOINT_TEXT_SIZE];
    if (tls || addr_is_loopback(&address->addr))
        return true;
    endpoint_format(address, text);
    g_set_error(
        error, SB_ERROR, SB_ERROR_INVALID,
        "%s: found %s, which others can reach, without TLS; expected --tls-cert FILE --tls-key FILE beside it, or "
        "a loopback address: %s 127.0.0.1:%u",
        flag, text, flag, address->port);
    return false;
}

/* ---- threads ---- */

static void *run_loop(void *data)
{
    loop_run(data);
    return NULL;
}

static bool start_thread(struct loop *loop, const char *name, pthread_t *thread, bool *started, GError **error)
{
    int rc = pthread_create(thread, NULL, run_loop, loop);
    if (rc != 0)
        g_set_error(error, SB_ERROR, SB_ERROR_IO, "cannot start the %s's thread: %s", name, g_strerror(rc));
    *started = rc == 0;
    return *started;
}

/* ---- the clock ---- */

static void on_clock(void *data)
{
    struct api *api = data;
    int64_t now_us = loop_now_us();
    waiters_wake_due(api->waiters, now_us);
    for (int i = 0; i < LISTENERS; i++)
        if (api->listeners[i] != NULL)
            listener_reap(api->listeners[i], now_us);
    if (api->tls != NULL)
        tls_look(api->tls);
    loop_timer_arm(api->clock_timer, now_us + CLOCK_US);
}

static bool start_clock(struct api *api, GError **error)
{
    api->clock_timer = loop_timer_new(api->clock, on_clock, api);
    loop_timer_arm(api->clock_timer, loop_now_us() + CLOCK_US);
    return start_thread(api->clock, "clock", &api->clock_thread, &api->clock_started, error);
}

static void stop_clock(struct api *api)
{
    if (api->clock_started) {
        loop_stop(api->clock);
        pthread_join(api->clock_thread, NULL);
    }
    loop_timer_free(api->clock_timer);
    loop_free(api->clock);
}

/* ---- the reader ---- */

/* A verify that is under way was posted again before this, or sees in its turn that the server ends. */
static void end_reading(void *data)
{
    struct api *api = data;
    if (api->verifying != NULL)
        loop_post(api->reading, end_reading, api);
    else
        loop_stop(api->reading);
}

/* What was posted before is answered; what is long, with an error. */
static void stop_reading(struct api *api)
{
    if (api->reading_started) {
        loop_post(api->reading, end_reading, api);
        pthread_join(api->reading_thread, NULL);
    }
    loop_free(api->reading);
}

/* ---- passwords ---- */

static void end_hashing(void *data)
{
    loop_stop(data);
}

/* What was posted before is answered. */
static void stop_hashing(struct api *api)
{
    if (api->hashing_started) {
        loop_post(api->hashing, end_hashing, api->hashing);
        pthread_join(api->hashing_thread, NULL);
    }
    loop_free(api->hashing);
}

/* ---- listeners ---- */

/* Each listener's own: what happens on one takes nothing from another. Half of it may come from one address, as many
 * agents, or all operators, may come through one proxy; strangers have less than that, so that they push out each other
 * and nobody else. */
static struct listener_limits limits_for(unsigned connections_max)
{
    return (struct listener_limits){
        .connections_max = connections_max,
        .per_address_max = connections_max / 2,
        .strangers_max = MIN(connections_max / 4, STRANGERS_MAX),
        .headers_us = 5 * SECOND_US,
        .body_us = 30 * SECOND_US,
        .answer_us = 60 * SECOND_US,
        .idle_us = 60 * SECOND_US,
    };
}

/* As many descriptors as we may have; returns how many agents' connections fit. */
static unsigned raise_limit(void)
{
    struct rlimit limit = {1024, 1024};
    const rlim_t others = OPERATORS_MAX + LOCAL_MAX + OTHER_FILES;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = MIN(limit.rlim_max, others + AGENTS_MAX);
    setrlimit(RLIMIT_NOFILE, &limit);
    getrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur >= others + AGENTS_MAX)
        return AGENTS_MAX;
    unsigned fit = limit.rlim_cur > others + 64 ? (unsigned)(limit.rlim_cur - others) : 64;
    log_warning("few descriptors: fewer agents can be connected at once, the others wait",
                "limit=%lu agents_connections=%u wanted=%u", (unsigned long)limit.rlim_cur, fit, AGENTS_MAX);
    return fit;
}

static bool listen_on(struct api *api, int which, int fd, const char *name, const struct listener_limits *limits,
                      GError **error)
{
    if (fd < 0)
        return false;
    struct listener_config listener = {
        .name = name,
        .which = which,
        .fd = fd,
        .tls = which == LISTENER_LOCAL ? NULL : api->tls,
        .asks_certificates = which == LISTENER_AGENTS && api->tls != NULL && tls_asks_agents(api->tls),
        .limits = *limits,
        .local = which == LISTENER_LOCAL,
        .begin = dispatch_begin,
        .handle = dispatch_handle,
        .finish = dispatch_finish,
        .end = dispatch_end,
        .data = api,
    };
    api->listeners[which] = listener_new(&listener, error);
    return api->listeners[which] != NULL;
}

static bool listen_all(struct api *api, const struct api_config *config, GError **error)
{
    const struct listener_limits operators = limits_for(OPERATORS_MAX), agents = limits_for(raise_limit()),
                                 local = limits_for(LOCAL_MAX);
    int fds[LISTENERS] = {-1, -1, -1};
    /* All sockets before the first request is answered, so that a request never sees half a server. */
    bool ok = (fds[LISTENER_OPERATORS] = listen_tcp(&config->listen, error)) >= 0 &&
              (fds[LISTENER_AGENTS] = listen_tcp(&config->agents_listen, error)) >= 0 &&
              (fds[LISTENER_LOCAL] = listen_unix(config->socket, SOCKET_MODE, error)) >= 0;
    if (!ok) {
        for (int i = 0; i < LISTENERS; i++)
            if (fds[i] >= 0)
                close(fds[i]);
        return false;
    }
    api->socket = g_strdup(config->socket);
    return listen_on(api, LISTENER_OPERATORS, fds[0], "operators", &operators, error) &&
           listen_on(api, LISTENER_AGENTS, fds[1], "agents", &agents, error) &&
           listen_on(api, LISTENER_LOCAL, fds[2], "local", &local, error);
}

/* ---- life ---- */

static void on_publish(void *data)
{
    waiters_wake_due(((struct api *)data)->waiters, INT64_MAX);
}

struct api *api_new(const struct api_config *config, struct executor *executor, const struct api_kept *kept,
                    GError **error)
{
    bool tls = config->tls.cert != NULL;
    if (!api_check_address("--listen", &config->listen, tls, error) ||
        !api_check_address("--agents-listen", &config->agents_listen, tls, error))
        return NULL;
    struct api *api = g_new0(struct api, 1);
    api->executor = executor;
    api->tokens = kept->tokens;
    api->sessions = kept->sessions;
    api->answers = kept->answers;
    api->attempts = attempts_new();
    api->waiters = waiters_new();
    executor_on_publish(executor, on_publish, api);
    if ((!tls || (api->tls = tls_new(&config->tls, error)) != NULL) &&
        (api->reader = journal_reader_open(executor_journal_path(executor), error)) != NULL &&
        (api->reading = loop_new(error)) != NULL &&
        start_thread(api->reading, "reader", &api->reading_thread, &api->reading_started, error) &&
        (api->hashing = loop_new(error)) != NULL &&
        start_thread(api->hashing, "hasher", &api->hashing_thread, &api->hashing_started, error) &&
        (api->clock = loop_new(error)) != NULL && listen_all(api, config, error) && start_clock(api, error)) {
        atomic_store(&api->listening, true);
        return api;
    }
    api_free(api);
    return NULL;
}

/* libmicrohttpd aborts when it is stopped with a request parked, hence the order: nobody comes and nobody parks any
 * more; who is parked is answered; only then the listeners end. */
void api_free(struct api *api)
{
    if (api == NULL)
        return;
    for (int i = 0; i < LISTENERS; i++)
        if (api->listeners[i] != NULL)
            listener_quiesce(api->listeners[i]);
    atomic_store(&api->ending, true);
    executor_on_publish(api->executor, NULL, NULL);
    waiters_wake_due(api->waiters, INT64_MAX);
    executor_release(api->executor);
    stop_hashing(api);
    stop_reading(api);
    stop_clock(api);
    for (int i = 0; i < LISTENERS; i++)
        if (api->listeners[i] != NULL)
            listener_free(api->listeners[i]);
    if (api->socket != NULL)
        unlink(api->socket);
    tls_free(api->tls);
    waiters_free(api->waiters);
    attempts_free(api->attempts);
    journal_reader_close(api->reader);
    g_free(api->socket);
    g_free(api);
}
