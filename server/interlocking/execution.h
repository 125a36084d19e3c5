/* execution.h: one run of a plan as data, and its codec. engine_step.c moves it, the journal keeps it.
 *
 * A plan is frozen when it is started: steps, selectors and child plans are copied into the execution, so a later
 * change of plan or inventory does not change what runs, and its levers are known from the start.
 *
 * Times in JSON are wall clock, for people; what decides is `since_us`, the clock of engine_tick, which is not kept.
 * Ownership: struct execution owns all. Thread safety: belongs to the engine's thread.
 */
#ifndef INTERLOCKING_EXECUTION_H
#define INTERLOCKING_EXECUTION_H

#include "schema/plan.h"

#define EASTWEST_ZONE "/eastwest" /* no DNS zone is called so */

enum execution_state {
    EXECUTION_PENDING, /* a child whose step has not begun */
    EXECUTION_RUNNING,
    EXECUTION_ABORTING,
    EXECUTION_SUCCEEDED,
    EXECUTION_INCOMPLETE,
    EXECUTION_FAILED,
    EXECUTION_REFUSED,
    EXECUTION_ABORTED,
};
const char *execution_state_name(enum execution_state state);

enum step_state {
    STEP_STATE_PENDING,
    STEP_STATE_RUNNING, /* a set step: its intent is in the journal, its outcome is not */
    STEP_STATE_SUCCEEDED,
    STEP_STATE_SKIPPED,
    STEP_STATE_TIMED_OUT,
    STEP_STATE_FAILED,
    STEP_STATE_REFUSED,
    STEP_STATE_ABORTED,
};

/* A control that a set step is to write; selectors are already objects. */
struct execution_set {
    enum lever lever;
    char *object, *value;
    unsigned stage;    /* of a ramp, 1..; 0: of a set step */
    uint64_t revision; /* of the lever when the execution began: what has moved since is someone's override */
};
enum write_undo { WRITE_STANDS, WRITE_RESTORING, WRITE_RESTORED, WRITE_LEFT }; /* LEFT: moved by someone else since */
/* A control that was written, or (generation 0) whose intent was journalled. */
struct execution_write {
    enum lever lever;
    char *object, *before, *after;
    char *step;
    unsigned stage; /* of a ramp, 1..; 0: of a set step */
    uint64_t generation;
    enum write_undo undo;
};
struct execution_step {
    char *name;
    enum step_kind kind;
    char **needs;
    int64_t timeout_us;
    enum on_failure on_failure;
    char *argument; /* check, wait, verify: the word; run: the plan's name; approve: the text */
    GArray *sets;   /* struct execution_set */
    json_t *spec;   /* ramp: as plan.h has it, with names for $NAME, and "gains": rooms that get slots; hook: the same,
                     * its texts filled; notify: as it is written; else NULL */
    char **pre, **post;
    unsigned stage;       /* ramp: the one that was written last; 0: none yet */
    double baseline;      /* ramp: share of requests that failed before it */
    bool posting;         /* it is done, and waits for its post-conditions */
    bool stuck;           /* it takes longer than it should, and somebody was told */
    bool passed_over;     /* a person said to go on without it */
    char *binding;        /* approve: what is approved, as a word that changes with it */
    bool called;          /* hook: it was asked for, or may have been, and was not refused */
    enum write_undo undo; /* hook: of what it was asked for */
    bool undo_called;     /* hook that is not to be repeated: its undo was asked for, or may have been */
    char *review; /* approve: who passed it in an emergency and why, until a second person has looked; or NULL */
    char *child;  /* run: id of the child */
    enum step_state state;
    int64_t started_us, ended_us; /* wall clock; 0: not yet */
    char *text;                   /* newest progress or result, or NULL */
    GPtrArray *stragglers;        /* char *: who has not proved it */
    int64_t since_us;             /* when it (of a ramp: its stage) began in this reign; not kept */
    bool calling;                 /* hook: a call is under way; not kept */
    unsigned tries;               /* hook: answers that did not help, in this reign; not kept */
    int64_t again_us;             /* hook: when it is asked again; 0: at once; not kept */
    int64_t baking_us;            /* ramp: when all edges had proved the stage; warm, verify: transactions: when it was
                                   * asked; 0: not yet; not kept */
};
struct execution_event {
    uint64_t seq; /* 1.. */
    int64_t at_us;
    char *step; /* or NULL: of the whole */
    char *text;
};
struct execution {
    char *id, *plan, *target; /* target: NULL if the plan has none; several with commas between them */
    uint64_t plan_revision;   /* that was started */
    json_t *params;           /* of the plan: name -> name of an object; NULL: none */
    char *actor, *reason;
    bool automatic;
    bool paused;      /* nothing begins; what waits waits on */
    bool forced;      /* no bakes, no guards, one stage */
    char **overrides; /* rules to pass over; may be NULL */
    char *parent;     /* id, or NULL: it stands for itself and owns its levers */
    enum execution_state state;
    char *error;
    int64_t started_us, ended_us; /* wall clock */
    GPtrArray *steps;             /* struct execution_step * */
    GPtrArray *events;            /* struct execution_event * */
    GPtrArray *writes;            /* struct execution_write *, oldest first */
    uint64_t generation;          /* newest that it wrote; 0: none */
    uint64_t undo_generation;     /* 0: nothing was set back */
    GPtrArray *zones;             /* char *: DNS zones whose records it changed, EASTWEST_ZONE: endpoints */
    GPtrArray *policies;          /* char *: "public GROUP.SERVICE", whose road it changed */
    GPtrArray *late;              /* char *: "edge edge-2" or "nameserver ns-2", missing at its end */
    unsigned unproven; /* policies without requests or probes to prove them, at each verify step that ended */
    /* Times of the report, µs; -1: did not come to it, or nothing was down. They follow each other; decide ends where
     * the others begin. */
    int64_t decide_us, execute_us, converge_us, recover_us;
    /* Not kept. */
    bool dirty;            /* differs from what was journalled */
    bool resumed;          /* by a later reign than began it */
    guint events_saved;    /* of events */
    int64_t undo_since_us; /* when the undo was committed in this reign */
};

struct execution *execution_new(const char *id);
void execution_free(struct execution *ex);
struct execution_step *execution_step(const struct execution *ex, const char *name); /* or NULL */
bool execution_ended(const struct execution *ex);
/* Copies of the plan's steps, all pending; sets stay empty. */
void execution_take_steps(struct execution *ex, const struct plan *plan);

void execution_note(struct execution *ex, int64_t wall_us, const char *step, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* A progress text: an event when it differs from the last one. */
void execution_step_text(struct execution *ex, struct execution_step *step, int64_t wall_us, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* Adds a copy unless it is there. */
void names_add(GPtrArray *names, const char *name);
bool names_remove(GPtrArray *names, const char *name); /* false: was not there */

/* What engine.h documents, without events; and back. False with an error if it is not one. */
json_t *execution_to_json(const struct execution *ex);
struct execution *execution_from_json(const json_t *json, GError **error);
json_t *execution_event_to_json(const struct execution_event *event);
/* Appends in the order of seq. */
bool execution_take_event(struct execution *ex, const json_t *json, GError **error);

#endif
