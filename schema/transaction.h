/* transaction.h: golden transactions (objects.def: transaction, txrequest): what is asked, and whether the answers are
 * as they should be. Who asks is server/engine/transactions.h.
 *
 * A request is JSON, as it stands in an effect of the engine and in the black box:
 *   {"name", "method", "host", "path", "headers": ["Name: value"], "body", "status", "header", "json", "text",
 * "limit_ms", "take"}
 * ${NAME} in path, headers and body is what `take` of an earlier answer of the same run gave. An answer must come from
 * the room that the run is about (X-SB-Room), within its time.
 *
 * Thread safety: pure functions.
 */
#ifndef SCHEMA_TRANSACTION_H
#define SCHEMA_TRANSACTION_H

#include "schema/inventory.h"

#define TXREQUEST_LIMIT_MS 1000 /* of a request that says nothing */
#define TXREQUEST_STATUS 200

/* Requests of a transaction as a list of the above, in their order; a new reference. */
json_t *transaction_requests(const struct inventory *inv, const char *transaction);
/* Fields of requests that have a form of their own, and that no two have the same place. */
void txrequests_validate(const struct inventory *inv, GPtrArray *findings);

/* A request with what is known put in; all g_free'd by txrequest_clear. */
struct txrequest_filled {
    char *method, *path, *body; /* body: or NULL */
    char **headers;             /* NULL-terminated; with Host */
};
/* vars: name -> text. False with SB_ERROR_INVALID: a name is not known. */
bool txrequest_fill(const json_t *request, const json_t *vars, struct txrequest_filled *out, GError **error);
void txrequest_clear(struct txrequest_filled *filled);

struct txanswer {
    const char *failure; /* why there is none, or NULL */
    unsigned status;
    const char *head, *body; /* lines of the head; "" when there is none */
    int64_t took_us;
};
/* Evidence: {"request", "ok", "status", "ms", "room", "why"}; a new reference. vars grows by what the answer gives.
 * room: that is to answer. */
json_t *txrequest_judge(const json_t *request, const char *room, const struct txanswer *answer, json_t *vars);

#endif
