#include "dataplane/flow.h"

#include <assert.h>
#include <string.h>

static uint32_t bucket_count(uint32_t sessions)
{
    uint32_t wanted = (sessions + FLOW_SLOTS / 2 - 1) / (FLOW_SLOTS / 2), n = 2;
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

static uint64_t from_lane(uint64_t lanes, unsigned lane)
{
    return lanes & UINT64_MAX << 16 * lane;
}

uint32_t flow_find(const struct flows *flows, uint64_t hash, unsigned *at)
{
    uint16_t mark = flow_mark(hash);
    while (*at < 2 * FLOW_SLOTS) {
        const struct flow_bucket *bucket = flow_bucket(flows, hash, *at / FLOW_SLOTS);
        unsigned slot = *at % FLOW_SLOTS, half = slot / (FLOW_SLOTS / 2);
        uint64_t same = from_lane(flow_same_marks(bucket, half, mark), slot % (FLOW_SLOTS / 2));
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
            bucket->mark[i] = flow_mark(hash);
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
            if (bucket->mark[i] == flow_mark(hash) && bucket->session[i] == session) {
                bucket->mark[i] = 0;
                first->away -= bucket != first;
                flows->n--;
                return true;
            }
    }
    return false;
}
