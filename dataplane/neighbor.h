/* neighbor.h: who has an address on a link: ARP (RFC 826) and IPv6 neighbour discovery (RFC 4861, 4.3 and 4.4): asking,
 * answering, hearing. Pure, thread safe: it remembers nothing.
 */
#ifndef DATAPLANE_NEIGHBOR_H
#define DATAPLANE_NEIGHBOR_H

#include "dataplane/packet.h"

#define ETHER_ADDRESS 6u

/* What a packet says or asks about a link. */
struct neighbor_word {
    uint8_t family;
    bool asks;          /* who has `target`; else `sender` answers for itself */
    uint8_t sender[16]; /* who speaks, and its MAC address */
    uint8_t mac[ETHER_ADDRESS];
    uint8_t target[16];
};

/* False: it is neither ARP nor neighbour discovery that holds together. The packet was parsed. */
bool neighbor_hear(const struct packet *packet, struct neighbor_word *word);
/* Makes the question for `target`, from the own address and MAC address, to everybody; whole frame. */
void neighbor_ask(struct packet *packet, uint8_t family, const uint8_t *target, const uint8_t *own, const uint8_t *mac);
/* Makes the answer: the word's target is at `mac`; whole frame. */
void neighbor_answer(struct packet *packet, const struct neighbor_word *word, const uint8_t *mac);

#endif
