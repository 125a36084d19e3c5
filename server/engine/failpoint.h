/* failpoint.h: places where a crash test ends the process, as if power had gone, or stops it.
 *
 *   before-journal   an effect is decided, nothing is written
 *   after-journal    it is durable, nobody has seen it
 *   before-publish   the same, with a generation to publish
 *   after-publish    agents and name servers can see it
 *   before-reply     a change is done, the asker does not know it
 *
 * SIGNALBOX_FP=NAME:kill[@N] kills the process with SIGKILL when it comes to the place for the N-th time (1 when
 * absent); NAME:stop[@N] stops it with SIGSTOP. SIGNALBOX_FP_ARMED=FILE: only times at which FILE exists count. Only
 * builds with -DFAILPOINTS=ON have them; elsewhere FAIL_POINT is nothing.
 *
 * Thread safety: any thread.
 */
#ifndef ENGINE_FAILPOINT_H
#define ENGINE_FAILPOINT_H

#ifdef SIGNALBOX_FAILPOINTS
void fail_point(const char *name);
#define FAIL_POINT(name) fail_point(name)
#else
#define FAIL_POINT(name) ((void)0)
#endif

#endif
