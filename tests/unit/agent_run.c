#include "tests/unit/agent_run.h"

void run_begin(struct run *run, unsigned servers, unsigned bug)
{
    struct agent_config config = {"two-rooms", "edge-1", servers, bug};
    *run = (struct run){.agent = agent_new(&config), .now_us = 1000000};
}

void send_event(struct run *run, struct agent_event event)
{
    run->n = agent_step(run->agent, &event, run->now_us, run->effects, &run->next_us);
}

void send_kind(struct run *run, enum agent_event_kind kind)
{
    send_event(run, (struct agent_event){.kind = kind, .text = kind == AGENT_START ? NULL : "because"});
}

void send_manifest(struct run *run, const struct manifest *manifest)
{
    send_event(run, (struct agent_event){.kind = AGENT_MANIFEST, .manifest = manifest});
}

void tick_to(struct run *run, int64_t at_us)
{
    ck_assert_int_ne(at_us, INT64_MAX);
    run->now_us = MAX(run->now_us, at_us);
    send_kind(run, AGENT_TICK);
}

unsigned count(const struct run *run, enum agent_effect_kind kind, const struct agent_effect **first)
{
    unsigned n = 0;
    for (unsigned i = run->n; i-- > 0;)
        if (run->effects[i].kind == kind) {
            n++;
            if (first != NULL)
                *first = &run->effects[i];
        }
    return n;
}

void expect(const struct run *run, enum agent_effect_kind kind)
{
    ck_assert_msg(count(run, kind, NULL) == 1, "expected one effect %d", (int)kind);
}

void send_parts(struct run *run, const struct edge_parts *table)
{
    struct agent_effect asked[AGENT_EFFECTS_MAX];
    unsigned n = run->n;
    memcpy(asked, run->effects, sizeof asked);
    for (unsigned i = 0; i < n; i++)
        for (unsigned k = 0; asked[i].kind == AGENT_FETCH && k < PARTS; k++)
            if (strcmp(asked[i].hash, table->manifest.hash[k]) == 0) {
                send_event(run,
                           (struct agent_event){.kind = AGENT_PART, .hash = asked[i].hash, .bytes = table->parts[k]});
                break;
            }
}

void take_table(struct run *run, const struct edge_parts *table)
{
    send_manifest(run, &table->manifest);
    if (count(run, AGENT_WRITE_PROMISE, NULL) == 1)
        send_kind(run, AGENT_PROMISED);
    send_parts(run, table);
    expect(run, AGENT_WRITE_TABLE);
    send_kind(run, AGENT_PERSISTED);
    expect(run, AGENT_APPLY);
    send_kind(run, AGENT_APPLIED);
    ck_assert_str_eq(agent_state(run->agent), "applied");
}
