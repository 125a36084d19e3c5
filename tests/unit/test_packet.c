/* Frames taken apart, and checksums that follow what changes. */
#include "dataplane/packet.h"

#include "dataplane/csum.h"
#include "tests/unit/unit.h"

#include <string.h>

#define FRAME_MAX 256

struct frame {
    uint8_t bytes[FRAME_MAX];
    struct packet packet;
};

/* A frame of the kind with `data` bytes behind its last header, all checksums right. */
static void frame_make(struct frame *f, enum packet_kind kind, uint8_t proto, uint32_t data)
{
    memset(f, 0, sizeof *f);
    uint8_t *ip = f->bytes + ETHER_SIZE;
    uint32_t l3 = kind == PACKET_IP4 ? IP4_SIZE : IP6_SIZE;
    uint32_t l4 = proto == PROTO_TCP ? TCP_SIZE : proto == PROTO_UDP ? UDP_SIZE : ICMP_SIZE;
    put16(f->bytes + 12, kind == PACKET_IP4 ? 0x0800 : 0x86dd);
    if (kind == PACKET_IP4) {
        ip[0] = 0x45;
        put16(ip + 2, (uint16_t)(l3 + l4 + data));
        ip[8] = 64;
        ip[9] = proto;
        memcpy(ip + 12, (const uint8_t[]){192, 0, 2, 1, 198, 51, 100, 2}, 8);
    } else {
        ip[0] = 0x60;
        put16(ip + 4, (uint16_t)(l4 + data));
        ip[6] = proto;
        ip[7] = 64;
        memcpy(ip + 8, (const uint8_t[]){0x20, 1, 0xd, 0xb8}, 4);
        ip[23] = 1;
        memcpy(ip + 24, (const uint8_t[]){0x20, 1, 0xd, 0xb8}, 4);
        ip[39] = 2;
    }
    uint8_t *at = ip + l3;
    if (proto == PROTO_TCP || proto == PROTO_UDP) {
        put16(at, 40000);
        put16(at + 2, 443);
    }
    if (proto == PROTO_TCP) {
        at[12] = TCP_SIZE / 4 << 4;
        at[13] = TCP_ACK | TCP_PSH;
    } else if (proto == PROTO_UDP) {
        put16(at + 4, (uint16_t)(UDP_SIZE + data));
    } else {
        at[0] = 8;
    }
    for (uint32_t i = 0; i < data; i++)
        at[l4 + i] = (uint8_t)(i * 37 + 11);
    f->packet = (struct packet){.frame = f->bytes, .size = ETHER_SIZE + l3 + l4 + data};
    f->packet.kind = kind;
    f->packet.proto = proto;
    f->packet.l3 = ETHER_SIZE;
    f->packet.l4 = (uint16_t)(ETHER_SIZE + l3);
    packet_sum_fill(&f->packet);
}

/* RFC 1071 as its text says it, of any bytes: slow, and written apart from csum.h. */
static uint16_t slow_sum(const uint8_t *pseudo, size_t pseudo_size, const uint8_t *bytes, size_t size)
{
    uint32_t sum = 0;
    for (size_t i = 0; i < pseudo_size; i += 2)
        sum += get16(pseudo + i);
    for (size_t i = 0; i + 1 < size; i += 2)
        sum += get16(bytes + i);
    if (size % 2 == 1)
        sum += (uint32_t)bytes[size - 1] << 8;
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)sum;
}

static bool slow_good(const struct frame *f)
{
    const uint8_t *ip = f->bytes + ETHER_SIZE;
    bool v4 = f->packet.kind == PACKET_IP4;
    uint32_t size = f->packet.size - f->packet.l4;
    uint8_t pseudo[40] = {0};
    memcpy(pseudo, v4 ? ip + 12 : ip + 8, v4 ? 8 : 32);
    put16(pseudo + 34, (uint16_t)size);
    pseudo[37] = f->packet.proto;
    if (f->packet.proto == PROTO_ICMP)
        memset(pseudo, 0, sizeof pseudo);
    bool header = !v4 || slow_sum(NULL, 0, ip, IP4_SIZE) == 0xffff;
    return header && slow_sum(pseudo, sizeof pseudo, f->bytes + f->packet.l4, size) == 0xffff;
}

static const struct {
    enum packet_kind kind;
    uint8_t proto;
} kinds[] = {
    {PACKET_IP4, PROTO_TCP}, {PACKET_IP4, PROTO_UDP}, {PACKET_IP4, PROTO_ICMP},
    {PACKET_IP6, PROTO_TCP}, {PACKET_IP6, PROTO_UDP}, {PACKET_IP6, PROTO_ICMP6},
};

START_TEST(what_is_made_here_is_good_and_taken_apart)
{
    for (size_t k = 0; k < G_N_ELEMENTS(kinds); k++)
        for (uint32_t data = 0; data < 70; data++) {
            struct frame f;
            frame_make(&f, kinds[k].kind, kinds[k].proto, data);
            ck_assert(slow_good(&f));
            ck_assert(packet_sum_good(&f.packet));
            struct packet p = {.frame = f.bytes, .size = f.packet.size + 9, .room = 5}; /* padded */
            ck_assert_int_eq(packet_parse(&p), DROP_NONE);
            ck_assert_uint_eq(p.size, f.packet.size);
            ck_assert_uint_eq(p.room, 5 + 9);
            ck_assert_int_eq(p.kind, kinds[k].kind);
            ck_assert_uint_eq(p.proto, kinds[k].proto);
            ck_assert_uint_eq(p.l4, f.packet.l4);
            ck_assert_uint_eq(p.payload, f.packet.size - data);
            bool ports = p.proto == PROTO_TCP || p.proto == PROTO_UDP;
            ck_assert_uint_eq(p.source, ports ? 40000 : 0);
            ck_assert_uint_eq(p.dest, ports ? 443 : 0);
        }
}
END_TEST

START_TEST(whatever_is_cut_off_is_seen)
{
    for (size_t k = 0; k < G_N_ELEMENTS(kinds); k++) {
        struct frame f;
        frame_make(&f, kinds[k].kind, kinds[k].proto, 10);
        for (uint32_t size = 0; size < f.packet.size; size++) {
            g_autofree uint8_t *exact = g_memdup2(f.bytes, size); /* ASan watches its end */
            struct packet p = {.frame = exact, .size = size};
            enum drop drop = packet_parse(&p);
            ck_assert_msg(drop == DROP_SHORT || drop == DROP_LENGTH, "%u bytes: %s", size, drop_name(drop));
        }
    }
}
END_TEST

/* A byte of a good frame is changed: this must come of it. Offsets are from the IP header. */
START_TEST(each_reason_to_drop)
{
    enum { L4 = IP4_SIZE, L4_6 = IP6_SIZE };
    static const struct {
        enum packet_kind kind;
        uint8_t proto, at, value;
        enum drop drop;
    } rows[] = {
        {PACKET_IP4, PROTO_TCP, 0, 0x65, DROP_VERSION},
        {PACKET_IP4, PROTO_TCP, 0, 0x44, DROP_LENGTH},
        {PACKET_IP4, PROTO_TCP, 0, 0x46, DROP_OPTIONS},
        {PACKET_IP4, PROTO_TCP, 3, 19, DROP_LENGTH},
        {PACKET_IP4, PROTO_TCP, 3, 200, DROP_LENGTH},
        {PACKET_IP4, PROTO_TCP, 6, 0x20, DROP_FRAGMENT},
        {PACKET_IP4, PROTO_TCP, 7, 1, DROP_FRAGMENT},
        {PACKET_IP4, PROTO_TCP, 8, 0, DROP_TTL},
        {PACKET_IP4, PROTO_TCP, 9, 47, DROP_PROTOCOL},
        {PACKET_IP4, PROTO_TCP, 9, PROTO_ICMP6, DROP_PROTOCOL},
        {PACKET_IP4, PROTO_TCP, 12, 0, DROP_SOURCE},
        {PACKET_IP4, PROTO_TCP, 12, 127, DROP_SOURCE},
        {PACKET_IP4, PROTO_TCP, 12, 224, DROP_SOURCE},
        {PACKET_IP4, PROTO_TCP, 12, 255, DROP_SOURCE},
        {PACKET_IP4, PROTO_TCP, L4 + 12, 4 << 4, DROP_LENGTH},
        {PACKET_IP4, PROTO_TCP, L4 + 12, 15 << 4, DROP_LENGTH},
        {PACKET_IP4, PROTO_TCP, L4 + 13, 0, DROP_FLAGS},
        {PACKET_IP4, PROTO_TCP, L4 + 13, TCP_SYN | TCP_FIN, DROP_FLAGS},
        {PACKET_IP4, PROTO_TCP, L4 + 13, TCP_SYN | TCP_RST, DROP_FLAGS},
        {PACKET_IP4, PROTO_TCP, L4 + 13, TCP_FIN, DROP_FLAGS},
        {PACKET_IP4, PROTO_UDP, L4 + 5, 7, DROP_LENGTH},
        {PACKET_IP4, PROTO_UDP, L4 + 5, 19, DROP_LENGTH},
        {PACKET_IP6, PROTO_TCP, 0, 0x40, DROP_VERSION},
        {PACKET_IP6, PROTO_TCP, 5, 200, DROP_LENGTH},
        {PACKET_IP6, PROTO_TCP, 6, 44, DROP_FRAGMENT},
        {PACKET_IP6, PROTO_TCP, 6, 0, DROP_OPTIONS},
        {PACKET_IP6, PROTO_TCP, 6, 60, DROP_OPTIONS},
        {PACKET_IP6, PROTO_TCP, 6, PROTO_ICMP, DROP_PROTOCOL},
        {PACKET_IP6, PROTO_TCP, 7, 0, DROP_TTL},
        {PACKET_IP6, PROTO_TCP, 8, 0xff, DROP_SOURCE},
        {PACKET_IP6, PROTO_UDP, L4_6 + 5, 7, DROP_LENGTH},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        struct frame f;
        frame_make(&f, rows[i].kind, rows[i].proto, 10);
        uint8_t *ip = f.bytes + ETHER_SIZE;
        ip[rows[i].at] = rows[i].value;
        if (rows[i].kind == PACKET_IP4) { /* its own checksum is to be right */
            uint32_t header = MAX((uint32_t)(ip[0] & 15) * 4, 12);
            memset(ip + 10, 0, 2);
            put16(ip + 10, (uint16_t)~slow_sum(NULL, 0, ip, header));
        }
        struct packet p = {.frame = f.bytes, .size = f.packet.size};
        enum drop drop = packet_parse(&p);
        ck_assert_msg(drop == rows[i].drop, "row %zu: %s, expected %s", i, drop_name(drop), drop_name(rows[i].drop));
    }
    struct frame f;
    frame_make(&f, PACKET_IP4, PROTO_UDP, 1);
    f.bytes[ETHER_SIZE + 11] ^= 1;
    ck_assert_int_eq(packet_parse(&f.packet), DROP_HEADER_SUM);
    frame_make(&f, PACKET_IP4, PROTO_UDP, 1);
    put16(f.bytes + f.packet.l4 + 2, 0);
    ck_assert_int_eq(packet_parse(&f.packet), DROP_PORT);
    frame_make(&f, PACKET_IP6, PROTO_UDP, 1);
    memset(f.bytes + ETHER_SIZE + 8, 0, 16);
    ck_assert_int_eq(packet_parse(&f.packet), DROP_SOURCE);
    put16(f.bytes + 12, 0x8100);
    ck_assert_int_eq(packet_parse(&f.packet), DROP_ETHERTYPE);
    put16(f.bytes + 12, 0x0806);
    f.packet.size = ETHER_SIZE + 27;
    ck_assert_int_eq(packet_parse(&f.packet), DROP_SHORT);
    for (int d = 0; d < DROPS; d++)
        ck_assert(drop_name((enum drop)d)[0] != '\0' && drop_doc((enum drop)d)[0] != '\0');
}
END_TEST

/* Addresses, ports and numbers are replaced, checksums patched: as good as computed anew; what was bad stays bad. */
START_TEST(checksums_follow_changes)
{
    uint32_t seed = 1;
    for (int round = 0; round < 20000; round++) {
        struct frame f;
        size_t k = (size_t)round % G_N_ELEMENTS(kinds);
        frame_make(&f, kinds[k].kind, kinds[k].proto, (uint32_t)round % 61);
        bool corrupt = round % 7 == 0;
        uint8_t *ip = f.bytes + ETHER_SIZE, *l4 = f.bytes + f.packet.l4;
        if (corrupt)
            l4[4] ^= 0x10;
        uint64_t addresses = 0, rest = 0;
        unsigned at = kinds[k].kind == PACKET_IP4 ? 12 : 8, size = kinds[k].kind == PACKET_IP4 ? 8 : 32;
        uint8_t fresh[36];
        for (size_t i = 0; i < sizeof fresh; i++)
            fresh[i] = (uint8_t)((seed = seed * 1664525 + 1013904223) >> 24);
        addresses = csum_change(ip + at, fresh, size);
        memcpy(ip + at, fresh, size);
        if (f.packet.proto == PROTO_TCP || f.packet.proto == PROTO_UDP) {
            rest = csum_change(l4, fresh + 32, 4);
            memcpy(l4, fresh + 32, 4);
        }
        if (kinds[k].kind == PACKET_IP4)
            csum_patch(ip + 10, addresses, false);
        unsigned field = f.packet.proto == PROTO_TCP ? 16 : f.packet.proto == PROTO_UDP ? 6 : 2;
        csum_patch(l4 + field, rest + (f.packet.proto == PROTO_ICMP ? 0 : addresses), f.packet.proto == PROTO_UDP);
        ck_assert_msg(slow_good(&f) != corrupt, "round %d", round);
        ck_assert(packet_sum_good(&f.packet) != corrupt);
    }
}
END_TEST

START_TEST(udp_without_a_checksum_stays_so)
{
    struct frame f;
    frame_make(&f, PACKET_IP4, PROTO_UDP, 20);
    uint8_t *field = f.bytes + f.packet.l4 + 6;
    put16(field, 0);
    csum_patch(field, 12345, true);
    ck_assert_uint_eq(get16(field), 0);
    ck_assert(packet_sum_good(&f.packet));
    frame_make(&f, PACKET_IP6, PROTO_UDP, 20);
    put16(f.bytes + f.packet.l4 + 6, 0);
    ck_assert(!packet_sum_good(&f.packet)); /* RFC 8200, 8.1 */
    uint16_t value = 0x1234;                /* what comes out as 0 is written as the other 0 */
    csum_patch((uint8_t *)&value, value, true);
    ck_assert_uint_eq(value, 0xffff);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, what_is_made_here_is_good_and_taken_apart);
    tcase_add_test(tcase, whatever_is_cut_off_is_seen);
    tcase_add_test(tcase, each_reason_to_drop);
    tcase_add_test(tcase, checksums_follow_changes);
    tcase_add_test(tcase, udp_without_a_checksum_stays_so);
}

int main(void)
{
    return unit_run("packet", add);
}
