/* Changes of several updates that stop half-way, at Knot or BIND (dnsd.h): what is new and what is old is said exactly,
 * and the rest alone is written when the cause has ended. */
#include <signal.h>
#include <string.h>

#include "core/loop.h"
#include "dns/readback.h"
#include "tests/unit/dnsstage.h"
#include "tests/unit/relay.h"

/* 2,000 names with an address that the server allows, then, last in the order of names, some that it does not. */
static struct zone_records *half_allowed(void)
{
    struct zone_records *records = wanted_new();
    for (unsigned i = 0; i < 2000; i++) {
        g_autofree char *owner = g_strdup_printf("d%05u.example.test", i);
        wanted_add(records, owner, KNOT_RRTYPE_A, "192.0.2.1", NULL);
    }
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
    watched_await_words(watched, "refused", "of 3: access list", 30000);
    printf("half-way: %s\n", watched->saw.error);
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
    assert_shows(server, last_new, KNOT_RRTYPE_A, "192.0.2.1");
    assert_shows(server, first_old, KNOT_RRTYPE_A, "");
    ck_assert_ptr_nonnull(strstr(watched->saw.error, last_new));
    ck_assert_ptr_nonnull(strstr(watched->saw.error, first_old));
    g_autofree char *sentinel = g_strdup_printf("65537 1 part %u/3", part - 1);
    assert_sentinel(server, sentinel);

    unsigned serial = dnsd_serial(&server->endpoint);
    dnsd_kill(server);
    server->types = DNSD_TYPES;
    dnsd_run(server);
    watched_await(watched, "converged", 65537, 1, 30000);
    ck_assert_uint_eq(dnsd_serial(&server->endpoint), serial + 4 - part); /* the rest alone was written */
    assert_shows(server, "z00899.example.test", KNOT_RRTYPE_AAAA, "2001:db8::1");
    assert_sentinel(server, "65537 1");
    watched_free(watched);
    dnsd_free(server);
}
END_TEST

/* ---- the sixth update of ten ---- */

#define N_NAMES 9800
#define N_UPDATES 10
#define NTH 6

struct count {
    const char *target;
    unsigned n, first_other; /* how many show it; the lowest number that does not */
};

static void count_one(void *data, struct rrset *set)
{
    struct count *count = data;
    unsigned number = (unsigned)strtoul(set->owner + 1, NULL, 10);
    if (g_strcmp0(set->rdata[0], count->target) == 0)
        count->n++;
    else
        count->first_other = MIN(count->first_other, number);
    rrset_delete(set);
}

/* Every name is asked for at the server itself. */
static struct count count_showing(const struct dnsd *server, const char *target)
{
    struct zone_records *questions = wanted_many(N_NAMES, target);
    struct count count = {target, 0, N_NAMES};
    sb_auto(readback) readback = readback_new(&server->endpoint, -1, NULL);
    ck_assert(
        readback_ask(readback, (struct rrset *const *)questions->rrsets->pdata, N_NAMES, count_one, &count, NULL));
    zone_records_free(questions);
    return count;
}

/* The report's figures and names are what the server shows; returns how many are new. */
static unsigned assert_exact(const struct dnsd *server, const char *error, const char *target)
{
    struct count count = count_showing(server, target);
    ck_assert_uint_eq(count.first_other, count.n); /* those that are new are the first ones */
    g_autofree char *expected = g_strdup_printf("; of %u sets %u are new (d00000.example.test CNAME to "
                                                "d%05u.example.test CNAME), %u are not (d%05u.example.test "
                                                "CNAME to d%05u.example.test CNAME)",
                                                N_NAMES, count.n, count.n - 1, N_NAMES - count.n, count.n, N_NAMES - 1);
    ck_assert_msg(strstr(error, expected) != NULL, "%s\nexpected %s", error, expected);
    return count.n;
}

static void claim_as_another(void *data)
{
    const struct dnsd *server = data;
    struct update update = {DNSD_ZONE, "65537 2 part 5/10", "131073 0", NULL, 0};
    g_autofree char *reason = NULL;
    ck_assert_int_eq(update_by_hand(&server->endpoint, DNSD_SECRET, &update, 0, &reason), UPDATE_APPLIED);
}

/* What the server holds in the middle of the rest. */
struct middle {
    const struct dnsd *server;
    char *sentinel;
};

static void note_sentinel(void *data)
{
    struct middle *middle = data;
    middle->sentinel = dnsd_ask(&middle->server->endpoint, "_signalbox.example.test", KNOT_RRTYPE_TXT);
}

struct stopping {
    const char *what, *state, *words;
    enum harm harm;
    uint8_t rcode;
};
static const struct stopping stoppings[] = {
    {"SERVFAIL", "refused", "update 6 of 10: the server failed (SERVFAIL)", HARM_RCODE, KNOT_RCODE_SERVFAIL},
    {"REFUSED", "refused", "update 6 of 10: access list:", HARM_RCODE, KNOT_RCODE_REFUSED},
    {"NXRRSET", "conflict", "the sentinel holds \"131073 0\", ours is \"65537 2\"", HARM_CALL, 0},
};

START_TEST(sixth_of_ten)
{
    const struct stopping *stopping = &stoppings[_i];
    struct dnsd *server = dnsd_start(stage_root, stopping->what, NULL, DNSD_TYPES);
    struct relay *relay = relay_new(server);
    struct watched *watched = watched_new(relay_endpoint(relay), true, NULL, DNSD_SECRET);
    struct zone_records *after = wanted_many(N_NAMES, "b.policy.example.test");
    after->unguarded = true;
    watched_set_free(watched, 65537, 1, wanted_many(N_NAMES, "a.policy.example.test"));
    watched_await(watched, "converged", 65537, 1, 30000);

    unsigned sent = relay_updates(relay), serial = dnsd_serial(&server->endpoint);
    relay_arm(relay, (struct relay_harm){stopping->harm, NTH, stopping->rcode, claim_as_another, server});
    watched_set(watched, 65537, 2, after);
    watched_await_words(watched, stopping->state, stopping->words, 30000);
    printf("%s: %s\n", stopping->what, watched->saw.error);
    unsigned n_new = assert_exact(server, watched->saw.error, "b.policy.example.test");
    ck_assert_uint_gt(n_new, N_NAMES / N_UPDATES * (NTH - 1) * 9 / 10);
    ck_assert_uint_lt(n_new, N_NAMES / N_UPDATES * NTH);
    bool claimed = stopping->harm == HARM_CALL;
    assert_sentinel(server, claimed ? "131073 0" : "65537 2 part 5/10");

    int64_t start_us = loop_now_us();
    struct middle middle = {.server = server};
    relay_arm(relay, (struct relay_harm){HARM_CALL, 2, .call = note_sentinel, .data = &middle});
    uint64_t epoch = claimed ? 3 << 16 : 65537, generation = claimed ? 3 : 2;
    if (claimed)
        watched_set(watched, epoch, generation, after);
    int64_t took_us = watched_await(watched, "converged", epoch, generation, 30000) - start_us;
    unsigned updates = relay_updates(relay) - sent;
    printf("%s: %u new, %u old; whole after %.0f ms, %u updates in all, the largest of %u bytes\n", stopping->what,
           n_new, N_NAMES - n_new, ms(took_us), updates, relay_largest(relay));
    ck_assert_uint_eq(count_showing(server, "b.policy.example.test").n, N_NAMES);
    /* Nothing was written twice. Where another writer was first: its claim, our update that lost, our claim. */
    ck_assert_uint_eq(updates, N_UPDATES + (claimed ? 2 : 0));
    ck_assert_uint_eq(dnsd_serial(&server->endpoint), serial + N_UPDATES + (claimed ? 2 : 0));
    ck_assert_uint_le(relay_largest(relay), 65535);
    watched_free(watched);
    relay_free(relay);
    unsigned part, parts; /* a change that is resumed goes on counting */
    if (!claimed)
        ck_assert_msg(sscanf(middle.sentinel, "65537 2 part %u/%u", &part, &parts) == 2 && part >= NTH &&
                          parts == N_UPDATES,
                      "the sentinel in the middle of the rest: %s", middle.sentinel);
    g_free(middle.sentinel);
    zone_records_free(after);
    dnsd_free(server);
}
END_TEST

/* ---- a secondary that stops in the middle ---- */

static void stop_server(void *data)
{
    dnsd_signal(data, SIGSTOP);
}

START_TEST(secondary_stops_half_way)
{
    struct dnsd *primary = dnsd_start(stage_root, "upper", NULL, DNSD_TYPES);
    struct dnsd *secondary = dnsd_start(stage_root, "lower", primary, DNSD_TYPES);
    struct relay *relay = relay_new(primary);
    struct watched *a = watched_new(relay_endpoint(relay), true, &secondary->endpoint, DNSD_SECRET);
    struct watched *b = watched_new(&secondary->endpoint, false, NULL, DNSD_SECRET);
    struct zone_records *before = wanted_many(N_NAMES, "a.policy.example.test");
    struct zone_records *after = wanted_many(N_NAMES, "b.policy.example.test");
    after->unguarded = true;
    watched_set(a, 65537, 1, before), watched_set(b, 65537, 1, before);
    watched_await(a, "converged", 65537, 1, 30000);
    watched_await(b, "converged", 65537, 1, 30000);

    relay_arm(relay, (struct relay_harm){HARM_CALL, NTH, .call = stop_server, .data = secondary});
    watched_set(a, 65537, 2, after), watched_set(b, 65537, 2, after);
    watched_await(a, "converged", 65537, 2, 30000);
    watched_await(b, "unreachable", 0, 0, 30000);
    int64_t primary_us = a->saw.residual_until_us;
    dnsd_signal(secondary, SIGCONT);
    int64_t start_us = loop_now_us(), took_us = watched_await(b, "converged", 65537, 2, 30000) - start_us;
    printf("secondary stopped at update 6 of 10: whole %.0f ms after it went on\n", ms(took_us));
    ck_assert_int_le(took_us, 5000000); /* 2 s where the machine has nothing else to do */
    ck_assert_uint_eq(count_showing(secondary, "b.policy.example.test").n, N_NAMES);
    /* Resolvers may have asked it until it went on: its time is the one that counts. */
    ck_assert_int_ge(b->saw.residual_until_us, start_us + 5000000);
    ck_assert_int_gt(b->saw.residual_until_us, primary_us);
    zone_records_free(before), zone_records_free(after);
    watched_free(a), watched_free(b);
    relay_free(relay);
    dnsd_free(secondary), dnsd_free(primary);
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, stopped_half_way_and_resumed);
    tcase_add_loop_test(tcase, sixth_of_ten, 0, (int)G_N_ELEMENTS(stoppings));
    tcase_add_test(tcase, secondary_stops_half_way);
}

int main(void)
{
    return stage_run("dns_batches", add_tests);
}
