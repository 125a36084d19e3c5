/* What a replay says about users, from records made by hand: t0 = 10 s, button at 13 s, failback at 30 s. */
#include "tests/lab/traffic/httpmsg.h"
#include "tests/lab/traffic/traffic_log.h"
#include "tests/unit/unit.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define MS 1000
#define S 1000000

static const struct measure_stream streams[] = {{"manual", "public", "new"}, {"core", "public", "new"}};
static struct measure_input in;

static void setup(void)
{
    in = (struct measure_input){.streams = streams,
                                .streams_len = 2,
                                .requests = g_array_new(FALSE, TRUE, sizeof(struct request)),
                                .stalls = g_array_new(FALSE, TRUE, sizeof(struct measure_stall)),
                                .writes = g_hash_table_new(NULL, NULL),
                                .dedicated = g_hash_table_new(g_str_hash, g_str_equal),
                                .room = "room-a",
                                .gate_us = 5 * S,
                                .fault_us = 10 * S,
                                .button_us = 13 * S,
                                .heal_us = 25 * S,
                                .failback_us = 30 * S,
                                .end_us = 40 * S,
                                .settle_us = 6 * S};
    g_hash_table_add(in.dedicated, (gpointer) "203.0.113.13");
}

static void teardown(void)
{
    g_array_unref(in.requests);
    g_array_unref(in.stalls);
    g_hash_table_unref(in.writes);
    g_hash_table_unref(in.dedicated);
}

/* room "a", "b": answered there; NULL: failed. Returns the record's number. */
static uint32_t add(uint32_t user, int64_t due_us, int64_t latency_us, const char *room)
{
    struct request r = {.seq = in.requests->len, .user = user, .scheduled_us = due_us, .end_us = due_us + latency_us};
    r.status = room != NULL ? 200 : 503;
    if (room != NULL)
        snprintf(r.room, sizeof r.room, "room-%s", room);
    g_strlcpy(r.entrance, "pop-x1", sizeof r.entrance);
    g_strlcpy(r.address, "203.0.113.11", sizeof r.address);
    g_array_append_val(in.requests, r);
    return r.seq;
}

static void stall(int64_t start_us, int64_t duration_us)
{
    struct measure_stall s = {"wire", start_us, duration_us};
    g_array_append_val(in.stalls, s);
}

static struct request *record(uint32_t seq)
{
    for (guint i = 0; i < in.requests->len; i++)
        if (g_array_index(in.requests, struct request, i).seq == seq)
            return &g_array_index(in.requests, struct request, i);
    ck_abort_msg("no record %u", seq);
}

/* Users 1 (room A) and 2 (room B) before the fault, user 1 down until shortly after the button. */
static void outage(void)
{
    add(1, 6 * S, 5 * MS, "a");
    add(2, 7 * S, 5 * MS, "b");
    add(1, 11 * S, 20 * MS, NULL);
    add(2, 12 * S, 5 * MS, "b");
    add(1, 13 * S + 50 * MS, 20 * MS, NULL);
    add(2, 13 * S + 60 * MS, 5 * MS, "b"); /* proves nothing: user 2 was never hit */
    add(1, 13 * S + 100 * MS, 40 * MS, "b");
}

START_TEST(recovery_is_of_users_who_were_hit)
{
    struct measure_class c;
    outage();
    measure_class_init(&c, &in, 0);
    ck_assert_uint_eq(c.requests, 7);
    ck_assert_uint_eq(c.failed_get, 2);
    ck_assert(c.recovered);
    ck_assert_int_eq(c.recovery_us, 3 * S + 140 * MS);
    ck_assert_int_eq(c.after_button_us, 140 * MS);
    ck_assert_int_eq(c.max_latency_us, 40 * MS);
    ck_assert_uint_eq(GPOINTER_TO_UINT(g_hash_table_lookup(c.answered_by, "room-b/pop-x1")), 3);
    ck_assert_ptr_null(g_hash_table_lookup(c.answered_by, "room-a/pop-x1"));
    measure_class_clear(&c);
}
END_TEST

START_TEST(nothing_failed)
{
    struct measure_class c;
    add(1, 6 * S, 5 * MS, "a");
    add(1, 11 * S, 900 * MS, "b");
    add(1, 4 * S, 5 * MS, NULL); /* before the gate: not counted */
    measure_class_init(&c, &in, 0);
    ck_assert_uint_eq(c.requests, 2);
    ck_assert_uint_eq(c.failed_get, 0);
    ck_assert_int_eq(c.recovery_us, MEASURE_NONE);
    ck_assert_int_eq(c.after_button_us, MEASURE_NONE);
    measure_class_clear(&c);
}
END_TEST

START_TEST(never_recovered_is_a_lower_bound)
{
    struct measure_class c;
    add(1, 6 * S, 5 * MS, "a");
    add(1, 11 * S, 5 * MS, NULL);
    add(2, 12 * S, 5 * MS, "b");
    add(1, 29 * S, 5 * MS, NULL);
    measure_class_init(&c, &in, 0);
    ck_assert(!c.recovered);
    ck_assert_int_eq(c.recovery_us, 20 * S);
    ck_assert_int_eq(c.after_button_us, 17 * S);
    measure_class_clear(&c);
}
END_TEST

START_TEST(over_before_the_button)
{
    struct measure_class c;
    add(1, 9 * S + 900 * MS, 200 * MS, NULL); /* in flight at t0: a failure of the fault */
    add(1, 10 * S + 500 * MS, 5 * MS, "b");
    measure_class_init(&c, &in, 0);
    ck_assert_int_eq(c.recovery_us, 505 * MS);
    ck_assert_int_eq(c.after_button_us, MEASURE_NONE);
    measure_class_clear(&c);
}
END_TEST

START_TEST(without_a_button)
{
    struct measure_class c;
    in.button_us = in.failback_us = MEASURE_NONE;
    outage();
    measure_class_init(&c, &in, 0);
    ck_assert_int_eq(c.recovery_us, 3 * S + 140 * MS);
    ck_assert_int_eq(c.after_button_us, MEASURE_NONE);
    ck_assert_uint_eq(c.moved_back + c.settled, 0);
    measure_class_clear(&c);
}
END_TEST

START_TEST(a_write_is_no_get)
{
    struct measure_class c;
    outage();
    record(add(1, 12 * S, 2 * S, NULL))->post = true;
    measure_class_init(&c, &in, 0);
    ck_assert_int_eq(c.max_latency_outside_us, 2 * S);
    ck_assert_int_eq(c.max_get_outside_us, 40 * MS);
    measure_class_clear(&c);
}
END_TEST

START_TEST(stalls_are_taken_off)
{
    struct measure_class c;
    outage();
    stall(13 * S + 90 * MS, 20 * MS); /* 10 ms of it within the last request */
    stall(13 * S + 100 * MS, 20 * MS);
    stall(13 * S - 40 * MS, 50 * MS);
    measure_class_init(&c, &in, 0);
    ck_assert_int_eq(c.max_latency_us, 40 * MS);
    ck_assert_int_eq(c.max_latency_outside_us, 20 * MS);
    ck_assert_int_eq(c.max_get_outside_us, 20 * MS);
    ck_assert_int_eq(c.after_button_outside_us, 140 * MS - 30 * MS - 10 * MS);
    ck_assert_int_eq(measure_stalled_us(in.stalls, 0, 100 * S), 80 * MS);
    ck_assert_int_eq(measure_stalled_us(in.stalls, 13 * S + 115 * MS, 13 * S + 117 * MS), 2 * MS);
    measure_class_clear(&c);
}
END_TEST

START_TEST(writes_are_in_one_log_once)
{
    struct measure_class c;
    uint32_t kept = add(1, 11 * S, 5 * MS, "b"), lost = add(1, 12 * S, 5 * MS, "b"),
             twice = add(1, 13 * S, 5 * MS, "b"), refused = add(1, 14 * S, 5 * MS, NULL),
             unanswered = add(1, 15 * S, 5 * MS, NULL);
    for (uint32_t seq = kept; seq <= unanswered; seq++)
        record(seq)->post = true;
    g_hash_table_insert(in.writes, GUINT_TO_POINTER(kept), GUINT_TO_POINTER(1));
    g_hash_table_insert(in.writes, GUINT_TO_POINTER(twice), GUINT_TO_POINTER(2));
    g_hash_table_insert(in.writes, GUINT_TO_POINTER(unanswered),
                        GUINT_TO_POINTER(1)); /* written, but not acknowledged */
    measure_class_init(&c, &in, 0);
    (void)lost;
    (void)refused;
    ck_assert_uint_eq(c.lost_writes, 1);
    ck_assert_uint_eq(c.doubled_writes, 1);
    ck_assert_uint_eq(c.failed_other, 2);
    ck_assert_uint_eq(c.failed_get, 0);
    measure_class_clear(&c);
}
END_TEST

START_TEST(what_moves_back_is_seen)
{
    struct measure_class c;
    add(1, 12 * S, 5 * MS, "a"); /* before the button */
    add(1, 26 * S, 5 * MS, "a"); /* healed, but nobody said so */
    g_strlcpy(record(add(1, 27 * S, 5 * MS, "a"))->entrance, "ring", sizeof record(0)->entrance);
    g_strlcpy(record(add(1, 28 * S, 5 * MS, "b"))->address, "203.0.113.13", sizeof record(0)->address);
    measure_class_init(&c, &in, 0);
    ck_assert_uint_eq(c.moved_back, 1);
    ck_assert_uint_eq(c.settled, 3);
    ck_assert_uint_eq(c.late_names, 2);
    measure_class_clear(&c);
}
END_TEST

START_TEST(streams_are_kept_apart)
{
    struct measure_class c;
    outage();
    for (guint i = 0; i < in.requests->len; i++)
        g_array_index(in.requests, struct request, i).stream = 1;
    measure_class_init(&c, &in, 0);
    ck_assert_uint_eq(c.requests, 0);
    ck_assert_int_eq(c.recovery_us, MEASURE_NONE);
    measure_class_clear(&c);
}
END_TEST

START_TEST(failback_counts_moves)
{
    struct measure_failback f;
    for (uint32_t user = 1; user <= 3; user++)
        add(user, 29 * S, 5 * MS, "b");
    add(1, 31 * S, 5 * MS, "a"); /* once */
    add(1, 32 * S, 5 * MS, "a");
    add(2, 31 * S, 5 * MS, "a"); /* there and back */
    add(2, 33 * S, 5 * MS, "b");
    add(2, 34 * S, 5 * MS, "b");
    add(3, 35 * S, 5 * MS, NULL);
    record(add(3, 36 * S, 5 * MS, NULL))->post = true;
    add(4, 12 * S, 5 * MS, "a"); /* before the failback, moves do not count */
    add(4, 14 * S, 5 * MS, "b");
    measure_failback(&f, &in);
    ck_assert_uint_eq(f.users_moved, 2);
    ck_assert_uint_eq(f.users_moved_twice, 1);
    ck_assert_uint_eq(f.failed_get, 1);
    ck_assert_uint_eq(f.failed_other, 1);
}
END_TEST

START_TEST(median)
{
    int64_t values[] = {5, 1, 9, 7};
    g_autoptr(GArray) array = g_array_new(FALSE, FALSE, sizeof(int64_t));
    ck_assert_int_eq(measure_median(array), MEASURE_NONE);
    g_array_append_vals(array, values, 4);
    ck_assert_int_eq(measure_median(array), 5);
    g_array_append_vals(array, values, 1);
    ck_assert_int_eq(measure_median(array), 5);
}
END_TEST

START_TEST(log_survives_the_file)
{
    g_autoptr(GError) error = NULL;
    struct traffic_log out, back;
    char path[] = "/tmp/test_replay.XXXXXX";
    int fd = mkstemp(path);
    traffic_log_init(&out);
    traffic_log_init(&back);
    out.tag = g_strdup("run-1");
    g_array_append_vals(out.streams, streams, 2);
    outage();
    record(3)->stream = 1;
    g_strlcpy(record(3)->error, "connect: \"quoted\"", sizeof record(3)->error);
    g_array_append_vals(out.requests, in.requests->data, in.requests->len);
    struct measure_stall s = {"load", 11 * S, 60 * MS};
    g_array_append_val(out.stalls, s);
    ck_assert_msg(traffic_log_write(&out, path, &error), "%s", error != NULL ? error->message : "");
    ck_assert_msg(traffic_log_read(&back, path, &error), "%s", error != NULL ? error->message : "");
    ck_assert_str_eq(back.tag, "run-1");
    ck_assert_uint_eq(back.requests->len, 7);
    ck_assert_int_eq(memcmp(back.streams->data, streams, sizeof streams), 0);
    ck_assert_int_eq(memcmp(back.requests->data, out.requests->data, 7 * sizeof(struct request)), 0);
    ck_assert_uint_eq(back.stalls->len, 1);
    ck_assert_int_eq(g_array_index(back.stalls, struct measure_stall, 0).duration_us, 60 * MS);
    traffic_log_clear(&out);
    traffic_log_clear(&back);
    close(fd);
    unlink(path);
}
END_TEST

static void write_file(char *path, const char *text)
{
    int fd = mkstemp(path);
    ck_assert_int_eq(write(fd, text, strlen(text)), (int)strlen(text));
    close(fd);
}

START_TEST(writes_of_this_run_only)
{
    g_autoptr(GError) error = NULL;
    char path[] = "/tmp/test_replay.XXXXXX";
    write_file(
        path,
        "1 run-1-7 pop-a1 5 /x\n2 run-1-7 pop-a1 5 /x\n3 run-12-8 ring 6 /x\n4 - ring - /x\n5 run-1-9 ring 1 /\n");
    ck_assert(traffic_writes_read(in.writes, "run-1", path, &error));
    ck_assert_uint_eq(g_hash_table_size(in.writes), 2);
    ck_assert_uint_eq(GPOINTER_TO_UINT(g_hash_table_lookup(in.writes, GUINT_TO_POINTER(7))), 2);
    unlink(path);
    ck_assert(!traffic_writes_read(in.writes, "run-1", path, &error));
}
END_TEST

START_TEST(broken_logs_are_refused)
{
    static const char *const texts[] = {"", "{}\n", "{\"tag\":\"x\",\"streams\":[]}\n{\"s\":0}\n", "not json\n"};
    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autoptr(GError) error = NULL;
        struct traffic_log log;
        char path[] = "/tmp/test_replay.XXXXXX";
        write_file(path, texts[i]);
        traffic_log_init(&log);
        ck_assert_msg(!traffic_log_read(&log, path, &error), "text %zu", i);
        ck_assert_ptr_nonnull(error);
        traffic_log_clear(&log);
        unlink(path);
    }
}
END_TEST

START_TEST(messages_in_pieces)
{
    const char *text = "HTTP/1.1 200 OK\r\nX-Origin-Room:  room-a\r\nContent-Length: 5\r\n\r\nhello";
    for (size_t cut = 0; cut <= strlen(text); cut++) {
        struct httpmsg msg;
        char room[24];
        httpmsg_init(&msg, true);
        enum httpmsg_state state = httpmsg_feed(&msg, text, cut);
        ck_assert_int_eq(state, cut < strlen(text) ? HTTPMSG_MORE : HTTPMSG_DONE);
        if (state == HTTPMSG_MORE)
            state = httpmsg_feed(&msg, text + cut, strlen(text) - cut);
        ck_assert_int_eq(state, HTTPMSG_DONE);
        ck_assert_int_eq(msg.status, 200);
        ck_assert(msg.keep_alive);
        ck_assert_str_eq(httpmsg_header(&msg, "x-origin-room", room, sizeof room), "room-a");
    }
}
END_TEST

START_TEST(messages_that_are_refused)
{
    static const char *const texts[] = {
        "HTTP/2 200\r\n\r\n", "HTTP/1.1 999 x\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"};
    struct httpmsg msg;
    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) {
        httpmsg_init(&msg, true);
        ck_assert_msg(httpmsg_feed(&msg, texts[i], strlen(texts[i])) == HTTPMSG_BAD, "text %zu", i);
    }
    httpmsg_init(&msg, false);
    ck_assert_int_eq(httpmsg_feed(&msg, "GET /x HTTP/1.0\r\nHost: a\r\n\r\n", 28), HTTPMSG_DONE);
    ck_assert(!msg.keep_alive);
    ck_assert_str_eq(msg.path, "/x");
    httpmsg_init(&msg, true);
    ck_assert_int_eq(httpmsg_feed(&msg, "HTTP/1.0 200 OK\r\n\r\nabc", 22), HTTPMSG_MORE);
    ck_assert_int_eq(httpmsg_eof(&msg), HTTPMSG_DONE);
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, recovery_is_of_users_who_were_hit);
    tcase_add_test(tcase, nothing_failed);
    tcase_add_test(tcase, never_recovered_is_a_lower_bound);
    tcase_add_test(tcase, over_before_the_button);
    tcase_add_test(tcase, without_a_button);
    tcase_add_test(tcase, a_write_is_no_get);
    tcase_add_test(tcase, stalls_are_taken_off);
    tcase_add_test(tcase, writes_are_in_one_log_once);
    tcase_add_test(tcase, what_moves_back_is_seen);
    tcase_add_test(tcase, streams_are_kept_apart);
    tcase_add_test(tcase, failback_counts_moves);
    tcase_add_test(tcase, median);
    tcase_add_test(tcase, log_survives_the_file);
    tcase_add_test(tcase, writes_of_this_run_only);
    tcase_add_test(tcase, broken_logs_are_refused);
    tcase_add_test(tcase, messages_in_pieces);
    tcase_add_test(tcase, messages_that_are_refused);
}

int main(void)
{
    return unit_run("replay", add_tests);
}
