/* sim_server.c: a control server: carries out the engine's effects, and dies or is stopped between two of them. */
#include "tests/sim/sim.h"

#include <string.h>

#define POLL_WAIT_US SECOND /* how long a poll is held */

struct now server_now(const struct sim *sim)
{
    return (struct now){.us = sim->now_us, .wall_us = sim->now_us};
}

void server_init(struct sim *sim, unsigned index)
{
    struct server *server = &sim->servers[index];
    server->index = index;
    server->crash_in = server->pause_in = -1;
    effects_init(&server->rest);
}

static void forget_process(struct server *server)
{
    g_clear_pointer(&server->engine, engine_free);
    g_clear_pointer(&server->published, resolved_unref);
    g_clear_pointer(&server->before, resolved_unref);
    memset(server->polls, 0, sizeof server->polls);
    effects_clear(&server->rest);
    server->crash_in = server->pause_in = -1;
    server->paused_until_us = 0;
    server->claimed_with = 0;
    server->life++;
}

void server_clear(struct server *server)
{
    forget_process(server);
}

struct server *server_leader(struct sim *sim)
{
    for (unsigned i = 0; i < SERVERS; i++)
        if (sim->servers[i].engine != NULL && sim->servers[i].epoch == sim->journal.epoch)
            return &sim->servers[i];
    return NULL;
}

/* One of the two gets the lease some time after. */
void server_kill(struct sim *sim, struct server *server)
{
    if (server->engine == NULL)
        return;
    sim_trace(sim, "server %u dies", server->index);
    forget_process(server);
    sim_at(sim, sim->now_us + sim_random(sim, 20000, SECOND), server_start,
           &sim->servers[sim_random(sim, 0, SERVERS - 1)], NULL, NULL);
}

/* Answers. */

static void answer(struct sim *sim, struct answer *answer)
{
    struct edge_node *edge = &sim->edges[answer->edge];
    sim_send(sim, edge->cut_from_until_us > sim->now_us, edge_take, edge, answer, answer_copy, answer_free);
}

static void answer_table(struct sim *sim, const struct question *question, const struct resolved *resolved)
{
    struct answer *table = answer_new(question);
    table->kind = ANSWER_MANIFEST;
    resolved_manifest(resolved, sim->edges[question->edge].name, &table->manifest);
    answer(sim, table);
}

static void release_polls(struct sim *sim, struct server *server)
{
    for (unsigned i = 0; i < EDGES; i++) {
        if (!server->polls[i].held)
            continue;
        struct question question = {.kind = ASK_POLL, .edge = i, .server = server->index, .id = server->polls[i].id};
        server->polls[i].held = false;
        answer_table(sim, &question, server->published);
    }
}

struct poll_end {
    unsigned life, edge;
    uint64_t id;
};

static void poll_ends(struct sim *sim, void *node, void *data)
{
    const struct poll_end *end = data;
    struct server *server = node;
    struct waiting_poll *poll = &server->polls[end->edge];
    if (end->life != server->life || !poll->held || poll->id != end->id)
        return;
    struct question question = {.kind = ASK_POLL, .edge = end->edge, .server = server->index, .id = end->id};
    struct answer *unchanged = answer_new(&question);
    poll->held = false;
    unchanged->kind = ANSWER_UNCHANGED;
    answer(sim, unchanged);
}

static void take_poll(struct sim *sim, struct server *server, const struct question *question)
{
    if (stamp_compare(question->stamp, server->published->world->stamp) != 0) {
        answer_table(sim, question, server->published);
        return;
    }
    server->polls[question->edge] = (struct waiting_poll){.held = true, .id = question->id};
    struct poll_end *end = g_new(struct poll_end, 1);
    *end = (struct poll_end){.life = server->life, .edge = question->edge, .id = question->id};
    sim_at(sim, sim->now_us + POLL_WAIT_US, poll_ends, server, end, g_free);
}

static void take_fetch(struct sim *sim, const struct server *server, const struct question *question)
{
    GBytes *bytes = resolved_part(server->published, question->hash);
    if (bytes == NULL && server->before != NULL)
        bytes = resolved_part(server->before, question->hash);
    struct answer *part = answer_new(question);
    part->kind = bytes != NULL ? ANSWER_PART : ANSWER_FAILED;
    part->bytes = bytes != NULL ? g_bytes_ref(bytes) : NULL;
    answer(sim, part);
}

static void refuse_connection(struct sim *sim, const struct question *question)
{
    struct answer *refused = answer_new(question);
    refused->kind = ANSWER_FAILED;
    answer(sim, refused);
}

static void take_report(struct sim *sim, struct server *server, const struct question *question)
{
    struct effects effects;
    effects_init(&effects);
    if (!engine_edge_report(server->engine, sim->edges[question->edge].name, question->report, sim->now_us, &effects,
                            NULL))
        sim_fail(sim, "the engine did not take a report of %s", sim->edges[question->edge].name);
    check_claimed(sim, server);
    if (!server_carry_out(sim, server, &effects))
        return; /* no answer */
    struct answer *heard = answer_new(question);
    heard->kind = ANSWER_HEARD;
    heard->stamp = server->published->world->stamp;
    answer(sim, heard);
}

void server_take(struct sim *sim, void *node, void *data)
{
    struct question *question = data;
    struct server *server = &sim->servers[question->server];
    if (server->paused_until_us > sim->now_us)
        sim_at(sim, server->paused_until_us, server_take, node, question_copy(question), question_free);
    else if (server->published == NULL)
        refuse_connection(sim, question);
    else if (question->kind == ASK_POLL)
        take_poll(sim, server, question);
    else if (question->kind == ASK_PART)
        take_fetch(sim, server, question);
    else
        take_report(sim, server, question);
}

/* The name server: shows a generation some time after it was published. */

struct shown {
    unsigned life;
    struct stamp stamp;
};

static void dns_shows(struct sim *sim, void *node, void *data)
{
    const struct shown *shown = data;
    struct server *server = node;
    if (shown->life != server->life || server->engine == NULL)
        return;
    if (server->paused_until_us > sim->now_us) {
        sim_at(sim, server->paused_until_us, dns_shows, server, g_memdup2(shown, sizeof *shown), g_free);
        return;
    }
    struct server_report *report = g_new0(struct server_report, 1);
    report->nameserver = g_strdup("ns-1");
    report->state = g_strdup("converged");
    report->at_us = report->confirmed_at_us = sim->now_us;
    report->confirmed = shown->stamp;
    struct effects effects;
    effects_init(&effects);
    engine_server_report(server->engine, report, sim->now_us, &effects);
    server_carry_out(sim, server, &effects);
}

static void publish(struct sim *sim, struct server *server, struct resolved *resolved)
{
    struct stamp stamp = resolved->world->stamp;
    struct shown *shown = g_new(struct shown, 1);
    *shown = (struct shown){.life = server->life, .stamp = stamp};
    sim_trace(sim, "server %u publishes %" G_GUINT64_FORMAT ".%" G_GUINT64_FORMAT " %s", server->index, stamp.epoch,
              stamp.generation, resolved->world->cause);
    check_published(sim, server, stamp);
    g_clear_pointer(&server->before, resolved_unref);
    server->before = server->published;
    server->published = resolved_ref(resolved);
    release_polls(sim, server);
    sim_at(sim, sim->now_us + sim_random(sim, 5000, 400000), dns_shows, server, shown, g_free);
}

static bool carry_out_one(struct sim *sim, struct server *server, struct effect *effect)
{
    if (server->crash_in == 0)
        return false;
    server->crash_in -= server->crash_in > 0;
    if (effect->kind == EFFECT_JOURNAL)
        return journal_write(sim, server, effect->entries);
    publish(sim, server, effect->resolved);
    return true;
}

/* Goes on where it was stopped, though much may have happened meanwhile. */
static void goes_on(struct sim *sim, void *node, void *data)
{
    struct server *server = node;
    struct effects none;
    effects_init(&none);
    if (GPOINTER_TO_UINT(data) != server->life || server->engine == NULL)
        return;
    if (server->paused_until_us > sim->now_us)
        sim_at(sim, server->paused_until_us, goes_on, server, data, NULL);
    else
        server_carry_out(sim, server, &none);
}

/* The lease of a stopped server runs out now and then. */
void server_pause(struct sim *sim, struct server *server, int64_t longest_us)
{
    server->paused_until_us = MIN(sim->now_us + sim_random(sim, 50000, longest_us), HEAL_US);
    sim_trace(sim, "server %u stopped until %.6f", server->index, (double)server->paused_until_us / SECOND);
    sim_at(sim, server->paused_until_us, goes_on, server, GUINT_TO_POINTER(server->life), NULL);
    if (sim_chance(sim, 60))
        sim_at(sim, sim->now_us + sim_random(sim, 1000, SECOND), server_start,
               &sim->servers[(server->index + 1) % SERVERS], server, NULL);
}

bool server_carry_out(struct sim *sim, struct server *server, struct effects *effects)
{
    struct effect *effect;
    bool alive = true;
    while ((effect = effects_pop(effects)) != NULL)
        g_queue_push_tail(&server->rest.queue, effect);
    while (alive && server->pause_in != 0 && (effect = effects_pop(&server->rest)) != NULL) {
        server->pause_in -= server->pause_in > 0;
        alive = carry_out_one(sim, server, effect);
        effect_free(effect);
    }
    if (!alive) {
        server_kill(sim, server);
        return false;
    }
    if (server->pause_in == 0) {
        server->pause_in = -1;
        server_pause(sim, server, 3 * SECOND);
    }
    return g_queue_is_empty(&server->rest.queue);
}

static void wake(struct sim *sim, void *node, void *data);

static void schedule_tick(struct sim *sim, struct server *server, int64_t at_us)
{
    if (server->engine != NULL)
        sim_at(sim, at_us, wake, server, GUINT_TO_POINTER(server->life), NULL);
}

/* The engine is asked every 100 ms what it wants: so no timer is forgotten whatever made it want one. Once the lease is
 * sound, a server whose reign is over notices it. */
static void wake(struct sim *sim, void *node, void *data)
{
    struct server *server = node;
    if (GPOINTER_TO_UINT(data) != server->life || server->engine == NULL)
        return;
    if (server->paused_until_us > sim->now_us) {
        schedule_tick(sim, server, server->paused_until_us);
        return;
    }
    if (sim->healed && server->epoch < sim->journal.epoch) {
        server_kill(sim, server);
        return;
    }
    struct effects effects;
    effects_init(&effects);
    int64_t next_us = engine_tick(server->engine, sim->now_us, &effects);
    server_carry_out(sim, server, &effects);
    schedule_tick(sim, server, MIN(next_us, sim->now_us + 100000));
}

static struct engine *restore(struct sim *sim, uint64_t epoch)
{
    struct engine_config config = {
        .cluster = (char *)"sim", .rules = {.share_moved_max = 1.0}, .seed = sim->seed ^ epoch, .bug = sim->engine_bug};
    struct engine *engine = engine_new(&config);
    const GPtrArray *entries = sim->journal.entries;
    for (guint i = 0; i < entries->len; i++) {
        g_autoptr(GError) error = NULL;
        if (entries->pdata[i] != NULL && !engine_restore(engine, entries->pdata[i], &error))
            sim_fail(sim, "restore: %s", error->message);
    }
    return engine;
}

void server_start(struct sim *sim, void *node, void *data)
{
    struct server *server = node;
    bool forced = data != NULL && !sim->healed, fails = !sim->healed && sim_chance(sim, 20);
    if (server->engine != NULL || (server_leader(sim) != NULL && !forced && !fails))
        return;
    server->epoch = journal_begin_reign(sim, server->index + 1);
    server->engine = restore(sim, server->epoch);
    struct effects effects;
    effects_init(&effects);
    sim_trace(sim, "server %u starts, epoch %" G_GUINT64_FORMAT, server->index, server->epoch);
    engine_start(server->engine, server->epoch, sim->now_us, &effects);
    check_levers(sim, server->engine);
    server_carry_out(sim, server, &effects);
    schedule_tick(sim, server, sim->now_us + 1000);
}

/* Messages. */

struct answer *answer_new(const struct question *question)
{
    struct answer *answer = g_new0(struct answer, 1);
    answer->of = question->kind;
    answer->edge = question->edge;
    answer->server = question->server;
    answer->id = question->id;
    memcpy(answer->hash, question->hash, sizeof answer->hash);
    return answer;
}

gpointer answer_copy(gpointer data)
{
    struct answer *copy = g_memdup2(data, sizeof *copy);
    if (copy->bytes != NULL)
        g_bytes_ref(copy->bytes);
    return copy;
}

void answer_free(gpointer data)
{
    struct answer *answer = data;
    if (answer->bytes != NULL)
        g_bytes_unref(answer->bytes);
    g_free(answer);
}

gpointer question_copy(gpointer data)
{
    struct question *copy = g_memdup2(data, sizeof *copy);
    json_incref(copy->report);
    return copy;
}

void question_free(gpointer data)
{
    struct question *question = data;
    json_decref(question->report);
    g_free(question);
}
