#include "server/engine/outgoing.h"

#include "core/error.h"
#include "schema/jsondoc.h"
#include "server/engine/webhooks.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#define VALUE_MAX 400 /* bytes of a member of an answer */

struct outgoing {
    struct loop *loop;
    struct sender *sender;
    struct webhooks *webhooks;
    void (*answered)(void *data, json_t *result);
    void *data;
    GPtrArray *calls; /* struct under_way *, the thread's */
    atomic_bool woken;
    pthread_t thread;
    bool started;
};

/* ---- calls ---- */

/* A call, posted, then under way. */
struct under_way {
    struct outgoing *outgoing;
    json_t *call; /* this thread's alone */
};

static void under_way_free(void *data)
{
    struct under_way *u = data;
    json_decref(u->call);
    g_free(u);
}

/* Member "a.b" of an answer as text; NULL: it has none, or one that is no text, number or truth. */
static json_t *value_of(const char *body, const char *path)
{
    json_t *whole = json_loads(body, JSON_DECODE_ANY, NULL), *at = whole, *value = NULL;
    g_auto(GStrv) names = g_strsplit(path, ".", -1);
    for (char **name = names; *name != NULL; name++)
        at = json_object_get(at, *name);
    if (json_is_string(at) && json_string_length(at) <= VALUE_MAX && strlen(json_string_value(at)) > 0) {
        value = json_incref(at);
    } else if (json_is_integer(at) || json_is_boolean(at)) {
        char *text = json_dumps(at, JSON_ENCODE_ANY);
        value = json_string(text);
        free(text);
    }
    json_decref(whole);
    return value;
}

static void answer(struct under_way *u, const struct httpc_reply *reply, const GError *error, bool refused)
{
    const char *member = json_member_text(u->call, "member");
    json_t *value = reply != NULL && member != NULL ? value_of(reply->body, member) : NULL;
    json_t *result = json_pack("{s:O, s:I, s:o?, s:s?, s:b}", "id", json_object_get(u->call, "id"), "status",
                               (json_int_t)(reply != NULL ? reply->status : 0), "value", value, "error",
                               error != NULL ? error->message : NULL, "refused", refused);
    struct outgoing *o = u->outgoing;
    g_ptr_array_remove_fast(o->calls, u);
    o->answered(o->data, result);
}

static void on_reply(void *data, const struct httpc_reply *reply, const GError *error)
{
    answer(data, reply, error, g_error_matches(error, SB_ERROR, SB_ERROR_FORBIDDEN));
}

static char **headers_of(const json_t *call)
{
    GPtrArray *headers = g_ptr_array_new();
    const char *name;
    json_t *value;
    g_ptr_array_add(headers, g_strdup_printf("Idempotency-Key: %s", json_member_text(call, "id")));
    json_object_foreach (json_object_get(call, "headers"), name, value)
        g_ptr_array_add(headers, g_strdup_printf("%s: %s", name, json_string_value(value)));
    g_ptr_array_add(headers, NULL);
    return (char **)g_ptr_array_free(headers, FALSE);
}

static void begin_call(void *data)
{
    struct under_way *u = data;
    g_autoptr(GError) error = NULL;
    g_auto(GStrv) headers = headers_of(u->call);
    char *body = json_dumps(json_object_get(u->call, "body"), JSON_COMPACT);
    const struct sender_request request = {
        .id = json_member_text(u->call, "id"),
        .key = json_member_text(u->call, "key"),
        .method = json_member_text(u->call, "method"),
        .url = json_member_text(u->call, "url"),
        .body = body,
        .headers = (const char *const *)headers,
        .timeout_us = json_integer_value(json_object_get(u->call, "timeout_us")),
    };
    g_ptr_array_add(u->outgoing->calls, u);
    if (!sender_send(u->outgoing->sender, &request, on_reply, u, NULL, &error))
        answer(u, NULL, error, true); /* without a signature nothing goes out */
    free(body);
}

void outgoing_call(struct outgoing *o, const json_t *call)
{
    struct under_way *u = g_new0(struct under_way, 1);
    u->outgoing = o;
    u->call = json_deep_copy(call);
    loop_post(o->loop, begin_call, u);
}

/* ---- webhooks ---- */

struct posting {
    struct outgoing *outgoing;
    struct inventory *inventory; /* a reference */
    char *webhook;
};

static void fit(void *data)
{
    struct posting *posting = data;
    webhooks_fit(posting->outgoing->webhooks, posting->inventory);
    inventory_unref(posting->inventory);
    g_free(posting);
}

void outgoing_publish(struct outgoing *o, const struct resolved *resolved)
{
    struct posting *posting = g_new0(struct posting, 1);
    posting->outgoing = o;
    posting->inventory = inventory_ref(resolved->world->inventory);
    loop_post(o->loop, fit, posting);
}

static void look(void *data)
{
    struct outgoing *o = data;
    atomic_store(&o->woken, false);
    webhooks_look(o->webhooks);
}

void outgoing_wake(struct outgoing *o)
{
    if (!atomic_exchange(&o->woken, true))
        loop_post(o->loop, look, o);
}

static void retry(void *data)
{
    struct posting *posting = data;
    webhooks_retry(posting->outgoing->webhooks, posting->webhook);
    g_free(posting->webhook);
    g_free(posting);
}

void outgoing_retry(struct outgoing *o, const char *webhook)
{
    struct posting *posting = g_new0(struct posting, 1);
    posting->outgoing = o;
    posting->webhook = g_strdup(webhook);
    loop_post(o->loop, retry, posting);
}

void outgoing_warn(struct outgoing *o, json_t *warnings)
{
    webhooks_warn(o->webhooks, warnings);
}

json_t *outgoing_figures(struct outgoing *o)
{
    return webhooks_figures(o->webhooks);
}

/* ---- life ---- */

static void *run(void *data)
{
    struct outgoing *o = data;
    loop_run(o->loop);
    return NULL;
}

static bool start(struct outgoing *o, const struct outgoing_config *config, GError **error)
{
    const struct sender_config sender = {.keys_dir = config->keys_dir, .allow = config->allow};
    if ((o->loop = loop_new(error)) == NULL || (o->sender = sender_new(o->loop, &sender, error)) == NULL)
        return false;
    const struct webhooks_config webhooks = {.loop = o->loop,
                                             .sender = o->sender,
                                             .cluster = config->cluster,
                                             .state_dir = config->state_dir,
                                             .journal_path = config->journal_path,
                                             .disabled = config->disabled,
                                             .data = config->data};
    o->webhooks = webhooks_new(&webhooks);
    int rc = pthread_create(&o->thread, NULL, run, o);
    o->started = rc == 0;
    if (rc != 0)
        g_set_error(error, SB_ERROR, SB_ERROR_IO, "cannot start the thread for calls: %s", g_strerror(rc));
    return o->started;
}

struct outgoing *outgoing_new(const struct outgoing_config *config, GError **error)
{
    struct outgoing *o = g_new0(struct outgoing, 1);
    o->answered = config->answered;
    o->data = config->data;
    o->calls = g_ptr_array_new_with_free_func(under_way_free);
    if (start(o, config, error))
        return o;
    outgoing_free(o);
    return NULL;
}

static void stop(void *data)
{
    loop_stop(((struct outgoing *)data)->loop);
}

void outgoing_free(struct outgoing *o)
{
    if (o == NULL)
        return;
    if (o->started) {
        loop_post(o->loop, stop, o); /* behind what was posted, so that nothing of it is left */
        pthread_join(o->thread, NULL);
    }
    webhooks_free(o->webhooks);
    sender_free(o->sender);
    loop_free(o->loop);
    g_ptr_array_unref(o->calls);
    g_free(o);
}
