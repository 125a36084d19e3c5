/* eastwest.h: who is called inside the site: for each service, each of its interfaces, and each zone that a
 * caller is in, the zones whose instances answer, their weights and rooms.
 *
 * Local first: without a lever it is the caller's own zone; where the service has no room there that answers (lever
 * room.compute open; where the inventory has pools of the service, with one; of what is single its home), the next zone
 * that has one, in the order of names, after the last the first again. With the lever interface.eastwest, else
 * service.eastwest, it is the zones that the caller's row names; one of them that has no such room falls out and its
 * share goes to the others; when none is left, the next zone, but never one that was drained with weight 0. Nobody at
 * all is an empty list, and means that nobody may be called: never everybody.
 *
 * Thread safety: pure functions.
 */
#ifndef INTERLOCKING_EASTWEST_H
#define INTERLOCKING_EASTWEST_H

#include "server/interlocking/world.h"

struct called_zone {
    const char *zone; /* borrowed from the world */
    unsigned weight;  /* a share of the sum; 0: drained */
    GPtrArray *rooms; /* const char *, borrowed; never empty */
};
/* interface NULL: the service itself. By zone; g_array_unref. findings (or NULL): what the lever names and cannot be
 * had. */
GArray *eastwest_zones(const struct world *w, const struct service *service, const struct interface *interface,
                       const char *caller, GPtrArray *findings);
/* "service/creator/zone-1 {"service":"creator","caller":"zone-1","destinations":[{"zone","weight","rooms"}]}", and
 * "interface/NAME/CALLER" alike, with "interface": one line for each and each zone; "component/orders {"component",
 * "primary","consumption","rooms"}": which room takes its writes, "none": nobody may, null: each its own. Sorted by
 * bytes; empty while the inventory has no registry to publish it in. */
GBytes *eastwest_endpoints(const struct world *w, GPtrArray *findings);
/* For people and programs: {"service", "interface", "value" (of the lever), "why", "rows": [as above]}. */
json_t *eastwest_json(const struct world *w, const struct service *service, const struct interface *interface);
/* {"eastwest": [all services, then all interfaces]}. */
json_t *eastwest_all_json(const struct world *w);

#endif
