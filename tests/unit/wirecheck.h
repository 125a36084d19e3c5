/* wirecheck.h: is a frame whole, as a receiver that knows nothing of dataplane/ finds it? Headers, lengths and
 * checksums are looked at byte by byte, with no code in common with what is tested. */
#ifndef TESTS_WIRECHECK_H
#define TESTS_WIRECHECK_H

#include <stdbool.h>
#include <stdint.h>

struct wirecheck {
    const char *fault;     /* of its headers; NULL: none */
    uint8_t family, proto; /* 0: not IP */
    bool sum_good;         /* of TCP, UDP, ICMP; UDP over IPv4 without one: true */
};
struct wirecheck wirecheck(const uint8_t *frame, uint32_t size);
/* What is wrong with a frame that somebody sends: its headers or its checksum; NULL: nothing. ARP is not looked at. */
const char *wirecheck_sent(const uint8_t *frame, uint32_t size);

#endif
