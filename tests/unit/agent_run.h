/* agent_run.h: an agent, its clock, and the effects of its last step, as tests of agent/agent.h drive it. */
#ifndef TESTS_UNIT_AGENT_RUN_H
#define TESTS_UNIT_AGENT_RUN_H

#include "agent/agent.h"
#include "tests/unit/edgeparts.h"

#include <check.h>
#include <string.h>

struct run {
    struct agent *agent;
    int64_t now_us, next_us;
    struct agent_effect effects[AGENT_EFFECTS_MAX];
    unsigned n;
};

void run_begin(struct run *run, unsigned servers, unsigned bug); /* edge-1 of two-rooms, at 1 s */
void send_event(struct run *run, struct agent_event event);
void send_kind(struct run *run, enum agent_event_kind kind); /* text: "because", but of START */
void send_manifest(struct run *run, const struct manifest *manifest);
void send_parts(struct run *run, const struct edge_parts *table); /* those that the last step asked for */
void tick_to(struct run *run, int64_t at_us);
/* From WAITING to applied. */
void take_table(struct run *run, const struct edge_parts *table);

/* Number of effects of a kind; *first: the first of them, or as it was. */
unsigned count(const struct run *run, enum agent_effect_kind kind, const struct agent_effect **first);
void expect(const struct run *run, enum agent_effect_kind kind); /* exactly one */

#endif
