/* syncookie.h: the sequence number of a SYN-ACK that says all that is to be remembered of the SYN, so that nothing is
 * (RFC 4987, 3.6). The acknowledgement brings it back: 24 bits of a MAC (SipHash-2-4) over addresses, ports, the
 * client's number and the minute, and 8 bits of what was agreed. Good for one to two minutes of COOKIE_MINUTE_US.
 *
 * Who guesses has a chance of 2 in 2^24 for each packet.
 *
 * Pure. Thread safety: none is needed.
 */
#ifndef DATAPLANE_SYNCOOKIE_H
#define DATAPLANE_SYNCOOKIE_H

#include "dataplane/flow.h"

#define COOKIE_KEY 16u
#define COOKIE_MINUTE_US 64000000ull
#define COOKIE_NO_SCALE 15u
#define COOKIE_SCALE 7u /* of our window, where the client scales its own */

/* What a client offers in its SYN, as far as a cookie remembers it. */
struct syncookie {
    uint8_t scale; /* of its window, 0 to 14; COOKIE_NO_SCALE: it does not */
    bool sack;
    uint8_t mss; /* index: syncookie_mss */
};

/* The number for a SYN-ACK. client_seq: the SYN's. */
uint32_t syncookie_make(const uint8_t key[static COOKIE_KEY], const struct flow_key *flow, uint32_t client_seq,
                        struct syncookie offer, uint64_t now_us);
/* Is it one of ours, for this client? Then what it offered is in *offer. */
bool syncookie_check(const uint8_t key[static COOKIE_KEY], const struct flow_key *flow, uint32_t client_seq,
                     uint32_t number, uint64_t now_us, struct syncookie *offer);
/* The highest of the table that is not above an MSS; and what an index means. */
uint8_t syncookie_mss_index(uint16_t mss);
uint16_t syncookie_mss(uint8_t index);

#endif
