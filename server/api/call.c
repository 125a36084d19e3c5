/* call.c: from request to handler and back: route, who asks, role, body, outcome. */
#include "server/api/call.h"

#include "core/error.h"
#include "core/loop.h"
#include "schema/jsondoc.h"
#include "server/api/api_internal.h"
#include "server/api/console.h"
#include "server/api/dispatch.h"
#include "server/api/problem.h"

#include <string.h>

#define HASHING_MAX 16 /* calls with passwords or replays at once: a password takes a tenth of a second */

/* ---- outcome ---- */

static void settle(struct call *call)
{
    struct reply *reply = &call->request->reply;
    if (call->error != NULL) {
        problem_reply(reply, call->error, call->findings);
        return;
    }
    if (reply->status != 0) /* the handler has answered by itself */
        return;
    reply->status = call->accepted ? 202 : call->handler->status;
    if (call->result == NULL)
        return;
    if (call->handler->paging.keys[0] != NULL)
        page_cut(&call->page, &call->handler->paging, call->result, call->request);
    reply->content_type = "application/json";
    reply->body = json_dumps(call->result, JSON_COMPACT);
    reply->size = strlen(reply->body);
}

static void settle_error(struct call *call, enum sb_error kind, const char *detail)
{
    g_set_error_literal(&call->error, SB_ERROR, (int)kind, detail);
    settle(call);
}

void call_set_etag(struct call *call, uint64_t revision)
{
    call->request->reply.etag = g_strdup_printf("\"%" G_GUINT64_FORMAT "\"", revision);
}

/* ---- who ---- */

static bool check_listener(const struct call *call, GError **error)
{
    bool on_agents = listener_config(call->request->listener)->which == LISTENER_AGENTS;
    enum route_role role = call->route->role;
    if (role == ROUTE_ANY || (role == ROUTE_AGENT) == on_agents)
        return true;
    g_set_error(error, SB_ERROR, SB_ERROR_NOT_FOUND, "%s is on the %s listener, not on this one", call->request->path,
                on_agents ? "operators'" : "agents'");
    return false;
}

static bool check_role(const struct call *call, enum route_role have, GError **error)
{
    enum route_role want = call->route->role;
    if (!route_role_may(have, want)) {
        g_autofree char *expected = route_roles_text(want);
        g_set_error(error, SB_ERROR, SB_ERROR_FORBIDDEN, "%s %s: found the role %s, expected %s", call->route->method,
                    call->request->path, route_role_name(have), expected);
        return false;
    }
    const struct tls_peer *certificate = call->request->certificate;
    if (certificate != NULL && !g_strv_contains((const char *const *)certificate->names, call->who)) {
        tls_refuse_name(call->api->tls, certificate, call->who, error);
        return false;
    }
    bool named = want == ROUTE_AGENT && strstr(call->route->path, "{name}") != NULL;
    if (!named || strcmp(call->params.value[0], call->who) == 0)
        return true;
    g_autofree char *found = text_quote(call->params.value[0]);
    g_set_error(error, SB_ERROR, SB_ERROR_FORBIDDEN,
                "the token is %s's, the path names %s: an agent speaks for itself only", call->who, found);
    return false;
}

static bool check_scopes(const struct call *call, GError **error)
{
    char **scopes = call->scopes;
    for (char **scope = scopes; scope != NULL && *scope != NULL; scope++)
        if (route_scope_holds(*scope, call->route, &call->params))
            return true;
    if (scopes == NULL)
        return true;
    g_autofree char *held = g_strjoinv(", ", scopes);
    g_set_error(error, SB_ERROR, SB_ERROR_FORBIDDEN, "%s %s: found a token for %s, expected one whose scopes hold it",
                call->route->method, call->request->path, held);
    return false;
}

static bool authorize(struct call *call, GError **error)
{
    struct token_grant grant = {0};
    if (!check_listener(call, error))
        return false;
    if (call->route->role == ROUTE_ANY)
        return true;
    if (listener_is_local(call->request->listener)) {
        call->who = g_strdup_printf("uid:%u", (unsigned)call->request->peer_uid);
        return true;
    }
    if (call->request->bearer == NULL && session_cookie(call) == NULL) {
        g_set_error(error, SB_ERROR, SB_ERROR_UNAUTHORIZED,
                    "found no token, expected the header \"Authorization: Bearer sb_...\"");
        return false;
    }
    if (call->request->bearer != NULL
            ? !tokens_check(call->api->tokens, call->request->bearer, wall_now_us(), &grant, error)
            : !session_authorize(call, &grant, error))
        return false;
    call->who = grant.name;
    call->scopes = grant.scopes;
    call->expires_us = grant.expires_us;
    return check_role(call, grant.role, error) && check_scopes(call, error);
}

static bool find_route(struct call *call, GError **error)
{
    const struct request *request = call->request;
    bool known;
    call->route = route_match(request->method, request->path, &call->params, &known);
    if (call->route != NULL)
        return true;
    g_autofree char *path = text_quote(request->path), *method = text_quote(request->method);
    if (!known) {
        g_set_error(error, SB_ERROR, SB_ERROR_NOT_FOUND, "path: found %s, which this API does not have", path);
        return false;
    }
    call->request->reply.allow = route_methods(request->path);
    g_set_error(error, SB_ERROR, SB_ERROR_METHOD, "method: found %s for %s, expected %s", method, path,
                call->request->reply.allow);
    return false;
}

void dispatch_begin(void *data, struct request *request)
{
    struct call *call = g_new0(struct call, 1);
    call->api = data;
    call->request = request;
    request->data = call;
    if (listener_config(request->listener)->which != LISTENER_AGENTS && console_answer(request, console_files))
        return;
    if (!find_route(call, &call->error) || !authorize(call, &call->error)) {
        settle(call);
        return;
    }
    if (call->who != NULL)
        request_trust(request);
    call->handler = handler_for(call->route->id);
    if (call->handler->body_size_max > 0)
        request->body_size_max = call->handler->body_size_max;
}

/* ---- body ---- */

static bool parse_body(struct call *call, GError **error)
{
    const GByteArray *bytes = call->request->body;
    if (bytes->len == 0) { /* framing.h lets no other method have one */
        bool takes_one = strcmp(call->request->method, "POST") == 0 || strcmp(call->request->method, "PUT") == 0 ||
                         strcmp(call->request->method, "PATCH") == 0;
        call->body = takes_one ? json_object() : NULL;
        return true;
    }
    call->body = jsondoc_parse((const char *)bytes->data, bytes->len, "body", error);
    if (call->body == NULL)
        return false;
    if (!json_is_object(call->body)) {
        g_autofree char *found = json_quote(call->body);
        g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "body: found %s, expected a JSON object", found);
        return false;
    }
    return true;
}

static bool wrong_member(const char *name, const json_t *value, const char *expected, GError **error)
{
    g_autofree char *found = json_quote(value);
    g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "%s: found %s, expected %s", name, found, expected);
    return false;
}

static bool take_overrides(struct call *call, const json_t *list, GError **error)
{
    size_t i;
    json_t *item;
    if (!json_is_array(list) || json_array_size(list) > 16)
        return wrong_member("overrides", list, "a list of names of rules", error);
    call->overrides = g_new0(char *, json_array_size(list) + 1);
    json_array_foreach ((json_t *)(uintptr_t)list, i, item) {
        if (!json_is_string(item) || !text_valid(FIELD_NAME, json_string_value(item)))
            return wrong_member("overrides", item, "the name of a rule", error);
        call->overrides[i] = g_strdup(json_string_value(item));
    }
    return true;
}

/* Members that every change may have: who reads the rest does not see them. */
static bool take_common(struct call *call, GError **error)
{
    const json_t *reason = json_object_get(call->body, "reason"), *dry_run = json_object_get(call->body, "dry_run"),
                 *overrides = json_object_get(call->body, "overrides");
    if (reason != NULL && !json_is_null(reason)) {
        call->reason_text = json_is_string(reason) ? g_strdup(json_string_value(reason)) : NULL;
        if (call->reason_text == NULL || strlen(call->reason_text) > 500 ||
            (call->reason_text[0] != '\0' && !text_valid(FIELD_TEXT, call->reason_text)))
            return wrong_member("reason", reason, "a line of text of at most 500 bytes", error);
    }
    if (dry_run != NULL && !json_is_boolean(dry_run))
        return wrong_member("dry_run", dry_run, "true or false", error);
    call->dry_run = json_is_true(dry_run);
    if (overrides != NULL && !take_overrides(call, overrides, error))
        return false;
    json_object_del(call->body, "reason");
    json_object_del(call->body, "dry_run");
    json_object_del(call->body, "overrides");
    return true;
}

static bool check_members(const struct call *call, GError **error)
{
    const char *name;
    json_t *value;
    if (call->handler->members == NULL)
        return true;
    g_auto(GStrv) known = g_strsplit(call->handler->members, " ", -1);
    json_object_foreach (call->body, name, value) {
        if (g_strv_contains((const char *const *)known, name))
            continue;
        g_autofree char *found = text_quote(name);
        g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "body: found the member %s, expected one of: %s", found,
                    call->handler->members);
        return false;
    }
    return true;
}

/* A change that was asked for as a dry run is never made. */
static bool check_dry_run(const struct call *call, GError **error)
{
    if (!call->dry_run || call->handler->dry_run || strcmp(call->request->method, "GET") == 0)
        return true;
    g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "dry_run: found one, expected none: %s %s has none",
                call->route->method, call->route->path);
    return false;
}

static bool query_int(const struct call *call, const char *name, int64_t min, int64_t max, int64_t *out, GError **error)
{
    g_autofree char *text = request_query(call->request, name);
    if (text == NULL || g_ascii_string_to_signed(text, 10, min, max, out, NULL))
        return true;
    g_autofree char *found = text_quote(text);
    g_set_error(error, SB_ERROR, SB_ERROR_INVALID,
                "%s: found %s, expected a number from %" G_GINT64_FORMAT " to %" G_GINT64_FORMAT, name, found, min,
                max);
    return false;
}

static bool read_body(struct call *call, GError **error)
{
    int64_t flag = 0; /* of any route: who asks for a dry run where there is none is refused, not obeyed */
    if (!parse_body(call, error) || !query_int(call, "dry_run", 0, 1, &flag, error))
        return false;
    if (call->body != NULL && call->route->role != ROUTE_AGENT &&
        (!check_members(call, error) || !take_common(call, error)))
        return false;
    call->dry_run |= flag;
    return check_dry_run(call, error);
}

/* ---- the engine's thread ---- */

/* Would it write to the journal? */
static bool is_change(const struct call *call)
{
    return strcmp(call->request->method, "GET") != 0 && !call->dry_run && call->route->role != ROUTE_AGENT &&
           call->route->id != ROUTE_FORECAST;
}

/* Was it answered already? Also true with call->error. */
static bool replay(struct call *call)
{
    return answers_find(call->api->answers, &call->key, wall_now_us(), &call->request->reply, &call->error) ||
           call->error != NULL;
}

/* The answer goes into the journal with the change. */
static void keep_answer(struct call *call, struct turn *turn)
{
    call->answers = entries_new();
    turn->also = entries_new();
    answers_make(call->api->answers, &call->key, &call->request->reply, call->handler->secret, turn->now.wall_us,
                 turn->also);
    for (guint i = 0; i < turn->also->len; i++) {
        const struct journal_entry *entry = turn->also->pdata[i];
        entries_add(call->answers, entry->kind, entry->id, NULL, json_incref(entry->body));
    }
}

static void on_work(void *data, struct turn *turn)
{
    struct call *call = data;
    if (call->keyed && replay(call)) { /* it was under way when this one came */
        settle(call);
        return;
    }
    if (turn->unwritable != NULL && is_change(call) && !call->handler->anyhow)
        g_set_error(&call->error, SB_ERROR, SB_ERROR_UNAVAILABLE,
                    "the journal cannot be written, so nothing can be changed; what was in force stays: %s",
                    turn->unwritable);
    else
        call->handler->work(call, turn, &call->error);
    settle(call);
    if (call->keyed && call->error == NULL)
        keep_answer(call, turn);
}

static bool on_ready(void *data, struct turn *turn, bool last)
{
    struct call *call = data;
    bool over = call->handler->ready(call, turn, last, &call->error) || call->error != NULL;
    if (over)
        settle(call);
    return over;
}

static bool on_news(void *data, struct turn *turn, bool last)
{
    struct call *call = data;
    return call->handler->ready(call, turn, last, &call->error);
}

static void on_done(void *data);

static void on_slow(void *data)
{
    struct call *call = data;
    call->handler->slow(call, &call->error);
    atomic_fetch_sub(&call->api->n_hashing, 1);
    if (call->error == NULL && call->handler->work != NULL) {
        executor_submit(call->api->executor, on_work, on_done, call);
        return;
    }
    settle(call);
    request_resume(call->request);
}

static void on_read(void *data);

/* On the engine's thread. */
static void on_news_come(void *data)
{
    struct call *call = data;
    if (call->request->reply.status != 0)
        request_resume(call->request);
    else
        loop_post(call->api->reading, on_read, call);
}

/* On the reader's thread. What finds nothing waits for news, if it can. */
static void on_read(void *data)
{
    struct call *call = data;
    call->again = false;
    call->handler->read(call, &call->error);
    if (call->again) {
        loop_post(call->api->reading, on_read, call);
        return;
    }
    if (call->handler->ready != NULL && call->error == NULL && call->request->reply.status == 0) {
        executor_submit_when(call->api->executor, on_news, call->until_us, on_news_come, call);
        return;
    }
    settle(call);
    request_resume(call->request);
}

static void on_done(void *data)
{
    struct call *call = data;
    const char *failed = executor_failed(call->api->executor);
    if (failed != NULL) {
        call->unwritten = true;
        g_clear_error(&call->error);
        g_set_error(&call->error, SB_ERROR, SB_ERROR_UNAVAILABLE,
                    "the journal cannot be written; the server ends and starts anew, and only then is it known whether "
                    "this change is in force: look before you repeat it: %s",
                    failed);
        settle(call);
    }
    if (call->token != NULL && call->error == NULL)
        tokens_restore(call->api->tokens, call->token, NULL);
    for (guint i = 0; call->answers != NULL && call->error == NULL && i < call->answers->len; i++)
        answers_restore(call->api->answers, call->answers->pdata[i], NULL);
    request_resume(call->request); /* the call is not ours any more */
}

static bool take_page(struct call *call, GError **error)
{
    if (call->handler->paging.list == NULL)
        return true;
    g_autofree char *cursor = request_query(call->request, "cursor");
    return call_query_int(call, "limit", &call->page.limit, error) &&
           (cursor == NULL || page_from_cursor(&call->page, call->request, cursor, error));
}

static bool take_key(struct call *call, GError **error)
{
    if (call->request->idempotency_key == NULL || !is_change(call) || call->route->role == ROUTE_ANY)
        return true;
    call->keyed = answer_key_take(call->request, call->who, call->handler->slow == NULL, &call->key, error);
    return call->keyed;
}

static void hand_over(struct call *call)
{
    if (call->handler->slow != NULL && atomic_fetch_add(&call->api->n_hashing, 1) >= HASHING_MAX) {
        atomic_fetch_sub(&call->api->n_hashing, 1);
        settle_error(call, SB_ERROR_UNAVAILABLE, "too many passwords or replays at once: ask again in a moment");
        return;
    }
    if (!request_park(call->request)) {
        settle_error(call, SB_ERROR_UNAVAILABLE, "the server is ending");
        return;
    }
    if (call->handler->slow != NULL)
        loop_post(call->api->hashing, on_slow, call);
    else if (call->handler->read != NULL)
        loop_post(call->api->reading, on_read, call);
    else if (call->handler->work != NULL)
        executor_submit(call->api->executor, on_work, on_done, call);
    else
        executor_submit_when(call->api->executor, on_ready, call->until_us, on_done, call);
}

void dispatch_handle(void *data, struct request *request)
{
    struct call *call = request->data;
    const struct handler *handler = call->handler;
    (void)data;
    if (!read_body(call, &call->error) || !take_page(call, &call->error) || !take_key(call, &call->error) ||
        (call->keyed && replay(call)) || (handler->prepare != NULL && !handler->prepare(call, &call->error)))
        settle(call);
    else if (request->parked) /* by the handler: an agent that waits */
        return;
    else if (handler->read != NULL || handler->slow != NULL || handler->work != NULL || handler->ready != NULL)
        hand_over(call);
    else
        settle(call);
}

void dispatch_finish(void *data, struct request *request)
{
    struct call *call = request->data;
    (void)data;
    if (call->handler->resumed != NULL) {
        call->handler->resumed(call);
        settle(call);
    }
}

void dispatch_end(void *data, struct request *request)
{
    struct call *call = request->data;
    (void)data;
    if (call == NULL)
        return;
    if (call->unwritten)
        executor_answered(call->api->executor);
    g_free(call->who);
    g_strfreev(call->scopes);
    g_free(call->reason_text);
    if (call->told != NULL)
        g_string_free(call->told, TRUE);
    g_strfreev(call->overrides);
    page_clear(&call->page);
    json_decref(call->body);
    json_decref(call->result);
    g_clear_error(&call->error);
    if (call->findings != NULL)
        g_ptr_array_unref(call->findings);
    journal_entry_free(call->token);
    if (call->answers != NULL)
        g_ptr_array_unref(call->answers);
    g_free(call);
}

/* ---- helpers of handlers ---- */

struct asker call_asker(const struct call *call)
{
    return (struct asker){
        .actor = call->who, .reason = call->reason_text, .overrides = (const char *const *)call->overrides};
}

bool call_if_match(struct call *call, GError **error)
{
    const char *text = call->request->if_match;
    guint64 revision;
    call->if_match = IF_MATCH_ABSENT;
    if (text == NULL) {
        g_set_error(
            error, SB_ERROR, SB_ERROR_PRECONDITION,
            "found no If-Match, expected the ETag of what is to be changed (\"0\": it is not there yet; *: any)");
        return false;
    }
    if (strcmp(text, "*") == 0) {
        call->if_match = IF_MATCH_ANY;
        return true;
    }
    size_t len = strlen(text);
    g_autofree char *digits = len > 2 && text[0] == '"' && text[len - 1] == '"' ? g_strndup(text + 1, len - 2) : NULL;
    if (digits != NULL && g_ascii_string_to_unsigned(digits, 10, 0, G_MAXINT64, &revision, NULL)) {
        call->if_match = (int64_t)revision;
        return true;
    }
    g_autofree char *found = text_quote(text);
    g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "If-Match: found %s, expected one ETag as it was given, like \"12\"",
                found);
    return false;
}

bool call_query_int(const struct call *call, const char *name, int64_t *out, GError **error)
{
    const struct query_class *query = route_query(call->route->id, name);
    *out = query->absent;
    return query_int(call, name, query->min, query->max, out, error);
}
