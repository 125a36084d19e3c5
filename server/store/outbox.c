#include "server/store/outbox.h"

#include "core/auto.h"
#include "core/error.h"
#include "core/log.h"
#include "core/loop.h"
#include "server/store/db.h"
#include "server/store/journal.h"
#include "server/store/store.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

#define BATCH_ROWS 256
#define RETRY_FIRST_S 1
#define RETRY_LAST_S 60

struct outbox {
    char *journal_path, *store_url;
    char *shown; /* the URL without passwords */
    unsigned node;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t cond; /* on CLOCK_MONOTONIC */
    bool pending;        /* new entries since the last look; under lock */
    bool stop;           /* under lock */
};

struct batch {
    struct store *store;
    uint64_t epoch, seq; /* of the last row put */
    unsigned n;
};

static bool put_row(void *data, const struct journal_row *row, GError **error)
{
    struct batch *batch = data;
    batch->epoch = row->epoch;
    batch->seq = row->seq;
    batch->n++;
    return store_put(batch->store, row, error);
}

struct found {
    uint64_t epoch, seq;
    bool restored; /* the entry that a restore begins with (backup.h) */
};

static bool see_row(void *data, const struct journal_row *row, GError **error)
{
    json_t *body = strcmp(row->kind, "generation") == 0 ? json_loads(row->body, 0, NULL) : NULL;
    (void)error;
    *(struct found *)data = (struct found){row->epoch, row->seq, json_is_true(json_object_get(body, "restored"))};
    json_decref(body);
    return true;
}

/* The store's position; a store that is ahead of the journal was filled from another one. Of a journal that was
 * restored it may hold entries that are lost there: all that follows them is new. */
static bool find_position(struct outbox *outbox, struct journal_reader *reader, struct store *store, uint64_t *seq,
                          GError **error)
{
    struct found found = {0};
    uint64_t epoch;
    if (!store_position(store, outbox->node, &epoch, seq, error))
        return false;
    if (*seq == 0)
        return true;
    if (!journal_read_after(reader, NULL, *seq - 1, 1, see_row, &found, error))
        return false;
    if ((found.seq == *seq && found.epoch == epoch) || (found.seq > *seq && found.restored))
        return true;
    g_set_error(error, SB_ERROR, SB_ERROR_CONFLICT,
                "store %s holds entry %" G_GUINT64_FORMAT " of epoch %" G_GUINT64_FORMAT
                " of server %u, which its journal has not: found the store of "
                "another site or a journal restored from an older copy",
                outbox->shown, *seq, epoch, outbox->node);
    return false;
}

/* One batch; *n is how many rows went. */
static bool drain_batch(struct outbox *outbox, struct journal_reader *reader, struct store *store, uint64_t *position,
                        unsigned *n, GError **error)
{
    struct batch batch = {.store = store};
    if (!store_begin(store, error))
        return false;
    if (!journal_read_after(reader, NULL, *position, BATCH_ROWS, put_row, &batch, error) ||
        (batch.n > 0 && !store_commit(store, outbox->node, batch.epoch, batch.seq, error))) {
        store_rollback(store);
        return false;
    }
    store_rollback(store); /* of a batch without rows; after a commit it does nothing */
    if (batch.n > 0)
        *position = batch.seq;
    *n = batch.n;
    return true;
}

/* Waits until there is something to do; false when the outbox is to end. */
static bool wait_pending(struct outbox *outbox)
{
    pthread_mutex_lock(&outbox->lock);
    while (!outbox->pending && !outbox->stop)
        pthread_cond_wait(&outbox->cond, &outbox->lock);
    bool go_on = outbox->pending;
    outbox->pending = false;
    pthread_mutex_unlock(&outbox->lock);
    return go_on;
}

/* Drains until an error; *told: the failure was logged. True when the outbox is to end. */
static bool drain(struct outbox *outbox, bool *told, GError **error)
{
    sb_auto(journal_reader) reader = journal_reader_open(outbox->journal_path, error);
    sb_auto(store) store = reader == NULL ? NULL : store_open(outbox->store_url, error);
    uint64_t position = 0;
    if (store == NULL || !find_position(outbox, reader, store, &position, error))
        return false;
    do {
        unsigned n;
        do {
            if (!drain_batch(outbox, reader, store, &position, &n, error))
                return false;
        } while (n > 0);
        if (*told)
            log_info("store answers again and has caught up", "seq=%" G_GUINT64_FORMAT, position);
        *told = false;
    } while (wait_pending(outbox));
    return true;
}

/* Waits before another try; true when the outbox is to end. */
static bool wait_retry(struct outbox *outbox, unsigned delay_s)
{
    struct timespec until = loop_deadline(delay_s * (int64_t)G_USEC_PER_SEC);
    pthread_mutex_lock(&outbox->lock);
    int rc = 0;
    while (!outbox->stop && rc != ETIMEDOUT)
        rc = pthread_cond_timedwait(&outbox->cond, &outbox->lock, &until);
    bool stop = outbox->stop;
    pthread_mutex_unlock(&outbox->lock);
    return stop;
}

static void *run(void *data)
{
    struct outbox *outbox = data;
    unsigned delay_s = RETRY_FIRST_S;
    bool told = false;
    for (;;) {
        g_autoptr(GError) error = NULL;
        bool was_told = told;
        if (drain(outbox, &told, &error))
            return NULL;
        if (was_told && !told) /* it had worked in between */
            delay_s = RETRY_FIRST_S;
        if (!told)
            log_warning("store cannot be written; the journal keeps everything and it is tried again",
                        "store=%s error=\"%s\"", outbox->shown, error->message);
        told = true;
        if (wait_retry(outbox, delay_s))
            return NULL;
        delay_s = MIN(delay_s * 2, RETRY_LAST_S);
    }
}

static void drop(struct outbox *outbox)
{
    pthread_cond_destroy(&outbox->cond);
    pthread_mutex_destroy(&outbox->lock);
    g_free(outbox->journal_path);
    g_free(outbox->store_url);
    g_free(outbox->shown);
    g_free(outbox);
}

struct outbox *outbox_new(const char *journal_path, const char *store_url, unsigned node, GError **error)
{
    struct outbox *outbox = g_new0(struct outbox, 1);
    outbox->journal_path = g_strdup(journal_path);
    outbox->store_url = g_strdup(store_url);
    outbox->shown = db_url_shown(store_url);
    outbox->node = node;
    outbox->pending = true;
    loop_cond_init(&outbox->cond);
    pthread_mutex_init(&outbox->lock, NULL);
    int rc = pthread_create(&outbox->thread, NULL, run, outbox);
    if (rc == 0)
        return outbox;
    g_set_error(error, SB_ERROR, SB_ERROR_IO, "cannot start the outbox thread: %s", g_strerror(rc));
    drop(outbox);
    return NULL;
}

void outbox_wake(struct outbox *outbox)
{
    pthread_mutex_lock(&outbox->lock);
    outbox->pending = true;
    pthread_cond_signal(&outbox->cond);
    pthread_mutex_unlock(&outbox->lock);
}

void outbox_free(struct outbox *outbox)
{
    if (outbox == NULL)
        return;
    pthread_mutex_lock(&outbox->lock);
    outbox->stop = true;
    pthread_cond_signal(&outbox->cond);
    pthread_mutex_unlock(&outbox->lock);
    pthread_join(outbox->thread, NULL);
    drop(outbox);
}
