/* rules.h: the interlocking: what no change may bring about, however it is asked for.
 *
 * Rules are objects of the inventory (schema/objects.def). Four ship: they hold unless the inventory has a rule of
 * the same name, which then takes their place:
 *   last-open      open 1       every multi-active service keeps a room that its users can reach, from both classes of
 *                               edges
 *   share-moved    moved 60     at most 60 % of the site's healthy requests change room at once
 *   capacity-kept  capacity 100 no room, POP, pool or dedicated line gets more than the capacity that the inventory has
 *                               of it
 *   one-writer     handover     a component never has two rooms that take its writes, nor a topic two that consume
 * What they look at, by `check`:
 *   open      at least `limit` rooms can be reached; with `lever`: so many objects have it at its default
 *   capacity  room, POP or pool: requests/s it would get, failing ones too, at most `limit` % of its capacity, which
 *             for a pool is no more than is let through to it; line: Mbit/s, of its bandwidth (forecast_lines.h)
 *   moved     at most `limit` % of the healthy requests change room, in one change or in `period`; what fails already
 *             does not count
 *   hold      a lever rests for `period` after it was moved
 *   gate      the lever leaves its default only where `needs` is so afterwards
 *   class     a group of a multi-active service, or a variant of it, does not go to dedicated edges by a lever
 *   freeze    from..until no lever moves (and, without `lever`, no inventory changes)
 *   window    levers move at these times of day only
 *   handover  a component's primary goes to another room, and a topic's consumption to another mode, by way of none
 * A lever that its own execution moves again, or sets back, is free of hold, freeze, window and locks: a plan that was
 * let begin can be undone. Where the forecast is not known, capacity and moved let a person pass; automation is refused
 * as forecast-known   what would move must be known And reminders of the inventory that are locks, each by its own
 * name: the lever that one hangs on does not move. And never overridden: zone-share    no new inventory changes or
 * removes more of a zone's names than its guard lets pass (schema/table.h); the lever dnszone.guard allows it. A lever
 * or a plan that would is not refused, because it moves more than names: its forecast has a note, and the name servers
 * refuse No change is refused for what was so before it. The rules in force judge a change, not those it brings. A
 * refusal names rule, figures and the way round.  Thread safety: pure functions.
 */
#ifndef INTERLOCKING_RULES_H
#define INTERLOCKING_RULES_H

#include "server/interlocking/forecast.h"
#include "server/interlocking/rules_past.h"

struct rules_config {
    double share_moved_max; /* 0..1, of the rule share-moved that ships; default RULES_SHARE_MOVED_MAX */
};
#define RULES_SHARE_MOVED_MAX 0.6

struct refusal {
    char *rule;      /* "last-open" */
    char *figures;   /* "72 % of 1,204 requests/s would change room, at most 60 % may" */
    char *way_round; /* "move a smaller share, or override share-moved with a reason" */
};
void refusal_free(struct refusal *refusal);

/* A lever's new value, canonical. */
struct move {
    enum lever lever;
    char *object, *value;
    char *execution; /* that makes it, where it is not the one that the change is made for; else NULL */
};
/* A change, and all that it is judged by. All is borrowed. */
struct rules_case {
    const struct rules_config *config;
    const struct world *now, *then;
    const struct forecast *forecast;
    const struct rules_past *past; /* NULL: nothing has moved */
    int64_t wall_us;               /* of the change, since 1970 */
    bool automatic;                /* no person asked for it */
    const char *const *overrides;  /* NULL-terminated names of rules, or NULL */
    const GArray *moves; /* of struct move: the writes that lead to `then`, one after the other; NULL: at once */
};
/* GPtrArray of struct refusal *, empty: allowed. */
GPtrArray *rules_check(const struct rules_case *change);
/* Of healthy requests, the share that the forecast moves; 0 when it is not known. */
double rules_share_moved(const struct forecast *forecast);
/* Of what the forecast gives more requests, the place that would be fullest, and its capacity, 1/s; NULL: nothing gains
 * whose capacity is known. Borrowed. */
const struct forecast_row *rules_fullest(const struct inventory *inv, const struct forecast *forecast,
                                         int64_t *capacity);
/* The longest time, in seconds, that a rule of the inventory looks back; 0: none does. */
int64_t rules_period_s(const struct inventory *inv);
/* SB_ERROR_REFUSED with rule, figures and way round of all; false always. */
bool refusals_error(const GPtrArray *refusals, GError **error);
/* Adds the names of all rules in force that look at this: RULE_MOVED. */
void rules_of_check(const struct inventory *inv, int check, GStrvBuilder *names);
/* True if the name is that of a rule that may be overridden, or of a reminder. */
bool rule_exists(const struct inventory *inv, const char *name);

#endif
