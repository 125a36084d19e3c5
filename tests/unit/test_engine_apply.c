/* The engine, asked for changes of the inventory and of levers. */
#include "tests/unit/engine_rig.h"
#include "tests/unit/unit.h"

START_TEST(apply_without_change_writes_nothing)
{
    struct server *s = server_new();
    ck_assert_uint_eq(generation(s), 1);
    guint written = s->journal->len;
    apply_ok(s, site_body());
    ck_assert_uint_eq(generation(s), 1);
    ck_assert_uint_eq(s->journal->len, written);
    /* and not after a restart either: what was restored is what was applied */
    start(s);
    settle(s);
    written = s->journal->len;
    apply_ok(s, site_body());
    ck_assert_uint_eq(generation(s), 1);
    ck_assert_uint_eq(s->journal->len, written);
    server_free(s);
}
END_TEST

START_TEST(apply_refuses)
{
    struct server *s = server_new();
    static const struct {
        const char *body, *text;
        enum sb_error kind;
    } rows[] = {
        {"{\"objects\": 1}", "objects: found 1, expected a list", SB_ERROR_INVALID},
        {"{\"what\": 1}", "found what", SB_ERROR_INVALID},
        {"{\"objects\": [{\"kind\": \"room\", \"name\": \"room-c\", \"zone\": \"none\"}]}", "none", SB_ERROR_INVALID},
        {"{\"objects\": [{\"kind\": \"zone\", \"name\": \"z;\"}]}", "z;", SB_ERROR_INVALID},
        {"{\"remove\": [\"pop/none\"]}", "pop/none", SB_ERROR_INVALID},
        {"{\"remove\": [\"room/room-a\"]}", "room-a", SB_ERROR_INVALID},
        {"{\"if_match\": {\"pop/pop-a1\": 9}}", "pop/pop-a1: found revision 1, expected 9", SB_ERROR_STALE},
        {"{\"if_match\": {\"pop/none\": 1}}", "pop/none: found revision 0 (there is none), expected 1", SB_ERROR_STALE},
        {"{\"if_match\": {\"nonsense\": 1}}", "nonsense", SB_ERROR_INVALID},
        /* what no plan can know of the others and of the inventory */
        {"{\"plans\": [{\"plan\": \"p\", \"steps\": [{\"name\": \"a\", \"run\": \"none\"}]}]}",
         "plan p, step a: run: found \"none\", expected the name of a plan that exists", SB_ERROR_INVALID},
        {"{\"plans\": [{\"plan\": \"p\", \"steps\": [{\"name\": \"a\", \"run\": \"q\"}]},"
         "{\"plan\": \"q\", \"steps\": [{\"name\": \"a\", \"run\": \"p\"}]}]}",
         "plan p: run: found a plan that runs itself", SB_ERROR_INVALID},
        {"{\"plans\": [{\"plan\": \"p\", \"steps\": [{\"name\": \"a\", \"set\": [{\"control\": \"pop\", \"on\": "
         "\"pop-x\", \"value\": \"out\"}]}]}]}",
         "plan p, step a: on: found \"pop-x\", expected the name of a pop that exists", SB_ERROR_INVALID},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        GError *error = NULL;
        json_t *body = json_loads(rows[i].body, 0, NULL);
        ck_assert_ptr_null(engine_apply(s->engine, body, false, &alice, now(s), &s->effects, &error));
        ck_assert_int_eq(error->code, (int)rows[i].kind);
        if (strstr(error->message, rows[i].text) == NULL)
            ck_abort_msg("row %zu: found \"%s\", expected \"%s\"", i, error->message, rows[i].text);
        g_clear_error(&error);
        json_decref(body);
        ck_assert_uint_eq(generation(s), 1);
        ck_assert_ptr_null(effects_pop(&s->effects));
    }
    server_free(s);
}
END_TEST

/* A plan that works must not be broken by what is taken away from under it. */
START_TEST(apply_keeps_plans_whole)
{
    struct server *s = server_new();
    GError *error = NULL;
    add_plan(s, "plan: parent\nsummary: x\ntarget: room\nsteps:\n"
                "  - {name: child, run: room-isolated}\n"
                "  - {name: pop, set: [{control: pop, on: pop-a1, value: out}]}\n");
    const char *const removed[] = {"plan/room-isolated", "pop/pop-a1"};
    const char *const found[] = {"plan parent, step child: run: found \"room-isolated\"",
                                 "plan parent, step pop: on: found \"pop-a1\""};
    for (size_t i = 0; i < G_N_ELEMENTS(removed); i++) {
        json_t *body = json_pack("{s:[s]}", "remove", removed[i]);
        ck_assert_ptr_null(engine_apply(s->engine, body, false, &alice, now(s), &s->effects, &error));
        expect_error(error, INVALID, found[i]);
        json_decref(body);
    }
    json_t *both = json_pack("{s:[s, s]}", "remove", "plan/parent", removed[0]);
    apply_ok(s, both); /* together they may go */
    server_free(s);
}
END_TEST

/* The step that is to move the lever would move one of nothing. */
START_TEST(apply_leaves_what_an_execution_owns)
{
    struct server *s = server_new();
    GError *error = NULL;
    apply_ok(s, json_pack("{s:[{s:s, s:s, s:s, s:[s], s:s}]}", "objects", "kind", "pop", "name", "pop-a3", "room",
                          "room-a", "carriers", "carrier-1", "origin", "198.51.100.13:80"));
    add_plan(s, "plan: pop-out\nsummary: x\ntarget: pop\nsteps:\n"
                "  - {name: edges, wait: edges, needs: [], timeout: 2s, on_failure: continue}\n"
                "  - {name: out, set: [{control: pop, on: $target, value: out}]}\n");
    g_autofree char *id = run_ok(s, "pop-out", "pop-a3");
    json_t *body = json_pack("{s:[s]}", "remove", "pop/pop-a3");
    ck_assert_ptr_null(engine_apply(s->engine, body, false, &alice, now(s), &s->effects, &error));
    expect_error(error, CONFLICT, "pop-a3 cannot be removed: its lever pop/pop-a3 belongs to execution pop-out-");
    tick(s, 2 * SECOND);
    settle(s);
    expect_step(s, id, "out", "succeeded", "pop/pop-a3 out");
    apply_ok(s, body); /* it has ended: the object may go, and its lever with it */
    ck_assert_str_eq(lever(s, LEVER_POP, "pop-a3"), "default");
    server_free(s);
}
END_TEST

START_TEST(apply_changes_one_object)
{
    struct server *s = server_new();
    GError *error = NULL;
    json_t *body = json_pack("{s:[{s:s, s:s}], s:{s:i}}", "objects", "kind", "zone", "name", "zone-3", "if_match",
                             "zone/zone-3", 0);
    json_t *dry = engine_apply(s->engine, body, true, &alice, now(s), &s->effects, &error);
    ck_assert_ptr_nonnull(dry);
    ck_assert_str_eq(member(dry, "diff"), "+ zone zone-3\n");
    ck_assert_uint_eq(generation(s), 1);
    json_decref(dry);
    unsigned objects = count_entries(s, "object");
    apply_ok(s, body);
    ck_assert_uint_eq(generation(s), 2);
    ck_assert_uint_eq(count_entries(s, "object"), objects + 1); /* a change writes little */
    const struct object *zone = inventory_get(engine_world(s->engine)->inventory, OBJECT_zone, "zone-3");
    ck_assert_uint_eq(zone->revision, 2);
    apply_ok(s, json_pack("{s:[s]}", "remove", "zone/zone-3"));
    start(s);
    settle(s);
    ck_assert_ptr_null(inventory_get(engine_world(s->engine)->inventory, OBJECT_zone, "zone-3"));
    ck_assert_uint_eq(generation(s), 3); /* a restart begins no generation again */
    json_t *full = site_body();
    json_object_set_new(full, "prune", json_true());
    json_array_clear(json_object_get(full, "plans"));
    apply_ok(s, full);
    ck_assert_uint_eq(g_hash_table_size(engine_world(s->engine)->plans), 0);
    server_free(s);
}
END_TEST

START_TEST(set_is_judged_and_audited)
{
    struct server *s = server_new();
    GError *error = NULL;
    set_ok(s, "room.ingress", "room-a", "closed");
    ck_assert_uint_eq(generation(s), 2);
    ck_assert_ptr_null(set(s, "room.ingress", "room-b", "closed", -1, &alice, &error));
    expect_error(error, REFUSED, "last-open");
    ck_assert_ptr_null(set(s, "room.ingress", "room-a", "open", 1, &alice, &error));
    expect_error(error, STALE, "room.ingress/room-a: found revision 2 (closed), expected 1");
    ck_assert_ptr_null(set(s, "room.nothing", "room-a", "open", -1, &alice, &error));
    expect_error(error, INVALID, "room.nothing");
    ck_assert_ptr_null(set(s, "room.ingress", "room-x", "open", -1, &alice, &error));
    g_clear_error(&error);
    ck_assert_ptr_null(set(s, "room.ingress", "room-a", "open", -1, &robot, &error));
    expect_error(error, REFUSED, "forecast-known");
    ck_assert_uint_eq(generation(s), 2);
    const struct journal_entry *audit = NULL;
    for (guint i = 0; i < s->journal->len; i++)
        if (strcmp(((struct journal_entry *)s->journal->pdata[i])->kind, "audit") == 0)
            audit = s->journal->pdata[i];
    ck_assert_str_eq(member(audit->body, "actor"), "alice");
    ck_assert_str_eq(member(audit->body, "reason"), "test");
    ck_assert_str_eq(member(audit->body, "object"), "room.ingress/room-a");
    ck_assert_str_eq(member(audit->body, "before"), "default");
    ck_assert_str_eq(member(audit->body, "after"), "closed");
    ck_assert_int_eq(json_integer_value(json_object_get(audit->body, "generation")), 2);
    start(s);
    settle(s);
    ck_assert_str_eq(lever(s, LEVER_ROOM_INGRESS, "room-a"), "closed");
    ck_assert_uint_eq(engine_world(s->engine)->stamp.generation, 2);
    ck_assert_uint_eq(engine_world(s->engine)->stamp.epoch, 2);
    server_free(s);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, apply_without_change_writes_nothing);
    tcase_add_test(tcase, apply_refuses);
    tcase_add_test(tcase, apply_keeps_plans_whole);
    tcase_add_test(tcase, apply_leaves_what_an_execution_owns);
    tcase_add_test(tcase, apply_changes_one_object);
    tcase_add_test(tcase, set_is_judged_and_audited);
}

int main(void)
{
    return unit_run("engine_apply", add);
}
