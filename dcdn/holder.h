/* holder.h: the holds of all rooms of an edge (hold.h), against its state and what HAProxy says of its servers.
 *
 * MAP_HOLDS is where a hold takes effect, and its file is what a next run of the agent begins with: also with the time
 * at which a hold began, by the wall clock, since no other goes on while an agent is not there.
 * Thread safety: belongs to one thread. No I/O but the file that holder_new reads.
 */
#ifndef DCDN_HOLDER_H
#define DCDN_HOLDER_H

#include "dcdn/hold.h"
#include "dcdn/render.h"
#include <jansson.h>

struct holder;
/* With the holds that the file of MAP_HOLDS has; what is not a hold there is passed over. */
struct holder *holder_new(const struct edge_settings *settings, int64_t now_us, int64_t wall_us);
void holder_free(struct holder *holder);
SB_AUTO_DEFINE(holder, holder_free)

/* The holds go into a state that is to be applied. */
void holder_adopt(struct holder *holder, struct edge_state *state);
/* The state has been applied: holds of rooms that it closes, or does not know, are over. True when there was one.
 * notes: GPtrArray of char *, to which events are added. */
bool holder_settle(struct holder *holder, struct edge_state *state, GPtrArray *notes);

/* Commands whose replies holder_step takes in, in that order; g_free. */
char *holder_question(const struct edge_state *state);
unsigned holder_replies(const struct edge_state *state);
/* replies: GPtrArray of char *, or NULL when nobody knows. True when the state's MAP_HOLDS is another now. */
bool holder_step(struct holder *holder, struct edge_state *state, const GPtrArray *replies, int64_t now_us,
                 int64_t wall_us, GPtrArray *notes);

/* "holds" of a report: rooms, slots that are at home and µs since it began; new reference. */
json_t *holder_to_json(const struct holder *holder, int64_t now_us);

#endif
