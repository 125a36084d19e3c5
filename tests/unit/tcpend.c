#include "tests/unit/tcpend.h"

#include "dataplane/tcpoption.h"

#include <string.h>

#define RTO_US 200000u
#define RTO_MAX_US 3200000u
#define PREFACE 52u /* bytes that may be put in front of a stream, of which its sender does not know */

static bool before(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) < 0;
}

void tcpend_init(struct tcpend *end, const struct tcpend_config *config)
{
    *end = (struct tcpend){.config = *config, .other_port = config->other_port, .timer_us = UINT64_MAX};
    end->hears = g_byte_array_new();
    end->una = end->next = end->most = config->first_seq;
    end->base = config->first_seq + 1;
    end->other_scale = -1;
    end->other_mss = 536;
    if (config->other_port != 0)
        memcpy(end->other, config->other, packet_address_size(config->family));
}

GByteArray *tcpend_bytes(uint32_t n)
{
    GByteArray *bytes = g_byte_array_sized_new(n);
    for (uint32_t i = 0; i < n; i++)
        g_byte_array_append(bytes, (const uint8_t[]){(uint8_t)(i * 7 + i / 251)}, 1);
    return bytes;
}

void tcpend_clear(struct tcpend *end)
{
    g_byte_array_unref(end->hears);
}

bool tcpend_done(const struct tcpend *end)
{
    return end->fin_sent && end->fin_heard && end->una == end->next;
}

static void failed(struct tcpend *end, const char *error)
{
    if (end->error == NULL)
        end->error = error;
}

/* ---- sending ---- */

static unsigned syn_options(const struct tcpend *end, uint8_t *o, bool answers)
{
    unsigned n = 0;
    o[n++] = OPTION_MSS;
    o[n++] = 4;
    put16(o + n, end->config.mss);
    n += 2;
    if (end->config.sack && (!answers || end->other_sack)) {
        o[n++] = OPTION_SACK_PERMITTED;
        o[n++] = 2;
    }
    if (end->config.timestamps && !answers) {
        o[n++] = OPTION_TIMESTAMPS;
        o[n++] = 10;
        memset(o + n, 7, 8);
        n += 8;
    }
    if (end->config.scale >= 0 && (!answers || end->other_scale >= 0)) {
        o[n++] = OPTION_SCALE;
        o[n++] = 3;
        o[n++] = (uint8_t)end->config.scale;
    }
    while (n % 4 != 0)
        o[n++] = OPTION_NOP;
    return n;
}

static unsigned select_options(const struct tcpend *end, uint8_t *o)
{
    if (!end->config.sack || !end->other_sack || end->select[0] == end->select[1])
        return 0;
    const uint8_t head[] = {OPTION_NOP, OPTION_NOP, OPTION_SACK, 10};
    memcpy(o, head, 4);
    put32(o + 4, end->select[0]);
    put32(o + 8, end->select[1]);
    return 12;
}

/* Bytes that it takes from now on. */
static uint32_t room(struct tcpend *end, uint64_t now_us)
{
    return now_us < end->config.deaf_us ? 0 : end->config.window;
}

static void say(struct tcpend *end, uint8_t flags, uint32_t seq, const uint8_t *data, uint32_t size, uint64_t now_us)
{
    uint8_t frame[1664], options[40];
    int scale = end->other_scale >= 0 && !(flags & TCP_SYN) && end->config.scale >= 0 ? end->config.scale : 0;
    uint32_t window = room(end, now_us) >> scale;
    window = window < UINT16_MAX ? window : UINT16_MAX;
    struct tcp_segment segment = {.family = end->config.family,
                                  .source = end->config.own,
                                  .dest = end->other,
                                  .from = end->config.own_port,
                                  .to = end->other_port,
                                  .seq = seq,
                                  .ack = flags & TCP_ACK ? end->heard : 0,
                                  .flags = flags,
                                  .window = (uint16_t)window,
                                  .options = options};
    segment.n_options = flags & TCP_SYN ? syn_options(end, options, flags & TCP_ACK) : select_options(end, options);
    struct packet p = {.frame = frame, .size = ETHER_SIZE, .room = sizeof frame - ETHER_SIZE};
    memset(frame, 0, ETHER_SIZE);
    packet_make_tcp(&p, &segment);
    if (size > 0) {
        memcpy(frame + p.size, data, size);
        p.size += size;
        put16(packet_length(&p), (uint16_t)(get16(packet_length(&p)) + size));
        packet_sum_fill(&p);
    }
    if (before(end->allowed, end->heard + (window << scale)))
        end->allowed = end->heard + (window << scale);
    if (before(end->most, seq + size + !!(flags & (TCP_SYN | TCP_FIN))))
        end->most = seq + size + !!(flags & (TCP_SYN | TCP_FIN));
    end->send(end->context, frame, p.size);
}

static void acknowledge(struct tcpend *end, uint64_t now_us)
{
    say(end, TCP_ACK, end->next, NULL, 0, now_us);
}

static void set_timer(struct tcpend *end, uint64_t now_us)
{
    uint64_t rto = (uint64_t)RTO_US << end->tries;
    end->timer_us = now_us + (rto < RTO_MAX_US ? rto : RTO_MAX_US);
}

/* From `next` on, as far as windows let it. probe: a byte in any case. */
static void send_stream(struct tcpend *end, bool probe, uint64_t now_us)
{
    const GByteArray *says = end->config.says;
    uint32_t size = says->len, mss = end->other_mss < end->config.mss ? end->other_mss : end->config.mss;
    if (end->config.sack && end->other_sack)
        mss -= 12; /* what an acknowledgement may carry */
    while (!end->fin_sent) {
        uint32_t at = end->next - end->base, left = size - at;
        uint32_t open = end->una + end->window - end->next;
        open = (int32_t)open <= 0 ? 0 : open;
        if (probe && open == 0)
            open = 1;
        probe = false;
        uint32_t n = left < mss ? left : mss;
        n = n < open ? n : open;
        bool fin = n == left && (!end->config.ends_second || end->fin_heard) && (n > 0 || left == 0);
        if (n == 0 && !fin)
            break;
        if (n < left && n < mss && n == open && end->next != end->una)
            break; /* no silly pieces */
        say(end, (uint8_t)(TCP_ACK | TCP_PSH | (fin ? TCP_FIN : 0)), end->next, says->data + at, n, now_us);
        end->next += n + fin;
        end->fin_sent = fin;
    }
}

static void again(struct tcpend *end, uint64_t now_us)
{
    end->tries = end->tries < 5 ? end->tries + 1 : end->tries;
    if (!end->open) {
        say(end, end->config.other_port != 0 ? TCP_SYN : TCP_SYN | TCP_ACK, end->base - 1, NULL, 0, now_us);
        return;
    }
    end->next = end->una;
    end->fin_sent = false;
    send_stream(end, true, now_us);
}

void tcpend_turn(struct tcpend *end, uint64_t now_us)
{
    if (end->reset)
        return;
    if (!end->sent_syn && end->config.other_port != 0) {
        end->sent_syn = true;
        end->next = end->base;
        say(end, TCP_SYN, end->base - 1, NULL, 0, now_us);
    } else if (now_us >= end->timer_us) {
        again(end, now_us);
    } else if (end->open) {
        send_stream(end, false, now_us);
    } else {
        return;
    }
    bool waits = end->una != end->next || (end->open && end->window == 0 && !end->fin_sent);
    if (!waits)
        end->timer_us = UINT64_MAX;
    else if (end->timer_us <= now_us || end->timer_us == UINT64_MAX)
        set_timer(end, now_us);
}

/* ---- receiving ---- */

static void hear_options(struct tcpend *end, const struct packet *p)
{
    const uint8_t *tcp = p->frame + p->l4;
    struct tcp_option option;
    bool syn = p->tcp_flags & TCP_SYN;
    for (unsigned at = TCP_SIZE; tcp_option_next(tcp, (unsigned)(p->payload - p->l4), &at, &option);) {
        const uint8_t *value = tcp + option.at + 2;
        if (syn && option.kind == OPTION_MSS)
            end->other_mss = get16(value);
        else if (syn && option.kind == OPTION_SCALE && end->config.scale >= 0)
            end->other_scale = value[0];
        else if (syn && option.kind == OPTION_SACK_PERMITTED)
            end->other_sack = true;
        else if (option.kind == OPTION_TIMESTAMPS)
            failed(end, "timestamps have come through");
        else if (option.kind == OPTION_SACK && (before(end->most, get32(value + 4)) || !end->config.sack))
            failed(end, "what was never sent is selected");
        else if (option.kind == OPTION_TOA4 || option.kind == OPTION_TOA6) {
            end->toas++;
            memcpy(end->toa, value, option.size - 2);
        }
    }
}

/* A SYN or its answer. */
static void hear_syn(struct tcpend *end, const struct packet *p, uint64_t now_us)
{
    const uint8_t *tcp = p->frame + p->l4;
    bool client = end->config.other_port != 0;
    if (client != !!(p->tcp_flags & TCP_ACK) || (client && get32(tcp + 8) != end->base))
        return;
    if (end->open || (!client && end->sent_syn)) { /* again */
        if (client || !end->open)
            say(end, client ? TCP_ACK : TCP_SYN | TCP_ACK, client ? end->next : end->base - 1, NULL, 0, now_us);
        return;
    }
    hear_options(end, p);
    if (!client) {
        memcpy(end->other, packet_source(p), packet_address_size(end->config.family));
        end->other_port = p->source;
    }
    end->other_base = end->heard = end->allowed = get32(tcp + 4) + 1;
    end->window = get16(tcp + 14);
    end->sent_syn = true;
    end->next = end->base;
    if (client) {
        end->open = true;
        end->una = end->base;
        end->tries = 0;
        end->timer_us = UINT64_MAX;
        acknowledge(end, now_us);
    } else {
        say(end, TCP_SYN | TCP_ACK, end->base - 1, NULL, 0, now_us);
        set_timer(end, now_us);
    }
}

static void hear_ack(struct tcpend *end, const struct packet *p)
{
    uint32_t ack = get32(p->frame + p->l4 + 8), behind = end->base + end->config.says->len + 1;
    if (before(behind, ack)) {
        failed(end, "what was never sent is acknowledged");
        return;
    }
    if (before(ack, end->una))
        return;
    if (before(end->una, ack)) {
        end->tries = 0;
        end->timer_us = UINT64_MAX;
    }
    end->una = ack;
    if (before(end->next, ack)) { /* it was sent before it began again */
        end->next = ack;
        end->fin_sent = ack == behind;
    }
    end->window = (uint32_t)get16(p->frame + p->l4 + 14) << (end->other_scale >= 0 ? end->other_scale : 0);
}

static void hear_data(struct tcpend *end, const struct packet *p, uint64_t now_us)
{
    uint32_t seq = get32(p->frame + p->l4 + 4), size = p->size - p->payload;
    bool fin = p->tcp_flags & TCP_FIN;
    if (size == 0 && !fin) {
        if (seq != end->heard && before(seq, end->heard))
            acknowledge(end, now_us); /* a probe */
        return;
    }
    uint32_t excused = end->other_base + end->config.overrun;
    uint32_t edge = end->allowed + 1 + (end->config.overrun > 0 ? PREFACE : 0); /* a probe may be a byte behind it */
    if (before(edge, seq + size) && before(excused, seq + size))
        failed(end, "data is beyond the window that was offered");
    uint32_t old = end->heard - seq;
    if (before(end->heard, seq)) {
        end->select[0] = seq;
        end->select[1] = seq + size + fin;
    } else if (old < size + fin && !end->fin_heard && room(end, now_us) > 0) {
        g_byte_array_append(end->hears, p->frame + p->payload + old, size > old ? size - old : 0);
        end->heard = seq + size + fin;
        end->fin_heard = fin;
        end->select[0] = end->select[1];
    }
    acknowledge(end, now_us);
}

void tcpend_receive(struct tcpend *end, uint8_t *frame, uint32_t size, uint64_t now_us)
{
    struct packet p = {.frame = frame, .size = size};
    if (packet_parse(&p) != DROP_NONE || p.proto != PROTO_TCP || !packet_sum_good(&p) ||
        packet_family(&p) != end->config.family || p.dest != end->config.own_port ||
        memcmp(packet_dest(&p), end->config.own, packet_address_size(end->config.family)) != 0)
        return;
    if (end->other_port != 0 && p.source != end->other_port)
        return;
    if (p.tcp_flags & TCP_RST) {
        if (end->fin_sent && end->fin_heard)
            end->una = end->next; /* all has been said, and the other end is away: so it has heard it */
        else if (end->sent_syn)
            end->reset = true;
        return;
    }
    if (p.tcp_flags & TCP_SYN) {
        hear_syn(end, &p, now_us);
        return;
    }
    if (!end->sent_syn || !(p.tcp_flags & TCP_ACK))
        return;
    if (!end->open && get32(frame + p.l4 + 8) == end->base) {
        end->open = true; /* the third of the handshake */
        end->una = end->base;
    }
    if (!end->open)
        return;
    hear_options(end, &p);
    hear_ack(end, &p);
    hear_data(end, &p, now_us);
}
