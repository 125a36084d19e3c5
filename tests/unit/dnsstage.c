#include "tests/unit/dnsstage.h"

#include <stdarg.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "core/loop.h"
#include "dns/exchange.h"

char stage_root[] = "/tmp/sb-dns-XXXXXX";

static void make_root(void)
{
    ck_assert_ptr_nonnull(mkdtemp(stage_root));
}

static void remove_root(void)
{
    unit_remove_all(stage_root);
}

static void (*add_all)(TCase *tcase);

static void add_with_root(TCase *tcase)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    tcase_add_unchecked_fixture(tcase, make_root, remove_root);
    add_all(tcase);
}

int stage_run(const char *name, void (*add)(TCase *tcase))
{
    add_all = add;
    return unit_run(name, add_with_root);
}

/* ---- desired records ---- */

struct zone_records *wanted_new(void)
{
    struct zone_records *records = g_new0(struct zone_records, 1);
    records->zone = g_strdup(DNSD_ZONE);
    records->rrsets = g_ptr_array_new_with_free_func((GDestroyNotify)rrset_delete);
    return records;
}

void wanted_add(struct zone_records *records, const char *owner, int type, ...)
{
    const char *rdata[9] = {NULL};
    va_list list;
    va_start(list, type);
    for (unsigned i = 0; i < 8 && (rdata[i] = va_arg(list, const char *)) != NULL; i++)
        continue;
    va_end(list);
    g_ptr_array_add(records->rrsets, rrset_make(owner, (uint16_t)type, 5, rdata));
}

struct zone_records *wanted_one(const char *address)
{
    struct zone_records *records = wanted_new();
    wanted_add(records, "www.example.test", KNOT_RRTYPE_A, address, NULL);
    return records;
}

struct zone_records *wanted_many(unsigned n, const char *target)
{
    struct zone_records *records = wanted_new();
    for (unsigned i = 0; i < n; i++) {
        char owner[64];
        snprintf(owner, sizeof owner, "d%05u.example.test", i);
        wanted_add(records, owner, KNOT_RRTYPE_CNAME, target, NULL);
    }
    return records;
}

/* ---- a driver that is watched ---- */

static void report_copy(struct report *to, const struct report *from)
{
    g_free(to->state);
    g_free(to->error);
    *to = *from;
    to->state = g_strdup(from->state);
    to->error = g_strdup(from->error);
}

static void on_report(void *data, const char *server, const struct dns_status *status)
{
    (void)server;
    struct watched *watched = data;
    pthread_mutex_lock(&watched->lock);
    struct report now = {status->confirmed, (char *)status->state,     (char *)status->error,
                         status->names,     status->residual_until_us, loop_now_us()};
    report_copy(&watched->said, &now);
    char *history = g_strconcat(watched->history, status->state, " ", NULL);
    g_free(watched->history);
    watched->history = history;
    pthread_cond_broadcast(&watched->changed);
    pthread_mutex_unlock(&watched->lock);
}

struct watched *watched_new(const struct endpoint *server, bool primary, const struct endpoint *notify,
                            const char *secret)
{
    struct watched *watched = g_new0(struct watched, 1);
    pthread_mutex_init(&watched->lock, NULL);
    pthread_cond_init(&watched->changed, NULL);
    watched->said.state = g_strdup("");
    watched->history = g_strdup("");
    struct dns_server_config config = {.name = (char *)"ns",
                                       .zone = (char *)DNSD_ZONE,
                                       .address = *server,
                                       .primary = primary,
                                       .key_name = (char *)DNSD_KEY,
                                       .key_secret = (char *)secret,
                                       .notify = (struct endpoint *)notify,
                                       .n_notify = notify != NULL};
    GError *error = NULL;
    watched->driver = dns_driver_new(&config, on_report, watched, &error);
    ck_assert_msg(watched->driver != NULL, "%s", error != NULL ? error->message : "");
    return watched;
}

struct watched *watched_primary(const struct dnsd *server)
{
    return watched_new(&server->endpoint, true, NULL, DNSD_SECRET);
}

void watched_free(struct watched *watched)
{
    int64_t start_us = loop_now_us();
    dns_driver_free(watched->driver);
    ck_assert_int_lt(loop_now_us() - start_us, 1500000);
    pthread_mutex_destroy(&watched->lock);
    pthread_cond_destroy(&watched->changed);
    g_free(watched->said.state);
    g_free(watched->said.error);
    g_free(watched->saw.state);
    g_free(watched->saw.error);
    g_free(watched->history);
    g_free(watched);
}

void watched_set(struct watched *watched, uint64_t epoch, uint64_t generation, struct zone_records *records)
{
    dns_driver_set(watched->driver, (struct stamp){epoch, generation}, records);
}

void watched_set_free(struct watched *watched, uint64_t epoch, uint64_t generation, struct zone_records *records)
{
    watched_set(watched, epoch, generation, records);
    zone_records_free(records);
}

static bool report_is(const struct report *report, const char *state, const struct stamp *confirmed, const char *words)
{
    return strcmp(report->state, state) == 0 &&
           (confirmed == NULL || stamp_compare(report->confirmed, *confirmed) == 0) &&
           (words == NULL || (report->error != NULL && strstr(report->error, words) != NULL));
}

static int64_t await(struct watched *watched, const char *state, const struct stamp *confirmed, const char *words,
                     int timeout_ms)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += timeout_ms / 1000;
    until.tv_nsec += timeout_ms % 1000 * 1000000L;
    if (until.tv_nsec >= 1000000000L) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000L;
    }
    int code = 0;
    const struct report *said = &watched->said;
    pthread_mutex_lock(&watched->lock);
    while (code == 0 && !report_is(said, state, confirmed, words))
        code = pthread_cond_timedwait(&watched->changed, &watched->lock, &until);
    ck_assert_msg(code == 0, "no %s %s, but %s %lu %lu: %s (%s)", state, words != NULL ? words : "", said->state,
                  said->confirmed.epoch, said->confirmed.generation, said->error, watched->history);
    report_copy(&watched->saw, said);
    pthread_mutex_unlock(&watched->lock);
    return watched->saw.at_us;
}

int64_t watched_await(struct watched *watched, const char *state, uint64_t epoch, uint64_t generation, int timeout_ms)
{
    struct stamp stamp = {epoch, generation};
    return await(watched, state, epoch != 0 ? &stamp : NULL, NULL, timeout_ms);
}

int64_t watched_await_words(struct watched *watched, const char *state, const char *words, int timeout_ms)
{
    return await(watched, state, NULL, words, timeout_ms);
}

/* ---- by hand ---- */

void assert_shows(const struct dnsd *server, const char *owner, uint16_t type, const char *expected)
{
    g_autofree char *text = dnsd_ask(&server->endpoint, owner, type);
    ck_assert_str_eq(text, expected);
}

void assert_sentinel(const struct dnsd *server, const char *expected)
{
    assert_shows(server, "_signalbox.example.test", KNOT_RRTYPE_TXT, expected);
}

enum update_outcome update_by_hand(const struct endpoint *server, const char *secret, const struct update *update,
                                   int64_t skew_s, char **reason)
{
    knot_tsig_key_t key;
    ck_assert_int_eq(knot_tsig_key_init(&key, "hmac-sha256", DNSD_KEY, secret), KNOT_EOK);
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
