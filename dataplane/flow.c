#include "dataplane/flow.h"

#include <assert.h>
#include <string.h>

static uint32_t bucket_count(uint32_t sessions)
{
    uint32_t wanted = sessions / (FLOW_SLOTS / 2) + 1, n = 2;
    while (n < wanted)
        n *= 2;
    return n;
}

size_t flow_size(uint32_t sessions)
{
    return (size_t)bucket_count(sessions) * sizeof(struct flow_bucket);
}

void flow_init(struct flows *flows, void *memory, uint32_t sessions, const uint64_t secret[2])
{
    assert((uintptr_t)memory % sizeof(struct flow_bucket) == 0);
    memset(memory, 0, flow_size(sessions));
    *flows = (struct flows){.buckets = memory, .mask = bucket_count(sessions) - 1, .secret = {secret[0], secret[1]}};
}

/* Eight bytes pairwise, each pair folded with the secret and its own constant (as in wyhash and XXH3). */
uint64_t flow_hash(const uint64_t secret[2], const struct flow_key *key)
{
    static const uint64_t constants[] = {0xa0761d6478bd642f, 0xe7037ed1a0b428db, 0x8ebc6af09c88c6e3};
    uint64_t words[sizeof *key / 8], hash = secret[1];
    _Static_assert(sizeof *key == 40, "five words");
    memcpy(words, key, sizeof words);
    hash ^= flow_fold(words[0] ^ secret[0], words[1] ^ constants[0] ^ secret[1]);
    hash ^= flow_fold(words[2] ^ secret[1], words[3] ^ constants[1] ^ secret[0]);
    return flow_fold(hash ^ constants[2], words[4] ^ secret[0]);
}

static uint16_t mark_of(uint64_t hash)
{
    uint16_t mark = (uint16_t)(hash >> 48); /* bits that choose no bucket */
    return mark != 0 ? mark : 1;
}

uint32_t flow_find(const struct flows *flows, uint64_t hash, unsigned *at)
{
    uint16_t mark = mark_of(hash);
    while (*at < 2 * FLOW_SLOTS) {
        const struct flow_bucket *bucket = flow_bucket(flows, hash, *at / FLOW_SLOTS);
        unsigned slot = (*at)++ % FLOW_SLOTS;
        if (bucket->mark[slot] == mark)
            return bucket->session[slot];
    }
    return FLOW_NONE;
}

static unsigned filled(const struct flow_bucket *bucket)
{
    unsigned n = 0;
    for (unsigned i = 0; i < FLOW_SLOTS; i++)
        n += bucket->mark[i] != 0;
    return n;
}

bool flow_add(struct flows *flows, uint64_t hash, uint32_t session)
{
    unsigned which = filled(flow_bucket(flows, hash, 1)) < filled(flow_bucket(flows, hash, 0));
    struct flow_bucket *bucket = (struct flow_bucket *)flow_bucket(flows, hash, which);
    for (unsigned i = 0; i < FLOW_SLOTS; i++)
        if (bucket->mark[i] == 0) {
            bucket->mark[i] = mark_of(hash);
            bucket->session[i] = session;
            flows->n++;
            return true;
        }
    return false;
}

bool flow_remove(struct flows *flows, uint64_t hash, uint32_t session)
{
    for (unsigned which = 0; which < 2; which++) {
        struct flow_bucket *bucket = (struct flow_bucket *)flow_bucket(flows, hash, which);
        for (unsigned i = 0; i < FLOW_SLOTS; i++)
            if (bucket->mark[i] == mark_of(hash) && bucket->session[i] == session) {
                bucket->mark[i] = 0;
                flows->n--;
                return true;
            }
    }
    return false;
}
