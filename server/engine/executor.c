#include "server/engine/executor.h"

#include "core/error.h"
#include "core/failpoint.h"
#include "core/fileio.h"
#include "core/log.h"
#include "core/sdnotify.h"
#include "core/loop.h"
#include "server/engine/executor_internal.h"
#include "server/engine/first_start.h"

#include <sodium.h>
#include <string.h>

/* Between two looks at what has begun or is over. It takes a while on a large site, where edges report all the time; an
 * entrance that went down or came back is not left waiting. */
#define ALARMS_US (G_USEC_PER_SEC / 2)
#define ALARMS_FLIPPED_US (G_USEC_PER_SEC / 20)

struct job {
    struct executor *executor;
    turn_fn work;        /* or NULL */
    turn_ready_fn ready; /* or NULL */
    turn_done_fn done;
    void *data;
    int64_t until_us;
};

/* ---- turns ---- */

void turn_begin(struct executor *x, struct turn *turn)
{
    check_lease(x);
    turn->engine = x->engine;
    turn->unwritable = x->unwritable;
    turn->now = (struct now){loop_now_us(), wall_now_us()};
    turn->also = NULL;
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
    int64_t at_us = MIN(MIN(x->engine_wants_us, x->condition_us), x->alarms_us);
    for (guint i = 0; i < x->watchers->len; i++)
        at_us = MIN(at_us, ((const struct watcher *)x->watchers->pdata[i])->until_us);
    loop_timer_arm(x->timer, at_us);
}

/* Those that have begun or are over are written, so that webhooks tell them. */
static void look_at_alarms(struct executor *x)
{
    struct now now = {loop_now_us(), wall_now_us()};
    int64_t flipped_us = engine_observed(x->engine)->flipped_us;
    if (flipped_us != x->alarms_flipped_us)
        x->alarms_us = MIN(x->alarms_us, x->alarms_looked_us + ALARMS_FLIPPED_US);
    if (now.us < x->alarms_us)
        return;
    x->alarms_flipped_us = flipped_us;
    x->alarms_looked_us = now.us;
    x->alarms_us = now.us + ALARMS_US;
    if (x->unwritable != NULL || engine_world(x->engine) == NULL)
        return;
    json_t *alarms = engine_alarms(x->engine, now.us);
    x->also = alarm_book_look(x->alarms, alarms, now);
    json_decref(alarms);
}

void executor_mark_alarms(struct executor *x, json_t *alarms)
{
    alarm_book_mark(x->alarms, alarms);
}

struct journal_entry *executor_acknowledge(struct executor *x, const char *key, const struct asker *asker,
                                           const struct turn *turn, GError **error)
{
    json_t *alarms = engine_alarms(turn->engine, turn->now.us);
    struct journal_entry *entry = alarm_book_acknowledge(x->alarms, alarms, key, asker, turn->now, error);
    json_decref(alarms);
    return entry;
}

/* What follows every turn: the engine goes on with what has become possible, who waits hears of it. */
static void turn_end(struct executor *x)
{
    struct effects effects;
    effects_init(&effects);
    x->engine_wants_us = engine_tick(x->engine, loop_now_us(), &effects);
    look_at_alarms(x);
    carry_out_or_end(x, &effects);
    int64_t flipped_us = engine_observed(x->engine)->flipped_us;
    bool news = x->news || flipped_us != x->flipped_us;
    x->news = false;
    x->flipped_us = flipped_us;
    ask_watchers(x, news, false);
    if (x->recorder != NULL)
        recorder_turn(x->recorder, x->engine);
    arm(x);
}

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
        x->also = turn.also;
        bool ok = carry_out(x, &turn.effects);
        if (x->news)
            FAIL_POINT(BEFORE_REPLY, "");
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

/* ---- name servers, registries ---- */

static void take_report(void *data, struct turn *turn)
{
    struct server_report *report = data;
    const struct server_report *before = observed_server(engine_observed(turn->engine), report->server);
    bool same = before != NULL && stamp_compare(before->confirmed, report->confirmed) == 0;
    report->at_us = turn->now.us;
    report->confirmed_at_us = same ? before->confirmed_at_us : turn->now.us;
    engine_server_report(turn->engine, report, turn->now.us, &turn->effects);
}

/* On a driver's thread; takes what the report points to. */
static void submit_report(struct executor *x, struct server_report report)
{
    executor_submit(x, take_report, NULL, g_memdup2(&report, sizeof report));
}

static void on_dns_report(void *data, const char *server, const struct dns_status *status)
{
    submit_report(data, (struct server_report){.server = g_strdup(server),
                                               .confirmed = status->confirmed,
                                               .state = g_strdup(status->state),
                                               .error = g_strdup(status->error),
                                               .names = status->names,
                                               .residual_until_us = status->residual_until_us});
}

static void on_registry_report(void *data, const char *registry, const struct registry_status *status)
{
    submit_report(data, (struct server_report){.server = registry_server(registry),
                                               .confirmed = status->confirmed,
                                               .state = g_strdup(status->state),
                                               .error = g_strdup(status->error),
                                               .names = status->names});
}

/* ---- golden transactions ---- */

static void take_transactions(void *data, struct turn *turn)
{
    engine_transactions_done(turn->engine, data, turn->now.us, &turn->effects);
}

static void drop_json(void *data)
{
    json_decref(data);
}

/* Not in the midst of a turn, whose effect it may be that is over at once. */
static void on_transactions(void *data, const json_t *result)
{
    executor_submit(data, take_transactions, drop_json, json_incref((json_t *)(uintptr_t)result));
}

/* ---- the outside ---- */

static void take_answer(void *data, struct turn *turn)
{
    engine_call_report(turn->engine, data, turn->now.us, &turn->effects);
}

static void on_answered(void *data, json_t *result)
{
    executor_submit(data, take_answer, drop_json, result);
}

struct disabling {
    char *webhook, *why;
    int64_t since_us;
};

static void take_disabled(void *data, struct turn *turn)
{
    const struct disabling *disabling = data;
    const struct asker asker = {.actor = "signalboxd", .reason = disabling->why, .automatic = true};
    if (turn->unwritable == NULL) /* else it comes again */
        engine_journal(
            turn->engine,
            journal_entry_new("webhook", disabling->webhook, NULL,
                              json_pack("{s:s, s:I, s:I}", "disabled", disabling->why, "since_us",
                                        (json_int_t)disabling->since_us, "at_us", (json_int_t)turn->now.wall_us)),
            "webhook disabled", &asker, turn->now, &turn->effects);
}

static void drop_disabling(void *data)
{
    struct disabling *disabling = data;
    g_free(disabling->webhook);
    g_free(disabling->why);
    g_free(disabling);
}

static void on_disabled(void *data, const char *webhook, const char *why, int64_t since_us)
{
    struct disabling *disabling = g_new(struct disabling, 1);
    *disabling = (struct disabling){g_strdup(webhook), g_strdup(why), since_us};
    executor_submit(data, take_disabled, drop_disabling, disabling);
}

void executor_retry_webhook(struct executor *x, const char *webhook)
{
    outgoing_retry(x->outgoing, webhook);
}

static bool start_outgoing(struct executor *x, GError **error)
{
    const struct outgoing_config config = {.cluster = x->cluster,
                                           .state_dir = x->state_dir,
                                           .journal_path = x->journal_path,
                                           .keys_dir = x->keys_dir,
                                           .allow = x->call_allow,
                                           .answered = on_answered,
                                           .disabled = on_disabled,
                                           .data = x};
    x->outgoing = outgoing_new(&config, error);
    return x->outgoing != NULL;
}

/* ---- life ---- */

static bool restore_entry(void *data, const struct journal_entry *entry, GError **error)
{
    struct executor *x = data;
    static const char *const theirs[] = {"token", "session", "answer", NULL};
    if (strcmp(entry->kind, "alarm") == 0)
        return alarm_book_restore(x->alarms, entry, error);
    if (!g_strv_contains(theirs, entry->kind))
        return engine_restore(x->engine, entry, error);
    return x->restore == NULL || x->restore(x->restore_data, entry, error);
}

bool restore_engine(struct executor *x, GError **error)
{
    struct engine_config engine = {.cluster = x->cluster, .rules = {.share_moved_max = RULES_SHARE_MOVED_MAX}};
    engine.wall_offset_us = wall_now_us() - loop_now_us();
    randombytes_buf(&engine.seed, sizeof engine.seed);
    if (x->recorder != NULL)
        engine.told = recorder_told, engine.told_data = x->recorder;
    engine_free(x->engine);
    x->engine = engine_new(&engine);
    return x->journal->ops->replay(x->journal, restore_entry, x, error);
}

/* Not before the folder is ours. */
static void start_recorder(struct executor *x, const struct executor_config *config)
{
    if (config->record_size == 0)
        return;
    x->recordings = g_build_filename(x->state_dir, "recordings", NULL);
    const struct recorder_config recorder = {
        .folder = x->recordings, .size_max = config->record_size, .age_max_us = config->record_us};
    x->recorder = recorder_new(&recorder);
}

static bool open_all(struct executor *x, const struct executor_config *config, GError **error)
{
    return file_mkdir(x->state_dir, 0700, error) && (x->lease = lease_open_folder(x->state_dir, error)) != NULL &&
           (x->ballast = ballast_new(x->state_dir, x->ballast_size)) != NULL && open_journal(x, error) &&
           (start_recorder(x, config), restore_engine(x, error)) && (x->loop = loop_new(error)) != NULL &&
           (x->transactions = transactions_new(x->loop, on_transactions, x, error)) != NULL;
}

static void init_locks(struct executor *x)
{
    loop_cond_init(&x->answered);
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
    x->keys_dir = g_strdup(config->keys_dir);
    x->call_allow = g_strdup(config->call_allow);
    x->node = config->node;
    x->restore = config->restore;
    x->restore_data = config->restore_data;
    x->watchers = g_ptr_array_new_with_free_func(g_free);
    x->alarms = alarm_book_new();
    x->publication = publication_new();
    x->nameservers = nameservers_new(config->keys_dir, on_dns_report, x);
    x->registries = registries_new(config->keys_dir, on_registry_report, x);
    x->engine_wants_us = INT64_MAX;
    init_locks(x);
    if (open_all(x, config, error)) {
        x->timer = loop_timer_new(x->loop, run_timer, x);
        return x;
    }
    executor_free(x);
    return NULL;
}

static void *run(void *data)
{
    struct executor *x = data;
    struct notify_watchdog *watchdog = notify_watchdog_new(x->loop);
    loop_run(x->loop);
    notify_watchdog_free(watchdog);
    return NULL;
}

void begin_reign(void *data, struct turn *turn)
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

bool executor_start(struct executor *x, GError **error)
{
    if ((x->outbox = outbox_new(x->journal_path, x->store_url, x->node, error)) == NULL || !start_outgoing(x, error))
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
    outgoing_free(x->outgoing);
    x->outgoing = NULL;
    registries_free(x->registries);
    x->registries = NULL;
    transactions_free(x->transactions);
    x->transactions = NULL;
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
    outgoing_free(x->outgoing);
    registries_free(x->registries);
    transactions_free(x->transactions);
    outbox_free(x->outbox);
    loop_timer_free(x->timer);
    loop_free(x->loop);
    if (x->engine != NULL)
        engine_free(x->engine);
    recorder_free(x->recorder);
    alarm_book_free(x->alarms);
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
    g_free(x->recordings);
    g_free(x->runbooks_dir);
    g_free(x->keys_dir);
    g_free(x->call_allow);
    g_free(x);
}

const struct histogram *executor_append_times(const struct executor *x)
{
    return &x->append_times;
}

const char *executor_recordings(const struct executor *x)
{
    return x->recordings;
}

bool executor_flush_recording(struct executor *x, int64_t wait_us)
{
    return x->recorder == NULL || recorder_flush(x->recorder, wait_us);
}

const char *executor_store_url(const struct executor *x)
{
    return x->store_url;
}

unsigned executor_node(const struct executor *x)
{
    return x->node;
}

uint64_t executor_writes(const struct executor *x)
{
    return atomic_load(&x->writes);
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

struct resolved *executor_look(struct executor *x)
{
    if (loop_now_us() - atomic_load(&x->lease_us) > LEASE_AGE_US)
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
