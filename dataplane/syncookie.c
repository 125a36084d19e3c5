#include "dataplane/syncookie.h"

#include <string.h>

/* Common ones, below 1,460 of Ethernet: tunnels, PPPoE, IPv6's least, the least that is assumed (RFC 9293, 3.7.1). */
static const uint16_t sizes[8] = {536, 1024, 1220, 1300, 1360, 1400, 1440, 1460};

uint16_t syncookie_mss(uint8_t index)
{
    return sizes[index & 7];
}

uint8_t syncookie_mss_index(uint16_t mss)
{
    uint8_t index = 7;
    while (index > 0 && sizes[index] > mss)
        index--;
    return index;
}

/* ---- SipHash-2-4 (Aumasson and Bernstein, 2012), of whole words: a flood costs little else ---- */

struct sip {
    uint64_t v0, v1, v2, v3;
};

static inline uint64_t rotated(uint64_t x, unsigned bits)
{
    return x << bits | x >> (64 - bits);
}

static inline void sip_rounds(struct sip *s, unsigned n)
{
    while (n-- > 0) {
        s->v0 += s->v1;
        s->v2 += s->v3;
        s->v1 = rotated(s->v1, 13) ^ s->v0;
        s->v3 = rotated(s->v3, 16) ^ s->v2;
        s->v0 = rotated(s->v0, 32) + s->v3;
        s->v2 += s->v1;
        s->v1 = rotated(s->v1, 17) ^ s->v2;
        s->v3 = rotated(s->v3, 21) ^ s->v0;
        s->v2 = rotated(s->v2, 32);
    }
}

static inline void sip_word(struct sip *s, uint64_t word)
{
    s->v3 ^= word;
    sip_rounds(s, 2);
    s->v0 ^= word;
}

static inline uint64_t word_at(const uint8_t *bytes)
{
    uint64_t word;
    memcpy(&word, bytes, sizeof word);
    return word;
}

/* 24 bits of the hash of: both addresses, both ports, the client's number, the minute, what is agreed, the family. */
static uint32_t mac(const uint8_t *key, const struct flow_key *flow, uint32_t client_seq, uint8_t agreed,
                    uint64_t minute)
{
    uint64_t k0 = word_at(key), k1 = word_at(key + 8);
    uint32_t ports = flow->client_port | (uint32_t)flow->service_port << 16;
    struct sip s = {k0 ^ 0x736f6d6570736575u, k1 ^ 0x646f72616e646f6du, k0 ^ 0x6c7967656e657261u,
                    k1 ^ 0x7465646279746573u};
    uint64_t size = flow->family == 4 ? 8 : 32; /* then 14 bytes */
    if (flow->family == 4) {
        sip_word(&s, (word_at(flow->client) & UINT32_MAX) | word_at(flow->service) << 32);
    } else {
        sip_word(&s, word_at(flow->client));
        sip_word(&s, word_at(flow->client + 8));
        sip_word(&s, word_at(flow->service));
        sip_word(&s, word_at(flow->service + 8));
    }
    sip_word(&s, ports | (uint64_t)client_seq << 32);
    sip_word(&s, (uint32_t)minute | (uint64_t)agreed << 32 | (uint64_t)flow->family << 40 | (size + 14) << 56);
    s.v2 ^= 0xff;
    sip_rounds(&s, 4);
    return (s.v0 ^ s.v1 ^ s.v2 ^ s.v3) & 0xffffff;
}

/* ---- cookies ---- */

uint32_t syncookie_make(const uint8_t key[static COOKIE_KEY], const struct flow_key *flow, uint32_t client_seq,
                        struct syncookie offer, uint64_t now_us)
{
    uint8_t agreed = (uint8_t)(offer.scale << 4 | offer.sack << 3 | offer.mss);
    return mac(key, flow, client_seq, agreed, now_us / COOKIE_MINUTE_US) << 8 | agreed;
}

bool syncookie_check(const uint8_t key[static COOKIE_KEY], const struct flow_key *flow, uint32_t client_seq,
                     uint32_t number, uint64_t now_us, struct syncookie *offer)
{
    uint8_t agreed = (uint8_t)number;
    uint64_t minute = now_us / COOKIE_MINUTE_US;
    if (mac(key, flow, client_seq, agreed, minute) != number >> 8 &&
        mac(key, flow, client_seq, agreed, minute - 1) != number >> 8)
        return false;
    *offer = (struct syncookie){agreed >> 4, agreed >> 3 & 1, agreed & 7};
    return true;
}
