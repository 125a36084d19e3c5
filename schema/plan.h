/* plan.h: contingency plans as they are written (YAML in runbooks/, or the API).
 *
 *   plan: room-isolated
 *   summary: The room's public entrances are gone; the room itself is alive.
 *   notes: ["When: ...", "Run: ..."]  # lines for whoever runs it at night; `plan show` prints them
 *   target: room                      # kind of the object the plan is run on; $target below
 *   steps:
 *     - name: close-entrances
 *       needs: [other-room]           # names of steps that must have ended well; absent: the step before
 *       timeout: 10s                  # ms, s, m; default 30s
 *       on_failure: stop              # stop | rollback | continue | ask (a person: skip, abort, or resume, which tries
 *                                     #   again; of a plan that was run what has not succeeded)
 *       pre: [room-open]              # checks that must hold before it begins
 *       post: [entrances-healthy]     # checks that must come to hold when it is done
 *       set:
 *         - {control: room.ingress, on: $target, value: closed}
 *         - {control: group.edge_class, on: home=$target, value: dedicated}   # see selectors
 *     - {name: other-room, check: room-open}      # room-open | forecast | entrances-healthy; of a
 *                                                 # component: writes-stopped | consumption-stopped
 *     - {name: edges, wait: edges}                # edges | dns | eastwest | converged
 *     - {name: proof, verify: share}
 *     - {name: golden, verify: transactions, room: $to, transaction: buy}   # down the real road, before anybody is
 *                                     # moved; others: each open room but the target; without transaction: all that are
 *                                     # about the target services, or about none. engine_transaction.c
 *     - name: warm                    # pages that the room is to have at hand before users come; engine_warm.c
 *       warm:
 *         room: $to                   # each request carries a pin to it
 *         urls: ["http://play.example.test/list"]      # names are domains; edges are asked, over HTTP
 *         edges: [edge-1, edge-2]     # each for all of them; absent: one public edge
 *         rate: 20                    # requests/s at most; default 10
 *         share: 90                   # percent that the room must answer with 200; default 95
 *     - {name: child, run: other-plan}            # what fails there for rollback is set back with the whole of this
 *     - {name: second, approve: "Read the forecast first.", timeout: 30m}     # a second person; see engine_act.c
 *     - name: shift                   # slots of users, in stages; engine_ramp.c
 *       timeout: 5m                   # for a stage, besides its bake: edges apply it, enough requests are seen
 *       ramp:
 *         "on": $target               # a service, $target, or multi: all multi-active services
 *         to: $to                     # room that gets all slots; or `away: ROOM`: its slots go to other open rooms
 *         stages: [5, 25, 50, 75, 100]   # percent of what is to move
 *         bake: 30s                   # a stage is watched so long before the next
 *         errors: 1                   # percent of requests that may fail more than before; default 1
 *         latency: 500ms              # of probes of the gaining rooms' entrances, their median; absent: not looked at
 *         requests: 50                # fewer in the gaining rooms prove nothing; default 50
 *     - name: promote                 # an HTTP call; engine_hook.c
 *       timeout: 2m                   # for all of it, and again for its undo
 *       hook:
 *         url: https://db.example/primary/$target      # the host is as it is written
 *         key: db-operator            # signs it: NAME.whsec of the server's key folder, as for a webhook
 *         method: PUT                 # GET POST PUT PATCH DELETE; default POST
 *         body: {by: $actor, why: $reason}             # JSON; absent: none
 *         headers: {X-Cluster: main}
 *         status: [200, 202]          # that is right; default: any 2xx
 *         member: state               # of the JSON answer, a.b is a member of a member
 *         is: primary                 # what it must be; a GET is asked again until it is
 *         repeat: false               # default true: the receiver knows Idempotency-Key, and may be asked twice
 *         undo: {method: DELETE, url: ..., ...}        # for rollback and abort; key and repeat are those above
 *     - {name: tell, notify: {to: WEBHOOK, text: "$plan $target: $error"}}    # to: a webhook of the inventory
 *
 * A plan may have parameters, `params: {to: room}`: names of objects of these kinds, given when it is started, that
 * stand for $to in a ramp, and rooms as the value of component.primary. A target of a plan may be several names,
 * "playback,home".
 *
 * Selectors, that stand for objects of the lever's kind when the plan is started: home=$target, groups or services of
 * single-room services at home in the target room, or none; stranded=$target, the same, but none where the room has an
 * escape (server/interlocking/gateways.h) whose lines are not all known to be down; carrier=$target, the variants of
 * the target carrier, at least one.
 *
 * Words in the texts of hook and notify (template.h): $plan $execution $step $target and $NAME of a parameter; in body
 * and text $actor and $reason too; in text $error (what went wrong first) and $generation (the newest it has written).
 *
 * Ownership: struct plan owns all; plan_free. Thread safety: pure functions.
 */
#ifndef SCHEMA_PLAN_H
#define SCHEMA_PLAN_H

#include "core/auto.h"
#include "schema/control.h"

enum step_kind {
#define STEP(symbol, ...) STEP_##symbol,
#include "schema/steps.def"
#undef STEP
    STEP_KINDS
};
const char *step_kind_name(enum step_kind kind);
char *step_kinds_text(void); /* "exactly one of check, set, ..."; g_free */
enum on_failure { ON_FAILURE_STOP, ON_FAILURE_ROLLBACK, ON_FAILURE_CONTINUE, ON_FAILURE_ASK };

struct plan_set {
    enum lever lever;
    char *on;    /* object name, "$target" or a selector */
    char *value; /* value of the lever or "default" */
};
struct plan_step {
    char *name;
    char *at; /* "file:line" when the plan was read from one, for findings; else NULL */
    enum step_kind kind;
    char **needs; /* names; empty: may start at once */
    int64_t timeout_us;
    enum on_failure on_failure;
    char *argument;     /* check, wait, verify: the word; run: the plan's name; approve: the text */
    GArray *sets;       /* SET: struct plan_set */
    json_t *spec;       /* RAMP: as written, with defaults and times as "bake_us", "latency_us"; VERIFY of transactions:
                         * "room", "transaction"; HOOK, NOTIFY, WARM: as written, with defaults; else NULL */
    char **pre, **post; /* words of checks; may be NULL */
};
struct plan {
    char *name, *summary;
    int target_kind;   /* enum object_kind, or -1: no target */
    uint64_t revision; /* generation that last changed it */
    json_t *params;    /* name -> name of a kind of object; {}: none */
    GPtrArray *steps;  /* struct plan_step *, in the order written; needs point backwards only, so no circles */
    json_t *source;    /* as it was given, without "@line": what export gives back */
};
/* NULL with findings (unknown keys, cycles, unknown steps in needs, wrong values). at: where the plan stands, or NULL;
 * a member "at" of the plan itself goes first, and "@line" members make findings name the line of a step. Steps that
 * need later ones are put behind them; otherwise the order is kept. */
struct plan *plan_from_json(const json_t *json, const char *at, GPtrArray *findings);
json_t *plan_to_json(const struct plan *plan); /* new reference to a copy of source */
/* What no single plan can know: plans that `run` names exist and take the same kind of target, none runs itself by any
 * way; objects that `set` names exist. plans: name -> struct plan *. */
void plans_validate(GHashTable *plans, const struct inventory *inv, GPtrArray *findings);
struct plan *plan_copy(const struct plan *plan);
void plan_free(struct plan *plan);
SB_AUTO_DEFINE(plan, plan_free)

#endif
