/* error.h: the kinds of error, for every control program.
 *
 * Errors travel as GLib's GError (ownership: the callee sets *error, the caller frees). One domain serves the whole
 * project, because what a caller must know is the kind: it decides the HTTP status (error_http_status) and the exit
 * code of the CLI (error_exit_code), each in one place. The message is for a person: it names the thing, what was
 * found and what was expected.
 *
 * Thread safety: pure functions, no state.
 */
#ifndef CORE_ERROR_H
#define CORE_ERROR_H

#include <glib.h>

#define SB_ERROR (sb_error_quark())
GQuark sb_error_quark(void);

/* Kind, HTTP status, exit code of the CLI, title (RFC 9457). One row is one kind. */
#define SB_ERRORS(E)                                                                                                   \
    E(INVALID, 400, 2, "the request is not valid")                                                                     \
    E(UNAUTHORIZED, 401, 1, "no valid token")                                                                          \
    E(FORBIDDEN, 403, 1, "the role does not allow this")                                                               \
    E(NOT_FOUND, 404, 1, "no such object")                                                                             \
    E(METHOD, 405, 2, "the method is not known for this path")                                                         \
    E(CONFLICT, 409, 1, "another change is in the way")                                                                \
    E(REFUSED, 409, 3, "refused by a safety rule")                                                                     \
    E(STALE, 412, 1, "the object has changed meanwhile")                                                               \
    E(TOO_LARGE, 413, 2, "the request is too large")                                                                   \
    E(REUSED, 422, 2, "the idempotency key was used for another request")                                              \
    E(PRECONDITION, 428, 2, "If-Match is required")                                                                    \
    E(LIMITED, 429, 6, "too many attempts")                                                                            \
    E(IO, 500, 1, "an input or output error")                                                                          \
    E(UNREACHABLE, 502, 6, "the other side cannot be reached")                                                         \
    E(UNAVAILABLE, 503, 6, "not available now")                                                                        \
    E(TIMEOUT, 504, 6, "no answer in time")

enum sb_error {
#define E(kind, http, exit_code, title) SB_ERROR_##kind,
    SB_ERRORS(E)
#undef E
};

/* Status of the HTTP answer for an error; 500 for errors of other domains. */
unsigned error_http_status(const GError *error);

/* Exit code of the CLI for an error. */
int error_exit_code(const GError *error);

/* Stable short name, e.g. "stale"; and the title of the kind. Static strings. */
const char *error_kind_name(const GError *error);
const char *error_kind_title(const GError *error);

#endif
