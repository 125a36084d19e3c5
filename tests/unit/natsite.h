/* natsite.h: a client and a backend (tcpend.h) with a FULLNAT (nat_rig.h) between them, on a wire that loses, doubles,
 * delays, reorders and damages (faultwire.h), in virtual time. Every frame that leaves the FULLNAT is looked at
 * (wirecheck.h): whole, and damaged only if it came in so. Failures abort the test. */
#ifndef TESTS_NATSITE_H
#define TESTS_NATSITE_H

#include "tests/unit/faultwire.h"
#include "tests/unit/nat_rig.h"
#include "tests/unit/tcpend.h"

enum { NATSITE_CLIENT, NATSITE_OUTSIDE, NATSITE_INSIDE, NATSITE_BACKEND }; /* who receives a frame */

#define NATSITE_ENDS (1u << NATSITE_CLIENT | 1u << NATSITE_BACKEND)

struct natsite {
    struct rig *r;
    struct wire wire;
    struct tcpend client, backend;
    uint64_t now_us;
    unsigned flood;                 /* SYNs of strangers each turn */
    uint64_t strangers;             /* that were answered */
    uint64_t in, out, drops[DROPS]; /* packets of the forwarder, but for those */
    uint32_t largest[2];            /* IP packet that has left by a side */
    unsigned told_size;             /* ICMP messages that said how big a packet may be, and were heeded */
};

/* client and backend: addresses and ports are filled in but for the client's own port; `says` is the site's from now
 * on. port: of the service; cookies: the connection begins with one. */
void natsite_init(struct natsite *site, uint8_t family, uint16_t port, const struct wire_faults *how, uint64_t seed,
                  struct tcpend_config client, struct tcpend_config backend, bool cookies);
void natsite_clear(struct natsite *site);
/* Another connection through the same FULLNAT, when the one before is over. */
void natsite_again(struct natsite *site, struct tcpend_config client, struct tcpend_config backend);
void natsite_turn(struct natsite *site);
uint64_t natsite_next_us(const struct natsite *site);
/* Until both ends are done, or something is wrong, or most_us have passed. */
void natsite_run(struct natsite *site, uint64_t most_us);
/* Both are done and nothing is wrong. what: of the test, for its message. */
void natsite_check_done(const struct natsite *site, const char *what);
/* Both have heard all that the other one says; the backend what it is to be told of the client. */
void natsite_check_told(const struct natsite *site);
/* All packets are accounted for; when time has passed, no session is left. */
void natsite_check_over(struct natsite *site, bool drops);
/* Bytes drawn by the wire; g_byte_array_unref. */
GByteArray *natsite_speech(struct wire *wire, uint32_t size);

#endif
