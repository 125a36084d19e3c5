#include "dataplane/bfd.h"

#include "dataplane/packet.h"

#include <assert.h>
#include <string.h>

#define VERSION 1
#define AUTHENTICATED_SIZE_MIN 26
#define JITTER_PERCENT 25u /* 6.8.7 */
/* Byte 1 of the packet: state in the upper two bits, then these (4.1). */
enum { FLAG_POLL = 0x20, FLAG_FINAL = 0x10, FLAG_AUTHENTICATED = 0x04, FLAG_DEMAND = 0x02, FLAG_MULTIPOINT = 0x01 };

const char *bfd_verdict_text(enum bfd_verdict verdict)
{
    static const char *const texts[] = {
#define ROW(symbol, doc) [BFD_RX_##symbol] = doc,
        BFD_VERDICTS(ROW)
#undef ROW
    };
    return texts[verdict];
}

const char *bfd_state_text(enum bfd_state state)
{
    static const char *const texts[] = {"admin-down", "down", "init", "up"};
    return texts[state];
}

static uint32_t max32(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

/* ---- intervals ---- */

/* What we say that we like to send at: not faster than once a second before the session is up. */
static uint32_t desired_tx_us(const struct bfd *bfd)
{
    return bfd->state == BFD_UP ? bfd->config.min_tx_us : max32(bfd->config.min_tx_us, BFD_SLOW_US);
}

/* Does it send by itself at all? Not to who wants nothing (6.8.7), nor to who hears us and has asked for silence. */
static bool sends(const struct bfd *bfd)
{
    bool silent = bfd->remote_demand && bfd->state == BFD_UP && bfd->remote_state == BFD_UP && !bfd->polling;
    return bfd->remote_min_rx_us > 0 && !silent;
}

/* 75 to 100 % of the interval, at most 90 % where one lost packet is enough, so that sessions do not fall into step. */
static uint64_t jittered(struct bfd *bfd, uint32_t interval_us)
{
    bfd->random ^= bfd->random << 13; /* xorshift32: Marsaglia, "Xorshift RNGs", 2003 */
    bfd->random ^= bfd->random >> 17;
    bfd->random ^= bfd->random << 5;
    uint32_t share = bfd->config.mult == 1 ? JITTER_PERCENT - 10 : JITTER_PERCENT;
    return interval_us - (uint64_t)interval_us * (bfd->random % (share * 100 + 1)) / 10000 -
           (bfd->config.mult == 1 ? interval_us / 10 : 0);
}

static void schedule(struct bfd *bfd, uint64_t from_us)
{
    bfd->send_us = from_us + jittered(bfd, max32(bfd->tx_us, bfd->remote_min_rx_us));
}

/* The intervals in use follow those that are wanted: at once where that is safe, after the poll where the other end
 * must know first. */
static void follow(struct bfd *bfd, bool told)
{
    uint32_t wanted = desired_tx_us(bfd);
    if (told || bfd->state != BFD_UP || wanted < bfd->tx_us)
        bfd->tx_us = wanted;
    if (told || bfd->state != BFD_UP || bfd->config.min_rx_us > bfd->rx_us)
        bfd->rx_us = bfd->config.min_rx_us;
}

uint64_t bfd_detection_us(const struct bfd *bfd)
{
    return bfd->remote_discriminator == 0 ? 0 : (uint64_t)bfd->remote_mult * max32(bfd->rx_us, bfd->remote_min_tx_us);
}

/* When silence will have lasted too long. */
static uint64_t expires_us(const struct bfd *bfd)
{
    if (bfd->remote_discriminator == 0 || bfd->state == BFD_ADMIN_DOWN)
        return BFD_NEVER;
    return bfd->heard_us + bfd_detection_us(bfd);
}

/* ---- states ---- */

static void enter(struct bfd *bfd, enum bfd_state state, enum bfd_diag diag, uint64_t now_us)
{
    if (state == bfd->state)
        return;
    bool was_up = bfd->state == BFD_UP;
    bfd->state = state;
    bfd->diag = diag;
    bfd->changed_us = now_us;
    follow(bfd, false);
    bfd->polling = state == BFD_UP; /* our interval is another one now, and is told */
    if (state == BFD_UP || was_up)
        bfd->send_us = now_us; /* tell the other end at once */
}

static void heard_state(struct bfd *bfd, uint64_t now_us)
{
    enum bfd_state said = bfd->remote_state;
    if (said == BFD_ADMIN_DOWN || (bfd->state == BFD_UP && said == BFD_DOWN)) {
        if (bfd->state != BFD_DOWN)
            enter(bfd, BFD_DOWN, BFD_DIAG_NEIGHBOR, now_us);
    } else if (bfd->state == BFD_DOWN && said == BFD_DOWN) {
        enter(bfd, BFD_INIT, bfd->diag, now_us);
    } else if ((bfd->state == BFD_DOWN && said == BFD_INIT) || (bfd->state == BFD_INIT && said != BFD_DOWN)) {
        enter(bfd, BFD_UP, BFD_DIAG_NONE, now_us);
    }
}

/* ---- what others call ---- */

void bfd_init(struct bfd *bfd, const struct bfd_config *config, uint64_t now_us, uint32_t random)
{
    assert(config->discriminator != 0 && config->mult > 0 && config->min_tx_us > 0 && config->min_rx_us > 0);
    memset(bfd, 0, sizeof *bfd);
    bfd->config = *config;
    bfd->state = bfd->remote_state = BFD_DOWN;
    bfd->remote_min_rx_us = 1;
    bfd->random = random != 0 ? random : 1;
    bfd->changed_us = bfd->heard_us = now_us;
    follow(bfd, true);
    bfd->send_us = now_us;
}

void bfd_configure(struct bfd *bfd, const struct bfd_config *config, uint64_t now_us)
{
    assert(config->discriminator == bfd->config.discriminator && config->mult > 0 && config->min_tx_us > 0 &&
           config->min_rx_us > 0);
    bfd->config = *config;
    follow(bfd, false);
    bfd->polling = bfd->state == BFD_UP;
    bfd->send_us = now_us;
}

void bfd_set_admin_down(struct bfd *bfd, bool down, uint64_t now_us)
{
    if (down == (bfd->state == BFD_ADMIN_DOWN))
        return;
    enter(bfd, down ? BFD_ADMIN_DOWN : BFD_DOWN, down ? BFD_DIAG_ADMIN : BFD_DIAG_NONE, now_us);
    bfd->send_us = now_us;
}

static enum bfd_verdict look(const struct bfd *bfd, const uint8_t *packet, size_t size)
{
    if (size < BFD_PACKET_SIZE)
        return BFD_RX_SHORT;
    uint8_t flags = packet[1];
    if (packet[0] >> 5 != VERSION)
        return BFD_RX_VERSION;
    if (packet[3] < (flags & FLAG_AUTHENTICATED ? AUTHENTICATED_SIZE_MIN : BFD_PACKET_SIZE) || packet[3] > size)
        return BFD_RX_SHORT;
    if (packet[2] == 0)
        return BFD_RX_MULTIPLIER;
    if (flags & FLAG_MULTIPOINT)
        return BFD_RX_MULTIPOINT;
    uint32_t theirs = get32(packet + 4), ours = get32(packet + 8);
    if (theirs == 0)
        return BFD_RX_NO_SENDER;
    if (ours != 0 && ours != bfd->config.discriminator)
        return BFD_RX_STRANGER;
    if (ours == 0 && flags >> 6 != BFD_DOWN && flags >> 6 != BFD_ADMIN_DOWN)
        return BFD_RX_NOT_NEW;
    if (flags & FLAG_AUTHENTICATED)
        return BFD_RX_AUTHENTICATED;
    return BFD_RX_TAKEN;
}

enum bfd_verdict bfd_receive(struct bfd *bfd, const uint8_t *packet, size_t size, uint64_t now_us)
{
    enum bfd_verdict verdict = look(bfd, packet, size);
    if (verdict == BFD_RX_TAKEN) {
        uint32_t before_us = max32(bfd->tx_us, bfd->remote_min_rx_us);
        bfd->remote_discriminator = get32(packet + 4);
        bfd->remote_state = packet[1] >> 6;
        bfd->remote_demand = (packet[1] & FLAG_DEMAND) != 0;
        bfd->remote_mult = packet[2];
        bfd->remote_min_tx_us = get32(packet + 12);
        bfd->remote_min_rx_us = get32(packet + 16);
        if (bfd->polling && (packet[1] & FLAG_FINAL)) {
            bfd->polling = false;
            follow(bfd, true);
        }
        if (bfd->state == BFD_ADMIN_DOWN) {
            verdict = BFD_RX_ADMIN_DOWN;
        } else {
            heard_state(bfd, now_us);
            bfd->heard_us = now_us;
            bfd->final = bfd->final || (packet[1] & FLAG_POLL);
        }
        uint32_t after_us = max32(bfd->tx_us, bfd->remote_min_rx_us);
        if (after_us != before_us && bfd->send_us > now_us) /* it takes effect now, not after the old one, 6.8.3 */
            schedule(bfd, bfd->sent_us > 0 ? bfd->sent_us : now_us);
    }
    bfd->verdicts[verdict]++;
    return verdict;
}

static void expire(struct bfd *bfd, uint64_t now_us)
{
    if (now_us < expires_us(bfd))
        return;
    if (bfd->state == BFD_INIT || bfd->state == BFD_UP)
        enter(bfd, BFD_DOWN, BFD_DIAG_EXPIRED, now_us);
    bfd->remote_discriminator = 0; /* 6.8.1: it may come back as another */
    bfd->remote_state = BFD_DOWN;
    bfd->remote_demand = false;
    bfd->remote_min_rx_us = max32(bfd->remote_min_rx_us, 1);
}

static void fill(const struct bfd *bfd, uint8_t packet[static BFD_PACKET_SIZE])
{
    memset(packet, 0, BFD_PACKET_SIZE);
    packet[0] = (uint8_t)(VERSION << 5 | bfd->diag);
    packet[1] = (uint8_t)(bfd->state << 6 | (bfd->final ? FLAG_FINAL : bfd->polling ? FLAG_POLL : 0));
    packet[2] = bfd->config.mult;
    packet[3] = BFD_PACKET_SIZE;
    put32(packet + 4, bfd->config.discriminator);
    put32(packet + 8, bfd->remote_discriminator);
    put32(packet + 12, desired_tx_us(bfd));
    put32(packet + 16, bfd->config.min_rx_us);
    /* required minimum echo interval 0: no echo */
}

bool bfd_turn(struct bfd *bfd, uint64_t now_us, uint8_t packet[static BFD_PACKET_SIZE])
{
    expire(bfd, now_us);
    bool due = now_us >= bfd->send_us;
    if (!bfd->final && !(due && sends(bfd)))
        return false;
    fill(bfd, packet);
    if (due || !bfd->final) /* an answer to a poll is beside the timetable */
        schedule(bfd, now_us);
    bfd->final = false;
    bfd->sent_us = now_us;
    bfd->sent++;
    return true;
}

void bfd_join(struct bfd *bfd, uint64_t now_us)
{
    uint64_t least_us = (uint64_t)max32(bfd->tx_us, bfd->remote_min_rx_us) * (100 - JITTER_PERCENT) / 100;
    if (bfd->state == BFD_UP && bfd->send_us > now_us && now_us >= bfd->sent_us + least_us)
        bfd->send_us = now_us;
}

uint64_t bfd_next_us(const struct bfd *bfd)
{
    if (bfd->final)
        return 0;
    uint64_t send_us = sends(bfd) ? bfd->send_us : BFD_NEVER, expires = expires_us(bfd);
    return send_us < expires ? send_us : expires;
}

void bfd_credit(struct bfd *bfd, uint64_t gap_us)
{
    bfd->heard_us += gap_us;
    bfd->credits++;
    bfd->credited_us += gap_us;
}
