/* The black box: a 2 July in memory, recorded. Replayed, as a whole or from a snapshot at any point of it, it gives the
 * same effects, byte for byte, and the same texts for people. */
#include "server/interlocking/incident_case.h"
#include "tests/unit/engine_rig.h"
#include "tests/unit/unit.h"

/* ---- the story ---- */

/* As a replay writes it. */
static void refused(struct server *s, GError *error)
{
    ck_assert_ptr_nonnull(error);
    g_string_append_printf(s->done, "> refused: %s\n", error->message);
    g_error_free(error);
}

static void pass(struct server *s, int64_t after_us)
{
    tick(s, after_us);
    settle(s);
}

static void edges_say(struct server *s, struct saying saying)
{
    for (size_t i = 0; i < G_N_ELEMENTS(edges); i++) {
        s->now_us += SECOND / 50;
        say(s, edges[i], saying);
    }
}

static void servers_confirm(struct server *s)
{
    for (size_t i = 0; i < G_N_ELEMENTS(servers); i++)
        confirm(s, servers[i], "converged");
}

static void run_refused(struct server *s, const char *plan, const char *target)
{
    GError *error = NULL;
    ck_assert_ptr_null(engine_run_plan(s->engine, plan, target, NULL, false, &robot, now(s), &s->effects, &error));
    refused(s, error);
}

static void apply_refused(struct server *s, json_t *body)
{
    GError *error = NULL;
    ck_assert_ptr_null(engine_apply(s->engine, body, false, &alice, now(s), &s->effects, &error));
    refused(s, error);
    json_decref(body);
}

static void set_refused(struct server *s, const char *object, const char *value, int64_t if_match)
{
    GError *error = NULL;
    ck_assert_ptr_null(set(s, "room.ingress", object, value, if_match, &alice, &error));
    refused(s, error);
}

static char *newest_id(const struct server *s)
{
    json_t *all = engine_executions(s->engine);
    char *id = g_strdup(member(json_array_get(all, 0), "id"));
    json_decref(all);
    return id;
}

static void reign(struct server *s)
{
    start(s);
    settle(s);
    for (int i = 0; i < 3; i++)
        say(s, edges[i], (struct saying){0});
    set_ok(s, "service.auto_dr", "home", "on"); /* held until the claim ends */
    g_free(run_ok(s, "failback", "room-a"));    /* nothing is to come back */
}

static void claim_ends(struct server *s)
{
    g_autofree char *id = newest_id(s);
    pass(s, SECOND);
    expect_event(s, id, "unclaimed: edge-4");
}

static void edge_4_comes(struct server *s)
{
    g_autofree char *id = newest_id(s);
    for (int i = 0; i < 2; i++) {
        s->now_us += SECOND / 10;
        say_all(s);
        pass(s, 2 * SECOND);
    }
    say_all(s);
    pass(s, 3 * SECOND);
    expect_state(s, id, "succeeded");
}

static void hole(struct server *s)
{
    edges_say(s, (struct saying){.policy = "core.playback", .room = "room-a", .requests = 90, .rate = 30.25});
    edges_say(s, (struct saying){.policy = "core.playback",
                                 .room = "room-a",
                                 .requests = 200,
                                 .failed = 110,
                                 .rate = 30.1,
                                 .fail_rate = 30.1,
                                 .pops_down = true});
}

static void button(struct server *s)
{
    g_free(run_ok(s, "room-isolated", "room-a"));
    expect_planned(s);
    run_refused(s, "failback", "room-a");
    set_refused(s, "room-b", "closed", -1);
}

static void half_proof(struct server *s)
{
    for (int i = 0; i < 3; i++)
        say(s, edges[i], (struct saying){.pops_down = true});
    confirm(s, "ns-1", "converged");
    confirm(s, "ns-2", "unreachable");
}

static void proof(struct server *s)
{
    edges_say(s, (struct saying){
                     .policy = "core.playback", .room = "room-b", .requests = 70, .rate = 31.5, .pops_down = true});
    servers_confirm(s);
    pass(s, SECOND);
}

/* The rest of the time that is given to counters. */
static void proof_ends(struct server *s)
{
    g_autofree char *id = newest_id(s);
    pass(s, 2 * SECOND);
    expect_state(s, id, "succeeded");
}

static void way_back(struct server *s)
{
    g_autofree char *id = run_ok(s, "failback", "room-a");
    edges_say(s, (struct saying){.pops_down = true});
    edges_say(s, (struct saying){0});
    pass(s, SECOND);
    edges_say(s, (struct saying){0});
    pass(s, 2 * SECOND);
    say_all(s);
    pass(s, 3 * SECOND);
    expect_state(s, id, "succeeded");
    expect_undone(s);
}

static void pin_keys(struct server *s, const char *act, char letter)
{
    GError *error = NULL;
    g_autofree char *secret = g_strdup_printf("%.34sofasecret%c", "abcdefghijklmnopqrstuvwxyz0123456789", letter);
    json_t *body = json_pack("{s:s}", "act", act);
    json_t *json = engine_pin_keys(s->engine, body, secret, &alice, now(s), &s->effects, &error);
    ck_assert_ptr_nonnull(json);
    json_decref(json);
    json_decref(body);
    settle(s);
}

/* Keys, and pins of them: no secret is told, nor is what is signed. */
static void pins(struct server *s)
{
    GError *error = NULL;
    json_t *body = json_pack("{s:s, s:s, s:i}", "room", "room-b", "purpose", "staff", "for_s", 60);
    ck_assert_ptr_null(engine_pin_issue(s->engine, body, &alice, now(s), &s->effects, &error));
    refused(s, error);
    pin_keys(s, "rotate", 'x');
    pin_keys(s, "rotate", 'y');
    json_t *pin = engine_pin_issue(s->engine, body, &alice, now(s), &s->effects, &error);
    ck_assert_ptr_nonnull(pin);
    settle(s);
    json_decref(pin);
    json_decref(body);
}

static void second_button(struct server *s)
{
    say_all(s);
    g_free(run_ok(s, "room-isolated", "room-a"));
    set_ok(s, "group.edge_class", "creator", "public"); /* an override */
    say(s, "edge-1", (struct saying){0});
}

/* The process ends and begins again in the middle of the plan. */
static void restart(struct server *s)
{
    start(s);
    settle(s);
    edges_say(s, (struct saying){0});
}

static void abort_second(struct server *s)
{
    GError *error = NULL;
    g_autofree char *id = newest_id(s);
    json_t *json = engine_abort(s->engine, id, &alice, now(s), &s->effects, &error);
    ck_assert_ptr_nonnull(json);
    json_decref(json);
    settle(s);
    for (int i = 0; i < 3; i++)
        say(s, edges[i], (struct saying){0});
    pass(s, SECOND);
    expect_state(s, id, "aborting");
}

static void undo_without_edge_4(struct server *s)
{
    g_autofree char *id = newest_id(s);
    pass(s, 14 * SECOND);
    expect_state(s, id, "aborted");
    expect_event(s, id, "waiting for edge-4");
    s->now_us += SECOND;
    say(s, "edge-4", (struct saying){0});
    expect_event(s, id, "late");
}

static json_t *zone(const char *name)
{
    return json_pack("{s:[{s:s, s:s}]}", "objects", "kind", "zone", "name", name);
}

static void changes(struct server *s)
{
    GError *error = NULL;
    json_t *body = zone("zone-3");
    json_t *dry = engine_apply(s->engine, body, true, &alice, now(s), &s->effects, &error);
    ck_assert_ptr_nonnull(dry);
    json_decref(dry);
    apply_ok(s, body);
    apply_refused(s, zone("z;"));
    apply_refused(s, json_pack("{s:[s]}", "remove", "room/room-a"));
    apply_refused(s, json_pack("{s:{s:i}}", "if_match", "pop/pop-a1", 9));
    set_ok(s, "room.ingress", "room-a", "closed");
    set_refused(s, "room-a", "open", 1);
    set_ok(s, "service.auto_dr", "home", "off");
    engine_journal(s->engine, journal_entry_new("token", "t-1", NULL, json_pack("{s:s}", "hash", "of-a-secret")),
                   "token created", &alice, now(s), &s->effects);
    settle(s);
}

static void (*const story[])(struct server *s) = {
    reign,    claim_ends, edge_4_comes,  hole,    button,       half_proof,          proof,  proof_ends,
    way_back, pins,       second_button, restart, abort_second, undo_without_edge_4, changes};

/* ---- recording and replay ---- */

/* What people see at the end. */
static char *texts(const struct engine *engine, int64_t now_us)
{
    GString *out = g_string_new(NULL);
    json_t *all = engine_executions(engine), *status = engine_status(engine, now_us);
    size_t i;
    json_t *row;
    record_input(out, status);
    json_array_foreach (all, i, row) {
        json_t *execution = engine_execution(engine, member(row, "id"));
        record_input(out, execution);
        json_decref(execution);
    }
    json_decref(all);
    json_decref(status);
    return g_string_free(out, FALSE);
}

/* What was told and done in the story, and, if `at` >= 0, a snapshot after that part of it and what came later. */
struct recording {
    GString *inputs, *done;
    GString *later_inputs;
    gsize later_done; /* in done */
    char *texts;
    int64_t now_us;
};

static struct recording record(int at)
{
    struct recording r = {g_string_new(NULL), g_string_new(NULL), g_string_new(NULL), 0, NULL, 0};
    struct server *s = server_new();
    gsize from = 0;
    s->inputs = r.inputs;
    s->done = r.done;
    for (int i = 0; i < (int)G_N_ELEMENTS(story); i++) {
        s->now_us += SECOND / 10;
        story[i](s);
        if (i != at)
            continue;
        struct engine_snapshot *snapshot = engine_snapshot_new(s->engine);
        engine_snapshot_emit(snapshot, record_input, r.later_inputs);
        engine_snapshot_free(snapshot);
        from = r.inputs->len;
        r.later_done = r.done->len;
    }
    g_string_append(r.later_inputs, r.inputs->str + from);
    r.texts = texts(s->engine, s->now_us);
    r.now_us = s->now_us;
    server_free(s);
    return r;
}

static void recording_clear(struct recording *r)
{
    g_string_free(r->inputs, TRUE);
    g_string_free(r->done, TRUE);
    g_string_free(r->later_inputs, TRUE);
    g_free(r->texts);
}

/* *last: the engine as it is at the end, if last is not NULL. */
static char *replay(const char *inputs, struct engine **last)
{
    g_auto(GStrv) lines = g_strsplit(inputs, "\n", -1);
    GString *done = g_string_new(NULL);
    struct engine *engine = NULL;
    for (char **line = lines; *line != NULL && **line != '\0'; line++) {
        g_autoptr(GError) error = NULL;
        json_t *input = json_loads(*line, 0, NULL);
        if (!incident_input(&engine, input, done, &error))
            ck_abort_msg("%s: %s", *line, error->message);
        json_decref(input);
    }
    if (last != NULL)
        *last = g_steal_pointer(&engine);
    engine_free(engine);
    return g_string_free(done, FALSE);
}

static void expect_replay(const struct recording *r, const char *inputs, const char *expected)
{
    struct engine *last = NULL;
    g_autofree char *done = replay(inputs, &last), *seen = texts(last, r->now_us);
    unit_same_text(done, expected);
    unit_same_text(seen, r->texts);
    engine_free(last);
}

START_TEST(replay_is_the_same)
{
    struct recording r = record(-1);
    ck_assert_uint_gt(r.done->len, 1000);
    ck_assert_ptr_null(strstr(r.inputs->str, "of-a-secret"));
    ck_assert_ptr_null(strstr(r.inputs->str, "ofasecret"));
    expect_replay(&r, r.inputs->str, r.done->str);
    recording_clear(&r);
}
END_TEST

START_TEST(replay_from_a_snapshot_is_the_same)
{
    struct recording r = record(_i);
    expect_replay(&r, r.later_inputs->str, r.done->str + r.later_done);
    recording_clear(&r);
}
END_TEST

/* A tick is recorded only if it had an effect: so none can be left out. */
START_TEST(every_tick_counts)
{
    static const char mark[] = "{\"in\":\"tick\"";
    struct recording r = record(-1);
    unsigned ticks = 0;
    for (const char *at = r.inputs->str; (at = strstr(at, mark)) != NULL; at = strchr(at, '\n')) {
        g_autoptr(GString) without = g_string_new_len(r.inputs->str, at - r.inputs->str);
        g_string_append(without, strchr(at, '\n'));
        g_autofree char *done = replay(without->str, NULL);
        if (strcmp(done, r.done->str) == 0)
            ck_abort_msg("nothing changes without %.60s", at);
        ticks++;
    }
    ck_assert_uint_ge(ticks, 4);
    recording_clear(&r);
}
END_TEST

START_TEST(what_is_no_case)
{
    static const char config[] = "{\"in\":\"config\",\"cluster\":\"two-rooms\"}\n";
    static const struct {
        const char *line, *text;
    } rows[] = {{"{", "line 2: "},
                {"[]", "line 2: found \"[]\", expected an input like +1.234567 {...}"},
                {"{\"in\":\"dance\"}", "line 2: "},
                {"{\"in\":\"tick\",\"at\":1}", "line 2: "}, /* before a start */
                {"{\"in\":\"restore\",\"kind\":\"pop\"}", "line 2: "},
                {"{\"in\":\"start\",\"at\":1,\"epoch\":1}\n{\"in\":\"start\",\"at\":1,\"epoch\":2}", "line 3: "},
                {"{\"in\":\"start\",\"at\":1,\"epoch\":1}\n{\"in\":\"abort\",\"at\":1}", "line 3: "}};
    GError *error = NULL;
    ck_assert_ptr_null(incident_run("{\"in\":\"tick\"}", &error));
    expect_error(error, INVALID, "line 1: found no \"config\" before");
    ck_assert_ptr_null(incident_run("{\"in\":\"config\"}", &error));
    expect_error(error, INVALID, "line 1: ");
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *text = g_strconcat(config, rows[i].line, NULL);
        ck_assert_ptr_null(incident_run(text, &error));
        expect_error(error, INVALID, rows[i].text);
    }
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, replay_is_the_same);
    tcase_add_loop_test(tcase, replay_from_a_snapshot_is_the_same, 0, (int)G_N_ELEMENTS(story));
    tcase_add_test(tcase, every_tick_counts);
    tcase_add_test(tcase, what_is_no_case);
}

int main(void)
{
    return unit_run("incident", add);
}
