/* lab_fault.h: faults of links and POPs.
 *
 * Selectors: LINK (see lab_topo.h), all, srlg:NAME (lines that share it), node:NAME (all cables of a node), pop:NAME
 * (its links with carriers), room:NAME (the same of all its POPs: the fibre of 2 July), lines:NAME (lines of the
 * gateways of a room), edge-control:NAME (the edge's, or gateway's, link with the control site). All links of a
 * selector change in one turn of the wire. The answer, one line of JSON on standard output:
 * {"at_us": wall time of the effect, "links": [...]}.
 */
#ifndef LAB_FAULT_H
#define LAB_FAULT_H

#include "tests/lab/lab.h"
#include <jansson.h>

/* verb and argument as wire.c takes them; argument NULL: cut and heal, which have none. */
json_t *fault_wire(const struct lab *lab, const char *verb, const char *argument, const char *selector, GError **error);
/* The selected POPs refuse connections to their origin with a TCP reset, until healed. */
json_t *fault_reset(const struct lab *lab, const char *selector, GError **error);

#endif
