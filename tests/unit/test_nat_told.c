/* FULLNAT: what the ends are told: the client's address, options, errors and sizes. */

#include "tests/unit/nat_ends.h"
#include "tests/unit/unit.h"

#include <string.h>

START_TEST(the_clients_address_is_told)
{
    struct frame f;
    uint16_t port;
    uint32_t isn;
    struct rig *r = rig_new(families[_i], SESSIONS);
    unsigned size = r->family == 4 ? 8 : 20, address = r->family == 4 ? 4 : 16;
    open_it(r, 40000, 443, &port, &isn);
    static const uint8_t lie[] = {254, 8, 0x12, 0x34, 9, 9, 9, 9};
    for (int again = 0; again < 2; again++) { /* also when it is sent again */
        client_says(r, &f,
                    (struct said){.from = 40000,
                                  .to = 443,
                                  .seq = 0xfffffff1,
                                  .ack = 501,
                                  .flags = TCP_ACK,
                                  .options = lie,
                                  .n_options = sizeof lie,
                                  .data = "hello"});
        const uint8_t *options = f.bytes + f.packet.l4 + TCP_SIZE;
        ck_assert_uint_eq(f.packet.payload - f.packet.l4, TCP_SIZE + sizeof lie + size);
        ck_assert_uint_eq(options[0], r->family == 4 ? 254 : 253);
        ck_assert_uint_eq(options[1], size);
        ck_assert_uint_eq(get16(options + 2), 40000);
        ck_assert_mem_eq(options + 4, r->family == 4 ? rig_client4 : rig_client6, address);
        for (unsigned i = 0; i < sizeof lie; i++)
            ck_assert_uint_eq(options[size + i], 1);
        ck_assert_mem_eq(f.bytes + f.packet.payload, "hello", 5);
    }
    backend_says(r, &f, (struct said){.from = 8080, .to = port, .seq = 501, .ack = isn + 6, .flags = TCP_ACK});
    client_says(
        r, &f,
        (struct said){.from = 40000, .to = 443, .seq = 0xfffffff6, .ack = 501, .flags = TCP_ACK, .data = "more"});
    ck_assert_uint_eq(f.packet.payload - f.packet.l4, TCP_SIZE); /* it knows */
    client_says(r, &f,
                (struct said){.from = 40000,
                              .to = 443,
                              .seq = 0xfffffffa,
                              .ack = 501,
                              .flags = TCP_ACK,
                              .options = lie,
                              .n_options = sizeof lie,
                              .data = "more"});
    ck_assert_uint_eq(f.bytes[f.packet.l4 + TCP_SIZE], 1); /* and lies are blanked for ever */
    rig_free(r);
}
END_TEST

START_TEST(options_of_both_ends)
{
    struct frame f;
    struct rig *r = rig_new(families[_i], SESSIONS);
    static const uint8_t syn[] = {2, 4, 0x05, 0xb4, 4, 2, 8, 10, 1, 2, 3, 4, 0, 0, 0, 0, 1, 3, 3, 7};
    client_says(
        r, &f,
        (struct said){.from = 1, .to = 443, .seq = 100, .flags = TCP_SYN, .options = syn, .n_options = sizeof syn});
    uint16_t port = f.packet.source;
    uint32_t isn = seq_of(&f);
    const uint8_t *options = f.bytes + f.packet.l4 + TCP_SIZE;
    static const uint8_t without[] = {2, 4, 0x05, 0xb4, 4, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 3, 3, 7};
    ck_assert_mem_eq(options, without, sizeof without);
    static const uint8_t answer[] = {2, 4, 0x05, 0xb4, 1, 3, 3, 7};
    backend_says(r, &f,
                 (struct said){.from = 8080,
                               .to = port,
                               .seq = 500,
                               .ack = isn + 1,
                               .flags = TCP_SYN | TCP_ACK,
                               .options = answer,
                               .n_options = sizeof answer});
    ck_assert_uint_eq(get16(options + 2), 0x05b4 - (r->family == 4 ? 8 : 20));
    /* What the backend says of the client's bytes is said in the client's numbers, at odd places too. */
    uint8_t sack[] = {1, 5, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0};
    put32(sack + 3, isn + 1000);
    put32(sack + 7, isn + 2000);
    backend_says(r, &f,
                 (struct said){.from = 8080,
                               .to = port,
                               .seq = 501,
                               .ack = isn + 1,
                               .flags = TCP_ACK,
                               .options = sack,
                               .n_options = sizeof sack});
    ck_assert_uint_eq(get32(options + 3), 1100);
    ck_assert_uint_eq(get32(options + 7), 2100);
    uint8_t torn[] = {5, 40, 0, 0}; /* longer than the header */
    ck_assert_int_eq(backend_says(r, &f,
                                  (struct said){.from = 8080,
                                                .to = port,
                                                .seq = 501,
                                                .ack = isn + 1,
                                                .flags = TCP_ACK,
                                                .options = torn,
                                                .n_options = 4})
                         .drop,
                     DROP_NONE);
    rig_free(r);
}
END_TEST

/* No option of the client's hides its address, and what has no room for it does not pass. */
START_TEST(the_address_is_in_front)
{
    struct frame f;
    uint16_t port;
    uint32_t isn;
    struct rig *r = rig_new(families[_i], SESSIONS);
    static const uint8_t hiding[][8] = {{0, 0, 0, 0, 0, 0, 0, 0}, {77, 90, 1, 1, 1, 1, 1, 1}};
    open_it(r, 40000, 443, &port, &isn);
    for (unsigned i = 0; i < 2; i++) {
        client_says(r, &f,
                    (struct said){.from = 40000,
                                  .to = 443,
                                  .seq = 0xfffffff1,
                                  .ack = 501,
                                  .flags = TCP_ACK,
                                  .options = hiding[i],
                                  .n_options = 8,
                                  .data = "x"});
        ck_assert_uint_eq(f.bytes[f.packet.l4 + TCP_SIZE], r->family == 4 ? 254 : 253);
    }
    uint8_t full[40];
    memset(full, 1, sizeof full);
    struct said say = {
        .from = 40000, .to = 443, .seq = 0xfffffff1, .ack = 501, .flags = TCP_ACK, .options = full, .n_options = 40};
    ck_assert_int_eq(client_says(r, &f, say).drop, DROP_UNTOLD);
    rig_free(r);
}
END_TEST

/* An ICMP message about what is in f: f becomes it. */
static void complain(struct frame *f, uint8_t family, const uint8_t *source, const uint8_t *dest, bool too_big,
                     uint32_t mtu)
{
    uint8_t quote[64];
    unsigned size = MIN(f->packet.size - ETHER_SIZE, (unsigned)sizeof quote);
    memcpy(quote, f->bytes + ETHER_SIZE, size);
    struct icmp_message say = {.family = family, .source = source, .dest = dest, .rest = mtu, .quote = quote};
    say.type = family == 4 ? 3 : too_big ? 2 : 1;
    say.code = family == 4 ? (too_big ? 4 : 1) : 0;
    say.n_quote = size;
    packet_make_icmp(&f->packet, &say);
}

/* Errors about a session's packets go to who sent them, and speak of what was sent. */
START_TEST(errors_go_to_who_sent)
{
    struct frame f, sent;
    uint16_t port;
    uint32_t isn;
    struct rig *r = rig_new(families[_i], SESSIONS);
    bool v4 = r->family == 4;
    const uint8_t *client = v4 ? rig_client4 : rig_client6, *vip = v4 ? rig_vip4 : rig_vip6,
                  *local = v4 ? rig_local4 : rig_local6, *backend = v4 ? rig_backend4 : rig_backend6;
    static const uint8_t router4[16] = {192, 0, 2, 99}, router6[16] = {0x20, 1, [15] = 99};
    unsigned size = v4 ? 4 : 16, l3 = v4 ? 20 : 40;
    open_it(r, 40000, RIG_TOA_PROXY, &port, &isn);
    struct said say = {
        .from = 40000, .to = RIG_TOA_PROXY, .seq = 0xfffffff1, .ack = 501, .flags = TCP_ACK, .data = "x"};
    client_says(r, &f, say);
    unsigned overhead = v4 ? 36 : 72;
    complain(&f, r->family, v4 ? router4 : router6, local, true, 1400); /* someone on its way to the backend */
    ck_assert_int_eq(packet_parse(&f.packet), DROP_NONE);
    struct nat_way way = nat_icmp(&r->nat, NAT_INSIDE, 60, &f.packet);
    ck_assert_int_eq(way.drop, DROP_NONE);
    ck_assert_int_eq(way.side, NAT_OUTSIDE);
    ck_assert_uint_eq(way.adjacency, 50);
    frame_check(&f);
    frame_make(&sent, r->family, client, vip, &say);
    const uint8_t *quote = f.bytes + f.packet.l4 + ICMP_SIZE, *said = sent.bytes + ETHER_SIZE;
    ck_assert_mem_eq(dest_of(&f), client, size);
    ck_assert_mem_eq(source_of(&f), vip, size);
    ck_assert_mem_eq(quote + (v4 ? 12 : 8), said + (v4 ? 12 : 8), 2 * size); /* addresses */
    ck_assert_mem_eq(quote + l3, said + l3, 8);                              /* ports and its number */
    ck_assert_uint_eq(get16(f.bytes + f.packet.l4 + 6), 1400 - overhead);
    /* The other way: someone on the way to the client. */
    say = (struct said){.from = 8080, .to = port, .seq = 501, .ack = isn + 1, .flags = TCP_ACK, .data = "y"};
    backend_says(r, &f, say);
    complain(&f, r->family, v4 ? router4 : router6, vip, false, 0);
    ck_assert_int_eq(packet_parse(&f.packet), DROP_NONE);
    way = nat_icmp(&r->nat, NAT_OUTSIDE, 50, &f.packet);
    ck_assert_int_eq(way.drop, DROP_NONE);
    ck_assert_uint_eq(way.adjacency, v4 ? 70 : 71);
    frame_check(&f);
    frame_make(&sent, r->family, backend, local, &say);
    quote = f.bytes + f.packet.l4 + ICMP_SIZE;
    ck_assert_mem_eq(dest_of(&f), backend, size);
    ck_assert_mem_eq(quote + (v4 ? 12 : 8), said + (v4 ? 12 : 8), 2 * size);
    ck_assert_mem_eq(quote + l3, said + l3, 8);
    /* About nothing that we sent; damaged; for nobody. */
    frame_make(&f, r->family, vip, v4 ? router4 : router6, &say);
    complain(&f, r->family, v4 ? router4 : router6, vip, false, 0);
    ck_assert_int_eq(packet_parse(&f.packet), DROP_NONE);
    ck_assert_int_eq(nat_icmp(&r->nat, NAT_OUTSIDE, 50, &f.packet).drop, DROP_SESSION);
    f.bytes[f.packet.l4 + 9] ^= 1;
    ck_assert_int_eq(nat_icmp(&r->nat, NAT_OUTSIDE, 50, &f.packet).drop, DROP_DAMAGED);
    f.bytes[f.packet.l4 + 9] ^= 1;
    ck_assert_int_eq(nat_icmp(&r->nat, NAT_INSIDE, 50, &f.packet).drop, DROP_FOREIGN);
    /* An echo. */
    struct icmp_message echo = {.family = r->family,
                                .source = client,
                                .dest = vip,
                                .type = v4 ? 8 : 128,
                                .rest = 7,
                                .quote = client,
                                .n_quote = 9};
    packet_make_icmp(&f.packet, &echo);
    way = nat_icmp(&r->nat, NAT_OUTSIDE, 50, &f.packet);
    ck_assert_int_eq(way.side, NAT_OUTSIDE);
    frame_check(&f);
    ck_assert_uint_eq(f.bytes[f.packet.l4], v4 ? 0 : 129);
    ck_assert_mem_eq(dest_of(&f), client, size);
    ck_assert_mem_eq(source_of(&f), vip, size);
    rig_free(r);
}
END_TEST

/* What is too big for its way on is told to its sender, with the size that leaves room for what is told. */
START_TEST(too_big_is_told)
{
    struct frame f;
    uint16_t port, mtu[72] = {[50] = 100, [70] = 120, [71] = 180};
    uint32_t isn;
    struct rig *r = rig_new(families[_i], SESSIONS);
    bool v4 = r->family == 4;
    r->all.mtu = mtu;
    open_it(r, 40000, RIG_TOA, &port, &isn);
    char data[161];
    memset(data, 'a', 160);
    data[160] = '\0';
    struct said say = {.from = 40000, .to = RIG_TOA, .seq = 0xfffffff1, .ack = 501, .flags = TCP_ACK, .data = data};
    frame_make(&f, r->family, v4 ? rig_client4 : rig_client6, v4 ? rig_vip4 : rig_vip6, &say);
    if (v4)
        ck_assert_int_eq(pass(r, NAT_OUTSIDE, &f).drop, DROP_TOO_BIG); /* it may be taken to pieces: we do not */
    frame_make(&f, r->family, v4 ? rig_client4 : rig_client6, v4 ? rig_vip4 : rig_vip6, &say);
    f.bytes[ETHER_SIZE + 6] |= v4 ? 0x40 : 0;
    packet_sum_fill(&f.packet);
    struct nat_way way = pass(r, NAT_OUTSIDE, &f);
    ck_assert_int_eq(way.drop, DROP_NONE);
    ck_assert_int_eq(way.side, NAT_OUTSIDE);
    ck_assert_uint_eq(f.packet.proto, v4 ? PROTO_ICMP : PROTO_ICMP6);
    ck_assert_mem_eq(dest_of(&f), v4 ? rig_client4 : rig_client6, v4 ? 4 : 16);
    ck_assert_uint_eq(get32(f.bytes + f.packet.l4 + 4), v4 ? 112 : 160);
    say = (struct said){.from = 8080, .to = port, .seq = 501, .ack = isn + 1, .flags = TCP_ACK, .data = data};
    frame_make(&f, r->family, v4 ? rig_backend4 : rig_backend6, v4 ? rig_local4 : rig_local6, &say);
    f.bytes[ETHER_SIZE + 6] |= v4 ? 0x40 : 0;
    packet_sum_fill(&f.packet);
    way = pass(r, NAT_INSIDE, &f);
    ck_assert_int_eq(way.side, NAT_INSIDE);
    ck_assert_uint_eq(get32(f.bytes + f.packet.l4 + 4), 100);
    rig_free(r);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_loop_test(tcase, the_clients_address_is_told, 0, 2);
    tcase_add_loop_test(tcase, options_of_both_ends, 0, 2);
    tcase_add_loop_test(tcase, the_address_is_in_front, 0, 2);
    tcase_add_loop_test(tcase, errors_go_to_who_sent, 0, 2);
    tcase_add_loop_test(tcase, too_big_is_told, 0, 2);
}

int main(void)
{
    return unit_run("nat_told", add);
}
