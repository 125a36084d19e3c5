#include "dataplane/nat.h"

#include "dataplane/csum.h"

#include <assert.h>
#include <string.h>

/* TCP options: kind (RFC 9293, 3.1; RFC 2018; RFC 7323). */
enum {
    OPTION_END = 0,
    OPTION_NOP = 1,
    OPTION_MSS = 2,
    OPTION_SACK = 5,
    OPTION_TIMESTAMPS = 8,
    OPTION_TOA6 = 253,
    OPTION_TOA4 = 254
};
enum { TOA4_SIZE = 8, TOA6_SIZE = 20 };
#define TCP_HEADER_MAX 60u
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
    memset(memory->backend_sessions, 0, memory->n_backends * sizeof *memory->backend_sessions);
    endpoint_init(&nat->local_index, memory->local_index, memory->n_locals);
    for (uint32_t l = 0; l < memory->n_locals; l++) {
        struct nat_local *local = &memory->locals[l];
        struct endpoint at = {.family = local->family};
        memcpy(at.address, local->address, packet_address_size(local->family));
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
    endpoint_init(&services->index, memory, n);
    for (uint32_t i = 0; i < n; i++) {
        struct endpoint at = {.port = service[i].port, .family = service[i].family, .proto = service[i].proto};
        memcpy(at.address, service[i].address, packet_address_size(at.family));
        endpoint_add(&services->index, &at, i);
    }
}

void nat_set_services(struct nat *nat, const struct nat_services *services)
{
    nat->services = services;
}

static uint32_t index_of(const struct nat *nat, const struct nat_session *s)
{
    return (uint32_t)(s - nat->memory.sessions);
}

/* ---- states ---- */

static void enter(struct nat *nat, struct nat_session *s, enum nat_state state, uint64_t now_us)
{
    if (s->state == state)
        return;
    nat->states[s->state]--;
    nat->states[state]++;
    s->state = (uint8_t)state;
    wheel_set(&nat->wheel, index_of(nat, s), now_us + timeouts_s[state] * 1000000ull);
}

static void end(struct nat *nat, struct nat_session *s)
{
    uint32_t index = index_of(nat, s);
    struct nat_local *local = &nat->memory.locals[s->local_index];
    flow_remove(&nat->flows, s->hash, index);
    wheel_clear(&nat->wheel, index);
    local->by_port[s->local_port - NAT_PORT_MIN] = FLOW_NONE;
    if (s->proto == PROTO_TCP)
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
        uint32_t idle_ms = (uint32_t)(now_us / 1000) - s->used_ms, limit_ms = timeouts_s[s->state] * 1000;
        if (idle_ms >= limit_ms)
            end(nat, s);
        else
            wheel_set(&nat->wheel, index, now_us + (limit_ms - idle_ms) * 1000ull);
    }
}

static bool covers(uint32_t ack, uint32_t seq)
{
    return (int32_t)(ack - seq) >= 0;
}

/* What its ends say of their streams, in the backend's numbers: seq and ack are those of the packet inside. */
static void follow_ends(struct nat_session *s, enum nat_side from, const struct packet *p, uint32_t seq, uint32_t ack)
{
    uint32_t end = seq + p->size - p->payload + 1;
    if ((p->tcp_flags & TCP_FIN) && from == NAT_OUTSIDE) {
        s->fin_in = true;
        s->last_seq = end;
    } else if (p->tcp_flags & TCP_FIN) {
        s->fin_out = true;
        s->end_out = end;
    }
    if ((p->tcp_flags & TCP_ACK) && from == NAT_OUTSIDE)
        s->known_out = s->known_out || (s->fin_out && covers(ack, s->end_out));
    else if (p->tcp_flags & TCP_ACK)
        s->known_in = s->known_in || (s->fin_in && covers(ack, s->last_seq));
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
}

/* Before the packet is translated. An end that is said to have reset, and goes on, has not. */
static void follow_tcp(struct nat *nat, struct nat_session *s, enum nat_side from, const struct packet *p,
                       uint64_t now_us)
{
    const uint8_t *tcp = p->frame + p->l4;
    uint32_t seq = get32(tcp + 4), ack = get32(tcp + 8);
    uint8_t flags = p->tcp_flags;
    if (from == NAT_OUTSIDE)
        seq += s->seq_in;
    if ((flags & (TCP_SYN | TCP_FIN | TCP_RST)) && !packet_sum_good(p))
        return;
    if (flags & TCP_RST)
        s->reset = (uint8_t)(from + 1);
    else if (s->reset == from + 1)
        s->reset = 0;
    if (from == NAT_INSIDE && (flags & (TCP_SYN | TCP_ACK)) == (TCP_SYN | TCP_ACK) && ack != s->first_seq)
        follow_answer(s, ack);
    follow_ends(s, from, p, seq, ack);
    enter(nat, s, tcp_state(s, from, flags), now_us);
}

/* ---- new sessions ---- */

static const struct nat_service *service_of(const struct nat *nat, const struct flow_key *key)
{
    struct endpoint at = {.port = key->service_port, .family = key->family, .proto = key->proto};
    memcpy(at.address, key->service, 16);
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
        struct nat_local *local = &nat->memory.locals[nat->next_local++ % nat->memory.n_locals];
        if (local->family == family && local->n_free > 0)
            return local;
    }
    return NULL;
}

static uint16_t change_of(const void *before, const void *after, unsigned size, uint64_t more)
{
    return csum_fold(csum_change(before, after, size) + more);
}

static uint16_t change_of_ports(uint16_t before_source, uint16_t before_dest, uint16_t source, uint16_t dest)
{
    uint8_t before[4], after[4];
    put16(before, before_source);
    put16(before + 2, before_dest);
    put16(after, source);
    put16(after + 2, dest);
    return change_of(before, after, 4, 0);
}

static const uint8_t *local_address(const struct nat *nat, const struct nat_session *s)
{
    return nat->memory.locals[s->local_index].address;
}

static void note_changes(const struct nat *nat, struct nat_session *s)
{
    unsigned size = packet_address_size(s->family);
    const uint8_t *local = local_address(nat, s);
    s->l3_in = change_of(s->client, local, size, csum_change(s->service, s->backend, size));
    s->l3_out = change_of(s->backend, s->service, size, csum_change(local, s->client, size));
    uint16_t in = change_of_ports(s->client_port, s->service_port, s->local_port, s->backend_port);
    uint16_t out = change_of_ports(s->backend_port, s->local_port, s->service_port, s->client_port);
    s->l4_in = csum_fold((uint64_t)s->l3_in + in);
    s->l4_out = csum_fold((uint64_t)s->l3_out + out);
}

/* Higher than where the port's last stream ended, so that a backend in TIME_WAIT takes it for a new one. */
static uint32_t isn_of(const struct nat *nat, const struct nat_session *s, uint64_t now_us)
{
    uint64_t mixed = (nat->secret ^ s->local_port) * 0x9e3779b97f4a7c15u;
    uint32_t isn = (uint32_t)(mixed >> 32) + (uint32_t)now_us * ISN_PER_US;
    uint32_t last = nat->memory.locals[s->local_index].last_seq[s->local_port - NAT_PORT_MIN];
    return last != 0 && (int32_t)(isn - last) < (int32_t)ISN_STEP ? last + ISN_STEP : isn;
}

static struct nat_session *begin(struct nat *nat, const struct flow_key *key, uint64_t hash, uint32_t adjacency,
                                 uint64_t now_us, enum drop *drop)
{
    const struct nat_service *service = service_of(nat, key);
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
    s->family = key->family;
    s->proto = key->proto;
    s->toa = s->wants_toa = (service->flags & NAT_TOA) && key->proto == PROTO_TCP;
    memcpy(s->client, key->client, 16);
    memcpy(s->service, key->service, 16);
    memcpy(s->backend, backend->address, 16);
    s->client_port = key->client_port;
    s->service_port = key->service_port;
    s->local_port = local->free_ports[local->free_first];
    s->backend_port = backend->port;
    local->free_first = (local->free_first + 1) % NAT_PORTS;
    local->n_free--;
    local->by_port[s->local_port - NAT_PORT_MIN] = index;
    s->local_index = (uint32_t)(local - nat->memory.locals);
    s->hash = hash;
    s->backend_slot = backend->slot;
    nat->memory.backend_sessions[backend->slot]++;
    s->adjacency_in = backend->adjacency;
    s->adjacency_out = adjacency;
    note_changes(nat, s);
    enter(nat, s, key->proto == PROTO_TCP ? NAT_SYN_SENT : NAT_ASKED, now_us);
    nat->created++;
    return s;
}

/* ---- options ---- */

/* What a change of `size` bytes at `at` (of the TCP header) makes of the checksum, wherever it begins; it is made. */
static uint64_t replace(uint8_t *tcp, unsigned at, const uint8_t *bytes, unsigned size)
{
    uint8_t before[TCP_HEADER_MAX + 2] = {0}, after[TCP_HEADER_MAX + 2] = {0};
    unsigned odd = at % 2;
    memcpy(before + odd, tcp + at, size);
    memcpy(after + odd, bytes, size);
    memcpy(tcp + at, bytes, size);
    return csum_change(before, after, (size + odd + 1) & ~1u);
}

struct option {
    uint8_t kind;
    unsigned at, size; /* in the TCP header */
};
/* The next option; *at begins with TCP_SIZE. False: no more, or one that does not hold together. */
static bool option_next(const uint8_t *tcp, unsigned header, unsigned *at, struct option *option)
{
    while (*at < header && tcp[*at] == OPTION_NOP)
        ++*at;
    if (*at + 1 >= header || tcp[*at] == OPTION_END || tcp[*at + 1] < 2 || *at + tcp[*at + 1] > header)
        return false;
    *option = (struct option){tcp[*at], *at, tcp[*at + 1]};
    *at += option->size;
    return true;
}

static uint64_t blank(uint8_t *tcp, const struct option *option)
{
    uint8_t nops[TCP_HEADER_MAX];
    memset(nops, OPTION_NOP, sizeof nops);
    return replace(tcp, option->at, nops, option->size);
}

static uint64_t shift_sacks(uint8_t *tcp, const struct option *option, uint32_t by)
{
    uint64_t change = 0;
    for (unsigned at = option->at + 2; at + 4 <= option->at + option->size; at += 4) {
        uint8_t shifted[4];
        put32(shifted, get32(tcp + at) + by);
        change += replace(tcp, at, shifted, 4);
    }
    return change;
}

static uint64_t lower_mss(uint8_t *tcp, const struct option *option, unsigned by)
{
    uint16_t mss = get16(tcp + option->at + 2);
    uint8_t lowered[2];
    put16(lowered, (uint16_t)(mss > by + 64 ? mss - by : mss));
    return replace(tcp, option->at + 2, lowered, 2);
}

static unsigned toa_size(const struct nat_session *s)
{
    return s->family == 4 ? TOA4_SIZE : TOA6_SIZE;
}

static uint64_t translate_options(const struct nat_session *s, enum nat_side from, struct packet *p)
{
    uint8_t *tcp = p->frame + p->l4;
    unsigned at = TCP_SIZE, header = (unsigned)(p->payload - p->l4);
    bool syn = p->tcp_flags & TCP_SYN, in = from == NAT_OUTSIDE;
    uint64_t change = 0;
    struct option option;
    while (option_next(tcp, header, &at, &option)) {
        if (option.kind == OPTION_SACK && !in)
            change += shift_sacks(tcp, &option, -s->seq_in);
        else if (option.kind == OPTION_TIMESTAMPS && in && syn)
            change += blank(tcp, &option);
        else if ((option.kind == OPTION_TOA4 || option.kind == OPTION_TOA6) && in)
            change += blank(tcp, &option);
        else if (option.kind == OPTION_MSS && option.size == 4 && !in && syn && s->toa)
            change += lower_mss(tcp, &option, toa_size(s));
    }
    return change;
}

static bool toa_fits(const struct nat_session *s, const struct packet *p)
{
    return (unsigned)(p->payload - p->l4) + toa_size(s) <= TCP_HEADER_MAX && p->room >= toa_size(s);
}

/* The client's address in front of the options: toa_fits. */
static uint64_t insert_toa(const struct nat_session *s, struct packet *p)
{
    uint8_t *tcp = p->frame + p->l4, toa[TOA6_SIZE];
    unsigned size = toa_size(s), header = (unsigned)(p->payload - p->l4);
    toa[0] = s->family == 4 ? OPTION_TOA4 : OPTION_TOA6;
    toa[1] = (uint8_t)size;
    put16(toa + 2, s->client_port);
    memcpy(toa + 4, s->client, size - 4);
    memmove(tcp + TCP_SIZE + size, tcp + TCP_SIZE, p->size - p->l4 - TCP_SIZE);
    memcpy(tcp + TCP_SIZE, toa, size);
    uint8_t offset = (uint8_t)((header + size) / 4 << 4 | (tcp[12] & 15)), length[2];
    uint64_t change = csum_add(replace(tcp, 12, &offset, 1), toa, size);
    /* The pseudo-header's length grows by as much as the packet. */
    put16(length, (uint16_t)size);
    change = csum_add(change, length, 2);
    uint8_t total[2];
    put16(total, (uint16_t)(get16(packet_length(p)) + size));
    if (p->kind == PACKET_IP4)
        csum_patch(p->frame + p->l3 + 10, csum_change(packet_length(p), total, 2), false);
    memcpy(packet_length(p), total, 2);
    p->payload = (uint16_t)(p->payload + size);
    p->size += size;
    p->room -= size;
    return change;
}

/* ---- packets ---- */

static void key_of(const struct packet *p, struct flow_key *key)
{
    memset(key, 0, sizeof *key);
    key->family = packet_family(p);
    key->proto = p->proto;
    memcpy(key->client, packet_source(p), packet_address_size(key->family));
    memcpy(key->service, packet_dest(p), packet_address_size(key->family));
    key->client_port = p->source;
    key->service_port = p->dest;
}

static struct nat_session *find_outside(const struct nat *nat, const struct flow_key *key, uint64_t hash)
{
    unsigned at = 0;
    uint32_t index;
    while ((index = flow_find(&nat->flows, hash, &at)) != FLOW_NONE) {
        struct nat_session *s = &nat->memory.sessions[index];
        if (s->hash == hash && s->client_port == key->client_port && s->service_port == key->service_port &&
            s->proto == key->proto && s->family == key->family && memcmp(s->client, key->client, 16) == 0 &&
            memcmp(s->service, key->service, 16) == 0)
            return s;
    }
    return NULL;
}

/* The address of ours that a packet from inside is for. */
static const struct nat_local *local_at(const struct nat *nat, const struct packet *p)
{
    struct endpoint at = {.family = packet_family(p)};
    memcpy(at.address, packet_dest(p), packet_address_size(at.family));
    uint32_t l = endpoint_find(&nat->local_index, &at);
    return l == ENDPOINT_NONE ? NULL : &nat->memory.locals[l];
}

/* Where the number of a port's session is; NULL: no session has such a port. */
static const uint32_t *session_at(const struct nat_local *local, uint16_t port)
{
    return local != NULL && port >= NAT_PORT_MIN ? &local->by_port[port - NAT_PORT_MIN] : NULL;
}

static struct nat_session *find_inside(const struct nat *nat, const struct nat_local *local, const struct packet *p)
{
    const uint32_t *at = session_at(local, p->dest);
    struct nat_session *s = at == NULL || *at == FLOW_NONE ? NULL : &nat->memory.sessions[*at];
    bool same = s != NULL && s->proto == p->proto && s->backend_port == p->source &&
                memcmp(s->backend, packet_source(p), packet_address_size(local->family)) == 0;
    return same ? s : NULL;
}

static void readdress(struct packet *p, const uint8_t *source, const uint8_t *dest, uint16_t change)
{
    uint8_t *ip = p->frame + p->l3;
    if (p->kind == PACKET_IP6) {
        memcpy(ip + 8, source, 16);
        memcpy(ip + 24, dest, 16);
        ip[7]--;
        return;
    }
    uint8_t hop[2] = {(uint8_t)(ip[8] - 1), ip[9]};
    csum_patch(ip + 10, change + csum_change(ip + 8, hop, 2), false);
    ip[8] = hop[0];
    memcpy(ip + 12, source, 4);
    memcpy(ip + 16, dest, 4);
}

static uint64_t renumber(uint8_t *tcp, unsigned at, uint32_t by)
{
    uint8_t number[4];
    put32(number, get32(tcp + at) + by);
    uint64_t change = csum_change(tcp + at, number, 4);
    memcpy(tcp + at, number, 4);
    return change;
}

static void translate_in(const struct nat *nat, struct nat_session *s, struct packet *p)
{
    uint8_t *l4 = p->frame + p->l4;
    uint64_t change = s->l4_in;
    if (p->proto == PROTO_TCP) {
        change += renumber(l4, 4, s->seq_in);
        if (p->payload - p->l4 > TCP_SIZE)
            change += translate_options(s, NAT_OUTSIDE, p);
        if (s->toa && (p->tcp_flags & TCP_ACK))
            change += insert_toa(s, p);
    }
    put16(l4, s->local_port);
    put16(l4 + 2, s->backend_port);
    csum_patch(packet_sum_field(p), change, p->proto == PROTO_UDP);
    readdress(p, local_address(nat, s), s->backend, s->l3_in);
}

static void translate_out(struct nat_session *s, struct packet *p)
{
    uint8_t *l4 = p->frame + p->l4;
    uint64_t change = s->l4_out;
    if (p->proto == PROTO_TCP) {
        if (s->toa && (p->tcp_flags & TCP_ACK) && (int32_t)(get32(l4 + 8) - s->first_seq) > 0)
            s->toa = false;
        if (p->tcp_flags & TCP_ACK)
            change += renumber(l4, 8, -s->seq_in);
        if (p->payload - p->l4 > TCP_SIZE)
            change += translate_options(s, NAT_INSIDE, p);
    }
    put16(l4, s->service_port);
    put16(l4 + 2, s->client_port);
    csum_patch(packet_sum_field(p), change, p->proto == PROTO_UDP);
    readdress(p, s->service, s->client, s->l3_out);
}

/* A reset in the place of the packet, back to where it came from (RFC 9293, 3.10.7.1). */
static void make_reset(struct packet *p)
{
    uint8_t *tcp = p->frame + p->l4, address[16];
    unsigned size = packet_address_size(packet_family(p));
    uint32_t length = p->size - p->payload + !!(p->tcp_flags & TCP_SYN) + !!(p->tcp_flags & TCP_FIN);
    uint32_t seq = p->tcp_flags & TCP_ACK ? get32(tcp + 8) : 0, ack = get32(tcp + 4) + length;
    memcpy(address, packet_source(p), size);
    memcpy(packet_source(p), packet_dest(p), size);
    memcpy(packet_dest(p), address, size);
    put16(tcp, p->dest);
    put16(tcp + 2, p->source);
    put32(tcp + 4, seq);
    put32(tcp + 8, p->tcp_flags & TCP_ACK ? 0 : ack);
    put16(tcp + 12, (uint16_t)(TCP_SIZE / 4 << 12 | TCP_RST | (p->tcp_flags & TCP_ACK ? 0 : TCP_ACK)));
    put16(tcp + 14, 0);
    put16(tcp + 18, 0);
    p->room += p->size - p->l4 - TCP_SIZE;
    p->size = p->l4 + TCP_SIZE;
    p->payload = (uint16_t)p->size;
    put16(packet_length(p), (uint16_t)(TCP_SIZE + (p->kind == PACKET_IP4 ? IP4_SIZE : 0)));
    *packet_hops(p) = 64;
    packet_sum_fill(p);
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

static bool is_beginning(const struct packet *p)
{
    return p->proto == PROTO_UDP || (p->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN;
}

/* A SYN on a session that is there: one that was sent again, or the client has begun anew. Then the session makes room,
 * unless it is open: there its backend says what it thinks (a challenge, RFC 5961, 4), and the client ends it. */
static bool makes_room(const struct nat_session *s, const struct packet *p)
{
    bool again = p->proto != PROTO_TCP || get32(p->frame + p->l4 + 4) + s->seq_in == s->first_seq - 1;
    return is_beginning(p) && (s->state == NAT_CLOSED || (!again && s->state != NAT_ESTABLISHED));
}

static void begin_stream(const struct nat *nat, struct nat_session *s, const struct packet *p, uint64_t now_us)
{
    uint32_t isn = isn_of(nat, s, now_us);
    s->seq_in = isn - get32(p->frame + p->l4 + 4);
    s->first_seq = s->last_seq = isn + 1;
}

/* What is known of a packet before its session is looked at. */
struct found {
    struct flow_key key; /* from outside */
    uint64_t hash;
    const struct nat_local *local; /* from inside; NULL: not for us */
};

static struct nat_way from_outside(struct nat *nat, uint32_t adjacency, struct packet *p, const struct found *found,
                                   uint64_t now_us)
{
    enum drop drop = DROP_SESSION;
    struct nat_session *s = find_outside(nat, &found->key, found->hash);
    if (s != NULL && makes_room(s, p)) {
        end(nat, s);
        s = NULL;
    }
    if (s == NULL && is_beginning(p)) {
        s = begin(nat, &found->key, found->hash, adjacency, now_us, &drop);
        if (s != NULL && p->proto == PROTO_TCP)
            begin_stream(nat, s, p, now_us);
    } else if (s == NULL && service_of(nat, &found->key) == NULL) {
        drop = DROP_SERVICE;
    }
    if (s == NULL)
        return refuse(nat, NAT_OUTSIDE, adjacency, p, drop);
    if (s->toa && (p->tcp_flags & TCP_ACK) && !toa_fits(s, p))
        return (struct nat_way){.drop = DROP_UNTOLD};
    s->used_ms = (uint32_t)(now_us / 1000);
    s->adjacency_out = adjacency;
    if (p->proto == PROTO_TCP)
        follow_tcp(nat, s, NAT_OUTSIDE, p, now_us);
    translate_in(nat, s, p);
    return (struct nat_way){.side = NAT_INSIDE, .adjacency = s->adjacency_in};
}

static struct nat_way from_inside(struct nat *nat, uint32_t adjacency, struct packet *p, const struct found *found,
                                  uint64_t now_us)
{
    const struct nat_local *local = found->local;
    struct nat_session *s = local == NULL ? NULL : find_inside(nat, local, p);
    if (s == NULL)
        return refuse(nat, NAT_INSIDE, adjacency, p, local == NULL ? DROP_FOREIGN : DROP_SESSION);
    s->used_ms = (uint32_t)(now_us / 1000);
    if (p->proto == PROTO_TCP)
        follow_tcp(nat, s, NAT_INSIDE, p, now_us);
    else
        enter(nat, s, NAT_DATAGRAMS, now_us);
    translate_out(s, p);
    return (struct nat_way){.side = NAT_OUTSIDE, .adjacency = s->adjacency_out};
}

/* First pass: where its session is to be looked for. */
static void find_place(const struct nat *nat, enum nat_side from, const struct packet *p, struct found *found)
{
    if (from == NAT_OUTSIDE) {
        key_of(p, &found->key);
        found->hash = flow_hash(nat->flows.secret, &found->key);
        flow_prefetch(&nat->flows, found->hash);
    } else {
        found->local = local_at(nat, p);
        __builtin_prefetch(session_at(found->local, p->dest)); /* NULL does no harm */
    }
}

/* Second pass: fetches the session, both lines of it. */
static void fetch_session(const struct nat *nat, enum nat_side from, const struct packet *p, const struct found *found)
{
    unsigned at = 0;
    const uint32_t *port = from == NAT_OUTSIDE ? NULL : session_at(found->local, p->dest);
    uint32_t index = from == NAT_OUTSIDE ? flow_find(&nat->flows, found->hash, &at) : port != NULL ? *port : FLOW_NONE;
    if (index == FLOW_NONE)
        return;
    const char *session = (const char *)&nat->memory.sessions[index];
    __builtin_prefetch(session);
    __builtin_prefetch(session + 64);
}

void nat_translate(struct nat *nat, enum nat_side from, struct packet *const *packets, struct nat_way *ways, unsigned n,
                   uint64_t now_us)
{
    struct found found[NAT_BURST];
    assert(n <= NAT_BURST);
    for (unsigned i = 0; i < n; i++)
        find_place(nat, from, packets[i], &found[i]);
    for (unsigned i = 0; i < n; i++)
        fetch_session(nat, from, packets[i], &found[i]);
    for (unsigned i = 0; i < n; i++) {
        struct packet *p = packets[i];
        assert(p->proto == PROTO_TCP || p->proto == PROTO_UDP);
        if (*packet_hops(p) <= 1)
            ways[i] = (struct nat_way){.drop = DROP_TTL};
        else if (from == NAT_OUTSIDE)
            ways[i] = from_outside(nat, ways[i].adjacency, p, &found[i], now_us);
        else
            ways[i] = from_inside(nat, ways[i].adjacency, p, &found[i], now_us);
    }
}
