/* csum.h: Internet checksums (RFC 1071), and their change with what they cover (RFC 1624).
 *
 * The fast path never computes a checksum anew: that would make a packet that came in corrupted look whole. It adds to
 * the old one the difference of what was changed. Differences add up, so all that a session changes in each of its
 * packets (addresses, ports) is one number, made once.
 *
 * Sums are of 16-bit words as they lie in memory: the checksum of a checksum's bytes does not depend on the byte order
 * of the machine (RFC 1071, 2B). Words must begin at even offsets of what is covered; csum_swap is for those that do
 * not. Pure, thread safe.
 */
#ifndef DATAPLANE_CSUM_H
#define DATAPLANE_CSUM_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* The 16-bit one's complement sum. Halves are added to both halves, so that the upper one gets the lower one's carry.
 */
static inline uint16_t csum_fold(uint64_t sum)
{
    sum += sum << 32 | sum >> 32;
    uint32_t half = (uint32_t)(sum >> 32);
    half += half << 16 | half >> 16;
    return (uint16_t)(half >> 16);
}

/* Adds eight bytes; the carry goes round. */
static inline uint64_t csum_word(uint64_t sum, const uint8_t *at)
{
    uint64_t word;
    memcpy(&word, at, 8);
    sum += word;
    return sum + (sum < word);
}

/* Adds bytes; an odd last one counts as followed by 0. What comes back is below 2^34, so that a few more may be added
 * by hand; so is what goes in. */
static inline uint64_t csum_add(uint64_t sum, const void *bytes, size_t size)
{
    const uint8_t *at = bytes;
    for (; size >= 32; size -= 32, at += 32)
        sum = csum_word(csum_word(csum_word(csum_word(sum, at), at + 8), at + 16), at + 24);
    for (; size >= 8; size -= 8, at += 8)
        sum = csum_word(sum, at);
    sum = (sum & 0xffffffff) + (sum >> 32);
    if (size == 0)
        return sum;
    if (size >= 4) {
        uint32_t word;
        memcpy(&word, at, 4);
        sum += word;
        size -= 4, at += 4;
    }
    if (size >= 2) {
        uint16_t word;
        memcpy(&word, at, 2);
        sum += word;
        size -= 2, at += 2;
    }
    const uint8_t last[2] = {size > 0 ? *at : 0, 0};
    uint16_t word;
    memcpy(&word, last, 2);
    return sum + word;
}

/* The difference that replacing bytes makes; size even. Differences of several replacements are added. A word's
 * complement is what takes it off: 2^32 - 1 is a multiple of 2^16 - 1. */
static inline uint64_t csum_change(const void *before, const void *after, size_t size)
{
    const uint8_t *old = before, *new = after;
    uint64_t sum = 0;
    for (; size > 0; size -= size < 4 ? size : 4, old += 4, new += 4) {
        uint32_t off = 0, on = 0;
        memcpy(&off, old, size < 4 ? size : 4);
        memcpy(&on, new, size < 4 ? size : 4);
        sum += (uint64_t)on + (uint32_t)~off;
    }
    return sum;
}

/* The checksum field after a change, below 2^63: HC' = ~(~HC + ~m + m'), RFC 1624, [Eqn. 3]. */
static inline uint16_t csum_apply(uint16_t field, uint64_t change)
{
    return (uint16_t)~csum_fold((uint16_t)~field + change);
}

/* Applies a change to a checksum field in a packet. UDP (v4): 0 says that there is none, which stays so, and what would
 * be 0 is written as its other zero (RFC 768). */
static inline void csum_patch(uint8_t *field, uint64_t change, int udp)
{
    uint16_t value;
    memcpy(&value, field, 2);
    if (udp && value == 0)
        return;
    value = csum_apply(value, change);
    if (udp && value == 0)
        value = 0xffff;
    memcpy(field, &value, 2);
}

#endif
