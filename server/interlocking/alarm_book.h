/* alarm_book.h: alarms as they begin and end, and who has said that he looks after one.
 *
 * alarms.h says what is wrong now, from nothing but the last reports. The book compares that with what it was, so that
 * others can be told once that an alarm has begun, and that it is over; and it keeps who acknowledged one for as long
 * as that lasts. Each of these is an entry "alarm" of the journal, whose id is the alarm's key:
 *
 *   {"key", "kind", "priority", "object", "title", "evidence", "since_us", "plan", "state": "begun" | "acknowledged" |
 *    "over", "ack": {"actor", "at_us", "reason"} or null, "ended_us": 0 while it lasts}
 *
 * An alarm that is back within ALARM_GONE_US was never gone: what flaps is told once, and a server that was started
 * anew waits as long for its agents before it calls anything over.
 *
 * Thread safety: a book belongs to one thread; pure functions.
 */
#ifndef INTERLOCKING_ALARM_BOOK_H
#define INTERLOCKING_ALARM_BOOK_H

#include "server/interlocking/engine.h"

#define ALARM_GONE_US (30 * G_USEC_PER_SEC)

struct alarm_book;
struct alarm_book *alarm_book_new(void);
void alarm_book_free(struct alarm_book *book); /* NULL is allowed */
/* An entry of the journal of kind alarm, in the order of writing. False with an error: it is none. */
bool alarm_book_restore(struct alarm_book *book, const struct journal_entry *entry, GError **error);
/* alarms: of alarms_to_json. What has changed since it was looked at last, as entries; NULL: nothing. A higher priority
 * than before is told as a beginning. */
GPtrArray *alarm_book_look(struct alarm_book *book, const json_t *alarms, struct now now);
/* `actor` looks after it; who did so before does no more. alarms: those of now, of which one may be newer than the last
 * look. The entry is the caller's; SB_ERROR_NOT_FOUND: no such alarm lasts. reason may be NULL. */
struct journal_entry *alarm_book_acknowledge(struct alarm_book *book, const json_t *alarms, const char *key,
                                             const struct asker *asker, struct now now, GError **error);
/* Adds "ack" to those of `alarms` that somebody looks after. */
void alarm_book_mark(const struct alarm_book *book, json_t *alarms);

#endif
