/* waiters.h: agents that wait for the next generation: one parked request for each, the newest.
 *
 * Who waits looks for news once more after waiters_add: what was published before it is seen then, what comes after it
 * wakes.  Thread safety: any thread.
 */
#ifndef API_WAITERS_H
#define API_WAITERS_H

#include "server/api/listener.h"

struct waiters;
struct waiters *waiters_new(void);
void waiters_free(struct waiters *waiters); /* nobody waits any more */
/* Parks the request until it is woken, at the latest by the first waiters_wake_due after until_us. An older one of the
 * same agent is woken. False when the listener is ending: it is not parked. */
bool waiters_add(struct waiters *waiters, const char *agent, struct request *request, int64_t until_us);
void waiters_wake(struct waiters *waiters, const char *agent);
void waiters_wake_due(struct waiters *waiters, int64_t now_us); /* INT64_MAX: all */

#endif
