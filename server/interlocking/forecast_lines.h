/* forecast_lines.h: what a change would put on dedicated lines, in Mbit/s each way.
 *
 * What comes by an escape (gateways.h) goes over the lines that carry, by their bandwidths; what a dedicated edge
 * fetches over the ring goes over a line that joins it with the room, if there is one: roads over other sites are not
 * reckoned, as no line is known to be down here. How large requests and answers are is what edges have counted
 * (observe.h); what no edge has said is left out, so a figure may be too small, and a note says of how many requests.
 *
 * Private to interlocking. Thread safety: as its caller's.
 */
#ifndef INTERLOCKING_FORECAST_LINES_H
#define INTERLOCKING_FORECAST_LINES_H

#include "server/interlocking/forecast.h"

struct line_load;
struct line_load *line_load_new(void);
void line_load_free(struct line_load *load);
SB_AUTO_DEFINE(line_load, line_load_free)

/* Requests of one kind that come from there into a room, now or then. from: name of an escape, or of a dedicated edge.
 * sizes: NULL, not known. */
void line_load_add(struct line_load *load, const char *from, const char *room, bool then, double rate,
                   const struct sizes *sizes);
/* Adds the rows "line" and the notes to the forecast. */
void line_load_tell(const struct line_load *load, const struct world *now, const struct world *then,
                    struct forecast *out);

#endif
