/* FULLNAT between a client and a backend that are played here, packet by packet. Every packet that comes out is looked
 * at with a checksum that is computed apart. */

#include "dataplane/csum.h"
#include "tests/unit/nat_rig.h"
#include "tests/unit/unit.h"

#include <string.h>

#define SESSIONS 1024u

struct frame {
    uint8_t bytes[1600];
    struct packet packet;
};

/* What an end says. */
struct said {
    uint8_t proto; /* 0: TCP */
    uint16_t from, to;
    uint32_t seq, ack;
    uint8_t flags;
    const uint8_t *options;
    unsigned n_options;
    const char *data;
};

static void frame_make(struct frame *f, uint8_t family, const uint8_t *source, const uint8_t *dest,
                       const struct said *say)
{
    memset(f, 0, sizeof *f);
    uint8_t *ip = f->bytes + ETHER_SIZE, proto = say->proto == 0 ? PROTO_TCP : say->proto;
    unsigned l3 = family == 4 ? IP4_SIZE : IP6_SIZE, data = say->data != NULL ? (unsigned)strlen(say->data) : 0;
    unsigned l4 = proto == PROTO_TCP ? TCP_SIZE + say->n_options : UDP_SIZE;
    uint8_t *at = ip + l3;
    put16(f->bytes + 12, family == 4 ? 0x0800 : 0x86dd);
    ip[0] = family == 4 ? 0x45 : 0x60;
    put16(ip + (family == 4 ? 2 : 4), (uint16_t)((family == 4 ? l3 : 0) + l4 + data));
    ip[family == 4 ? 9 : 6] = proto;
    ip[family == 4 ? 8 : 7] = 64;
    memcpy(ip + (family == 4 ? 12 : 8), source, family == 4 ? 4 : 16);
    memcpy(ip + (family == 4 ? 16 : 24), dest, family == 4 ? 4 : 16);
    put16(at, say->from);
    put16(at + 2, say->to);
    if (proto == PROTO_TCP) {
        put32(at + 4, say->seq);
        put32(at + 8, say->ack);
        at[12] = (uint8_t)(l4 / 4 << 4);
        at[13] = say->flags;
        put16(at + 14, 1000);
        if (say->n_options > 0)
            memcpy(at + TCP_SIZE, say->options, say->n_options);
    } else {
        put16(at + 4, (uint16_t)(UDP_SIZE + data));
    }
    if (data > 0)
        memcpy(at + l4, say->data, data);
    f->packet = (struct packet){.frame = f->bytes, .size = ETHER_SIZE + l3 + l4 + data, .room = NAT_ROOM};
    f->packet.kind = family == 4 ? PACKET_IP4 : PACKET_IP6;
    f->packet.proto = proto;
    f->packet.l3 = ETHER_SIZE;
    f->packet.l4 = (uint16_t)(ETHER_SIZE + l3);
    packet_sum_fill(&f->packet);
}

/* Is it whole and in order, as a receiver would see it? */
static void check(struct frame *f)
{
    struct packet again = {.frame = f->bytes, .size = f->packet.size};
    /* Called a million times, and libcheck writes a line for each. */
    bool ok = packet_parse(&again) == DROP_NONE && again.size == f->packet.size && again.payload == f->packet.payload &&
              packet_sum_good(&again);
    if (!ok)
        ck_abort_msg("found %u bytes, payload at %u, expected %u and %u, and good sums", again.size, again.payload,
                     f->packet.size, f->packet.payload);
    f->packet.source = again.source;
    f->packet.dest = again.dest;
    f->packet.tcp_flags = again.tcp_flags;
}

static struct nat_way translate(struct rig *r, enum nat_side from, uint32_t adjacency, struct frame *f)
{
    struct packet *packets[] = {&f->packet};
    struct nat_way way = {.adjacency = adjacency};
    nat_translate(&r->nat, from, packets, &way, 1, r->now_us);
    return way;
}

static struct nat_way pass(struct rig *r, enum nat_side from, struct frame *f)
{
    if (packet_parse(&f->packet) != DROP_NONE)
        ck_abort_msg("what is sent is no packet");
    struct nat_way way = translate(r, from, from == NAT_OUTSIDE ? 50 : 60, f);
    if (way.drop == DROP_NONE)
        check(f);
    return way;
}

static struct nat_way client_says(struct rig *r, struct frame *f, struct said say)
{
    frame_make(f, r->family, r->family == 4 ? rig_client4 : rig_client6, r->family == 4 ? rig_vip4 : rig_vip6, &say);
    return pass(r, NAT_OUTSIDE, f);
}

static struct nat_way backend_says(struct rig *r, struct frame *f, struct said say)
{
    frame_make(f, r->family, r->family == 4 ? rig_backend4 : rig_backend6, r->family == 4 ? rig_local4 : rig_local6,
               &say);
    return pass(r, NAT_INSIDE, f);
}

static uint32_t seq_of(const struct frame *f)
{
    return get32(f->bytes + f->packet.l4 + 4);
}
static uint32_t ack_of(const struct frame *f)
{
    return get32(f->bytes + f->packet.l4 + 8);
}
static const uint8_t *source_of(const struct frame *f)
{
    return f->bytes + ETHER_SIZE + (f->packet.kind == PACKET_IP4 ? 12 : 8);
}
static const uint8_t *dest_of(const struct frame *f)
{
    return source_of(f) + (f->packet.kind == PACKET_IP4 ? 4 : 16);
}

/* A connection from port `from` to `to` that is open; *local: the port the backend sees, *isn: the client's first
 * sequence number as the backend sees it. The client began with 0xfffffff0 (it wraps), the backend with 500. */
static void open_it(struct rig *r, uint16_t from, uint16_t to, uint16_t *local, uint32_t *isn)
{
    struct frame f;
    unsigned size = r->family == 4 ? 4 : 16;
    struct nat_way way = client_says(r, &f, (struct said){.from = from, .to = to, .seq = 0xfffffff0, .flags = TCP_SYN});
    ck_assert_int_eq(way.drop, DROP_NONE);
    ck_assert_int_eq(way.side, NAT_INSIDE);
    ck_assert_uint_eq(way.adjacency, r->family == 4 ? 70 : 71);
    ck_assert_mem_eq(source_of(&f), r->family == 4 ? rig_local4 : rig_local6, size);
    ck_assert_mem_eq(dest_of(&f), r->family == 4 ? rig_backend4 : rig_backend6, size);
    ck_assert_uint_eq(f.packet.dest, 8080);
    *local = f.packet.source;
    *isn = seq_of(&f);
    way = backend_says(
        r, &f, (struct said){.from = 8080, .to = *local, .seq = 500, .ack = *isn + 1, .flags = TCP_SYN | TCP_ACK});
    ck_assert_int_eq(way.drop, DROP_NONE);
    ck_assert_int_eq(way.side, NAT_OUTSIDE);
    ck_assert_uint_eq(way.adjacency, 50);
    ck_assert_mem_eq(source_of(&f), r->family == 4 ? rig_vip4 : rig_vip6, size);
    ck_assert_mem_eq(dest_of(&f), r->family == 4 ? rig_client4 : rig_client6, size);
    ck_assert_uint_eq(f.packet.source, to);
    ck_assert_uint_eq(f.packet.dest, from);
    ck_assert_uint_eq(seq_of(&f), 500);
    ck_assert_uint_eq(ack_of(&f), 0xfffffff1);
    way = client_says(r, &f, (struct said){.from = from, .to = to, .seq = 0xfffffff1, .ack = 501, .flags = TCP_ACK});
    ck_assert_int_eq(way.drop, DROP_NONE);
    ck_assert_uint_eq(seq_of(&f), *isn + 1);
    ck_assert_uint_eq(ack_of(&f), 501);
}

static const uint8_t families[] = {4, 6};

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
    check(&f);
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
    check(&f);
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
    check(&f);
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
        check(&frames[i]);
        ck_assert_uint_eq(frames[i].packet.source, frames[i / 2 * 2].packet.source);
    }
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
            check(&f);
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
    tcase_add_loop_test(tcase, the_clients_address_is_told, 0, 2);
    tcase_add_loop_test(tcase, options_of_both_ends, 0, 2);
    tcase_add_loop_test(tcase, datagrams, 0, 2);
    tcase_add_loop_test(tcase, what_belongs_to_nothing_is_reset, 0, 2);
    tcase_add_loop_test(tcase, strangers_inside_are_none_of_the_session, 0, 2);
    tcase_add_loop_test(tcase, a_forged_reset_ends_nothing, 0, 2);
    tcase_add_loop_test(tcase, a_client_that_begins_anew, 0, 2);
    tcase_add_loop_test(tcase, the_address_is_in_front, 0, 2);
    tcase_add_loop_test(tcase, corrupted_in_corrupted_out, 0, 2);
    tcase_add_loop_test(tcase, a_damaged_word_ends_nothing, 0, 2);
    tcase_add_loop_test(tcase, local_ports_rest_and_their_numbers_rise, 0, 1); /* ports are of no family */
    tcase_add_loop_test(tcase, no_room_is_said_and_passes, 0, 2);
    tcase_add_loop_test(tcase, backends_of_clients_that_are_there_already, 0, 2);
    tcase_add_loop_test(tcase, errors_go_to_who_sent, 0, 2);
    tcase_add_loop_test(tcase, too_big_is_told, 0, 2);
    tcase_add_loop_test(tcase, backends_take_their_share, 0, 2);
    tcase_add_loop_test(tcase, a_burst_is_as_its_packets_one_by_one, 0, 2);
    tcase_add_loop_test(tcase, strange_packets, 0, 2);
}

int main(void)
{
    return unit_run("nat", add);
}
