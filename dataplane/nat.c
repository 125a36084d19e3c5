#include "dataplane/nat_private.h"
#include "dataplane/tcpoption.h"
#include "dataplane/translate.h"

#include <assert.h>
#include <string.h>

#define PICK_TRIES 64u    /* entries that are looked at for a backend that takes one more */
#define ISN_PER_US 16u    /* RFC 9293, 3.4.1: a clock; it goes round in 4.5 minutes */
#define ISN_STEP 0x10000u /* from where the port's last stream ended, when that was faster than the clock */

static const uint32_t timeouts_s[] = {
#define NAT_STATE(symbol, name, seconds, doc) [NAT_##symbol] = seconds,
#include "dataplane/nat.def"
#undef NAT_STATE
};

const char *nat_state_name(enum nat_state state)
{
    static const char *const names[] = {
#define NAT_STATE(symbol, name, seconds, doc) [NAT_##symbol] = name,
#include "dataplane/nat.def"
#undef NAT_STATE
    };
    return names[state];
}

/* ---- memory ---- */

void nat_init(struct nat *nat, const struct nat_memory *memory, const uint64_t secret[2], uint64_t now_us)
{
    memset(nat, 0, sizeof *nat);
    nat->memory = *memory;
    nat->secret = secret[0] ^ (secret[1] << 1 | secret[1] >> 63);
    flow_init(&nat->flows, memory->flows, memory->n_sessions, secret);
    wheel_init(&nat->wheel, memory->timers, memory->n_sessions, now_us);
    memset(memory->sessions, 0, memory->n_sessions * sizeof *memory->sessions);
    for (uint32_t i = 0; i < memory->n_sessions; i++)
        memory->free_sessions[i] = memory->n_sessions - 1 - i;
    nat->n_free = memory->n_sessions;
    nat->states[NAT_FREE] = memory->n_sessions;
    nat->cookies_above = memory->n_sessions / 8 + 1;
    for (unsigned i = 0; i < COOKIE_KEY; i++)
        nat->cookie_key[i] = (uint8_t)(flow_fold(secret[0] + i, ~secret[1]) >> 32);
    splice_init(nat);
    memset(memory->backend_sessions, 0, memory->n_backends * sizeof *memory->backend_sessions);
    endpoint_init(&nat->local_index, memory->local_index, memory->n_locals);
    for (uint32_t l = 0; l < memory->n_locals; l++) {
        struct nat_local *local = &memory->locals[l];
        struct endpoint_key at = endpoint_of(local->address, local->family, 0, 0);
        endpoint_add(&nat->local_index, &at, l);
        for (uint32_t i = 0; i < NAT_PORTS; i++) {
            local->by_port[i] = FLOW_NONE;
            local->free_ports[i] = (uint16_t)(NAT_PORT_MIN + i);
            local->last_seq[i] = 0;
        }
        local->free_first = (uint32_t)(now_us % NAT_PORTS); /* not where the process before began */
        local->n_free = NAT_PORTS;
    }
}

void nat_services_init(struct nat_services *services, void *memory, const struct nat_service *service, uint32_t n)
{
    services->services = service;
    services->n = n;
    endpoint_init(&services->index, memory, 2 * n);
    for (uint32_t i = 0; i < n; i++) {
        const struct nat_service *s = &service[i];
        struct endpoint_key at = endpoint_of(s->address, s->family, s->port, s->proto);
        endpoint_add(&services->index, &at, i);
        at.port = at.proto = 0; /* the address, whatever the port */
        endpoint_add(&services->index, &at, i);
    }
}

void nat_set_services(struct nat *nat, const struct nat_services *services)
{
    nat->services = services;
}

/* ---- states ---- */

void nat_enter(struct nat *nat, struct nat_session *s, enum nat_state state, uint64_t now_us)
{
    s->open = state == NAT_ESTABLISHED && !s->toa && !s->proxy && s->shift_in == 0 && s->shift_out == 0;
    if (s->state == state)
        return;
    /* One that may live longer now keeps its timer: when that fires, nat_expire sees how long it may. */
    bool sooner = s->state == NAT_FREE || timeouts_s[state] < timeouts_s[s->state];
    nat->states[s->state]--;
    nat->states[state]++;
    s->state = (uint8_t)state;
    if (sooner)
        wheel_set(&nat->wheel, nat_index_of(nat, s), now_us + timeouts_s[state] * 1000000ull);
}

void nat_end(struct nat *nat, struct nat_session *s)
{
    uint32_t index = nat_index_of(nat, s);
    struct nat_local *local = &nat->memory.locals[s->local_index];
    splice_clear(nat, s);
    flow_remove(&nat->flows, s->hash, index);
    wheel_clear(&nat->wheel, index);
    local->by_port[s->local_port - NAT_PORT_MIN] = FLOW_NONE;
    if (s->key.proto == PROTO_TCP)
        local->last_seq[s->local_port - NAT_PORT_MIN] = s->last_seq;
    local->free_ports[(local->free_first + local->n_free++) % NAT_PORTS] = s->local_port;
    nat->memory.backend_sessions[s->backend_slot]--;
    nat->states[s->state]--;
    nat->states[NAT_FREE]++;
    s->state = NAT_FREE;
    nat->memory.free_sessions[nat->n_free++] = index;
    nat->ended++;
}

void nat_expire(struct nat *nat, uint64_t now_us, unsigned most)
{
    uint32_t index;
    while (most-- > 0 && (index = wheel_fired(&nat->wheel, now_us)) != WHEEL_NONE) {
        struct nat_session *s = &nat->memory.sessions[index];
        if (s->state == NAT_CONNECTING) {
            splice_turn(nat, s, now_us);
            continue;
        }
        uint32_t idle_ms = (uint32_t)(now_us / 1000) - s->used_ms, limit_ms = timeouts_s[s->state] * 1000;
        if (idle_ms >= limit_ms)
            nat_end(nat, s);
        else
            wheel_set(&nat->wheel, index, now_us + (limit_ms - idle_ms) * 1000ull);
    }
}

static bool covers(uint32_t ack, uint32_t seq)
{
    return (int32_t)(ack - seq) >= 0;
}

/* What its ends say of their streams. An end that is known is asked for its checksum once. */
static void follow_ends(struct nat_session *s, enum nat_side from, const struct packet *p)
{
    if (!(p->tcp_flags & TCP_FIN) && !s->fin_in && !s->fin_out)
        return; /* nothing to wait for */
    struct translate_numbers n = translate_numbers(s, from, p);
    bool outside = from == NAT_OUTSIDE;
    if ((p->tcp_flags & TCP_FIN) && outside) {
        s->fin_in = true;
        s->last_seq = n.end + 1;
    } else if (p->tcp_flags & TCP_FIN) {
        s->fin_out = true;
        s->end_out = n.end + 1;
    }
    if (!(p->tcp_flags & TCP_ACK))
        return;
    if (outside && s->fin_out && !s->known_out)
        s->known_out = covers(n.ack, s->end_out) && packet_sum_good(p);
    else if (!outside && s->fin_in && !s->known_in)
        s->known_in = covers(n.ack, s->last_seq) && packet_sum_good(p);
}

static enum nat_state tcp_state(const struct nat_session *s, enum nat_side from, uint8_t flags)
{
    bool answers = (flags & (TCP_SYN | TCP_ACK)) == (TCP_SYN | TCP_ACK);
    if (s->reset != 0 || (s->known_in && s->known_out))
        return NAT_CLOSED;
    if (s->fin_in || s->fin_out)
        return NAT_CLOSING;
    if (from == NAT_INSIDE && answers)
        return NAT_SYN_RECEIVED;
    if (from == NAT_OUTSIDE && s->state == NAT_SYN_RECEIVED && (flags & (TCP_SYN | TCP_ACK)) == TCP_ACK)
        return NAT_ESTABLISHED;
    return s->state == NAT_CLOSED || s->state == NAT_CLOSING ? NAT_ESTABLISHED : (enum nat_state)s->state;
}

/* The backend has taken a SYN: the client's stream begins at `ack`. It may be another than the session began with, when
 * the client has begun anew and the backend knew nothing any more. */
static void follow_answer(struct nat_session *s, uint32_t ack)
{
    s->first_seq = s->last_seq = ack;
    s->fin_in = s->fin_out = s->known_in = s->known_out = false;
    s->toa = s->wants_toa;
    s->proxy = s->wants_proxy;
}

/* Where the client's stream began as the backend counts, whatever it was told in front of it. */
static uint32_t beginning(const struct nat_session *s)
{
    return s->first_seq - (s->proxy ? 0 : translate_preface(s));
}

/* Before the packet is translated; only what is whole changes a session. An end that is said to have reset, and goes
 * on, has not. */
static void follow_tcp(struct nat *nat, struct nat_session *s, enum nat_side from, const struct packet *p,
                       uint64_t now_us)
{
    uint8_t flags = p->tcp_flags;
    if (s->state == NAT_ESTABLISHED && !s->toa && !s->proxy && !(flags & (TCP_SYN | TCP_FIN | TCP_RST)))
        return; /* nearly all packets: nothing is to be told, nothing has ended, or ends */
    bool tells = (s->toa || s->proxy) && from == NAT_INSIDE;
    if ((tells || (flags & (TCP_SYN | TCP_FIN | TCP_RST))) && !packet_sum_good(p))
        return;
    if (flags & TCP_RST)
        s->reset = (uint8_t)(from + 1);
    else if (s->reset == from + 1)
        s->reset = 0;
    if (from == NAT_INSIDE && nat_is_answer(p) && get32(p->frame + p->l4 + 8) != beginning(s))
        follow_answer(s, get32(p->frame + p->l4 + 8));
    if (tells && (flags & TCP_ACK))
        translate_told(s, get32(p->frame + p->l4 + 8));
    follow_ends(s, from, p);
    nat_enter(nat, s, tcp_state(s, from, flags), now_us);
}

/* ---- new sessions ---- */

const struct nat_service *nat_service_of(const struct nat *nat, const struct flow_key *key)
{
    struct endpoint_key at = endpoint_of(key->service, key->family, key->service_port, key->proto);
    uint32_t i = nat->services == NULL ? ENDPOINT_NONE : endpoint_find(&nat->services->index, &at);
    return i == ENDPOINT_NONE ? NULL : &nat->services->services[i];
}

/* Who is to serve a new session. Where that one has as many as it may, one of those behind it in the table; NULL: so
 * have all that were asked, or there are none. */
static const struct nat_backend *backend_of(struct nat *nat, const struct nat_service *service,
                                            const struct flow_key *key)
{
    uint32_t tries = service->n_pick < PICK_TRIES ? service->n_pick : PICK_TRIES, at;
    if (service->flags & NAT_IN_TURN)
        at = nat->turns[(service - nat->services->services) % NAT_TURNS]++;
    else
        at = (uint32_t)(flow_hash(nat->services->seed, key) >> 16);
    for (uint32_t i = 0; i < tries; i++) {
        const struct nat_backend *backend = &service->backends[service->pick[(at + i) % service->n_pick]];
        if (backend->limit == 0 || nat->memory.backend_sessions[backend->slot] < backend->limit)
            return backend;
    }
    return NULL;
}

/* The next local address of the family that has a port. */
static struct nat_local *local_of(struct nat *nat, uint8_t family)
{
    for (uint32_t i = 0; i < nat->memory.n_locals; i++) {
        struct nat_local *local = &nat->memory.locals[nat->next_local];
        nat->next_local = nat->next_local + 1 < nat->memory.n_locals ? nat->next_local + 1 : 0;
        if (local->family == family && local->n_free > 0)
            return local;
    }
    return NULL;
}

/* Higher than where the port's last stream ended, so that a backend in TIME_WAIT takes it for a new one. */
static uint32_t isn_of(const struct nat *nat, const struct nat_session *s, uint64_t now_us)
{
    uint64_t mixed = (nat->secret ^ s->local_port) * 0x9e3779b97f4a7c15u;
    uint32_t isn = (uint32_t)(mixed >> 32) + (uint32_t)now_us * ISN_PER_US;
    uint32_t last = nat->memory.locals[s->local_index].last_seq[s->local_port - NAT_PORT_MIN];
    return last != 0 && (int32_t)(isn - last) < (int32_t)ISN_STEP ? last + ISN_STEP : isn;
}

struct nat_session *nat_begin(struct nat *nat, const struct flow_key *key, uint64_t hash, uint32_t seq,
                              uint32_t adjacency, uint64_t now_us, enum drop *drop)
{
    const struct nat_service *service = nat_service_of(nat, key);
    const struct nat_backend *backend = service != NULL ? backend_of(nat, service, key) : NULL;
    struct nat_local *local = backend != NULL ? local_of(nat, key->family) : NULL;
    *drop = service == NULL        ? DROP_SERVICE
            : service->n_pick == 0 ? DROP_BACKEND
            : backend == NULL      ? DROP_FULL
            : nat->n_free == 0     ? DROP_SESSIONS
            : local == NULL        ? DROP_PORTS
                                   : DROP_NONE;
    if (*drop != DROP_NONE)
        return NULL;
    uint32_t index = nat->memory.free_sessions[nat->n_free - 1];
    if (!flow_add(&nat->flows, hash, index)) {
        *drop = DROP_SESSIONS;
        return NULL;
    }
    nat->n_free--;
    struct nat_session *s = &nat->memory.sessions[index];
    memset(s, 0, sizeof *s);
    s->key = *key;
    s->toa = s->wants_toa = (service->flags & NAT_TOA) && key->proto == PROTO_TCP;
    s->proxy = s->wants_proxy = (service->flags & NAT_PROXY) && key->proto == PROTO_TCP;
    memcpy(s->backend, backend->address, 16);
    s->local_port = local->free_ports[local->free_first];
    s->backend_port = backend->port;
    local->free_first = (local->free_first + 1) % NAT_PORTS;
    local->n_free--;
    local->by_port[s->local_port - NAT_PORT_MIN] = index;
    s->local_index = (uint16_t)(local - nat->memory.locals);
    s->hash = hash;
    s->backend_slot = (uint16_t)backend->slot;
    nat->memory.backend_sessions[backend->slot]++;
    s->adjacency_in = backend->adjacency;
    s->adjacency_out = adjacency;
    translate_begin(s, local->address);
    if (key->proto == PROTO_TCP) {
        uint32_t isn = isn_of(nat, s, now_us);
        s->seq_in = isn - seq;
        s->first_seq = s->last_seq = isn + 1;
    }
    nat_enter(nat, s, key->proto == PROTO_TCP ? NAT_SYN_SENT : NAT_ASKED, now_us);
    nat->created++;
    return s;
}

/* ---- packets ---- */

static void key_of(const struct packet *p, struct flow_key *key)
{
    uint64_t client[2], service[2];
    endpoint_words(client, packet_source(p), packet_family(p));
    endpoint_words(service, packet_dest(p), packet_family(p));
    memcpy(key->client, client, sizeof client);
    memcpy(key->service, service, sizeof service);
    uint64_t rest =
        (uint64_t)p->source | (uint64_t)p->dest << 16 | (uint64_t)p->proto << 32 | (uint64_t)packet_family(p) << 40;
    _Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "else the other way round");
    memcpy((uint8_t *)key + sizeof *key - sizeof rest, &rest, sizeof rest);
}

struct nat_session *nat_find(const struct nat *nat, const struct flow_key *key, uint64_t hash)
{
    unsigned at = 0;
    uint32_t index;
    while ((index = flow_find(&nat->flows, hash, &at)) != FLOW_NONE)
        if (flow_key_same(&nat->memory.sessions[index].key, key))
            return &nat->memory.sessions[index];
    return NULL;
}

/* The address of ours that a packet from inside is for. */
static const struct nat_local *local_at(const struct nat *nat, const struct packet *p)
{
    struct endpoint_key at = endpoint_of(packet_dest(p), packet_family(p), 0, 0);
    uint32_t l = endpoint_find(&nat->local_index, &at);
    return l == ENDPOINT_NONE ? NULL : &nat->memory.locals[l];
}

/* Of a size that is known where it is compiled: no call. */
static inline bool same_address(uint8_t family, const uint8_t *a, const uint8_t *b)
{
    return family == 4 ? memcmp(a, b, 4) == 0 : memcmp(a, b, 16) == 0;
}

static struct nat_session *find_inside(const struct nat *nat, const struct nat_local *local, const struct packet *p)
{
    const uint32_t *at = nat_session_at(local, p->dest);
    struct nat_session *s = at == NULL || *at == FLOW_NONE ? NULL : &nat->memory.sessions[*at];
    bool same = s != NULL && s->key.proto == p->proto && s->backend_port == p->source &&
                same_address(local->family, s->backend, packet_source(p));
    return same ? s : NULL;
}

/* A reset in the place of the packet, back to where it came from (RFC 9293, 3.10.7.1). */
static void make_reset(struct packet *p)
{
    const uint8_t *tcp = p->frame + p->l4;
    bool knows = p->tcp_flags & TCP_ACK;
    uint32_t length = p->size - p->payload + !!(p->tcp_flags & TCP_SYN) + !!(p->tcp_flags & TCP_FIN);
    struct tcp_segment say = {.family = packet_family(p),
                              .source = packet_dest(p),
                              .dest = packet_source(p),
                              .from = p->dest,
                              .to = p->source,
                              .seq = knows ? get32(tcp + 8) : 0,
                              .ack = knows ? 0 : get32(tcp + 4) + length,
                              .flags = (uint8_t)(TCP_RST | (knows ? 0 : TCP_ACK))};
    packet_make_tcp(p, &say);
}

static struct nat_way refuse(struct nat *nat, enum nat_side from, uint32_t adjacency, struct packet *p, enum drop drop)
{
    bool answer = p->proto == PROTO_TCP && !(p->tcp_flags & TCP_RST) &&
                  (drop == DROP_SESSION || drop == DROP_BACKEND) && packet_sum_good(p);
    if (!answer)
        return (struct nat_way){.drop = drop};
    make_reset(p);
    nat->resets++;
    return (struct nat_way){.side = from, .adjacency = adjacency};
}

/* What is known of a packet before its session is looked at. */
struct found {
    struct flow_key key; /* from outside */
    uint64_t hash;
    uint32_t first; /* its session, if it is that; FLOW_NONE: it has none */
    uint8_t peer;   /* as in its nat_way */
    bool handed;
    bool whole;                    /* from outside, of a SYN: its checksum is good */
    const struct nat_local *local; /* from inside; NULL: not for us */
};

/* A SYN on a session that is there: one that was sent again, or the client has begun anew. Then the session makes room,
 * unless it is open: there its backend says what it thinks (a challenge, RFC 5961, 4), and the client ends it. */
static bool makes_room(const struct nat_session *s, const struct packet *p, const struct found *found)
{
    if (!found->whole)
        return false;
    bool again = get32(p->frame + p->l4 + 4) + s->seq_in == s->first_seq - 1;
    return s->state == NAT_CLOSED || (!again && s->state != NAT_ESTABLISHED);
}

/* Bytes that an IP packet may have by that neighbour. */
static unsigned mtu_of(const struct nat *nat, uint32_t adjacency)
{
    const uint16_t *mtu = nat->services != NULL ? nat->services->mtu : NULL;
    return mtu == NULL || mtu[adjacency] == 0 ? UINT16_MAX : mtu[adjacency];
}

/* Does a packet bring nothing but bytes and acknowledgements, and timestamps as all systems write them? */
static inline bool is_plain(const struct packet *p)
{
    const uint32_t timestamps = OPTION_NOP << 24 | OPTION_NOP << 16 | OPTION_TIMESTAMPS << 8 | 10;
    unsigned options = (unsigned)(p->payload - p->l4) - TCP_SIZE;
    return (p->tcp_flags & (TCP_SYN | TCP_FIN | TCP_RST)) == 0 &&
           (options == 0 || (options == 12 && get32(p->frame + p->l4 + TCP_SIZE) == timestamps));
}

/* Nearly all packets: nothing is to be told, nothing begins or ends, and what is sent on by the adjacency fits. */
static inline bool goes_straight(const struct nat *nat, const struct nat_session *s, uint32_t adjacency,
                                 const struct packet *p)
{
    return s->open && is_plain(p) && p->size - p->l3 <= mtu_of(nat, adjacency);
}

/* begins: it is the first of its session, which knows all that it says. */
static inline struct nat_way to_backend(struct nat *nat, struct nat_session *s, struct packet *p, bool begins,
                                        uint64_t now_us)
{
    unsigned mtu = mtu_of(nat, s->adjacency_in), more = s->toa || s->proxy ? translate_overhead(s) : 0;
    if (p->size - p->l3 + more > mtu)
        return nat_too_big(NAT_OUTSIDE, s->adjacency_out, p, mtu - more);
    if (!translate_fits(s, p))
        return (struct nat_way){.drop = DROP_UNTOLD};
    s->used_ms = (uint32_t)(now_us / 1000);
    if (p->proto == PROTO_TCP && !begins)
        follow_tcp(nat, s, NAT_OUTSIDE, p, now_us);
    translate_in(s, nat_local_address(nat, s), p);
    return (struct nat_way){.side = NAT_INSIDE, .adjacency = s->adjacency_in};
}

struct nat_way nat_from_client(struct nat *nat, struct nat_session *s, struct packet *p, uint64_t now_us)
{
    return to_backend(nat, s, p, false, now_us);
}

/* A packet of no session. */
static struct nat_way from_nobody(struct nat *nat, uint32_t adjacency, struct packet *p, const struct found *found,
                                  uint64_t now_us)
{
    enum drop drop = DROP_SESSION;
    struct nat_session *s = NULL;
    struct nat_way way;
    if (p->proto == PROTO_UDP) {
        s = nat_begin(nat, &found->key, found->hash, 0, adjacency, now_us, &drop);
    } else if (nat_is_syn(p)) {
        if (!found->whole)
            return (struct nat_way){.drop = DROP_DAMAGED};
        if (splice_wanted(nat))
            return splice_answer_syn(nat, &found->key, adjacency, p, now_us);
        s = nat_begin(nat, &found->key, found->hash, get32(p->frame + p->l4 + 4), adjacency, now_us, &drop);
    } else if (splice_begin(nat, &found->key, found->hash, adjacency, p, now_us, &way)) {
        return way;
    } else if (nat_service_of(nat, &found->key) == NULL) {
        drop = DROP_SERVICE;
    } else if (found->peer != 0) {
        nat->handed++;
        return (struct nat_way){.side = NAT_OUTSIDE, .adjacency = found->peer - 1u};
    }
    return s != NULL ? to_backend(nat, s, p, true, now_us) : refuse(nat, NAT_OUTSIDE, adjacency, p, drop);
}

/* Found in the second pass, most of them: another has its hash's mark, or it has ended since. */
static struct nat_session *session_of(const struct nat *nat, const struct found *found)
{
    if (found->first == FLOW_NONE)
        return NULL;
    struct nat_session *s = &nat->memory.sessions[found->first];
    bool it_is = s->state != NAT_FREE && flow_key_same(&s->key, &found->key);
    return it_is ? s : nat_find(nat, &found->key, found->hash);
}

static struct nat_way from_outside(struct nat *nat, uint32_t adjacency, struct packet *p, const struct found *found,
                                   uint64_t now_us)
{
    struct nat_session *s = session_of(nat, found);
    if (s != NULL && !found->handed)
        s->adjacency_out = adjacency;
    if (s != NULL && goes_straight(nat, s, s->adjacency_in, p)) {
        s->used_ms = (uint32_t)(now_us / 1000);
        translate_open_in(s, nat_local_address(nat, s), p);
        return (struct nat_way){.side = NAT_INSIDE, .adjacency = s->adjacency_in};
    }
    if (s != NULL && makes_room(s, p, found)) {
        nat_end(nat, s);
        s = NULL;
    }
    if (s == NULL)
        return from_nobody(nat, adjacency, p, found, now_us);
    if (s->state == NAT_CONNECTING)
        return splice_from_client(nat, s, p, now_us);
    return nat_from_client(nat, s, p, now_us);
}

static struct nat_way from_inside(struct nat *nat, uint32_t adjacency, struct packet *p, const struct found *found,
                                  uint64_t now_us)
{
    const struct nat_local *local = found->local;
    struct nat_session *s = local == NULL ? NULL : find_inside(nat, local, p);
    if (s == NULL)
        return refuse(nat, NAT_INSIDE, adjacency, p, local == NULL ? DROP_FOREIGN : DROP_SESSION);
    s->used_ms = (uint32_t)(now_us / 1000);
    if (goes_straight(nat, s, s->adjacency_out, p)) {
        translate_open_out(s, p);
        return (struct nat_way){.side = NAT_OUTSIDE, .adjacency = s->adjacency_out};
    }
    unsigned mtu = mtu_of(nat, s->adjacency_out);
    if (p->size - p->l3 > mtu)
        return nat_too_big(NAT_INSIDE, adjacency, p, mtu);
    if (s->state == NAT_CONNECTING)
        return splice_from_backend(nat, s, adjacency, p, now_us);
    if (s->spliced && nat_is_answer(p))
        return packet_sum_good(p) ? splice_confirm(nat, s, p) : (struct nat_way){.drop = DROP_DAMAGED};
    if (p->proto == PROTO_TCP)
        follow_tcp(nat, s, NAT_INSIDE, p, now_us);
    else
        nat_enter(nat, s, NAT_DATAGRAMS, now_us);
    translate_out(s, p);
    return (struct nat_way){.side = NAT_OUTSIDE, .adjacency = s->adjacency_out};
}

/* First pass: where its session is to be looked for. */
static void find_place(const struct nat *nat, enum nat_side from, const struct packet *p, const struct nat_way *way,
                       struct found *found)
{
    if (from == NAT_OUTSIDE) {
        key_of(p, &found->key);
        found->peer = way->peer;
        found->handed = way->handed;
        found->hash = flow_hash(nat->flows.secret, &found->key);
        flow_prefetch(&nat->flows, found->hash);
        found->whole = nat_is_syn(p) && packet_sum_good(p); /* while memory is on its way */
    } else {
        found->local = local_at(nat, p);
        __builtin_prefetch(nat_session_at(found->local, p->dest)); /* NULL does no harm */
    }
}

/* Second pass: fetches the session, both lines of it. */
static void fetch_session(const struct nat *nat, enum nat_side from, const struct packet *p, struct found *found)
{
    const uint32_t *port = from == NAT_OUTSIDE ? NULL : nat_session_at(found->local, p->dest);
    found->first = from == NAT_OUTSIDE ? flow_first(&nat->flows, found->hash) : port != NULL ? *port : FLOW_NONE;
    if (found->first == FLOW_NONE)
        return;
    const char *session = (const char *)&nat->memory.sessions[found->first];
    __builtin_prefetch(session);
    __builtin_prefetch(session + 64);
}

void nat_translate(struct nat *nat, enum nat_side from, struct packet *const *packets, struct nat_way *ways, unsigned n,
                   uint64_t now_us)
{
    struct found found[NAT_BURST];
    assert(n <= NAT_BURST);
    for (unsigned i = 0; i < n; i++)
        find_place(nat, from, packets[i], &ways[i], &found[i]);
    for (unsigned i = 0; i < n; i++)
        fetch_session(nat, from, packets[i], &found[i]);
    const uint64_t created = nat->created;
    for (unsigned i = 0; i < n; i++) {
        struct packet *p = packets[i];
        if (nat->created != created && found[i].first == FLOW_NONE && from == NAT_OUTSIDE)
            found[i].first =
                flow_first(&nat->flows, found[i].hash); /* one before it in the burst may have begun its session */
        assert(p->proto == PROTO_TCP || p->proto == PROTO_UDP);
        if (*packet_hops(p) <= 1)
            ways[i] = (struct nat_way){.drop = DROP_TTL};
        else if (from == NAT_OUTSIDE)
            ways[i] = from_outside(nat, ways[i].adjacency, p, &found[i], now_us);
        else
            ways[i] = from_inside(nat, ways[i].adjacency, p, &found[i], now_us);
    }
}
