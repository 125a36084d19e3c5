/* lab_gateway.h: layer-4 gateways: signalbox-forwarder, signalbox-gateway and BIRD on each.
 *
 *   RUN/GATEWAY/forwarder.sock gateway.sock secret state/
 *
 * An agent asks its addresses itself, by way of its room and its own forwarder; its metrics are at LAB_GATEWAY_METRICS
 * in its namespace.
 */
#ifndef LAB_GATEWAY_H
#define LAB_GATEWAY_H

#include "tests/lab/lab.h"
#include <jansson.h>

#define LAB_GATEWAY_METRICS "127.0.0.1:9105"

/* Steps of lab_up. Forwarders, which have no table before their agents are there; agents, which are told theirs by the
 * control server. Each returns when its condition holds. */
bool gateway_forwarders(const struct lab *lab, GError **error);
bool gateway_agents(const struct lab *lab, GError **error);

/* Forwarders answer; those whose agent runs know their neighbours, their lines are up, their addresses announced. A
 * ready_fn (lab_ready.h). */
void ready_gateways(const struct lab *lab, GPtrArray *missing);
/* Is an agent at work that is to announce it? */
bool gateway_announces(const struct lab *lab, const struct gwvip *vip);
/* [{"name", "room", "vips": [names announced], "lines": [{"line", "to", "state"}]}]; new reference. */
json_t *gateway_status(const struct lab *lab);

#endif
