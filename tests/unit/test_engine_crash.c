/* No crash between two of the engine's effects changes what comes out. */
#include "tests/unit/engine_rig.h"
#include "tests/unit/unit.h"

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

static void expect_stages_once(const struct server *s, const char *id, unsigned written)
{
    for (unsigned i = 1; i <= 3; i++) {
        g_autofree char *key = g_strdup_printf("%s/shift/set-%u", id, i);
        ck_assert_uint_eq(generations_of(s, key), i <= written);
    }
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

/* What the parent has found before its child writes is not looked for again, behind the write. */
START_TEST(crash_while_a_child_writes)
{
    struct server *s = server_new();
    GError *error = NULL;
    say_all(s);
    add_plan(s, "plan: child\ntarget: room\nsteps:\n"
                "  - {name: out, set: [{control: room.ingress, on: $target, value: closed}]}\n"
                "---\nplan: parent\ntarget: room\nsteps:\n"
                "  - {name: open, check: room-open}\n  - {name: child, run: child}\n  - {name: edges, wait: edges}\n");
    s->budget = _i;
    json_t *json = engine_run_plan(s->engine, "parent", "room-a", NULL, false, &alice, now(s), &s->effects, &error);
    ck_assert_ptr_nonnull(json);
    g_autofree char *id = g_strdup(member(json, "id"));
    json_decref(json);
    settle(s);
    if (strcmp(lever(s, LEVER_ROOM_INGRESS, "room-a"), "closed") == 0)
        expect_step(s, id, "open", "succeeded", "room-b");
    drive_to_end(s);
    json_t *executions = engine_executions(s->engine);
    if (json_array_size(executions) > 0) /* else the crash came before anything was written */
        expect_state(s, id, "succeeded");
    json_decref(executions);
    server_free(s);
}
END_TEST

static const char *const shift = "plan: shift\ntarget: service\nparams: {to: room}\nsteps:\n"
                                 "  - name: shift\n"
                                 "    ramp: {on: $target, to: $to, stages: [20, 60, 100], bake: 1s, requests: 20}\n";

/* All edges at work, for 20 s; from this generation on with a fault, 0: without one. */
static void drive_ramp(struct server *s, uint64_t fault)
{
    for (int i = 0; i < 20; i++) {
        for (size_t k = 0; k < G_N_ELEMENTS(edges); k++)
            say(s, edges[k],
                (struct saying){.policy = "core.playback",
                                .room = "room-b",
                                .requests = 100,
                                .failed = fault != 0 && generation(s) >= fault ? 50 : 0});
        tick(s, SECOND);
        settle(s);
    }
}

/* A stage is written once, whatever crashes, and no stage is left out; nor is the way back. `before`: the split that it
 * begins with, or "default". */
static void ramp_with_crash(int budget, bool fault, const char *before)
{
    struct server *s = server_new();
    GError *error = NULL;
    say_all(s);
    add_plan(s, shift);
    set_ok(s, "split", "playback", before);
    uint64_t begun = generation(s);
    s->budget = budget;
    json_t *params = json_pack("{s:s}", "to", "room-b");
    json_t *json = engine_run_plan(s->engine, "shift", "playback", params, false, &alice, now(s), &s->effects, &error);
    ck_assert_ptr_nonnull(json);
    json_decref(params);
    json_decref(json);
    settle(s);
    drive_ramp(s, fault ? begun + 2 : 0);
    g_autofree char *id = only_execution(s);
    if (id == NULL) {
        ck_assert_int_eq(budget, 0);
        ck_assert_str_eq(lever(s, LEVER_SPLIT, "playback"), before);
    } else {
        expect_state(s, id, fault ? "aborted" : "succeeded");
        expect_stages_once(s, id, fault ? 2 : 3);
        ck_assert_str_eq(lever(s, LEVER_SPLIT, "playback"), fault ? before : "0-999=room-b");
        ck_assert_uint_eq(generation(s), begun + 3); /* three stages, or two and the way back */
    }
    server_free(s);
}

START_TEST(crash_during_ramp)
{
    ramp_with_crash(_i, false, "default");
}
END_TEST

START_TEST(crash_while_the_guard_goes_back)
{
    ramp_with_crash(_i, true, "default");
}
END_TEST

/* With one slot to move all stages write the same value. */
START_TEST(crash_while_stages_look_alike)
{
    ramp_with_crash(_i / 2, _i % 2 == 1, "0-0=room-a,1-999=room-b");
}
END_TEST

/* Who was asked for before the crash is asked for behind it, with the same binding; what was given is given. */
START_TEST(crash_around_an_approval)
{
    struct server *s = server_new();
    GError *error = NULL;
    say_all(s);
    add_plan(s, "plan: careful\ntarget: room\nsteps:\n  - {name: second, approve: \"Look first.\"}\n"
                "  - {name: out, set: [{control: room.ingress, on: $target, value: closed}]}\n");
    g_autofree char *id = run_ok(s, "careful", "room-a");
    json_t *before = look(s, id);
    start(s);
    settle(s);
    json_t *after = look(s, id);
    const char *binding = member(step_of(before, "second"), "binding");
    ck_assert_str_eq(member(step_of(after, "second"), "binding"), binding);
    json_t *body = json_pack("{s:s, s:s}", "act", "approve", "binding", binding);
    const struct asker bob = {.actor = "bob"};
    s->budget = _i;
    json_t *json = engine_act(s->engine, id, body, &bob, now(s), &s->effects, &error);
    ck_assert_ptr_nonnull(json);
    json_decref(json);
    settle(s);
    expect_step(s, id, "second", _i == 0 ? "running" : "succeeded", _i == 0 ? "waits for" : "approved by bob");
    drive_to_end(s);
    expect_state(s, id, _i == 0 ? "running" : "succeeded");
    ck_assert_uint_eq(generation(s), _i == 0 ? 2 : 3);
    json_decref(body);
    json_decref(before);
    json_decref(after);
    server_free(s);
}
END_TEST

static unsigned lines_like(const char *text, const char *line)
{
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    unsigned n = 0;
    for (char **each = lines; *each != NULL; each++)
        n += strcmp(*each, line) == 0;
    return n;
}

/* The receiver knows the keys, so what is asked twice is done once: whatever crashes, each call is made, under its own
 * key and no other, and each that was made is undone; a message is in the journal once. */
START_TEST(crash_around_calls)
{
    struct server *s = server_new();
    GError *error = NULL;
    say_all(s);
    add_plan(s, "webhooks: [{name: ops, url: \"https://chat.example.test/\", key: ops}]\n---\n"
                "plan: calls\ntarget: room\nsteps:\n  - {name: tell, notify: {to: ops, text: begins}}\n"
                "  - {name: one, hook: {url: \"https://a.test/\", key: db, undo: {url: \"https://a.test/u\"}}}\n"
                "  - {name: out, set: [{control: room.ingress, on: $target, value: closed}]}\n"
                "  - {name: two, hook: {url: \"https://b.test/\", key: db, status: [204], undo: {url: "
                "\"https://b.test/u\"}}, on_failure: rollback}\n");
    s->budget = _i;
    json_t *json = engine_run_plan(s->engine, "calls", "room-a", NULL, false, &alice, now(s), &s->effects, &error);
    ck_assert_ptr_nonnull(json);
    json_decref(json);
    settle(s);
    for (int i = 0; i < 8; i++) {
        while (s->calls->len > 0)
            answer_call(s, 200, NULL, NULL);
        drive_to_end(s);
    }
    g_autofree char *id = only_execution(s);
    if (id == NULL) {
        ck_assert_int_eq(_i, 0);
    } else {
        static const char *const made[] = {"one/call", "two/call", "two/undo", "one/undo"};
        unsigned all = 0;
        expect_state(s, id, "aborted");
        expect_undone(s);
        for (size_t i = 0; i < G_N_ELEMENTS(made); i++) {
            g_autofree char *key = g_strdup_printf("%s/%s", id, made[i]);
            unsigned n = lines_like(s->called->str, key);
            ck_assert_msg(n >= 1 && n <= 2, "%s: made %u times", key, n);
            all += n;
        }
        g_auto(GStrv) lines = g_strsplit(s->called->str, "\n", -1);
        ck_assert_uint_eq(g_strv_length(lines), all + 1); /* and nothing else */
        ck_assert_uint_eq(count_entries(s, "message"), 1);
    }
    server_free(s);
}
END_TEST

static void add(TCase *tcase)
{
    /* start; intent, controls, publish, outcome of both sets; waits */
    tcase_add_loop_test(tcase, crash_during_run, 0, 10);
    tcase_add_loop_test(tcase, crash_during_abort, 0, 4);
    tcase_add_loop_test(tcase, crash_while_waiting, 0, STAGES);
    tcase_add_loop_test(tcase, crash_while_a_child_writes, 0, 7);
    tcase_add_loop_test(tcase, crash_during_ramp, 0, 40);
    tcase_add_loop_test(tcase, crash_while_the_guard_goes_back, 0, 40);
    tcase_add_loop_test(tcase, crash_while_stages_look_alike, 0, 80);
    tcase_add_loop_test(tcase, crash_around_an_approval, 0, 6);
    tcase_add_loop_test(tcase, crash_around_calls, 0, 30);
}

int main(void)
{
    return unit_run("engine_crash", add);
}
