#include "dataplane/syncookie.h"

#include <sodium/crypto_shorthash_siphash24.h>
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

static uint32_t mac(const uint8_t *key, const struct flow_key *flow, uint32_t client_seq, uint8_t agreed,
                    uint64_t minute)
{
    uint8_t message[sizeof *flow + 4 + 1 + 4], hash[crypto_shorthash_siphash24_BYTES];
    uint32_t minute32 = (uint32_t)minute, head;
    _Static_assert(COOKIE_KEY == crypto_shorthash_siphash24_KEYBYTES, "SipHash's key");
    memcpy(message, flow, sizeof *flow);
    memcpy(message + sizeof *flow, &client_seq, 4);
    message[sizeof *flow + 4] = agreed;
    memcpy(message + sizeof *flow + 5, &minute32, 4);
    crypto_shorthash_siphash24(hash, message, sizeof message, key);
    memcpy(&head, hash, 4);
    return head & 0xffffff;
}

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
