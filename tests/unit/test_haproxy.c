/* A real HAProxy on the loopback, with origins of our own: what dcdn/ gives it is what requests meet. */
#include "dcdn/hold.h"
#include "schema/slot.h"
#include "schema/split.h"
#include "tests/unit/edgestage.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

static const struct edge_table_text rest;
static const struct edge_table_text closed_a = {
    .rooms = "multi/room-a room-b\nmulti/room-b room-b\nsingle/room-a -\nsingle/room-b room-b\n",
    .origins = "multi/room-a/pop-a1 out\nmulti/room-a/pop-a2 out\nmulti/room-b/pop-b1 in\nmulti/room-b/pop-b2 in\n"
               "single/room-a/pop-a1 out\nsingle/room-a/pop-a2 out\n"};

/* ---- tests ---- */

START_TEST(slots_and_rooms_agree_with_the_schema)
{
    struct stage s;
    stage_begin(&s);
    stage_must_apply(&s, 7, &rest);
    for (unsigned i = 0; i < 300; i++) {
        char key[SLOT_KEY_SIZE];
        g_autofree char *user = i < 290 ? g_strdup_printf("user-%u", i * 7919) : g_strnfill(100 + i % 10 * 8, 'x');
        bool device = i % 3 == 0;
        slot_key(key, device ? NULL : user, device ? user : NULL, NULL);
        unsigned slot = slot_of_key(key);
        g_autofree char *cookie = g_strdup_printf("Cookie: a=b; %s=%s\r\nX-SB-Slot: 5\r\nX-SB-Evil: 1\r\n",
                                                  device ? "sb_device" : "uid", user);
        g_autofree char *expected = g_strdup_printf("%u", slot);
        struct answer answer = stage_request(&s, "GET", "play.example.test", "/x", cookie);
        ck_assert_int_eq(answer.status, 200);
        answer_expect(&answer, true, "x-sb-slot", expected);
        answer_expect(&answer, true, "x-sb-generation", "7");
        answer_expect(&answer, true, "x-sb-evil", NULL);
        answer_expect(&answer, false, "x-sb-room", slot < 500 ? "room-a" : "room-b");
        answer_expect(&answer, false, "x-sb-edge", "edge-1");
        g_free(answer.text);
    }
    char key[SLOT_KEY_SIZE];
    struct addr addr;
    addr_parse("127.0.0.1", &addr);
    g_autofree char *expected = g_strdup_printf("%u", slot_of_key(slot_key(key, NULL, NULL, &addr)));
    struct answer answer = stage_request(&s, "GET", "play.example.test", "/", "Cookie: uid=\r\n");
    answer_expect(&answer, true, "x-sb-slot", expected);
    g_free(answer.text);
    stage_end(&s);
}
END_TEST

START_TEST(routes_take_the_longest_prefix_and_unknown_hosts_are_421)
{
    static const struct {
        const char *host, *path;
        int status;
        const char *policy; /* as the counters have it */
    } rows[] = {
        {"Creator.Example.TEST:8080", "/", 200, "creator.creator"},
        {"creator.example.test", "/uploads", 200, "creator.creator"},
        {"creator.example.test.", "/upload", 200, "creator.upload"},
        {"creator.example.test", "/upload/a?b=c", 200, "creator.upload"},
        {"creator.example.testx", "/", 421, NULL},
        {"other.test", "/", 421, NULL},
        {"example.test", "/", 421, NULL},
        /* one policy, however its path is written */
        {"creator.example.test", "//upload//a", 200, "creator.upload"},
        {"creator.example.test", "/%75pload/a", 200, "creator.upload"},
        {"creator.example.test", "/%2fupload", 200, "creator.upload"},
        {"creator.example.test", "http://creator.example.test/upload/a", 200, "creator.upload"},
        {"creator.example.test", "/./upload", 400, NULL},
        {"creator.example.test", "/x/%2e%2E/upload", 400, NULL},
        {"creator.example.test", "/upload/..", 400, NULL},
        {"creator.example.test", "/.well-known/..a", 200, "creator.creator"},
        /* nor its host */
        {"creator.example.test/x", "/upload", 200, "creator.upload"},
        {"home.example.test,creator.example.test", "/upload", 421, NULL},
        {"creator.example.test\r\nHost: home.example.test", "/", 400, NULL},
        {"home.example.test", "http://creator.example.test/upload", 400, NULL},
        {"[::1]:80", "/", 421, NULL},
        {"", "/", 421, NULL},
        {"creator.example.test", "*", 200, "creator.creator"},
    };
    struct stage s;
    stage_begin(&s);
    ck_assert_int_eq(stage_status(&s, "GET", "play.example.test", "/"), 421); /* before there is any table */
    stage_must_apply(&s, 7, &rest);
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_free(stage_admin(&s, "clear table st_answered\n"));
        int status = stage_status(&s, "GET", rows[i].host, rows[i].path);
        ck_assert_msg(status == rows[i].status, "%s %s: %d, expected %d", rows[i].host, rows[i].path, status,
                      rows[i].status);
        g_autofree char *counted = stage_admin(&s, "show table st_answered\n");
        g_autofree char *key = g_strdup_printf("key=%s/room-a/pop-a", rows[i].policy);
        ck_assert_msg(rows[i].policy == NULL || strstr(counted, key) != NULL, "%s not in %s", key, counted);
    }
    g_autofree char *long_path = g_strnfill(12000, 'x');
    long_path[0] = '/';
    ck_assert_int_eq(stage_status(&s, "GET", "creator.example.test", long_path), 200);
    stage_end(&s);
}
END_TEST

/* The dedicated edge sees the public edge as its client: the slot that the public edge found counts. */
START_TEST(a_relayed_request_keeps_its_slot)
{
    static const struct {
        const char *sent, *slot; /* NULL: as the address has it */
    } rows[] = {{"0", "0"}, {"499", "499"}, {"999", "999"}, {"1000", NULL}, {"-1", NULL}, {"", NULL}, {"7;8", NULL}};
    struct stage s;
    stage_begin(&s);
    stage_must_apply(&s, 7, &rest);
    char key[SLOT_KEY_SIZE];
    struct addr addr;
    addr_parse("127.0.0.1", &addr);
    g_autofree char *own = g_strdup_printf("%u", slot_of_key(slot_key(key, NULL, NULL, &addr)));
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        const char *slot = rows[i].slot != NULL ? rows[i].slot : own;
        g_autofree char *relayed = g_strdup_printf("X-SB-Relayed: edge-2\r\nX-SB-Slot: %s\r\n", rows[i].sent);
        struct answer answer = stage_request(&s, "GET", "play.example.test", "/", relayed);
        ck_assert_int_eq(answer.status, 200);
        answer_expect(&answer, true, "x-sb-slot", slot);
        answer_expect(&answer, false, "x-sb-room", atoi(slot) < 500 ? "room-a" : "room-b");
        g_free(answer.text);
    }
    stage_end(&s);
}
END_TEST

START_TEST(a_closed_room_is_out_of_every_backend_and_stays_so_over_reloads)
{
    struct stage s;
    stage_begin(&s);
    stage_must_apply(&s, 7, &rest);
    stage_must_apply(&s, 8, &closed_a);
    unsigned before = stage_room_requests(&s, POP_A1);
    for (unsigned round = 0; round < 5; round++) {
        for (unsigned i = 0; i < 20; i++) {
            g_autofree char *cookie = g_strdup_printf("Cookie: uid=%u\r\n", i * 31);
            struct answer answer =
                stage_request(&s, "GET", i % 2 == 0 ? "play.example.test" : "home.example.test", "/", cookie);
            ck_assert_int_eq(answer.status, 200);
            answer_expect(&answer, false, "x-sb-room", "room-b");
            answer_expect(&answer, true, "x-sb-generation", "8");
            g_free(answer.text);
        }
        struct answer answer = stage_request(&s, "GET", "creator.example.test", "/", NULL);
        ck_assert_int_eq(answer.status, 503);
        answer_expect(&answer, false, "x-sb-reason", "closed");
        answer_expect(&answer, false, "retry-after", "5");
        g_free(answer.text);
        EVENTUALLY(stage_master_answers(&s));
        pthread_mutex_lock(&s.lock);
        unsigned restarts = s.restarts;
        g_free(stage_say(s.settings.master_socket, "reload\n"));
        stage_await(&s, &s.restarts, restarts);
        ck_assert_msg(strstr(s.restarted, "new process") != NULL, "%s", s.restarted);
        pthread_mutex_unlock(&s.lock);
        stage_must_apply(&s, 8, &closed_a); /* what the agent does then */
    }
    static const char *const forged[] = {"X-SB-Relayed: edge-2\r\nX-SB-Slot: 3\r\n",
                                         "X-SB-Probe: 1\r\nX-SB-Relayed: edge-2\r\nX-SB-Room: room-a\r\n",
                                         "Cookie: uid=\"a;b\"; uid=\r\n", "X-SB-Slot: 3\r\nCookie: sb_device=;;=\r\n"};
    for (unsigned i = 0; i < G_N_ELEMENTS(forged) * 2; i++) { /* whatever a client sends */
        struct answer answer = stage_request(&s, "GET", i % 2 == 0 ? "play.example.test" : "creator.example.test",
                                             "/.well-known/signalbox-probe", forged[i / 2]);
        ck_assert_int_eq(answer.status, i % 2 == 0 ? 200 : 503);
        g_free(answer.text);
    }
    /* both rooms' B entrances dead: A is no last resort either */
    origin_stop(&s.origins[POP_B1]);
    origin_stop(&s.origins[POP_B2]);
    ck_assert_int_eq(stage_status(&s, "GET", "play.example.test", "/"), 503);
    ck_assert_uint_eq(stage_room_requests(&s, POP_A1), before);
    stage_end(&s);
}
END_TEST

START_TEST(failures_pass_to_another_entrance_and_another_room_inside_one_request)
{
    struct stage s;
    stage_begin(&s);
    stage_must_apply(&s, 7, &rest);
    origin_stop(&s.origins[POP_A1]);
    for (unsigned i = 0; i < 40; i++) { /* half of the users are room-a's; POST too: nothing was sent */
        g_autofree char *cookie = g_strdup_printf("Cookie: uid=%u\r\n", i);
        struct answer answer = stage_request(&s, i % 2 == 0 ? "GET" : "POST", "home.example.test", "/", cookie);
        ck_assert_msg(answer.status == 200, "%s", answer.text);
        g_free(answer.text);
    }
    origin_stop(&s.origins[POP_A2]);
    for (unsigned i = 0; i < 20; i++) { /* automatic DR: room-b answers for all */
        g_autofree char *cookie = g_strdup_printf("Cookie: uid=%u\r\n", i);
        struct answer answer = stage_request(&s, i % 2 == 0 ? "GET" : "POST", "play.example.test", "/", cookie);
        ck_assert_msg(answer.status == 200, "%s", answer.text);
        answer_expect(&answer, false, "x-sb-room", "room-b");
        ck_assert_int_lt(answer.took_us, 1200000);
        g_free(answer.text);
    }
    struct answer answer = stage_request(&s, "GET", "creator.example.test", "/", NULL); /* no DR: says so */
    ck_assert_int_eq(answer.status, 503);
    answer_expect(&answer, false, "x-sb-reason", "no-answer");
    answer_expect(&answer, false, "retry-after", "2");
    g_free(answer.text);
    stage_end(&s);
}
END_TEST

START_TEST(what_was_sent_is_sent_again_only_when_it_may_be)
{
    struct stage s;
    stage_begin(&s);
    stage_must_apply(&s, 7, &rest);
    atomic_store(&s.origins[POP_A1].mute, true); /* takes requests and never answers; checks fail after a while */
    atomic_store(&s.origins[POP_A2].mute, true);
    struct answer post = stage_request(&s, "POST", "play.example.test", "/", "Cookie: uid=3\r\n");
    char key[SLOT_KEY_SIZE];
    ck_assert_uint_lt(slot_of_key(slot_key(key, "3", NULL, NULL)), 1000);
    bool at_a = slot_of_key(key) < 500;
    ck_assert_int_eq(post.status, at_a ? 504 : 200);
    ck_assert_int_lt(post.took_us, 1500000);
    g_free(post.text);
    atomic_store(&s.origins[POP_B1].mute, true); /* room-b's users: the same the other way round */
    atomic_store(&s.origins[POP_B2].mute, true);
    atomic_store(&s.origins[POP_A1].mute, false);
    atomic_store(&s.origins[POP_A2].mute, false);
    stage_end(&s);
}
END_TEST

START_TEST(a_get_is_never_longer_than_the_limit_when_a_room_goes_mute)
{
    struct stage s;
    stage_begin(&s);
    stage_must_apply(&s, 7, &rest);
    atomic_store(&s.origins[POP_A1].mute, true);
    atomic_store(&s.origins[POP_A2].mute, true);
    for (unsigned i = 0; i < 12; i++) {
        g_autofree char *cookie = g_strdup_printf("Cookie: uid=%u\r\n", i);
        struct answer answer = stage_request(&s, "GET", "play.example.test", "/", cookie);
        ck_assert_msg(answer.status == 200, "%s", answer.text);
        ck_assert_msg(answer.took_us < 1500000, "took %" G_GINT64_FORMAT " us", answer.took_us);
        g_free(answer.text);
    }
    stage_end(&s);
}
END_TEST

START_TEST(relayed_groups_go_to_a_dedicated_edge_once)
{
    struct stage s;
    stage_begin(&s);
    stage_must_apply(&s, 7, &rest);
    struct answer answer = stage_request(&s, "GET", "play-line.example.test", "/", NULL);
    ck_assert_int_eq(answer.status, 200);
    answer_expect(&answer, true, "x-sb-relayed", "edge-1");
    answer_expect(&answer, false, "x-sb-room", "room-far"); /* the dedicated edge's word */
    g_free(answer.text);
    answer = stage_request(&s, "GET", "play-line.example.test", "/", "X-SB-Relayed: edge-2\r\n");
    ck_assert_int_eq(answer.status, 503);
    answer_expect(&answer, false, "x-sb-reason", "relay-loop");
    g_free(answer.text);
    g_autofree char *counted = stage_admin(&s, "show table st_answered\n");
    ck_assert_msg(strstr(counted, "key=core-line.playback//relay ") != NULL, "%s", counted);
    stage_end(&s);
}
END_TEST

/* Of a flood for a dedicated group; the second begins anywhere within it. Neither a header that relays write nor a
 * probe's, from another machine than this, changes that; other groups and this machine's own probes are not concerned.
 */
START_TEST(relays_keep_to_an_allowance)
{
    enum { ALLOWANCE = 8 };
    struct stage s;
    struct edge_settings limits = {.hold_us = HOLD_US, .hold_stage_us = HOLD_STAGE_US, .relay_allowance = ALLOWANCE};
    stage_begin_with(&s, &limits);
    stage_must_apply(&s, 7, &rest);
    unsigned relayed = 0, refused = 0, sent = 0, looped = 0;
    int64_t from_us = loop_now_us();
    for (; loop_now_us() < from_us + 3000000; sent++) {
        struct answer answer = stage_request(&s, sent % 2 == 0 ? "GET" : "POST", "play-line.example.test", "/",
                                             sent % 10 == 9 ? "X-SB-Relayed: edge-2\r\n" : NULL);
        g_autofree char *reason = answer_header(&answer, false, "x-sb-reason");
        relayed += answer.status == 200;
        looped += g_strcmp0(reason, "relay-loop") == 0;
        if (g_strcmp0(reason, "relay-allowance") == 0) {
            refused++;
            ck_assert_int_eq(answer.status, 503);
            answer_expect(&answer, false, "retry-after", "1");
        }
        g_free(answer.text);
    }
    unsigned seconds = (unsigned)((loop_now_us() - from_us) / 1000000);
    ck_assert_uint_eq(relayed + refused + looped, sent);
    ck_assert_uint_eq(looped, sent / 10);
    ck_assert_uint_eq(relayed, atomic_load(&s.origins[EDGE_3].requests));
    ck_assert_msg(sent > 10 * ALLOWANCE * seconds, "only %u were sent", sent);
    ck_assert_uint_le(relayed, ALLOWANCE * (seconds + 2));
    ck_assert_uint_ge(relayed, ALLOWANCE * (seconds - 1));
    ck_assert_int_eq(stage_status(&s, "GET", "play.example.test", "/"), 200);
    for (unsigned i = 0; i < 2 * ALLOWANCE; i++) {
        struct answer answer = stage_request(&s, "GET", "play-line.example.test", "/", "X-SB-Probe: 1\r\n");
        ck_assert_msg(answer.status == 200, "%s", answer.text);
        g_free(answer.text);
    }
    EVENTUALLY(stage_status(&s, "GET", "play-line.example.test", "/") == 200);
    stage_end(&s);
}
END_TEST

/* Of the numbers behind a name in a table. */
static unsigned sum_of(const char *table, const char *name)
{
    unsigned sum = 0;
    for (const char *at = table; (at = strstr(at, name)) != NULL; at++)
        sum += (unsigned)atoi(at + strlen(name));
    return sum;
}

START_TEST(requests_are_counted_once_and_probes_are_not)
{
    struct stage s;
    stage_begin(&s);
    stage_must_apply(&s, 7, &rest);
    for (unsigned i = 0; i < 10; i++)
        stage_status(&s, "GET", "creator.example.test", i < 3 ? "/fails" : "/");
    struct answer probe = stage_request(&s, "GET", "creator.example.test", "/.well-known/x", "X-SB-Probe: 1\r\n");
    answer_expect(&probe, true, "x-sb-probe", "1");
    g_free(probe.text);
    origin_stop(&s.origins[POP_A1]);
    origin_stop(&s.origins[POP_A2]);
    for (unsigned i = 0; i < 4; i++)
        ck_assert_int_eq(stage_status(&s, "GET", "creator.example.test", "/"), 503);
    probe = stage_request(&s, "GET", "creator.example.test", "/.well-known/x", "X-SB-Probe: 1\r\n");
    ck_assert_int_eq(probe.status, 503);
    g_free(probe.text);
    g_autofree char *answered = stage_admin(&s, "show table st_answered\n");
    g_autofree char *unanswered = stage_admin(&s, "show table st_unanswered\n");
    ck_assert_uint_eq(sum_of(answered, "http_req_cnt="), 10);
    ck_assert_uint_eq(sum_of(answered, "http_fail_cnt="), 3);
    ck_assert_uint_eq(sum_of(unanswered, "gpc0="), 4);
    ck_assert_uint_ge(sum_of(answered, "bytes_in_cnt="), 9 * strlen("GET / HTTP/1.1\r\n\r\n"));
    ck_assert_uint_ge(sum_of(answered, "bytes_out_cnt="), 9 * strlen("HTTP/1.1 200 OK\r\n\r\n"));
    stage_end(&s);
}
END_TEST

/* Someone else's command, and what the driver says of it within 3 s. */
static void meddle(struct stage *s, const char *command, const char *noticed)
{
    pthread_mutex_lock(&s->lock);
    unsigned restarts = s->restarts;
    int64_t from_us = loop_now_us();
    g_free(stage_admin(s, command));
    stage_await(s, &s->restarts, restarts);
    ck_assert_msg(strstr(s->restarted, noticed) != NULL, "%s", s->restarted);
    ck_assert_int_lt(loop_now_us() - from_us, 3000000);
    pthread_mutex_unlock(&s->lock);
    stage_must_apply(s, 7, &closed_a); /* what the agent does then */
}

START_TEST(someone_elses_change_is_noticed_and_repaired)
{
    struct stage s;
    stage_begin(&s);
    stage_must_apply(&s, 7, &closed_a);
    g_autofree char *set = g_strdup_printf("set map %s/rooms.map multi/room-a room-a\n", s.dir);
    g_autofree char *del = g_strdup_printf("del map %s/rooms.map multi/room-b\n", s.dir);
    meddle(&s, set, "map rooms: 'multi/room-a' is 'room-a', expected 'room-b'");
    meddle(&s, del, "map rooms: 'multi/room-b'");
    g_autofree char *back = g_strdup_printf("show map %s/rooms.map\n", s.dir);
    g_autofree char *rows = stage_admin(&s, back);
    ck_assert_ptr_nonnull(strstr(rows, "multi/room-a room-b\n"));
    ck_assert_ptr_nonnull(strstr(rows, "multi/room-b room-b\n"));
    meddle(&s, "set server be_multi-dr_room-b/room-a.pop-a1 state ready\n",
           "be_multi-dr_room-b/room-a.pop-a1 is in, expected out");
    stage_end(&s);
}
END_TEST

/* What somebody adds may have any character in it: no command of ours that names it may become another. */
START_TEST(strange_rows_of_someone_else_are_removed)
{
    static const char *const keys[] = {"x\\;y", "\\;", "a\\\\b", "x<<", "\"", "'", "#x", "\xc3\xa4\x7f"};
    struct stage s;
    stage_begin(&s);
    stage_must_apply(&s, 7, &rest);
    g_autofree char *show = g_strdup_printf("show map %s/rooms.map\n", s.dir);
    for (size_t i = 0; i < G_N_ELEMENTS(keys); i++) {
        g_autofree char *change = g_strdup_printf("add map %s/rooms.map %s strange\n", s.dir, keys[i]);
        pthread_mutex_lock(&s.lock);
        unsigned restarts = s.restarts;
        g_free(stage_admin(&s, change));
        g_autofree char *strange = stage_admin(&s, show);
        ck_assert_msg(strstr(strange, " strange\n") != NULL, "%s: %s", keys[i], strange);
        stage_await(&s, &s.restarts, restarts);
        ck_assert_msg(strstr(s.restarted, "is 'strange', expected no such row") != NULL, "%s", s.restarted);
        for (const char *c = s.restarted; *c != '\0'; c++)
            ck_assert_msg((unsigned char)*c >= ' ' && *c != 0x7f, "%s", s.restarted);
        pthread_mutex_unlock(&s.lock);
        stage_must_apply(&s, 7, &rest);
        g_autofree char *rows = stage_admin(&s, show);
        ck_assert_msg(strstr(rows, "strange") == NULL && strstr(rows, "multi/room-a room-a\n") != NULL, "%s: %s",
                      keys[i], rows);
    }
    stage_end(&s);
}
END_TEST

/* 2,000 domains and 40 splits more, then fewer again: transactions, in files and in the process alike. */
START_TEST(large_changes_are_transactions)
{
    struct stage s;
    stage_begin(&s);
    stage_must_apply(&s, 7, &rest);
    g_autofree char *pid = stage_admin(&s, "show info\n");
    GString *routes = g_string_new(NULL), *splits = g_string_new(NULL), *policies = g_string_new(NULL);
    for (unsigned i = 10000; i < 12000; i++)
        g_string_append_printf(routes, "d%u.example.test/ g%u.s\n", i, i % 40 + 10);
    for (unsigned i = 10; i < 50; i++) {
        g_string_append_printf(policies, "g%u.s %u|multi|on|local\n", i, i);
        g_string_append_printf(splits, "%u000:%u249 room-a\n%u250:%u999 room-b\n", i, i, i, i);
    }
    struct edge_table_text large = {.routes = routes->str, .splits = splits->str, .policies = policies->str};
    stage_must_apply(&s, 8, &large);
    ck_assert_int_eq(stage_status(&s, "GET", "d11999.example.test", "/"), 200);
    ck_assert_int_eq(stage_status(&s, "GET", "play.example.test", "/"), 421);
    stage_must_apply(&s, 9, &rest);
    ck_assert_int_eq(stage_status(&s, "GET", "d11999.example.test", "/"), 421);
    ck_assert_int_eq(stage_status(&s, "GET", "play.example.test", "/"), 200);
    g_autofree char *after = stage_admin(&s, "show info\n"); /* and nothing of it was a reload */
    ck_assert_int_eq(atoi(strstr(pid, "\nPid: ") + 6), atoi(strstr(after, "\nPid: ") + 6));
    g_string_free(routes, TRUE);
    g_string_free(splits, TRUE);
    g_string_free(policies, TRUE);
    stage_end(&s);
}
END_TEST

START_TEST(a_changed_inventory_reloads_and_a_hung_haproxy_fails_in_time)
{
    struct stage s;
    stage_begin(&s);
    stage_must_apply(&s, 7, &rest);
    g_autofree char *one_pop =
        g_strdup_printf("class public\norigin/room-a/pop-a9 127.0.0.1:%u\norigin/room-b/pop-b1 127.0.0.1:%u\n",
                        s.origins[POP_A1].port, s.origins[POP_B1].port);
    stage_must_apply(&s, 8, &(struct edge_table_text){.layout = one_pop});
    g_autofree char *servers = stage_admin(&s, "show servers state\n");
    ck_assert_ptr_nonnull(strstr(servers, " room-a.pop-a9 "));
    ck_assert_ptr_null(strstr(servers, " room-a.pop-a1 "));
    ck_assert_int_eq(stage_status(&s, "GET", "creator.example.test", "/"), 200);

    g_autofree char *info = stage_admin(&s, "show info\n");
    pid_t worker = (pid_t)atoi(strstr(info, "\nPid: ") + 6);
    kill(worker, SIGSTOP);
    int64_t from_us = loop_now_us();
    ck_assert_int_eq(stage_apply(&s, 9, &(struct edge_table_text){.layout = one_pop, .rooms = closed_a.rooms}), FAILED);
    ck_assert_msg(strstr(s.why, "no answer in time") != NULL, "%s", s.why);
    ck_assert_int_lt(loop_now_us() - from_us, 3000000);
    kill(worker, SIGCONT);
    stage_must_apply(&s, 9, &(struct edge_table_text){.layout = one_pop, .rooms = closed_a.rooms});
    stage_end(&s);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, slots_and_rooms_agree_with_the_schema);
    tcase_add_test(tcase, routes_take_the_longest_prefix_and_unknown_hosts_are_421);
    tcase_add_test(tcase, a_relayed_request_keeps_its_slot);
    tcase_add_test(tcase, a_closed_room_is_out_of_every_backend_and_stays_so_over_reloads);
    tcase_add_test(tcase, failures_pass_to_another_entrance_and_another_room_inside_one_request);
    tcase_add_test(tcase, what_was_sent_is_sent_again_only_when_it_may_be);
    tcase_add_test(tcase, a_get_is_never_longer_than_the_limit_when_a_room_goes_mute);
    tcase_add_test(tcase, relays_keep_to_an_allowance);
    tcase_add_test(tcase, relayed_groups_go_to_a_dedicated_edge_once);
    tcase_add_test(tcase, requests_are_counted_once_and_probes_are_not);
    tcase_add_test(tcase, someone_elses_change_is_noticed_and_repaired);
    tcase_add_test(tcase, strange_rows_of_someone_else_are_removed);
    tcase_add_test(tcase, large_changes_are_transactions);
    tcase_add_test(tcase, a_changed_inventory_reloads_and_a_hung_haproxy_fails_in_time);
}

int main(void)
{
    return unit_run("haproxy", add);
}
