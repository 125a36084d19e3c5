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

/* As it was written, word for word: a wider read would have to wait for those writes. */
static uint64_t word_of(const struct flow_key *key, unsigned i)
{
    uint64_t word;
    memcpy(&word, (const uint8_t *)key + i * sizeof word, sizeof word);
    return word;
}

/* Eight bytes pairwise, each pair folded with the secret and its own constant (as in wyhash and XXH3). */
uint64_t flow_hash(const uint64_t secret[2], const struct flow_key *key)
{
    static const uint64_t constants[] = {0xa0761d6478bd642f, 0xe7037ed1a0b428db, 0x8ebc6af09c88c6e3};
    uint64_t hash = secret[1];
    _Static_assert(sizeof *key == 40, "five words");
    hash ^= flow_fold(word_of(key, 0) ^ secret[0], word_of(key, 1) ^ constants[0] ^ secret[1]);
    hash ^= flow_fold(word_of(key, 2) ^ secret[1], word_of(key, 3) ^ constants[1] ^ secret[0]);
    return flow_fold(hash ^ constants[2], word_of(key, 4) ^ secret[0]);
}

static uint16_t mark_of(uint64_t hash)
{
    uint16_t mark = (uint16_t)(hash >> 48); /* bits that choose no bucket */
    return mark != 0 ? mark : 1;
}

/* Which slots have that mark: the top bit of each one's 16; of `half` of them. A lane is 0 exactly where its lower 15
 * bits carry nothing into the top one and that one is 0, too. */
static uint64_t same_marks(const struct flow_bucket *bucket, unsigned half, uint16_t mark)
{
    const uint64_t low = 0x7fff7fff7fff7fffu;
    uint64_t lanes;
    memcpy(&lanes, &bucket->mark[half * FLOW_SLOTS / 2], sizeof lanes);
    lanes ^= mark * 0x0001000100010001u;
    return ~(((lanes & low) + low) | lanes | low);
}

static uint64_t from_lane(uint64_t lanes, unsigned lane)
{
    return lanes & UINT64_MAX << 16 * lane;
}

uint32_t flow_find(const struct flows *flows, uint64_t hash, unsigned *at)
{
    uint16_t mark = mark_of(hash);
    const struct flow_bucket *first = flow_bucket(flows, hash, 0);
    if (*at == 0 && first->away == 0 && (same_marks(first, 0, mark) | same_marks(first, 1, mark)) == 0)
        return FLOW_NONE; /* nearly all of a flood */
    while (*at < 2 * FLOW_SLOTS) {
        const struct flow_bucket *bucket = flow_bucket(flows, hash, *at / FLOW_SLOTS);
        unsigned slot = *at % FLOW_SLOTS, half = slot / (FLOW_SLOTS / 2);
        uint64_t same = from_lane(same_marks(bucket, half, mark), slot % (FLOW_SLOTS / 2));
        if (same != 0) {
            slot = half * FLOW_SLOTS / 2 + (unsigned)__builtin_ctzll(same) / 16;
            *at = *at / FLOW_SLOTS * FLOW_SLOTS + slot + 1;
            return bucket->session[slot];
        }
        *at = *at / (FLOW_SLOTS / 2) * (FLOW_SLOTS / 2) + FLOW_SLOTS / 2;
        if (*at == FLOW_SLOTS && bucket->away == 0)
            break;
    }
    *at = 2 * FLOW_SLOTS;
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
    struct flow_bucket *first = flow_bucket(flows, hash, 0), *second = flow_bucket(flows, hash, 1), *bucket = first;
    if (filled(first) >= FLOW_CROWDED && filled(second) < filled(first))
        bucket = second;
    for (unsigned i = 0; i < FLOW_SLOTS; i++)
        if (bucket->mark[i] == 0) {
            bucket->mark[i] = mark_of(hash);
            bucket->session[i] = session;
            first->away += bucket != first;
            flows->n++;
            return true;
        }
    return false;
}

bool flow_remove(struct flows *flows, uint64_t hash, uint32_t session)
{
    struct flow_bucket *first = flow_bucket(flows, hash, 0);
    for (unsigned which = 0; which < 2; which++) {
        struct flow_bucket *bucket = flow_bucket(flows, hash, which);
        for (unsigned i = 0; i < FLOW_SLOTS; i++)
            if (bucket->mark[i] == mark_of(hash) && bucket->session[i] == session) {
                bucket->mark[i] = 0;
                first->away -= bucket != first;
                flows->n--;
                return true;
            }
    }
    return false;
}
