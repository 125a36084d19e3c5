/* escapes.h: escapes as they are now, by what gateways and edges report; gateways.h has what is intended.
 *
 * Private to interlocking. Thread safety: pure functions.
 */
#ifndef INTERLOCKING_ESCAPES_H
#define INTERLOCKING_ESCAPES_H

#include "server/interlocking/observe.h"

/* Is every line of it down, at every gateway that has told of it lately? Where nobody tells, it is not known to be. */
bool escape_is_cut(const struct world *w, const struct observed *observed, const struct gwvip *escape, int64_t now_us);
/* Has the room a way out by escape: one that the levers let be taken, and that is not cut? */
bool room_has_escape(const struct world *w, const struct observed *observed, const char *room, int64_t now_us);
/* That the escape is too small for all that would come by it now, of the lines that are not down, with figures; NULL:
 * it is large enough, as far as edges have said how large requests and answers are. g_free. */
char *escape_small_words(const struct world *w, const struct observed *observed, const struct gwvip *escape,
                         int64_t now_us);

#endif
