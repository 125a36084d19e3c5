#include "dataplane/endpoint.h"

#include "dataplane/flow.h"

#include <stdbool.h>
#include <string.h>

static uint32_t slot_count(uint32_t n)
{
    uint32_t count = 2;
    while (count < 2 * n)
        count *= 2;
    return count;
}

size_t endpoint_size(uint32_t n)
{
    return slot_count(n) * sizeof(struct endpoint_slot);
}

void endpoint_init(struct endpoints *endpoints, void *memory, uint32_t n)
{
    memset(memory, 0xff, endpoint_size(n));
    *endpoints = (struct endpoints){.slots = memory, .mask = slot_count(n) - 1};
}

static uint32_t hash_of(const struct endpoint_key *key)
{
    uint64_t words[2];
    uint32_t rest = key->port | (uint32_t)key->family << 16 | (uint32_t)key->proto << 24; /* as they were written */
    memcpy(words, key, 16);
    return (uint32_t)flow_fold(words[0] ^ 0xa0761d6478bd642fu, words[1] ^ rest ^ 0xe7037ed1a0b428dbu);
}

/* Word by word: a call for 20 bytes costs more than they do. */
static bool same(const struct endpoint_key *a, const struct endpoint_key *b)
{
    uint64_t x[2], y[2];
    memcpy(x, a->address, sizeof x);
    memcpy(y, b->address, sizeof y);
    return ((x[0] ^ y[0]) | (x[1] ^ y[1])) == 0 && a->port == b->port && a->family == b->family && a->proto == b->proto;
}

/* Its slot, or the empty one where it would be. */
static struct endpoint_slot *slot_of(const struct endpoints *endpoints, const struct endpoint_key *key)
{
    for (uint32_t at = hash_of(key);; at++) {
        struct endpoint_slot *slot = &endpoints->slots[at & endpoints->mask];
        if (slot->number == ENDPOINT_NONE || same(&slot->key, key))
            return slot;
    }
}

void endpoint_add(struct endpoints *endpoints, const struct endpoint_key *key, uint32_t number)
{
    struct endpoint_slot *slot = slot_of(endpoints, key);
    if (slot->number == ENDPOINT_NONE)
        *slot = (struct endpoint_slot){*key, number};
}

uint32_t endpoint_find(const struct endpoints *endpoints, const struct endpoint_key *key)
{
    return slot_of(endpoints, key)->number;
}
