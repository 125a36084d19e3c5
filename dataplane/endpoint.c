#include "dataplane/endpoint.h"

#include "dataplane/flow.h"

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

static uint32_t hash_of(const struct endpoint *key)
{
    uint64_t words[2];
    uint32_t rest;
    _Static_assert(sizeof *key == 20, "no padding: keys are compared as bytes");
    memcpy(words, key, 16);
    memcpy(&rest, &key->port, 4);
    return (uint32_t)flow_fold(words[0] ^ 0xa0761d6478bd642fu, words[1] ^ rest ^ 0xe7037ed1a0b428dbu);
}

/* Its slot, or the empty one where it would be. */
static struct endpoint_slot *slot_of(const struct endpoints *endpoints, const struct endpoint *key)
{
    for (uint32_t at = hash_of(key);; at++) {
        struct endpoint_slot *slot = &endpoints->slots[at & endpoints->mask];
        if (slot->number == ENDPOINT_NONE || memcmp(&slot->key, key, sizeof *key) == 0)
            return slot;
    }
}

void endpoint_add(struct endpoints *endpoints, const struct endpoint *key, uint32_t number)
{
    struct endpoint_slot *slot = slot_of(endpoints, key);
    if (slot->number == ENDPOINT_NONE)
        *slot = (struct endpoint_slot){*key, number};
}

uint32_t endpoint_find(const struct endpoints *endpoints, const struct endpoint *key)
{
    return slot_of(endpoints, key)->number;
}
