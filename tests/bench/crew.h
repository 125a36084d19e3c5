/* crew.h: many agents in one thread, as far as the wire goes: each has a connection, waits there for the next table
 * (agent/protocol.h) and fetches the parts that it lacks, one after the other. They apply and report nothing.
 *
 * Thread safety: one thread.
 */
#ifndef BENCH_CREW_H
#define BENCH_CREW_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

struct crew;
/* tokens: of agents agent-1, agent-2, ...; a NULL-terminated array, borrowed; server: "ADDR:PORT". Connects them all;
 * with tls in TLS, without a look at the certificate. */
struct crew *crew_new(const char *server, bool tls, char *const *tokens, GError **error);
void crew_free(struct crew *crew);

/* All ask for the next table. */
bool crew_ask(struct crew *crew, GError **error);
/* Takes what has come, without waiting: who waited long in vain asks again. */
bool crew_hear(struct crew *crew, GError **error);
/* Until every agent has a table that is new to it, and all of its parts; *last_us: the wall clock when the last one
 * had. False without an error: cancelled (flags.h). */
bool crew_wait(struct crew *crew, int64_t timeout_ms, int64_t *last_us, GError **error);

/* What the first agent was given: its newest table, and of all that it was given each part (hash -> GBytes). */
const char *crew_table(const struct crew *crew);
GHashTable *crew_parts(const struct crew *crew);
uint64_t crew_fetched(const struct crew *crew); /* parts, since the start */

#endif
