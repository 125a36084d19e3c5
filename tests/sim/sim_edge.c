/* sim_edge.c: an edge: the agent's loop, its disk, its HAProxy. */
#include "tests/sim/sim.h"

#include <string.h>

#define ANSWER_WAIT_US (2 * SECOND)     /* before a question counts as failed */
#define REPORT_WAIT_US (3 * SECOND / 2) /* and a report */

void table_clear(struct table *table)
{
    for (unsigned i = 0; i < PARTS; i++)
        g_clear_pointer(&table->parts[i], g_bytes_unref);
    table->manifest = (struct manifest){0};
}

void table_copy(struct table *to, const struct table *from)
{
    struct table copy = *from;
    for (unsigned i = 0; i < PARTS; i++)
        if (copy.parts[i] != NULL)
            g_bytes_ref(copy.parts[i]);
    table_clear(to);
    *to = copy;
}

static void step(struct sim *sim, struct edge_node *edge, const struct agent_event *event);

/* Events that belong to one life of the agent. */
struct later {
    unsigned life;
    enum agent_event_kind kind;
    uint64_t id, epoch;
    unsigned server;
    char hash[PART_HASH_SIZE];
    struct table table;
};

static void later_free(gpointer data)
{
    struct later *later = data;
    table_clear(&later->table);
    g_free(later);
}

static struct later *later_new(const struct edge_node *edge, enum agent_event_kind kind)
{
    struct later *later = g_new0(struct later, 1);
    later->life = edge->life;
    later->kind = kind;
    return later;
}

static void take_table(const struct agent *agent, struct table *out)
{
    GBytes *const *parts;
    const struct manifest *manifest = agent_table(agent, &parts);
    g_assert(manifest != NULL);
    out->manifest = *manifest;
    for (unsigned i = 0; i < PARTS; i++)
        out->parts[i] = g_bytes_ref(parts[i]);
}

/* Asking. */

static void question_unanswered(struct sim *sim, void *node, void *data)
{
    struct edge_node *edge = node;
    const struct later *later = data;
    if (edge->agent == NULL || later->life != edge->life)
        return;
    if (later->kind == AGENT_POLL_FAILED) {
        if (edge->poll != later->id)
            return;
        edge->poll = 0;
    } else if (GPOINTER_TO_SIZE(g_hash_table_lookup(edge->fetches, later->hash)) != later->id) {
        return;
    } else {
        g_hash_table_remove(edge->fetches, later->hash);
    }
    step(sim, edge, &(struct agent_event){.kind = later->kind, .hash = later->hash, .text = "no answer"});
}

static bool cut_to(const struct sim *sim, const struct edge_node *edge, unsigned server)
{
    return edge->cut_to_until_us > sim->now_us || sim->servers[server].cut_until_us > sim->now_us;
}

static void ask(struct sim *sim, struct edge_node *edge, const struct agent_effect *effect)
{
    struct question *question = g_new0(struct question, 1);
    *question = (struct question){.kind = effect->kind == AGENT_POLL ? ASK_POLL : ASK_PART,
                                  .edge = edge->index,
                                  .server = effect->server,
                                  .id = ++edge->asked,
                                  .stamp = effect->stamp};
    struct later *unanswered = later_new(edge, effect->kind == AGENT_POLL ? AGENT_POLL_FAILED : AGENT_PART_FAILED);
    unanswered->id = question->id;
    memcpy(question->hash, effect->hash, sizeof question->hash);
    memcpy(unanswered->hash, effect->hash, sizeof unanswered->hash);
    if (effect->kind == AGENT_POLL) {
        edge->poll = question->id;
        g_hash_table_remove_all(edge->fetches); /* what was asked before is waited for no more */
    } else {
        g_hash_table_replace(edge->fetches, g_strdup(effect->hash), GSIZE_TO_POINTER(question->id));
    }
    sim_at(sim, sim->now_us + ANSWER_WAIT_US, question_unanswered, edge, unanswered, later_free);
    sim_send(sim, cut_to(sim, edge, effect->server), server_take, NULL, question, question_copy, question_free);
}

/* Reports: one under way to each server, as agent/link.h has it. */

static void send_report(struct sim *sim, struct edge_node *edge, unsigned server);

static void report_ended(struct sim *sim, struct edge_node *edge, unsigned server, const struct agent_event *outcome)
{
    edge->reports[server].id = 0;
    if (edge->reports[server].again)
        send_report(sim, edge, server);
    step(sim, edge, outcome);
}

static void report_unanswered(struct sim *sim, void *node, void *data)
{
    struct edge_node *edge = node;
    const struct later *later = data;
    unsigned server = later->server;
    if (edge->agent != NULL && later->life == edge->life && edge->reports[server].id == later->id)
        report_ended(sim, edge, server,
                     &(struct agent_event){.kind = AGENT_SILENT, .server = server, .text = "no answer"});
}

static void report_answered(struct sim *sim, struct edge_node *edge, const struct answer *answer)
{
    bool heard = answer->kind == ANSWER_HEARD;
    if (edge->reports[answer->server].id == answer->id)
        report_ended(sim, edge, answer->server,
                     &(struct agent_event){.kind = heard ? AGENT_HEARD : AGENT_SILENT,
                                           .server = answer->server,
                                           .stamp = answer->stamp,
                                           .text = heard ? NULL : "refused"});
}

/* An answer that nobody waits for any more still arrives now and then: the loop above HTTP must bear it. */
void edge_take(struct sim *sim, void *node, void *data)
{
    struct edge_node *edge = node;
    const struct answer *answer = data;
    if (edge->agent == NULL)
        return;
    if (answer->of == TELL_REPORT) {
        report_answered(sim, edge, answer);
        return;
    }
    struct agent_event event = {.manifest = &answer->manifest, .hash = answer->hash, .bytes = answer->bytes};
    bool part = answer->of == ASK_PART;
    bool awaited = part ? GPOINTER_TO_SIZE(g_hash_table_lookup(edge->fetches, answer->hash)) == answer->id
                        : edge->poll == answer->id;
    if (!awaited && answer->kind != ANSWER_MANIFEST)
        return;
    if (awaited && part)
        g_hash_table_remove(edge->fetches, answer->hash);
    else if (awaited)
        edge->poll = 0;
    switch (answer->kind) {
    case ANSWER_MANIFEST:
        event.kind = AGENT_MANIFEST;
        break;
    case ANSWER_UNCHANGED:
        event.kind = AGENT_UNCHANGED;
        break;
    case ANSWER_PART:
        event.kind = AGENT_PART;
        break;
    case ANSWER_HEARD: /* answers no poll and no fetch */
    case ANSWER_FAILED:
        event.kind = part ? AGENT_PART_FAILED : AGENT_POLL_FAILED;
        event.text = "refused";
        break;
    }
    step(sim, edge, &event);
}

static json_t *report_json(const struct edge_node *edge)
{
    static const struct {
        const char *room, *via;
    } origins[] = {{"room-a", "pop-a1"}, {"room-a", "pop-a2"}, {"room-b", "pop-b1"}, {"room-b", "pop-b2"}};
    json_t *rows = json_array();
    for (size_t i = 0; edge->edge_class == EDGE_PUBLIC && i < G_N_ELEMENTS(origins); i++)
        json_array_append_new(rows, json_pack("{s:s, s:s, s:b, s:s, s:i}", "room", origins[i].room, "via",
                                              origins[i].via, "up", 1, "status", "L4OK", "latency_us", 1000));
    struct stamp applied = agent_applied(edge->agent);
    json_t *report = json_pack(
        "{s:s, s:s, s:I, s:{s:I, s:I}, s:s, s:s?, s:i, s:[{s:s, s:s, s:s, s:i, s:i, s:f, s:f}], s:o}", "edge",
        edge->name, "cluster", "sim", "promised", (json_int_t)agent_promised(edge->agent), "applied", "epoch",
        (json_int_t)applied.epoch, "generation", (json_int_t)applied.generation, "state", agent_state(edge->agent),
        "error", agent_error(edge->agent), "window_us", 1000000, "counters", "policy", "core.playback", "room",
        "room-b", "via", "pop-b1", "requests", 10, "failed", 0, "rate", 10.0, "fail_rate", 0.0, "origins", rows);
    if (edge->edge_class != CLASS_GATEWAY)
        return report;
    json_object_del(report, "counters");
    json_object_set_new(
        report, "gateway",
        json_pack("{s:b, s:i, s:[], s:[], s:[]}", "forwarder", 1, "table", 1, "vips", "backends", "shown"));
    return report;
}

static void send_report(struct sim *sim, struct edge_node *edge, unsigned server)
{
    edge->reports[server].again = edge->reports[server].id != 0;
    if (edge->reports[server].id != 0)
        return;
    struct question *report = g_new0(struct question, 1);
    *report = (struct question){
        .kind = TELL_REPORT, .edge = edge->index, .server = server, .id = ++edge->asked, .report = report_json(edge)};
    edge->reports[server].id = report->id;
    struct later *unanswered = later_new(edge, AGENT_SILENT);
    unanswered->id = report->id;
    unanswered->server = server;
    sim_at(sim, sim->now_us + REPORT_WAIT_US, report_unanswered, edge, unanswered, later_free);
    edge->told_promise = MAX(edge->told_promise, agent_promised(edge->agent));
    if (stamp_compare(agent_applied(edge->agent), edge->acknowledged) > 0)
        edge->acknowledged = agent_applied(edge->agent);
    sim_send(sim, cut_to(sim, edge, server), server_take, NULL, report, question_copy, question_free);
}

static void send_reports(struct sim *sim, struct edge_node *edge)
{
    for (unsigned i = 0; i < SERVERS; i++)
        send_report(sim, edge, i);
}

static void report_again(struct sim *sim, void *node, void *data)
{
    struct edge_node *edge = node;
    if (edge->agent == NULL || GPOINTER_TO_UINT(data) != edge->life)
        return;
    if (edge->paused_until_us <= sim->now_us)
        send_reports(sim, edge);
    sim_at(sim, sim->now_us + (int64_t)((double)SECOND / edge->rate), report_again, edge, data, NULL);
}

/* Disk and HAProxy. What an agent has begun goes on without it, or is lost: a coin decides. */

static bool outlives(struct sim *sim, const struct edge_node *edge, const struct later *later)
{
    return (edge->agent != NULL && later->life == edge->life) || sim_chance(sim, 50);
}

static void reply(struct sim *sim, struct edge_node *edge, const struct later *later, enum agent_event_kind kind,
                  const char *text)
{
    if (edge->agent != NULL && later->life == edge->life)
        step(sim, edge, &(struct agent_event){.kind = kind, .text = text});
}

static void disk_done(struct sim *sim, void *node, void *data)
{
    struct edge_node *edge = node;
    struct later *later = data;
    bool orphan = later->life != edge->life; /* its agent died first: synced by then, or lost */
    if (orphan && (edge->agent != NULL || sim_chance(sim, 50)))
        return;
    if (edge->disk_bad_until_us > sim->now_us) {
        reply(sim, edge, later, AGENT_DISK_FAILED, "input/output error");
        return;
    }
    if (later->kind == AGENT_PERSISTED) {
        table_copy(&edge->previous, &edge->disk);
        table_copy(&edge->disk, &later->table);
        edge->torn = false;
    } else {
        check_promised(edge, later->epoch);
        if (!(sim->bugs & BUG_PROMISE_NOT_KEPT))
            edge->disk_promised = later->epoch;
    }
    reply(sim, edge, later, later->kind, NULL);
}

static void takes_effect(struct sim *sim, struct edge_node *edge, const struct table *table)
{
    sim_trace(sim, "%s: %" G_GUINT64_FORMAT ".%" G_GUINT64_FORMAT " takes effect", edge->name,
              table->manifest.stamp.epoch, table->manifest.stamp.generation);
    check_took_effect(sim, edge, table);
    table_copy(&edge->actuator, table);
}

static void apply_done(struct sim *sim, void *node, void *data)
{
    struct edge_node *edge = node;
    struct later *later = data;
    if (later->life != edge->life && stamp_compare(later->table.manifest.stamp, edge->actuator.manifest.stamp) < 0)
        return; /* its commands went to a HAProxy that a newer agent has meanwhile written to: the socket is closed */
    if (!outlives(sim, edge, later))
        return;
    if (edge->apply_bad_until_us > sim->now_us) {
        sim_count(sim, SEEN_apply_failed);
        reply(sim, edge, later, AGENT_APPLY_FAILED, "read back differs");
        return;
    }
    takes_effect(sim, edge, &later->table);
    if (later->life == edge->life)
        edge->logged = later->table.manifest.stamp;
    reply(sim, edge, later, AGENT_APPLIED, NULL);
}

void edge_haproxy_restart(struct sim *sim, struct edge_node *edge)
{
    sim_trace(sim, "%s: HAProxy restarts", edge->name);
    if (edge->torn) /* its own files hold what was in force; its agent may give it the older table (agent.h, damage) */
        edge->newest = edge->last_good = edge->disk.manifest.stamp;
    else if (edge->disk.manifest.stamp.epoch != 0)
        takes_effect(sim, edge, &edge->disk);
    if (edge->agent != NULL)
        step(sim, edge, &(struct agent_event){.kind = AGENT_RESTARTED});
}

static void carry_out(struct sim *sim, struct edge_node *edge, const struct agent_effect *effect)
{
    struct later *later;
    int64_t takes_us = sim_random(sim, 300, sim_chance(sim, 5) ? 200000 : 8000);
    switch (effect->kind) {
    case AGENT_POLL:
    case AGENT_FETCH:
        ask(sim, edge, effect);
        break;
    case AGENT_WRITE_PROMISE:
        later = later_new(edge, AGENT_PROMISED);
        later->epoch = effect->epoch;
        sim_at(sim, sim->now_us + takes_us, disk_done, edge, later, later_free);
        break;
    case AGENT_WRITE_TABLE:
        later = later_new(edge, AGENT_PERSISTED);
        take_table(edge->agent, &later->table);
        sim_at(sim, sim->now_us + takes_us, disk_done, edge, later, later_free);
        break;
    case AGENT_APPLY:
        later = later_new(edge, AGENT_APPLIED);
        take_table(edge->agent, &later->table);
        sim_at(sim, sim->now_us + takes_us, apply_done, edge, later, later_free);
        break;
    case AGENT_REPORT:
        send_reports(sim, edge);
        break;
    }
}

/* The loop. */

static void on_tick(struct sim *sim, void *node, void *data)
{
    struct edge_node *edge = node;
    const struct later *later = data;
    if (edge->agent != NULL && later->life == edge->life && later->id == edge->tick)
        step(sim, edge, &(struct agent_event){.kind = AGENT_TICK});
}

static int64_t local_us(const struct sim *sim, const struct edge_node *edge)
{
    return (int64_t)((double)sim->now_us * edge->rate) + edge->clock_us;
}

struct postponed {
    struct later later; /* first: freed with it */
    struct agent_event event;
    struct manifest manifest;
};

static void postponed_free(gpointer data)
{
    struct postponed *postponed = data;
    if (postponed->event.bytes != NULL)
        g_bytes_unref(postponed->event.bytes);
    later_free(postponed);
}

static void wake(struct sim *sim, void *node, void *data)
{
    struct edge_node *edge = node;
    const struct postponed *postponed = data;
    if (edge->agent != NULL && postponed->later.life == edge->life)
        step(sim, edge, &postponed->event);
}

/* A stopped process finds its events when it goes on. */
static void postpone(struct sim *sim, struct edge_node *edge, const struct agent_event *event)
{
    struct postponed *postponed = g_new0(struct postponed, 1);
    postponed->later.life = edge->life;
    postponed->event = *event;
    if (event->manifest != NULL) {
        postponed->manifest = *event->manifest;
        postponed->event.manifest = &postponed->manifest;
    }
    if (event->hash != NULL) {
        memcpy(postponed->later.hash, event->hash, PART_HASH_SIZE);
        postponed->event.hash = postponed->later.hash;
    }
    if (event->bytes != NULL)
        g_bytes_ref(event->bytes);
    sim_at(sim, edge->paused_until_us, wake, edge, postponed, postponed_free);
}

static void step(struct sim *sim, struct edge_node *edge, const struct agent_event *event)
{
    if (edge->paused_until_us > sim->now_us) {
        postpone(sim, edge, event);
        return;
    }
    struct agent_effect effects[AGENT_EFFECTS_MAX];
    int64_t next_us, now_us = local_us(sim, edge);
    unsigned n = agent_step(edge->agent, event, now_us, effects, &next_us);
    for (unsigned i = 0; i < n; i++)
        carry_out(sim, edge, &effects[i]);
    if (next_us == INT64_MAX)
        return;
    struct later *tick = later_new(edge, AGENT_TICK);
    tick->id = ++edge->tick;
    sim_at(sim, sim->now_us + (int64_t)((double)MAX(next_us - now_us, 0) / edge->rate) + 1, on_tick, edge, tick,
           later_free);
}

/* Life and death. */

void edge_start(struct sim *sim, void *node, void *data)
{
    struct edge_node *edge = node;
    (void)data;
    if (edge->agent != NULL)
        return;
    struct agent_config config = {.cluster = "sim", .edge = edge->name, .n_servers = SERVERS, .bug = sim->agent_bug};
    sim_trace(sim, "%s: agent starts with %" G_GUINT64_FORMAT ".%" G_GUINT64_FORMAT, edge->name,
              edge->disk.manifest.stamp.epoch, edge->disk.manifest.stamp.generation);
    check_acknowledged(sim, edge);
    edge->agent = agent_new(&config);
    bool kept = edge->disk.manifest.stamp.epoch != 0;
    for (unsigned i = 0; kept && i < PARTS; i++)
        agent_keep_part(edge->agent, edge->disk.manifest.hash[i], edge->disk.parts[i]);
    step(sim, edge,
         &(struct agent_event){.kind = AGENT_START,
                               .manifest = kept ? &edge->disk.manifest : NULL,
                               .promised = edge->disk_promised,
                               .stamp = edge->logged,
                               .text = edge->torn ? "table: its hash does not fit" : NULL});
    sim_at(sim, sim->now_us + sim_random(sim, 1000, SECOND), report_again, edge, GUINT_TO_POINTER(edge->life), NULL);
}

void edge_kill(struct sim *sim, struct edge_node *edge)
{
    if (edge->agent == NULL)
        return;
    sim_trace(sim, "%s: agent dies", edge->name);
    g_clear_pointer(&edge->agent, agent_free);
    g_hash_table_remove_all(edge->fetches);
    memset(edge->reports, 0, sizeof edge->reports);
    edge->poll = 0;
    edge->life++;
    edge->paused_until_us = 0;
    sim_at(sim, sim->now_us + sim_random(sim, 1000, 2 * SECOND), edge_start, edge, NULL, NULL);
}

/* Not while a table is being applied: what took effect but was not logged yet, and is torn as well, may be followed by
 * the one before. */
bool edge_tear(struct sim *sim, struct edge_node *edge)
{
    struct stamp disk = edge->disk.manifest.stamp;
    if (disk.epoch == 0 || edge->torn || stamp_compare(edge->logged, disk) != 0)
        return false;
    edge_kill(sim, edge);
    table_copy(&edge->disk, &edge->previous);
    edge->torn = true;
    return true;
}

void edge_init(struct sim *sim, unsigned index)
{
    static const char *const names[AGENTS] = {"edge-1", "edge-2", "edge-3", "edge-4", "gw-b1"};
    struct edge_node *edge = &sim->edges[index];
    edge->index = index;
    edge->name = names[index];
    edge->edge_class = index < 2 ? EDGE_PUBLIC : index < EDGES ? EDGE_DEDICATED : CLASS_GATEWAY;
    edge->rate = 1 + (double)sim_random(sim, -500, 500) / 1e5;
    edge->clock_us = sim_random(sim, 0, 1000 * SECOND);
    edge->fetches = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    sim_at(sim, sim_random(sim, 0, 50000), edge_start, edge, NULL, NULL);
}

void edge_clear(struct edge_node *edge)
{
    g_clear_pointer(&edge->agent, agent_free);
    g_hash_table_unref(edge->fetches);
    table_clear(&edge->disk);
    table_clear(&edge->previous);
    table_clear(&edge->actuator);
}
