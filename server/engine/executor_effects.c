#include "core/error.h"
#include "core/failpoint.h"
#include "core/log.h"
#include "core/loop.h"
#include "server/engine/executor_internal.h"

#include <time.h>
#include <unistd.h>

#define ANSWER_WAIT_US 500000 /* for an asker to be told that the journal failed */

void executor_die(const char *what, const GError *error)
{
    log_error(what, "error=\"%s\"", error != NULL ? error->message : "");
    _exit(EXIT_FAILURE); /* no handler may run: it could write again */
}

void check_lease(struct executor *x)
{
    g_autoptr(GError) error = NULL;
    int64_t now_us = loop_now_us(); /* before the look: it may be lost right behind it */
    if (!x->lease->ops->held(x->lease, &error))
        executor_die("another server may lead; ending, nothing more is written or answered", error);
    atomic_store(&x->lease_us, now_us);
}

/* Before the disk refuses a write: what failed once cannot be tried again. */
static void keep_room(struct executor *x)
{
    struct disk disk;
    if (disk_look(x->state_dir, &disk, NULL) && disk.free < DISK_ROOM_MIN && ballast_give_up(x->ballast))
        log_warning("the disk is full: the ballast is given up, changes can be written for a while; make room",
                    "folder=%s free_bytes=%" G_GUINT64_FORMAT, x->state_dir, disk.free);
}

#ifdef SIGNALBOX_FAILPOINTS

static void add_steps(GString *about, const json_t *execution)
{
    const json_t *step;
    size_t i;
    json_array_foreach (json_object_get(execution, "steps"), i, step)
        g_string_append_printf(about, " %s=%s", json_string_value(json_object_get(step, "name")),
                               json_string_value(json_object_get(step, "state")));
}

/* A line for each entry: kind, id, key; of an execution its state and that of each step, of an event its text:
 *   generation 4 room-isolated-1f2e3d4c/move-out/set
 *   execution room-isolated-1f2e3d4c running other-room=succeeded move-out=succeeded edges=running */
static void fail_at_write(enum fail_point point, const GPtrArray *entries)
{
    if (!fail_point_wanted(point))
        return;
    g_autoptr(GString) about = g_string_new(NULL);
    for (guint i = 0; i < entries->len; i++) {
        const struct journal_entry *entry = entries->pdata[i];
        const char *state = json_string_value(json_object_get(entry->body, "state"));
        const char *text = json_string_value(json_object_get(entry->body, "text"));
        g_string_append_printf(about, "%s %s %s", entry->kind, entry->id,
                               entry->key != NULL ? entry->key
                               : state != NULL    ? state
                               : text != NULL     ? text
                                                  : "");
        add_steps(about, entry->body);
        g_string_append_c(about, '\n');
    }
    fail_point(point, about->str);
}

#else

#define fail_at_write(point, entries) ((void)0)

#endif

/* False: it failed and x->failed says why; the process must end. */
static bool write_journal(struct executor *x, const GPtrArray *entries)
{
    g_autoptr(GError) error = NULL;
    check_lease(x);
    keep_room(x);
    fail_at_write(FAIL_BEFORE_JOURNAL, entries);
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
    fail_at_write(FAIL_AFTER_JOURNAL, entries);
    x->news = true;
    atomic_fetch_add(&x->writes, 1);
    outbox_wake(x->outbox);
    if (x->outgoing != NULL)
        outgoing_wake(x->outgoing);
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
    FAIL_POINT(BEFORE_PUBLISH, resolved->world->cause);
    publication_swap(x->publication, resolved);
    tell_listener(x);
    log_debug("published",
              "epoch=%" G_GUINT64_FORMAT " generation=%" G_GUINT64_FORMAT " committed_us=%" G_GINT64_FORMAT,
              resolved->world->stamp.epoch, resolved->world->stamp.generation, x->committed_us);
    if (x->nameservers != NULL) /* else it is ending */
        nameservers_publish(x->nameservers, resolved);
    if (x->registries != NULL)
        registries_publish(x->registries, resolved);
    if (x->outgoing != NULL)
        outgoing_publish(x->outgoing, resolved);
    FAIL_POINT(AFTER_PUBLISH, resolved->world->cause);
}

/* What is to be written with it comes behind the engine's entries: the black box does not know it. */
static bool write_also(struct executor *x, GPtrArray *entries)
{
    if (x->also != NULL) {
        g_ptr_array_extend_and_steal(entries, x->also);
        x->also = NULL;
    }
    return write_journal(x, entries);
}

/* A change that left everything as it was has an answer all the same. */
static bool write_alone(struct executor *x)
{
    g_autoptr(GPtrArray) entries = g_steal_pointer(&x->also);
    return entries == NULL || x->unwritable != NULL || write_journal(x, entries);
}

bool carry_out(struct executor *x, struct effects *effects)
{
    struct effect *effect;
    bool ok = true;
    while (ok && (effect = effects_pop(effects)) != NULL) {
        if (x->recorder != NULL)
            recorder_done(x->recorder, effect);
        if (effect->kind == EFFECT_JOURNAL)
            ok = write_also(x, effect->entries);
        else if (effect->kind == EFFECT_PUBLISH)
            publish(x, effect->resolved);
        else if (effect->kind == EFFECT_ASK && x->transactions != NULL) /* else it is ending */
            transactions_ask(x->transactions, effect->ask, &effect->resolved->world->pins);
        else if (effect->kind == EFFECT_CALL && x->outgoing != NULL)
            outgoing_call(x->outgoing, effect->call);
        effect_free(effect);
    }
    ok = ok && write_alone(x);
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
    struct timespec until = loop_deadline(ANSWER_WAIT_US);
    pthread_mutex_lock(&x->condition_lock);
    int rc = 0;
    while (x->unanswered > 0 && rc == 0)
        rc = pthread_cond_timedwait(&x->answered, &x->condition_lock, &until);
    _exit(EXIT_FAILURE);
}
