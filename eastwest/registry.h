/* registry.h: the driver of one registry: publisher.h on a thread of its own, with HTTP. A dead etcd delays nobody.
 *
 * Thread safety: all functions may be called from any thread. The report callback runs on the driver's thread.
 */
#ifndef EASTWEST_REGISTRY_H
#define EASTWEST_REGISTRY_H

#include "eastwest/publisher.h"
#include "schema/addr.h"

#define REGISTRY_MEMBERS_MAX 3

struct registry_config {
    char *name;   /* of the registry object */
    char *prefix; /* of keys */
    struct endpoint members[REGISTRY_MEMBERS_MAX];
    unsigned n_members;
    char *ca, *cert, *key; /* PEM files; ca NULL: no TLS; cert and key NULL: none is shown */
};
typedef void (*registry_report_fn)(void *data, const char *registry, const struct registry_status *status);

struct registry_driver;
/* Starts the driver's thread; the config is copied. */
struct registry_driver *registry_driver_new(const struct registry_config *config, registry_report_fn report, void *data,
                                            GError **error);
void registry_driver_free(struct registry_driver *driver); /* ends and joins the thread; not from the report callback */
/* As publisher_set. */
void registry_driver_set(struct registry_driver *driver, struct stamp stamp, GBytes *endpoints);

#endif
