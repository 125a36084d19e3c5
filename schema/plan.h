/* plan.h: contingency plans as they are written (YAML in runbooks/, or the API).
 *
 *   plan: room-isolated
 *   summary: The room's public entrances are gone; the room itself is alive.
 *   target: room                      # kind of the object the plan is run on; $target below
 *   steps:
 *     - name: close-entrances
 *       needs: [other-room]           # names of steps that must have ended well; absent: the step before
 *       timeout: 10s                  # ms, s, m; default 30s
 *       on_failure: stop              # stop | rollback | continue
 *       set:
 *         - {control: room.ingress, on: $target, value: closed}
 *         - {control: group.edge_class, on: home=$target, value: dedicated}   # see selectors
 *     - {name: other-room, check: room-open}      # room-open | forecast | entrances-healthy
 *     - {name: edges, wait: edges}                # edges | dns | converged
 *     - {name: proof, verify: share}
 *     - {name: child, run: other-plan}
 *
 * Selectors, that stand for objects of the lever's kind when the plan is started: home=$target, groups or services of
 * single-room services at home in the target room, or none; carrier=$target, the variants of the target carrier, at
 * least one.
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
enum on_failure { ON_FAILURE_STOP, ON_FAILURE_ROLLBACK, ON_FAILURE_CONTINUE };

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
    char *argument; /* check, wait, verify: the word; run: the plan's name */
    GArray *sets;   /* SET: struct plan_set */
};
struct plan {
    char *name, *summary;
    int target_kind;   /* enum object_kind, or -1: no target */
    uint64_t revision; /* generation that last changed it */
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
