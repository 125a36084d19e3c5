/* loopback.h: the site of a file on this machine's loopback, without name servers: real HAProxy, edge agents, origins
 * and signalboxd, each in a folder of its own below one that is removed at the end.
 *
 * Every run takes addresses 127.A.B.x of its own, drawn from its pid, so that nothing has to be configured and two
 * runs do not meet. The processes die with this one, however it ends.
 *
 * Thread safety: one thread.
 */
#ifndef BENCH_LOOPBACK_H
#define BENCH_LOOPBACK_H

#include "schema/inventory.h"

struct loopback {
    char *folder;             /* everything that is written */
    char *build;              /* folder of the programs */
    char *socket;             /* signalboxd's local socket */
    struct inventory *site;   /* as applied */
    unsigned next_host;       /* x of the next address */
    GArray *pids;             /* of what was started, pid_t */
    volatile bool *cancelled; /* ends every wait when it becomes true */
    bool keep;                /* the folder stays, for its logs */
};

/* Starts everything; returns when every edge has applied the site and sees every entrance up. below: folder for the
 * temporary one. On failure loopback_down is still needed. */
bool loopback_up(struct loopback *lo, const char *site_path, const char *below, volatile bool *cancelled,
                 GError **error);
/* Ends the processes and removes the folder. */
void loopback_down(struct loopback *lo);

/* One call on the local socket; NULL with an error unless the status is 2xx. */
json_t *loopback_call(const struct loopback *lo, const char *method, const char *path, const json_t *body,
                      GError **error);
/* Returns when ready(data) is true; SB_ERROR_TIMEOUT with `what` when it is not in time. */
bool loopback_wait(const struct loopback *lo, const char *what, bool (*ready)(void *data), void *data, GError **error);

#endif
