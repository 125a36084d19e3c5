/* vip.h: is an address to be announced by this gateway? As long as nothing speaks against it, and some time more.
 *
 * What speaks against it takes it back at once: who is sent here then finds nothing. It is announced again when nothing
 * has spoken against it for settle_us: neighbours and BFD of a forwarder that has just come are not there yet, and each
 * change moves everybody's connections. An address that is taken back again before it was announced for calm_us waits
 * twice as long each time, settle_max_us at most: one that comes and goes does more harm than one that is away.
 * A person's word (DRAINED) is no failure, and does not make the next wait longer.
 *
 * Pure: time is an argument. Thread safety: a struct vip belongs to one thread. Times: µs of one clock that does not go
 * back.
 */
#ifndef GATEWAY_VIP_H
#define GATEWAY_VIP_H

#include <stdbool.h>
#include <stdint.h>

#define VIP_NEVER INT64_MAX

/* What speaks against it, the first that does: ROW(symbol, text). */
#define VIP_CAUSES(ROW)                                                                                                \
    ROW(NOTHING, "nothing")                                                                                            \
    ROW(DRAINED, "the gateway, or the address, is drained")                                                            \
    ROW(NO_FORWARDER, "the forwarder is not there")                                                                    \
    ROW(NO_TABLE, "the forwarder has no table, or has refused the last one")                                           \
    ROW(NO_BACKEND, "too few of its backends are up")                                                                  \
    ROW(NO_LINE, "none of the lines to where it leads is up")                                                          \
    ROW(NO_ANSWER, "it does not answer from end to end any more")                                                      \
    ROW(UNSETTLED, "nothing, but not for long enough")
enum vip_cause {
#define ROW(symbol, text) VIP_##symbol,
    VIP_CAUSES(ROW)
#undef ROW
        VIP_CAUSE_COUNT
};
const char *vip_cause_text(enum vip_cause cause); /* static */

struct vip_limits {
    int64_t settle_us, settle_max_us, calm_us;
    unsigned backends; /* that must be up; 0: none */
};
struct vip_sight {
    bool drained, forwarder, table; /* table: the last one that was given is in force */
    unsigned backends;              /* that are up */
    bool stranded;                  /* they are behind lines, none of which is up */
    bool silent;                    /* it has answered from end to end, and does not any more */
};
struct vip {
    enum vip_cause cause; /* NOTHING: it is announced */
    int64_t since_us;     /* of the cause; UNSETTLED: since nothing speaks against it */
    unsigned failures;    /* in a row, each before it was announced for calm_us */
};

/* Not announced; the first time waits for settle_us, too. */
void vip_init(struct vip *vip, int64_t now_us);
/* What is seen now. True: whether it is announced has changed. */
bool vip_step(struct vip *vip, const struct vip_limits *limits, const struct vip_sight *sight, int64_t now_us);
/* When to step again although nothing has changed; VIP_NEVER. */
int64_t vip_next_us(const struct vip *vip, const struct vip_limits *limits);

static inline bool vip_announced(const struct vip *vip)
{
    return vip->cause == VIP_NOTHING;
}

#endif
