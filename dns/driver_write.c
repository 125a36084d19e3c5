/* driver_write.c: updates, the proof that they took effect, and what is said of a change that stopped half-way. */
#include "dns/driver_internal.h"

#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "core/error.h"
#include "core/failpoint.h"
#include "core/loop.h"
#include "dns/driver_permission.h"
#include "dns/exchange.h"

#define CONNECT_MS 500
#define REQUEST_MS 1500 /* Knot lets one update in about 60 wait for a second */
#define PROVE_US 500000 /* servers may answer from caches for a moment after NOERROR */
#define PROVE_EACH_US 20000
#define RUNS_MAX 3 /* runs of names that a report spells out */

/* Why an update did not go through. */
struct stop {
    const char *state; /* to be said; NULL: nothing, the next turn looks again at once */
    char *reason;
    bool lost; /* the server is not there: what it holds cannot be read now */
};

/* ---- one update ---- */

static enum update_outcome exchange(struct dns_driver *driver, const struct update *update,
                                    const struct message *message, char **reason)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GByteArray) answer =
        exchange_message(driver->tcp_fd, message->wire, message->size, REQUEST_MS, driver->stop_fd, &error);
    if (answer == NULL) {
        *reason = g_strdup_printf("an update was sent, but %s: it may have been applied", error->message);
        return UPDATE_UNKNOWN;
    }
    enum update_outcome outcome =
        response_judge(message, &driver->key, driver->config.zone, answer->data, answer->len, reason);
    if (outcome == UPDATE_REJECTED) {
        char *better = permission_explain(driver, update, response_cause(message, answer->data, answer->len));
        if (better != NULL) {
            g_free(*reason);
            *reason = better;
        }
    }
    return outcome;
}

static void disconnect(struct dns_driver *driver)
{
    close(driver->tcp_fd);
    driver->tcp_fd = -1;
}

/* Takes `reason`. */
static void update_failed(struct dns_driver *driver, const struct update *update, enum update_outcome outcome,
                          char *reason, struct stop *stop)
{
    driver->doubt_all = true;
    disconnect(driver);
    *stop = (struct stop){.reason = reason};
    if (driver_stopping(driver))
        return;
    if (outcome == UPDATE_REJECTED) {
        stop->state = "refused";
    } else if (outcome == UPDATE_UNKNOWN) {
        g_free(driver->outstanding);
        driver->outstanding = g_strdup(update->next);
        driver->missed = false;
        stop->state = "unknown";
        stop->lost = true;
    } else if (driver->beaten) { /* a second time: the server says one thing to readers and another to writers */
        g_free(stop->reason);
        stop->reason = g_strdup_printf("the server shows the sentinel \"%s\", but refuses an update that requires it",
                                       update->held != NULL ? update->held : "");
        stop->state = "conflict";
    }
    driver->beaten = driver->beaten || outcome == UPDATE_CONFLICT;
}

/* One update that is applied only where the sentinel is *held, and makes it `next`; *held then follows. */
static bool write_update(struct dns_driver *driver, char **held, const struct fence *next, struct rrset *const *sets,
                         unsigned n, struct stop *stop)
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
        driver->doubt_all = true;
        *stop = (struct stop){.state = driver->tcp_fd < 0 ? "unreachable" : "refused",
                              .reason = g_strdup(error->message),
                              .lost = driver->tcp_fd < 0};
        return false;
    }
    char *reason = NULL;
    FAIL_POINT(BEFORE_UPDATE, text);
    enum update_outcome outcome = exchange(driver, &update, &message, &reason);
    FAIL_POINT(AFTER_UPDATE, text);
    message_clear(&message);
    if (outcome != UPDATE_APPLIED) {
        update_failed(driver, &update, outcome, reason, stop);
        return false;
    }
    for (unsigned i = 0; i < n; i++)
        g_hash_table_add(driver->doubt, rrset_key(sets[i]));
    g_free(*held);
    *held = g_strdup(text);
    g_free(driver->known);
    driver->known = g_strdup(text);
    return true;
}

/* Says why, with what is known `besides` (or NULL). Clears `stop`; returns how long to wait. */
static int64_t say_stop(struct dns_driver *driver, struct stop *stop, const char *besides)
{
    int64_t wait_us = 0;
    if (stop->state != NULL) {
        g_autofree char *text = g_strconcat(stop->reason, besides, NULL);
        /* What is unknown is looked up at once; a server that is gone is asked again soon. */
        if (strcmp(stop->state, "unknown") == 0)
            driver_say(driver, stop->state, text);
        else
            wait_us = driver_fail(driver, stop->state, text);
        if (stop->lost)
            wait_us = MIN(wait_us, BACKOFF_FIRST_US);
    }
    g_free(stop->reason);
    return wait_us;
}

bool write_claim(struct dns_driver *driver, char **held, int64_t *wait_us)
{
    driver->doubt_all = true; /* what was read before the claim may have been written over since */
    struct fence next = {.stamp = {driver->stamp.epoch, 0}};
    struct stop stop;
    if (write_update(driver, held, &next, NULL, 0, &stop))
        return true;
    *wait_us = say_stop(driver, &stop, NULL);
    return false;
}

/* ---- proof ---- */

/* What stands in a set's way at the same name. NULL or text; g_free. */
static char *blocker(struct dns_driver *driver, const struct rrset *expected)
{
    static const uint16_t types[] = {KNOT_RRTYPE_CNAME, KNOT_RRTYPE_A, KNOT_RRTYPE_AAAA};
    for (unsigned i = 0; i < G_N_ELEMENTS(types); i++) {
        if ((types[i] == KNOT_RRTYPE_CNAME) == (expected->type == KNOT_RRTYPE_CNAME))
            continue;
        struct rrset *set = look_one(driver, expected->owner, types[i], NULL);
        char *text = set != NULL && !rrset_absent(set) ? rrset_describe(set) : NULL;
        rrset_delete(set);
        if (text != NULL) {
            char *words = g_strdup_printf("; the name holds %s %s from another hand, which must be removed there first",
                                          rrtype_name(types[i]), text);
            g_free(text);
            return words;
        }
    }
    return NULL;
}

/* The server took the update and shows something else: it passed over the set (RFC 2136 3.4.2.2), or another hand was
 * there after us. was: what it showed before, or NULL. */
static void judge_mismatch(struct dns_driver *driver, const struct rrset *expected, GHashTable *was, struct stop *stop)
{
    g_autofree char *key = rrset_key(expected), *wanted = rrset_describe(expected);
    const struct rrset *seen = look_seen(driver, expected);
    g_autofree char *shown = seen != NULL ? rrset_describe(seen) : g_strdup("nothing");
    g_autofree char *why = blocker(driver, expected);
    const char *before = g_hash_table_lookup(was, key);
    bool foreign = why == NULL && g_strcmp0(before, shown) != 0;
    *stop = (struct stop){
        .state = foreign ? "conflict" : "refused",
        .reason = g_strdup_printf("%s %s: the server took the update but shows %s, expected %s%s", expected->owner,
                                  rrtype_name(expected->type), shown, wanted,
                                  why != NULL ? why
                                  : foreign   ? "; another hand wrote it after us, it is written again"
                                              : "; that is what it showed before"),
    };
}

/* Reads back what an update wrote, until it shows. False: stop says why, .state NULL: there is something newer to do.
 */
static bool prove(struct dns_driver *driver, struct rrset *const *sets, unsigned n, GHashTable *was, struct stop *stop)
{
    int64_t deadline_us = loop_now_us() + PROVE_US;
    *stop = (struct stop){0};
    for (;;) {
        g_autoptr(GError) error = NULL;
        if (!look_sets(driver, sets, n, &error)) {
            driver->doubt_all = true;
            bool silent = g_error_matches(error, SB_ERROR, SB_ERROR_UNREACHABLE);
            if (!driver_stopping(driver))
                *stop = (struct stop){silent ? "unreachable" : "refused", g_strdup(error->message), true};
            return false;
        }
        const struct rrset *wrong = look_first_mismatch(driver, sets, n);
        if (wrong == NULL)
            return true;
        if (driver_interrupted(driver))
            return false;
        if (loop_now_us() > deadline_us) {
            judge_mismatch(driver, wrong, was, stop);
            return false;
        }
        driver_wait(driver, loop_now_us() + PROVE_EACH_US);
    }
}

/* ---- a change that stopped half-way ---- */

static unsigned run_end(const struct dns_driver *driver, unsigned first)
{
    bool is_new = look_matches(driver, driver->change->pdata[first]);
    unsigned end = first + 1;
    while (end < driver->change->len && look_matches(driver, driver->change->pdata[end]) == is_new)
        end++;
    return end;
}

/* " (d1.example.test A to d9.example.test A)": the runs of sets that are new, or old, in the order of the updates. */
static void append_runs(GString *out, const struct dns_driver *driver, bool is_new)
{
    unsigned runs = 0;
    for (unsigned first = 0, end; first < driver->change->len; first = end) {
        end = run_end(driver, first);
        const struct rrset *a = driver->change->pdata[first], *b = driver->change->pdata[end - 1];
        if (look_matches(driver, a) != is_new || runs++ >= RUNS_MAX)
            continue;
        g_string_append_printf(out, "%s%s %s", runs == 1 ? " (" : ", ", a->owner, rrtype_name(a->type));
        if (end - first > 1)
            g_string_append_printf(out, " to %s %s", b->owner, rrtype_name(b->type));
    }
    if (runs > RUNS_MAX)
        g_string_append_printf(out, " and %u runs more", runs - RUNS_MAX);
    g_string_append(out, runs > 0 ? ")" : "");
}

char *write_progress(struct dns_driver *driver)
{
    if (driver->change == NULL)
        return NULL;
    if (!look_sets(driver, (struct rrset *const *)driver->change->pdata, driver->change->len, NULL))
        return g_strdup("; which names are new is not known");
    unsigned n_new = 0;
    for (unsigned i = 0; i < driver->change->len; i++)
        n_new += look_matches(driver, driver->change->pdata[i]);
    g_autoptr(GString) text = g_string_new(NULL);
    g_string_append_printf(text, "; of %u sets %u are new", driver->change->len, n_new);
    append_runs(text, driver, true);
    g_string_append_printf(text, ", %u are not", driver->change->len - n_new);
    append_runs(text, driver, false);
    return g_strdup(text->str);
}

/* ---- a plan ---- */

/* Only what takes several updates can stop half-way. */
static void remember_change(struct dns_driver *driver, const struct update_plan *plan)
{
    if (driver->change != NULL || plan->batches->len < 2)
        return;
    driver->change = g_ptr_array_sized_new(plan->changes->len);
    g_ptr_array_extend(driver->change, plan->changes, NULL, NULL);
}

/* rrset_key -> what the server shows before the plan, in words. */
static GHashTable *shown_before(const struct dns_driver *driver, const struct update_plan *plan)
{
    GHashTable *was = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    for (unsigned i = 0; i < plan->changes->len; i++) {
        const struct rrset *seen = look_seen(driver, plan->changes->pdata[i]);
        if (seen != NULL)
            g_hash_table_insert(was, rrset_key(seen), rrset_describe(seen));
    }
    return was;
}

/* All but the proof of what comes after *proven. at: index of the update that did not go through. */
static bool send_batches(struct dns_driver *driver, const struct update_plan *plan, unsigned done, char **held,
                         GHashTable *was, unsigned *proven, unsigned *at, struct stop *stop)
{
    struct rrset *const *changes = (struct rrset *const *)plan->changes->pdata;
    unsigned n = MAX(plan->batches->len, 1);
    for (*at = 0; *at < n; ++*at) {
        struct update_batch batch = {0};
        if (plan->batches->len > 0)
            batch = g_array_index(plan->batches, struct update_batch, *at);
        *stop = (struct stop){0};
        if (*at > 0 && driver_interrupted(driver))
            return false;
        if (batch.removes && *proven < batch.first) { /* additions are proven before anything goes */
            if (!prove(driver, changes + *proven, batch.first - *proven, was, stop))
                return false;
            *proven = batch.first;
        }
        struct fence next = {.stamp = driver->stamp};
        if (*at + 1 < n)
            next = (struct fence){driver->stamp, done + *at + 1, done + n};
        if (!write_update(driver, held, &next, changes + batch.first, batch.n, stop))
            return false;
    }
    return true;
}

bool write_plan(struct dns_driver *driver, const struct update_plan *plan, unsigned done, char **held, int64_t *wait_us)
{
    remember_change(driver, plan);
    g_autoptr(GHashTable) was = shown_before(driver, plan);
    unsigned proven = 0, at, parts = done + MAX(plan->batches->len, 1);
    struct stop stop;
    if (send_batches(driver, plan, done, held, was, &proven, &at, &stop)) {
        driver_tell_secondaries(driver);
        if (prove(driver, (struct rrset *const *)plan->changes->pdata + proven, plan->changes->len - proven, was,
                  &stop))
            return true;
        *wait_us = say_stop(driver, &stop, NULL);
        return false;
    }
    if (stop.state != NULL && parts > 1) {
        char *reason = g_strdup_printf("update %u of %u: %s", done + at + 1, parts, stop.reason);
        g_free(stop.reason);
        stop.reason = reason;
    }
    g_autofree char *progress = stop.state == NULL ? NULL
                                : stop.lost && done + at > 0
                                    ? g_strdup_printf("; updates 1 to %u were taken", done + at)
                                : !stop.lost ? write_progress(driver)
                                             : NULL;
    *wait_us = say_stop(driver, &stop, progress);
    return false;
}
