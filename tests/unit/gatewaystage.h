/* gatewaystage.h: what stands beside a gateway's agent: BIRD, and a forwarder without ports. */
#ifndef TESTS_UNIT_GATEWAYSTAGE_H
#define TESTS_UNIT_GATEWAYSTAGE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* A real BIRD whose control socket is PATH; protocols vip_a (198.51.100.1) and vip_b (198.51.100.2), and those of last
 * resort, are disabled, and nothing of it comes into a routing table of the machine. Files lie beside the socket.
 * Returns when it answers. */
pid_t birdd_start(const char *path);
/* As birdc sees it; of vip_a, vip_b, last_vip_a, last_vip_b. */
bool birdd_announces(const char *path, const char *vip);

/* dataplane/dpsocket.h and a forwarder with ports that no frame comes by, in a process of its own. */
pid_t portless_start(const char *path, unsigned n_ports);
/* The same, which says to every table that it takes it, and keeps the first. */
pid_t stuck_start(const char *path);

/* A backend on a port of 127.0.0.1, 0: a free one: takes connections, and says nothing. */
pid_t backend_start(uint16_t *port);
/* Ends a child, at once, and waits for it; it is 0 then, and of 0 nothing is done. */
void kill9(pid_t *pid);

#endif
