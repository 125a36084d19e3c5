/* api.h: the REST API on its three listeners: operators (TLS, or loopback), agents (the same), and this machine's
 * local socket, whose callers are known by their uid. Each has its own limits.
 *
 * Thread safety: api_new and api_free belong to one thread.
 */
#ifndef API_API_H
#define API_API_H

#include "schema/addr.h"
#include "server/api/answers.h"
#include "server/api/sessions.h"
#include "server/api/tls.h"
#include "server/api/tokens.h"
#include "server/engine/executor.h"

struct api_config {
    struct endpoint listen, agents_listen;
    const char *socket;   /* path of the local socket */
    struct tls_files tls; /* cert NULL: none, and addresses must be loopback */
};
/* What the journal keeps for the api. */
struct api_kept {
    struct tokens *tokens;
    struct sessions *sessions;
    struct answers *answers;
};
struct api;
/* Begins to answer. executor is started; kept holds what the journal had. All must outlive the api. */
struct api *api_new(const struct api_config *config, struct executor *executor, const struct api_kept *kept,
                    GError **error);
/* Answers who waits, then ends. NULL is allowed. */
void api_free(struct api *api);

/* TLS is needed for any address but loopback. The message says what mends it. */
bool api_check_address(const char *flag, const struct endpoint *address, bool tls, GError **error);

#endif
