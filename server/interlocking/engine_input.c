/* engine_input.c: the black box: what the engine is told, told on as data, and an engine told again from it. */
#include "server/interlocking/engine_internal.h"
#include "server/interlocking/incident.h"

#include "core/error.h"
#include "schema/jsondoc.h"

#include <string.h>

/* ---- telling on ---- */

/* Takes input. */
static void tell(const struct engine *engine, json_t *input)
{
    engine->config.told(engine->config.told_data, input);
    json_decref(input);
}

static json_t *config_json(const struct engine_config *config)
{
    return json_pack("{s:s, s:s, s:I, s:f, s:I, s:s}", "in", "config", "cluster", config->cluster, "seed",
                     (json_int_t)config->seed, "share_moved_max", config->rules.share_moved_max, "offset",
                     (json_int_t)config->wall_offset_us, "version", SIGNALBOX_VERSION);
}

void tell_config(const struct engine *engine)
{
    if (engine->config.told != NULL)
        tell(engine, config_json(&engine->config));
}

static json_t *restore_json(const char *kind, const char *id, json_t *body)
{
    return json_pack("{s:s, s:s, s:s, s:o}", "in", "restore", "kind", kind, "id", id, "body", body);
}

json_t *told_body(const struct journal_entry *entry)
{
    struct pin_keys pins;
    if (strcmp(entry->kind, "pinkeys") == 0 && pin_keys_from_json(entry->body, &pins))
        return pin_keys_to_json(&pins, false);
    /* Kinds that engine_journal is given. */
    const char *const theirs[] = {"token", "session", "message", "webhook", NULL};
    bool untold = g_strv_contains(theirs, entry->kind) && !json_is_null(entry->body);
    return untold ? json_object() : json_incref(entry->body);
}

void tell_restore(const struct engine *engine, const struct journal_entry *entry)
{
    if (engine->config.told != NULL)
        tell(engine, restore_json(entry->kind, entry->id, told_body(entry)));
}

void tell_start(const struct engine *engine, uint64_t epoch, int64_t now_us)
{
    if (engine->config.told != NULL)
        tell(engine, json_pack("{s:s, s:I, s:I}", "in", "start", "at", (json_int_t)now_us, "epoch", (json_int_t)epoch));
}

void tell_tick(const struct engine *engine, int64_t now_us)
{
    if (engine->config.told != NULL)
        tell(engine, json_pack("{s:s, s:I}", "in", "tick", "at", (json_int_t)now_us));
}

void tell_edge(const struct engine *engine, const char *edge, const json_t *report, int64_t now_us)
{
    if (engine->config.told != NULL)
        tell(engine, json_pack("{s:s, s:I, s:s, s:O}", "in", "edge", "at", (json_int_t)now_us, "edge", edge, "report",
                               (json_t *)(uintptr_t)report));
}

void tell_asked(const struct engine *engine, const json_t *result, int64_t now_us)
{
    if (engine->config.told != NULL)
        tell(engine, json_pack("{s:s, s:I, s:O}", "in", "transactions", "at", (json_int_t)now_us, "result", result));
}

static json_t *stamp_json(struct stamp stamp)
{
    return json_pack("{s:I, s:I}", "epoch", (json_int_t)stamp.epoch, "generation", (json_int_t)stamp.generation);
}

static json_t *server_json(const struct server_report *report, int64_t now_us)
{
    json_t *json =
        json_pack("{s:s, s:I, s:o, s:I, s:s, s:s?, s:I, s:I}", "nameserver", report->server, "at",
                  (json_int_t)report->at_us, "confirmed", stamp_json(report->confirmed), "confirmed_at",
                  (json_int_t)report->confirmed_at_us, "state", report->state, "error", report->error, "names",
                  (json_int_t)report->names, "residual_until", (json_int_t)report->residual_until_us);
    return json_pack("{s:s, s:I, s:o}", "in", "server", "at", (json_int_t)now_us, "report", json);
}

void tell_server(const struct engine *engine, const struct server_report *report, int64_t now_us)
{
    if (engine->config.told != NULL)
        tell(engine, server_json(report, now_us));
}

void tell_call(const struct engine *engine, const json_t *result, int64_t now_us)
{
    if (engine->config.told != NULL)
        tell(engine, json_pack("{s:s, s:I, s:O}", "in", "call", "at", (json_int_t)now_us, "result",
                               (json_t *)(uintptr_t)result));
}

/* What all changes have. */
static json_t *change_json(const char *in, const struct asker *asker, bool dry_run, struct now now)
{
    json_t *who =
        json_pack("{s:s, s:s*, s:b}", "actor", asker->actor, "reason", asker->reason, "automatic", asker->automatic);
    if (asker->overrides != NULL && asker->overrides[0] != NULL)
        json_object_set_new(who, "overrides", strv_to_json((char *const *)asker->overrides));
    return json_pack("{s:s, s:I, s:I, s:o, s:b}", "in", in, "at", (json_int_t)now.us, "offset",
                     (json_int_t)(now.wall_us - now.us), "asker", who, "dry_run", dry_run);
}

void tell_apply(const struct engine *engine, const json_t *body, bool dry_run, const struct asker *asker,
                struct now now)
{
    if (engine->config.told == NULL)
        return;
    json_t *json = change_json("apply", asker, dry_run, now);
    json_object_set(json, "body", (json_t *)(uintptr_t)body);
    tell(engine, json);
}

void tell_set(const struct engine *engine, const json_t *changes, int64_t if_match, bool dry_run,
              const struct asker *asker, struct now now)
{
    if (engine->config.told == NULL)
        return;
    json_t *json = change_json("set", asker, dry_run, now);
    json_object_set(json, "changes", (json_t *)(uintptr_t)changes);
    json_object_set_new(json, "if_match", json_integer(if_match));
    tell(engine, json);
}

void tell_run(const struct engine *engine, const char *plan, const char *target, const json_t *params, bool dry_run,
              const struct asker *asker, struct now now)
{
    if (engine->config.told == NULL)
        return;
    json_t *json = change_json("run", asker, dry_run, now);
    json_object_set_new(json, "plan", json_string(plan));
    json_object_set_new(json, "target", target != NULL ? json_string(target) : json_null());
    if (params != NULL)
        json_object_set(json, "params", (json_t *)(uintptr_t)params);
    tell(engine, json);
}

void tell_abort(const struct engine *engine, const char *execution, const struct asker *asker, struct now now)
{
    if (engine->config.told == NULL)
        return;
    json_t *json = change_json("abort", asker, false, now);
    json_object_set_new(json, "execution", json_string(execution));
    tell(engine, json);
}

void tell_act(const struct engine *engine, const char *execution, const json_t *body, const struct asker *asker,
              struct now now)
{
    if (engine->config.told == NULL)
        return;
    json_t *json = change_json("act", asker, false, now);
    json_object_set_new(json, "execution", json_string(execution));
    json_object_set(json, "body", (json_t *)(uintptr_t)body);
    tell(engine, json);
}

void tell_pin(const struct engine *engine, const char *in, const json_t *body, const struct asker *asker,
              struct now now)
{
    if (engine->config.told == NULL)
        return;
    json_t *json = change_json(in, asker, false, now);
    json_object_set(json, "body", (json_t *)(uintptr_t)body);
    tell(engine, json);
}

void tell_journal(const struct engine *engine, const struct journal_entry *entry, const char *what,
                  const struct asker *asker, struct now now)
{
    if (engine->config.told == NULL)
        return;
    json_t *json = change_json("journal", asker, false, now);
    json_object_set_new(json, "kind", json_string(entry->kind));
    json_object_set_new(json, "id", json_string(entry->id));
    json_object_set_new(json, "what", json_string(what));
    json_object_set_new(json, "ended", json_boolean(json_is_null(entry->body)));
    tell(engine, json);
}

/* ---- told again ---- */

static int64_t int_of(const json_t *json, const char *member)
{
    return json_integer_value(json_object_get(json, member));
}

static bool is_true(const json_t *json, const char *member)
{
    return json_is_true(json_object_get(json, member));
}

static bool no_input(const json_t *input, GError **error)
{
    g_autofree char *found = json_quote(input);
    g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "found %s, expected an input of the engine", found);
    return false;
}

struct engine *engine_of_config(const json_t *input, GError **error)
{
    struct engine_config config = {.cluster = (char *)(uintptr_t)json_member_text(input, "cluster"),
                                   .rules = {json_number_value(json_object_get(input, "share_moved_max"))},
                                   .seed = (uint64_t)int_of(input, "seed"),
                                   .wall_offset_us = int_of(input, "offset")};
    if (config.cluster != NULL)
        return engine_new(&config);
    no_input(input, error);
    return NULL;
}

/* One who asked, again; overrides: g_free. */
static struct asker asker_of(const json_t *input)
{
    const json_t *who = json_object_get(input, "asker"), *list = json_object_get(who, "overrides");
    const char **overrides = g_new0(const char *, json_array_size(list) + 1);
    for (size_t i = 0; i < json_array_size(list); i++)
        overrides[i] = json_string_value(json_array_get(list, i));
    return (struct asker){.actor = json_member_text(who, "actor"),
                          .reason = json_member_text(who, "reason"),
                          .automatic = is_true(who, "automatic"),
                          .overrides = overrides};
}

static bool input_restore(struct engine *engine, const json_t *input, struct effects *out, GError **error)
{
    const char *kind = json_member_text(input, "kind"), *id = json_member_text(input, "id");
    json_t *body = json_object_get(input, "body");
    (void)out;
    if (body == NULL)
        return no_input(input, error);
    struct journal_entry *entry = journal_entry_new(kind, id, NULL, json_incref(body));
    bool ok = engine_restore(engine, entry, error);
    journal_entry_free(entry);
    return ok;
}

static bool input_start(struct engine *engine, const json_t *input, struct effects *out, GError **error)
{
    uint64_t epoch = (uint64_t)int_of(input, "epoch");
    if (epoch != 0 && epoch <= engine->epoch)
        return no_input(input, error);
    if (epoch == 0)
        engine_start_reading(engine, int_of(input, "at"), out);
    else
        engine_start(engine, epoch, int_of(input, "at"), out);
    return true;
}

static bool input_tick(struct engine *engine, const json_t *input, struct effects *out, GError **error)
{
    (void)error;
    engine_tick(engine, int_of(input, "at"), out);
    return true;
}

static bool input_edge(struct engine *engine, const json_t *input, struct effects *out, GError **error)
{
    return engine_edge_report(engine, json_member_text(input, "edge"), json_object_get(input, "report"),
                              int_of(input, "at"), out, error);
}

static struct server_report *server_of(const json_t *json)
{
    const json_t *confirmed = json_object_get(json, "confirmed");
    if (json_member_text(json, "nameserver") == NULL || json_member_text(json, "state") == NULL)
        return NULL;
    struct server_report *report = g_new0(struct server_report, 1);
    report->server = g_strdup(json_member_text(json, "nameserver"));
    report->at_us = int_of(json, "at");
    report->confirmed = (struct stamp){(uint64_t)int_of(confirmed, "epoch"), (uint64_t)int_of(confirmed, "generation")};
    report->confirmed_at_us = int_of(json, "confirmed_at");
    report->state = g_strdup(json_member_text(json, "state"));
    report->error = g_strdup(json_member_text(json, "error"));
    report->names = (unsigned)int_of(json, "names");
    report->residual_until_us = int_of(json, "residual_until");
    return report;
}

static bool input_server(struct engine *engine, const json_t *input, struct effects *out, GError **error)
{
    struct server_report *report = server_of(json_object_get(input, "report"));
    if (report == NULL)
        return no_input(input, error);
    engine_server_report(engine, report, int_of(input, "at"), out);
    return true;
}

static bool input_transactions(struct engine *engine, const json_t *input, struct effects *out, GError **error)
{
    (void)error;
    engine_transactions_done(engine, json_object_get(input, "result"), int_of(input, "at"), out);
    return true;
}

static bool input_call(struct engine *engine, const json_t *input, struct effects *out, GError **error)
{
    (void)error;
    engine_call_report(engine, json_object_get(input, "result"), int_of(input, "at"), out);
    return true;
}

/* Changes. */
static bool input_change(struct engine *engine, const json_t *input, struct effects *out, GError **error)
{
    int64_t at_us = int_of(input, "at");
    struct now now = {.us = at_us, .wall_us = at_us + int_of(input, "offset")};
    struct asker asker = asker_of(input);
    bool dry_run = is_true(input, "dry_run");
    const char *in = json_member_text(input, "in");
    json_t *answer;
    if (strcmp(in, "apply") == 0)
        answer = engine_apply(engine, json_object_get(input, "body"), dry_run, &asker, now, out, error);
    else if (strcmp(in, "set") == 0)
        answer = engine_set_controls(engine, json_object_get(input, "changes"), int_of(input, "if_match"), dry_run,
                                     &asker, now, out, error);
    else if (strcmp(in, "run") == 0)
        answer = engine_run_plan(engine, json_member_text(input, "plan"), json_member_text(input, "target"),
                                 json_object_get(input, "params"), dry_run, &asker, now, out, error);
    else if (strcmp(in, "act") == 0)
        answer = engine_act(engine, json_member_text(input, "execution"), json_object_get(input, "body"), &asker, now,
                            out, error);
    else if (strcmp(in, "pin") == 0)
        answer = engine_pin_issue(engine, json_object_get(input, "body"), &asker, now, out, error);
    else if (strcmp(in, "pinkeys") == 0) /* a secret is never told */
        answer = engine_pin_keys(engine, json_object_get(input, "body"), "", &asker, now, out, error);
    else
        answer = engine_abort(engine, json_member_text(input, "execution"), &asker, now, out, error);
    g_free((gpointer)(uintptr_t)asker.overrides);
    bool ok = answer != NULL;
    json_decref(answer);
    return ok;
}

static bool input_journal(struct engine *engine, const json_t *input, struct effects *out, GError **error)
{
    int64_t at_us = int_of(input, "at");
    struct asker asker = asker_of(input);
    struct now now = {.us = at_us, .wall_us = at_us + int_of(input, "offset")};
    json_t *body = is_true(input, "ended") ? json_null() : json_object();
    (void)error;
    engine_journal(engine,
                   journal_entry_new(json_member_text(input, "kind"), json_member_text(input, "id"), NULL, body),
                   json_member_text(input, "what"), &asker, now, out);
    g_free((gpointer)(uintptr_t)asker.overrides);
    return true;
}

static bool input_state(struct engine *engine, const json_t *input, struct effects *out, GError **error);

/* needs: texts without which it is none; "actor" is the asker's. */
static bool is_whole(const json_t *input, const char *const *needs)
{
    for (; *needs != NULL; needs++)
        if (json_member_text(strcmp(*needs, "actor") == 0 ? json_object_get(input, "asker") : input, *needs) == NULL)
            return false;
    return true;
}

bool engine_input(struct engine *engine, const json_t *input, struct effects *out, bool *refused, GError **error)
{
    static const struct {
        const char *in;
        bool (*tell)(struct engine *engine, const json_t *input, struct effects *out, GError **error);
        bool before; /* engine_start */
        bool may_refuse;
        const char *needs[5]; /* NULL-terminated */
    } inputs[] = {
        {"restore", input_restore, true, false, {"kind", "id"}},
        {"start", input_start, true, false, {NULL}},
        {"state", input_state, true, false, {NULL}},
        {"tick", input_tick, false, false, {NULL}},
        {"edge", input_edge, false, true, {"edge"}},
        {"server", input_server, false, false, {NULL}},
        {"transactions", input_transactions, false, false, {NULL}},
        {"call", input_call, false, false, {NULL}},
        {"apply", input_change, false, true, {"actor"}},
        {"set", input_change, false, true, {"actor"}},
        {"run", input_change, false, true, {"actor", "plan"}},
        {"abort", input_change, false, true, {"actor", "execution"}},
        {"act", input_change, false, true, {"actor", "execution"}},
        {"pin", input_change, false, true, {"actor"}},
        {"pinkeys", input_change, false, true, {"actor"}},
        {"journal", input_journal, false, false, {"actor", "kind", "id", "what"}},
    };
    const char *in = json_member_text(input, "in");
    *refused = false;
    for (size_t i = 0; in != NULL && i < G_N_ELEMENTS(inputs); i++)
        if (strcmp(inputs[i].in, in) == 0 && inputs[i].before == !engine->started && is_whole(input, inputs[i].needs)) {
            bool ok = inputs[i].tell(engine, input, out, error);
            *refused = !ok && inputs[i].may_refuse;
            return ok;
        }
    return no_input(input, error);
}

/* ---- snapshots ---- */

struct engine_snapshot {
    struct engine_config config;
    struct world *world; /* a reference */
    GPtrArray *entries;  /* json_t *: "restore" of all that the world does not hold */
    json_t *state;
};

static void drop_json(gpointer json)
{
    json_decref(json);
}

static void entry_add(GPtrArray *entries, const char *kind, const char *id, json_t *body)
{
    g_ptr_array_add(entries, restore_json(kind, id, body));
}

/* What an execution holds besides what is kept. */
static json_t *execution_rest(const struct execution *ex)
{
    json_t *since = json_array(), *baking = json_array(), *calls = json_array();
    for (guint i = 0; i < ex->steps->len; i++) {
        const struct execution_step *step = ex->steps->pdata[i];
        json_array_append_new(since, json_integer(step->since_us));
        json_array_append_new(baking, json_integer(step->baking_us));
        json_array_append_new(
            calls, json_pack("[b, I, I]", step->calling, (json_int_t)step->tries, (json_int_t)step->again_us));
    }
    return json_pack("{s:s, s:b, s:I, s:o, s:o, s:o}", "id", ex->id, "resumed", ex->resumed, "undo_since",
                     (json_int_t)ex->undo_since_us, "since", since, "baking", baking, "calls", calls);
}

static void add_executions(const struct engine *engine, GPtrArray *entries, json_t *rests)
{
    for (guint i = 0; i < engine->order->len; i++) {
        const struct execution *ex = engine->order->pdata[i];
        entry_add(entries, "execution", ex->id, execution_to_json(ex));
        for (guint j = 0; j < ex->events->len; j++) {
            const struct execution_event *event = ex->events->pdata[j];
            g_autofree char *id = g_strdup_printf("%s/%" G_GUINT64_FORMAT, ex->id, event->seq);
            entry_add(entries, "event", id, execution_event_to_json(event));
        }
        if (!execution_ended(ex))
            json_array_append_new(rests, execution_rest(ex));
    }
}

static gint by_text(gconstpointer a, gconstpointer b)
{
    return strcmp(a, b);
}

/* Idempotency keys stand in "generation" entries; that of the generation in force is there for its cause, too. */
static void add_generations(const struct engine *engine, GPtrArray *entries)
{
    GList *keys = g_list_sort(g_hash_table_get_keys(engine->keys), by_text);
    const struct world *world = engine->resolved->world;
    bool newest = false;
    for (const GList *item = keys; item != NULL; item = item->next) {
        uint64_t generation = *(const uint64_t *)g_hash_table_lookup(engine->keys, item->data);
        g_autofree char *id = g_strdup_printf("%" G_GUINT64_FORMAT, generation);
        bool own = generation == world->stamp.generation;
        newest |= own;
        entry_add(entries, "generation", id,
                  json_pack("{s:I, s:I, s:s, s:s}", "generation", (json_int_t)generation, "epoch",
                            (json_int_t)engine->epoch, "cause", own ? world->cause : "", "key", item->data));
    }
    g_list_free(keys);
    if (newest)
        return;
    g_autofree char *id = g_strdup_printf("%" G_GUINT64_FORMAT, world->stamp.generation);
    entry_add(entries, "generation", id,
              json_pack("{s:I, s:I, s:s}", "generation", (json_int_t)world->stamp.generation, "epoch",
                        (json_int_t)engine->epoch, "cause", world->cause));
}

static json_t *edges_json(const struct engine *engine)
{
    json_t *list = json_array();
    GList *names = g_list_sort(g_hash_table_get_keys(engine->observed->edges), by_text);
    for (const GList *item = names; item != NULL; item = item->next)
        json_array_append_new(list, edge_report_to_json(observed_edge(engine->observed, item->data), engine->now_us));
    g_list_free(names);
    return list;
}

static json_t *servers_json(const struct engine *engine)
{
    json_t *list = json_array();
    GList *names = g_list_sort(g_hash_table_get_keys(engine->observed->servers), by_text);
    for (const GList *item = names; item != NULL; item = item->next)
        json_array_append_new(list, server_json(observed_server(engine->observed, item->data), engine->now_us));
    g_list_free(names);
    return list;
}

struct engine_snapshot *engine_snapshot_new(const struct engine *engine)
{
    struct engine_snapshot *snapshot = g_new0(struct engine_snapshot, 1);
    json_t *rests = json_array();
    snapshot->config = engine->config;
    snapshot->config.cluster = g_strdup(engine->config.cluster);
    snapshot->config.wall_offset_us = engine->wall_offset_us;
    snapshot->world = world_ref(engine->resolved->world);
    snapshot->entries = g_ptr_array_new_with_free_func(drop_json);
    add_executions(engine, snapshot->entries, rests);
    add_generations(engine, snapshot->entries);
    if (rules_period_s(engine->resolved->world->inventory) > 0)
        entry_add(snapshot->entries, "past", "rules", rules_past_to_json(engine->past));
    snapshot->state = json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:b, s:b, s:b, s:o, s:o, s:o, s:o}", "in", "state",
                                "at", (json_int_t)engine->now_us, "started", (json_int_t)engine->started_us, "epoch",
                                (json_int_t)engine->epoch, "audit", (json_int_t)engine->audit_seq, "ids",
                                (json_int_t)engine->ids, "reading", engine->reading, "claiming", engine->claiming,
                                "held", engine->held, "unclaimed", names_to_json(engine->unclaimed), "running", rests,
                                "edges", edges_json(engine), "servers", servers_json(engine));
    return snapshot;
}

/* Takes input. */
static void emit(json_t *input, engine_told_fn fn, void *data)
{
    fn(data, input);
    json_decref(input);
}

static void emit_objects(const struct world *world, engine_told_fn fn, void *data)
{
    for (int kind = 0; kind < OBJECT_KINDS; kind++) {
        const GPtrArray *objects = inventory_list(world->inventory, (enum object_kind)kind);
        for (guint i = 0; i < objects->len; i++) {
            const struct object *object = objects->pdata[i];
            g_autofree char *id = g_strdup_printf("%s/%s", object_class(object->kind)->name, object->name);
            emit(restore_json("object", id,
                              json_pack("{s:o, s:I}", "object", object_to_json(object), "revision",
                                        (json_int_t)object->revision)),
                 fn, data);
        }
    }
}

static void emit_plans(const struct world *world, engine_told_fn fn, void *data)
{
    GList *names = g_list_sort(g_hash_table_get_keys(world->plans), by_text);
    for (const GList *item = names; item != NULL; item = item->next) {
        const struct plan *plan = g_hash_table_lookup(world->plans, item->data);
        emit(restore_json("plan", plan->name,
                          json_pack("{s:o, s:I}", "plan", plan_to_json(plan), "revision", (json_int_t)plan->revision)),
             fn, data);
    }
    g_list_free(names);
}

static void emit_controls(const struct world *world, engine_told_fn fn, void *data)
{
    g_autoptr(GPtrArray) list = controls_list(world->controls);
    for (guint i = 0; i < list->len; i++) {
        const struct control *control = list->pdata[i];
        g_autofree char *id = lever_text(control->lever, control->object);
        emit(restore_json("control", id, control_to_json(control)), fn, data);
    }
}

void engine_snapshot_emit(const struct engine_snapshot *snapshot, engine_told_fn fn, void *data)
{
    emit(config_json(&snapshot->config), fn, data);
    emit_objects(snapshot->world, fn, data);
    emit_plans(snapshot->world, fn, data);
    emit_controls(snapshot->world, fn, data);
    if (snapshot->world->pins.n > 0)
        emit(restore_json("pinkeys", "keys", pin_keys_to_json(&snapshot->world->pins, false)), fn, data);
    for (guint i = 0; i < snapshot->entries->len; i++)
        fn(data, snapshot->entries->pdata[i]);
    fn(data, snapshot->state);
}

void engine_snapshot_free(struct engine_snapshot *snapshot)
{
    if (snapshot == NULL)
        return;
    g_free(snapshot->config.cluster);
    world_unref(snapshot->world);
    g_ptr_array_unref(snapshot->entries);
    json_decref(snapshot->state);
    g_free(snapshot);
}

/* Of a snapshot's "state": what the entries before it do not say. */

static bool take_running(struct engine *engine, const json_t *rows)
{
    size_t i;
    const json_t *row;
    json_array_foreach (rows, i, row) {
        struct execution *ex = engine_find(engine, json_member_text(row, "id"));
        const json_t *since = json_object_get(row, "since");
        if (ex == NULL || json_array_size(since) != ex->steps->len)
            return false;
        ex->resumed = is_true(row, "resumed");
        ex->undo_since_us = int_of(row, "undo_since");
        for (guint j = 0; j < ex->steps->len; j++) {
            struct execution_step *step = ex->steps->pdata[j];
            step->since_us = json_integer_value(json_array_get(since, j));
            step->baking_us = json_integer_value(json_array_get(json_object_get(row, "baking"), j));
            const json_t *calls = json_array_get(json_object_get(row, "calls"), j);
            step->calling = json_is_true(json_array_get(calls, 0));
            step->tries = (unsigned)json_integer_value(json_array_get(calls, 1));
            step->again_us = json_integer_value(json_array_get(calls, 2));
        }
    }
    return true;
}

static void names_take(GPtrArray *names, const json_t *list)
{
    for (size_t i = 0; i < json_array_size(list); i++)
        names_add(names, json_string_value(json_array_get(list, i)));
}

static bool take_observed(struct engine *engine, const json_t *input, GError **error)
{
    size_t i;
    const json_t *row;
    json_array_foreach (json_object_get(input, "edges"), i, row)
        if (!observed_edge_restore(engine->observed, row, engine->now_us, error))
            return false;
    json_array_foreach (json_object_get(input, "servers"), i, row) {
        struct server_report *report = server_of(json_object_get(row, "report"));
        if (report == NULL)
            return no_input(row, error);
        observed_server_report(engine->observed, report);
    }
    return true;
}

static bool input_state(struct engine *engine, const json_t *input, struct effects *out, GError **error)
{
    (void)out;
    for (guint i = 0; i < engine->order->len; i++) {
        struct execution *ex = engine->order->pdata[i];
        ex->events_saved = ex->events->len;
        ex->dirty = false;
    }
    engine->epoch = (uint64_t)int_of(input, "epoch");
    engine->reading = is_true(input, "reading");
    engine->claiming = is_true(input, "claiming");
    engine->held = is_true(input, "held");
    names_take(engine->unclaimed, json_object_get(input, "unclaimed"));
    engine_take_restored(engine, int_of(input, "at"));
    engine->started_us = int_of(input, "started");
    engine->audit_seq = (uint64_t)int_of(input, "audit");
    engine->ids = (uint64_t)int_of(input, "ids");
    return (take_running(engine, json_object_get(input, "running")) || no_input(input, error)) &&
           take_observed(engine, input, error);
}
