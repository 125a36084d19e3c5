#include "dataplane/translate.h"

#include "dataplane/csum.h"
#include "dataplane/tcpoption.h"

#include <string.h>

enum { TOA4_SIZE = 8, TOA6_SIZE = 20 };
enum { PROXY_SIZE = 16, PROXY4_SIZE = PROXY_SIZE + 12, PROXY6_SIZE = PROXY_SIZE + 36 };
#define TCP_HEADER_MAX 60u

static inline uint64_t sum_of(const uint8_t *one, const uint8_t *other, unsigned size)
{
    return csum_add(csum_add(0, one, size), other, size);
}

static inline uint32_t sum_of_ports(uint16_t one, uint16_t other)
{
    return (uint32_t)__builtin_bswap16(one) + __builtin_bswap16(other);
}

/* What comes in place of something adds to a checksum; what was there is taken off. The way back is the same with the
 * other sign, which for these sums is the complement. */
void translate_begin(struct nat_session *s, const uint8_t *local)
{
    unsigned size = packet_address_size(s->key.family);
    uint16_t outside = csum_fold(sum_of(s->key.client, s->key.service, size));
    uint16_t in = csum_fold(sum_of(local, s->backend, size) + (uint16_t)~outside);
    uint16_t ports = csum_fold(sum_of_ports(s->key.client_port, s->key.service_port));
    s->l4_in = csum_fold((uint64_t)in + sum_of_ports(s->local_port, s->backend_port) + (uint16_t)~ports);
    s->l4_out = (uint16_t)~s->l4_in;
    const uint16_t hop =
        (uint16_t)~__builtin_bswap16(1u << 8); /* one less, of IPv4's header: it is beside its protocol */
    s->l3_in = csum_fold((uint64_t)in + hop);
    s->l3_out = csum_fold((uint64_t)(uint16_t)~in + hop);
}

/* ---- what is told ---- */

static unsigned toa_size(const struct nat_session *s)
{
    return s->key.family == 4 ? TOA4_SIZE : TOA6_SIZE;
}

unsigned translate_overhead_of(uint8_t family, bool toa, bool proxy)
{
    bool v4 = family == 4;
    unsigned told_by_toa = v4 ? TOA4_SIZE : TOA6_SIZE, told_by_proxy = v4 ? PROXY4_SIZE : PROXY6_SIZE;
    return (toa ? told_by_toa : 0) + (proxy ? told_by_proxy : 0);
}

unsigned translate_preface(const struct nat_session *s)
{
    return translate_overhead_of(s->key.family, false, s->wants_proxy);
}

unsigned translate_overhead(const struct nat_session *s)
{
    return translate_overhead_of(s->key.family, s->wants_toa, s->wants_proxy);
}

bool translate_told(struct nat_session *s, uint32_t ack)
{
    int32_t beyond = (int32_t)(ack - s->first_seq);
    if (s->toa && beyond > 0)
        s->toa = false;
    else if (!s->proxy || beyond < (int32_t)translate_preface(s))
        return false;
    if (s->proxy && beyond >= (int32_t)translate_preface(s)) {
        s->proxy = false; /* from now on its bytes are a part of the distance between both countings */
        s->seq_in += translate_preface(s);
        s->first_seq += translate_preface(s);
    }
    return true;
}

/* How far into the client's stream a packet of the client begins, which is not told yet. */
static int32_t begins(const struct nat_session *s, const struct packet *p)
{
    return (int32_t)(get32(p->frame + p->l4 + 4) + s->seq_in - s->first_seq);
}

static bool takes_preface(const struct nat_session *s, const struct packet *p)
{
    return s->proxy && (p->tcp_flags & (TCP_SYN | TCP_RST | TCP_ACK)) == TCP_ACK && begins(s, p) == 0;
}

/* By how much the client's numbers change in this packet. */
static uint32_t distance(const struct nat_session *s, const struct packet *p)
{
    return s->seq_in + (s->proxy && begins(s, p) > 0 ? translate_preface(s) : 0);
}

/* A backend's acknowledgement as the client counts. */
static uint32_t ack_out(const struct nat_session *s, uint32_t ack)
{
    if (!s->proxy || (int32_t)(ack - s->first_seq) <= 0)
        return ack - s->seq_in;
    uint32_t behind = s->first_seq + translate_preface(s);
    return ((int32_t)(ack - behind) < 0 ? 0 : ack - behind) + s->first_seq - s->seq_in;
}

struct translate_numbers translate_numbers(const struct nat_session *s, enum nat_side from, const struct packet *p)
{
    const uint8_t *tcp = p->frame + p->l4;
    uint32_t size = p->size - p->payload;
    struct translate_numbers n = {.seq = get32(tcp + 4), .ack = get32(tcp + 8)};
    if (from == NAT_OUTSIDE) {
        n.seq += distance(s, p);
        n.ack -= s->spliced ? s->seq_out : 0;
        size += takes_preface(s, p) ? translate_preface(s) : 0;
    }
    n.end = n.seq + size;
    return n;
}

bool translate_fits(const struct nat_session *s, const struct packet *p)
{
    unsigned options = s->toa && (p->tcp_flags & TCP_ACK) ? toa_size(s) : 0;
    unsigned preface = takes_preface(s, p) ? translate_preface(s) : 0;
    return (unsigned)(p->payload - p->l4) + options <= TCP_HEADER_MAX && p->room >= options + preface;
}

/* ---- options ---- */

/* What a change of `size` bytes at `at` (of the TCP header) makes of the checksum, wherever it begins; it is made. */
static uint64_t replace(uint8_t *tcp, unsigned at, const uint8_t *bytes, unsigned size)
{
    uint8_t before[TCP_HEADER_MAX + 2] = {0}, after[TCP_HEADER_MAX + 2] = {0};
    unsigned odd = at % 2;
    memcpy(before + odd, tcp + at, size);
    memcpy(after + odd, bytes, size);
    memcpy(tcp + at, bytes, size);
    return csum_change(before, after, (size + odd + 1) & ~1u);
}

static uint64_t blank(uint8_t *tcp, const struct tcp_option *option)
{
    uint8_t nops[TCP_HEADER_MAX];
    memset(nops, OPTION_NOP, sizeof nops);
    return replace(tcp, option->at, nops, option->size);
}

static uint64_t shift_sacks(const struct nat_session *s, enum nat_side from, uint8_t *tcp,
                            const struct tcp_option *option)
{
    uint64_t change = 0;
    for (unsigned at = option->at + 2; at + 4 <= option->at + option->size; at += 4) {
        uint32_t edge = get32(tcp + at);
        uint8_t shifted[4];
        put32(shifted, from == NAT_OUTSIDE ? edge - (s->spliced ? s->seq_out : 0) : ack_out(s, edge));
        change += replace(tcp, at, shifted, 4);
    }
    return change;
}

static uint64_t lower_mss(uint8_t *tcp, const struct tcp_option *option, unsigned by)
{
    uint16_t mss = get16(tcp + option->at + 2);
    uint8_t lowered[2];
    put16(lowered, (uint16_t)(mss > by + 64 ? mss - by : mss));
    return replace(tcp, option->at + 2, lowered, 2);
}

static uint64_t translate_options(const struct nat_session *s, enum nat_side from, struct packet *p)
{
    uint8_t *tcp = p->frame + p->l4;
    unsigned at = TCP_SIZE, header = (unsigned)(p->payload - p->l4);
    bool syn = p->tcp_flags & TCP_SYN, in = from == NAT_OUTSIDE;
    uint64_t change = 0;
    struct tcp_option option;
    while (tcp_option_next(tcp, header, &at, &option)) {
        if (option.kind == OPTION_SACK && in && s->no_sack)
            change += blank(tcp, &option);
        else if (option.kind == OPTION_SACK)
            change += shift_sacks(s, from, tcp, &option);
        else if (in && syn && (option.kind == OPTION_TIMESTAMPS || option.kind == OPTION_FAST_OPEN))
            change += blank(tcp, &option);
        else if ((option.kind == OPTION_TOA4 || option.kind == OPTION_TOA6) && in)
            change += blank(tcp, &option);
        else if (option.kind == OPTION_MSS && option.size == 4 && !in && syn && translate_overhead(s) > 0)
            change += lower_mss(tcp, &option, translate_overhead(s));
    }
    return change;
}

/* Puts bytes into a packet; at: even, from the TCP header on; so is their number. */
static uint64_t insert(struct packet *p, unsigned at, const uint8_t *bytes, unsigned size)
{
    uint8_t *tcp = p->frame + p->l4, grown[2], total[2];
    memmove(tcp + at + size, tcp + at, p->size - p->l4 - at);
    memcpy(tcp + at, bytes, size);
    put16(grown, (uint16_t)size); /* of the pseudo-header's length */
    put16(total, (uint16_t)(get16(packet_length(p)) + size));
    if (p->kind == PACKET_IP4)
        csum_patch(p->frame + p->l3 + 10, csum_change(packet_length(p), total, 2), false);
    memcpy(packet_length(p), total, 2);
    p->size += size;
    p->room -= size;
    return csum_add(csum_add(0, bytes, size), grown, 2);
}

/* The client's address in front of the options. */
static uint64_t insert_toa(const struct nat_session *s, struct packet *p)
{
    uint8_t *tcp = p->frame + p->l4, toa[TOA6_SIZE];
    unsigned size = toa_size(s), header = (unsigned)(p->payload - p->l4);
    toa[0] = s->key.family == 4 ? OPTION_TOA4 : OPTION_TOA6;
    toa[1] = (uint8_t)size;
    put16(toa + 2, s->key.client_port);
    memcpy(toa + 4, s->key.client, size - 4);
    uint8_t offset = (uint8_t)((header + size) / 4 << 4 | (tcp[12] & 15));
    uint64_t change = replace(tcp, 12, &offset, 1);
    p->payload = (uint16_t)(p->payload + size);
    return change + insert(p, TCP_SIZE, toa, size);
}

/* Version 2, PROXY, TCP over its family: who talks to whom. */
static uint64_t insert_preface(const struct nat_session *s, struct packet *p)
{
    static const uint8_t signature[] = {0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a};
    uint8_t header[PROXY6_SIZE];
    unsigned size = translate_preface(s), address = packet_address_size(s->key.family);
    memcpy(header, signature, sizeof signature);
    header[12] = 0x21;
    header[13] = s->key.family == 4 ? 0x11 : 0x21;
    put16(header + 14, (uint16_t)(size - PROXY_SIZE));
    memcpy(header + PROXY_SIZE, s->key.client, address);
    memcpy(header + PROXY_SIZE + address, s->key.service, address);
    put16(header + size - 4, s->key.client_port);
    put16(header + size - 2, s->key.service_port);
    return insert(p, (unsigned)(p->payload - p->l4), header, size);
}

/* ---- packets ---- */

static inline void readdress(struct packet *p, const uint8_t *source, const uint8_t *dest, uint16_t change)
{
    uint8_t *ip = p->frame + p->l3;
    if (p->kind == PACKET_IP6) {
        memcpy(ip + 8, source, 16);
        memcpy(ip + 24, dest, 16);
        ip[7]--;
        return;
    }
    csum_patch(ip + 10, change, false);
    ip[8]--;
    memcpy(ip + 12, source, 4);
    memcpy(ip + 16, dest, 4);
}

static uint64_t renumber(uint8_t *tcp, unsigned at, uint32_t by)
{
    uint32_t before, after;
    memcpy(&before, tcp + at, sizeof before);
    put32(tcp + at, get32(tcp + at) + by);
    memcpy(&after, tcp + at, sizeof after);
    return (uint64_t)after + (uint32_t)~before; /* as csum_change */
}

/* Windows where both ends have not agreed on one scale (syncookie.h); not in a SYN. */
static uint64_t rescale(uint8_t *tcp, int shift)
{
    uint32_t window = get16(tcp + 14), scaled = shift > 0 ? window << shift : window >> -shift;
    uint8_t field[2];
    put16(field, (uint16_t)(scaled < UINT16_MAX ? scaled : UINT16_MAX));
    return replace(tcp, 14, field, 2);
}

static uint64_t tcp_in(const struct nat_session *s, struct packet *p)
{
    uint8_t *tcp = p->frame + p->l4;
    bool preface = s->proxy && takes_preface(s, p);
    uint64_t change = renumber(tcp, 4, distance(s, p));
    if (s->spliced && (p->tcp_flags & TCP_ACK))
        change += renumber(tcp, 8, -s->seq_out);
    if (s->shift_in != 0 && !(p->tcp_flags & TCP_SYN))
        change += rescale(tcp, s->shift_in);
    if (p->payload - p->l4 > TCP_SIZE)
        change += translate_options(s, NAT_OUTSIDE, p);
    if (preface)
        change += insert_preface(s, p);
    if (s->toa && (p->tcp_flags & TCP_ACK))
        change += insert_toa(s, p);
    return change;
}

static uint64_t tcp_out(const struct nat_session *s, struct packet *p)
{
    uint8_t *tcp = p->frame + p->l4;
    uint64_t change = 0;
    if (p->tcp_flags & TCP_ACK)
        change += renumber(tcp, 8, ack_out(s, get32(tcp + 8)) - get32(tcp + 8));
    if (s->spliced)
        change += renumber(tcp, 4, s->seq_out);
    if (s->shift_out != 0 && !(p->tcp_flags & TCP_SYN))
        change += rescale(tcp, s->shift_out);
    if (p->payload - p->l4 > TCP_SIZE)
        change += translate_options(s, NAT_INSIDE, p);
    return change;
}

void translate_open_in(const struct nat_session *s, const uint8_t *local, struct packet *p)
{
    uint8_t *tcp = p->frame + p->l4;
    uint64_t change = s->l4_in + renumber(tcp, 4, s->seq_in);
    if (s->spliced)
        change += renumber(tcp, 8, -s->seq_out);
    put16(tcp, s->local_port);
    put16(tcp + 2, s->backend_port);
    csum_patch(tcp + 16, change, false);
    readdress(p, local, s->backend, s->l3_in);
}

void translate_open_out(const struct nat_session *s, struct packet *p)
{
    uint8_t *tcp = p->frame + p->l4;
    uint64_t change = s->l4_out + renumber(tcp, 8, -s->seq_in);
    if (s->spliced)
        change += renumber(tcp, 4, s->seq_out);
    put16(tcp, s->key.service_port);
    put16(tcp + 2, s->key.client_port);
    csum_patch(tcp + 16, change, false);
    readdress(p, s->key.service, s->key.client, s->l3_out);
}

void translate_in(const struct nat_session *s, const uint8_t *local, struct packet *p)
{
    uint8_t *l4 = p->frame + p->l4;
    uint64_t change = s->l4_in + (p->proto == PROTO_TCP ? tcp_in(s, p) : 0);
    put16(l4, s->local_port);
    put16(l4 + 2, s->backend_port);
    csum_patch(packet_sum_field(p), change, p->proto == PROTO_UDP);
    readdress(p, local, s->backend, s->l3_in);
}

void translate_out(const struct nat_session *s, struct packet *p)
{
    uint8_t *l4 = p->frame + p->l4;
    uint64_t change = s->l4_out + (p->proto == PROTO_TCP ? tcp_out(s, p) : 0);
    put16(l4, s->key.service_port);
    put16(l4 + 2, s->key.client_port);
    csum_patch(packet_sum_field(p), change, p->proto == PROTO_UDP);
    readdress(p, s->key.service, s->key.client, s->l3_out);
}
