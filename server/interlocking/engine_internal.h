/* engine_internal.h: what the files of the engine share.
 *
 *   engine.c         life: restore, start, tick, observations, reading
 *   engine_claim.c   the claim: nobody obeys an older reign when this one begins to act
 *   engine_commit.c  drafts of worlds, and the one road by which they become a generation
 *   engine_change.c  what people ask for: apply, set controls
 *   engine_pin.c     pins and their keys
 *   engine_plan.c    starting a plan, owning levers, abort and undo
 *   engine_preview.c a plan before it is run
 *   engine_step.c    the steps of an execution
 *   engine_ramp.c    ramps: stages, bakes, guards
 *   engine_transaction.c   golden transactions; engine_warm.c: pages that a room is to have at hand
 *   engine_hook.c    notify, hook and its undo
 *   engine_pace.c    who is slower than usual
 *   engine_act.c     what people do to executions: approvals, pause, skip, force
 *   engine_check.c   the checks of plans
 *   engine_proof.c   evidence: who has applied what, and where requests really go
 *   engine_status.c  the site now, for people
 *   engine_input.c   the black box: inputs told on, and told again
 *   incident.c       recordings replayed, effects as text
 *   incident_cut.c   from a recording to a case; incident_case.c: cases replayed
 */
#ifndef INTERLOCKING_ENGINE_INTERNAL_H
#define INTERLOCKING_ENGINE_INTERNAL_H

#include "server/interlocking/engine.h"
#include "server/interlocking/execution.h"

struct engine {
    struct engine_config config; /* cluster is a copy */
    bool started;
    bool reading; /* nothing can be journalled: executions stand still */
    uint64_t epoch, generation;
    int64_t now_us;            /* of the last call */
    int64_t wall_offset_us;    /* wall clock minus now_us */
    int64_t started_us;        /* when this reign began */
    bool claiming;             /* some edge is waited for; what is committed is held */
    bool held;                 /* the world in force was not published yet */
    GPtrArray *unclaimed;      /* char *: actuators that were missing when the claim ended and have not come since */
    struct resolved *resolved; /* of the world in force */
    struct observed *observed;
    GHashTable *executions;  /* id -> struct execution * */
    GPtrArray *order;        /* the same, oldest first */
    GHashTable *keys;        /* idempotency key -> uint64_t *: generation */
    struct rules_past *past; /* what moved of late, for rules that look back */
    uint64_t audit_seq, ids;
    /* Only between engine_new and engine_start. */
    struct inventory *inventory;
    struct controls *controls;
    GHashTable *plans; /* name -> struct plan * */
    struct pin_keys pins;
    char *cause;
};

/* engine.c: what was restored becomes the world in force. */
void engine_take_restored(struct engine *engine, int64_t now_us);
void engine_drop(struct engine *engine, struct execution *ex); /* out of memory; frees it */
void advance_all(struct engine *engine, struct effects *out);

/* effects.c */
void effects_journal(struct effects *out, GPtrArray *entries); /* takes entries */
void effects_publish(struct effects *out, struct resolved *resolved);
void effects_ask(struct effects *out, struct resolved *resolved, json_t *ask); /* takes ask */
void effects_call(struct effects *out, json_t *call);                          /* takes call */

/* engine_claim.c */
void claim_begin(struct engine *engine);                        /* at the start, after the world was published */
void claim_publish(struct engine *engine, struct effects *out); /* the world in force, now or when the claim ends */
void claim_look(struct engine *engine, struct effects *out);    /* ends the claim when it is over */
void claim_take(struct engine *engine, const char *actuator);   /* after a report of it */
void claim_count(const struct engine *engine, unsigned *claimed, unsigned *asked); /* edges */
char *claim_missing(const struct engine *engine);                                  /* for people; g_free */

/* engine_commit.c */
GArray *moves_new(void); /* of struct move */
void moves_add(GArray *moves, enum lever lever, const char *object, const char *value);
char *lever_text(enum lever lever, const char *object); /* "room.ingress/room-a", g_free */
int64_t engine_wall_us(const struct engine *engine);
void engine_take_now(struct engine *engine, struct now now);
/* A world one generation on, resolved. What is NULL stays as it is. */
struct resolved *engine_draft(const struct engine *engine, struct inventory *inventory, struct controls *controls,
                              GHashTable *plans, const char *cause);
/* The same world with other keys for pins. */
struct resolved *engine_draft_pins(const struct engine *engine, const struct pin_keys *pins);
/* Draft with the moves made by `actor` for `execution` (or NULL). */
struct resolved *engine_draft_moves(const struct engine *engine, const GArray *moves, const char *actor,
                                    const char *execution, const char *cause);
/* Takes draft and entries. Makes draft the world in force: generation, journal, publish. key: may be NULL. */
void engine_commit(struct engine *engine, struct resolved *draft, GPtrArray *entries, const char *key,
                   struct effects *out);
/* May the world in force become the draft, whose forecast this is? As rules_check; moves: of a plan that is judged as a
 * whole, what it writes, in order; else NULL. */
GPtrArray *engine_judge(const struct engine *engine, const struct resolved *draft, const struct forecast *forecast,
                        const GArray *moves, bool automatic, const char *const *overrides);
/* The same of the moves that are all that the executions of `family` have yet to write, at once: of a ramp its largest
 * stage, for each is judged again when it is written. */
GPtrArray *engine_judge_family(const struct engine *engine, const struct resolved *draft,
                               const struct forecast *forecast, const GArray *moves, const GPtrArray *family,
                               bool automatic, const char *const *overrides);
/* Entries of the moves as draft has them. */
void entries_add_moves(GPtrArray *entries, const GArray *moves, const struct resolved *draft);
/* A record of it, under the engine's next number. */
void engine_audit(struct engine *engine, GPtrArray *entries, const struct audit *audit);
json_t *refusals_to_json(const GPtrArray *refusals);

/* engine_input.c: hands an input on to config.told, if there is one. */
json_t *told_body(
    const struct journal_entry *entry); /* what may be said of the body: {} of what is not the engine's; a reference */
void tell_config(const struct engine *engine);
void tell_restore(const struct engine *engine, const struct journal_entry *entry);
void tell_start(const struct engine *engine, uint64_t epoch, int64_t now_us);
void tell_tick(const struct engine *engine, int64_t now_us);
void tell_edge(const struct engine *engine, const char *edge, const json_t *report, int64_t now_us);
void tell_asked(const struct engine *engine, const json_t *result, int64_t now_us);
void tell_server(const struct engine *engine, const struct server_report *report, int64_t now_us);
void tell_call(const struct engine *engine, const json_t *result, int64_t now_us);
void tell_apply(const struct engine *engine, const json_t *body, bool dry_run, const struct asker *asker,
                struct now now);
void tell_set(const struct engine *engine, const json_t *changes, int64_t if_match, bool dry_run,
              const struct asker *asker, struct now now);
void tell_run(const struct engine *engine, const char *plan, const char *target, const json_t *params, bool dry_run,
              const struct asker *asker, struct now now);
void tell_abort(const struct engine *engine, const char *execution, const struct asker *asker, struct now now);
void tell_act(const struct engine *engine, const char *execution, const json_t *body, const struct asker *asker,
              struct now now);
void tell_pin(const struct engine *engine, const char *in, const json_t *body, const struct asker *asker,
              struct now now);
void tell_journal(const struct engine *engine, const struct journal_entry *entry, const char *what,
                  const struct asker *asker, struct now now);

/* engine_change.c */
json_t *forecast_answer(const struct forecast *forecast); /* forecast_to_json with "text" */

/* engine_pin.c: slots whose pin is over go back to their split. */
void pins_end(struct engine *engine, struct effects *out);
int64_t pins_next_us(const struct engine *engine); /* when the next one is over; INT64_MAX: none */

/* engine_plan.c */
struct execution *engine_find(const struct engine *engine, const char *id); /* or NULL */
struct execution *execution_root(const struct engine *engine, struct execution *ex);
/* An execution that stands for itself and its children, as they were started; g_ptr_array_unref. */
GPtrArray *execution_family(const struct engine *engine, struct execution *root);
/* They are names of rules. */
bool check_overrides(const struct engine *engine, const struct asker *asker, GError **error);
/* No running execution owns one of these levers; SB_ERROR_CONFLICT with who does. */
bool check_owners(const struct engine *engine, const GArray *moves, GError **error);
/* The running execution that owns a lever, or NULL. */
struct execution *engine_owner(const struct engine *engine, enum lever lever, const char *object);
/* Sets back what the execution wrote. False: refused by rules, nothing has changed. */
bool execution_undo(struct engine *engine, struct execution *ex, const struct asker *asker, struct effects *out,
                    GError **error);
/* All of the family that is not journalled yet; audit: an entry to go with it, or NULL. */
void execution_flush_family(struct engine *engine, struct execution *root, const struct audit *audit,
                            struct effects *out);
void execution_undo_resume(struct engine *engine, struct execution *ex, struct effects *out);

/* engine_preview.c. A plan that is frozen, and judged; all is borrowed. */
struct preview {
    struct engine *engine;
    const struct asker *asker;
    const GPtrArray *family; /* struct execution *, the root first */
    const GArray *moves;     /* struct move */
    const struct resolved *draft;
    const struct forecast *forecast;
    const GPtrArray *refusals;
    int64_t age_us; /* preview_json: of the oldest report that figures are made of; -1: there is none */
};
/* {"steps", "forecast", "refusals", "checks", "stays"}: Execution of schema/bodies.def. */
json_t *preview_json(struct preview *p);
/* What an undo would do; all is borrowed. */
struct undoing {
    struct execution *execution;
    const GArray *moves;   /* struct move */
    const GPtrArray *left; /* char *: levers that stay, and why */
    const struct resolved *draft;
    unsigned calls; /* of hooks */
};
json_t *undo_preview_json(const struct engine *engine, const struct undoing *undoing); /* engine_undo_preview */

/* engine_step.c */
void step_end(struct engine *engine, struct execution *ex, struct execution_step *step, enum step_state state,
              const char *text);
bool step_asks(const struct execution_step *step); /* it has failed, a person is to say how to go on */
/* Of a ramp: the stage whose intent is journalled and whose outcome is not; 0: none. */
unsigned step_intended_stage(const struct execution *ex, const struct execution_step *step);
void note_converged(struct engine *engine, struct execution *ex); /* for the times of the report */
bool step_timed_out(const struct engine *engine, const struct execution_step *step);
/* Writes the sets of a stage (0: of a set step), under a key of their own, so that it is done once. What does not come
 * to it ends the step. True: something changed. */
bool step_write(struct engine *engine, struct execution *ex, struct execution_step *step, unsigned stage,
                struct effects *out);
void execution_save(const struct execution *ex, GPtrArray *entries);                    /* state and new events */
void execution_flush(struct engine *engine, struct execution *ex, struct effects *out); /* if dirty */
/* Does all that can be done now. */
void execution_advance(struct engine *engine, struct execution *ex, struct effects *out);
/* When the execution wants to be looked at again. */
int64_t execution_next_us(const struct engine *engine, const struct execution *ex);
void execution_end(struct engine *engine, struct execution *ex, enum execution_state state, const char *error_text);

/* engine_ramp.c */
bool look_ramp(struct engine *engine, struct execution *ex, struct execution_step *step, struct effects *out);
void ramp_written(struct engine *engine, struct execution *ex, struct execution_step *step, unsigned stage,
                  const char *text);
/* Of a plan's ramp: the value of the split after each stage, for each service, as sets of the step. */
bool ramp_freeze(const struct engine *engine, struct execution_step *step, const char *target, const json_t *params,
                 GError **error);
/* What the largest stage moves of the whole, 0..1; 1 when an execution of the family sets levers otherwise too. */
double ramp_largest(const GPtrArray *family);

/* What a word of the plan stands for; NULL with an error. Borrowed. */
const char *word_stands_for(const char *word, const char *target, const json_t *params, const char *step,
                            GError **error);

/* engine_transaction.c */
bool look_transactions(struct engine *engine, struct execution *ex, struct execution_step *step, struct effects *out);
bool transactions_freeze(const struct engine *engine, struct execution_step *step, const struct plan *plan,
                         const char *target, const json_t *params, GError **error);
/* What a dry run says that would be asked; g_free. */
char *transactions_words(const struct engine *engine, const struct execution *ex, const struct execution_step *step);
/* An edge of the class that is there and has the table in force, and with it the key for pins; NULL: none. */
const struct edge *transaction_edge(const struct engine *engine, int edge_class);
/* One run of EFFECT_ASK. user: NULL, none; port: 0, the usual one; takes requests. */
json_t *transaction_run(const char *name, const char *room, const char *user, const struct edge *edge, int64_t port,
                        json_t *requests);
/* Asks for all of it; the step is then told by engine_transactions_done. pace_us: between two requests, 0: none. */
void transactions_send(struct engine *engine, struct execution *ex, struct execution_step *step, json_t *runs,
                       int64_t pace_us, struct effects *out);
/* "buy in room-b by edge-1: buy-2: status: found 500, expected 200", or NULL when all of the run is good; g_free. */
char *transaction_failure(const json_t *run);
#define PINS_LACK "there is no key that a pin could be signed with: signalbox pin rotate"

/* engine_warm.c */
bool look_warm(struct engine *engine, struct execution *ex, struct execution_step *step, struct effects *out);
bool warm_freeze(const struct engine *engine, struct execution_step *step, const char *target, const json_t *params,
                 GError **error);
char *warm_words(const struct engine *engine, const struct execution_step *step); /* as transactions_words */
void warm_conclude(struct engine *engine, struct execution *ex, struct execution_step *step, const json_t *runs);

/* engine_hook.c */
bool look_hook(struct engine *engine, struct execution *ex, struct execution_step *step, struct effects *out);
bool look_notify(struct engine *engine, struct execution *ex, struct execution_step *step, struct effects *out);
bool hook_freeze(const struct execution *ex, struct execution_step *step, GError **error); /* fills its texts */
char *hook_would(const struct execution *ex, const struct execution_step *step);           /* a dry run; g_free */
/* Of the family: calls that stand are to be undone; how many can be. */
unsigned hooks_undo(struct engine *engine, struct execution *root);
unsigned hooks_to_undo(const struct engine *engine, struct execution *root);           /* how many it would be */
bool hooks_undone(struct engine *engine, struct execution *root, struct effects *out); /* goes on with it */
bool hooks_undoing(const struct engine *engine, const struct execution *root);
/* When to look again: at a step, at the undo calls of a family. */
int64_t hook_next_us(const struct execution_step *step);
int64_t hooks_undo_next_us(const struct engine *engine, const struct execution *root);

/* engine_act.c */
bool look_approve(struct engine *engine, struct execution *ex, struct execution_step *step, struct effects *out);
bool execution_is_paused(const struct engine *engine, const struct execution *ex); /* it or what it is a part of */
bool execution_is_forced(const struct engine *engine, const struct execution *ex); /* the same */
/* Rules that it passes over: those of what it is a part of, to which a person may have added. May be NULL. */
const char *const *execution_overrides(const struct engine *engine, const struct execution *ex);

/* engine_pace.c */
int64_t pace_next_us(const struct engine *engine, const struct execution *ex); /* when to look at it */
void pace_look(const struct engine *engine, struct execution *ex);             /* marks what is stuck */

/* engine_proof.c */
struct proof {
    unsigned proven, asked;
    GPtrArray *missing; /* char *: names */
    char *text;
};
void proof_clear(struct proof *proof);
void proof_edges(const struct engine *engine, uint64_t generation, struct proof *out);
void proof_servers(const struct engine *engine, uint64_t generation, const GPtrArray *zones, struct proof *out);
/* Nobody is asked unless the zones are with EASTWEST_ZONE. */
void proof_registries(const struct engine *engine, uint64_t generation, const GPtrArray *zones, struct proof *out);
bool edge_proves(const struct engine *engine, const char *edge, uint64_t generation);
bool server_proves(const struct engine *engine, const char *nameserver, uint64_t generation);
/* What differs from one generation to the next: zones (EASTWEST_ZONE: endpoints) and "class policy". */
void proof_note_changes(const struct resolved *before, const struct resolved *after, GPtrArray *zones,
                        GPtrArray *policies);
struct share {
    unsigned by_counters, by_probe, by_nothing; /* policies; contradicted ones are in none of these */
    GPtrArray *unproven;                        /* char *: "core.playback at edge-2" */
    GPtrArray *contradicted;                    /* char *: the same, with what was seen */
    bool waited;                                /* nobody waits for more requests; what there is must do */
    bool counting;                              /* some have too few requests yet, but will soon have enough */
};
void share_clear(struct share *share);
/* policies: "class policy", empty: all. waited: too few requests are no reason to wait on; a probe proves then. */
void proof_share(const struct engine *engine, uint64_t generation, const GPtrArray *policies, bool waited,
                 struct share *out);
/* No fresh report of any edge. */
bool engine_blind(const struct engine *engine);

/* engine_check.c. The outcome of looking once. */
enum check_result { CHECK_HOLDS, CHECK_WAITS, CHECK_FAILS };
enum check_result check_word(const struct engine *engine, struct execution *ex, const char *word, char **text);
/* All of them (NULL: none); else *word is the first that does not hold, and *text why. */
enum check_result checks_hold(const struct engine *engine, struct execution *ex, char **words, const char **word,
                              char **text);
/* How long ago an entrance of the target (a room or a POP) that is down now was first reported so, µs; -1: none is. */
int64_t target_down_us(const struct engine *engine, enum object_kind kind, const char *target);

#define EVIDENCE_REQUESTS 50 /* fewer since the table was applied prove nothing */
#define EVIDENCE_SHARE 0.99  /* of them, answered where they should be */
#define EVIDENCE_WAIT_US                                                                                               \
    (3 * G_USEC_PER_SEC)                   /* for counters to fill and probes to come, before something is unproven */
#define STABLE_US (2 * G_USEC_PER_SEC)     /* an entrance is healthy when it was up for so long */
#define CLAIM_WAIT_US G_USEC_PER_SEC       /* for edges to promise a new epoch */
#define UNDO_WAIT_US (15 * G_USEC_PER_SEC) /* for edges to prove an undo */
#define SETTLE_US (3 * G_USEC_PER_SEC)     /* after a restart: for the first reports to come */
#define LOOK_US (100 * 1000)               /* between two looks at something that time may change */

#endif
