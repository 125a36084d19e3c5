/* notify.h: tells the service manager how we are, as sd_notify(3) does, without its library.
 *
 * Thread safety: any thread. */
#ifndef SERVER_NOTIFY_H
#define SERVER_NOTIFY_H

/* state: "READY=1", "STOPPING=1". Without NOTIFY_SOCKET in the environment it does nothing. */
void notify(const char *state);

#endif
