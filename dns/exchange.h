/* exchange.h: DNS messages over one TCP connection (RFC 7766: each behind its size, 2 bytes).
 *
 * Every call has a deadline, and ends at once when `stop_fd` (-1: none) becomes readable.
 * Thread safety: a connection belongs to one thread.
 */
#ifndef DNS_EXCHANGE_H
#define DNS_EXCHANGE_H

#include <glib.h>
#include "schema/addr.h"

/* A connected socket, or -1 (SB_ERROR_UNREACHABLE; nothing was sent). close(2) it. */
int exchange_connect(const struct endpoint *server, int timeout_ms, int stop_fd, GError **error);
/* Sends one message and waits for one. NULL (SB_ERROR_TIMEOUT, UNREACHABLE): whether the other side took the message
 * is unknown, and the connection can only be closed. */
GByteArray *exchange_message(int fd, const uint8_t *wire, size_t size, int timeout_ms, int stop_fd, GError **error);

#endif
