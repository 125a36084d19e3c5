/* engine_act.c: what people do to an execution under way: approve, decline, pause, resume, skip, force.
 *
 * An approval is one person's word on what another has started. It is bound to what was frozen: the binding, a digest
 * of plans with their revisions, target, parameters, sets and overrides of the whole family, must come with it. So it
 * fits one execution only, once, before the step's time-out, and not when a plan was changed since. Who forces asks for
 * an open approval anew, and behind one that was given the starter adds no overrides: they would be his word alone. In
 * an emergency one person may pass the step alone; that leaves a review, which a second person ends, and which the
 * status shows until then.
 */
#include "server/interlocking/engine_internal.h"

#include "core/error.h"

#include <string.h>

bool execution_is_paused(const struct engine *engine, const struct execution *ex)
{
    return execution_root(engine, (struct execution *)(uintptr_t)ex)->paused;
}

bool execution_is_forced(const struct engine *engine, const struct execution *ex)
{
    return execution_root(engine, (struct execution *)(uintptr_t)ex)->forced;
}

const char *const *execution_overrides(const struct engine *engine, const struct execution *ex)
{
    return (const char *const *)execution_root(engine, (struct execution *)(uintptr_t)ex)->overrides;
}

/* ---- approvals ---- */

static json_t *bound_json(const struct execution *ex)
{
    json_t *steps = json_array(), *step;
    json_t *whole = execution_to_json(ex);
    json_t *bound = json_pack("{s:s, s:s, s:I, s:s?, s:O*, s:b, s:O, s:o}", "id", ex->id, "plan", ex->plan, "revision",
                              (json_int_t)ex->plan_revision, "target", ex->target, "params", ex->params, "forced",
                              ex->forced, "overrides", json_object_get(whole, "overrides"), "steps", steps);
    size_t i;
    json_array_foreach (json_object_get(whole, "steps"), i, step)
        json_array_append_new(
            steps, json_pack("{s:O, s:O, s:O, s:O*, s:O*}", "name", json_object_get(step, "name"), "kind",
                             json_object_get(step, "kind"), "sets", json_object_get(step, "sets"), "argument",
                             json_object_get(step, "argument"), "spec", json_object_get(step, "spec")));
    json_decref(whole);
    return bound;
}

static char *binding_of(const struct engine *engine, struct execution *root)
{
    json_t *bound = json_array();
    g_autoptr(GPtrArray) family = execution_family(engine, root);
    for (guint i = 0; i < family->len; i++)
        json_array_append_new(bound, bound_json(family->pdata[i]));
    char *text = json_dumps(bound, JSON_COMPACT | JSON_SORT_KEYS);
    char *digest = g_compute_checksum_for_string(G_CHECKSUM_SHA256, text, -1);
    digest[16] = '\0';
    free(text);
    json_decref(bound);
    return digest;
}

bool look_approve(struct engine *engine, struct execution *ex, struct execution_step *step, struct effects *out)
{
    (void)out;
    if (step_timed_out(engine, step)) {
        g_autofree char *text = g_strdup_printf("nobody approved it within %.0f s", (double)step->timeout_us / 1e6);
        step_end(engine, ex, step, STEP_STATE_TIMED_OUT, text);
        return true;
    }
    if (step->binding == NULL) {
        step->binding = binding_of(engine, execution_root(engine, ex));
        ex->dirty = true;
    }
    execution_step_text(ex, step, engine_wall_us(engine), "waits for a second person, binding %s: %s", step->binding,
                        step->argument);
    return false;
}

/* Plans of the family that are not as they were when it was started: the first one, or NULL. */
static const char *changed_plan(const struct engine *engine, struct execution *root)
{
    g_autoptr(GPtrArray) family = execution_family(engine, root);
    for (guint i = 0; i < family->len; i++) {
        struct execution *ex = family->pdata[i];
        const struct plan *plan = g_hash_table_lookup(engine->resolved->world->plans, ex->plan);
        if (plan == NULL || plan->revision != ex->plan_revision)
            return ex->plan;
    }
    return NULL;
}

static bool is_asked_for(const struct engine *engine, const struct execution_step *step, GError **error)
{
    bool asked = step->state == STEP_STATE_RUNNING && !step->posting;
    if (asked && !step_timed_out(engine, step))
        return true;
    g_set_error(error, SB_ERROR, SB_ERROR_CONFLICT, "step %s: %s: %s", step->name,
                step->state == STEP_STATE_PENDING ? "approval is not asked for yet"
                : asked                           ? "the time for an approval is over"
                                                  : "approval is asked for no more",
                step->text != NULL ? step->text : "the steps before it come first");
    return false;
}

struct act {
    struct engine *engine;
    struct execution *ex, *root;
    struct execution_step *step; /* NULL: of the whole */
    const struct asker *asker;
    const char *binding;
    GError **error;
};

static bool second_person(const struct act *act, const char *first)
{
    if (!act->asker->automatic && strcmp(act->asker->actor, first) != 0)
        return true;
    g_set_error(act->error, SB_ERROR, SB_ERROR_FORBIDDEN, "found %s%s, expected a person other than %s",
                act->asker->automatic ? "automation as " : "", act->asker->actor, first);
    return false;
}

/* May what is frozen be approved as the asker saw it? */
static bool is_bound(const struct act *act)
{
    const char *changed = changed_plan(act->engine, act->root);
    if (changed != NULL)
        g_set_error(act->error, SB_ERROR, SB_ERROR_CONFLICT,
                    "plan %s was changed since execution %s was started: abort it and start it again", changed,
                    act->root->id);
    else if (g_strcmp0(act->binding, act->step->binding) != 0)
        g_set_error(act->error, SB_ERROR, SB_ERROR_CONFLICT,
                    "binding: found %s, expected %s: what was looked at is not what would be approved",
                    act->binding == NULL ? "none" : act->binding, act->step->binding);
    else
        return true;
    return false;
}

static void step_act(const struct act *act, enum step_state state, const char *what)
{
    const char *reason = act->asker->reason;
    g_autofree char *text = g_strdup_printf("%s by %s%s%s", what, act->asker->actor, reason != NULL ? ": " : "",
                                            reason != NULL ? reason : "");
    step_end(act->engine, act->ex, act->step, state, text);
}

static bool act_approve(const struct act *act)
{
    if (!is_asked_for(act->engine, act->step, act->error) || !second_person(act, act->root->actor) || !is_bound(act))
        return false;
    step_act(act, STEP_STATE_SUCCEEDED, "approved");
    return true;
}

static bool act_decline(const struct act *act)
{
    if (!is_asked_for(act->engine, act->step, act->error))
        return false;
    step_act(act, STEP_STATE_FAILED, "declined");
    return true;
}

static bool act_emergency(const struct act *act)
{
    if (!is_asked_for(act->engine, act->step, act->error))
        return false;
    if (act->asker->automatic)
        return second_person(act, act->asker->actor);
    g_free(act->step->review);
    act->step->review = g_strdup(act->asker->actor);
    step_act(act, STEP_STATE_SUCCEEDED, "passed in an emergency, to be reviewed,");
    return true;
}

static bool act_review(const struct act *act)
{
    if (act->step->review == NULL) {
        g_set_error(act->error, SB_ERROR, SB_ERROR_CONFLICT, "step %s: there is nothing to review", act->step->name);
        return false;
    }
    if (!second_person(act, act->step->review))
        return false;
    execution_note(act->ex, engine_wall_us(act->engine), act->step->name, "reviewed by %s: %s", act->asker->actor,
                   act->asker->reason);
    g_clear_pointer(&act->step->review, g_free);
    return true;
}

/* ---- the course ---- */

static bool act_pause(const struct act *act)
{
    if (act->root->paused) {
        g_set_error(act->error, SB_ERROR, SB_ERROR_CONFLICT, "execution %s is paused already", act->root->id);
        return false;
    }
    act->root->paused = true;
    return true;
}

/* From its beginning; a ramp from the stage that is in force. */
static void step_again(struct execution *ex, struct execution_step *step)
{
    step->state = STEP_STATE_PENDING;
    step->started_us = step->ended_us = step->baking_us = 0;
    step->posting = step->stuck = false;
    step->tries = step->kind == STEP_HOOK; /* a person says so: also what is not to be repeated */
    step->again_us = 0;
    g_clear_pointer(&step->binding, g_free);
    g_clear_pointer(&ex->error, g_free);
    ex->dirty = true;
}

/* A plan that was run and did not end well goes on where it did not: what it has done is not done twice. One that did,
 * whose step fails by what is behind it, is looked at again as it is. */
static void child_again(struct engine *engine, struct execution *ex, const struct execution_step *run)
{
    struct execution *child = run->kind == STEP_RUN ? engine_find(engine, run->child) : NULL;
    if (child == NULL || !execution_ended(child))
        return;
    ex->unproven -= child->unproven; /* it counts again when it ends */
    if (child->state == EXECUTION_SUCCEEDED)
        return;
    child->state = EXECUTION_RUNNING;
    child->ended_us = 0;
    g_ptr_array_set_size(child->late, 0);
    execution_note(child, engine_wall_us(engine), NULL, "is tried again");
    for (guint i = 0; i < child->steps->len; i++) {
        struct execution_step *step = child->steps->pdata[i];
        if (step->state <= STEP_STATE_SUCCEEDED || step->passed_over)
            continue;
        step_again(child, step);
        child_again(engine, child, step);
    }
}

/* What has failed and asks is to be tried again. */
static unsigned try_again(struct engine *engine, struct execution *root)
{
    unsigned n = 0;
    g_autoptr(GPtrArray) family = execution_family(engine, root);
    for (guint i = 0; i < family->len; i++) {
        struct execution *ex = family->pdata[i];
        for (guint j = 0; j < ex->steps->len; j++) {
            struct execution_step *step = ex->steps->pdata[j];
            if (!step_asks(step))
                continue;
            step_again(ex, step);
            child_again(engine, ex, step);
            n++;
        }
    }
    return n;
}

static bool act_resume(const struct act *act)
{
    unsigned again = try_again(act->engine, act->root);
    if (!act->root->paused && again == 0) {
        g_set_error(act->error, SB_ERROR, SB_ERROR_CONFLICT, "execution %s is not paused, and no step asks",
                    act->root->id);
        return false;
    }
    act->root->paused = false;
    return true;
}

static bool act_skip(const struct act *act)
{
    struct execution_step *step = act->step;
    bool open = step->state <= STEP_STATE_RUNNING || step_asks(step);
    bool runs = step->kind == STEP_RUN && !step_asks(step);
    if (step->kind == STEP_APPROVE || runs || !open) {
        g_set_error(act->error, SB_ERROR, SB_ERROR_CONFLICT, "step %s: %s", step->name,
                    step->kind == STEP_APPROVE ? "an approval is not skipped: approve it, or pass it in an emergency"
                    : runs                     ? "it is a plan of its own: skip its steps"
                                               : "it has ended");
        return false;
    }
    step->passed_over = true;
    g_clear_pointer(&act->ex->error, g_free);
    step_act(act, STEP_STATE_SKIPPED, "skipped");
    return true;
}

/* Of the family: has a second person approved something? One that was passed in an emergency waits for his word. */
static bool is_approved(const struct act *act)
{
    g_autoptr(GPtrArray) family = execution_family(act->engine, act->root);
    for (guint i = 0; i < family->len; i++) {
        struct execution *ex = family->pdata[i];
        for (guint j = 0; j < ex->steps->len; j++) {
            const struct execution_step *step = ex->steps->pdata[j];
            bool given = step->state == STEP_STATE_SUCCEEDED || step->posting;
            if (step->kind == STEP_APPROVE && given && step->review == NULL)
                return true;
        }
    }
    return false;
}

/* What is asked for is no more what was looked at: look_approve binds it anew. */
static void unbind(const struct act *act)
{
    g_autoptr(GPtrArray) family = execution_family(act->engine, act->root);
    for (guint i = 0; i < family->len; i++) {
        struct execution *ex = family->pdata[i];
        for (guint j = 0; j < ex->steps->len; j++) {
            struct execution_step *step = ex->steps->pdata[j];
            if (step->kind != STEP_APPROVE || step->state != STEP_STATE_RUNNING || step->posting)
                continue;
            g_clear_pointer(&step->binding, g_free);
            ex->dirty = true;
        }
    }
}

static bool act_force(const struct act *act)
{
    bool overrides = act->asker->overrides != NULL && *act->asker->overrides != NULL;
    if (act->root->forced) {
        g_set_error(act->error, SB_ERROR, SB_ERROR_CONFLICT, "execution %s is forced already", act->root->id);
        return false;
    }
    if (overrides && is_approved(act) && !second_person(act, act->root->actor))
        return false;
    act->root->forced = true;
    unbind(act);
    for (const char *const *rule = act->asker->overrides; rule != NULL && *rule != NULL; rule++) {
        g_auto(GStrv) old = act->root->overrides;
        g_autofree char *joined = old != NULL && old[0] != NULL ? g_strjoinv(",", old) : NULL;
        g_autofree char *whole = joined == NULL ? g_strdup(*rule) : g_strdup_printf("%s,%s", joined, *rule);
        act->root->overrides = g_strsplit(whole, ",", -1);
    }
    return true;
}

/* ---- asking ---- */

static const struct act_class {
    const char *name, *done;
    bool (*perform)(const struct act *act);
    bool on_step, on_approval, with_reason, when_ended;
} classes[] = {
    {"approve", "approved", act_approve, true, true, false, false},
    {"decline", "declined", act_decline, true, true, true, false},
    {"emergency", "passed in an emergency", act_emergency, true, true, true, false},
    {"review", "reviewed", act_review, true, true, true, true},
    {"pause", "paused", act_pause, false, false, false, false},
    {"resume", "resumed", act_resume, false, false, false, false},
    {"skip", "skipped", act_skip, true, false, true, false},
    {"force", "forced", act_force, false, false, true, false},
};

static const struct act_class *class_find(const json_t *body, GError **error)
{
    const json_t *name = json_object_get(body, "act");
    GString *known = g_string_new(NULL);
    const struct act_class *found = NULL;
    for (size_t i = 0; i < G_N_ELEMENTS(classes); i++) {
        if (g_strcmp0(json_string_value(name), classes[i].name) == 0)
            found = &classes[i];
        g_string_append_printf(known, "%s%s", i > 0 ? ", " : "", classes[i].name);
    }
    if (found == NULL) {
        g_autofree char *quoted = json_quote(name);
        g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "act: found %s, expected one of %s", quoted, known->str);
    }
    g_string_free(known, TRUE);
    return found;
}

/* Of several approvals the one that is asked for, or is to be reviewed; else the last, for what is said of it. */
static bool is_meant(const struct act_class *class, const struct act *act, const struct execution_step *step)
{
    const struct execution_step *so_far = act->step;
    bool open =
        so_far != NULL && (class->perform == act_review ? so_far->review != NULL : so_far->state == STEP_STATE_RUNNING);
    return class->on_approval && step->kind == STEP_APPROVE && !open;
}

static bool find_step(const struct act_class *class, const json_t *body, struct act *act)
{
    const char *name = json_string_value(json_object_get(body, "step"));
    if (!class->on_step)
        return true;
    for (guint i = 0; i < act->ex->steps->len; i++) {
        struct execution_step *step = act->ex->steps->pdata[i];
        if (name == NULL ? is_meant(class, act, step) : strcmp(step->name, name) == 0)
            act->step = step;
    }
    if (act->step != NULL && (!class->on_approval || act->step->kind == STEP_APPROVE))
        return true;
    g_set_error(act->error, SB_ERROR, act->step == NULL ? SB_ERROR_NOT_FOUND : SB_ERROR_INVALID,
                "step: found %s, expected the name of a%s step of execution %s", name == NULL ? "none" : name,
                class->on_approval ? "n approve" : "", act->ex->id);
    return false;
}

static bool may_act(const struct act_class *class, const struct act *act)
{
    bool reason = act->asker->reason != NULL && act->asker->reason[0] != '\0';
    if (class->with_reason && !reason)
        g_set_error(act->error, SB_ERROR, SB_ERROR_INVALID, "reason: found none, expected why");
    else if (!class->when_ended && act->root->state != EXECUTION_RUNNING)
        g_set_error(act->error, SB_ERROR, SB_ERROR_CONFLICT, "execution %s is %s, expected running%s%s", act->root->id,
                    execution_state_name(act->root->state), act->root->error != NULL ? ": " : "",
                    act->root->error != NULL ? act->root->error : "");
    else
        return true;
    return false;
}

json_t *engine_act(struct engine *engine, const char *id, const json_t *body, const struct asker *asker, struct now now,
                   struct effects *out, GError **error)
{
    tell_act(engine, id, body, asker, now);
    engine_take_now(engine, now);
    const struct act_class *class = class_find(body, error);
    struct execution *ex = engine_find(engine, id);
    if (class != NULL && ex == NULL)
        g_set_error(error, SB_ERROR, SB_ERROR_NOT_FOUND, "execution %s: there is no such execution", id);
    if (class == NULL || ex == NULL || !check_overrides(engine, asker, error))
        return NULL;
    struct act act = {.engine = engine,
                      .ex = ex,
                      .root = execution_root(engine, ex),
                      .asker = asker,
                      .binding = json_string_value(json_object_get(body, "binding")),
                      .error = error};
    if (!find_step(class, body, &act) || !may_act(class, &act) || !class->perform(&act))
        return NULL;
    if (!class->on_step)
        execution_note(act.root, engine_wall_us(engine), NULL, "%s by %s%s%s", class->done, asker->actor,
                       asker->reason != NULL ? ": " : "", asker->reason != NULL ? asker->reason : "");
    g_autofree char *what = g_strdup_printf("plan %s", class->name);
    struct audit audit = {.actor = asker->actor,
                          .reason = asker->reason,
                          .what = what,
                          .object = act.step != NULL ? act.step->name : ex->plan,
                          .execution = ex->id,
                          .overrides = asker->overrides,
                          .generation = engine->generation};
    ex->dirty = act.root->dirty = true;
    execution_flush_family(engine, act.root, &audit, out);
    execution_advance(engine, act.root, out);
    return engine_execution(engine, id);
}
