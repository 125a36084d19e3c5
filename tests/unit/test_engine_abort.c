/* The engine on the way back: abort, rollback, and levers that somebody else moved meanwhile. */
#include "tests/unit/engine_rig.h"
#include "tests/unit/unit.h"

static void abort_ok(struct server *s, const char *id)
{
    GError *error = NULL;
    json_t *json = engine_abort(s->engine, id, &alice, now(s), &s->effects, &error);
    if (json == NULL)
        ck_abort_msg("abort: %s", error->message);
    json_decref(json);
    settle(s);
}

START_TEST(abort_restores_at_each_step)
{
    struct server *s = server_new();
    g_autofree char *id = run_until(s, stages[_i]);
    expect_step(s, id, stages[_i], "running", "");
    expect_planned(s);
    uint64_t before = generation(s);
    abort_ok(s, id);
    expect_undone(s);
    ck_assert_uint_eq(generation(s), before + 1); /* all in one generation */
    expect_state(s, id, "aborting");
    say_all(s);
    expect_state(s, id, "aborted");
    expect_event(s, id, "undo: 4/4 edges applied generation");
    g_free(run_ok(s, "room-isolated", "room-a")); /* the levers are free again */
    server_free(s);
}
END_TEST

START_TEST(abort_leaves_an_override)
{
    struct server *s = server_new();
    g_autofree char *id = run_until(s, stages[_i]);
    set_ok(s, "group.edge_class", "creator", "public");
    expect_event(s, id, "override by alice: group.edge_class/creator public");
    abort_ok(s, id);
    expect_event(s, id, "group.edge_class/creator was moved since by alice to public");
    ck_assert_str_eq(lever(s, LEVER_GROUP_EDGE_CLASS, "creator"), "public");
    ck_assert_str_eq(lever(s, LEVER_GROUP_EDGE_CLASS, "creator-line"), "default");
    ck_assert_str_eq(lever(s, LEVER_ROOM_INGRESS, "room-a"), "default");
    server_free(s);
}
END_TEST

/* "group.edge_class/creator default; ...", what stays behind a bar; g_free. */
static char *undo_words(struct server *s, const char *id)
{
    GError *error = NULL;
    GString *text = g_string_new(NULL);
    json_t *undo = engine_undo_preview(s->engine, id, now(s), &error), *row;
    size_t i;
    ck_assert_ptr_nonnull(undo);
    json_array_foreach (json_object_get(undo, "controls"), i, row)
        g_string_append_printf(text, "%s/%s %s; ", member(row, "control"), member(row, "object"), member(row, "value"));
    json_array_foreach (json_object_get(undo, "left"), i, row)
        g_string_append_printf(text, "| %s", json_string_value(row));
    json_decref(undo);
    return g_string_free(text, FALSE);
}

START_TEST(what_an_abort_would_do_is_said_before_and_is_what_it_does)
{
    struct server *s = server_new();
    GError *error = NULL;
    g_autofree char *id = run_until(s, "edges");
    guint written = s->journal->len;
    for (int i = 0; i < 2; i++) { /* looking changes nothing */
        g_autofree char *words = undo_words(s, id);
        ck_assert_str_eq(words, "room.ingress/room-a default; group.edge_class/creator default; "
                                "group.edge_class/creator-line default; ");
    }
    ck_assert_uint_eq(s->journal->len, written);
    set_ok(s, "group.edge_class", "creator", "public");
    g_autofree char *words = undo_words(s, id);
    ck_assert_ptr_nonnull(strstr(words, "| group.edge_class/creator was moved since by alice to public"));
    ck_assert_ptr_null(strstr(words, "creator default"));
    abort_ok(s, id);
    ck_assert_str_eq(lever(s, LEVER_GROUP_EDGE_CLASS, "creator"), "public");
    ck_assert_str_eq(lever(s, LEVER_GROUP_EDGE_CLASS, "creator-line"), "default");
    ck_assert_str_eq(lever(s, LEVER_ROOM_INGRESS, "room-a"), "default");
    ck_assert_ptr_null(engine_undo_preview(s->engine, "none", now(s), &error));
    expect_error(error, NOT_FOUND, "none");
    server_free(s);
}
END_TEST

START_TEST(abort_of_what_has_ended)
{
    struct server *s = server_new();
    GError *error = NULL;
    g_autofree char *id = run_until(s, "edges");
    tick(s, 20 * SECOND);
    settle(s);
    expect_state(s, id, "incomplete");
    abort_ok(s, id);
    expect_undone(s);
    tick(s, 15 * SECOND);
    settle(s);
    expect_state(s, id, "aborted");
    expect_event(s, id, "undo: converging 0/4");
    ck_assert_ptr_null(engine_abort(s->engine, id, &alice, now(s), &s->effects, &error));
    expect_error(error, CONFLICT, "aborted");
    ck_assert_ptr_null(engine_abort(s->engine, "none", &alice, now(s), &s->effects, &error));
    expect_error(error, NOT_FOUND, "none");
    server_free(s);
}
END_TEST

START_TEST(override_wins_over_a_step_to_come)
{
    struct server *s = server_new();
    set_ok(s, "room.ingress", "room-a", "closed");
    say_all(s);
    g_autofree char *id = run_ok(s, "failback", "room-a"); /* waits for two seconds of health */
    set_ok(s, "group.edge_class", "creator", "dedicated");
    tick(s, 3 * SECOND);
    settle(s);
    ck_assert_str_eq(lever(s, LEVER_ROOM_INGRESS, "room-a"), "default");
    ck_assert_str_eq(lever(s, LEVER_GROUP_EDGE_CLASS, "creator"), "dedicated");
    expect_event(s, id, "group.edge_class/creator was moved by alice to dedicated");
    server_free(s);
}
END_TEST

static const char twice_plan[] = "plan: twice\n"
                                 "summary: x\n"
                                 "target: room\n"
                                 "steps:\n"
                                 "  - name: one\n"
                                 "    needs: []\n"
                                 "    set: [{control: room.compute, on: $target, value: maintenance}]\n"
                                 "  - name: two\n"
                                 "    set: [{control: room.compute, on: $target, value: quarantined}]\n"
                                 "  - {name: edges, wait: edges}\n";

START_TEST(abort_of_a_lever_moved_twice)
{
    struct server *s = server_new();
    add_plan(s, twice_plan);
    say_all(s);
    g_autofree char *id = run_ok(s, "twice", "room-a");
    ck_assert_str_eq(lever(s, LEVER_ROOM_COMPUTE, "room-a"), "quarantined");
    abort_ok(s, id);
    ck_assert_str_eq(lever(s, LEVER_ROOM_COMPUTE, "room-a"), "default");
    server_free(s);
}
END_TEST

static const char rollback_plan[] = "plan: careful\n"
                                    "summary: x\n"
                                    "target: room\n"
                                    "steps:\n"
                                    "  - name: close\n"
                                    "    needs: []\n"
                                    "    set: [{control: room.ingress, on: $target, value: closed}]\n"
                                    "  - {name: edges, wait: edges, timeout: 5s, on_failure: rollback}\n";
static const char parent_plan[] = "plan: parent\n"
                                  "summary: x\n"
                                  "target: room\n"
                                  "steps:\n"
                                  "  - {name: child, needs: [], run: careful}\n"
                                  "  - {name: again, wait: edges, timeout: 5s}\n";

START_TEST(rollback_by_itself)
{
    struct server *s = server_new();
    add_plan(s, rollback_plan);
    say_all(s);
    g_autofree char *id = run_ok(s, "careful", "room-a");
    ck_assert_str_eq(lever(s, LEVER_ROOM_INGRESS, "room-a"), "closed");
    tick(s, 5 * SECOND);
    settle(s);
    ck_assert_str_eq(lever(s, LEVER_ROOM_INGRESS, "room-a"), "default");
    expect_state(s, id, "aborting");
    say_all(s);
    expect_state(s, id, "aborted");
    server_free(s);
}
END_TEST

START_TEST(child_runs_under_its_parent)
{
    struct server *s = server_new();
    GError *error = NULL;
    add_plan(s, rollback_plan);
    add_plan(s, parent_plan);
    say_all(s);
    g_autofree char *id = run_ok(s, "parent", "room-a");
    ck_assert_str_eq(lever(s, LEVER_ROOM_INGRESS, "room-a"), "closed");
    ck_assert_ptr_null(
        engine_run_plan(s->engine, "careful", "room-a", NULL, false, &alice, now(s), &s->effects, &error));
    expect_error(error, CONFLICT, id);
    json_t *json = look(s, id);
    const char *child = member(step_of(json, "child"), "child");
    expect_state(s, child, "running");
    ck_assert_ptr_null(engine_abort(s->engine, child, &alice, now(s), &s->effects, &error));
    expect_error(error, INVALID, id);
    if (_i == 0) {
        say_all(s);
        expect_state(s, child, "succeeded");
        expect_state(s, id, "succeeded");
    } else {
        abort_ok(s, id);
        expect_state(s, child, "aborted");
        ck_assert_str_eq(lever(s, LEVER_ROOM_INGRESS, "room-a"), "default");
    }
    json_decref(json);
    server_free(s);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_loop_test(tcase, abort_restores_at_each_step, 0, STAGES);
    tcase_add_loop_test(tcase, abort_leaves_an_override, 0, STAGES);
    tcase_add_test(tcase, what_an_abort_would_do_is_said_before_and_is_what_it_does);
    tcase_add_test(tcase, abort_of_what_has_ended);
    tcase_add_test(tcase, abort_of_a_lever_moved_twice);
    tcase_add_test(tcase, override_wins_over_a_step_to_come);
    tcase_add_test(tcase, rollback_by_itself);
    tcase_add_loop_test(tcase, child_runs_under_its_parent, 0, 2);
}

int main(void)
{
    return unit_run("engine_abort", add);
}
