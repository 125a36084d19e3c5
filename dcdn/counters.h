/* counters.h: requests by policy, room and entrance, from HAProxy's stick tables; health of origins from its checks.
 *
 * HAProxy counts since its start and forgets at a reload; here they are since the table in force was applied, and go on
 * over reloads. Probes are not in them. How large requests and answers of a policy are is an average of the last
 * thousand or so, which no table ends; windows in which much fails are not in it.
 * Thread safety: no I/O; a struct counters belongs to one thread.
 */
#ifndef DCDN_COUNTERS_H
#define DCDN_COUNTERS_H

#include "core/auto.h"
#include <glib.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct counters;
struct counters *counters_new(void);
void counters_free(struct counters *counters);
SB_AUTO_DEFINE(counters, counters_free)

/* Takes in the replies to `show table st_answered` and `show table st_unanswered` of process `pid`. Rates are of a
 * window between two readings; one soon after another goes into the window before it. */
void counters_read(struct counters *counters, int64_t pid, const char *answered, const char *unanswered,
                   int64_t now_us);
/* From now on: what was read until now was before the table in force. */
void counters_restart(struct counters *counters);
/* Requests of a policy since then. */
uint64_t counters_requests(const struct counters *counters, const char *policy);
int64_t counters_window_us(const struct counters *counters); /* that rates are of; 0: there is none yet */
json_t *counters_to_json(const struct counters *counters);   /* "counters" of a report; new reference */

/* "sizes" of a report: of each policy that was answered; new reference. */
json_t *counters_sizes_to_json(const struct counters *counters);

/* "pins" of a report, from the reply to `show table st_pins`; new reference. */
json_t *pins_from_table(const char *reply);

/* "origins" of a report, from the reply to `show stat be_health 4 -1`; new reference. */
json_t *origins_from_stat(const char *reply);

#endif
