/* lineview.h: the dedicated lines between rooms as the gateways at their ends see them: BFD's word, and the bytes that
 * they send. Of a line that ends at an edge nobody tells this; ring.h says what can be known of it.
 *
 * A forwarder shows its neighbours by their places (dataplane/dpsocket.h), `adjacency 3 port 3 known 1 bfd up tx_bytes
 * 123`; a gateway's port of that place may be the end of a line (gwport.line). A rate is of what was sent between two
 * reports, LINE_WINDOW_US apart or more: a report that came early shows no new figures.
 *
 * Private to interlocking. Thread safety: pure functions.
 */
#ifndef INTERLOCKING_LINEVIEW_H
#define INTERLOCKING_LINEVIEW_H

#include "server/interlocking/observe.h"

#define LINE_WINDOW_US (2 * G_USEC_PER_SEC)

/* A neighbour of a gateway's forwarder. Times are the server's clock. */
struct adjacency {
    unsigned place;
    bool watched, up; /* has BFD; it is up */
    int64_t since_us; /* when that was first reported */
    uint64_t tx_bytes;
    uint64_t base_bytes; /* sent when the window began */
    int64_t base_us;
    double tx_mbit; /* Mbit/s in the last window; below 0: there was none yet */
    /* As far as the forwarder measures them; below 0: it does not. */
    double loss; /* 0..1 */
    int64_t rtt_us, jitter_us;
};
/* Those that a gateway shows, by place: struct adjacency; g_array_unref. What is no row of one is passed over. */
GArray *adjacencies_read(const json_t *gateway, int64_t at_us);
/* What was known of the same ones before: since when, and how much they sent. */
void adjacencies_keep(GArray *now, const GArray *before, int64_t at_us);
/* For the black box: for how long each has been as it is, [{"place","for_us"}]; a new reference. And back. */
json_t *adjacencies_to_json(const GArray *adjacencies, int64_t now_us);
void adjacencies_restore(GArray *adjacencies, const json_t *ages, int64_t now_us);

/* A line, of fresh reports of gateways that are ends of it. */
struct line_view {
    unsigned seen, down; /* ends that watch it; of these, those that see it down */
    int64_t since_us;    /* the first of those that see it down now said so; now_us if none does */
    bool known;          /* mbit are */
    double mbit[2];      /* sent, Mbit/s: from `from` to `to`, and back */
    /* The worst of its ends; below 0: not measured. */
    double loss; /* 0..1 */
    int64_t rtt_us, jitter_us;
};
void line_view(const struct observed *observed, const struct inventory *inventory, const struct line *line,
               int64_t now_us, struct line_view *out);

#endif
