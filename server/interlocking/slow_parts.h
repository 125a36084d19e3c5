/* slow_parts.h: what follows from the inventory alone: route and layout parts, the names that point at policy names.
 *
 * Made once for an inventory and shared by the worlds that have it, so that a lever costs nothing for each domain.
 * Private to interlocking.  Thread safety: immutable; _ref and _unref are atomic.
 */
#ifndef INTERLOCKING_SLOW_PARTS_H
#define INTERLOCKING_SLOW_PARTS_H

#include "server/interlocking/world.h"

/* TTL of the names of a group: they always point at the same policy name, whose own TTL is the group's. */
#define DOMAIN_TTL_S 60
/* TTL of a policy name when the group has none. */
#define POLICY_TTL_S 60

enum { RRTYPE_A = 1, RRTYPE_CNAME = 5, RRTYPE_AAAA = 28 };

struct slow_zone {
    const char *zone;  /* apex, of the inventory */
    GArray *cnames;    /* struct rrset, by owner; strings belong to inventory and slow parts */
    GPtrArray *groups; /* const struct group *, whose policy names are here, by policy name */
};
struct slow_parts {
    gint refs;
    struct inventory *inventory; /* a reference */
    GBytes *routes;
    GBytes *layout[EDGE_CLASSES];
    char routes_hash[PART_HASH_SIZE];
    char layout_hash[EDGE_CLASSES][PART_HASH_SIZE];
    GPtrArray *zones;    /* struct slow_zone *, by zone */
    GPtrArray *findings; /* struct finding * */
    GPtrArray *strings;  /* what the CNAMEs of a group share */
};
struct slow_parts *slow_parts_new(struct inventory *inventory);
struct slow_parts *slow_parts_ref(struct slow_parts *slow);
void slow_parts_unref(struct slow_parts *slow);

/* "GROUP.pol.ZONE"; g_free */
char *policy_owner(const struct group *group);

/* A finding about an object, at `field` (or NULL): found is words; or a value, which is quoted. */
void finding_on(GPtrArray *findings, const struct object *object, const char *field, const char *found,
                const char *expected);
void finding_value_on(GPtrArray *findings, const struct object *object, const char *field, const char *value,
                      const char *expected);

/* Lines "key value\n" in the order of their bytes (a space sorts before every character of a key). Frees `lines`. */
GBytes *lines_encode(GPtrArray *lines);
GPtrArray *lines_new(void);
void lines_add(GPtrArray *lines, const char *format, ...) G_GNUC_PRINTF(2, 3);

#endif
