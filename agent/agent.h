/* agent.h: the agent's loop as a state machine without I/O: poll, fetch, promise, persist, apply, read back, report.
 *
 * agent_step takes one event and returns effects, which the shell (agent/shell.h, or the simulator) carries out in
 * order; the outcome of each comes back as an event. The order is the safety: a promise is durable before anything of
 * its epoch is fetched, let alone applied; a table is durable before it is applied, so that a reload cannot bring back
 * an older one; only what was read back is reported as applied.
 *
 *   WAITING --newer epoch--> PROMISING --durable--> FETCHING --parts here--> PERSISTING --durable--> APPLYING
 *      ^  '----------------- newer generation ---------^ |                                              |
 *      '---- refused, with why --------------------------'   reported applied <-- equal -- READING BACK <'
 * An outcome that is a failure goes back to WAITING with a retry after a growing delay; last-good stays in force.
 *
 * Claim: an epoch is promised as soon as any server tells of it, in a manifest or in the answer to a report, with or
 * without a table of it; what is being applied ends first, and nothing of an older epoch is made durable after the
 * promise was reported. What was durable before, and failed to be applied, is tried again until a newer one comes: it
 * is no newer than the world that the new reign claims with, which its own table brings next.
 * Servers (agent/servers.h): the table is asked for where the newest is. A poll or a fetch that does not come forward
 * is given up after AGENT_PATIENCE_US, doubled each time, and the next server is asked; parts that came are kept.
 * Hold: while it lasts a newer table is promised and fetched, but not made durable and not applied.
 *
 * Damage: when last-good is lost and only an older table is left on disk, that one is not applied at the start: what
 * was in force stays until a server has it or a newer one. It is for a data plane that itself starts anew.
 *
 * Refused: another cluster, an epoch older than promised, a generation older than applied within the epoch, a part
 * that does not fit its hash or its grammar.  Thread safety: a struct agent belongs to one thread.
 */
#ifndef AGENT_AGENT_H
#define AGENT_AGENT_H

#include "agent/servers.h"
#include "schema/table.h"

#define AGENT_PATIENCE_US 1000000      /* for all parts of a table, or for a manifest that a server says it has */
#define AGENT_PATIENCE_MAX_US 30000000 /* a large table over a slow line must come in the end */

enum agent_event_kind {
    AGENT_START,     /* state loaded from disk is in `manifest` (stamp 0: none) and `promised`; `stamp`: newest that was
                      * ever applied; text: what of it is damaged, or NULL */
    AGENT_MANIFEST,  /* poll answered with `manifest` */
    AGENT_UNCHANGED, /* poll answered: nothing new */
    AGENT_POLL_FAILED, /* text: why */
    AGENT_PART,        /* part `hash` came: `bytes` */
    AGENT_PART_FAILED,
    AGENT_PROMISED,     /* promise is durable */
    AGENT_PERSISTED,    /* table is durable */
    AGENT_DISK_FAILED,  /* text: why; of a promise or a table */
    AGENT_APPLIED,      /* actuator took it and read back equal */
    AGENT_APPLY_FAILED, /* text: why */
    AGENT_RESTARTED,    /* actuator is a new process, or was changed by someone else: apply again */
    AGENT_TICK,         /* time passed */
    AGENT_HEARD,        /* `server` answered a report; its newest table is `stamp` (epoch 0: it did not say) */
    AGENT_SILENT,       /* `server` did not answer a report; text: why */
    AGENT_HOLD,         /* text: who holds and why; NULL: released */
};
struct agent_event {
    enum agent_event_kind kind;
    const struct manifest *manifest;
    uint64_t promised;
    const char *hash;
    GBytes *bytes;
    const char *text;
    unsigned server;
    struct stamp stamp;
};

enum agent_effect_kind {
    AGENT_POLL,          /* ask server `server` for a table newer than `stamp`; ends every question under way */
    AGENT_FETCH,         /* ask it for part `hash` */
    AGENT_WRITE_PROMISE, /* make `epoch` durable */
    AGENT_WRITE_TABLE,   /* make manifest and parts durable */
    AGENT_APPLY,         /* apply manifest and parts, then read back */
    AGENT_REPORT,        /* report soon: state has changed */
};
struct agent_effect {
    enum agent_effect_kind kind;
    unsigned server;
    struct stamp stamp;
    uint64_t epoch;
    char hash[PART_HASH_SIZE];
};
#define AGENT_EFFECTS_MAX 16

struct agent_config {
    const char *cluster, *edge;
    unsigned n_servers; /* at most AGENT_SERVERS_MAX */
    unsigned bug;       /* simulator only, see AGENT_BUG_... */
};
#define AGENT_BUG_NO_EPOCH_CHECK 1u
#define AGENT_BUG_ACK_BEFORE_PERSIST 2u
#define AGENT_BUG_NO_PROMISE 4u /* promises nothing but what it has applied */

struct agent;
struct agent *agent_new(const struct agent_config *config);
void agent_free(struct agent *agent);
/* Returns the number of effects written to out; *next_us: when AGENT_TICK is wanted. */
unsigned agent_step(struct agent *agent, const struct agent_event *event, int64_t now_us,
                    struct agent_effect out[static AGENT_EFFECTS_MAX], int64_t *next_us);

/* Reading. */
uint64_t agent_promised(const struct agent *agent);
struct stamp agent_applied(const struct agent *agent); /* proven by read-back; what reports say */
const char *agent_state(const struct agent *agent);    /* "applied", "applying", "refused", "failing", "held" */
const char *agent_error(const struct agent *agent);    /* or NULL */
/* The table that WRITE_TABLE and APPLY speak of; parts are the agent's. NULL before there is one. */
const struct manifest *agent_table(const struct agent *agent, GBytes *const **parts);
/* Parts of last-good, given before AGENT_START when loaded from disk. */
void agent_keep_part(struct agent *agent, const char *hash, GBytes *bytes);

#endif
