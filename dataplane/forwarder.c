#include "dataplane/forwarder.h"

#include <assert.h>
#include <string.h>

#define ASK_US 1000000u      /* who does not answer is asked again */
#define REFRESH_US 30000000u /* and who did */
#define BFD_SOURCE_PORT 49152u
#define BFD_HOPS 255u  /* RFC 5881, 5 */
#define FRAME_MAX 256u /* of what is made here */
#define EXPIRE_MOST 64u

/* A frame to be made. */
struct made {
    uint8_t bytes[FRAME_MAX];
    struct packet packet;
};

static struct packet *made_init(struct made *made)
{
    memset(made->bytes, 0, ETHER_SIZE);
    made->packet = (struct packet){.frame = made->bytes, .size = ETHER_SIZE, .room = FRAME_MAX - ETHER_SIZE};
    return &made->packet;
}

static void send(struct forwarder *f, unsigned port, const struct packet *p)
{
    f->made++;
    f->send(f->context, port, p->frame, p->size);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static bool in_use(const struct forwarder_neighbor *n)
{
    return n->config.port < DP_PORTS;
}

/* Places behind these are empty: few of all, and each is memory that is not in the cache when a frame wakes us. */
static unsigned n_neighbors(const struct forwarder *f)
{
    return f->table->header.n_adjacencies;
}

static void set_empty(struct forwarder_neighbor *n)
{
    *n = (struct forwarder_neighbor){.config.port = DP_PORTS};
}

static bool same_address(const uint8_t *a, const uint8_t *b, uint8_t family)
{
    return memcmp(a, b, packet_address_size(family)) == 0;
}

void forwarder_init(struct forwarder *f, const uint8_t (*mac)[ETHER_ADDRESS], unsigned n_ports, uint32_t random)
{
    assert(n_ports <= DP_PORTS);
    memset(f, 0, sizeof *f);
    memcpy(f->mac, mac, n_ports * sizeof *mac);
    f->n_ports = n_ports;
    f->random = random;
    for (unsigned i = 0; i < DP_ADJACENCIES; i++)
        set_empty(&f->neighbors[i]);
}

/* ---- a table ---- */

static struct bfd_config bfd_config_of(const struct forwarder *f, const struct forwarder_neighbor *n)
{
    return (struct bfd_config){.discriminator = (uint32_t)(n - f->neighbors) + 1,
                               .min_tx_us = n->config.min_tx_us,
                               .min_rx_us = n->config.min_rx_us,
                               .mult = n->config.mult};
}

static void set_neighbor(struct forwarder *f, unsigned i, const struct dp_adjacency *config, uint64_t now_us)
{
    struct forwarder_neighbor *n = &f->neighbors[i];
    bool same = n->config.port == config->port && n->config.family == config->family &&
                same_address(n->config.own, config->own, config->family) &&
                same_address(n->config.next, config->next, config->family);
    bool had_bfd = same && n->config.mult > 0;
    if (!same)
        memset(n, 0, sizeof *n);
    n->config = *config;
    struct bfd_config bfd = bfd_config_of(f, n);
    if (config->mult > 0 && !had_bfd)
        bfd_init(&n->bfd, &bfd, now_us, f->random + i * 2654435761u);
    else if (config->mult > 0 && memcmp(&bfd, &n->bfd.config, sizeof bfd) != 0)
        bfd_configure(&n->bfd, &bfd, now_us);
}

static void set_group(struct forwarder *f, unsigned g, const struct fib *table, bool changed, uint64_t now_us)
{
    struct forwarder_group *group = &f->groups[g];
    struct line_config lines[LINES_MAX];
    unsigned n = 0;
    for (unsigned i = 0; i < table->header.n_adjacencies; i++) {
        const struct dp_adjacency *a = &table->adjacencies[i];
        if (a->group != g)
            continue;
        lines[n] = (struct line_config){a->preference, a->weight, a->srlg, a->seed};
        group->adjacency[n] = (uint8_t)i;
        f->neighbors[i].line = n++;
    }
    if (n == 0)
        memset(group, 0, sizeof *group);
    if (!changed || n == 0)
        return;
    const struct dp_group *c = &table->groups[g];
    struct lines_config config = {c->restore_us, c->restore_max_us, c->calm_us, c->suspect_us};
    group->config = *c;
    lines_init(&group->lines, &config, lines, n);
    for (unsigned k = 0; k < n; k++)
        lines_set_up(&group->lines, k, f->neighbors[group->adjacency[k]].bfd.state == BFD_UP, now_us);
}

/* Are the lines of a group, or how they are chosen, other than they were? */
static bool group_changes(const struct forwarder *f, unsigned g, const struct fib *table)
{
    const struct fib *before = f->table;
    if (before == NULL || g >= before->header.n_groups ||
        memcmp(&table->groups[g], &before->groups[g], sizeof *table->groups) != 0)
        return true;
    for (unsigned i = 0; i < DP_ADJACENCIES; i++) {
        const struct dp_adjacency *a = i < table->header.n_adjacencies ? &table->adjacencies[i] : NULL;
        const struct dp_adjacency *b = i < before->header.n_adjacencies ? &before->adjacencies[i] : NULL;
        bool in_a = a != NULL && a->group == g, in_b = b != NULL && b->group == g;
        if (in_a != in_b || (in_a && memcmp(a, b, sizeof *a) != 0))
            return true;
    }
    return false;
}

/* Of several peers that are live, the first. */
static void choose_peers(struct forwarder *f)
{
    f->peer[0] = f->peer[1] = 0;
    for (unsigned i = DP_ADJACENCIES; i-- > 0;) {
        const struct forwarder_neighbor *n = &f->neighbors[i];
        if (in_use(n) && n->config.peer && n->known && n->bfd.state == BFD_UP)
            f->peer[n->config.family == 6] = (uint8_t)(i + 1);
    }
}

void forwarder_set_table(struct forwarder *f, const struct fib *table, uint64_t now_us)
{
    bool changes[DP_GROUPS];
    for (unsigned g = 0; g < table->header.n_groups; g++)
        changes[g] = group_changes(f, g, table);
    for (unsigned i = 0; i < DP_ADJACENCIES; i++)
        if (i < table->header.n_adjacencies && table->adjacencies[i].family != 0)
            set_neighbor(f, i, &table->adjacencies[i], now_us);
        else
            set_empty(&f->neighbors[i]);
    for (unsigned g = 0; g < DP_GROUPS; g++)
        if (g < table->header.n_groups)
            set_group(f, g, table, changes[g], now_us);
        else
            memset(&f->groups[g], 0, sizeof f->groups[g]);
    choose_peers(f);
    nat_set_services(&f->nat, &table->services);
    f->table = table;
    f->next_us = now_us;
}

/* ---- the link ---- */

/* Is it an address that we answer for on that port? */
static bool is_ours(const struct forwarder *f, unsigned port, uint8_t family, const uint8_t *address)
{
    struct endpoint_key at = endpoint_of(address, family, 0, 0);
    for (unsigned i = 0; i < n_neighbors(f); i++) {
        const struct dp_adjacency *a = &f->neighbors[i].config;
        if (a->port == port && a->family == family && same_address(a->own, address, family))
            return true;
    }
    return endpoint_find(&f->nat.local_index, &at) != ENDPOINT_NONE ||
           endpoint_find(&f->table->services.index, &at) != ENDPOINT_NONE;
}

static struct forwarder_neighbor *neighbor_at(struct forwarder *f, unsigned port, uint8_t family,
                                              const uint8_t *address)
{
    for (unsigned i = 0; i < n_neighbors(f); i++) {
        struct forwarder_neighbor *n = &f->neighbors[i];
        if (n->config.port == port && n->config.family == family && same_address(n->config.next, address, family))
            return n;
    }
    return NULL;
}

static void hear_link(struct forwarder *f, unsigned port, const struct neighbor_word *word, uint64_t now_us)
{
    struct forwarder_neighbor *n = neighbor_at(f, port, word->family, word->sender);
    if (n != NULL) {
        memcpy(n->mac, word->mac, ETHER_ADDRESS);
        n->known = true;
        n->ask_us = now_us + REFRESH_US;
        f->next_us = earlier(f->next_us, now_us); /* what waited for it */
    }
    if (!word->asks || !is_ours(f, port, word->family, word->target))
        return;
    struct made made;
    neighbor_answer(made_init(&made), word, f->mac[port]);
    send(f, port, &made.packet);
}

static void ask(struct forwarder *f, struct forwarder_neighbor *n, uint64_t now_us)
{
    struct made made;
    neighbor_ask(made_init(&made), n->config.family, n->config.next, n->config.own, f->mac[n->config.port]);
    send(f, n->config.port, &made.packet);
    n->ask_us = now_us + ASK_US;
}

/* Where a frame came from; DP_NONE: from nobody that we know of on that port. Who is not a neighbour came by one: the
 * first of its family. */
static unsigned came_from(struct forwarder *f, unsigned port, const struct packet *p)
{
    const struct forwarder_neighbor *recent = &f->neighbors[f->recent[port]];
    uint8_t family = packet_family(p);
    if (recent->config.port == port && recent->config.family == family && recent->known &&
        memcmp(recent->mac, p->frame + ETHER_ADDRESS, ETHER_ADDRESS) == 0)
        return f->recent[port];
    unsigned first = DP_NONE;
    for (unsigned i = 0; i < n_neighbors(f); i++) {
        const struct forwarder_neighbor *n = &f->neighbors[i];
        if (n->config.port != port || n->config.family != family)
            continue;
        if (n->known && memcmp(n->mac, p->frame + ETHER_ADDRESS, ETHER_ADDRESS) == 0)
            return f->recent[port] = i;
        first = first == DP_NONE ? i : first;
    }
    return first;
}

/* ---- BFD ---- */

static void send_bfd(struct forwarder *f, struct forwarder_neighbor *n, uint64_t now_us)
{
    uint8_t payload[BFD_PACKET_SIZE];
    while (bfd_turn(&n->bfd, now_us, payload)) {
        struct made made;
        struct packet *p = made_init(&made);
        struct udp_datagram say = {.family = n->config.family,
                                   .source = n->config.own,
                                   .dest = n->config.next,
                                   .from = (uint16_t)(BFD_SOURCE_PORT + (n - f->neighbors)),
                                   .to = BFD_PORT,
                                   .data = payload,
                                   .n_data = sizeof payload};
        packet_make_udp(p, &say);
        *packet_hops(p) = BFD_HOPS;
        if (p->kind == PACKET_IP4)
            packet_fill_ip4_sum(p->frame + p->l3);
        memcpy(p->frame, n->mac, ETHER_ADDRESS);
        memcpy(p->frame + ETHER_ADDRESS, f->mac[n->config.port], ETHER_ADDRESS);
        if (n->known)
            send(f, n->config.port, p);
    }
    if (n->config.group != DP_NONE)
        lines_set_up(&f->groups[n->config.group].lines, n->line, n->bfd.state == BFD_UP, now_us);
    if (n->config.peer)
        choose_peers(f);
}

/* True: it was BFD's. */
static bool hear_bfd(struct forwarder *f, unsigned port, const struct packet *p, uint64_t now_us)
{
    if (p->proto != PROTO_UDP || p->dest != BFD_PORT || *packet_hops(p) != BFD_HOPS)
        return false;
    struct forwarder_neighbor *n = neighbor_at(f, port, packet_family(p), packet_source(p));
    if (n == NULL || n->config.mult == 0 || !same_address(n->config.own, packet_dest(p), n->config.family))
        return false;
    if (packet_sum_good(p)) {
        f->bfd_verdicts[bfd_receive(&n->bfd, p->frame + p->payload, p->size - p->payload, now_us)]++;
        send_bfd(f, n, now_us);
        f->next_us = earlier(f->next_us, now_us);
    }
    return true;
}

/* ---- packets ---- */

static int dropped(struct forwarder *f, enum drop drop)
{
    f->drops[drop]++;
    return -(int)drop;
}

/* Who carries a packet: of lines, one by its ports, which are those of its session. NULL: a session has outlived it. */
static struct forwarder_neighbor *next_of(struct forwarder *f, uint32_t way, const struct packet *p)
{
    if (way < DP_ADJACENCIES)
        return &f->neighbors[way]; /* nobody is known to be at an empty place */
    const struct forwarder_group *group = &f->groups[way - DP_ADJACENCIES];
    if (group->lines.n == 0)
        return NULL;
    return &f->neighbors[group->adjacency[lines_of(&group->lines, (get32(p->frame + p->l4) * 2654435761u) >> 16)]];
}

/* Out by its neighbour, whose port is returned; below 0: nobody is known to be there. */
static int out(struct forwarder *f, uint32_t way, struct packet *p)
{
    struct forwarder_neighbor *n = next_of(f, way, p);
    if (n == NULL || !n->known)
        return -1;
    memcpy(p->frame, n->mac, ETHER_ADDRESS);
    memcpy(p->frame + ETHER_ADDRESS, f->mac[n->config.port], ETHER_ADDRESS);
    n->tx++;
    n->tx_bytes += p->size;
    return n->config.port;
}

/* What came in goes on. from: where it came from; what came by a line does not leave by one, it would go round. */
static int leave(struct forwarder *f, unsigned from, const struct nat_way *way, struct packet *p)
{
    if (way->drop != DROP_NONE)
        return dropped(f, way->drop);
    if (way->adjacency >= DP_ADJACENCIES && f->neighbors[from].config.group != DP_NONE)
        return dropped(f, DROP_ROUND);
    int port = out(f, way->adjacency, p);
    if (port < 0)
        return dropped(f, DROP_NEIGHBOR);
    f->forwarded++;
    return port;
}

static void send_what_nat_says(struct forwarder *f)
{
    const struct nat_frame *frame;
    while ((frame = nat_next_out(&f->nat)) != NULL) {
        struct packet p = {.frame = (uint8_t *)frame->bytes, .size = frame->size};
        int port = packet_parse(&p) == DROP_NONE ? out(f, frame->way.adjacency, &p) : -1;
        if (port < 0)
            f->unmade++;
        else
            send(f, (unsigned)port, &p);
    }
}

/* Packets of a burst that go through the FULLNAT together, from one side. */
struct batch {
    struct packet *packets[FORWARDER_BURST];
    struct nat_way ways[FORWARDER_BURST];
    uint8_t place[FORWARDER_BURST]; /* in the burst */
    uint8_t from[FORWARDER_BURST];
    unsigned n;
};

static void translate(struct forwarder *f, enum nat_side side, struct batch *batch, int *ports, uint64_t now_us)
{
    if (batch->n == 0)
        return;
    nat_translate(&f->nat, side, batch->packets, batch->ways, batch->n, now_us);
    for (unsigned i = 0; i < batch->n; i++)
        ports[batch->place[i]] = leave(f, batch->from[i], &batch->ways[i], batch->packets[i]);
}

/* What is known of a packet before it is translated. What a peer hands on is answered as what came from outside last
 * would be, if it has no session here, either. What came by a line has one way back, and is at home here or nowhere. */
static struct nat_way way_from(struct forwarder *f, enum nat_side side, unsigned from, const struct packet *p)
{
    const struct dp_adjacency *config = &f->neighbors[from].config;
    unsigned v6 = packet_family(p) == 6;
    if (config->peer)
        return (struct nat_way){.adjacency = f->outside[v6], .handed = true};
    if (side == NAT_INSIDE || config->group != DP_NONE)
        return (struct nat_way){.adjacency = from};
    if ((f->table->inside >> from & 1) == 0) /* an instance may ask, too */
        f->outside[v6] = (uint8_t)from;
    return (struct nat_way){.adjacency = from, .peer = f->peer[v6]};
}

static enum nat_side side_of(const struct forwarder *f, const struct packet *p)
{
    struct endpoint_key at = endpoint_of(packet_dest(p), packet_family(p), 0, 0);
    return endpoint_find(&f->nat.local_index, &at) != ENDPOINT_NONE ? NAT_INSIDE : NAT_OUTSIDE;
}

/* A switch floods what it has forgotten the place of, and ports hear all that comes: a frame for another station is
 * none of ours, and must not be answered in its place. */
static bool for_us(const struct forwarder *f, unsigned port, const struct packet *p)
{
    return memcmp(p->frame, f->mac[port], ETHER_ADDRESS) == 0;
}

/* Who takes all but what the FULLNAT translates in batches: DROP_NONE, it is that. */
static enum drop receive_other(struct forwarder *f, unsigned port, struct packet *p, uint64_t now_us)
{
    struct neighbor_word word;
    enum drop drop = packet_parse(p);
    if (drop != DROP_NONE)
        return drop;
    bool to_many = (p->frame[0] & 1) != 0; /* who asks for a neighbour */
    if (!to_many && !for_us(f, port, p))
        return DROP_STATION;
    if (neighbor_hear(p, &word)) {
        hear_link(f, port, &word, now_us);
        return DROP_TAKEN;
    }
    if (p->kind == PACKET_ARP)
        return DROP_LENGTH;
    if (to_many)
        return DROP_STATION;
    return hear_bfd(f, port, p, now_us) ? DROP_TAKEN : DROP_NONE;
}

static void receive(struct forwarder *f, unsigned port, struct packet *packets, unsigned n, int *ports, uint64_t now_us)
{
    struct batch batches[2] = {0};
    for (unsigned i = 0; i < n; i++) {
        struct packet *p = &packets[i];
        enum drop drop = receive_other(f, port, p, now_us);
        unsigned from = drop == DROP_NONE ? came_from(f, port, p) : DP_NONE;
        if (from == DP_NONE) {
            ports[i] = dropped(f, drop == DROP_NONE ? DROP_NEIGHBOR : drop);
            continue;
        }
        enum nat_side side = side_of(f, p);
        f->neighbors[from].rx++;
        f->neighbors[from].rx_bytes += p->size;
        if (p->proto != PROTO_TCP && p->proto != PROTO_UDP) {
            struct nat_way way = nat_icmp(&f->nat, side, from, p);
            ports[i] = leave(f, from, &way, p);
            continue;
        }
        struct batch *batch = &batches[side];
        batch->packets[batch->n] = p;
        batch->ways[batch->n] = way_from(f, side, from, p);
        batch->place[batch->n] = (uint8_t)i;
        batch->from[batch->n++] = (uint8_t)from;
    }
    translate(f, NAT_OUTSIDE, &batches[NAT_OUTSIDE], ports, now_us);
    translate(f, NAT_INSIDE, &batches[NAT_INSIDE], ports, now_us);
    send_what_nat_says(f);
}

void forwarder_receive(struct forwarder *f, unsigned port, struct packet *packets, unsigned n, int *ports,
                       uint64_t now_us)
{
    assert(n <= FORWARDER_BURST && port < f->n_ports);
    bool watched = trace_watched(f->trace);
    f->received += n;
    if (watched)
        trace_before(f->trace, packets, n);
    if (f->table != NULL)
        receive(f, port, packets, n, ports, now_us);
    for (unsigned i = 0; i < n && f->table == NULL; i++)
        ports[i] = dropped(f, DROP_SERVICE);
    if (watched)
        trace_after(f->trace, port, packets, n, ports, now_us);
}

/* ---- time ---- */

/* We did not run when we should have: nobody else is to blame for what was not heard meanwhile. */
static void credit_stall(struct forwarder *f, uint64_t now_us)
{
    uint64_t late = now_us > f->next_us ? now_us - f->next_us : 0;
    if (late < FORWARDER_STALL_US)
        return;
    f->stalls++;
    f->stalled_us += late;
    for (unsigned i = 0; i < n_neighbors(f); i++)
        if (in_use(&f->neighbors[i]) && f->neighbors[i].config.mult > 0)
            bfd_credit(&f->neighbors[i].bfd, late);
}

/* Where one session is to say something, all do that may. */
static void join_bfd(struct forwarder *f, uint64_t now_us)
{
    bool due = false;
    for (unsigned i = 0; i < n_neighbors(f) && !due; i++)
        due =
            in_use(&f->neighbors[i]) && f->neighbors[i].config.mult > 0 && bfd_next_us(&f->neighbors[i].bfd) <= now_us;
    for (unsigned i = 0; i < n_neighbors(f) && due; i++)
        if (in_use(&f->neighbors[i]) && f->neighbors[i].config.mult > 0)
            bfd_join(&f->neighbors[i].bfd, now_us);
}

void forwarder_turn(struct forwarder *f, uint64_t now_us)
{
    if (f->table == NULL) {
        f->next_us = now_us + ASK_US;
        return;
    }
    credit_stall(f, now_us);
    nat_expire(&f->nat, now_us, EXPIRE_MOST);
    send_what_nat_says(f);
    join_bfd(f, now_us);
    uint64_t next = earlier(now_us + ASK_US, wheel_next_us(&f->nat.wheel));
    for (unsigned i = 0; i < n_neighbors(f); i++) {
        struct forwarder_neighbor *n = &f->neighbors[i];
        if (!in_use(n))
            continue;
        if (now_us >= n->ask_us)
            ask(f, n, now_us);
        next = earlier(next, n->ask_us);
        if (n->config.mult == 0)
            continue;
        send_bfd(f, n, now_us);
        next = earlier(next, bfd_next_us(&n->bfd));
    }
    for (unsigned g = 0; g < f->table->header.n_groups; g++) {
        if (f->groups[g].lines.n == 0)
            continue;
        lines_turn(&f->groups[g].lines, now_us);
        next = earlier(next, lines_next_us(&f->groups[g].lines, now_us));
    }
    f->next_us = next > now_us ? next : now_us + 1;
}
