/* engine.c: life of the engine: restored from the journal, started under an epoch, moved by time and reports. */
#include "server/interlocking/engine_internal.h"

#include "core/error.h"

#include <assert.h>
#include <string.h>

static void execution_drop(gpointer ex)
{
    execution_free(ex);
}

static void plan_drop(gpointer plan)
{
    plan_free(plan);
}

struct engine *engine_new(const struct engine_config *config)
{
    struct engine *engine = g_new0(struct engine, 1);
    engine->config = *config;
    engine->config.cluster = g_strdup(config->cluster);
    engine->wall_offset_us = config->wall_offset_us;
    engine->observed = observed_new();
    engine->executions = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, execution_drop);
    engine->order = g_ptr_array_new();
    engine->unclaimed = g_ptr_array_new_with_free_func(g_free);
    engine->keys = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    engine->past = rules_past_new();
    engine->inventory = inventory_new();
    engine->controls = controls_new();
    engine->plans = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, plan_drop);
    tell_config(engine);
    return engine;
}

static void engine_drop_staging(struct engine *engine)
{
    g_clear_pointer(&engine->inventory, inventory_unref);
    g_clear_pointer(&engine->controls, controls_unref);
    g_clear_pointer(&engine->plans, g_hash_table_unref);
}

void engine_free(struct engine *engine)
{
    if (engine == NULL)
        return;
    engine_drop_staging(engine);
    g_clear_pointer(&engine->resolved, resolved_unref);
    observed_free(engine->observed);
    g_ptr_array_unref(engine->order);
    g_ptr_array_unref(engine->unclaimed);
    g_hash_table_unref(engine->executions);
    g_hash_table_unref(engine->keys);
    rules_past_free(engine->past);
    g_free(engine->cause);
    g_free(engine->config.cluster);
    g_free(engine);
}

/* Restoring: one function for each kind of entry. */

static bool damaged(const struct journal_entry *entry, const char *expected, GError **error)
{
    g_set_error(error, SB_ERROR, SB_ERROR_IO, "journal: entry %s %s: expected %s", entry->kind, entry->id, expected);
    return false;
}

static bool restore_object(struct engine *engine, const struct journal_entry *entry, GError **error)
{
    g_auto(GStrv) words = g_strsplit(entry->id, "/", 2);
    const struct object_class *class = words[0] == NULL ? NULL : object_class_find(words[0]);
    if (class == NULL || words[1] == NULL)
        return damaged(entry, "an id KIND/NAME", error);
    if (json_is_null(entry->body)) {
        inventory_remove(engine->inventory, class->kind, words[1]);
        return true;
    }
    g_autoptr(GPtrArray) findings = finding_list_new();
    struct object *object = object_from_json(json_object_get(entry->body, "object"), findings);
    if (object == NULL)
        return findings_error(findings, error);
    object->revision = (uint64_t)json_integer_value(json_object_get(entry->body, "revision"));
    inventory_put(engine->inventory, object);
    return true;
}

static bool restore_control(struct engine *engine, const struct journal_entry *entry, GError **error)
{
    struct control control;
    if (json_is_null(entry->body)) /* an ended lever; newest states hold each lever once, so there is none to remove */
        return true;
    if (!control_from_json(entry->body, &control, error))
        return false;
    controls_put(engine->controls, &control);
    control_clear(&control);
    return true;
}

static bool restore_plan(struct engine *engine, const struct journal_entry *entry, GError **error)
{
    if (json_is_null(entry->body)) {
        g_hash_table_remove(engine->plans, entry->id);
        return true;
    }
    g_autoptr(GPtrArray) findings = finding_list_new();
    struct plan *plan = plan_from_json(json_object_get(entry->body, "plan"), NULL, findings);
    if (plan == NULL)
        return findings_error(findings, error);
    plan->revision = (uint64_t)json_integer_value(json_object_get(entry->body, "revision"));
    g_hash_table_replace(engine->plans, g_strdup(plan->name), plan);
    return true;
}

static bool restore_generation(struct engine *engine, const struct journal_entry *entry, GError **error)
{
    uint64_t generation, epoch;
    json_int_t g, e;
    const char *cause = NULL, *key = NULL;
    if (json_unpack(entry->body, "{s:I, s:I, s:s, s?s}", "generation", &g, "epoch", &e, "cause", &cause, "key", &key) !=
        0)
        return damaged(entry, "generation, epoch and cause", error);
    generation = (uint64_t)g, epoch = (uint64_t)e;
    if (generation >= engine->generation) {
        engine->generation = generation;
        g_free(engine->cause);
        engine->cause = g_strdup(cause);
    }
    engine->epoch = MAX(engine->epoch, epoch);
    if (key != NULL)
        g_hash_table_replace(engine->keys, g_strdup(key), g_memdup2(&generation, sizeof generation));
    return true;
}

void engine_drop(struct engine *engine, struct execution *ex)
{
    g_ptr_array_remove(engine->order, ex);
    g_hash_table_remove(engine->executions, ex->id);
}

static bool restore_execution(struct engine *engine, const struct journal_entry *entry, GError **error)
{
    struct execution *forgotten = json_is_null(entry->body) ? engine_find(engine, entry->id) : NULL;
    if (forgotten != NULL) /* its events came first */
        engine_drop(engine, forgotten);
    if (json_is_null(entry->body))
        return true;
    struct execution *ex = execution_from_json(entry->body, error);
    if (ex == NULL)
        return false;
    struct execution *old = engine_find(engine, ex->id);
    if (old != NULL) { /* an older state of it, or its events came first */
        g_ptr_array_unref(ex->events);
        ex->events = g_ptr_array_ref(old->events);
        ex->events_saved = ex->events->len;
        g_ptr_array_remove(engine->order, old);
    }
    g_hash_table_replace(engine->executions, ex->id, ex);
    g_ptr_array_add(engine->order, ex);
    return true;
}

static bool restore_event(struct engine *engine, const struct journal_entry *entry, GError **error)
{
    g_auto(GStrv) words = g_strsplit(entry->id, "/", 2);
    if (words[0] == NULL || words[1] == NULL)
        return damaged(entry, "an id EXECUTION/SEQ", error);
    struct execution *ex = engine_find(engine, words[0]);
    if (ex == NULL) { /* its newest state comes later: keep the events until then */
        ex = execution_new(words[0]);
        g_hash_table_replace(engine->executions, ex->id, ex);
        g_ptr_array_add(engine->order, ex);
    }
    return execution_take_event(ex, entry->body, error);
}

static bool restore_audit(struct engine *engine, const struct journal_entry *entry, GError **error)
{
    json_int_t seq;
    if (json_unpack(entry->body, "{s:I}", "seq", &seq) != 0)
        return damaged(entry, "seq", error);
    engine->audit_seq = MAX(engine->audit_seq, (uint64_t)seq);
    return true;
}

static bool restore_pins(struct engine *engine, const struct journal_entry *entry, GError **error)
{
    return pin_keys_from_json(entry->body, &engine->pins) || damaged(entry, "keys", error);
}

static bool restore_past(struct engine *engine, const struct journal_entry *entry, GError **error)
{
    (void)error;
    rules_past_take_json(engine->past, entry->body);
    return true;
}

bool engine_restore(struct engine *engine, const struct journal_entry *entry, GError **error)
{
    static const struct {
        const char *kind;
        bool (*restore)(struct engine *engine, const struct journal_entry *entry, GError **error);
    } kinds[] = {{"object", restore_object},         {"control", restore_control},     {"plan", restore_plan},
                 {"generation", restore_generation}, {"execution", restore_execution}, {"event", restore_event},
                 {"audit", restore_audit},           {"past", restore_past},           {"pinkeys", restore_pins}};
    assert(!engine->started);
    tell_restore(engine, entry);
    for (size_t i = 0; i < G_N_ELEMENTS(kinds); i++)
        if (strcmp(entry->kind, kinds[i].kind) == 0)
            return kinds[i].restore(engine, entry, error);
    return true; /* tokens and what later versions keep */
}

/* Starting. */

static gint by_start(gconstpointer a, gconstpointer b)
{
    const struct execution *x = *(struct execution *const *)a, *y = *(struct execution *const *)b;
    return x->started_us != y->started_us ? (x->started_us < y->started_us ? -1 : 1) : strcmp(x->id, y->id);
}

/* The reign is written beside the generation it begins with, so that the journal knows every epoch that published. */
static void journal_reign(struct engine *engine, struct effects *out)
{
    const struct world *world = engine->resolved->world;
    g_autofree char *id = g_strdup_printf("%" G_GUINT64_FORMAT, engine->generation);
    GHashTableIter iter;
    gpointer key, generation;
    const char *own = NULL;
    g_hash_table_iter_init(&iter, engine->keys);
    while (own == NULL && g_hash_table_iter_next(&iter, &key, &generation))
        if (*(uint64_t *)generation == engine->generation)
            own = key;
    GPtrArray *entries = entries_new();
    entries_add(entries, "generation", id, NULL,
                json_pack("{s:I, s:I, s:s, s:s*, s:I}", "generation", (json_int_t)engine->generation, "epoch",
                          (json_int_t)engine->epoch, "cause", world->cause, "key", own, "at_us",
                          (json_int_t)engine_wall_us(engine)));
    effects_journal(out, entries);
}

static void resume(struct engine *engine, struct execution *ex)
{
    if (execution_ended(ex))
        return;
    ex->resumed = true;
    ex->undo_since_us = engine->now_us;
    for (guint i = 0; i < ex->steps->len; i++) {
        struct execution_step *step = ex->steps->pdata[i];
        step->baking_us = 0;
        step->since_us = engine->now_us; /* nothing was observed meanwhile, so the time-out begins again */
    }
    if (ex->state != EXECUTION_PENDING)
        execution_note(ex, engine_wall_us(engine), NULL, "the server was restarted; going on");
}

void advance_all(struct engine *engine, struct effects *out)
{
    if (engine->reading)
        return;
    claim_look(engine, out);
    pins_end(engine, out);
    for (guint i = 0; i < engine->order->len; i++) {
        struct execution *ex = engine->order->pdata[i];
        if (!execution_ended(ex) && ex->parent == NULL)
            execution_advance(engine, ex, out);
    }
}

void engine_take_restored(struct engine *engine, int64_t now_us)
{
    struct stamp stamp = {.epoch = engine->epoch, .generation = engine->generation};
    sb_auto(world) world = world_new(engine->config.cluster, stamp, engine->cause == NULL ? "" : engine->cause,
                                     engine->inventory, engine->controls, engine->plans);
    world->pins = engine->pins;
    engine->started = true;
    engine->now_us = engine->started_us = now_us;
    engine->resolved = resolve(world, NULL);
    engine_drop_staging(engine);
    g_ptr_array_sort(engine->order, by_start);
}

void engine_start_reading(struct engine *engine, int64_t now_us, struct effects *out)
{
    assert(!engine->started);
    tell_start(engine, 0, now_us);
    engine->reading = true;
    engine_take_restored(engine, now_us);
    effects_publish(out, engine->resolved);
}

void engine_start(struct engine *engine, uint64_t epoch, int64_t now_us, struct effects *out)
{
    assert(!engine->started && epoch > engine->epoch);
    tell_start(engine, epoch, now_us);
    engine->epoch = epoch;
    engine_take_restored(engine, now_us);
    journal_reign(engine, out);
    effects_publish(out, engine->resolved);
    claim_begin(engine);
    for (guint i = 0; i < engine->order->len; i++)
        resume(engine, engine->order->pdata[i]);
    for (guint i = 0; i < engine->order->len; i++) {
        struct execution *ex = engine->order->pdata[i];
        if (ex->state == EXECUTION_ABORTING && ex->parent == NULL)
            execution_undo_resume(engine, ex, out);
    }
    advance_all(engine, out);
}

int64_t engine_tick(struct engine *engine, int64_t now_us, struct effects *out)
{
    assert(engine->started);
    guint effects = g_queue_get_length(&out->queue);
    bool claiming = engine->claiming;
    engine->now_us = now_us;
    advance_all(engine, out);
    if (g_queue_get_length(&out->queue) != effects || engine->claiming != claiming)
        tell_tick(engine, now_us);
    int64_t next_us = engine->claiming ? engine->started_us + CLAIM_WAIT_US : INT64_MAX;
    if (!engine->reading)
        next_us = MIN(next_us, pins_next_us(engine));
    for (guint i = 0; !engine->reading && i < engine->order->len; i++) {
        const struct execution *ex = engine->order->pdata[i];
        next_us = MIN(next_us, execution_next_us(engine, ex));
    }
    return next_us;
}

/* Observations. */

/* An actuator that was missing when an execution ended has come: the end stays what it was, the event is added. */
static void note_late(struct engine *engine, const char *kind, const char *name, struct effects *out)
{
    g_autofree char *who = g_strdup_printf("%s %s", kind, name);
    bool is_agent = strcmp(kind, "nameserver") != 0;
    for (guint i = 0; !engine->reading && i < engine->order->len; i++) {
        struct execution *ex = engine->order->pdata[i];
        uint64_t generation = MAX(ex->generation, ex->undo_generation);
        if (!execution_ended(ex) || ex->late->len == 0 ||
            !(is_agent ? edge_proves(engine, name, generation) : server_proves(engine, name, generation)) ||
            !names_remove(ex->late, who))
            continue;
        int64_t wall_us = engine_wall_us(engine);
        execution_note(ex, wall_us, NULL, "%s %s generation %" G_GUINT64_FORMAT ", %.1f s late", name,
                       is_agent ? "applied" : "confirmed", generation,
                       (double)(wall_us - ex->ended_us) / G_USEC_PER_SEC);
        execution_flush(engine, ex, out);
    }
}

/* A report of another cluster has nothing to say here, however well it is made. */
static bool is_our_cluster(const struct engine *engine, const json_t *report, GError **error)
{
    const json_t *member = json_object_get(report, "cluster");
    if (g_strcmp0(json_string_value(member), engine->config.cluster) == 0)
        return true;
    g_autofree char *found = json_quote(member);
    g_set_error(error, SB_ERROR, json_is_string(member) ? SB_ERROR_CONFLICT : SB_ERROR_INVALID,
                "report: cluster: found %s, expected \"%s\"", found, engine->config.cluster);
    return false;
}

bool engine_edge_report(struct engine *engine, const char *edge, const json_t *report, int64_t now_us,
                        struct effects *out, GError **error)
{
    assert(engine->started);
    tell_edge(engine, edge, report, now_us);
    const char *kind = world_agent_kind(engine->resolved->world, edge);
    if (kind == NULL) {
        g_set_error(error, SB_ERROR, SB_ERROR_NOT_FOUND, "edge %s: the inventory has no such edge", edge);
        return false;
    }
    if (!is_our_cluster(engine, report, error) || !observed_edge_report(engine->observed, edge, report, now_us, error))
        return false;
    engine->now_us = now_us;
    claim_take(engine, edge);
    note_late(engine, kind, edge, out);
    advance_all(engine, out);
    return true;
}

void engine_server_report(struct engine *engine, struct server_report *report, int64_t now_us, struct effects *out)
{
    assert(engine->started);
    tell_server(engine, report, now_us);
    g_autofree char *name = g_strdup(report->server);
    engine->now_us = now_us;
    observed_server_report(engine->observed, report);
    claim_take(engine, name);
    note_late(engine, "nameserver", name, out);
    advance_all(engine, out);
}

/* Reading. */

const struct world *engine_world(const struct engine *engine)
{
    return engine->resolved == NULL ? NULL : engine->resolved->world;
}

const struct resolved *engine_resolved(const struct engine *engine)
{
    return engine->resolved;
}

const struct observed *engine_observed(const struct engine *engine)
{
    return engine->observed;
}

json_t *engine_execution(const struct engine *engine, const char *id)
{
    const struct execution *ex = engine_find(engine, id);
    if (ex == NULL)
        return NULL;
    json_t *json = execution_to_json(ex), *events = json_array();
    for (guint i = 0; i < ex->events->len; i++)
        json_array_append_new(events, execution_event_to_json(ex->events->pdata[i]));
    json_object_set_new(json, "events", events);
    return json;
}

json_t *engine_executions(const struct engine *engine)
{
    json_t *json = json_array();
    for (guint i = engine->order->len; i > 0; i--)
        json_array_append_new(json, execution_to_json(engine->order->pdata[i - 1]));
    return json;
}
