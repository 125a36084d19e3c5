/* loopback.h: the site of a file on this machine's loopback, without name servers: real HAProxy, edge agents, origins
 * and signalboxd, each in a folder of its own below one that is removed at the end.
 *
 * Every run takes addresses 127.A.B.x of its own, drawn from its pid, so that nothing has to be configured and two
 * runs do not meet. The processes die with this one, however it ends.
 *
 * A signal that cancels (flags.h) ends every wait.
 *
 * Thread safety: one thread.
 */
#ifndef BENCH_LOOPBACK_H
#define BENCH_LOOPBACK_H

#include "schema/inventory.h"

struct loopback {
    char *folder;                        /* everything that is written */
    char *build;                         /* folder of the programs */
    char *socket;                        /* signalboxd's local socket */
    char *operators, *agents;            /* where it listens for them, ADDR:PORT */
    struct inventory *site;              /* as applied */
    unsigned next_host;                  /* x of the next address */
    size_t log_at;                       /* bytes of signalboxd's log that were read */
    GArray *pids;                        /* of what was started, pid_t */
    const struct loopback_server *alone; /* or NULL */
    bool keep;                           /* the folder stays, for its logs */
};

/* Starts everything; returns when every edge has applied the site and sees every entrance up. below: folder for the
 * temporary one. site_path: NULL: the site of 2 July 2024. On failure loopback_down is still
 * needed. */
bool loopback_up(struct loopback *lo, const char *site_path, const char *below, GError **error);
/* What a server alone is started with. */
struct loopback_server {
    unsigned agents;        /* edges agent-1, agent-2, ... beside those of the site */
    const char *cert, *key; /* TLS on its listeners, or NULL */
    json_t *objects;        /* more objects, or NULL; borrowed */
    const char *store;      /* URL of its history, or NULL: its own file */
};
/* signalboxd alone, with the site applied. */
bool loopback_up_server(struct loopback *lo, const char *site_path, const char *below,
                        const struct loopback_server *server, GError **error);
/* Makes a token for an agent; NULL with an error, g_free. */
char *loopback_token(const struct loopback *lo, const char *agent, GError **error);
/* When the newest generation was committed, µs of the wall clock, from what has come to signalboxd's log since the last
 * call; 0 with an error: none. */
int64_t loopback_committed_us(struct loopback *lo, GError **error);
/* Starts another process, with a log of its own; it ends with the others. */
bool loopback_start(struct loopback *lo, const char *name, const char *const *argv, GError **error);
/* Ends the processes and removes the folder. */
void loopback_down(struct loopback *lo);

/* One call on the local socket; NULL with an error unless the status is 2xx. */
json_t *loopback_call(const struct loopback *lo, const char *method, const char *path, const json_t *body,
                      GError **error);
/* Returns when ready(data) is true; SB_ERROR_TIMEOUT with `what` when it is not in time. */
bool loopback_wait(const struct loopback *lo, const char *what, bool (*ready)(void *data), void *data, GError **error);

#endif
