/* worker.h: the forwarding thread: its memory, and the loop that it runs until it is stopped.
 *
 * Memory for sessions is taken once, with the first table, which says which local addresses there are; all of it is
 * written to then, so that no packet waits for the kernel to find a page.
 *
 * Thread safety: one thread; worker_stop may be called by signal handlers.
 */
#ifndef DATAPLANE_WORKER_H
#define DATAPLANE_WORKER_H

#include "dataplane/dpsocket.h"

struct worker {
    struct forwarder *forwarder;
    struct dpsocket *socket;
    int wake_fd;        /* an eventfd */
    uint64_t secret[2]; /* dpsecret.h */
};

/* µs of a clock that goes on while no forwarder runs, so that numbers of connections rise over a restart. */
uint64_t worker_now_us(void);
/* DP_PORTS: it was stopped; else the port whose neighbour leaves checksums to be computed. */
unsigned worker_run(struct worker *worker);
/* wake_fd: the worker's. */
void worker_stop(int wake_fd);

#endif
