/* The driver while name servers freeze, die, refuse or come back, Knot or BIND (dnsd.h). Times are printed. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "core/loop.h"
#include "tests/unit/dnsstage.h"
#include "tests/unit/relay.h"

START_TEST(frozen_after_the_update_was_sent)
{
    struct dnsd *server = dnsd_start(stage_root, "frozen", NULL, DNSD_TYPES);
    struct relay *relay = relay_new(server);
    struct watched *watched = watched_new(relay_endpoint(relay), true, NULL, DNSD_SECRET);
    watched_set_free(watched, 65537, 1, wanted_one("192.0.2.1"));
    watched_await(watched, "converged", 65537, 1, 5000);
    unsigned serial = dnsd_serial(&server->endpoint);

    unsigned sent = relay_updates(relay);
    relay_arm(relay, (struct relay_harm){HARM_FREEZE, .nth = 1});
    int64_t start_us = loop_now_us();
    watched_set_free(watched, 65537, 2, wanted_one("192.0.2.2"));
    printf("frozen primary: unknown after %.1f ms,", ms(watched_await(watched, "unknown", 0, 0, 3000) - start_us));
    ck_assert_uint_eq(watched->saw.confirmed.generation, 1);
    dnsd_signal(server, SIGCONT);
    start_us = loop_now_us();
    printf(" converged %.1f ms after it went on\n",
           ms(watched_await(watched, "converged", 65537, 2, 10000) - start_us));
    assert_shows(server, "www.example.test", KNOT_RRTYPE_A, "192.0.2.2");
    assert_sentinel(server, "65537 2");
    ck_assert_uint_eq(dnsd_serial(&server->endpoint), serial + 1); /* applied once */
    ck_assert_uint_eq(relay_updates(relay), sent + 1);             /* and sent once */
    ck_assert_int_gt(watched->saw.residual_until_us, start_us);
    watched_free(watched);
    relay_free(relay);
    dnsd_free(server);
}
END_TEST

START_TEST(killed_before_the_update_was_read)
{
    struct dnsd *server = dnsd_start(stage_root, "killed", NULL, DNSD_TYPES);
    struct relay *relay = relay_new(server);
    struct watched *watched = watched_new(relay_endpoint(relay), true, NULL, DNSD_SECRET);
    watched_set_free(watched, 65537, 1, wanted_one("192.0.2.1"));
    watched_await(watched, "converged", 65537, 1, 5000);
    unsigned sent = relay_updates(relay);
    relay_arm(relay, (struct relay_harm){HARM_FREEZE, .nth = 1});
    watched_set_free(watched, 65537, 2, wanted_one("192.0.2.2"));
    watched_await(watched, "unknown", 0, 0, 3000);
    dnsd_kill(server);
    dnsd_run(server);
    watched_await(watched, "converged", 65537, 2, 12000);
    ck_assert_uint_eq(relay_updates(relay), sent + 2); /* it was sent once more, and that was all */
    assert_shows(server, "www.example.test", KNOT_RRTYPE_A, "192.0.2.2");
    watched_free(watched);
    relay_free(relay);
    dnsd_free(server);
}
END_TEST

/* The server has it, or half of it, and the connection is reset. */
START_TEST(answer_is_lost)
{
    struct dnsd *server = dnsd_start(stage_root, "lost", NULL, DNSD_TYPES);
    struct relay *relay = relay_new(server);
    struct watched *watched = watched_new(relay_endpoint(relay), true, NULL, DNSD_SECRET);
    watched_set_free(watched, 65537, 1, wanted_one("192.0.2.1"));
    watched_await(watched, "converged", 65537, 1, 5000);
    static const enum harm harms[] = {HARM_DEAF, HARM_CUT};
    for (unsigned i = 0; i < G_N_ELEMENTS(harms); i++) {
        g_autofree char *address = g_strdup_printf("192.0.2.%u", i + 2);
        unsigned serial = dnsd_serial(&server->endpoint), sent = relay_updates(relay);
        relay_arm(relay, (struct relay_harm){harms[i], .nth = 1});
        watched_set_free(watched, 65537, i + 2, wanted_one(address));
        watched_await(watched, "converged", 65537, i + 2, 5000);
        assert_shows(server, "www.example.test", KNOT_RRTYPE_A, address);
        ck_assert_uint_eq(dnsd_serial(&server->endpoint), serial + 1);
        ck_assert_uint_eq(relay_updates(relay), sent + 1); /* whole: the half is not counted */
    }
    ck_assert_ptr_nonnull(strstr(watched->history, "unknown converged updating unknown updating converged"));
    watched_free(watched);
    relay_free(relay);
    dnsd_free(server);
}
END_TEST

START_TEST(dead_primary_delays_nobody)
{
    struct dnsd *live = dnsd_start(stage_root, "live", NULL, DNSD_TYPES),
                *dead = dnsd_start(stage_root, "dead", NULL, DNSD_TYPES);
    struct dnsd *closed = dnsd_prepare(stage_root, "closed", NULL, DNSD_TYPES);
    struct watched *a = watched_primary(live), *b = watched_primary(dead), *c = watched_primary(closed);
    dnsd_signal(dead, SIGSTOP);
    int64_t start_us = loop_now_us();
    struct zone_records *records = wanted_many(19, "a.policy.example.test");
    watched_set(a, 65537, 1, records), watched_set(b, 65537, 1, records), watched_set(c, 65537, 1, records);
    int64_t a_us = watched_await(a, "converged", 65537, 1, 5000) - start_us;
    int64_t b_us = watched_await(b, "unreachable", 0, 0, 5000) - start_us,
            c_us = watched_await(c, "unreachable", 0, 0, 5000) - start_us;
    for (uint64_t generation = 2; generation <= 4; generation++) { /* the best of some: see the median above */
        int64_t again_us = loop_now_us();
        watched_set(a, 65537, generation, records), watched_set(b, 65537, generation, records);
        a_us = MIN(a_us, watched_await(a, "converged", 65537, generation, 5000) - again_us);
    }
    printf("dead primary: unreachable after %.1f ms frozen, %.1f ms closed; the live one converged in %.1f ms\n",
           ms(b_us), ms(c_us), ms(a_us));
    ck_assert_int_le(b_us, 1000000);
    ck_assert_int_le(c_us, 1000000);
    ck_assert_int_lt(a_us, 400000);
    watched_free(c); /* which checks how long that takes */
    dnsd_signal(dead, SIGCONT);
    start_us = loop_now_us();
    b_us = watched_await(b, "converged", 65537, 4, 8000) - start_us;
    printf("dead primary: seen again and converged after %.1f ms\n", ms(b_us));
    ck_assert_int_le(b_us, 2000000); /* the look that was under way, and an update that may wait for a second */
    dnsd_signal(dead, SIGSTOP);
    watched_await(b, "unreachable", 65537, 4, 3000); /* noticed without a change */
    watched_free(b);
    watched_free(a);
    zone_records_free(records);
    dnsd_free(live), dnsd_free(dead), dnsd_free(closed);
}
END_TEST

START_TEST(lagging_secondary_is_named)
{
    struct dnsd *primary = dnsd_start(stage_root, "first", NULL, DNSD_TYPES);
    struct dnsd *secondary = dnsd_start(stage_root, "second", primary, DNSD_TYPES);
    struct watched *a = watched_new(&primary->endpoint, true, &secondary->endpoint, DNSD_SECRET);
    struct watched *b = watched_new(&secondary->endpoint, false, NULL, NULL);
    struct zone_records *before = wanted_one("192.0.2.1"), *after = wanted_one("192.0.2.2");
    watched_set(a, 65537, 1, before), watched_set(b, 65537, 1, before);
    watched_await(b, "converged", 65537, 1, 5000);
    dnsd_signal(secondary, SIGSTOP);
    watched_set(a, 65537, 2, after), watched_set(b, 65537, 2, after);
    watched_await(a, "converged", 65537, 2, 2000);
    watched_await(b, "unreachable", 0, 0, 2000);
    dnsd_signal(secondary, SIGCONT);
    int64_t start_us = loop_now_us(), end_us = watched_await(b, "converged", 65537, 2, 7000);
    printf("secondary back: converged after %.1f ms\n", ms(end_us - start_us));
    ck_assert_int_ge(b->saw.residual_until_us, start_us + 5000000);
    zone_records_free(before), zone_records_free(after);
    watched_free(a), watched_free(b);
    dnsd_free(secondary), dnsd_free(primary);
}
END_TEST

static void assert_rejected(const struct dnsd *server, const char *secret, const struct update *update, int64_t skew_s,
                            const char *expected)
{
    g_autofree char *reason = NULL;
    ck_assert_int_eq(update_by_hand(&server->endpoint, secret, update, skew_s, &reason), UPDATE_REJECTED);
    printf("rejected: %s\n", reason);
    ck_assert_msg(strstr(reason, expected) != NULL, "%s", reason);
}

START_TEST(rejections_are_told_apart)
{
    struct dnsd *server = dnsd_start(stage_root, "reject", NULL, "A, TXT");
    struct rrset *a = rrset_make("www.example.test", KNOT_RRTYPE_A, 5, (const char *[]){"192.0.2.10", NULL});
    struct rrset *aaaa = rrset_make("www.example.test", KNOT_RRTYPE_AAAA, 5, (const char *[]){"2001:db8::1", NULL});
    struct update update = {DNSD_ZONE, NULL, "1 1", &a, 1}, not_allowed = {DNSD_ZONE, NULL, "1 1", &aaaa, 1};
    struct update other = {"example.org", NULL, "1 1", NULL, 0};
    assert_rejected(server, DNSD_SECRET, &update, 400, "clock skew");
    assert_rejected(server, DNSD_SECRET, &update, -400, " s after ours");
    assert_rejected(server, DNSD_OTHER_SECRET, &update, 0, "wrong secret");
    assert_rejected(server, DNSD_SECRET, &not_allowed, 0, dnsd_is_bind() ? "access list" : "unknown key");
    assert_rejected(server, DNSD_SECRET, &other, 0, "example.org");
    assert_sentinel(server, "");
    g_autofree char *reason = NULL;
    ck_assert_int_eq(update_by_hand(&server->endpoint, DNSD_SECRET, &update, 200, &reason), UPDATE_APPLIED);
    struct watched *watched = watched_new(&server->endpoint, true, NULL, DNSD_OTHER_SECRET);
    watched_set_free(watched, 65537, 1, wanted_one("192.0.2.1"));
    watched_await(watched, "refused", 0, 0, 5000);
    ck_assert_ptr_nonnull(strstr(watched->saw.error, "wrong secret"));
    watched_free(watched);
    rrset_delete(a), rrset_delete(aaaa);
    dnsd_free(server);
}
END_TEST

/* Only the server's own clock is wrong: what a site meets whose time service has failed. */
static const int skews_s[] = {200, -200, 400, -400};

START_TEST(clock_of_the_server)
{
    int skew_s = skews_s[_i];
    g_autofree char *name = g_strdup_printf("clock%d", _i);
    struct dnsd *server = dnsd_prepare(stage_root, name, NULL, DNSD_TYPES);
    dnsd_set_clock(server, skew_s);
    dnsd_run(server);
    struct watched *watched = watched_primary(server);
    watched_set_free(watched, 65537, 1, wanted_one("192.0.2.1"));
    if (abs(skew_s) <= 300) {
        watched_await(watched, "converged", 65537, 1, 5000);
        assert_shows(server, "www.example.test", KNOT_RRTYPE_A, "192.0.2.1");
    } else {
        watched_await_words(watched, "refused", "clock skew", 5000);
        int seconds = 0;
        const char *figure = strchr(watched->saw.error, ',');
        ck_assert(figure != NULL && sscanf(figure, ", %d s", &seconds) == 1);
        ck_assert_msg(abs(seconds - abs(skew_s)) <= 2, "%s", watched->saw.error);
        ck_assert_ptr_nonnull(strstr(figure, skew_s > 0 ? " s after ours" : " s before ours"));
        printf("clock %+d s: %s\n", skew_s, watched->saw.error);
        assert_sentinel(server, "");
        dnsd_set_clock(server, 0);
        watched_await(watched, "converged", 65537, 1, 10000);
    }
    watched_free(watched);
    dnsd_free(server);
}
END_TEST

/* ---- another hand ---- */

struct other_hand {
    const struct dnsd *server;
    const char *sentinel; /* it leaves it as it is */
};

static void write_as_another(void *data)
{
    const struct other_hand *hand = data;
    struct rrset *set = rrset_make("www.example.test", KNOT_RRTYPE_A, 5, (const char *[]){"192.0.2.99", NULL});
    struct update update = {DNSD_ZONE, hand->sentinel, NULL, &set, 1};
    g_autofree char *reason = NULL;
    ck_assert_int_eq(update_by_hand(&hand->server->endpoint, DNSD_SECRET, &update, 0, &reason), UPDATE_APPLIED);
    rrset_delete(set);
}

/* It writes between our update and its proof: the server said NOERROR, its serial moved, the sentinel is ours. Then
 * once more, long after the proof. */
START_TEST(written_past_the_sentinel)
{
    struct dnsd *server = dnsd_start(stage_root, "hand", NULL, DNSD_TYPES);
    struct relay *relay = relay_new(server);
    struct watched *watched = watched_new(relay_endpoint(relay), true, NULL, DNSD_SECRET);
    watched_set_free(watched, 65537, 1, wanted_one("192.0.2.1"));
    watched_await(watched, "converged", 65537, 1, 5000);

    struct other_hand hand = {server, "65537 2"};
    relay_arm(relay, (struct relay_harm){HARM_BEHIND, .nth = 1, .call = write_as_another, .data = &hand});
    watched_set_free(watched, 65537, 2, wanted_one("192.0.2.2"));
    watched_await_words(watched, "conflict",
                        "www.example.test A: the server took the update but shows 192.0.2.99 (5 s), expected 192.0.2.2",
                        5000);
    printf("%s\n", watched->saw.error);
    ck_assert_uint_eq(watched->saw.confirmed.generation, 1);
    watched_await(watched, "converged", 65537, 2, 5000);
    assert_shows(server, "www.example.test", KNOT_RRTYPE_A, "192.0.2.2");

    int64_t start_us = loop_now_us();
    write_as_another(&hand);
    int64_t mended_us = watched_await_words(watched, "converged",
                                            "www.example.test A: shows 192.0.2.99 (5 s), expected 192.0.2.2", 5000);
    printf("another hand, long after: mended after %.0f ms: %s\n", ms(mended_us - start_us), watched->saw.error);
    ck_assert_ptr_nonnull(strstr(watched->history, "converged conflict updating converged"));
    assert_shows(server, "www.example.test", KNOT_RRTYPE_A, "192.0.2.2");
    assert_sentinel(server, "65537 2");
    watched_free(watched);
    relay_free(relay);
    dnsd_free(server);
}
END_TEST

/* ---- secondaries that never follow ---- */

struct follower {
    const char *what, *words;
    const char *secret;         /* of its key */
    bool deaf, told, knot_only; /* told: our driver may send it NOTIFY */
};
static const struct follower followers[] = {
    {"another key", "it refuses our NOTIFY: wrong secret", DNSD_OTHER_SECRET, false, true, false},
    {"deaf", "it refuses our NOTIFY: ", DNSD_SECRET, true, true, true},
    /* BIND may have come back with a copy that it had written before. */
    {"never told", "\", expected \"65537 2\"", DNSD_SECRET, false, false, false},
};

START_TEST(secondary_that_does_not_follow)
{
    const struct follower *follower = &followers[_i];
    if (follower->knot_only && dnsd_is_bind())
        return;
    g_autofree char *first = g_strdup_printf("leader%d", _i), *second = g_strdup_printf("follower%d", _i);
    struct dnsd *primary = dnsd_start(stage_root, first, NULL, DNSD_TYPES);
    struct dnsd *secondary = dnsd_start(stage_root, second, primary, DNSD_TYPES);
    struct watched *a = watched_new(&primary->endpoint, true, &secondary->endpoint, DNSD_SECRET);
    struct zone_records *before = wanted_one("192.0.2.1"), *after = wanted_one("192.0.2.2");
    struct watched *b = watched_new(&secondary->endpoint, false, NULL, follower->told ? DNSD_SECRET : NULL);
    watched_set(a, 65537, 1, before), watched_set(b, 65537, 1, before);
    watched_await(b, "converged", 65537, 1, 5000);
    watched_free(a); /* who told it so far */
    dnsd_kill(secondary);
    secondary->secret = follower->secret;
    secondary->deaf = follower->deaf;
    dnsd_run(secondary);
    watched_await(b, "converged", 65537, 1, 5000);

    a = watched_primary(primary);
    int64_t start_us = loop_now_us();
    watched_set(a, 65537, 2, after), watched_set(b, 65537, 2, after);
    watched_await(a, "converged", 65537, 2, 3000);
    int64_t named_us = watched_await_words(b, "updating", follower->words, 5000) - start_us;
    printf("secondary, %s: after %.0f ms: %s\n", follower->what, ms(named_us), b->saw.error);
    ck_assert_int_lt(named_us, 2000000);
    ck_assert_ptr_nonnull(strstr(b->saw.error, "www.example.test A: shows "));

    dnsd_kill(secondary); /* mended: its key is right, it listens; and somebody tells it */
    secondary->secret = DNSD_SECRET;
    secondary->deaf = false;
    dnsd_run(secondary);
    watched_free(a);
    a = watched_new(&primary->endpoint, true, &secondary->endpoint, DNSD_SECRET);
    watched_set(a, 65537, 2, after);
    start_us = loop_now_us();
    int64_t mended_us = watched_await(b, "converged", 65537, 2, 8000) - start_us;
    printf("secondary, %s: mended after %.0f ms\n", follower->what, ms(mended_us));
    zone_records_free(before), zone_records_free(after);
    watched_free(a), watched_free(b);
    dnsd_free(secondary), dnsd_free(primary);
}
END_TEST

/* ---- a zone that is frozen there ---- */

START_TEST(frozen_zone)
{
    struct dnsd *server = dnsd_start(stage_root, "ice", NULL, DNSD_TYPES);
    struct watched *watched = watched_primary(server);
    watched_set_free(watched, 65537, 1, wanted_one("192.0.2.1"));
    watched_await(watched, "converged", 65537, 1, 5000);
    dnsd_freeze_zone(server, true);
    watched_set_free(watched, 65537, 2, wanted_one("192.0.2.2"));
    watched_await_words(watched, "refused", "thaw the zone if it is frozen", 5000);
    printf("frozen zone: %s\n", watched->saw.error);
    ck_assert_uint_eq(watched->saw.confirmed.generation, 1);
    assert_shows(server, "www.example.test", KNOT_RRTYPE_A, "192.0.2.1");
    dnsd_freeze_zone(server, false);
    watched_await(watched, "converged", 65537, 2, 10000);
    assert_shows(server, "www.example.test", KNOT_RRTYPE_A, "192.0.2.2");
    watched_free(watched);
    dnsd_free(server);
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, frozen_after_the_update_was_sent);
    tcase_add_test(tcase, killed_before_the_update_was_read);
    tcase_add_test(tcase, dead_primary_delays_nobody);
    tcase_add_test(tcase, lagging_secondary_is_named);
    tcase_add_test(tcase, rejections_are_told_apart);
    tcase_add_test(tcase, answer_is_lost);
    tcase_add_loop_test(tcase, clock_of_the_server, 0, (int)G_N_ELEMENTS(skews_s));
    tcase_add_test(tcase, written_past_the_sentinel);
    tcase_add_loop_test(tcase, secondary_that_does_not_follow, 0, (int)G_N_ELEMENTS(followers));
    tcase_add_test(tcase, frozen_zone);
}

int main(void)
{
    return stage_run("dns_faults", add_tests);
}
