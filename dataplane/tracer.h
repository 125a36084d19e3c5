/* tracer.h: who looks at a forwarder's packets, over a connection of its socket (dpsocket.h): a line for each, or a
 * capture of them. Who reads too slowly loses packets, and is told so.
 *
 * Thread safety: the socket's thread; `trace` is filled by the forwarding one (trace.h).
 */
#ifndef DATAPLANE_TRACER_H
#define DATAPLANE_TRACER_H

#include "dataplane/trace.h"

struct tracer {
    int fd; /* below 0: nobody looks */
    bool capturing;
    uint64_t missed;
    int64_t wall_us; /* of the wall clock at the forwarder's 0 */
    struct trace trace;
};

/* "trace [ADDRESS [PORT]]" or "pcap [ADDRESS [PORT]]": fd is the tracer's from then on, and who looked before is left.
 * False: it is neither. */
bool tracer_start(struct tracer *tracer, int fd, const char *words);
/* Tells all that has come since; who does not listen any more is left. */
void tracer_turn(struct tracer *tracer);
void tracer_end(struct tracer *tracer);

#endif
