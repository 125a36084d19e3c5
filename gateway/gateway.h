/* gateway.h: the gateway as an actuator of agent/shell.h: its forwarder (dpclient.h), checks (checks.h), addresses
 * (announcer.h).
 *
 * A table is in force when the forwarder shows that it is. A forwarder that has just come has none, and is given it
 * again; while it has none, or is not there, nothing is announced. Shares of backends follow their checks: the
 * forwarder is given the same table with other weights. One that refuses a table keeps the one before, and so do the
 * checks.
 *
 * Each address may be asked itself, from end to end, as its backends are: what is routed to this forwarder alone finds
 * one that is there and carries nothing. One that has answered, and does not any more, is not announced; one that
 * never has is a matter of routing, and says nothing.
 *
 * An address whose backends are behind lines is not announced while the forwarder shows that none of those is up: the
 * room's other gateway may have other lines, and where none has, who asks is told so at once.
 *
 * What it adds to a report: "gateway": {"forwarder": bool, "table": number of the last table or 0, "vips":
 * (announcer.h), "backends": (checks.h), "probes": (checks.h) of addresses, "shown": [lines of dataplane/dpsocket.h],
 * at most GATEWAY_SHOWN of them}.
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
    int64_t probe_us; /* an address is asked so far apart; 0: never */
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
