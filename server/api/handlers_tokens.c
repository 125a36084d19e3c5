/* handlers_tokens.c: tokens: who asks gets no more than he has. */
#include "server/api/call.h"

#include "core/error.h"
#include "schema/jsondoc.h"
#include "server/api/api_internal.h"

#include <string.h>

bool get_tokens(struct call *call, GError **error)
{
    (void)error;
    call->result = tokens_to_json(call->api->tokens, false);
    return true;
}

void call_journal_token(struct call *call, struct turn *turn, const char *name, json_t *body, const char *what)
{
    struct asker asker = call_asker(call);
    call->token = journal_entry_new("token", name, NULL, body);
    engine_journal(turn->engine, journal_entry_new("token", name, NULL, json_incref(body)), what, &asker, turn->now,
                   &turn->effects);
}

/* Is this one of the asker's own, or one thing of a part of the API that is? */
static bool scope_held(const struct call *call, const char *scope)
{
    g_autofree char *part = g_strndup(scope, strcspn(scope, "/"));
    return g_strv_contains((const char *const *)call->scopes, scope) ||
           g_strv_contains((const char *const *)call->scopes, part);
}

/* Nobody makes a token that is good for more than his own, */
static bool scopes_held(const struct call *call, GError **error)
{
    const json_t *asked = json_object_get(call->body, "scopes");
    bool held = call->scopes == NULL || json_array_size(asked) > 0;
    for (size_t i = 0; held && call->scopes != NULL && i < json_array_size(asked); i++) {
        const char *scope = json_string_value(json_array_get(asked, i));
        held = scope != NULL && scope_held(call, scope);
    }
    if (held)
        return true;
    g_autofree char *own = g_strjoinv(", ", call->scopes), *found = json_quote(asked);
    g_set_error(error, SB_ERROR, SB_ERROR_FORBIDDEN, "scopes: found %s, expected some of the asker's own: %s", found,
                own);
    return false;
}

/* nor for longer. */
static bool ends_in_time(const struct call *call, GError **error)
{
    const json_t *asked = json_object_get(call->body, "expires_us");
    if (call->expires_us == 0 || (json_is_integer(asked) && json_integer_value(asked) <= call->expires_us))
        return true;
    g_autofree char *found = json_quote(asked);
    g_set_error(error, SB_ERROR, SB_ERROR_FORBIDDEN,
                "expires_us: found %s, expected at most %" G_GINT64_FORMAT ", when the asker's own token ends", found,
                call->expires_us);
    return false;
}

bool call_may_grant(const struct call *call, GError **error)
{
    return scopes_held(call, error) && ends_in_time(call, error);
}

void create_token(struct call *call, struct turn *turn, GError **error)
{
    char text[TOKEN_TEXT_SIZE];
    json_t *body = tokens_make(call->api->tokens, call->body, turn->now.wall_us, text, error);
    if (body == NULL || !call_may_grant(call, error)) {
        json_decref(body);
        return;
    }
    const char *name = json_string_value(json_object_get(body, "name"));
    call_journal_token(call, turn, name, body, "token created");
    call->result = json_pack("{s:s, s:O, s:s}", "name", name, "role", json_object_get(body, "role"), "token", text);
}

void delete_token(struct call *call, struct turn *turn, GError **error)
{
    const char *name = call->params.value[0];
    if (!tokens_exists(call->api->tokens, name, false)) {
        g_set_error(error, SB_ERROR, SB_ERROR_NOT_FOUND, "token %s: there is none of this name", name);
        return;
    }
    call_journal_token(call, turn, name, json_null(), "token deleted");
}
