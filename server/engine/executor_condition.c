#include "core/error.h"
#include "core/log.h"
#include "core/loop.h"
#include "server/engine/executor_internal.h"

#include <errno.h>
#include <unistd.h>

#define CONDITION_US G_USEC_PER_SEC /* between two looks at disk, lease and reign */

/* A journal with a reign of ours, or NULL. A disk that looks full is not written to in vain. */
static struct journal *begin_journal(struct executor *x, GError **error)
{
    struct disk disk;
    if (!disk_look(x->state_dir, &disk, error))
        return NULL;
    if (access(x->state_dir, W_OK) != 0) { /* SQLite does not say it so clearly */
        g_set_error(error, SB_ERROR, SB_ERROR_IO, "journal %s: its folder cannot be written: %s", x->journal_path,
                    g_strerror(errno));
        return NULL;
    }
    if (disk.free < DISK_ROOM_MIN && !ballast_give_up(x->ballast)) {
        g_set_error(error, SB_ERROR, SB_ERROR_IO,
                    "journal %s: the disk is full: found %" G_GUINT64_FORMAT " bytes free, expected %u at least",
                    x->journal_path, disk.free, DISK_ROOM_MIN);
        return NULL;
    }
    g_autoptr(GError) first = NULL;
    struct journal *journal = journal_open(x->journal_path, x->node, &first);
    if (journal == NULL && ballast_give_up(x->ballast)) /* a quota is a full disk that does not look it */
        return journal_open(x->journal_path, x->node, error);
    if (journal == NULL)
        g_propagate_error(error, g_steal_pointer(&first));
    return journal;
}

static void set_unwritable(struct executor *x, const char *reason)
{
    pthread_mutex_lock(&x->condition_lock);
    g_free(x->unwritable);
    x->unwritable = g_strdup(reason);
    pthread_mutex_unlock(&x->condition_lock);
}

bool open_journal(struct executor *x, GError **error)
{
    g_autoptr(GError) why = NULL;
    x->journal = begin_journal(x, &why);
    if (x->journal == NULL && g_error_matches(why, SB_ERROR, SB_ERROR_IO))
        x->journal = journal_open_reading(x->journal_path, NULL);
    if (x->journal == NULL) {
        g_propagate_error(error, g_steal_pointer(&why));
        return false;
    }
    if (why != NULL) {
        log_error("the journal cannot be written: changes are refused, all else is served; it is tried each second",
                  "error=\"%s\"", why->message);
        set_unwritable(x, why->message);
    }
    return true;
}

/* Tries to get from reading to writing. */
static void try_reign(struct executor *x)
{
    g_autoptr(GError) error = NULL;
    struct journal *journal = begin_journal(x, &error);
    if (journal == NULL) {
        set_unwritable(x, error->message);
        return;
    }
    journal_close(x->journal);
    x->journal = journal;
    if (!restore_engine(x, &error)) /* its memory is half; a restart says the same or goes on */
        executor_die("journal cannot be read; ending", error);
    log_info("the journal can be written again: a new reign has begun", "epoch=%" G_GUINT64_FORMAT, journal->epoch);
    set_unwritable(x, NULL);
    struct begin begin = {.executor = x};
    struct turn turn;
    turn_begin(x, &turn);
    begin_reign(&begin, &turn);
    carry_out_or_end(x, &turn.effects);
    if (begin.error != NULL)
        log_warning("the plans that ship are not loaded; apply them by hand", "error=\"%s\"", begin.error->message);
    g_clear_error(&begin.error);
}

static char *disk_text(const struct executor *x, const struct disk *disk)
{
    double mib = (double)disk->free / (1 << 20);
    if (!ballast_kept(x->ballast) && disk->free / 2 < x->ballast_size)
        return g_strdup_printf("the disk of %s is too full for the ballast: %.1f MiB are free; make room", x->state_dir,
                               mib);
    if (disk->used_percent < DISK_USED_WARN)
        return NULL;
    return g_strdup_printf("the disk of %s is %u %% full: %.1f MiB are free", x->state_dir, disk->used_percent, mib);
}

static void look_at_disk(struct executor *x)
{
    g_autoptr(GError) error = NULL;
    struct disk disk;
    if (!disk_look(x->state_dir, &disk, NULL))
        return;
    if (x->unwritable == NULL && !ballast_make(x->ballast, &disk, &error))
        log_debug("no ballast", "error=\"%s\"", error->message);
    char *text = disk_text(x, &disk);
    if (text != NULL && !x->nearly_full)
        log_warning(text, "used_percent=%u", disk.used_percent);
    x->nearly_full = text != NULL;
    pthread_mutex_lock(&x->condition_lock);
    g_free(x->disk_warning);
    x->disk_warning = text;
    pthread_mutex_unlock(&x->condition_lock);
}

void look_at_condition(struct executor *x)
{
    g_autoptr(GError) error = NULL;
    if (loop_now_us() < x->condition_us)
        return;
    look_at_disk(x);
    if (x->unwritable != NULL)
        try_reign(x);
    else if (!x->journal->ops->reigns(x->journal, &error) && g_error_matches(error, SB_ERROR, SB_ERROR_STALE))
        executor_die("another server leads; ending, nothing more is written or answered", error);
    x->condition_us = loop_now_us() + CONDITION_US;
}

char *executor_unwritable(struct executor *x)
{
    pthread_mutex_lock(&x->condition_lock);
    char *reason = g_strdup(x->unwritable);
    pthread_mutex_unlock(&x->condition_lock);
    return reason;
}

json_t *executor_webhook_figures(struct executor *x)
{
    return outgoing_figures(x->outgoing);
}

void executor_warn(struct executor *x, json_t *warnings)
{
    g_autofree char *trouble = x->recorder != NULL ? recorder_trouble(x->recorder) : NULL;
    if (trouble != NULL) {
        g_autofree char *text = g_strdup_printf("the black box does not record: %s", trouble);
        json_array_append_new(warnings, json_string(text));
    }
    outgoing_warn(x->outgoing, warnings);
    pthread_mutex_lock(&x->condition_lock);
    if (x->unwritable != NULL) {
        g_autofree char *text = g_strdup_printf("the journal cannot be written, so changes are refused and what runs "
                                                "stands still: %s",
                                                x->unwritable);
        json_array_append_new(warnings, json_string(text));
    }
    if (x->disk_warning != NULL)
        json_array_append_new(warnings, json_string(x->disk_warning));
    pthread_mutex_unlock(&x->condition_lock);
}
