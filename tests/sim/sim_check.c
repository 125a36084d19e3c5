/* sim_check.c: what must hold at every step. */
#include "tests/sim/sim.h"

#include <string.h>

#define STAMP_FORMAT "%" G_GUINT64_FORMAT ".%" G_GUINT64_FORMAT
#define STAMP_ARGS(stamp) (stamp).epoch, (stamp).generation

void said_free(gpointer data)
{
    struct said *said = data;
    g_free(said->value);
    g_free(said);
}

/* One key is one generation, wherever it is seen. */
void check_generation(struct sim *sim, const char *cause, uint64_t generation)
{
    if (cause[0] == '\0')
        return;
    uint64_t known = GPOINTER_TO_SIZE(g_hash_table_lookup(sim->key_generations, cause));
    if (known == 0)
        g_hash_table_insert(sim->key_generations, g_strdup(cause), GSIZE_TO_POINTER(generation));
    else if (known != generation)
        sim_fail(sim, "doubled effect: %s is generation %" G_GUINT64_FORMAT " and %" G_GUINT64_FORMAT, cause, known,
                 generation);
}

static const char *text_of(const json_t *json, const char *member)
{
    const char *text = json_string_value(json_object_get(json, member));
    return text == NULL ? "" : text;
}

static uint64_t number_of(const json_t *json, const char *member)
{
    return (uint64_t)json_integer_value(json_object_get(json, member));
}

/* A person's lever is not moved by an execution that began before him. */
static void check_override(struct sim *sim, const struct journal_entry *entry, const char *execution)
{
    g_autofree char *id = g_strdup_printf("control %s", entry->id);
    guint old = GPOINTER_TO_UINT(g_hash_table_lookup(sim->journal.newest, id));
    const struct journal_entry *before = old == 0 ? NULL : sim->journal.entries->pdata[old - 1];
    if (before == NULL || text_of(before->body, "execution")[0] != '\0')
        return;
    uint64_t began = GPOINTER_TO_SIZE(g_hash_table_lookup(sim->began, execution));
    if (number_of(before->body, "revision") > began)
        sim_fail(sim,
                 "lost override: %s, set by a person at generation %" G_GUINT64_FORMAT
                 ", was moved by %s, which began at %" G_GUINT64_FORMAT,
                 entry->id, number_of(before->body, "revision"), execution, began);
}

static void count_audit(struct sim *sim, const struct journal_entry *entry)
{
    static const struct {
        const char *what;
        enum seen seen;
    } rows[] = {{"override", SEEN_overridden}, {"plan abort", SEEN_aborted}, {"plan rollback", SEEN_rolled_back}};
    for (size_t i = 0; strcmp(entry->kind, "audit") == 0 && i < G_N_ELEMENTS(rows); i++)
        if (strcmp(text_of(entry->body, "what"), rows[i].what) == 0)
            sim_count(sim, rows[i].seen);
}

void check_transaction(struct sim *sim, const struct server *server, const GPtrArray *entries)
{
    const char *cause = "";
    for (guint i = 0; i < entries->len; i++) {
        const struct journal_entry *entry = entries->pdata[i];
        if (strcmp(entry->kind, "generation") != 0)
            continue;
        cause = text_of(entry->body, "cause");
        check_generation(sim, cause, number_of(entry->body, "generation"));
    }
    for (guint i = 0; i < entries->len; i++) {
        const struct journal_entry *entry = entries->pdata[i];
        const char *execution = text_of(entry->body, "execution");
        count_audit(sim, entry);
        if (strcmp(entry->kind, "execution") == 0 && !g_hash_table_contains(sim->began, entry->id))
            g_hash_table_insert(sim->began, g_strdup(entry->id),
                                GSIZE_TO_POINTER(engine_world(server->engine)->stamp.generation));
        if (strcmp(entry->kind, "control") != 0 || execution[0] == '\0')
            continue;
        check_override(sim, entry, execution);
        bool undo = g_str_has_suffix(cause, "/undo/set");
        if (undo)
            sim_count(sim, SEEN_set_back);
        else
            g_hash_table_add(sim->written, g_strdup_printf("%s %s %" G_GUINT64_FORMAT, execution, entry->id,
                                                           number_of(entry->body, "revision")));
    }
}

/* Legal roads: whatever room is wanted, a room answers, and has an entrance or an escape that is in. What an escape
 * leads to is in every table of its gateway, as connections hold on to it. */

struct roads {
    const struct table *table;
    struct sim *sim;
    const char *edge, *kind, *room; /* kind: "multi" or "single" */
    GHashTable *out;                /* "multi/room-a/pop-a1" that are out */
    bool found;
};

static void note_out(void *data, const char *key, const char *value)
{
    struct roads *roads = data;
    if (strcmp(value, "out") == 0)
        g_hash_table_add(roads->out, g_strdup(key));
}

static void find_entrance(void *data, const char *key, const char *value)
{
    struct roads *roads = data;
    const char *place = strchr(key, '/');
    g_autofree char *room = g_strdup_printf("/%s/", roads->room);
    bool escape = g_str_has_prefix(key, "escape/") && strcmp(roads->kind, "single") == 0;
    (void)value;
    if (!(g_str_has_prefix(key, "origin/") || escape) || !g_str_has_prefix(place, room))
        return;
    g_autofree char *row = g_strconcat(roads->kind, place, NULL);
    roads->found |= !g_hash_table_contains(roads->out, row);
}

static void foreach(const struct table *table, enum part part, part_fn fn, void *data)
{
    gsize size;
    const char *text = g_bytes_get_data(table->parts[part], &size);
    if (size > 0)
        part_foreach(text, size, fn, data);
}

static void check_room(void *data, const char *key, const char *value)
{
    struct roads *roads = data;
    bool single = g_str_has_prefix(key, "single/");
    if (!single && !g_str_has_prefix(key, "multi/"))
        return;
    if (single && strcmp(value, "-") == 0)
        return; /* nobody else may answer */
    roads->kind = single ? "single" : "multi";
    roads->room = value;
    roads->found = false;
    foreach(roads->table, PART_LAYOUT, find_entrance, roads);
    if (!roads->found)
        sim_fail(roads->sim, "%s: generation %" G_GUINT64_FORMAT " sends %s to %s, which has no entrance that is in",
                 roads->edge, roads->table->manifest.stamp.generation, key, value);
}

static void find_target(void *data, const char *key, const char *value)
{
    (void)value;
    *(bool *)data |= strcmp(key, "backend/escape-a/vip-a") == 0;
}

static void check_escape(struct sim *sim, const struct edge_node *gateway, const struct table *table)
{
    bool found = false;
    foreach(table, PART_LAYOUT, find_target, &found);
    if (!found)
        sim_fail(sim, "%s: generation %" G_GUINT64_FORMAT " has an escape that leads nowhere", gateway->name,
                 table->manifest.stamp.generation);
}

static void check_legal(struct sim *sim, const struct edge_node *edge, const struct table *table)
{
    const char(*hash)[PART_HASH_SIZE] = table->manifest.hash;
    g_autofree char *id = g_strdup_printf("%s %s %s", hash[PART_LAYOUT], hash[PART_ROOMS], hash[PART_ORIGINS]);
    if (g_hash_table_contains(sim->legal, id))
        return;
    g_hash_table_add(sim->legal, g_steal_pointer(&id));
    if (edge->edge_class == CLASS_GATEWAY) {
        check_escape(sim, edge, table);
        return;
    }
    struct roads roads = {.table = table,
                          .sim = sim,
                          .edge = edge->name,
                          .out = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL)};
    foreach(table, PART_ORIGINS, note_out, &roads);
    foreach(table, PART_ROOMS, check_room, &roads);
    g_hash_table_unref(roads.out);
}

/* The claim. */

void check_promised(struct edge_node *edge, uint64_t epoch)
{
    if (epoch <= edge->newest_promise)
        return;
    edge->newest_promise = epoch;
    edge->last_good = edge->disk.manifest.stamp;
}

static bool names(const GPtrArray *unclaimed, const char *edge)
{
    for (guint i = 0; i < unclaimed->len; i++)
        if (strcmp(unclaimed->pdata[i], edge) == 0)
            return true;
    return false;
}

void check_published(struct sim *sim, struct server *server, struct stamp stamp)
{
    if (server->claimed_with == 0)
        server->claimed_with = stamp.generation;
    if (stamp.generation == server->claimed_with || stamp.epoch <= sim->acted)
        return;
    sim->acted = stamp.epoch;
    sim->acted_with = server->claimed_with;
    for (unsigned i = 0; i < sim->agents; i++)
        sim->edges[i].excused = names(engine_unclaimed(server->engine), sim->edges[i].name);
}

void check_claimed(struct sim *sim, const struct server *server)
{
    for (unsigned i = 0; server->epoch == sim->acted && i < sim->agents; i++)
        sim->edges[i].excused &= names(engine_unclaimed(server->engine), sim->edges[i].name);
}

/* What an older reign gave takes no effect any more where a newer one may rely on it. What was durable there before the
 * promise may come back: with the process, or because it was not yet in force when the promise was asked for. If it
 * was never in force (its apply failed, and is tried again) it still is no news to the reign: it claimed with it. */
static void check_reign(struct sim *sim, const struct edge_node *edge, struct stamp stamp, bool first_time)
{
    if (stamp_compare(stamp, edge->last_good) == 0) {
        if (!first_time || stamp.epoch >= sim->acted)
            return;
        sim_count(sim, SEEN_older_first);
        if (stamp.generation > sim->acted_with)
            sim_fail(sim,
                     "%s: " STAMP_FORMAT " takes effect for the first time, but epoch %" G_GUINT64_FORMAT
                     " claimed with generation %" G_GUINT64_FORMAT,
                     edge->name, STAMP_ARGS(stamp), sim->acted, sim->acted_with);
        return;
    }
    if (stamp.epoch < sim->acted && !edge->excused)
        sim_fail(sim, "%s: " STAMP_FORMAT " takes effect after the first act of epoch %" G_GUINT64_FORMAT, edge->name,
                 STAMP_ARGS(stamp), sim->acted);
    if (stamp.epoch < edge->told_promise)
        sim_fail(sim, "%s: " STAMP_FORMAT " takes effect after epoch %" G_GUINT64_FORMAT " was promised", edge->name,
                 STAMP_ARGS(stamp), edge->told_promise);
}

void check_took_effect(struct sim *sim, struct edge_node *edge, const struct table *table)
{
    struct stamp stamp = table->manifest.stamp;
    if (stamp_compare(stamp, edge->newest) < 0 || stamp.generation < edge->newest.generation)
        sim_fail(sim, "%s: " STAMP_FORMAT " takes effect after " STAMP_FORMAT, edge->name, STAMP_ARGS(stamp),
                 STAMP_ARGS(edge->newest));
    bool first_time = stamp_compare(stamp, edge->newest) > 0;
    edge->newest = stamp;
    check_reign(sim, edge, stamp, first_time);
    check_generation(sim, table->manifest.cause, stamp.generation);
    check_legal(sim, edge, table);
}

void check_acknowledged(struct sim *sim, const struct edge_node *edge)
{
    if (!edge->torn && stamp_compare(edge->disk.manifest.stamp, edge->acknowledged) < 0)
        sim_fail(sim, "%s: acknowledged " STAMP_FORMAT ", but its disk has " STAMP_FORMAT, edge->name,
                 STAMP_ARGS(edge->acknowledged), STAMP_ARGS(edge->disk.manifest.stamp));
}

/* Levers: what the journal holds is what the engine holds, and what an operator was told. */

static void check_lever(struct sim *sim, const struct engine *engine, const char *lever, const char *value,
                        uint64_t revision)
{
    g_auto(GStrv) words = g_strsplit(lever, "/", 2);
    const struct control *control =
        controls_get(engine_world(engine)->controls, lever_class_find(words[0])->lever, words[1]);
    if (control == NULL || control->revision < revision ||
        (control->revision == revision && strcmp(control->value, value) != 0))
        sim_fail(sim, "lost lever: %s was %s at generation %" G_GUINT64_FORMAT ", found %s at %" G_GUINT64_FORMAT,
                 lever, value, revision, control == NULL ? "nothing" : control->value,
                 control == NULL ? 0 : control->revision);
}

void check_levers(struct sim *sim, const struct engine *engine)
{
    for (guint i = 0; i < sim->journal.entries->len; i++) {
        const struct journal_entry *entry = sim->journal.entries->pdata[i];
        if (entry != NULL && strcmp(entry->kind, "control") == 0 && json_is_object(entry->body))
            check_lever(sim, engine, entry->id, json_string_value(json_object_get(entry->body, "value")),
                        (uint64_t)json_integer_value(json_object_get(entry->body, "revision")));
    }
    GHashTableIter iter;
    gpointer lever, said;
    g_hash_table_iter_init(&iter, sim->promises);
    while (g_hash_table_iter_next(&iter, &lever, &said))
        check_lever(sim, engine, lever, ((struct said *)said)->value, ((struct said *)said)->revision);
}

/* The end. */

static bool open_end(struct sim *sim, bool must, const char *format, ...) __attribute__((format(printf, 3, 4)));
static bool open_end(struct sim *sim, bool must, const char *format, ...)
{
    if (!must)
        return false;
    va_list args;
    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    sim_fail(sim, "no end: %s", text);
    return false;
}

/* An execution has every lever where it put it, unless someone has moved it since; and it knows all that it wrote,
 * else it could not undo it. */
static void check_as_planned(struct sim *sim, const struct engine *engine, const json_t *execution)
{
    const char *id = text_of(execution, "id");
    const json_t *write;
    size_t i;
    json_array_foreach (json_object_get(execution, "writes"), i, write) {
        uint64_t generation = number_of(write, "generation");
        g_autofree char *lever = g_strdup_printf("%s/%s", text_of(write, "control"), text_of(write, "object"));
        g_autofree char *written = g_strdup_printf("%s %s %" G_GUINT64_FORMAT, id, lever, generation);
        if (strcmp(text_of(execution, "state"), "succeeded") == 0 && generation == 0)
            sim_fail(sim, "%s succeeded, but %s was not written", id, lever);
        if (strcmp(text_of(write, "undo"), "left") == 0)
            sim_count(sim, SEEN_left);
        if (generation > 0)
            check_lever(sim, engine, lever, text_of(write, "after"), generation);
        g_hash_table_remove(sim->written, written);
    }
}

static bool executions_ended(struct sim *sim, const struct engine *engine, bool must)
{
    json_t *executions = engine_executions(engine), *execution;
    bool ended = true;
    size_t i;
    json_array_foreach (executions, i, execution) {
        const char *state = json_string_value(json_object_get(execution, "state"));
        if (strcmp(state, "running") == 0 || strcmp(state, "aborting") == 0) {
            ended =
                open_end(sim, must, "execution %s is %s", json_string_value(json_object_get(execution, "id")), state);
            break;
        }
        check_as_planned(sim, engine, execution);
    }
    json_decref(executions);
    return ended;
}

bool check_at_rest(struct sim *sim, bool must)
{
    const struct server *server = server_leader(sim);
    if (server == NULL)
        return open_end(sim, must, "no server leads");
    const GPtrArray *unclaimed = engine_unclaimed(server->engine);
    if (unclaimed->len > 0)
        return open_end(sim, must, "%s is unclaimed", (const char *)unclaimed->pdata[0]);
    struct stamp stamp = engine_world(server->engine)->stamp;
    for (unsigned i = 0; i < sim->agents; i++) {
        const struct edge_node *edge = &sim->edges[i];
        struct manifest wanted = {0};
        resolved_manifest(engine_resolved(server->engine), edge->name, &wanted);
        if (edge->agent == NULL)
            return open_end(sim, must, "the agent of %s is dead", edge->name);
        if (stamp_compare(edge->actuator.manifest.stamp, stamp) != 0)
            return open_end(sim, must, "%s has " STAMP_FORMAT ", the server " STAMP_FORMAT, edge->name,
                            STAMP_ARGS(edge->actuator.manifest.stamp), STAMP_ARGS(stamp));
        if (memcmp(edge->actuator.manifest.hash, wanted.hash, sizeof wanted.hash) != 0)
            sim_fail(sim, "%s: generation %" G_GUINT64_FORMAT " has other parts than the server's", edge->name,
                     stamp.generation);
    }
    const char *behind = check_dns_at_rest(sim, stamp, engine_observed(server->engine));
    if (behind != NULL)
        return open_end(sim, must, "%s does not show " STAMP_FORMAT, behind, STAMP_ARGS(stamp));
    if (!executions_ended(sim, server->engine, must))
        return false;
    check_levers(sim, server->engine);
    GHashTableIter iter;
    gpointer written;
    g_hash_table_iter_init(&iter, sim->written);
    if (g_hash_table_iter_next(&iter, &written, NULL))
        sim_fail(sim, "an execution does not know that it wrote: %s", (char *)written);
    return true;
}
