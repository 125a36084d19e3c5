/* fib.h: the forwarding information base: a table of dp_api.h, validated and made fit for packets. For the side that is
 * told: it allocates, and reads nothing but what it is given. Thread safety: a table that is made does not change.
 */
#ifndef DATAPLANE_FIB_H
#define DATAPLANE_FIB_H

#include "dataplane/dp_api.h"
#include "dataplane/nat.h"

#include <stddef.h>

#define FIB_REASON 200u /* bytes of a reason */

struct fib {
    struct dp_header header;
    const struct dp_adjacency *adjacencies;
    const struct dp_group *groups;
    const struct dp_local *locals;
    struct nat_services services;
    uint64_t inside;                          /* a bit for each adjacency that backends are behind */
    uint16_t mtu[DP_ADJACENCIES + DP_GROUPS]; /* by adjacency; then by group: the least of its lines */
    uint8_t memory[];
};

/* n_ports: of the forwarder. NULL: it is not right, `reason` says what was found; else fib_free. */
struct fib *fib_new(const void *message, size_t size, unsigned n_ports, char reason[static FIB_REASON]);
void fib_free(struct fib *table);
/* May it follow one that is in force? false: `reason` says why not. */
bool fib_may_follow(const struct fib *table, const struct fib *before, char reason[static FIB_REASON]);

/* A backend's way as an adjacency of nat.h: groups are behind the adjacencies. */
static inline uint32_t fib_way(uint32_t way)
{
    return way & DP_GROUP ? DP_ADJACENCIES + (way & ~DP_GROUP) : way;
}

#endif
