/* gwmetrics.h: what GET /metrics of a gateway tells, of its agent and of its forwarder; gwmetrics.def lists it.
 *
 * Pure. Thread safety: none is needed.
 */
#ifndef GATEWAY_GWMETRICS_H
#define GATEWAY_GWMETRICS_H

#include <jansson.h>

/* Text for Prometheus (0.0.4); g_free. status: as the local socket's `status` has it (agent/shell.h, gateway.h); what
 * is not there is left out. */
char *gwmetrics_text(const json_t *status);

#endif
