#include "dataplane/trace.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Static_assert((TRACE_RECORDS & (TRACE_RECORDS - 1)) == 0, "places are told by the low bits of a counter");

/* ---- what is looked for ---- */

bool trace_filter_parse(struct trace_filter *filter, const char *text)
{
    char address[INET6_ADDRSTRLEN] = "", port[6] = "", more;
    struct trace_filter found = {0};
    int words = sscanf(text, " %45s %5[0-9] %c", address, port, &more);
    if (words > 2)
        return false;
    if (words >= 1)
        found.family = inet_pton(AF_INET, address, found.address) == 1    ? 4
                       : inet_pton(AF_INET6, address, found.address) == 1 ? 6
                                                                          : 0;
    unsigned long number = words == 2 ? strtoul(port, NULL, 10) : 1;
    if ((words >= 1 && found.family == 0) || number == 0 || number > UINT16_MAX)
        return false;
    found.port = words == 2 ? (uint16_t)number : 0;
    *filter = found;
    return true;
}

static bool is_end(const struct trace_filter *filter, const uint8_t *address, uint16_t port)
{
    return memcmp(address, filter->address, packet_address_size(filter->family)) == 0 &&
           (filter->port == 0 || filter->port == port);
}

/* What is kept of a frame as a packet; false: of no protocol that has addresses. */
static bool look(const struct trace_frame *frame, struct packet *p)
{
    *p = (struct packet){.frame = (uint8_t *)frame->bytes, .size = frame->size};
    if (frame->kept < ETHER_SIZE + IP6_SIZE + TCP_SIZE && frame->kept < frame->size)
        return false;
    packet_parse(p);
    return p->l4 != 0;
}

static bool matches(const struct trace_filter *filter, const struct trace_frame *frame)
{
    struct packet p;
    if (filter->family == 0)
        return true;
    return look(frame, &p) && packet_family(&p) == filter->family &&
           (is_end(filter, packet_source(&p), p.source) || is_end(filter, packet_dest(&p), p.dest));
}

/* ---- the ring ---- */

void trace_begin(struct trace *trace, const struct trace_filter *filter)
{
    struct trace_filter *place = &trace->filters[trace->n_filters++ % (sizeof trace->filters / sizeof *filter)];
    *place = *filter;
    atomic_store_explicit(&trace->read, atomic_load_explicit(&trace->written, memory_order_acquire),
                          memory_order_release);
    atomic_store_explicit(&trace->lost, 0, memory_order_relaxed);
    atomic_store_explicit(&trace->watched, place, memory_order_release);
}

void trace_end(struct trace *trace)
{
    atomic_store_explicit(&trace->watched, NULL, memory_order_release);
}

const struct trace_record *trace_next(const struct trace *trace)
{
    uint32_t read = atomic_load_explicit(&trace->read, memory_order_relaxed);
    bool none = read == atomic_load_explicit(&trace->written, memory_order_acquire);
    return none ? NULL : &trace->record[read % TRACE_RECORDS];
}

void trace_done(struct trace *trace)
{
    atomic_fetch_add_explicit(&trace->read, 1, memory_order_release);
}

uint64_t trace_lost(struct trace *trace)
{
    return atomic_exchange_explicit(&trace->lost, 0, memory_order_relaxed);
}

/* ---- the forwarding thread's ---- */

static void keep(struct trace_frame *frame, const struct packet *p)
{
    frame->size = (uint16_t)(p->size < UINT16_MAX ? p->size : UINT16_MAX);
    frame->kept = (uint16_t)(p->size < TRACE_KEPT ? p->size : TRACE_KEPT);
    memcpy(frame->bytes, p->frame, frame->kept);
}

void trace_before(struct trace *trace, const struct packet *packets, unsigned n)
{
    assert(n <= TRACE_BURST);
    trace->filter = atomic_load_explicit(&trace->watched, memory_order_acquire);
    for (unsigned i = 0; i < n && trace->filter != NULL; i++)
        keep(&trace->before[i], &packets[i]);
}

void trace_after(struct trace *trace, unsigned port, const struct packet *packets, unsigned n, const int *out,
                 uint64_t now_us)
{
    for (unsigned i = 0; i < n && trace->filter != NULL; i++) {
        struct trace_frame left;
        keep(&left, &packets[i]);
        if (!matches(trace->filter, &trace->before[i]) && (out[i] < 0 || !matches(trace->filter, &left)))
            continue;
        uint32_t written = atomic_load_explicit(&trace->written, memory_order_relaxed);
        if (written - atomic_load_explicit(&trace->read, memory_order_acquire) == TRACE_RECORDS) {
            atomic_fetch_add_explicit(&trace->lost, 1, memory_order_relaxed);
            continue;
        }
        trace->record[written % TRACE_RECORDS] = (struct trace_record){
            .at_us = now_us, .port = (uint8_t)port, .out = out[i], .came = trace->before[i], .left = left};
        atomic_store_explicit(&trace->written, written + 1, memory_order_release);
    }
}

/* ---- as text ---- */

static int flow_text(const struct trace_frame *frame, char *text, size_t size)
{
    static const char letters[] = "FSRPAU";
    char source[INET6_ADDRSTRLEN], dest[INET6_ADDRSTRLEN], flags[sizeof letters] = "";
    struct packet p;
    if (!look(frame, &p))
        return snprintf(text, size, "frame of %u bytes", frame->size);
    int family = packet_family(&p) == 4 ? AF_INET : AF_INET6;
    inet_ntop(family, packet_source(&p), source, sizeof source);
    inet_ntop(family, packet_dest(&p), dest, sizeof dest);
    if (p.proto != PROTO_TCP)
        return snprintf(text, size, "%s %s:%u > %s:%u %u bytes", p.proto == PROTO_UDP ? "udp" : "icmp", source,
                        p.source, dest, p.dest, frame->size);
    for (unsigned i = 0, n = 0; letters[i] != '\0'; i++)
        if (p.tcp_flags >> i & 1)
            flags[n++] = letters[i];
    return snprintf(text, size, "tcp %s:%u > %s:%u %s seq %u ack %u %u bytes", source, p.source, dest, p.dest, flags,
                    get32(p.frame + p.l4 + 4), get32(p.frame + p.l4 + 8), frame->size);
}

void trace_text(const struct trace_record *record, char text[static TRACE_LINE])
{
    unsigned s = (unsigned)(record->at_us / 1000000 % 86400), us = (unsigned)(record->at_us % 1000000);
    int n =
        snprintf(text, TRACE_LINE, "%02u:%02u:%02u.%06uZ port %u ", s / 3600, s / 60 % 60, s % 60, us, record->port);
    n += flow_text(&record->came, text + n, TRACE_LINE - (size_t)n);
    if (record->out < 0) {
        snprintf(text + n, TRACE_LINE - (size_t)n, "; %s: %s\n", drop_name((enum drop) - record->out),
                 drop_doc((enum drop) - record->out));
        return;
    }
    n += snprintf(text + n, TRACE_LINE - (size_t)n, "; port %d ", record->out);
    n += flow_text(&record->left, text + n, TRACE_LINE - (size_t)n);
    snprintf(text + n, TRACE_LINE - (size_t)n, "\n");
}

/* ---- as a capture ---- */

static unsigned put_host(uint8_t *at, const uint32_t *words, unsigned n)
{
    memcpy(at, words, n * sizeof *words); /* as the machine has them: the first word says which way that is */
    return n * (unsigned)sizeof *words;
}

void trace_capture_head(uint8_t bytes[static TRACE_CAPTURE_HEAD])
{
    static const uint32_t head[] = {0xa1b2c3d4, 4u << 16 | 2, 0, 0, TRACE_KEPT, 1 /* Ethernet */};
    _Static_assert(sizeof head == TRACE_CAPTURE_HEAD && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
                   "the version is two numbers of 16 bits");
    put_host(bytes, head, 6);
}

static unsigned capture(uint64_t at_us, const struct trace_frame *frame, uint8_t *bytes)
{
    const uint32_t head[] = {(uint32_t)(at_us / 1000000), (uint32_t)(at_us % 1000000), frame->kept, frame->size};
    unsigned n = put_host(bytes, head, 4);
    memcpy(bytes + n, frame->bytes, frame->kept);
    return n + frame->kept;
}

unsigned trace_capture(const struct trace_record *record, uint8_t bytes[static TRACE_CAPTURE])
{
    unsigned n = capture(record->at_us, &record->came, bytes);
    return record->out < 0 ? n : n + capture(record->at_us, &record->left, bytes + n);
}
