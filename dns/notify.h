/* notify.h: NOTIFY (RFC 1996), signed, to the secondaries of a primary, repeated until each has answered. Knot 3.2
 * sends its own about 1 s after an update; this one makes secondaries follow in milliseconds.
 *
 * Thread safety: belongs to one thread. Nothing here blocks.
 */
#ifndef DNS_NOTIFY_H
#define DNS_NOTIFY_H

#include <poll.h>
#include "dns/message.h"
#include "schema/addr.h"

struct notify;
/* The key is borrowed. */
struct notify *notify_new(const char *zone, const struct endpoint *targets, unsigned n, const knot_tsig_key_t *key);
void notify_free(struct notify *notify);
/* The zone has changed: tell all. time_s: wall clock, for the signature. */
void notify_start(struct notify *notify, uint64_t time_s, int64_t now_us);
/* Takes in answers, sends again what is due. Returns when it wants to be called again (INT64_MAX: nothing to do). */
int64_t notify_turn(struct notify *notify, uint64_t time_s, int64_t now_us);
/* How it was taken, in words, of the first target that has not taken it: "it refuses our NOTIFY: ..."; g_free. */
char *notify_words(const struct notify *notify);
/* Sockets to wait on, room for one for each target; returns how many. */
unsigned notify_fds(const struct notify *notify, struct pollfd *fds);

#endif
