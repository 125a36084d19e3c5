/* rules.h: the interlocking: what no change may bring about, however it is asked for.
 *
 *   last-open     every multi-active service keeps a room that its users can reach, from both classes of edges
 *   share-moved   at most `share_moved_max` of the site's healthy requests change room at once; what fails already
 *                 does not count
 *   zone-share    no new inventory changes or removes more of a zone's names than its guard lets pass (schema/table.h);
 *                 the lever dnszone.guard allows it. A lever or a plan that would is not refused, because it moves more
 *                 than names: its forecast has a note, and the name servers refuse
 * A refusal names rule, figures and the way round.  Thread safety: pure functions.
 */
#ifndef INTERLOCKING_RULES_H
#define INTERLOCKING_RULES_H

#include "server/interlocking/forecast.h"

struct rules_config {
    double share_moved_max; /* 0..1; default RULES_SHARE_MOVED_MAX */
};
#define RULES_SHARE_MOVED_MAX 0.6

struct refusal {
    const char *rule; /* "last-open" */
    char *figures;    /* "72 % of 1,204 requests/s would change room, at most 60 % may" */
    char *way_round;  /* "move a smaller share, or override share-moved with a reason" */
};
void refusal_free(struct refusal *refusal);
/* GPtrArray of struct refusal *, empty: allowed. overrides: NULL-terminated names of rules or NULL. automatic: no
 * person asked for it; then an unknown forecast refuses as rule "forecast-known". */
GPtrArray *rules_check(const struct rules_config *config, const struct world *now, const struct world *then,
                       const struct forecast *forecast, bool automatic, const char *const *overrides);
/* SB_ERROR_REFUSED with rule, figures and way round of all; false always. */
bool refusals_error(const GPtrArray *refusals, GError **error);
/* True if the name is a rule's. */
bool rule_exists(const char *name);

#endif
