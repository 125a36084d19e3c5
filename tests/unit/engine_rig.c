#include "tests/unit/engine_rig.h"

#include "schema/yamldoc.h"
#include "server/interlocking/incident.h"

#include <stdlib.h>

const char *rig_site = "two-rooms";
const char *const edges[4] = {"edge-1", "edge-2", "edge-3", "edge-4"};
const char *const servers[3] = {"ns-1", "ns-2", "ns-3"};
const struct asker alice = {.actor = "alice", .reason = "test"};
const struct asker robot = {.actor = "robot", .automatic = true};

static void drop_json(gpointer json)
{
    json_decref(json);
}

struct now now(const struct server *s)
{
    return (struct now){.us = s->now_us, .wall_us = s->now_us + 1000 * SECOND};
}

static bool same_state(const struct journal_entry *a, const struct journal_entry *b)
{
    return strcmp(a->kind, b->kind) == 0 && strcmp(a->id, b->id) == 0;
}

static void journal_write(struct server *s, GPtrArray *entries)
{
    for (guint i = 0; i < entries->len; i++) {
        const struct journal_entry *entry = entries->pdata[i];
        for (guint j = 0; entry->key != NULL && j < s->journal->len; j++)
            ck_assert_str_ne(entry->key, ((struct journal_entry *)s->journal->pdata[j])->key == NULL
                                             ? ""
                                             : ((struct journal_entry *)s->journal->pdata[j])->key);
        entries_add(s->journal, entry->kind, entry->id, entry->key, json_incref(entry->body));
    }
}

/* "EXECUTION/STEP/call": nobody is asked for what a restart would know nothing of. */
static void expect_intended(const struct server *s, const char *id)
{
    g_auto(GStrv) words = g_strsplit(id, "/", 3);
    for (guint i = s->journal->len; i-- > 0;) {
        const struct journal_entry *entry = s->journal->pdata[i];
        if (strcmp(entry->kind, "execution") != 0 || strcmp(entry->id, words[0]) != 0)
            continue;
        const json_t *step = step_of(entry->body, words[1]);
        bool undo = strcmp(words[2], "undo") == 0;
        if (undo)
            ck_assert_str_eq(member(step, "undo"), "intended");
        if (undo && json_is_false(json_object_get(json_object_get(step, "spec"), "repeat")))
            ck_assert(json_is_true(json_object_get(step, "undo_called")));
        ck_assert(json_is_true(json_object_get(step, "called")));
        return;
    }
    ck_abort_msg("call %s: found no entry of its execution", id);
}

/* Carries the effects out, or some of them: then the process is dead, and false comes back. */
static bool carry_out(struct server *s)
{
    struct effect *effect;
    while ((effect = effects_pop(&s->effects)) != NULL) {
        if (s->budget == 0) {
            effect_free(effect);
            effects_clear(&s->effects);
            return false;
        }
        s->budget -= s->budget > 0;
        s->carried++;
        if (s->done != NULL)
            effect_lines(effect, s->done);
        if (effect->kind == EFFECT_JOURNAL)
            journal_write(s, effect->entries);
        else if (effect->kind == EFFECT_ASK) {
            json_decref(s->asked);
            s->asked = json_incref(effect->ask);
        } else if (effect->kind == EFFECT_CALL) {
            expect_intended(s, member(effect->call, "id"));
            g_ptr_array_add(s->calls, json_incref(effect->call));
            g_string_append_printf(s->called, "%s\n", member(effect->call, "id"));
        } else {
            g_clear_pointer(&s->published, resolved_unref);
            s->published = resolved_ref(effect->resolved);
        }
        effect_free(effect);
    }
    return true;
}

void record_input(void *data, const json_t *input)
{
    char *line = json_dumps(input, JSON_COMPACT);
    g_string_append_printf(data, "%s\n", line);
    free(line);
}

void start(struct server *s)
{
    struct engine_config config = {
        .cluster = (char *)"two-rooms", .rules = {.share_moved_max = 0.6}, .seed = 7, .wall_offset_us = 1000 * SECOND};
    if (s->inputs != NULL) {
        config.told = record_input;
        config.told_data = s->inputs;
    }
    engine_free(s->engine);
    g_ptr_array_set_size(s->calls, 0);
    s->engine = engine_new(&config);
    for (guint i = 0; i < s->journal->len; i++) {
        bool newest = true;
        for (guint j = i + 1; j < s->journal->len && newest; j++)
            newest = !same_state(s->journal->pdata[i], s->journal->pdata[j]);
        GError *error = NULL;
        if (newest && !engine_restore(s->engine, s->journal->pdata[i], &error))
            ck_abort_msg("restore: %s", error->message);
    }
    engine_start(s->engine, ++s->epoch, s->now_us, &s->effects);
}

void tick(struct server *s, int64_t after_us)
{
    s->now_us += after_us;
    ck_assert_int_gt(engine_tick(s->engine, s->now_us, &s->effects), s->now_us); /* else the executor would spin */
}

/* All events that must survive a crash go through here: after one, the server is started again. */
void settle(struct server *s)
{
    while (!carry_out(s)) {
        s->budget = -1;
        start(s);
    }
}

void load(json_t *body, const char *name)
{
    GError *error = NULL;
    g_autofree char *path = g_strdup_printf("%s/%s", SOURCE_DIR, name);
    g_autoptr(GPtrArray) findings = finding_list_new();
    json_t *documents = yamldoc_load_file(path, &error);
    if (documents == NULL)
        ck_abort_msg("%s", error->message);
    yamldoc_collect(documents, name, body, findings);
    ck_assert_uint_eq(findings->len, 0);
    json_decref(documents);
}

json_t *site_body(void)
{
    json_t *body = json_pack("{s:[], s:[]}", "objects", "plans");
    g_autofree char *site = g_strdup_printf("tests/lab/sites/%s.yaml", rig_site);
    load(body, site);
    load(body, "runbooks/room-isolated.yaml");
    load(body, "runbooks/failback.yaml");
    load(body, "runbooks/room-drain.yaml");
    return body;
}

void apply_ok(struct server *s, json_t *body)
{
    GError *error = NULL;
    json_t *result = engine_apply(s->engine, body, false, &alice, now(s), &s->effects, &error);
    if (result == NULL)
        ck_abort_msg("apply: %s", error->message);
    json_decref(result);
    json_decref(body);
    settle(s);
}

struct server *server_new(void)
{
    struct server *s = g_new0(struct server, 1);
    s->journal = entries_new();
    s->calls = g_ptr_array_new_with_free_func(drop_json);
    s->called = g_string_new(NULL);
    effects_init(&s->effects);
    s->budget = -1;
    s->now_us = 1000 * SECOND;
    start(s);
    settle(s);
    apply_ok(s, site_body());
    return s;
}

void server_free(struct server *s)
{
    engine_free(s->engine);
    effects_clear(&s->effects);
    g_clear_pointer(&s->published, resolved_unref);
    g_ptr_array_unref(s->journal);
    json_decref(s->asked);
    g_ptr_array_unref(s->calls);
    g_string_free(s->called, TRUE);
    g_free(s);
}

void add_plan(struct server *s, const char *yaml)
{
    GError *error = NULL;
    g_autoptr(GPtrArray) findings = finding_list_new();
    json_t *body = json_pack("{s:[], s:[]}", "objects", "plans");
    json_t *documents = yamldoc_parse(yaml, strlen(yaml), "test", &error);
    ck_assert_ptr_nonnull(documents);
    yamldoc_collect(documents, "test", body, findings);
    ck_assert_uint_eq(findings->len, 0);
    json_decref(documents);
    apply_ok(s, body);
}

json_t *saying_json(const char *edge, const struct saying *saying)
{
    static const struct {
        const char *room, *via;
    } origins[] = {{"room-a", "pop-a1"}, {"room-a", "pop-a2"}, {"room-b", "pop-b1"}, {"room-b", "pop-b2"}};
    json_t *counters = json_array(), *rows = json_array();
    if (saying->policy != NULL)
        json_array_append_new(counters,
                              json_pack("{s:s, s:s, s:s, s:i, s:i, s:f, s:f}", "policy", saying->policy, "room",
                                        saying->room, "via", "pop-b1", "requests", saying->requests, "failed",
                                        saying->failed, "rate", saying->rate, "fail_rate", saying->fail_rate));
    for (size_t i = 0; i < G_N_ELEMENTS(origins); i++)
        json_array_append_new(rows,
                              json_pack("{s:s, s:s, s:b, s:s, s:i}", "room", origins[i].room, "via", origins[i].via,
                                        "up", !(saying->pops_down && strcmp(origins[i].room, "room-a") == 0), "status",
                                        "L4", "latency_us", saying->latency_us != 0 ? saying->latency_us : 1000));
    json_t *holds = json_array();
    if (saying->holds != NULL)
        json_array_append_new(holds, json_pack("{s:s, s:i, s:I}", "room", saying->holds, "home", (int)saying->home,
                                               "for_us", (json_int_t)(5 * SECOND)));
    return json_pack("{s:s, s:s, s:I, s:{s:I, s:I}, s:s, s:n, s:i, s:o, s:o, s:o, s:[], s:[]}", "edge", edge, "cluster",
                     "two-rooms", "promised", (json_int_t)saying->stamp.epoch, "applied", "epoch",
                     (json_int_t)saying->stamp.epoch, "generation", (json_int_t)saying->stamp.generation, "state",
                     "applied", "error", "window_us", 1000000, "counters", counters, "origins", rows, "holds", holds,
                     "probes", "events");
}

void say(struct server *s, const char *edge, struct saying saying)
{
    GError *error = NULL;
    if (saying.stamp.epoch == 0)
        saying.stamp = s->published->world->stamp;
    json_t *json = saying_json(edge, &saying);
    if (!engine_edge_report(s->engine, edge, json, s->now_us, &s->effects, &error))
        ck_abort_msg("report: %s", error->message);
    json_decref(json);
    settle(s);
}

void say_with(struct server *s, const char *agent, struct stamp stamp, const char *name, json_t *value)
{
    json_t *report = saying_json(agent, &(struct saying){.stamp = stamp});
    GError *error = NULL;
    json_object_set_new(report, name, value);
    ck_assert_msg(engine_edge_report(s->engine, agent, report, s->now_us, &s->effects, &error), "%s",
                  error != NULL ? error->message : "");
    settle(s);
    json_decref(report);
}

void confirm(struct server *s, const char *nameserver, const char *state)
{
    struct server_report *report = g_new0(struct server_report, 1);
    report->server = g_strdup(nameserver);
    report->at_us = report->confirmed_at_us = s->now_us;
    report->state = g_strdup(state);
    if (strcmp(state, "converged") == 0)
        report->confirmed = s->published->world->stamp;
    engine_server_report(s->engine, report, s->now_us, &s->effects);
    settle(s);
}

void say_all(struct server *s)
{
    for (size_t i = 0; i < G_N_ELEMENTS(edges); i++)
        say(s, edges[i], (struct saying){0});
    for (size_t i = 0; i < G_N_ELEMENTS(servers); i++)
        confirm(s, servers[i], "converged");
}

void answer_call(struct server *s, int status, const char *value, const char *error)
{
    ck_assert_uint_gt(s->calls->len, 0);
    json_t *call = g_ptr_array_steal_index(s->calls, 0);
    json_t *result = json_pack("{s:O, s:i, s:s?, s:s?, s:b}", "id", json_object_get(call, "id"), "status", status,
                               "value", value, "error", error, "refused", status == 0 && error == NULL);
    if (status == 0 && error == NULL)
        json_object_set_new(result, "error",
                            json_string("127.0.0.1 is a loopback address, which --call-allow does not hold"));
    engine_call_report(s->engine, result, s->now_us, &s->effects);
    json_decref(result);
    json_decref(call);
    settle(s);
}

char *run_ok(struct server *s, const char *plan, const char *target)
{
    GError *error = NULL;
    json_t *json = engine_run_plan(s->engine, plan, target, NULL, false, &alice, now(s), &s->effects, &error);
    if (json == NULL)
        ck_abort_msg("run: %s", error->message);
    char *id = g_strdup(json_string_value(json_object_get(json, "id")));
    json_decref(json);
    settle(s);
    return id;
}

/* Reading an execution. The strings live as long as the JSON, which the test keeps in `look`. */
json_t *look(const struct server *s, const char *id)
{
    json_t *json = engine_execution(s->engine, id);
    ck_assert_ptr_nonnull(json);
    return json;
}

const char *member(const json_t *json, const char *name)
{
    const char *text = json_string_value(json_object_get(json, name));
    return text == NULL ? "" : text;
}

json_t *status_row(const struct server *s, const char *list, const char *key, const char *value)
{
    json_t *status = engine_status(s->engine, s->now_us), *row, *found = NULL;
    size_t i;
    json_array_foreach (json_object_get(status, list), i, row)
        if (strcmp(member(row, key), value) == 0)
            found = json_incref(row);
    json_decref(status);
    ck_assert_msg(found != NULL, "no row of %s has %s %s", list, key, value);
    return found;
}

const json_t *step_of(const json_t *execution, const char *name)
{
    size_t i;
    json_t *step;
    json_array_foreach (json_object_get(execution, "steps"), i, step)
        if (strcmp(member(step, "name"), name) == 0)
            return step;
    ck_abort_msg("no step %s", name);
    return NULL;
}

static bool has_event(const json_t *execution, const char *text)
{
    size_t i;
    json_t *event;
    json_array_foreach (json_object_get(execution, "events"), i, event)
        if (strstr(member(event, "text"), text) != NULL)
            return true;
    return false;
}

void expect_state(const struct server *s, const char *id, const char *state)
{
    json_t *json = look(s, id);
    if (strcmp(member(json, "state"), state) != 0)
        ck_abort_msg("found %s, expected %s: %s", member(json, "state"), state, json_dumps(json, JSON_INDENT(1)));
    json_decref(json);
}

void expect_event(const struct server *s, const char *id, const char *text)
{
    json_t *json = look(s, id);
    if (!has_event(json, text))
        ck_abort_msg("no event with \"%s\": %s", text, json_dumps(json_object_get(json, "events"), JSON_INDENT(1)));
    json_decref(json);
}

void expect_step(const struct server *s, const char *id, const char *step, const char *state, const char *text)
{
    json_t *json = look(s, id);
    if (strcmp(member(step_of(json, step), "state"), state) != 0)
        ck_abort_msg("step %s: found %s (%s), expected %s", step, member(step_of(json, step), "state"),
                     member(step_of(json, step), "text"), state);
    if (strstr(member(step_of(json, step), "text"), text) == NULL)
        ck_abort_msg("step %s: found \"%s\", expected \"%s\"", step, member(step_of(json, step), "text"), text);
    json_decref(json);
}

const char *lever(const struct server *s, enum lever l, const char *object)
{
    return controls_value(engine_world(s->engine)->controls, l, object);
}

uint64_t generation(const struct server *s)
{
    return engine_world(s->engine)->stamp.generation;
}

json_t *set(struct server *s, const char *control, const char *object, const char *value, int64_t if_match,
            const struct asker *asker, GError **error)
{
    json_t *changes = json_pack("[{s:s, s:s, s:s}]", "control", control, "object", object, "value", value);
    json_t *result = engine_set_controls(s->engine, changes, if_match, false, asker, now(s), &s->effects, error);
    json_decref(changes);
    settle(s);
    return result;
}

void set_ok(struct server *s, const char *control, const char *object, const char *value)
{
    GError *error = NULL;
    json_t *result = set(s, control, object, value, -1, &alice, &error);
    if (result == NULL)
        ck_abort_msg("set: %s", error->message);
    json_decref(result);
}

unsigned count_entries(const struct server *s, const char *kind)
{
    unsigned n = 0;
    for (guint i = 0; i < s->journal->len; i++)
        n += strcmp(((struct journal_entry *)s->journal->pdata[i])->kind, kind) == 0;
    return n;
}

char *run_until(struct server *s, const char *step)
{
    say_all(s);
    char *id = run_ok(s, "room-isolated", "room-a");
    if (strcmp(step, "edges") == 0)
        return id;
    for (size_t i = 0; i < G_N_ELEMENTS(edges); i++)
        say(s, edges[i], (struct saying){0});
    for (size_t i = 0; strcmp(step, "proof") == 0 && i < G_N_ELEMENTS(servers); i++)
        confirm(s, servers[i], "converged");
    return id;
}

const char *const stages[STAGES] = {"edges", "dns", "proof"};

void expect_planned(const struct server *s)
{
    ck_assert_str_eq(lever(s, LEVER_ROOM_INGRESS, "room-a"), "closed");
    ck_assert_str_eq(lever(s, LEVER_GROUP_EDGE_CLASS, "creator"), "dedicated");
    ck_assert_str_eq(lever(s, LEVER_GROUP_EDGE_CLASS, "creator-line"), "dedicated");
    ck_assert_str_eq(lever(s, LEVER_GROUP_EDGE_CLASS, "core"), "default");
}

void expect_undone(const struct server *s)
{
    ck_assert_str_eq(lever(s, LEVER_ROOM_INGRESS, "room-a"), "default");
    ck_assert_str_eq(lever(s, LEVER_GROUP_EDGE_CLASS, "creator"), "default");
    ck_assert_str_eq(lever(s, LEVER_GROUP_EDGE_CLASS, "creator-line"), "default");
}
