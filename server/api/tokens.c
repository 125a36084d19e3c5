#include "server/api/tokens.h"

#include "core/error.h"
#include "schema/jsondoc.h"
#include "schema/object.h"

#include <pthread.h>
#include <sodium.h>
#include <string.h>

#define PREFIX "sb_"
#define SECRET_SIZE 32

struct token {
    char *name;
    enum route_role role;
    char *created;      /* ISO 8601 */
    char **scopes;      /* or NULL: all */
    int64_t expires_us; /* wall clock; 0: never */
    unsigned char hash[crypto_hash_sha256_BYTES];
    char *password;      /* of a user: its hash; NULL: it is a token */
    int64_t password_us; /* since when he has it */
    json_t *body;        /* of a user: as the journal has it; or NULL */
};
G_STATIC_ASSERT(TOKEN_PASSWORD_SIZE == crypto_pwhash_STRBYTES);
struct tokens {
    pthread_rwlock_t lock;
    GHashTable *by_name; /* name -> struct token * */
    GHashTable *by_hash; /* the same, by what a request shows: thousands of agents ask at once */
};

static void token_free(void *data)
{
    struct token *token = data;
    g_free(token->name);
    g_free(token->created);
    g_free(token->password);
    g_strfreev(token->scopes);
    json_decref(token->body);
    g_free(token);
}

static void hash_token(const char *text, unsigned char hash[static crypto_hash_sha256_BYTES])
{
    crypto_hash_sha256(hash, (const unsigned char *)text, strlen(text));
}

/* Digests are evenly spread, and who times a look-up learns of a digest, not of a token. */
static guint digest_hash(const void *digest)
{
    guint start;
    memcpy(&start, digest, sizeof start);
    return start;
}

static gboolean digest_equal(const void *a, const void *b)
{
    return sodium_memcmp(a, b, crypto_hash_sha256_BYTES) == 0;
}

struct tokens *tokens_new(void)
{
    struct tokens *tokens = g_new(struct tokens, 1);
    pthread_rwlock_init(&tokens->lock, NULL);
    tokens->by_name = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, token_free);
    tokens->by_hash = g_hash_table_new(digest_hash, digest_equal);
    return tokens;
}

void tokens_free(struct tokens *tokens)
{
    g_hash_table_destroy(tokens->by_hash);
    g_hash_table_destroy(tokens->by_name);
    pthread_rwlock_destroy(&tokens->lock);
    g_free(tokens);
}

#define SCOPES_MAX 32

static bool wrong_member(const char *member, const json_t *value, const char *expected, GError **error)
{
    g_autofree char *found = json_quote(value);
    g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "%s: found %s, expected %s", member, found, expected);
    return false;
}

static bool check_scopes(const json_t *scopes, GError **error)
{
    size_t i;
    json_t *scope;
    if (scopes == NULL)
        return true;
    if (!json_is_array(scopes) || json_array_size(scopes) == 0 || json_array_size(scopes) > SCOPES_MAX)
        return wrong_member("scopes", scopes, "1 to 32 parts of the API", error);
    json_array_foreach (scopes, i, scope)
        if (!route_scope_valid(json_string_value(scope)))
            return wrong_member("scopes", scope, "a part of the API like plans, or one thing like plans/room-isolated",
                                error);
    return true;
}

static bool check_expiry(const json_t *expires, int64_t wall_us, GError **error)
{
    if (expires == NULL || (json_is_integer(expires) && json_integer_value(expires) > wall_us))
        return true;
    return wrong_member("expires_us", expires, "a time to come, µs since 1970", error);
}

/* What stands in the journal of any of them; NULL: something is wrong with what was asked. */
static json_t *make(struct tokens *tokens, const json_t *asked, bool user, int64_t wall_us, GError **error)
{
    enum route_role parsed;
    const json_t *scopes = json_object_get(asked, "scopes"), *expires = json_object_get(asked, "expires_us");
    const char *name = json_string_value(json_object_get(asked, "name")),
               *role = json_string_value(json_object_get(asked, "role"));
    if (name == NULL || !text_valid(FIELD_NAME, name))
        return wrong_member("name", json_object_get(asked, "name"), text_expected(FIELD_NAME), error), NULL;
    if (!route_role_parse(role, &parsed) || (user && parsed == ROUTE_AGENT)) {
        g_autofree char *expected = route_roles_text(user ? ROUTE_VIEWER : ROUTE_ANY);
        return wrong_member("role", json_object_get(asked, "role"), expected, error), NULL;
    }
    if (!check_scopes(scopes, error) || !check_expiry(expires, wall_us, error))
        return NULL;
    if (parsed == ROUTE_AGENT && json_is_array(scopes)) {
        g_set_error(error, SB_ERROR, SB_ERROR_INVALID,
                    "scopes: found some, expected none for an agent: it speaks for "
                    "itself only");
        return NULL;
    }
    for (int kind = 0; kind < 2; kind++)
        if (tokens_exists(tokens, name, kind == 1)) {
            g_set_error(error, SB_ERROR, SB_ERROR_CONFLICT, "%s %s exists; delete it first, or take another name",
                        kind == 1 ? "user" : "token", name);
            return NULL;
        }
    json_t *body = json_pack("{s:s, s:s, s:I}", "name", name, "role", role, "created_us", (json_int_t)wall_us);
    if (json_is_array(scopes))
        json_object_set(body, "scopes", (json_t *)(uintptr_t)scopes);
    if (json_is_integer(expires))
        json_object_set(body, "expires_us", (json_t *)(uintptr_t)expires);
    return body;
}

static json_t *with_password(json_t *body, const char *hash, int64_t wall_us)
{
    json_object_set_new(body, "argon2id", json_string(hash));
    json_object_set_new(body, "password_us", json_integer((json_int_t)wall_us));
    return body;
}

json_t *tokens_make_user(struct tokens *tokens, const json_t *asked, const char *hash, int64_t wall_us, GError **error)
{
    json_t *body = make(tokens, asked, true, wall_us, error);
    return body != NULL ? with_password(body, hash, wall_us) : NULL;
}

json_t *tokens_new_password(struct tokens *tokens, const char *name, const char *hash, int64_t wall_us, GError **error)
{
    pthread_rwlock_rdlock(&tokens->lock);
    const struct token *user = g_hash_table_lookup(tokens->by_name, name);
    json_t *body = user != NULL && user->body != NULL ? json_deep_copy(user->body) : NULL;
    pthread_rwlock_unlock(&tokens->lock);
    if (body != NULL)
        return with_password(body, hash, wall_us);
    g_set_error(error, SB_ERROR, SB_ERROR_NOT_FOUND, "user %s: there is none of this name", name);
    return NULL;
}

json_t *tokens_make(struct tokens *tokens, const json_t *asked, int64_t wall_us, char text[static TOKEN_TEXT_SIZE],
                    GError **error)
{
    json_t *body = make(tokens, asked, false, wall_us, error);
    if (body == NULL)
        return NULL;
    unsigned char secret[SECRET_SIZE], hash[crypto_hash_sha256_BYTES];
    char hex[2 * sizeof hash + 1];
    randombytes_buf(secret, sizeof secret);
    memcpy(text, PREFIX, sizeof PREFIX);
    sodium_bin2base64(text + strlen(PREFIX), TOKEN_TEXT_SIZE - strlen(PREFIX), secret, sizeof secret,
                      sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    sodium_memzero(secret, sizeof secret);
    hash_token(text, hash);
    sodium_bin2hex(hex, sizeof hex, hash, sizeof hash);
    json_object_set_new(body, "sha256", json_string(hex));
    return body;
}

static char *time_text(int64_t us)
{
    g_autoptr(GDateTime) time = g_date_time_new_from_unix_utc(us / G_USEC_PER_SEC);
    return time != NULL ? g_date_time_format_iso8601(time) : g_strdup("");
}

static char **scopes_of(const json_t *body)
{
    const json_t *list = json_object_get(body, "scopes");
    return json_is_array(list) ? strv_from_json(list) : NULL;
}

/* What shows who it is: a token's hash, or a password's. */
static bool take_proof(struct token *token, json_t *body)
{
    const char *hex = json_string_value(json_object_get(body, "sha256")),
               *password = json_string_value(json_object_get(body, "argon2id"));
    size_t size;
    if (password != NULL) {
        token->password = g_strdup(password);
        token->password_us = json_integer_value(json_object_get(body, "password_us"));
        token->body = json_incref(body);
        return strlen(password) < TOKEN_PASSWORD_SIZE;
    }
    return hex != NULL && sodium_hex2bin(token->hash, sizeof token->hash, hex, strlen(hex), NULL, &size, NULL) == 0 &&
           size == sizeof token->hash;
}

/* NULL: it is none. */
static struct token *token_from_entry(const struct journal_entry *entry)
{
    const char *role;
    json_int_t created_us;
    struct token *token = g_new0(struct token, 1);
    token->name = g_strdup(entry->id);
    if (json_unpack(entry->body, "{s:s, s:I}", "role", &role, "created_us", &created_us) != 0 ||
        !route_role_parse(role, &token->role) || !take_proof(token, entry->body)) {
        token_free(token);
        return NULL;
    }
    token->created = time_text(created_us);
    token->scopes = scopes_of(entry->body);
    token->expires_us = json_integer_value(json_object_get(entry->body, "expires_us"));
    return token;
}

bool tokens_restore(struct tokens *tokens, const struct journal_entry *entry, GError **error)
{
    struct token *token = json_is_null(entry->body) ? NULL : token_from_entry(entry);
    if (token == NULL && !json_is_null(entry->body)) {
        g_set_error(error, SB_ERROR, SB_ERROR_IO,
                    "journal: entry token %s: expected role, sha256 or argon2id, and created_us", entry->id);
        return false;
    }
    pthread_rwlock_wrlock(&tokens->lock);
    const struct token *old = g_hash_table_lookup(tokens->by_name, entry->id);
    if (old != NULL && old->password == NULL)
        g_hash_table_remove(tokens->by_hash, old->hash);
    g_hash_table_remove(tokens->by_name, entry->id);
    if (token != NULL) {
        g_hash_table_insert(tokens->by_name, token->name, token);
        if (token->password == NULL)
            g_hash_table_replace(tokens->by_hash, token->hash, token);
    }
    pthread_rwlock_unlock(&tokens->lock);
    return true;
}

bool tokens_exists(struct tokens *tokens, const char *name, bool user)
{
    pthread_rwlock_rdlock(&tokens->lock);
    const struct token *found = g_hash_table_lookup(tokens->by_name, name);
    bool exists = found != NULL && (found->password != NULL) == user;
    pthread_rwlock_unlock(&tokens->lock);
    return exists;
}

unsigned tokens_count(struct tokens *tokens)
{
    pthread_rwlock_rdlock(&tokens->lock);
    unsigned n = g_hash_table_size(tokens->by_name);
    pthread_rwlock_unlock(&tokens->lock);
    return n;
}

static int by_name(const void *a, const void *b)
{
    return strcmp((*(const struct token *const *)a)->name, (*(const struct token *const *)b)->name);
}

static json_t *token_json(const struct token *token)
{
    json_t *scopes = token->scopes != NULL ? strv_to_json(token->scopes) : json_null();
    g_autofree char *expires = token->expires_us != 0 ? time_text(token->expires_us) : NULL;
    return json_pack("{s:s, s:s, s:s, s:o, s:s?}", "name", token->name, "role", route_role_name(token->role), "created",
                     token->created, "scopes", scopes, "expires", expires);
}

json_t *tokens_to_json(struct tokens *tokens, bool users)
{
    json_t *list = json_array();
    pthread_rwlock_rdlock(&tokens->lock);
    g_autoptr(GPtrArray) sorted = g_ptr_array_new();
    GHashTableIter each;
    void *value;
    g_hash_table_iter_init(&each, tokens->by_name);
    while (g_hash_table_iter_next(&each, NULL, &value))
        if ((((const struct token *)value)->password != NULL) == users)
            g_ptr_array_add(sorted, value);
    g_ptr_array_sort(sorted, by_name);
    for (guint i = 0; i < sorted->len; i++) {
        const struct token *token = sorted->pdata[i];
        json_array_append_new(list, token_json(token));
    }
    pthread_rwlock_unlock(&tokens->lock);
    return json_pack("{s:o}", users ? "users" : "tokens", list);
}

static struct token_grant grant_of(const struct token *token)
{
    return (struct token_grant){g_strdup(token->name), token->role, g_strdupv(token->scopes), token->expires_us};
}

void token_grant_clear(struct token_grant *grant)
{
    g_clear_pointer(&grant->name, g_free);
    g_clear_pointer(&grant->scopes, g_strfreev);
}

bool tokens_user(struct tokens *tokens, const char *name, int64_t wall_us, struct token_grant *grant, char *hash,
                 int64_t *password_us)
{
    pthread_rwlock_rdlock(&tokens->lock);
    const struct token *user = g_hash_table_lookup(tokens->by_name, name);
    bool found = user != NULL && user->password != NULL && (user->expires_us == 0 || user->expires_us > wall_us);
    if (found) {
        *grant = grant_of(user);
        *password_us = user->password_us;
        if (hash != NULL)
            g_strlcpy(hash, user->password, TOKEN_PASSWORD_SIZE);
    }
    pthread_rwlock_unlock(&tokens->lock);
    return found;
}

bool tokens_check(struct tokens *tokens, const char *text, int64_t wall_us, struct token_grant *grant, GError **error)
{
    unsigned char hash[crypto_hash_sha256_BYTES];
    hash_token(text, hash);
    pthread_rwlock_rdlock(&tokens->lock);
    const struct token *found = g_hash_table_lookup(tokens->by_hash, hash);
    bool over = found != NULL && found->expires_us != 0 && found->expires_us <= wall_us;
    if (over) {
        g_autofree char *when = time_text(found->expires_us);
        g_set_error(error, SB_ERROR, SB_ERROR_UNAUTHORIZED, "the token of %s ended at %s", found->name, when);
    } else if (found != NULL) {
        *grant = grant_of(found);
    } else {
        g_set_error(error, SB_ERROR, SB_ERROR_UNAUTHORIZED, "the token is unknown or was deleted");
    }
    pthread_rwlock_unlock(&tokens->lock);
    return found != NULL && !over;
}
