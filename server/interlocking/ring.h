/* ring.h: the dedicated lines, as the inventory has them and as dedicated edges see them.
 *
 * No agent watches a line, so that one is down is known by what can no longer be reached: an edge that still reaches
 * every room over the ring may have lost its second path, and nobody can say so. What can be known is said: beforehand,
 * which one risk would take a room from an edge; and afterwards, which edge has lost the ring, with the lines that led
 * there and what they share.
 *
 * Private to interlocking. Thread safety: pure functions.
 */
#ifndef INTERLOCKING_RING_H
#define INTERLOCKING_RING_H

#include "server/interlocking/observe.h"

/* Does the risk take this line? It is the name of a line or of a duct. */
bool line_has_risk(const struct line *line, const char *risk);
/* "line-5 (duct-middle)"; g_free. */
char *line_words(const struct line *line);

/* Adds a finding for each dedicated edge with lines and each room on the ring that have no two paths without a common
 * risk between them: every line is one, and so is every group of lines in a duct (`srlg`). */
void ring_findings(const struct inventory *inventory, GPtrArray *findings);

/* What an edge has lost of the ring, in words; g_free; NULL: nothing, or nothing that is the ring's: a room that nobody
 * reaches over it may have failed itself. Reports older than OBSERVED_FRESH_US do not count. */
char *ring_loss_text(const struct inventory *inventory, const struct observed *observed, const struct edge *edge,
                     int64_t now_us);

/* Of a line that ends at an edge: the room at its other end is what the edge has lost, in the same sense. Which of the
 * lines that led there are down nobody can say. */
bool ring_line_suspect(const struct inventory *inventory, const struct observed *observed, const struct line *line,
                       int64_t now_us);

#endif
