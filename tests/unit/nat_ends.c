#include "tests/unit/nat_ends.h"

#include "tests/unit/unit.h"

#include <string.h>

const uint8_t families[2] = {4, 6};

void frame_make(struct frame *f, uint8_t family, const uint8_t *source, const uint8_t *dest, const struct said *say)
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

void frame_check(struct frame *f)
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

struct nat_way translate(struct rig *r, enum nat_side from, uint32_t adjacency, struct frame *f)
{
    struct packet *packets[] = {&f->packet};
    struct nat_way way = {.adjacency = adjacency};
    nat_translate(&r->nat, from, packets, &way, 1, r->now_us);
    return way;
}

struct nat_way pass(struct rig *r, enum nat_side from, struct frame *f)
{
    if (packet_parse(&f->packet) != DROP_NONE)
        ck_abort_msg("what is sent is no packet");
    struct nat_way way = translate(r, from, from == NAT_OUTSIDE ? 50 : 60, f);
    if (way.drop == DROP_NONE)
        frame_check(f);
    return way;
}

struct nat_way client_says(struct rig *r, struct frame *f, struct said say)
{
    frame_make(f, r->family, r->family == 4 ? rig_client4 : rig_client6, r->family == 4 ? rig_vip4 : rig_vip6, &say);
    return pass(r, NAT_OUTSIDE, f);
}

struct nat_way backend_says(struct rig *r, struct frame *f, struct said say)
{
    frame_make(f, r->family, r->family == 4 ? rig_backend4 : rig_backend6, r->family == 4 ? rig_local4 : rig_local6,
               &say);
    return pass(r, NAT_INSIDE, f);
}

uint32_t seq_of(const struct frame *f)
{
    return get32(f->bytes + f->packet.l4 + 4);
}
uint32_t ack_of(const struct frame *f)
{
    return get32(f->bytes + f->packet.l4 + 8);
}
const uint8_t *source_of(const struct frame *f)
{
    return f->bytes + ETHER_SIZE + (f->packet.kind == PACKET_IP4 ? 12 : 8);
}
const uint8_t *dest_of(const struct frame *f)
{
    return source_of(f) + (f->packet.kind == PACKET_IP4 ? 4 : 16);
}

void open_it(struct rig *r, uint16_t from, uint16_t to, uint16_t *local, uint32_t *isn)
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
