/* outside.h: which addresses the server may call on behalf of plans and webhooks, so that nobody reaches through it
 * what only it can reach (server-side request forgery).
 *
 * Only addresses of the public internet are called, and those that the configuration names (--call-allow): not
 * loopback, link-local (where clouds answer with credentials), private and shared ranges (RFC 1918, 6598, 4193),
 * multicast, reserved ones (RFC 6890), nor IPv4 addresses inside IPv6 (mapped, NAT64, 6to4), which are allowed as the
 * IPv4 address. Thread safety: immutable after outside_new.
 */
#ifndef ENGINE_OUTSIDE_H
#define ENGINE_OUTSIDE_H

#include "core/auto.h"
#include "schema/addr.h"

#include <glib.h>

struct outside;
/* allow: "10.0.0.0/8,fd00::/8,127.0.0.1", or NULL: nothing more. NULL with SB_ERROR_INVALID: it is no such list. */
struct outside *outside_new(const char *allow, GError **error);
void outside_free(struct outside *outside); /* NULL is allowed */
SB_AUTO_DEFINE(outside, outside_free)

/* False with SB_ERROR_FORBIDDEN, which says what address it is. */
bool outside_may(const struct outside *outside, const struct addr *addr, GError **error);

#endif
