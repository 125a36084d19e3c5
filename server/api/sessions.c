#include "server/api/sessions.h"

#include "core/error.h"

#include <glib.h>
#include <pthread.h>
#include <sodium.h>
#include <string.h>

#define SECRET_SIZE 32
G_STATIC_ASSERT(SESSION_ID_SIZE == 2 * crypto_hash_sha256_BYTES + 1);

struct sessions {
    pthread_mutex_t lock;
    GHashTable *by_id; /* id -> struct session *; who times a look-up learns of a hash, not of a cookie */
};

static void session_free(void *data)
{
    session_clear(data);
    g_free(data);
}

void session_clear(struct session *session)
{
    g_clear_pointer(&session->user, g_free);
}

struct sessions *sessions_new(void)
{
    struct sessions *sessions = g_new(struct sessions, 1);
    pthread_mutex_init(&sessions->lock, NULL);
    sessions->by_id = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, session_free);
    return sessions;
}

void sessions_free(struct sessions *sessions)
{
    g_hash_table_destroy(sessions->by_id);
    pthread_mutex_destroy(&sessions->lock);
    g_free(sessions);
}

static void to_text(const unsigned char secret[static SECRET_SIZE], char text[static SESSION_TEXT_SIZE])
{
    sodium_bin2base64(text, SESSION_TEXT_SIZE, secret, SECRET_SIZE, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
}

static void id_of(const char *text, char id[static SESSION_ID_SIZE])
{
    unsigned char hash[crypto_hash_sha256_BYTES];
    crypto_hash_sha256(hash, (const unsigned char *)text, strlen(text));
    sodium_bin2hex(id, SESSION_ID_SIZE, hash, sizeof hash);
}

struct journal_entry *sessions_make(const char *user, int64_t wall_us, char text[static SESSION_TEXT_SIZE])
{
    unsigned char secret[SECRET_SIZE];
    char id[SESSION_ID_SIZE];
    randombytes_buf(secret, sizeof secret);
    to_text(secret, text);
    sodium_memzero(secret, sizeof secret);
    id_of(text, id);
    json_int_t expires_us = wall_us + SESSION_TIME_S * (json_int_t)G_USEC_PER_SEC;
    return journal_entry_new(
        "session", id, NULL,
        json_pack("{s:s, s:I, s:I}", "user", user, "made_us", (json_int_t)wall_us, "expires_us", expires_us));
}

bool sessions_restore(struct sessions *sessions, const struct journal_entry *entry, GError **error)
{
    struct session *session = NULL;
    const char *user;
    json_int_t made_us, expires_us;
    if (!json_is_null(entry->body)) {
        if (json_unpack(entry->body, "{s:s, s:I, s:I}", "user", &user, "made_us", &made_us, "expires_us",
                        &expires_us) != 0 ||
            strlen(entry->id) + 1 != SESSION_ID_SIZE) {
            g_set_error(error, SB_ERROR, SB_ERROR_IO, "journal: entry session %s: expected user, made_us, expires_us",
                        entry->id);
            return false;
        }
        session = g_new0(struct session, 1);
        memcpy(session->id, entry->id, SESSION_ID_SIZE);
        session->user = g_strdup(user);
        session->made_us = made_us;
        session->expires_us = expires_us;
    }
    pthread_mutex_lock(&sessions->lock);
    g_hash_table_remove(sessions->by_id, entry->id);
    if (session != NULL)
        g_hash_table_insert(sessions->by_id, session->id, session);
    pthread_mutex_unlock(&sessions->lock);
    return true;
}

bool sessions_find(struct sessions *sessions, const char *text, int64_t wall_us, struct session *session)
{
    char id[SESSION_ID_SIZE];
    id_of(text, id);
    pthread_mutex_lock(&sessions->lock);
    const struct session *found = g_hash_table_lookup(sessions->by_id, id);
    bool good = found != NULL && wall_us < found->expires_us;
    if (good) {
        *session = *found;
        session->user = g_strdup(found->user);
    }
    pthread_mutex_unlock(&sessions->lock);
    return good;
}

static int by_age(const void *a, const void *b)
{
    const struct session *x = *(const struct session *const *)a, *y = *(const struct session *const *)b;
    return x->made_us < y->made_us ? -1 : x->made_us > y->made_us;
}

void sessions_due(struct sessions *sessions, const char *user, int64_t wall_us, GPtrArray *entries)
{
    g_autoptr(GPtrArray) live = g_ptr_array_new();
    unsigned of_user = 0, all = 0;
    GHashTableIter each;
    void *value;
    pthread_mutex_lock(&sessions->lock);
    g_hash_table_iter_init(&each, sessions->by_id);
    while (g_hash_table_iter_next(&each, NULL, &value))
        g_ptr_array_add(live, value);
    g_ptr_array_sort(live, by_age);
    for (guint i = live->len; i-- > 0;) { /* the newest stay */
        const struct session *session = live->pdata[i];
        bool over = session->expires_us <= wall_us, own = g_strcmp0(session->user, user) == 0;
        if (over || ++all >= SESSIONS_MAX || (own && ++of_user >= SESSIONS_USER_MAX))
            g_ptr_array_add(entries, journal_entry_new("session", session->id, NULL, json_null()));
    }
    pthread_mutex_unlock(&sessions->lock);
}

void session_second(const char *text, char second[static SESSION_TEXT_SIZE])
{
    unsigned char hash[SECRET_SIZE];
    crypto_generichash(hash, sizeof hash, (const unsigned char *)"second", strlen("second"),
                       (const unsigned char *)text, MIN(strlen(text), (size_t)crypto_generichash_KEYBYTES_MAX));
    to_text(hash, second);
}

bool session_second_is(const char *text, const char *found)
{
    char second[SESSION_TEXT_SIZE];
    session_second(text, second);
    return found != NULL && strlen(found) == strlen(second) && sodium_memcmp(found, second, strlen(second)) == 0;
}
