/* replay.h: parts of the replay of 2 July 2024.
 *
 *   replay_proc    runs programs of the lab and of signalbox
 *   replay_run     one run: warm-up gate, fault, button, heal, failback; leaves the records of every request
 *   replay_report  figures, limits, JSON
 *
 * Not thread-safe; one thread.
 */
#ifndef LAB_REPLAY_H
#define LAB_REPLAY_H

#include "tests/lab/traffic/traffic_log.h"

#include <jansson.h>
#include <sys/types.h>

#define REPLAY_ROOM "room-a"
#define REPLAY_SETTLE_US 6000000 /* TTL of the site's names and a second */

struct replay {
    char *build;           /* folder with server/signalbox, tests/lab/lab */
    char *run;             /* folder of the lab */
    const char *fault;     /* hole, cut */
    bool server;           /* false: killed before the fault, nobody presses the button */
    bool gateways;         /* the site has some, and single-room services escape over their lines */
    bool reuse;            /* a running lab is taken and left */
    uint64_t seed;         /* of the first run; the next ones count up */
    GHashTable *dedicated; /* set of addresses of dedicated edges */
    GPtrArray *rooms;      /* names */
};

/* What a run leaves. */
struct replay_run {
    uint64_t seed;
    struct traffic_log log;
    struct measure_input in;        /* its requests and streams are the log's */
    int button_exit, failback_exit; /* exit codes of signalbox plan run; 0 when it was not run */
};

/* replay_run.c: false when the run could not be made (not: when users suffered). Clear `out` in both cases. */
bool replay_run(struct replay *replay, uint64_t seed, struct replay_run *out, GError **error);
void replay_run_clear(struct replay_run *run);

/* replay_proc.c. Set by SIGINT, SIGTERM and SIGHUP: whatever waits ends with an error. */
bool replay_interrupted(GError **error);
void replay_catch_signals(void);
/* Runs a program to its end; its output, g_free; NULL with the last line of its error output when it fails. */
char *replay_command(const struct replay *replay, int timeout_s, const char *const *argv, GError **error);
/* `lab VERB ...`; argv without the program. g_free. */
char *replay_lab(const struct replay *replay, int timeout_s, const char *const *argv, GError **error);
/* The same for a fault: the time at which it took effect, or MEASURE_NONE. */
int64_t replay_fault(const struct replay *replay, const char *verb, const char *selector, GError **error);
/* Starts a program; output goes to the file. 0 on failure. */
pid_t replay_start(const char *output, const char *const *argv, GError **error);
/* Exit code of a program that replay_start started (128 + signal), waiting until wall clock `deadline_us`. -1 on
 * time-out, interrupt or error; then it still runs. */
int replay_wait(pid_t pid, int64_t deadline_us, GError **error);
/* Ends it: SIGTERM, and SIGKILL when it does not go within `grace_s`. Its exit code. */
int replay_end(pid_t pid, int grace_s);
/* Until wall clock `at_us`, as long as `pid` runs. */
bool replay_until(int64_t at_us, pid_t pid, GError **error);

/* replay_report.c: prints figures and limits, returns whether all held; json (may be NULL) gets the result line. */
bool replay_report(const struct replay *replay, const GPtrArray *runs, json_t **json);
json_t *replay_run_to_json(const struct replay *replay, const struct replay_run *run);

#endif
