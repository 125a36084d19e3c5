#include "server/engine/sender.h"

#include "core/loop.h"
#include "server/engine/keys.h"
#include "server/engine/outside.h"

#include <netinet/in.h>
#include <string.h>

#define ANSWER_SIZE_MAX (64u << 10) /* bytes: it is an answer to a message, and no document */

struct sender {
    char *keys_dir;
    struct outside *outside;
    struct httpc *http;
};

static bool guard(void *data, const struct sockaddr *address, GError **error)
{
    struct addr addr = {0};
    if (address->sa_family == AF_INET) {
        addr.family = AF_INET;
        memcpy(addr.bytes, &((const struct sockaddr_in *)(const void *)address)->sin_addr, 4);
    } else if (address->sa_family == AF_INET6) {
        addr.family = AF_INET6;
        memcpy(addr.bytes, &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr, 16);
    }
    return addr.family != 0 && outside_may(((struct sender *)data)->outside, &addr, error);
}

struct sender *sender_new(struct loop *loop, const struct sender_config *config, GError **error)
{
    struct sender *sender = g_new0(struct sender, 1);
    sender->keys_dir = g_strdup(config->keys_dir);
    if ((sender->outside = outside_new(config->allow, error)) != NULL &&
        (sender->http = httpc_new(loop, error)) != NULL)
        return sender;
    sender_free(sender);
    return NULL;
}

void sender_free(struct sender *sender)
{
    if (sender == NULL)
        return;
    httpc_free(sender->http);
    outside_free(sender->outside);
    g_free(sender->keys_dir);
    g_free(sender);
}

bool sender_send(struct sender *sender, const struct sender_request *request, httpc_fn fn, void *data,
                 struct httpc_request **handle, GError **error)
{
    int64_t seconds = wall_now_us() / G_USEC_PER_SEC;
    g_autofree char *signature = key_sign(sender->keys_dir, request->key, request->id, seconds,
                                          request->body != NULL ? request->body : "", error);
    if (signature == NULL)
        return false;
    g_autoptr(GPtrArray) headers = g_ptr_array_new_with_free_func(g_free);
    g_ptr_array_add(headers, g_strconcat("webhook-id: ", request->id, NULL));
    g_ptr_array_add(headers, g_strdup_printf("webhook-timestamp: %" G_GINT64_FORMAT, seconds));
    g_ptr_array_add(headers, g_strconcat("webhook-signature: ", signature, NULL));
    g_ptr_array_add(headers, g_strdup("User-Agent: signalbox/" SIGNALBOX_VERSION));
    if (request->content_type != NULL)
        g_ptr_array_add(headers, g_strconcat("Content-Type: ", request->content_type, NULL));
    for (const char *const *line = request->headers; line != NULL && *line != NULL; line++)
        g_ptr_array_add(headers, g_strdup(*line));
    g_ptr_array_add(headers, NULL);
    const struct httpc_target target = {.base_url = request->url,
                                        .headers = (const char *const *)headers->pdata,
                                        .body_max = ANSWER_SIZE_MAX,
                                        .guard = guard,
                                        .guard_data = sender};
    struct httpc_request *started = httpc_start(sender->http, &target, request->method, "", request->body,
                                                (long)(request->timeout_us / 1000), fn, data);
    if (handle != NULL)
        *handle = started;
    return true;
}
