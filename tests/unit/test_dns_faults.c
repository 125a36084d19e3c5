/* The driver while name servers freeze, die, refuse or come back, Knot or BIND (dnsd.h). Times are printed. */
#include <signal.h>
#include <string.h>

#include "core/loop.h"
#include "tests/unit/dnsstage.h"
#include "tests/unit/relay.h"

/* ---- faults ---- */

START_TEST(frozen_after_the_update_was_sent)
{
    struct dnsd *server = dnsd_start(stage_root, "frozen", NULL, DNSD_TYPES);
    struct relay *relay = relay_new(server);
    struct watched *watched = watched_new(relay_endpoint(relay), true, NULL, DNSD_SECRET);
    watched_set_free(watched, 65537, 1, wanted_one("192.0.2.1"));
    watched_await(watched, "converged", 65537, 1, 5000);
    unsigned serial = dnsd_serial(&server->endpoint);

    relay_arm(relay);
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
    relay_arm(relay);
    watched_set_free(watched, 65537, 2, wanted_one("192.0.2.2"));
    watched_await(watched, "unknown", 0, 0, 3000);
    dnsd_kill(server);
    dnsd_run(server);
    watched_await(watched, "converged", 65537, 2, 12000);
    assert_shows(server, "www.example.test", KNOT_RRTYPE_A, "192.0.2.2");
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
    watched_free(c); /* unwatch itself checks how long that takes */
    dnsd_signal(dead, SIGCONT);
    watched_await(b, "converged", 65537, 4, 8000);
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

/* 2,000 CNAMEs that the server allows, then, last in the order of names, addresses that it does not. */
static struct zone_records *half_allowed(void)
{
    struct zone_records *records = wanted_many(2000, "a.policy.example.test");
    for (unsigned i = 0; i < 900; i++) {
        g_autofree char *owner = g_strdup_printf("z%05u.example.test", i);
        wanted_add(records, owner, KNOT_RRTYPE_AAAA, "2001:db8::1", NULL);
    }
    return records;
}

START_TEST(stopped_half_way_and_resumed)
{
    struct dnsd *server = dnsd_start(stage_root, "half", NULL, "A, CNAME, TXT");
    struct watched *watched = watched_primary(server);
    watched_set_free(watched, 65537, 1, half_allowed());
    watched_await(watched, "refused", 0, 0, 10000);
    printf("half-way: %s\n", watched->saw.error);
    ck_assert_ptr_nonnull(strstr(watched->saw.error, "of 3: access list"));
    ck_assert_ptr_nonnull(strstr(watched->saw.error, "not records of type AAAA;"));
    unsigned part, n_new, n_old;
    const char *counts = strstr(watched->saw.error, "; of 2900 sets ");
    ck_assert_ptr_nonnull(counts);
    ck_assert_int_eq(sscanf(watched->saw.error, "update %u", &part), 1);
    ck_assert_int_eq(sscanf(counts, "; of 2900 sets %u are new", &n_new), 1);
    ck_assert_int_eq(sscanf(strstr(counts, "), ") + 3, "%u are not", &n_old), 1);
    ck_assert_uint_gt(part, 1);
    ck_assert_uint_gt(n_new, 0);
    ck_assert_uint_eq(n_new + n_old, 2900);
    /* The server agrees with the report, name by name at its edge. */
    g_autofree char *last_new = g_strdup_printf("d%05u.example.test", n_new - 1);
    g_autofree char *first_old = g_strdup_printf("d%05u.example.test", n_new);
    assert_shows(server, last_new, KNOT_RRTYPE_CNAME, "a.policy.example.test");
    assert_shows(server, first_old, KNOT_RRTYPE_CNAME, "");
    ck_assert_ptr_nonnull(strstr(watched->saw.error, last_new));
    ck_assert_ptr_nonnull(strstr(watched->saw.error, first_old));
    g_autofree char *sentinel = g_strdup_printf("65537 1 part %u/3", part - 1);
    assert_sentinel(server, sentinel);

    unsigned serial = dnsd_serial(&server->endpoint);
    dnsd_kill(server);
    server->types = DNSD_TYPES;
    dnsd_run(server);
    watched_await(watched, "converged", 65537, 1, 15000);
    ck_assert_uint_eq(dnsd_serial(&server->endpoint), serial + 4 - part); /* the rest alone was written */
    assert_shows(server, "z00899.example.test", KNOT_RRTYPE_AAAA, "2001:db8::1");
    assert_sentinel(server, "65537 1");
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
    tcase_add_test(tcase, stopped_half_way_and_resumed);
}

int main(void)
{
    return stage_run("dns_faults", add_tests);
}
