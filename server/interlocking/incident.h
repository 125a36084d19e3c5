/* incident.h: the black box. What the engine was told, as data; the engine told again from it; and an incident as a
 * text that anybody can replay.
 *
 * The engine is pure: the same inputs give the same effects, byte for byte. With engine_config.told set it hands on
 * each input before it acts on it. An input is an object; "at" is the engine's clock, "offset" what is to be added for
 * wall clock, both µs:
 *   {"in": "config", "cluster", "seed", "share_moved_max", "offset", "version"}   a new engine
 *   {"in": "restore", "kind", "id", "body"}                      engine_restore; a token's body is never here
 *   {"in": "start", "at", "epoch"}                               engine_start: a reign begins; 0: engine_start_reading
 *   {"in": "state", ...}                                         instead of start: goes on within a reign (snapshots)
 *   {"in": "tick", "at"}                                         engine_tick; only those that had an effect
 *   {"in": "edge", "at", "edge", "report"}                       engine_edge_report
 *   {"in": "server", "at", "report"}                             engine_server_report
 *   {"in": "apply", "at", "offset", "asker", "dry_run", "body"}
 *   {"in": "set", "at", "offset", "asker", "dry_run", "changes", "if_match"}
 *   {"in": "run", "at", "offset", "asker", "dry_run", "plan", "target"}
 *   {"in": "abort", "at", "offset", "asker", "execution"}
 *   {"in": "journal", "at", "offset", "asker", "kind", "id", "what", "ended"}     engine_journal, without the body
 *
 * An incident is a text of lines, and a golden case as it stands. Lines that begin with a space are what came out; all
 * others are what went in:
 *   # ...                                 a remark
 *   config {...}                          as above, and "base": the engine's clock that "+0.000000" stands for
 *   restore KIND ID {...}                 the state at the beginning
 *   state {...}
 *   +SECONDS edge EDGE {...}              what differs from that edge's last report (schema/jsondelta.h)
 *   +SECONDS server|apply|set|run|abort|journal|tick {...}
 *   +SECONDS restart {...}                the process ended here; a new engine is restored from what it had journalled
 *   +SECONDS mark                         status and roads as people saw them are written here
 *     = journal 3 0123...                 an effect: its entries, and the hash of all their bytes
 *       event x-1/2 started by alice      ... in short
 *     = publish 65537 12 0123...          a generation: the hash of all tables and records
 *     ! text                              the input was refused
 *     | text                              of a mark
 *
 * Thread safety: engine_snapshot_new is the engine's thread's; a snapshot may be emitted and freed by any one thread.
 * The rest are pure functions.
 */
#ifndef INTERLOCKING_INCIDENT_H
#define INTERLOCKING_INCIDENT_H

#include "server/interlocking/engine.h"

/* Does one input but "config", "restore" with a body that was left out, and "restart". False: it is none
 * (SB_ERROR_INVALID) or the engine refused it; *refused then tells which. */
bool engine_input(struct engine *engine, const json_t *input, struct effects *out, bool *refused, GError **error);
/* A new engine of a "config"; NULL if it is none. */
struct engine *engine_of_config(const json_t *input, GError **error);

/* All that an engine is, so that another goes on where it stands. Taken in a moment (the world is shared), written out
 * later: config, restore ..., state. */
struct engine_snapshot;
struct engine_snapshot *engine_snapshot_new(const struct engine *engine);
void engine_snapshot_emit(const struct engine_snapshot *snapshot, engine_told_fn fn, void *data);
void engine_snapshot_free(struct engine_snapshot *snapshot);

/* Hashes of what an effect is, over every byte; tokens' bodies count as {}. */
void effect_hash(const struct effect *effect, char hash[static PART_HASH_SIZE]);

/* Replays an incident: the same text with what comes out now. NULL with SB_ERROR_INVALID, "line 12: ...", if it cannot
 * be read. g_free. */
char *incident_replay(const char *text, GError **error);

#endif
