#include "server/api/answers.h"

#include "core/error.h"
#include "schema/object.h"

#include <pthread.h>
#include <sodium.h>
#include <string.h>

G_STATIC_ASSERT(ANSWERS_HASH_SIZE == 2 * crypto_generichash_BYTES + 1);

struct answer {
    char id[ANSWERS_HASH_SIZE];
    char request[ANSWERS_HASH_SIZE];
    unsigned status;
    char *body, *etag, *location; /* or NULL */
    bool secret;
    int64_t at_us; /* wall clock */
};
struct answers {
    pthread_mutex_t lock;
    GHashTable *by_id; /* id -> its link in `order` */
    GQueue order;      /* struct answer *, oldest first */
    size_t size;       /* bytes of bodies */
};

/* ---- keys ---- */

static void hash_parts(const void *const *parts, const size_t *sizes, size_t n, char hex[static ANSWERS_HASH_SIZE])
{
    crypto_generichash_state state;
    unsigned char hash[crypto_generichash_BYTES];
    crypto_generichash_init(&state, NULL, 0, sizeof hash);
    for (size_t i = 0; i < n; i++) {
        uint64_t size = sizes[i]; /* before each part, so that none can be longer at the cost of the next */
        crypto_generichash_update(&state, (const unsigned char *)&size, sizeof size);
        crypto_generichash_update(&state, parts[i], sizes[i]);
    }
    crypto_generichash_final(&state, hash, sizeof hash);
    sodium_bin2hex(hex, ANSWERS_HASH_SIZE, hash, sizeof hash);
}

static size_t size_of(const char *text)
{
    return text != NULL ? strlen(text) : 0;
}

bool answer_key_take(const struct request *request, const char *who, bool with_body, struct answer_key *key,
                     GError **error)
{
    const char *text = request->idempotency_key, *match = request->if_match != NULL ? request->if_match : "";
    size_t size = strlen(text);
    bool sound = size >= 1 && size <= ANSWERS_KEY_MAX;
    for (const char *c = text; *c != '\0'; c++)
        sound &= *c > ' ' && *c < 0x7f;
    if (!sound) {
        g_autofree char *found = text_quote(text);
        g_set_error(error, SB_ERROR, SB_ERROR_INVALID,
                    "Idempotency-Key: found %s, expected 1 to %d printable characters without blanks", found,
                    ANSWERS_KEY_MAX);
        return false;
    }
    hash_parts((const void *const[]){who, text}, (const size_t[]){size_of(who), size}, 2, key->id);
    hash_parts((const void *const[]){request->method, request->path, match, request->body->data},
               (const size_t[]){size_of(request->method), size_of(request->path), size_of(match),
                                with_body ? request->body->len : 0},
               4, key->request);
    return true;
}

/* ---- the answers ---- */

static void answer_free(void *data)
{
    struct answer *answer = data;
    g_free(answer->body);
    g_free(answer->etag);
    g_free(answer->location);
    g_free(answer);
}

struct answers *answers_new(void)
{
    struct answers *answers = g_new0(struct answers, 1);
    pthread_mutex_init(&answers->lock, NULL);
    answers->by_id = g_hash_table_new(g_str_hash, g_str_equal);
    g_queue_init(&answers->order);
    return answers;
}

void answers_free(struct answers *answers)
{
    g_hash_table_destroy(answers->by_id);
    g_queue_clear_full(&answers->order, answer_free);
    pthread_mutex_destroy(&answers->lock);
    g_free(answers);
}

bool answers_find(struct answers *answers, const struct answer_key *key, int64_t wall_us, struct reply *reply,
                  GError **error)
{
    pthread_mutex_lock(&answers->lock);
    GList *link = g_hash_table_lookup(answers->by_id, key->id);
    const struct answer *answer = link != NULL ? link->data : NULL;
    if (answer != NULL && answer->at_us + ANSWERS_KEPT_US <= wall_us)
        answer = NULL;
    bool same = answer != NULL && strcmp(answer->request, key->request) == 0;
    if (same && !answer->secret) {
        reply->status = answer->status;
        reply->content_type = answer->body != NULL ? "application/json" : NULL;
        reply->body = g_strdup(answer->body);
        reply->size = size_of(answer->body);
        reply->etag = g_strdup(answer->etag);
        reply->location = g_strdup(answer->location);
        reply->replayed = true;
    } else if (same) {
        g_set_error(error, SB_ERROR, SB_ERROR_CONFLICT,
                    "this was done already, and its answer held a secret that is shown once: delete what was made, and "
                    "make it anew under another Idempotency-Key");
    } else if (answer != NULL) {
        g_set_error(error, SB_ERROR, SB_ERROR_REUSED,
                    "Idempotency-Key: found one that was used for another request (another method, path, If-Match or "
                    "body), expected a new one for each change");
    }
    pthread_mutex_unlock(&answers->lock);
    return same && reply->replayed;
}

static void add_end(GPtrArray *entries, const struct answer *answer)
{
    g_ptr_array_add(entries, journal_entry_new("answer", answer->id, NULL, json_null()));
}

void answers_make(struct answers *answers, const struct answer_key *key, const struct reply *reply, bool secret,
                  int64_t wall_us, GPtrArray *entries)
{
    const char *body = secret ? NULL : reply->body;
    pthread_mutex_lock(&answers->lock);
    size_t n = g_queue_get_length(&answers->order) + 1, size = answers->size + size_of(body);
    for (GList *link = answers->order.head; link != NULL; link = link->next) {
        const struct answer *old = link->data;
        if (old->at_us + ANSWERS_KEPT_US > wall_us && n <= ANSWERS_MAX && size <= ANSWERS_SIZE_MAX)
            break;
        if (strcmp(old->id, key->id) != 0) /* else it is written anew */
            add_end(entries, old);
        size -= size_of(old->body);
        n--;
    }
    pthread_mutex_unlock(&answers->lock);
    g_ptr_array_add(entries, journal_entry_new("answer", key->id, NULL,
                                               json_pack("{s:s, s:i, s:s?, s:s?, s:s?, s:b, s:I}", "request",
                                                         key->request, "status", (int)reply->status, "body", body,
                                                         "etag", reply->etag, "location", reply->location, "secret",
                                                         secret, "at_us", (json_int_t)wall_us)));
}

static char *text_member(const json_t *body, const char *member)
{
    return g_strdup(json_string_value(json_object_get(body, member)));
}

static struct answer *answer_read(const struct journal_entry *entry, GError **error)
{
    const char *request;
    int status, secret;
    json_int_t at_us;
    struct answer *answer = g_new0(struct answer, 1);
    if (json_unpack(entry->body, "{s:s, s:i, s:b, s:I}", "request", &request, "status", &status, "secret", &secret,
                    "at_us", &at_us) != 0 ||
        g_strlcpy(answer->id, entry->id, sizeof answer->id) >= sizeof answer->id ||
        g_strlcpy(answer->request, request, sizeof answer->request) >= sizeof answer->request || status < 200 ||
        status > 299) {
        g_set_error(error, SB_ERROR, SB_ERROR_IO,
                    "journal: entry answer %s: expected request, status, secret and at_us", entry->id);
        g_free(answer);
        return NULL;
    }
    answer->status = (unsigned)status;
    answer->body = text_member(entry->body, "body");
    answer->etag = text_member(entry->body, "etag");
    answer->location = text_member(entry->body, "location");
    answer->secret = secret != 0;
    answer->at_us = at_us;
    return answer;
}

static void drop(struct answers *answers, const char *id)
{
    GList *link = g_hash_table_lookup(answers->by_id, id);
    if (link == NULL)
        return;
    struct answer *answer = link->data;
    g_hash_table_remove(answers->by_id, id);
    answers->size -= size_of(answer->body);
    g_queue_delete_link(&answers->order, link);
    answer_free(answer);
}

bool answers_restore(struct answers *answers, const struct journal_entry *entry, GError **error)
{
    struct answer *answer = json_is_null(entry->body) ? NULL : answer_read(entry, error);
    if (answer == NULL && !json_is_null(entry->body))
        return false;
    pthread_mutex_lock(&answers->lock);
    drop(answers, entry->id);
    if (answer != NULL) {
        g_queue_push_tail(&answers->order, answer);
        g_hash_table_insert(answers->by_id, answer->id, answers->order.tail);
        answers->size += size_of(answer->body);
    }
    pthread_mutex_unlock(&answers->lock);
    return true;
}
