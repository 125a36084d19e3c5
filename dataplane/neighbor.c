#include "dataplane/neighbor.h"

#include <string.h>

enum { TYPE_ARP = 0x0806, ARP_SIZE = 28, ARP_ASKS = 1, ARP_ANSWERS = 2 };
enum { SOLICITS = 135, ADVERTISES = 136, OPTION_SOURCE = 1, OPTION_TARGET = 2 };
#define ADVERTISED 0x60000000u /* solicited, override (RFC 4861, 4.4) */
#define HOPS 255u              /* comes from the link itself (RFC 4861, 7.1) */
#define ND_SIZE (ICMP_SIZE + 16u)

static const uint8_t everybody[ETHER_ADDRESS] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

static bool hear_arp(const struct packet *p, struct neighbor_word *word)
{
    static const uint8_t head[] = {0, 1, 8, 0, 6, 4}; /* Ethernet, IPv4 */
    const uint8_t *arp = p->frame + ETHER_SIZE;
    if (memcmp(arp, head, sizeof head) != 0 || (get16(arp + 6) != ARP_ASKS && get16(arp + 6) != ARP_ANSWERS))
        return false;
    word->family = 4;
    word->asks = get16(arp + 6) == ARP_ASKS;
    memcpy(word->mac, arp + 8, ETHER_ADDRESS);
    memcpy(word->sender, arp + 14, 4);
    memcpy(word->target, arp + 24, 4);
    return true;
}

/* The link-layer address of an option; NULL: there is none. */
static const uint8_t *link_option(const uint8_t *icmp, uint32_t size, uint8_t kind)
{
    for (uint32_t at = ND_SIZE; at + 8 <= size && icmp[at + 1] > 0; at += icmp[at + 1] * 8u)
        if (icmp[at] == kind && icmp[at + 1] == 1)
            return icmp + at + 2;
    return NULL;
}

static bool hear_nd(const struct packet *p, struct neighbor_word *word)
{
    const uint8_t *icmp = p->frame + p->l4;
    uint32_t size = p->size - p->l4;
    if (*packet_hops(p) != HOPS || size < ND_SIZE || (icmp[0] != SOLICITS && icmp[0] != ADVERTISES) || icmp[1] != 0 ||
        !packet_sum_good(p))
        return false;
    word->family = 6;
    word->asks = icmp[0] == SOLICITS;
    const uint8_t *mac = link_option(icmp, size, word->asks ? OPTION_SOURCE : OPTION_TARGET);
    memcpy(word->mac, mac != NULL ? mac : p->frame + ETHER_ADDRESS, ETHER_ADDRESS);
    memcpy(word->sender, word->asks ? packet_source(p) : icmp + ICMP_SIZE, 16);
    memcpy(word->target, icmp + ICMP_SIZE, 16);
    return true;
}

bool neighbor_hear(const struct packet *packet, struct neighbor_word *word)
{
    memset(word, 0, sizeof *word);
    if (packet->kind == PACKET_ARP)
        return hear_arp(packet, word);
    return packet->proto == PROTO_ICMP6 && hear_nd(packet, word);
}

static void make_arp(struct packet *p, unsigned says, const uint8_t *mac, const uint8_t *sender, const uint8_t *to,
                     const uint8_t *target)
{
    uint8_t *arp = p->frame + ETHER_SIZE;
    p->room += p->size - ETHER_SIZE - ARP_SIZE;
    p->size = ETHER_SIZE + ARP_SIZE;
    p->kind = PACKET_ARP;
    memcpy(p->frame, to, ETHER_ADDRESS);
    memcpy(p->frame + 6, mac, ETHER_ADDRESS);
    put16(p->frame + 12, TYPE_ARP);
    memcpy(arp, (const uint8_t[]){0, 1, 8, 0, 6, 4}, 6);
    put16(arp + 6, (uint16_t)says);
    memcpy(arp + 8, mac, ETHER_ADDRESS);
    memcpy(arp + 14, sender, 4);
    memcpy(arp + 18, says == ARP_ASKS ? (const uint8_t[6]){0} : to, ETHER_ADDRESS);
    memcpy(arp + 24, target, 4);
}

static void make_nd(struct packet *p, bool asks, const uint8_t *mac, const uint8_t *source, const uint8_t *dest,
                    const uint8_t *to, const uint8_t *target)
{
    uint8_t body[24] = {0};
    memcpy(body, target, 16);
    body[16] = asks ? OPTION_SOURCE : OPTION_TARGET;
    body[17] = 1;
    memcpy(body + 18, mac, ETHER_ADDRESS);
    struct icmp_message say = {.family = 6,
                               .source = source,
                               .dest = dest,
                               .type = asks ? SOLICITS : ADVERTISES,
                               .rest = asks ? 0 : ADVERTISED,
                               .quote = body,
                               .n_quote = sizeof body};
    packet_make_icmp(p, &say);
    *packet_hops(p) = HOPS; /* no checksum covers it */
    memcpy(p->frame, to, ETHER_ADDRESS);
    memcpy(p->frame + 6, mac, ETHER_ADDRESS);
}

void neighbor_ask(struct packet *packet, uint8_t family, const uint8_t *target, const uint8_t *own, const uint8_t *mac)
{
    if (family == 4) {
        make_arp(packet, ARP_ASKS, mac, own, everybody, target);
        return;
    }
    uint8_t group[16] = {0xff, 2, [11] = 1, [12] = 0xff}, to[ETHER_ADDRESS] = {0x33, 0x33, 0xff};
    memcpy(group + 13, target + 13, 3); /* solicited-node address, RFC 4291, 2.7.1 */
    memcpy(to + 3, target + 13, 3);
    make_nd(packet, true, mac, own, group, to, target);
}

void neighbor_answer(struct packet *packet, const struct neighbor_word *word, const uint8_t *mac)
{
    if (word->family == 4)
        make_arp(packet, ARP_ANSWERS, mac, word->target, word->mac, word->sender);
    else
        make_nd(packet, false, mac, word->target, word->sender, word->mac, word->target);
}
