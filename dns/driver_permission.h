/* driver_permission.h: which access list is at fault where an update was refused.
 *
 * Thread safety: the driver's thread.
 */
#ifndef DNS_DRIVER_PERMISSION_H
#define DNS_DRIVER_PERMISSION_H

#include "dns/driver_internal.h"

#define PERMISSION_MS 500 /* for one question; five are asked at most */

/* Words that say what the key may not do and what mends it; g_free. NULL: the answer's own words are right, or the
 * server does not tell. The driver's connection must be open; it is left open or broken. */
char *permission_explain(struct dns_driver *driver, const struct update *refused, enum response_cause cause);

#endif
