/* nat.h: FULLNAT: both ends of a connection see the forwarder. A client talks to a service's address; the forwarder
 * picks a backend and talks to it from an address and port of its own, so that answers come back by it whatever the
 * routing.
 *
 *   client:port  <-- outside -->  service:port | local:port  <-- inside -->  backend:port
 *
 * No TCP is spoken here: sequence numbers, options and addresses are translated in place, the ends do the rest.
 *   - The initial sequence number towards a backend is our own: higher with each use of a local port, so that a backend
 * in TIME_WAIT takes the next connection (RFC 9293, 3.6.1).
 *   - Timestamps are taken out of the client's SYN: those of different clients behind one local port would not rise,
 * and the backend would drop them (PAWS, RFC 7323, 5.3).
 *   - The client's address goes to the backend as a TCP option (TOA: kind 254, port and address; 253 for IPv6) in the
 *     packets that complete the handshake, until the backend has acknowledged data; in front of all others, so that
 * none of them hides it. One that a client sends is blanked; a packet without room for it is dropped.
 *   - The MSS that the backend offers is lowered by what is inserted.
 * Only what is whole moves a session from one state to another: a reset or an end that came in corrupted, or for which
 * the other end does not stop to talk, ends nothing. A session lives until both ends know that both have ended.
 * What belongs to no connection is answered with a reset: after a restart of the forwarder clients connect again at
 * once. Where a peer may know it, it is handed to that one instead, once; the peer's answers go where they always went.
 *
 * What the packets of a session have in common is one number for each checksum, made once; checksums are patched, never
 * computed, so what came in corrupted goes out corrupted. All memory is the caller's, given once.
 *
 * Thread safety: a nat belongs to one core, which owns its local ports. Times: µs of any clock that does not go back.
 */
#ifndef DATAPLANE_NAT_H
#define DATAPLANE_NAT_H

#include "dataplane/endpoint.h"
#include "dataplane/flow.h"
#include "dataplane/packet.h"
#include "dataplane/syncookie.h"
#include "dataplane/wheel.h"

enum nat_state {
#define NAT_STATE(symbol, ...) NAT_##symbol,
#include "dataplane/nat.def"
#undef NAT_STATE
    NAT_STATES
};
const char *nat_state_name(enum nat_state state); /* static */
enum nat_side { NAT_OUTSIDE, NAT_INSIDE };        /* where a packet comes from, or goes */

/* Where a packet goes. One word: it is handed on from function to function. */
struct nat_way {
    enum drop drop : 8;     /* not DROP_NONE: nowhere */
    enum nat_side side : 8; /* else out of this side */
    /* Of what comes from outside: who else may know its session, a neighbour + 1, 0: nobody; it was handed on itself.
     */
    uint8_t peer;
    bool handed;
    uint32_t adjacency; /* by this neighbour */
};
/* A packet that nat keeps, or sends of its own accord. */
#define NAT_FRAME 1664u
#define NAT_ROOM 72u /* bytes that translation needs behind a packet */
struct nat_frame {
    struct nat_way way;
    uint16_t size, next;
    uint8_t bytes[NAT_FRAME]; /* an Ethernet header's place first */
};
#define NAT_NO_FRAME UINT16_MAX
#define NAT_TURNS 64u
#define NAT_PORT_MIN 1024u
#define NAT_PORTS (65536u - NAT_PORT_MIN)
/* Service flags. */
#define NAT_TOA 1u     /* tell backends the client's address: by a TCP option */
#define NAT_PROXY 4u   /* and by the PROXY protocol, version 2 */
#define NAT_IN_TURN 2u /* entries of `pick` one after the other, not by the client: weighted round robin */

struct nat_backend {
    uint8_t address[16]; /* v4: the first four bytes */
    uint16_t port;
    uint32_t adjacency; /* how it is reached: the caller's number, given back with each packet */
    uint32_t slot;      /* where its sessions are counted: its own, the same in each table that has it */
    uint32_t limit;     /* sessions of this core at most; 0: any number */
};
/* A service: address, port and protocol, and who answers. Immutable. */
struct nat_service {
    uint8_t address[16];
    uint16_t port;
    uint8_t family, proto; /* 4 or 6; PROTO_TCP or PROTO_UDP */
    uint32_t flags;        /* NAT_... */
    const struct nat_backend *backends;
    const uint16_t *pick; /* backend by hash, n_pick entries (maglev.h); n_pick 0: nobody answers */
    uint32_t n_pick;
};
/* Services that are served together. Immutable. */
struct nat_services {
    const struct nat_service *services;
    uint32_t n;
    const uint16_t *mtu; /* by adjacency: bytes of an IP packet at most, 0: any; NULL: of all of them */
    uint64_t seed[2];    /* of choosing by client: the same at every gateway, so that each chooses the same backend */
    struct endpoints index;
};
/* Makes the index; keeps both arrays; the seed is set before or behind. memory: endpoint_size(2 * n) bytes. Of two
 * alike the first serves. */
void nat_services_init(struct nat_services *services, void *memory, const struct nat_service *service, uint32_t n);

/* An address that backends are talked to from; all its ports are this core's. */
struct nat_local {
    uint8_t address[16];
    uint8_t family;
    uint32_t *by_port;    /* NAT_PORTS entries: session of a port */
    uint16_t *free_ports; /* ring of NAT_PORTS entries: the one that is unused for longest is next */
    uint32_t *last_seq;   /* NAT_PORTS entries: where the port's last stream ended, as the backend counts */
    uint32_t free_first, n_free;
};

struct nat_session {
    struct flow_key key; /* client, service, ports, protocol, family */
    uint8_t state;
    uint8_t reset;                       /* NAT_OUTSIDE + 1, NAT_INSIDE + 1: who reset it; 0: nobody */
    uint8_t open : 1;                    /* open TCP of which nothing is to be told, windows as they are */
    uint8_t no_sack : 1;                 /* the backend has not agreed to selections, which the client may make */
    uint8_t spliced : 1;                 /* it began with a SYN cookie, and the backend has answered */
    uint8_t tries : 4;                   /* SYNs that were sent to the backend here */
    uint8_t wants_toa : 1;               /* its service tells backends the client's address, so */
    uint8_t wants_proxy : 1;             /* or so */
    uint8_t toa : 1, proxy : 1;          /* which is still to be told */
    uint8_t fin_in : 1, fin_out : 1;     /* the FIN of the client, of the backend was seen */
    uint8_t known_in : 1, known_out : 1; /* and was acknowledged */
    uint16_t local_port, backend_port;
    uint32_t seq_in;       /* added to sequence numbers on their way in, taken off acknowledgements on their way out */
    uint32_t seq_out;      /* added to the backend's sequence numbers when spliced; before: our own number */
    uint16_t l3_in, l4_in; /* what addresses and a hop, addresses and ports change in checksums */
    uint16_t l3_out, l4_out;
    uint32_t adjacency_in, adjacency_out;
    uint32_t used_ms; /* of the last packet; the clock's low bits */
    uint16_t local_index, backend_slot;
    uint8_t backend[16];
    /* What packets of open connections do not ask for. */
    uint64_t hash;
    uint32_t first_seq;         /* of the client's first byte, as the backend counts */
    uint32_t last_seq;          /* behind its FIN; or where it began */
    uint32_t end_out;           /* behind the backend's FIN */
    uint8_t agreed;             /* with the client, by a SYN cookie: its lower 8 bits */
    int8_t shift_in, shift_out; /* of windows, to the left */
    uint8_t n_held;             /* packets that wait for the backend */
    uint16_t held;              /* the first of them, in nat_memory.frames */
    uint16_t window;            /* of the client until then, as it said it last */
} __attribute__((aligned(64)));
_Static_assert(sizeof(struct nat_session) == 128, "two cache lines");

struct nat_memory {
    struct nat_session *sessions; /* n_sessions, aligned to 64 */
    struct wheel_timer *timers;   /* n_sessions */
    uint32_t *free_sessions;      /* n_sessions */
    void *flows;                  /* flow_size(n_sessions) bytes, aligned to 64 */
    uint32_t n_sessions;
    struct nat_local *locals; /* address, family and the three arrays are set */
    uint32_t n_locals;
    uint32_t *backend_sessions; /* n_backends: sessions of each slot */
    uint32_t n_backends;        /* slots of all tables are below; at most 65,536 */
    struct nat_frame *frames;   /* n_frames, below NAT_NO_FRAME */
    uint32_t n_frames;
    void *local_index; /* endpoint_size(n_locals) bytes */
};
struct nat {
    struct nat_memory memory;
    struct flows flows;
    struct wheel wheel;
    uint32_t n_free, next_local;
    uint32_t turns[NAT_TURNS];           /* of services in turn, by their place */
    const struct nat_services *services; /* NULL: none */
    struct endpoints local_index;
    uint64_t secret;
    uint8_t cookie_key[COOKIE_KEY];
    uint32_t cookies_above;    /* half-open sessions; 0: SYN cookies always. Set behind nat_init, an eighth else */
    uint64_t cookies_until_us; /* so long such cookies may come back */
    uint16_t free_frame, first_out, last_out, sent_out; /* lists of frames */
    uint32_t n_free_frames;
    uint64_t created, ended, resets, cookies, handed;
    uint64_t unkept;             /* packets that there was no frame for, to keep or to make them in */
    uint64_t states[NAT_STATES]; /* sessions in each */
};

void nat_init(struct nat *nat, const struct nat_memory *memory, const uint64_t secret[2], uint64_t now_us);
/* Services for new sessions from now on; those that there are keep their backends. The caller keeps all that is in
 * `services` until the next call has returned. */
void nat_set_services(struct nat *nat, const struct nat_services *services);

/* Parsed TCP and UDP packets that came in together, at most NAT_BURST, translated in place; behind each, NAT_ROOM bytes
 * are needed. ways: adjacency is that of the neighbour that the packet came from, by which answers
 * go back, unless it was handed on and its session has one; all of it is filled in. Memory is fetched for all of them
 * before the first is translated: with many sessions that is most of the time (rte_hash and others do the same). */
#define NAT_BURST 32u
void nat_translate(struct nat *nat, enum nat_side from, struct packet *const *packets, struct nat_way *ways, unsigned n,
                   uint64_t now_us);
/* ICMP, in place: an echo of a service's or an own address is answered; an error about a session's packet goes to who
 * sent that. adjacency: as above. */
struct nat_way nat_icmp(struct nat *nat, enum nat_side from, uint32_t adjacency, struct packet *p);
/* What is to be sent besides: NULL when there is no more. To be asked behind nat_translate and nat_expire. Valid until
 * the next call; the Ethernet header is the caller's to write. */
const struct nat_frame *nat_next_out(struct nat *nat);
/* Ends what is over; at most `most` sessions are looked at. */
void nat_expire(struct nat *nat, uint64_t now_us, unsigned most);

#endif
