/* flow.h: which session a packet from outside belongs to: an index by client, service address, ports and protocol.
 *
 * A bucket is a cache line of eight slots, each 16 bits of the hash and the session's number; a key lies in its first
 * bucket, or, where that is crowded, in the emptier one of two. A bucket counts those of its keys that lie elsewhere:
 * as long as there are none a look-up that finds nothing, which is what a flood's are, reads one line. What is found is
 * a candidate: the caller compares the session itself, so keys are not stored twice. Look-ups of a burst are made in
 * two passes, so that memory is fetched while others are looked at: first flow_prefetch for all, then flow_first.
 *
 * At most half of the slots are filled (flow_init), where two buckets of eight are practically never both full;
 * flow_add says so when they are. Hash: xxh3-like multiply and fold with a secret, so that nobody can choose keys that
 * collide.
 *
 * Memory is the caller's, nothing is allocated. Thread safety: a table belongs to one core.
 */
#ifndef DATAPLANE_FLOW_H
#define DATAPLANE_FLOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define FLOW_SLOTS 8u
#define FLOW_CROWDED 5u /* slots that are filled */
#define FLOW_NONE UINT32_MAX

struct flow_key {
    uint8_t client[16], service[16]; /* addresses; v4 ones in the first four bytes, zeros behind */
    uint16_t client_port, service_port;
    uint8_t proto, family; /* PROTO_TCP or PROTO_UDP; 4 or 6 */
    uint16_t zero;         /* so that keys can be compared as bytes */
};

struct flow_bucket {
    uint16_t mark[FLOW_SLOTS]; /* of the hash; never 0: an empty slot */
    uint32_t session[FLOW_SLOTS];
    uint32_t away; /* keys whose first bucket this is, and that lie in their second */
    uint32_t pad[3];
} __attribute__((aligned(64)));

struct flows {
    struct flow_bucket *buckets;
    uint32_t mask; /* buckets - 1 */
    uint64_t secret[2];
    uint32_t n;
};

/* Two words made one, each bit of both in it (the multiply and fold of wyhash and XXH3). */
static inline uint64_t flow_fold(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* Bytes of buckets for so many sessions; a power of two times 64. */
size_t flow_size(uint32_t sessions);
/* memory: flow_size(sessions) bytes, aligned to 64. secret: random, for the life of the table. */
void flow_init(struct flows *flows, void *memory, uint32_t sessions, const uint64_t secret[2]);

static inline uint64_t flow_word(const struct flow_key *key, unsigned i)
{
    uint64_t word;
    _Static_assert(sizeof *key == 40, "five words");
    memcpy(&word, (const uint8_t *)key + i * sizeof word, sizeof word);
    return word;
}
static inline bool flow_key_same(const struct flow_key *a, const struct flow_key *b)
{
    uint64_t differ = 0;
    for (unsigned i = 0; i < sizeof *a / sizeof differ; i++)
        differ |= flow_word(a, i) ^ flow_word(b, i);
    return differ == 0;
}
/* Eight bytes pairwise, each pair folded with the secret and its own constant (as in wyhash and XXH3). */
static inline uint64_t flow_hash(const uint64_t secret[2], const struct flow_key *key)
{
    uint64_t hash = secret[1];
    hash ^= flow_fold(flow_word(key, 0) ^ secret[0], flow_word(key, 1) ^ 0xa0761d6478bd642f ^ secret[1]);
    hash ^= flow_fold(flow_word(key, 2) ^ secret[1], flow_word(key, 3) ^ 0xe7037ed1a0b428db ^ secret[0]);
    return flow_fold(hash ^ 0x8ebc6af09c88c6e3, flow_word(key, 4) ^ secret[0]);
}

static inline struct flow_bucket *flow_bucket(const struct flows *flows, uint64_t hash, unsigned which)
{
    return &flows->buckets[(which == 0 ? (uint32_t)hash : (uint32_t)(hash >> 24)) & flows->mask];
}
static inline void flow_prefetch(const struct flows *flows, uint64_t hash)
{
    __builtin_prefetch(flow_bucket(flows, hash, 0));
}

static inline uint16_t flow_mark(uint64_t hash)
{
    uint16_t mark = (uint16_t)(hash >> 48); /* bits that choose no bucket */
    return mark != 0 ? mark : 1;
}
/* Which slots have that mark: the top bit of each one's 16; of `half` of them. A lane is 0 exactly where its lower 15
 * bits carry nothing into the top one and that one is 0, too. */
static inline uint64_t flow_same_marks(const struct flow_bucket *bucket, unsigned half, uint16_t mark)
{
    const uint64_t low = 0x7fff7fff7fff7fffu;
    uint64_t lanes;
    memcpy(&lanes, &bucket->mark[half * FLOW_SLOTS / 2], sizeof lanes);
    lanes ^= mark * 0x0001000100010001u;
    return ~(((lanes & low) + low) | lanes | low);
}

/* Candidates one after the other: *at begins with 0 and is the function's own. FLOW_NONE: there are no more. */
uint32_t flow_find(const struct flows *flows, uint64_t hash, unsigned *at);
/* Any candidate, nearly always the only one. FLOW_NONE: there is none. */
static inline uint32_t flow_first(const struct flows *flows, uint64_t hash)
{
    const struct flow_bucket *bucket = flow_bucket(flows, hash, 0);
    uint64_t lower = flow_same_marks(bucket, 0, flow_mark(hash)), upper = flow_same_marks(bucket, 1, flow_mark(hash));
    unsigned at = 0;
    if ((lower | upper) == 0)
        return bucket->away == 0 ? FLOW_NONE : flow_find(flows, hash, &at);
    unsigned bit = (unsigned)__builtin_ctzll(lower >> 15 | upper >> 14); /* two of each 16 are left, of both halves */
    return bucket->session[bit / 16 + bit % 16 * (FLOW_SLOTS / 2)];
}
/* The session is none of the table's. False: both buckets are full, nothing has changed. */
bool flow_add(struct flows *flows, uint64_t hash, uint32_t session);
/* False: it is not there. */
bool flow_remove(struct flows *flows, uint64_t hash, uint32_t session);

#endif
