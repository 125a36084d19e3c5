/* gateway.h: the gateway as an actuator of agent/shell.h: its forwarder (dpclient.h), checks (checks.h), addresses
 * (announcer.h).
 *
 * A table is in force when the forwarder shows that it is. A forwarder that has just come has none, and is given it
 * again; while it has none, or is not there, nothing is announced. Shares of backends follow their checks: the
 * forwarder is given the same table with other weights. One that refuses a table keeps the one before, and so do the
 * checks.
 *
 * What it adds to a report: "gateway": {"forwarder": bool, "table": number of the last table or 0, "vips":
 * (announcer.h), "backends": (checks.h), "shown": [lines of dataplane/dpsocket.h], at most GATEWAY_SHOWN of them}.
 *
 * Thread safety: belongs to its loop's thread.
 */
#ifndef GATEWAY_GATEWAY_H
#define GATEWAY_GATEWAY_H

#include "agent/shell.h"
#include "gateway/vip.h"

#define GATEWAY_SHOWN 200

struct gateway_settings {
    const char *forwarder_socket, *bird_socket;
    struct vip_limits limits;
};

struct gateway;
/* Says what it has to say to the shell of gateway_set_shell, which must be set before the loop runs. settings: their
 * strings are copied. */
struct gateway *gateway_new(struct loop *loop, const struct gateway_settings *settings);
void gateway_free(struct gateway *gateway);
SB_AUTO_DEFINE(gateway, gateway_free)
struct actuator gateway_actuator(struct gateway *gateway);
void gateway_set_shell(struct gateway *gateway, struct shell *shell);

#endif
