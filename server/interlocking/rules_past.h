/* rules_past.h: what moved of late, as far as rules look back: shares of requests, and levers with their time.
 *
 * Part of the journal's state, so that a restart forgets nothing.  Thread safety: belongs to the engine's thread.
 */
#ifndef INTERLOCKING_RULES_PAST_H
#define INTERLOCKING_RULES_PAST_H

#include "core/auto.h"

#include <glib.h>
#include <jansson.h>
#include <stdint.h>

struct rules_past;
struct rules_past *rules_past_new(void);
void rules_past_free(struct rules_past *past);
SB_AUTO_DEFINE(rules_past, rules_past_free)

/* lever: "room.ingress/room-a". Copies it. */
void rules_past_lever(struct rules_past *past, const char *lever, int64_t wall_us);
/* share: 0..1 of healthy requests; nothing is kept of 0. */
void rules_past_share(struct rules_past *past, double share, int64_t wall_us);
/* Drops what is older than `since_us`. */
void rules_past_forget(struct rules_past *past, int64_t since_us);

/* When the lever moved last; -1: not known to have moved. */
int64_t rules_past_moved_us(const struct rules_past *past, const char *lever);
/* Sum of shares moved since then. */
double rules_past_sum(const struct rules_past *past, int64_t since_us);

/* {"levers": {LEVER: at_us}, "shares": [[at_us, share]]}, and back, in place of all that was: what is not
 * understood is left out. */
json_t *rules_past_to_json(const struct rules_past *past);
void rules_past_take_json(struct rules_past *past, const json_t *json);

#endif
