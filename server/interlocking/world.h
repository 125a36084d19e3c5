/* world.h: everything that routing depends on, at one generation: inventory, controls, plans. Immutable, shared by
 * reference count; a change is a new world. resolve(world) depends on nothing else.
 *
 * Thread safety: world_ref/_unref are atomic; a world may be read by any thread.
 */
#ifndef INTERLOCKING_WORLD_H
#define INTERLOCKING_WORLD_H

#include "core/auto.h"
#include "schema/control.h"
#include "schema/pin.h"
#include "schema/plan.h"
#include "schema/table.h"

struct world {
    gint refs;
    char *cluster;
    struct stamp stamp; /* epoch of the reign that published it, generation of its last change */
    char *cause;        /* see struct manifest */
    struct inventory *inventory;
    struct controls *controls;
    GHashTable *plans;    /* name -> struct plan *, owned */
    struct pin_keys pins; /* none after world_new; set before the world is shared */
};
/* Takes a reference of inventory and controls, copies the plans. plans may be NULL. */
struct world *world_new(const char *cluster, struct stamp stamp, const char *cause, struct inventory *inventory,
                        struct controls *controls, GHashTable *plans);
struct world *world_ref(struct world *world);
void world_unref(struct world *world);
SB_AUTO_DEFINE(world, world_unref)

const char *edge_class_name(int edge_class); /* "public" or "dedicated" */

/* Questions that resolve, rules, explain and checks share. */
bool world_room_ingress_open(const struct world *w, const char *room);
bool world_room_compute_open(const struct world *w, const char *room);
bool world_zone_guarded(const struct world *w, const char *zone); /* lever dnszone.guard */
bool world_pop_in(const struct world *w, const struct pop *pop);  /* lever pop */
bool world_edge_in(const struct world *w, const struct edge *edge);
int world_group_edge_class(const struct world *w, const struct group *group); /* EDGE_PUBLIC or EDGE_DEDICATED */
/* Class of the edges that a variant of the group points to: its lever, else the group's. variant NULL: the group. */
int world_variant_edge_class(const struct world *w, const struct group *group, const struct variant *variant);
bool world_service_auto_dr(const struct world *w, const struct service *service);
/* What edges answer by themselves in place of the service, or of all that a room answers. Stale only where answers are
 * kept, whatever the lever says. */
enum degrade { DEGRADE_OFF, DEGRADE_STALE, DEGRADE_STATIC };
enum degrade world_service_degrade(const struct world *w, const struct service *service);
enum degrade world_room_degrade(const struct world *w, const char *room);
/* Of one interface of the service: its own lever, or as the service. */
enum degrade world_interface_degrade(const struct world *w, const struct service *service,
                                     const struct interface *interface);
/* Is a lever of the interface off its default? Then edges tell the requests of its service's interfaces apart. */
bool world_interface_moved(const struct world *w, const struct interface *interface);
/* Requests per second that edges let through in all; 0: no limit. */
int64_t world_service_limit(const struct world *w, const struct service *service);
int64_t world_room_limit(const struct world *w, const char *room);
int64_t world_interface_limit(const struct world *w, const struct interface *interface);
/* Which of the limits of its service's interfaces, by name, this is: 1 to INTERFACE_LIMITS_MAX; 0: it has none, or it
 * is one too many, which edges do not count and a finding of resolve says. */
unsigned world_interface_limit_number(const struct world *w, const struct interface *interface);
/* What one edge lets through of it: of a service, for one of its policies. The limit is divided evenly over the edges
 * that names of its groups, and their variants, point to, each counted once for every policy; that of an
 * interface alike, if it names a host over those of the host's group alone; that of a room over all edges that are in.
 * At least 1; 0: no limit. */
int64_t world_service_limit_share(const struct world *w, const struct service *service);
int64_t world_room_limit_share(const struct world *w, const char *room);
int64_t world_interface_limit_share(const struct world *w, const struct interface *interface);
/* What all of them let through together: the limit less the rest of the division; more than it where edges are more,
 * which is a finding of resolve. 0: no limit. */
int64_t world_service_limit_passes(const struct world *w, const struct service *service);
int64_t world_room_limit_passes(const struct world *w, const char *room);
int64_t world_interface_limit_passes(const struct world *w, const struct interface *interface);
/* What component.primary or component.consumption is with this value of the lever: the room that takes writes, NULL
 * where each takes its own, or how a topic is consumed; "none" is a word of both. Borrowed. */
const char *component_value(const struct component *component, enum lever lever, const char *value);
/* The same, in force. */
const char *world_component_value(const struct world *w, const struct component *component, enum lever lever);
/* Slots of a service that are pinned (lever split.pin); false: none, or a room of the pin is no more. split_clear of
 * its slots. Whether its time is over is the engine's matter, which then sets the lever back. */
bool world_service_pins(const struct world *w, const struct service *service, struct split_pins *out);
/* The same as below, without them. */
void world_service_unpinned(const struct world *w, const struct service *service, struct split *out);
/* Split of a service in force, pinned slots too. multi: lever, else even over all rooms (the first SPLIT_ROOMS_MAX by
 * name); a lever that names a room which is no more counts as default. single: all slots at home, whatever the lever
 * says. n_rooms is 0 when there is no room to send anybody to. split_clear. */
void world_service_split(const struct world *w, const struct service *service, struct split *out);
/* Escapes to a room that may be taken now, see gateways.h: const struct gwvip *, by name; g_ptr_array_unref. */
GPtrArray *world_room_escapes(const struct world *w, const char *room);
/* Does all of it go by escape, whatever the room's own entrances do? */
bool world_room_escapes_always(const struct world *w, const char *room);
/* Room that answers where `room` is wanted: itself when usable; else, for multi-active services, the next usable room
 * in the order of names, after the last the first again; NULL: nobody. Borrowed from the world, or `room` as it was
 * given. */
const char *world_room_used(const struct world *w, int edge_class, bool multi, const char *room);
/* Entrances of a room for edges of a class that are in: names of POPs, or "ring". Borrowed; g_ptr_array_unref. */
GPtrArray *world_room_entrances(const struct world *w, int edge_class, const char *room);
/* Is it a way for dedicated edges into its room while the ring does not lead there? An ingress that is closed is closed
 * to them too. */
bool world_is_fallback(const struct world *w, const struct pop *pop);
/* Names of those of a room, as above; none for public edges, whose entrances they are. */
GPtrArray *world_room_fallbacks(const struct world *w, int edge_class, const char *room);
/* Edges that the group's names point to (const struct edge *, by name; g_ptr_array_unref): those of its class whose
 * lever is in; never empty because of a lever: if none is in, all of the class, if the class has none, all edges. */
GPtrArray *world_group_edges(const struct world *w, const struct group *group);
/* The same for a variant: edges of its class, carrier and region whose lever is in. Where none fits, the group's, which
 * are never none; `fits` (or NULL) is then set to false. variant NULL: the group's own name, which always fits. */
GPtrArray *world_variant_edges(const struct world *w, const struct group *group, const struct variant *variant,
                               bool *fits);
/* Which edges these are and why: "edges of class dedicated on carrier-1, variant.edge_class/v is dedicated (...)". */
char *world_edges_words(const struct world *w, const struct group *group, const struct variant *variant); /* g_free */
/* Dedicated edges that public edges hand over to (as above): those with a relay endpoint that are in; if none is, all.
 */
GPtrArray *world_relays(const struct world *w);
/* Everybody who obeys tables: names of edges, then of gateways, each in order; borrowed; g_ptr_array_unref. */
GPtrArray *world_agents(const struct world *w);
/* "edge" or "gateway"; NULL: no agent has that name. Static. */
const char *world_agent_kind(const struct world *w, const char *name);
/* Are gateways to send over the line, as its lever says? */
bool world_line_in(const struct world *w, const struct line *line);
/* Why a lever is where it is: "room.ingress/room-a is closed (alice, execution x-1, generation 12)"; NULL when it is
 * at its default. g_free. */
char *world_lever_words(const struct world *w, enum lever lever, const char *object);
/* "a, b": names of struct object *, at most six; g_free. */
char *objects_words(const GPtrArray *objects);
/* Does an edge of this class have a road to this room for this kind of service (open, and an entrance that is in)? */
bool world_room_usable(const struct world *w, int edge_class, bool multi, const char *room);

#endif
