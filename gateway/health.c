#include "gateway/health.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

const char *health_state_name(enum health_state state)
{
    static const char *const names[] = {"unseen", "up", "down"};
    return names[state];
}

void health_init(struct health *health, const struct health_limits *limits, uint32_t chance, int64_t now_us)
{
    assert(limits->rise > 0 && limits->fall > 0 && limits->interval_us > 0);
    assert(limits->timeout_us > 0 && limits->timeout_us <= limits->interval_us);
    *health = (struct health){.since_us = now_us};
    health->next_us = now_us + (int64_t)((uint64_t)chance % (uint64_t)limits->interval_us);
}

static void enter(struct health *health, enum health_state state, int64_t now_us)
{
    health->slow = health->state == HEALTH_DOWN;
    health->state = state;
    health->row = 0;
    health->since_us = now_us;
}

/* True: the state is another. */
static bool count(struct health *health, const struct health_limits *limits, bool good, int64_t now_us)
{
    bool against = good ? health->state != HEALTH_UP : health->state != HEALTH_DOWN;
    unsigned enough = !good ? limits->fall : health->state == HEALTH_UNSEEN ? 1 : limits->rise;
    health->row = against ? health->row + 1 : 0;
    if (!against || health->row < enough)
        return false;
    enter(health, good ? HEALTH_UP : HEALTH_DOWN, now_us);
    return true;
}

bool health_result(struct health *health, const struct health_limits *limits, const char *why, int64_t now_us)
{
    if (!health->asking)
        return false;
    health->asking = false;
    health->next_us = health->begun_us + limits->interval_us;
    if (why == NULL) {
        health->good++;
        return count(health, limits, true, now_us);
    }
    health->bad++;
    snprintf(health->why, sizeof health->why, "%s", why);
    return count(health, limits, false, now_us);
}

bool health_turn(struct health *health, const struct health_limits *limits, int64_t now_us)
{
    if (now_us < health->next_us)
        return false;
    if (health->asking) {
        char why[HEALTH_WHY];
        snprintf(why, sizeof why, "no answer within %lld ms", (long long)(limits->timeout_us / 1000));
        health_result(health, limits, why, now_us);
        if (now_us < health->next_us)
            return false;
    }
    health->asking = true;
    health->begun_us = now_us;
    health->next_us = now_us + limits->timeout_us;
    return true;
}

/* Tenths that it has, 1 to HEALTH_STAGES. */
static unsigned stage(const struct health *health, const struct health_limits *limits, int64_t now_us)
{
    int64_t passed_us = now_us - health->since_us;
    if (!health->slow || passed_us >= limits->slow_start_us)
        return HEALTH_STAGES;
    return 1 + (unsigned)(passed_us * HEALTH_STAGES / limits->slow_start_us);
}

uint32_t health_weight(const struct health *health, const struct health_limits *limits, uint32_t weight, int64_t now_us)
{
    if (health->state == HEALTH_DOWN || weight == 0)
        return 0;
    uint64_t share = (uint64_t)weight * stage(health, limits, now_us) / HEALTH_STAGES;
    return share == 0 ? 1 : (uint32_t)share;
}

int64_t health_changes_us(const struct health *health, const struct health_limits *limits, int64_t now_us)
{
    unsigned tenths = stage(health, limits, now_us);
    if (health->state != HEALTH_UP || tenths == HEALTH_STAGES)
        return HEALTH_NEVER;
    int64_t part = limits->slow_start_us * tenths;
    return health->since_us + (part + HEALTH_STAGES - 1) / HEALTH_STAGES;
}
