/* lab.h: one lab on this machine: where its files are, what it is made of.
 *
 * RUN (default /run/signalbox-lab) holds everything that a lab leaves anywhere but in the kernel:
 *   namespaces           names, one a line, written before they are made
 *   prefix               of the namespaces; the mark of a lab's folder: written first, removed last
 *   site.yaml, build     the site file and the build folder that the lab was brought up with
 *   owner                "PID START" of the process that the lab is for, if any (lab_lock.h)
 *   pids/NODE.PROC       "PID START", START as in field 22 of /proc/PID/stat; `lab.wire` has no node
 *   cmds/NODE.PROC       {"argv": [...], "priority": N}: what `start` runs again
 *   log/NODE.PROC.log    its output
 *   NODE/                its configuration and state
 *   wire.links wire.sock stalls (see wire.c)    net/   batches that ip(8) was given
 *   ROOM/origin.writes ROOM/origin.sock          EDGE/state haproxy.sock master.sock edge.sock
 *   control/signalboxd.sock control/state        postgres/data, if it has one
 *   keys/KEY.key         TSIG secrets, base64
 *   ca.pem server.pem server.key tokens/NAME
 * Namespaces are PREFIX + node.
 *
 * Thread safety: the lab program has one thread.
 */
#ifndef LAB_H
#define LAB_H

#include "tests/lab/lab_topo.h"

#include <sys/types.h>

#define LAB_RUN_DEFAULT "/run/signalbox-lab"
#define LAB_PREFIX_DEFAULT "sb-"

struct lab {
    char *run;         /* folder */
    char *build;       /* folder with server/signalboxd, dcdn/signalbox-edge, tests/lab/... */
    char *prefix;      /* of namespaces; begins with "sb-" */
    bool postgres;     /* of a lab that comes up: history in Postgres (lab_store.h), not in SQLite */
    pid_t owner;       /* of a lab that comes up: the process that it is for; 0: nobody's */
    struct topo *topo; /* NULL before it is loaded */
};

/* RUN/format...; g_free. */
char *lab_path(const struct lab *lab, const char *format, ...) G_GNUC_PRINTF(2, 3);
/* Writes RUN/name, making folders. */
bool lab_write(const struct lab *lab, const char *name, const char *text, GError **error);
/* A program of the build, e.g. "server/signalboxd"; SB_ERROR_NOT_FOUND if it was not built. g_free. */
char *lab_program(const struct lab *lab, const char *name, GError **error);

/* Runs a command and waits; its error output becomes the error's text. */
bool lab_run(const char *const *argv, GError **error);

/* Goes into the namespace of a node and back. Sockets made inside stay inside. Never nested. */
bool lab_ns_enter(const struct lab *lab, const char *node, GError **error);
void lab_ns_leave(void);

#endif
