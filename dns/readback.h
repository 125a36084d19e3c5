/* readback.h: what one authoritative server shows (c-ares, RD=0). UDP first, TCP when that is lost or truncated.
 *
 * A channel of its own for each server: a list of servers would hide which of them answered.
 * Thread safety: belongs to one thread.
 */
#ifndef DNS_READBACK_H
#define DNS_READBACK_H

#include "core/auto.h"
#include "schema/addr.h"
#include "schema/table.h"

#define READBACK_WINDOW 100     /* questions in flight: 1,000 overrun a UDP socket's buffer */
#define READBACK_SILENCE_MS 800 /* without any answer in this time the server is unreachable */

struct readback;
/* Calls end early when `stop_fd` (-1: none) becomes readable. */
struct readback *readback_new(const struct endpoint *server, int stop_fd, GError **error);
void readback_free(struct readback *readback);
SB_AUTO_DEFINE(readback, readback_free)

/* Takes one answer: the set that the server shows at owner and type, with its TTL; without rdata if there is none.
 * A CNAME at the owner of a question for another type is not followed. Frees the set with rrset_delete. */
typedef void (*readback_fn)(void *data, struct rrset *set);

/* Asks for owner and type of each set; waits for all answers. False when one is missing or no authoritative yes or no
 * (SB_ERROR_UNREACHABLE: no answer; UNAVAILABLE: an answer, but SERVFAIL, REFUSED, not authoritative, malformed); fn
 * has then had what came before. */
bool readback_ask(struct readback *readback, struct rrset *const *questions, unsigned n, readback_fn fn, void *data,
                  GError **error);

#endif
