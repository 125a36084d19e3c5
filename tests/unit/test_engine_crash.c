/* No crash between two of the engine's effects changes what comes out. */
#include "tests/unit/engine_rig.h"

#include <stdlib.h>

static unsigned generations_of(const struct server *s, const char *key)
{
    unsigned n = 0;
    g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);
    for (guint i = 0; i < s->journal->len; i++) {
        const struct journal_entry *entry = s->journal->pdata[i];
        if (strcmp(entry->kind, "generation") == 0 && strcmp(member(entry->body, "key"), key) == 0)
            n += g_hash_table_add(seen, entry->id) ? 1 : 0;
    }
    return n;
}

static void expect_once(const struct server *s, const char *id, const char *step)
{
    g_autofree char *key = g_strdup_printf("%s/%s/set", id, step);
    ck_assert_uint_eq(generations_of(s, key), 1);
}

/* All that it wrote is known, with what was there before, and set back or not. */
static void expect_writes(const struct server *s, const char *id, bool restored)
{
    json_t *json = look(s, id), *write;
    size_t i;
    ck_assert_uint_eq(json_array_size(json_object_get(json, "writes")), 3);
    json_array_foreach (json_object_get(json, "writes"), i, write) {
        bool closes = strcmp(member(write, "control"), "room.ingress") == 0; /* the lines first: never without a road */
        ck_assert_int_eq(json_integer_value(json_object_get(write, "generation")), closes ? 3 : 2);
        ck_assert_str_eq(member(write, "before"), "default");
        ck_assert_int_eq(json_is_true(json_object_get(write, "restored")), restored);
    }
    json_decref(json);
}

static char *only_execution(const struct server *s)
{
    json_t *executions = engine_executions(s->engine);
    char *id = json_array_size(executions) == 0 ? NULL : g_strdup(member(json_array_get(executions, 0), "id"));
    json_decref(executions);
    return id;
}

static void drive_to_end(struct server *s)
{
    for (int i = 0; i < 8; i++) {
        say_all(s);
        tick(s, SECOND);
        settle(s);
    }
}

/* Crash after the _i-th effect that follows the press of the button. */
START_TEST(crash_during_run)
{
    struct server *s = server_new();
    GError *error = NULL;
    say_all(s);
    unsigned carried = s->carried;
    s->budget = _i;
    json_t *json =
        engine_run_plan(s->engine, "room-isolated", "room-a", NULL, false, &alice, now(s), &s->effects, &error);
    ck_assert_ptr_nonnull(json);
    json_decref(json);
    settle(s);
    drive_to_end(s);
    ck_assert_uint_gt(s->carried, carried + (unsigned)_i); /* it did crash, and went on */
    g_autofree char *id = only_execution(s);
    if (id == NULL) { /* the crash came before anything was written: the press was never answered */
        ck_assert_int_eq(_i, 0);
        expect_undone(s);
    } else {
        expect_state(s, id, "succeeded");
        expect_planned(s);
        expect_once(s, id, "move-out");
        expect_once(s, id, "to-lines");
        expect_writes(s, id, false);
        ck_assert_uint_eq(generation(s), 3);
    }
    server_free(s);
}
END_TEST

START_TEST(crash_during_abort)
{
    struct server *s = server_new();
    GError *error = NULL;
    g_autofree char *id = run_until(s, "edges");
    s->budget = _i;
    json_t *json = engine_abort(s->engine, id, &alice, now(s), &s->effects, &error);
    ck_assert_ptr_nonnull(json);
    json_decref(json);
    settle(s);
    drive_to_end(s);
    if (_i == 0) {
        expect_state(s, id, "succeeded"); /* the abort was never written, nor answered */
    } else {
        expect_state(s, id, "aborted");
        expect_undone(s);
        expect_once(s, id, "undo");
        expect_writes(s, id, true);
        ck_assert_uint_eq(generation(s), 4);
    }
    server_free(s);
}
END_TEST

START_TEST(crash_while_waiting)
{
    struct server *s = server_new();
    g_autofree char *id = run_until(s, stages[_i]);
    start(s);
    settle(s);
    expect_state(s, id, "running");
    drive_to_end(s);
    expect_state(s, id, "succeeded");
    expect_event(s, id, "the server was restarted");
    expect_planned(s);
    ck_assert_uint_eq(generation(s), 3);
    server_free(s);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("engine_crash");
    TCase *tc = tcase_create("engine_crash");
    tcase_add_loop_test(tc, crash_during_run, 0,
                        10); /* start; intent, controls, publish, outcome of both sets; waits */
    tcase_add_loop_test(tc, crash_during_abort, 0, 4);
    tcase_add_loop_test(tc, crash_while_waiting, 0, STAGES);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
