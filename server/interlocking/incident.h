/* incident.h: the black box. What the engine was told, as data; the engine told again from it; and an incident as a
 * text that anybody can replay.
 *
 * The engine is pure: the same inputs give the same effects, byte for byte. With engine_config.told set it hands on
 * each input before it acts on it, but a tick, which is handed on after it had an effect. An input is an object; "at"
 * is the engine's clock, "offset" what is to be added for wall clock, both µs:
 *   {"in": "config", "cluster", "seed", "share_moved_max", "offset", "version"}   a new engine
 *   {"in": "restore", "kind", "id", "body"}                      engine_restore; a token's body is never here
 *   {"in": "start", "at", "epoch"}                               engine_start: a reign begins; 0: engine_start_reading
 *   {"in": "state", ...}                                         instead of start: goes on within a reign (snapshots)
 *   {"in": "tick", "at"}                                         engine_tick; only those that had an effect
 *   {"in": "edge", "at", "edge", "report"}                       engine_edge_report
 *   {"in": "server", "at", "report"}                             engine_server_report
 *   {"in": "transactions", "at", "result"}                       engine_transactions_done
 *   {"in": "call", "at", "result"}                               engine_call_report
 *   {"in": "apply", "at", "offset", "asker", "dry_run", "body"}
 *   {"in": "set", "at", "offset", "asker", "dry_run", "changes", "if_match"}
 *   {"in": "run", "at", "offset", "asker", "dry_run", "plan", "target"}
 *   {"in": "abort", "at", "offset", "asker", "execution"}
 *   {"in": "pin", "at", "offset", "asker", "body"}               engine_pin_issue
 *   {"in": "pinkeys", "at", "offset", "asker", "body"}           engine_pin_keys, without the secret
 *   {"in": "journal", "at", "offset", "asker", "kind", "id", "what", "ended"}     engine_journal, without the body
 *
 * A recording is one input on each line, as JSON. A "config" begins an engine: the first line is one, and each restart
 * of the process is another, followed by what was restored and a "start". Before any line a snapshot may be put in
 * place of all that was before. What came out is a text, that of effect_lines, with "> refused: REASON" for an input
 * that the engine refused. Lines that begin with # (remarks) or > (effects, as they came out when it was recorded) are
 * passed over.
 *
 * Thread safety: engine_snapshot_new is the engine's thread's; a snapshot may be emitted and freed by any one thread.
 * The rest are pure functions.
 */
#ifndef INTERLOCKING_INCIDENT_H
#define INTERLOCKING_INCIDENT_H

#include "server/interlocking/engine.h"

/* Does one input, but for "config". False: it is none (SB_ERROR_INVALID) or the engine refused it; *refused then tells
 * which. */
bool engine_input(struct engine *engine, const json_t *input, struct effects *out, bool *refused, GError **error);
/* A new engine of a "config"; NULL if it is none. */
struct engine *engine_of_config(const json_t *input, GError **error);

/* All that an engine is, so that another goes on where it stands. Taken in a moment (the world is shared), written out
 * later: config, restore ..., state. */
struct engine_snapshot;
struct engine_snapshot *engine_snapshot_new(const struct engine *engine);
void engine_snapshot_emit(const struct engine_snapshot *snapshot, engine_told_fn fn, void *data);
void engine_snapshot_free(struct engine_snapshot *snapshot);

/* Appends what the effect is, for people and for comparison, as lines that stand between inputs; the hash is over every
 * byte that the caller is to write or to give out, but for bodies of tokens and secrets of keys:
 *   > journal 2 entries 0123...
 *   >   event x-1/2
 *   >   execution x-1
 *   > publish 2.17 0123...                EPOCH.GENERATION
 *   > ask x-1/golden 0123... */
void effect_lines(const struct effect *effect, GString *out);

/* Does any input on *engine, which a "config" replaces; effects and a refusal are appended as lines behind "> ". False:
 * it is none. */
bool incident_input(struct engine **engine, const json_t *input, GString *out, GError **error);

#endif
