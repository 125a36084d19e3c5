/* What is kept of executions: how long it took to decide, and how many stay at hand. */
#include "tests/unit/engine_rig.h"
#include "tests/unit/unit.h"

static json_int_t time_of(const struct server *s, const char *id, const char *phase)
{
    json_t *json = look(s, id);
    json_int_t us = json_integer_value(json_object_get(json_object_get(json, "times"), phase));
    json_decref(json);
    return us;
}

/* From the first report that an entrance of the room is down, as edges still see it, to the button. */
START_TEST(the_time_to_decide_begins_with_the_fault)
{
    struct server *s = server_new();
    say_all(s);
    s->now_us += SECOND;
    say(s, "edge-1", (struct saying){.pops_down = true}); /* one of four: not down yet, but the first to see it */
    s->now_us += 2 * SECOND;
    say_all(s); /* and it was not */
    for (int i = 0; i < 5; i++) {
        for (size_t e = 0; e < 2; e++)
            say(s, edges[e], (struct saying){.pops_down = true});
        s->now_us += SECOND;
    }
    g_autofree char *id = run_ok(s, "room-isolated", "room-a");
    ck_assert_int_eq(time_of(s, id, "decide"), 5 * SECOND);
    start(s); /* it is kept */
    settle(s);
    ck_assert_int_eq(time_of(s, id, "decide"), 5 * SECOND);
    server_free(s);
}
END_TEST

START_TEST(without_a_fault_nothing_was_decided)
{
    struct server *s = server_new();
    say_all(s);
    g_autofree char *id = run_ok(s, "room-isolated", "room-b");
    ck_assert_int_eq(time_of(s, id, "decide"), -1);
    server_free(s);
}
END_TEST

static unsigned slots_in(const struct server *s, const char *service, const char *room)
{
    const struct world *world = engine_world(s->engine);
    struct split split;
    unsigned n = 0;
    world_service_split(world, INVENTORY_GET(world->inventory, service, service), &split);
    for (unsigned slot = 0; slot < SLOT_COUNT; slot++)
        n += strcmp(split.rooms[split.room_of[slot]], room) == 0;
    split_clear(&split);
    return n;
}

/* The clock of people is 1000 s before that of the rig, both from 1970. */
static char *pin_until(const struct server *s, int64_t after_s)
{
    g_autoptr(GDateTime) until = g_date_time_new_from_unix_utc(now(s).wall_us / SECOND + after_s);
    g_autofree char *text = g_date_time_format(until, "%Y-%m-%dT%H:%M:%SZ");
    return g_strdup_printf("0-49=room-b@%s", text);
}

/* Pinned slots are where the pin says, through a ramp as well, until its time is over, however long nobody was there.
 */
START_TEST(pinned_slots_go_back_by_themselves)
{
    for (int stopped = 0; stopped < 2; stopped++) {
        struct server *s = server_new();
        say_all(s);
        g_autofree char *pin = pin_until(s, 60);
        ck_assert_uint_eq(slots_in(s, "home", "room-b"), 500);
        set_ok(s, "split.pin", "home", pin);
        ck_assert_uint_eq(slots_in(s, "home", "room-b"), 550);
        set_ok(s, "split", "home", "0-499=room-a,500-599=room-b,600-999=room-a");
        ck_assert_uint_eq(slots_in(s, "home", "room-b"), 150);
        tick(s, 59 * SECOND);
        settle(s);
        ck_assert_str_eq(lever(s, LEVER_SPLIT_PIN, "home"), pin);
        uint64_t before = generation(s);
        struct effects none;
        effects_init(&none);
        ck_assert_int_eq(engine_tick(s->engine, s->now_us, &none), s->now_us + SECOND); /* it wants to be there */
        effects_clear(&none);
        s->now_us += SECOND;
        if (stopped)
            start(s);
        else
            tick(s, 0);
        settle(s);
        ck_assert_str_eq(lever(s, LEVER_SPLIT_PIN, "home"), "default");
        ck_assert_uint_eq(slots_in(s, "home", "room-b"), 100);
        ck_assert_uint_eq(generation(s), before + 1); /* once */
        tick(s, SECOND);
        settle(s);
        ck_assert_uint_eq(generation(s), before + 1);
        server_free(s);
    }
}
END_TEST

static const char pop_out[] = "plan: pop-out\nsummary: x\ntarget: pop\nsteps:\n"
                              "  - {name: out, set: [{control: pop, on: $target, value: out}]}\n";
static const char pop_in[] = "plan: pop-in\nsummary: x\ntarget: pop\nsteps:\n"
                             "  - {name: in, set: [{control: pop, on: $target, value: default}]}\n";
static const char both[] = "plan: both\nsummary: x\ntarget: pop\nsteps:\n"
                           "  - {name: first, run: pop-out}\n  - {name: second, run: pop-in}\n";

static size_t listed(const struct server *s)
{
    json_t *all = engine_executions(s->engine);
    size_t n = json_array_size(all);
    json_decref(all);
    return n;
}

/* Entries of the journal's state: what a restart has to read. */
static unsigned newest_states(const struct server *s, const char *kind)
{
    unsigned n = 0;
    for (guint i = 0; i < s->journal->len; i++) {
        const struct journal_entry *entry = s->journal->pdata[i];
        bool newest = strcmp(entry->kind, kind) == 0 && !json_is_null(entry->body);
        for (guint j = i + 1; newest && j < s->journal->len; j++) {
            const struct journal_entry *later = s->journal->pdata[j];
            newest = strcmp(later->kind, kind) != 0 || strcmp(later->id, entry->id) != 0;
        }
        n += newest;
    }
    return n;
}

/* The runs at hand are bounded, over restarts too; who is under way stays, and children go with their root. */
START_TEST(old_runs_are_forgotten)
{
    struct server *s = server_new();
    say_all(s);
    add_plan(s, pop_out);
    add_plan(s, pop_in);
    add_plan(s, both);
    g_autofree char *waiting = run_ok(s, "failback", "room-b"); /* its entrances are not stable yet: it waits */
    g_autofree char *first = run_ok(s, "both", "pop-a1");
    for (unsigned i = 1; i < EXECUTIONS_KEPT; i++)
        g_free(run_ok(s, i % 2 == 0 ? "pop-in" : "pop-out", "pop-a1"));
    expect_state(s, first, "succeeded"); /* the oldest that is kept */
    ck_assert_uint_eq(listed(s), 1 + EXECUTIONS_KEPT + 2);
    for (unsigned i = 0; i < 4; i++)
        g_free(run_ok(s, "pop-out", "pop-b1"));
    ck_assert_uint_eq(listed(s), 1 + EXECUTIONS_KEPT);
    ck_assert_uint_eq(newest_states(s, "execution"), 1 + EXECUTIONS_KEPT);
    ck_assert_ptr_null(engine_execution(s->engine, first));
    expect_state(s, waiting, "running");
    start(s);
    settle(s);
    ck_assert_uint_eq(listed(s), 1 + EXECUTIONS_KEPT);
    ck_assert_ptr_null(engine_execution(s->engine, first));
    expect_state(s, waiting, "running");
    server_free(s);
}
END_TEST

/* What a rule looks back at is kept: by the engine, over a restart, and in a snapshot of the black box. */
START_TEST(rules_look_back_over_a_restart)
{
    struct server *s = server_new();
    apply_ok(s, json_loads("{\"objects\": [{\"kind\": \"rule\", \"name\": \"rest\", \"check\": \"hold\", "
                           "\"lever\": \"pop\", \"period\": 60}]}",
                           0, NULL));
    set_ok(s, "pop", "pop-a1", "out");
    s->now_us += 20 * SECOND;
    start(s);
    settle(s);
    g_autoptr(GError) error = NULL;
    ck_assert_ptr_null(set(s, "pop", "pop-a1", "in", -1, &alice, &error));
    ck_assert_str_eq(error->message, "rule rest: pop/pop-a1 was moved 20 s ago, it rests for 60 s. Way round: wait "
                                     "40 s, or override rest with a reason");
    set_ok(s, "pop", "pop-b1", "out"); /* another one */
    g_clear_error(&error);
    struct asker strange = alice;
    strange.overrides = (const char *const[]){"unrest", NULL};
    ck_assert_ptr_null(set(s, "pop", "pop-a1", "in", -1, &strange, &error));
    ck_assert_str_eq(error->message, "overrides: found unrest, expected the name of a rule");
    s->now_us += 40 * SECOND;
    set_ok(s, "pop", "pop-a1", "in");
    json_t *past = NULL;
    for (guint i = 0; i < s->journal->len; i++) {
        const struct journal_entry *entry = s->journal->pdata[i];
        past = strcmp(entry->kind, "past") == 0 ? entry->body : past;
    }
    ck_assert_uint_eq(json_object_size(json_object_get(past, "levers")), 2);
    server_free(s);
}
END_TEST

START_TEST(a_tier_is_moved_as_one)
{
    struct server *s = server_new();
    uint64_t before = generation(s);
    set_ok(s, "service.degrade", "tier/normal", "static"); /* creator and upload */
    ck_assert_uint_eq(generation(s), before + 1);
    ck_assert_str_eq(lever(s, LEVER_SERVICE_DEGRADE, "creator"), "static");
    ck_assert_str_eq(lever(s, LEVER_SERVICE_DEGRADE, "upload"), "static");
    ck_assert_str_eq(lever(s, LEVER_SERVICE_DEGRADE, "home"), "default");
    static const char *const wrong[][3] = {
        {"service.limit", "tier/noble",
         "service.limit/tier/: found \"noble\", expected normal, important or core, which "
         "a service has"},
        {"room.degrade", "tier/normal", "room.degrade: found \"tier/normal\", expected the name of a room that exists"},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(wrong); i++) {
        g_autoptr(GError) error = NULL;
        ck_assert_ptr_null(set(s, wrong[i][0], wrong[i][1], i == 0 ? "9" : "static", -1, &alice, &error));
        ck_assert_str_eq(error->message, wrong[i][2]);
    }
    server_free(s);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, a_tier_is_moved_as_one);
    tcase_add_test(tcase, rules_look_back_over_a_restart);
    tcase_add_test(tcase, the_time_to_decide_begins_with_the_fault);
    tcase_add_test(tcase, without_a_fault_nothing_was_decided);
    tcase_add_test(tcase, pinned_slots_go_back_by_themselves);
    tcase_add_test(tcase, old_runs_are_forgotten);
}

int main(void)
{
    return unit_run("engine_history", add);
}
