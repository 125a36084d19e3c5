/* inventory.h: all objects of a site, by kind and name; immutable once published, shared by reference count.
 *
 * Thread safety: an inventory under construction belongs to one thread. inventory_ref and _unref are atomic; a
 * published inventory may be read by any thread.
 */
#ifndef SCHEMA_INVENTORY_H
#define SCHEMA_INVENTORY_H

#include "core/auto.h"
#include "schema/object.h"

struct inventory;
struct inventory *inventory_new(void);
struct inventory *inventory_ref(struct inventory *inv);
void inventory_unref(struct inventory *inv);
SB_AUTO_DEFINE(inventory, inventory_unref)

/* Takes the object; replaces one of the same kind and name. */
void inventory_put(struct inventory *inv, struct object *object);
/* False if there was none. */
bool inventory_remove(struct inventory *inv, enum object_kind kind, const char *name);
const struct object *inventory_get(const struct inventory *inv, enum object_kind kind, const char *name);
/* All objects of a kind, sorted by name (bytes). The array is the inventory's. */
const GPtrArray *inventory_list(const struct inventory *inv, enum object_kind kind);
/* What `name` in a REF or REFS field refers to: up to two objects, as references must name one of the kinds that the
 * field takes. Returns how many. */
unsigned inventory_refer(const struct inventory *inv, const struct field_class *field, const char *name,
                         const struct object *found[static 2]);
/* Who refers to an object: GArray of struct inventory_use, by kind, field and name of who does; g_array_unref. Borrows.
 */
struct inventory_use {
    const struct object *by;
    const struct field_class *field; /* the one that names it */
};
GArray *inventory_users(const struct inventory *inv, enum object_kind kind, const char *name);
/* A new inventory with the same objects (objects are shared, not copied). */
struct inventory *inventory_copy(const struct inventory *inv);

/* Typed look-up: INVENTORY_GET(inv, room, "room-a") is a const struct room * or NULL. */
#define INVENTORY_GET(inv, kind, name) ((const struct kind *)inventory_get(inv, OBJECT_##kind, name))
/* INVENTORY_FOREACH(inv, room, r) { r->zone ... }: by name; break and continue work. */
#define INVENTORY_FOREACH(inv, kind, var)                                                                              \
    for (guint var##_i = 0, var##_more = 1; var##_more && var##_i < inventory_list(inv, OBJECT_##kind)->len;           \
         var##_i++)                                                                                                    \
        for (const struct kind *var = (var##_more = 0, inventory_list(inv, OBJECT_##kind)->pdata[var##_i]);            \
             var != NULL; var = NULL, var##_more = 1)

/* Is it answered in one room only? interface NULL: the service itself. */
bool interface_single(const struct service *service, const struct interface *interface);

/* The interface that a request of a service is of: of those whose host, method and path fit, the one with the longest
 * path; of two alike one that names the host, then one that names the method. method: "get". NULL: none. */
const struct interface *interface_of(const struct inventory *inv, const char *service, const char *host,
                                     const char *method, const char *path);

/* The room at the other end of a line, from this room; NULL: the line is not of this room, or ends at an edge. The
 * line's. */
const char *line_far_room(const struct inventory *inv, const struct line *line, const char *room);

/* Do the room's gateways announce the address and answer at it: as their own, or as its standby? */
bool gwvip_answered_by(const struct gwvip *vip, const char *room);

/* Everything that no single object can know: references name one object that exists, a single service has a home, two
 * routes of a group, two variants of a group, two interfaces or pools of a service differ, interfaces have no more than
 * all requests of their service, a component's primary is one
 * of its rooms, a domain's variant is of its group, places of a
 * gateway's ports and addresses of gateways differ, its lines join two rooms, a secondary has a primary of its zone (no
 * cycle), addresses of edges differ, names fit their zone. */
void inventory_validate(const struct inventory *inv, GPtrArray *findings);

/* What turns `from` into `to`. */
struct inventory_change {
    enum object_kind kind;
    const char *name;            /* of the object */
    const struct object *before; /* NULL: added */
    const struct object *after;  /* NULL: removed */
};
/* GArray of struct inventory_change, by kind and name; g_array_unref. Borrows from both inventories. */
GArray *inventory_diff(const struct inventory *from, const struct inventory *to);
/* For people: "+ pop pop-a1", "~ group core: ttl 60 -> 5", "- domain x"; g_free. */
char *inventory_diff_text(const GArray *changes);

/* {"objects": [...]} in the order of objects.def, by name; and back, with findings. */
json_t *inventory_to_json(const struct inventory *inv);
struct inventory *inventory_from_json(const json_t *json, GPtrArray *findings);
/* YAML text as `apply -f` takes it: a list for each plural; g_free. */
char *inventory_to_yaml(const struct inventory *inv);

#endif
