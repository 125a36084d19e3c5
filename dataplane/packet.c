#include "dataplane/packet.h"

#include "dataplane/csum.h"

enum { TYPE_IP4 = 0x0800, TYPE_ARP = 0x0806, TYPE_IP6 = 0x86dd, ARP_SIZE = 28 };
enum { IP4_DONT = 0x4000, IP4_MORE = 0x2000, IP4_OFFSET = 0x1fff };
/* IPv6 next headers that are no upper layer: hop-by-hop, routing, fragment, authentication, destination options. */
enum { NEXT_HOP = 0, NEXT_ROUTING = 43, NEXT_FRAGMENT = 44, NEXT_AUTHENTICATION = 51, NEXT_OPTIONS = 60 };

const char *drop_name(enum drop drop)
{
    static const char *const names[] = {
        "none",
#define DROP(symbol, name, doc) name,
#include "dataplane/drop.def"
#undef DROP
    };
    return names[drop];
}

const char *drop_doc(enum drop drop)
{
    static const char *const docs[] = {
        "not dropped",
#define DROP(symbol, name, doc) doc,
#include "dataplane/drop.def"
#undef DROP
    };
    return docs[drop];
}

/* ---- layer 4 ---- */

static inline enum drop parse_tcp(struct packet *packet, const uint8_t *l4, uint32_t left)
{
    if (left < TCP_SIZE)
        return DROP_SHORT;
    uint32_t header = (uint32_t)(l4[12] >> 4) * 4;
    uint8_t flags = l4[13];
    if (header < TCP_SIZE || header > left)
        return DROP_LENGTH;
    packet->tcp_flags = flags;
    packet->payload = (uint16_t)(l4 - packet->frame + header);
    bool begins_and_ends = (flags & TCP_SYN) && (flags & (TCP_FIN | TCP_RST));
    if (begins_and_ends || (flags & (TCP_SYN | TCP_ACK | TCP_RST)) == 0)
        return DROP_FLAGS;
    return DROP_NONE;
}

static enum drop parse_udp(struct packet *packet, const uint8_t *l4, uint32_t left)
{
    if (left < UDP_SIZE)
        return DROP_SHORT;
    packet->payload = (uint16_t)(l4 - packet->frame + UDP_SIZE);
    return get16(l4 + 4) == left ? DROP_NONE : DROP_LENGTH;
}

/* What is behind an IP header: `left` bytes from at; icmp: which one goes with it. */
static inline enum drop parse_l4(struct packet *packet, uint8_t proto, uint8_t icmp, uint32_t at, uint32_t left)
{
    const uint8_t *l4 = packet->frame + at;
    uint32_t padding = packet->size - at - left;
    enum drop drop = DROP_NONE;
    packet->proto = proto;
    packet->l4 = (uint16_t)at;
    if (padding > 0) {
        packet->room += padding;
        packet->size -= padding;
    }
    if (proto == PROTO_TCP)
        drop = parse_tcp(packet, l4, left);
    else if (proto == PROTO_UDP)
        drop = parse_udp(packet, l4, left);
    else if (proto == icmp) {
        packet->payload = (uint16_t)(at + ICMP_SIZE);
        return left < ICMP_SIZE ? DROP_SHORT : DROP_NONE;
    } else
        return DROP_PROTOCOL;
    if (drop != DROP_NONE)
        return drop;
    uint16_t source = get16(l4), dest = get16(l4 + 2);
    packet->source = source;
    packet->dest = dest;
    return source == 0 || dest == 0 ? DROP_PORT : DROP_NONE;
}

/* ---- layer 3 ---- */

static bool source4_possible(uint8_t first)
{
    return first != 0 && first != 127 && first < 224;
}

static bool source6_possible(const uint8_t *address)
{
    static const uint8_t zeros[15];
    bool loopback_or_none = memcmp(address, zeros, sizeof zeros) == 0 && address[15] <= 1;
    return !loopback_or_none && address[0] != 0xff;
}

/* Why a header that does not begin as nearly all do goes no further. */
static enum drop ip4_odd(const uint8_t *ip, uint32_t left)
{
    uint32_t header = (uint32_t)(ip[0] & 15) * 4, total = get16(ip + 2);
    if (ip[0] >> 4 != 4)
        return DROP_VERSION;
    if (header < IP4_SIZE || total < header || total > left)
        return DROP_LENGTH;
    return csum_fold(csum_add(0, ip, header)) != 0xffff ? DROP_HEADER_SUM : DROP_OPTIONS;
}

/* A word as it lies in memory. */
static inline uint64_t word_at(const uint8_t *at)
{
    uint32_t word;
    memcpy(&word, at, sizeof word);
    return word;
}

static inline enum drop parse_ip4(struct packet *packet)
{
    const uint8_t *ip = packet->frame + ETHER_SIZE;
    uint32_t left = packet->size - ETHER_SIZE;
    if (left < IP4_SIZE)
        return DROP_SHORT;
    if (ip[0] != (4 << 4 | IP4_SIZE / 4))
        return ip4_odd(ip, left);
    uint32_t total = get16(ip + 2);
    if (total < IP4_SIZE || total > left)
        return DROP_LENGTH;
    uint64_t sum = word_at(ip) + word_at(ip + 4) + word_at(ip + 8) + word_at(ip + 12) + word_at(ip + 16);
    if (csum_fold(sum) != 0xffff)
        return DROP_HEADER_SUM;
    if (get16(ip + 6) & (IP4_MORE | IP4_OFFSET))
        return DROP_FRAGMENT;
    if (ip[8] == 0)
        return DROP_TTL;
    if (!source4_possible(ip[12]))
        return DROP_SOURCE;
    return parse_l4(packet, ip[9], PROTO_ICMP, ETHER_SIZE + IP4_SIZE, total - IP4_SIZE);
}

static enum drop parse_ip6(struct packet *packet)
{
    const uint8_t *ip = packet->frame + ETHER_SIZE;
    uint32_t left = packet->size - ETHER_SIZE;
    if (left < IP6_SIZE)
        return DROP_SHORT;
    if (ip[0] >> 4 != 6)
        return DROP_VERSION;
    uint32_t total = IP6_SIZE + (uint32_t)get16(ip + 4);
    if (total > left)
        return DROP_LENGTH;
    uint8_t next = ip[6];
    if (next == NEXT_FRAGMENT)
        return DROP_FRAGMENT;
    if (next == NEXT_HOP || next == NEXT_ROUTING || next == NEXT_AUTHENTICATION || next == NEXT_OPTIONS)
        return DROP_OPTIONS;
    if (ip[7] == 0)
        return DROP_TTL;
    if (!source6_possible(ip + 8))
        return DROP_SOURCE;
    return parse_l4(packet, next, PROTO_ICMP6, ETHER_SIZE + IP6_SIZE, total - IP6_SIZE);
}

enum drop packet_parse(struct packet *packet)
{
    packet->proto = packet->tcp_flags = 0;
    packet->l4 = packet->payload = packet->source = packet->dest = 0;
    packet->l3 = ETHER_SIZE;
    if (packet->size < ETHER_SIZE)
        return DROP_SHORT;
    if (packet->size > UINT16_MAX)
        return DROP_LENGTH;
    switch (get16(packet->frame + 12)) {
    case TYPE_IP4:
        packet->kind = PACKET_IP4;
        return parse_ip4(packet);
    case TYPE_IP6:
        packet->kind = PACKET_IP6;
        return parse_ip6(packet);
    case TYPE_ARP:
        packet->kind = PACKET_ARP;
        return packet->size - ETHER_SIZE < ARP_SIZE ? DROP_SHORT : DROP_NONE;
    default:
        return DROP_ETHERTYPE;
    }
}

/* ---- checksums ---- */

/* Of the pseudo-header, as they lie in memory (RFC 9293, 3.1); size: of layer 4. */
static inline uint64_t proto_and_size(uint8_t proto, uint32_t size)
{
    return (uint64_t)proto << 8 | (uint64_t)__builtin_bswap16((uint16_t)size) << 16;
}

/* What the checksum of layer 4 covers, but for the checksum field's own content, which is as it is in the packet.
 * Addresses lie right in front of layer 4: there are no options between. */
static inline uint64_t covered(const struct packet *packet)
{
    const uint8_t *l4 = packet->frame + packet->l4;
    uint32_t size = packet->size - packet->l4, addresses = packet->kind == PACKET_IP4 ? 8 : 32;
    if (packet->proto == PROTO_ICMP)
        return csum_add(0, l4, size);
    return csum_add(proto_and_size(packet->proto, size), l4 - addresses, addresses + size);
}

bool packet_sum_good(const struct packet *packet)
{
    if (packet->proto == PROTO_UDP && get16(packet_sum_field(packet)) == 0)
        return packet->kind == PACKET_IP4;
    return csum_fold(covered(packet)) == 0xffff;
}

void packet_fill_ip4_sum(uint8_t *ip)
{
    memset(ip + 10, 0, 2);
    uint16_t header = (uint16_t)~csum_fold(csum_add(0, ip, IP4_SIZE));
    memcpy(ip + 10, &header, 2);
}

void packet_sum_fill(struct packet *packet)
{
    uint8_t *field = packet_sum_field(packet);
    if (packet->kind == PACKET_IP4)
        packet_fill_ip4_sum(packet->frame + packet->l3);
    memset(field, 0, 2);
    uint16_t sum = (uint16_t)~csum_fold(covered(packet));
    if (packet->proto == PROTO_UDP && sum == 0)
        sum = 0xffff;
    memcpy(field, &sum, 2);
}

/* ---- what is made here ---- */

#define HOPS 64u

/* Words are summed as they are written, and not read back: bytes that were just written in other pieces than they are
 * read in have to reach the cache first. */
static inline uint64_t put_word(uint8_t *at, uint32_t value)
{
    uint32_t word;
    put32(at, value);
    _Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "else it is the value");
    word = __builtin_bswap32(value);
    return word;
}

/* Addresses may lie in the header that is written. Returns their sum. */
static uint64_t fill_ip4(uint8_t *ip, uint8_t proto, const uint8_t *source, const uint8_t *dest, uint32_t size)
{
    uint32_t from, to;
    memcpy(&from, source, 4);
    memcpy(&to, dest, 4);
    uint64_t addresses = (uint64_t)from + to;
    uint64_t sum = addresses + put_word(ip, 0x45000000 | (IP4_SIZE + size)) + put_word(ip + 4, IP4_DONT) +
                   put_word(ip + 8, HOPS << 24 | (uint32_t)proto << 16);
    uint16_t field = (uint16_t)~csum_fold(sum);
    memcpy(ip + 10, &field, 2);
    memcpy(ip + 12, &from, 4);
    memcpy(ip + 16, &to, 4);
    return addresses;
}

static uint64_t fill_ip6(uint8_t *ip, uint8_t proto, const uint8_t *source, const uint8_t *dest, uint32_t size)
{
    uint64_t from[2], to[2];
    memcpy(from, source, 16);
    memcpy(to, dest, 16);
    put32(ip, 0x60000000);
    put32(ip + 4, size << 16 | (uint32_t)proto << 8 | HOPS);
    memcpy(ip + 8, from, 16);
    memcpy(ip + 24, to, 16);
    return csum_add(csum_add(0, from, 16), to, 16);
}

/* size: of what is behind the IP header. Returns the sum of the addresses. */
static uint64_t make_ip(struct packet *packet, uint8_t family, uint8_t proto, const uint8_t *source,
                        const uint8_t *dest, uint32_t size)
{
    uint32_t all = packet->size + packet->room, header = family == 4 ? IP4_SIZE : IP6_SIZE;
    packet->kind = family == 4 ? PACKET_IP4 : PACKET_IP6;
    packet->proto = proto;
    packet->l3 = ETHER_SIZE;
    packet->l4 = (uint16_t)(ETHER_SIZE + header);
    packet->size = packet->l4 + size;
    packet->room = all - packet->size;
    put16(packet->frame + 12, family == 4 ? TYPE_IP4 : TYPE_IP6);
    uint8_t *ip = packet->frame + ETHER_SIZE;
    return family == 4 ? fill_ip4(ip, proto, source, dest, size) : fill_ip6(ip, proto, source, dest, size);
}

void packet_make_tcp(struct packet *packet, const struct tcp_segment *segment)
{
    uint32_t header = TCP_SIZE + segment->n_options;
    uint64_t sum = make_ip(packet, segment->family, PROTO_TCP, segment->source, segment->dest, header);
    packet->tcp_flags = segment->flags;
    packet->payload = (uint16_t)packet->size;
    packet->source = segment->from;
    packet->dest = segment->to;
    uint8_t *tcp = packet->frame + packet->l4;
    sum += put_word(tcp, (uint32_t)segment->from << 16 | segment->to);
    sum += put_word(tcp + 4, segment->seq);
    sum += put_word(tcp + 8, segment->ack);
    sum += put_word(tcp + 12, header / 4 << 28 | (uint32_t)segment->flags << 16 | segment->window);
    sum += proto_and_size(PROTO_TCP, header);
    for (unsigned i = 0; i < segment->n_options; i += 4) {
        uint32_t word;
        memcpy(&word, segment->options + i, sizeof word);
        memcpy(tcp + TCP_SIZE + i, &word, sizeof word);
        sum += word;
    }
    uint32_t field = (uint16_t)~csum_fold(sum); /* and no urgent pointer */
    memcpy(tcp + 16, &field, 4);
}

void packet_make_icmp(struct packet *packet, const struct icmp_message *message)
{
    uint8_t proto = message->family == 4 ? PROTO_ICMP : PROTO_ICMP6;
    make_ip(packet, message->family, proto, message->source, message->dest, ICMP_SIZE + message->n_quote);
    uint8_t *icmp = packet->frame + packet->l4;
    packet->payload = (uint16_t)(packet->l4 + ICMP_SIZE);
    packet->tcp_flags = 0;
    packet->source = packet->dest = 0;
    icmp[0] = message->type;
    icmp[1] = message->code;
    put32(icmp + 4, message->rest);
    memcpy(icmp + ICMP_SIZE, message->quote, message->n_quote);
    packet_sum_fill(packet);
}

void packet_make_udp(struct packet *packet, const struct udp_datagram *datagram)
{
    uint32_t size = UDP_SIZE + datagram->n_data;
    make_ip(packet, datagram->family, PROTO_UDP, datagram->source, datagram->dest, size);
    uint8_t *udp = packet->frame + packet->l4;
    packet->payload = (uint16_t)(packet->l4 + UDP_SIZE);
    packet->tcp_flags = 0;
    packet->source = datagram->from;
    packet->dest = datagram->to;
    put16(udp, datagram->from);
    put16(udp + 2, datagram->to);
    put16(udp + 4, (uint16_t)size);
    memcpy(udp + UDP_SIZE, datagram->data, datagram->n_data);
    packet_sum_fill(packet);
}
