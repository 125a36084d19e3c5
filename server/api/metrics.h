/* metrics.h: what GET /metrics tells; metrics.def lists it.
 *
 * Thread safety: the engine's thread.
 */
#ifndef API_METRICS_H
#define API_METRICS_H

#include "server/api/api_internal.h"

/* Text for Prometheus; g_free. */
char *metrics_text(struct api *api, const struct turn *turn);

#endif
