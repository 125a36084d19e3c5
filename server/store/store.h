/* store.h: history for people: what happened, by whom, and the newest state of executions and objects. It is fed from
 * the journal and never decides anything; with the store away the server runs on and catches up later.
 *
 * Thread safety: a store belongs to one thread at a time.
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include "server/store/journal.h"

struct store;
/* url: as db_open takes it. */
struct store *store_open(const char *url, GError **error);
void store_close(struct store *store); /* NULL is allowed */
SB_AUTO_DEFINE(store, store_close)

/* The last entry of this server's journal that is in the store, and its epoch; 0: none. */
bool store_position(struct store *store, unsigned node, uint64_t *epoch, uint64_t *seq, GError **error);

/* A batch is one transaction: begin, put rows in the order of the journal, commit at the position of the last one.
 * A row that is there already changes nothing. Kinds that are no history (tokens) are passed over. */
bool store_begin(struct store *store, GError **error);
bool store_put(struct store *store, const struct journal_row *row, GError **error);
bool store_commit(struct store *store, unsigned node, uint64_t epoch, uint64_t seq, GError **error);
void store_rollback(struct store *store);

/* Records of the audit behind (epoch, seq), in that order, at most `limit`; of all servers. */
bool store_read_audit(struct store *store, uint64_t epoch, uint64_t seq, unsigned limit, journal_row_fn fn, void *data,
                      GError **error);

#endif
