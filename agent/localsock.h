/* localsock.h: a daemon's local socket: one line asked, one JSON value answered, then closed.
 *
 * Only root and the daemon's own user are answered (peer credentials); the socket's mode is 0600 besides. A client that
 * is slow or silent is dropped after LOCALSOCK_TIMEOUT_US and never holds up the loop.
 * Thread safety: belongs to its loop's thread.
 */
#ifndef AGENT_LOCALSOCK_H
#define AGENT_LOCALSOCK_H

#include "core/auto.h"
#include "core/loop.h"
#include <jansson.h>
#include <sys/types.h>

#define LOCALSOCK_TIMEOUT_US 2000000
#define LOCALSOCK_LINE_MAX 511

/* Answer to a line (without its newline, at most LOCALSOCK_LINE_MAX bytes, no NUL inside) that a process of user `uid`
 * wrote, a new reference. */
typedef json_t *(*localsock_fn)(void *data, uid_t uid, const char *line);

struct localsock;
/* Takes the place of a socket that nobody listens on; SB_ERROR_CONFLICT when somebody does. */
struct localsock *localsock_new(struct loop *loop, const char *path, localsock_fn fn, void *data, GError **error);
void localsock_free(struct localsock *sock); /* removes the socket's file */
SB_AUTO_DEFINE(localsock, localsock_free)

#endif
