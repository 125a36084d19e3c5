/* Frames that come in by the ports of a forwarder that has a table, sessions and lines. The first byte says by which
 * port, whether sums are to be made good, whether the frame is to belong to the last session, whether SYNs are answered
 * with cookies, and how late it is. The forwarder lives on from one input to the next, so that some begin what others
 * continue. Whatever comes: all frames are accounted for, what leaves is whole, and what came in damaged leaves so. */
#include "tests/fuzz/fuzz.h"

#include "dataplane/forwarder.h"
#include "tests/unit/dptable.h"
#include "tests/unit/wirecheck.h"

#define PORTS 3u
#define SESSIONS 256u
#define FRAMES 64u
#define ROOM 2048u

enum { PORT = 3, GOOD_SUMS = 4, OF_A_SESSION = 8, COOKIES = 16, LATE_SHIFT = 5 };

static struct forwarder forwarder;
static uint64_t now_us = 1000000000;
static const uint8_t macs[PORTS][ETHER_ADDRESS] = {{2, 0, 0, 0, 0, 0}, {2, 0, 0, 0, 0, 1}, {2, 0, 0, 0, 0, 2}};
static const uint8_t vip4[16] = {198, 51, 100, 1}, local4[16] = {10, 0, 0, 1}, backend4[16] = {10, 0, 0, 9};
static const uint8_t vip6[16] = {0x20, 1, 0xd, 0xb8, 2, [15] = 1}, local6[16] = {0x20, 1, 0xd, 0xb8, 3, [15] = 1},
                     backend6[16] = {0x20, 1, 0xd, 0xb8, 3, [15] = 9};

static void *memory(size_t size)
{
    void *block = aligned_alloc(64, (size + 63) / 64 * 64);
    FUZZ_EXPECT(block != NULL);
    return memset(block, 0, (size + 63) / 64 * 64);
}

static void send_checked(void *context, unsigned port, const uint8_t *frame, uint32_t size)
{
    (void)context;
    FUZZ_EXPECT(port < PORTS);
    FUZZ_EXPECT(wirecheck_sent(frame, size) == NULL);
}

static void start_nat(void)
{
    static const uint64_t secret[2] = {11, 22};
    static struct nat_local locals[2] = {{.family = 4}, {.family = 6}};
    memcpy(locals[0].address, local4, 16);
    memcpy(locals[1].address, local6, 16);
    for (unsigned i = 0; i < 2; i++) {
        locals[i].by_port = memory(NAT_PORTS * sizeof(uint32_t));
        locals[i].free_ports = memory(NAT_PORTS * sizeof(uint16_t));
        locals[i].last_seq = memory(NAT_PORTS * sizeof(uint32_t));
    }
    struct nat_memory all = {.sessions = memory(SESSIONS * sizeof(struct nat_session)),
                             .timers = memory(SESSIONS * sizeof(struct wheel_timer)),
                             .free_sessions = memory(SESSIONS * sizeof(uint32_t)),
                             .flows = memory(flow_size(SESSIONS)),
                             .n_sessions = SESSIONS,
                             .locals = locals,
                             .n_locals = 2,
                             .backend_sessions = memory(DP_BACKENDS * sizeof(uint32_t)),
                             .n_backends = DP_BACKENDS,
                             .frames = memory(FRAMES * sizeof(struct nat_frame)),
                             .n_frames = FRAMES,
                             .local_index = memory(endpoint_size(2))};
    nat_init(&forwarder.nat, &all, secret, now_us);
}

static void add_family(struct dptable *t, uint8_t family, uint32_t group)
{
    bool v4 = family == 4;
    for (uint8_t port = 0; port < PORTS; port++) {
        uint8_t own[16] = {172, 16, port, 1}, next[16] = {172, 16, port, 2};
        if (!v4) {
            memcpy(own, (const uint8_t[16]){0xfd, [8] = port, [15] = 1}, 16);
            memcpy(next, (const uint8_t[16]){0xfd, [8] = port, [15] = 2}, 16);
        }
        uint32_t a = dptable_adjacency(t, family, port, own, next);
        t->adjacencies[a].mtu = 1500;
        if (port == 0)
            continue;
        dptable_line(t, a, 10000, port);
        t->adjacencies[a].group = group;
    }
    t->groups[group] = t->groups[0];
    dptable_local(t, family, v4 ? local4 : local6);
    const uint32_t flags[] = {0, DP_TOA, DP_PROXY, DP_TOA | DP_PROXY | DP_IN_TURN};
    for (uint16_t i = 0; i < 5; i++)
        dptable_service(t, family, v4 ? vip4 : vip6, (uint16_t)(80 + i), i < 4 ? flags[i] : 0, v4 ? backend4 : backend6,
                        8080, DP_GROUP | group);
    t->services[t->header.n_services - 1].proto = PROTO_UDP; /* 84 */
}

static void start(void)
{
    struct dptable t = {0};
    char reason[FIB_REASON];
    add_family(&t, 4, 0);
    add_family(&t, 6, 1);
    t.header.n_groups = 2;
    GByteArray *message = dptable_message(&t);
    struct fib *table = fib_new(message->data, message->len, PORTS, reason);
    FUZZ_EXPECT(table != NULL);
    g_byte_array_unref(message);
    forwarder_init(&forwarder, macs, PORTS, 5);
    forwarder.send = send_checked;
    start_nat();
    forwarder_set_table(&forwarder, table, now_us);
    for (unsigned i = 0; i < table->header.n_adjacencies; i++) {
        forwarder.neighbors[i].known = true;
        forwarder.neighbors[i].ask_us = UINT64_MAX;
        memcpy(forwarder.neighbors[i].mac, (const uint8_t[]){2, 0, 0, 0, 1, (uint8_t)i}, ETHER_ADDRESS);
    }
}

/* The first session in use from a place that moves. */
static const struct nat_session *some_session(void)
{
    static unsigned at;
    for (unsigned i = 0; i < SESSIONS; i++) {
        const struct nat_session *s = &forwarder.nat.memory.sessions[at++ % SESSIONS];
        if (s->state != NAT_FREE)
            return s;
    }
    return NULL;
}

/* Ports and addresses of a session, where the frame has their places; numbers near its own. */
static void belong(struct packet *p, bool inside)
{
    const struct nat_session *s = some_session();
    if (s == NULL || packet_family(p) != s->key.family)
        return;
    unsigned size = packet_address_size(s->key.family);
    uint8_t *l4 = p->frame + p->l4;
    memcpy(packet_source(p), inside ? s->backend : s->key.client, size);
    memcpy(packet_dest(p), inside ? forwarder.nat.memory.locals[s->local_index].address : s->key.service, size);
    put16(l4, inside ? s->backend_port : s->key.client_port);
    put16(l4 + 2, inside ? s->local_port : s->key.service_port);
    if (p->proto != PROTO_TCP)
        return;
    uint32_t near = (uint32_t)(int8_t)l4[7] + s->first_seq;
    put32(l4 + (inside ? 8 : 4), inside ? near : near - s->seq_in);
}

static void prepare(struct packet *p, uint8_t how, bool inside)
{
    if (p->size >= ETHER_SIZE && (p->frame[0] & 1) == 0 && p->frame[1] != 0xff) /* few are for others */
        memcpy(p->frame, macs[(how & PORT) % PORTS], ETHER_ADDRESS);
    if (p->size >= ETHER_SIZE + IP4_SIZE && get16(p->frame + 12) == 0x0800 && (how & GOOD_SUMS))
        packet_fill_ip4_sum(p->frame + ETHER_SIZE); /* of a header without options */
    struct packet look = *p;
    if (packet_parse(&look) != DROP_NONE || look.kind == PACKET_ARP)
        return;
    if ((how & OF_A_SESSION) && (look.proto == PROTO_TCP || look.proto == PROTO_UDP))
        belong(&look, inside);
    if (how & GOOD_SUMS)
        packet_sum_fill(&look);
}

static void check_accounts(void)
{
    uint64_t accounted = forwarder.forwarded;
    for (int d = 1; d < DROPS; d++)
        accounted += forwarder.drops[d];
    FUZZ_EXPECT(forwarder.received == accounted);
    const struct nat *nat = &forwarder.nat;
    FUZZ_EXPECT(nat->created - nat->ended == SESSIONS - nat->n_free && nat->states[NAT_FREE] == nat->n_free);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint64_t late_us[] = {0, 1000, 10000, 100000, 1000000, 3000000, 20000000, 70000000};
    static uint8_t frame[ROOM];
    if (size == 0 || size > ROOM - NAT_ROOM)
        return 0;
    if (forwarder.table == NULL)
        start();
    uint8_t how = *data++;
    unsigned port = (how & PORT) % PORTS;
    size--;
    memset(frame, 0, sizeof frame);
    memcpy(frame, data, size);
    now_us += late_us[how >> LATE_SHIFT];
    forwarder.nat.cookies_above = how & COOKIES ? 0 : SESSIONS / 2;
    struct packet p = {.frame = frame, .size = (uint32_t)size, .room = NAT_ROOM};
    prepare(&p, how, port > 0);
    struct wirecheck before = wirecheck(frame, (uint32_t)size);
    int out;
    forwarder_receive(&forwarder, port, &p, 1, &out, now_us);
    if (out >= 0) {
        struct wirecheck after = wirecheck(p.frame, p.size);
        bool says_so = after.proto == PROTO_ICMP || after.proto == PROTO_ICMP6; /* about what came, whatever it was */
        FUZZ_EXPECT(out < (int)PORTS && after.fault == NULL && after.family != 0);
        FUZZ_EXPECT(says_so ? after.sum_good : after.sum_good == before.sum_good);
    }
    if (now_us >= forwarder.next_us)
        forwarder_turn(&forwarder, now_us);
    check_accounts();
    return 0;
}
