#include "dcdn/probe.h"

#include "agent/dialogue.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

#define AT_ONCE_MAX 64
#define AGAIN_US 2000000
#define TIMEOUT_US 3000000

struct target {
    struct prober *prober;
    char *policy, *request;
    char *room; /* that answered last, "" for nobody; NULL: not probed yet */
    int64_t due_us;
    struct exchange *exchange; /* or NULL */
};

struct prober {
    struct loop *loop;
    struct sockaddr_storage edge;
    socklen_t edge_len;
    GPtrArray *targets; /* struct target *, by policy */
    unsigned under_way;
};

static void target_free(void *data)
{
    struct target *target = data;
    exchange_cancel(target->exchange);
    g_free(target->policy);
    g_free(target->request);
    g_free(target->room);
    g_free(target);
}

struct prober *prober_new(struct loop *loop, const struct endpoint *listen)
{
    static const uint8_t any[16], loopback6[16] = {[15] = 1}, loopback[4] = {127, 0, 0, 1};
    struct prober *prober = g_new0(struct prober, 1);
    struct endpoint edge = *listen;
    bool v6 = edge.addr.family == AF_INET6;
    if (memcmp(edge.addr.bytes, any, v6 ? 16 : 4) == 0)
        memcpy(edge.addr.bytes, v6 ? loopback6 : loopback, v6 ? 16 : 4);
    prober->loop = loop;
    prober->edge_len = endpoint_sockaddr(&edge, &prober->edge);
    prober->targets = g_ptr_array_new_with_free_func(target_free);
    return prober;
}

void prober_free(struct prober *prober)
{
    if (prober == NULL)
        return;
    g_ptr_array_unref(prober->targets);
    g_free(prober);
}

static int compare_targets(const void *a, const void *b)
{
    const struct target *const *x = a, *const *y = b;
    return strcmp((*x)->policy, (*y)->policy);
}

void prober_set(struct prober *prober, const struct edge_state *state)
{
    g_ptr_array_set_size(prober->targets, 0);
    prober->under_way = 0;
    GHashTable *first = g_hash_table_new(g_str_hash, g_str_equal); /* policy -> its first route by bytes */
    GHashTableIter iter;
    void *key, *value;
    g_hash_table_iter_init(&iter, state->maps[MAP_ROUTES]);
    while (g_hash_table_iter_next(&iter, &key, &value)) {
        const char *have = g_hash_table_lookup(first, value);
        if (have == NULL || strcmp(key, have) < 0)
            g_hash_table_insert(first, value, key);
    }
    g_hash_table_iter_init(&iter, first);
    while (g_hash_table_iter_next(&iter, &key, &value)) {
        const char *route = value, *slash = strchr(route, '/');
        if (slash == NULL)
            continue;
        struct target *target = g_new0(struct target, 1);
        target->prober = prober;
        target->policy = g_strdup(key);
        target->request = g_strdup_printf("GET %s" PROBE_PATH " HTTP/1.1\r\nHost: %.*s\r\nX-SB-Probe: 1\r\n"
                                          "Connection: close\r\n\r\n",
                                          slash, (int)(slash - route), route);
        g_ptr_array_add(prober->targets, target);
    }
    g_hash_table_unref(first);
    g_ptr_array_sort(prober->targets, compare_targets);
}

/* Room that answered, from the head of an HTTP answer; "" when it was nobody, or a failure. */
static char *answered_by(const char *reply)
{
    int status = 0;
    if (sscanf(reply, "HTTP/1.%*d %d", &status) != 1 || status >= 500)
        return g_strdup("");
    for (const char *line = reply; (line = strstr(line, "\r\n")) != NULL && strncmp(line, "\r\n\r\n", 4) != 0;) {
        line += 2;
        if (strncasecmp(line, "x-sb-room: ", 11) == 0)
            return g_strndup(line + 11, strcspn(line + 11, "\r"));
    }
    return g_strdup("");
}

static void on_answer(void *data, const char *reply, const GError *error)
{
    struct target *target = data;
    (void)error; /* nobody answered: that is the result */
    target->exchange = NULL;
    target->prober->under_way--;
    g_free(target->room);
    target->room = reply != NULL ? answered_by(reply) : g_strdup("");
}

void prober_run(struct prober *prober, const struct counters *counters)
{
    int64_t now = loop_now_us();
    for (guint i = 0; i < prober->targets->len && prober->under_way < AT_ONCE_MAX; i++) {
        struct target *target = prober->targets->pdata[i];
        if (target->exchange != NULL || target->due_us > now)
            continue;
        if (counters_requests(counters, target->policy) >= PROBE_BELOW) {
            g_clear_pointer(&target->room, g_free);
            continue;
        }
        target->due_us = now + AGAIN_US;
        target->exchange = exchange_start(prober->loop, (struct sockaddr *)&prober->edge, prober->edge_len,
                                          target->request, strlen(target->request), TIMEOUT_US, on_answer, target);
        prober->under_way++;
    }
}

json_t *prober_to_json(const struct prober *prober)
{
    json_t *list = json_array();
    for (guint i = 0; i < prober->targets->len; i++) {
        const struct target *target = prober->targets->pdata[i];
        if (target->room != NULL)
            json_array_append_new(list, json_pack("{s:s,s:s}", "policy", target->policy, "room", target->room));
    }
    return list;
}
