/* problem.h: errors as application/problem+json (RFC 9457): type, title, status, detail, errors[].
 *
 * Thread safety: a function of its arguments; the thread that holds the request.
 */
#ifndef API_PROBLEM_H
#define API_PROBLEM_H

#include "server/api/listener.h"

/* findings: struct finding * for errors[], or NULL: errors[] holds the detail. */
void problem_reply(struct reply *reply, const GError *error, const GPtrArray *findings);

#endif
