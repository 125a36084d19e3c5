#include "core/error.h"
#include "core/log.h"
#include "core/loop.h"
#include "server/engine/executor_internal.h"
#include "server/engine/failpoint.h"

#include <time.h>
#include <unistd.h>

#define ANSWER_WAIT_MS 500 /* for an asker to be told that the journal failed */

void executor_die(const char *what, const GError *error)
{
    log_error(what, "error=\"%s\"", error != NULL ? error->message : "");
    _exit(EXIT_FAILURE); /* no handler may run: it could write again */
}

void check_lease(struct executor *x)
{
    g_autoptr(GError) error = NULL;
    if (!x->lease->ops->held(x->lease, &error))
        executor_die("another server may lead; ending, nothing more is written or answered", error);
}

/* Before the disk refuses a write: what failed once cannot be tried again. */
static void keep_room(struct executor *x)
{
    struct disk disk;
    if (disk_look(x->state_dir, &disk, NULL) && disk.free < DISK_ROOM_MIN && ballast_give_up(x->ballast))
        log_warning("the disk is full: the ballast is given up, changes can be written for a while; make room",
                    "folder=%s free_bytes=%" G_GUINT64_FORMAT, x->state_dir, disk.free);
}

/* False: it failed and x->failed says why; the process must end. */
static bool write_journal(struct executor *x, const GPtrArray *entries)
{
    g_autoptr(GError) error = NULL;
    check_lease(x);
    keep_room(x);
    FAIL_POINT("before-journal");
    int64_t start_us = loop_now_us();
    enum journal_result result = x->journal->ops->append(x->journal, x->journal->epoch, entries, wall_now_us(), &error);
    histogram_add(&x->append_times, loop_now_us() - start_us);
    if (result == JOURNAL_FAILED && g_error_matches(error, SB_ERROR, SB_ERROR_STALE))
        executor_die("another server leads; ending, nothing was written", error);
    if (result == JOURNAL_REPEATED)
        executor_die("the journal has this effect already; ending, a restart goes on from what is durable", NULL);
    if (result == JOURNAL_FAILED) {
        log_error("journal cannot be written; ending, a restart goes on from what is durable", "error=\"%s\"",
                  error->message);
        x->failed = g_strdup(error->message);
        return false;
    }
    x->committed_us = wall_now_us();
    FAIL_POINT("after-journal");
    x->news = true;
    outbox_wake(x->outbox);
    return true;
}

static void tell_listener(struct executor *x)
{
    pthread_mutex_lock(&x->listener_lock);
    if (x->listener != NULL)
        x->listener(x->listener_data);
    pthread_mutex_unlock(&x->listener_lock);
}

/* Agents first: users feel them at once; name servers have their TTLs anyway. */
static void publish(struct executor *x, struct resolved *resolved)
{
    FAIL_POINT("before-publish");
    publication_swap(x->publication, resolved);
    tell_listener(x);
    log_debug("published",
              "epoch=%" G_GUINT64_FORMAT " generation=%" G_GUINT64_FORMAT " committed_us=%" G_GINT64_FORMAT,
              resolved->world->stamp.epoch, resolved->world->stamp.generation, x->committed_us);
    if (x->nameservers != NULL) /* else it is ending */
        nameservers_publish(x->nameservers, resolved);
    FAIL_POINT("after-publish");
}

bool carry_out(struct executor *x, struct effects *effects)
{
    struct effect *effect;
    bool ok = true;
    while (ok && (effect = effects_pop(effects)) != NULL) {
        if (effect->kind == EFFECT_JOURNAL)
            ok = write_journal(x, effect->entries);
        else
            publish(x, effect->resolved);
        effect_free(effect);
    }
    effects_clear(effects);
    return ok;
}

void carry_out_or_end(struct executor *x, struct effects *effects)
{
    if (!carry_out(x, effects))
        _exit(EXIT_FAILURE); /* it was logged */
}

const char *executor_failed(struct executor *x)
{
    if (x->failed == NULL)
        return NULL;
    pthread_mutex_lock(&x->condition_lock);
    x->unanswered++;
    pthread_mutex_unlock(&x->condition_lock);
    return x->failed;
}

void executor_answered(struct executor *x)
{
    pthread_mutex_lock(&x->condition_lock);
    x->unanswered--;
    pthread_cond_signal(&x->answered);
    pthread_mutex_unlock(&x->condition_lock);
}

void end_failed(struct executor *x)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += ANSWER_WAIT_MS * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000L;
    until.tv_nsec %= 1000000000L;
    pthread_mutex_lock(&x->condition_lock);
    int rc = 0;
    while (x->unanswered > 0 && rc == 0)
        rc = pthread_cond_timedwait(&x->answered, &x->condition_lock, &until);
    _exit(EXIT_FAILURE);
}
