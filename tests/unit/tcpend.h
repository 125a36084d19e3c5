/* tcpend.h: an end of a TCP connection, for tests of what is between two of them: sends some bytes, takes what the
 * other end sends, ends. It speaks as plainly as RFC 9293 lets it (one timer, everything again from what is not
 * acknowledged) and looks at all that it is told: who acknowledges or selects what was never sent, or sends beyond the
 * window, is an error of what is between. */
#ifndef TESTS_TCPEND_H
#define TESTS_TCPEND_H

#include "dataplane/packet.h"

#include <glib.h>

struct tcpend_config {
    uint8_t family;
    const uint8_t *own, *other; /* addresses */
    uint16_t own_port;
    uint16_t other_port; /* 0: waits for a SYN from anybody, and talks to that one from then on */
    uint32_t first_seq;
    uint16_t mss;
    int scale; /* of its window; -1: none is offered */
    bool sack, timestamps;
    uint32_t window;  /* bytes that it takes at once */
    uint64_t deaf_us; /* takes nothing until then: a window of 0 */
    uint32_t overrun; /* so many bytes may come although they are beyond the window: its first, and a few behind it */
    bool ends_second; /* sends its FIN behind the other's */
    GByteArray *says; /* the caller's */
};
struct tcpend {
    struct tcpend_config config;
    uint8_t other[16];
    bool open, reset, fin_sent, fin_heard; /* the handshake is done; the other end has reset it */
    bool sent_syn;
    uint16_t other_port, other_mss;
    int other_scale; /* -1: windows are not scaled */
    bool other_sack;
    uint32_t una, next, heard; /* as RFC 9293 has them: SND.UNA, SND.NXT, RCV.NXT */
    uint32_t most;             /* behind all that was ever sent */
    uint32_t base, other_base; /* first numbers of both streams */
    uint32_t window, allowed;  /* the other's, behind una; right edge of what it was allowed */
    uint64_t timer_us;         /* UINT64_MAX: nothing is to be acknowledged */
    unsigned tries;
    uint32_t select[2]; /* what arrived too early, to be selected; both the same: nothing */
    GByteArray *hears;
    unsigned toas; /* packets with TOA; toa: the last one's bytes behind kind and size */
    uint8_t toa[18];
    const char *error; /* what is between does wrong */
    void (*send)(void *context, const uint8_t *frame, uint32_t size);
    void *context;
};

/* So many bytes to say, each place told from its neighbours; the caller unrefs them. */
GByteArray *tcpend_bytes(uint32_t n);

void tcpend_init(struct tcpend *end, const struct tcpend_config *config);
void tcpend_clear(struct tcpend *end);
/* A frame that has arrived; what is not whole or not for it is left alone. */
void tcpend_receive(struct tcpend *end, uint8_t *frame, uint32_t size, uint64_t now_us);
/* Sends what may be sent, and again what is due; the first call of an end with other_port begins the connection. */
void tcpend_turn(struct tcpend *end, uint64_t now_us);
/* Both streams have ended, and the other end knows that ours has. */
bool tcpend_done(const struct tcpend *end);

#endif
