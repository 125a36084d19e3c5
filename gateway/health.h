/* health.h: is a backend well? Its checks' results made a state, and a share of new connections.
 *
 *              a good one                          fall bad ones in a row
 *   [UNSEEN] --------------> [UP] ------------------------------------------> [DOWN]
 *       |                     ^                                                 |  ^
 *       |                     '------ rise good ones in a row: slow start ------'  |
 *       '---------------------- fall bad ones in a row ----------------------------'
 *
 * UNSEEN serves as UP does: an agent that begins anew takes nobody out before it knows why. A backend that comes back
 * begins with a tenth of its weight, and gets the rest by tenths over slow_start_us: what has just started has cold
 * caches, and everybody who comes next would be sent there at once.
 *
 * Checks begin interval_us apart, whatever the last one took; none takes longer than timeout_us, which is no more than
 * that, so one is under way at a time. The first is a part of the interval away, another for each backend, so that not
 * all are asked at once.
 *
 * Pure: time and chance are arguments. Thread safety: a struct health belongs to one thread. Times: µs of one clock
 * that does not go back.
 */
#ifndef GATEWAY_HEALTH_H
#define GATEWAY_HEALTH_H

#include <stdbool.h>
#include <stdint.h>

#define HEALTH_STAGES 10u /* of a slow start */
#define HEALTH_NEVER INT64_MAX
#define HEALTH_WHY 80u /* bytes of a reason */

struct health_limits {
    int64_t interval_us, timeout_us; /* timeout_us: at most interval_us */
    unsigned rise, fall;             /* at least 1 */
    int64_t slow_start_us;           /* 0: all of it at once */
};
enum health_state { HEALTH_UNSEEN, HEALTH_UP, HEALTH_DOWN };

struct health {
    enum health_state state;
    unsigned row;         /* results in a row that speak against the state */
    bool asking;          /* a check is under way */
    int64_t next_us;      /* the next one begins; while one is under way: it has failed */
    int64_t begun_us;     /* of the check that is under way, or was last */
    int64_t since_us;     /* of the state; of a slow start: its beginning */
    bool slow;            /* it is coming back */
    uint64_t good, bad;   /* results in all */
    char why[HEALTH_WHY]; /* the last bad one; "": there was none */
};

/* chance: any number, different for each backend. */
void health_init(struct health *health, const struct health_limits *limits, uint32_t chance, int64_t now_us);
/* True: a check is to begin now. To be called at next_us, or later. A check whose time is over has failed first, as by
 * health_result: the state may be another. */
bool health_turn(struct health *health, const struct health_limits *limits, int64_t now_us);
/* The check under way has ended: why says what was wrong, NULL: nothing; copied. One that comes too late is no more
 * than that. True: the state is another. */
bool health_result(struct health *health, const struct health_limits *limits, const char *why, int64_t now_us);
/* Its share of new connections, of `weight`: 0 when it is down; else at least 1, unless weight is 0. */
uint32_t health_weight(const struct health *health, const struct health_limits *limits, uint32_t weight,
                       int64_t now_us);
/* When the share changes without a result; HEALTH_NEVER. */
int64_t health_changes_us(const struct health *health, const struct health_limits *limits, int64_t now_us);

const char *health_state_name(enum health_state state); /* "unseen", "up", "down"; static */

#endif
