/* daemon_thread.h: the thread that runs one libmicrohttpd daemon, in place of libmicrohttpd's own.
 *
 * Its own sleeps with work in hand (0.9.75, and all up to 1.0.1): it fetches 128 events at a time, and after a full 128
 * waits for more, as long as an idle server may, before it serves any. When exactly so many clients ask at once and
 * then wait for their answers, nobody has one until somebody else comes. So the daemon is started without a thread
 * (DAEMON_THREAD_FLAGS) and run here, where only what is outside of it waits.
 *
 * Its own thread would also see at the begin of each turn what 0.9.75 tells nobody outside: connections resumed in the
 * midst of the last one, hence daemon_thread_resume, and a place become free for a connection that waits to be
 * accepted.
 *
 * Thread safety: daemon_thread_resume and _quiesce may be called from any thread; the rest belongs to one. All
 * callbacks of the daemon run on the thread that is here.
 */
#ifndef API_DAEMON_THREAD_H
#define API_DAEMON_THREAD_H

#include <glib.h>
#include <microhttpd.h>
#include <stdbool.h>

#define DAEMON_THREAD_FLAGS (MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME)

struct daemon_thread;
/* daemon: started with DAEMON_THREAD_FLAGS; taken, also on failure. Nothing runs yet. */
struct daemon_thread *daemon_thread_new(struct MHD_Daemon *daemon, GError **error);
bool daemon_thread_start(struct daemon_thread *self, GError **error);
/* In place of MHD_resume_connection; soon. */
void daemon_thread_resume(struct daemon_thread *self, struct MHD_Connection *connection);
/* In place of MHD_quiesce_daemon, which aborts the process when it comes at a bad moment of a turn; soon. The listening
 * socket is the caller's from now on, to be closed behind daemon_thread_free. */
void daemon_thread_quiesce(struct daemon_thread *self);
/* Stops the daemon and ends. Whom it was told to resume it resumes before that; nobody else may be suspended. NULL is
 * allowed. */
void daemon_thread_free(struct daemon_thread *self);

#endif
