/* iface.h: kernel interfaces that are to be ports: is one fit for it? And what its neighbour leaves undone.
 *
 * The kernel sees each packet that the forwarder sees. One with an address answers, resets what it does not know, or
 * forwards it a second time; one that glues packets together (GRO) makes frames that af_packet drops without a word.
 * All of that looks like loss later, so it is refused at the start, with the command that mends it.
 *
 * A neighbour on a veth pair may leave checksums to be computed by nobody (CHECKSUM_PARTIAL): the driver does not say
 * so, and what is translated then stays wrong. That is seen on its packets only, by a socket beside the driver.
 *
 * Thread safety: yes, nothing is kept here. Errors: 0 or -errno.
 */
#ifndef DATAPLANE_IFACE_H
#define DATAPLANE_IFACE_H

#include <stdbool.h>

#define IFACE_ERROR 200u /* bytes of a text */
#define IFACE_MTU 1500u  /* more does not fit into a frame of the af_packet driver */

struct iface_facts {
    const char *name;
    bool there, up;
    unsigned mtu;
    bool address4, address6; /* IPv6: also one of the link only */
    bool forwards;           /* the kernel, what comes in by it: IPv4 */
    bool glues;              /* GRO or LRO */
};

/* What is so now; name is kept. -errno: could not be asked for. */
int iface_ask(const char *name, struct iface_facts *facts);
/* Pure. 0; -EINVAL: it cannot be a port, error says why and what mends it. */
int iface_check(const struct iface_facts *facts, char error[static IFACE_ERROR]);

/* Looks at packets of an interface beside the driver. Returns a descriptor, to be closed, which can be read when there
 * are some; -errno. */
int iface_watch(const char *name);
/* Reads what there is: did a packet come in whose checksum was left to be computed? */
bool iface_saw_offload(int fd);

#endif
