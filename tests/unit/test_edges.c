/* The FULLNAT at the edges of TCP: each combination of options, numbers that wrap, each order of ends, resets in each
 * state, ports that are used again, narrow paths, floods, and nothing left of what it is made of. */
#include "tests/unit/nat_ends.h"
#include "tests/unit/natsite.h"
#include "tests/unit/unit.h"

#include <string.h>

static const struct wire_faults quick = {.delay_us = 300};

static struct tcpend_config plain(uint8_t family, uint32_t says)
{
    struct tcpend_config c = {.family = family, .mss = family == 4 ? 1460 : 1440, .scale = 7, .sack = true};
    c.window = 60000;
    c.first_seq = 1000;
    c.own_port = 40000;
    c.says = tcpend_bytes(says);
    return c;
}

/* From beginning to end, and nothing left. */
static void talk(struct natsite *site, const char *what)
{
    natsite_run(site, 600 * SECOND);
    natsite_check_done(site, what);
    natsite_check_told(site);
}

/* ---- options ---- */

enum { NOBODY, CLIENT, BACKEND }; /* takes nothing for three seconds: its window is 0 */

static void options(uint8_t family, bool cookies, unsigned k)
{
    static const int scales[] = {-1, 0, 7, 14};
    struct natsite site;
    struct tcpend_config client = plain(family, 24000), backend = plain(family, 9000);
    client.scale = scales[k % 4];
    backend.scale = scales[k / 4 % 4];
    client.mss = backend.mss = k / 16 % 2 ? 536 : client.mss;
    client.sack = k / 32 % 2;
    backend.sack = k / 64 % 2;
    client.timestamps = k / 128 % 2;
    unsigned deaf = k / 256;
    client.deaf_us = deaf == CLIENT ? 1003 * SECOND : 0;
    backend.deaf_us = deaf == BACKEND ? 1003 * SECOND : 0;
    client.window = client.scale > 0 ? 32768 : 4000;
    backend.window = backend.scale > 0 ? 32768 : 4000;
    g_autofree char *what = g_strdup_printf("combination %u%s", k, cookies ? ", cookies" : "");
    natsite_init(&site, family, RIG_TOA_PROXY, &quick, k + 1, client, backend, cookies);
    talk(&site, what);
    natsite_check_over(&site, cookies);
    natsite_clear(&site);
}

/* Scales of both, MSS, selections of both, timestamps, windows of zero. _i: family, cookies. */
START_TEST(each_combination_of_options)
{
    for (unsigned k = 0; k < 3 * 256; k++)
        options(families[_i % 2], _i / 2, k);
}
END_TEST

/* ---- numbers ---- */

/* Bytes of each stream in front of the end of its numbers. */
#define BEFORE 1000u

/* The number that the backend is to count the client's stream from: where a port's last stream ended decides. */
static void set_own_number(struct natsite *site, uint64_t secret)
{
    struct nat_local *local = &site->r->locals[site->r->family == 4 ? 0 : 1];
    site->r->nat.secret = secret;
    local->last_seq[local->free_ports[local->free_first] - NAT_PORT_MIN] = 0u - BEFORE - 0x10000;
}

/* A key with which the client is given a number right in front of the end. */
static void set_cookie_number(struct natsite *site)
{
    struct flow_key key = {
        .client_port = 40000, .service_port = RIG_PROXY, .proto = PROTO_TCP, .family = site->r->family};
    bool v4 = key.family == 4;
    memcpy(key.client, v4 ? rig_client4 : rig_client6, v4 ? 4 : 16);
    memcpy(key.service, v4 ? rig_vip4 : rig_vip6, v4 ? 4 : 16);
    const struct syncookie offer = {.scale = 7, .sack = true, .mss = syncookie_mss_index(v4 ? 1460 : 1440)};
    uint32_t number = 0;
    /* About 2^13 tries, and the whole of the numbers above 2^32 - 2^19 serves. */
    for (uint64_t k = 1; number < 0u - 0x80000; k++) {
        memcpy(site->r->nat.cookie_key, &k, sizeof k);
        number = syncookie_make(site->r->nat.cookie_key, &key, site->client.config.first_seq, offer, site->now_us);
    }
}

/* All four countings come to their ends: of the client, of the backend, ours towards each. _i: family, cookies. */
START_TEST(all_numbers_wrap)
{
    struct natsite site;
    bool cookies = _i / 2, wrapped = false;
    for (uint64_t secret = 1; !wrapped && secret < 40; secret++) { /* our own number goes by a clock, too */
        struct tcpend_config client = plain(families[_i % 2], 5000), backend = plain(families[_i % 2], 600000);
        client.first_seq = backend.first_seq = 0u - BEFORE;
        natsite_init(&site, families[_i % 2], RIG_PROXY, &quick, secret, client, backend, cookies);
        set_own_number(&site, secret);
        if (cookies)
            set_cookie_number(&site);
        talk(&site, "numbers that wrap");
        wrapped = site.backend.other_base == 0u - BEFORE + 1;
        natsite_check_over(&site, cookies);
        natsite_clear(&site);
    }
    ck_assert(wrapped);
}
END_TEST

/* What a port was used for before the restart ended below what it is used for behind it, so that a backend that still
 * remembers it takes it (RFC 9293, 3.6.1). */
START_TEST(numbers_rise_over_a_restart)
{
    for (uint32_t k = 0; k < 100; k++) {
        uint16_t port[2];
        uint32_t isn[2];
        for (unsigned run = 0; run < 2; run++) {
            struct rig *r = rig_new(families[_i], SESSIONS);
            r->now_us += run * SECOND; /* without it for a second */
            r->locals[r->family == 4 ? 0 : 1].free_first = k * 601 % NAT_PORTS;
            open_it(r, (uint16_t)(2000 + k), RIG_PLAIN, &port[run], &isn[run]);
            rig_free(r);
        }
        ck_assert_uint_eq(port[0], port[1]);
        ck_assert_int_gt((int32_t)(isn[1] - (isn[0] + 10000000)), 0); /* behind 10 MB */
    }
}
END_TEST

/* ---- ends ---- */

/* The client first, the backend first, both at once; the other half goes on. _i: family, cookies. */
START_TEST(each_order_of_ends)
{
    for (unsigned order = 0; order < 3; order++) {
        struct natsite site;
        struct tcpend_config client = plain(families[_i % 2], order == 0 ? 10 : 30000),
                             backend = plain(families[_i % 2], order == 1 ? 10 : 30000);
        client.ends_second = order == 1;
        backend.ends_second = order == 0;
        natsite_init(&site, families[_i % 2], RIG_TOA, &quick, order + 1, client, backend, _i / 2);
        talk(&site, order == 0 ? "the client ends first" : order == 1 ? "the backend ends first" : "both end");
        for (uint64_t until_us = site.now_us + SECOND / 10; site.now_us < until_us;
             site.now_us = natsite_next_us(&site)) /* what is under way arrives */
            natsite_turn(&site);
        ck_assert_uint_eq(site.r->nat.states[NAT_CLOSED], 1);
        natsite_check_over(&site, _i / 2);
        natsite_clear(&site);
    }
}
END_TEST

/* A session in that state; the port that the backend sees, and the client's first number there. */
static void reach(struct rig *r, enum nat_state state, uint16_t *port, uint32_t *isn)
{
    struct frame f;
    if (state != NAT_SYN_SENT && state != NAT_SYN_RECEIVED)
        open_it(r, 40000, RIG_PLAIN, port, isn);
    else {
        client_says(r, &f, (struct said){.from = 40000, .to = RIG_PLAIN, .seq = 0xfffffff0, .flags = TCP_SYN});
        *port = f.packet.source;
        *isn = seq_of(&f);
    }
    if (state == NAT_SYN_RECEIVED)
        backend_says(r, &f,
                     (struct said){.from = 8080, .to = *port, .seq = 500, .ack = *isn + 1, .flags = TCP_SYN | TCP_ACK});
    const struct said end = {.from = 40000,
                             .to = RIG_PLAIN,
                             .seq = 0xfffffff1,
                             .ack = 501,
                             .flags = state == NAT_CLOSING ? TCP_ACK | TCP_FIN : TCP_RST};
    if (state == NAT_CLOSING || state == NAT_CLOSED)
        client_says(r, &f, end);
    ck_assert_uint_eq(r->nat.states[state], 1);
}

/* Of either end: the other end hears it in its own numbers, the session is over, and the client may begin anew at once.
 * _i: family. */
START_TEST(a_reset_in_each_state)
{
    static const enum nat_state states[] = {NAT_SYN_SENT, NAT_SYN_RECEIVED, NAT_ESTABLISHED, NAT_CLOSING, NAT_CLOSED};
    for (unsigned k = 0; k < 2 * G_N_ELEMENTS(states); k++) {
        struct rig *r = rig_new(families[_i], SESSIONS);
        struct frame f;
        uint16_t port;
        uint32_t isn;
        reach(r, states[k / 2], &port, &isn);
        struct nat_way way;
        if (k % 2 == 0) {
            way =
                client_says(r, &f, (struct said){.from = 40000, .to = RIG_PLAIN, .seq = 0xfffffff1, .flags = TCP_RST});
            ck_assert_uint_eq(seq_of(&f), isn + 1);
            ck_assert_uint_eq(f.packet.source, port);
        } else {
            way = backend_says(
                r, &f, (struct said){.from = 8080, .to = port, .seq = 501, .ack = isn + 1, .flags = TCP_RST | TCP_ACK});
            ck_assert_uint_eq(ack_of(&f), 0xfffffff1);
            ck_assert_uint_eq(f.packet.dest, 40000);
        }
        ck_assert_int_eq(way.drop, DROP_NONE);
        ck_assert_int_eq(way.side, k % 2 == 0 ? NAT_INSIDE : NAT_OUTSIDE);
        ck_assert_uint_eq(r->nat.states[NAT_CLOSED], 1);
        way = client_says(r, &f, (struct said){.from = 40000, .to = RIG_PLAIN, .seq = 5000, .flags = TCP_SYN});
        ck_assert_int_eq(way.side, NAT_INSIDE);
        ck_assert_uint_ne(f.packet.source, port);
        ck_assert_uint_eq(r->nat.states[NAT_SYN_SENT], 1);
        ck_assert_uint_eq(r->nat.states[NAT_CLOSED], 0);
        rig_free(r);
    }
}
END_TEST

/* A client that has forgotten an open connection begins another on its port: the backend's challenge (RFC 5961, 4)
 * reaches it in the old connection's numbers, its reset the backend, and then it may begin. */
START_TEST(a_challenge_comes_through)
{
    struct frame f;
    uint16_t port;
    uint32_t isn;
    struct rig *r = rig_new(families[_i], SESSIONS);
    const struct said anew = {.from = 40000, .to = RIG_PLAIN, .seq = 7000, .flags = TCP_SYN};
    open_it(r, 40000, RIG_PLAIN, &port, &isn);
    client_says(r, &f, anew);
    ck_assert_uint_eq(f.packet.source, port);
    backend_says(r, &f, (struct said){.from = 8080, .to = port, .seq = 501, .ack = isn + 1, .flags = TCP_ACK});
    ck_assert_uint_eq(ack_of(&f), 0xfffffff1);
    ck_assert_uint_eq(r->nat.states[NAT_ESTABLISHED], 1);
    client_says(r, &f, (struct said){.from = 40000, .to = RIG_PLAIN, .seq = 0xfffffff1, .flags = TCP_RST});
    ck_assert_uint_eq(seq_of(&f), isn + 1);
    client_says(r, &f, anew);
    ck_assert_uint_ne(f.packet.source, port);
    ck_assert_uint_eq(r->nat.states[NAT_SYN_SENT], 1);
    rig_free(r);
}
END_TEST

/* ---- sizes ---- */

/* From one byte to 5 MB (with SIGNALBOX_TEST_FULL 50) in both directions at once. _i: family, service. */
START_TEST(streams_of_all_sizes)
{
    static const uint16_t ports[] = {RIG_PLAIN, RIG_TOA_PROXY};
    const uint32_t most = g_getenv("SIGNALBOX_TEST_FULL") != NULL ? 50000000 : 5000000,
                   sizes[] = {1, 100, 1448, 65536, 1000000, most};
    for (unsigned i = 0; i < G_N_ELEMENTS(sizes); i++) {
        struct natsite site;
        struct tcpend_config client = plain(families[_i % 2], sizes[i]), backend = plain(families[_i % 2], sizes[i]);
        natsite_init(&site, families[_i % 2], ports[_i / 2], &quick, i + 1, client, backend, false);
        talk(&site, "a stream");
        natsite_check_over(&site, false);
        natsite_clear(&site);
    }
}
END_TEST

/* Narrower than either end knows: both are told what fits, with what is inserted taken off, and nothing bigger leaves.
 * _i: family, service. */
START_TEST(paths_are_narrow)
{
    static const uint16_t ports[] = {RIG_PLAIN, RIG_TOA, RIG_PROXY, RIG_TOA_PROXY};
    const uint16_t mtu[72] = {[1] = 1300, [70] = 1290, [71] = 1285};
    struct natsite site;
    struct tcpend_config client = plain(families[_i % 2], 50000), backend = plain(families[_i % 2], 50000);
    client.sack = backend.sack = false; /* so that packets are as big as they may be */
    natsite_init(&site, families[_i % 2], ports[_i / 2], &quick, 1, client, backend, false);
    site.r->all.mtu = mtu;
    talk(&site, "a narrow path");
    ck_assert_uint_ge(site.told_size, 2);
    uint16_t inside = mtu[families[_i % 2] == 4 ? 70 : 71];
    ck_assert_uint_le(site.largest[NAT_INSIDE], inside);
    ck_assert_uint_ge(site.largest[NAT_INSIDE], inside - (_i / 2 == 0 ? 0u : 72u)); /* 72: what is told, at most */
    ck_assert_uint_eq(site.largest[NAT_OUTSIDE], mtu[1]);
    natsite_check_over(&site, false);
    natsite_clear(&site);
}
END_TEST

/* ---- floods, and nothing left ---- */

/* A million SYNs a second from addresses that nobody has, and connections meanwhile: all of them succeed. _i: family.
 */
START_TEST(a_million_syns_a_second)
{
    const unsigned connections = g_getenv("SIGNALBOX_TEST_FULL") != NULL ? 200 : 20;
    struct natsite site;
    struct tcpend_config client = plain(families[_i], 300), backend = plain(families[_i], 3000);
    uint64_t last_us, begin_us, syns = 0;
    natsite_init(&site, families[_i], RIG_TOA, &quick, 1, client, backend, false);
    site.r->nat.cookies_above = 8;
    begin_us = last_us = site.now_us;
    for (unsigned i = 0; i < connections; i++) {
        if (i > 0) {
            client = plain(families[_i], 300);
            client.other_port = RIG_TOA;
            client.own_port = (uint16_t)(40000 + i);
            natsite_again(&site, client, plain(families[_i], 3000));
        }
        for (uint64_t until_us = site.now_us + 10 * SECOND; site.now_us < until_us;) {
            site.flood = (unsigned)(site.now_us - last_us);
            syns += site.flood;
            last_us = site.now_us;
            natsite_turn(&site);
            if (tcpend_done(&site.client) && tcpend_done(&site.backend))
                break;
            site.now_us = MIN(natsite_next_us(&site), site.now_us + 1000);
        }
        natsite_check_done(&site, "in a flood");
        natsite_check_told(&site);
    }
    uint64_t us = site.now_us - begin_us;
    ck_assert_msg(syns + 1000 >= us, "%" G_GUINT64_FORMAT " SYNs in %" G_GUINT64_FORMAT " us", syns, us);
    ck_assert_uint_ge(site.strangers, syns - 8); /* as many as are half open got none */
    natsite_check_over(&site, true);
    natsite_clear(&site);
}
END_TEST

/* More clients than there is memory to keep what they say until their backends answer: it is as if it had been lost,
 * and the memory comes back. */
START_TEST(what_is_kept_is_limited_and_comes_back)
{
    enum { CLIENTS = RIG_FRAMES + 10 };
    struct rig *r = rig_new(families[_i], SESSIONS);
    struct frame f;
    uint16_t port[CLIENTS];
    uint32_t isn[CLIENTS], cookie[CLIENTS];
    r->nat.cookies_above = 0;
    for (uint16_t i = 0; i < CLIENTS; i++) {
        client_says(r, &f, (struct said){.from = (uint16_t)(100 + i), .to = RIG_PLAIN, .seq = 1000, .flags = TCP_SYN});
        cookie[i] = seq_of(&f);
        const struct said ask = {.from = (uint16_t)(100 + i),
                                 .to = RIG_PLAIN,
                                 .seq = 1001,
                                 .ack = cookie[i] + 1,
                                 .flags = TCP_ACK,
                                 .data = "ask"};
        ck_assert_int_eq(client_says(r, &f, ask).side, NAT_INSIDE);
        port[i] = f.packet.source;
        isn[i] = seq_of(&f);
    }
    ck_assert_uint_eq(r->nat.n_free_frames, 0);
    ck_assert_uint_eq(r->nat.unkept, CLIENTS - RIG_FRAMES);
    ck_assert_uint_eq(r->nat.states[NAT_CONNECTING], CLIENTS);
    r->now_us += SECOND / 4;
    nat_expire(&r->nat, r->now_us, SESSIONS); /* SYNs would be sent again: there is nothing to make them in */
    ck_assert_ptr_null(nat_next_out(&r->nat));
    unsigned out = 0;
    for (unsigned i = 0; i < CLIENTS; i++) {
        const struct said answer = {
            .from = 8080, .to = port[i], .seq = 500, .ack = isn[i] + 1, .flags = TCP_SYN | TCP_ACK};
        ck_assert_int_eq(backend_says(r, &f, answer).side, NAT_INSIDE);
        while (nat_next_out(&r->nat) != NULL)
            out++;
    }
    ck_assert_uint_eq(out, RIG_FRAMES);
    ck_assert_uint_eq(r->nat.n_free_frames, RIG_FRAMES);
    const struct said again = {.from = 100 + CLIENTS - 1,
                               .to = RIG_PLAIN,
                               .seq = 1001,
                               .ack = cookie[CLIENTS - 1] + 1,
                               .flags = TCP_ACK,
                               .data = "ask"};
    ck_assert_int_eq(client_says(r, &f, again).side, NAT_INSIDE);
    ck_assert_uint_eq(seq_of(&f), isn[CLIENTS - 1] + 1);
    rig_free(r);
}
END_TEST

/* SYNs from ports `first` to `last`, by what became of them. */
static void syns(struct rig *r, uint32_t first, uint32_t last, uint32_t drops[static DROPS])
{
    struct frame f;
    for (uint32_t from = first; from <= last; from++)
        drops[client_says(r, &f, (struct said){.from = (uint16_t)from, .to = RIG_PLAIN, .flags = TCP_SYN}).drop]++;
}

/* Until there are no more ports towards the backend, or no more sessions: who comes then is counted by that; who is
 * there goes on; and when some have ended there is room again. _i: family, which ends first. */
START_TEST(ports_and_sessions_run_out_and_come_back)
{
    enum { MORE = 100 };
    const uint32_t room = _i / 2 ? NAT_PORTS / 2 : NAT_PORTS, sessions = _i / 2 ? room : room + MORE;
    const enum drop why = _i / 2 ? DROP_SESSIONS : DROP_PORTS;
    struct rig *r = rig_new(families[_i % 2], sessions);
    struct frame f;
    uint16_t port;
    uint32_t isn, drops[DROPS] = {0};
    open_it(r, 1, RIG_PLAIN, &port, &isn);
    syns(r, 2, room + MORE, drops);
    ck_assert_uint_eq(drops[DROP_NONE], room - 1);
    ck_assert_uint_eq(drops[why], MORE);
    const struct said ask = {
        .from = 1, .to = RIG_PLAIN, .seq = 0xfffffff1, .ack = 501, .flags = TCP_ACK, .data = "ask"};
    ck_assert_int_eq(client_says(r, &f, ask).drop, DROP_NONE);
    r->now_us += 11 * SECOND;
    nat_expire(&r->nat, r->now_us, sessions);
    ck_assert_uint_eq(r->nat.ended, room - 1);
    syns(r, 2, room, drops);
    ck_assert_uint_eq(drops[DROP_NONE], 2 * (room - 1));
    ck_assert_int_eq(client_says(r, &f, ask).drop, DROP_NONE);
    rig_free(r);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_loop_test(tcase, ports_and_sessions_run_out_and_come_back, 0, 4);
    tcase_add_loop_test(tcase, each_combination_of_options, 0, 4);
    tcase_add_loop_test(tcase, all_numbers_wrap, 0, 4);
    tcase_add_loop_test(tcase, numbers_rise_over_a_restart, 0, 2);
    tcase_add_loop_test(tcase, each_order_of_ends, 0, 4);
    tcase_add_loop_test(tcase, a_reset_in_each_state, 0, 2);
    tcase_add_loop_test(tcase, a_challenge_comes_through, 0, 2);
    tcase_add_loop_test(tcase, streams_of_all_sizes, 0, 4);
    tcase_add_loop_test(tcase, paths_are_narrow, 0, 8);
    tcase_add_loop_test(tcase, a_million_syns_a_second, 0, 2);
    tcase_add_loop_test(tcase, what_is_kept_is_limited_and_comes_back, 0, 2);
}

int main(void)
{
    return unit_run("edges", add);
}
