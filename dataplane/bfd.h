/* bfd.h: one session of Bidirectional Forwarding Detection, asynchronous mode (RFC 5880): is the other end of a line
 * there, in both directions? The packet is the UDP payload; addresses, ports and the hop limit of 255 (RFC 5881) are
 * the caller's to check.
 *
 *              DOWN, ADMIN_DOWN or detection time over
 *            +------------------------------------------+
 *            v                                          |
 *         [DOWN] --DOWN--> [INIT] --INIT or UP--> [UP] -+        (arrows: state that the other end says it is in)
 *            '----------------INIT--------------->  '
 *
 * Not here: echo, authentication, sending in demand mode (the other end may ask for it, 6.6).
 *
 * Own stalls. A session runs on the core that forwards, so that what it finds is true of forwarding. But a machine that
 * was not scheduled for longer than the detection time would find every line down: the loop measures the gap between
 * its turns and gives it to bfd_credit before it looks at deadlines.
 *
 * Pure: time and randomness come from outside. Thread safety: none, a session belongs to one core. Times: µs of any
 * clock that does not go back.
 */
#ifndef DATAPLANE_BFD_H
#define DATAPLANE_BFD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BFD_PORT 3784        /* UDP destination, RFC 5881, 4 */
#define BFD_PACKET_SIZE 24   /* what we send; what is received may be longer */
#define BFD_SLOW_US 1000000u /* nobody sends faster than this before the session is up, 6.8.3 */
#define BFD_NEVER UINT64_MAX

enum bfd_state { BFD_ADMIN_DOWN, BFD_DOWN, BFD_INIT, BFD_UP }; /* as on the wire, 4.1 */
enum bfd_diag {                                                /* why the session left UP, as on the wire, 4.1 */
                BFD_DIAG_NONE = 0,
                BFD_DIAG_EXPIRED = 1,  /* detection time is over */
                BFD_DIAG_NEIGHBOR = 3, /* the other end said so */
                BFD_DIAG_ADMIN = 7,    /* taken down by hand */
};

/* What became of a packet: ROW(symbol, documentation). Counters, CLI and documentation are made of it. */
#define BFD_VERDICTS(ROW)                                                                                              \
    ROW(TAKEN, "taken")                                                                                                \
    ROW(SHORT, "shorter than its header or than its length says")                                                      \
    ROW(VERSION, "of a version other than 1")                                                                          \
    ROW(AUTHENTICATED, "authenticated, though no key is configured")                                                   \
    ROW(MULTIPOINT, "multipoint")                                                                                      \
    ROW(MULTIPLIER, "with a detection multiplier of 0")                                                                \
    ROW(NO_SENDER, "with a discriminator of 0")                                                                        \
    ROW(STRANGER, "for another session")                                                                               \
    ROW(NOT_NEW, "for no session, though its sender's has begun")                                                      \
    ROW(ADMIN_DOWN, "while the session is taken down by hand")
enum bfd_verdict {
#define ROW(symbol, doc) BFD_RX_##symbol,
    BFD_VERDICTS(ROW)
#undef ROW
        BFD_VERDICT_COUNT
};
const char *bfd_verdict_text(enum bfd_verdict verdict); /* static */
const char *bfd_state_text(enum bfd_state state);       /* "admin-down", "down", "init", "up"; static */

struct bfd_config {
    uint32_t discriminator; /* of this session: not 0, different for each session of the machine */
    uint32_t min_tx_us;     /* how often we like to send */
    uint32_t min_rx_us;     /* how often we can receive */
    uint8_t mult;           /* packets that may be missing before the other end finds us gone; at least 1 */
};

struct bfd {
    struct bfd_config config;
    enum bfd_state state, remote_state;
    enum bfd_diag diag;
    uint32_t remote_discriminator;
    uint32_t remote_min_rx_us, remote_min_tx_us; /* 1 and 0 before anything was heard, 6.8.1 */
    uint8_t remote_mult;
    bool remote_demand;
    bool polling, final;       /* a Poll Sequence is under way; a poll is to be answered at once */
    uint32_t tx_us;            /* minimum in use for sending: changes to more only after a poll, 6.8.3 */
    uint32_t rx_us;            /* minimum in use for detection: changes to less only after a poll */
    uint64_t heard_us;         /* of the last packet taken, moved on by credits */
    uint64_t sent_us, send_us; /* last packet sent; next one due */
    uint32_t random;
    uint64_t changed_us; /* since when it is in its state */
    /* Counters. */
    uint64_t sent, verdicts[BFD_VERDICT_COUNT];
    uint64_t credits, credited_us; /* own stalls, and how long they were in all */
};

/* The session begins DOWN and sends its first packet soon. `random`: any number, different for each session. */
void bfd_init(struct bfd *bfd, const struct bfd_config *config, uint64_t now_us, uint32_t random);
/* New intervals or multiplier while the session runs, announced by a Poll Sequence; the discriminator stays. */
void bfd_configure(struct bfd *bfd, const struct bfd_config *config, uint64_t now_us);
/* Down by hand, the other end is told; and back. */
void bfd_set_admin_down(struct bfd *bfd, bool down, uint64_t now_us);
/* A packet's UDP payload, 6.8.6. */
enum bfd_verdict bfd_receive(struct bfd *bfd, const uint8_t *packet, size_t size, uint64_t now_us);
/* Looks at the clock: true when a packet is to be sent now; it is in `packet` (6.8.7). To be called when bfd_next_us
 * has come, after each bfd_receive and bfd_set_admin_down, again until false. */
bool bfd_turn(struct bfd *bfd, uint64_t now_us, uint8_t packet[static BFD_PACKET_SIZE]);
/* Another session's packet goes out now: this one's, too, if it may already. Each packet still comes by chance between
 * 75 and 100 % of the interval (6.8.7), by that of the first of them; but who has several sessions wakes once for all,
 * and so does the machine that they lead to. */
void bfd_join(struct bfd *bfd, uint64_t now_us);
/* When bfd_turn is to be called at the latest. */
uint64_t bfd_next_us(const struct bfd *bfd);
/* The caller did not run for gap_us: nobody's fault but ours, the detection time is that much longer. */
void bfd_credit(struct bfd *bfd, uint64_t gap_us);
/* Silence after which the other end counts as gone, 6.8.4; 0 while nothing was heard. */
uint64_t bfd_detection_us(const struct bfd *bfd);

#endif
