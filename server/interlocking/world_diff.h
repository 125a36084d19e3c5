/* world_diff.h: what two generations have apart, from intent to what actuators are given.
 *
 * Thread safety: pure functions.
 */
#ifndef INTERLOCKING_WORLD_DIFF_H
#define INTERLOCKING_WORLD_DIFF_H

#include "server/interlocking/resolve.h"

/* {"levers": [{"control", "object", "before", "after"}], "objects": text (inventory_diff_text),
 *  "plans": [{"plan", "change"}]                       added, removed or changed
 *  "entries": [{"class", "part", "before", "after"}]   lines of tables; null: there is none
 *  "records": [{"zone", "name", "type", "before", "after"}]} */
json_t *world_diff(const struct resolved *from, const struct resolved *to);
/* For people: headed lists of at most `rows_max` rows; g_free. "nothing differs" where that is so. */
char *world_diff_text(const json_t *diff, size_t rows_max);

#endif
