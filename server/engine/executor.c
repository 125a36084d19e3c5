#include "server/engine/executor.h"

#include "core/error.h"
#include "core/fileio.h"
#include "core/log.h"
#include "core/loop.h"
#include "server/engine/failpoint.h"
#include "server/engine/first_start.h"
#include "server/engine/lease.h"
#include "server/engine/nameservers.h"
#include "server/engine/publication.h"
#include "server/store/ballast.h"
#include "server/store/journal.h"
#include "server/store/outbox.h"

#include <errno.h>
#include <pthread.h>
#include <sodium.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define CONDITION_US G_USEC_PER_SEC /* between two looks at disk, lease and reign */
#define ANSWER_WAIT_MS 500          /* for an asker to be told that the journal failed */

/* Somebody who waits for news. */
struct watcher {
    turn_ready_fn ready;
    turn_done_fn done;
    void *data;
    int64_t until_us;
};

struct executor {
    char *cluster, *state_dir, *journal_path, *store_url, *runbooks_dir;
    unsigned node;
    struct lease *lease;
    bool (*restore)(void *data, const struct journal_entry *entry, GError **error);
    void *restore_data;

    /* The engine thread's. */
    struct journal *journal;
    struct engine *engine;
    struct nameservers *nameservers;
    GPtrArray *watchers;  /* struct watcher * */
    bool released;        /* nobody waits any more */
    bool news;            /* this turn wrote to the journal */
    int64_t committed_us; /* wall clock when its newest commit returned */
    struct loop *loop;
    struct loop_timer *timer;
    int64_t engine_wants_us; /* when the engine wants its next tick */
    int64_t condition_us;    /* when to look at the condition next */
    struct ballast *ballast;
    uint64_t ballast_size;
    char *failed;     /* why this turn's write failed, or NULL */
    bool nearly_full; /* it was said */

    /* The condition, for others. */
    pthread_mutex_t condition_lock;
    pthread_cond_t answered; /* on CLOCK_MONOTONIC */
    char *unwritable;        /* or NULL; changed by the engine's thread only */
    char *disk_warning;      /* or NULL */
    unsigned unanswered;     /* askers that are being told of a failure */

    struct histogram append_times; /* any thread */
    struct outbox *outbox;
    struct publication *publication;
    pthread_t thread;
    bool started;
    pthread_mutex_t listener_lock;
    void (*listener)(void *data);
    void *listener_data;
};

struct job {
    struct executor *executor;
    turn_fn work;        /* or NULL */
    turn_ready_fn ready; /* or NULL */
    turn_done_fn done;
    void *data;
    int64_t until_us;
};

/* ---- effects ---- */

static void die(const char *what, const GError *error)
{
    log_error(what, "error=\"%s\"", error != NULL ? error->message : "");
    _exit(EXIT_FAILURE); /* no handler may run: it could write again */
}

static void check_lease(struct executor *x)
{
    g_autoptr(GError) error = NULL;
    if (!x->lease->ops->held(x->lease, &error))
        die("another server may lead; ending, nothing more is written or answered", error);
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
        die("another server leads; ending, nothing was written", error);
    if (result == JOURNAL_REPEATED)
        die("the journal has this effect already; ending, a restart goes on from what is durable", NULL);
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

/* False: as write_journal; what was left is dropped. */
static bool carry_out(struct executor *x, struct effects *effects)
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

/* For turns that nobody asked for. */
static void carry_out_or_end(struct executor *x, struct effects *effects)
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

/* When the asker has been told, or cannot be. */
static void end_failed(struct executor *x)
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

/* ---- turns ---- */

static void turn_begin(struct executor *x, struct turn *turn)
{
    check_lease(x);
    turn->engine = x->engine;
    turn->unwritable = x->unwritable;
    turn->now = (struct now){loop_now_us(), wall_now_us()};
    effects_init(&turn->effects);
}

/* Asks one who waits; true when that is over. */
static bool ask(struct executor *x, const struct watcher *watcher, bool last)
{
    struct turn turn;
    turn_begin(x, &turn);
    bool over = watcher->ready(watcher->data, &turn, last || turn.now.us >= watcher->until_us);
    carry_out_or_end(x, &turn.effects);
    if (over)
        watcher->done(watcher->data);
    return over;
}

static void ask_watchers(struct executor *x, bool all, bool last)
{
    int64_t now = loop_now_us();
    for (guint i = 0; i < x->watchers->len;) {
        const struct watcher *watcher = x->watchers->pdata[i];
        if ((all || now >= watcher->until_us) && ask(x, watcher, last))
            g_ptr_array_remove_index_fast(x->watchers, i);
        else
            i++;
    }
}

static void arm(struct executor *x)
{
    int64_t at_us = MIN(x->engine_wants_us, x->condition_us);
    for (guint i = 0; i < x->watchers->len; i++)
        at_us = MIN(at_us, ((const struct watcher *)x->watchers->pdata[i])->until_us);
    loop_timer_arm(x->timer, at_us);
}

/* What follows every turn: the engine goes on with what has become possible, who waits hears of it. */
static void turn_end(struct executor *x)
{
    struct effects effects;
    effects_init(&effects);
    x->engine_wants_us = engine_tick(x->engine, loop_now_us(), &effects);
    carry_out_or_end(x, &effects);
    bool news = x->news;
    x->news = false;
    ask_watchers(x, news, false);
    arm(x);
}

static void look_at_condition(struct executor *x);

static void run_timer(void *data)
{
    struct executor *x = data;
    check_lease(x);
    look_at_condition(x);
    turn_end(x);
}

static void run_job(void *data)
{
    struct job *job = data;
    struct executor *x = job->executor;
    if (job->ready != NULL) {
        struct watcher watcher = {job->ready, job->done, job->data, job->until_us};
        if (!ask(x, &watcher, x->released)) {
            struct watcher *kept = g_new(struct watcher, 1);
            *kept = watcher;
            g_ptr_array_add(x->watchers, kept);
        }
    } else {
        struct turn turn;
        turn_begin(x, &turn);
        job->work(job->data, &turn);
        bool ok = carry_out(x, &turn.effects);
        if (x->news)
            FAIL_POINT("before-reply");
        if (job->done != NULL)
            job->done(job->data);
        if (!ok)
            end_failed(x);
    }
    g_free(job);
    turn_end(x);
}

static void post(struct executor *x, struct job job)
{
    struct job *kept = g_new(struct job, 1);
    *kept = job;
    kept->executor = x;
    loop_post(x->loop, run_job, kept);
}

void executor_submit(struct executor *x, turn_fn work, turn_done_fn done, void *data)
{
    post(x, (struct job){.work = work, .done = done, .data = data});
}

void executor_submit_when(struct executor *x, turn_ready_fn ready, int64_t until_us, turn_done_fn done, void *data)
{
    post(x, (struct job){.ready = ready, .done = done, .data = data, .until_us = until_us});
}

/* Work that the caller waits for. */
struct call {
    turn_fn work;
    void *data;
    pthread_mutex_t lock;
    pthread_cond_t cond;
    bool done; /* under lock */
};

static void call_work(void *data, struct turn *turn)
{
    struct call *call = data;
    call->work(call->data, turn);
}

static void call_done(void *data)
{
    struct call *call = data;
    pthread_mutex_lock(&call->lock);
    call->done = true;
    pthread_cond_signal(&call->cond);
    pthread_mutex_unlock(&call->lock);
}

static void call_and_wait(struct executor *x, turn_fn work, void *data)
{
    struct call call = {.work = work, .data = data};
    pthread_mutex_init(&call.lock, NULL);
    pthread_cond_init(&call.cond, NULL);
    executor_submit(x, call_work, call_done, &call);
    pthread_mutex_lock(&call.lock);
    while (!call.done)
        pthread_cond_wait(&call.cond, &call.lock);
    pthread_mutex_unlock(&call.lock);
    pthread_cond_destroy(&call.cond);
    pthread_mutex_destroy(&call.lock);
}

static void release(void *data, struct turn *turn)
{
    struct executor *x = data;
    (void)turn;
    x->released = true;
    ask_watchers(x, true, true);
}

void executor_release(struct executor *x)
{
    call_and_wait(x, release, x);
}

/* ---- name servers ---- */

struct dns_report {
    struct executor *executor;
    struct server_report report;
};

static void take_dns_report(void *data, struct turn *turn)
{
    struct dns_report *job = data;
    const struct server_report *before = observed_server(engine_observed(turn->engine), job->report.nameserver);
    struct server_report *report = g_new(struct server_report, 1);
    *report = job->report;
    report->at_us = turn->now.us;
    bool same = before != NULL && stamp_compare(before->confirmed, report->confirmed) == 0;
    report->confirmed_at_us = same ? before->confirmed_at_us : turn->now.us;
    engine_server_report(turn->engine, report, turn->now.us, &turn->effects);
}

static void on_dns_report(void *data, const char *server, const struct dns_status *status)
{
    struct dns_report *job = g_new(struct dns_report, 1);
    *job = (struct dns_report){
        .executor = data,
        .report = {.nameserver = g_strdup(server),
                   .confirmed = status->confirmed,
                   .state = g_strdup(status->state),
                   .error = g_strdup(status->error),
                   .names = status->names,
                   .residual_until_us = status->residual_until_us},
    };
    executor_submit(data, take_dns_report, g_free, job);
}

/* ---- life ---- */

static bool restore_entry(void *data, const struct journal_entry *entry, GError **error)
{
    struct executor *x = data;
    if (strcmp(entry->kind, "token") != 0)
        return engine_restore(x->engine, entry, error);
    return x->restore == NULL || x->restore(x->restore_data, entry, error);
}

/* An engine with what x->journal holds. */
static bool restore_engine(struct executor *x, GError **error)
{
    struct engine_config engine = {.cluster = x->cluster, .rules = {.share_moved_max = RULES_SHARE_MOVED_MAX}};
    engine.wall_offset_us = wall_now_us() - loop_now_us();
    randombytes_buf(&engine.seed, sizeof engine.seed);
    engine_free(x->engine);
    x->engine = engine_new(&engine);
    return x->journal->ops->replay(x->journal, restore_entry, x, error);
}

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

/* For a reign, else for reading. */
static bool open_journal(struct executor *x, GError **error)
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

static bool open_all(struct executor *x, GError **error)
{
    return file_mkdir(x->state_dir, 0700, error) && (x->lease = lease_open_folder(x->state_dir, error)) != NULL &&
           (x->ballast = ballast_new(x->state_dir, x->ballast_size)) != NULL && open_journal(x, error) &&
           restore_engine(x, error) && (x->loop = loop_new(error)) != NULL;
}

static void init_locks(struct executor *x)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&x->answered, &attr);
    pthread_condattr_destroy(&attr);
    pthread_mutex_init(&x->condition_lock, NULL);
    pthread_mutex_init(&x->listener_lock, NULL);
}

struct executor *executor_new(const struct executor_config *config, GError **error)
{
    struct executor *x = g_new0(struct executor, 1);
    x->cluster = g_strdup(config->cluster);
    x->state_dir = g_strdup(config->state_dir);
    x->ballast_size = config->ballast_size;
    x->journal_path = g_strdup_printf("%s/journal.db", config->state_dir);
    x->store_url = g_strdup(config->store_url);
    x->runbooks_dir = g_strdup(config->runbooks_dir);
    x->node = config->node;
    x->restore = config->restore;
    x->restore_data = config->restore_data;
    x->watchers = g_ptr_array_new_with_free_func(g_free);
    x->publication = publication_new();
    x->nameservers = nameservers_new(config->keys_dir, on_dns_report, x);
    x->engine_wants_us = INT64_MAX;
    init_locks(x);
    if (open_all(x, error)) {
        x->timer = loop_timer_new(x->loop, run_timer, x);
        return x;
    }
    executor_free(x);
    return NULL;
}

static void *run(void *data)
{
    loop_run(((struct executor *)data)->loop);
    return NULL;
}

struct begin {
    struct executor *executor;
    GError *error;
};

static void begin_reign(void *data, struct turn *turn)
{
    struct begin *begin = data;
    struct executor *x = begin->executor;
    if (x->unwritable != NULL) {
        engine_start_reading(turn->engine, turn->now.us, &turn->effects);
        return;
    }
    engine_start(turn->engine, x->journal->epoch, turn->now.us, &turn->effects);
    carry_out_or_end(x, &turn->effects);
    first_start_load_plans(x->runbooks_dir, turn, &begin->error);
}

/* ---- condition ---- */

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
        die("journal cannot be read; ending", error);
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

static void look_at_condition(struct executor *x)
{
    g_autoptr(GError) error = NULL;
    if (loop_now_us() < x->condition_us)
        return;
    look_at_disk(x);
    if (x->unwritable != NULL)
        try_reign(x);
    else if (!x->journal->ops->reigns(x->journal, &error) && g_error_matches(error, SB_ERROR, SB_ERROR_STALE))
        die("another server leads; ending, nothing more is written or answered", error);
    x->condition_us = loop_now_us() + CONDITION_US;
}

char *executor_unwritable(struct executor *x)
{
    pthread_mutex_lock(&x->condition_lock);
    char *reason = g_strdup(x->unwritable);
    pthread_mutex_unlock(&x->condition_lock);
    return reason;
}

void executor_warn(struct executor *x, json_t *warnings)
{
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

/* ---- start and end ---- */

bool executor_start(struct executor *x, GError **error)
{
    if ((x->outbox = outbox_new(x->journal_path, x->store_url, x->node, error)) == NULL)
        return false;
    int rc = pthread_create(&x->thread, NULL, run, x);
    if (rc != 0) {
        g_set_error(error, SB_ERROR, SB_ERROR_IO, "cannot start the engine's thread: %s", g_strerror(rc));
        return false;
    }
    x->started = true;
    struct begin begin = {.executor = x};
    call_and_wait(x, begin_reign, &begin);
    if (begin.error != NULL)
        g_propagate_error(error, begin.error);
    return begin.error == NULL;
}

static void stop_loop(void *data)
{
    loop_stop(((struct executor *)data)->loop);
}

/* Drivers are joined here; what they reported last stands in the queue before stop_loop. */
static void stop(void *data, struct turn *turn)
{
    struct executor *x = data;
    (void)turn;
    nameservers_free(x->nameservers);
    x->nameservers = NULL;
    loop_post(x->loop, stop_loop, x);
}

void executor_free(struct executor *x)
{
    if (x == NULL)
        return;
    if (x->started) {
        executor_release(x);
        executor_submit(x, stop, NULL, x);
        pthread_join(x->thread, NULL);
    }
    nameservers_free(x->nameservers);
    outbox_free(x->outbox);
    loop_timer_free(x->timer);
    loop_free(x->loop);
    if (x->engine != NULL)
        engine_free(x->engine);
    publication_free(x->publication);
    journal_close(x->journal);
    ballast_free(x->ballast);
    lease_close(x->lease);
    g_ptr_array_unref(x->watchers);
    pthread_mutex_destroy(&x->listener_lock);
    pthread_mutex_destroy(&x->condition_lock);
    pthread_cond_destroy(&x->answered);
    g_free(x->unwritable);
    g_free(x->disk_warning);
    g_free(x->cluster);
    g_free(x->state_dir);
    g_free(x->journal_path);
    g_free(x->store_url);
    g_free(x->runbooks_dir);
    g_free(x);
}

const struct histogram *executor_append_times(const struct executor *x)
{
    return &x->append_times;
}

const char *executor_journal_path(const struct executor *x)
{
    return x->journal_path;
}

struct resolved *executor_resolved(struct executor *x)
{
    check_lease(x);
    return publication_get(x->publication);
}

GBytes *executor_part(struct executor *x, const char *hash, struct resolved **owner)
{
    check_lease(x);
    return publication_part(x->publication, hash, owner);
}

void executor_on_publish(struct executor *x, void (*fn)(void *data), void *data)
{
    pthread_mutex_lock(&x->listener_lock);
    x->listener = fn;
    x->listener_data = data;
    pthread_mutex_unlock(&x->listener_lock);
}
