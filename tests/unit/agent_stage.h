/* agent_stage.h: a small agent of shell, keep and an actuator that writes down what it is given, as a process of its
 * own that can be killed, traced and started again, beside a control server of the test.
 *
 *   FOLDER/force   what the actuator was given, a line each: epoch, generation, hash of all bytes
 */
#ifndef TESTS_UNIT_AGENT_STAGE_H
#define TESTS_UNIT_AGENT_STAGE_H

#include "agent/keep.h"
#include "tests/unit/agent_server.h"

#include <sys/types.h>

#define STAGE_EPOCH 131073u

/* What the process is when main is called with "agent" FOLDER URL; never returns without an error. */
int agent_stage_main(const char *folder, const char *url);

struct stage {
    char *dir, *url;
    struct server server;
    pid_t agent, tracer;   /* 0: none */
    struct stamp said[32]; /* by the server, in order */
    unsigned n_said;
    uint64_t promised; /* newest that was reported */
};
/* dir: is taken over; NULL: one of its own. Says generation 1 of STAGE_EPOCH; no agent yet. */
void stage_begin(struct stage *s, char *dir);
void stage_end(struct stage *s);
void stage_say(struct stage *s, struct stamp stamp, enum lie lie);
void stage_say_again(struct stage *s, struct stamp stamp); /* one that is over */

/* inject: as strace has it, from the first instruction on, or NULL. */
void stage_spawn(struct stage *s, const char *inject);
void stage_kill(struct stage *s);
/* Until stage_untrace: inject into calls that touch `path` (NULL: all). */
void stage_trace(struct stage *s, const char *inject, const char *path);
void stage_untrace(struct stage *s);

/* Waits until a report says state and applied stamp (state NULL: any), and a piece of its error or events ("":
 * anything). False: the agent has died instead. Fails after deadline_us. */
bool stage_await(struct stage *s, const char *state, struct stamp applied, const char *error, int64_t deadline_us);
/* Last stamp in FOLDER/force. Fails when one is older than the one before or has other bytes than the server's. */
struct stamp stage_force(const struct stage *s);
/* What is on disk can be read, is not older than what is in force, and keeps what was promised. */
void stage_expect_disk(const struct stage *s);
/* Each stamp that was said stands in applied.log once, in order. */
void stage_await_log(const struct stage *s, int64_t deadline_us);
void stage_expect_log(const struct stage *s);

#endif
