/* alarms.h: what is wrong with the site now, since when, how that is known, and which plan helps.
 *
 * An alarm is derived from the last reports alone: who reads twice reads the same, a server that was started anew says
 * the same as soon as the agents have reported again, and an alarm ends when what it is about has ended. For as long as
 * that lasts it has one key. Nothing is said of a reign younger than OBSERVED_FRESH_US about who has not reported yet.
 *
 * Private to interlocking. Thread safety: pure functions.
 */
#ifndef INTERLOCKING_ALARMS_H
#define INTERLOCKING_ALARMS_H

#include "server/interlocking/observe.h"

/* Who looks first: users are hurt now; they would be by one more fault; to be looked at. */
enum alarm_priority { ALARM_HURT = 1, ALARM_NEAR = 2, ALARM_LOOK = 3 };

/* kind (texts of the API)  what is meant                                     plan that helps
 *  entrances               every POP of a room is down as its edges see it   room-isolated, while its ingress is open
 *  pop                     a POP, at some edges or all                       pop-drain, while it is in
 *  ring                    no dedicated edge reaches a room over the ring
 *  line                    one of them has lost rooms over the ring
 *  line                    gateways see one down                             line-maintenance, while some see it up
 *  escape                  every line of a room's escapes is down            room-isolated, when they are needed
 *  service                 ALARM_FAIL_SHARE of its requests fail
 *  edge, nameserver, registry   it does not report, or complains
 *  blind                   no edge reports */
struct alarm {
    const char *kind; /* as above */
    enum alarm_priority priority;
    char *key;      /* "entrances/room-a": the same thing, the same key */
    char *object;   /* name of what it is about */
    char *title;    /* "room-a: every POP is down" */
    char *evidence; /* "pop-a1 down at 2 of 2 edges, L4TOUT" */
    char *plan;     /* of the world, its target is the object; or NULL */
    int64_t since_us;
};

/* That many of them must see a POP down before its room is given up: one edge may be what is broken. Where fewer see it
 * at all, all of them. */
#define ALARM_EDGES 2
#define ALARM_FAIL_SHARE 0.01

/* struct alarm *: by priority, then age, then key; g_ptr_array_unref. started_us: beginning of the reign. */
GPtrArray *alarms_find(const struct world *world, const struct observed *observed, int64_t started_us, int64_t now_us);
/* [{"key","kind","priority","object","title","evidence","since_us","plan"}], times of day; a new reference. */
json_t *alarms_to_json(const GPtrArray *alarms, int64_t wall_offset_us);

#endif
