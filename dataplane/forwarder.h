/* forwarder.h: all that a forwarder does with frames, between its ports and its table: neighbours, BFD and lines, TCP,
 * UDP and ICMP by the FULLNAT. What stands around it brings frames and the time, and takes frames away.
 *
 * Single arm or two: which side a packet comes from is told by its address: to one of ours that backends are talked to
 * from, it comes from inside.
 *
 * Pure: no system call, no allocation. Thread safety: a forwarder belongs to one core. Times: µs of any clock that does
 * not go back.
 */
#ifndef DATAPLANE_FORWARDER_H
#define DATAPLANE_FORWARDER_H

#include "dataplane/bfd.h"
#include "dataplane/lines.h"
#include "dataplane/neighbor.h"
#include "dataplane/fib.h"
#include "dataplane/trace.h"

#define FORWARDER_BURST NAT_BURST
#define FORWARDER_STALL_US 1000u /* turned so much later than it had asked for: a stall of our own */

struct forwarder_neighbor {
    struct dp_adjacency config; /* port DP_PORTS: the place is not in use */
    uint8_t mac[ETHER_ADDRESS];
    bool known;      /* mac is */
    uint64_t ask_us; /* when its MAC address is asked for, again */
    struct bfd bfd;  /* config.mult > 0 */
    unsigned line;   /* which one of its group */
    uint64_t tx, rx, tx_bytes, rx_bytes;
};
struct forwarder_group {
    struct dp_group config;
    struct lines lines;
    uint8_t adjacency[LINES_MAX]; /* of a line */
};
struct forwarder {
    struct nat nat;
    const struct fib *table; /* NULL: none yet */
    uint8_t mac[DP_PORTS][ETHER_ADDRESS];
    unsigned n_ports;
    struct forwarder_neighbor neighbors[DP_ADJACENCIES];
    struct forwarder_group groups[DP_GROUPS];
    unsigned recent[DP_PORTS]; /* neighbour that a packet came from last */
    /* By family, v4 and v6: the peer that is live, a neighbour + 1, 0: none; who brought something from outside last.
     */
    uint8_t peer[2], outside[2];
    uint64_t next_us; /* when it asked to be turned */
    /* Frames: received = forwarded + all drops. Made here: those that were sent; those that nobody was there for. */
    uint64_t received, forwarded, drops[DROPS], made, unmade;
    uint64_t bfd_verdicts[BFD_VERDICT_COUNT];
    uint64_t stalls, stalled_us;
    uint32_t random;
    struct trace *trace; /* the caller's; NULL: nobody ever looks */
    /* A frame that was made here goes out of a port. */
    void (*send)(void *context, unsigned port, const uint8_t *frame, uint32_t size);
    void *context;
};

/* mac: of each port. Until its first table it drops what comes; before that is set, `nat` is initialised by the caller,
 * with the table's local addresses. */
void forwarder_init(struct forwarder *forwarder, const uint8_t (*mac)[ETHER_ADDRESS], unsigned n_ports,
                    uint32_t random);
/* A table that may follow the one in force, which is not used any more on return. What has stayed the same keeps its
 * state. */
void forwarder_set_table(struct forwarder *forwarder, const struct fib *table, uint64_t now_us);
/* Frames that came in together by a port, at most FORWARDER_BURST, changed in place; frame, size and room are set.
 * ports: by which port each of them leaves; below 0: it goes no further, and minus that says why (enum drop). */
void forwarder_receive(struct forwarder *forwarder, unsigned port, struct packet *packets, unsigned n, int *ports,
                       uint64_t now_us);
/* What the time asks for. To be called at forwarder->next_us at the latest, behind what has come in until then. */
void forwarder_turn(struct forwarder *forwarder, uint64_t now_us);

#endif
