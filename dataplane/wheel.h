/* wheel.h: many timers, each of one session: a hashed timing wheel (Varghese and Lauck, 1987, scheme 6).
 *
 * Timers are entries of an array, the session's number is the timer's: no pointers, nothing allocated. A session that
 * is used does not touch its timer: when it fires, the caller sees that the session has been used since and sets it
 * again, so a packet costs nothing here. A time that is further than a turn of the wheel fires
 * when the turn is over, sooner than it was due: the caller sees that too.
 *
 * Pure. Thread safety: a wheel belongs to one core.
 */
#ifndef DATAPLANE_WHEEL_H
#define DATAPLANE_WHEEL_H

#include <stdbool.h>
#include <stdint.h>

#define WHEEL_SLOTS 4096u
#define WHEEL_TICK_US 10000u /* a turn is 41 s */
#define WHEEL_NONE UINT32_MAX

struct wheel_timer {
    uint32_t next, previous; /* in its slot; previous: of the first, WHEEL_NONE */
    uint32_t slot;           /* WHEEL_NONE: not set */
};
struct wheel {
    struct wheel_timer *timers; /* the caller's, one for each session */
    uint64_t tick;              /* next one to be looked at */
    uint32_t n;                 /* timers that are set */
    uint32_t first[WHEEL_SLOTS];
};

void wheel_init(struct wheel *wheel, struct wheel_timer *timers, uint32_t n_timers, uint64_t now_us);
/* Fires at due_us or up to a tick later, but within a turn; set already: it is set anew. */
void wheel_set(struct wheel *wheel, uint32_t timer, uint64_t due_us);
void wheel_clear(struct wheel *wheel, uint32_t timer);
/* The next timer that has fired, which is not set any more; WHEEL_NONE: none until now_us. At most one turn is caught
 * up with: after a long pause every timer fires, sooner than it was due. */
uint32_t wheel_fired(struct wheel *wheel, uint64_t now_us);
/* When to look again at the latest: when the next timer fires, or in a second; UINT64_MAX when none is set. */
uint64_t wheel_next_us(const struct wheel *wheel);

#endif
