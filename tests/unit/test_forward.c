/* Connections through the FULLNAT, over wires that lose, double, delay, reorder and damage: what arrives is what was
 * sent, nobody is reset, and nothing is left behind. Options, scales, numbers and addresses are drawn. */
#include "tests/unit/natsite.h"
#include "tests/unit/unit.h"

#include <sodium/crypto_shorthash_siphash24.h>
#include <string.h>

/* Of each combination. */
#define SEEDS 4u
#define SEEDS_FULL 40u /* with SIGNALBOX_TEST_FULL */

static const uint8_t families[] = {4, 6};

static const int scales[] = {-1, 0, 7, 14};

static struct tcpend_config draw(struct wire *wire, uint8_t family, bool client)
{
    struct tcpend_config config = {.family = family, .mss = (const uint16_t[]){1460, 1440, 536}[wire_random(wire, 3)]};
    if (family == 6 && config.mss > 1440)
        config.mss = 1440;
    config.scale = scales[wire_random(wire, 4)];
    config.sack = wire_random(wire, 2);
    config.timestamps = client && wire_random(wire, 2);
    config.window = config.scale > 0 ? 30000 + wire_random(wire, 60000) : 2000 + wire_random(wire, 60000);
    config.window = config.window >> (config.scale > 0 ? config.scale : 0) << (config.scale > 0 ? config.scale : 0);
    config.first_seq = wire_random(wire, 2) ? 0u - wire_random(wire, 3000) : wire_random(wire, UINT32_MAX);
    config.deaf_us = wire_random(wire, 4) == 0 ? 1000 * SECOND + 3 * SECOND : 0;
    config.ends_second = wire_random(wire, 2) == 0 && !client;
    config.says = natsite_speech(wire, wire_random(wire, 8) == 0 ? 0 : 1 + wire_random(wire, 60000));
    return config;
}

/* Begins a connection whose ends are drawn. */
static void begin(struct natsite *site, uint8_t family, uint16_t port, const struct wire_faults *how, uint64_t seed,
                  bool cookies)
{
    struct wire drawn;
    wire_init(&drawn, how, seed);
    struct tcpend_config client = draw(&drawn, family, true), backend = draw(&drawn, family, false);
    if (cookies && client.says->len == 0) /* one that waits cannot be heard when its acknowledgement is lost */
        g_byte_array_append(client.says, (const uint8_t *)"?", 1);
    client.own_port = (uint16_t)(1024 + wire_random(&drawn, 60000));
    if (!backend.ends_second)
        client.ends_second = wire_random(&drawn, 2) == 0; /* else both end when they like */
    natsite_init(site, family, port, how, seed, client, backend, cookies);
}

static const uint16_t ports[] = {RIG_PLAIN, RIG_TOA, RIG_PROXY, RIG_TOA_PROXY};
static const struct wire_faults faults[] = {
    {.delay_us = 500},
    {.delay_us = 500, .drop = 10, .duplicate = 10, .late = 30, .corrupt = 5, .whole = NATSITE_ENDS},
    {.delay_us = 20000, .drop = 50, .duplicate = 50, .late = 100, .corrupt = 20, .whole = NATSITE_ENDS},
};

/* One connection, whole; cookies: it begins with one. */
static void one(uint8_t family, uint16_t port, const struct wire_faults *how, uint64_t seed, bool cookies)
{
    struct natsite site;
    g_autofree char *what = g_strdup_printf("seed %" G_GUINT64_FORMAT "%s", seed, cookies ? ", cookies" : "");
    begin(&site, family, port, how, seed, cookies);
    natsite_run(&site, 600 * SECOND);
    natsite_check_done(&site, what);
    natsite_check_told(&site);
    natsite_check_over(&site, how->corrupt > 0 || cookies);
    natsite_clear(&site);
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
        struct natsite site;
        begin(&site, seed % 2 ? 4 : 6, ports[_i], &faults[seed % 3], seed * 10 + (uint64_t)_i, false);
        g_byte_array_append(site.client.config.says, (const uint8_t *)"?", 1);
        site.backend.config.overrun = 14600 + 1460;
        site.r->nat.cookies_above = 8;
        site.flood = 500;
        natsite_turn(&site); /* they were there before */
        site.flood = 20;
        natsite_run(&site, 600 * SECOND);
        ck_assert_msg(tcpend_done(&site.client) && tcpend_done(&site.backend), "seed %u", (unsigned)seed);
        natsite_check_told(&site);
        ck_assert_uint_le(site.r->nat.states[NAT_SYN_SENT], 8);
        ck_assert_uint_eq(site.r->nat.cookies - site.strangers > 0, 1);
        strangers += site.strangers;
        natsite_clear(&site);
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
