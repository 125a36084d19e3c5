/* response.h: what a primary's answer to an update means.
 *
 * Thread safety: pure functions.
 */
#ifndef DNS_RESPONSE_H
#define DNS_RESPONSE_H

#include "dns/message.h"

enum update_outcome {
    UPDATE_APPLIED,  /* as the server says; only read-back proves it (RFC 2136 3.4.2.2) */
    UPDATE_CONFLICT, /* the prerequisite failed: nothing was applied, another writer was first */
    UPDATE_REJECTED, /* nothing was applied; reason says whose mistake it is */
    UPDATE_UNKNOWN,  /* no answer, or none that can be believed: read the sentinel */
};
const char *update_outcome_name(enum update_outcome outcome);

/* reason: NULL or words, g_free by the caller. */
enum update_outcome response_judge(const struct message *request, const knot_tsig_key_t *key, const char *zone,
                                   const uint8_t *wire, size_t size, char **reason);

/* Which of the refusals that servers word alike it is. Only for an answer that was judged UPDATE_REJECTED. */
enum response_cause {
    RESPONSE_OTHER,
    RESPONSE_BADKEY,  /* the key is unknown, or (Knot) the access list does not allow what the update holds */
    RESPONSE_REFUSED, /* an access list: of the zone, or (BIND) of what the update holds */
};
enum response_cause response_cause(const struct message *request, const uint8_t *wire, size_t size);

/* True: an answer to this NOTIFY or UPDATE, signed by the key, with this rcode. For NOTIFY. */
bool response_verified(const struct message *request, const knot_tsig_key_t *key, const uint8_t *wire, size_t size,
                       uint8_t *rcode);

/* Why an answer to a NOTIFY or UPDATE says no, and what mends it; NULL: it does not, or is no answer to it. g_free. */
char *response_refusal(const struct message *request, const knot_tsig_key_t *key, const char *zone, const uint8_t *wire,
                       size_t size);

#endif
