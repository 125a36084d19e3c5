/* engine_change.c: what people ask for directly: inventory and plans, levers. */
#include "server/interlocking/engine_internal.h"

#include "core/error.h"

#include <string.h>

#define AUDIT_ROWS_MAX 1000 /* of one apply; what is above is counted */

json_t *forecast_answer(const struct forecast *forecast)
{
    json_t *json = forecast_to_json(forecast);
    g_autofree char *text = forecast_text(forecast);
    json_object_set_new(json, "text", json_string(text));
    return json;
}

/* set controls */

static bool moves_add_once(GArray *moves, const struct lever_class *class, const char *object, const char *value,
                           GError **error)
{
    for (guint i = 0; i < moves->len; i++) {
        const struct move *other = &g_array_index(moves, struct move, i);
        if (other->lever == class->lever && strcmp(other->object, object) == 0) {
            g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "%s/%s: found twice, expected once", class->name, object);
            return false;
        }
    }
    moves_add(moves, class->lever, object, value);
    return true;
}

/* "tier/normal" stands for every service of the tier. */
static bool read_tier(const struct engine *engine, const struct lever_class *class, const char *tier, const char *value,
                      GArray *moves, GError **error)
{
    static const char *const tiers[] = {"normal", "important", "core"};
    const struct inventory *inv = engine->resolved->world->inventory;
    guint before = moves->len;
    INVENTORY_FOREACH (inv, service, service) {
        g_autofree char *canonical = NULL;
        if (strcmp(tiers[service->tier], tier) != 0)
            continue;
        if (!control_validate(inv, class->lever, service->o.name, value, &canonical, error) ||
            !moves_add_once(moves, class, service->o.name, canonical, error))
            return false;
    }
    if (moves->len > before)
        return true;
    g_autofree char *found = text_quote(tier);
    g_set_error(error, SB_ERROR, SB_ERROR_NOT_FOUND,
                "%s/tier/: found %s, expected normal, important or core, which a service has", class->name, found);
    return false;
}

static bool read_change(const struct engine *engine, const json_t *row, GArray *moves, GError **error)
{
    const char *lever, *object, *value;
    if (json_unpack((json_t *)row, "{s:s, s:s, s:s !}", "control", &lever, "object", &object, "value", &value) != 0) {
        g_autofree char *found = json_quote(row);
        g_set_error(error, SB_ERROR, SB_ERROR_INVALID,
                    "changes, row %u: found %s, expected exactly the strings control, object and value", moves->len + 1,
                    found);
        return false;
    }
    const struct lever_class *class = lever_class_find(lever);
    if (class == NULL) {
        g_autofree char *found = text_quote(lever);
        g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "control: found %s, expected the name of a lever", found);
        return false;
    }
    if (class->kind == OBJECT_service && g_str_has_prefix(object, "tier/"))
        return read_tier(engine, class, object + strlen("tier/"), value, moves, error);
    g_autofree char *canonical = NULL;
    if (!control_validate(engine->resolved->world->inventory, class->lever, object, value, &canonical, error))
        return false;
    return moves_add_once(moves, class, object, canonical, error);
}

static GArray *read_changes(const struct engine *engine, const json_t *changes, GError **error)
{
    g_autoptr(GArray) moves = moves_new();
    size_t i;
    const json_t *row;
    if (!json_is_array(changes) || json_array_size(changes) == 0) {
        g_autofree char *found = json_quote(changes);
        g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "changes: found %s, expected a list of at least one change",
                    found);
        return NULL;
    }
    json_array_foreach (changes, i, row)
        if (!read_change(engine, row, moves, error))
            return NULL;
    return g_steal_pointer(&moves);
}

static bool revisions_match(const struct engine *engine, const GArray *moves, int64_t if_match, GError **error)
{
    for (guint i = 0; if_match >= 0 && i < moves->len; i++) {
        const struct move *move = &g_array_index(moves, struct move, i);
        const struct control *control = controls_get(engine->resolved->world->controls, move->lever, move->object);
        int64_t revision = control == NULL ? 0 : (int64_t)control->revision;
        if (revision == if_match)
            continue;
        g_autofree char *lever = lever_text(move->lever, move->object);
        g_set_error(error, SB_ERROR, SB_ERROR_STALE,
                    "%s: found revision %" G_GINT64_FORMAT " (%s), expected %" G_GINT64_FORMAT, lever, revision,
                    control == NULL ? "default" : control->value, if_match);
        return false;
    }
    return true;
}

/* A person may move a lever that an execution owns: he wins, and it is written down there too. */
static bool owners_allow(const struct engine *engine, const GArray *moves, const struct asker *asker, GError **error)
{
    for (guint i = 0; asker->automatic && i < moves->len; i++) {
        const struct move *move = &g_array_index(moves, struct move, i);
        const struct execution *owner = engine_owner(engine, move->lever, move->object);
        if (owner == NULL)
            continue;
        g_autofree char *lever = lever_text(move->lever, move->object);
        g_set_error(error, SB_ERROR, SB_ERROR_CONFLICT, "%s belongs to execution %s (plan %s, %s)", lever, owner->id,
                    owner->plan, owner->actor);
        return false;
    }
    return true;
}

static void tell_owner(struct engine *engine, const struct move *move, const struct asker *asker, struct effects *out)
{
    struct execution *owner = engine_owner(engine, move->lever, move->object);
    if (owner == NULL)
        return;
    g_autofree char *lever = lever_text(move->lever, move->object);
    execution_note(owner, engine_wall_us(engine), NULL, "override by %s: %s %s%s%s", asker->actor, lever, move->value,
                   asker->reason != NULL ? ": " : "", asker->reason != NULL ? asker->reason : "");
    execution_flush(engine, owner, out);
}

/* Takes draft. */
static void commit_moves(struct engine *engine, const GArray *moves, struct resolved *draft, const struct asker *asker,
                         struct effects *out)
{
    GPtrArray *entries = entries_new();
    entries_add_moves(entries, moves, draft);
    for (guint i = 0; i < moves->len; i++) {
        const struct move *move = &g_array_index(moves, struct move, i);
        const struct execution *owner = engine_owner(engine, move->lever, move->object);
        g_autofree char *lever = lever_text(move->lever, move->object);
        struct audit audit = {.actor = asker->actor,
                              .reason = asker->reason,
                              .what = owner != NULL ? "override" : "set",
                              .object = lever,
                              .before = controls_value(engine->resolved->world->controls, move->lever, move->object),
                              .after = move->value,
                              .execution = owner != NULL ? owner->id : NULL,
                              .overrides = asker->overrides,
                              .generation = draft->world->stamp.generation};
        engine_audit(engine, entries, &audit);
    }
    engine_commit(engine, draft, entries, NULL, out);
    for (guint i = 0; i < moves->len; i++)
        tell_owner(engine, &g_array_index(moves, struct move, i), asker, out);
}

static json_t *controls_answer(const struct engine *engine, const GArray *moves, const struct resolved *resolved)
{
    json_t *controls = json_array();
    for (guint i = 0; i < moves->len; i++) {
        const struct move *move = &g_array_index(moves, struct move, i);
        json_array_append_new(controls,
                              control_to_json(controls_get(resolved->world->controls, move->lever, move->object)));
    }
    (void)engine;
    return controls;
}

json_t *engine_set_controls(struct engine *engine, const json_t *changes, int64_t if_match, bool dry_run,
                            const struct asker *asker, struct now now, struct effects *out, GError **error)
{
    tell_set(engine, changes, if_match, dry_run, asker, now);
    engine_take_now(engine, now);
    g_autoptr(GArray) moves = read_changes(engine, changes, error);
    if (moves == NULL || !check_overrides(engine, asker, error) || !revisions_match(engine, moves, if_match, error) ||
        (!dry_run && !owners_allow(engine, moves, asker, error)))
        return NULL;
    struct resolved *draft = engine_draft_moves(engine, moves, asker->actor, NULL, "");
    sb_auto(forecast) fc = forecast(engine->resolved, draft, engine->observed, engine->now_us);
    g_autoptr(GPtrArray) refusals = engine_judge(engine, draft, fc, NULL, asker->automatic, asker->overrides);
    json_t *result = NULL;
    if (refusals->len > 0 && !dry_run) {
        refusals_error(refusals, error);
        resolved_unref(draft);
        return NULL;
    }
    result = json_pack("{s:o, s:o, s:o}", "controls", controls_answer(engine, moves, draft), "forecast",
                       forecast_answer(fc), "refusals", refusals_to_json(refusals));
    if (dry_run)
        resolved_unref(draft);
    else
        commit_moves(engine, moves, draft, asker, out);
    if (!dry_run && engine->held)
        json_object_set_new(result, "pending", json_true());
    json_object_set_new(result, "generation", json_integer((json_int_t)engine->generation));
    return result;
}

/* apply */

struct applying {
    struct engine *engine;
    struct inventory *inventory; /* in the making */
    GHashTable *plans;           /* name -> struct plan *, owned */
    GHashTable *named;           /* "kind/name" of all that the body holds */
    GPtrArray *findings;
    bool plans_changed;
};

static void plan_drop(gpointer plan)
{
    plan_free(plan);
}

static char *object_id(enum object_kind kind, const char *name)
{
    return g_strdup_printf("%s/%s", object_class(kind)->name, name);
}

static void take_object(struct applying *a, const json_t *row)
{
    struct object *object = object_from_json(row, a->findings);
    if (object == NULL)
        return;
    char *id = object_id(object->kind, object->name);
    if (!g_hash_table_add(a->named, id))
        finding_add(a->findings, object->at, object_class(object->kind)->name, "name", object->name,
                    "each object once");
    const struct object *old = inventory_get(a->inventory, object->kind, object->name);
    if (old != NULL && object_equal(old, object)) {
        object_free(object);
        return;
    }
    object->revision = a->engine->generation + 1;
    inventory_put(a->inventory, object);
}

static void take_plan(struct applying *a, const json_t *row)
{
    struct plan *plan = plan_from_json(row, json_string_value(json_object_get(row, "at")), a->findings);
    if (plan == NULL)
        return;
    g_hash_table_add(a->named, g_strdup_printf("plan/%s", plan->name));
    const struct plan *old = g_hash_table_lookup(a->plans, plan->name);
    if (old != NULL && json_equal(old->source, plan->source)) {
        plan_free(plan);
        return;
    }
    plan->revision = a->engine->generation + 1;
    g_hash_table_replace(a->plans, g_strdup(plan->name), plan);
    a->plans_changed = true;
}

static void drop(struct applying *a, const char *kind, const char *name)
{
    const struct object_class *class = object_class_find(kind);
    bool dropped = false;
    if (strcmp(kind, "plan") == 0)
        a->plans_changed |= dropped = g_hash_table_remove(a->plans, name);
    else if (class != NULL)
        dropped = inventory_remove(a->inventory, class->kind, name);
    if (!dropped) {
        g_autofree char *id = g_strdup_printf("%s/%s", kind, name), *found = text_quote(id);
        finding_add(a->findings, NULL, NULL, "remove", found, "KIND/NAME of an object or plan that there is");
    }
}

static void take_removals(struct applying *a, const json_t *remove)
{
    size_t i;
    const json_t *row;
    json_array_foreach (remove, i, row) {
        g_auto(GStrv) words = g_strsplit(json_is_string(row) ? json_string_value(row) : "", "/", 2);
        if (g_strv_length(words) == 2) {
            drop(a, words[0], words[1]);
        } else {
            g_autofree char *found = json_quote(row);
            finding_add(a->findings, NULL, NULL, "remove", found, "KIND/NAME");
        }
    }
}

static void prune(struct applying *a)
{
    for (int kind = 0; kind < OBJECT_KINDS; kind++) {
        const GPtrArray *objects = inventory_list(a->inventory, (enum object_kind)kind);
        g_autoptr(GPtrArray) gone = g_ptr_array_new_with_free_func(g_free);
        for (guint i = 0; i < objects->len; i++) {
            const struct object *object = objects->pdata[i];
            g_autofree char *id = object_id(object->kind, object->name);
            if (!g_hash_table_contains(a->named, id))
                g_ptr_array_add(gone, g_strdup(object->name));
        }
        for (guint i = 0; i < gone->len; i++)
            inventory_remove(a->inventory, (enum object_kind)kind, gone->pdata[i]);
    }
    GHashTableIter iter;
    gpointer name;
    g_hash_table_iter_init(&iter, a->plans);
    while (g_hash_table_iter_next(&iter, &name, NULL)) {
        g_autofree char *id = g_strdup_printf("plan/%s", (char *)name);
        if (g_hash_table_contains(a->named, id))
            continue;
        g_hash_table_iter_remove(&iter);
        a->plans_changed = true;
    }
}

static bool apply_matches(const struct engine *engine, const json_t *if_match, GError **error)
{
    const struct world *world = engine->resolved->world;
    const char *id;
    json_t *expected;
    json_object_foreach ((json_t *)if_match, id, expected) {
        g_auto(GStrv) words = g_strsplit(id, "/", 2);
        const struct object_class *class = words[0] == NULL ? NULL : object_class_find(words[0]);
        bool named = g_strv_length(words) == 2 && (class != NULL || strcmp(words[0], "plan") == 0) &&
                     (text_valid(FIELD_NAME, words[1]) || text_valid(FIELD_FQDN, words[1]));
        if (!named || !json_is_integer(expected)) {
            g_autofree char *quoted = text_quote(id);
            g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "if_match: found %s, expected KIND/NAME and a revision",
                        quoted);
            return false;
        }
        const struct object *object = class == NULL ? NULL : inventory_get(world->inventory, class->kind, words[1]);
        const struct plan *plan = class != NULL ? NULL : g_hash_table_lookup(world->plans, words[1]);
        json_int_t found = object != NULL ? (json_int_t)object->revision
                           : plan != NULL ? (json_int_t)plan->revision
                                          : 0;
        if (found == json_integer_value(expected))
            continue;
        g_set_error(error, SB_ERROR, SB_ERROR_STALE, "%s: found revision %lld%s, expected %lld", id, (long long)found,
                    object == NULL && plan == NULL ? " (there is none)" : "", (long long)json_integer_value(expected));
        return false;
    }
    return true;
}

/* An object whose lever a running execution owns must stay, also when the lever has not been moved yet. */
static bool removals_are_free(const struct engine *engine, const GArray *diff, GError **error)
{
    for (guint i = 0; i < diff->len; i++) {
        const struct inventory_change *change = &g_array_index(diff, struct inventory_change, i);
        for (int l = 0; change->after == NULL && l < LEVERS; l++) {
            const struct execution *owner = lever_class((enum lever)l)->kind != change->kind
                                                ? NULL
                                                : engine_owner(engine, (enum lever)l, change->name);
            if (owner == NULL)
                continue;
            g_autofree char *lever = lever_text((enum lever)l, change->name);
            g_set_error(error, SB_ERROR, SB_ERROR_CONFLICT,
                        "%s cannot be removed: its lever %s belongs to execution %s", change->name, lever, owner->id);
            return false;
        }
    }
    return true;
}

/* Levers of the new inventory: those of objects that are gone end; the others must still be right (a split may name a
 * room that is to go). NULL on failure. */
static struct controls *carry_controls(struct applying *a, GPtrArray *ended, GError **error)
{
    sb_auto(controls) controls = controls_new();
    g_autoptr(GPtrArray) list = controls_list(a->engine->resolved->world->controls);
    for (guint i = 0; i < list->len; i++) {
        const struct control *control = list->pdata[i];
        g_autofree char *lever = lever_text(control->lever, control->object), *canonical = NULL;
        if (inventory_get(a->inventory, lever_class(control->lever)->kind, control->object) != NULL) {
            if (!control_validate(a->inventory, control->lever, control->object, control->value, &canonical, error)) {
                g_prefix_error(error, "%s: its value would be wrong: ", lever);
                return NULL;
            }
            controls_put(controls, control);
            continue;
        }
        g_ptr_array_add(ended, g_strdup(lever));
    }
    struct controls *carried = controls;
    controls = NULL;
    return carried;
}

static json_t *change_json(const struct inventory_change *change)
{
    return json_pack("{s:s, s:s, s:o, s:o}", "kind", object_class(change->kind)->name, "name", change->name, "before",
                     change->before != NULL ? object_to_json(change->before) : json_null(), "after",
                     change->after != NULL ? object_to_json(change->after) : json_null());
}

static char *json_text(const json_t *json)
{
    char *text = json_is_null(json) ? NULL : json_dumps(json, JSON_COMPACT);
    char *copy = g_strdup(text);
    free(text);
    return copy;
}

static json_t *plan_json(const struct plan *plan)
{
    return plan == NULL ? json_null() : plan_to_json(plan);
}

/* Plans that differ: appended to `changes` as {"kind": "plan", ...}, and to the text. */
static void diff_plans(const struct applying *a, json_t *changes, GString *text)
{
    GHashTable *before = a->engine->resolved->world->plans;
    g_autoptr(GHashTable) all = g_hash_table_new(g_str_hash, g_str_equal);
    GHashTableIter iter;
    gpointer name;
    g_hash_table_iter_init(&iter, before);
    while (g_hash_table_iter_next(&iter, &name, NULL))
        g_hash_table_add(all, name);
    g_hash_table_iter_init(&iter, a->plans);
    while (g_hash_table_iter_next(&iter, &name, NULL))
        g_hash_table_add(all, name);
    GList *names = g_list_sort(g_hash_table_get_keys(all), (GCompareFunc)strcmp);
    for (const GList *item = names; item != NULL; item = item->next) {
        const struct plan *old = g_hash_table_lookup(before, item->data),
                          *new = g_hash_table_lookup(a->plans, item->data);
        if (old != NULL && new != NULL && old->revision == new->revision)
            continue;
        g_string_append_printf(text, "%s plan %s\n", old == NULL ? "+" : new == NULL ? "-" : "~", (char *)item->data);
        json_array_append_new(changes, json_pack("{s:s, s:s, s:o, s:o}", "kind", "plan", "name", item->data, "before",
                                                 plan_json(old), "after", plan_json(new)));
    }
    g_list_free(names);
}

/* Journal and audit of each change; `changes` as in the answer. */
static void entries_add_changes(struct engine *engine, GPtrArray *entries, const json_t *changes,
                                const struct asker *asker)
{
    uint64_t revision = engine->generation + 1;
    size_t i;
    json_t *change;
    json_array_foreach (changes, i, change) {
        const char *kind = json_string_value(json_object_get(change, "kind"));
        const char *name = json_string_value(json_object_get(change, "name"));
        bool is_plan = strcmp(kind, "plan") == 0;
        json_t *before = json_object_get(change, "before"), *after = json_object_get(change, "after");
        g_autofree char *id = g_strdup_printf("%s/%s", kind, name), *old = json_text(before), *new = json_text(after);
        entries_add(entries, is_plan ? "plan" : "object", is_plan ? name : id, NULL,
                    json_is_null(after) ? json_null()
                                        : json_pack("{s:O, s:I}", is_plan ? "plan" : "object", after, "revision",
                                                    (json_int_t)revision));
        struct audit audit = {.actor = asker->actor,
                              .reason = asker->reason,
                              .what = "apply",
                              .object = id,
                              .before = old,
                              .after = new,
                              .overrides = asker->overrides,
                              .generation = revision};
        if (i < AUDIT_ROWS_MAX)
            engine_audit(engine, entries, &audit);
    }
    if (i > AUDIT_ROWS_MAX) {
        g_autofree char *rest = g_strdup_printf("%zu more objects", i - AUDIT_ROWS_MAX);
        struct audit audit = {
            .actor = asker->actor, .reason = asker->reason, .what = "apply", .object = rest, .generation = revision};
        engine_audit(engine, entries, &audit);
    }
}

static bool read_body(struct applying *a, const json_t *body, GError **error)
{
    size_t i;
    const json_t *row;
    json_array_foreach (json_object_get(body, "objects"), i, row)
        take_object(a, row);
    json_array_foreach (json_object_get(body, "plans"), i, row)
        take_plan(a, row);
    take_removals(a, json_object_get(body, "remove"));
    if (json_is_true(json_object_get(body, "prune")) && a->findings->len == 0)
        prune(a);
    if (a->findings->len == 0)
        inventory_validate(a->inventory, a->findings);
    if (a->findings->len == 0)
        plans_validate(a->plans, a->inventory, a->findings);
    return a->findings->len == 0 || findings_error(a->findings, error);
}

static bool body_is_known(const json_t *body, GError **error)
{
    static const struct {
        const char *member;
        json_type type;
        const char *expected;
    } members[] = {{"objects", JSON_ARRAY, "a list"},
                   {"plans", JSON_ARRAY, "a list"},
                   {"remove", JSON_ARRAY, "a list"},
                   {"prune", JSON_TRUE, "true or false"},
                   {"if_match", JSON_OBJECT, "an object"}};
    const char *key;
    json_t *value;
    if (!json_is_object(body)) {
        g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "apply: expected an object with objects and plans");
        return false;
    }
    json_object_foreach ((json_t *)body, key, value) {
        size_t i = 0;
        while (i < G_N_ELEMENTS(members) && strcmp(key, members[i].member) != 0)
            i++;
        if (i == G_N_ELEMENTS(members)) {
            g_set_error(error, SB_ERROR, SB_ERROR_INVALID,
                        "apply: found %s, expected objects, plans, remove, prune or if_match", key);
            return false;
        }
        json_type type = json_is_false(value) ? JSON_TRUE : json_typeof(value);
        if (type != members[i].type) {
            g_autofree char *found = json_quote(value);
            g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "apply: %s: found %s, expected %s", key, found,
                        members[i].expected);
            return false;
        }
    }
    return true;
}

/* The answer, and with it the change unless it is a dry run or nothing differs. */
static json_t *judge_and_apply(struct applying *a, bool dry_run, const struct asker *asker, struct effects *out,
                               GError **error)
{
    struct engine *engine = a->engine;
    const struct world *world = engine->resolved->world;
    g_autoptr(GArray) diff = inventory_diff(world->inventory, a->inventory);
    g_autofree char *inventory_text = inventory_diff_text(diff);
    g_autoptr(GString) text = g_string_new(inventory_text);
    g_autoptr(GPtrArray) ended = g_ptr_array_new_with_free_func(g_free);
    sb_auto(controls) controls = carry_controls(a, ended, error);
    if (controls == NULL || !removals_are_free(engine, diff, error))
        return NULL;
    json_t *changes = json_array();
    for (guint i = 0; i < diff->len; i++)
        json_array_append_new(changes, change_json(&g_array_index(diff, struct inventory_change, i)));
    diff_plans(a, changes, text);
    bool same = json_array_size(changes) == 0;
    /* Without a change of the inventory it stays the same object, so that resolve uses its slow parts again. */
    struct resolved *draft = same ? resolved_ref(engine->resolved)
                                  : engine_draft(engine, diff->len > 0 ? a->inventory : NULL, controls,
                                                 a->plans_changed ? a->plans : NULL, "");
    sb_auto(forecast) fc = forecast(engine->resolved, draft, engine->observed, engine->now_us);
    g_autoptr(GPtrArray) refusals =
        same ? g_ptr_array_new() : engine_judge(engine, draft, fc, NULL, asker->automatic, asker->overrides);
    json_t *result = NULL;
    if (refusals->len > 0 && !dry_run) {
        refusals_error(refusals, error);
        resolved_unref(draft);
    } else {
        result = json_pack("{s:s, s:O, s:o, s:o}", "diff", text->str, "changes", changes, "forecast",
                           forecast_answer(fc), "refusals", refusals_to_json(refusals));
        if (same || dry_run) {
            resolved_unref(draft);
        } else {
            GPtrArray *entries = entries_new();
            entries_add_changes(engine, entries, changes, asker);
            for (guint i = 0; i < ended->len; i++)
                entries_add(entries, "control", ended->pdata[i], NULL, json_null());
            engine_commit(engine, draft, entries, NULL, out);
        }
        json_object_set_new(result, "generation", json_integer((json_int_t)engine->generation));
    }
    json_decref(changes);
    return result;
}

json_t *engine_apply(struct engine *engine, const json_t *body, bool dry_run, const struct asker *asker, struct now now,
                     struct effects *out, GError **error)
{
    tell_apply(engine, body, dry_run, asker, now);
    engine_take_now(engine, now);
    if (!body_is_known(body, error) || !check_overrides(engine, asker, error) ||
        !apply_matches(engine, json_object_get(body, "if_match"), error))
        return NULL;
    const struct world *world = engine->resolved->world;
    struct applying a = {.engine = engine,
                         .inventory = inventory_copy(world->inventory),
                         .plans = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, plan_drop),
                         .named = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL),
                         .findings = finding_list_new()};
    GHashTableIter iter;
    gpointer plan;
    g_hash_table_iter_init(&iter, world->plans);
    while (g_hash_table_iter_next(&iter, NULL, &plan)) {
        struct plan *copy = plan_copy(plan);
        g_hash_table_insert(a.plans, g_strdup(copy->name), copy);
    }
    json_t *result = read_body(&a, body, error) ? judge_and_apply(&a, dry_run, asker, out, error) : NULL;
    inventory_unref(a.inventory);
    g_hash_table_unref(a.plans);
    g_hash_table_unref(a.named);
    g_ptr_array_unref(a.findings);
    return result;
}
