/* giveup.h: requests that still wait for an answer of a room that is gone without a word. Pure.
 *
 * A request on a patient backend (render.h) that was acknowledged just before its entrance vanished has nothing on its
 * way: neither tcp-ut nor a check ends it, a keep-alive does after 2 s at the earliest. The checks of be_health know
 * after 0.7 s. So when all entrances of a room are down there, and each last check got no answer to its SYN, they are
 * marked down on patient backends too, whose own checks are slow (and bring them back); and when that is still so
 * GIVEUP_SETTLED_US later, what goes on with them is ended: HAProxy asks GET, HEAD and OPTIONS again, of a backup or an
 * escape, and fails the others at once. In between, connects that were under way run into their time-out and go
 * elsewhere: a request that is ended before it has a connection is not asked again. That is after 1.2 s at the latest.
 * Only on backends that have a backup: elsewhere there is nobody to ask.
 *
 * Not given up: what waits for an entrance that refuses (its machine is there and tells HAProxy of each connection that
 * it has lost), for one of which a sibling answers, that takes connections and is slow (L7TOUT), and anything while no
 * other server of be_health is up: then it is perhaps this edge that is cut off, and waiting is as good.
 * It can hit a room that lives: an interruption of all its entrances that lasts longer than the checks need and ends
 * before the requests' own time-out, or entrances that all serve on but drop every new connection for that long. What
 * is lost then are requests that may not be sent twice, and transfers under way. By then HAProxy has sent all others
 * elsewhere, and who is told of a failure at once can ask again, there; one who waits cannot know that it is worth it.
 * Each time that a room goes, once: what is sent later finds out by its connect. Streams of a HAProxy that is being
 * replaced are out of reach; they end by keep-alive and time-out.
 *
 * Ownership: results are the caller's. Thread safety: belongs to one thread.
 */
#ifndef DCDN_GIVEUP_H
#define DCDN_GIVEUP_H

#include "dcdn/edge_state.h"

#define GIVEUP_SETTLED_US 300000 /* more than `timeout connect` */

struct giveup;
struct giveup *giveup_new(void);
void giveup_free(struct giveup *giveup);
SB_AUTO_DEFINE(giveup, giveup_free)

/* One reading: the reply to `show stat be_health 4 -1`, or NULL when nobody knows, and then it begins anew. Commands
 * for HAProxy, "; " between them, or NULL. One line, of which HAProxy takes 16 KiB: some 200 commands.
 * notes: GPtrArray of char *, to which an event is added for each room that is given up. */
char *giveup_step(struct giveup *giveup, const struct edge_state *state, const char *health, int64_t now_us,
                  GPtrArray *notes);
/* When the next reading may end something; 0: no room is gone for which that has not been done. */
int64_t giveup_due_us(const struct giveup *giveup);

#endif
