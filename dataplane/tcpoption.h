/* tcpoption.h: TCP options of a header, one after the other (RFC 9293, 3.1). Pure, thread safe. */
#ifndef DATAPLANE_TCPOPTION_H
#define DATAPLANE_TCPOPTION_H

#include <stdbool.h>
#include <stdint.h>

/* Kinds: RFC 9293, 3.2; RFC 7323; RFC 2018; RFC 7413. TOA's are of no standard: what the kernel modules of load
 * balancers read. */
enum {
    OPTION_END = 0,
    OPTION_NOP = 1,
    OPTION_MSS = 2,
    OPTION_SCALE = 3,
    OPTION_SACK_PERMITTED = 4,
    OPTION_SACK = 5,
    OPTION_TIMESTAMPS = 8,
    OPTION_FAST_OPEN = 34,
    OPTION_TOA6 = 253,
    OPTION_TOA4 = 254
};

struct tcp_option {
    uint8_t kind;
    unsigned at, size; /* in the TCP header */
};
/* The next option; *at begins with TCP_SIZE. False: no more, or one that does not hold together. */
static inline bool tcp_option_next(const uint8_t *tcp, unsigned header, unsigned *at, struct tcp_option *option)
{
    while (*at < header && tcp[*at] == OPTION_NOP)
        ++*at;
    if (*at + 1 >= header || tcp[*at] == OPTION_END || tcp[*at + 1] < 2 || *at + tcp[*at + 1] > header)
        return false;
    *option = (struct tcp_option){tcp[*at], *at, tcp[*at + 1]};
    *at += option->size;
    return true;
}

#endif
