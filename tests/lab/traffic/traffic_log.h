/* traffic_log.h: what the load client hands on: a file of JSON lines, one for each request.
 *
 *   {"tag":"...","start_us":N,"streams":[{"name","edge_class","client","rate"},...]}      first
 *   {"s":STREAM,"q":SEQ,"u":USER,"slot":SLOT,"t":DUE,"e":END,"c":STATUS,...}              as many as there were
 *   {"stall_us":START,"duration_us":N}                                                    when the client stood still
 * Times are wall-clock microseconds; SLOT is the user's, as the edges reckon it (schema/slot.h).
 * Thread safety: functions keep no state.
 */
#ifndef LAB_TRAFFIC_LOG_H
#define LAB_TRAFFIC_LOG_H

#include "tests/lab/traffic/measure.h"

struct traffic_log {
    char *tag;        /* of X-Request-Id */
    GArray *streams;  /* struct measure_stream */
    GArray *requests; /* struct request */
    GArray *stalls;   /* struct measure_stall of "load" */
};

void traffic_log_init(struct traffic_log *log);
void traffic_log_clear(struct traffic_log *log);
bool traffic_log_write(const struct traffic_log *log, const char *path, GError **error);
/* Reads a file into an initialized, empty log. */
bool traffic_log_read(struct traffic_log *log, const char *path, GError **error);

/* Adds the writes of one origin's log (origin.c) whose X-Request-Id begins with TAG- : seq -> count (GUINT_TO_POINTER).
 * A file that does not exist is an error: an origin without a log would make every write look lost. */
bool traffic_writes_read(GHashTable *writes, const char *tag, const char *path, GError **error);

/* Adds the wire's stalls: lines "start_us duration_us". No file: none. */
bool traffic_stalls_read(GArray *stalls, const char *who, const char *path, GError **error);

#endif
