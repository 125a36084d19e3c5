/* explain.h: the whole road of a request, with the reason at each turn, and what was observed beside it.
 *
 * Intended: resolver -> edge class -> edge -> slot -> room wanted -> room used -> entrance. Observed: counters of that
 * policy and the last probe, never the user's URL replayed.  Thread safety: pure functions.
 */
#ifndef INTERLOCKING_EXPLAIN_H
#define INTERLOCKING_EXPLAIN_H

#include "server/interlocking/observe.h"
#include "server/interlocking/resolve.h"

struct explain_query {
    const char *url;  /* http://host/path; scheme may be absent */
    const char *user; /* user id or NULL */
    const char *from; /* edge that the request arrives at, or NULL: one of those that DNS gives */
    /* Whose resolvers the user asks, or NULL. Where the name is the group's, they may have a view that answers with the
     * group's variant for this carrier (and for all regions); that they have it is assumed. */
    const char *carrier;
    const char *method; /* "GET", and those that interfaces may name; NULL: GET. Nothing else tells them apart */
};
/* {"url","user","key","slot","group","policy","turns":[{"at","is","why"}],"observed":[{"edge","room","via","requests",
 * "failed","rate"}],"probes":[...],"origins":[...],"holds":[...]}, and, where there are gateways, "gateways" and
 * "lines". SB_ERROR_NOT_FOUND when no domain, edge or carrier matches, INVALID for a bad URL or method. */
json_t *explain(const struct resolved *resolved, const struct observed *observed, const struct explain_query *query,
                int64_t now_us, GError **error);
char *explain_text(const json_t *explained); /* for people and golden cases; g_free */

#endif
