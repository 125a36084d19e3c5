/* sim_server.c: a control server: carries out the engine's effects, and dies or is stopped between two of them. */
#include "tests/sim/sim.h"

#include <string.h>

#define POLL_WAIT_US SECOND /* how long a poll is held */

struct now server_now(const struct sim *sim, const struct server *server)
{
    return (struct now){.us = (int64_t)((double)sim->now_us * server->rate) + server->clock_us,
                        .wall_us = WALL_US + sim->now_us + server->wall_us};
}

int64_t server_later_us(const struct sim *sim, const struct server *server, int64_t wait_us)
{
    return sim->now_us + (int64_t)((double)wait_us / server->rate) + 1;
}

int64_t server_sim_us(const struct server *server, int64_t local_us)
{
    return (int64_t)((double)(local_us - server->clock_us) / server->rate) + 1;
}

void server_init(struct sim *sim, unsigned index)
{
    struct server *server = &sim->servers[index];
    server->index = index;
    server->crash_in = server->pause_in = -1;
    server->rate = 1 + (double)sim_random(sim, -500, 500) / 1e5;
    effects_init(&server->rest);
}

static void forget_process(struct server *server)
{
    for (unsigned i = 0; i < NAMESERVERS; i++)
        dns_driver_free(server->drivers[i].driver);
    memset(server->drivers, 0, sizeof server->drivers);
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
    bool cut = edge->cut_from_until_us > sim->now_us || sim->servers[answer->server].cut_until_us > sim->now_us;
    sim_send(sim, cut, edge_take, edge, answer, answer_copy, answer_free);
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
    for (unsigned i = 0; i < sim->agents; i++) {
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
    if (!engine_edge_report(server->engine, sim->edges[question->edge].name, question->report,
                            server_now(sim, server).us, &effects, NULL))
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

/* DNS drivers, and what they report. */

struct dns_said {
    unsigned life;
    struct server_report *report;
};

static void dns_said_free(gpointer data)
{
    struct dns_said *said = data;
    if (said->report != NULL) {
        g_free(said->report->server);
        g_free(said->report->state);
        g_free(said->report->error);
        g_free(said->report);
    }
    g_free(said);
}

static void dns_reported(struct sim *sim, void *node, void *data)
{
    struct dns_said *said = data;
    struct server *server = node;
    if (said->life != server->life || server->engine == NULL)
        return;
    if (server->paused_until_us > sim->now_us) {
        struct dns_said *again = g_memdup2(said, sizeof *said);
        said->report = NULL;
        sim_at(sim, server->paused_until_us, dns_reported, server, again, dns_said_free);
        return;
    }
    struct effects effects;
    effects_init(&effects);
    int64_t now_us = server_now(sim, server).us;
    said->report->at_us = now_us;
    engine_server_report(server->engine, g_steal_pointer(&said->report), now_us, &effects);
    server_carry_out(sim, server, &effects);
}

static void count_state(struct sim *sim, const char *state)
{
    static const struct {
        const char *state;
        enum seen seen;
    } rows[] = {{"converged", SEEN_said_converged}, {"updating", SEEN_said_updating},
                {"unknown", SEEN_said_unknown},     {"conflict", SEEN_said_conflict},
                {"refused", SEEN_said_refused},     {"unreachable", SEEN_said_unreachable}};
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++)
        if (strcmp(rows[i].state, state) == 0)
            sim_count(sim, rows[i].seen);
}

/* On the driver's fiber: the engine hears of it in an event of its own. */
static void dns_says(void *data, const char *name, const struct dns_status *status)
{
    const struct driver_home *home = fiber_home(fiber_running());
    struct server *server = data;
    if (fiber_dying(fiber_running()))
        return;
    sim_trace(home->sim, "server %u: %s is %s%s%s", server->index, name, status->state,
              status->error != NULL ? ": " : "", status->error != NULL ? status->error : "");
    count_state(home->sim, status->state);
    check_dns_report(home->sim, server, home->nameserver, status);
    struct server_report *report = g_new0(struct server_report, 1);
    *report = (struct server_report){.server = g_strdup(name),
                                     .confirmed = status->confirmed,
                                     .state = g_strdup(status->state),
                                     .error = g_strdup(status->error),
                                     .names = status->names,
                                     .residual_until_us = status->residual_until_us};
    struct dns_said *said = g_new(struct dns_said, 1);
    *said = (struct dns_said){.life = server->life, .report = report};
    sim_at(home->sim, home->sim->now_us, dns_reported, server, said, dns_said_free);
}

static struct endpoint endpoint_of(const struct inventory *inv, const char *nameserver)
{
    return INVENTORY_GET(inv, nameserver, nameserver)->address;
}

static void start_driver(struct sim *sim, struct server *server, unsigned index, const struct inventory *inv)
{
    struct endpoint notify[NAMESERVERS];
    struct dns_server_config config = {.name = (char *)nameserver_name(index),
                                       .zone = (char *)DNS_ZONE,
                                       .address = endpoint_of(inv, nameserver_name(index)),
                                       .primary = nameserver_is_primary(index),
                                       .key_name = (char *)DNS_KEY,
                                       .key_secret = (char *)DNS_SECRET,
                                       .notify = notify};
    INVENTORY_FOREACH (inv, nameserver, ns)
        if (g_strcmp0(ns->primary, config.name) == 0)
            notify[config.n_notify++] = ns->address;
    GError *error = NULL;
    server->drivers[index].fiber = fiber_next(sim, server, index);
    server->drivers[index].driver = dns_driver_new(&config, dns_says, server, &error);
    if (error != NULL)
        g_error("driver: %s", error->message);
}

static void drive_dns(struct sim *sim, struct server *server, const struct resolved *resolved)
{
    for (unsigned i = 0; i < NAMESERVERS; i++) {
        if (server->drivers[i].driver == NULL)
            start_driver(sim, server, i, resolved->world->inventory);
        dns_driver_set(server->drivers[i].driver, resolved->world->stamp, resolved_zone(resolved, DNS_ZONE));
        fiber_wake(sim, server->drivers[i].fiber);
    }
}

static void publish(struct sim *sim, struct server *server, struct resolved *resolved)
{
    struct stamp stamp = resolved->world->stamp;
    sim_trace(sim, "server %u publishes %" G_GUINT64_FORMAT ".%" G_GUINT64_FORMAT " %s", server->index, stamp.epoch,
              stamp.generation, resolved->world->cause);
    check_published(sim, server, stamp);
    g_hash_table_replace(sim->worlds, GSIZE_TO_POINTER(stamp.generation), resolved_ref(resolved));
    g_clear_pointer(&server->before, resolved_unref);
    server->before = server->published;
    server->published = resolved_ref(resolved);
    release_polls(sim, server);
    drive_dns(sim, server, resolved);
}

static bool carry_out_one(struct sim *sim, struct server *server, struct effect *effect)
{
    if (server->crash_in == 0)
        return false;
    server->crash_in -= server->crash_in > 0;
    if (effect->kind == EFFECT_JOURNAL)
        return journal_write(sim, server, effect->entries);
    if (effect->kind == EFFECT_PUBLISH)
        publish(sim, server, effect->resolved);
    return true; /* a call is lost: no plan of the simulation makes one, nor asks anything */
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
    if (server->paused_until_us <= sim->now_us)
        server->paused_us = sim->now_us;
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
    int64_t now_us = server_now(sim, server).us, next_us = engine_tick(server->engine, now_us, &effects);
    server_carry_out(sim, server, &effects);
    schedule_tick(sim, server, server_later_us(sim, server, CLAMP(next_us - now_us, 0, 100000)));
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
    server->clock_us = sim_random(sim, 0, 1000 * SECOND);
    server->engine = restore(sim, server->epoch);
    struct effects effects;
    effects_init(&effects);
    sim_trace(sim, "server %u starts, epoch %" G_GUINT64_FORMAT, server->index, server->epoch);
    engine_start(server->engine, server->epoch, server_now(sim, server).us, &effects);
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
