/* packet.h: a frame taken apart: where its headers are, and whether they can be trusted.
 *
 * What passes packet_parse has all its headers inside the frame, lengths that agree, no IP options or extension
 * headers, and is no fragment, so that those behind it may read and write without another look. Padding behind the IP
 * packet (short Ethernet frames) is cut off. Checksums of TCP and UDP are not verified: see csum.h; packet_sum_good is
 * for who makes a new packet of what one says.
 *
 * Pure, no allocation. Thread safety: a packet belongs to one core.
 */
#ifndef DATAPLANE_PACKET_H
#define DATAPLANE_PACKET_H

#include <stdbool.h>
#include <stdint.h>

enum drop {
    DROP_NONE, /* not dropped */
#define DROP(symbol, name, doc) DROP_##symbol,
#include "dataplane/drop.def"
#undef DROP
    DROPS
};
const char *drop_name(enum drop drop); /* as in drop.def; "none"; static */
const char *drop_doc(enum drop drop);

#define ETHER_SIZE 14u
enum { IP4_SIZE = 20, IP6_SIZE = 40, TCP_SIZE = 20, UDP_SIZE = 8, ICMP_SIZE = 8 };
enum { PROTO_ICMP = 1, PROTO_TCP = 6, PROTO_UDP = 17, PROTO_ICMP6 = 58 };
enum { TCP_FIN = 0x01, TCP_SYN = 0x02, TCP_RST = 0x04, TCP_PSH = 0x08, TCP_ACK = 0x10, TCP_URG = 0x20 };
enum packet_kind { PACKET_ARP, PACKET_IP4, PACKET_IP6 };

struct packet {
    uint8_t *frame; /* Ethernet header first; the caller's memory */
    uint32_t size;  /* bytes of the frame */
    uint32_t room;  /* bytes behind it that may be used */
    enum packet_kind kind;
    uint8_t proto;            /* PROTO_..., of IP packets */
    uint8_t tcp_flags;        /* TCP_... */
    uint16_t l3, l4, payload; /* offsets in the frame */
    uint16_t source, dest;    /* ports of TCP and UDP, host order; 0 of others */
};

/* frame, size and room are set; fills in the rest. DROP_NONE, or why it goes no further. */
enum drop packet_parse(struct packet *packet);
/* Is the checksum of its TCP, UDP or ICMP part right? UDP of IPv4 without one counts as right. */
bool packet_sum_good(const struct packet *packet);
/* Computes it, and the IPv4 header's, for a packet that was made here. */
void packet_sum_fill(struct packet *packet);

/* A TCP packet to be made. */
struct tcp_segment {
    uint8_t family;               /* 4 or 6 */
    const uint8_t *source, *dest; /* addresses; may lie in the frame that it is made in */
    uint16_t from, to;            /* ports */
    uint32_t seq, ack;
    uint8_t flags; /* TCP_... */
    uint16_t window;
    const uint8_t *options; /* n_options bytes, a multiple of 4 */
    unsigned n_options;
};
/* Makes it behind the Ethernet header, in place of what is there; checksums too. frame, size and room are set, and hold
 * together enough for it. */
void packet_make_tcp(struct packet *packet, const struct tcp_segment *segment);
/* A UDP datagram, likewise. */
struct udp_datagram {
    uint8_t family;
    const uint8_t *source, *dest;
    uint16_t from, to;   /* ports */
    const uint8_t *data; /* not in the frame */
    unsigned n_data;
};
void packet_make_udp(struct packet *packet, const struct udp_datagram *datagram);
/* An ICMP message about a packet, likewise. */
struct icmp_message {
    uint8_t family;
    const uint8_t *source, *dest;
    uint8_t type, code;
    uint32_t rest;        /* of its header */
    const uint8_t *quote; /* not in the frame */
    unsigned n_quote;
};
void packet_make_icmp(struct packet *packet, const struct icmp_message *message);
/* Computes the checksum of an IPv4 header without options. */
void packet_fill_ip4_sum(uint8_t *ip);

/* The same fields of both families; IP packets only. */
static inline uint8_t packet_family(const struct packet *packet)
{
    return packet->kind == PACKET_IP4 ? 4 : 6;
}
static inline unsigned packet_address_size(uint8_t family)
{
    return family == 4 ? 4 : 16;
}
static inline uint8_t *packet_source(const struct packet *packet)
{
    return packet->frame + packet->l3 + (packet->kind == PACKET_IP4 ? 12 : 8);
}
static inline uint8_t *packet_dest(const struct packet *packet)
{
    return packet->frame + packet->l3 + (packet->kind == PACKET_IP4 ? 16 : 24);
}
/* Hops that are left. */
static inline uint8_t *packet_hops(const struct packet *packet)
{
    return packet->frame + packet->l3 + (packet->kind == PACKET_IP4 ? 8 : 7);
}
/* The length field: of the whole packet (IPv4), of what is behind the header (IPv6). */
static inline uint8_t *packet_length(const struct packet *packet)
{
    return packet->frame + packet->l3 + (packet->kind == PACKET_IP4 ? 2 : 4);
}
/* The checksum field of layer 4. */
static inline uint8_t *packet_sum_field(const struct packet *packet)
{
    unsigned at = packet->proto == PROTO_TCP ? 16 : packet->proto == PROTO_UDP ? 6 : 2;
    return packet->frame + packet->l4 + at;
}

/* Big-endian numbers at any place of a frame. */
static inline uint16_t get16(const uint8_t *at)
{
    return (uint16_t)(at[0] << 8 | at[1]);
}
static inline void put16(uint8_t *at, uint16_t value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}
static inline uint32_t get32(const uint8_t *at)
{
    return (uint32_t)get16(at) << 16 | get16(at + 2);
}
static inline void put32(uint8_t *at, uint32_t value)
{
    put16(at, (uint16_t)(value >> 16));
    put16(at + 2, (uint16_t)value);
}

#endif
