/* endpoint.h: an index of addresses, ports and protocols that are configured: services, own addresses. Made once, then
 * only read; a look-up that finds nothing costs what one that finds something does.
 *
 * At most half of the slots are filled, so that a search is short. What is looked up may come from anybody, but what is
 * in the index may not: no secret is needed.
 *
 * Pure; memory is the caller's. Thread safety: any number of readers once it is filled.
 */
#ifndef DATAPLANE_ENDPOINT_H
#define DATAPLANE_ENDPOINT_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define ENDPOINT_NONE UINT32_MAX

struct endpoint_key {
    uint8_t address[16]; /* v4: the first four bytes, zeros behind */
    uint16_t port;       /* 0 where ports do not matter */
    uint8_t family;      /* 4 or 6 */
    uint8_t proto;       /* PROTO_..., 0 likewise */
};
/* An address of 4 or 16 bytes, with zeros behind it. Of whole words: what is made of single bytes, and then read as
 * words, has to wait until the bytes are in the cache. */
static inline void endpoint_words(uint64_t words[2], const uint8_t *address, uint8_t family)
{
    uint32_t low;
    memcpy(&low, address, sizeof low);
    words[0] = low;
    words[1] = 0;
    if (family != 4)
        memcpy(words, address, 16);
}
/* address: of the family. */
static inline struct endpoint_key endpoint_of(const uint8_t *address, uint8_t family, uint16_t port, uint8_t proto)
{
    struct endpoint_key endpoint;
    uint64_t words[2];
    endpoint_words(words, address, family);
    memcpy(endpoint.address, words, sizeof words);
    endpoint.port = port;
    endpoint.family = family;
    endpoint.proto = proto;
    return endpoint;
}
struct endpoint_slot {
    struct endpoint_key key;
    uint32_t number; /* ENDPOINT_NONE: empty */
};
struct endpoints {
    struct endpoint_slot *slots;
    uint32_t mask; /* slots - 1 */
};

/* Bytes for n endpoints. */
size_t endpoint_size(uint32_t n);
/* memory: endpoint_size(n) bytes, aligned as for a uint32_t. */
void endpoint_init(struct endpoints *endpoints, void *memory, uint32_t n);
/* At most n are added. One that is there keeps its number. */
void endpoint_add(struct endpoints *endpoints, const struct endpoint_key *key, uint32_t number);
/* ENDPOINT_NONE: it is not there. */
uint32_t endpoint_find(const struct endpoints *endpoints, const struct endpoint_key *key);

#endif
