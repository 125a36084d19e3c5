/* dp_api.h: what a forwarder is told: one table, flat and whole, over its local socket. The only face of dataplane/ to
 * programs that bring no DPDK.
 *
 * A message is struct dp_header, then arrays in the order of its counts, without holes; numbers as the machine has
 * them. It is validated as a whole, compiled beside what is in force and put in its place between two bursts: packets
 * see the old table or the new one. One that is not right changes nothing; the answer is a line of text: "ok
 * GENERATION", or "refused: " and what was found and expected. Sessions outlive tables: adjacencies, groups and
 * backends are known by their place (`slot` of backends), which a table that has the same ones keeps. So that others
 * may go, a place may be empty: an adjacency of family 0, a group without lines.
 */
#ifndef DATAPLANE_DP_API_H
#define DATAPLANE_DP_API_H

#include <stdint.h>

#define DP_MAGIC 0x50444253u /* "SBDP" */
#define DP_VERSION 1u
#define DP_ADJACENCIES 64u
#define DP_GROUPS 16u
#define DP_LOCALS 16u
#define DP_SERVICES 256u
#define DP_BACKENDS 4096u
#define DP_PORTS 8u
#define DP_NONE UINT32_MAX
/* Flags of a service, those of nat.h: tell backends the client's address by a TCP option; choose backends one after the
 * other, not by the client; tell by the PROXY protocol. */
#define DP_TOA 1u
#define DP_IN_TURN 2u
#define DP_PROXY 4u
#define DP_GROUP 0x80000000u /* in `way`: a group's number, not an adjacency's */

struct dp_header {
    uint32_t magic, version;
    uint32_t size; /* of the whole message, bytes */
    uint32_t n_adjacencies, n_groups, n_locals, n_services, n_backends;
    uint64_t generation; /* the sender's; given back */
    uint64_t seed[2];    /* of choosing backends by client: the same at every gateway */
};
/* A neighbour: packets leave by its port, to its MAC address (ARP, RFC 826; neighbour discovery, RFC 4861). A peer is
 * another forwarder that serves the same addresses: when routers upstream begin to send what was its to this one, TCP
 * packets that begin nothing and belong to no session here are handed to it as they are, while BFD says that it is live
 * (a second chance, as GLB calls it). */
struct dp_adjacency {
    uint8_t own[16], next[16]; /* addresses: ours there, the neighbour's; v4: the first four bytes */
    uint8_t family, port;      /* 4 or 6, 0: an empty place; the forwarder's, by its place on the command line */
    uint8_t mult;              /* BFD: packets that may be missing; 0: no BFD */
    uint8_t peer;              /* 1: it is one, has BFD, and is in no group */
    uint16_t mtu;              /* bytes of an IP packet; 0: any */
    uint16_t zero2;
    uint32_t min_tx_us, min_rx_us; /* BFD */
    uint32_t group;                /* of lines that it belongs to; DP_NONE: none */
    uint32_t preference, weight;   /* in its group (lines.h) */
    uint64_t srlg, seed;
};
/* Lines to one room (lines.h); without one: an empty place. */
struct dp_group {
    uint64_t restore_us, restore_max_us, calm_us, suspect_us;
};
/* An address that backends are talked to from. Those of the first table stay until the forwarder ends. */
struct dp_local {
    uint8_t address[16];
    uint8_t family, zero[7];
};
struct dp_service {
    uint8_t address[16];
    uint16_t port;
    uint8_t family, proto; /* 4 or 6; 6 TCP, 17 UDP */
    uint32_t flags;        /* DP_TOA, DP_IN_TURN, DP_PROXY */
    uint32_t first_backend, n_backends;
};
struct dp_backend {
    uint8_t address[16];
    uint16_t port;
    uint16_t slot;          /* below DP_BACKENDS; where its sessions are counted */
    uint32_t way;           /* adjacency, or DP_GROUP | group */
    uint32_t weight, limit; /* 0: drains; sessions at most, 0: any number */
    uint64_t seed;          /* of its name */
};

#endif
