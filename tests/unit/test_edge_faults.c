/* A real HAProxy whose origins fail: what a request meets meanwhile. */
#include "tests/unit/edgestage.h"

#include <stdio.h>
#include <string.h>

static const struct edge_table_text rest;

/* Checks would need 0.3 s at least to find out: each of these first requests meets entrances that are thought well. */
START_TEST(a_request_passes_over_a_room_whose_entrances_all_refuse_at_once)
{
    struct stage s;
    stage_begin(&s);
    stage_must_apply(&s, 7, &rest);
    for (unsigned i = 0; i < 25; i++) {
        unsigned first = i % 2 == 0 ? POP_A1 : POP_B1;
        origin_stop(&s.origins[first]);
        origin_stop(&s.origins[first + 1]);
        for (unsigned k = 0; k < 4; k++) { /* users of both rooms */
            g_autofree char *cookie = g_strdup_printf("Cookie: uid=%u\r\n", i * 4 + k);
            struct answer answer = stage_request(&s, k % 2 == 0 ? "GET" : "POST", "play.example.test", "/", cookie);
            ck_assert_msg(answer.status == 200, "%s", answer.text);
            ck_assert_int_lt(answer.took_us, 1500000);
            g_free(answer.text);
        }
        origin_start(&s.origins[first]);
        origin_start(&s.origins[first + 1]);
        stage_stop_haproxy(&s); /* a fresh one believes in all of them */
        stage_start_haproxy(&s);
    }
    stage_end(&s);
}
END_TEST

/* Requests of twenty users, who are of both rooms; all must be answered. Those that room A's entrances had. */
static unsigned users_of_room_a(struct stage *s)
{
    unsigned before = stage_room_requests(s, POP_A1);
    for (unsigned k = 0; k < 20; k++) {
        g_autofree char *cookie = g_strdup_printf("Cookie: uid=%u\r\n", k);
        struct answer answer = stage_request(s, "GET", "play.example.test", "/", cookie);
        ck_assert_msg(answer.status == 200, "%s", answer.text);
        g_free(answer.text);
    }
    return stage_room_requests(s, POP_A1) - before;
}

/* As the traffic's backend sees it, not only the checks'. */
static bool room_is_up(struct stage *s, const char *room)
{
    g_autofree char *command = g_strdup_printf("show stat be_multi-dr_%s 4 -1\n", room);
    g_autofree char *prefix = g_strconcat(",", room, ".", NULL);
    g_autofree char *stat = stage_admin(s, command);
    g_auto(GStrv) lines = g_strsplit(stat, "\n", -1);
    unsigned up = 0;
    for (char **line = lines; *line != NULL; line++)
        up += strstr(*line, prefix) != NULL && strstr(*line, ",UP,") != NULL;
    return up == 2;
}

static bool home_is(struct stage *s, const char *room, const char *home)
{
    g_autofree char *command = g_strdup_printf("show map %s/holds.map\n", s->dir);
    g_autofree char *map = stage_admin(s, command);
    g_autofree char *row = g_strdup_printf(" %s %s\n", room, home);
    return strstr(map, row) != NULL;
}

static void room_a(struct stage *s, void (*change)(struct origin *))
{
    change(&s->origins[POP_A1]);
    change(&s->origins[POP_A2]);
}

static void hold_room_a(struct stage *s)
{
    stage_must_apply(s, 7, &rest);
    ck_assert_uint_gt(users_of_room_a(s), 0);
    room_a(s, origin_stop);
    EVENTUALLY(users_of_room_a(s) == 0 && home_is(s, "room-a", "0"));
    ck_assert(stage_noted(s, "room-a held away: all"));
}

START_TEST(a_room_that_heals_gets_its_users_back_by_stages)
{
    struct stage s;
    stage_begin_with(&s, &(struct edge_settings){
                             .hold_us = 2000000, .hold_stage_us = 300000, .relay_allowance = EDGE_RELAY_ALLOWANCE});
    hold_room_a(&s);
    room_a(&s, origin_start);
    EVENTUALLY(room_is_up(&s, "room-a"));
    int64_t from_us = loop_now_us();
    bool held = home_is(&s, "room-a", "0");
    unsigned requests = users_of_room_a(&s);
    ck_assert(held && loop_now_us() - from_us < 1000000); /* or this has shown nothing */
    ck_assert_uint_eq(requests, 0);
    EVENTUALLY(home_is(&s, "room-a", "1000"));
    for (unsigned home = 100; home < 1000; home += 100) {
        g_autofree char *stage = g_strdup_printf("room-a held away: %u of", home);
        ck_assert_msg(stage_noted(&s, stage), "%s", stage);
    }
    EVENTUALLY(stage_noted(&s, "room-a no longer held away"));
    ck_assert_uint_gt(users_of_room_a(&s), 0);
    ck_assert_msg(s.restarts == 0, "%s", s.restarted);
    stage_end(&s);
}
END_TEST

/* With a HAProxy that knows of no failure: by its map file alone. */
START_TEST(a_hold_outlives_haproxy_and_the_agent)
{
    struct stage s;
    stage_begin(&s);
    hold_room_a(&s);
    room_a(&s, origin_start);
    stage_restart_driver(&s);
    stage_must_apply(&s, 7, &rest);
    ck_assert(home_is(&s, "room-a", "0"));
    stage_stop_haproxy(&s);
    stage_start_haproxy(&s);
    EVENTUALLY(room_is_up(&s, "room-a"));
    ck_assert_uint_eq(users_of_room_a(&s), 0);
    ck_assert(home_is(&s, "room-a", "0"));
    stage_end(&s);
}
END_TEST

/* Held away, and then the others fail: its own entrances are the backup. It is room B then that is held, and when that
 * is back nobody leaves room A for it but B's own users, by stages. */
START_TEST(a_held_room_takes_its_users_when_the_others_fail)
{
    struct stage s;
    stage_begin(&s);
    hold_room_a(&s);
    room_a(&s, origin_start);
    EVENTUALLY(room_is_up(&s, "room-a"));
    origin_stop(&s.origins[POP_B1]);
    origin_stop(&s.origins[POP_B2]);
    ck_assert_uint_eq(users_of_room_a(&s), 20);
    EVENTUALLY(home_is(&s, "room-a", "1000") && home_is(&s, "room-b", "0"));
    ck_assert(stage_noted(&s, "room-a no longer held away: it is up and no other room is"));
    ck_assert_uint_eq(users_of_room_a(&s), 20);
    origin_start(&s.origins[POP_B1]);
    origin_start(&s.origins[POP_B2]);
    EVENTUALLY(room_is_up(&s, "room-b"));
    ck_assert_uint_eq(users_of_room_a(&s), 20);
    stage_end(&s);
}
END_TEST

START_TEST(a_table_that_closes_the_room_ends_its_hold)
{
    static const struct edge_table_text closed = {
        .rooms = "multi/room-a room-b\nmulti/room-b room-b\nsingle/room-a room-a\nsingle/room-b room-b\n"};
    struct stage s;
    stage_begin(&s);
    hold_room_a(&s);
    stage_must_apply(&s, 8, &closed);
    EVENTUALLY(home_is(&s, "room-a", "1000"));
    EVENTUALLY(stage_noted(&s, "room-a no longer held away: by the table"));
    ck_assert_uint_eq(users_of_room_a(&s), 0);
    stage_must_apply(&s, 9, &rest); /* still down: it is held anew */
    EVENTUALLY(home_is(&s, "room-a", "0"));
    ck_assert_uint_eq(users_of_room_a(&s), 0);
    stage_end(&s);
}
END_TEST

/* What somebody else writes there is not what is in force. */
START_TEST(a_hold_that_someone_else_takes_back_is_noticed)
{
    struct stage s;
    stage_begin(&s);
    hold_room_a(&s);
    g_autofree char *command = g_strdup_printf("set map %s/holds.map room-a 1000\n", s.dir);
    g_free(stage_admin(&s, command));
    pthread_mutex_lock(&s.lock);
    stage_await(&s, &s.restarts, 0);
    ck_assert_msg(strstr(s.restarted, "map holds: 'room-a' is '1000', expected '0'") != NULL, "%s", s.restarted);
    pthread_mutex_unlock(&s.lock);
    stage_must_apply(&s, 7, &rest);
    ck_assert(home_is(&s, "room-a", "0"));
    stage_end(&s);
}
END_TEST

#define LATER 40u
/* Uploads may take 8 s, and two are asked of room A that would take 4. */
struct waiting {
    struct stage *stage;
    const char *method;
    struct answer answer;
    pthread_t thread;
};

static void *wait_run(void *data)
{
    struct waiting *w = data;
    w->answer = stage_request(w->stage, w->method, "creator.example.test", "/upload/slow", NULL);
    return NULL;
}

static void uploads_begin(struct stage *s, struct waiting uploads[static 2])
{
    static const char policies[] = "creator.upload 3|single|off|local|8000\n";
    stage_begin(s);
    g_autofree char *layout = g_strdup_printf(
        "class public\nescape/room-a/escape-a 127.0.0.1:%u\norigin/room-a/pop-a1 127.0.0.1:%u\n"
        "origin/room-a/pop-a2 127.0.0.1:%u\norigin/room-b/pop-b1 127.0.0.1:%u\n",
        s->origins[POP_B2].port, s->origins[POP_A1].port, s->origins[POP_A2].port, s->origins[POP_B1].port);
    stage_must_apply(s, 7, &(struct edge_table_text){.layout = layout, .policies = policies, .origins = ""});
    for (unsigned i = POP_A1; i <= POP_A2; i++)
        atomic_store(&s->origins[i].slow_ms, 4000);
    for (unsigned i = 0; i < 2; i++) {
        uploads[i] = (struct waiting){.stage = s, .method = i == 0 ? "GET" : "POST"};
        ck_assert_int_eq(pthread_create(&uploads[i].thread, NULL, wait_run, &uploads[i]), 0);
    }
    EVENTUALLY(stage_room_requests(s, POP_A1) == 2);
}

static void uploads_end(struct stage *s, struct waiting uploads[static 2])
{
    for (unsigned i = 0; i < 2; i++)
        g_free(uploads[i].answer.text);
    stage_end(s);
}

static bool checks_know(struct stage *s)
{
    g_autofree char *stat = stage_admin(s, "show stat be_health 4 -1\n");
    g_auto(GStrv) lines = g_strsplit(stat, "\n", -1);
    unsigned down = 0;
    for (char **line = lines; *line != NULL; line++)
        down += strstr(*line, ",room-a.pop-a") != NULL && strstr(*line, ",DOWN,") != NULL;
    return down == 2;
}

/* Those too whose connect is under way when that is done: they are the first to try these entrances. */
START_TEST(what_waits_for_a_room_that_is_silently_gone_is_asked_of_its_escape)
{
    struct stage s;
    struct waiting uploads[2];
    uploads_begin(&s, uploads);
    int64_t from_us = loop_now_us();
    room_a(&s, origin_hole);
    EVENTUALLY(checks_know(&s));
    struct answer *later = stage_volley(&s, "creator.example.test", "/upload/", LATER, 10000);
    for (unsigned i = 0; i < 2; i++)
        pthread_join(uploads[i].thread, NULL);
    ck_assert_uint_eq(volley_others(later, LATER, 200), 0);
    printf("silently gone: all uploads had an answer after %lld ms\n", (long long)(loop_now_us() - from_us) / 1000);
    ck_assert_int_lt(loop_now_us() - from_us, 3000000);
    ck_assert_msg(uploads[0].answer.status == 200, "%s", uploads[0].answer.text);
    answer_expect(&uploads[0].answer, true, "x-sb-attempt", "room-a.escape-a");
    ck_assert_msg(uploads[1].answer.status == 502, "%s", uploads[1].answer.text); /* may not be sent twice */
    ck_assert_uint_eq(atomic_load(&s.origins[POP_B2].requests), LATER + 1);
    ck_assert(stage_noted(&s, "room-a is gone without a word"));
    uploads_end(&s, uploads);
}
END_TEST

/* One of its entrances, or both while they refuse what is new: an answer may come, and does. */
START_TEST(what_may_still_be_answered_is_waited_for)
{
    for (unsigned refuse = 0; refuse <= 1; refuse++) {
        struct stage s;
        struct waiting uploads[2];
        uploads_begin(&s, uploads);
        if (refuse)
            room_a(&s, origin_refuse);
        else
            origin_hole(&s.origins[POP_A1]);
        for (unsigned i = 0; i < 2; i++) {
            pthread_join(uploads[i].thread, NULL);
            ck_assert_msg(uploads[i].answer.status == 200, "%s", uploads[i].answer.text);
        }
        ck_assert_uint_eq(atomic_load(&s.origins[POP_B2].requests), 0);
        ck_assert(!stage_noted(&s, "gone without a word"));
        uploads_end(&s, uploads);
    }
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, a_room_that_heals_gets_its_users_back_by_stages);
    tcase_add_test(tcase, a_hold_outlives_haproxy_and_the_agent);
    tcase_add_test(tcase, a_held_room_takes_its_users_when_the_others_fail);
    tcase_add_test(tcase, a_table_that_closes_the_room_ends_its_hold);
    tcase_add_test(tcase, a_hold_that_someone_else_takes_back_is_noticed);
    tcase_add_test(tcase, what_waits_for_a_room_that_is_silently_gone_is_asked_of_its_escape);
    tcase_add_test(tcase, what_may_still_be_answered_is_waited_for);
    tcase_add_test(tcase, a_request_passes_over_a_room_whose_entrances_all_refuse_at_once);
}

int main(void)
{
    return unit_run("edge_faults", add);
}
