/* lease.h: who may try to lead. A lease only decides who tries: what keeps an old leader from doing harm is the epoch,
 * checked by the journal at each append and by every actuator.
 *
 * `struct lease` is an interface, so that one of several machines fits. lease_open_folder gives the local one: an
 * exclusive lock on the file `lock` of the state folder, held as long as the process lives. Whoever removes the file
 * takes the lease away: another server may lock a new one, and the holder of the old one sees that it has lost.
 *
 * Thread safety: `held` may be called from any thread; opening and closing belong to one.
 */
#ifndef STORE_LEASE_H
#define STORE_LEASE_H

#include <glib.h>
#include <stdbool.h>

struct lease;
struct lease_ops {
    /* Is it ours still, as far as can be known at once? Takes microseconds, never waits. SB_ERROR_STALE: lost, for
     * ever. */
    bool (*held)(const struct lease *lease, GError **error);
    void (*close)(struct lease *lease);
};
struct lease {
    const struct lease_ops *ops;
};

/* SB_ERROR_CONFLICT: another process holds it. */
struct lease *lease_open_folder(const char *folder, GError **error);
void lease_close(struct lease *lease); /* NULL is allowed */

#endif
