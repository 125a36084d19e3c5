/* sender.h: signed HTTP requests to the outside: for hooks of plans, and for webhooks.
 *
 * Each has a bound on its whole time and on its answer's size, follows no redirect, and connects only to addresses that
 * outside.h allows: of a name, the address that is connected to is the one that was looked at.
 *
 * Thread safety: a sender belongs to its loop's thread.
 */
#ifndef ENGINE_SENDER_H
#define ENGINE_SENDER_H

#include "core/httpc.h"

struct sender_config {
    const char *keys_dir; /* of signing keys, or NULL: there are none, and nothing can be sent */
    const char *allow;    /* as outside_new takes it */
};
struct sender;
struct sender *sender_new(struct loop *loop, const struct sender_config *config, GError **error);
void sender_free(struct sender *sender); /* what is under way ends without its callback; NULL is allowed */

/* Strings are borrowed for the call. */
struct sender_request {
    const char *id;                                 /* webhook-id: the same for each try */
    const char *key;                                /* that signs it */
    const char *method, *url, *body, *content_type; /* body: text, or NULL; its type NULL: application/json */
    const char *const *headers;                     /* more of them, NULL-terminated, or NULL */
    int64_t timeout_us;
};
/* False with *error: the key cannot be had, nothing was sent and fn will not be called. */
bool sender_send(struct sender *sender, const struct sender_request *request, httpc_fn fn, void *data,
                 struct httpc_request **handle, GError **error);

#endif
