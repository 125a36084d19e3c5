/* bare.h: the yardstick of bench_fanout: the same answers from libmicrohttpd with nothing around it, in a process of
 * its own: who asks for a table waits until the next one is let go, parts are answered at once. It is run by
 * libmicrohttpd's own thread where that cannot stall, with few connections; else as signalboxd runs it
 * (daemon_thread.h).
 *
 * Thread safety: one thread.
 */
#ifndef BENCH_BARE_H
#define BENCH_BARE_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

struct bare;
/* tables: the two that are let go in turn. parts: hash -> GBytes. cert, key: PEM text, or NULL: no TLS. Listens on
 * ADDR:PORT; ends with this process. */
struct bare *bare_new(const char *listen, const char *const tables[2], GHashTable *parts, const char *cert,
                      const char *key, unsigned connections, GError **error);
void bare_free(struct bare *bare);
unsigned bare_parked(const struct bare *bare); /* how many wait */
void bare_go(struct bare *bare);               /* lets the next table go to all */
int64_t bare_gone_us(const struct bare *bare); /* wall clock of that moment, once somebody has it */

#endif
