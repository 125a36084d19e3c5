/* The driver at work against real name servers, Knot or BIND (dnsd.h): independent primaries, one of them with a
 * secondary; what it must not write. Times are printed. */
#include <stdlib.h>

#include "core/loop.h"
#include "tests/unit/dnsstage.h"

static void add_policy(struct zone_records *records, const char *policy, char room)
{
    char v4[32], v6[32];
    snprintf(v4, sizeof v4, "192.0.2.%d", room);
    snprintf(v6, sizeof v6, "2001:db8::%x", (unsigned)room);
    wanted_add(records, policy, KNOT_RRTYPE_A, v4, "192.0.2.1", NULL);
    wanted_add(records, policy, KNOT_RRTYPE_AAAA, v6, NULL);
}

/* The site of 2 July: 7 domains point at 6 policies; core is in `room`. */
static struct zone_records *site_records(char room)
{
    static const char *const domains[][2] = {
        {"play", "core"},       {"play-line", "core-line"},       {"home", "manual"},   {"home-line", "manual-line"},
        {"creator", "creator"}, {"creator-line", "creator-line"}, {"upload", "creator"}};
    static const char *const policies[] = {"core", "core-line", "manual", "manual-line", "creator", "creator-line"};
    struct zone_records *records = wanted_new();
    for (unsigned i = 0; i < G_N_ELEMENTS(domains); i++) {
        g_autofree char *owner = g_strdup_printf("%s.example.test", domains[i][0]);
        g_autofree char *target = g_strdup_printf("%s.policy.example.test", domains[i][1]);
        wanted_add(records, owner, KNOT_RRTYPE_CNAME, target, NULL);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(policies); i++) {
        g_autofree char *owner = g_strdup_printf("%s.policy.example.test", policies[i]);
        add_policy(records, owner, i == 0 ? room : 'z');
    }
    return records;
}

static int compare_times(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

START_TEST(initial_and_switch)
{
    struct dnsd *one = dnsd_start(stage_root, "one", NULL, DNSD_TYPES),
                *two = dnsd_start(stage_root, "two", NULL, DNSD_TYPES);
    struct dnsd *three = dnsd_start(stage_root, "three", two, DNSD_TYPES);
    struct watched *a = watched_primary(one), *b = watched_new(&two->endpoint, true, &three->endpoint, DNSD_SECRET);
    struct watched *c = watched_new(&three->endpoint, false, NULL, NULL);
    uint64_t epoch = 65537;
    struct zone_records *before = site_records('a'), *after = site_records('b');
    int64_t start_us = loop_now_us();
    watched_set(a, epoch, 1, before), watched_set(b, epoch, 1, before), watched_set(c, epoch, 1, before);
    printf("initial: primaries %.1f and", ms(watched_await(a, "converged", epoch, 1, 5000) - start_us));
    printf(" %.1f ms,", ms(watched_await(b, "converged", epoch, 1, 5000) - start_us));
    printf(" secondary %.1f ms\n", ms(watched_await(c, "converged", epoch, 1, 5000) - start_us));
    ck_assert_uint_eq(a->saw.names, 19); /* 7 CNAMEs, 6 A, 6 AAAA */
    /* That there was nothing lives on in resolvers, too: as long as the SOA's minimum says. */
    ck_assert_int_ge(a->saw.residual_until_us, start_us + 5000000);
    assert_shows(three, "play.example.test", KNOT_RRTYPE_CNAME, "core.policy.example.test");
    assert_shows(three, "core.policy.example.test", KNOT_RRTYPE_A, "192.0.2.1 192.0.2.97");
    assert_sentinel(one, "65537 1");

    int64_t late_us[10];
    for (uint64_t generation = 2; generation <= 11; generation++) {
        struct zone_records *records = generation % 2 == 0 ? after : before;
        unsigned serial = dnsd_serial(&one->endpoint);
        start_us = loop_now_us();
        watched_set(a, epoch, generation, records), watched_set(b, epoch, generation, records),
            watched_set(c, epoch, generation, records);
        int64_t a_us = watched_await(a, "converged", epoch, generation, 5000);
        int64_t b_us = watched_await(b, "converged", epoch, generation, 5000);
        int64_t c_us = watched_await(c, "converged", epoch, generation, 5000);
        printf("switch: primaries %.1f and %.1f ms, secondary %.1f ms after its primary\n", ms(a_us - start_us),
               ms(b_us - start_us), ms(c_us - b_us));
        late_us[generation - 2] = c_us - b_us;
        ck_assert_uint_eq(a->saw.names, 2);
        ck_assert_uint_eq(b->saw.names, 2);
        ck_assert_uint_eq(c->saw.names, 2);
        ck_assert_int_ge(a->saw.residual_until_us, start_us + 5000000);
        ck_assert_int_le(c->saw.residual_until_us, c_us + 5000000);
        ck_assert_uint_eq(dnsd_serial(&one->endpoint), serial + 1); /* one message */
    }
    /* The median: a server whose other events for the zone are running makes an update or a refresh wait for 1 s. */
    qsort(late_us, 10, sizeof *late_us, compare_times);
    ck_assert_int_lt(late_us[5], 300000);
    ck_assert_int_lt(late_us[9], 2000000);
    assert_sentinel(one, "65537 11");
    assert_sentinel(three, "65537 11");
    assert_shows(three, "core.policy.example.test", KNOT_RRTYPE_AAAA, "2001:db8::61");
    assert_shows(one, "hand.example.test", KNOT_RRTYPE_A, "192.0.2.250");
    assert_shows(two, "hand.example.test", KNOT_RRTYPE_A, "192.0.2.250");

    /* Equal data: the sentinel moves, no name does. */
    watched_set_free(a, epoch, 12, site_records('a'));
    watched_await(a, "converged", epoch, 12, 2000);
    ck_assert_uint_eq(a->saw.names, 0);
    assert_sentinel(one, "65537 12");
    /* A server of the cluster that starts anew finds all done: nothing is written. */
    unsigned serial = dnsd_serial(&one->endpoint);
    struct watched *again = watched_primary(one);
    watched_set(again, epoch, 12, before);
    watched_await(again, "converged", epoch, 12, 2000);
    ck_assert_uint_eq(again->saw.names, 0);
    ck_assert_str_eq(again->history, "converged ");
    ck_assert_uint_eq(dnsd_serial(&one->endpoint), serial);
    watched_free(again);
    zone_records_free(before), zone_records_free(after);
    watched_free(a), watched_free(b), watched_free(c);
    dnsd_free(three), dnsd_free(two), dnsd_free(one);
}
END_TEST

START_TEST(thousand_names)
{
    struct dnsd *server = dnsd_start(stage_root, "many", NULL, DNSD_TYPES);
    struct watched *watched = watched_primary(server);
    for (uint64_t generation = 1; generation <= 3; generation++) {
        int64_t start_us = loop_now_us();
        struct zone_records *records =
            wanted_many(1000, generation == 2 ? "b.policy.example.test" : "a.policy.example.test");
        records->unguarded = true;
        watched_set_free(watched, 65537, generation, records);
        int64_t end_us = watched_await(watched, "converged", 65537, generation, 10000);
        printf("1,000 names: %.1f ms\n", ms(end_us - start_us));
        ck_assert_uint_eq(watched->saw.names, 1000);
    }
    assert_shows(server, "d00999.example.test", KNOT_RRTYPE_CNAME, "a.policy.example.test");
    assert_sentinel(server, "65537 3");
    watched_free(watched);
    dnsd_free(server);
}
END_TEST

/* 10,000 domains point at 50 policies; a room's drain changes the policies alone. */
static struct zone_records *large_records(const char *v4, const char *v6)
{
    struct zone_records *records = wanted_new();
    for (unsigned i = 0; i < 10000; i++) {
        g_autofree char *owner = g_strdup_printf("d%05u.example.test", i);
        g_autofree char *target = g_strdup_printf("p%02u.policy.example.test", i % 50);
        wanted_add(records, owner, KNOT_RRTYPE_CNAME, target, NULL);
    }
    for (unsigned i = 0; i < 50; i++) {
        g_autofree char *owner = g_strdup_printf("p%02u.policy.example.test", i);
        wanted_add(records, owner, KNOT_RRTYPE_A, v4, NULL);
        wanted_add(records, owner, KNOT_RRTYPE_AAAA, v6, NULL);
    }
    return records;
}

START_TEST(ten_thousand_domains)
{
    struct dnsd *server = dnsd_start(stage_root, "large", NULL, DNSD_TYPES);
    struct watched *watched = watched_primary(server);
    struct zone_records *before = large_records("192.0.2.1", "2001:db8::1");
    struct zone_records *after = large_records("192.0.2.2", "2001:db8::2");
    int64_t start_us = loop_now_us();
    watched_set(watched, 65537, 1, before);
    printf("10,000 domains: initial %.1f ms,", ms(watched_await(watched, "converged", 65537, 1, 30000) - start_us));
    int64_t switch_us = INT64_MAX; /* the best of some: Knot lets one update in about 60 wait for a second */
    for (uint64_t generation = 2; generation <= 4; generation++) {
        start_us = loop_now_us();
        watched_set(watched, 65537, generation, generation % 2 == 0 ? after : before);
        switch_us = MIN(switch_us, watched_await(watched, "converged", 65537, generation, 10000) - start_us);
        ck_assert_uint_eq(watched->saw.names, 100);
    }
    printf(" switch of 50 policies %.1f ms\n", ms(switch_us));
    ck_assert_int_lt(switch_us, 2000000);
    assert_shows(server, "p49.policy.example.test", KNOT_RRTYPE_AAAA, "2001:db8::2");
    zone_records_free(before), zone_records_free(after);
    watched_free(watched);
    dnsd_free(server);
}
END_TEST

START_TEST(over_ipv6)
{
    struct dnsd *server = dnsd_start(stage_root, "six", NULL, DNSD_TYPES);
    struct endpoint six = {.addr = {.family = AF_INET6}, .port = server->endpoint.port};
    six.addr.bytes[15] = 1;
    struct watched *watched = watched_new(&six, true, NULL, DNSD_SECRET);
    watched_set_free(watched, 65537, 1, wanted_one("192.0.2.1"));
    watched_await(watched, "converged", 65537, 1, 5000);
    assert_shows(server, "www.example.test", KNOT_RRTYPE_A, "192.0.2.1");
    watched_free(watched);
    dnsd_free(server);
}
END_TEST

START_TEST(older_is_refused)
{
    struct dnsd *server = dnsd_start(stage_root, "older", NULL, DNSD_TYPES);
    struct watched *now = watched_primary(server);
    watched_set_free(now, 3 << 16, 9, wanted_one("192.0.2.9"));
    watched_await(now, "converged", 3 << 16, 9, 5000);
    unsigned serial = dnsd_serial(&server->endpoint);

    struct watched *older_epoch = watched_primary(server), *older_generation = watched_primary(server);
    watched_set_free(older_epoch, 2 << 16, 100, wanted_one("192.0.2.66"));
    watched_set_free(older_generation, 3 << 16, 8, wanted_one("192.0.2.67"));
    watched_await(older_epoch, "conflict", 0, 0, 5000);
    watched_await(older_generation, "refused", 0, 0, 5000);
    ck_assert_ptr_nonnull(strstr(older_epoch->saw.error, "\"196608 9\""));
    ck_assert_ptr_nonnull(strstr(older_generation->saw.error, "\"196608 9\""));
    /* Too late at the driver itself. */
    watched_set_free(now, 3 << 16, 8, wanted_one("192.0.2.68"));
    watched_set_free(now, 3 << 16, 10, wanted_one("192.0.2.9"));
    watched_await(now, "converged", 3 << 16, 10, 5000);
    assert_shows(server, "www.example.test", KNOT_RRTYPE_A, "192.0.2.9");
    ck_assert_uint_eq(dnsd_serial(&server->endpoint), serial + 1);
    watched_free(now), watched_free(older_epoch), watched_free(older_generation);
    dnsd_free(server);
}
END_TEST

START_TEST(removal_follows_addition)
{
    struct dnsd *server = dnsd_start(stage_root, "removal", NULL, DNSD_TYPES);
    struct watched *watched = watched_primary(server);
    struct zone_records *records = wanted_new();
    wanted_add(records, "www.example.test", KNOT_RRTYPE_CNAME, "old.policy.example.test", NULL);
    wanted_add(records, "old.policy.example.test", KNOT_RRTYPE_A, "192.0.2.1", NULL);
    watched_set_free(watched, 65537, 1, records);
    watched_await(watched, "converged", 65537, 1, 5000);

    records = wanted_new(); /* the old policy would go while www still points at it */
    wanted_add(records, "www.example.test", KNOT_RRTYPE_CNAME, "old.policy.example.test", NULL);
    watched_set_free(watched, 65537, 2, records);
    watched_await(watched, "refused", 65537, 1, 5000);
    ck_assert_ptr_nonnull(strstr(watched->saw.error, "www.example.test still points at it"));
    watched_set_free(watched, 65537, 3, wanted_new());
    watched_await(watched, "refused", 65537, 1, 5000);
    assert_sentinel(server, "65537 1");

    records = wanted_new(); /* a CNAME becomes addresses, the policy's name goes last */
    wanted_add(records, "www.example.test", KNOT_RRTYPE_A, "192.0.2.2", NULL);
    watched_set_free(watched, 65537, 4, records);
    watched_await(watched, "converged", 65537, 4, 5000);
    assert_shows(server, "www.example.test", KNOT_RRTYPE_A, "192.0.2.2");
    assert_shows(server, "old.policy.example.test", KNOT_RRTYPE_A, "");
    assert_shows(server, "hand.example.test", KNOT_RRTYPE_A, "192.0.2.250");
    assert_sentinel(server, "65537 4");
    watched_free(watched);
    dnsd_free(server);
}
END_TEST

START_TEST(address_in_the_way_of_a_cname)
{
    struct dnsd *server = dnsd_start(stage_root, "trap", NULL, DNSD_TYPES);
    struct watched *watched = watched_primary(server);
    struct zone_records *records = wanted_new();
    wanted_add(records, "hand.example.test", KNOT_RRTYPE_CNAME, "core.policy.example.test", NULL);
    watched_set_free(watched, 65537, 1, records);
    watched_await(watched, "refused", 0, 0, 5000);
    printf("trap: %s\n", watched->saw.error);
    ck_assert_ptr_nonnull(strstr(watched->saw.error, "hand.example.test CNAME"));
    ck_assert_ptr_nonnull(strstr(watched->saw.error, "A 192.0.2.250"));
    ck_assert_uint_eq(watched->saw.confirmed.epoch, 0);
    watched_free(watched);
    dnsd_free(server);
}
END_TEST

START_TEST(foreign_change_is_repaired)
{
    struct dnsd *server = dnsd_start(stage_root, "repair", NULL, DNSD_TYPES);
    struct watched *watched = watched_primary(server);
    watched_set_free(watched, 65537, 1, wanted_one("192.0.2.1"));
    watched_await(watched, "converged", 65537, 1, 5000);
    /* The server comes back with the zone of its file: sentinel and records of before. */
    dnsd_kill(server);
    watched_await(watched, "unreachable", 65537, 1, 3000);
    dnsd_forget(server);
    dnsd_run(server);
    watched_await(watched, "converged", 65537, 1, 12000);
    assert_shows(server, "www.example.test", KNOT_RRTYPE_A, "192.0.2.1");
    assert_sentinel(server, "65537 1");
    watched_free(watched);
    dnsd_free(server);
}
END_TEST

/* An older zone and a newer generation come between two looks: what was proven before is no more, and is looked at. */
START_TEST(older_zone_and_newer_generation)
{
    struct dnsd *server = dnsd_start(stage_root, "older-zone", NULL, DNSD_TYPES);
    struct watched *watched = watched_primary(server);
    struct zone_records *records = wanted_new();
    wanted_add(records, "core.policy.example.test", KNOT_RRTYPE_A, "192.0.2.1", NULL);
    watched_set(watched, 65537, 2, records);
    watched_await(watched, "converged", 65537, 2, 5000);
    struct rrset *gone = rrset_make("core.policy.example.test", KNOT_RRTYPE_A, 0, (const char *const[]){NULL});
    struct update update = {DNSD_ZONE, "65537 2", "65537 1", &gone, 1};
    g_autofree char *reason = NULL;
    ck_assert_int_eq(update_by_hand(&server->endpoint, DNSD_SECRET, &update, 0, &reason), UPDATE_APPLIED);

    wanted_add(records, "www.example.test", KNOT_RRTYPE_CNAME, "core.policy.example.test", NULL);
    watched_set(watched, 65537, 3, records);
    watched_await(watched, "converged", 65537, 3, 5000);
    assert_shows(server, "core.policy.example.test", KNOT_RRTYPE_A, "192.0.2.1");
    assert_shows(server, "www.example.test", KNOT_RRTYPE_CNAME, "core.policy.example.test");
    rrset_delete(gone);
    zone_records_free(records);
    watched_free(watched);
    dnsd_free(server);
}
END_TEST

/* Of 400 names 121 are too many, 120 are not, and new ones are free. */
START_TEST(large_share_is_refused)
{
    struct dnsd *server = dnsd_start(stage_root, "guarded", NULL, DNSD_TYPES);
    struct watched *watched = watched_primary(server);
    watched_set_free(watched, 65537, 1, wanted_many(400, "a.policy.example.test"));
    watched_await(watched, "converged", 65537, 1, 5000); /* a first fill */
    unsigned serial = dnsd_serial(&server->endpoint);

    watched_set_free(watched, 65537, 2, wanted_many(279, "a.policy.example.test")); /* 121 of 400 would go */
    watched_await_words(watched, "refused", "guard: 121 of 400 names of example.test would change at once", 5000);
    printf("%s\n", watched->saw.error);
    ck_assert_uint_eq(dnsd_serial(&server->endpoint), serial);
    assert_shows(server, "d00399.example.test", KNOT_RRTYPE_CNAME, "a.policy.example.test");
    assert_sentinel(server, "65537 1");

    watched_set_free(watched, 65537, 3, wanted_many(280, "a.policy.example.test")); /* 120 of 400: 30 % */
    watched_await(watched, "converged", 65537, 3, 5000);
    assert_shows(server, "d00279.example.test", KNOT_RRTYPE_CNAME, "a.policy.example.test");
    assert_shows(server, "d00280.example.test", KNOT_RRTYPE_CNAME, "");

    struct zone_records *records = wanted_many(280, "b.policy.example.test");
    watched_set(watched, 65537, 4, records); /* all */
    watched_await_words(watched, "refused", "guard: 280 of 280 names", 5000);
    records->unguarded = true; /* allowed */
    watched_set(watched, 65537, 5, records);
    watched_await(watched, "converged", 65537, 5, 5000);
    assert_shows(server, "d00000.example.test", KNOT_RRTYPE_CNAME, "b.policy.example.test");

    records->unguarded = false; /* proven, and lost: it is put right again without a question */
    watched_set(watched, 65537, 6, records);
    watched_await(watched, "converged", 65537, 6, 5000);
    struct rrset *sets[280];
    for (unsigned i = 0; i < 280; i++)
        sets[i] = rrset_make(((struct rrset *)records->rrsets->pdata[i])->owner, KNOT_RRTYPE_CNAME, 5,
                             (const char *[]){"c.policy.example.test", NULL});
    struct update update = {DNSD_ZONE, "65537 6", "65537 5", sets, 280};
    g_autofree char *reason = NULL;
    ck_assert_int_eq(update_by_hand(&server->endpoint, DNSD_SECRET, &update, 0, &reason), UPDATE_APPLIED);
    watched_await_words(watched, "converged", "another hand", 5000);
    assert_shows(server, "d00279.example.test", KNOT_RRTYPE_CNAME, "b.policy.example.test");
    for (unsigned i = 0; i < 280; i++)
        rrset_delete(sets[i]);
    zone_records_free(records);
    watched_free(watched);
    dnsd_free(server);
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, initial_and_switch);
    tcase_add_test(tcase, thousand_names);
    tcase_add_test(tcase, ten_thousand_domains);
    tcase_add_test(tcase, over_ipv6);
    tcase_add_test(tcase, older_is_refused);
    tcase_add_test(tcase, removal_follows_addition);
    tcase_add_test(tcase, address_in_the_way_of_a_cname);
    tcase_add_test(tcase, large_share_is_refused);
    tcase_add_test(tcase, foreign_change_is_repaired);
    tcase_add_test(tcase, older_zone_and_newer_generation);
}

int main(void)
{
    return stage_run("dns_servers", add_tests);
}
