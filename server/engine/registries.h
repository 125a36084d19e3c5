/* registries.h: one driver for each registry object of the inventory, made and ended as the inventory changes.
 *
 * Thread safety: belongs to one thread; the report callback runs on drivers' threads, and on the caller's for a
 * registry without a driver.
 */
#ifndef ENGINE_REGISTRIES_H
#define ENGINE_REGISTRIES_H

#include "eastwest/registry.h"
#include "server/interlocking/resolve.h"

struct registries;
/* keys_dir: folder of TLS files, NULL when there is none. */
struct registries *registries_new(const char *keys_dir, registry_report_fn report, void *data);
/* Fits the drivers to the inventory and gives each the endpoints. */
void registries_publish(struct registries *registries, const struct resolved *resolved);
/* Ends all drivers; no callback runs after it. NULL is allowed. */
void registries_free(struct registries *registries);

#endif
