/* sim_server.c: the control server: carries out the engine's effects, and dies between two of them. */
#include "tests/sim/sim.h"

#include <string.h>

#define POLL_WAIT_US SECOND /* how long a poll is held */

static void drop_entry(gpointer entry)
{
    journal_entry_free(entry);
}

struct now server_now(const struct sim *sim)
{
    return (struct now){.us = sim->now_us, .wall_us = sim->now_us};
}

/* The journal: newest states in the order of writing, and keys. It outlives the process. */

static void journal_put(struct server *server, const struct journal_entry *entry)
{
    g_autofree char *id = g_strdup_printf("%s %s", entry->kind, entry->id);
    guint old = GPOINTER_TO_UINT(g_hash_table_lookup(server->newest, id));
    if (old > 0)
        g_clear_pointer(&server->journal->pdata[old - 1], drop_entry);
    g_ptr_array_add(server->journal, journal_entry_new(entry->kind, entry->id, entry->key, json_incref(entry->body)));
    g_hash_table_replace(server->newest, g_steal_pointer(&id), GUINT_TO_POINTER(server->journal->len));
    if (entry->key != NULL)
        g_hash_table_add(server->keys, g_strdup(entry->key));
}

static bool journal_write(struct sim *sim, const GPtrArray *entries)
{
    struct server *server = &sim->server;
    if (server->journal_broken) {
        server->journal_broken = false;
        return false;
    }
    for (guint i = 0; i < entries->len; i++) {
        const struct journal_entry *entry = entries->pdata[i];
        if (entry->key != NULL && g_hash_table_contains(server->keys, entry->key)) {
            sim_fail(sim, "the journal was given key %s again", entry->key);
            return false;
        }
    }
    check_transaction(sim, entries);
    for (guint i = 0; i < entries->len; i++)
        journal_put(server, entries->pdata[i]);
    return true;
}

void server_init(struct sim *sim, const GPtrArray *journal)
{
    struct server *server = &sim->server;
    server->crash_in = -1;
    server->epoch = 1 << 16; /* of the reign that made the journal */
    server->journal = g_ptr_array_new_with_free_func(drop_entry);
    server->newest = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    server->keys = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    for (guint i = 0; i < journal->len; i++)
        journal_put(server, journal->pdata[i]);
}

static void forget_process(struct sim *sim)
{
    struct server *server = &sim->server;
    g_clear_pointer(&server->engine, engine_free);
    g_clear_pointer(&server->published, resolved_unref);
    g_clear_pointer(&server->before, resolved_unref);
    memset(server->polls, 0, sizeof server->polls);
    server->crash_in = -1;
    server->life++;
}

void server_clear(struct sim *sim)
{
    forget_process(sim);
    g_clear_pointer(&sim->old_process, resolved_unref);
    g_ptr_array_unref(sim->server.journal);
    g_hash_table_unref(sim->server.newest);
    g_hash_table_unref(sim->server.keys);
}

void server_kill(struct sim *sim, bool stays_as_old_process)
{
    struct server *server = &sim->server;
    if (server->engine == NULL)
        return;
    sim_trace(sim, "server dies%s", stays_as_old_process ? ", an older process goes on serving its tables" : "");
    if (stays_as_old_process && server->published != NULL) {
        g_clear_pointer(&sim->old_process, resolved_unref);
        sim->old_process = resolved_ref(server->published);
    }
    forget_process(sim);
    sim_at(sim, sim->now_us + sim_random(sim, 20000, SECOND), server_start, NULL, NULL, NULL);
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

static void release_polls(struct sim *sim)
{
    struct server *server = &sim->server;
    for (unsigned i = 0; i < EDGES; i++) {
        if (!server->polls[i].held)
            continue;
        struct question question = {.kind = ASK_POLL, .edge = i, .id = server->polls[i].id};
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
    struct waiting_poll *poll = &sim->server.polls[end->edge];
    (void)node;
    if (end->life != sim->server.life || !poll->held || poll->id != end->id)
        return;
    struct question question = {.kind = ASK_POLL, .edge = end->edge, .id = end->id};
    struct answer *unchanged = answer_new(&question);
    poll->held = false;
    unchanged->kind = ANSWER_UNCHANGED;
    answer(sim, unchanged);
}

static void take_poll(struct sim *sim, const struct question *question, const struct resolved *serves, bool hold)
{
    struct server *server = &sim->server;
    if (stamp_compare(question->stamp, serves->world->stamp) != 0) {
        answer_table(sim, question, serves);
    } else if (hold) {
        server->polls[question->edge] = (struct waiting_poll){.held = true, .id = question->id};
        struct poll_end *end = g_new(struct poll_end, 1);
        *end = (struct poll_end){.life = server->life, .edge = question->edge, .id = question->id};
        sim_at(sim, sim->now_us + POLL_WAIT_US, poll_ends, NULL, end, g_free);
    }
}

static void take_fetch(struct sim *sim, const struct question *question, const struct resolved *serves,
                       const struct resolved *served_before)
{
    GBytes *bytes = resolved_part(serves, question->hash);
    if (bytes == NULL && served_before != NULL)
        bytes = resolved_part(served_before, question->hash);
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

static void answer_heard(struct sim *sim, const struct question *question, const struct resolved *serves)
{
    struct answer *heard = answer_new(question);
    heard->kind = ANSWER_HEARD;
    heard->stamp = serves->world->stamp;
    answer(sim, heard);
}

void server_take(struct sim *sim, void *node, void *data)
{
    struct question *question = data;
    struct server *server = &sim->server;
    bool second = question->server == 1;
    if (!second && server->paused_until_us > sim->now_us) {
        sim_at(sim, server->paused_until_us, server_take, node, question_copy(question), question_free);
        return;
    }
    const struct resolved *serves = second ? sim->old_process : server->published;
    if (serves == NULL || (!second && server->engine == NULL)) {
        refuse_connection(sim, question);
    } else if (question->kind == ASK_POLL) {
        take_poll(sim, question, serves, !second);
    } else if (question->kind == ASK_PART) {
        take_fetch(sim, question, serves, second ? NULL : server->before);
    } else if (!second) {
        struct effects effects;
        effects_init(&effects);
        if (!engine_edge_report(server->engine, sim->edges[question->edge].name, question->report, sim->now_us,
                                &effects, NULL))
            sim_fail(sim, "the engine did not take a report of %s", sim->edges[question->edge].name);
        if (server_carry_out(sim, &effects))
            answer_heard(sim, question, server->published);
        else
            refuse_connection(sim, question);
    } else {
        answer_heard(sim, question, serves);
    }
}

/* The name server: shows a generation some time after it was published. */

struct shown {
    unsigned life;
    struct stamp stamp;
};

static void dns_shows(struct sim *sim, void *node, void *data)
{
    const struct shown *shown = data;
    (void)node;
    if (shown->life != sim->server.life || sim->server.engine == NULL)
        return;
    struct server_report *report = g_new0(struct server_report, 1);
    report->nameserver = g_strdup("ns-1");
    report->state = g_strdup("converged");
    report->at_us = report->confirmed_at_us = sim->now_us;
    report->confirmed = shown->stamp;
    struct effects effects;
    effects_init(&effects);
    engine_server_report(sim->server.engine, report, sim->now_us, &effects);
    server_carry_out(sim, &effects);
}

static void publish(struct sim *sim, struct resolved *resolved)
{
    struct server *server = &sim->server;
    struct shown *shown = g_new(struct shown, 1);
    *shown = (struct shown){.life = server->life, .stamp = resolved->world->stamp};
    sim_trace(sim, "publishes %" G_GUINT64_FORMAT ".%" G_GUINT64_FORMAT " %s", resolved->world->stamp.epoch,
              resolved->world->stamp.generation, resolved->world->cause);
    g_clear_pointer(&server->before, resolved_unref);
    server->before = server->published;
    server->published = resolved_ref(resolved);
    release_polls(sim);
    sim_at(sim, sim->now_us + sim_random(sim, 5000, 400000), dns_shows, NULL, shown, g_free);
}

static bool carry_out_one(struct sim *sim, struct effect *effect)
{
    struct server *server = &sim->server;
    if (server->crash_in == 0)
        return false;
    server->crash_in -= server->crash_in > 0;
    if (effect->kind == EFFECT_JOURNAL)
        return journal_write(sim, effect->entries);
    publish(sim, effect->resolved);
    return true;
}

static void wake(struct sim *sim, void *node, void *data);

static void schedule_tick(struct sim *sim, int64_t at_us)
{
    if (at_us != INT64_MAX)
        sim_at(sim, at_us, wake, NULL, GUINT_TO_POINTER(sim->server.life), NULL);
}

bool server_carry_out(struct sim *sim, struct effects *effects)
{
    struct effect *effect;
    bool alive = true;
    while (alive && (effect = effects_pop(effects)) != NULL) {
        alive = carry_out_one(sim, effect);
        effect_free(effect);
    }
    effects_clear(effects);
    if (!alive)
        server_kill(sim, false);
    return alive;
}

/* The engine is asked every 100 ms what it wants: so no timer is forgotten whatever made it want one. */
static void wake(struct sim *sim, void *node, void *data)
{
    struct server *server = &sim->server;
    (void)node;
    if (GPOINTER_TO_UINT(data) != server->life || server->engine == NULL)
        return;
    if (server->paused_until_us > sim->now_us) {
        schedule_tick(sim, server->paused_until_us);
        return;
    }
    struct effects effects;
    effects_init(&effects);
    int64_t next_us = engine_tick(server->engine, sim->now_us, &effects);
    if (server_carry_out(sim, &effects))
        schedule_tick(sim, MIN(next_us, sim->now_us + 100000));
}

void server_start(struct sim *sim, void *node, void *data)
{
    struct server *server = &sim->server;
    (void)node, (void)data;
    if (server->engine != NULL)
        return;
    struct engine_config config = {
        .cluster = (char *)"sim", .rules = {.share_moved_max = 1.0}, .seed = sim->seed, .bug = sim->engine_bug};
    server->engine = engine_new(&config);
    for (guint i = 0; i < server->journal->len; i++) {
        g_autoptr(GError) error = NULL;
        if (server->journal->pdata[i] != NULL && !engine_restore(server->engine, server->journal->pdata[i], &error))
            sim_fail(sim, "restore: %s", error->message);
    }
    struct effects effects;
    effects_init(&effects);
    server->epoch += 1 << 16;
    sim_trace(sim, "server starts, epoch %" G_GUINT64_FORMAT, server->epoch);
    engine_start(server->engine, server->epoch, sim->now_us, &effects);
    check_levers(sim);
    if (server_carry_out(sim, &effects))
        schedule_tick(sim, sim->now_us + 1000);
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
