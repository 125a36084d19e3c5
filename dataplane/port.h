/* port.h: DPDK's Ethernet ports: frames in and out in bursts, and sleeping until one comes.
 *
 * af_packet only for now: a kernel interface each, of which iface.h has found that it is fit for it.
 *
 * Thread safety: one thread. Errors: 0 or -errno, with a text.
 */
#ifndef DATAPLANE_PORT_H
#define DATAPLANE_PORT_H

#include "dataplane/forwarder.h"
#include "dataplane/settings.h"

#define PORT_ERROR 200u /* bytes of a text */

/* Starts the EAL and a port for each interface; before the process has packet sockets of its own. mac: theirs. */
int port_open(const struct settings *settings, uint8_t (*mac)[ETHER_ADDRESS], char error[static PORT_ERROR]);
void port_close(void);
/* What has come in by the ports goes through the forwarder and out again. Frames that there were. */
unsigned port_turn(struct forwarder *forwarder, uint64_t now_us);
/* The forwarder's send. */
void port_send(void *context, unsigned port, const uint8_t *frame, uint32_t size);
/* Sleeps until a frame comes, `wake_fd` can be read, or the time has passed. False: wake_fd cannot be read. */
bool port_sleep(int wake_fd, uint64_t us);
/* Frames that a port did not take; that there was no buffer for; that came while the driver's ring was full, as they
 * were not taken out of it in time, or for want of buffers. */
struct port_counters {
    uint64_t unsent, no_memory, missed;
    unsigned buffers; /* that are in use */
};
struct port_counters port_counters(void);

#endif
