/* executor_internal.h: what the executor's files share. executor.c has turns and life, executor_effects.c carries out
 * what the engine wants, executor_condition.c looks after journal and disk.
 *
 * Thread safety: all of it belongs to the engine's thread (until that runs, to the one that makes the executor), but
 * for what `struct executor` says of others.
 */
#ifndef ENGINE_EXECUTOR_INTERNAL_H
#define ENGINE_EXECUTOR_INTERNAL_H

#include "server/engine/executor.h"
#include "server/interlocking/alarm_book.h"
#include "server/store/lease.h"
#include "server/engine/nameservers.h"
#include "server/engine/outgoing.h"
#include "server/engine/publication.h"
#include "server/engine/recorder.h"
#include "server/engine/registries.h"
#include "server/engine/transactions.h"
#include "server/store/ballast.h"
#include "server/store/journal.h"
#include "server/store/outbox.h"

#include <pthread.h>
#include <stdatomic.h>

/* Somebody who waits for news. */
struct watcher {
    turn_ready_fn ready;
    turn_done_fn done;
    void *data;
    int64_t until_us;
};

struct executor {
    char *cluster, *state_dir, *journal_path, *store_url, *runbooks_dir, *keys_dir, *call_allow;
    unsigned node;
    struct lease *lease;
    _Atomic int64_t lease_us; /* when it was last seen held; any thread */
    bool (*restore)(void *data, const struct journal_entry *entry, GError **error);
    void *restore_data;

    /* The engine thread's. */
    struct journal *journal;
    struct engine *engine;
    struct nameservers *nameservers;
    struct registries *registries;
    struct transactions *transactions;
    struct outgoing *outgoing; /* any thread, until executor_free */
    GPtrArray *watchers;       /* struct watcher * */
    bool released;             /* nobody waits any more */
    bool news;                 /* this turn wrote to the journal */
    GPtrArray *also;           /* turn->also, not written yet, or NULL */
    int64_t committed_us;      /* wall clock when its newest commit returned */
    struct loop *loop;
    struct loop_timer *timer;
    int64_t engine_wants_us; /* when the engine wants its next tick */
    int64_t condition_us;    /* when to look at the condition next */
    struct alarm_book *alarms;
    int64_t alarms_looked_us, alarms_us; /* when they were looked at; when to do so next */
    int64_t alarms_flipped_us;           /* as observe.h had it then */
    int64_t flipped_us;                  /* and when those who wait were asked */
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
    _Atomic uint64_t writes;       /* any thread */
    char *recordings;              /* folder; NULL: nothing is recorded */
    struct recorder *recorder;     /* or NULL */
    struct outbox *outbox;
    struct publication *publication;
    pthread_t thread;
    bool started;
    pthread_mutex_t listener_lock;
    void (*listener)(void *data);
    void *listener_data;
};

/* executor_effects.c */

G_NORETURN void executor_die(const char *what, const GError *error); /* error may be NULL */
/* Ends the process when the lease is lost. */
void check_lease(struct executor *x);
/* False: a write failed and x->failed says why; the process must end. What was left is dropped. */
bool carry_out(struct executor *x, struct effects *effects);
/* For turns that nobody asked for. */
void carry_out_or_end(struct executor *x, struct effects *effects);
/* Ends the process when the asker has been told of x->failed, or cannot be. */
G_NORETURN void end_failed(struct executor *x);

/* executor_condition.c */

/* x->journal: for a reign, else for reading. */
bool open_journal(struct executor *x, GError **error);
/* Once a second: disk, reign, and the way from reading to writing. */
void look_at_condition(struct executor *x);

/* executor.c */

void turn_begin(struct executor *x, struct turn *turn);
/* An engine with what x->journal holds. */
bool restore_engine(struct executor *x, GError **error);
struct begin {
    struct executor *executor;
    GError *error; /* of plans that ship */
};
/* turn_fn, on a struct begin. */
void begin_reign(void *data, struct turn *turn);

#endif
