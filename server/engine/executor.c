#include "server/engine/executor.h"

#include "core/error.h"
#include "core/fileio.h"
#include "core/log.h"
#include "core/loop.h"
#include "server/engine/failpoint.h"
#include "server/engine/first_start.h"
#include "server/engine/nameservers.h"
#include "server/engine/publication.h"
#include "server/store/journal.h"
#include "server/store/outbox.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sodium.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

/* Somebody who waits for news. */
struct watcher {
    turn_ready_fn ready;
    turn_done_fn done;
    void *data;
    int64_t until_us;
};

struct executor {
    char *journal_path, *store_url, *runbooks_dir;
    unsigned node;
    int lock_fd;
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

static void write_journal(struct executor *x, const GPtrArray *entries)
{
    GError *error = NULL;
    FAIL_POINT("before-journal");
    enum journal_result result = x->journal->ops->append(x->journal, x->journal->epoch, entries, wall_now_us(), &error);
    if (result == JOURNAL_FAILED)
        die("journal cannot be written; ending, a restart goes on from what is durable", error);
    if (result == JOURNAL_REPEATED)
        die("the journal has this effect already; ending, a restart goes on from what is durable", NULL);
    x->committed_us = wall_now_us();
    FAIL_POINT("after-journal");
    x->news = true;
    outbox_wake(x->outbox);
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

static void carry_out(struct executor *x, struct effects *effects)
{
    struct effect *effect;
    while ((effect = effects_pop(effects)) != NULL) {
        if (effect->kind == EFFECT_JOURNAL)
            write_journal(x, effect->entries);
        else
            publish(x, effect->resolved);
        effect_free(effect);
    }
}

/* ---- turns ---- */

static void turn_begin(struct executor *x, struct turn *turn)
{
    turn->engine = x->engine;
    turn->now = (struct now){loop_now_us(), wall_now_us()};
    effects_init(&turn->effects);
}

/* Asks one who waits; true when that is over. */
static bool ask(struct executor *x, const struct watcher *watcher, bool last)
{
    struct turn turn;
    turn_begin(x, &turn);
    bool over = watcher->ready(watcher->data, &turn, last || turn.now.us >= watcher->until_us);
    carry_out(x, &turn.effects);
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
    int64_t at_us = x->engine_wants_us;
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
    carry_out(x, &effects);
    bool news = x->news;
    x->news = false;
    ask_watchers(x, news, false);
    arm(x);
}

static void run_timer(void *data)
{
    turn_end(data);
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
        carry_out(x, &turn.effects);
        if (x->news)
            FAIL_POINT("before-reply");
        if (job->done != NULL)
            job->done(job->data);
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

static bool lock_state(struct executor *x, const char *state_dir, GError **error)
{
    g_autofree char *path = g_strdup_printf("%s/lock", state_dir);
    x->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (x->lock_fd >= 0 && flock(x->lock_fd, LOCK_EX | LOCK_NB) == 0)
        return true;
    g_set_error(error, SB_ERROR, errno == EWOULDBLOCK ? SB_ERROR_CONFLICT : SB_ERROR_IO, "state folder %s: %s",
                state_dir, errno == EWOULDBLOCK ? "another signalboxd uses it" : g_strerror(errno));
    return false;
}

static bool restore_entry(void *data, const struct journal_entry *entry, GError **error)
{
    struct executor *x = data;
    if (strcmp(entry->kind, "token") != 0)
        return engine_restore(x->engine, entry, error);
    return x->restore == NULL || x->restore(x->restore_data, entry, error);
}

static bool open_all(struct executor *x, const struct executor_config *config, GError **error)
{
    if (!file_mkdir(config->state_dir, 0700, error) || !lock_state(x, config->state_dir, error) ||
        (x->journal = journal_open(x->journal_path, config->node, error)) == NULL)
        return false;
    struct engine_config engine = {.cluster = (char *)config->cluster,
                                   .rules = {.share_moved_max = RULES_SHARE_MOVED_MAX}};
    engine.wall_offset_us = wall_now_us() - loop_now_us();
    randombytes_buf(&engine.seed, sizeof engine.seed);
    x->engine = engine_new(&engine);
    return x->journal->ops->replay(x->journal, restore_entry, x, error) && (x->loop = loop_new(error)) != NULL;
}

struct executor *executor_new(const struct executor_config *config, GError **error)
{
    struct executor *x = g_new0(struct executor, 1);
    x->lock_fd = -1;
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
    pthread_mutex_init(&x->listener_lock, NULL);
    if (open_all(x, config, error)) {
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
    engine_start(turn->engine, x->journal->epoch, turn->now.us, &turn->effects);
    carry_out(x, &turn->effects);
    first_start_load_plans(x->runbooks_dir, turn, &begin->error);
}

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
    if (x->lock_fd >= 0)
        close(x->lock_fd);
    g_ptr_array_unref(x->watchers);
    pthread_mutex_destroy(&x->listener_lock);
    g_free(x->journal_path);
    g_free(x->store_url);
    g_free(x->runbooks_dir);
    g_free(x);
}

const char *executor_journal_path(const struct executor *x)
{
    return x->journal_path;
}

struct resolved *executor_resolved(struct executor *x)
{
    return publication_get(x->publication);
}

GBytes *executor_part(struct executor *x, const char *hash, struct resolved **owner)
{
    return publication_part(x->publication, hash, owner);
}

void executor_on_publish(struct executor *x, void (*fn)(void *data), void *data)
{
    pthread_mutex_lock(&x->listener_lock);
    x->listener = fn;
    x->listener_data = data;
    pthread_mutex_unlock(&x->listener_lock);
}
