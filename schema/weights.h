/* weights.h: which zones' instances of a service are called, by the zone that the caller is in.
 *
 * Text form: rows CALLER=ZONE:WEIGHT+ZONE:WEIGHT, a comma between: "zone-1=zone-1:90+zone-2:10,zone-2=zone-2:1". CALLER
 * `*` is every zone without a row of its own. Weights are shares of their sum, 0 to WEIGHT_MAX; 0 drains: nobody is
 * called there. A zone that a row does not name gets nothing while one that it names can answer. Every row has a weight
 * above 0. Canonical: callers and zones in the order of names, `*` first.
 *
 * Thread safety: pure functions.
 */
#ifndef SCHEMA_WEIGHTS_H
#define SCHEMA_WEIGHTS_H

#include <glib.h>

#define WEIGHTS_OTHERS "*" /* caller of the row for all others */
#define WEIGHTS_EXAMPLE "zone-1=zone-1:90+zone-2:10,*=zone-2:1"
#define WEIGHTS_ZONES_MAX 16
#define WEIGHTS_ROWS_MAX 17 /* of so many zones, and of all others */
#define WEIGHT_MAX 1000

struct zone_weight {
    char *zone; /* owned by the row */
    unsigned weight;
};
struct weights_row {
    char *caller;
    GArray *zones; /* struct zone_weight, by zone */
};
/* Rows by caller (struct weights_row *); g_ptr_array_unref. NULL: SB_ERROR_INVALID with what was found and expected. */
GPtrArray *weights_parse(const char *text, GError **error);
char *weights_format(const GPtrArray *rows); /* g_free */
/* The caller's row, else that of the others, else NULL. Borrowed. */
const struct weights_row *weights_row_of(const GPtrArray *rows, const char *caller);
/* The zone's weight; -1: the row does not name it. row NULL: -1. */
int weights_of(const struct weights_row *row, const char *zone);

#endif
