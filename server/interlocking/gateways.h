/* gateways.h: what gateways are told (gateway/gwtable.h), and which escapes there are.
 *
 * An escape leads to a room by another room's gateways, over dedicated lines, at an address that public edges reach
 * through that other room's entrances (gwvip with `to`). Lever room.escape of the room that it leads to:
 *   auto   edges take it when all of the room's own entrances are down as they see it, or its ingress is closed
 *   on     they take it always
 *   off    there is none; what goes over it goes on, and begins no more
 * It is for services that live in that room alone: those of several rooms go to another room.
 *
 * Places (dataplane/dp_api.h): ports have theirs from the inventory; those of rooms and instances are drawn from their
 * names, so that others may come and go. Weights of lines are their bandwidths; one whose lever is out comes behind all
 * others. Thread safety: pure functions.
 */
#ifndef INTERLOCKING_GATEWAYS_H
#define INTERLOCKING_GATEWAYS_H

#include "server/interlocking/observe.h"

/* The layout part of a gateway. What is wrong, or cannot be used, is added to findings. g_bytes_unref. */
GBytes *gateway_layout(const struct world *w, const struct gateway *gateway, GPtrArray *findings);

/* Dedicated lines between two rooms, by name, const struct line *; g_ptr_array_unref. */
GPtrArray *world_lines_between(const struct world *w, const char *a, const char *b);
/* Those of them that are to carry, as long as they are live. */
GPtrArray *world_lines_carrying(const struct world *w, const GPtrArray *lines);

/* Turns of a request's road behind the edge, for explain.h: who answers at the room's entrances and hands over to which
 * instances; and, for single-room services at public edges, its escapes and their lines. fn is called for each. */
typedef void (*gateway_turn_fn)(void *data, const char *at, const char *is, const char *why);
void gateway_turns(const struct world *w, const char *room, bool escapes, gateway_turn_fn fn, void *data);

/* What was observed on that road: adds "gateways", of these rooms and of those that their escapes lead through, and
 * "lines", of the escapes, to explain's answer; nothing where the site has no gateways. rooms: char *. */
void gateways_observe(const struct world *w, const struct observed *observed, const GPtrArray *rooms, bool escapes,
                      int64_t now_us, json_t *out);
/* "vip_a1, vip_a2": what a gateway's report says that it announces; g_free. */
char *gateway_announces_words(const json_t *gateway);

#endif
