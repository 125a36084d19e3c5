#include "gateway/vip.h"

const char *vip_cause_text(enum vip_cause cause)
{
    static const char *const texts[] = {
#define ROW(symbol, text) [VIP_##symbol] = text,
        VIP_CAUSES(ROW)
#undef ROW
    };
    return texts[cause];
}

void vip_init(struct vip *vip, int64_t now_us)
{
    *vip = (struct vip){.cause = VIP_NO_FORWARDER, .since_us = now_us};
}

static enum vip_cause cause_of(const struct vip_limits *limits, const struct vip_sight *sight)
{
    return sight->drained                       ? VIP_DRAINED
           : !sight->forwarder                  ? VIP_NO_FORWARDER
           : !sight->table                      ? VIP_NO_TABLE
           : sight->backends < limits->backends ? VIP_NO_BACKEND
           : sight->stranded                    ? VIP_NO_LINE
           : sight->silent                      ? VIP_NO_ANSWER
                                                : VIP_NOTHING;
}

static int64_t wait_us(const struct vip *vip, const struct vip_limits *limits)
{
    int64_t wait = limits->settle_us;
    for (unsigned i = 1; i < vip->failures && wait < limits->settle_max_us; i++)
        wait *= 2;
    return wait < limits->settle_max_us ? wait : limits->settle_max_us;
}

static void enter(struct vip *vip, enum vip_cause cause, int64_t now_us)
{
    vip->cause = cause;
    vip->since_us = now_us;
}

/* It is announced, and something speaks against it. */
static void take_back(struct vip *vip, const struct vip_limits *limits, enum vip_cause cause, int64_t now_us)
{
    if (now_us - vip->since_us >= limits->calm_us)
        vip->failures = 0;
    vip->failures += cause != VIP_DRAINED;
    enter(vip, cause, now_us);
}

bool vip_step(struct vip *vip, const struct vip_limits *limits, const struct vip_sight *sight, int64_t now_us)
{
    enum vip_cause cause = cause_of(limits, sight);
    bool announced = vip_announced(vip);
    if (cause != VIP_NOTHING && announced)
        take_back(vip, limits, cause, now_us);
    else if (cause != VIP_NOTHING && cause != vip->cause)
        enter(vip, cause, now_us);
    else if (cause == VIP_NOTHING && !announced && vip->cause != VIP_UNSETTLED)
        enter(vip, VIP_UNSETTLED, now_us);
    if (vip->cause == VIP_UNSETTLED && now_us - vip->since_us >= wait_us(vip, limits))
        enter(vip, VIP_NOTHING, now_us);
    return vip_announced(vip) != announced;
}

int64_t vip_next_us(const struct vip *vip, const struct vip_limits *limits)
{
    return vip->cause == VIP_UNSETTLED ? vip->since_us + wait_us(vip, limits) : VIP_NEVER;
}
