/* FULLNAT: sessions from beginning to end, and what is no part of one. What the ends are told is in test_nat_told.c. */

#include "tests/unit/nat_ends.h"
#include "tests/unit/unit.h"

#include <string.h>

START_TEST(a_connection_from_beginning_to_end)
{
    struct frame f;
    uint16_t port;
    uint32_t isn;
    struct rig *r = rig_new(families[_i], SESSIONS);
    open_it(r, 40000, 80, &port, &isn);
    ck_assert_uint_eq(r->nat.states[NAT_ESTABLISHED], 1);
    client_says(r, &f,
                (struct said){.from = 40000,
                              .to = 80,
                              .seq = 0xfffffff1,
                              .ack = 501,
                              .flags = TCP_ACK | TCP_PSH,
                              .data = "a question with an odd number"});
    ck_assert_uint_eq(seq_of(&f), isn + 1);
    ck_assert_mem_eq(f.bytes + f.packet.payload, "a question", 10);
    ck_assert_uint_eq(f.bytes[ETHER_SIZE + (r->family == 4 ? 8 : 7)], 63); /* a hop */
    backend_says(
        r, &f,
        (struct said){
            .from = 8080, .to = port, .seq = 501, .ack = isn + 30, .flags = TCP_ACK | TCP_FIN, .data = "answer"});
    ck_assert_uint_eq(ack_of(&f), 0xfffffff1 + 29);
    ck_assert_uint_eq(r->nat.states[NAT_CLOSING], 1);
    client_says(r, &f,
                (struct said){.from = 40000, .to = 80, .seq = 0xfffffff1 + 29, .ack = 508, .flags = TCP_ACK | TCP_FIN});
    ck_assert_uint_eq(r->nat.states[NAT_CLOSING], 1); /* the backend may not have heard it */
    struct nat_way way =
        backend_says(r, &f, (struct said){.from = 8080, .to = port, .seq = 508, .ack = isn + 31, .flags = TCP_ACK});
    ck_assert_int_eq(way.drop, DROP_NONE);
    ck_assert_uint_eq(r->nat.states[NAT_CLOSED], 1);
    r->now_us += 1 * SECOND;
    nat_expire(&r->nat, r->now_us, 100);
    ck_assert_uint_eq(r->nat.states[NAT_CLOSED], 1);
    r->now_us += 2 * SECOND;
    nat_expire(&r->nat, r->now_us, 100);
    ck_assert_uint_eq(r->nat.states[NAT_FREE], SESSIONS);
    rig_free(r);
}
END_TEST

START_TEST(datagrams)
{
    struct frame f;
    struct rig *r = rig_new(families[_i], SESSIONS);
    client_says(r, &f, (struct said){.proto = PROTO_UDP, .from = 5000, .to = 53, .data = "ask"});
    uint16_t port = f.packet.source;
    ck_assert_uint_eq(f.packet.dest, 8080);
    struct nat_way way =
        backend_says(r, &f, (struct said){.proto = PROTO_UDP, .from = 8080, .to = port, .data = "told"});
    ck_assert_int_eq(way.side, NAT_OUTSIDE);
    ck_assert_uint_eq(f.packet.source, 53);
    ck_assert_uint_eq(f.packet.dest, 5000);
    client_says(r, &f, (struct said){.proto = PROTO_UDP, .from = 5000, .to = 53, .data = "again"});
    ck_assert_uint_eq(f.packet.source, port);
    ck_assert_uint_eq(r->nat.states[NAT_DATAGRAMS], 1);
    for (int i = 0; i < 5; i++) { /* used all the time: it stays */
        r->now_us += 45 * SECOND;
        nat_expire(&r->nat, r->now_us, 10);
        client_says(r, &f, (struct said){.proto = PROTO_UDP, .from = 5000, .to = 53, .data = "again"});
        ck_assert_uint_eq(f.packet.source, port);
    }
    for (int i = 0; i < 3; i++) {
        r->now_us += 31 * SECOND;
        nat_expire(&r->nat, r->now_us, 10);
    }
    ck_assert_uint_eq(r->nat.states[NAT_FREE], SESSIONS);
    rig_free(r);
}
END_TEST

START_TEST(what_belongs_to_nothing_is_reset)
{
    struct frame f;
    struct rig *r = rig_new(families[_i], SESSIONS);
    struct nat_way way =
        client_says(r, &f, (struct said){.from = 4000, .to = 80, .seq = 77, .ack = 88, .flags = TCP_ACK, .data = "x"});
    ck_assert_int_eq(way.side, NAT_OUTSIDE);
    ck_assert_uint_eq(way.adjacency, 50);
    ck_assert_uint_eq(f.packet.tcp_flags, TCP_RST);
    ck_assert_uint_eq(seq_of(&f), 88);
    ck_assert_uint_eq(f.packet.source, 80);
    ck_assert_uint_eq(f.packet.dest, 4000);
    ck_assert_uint_eq(f.packet.size, f.packet.payload);
    way = backend_says(r, &f, (struct said){.from = 8080, .to = 4000, .seq = 77, .flags = TCP_SYN});
    ck_assert_int_eq(way.side, NAT_INSIDE);
    ck_assert_uint_eq(f.packet.tcp_flags, TCP_RST | TCP_ACK);
    ck_assert_uint_eq(ack_of(&f), 78);
    ck_assert_int_eq(client_says(r, &f, (struct said){.from = 4000, .to = 80, .seq = 77, .flags = TCP_RST}).drop,
                     DROP_SESSION); /* never a reset for a reset */
    ck_assert_int_eq(client_says(r, &f, (struct said){.from = 4000, .to = 99, .seq = 77, .flags = TCP_SYN}).drop,
                     DROP_SERVICE);
    way = client_says(r, &f, (struct said){.from = 4000, .to = 81, .seq = 77, .flags = TCP_SYN}); /* nobody is there */
    ck_assert_uint_eq(f.packet.tcp_flags, TCP_RST | TCP_ACK);
    struct said bad = {.from = 4000, .to = 80, .seq = 77, .ack = 88, .flags = TCP_ACK, .data = "x"};
    frame_make(&f, r->family, r->family == 4 ? rig_client4 : rig_client6, r->family == 4 ? rig_vip4 : rig_vip6, &bad);
    f.bytes[f.packet.size - 1] ^= 1;
    ck_assert_int_eq(packet_parse(&f.packet), DROP_NONE);
    ck_assert_int_eq(translate(r, NAT_OUTSIDE, 50, &f).drop, DROP_SESSION);
    ck_assert_uint_eq(r->nat.resets, 3);
    rig_free(r);
}
END_TEST

/* Only the backend of a session may say something in it. */
START_TEST(strangers_inside_are_none_of_the_session)
{
    struct frame f;
    uint16_t port;
    uint32_t isn;
    struct rig *r = rig_new(families[_i], SESSIONS);
    open_it(r, 40000, 80, &port, &isn);
    struct said say = {.from = 8080, .to = port, .seq = 501, .ack = isn + 1, .flags = TCP_RST};
    uint8_t stranger[16];
    memcpy(stranger, r->family == 4 ? rig_backend4 : rig_backend6, 16);
    stranger[2] ^= 1;
    frame_make(&f, r->family, stranger, r->family == 4 ? rig_local4 : rig_local6, &say);
    ck_assert_int_eq(pass(r, NAT_INSIDE, &f).drop, DROP_SESSION);
    say.flags = TCP_ACK; /* and nobody is reset in another's name */
    frame_make(&f, r->family, r->family == 4 ? rig_backend4 : rig_backend6, stranger, &say);
    ck_assert_int_eq(pass(r, NAT_INSIDE, &f).drop, DROP_FOREIGN);
    say.flags = TCP_RST;
    say.from = 8081;
    frame_make(&f, r->family, r->family == 4 ? rig_backend4 : rig_backend6, r->family == 4 ? rig_local4 : rig_local6,
               &say);
    ck_assert_int_eq(pass(r, NAT_INSIDE, &f).drop, DROP_SESSION);
    ck_assert_uint_eq(r->nat.states[NAT_ESTABLISHED], 1);
    rig_free(r);
}
END_TEST

/* A reset that nobody meant: the end that is said to have sent it goes on. */
START_TEST(a_forged_reset_ends_nothing)
{
    struct frame f;
    uint16_t port;
    uint32_t isn;
    struct rig *r = rig_new(families[_i], SESSIONS);
    open_it(r, 40000, 80, &port, &isn);
    client_says(r, &f, (struct said){.from = 40000, .to = 80, .seq = 5, .flags = TCP_RST});
    ck_assert_uint_eq(r->nat.states[NAT_CLOSED], 1);
    backend_says(r, &f, (struct said){.from = 8080, .to = port, .seq = 501, .ack = isn + 1, .flags = TCP_ACK});
    ck_assert_uint_eq(r->nat.states[NAT_CLOSED], 1); /* the other end's word does not count */
    client_says(r, &f, (struct said){.from = 40000, .to = 80, .seq = 0xfffffff1, .ack = 501, .flags = TCP_ACK});
    ck_assert_uint_eq(r->nat.states[NAT_ESTABLISHED], 1);
    const struct said ends[] = {
        {.from = 40000, .to = 80, .seq = 0xfffffff1, .flags = TCP_RST},
        {.from = 40000, .to = 80, .seq = 0xfffffff1, .ack = 501, .flags = TCP_ACK | TCP_FIN},
    };
    for (unsigned i = 0; i < 2; i++) { /* nor does one that was damaged on its way */
        frame_make(&f, r->family, r->family == 4 ? rig_client4 : rig_client6, r->family == 4 ? rig_vip4 : rig_vip6,
                   &ends[i]);
        f.bytes[f.packet.l4 + 15] ^= 1;
        ck_assert_int_eq(packet_parse(&f.packet), DROP_NONE);
        translate(r, NAT_OUTSIDE, 50, &f);
        ck_assert_uint_eq(r->nat.states[NAT_ESTABLISHED], 1);
    }
    rig_free(r);
}
END_TEST

/* The same client port begins anew. */
START_TEST(a_client_that_begins_anew)
{
    struct frame f;
    uint16_t port;
    uint32_t isn;
    struct rig *r = rig_new(families[_i], SESSIONS);
    client_says(r, &f, (struct said){.from = 7, .to = 443, .seq = 1000, .flags = TCP_SYN});
    port = f.packet.source;
    isn = seq_of(&f);
    client_says(r, &f, (struct said){.from = 7, .to = 443, .seq = 1000, .flags = TCP_SYN});
    ck_assert_uint_eq(f.packet.source, port); /* sent again */
    ck_assert_uint_eq(seq_of(&f), isn);
    client_says(r, &f, (struct said){.from = 7, .to = 443, .seq = 2000, .flags = TCP_SYN});
    ck_assert_uint_ne(f.packet.source, port);
    rig_free(r);
    /* On an open session its backend decides; one that had forgotten it takes it, and is told the address again. */
    r = rig_new(families[_i], SESSIONS);
    open_it(r, 40000, 443, &port, &isn);
    client_says(r, &f, (struct said){.from = 40000, .to = 443, .seq = 7000, .flags = TCP_SYN});
    ck_assert_uint_eq(f.packet.source, port);
    uint32_t fresh = seq_of(&f);
    backend_says(r, &f,
                 (struct said){.from = 8080, .to = port, .seq = 900, .ack = fresh + 1, .flags = TCP_SYN | TCP_ACK});
    ck_assert_uint_eq(ack_of(&f), 7001);
    ck_assert_uint_eq(r->nat.states[NAT_SYN_RECEIVED], 1);
    client_says(r, &f, (struct said){.from = 40000, .to = 443, .seq = 7001, .ack = 901, .flags = TCP_ACK, .data = "x"});
    ck_assert_uint_gt(f.packet.payload - f.packet.l4, TCP_SIZE);
    ck_assert_uint_eq(r->nat.states[NAT_ESTABLISHED], 1);
    rig_free(r);
}
END_TEST

START_TEST(corrupted_in_corrupted_out)
{
    struct frame f;
    uint16_t port;
    uint32_t isn;
    struct rig *r = rig_new(families[_i], SESSIONS);
    open_it(r, 40000, 443, &port, &isn);
    struct said say = {.from = 40000, .to = 443, .seq = 0xfffffff1, .ack = 501, .flags = TCP_ACK, .data = "hello"};
    for (unsigned bit = 0; bit < 40; bit++) {
        frame_make(&f, r->family, r->family == 4 ? rig_client4 : rig_client6, r->family == 4 ? rig_vip4 : rig_vip6,
                   &say);
        f.bytes[f.packet.size - 1 - bit / 8] ^= (uint8_t)(1u << bit % 8);
        ck_assert_int_eq(packet_parse(&f.packet), DROP_NONE);
        ck_assert_int_eq(translate(r, NAT_OUTSIDE, 50, &f).drop, DROP_NONE);
        struct packet again = {.frame = f.bytes, .size = f.packet.size};
        ck_assert_int_eq(packet_parse(&again), DROP_NONE);
        ck_assert(!packet_sum_good(&again));
    }
    rig_free(r);
}
END_TEST

/* Says that the client has all of the backend's stream, or with a bit turned. */
static struct nat_way client_has_all(struct rig *r, bool damaged)
{
    struct frame f;
    struct said say = {.from = 40000, .to = 80, .seq = 0xfffffff2, .ack = 502, .flags = TCP_ACK};
    frame_make(&f, r->family, r->family == 4 ? rig_client4 : rig_client6, r->family == 4 ? rig_vip4 : rig_vip6, &say);
    f.bytes[f.packet.l4 + 14] ^= damaged; /* its window */
    ck_assert_int_eq(packet_parse(&f.packet), DROP_NONE);
    return translate(r, NAT_OUTSIDE, 50, &f);
}

/* Both have ended; that the client knows of the backend's end is believed when it is said by what is whole. */
START_TEST(a_damaged_word_ends_nothing)
{
    struct frame f;
    uint16_t port;
    uint32_t isn;
    struct rig *r = rig_new(families[_i], SESSIONS);
    open_it(r, 40000, 80, &port, &isn);
    backend_says(r, &f,
                 (struct said){.from = 8080, .to = port, .seq = 501, .ack = isn + 1, .flags = TCP_ACK | TCP_FIN});
    client_says(r, &f,
                (struct said){.from = 40000, .to = 80, .seq = 0xfffffff1, .ack = 501, .flags = TCP_ACK | TCP_FIN});
    backend_says(r, &f, (struct said){.from = 8080, .to = port, .seq = 502, .ack = isn + 2, .flags = TCP_ACK});
    ck_assert_int_eq(client_has_all(r, true).drop, DROP_NONE);
    ck_assert_uint_eq(r->nat.states[NAT_CLOSING], 1);
    ck_assert_int_eq(client_has_all(r, false).drop, DROP_NONE);
    ck_assert_uint_eq(r->nat.states[NAT_CLOSED], 1);
    rig_free(r);
}
END_TEST

/* The same client port again and again: another local port each time while there are others, and where one is used
 * anew the backend sees a higher number. */
START_TEST(local_ports_rest_and_their_numbers_rise)
{
    struct frame f;
    struct rig *r = rig_new(families[_i], 4);
    uint16_t port, first = 0;
    uint32_t isn, last_isn = 0;
    for (uint32_t i = 0; i < NAT_PORTS + 3; i++) {
        open_it(r, 40000, 80, &port, &isn);
        first = i == 0 ? port : first;
        if (i > 0 && i < NAT_PORTS)
            ck_assert_uint_ne(port, first);
        if (i == NAT_PORTS) {
            ck_assert_uint_eq(port, first);
            ck_assert_int_gt((int32_t)(isn - last_isn), 0);
        }
        /* The first one has sent 1.5 GB, as fast as the clock does not run. */
        uint32_t sent = i == 0 ? 1500000000u : 0;
        client_says(
            r, &f,
            (struct said){.from = 40000, .to = 80, .seq = 0xfffffff1 + sent, .ack = 501, .flags = TCP_ACK | TCP_FIN});
        last_isn = i == 0 ? seq_of(&f) : last_isn;
        backend_says(
            r, &f,
            (struct said){.from = 8080, .to = port, .seq = 501, .ack = isn + sent + 2, .flags = TCP_ACK | TCP_FIN});
        ck_assert_uint_eq(r->nat.states[NAT_CLOSING], 1);
        client_says(r, &f,
                    (struct said){.from = 40000, .to = 80, .seq = 0xfffffff2 + sent, .ack = 502, .flags = TCP_ACK});
        ck_assert_uint_eq(r->nat.states[NAT_CLOSED], 1);
    }
    rig_free(r);
}
END_TEST

START_TEST(no_room_is_said_and_passes)
{
    struct frame f;
    struct rig *r = rig_new(families[_i], 4);
    for (uint16_t i = 0; i < 4; i++)
        ck_assert_int_eq(
            client_says(r, &f, (struct said){.from = (uint16_t)(100 + i), .to = 80, .flags = TCP_SYN}).drop, DROP_NONE);
    ck_assert_int_eq(client_says(r, &f, (struct said){.from = 200, .to = 80, .flags = TCP_SYN}).drop, DROP_SESSIONS);
    ck_assert_int_eq(client_says(r, &f, (struct said){.from = 101, .to = 80, .flags = TCP_SYN}).drop, DROP_NONE);
    r->now_us += 11 * SECOND;
    nat_expire(&r->nat, r->now_us, 2); /* a little at a time */
    ck_assert_uint_eq(r->nat.states[NAT_FREE], 2);
    nat_expire(&r->nat, r->now_us, 10);
    ck_assert_uint_eq(r->nat.states[NAT_FREE], 4);
    ck_assert_int_eq(client_says(r, &f, (struct said){.from = 200, .to = 80, .flags = TCP_SYN}).drop, DROP_NONE);
    r->locals[r->family == 4 ? 0 : 1].n_free = 0;
    ck_assert_int_eq(client_says(r, &f, (struct said){.from = 201, .to = 80, .flags = TCP_SYN}).drop, DROP_PORTS);
    rig_free(r);
}
END_TEST

/* A session that began with a cookie, whose backend is slow, remembers another connection, refuses. */
START_TEST(backends_of_clients_that_are_there_already)
{
    struct frame f;
    struct rig *r = rig_new(families[_i], SESSIONS);
    r->nat.cookies_above = 0;
    const struct said syn = {.from = 7, .to = 80, .seq = 1000, .flags = TCP_SYN};
    struct nat_way way = client_says(r, &f, syn);
    ck_assert_int_eq(way.side, NAT_OUTSIDE);
    ck_assert_uint_eq(f.packet.tcp_flags, TCP_SYN | TCP_ACK);
    ck_assert_uint_eq(ack_of(&f), 1001);
    uint32_t cookie = seq_of(&f);
    ck_assert_uint_eq(r->nat.created, 0);
    const struct said ask = {.from = 7, .to = 80, .seq = 1001, .ack = cookie + 1, .flags = TCP_ACK, .data = "ask"};
    struct said forged = ask;
    forged.ack += 256;
    ck_assert_int_eq(client_says(r, &f, forged).drop, DROP_COOKIE);
    ck_assert_int_eq(client_says(r, &f, ask).side, NAT_INSIDE);
    ck_assert_uint_eq(f.packet.tcp_flags, TCP_SYN);
    uint32_t isn = seq_of(&f);
    uint16_t port = f.packet.source;
    ck_assert_uint_eq(r->nat.states[NAT_CONNECTING], 1);
    /* It hears nothing: asked again, in the same words. */
    r->now_us += SECOND / 4;
    nat_expire(&r->nat, r->now_us, 10);
    const struct nat_frame *out = nat_next_out(&r->nat);
    ck_assert_ptr_nonnull(out);
    ck_assert_uint_eq(get32(out->bytes + f.packet.l4 + 4), isn);
    ck_assert_ptr_null(nat_next_out(&r->nat));
    /* It remembers a connection of that port: that one is ended, and it is asked anew. */
    way = backend_says(r, &f, (struct said){.from = 8080, .to = port, .seq = 9, .ack = isn - 77, .flags = TCP_ACK});
    ck_assert_int_eq(way.side, NAT_INSIDE);
    ck_assert_uint_eq(f.packet.tcp_flags, TCP_RST);
    ck_assert_uint_eq(seq_of(&f), isn - 77);
    nat_expire(&r->nat, r->now_us += WHEEL_TICK_US, 10);
    out = nat_next_out(&r->nat);
    ck_assert_ptr_nonnull(out);
    ck_assert_uint_eq(out->bytes[f.packet.l4 + 13], TCP_SYN);
    /* It takes it: what the client had said comes behind. */
    way = backend_says(r, &f,
                       (struct said){.from = 8080, .to = port, .seq = 500, .ack = isn + 1, .flags = TCP_SYN | TCP_ACK});
    ck_assert_int_eq(way.side, NAT_INSIDE);
    ck_assert_uint_eq(f.packet.tcp_flags, TCP_ACK);
    ck_assert_uint_eq(seq_of(&f), isn + 1);
    ck_assert_uint_eq(ack_of(&f), 501);
    out = nat_next_out(&r->nat);
    ck_assert_ptr_nonnull(out);
    ck_assert_mem_eq(out->bytes + f.packet.payload, "ask", 3);
    ck_assert_ptr_null(nat_next_out(&r->nat));
    backend_says(
        r, &f, (struct said){.from = 8080, .to = port, .seq = 501, .ack = isn + 4, .flags = TCP_ACK, .data = "answer"});
    ck_assert_uint_eq(seq_of(&f), cookie + 1);
    ck_assert_uint_eq(ack_of(&f), 1004);
    /* Another one refuses: the client is told so, where it expects it. */
    client_says(r, &f, (struct said){.from = 8, .to = 80, .seq = 1000, .flags = TCP_SYN});
    cookie = seq_of(&f);
    client_says(r, &f, (struct said){.from = 8, .to = 80, .seq = 1001, .ack = cookie + 1, .flags = TCP_ACK});
    isn = seq_of(&f);
    way = backend_says(r, &f,
                       (struct said){.from = 8080, .to = f.packet.source, .ack = isn + 1, .flags = TCP_RST | TCP_ACK});
    ck_assert_int_eq(way.side, NAT_OUTSIDE);
    ck_assert_uint_eq(f.packet.tcp_flags, TCP_RST);
    ck_assert_uint_eq(seq_of(&f), cookie + 1);
    ck_assert_uint_eq(f.packet.dest, 8);
    /* And one never answers. */
    client_says(r, &f, (struct said){.from = 9, .to = 80, .seq = 1000, .flags = TCP_SYN});
    cookie = seq_of(&f);
    client_says(r, &f, (struct said){.from = 9, .to = 80, .seq = 1001, .ack = cookie + 1, .flags = TCP_ACK});
    unsigned syns = 0, resets = 0;
    for (int i = 0; i < 700; i++) {
        nat_expire(&r->nat, r->now_us += WHEEL_TICK_US, 10);
        while ((out = nat_next_out(&r->nat)) != NULL) {
            syns += out->bytes[f.packet.l4 + 13] == TCP_SYN;
            resets += out->bytes[f.packet.l4 + 13] == TCP_RST && out->way.side == NAT_OUTSIDE;
        }
    }
    ck_assert_uint_eq(syns, 4);
    ck_assert_uint_eq(resets, 1);
    rig_free(r);
}
END_TEST

/* Two backends, weights 1 to 3 by the table: in turn they have shares of 1 to 3; one that drains gets no more and keeps
 * what it has; one that is full leaves it to the other, until that is full too. */
START_TEST(backends_take_their_share)
{
    struct frame f;
    struct rig *r = rig_new(families[_i], SESSIONS);
    static const uint16_t pick[] = {0, 1, 1, 1}, drained[] = {0};
    struct nat_backend two[2] = {r->backends[_i], r->backends[_i]};
    two[0].slot = 2;
    two[0].adjacency = 80;
    two[1].slot = 3;
    two[1].adjacency = 81;
    r->services[0].backends = two;
    r->services[0].pick = pick;
    r->services[0].n_pick = 4;
    r->services[0].flags = NAT_IN_TURN;
    uint16_t port = 1000;
    for (int i = 0; i < 40; i++)
        client_says(r, &f, (struct said){.from = port++, .to = 80, .seq = 1, .flags = TCP_SYN});
    ck_assert_uint_eq(r->backend_sessions[2], 10);
    ck_assert_uint_eq(r->backend_sessions[3], 30);
    r->services[0].flags = 0; /* by client: the same one for the same client, and both have some */
    for (int i = 0; i < 400; i++)
        client_says(r, &f, (struct said){.from = port++, .to = 80, .seq = 1, .flags = TCP_SYN});
    ck_assert_uint_gt(r->backend_sessions[2], 60);
    ck_assert_uint_lt(r->backend_sessions[2], 160);
    r->services[0].pick = drained;
    r->services[0].n_pick = 1;
    uint32_t kept = r->backend_sessions[3];
    client_says(r, &f, (struct said){.from = 1001, .to = 80, .seq = 1, .flags = TCP_SYN}); /* sent again */
    for (int i = 0; i < 10; i++) {
        struct said syn = {.from = port++, .to = 80, .seq = 1, .flags = TCP_SYN};
        ck_assert_uint_eq(client_says(r, &f, syn).adjacency, 80);
    }
    ck_assert_uint_eq(r->backend_sessions[3], kept);
    r->services[0].pick = pick;
    r->services[0].n_pick = 4;
    two[0].limit = r->backend_sessions[2] + 1;
    two[1].limit = r->backend_sessions[3] + 5;
    for (int i = 0; i < 6; i++)
        ck_assert_int_eq(client_says(r, &f, (struct said){.from = port++, .to = 80, .flags = TCP_SYN}).drop, DROP_NONE);
    ck_assert_int_eq(client_says(r, &f, (struct said){.from = port++, .to = 80, .flags = TCP_SYN}).drop, DROP_FULL);
    ck_assert_uint_eq(r->backend_sessions[2], two[0].limit);
    ck_assert_uint_eq(r->backend_sessions[3], two[1].limit);
    r->now_us += 11 * SECOND; /* who ends makes room */
    nat_expire(&r->nat, r->now_us, SESSIONS);
    ck_assert_uint_eq(r->backend_sessions[2] + r->backend_sessions[3], 0);
    ck_assert_int_eq(client_says(r, &f, (struct said){.from = port++, .to = 80, .flags = TCP_SYN}).drop, DROP_NONE);
    rig_free(r);
}
END_TEST

/* Packets that come together: what one begins the next finds. */
START_TEST(a_burst_is_as_its_packets_one_by_one)
{
    struct rig *r = rig_new(families[_i], SESSIONS);
    static struct frame frames[NAT_BURST];
    struct packet *packets[NAT_BURST];
    struct nat_way ways[NAT_BURST];
    for (uint16_t i = 0; i < NAT_BURST; i++) { /* each SYN twice */
        struct said say = {.from = (uint16_t)(500 + i / 2), .to = 80, .seq = 9, .flags = TCP_SYN};
        frame_make(&frames[i], r->family, r->family == 4 ? rig_client4 : rig_client6,
                   r->family == 4 ? rig_vip4 : rig_vip6, &say);
        packets[i] = &frames[i].packet;
        ck_assert_int_eq(packet_parse(packets[i]), DROP_NONE);
        ways[i] = (struct nat_way){.adjacency = 50};
    }
    nat_translate(&r->nat, NAT_OUTSIDE, packets, ways, NAT_BURST, r->now_us);
    ck_assert_uint_eq(r->nat.created, NAT_BURST / 2);
    for (uint16_t i = 0; i < NAT_BURST; i++) {
        ck_assert_int_eq(ways[i].drop, DROP_NONE);
        frame_check(&frames[i]);
        ck_assert_uint_eq(frames[i].packet.source, frames[i / 2 * 2].packet.source);
    }
    rig_free(r);
}
END_TEST

/* A session that ends in a burst is over for those behind in it, though it was found for them before. */
START_TEST(what_ends_in_a_burst_is_over)
{
    struct rig *r = rig_new(families[_i], SESSIONS);
    struct frame f, frames[2];
    struct packet *packets[] = {&frames[0].packet, &frames[1].packet};
    struct nat_way ways[] = {{.adjacency = 50}, {.adjacency = 50}};
    uint16_t port;
    uint32_t isn;
    const struct said says[] = {
        {.from = 40000, .to = 80, .seq = 9, .flags = TCP_SYN},
        {.from = 40000, .to = 80, .seq = 0xfffffff1, .ack = 501, .flags = TCP_ACK, .data = "late"},
    };
    open_it(r, 40000, 80, &port, &isn);
    client_says(r, &f, (struct said){.from = 40000, .to = 80, .seq = 0xfffffff1, .flags = TCP_RST});
    ck_assert_uint_eq(r->nat.states[NAT_CLOSED], 1);
    r->nat.cookies_above = 0; /* nothing begins in its place */
    for (unsigned i = 0; i < 2; i++) {
        frame_make(&frames[i], r->family, r->family == 4 ? rig_client4 : rig_client6,
                   r->family == 4 ? rig_vip4 : rig_vip6, &says[i]);
        ck_assert_int_eq(packet_parse(packets[i]), DROP_NONE);
    }
    nat_translate(&r->nat, NAT_OUTSIDE, packets, ways, 2, r->now_us);
    ck_assert_int_eq(ways[0].side, NAT_OUTSIDE); /* a cookie */
    ck_assert_int_eq(ways[1].drop, DROP_COOKIE);
    rig_free(r);
}
END_TEST

/* Any bytes from both sides: nothing is read or written outside a frame, every session can be accounted for. */
START_TEST(strange_packets)
{
    struct rig *r = rig_new(families[_i], 64);
    uint32_t seed = 5;
    for (int i = 0; i < 200000; i++) {
        struct frame f;
        seed = seed * 1664525 + 1013904223;
        uint8_t options[40];
        for (unsigned k = 0; k < sizeof options; k++)
            options[k] = (uint8_t)(((seed = seed * 1664525 + 1013904223) >> 24) % (k % 3 == 0 ? 9u : 255u));
        struct said say = {.proto = seed >> 8 & 1 ? PROTO_TCP : PROTO_UDP,
                           .from = (uint16_t)(1 + (seed >> 9) % 900),
                           .to = (const uint16_t[]){80, 443, 53, 8080}[seed >> 20 & 3],
                           .seq = seed,
                           .ack = ~seed,
                           .flags = (uint8_t)(seed >> 16 & 0x17),
                           .options = options,
                           .n_options = seed >> 5 & 0x28,
                           .data = seed & 64 ? "data" : NULL};
        bool outside = seed >> 23 & 1;
        if (!outside) {
            say.from = 8080;
            say.to = (uint16_t)(NAT_PORT_MIN + (seed >> 9) % 200);
        }
        frame_make(&f, r->family,
                   outside ? (r->family == 4 ? rig_client4 : rig_client6)
                           : (r->family == 4 ? rig_backend4 : rig_backend6),
                   outside ? (r->family == 4 ? rig_vip4 : rig_vip6) : (r->family == 4 ? rig_local4 : rig_local6), &say);
        if (packet_parse(&f.packet) != DROP_NONE)
            continue;
        f.packet.room = seed >> 3 & 31;
        if (translate(r, outside ? NAT_OUTSIDE : NAT_INSIDE, 50, &f).drop == DROP_NONE)
            frame_check(&f);
        r->now_us += seed % 50000;
        nat_expire(&r->nat, r->now_us, 4);
    }
    ck_assert_uint_gt(r->nat.created, 1000);
    rig_free(r);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_loop_test(tcase, a_connection_from_beginning_to_end, 0, 2);
    tcase_add_loop_test(tcase, datagrams, 0, 2);
    tcase_add_loop_test(tcase, what_belongs_to_nothing_is_reset, 0, 2);
    tcase_add_loop_test(tcase, strangers_inside_are_none_of_the_session, 0, 2);
    tcase_add_loop_test(tcase, a_forged_reset_ends_nothing, 0, 2);
    tcase_add_loop_test(tcase, a_client_that_begins_anew, 0, 2);
    tcase_add_loop_test(tcase, corrupted_in_corrupted_out, 0, 2);
    tcase_add_loop_test(tcase, a_damaged_word_ends_nothing, 0, 2);
    tcase_add_loop_test(tcase, local_ports_rest_and_their_numbers_rise, 0, 1); /* ports are of no family */
    tcase_add_loop_test(tcase, no_room_is_said_and_passes, 0, 2);
    tcase_add_loop_test(tcase, backends_of_clients_that_are_there_already, 0, 2);
    tcase_add_loop_test(tcase, backends_take_their_share, 0, 2);
    tcase_add_loop_test(tcase, a_burst_is_as_its_packets_one_by_one, 0, 2);
    tcase_add_loop_test(tcase, what_ends_in_a_burst_is_over, 0, 2);
    tcase_add_loop_test(tcase, strange_packets, 0, 2);
}

int main(void)
{
    return unit_run("nat", add);
}
