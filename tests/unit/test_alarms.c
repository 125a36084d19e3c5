#include "server/interlocking/alarm_book.h"
#include "tests/unit/engine_rig.h"
#include "tests/unit/unit.h"

/* Of alarms_to_json as text: "1 entrances/room-a room-isolated", a line each, in their order. */
static char *alarms(const struct server *s)
{
    GString *text = g_string_new(NULL);
    json_t *status = engine_status(s->engine, s->now_us), *alarm;
    size_t i;
    json_array_foreach (json_object_get(status, "alarms"), i, alarm) {
        const char *plan = json_string_value(json_object_get(alarm, "plan"));
        g_string_append_printf(text, "%d %s%s%s\n", (int)json_integer_value(json_object_get(alarm, "priority")),
                               member(alarm, "key"), plan != NULL ? " " : "", plan != NULL ? plan : "");
    }
    json_decref(status);
    return g_string_free(text, FALSE);
}

static void expect_alarms(const struct server *s, const char *expected)
{
    g_autofree char *found = alarms(s);
    ck_assert_str_eq(found, expected);
}

static void confirm_all(struct server *s)
{
    for (size_t i = 0; i < G_N_ELEMENTS(servers); i++)
        confirm(s, servers[i], "converged");
}

/* "begun entrances/room-a 1", a line for each entry; "" for none. */
static char *turn_page(struct alarm_book *book, const struct server *s)
{
    GString *text = g_string_new(NULL);
    json_t *alarms = engine_alarms(s->engine, s->now_us);
    g_autoptr(GPtrArray) entries = alarm_book_look(book, alarms, now(s));
    for (guint i = 0; entries != NULL && i < entries->len; i++) {
        const struct journal_entry *entry = entries->pdata[i];
        ck_assert_str_eq(entry->kind, "alarm");
        ck_assert_str_eq(entry->id, member(entry->body, "key"));
        g_string_append_printf(text, "%s %s %d\n", member(entry->body, "state"), entry->id,
                               (int)json_integer_value(json_object_get(entry->body, "priority")));
    }
    json_decref(alarms);
    return g_string_free(text, FALSE);
}

static void expect_page(struct alarm_book *book, const struct server *s, const char *expected)
{
    g_autofree char *found = turn_page(book, s);
    ck_assert_str_eq(found, expected);
}

/* Who looks after room A, as the status says it; "" for nobody. */
static const char *taken_by(const struct alarm_book *book, const struct server *s)
{
    static char actor[64];
    json_t *alarms = engine_alarms(s->engine, s->now_us), *alarm;
    size_t i;
    actor[0] = '\0';
    alarm_book_mark(book, alarms);
    json_array_foreach (alarms, i, alarm)
        if (json_object_get(alarm, "ack") != NULL)
            g_strlcpy(actor, member(json_object_get(alarm, "ack"), "actor"), sizeof actor);
    json_decref(alarms);
    return actor;
}

static struct journal_entry *acknowledge(struct alarm_book *book, const struct server *s, const char *who,
                                         GError **error)
{
    const struct asker asker = {.actor = who, .reason = "calling the carrier"};
    json_t *alarms = engine_alarms(s->engine, s->now_us);
    struct journal_entry *entry = alarm_book_acknowledge(book, alarms, "entrances/room-a", &asker, now(s), error);
    json_decref(alarms);
    return entry;
}

static void cut(struct server *s, bool down)
{
    say(s, "edge-1", (struct saying){.pops_down = down});
    say(s, "edge-2", (struct saying){.pops_down = down});
    say(s, "edge-3", (struct saying){0});
    say(s, "edge-4", (struct saying){0});
}

/* A report of all edges as `edit` has changed it. */
static void say_edited(struct server *s, const char *edge, void (*edit)(json_t *report))
{
    struct saying saying = {.stamp = s->published->world->stamp};
    json_t *report = saying_json(edge, &saying);
    g_autoptr(GError) error = NULL;
    edit(report);
    ck_assert_msg(engine_edge_report(s->engine, edge, report, s->now_us, &s->effects, &error), "%s",
                  error != NULL ? error->message : "");
    settle(s);
    json_decref(report);
}

START_TEST(a_healthy_site_has_none_and_a_young_reign_does_not_guess)
{
    struct server *s = server_new();
    expect_alarms(s, "");
    tick(s, 2 * OBSERVED_FRESH_US);
    g_autofree char *found = alarms(s);
    ck_assert_msg(g_str_has_prefix(found, "1 blind/two-rooms\n2 edge/edge-1\n"), "%s", found);
    ck_assert_ptr_nonnull(strstr(found, "2 nameserver/ns-1\n"));
    confirm_all(s);
    say_all(s);
    expect_alarms(s, "");
    server_free(s);
}
END_TEST

START_TEST(all_pops_of_a_room_are_one_alarm_with_the_plan_until_it_is_pressed)
{
    struct server *s = server_new();
    json_t *drain = json_pack("{s:[], s:[]}", "objects", "plans");
    load(drain, "runbooks/pop-drain.yaml");
    apply_ok(s, drain);
    confirm_all(s);
    say_all(s);
    say(s, "edge-1", (struct saying){.pops_down = true});
    expect_alarms(s, "3 pop/pop-a1 pop-drain\n3 pop/pop-a2 pop-drain\n"); /* one edge may be what is broken */
    int64_t cut_us = s->now_us + 700 * 1000;
    tick(s, 700 * 1000);
    say(s, "edge-2", (struct saying){.pops_down = true});
    expect_alarms(s, "1 entrances/room-a room-isolated\n");
    tick(s, SECOND);
    say(s, "edge-1", (struct saying){.pops_down = true});
    say(s, "edge-2", (struct saying){.pops_down = true});
    json_t *alarm = status_row(s, "alarms", "key", "entrances/room-a");
    ck_assert_str_eq(member(alarm, "title"), "room-a: every POP is down");
    ck_assert_str_eq(member(alarm, "evidence"), "pop-a1 down at 2 of 2 edges, L4; pop-a2 down at 2 of 2 edges, L4");
    int64_t since_us = json_integer_value(json_object_get(alarm, "since_us")) - (now(s).wall_us - s->now_us);
    ck_assert_int_eq(since_us, cut_us - 700 * 1000); /* the first who said so; it stays that while it lasts */
    json_decref(alarm);
    set_ok(s, "room.ingress", "room-a", "closed");
    say(s, "edge-1", (struct saying){.pops_down = true});
    say(s, "edge-2", (struct saying){.pops_down = true});
    say(s, "edge-3", (struct saying){0});
    say(s, "edge-4", (struct saying){0});
    expect_alarms(s, "3 entrances/room-a\n");
    say_all(s);
    expect_alarms(s, "");
    server_free(s);
}
END_TEST

START_TEST(what_a_dedicated_edge_sees_of_a_pop_is_not_its_users)
{
    struct server *s = server_new();
    confirm_all(s);
    say_all(s);
    say(s, "edge-3", (struct saying){.pops_down = true});
    say(s, "edge-4", (struct saying){.pops_down = true});
    expect_alarms(s, "");
    server_free(s);
}
END_TEST

START_TEST(a_plan_that_the_site_does_not_have_is_not_named)
{
    struct server *s = server_new();
    confirm_all(s);
    apply_ok(s, json_pack("{s:[s]}", "remove", "plan/room-isolated"));
    say_all(s);
    say(s, "edge-1", (struct saying){.pops_down = true});
    say(s, "edge-2", (struct saying){.pops_down = true});
    expect_alarms(s, "1 entrances/room-a\n");
    server_free(s);
}
END_TEST

static void complain(json_t *report)
{
    json_object_set_new(report, "state", json_string("failing"));
    json_object_set_new(report, "error", json_string("haproxy: no answer"));
}

START_TEST(an_edge_that_complains_or_is_silent_keeps_its_time)
{
    struct server *s = server_new();
    confirm_all(s);
    say_all(s);
    int64_t begun_us = s->now_us;
    say_edited(s, "edge-2", complain);
    tick(s, 3 * SECOND);
    say_all(s);
    say_edited(s, "edge-2", complain);
    /* between the two say_all said that all is well: the complaint is a new one */
    json_t *alarm = status_row(s, "alarms", "key", "edge/edge-2");
    ck_assert_str_eq(member(alarm, "title"), "edge-2: failing");
    ck_assert_int_eq(json_integer_value(json_object_get(alarm, "since_us")), now(s).wall_us);
    json_decref(alarm);
    tick(s, SECOND);
    say_edited(s, "edge-2", complain);
    alarm = status_row(s, "alarms", "key", "edge/edge-2");
    ck_assert_int_eq(json_integer_value(json_object_get(alarm, "since_us")), now(s).wall_us - SECOND);
    json_decref(alarm);
    ck_assert_int_lt(begun_us, s->now_us);
    int64_t heard_us = s->now_us;
    tick(s, OBSERVED_FRESH_US + 1);
    for (size_t i = 0; i < 3; i++)
        say(s, edges[i], (struct saying){0});
    expect_alarms(s, "2 edge/edge-4\n");
    alarm = status_row(s, "alarms", "key", "edge/edge-4");
    ck_assert_int_lt(json_integer_value(json_object_get(alarm, "since_us")) - (now(s).wall_us - s->now_us), heard_us);
    json_decref(alarm);
    server_free(s);
}
END_TEST

START_TEST(a_service_that_fails_is_told_with_its_share_from_when_it_began)
{
    struct server *s = server_new();
    confirm_all(s);
    struct saying fails = {.policy = "manual.home", .room = "room-a", .requests = 100, .rate = 50, .fail_rate = 20},
                  barely = fails;
    barely.fail_rate = 0.4;
    say_all(s);
    say(s, "edge-1", barely);
    expect_alarms(s, "");
    say(s, "edge-1", fails);
    tick(s, 2 * SECOND);
    say(s, "edge-1", fails);
    json_t *alarm = status_row(s, "alarms", "key", "service/home");
    ck_assert_str_eq(member(alarm, "evidence"), "40 % of 50.0 requests/s");
    ck_assert_int_eq(json_integer_value(json_object_get(alarm, "since_us")), now(s).wall_us - 2 * SECOND);
    json_decref(alarm);
    expect_alarms(s, "1 service/home\n");
    server_free(s);
}
END_TEST

START_TEST(an_alarm_is_told_once_taken_by_somebody_and_told_when_it_is_over)
{
    struct server *s = server_new();
    struct alarm_book *book = alarm_book_new();
    GError *error = NULL;
    confirm_all(s);
    say_all(s);
    expect_page(book, s, "");
    ck_assert_ptr_null(acknowledge(book, s, "alice", &error));
    expect_error(error, NOT_FOUND, "found none");
    cut(s, true);
    expect_page(book, s, "begun entrances/room-a 1\n");
    expect_page(book, s, "");
    ck_assert_str_eq(taken_by(book, s), "");
    journal_entry_free(acknowledge(book, s, "alice", &error));
    ck_assert_str_eq(taken_by(book, s), "alice");
    struct journal_entry *kept = acknowledge(book, s, "bob", &error);
    ck_assert_str_eq(member(kept->body, "state"), "acknowledged");
    ck_assert_str_eq(taken_by(book, s), "bob");
    for (int i = 0; i < 3; i++) { /* what flaps is the same alarm, and still his */
        cut(s, false);
        tick(s, 10 * SECOND);
        cut(s, false);
        expect_page(book, s, "");
        cut(s, true);
        expect_page(book, s, "");
        ck_assert_str_eq(taken_by(book, s), "bob");
    }
    /* Started anew: nothing is over before the agents had their time to say so. */
    alarm_book_free(book);
    book = alarm_book_new();
    ck_assert(alarm_book_restore(book, kept, &error));
    journal_entry_free(kept);
    ck_assert_str_eq(taken_by(book, s), "bob");
    cut(s, false);
    expect_page(book, s, "");
    tick(s, ALARM_GONE_US - 1);
    cut(s, false);
    expect_page(book, s, "");
    tick(s, 1);
    cut(s, false);
    expect_page(book, s, "over entrances/room-a 1\n");
    cut(s, true);
    expect_page(book, s, "begun entrances/room-a 1\n");
    ck_assert_str_eq(taken_by(book, s), "");
    alarm_book_free(book);
    /* As soon as it is seen it can be taken, looked at or not. */
    book = alarm_book_new();
    journal_entry_free(acknowledge(book, s, "carol", &error));
    ck_assert_str_eq(taken_by(book, s), "carol");
    expect_page(book, s, "");
    alarm_book_free(book);
    server_free(s);
}
END_TEST

START_TEST(an_alarm_that_gets_worse_is_told_again)
{
    struct server *s = server_new();
    struct alarm_book *book = alarm_book_new();
    confirm_all(s);
    set_ok(s, "room.ingress", "room-a", "closed");
    confirm_all(s);
    cut(s, true);
    expect_page(book, s, "begun entrances/room-a 3\n");
    set_ok(s, "room.ingress", "room-a", "open");
    confirm_all(s);
    cut(s, true);
    expect_page(book, s, "begun entrances/room-a 1\n");
    set_ok(s, "room.ingress", "room-a", "closed");
    confirm_all(s);
    cut(s, true);
    expect_page(book, s, "");
    alarm_book_free(book);
    server_free(s);
}
END_TEST

START_TEST(a_name_server_that_complains)
{
    struct server *s = server_new();
    say_all(s);
    confirm_all(s);
    struct server_report *report = g_new0(struct server_report, 1);
    *report = (struct server_report){.server = g_strdup("ns-2"),
                                     .at_us = s->now_us,
                                     .state = g_strdup("unreachable"),
                                     .error = g_strdup("192.0.2.54: no answer")};
    engine_server_report(s->engine, report, s->now_us, &s->effects);
    settle(s);
    expect_alarms(s, "2 nameserver/ns-2\n");
    confirm_all(s);
    expect_alarms(s, "");
    server_free(s);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, a_healthy_site_has_none_and_a_young_reign_does_not_guess);
    tcase_add_test(tcase, all_pops_of_a_room_are_one_alarm_with_the_plan_until_it_is_pressed);
    tcase_add_test(tcase, what_a_dedicated_edge_sees_of_a_pop_is_not_its_users);
    tcase_add_test(tcase, a_plan_that_the_site_does_not_have_is_not_named);
    tcase_add_test(tcase, an_edge_that_complains_or_is_silent_keeps_its_time);
    tcase_add_test(tcase, a_service_that_fails_is_told_with_its_share_from_when_it_began);
    tcase_add_test(tcase, a_name_server_that_complains);
    tcase_add_test(tcase, an_alarm_is_told_once_taken_by_somebody_and_told_when_it_is_over);
    tcase_add_test(tcase, an_alarm_that_gets_worse_is_told_again);
}

int main(void)
{
    return unit_run("alarms", add);
}
