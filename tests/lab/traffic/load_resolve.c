/* Questions go out by c-ares, which keeps no answers: caching by TTL is the resolver's. */
#include "tests/lab/traffic/load.h"

#include "core/error.h"

#include <ares.h>
#include <arpa/nameser.h>
#include <netdb.h>
#include <sys/epoll.h>

struct load_resolver {
    struct loop *loop;
    ares_channel channel;
};

struct question {
    load_resolved_fn fn;
    void *data;
};

static void socket_ready(void *data, int fd, uint32_t events)
{
    const struct load_resolver *resolver = data;
    ares_process_fd(resolver->channel, events & ~(uint32_t)EPOLLOUT ? fd : ARES_SOCKET_BAD,
                    events & EPOLLOUT ? fd : ARES_SOCKET_BAD);
}

static void socket_wanted(void *data, ares_socket_t fd, int readable, int writable)
{
    struct load_resolver *resolver = data;
    uint32_t events = (readable ? EPOLLIN : 0u) | (writable ? EPOLLOUT : 0u);
    if (events == 0)
        loop_unwatch(resolver->loop, fd);
    else
        loop_watch(resolver->loop, fd, events, socket_ready, resolver, NULL);
}

struct load_resolver *load_resolver_new(struct loop *loop, const char *server, GError **error)
{
    struct load_resolver *resolver = g_new0(struct load_resolver, 1);
    resolver->loop = loop;
    struct ares_options options = {.timeout = 500, /* ms; then twice that */
                                   .tries = 3,
                                   .lookups = (char *)"b",
                                   .sock_state_cb = socket_wanted,
                                   .sock_state_cb_data = resolver};
    int rc = ares_init_options(&resolver->channel, &options,
                               ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_LOOKUPS | ARES_OPT_SOCK_STATE_CB);
    if (rc == ARES_SUCCESS && (rc = ares_set_servers_ports_csv(resolver->channel, server)) != ARES_SUCCESS)
        ares_destroy(resolver->channel);
    if (rc == ARES_SUCCESS)
        return resolver;
    g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "--resolver %s: %s", server, ares_strerror(rc));
    g_free(resolver);
    return NULL;
}

void load_resolver_free(struct load_resolver *resolver)
{
    if (resolver == NULL)
        return;
    ares_destroy(resolver->channel);
    g_free(resolver);
}

static void answer_came(void *data, int status, int timeouts, unsigned char *bytes, int size)
{
    g_autofree struct question *question = data;
    struct load_addresses addresses = {.len = 0};
    struct ares_addrttl records[LOAD_ADDRESSES];
    int records_len = LOAD_ADDRESSES;
    (void)timeouts;
    if (status == ARES_SUCCESS)
        status = ares_parse_a_reply(bytes, size, NULL, records, &records_len);
    if (status != ARES_SUCCESS || records_len == 0) {
        question->fn(question->data, NULL, status != ARES_SUCCESS ? ares_strerror(status) : "no address");
        return;
    }
    for (int i = 0; i < records_len; i++)
        addresses.at[addresses.len++] = records[i].ipaddr;
    question->fn(question->data, &addresses, NULL);
}

void load_resolve(struct load_resolver *resolver, const char *host, load_resolved_fn fn, void *data)
{
    struct question *question = g_new(struct question, 1);
    *question = (struct question){fn, data};
    ares_query(resolver->channel, host, ns_c_in, ns_t_a, answer_came, question);
}

void load_resolver_tick(struct load_resolver *resolver)
{
    ares_process_fd(resolver->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
}
