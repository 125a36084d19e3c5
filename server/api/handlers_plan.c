/* handlers_plan.c: plans, and what became of them. */
#include "server/api/call.h"

#include "core/error.h"
#include "core/loop.h"
#include "schema/jsondoc.h"
#include "schema/yamldoc.h"
#include "server/api/api_internal.h"

#include <string.h>

bool get_plans(struct call *call, GError **error)
{
    (void)error;
    sb_auto(world) world = call_world(call);
    call->result = json_pack("{s:o}", "plans", plans_answer(world));
    return true;
}

bool get_plan(struct call *call, GError **error)
{
    sb_auto(world) world = call_world(call);
    const struct plan *plan = g_hash_table_lookup(world->plans, call->params.value[0]);
    if (plan == NULL) {
        g_set_error(error, SB_ERROR, SB_ERROR_NOT_FOUND, "plan %s: there is none of this name", call->params.value[0]);
        return false;
    }
    call->result = plan_to_json(plan);
    call_set_etag(call, plan->revision);
    return true;
}

bool get_plan_text(struct call *call, GError **error)
{
    if (!get_plan(call, error))
        return false;
    json_t *plan = call->result;
    g_autofree char *yaml = yamldoc_format(plan);
    call->result = json_pack("{s:s}", "yaml", yaml);
    json_decref(plan);
    return true;
}

/* Text of a member of the body; false when it is there and no text. *out is borrowed, NULL when absent or null. */
static bool body_text(const struct call *call, const char *member, const char **out, GError **error)
{
    const json_t *value = json_object_get(call->body, member);
    *out = json_string_value(value);
    if (value == NULL || json_is_null(value) || json_is_string(value))
        return true;
    g_autofree char *found = json_quote(value);
    g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "%s: found %s, expected text", member, found);
    return false;
}

bool run_prepare(struct call *call, GError **error)
{
    const char *target, *confirm;
    if (!body_text(call, "target", &target, error) || !body_text(call, "confirm", &confirm, error))
        return false;
    const json_t *params = json_object_get(call->body, "params");
    if (params != NULL && !json_is_object(params)) {
        g_autofree char *quoted = json_quote(params);
        g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "params: found %s, expected a mapping", quoted);
        return false;
    }
    const json_t *generation = json_object_get(call->body, "generation");
    if (generation != NULL && !json_is_null(generation) &&
        (!json_is_integer(generation) || json_integer_value(generation) < 0)) {
        g_autofree char *quoted = json_quote(generation);
        g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "generation: found %s, expected a whole number", quoted);
        return false;
    }
    const json_t *checks = json_object_get(call->body, "checks");
    if (checks != NULL && !json_is_object(checks)) {
        g_autofree char *quoted = json_quote(checks);
        g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "checks: found %s, expected a mapping", quoted);
        return false;
    }
    if (confirm == NULL || g_strcmp0(confirm, target) == 0)
        return true;
    g_autofree char *found = text_quote(confirm), *expected = text_quote(target);
    g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "confirm: found %s, expected %s, the target", found, expected);
    return false;
}

#define CHANGES_NAMED 5 /* of what is different since a preview */

/* What has changed since, as words; at least the levers, which are what people move meanwhile. */
static char *changes_since(const struct world *world, uint64_t generation)
{
    g_autoptr(GPtrArray) controls = controls_list(world->controls), words = g_ptr_array_new_with_free_func(g_free);
    for (guint i = 0; i < controls->len; i++) {
        const struct control *control = controls->pdata[i];
        if (control->revision > generation)
            g_ptr_array_add(words, g_strdup_printf("%s/%s is %s (%s)", lever_class(control->lever)->name,
                                                   control->object, control->value, control->actor));
    }
    for (int kind = 0; kind < OBJECT_KINDS; kind++) {
        const GPtrArray *objects = inventory_list(world->inventory, (enum object_kind)kind);
        for (guint i = 0; i < objects->len; i++) {
            const struct object *object = objects->pdata[i];
            if (object->revision > generation)
                g_ptr_array_add(words, g_strdup_printf("%s/%s", object_class(object->kind)->name, object->name));
        }
    }
    if (words->len > CHANGES_NAMED) {
        g_autofree char *rest = g_strdup_printf("and %u more", words->len - CHANGES_NAMED);
        g_ptr_array_set_size(words, CHANGES_NAMED);
        g_ptr_array_add(words, g_steal_pointer(&rest));
    }
    g_ptr_array_add(words, NULL);
    return words->len > 1 ? g_strjoinv(", ", (char **)words->pdata) : g_strdup("something was removed, or a plan");
}

/* Whoever looked at a preview means what it showed, and not what has come of the site since. */
static bool is_as_previewed(const struct call *call, const struct world *world, GError **error)
{
    const json_t *generation = json_object_get(call->body, "generation");
    uint64_t now = world->stamp.generation;
    if (generation == NULL || json_is_null(generation) || (uint64_t)json_integer_value(generation) == now)
        return true;
    g_autofree char *changes = changes_since(world, (uint64_t)json_integer_value(generation));
    g_set_error(error, SB_ERROR, SB_ERROR_STALE,
                "the site has changed since the preview: found generation %" G_GUINT64_FORMAT
                ", expected %" JSON_INTEGER_FORMAT ": %s",
                now, json_integer_value(generation), changes);
    return false;
}

/* The same of its prechecks: of those that were looked at none is worse. NULL: none, else which, and how; g_free. */
static char *worse_since(const json_t *seen, const json_t *checks)
{
    static const char *const ranks[] = {"pass", "warn", "block", NULL};
    g_autoptr(GPtrArray) words = g_ptr_array_new_with_free_func(g_free);
    const json_t *check;
    size_t i;
    json_array_foreach (checks, i, check) {
        const char *name = json_string_value(json_object_get(check, "name"));
        const char *is = json_string_value(json_object_get(check, "state"));
        const char *was = json_string_value(json_object_get(seen, name));
        int rank = 0, rank_was = 0;
        while (strcmp(ranks[rank], is) != 0)
            rank++;
        while (was != NULL && ranks[rank_was] != NULL && strcmp(ranks[rank_was], was) != 0)
            rank_was++;
        if (was != NULL && rank > rank_was)
            g_ptr_array_add(words, g_strdup_printf("%s was %s and is %s: %s", name, was, is,
                                                   json_string_value(json_object_get(check, "value"))));
    }
    g_ptr_array_add(words, NULL);
    return words->len > 1 ? g_strjoinv("; ", (char **)words->pdata) : NULL;
}

static bool is_as_good(const struct call *call, struct turn *turn, const char *target, const struct asker *asker,
                       GError **error)
{
    const json_t *seen = json_object_get(call->body, "checks");
    if (json_object_size(seen) == 0 || call->dry_run)
        return true;
    json_t *preview =
        engine_run_plan(turn->engine, call->params.value[0], target, json_object_get(call->body, "params"), true, asker,
                        turn->now, &turn->effects, error);
    g_autofree char *worse = preview != NULL ? worse_since(seen, json_object_get(preview, "checks")) : NULL;
    bool known = preview != NULL;
    json_decref(preview);
    if (worse != NULL)
        g_set_error(error, SB_ERROR, SB_ERROR_STALE, "what was looked at is not so any more: %s", worse);
    return known && worse == NULL;
}

void run_plan(struct call *call, struct turn *turn, GError **error)
{
    struct asker asker = call_asker(call);
    const char *target = json_string_value(json_object_get(call->body, "target"));
    if (!is_as_previewed(call, engine_world(turn->engine), error) || !is_as_good(call, turn, target, &asker, error))
        return;
    struct reply *reply = &call->request->reply;
    call->result = engine_run_plan(turn->engine, call->params.value[0], target, json_object_get(call->body, "params"),
                                   call->dry_run, &asker, turn->now, &turn->effects, error);
    if (call->result == NULL)
        return;
    if (call->dry_run)
        json_object_set_new(call->result, "generation",
                            json_integer((json_int_t)engine_world(turn->engine)->stamp.generation));
    const char *id = json_string_value(json_object_get(call->result, "id"));
    if (!call->dry_run)
        reply->location = g_strdup_printf("/v1/executions/%s", id);
    call->accepted = !call->dry_run;
}

void get_executions(struct call *call, struct turn *turn, GError **error)
{
    (void)error;
    call->result = json_pack("{s:o}", "executions", engine_executions(turn->engine));
}

bool execution_prepare(struct call *call, GError **error)
{
    int64_t wait_s;
    if (!call_query_int(call, "after", &call->after, error) || !call_query_int(call, "wait", &wait_s, error))
        return false;
    call->until_us = loop_now_us() + wait_s * G_USEC_PER_SEC;
    return true;
}

static int64_t newest_event(const json_t *execution)
{
    const json_t *events = json_object_get(execution, "events");
    const json_t *last = json_array_get(events, json_array_size(events) - 1);
    return json_integer_value(json_object_get(last, "seq"));
}

bool execution_ready(struct call *call, struct turn *turn, bool last, GError **error)
{
    json_t *execution = engine_execution(turn->engine, call->params.value[0]);
    if (execution == NULL) {
        g_set_error(error, SB_ERROR, SB_ERROR_NOT_FOUND,
                    "execution %s: there is none of this id among those under way and the newest %d that have ended",
                    call->params.value[0], EXECUTIONS_KEPT);
        return true;
    }
    if (last || newest_event(execution) > call->after) {
        call->result = execution;
        return true;
    }
    json_decref(execution);
    return false;
}

void get_undo(struct call *call, struct turn *turn, GError **error)
{
    call->result = engine_undo_preview(turn->engine, call->params.value[0], turn->now, error);
}

void abort_execution(struct call *call, struct turn *turn, GError **error)
{
    struct asker asker = call_asker(call);
    call->result = engine_abort(turn->engine, call->params.value[0], &asker, turn->now, &turn->effects, error);
    if (call->result != NULL)
        call->request->reply.location = g_strdup_printf("/v1/executions/%s", call->params.value[0]);
}

bool act_prepare(struct call *call, GError **error)
{
    static const char *const texts[] = {"act", "step", "binding", "reason"};
    const char *text;
    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++)
        if (!body_text(call, texts[i], &text, error))
            return false;
    return true;
}

void act_on_execution(struct call *call, struct turn *turn, GError **error)
{
    struct asker asker = call_asker(call);
    call->result =
        engine_act(turn->engine, call->params.value[0], call->body, &asker, turn->now, &turn->effects, error);
}
