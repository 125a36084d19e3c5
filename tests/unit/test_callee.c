/* The client of eastwest/client: pure rules, then against real etcd. The faults that discovery systems are known for,
 * and what holds here:
 *
 *   fault                                               what holds                                       test
 *   weight 0 is read as "default"                       it gets nobody weight_0_gets_nobody a zone without instances
 * shifts the others' shares  its share goes to the others in their ratio an_empty_zone_gives_its_share_to_the_others
 *   ... or opens every zone                             only zones of the row are called, else nobody
 * nobody_is_called_who_is_not_in_the_row weights compound or overflow when applied again     the shares stay what the
 * row says                applied_again_changes_nothing a row is garbled, of another or gone                the last
 * good one counts, and it is said         what_is_no_row_is_not_believed heartbeats of a whole room are lost the room
 * is called on; a slow shrink is obeyed   lost_heartbeats_do_not_empty_a_room, leases_end_all_at_once etcd is killed
 * last good, with its age; on disk for a new start etcd_dies_and_comes_back etcd is compacted while a watcher is away
 * it looks anew: no change is lost                 what_was_missed_and_compacted_is_seen a member dies, is silent, or
 * has no leader          another one is asked, from the same revision on  members_die_and_others_are_watched all keys
 * of the registry are wiped                  the last good row counts; the publisher writes
 * the_publisher_and_the_client_outlive_a_wipe them again the same is published again                         no key
 * moves, nobody is woken                    what_was_set_is_there_and_again_changes_nothing (test_registry.c) an older
 * writer comes late                          etcd refuses it                                  an_older_writer_loses
 * (test_registry.c)
 */
#include "eastwest/client/callee_table.h"
#include "eastwest/publisher.h"
#include "eastwest/etcd.h"
#include "core/loop.h"
#include "tests/unit/authority.h"
#include "tests/unit/etcdd.h"
#include "tests/unit/unit.h"

#include <glib/gstdio.h>
#include <poll.h>
#include <signal.h>
#include <string.h>

#define ROW "/sb/v1/service/home/zone-1"
#define ROLLS 7000 /* a multiple of the sums that are used here */
#define MINUTE_US (60 * (int64_t)G_USEC_PER_SEC)

static const struct callee_config config = {
    .prefix = "/sb", .what = "service/home", .caller = "zone-1", .instances = "/instances/home"};

/* "{"service":"home",...}" of "zone-1:5:room-a zone-2:0:room-b,room-c"; g_free. */
static char *row(const char *text)
{
    g_auto(GStrv) items = g_strsplit(text, " ", -1);
    GString *out = g_string_new("{\"service\":\"home\",\"caller\":\"zone-1\",\"destinations\":[");
    for (char **item = items; *item != NULL && **item != '\0'; item++) {
        g_auto(GStrv) part = g_strsplit(*item, ":", 3), rooms = g_strsplit(part[2], ",", -1);
        g_autofree char *names = g_strjoinv("\",\"", rooms);
        g_string_append_printf(out, "%s{\"zone\":\"%s\",\"weight\":%s,\"rooms\":[\"%s\"]}", item == items ? "" : ",",
                               part[0], part[1], names);
    }
    return g_string_free(g_string_append(out, "]}"), FALSE);
}

/* ---- pure ---- */

static void hear(struct callee_table *table, const char *key, const char *value, int64_t now_us)
{
    g_autoptr(GError) error = NULL;
    ck_assert_msg(callee_table_hear(table, key, value, now_us, &error), "%s", error != NULL ? error->message : "");
    callee_table_settle(table, now_us);
}

static void hear_row(struct callee_table *table, const char *text)
{
    g_autofree char *value = row(text);
    hear(table, ROW, value, 1);
}

/* n instances of a room, or none of them any more. */
static void hear_room(struct callee_table *table, const char *room, unsigned from, unsigned n, bool there,
                      int64_t now_us)
{
    for (unsigned i = from; i < from + n; i++) {
        g_autofree char *key = g_strdup_printf("/instances/home/%s/i-%u", room, i);
        g_autofree char *address = g_strdup_printf("%s.test:%u", room, 1000 + i);
        hear(table, key, there ? address : NULL, now_us);
    }
}

/* "zone-1=70 zone-2=30 nobody=0": of 100, exactly. */
static void check_shares(const struct callee_table *table, const char *expected)
{
    g_autoptr(GHashTable) counts = g_hash_table_new(g_str_hash, g_str_equal);
    g_autoptr(GString) found = g_string_new(NULL);
    for (uint64_t roll = 0; roll < ROLLS; roll++) {
        const char *zone = "nobody";
        callee_table_pick(table, roll, &zone);
        unsigned n = GPOINTER_TO_UINT(g_hash_table_lookup(counts, zone));
        g_hash_table_insert(counts, (void *)zone, GUINT_TO_POINTER(n + 1));
    }
    g_autoptr(GList) zones = g_list_sort(g_hash_table_get_keys(counts), (GCompareFunc)strcmp);
    for (const GList *zone = zones; zone != NULL; zone = zone->next)
        g_string_append_printf(found, "%s%s=%g", zone == zones ? "" : " ", (const char *)zone->data,
                               GPOINTER_TO_UINT(g_hash_table_lookup(counts, zone->data)) * 100.0 / ROLLS);
    ck_assert_str_eq(found->str, expected);
}

/* Two rooms in zone-1, one in each other zone, three instances in each. */
static struct callee_table *full_table(void)
{
    struct callee_table *table = callee_table_new(&config);
    static const char *const rooms[] = {"room-a", "room-b", "room-c", "room-d"};
    for (unsigned i = 0; i < G_N_ELEMENTS(rooms); i++)
        hear_room(table, rooms[i], 0, 3, true, 1);
    return table;
}

START_TEST(weight_0_gets_nobody)
{
    struct callee_table *table = full_table();
    hear_row(table, "zone-1:0:room-a zone-2:5:room-c");
    check_shares(table, "zone-2=100");
    hear_row(table, "zone-1:0:room-a zone-2:0:room-c");
    check_shares(table, "nobody=100");
    hear_row(table, "zone-1:3:room-a zone-2:7:room-c zone-3:0:room-d");
    check_shares(table, "zone-1=30 zone-2=70");
    callee_table_free(table);
}
END_TEST

START_TEST(an_empty_zone_gives_its_share_to_the_others)
{
    struct callee_table *table = full_table();
    hear_row(table, "zone-1:50:room-a zone-2:30:room-none zone-3:20:room-d");
    check_shares(table, "zone-1=71.4286 zone-3=28.5714");
    hear_row(table, "zone-1:50:room-none zone-2:30:room-none zone-3:20:room-d");
    check_shares(table, "zone-3=100");
    /* Two rooms of a zone share it by their instances; the third is not said to answer. */
    hear_row(table, "zone-1:1:room-a,room-b");
    g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);
    for (uint64_t roll = 0; roll < ROLLS; roll++) {
        const char *zone;
        g_hash_table_add(seen, (void *)callee_table_pick(table, roll, &zone));
    }
    ck_assert_uint_eq(g_hash_table_size(seen), 6);
    ck_assert(g_hash_table_contains(seen, "room-a.test:1000") && g_hash_table_contains(seen, "room-b.test:1002"));
    callee_table_free(table);
}
END_TEST

START_TEST(nobody_is_called_who_is_not_in_the_row)
{
    struct callee_table *table = full_table();
    check_shares(table, "nobody=100"); /* no row yet */
    ck_assert(!callee_table_known(table));
    hear_row(table, "zone-4:1:room-none");
    check_shares(table, "nobody=100");
    hear_row(table, "");
    check_shares(table, "nobody=100");
    ck_assert(callee_table_known(table));
    callee_table_free(table);
}
END_TEST

START_TEST(applied_again_changes_nothing)
{
    struct callee_table *table = full_table();
    for (unsigned i = 0; i < 1000; i++) {
        hear_row(table, "zone-1:7:room-a zone-2:3:room-c");
        hear_room(table, "room-a", 0, 3, true, 1);
    }
    check_shares(table, "zone-1=70 zone-2=30");
    hear_row(table, "zone-1:1000000:room-a zone-2:1000000:room-c");
    const char *zone = NULL;
    ck_assert_ptr_nonnull(callee_table_pick(table, UINT64_MAX, &zone));
    ck_assert_ptr_nonnull(callee_table_pick(table, 1999999, &zone));
    ck_assert_str_eq(zone, "zone-2");
    callee_table_free(table);
}
END_TEST

START_TEST(what_is_no_row_is_not_believed)
{
    static const char *const bad[] = {
        NULL,
        "",
        "[]",
        "{",
        "{\"service\":\"home\",\"caller\":\"zone-1\"}",
        "{\"service\":\"other\",\"caller\":\"zone-1\",\"destinations\":[]}",
        "{\"service\":\"home\",\"caller\":\"zone-2\",\"destinations\":[]}",
        "{\"interface\":\"home\",\"caller\":\"zone-1\",\"destinations\":[]}",
        "{\"service\":\"home\",\"caller\":\"zone-1\",\"destinations\":[{\"src\":\"zone-1\",\"dst\":\"zone-2\"}]}",
        "{\"service\":\"home\",\"caller\":\"zone-1\",\"destinations\":[{\"zone\":\"zone-2\",\"weight\":-1,\"rooms\":[]}"
        "]}",
        "{\"service\":\"home\",\"caller\":\"zone-1\",\"destinations\":[{\"zone\":\"zone-2\",\"weight\":\"1\",\"rooms\":"
        "[]}]}",
        "{\"service\":\"home\",\"caller\":\"zone-1\",\"destinations\":[{\"zone\":\"zone-2\",\"weight\":99999999,"
        "\"rooms\":[]}]}",
        "{\"service\":\"home\",\"caller\":\"zone-1\",\"destinations\":[{\"zone\":\"zone-2\",\"weight\":1,\"rooms\":[1]}"
        "]}",
    };
    struct callee_table *table = full_table();
    hear_row(table, "zone-1:7:room-a zone-2:3:room-c");
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) error = NULL;
        ck_assert_msg(!callee_table_hear(table, ROW, bad[i], 2, &error), "%s", bad[i]);
        ck_assert_msg(strstr(error->message, "the last good one counts") != NULL, "%s", error->message);
        callee_table_settle(table, 2);
        check_shares(table, "zone-1=70 zone-2=30");
    }
    hear(table, "/instances/home/room-a", "no id", 2);
    hear(table, "/instances/home//x", "no room", 2);
    hear(table, "/instances/home/room-a/x", "", 2); /* no address */
    hear(table, "/instances/homer/room-a/x", "another service", 2);
    check_shares(table, "zone-1=70 zone-2=30");
    callee_table_free(table);
}
END_TEST

/* How many instances of room-a are called. */
static unsigned called(struct callee_table *table, int64_t now_us)
{
    g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);
    callee_table_settle(table, now_us);
    for (uint64_t roll = 0; roll < ROLLS; roll++) {
        const char *zone, *address = callee_table_pick(table, roll, &zone);
        if (address != NULL)
            g_hash_table_add(seen, (void *)address);
    }
    return g_hash_table_size(seen);
}

START_TEST(lost_heartbeats_do_not_empty_a_room)
{
    struct callee_table *table = callee_table_new(&config);
    int64_t now_us = MINUTE_US;
    hear_row(table, "zone-1:1:room-a");
    hear_room(table, "room-a", 0, 10, true, now_us);
    hear_room(table, "room-a", 0, 5, false, now_us); /* half: obeyed */
    ck_assert_uint_eq(called(table, now_us), 5);
    hear_room(table, "room-a", 5, 1, false, now_us + 1); /* more than half within a minute: not believed */
    ck_assert_uint_eq(called(table, now_us + 1), 10);
    ck_assert(callee_table_protected(table));
    hear_room(table, "room-a", 6, 4, false, now_us + 2);
    ck_assert_uint_eq(called(table, now_us + 30 * MINUTE_US), 10); /* all gone, for long */
    hear_room(table, "room-a", 0, 5, true, now_us + 31 * MINUTE_US);
    ck_assert_uint_eq(called(table, now_us + 31 * MINUTE_US), 5); /* half are back: the rest is gone indeed */
    ck_assert(!callee_table_protected(table));
    hear_room(table, "room-a", 0, 5, false, now_us + 40 * MINUTE_US);
    ck_assert_uint_eq(called(table, now_us + 99 * MINUTE_US), 5);
    ck_assert_uint_eq(called(table, now_us + 101 * MINUTE_US), 0); /* it ends by itself */
    /* A slow shrink, one in two minutes, is obeyed to the last but one; that one is all that there is. */
    now_us += 200 * MINUTE_US;
    hear_room(table, "room-a", 0, 10, true, now_us);
    for (unsigned i = 0; i < 9; i++) {
        now_us += 2 * MINUTE_US;
        hear_room(table, "room-a", i, 1, false, now_us);
        ck_assert_uint_eq(called(table, now_us), 9 - i);
    }
    now_us += 2 * MINUTE_US;
    hear_room(table, "room-a", 9, 1, false, now_us);
    ck_assert_uint_eq(called(table, now_us), 1);
    callee_table_free(table);
}
END_TEST

START_TEST(a_cache_gives_back_what_was_known)
{
    struct callee_table *table = full_table(), *other = callee_table_new(&config);
    int64_t wall_us = 0;
    hear_row(table, "zone-1:7:room-a zone-2:3:room-c");
    g_autofree char *text = callee_table_dump(table, 1234);
    ck_assert(callee_table_load(other, text, 1, &wall_us, NULL));
    callee_table_settle(other, 1);
    ck_assert_int_eq(wall_us, 1234);
    check_shares(other, "zone-1=70 zone-2=30");
    /* What a look does not show of it has vanished all at once. */
    g_autoptr(GHashTable) none = g_hash_table_new(g_str_hash, g_str_equal);
    callee_table_only(other, none, 2);
    callee_table_settle(other, 2);
    check_shares(other, "zone-1=70 zone-2=30");
    ck_assert(callee_table_protected(other));
    static const char *const bad[] = {"", "{}", "[1]", "{\"row\":7}", "{\"row\":\"{}\",\"instances\":{}}"};
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) error = NULL;
        ck_assert(!callee_table_load(other, bad[i], 2, &wall_us, &error));
        ck_assert_ptr_nonnull(error);
    }
    callee_table_free(other);
    callee_table_free(table);
}
END_TEST

/* ---- with etcd ---- */

static char *folder;
static struct etcdd *etcd[ETCDD_MEMBERS_MAX];
static unsigned n_etcd;

static void begin(unsigned n)
{
    folder = g_dir_make_tmp("callee-XXXXXX", NULL);
    etcdd_start(folder, n, etcd);
    n_etcd = n;
}

static void end(void)
{
    etcdd_free(etcd, n_etcd);
    unit_remove_all(folder);
    g_free(folder);
}

static void put_row(const char *text)
{
    g_autofree char *value = row(text);
    etcdd_put(etcd[n_etcd - 1], ROW, value);
}

/* The others have a leader again. */
static void wait_majority(void)
{
    int64_t deadline_us = loop_now_us() + 20 * G_USEC_PER_SEC;
    while (etcdd_revision(etcd[n_etcd - 1]) < 0) {
        ck_assert(loop_now_us() < deadline_us);
        poll(NULL, 0, 5);
    }
}

/* Of zone-1 in room-a, of zone-2 in room-c. */
static void put_site(void)
{
    etcdd_put(etcd[0], "/instances/home/room-a/i-1", "10.1.0.1:80");
    etcdd_put(etcd[0], "/instances/home/room-a/i-2", "10.1.0.2:80");
    etcdd_put(etcd[0], "/instances/home/room-c/i-1", "10.2.0.1:80");
    put_row("zone-1:1:room-a");
}

/* Knows the first n members. */
static struct callee *client(unsigned n, const char *cache)
{
    g_autoptr(GString) members = g_string_new(NULL);
    char text[ENDPOINT_TEXT_SIZE];
    for (unsigned i = 0; i < n; i++)
        g_string_append_printf(members, "%shttp://%s", i > 0 ? "," : "", endpoint_format(&etcd[i]->endpoint, text));
    struct callee_config own = config;
    own.members = members->str;
    own.cache = cache;
    struct callee *callee = callee_new(&own, NULL);
    ck_assert_ptr_nonnull(callee);
    return callee;
}

/* Waits until the address is picked; NULL: nobody. Returns how long it took, µs. */
static int64_t wait_picked(struct callee *callee, const char *address)
{
    int64_t start_us = loop_now_us();
    for (;; poll(NULL, 0, 2)) {
        g_autofree char *found = callee_pick(callee, 0, NULL);
        if (g_strcmp0(found, address) == 0)
            return loop_now_us() - start_us;
        ck_assert_msg(loop_now_us() - start_us < 30 * G_USEC_PER_SEC, "found %s, expected %s", found, address);
    }
}

static void wait_watching(struct callee *callee)
{
    int64_t deadline_us = loop_now_us() + 30 * G_USEC_PER_SEC;
    for (struct callee_state state = {0}; !state.watching; poll(NULL, 0, 2)) {
        callee_state(callee, &state);
        ck_assert_msg(loop_now_us() < deadline_us, "it does not watch: %s", state.error);
        g_free(state.error);
    }
}

/* Waits for an error with the text in it. */
static void wait_error(struct callee *callee, const char *text)
{
    int64_t deadline_us = loop_now_us() + 30 * G_USEC_PER_SEC;
    for (bool there = false; !there; poll(NULL, 0, 2)) {
        struct callee_state state;
        callee_state(callee, &state);
        there = state.error != NULL && strstr(state.error, text) != NULL;
        ck_assert_msg(there || loop_now_us() < deadline_us, "found %s, expected %s", state.error, text);
        g_free(state.error);
    }
}

START_TEST(no_members_are_refused)
{
    g_autoptr(GError) error = NULL;
    struct callee_config own = config;
    own.members = "";
    ck_assert_ptr_null(callee_new(&own, &error));
    ck_assert_str_eq(error->message, "found no member of etcd, expected one at least");
}
END_TEST

START_TEST(tls_is_spoken)
{
    folder = g_dir_make_tmp("callee-XXXXXX", NULL);
    g_autofree char *tls = g_build_filename(folder, "etcd", NULL), *ca = g_strconcat(tls, ".ca.pem", NULL);
    g_autofree char *cert = g_strconcat(tls, ".cert.pem", NULL), *key = g_strconcat(tls, ".key.pem", NULL);
    struct authority *authority = authority_new(ca);
    authority_issue(authority, "etcd", 24, cert, key);
    etcdd_start_tls(folder, tls, n_etcd = 1, etcd);
    put_site();
    char text[ENDPOINT_TEXT_SIZE];
    g_autofree char *member = g_strdup_printf("https://%s", endpoint_format(&etcd[0]->endpoint, text));
    struct callee_config own = config;
    own.members = member;
    own.ca = ca;
    struct callee *callee = callee_new(&own, NULL);
    wait_error(callee, "expected an answer of etcd"); /* it wants to know who asks */
    callee_free(callee);
    own.cert = cert;
    own.key = key;
    callee = callee_new(&own, NULL);
    wait_picked(callee, "10.1.0.1:80");
    wait_watching(callee);
    put_row("zone-2:1:room-c");
    wait_picked(callee, "10.2.0.1:80");
    callee_free(callee);
    authority_free(authority);
    end();
}
END_TEST

START_TEST(a_switch_is_heard_by_watching)
{
    begin(1);
    put_site();
    struct callee *callee = client(1, NULL);
    ck_assert(callee_wait(callee, 4294968)); /* ms: more µs than 32 bits hold */
    wait_watching(callee);
    wait_picked(callee, "10.1.0.1:80");
    struct callee_state before, after;
    callee_state(callee, &before);
    ck_assert_ptr_null(before.error);
    put_row("zone-1:0:room-a zone-2:1:room-c");
    wait_picked(callee, "10.2.0.1:80");
    put_row("zone-1:1:room-a");
    wait_picked(callee, "10.1.0.1:80");
    callee_state(callee, &after);
    ck_assert_uint_le(after.looks, before.looks + 1); /* it did not ask: it was told */
    g_autofree char *zone = NULL, *address = callee_pick(callee, 7, &zone);
    ck_assert_ptr_nonnull(address);
    ck_assert_str_eq(zone, "zone-1");
    etcdd_put(etcd[0], ROW, "{\"service\":\"home\"}");
    wait_error(callee, "the last good one counts");
    wait_picked(callee, "10.1.0.1:80");
    int64_t start_us = loop_now_us();
    callee_free(callee);
    ck_assert_int_lt(loop_now_us() - start_us, G_USEC_PER_SEC); /* nothing is waited for */
    end();
}
END_TEST

START_TEST(etcd_dies_and_comes_back)
{
    begin(1);
    g_autofree char *cache = g_build_filename(folder, "cache", NULL);
    put_site();
    struct callee *callee = client(1, cache);
    wait_picked(callee, "10.1.0.1:80");
    wait_watching(callee);
    put_row("zone-2:1:room-c");
    wait_picked(callee, "10.2.0.1:80");
    etcdd_kill(etcd[0]);
    wait_error(callee, "expected an answer of etcd");
    struct callee_state state = {0};
    while (state.age_us < 300000) { /* it grows */
        poll(NULL, 0, 10);
        callee_state(callee, &state);
        g_free(state.error);
    }
    ck_assert(!state.watching);
    wait_picked(callee, "10.2.0.1:80");
    /* A cold start meanwhile: from disk, with its age; without a disk nobody. */
    struct callee *cold = client(1, cache), *blank = client(1, NULL);
    wait_picked(cold, "10.2.0.1:80");
    callee_state(cold, &state);
    g_free(state.error);
    ck_assert_int_ge(state.age_us, 250000); /* the cache was written some ms behind the answer that it holds */
    callee_state(blank, &state);
    g_free(state.error);
    ck_assert_int_eq(state.age_us, -1);
    wait_picked(blank, NULL);
    etcdd_run(etcd[0]);
    put_row("zone-1:1:room-a");
    wait_picked(callee, "10.1.0.1:80");
    wait_picked(cold, "10.1.0.1:80");
    wait_picked(blank, "10.1.0.1:80");
    /* A cache that is garbage is said, and written anew. */
    callee_free(cold);
    ck_assert(g_file_set_contents(cache, "garbage", -1, NULL));
    cold = client(1, cache);
    wait_picked(cold, "10.1.0.1:80");
    callee_free(blank);
    callee_free(cold);
    callee_free(callee);
    end();
}
END_TEST

/* Each change is on disk at once; what is the same is not written again at each look. */
START_TEST(only_what_is_new_is_written)
{
    begin(1);
    g_autofree char *cache = g_build_filename(folder, "cache", NULL);
    GStatBuf first, later;
    put_site();
    struct callee *callee = client(1, cache);
    wait_picked(callee, "10.1.0.1:80");
    wait_watching(callee);
    ck_assert_int_eq(g_stat(cache, &first), 0);
    etcdd_kill(etcd[0]);
    wait_error(callee, "expected an answer of etcd");
    etcdd_run(etcd[0]); /* a reason to look again */
    wait_watching(callee);
    ck_assert_int_eq(g_stat(cache, &later), 0);
    ck_assert(first.st_ino == later.st_ino && first.st_mtim.tv_nsec == later.st_mtim.tv_nsec);
    put_row("zone-2:1:room-c");
    wait_picked(callee, "10.2.0.1:80");
    callee_free(callee);
    ck_assert_int_eq(g_stat(cache, &later), 0);
    ck_assert(first.st_ino != later.st_ino || first.st_mtim.tv_nsec != later.st_mtim.tv_nsec);
    end();
}
END_TEST

START_TEST(what_was_missed_and_compacted_is_seen)
{
    begin(3);
    put_site();
    struct callee *callee = client(1, NULL);
    wait_picked(callee, "10.1.0.1:80");
    wait_watching(callee);
    etcdd_kill(etcd[0]); /* the only one that it knows; the other two go on */
    wait_majority();
    for (unsigned i = 0; i < 20; i++)
        put_row(i % 2 == 0 ? "zone-1:1:room-a" : "zone-2:1:room-c");
    etcdd_delete(etcd[2], "/instances/home/room-c/i-1");
    etcdd_put(etcd[2], "/instances/home/room-c/i-2", "10.2.0.2:80");
    etcdd_compact(etcd[2]);
    wait_picked(callee, "10.1.0.1:80");
    etcdd_run(etcd[0]);
    wait_picked(callee, "10.2.0.2:80");
    callee_free(callee);
    end();
}
END_TEST

START_TEST(members_die_and_others_are_watched)
{
    begin(3);
    put_site();
    struct callee *callee = client(3, NULL);
    wait_picked(callee, "10.1.0.1:80");
    wait_watching(callee);
    etcdd_kill(etcd[0]); /* the one that it watches */
    wait_majority();
    put_row("zone-2:1:room-c");
    wait_picked(callee, "10.2.0.1:80");
    wait_watching(callee);
    /* Silent: it is believed for CALLEE_WATCH_S, no longer. */
    etcdd_run(etcd[0]);
    etcdd_signal(etcd[1], SIGSTOP);
    wait_majority();
    put_row("zone-1:1:room-a");
    int64_t took_us = wait_picked(callee, "10.1.0.1:80");
    ck_assert_int_lt(took_us, (CALLEE_WATCH_S + 5) * G_USEC_PER_SEC);
    etcdd_signal(etcd[1], SIGCONT);
    /* No majority: the watch ends, the last good counts. */
    wait_watching(callee);
    etcdd_kill(etcd[0]);
    etcdd_kill(etcd[1]);
    wait_error(callee, "expected an answer of etcd");
    wait_picked(callee, "10.1.0.1:80");
    callee_free(callee);
    end();
}
END_TEST

static void register_by_lease(const char *lease, const char *id, const char *address)
{
    g_autofree char *key = g_strconcat("/instances/home/room-a/", id, NULL);
    g_autofree char *k = g_base64_encode((const guchar *)key, strlen(key));
    g_autofree char *v = g_base64_encode((const guchar *)address, strlen(address));
    g_autofree char *body = g_strdup_printf("{\"key\":\"%s\",\"value\":\"%s\",\"lease\":\"%s\"}", k, v, lease);
    g_autofree char *answer = etcdd_post(etcd[0], "/v3/kv/put", body);
    ck_assert_ptr_nonnull(answer);
}

START_TEST(leases_end_all_at_once)
{
    begin(1);
    etcdd_put(etcd[0], "/instances/home/room-c/i-1", "10.2.0.1:80");
    put_row("zone-1:1:room-a zone-2:0:room-c");
    g_autofree char *granted = etcdd_post(etcd[0], "/v3/lease/grant", "{\"ID\":\"77\",\"TTL\":\"2\"}");
    ck_assert_ptr_nonnull(granted);
    register_by_lease("77", "i-1", "10.1.0.1:80");
    register_by_lease("77", "i-2", "10.1.0.2:80");
    struct callee *callee = client(1, NULL);
    wait_picked(callee, "10.1.0.1:80");
    for (struct callee_state state = {0}; !state.protected; poll(NULL, 0, 5)) { /* nobody keeps the lease alive */
        callee_state(callee, &state);
        g_free(state.error);
    }
    g_autofree char *left = etcdd_get(etcd[0], "/instances/home/room-a/i-1");
    ck_assert_ptr_null(left);
    wait_picked(callee, "10.1.0.1:80");
    etcdd_put(etcd[0], "/instances/home/room-a/i-9", "10.1.0.9:80"); /* one of three: not yet half */
    etcdd_put(etcd[0], "/instances/home/room-a/i-8", "10.1.0.8:80");
    wait_picked(callee, "10.1.0.8:80");
    callee_free(callee);
    end();
}
END_TEST

/* Carries the publisher's requests until it has converged again. */
static void publish(struct publisher *publisher, uint64_t generation)
{
    int64_t deadline_us = loop_now_us() + 20 * G_USEC_PER_SEC;
    g_autofree char *text = row("zone-1:1:room-a");
    g_autofree char *line = g_strdup_printf("service/home/zone-1 %s\n", text);
    g_autoptr(GBytes) bytes = g_bytes_new(line, strlen(line));
    publisher_set(publisher, (struct stamp){7, generation}, bytes, loop_now_us());
    while (strcmp(publisher_status(publisher)->state, "converged") != 0) {
        struct publisher_turn turn;
        publisher_next(publisher, loop_now_us(), &turn);
        g_autofree char *answer = etcdd_post(etcd[0], ETCD_TXN_PATH, turn.body);
        g_free(turn.body);
        publisher_heard(publisher, 200, answer, NULL, loop_now_us());
        ck_assert(loop_now_us() < deadline_us);
    }
}

START_TEST(the_publisher_and_the_client_outlive_a_wipe)
{
    begin(1);
    put_site();
    struct publisher *publisher = publisher_new("/sb", 1);
    publish(publisher, 3);
    struct callee *callee = client(1, NULL);
    wait_picked(callee, "10.1.0.1:80");
    wait_watching(callee);
    g_autofree char *wiped = etcdd_post(etcd[0], "/v3/kv/deleterange", "{\"key\":\"AA==\",\"range_end\":\"AA==\"}");
    ck_assert_ptr_nonnull(wiped); /* all keys of all */
    wait_error(callee, "found nothing");
    wait_picked(callee, "10.1.0.1:80");
    publish(publisher, 4);
    struct callee_state state = {.error = (char *)""};
    for (int64_t deadline_us = loop_now_us() + 20 * G_USEC_PER_SEC; state.error != NULL; poll(NULL, 0, 2)) {
        callee_state(callee, &state);
        g_free(state.error);
        ck_assert(loop_now_us() < deadline_us);
    }
    callee_free(callee);
    publisher_free(publisher);
    end();
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, weight_0_gets_nobody);
    tcase_add_test(tcase, an_empty_zone_gives_its_share_to_the_others);
    tcase_add_test(tcase, nobody_is_called_who_is_not_in_the_row);
    tcase_add_test(tcase, applied_again_changes_nothing);
    tcase_add_test(tcase, what_is_no_row_is_not_believed);
    tcase_add_test(tcase, lost_heartbeats_do_not_empty_a_room);
    tcase_add_test(tcase, a_cache_gives_back_what_was_known);
    tcase_add_test(tcase, no_members_are_refused);
    tcase_add_test(tcase, tls_is_spoken);
    tcase_add_test(tcase, a_switch_is_heard_by_watching);
    tcase_add_test(tcase, etcd_dies_and_comes_back);
    tcase_add_test(tcase, only_what_is_new_is_written);
    tcase_add_test(tcase, what_was_missed_and_compacted_is_seen);
    tcase_add_test(tcase, members_die_and_others_are_watched);
    tcase_add_test(tcase, leases_end_all_at_once);
    tcase_add_test(tcase, the_publisher_and_the_client_outlive_a_wipe);
}

int main(void)
{
    return unit_run("callee", add);
}
