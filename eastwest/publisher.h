/* publisher.h: what is to be said to a registry next, and what follows from its answers: the pure half of the driver.
 *
 * The keys are PREFIX/v1/service/NAME/CALLER and their like with one JSON text each, as they were set, and
 * PREFIX/sentinel (schema/fence.h). Level-triggered: each turn looks (sentinel and whatever changed since the last
 * look, one linearizable transaction), then writes what differs, at most, and looks again.
 *
 *              set                      all keys and the sentinel were read: equal
 *   (nothing) ----> updating ----------------------------------------------> converged --. every AUDIT_US: look again
 *                    |   ^  ^ looked                                             ^       |
 *        no answer   |   |  '--- unknown <-- a write was sent, no answer         '-------'
 *                    v   |
 *              unreachable        conflict: a newer epoch's sentinel        refused: etcd or this file said no
 *   From each of them the next turn leads to any other.
 *
 * Fence: every write compares the revision at which the sentinel was last changed and sets a new one in the same
 * transaction, so an older writer loses at etcd, and of two writers one wins. A claim of an epoch is such a write
 * without other keys. A write without an answer is settled by looking: sent again it can take effect once only. More
 * than ETCD_OPS_MAX changes go in several writes, additions first; the sentinel says "part K/M" until the last. Nothing
 * becomes empty: endpoints without a line are refused. An etcd whose revision went back, or that is another cluster, is
 * read whole.
 *
 * Thread safety: pure functions on one struct.
 */
#ifndef EASTWEST_PUBLISHER_H
#define EASTWEST_PUBLISHER_H

#include "schema/table.h"

#define REGISTRY_PREFIX "/signalbox" /* of keys, where the inventory does not say */
#define REGISTRY_AUDIT_US 500000     /* between two looks while nothing is to be done */
#define REGISTRY_REQUEST_MS 700      /* a member that has not answered by then is passed over */

struct registry_status {
    struct stamp confirmed; /* every key of it was read back */
    const char *state;      /* "converged", "updating", ...: the words above */
    const char *error;      /* or NULL */
    unsigned names;         /* keys that the last change touched */
};
struct publisher;
/* members: how many there are to ask, 1 or more. */
struct publisher *publisher_new(const char *prefix, unsigned members);
void publisher_free(struct publisher *publisher);
/* Desired from now on; endpoints: lines "key JSON" (a reference is taken). A stamp that is not newer is ignored. */
void publisher_set(struct publisher *publisher, struct stamp stamp, GBytes *endpoints, int64_t now_us);

struct publisher_turn {
    char *body; /* POST this to ETCD_TXN_PATH (g_free) of member number `member`; NULL: wait */
    unsigned member;
    int64_t until_us; /* wait until then, or until something is set */
};
/* One request at a time: after a body, publisher_heard comes first. */
void publisher_next(struct publisher *publisher, int64_t now_us, struct publisher_turn *out);
/* The answer, or NULL and why there is none. */
void publisher_heard(struct publisher *publisher, unsigned status, const char *body, const GError *error,
                     int64_t now_us);
/* Borrowed, until the next call. */
const struct registry_status *publisher_status(const struct publisher *publisher);

#endif
