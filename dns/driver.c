/* The driver's thread: level-triggered turns. A turn looks (sentinel, names that are not known), decides, writes at
 * most what is missing, proves it by reading it back, and says when it wants to look again. After whatever went wrong
 * it does nothing clever: the next turn starts from what the server shows.
 *
 *              set                          sentinel, names read: equal
 *   (nothing) ────► updating ────────────────────────────────────────► converged ──┐ every 500 ms: look again
 *                    │  ▲  ▲ read again                                      ▲      │
 *        no answer   │  │  └── unknown ◄── an update was sent, no answer      └──────┘
 *                    ▼  │
 *              unreachable        conflict: a newer epoch's sentinel        refused: the server or the guard said no
 *   From each of them the next turn leads to any other.
 */
#include "dns/dns.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "core/error.h"
#include "core/loop.h"
#include "dns/exchange.h"
#include "dns/fence.h"
#include "dns/notify.h"
#include "dns/readback.h"
#include "dns/response.h"
#include "dns/update.h"

#define CONNECT_MS 500
#define REQUEST_MS 1000
#define AUDIT_US 500000       /* sentinel, while converged or beaten */
#define AUDIT_ALL_US 60000000 /* every name: finds what others wrote past the sentinel */
#define BACKOFF_FIRST_US 200000
#define BACKOFF_LAST_US 5000000
#define POLL_FIRST_US 25000 /* secondary that is not there yet */
#define POLL_LAST_US 500000
#define PROVE_US 500000 /* servers may answer from caches for a moment after NOERROR */
#define PROVE_EACH_US 20000
#define LAG_US 1000000 /* a secondary that is later than this says what it still holds */

struct dns_driver {
    struct dns_server_config config;
    knot_tsig_key_t key;
    dns_report_fn report;
    void *report_data;
    pthread_t thread;
    int wake_fd, stop_fd; /* eventfd: there is mail; end */

    pthread_mutex_t lock;      /* mail, latest */
    struct zone_records *mail; /* newest desired state that the thread has not taken */
    struct stamp mail_stamp, latest;

    /* The thread's own. */
    struct readback *readback;
    struct notify *notify; /* NULL: no secondaries */
    struct stamp stamp;
    GPtrArray *expected; /* NULL: nothing to do */
    bool settled;        /* expected was seen whole since it came */
    char *refusal;       /* why a newer desired state is not acted on; NULL: none. Nothing is done until the next */
    GHashTable *seen;    /* rrset_key -> struct rrset *: what the server last showed */
    GHashTable *doubt;   /* keys of seen that must be read again */
    bool doubt_all;
    bool outstanding; /* an update without an answer */
    bool notify_due;  /* secondaries were not told of this generation yet */
    bool beaten;      /* a prerequisite failed since the desired state came */
    int tcp_fd;       /* connection of this turn, or -1 */
    int64_t set_us, audit_all_us, backoff_us;
    struct dns_status status, reported;
    char *error, *reported_error;
};

/* ---- status ---- */

static void say(struct dns_driver *driver, const char *state, const char *error)
{
    g_free(driver->error);
    driver->error = g_strdup(error);
    driver->status.state = state;
    driver->status.error = driver->error;
    const struct dns_status *now = &driver->status, *last = &driver->reported;
    if (last->state != NULL && strcmp(now->state, last->state) == 0 && g_strcmp0(now->error, last->error) == 0 &&
        stamp_compare(now->confirmed, last->confirmed) == 0 && now->names == last->names &&
        now->residual_until_us == last->residual_until_us)
        return;
    g_free(driver->reported_error);
    driver->reported_error = g_strdup(error);
    driver->reported = *now;
    driver->reported.error = driver->reported_error;
    driver->report(driver->report_data, driver->config.name, now);
}

/* Waits longer after each failure. */
static int64_t back_off(struct dns_driver *driver)
{
    int64_t wait_us = driver->backoff_us;
    driver->backoff_us = MIN(driver->backoff_us * 2, BACKOFF_LAST_US);
    return wait_us;
}

static int64_t say_failure(struct dns_driver *driver, const char *state, const char *error)
{
    say(driver, state, error);
    return back_off(driver);
}

/* ---- waiting, mail ---- */

static bool readable(int fd)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    return poll(&poll_fd, 1, 0) > 0;
}

static bool interrupted(const struct dns_driver *driver)
{
    return readable(driver->stop_fd) || readable(driver->wake_fd);
}

/* Until `until_us`, mail or the end; meanwhile secondaries that have not answered are told again. */
static void wait_until(struct dns_driver *driver, int64_t until_us)
{
    unsigned n_targets = driver->notify != NULL ? driver->config.n_notify : 0;
    g_autofree struct pollfd *fds = g_new0(struct pollfd, n_targets + 2);
    for (;;) {
        int64_t now_us = loop_now_us(), due_us = until_us;
        unsigned n = 2;
        if (driver->notify != NULL) {
            due_us = MIN(due_us, notify_turn(driver->notify, (uint64_t)time(NULL), now_us));
            n += notify_fds(driver->notify, fds + 2);
        }
        fds[0] = (struct pollfd){.fd = driver->stop_fd, .events = POLLIN};
        fds[1] = (struct pollfd){.fd = driver->wake_fd, .events = POLLIN};
        if (now_us >= until_us)
            return;
        int64_t wait_us = MIN(due_us - now_us, 60000000);
        poll(fds, n, wait_us > 0 ? (int)((wait_us + 999) / 1000) : 0);
        if (fds[0].revents != 0 || fds[1].revents != 0)
            return;
    }
}

/* Makes the newest desired state the thread's own, unless the guard refuses it. */
static void take_mail(struct dns_driver *driver)
{
    eventfd_t count;
    (void)eventfd_read(driver->wake_fd, &count); /* fails when there is nothing */
    pthread_mutex_lock(&driver->lock);
    struct zone_records *records = g_steal_pointer(&driver->mail);
    struct stamp stamp = driver->mail_stamp;
    pthread_mutex_unlock(&driver->lock);
    if (records == NULL)
        return;
    g_autoptr(GError) error = NULL;
    GPtrArray *expected = records_expect(records, driver->expected, driver->settled, &error);
    zone_records_free(records);
    driver->status.names = 0;
    g_free(driver->refusal);
    driver->refusal = expected == NULL ? g_strdup(error->message) : NULL;
    if (expected == NULL)
        return;
    if (driver->expected != NULL)
        g_ptr_array_unref(driver->expected);
    driver->expected = expected;
    driver->stamp = stamp;
    driver->settled = false;
    driver->set_us = loop_now_us();
    driver->backoff_us = BACKOFF_FIRST_US;
    driver->notify_due = true;
    driver->beaten = false;
}

/* ---- looking ---- */

static void take_answer(void *data, struct rrset *set)
{
    struct dns_driver *driver = data;
    char *key = rrset_key(set);
    const struct rrset *old = g_hash_table_lookup(driver->seen, key);
    if (old != NULL && !update_same(old, set)) {
        driver->status.names++;
        /* The old set may have been given out until a moment ago. */
        if (!rrset_absent(old))
            driver->status.residual_until_us =
                MAX(driver->status.residual_until_us, loop_now_us() + (int64_t)old->ttl * 1000000);
    }
    g_hash_table_remove(driver->doubt, key);
    g_hash_table_replace(driver->seen, key, set);
}

static bool matches(const struct dns_driver *driver, const struct rrset *expected)
{
    g_autofree char *key = rrset_key(expected);
    const struct rrset *seen = g_hash_table_lookup(driver->seen, key);
    return seen != NULL && update_same(seen, expected);
}

/* What is known of a set stays known until an update touched it, somebody else may have, or the audit is due. A
 * secondary changes without us: there, what does not match is read again. */
static bool must_read(const struct dns_driver *driver, const struct rrset *expected)
{
    g_autofree char *key = rrset_key(expected);
    return driver->doubt_all || !g_hash_table_contains(driver->seen, key) ||
           g_hash_table_contains(driver->doubt, key) || (!driver->config.primary && !matches(driver, expected));
}

static bool read_names(struct dns_driver *driver, GError **error)
{
    g_autoptr(GPtrArray) questions = g_ptr_array_new();
    for (unsigned i = 0; i < driver->expected->len; i++)
        if (must_read(driver, driver->expected->pdata[i]))
            g_ptr_array_add(questions, driver->expected->pdata[i]);
    if (!readback_ask(driver->readback, (struct rrset *const *)questions->pdata, questions->len, take_answer, driver,
                      error))
        return false;
    driver->doubt_all = false;
    return true;
}

static void take_set(void *data, struct rrset *set)
{
    rrset_delete(*(struct rrset **)data);
    *(struct rrset **)data = set;
}

/* What the server shows at one owner and type; NULL and error if it does not say. */
static struct rrset *read_one(struct dns_driver *driver, const char *owner, uint16_t type, GError **error)
{
    struct rrset question = {.owner = (char *)owner, .type = type}, *const questions[] = {&question};
    struct rrset *answer = NULL;
    if (readback_ask(driver->readback, questions, 1, take_set, &answer, error))
        return answer;
    rrset_delete(answer);
    return NULL;
}

/* *held: the sentinel's text, NULL if there is none. */
static bool read_sentinel(struct dns_driver *driver, char **held, GError **error)
{
    g_autofree char *owner = fence_owner(driver->config.zone);
    struct rrset *set = read_one(driver, owner, KNOT_RRTYPE_TXT, error);
    if (set == NULL)
        return false;
    *held = rrset_absent(set) ? NULL : g_strjoinv("\", \"", set->rdata); /* several are no sentinel: refused */
    rrset_delete(set);
    return true;
}

static int64_t lost(struct dns_driver *driver, const GError *error)
{
    driver->doubt_all = true;
    if (readable(driver->stop_fd))
        return 0;
    bool silent = g_error_matches(error, SB_ERROR, SB_ERROR_UNREACHABLE);
    return say_failure(driver, driver->outstanding ? "unknown" : silent ? "unreachable" : "refused", error->message);
}

/* ---- writing ---- */

static enum update_outcome exchange(struct dns_driver *driver, const struct message *message, char **reason)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GByteArray) answer =
        exchange_message(driver->tcp_fd, message->wire, message->size, REQUEST_MS, driver->stop_fd, &error);
    if (answer != NULL)
        return response_judge(message, &driver->key, driver->config.zone, answer->data, answer->len, reason);
    *reason = g_strdup_printf("an update was sent, but %s: it may have been applied", error->message);
    return UPDATE_UNKNOWN;
}

/* What a failed update means for the turn. */
static int64_t update_failed(struct dns_driver *driver, enum update_outcome outcome, const char *reason)
{
    driver->doubt_all = true;
    close(driver->tcp_fd);
    driver->tcp_fd = -1;
    if (readable(driver->stop_fd))
        return 0;
    if (outcome == UPDATE_REJECTED)
        return say_failure(driver, "refused", reason);
    if (outcome == UPDATE_UNKNOWN) {
        driver->outstanding = true;
        say(driver, "unknown", reason);
        return 0;
    }
    bool first = !driver->beaten; /* a second time, the server may say one thing to readers and another to writers */
    driver->beaten = true;
    return first ? 0 : back_off(driver);
}

/* One update that is applied only where the sentinel is *held, and makes it `next`; *held then follows. False: *wait_us
 * says when to look again. */
static bool write_update(struct dns_driver *driver, char **held, const struct fence *next, struct rrset *const *sets,
                         unsigned n, int64_t *wait_us)
{
    g_autoptr(GError) error = NULL;
    char text[FENCE_TEXT_SIZE];
    struct update update = {driver->config.zone, *held, fence_format(next, text), sets, n};
    struct message message = {0};
    uint16_t id = 0;
    (void)!getrandom(&id, sizeof id, 0);
    if (driver->tcp_fd < 0)
        driver->tcp_fd = exchange_connect(&driver->config.address, CONNECT_MS, driver->stop_fd, &error);
    if (driver->tcp_fd < 0 || !update_encode(&update, id, &driver->key, (uint64_t)time(NULL), &message, &error)) {
        *wait_us = lost(driver, error);
        return false;
    }
    g_autofree char *reason = NULL;
    enum update_outcome outcome = exchange(driver, &message, &reason);
    message_clear(&message);
    if (outcome != UPDATE_APPLIED) {
        *wait_us = update_failed(driver, outcome, reason);
        return false;
    }
    for (unsigned i = 0; i < n; i++)
        g_hash_table_add(driver->doubt, rrset_key(sets[i]));
    g_free(*held);
    *held = g_strdup(text);
    return true;
}

/* ---- proof ---- */

/* Why the server may have kept a set as it was: what stands in its way at the same name. "" or text; g_free. */
static char *explain_mismatch(struct dns_driver *driver, const struct rrset *expected)
{
    static const uint16_t types[] = {KNOT_RRTYPE_CNAME, KNOT_RRTYPE_A, KNOT_RRTYPE_AAAA};
    for (unsigned i = 0; i < G_N_ELEMENTS(types); i++) {
        if ((types[i] == KNOT_RRTYPE_CNAME) == (expected->type == KNOT_RRTYPE_CNAME))
            continue;
        struct rrset *set = read_one(driver, expected->owner, types[i], NULL);
        g_autofree char *text = set != NULL && !rrset_absent(set) ? rrset_describe(set) : NULL;
        rrset_delete(set);
        if (text != NULL)
            return g_strdup_printf("; the name holds %s %s from another hand, which must be removed there first",
                                   rrtype_name(types[i]), text);
    }
    return g_strdup("");
}

static char *mismatch_text(struct dns_driver *driver, const struct rrset *expected)
{
    g_autofree char *key = rrset_key(expected);
    const struct rrset *seen = g_hash_table_lookup(driver->seen, key);
    g_autofree char *shown = rrset_describe(seen), *wanted = rrset_describe(expected);
    g_autofree char *why = explain_mismatch(driver, expected);
    return g_strdup_printf("%s %s: the server took the update but shows %s, expected %s%s", expected->owner,
                           rrtype_name(expected->type), shown, wanted, why);
}

static const struct rrset *first_mismatch(const struct dns_driver *driver, struct rrset *const *sets, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        if (!matches(driver, sets[i]))
            return sets[i];
    return NULL;
}

/* Reads back what an update wrote, until it shows. False: *wait_us says when to look again. */
static bool prove(struct dns_driver *driver, struct rrset *const *sets, unsigned n, int64_t *wait_us)
{
    int64_t deadline_us = loop_now_us() + PROVE_US;
    for (;;) {
        g_autoptr(GError) error = NULL;
        if (!readback_ask(driver->readback, sets, n, take_answer, driver, &error)) {
            *wait_us = lost(driver, error);
            return false;
        }
        const struct rrset *wrong = first_mismatch(driver, sets, n);
        if (wrong == NULL)
            return true;
        *wait_us = 0;
        if (interrupted(driver))
            return false;
        if (loop_now_us() > deadline_us) {
            g_autofree char *text = mismatch_text(driver, wrong);
            *wait_us = say_failure(driver, "refused", text);
            return false;
        }
        wait_until(driver, loop_now_us() + PROVE_EACH_US);
    }
}

/* ---- turns ---- */

static void tell_secondaries(struct dns_driver *driver)
{
    driver->notify_due = false;
    if (driver->notify != NULL)
        notify_start(driver->notify, (uint64_t)time(NULL), loop_now_us());
}

static int64_t converged(struct dns_driver *driver)
{
    driver->status.confirmed = driver->stamp;
    driver->settled = true;
    driver->beaten = false;
    driver->backoff_us = BACKOFF_FIRST_US;
    if (driver->notify_due)
        tell_secondaries(driver);
    say(driver, "converged", NULL);
    return AUDIT_US;
}

/* Proof that has turned out to be over is taken back. */
static void not_converged(struct dns_driver *driver, const char *error)
{
    if (stamp_compare(driver->status.confirmed, driver->stamp) == 0)
        driver->status.confirmed = (struct stamp){0, 0};
    driver->settled = false;
    if (driver->backoff_us == BACKOFF_FIRST_US) /* a retry keeps saying what is wrong */
        say(driver, "updating", error);
}

static bool carry_out(struct dns_driver *driver, const struct update_plan *plan, char **held, int64_t *wait_us)
{
    struct rrset *const *changes = (struct rrset *const *)plan->changes->pdata;
    unsigned parts = MAX(plan->batches->len, 1), proven = 0;
    for (unsigned i = 0; i < parts; i++) {
        struct update_batch batch = {0};
        if (plan->batches->len > 0)
            batch = g_array_index(plan->batches, struct update_batch, i);
        *wait_us = 0;
        if (i > 0 && interrupted(driver))
            return false;
        if (batch.removes && proven < batch.first) { /* additions are proven before anything goes */
            if (!prove(driver, changes + proven, batch.first - proven, wait_us))
                return false;
            proven = batch.first;
        }
        struct fence next = {.stamp = driver->stamp};
        if (i + 1 < parts)
            next = (struct fence){driver->stamp, i + 1, parts};
        if (!write_update(driver, held, &next, changes + batch.first, batch.n, wait_us))
            return false;
    }
    tell_secondaries(driver);
    return prove(driver, changes + proven, plan->changes->len - proven, wait_us);
}

static int64_t primary_turn(struct dns_driver *driver, char **held, bool whole)
{
    g_autoptr(GError) error = NULL;
    if (!read_names(driver, &error))
        return lost(driver, error);
    sb_auto(update_plan) plan =
        update_plan_new(driver->expected, driver->seen, driver->config.zone, UPDATE_BYTES_MAX, &error);
    if (plan == NULL)
        return say_failure(driver, "refused", error->message);
    if (plan->batches->len == 0 && whole)
        return converged(driver);
    not_converged(driver, NULL);
    int64_t wait_us;
    return carry_out(driver, plan, held, &wait_us) ? converged(driver) : wait_us;
}

static bool claim(struct dns_driver *driver, char **held, int64_t *wait_us)
{
    driver->doubt_all = true; /* what was read before the claim may have been written over since */
    struct fence next = {.stamp = {driver->stamp.epoch, 0}};
    return write_update(driver, held, &next, NULL, 0, wait_us);
}

static int64_t secondary_lags(struct dns_driver *driver, const char *held)
{
    int64_t late_us = loop_now_us() - driver->set_us;
    g_autofree char *text = NULL;
    if (late_us > LAG_US)
        text = g_strdup_printf("still holds \"%s\", expected \"%" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT "\"",
                               held != NULL ? held : "", driver->stamp.epoch, driver->stamp.generation);
    not_converged(driver, text);
    return CLAMP(late_us / 20, POLL_FIRST_US, POLL_LAST_US);
}

static int64_t secondary_turn(struct dns_driver *driver, const char *held, const struct fence *fence)
{
    int order = held != NULL ? stamp_compare(fence->stamp, driver->stamp) : -1;
    bool lags = order < 0 || (order == 0 && fence->parts > 0), first = g_hash_table_size(driver->seen) == 0;
    g_autoptr(GError) error = NULL;
    /* At first contact the old sets are read as well: their TTL says how long they live on. */
    if ((!lags || first) && !read_names(driver, &error))
        return lost(driver, error);
    if (lags)
        return secondary_lags(driver, held);
    bool same = first_mismatch(driver, (struct rrset *const *)driver->expected->pdata, driver->expected->len) == NULL;
    return same ? converged(driver) : secondary_lags(driver, held);
}

static int64_t say_beaten(struct dns_driver *driver, const char *state, const char *held)
{
    driver->doubt_all = true;
    g_autofree char *text = g_strdup_printf("the sentinel holds \"%s\", ours is \"%" G_GUINT64_FORMAT
                                            " %" G_GUINT64_FORMAT "\": nothing is written",
                                            held, driver->stamp.epoch, driver->stamp.generation);
    say(driver, state, text);
    return AUDIT_US;
}

/* All is as it was when it was proven, so that the names need no look: with many names this is what an audit costs. */
static bool undisturbed(const struct dns_driver *driver, const char *held, const struct fence *fence)
{
    return held != NULL && fence_settled(fence, driver->stamp) && driver->settled && !driver->doubt_all &&
           g_hash_table_size(driver->doubt) == 0;
}

static int64_t look_and_act(struct dns_driver *driver)
{
    g_autofree char *held = NULL;
    g_autoptr(GError) error = NULL;
    struct fence fence = {0};
    if (!read_sentinel(driver, &held, &error))
        return lost(driver, error);
    driver->outstanding = false;
    if (held != NULL && !fence_parse(held, &fence)) {
        g_autofree char *text =
            g_strdup_printf("_signalbox.%s TXT holds \"%s\", expected \"EPOCH GENERATION\"", driver->config.zone, held);
        return say_failure(driver, "refused", text);
    }
    if (undisturbed(driver, held, &fence))
        return converged(driver);
    int64_t wait_us;
    enum fence_verdict verdict = fence_judge(held != NULL ? &fence : NULL, driver->stamp);
    if (verdict == FENCE_LOST)
        return say_beaten(driver, "conflict", held);
    if (!driver->config.primary)
        return secondary_turn(driver, held, &fence);
    if (verdict == FENCE_OLDER_THAN_HELD)
        return say_beaten(driver, "refused", held);
    if (verdict == FENCE_CLAIM && !claim(driver, &held, &wait_us))
        return wait_us;
    return primary_turn(driver, &held, verdict == FENCE_OURS && fence_settled(&fence, driver->stamp));
}

static int64_t turn(struct dns_driver *driver)
{
    if (driver->refusal != NULL) {
        say(driver, "refused", driver->refusal);
        return AUDIT_ALL_US;
    }
    if (driver->expected == NULL)
        return AUDIT_ALL_US;
    int64_t now_us = loop_now_us();
    if (now_us >= driver->audit_all_us) {
        driver->doubt_all = true;
        driver->audit_all_us = now_us + AUDIT_ALL_US;
    }
    int64_t wait_us = look_and_act(driver);
    if (driver->tcp_fd >= 0)
        close(driver->tcp_fd);
    driver->tcp_fd = -1;
    return wait_us;
}

static void *run(void *data)
{
    struct dns_driver *driver = data;
    while (!readable(driver->stop_fd)) {
        take_mail(driver);
        int64_t wait_us = turn(driver);
        wait_until(driver, loop_now_us() + wait_us);
    }
    return NULL;
}

/* ---- life ---- */

static void config_copy(struct dns_server_config *to, const struct dns_server_config *from)
{
    *to = *from;
    to->name = g_strdup(from->name);
    to->zone = g_strdup(from->zone);
    to->key_name = g_strdup(from->key_name);
    to->key_secret = NULL; /* the key has it */
    to->notify = g_memdup2(from->notify, from->n_notify * sizeof *from->notify);
}

/* Frees a driver without a thread. */
static void driver_delete(struct dns_driver *driver)
{
    if (driver->notify != NULL)
        notify_free(driver->notify);
    if (driver->readback != NULL)
        readback_free(driver->readback);
    if (driver->expected != NULL)
        g_ptr_array_unref(driver->expected);
    g_hash_table_unref(driver->seen);
    g_hash_table_unref(driver->doubt);
    if (driver->mail != NULL)
        zone_records_free(driver->mail);
    pthread_mutex_destroy(&driver->lock);
    close(driver->wake_fd);
    close(driver->stop_fd);
    knot_tsig_key_deinit(&driver->key);
    g_free(driver->config.name);
    g_free(driver->config.zone);
    g_free(driver->config.key_name);
    g_free(driver->config.notify);
    g_free(driver->refusal);
    g_free(driver->error);
    g_free(driver->reported_error);
    g_free(driver);
}

static bool open_parts(struct dns_driver *driver, const struct dns_server_config *config, GError **error)
{
    if (driver->wake_fd < 0 || driver->stop_fd < 0) {
        g_set_error(error, SB_ERROR, SB_ERROR_IO, "eventfd: %s", g_strerror(errno));
        return false;
    }
    bool signs = config->primary || config->n_notify > 0;
    if (signs && (config->key_name == NULL || config->key_secret == NULL ||
                  knot_tsig_key_init(&driver->key, "hmac-sha256", config->key_name, config->key_secret) != KNOT_EOK)) {
        g_set_error(error, SB_ERROR, SB_ERROR_INVALID,
                    "name server %s: key %s is not a name with a base64 secret for hmac-sha256", config->name,
                    config->key_name != NULL ? config->key_name : "(none)");
        return false;
    }
    driver->readback = readback_new(&config->address, driver->stop_fd, error);
    if (driver->readback == NULL)
        return false;
    if (config->n_notify > 0)
        driver->notify = notify_new(config->zone, config->notify, config->n_notify, &driver->key);
    return true;
}

/* Signals are the program's business: the driver's thread takes none. */
static int start_thread(struct dns_driver *driver)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int code = pthread_create(&driver->thread, NULL, run, driver);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return code;
}

struct dns_driver *dns_driver_new(const struct dns_server_config *config, dns_report_fn report, void *data,
                                  GError **error)
{
    struct dns_driver *driver = g_new0(struct dns_driver, 1);
    config_copy(&driver->config, config);
    driver->report = report;
    driver->report_data = data;
    driver->tcp_fd = -1;
    driver->backoff_us = BACKOFF_FIRST_US;
    driver->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    driver->stop_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    pthread_mutex_init(&driver->lock, NULL);
    driver->seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)rrset_delete);
    driver->doubt = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    int code = 0;
    if (open_parts(driver, config, error) && (code = start_thread(driver)) == 0)
        return driver;
    if (code != 0)
        g_set_error(error, SB_ERROR, SB_ERROR_IO, "name server %s: no thread: %s", config->name, g_strerror(code));
    driver_delete(driver);
    return NULL;
}

void dns_driver_free(struct dns_driver *driver)
{
    if (driver == NULL)
        return;
    eventfd_write(driver->stop_fd, 1);
    pthread_join(driver->thread, NULL);
    driver_delete(driver);
}

static struct zone_records *records_copy(const struct zone_records *records)
{
    struct zone_records *copy = g_new0(struct zone_records, 1);
    copy->zone = g_strdup(records->zone);
    copy->rrsets = g_ptr_array_new_with_free_func((GDestroyNotify)rrset_delete);
    for (unsigned i = 0; i < records->rrsets->len; i++) {
        const struct rrset *set = records->rrsets->pdata[i];
        g_ptr_array_add(copy->rrsets, rrset_make(set->owner, set->type, set->ttl, (const char *const *)set->rdata));
    }
    return copy;
}

void dns_driver_set(struct dns_driver *driver, struct stamp stamp, const struct zone_records *records)
{
    assert(strcmp(records->zone, driver->config.zone) == 0);
    struct zone_records *copy = records_copy(records), *old;
    pthread_mutex_lock(&driver->lock);
    if (stamp_compare(stamp, driver->latest) > 0) {
        old = driver->mail;
        driver->mail = copy;
        driver->mail_stamp = driver->latest = stamp;
        eventfd_write(driver->wake_fd, 1);
    } else {
        old = copy; /* one generation is one set of records; an older one comes too late */
    }
    pthread_mutex_unlock(&driver->lock);
    if (old != NULL)
        zone_records_free(old);
}
