/* A forwarder between a client and a room that two lines lead to: neighbours, BFD, lines and connections in one, on
 * wires in memory and in virtual time. */
#include "dataplane/forwarder.h"

#include "tests/unit/dptable.h"
#include "tests/unit/faultwire.h"
#include "tests/unit/nat_rig.h"
#include "tests/unit/tcpend.h"
#include "tests/unit/unit.h"
#include "tests/unit/wirecheck.h"

#include <malloc.h>
#include <stdio.h>

#define PORTS 3u
#define FAR 10u /* receivers of frames: ports of the forwarder, and behind FAR their other ends */
#define BFD_US 10000u

struct far {
    uint8_t own[16], other[16], mac[6]; /* addresses: its own, the forwarder's there */
    struct bfd bfd;
    bool deaf, mute; /* nothing arrives there; nothing comes from there */
    bool known;      /* the forwarder has asked for it */
    unsigned tcp;
};
struct site {
    uint8_t family;
    struct forwarder *f;
    struct rig *rig; /* its nat is not used, only its memory's sizes are alike */
    struct dptable pieces;
    struct fib *table;
    struct wire wire;
    struct tcpend client, backend;
    struct far far[PORTS];
    unsigned answers_by; /* line that the backend's room uses; 0: the client's own port */
    unsigned turns;      /* of the forwarder, that it had asked for */
    uint64_t judged;     /* frames that left it: their sums were looked at */
    uint64_t damaged;    /* of those, so many that had come in damaged */
    uint64_t now_us;
};

static const uint8_t macs[PORTS][ETHER_ADDRESS] = {{2, 0, 0, 0, 0, 0}, {2, 0, 0, 0, 0, 1}, {2, 0, 0, 0, 0, 2}};

static void link_address(uint8_t family, unsigned port, unsigned host, uint8_t *address)
{
    memset(address, 0, 16);
    if (family == 4)
        memcpy(address, (const uint8_t[]){172, 16, (uint8_t)port, (uint8_t)host}, 4);
    else
        memcpy(address, (const uint8_t[]){0xfd, 0, [8] = (uint8_t)port, [15] = (uint8_t)host}, 16);
}

/* ---- the other ends of the wires ---- */

static void far_send(struct site *s, unsigned port, uint8_t *frame, uint32_t size)
{
    memcpy(frame, macs[port], 6);
    memcpy(frame + 6, s->far[port].mac, 6);
    if (!s->far[port].mute)
        wire_send(&s->wire, port, frame, size, s->now_us);
}

static void client_sends(void *context, const uint8_t *frame, uint32_t size)
{
    uint8_t copy[WIRE_FRAME];
    memcpy(copy, frame, size);
    far_send(context, 0, copy, size);
}

static void backend_sends(void *context, const uint8_t *frame, uint32_t size)
{
    struct site *s = context;
    uint8_t copy[WIRE_FRAME];
    memcpy(copy, frame, size);
    if (s->answers_by > 0 && s->far[s->answers_by].bfd.state != BFD_UP)
        s->answers_by = 3 - s->answers_by;
    far_send(s, s->answers_by, copy, size);
}

static void far_bfd(struct site *s, unsigned port)
{
    struct far *far = &s->far[port];
    uint8_t payload[BFD_PACKET_SIZE], frame[256];
    while (port > 0 && bfd_turn(&far->bfd, s->now_us, payload)) {
        struct packet p = {.frame = frame, .size = ETHER_SIZE, .room = sizeof frame - ETHER_SIZE};
        struct udp_datagram say = {.family = s->family,
                                   .source = far->own,
                                   .dest = far->other,
                                   .from = 50000,
                                   .to = BFD_PORT,
                                   .data = payload,
                                   .n_data = sizeof payload};
        packet_make_udp(&p, &say);
        *packet_hops(&p) = 255;
        if (s->family == 4)
            packet_fill_ip4_sum(frame + p.l3);
        far_send(s, port, frame, p.size);
    }
}

static void far_receive(struct site *s, unsigned port, struct wire_frame *frame)
{
    struct far *far = &s->far[port];
    struct packet p = {.frame = frame->bytes, .size = frame->size, .room = WIRE_FRAME - frame->size};
    struct neighbor_word word;
    if (far->deaf || packet_parse(&p) != DROP_NONE)
        return;
    if (neighbor_hear(&p, &word)) {
        if (word.asks && memcmp(word.target, far->own, 16) == 0) {
            far->known = true;
            ck_assert_mem_eq(word.mac, macs[port], 6);
            neighbor_answer(&p, &word, far->mac);
            far_send(s, port, p.frame, p.size);
        }
        return;
    }
    ck_assert_mem_eq(frame->bytes, far->mac, 6);
    ck_assert_mem_eq(frame->bytes + 6, macs[port], 6);
    if (p.proto == PROTO_UDP && p.dest == BFD_PORT) {
        bfd_receive(&far->bfd, p.frame + p.payload, p.size - p.payload, s->now_us);
        return;
    }
    far->tcp++;
    bool to_client = memcmp(packet_dest(&p), s->client.config.own, packet_address_size(s->family)) == 0;
    ck_assert(!to_client || port == 0);
    tcpend_receive(to_client ? &s->client : &s->backend, frame->bytes, frame->size, s->now_us);
}

/* ---- the site ---- */

static void forwarder_sends(void *context, unsigned port, const uint8_t *frame, uint32_t size)
{
    struct site *s = context;
    const char *fault = wirecheck_sent(frame, size);
    if (fault != NULL)
        ck_abort_msg("what was made here has a wrong %s", fault);
    s->judged++;
    wire_send(&s->wire, FAR + port, frame, size, s->now_us);
}

static void near_receive(struct site *s, struct wire_frame *frame)
{
    struct packet p = {.frame = frame->bytes, .size = frame->size, .room = WIRE_FRAME - frame->size};
    int port;
    bool came_good = wirecheck(frame->bytes, frame->size).sum_good;
    forwarder_receive(s->f, frame->to, &p, 1, &port, s->now_us);
    if (port < 0)
        return;
    struct wirecheck left = wirecheck(p.frame, p.size);
    if (left.fault != NULL || left.sum_good != came_good)
        ck_abort_msg("came in %s, left %s", came_good ? "good" : "damaged",
                     left.fault != NULL ? left.fault : "otherwise");
    s->judged++;
    s->damaged += !came_good;
    wire_send(&s->wire, FAR + (unsigned)port, p.frame, p.size, s->now_us);
}

static void turn(struct site *s)
{
    struct wire_frame *frame;
    while ((frame = wire_take(&s->wire, s->now_us)) != NULL) {
        if (frame->to >= FAR)
            far_receive(s, frame->to - FAR, frame);
        else
            near_receive(s, frame);
        g_free(frame);
    }
    for (unsigned port = 1; port < PORTS; port++)
        far_bfd(s, port);
    tcpend_turn(&s->client, s->now_us);
    tcpend_turn(&s->backend, s->now_us);
    if (s->now_us >= s->f->next_us) {
        forwarder_turn(s->f, s->now_us);
        s->turns++;
    }
    uint64_t next = MIN(wire_next_us(&s->wire), s->f->next_us);
    next = MIN(next, MIN(s->client.timer_us, s->backend.timer_us));
    for (unsigned port = 1; port < PORTS; port++)
        next = MIN(next, bfd_next_us(&s->far[port].bfd));
    s->now_us = MAX(s->now_us + 1, next);
}

static bool talked(const struct site *s)
{
    return tcpend_done(&s->client) && tcpend_done(&s->backend);
}

static void run_until(struct site *s, uint64_t end_us)
{
    while (s->now_us < end_us && !talked(s))
        turn(s);
}

static void table_make(struct site *s)
{
    struct dptable *t = &s->pieces;
    bool v4 = s->family == 4;
    for (uint8_t port = 0; port < PORTS; port++) {
        uint32_t a = dptable_adjacency(t, s->family, port, s->far[port].other, s->far[port].own);
        if (port > 0)
            dptable_line(t, a, BFD_US, port); /* the first is preferred */
    }
    dptable_local(t, s->family, v4 ? rig_local4 : rig_local6);
    dptable_service(t, s->family, v4 ? rig_vip4 : rig_vip6, RIG_PROXY, NAT_PROXY, v4 ? rig_backend4 : rig_backend6,
                    8080, DP_GROUP | 0);
}

static struct fib *table_of(const struct dptable *pieces)
{
    char reason[FIB_REASON];
    GByteArray *message = dptable_message(pieces);
    struct fib *table = fib_new(message->data, message->len, PORTS, reason);
    ck_assert_msg(table != NULL, "%s", reason);
    g_byte_array_unref(message);
    return table;
}

/* window: of both ends, which is how fast they are: so much in 1.2 ms. */
static void site_init(struct site *s, uint8_t family, uint32_t says, uint32_t window)
{
    bool v4 = family == 4;
    memset(s, 0, sizeof *s);
    s->family = family;
    s->answers_by = 1;
    s->rig = rig_new(family, 64);
    s->now_us = s->rig->now_us;
    wire_init(&s->wire, &(struct wire_faults){.delay_us = 300}, 1);
    for (unsigned port = 0; port < PORTS; port++) {
        struct far *far = &s->far[port];
        link_address(family, port, 2, far->own);
        link_address(family, port, 1, far->other);
        memcpy(far->mac, (const uint8_t[]){2, 0, 0, 0, 1, (uint8_t)port}, 6);
        bfd_init(&far->bfd, &(struct bfd_config){77 + port, BFD_US, BFD_US, 3}, s->now_us, port);
    }
    s->f = g_new(struct forwarder, 1);
    forwarder_init(s->f, macs, PORTS, 5);
    s->f->send = forwarder_sends;
    s->f->context = s;
    s->f->nat = s->rig->nat; /* with its memory */
    table_make(s);
    s->table = table_of(&s->pieces);
    forwarder_set_table(s->f, s->table, s->now_us);
    struct tcpend_config client = {.family = family,
                                   .own = v4 ? rig_client4 : rig_client6,
                                   .other = v4 ? rig_vip4 : rig_vip6,
                                   .own_port = 40000,
                                   .other_port = RIG_PROXY,
                                   .first_seq = 99,
                                   .mss = 1400,
                                   .scale = 7,
                                   .sack = true,
                                   .window = window,
                                   .says = tcpend_bytes(says)};
    struct tcpend_config backend = client;
    backend.own = v4 ? rig_backend4 : rig_backend6;
    backend.own_port = 8080;
    backend.other_port = 0;
    backend.ends_second = true;
    backend.overrun = 52;
    backend.says = tcpend_bytes(says / 3);
    tcpend_init(&s->client, &client);
    tcpend_init(&s->backend, &backend);
    s->client.context = s->backend.context = s;
    s->client.send = client_sends;
    s->backend.send = backend_sends;
    /* Until the lines are there nobody talks. */
    uint64_t until_us = s->now_us + 5 * SECOND;
    s->client.sent_syn = true;
    while (s->now_us < until_us)
        turn(s);
    s->client.sent_syn = false;
    for (unsigned port = 0; port < PORTS; port++)
        ck_assert(s->far[port].known && s->f->neighbors[port].known);
    for (unsigned port = 1; port < PORTS; port++)
        ck_assert_int_eq(s->f->neighbors[port].bfd.state, BFD_UP);
    ck_assert_uint_eq(s->f->groups[0].lines.carrying, 1);
}

static uint64_t dropped(const struct site *s)
{
    uint64_t sum = 0;
    for (int d = 1; d < DROPS; d++)
        sum += s->f->drops[d];
    return sum;
}

static void site_clear(struct site *s)
{
    ck_assert_uint_eq(s->f->received, s->f->forwarded + dropped(s));
    wire_clear(&s->wire);
    tcpend_clear(&s->client);
    tcpend_clear(&s->backend);
    g_byte_array_unref(s->client.config.says);
    g_byte_array_unref(s->backend.config.says);
    s->rig->nat = s->f->nat;
    memset(s->rig->backend_sessions, 0, sizeof s->rig->backend_sessions);
    while (s->rig->nat.created > s->rig->nat.ended) /* they live on for a while */
        nat_expire(&s->rig->nat, s->now_us += SECOND, 64);
    memset(s->rig->backend_sessions, 0, sizeof s->rig->backend_sessions);
    rig_free(s->rig);
    fib_free(s->table);
    g_free(s->f);
}

static void check_heard(const struct site *s)
{
    ck_assert_msg(talked(s) && s->client.error == NULL && s->backend.error == NULL && !s->client.reset &&
                      !s->backend.reset,
                  "client %s, backend %s, %u of %u bytes in, %u of %u out", s->client.error, s->backend.error,
                  s->backend.hears->len, s->client.config.says->len, s->client.hears->len, s->backend.config.says->len);
    unsigned preface = s->family == 4 ? 28 : 52;
    ck_assert_uint_eq(s->backend.hears->len, preface + s->client.config.says->len);
    ck_assert_int_eq(memcmp(s->backend.hears->data + preface, s->client.config.says->data, s->client.config.says->len),
                     0);
    ck_assert_uint_eq(s->client.hears->len, s->backend.config.says->len);
}

static const uint8_t families[] = {4, 6};

/* _i: family, and whether the connection begins with a SYN cookie: then frames are made here for it. */
START_TEST(a_connection_over_the_preferred_line)
{
    struct site s;
    site_init(&s, families[_i % 2], 200000, 60000);
    if (_i / 2)
        s.f->nat.cookies_above = 0;
    run_until(&s, s.now_us + 60 * SECOND);
    check_heard(&s);
    ck_assert_uint_gt(s.far[1].tcp, 100);
    ck_assert_uint_eq(s.far[2].tcp, 0);
    ck_assert_uint_eq(s.f->stalls, 0);
    site_clear(&s);
}
END_TEST

/* A switch floods frames whose station it has forgotten: a stream of another gateway is not reset by this one. */
START_TEST(frames_for_others_are_left_alone)
{
    static const uint8_t to[][ETHER_ADDRESS] = {
        {2, 0, 0, 0, 9, 9}, {1, 0, 0x5e, 0, 0, 1}, {255, 255, 255, 255, 255, 255}};
    struct site s;
    uint8_t bytes[200];
    bool v4 = families[_i] == 4;
    site_init(&s, families[_i], 10, 4096);
    for (unsigned i = 0; i <= G_N_ELEMENTS(to); i++) {
        bool ours = i == G_N_ELEMENTS(to);
        struct packet p = {.frame = bytes, .size = ETHER_SIZE, .room = sizeof bytes - ETHER_SIZE};
        packet_make_tcp(&p, &(struct tcp_segment){.family = families[_i],
                                                  .source = v4 ? rig_client4 : rig_client6,
                                                  .dest = v4 ? rig_vip4 : rig_vip6,
                                                  .from = 50000,
                                                  .to = RIG_PROXY,
                                                  .seq = 1,
                                                  .ack = 1,
                                                  .flags = TCP_ACK});
        memcpy(bytes, ours ? macs[0] : to[i], ETHER_ADDRESS);
        memcpy(bytes + ETHER_ADDRESS, s.far[0].mac, ETHER_ADDRESS);
        int port;
        uint64_t resets = s.f->nat.resets, strangers = s.f->drops[DROP_STATION];
        forwarder_receive(s.f, 0, &p, 1, &port, s.now_us);
        ck_assert_int_eq(port, ours ? 0 : -DROP_STATION);
        ck_assert_uint_eq(s.f->nat.resets - resets, ours);
        ck_assert_uint_eq(s.f->drops[DROP_STATION] - strangers, !ours);
    }
    run_until(&s, s.now_us + 60 * SECOND);
    check_heard(&s);
    site_clear(&s);
}
END_TEST

static unsigned turns_in(struct site *s, uint64_t us)
{
    unsigned before = s->turns;
    run_until(s, s->now_us + us);
    return s->turns - before;
}

/* What is silent costs nothing: with BFD as without a session, though its timer is set. */
START_TEST(a_silent_session_wakes_nobody)
{
    struct site s;
    site_init(&s, 4, 20000000, 4096);
    s.client.sent_syn = true; /* later */
    unsigned without = turns_in(&s, 10 * SECOND);
    ck_assert_uint_le(without, 2 * 2 * 10 * 134); /* of each line what is sent and what is heard, at the shortest */
    s.client.sent_syn = false;
    run_until(&s, s.now_us + SECOND / 5);
    ck_assert_uint_eq(s.f->nat.states[NAT_ESTABLISHED], 1);
    s.client.reset = s.backend.reset = true; /* neither says anything any more */
    s.client.timer_us = s.backend.timer_us = UINT64_MAX;
    turns_in(&s, SECOND / 5);
    unsigned with = turns_in(&s, 10 * SECOND);
    ck_assert_msg(with <= without + without / 20, "%u turns, without a session %u", with, without);
    site_clear(&s);
}
END_TEST

/* How a line is lost; all of them are found by BFD. */
static const struct loss {
    bool deaf, mute;
} losses[] = {{true, true}, {true, false}, {false, true}};

/* _i: family, and what is lost. The next packet over the other line within 50 ms, no connection is broken, and back
 * when the line has been there for a while. */
START_TEST(a_line_is_lost)
{
    struct site s;
    const struct loss *loss = &losses[_i / 2];
    site_init(&s, families[_i % 2], 20000000, 4096);
    run_until(&s, s.now_us + SECOND / 5);
    ck_assert(!talked(&s));
    ck_assert_uint_eq(s.far[2].tcp, 0);
    s.far[1].deaf = loss->deaf;
    s.far[1].mute = loss->mute;
    uint64_t lost_us = s.now_us;
    while (s.f->groups[0].lines.carrying == 1 && s.now_us < lost_us + SECOND)
        turn(&s);
    ck_assert_uint_eq(s.f->groups[0].lines.carrying, 2);
    ck_assert_msg(s.now_us - lost_us < 50000, "moved after %u us", (unsigned)(s.now_us - lost_us));
    run_until(&s, s.now_us + SECOND);
    ck_assert_uint_gt(s.far[2].tcp, 10);
    s.far[1].deaf = s.far[1].mute = false;
    unsigned before = s.far[1].tcp;
    run_until(&s, s.now_us + 4 * SECOND);
    ck_assert_uint_eq(s.f->groups[0].lines.carrying, 1);
    run_until(&s, s.now_us + 600 * SECOND);
    check_heard(&s);
    ck_assert_uint_gt(s.far[1].tcp, before);
    site_clear(&s);
}
END_TEST

/* The forwarder itself does not run for a while: no line is down for that, whether what came meanwhile waits for it
 * or, every other time, is lost. */
START_TEST(own_stalls_are_no_losses)
{
    struct site s;
    site_init(&s, families[_i], 1000, 4096);
    for (int i = 0; i < 20; i++) {
        uint64_t until_us = s.now_us + 40000 + (uint64_t)i * 5000; /* longer than the detection time */
        while (s.now_us < until_us) { /* all but the forwarder runs: what is for it waits */
            for (unsigned port = 1; port < PORTS; port++) {
                s.far[port].bfd.heard_us = s.now_us; /* the other end's patience is not what is tested */
                s.far[port].mute = i % 2 == 1;
                far_bfd(&s, port);
            }
            s.now_us += 1000;
        }
        for (unsigned port = 1; port < PORTS; port++)
            s.far[port].mute = false;
        turn(&s);
        for (unsigned port = 1; port < PORTS; port++)
            ck_assert_int_eq(s.f->neighbors[port].bfd.state, BFD_UP);
        run_until(&s, s.now_us + 100000);
        for (unsigned port = 1; port < PORTS; port++)
            ck_assert_int_eq(s.f->neighbors[port].bfd.state, BFD_UP);
    }
    ck_assert_uint_ge(s.f->stalls, 20);
    site_clear(&s);
}
END_TEST

/* Over wires that lose, double, delay, reorder and damage: each frame that came in has left or is counted by its
 * reason; what left has the sums that its receiver computes, or came in without them. */
START_TEST(every_frame_is_accounted_for)
{
    struct site s;
    site_init(&s, families[_i], 8000000, 60000);
    s.wire.faults =
        (struct wire_faults){.delay_us = 300, .drop = 2, .duplicate = 5, .late = 10, .corrupt = 20, .whole = 7u << FAR};
    run_until(&s, s.now_us + 600 * SECOND);
    check_heard(&s);
    printf("IPv%u: %llu frames came in, %llu left, %llu were dropped:", s.family, (unsigned long long)s.f->received,
           (unsigned long long)s.f->forwarded, (unsigned long long)dropped(&s));
    for (int d = 1; d < DROPS; d++)
        if (s.f->drops[d] > 0)
            printf(" %s %llu", drop_name((enum drop)d), (unsigned long long)s.f->drops[d]);
    printf("; of %llu that left or were made here, 0 had a wrong sum but %llu that came in so\n",
           (unsigned long long)s.judged, (unsigned long long)s.damaged);
    ck_assert_uint_eq(s.judged, s.f->forwarded + s.f->made);
    ck_assert_uint_gt(s.f->forwarded, 8000);
    ck_assert_uint_gt(s.damaged, 50);
    ck_assert_uint_gt(s.f->drops[_i == 0 ? DROP_HEADER_SUM : DROP_LENGTH], 0);
    site_clear(&s); /* received is forwarded and dropped */
}
END_TEST

/* Tables come, 100 a second, while a connection talks: what has stayed the same keeps its state, nothing is lost, and
 * no memory is kept. */
START_TEST(tables_come_and_go)
{
    struct site s;
    site_init(&s, families[_i], 6000000, 4096);
    uint64_t moves = s.f->groups[0].lines.moves;
    unsigned swaps = 0;
    size_t kept = 0; /* bytes */
    for (; swaps < 300 && !talked(&s); swaps++) {
        kept -= mallinfo2().uordblks;
        s.pieces.header.generation++;
        s.pieces.backends[0].weight = 1 + swaps % 5;
        struct fib *table = table_of(&s.pieces);
        char reason[FIB_REASON];
        ck_assert(fib_may_follow(table, s.table, reason));
        forwarder_set_table(s.f, table, s.now_us);
        fib_free(s.table);
        s.table = table;
        kept += mallinfo2().uordblks; /* 0 in all under AddressSanitizer, which looks for what was lost */
        run_until(&s, s.now_us + 10000);
    }
    run_until(&s, s.now_us + 600 * SECOND);
    check_heard(&s);
    ck_assert_uint_ge(swaps, 100);
    ck_assert_uint_eq(dropped(&s), s.f->drops[DROP_TAKEN]);
    ck_assert_int_le((int64_t)kept, 8192); /* the last table may be bigger than the first */
    ck_assert_uint_eq(s.f->groups[0].lines.moves, moves);
    site_clear(&s);
}
END_TEST

static void set_pieces(struct site *s)
{
    char reason[FIB_REASON];
    struct fib *table = table_of(&s->pieces);
    ck_assert(fib_may_follow(table, s->table, reason));
    forwarder_set_table(s->f, table, s->now_us);
    fib_free(s->table);
    s->table = table;
    run_until(s, s->now_us + 10000);
}

/* A single arm: the backend is behind the port, and the next hop, that clients come by. */
START_TEST(a_single_arm)
{
    struct site s;
    site_init(&s, families[_i % 2], 200000, 60000);
    if (_i / 2)
        s.f->nat.cookies_above = 0;
    s.pieces.backends[0].way = 0;
    s.answers_by = 0;
    set_pieces(&s);
    run_until(&s, s.now_us + 60 * SECOND);
    check_heard(&s);
    ck_assert_uint_gt(s.far[0].tcp, 200); /* both sides' */
    ck_assert_uint_eq(s.far[1].tcp + s.far[2].tcp, 0);
    ck_assert_uint_eq(s.f->neighbors[0].tx, s.far[0].tcp);
    ck_assert_uint_eq(dropped(&s), s.f->drops[DROP_TAKEN] + s.f->drops[DROP_WAITING]);
    site_clear(&s);
}
END_TEST

/* Others come and go, and leave their places empty: who stays keeps his, and what is known of him. */
START_TEST(places_are_kept)
{
    struct site s;
    uint8_t own[16], next[2][16];
    site_init(&s, families[_i], 400000, 4096);
    uint64_t moves = s.f->groups[0].lines.moves;
    link_address(s.family, 0, 1, own);
    for (unsigned i = 0; i < 2; i++) {
        link_address(s.family, 0, 77 + i, next[i]);
        dptable_adjacency(&s.pieces, s.family, 0, own, next[i]);
    }
    set_pieces(&s);
    s.f->neighbors[4].known = true;
    s.f->neighbors[4].tx = 5;
    s.pieces.adjacencies[3] = (struct dp_adjacency){.group = DP_NONE};
    set_pieces(&s);
    ck_assert_uint_eq(s.f->neighbors[3].config.port, DP_PORTS);
    ck_assert(s.f->neighbors[4].known && s.f->neighbors[4].tx == 5);
    ck_assert(!talked(&s));
    run_until(&s, s.now_us + 600 * SECOND);
    check_heard(&s);
    ck_assert_uint_eq(s.f->groups[0].lines.moves, moves);
    site_clear(&s);
}
END_TEST

/* What its session points to is not there any more: dropped, and counted, until the table has it again. */
START_TEST(sessions_outlive_lines)
{
    struct site s;
    site_init(&s, families[_i], 400000, 4096);
    run_until(&s, s.now_us + 10000);
    struct nat_session *session = NULL;
    for (uint32_t i = 0; i < s.f->nat.memory.n_sessions; i++)
        if (s.f->nat.memory.sessions[i].state == NAT_ESTABLISHED)
            session = &s.f->nat.memory.sessions[i];
    ck_assert(session != NULL && session->adjacency_in == DP_ADJACENCIES);
    const uint32_t gone[] = {DP_ADJACENCIES + 1, 9, DP_ADJACENCIES + DP_GROUPS - 1};
    for (unsigned i = 0; i < G_N_ELEMENTS(gone); i++) {
        uint64_t before = s.f->drops[DROP_NEIGHBOR];
        session->adjacency_in = gone[i];
        run_until(&s, s.now_us + SECOND);
        ck_assert_uint_gt(s.f->drops[DROP_NEIGHBOR], before);
    }
    session->adjacency_in = DP_ADJACENCIES;
    run_until(&s, s.now_us + 600 * SECOND);
    check_heard(&s);
    site_clear(&s);
}
END_TEST

static void check_refused(const struct dptable *pieces, const char *expected)
{
    char reason[FIB_REASON] = "";
    g_autoptr(GByteArray) message = dptable_message(pieces);
    struct fib *table = fib_new(message->data, message->len, PORTS, reason);
    ck_assert_str_eq(table == NULL ? reason : "taken", expected);
    fib_free(table);
}

START_TEST(nothing_leads_to_an_empty_place)
{
    struct site s;
    site_init(&s, 4, 10, 4096);
    struct dptable pieces = s.pieces;
    pieces.header.n_groups = 2;
    check_refused(&pieces, "taken"); /* without lines */
    pieces.backends[0].way = DP_GROUP | 1;
    check_refused(&pieces, "backend 0: group 1 is an empty place");
    pieces.backends[0].way = pieces.header.n_adjacencies;
    pieces.adjacencies[pieces.header.n_adjacencies++] = (struct dp_adjacency){.group = DP_NONE};
    check_refused(&pieces, "backend 0: adjacency 3 is an empty place");
    pieces.backends[0].way = 0;
    check_refused(&pieces, "taken");
    pieces.adjacencies[3].group = 1;
    check_refused(&pieces, "adjacency 3: an empty place, but group 1, BFD multiplier 0, peer 0");
    pieces.adjacencies[3] = (struct dp_adjacency){.group = DP_NONE, .mult = 3};
    check_refused(&pieces, "adjacency 3: an empty place, but group 4294967295, BFD multiplier 3, peer 0");
    pieces.adjacencies[3] = (struct dp_adjacency){.group = DP_NONE};
    pieces.adjacencies[0].peer = 1;
    check_refused(&pieces, "adjacency 0: peer 1, BFD multiplier 0, group 4294967295: expected 0, or 1 with BFD and "
                           "without a group");
    pieces.adjacencies[1].peer = 1;
    pieces.adjacencies[0].peer = 0;
    check_refused(&pieces, "adjacency 1: peer 1, BFD multiplier 3, group 0: expected 0, or 1 with BFD and without a "
                           "group");
    site_clear(&s);
}
END_TEST

/* A message that is changed in any one word is refused with a reason, or is a table that packets can be given to. */
START_TEST(bad_tables_are_refused_whole)
{
    struct site s;
    site_init(&s, families[_i], 10, 4096);
    GByteArray *message = dptable_message(&s.pieces);
    unsigned refused = 0;
    for (guint size = 0; size < message->len; size += 7) {
        char reason[FIB_REASON] = "";
        ck_assert_ptr_null(fib_new(message->data, size, PORTS, reason));
        ck_assert_str_ne(reason, "");
    }
    for (guint at = 0; at < message->len; at++)
        for (int k = 0; k < 3; k++) {
            char reason[FIB_REASON] = "";
            uint8_t before = message->data[at];
            message->data[at] ^= (uint8_t[]){0xff, 0x80, 0x01}[k];
            struct fib *table = fib_new(message->data, message->len, PORTS, reason);
            message->data[at] = before;
            refused += table == NULL;
            ck_assert_int_eq(table == NULL, reason[0] != '\0');
            fib_free(table);
        }
    ck_assert_uint_gt(refused, 200);
    char reason[FIB_REASON];
    s.pieces.services[0].n_backends++; /* one more than there are behind its first */
    s.pieces.services[0].first_backend = s.pieces.header.n_backends - 1;
    GByteArray *beyond = dptable_message(&s.pieces);
    ck_assert_ptr_null(fib_new(beyond->data, beyond->len, PORTS, reason));
    ck_assert_str_eq(reason, "service 0: backends 0 and 2 more of 1, at most 256");
    g_byte_array_unref(beyond);
    s.pieces.services[0].n_backends--;
    s.pieces.services[0].first_backend = 0;
    s.pieces.locals[0].address[3] ^= 1;
    struct fib *other = table_of(&s.pieces);
    ck_assert(!fib_may_follow(other, s.table, reason));
    ck_assert_str_eq(reason, "other local addresses than those that are in use: that takes a restart");
    fib_free(other);
    g_byte_array_unref(message);
    run_until(&s, s.now_us + 60 * SECOND);
    check_heard(&s);
    site_clear(&s);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_loop_test(tcase, a_connection_over_the_preferred_line, 0, 4);
    tcase_add_test(tcase, a_silent_session_wakes_nobody);
    tcase_add_loop_test(tcase, a_line_is_lost, 0, 6);
    tcase_add_loop_test(tcase, own_stalls_are_no_losses, 0, 2);
    tcase_add_loop_test(tcase, every_frame_is_accounted_for, 0, 2);
    tcase_add_loop_test(tcase, tables_come_and_go, 0, 2);
    tcase_add_loop_test(tcase, frames_for_others_are_left_alone, 0, G_N_ELEMENTS(families));
    tcase_add_loop_test(tcase, a_single_arm, 0, 4);
    tcase_add_loop_test(tcase, places_are_kept, 0, 2);
    tcase_add_loop_test(tcase, sessions_outlive_lines, 0, 2);
    tcase_add_test(tcase, nothing_leads_to_an_empty_place);
    tcase_add_loop_test(tcase, bad_tables_are_refused_whole, 0, 2);
}

int main(void)
{
    return unit_run("forwarder", add);
}
