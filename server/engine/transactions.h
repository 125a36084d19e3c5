/* transactions.h: asks what an EFFECT_ASK says (server/interlocking/engine_transaction.c): the requests of golden
 * transactions, and pages that are to be warmed, one after the other, at the pace that it says, of edges, over HTTP.
 *
 * Cookies of a request: uid, where the transaction runs as a user, and a pin to the room. At the first request that is
 * not as it should be the transaction ends; the next begins. No name is resolved, no redirect followed, and no request
 * takes longer than its limit and a moment.
 * Thread safety: belongs to its loop's thread.
 */
#ifndef ENGINE_TRANSACTIONS_H
#define ENGINE_TRANSACTIONS_H

#include "core/loop.h"
#include "schema/pin.h"

struct transactions;
/* result: as engine_transactions_done takes it; borrowed for the call. */
typedef void (*transactions_fn)(void *data, const json_t *result);
struct transactions *transactions_new(struct loop *loop, transactions_fn done, void *data, GError **error);
/* Ends what is under way, without a result. NULL is allowed. */
void transactions_free(struct transactions *transactions);
/* ask: of the effect. keys: the first one signs; there is one. */
void transactions_ask(struct transactions *transactions, const json_t *ask, const struct pin_keys *keys);

#endif
