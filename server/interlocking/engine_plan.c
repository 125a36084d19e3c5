/* engine_plan.c: starting a plan, owning its levers, abort and undo. */
#include "server/interlocking/engine_internal.h"
#include "server/interlocking/escapes.h"

#include "core/error.h"

#include <string.h>

#define CHILD_DEPTH_MAX 4

struct execution *engine_find(const struct engine *engine, const char *id)
{
    return id == NULL ? NULL : g_hash_table_lookup(engine->executions, id);
}

struct execution *execution_root(const struct engine *engine, struct execution *ex)
{
    while (ex != NULL && ex->parent != NULL)
        ex = engine_find(engine, ex->parent);
    return ex;
}

GPtrArray *execution_family(const struct engine *engine, struct execution *root)
{
    GPtrArray *family = g_ptr_array_new();
    for (guint i = 0; i < engine->order->len; i++)
        if (execution_root(engine, engine->order->pdata[i]) == root)
            g_ptr_array_add(family, engine->order->pdata[i]);
    return family;
}

struct execution *engine_owner(const struct engine *engine, enum lever lever, const char *object)
{
    for (guint i = 0; i < engine->order->len; i++) {
        struct execution *ex = engine->order->pdata[i], *root = execution_root(engine, ex);
        if (root == NULL || execution_ended(root))
            continue;
        for (guint j = 0; j < ex->steps->len; j++) {
            const struct execution_step *step = ex->steps->pdata[j];
            for (guint k = 0; k < step->sets->len; k++) {
                const struct execution_set *set = &g_array_index(step->sets, struct execution_set, k);
                if (set->lever == lever && strcmp(set->object, object) == 0)
                    return root;
            }
        }
    }
    return NULL;
}

/* Freezing a plan. */

/* splitmix64: ids differ from each other and, by the seed, from those of another server. */
static uint64_t mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static char *new_id(struct engine *engine, const char *plan)
{
    for (;;) {
        char *id = g_strdup_printf("%s-%08x", plan, (unsigned)mix(engine->config.seed + engine->ids++));
        if (engine_find(engine, id) == NULL)
            return id;
        g_free(id);
    }
}

struct freezing {
    struct engine *engine;
    const struct asker *asker;
    const json_t *params;
    GPtrArray *family; /* struct execution *, the root first */
    GArray *moves;     /* all of them, in the order written */
};

static bool freeze_set(struct freezing *f, struct execution_step *step, const struct plan_set *from, const char *object,
                       GError **error)
{
    const struct world *world = f->engine->resolved->world;
    char *canonical = NULL;
    bool param = from->value[0] == '$';
    const char *value = param ? json_string_value(json_object_get(f->params, from->value + 1)) : from->value;
    if (value == NULL) { /* of a child plan: its parent has no such parameter */
        g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "step %s: found no value for %s, expected one", step->name,
                    from->value);
        return false;
    }
    if (!control_validate(world->inventory, from->lever, object, value, &canonical, error)) {
        g_prefix_error(error, "step %s: ", step->name);
        return false;
    }
    const struct control *control = controls_get(world->controls, from->lever, object);
    struct execution_set set = {.lever = from->lever,
                                .object = g_strdup(object),
                                .value = canonical,
                                .revision = control == NULL ? 0 : control->revision};
    g_array_append_val(step->sets, set);
    moves_add(f->moves, from->lever, object, canonical);
    return true;
}

/* Does a selector (plan.h) mean this object? home: what stands or falls with the room, because its service runs there
 * and nowhere else. stranded: what has no other way out of it now, either. */
static bool selects(const struct engine *engine, const char *selector, const struct object *object, const char *target)
{
    const struct world *w = engine->resolved->world;
    const struct inventory *inv = w->inventory;
    if (g_str_has_prefix(selector, "stranded=") && room_has_escape(w, engine->observed, target, engine->now_us))
        return false;
    if (g_str_has_prefix(selector, "carrier="))
        return strcmp(((const struct variant *)object)->carrier, target) == 0;
    const struct service *service = object->kind == OBJECT_service
                                        ? (const struct service *)object
                                        : INVENTORY_GET(inv, service, ((const struct group *)object)->service);
    return service != NULL && service->active == SERVICE_SINGLE && g_strcmp0(service->home, target) == 0;
}

static bool freeze_selected(struct freezing *f, struct execution_step *step, const struct plan_set *from,
                            const char *target, GError **error)
{
    const struct inventory *inv = f->engine->resolved->world->inventory;
    const GPtrArray *objects = inventory_list(inv, lever_class(from->lever)->kind);
    guint frozen = step->sets->len;
    for (guint i = 0; i < objects->len; i++) {
        const struct object *object = objects->pdata[i];
        if (selects(f->engine, from->on, object, target) && !freeze_set(f, step, from, object->name, error))
            return false;
    }
    if (!g_str_has_prefix(from->on, "carrier=") || step->sets->len > frozen)
        return true;
    /* A room may well have no single-room service; a carrier's users who cannot be moved must not look moved. */
    g_set_error(error, SB_ERROR, SB_ERROR_NOT_FOUND,
                "step %s: found no variant of carrier %s, expected one: nobody would be moved", step->name, target);
    return false;
}

static bool freeze_sets(struct freezing *f, struct execution_step *step, const struct plan_step *from,
                        const char *target, GError **error)
{
    for (guint i = 0; from->sets != NULL && i < from->sets->len; i++) {
        const struct plan_set *set = &g_array_index(from->sets, struct plan_set, i);
        bool selector = strchr(set->on, '=') != NULL;
        const char *object = selector || strcmp(set->on, "$target") == 0 ? target : set->on;
        if (object == NULL) {
            g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "step %s: found $target, but the plan has no target",
                        step->name);
            return false;
        }
        g_auto(GStrv) objects = g_strsplit(object, ",", -1); /* targets may be several */
        for (char **each = objects; *each != NULL; each++)
            if (!(selector ? freeze_selected : freeze_set)(f, step, set, *each, error))
                return false;
    }
    return true;
}

static bool freeze_ramp(struct freezing *f, struct execution_step *step, const char *target, GError **error)
{
    if (!ramp_freeze(f->engine, step, target, f->params, error))
        return false;
    for (guint i = 0; i < step->sets->len; i++) {
        const struct execution_set *set = &g_array_index(step->sets, struct execution_set, i);
        moves_add(f->moves, set->lever, set->object, set->value);
    }
    return true;
}

static const struct plan *find_plan(struct engine *engine, const char *name, GError **error)
{
    const struct plan *plan = g_hash_table_lookup(engine->resolved->world->plans, name);
    if (plan == NULL)
        g_set_error(error, SB_ERROR, SB_ERROR_NOT_FOUND, "plan %s: there is no such plan", name);
    return plan;
}

static struct execution *freeze(struct freezing *f, const struct plan *plan, const char *target, const char *parent,
                                unsigned depth, GError **error)
{
    if (depth > CHILD_DEPTH_MAX) {
        g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "plan %s: plans run each other more than %d deep", plan->name,
                    CHILD_DEPTH_MAX);
        return NULL;
    }
    g_autofree char *id = new_id(f->engine, plan->name);
    struct execution *ex = execution_new(id);
    g_ptr_array_add(f->family, ex);
    ex->plan = g_strdup(plan->name);
    ex->target = g_strdup(target);
    ex->plan_revision = plan->revision;
    ex->params = json_deep_copy(f->params);
    ex->actor = g_strdup(f->asker->actor);
    ex->reason = g_strdup(f->asker->reason);
    ex->automatic = f->asker->automatic;
    ex->overrides = g_strdupv((char **)f->asker->overrides);
    ex->parent = g_strdup(parent);
    ex->started_us = engine_wall_us(f->engine);
    if (parent == NULL && target != NULL)
        ex->decide_us = target_down_us(f->engine, (enum object_kind)plan->target_kind, target);
    execution_take_steps(ex, plan);
    for (guint i = 0; i < plan->steps->len; i++) {
        struct execution_step *step = ex->steps->pdata[i];
        if (step->kind == STEP_SET && !freeze_sets(f, step, plan->steps->pdata[i], target, error))
            return NULL;
        if (step->kind == STEP_RAMP && !freeze_ramp(f, step, target, error))
            return NULL;
        if (step->kind == STEP_WARM && !warm_freeze(f->engine, step, target, f->params, error))
            return NULL;
        if (step->kind == STEP_VERIFY && step->spec != NULL &&
            !transactions_freeze(f->engine, step, plan, target, f->params, error))
            return NULL;
        if (step->kind == STEP_HOOK && !hook_freeze(ex, step, error))
            return NULL;
        if (step->kind != STEP_RUN)
            continue;
        const struct plan *child = find_plan(f->engine, step->argument, error);
        if (child != NULL && child->target_kind >= 0 && child->target_kind != plan->target_kind) {
            g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "step %s: plan %s wants a %s, but the target is %s",
                        step->name, child->name, object_class((enum object_kind)child->target_kind)->name, target);
            return NULL;
        }
        struct execution *begun =
            child == NULL ? NULL : freeze(f, child, child->target_kind < 0 ? NULL : target, ex->id, depth + 1, error);
        if (begun == NULL)
            return NULL;
        step->child = g_strdup(begun->id);
    }
    return ex;
}

static bool is_before(char **names, char **name)
{
    for (; names < name; names++)
        if (strcmp(*names, *name) == 0)
            return true;
    return false;
}

static bool check_target(const struct engine *engine, const struct plan *plan, const char *target, GError **error)
{
    if (plan->target_kind < 0) {
        if (target == NULL)
            return true;
        g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "plan %s has no target: found %s, expected none", plan->name,
                    target);
        return false;
    }
    const char *kind = object_class((enum object_kind)plan->target_kind)->name;
    if (target == NULL || target[0] == '\0') {
        g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "plan %s: found no target, expected the name of a %s",
                    plan->name, kind);
        return false;
    }
    g_auto(GStrv) names = g_strsplit(target, ",", -1);
    for (char **name = names; *name != NULL; name++) {
        bool twice = is_before(names, name);
        if (!twice && inventory_get(engine->resolved->world->inventory, (enum object_kind)plan->target_kind, *name))
            continue;
        g_autofree char *found = text_quote(*name);
        g_set_error(error, SB_ERROR, SB_ERROR_NOT_FOUND, "plan %s: target: found %s%s, expected the name of a %s",
                    plan->name, found, twice ? " twice" : "", kind);
        return false;
    }
    return true;
}

/* All parameters of the plan and no others, each the name of an object of its kind. */
static bool check_params(const struct engine *engine, const struct plan *plan, const json_t *params, GError **error)
{
    const char *name, *kind;
    json_t *value;
    json_object_foreach (plan->params, name, value) {
        kind = json_string_value(value);
        const char *object = json_string_value(json_object_get(params, name));
        if (object != NULL &&
            inventory_get(engine->resolved->world->inventory, object_class_find(kind)->kind, object) != NULL)
            continue;
        g_autofree char *found = json_quote(json_object_get(params, name));
        g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "plan %s: parameter %s: found %s, expected the name of a %s",
                    plan->name, name, found, kind);
        return false;
    }
    json_object_foreach ((json_t *)(uintptr_t)params, name, value) {
        if (json_object_get(plan->params, name) != NULL)
            continue;
        g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "plan %s has no parameter %s", plan->name, name);
        return false;
    }
    return true;
}

bool check_owners(const struct engine *engine, const GArray *moves, GError **error)
{
    for (guint i = 0; i < moves->len; i++) {
        const struct move *move = &g_array_index(moves, struct move, i);
        const struct execution *owner = engine_owner(engine, move->lever, move->object);
        if (owner == NULL)
            continue;
        g_autofree char *lever = lever_text(move->lever, move->object);
        g_set_error(error, SB_ERROR, SB_ERROR_CONFLICT,
                    "%s belongs to execution %s (plan %s, %s), which is %s: wait for its end, or abort it", lever,
                    owner->id, owner->plan, owner->actor, execution_state_name(owner->state));
        return false;
    }
    return true;
}

/* Keys that an execution has written under: nobody will ask for them again. */
static void forget_keys(struct engine *engine, const struct execution *ex)
{
    g_autofree char *prefix = g_strconcat(ex->id, "/", NULL);
    GHashTableIter iter;
    gpointer key, generation;
    g_hash_table_iter_init(&iter, engine->keys);
    while (g_hash_table_iter_next(&iter, &key, &generation))
        if (g_str_has_prefix(key, prefix) && *(const uint64_t *)generation != engine->generation)
            g_hash_table_iter_remove(&iter);
}

static void forget_family(struct engine *engine, struct execution *root, GPtrArray *entries)
{
    g_autoptr(GPtrArray) family = execution_family(engine, root);
    for (guint i = family->len; i-- > 0;) {
        struct execution *ex = family->pdata[i];
        if (ex == root)
            continue;
        forget_keys(engine, ex);
        entries_add(entries, "execution", ex->id, NULL, json_null());
        engine_drop(engine, ex);
    }
    forget_keys(engine, root);
    entries_add(entries, "execution", root->id, NULL, json_null());
    engine_drop(engine, root);
}

static bool to_be_reviewed(const struct engine *engine, struct execution *root)
{
    g_autoptr(GPtrArray) family = execution_family(engine, root);
    for (guint i = 0; i < family->len; i++) {
        struct execution *ex = family->pdata[i];
        for (guint j = 0; j < ex->steps->len; j++)
            if (((const struct execution_step *)ex->steps->pdata[j])->review != NULL)
                return true;
    }
    return false;
}

/* Oldest first, until one more may end and EXECUTIONS_KEPT are there. */
static void forget_old(struct engine *engine, GPtrArray *entries)
{
    g_autoptr(GPtrArray) ended = g_ptr_array_new();
    for (guint i = 0; i < engine->order->len; i++) {
        struct execution *ex = engine->order->pdata[i];
        if (ex->parent == NULL && execution_ended(ex) && !to_be_reviewed(engine, ex))
            g_ptr_array_add(ended, ex);
    }
    for (guint i = 0; i + EXECUTIONS_KEPT <= ended->len; i++)
        forget_family(engine, ended->pdata[i], entries);
}

static void begin(struct engine *engine, const struct freezing *f, const struct forecast *forecast, struct effects *out)
{
    struct execution *root = f->family->pdata[0];
    GPtrArray *entries = entries_new();
    forget_old(engine, entries);
    root->state = EXECUTION_RUNNING;
    execution_note(root, root->started_us, NULL, "started by %s%s%s", root->actor, root->reason != NULL ? ": " : "",
                   root->reason != NULL ? root->reason : "");
    if (!forecast->known && f->moves->len > 0)
        execution_note(root, root->started_us, NULL, "warning: no fresh rates, so the forecast is not known");
    if (engine->unclaimed->len > 0) {
        g_autofree char *text = claim_missing(engine);
        execution_note(root, root->started_us, NULL, "%s", text);
    }
    for (guint i = 0; i < f->family->len; i++) {
        struct execution *ex = f->family->pdata[i];
        g_hash_table_insert(engine->executions, ex->id, ex);
        g_ptr_array_add(engine->order, ex);
        execution_save(ex, entries);
        ex->events_saved = ex->events->len;
        ex->dirty = false;
    }
    struct audit audit = {.actor = root->actor,
                          .reason = root->reason,
                          .what = "plan run",
                          .object = root->target == NULL ? root->plan : NULL,
                          .execution = root->id,
                          .overrides = f->asker->overrides,
                          .generation = engine->generation};
    g_autofree char *object = root->target == NULL ? NULL : g_strdup_printf("%s %s", root->plan, root->target);
    if (object != NULL)
        audit.object = object;
    engine_audit(engine, entries, &audit);
    effects_journal(out, entries);
    execution_advance(engine, root, out);
}

static json_t *judge_and_begin(struct engine *engine, struct freezing *f, bool dry_run, struct effects *out,
                               GError **error)
{
    const struct asker *asker = f->asker;
    sb_auto(resolved) draft = engine_draft_moves(engine, f->moves, asker->actor, NULL, "");
    sb_auto(forecast) fc = forecast(engine->resolved, draft, engine->observed, engine->now_us);
    g_autoptr(GPtrArray) refusals = f->moves->len == 0 ? g_ptr_array_new()
                                                       : engine_judge_family(engine, draft, fc, f->moves, f->family,
                                                                             asker->automatic, asker->overrides);
    if (dry_run)
        return preview_json(&(struct preview){.engine = engine,
                                              .asker = asker,
                                              .family = f->family,
                                              .moves = f->moves,
                                              .draft = draft,
                                              .forecast = fc,
                                              .refusals = refusals});
    if (refusals->len > 0) {
        refusals_error(refusals, error);
        return NULL;
    }
    struct execution *root = f->family->pdata[0];
    begin(engine, f, fc, out);
    g_ptr_array_set_size(f->family, 0); /* they are the engine's now */
    return engine_execution(engine, root->id);
}

bool check_overrides(const struct engine *engine, const struct asker *asker, GError **error)
{
    for (const char *const *rule = asker->overrides; rule != NULL && *rule != NULL; rule++)
        if (!rule_exists(engine->resolved->world->inventory, *rule)) {
            g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "overrides: found %s, expected the name of a rule", *rule);
            return false;
        }
    return true;
}

json_t *engine_run_plan(struct engine *engine, const char *name, const char *target, const json_t *params, bool dry_run,
                        const struct asker *asker, struct now now, struct effects *out, GError **error)
{
    tell_run(engine, name, target, params, dry_run, asker, now);
    engine_take_now(engine, now);
    const struct plan *plan = find_plan(engine, name, error);
    if (plan == NULL || !check_target(engine, plan, target, error) || !check_params(engine, plan, params, error) ||
        !check_overrides(engine, asker, error))
        return NULL;
    struct freezing f = {
        .engine = engine, .asker = asker, .params = params, .family = g_ptr_array_new(), .moves = moves_new()};
    json_t *result = NULL;
    if (freeze(&f, plan, target, NULL, 0, error) != NULL && (dry_run || check_owners(engine, f.moves, error)))
        result = judge_and_begin(engine, &f, dry_run, out, error);
    for (guint i = 0; i < f.family->len; i++)
        execution_free(f.family->pdata[i]);
    g_ptr_array_unref(f.family);
    g_array_unref(f.moves);
    return result;
}

/* Undo. */

static char *undo_key(const struct execution *ex)
{
    return g_strdup_printf("%s/undo/set", ex->id);
}

static gint newest_first(gconstpointer a, gconstpointer b)
{
    const struct execution_write *x = *(struct execution_write *const *)a, *y = *(struct execution_write *const *)b;
    return x->generation < y->generation ? 1 : x->generation > y->generation ? -1 : 0;
}

/* What the execution and its children have written, newest first. */
static GPtrArray *family_writes(const struct engine *engine, struct execution *root)
{
    GPtrArray *writes = g_ptr_array_new();
    g_autoptr(GPtrArray) family = execution_family(engine, root);
    for (guint i = 0; i < family->len; i++) {
        struct execution *ex = family->pdata[i];
        for (guint j = 0; j < ex->writes->len; j++)
            if (((struct execution_write *)ex->writes->pdata[j])->generation > 0)
                g_ptr_array_add(writes, ex->writes->pdata[j]);
    }
    g_ptr_array_sort(writes, newest_first);
    return writes;
}

static bool same_lever(const struct execution_write *a, const struct execution_write *b)
{
    return a->lever == b->lever && strcmp(a->object, b->object) == 0;
}

/* Where a lever stands against the newest write: untouched since? */
static bool still_ours(const struct engine *engine, const struct execution_write *write, const struct control **control)
{
    const struct world *world = engine->resolved->world;
    *control = controls_get(world->controls, write->lever, write->object);
    bool bug = (engine->config.bug & ENGINE_BUG_UNDO_WITHOUT_CAS) != 0;
    return *control != NULL && (bug || (*control)->revision == write->generation) &&
           inventory_get(world->inventory, lever_class(write->lever)->kind, write->object) != NULL;
}

/* One lever of the undo: marks its writes, adds the move, or says why not. */
static void undo_lever(struct engine *engine, GPtrArray *writes, guint first, GArray *moves, GPtrArray *left)
{
    const struct execution_write *newest = writes->pdata[first], *oldest = newest;
    const struct control *control;
    bool ours = still_ours(engine, newest, &control);
    for (guint i = first; i < writes->len; i++) {
        struct execution_write *write = writes->pdata[i];
        if (!same_lever(write, newest))
            continue;
        write->undo = ours ? WRITE_RESTORING : WRITE_LEFT;
        oldest = write;
    }
    if (ours) {
        moves_add(moves, newest->lever, newest->object, oldest->before);
        /* Who wrote it sets it back, be it a child: that is free of hold, freeze and window (rules.h). */
        g_array_index(moves, struct move, moves->len - 1).execution = g_strdup(control->execution);
        return;
    }
    g_autofree char *lever = lever_text(newest->lever, newest->object);
    if (control == NULL)
        g_ptr_array_add(left, g_strdup_printf("%s is no more", lever));
    else
        g_ptr_array_add(left, g_strdup_printf("%s was moved since by %s to %s (generation %" G_GUINT64_FORMAT
                                              "): left as it is",
                                              lever, control->actor, control->value, control->revision));
}

static void undo_mark(GPtrArray *writes, enum write_undo from, enum write_undo to)
{
    for (guint i = 0; i < writes->len; i++) {
        struct execution_write *write = writes->pdata[i];
        if (write->undo == from)
            write->undo = to;
    }
}

static void stop_family(struct engine *engine, struct execution *root)
{
    g_autoptr(GPtrArray) family = execution_family(engine, root);
    for (guint i = 0; i < family->len; i++) {
        struct execution *ex = family->pdata[i];
        for (guint j = 0; j < ex->steps->len; j++) {
            struct execution_step *step = ex->steps->pdata[j];
            if (step->state == STEP_STATE_PENDING)
                step->state = STEP_STATE_SKIPPED;
            else if (step->state == STEP_STATE_RUNNING)
                step->state = STEP_STATE_ABORTED;
            else
                continue;
            step->ended_us = engine_wall_us(engine);
        }
        ex->dirty = true;
        if (ex != root && !execution_ended(ex))
            execution_end(engine, ex, EXECUTION_ABORTED, NULL);
    }
}

void execution_flush_family(struct engine *engine, struct execution *root, const struct audit *audit,
                            struct effects *out)
{
    GPtrArray *entries = entries_new();
    if (audit != NULL)
        engine_audit(engine, entries, audit);
    g_autoptr(GPtrArray) family = execution_family(engine, root);
    for (guint i = 0; i < family->len; i++) {
        struct execution *ex = family->pdata[i];
        if (!ex->dirty)
            continue;
        execution_save(ex, entries);
        ex->events_saved = ex->events->len;
        ex->dirty = false;
    }
    if (entries->len > 0)
        effects_journal(out, entries);
    else
        g_ptr_array_unref(entries);
}

static void undo_outcome(struct engine *engine, struct execution *ex, GPtrArray *writes, uint64_t generation,
                         struct effects *out)
{
    ex->undo_generation = generation;
    ex->undo_since_us = engine->now_us;
    undo_mark(writes, WRITE_RESTORING, WRITE_RESTORED);
    stop_family(engine, ex); /* marks all as dirty */
    execution_note(ex, engine_wall_us(engine), NULL, "levers were set back: generation %" G_GUINT64_FORMAT, generation);
    execution_flush_family(engine, ex, NULL, out);
}

/* Takes draft. */
static void undo_commit(struct engine *engine, struct execution *ex, const GArray *moves, struct resolved *draft,
                        const struct audit *who, GPtrArray *writes, struct effects *out)
{
    GPtrArray *entries = entries_new();
    entries_add_moves(entries, moves, draft);
    for (guint i = 0; i < moves->len; i++) {
        const struct move *move = &g_array_index(moves, struct move, i);
        g_autofree char *lever = lever_text(move->lever, move->object);
        struct audit audit = *who;
        audit.what = "undo";
        audit.object = lever;
        audit.before = controls_value(engine->resolved->world->controls, move->lever, move->object);
        audit.after = move->value;
        audit.generation = draft->world->stamp.generation;
        engine_audit(engine, entries, &audit);
    }
    g_autofree char *key = undo_key(ex);
    proof_note_changes(engine->resolved, draft, ex->zones, ex->policies);
    engine_commit(engine, draft, entries, engine->config.bug & ENGINE_BUG_NO_IDEMPOTENCY_KEY ? NULL : key, out);
    undo_outcome(engine, ex, writes, engine->generation, out);
}

static GArray *undo_moves(struct engine *engine, GPtrArray *writes, GPtrArray *left)
{
    GArray *moves = moves_new();
    for (guint i = 0; i < writes->len; i++) {
        bool seen = false;
        for (guint j = 0; j < i && !seen; j++)
            seen = same_lever(writes->pdata[i], writes->pdata[j]);
        if (!seen)
            undo_lever(engine, writes, i, moves, left);
    }
    return moves;
}

/* May the levers be set back? The same rules as on the way there. */
static bool undo_allowed(struct engine *engine, const GArray *moves, const struct resolved *draft,
                         const char *const *overrides, GError **error)
{
    if (moves->len == 0)
        return true;
    sb_auto(forecast) fc = forecast(engine->resolved, draft, engine->observed, engine->now_us);
    g_autoptr(GPtrArray) refusals = engine_judge(engine, draft, fc, NULL, false, overrides);
    return refusals->len == 0 || refusals_error(refusals, error);
}

static bool ramp_failed(const struct engine *engine, struct execution *root)
{
    g_autoptr(GPtrArray) family = execution_family(engine, root);
    for (guint i = 0; i < family->len; i++) {
        struct execution *ex = family->pdata[i];
        for (guint j = 0; j < ex->steps->len; j++) {
            const struct execution_step *step = ex->steps->pdata[j];
            if (step->kind == STEP_RAMP && step->state > STEP_STATE_SKIPPED)
                return true;
        }
    }
    return false;
}

/* Whom a guard stops must not be held where it is by a rule against large moves or full rooms: users go back where
 * they came from minutes ago. NULL: no ramp has failed. */
static char **ramp_overrides(const struct engine *engine, struct execution *root)
{
    if (!ramp_failed(engine, root))
        return NULL;
    GStrvBuilder *builder = g_strv_builder_new();
    rules_of_check(engine->resolved->world->inventory, RULE_MOVED, builder);
    rules_of_check(engine->resolved->world->inventory, RULE_CAPACITY, builder);
    for (char **rule = root->overrides; rule != NULL && *rule != NULL; rule++)
        g_strv_builder_add(builder, *rule);
    char **overrides = g_strv_builder_end(builder);
    g_strv_builder_unref(builder);
    return overrides;
}

bool execution_undo(struct engine *engine, struct execution *ex, const struct asker *asker, struct effects *out,
                    GError **error)
{
    g_autoptr(GPtrArray) writes = family_writes(engine, ex);
    g_autoptr(GPtrArray) left = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GArray) moves = undo_moves(engine, writes, left);
    struct audit audit = {.actor = asker != NULL ? asker->actor : ex->actor,
                          .reason = asker != NULL ? asker->reason : ex->error,
                          .what = asker != NULL ? "plan abort" : "plan rollback",
                          .object = ex->plan,
                          .execution = ex->id,
                          .overrides = asker != NULL ? asker->overrides : (const char *const *)ex->overrides,
                          .generation = engine->generation};
    g_auto(GStrv) going_back = asker == NULL ? ramp_overrides(engine, ex) : NULL;
    if (going_back != NULL)
        audit.overrides = (const char *const *)going_back;
    g_autofree char *key = undo_key(ex);
    struct resolved *draft = engine_draft_moves(engine, moves, audit.actor, ex->id, key);
    if (!undo_allowed(engine, moves, draft, audit.overrides, error)) {
        undo_mark(writes, WRITE_RESTORING, WRITE_STANDS);
        undo_mark(writes, WRITE_LEFT, WRITE_STANDS);
        resolved_unref(draft);
        return false;
    }
    ex->state = EXECUTION_ABORTING;
    ex->ended_us = 0;
    execution_note(ex, engine_wall_us(engine), NULL, "%s by %s%s%s", asker != NULL ? "abort" : "rollback", audit.actor,
                   audit.reason != NULL ? ": " : "", audit.reason != NULL ? audit.reason : "");
    stop_family(engine, ex);
    for (guint i = 0; i < left->len; i++)
        execution_note(ex, engine_wall_us(engine), NULL, "%s", (char *)left->pdata[i]);
    unsigned calls = hooks_undo(engine, ex);
    ex->undo_since_us = engine->now_us;
    if (moves->len == 0) {
        resolved_unref(draft);
        if (calls == 0)
            execution_end(engine, ex, EXECUTION_ABORTED, ex->error);
        execution_flush_family(engine, ex, &audit, out);
        return true;
    }
    execution_flush_family(engine, ex, &audit, out);
    undo_commit(engine, ex, moves, draft, &audit, writes, out);
    return true;
}

json_t *engine_undo_preview(struct engine *engine, const char *id, struct now now, GError **error)
{
    engine_take_now(engine, now);
    struct execution *ex = engine_find(engine, id);
    if (ex == NULL) {
        g_set_error(error, SB_ERROR, SB_ERROR_NOT_FOUND, "execution %s: there is no such execution", id);
        return NULL;
    }
    ex = execution_root(engine, ex);
    g_autoptr(GPtrArray) writes = family_writes(engine, ex), left = g_ptr_array_new_with_free_func(g_free);
    g_autofree enum write_undo *marks = g_new(enum write_undo, writes->len + 1);
    for (guint i = 0; i < writes->len; i++)
        marks[i] = ((const struct execution_write *)writes->pdata[i])->undo;
    g_autoptr(GArray) moves = undo_moves(engine, writes, left);
    for (guint i = 0; i < writes->len; i++)
        ((struct execution_write *)writes->pdata[i])->undo = marks[i];
    sb_auto(resolved) draft = engine_draft_moves(engine, moves, ex->actor, ex->id, "");
    return undo_preview_json(engine, &(struct undoing){ex, moves, left, draft, hooks_to_undo(engine, ex)});
}

/* After a restart between the intent of the undo and its outcome. */
void execution_undo_resume(struct engine *engine, struct execution *ex, struct effects *out)
{
    if (ex->undo_generation != 0)
        return;
    g_autoptr(GPtrArray) writes = family_writes(engine, ex);
    g_autofree char *key = undo_key(ex);
    const uint64_t *done = g_hash_table_lookup(engine->keys, key);
    if (done != NULL) {
        undo_outcome(engine, ex, writes, *done, out);
        return;
    }
    g_autoptr(GPtrArray) left = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GArray) moves = undo_moves(engine, writes, left);
    struct audit who = {.actor = ex->actor, .reason = ex->reason, .execution = ex->id};
    if (moves->len == 0 && !hooks_undoing(engine, ex))
        execution_end(engine, ex, EXECUTION_ABORTED, ex->error);
    else if (moves->len > 0)
        undo_commit(engine, ex, moves, engine_draft_moves(engine, moves, ex->actor, ex->id, key), &who, writes, out);
}

/* An execution that has ended owns its levers no more: they may have a new owner. */
static bool undo_is_free(const struct engine *engine, struct execution *ex, GError **error)
{
    g_autoptr(GPtrArray) writes = family_writes(engine, ex);
    g_autoptr(GArray) moves = moves_new();
    for (guint i = 0; i < writes->len; i++) {
        const struct execution_write *write = writes->pdata[i];
        moves_add(moves, write->lever, write->object, write->before);
    }
    return check_owners(engine, moves, error);
}

json_t *engine_abort(struct engine *engine, const char *id, const struct asker *asker, struct now now,
                     struct effects *out, GError **error)
{
    tell_abort(engine, id, asker, now);
    engine_take_now(engine, now);
    struct execution *ex = engine_find(engine, id);
    if (ex == NULL) {
        g_set_error(error, SB_ERROR, SB_ERROR_NOT_FOUND, "execution %s: there is no such execution", id);
        return NULL;
    }
    if (ex->parent != NULL) {
        g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "execution %s is a part of %s: abort that", id, ex->parent);
        return NULL;
    }
    if (ex->state == EXECUTION_ABORTING)
        return engine_execution(engine, id);
    if (ex->state != EXECUTION_RUNNING && ex->state != EXECUTION_INCOMPLETE && ex->state != EXECUTION_FAILED) {
        g_set_error(error, SB_ERROR, SB_ERROR_CONFLICT,
                    "execution %s has %s: nothing to abort; run the plan that leads back", id,
                    execution_state_name(ex->state));
        return NULL;
    }
    if ((ex->state != EXECUTION_RUNNING && !undo_is_free(engine, ex, error)) ||
        !check_overrides(engine, asker, error) || !execution_undo(engine, ex, asker, out, error))
        return NULL;
    execution_advance(engine, ex, out);
    return engine_execution(engine, id);
}
