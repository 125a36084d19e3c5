/* recorder.h: the black box on disk: what the engine was told and what it did about it, for the last hours.
 *
 * A folder holds a ring of files, NUMBER-BEGIN.gz (BEGIN: wall clock, µs since 1970). Each is gzip of lines of text
 * that can be replayed by itself (server/interlocking/incident.h):
 *   # {"recording": 1, "continues": true}      true: nothing is missing between the file before and this one
 *   {"in": "config", ...}                      a snapshot of the engine, then each input
 *   > publish 2.17 0123...                     what the engine wanted done about the input before, in order
 * A file without gzip's end was cut off by a crash: about the last second of it is lost.
 *
 * Nothing here is in the way of a change: the engine's thread makes a line of each input (JSON is not shared by
 * threads: its reference counts are not made for that), a thread of low priority writes, compresses and makes room;
 * nothing is synced. What it cannot follow, and what the disk does not take, is dropped and the file ends; a new one
 * begins with a snapshot when that is over. The oldest files go when the folder is larger, or they are older, than was
 * asked for.
 *
 * Thread safety: recorder_told, _done and _turn belong to the engine's thread; recorder_trouble and recorder_list may
 * be called from any.
 */
#ifndef ENGINE_RECORDER_H
#define ENGINE_RECORDER_H

#include "server/interlocking/incident.h"

struct recorder;
struct recorder_config {
    const char *folder; /* made when absent */
    uint64_t size_max;  /* bytes of all files, about */
    int64_t age_max_us; /* of a file's end */
    uint64_t file_max;  /* bytes; 0: a sixteenth of size_max, 32 MiB at most: clients fetch files whole */
};
struct recorder *recorder_new(const struct recorder_config *config);
/* Writes what was handed over, ends the file. NULL is allowed. */
void recorder_free(struct recorder *recorder);

/* engine_told_fn. */
void recorder_told(void *recorder, const json_t *input);
/* An effect of the engine, before it is carried out. */
void recorder_done(struct recorder *recorder, const struct effect *effect);
/* At the end of each turn of the engine: takes a snapshot when one is wanted. */
void recorder_turn(struct recorder *recorder, const struct engine *engine);

/* Waits until what was handed over is in the file; false: it is not after wait_us. Any thread. */
bool recorder_flush(struct recorder *recorder, int64_t wait_us);
/* Why nothing is recorded now; NULL: it is. g_free. */
char *recorder_trouble(struct recorder *recorder);
/* [{"name", "began_us", "ended_us", "size"}], oldest first; ended_us: it holds what happened until
 * then. */
json_t *recorder_list(const char *folder);
/* Is it the name of a file as recorder_list gives them? */
bool recorder_is_name(const char *name);

#endif
