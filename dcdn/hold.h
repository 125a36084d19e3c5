/* hold.h: an edge's own move of a room's users to the other rooms, and their return by ramp. Pure: time is an argument.
 *
 * When every entrance of a room is down as this edge sees it, HAProxy sends its users to the other rooms at once, by
 * its backups. A hold makes a decision of that, so that a room that heals, or flaps, gets nothing back at first, and
 * then never more than a stage of its users at a time. It needs no server.
 *
 *                down, twice within HOLD_SIGHTED_US, and another room is up
 *   home: 1000 ------------------------------------------------------------> away: 0 home <-----+
 *      ^                                                                        |   ^           |
 *      |                                                    up, and hold_us     |   | down:     | down: all go
 *      |                                                    since it was last   |   | hold_us   | away again
 *      |                                                    seen down           v   | anew      |
 *      +-------------------- 1000 home ------------------- returning: HOLD_STAGE more home ------+
 *      |                                                   every stage_us                        |
 *      +---------------- up, and twice within HOLD_SIGHTED_US no other room is ------------------+
 * Nobody comes home while nobody knows how the room is. So there is at most one move of a whole room in hold_us, but
 * for the last: when the others fail, HAProxy's backups send everybody to a held room that is up, at once, for there is
 * nothing else. The hold ends with that, or its users would all leave again when another room is back, and more would
 * fall on that room than it had before it failed. What comes back is the others', by holds of their own.
 *
 * Units: slots and their turns as schema/slot.h has them, microseconds of one clock that never goes back.
 * Ownership: nothing is kept of arguments. Thread safety: pure functions; a struct hold belongs to one thread.
 */
#ifndef DCDN_HOLD_H
#define DCDN_HOLD_H

#include "schema/slot.h"

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define HOLD_SLOTS ((unsigned)SLOT_COUNT)
#define HOLD_STAGE 100u         /* slots that come home at once, by their turns: a tenth of the room's users */
#define HOLD_SIGHTED_US 1000000 /* two sightings of a room that is down are one matter when they are this close */
#define HOLD_US 60000000        /* defaults */
#define HOLD_STAGE_US 5000000

struct hold_limits {
    int64_t hold_us;  /* that nobody comes home after the room was last seen down */
    int64_t stage_us; /* between two stages of the return */
};
struct hold {
    unsigned home;      /* slots whose users go to their room; HOLD_SLOTS: no hold */
    int64_t began_us;   /* of a hold: when it began, maybe in an earlier run: then it may be below 0 */
    int64_t next_us;    /* of a hold: no stage before this */
    int64_t sighted_us; /* last time that it was seen down */
    int64_t alone_us;   /* of a hold: last time that no other room was seen up */
    bool sighted;       /* ever */
    bool alone;         /* ever in this hold */
};
/* An entrance in maintenance by the table counts as its health checks say. */
enum hold_health { HOLD_UNSEEN, HOLD_UP, HOLD_DOWN };
enum hold_event { HOLD_NOTHING, HOLD_BEGUN, HOLD_AGAIN, HOLD_RETURNS, HOLD_ENDED, HOLD_ALONE };

/* No hold. */
void hold_init(struct hold *hold);
/* A hold that an earlier run left, for_us after it began, with `home` slots at home: nobody moves now, and nobody comes
 * home before the room has been seen for hold_us. */
void hold_restore(struct hold *hold, const struct hold_limits *limits, unsigned home, int64_t for_us, int64_t now_us);
/* One reading of the room's health. elsewhere: another room is up and takes its users. HOLD_AGAIN: it has failed while
 * some had come home. HOLD_ALONE: it is over because no other room is up. What is new is in hold->home. */
enum hold_event hold_step(struct hold *hold, const struct hold_limits *limits, enum hold_health health, bool elsewhere,
                          int64_t now_us);
/* "room-a held away: ..." of an event; NULL of HOLD_NOTHING; g_free. */
char *hold_say(const struct hold *hold, const struct hold_limits *limits, enum hold_event event, const char *room);

/* Health of a room from the replies to `show stat be_multi-dr_ROOM 4 -1`, and `show stat be_health 4 -1` for entrances
 * that are in maintenance. UNSEEN: no entrance of that room is in them. */
enum hold_health hold_health_read(const char *traffic, const char *health, const char *room);
/* True when an entrance of another room would take that room's users: from the reply to
 * `show stat be_multi-away_ROOM 4 -1`. */
bool hold_elsewhere_read(const char *away, const char *room);

#endif
