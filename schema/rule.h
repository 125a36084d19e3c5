/* rule.h: the values of a safety rule's fields that are more than text: times, windows, gates.
 *
 * All times are UTC.  Thread safety: pure functions.
 */
#ifndef SCHEMA_RULE_H
#define SCHEMA_RULE_H

#include "schema/control.h"

/* "2026-11-10T00:00:00Z" -> µs since 1970; false if it is no such time. */
bool rule_time_parse(const char *text, int64_t *wall_us);
/* "02:00" -> minute of the day; false if it is none. */
bool rule_minute_parse(const char *text, int *minute);
/* Of a valid window: is this moment in it? Its days are those that it begins on; from = until: the whole day. */
bool rule_window_contains(const struct rule *rule, int64_t wall_us);

/* "room.ingress=closed" or "room.ingress/room-a=closed". Strings are g_free'd by rule_needs_clear. */
struct rule_needs {
    enum lever lever;
    char *object; /* NULL: the object of the lever that is moved */
    char *value;
};
bool rule_needs_parse(const char *text, struct rule_needs *out);
void rule_needs_clear(struct rule_needs *needs);

/* Rules that ship: name, check, limit (server/interlocking/rules.h). An inventory's rule of the name takes the place of
 * one, and has its check: it may allow more or less, but not watch something else under a name that people trust. */
#define RULES_SHIPPED(X)                                                                                               \
    X("last-open", RULE_OPEN, 1)                                                                                       \
    X("share-moved", RULE_MOVED, 60)                                                                                   \
    X("capacity-kept", RULE_CAPACITY, 100)                                                                             \
    X("one-writer", RULE_HANDOVER, 0)
/* Names in refusals, and in overrides, that no object has. */
#define RULE_FORECAST_KNOWN "forecast-known"
#define RULE_ZONE_SHARE "zone-share"

/* Each field that the rule's check needs is there and right, and no other is; its name promises nothing else. */
/* It hangs on a lever that is there, ends at a time, and no rule has its name. */
void reminder_validate(const struct inventory *inv, const struct reminder *reminder, GPtrArray *findings);
void rule_validate(const struct inventory *inv, const struct rule *rule, GPtrArray *findings);

#endif
