/* lab_proc.h: processes of the lab, recorded so that a later run ends exactly those, also after a crash.
 *
 * The child writes its own record, pid and start time, before it becomes the program: no process is without one. Each
 * is the leader of its own session, so that a signal reaches its workers too. Start times are compared before any
 * signal: a pid that is somebody else's by now is left alone.
 */
#ifndef LAB_PROC_H
#define LAB_PROC_H

#include "tests/lab/lab.h"
#include <sys/types.h>

#define PROC_NO_NODE "lab" /* stands for the node of a process that is in no namespace of the lab */

/* What the kernel says of a process (proc(5), /proc/PID/stat). */
struct proc_stat {
    char state;               /* R, S, T, Z ... */
    pid_t parent;             /* 0: it has none here */
    unsigned long long start; /* in ticks since the machine's start: with the pid, whom nobody else can be */
};
bool proc_stat_read(pid_t pid, struct proc_stat *out); /* false: there is no such process */

enum proc_state { PROC_ABSENT, PROC_RUNNING, PROC_PAUSED, PROC_DEAD };

/* Records the command and starts it. priority: SCHED_FIFO, 0 for none. */
bool proc_start(const struct lab *lab, const char *node, const char *name, const char *const *argv, int priority,
                GError **error);
/* Starts what was recorded; SB_ERROR_CONFLICT if it runs. */
bool proc_start_again(const struct lab *lab, const char *node, const char *name, GError **error);
/* Sends a signal to the process and its workers; *at_us (may be NULL): wall time after it. Returns
 * from SIGKILL when the process is gone, from SIGSTOP when it stands. */
bool proc_signal(const struct lab *lab, const char *node, const char *name, int signal_number, int64_t *at_us,
                 GError **error);
/* SIGTERM, SIGKILL after a deadline, returns when it is gone; from then on it is ABSENT. Not running is no error. */
bool proc_stop(const struct lab *lab, const char *node, const char *name, GError **error);
enum proc_state proc_state(const struct lab *lab, const char *node, const char *name, pid_t *pid);
/* "NODE.PROC" of every process ever started in this lab, sorted; g_ptr_array_unref. */
GPtrArray *proc_list(const struct lab *lab);
/* Why it is not running, with the end of its log; g_free. */
char *proc_obituary(const struct lab *lab, const char *node, const char *name);

/* Ends every recorded process and every process in the given namespaces (NULL-terminated full names): SIGTERM to the
 * recorded ones, at the deadline SIGKILL to all that is left. Returns when they are gone. */
bool proc_stop_all(const struct lab *lab, char **namespaces, GError **error);

#endif
