/* checks.h: the checks of all backends of a table: health.h with its I/O, asker.h.
 *
 * A backend is known by its service, name and address: what is known of it outlives tables. One whose service has no
 * check is well.
 *
 * Thread safety: belongs to its loop's thread.
 */
#ifndef GATEWAY_CHECKS_H
#define GATEWAY_CHECKS_H

#include "core/loop.h"
#include "gateway/gwtable.h"

#include <jansson.h>

struct checks;
/* Shares of new connections are others now, or a state is; not before what has called has returned. why: in words, of a
 * state that has changed, gone after the call; NULL: a share. */
typedef void (*checks_fn)(void *data, const char *why);

struct checks *checks_new(struct loop *loop, checks_fn fn, void *data);
void checks_free(struct checks *checks); /* NULL: nothing */
SB_AUTO_DEFINE(checks, checks_free)

/* table: stays the caller's, until the next one is set. NULL: nothing is checked, all that is known is forgotten. */
void checks_set(struct checks *checks, const struct gwtable *table);
/* Of each backend of the table, in order, now. */
void checks_weights(const struct checks *checks, uint32_t *weights);
/* Backends of a service, by its place, that are not down. */
unsigned checks_up(const struct checks *checks, unsigned service);
/* Is it checked, has one of its backends been well, and is none now? */
bool checks_lost(const struct checks *checks, unsigned service);
/* [{"service","backend","state","weight","good","bad","why"}] of those that are checked, or of all; new reference. */
json_t *checks_to_json(const struct checks *checks, bool all);

#endif
