/* sdnotify.h: tells the service manager how we are, as sd_notify(3) does, without its library. Without NOTIFY_SOCKET in
 * the environment nothing is told.
 *
 * Thread safety: notify from any thread; a watchdog belongs to its loop's thread.
 */
#ifndef CORE_SDNOTIFY_H
#define CORE_SDNOTIFY_H

#include "core/loop.h"

/* state: "READY=1", "STOPPING=1". */
void notify(const char *state);

/* "WATCHDOG=1" from this loop, twice in the time that the manager grants (WATCHDOG_USEC, for this process if
 * WATCHDOG_PID is given): a loop that hangs is ended and started anew. NULL when no watchdog is asked for. */
struct notify_watchdog;
struct notify_watchdog *notify_watchdog_new(struct loop *loop);
void notify_watchdog_free(struct notify_watchdog *watchdog); /* NULL is allowed */

#endif
