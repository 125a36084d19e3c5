/* resolve.h: world -> tables. Pure, and a table of contents: one named step for each part. Bad intent becomes a finding
 * beside the result; the rest still resolves. One generation is one set of bytes on every server.
 *
 * Thread safety: a struct resolved is immutable, shared by reference count.
 */
#ifndef INTERLOCKING_RESOLVE_H
#define INTERLOCKING_RESOLVE_H

#include "core/auto.h"
#include "server/interlocking/world.h"

struct edge_table {
    char hash[PARTS][PART_HASH_SIZE];
};
struct resolved {
    gint refs;
    struct world *world;                    /* a reference */
    struct edge_table tables[EDGE_CLASSES]; /* edges of one class share their table */
    GHashTable *parts;                      /* hash -> GBytes */
    GHashTable *gateways;                   /* name -> hash of its layout */
    GPtrArray *zones;                       /* struct zone_records *, by zone */
    GBytes *endpoints;                      /* as eastwest_endpoints makes them */
    GPtrArray *findings;                    /* struct finding * */
    struct slow_parts *slow;                /* shared by all worlds of one inventory; owns what zones borrow */
    GPtrArray *fast_rrsets;                 /* struct rrset *, owned here, borrowed by zones */
};
/* previous: result of an earlier world or NULL; its slow parts are used again where inventory is the same object. */
struct resolved *resolve(struct world *world, const struct resolved *previous);
struct resolved *resolved_ref(struct resolved *resolved);
void resolved_unref(struct resolved *resolved);
SB_AUTO_DEFINE(resolved, resolved_unref)

/* The manifest of one edge or gateway; false if there is none of that name. */
bool resolved_manifest(const struct resolved *resolved, const char *agent, struct manifest *out);
GBytes *resolved_gateway(const struct resolved *resolved, const char *gateway); /* its layout; borrowed, or NULL */
GBytes *resolved_part(const struct resolved *resolved, const char *hash);       /* borrowed, NULL if unknown */
/* Records of the zone with this apex; borrowed, NULL if there is none. */
const struct zone_records *resolved_zone(const struct resolved *resolved, const char *zone);

/* "GROUP.SERVICE" */
char *policy_name(const struct group *group, const char *service); /* g_free */
/* Every policy of the world: struct policy_ref {group, service}, in the order of names; g_array_unref. */
struct policy_ref {
    const struct group *group;
    const struct service *service;
};
GArray *world_policies(const struct world *world);

/* What differs, counted as actuators do: map entries (lines of fast parts) of each class, and RRsets. */
struct resolved_distance {
    unsigned entries[EDGE_CLASSES];
    unsigned slow_entries[EDGE_CLASSES];
    unsigned rrsets;
    unsigned endpoints; /* lines of endpoints */
    unsigned gateways;  /* lines of gateways' tables */
};
struct resolved_distance resolved_compare(const struct resolved *a, const struct resolved *b);
/* Figures of the first zone of which more would change than its guard lets pass (schema/table.h), g_free; NULL: none.
 */
char *resolved_zone_share(const struct resolved *now, const struct resolved *then);

/* The same, one by one: a line of a part of a class's table or of the endpoints, or an RRset of a zone. All is
 * borrowed.
 */
struct resolved_difference {
    const char *zone;    /* NULL: a table, or endpoints */
    bool endpoints;      /* class and part are not said */
    const char *gateway; /* whose table it is; class and part are not said; or NULL */
    int class;
    enum part part;
    const char *before, *after; /* lines, not terminated; NULL: there is none */
    size_t before_len, after_len;
    const struct rrset *set_before, *set_after; /* the same, of a zone */
};
typedef void (*resolved_difference_fn)(void *data, const struct resolved_difference *difference);
void resolved_each_difference(const struct resolved *a, const struct resolved *b, resolved_difference_fn fn,
                              void *data);

#endif
