#include "dns/readback.h"

#include <ares.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <libknot/libknot.h>

#include "core/error.h"
#include "core/loop.h"
#include "dns/records.h"

enum transport { OVER_UDP, OVER_TCP, TRANSPORTS };

struct readback {
    struct endpoint server;
    int stop_fd;
    ares_channel channels[TRANSPORTS];
    /* of the call in progress */
    unsigned in_flight;
    int64_t answered_us; /* when the last answer came, or the start */
    readback_fn fn;
    void *data;
    GError *error; /* the first one ends the call */
};
struct question {
    struct readback *readback;
    const struct rrset *set;
    enum transport transport;
};

/* ---- answers ---- */

static int compare_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The set of `question` in a parsed answer; NULL if its data is malformed. */
static struct rrset *collect(const knot_pkt_t *packet, const struct rrset *question)
{
    const knot_pktsection_t *section = knot_pkt_section(packet, KNOT_ANSWER);
    g_autoptr(GPtrArray) texts = g_ptr_array_new_with_free_func(g_free);
    uint32_t ttl = 0;
    for (uint16_t i = 0; i < section->count; i++) {
        const knot_rrset_t *record = knot_pkt_rr(section, i);
        if (record->type != question->type || !knot_dname_is_equal(record->owner, knot_pkt_qname(packet)))
            continue;
        const knot_rdata_t *data = record->rrs.rdata;
        for (uint16_t k = 0; k < record->rrs.count; k++, data = knot_rdataset_next((knot_rdata_t *)data)) {
            char *text = rdata_to_text(record->type, data->data, data->len);
            if (text == NULL)
                return NULL;
            g_ptr_array_add(texts, text);
        }
        ttl = record->ttl;
    }
    g_ptr_array_sort(texts, compare_text);
    g_ptr_array_add(texts, NULL);
    return rrset_make(question->owner, question->type, ttl, (const char *const *)texts->pdata);
}

/* Why an answer is no authoritative yes or no; NULL if it is. */
static const char *answer_fault(const knot_pkt_t *packet)
{
    uint8_t rcode = knot_wire_get_rcode(packet->wire);
    if (rcode == KNOT_RCODE_SERVFAIL)
        return "SERVFAIL (a zone that is not loaded or has expired)";
    if (rcode == KNOT_RCODE_REFUSED)
        return "REFUSED (no such zone there)";
    if (rcode != KNOT_RCODE_NOERROR && rcode != KNOT_RCODE_NXDOMAIN)
        return "neither data nor its absence";
    return knot_wire_get_aa(packet->wire) ? NULL : "without authority";
}

static void fail(struct readback *readback, int code, const struct rrset *question, const char *what)
{
    char text[ENDPOINT_TEXT_SIZE];
    if (readback->error == NULL)
        g_set_error(&readback->error, SB_ERROR, code, "%s, asked for %s %s: %s",
                    endpoint_format(&readback->server, text), question->owner, rrtype_name(question->type), what);
}

static void take_answer(struct readback *readback, const struct rrset *question, uint8_t *wire, int size)
{
    knot_pkt_t *packet = knot_pkt_new(wire, (uint16_t)size, NULL);
    struct rrset *set = NULL;
    const char *fault = knot_pkt_parse(packet, 0) != KNOT_EOK ? "a malformed answer" : answer_fault(packet);
    if (fault == NULL && (set = collect(packet, question)) == NULL)
        fault = "malformed data";
    knot_pkt_free(packet);
    if (fault != NULL)
        fail(readback, SB_ERROR_UNAVAILABLE, question, fault);
    else
        readback->fn(readback->data, set);
}

static void ask(struct readback *readback, const struct rrset *set, enum transport transport);

static void on_answer(void *arg, int status, int timeouts, unsigned char *wire, int size)
{
    (void)timeouts;
    struct question question = *(struct question *)arg;
    struct readback *readback = question.readback;
    g_free(arg);
    readback->in_flight--;
    if (readback->error != NULL || status == ARES_ECANCELLED || status == ARES_EDESTRUCTION)
        return;
    if (wire != NULL) {
        readback->answered_us = loop_now_us();
        take_answer(readback, question.set, wire, size);
    } else if (question.transport == OVER_UDP) {
        ask(readback, question.set, OVER_TCP);
    } else {
        fail(readback, SB_ERROR_UNREACHABLE, question.set, ares_strerror(status));
    }
}

static void ask(struct readback *readback, const struct rrset *set, enum transport transport)
{
    struct question *question = g_new(struct question, 1);
    *question = (struct question){readback, set, transport};
    readback->in_flight++;
    ares_query(readback->channels[transport], set->owner, KNOT_CLASS_IN, set->type, on_answer, question);
}

/* ---- waiting ---- */

struct watch {
    struct pollfd fds[TRANSPORTS * ARES_GETSOCK_MAXNUM + 1];
    unsigned n, first[TRANSPORTS + 1]; /* where each transport's sockets start; [TRANSPORTS]: the stop_fd */
};

static void watch_sockets(const struct readback *readback, struct watch *watch)
{
    watch->n = 0;
    for (unsigned t = 0; t < TRANSPORTS; t++) {
        ares_socket_t sockets[ARES_GETSOCK_MAXNUM];
        unsigned bits = (unsigned)ares_getsock(readback->channels[t], sockets, ARES_GETSOCK_MAXNUM);
        watch->first[t] = watch->n;
        for (unsigned i = 0; i < ARES_GETSOCK_MAXNUM; i++) {
            int events = (ARES_GETSOCK_READABLE(bits, i) ? POLLIN : 0) | (ARES_GETSOCK_WRITABLE(bits, i) ? POLLOUT : 0);
            if (events == 0)
                break;
            watch->fds[watch->n++] = (struct pollfd){.fd = sockets[i], .events = (short)events};
        }
    }
    watch->first[TRANSPORTS] = watch->n;
    watch->fds[watch->n++] = (struct pollfd){.fd = readback->stop_fd, .events = POLLIN};
}

static int wait_ms(const struct readback *readback)
{
    int64_t left_us = readback->answered_us + READBACK_SILENCE_MS * 1000 - loop_now_us();
    struct timeval limit = {0, left_us > 0 ? left_us : 0}, buffer, *next = &limit;
    for (unsigned t = 0; t < TRANSPORTS; t++)
        next = ares_timeout(readback->channels[t], next, &buffer);
    return (int)(next->tv_sec * 1000 + (next->tv_usec + 999) / 1000);
}

/* Waits for sockets or time, and lets c-ares do what is due. */
static void process(struct readback *readback)
{
    struct watch watch;
    watch_sockets(readback, &watch);
    if (poll(watch.fds, watch.n, wait_ms(readback)) < 0)
        return;
    if (watch.fds[watch.first[TRANSPORTS]].revents != 0) {
        g_set_error(&readback->error, SB_ERROR, SB_ERROR_TIMEOUT, "stopped");
        return;
    }
    for (unsigned t = 0; t < TRANSPORTS; t++) {
        for (unsigned i = watch.first[t]; i < watch.first[t + 1]; i++) {
            short revents = watch.fds[i].revents;
            ares_process_fd(readback->channels[t],
                            revents & (POLLIN | POLLERR | POLLHUP) ? watch.fds[i].fd : ARES_SOCKET_BAD,
                            revents & POLLOUT ? watch.fds[i].fd : ARES_SOCKET_BAD);
        }
        ares_process_fd(readback->channels[t], ARES_SOCKET_BAD, ARES_SOCKET_BAD); /* time-outs */
    }
}

bool readback_ask(struct readback *readback, struct rrset *const *questions, unsigned n, readback_fn fn, void *data,
                  GError **error)
{
    readback->fn = fn;
    readback->data = data;
    readback->answered_us = loop_now_us();
    for (unsigned next = 0; (next < n || readback->in_flight > 0) && readback->error == NULL;) {
        while (next < n && readback->in_flight < READBACK_WINDOW && readback->error == NULL)
            ask(readback, questions[next++], OVER_UDP);
        if (readback->in_flight == 0 || readback->error != NULL)
            continue;
        process(readback);
        if (readback->error == NULL && readback->in_flight > 0 &&
            loop_now_us() - readback->answered_us >= READBACK_SILENCE_MS * 1000)
            g_set_error(&readback->error, SB_ERROR, SB_ERROR_UNREACHABLE, "no answer in %d ms", READBACK_SILENCE_MS);
    }
    for (unsigned t = 0; t < TRANSPORTS; t++)
        ares_cancel(readback->channels[t]);
    if (readback->error == NULL)
        return true;
    g_propagate_error(error, g_steal_pointer(&readback->error));
    return false;
}

/* ---- life ---- */

static pthread_once_t library_once = PTHREAD_ONCE_INIT;

static void library_init(void)
{
    ares_library_init(ARES_LIB_INIT_ALL);
}

/* 150 ms, then 300 ms over UDP, then TCP: a server that is dead is known to be within READBACK_SILENCE_MS. */
static int channel_open(ares_channel *channel, const struct endpoint *server, bool tcp)
{
    struct ares_options options = {
        .timeout = tcp ? READBACK_SILENCE_MS : 150, .tries = tcp ? 1 : 2, .lookups = (char *)"b"};
    /* NOCHECKRESP: a SERVFAIL is an answer, to be reported and not tried again elsewhere. */
    options.flags = ARES_FLAG_NORECURSE | ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES | ARES_FLAG_NOCHECKRESP |
                    (tcp ? ARES_FLAG_USEVC : 0);
    int code =
        ares_init_options(channel, &options, ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_LOOKUPS);
    if (code != ARES_SUCCESS)
        return code;
    struct ares_addr_port_node node = {
        .family = server->addr.family, .udp_port = server->port, .tcp_port = server->port};
    memcpy(&node.addr, server->addr.bytes, server->addr.family == AF_INET ? 4 : 16);
    return ares_set_servers_ports(*channel, &node);
}

struct readback *readback_new(const struct endpoint *server, int stop_fd, GError **error)
{
    pthread_once(&library_once, library_init);
    struct readback *readback = g_new0(struct readback, 1);
    readback->server = *server;
    readback->stop_fd = stop_fd;
    for (unsigned t = 0; t < TRANSPORTS; t++) {
        int code = channel_open(&readback->channels[t], server, t == OVER_TCP);
        if (code != ARES_SUCCESS) {
            g_set_error(error, SB_ERROR, SB_ERROR_IO, "c-ares: %s", ares_strerror(code));
            readback_free(readback);
            return NULL;
        }
    }
    return readback;
}

void readback_free(struct readback *readback)
{
    for (unsigned t = 0; t < TRANSPORTS; t++)
        if (readback->channels[t] != NULL)
            ares_destroy(readback->channels[t]);
    g_free(readback);
}
