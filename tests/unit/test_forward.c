/* Connections through the FULLNAT, over wires that lose, double, delay, reorder and damage: what arrives is what was
 * sent, nobody is reset, and nothing is left behind. Options, scales, numbers and addresses are drawn. */
#include "tests/unit/faultwire.h"
#include "tests/unit/nat_rig.h"
#include "tests/unit/tcpend.h"
#include "tests/unit/unit.h"

#include <sodium/crypto_shorthash_siphash24.h>
#include <string.h>

/* Of each combination. */
#define SEEDS 4u
#define SEEDS_FULL 40u /* with SIGNALBOX_TEST_FULL */

enum { CLIENT, OUTSIDE, INSIDE, BACKEND }; /* who receives a frame */

static const uint8_t families[] = {4, 6};

#define ENDS (1u << CLIENT | 1u << BACKEND)

struct site {
    struct rig *r;
    struct wire wire;
    struct tcpend client, backend;
    uint64_t now_us;
    unsigned flood;                 /* SYNs of strangers each turn */
    uint64_t strangers;             /* that were answered */
    uint64_t in, out, drops[DROPS]; /* packets of the forwarder, but for those */
};

static void send_from_client(void *context, const uint8_t *frame, uint32_t size)
{
    struct site *site = context;
    wire_send(&site->wire, OUTSIDE, frame, size, site->now_us);
}

static void send_from_backend(void *context, const uint8_t *frame, uint32_t size)
{
    struct site *site = context;
    wire_send(&site->wire, INSIDE, frame, size, site->now_us);
}

static void send_what_nat_says(struct site *site)
{
    const struct nat_frame *frame;
    while ((frame = nat_next_out(&site->r->nat)) != NULL)
        wire_send(&site->wire, frame->way.side == NAT_OUTSIDE ? CLIENT : BACKEND, frame->bytes, frame->size,
                  site->now_us);
}

static void forward(struct site *site, struct wire_frame *frame)
{
    struct packet p = {.frame = frame->bytes, .size = frame->size, .room = WIRE_FRAME - frame->size}, *packets[] = {&p};
    struct nat_way way = {.adjacency = 1};
    site->in++;
    way.drop = packet_parse(&p);
    if (way.drop == DROP_NONE && p.proto != PROTO_TCP)
        way.drop = DROP_PROTOCOL; /* damaged */
    if (way.drop == DROP_NONE)
        nat_translate(&site->r->nat, frame->to == OUTSIDE ? NAT_OUTSIDE : NAT_INSIDE, packets, &way, 1, site->now_us);
    site->drops[way.drop]++;
    if (way.drop == DROP_NONE) {
        site->out++;
        wire_send(&site->wire, way.side == NAT_OUTSIDE ? CLIENT : BACKEND, p.frame, p.size, site->now_us);
    }
    send_what_nat_says(site);
}

/* SYNs from addresses that nobody has. */
static void flood(struct site *site)
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
        struct packet again = {.frame = frame, .size = p.size};
        /* Not ck_assert: libcheck writes a line for each, and there are a million. */
        if (way.drop != DROP_NONE || packet_parse(&again) != DROP_NONE || !packet_sum_good(&again))
            ck_abort_msg("found %s, expected a whole SYN or SYN-ACK", drop_name(way.drop));
        site->strangers += way.side == NAT_OUTSIDE;
    }
}

static void turn(struct site *site)
{
    struct wire_frame *frame;
    while ((frame = wire_take(&site->wire, site->now_us)) != NULL) {
        if (frame->to == CLIENT)
            tcpend_receive(&site->client, frame->bytes, frame->size, site->now_us);
        else if (frame->to == BACKEND)
            tcpend_receive(&site->backend, frame->bytes, frame->size, site->now_us);
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

static uint64_t next_us(const struct site *site)
{
    uint64_t next = wire_next_us(&site->wire);
    next = MIN(next, site->client.timer_us);
    next = MIN(next, site->backend.timer_us);
    return MAX(site->now_us + 1, MIN(next, wheel_next_us(&site->r->nat.wheel)));
}

static GByteArray *speech(struct wire *wire, uint32_t size)
{
    GByteArray *bytes = g_byte_array_sized_new(size);
    for (uint32_t i = 0; i < size; i++) {
        uint8_t byte = (uint8_t)wire_random(wire, 256);
        g_byte_array_append(bytes, &byte, 1);
    }
    return bytes;
}

static const int scales[] = {-1, 0, 7, 14};

static struct tcpend_config draw(struct site *site, uint8_t family, bool client)
{
    struct wire *wire = &site->wire;
    struct tcpend_config config = {.family = family, .mss = (const uint16_t[]){1460, 1440, 536}[wire_random(wire, 3)]};
    if (family == 6 && config.mss > 1440)
        config.mss = 1440;
    config.scale = scales[wire_random(wire, 4)];
    config.sack = wire_random(wire, 2);
    config.timestamps = client && wire_random(wire, 2);
    config.window = config.scale > 0 ? 30000 + wire_random(wire, 60000) : 2000 + wire_random(wire, 60000);
    config.window = config.window >> (config.scale > 0 ? config.scale : 0) << (config.scale > 0 ? config.scale : 0);
    config.first_seq = wire_random(wire, 2) ? 0u - wire_random(wire, 3000) : wire_random(wire, UINT32_MAX);
    config.deaf_us = wire_random(wire, 4) == 0 ? site->now_us + 3 * SECOND : 0;
    config.ends_second = wire_random(wire, 2) == 0 && !client;
    config.says = speech(wire, wire_random(wire, 8) == 0 ? 0 : 1 + wire_random(wire, 60000));
    return config;
}

static void site_init(struct site *site, uint8_t family, uint16_t port, const struct wire_faults *how, uint64_t seed,
                      bool cookies)
{
    memset(site, 0, sizeof *site);
    site->r = rig_new(family, 64);
    site->now_us = site->r->now_us;
    if (cookies)
        site->r->nat.cookies_above = 0;
    wire_init(&site->wire, how, seed);
    struct tcpend_config client = draw(site, family, true), backend = draw(site, family, false);
    if (cookies && client.says->len == 0) /* one that waits cannot be heard when its acknowledgement is lost */
        g_byte_array_append(client.says, (const uint8_t *)"?", 1);
    client.own = family == 4 ? rig_client4 : rig_client6;
    client.other = family == 4 ? rig_vip4 : rig_vip6;
    client.own_port = (uint16_t)(1024 + wire_random(&site->wire, 60000));
    client.other_port = port;
    if (!backend.ends_second)
        client.ends_second = wire_random(&site->wire, 2) == 0; /* else both end when they like */
    backend.own = family == 4 ? rig_backend4 : rig_backend6;
    backend.own_port = 8080;
    if (cookies)
        backend.overrun = 14600 + 1460; /* the cookie's window, whatever the backend's will be */
    else if (port == RIG_PROXY || port == RIG_TOA_PROXY)
        backend.overrun = 52;
    tcpend_init(&site->client, &client);
    tcpend_init(&site->backend, &backend);
    site->client.context = site->backend.context = site;
    site->client.send = send_from_client;
    site->backend.send = send_from_backend;
}

static void site_clear(struct site *site)
{
    wire_clear(&site->wire);
    tcpend_clear(&site->client);
    tcpend_clear(&site->backend);
    g_byte_array_unref(site->client.config.says);
    g_byte_array_unref(site->backend.config.says);
    rig_free(site->r);
}

static void run(struct site *site, uint64_t most_us)
{
    uint64_t end_us = site->now_us + most_us;
    while (site->now_us < end_us && !(tcpend_done(&site->client) && tcpend_done(&site->backend)) &&
           !site->client.reset && !site->backend.reset && site->client.error == NULL && site->backend.error == NULL) {
        turn(site);
        site->now_us = next_us(site);
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

static void check_told(const struct site *site, uint16_t port)
{
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

static const uint16_t ports[] = {RIG_PLAIN, RIG_TOA, RIG_PROXY, RIG_TOA_PROXY};
static const struct wire_faults faults[] = {
    {.delay_us = 500},
    {.delay_us = 500, .drop = 10, .duplicate = 10, .late = 30, .corrupt = 5, .whole = ENDS},
    {.delay_us = 20000, .drop = 50, .duplicate = 50, .late = 100, .corrupt = 20, .whole = ENDS},
};

/* One connection, whole; cookies: it begins with one. */
static void one(uint8_t family, uint16_t port, const struct wire_faults *how, uint64_t seed, bool cookies)
{
    struct site site;
    site_init(&site, family, port, how, seed, cookies);
    run(&site, 600 * SECOND);
    bool good = tcpend_done(&site.client) && tcpend_done(&site.backend) && site.client.error == NULL &&
                site.backend.error == NULL;
    ck_assert_msg(good,
                  "IPv%u, port %u, seed %" G_GUINT64_FORMAT
                  "%s: client %s%s, backend %s%s after %.3f s: %u of %u bytes in, %u of "
                  "%u out",
                  family, port, seed, cookies ? ", cookies" : "",
                  site.client.error != NULL ? site.client.error
                  : site.client.open        ? "open"
                                            : "not open",
                  site.client.reset ? ", reset" : "",
                  site.backend.error != NULL ? site.backend.error
                  : site.backend.open        ? "open"
                                             : "not open",
                  site.backend.reset ? ", reset" : "", (double)(site.now_us - site.r->now_us) / 1e6,
                  site.backend.hears->len, site.client.config.says->len, site.client.hears->len,
                  site.backend.config.says->len);
    check_told(&site, port);
    uint64_t dropped = 0;
    for (int d = 1; d < DROPS; d++)
        dropped += site.drops[d];
    ck_assert_uint_eq(site.in, site.out + dropped);
    if (how->corrupt == 0 && !cookies)
        ck_assert_uint_eq(dropped, 0);
    wire_clear(&site.wire);
    for (int i = 0; i < 400; i++) {
        site.now_us += SECOND;
        nat_expire(&site.r->nat, site.now_us, 64);
        send_what_nat_says(&site);
    }
    ck_assert_uint_eq(site.r->nat.states[NAT_FREE], 64);
    site_clear(&site);
}

/* _i: service, wire, whether with cookies. */
START_TEST(what_arrives_is_what_was_sent)
{
    uint16_t port = ports[_i % 4];
    const struct wire_faults *how = &faults[_i / 4 % 3];
    unsigned seeds = g_getenv("SIGNALBOX_TEST_FULL") != NULL ? SEEDS_FULL : SEEDS;
    for (uint64_t seed = 1; seed <= seeds; seed++)
        one(seed % 2 ? 4 : 6, port, how, seed * 100 + (uint64_t)_i, _i / 12);
}
END_TEST

/* Strangers' SYNs fill what may be half open, and no more: who means it gets through. */
START_TEST(a_flood_of_syns_keeps_nobody_out)
{
    uint64_t strangers = 0;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct site site;
        site_init(&site, seed % 2 ? 4 : 6, ports[_i], &faults[seed % 3], seed * 10 + (uint64_t)_i, false);
        g_byte_array_append(site.client.config.says, (const uint8_t *)"?", 1);
        site.backend.config.overrun = 14600 + 1460;
        site.r->nat.cookies_above = 8;
        site.flood = 500;
        turn(&site); /* they were there before */
        site.flood = 20;
        run(&site, 600 * SECOND);
        ck_assert_msg(tcpend_done(&site.client) && tcpend_done(&site.backend), "seed %u", (unsigned)seed);
        check_told(&site, ports[_i]);
        ck_assert_uint_le(site.r->nat.states[NAT_SYN_SENT], 8);
        ck_assert_uint_eq(site.r->nat.cookies - site.strangers > 0, 1);
        strangers += site.strangers;
        site_clear(&site);
    }
    ck_assert_uint_gt(strangers, 20000);
}
END_TEST

/* The MAC is SipHash-2-4 of what it is said to be of, as a library computes it. */
START_TEST(a_cookie_is_a_siphash)
{
    uint8_t key[COOKIE_KEY], family = families[_i];
    unsigned address = family == 4 ? 4 : 16;
    struct wire wire;
    wire_init(&wire, &(struct wire_faults){0}, 9);
    for (unsigned i = 0; i < 1000; i++) {
        struct flow_key flow = {.client_port = (uint16_t)wire_random(&wire, 65536),
                                .service_port = (uint16_t)wire_random(&wire, 65536),
                                .proto = PROTO_TCP,
                                .family = family};
        uint32_t seq = wire_random(&wire, UINT32_MAX), minute = wire_random(&wire, UINT32_MAX), found;
        struct syncookie offer = {(uint8_t)wire_random(&wire, 16), wire_random(&wire, 2),
                                  (uint8_t)wire_random(&wire, 8)};
        for (unsigned k = 0; k < 16; k++) {
            key[k] = (uint8_t)wire_random(&wire, 256);
            flow.client[k] = k < address ? (uint8_t)wire_random(&wire, 256) : 0;
            flow.service[k] = k < address ? (uint8_t)wire_random(&wire, 256) : 0;
        }
        uint8_t message[64], hash[8], agreed = (uint8_t)(offer.scale << 4 | offer.sack << 3 | offer.mss);
        unsigned n = 0;
        const struct {
            const void *bytes;
            unsigned size;
        } parts[] = {{flow.client, address},
                     {flow.service, address},
                     {&flow.client_port, 2},
                     {&flow.service_port, 2},
                     {&seq, 4},
                     {&minute, 4},
                     {&agreed, 1},
                     {&family, 1}};
        for (unsigned k = 0; k < G_N_ELEMENTS(parts); n += parts[k++].size)
            memcpy(message + n, parts[k].bytes, parts[k].size);
        crypto_shorthash_siphash24(hash, message, n, key);
        memcpy(&found, hash, 4);
        uint32_t number = syncookie_make(key, &flow, seq, offer, minute * COOKIE_MINUTE_US + 5);
        ck_assert_uint_eq(number, found << 8 | agreed);
    }
    wire_clear(&wire);
}
END_TEST

START_TEST(a_cookie_is_good_for_its_client_and_its_time)
{
    uint8_t key[COOKIE_KEY] = {1, 2, 3};
    struct flow_key flow = {.client_port = 1, .service_port = 80, .proto = PROTO_TCP, .family = 4};
    struct syncookie offer = {.scale = 9, .sack = true, .mss = syncookie_mss_index(1459)}, found;
    uint64_t now_us = 100 * COOKIE_MINUTE_US + 5;
    uint32_t number = syncookie_make(key, &flow, 77, offer, now_us);
    ck_assert(syncookie_check(key, &flow, 77, number, now_us, &found));
    ck_assert_uint_eq(found.scale, 9);
    ck_assert(found.sack);
    ck_assert_uint_eq(syncookie_mss(found.mss), 1440);
    ck_assert(syncookie_check(key, &flow, 77, number, now_us + COOKIE_MINUTE_US, &found));
    ck_assert(!syncookie_check(key, &flow, 77, number, now_us + 2 * COOKIE_MINUTE_US, &found));
    ck_assert(!syncookie_check(key, &flow, 77, number, now_us - COOKIE_MINUTE_US, &found));
    ck_assert(!syncookie_check(key, &flow, 78, number, now_us, &found));
    flow.client_port = 2;
    ck_assert(!syncookie_check(key, &flow, 77, number, now_us, &found));
    flow.client_port = 1;
    key[15] ^= 1;
    ck_assert(!syncookie_check(key, &flow, 77, number, now_us, &found));
    key[15] ^= 1;
    unsigned guessed = 0; /* by who knows all but the key */
    for (uint32_t guess = 0; guess < 200000; guess++)
        guessed += guess * 21474u != number && syncookie_check(key, &flow, 77, guess * 21474u, now_us, &found);
    ck_assert_uint_le(guessed, 3);
    for (unsigned bit = 0; bit < 32; bit++)
        ck_assert(!syncookie_check(key, &flow, 77, number ^ 1u << bit, now_us, &found));
    ck_assert_uint_eq(syncookie_mss(syncookie_mss_index(100)), 536);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_loop_test(tcase, what_arrives_is_what_was_sent, 0, 24);
    tcase_add_loop_test(tcase, a_flood_of_syns_keeps_nobody_out, 0, 4);
    tcase_add_loop_test(tcase, a_cookie_is_a_siphash, 0, 2);
    tcase_add_test(tcase, a_cookie_is_good_for_its_client_and_its_time);
}

int main(void)
{
    return unit_run("forward", add);
}
