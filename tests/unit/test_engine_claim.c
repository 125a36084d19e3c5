/* A new reign claims every edge before its first act, waits for it no longer than it says, and names who is missing. */
#include "tests/unit/engine_rig.h"
#include "tests/unit/unit.h"

static struct server *restarted(void)
{
    struct server *s = server_new();
    start(s);
    settle(s);
    return s;
}

static bool is_published(const struct server *s, uint64_t generation)
{
    return s->published->world->stamp.generation == generation && s->published->world->stamp.epoch == s->epoch;
}

static void expect_pending(struct server *s, const char *value, bool expected)
{
    json_t *result = set(s, "service.auto_dr", "home", value, -1, &alice, NULL);
    ck_assert(json_is_true(json_object_get(result, "pending")) == expected);
    json_decref(result);
}

START_TEST(first_act_waits_for_every_promise)
{
    struct server *s = restarted();
    ck_assert(is_published(s, 1)); /* the claim */
    g_autofree char *id = run_ok(s, "room-isolated", "room-a");
    expect_pending(s, "on", true); /* a person's lever: written and answered, not given to anybody */
    ck_assert_uint_eq(generation(s), 4);
    for (int i = 0; i < 3; i++)
        say(s, edges[i], (struct saying){0});
    ck_assert(is_published(s, 1));
    expect_step(s, id, "edges", "running", "claiming 3/4 edges before the first act");
    say(s, "edge-4", (struct saying){.stamp = {s->epoch - 1, 1}}); /* a promise of the reign before is none */
    ck_assert(is_published(s, 1));
    say(s, "edge-4", (struct saying){0});
    ck_assert(is_published(s, 4)); /* at once, and as one */
    ck_assert_uint_eq(engine_unclaimed(s->engine)->len, 0);
    expect_step(s, id, "edges", "running", "converging 0/4");
    expect_pending(s, "off", false);
    ck_assert(is_published(s, 5)); /* nothing waits later */
    server_free(s);
}
END_TEST

START_TEST(a_newer_promise_is_a_promise)
{
    struct server *s = restarted();
    set_ok(s, "room.ingress", "room-a", "closed");
    for (size_t i = 0; i < G_N_ELEMENTS(edges); i++)
        say(s, edges[i], (struct saying){.stamp = {s->epoch + 1, 1}});
    ck_assert(is_published(s, 2));
    server_free(s);
}
END_TEST

START_TEST(missing_edges_are_named_after_a_second)
{
    struct server *s = server_new();
    add_plan(s, "plan: dr-on\nsummary: x\nsteps:\n"
                "  - {name: on, set: [{control: service.auto_dr, on: home, value: on}]}\n");
    start(s);
    settle(s);
    g_autofree char *id = run_ok(s, "room-isolated", "room-a");
    for (int i = 0; i < 4; i++)
        if (i != 1)
            say(s, edges[i], (struct saying){0});
    ck_assert_int_eq(engine_tick(s->engine, s->now_us, &s->effects), s->now_us + SECOND); /* it wants to be called */
    tick(s, SECOND - 1);
    settle(s);
    ck_assert(is_published(s, 2));
    tick(s, 1);
    settle(s);
    ck_assert(is_published(s, 4));
    expect_event(s, id, "unclaimed: edge-2, ns-1, ns-2, ns-3: no promise of epoch 2 within 1.0 s of the start");
    confirm(s, "ns-1", "converged");
    confirm(s, "ns-2", "converged");
    confirm(s, "ns-3", "converged");
    ck_assert_uint_eq(engine_unclaimed(s->engine)->len, 1);
    json_t *status = engine_status(s->engine, s->now_us);
    char *text = json_dumps(json_object_get(status, "warnings"), 0);
    ck_assert_ptr_nonnull(strstr(text, "unclaimed: edge-2: no promise"));
    free(text);
    json_decref(status);
    g_autofree char *other = run_ok(s, "dr-on", NULL);
    expect_event(s, other, "unclaimed: edge-2: no promise");
    s->now_us += SECOND;
    say(s, "edge-2", (struct saying){.stamp = {s->epoch, 1}});
    expect_event(s, id, "edge-2 is claimed, 2.0 s after the start");
    ck_assert_uint_eq(engine_unclaimed(s->engine)->len, 0);
    server_free(s);
}
END_TEST

/* Applied without a promise: an older reign could still replace it. */
START_TEST(unclaimed_is_not_converged)
{
    struct server *s = server_new();
    GError *error = NULL;
    say_all(s);
    g_autofree char *id = run_ok(s, "room-isolated", "room-a");
    for (int i = 0; i < 3; i++)
        say(s, edges[i], (struct saying){0});
    json_t *json = saying_json("edge-4", &(struct saying){.stamp = s->published->world->stamp});
    json_object_set_new(json, "promised", json_integer((json_int_t)s->epoch - 1));
    ck_assert(engine_edge_report(s->engine, "edge-4", json, s->now_us, &s->effects, &error));
    json_decref(json);
    settle(s);
    expect_step(s, id, "edges", "running", "converging 3/4, waiting for edge-4");
    say(s, "edge-4", (struct saying){0});
    expect_step(s, id, "edges", "succeeded", "4/4");
    server_free(s);
}
END_TEST

/* What was committed during the claim is not lost with the process: the next reign claims with it. */
START_TEST(crash_during_the_claim)
{
    struct server *s = restarted();
    set_ok(s, "room.ingress", "room-a", "closed");
    ck_assert(is_published(s, 1));
    start(s);
    settle(s);
    ck_assert(is_published(s, 2));
    ck_assert_str_eq(lever(s, LEVER_ROOM_INGRESS, "room-a"), "closed");
    server_free(s);
}
END_TEST

START_TEST(what_is_removed_is_not_waited_for)
{
    struct server *s = restarted();
    apply_ok(s, json_pack("{s:[s]}", "remove", "edge/edge-2"));
    for (int i = 0; i < 4; i++)
        if (i != 1)
            say(s, edges[i], (struct saying){0});
    ck_assert(is_published(s, 2));
    server_free(s);
    s = restarted();
    tick(s, SECOND);
    settle(s);
    ck_assert_uint_eq(engine_unclaimed(s->engine)->len, 7);
    apply_ok(s, json_pack("{s:[s]}", "remove", "edge/edge-2"));
    ck_assert_uint_eq(engine_unclaimed(s->engine)->len, 6);
    server_free(s);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, first_act_waits_for_every_promise);
    tcase_add_test(tcase, a_newer_promise_is_a_promise);
    tcase_add_test(tcase, missing_edges_are_named_after_a_second);
    tcase_add_test(tcase, unclaimed_is_not_converged);
    tcase_add_test(tcase, crash_during_the_claim);
    tcase_add_test(tcase, what_is_removed_is_not_waited_for);
}

int main(void)
{
    return unit_run("engine_claim", add);
}
