/* measure.h: what a replay says about users: from the records of requests to the figures by class.
 *
 * A stream is one class of traffic from one kind of client: (name, edge class, client). Times are wall-clock
 * microseconds of one machine. A request succeeds when it is answered 2xx.
 *
 *   gate ──── fault ──── button ──── heal ──── failback ──── end       a phase without server has no button, no
 * failback └──────── the fault: figures by class ─────────┘└ failback ┘       by the time at which a request was due
 *
 * Failures of a fault are those of requests that were due, or still without an answer, at its t0 or later.
 * Recovery is the end of the first success after the last of them, in the order in which requests were due (an open
 * loop's order: a request that a client gave up on after 3 s belongs to the moment that it was made). Only users whom
 * the fault hit count as a success: those that failed, or whom the failed room served when the fault came; a user of
 * the other room proves nothing. Where nothing succeeded any more it is the end of the observation, a lower bound.
 * Outside stalls: less the time in which the load client or the wire stood still by their own records.
 *
 * Thread safety: pure functions.
 */
#ifndef LAB_MEASURE_H
#define LAB_MEASURE_H

#include <stdbool.h>
#include <stdint.h>
#include <glib.h>

#define MEASURE_NONE (-1) /* a time that does not exist: nothing failed, or there was no button */

/* One request of a user. */
struct request {
    int64_t scheduled_us, end_us; /* due; answered, failed or given up */
    uint32_t seq;                 /* number in its run; X-Request-Id is TAG-SEQ */
    uint32_t user;
    uint16_t stream;  /* index of struct measure_input.streams */
    uint16_t status;  /* HTTP status; 0: no answer */
    bool post;        /* else GET */
    bool reused;      /* sent on a connection that was open before */
    char error[64];   /* why there was no answer, or the reason that a failure named; else "" */
    char address[46]; /* of the edge that the connection went to */
    char edge[24];    /* who answered by its headers: X-SB-Edge, X-Origin-Room, X-Origin-Entrance */
    char room[24];
    char entrance[24];
};

struct measure_stream {
    char name[16];       /* core, manual, single-room */
    char edge_class[16]; /* public, dedicated */
    char client[16];     /* new, keepalive, stubborn */
};

struct measure_stall {
    const char *who; /* "load" or "wire" */
    int64_t start_us, duration_us;
};

/* Everything that figures are made of. */
struct measure_input {
    const struct measure_stream *streams;
    size_t streams_len;
    GArray *requests;      /* struct request, in any order; sorted by the first measure_ function */
    GArray *stalls;        /* struct measure_stall */
    GHashTable *writes;    /* seq (GUINT_TO_POINTER) -> how often rooms logged that write */
    GHashTable *dedicated; /* set of addresses of dedicated edges */
    const char *room;      /* the room that the fault cut off */
    int64_t gate_us, fault_us, heal_us, end_us;
    int64_t button_us;   /* MEASURE_NONE: nobody pressed it */
    int64_t failback_us; /* MEASURE_NONE: none was run */
    int64_t settle_us;   /* after the button, when names must have moved: TTL + 1 s */
};

/* Figures of one stream in the fault's phase. */
struct measure_class {
    const struct measure_stream *stream;
    unsigned requests, failed_get, failed_other;
    unsigned lost_writes;            /* POST answered 2xx that no room logged */
    unsigned doubled_writes;         /* POST that was logged more than once */
    unsigned moved_back;             /* answered by a public entrance of the failed room after the button */
    unsigned late_names;             /* due after settle_us, yet sent to an edge that is not dedicated */
    unsigned settled;                /* due after settle_us */
    int64_t recovery_us;             /* from the fault; MEASURE_NONE: nothing failed */
    int64_t after_button_us;         /* from the button; MEASURE_NONE: nothing failed, or it was over before */
    int64_t after_button_outside_us; /* the same outside stalls */
    bool recovered;                  /* false: recovery_us is a lower bound */
    int64_t max_latency_us, max_latency_outside_us;
    int64_t max_get_outside_us; /* of GETs alone: what was written to who is gone by then is not asked again */
    GHashTable *answered_by;    /* "room-b/pop-b1" -> successes since the fault (GUINT_TO_POINTER) */
};

struct measure_failback {
    unsigned failed_get, failed_other;
    unsigned users_moved_twice; /* users who changed room more than once in a stream */
    unsigned users_moved;       /* users who changed room */
};

/* Figures of stream `index`. The result is cleared with measure_class_clear. */
void measure_class_init(struct measure_class *out, const struct measure_input *in, uint16_t index);
void measure_class_clear(struct measure_class *class);
/* Figures of the failback, over all streams; all 0 when there was none. */
void measure_failback(struct measure_failback *out, const struct measure_input *in);

/* Microseconds of [from, to] in which somebody stood still; overlapping stalls count once. */
int64_t measure_stalled_us(const GArray *stalls, int64_t from_us, int64_t to_us);
bool request_succeeded(const struct request *request);
/* Middle of the values (the lower one of two); MEASURE_NONE of none. Sorts the array of int64_t. */
int64_t measure_median(GArray *values);

#endif
