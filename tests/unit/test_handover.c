/* Two forwarders of a room that are each other's peer: what the routers upstream send to the wrong one of them. On
 * wires in memory and in virtual time. */
#include "dataplane/forwarder.h"

#include "tests/unit/dptable.h"
#include "tests/unit/faultwire.h"
#include "tests/unit/nat_rig.h"
#include "tests/unit/tcpend.h"
#include "tests/unit/unit.h"

#define GATES 2u
#define PORTS 3u
#define FAR 10u /* receivers of frames: port g * PORTS + port, and behind FAR who is at its other end */
#define BFD_US 50000u
enum { OUTSIDE, PEER, INSIDE, OTHER }; /* ports, and their adjacencies; OTHER: another neighbour at OUTSIDE */

struct site;
struct gate {
    struct site *site;
    unsigned number;
    bool dead; /* nothing comes from it, or arrives */
    struct forwarder *f;
    struct rig *rig; /* memory of its nat */
    struct dptable pieces;
    struct fib *table;
};
struct site {
    uint8_t family;
    struct gate gate[GATES];
    struct wire wire;
    struct tcpend client, backend;
    unsigned upstream;   /* gate that the client's routers send to */
    unsigned answers_by; /* gate that the backend heard of last */
    uint64_t now_us;
    unsigned resets;    /* of what no client talks about: it arrived outside */
    uint32_t reset_seq; /* of the last one */
};

static const uint8_t far_mac[2][ETHER_ADDRESS] = {{2, 0, 0, 9, 9, 9}, {2, 0, 0, 8, 8, 8}}; /* of OTHER: the second */

static const uint8_t *mac_of(unsigned gate, unsigned port)
{
    static const uint8_t macs[GATES][PORTS][ETHER_ADDRESS] = {
        {{2, 0, 0, 0, 0, 0}, {2, 0, 0, 0, 0, 1}, {2, 0, 0, 0, 0, 2}},
        {{2, 0, 0, 0, 1, 0}, {2, 0, 0, 0, 1, 1}, {2, 0, 0, 0, 1, 2}}};
    return macs[gate][port];
}

/* Host 1 + gate is a gate, 9 who is at the other end, 8 OTHER. */
static void link_address(uint8_t family, unsigned port, unsigned host, uint8_t *address)
{
    memset(address, 0, 16);
    if (family == 4)
        memcpy(address, (const uint8_t[]){172, 16, (uint8_t)port, (uint8_t)host}, 4);
    else
        memcpy(address, (const uint8_t[]){0xfd, 0, [8] = (uint8_t)port, [15] = (uint8_t)host}, 16);
}

/* ---- who is at the other ends ---- */

static void far_send(struct site *s, unsigned gate, unsigned port, const uint8_t *frame, uint32_t size)
{
    uint8_t copy[WIRE_FRAME];
    memcpy(copy, frame, size);
    unsigned by = port == OTHER ? OUTSIDE : port;
    memcpy(copy, mac_of(gate, by), ETHER_ADDRESS);
    memcpy(copy + ETHER_ADDRESS, far_mac[port == OTHER], ETHER_ADDRESS);
    wire_send(&s->wire, gate * PORTS + by, copy, size, s->now_us);
}

static void client_sends(void *context, const uint8_t *frame, uint32_t size)
{
    struct site *s = context;
    far_send(s, s->upstream, OUTSIDE, frame, size);
}

static void backend_sends(void *context, const uint8_t *frame, uint32_t size)
{
    struct site *s = context;
    far_send(s, s->answers_by, INSIDE, frame, size);
}

static void far_receive(struct site *s, unsigned gate, unsigned port, struct wire_frame *frame)
{
    struct packet p = {.frame = frame->bytes, .size = frame->size, .room = WIRE_FRAME - frame->size};
    struct neighbor_word word;
    if (packet_parse(&p) != DROP_NONE)
        return;
    if (neighbor_hear(&p, &word)) {
        bool other = port == OUTSIDE && word.target[word.family == 4 ? 3 : 15] == 8;
        neighbor_answer(&p, &word, far_mac[other]);
        far_send(s, gate, other ? OTHER : port, p.frame, p.size);
        return;
    }
    if (port == INSIDE) {
        s->answers_by = gate;
        tcpend_receive(&s->backend, frame->bytes, frame->size, s->now_us);
    } else if (p.dest == s->client.config.own_port) {
        ck_assert_mem_eq(frame->bytes, far_mac[0], ETHER_ADDRESS); /* the way that it came */
        tcpend_receive(&s->client, frame->bytes, frame->size, s->now_us);
    } else if (p.tcp_flags & TCP_RST) {
        s->resets++;
        s->reset_seq = get32(p.frame + p.l4 + 4);
    }
}

/* ---- the gates ---- */

/* What a gate sends by PEER arrives at the other gate. */
static void gate_sends(void *context, unsigned port, const uint8_t *frame, uint32_t size)
{
    const struct gate *g = context;
    unsigned to = port == PEER ? (1 - g->number) * PORTS + PEER : FAR + g->number * PORTS + port;
    if (!g->dead)
        wire_send(&g->site->wire, to, frame, size, g->site->now_us);
}

static void gate_receive(struct gate *g, unsigned port, struct wire_frame *frame)
{
    struct packet p = {.frame = frame->bytes, .size = frame->size, .room = WIRE_FRAME - frame->size};
    int out;
    if (g->dead)
        return;
    forwarder_receive(g->f, port, &p, 1, &out, g->site->now_us);
    if (out >= 0)
        gate_sends(g, (unsigned)out, p.frame, p.size);
}

static void gate_init(struct site *s, unsigned number, bool line)
{
    struct gate *g = &s->gate[number];
    uint8_t own[16], next[16], macs[PORTS][ETHER_ADDRESS];
    bool v4 = s->family == 4;
    char reason[FIB_REASON];
    *g = (struct gate){.site = s, .number = number, .rig = rig_new(s->family, 64)};
    for (uint8_t port = 0; port < PORTS; port++) {
        memcpy(macs[port], mac_of(number, port), ETHER_ADDRESS);
        link_address(s->family, port, 1 + number, own);
        link_address(s->family, port, port == PEER ? 2 - number : 9, next);
        dptable_adjacency(&g->pieces, s->family, port, own, next);
    }
    link_address(s->family, OUTSIDE, 1 + number, own);
    link_address(s->family, OUTSIDE, 8, next);
    dptable_adjacency(&g->pieces, s->family, OUTSIDE, own, next);
    struct dp_adjacency *peer = &g->pieces.adjacencies[PEER];
    peer->peer = 1;
    peer->mult = 3;
    peer->min_tx_us = peer->min_rx_us = BFD_US;
    if (line)
        dptable_line(&g->pieces, INSIDE, BFD_US, 0);
    dptable_local(&g->pieces, s->family, v4 ? rig_local4 : rig_local6);
    dptable_service(&g->pieces, s->family, v4 ? rig_vip4 : rig_vip6, RIG_PLAIN, 0, v4 ? rig_backend4 : rig_backend6,
                    8080, INSIDE);
    g_autoptr(GByteArray) message = dptable_message(&g->pieces);
    g->table = fib_new(message->data, message->len, PORTS, reason);
    ck_assert_msg(g->table != NULL, "%s", reason);
    g->f = g_new(struct forwarder, 1);
    forwarder_init(g->f, (const uint8_t(*)[ETHER_ADDRESS])macs, PORTS, 5 + number);
    g->f->send = gate_sends;
    g->f->context = g;
    g->f->nat = g->rig->nat; /* with its memory */
    forwarder_set_table(g->f, g->table, s->now_us);
}

static void gate_clear(struct gate *g)
{
    uint64_t dropped = 0;
    for (int d = 1; d < DROPS; d++)
        dropped += g->f->drops[d];
    ck_assert_uint_eq(g->f->received, g->f->forwarded + dropped);
    g->rig->nat = g->f->nat;
    memset(g->rig->backend_sessions, 0, sizeof g->rig->backend_sessions);
    while (g->rig->nat.created > g->rig->nat.ended) /* they live on for a while */
        nat_expire(&g->rig->nat, g->site->now_us += SECOND, 64);
    memset(g->rig->backend_sessions, 0, sizeof g->rig->backend_sessions);
    rig_free(g->rig);
    fib_free(g->table);
    g_free(g->f);
}

/* ---- the site ---- */

static void turn(struct site *s)
{
    struct wire_frame *frame;
    while ((frame = wire_take(&s->wire, s->now_us)) != NULL) {
        unsigned at = frame->to % FAR, port = at % PORTS, gate = at / PORTS;
        if (frame->to >= FAR)
            far_receive(s, gate, port, frame);
        else
            gate_receive(&s->gate[gate], port, frame);
        g_free(frame);
    }
    tcpend_turn(&s->client, s->now_us);
    tcpend_turn(&s->backend, s->now_us);
    uint64_t next = MIN(wire_next_us(&s->wire), MIN(s->client.timer_us, s->backend.timer_us));
    for (unsigned g = 0; g < GATES; g++) {
        if (s->now_us >= s->gate[g].f->next_us)
            forwarder_turn(s->gate[g].f, s->now_us);
        next = MIN(next, s->gate[g].f->next_us);
    }
    s->now_us = MAX(s->now_us + 1, next);
}

static bool talked(const struct site *s)
{
    return tcpend_done(&s->client) && tcpend_done(&s->backend);
}

static void run_for(struct site *s, uint64_t us)
{
    for (uint64_t end_us = s->now_us + us; s->now_us < end_us && !talked(s) && !s->client.reset;)
        turn(s);
}

static void ends_init(struct site *s, uint32_t says)
{
    bool v4 = s->family == 4;
    struct tcpend_config client = {.family = s->family,
                                   .own = v4 ? rig_client4 : rig_client6,
                                   .other = v4 ? rig_vip4 : rig_vip6,
                                   .own_port = 40000,
                                   .other_port = RIG_PLAIN,
                                   .first_seq = 99,
                                   .mss = 1400,
                                   .scale = 7,
                                   .sack = true,
                                   .window = 20000,
                                   .says = tcpend_bytes(says)};
    struct tcpend_config backend = client;
    backend.own = v4 ? rig_backend4 : rig_backend6;
    backend.own_port = 8080;
    backend.other_port = 0;
    backend.ends_second = true;
    backend.says = tcpend_bytes(says / 3);
    tcpend_init(&s->client, &client);
    tcpend_init(&s->backend, &backend);
    s->client.context = s->backend.context = s;
    s->client.send = client_sends;
    s->backend.send = backend_sends;
}

/* Peers are live; nobody has talked yet. line: instances are behind a dedicated line. */
static void site_init(struct site *s, uint8_t family, uint32_t says, bool line)
{
    memset(s, 0, sizeof *s);
    s->family = family;
    s->now_us = 1000 * SECOND;
    wire_init(&s->wire, &(struct wire_faults){.delay_us = 300}, 1);
    for (unsigned g = 0; g < GATES; g++)
        gate_init(s, g, line);
    ends_init(s, says);
    s->client.sent_syn = true;
    run_for(s, 5 * SECOND);
    s->client.sent_syn = false;
    for (unsigned g = 0; g < GATES; g++) {
        ck_assert_uint_eq(s->gate[g].f->peer[family == 6], PEER + 1);
        ck_assert_uint_eq(s->gate[g].f->peer[family == 4], 0);
    }
}

static void site_clear(struct site *s)
{
    wire_clear(&s->wire);
    tcpend_clear(&s->client);
    tcpend_clear(&s->backend);
    g_byte_array_unref(s->client.config.says);
    g_byte_array_unref(s->backend.config.says);
    for (unsigned g = 0; g < GATES; g++)
        gate_clear(&s->gate[g]);
}

static const uint8_t families[] = {4, 6};

/* A packet of a connection that nobody has begun; it acknowledges 4242. */
static void stray(struct site *s, unsigned gate, unsigned port, uint16_t from, uint8_t flags)
{
    bool v4 = s->family == 4;
    uint8_t frame[256] = {0};
    struct tcp_segment say = {.family = s->family,
                              .source = v4 ? rig_client4 : rig_client6,
                              .dest = v4 ? rig_vip4 : rig_vip6,
                              .from = from,
                              .to = RIG_PLAIN,
                              .seq = 1000,
                              .ack = 4242,
                              .flags = flags,
                              .window = 100};
    struct packet p = {.frame = frame, .size = ETHER_SIZE, .room = sizeof frame - ETHER_SIZE};
    packet_make_tcp(&p, &say);
    far_send(s, gate, port, p.frame, p.size);
}

/* _i: family; whether the connection begins with a SYN cookie. Its routers send it to the other gate, and back, again
 * and again: it goes on as if nothing had happened, and the other one begins no session for it. */
START_TEST(a_connection_changes_gates)
{
    struct site s;
    site_init(&s, families[_i % 2], 2000000, false);
    if (_i / 2)
        s.gate[0].f->nat.cookies_above = 0;
    run_for(&s, 50000);
    ck_assert(s.client.open && !talked(&s));
    unsigned i;
    for (i = 1; i < 1000 && !talked(&s); i++) {
        s.upstream = i % 2;
        stray(&s, 0, OTHER, 50000, TCP_RST); /* others come another way meanwhile, which is not this client's */
        run_for(&s, 20000);
    }
    ck_assert_msg(talked(&s) && s.client.error == NULL && s.backend.error == NULL && !s.client.reset,
                  "client %s, backend %s", s.client.error, s.backend.error);
    ck_assert_uint_eq(s.backend.hears->len, 2000000);
    ck_assert_mem_eq(s.backend.hears->data, s.client.config.says->data, 2000000);
    ck_assert_uint_eq(s.client.hears->len, 2000000 / 3);
    ck_assert_uint_gt(s.gate[1].f->nat.handed, 100);
    ck_assert_uint_eq(s.gate[1].f->nat.created, 0);
    ck_assert_uint_eq(s.gate[0].f->nat.created, 1);
    ck_assert_uint_eq(s.gate[0].f->nat.handed, i - 1); /* theirs */
    site_clear(&s);
}
END_TEST

/* The cookie was one gate's, what brings it back comes to the other. */
START_TEST(a_cookie_comes_back_to_the_other_gate)
{
    struct site s;
    site_init(&s, families[_i], 20000, false);
    s.gate[0].f->nat.cookies_above = 0;
    run_for(&s, 400);
    s.upstream = 1;
    run_for(&s, 60 * SECOND);
    ck_assert(talked(&s) && s.client.error == NULL && !s.client.reset);
    ck_assert_uint_eq(s.backend.hears->len, 20000);
    ck_assert_uint_eq(s.gate[0].f->nat.cookies, 1);
    ck_assert_uint_eq(s.gate[0].f->nat.created, 1);
    site_clear(&s);
}
END_TEST

/* A gate dies: as soon as BFD says so, the other one resets its connections, and their clients can begin anew. */
START_TEST(the_dead_are_handed_nothing)
{
    struct site s;
    site_init(&s, families[_i], 20000000, false);
    run_for(&s, 50000);
    ck_assert(s.client.open && !talked(&s));
    s.gate[0].dead = true;
    s.upstream = 1;
    uint64_t died_us = s.now_us;
    run_for(&s, SECOND);
    ck_assert(s.client.reset);
    ck_assert_uint_ge(s.now_us - died_us, 100000); /* three packets of BFD, the last not long ago */
    ck_assert_uint_le(s.now_us - died_us, 450000); /* then the client says something again */
    ck_assert_uint_eq(s.gate[1].f->peer[s.family == 6], 0);
    site_clear(&s);
}
END_TEST

/* Neither knows it: it is handed on once, and answered by the other one's own way to the outside. */
START_TEST(what_nobody_knows_is_reset)
{
    struct site s;
    site_init(&s, families[_i], 1000, false);
    for (unsigned gate = 0; gate < GATES; gate++) {
        stray(&s, 1 - gate, OUTSIDE, 50001, TCP_SYN);
        stray(&s, 1 - gate, INSIDE, 50002, TCP_SYN); /* an instance asks: that is no way to the outside */
        stray(&s, gate, OUTSIDE, 50000, TCP_ACK);
        s.client.sent_syn = true;
        run_for(&s, 10000);
        ck_assert_uint_eq(s.gate[gate].f->nat.handed, 1);
        ck_assert_uint_eq(s.gate[1 - gate].f->nat.resets, 1);
        ck_assert_uint_eq(s.resets, gate + 1);
        ck_assert_uint_eq(s.reset_seq, 4242);
    }
    stray(&s, 0, OUTSIDE, 50000, TCP_RST); /* that is no question */
    run_for(&s, 10000);
    ck_assert_uint_eq(s.gate[0].f->nat.handed, 2);
    ck_assert_uint_eq(s.gate[1].f->drops[DROP_SESSION], 1);
    ck_assert_uint_eq(s.resets, 2);
    site_clear(&s);
}
END_TEST

/* What begins a connection is this gate's own; what came by a line is at home here or nowhere; a peer that the table
 * does not have any more is handed nothing. */
START_TEST(what_is_not_handed_on)
{
    struct site s;
    site_init(&s, families[_i], 1000, true);
    s.client.sent_syn = true;
    stray(&s, 1, OUTSIDE, 50000, TCP_SYN);
    stray(&s, 1, INSIDE, 50001, TCP_ACK);
    run_for(&s, 10000);
    ck_assert_uint_eq(s.gate[1].f->nat.handed, 0);
    ck_assert_uint_eq(s.gate[1].f->nat.created, 1);
    ck_assert_uint_eq(s.gate[1].f->nat.resets, 1);
    struct gate *g = &s.gate[1];
    char reason[FIB_REASON];
    g->pieces.adjacencies[PEER].peer = 0;
    g_autoptr(GByteArray) message = dptable_message(&g->pieces);
    struct fib *table = fib_new(message->data, message->len, PORTS, reason);
    forwarder_set_table(g->f, table, s.now_us);
    fib_free(g->table);
    g->table = table;
    stray(&s, 1, OUTSIDE, 50002, TCP_ACK);
    run_for(&s, 10000);
    ck_assert_uint_eq(g->f->nat.handed, 0);
    ck_assert_uint_eq(g->f->nat.resets, 2);
    ck_assert_uint_eq(s.resets, 1); /* the one of the line went there */
    site_clear(&s);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_loop_test(tcase, a_connection_changes_gates, 0, 4);
    tcase_add_loop_test(tcase, a_cookie_comes_back_to_the_other_gate, 0, 2);
    tcase_add_loop_test(tcase, the_dead_are_handed_nothing, 0, 2);
    tcase_add_loop_test(tcase, what_nobody_knows_is_reset, 0, 2);
    tcase_add_loop_test(tcase, what_is_not_handed_on, 0, 2);
}

int main(void)
{
    return unit_run("handover", add);
}
