/* lab_origin.h: how origins answer, and how often they were asked (traffic/behaviour.h).
 *
 * What: service:NAME (its domains and prefixes, less what routes give to other services), host:HOST[/PREFIX],
 * entrance:NAME (a POP or `ring`, health checks too), all (health checks too).
 */
#ifndef LAB_ORIGIN_H
#define LAB_ORIGIN_H

#include "tests/lab/lab.h"
#include <jansson.h>

/* Sets ("status=500", "delay_ms=2000", NULL-terminated; none: only counts from here on) at one room or at all (NULL).
 * The answer, json_decref: {"at_us", "requests", "rooms": {ROOM: {"requests"}}}, requests since the first such call. */
json_t *origin_behave(const struct lab *lab, const char *what, const char *room, const char *const *settings,
                      GError **error);
/* Every origin as it was. One that does not run is no error. */
void origin_heal(const struct lab *lab);

#endif
