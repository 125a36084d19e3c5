#include "agent/link.h"

#include "agent/protocol.h"
#include "core/error.h"
#include "core/log.h"

#include <string.h>

#define POLL_TIMEOUT_MS ((AGENT_POLL_WAIT_S + 5) * 1000)
#define FETCH_TIMEOUT_MS (AGENT_PATIENCE_MAX_US / 1000 + 5000) /* the agent loses its patience before */
#define REPORT_TIMEOUT_MS 1500                                 /* a server that takes longer is as good as away */

struct server {
    struct link *link;
    unsigned index;
    char *url;
    bool reporting, again; /* a report is under way; another is wanted after it */
    uint64_t sent, seen;   /* newest event in the report under way; newest that it has answered for */
    int64_t answered_us;   /* 0: never */
    struct stamp told;     /* by its last answer; epoch 0: nothing */
    char *error;           /* of the last report, or NULL */
};

struct link {
    struct httpc *http;
    struct link_callbacks callbacks;
    char *edge, *ca_file, *cert_file, *key_file, *token;
    unsigned n_servers;
    struct server servers[LINK_SERVERS_MAX];
    struct httpc_request *poll; /* or NULL */
    unsigned poll_server;
    GPtrArray *fetches; /* struct fetch *, under way */
};

struct fetch {
    struct link *link;
    struct httpc_request *request;
    char hash[PART_HASH_SIZE];
};

struct link *link_new(struct loop *loop, const struct link_config *config, const struct link_callbacks *callbacks,
                      GError **error)
{
    struct link *link = g_new0(struct link, 1);
    link->callbacks = *callbacks;
    link->fetches = g_ptr_array_new_with_free_func(g_free);
    link->edge = g_strdup(config->edge);
    link->ca_file = g_strdup(config->ca_file);
    link->cert_file = g_strdup(config->cert_file);
    link->key_file = g_strdup(config->key_file);
    link->token = g_strdup(config->token);
    if ((link->cert_file == NULL) != (link->key_file == NULL)) {
        g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "found only one of certificate and key, expected both or none");
        link_free(link);
        return NULL;
    }
    for (unsigned i = 0; config->servers[i] != NULL; i++) {
        const char *url = config->servers[i];
        if (i == LINK_SERVERS_MAX || !(g_str_has_prefix(url, "https://") || g_str_has_prefix(url, "http://"))) {
            g_set_error(error, SB_ERROR, SB_ERROR_INVALID,
                        "server '%s': expected at most %d servers, each https://HOST:PORT or http://HOST:PORT", url,
                        LINK_SERVERS_MAX);
            link_free(link);
            return NULL;
        }
        struct server *server = &link->servers[link->n_servers++];
        *server = (struct server){.link = link, .index = i, .url = g_strdup(url)};
        if (g_str_has_suffix(url, "/"))
            server->url[strlen(url) - 1] = '\0';
    }
    link->http = httpc_new(loop, error);
    if (link->http == NULL) {
        link_free(link);
        return NULL;
    }
    return link;
}

void link_free(struct link *link)
{
    if (link == NULL)
        return;
    httpc_free(link->http);
    g_ptr_array_unref(link->fetches);
    for (unsigned i = 0; i < link->n_servers; i++) {
        g_free(link->servers[i].url);
        g_free(link->servers[i].error);
    }
    g_free(link->edge);
    g_free(link->ca_file);
    g_free(link->cert_file);
    g_free(link->key_file);
    g_free(link->token);
    g_free(link);
}

unsigned link_servers(const struct link *link)
{
    return link->n_servers;
}

static struct httpc_target target_of(const struct link *link, unsigned server)
{
    return (struct httpc_target){.base_url = link->servers[server].url,
                                 .ca_file = link->ca_file,
                                 .cert_file = link->cert_file,
                                 .key_file = link->key_file,
                                 .token = link->token};
}

static void give_failure(struct link *link, enum agent_event_kind kind, const char *hash, const char *url,
                         const char *why)
{
    g_autofree char *text = url != NULL ? g_strdup_printf("%s: %s", url, why) : g_strdup(why);
    struct agent_event event = {.kind = kind, .hash = hash, .text = text};
    link->callbacks.event(link->callbacks.data, &event);
}

/* "403: token of another edge": status and the problem's detail (RFC 9457) when there is one. */
static char *describe(const struct httpc_reply *reply)
{
    json_t *json = json_loads(reply->body, 0, NULL);
    const char *detail = json_string_value(json_object_get(json, "detail"));
    char *text =
        g_strdup_printf("status %u%s%s", reply->status, detail != NULL ? ": " : "", detail != NULL ? detail : "");
    json_decref(json);
    return text;
}

/* ---- long-poll ---- */

static void on_poll(void *data, const struct httpc_reply *reply, const GError *error)
{
    struct link *link = data;
    const char *url = link->servers[link->poll_server].url;
    link->poll = NULL;
    if (error != NULL) {
        give_failure(link, AGENT_POLL_FAILED, NULL, NULL, error->message);
    } else if (reply->status == 204) {
        struct agent_event event = {.kind = AGENT_UNCHANGED};
        link->callbacks.event(link->callbacks.data, &event);
    } else if (reply->status == 200) {
        g_autoptr(GError) bad = NULL;
        struct manifest manifest;
        json_t *json = json_loadb(reply->body, reply->size, 0, NULL);
        if (json != NULL && manifest_from_json(json, &manifest, &bad)) {
            struct agent_event event = {.kind = AGENT_MANIFEST, .manifest = &manifest};
            link->callbacks.event(link->callbacks.data, &event);
        } else {
            give_failure(link, AGENT_POLL_FAILED, NULL, url, bad != NULL ? bad->message : "its manifest is no JSON");
        }
        json_decref(json);
    } else {
        g_autofree char *why = describe(reply);
        give_failure(link, AGENT_POLL_FAILED, NULL, url, why);
    }
}

/* What was asked before is of no interest any more. */
static void end_questions(struct link *link)
{
    httpc_cancel(link->poll);
    link->poll = NULL;
    for (guint i = 0; i < link->fetches->len; i++)
        httpc_cancel(((struct fetch *)link->fetches->pdata[i])->request);
    g_ptr_array_set_size(link->fetches, 0);
}

void link_poll(struct link *link, unsigned server, struct stamp have)
{
    g_assert(server < link->n_servers);
    end_questions(link);
    g_autofree char *path =
        g_strdup_printf("/agent/v1/edges/%s/table?epoch=%" G_GUINT64_FORMAT "&generation=%" G_GUINT64_FORMAT "&wait=%d",
                        link->edge, have.epoch, have.generation, AGENT_POLL_WAIT_S);
    struct httpc_target target = target_of(link, server);
    link->poll_server = server;
    link->poll = httpc_start(link->http, &target, "GET", path, NULL, POLL_TIMEOUT_MS, on_poll, link);
}

/* ---- parts ---- */

static guint fetch_index(const struct link *link, const struct fetch *fetch)
{
    guint index = 0;
    gboolean found = g_ptr_array_find(link->fetches, fetch, &index);
    g_assert(found);
    return index;
}

static void on_fetch(void *data, const struct httpc_reply *reply, const GError *error)
{
    struct fetch *fetch = data;
    struct link *link = fetch->link;
    g_ptr_array_steal_index_fast(link->fetches, fetch_index(link, fetch));
    if (error != NULL) {
        give_failure(link, AGENT_PART_FAILED, fetch->hash, NULL, error->message);
    } else if (reply->status != 200) {
        g_autofree char *why = describe(reply);
        give_failure(link, AGENT_PART_FAILED, fetch->hash, fetch->hash, why);
    } else {
        g_autoptr(GBytes) bytes = g_bytes_new(reply->body, reply->size);
        struct agent_event event = {.kind = AGENT_PART, .hash = fetch->hash, .bytes = bytes};
        link->callbacks.event(link->callbacks.data, &event);
    }
    g_free(fetch);
}

void link_fetch(struct link *link, unsigned server, const char *hash)
{
    struct fetch *fetch = g_new0(struct fetch, 1);
    fetch->link = link;
    g_strlcpy(fetch->hash, hash, sizeof fetch->hash);
    g_ptr_array_add(link->fetches, fetch);
    g_autofree char *path = g_strdup_printf("/agent/v1/parts/%s", hash);
    struct httpc_target target = target_of(link, server);
    fetch->request = httpc_start(link->http, &target, "GET", path, NULL, FETCH_TIMEOUT_MS, on_fetch, fetch);
}

/* ---- reports ---- */

static void send_report(struct server *server);

static void note_outcome(struct server *server, char *error)
{
    if (error != NULL && server->error == NULL)
        log_warning("a server does not take reports; tried again every second", "server=%s why=\"%s\"", server->url,
                    error);
    if (error == NULL && server->error != NULL)
        log_info("a server takes reports again", "server=%s", server->url);
    g_free(server->error);
    server->error = error;
}

/* The newest stamp that the server has; epoch 0 when its answer does not tell. */
static struct stamp told(const struct httpc_reply *reply)
{
    json_t *json = reply->status == 200 ? json_loadb(reply->body, reply->size, 0, NULL) : NULL;
    json_int_t epoch = json_integer_value(json_object_get(json, "epoch"));
    json_int_t generation = json_integer_value(json_object_get(json, "generation"));
    json_decref(json);
    return epoch > 0 && generation >= 0 ? (struct stamp){(uint64_t)epoch, (uint64_t)generation} : (struct stamp){0};
}

static void on_report(void *data, const struct httpc_reply *reply, const GError *error)
{
    struct server *server = data;
    struct link *link = server->link;
    struct agent_event event = {.kind = error != NULL ? AGENT_SILENT : AGENT_HEARD,
                                .server = server->index,
                                .text = error != NULL ? error->message : NULL};
    server->reporting = false;
    if (reply != NULL && reply->status / 100 == 2) {
        server->seen = server->sent;
        server->answered_us = loop_now_us();
        event.stamp = server->told = told(reply);
        note_outcome(server, NULL);
    } else {
        note_outcome(server, error != NULL ? g_strdup(error->message) : describe(reply));
    }
    if (server->again)
        send_report(server);
    link->callbacks.event(link->callbacks.data, &event);
}

static void send_report(struct server *server)
{
    struct link *link = server->link;
    server->again = server->reporting;
    if (server->reporting)
        return;
    json_t *json = link->callbacks.report(link->callbacks.data, server->seen, &server->sent);
    char *body = json_dumps(json, JSON_COMPACT);
    json_decref(json);
    g_autofree char *path = g_strdup_printf("/agent/v1/edges/%s/report", link->edge);
    struct httpc_target target = target_of(link, server->index);
    server->reporting = true;
    httpc_start(link->http, &target, "POST", path, body, REPORT_TIMEOUT_MS, on_report, server);
    free(body);
}

void link_report(struct link *link)
{
    for (unsigned i = 0; i < link->n_servers; i++)
        send_report(&link->servers[i]);
}

json_t *link_status(const struct link *link)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < link->n_servers; i++) {
        const struct server *server = &link->servers[i];
        json_t *ago = server->answered_us == 0 ? json_null() : json_integer(loop_now_us() - server->answered_us);
        json_array_append_new(list, json_pack("{s:s,s:o,s:{s:I,s:I},s:b,s:s?}", "url", server->url, "reported_us_ago",
                                              ago, "newest", "epoch", (json_int_t)server->told.epoch, "generation",
                                              (json_int_t)server->told.generation, "asked",
                                              link->poll != NULL && link->poll_server == i, "error", server->error));
    }
    return list;
}
