#include "server/interlocking/execution.h"

#include "core/error.h"
#include "schema/jsondoc.h"

#include <string.h>

static const char *const execution_states[] = {"pending",    "running", "aborting", "succeeded",
                                               "incomplete", "failed",  "refused",  "aborted"};
static const char *const step_states[] = {"pending",   "running", "succeeded", "skipped",
                                          "timed-out", "failed",  "refused",   "aborted"};
static const char *const on_failures[] = {"stop", "rollback", "continue", "ask"};
static const char *const undo_states[] = {"no", "intended", "yes", "left"};

const char *execution_state_name(enum execution_state state)
{
    return execution_states[state];
}

static void set_clear(gpointer data)
{
    struct execution_set *set = data;
    g_free(set->object);
    g_free(set->value);
}

static void write_free(gpointer data)
{
    struct execution_write *write = data;
    g_free(write->object);
    g_free(write->before);
    g_free(write->after);
    g_free(write->step);
    g_free(write);
}

static void event_free(gpointer data)
{
    struct execution_event *event = data;
    g_free(event->step);
    g_free(event->text);
    g_free(event);
}

static void step_free(gpointer data)
{
    struct execution_step *step = data;
    g_free(step->name);
    g_strfreev(step->needs);
    g_free(step->argument);
    g_array_unref(step->sets);
    json_decref(step->spec);
    g_strfreev(step->pre);
    g_strfreev(step->post);
    g_free(step->binding);
    g_free(step->review);
    g_free(step->child);
    g_free(step->text);
    g_ptr_array_unref(step->stragglers);
    g_free(step);
}

static struct execution_step *step_new(const char *name)
{
    struct execution_step *step = g_new0(struct execution_step, 1);
    step->name = g_strdup(name);
    step->sets = g_array_new(FALSE, TRUE, sizeof(struct execution_set));
    g_array_set_clear_func(step->sets, set_clear);
    step->stragglers = g_ptr_array_new_with_free_func(g_free);
    return step;
}

struct execution *execution_new(const char *id)
{
    struct execution *ex = g_new0(struct execution, 1);
    ex->id = g_strdup(id);
    ex->steps = g_ptr_array_new_with_free_func(step_free);
    ex->events = g_ptr_array_new_with_free_func(event_free);
    ex->writes = g_ptr_array_new_with_free_func(write_free);
    ex->zones = g_ptr_array_new_with_free_func(g_free);
    ex->policies = g_ptr_array_new_with_free_func(g_free);
    ex->late = g_ptr_array_new_with_free_func(g_free);
    ex->decide_us = ex->execute_us = ex->converge_us = ex->recover_us = -1;
    return ex;
}

void execution_free(struct execution *ex)
{
    if (ex == NULL)
        return;
    g_free(ex->id);
    g_free(ex->plan);
    g_free(ex->target);
    json_decref(ex->params);
    g_free(ex->actor);
    g_free(ex->reason);
    g_strfreev(ex->overrides);
    g_free(ex->parent);
    g_free(ex->error);
    g_ptr_array_unref(ex->steps);
    g_ptr_array_unref(ex->events);
    g_ptr_array_unref(ex->writes);
    g_ptr_array_unref(ex->zones);
    g_ptr_array_unref(ex->policies);
    g_ptr_array_unref(ex->late);
    g_free(ex);
}

struct execution_step *execution_step(const struct execution *ex, const char *name)
{
    for (guint i = 0; i < ex->steps->len; i++) {
        struct execution_step *step = ex->steps->pdata[i];
        if (strcmp(step->name, name) == 0)
            return step;
    }
    return NULL;
}

bool execution_ended(const struct execution *ex)
{
    return ex->state >= EXECUTION_SUCCEEDED;
}

void execution_take_steps(struct execution *ex, const struct plan *plan)
{
    for (guint i = 0; i < plan->steps->len; i++) {
        const struct plan_step *from = plan->steps->pdata[i];
        struct execution_step *step = step_new(from->name);
        step->kind = from->kind;
        step->needs = g_strdupv(from->needs);
        step->timeout_us = from->timeout_us;
        step->on_failure = from->on_failure;
        step->argument = g_strdup(from->argument);
        step->spec = json_deep_copy(from->spec);
        step->pre = g_strdupv(from->pre);
        step->post = g_strdupv(from->post);
        g_ptr_array_add(ex->steps, step);
    }
}

static void note(struct execution *ex, int64_t wall_us, const char *step, char *text)
{
    struct execution_event *event = g_new0(struct execution_event, 1);
    const struct execution_event *last = ex->events->len == 0 ? NULL : ex->events->pdata[ex->events->len - 1];
    event->seq = last == NULL ? 1 : last->seq + 1;
    event->at_us = wall_us;
    event->step = g_strdup(step);
    event->text = text;
    g_ptr_array_add(ex->events, event);
    ex->dirty = true;
}

void execution_note(struct execution *ex, int64_t wall_us, const char *step, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    note(ex, wall_us, step, g_strdup_vprintf(format, args));
    va_end(args);
}

void execution_step_text(struct execution *ex, struct execution_step *step, int64_t wall_us, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *text = g_strdup_vprintf(format, args);
    va_end(args);
    if (g_strcmp0(text, step->text) == 0) {
        g_free(text);
        return;
    }
    g_free(step->text);
    step->text = text;
    note(ex, wall_us, step->name, g_strdup(text));
}

void names_add(GPtrArray *names, const char *name)
{
    if (!g_ptr_array_find_with_equal_func(names, name, g_str_equal, NULL))
        g_ptr_array_add(names, g_strdup(name));
}

bool names_remove(GPtrArray *names, const char *name)
{
    guint index;
    if (!g_ptr_array_find_with_equal_func(names, name, g_str_equal, &index))
        return false;
    g_ptr_array_remove_index(names, index);
    return true;
}

/* Encoding. */

/* What few steps have. */
static void step_rest_to_json(const struct execution_step *step, json_t *json)
{
    const struct {
        const char *name;
        bool is;
    } flags[] = {{"posting", step->posting},
                 {"stuck", step->stuck},
                 {"passed_over", step->passed_over},
                 {"called", step->called},
                 {"undo_called", step->undo_called}};
    for (size_t i = 0; i < G_N_ELEMENTS(flags); i++)
        if (flags[i].is)
            json_object_set_new(json, flags[i].name, json_true());
    if (step->spec != NULL)
        json_object_set(json, "spec", step->spec);
    if (step->pre != NULL)
        json_object_set_new(json, "pre", strv_to_json(step->pre));
    if (step->post != NULL)
        json_object_set_new(json, "post", strv_to_json(step->post));
    if (step->binding != NULL)
        json_object_set_new(json, "binding", json_string(step->binding));
    if (step->undo != WRITE_STANDS)
        json_object_set_new(json, "undo", json_string(undo_states[step->undo]));
    if (step->review != NULL)
        json_object_set_new(json, "review", json_string(step->review));
    if (step->kind == STEP_RAMP) {
        json_object_set_new(json, "stage", json_integer(step->stage));
        json_object_set_new(json, "baseline", json_real(step->baseline));
    }
}

static json_t *step_to_json(const struct execution_step *step)
{
    json_t *sets = json_array();
    for (guint i = 0; i < step->sets->len; i++) {
        const struct execution_set *set = &g_array_index(step->sets, struct execution_set, i);
        json_t *row = json_pack("{s:s, s:s, s:s, s:I}", "control", lever_class(set->lever)->name, "object", set->object,
                                "value", set->value, "revision", (json_int_t)set->revision);
        if (set->stage > 0)
            json_object_set_new(row, "stage", json_integer(set->stage));
        json_array_append_new(sets, row);
    }
    json_t *json = json_pack("{s:s, s:s, s:s, s:I, s:I, s:s?, s:o, s:o, s:I, s:s, s:s*, s:o, s:s*}", "name", step->name,
                             "kind", step_kind_name(step->kind), "state", step_states[step->state], "started_us",
                             (json_int_t)step->started_us, "ended_us", (json_int_t)step->ended_us, "text", step->text,
                             "stragglers", names_to_json(step->stragglers), "needs", strv_to_json(step->needs),
                             "timeout_us", (json_int_t)step->timeout_us, "on_failure", on_failures[step->on_failure],
                             "argument", step->argument, "sets", sets, "child", step->child);
    step_rest_to_json(step, json);
    return json;
}

static json_t *write_to_json(const struct execution_write *write)
{
    json_t *json = json_pack("{s:s, s:s, s:s, s:s, s:s, s:I, s:b, s:s}", "control", lever_class(write->lever)->name,
                             "object", write->object, "before", write->before, "after", write->after, "step",
                             write->step, "generation", (json_int_t)write->generation, "restored",
                             write->undo == WRITE_RESTORED, "undo", undo_states[write->undo]);
    if (write->stage > 0)
        json_object_set_new(json, "stage", json_integer(write->stage));
    return json;
}

json_t *execution_to_json(const struct execution *ex)
{
    json_t *steps = json_array(), *writes = json_array();
    for (guint i = 0; i < ex->steps->len; i++)
        json_array_append_new(steps, step_to_json(ex->steps->pdata[i]));
    for (guint i = 0; i < ex->writes->len; i++)
        json_array_append_new(writes, write_to_json(ex->writes->pdata[i]));
    json_t *json = json_pack("{s:s, s:s, s:s?, s:s, s:s?, s:b, s:s*, s:s, s:I, s:I, s:s?}", "id", ex->id, "plan",
                             ex->plan, "target", ex->target, "actor", ex->actor, "reason", ex->reason, "automatic",
                             ex->automatic, "parent", ex->parent, "state", execution_states[ex->state], "started_us",
                             (json_int_t)ex->started_us, "ended_us", (json_int_t)ex->ended_us, "error", ex->error);
    json_t *times =
        json_pack("{s:I, s:I, s:I, s:I}", "decide", (json_int_t)ex->decide_us, "execute", (json_int_t)ex->execute_us,
                  "converge", (json_int_t)ex->converge_us, "recover", (json_int_t)ex->recover_us);
    if (ex->params != NULL)
        json_object_set(json, "params", ex->params);
    json_object_set_new(json, "plan_revision", json_integer((json_int_t)ex->plan_revision));
    json_object_set_new(json, "paused", json_boolean(ex->paused));
    json_object_set_new(json, "forced", json_boolean(ex->forced));
    json_object_set_new(json, "generation", json_integer((json_int_t)ex->generation));
    json_object_set_new(json, "undo_generation", json_integer((json_int_t)ex->undo_generation));
    json_object_set_new(json, "overrides", strv_to_json(ex->overrides));
    json_object_set_new(json, "steps", steps);
    json_object_set_new(json, "writes", writes);
    json_object_set_new(json, "times", times);
    json_object_set_new(json, "unproven", json_integer(ex->unproven));
    json_object_set_new(json, "zones", names_to_json(ex->zones));
    json_object_set_new(json, "policies", names_to_json(ex->policies));
    json_object_set_new(json, "late", names_to_json(ex->late));
    return json;
}

json_t *execution_event_to_json(const struct execution_event *event)
{
    return json_pack("{s:I, s:I, s:s?, s:s}", "seq", (json_int_t)event->seq, "at_us", (json_int_t)event->at_us, "step",
                     event->step, "text", event->text);
}

/* Decoding: of our own entries, so what does not fit is a damaged journal, and one message is enough. */

static int64_t int_of(const json_t *json, const char *member)
{
    return json_integer_value(json_object_get(json, member));
}

static int index_of(const json_t *json, const char *member, const char *const *words, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (g_strcmp0(words[i], json_member_text(json, member)) == 0)
            return (int)i;
    return -1;
}
#define INDEX_OF(json, member, words) index_of(json, member, words, G_N_ELEMENTS(words))

static void names_from_json(GPtrArray *names, const json_t *json)
{
    size_t i;
    json_t *name;
    json_array_foreach (json, i, name)
        if (json_is_string(name))
            names_add(names, json_string_value(name));
}

static bool lever_from_json(const json_t *json, enum lever *lever)
{
    const char *name = json_member_text(json, "control");
    const struct lever_class *class = name == NULL ? NULL : lever_class_find(name);
    if (class == NULL || json_member_text(json, "object") == NULL)
        return false;
    *lever = class->lever;
    return true;
}

static bool step_from_json(struct execution *ex, const json_t *json)
{
    int state = INDEX_OF(json, "state", step_states), failure = INDEX_OF(json, "on_failure", on_failures), kind;
    for (kind = 0; kind < STEP_KINDS; kind++)
        if (g_strcmp0(step_kind_name((enum step_kind)kind), json_member_text(json, "kind")) == 0)
            break;
    if (state < 0 || failure < 0 || kind == STEP_KINDS || json_member_text(json, "name") == NULL)
        return false;
    struct execution_step *step = step_new(json_member_text(json, "name"));
    g_ptr_array_add(ex->steps, step);
    step->state = (enum step_state)state;
    step->on_failure = (enum on_failure)failure;
    step->kind = (enum step_kind)kind;
    step->started_us = int_of(json, "started_us");
    step->ended_us = int_of(json, "ended_us");
    step->timeout_us = int_of(json, "timeout_us");
    step->text = g_strdup(json_member_text(json, "text"));
    step->argument = g_strdup(json_member_text(json, "argument"));
    step->child = g_strdup(json_member_text(json, "child"));
    step->needs = strv_from_json(json_object_get(json, "needs"));
    names_from_json(step->stragglers, json_object_get(json, "stragglers"));
    step->spec = json_deep_copy(json_object_get(json, "spec"));
    step->pre = json_is_array(json_object_get(json, "pre")) ? strv_from_json(json_object_get(json, "pre")) : NULL;
    step->post = json_is_array(json_object_get(json, "post")) ? strv_from_json(json_object_get(json, "post")) : NULL;
    step->stage = (unsigned)int_of(json, "stage");
    step->baseline = json_number_value(json_object_get(json, "baseline"));
    step->posting = json_is_true(json_object_get(json, "posting"));
    step->stuck = json_is_true(json_object_get(json, "stuck"));
    step->passed_over = json_is_true(json_object_get(json, "passed_over"));
    step->called = json_is_true(json_object_get(json, "called"));
    step->undo_called = json_is_true(json_object_get(json, "undo_called"));
    step->undo = (enum write_undo)MAX(INDEX_OF(json, "undo", undo_states), WRITE_STANDS);
    step->binding = g_strdup(json_member_text(json, "binding"));
    step->review = g_strdup(json_member_text(json, "review"));
    size_t i;
    json_t *row;
    json_array_foreach (json_object_get(json, "sets"), i, row) {
        struct execution_set set = {.revision = (uint64_t)int_of(row, "revision"),
                                    .stage = (unsigned)int_of(row, "stage")};
        if (!lever_from_json(row, &set.lever) || json_member_text(row, "value") == NULL)
            return false;
        set.object = g_strdup(json_member_text(row, "object"));
        set.value = g_strdup(json_member_text(row, "value"));
        g_array_append_val(step->sets, set);
    }
    return true;
}

static bool write_from_json(struct execution *ex, const json_t *json)
{
    enum lever lever;
    int undo = INDEX_OF(json, "undo", undo_states);
    if (undo < 0 || !lever_from_json(json, &lever) || json_member_text(json, "before") == NULL ||
        json_member_text(json, "after") == NULL || json_member_text(json, "step") == NULL)
        return false;
    struct execution_write *write = g_new0(struct execution_write, 1);
    write->lever = lever;
    write->undo = (enum write_undo)undo;
    write->object = g_strdup(json_member_text(json, "object"));
    write->before = g_strdup(json_member_text(json, "before"));
    write->after = g_strdup(json_member_text(json, "after"));
    write->step = g_strdup(json_member_text(json, "step"));
    write->stage = (unsigned)int_of(json, "stage");
    write->generation = (uint64_t)int_of(json, "generation");
    g_ptr_array_add(ex->writes, write);
    return true;
}

static bool parts_from_json(struct execution *ex, const json_t *json)
{
    size_t i;
    json_t *row;
    json_array_foreach (json_object_get(json, "steps"), i, row)
        if (!step_from_json(ex, row))
            return false;
    json_array_foreach (json_object_get(json, "writes"), i, row)
        if (!write_from_json(ex, row))
            return false;
    names_from_json(ex->zones, json_object_get(json, "zones"));
    names_from_json(ex->policies, json_object_get(json, "policies"));
    names_from_json(ex->late, json_object_get(json, "late"));
    return true;
}

struct execution *execution_from_json(const json_t *json, GError **error)
{
    int state = INDEX_OF(json, "state", execution_states);
    const char *id = json_member_text(json, "id");
    struct execution *ex = id == NULL || state < 0 ? NULL : execution_new(id);
    if (ex == NULL || json_member_text(json, "plan") == NULL || json_member_text(json, "actor") == NULL ||
        !parts_from_json(ex, json)) {
        g_set_error(error, SB_ERROR, SB_ERROR_IO, "journal: the entry of execution %s cannot be read",
                    id == NULL ? "(no id)" : id);
        execution_free(ex);
        return NULL;
    }
    const json_t *times = json_object_get(json, "times");
    ex->state = (enum execution_state)state;
    ex->plan = g_strdup(json_member_text(json, "plan"));
    ex->target = g_strdup(json_member_text(json, "target"));
    ex->params = json_deep_copy(json_object_get(json, "params"));
    ex->plan_revision = (uint64_t)int_of(json, "plan_revision");
    ex->paused = json_is_true(json_object_get(json, "paused"));
    ex->forced = json_is_true(json_object_get(json, "forced"));
    ex->actor = g_strdup(json_member_text(json, "actor"));
    ex->reason = g_strdup(json_member_text(json, "reason"));
    ex->parent = g_strdup(json_member_text(json, "parent"));
    ex->error = g_strdup(json_member_text(json, "error"));
    ex->automatic = json_is_true(json_object_get(json, "automatic"));
    ex->overrides = strv_from_json(json_object_get(json, "overrides"));
    ex->started_us = int_of(json, "started_us");
    ex->ended_us = int_of(json, "ended_us");
    ex->generation = (uint64_t)int_of(json, "generation");
    ex->unproven = (unsigned)int_of(json, "unproven");
    ex->undo_generation = (uint64_t)int_of(json, "undo_generation");
    ex->decide_us = int_of(times, "decide");
    ex->execute_us = int_of(times, "execute");
    ex->converge_us = int_of(times, "converge");
    ex->recover_us = int_of(times, "recover");
    return ex;
}

bool execution_take_event(struct execution *ex, const json_t *json, GError **error)
{
    const char *text = json_member_text(json, "text");
    if (text == NULL) {
        g_set_error(error, SB_ERROR, SB_ERROR_IO, "journal: an event of execution %s cannot be read", ex->id);
        return false;
    }
    note(ex, int_of(json, "at_us"), json_member_text(json, "step"), g_strdup(text));
    struct execution_event *event = ex->events->pdata[ex->events->len - 1];
    event->seq = (uint64_t)int_of(json, "seq");
    ex->events_saved = ex->events->len;
    ex->dirty = false;
    return true;
}
