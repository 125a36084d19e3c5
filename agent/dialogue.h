/* dialogue.h: one question, one answer: connects, writes, reads to the end, on a loop. What HAProxy's socket speaks,
 * enough of HTTP/1.1 for a probe of our own edge, and a forwarder's tables. Never blocks.
 *
 * Thread safety: belongs to its loop's thread.
 */
#ifndef AGENT_DIALOGUE_H
#define AGENT_DIALOGUE_H

#include "core/loop.h"
#include <sys/socket.h>

#define EXCHANGE_SIZE_MAX (64u << 20) /* bytes of an answer */

/* Runs once: reply (NUL-terminated, gone after the call) or NULL with error. */
typedef void (*exchange_fn)(void *data, const char *reply, const GError *error);
struct exchange;
/* bytes are copied. SB_ERROR_TIMEOUT after timeout_us, SB_ERROR_UNREACHABLE when nobody is there. The callback never
 * runs before this returns. */
struct exchange *exchange_start(struct loop *loop, const struct sockaddr *to, socklen_t to_len, const char *bytes,
                                size_t size, int64_t timeout_us, exchange_fn fn, void *data);
struct exchange *exchange_start_unix(struct loop *loop, const char *path, const char *text, int64_t timeout_us,
                                     exchange_fn fn, void *data);
void exchange_cancel(struct exchange *exchange); /* without its callback; NULL is nothing */

#endif
