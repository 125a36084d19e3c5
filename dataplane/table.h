/* table.h: a table of dp_api.h, validated and made fit for packets. For the side that is told: it allocates, and reads
 * nothing but what it is given. Thread safety: a table that is made does not change.
 */
#ifndef DATAPLANE_TABLE_H
#define DATAPLANE_TABLE_H

#include "dataplane/dp_api.h"
#include "dataplane/nat.h"

#include <stddef.h>

#define TABLE_REASON 200u /* bytes of a reason */

struct table {
    struct dp_header header;
    const struct dp_adjacency *adjacencies;
    const struct dp_group *groups;
    const struct dp_local *locals;
    struct nat_services services;
    uint16_t mtu[DP_ADJACENCIES + DP_GROUPS]; /* by adjacency; then by group: the least of its lines */
    uint8_t memory[];
};

/* n_ports: of the forwarder. NULL: it is not right, `reason` says what was found; else table_free. */
struct table *table_new(const void *message, size_t size, unsigned n_ports, char reason[static TABLE_REASON]);
void table_free(struct table *table);
/* May it follow one that is in force? false: `reason` says why not. */
bool table_may_follow(const struct table *table, const struct table *before, char reason[static TABLE_REASON]);

/* A backend's way as an adjacency of nat.h: groups are behind the adjacencies. */
static inline uint32_t table_way(uint32_t way)
{
    return way & DP_GROUP ? DP_ADJACENCIES + (way & ~DP_GROUP) : way;
}

#endif
