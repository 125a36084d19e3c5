#include "server/api/tokens.h"

#include "core/error.h"
#include "schema/object.h"

#include <pthread.h>
#include <sodium.h>
#include <string.h>

#define PREFIX "sb_"
#define SECRET_SIZE 32

struct token {
    char *name;
    enum route_role role;
    char *created; /* ISO 8601 */
    unsigned char hash[crypto_hash_sha256_BYTES];
};
struct tokens {
    pthread_rwlock_t lock;
    GHashTable *by_name; /* name -> struct token * */
};

static void token_free(void *data)
{
    struct token *token = data;
    g_free(token->name);
    g_free(token->created);
    g_free(token);
}

static void hash_token(const char *text, unsigned char hash[static crypto_hash_sha256_BYTES])
{
    crypto_hash_sha256(hash, (const unsigned char *)text, strlen(text));
}

struct tokens *tokens_new(void)
{
    struct tokens *tokens = g_new(struct tokens, 1);
    pthread_rwlock_init(&tokens->lock, NULL);
    tokens->by_name = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, token_free);
    return tokens;
}

void tokens_free(struct tokens *tokens)
{
    g_hash_table_destroy(tokens->by_name);
    pthread_rwlock_destroy(&tokens->lock);
    g_free(tokens);
}

json_t *tokens_make(struct tokens *tokens, const char *name, const char *role, int64_t wall_us,
                    char text[static TOKEN_TEXT_SIZE], GError **error)
{
    enum route_role parsed;
    if (name == NULL || !text_valid(FIELD_NAME, name)) {
        g_autofree char *found = text_quote(name);
        g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "name: found %s, expected %s", found, text_expected(FIELD_NAME));
        return NULL;
    }
    if (!route_role_parse(role, &parsed)) {
        g_autofree char *found = text_quote(role), *expected = route_roles_text(ROUTE_ANY);
        g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "role: found %s, expected %s", found, expected);
        return NULL;
    }
    if (tokens_exists(tokens, name)) {
        g_set_error(error, SB_ERROR, SB_ERROR_CONFLICT, "token %s exists; delete it first", name);
        return NULL;
    }
    unsigned char secret[SECRET_SIZE], hash[crypto_hash_sha256_BYTES];
    char hex[2 * sizeof hash + 1];
    randombytes_buf(secret, sizeof secret);
    memcpy(text, PREFIX, sizeof PREFIX);
    sodium_bin2base64(text + strlen(PREFIX), TOKEN_TEXT_SIZE - strlen(PREFIX), secret, sizeof secret,
                      sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    sodium_memzero(secret, sizeof secret);
    hash_token(text, hash);
    sodium_bin2hex(hex, sizeof hex, hash, sizeof hash);
    return json_pack("{s:s, s:s, s:s, s:I}", "name", name, "role", role, "sha256", hex, "created_us",
                     (json_int_t)wall_us);
}

bool tokens_restore(struct tokens *tokens, const struct journal_entry *entry, GError **error)
{
    struct token *token = NULL;
    if (!json_is_null(entry->body)) {
        const char *role, *hex;
        json_int_t created_us;
        size_t size;
        token = g_new0(struct token, 1);
        token->name = g_strdup(entry->id);
        if (json_unpack(entry->body, "{s:s, s:s, s:I}", "role", &role, "sha256", &hex, "created_us", &created_us) !=
                0 ||
            !route_role_parse(role, &token->role) ||
            sodium_hex2bin(token->hash, sizeof token->hash, hex, strlen(hex), NULL, &size, NULL) != 0 ||
            size != sizeof token->hash) {
            g_set_error(error, SB_ERROR, SB_ERROR_IO, "journal: entry token %s: expected role, sha256 and created_us",
                        entry->id);
            token_free(token);
            return false;
        }
        g_autoptr(GDateTime) created = g_date_time_new_from_unix_utc(created_us / G_USEC_PER_SEC);
        token->created = created != NULL ? g_date_time_format_iso8601(created) : g_strdup("");
    }
    pthread_rwlock_wrlock(&tokens->lock);
    g_hash_table_remove(tokens->by_name, entry->id);
    if (token != NULL)
        g_hash_table_insert(tokens->by_name, token->name, token);
    pthread_rwlock_unlock(&tokens->lock);
    return true;
}

bool tokens_exists(struct tokens *tokens, const char *name)
{
    pthread_rwlock_rdlock(&tokens->lock);
    bool exists = g_hash_table_contains(tokens->by_name, name);
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

json_t *tokens_to_json(struct tokens *tokens)
{
    json_t *list = json_array();
    pthread_rwlock_rdlock(&tokens->lock);
    g_autoptr(GPtrArray) sorted = g_ptr_array_new();
    GHashTableIter each;
    void *value;
    g_hash_table_iter_init(&each, tokens->by_name);
    while (g_hash_table_iter_next(&each, NULL, &value))
        g_ptr_array_add(sorted, value);
    g_ptr_array_sort(sorted, by_name);
    for (guint i = 0; i < sorted->len; i++) {
        const struct token *token = sorted->pdata[i];
        json_array_append_new(list, json_pack("{s:s, s:s, s:s}", "name", token->name, "role",
                                              route_role_name(token->role), "created", token->created));
    }
    pthread_rwlock_unlock(&tokens->lock);
    return json_pack("{s:o}", "tokens", list);
}

char *tokens_check(struct tokens *tokens, const char *text, enum route_role *role)
{
    unsigned char hash[crypto_hash_sha256_BYTES];
    GHashTableIter each;
    void *value;
    char *name = NULL;
    hash_token(text, hash);
    pthread_rwlock_rdlock(&tokens->lock);
    g_hash_table_iter_init(&each, tokens->by_name);
    while (g_hash_table_iter_next(&each, NULL, &value)) {
        const struct token *token = value;
        if (sodium_memcmp(hash, token->hash, sizeof hash) != 0)
            continue;
        g_free(name);
        name = g_strdup(token->name);
        *role = token->role;
    }
    pthread_rwlock_unlock(&tokens->lock);
    return name;
}
