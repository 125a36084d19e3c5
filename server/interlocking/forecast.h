/* forecast.h: what a change would move, from observed rates: share of requests by room, entrance and edge class,
 * before and after. The same resolve, fed a changed world. rules.h judges it.
 *
 * A counter of (policy, room) is spread over the slots that the table in force sends to that room; each slot then goes
 * where the other table sends it. Where nobody answers, or a room answers slots that are not its own (automatic DR),
 * the slot is unknown and all slots of the policy count alike. A relayed request is counted by the edge that answers
 * it, so a relay row counts only with what fails. If the edges that a group's names point to change, its requests are
 * spread evenly over the new ones: clients that never resolve again are not foreseen. What arrives at an edge that only
 * a variant of the group points to is the variant's; where both point, it is the group's, and a note says so.
 *
 * What a static answer takes, of a service or for a room, or a limit refuses, arrives nowhere. An answer that edges
 * keep may be there or not, so stale ones count as degraded, and at their room as well. A limit counts for what edges
 * let through together, as if they shared it as their users come; each lets through an even share (world.h), so more
 * may be refused. A room's limit refuses of all its services alike. Requests of an interface are the share of its
 * service's that the inventory says (`share`), everywhere the same; where it says none, a note says that they are not
 * known, and they are reckoned as the service's others.
 *
 * What would come by an escape (gateways.h) arrives at it; lines have their own reckoning, forecast_lines.h.
 *
 * The forecast is known when at least half of the edges that are in have reported within OBSERVED_FRESH_US and
 * the site has at least FORECAST_RATE_MIN requests per second.
 *
 * Thread safety: pure functions; the result is the caller's.
 */
#ifndef INTERLOCKING_FORECAST_H
#define INTERLOCKING_FORECAST_H

#include "core/auto.h"
#include "server/interlocking/observe.h"
#include "server/interlocking/resolve.h"

#define FORECAST_RATE_MIN 1.0 /* 1/s */

struct forecast_row {
    char *kind;           /* "room", "entrance", "line", "pool" or "edge" */
    char *name;           /* "room-a", "room-a/pop-a1", "playback-b", "edge-1"; "closed" for what nobody would answer */
    double before, after; /* requests per second */
    double mbit_before, mbit_after; /* of a line: Mbit/s, of the two ways the busier one */
    int64_t mbit_max; /* of a line: its bandwidth; 0: of another row, or not known how large answers are */
};
struct forecast {
    bool known;           /* false: no fresh rates; a person is warned, automation refused */
    double total;         /* requests per second of the site now */
    double failing;       /* of them, those that fail today */
    double moved;         /* of them, those that the change sends to another room, that succeed today */
    double moved_failing; /* those that would, but fail today: they do not count for share-moved */
    double lost;          /* those that succeed today and would be answered by nobody */
    double degraded;      /* those that edges would answer by themselves: static, or the last good answer */
    double shed;          /* those that a limit would refuse */
    GPtrArray *rows;      /* struct forecast_row * */
    GPtrArray *notes;     /* char *: what the forecast does not know, in words */
    struct resolved_distance distance; /* table entries and records that would change */
    char *zone_share;                  /* what a zone's guard would stop, see resolved_zone_share; NULL: nothing */
};
struct forecast *forecast(const struct resolved *now, const struct resolved *then, const struct observed *observed,
                          int64_t now_us);
void forecast_free(struct forecast *forecast);
SB_AUTO_DEFINE(forecast, forecast_free)
json_t *forecast_to_json(const struct forecast *forecast);
char *forecast_text(const struct forecast *forecast); /* for people; g_free */

#endif
