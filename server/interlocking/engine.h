/* engine.h: the change pipeline and the plan engine, as one state machine without I/O.
 *
 * Every change goes the same way: new world -> resolve -> forecast -> rules -> journal -> publish. Time, randomness and
 * what happened are arguments; what to do comes back as effects, which the caller carries out in order: a crash
 * between any two of them is survived, because the intent of an effect is journalled before it and everything is
 * rebuilt from the journal (engine_restore). The daemon, the simulator and dry-runs call the same functions.
 *
 * An execution is PENDING steps that start when their needs ended well. `set` journals its intent, then the controls
 * with the key "execution/step/set", then the outcome. `wait` and `verify` look at observations. States:
 *
 *     running --> succeeded | incomplete (a wait or verify timed out; stragglers named) | failed | refused
 *        '------> aborting --> aborted      (undo: compare-and-set to the value recorded before, lever by lever,
 *                                            but not of a lever that someone else has moved since)
 *
 * Claim. A reign begins by publishing, under its epoch, the last world of the journal: that is the claim. An edge is
 * claimed when it has reported that its promise of the epoch, or of a newer one, is durable: from then on it refuses
 * what older reigns send. Until all edges of the inventory are claimed, or CLAIM_WAIT_US (1 s) has passed, the reign
 * does not act: plans are started, levers are moved, all is judged, journalled and answered as ever, but no actuator
 * is given anything newer than the world of the claim; what was committed meanwhile is then published at once, as one
 * generation. Edges that are missing at the deadline are named, "unclaimed: edge-2", in the events of what runs or is
 * started and in the warnings of the status, until they have promised. Name servers hold nothing up: a driver
 * claims the sentinel of its server before it writes there (dns/dns.h); they are named like edges if the deadline comes
 * before their records of this epoch were read back. What is not claimed never counts as converged.
 *
 * One lever belongs to one running execution: a second that wants it is refused by name; a person's override is
 * allowed, audited, and wins.
 *
 * Thread safety: an engine belongs to one thread. Worlds and resolved tables that it publishes are shared.
 */
#ifndef INTERLOCKING_ENGINE_H
#define INTERLOCKING_ENGINE_H

#include "server/interlocking/explain.h"
#include "server/interlocking/forecast.h"
#include "server/interlocking/journal_entry.h"
#include "server/interlocking/rules.h"

enum effect_kind {
    EFFECT_JOURNAL, /* write `entries` in one transaction; on failure, and when the journal knows a key already, the
                     * process must end and restore: the engine's memory is ahead of the journal */
    EFFECT_PUBLISH, /* give `resolved` to agents and drivers */
    EFFECT_ASK,     /* run the golden transactions of `ask`, and tell the engine by engine_transactions_done */
    EFFECT_CALL,    /* make `call` and say what came of it, engine_call_report; nobody waits for it meanwhile */
};
struct effect {
    enum effect_kind kind;
    GPtrArray *entries;        /* JOURNAL: struct journal_entry * */
    struct resolved *resolved; /* PUBLISH, and ASK, whose pins are signed with its keys: a reference */
    json_t *ask;               /* ASK: see engine_transaction.c */
    json_t *call;              /* CALL: {"id", "key", "method", "url", "headers", "body"?, "member"?, "timeout_us"}: one
                                * HTTP request with the header Idempotency-Key: ID, signed with `key` */
};
struct effects {
    GQueue queue; /* struct effect *, carried out from the head */
};
void effects_init(struct effects *effects);
void effects_clear(struct effects *effects);
struct effect *effects_pop(struct effects *effects); /* NULL: none left; effect_free */
void effect_free(struct effect *effect);

/* Gets each input as incident.h documents it, borrowed; never the body of a token. */
typedef void (*engine_told_fn)(void *data, const json_t *input);

struct engine_config {
    char *cluster;
    struct rules_config rules;
    uint64_t seed;          /* of ids; the daemon gives randomness, the simulator its seed */
    unsigned bug;           /* simulator only: a planted bug (ENGINE_BUG_...), 0 in programs */
    int64_t wall_offset_us; /* wall clock minus the clock of now_us, for history, until a call brings a struct now */
    engine_told_fn told;    /* the black box, or NULL */
    void *told_data;
};
#define ENGINE_BUG_NO_IDEMPOTENCY_KEY 1u
#define ENGINE_BUG_NO_CLAIM 2u
#define ENGINE_BUG_UNDO_WITHOUT_CAS 4u

/* Who asks, and why. Strings are borrowed for the call. */
struct asker {
    const char *actor;            /* name of the token's owner, or "uid:0" on the local socket */
    const char *reason;           /* or NULL */
    bool automatic;               /* not a person */
    const char *const *overrides; /* rules to pass over, audited; NULL-terminated or NULL */
};

struct engine;
struct engine *engine_new(const struct engine_config *config);
void engine_free(struct engine *engine);
/* One entry of the journal's newest states, in the order of writing. Before engine_start. */
bool engine_restore(struct engine *engine, const struct journal_entry *entry, GError **error);
/* Begins a reign: takes the epoch (greater than any before), publishes the last world under it, resumes executions. */
void engine_start(struct engine *engine, uint64_t epoch, int64_t now_us, struct effects *out);
/* For a journal that cannot be written: no reign begins. The last world is published under the epoch that it had,
 * observations are taken, all can be read and tried dry, executions stand still; the caller must refuse changes. */
void engine_start_reading(struct engine *engine, int64_t now_us, struct effects *out);
/* Time passes. Returns when it wants to be called next (µs, INT64_MAX: not before something happens). */
int64_t engine_tick(struct engine *engine, int64_t now_us, struct effects *out);

/* Observations. They may end waits, so effects can follow. A report of another cluster or under another name is
 * refused (SB_ERROR_CONFLICT, SB_ERROR_FORBIDDEN). */
bool engine_edge_report(struct engine *engine, const char *edge, const json_t *report, int64_t now_us,
                        struct effects *out, GError **error);
void engine_server_report(struct engine *engine, struct server_report *report, int64_t now_us, struct effects *out);

/* What came of an EFFECT_ASK: {"execution", "step", "asked", "runs": [{"transaction", "room", "edge", "evidence": [as
 * txrequest_judge]}]}. Of a step that waits no more for it it is passed over. */
void engine_transactions_done(struct engine *engine, const json_t *result, int64_t now_us, struct effects *out);

/* What came of an effect CALL: {"id", "status": 0 where there was no answer, "value": text of the member asked for or
 * null, "error": why there was none or null, "refused": true: nothing was sent, and never will be}. */
void engine_call_report(struct engine *engine, const json_t *result, int64_t now_us, struct effects *out);

/* Changes. On failure nothing has changed and *out is as it was. wall_us: wall clock, for audit and history. */
struct now {
    int64_t us;      /* monotonic */
    int64_t wall_us; /* since 1970 */
};
/* body: {"objects": [...], "plans": [...], "remove": ["pop/pop-a1"], "prune": bool, "if_match": {"pop/pop-a1":
 * revision}}, all optional; plans are "plan/NAME"; revision 0: there is none. prune removes what the body does not
 * hold. Result {"diff": text, "changes": [{"kind", "name", "before", "after"}], "generation", "forecast", "refusals"}
 * (forecast.h, and its text as "text"); dry_run: only that. What changes nothing writes nothing. */
json_t *engine_apply(struct engine *engine, const json_t *body, bool dry_run, const struct asker *asker, struct now now,
                     struct effects *out, GError **error);
/* changes: [{"control": "room.ingress", "object": "room-a", "value": "closed"}]. if_match: revision expected of each
 * lever named, or -1 for "any". Result {"generation", "controls", "forecast", "refusals"}, and "pending": true where
 * the reign's claim holds the publication back. A lever that an execution owns may be moved by a person (it is an event
 * there, and audited as "override"), not by automation. */
json_t *engine_set_controls(struct engine *engine, const json_t *changes, int64_t if_match, bool dry_run,
                            const struct asker *asker, struct now now, struct effects *out, GError **error);
/* Result: the execution (as engine_execution); dry_run: {"steps", "forecast", "refusals"}. target may be NULL where
 * the plan has none, or several names with commas between them; params as the plan names them, NULL: none. The plan as
 * a whole must pass the rules now, and each step again when it writes. */
json_t *engine_run_plan(struct engine *engine, const char *plan, const char *target, const json_t *params, bool dry_run,
                        const struct asker *asker, struct now now, struct effects *out, GError **error);
/* Of a running, incomplete or failed execution: stops it and sets back what it wrote, in one generation. */
json_t *engine_abort(struct engine *engine, const char *execution, const struct asker *asker, struct now now,
                     struct effects *out, GError **error);

/* What an abort would do now, if anything was written: {"controls": [{"control", "object", "value": where it goes back
 * to}], "left": [why a lever is not set back], "calls": undo calls of hooks, "forecast", "refusals"}. NULL with
 * SB_ERROR_NOT_FOUND. */
json_t *engine_undo_preview(struct engine *engine, const char *execution, struct now now, GError **error);

/* Of one under way: {"act": approve decline emergency review pause resume skip force, "step", "binding"}; what each
 * takes and refuses is said in engine_act.c. Result: the execution. */
json_t *engine_act(struct engine *engine, const char *execution, const json_t *body, const struct asker *asker,
                   struct now now, struct effects *out, GError **error);

/* A pin (schema/pin.h) for body {"room", "purpose", "user", "for_s"}: {"cookie", "name", "key", "room", "purpose",
 * "user", "until_us"}; audited. SB_ERROR_CONFLICT while there is no key. */
json_t *engine_pin_issue(struct engine *engine, const json_t *body, const struct asker *asker, struct now now,
                         struct effects *out, GError **error);
/* body: {"act": "rotate" or "revoke"}: a new key, `secret`, signs; the one before stays in force, or none does. A
 * generation like any other. Result: engine_pin_keys_json. */
json_t *engine_pin_keys(struct engine *engine, const json_t *body, const char *secret, const struct asker *asker,
                        struct now now, struct effects *out, GError **error);
json_t *engine_pin_keys_json(const struct engine *engine); /* {"keys": [{"id", "signs"}], "generation"} */

/* Writes an entry of a kind that is not the engine's (a token) and its audit, in one transaction. Takes the entry.
 * what: "token created". */
void engine_journal(struct engine *engine, struct journal_entry *entry, const char *what, const struct asker *asker,
                    struct now now, struct effects *out);

/* char *: actuators that were missing when this reign's claim ended, and have not been claimed since. The engine's. */
const GPtrArray *engine_unclaimed(const struct engine *engine);

/* Ended runs that stay at hand; when one more begins, the oldest leaves memory and the journal's state. The journal's
 * entries and the store keep it for ever. Runs of child plans go with their parent and are not counted. */
#define EXECUTIONS_KEPT 200

/* Reading. JSON is a new reference. World and resolved are NULL before engine_start. */
const struct world *engine_world(const struct engine *engine);
const struct resolved *engine_resolved(const struct engine *engine);
const struct observed *engine_observed(const struct engine *engine);
/* {"id","plan","target","actor","reason","state","started_us","ended_us","error","generation",
 *  "steps":[{"name","kind","state","started_us","ended_us","text","stragglers":[],"needs":[],"argument",
 *            "sets":[{"control","object","value"}],"child"}],
 *  "events":[{"seq","at_us","step","text"}],
 *  "writes":[{"control","object","before","after","step","generation","restored"}],
 *  "times":{"decide","execute","converge","recover"}, ...}; NULL if unknown.
 * Times of day are wall clock, µs since 1970. `times` are µs, each from the end of the one before; -1: not come to.
 * decide begins with the first report, to this server, that an entrance of the target (a room or POP) is down; -1: none
 * was. state of a step: pending running succeeded skipped timed-out failed refused aborted. */
json_t *engine_execution(const struct engine *engine, const char *id);
/* Array of the same, newest first, without events: those under way and the newest EXECUTIONS_KEPT that have ended. */
json_t *engine_executions(const struct engine *engine);
/* What `signalbox status` shows (levers by the word in force, never "default"):
 * {"cluster","epoch","generation",
 *  "rooms":[{"name","zone","ingress","compute","rate","fail_rate","share_percent"}],
 *  "entrances":[{"room","via","control","up","seen","status","rate"}]      up of seen edges see it up
 *  "lines":[{"name","from","to","control","state","seen","down","since_us","mbit_to","mbit_from","rate"}]
 *      state: up, down, part (some ends see it down), as gateways at its ends watch it (lineview.h); of one that ends
 * at an edge suspect (ring.h) or unwatched. mbit: sent from `from` to `to` and back, null: not known. rate: requests/s
 *      of that edge over the ring with that room, by whatever line,
 *  "roads": as roads.h has them,
 *  "edges":[{"name","kind","class","epoch","generation","state","age_ms","rate","fail_rate","error"}],
 *  "servers":[{"name","kind","zone","role","epoch","generation","state","age_ms","residual_ms","error"}],
 *  "services":[{"name","active","tier","rate","fail_rate","fail_percent","rooms":["room-a 50 %"]}],
 *  "executions":[{"id","plan","target","state","step","text"}],     those under way
 *  "alarms": as alarms.h has them,
 *  "warnings":[text]} */
json_t *engine_status(const struct engine *engine, int64_t now_us);
/* Array: the alarms of engine_status. */
json_t *engine_alarms(const struct engine *engine, int64_t now_us);
/* Array: the rows of edges and servers of engine_status. */
json_t *engine_agents(const struct engine *engine, int64_t now_us);

#endif
