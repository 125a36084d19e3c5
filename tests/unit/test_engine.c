/* The engine against a journal in memory and reports that the test writes: what it decides in a run of a plan. Changes
 * of the inventory and of levers are in test_engine_apply.c, the way back in test_engine_abort.c. */
#include "tests/unit/engine_rig.h"
#include "tests/unit/unit.h"

/* The edge has applied what it is to have, and a person there has closed a room besides. */
static void say_closed_by_hand(struct server *s, const char *edge, const char *room)
{
    json_t *json = saying_json(edge, &(struct saying){.stamp = s->published->world->stamp});
    json_object_set_new(json, "break_glass",
                        json_pack("[{s:s, s:s, s:s, s:s, s:I, s:I}]", "verb", "override", "room", room, "by", "uid:0",
                                  "reason", "it answers nonsense", "since_us", (json_int_t)1719900000 * SECOND,
                                  "until_us", (json_int_t)1719901800 * SECOND));
    GError *error = NULL;
    ck_assert_msg(engine_edge_report(s->engine, edge, json, s->now_us, &s->effects, &error), "%s",
                  error != NULL ? error->message : "");
    settle(s);
    json_decref(json);
}

static void expect_warning(struct server *s, const char *text)
{
    json_t *status = engine_status(s->engine, s->now_us);
    g_autofree char *warnings = json_dumps(json_object_get(status, "warnings"), 0);
    ck_assert_msg(strstr(warnings, text) != NULL, "%s not in %s", text, warnings);
    json_decref(status);
}

START_TEST(plan_converges_edge_by_edge)
{
    struct server *s = server_new();
    start(s); /* so that there was a reign before */
    settle(s);
    say_all(s);
    g_autofree char *id = run_ok(s, "room-isolated", "room-a");
    expect_planned(s);
    g_autofree char *cause = g_strdup_printf("%s/move-out/set", id);
    ck_assert_str_eq(s->published->world->cause, cause);
    expect_step(s, id, "edges", "running", "converging 0/4");
    for (int i = 0; i < 3; i++)
        say(s, edges[i], (struct saying){0});
    expect_step(s, id, "edges", "running", "converging 3/4, waiting for edge-4");
    expect_state(s, id, "running");
    say(s, "edge-4", (struct saying){.stamp = {.epoch = s->epoch, .generation = generation(s) - 1}});
    expect_step(s, id, "edges", "running", "converging 3/4"); /* an older generation proves nothing */
    say(s, "edge-4", (struct saying){.stamp = {.epoch = s->epoch - 1, .generation = 99}});
    expect_step(s, id, "edges", "running", "converging 3/4"); /* nor does another reign's */
    say_closed_by_hand(s, "edge-4", "room-b");
    expect_step(s, id, "edges", "running", "converging 3/4"); /* nor one that is closed otherwise there */
    expect_warning(s, "edge-4 has closed room-b by hand there, by uid:0 until 2024-07-02 ");
    s->now_us += SECOND;
    say(s, "edge-4", (struct saying){0});
    expect_step(s, id, "edges", "succeeded", "4/4 edges applied generation 3");
    confirm(s, "ns-1", "converged");
    confirm(s, "ns-2", "unreachable");
    expect_step(s, id, "dns", "running", "1 of 2 primaries, 0 of 1 secondaries, waiting for ns-2 (unreachable), ns-3");
    confirm(s, "ns-2", "converged");
    confirm(s, "ns-3", "converged");
    expect_step(s, id, "dns", "succeeded", "2 of 2 primaries, 1 of 1 secondaries");
    expect_step(s, id, "proof", "running", "");
    tick(s, 3 * SECOND); /* no requests and no probes: it says so and does not hang */
    settle(s);
    expect_step(s, id, "proof", "succeeded",
                "16 unproven: core.playback at edge-1, core.playback at edge-2, creator.creator at edge-1");
    expect_state(s, id, "succeeded");
    json_t *json = look(s, id);
    ck_assert_int_eq(json_integer_value(json_object_get(json_object_get(json, "times"), "execute")), 0);
    ck_assert_int_eq(json_integer_value(json_object_get(json_object_get(json, "times"), "converge")), SECOND);
    ck_assert_int_eq(json_integer_value(json_object_get(json_object_get(json, "times"), "recover")), 3 * SECOND);
    ck_assert_int_eq(json_integer_value(json_object_get(json, "unproven")), 8); /* policies, each at two edges */
    json_decref(json);
    expect_event(s, id, "succeeded, 8 policies unproven");
    server_free(s);
}
END_TEST

START_TEST(straggler_makes_it_incomplete)
{
    struct server *s = server_new();
    say_all(s);
    g_autofree char *id = run_ok(s, "room-isolated", "room-a");
    for (size_t i = 0; i < G_N_ELEMENTS(edges); i++)
        if (i != 1)
            say(s, edges[i], (struct saying){0});
    for (size_t i = 0; i < G_N_ELEMENTS(servers); i++)
        confirm(s, servers[i], "converged");
    tick(s, 15 * SECOND - 1);
    settle(s);
    expect_state(s, id, "running");
    tick(s, 1);
    settle(s);
    expect_state(s, id, "incomplete");
    expect_step(s, id, "edges", "timed-out", "converging 3/4, waiting for edge-2, not within 15.0 s");
    expect_step(s, id, "proof", "skipped", "");
    json_t *json = look(s, id);
    ck_assert_str_eq(json_string_value(json_array_get(json_object_get(step_of(json, "edges"), "stragglers"), 0)),
                     "edge-2");
    json_decref(json);
    start(s); /* the server forgets none of it */
    settle(s);
    s->now_us += 31 * SECOND;
    say(s, "edge-2", (struct saying){0});
    expect_event(s, id, "edge-2 applied generation 3, 31.0 s late");
    expect_state(s, id, "incomplete");
    json = look(s, id);
    guint events = (guint)json_array_size(json_object_get(json, "events"));
    json_decref(json);
    say(s, "edge-2", (struct saying){0});
    json = look(s, id);
    ck_assert_uint_eq(json_array_size(json_object_get(json, "events")), events); /* told once */
    json_decref(json);
    server_free(s);
}
END_TEST

/* Whose report it is and which site it is of are said in it; what it says is applied must have been published here. */
START_TEST(reports_of_others_prove_nothing)
{
    struct server *s = server_new();
    GError *error = NULL;
    say_all(s);
    g_autofree char *id = run_ok(s, "room-isolated", "room-a");
    struct stamp stamp = s->published->world->stamp;
    const struct {
        json_t *cluster;
        enum sb_error kind;
        const char *text;
    } rows[] = {
        {json_string("three-rooms"), SB_ERROR_CONFLICT, "cluster: found \"three-rooms\", expected \"two-rooms\""},
        {json_integer(3), SB_ERROR_INVALID, "cluster: found 3, expected \"two-rooms\""},
        {NULL, SB_ERROR_INVALID, "cluster: found nothing, expected \"two-rooms\""}};
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        json_t *json = saying_json("edge-1", &(struct saying){.stamp = stamp});
        json_object_del(json, "cluster");
        if (rows[i].cluster != NULL)
            json_object_set_new(json, "cluster", rows[i].cluster);
        ck_assert(!engine_edge_report(s->engine, "edge-1", json, s->now_us, &s->effects, &error));
        ck_assert_int_eq(error->code, (int)rows[i].kind);
        ck_assert_msg(strstr(error->message, rows[i].text) != NULL, "%s", error->message);
        g_clear_error(&error);
        json_decref(json);
    }
    expect_step(s, id, "edges", "running", "converging 0/4");
    say(s, "edge-2", (struct saying){.stamp = {stamp.epoch + 1, stamp.generation}});
    say(s, "edge-3", (struct saying){.stamp = {stamp.epoch, stamp.generation + 1}});
    say(s, "edge-4", (struct saying){.stamp = {stamp.epoch, stamp.generation - 1}});
    expect_step(s, id, "edges", "running", "converging 0/4");
    say(s, "edge-2", (struct saying){0});
    expect_step(s, id, "edges", "running", "converging 1/4");
    server_free(s);
}
END_TEST

static void say_wrong(struct server *s, const char *room, unsigned requests, unsigned failed)
{
    say(s, "edge-1",
        (struct saying){.policy = "core.playback", .room = room, .requests = requests, .failed = failed, .rate = 10});
}

START_TEST(counters_contradict)
{
    struct server *s = server_new();
    say_all(s);
    g_autofree char *id = run_ok(s, "room-isolated", "room-a");
    say_all(s);
    say_wrong(s, "room-a", 100, 0);
    tick(s, 4 * SECOND);
    settle(s);
    expect_step(s, id, "proof", "running", "");
    tick(s, 12 * SECOND);
    settle(s);
    expect_step(s, id, "proof", "timed-out",
                "contradicted: core.playback at edge-1 (0 of 100 requests answered as intended)");
    expect_state(s, id, "incomplete");
    server_free(s);
}
END_TEST

/* An acknowledgement that is a lie: the stamp is right, requests or probes are still answered by the closed room, or
 * nothing at all can be seen. Where it is contradicted the run does not succeed, and the edge is named either way. */
START_TEST(a_forged_acknowledgement_is_caught)
{
    static const struct {
        unsigned requests;
        const char *probe, *state, *text;
    } rows[] = {
        {100, NULL, "timed-out", "contradicted: core.playback at edge-1 (0 of 100 requests answered as intended)"},
        {100, "room-b", "timed-out", "contradicted: core.playback at edge-1 (0 of 100"},
        {5, "room-a", "timed-out", "contradicted: core.playback at edge-1 (a probe was answered by room-a)"},
        {0, NULL, "succeeded", "core.playback at edge-1"},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        GError *error = NULL;
        struct server *s = server_new();
        say_all(s);
        g_autofree char *id = run_ok(s, "room-isolated", "room-a");
        say_all(s);
        json_t *json = saying_json("edge-1", &(struct saying){.stamp = s->published->world->stamp,
                                                              .policy = "core.playback",
                                                              .room = "room-a",
                                                              .requests = rows[i].requests,
                                                              .rate = rows[i].requests / 10.0});
        if (rows[i].probe != NULL)
            json_object_set_new(json, "probes",
                                json_pack("[{s:s,s:s}]", "policy", "core.playback", "room", rows[i].probe));
        ck_assert(engine_edge_report(s->engine, "edge-1", json, s->now_us, &s->effects, &error));
        json_decref(json);
        for (unsigned k = 0; k < 2; k++) {
            tick(s, (4 + 8 * k) * SECOND);
            settle(s);
        }
        expect_step(s, id, "proof", rows[i].state, rows[i].text);
        if (strcmp(rows[i].state, "timed-out") == 0)
            expect_state(s, id, "incomplete");
        server_free(s);
    }
}
END_TEST

/* Whatever the counters say: while an edge holds a room away by itself, what the table says of that room is not what
 * its users get. A room that the table does not use any more may be held. */
START_TEST(a_room_that_an_edge_holds_away_is_no_proof)
{
    static const struct {
        const char *holds, *state, *text;
    } rows[] = {
        {"room-b", "timed-out",
         "contradicted: core.playback at edge-1 (holds room-b away by itself, 300 of 1000 slots are home)"},
        {"room-a", "succeeded", "unproven: core.playback at edge-2,"}, /* and not at edge-1 */
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        struct server *s = server_new();
        say_all(s);
        g_autofree char *id = run_ok(s, "room-isolated", "room-a");
        say_all(s);
        say(s, "edge-1",
            (struct saying){.policy = "core.playback",
                            .room = "room-b",
                            .requests = 100,
                            .rate = 10,
                            .holds = rows[i].holds,
                            .home = 300});
        for (unsigned k = 0; k < 2; k++) {
            tick(s, (4 + 8 * k) * SECOND);
            settle(s);
        }
        expect_step(s, id, "proof", rows[i].state, rows[i].text);
        server_free(s);
    }
}
END_TEST

START_TEST(counters_prove)
{
    struct server *s = server_new();
    say_all(s);
    g_autofree char *id = run_ok(s, "room-isolated", "room-a");
    say_all(s);
    const struct saying failing = {
        .policy = "core.playback", .room = "room-b", .requests = 100, .failed = 2, .rate = 10, .fail_rate = 0.2};
    say(s, "edge-1", failing); /* 98 % is not enough */
    tick(s, 4 * SECOND);
    settle(s);
    expect_step(s, id, "proof", "running", "");
    say_wrong(s, "room-b", 1000, 2);
    expect_step(s, id, "proof", "succeeded", "unproven");
    json_t *json = look(s, id);
    ck_assert_ptr_null(strstr(member(step_of(json, "proof"), "text"), "core.playback at edge-1"));
    ck_assert_ptr_nonnull(strstr(member(step_of(json, "proof"), "text"), "core.playback at edge-2"));
    json_decref(json);
    server_free(s);
}
END_TEST

/* Requests that were under way at the switch fail after it: what comes then is what counts. */
START_TEST(counters_prove_when_failures_are_over)
{
    struct server *s = server_new();
    say_all(s);
    g_autofree char *id = run_ok(s, "room-isolated", "room-a");
    say_all(s);
    say(s, "edge-1",
        (struct saying){
            .policy = "core.playback", .room = "room-b", .requests = 40, .failed = 5, .rate = 20, .fail_rate = 2});
    tick(s, 4 * SECOND);
    settle(s);
    say_wrong(s, "room-b", 49, 5); /* too few to say so */
    say_wrong(s, "room-b", 100, 5);
    expect_step(s, id, "proof", "succeeded", "");
    server_free(s);
}
END_TEST

START_TEST(run_is_refused)
{
    struct server *s = server_new();
    GError *error = NULL;
    say_all(s);
    static const struct {
        const char *plan, *target, *text;
        enum sb_error kind;
    } rows[] = {{"none", "room-a", "plan none", SB_ERROR_NOT_FOUND},
                {"room-isolated", NULL, "expected the name of a room", SB_ERROR_INVALID},
                {"room-isolated", "room-x", "found \"room-x\"", SB_ERROR_NOT_FOUND}};
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        ck_assert_ptr_null(
            engine_run_plan(s->engine, rows[i].plan, rows[i].target, NULL, false, &alice, now(s), &s->effects, &error));
        ck_assert_int_eq(error->code, (int)rows[i].kind);
        ck_assert_ptr_nonnull(strstr(error->message, rows[i].text));
        g_clear_error(&error);
    }
    ck_assert_ptr_null(
        engine_run_plan(s->engine, "room-isolated", "room-a", NULL, false, &robot, now(s), &s->effects, &error));
    expect_error(error, REFUSED, "forecast-known");
    g_autofree char *id = run_ok(s, "room-isolated", "room-a");
    expect_event(s, id, "warning: no fresh rates");
    ck_assert_ptr_null(
        engine_run_plan(s->engine, "failback", "room-a", NULL, false, &alice, now(s), &s->effects, &error));
    expect_error(error, CONFLICT, id);
    ck_assert_ptr_null(
        engine_run_plan(s->engine, "room-isolated", "room-b", NULL, false, &alice, now(s), &s->effects, &error));
    expect_error(error, REFUSED, "last-open");
    ck_assert_ptr_null(set(s, "room.ingress", "room-a", "open", -1, &robot, &error));
    expect_error(error, CONFLICT, id);
    server_free(s);
}
END_TEST

START_TEST(dry_run_changes_nothing)
{
    struct server *s = server_new();
    GError *error = NULL;
    guint written = s->journal->len;
    json_t *dry =
        engine_run_plan(s->engine, "room-isolated", "room-a", NULL, true, &alice, now(s), &s->effects, &error);
    ck_assert_ptr_nonnull(dry);
    const json_t *sets = json_object_get(step_of(dry, "to-lines"), "sets");
    ck_assert_uint_eq(json_array_size(sets), 2);
    ck_assert_str_eq(member(json_array_get(sets, 0), "object"), "creator");
    ck_assert_str_eq(member(json_array_get(sets, 0), "before"), "default");
    ck_assert_str_ne(member(json_object_get(dry, "forecast"), "text"), "");
    json_decref(dry);
    ck_assert_ptr_null(effects_pop(&s->effects));
    ck_assert_uint_eq(s->journal->len, written);
    json_t *executions = engine_executions(s->engine);
    ck_assert_uint_eq(json_array_size(executions), 0);
    json_decref(executions);
    server_free(s);
}
END_TEST

/* The precheck of a dry run; it must be there. */
static const json_t *check_of(const json_t *dry, const char *name)
{
    const json_t *check;
    size_t i;
    json_array_foreach (json_object_get(dry, "checks"), i, check)
        if (strcmp(member(check, "name"), name) == 0)
            return check;
    ck_abort_msg("no check %s", name);
}

static json_t *try_plan(struct server *s, const char *plan, const struct asker *asker)
{
    GError *error = NULL;
    json_t *dry = engine_run_plan(s->engine, plan, "room-a", NULL, true, asker, now(s), &s->effects, &error);
    ck_assert_msg(dry != NULL, "%s", error != NULL ? error->message : "");
    return dry;
}

static void expect_check(struct server *s, const char *plan, const struct asker *asker, const char *name,
                         const char *state, const char *value)
{
    json_t *dry = try_plan(s, plan, asker);
    const json_t *check = check_of(dry, name);
    ck_assert_msg(strcmp(member(check, "state"), state) == 0 && strstr(member(check, "value"), value) != NULL,
                  "%s: found %s, %s", name, member(check, "state"), member(check, "value"));
    ck_assert(strcmp(state, "pass") == 0 || json_is_string(json_object_get(check, "mend")));
    json_decref(dry);
}

START_TEST(prechecks_say_what_was_found_and_what_mends_it)
{
    struct server *s = server_new();
    struct saying busy = {.policy = "core.playback", .room = "room-a", .requests = 100, .rate = 50};
    for (size_t i = 0; i < G_N_ELEMENTS(servers); i++)
        confirm(s, servers[i], "converged");
    expect_check(s, "room-isolated", &alice, "figures", "warn", "0 of 4 edges report; not edge-1, edge-2");
    expect_check(s, "room-isolated", &alice, "share-moved", "warn", "not known");
    say_all(s);
    say(s, "edge-1", busy);
    tick(s, SECOND);
    json_t *dry = try_plan(s, "room-isolated", &alice);
    const json_t *figures = check_of(dry, "figures");
    ck_assert_str_eq(member(figures, "state"), "pass");
    ck_assert_int_eq(json_integer_value(json_object_get(figures, "age_ms")), 1000);
    ck_assert_str_eq(member(check_of(dry, "share-moved"), "state"), "block");
    ck_assert(json_is_true(json_object_get(check_of(dry, "share-moved"), "override")));
    ck_assert_str_eq(member(check_of(dry, "last-open"), "limit"), "at least 1");
    ck_assert_str_eq(member(check_of(dry, "capacity-kept"), "mend"),
                     "write capacity of rooms and POPs into the inventory");
    ck_assert_str_eq(member(check_of(dry, "room-open"), "state"), "pass");
    ck_assert_str_eq(member(check_of(dry, "entrances of room-b"), "value"), "2 of 2 up");
    /* What lives there alone stays, by the lines. */
    const json_t *stays = json_object_get(dry, "stays"), *creator = json_array_get(stays, 0);
    ck_assert_uint_eq(json_array_size(stays), 2);
    ck_assert_str_eq(member(json_array_get(stays, 1), "service"), "upload");
    ck_assert_str_eq(member(json_array_get(stays, 1), "road"), "creator over dedicated edges and lines");
    ck_assert_str_eq(member(creator, "service"), "creator");
    ck_assert_str_eq(member(creator, "road"),
                     "creator over dedicated edges and lines; creator-line over dedicated edges and lines");
    ck_assert(json_is_true(json_object_get(creator, "reached")));
    json_decref(dry);
    const struct asker bold = {
        .actor = "alice", .reason = "x", .overrides = (const char *const[]){"share-moved", NULL}};
    expect_check(s, "room-isolated", &bold, "share-moved", "warn", "passed over");
    expect_check(s, "failback", &alice, "entrances-healthy", "warn", "0 of 2 entrances of room-a healthy");
    set_ok(s, "room.ingress", "room-b", "closed");
    expect_check(s, "room-isolated", &alice, "room-open", "block", "no other room can take the traffic of room-a");
    expect_check(s, "room-isolated", &alice, "last-open", "block", "0 of 2 rooms would be open");
    expect_check(s, "room-isolated", &alice, "edges", "warn", "edge-1");
    set_ok(s, "room.ingress", "room-b", "open");
    g_autofree char *id = run_until(s, "edges");
    expect_check(s, "room-isolated", &alice, "levers", "block", id);
    server_free(s);
}
END_TEST

START_TEST(room_open_refuses_with_figures)
{
    struct server *s = server_new();
    const struct asker overriding = {.actor = "alice", .overrides = (const char *const[]){"last-open", NULL}};
    GError *error = NULL;
    say_all(s);
    set_ok(s, "room.ingress", "room-b", "closed");
    json_t *json =
        engine_run_plan(s->engine, "room-isolated", "room-a", NULL, false, &overriding, now(s), &s->effects, &error);
    ck_assert_ptr_nonnull(json);
    settle(s);
    expect_state(s, member(json, "id"), "refused");
    expect_step(s, member(json, "id"), "other-room", "refused",
                "no other room can take the traffic of room-a: room-b: compute open, ingress closed");
    ck_assert_uint_eq(generation(s), 2);
    json_decref(json);
    server_free(s);
}
END_TEST

START_TEST(failback_waits_for_health)
{
    struct server *s = server_new();
    set_ok(s, "room.ingress", "room-a", "closed");
    for (size_t i = 0; i < G_N_ELEMENTS(edges); i++)
        say(s, edges[i], (struct saying){.pops_down = true});
    g_autofree char *id = run_ok(s, "failback", "room-a");
    expect_step(s, id, "healthy", "running", "0 of 2 entrances of room-a healthy: pop-a1 up for 2 s at 0 of 2 edges");
    s->now_us += SECOND;
    say_all(s);
    expect_step(s, id, "healthy", "running", "");
    tick(s, 2 * SECOND);
    settle(s);
    expect_step(s, id, "healthy", "succeeded", "2 of 2 entrances of room-a healthy");
    ck_assert_str_eq(lever(s, LEVER_ROOM_INGRESS, "room-a"), "default");
    server_free(s);
}
END_TEST

START_TEST(failback_is_refused_when_sick)
{
    struct server *s = server_new();
    set_ok(s, "room.ingress", "room-a", "closed");
    for (size_t i = 0; i < G_N_ELEMENTS(edges); i++)
        say(s, edges[i], (struct saying){.pops_down = true});
    g_autofree char *id = run_ok(s, "failback", "room-a");
    for (int i = 0; i < 15; i++) {
        s->now_us += SECOND;
        say(s, "edge-1", (struct saying){.pops_down = true});
    }
    expect_state(s, id, "refused");
    ck_assert_str_eq(lever(s, LEVER_ROOM_INGRESS, "room-a"), "closed");
    server_free(s);
}
END_TEST

START_TEST(status_is_whole)
{
    struct server *s = server_new();
    say_all(s);
    g_free(run_ok(s, "room-isolated", "room-a"));
    json_t *status = engine_status(s->engine, s->now_us), *agents = engine_agents(s->engine, s->now_us);
    ck_assert_uint_eq(json_array_size(json_object_get(status, "rooms")), 2);
    ck_assert_uint_eq(json_array_size(json_object_get(status, "entrances")), 6);
    ck_assert_uint_eq(json_array_size(json_object_get(status, "edges")), 4);
    ck_assert_uint_eq(json_array_size(json_object_get(status, "servers")), 3);
    ck_assert_uint_eq(json_array_size(json_object_get(status, "services")), 4);
    ck_assert_uint_eq(json_array_size(json_object_get(status, "executions")), 1);
    ck_assert_uint_eq(json_array_size(json_object_get(status, "warnings")), 0);
    ck_assert_str_eq(member(json_array_get(json_object_get(status, "rooms"), 0), "ingress"), "closed");
    ck_assert_str_eq(member(json_array_get(json_object_get(status, "rooms"), 1), "ingress"), "open");
    ck_assert_str_eq(member(json_array_get(json_object_get(status, "rooms"), 1), "compute"), "open");
    ck_assert_str_eq(member(json_array_get(json_object_get(status, "entrances"), 0), "control"), "in");
    ck_assert_uint_eq(json_array_size(agents), 7);
    json_decref(status);
    json_decref(agents);

    say(s, "edge-1", (struct saying){.holds = "room-b", .home = 400});
    say(s, "edge-3", (struct saying){.holds = "room-b", .home = 200});
    status = engine_status(s->engine, s->now_us);
    ck_assert(json_is_null(json_object_get(json_array_get(json_object_get(status, "rooms"), 0), "held")));
    g_autoptr(GDateTime) since = g_date_time_new_from_unix_utc((now(s).wall_us - 5 * SECOND) / SECOND);
    g_autofree char *time = g_date_time_format(since, "%H:%M:%S");
    g_autofree char *held =
        g_strdup_printf("held away by 2 of 4 edges themselves since %s UTC, 20 to 40 %% home", time);
    g_autofree char *warning = g_strconcat("room-b: ", held, NULL);
    ck_assert_str_eq(member(json_array_get(json_object_get(status, "rooms"), 1), "held"), held);
    ck_assert_str_eq(json_string_value(json_array_get(json_object_get(status, "warnings"), 0)), warning);
    ck_assert_str_eq(member(json_array_get(json_object_get(status, "edges"), 0), "holds"), "room-b, 40 % home");
    json_decref(status);

    /* Old figures are named and left out, also while the engine is told nothing, as by a past that is replayed. */
    status = engine_status(s->engine, s->now_us + 6 * SECOND);
    ck_assert_uint_eq(json_array_size(json_object_get(status, "warnings")), 4);
    const json_t *pop = json_array_get(json_object_get(status, "entrances"), 0);
    ck_assert_int_eq(json_integer_value(json_object_get(pop, "seen")), 0);
    ck_assert(json_is_null(json_object_get(json_array_get(json_object_get(status, "rooms"), 1), "held")));
    json_decref(status);
    server_free(s);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, plan_converges_edge_by_edge);
    tcase_add_test(tcase, straggler_makes_it_incomplete);
    tcase_add_test(tcase, reports_of_others_prove_nothing);
    tcase_add_test(tcase, counters_contradict);
    tcase_add_test(tcase, a_forged_acknowledgement_is_caught);
    tcase_add_test(tcase, counters_prove_when_failures_are_over);
    tcase_add_test(tcase, a_room_that_an_edge_holds_away_is_no_proof);
    tcase_add_test(tcase, counters_prove);
    tcase_add_test(tcase, run_is_refused);
    tcase_add_test(tcase, dry_run_changes_nothing);
    tcase_add_test(tcase, prechecks_say_what_was_found_and_what_mends_it);
    tcase_add_test(tcase, room_open_refuses_with_figures);
    tcase_add_test(tcase, failback_waits_for_health);
    tcase_add_test(tcase, failback_is_refused_when_sick);
    tcase_add_test(tcase, status_is_whole);
}

int main(void)
{
    return unit_run("engine", add);
}
