/* callee_table.h: what a client knows of whom it calls, and whom it picks: the pure half of callee.h, which has the
 * rules.
 *
 * Thread safety: pure functions on one struct. Times are of one clock that never goes back, µs.
 */
#ifndef CLIENT_CALLEE_TABLE_H
#define CLIENT_CALLEE_TABLE_H

#include "callee.h"

struct callee_table;
struct callee_table *callee_table_new(const struct callee_config *config);
void callee_table_free(struct callee_table *table);
const char *callee_table_row_key(const struct callee_table *table);
const char *callee_table_instances_prefix(const struct callee_table *table); /* with a slash at its end */

/* A key of etcd has this value now; NULL: it was removed. False: it is no such row (for these callers), or the row is
 * gone; the last good one counts. */
bool callee_table_hear(struct callee_table *table, const char *key, const char *value, int64_t now_us, GError **error);
/* All keys that there are (a set); instances that are not among them are gone. */
void callee_table_only(struct callee_table *table, GHashTable *keys, int64_t now_us);
/* Makes the choice anew; after any of the above, and from time to time. */
void callee_table_settle(struct callee_table *table, int64_t now_us);

bool callee_table_known(const struct callee_table *table); /* there is a row */
bool callee_table_protected(const struct callee_table *table);
/* As callee_pick, of the last callee_table_settle; borrowed until the next one. */
const char *callee_table_pick(const struct callee_table *table, uint64_t roll, const char **zone);

/* The text of a cache, g_free; and back. False: it is none of this callee. */
char *callee_table_dump(const struct callee_table *table, int64_t wall_us);
bool callee_table_load(struct callee_table *table, const char *text, int64_t now_us, int64_t *wall_us, GError **error);

#endif
