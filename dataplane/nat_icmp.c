/* What others say of a session's packets (ICMP, RFC 792 and 4443): an error quotes the packet that it is about, as it
 * was on that side. It is translated like the packet was, the other way round, so that its sender knows it again
 * (RFC 5508, 4.2; for the sequence number, which senders look at, RFC 5927, 4.1). */
#include "dataplane/nat_private.h"
#include "dataplane/translate.h"

#include <string.h>

enum { ICMP4_UNREACHABLE = 3, ICMP4_TOO_BIG_CODE = 4, ICMP4_ECHO = 8, ICMP4_TIME = 11, ICMP4_PARAMETER = 12 };
enum { ICMP6_UNREACHABLE = 1, ICMP6_TOO_BIG = 2, ICMP6_TIME = 3, ICMP6_PARAMETER = 4, ICMP6_ECHO = 128 };
#define QUOTED_L4 8u   /* bytes that a quote has of TCP or UDP at least: ports, and a sequence number */
#define QUOTE_MAX 512u /* bytes of a packet that are quoted, so that the whole is below 576 (RFC 1812, 4.3.2.3) */

static bool is_error(uint8_t family, uint8_t type)
{
    return family == 4 ? type == ICMP4_UNREACHABLE || type == ICMP4_TIME || type == ICMP4_PARAMETER
                       : type >= ICMP6_UNREACHABLE && type <= ICMP6_PARAMETER;
}

static bool is_too_big(uint8_t family, const uint8_t *icmp)
{
    return family == 4 ? icmp[0] == ICMP4_UNREACHABLE && icmp[1] == ICMP4_TOO_BIG_CODE : icmp[0] == ICMP6_TOO_BIG;
}

/* The quoted packet; false: not one of ours. */
static bool quoted(const struct packet *p, struct packet *quote)
{
    uint8_t family = packet_family(p), *ip = p->frame + p->l4 + ICMP_SIZE;
    uint32_t size = p->size - p->l4 - ICMP_SIZE;
    unsigned l3 = family == 4 ? IP4_SIZE : IP6_SIZE;
    if (size < l3 + QUOTED_L4 || ip[0] >> 4 != family || (family == 4 && (ip[0] & 15) * 4 != IP4_SIZE))
        return false;
    *quote = (struct packet){.frame = ip, .size = size, .kind = p->kind, .l4 = (uint16_t)l3};
    quote->proto = ip[family == 4 ? 9 : 6];
    quote->source = get16(ip + l3);
    quote->dest = get16(ip + l3 + 2);
    return quote->proto == PROTO_TCP || quote->proto == PROTO_UDP;
}

static void readdress_quote(struct packet *quote, const uint8_t *source, const uint8_t *dest, uint16_t from,
                            uint16_t to)
{
    unsigned size = packet_address_size(packet_family(quote));
    memcpy(packet_source(quote), source, size);
    memcpy(packet_dest(quote), dest, size);
    put16(quote->frame + quote->l4, from);
    put16(quote->frame + quote->l4 + 2, to);
    if (quote->kind == PACKET_IP4)
        packet_fill_ip4_sum(quote->frame);
}

/* Anew, with what was changed in the quote and who says it now. */
static void resend(struct packet *p, const uint8_t *source, const uint8_t *dest)
{
    unsigned size = packet_address_size(packet_family(p));
    memcpy(packet_source(p), source, size);
    memcpy(packet_dest(p), dest, size);
    *packet_hops(p) = 64;
    packet_sum_fill(p);
}

/* About a packet of the client's, which grew by what it was told with. */
static struct nat_way about_client(struct nat *nat, struct packet *p, struct packet *quote)
{
    struct endpoint_key at = endpoint_of(packet_source(quote), packet_family(p), 0, 0);
    uint32_t l = endpoint_find(&nat->local_index, &at);
    const uint32_t *number = l == ENDPOINT_NONE ? NULL : nat_session_at(&nat->memory.locals[l], quote->source);
    const struct nat_session *s = number == NULL || *number == FLOW_NONE ? NULL : &nat->memory.sessions[*number];
    if (s == NULL || s->key.proto != quote->proto || s->backend_port != quote->dest || s->state == NAT_CONNECTING ||
        memcmp(s->backend, packet_dest(quote), packet_address_size(at.family)) != 0)
        return (struct nat_way){.drop = DROP_SESSION};
    uint8_t *icmp = p->frame + p->l4;
    unsigned mtu = get16(icmp + 6) + (at.family == 4 ? 0u : (unsigned)get16(icmp + 4) << 16);
    if (is_too_big(at.family, icmp) && mtu > translate_overhead(s))
        put16(icmp + 6, (uint16_t)(mtu - translate_overhead(s)));
    if (s->key.proto == PROTO_TCP)
        put32(quote->frame + quote->l4 + 4, get32(quote->frame + quote->l4 + 4) - s->seq_in);
    readdress_quote(quote, s->key.client, s->key.service, s->key.client_port, s->key.service_port);
    resend(p, s->key.service, s->key.client);
    return (struct nat_way){.side = NAT_OUTSIDE, .adjacency = s->adjacency_out};
}

static struct nat_way about_backend(struct nat *nat, struct packet *p, struct packet *quote)
{
    struct flow_key key = {
        .client_port = quote->dest, .service_port = quote->source, .proto = quote->proto, .family = packet_family(p)};
    memcpy(key.client, packet_dest(quote), packet_address_size(key.family));
    memcpy(key.service, packet_source(quote), packet_address_size(key.family));
    const struct nat_session *s = nat_find(nat, &key, flow_hash(nat->flows.secret, &key));
    if (s == NULL || s->state == NAT_CONNECTING)
        return (struct nat_way){.drop = DROP_SESSION};
    if (s->key.proto == PROTO_TCP && s->spliced)
        put32(quote->frame + quote->l4 + 4, get32(quote->frame + quote->l4 + 4) - s->seq_out);
    const uint8_t *local = nat_local_address(nat, s);
    readdress_quote(quote, s->backend, local, s->backend_port, s->local_port);
    resend(p, local, s->backend);
    return (struct nat_way){.side = NAT_INSIDE, .adjacency = s->adjacency_in};
}

static bool is_ours(const struct nat *nat, enum nat_side from, const struct packet *p)
{
    struct endpoint_key at = endpoint_of(packet_dest(p), packet_family(p), 0, 0);
    return from == NAT_INSIDE ? endpoint_find(&nat->local_index, &at) != ENDPOINT_NONE
                              : nat->services != NULL && endpoint_find(&nat->services->index, &at) != ENDPOINT_NONE;
}

struct nat_way nat_icmp(struct nat *nat, enum nat_side from, uint32_t adjacency, struct packet *p)
{
    uint8_t *icmp = p->frame + p->l4, address[16], family = packet_family(p);
    struct packet quote;
    if (!packet_sum_good(p))
        return (struct nat_way){.drop = DROP_DAMAGED};
    if (!is_ours(nat, from, p))
        return (struct nat_way){.drop = from == NAT_OUTSIDE ? DROP_SERVICE : DROP_FOREIGN};
    if (icmp[0] == (family == 4 ? ICMP4_ECHO : ICMP6_ECHO) && icmp[1] == 0) {
        icmp[0] = family == 4 ? 0 : ICMP6_ECHO + 1;
        memcpy(address, packet_source(p), sizeof address); /* of IPv4, with what is behind it */
        resend(p, packet_dest(p), address);
        return (struct nat_way){.side = from, .adjacency = adjacency};
    }
    if (!is_error(family, icmp[0]) || !quoted(p, &quote))
        return (struct nat_way){.drop = DROP_ICMP};
    return from == NAT_INSIDE ? about_client(nat, p, &quote) : about_backend(nat, p, &quote);
}

struct nat_way nat_too_big(enum nat_side from, uint32_t adjacency, struct packet *p, unsigned mtu)
{
    uint8_t quote[QUOTE_MAX], *ip = p->frame + p->l3, family = packet_family(p);
    unsigned size = p->size - p->l3;
    if (family == 4 && !(ip[6] & 0x40)) /* may be taken to pieces, which we do not */
        return (struct nat_way){.drop = DROP_TOO_BIG};
    size = size < QUOTE_MAX ? size : QUOTE_MAX;
    memcpy(quote, ip, size);
    struct icmp_message say = {.family = family,
                               .source = packet_dest(p),
                               .dest = packet_source(p),
                               .type = family == 4 ? ICMP4_UNREACHABLE : ICMP6_TOO_BIG,
                               .code = family == 4 ? ICMP4_TOO_BIG_CODE : 0,
                               .rest = mtu,
                               .quote = quote,
                               .n_quote = size};
    packet_make_icmp(p, &say);
    return (struct nat_way){.side = from, .adjacency = adjacency};
}
