/* Sessions that begin with a SYN cookie: the client is there before its backend was asked.
 *
 *   client            forwarder                 backend
 *     | SYN              |                         |
 *     |<-- SYN-ACK (cookie)                        |       nothing is remembered
 *     | ACK, data        |                         |
 *     |                  | SYN                     |       a session; what else the client says is kept, a little
 *     |                  |<------------- SYN-ACK --|
 *     |                  | ACK, data               |       both countings are known: translated from now on
 */
#include "dataplane/csum.h"
#include "dataplane/nat_private.h"
#include "dataplane/tcpoption.h"
#include "dataplane/translate.h"

#include <assert.h>
#include <string.h>

#define WINDOW 14600u /* of our SYN-ACK, bytes: as much as a client sends at once (RFC 6928) is HELD_MAX packets */
#define HELD_MAX 10u  /* packets of one session */
#define MSS4 1460u    /* of Ethernet; what is inserted goes off */
#define MSS6 1440u
#define SYN_TRIES 5u         /* the last after 3.2 s */
#define SYN_FIRST_US 200000u /* before the second, then twice as long each time */

/* ---- frames: a free list, a list of those to be sent, a list for each session of those that wait ---- */

void splice_init(struct nat *nat)
{
    assert(nat->memory.n_frames < NAT_NO_FRAME);
    nat->free_frame = nat->first_out = nat->last_out = nat->sent_out = NAT_NO_FRAME;
    for (uint32_t i = nat->memory.n_frames; i-- > 0; nat->free_frame = (uint16_t)i)
        nat->memory.frames[i].next = nat->free_frame;
    nat->n_free_frames = nat->memory.n_frames;
}

static struct nat_frame *frame_take(struct nat *nat)
{
    if (nat->free_frame == NAT_NO_FRAME) {
        nat->unkept++;
        return NULL;
    }
    struct nat_frame *frame = &nat->memory.frames[nat->free_frame];
    nat->free_frame = frame->next;
    nat->n_free_frames--;
    frame->next = NAT_NO_FRAME;
    return frame;
}

static uint16_t frame_index(const struct nat *nat, const struct nat_frame *frame)
{
    return (uint16_t)(frame - nat->memory.frames);
}

static void frame_give_back(struct nat *nat, uint16_t index)
{
    nat->memory.frames[index].next = nat->free_frame;
    nat->free_frame = index;
    nat->n_free_frames++;
}

static void send(struct nat *nat, struct nat_frame *frame, const struct packet *p, struct nat_way way)
{
    uint16_t index = frame_index(nat, frame);
    frame->size = (uint16_t)p->size;
    frame->way = way;
    frame->next = NAT_NO_FRAME;
    if (nat->first_out == NAT_NO_FRAME)
        nat->first_out = index;
    else
        nat->memory.frames[nat->last_out].next = index;
    nat->last_out = index;
}

const struct nat_frame *nat_next_out(struct nat *nat)
{
    if (nat->sent_out != NAT_NO_FRAME)
        frame_give_back(nat, nat->sent_out);
    nat->sent_out = nat->first_out;
    if (nat->first_out == NAT_NO_FRAME)
        return NULL;
    struct nat_frame *frame = &nat->memory.frames[nat->first_out];
    nat->first_out = frame->next;
    return frame;
}

static struct packet packet_in(struct nat_frame *frame)
{
    return (struct packet){.frame = frame->bytes, .size = frame->size, .room = NAT_FRAME - frame->size};
}

/* Keeps a copy for when the backend has answered. */
static bool hold(struct nat *nat, struct nat_session *s, const struct packet *p)
{
    struct nat_frame *frame = s->n_held < HELD_MAX && p->size + NAT_ROOM <= NAT_FRAME ? frame_take(nat) : NULL;
    if (frame == NULL)
        return false;
    frame->size = (uint16_t)p->size;
    memcpy(frame->bytes, p->frame, p->size);
    uint16_t *end = &s->held;
    for (unsigned i = 0; i < s->n_held; i++)
        end = &nat->memory.frames[*end].next;
    *end = frame_index(nat, frame);
    s->n_held++;
    return true;
}

void splice_clear(struct nat *nat, struct nat_session *s)
{
    for (uint16_t index = s->held; s->n_held > 0; s->n_held--) {
        uint16_t next = nat->memory.frames[index].next;
        frame_give_back(nat, index);
        index = next;
    }
}

/* ---- packets that are made here ---- */

static struct syncookie agreed(const struct nat_session *s)
{
    return (struct syncookie){s->agreed >> 4, s->agreed >> 3 & 1, s->agreed & 7};
}

/* As if the client had said it. */
static void make_from_client(const struct nat_session *s, struct packet *p, struct tcp_segment say)
{
    say.family = s->key.family;
    say.source = s->key.client;
    say.dest = s->key.service;
    say.from = s->key.client_port;
    say.to = s->key.service_port;
    packet_make_tcp(p, &say);
}

static unsigned syn_options(uint8_t *options, uint16_t mss, struct syncookie offer, uint8_t scale)
{
    const uint32_t nops = OPTION_NOP << 8 | OPTION_NOP;
    bool scales = offer.scale != COOKIE_NO_SCALE;
    put32(options, OPTION_MSS << 24 | 4u << 16 | mss);
    put32(options + 4, (offer.sack ? OPTION_SACK_PERMITTED << 8 | 2u : nops) << 16 |
                           (scales ? OPTION_NOP << 8 | OPTION_SCALE : nops));
    put32(options + 8, (scales ? 3u << 8 | scale : nops) << 16 | nops);
    return 12;
}

/* The client's SYN once more, for the backend. */
static struct nat_way make_syn(const struct nat *nat, struct nat_session *s, struct packet *p)
{
    uint8_t options[TCP_SIZE];
    struct syncookie offer = agreed(s);
    uint32_t window = (uint32_t)s->window
                      << (offer.scale == COOKIE_NO_SCALE ? 0 : offer.scale); /* a SYN's is not scaled */
    struct tcp_segment say = {.flags = TCP_SYN,
                              .seq = s->first_seq - 1 - s->seq_in,
                              .window = (uint16_t)(window < UINT16_MAX ? window : UINT16_MAX),
                              .options = options};
    say.n_options = syn_options(options, syncookie_mss(offer.mss), offer, offer.scale);
    make_from_client(s, p, say);
    translate_in(s, nat_local_address(nat, s), p);
    return (struct nat_way){.side = NAT_INSIDE, .adjacency = s->adjacency_in};
}

/* The end of the handshake with the backend, with all that is to be told with it. */
static struct nat_way make_ack(const struct nat *nat, struct nat_session *s, uint32_t backend_next, struct packet *p)
{
    make_from_client(
        s, p,
        (struct tcp_segment){
            .flags = TCP_ACK, .seq = s->first_seq - s->seq_in, .ack = backend_next + s->seq_out, .window = s->window});
    if (!translate_fits(s, p))
        return (struct nat_way){.drop = DROP_UNTOLD};
    translate_in(s, nat_local_address(nat, s), p);
    return (struct nat_way){.side = NAT_INSIDE, .adjacency = s->adjacency_in};
}

/* The client's connection is over: there is no backend for it. */
static struct nat_way make_reset(struct nat *nat, struct nat_session *s, struct packet *p, uint64_t now_us)
{
    struct tcp_segment say = {.family = s->key.family,
                              .source = s->key.service,
                              .dest = s->key.client,
                              .from = s->key.service_port,
                              .to = s->key.client_port,
                              .flags = TCP_RST,
                              .seq = s->seq_out + 1};
    packet_make_tcp(p, &say);
    s->reset = NAT_INSIDE + 1;
    splice_clear(nat, s);
    nat_enter(nat, s, NAT_CLOSED, now_us);
    nat->resets++;
    return (struct nat_way){.side = NAT_OUTSIDE, .adjacency = s->adjacency_out};
}

/* ---- SYN and what brings its cookie back ---- */

bool splice_wanted(const struct nat *nat)
{
    return nat->states[NAT_SYN_SENT] + nat->states[NAT_SYN_RECEIVED] + nat->states[NAT_CONNECTING] >=
           nat->cookies_above;
}

static struct syncookie offer_of(const struct packet *p)
{
    const uint8_t *tcp = p->frame + p->l4;
    uint8_t scale = COOKIE_NO_SCALE, mss = 0; /* each by itself: what is written in bytes and read as a word waits */
    bool sack = false;
    struct tcp_option option;
    for (unsigned at = TCP_SIZE; tcp_option_next(tcp, (unsigned)(p->payload - p->l4), &at, &option);)
        if (option.kind == OPTION_MSS && option.size == 4)
            mss = syncookie_mss_index(get16(tcp + option.at + 2));
        else if (option.kind == OPTION_SCALE && option.size == 3)
            scale = tcp[option.at + 2] < 14 ? tcp[option.at + 2] : 14; /* RFC 7323, 2.3 */
        else if (option.kind == OPTION_SACK_PERMITTED && option.size == 2)
            sack = true;
    return (struct syncookie){.scale = scale, .sack = sack, .mss = mss};
}

struct nat_way splice_answer_syn(struct nat *nat, const struct flow_key *key, uint32_t adjacency, struct packet *p,
                                 uint64_t now_us)
{
    uint8_t options[TCP_SIZE];
    const struct nat_service *service = nat_service_of(nat, key);
    if (service == NULL)
        return (struct nat_way){.drop = DROP_SERVICE};
    unsigned told = translate_overhead_of(key->family, service->flags & NAT_TOA, service->flags & NAT_PROXY);
    struct syncookie offer = offer_of(p);
    uint32_t seq = get32(p->frame + p->l4 + 4);
    struct tcp_segment say = {.family = key->family,
                              .source = key->service,
                              .dest = key->client,
                              .from = key->service_port,
                              .to = key->client_port,
                              .flags = TCP_SYN | TCP_ACK,
                              .seq = syncookie_make(nat->cookie_key, key, seq, offer, now_us),
                              .ack = seq + 1,
                              .window = WINDOW,
                              .options = options};
    uint16_t mss = (uint16_t)((key->family == 4 ? MSS4 : MSS6) - told);
    say.n_options = syn_options(options, mss, offer, COOKIE_SCALE);
    packet_make_tcp(p, &say);
    nat->cookies++;
    nat->cookies_until_us = now_us + 2 * COOKIE_MINUTE_US;
    return (struct nat_way){.side = NAT_OUTSIDE, .adjacency = adjacency};
}

bool splice_begin(struct nat *nat, const struct flow_key *key, uint64_t hash, uint32_t adjacency, struct packet *p,
                  uint64_t now_us, struct nat_way *way)
{
    const uint8_t *tcp = p->frame + p->l4;
    uint32_t seq = get32(tcp + 4) - 1, number = get32(tcp + 8) - 1;
    struct syncookie offer;
    if (now_us >= nat->cookies_until_us || (p->tcp_flags & (TCP_ACK | TCP_SYN | TCP_RST)) != TCP_ACK)
        return false;
    *way = (struct nat_way){.drop = DROP_COOKIE};
    if (!syncookie_check(nat->cookie_key, key, seq, number, now_us, &offer))
        return p->size > p->payload; /* the one that brings it back may have been lost: it comes again */
    if (!packet_sum_good(p)) {
        way->drop = DROP_DAMAGED;
        return true;
    }
    enum drop drop;
    struct nat_session *s = nat_begin(nat, key, hash, seq, adjacency, now_us, &drop);
    if (s == NULL) {
        way->drop = drop;
        return true;
    }
    s->agreed = (uint8_t)number;
    s->seq_out = number;
    s->window = get16(tcp + 14);
    if (p->size > p->payload || (p->tcp_flags & TCP_FIN))
        hold(nat, s, p);
    nat_enter(nat, s, NAT_CONNECTING, now_us);
    wheel_set(&nat->wheel, nat_index_of(nat, s), now_us + SYN_FIRST_US);
    *way = make_syn(nat, s, p);
    return true;
}

/* ---- until the backend answers ---- */

struct nat_way splice_from_client(struct nat *nat, struct nat_session *s, struct packet *p, uint64_t now_us)
{
    const uint8_t *tcp = p->frame + p->l4;
    if (!packet_sum_good(p))
        return (struct nat_way){.drop = DROP_DAMAGED};
    if ((p->tcp_flags & TCP_RST) && get32(tcp + 4) == s->first_seq - s->seq_in) {
        s->reset = NAT_OUTSIDE + 1; /* the backend's answer will be reset */
        splice_clear(nat, s);
        nat_enter(nat, s, NAT_CLOSED, now_us);
    } else if ((p->tcp_flags & (TCP_ACK | TCP_SYN | TCP_RST)) == TCP_ACK) {
        s->window = get16(tcp + 14);
        if (p->size > p->payload || (p->tcp_flags & TCP_FIN))
            hold(nat, s, p); /* when it cannot it is as if it had been lost */
    }
    return (struct nat_way){.drop = DROP_WAITING};
}

/* What the backend agrees to, beside what the client was told: our window's scale was COOKIE_SCALE. */
static void note_agreement(struct nat_session *s, const struct packet *answer)
{
    struct syncookie client = agreed(s), backend = offer_of(answer);
    s->no_sack = !backend.sack;
    if (client.scale == COOKIE_NO_SCALE)
        return;
    bool scales = backend.scale != COOKIE_NO_SCALE;
    s->shift_in = (int8_t)(scales ? 0 : client.scale);
    s->shift_out = (int8_t)((scales ? backend.scale : 0) - (int)COOKIE_SCALE);
}

static void release_held(struct nat *nat, struct nat_session *s, uint64_t now_us)
{
    uint16_t index = s->held;
    unsigned n = s->n_held;
    s->n_held = 0;
    while (n-- > 0) {
        struct nat_frame *frame = &nat->memory.frames[index];
        uint16_t next = frame->next;
        struct packet p = packet_in(frame);
        packet_parse(&p); /* it was good before */
        struct nat_way way = nat_from_client(nat, s, &p, now_us);
        if (way.drop == DROP_NONE)
            send(nat, frame, &p, way);
        else
            frame_give_back(nat, index);
        index = next;
    }
}

struct nat_way splice_confirm(struct nat *nat, struct nat_session *s, struct packet *p)
{
    return make_ack(nat, s, get32(p->frame + p->l4 + 4) + 1, p);
}

struct nat_way splice_from_backend(struct nat *nat, struct nat_session *s, uint32_t adjacency, struct packet *p,
                                   uint64_t now_us)
{
    const uint8_t *tcp = p->frame + p->l4;
    if (!packet_sum_good(p))
        return (struct nat_way){.drop = DROP_DAMAGED};
    bool ours = (p->tcp_flags & TCP_ACK) && get32(tcp + 8) == s->first_seq;
    if ((p->tcp_flags & TCP_RST) && ours)
        return make_reset(nat, s, p, now_us);
    if (nat_is_answer(p) && ours) {
        s->seq_out -= get32(tcp + 4);
        s->spliced = true;
        note_agreement(s, p);
        nat_enter(nat, s, NAT_ESTABLISHED, now_us);
        struct nat_way way = splice_confirm(nat, s, p);
        release_held(nat, s, now_us);
        return way;
    }
    if ((p->tcp_flags & (TCP_ACK | TCP_RST)) != TCP_ACK)
        return (struct nat_way){.drop = DROP_WAITING};
    /* It knows a connection of this port that is over (a challenge, RFC 5961, 4): that one is ended, then asked anew.
     */
    struct tcp_segment say = {.family = s->key.family,
                              .source = packet_dest(p),
                              .dest = packet_source(p),
                              .from = p->dest,
                              .to = p->source,
                              .flags = TCP_RST,
                              .seq = get32(tcp + 8)};
    packet_make_tcp(p, &say);
    wheel_set(&nat->wheel, nat_index_of(nat, s), now_us);
    return (struct nat_way){.side = NAT_INSIDE, .adjacency = adjacency};
}

void splice_turn(struct nat *nat, struct nat_session *s, uint64_t now_us)
{
    struct nat_frame *frame = frame_take(nat);
    wheel_set(&nat->wheel, nat_index_of(nat, s), now_us + ((uint64_t)SYN_FIRST_US << s->tries));
    if (frame == NULL)
        return; /* later */
    frame->size = ETHER_SIZE;
    struct packet p = packet_in(frame);
    bool again = ++s->tries < SYN_TRIES;
    struct nat_way way = again ? make_syn(nat, s, &p) : make_reset(nat, s, &p, now_us);
    send(nat, frame, &p, way);
}
