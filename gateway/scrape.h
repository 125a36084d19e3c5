/* scrape.h: answers GET /metrics over HTTP/1.1 (RFC 9112), a connection for each request: all that a monitoring system
 * needs of a gateway.
 *
 * Nobody is asked who he is: whoever can reach the address may read. Who asks for anything else, does not ask within
 * SCRAPE_TIMEOUT_US, or with more than SCRAPE_REQUEST_MAX bytes, is told so or left; at most SCRAPE_CLIENTS at once.
 *
 * Thread safety: belongs to its loop's thread.
 */
#ifndef GATEWAY_SCRAPE_H
#define GATEWAY_SCRAPE_H

#include "core/loop.h"

#define SCRAPE_TIMEOUT_US 5000000
#define SCRAPE_REQUEST_MAX 4095u
#define SCRAPE_CLIENTS 8u

/* Text for Prometheus; g_free. */
typedef char *(*scrape_fn)(void *data);

struct scrape;
/* at: ADDRESS:PORT. NULL: SB_ERROR_INVALID, no such; SB_ERROR_IO: nobody can listen there. */
struct scrape *scrape_new(struct loop *loop, const char *at, scrape_fn fn, void *data, GError **error);
void scrape_free(struct scrape *scrape); /* NULL: nothing */
SB_AUTO_DEFINE(scrape, scrape_free)

#endif
