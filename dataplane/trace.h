/* trace.h: packets as a forwarder sees them while somebody looks: how each came in, what became of it, and why.
 *
 * One thread forwards and writes, another one reads: a ring between them, without locks. What does not fit, because the
 * reader is too slow, is counted, and never waited for. While nobody looks, a burst costs one read of memory.
 *
 * Who looks says what for: an address at either end, as a packet came in or as it left, and a port of it. Frames are
 * kept up to TRACE_KEPT bytes, which holds all headers. Written as text, a line each, or as a capture (pcap, the format
 * of tcpdump and Wireshark: draft-ietf-opsawg-pcap, 4 and 5) in which a packet that was forwarded is there twice.
 *
 * Pure. Thread safety: trace_watched, trace_before and trace_after are the forwarding thread's; the others
 * that of one reader.
 */
#ifndef DATAPLANE_TRACE_H
#define DATAPLANE_TRACE_H

#include "dataplane/packet.h"

#include <stdatomic.h>
#include <stddef.h>

#define TRACE_KEPT 160u
#define TRACE_BURST 32u
#define TRACE_RECORDS 1024u /* of the ring: a power of two */
#define TRACE_LINE 400u     /* bytes of a text */
#define TRACE_CAPTURE (2 * (16u + TRACE_KEPT))
#define TRACE_CAPTURE_HEAD 24u

/* Zeros: all packets. */
struct trace_filter {
    uint8_t address[16]; /* v4: the first four bytes */
    uint8_t family;      /* 0: any address */
    uint16_t port;       /* 0: any */
};
struct trace_frame {
    uint16_t size, kept; /* bytes of it, and of `bytes` */
    uint8_t bytes[TRACE_KEPT];
};
struct trace_record {
    uint64_t at_us;
    uint8_t port;
    int out; /* by which port it left; below 0: none, and minus that is why (enum drop) */
    struct trace_frame came, left;
};
struct trace {
    _Atomic(const struct trace_filter *) watched; /* NULL: nobody looks */
    struct trace_filter filters[4];               /* in turn, so that one that is still read is not written */
    unsigned n_filters;
    struct trace_record record[TRACE_RECORDS];
    _Atomic uint32_t written, read;
    _Atomic uint64_t lost;
    /* The forwarding thread's. */
    const struct trace_filter *filter;
    struct trace_frame before[TRACE_BURST];
};

/* "[ADDRESS [PORT]]". False: text is neither; filter is untouched. */
bool trace_filter_parse(struct trace_filter *filter, const char *text);

/* Begins to look; what was not read of before is forgotten. */
void trace_begin(struct trace *trace, const struct trace_filter *filter);
void trace_end(struct trace *trace);
/* The oldest that was not read, valid until trace_done; NULL: none. */
const struct trace_record *trace_next(const struct trace *trace);
void trace_done(struct trace *trace);
/* How many were not kept since this was asked last. */
uint64_t trace_lost(struct trace *trace);

/* Does somebody look? Then both others are called around a burst of n frames, at most TRACE_BURST. */
static inline bool trace_watched(const struct trace *trace)
{
    return trace != NULL && atomic_load_explicit(&trace->watched, memory_order_relaxed) != NULL;
}
void trace_before(struct trace *trace, const struct packet *packets, unsigned n);
void trace_after(struct trace *trace, unsigned port, const struct packet *packets, unsigned n, const int *out,
                 uint64_t now_us);

/* One line, with its end; at_us: of the wall clock, of which the time of day is shown (UTC). */
void trace_text(const struct trace_record *record, char text[static TRACE_LINE]);
/* Returns how many bytes. */
unsigned trace_capture(const struct trace_record *record, uint8_t bytes[static TRACE_CAPTURE]);
void trace_capture_head(uint8_t bytes[static TRACE_CAPTURE_HEAD]);

#endif
