/* roads.h: where requests go, beside where the tables in force send them: by class of edges and room, and edge by edge
 * for those that have not proved these tables.
 *
 * Intended is the sum over policies of what edges have of it, as its slots are spread over rooms; all slots of a policy
 * count alike, as nobody counts them one by one. What edges answer by themselves (levers degrade and limit) is on no
 * road. What they hand over to dedicated edges has the room ROADS_RELAY, and is counted there too. What nobody answers
 * has the room "".
 *
 * Private to interlocking. Thread safety: pure functions.
 */
#ifndef INTERLOCKING_ROADS_H
#define INTERLOCKING_ROADS_H

#include "server/interlocking/observe.h"

#define ROADS_RELAY "relay"
/* Edges at most that have rows of their own: by name, so that they are the same ones each second. */
#define ROADS_EDGES 20

/* [{"class","edge","room","rate","fail_rate","intended"}], requests per second; rows of nothing are left out. edge
 * null: of all fresh reports of the class. edge "edge-2": of its last report, however old, as it has not proved
 * in_force. A new reference. */
json_t *roads_json(const struct world *world, const struct observed *observed, struct stamp in_force, int64_t now_us);

#endif
