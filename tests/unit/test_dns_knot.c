/* The driver against real Knot servers: two independent primaries, one of them with a secondary. Times are printed. */
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>
#include <libknot/libknot.h>

#include "core/loop.h"
#include "dns/exchange.h"
#include "dns/fence.h"
#include "dns/records.h"
#include "dns/response.h"
#include "dns/update.h"
#include "tests/unit/relay.h"
#include "tests/unit/unit.h"

static char root[] = "/tmp/sb-knot-XXXXXX";

/* ---- desired records ---- */

static struct zone_records *records_new(void)
{
    struct zone_records *records = g_new0(struct zone_records, 1);
    records->zone = g_strdup(KNOTD_ZONE);
    records->rrsets = g_ptr_array_new_with_free_func((GDestroyNotify)rrset_delete);
    return records;
}

/* add(records, "play.example.test", KNOT_RRTYPE_CNAME, "target", NULL) */
__attribute__((sentinel)) static void add(struct zone_records *records, const char *owner, int type, ...)
{
    const char *rdata[9] = {NULL};
    va_list list;
    va_start(list, type);
    for (unsigned i = 0; i < 8 && (rdata[i] = va_arg(list, const char *)) != NULL; i++)
        continue;
    va_end(list);
    g_ptr_array_add(records->rrsets, rrset_make(owner, (uint16_t)type, 5, rdata));
}

static void add_policy(struct zone_records *records, const char *policy, char room)
{
    char v4[32], v6[32];
    snprintf(v4, sizeof v4, "192.0.2.%d", room);
    snprintf(v6, sizeof v6, "2001:db8::%x", (unsigned)room);
    add(records, policy, KNOT_RRTYPE_A, v4, "192.0.2.1", NULL);
    add(records, policy, KNOT_RRTYPE_AAAA, v6, NULL);
}

/* The site of 2 July: 7 domains point at 6 policies; core is in `room`. */
static struct zone_records *site_records(char room)
{
    static const char *const domains[][2] = {
        {"play", "core"},       {"play-line", "core-line"},       {"home", "manual"},   {"home-line", "manual-line"},
        {"creator", "creator"}, {"creator-line", "creator-line"}, {"upload", "creator"}};
    static const char *const policies[] = {"core", "core-line", "manual", "manual-line", "creator", "creator-line"};
    struct zone_records *records = records_new();
    for (unsigned i = 0; i < G_N_ELEMENTS(domains); i++) {
        g_autofree char *owner = g_strdup_printf("%s.example.test", domains[i][0]);
        g_autofree char *target = g_strdup_printf("%s.policy.example.test", domains[i][1]);
        add(records, owner, KNOT_RRTYPE_CNAME, target, NULL);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(policies); i++) {
        g_autofree char *owner = g_strdup_printf("%s.policy.example.test", policies[i]);
        add_policy(records, owner, i == 0 ? room : 'z');
    }
    return records;
}

static struct zone_records *one_record(const char *address)
{
    struct zone_records *records = records_new();
    add(records, "www.example.test", KNOT_RRTYPE_A, address, NULL);
    return records;
}

/* ---- a driver that is watched ---- */

struct watched {
    struct dns_driver *driver;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct stamp confirmed;
    char *state, *error;
    unsigned names;
    int64_t residual_until_us, at_us;
    char *history; /* states, each with a space behind it */
};

static void on_report(void *data, const char *server, const struct dns_status *status)
{
    (void)server;
    struct watched *watched = data;
    pthread_mutex_lock(&watched->lock);
    watched->confirmed = status->confirmed;
    g_free(watched->state);
    watched->state = g_strdup(status->state);
    g_free(watched->error);
    watched->error = g_strdup(status->error);
    watched->names = status->names;
    watched->residual_until_us = status->residual_until_us;
    watched->at_us = loop_now_us();
    char *history = g_strconcat(watched->history, status->state, " ", NULL);
    g_free(watched->history);
    watched->history = history;
    pthread_cond_broadcast(&watched->changed);
    pthread_mutex_unlock(&watched->lock);
}

static struct watched *watch(const struct endpoint *server, bool primary, const struct endpoint *notify,
                             const char *secret)
{
    struct watched *watched = g_new0(struct watched, 1);
    pthread_mutex_init(&watched->lock, NULL);
    pthread_cond_init(&watched->changed, NULL);
    watched->state = g_strdup("");
    watched->history = g_strdup("");
    struct dns_server_config config = {.name = (char *)"ns",
                                       .zone = (char *)KNOTD_ZONE,
                                       .address = *server,
                                       .primary = primary,
                                       .key_name = (char *)KNOTD_KEY,
                                       .key_secret = (char *)secret,
                                       .notify = (struct endpoint *)notify,
                                       .n_notify = notify != NULL};
    GError *error = NULL;
    watched->driver = dns_driver_new(&config, on_report, watched, &error);
    ck_assert_msg(watched->driver != NULL, "%s", error != NULL ? error->message : "");
    return watched;
}

static struct watched *watch_primary(const struct knotd *server)
{
    return watch(&server->endpoint, true, NULL, KNOTD_SECRET);
}

static void unwatch(struct watched *watched)
{
    int64_t start_us = loop_now_us();
    dns_driver_free(watched->driver);
    ck_assert_int_lt(loop_now_us() - start_us, 1500000);
    pthread_mutex_destroy(&watched->lock);
    pthread_cond_destroy(&watched->changed);
    g_free(watched->state);
    g_free(watched->error);
    g_free(watched->history);
    g_free(watched);
}

/* Waits for a state with a stamp confirmed (0: any); returns when the report came. */
static int64_t await(struct watched *watched, const char *state, uint64_t epoch, uint64_t generation, int timeout_ms)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += timeout_ms / 1000;
    until.tv_nsec += timeout_ms % 1000 * 1000000L;
    if (until.tv_nsec >= 1000000000L) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000L;
    }
    struct stamp stamp = {epoch, generation};
    int code = 0;
    pthread_mutex_lock(&watched->lock);
    while (code == 0 &&
           !(strcmp(watched->state, state) == 0 && (epoch == 0 || stamp_compare(watched->confirmed, stamp) == 0)))
        code = pthread_cond_timedwait(&watched->changed, &watched->lock, &until);
    int64_t at_us = watched->at_us;
    pthread_mutex_unlock(&watched->lock);
    ck_assert_msg(code == 0, "no %s %lu %lu, but %s %lu %lu: %s (%s)", state, epoch, generation, watched->state,
                  watched->confirmed.epoch, watched->confirmed.generation, watched->error, watched->history);
    return at_us;
}

static void set(struct watched *watched, uint64_t epoch, uint64_t generation, struct zone_records *records)
{
    dns_driver_set(watched->driver, (struct stamp){epoch, generation}, records);
}

static void set_free(struct watched *watched, uint64_t epoch, uint64_t generation, struct zone_records *records)
{
    set(watched, epoch, generation, records);
    zone_records_free(records);
}

static void assert_shows(const struct knotd *server, const char *owner, uint16_t type, const char *expected)
{
    g_autofree char *text = knotd_ask(&server->endpoint, owner, type);
    ck_assert_str_eq(text, expected);
}

static void assert_sentinel(const struct knotd *server, const char *expected)
{
    assert_shows(server, "_signalbox.example.test", KNOT_RRTYPE_TXT, expected);
}

#define ms(us) ((double)(us) / 1000)

static int compare_times(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* ---- tests ---- */

START_TEST(initial_and_switch)
{
    struct knotd *one = knotd_start(root, "one", NULL, KNOTD_TYPES), *two = knotd_start(root, "two", NULL, KNOTD_TYPES);
    struct knotd *three = knotd_start(root, "three", two, KNOTD_TYPES);
    struct watched *a = watch_primary(one), *b = watch(&two->endpoint, true, &three->endpoint, KNOTD_SECRET);
    struct watched *c = watch(&three->endpoint, false, NULL, NULL);
    uint64_t epoch = 65537;
    struct zone_records *before = site_records('a'), *after = site_records('b');
    int64_t start_us = loop_now_us();
    set(a, epoch, 1, before), set(b, epoch, 1, before), set(c, epoch, 1, before);
    printf("initial: primaries %.1f and", ms(await(a, "converged", epoch, 1, 5000) - start_us));
    printf(" %.1f ms,", ms(await(b, "converged", epoch, 1, 5000) - start_us));
    printf(" secondary %.1f ms\n", ms(await(c, "converged", epoch, 1, 5000) - start_us));
    ck_assert_uint_eq(a->names, 19); /* 7 CNAMEs, 6 A, 6 AAAA */
    /* That there was nothing lives on in resolvers, too: as long as the SOA's minimum says. */
    ck_assert_int_ge(a->residual_until_us, start_us + 5000000);
    assert_shows(three, "play.example.test", KNOT_RRTYPE_CNAME, "core.policy.example.test");
    assert_shows(three, "core.policy.example.test", KNOT_RRTYPE_A, "192.0.2.1 192.0.2.97");
    assert_sentinel(one, "65537 1");

    int64_t late_us[10];
    for (uint64_t generation = 2; generation <= 11; generation++) {
        struct zone_records *records = generation % 2 == 0 ? after : before;
        unsigned serial = knotd_serial(&one->endpoint);
        start_us = loop_now_us();
        set(a, epoch, generation, records), set(b, epoch, generation, records), set(c, epoch, generation, records);
        int64_t a_us = await(a, "converged", epoch, generation, 5000);
        int64_t b_us = await(b, "converged", epoch, generation, 5000);
        int64_t c_us = await(c, "converged", epoch, generation, 5000);
        printf("switch: primaries %.1f and %.1f ms, secondary %.1f ms after its primary\n", ms(a_us - start_us),
               ms(b_us - start_us), ms(c_us - b_us));
        late_us[generation - 2] = c_us - b_us;
        ck_assert_uint_eq(a->names, 2);
        ck_assert_uint_eq(b->names, 2);
        ck_assert_uint_eq(c->names, 2);
        ck_assert_int_ge(a->residual_until_us, start_us + 5000000);
        ck_assert_int_le(c->residual_until_us, c_us + 5000000);
        ck_assert_uint_eq(knotd_serial(&one->endpoint), serial + 1); /* one message */
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
    set_free(a, epoch, 12, site_records('a'));
    await(a, "converged", epoch, 12, 2000);
    ck_assert_uint_eq(a->names, 0);
    assert_sentinel(one, "65537 12");
    zone_records_free(before), zone_records_free(after);
    unwatch(a), unwatch(b), unwatch(c);
    knotd_free(three), knotd_free(two), knotd_free(one);
}
END_TEST

static struct zone_records *many_records(unsigned n, const char *target)
{
    struct zone_records *records = records_new();
    for (unsigned i = 0; i < n; i++) {
        char owner[64];
        snprintf(owner, sizeof owner, "d%05u.example.test", i);
        add(records, owner, KNOT_RRTYPE_CNAME, target, NULL);
    }
    return records;
}

START_TEST(thousand_names)
{
    struct knotd *server = knotd_start(root, "many", NULL, KNOTD_TYPES);
    struct watched *watched = watch_primary(server);
    for (uint64_t generation = 1; generation <= 3; generation++) {
        int64_t start_us = loop_now_us();
        set_free(watched, 65537, generation,
                 many_records(1000, generation == 2 ? "b.policy.example.test" : "a.policy.example.test"));
        int64_t end_us = await(watched, "converged", 65537, generation, 10000);
        printf("1,000 names: %.1f ms\n", ms(end_us - start_us));
        ck_assert_uint_eq(watched->names, 1000);
    }
    assert_shows(server, "d00999.example.test", KNOT_RRTYPE_CNAME, "a.policy.example.test");
    assert_sentinel(server, "65537 3");
    unwatch(watched);
    knotd_free(server);
}
END_TEST

/* 10,000 domains point at 50 policies; a room's drain changes the policies alone. */
static struct zone_records *large_records(const char *v4, const char *v6)
{
    struct zone_records *records = records_new();
    for (unsigned i = 0; i < 10000; i++) {
        g_autofree char *owner = g_strdup_printf("d%05u.example.test", i);
        g_autofree char *target = g_strdup_printf("p%02u.policy.example.test", i % 50);
        add(records, owner, KNOT_RRTYPE_CNAME, target, NULL);
    }
    for (unsigned i = 0; i < 50; i++) {
        g_autofree char *owner = g_strdup_printf("p%02u.policy.example.test", i);
        add(records, owner, KNOT_RRTYPE_A, v4, NULL);
        add(records, owner, KNOT_RRTYPE_AAAA, v6, NULL);
    }
    return records;
}

START_TEST(ten_thousand_domains)
{
    struct knotd *server = knotd_start(root, "large", NULL, KNOTD_TYPES);
    struct watched *watched = watch_primary(server);
    struct zone_records *before = large_records("192.0.2.1", "2001:db8::1");
    struct zone_records *after = large_records("192.0.2.2", "2001:db8::2");
    int64_t start_us = loop_now_us();
    set(watched, 65537, 1, before);
    printf("10,000 domains: initial %.1f ms,", ms(await(watched, "converged", 65537, 1, 30000) - start_us));
    start_us = loop_now_us();
    set(watched, 65537, 2, after);
    int64_t switch_us = await(watched, "converged", 65537, 2, 5000) - start_us;
    printf(" switch of 50 policies %.1f ms\n", ms(switch_us));
    ck_assert_uint_eq(watched->names, 100);
    ck_assert_int_lt(switch_us, 2000000); /* Knot lets one update in about 60 wait for a second */
    assert_shows(server, "p49.policy.example.test", KNOT_RRTYPE_AAAA, "2001:db8::2");
    zone_records_free(before), zone_records_free(after);
    unwatch(watched);
    knotd_free(server);
}
END_TEST

START_TEST(over_ipv6)
{
    struct knotd *server = knotd_start(root, "six", NULL, KNOTD_TYPES);
    struct endpoint six = {.addr = {.family = AF_INET6}, .port = server->endpoint.port};
    six.addr.bytes[15] = 1;
    struct watched *watched = watch(&six, true, NULL, KNOTD_SECRET);
    set_free(watched, 65537, 1, one_record("192.0.2.1"));
    await(watched, "converged", 65537, 1, 5000);
    assert_shows(server, "www.example.test", KNOT_RRTYPE_A, "192.0.2.1");
    unwatch(watched);
    knotd_free(server);
}
END_TEST

/* ---- races ---- */

static enum update_outcome send_update(const struct endpoint *server, const char *secret, const struct update *update,
                                       int64_t skew_s, char **reason)
{
    knot_tsig_key_t key;
    ck_assert_int_eq(knot_tsig_key_init(&key, "hmac-sha256", KNOTD_KEY, secret), KNOT_EOK);
    struct message message = {0};
    uint16_t id = 0;
    ck_assert_int_eq(getrandom(&id, sizeof id, 0), sizeof id);
    ck_assert(update_encode(update, id, &key, (uint64_t)(time(NULL) + skew_s), &message, NULL));
    int fd = exchange_connect(server, 500, -1, NULL);
    ck_assert_int_ge(fd, 0);
    g_autoptr(GByteArray) answer = exchange_message(fd, message.wire, message.size, 5000, -1, NULL);
    ck_assert_ptr_nonnull(answer);
    enum update_outcome outcome = response_judge(&message, &key, update->zone, answer->data, answer->len, reason);
    close(fd);
    message_clear(&message);
    knot_tsig_key_deinit(&key);
    return outcome;
}

struct racer {
    const struct endpoint *server;
    pthread_barrier_t *barrier;
    struct update update;
    enum update_outcome outcome;
};

static void *race(void *data)
{
    struct racer *racer = data;
    g_autofree char *reason = NULL;
    pthread_barrier_wait(racer->barrier);
    racer->outcome = send_update(racer->server, KNOTD_SECRET, &racer->update, 0, &reason);
    return NULL;
}

START_TEST(race_of_messages)
{
    struct knotd *server = knotd_start(root, "race", NULL, KNOTD_TYPES);
    char held[FENCE_TEXT_SIZE] = "", next[2][FENCE_TEXT_SIZE];
    struct rrset *sets[2] = {rrset_make("www.example.test", KNOT_RRTYPE_A, 5, (const char *[]){"192.0.2.10", NULL}),
                             rrset_make("www.example.test", KNOT_RRTYPE_A, 5, (const char *[]){"192.0.2.11", NULL})};
    unsigned wins[2] = {0};
    pthread_barrier_t barrier;
    pthread_barrier_init(&barrier, NULL, 2);
    for (uint64_t round = 1; round <= 50; round++) {
        struct racer racers[2];
        pthread_t threads[2];
        for (unsigned i = 0; i < 2; i++) {
            fence_format(&(struct fence){.stamp = {65536 + i, round}}, next[i]);
            racers[i] = (struct racer){
                &server->endpoint, &barrier, {KNOTD_ZONE, round > 1 ? held : NULL, next[i], &sets[i], 1}, 0};
            ck_assert_int_eq(pthread_create(&threads[i], NULL, race, &racers[i]), 0);
        }
        for (unsigned i = 0; i < 2; i++)
            pthread_join(threads[i], NULL);
        unsigned winner = racers[1].outcome == UPDATE_APPLIED;
        ck_assert_int_eq(racers[winner].outcome, UPDATE_APPLIED);
        ck_assert_int_eq(racers[1 - winner].outcome, UPDATE_CONFLICT);
        wins[winner]++;
        assert_sentinel(server, next[winner]);
        assert_shows(server, "www.example.test", KNOT_RRTYPE_A, sets[winner]->rdata[0]);
        g_strlcpy(held, next[winner], sizeof held);
    }
    printf("race of messages: %u to %u\n", wins[0], wins[1]);
    rrset_delete(sets[0]), rrset_delete(sets[1]);
    pthread_barrier_destroy(&barrier);
    knotd_free(server);
}
END_TEST

START_TEST(race_of_drivers)
{
    struct knotd *server = knotd_start(root, "rivals", NULL, KNOTD_TYPES);
    unsigned first = 0;
    for (uint64_t round = 1; round <= 50; round++) {
        struct watched *low = watch_primary(server), *high = watch_primary(server);
        uint64_t epoch = round << 16;
        char text[FENCE_TEXT_SIZE];
        set_free(round % 2 ? low : high, epoch + (round % 2 ? 1 : 2), round,
                 one_record(round % 2 ? "192.0.2.10" : "192.0.2.11"));
        set_free(round % 2 ? high : low, epoch + (round % 2 ? 2 : 1), round,
                 one_record(round % 2 ? "192.0.2.11" : "192.0.2.10"));
        await(high, "converged", epoch + 2, round, 5000);
        await(low, "conflict", 0, 0, 5000);
        first += low->confirmed.generation == round; /* it was whole before the newer epoch came */
        assert_sentinel(server, fence_format(&(struct fence){.stamp = {epoch + 2, round}}, text));
        assert_shows(server, "www.example.test", KNOT_RRTYPE_A, "192.0.2.11");
        ck_assert_str_eq(high->state, "converged");
        unwatch(low), unwatch(high);
    }
    printf("race of drivers: 50 rounds, in %u the older epoch had finished before it was beaten\n", first);
    knotd_free(server);
}
END_TEST

START_TEST(older_is_refused)
{
    struct knotd *server = knotd_start(root, "older", NULL, KNOTD_TYPES);
    struct watched *now = watch_primary(server);
    set_free(now, 3 << 16, 9, one_record("192.0.2.9"));
    await(now, "converged", 3 << 16, 9, 5000);
    unsigned serial = knotd_serial(&server->endpoint);

    struct watched *older_epoch = watch_primary(server), *older_generation = watch_primary(server);
    set_free(older_epoch, 2 << 16, 100, one_record("192.0.2.66"));
    set_free(older_generation, 3 << 16, 8, one_record("192.0.2.67"));
    await(older_epoch, "conflict", 0, 0, 5000);
    await(older_generation, "refused", 0, 0, 5000);
    ck_assert_ptr_nonnull(strstr(older_epoch->error, "\"196608 9\""));
    ck_assert_ptr_nonnull(strstr(older_generation->error, "\"196608 9\""));
    /* Too late at the driver itself. */
    set_free(now, 3 << 16, 8, one_record("192.0.2.68"));
    set_free(now, 3 << 16, 10, one_record("192.0.2.9"));
    await(now, "converged", 3 << 16, 10, 5000);
    assert_shows(server, "www.example.test", KNOT_RRTYPE_A, "192.0.2.9");
    ck_assert_uint_eq(knotd_serial(&server->endpoint), serial + 1);
    unwatch(now), unwatch(older_epoch), unwatch(older_generation);
    knotd_free(server);
}
END_TEST

/* ---- faults ---- */

START_TEST(frozen_after_the_update_was_sent)
{
    struct knotd *server = knotd_start(root, "frozen", NULL, KNOTD_TYPES);
    struct relay *relay = relay_new(server);
    struct watched *watched = watch(relay_endpoint(relay), true, NULL, KNOTD_SECRET);
    set_free(watched, 65537, 1, one_record("192.0.2.1"));
    await(watched, "converged", 65537, 1, 5000);
    unsigned serial = knotd_serial(&server->endpoint);

    relay_arm(relay);
    int64_t start_us = loop_now_us();
    set_free(watched, 65537, 2, one_record("192.0.2.2"));
    printf("frozen primary: unknown after %.1f ms,", ms(await(watched, "unknown", 0, 0, 3000) - start_us));
    ck_assert_uint_eq(watched->confirmed.generation, 1);
    knotd_signal(server, SIGCONT);
    start_us = loop_now_us();
    printf(" converged %.1f ms after it went on\n", ms(await(watched, "converged", 65537, 2, 10000) - start_us));
    assert_shows(server, "www.example.test", KNOT_RRTYPE_A, "192.0.2.2");
    assert_sentinel(server, "65537 2");
    ck_assert_uint_eq(knotd_serial(&server->endpoint), serial + 1); /* applied once */
    ck_assert_int_gt(watched->residual_until_us, start_us);
    unwatch(watched);
    relay_free(relay);
    knotd_free(server);
}
END_TEST

START_TEST(killed_before_the_update_was_read)
{
    struct knotd *server = knotd_start(root, "killed", NULL, KNOTD_TYPES);
    struct relay *relay = relay_new(server);
    struct watched *watched = watch(relay_endpoint(relay), true, NULL, KNOTD_SECRET);
    set_free(watched, 65537, 1, one_record("192.0.2.1"));
    await(watched, "converged", 65537, 1, 5000);
    relay_arm(relay);
    set_free(watched, 65537, 2, one_record("192.0.2.2"));
    await(watched, "unknown", 0, 0, 3000);
    knotd_kill(server);
    knotd_run(server);
    await(watched, "converged", 65537, 2, 12000);
    assert_shows(server, "www.example.test", KNOT_RRTYPE_A, "192.0.2.2");
    unwatch(watched);
    relay_free(relay);
    knotd_free(server);
}
END_TEST

START_TEST(dead_primary_delays_nobody)
{
    struct knotd *live = knotd_start(root, "live", NULL, KNOTD_TYPES),
                 *dead = knotd_start(root, "dead", NULL, KNOTD_TYPES);
    struct knotd *closed = knotd_prepare(root, "closed", NULL, KNOTD_TYPES);
    struct watched *a = watch_primary(live), *b = watch_primary(dead), *c = watch_primary(closed);
    knotd_signal(dead, SIGSTOP);
    int64_t start_us = loop_now_us();
    struct zone_records *records = site_records('a');
    set(a, 65537, 1, records), set(b, 65537, 1, records), set(c, 65537, 1, records);
    int64_t a_us = await(a, "converged", 65537, 1, 5000) - start_us;
    int64_t b_us = await(b, "unreachable", 0, 0, 5000) - start_us,
            c_us = await(c, "unreachable", 0, 0, 5000) - start_us;
    for (uint64_t generation = 2; generation <= 4; generation++) { /* the best of some: see the median above */
        int64_t again_us = loop_now_us();
        set(a, 65537, generation, records), set(b, 65537, generation, records);
        a_us = MIN(a_us, await(a, "converged", 65537, generation, 5000) - again_us);
    }
    printf("dead primary: unreachable after %.1f ms frozen, %.1f ms closed; the live one converged in %.1f ms\n",
           ms(b_us), ms(c_us), ms(a_us));
    ck_assert_int_le(b_us, 1000000);
    ck_assert_int_le(c_us, 1000000);
    ck_assert_int_lt(a_us, 400000);
    unwatch(c); /* unwatch itself checks how long that takes */
    knotd_signal(dead, SIGCONT);
    await(b, "converged", 65537, 4, 8000);
    knotd_signal(dead, SIGSTOP);
    await(b, "unreachable", 65537, 4, 3000); /* noticed without a change */
    unwatch(b);
    unwatch(a);
    zone_records_free(records);
    knotd_free(live), knotd_free(dead), knotd_free(closed);
}
END_TEST

START_TEST(lagging_secondary_is_named)
{
    struct knotd *primary = knotd_start(root, "first", NULL, KNOTD_TYPES);
    struct knotd *secondary = knotd_start(root, "second", primary, KNOTD_TYPES);
    struct watched *a = watch(&primary->endpoint, true, &secondary->endpoint, KNOTD_SECRET);
    struct watched *b = watch(&secondary->endpoint, false, NULL, NULL);
    struct zone_records *before = one_record("192.0.2.1"), *after = one_record("192.0.2.2");
    set(a, 65537, 1, before), set(b, 65537, 1, before);
    await(b, "converged", 65537, 1, 5000);
    knotd_signal(secondary, SIGSTOP);
    set(a, 65537, 2, after), set(b, 65537, 2, after);
    await(a, "converged", 65537, 2, 2000);
    await(b, "unreachable", 0, 0, 2000);
    knotd_signal(secondary, SIGCONT);
    int64_t start_us = loop_now_us(), end_us = await(b, "converged", 65537, 2, 7000);
    printf("secondary back: converged after %.1f ms\n", ms(end_us - start_us));
    ck_assert_int_ge(b->residual_until_us, start_us + 5000000);
    zone_records_free(before), zone_records_free(after);
    unwatch(a), unwatch(b);
    knotd_free(secondary), knotd_free(primary);
}
END_TEST

/* ---- guards ---- */

START_TEST(removal_follows_addition)
{
    struct knotd *server = knotd_start(root, "removal", NULL, KNOTD_TYPES);
    struct watched *watched = watch_primary(server);
    struct zone_records *records = records_new();
    add(records, "www.example.test", KNOT_RRTYPE_CNAME, "old.policy.example.test", NULL);
    add(records, "old.policy.example.test", KNOT_RRTYPE_A, "192.0.2.1", NULL);
    set_free(watched, 65537, 1, records);
    await(watched, "converged", 65537, 1, 5000);

    records = records_new(); /* the old policy would go while www still points at it */
    add(records, "www.example.test", KNOT_RRTYPE_CNAME, "old.policy.example.test", NULL);
    set_free(watched, 65537, 2, records);
    await(watched, "refused", 65537, 1, 5000);
    ck_assert_ptr_nonnull(strstr(watched->error, "www.example.test still points at it"));
    set_free(watched, 65537, 3, records_new());
    await(watched, "refused", 65537, 1, 5000);
    assert_sentinel(server, "65537 1");

    records = records_new(); /* a CNAME becomes addresses, the policy's name goes last */
    add(records, "www.example.test", KNOT_RRTYPE_A, "192.0.2.2", NULL);
    set_free(watched, 65537, 4, records);
    await(watched, "converged", 65537, 4, 5000);
    assert_shows(server, "www.example.test", KNOT_RRTYPE_A, "192.0.2.2");
    assert_shows(server, "old.policy.example.test", KNOT_RRTYPE_A, "");
    assert_shows(server, "hand.example.test", KNOT_RRTYPE_A, "192.0.2.250");
    assert_sentinel(server, "65537 4");
    unwatch(watched);
    knotd_free(server);
}
END_TEST

START_TEST(address_in_the_way_of_a_cname)
{
    struct knotd *server = knotd_start(root, "trap", NULL, KNOTD_TYPES);
    struct watched *watched = watch_primary(server);
    struct zone_records *records = records_new();
    add(records, "hand.example.test", KNOT_RRTYPE_CNAME, "core.policy.example.test", NULL);
    set_free(watched, 65537, 1, records);
    await(watched, "refused", 0, 0, 5000);
    printf("trap: %s\n", watched->error);
    ck_assert_ptr_nonnull(strstr(watched->error, "hand.example.test CNAME"));
    ck_assert_ptr_nonnull(strstr(watched->error, "A 192.0.2.250"));
    ck_assert_uint_eq(watched->confirmed.epoch, 0);
    unwatch(watched);
    knotd_free(server);
}
END_TEST

START_TEST(foreign_change_is_repaired)
{
    struct knotd *server = knotd_start(root, "repair", NULL, KNOTD_TYPES);
    struct watched *watched = watch_primary(server);
    set_free(watched, 65537, 1, one_record("192.0.2.1"));
    await(watched, "converged", 65537, 1, 5000);
    /* The server comes back with the zone of its file: sentinel and records of before. */
    g_autofree char *journal = g_strdup_printf("rm -rf %s/db/journal", server->folder);
    knotd_kill(server);
    await(watched, "unreachable", 65537, 1, 3000);
    ck_assert_int_eq(system(journal), 0);
    knotd_run(server);
    await(watched, "converged", 65537, 1, 12000);
    assert_shows(server, "www.example.test", KNOT_RRTYPE_A, "192.0.2.1");
    assert_sentinel(server, "65537 1");
    unwatch(watched);
    knotd_free(server);
}
END_TEST

static void assert_rejected(const struct knotd *server, const char *secret, const struct update *update, int64_t skew_s,
                            const char *expected)
{
    g_autofree char *reason = NULL;
    ck_assert_int_eq(send_update(&server->endpoint, secret, update, skew_s, &reason), UPDATE_REJECTED);
    printf("rejected: %s\n", reason);
    ck_assert_msg(strstr(reason, expected) != NULL, "%s", reason);
}

START_TEST(rejections_are_told_apart)
{
    struct knotd *server = knotd_start(root, "reject", NULL, "A, TXT");
    struct rrset *a = rrset_make("www.example.test", KNOT_RRTYPE_A, 5, (const char *[]){"192.0.2.10", NULL});
    struct rrset *aaaa = rrset_make("www.example.test", KNOT_RRTYPE_AAAA, 5, (const char *[]){"2001:db8::1", NULL});
    struct update update = {KNOTD_ZONE, NULL, "1 1", &a, 1}, not_allowed = {KNOTD_ZONE, NULL, "1 1", &aaaa, 1};
    struct update other = {"example.org", NULL, "1 1", NULL, 0};
    assert_rejected(server, KNOTD_SECRET, &update, 400, "clock skew");
    assert_rejected(server, KNOTD_SECRET, &update, -400, " s after ours");
    assert_rejected(server, "d3Jvbmcgd3Jvbmcgd3Jvbmc=", &update, 0, "wrong secret");
    assert_rejected(server, KNOTD_SECRET, &not_allowed, 0, "unknown key");
    assert_rejected(server, KNOTD_SECRET, &other, 0, "example.org");
    assert_sentinel(server, "");
    g_autofree char *reason = NULL;
    ck_assert_int_eq(send_update(&server->endpoint, KNOTD_SECRET, &update, 200, &reason), UPDATE_APPLIED);
    struct watched *watched = watch(&server->endpoint, true, NULL, "d3Jvbmcgd3Jvbmcgd3Jvbmc=");
    set_free(watched, 65537, 1, one_record("192.0.2.1"));
    await(watched, "refused", 0, 0, 5000);
    ck_assert_ptr_nonnull(strstr(watched->error, "wrong secret"));
    unwatch(watched);
    rrset_delete(a), rrset_delete(aaaa);
    knotd_free(server);
}
END_TEST

/* 2,000 CNAMEs that the server allows, then, last in the order of names, addresses that it does not. */
static struct zone_records *half_allowed(void)
{
    struct zone_records *records = many_records(2000, "a.policy.example.test");
    for (unsigned i = 0; i < 900; i++) {
        g_autofree char *owner = g_strdup_printf("z%05u.example.test", i);
        add(records, owner, KNOT_RRTYPE_AAAA, "2001:db8::1", NULL);
    }
    return records;
}

START_TEST(stopped_half_way_and_resumed)
{
    struct knotd *server = knotd_start(root, "half", NULL, "A, CNAME, TXT");
    struct watched *watched = watch_primary(server);
    set_free(watched, 65537, 1, half_allowed());
    await(watched, "refused", 0, 0, 10000);
    printf("half-way: %s\n", watched->error);
    ck_assert_ptr_nonnull(strstr(watched->error, "of 3: access list"));
    ck_assert_ptr_nonnull(strstr(watched->error, "not records of type AAAA;"));
    unsigned part, n_new, n_old;
    const char *counts = strstr(watched->error, "; of 2900 sets ");
    ck_assert_ptr_nonnull(counts);
    ck_assert_int_eq(sscanf(watched->error, "update %u", &part), 1);
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
    ck_assert_ptr_nonnull(strstr(watched->error, last_new));
    ck_assert_ptr_nonnull(strstr(watched->error, first_old));
    g_autofree char *sentinel = g_strdup_printf("65537 1 part %u/3", part - 1);
    assert_sentinel(server, sentinel);

    unsigned serial = knotd_serial(&server->endpoint);
    knotd_kill(server);
    knotd_allow(server, KNOTD_TYPES);
    knotd_run(server);
    await(watched, "converged", 65537, 1, 15000);
    ck_assert_uint_eq(knotd_serial(&server->endpoint), serial + 4 - part); /* the rest alone was written */
    assert_shows(server, "z00899.example.test", KNOT_RRTYPE_AAAA, "2001:db8::1");
    assert_sentinel(server, "65537 1");
    unwatch(watched);
    knotd_free(server);
}
END_TEST

/* ---- all ---- */

static void make_root(void)
{
    ck_assert_ptr_nonnull(mkdtemp(root));
}

static void remove_root(void)
{
    g_autofree char *command = g_strdup_printf("rm -rf %s", root);
    ck_assert_int_eq(system(command), 0);
}

static void add_tests(TCase *tcase)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    tcase_set_timeout(tcase, 120);
    tcase_add_unchecked_fixture(tcase, make_root, remove_root);
    tcase_add_test(tcase, initial_and_switch);
    tcase_add_test(tcase, thousand_names);
    tcase_add_test(tcase, ten_thousand_domains);
    tcase_add_test(tcase, over_ipv6);
    tcase_add_test(tcase, race_of_messages);
    tcase_add_test(tcase, race_of_drivers);
    tcase_add_test(tcase, older_is_refused);
    tcase_add_test(tcase, frozen_after_the_update_was_sent);
    tcase_add_test(tcase, killed_before_the_update_was_read);
    tcase_add_test(tcase, dead_primary_delays_nobody);
    tcase_add_test(tcase, lagging_secondary_is_named);
    tcase_add_test(tcase, removal_follows_addition);
    tcase_add_test(tcase, address_in_the_way_of_a_cname);
    tcase_add_test(tcase, foreign_change_is_repaired);
    tcase_add_test(tcase, rejections_are_told_apart);
    tcase_add_test(tcase, stopped_half_way_and_resumed);
}

int main(void)
{
    return unit_run("dns_knot", add_tests);
}
