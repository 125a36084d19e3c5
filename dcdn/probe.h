/* probe.h: asks our own edge on behalf of policies that have no traffic, so that they are proved all the same.
 *
 * A probe is a GET of PREFIX/.well-known/signalbox-probe of the policy's first route, with X-SB-Probe, which the edge
 * does not count as a user's when it comes from the machine itself, or for this path from an edge that relays it. Who
 * answered is in X-SB-Room. Thread safety: belongs to its loop's thread.
 */
#ifndef DCDN_PROBE_H
#define DCDN_PROBE_H

#include "dcdn/counters.h"
#include "core/loop.h"
#include "dcdn/edge_state.h"

#define PROBE_BELOW 50 /* requests since the table was applied; from there on counters are the proof */

#define PROBE_PATH ".well-known/signalbox-probe"

struct prober;
/* listen: where the edge listens; a wildcard address is asked at the loopback. */
struct prober *prober_new(struct loop *loop, const struct endpoint *listen);
void prober_free(struct prober *prober);
SB_AUTO_DEFINE(prober, prober_free)
/* A new table: earlier answers are no proof of it. */
void prober_set(struct prober *prober, const struct edge_state *state);
/* Starts what is due; call once a second. */
void prober_run(struct prober *prober, const struct counters *counters);
json_t *prober_to_json(const struct prober *prober); /* "probes" of a report; new reference */

#endif
