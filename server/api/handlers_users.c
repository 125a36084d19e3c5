/* handlers_users.c: people: their passwords, and their sessions on the console.
 *
 * A password is hashed by argon2id, which takes a tenth of a second and 64 MiB on purpose: on a thread of its own
 * (handler->slow), one after the other, so that nobody who guesses keeps others from being heard.
 */
#include "server/api/call.h"

#include "core/error.h"
#include "core/log.h"
#include "core/loop.h"
#include "schema/jsondoc.h"
#include "schema/object.h"
#include "server/api/api_internal.h"

#include <sodium.h>
#include <string.h>

#define PASSWORD_SIZE_MIN 12 /* bytes */
#define PASSWORD_SIZE_MAX 200

/* ---- who has logged in ---- */

static const char *cookie_name(const struct call *call)
{
    return call->api->tls != NULL ? SESSION_COOKIE_TLS : SESSION_COOKIE;
}

/* A page of another site says so; what is no browser says nothing, and has no cookie that it was not given. */
static bool same_origin(const struct request *request)
{
    const char *origin = request_header(request, "Origin"), *host = request_header(request, "Host"),
               *site = request_header(request, "Sec-Fetch-Site");
    if (site != NULL && strcmp(site, "same-origin") != 0 && strcmp(site, "none") != 0)
        return false;
    const char *authority = origin != NULL ? strstr(origin, "://") : NULL;
    return origin == NULL || (authority != NULL && g_strcmp0(authority + 3, host) == 0);
}

static bool check_origin(const struct call *call, GError **error)
{
    if (same_origin(call->request))
        return true;
    g_set_error(error, SB_ERROR, SB_ERROR_FORBIDDEN,
                "found a request of another site's page, expected one of this server's own console");
    return false;
}

const char *session_cookie(const struct call *call)
{
    return request_cookie(call->request, cookie_name(call));
}

/* The user of the cookie, as he is now: one who has a new password, or is gone, has no session any more. */
static bool find_session(const struct call *call, struct session *session, struct token_grant *grant)
{
    const char *text = session_cookie(call);
    int64_t now_us = wall_now_us(), password_us;
    if (text == NULL || !sessions_find(call->api->sessions, text, now_us, session))
        return false;
    if (tokens_user(call->api->tokens, session->user, now_us, grant, NULL, &password_us)) {
        if (password_us < session->made_us)
            return true;
        token_grant_clear(grant);
    }
    session_clear(session);
    return false;
}

bool session_authorize(struct call *call, struct token_grant *grant, GError **error)
{
    struct session session;
    if (!find_session(call, &session, grant)) {
        g_set_error(error, SB_ERROR, SB_ERROR_UNAUTHORIZED, "the session has ended: log in again");
        return false;
    }
    session_clear(&session);
    if (strcmp(call->request->method, "GET") == 0)
        return true;
    bool good = check_origin(call, error);
    if (good && !session_second_is(session_cookie(call), request_header(call->request, SESSION_HEADER))) {
        g_set_error(error, SB_ERROR, SB_ERROR_FORBIDDEN,
                    "found no " SESSION_HEADER " of this session, expected that which GET /v1/session tells");
        good = false;
    }
    if (!good)
        token_grant_clear(grant);
    return good;
}

static json_t *session_json(const struct token_grant *grant, const char *text, int64_t expires_us)
{
    char second[SESSION_TEXT_SIZE];
    session_second(text, second);
    json_t *scopes = grant->scopes != NULL ? strv_to_json(grant->scopes) : json_null();
    return json_pack("{s:s, s:s, s:o, s:s, s:I}", "user", grant->name, "role", route_role_name(grant->role), "scopes",
                     scopes, "csrf", second, "expires_us", (json_int_t)expires_us);
}

bool session_get(struct call *call, GError **error)
{
    struct session session;
    struct token_grant grant;
    (void)error;
    if (!find_session(call, &session, &grant)) {
        call->result = json_pack("{s:n}", "user");
        return true;
    }
    call->result = session_json(&grant, session_cookie(call), session.expires_us);
    session_clear(&session);
    token_grant_clear(&grant);
    return true;
}

/* ---- login ---- */

static bool body_string(const struct call *call, const char *member, const char **out, GError **error)
{
    const json_t *value = json_object_get(call->body, member);
    *out = json_string_value(value);
    if (*out != NULL)
        return true;
    g_autofree char *found = json_quote(value);
    g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "%s: found %s, expected text", member,
                strcmp(member, "password") == 0 ? "none" : found);
    return false;
}

/* What does not exist takes as long as what does: a hash that no password has. */
static const char *nobodys_hash(void)
{
    return "$argon2id$v=19$m=65536,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
}

static bool take_attempt(struct call *call, const char *name, GError **error)
{
    int64_t wait_us = attempts_take(call->api->attempts, name, call->request->peer_address, loop_now_us());
    if (wait_us == 0)
        return true;
    call->request->reply.retry_s = wait_us / G_USEC_PER_SEC + 1;
    g_set_error(error, SB_ERROR, SB_ERROR_LIMITED,
                "too many passwords were tried: the next is looked at in %" G_GINT64_FORMAT " s",
                call->request->reply.retry_s);
    return false;
}

bool login_prepare(struct call *call, GError **error)
{
    const char *name, *password;
    int64_t password_us;
    struct token_grant grant = {0};
    if (!body_string(call, "name", &name, error) || !body_string(call, "password", &password, error))
        return false;
    if (listener_config(call->request->listener)->which == LISTENER_AGENTS) {
        g_set_error(error, SB_ERROR, SB_ERROR_NOT_FOUND, "people log in on the operators' listener, not on this one");
        return false;
    }
    /* A name that cannot be one is as wrong as any other; it is not remembered, nor written to a log. */
    call->who = g_strdup(text_valid(FIELD_NAME, name) ? name : "-");
    if (strlen(password) > PASSWORD_SIZE_MAX) {
        g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "password: found more than %d bytes", PASSWORD_SIZE_MAX);
        return false;
    }
    if (!check_origin(call, error) || !take_attempt(call, call->who, error))
        return false;
    if (tokens_user(call->api->tokens, call->who, wall_now_us(), &grant, call->hash, &password_us))
        token_grant_clear(&grant);
    else
        g_strlcpy(call->hash, nobodys_hash(), sizeof call->hash);
    return true;
}

void login_slow(struct call *call, GError **error)
{
    const char *password = json_string_value(json_object_get(call->body, "password"));
    if (crypto_pwhash_str_verify(call->hash, password, strlen(password)) == 0) {
        attempts_give_back(call->api->attempts, call->who, call->request->peer_address);
        return;
    }
    log_warning("a login failed; so many more are looked at as attempts.h says", "name=%s from=%s", call->who,
                call->request->peer_address);
    g_set_error(error, SB_ERROR, SB_ERROR_UNAUTHORIZED, "the name or the password is wrong");
}

/* Ends or begins a session: in the journal, if that can be written; else here, until the server ends. */
static void put_session(struct call *call, struct turn *turn, struct journal_entry *entry, const char *what)
{
    struct asker asker = call_asker(call);
    if (turn->unwritable == NULL)
        engine_journal(turn->engine, journal_entry_new("session", entry->id, NULL, json_incref(entry->body)), what,
                       &asker, turn->now, &turn->effects);
    sessions_restore(call->api->sessions, entry, NULL);
    journal_entry_free(entry);
}

static void end_due(struct call *call, struct turn *turn)
{
    g_autoptr(GPtrArray) due = g_ptr_array_new();
    struct session before;
    sessions_due(call->api->sessions, call->who, turn->now.wall_us, due);
    for (guint i = 0; i < due->len; i++)
        put_session(call, turn, due->pdata[i], "session ended");
    if (session_cookie(call) != NULL &&
        sessions_find(call->api->sessions, session_cookie(call), turn->now.wall_us, &before)) {
        put_session(call, turn, journal_entry_new("session", before.id, NULL, json_null()), "logged out");
        session_clear(&before);
    }
}

static char *set_cookie(const struct call *call, const char *text, int time_s)
{
    return g_strdup_printf("%s=%s; Path=/; Max-Age=%d; HttpOnly; SameSite=Strict%s", cookie_name(call), text, time_s,
                           call->api->tls != NULL ? "; Secure" : "");
}

/* The password was right a moment ago: is it still his? */
void login(struct call *call, struct turn *turn, GError **error)
{
    char text[SESSION_TEXT_SIZE], hash[sizeof call->hash];
    struct token_grant grant;
    int64_t password_us;
    if (!tokens_user(call->api->tokens, call->who, turn->now.wall_us, &grant, hash, &password_us) ||
        strcmp(hash, call->hash) != 0) {
        g_set_error(error, SB_ERROR, SB_ERROR_UNAUTHORIZED, "the name or the password is wrong");
        return;
    }
    end_due(call, turn);
    put_session(call, turn, sessions_make(grant.name, turn->now.wall_us, text), "logged in");
    call->request->reply.cookie = set_cookie(call, text, SESSION_TIME_S);
    call->result = session_json(&grant, text, turn->now.wall_us + SESSION_TIME_S * (int64_t)G_USEC_PER_SEC);
    token_grant_clear(&grant);
    sodium_memzero(text, sizeof text);
}

bool logout_prepare(struct call *call, GError **error)
{
    struct token_grant grant;
    if (session_cookie(call) == NULL)
        return true;
    GError *other = NULL;
    if (session_authorize(call, &grant, &other)) {
        call->who = grant.name;
        g_strfreev(grant.scopes);
    } else if (g_error_matches(other, SB_ERROR, SB_ERROR_UNAUTHORIZED)) { /* it has ended already */
        g_error_free(other);
    } else {
        g_propagate_error(error, other);
        return false;
    }
    call->request->reply.cookie = set_cookie(call, "", 0);
    return true;
}

void logout(struct call *call, struct turn *turn, GError **error)
{
    struct session session;
    (void)error;
    if (call->who == NULL || !sessions_find(call->api->sessions, session_cookie(call), turn->now.wall_us, &session))
        return;
    if (turn->unwritable != NULL)
        log_warning("a session was ended that a restart brings back, as the journal cannot be written; it ends by "
                    "itself",
                    "user=%s expires_us=%" G_GINT64_FORMAT, session.user, session.expires_us);
    put_session(call, turn, journal_entry_new("session", session.id, NULL, json_null()), "logged out");
    session_clear(&session);
}

/* ---- users ---- */

bool get_users(struct call *call, GError **error)
{
    (void)error;
    call->result = tokens_to_json(call->api->tokens, true);
    return true;
}

bool password_prepare(struct call *call, GError **error)
{
    const char *password;
    if (!body_string(call, "password", &password, error))
        return false;
    size_t size = strlen(password);
    if (size >= PASSWORD_SIZE_MIN && size <= PASSWORD_SIZE_MAX)
        return true;
    g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "password: found %zu bytes, expected %d to %d", size,
                PASSWORD_SIZE_MIN, PASSWORD_SIZE_MAX);
    return false;
}

void password_slow(struct call *call, GError **error)
{
    const char *password = json_string_value(json_object_get(call->body, "password"));
    if (crypto_pwhash_str_alg(call->hash, password, strlen(password), crypto_pwhash_OPSLIMIT_INTERACTIVE,
                              crypto_pwhash_MEMLIMIT_INTERACTIVE, crypto_pwhash_ALG_ARGON2ID13) != 0)
        g_set_error(error, SB_ERROR, SB_ERROR_UNAVAILABLE, "no memory to hash the password: nothing has changed");
}

void create_user(struct call *call, struct turn *turn, GError **error)
{
    json_t *body = tokens_make_user(call->api->tokens, call->body, call->hash, turn->now.wall_us, error);
    if (body == NULL || !call_may_grant(call, error)) {
        json_decref(body);
        return;
    }
    const char *name = json_string_value(json_object_get(body, "name"));
    call_journal_token(call, turn, name, body, "user created");
    call->result = json_pack("{s:s, s:O}", "name", name, "role", json_object_get(body, "role"));
}

void change_password(struct call *call, struct turn *turn, GError **error)
{
    const char *name = call->params.value[0];
    json_t *body = tokens_new_password(call->api->tokens, name, call->hash, turn->now.wall_us, error);
    if (body != NULL)
        call_journal_token(call, turn, name, body, "password changed");
}

void delete_user(struct call *call, struct turn *turn, GError **error)
{
    const char *name = call->params.value[0];
    if (!tokens_exists(call->api->tokens, name, true)) {
        g_set_error(error, SB_ERROR, SB_ERROR_NOT_FOUND, "user %s: there is none of this name", name);
        return;
    }
    call_journal_token(call, turn, name, json_null(), "user removed");
}
