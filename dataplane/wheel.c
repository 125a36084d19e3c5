#include "dataplane/wheel.h"

#define AHEAD 100u /* ticks that are looked at for the next timer */

void wheel_init(struct wheel *wheel, struct wheel_timer *timers, uint32_t n_timers, uint64_t now_us)
{
    wheel->timers = timers;
    wheel->tick = now_us / WHEEL_TICK_US;
    wheel->n = 0;
    for (uint32_t i = 0; i < WHEEL_SLOTS; i++)
        wheel->first[i] = WHEEL_NONE;
    for (uint32_t i = 0; i < n_timers; i++)
        timers[i].slot = WHEEL_NONE;
}

void wheel_clear(struct wheel *wheel, uint32_t timer)
{
    struct wheel_timer *t = &wheel->timers[timer];
    if (t->slot == WHEEL_NONE)
        return;
    if (t->previous != WHEEL_NONE)
        wheel->timers[t->previous].next = t->next;
    else
        wheel->first[t->slot] = t->next;
    if (t->next != WHEEL_NONE)
        wheel->timers[t->next].previous = t->previous;
    t->slot = WHEEL_NONE;
    wheel->n--;
}

void wheel_set(struct wheel *wheel, uint32_t timer, uint64_t due_us)
{
    struct wheel_timer *t = &wheel->timers[timer];
    wheel_clear(wheel, timer);
    uint64_t tick = (due_us + WHEEL_TICK_US - 1) / WHEEL_TICK_US;
    if (tick < wheel->tick)
        tick = wheel->tick;
    if (tick - wheel->tick >= WHEEL_SLOTS)
        tick = wheel->tick + WHEEL_SLOTS - 1;
    t->slot = (uint32_t)(tick % WHEEL_SLOTS);
    t->previous = WHEEL_NONE;
    t->next = wheel->first[t->slot];
    if (t->next != WHEEL_NONE)
        wheel->timers[t->next].previous = timer;
    wheel->first[t->slot] = timer;
    wheel->n++;
}

uint32_t wheel_fired(struct wheel *wheel, uint64_t now_us)
{
    uint64_t now = now_us / WHEEL_TICK_US;
    if (now >= wheel->tick + WHEEL_SLOTS)
        wheel->tick = now - WHEEL_SLOTS + 1;
    for (; wheel->tick <= now; wheel->tick++) {
        uint32_t timer = wheel->first[wheel->tick % WHEEL_SLOTS];
        if (timer != WHEEL_NONE) {
            wheel_clear(wheel, timer);
            return timer;
        }
    }
    return WHEEL_NONE;
}

uint64_t wheel_next_us(const struct wheel *wheel)
{
    uint64_t tick = wheel->tick;
    if (wheel->n == 0)
        return UINT64_MAX;
    while (tick < wheel->tick + AHEAD && wheel->first[tick % WHEEL_SLOTS] == WHEEL_NONE)
        tick++;
    return tick * WHEEL_TICK_US;
}
