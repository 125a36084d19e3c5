/* executor.h: the one thread that owns the engine, and everything that happens around it in order.
 *
 * Others hand it work; a turn is: the work runs on the engine, its effects are carried out (journal: durable before
 * anything else goes on; publish: agents, then name servers, then registries), the asker gets its answer, the engine
 * looks at the time. A write of the journal that fails ends the process with status 1: nothing is known about the disk
 * any more, and a restart restores from what is durable. The one who asked for it is told first, if that takes less
 * than half a second.
 *
 * A journal that cannot be written when the process starts (disk full or read-only, another program holds the
 * database) does not keep it down: it then serves what the journal holds, to agents too, under the epoch of the last
 * reign, takes reports, and refuses changes (turn.unwritable). Each second it tries to begin a reign, and goes on under
 * it without a restart.
 *
 * The lease (lease.h) is looked at before each turn, each write and each answer to agents, and where that was more than
 * LEASE_AGE_US ago, before what people read; who has lost it ends at once.
 *
 * Thread safety: all functions but executor_new, _start and _free may be called from any thread.
 */
#ifndef ENGINE_EXECUTOR_H
#define ENGINE_EXECUTOR_H

#include "core/histogram.h"
#include "server/interlocking/engine.h"

#define LEASE_AGE_US 100000

struct executor_config {
    const char *cluster;
    const char *state_dir;    /* holds journal.db, a lock and the ballast; made when absent */
    const char *store_url;    /* as db_open takes it */
    const char *keys_dir;     /* TSIG and signing keys, TLS files of registries, or NULL */
    const char *call_allow;   /* addresses besides public ones that hooks and webhooks may have (outside.h), or NULL */
    const char *runbooks_dir; /* plans for a journal that has none, or NULL */
    unsigned node;            /* 0..65535 */
    uint64_t ballast_size;    /* bytes; 0: none */
    uint64_t record_size;     /* bytes of the black box; 0: none */
    int64_t record_us;        /* that it goes back at most */
    /* Gets the entries that are not the engine's (kinds "token", "session", "answer") while the journal is restored;
     * may be NULL.
     */
    bool (*restore)(void *data, const struct journal_entry *entry, GError **error);
    void *restore_data;
};

struct executor;
/* Takes the lease, begins a reign (or finds that none can begin now) and restores the engine. SB_ERROR_CONFLICT when
 * another server has the folder. */
struct executor *executor_new(const struct executor_config *config, GError **error);
/* Starts the threads; returns when the first generation of the reign is published. */
bool executor_start(struct executor *executor, GError **error);
/* Carries out what was handed in, ends drivers and threads. Nobody may hand in work any more. NULL is allowed. */
void executor_free(struct executor *executor);

/* As configured; borrowed. The journal is STATE_DIR/journal.db. */
const char *executor_store_url(const struct executor *executor);
const char *executor_journal_path(const struct executor *executor);
unsigned executor_node(const struct executor *executor); /* this server's number */
/* How often the journal was written since the start. */
uint64_t executor_writes(const struct executor *executor);
/* Folder of the black box (recorder.h); NULL: nothing is recorded. */
const char *executor_recordings(const struct executor *executor);
/* Has it written what happened until now; false: it has not after wait_us. */
bool executor_flush_recording(struct executor *executor, int64_t wait_us);
/* How long appends to the journal took, those that failed too. */
const struct histogram *executor_append_times(const struct executor *executor);
/* Of all webhooks, webhooks.h; a new reference. */
json_t *executor_webhook_figures(struct executor *executor);
/* Why nothing can be written now, NULL: it can. g_free. */
char *executor_unwritable(struct executor *executor);
/* A webhook is tried now, also one that is disabled. */
void executor_retry_webhook(struct executor *executor, const char *webhook);
/* Of engine_alarms: adds who looks after each (alarm_book.h). The engine's thread. */
void executor_mark_alarms(struct executor *executor, json_t *alarms);
struct turn;
/* The asker looks after an alarm: the entry is to be journalled in this turn. SB_ERROR_NOT_FOUND: it does not last. The
 * engine's thread. */
struct journal_entry *executor_acknowledge(struct executor *executor, const char *key, const struct asker *asker,
                                           const struct turn *turn, GError **error);
/* Appends what a person should know about disk and journal to an array of texts. */
void executor_warn(struct executor *executor, json_t *warnings);

struct turn {
    struct engine *engine;
    struct now now;
    struct effects effects; /* what the work wants carried out; the engine's functions append to it */
    /* Why nothing can be written now: who wants to change something is to be refused. NULL: it can. Borrowed. */
    const char *unwritable;
    /* Of struct journal_entry *: what is the server's own and no effect of the engine, written in one transaction with
     * the first write of the work's effects, or in one of its own where they have none; not at all while nothing can be
     * written. Set by the work, taken when the effects are carried out; NULL: none. */
    GPtrArray *also;
};
/* Runs on the engine's thread. */
typedef void (*turn_fn)(void *data, struct turn *turn);
/* Runs on the engine's thread when the effects are carried out, or could not be: see executor_failed. */
typedef void (*turn_done_fn)(void *data);
/* For `done`: why this turn's write failed; NULL: it did not. Who gets a reason has to tell the asker, and call
 * executor_answered (any thread) when that is done: the process waits for it for a moment, then ends. */
const char *executor_failed(struct executor *executor);
void executor_answered(struct executor *executor);
void executor_submit(struct executor *executor, turn_fn work, turn_done_fn done, void *data);

/* For those that wait for news: runs `ready` now and after every turn that wrote to the journal or heard that an
 * entrance is down or back, until it returns true; then `done`. `last`: the time is up, or executor_release was called;
 * it will not be asked again. */
typedef bool (*turn_ready_fn)(void *data, struct turn *turn, bool last);
void executor_submit_when(struct executor *executor, turn_ready_fn ready, int64_t until_us, turn_done_fn done,
                          void *data);
/* All who wait are asked for the last time; returns when they are done. From then on nobody waits. */
void executor_release(struct executor *executor);

/* What is published, for agents; the caller unrefs. */
struct resolved *executor_resolved(struct executor *executor);
/* The same for people: another server may lead for LEASE_AGE_US by now. Many read, and a look at the lease takes a call
 * of the system. */
struct resolved *executor_look(struct executor *executor);
/* A part of this or of one of the last generations. *owner is what the part lives in; the caller unrefs it. NULL when
 * no generation that is kept has it. */
GBytes *executor_part(struct executor *executor, const char *hash, struct resolved **owner);
/* Called on the engine's thread after each publication. One listener; fn NULL ends it. */
void executor_on_publish(struct executor *executor, void (*fn)(void *data), void *data);

#endif
