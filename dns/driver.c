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
#include "dns/driver_internal.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "core/error.h"
#include "core/loop.h"

#define AUDIT_US 500000       /* sentinel and serial, while converged or beaten */
#define AUDIT_ALL_US 60000000 /* every name, also where the serial stands still */
#define NOTE_US 60000000      /* how long it is said that something was mended */
#define BACKOFF_LAST_US 5000000
#define POLL_FIRST_US 25000 /* secondary that is not there yet */
#define POLL_LAST_US 500000
#define SETTLE_US 250000 /* for an update that was sent before the server fell silent */
#define LAG_US 1000000   /* a secondary that is later than this says what it still holds, and is told itself */

/* ---- status ---- */

void driver_say(struct dns_driver *driver, const char *state, const char *error)
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

int64_t driver_back_off(struct dns_driver *driver)
{
    int64_t wait_us = driver->backoff_us;
    driver->backoff_us = MIN(driver->backoff_us * 2, BACKOFF_LAST_US);
    return wait_us;
}

int64_t driver_fail(struct dns_driver *driver, const char *state, const char *error)
{
    driver_say(driver, state, error);
    return driver_back_off(driver);
}

/* ---- waiting, mail ---- */

static bool readable(int fd)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    return poll(&poll_fd, 1, 0) > 0;
}

bool driver_stopping(const struct dns_driver *driver)
{
    return readable(driver->stop_fd);
}

bool driver_interrupted(const struct dns_driver *driver)
{
    return readable(driver->stop_fd) || readable(driver->wake_fd);
}

void driver_wait(struct dns_driver *driver, int64_t until_us)
{
    unsigned n_targets = driver->notify != NULL ? MAX(driver->config.n_notify, 1) : 0;
    g_autofree struct pollfd *fds = g_new0(struct pollfd, n_targets + 2);
    for (;;) {
        int64_t now_us = loop_now_us(), due_us = until_us;
        unsigned n = 2;
        if (driver->notify != NULL) {
            int64_t notify_us = notify_turn(driver->notify, (uint64_t)time(NULL), now_us); /* once: MIN asks twice */
            due_us = MIN(due_us, notify_us);
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

static void forget_change(struct dns_driver *driver)
{
    if (driver->change != NULL)
        g_ptr_array_unref(driver->change);
    driver->change = NULL;
}

/* A secondary may show what was desired for a while between two looks at it: A, B, A looks like A. (A primary shows
 * nothing that is not read back.) So what is replaced counts as shown until now. */
static uint32_t replaced_ttl(const struct dns_driver *driver, const GPtrArray *before, const GPtrArray *after)
{
    g_autoptr(GHashTable) sets = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    uint32_t ttl = 0;
    if (driver->config.primary)
        return 0;
    for (unsigned i = 0; i < after->len; i++)
        g_hash_table_insert(sets, rrset_key(after->pdata[i]), after->pdata[i]);
    for (unsigned i = 0; i < before->len; i++) {
        const struct rrset *old = before->pdata[i];
        g_autofree char *key = rrset_key(old);
        const struct rrset *set = g_hash_table_lookup(sets, key);
        if (!rrset_absent(old) && (set == NULL || !update_same(old, set)))
            ttl = MAX(ttl, old->ttl);
    }
    return ttl;
}

/* Makes the newest desired state the thread's own, unless the guard refuses it. */
static void take_mail(struct dns_driver *driver)
{
    eventfd_t count;
    (void)eventfd_read(driver->wake_fd, &count); /* fails when there is nothing */
    pthread_mutex_lock(&driver->lock);
    struct zone_records *records = g_steal_pointer(&driver->mail);
    struct stamp stamp = driver->mail_stamp;
    driver->replaced_ttl = MAX(driver->replaced_ttl, driver->skipped_ttl);
    driver->skipped_ttl = 0;
    pthread_mutex_unlock(&driver->lock);
    if (records == NULL)
        return;
    g_autoptr(GError) error = NULL;
    GPtrArray *expected = records_expect(records, driver->expected, driver->settled, &error);
    bool unguarded = records->unguarded;
    zone_records_free(records);
    driver->status.names = 0;
    g_free(driver->refusal);
    driver->refusal = expected == NULL ? g_strdup(error->message) : NULL;
    if (expected == NULL)
        return;
    forget_change(driver);
    if (driver->expected != NULL) {
        driver->replaced_ttl = MAX(driver->replaced_ttl, replaced_ttl(driver, driver->expected, expected));
        g_ptr_array_unref(driver->expected);
    }
    driver->expected = expected;
    driver->stamp = stamp;
    driver->unguarded = unguarded;
    driver->settled = driver->proven = false;
    driver->set_us = loop_now_us();
    driver->backoff_us = BACKOFF_FIRST_US;
    driver->notify_due = driver->config.primary;
    driver->beaten = false;
    g_clear_pointer(&driver->note, g_free);
    g_clear_pointer(&driver->left, g_free);
}

/* ---- turns ---- */

void driver_tell_secondaries(struct dns_driver *driver)
{
    driver->notify_due = false;
    if (driver->notify != NULL)
        notify_start(driver->notify, (uint64_t)time(NULL), loop_now_us());
}

static int64_t converged(struct dns_driver *driver)
{
    driver->status.confirmed = driver->stamp;
    driver->settled = driver->proven = true;
    int64_t gone_us = loop_now_us() + (int64_t)driver->replaced_ttl * 1000000;
    if (driver->replaced_ttl > 0)
        driver->status.residual_until_us = MAX(driver->status.residual_until_us, gone_us);
    driver->replaced_ttl = 0;
    forget_change(driver);
    driver->beaten = false;
    driver->backoff_us = BACKOFF_FIRST_US;
    if (driver->notify_due)
        driver_tell_secondaries(driver);
    driver_say(driver, "converged", loop_now_us() < driver->note_until_us ? driver->note : NULL);
    return AUDIT_US;
}

/* Proof that has turned out to be over is taken back. */
static void not_converged(struct dns_driver *driver, const char *error)
{
    if (stamp_compare(driver->status.confirmed, driver->stamp) == 0)
        driver->status.confirmed = (struct stamp){0, 0};
    driver->settled = false;
    if (driver->backoff_us == BACKOFF_FIRST_US) /* a retry keeps saying what is wrong */
        driver_say(driver, "updating", error);
}

/* What was proven is no more: another hand has written past us, or the server came back with an older zone. */
static void name_disturbance(struct dns_driver *driver, const char *held)
{
    struct rrset *const *sets = (struct rrset *const *)driver->expected->pdata;
    unsigned n_wrong = 0;
    for (unsigned i = 0; i < driver->expected->len; i++)
        n_wrong += !look_matches(driver, sets[i]);
    const struct rrset *wrong = look_first_mismatch(driver, sets, driver->expected->len);
    g_autoptr(GString) text = g_string_new(NULL);
    if (wrong != NULL) {
        g_autofree char *shown = rrset_describe(look_seen(driver, wrong)), *wanted = rrset_describe(wrong);
        g_string_append_printf(text, "%u of %u sets are not as proven, the first %s %s: shows %s, expected %s", n_wrong,
                               driver->expected->len, wrong->owner, rrtype_name(wrong->type), shown, wanted);
    } else {
        g_string_append(text, "every set is as proven");
    }
    g_string_append_printf(
        text, "; the sentinel is \"%s\", the serial %u: another hand, or an older zone; it is written again",
        held != NULL ? held : "", driver->serial);
    driver_say(driver, "conflict", text->str);
    g_free(driver->note);
    driver->note = g_strdup(text->str);
    driver->note_until_us = loop_now_us() + NOTE_US;
}

/* What has begun, or was proven before, is finished and mended without a question. */
static char *guard(const struct dns_driver *driver, const struct fence *fence)
{
    if (driver->unguarded || driver->proven || stamp_compare(fence->stamp, driver->stamp) == 0)
        return NULL;
    unsigned touched, names = update_share(driver->expected, driver->seen, &touched);
    if (!zone_guard_stops(touched, names))
        return NULL;
    return g_strdup_printf("guard: %u of %u names of %s would change at once, at most %d %% may; nothing is written "
                           "unless dnszone.guard of the zone is off",
                           touched, names, driver->config.zone, ZONE_GUARD_PERCENT);
}

static int64_t primary_turn(struct dns_driver *driver, char **held, const struct fence *fence)
{
    bool whole = fence_settled(fence, driver->stamp);
    g_autoptr(GError) error = NULL;
    if (!look_names(driver, &error))
        return look_lost(driver, error);
    sb_auto(update_plan) plan =
        update_plan_new(driver->expected, driver->seen, driver->config.zone, UPDATE_BYTES_MAX, &error);
    if (plan == NULL)
        return driver_fail(driver, "refused", error->message);
    if (plan->batches->len == 0 && whole)
        return converged(driver);
    g_autofree char *stopped = guard(driver, fence);
    if (stopped != NULL)
        return driver_fail(driver, "refused", stopped);
    if (driver->settled)
        name_disturbance(driver, *held);
    not_converged(driver, NULL);
    /* A change that stopped is taken up where it stopped, and goes on counting. */
    unsigned done = stamp_compare(fence->stamp, driver->stamp) == 0 ? fence->part : 0;
    int64_t wait_us;
    if (!write_plan(driver, plan, done, held, &wait_us))
        return wait_us;
    /* The write took so long that a serial which moved before it has become a reason to read every name. */
    return look_disturbed(driver) ? 0 : converged(driver);
}

/* Why it lags, as far as its server says. */
static char *lag_text(struct dns_driver *driver, const char *held)
{
    const struct rrset *wrong =
        look_first_mismatch(driver, (struct rrset *const *)driver->expected->pdata, driver->expected->len);
    g_autoptr(GString) text = g_string_new(NULL);
    g_string_append_printf(text, "holds the sentinel \"%s\", expected \"%" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT "\"",
                           held != NULL ? held : "", driver->stamp.epoch, driver->stamp.generation);
    if (wrong != NULL && look_seen(driver, wrong) != NULL) {
        g_autofree char *shown = rrset_describe(look_seen(driver, wrong)), *wanted = rrset_describe(wrong);
        g_string_append_printf(text, "; %s %s: shows %s, expected %s", wrong->owner, rrtype_name(wrong->type), shown,
                               wanted);
    }
    g_autofree char *notified = driver->notify != NULL ? notify_words(driver->notify) : NULL;
    if (notified != NULL)
        g_string_append_printf(text, "; %s", notified);
    return g_strdup(text->str);
}

/* A primary's NOTIFY may be lost for ever; a second one, straight from here, mends that or says what is wrong. */
static void wake_secondary(struct dns_driver *driver)
{
    if (driver->notify == NULL || loop_now_us() < driver->wake_us)
        return;
    driver->wake_us = loop_now_us() + LAG_US;
    driver_tell_secondaries(driver);
}

static int64_t secondary_lags(struct dns_driver *driver, const char *held)
{
    int64_t late_us = loop_now_us() - driver->set_us;
    g_autofree char *text = late_us > LAG_US ? lag_text(driver, held) : NULL;
    if (late_us > LAG_US / 2)
        wake_secondary(driver);
    not_converged(driver, text);
    return CLAMP(late_us / 20, POLL_FIRST_US, POLL_LAST_US);
}

static int64_t secondary_turn(struct dns_driver *driver, const char *held, const struct fence *fence)
{
    int order = held != NULL ? stamp_compare(fence->stamp, driver->stamp) : -1;
    bool lags = order < 0 || (order == 0 && fence->parts > 0), first = g_hash_table_size(driver->seen) == 0;
    g_autoptr(GError) error = NULL;
    /* At first contact the old sets are read as well: their TTL says how long they live on. */
    if ((!lags || first) && !look_names(driver, &error))
        return look_lost(driver, error);
    if (lags)
        return secondary_lags(driver, held);
    bool same =
        look_first_mismatch(driver, (struct rrset *const *)driver->expected->pdata, driver->expected->len) == NULL;
    return same ? converged(driver) : secondary_lags(driver, held);
}

static int64_t say_beaten(struct dns_driver *driver, const char *state, const char *held)
{
    driver->doubt_all = true;
    g_autofree char *text = g_strdup_printf("the sentinel holds \"%s\", ours is \"%" G_GUINT64_FORMAT
                                            " %" G_GUINT64_FORMAT "\": nothing is written",
                                            held, driver->stamp.epoch, driver->stamp.generation);
    /* A change that was overtaken half-way is measured once: from then on it is another's. */
    if (driver->change != NULL) {
        g_free(driver->left);
        driver->left = write_progress(driver);
        forget_change(driver);
    }
    g_autofree char *all = g_strconcat(text, driver->left, NULL);
    driver_say(driver, state, all);
    return AUDIT_US;
}

/* All is as it was when it was proven, so that the names need no look: with many names this is what an audit costs. */
static bool undisturbed(const struct dns_driver *driver, const char *held, const struct fence *fence)
{
    return held != NULL && fence_settled(fence, driver->stamp) && driver->settled && !driver->doubt_all &&
           g_hash_table_size(driver->doubt) == 0 && !look_disturbed(driver);
}

/* Who moved the sentinel past us may have moved names, and an older zone has an older one. A secondary's follows its
 * primary's, so it is only looked at when it has moved away from what was proven. */
static bool sentinel_moved(struct dns_driver *driver, const char *held, const struct fence *fence)
{
    bool moved = g_strcmp0(driver->known, held) != 0;
    g_free(driver->known);
    driver->known = g_strdup(held);
    return driver->config.primary ? moved : driver->settled && !(held != NULL && fence_settled(fence, driver->stamp));
}

/* A server that answers questions again may still have our update in its queue: before it is sent anew, it gets a
 * moment to appear. The prerequisite keeps it from taking effect twice in any case. */
static bool may_come_yet(struct dns_driver *driver, const char *held)
{
    bool wait = driver->outstanding != NULL && !driver->missed && g_strcmp0(driver->outstanding, held) != 0;
    driver->missed = wait;
    if (!wait)
        g_clear_pointer(&driver->outstanding, g_free);
    return wait;
}

static int64_t look_and_act(struct dns_driver *driver)
{
    g_autofree char *held = NULL;
    g_autoptr(GError) error = NULL;
    struct fence fence = {0};
    if (!look_head(driver, &held, &error))
        return look_lost(driver, error);
    if (may_come_yet(driver, held))
        return SETTLE_US;
    if (held != NULL && !fence_parse(held, &fence)) {
        g_autofree char *text =
            g_strdup_printf("_signalbox.%s TXT holds \"%s\", expected \"EPOCH GENERATION\"", driver->config.zone, held);
        return driver_fail(driver, "refused", text);
    }
    if (undisturbed(driver, held, &fence))
        return converged(driver);
    if (sentinel_moved(driver, held, &fence) || look_disturbed(driver))
        driver->doubt_all = true;
    int64_t wait_us;
    enum fence_verdict verdict = fence_judge(held != NULL ? &fence : NULL, driver->stamp);
    if (verdict == FENCE_LOST)
        return say_beaten(driver, "conflict", held);
    if (!driver->config.primary)
        return secondary_turn(driver, held, &fence);
    if (verdict == FENCE_OLDER_THAN_HELD)
        return say_beaten(driver, "refused", held);
    if (verdict == FENCE_CLAIM) {
        if (!write_claim(driver, &held, &wait_us))
            return wait_us;
        fence = (struct fence){.stamp = {driver->stamp.epoch, 0}};
    }
    return primary_turn(driver, &held, &fence);
}

static int64_t turn(struct dns_driver *driver)
{
    if (driver->refusal != NULL) {
        driver_say(driver, "refused", driver->refusal);
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
        driver_wait(driver, loop_now_us() + wait_us);
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
    forget_change(driver);
    knot_tsig_key_deinit(&driver->key);
    g_free(driver->config.name);
    g_free(driver->config.zone);
    g_free(driver->config.key_name);
    g_free(driver->config.notify);
    g_free(driver->refusal);
    g_free(driver->note);
    g_free(driver->left);
    g_free(driver->outstanding);
    g_free(driver->known);
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
    bool signs = config->primary || config->n_notify > 0 || config->key_secret != NULL;
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
    else if (!config->primary && signs)
        driver->notify = notify_new(config->zone, &config->address, 1, &driver->key);
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
    copy->unguarded = records->unguarded;
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
        if (old != NULL)
            driver->skipped_ttl = MAX(driver->skipped_ttl, replaced_ttl(driver, old->rrsets, copy->rrsets));
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
