/* edgeparts.h: hand-written tables of the two-rooms site, for tests of actuators. */
#ifndef TESTS_EDGEPARTS_H
#define TESTS_EDGEPARTS_H

#include "schema/table.h"

/* What a test varies; NULL: as the site stands at rest. */
struct edge_table_text {
    const char *routes, *layout, *policies, *splits, *rooms, *origins;
    const char *agent; /* whose it is; NULL: edge-1 */
};
extern const struct edge_table_text edge_table_rest;

struct edge_parts {
    struct manifest manifest;
    GBytes *parts[PARTS];
};
/* Members that are NULL are those of edge_table_rest. cluster "two-rooms", edge "edge-1". */
void edge_parts_init(struct edge_parts *table, uint64_t epoch, uint64_t generation, const struct edge_table_text *text);
void edge_parts_clear(struct edge_parts *table);
/* Of all bytes of all parts: what a table does, whoever says it. */
void edge_parts_hash(GBytes *const parts[static PARTS], char hash[static PART_HASH_SIZE]);

#endif
