/* failpoint.h: places (failpoint.def) where a crash test ends the process, as if power had gone, or stops it.
 *
 * SIGNALBOX_FP=NAME:kill[@N] kills the process with SIGKILL when it comes to the place for the N-th time (1 when
 * absent); NAME:stop[@N] stops it with SIGSTOP. NAME~TEXT: only passes of which `about` holds the text count.
 * SIGNALBOX_FP_ARMED=FILE: only those at which FILE exists. Only builds with -DFAILPOINTS=ON have them; elsewhere
 * FAIL_POINT is nothing, and its arguments are not looked at.
 *
 * Thread safety: any thread.
 */
#ifndef CORE_FAILPOINT_H
#define CORE_FAILPOINT_H

#include <stdbool.h>

#define FAILPOINT(id, name, text) FAIL_##id,
enum fail_point {
#include "core/failpoint.def"
    FAIL_POINTS
};
#undef FAILPOINT

#ifdef SIGNALBOX_FAILPOINTS
/* Is it this place that is to fail, whatever it is about? For those to whom saying so is work. */
bool fail_point_wanted(enum fail_point point);
/* about: what happens there, in words, or "". */
void fail_point(enum fail_point point, const char *about);
#define FAIL_POINT(id, about) fail_point(FAIL_##id, about)
#else
#define FAIL_POINT(id, about) ((void)0)
#endif

#endif
