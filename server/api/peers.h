/* peers.h: the connections of a listener: until when each may go on, and which are strangers'.
 *
 * A time-out that starts anew with each byte stops nobody who sends a byte now and then, so each connection has a
 * deadline for what it does now: headers, a body, an answer, doing nothing. Who misses it is cut off (shutdown; the
 * owner of the socket sees the end and closes it).
 *
 * A connection is a stranger's until a request on it has shown who asks. There is room for so many strangers only: one
 * more, and the oldest is cut off. So they never take the places of those who are known, however many come, and who
 * comes late is heard before his turn to go.
 *
 * Thread safety: any thread. A struct peer is the connection's: it is gone after peers_remove.
 */
#ifndef API_PEERS_H
#define API_PEERS_H

#include <stdbool.h>
#include <stdint.h>

#define PEERS_NO_DEADLINE INT64_MAX

struct peers;
struct peer;

struct peers_figures {
    unsigned open, strangers; /* now */
    uint64_t accepted;        /* since the start */
    uint64_t late, evicted;   /* of them cut off: missed a deadline; made room */
};

struct peers *peers_new(unsigned strangers_max);
void peers_free(struct peers *peers); /* all have been removed, or their sockets are closed */

/* fd stays the caller's, who calls peers_remove before he closes it. */
struct peer *peers_add(struct peers *peers, int fd, bool stranger, int64_t deadline_us);
void peers_remove(struct peers *peers, struct peer *peer);
/* Who asks is known from now on. */
void peers_trust(struct peers *peers, struct peer *peer);
bool peers_is_stranger(struct peers *peers, const struct peer *peer);
void peers_set_deadline(struct peers *peers, struct peer *peer, int64_t deadline_us);
/* Cuts off who is late; to be called several times a second. */
void peers_reap(struct peers *peers, int64_t now_us);
void peers_count(struct peers *peers, struct peers_figures *figures);

#endif
