/* handlers.c: what operators ask: one row of the table at the end for each route. */
#include "server/api/call.h"

#include "core/error.h"
#include "core/loop.h"
#include "schema/inventory.h"
#include "schema/jsondoc.h"
#include "schema/yamldoc.h"
#include "server/api/api_internal.h"
#include "server/api/metrics.h"
#include "server/interlocking/eastwest.h"

#include <string.h>

#define APPLY_SIZE_MAX (64u << 20) /* bytes: 100,000 domains are a tenth of it */
#define REPORT_SIZE_MAX (1u << 20) /* bytes: counters of some thousand policies */

struct world *call_world(const struct call *call)
{
    sb_auto(resolved) resolved = executor_look(call->api->executor);
    return world_ref(resolved->world);
}

/* ---- inventory ---- */

/* Reminders have a path of their own, because operators hang them. */
static bool is_reminder(const struct call *call)
{
    return call->route->id == ROUTE_REMINDER_PUT || call->route->id == ROUTE_REMINDER_DELETE;
}

static const char *name_of_path(const struct call *call)
{
    return call->params.value[is_reminder(call) ? 0 : 1];
}

static const struct object_class *class_of_path(const struct call *call, GError **error)
{
    if (is_reminder(call))
        return object_class(OBJECT_reminder);
    const struct object_class *class = object_class_find(call->params.value[0]);
    if (class == NULL)
        g_set_error(error, SB_ERROR, SB_ERROR_NOT_FOUND,
                    "kind: found \"%s\", expected a kind of object like room or pops", call->params.value[0]);
    return class;
}

static json_t *object_answer(const struct object *object)
{
    json_t *json = object_to_json(object);
    json_object_set_new(json, "revision", json_integer((json_int_t)object->revision));
    return json;
}

static bool get_objects(struct call *call, GError **error)
{
    const struct object_class *class = class_of_path(call, error);
    if (class == NULL)
        return false;
    sb_auto(world) world = call_world(call);
    const GPtrArray *objects = inventory_list(world->inventory, class->kind);
    json_t *list = json_array();
    const char *after = call->page.after[0];
    size_t want = call->page.limit > 0 ? (size_t)call->page.limit + 1 : SIZE_MAX; /* one more: there is another page */
    for (guint i = 0; i < objects->len && json_array_size(list) < want; i++) {
        const struct object *object = objects->pdata[i];
        if (after == NULL || strcmp(object->name, after) > 0)
            json_array_append_new(list, object_answer(object));
    }
    call->result = json_pack("{s:o}", "objects", list);
    return true;
}

/* The object that the path names; the world's. */
static const struct object *object_of_path(const struct call *call, const struct world *world, GError **error)
{
    const struct object_class *class = class_of_path(call, error);
    if (class == NULL)
        return NULL;
    const struct object *object = inventory_get(world->inventory, class->kind, call->params.value[1]);
    if (object == NULL)
        g_set_error(error, SB_ERROR, SB_ERROR_NOT_FOUND, "%s %s: the inventory has none of this name", class->name,
                    call->params.value[1]);
    return object;
}

static bool get_object(struct call *call, GError **error)
{
    sb_auto(world) world = call_world(call);
    const struct object *object = object_of_path(call, world, error);
    if (object == NULL)
        return false;
    call->result = object_answer(object);
    call_set_etag(call, object->revision);
    return true;
}

/* Levers that stand on the object, off their default. */
static void add_levers_on(const struct world *world, const struct object *object, json_t *list)
{
    g_autoptr(GPtrArray) controls = controls_list(world->controls);
    for (guint i = 0; i < controls->len; i++) {
        const struct control *control = controls->pdata[i];
        if (lever_class(control->lever)->kind == object->kind && strcmp(control->object, object->name) == 0 &&
            strcmp(control->value, "default") != 0)
            json_array_append_new(list, json_pack("{s:s, s:s, s:s}", "kind", "control", "name",
                                                  lever_class(control->lever)->name, "field", control->value));
    }
}

static bool get_object_users(struct call *call, GError **error)
{
    sb_auto(world) world = call_world(call);
    const struct object *object = object_of_path(call, world, error);
    if (object == NULL)
        return false;
    g_autoptr(GArray) users = inventory_users(world->inventory, object->kind, object->name);
    json_t *list = json_array();
    for (guint i = 0; i < users->len; i++) {
        const struct inventory_use *use = &g_array_index(users, struct inventory_use, i);
        json_array_append_new(list, json_pack("{s:s, s:s, s:s}", "kind", object_class(use->by->kind)->name, "name",
                                              use->by->name, "field", use->field->name));
    }
    add_levers_on(world, object, list);
    call->result = json_pack("{s:o}", "users", list);
    return true;
}

/* A member that the path says already may be repeated, but not contradicted. */
static bool set_from_path(json_t *body, const char *member, const char *value, GError **error)
{
    const json_t *given = json_object_get(body, member);
    if (given != NULL && g_strcmp0(json_string_value(given), value) != 0) {
        g_autofree char *found = json_quote(given);
        g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "%s: found %s, expected \"%s\" as in the path", member, found,
                    value);
        return false;
    }
    json_object_set_new(body, member, json_string(value));
    return true;
}

/* Wraps what is to be done with one object into what apply takes. */
static void as_apply(struct call *call, const struct object_class *class, const char *list, json_t *item)
{
    g_autofree char *id = g_strdup_printf("%s/%s", class->name, name_of_path(call));
    json_t *body = json_pack("{s:[o]}", list, item);
    if (call->if_match >= 0)
        json_object_set_new(body, "if_match", json_pack("{s:I}", id, (json_int_t)call->if_match));
    json_decref(call->body);
    call->body = body;
}

/* The body is an object whole. */
static bool take_object(struct call *call, const struct object_class *class, GError **error)
{
    g_autoptr(GPtrArray) findings = finding_list_new();
    json_object_del(call->body, "revision"); /* what was got may be put back */
    if (!set_from_path(call->body, "kind", class->name, error) ||
        !set_from_path(call->body, "name", name_of_path(call), error))
        return false;
    struct object *object = object_from_json(call->body, findings);
    if (object == NULL) {
        findings_error(findings, error);
        call->findings = g_steal_pointer(&findings);
        return false;
    }
    object_free(object);
    as_apply(call, class, "objects", json_incref(call->body));
    return true;
}

static bool put_object_prepare(struct call *call, GError **error)
{
    const struct object_class *class = class_of_path(call, error);
    return class != NULL && call_if_match(call, error) && take_object(call, class, error);
}

/* Merged with what is published; of that revision it must still be when it is applied. */
static bool patch_object_prepare(struct call *call, GError **error)
{
    const struct object_class *class = class_of_path(call, error);
    if (class == NULL || !call_if_match(call, error))
        return false;
    sb_auto(world) world = call_world(call);
    const struct object *object = object_of_path(call, world, error);
    if (object == NULL)
        return false;
    if (call->if_match == IF_MATCH_ANY)
        call->if_match = (int64_t)object->revision;
    json_t *before = object_to_json(object), *patch = call->body;
    json_object_del(patch, "revision");
    call->body = json_merge_patch(before, patch);
    json_decref(before);
    json_decref(patch);
    return take_object(call, class, error);
}

static bool delete_object_prepare(struct call *call, GError **error)
{
    const struct object_class *class = class_of_path(call, error);
    if (class == NULL || !call_if_match(call, error))
        return false;
    g_autofree char *id = g_strdup_printf("%s/%s", class->name, name_of_path(call));
    as_apply(call, class, "remove", json_string(id));
    return true;
}

/* Text of YAML in the body becomes what it says; findings name its lines. */
static bool take_yaml(struct call *call, GPtrArray *findings, GError **error)
{
    const json_t *yaml = json_object_get(call->body, "yaml");
    if (yaml == NULL)
        return true;
    if (!json_is_string(yaml)) {
        g_autofree char *found = json_quote(yaml);
        g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "yaml: found %s, expected text", found);
        return false;
    }
    json_t *documents = yamldoc_parse(json_string_value(yaml), json_string_length(yaml), "line", error);
    if (documents == NULL)
        return false;
    yamldoc_collect(documents, "line", call->body, findings);
    json_decref(documents);
    json_object_del(call->body, "yaml");
    return true;
}

/* All that is wrong with any object or plan by itself, before the engine is asked. */
static bool apply_prepare(struct call *call, GError **error)
{
    g_autoptr(GPtrArray) findings = finding_list_new();
    size_t i;
    json_t *item;
    if (!take_yaml(call, findings, error))
        return false;
    json_array_foreach (json_object_get(call->body, "objects"), i, item)
        object_free(object_from_json(item, findings));
    json_array_foreach (json_object_get(call->body, "plans"), i, item)
        plan_free(plan_from_json(item, json_string_value(json_object_get(item, "at")), findings));
    if (findings->len == 0)
        return true;
    findings_error(findings, error);
    call->findings = g_steal_pointer(&findings);
    return false;
}

/* Does If-Match: * hold for the one object that the path names? */
static bool exists(const struct call *call, const struct turn *turn, GError **error)
{
    if (call->route->id == ROUTE_APPLY || call->if_match != IF_MATCH_ANY)
        return true;
    const struct object_class *class = class_of_path(call, error);
    if (inventory_get(engine_world(turn->engine)->inventory, class->kind, name_of_path(call)) != NULL)
        return true;
    g_set_error(error, SB_ERROR, SB_ERROR_STALE, "%s %s: found none, and If-Match: * asks for one", class->name,
                name_of_path(call));
    return false;
}

static void apply(struct call *call, struct turn *turn, GError **error)
{
    struct asker asker = call_asker(call);
    if (exists(call, turn, error))
        call->result = engine_apply(turn->engine, call->body, call->dry_run, &asker, turn->now, &turn->effects, error);
}

static int plan_by_name(const void *a, const void *b)
{
    return strcmp((*(const struct plan *const *)a)->name, (*(const struct plan *const *)b)->name);
}

json_t *plans_answer(const struct world *world)
{
    g_autoptr(GPtrArray) sorted = g_ptr_array_new();
    GHashTableIter each;
    void *plan;
    json_t *list = json_array();
    g_hash_table_iter_init(&each, world->plans);
    while (g_hash_table_iter_next(&each, NULL, &plan))
        g_ptr_array_add(sorted, plan);
    g_ptr_array_sort(sorted, plan_by_name);
    for (guint i = 0; i < sorted->len; i++)
        json_array_append_new(list, plan_to_json(sorted->pdata[i]));
    return list;
}

static bool get_export(struct call *call, GError **error)
{
    (void)error;
    sb_auto(world) world = call_world(call);
    call->result = inventory_to_json(world->inventory);
    json_object_set_new(call->result, "plans", plans_answer(world));
    return true;
}

/* ---- controls ---- */

static const struct lever_class *lever_of_path(const struct call *call, const struct world *world, GError **error)
{
    const struct lever_class *lever = lever_class_find(call->params.value[0]);
    if (lever == NULL)
        g_set_error(error, SB_ERROR, SB_ERROR_NOT_FOUND,
                    "lever: found \"%s\", expected the name of a lever like "
                    "room.ingress",
                    call->params.value[0]);
    else if (inventory_get(world->inventory, lever->kind, call->params.value[1]) == NULL) {
        g_set_error(error, SB_ERROR, SB_ERROR_NOT_FOUND, "%s %s: the inventory has none of this name",
                    object_class(lever->kind)->name, call->params.value[1]);
        lever = NULL;
    }
    return lever;
}

static bool get_controls(struct call *call, GError **error)
{
    (void)error;
    sb_auto(world) world = call_world(call);
    g_autoptr(GPtrArray) controls = controls_list(world->controls);
    json_t *list = json_array();
    for (guint i = 0; i < controls->len; i++)
        json_array_append_new(list, control_to_json(controls->pdata[i]));
    call->result = json_pack("{s:o}", "controls", list);
    return true;
}

static bool get_control(struct call *call, GError **error)
{
    sb_auto(world) world = call_world(call);
    const struct lever_class *lever = lever_of_path(call, world, error);
    if (lever == NULL)
        return false;
    const struct control *control = controls_get(world->controls, lever->lever, call->params.value[1]);
    call->result = control != NULL ? control_to_json(control)
                                   : json_pack("{s:s, s:s, s:s, s:i}", "control", lever->name, "object",
                                               call->params.value[1], "value", "default", "revision", 0);
    call_set_etag(call, control != NULL ? control->revision : 0);
    return true;
}

static bool put_control_prepare(struct call *call, GError **error)
{
    sb_auto(world) world = call_world(call);
    const json_t *value = json_object_get(call->body, "value");
    if (lever_of_path(call, world, error) == NULL || !call_if_match(call, error))
        return false;
    if (!json_is_string(value)) {
        g_autofree char *found = json_quote(value);
        g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "value: found %s, expected text", found);
        return false;
    }
    json_t *change = json_pack("{s:s, s:s, s:s}", "control", call->params.value[0], "object", call->params.value[1],
                               "value", json_string_value(value));
    json_decref(call->body);
    call->body = json_pack("{s:[o]}", "changes", change);
    return true;
}

/* If-Match is not asked for with several levers: one revision would stand for all. Who gives it means just that. */
static bool set_controls_prepare(struct call *call, GError **error)
{
    call->if_match = IF_MATCH_ANY;
    return call->request->if_match == NULL || call_if_match(call, error);
}

static bool forecast_prepare(struct call *call, GError **error)
{
    call->dry_run = true;
    return set_controls_prepare(call, error);
}

static void set_controls(struct call *call, struct turn *turn, GError **error)
{
    struct asker asker = call_asker(call);
    call->result = engine_set_controls(turn->engine, json_object_get(call->body, "changes"), call->if_match,
                                       call->dry_run, &asker, turn->now, &turn->effects, error);
    const json_t *one = json_array_get(json_object_get(call->result, "controls"), 0);
    if (call->result != NULL && call->route->id == ROUTE_CONTROL_PUT && !call->dry_run)
        call_set_etag(call, (uint64_t)json_integer_value(json_object_get(one, "revision")));
}

/* ---- east-west ---- */

static bool get_eastwest(struct call *call, GError **error)
{
    (void)error;
    sb_auto(world) world = call_world(call);
    call->result = eastwest_all_json(world);
    return true;
}

static bool get_eastwest_of(struct call *call, GError **error)
{
    sb_auto(world) world = call_world(call);
    const struct object_class *class = object_class_find(call->params.value[0]);
    const char *name = call->params.value[1];
    if (class == NULL || (class->kind != OBJECT_service && class->kind != OBJECT_interface)) {
        g_set_error(error, SB_ERROR, SB_ERROR_NOT_FOUND, "kind: found \"%s\", expected services or interfaces",
                    call->params.value[0]);
        return false;
    }
    const struct interface *interface =
        class->kind == OBJECT_interface ? INVENTORY_GET(world->inventory, interface, name) : NULL;
    const struct service *service =
        INVENTORY_GET(world->inventory, service, interface != NULL ? interface->service : name);
    if (service == NULL || (class->kind == OBJECT_interface && interface == NULL)) {
        g_set_error(error, SB_ERROR, SB_ERROR_NOT_FOUND, "%s %s: the inventory has none of this name", class->name,
                    name);
        return false;
    }
    call->result = eastwest_json(world, service, interface);
    return true;
}

/* ---- looking ---- */

json_t *status_now(const struct call *call, const struct turn *turn)
{
    json_t *status = engine_status(turn->engine, turn->now.us);
    executor_mark_alarms(call->api->executor, json_object_get(status, "alarms"));
    executor_warn(call->api->executor, json_object_get(status, "warnings"));
    return status;
}

static void get_status(struct call *call, struct turn *turn, GError **error)
{
    (void)error;
    call->result = status_now(call, turn);
}

static void get_agents(struct call *call, struct turn *turn, GError **error)
{
    (void)error;
    json_t *agents = engine_agents(turn->engine, turn->now.us);
    call->result = json_is_array(agents) ? json_pack("{s:o}", "agents", agents) : agents;
}

/* A value of the query that may be left out, or be empty; g_free. */
static char *query_optional(const struct request *request, const char *name, bool *valid)
{
    char *value = request_query(request, name);
    *valid = *valid && (value == NULL || g_utf8_validate(value, -1, NULL));
    if (value != NULL && value[0] == '\0')
        g_clear_pointer(&value, g_free);
    return value;
}

static void get_explain(struct call *call, struct turn *turn, GError **error)
{
    bool valid = true;
    g_autofree char *url = request_query(call->request, "url"), *user = query_optional(call->request, "user", &valid),
                    *from = query_optional(call->request, "from", &valid),
                    *carrier = query_optional(call->request, "carrier", &valid),
                    *method = query_optional(call->request, "method", &valid);
    struct explain_query query = {.url = url, .user = user, .from = from, .carrier = carrier, .method = method};
    if (url == NULL || !g_utf8_validate(url, -1, NULL) || !valid) {
        g_set_error(error, SB_ERROR, SB_ERROR_INVALID,
                    "expected ?url=, and ?user=, ?from=, ?carrier= and ?method= where wanted, as UTF-8");
        return;
    }
    call->result = explain(engine_resolved(turn->engine), engine_observed(turn->engine), &query, turn->now.us, error);
}

static bool get_openapi(struct call *call, GError **error)
{
    (void)error;
    struct reply *reply = &call->request->reply;
    reply->status = 200;
    reply->content_type = "application/yaml";
    reply->body = openapi_yaml();
    reply->size = strlen(reply->body);
    return true;
}

static bool get_livez(struct call *call, GError **error)
{
    (void)error;
    struct reply *reply = &call->request->reply;
    reply->status = 200;
    reply->content_type = "text/plain";
    reply->body = g_strdup("ok\n");
    reply->size = 3;
    return true;
}

/* Ready to change things: a balancer or a service manager asks. Looking works all the same. */
static bool get_readyz(struct call *call, GError **error)
{
    (void)error;
    g_autofree char *unwritable = executor_unwritable(call->api->executor);
    json_t *reasons = json_array();
    if (!atomic_load(&call->api->listening))
        json_array_append_new(reasons, json_string("the server is starting"));
    if (unwritable != NULL)
        json_array_append_new(reasons, json_string(unwritable));
    bool ready = json_array_size(reasons) == 0;
    struct reply *reply = &call->request->reply;
    call->result = json_pack("{s:b, s:o}", "ready", ready, "reasons", reasons);
    reply->status = ready ? 200 : 503;
    reply->content_type = "application/json";
    reply->body = json_dumps(call->result, JSON_COMPACT);
    reply->size = strlen(reply->body);
    return true;
}

static bool metrics_prepare(struct call *call, GError **error)
{
    if (atomic_load(&call->api->listening))
        return true;
    g_set_error(error, SB_ERROR, SB_ERROR_UNAVAILABLE, "the server is starting");
    return false;
}

static void get_metrics(struct call *call, struct turn *turn, GError **error)
{
    (void)error;
    struct reply *reply = &call->request->reply;
    reply->status = 200;
    reply->content_type = "text/plain; version=0.0.4; charset=utf-8";
    reply->body = metrics_text(call->api, turn);
    reply->size = strlen(reply->body);
}

/* ---- the table ---- */

#define COMMON "reason overrides dry_run"

const struct handler *handler_for(enum route_id id)
{
    static const struct handler handlers[ROUTES] = {
        [ROUTE_STATUS] = {.work = get_status, .status = 200},
        [ROUTE_APPLY] = {.members = "objects plans yaml remove prune if_match " COMMON,
                         .prepare = apply_prepare,
                         .work = apply,
                         .status = 200,
                         .body_size_max = APPLY_SIZE_MAX,
                         .dry_run = true},
        [ROUTE_EXPORT] = {.prepare = get_export, .status = 200},
        [ROUTE_OBJECTS] = {.prepare = get_objects, .status = 200, .paging = {"objects", {"name"}}},
        [ROUTE_OBJECT] = {.prepare = get_object, .status = 200},
        [ROUTE_OBJECT_USERS] = {.prepare = get_object_users, .status = 200},
        [ROUTE_OBJECT_PUT] = {.prepare = put_object_prepare, .work = apply, .status = 200, .dry_run = true},
        [ROUTE_OBJECT_PATCH] = {.prepare = patch_object_prepare, .work = apply, .status = 200, .dry_run = true},
        [ROUTE_OBJECT_DELETE] = {.prepare = delete_object_prepare, .work = apply, .status = 200, .dry_run = true},
        [ROUTE_REMINDER_PUT] = {.prepare = put_object_prepare, .work = apply, .status = 200, .dry_run = true},
        [ROUTE_REMINDER_DELETE] = {.prepare = delete_object_prepare, .work = apply, .status = 200, .dry_run = true},
        [ROUTE_CONTROLS] = {.prepare = get_controls, .status = 200},
        [ROUTE_CONTROL] = {.prepare = get_control, .status = 200},
        [ROUTE_CONTROL_PUT] = {.members = "value " COMMON,
                               .prepare = put_control_prepare,
                               .work = set_controls,
                               .status = 200,
                               .dry_run = true},
        [ROUTE_CONTROLS_SET] = {.members = "changes " COMMON,
                                .prepare = set_controls_prepare,
                                .work = set_controls,
                                .status = 200,
                                .dry_run = true},
        [ROUTE_FORECAST] = {.members = "changes " COMMON,
                            .prepare = forecast_prepare,
                            .work = set_controls,
                            .status = 200,
                            .dry_run = true},
        [ROUTE_PLANS] = {.prepare = get_plans, .status = 200, .paging = {"plans", {"plan"}}},
        [ROUTE_PLAN] = {.prepare = get_plan, .status = 200},
        [ROUTE_PLAN_TEXT] = {.prepare = get_plan_text, .status = 200},
        [ROUTE_PLAN_RUN] = {.members = "target confirm params generation checks " COMMON,
                            .prepare = run_prepare,
                            .work = run_plan,
                            .status = 200,
                            .dry_run = true},
        [ROUTE_EXECUTIONS] = {.work = get_executions, .status = 200, .paging = {"executions", {"started_us", "id"}}},
        [ROUTE_EXECUTION] = {.prepare = execution_prepare, .ready = execution_ready, .status = 200},
        [ROUTE_EXECUTION_UNDO] = {.work = get_undo, .status = 200},
        [ROUTE_EXECUTION_ABORT] = {.members = "reason overrides", .work = abort_execution, .status = 202},
        [ROUTE_EXECUTION_ACT] = {.members = "act step binding reason overrides",
                                 .prepare = act_prepare,
                                 .work = act_on_execution,
                                 .status = 200},
        [ROUTE_EXPLAIN] = {.work = get_explain, .status = 200},
        [ROUTE_ALARM_ACK] = {.members = "reason", .work = acknowledge_alarm, .status = 200},
        [ROUTE_EASTWEST] = {.prepare = get_eastwest, .status = 200},
        [ROUTE_EASTWEST_OF] = {.prepare = get_eastwest_of, .status = 200},
        [ROUTE_AGENTS] = {.work = get_agents, .status = 200, .paging = {"agents", {"kind", "name"}}},
        [ROUTE_AUDIT] = {.read = audit_rows, .status = 200, .paging = {"audit", {NULL}}},
        [ROUTE_AUDIT_VERIFY] = {.read = audit_verify, .status = 200},
        [ROUTE_EVENTS] = {.prepare = events_prepare, .read = events_read, .ready = events_ready, .status = 200},
        [ROUTE_HISTORY] = {.read = history_world, .status = 200},
        [ROUTE_STATUS_AT] = {.slow = history_status, .status = 200},
        [ROUTE_RECORDINGS] = {.read = history_recordings, .status = 200},
        [ROUTE_RECORDING] = {.read = history_recording, .status = 200},
        [ROUTE_PIN_KEYS] = {.work = get_pin_keys, .status = 200},
        [ROUTE_PIN_KEYS_CHANGE] = {.members = "act reason", .work = change_pin_keys, .status = 200},
        [ROUTE_PIN_ISSUE] = {.members = "room purpose user for_s reason",
                             .work = issue_pin,
                             .status = 201,
                             .secret = true},
        [ROUTE_TOKENS] = {.prepare = get_tokens, .status = 200, .paging = {"tokens", {"name"}}},
        [ROUTE_TOKEN_CREATE] = {.members = "name role scopes expires_us reason",
                                .work = create_token,
                                .status = 201,
                                .secret = true},
        [ROUTE_TOKEN_DELETE] = {.work = delete_token, .status = 204},
        [ROUTE_SESSION] = {.prepare = session_get, .status = 200},
        [ROUTE_LOGIN] = {.members = "name password",
                         .prepare = login_prepare,
                         .slow = login_slow,
                         .work = login,
                         .status = 201,
                         .anyhow = true},
        [ROUTE_LOGOUT] = {.prepare = logout_prepare, .work = logout, .status = 204, .anyhow = true},
        [ROUTE_USERS] = {.prepare = get_users, .status = 200, .paging = {"users", {"name"}}},
        [ROUTE_USER_CREATE] = {.members = "name role scopes expires_us password reason",
                               .prepare = password_prepare,
                               .slow = password_slow,
                               .work = create_user,
                               .status = 201},
        [ROUTE_USER_PASSWORD] = {.members = "password reason",
                                 .prepare = password_prepare,
                                 .slow = password_slow,
                                 .work = change_password,
                                 .status = 204},
        [ROUTE_USER_DELETE] = {.work = delete_user, .status = 204},
        [ROUTE_WEBHOOKS] = {.read = webhooks_list, .status = 200, .paging = {"webhooks", {"name"}}},
        [ROUTE_WEBHOOK_DELIVERIES] = {.read = webhooks_deliveries, .status = 200, .paging = {"deliveries", {"number"}}},
        [ROUTE_WEBHOOK_TELL] = {.members = "id reason", .work = webhooks_tell, .status = 202},
        [ROUTE_OPENAPI] = {.prepare = get_openapi, .status = 200},
        [ROUTE_LIVEZ] = {.prepare = get_livez, .status = 200},
        [ROUTE_READYZ] = {.prepare = get_readyz, .status = 200},
        [ROUTE_METRICS] = {.prepare = metrics_prepare, .work = get_metrics, .status = 200},
        [ROUTE_AGENT_TABLE] = {.prepare = agent_table, .resumed = agent_table_resumed, .status = 200},
        [ROUTE_AGENT_PART] = {.prepare = agent_part, .status = 200},
        [ROUTE_AGENT_REPORT] = {.work = agent_report, .status = 200, .body_size_max = REPORT_SIZE_MAX},
    };
    return &handlers[id];
}
