/* Golden transactions asked of a real HAProxy: of the pinned room, though no user is there. */
#include "schema/transaction.h"
#include "server/engine/transactions.h"
#include "tests/unit/edgestage.h"

#include <string.h>

#define SECRET "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQR"
/* Everybody is in room-a. */
#define SPLITS "3000:3999 room-a\n7000:7999 room-a\n"
#define ROOMS                                                                                                          \
    "multi/room-a room-a\nmulti/room-b room-b\npin/k1 " SECRET "\nsingle/room-a room-a\nsingle/room-b room-b\n"
#define CLOSED "multi/room-a room-a\nmulti/room-b room-a\npin/k1 " SECRET "\nsingle/room-a room-a\nsingle/room-b -\n"

static const struct pin_keys keys = {1, {{"k1", SECRET}}};

struct waiting {
    struct loop *loop;
    json_t *result;
};

static void done(void *data, const json_t *result)
{
    struct waiting *waiting = data;
    waiting->result = json_incref((json_t *)(uintptr_t)result);
    loop_stop(waiting->loop);
}

static json_int_t pace_us; /* of what is asked */

/* requests: JSON of a list, with ' for "; to `address`, or to the stage. Evidence of all; a new reference. */
static json_t *asked(struct stage *s, const char *address, const char *requests)
{
    struct waiting waiting = {loop_new(NULL), NULL};
    struct transactions *transactions = transactions_new(waiting.loop, done, &waiting, NULL);
    GString *text = g_string_new(requests);
    g_string_replace(text, "'", "\"", 0);
    json_t *list = json_loads(text->str, 0, NULL);
    ck_assert_msg(list != NULL, "%s", text->str);
    json_t *ask =
        json_pack("{s:s, s:s, s:i, s:i, s:I, s:[{s:s, s:s, s:s, s:s, s:s, s:o}]}", "execution", "x-1", "step", "golden",
                  "asked", 7, "for_s", 60, "pace_us", pace_us, "runs", "transaction", "t", "room", "room-b", "user",
                  "golden", "edge", "edge-1", "address", address != NULL ? address : s->listen, "requests", list);
    transactions_ask(transactions, ask, &keys);
    if (waiting.result == NULL)
        loop_run(waiting.loop);
    ck_assert_int_eq(json_integer_value(json_object_get(waiting.result, "asked")), 7);
    json_t *run = json_array_get(json_object_get(waiting.result, "runs"), 0);
    json_t *evidence = json_incref(json_object_get(run, "evidence"));
    ck_assert_ptr_null(json_object_get(run, "requests"));
    transactions_free(transactions);
    loop_free(waiting.loop);
    json_decref(waiting.result);
    json_decref(ask);
    g_string_free(text, TRUE);
    return evidence;
}

/* n rows, of which the last says `why` (NULL: all are good). */
static void expect(json_t *evidence, size_t n, const char *why)
{
    g_autofree char *text = json_dumps(evidence, 0);
    ck_assert_msg(json_array_size(evidence) == n, "%s", text);
    for (size_t i = 0; i < n; i++) {
        const json_t *row = json_array_get(evidence, i);
        bool bad = why != NULL && i + 1 == n;
        const char *says = json_string_value(json_object_get(row, "why"));
        ck_assert_msg(json_is_true(json_object_get(row, "ok")) == !bad, "%s", text);
        ck_assert_msg(!bad || strstr(says, why) != NULL, "found %s, expected %s", says, why);
    }
    json_decref(evidence);
}

#define REST "'host':'home.example.test','headers':[],'limit_ms':5000"
#define GET(path, more) "{'name':'r','method':'GET','path':'" path "','status':200," REST more "}"

START_TEST(asks_the_pinned_room)
{
    struct stage s;
    stage_begin(&s);
    stage_must_apply(&s, 7, &(struct edge_table_text){.splits = SPLITS, .rooms = ROOMS});
    struct answer user = stage_request(&s, "GET", "home.example.test", "/", "Cookie: uid=golden\r\n");
    answer_expect(&user, false, "x-sb-room", "room-a");
    g_free(user.text);
    unsigned before = stage_room_requests(&s, POP_B1);
    expect(
        asked(&s, NULL,
              "[" GET(
                  "/a",
                  ",'text':'uid=golden; sb-pin=k1.room-b.canary.','take':'at=header:X-SB-Room'") ","
                                                                                                 "{'name':'r2','method'"
                                                                                                 ":'POST','path':'/b/"
                                                                                                 "${at}','body':'{}','"
                                                                                                 "status':200,'text':'/"
                                                                                                 "b/room-b HTTP'," REST
                                                                                                 "}]"),
        2, NULL);
    ck_assert_uint_eq(stage_room_requests(&s, POP_B1) - before, 2);
    stage_end(&s);
}
END_TEST

START_TEST(finds_what_is_broken)
{
    struct stage s;
    stage_begin(&s);
    stage_must_apply(&s, 7, &(struct edge_table_text){.splits = SPLITS, .rooms = ROOMS});
    atomic_store(&s.origins[POP_B1].slow_ms, 300);
    atomic_store(&s.origins[POP_B2].slow_ms, 300);
    expect(asked(&s, NULL, "[" GET("/a", "") "," GET("/fails", "") "," GET("/never", "") "]"), 2,
           "status: found 500, expected 200");
    expect(asked(&s, NULL, "[" GET("/a", ",'text':'nothing of it'") "]"), 1, "expected \"nothing of it\"");
    expect(asked(&s, NULL, "[" GET("/x/${unknown}", "") "]"), 1, "which no answer before has given");
    expect(asked(&s, NULL,
                 "[{'name':'r','method':'GET','path':'/slow','status':200,'host':'home.example.test','headers':[],"
                 "'limit_ms':150}]"),
           1, "");
    expect(asked(&s, "127.0.0.1:1", "[" GET("/a", "") "]"), 1, "127.0.0.1");
    expect(asked(&s, NULL, "[]"), 0, NULL);
    stage_must_apply(&s, 8, &(struct edge_table_text){.splits = SPLITS, .rooms = CLOSED});
    expect(asked(&s, NULL, "[" GET("/a", "") "]"), 1, "answered by: found \"room-a\", expected \"room-b\"");
    stage_end(&s);
}
END_TEST

/* As a step warm asks: never faster than it says, each of the pinned room. */
START_TEST(keeps_to_its_pace)
{
    struct stage s;
    stage_begin(&s);
    stage_must_apply(&s, 7, &(struct edge_table_text){.splits = SPLITS, .rooms = ROOMS});
    unsigned before = stage_room_requests(&s, POP_B1);
    int64_t began_us = loop_now_us();
    pace_us = 50000;
    expect(
        asked(&s, NULL, "[" GET("/1", "") "," GET("/2", "") "," GET("/3", "") "," GET("/4", "") "," GET("/5", "") "]"),
        5, NULL);
    ck_assert_int_ge(loop_now_us() - began_us, 4 * pace_us);
    ck_assert_uint_eq(stage_room_requests(&s, POP_B1) - before, 5);
    stage_end(&s);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, asks_the_pinned_room);
    tcase_add_test(tcase, finds_what_is_broken);
    tcase_add_test(tcase, keeps_to_its_pace);
}

int main(void)
{
    return unit_run("edge_transaction", add);
}
