#include "tests/unit/natsite.h"

#include "tests/unit/unit.h"
#include "tests/unit/wirecheck.h"

#include <string.h>

#define SESSIONS 64u

enum { CLIENT = NATSITE_CLIENT, OUTSIDE, INSIDE, BACKEND };

static void send_from_client(void *context, const uint8_t *frame, uint32_t size)
{
    struct natsite *site = context;
    wire_send(&site->wire, OUTSIDE, frame, size, site->now_us);
}

static void send_from_backend(void *context, const uint8_t *frame, uint32_t size)
{
    struct natsite *site = context;
    wire_send(&site->wire, INSIDE, frame, size, site->now_us);
}

/* Not ck_assert: libcheck writes a line for each, and there are a million. */
static void check_sent(const uint8_t *frame, uint32_t size)
{
    const char *fault = wirecheck_sent(frame, size);
    if (fault != NULL)
        ck_abort_msg("what was made here has a wrong %s", fault);
}

static void send_what_nat_says(struct natsite *site)
{
    const struct nat_frame *frame;
    while ((frame = nat_next_out(&site->r->nat)) != NULL) {
        check_sent(frame->bytes, frame->size);
        wire_send(&site->wire, frame->way.side == NAT_OUTSIDE ? CLIENT : BACKEND, frame->bytes, frame->size,
                  site->now_us);
    }
}

static void forward(struct natsite *site, struct wire_frame *frame)
{
    struct packet p = {.frame = frame->bytes, .size = frame->size, .room = WIRE_FRAME - frame->size}, *packets[] = {&p};
    struct nat_way way = {.adjacency = 1};
    bool came_good = wirecheck(frame->bytes, frame->size).sum_good;
    site->in++;
    way.drop = packet_parse(&p);
    if (way.drop == DROP_NONE && p.proto != PROTO_TCP)
        way.drop = DROP_PROTOCOL; /* damaged */
    if (way.drop == DROP_NONE)
        nat_translate(&site->r->nat, frame->to == OUTSIDE ? NAT_OUTSIDE : NAT_INSIDE, packets, &way, 1, site->now_us);
    site->drops[way.drop]++;
    if (way.drop == DROP_NONE) {
        struct wirecheck left = wirecheck(p.frame, p.size);
        if (left.fault != NULL || (left.proto == PROTO_TCP && left.sum_good != came_good))
            ck_abort_msg("came in %s, left %s", came_good ? "good" : "damaged",
                         left.fault != NULL ? left.fault : "otherwise");
        site->out++;
        site->largest[way.side] = MAX(site->largest[way.side], p.size - ETHER_SIZE);
        wire_send(&site->wire, way.side == NAT_OUTSIDE ? CLIENT : BACKEND, p.frame, p.size, site->now_us);
    }
    send_what_nat_says(site);
}

/* SYNs from addresses that nobody has. */
static void flood(struct natsite *site)
{
    bool v4 = site->client.config.family == 4;
    for (unsigned i = 0; i < site->flood; i++) {
        uint8_t frame[256] = {0}, source[16] = {0x20, 1, 0xd, 0xb8, 99};
        put32(source + (v4 ? 0 : 12), 0x0b000000 + wire_random(&site->wire, 1 << 24));
        struct packet p = {.frame = frame, .size = ETHER_SIZE, .room = sizeof frame - ETHER_SIZE}, *packets[] = {&p};
        struct tcp_segment syn = {.family = site->client.config.family,
                                  .source = source,
                                  .dest = site->client.config.other,
                                  .from = (uint16_t)(1024 + i),
                                  .to = site->client.config.other_port,
                                  .seq = wire_random(&site->wire, UINT32_MAX),
                                  .flags = TCP_SYN,
                                  .window = 1000};
        packet_make_tcp(&p, &syn);
        struct nat_way way = {.adjacency = 2};
        nat_translate(&site->r->nat, NAT_OUTSIDE, packets, &way, 1, site->now_us);
        if (way.drop != DROP_NONE)
            ck_abort_msg("a SYN in a flood: %s", drop_name(way.drop));
        check_sent(frame, p.size);
        site->strangers += way.side == NAT_OUTSIDE;
    }
}

/* A frame for an end: TCP, or that what it has sent is too big (RFC 1191, RFC 8201). */
static void end_receive(struct natsite *site, struct tcpend *end, struct wire_frame *frame)
{
    struct packet p = {.frame = frame->bytes, .size = frame->size};
    bool v4 = end->config.family == 4;
    if (packet_parse(&p) != DROP_NONE || p.proto != (v4 ? PROTO_ICMP : PROTO_ICMP6)) {
        tcpend_receive(end, frame->bytes, frame->size, site->now_us);
        return;
    }
    const uint8_t *icmp = p.frame + p.l4, *quote = icmp + ICMP_SIZE;
    uint32_t said = get32(quote + (v4 ? IP4_SIZE : IP6_SIZE) + 4), mtu = get32(icmp + 4);
    ck_assert_uint_eq(icmp[0], v4 ? 3 : 2);
    ck_assert_uint_eq(get16(quote + (v4 ? IP4_SIZE : IP6_SIZE)), end->config.own_port);
    ck_assert_mem_eq(quote + (v4 ? 12 : 8), end->config.own, v4 ? 4 : 16);
    ck_assert((int32_t)(said - end->una) >= 0 && (int32_t)(said - end->most) < 0);
    end->config.mss = (uint16_t)MIN(end->config.mss, mtu - (v4 ? IP4_SIZE : IP6_SIZE) - TCP_SIZE);
    end->next = end->una; /* as many as were told of are sent again */
    end->fin_sent = false;
    site->told_size++;
}

void natsite_turn(struct natsite *site)
{
    struct wire_frame *frame;
    while ((frame = wire_take(&site->wire, site->now_us)) != NULL) {
        if (frame->to == CLIENT)
            end_receive(site, &site->client, frame);
        else if (frame->to == BACKEND)
            end_receive(site, &site->backend, frame);
        else
            forward(site, frame);
        g_free(frame);
    }
    flood(site);
    tcpend_turn(&site->client, site->now_us);
    tcpend_turn(&site->backend, site->now_us);
    nat_expire(&site->r->nat, site->now_us, 8);
    send_what_nat_says(site);
}

uint64_t natsite_next_us(const struct natsite *site)
{
    uint64_t next = wire_next_us(&site->wire);
    next = MIN(next, site->client.timer_us);
    next = MIN(next, site->backend.timer_us);
    return MAX(site->now_us + 1, MIN(next, wheel_next_us(&site->r->nat.wheel)));
}

GByteArray *natsite_speech(struct wire *wire, uint32_t size)
{
    GByteArray *bytes = g_byte_array_sized_new(size);
    for (uint32_t i = 0; i < size; i++) {
        uint8_t byte = (uint8_t)wire_random(wire, 256);
        g_byte_array_append(bytes, &byte, 1);
    }
    return bytes;
}

void natsite_again(struct natsite *site, struct tcpend_config client, struct tcpend_config backend)
{
    bool v4 = site->r->family == 4, proxy = client.other_port == RIG_PROXY || client.other_port == RIG_TOA_PROXY;
    if (site->client.hears != NULL) {
        tcpend_clear(&site->client);
        tcpend_clear(&site->backend);
        g_byte_array_unref(site->client.config.says);
        g_byte_array_unref(site->backend.config.says);
    }
    client.family = backend.family = site->r->family;
    client.own = v4 ? rig_client4 : rig_client6;
    client.other = v4 ? rig_vip4 : rig_vip6;
    backend.own = v4 ? rig_backend4 : rig_backend6;
    backend.own_port = 8080;
    if (site->r->nat.cookies_above < SESSIONS)
        backend.overrun = 14600 + 1460; /* the cookie's window, whatever the backend's will be */
    else if (proxy)
        backend.overrun = 52;
    tcpend_init(&site->client, &client);
    tcpend_init(&site->backend, &backend);
    site->client.context = site->backend.context = site;
    site->client.send = send_from_client;
    site->backend.send = send_from_backend;
}

void natsite_init(struct natsite *site, uint8_t family, uint16_t port, const struct wire_faults *how, uint64_t seed,
                  struct tcpend_config client, struct tcpend_config backend, bool cookies)
{
    memset(site, 0, sizeof *site);
    site->r = rig_new(family, SESSIONS);
    site->now_us = site->r->now_us;
    if (cookies)
        site->r->nat.cookies_above = 0;
    wire_init(&site->wire, how, seed);
    client.other_port = port;
    natsite_again(site, client, backend);
}

void natsite_clear(struct natsite *site)
{
    wire_clear(&site->wire);
    tcpend_clear(&site->client);
    tcpend_clear(&site->backend);
    g_byte_array_unref(site->client.config.says);
    g_byte_array_unref(site->backend.config.says);
    rig_free(site->r);
}

void natsite_run(struct natsite *site, uint64_t most_us)
{
    uint64_t end_us = site->now_us + most_us;
    while (site->now_us < end_us && !(tcpend_done(&site->client) && tcpend_done(&site->backend)) &&
           !site->client.reset && !site->backend.reset && site->client.error == NULL && site->backend.error == NULL) {
        natsite_turn(site);
        site->now_us = natsite_next_us(site);
    }
}

/* The header that a backend is to hear first. */
static unsigned preface(const struct tcpend *client, uint8_t *header)
{
    bool v4 = client->config.family == 4;
    unsigned size = v4 ? 28 : 52, address = v4 ? 4 : 16;
    memcpy(header, "\r\n\r\n\0\r\nQUIT\n\x21", 13);
    header[13] = v4 ? 0x11 : 0x21;
    put16(header + 14, (uint16_t)(size - 16));
    memcpy(header + 16, client->config.own, address);
    memcpy(header + 16 + address, client->config.other, address);
    put16(header + size - 4, client->config.own_port);
    put16(header + size - 2, client->config.other_port);
    return size;
}

/* Has it heard what the other one says, behind `size` bytes? */
static void check_heard(const struct tcpend *hears, const struct tcpend *says, unsigned size)
{
    const GByteArray *heard = hears->hears, *said = says->config.says;
    ck_assert_uint_eq(heard->len, size + said->len);
    ck_assert(said->len == 0 || memcmp(heard->data + size, said->data, said->len) == 0);
}

void natsite_check_told(const struct natsite *site)
{
    const uint16_t port = site->client.config.other_port;
    const struct tcpend *client = &site->client, *backend = &site->backend;
    uint8_t header[52];
    unsigned size = port == RIG_PROXY || port == RIG_TOA_PROXY ? preface(client, header) : 0;
    check_heard(backend, client, size);
    check_heard(client, backend, 0);
    ck_assert(size == 0 || memcmp(backend->hears->data, header, size) == 0);
    if (port != RIG_TOA && port != RIG_TOA_PROXY) {
        ck_assert_uint_eq(backend->toas, 0);
        return;
    }
    ck_assert_uint_gt(backend->toas, 0);
    ck_assert_uint_eq(get16(backend->toa), client->config.own_port);
    ck_assert_mem_eq(backend->toa + 2, client->config.own, client->config.family == 4 ? 4 : 16);
}

void natsite_check_done(const struct natsite *site, const char *what)
{
    const struct tcpend *client = &site->client, *backend = &site->backend;
    bool good = tcpend_done(client) && tcpend_done(backend) && client->error == NULL && backend->error == NULL;
    const char *of_client = client->error != NULL ? client->error : client->open ? "open" : "not open";
    const char *of_backend = backend->error != NULL ? backend->error : backend->open ? "open" : "not open";
    ck_assert_msg(good, "%s, IPv%u, port %u: client %s%s, backend %s%s after %.3f s: %u of %u bytes in, %u of %u out",
                  what, site->r->family, client->config.other_port, of_client, client->reset ? ", reset" : "",
                  of_backend, backend->reset ? ", reset" : "", (double)(site->now_us - site->r->now_us) / 1e6,
                  backend->hears->len, client->config.says->len, client->hears->len, backend->config.says->len);
}

void natsite_check_over(struct natsite *site, bool drops)
{
    uint64_t dropped = 0;
    for (int d = 1; d < DROPS; d++)
        dropped += site->drops[d];
    ck_assert_uint_eq(site->in, site->out + dropped);
    if (!drops)
        ck_assert_uint_eq(dropped, 0);
    wire_clear(&site->wire);
    for (int i = 0; i < 400; i++) {
        site->now_us += SECOND;
        nat_expire(&site->r->nat, site->now_us, SESSIONS);
        send_what_nat_says(site);
    }
    wire_clear(&site->wire);
    ck_assert_uint_eq(site->r->nat.states[NAT_FREE], SESSIONS);
}
