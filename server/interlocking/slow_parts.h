/* slow_parts.h: what follows from the inventory alone: route and layout parts, the names that point at policy names.
 *
 * A policy name is what names of users point at (CNAME): GROUP.pol.ZONE for each group, and VARIANT.pol.ZONE for each
 * variant of it, whose addresses are the edges of one carrier (and region). The users of a carrier come to it by a
 * domain of their own (its `variant`), or because the site's own resolver views answer with it for that carrier. So
 * moving them is one lever, variant.edge_class, and the address records of one name. Edges go by the group's class
 * still: what is asked of a public edge for a group on dedicated ones is handed over, by whatever name it came.
 *
 * Made once for an inventory and shared by the worlds that have it, so that a lever costs nothing for each domain.
 * Private to interlocking.  Thread safety: immutable; _ref and _unref are atomic.
 */
#ifndef INTERLOCKING_SLOW_PARTS_H
#define INTERLOCKING_SLOW_PARTS_H

#include "server/interlocking/world.h"

/* TTL of the names of a group when their zone has none: they always point at the same policy name, whose own TTL is the
 * group's. */
#define DOMAIN_TTL_S 60
/* TTL of a policy name when the group has none. */
#define POLICY_TTL_S 60

enum { RRTYPE_A = 1, RRTYPE_CNAME = 5, RRTYPE_AAAA = 28 };

struct policy_target {
    char *owner;    /* the policy name */
    char *rdata[2]; /* of a CNAME that points at it */
    char *why;      /* of such a CNAME */
    const struct group *group;
    const struct variant *variant; /* NULL: the group's own */
    struct slow_zone *zone;        /* that it is in */
};
struct slow_zone {
    const char *zone;   /* apex, of the inventory */
    uint32_t ttl;       /* of its CNAMEs, s */
    GArray *cnames;     /* struct rrset, by owner; strings belong to inventory and targets */
    GPtrArray *targets; /* struct policy_target *, the policy names that are here, by owner */
};
struct slow_parts {
    gint refs;
    struct inventory *inventory; /* a reference */
    GBytes *routes;
    GBytes *layout[EDGE_CLASSES];
    char routes_hash[PART_HASH_SIZE];
    char layout_hash[EDGE_CLASSES][PART_HASH_SIZE];
    GPtrArray *zones;    /* struct slow_zone *, by zone */
    GHashTable *targets; /* name of a group or variant -> struct policy_target *, of a zone */
    GPtrArray *findings; /* struct finding * */
};
struct slow_parts *slow_parts_new(struct inventory *inventory);
struct slow_parts *slow_parts_ref(struct slow_parts *slow);
void slow_parts_unref(struct slow_parts *slow);

/* "GROUP.pol.ZONE", or of a variant "VARIANT.pol.ZONE"; g_free */
char *policy_owner(const struct group *group, const struct variant *variant);
/* The policy name that a domain points at: of its variant, or of its group when that has none or it is not of the
 * group; NULL when the group is not known or in no zone. */
const struct policy_target *domain_target(const struct slow_parts *slow, const struct domain *domain);

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
