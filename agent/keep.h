/* keep.h: what an agent keeps on disk: its promise, its last-good table, and the log of what took effect.
 *
 *   FOLDER/promise       newest epoch promised
 *   FOLDER/table         last-good: a line with a hash, then JSON: manifest, and parts up to 64 KiB inside
 *   FOLDER/table.prev    the one before, taken at start when `table` is damaged
 *   FOLDER/parts/HASH    larger parts, shared by both
 *   FOLDER/applied.log   one JSON line for each stamp that took effect, once: {"at_us","epoch","generation","cause"}
 *
 * Every write is durable when its function returns (file_write_atomic); a crash at any point leaves the old or the new.
 * Thread safety: a struct keep belongs to one thread.
 */
#ifndef AGENT_KEEP_H
#define AGENT_KEEP_H

#include "core/auto.h"
#include "schema/table.h"

struct keep;
/* Makes the folder if it is missing. */
struct keep *keep_new(const char *folder, GError **error);
void keep_free(struct keep *keep);
SB_AUTO_DEFINE(keep, keep_free)

struct kept {
    uint64_t promised;        /* 0: none */
    struct manifest manifest; /* stamp 0: none */
    GBytes *parts[PARTS];
};
void kept_clear(struct kept *kept);

/* Reads promise and table. What is damaged, or is of another cluster or edge, is left out and said in `notes`
 * (char *, owned by the array); it never fails, because an agent without last-good still has its servers. */
void keep_load(struct keep *keep, const char *cluster, const char *edge, struct kept *out, GPtrArray *notes);

bool keep_write_promise(struct keep *keep, uint64_t epoch, GError **error);
bool keep_write_table(struct keep *keep, const struct manifest *manifest, GBytes *const parts[static PARTS],
                      GError **error);
/* Of the last whole line of applied.log; epoch 0: none. */
struct stamp keep_logged(const struct keep *keep);
/* Appends to applied.log unless its last line has this stamp already. */
bool keep_log_applied(struct keep *keep, const struct manifest *manifest, int64_t wall_us, GError **error);

#endif
