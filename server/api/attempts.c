#include "server/api/attempts.h"

#include <glib.h>
#include <pthread.h>

/* Until when all are back: `free at` of a leaky bucket, so that nothing has to be counted down. */
struct attempts {
    pthread_mutex_t lock;
    GHashTable *full_at; /* "n:NAME" or "a:ADDRESS" -> int64_t *, µs */
};

struct attempts *attempts_new(void)
{
    struct attempts *attempts = g_new(struct attempts, 1);
    pthread_mutex_init(&attempts->lock, NULL);
    attempts->full_at = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    return attempts;
}

void attempts_free(struct attempts *attempts)
{
    g_hash_table_destroy(attempts->full_at);
    pthread_mutex_destroy(&attempts->lock);
    g_free(attempts);
}

static gboolean is_over(void *key, void *value, void *now)
{
    (void)key;
    return *(const int64_t *)value <= *(const int64_t *)now;
}

/* µs until one of `n` is there. */
static int64_t wait_of(struct attempts *attempts, const char *key, int n, int64_t now_us)
{
    const int64_t *full_at = g_hash_table_lookup(attempts->full_at, key);
    if (full_at == NULL) /* who is new has all, if there is room to remember it */
        return g_hash_table_size(attempts->full_at) < ATTEMPTS_KNOWN_MAX ? 0 : ATTEMPTS_BACK_US;
    return MAX(0, *full_at - now_us - (n - 1) * ATTEMPTS_BACK_US);
}

static void use(struct attempts *attempts, const char *key, int64_t now_us)
{
    int64_t *full_at = g_hash_table_lookup(attempts->full_at, key);
    if (full_at == NULL) {
        full_at = g_new0(int64_t, 1);
        g_hash_table_insert(attempts->full_at, g_strdup(key), full_at);
    }
    *full_at = MAX(*full_at, now_us) + ATTEMPTS_BACK_US;
}

int64_t attempts_take(struct attempts *attempts, const char *name, const char *address, int64_t now_us)
{
    g_autofree char *of_name = g_strconcat("n:", name, NULL), *of_address = g_strconcat("a:", address, NULL);
    pthread_mutex_lock(&attempts->lock);
    if (g_hash_table_size(attempts->full_at) >= ATTEMPTS_KNOWN_MAX)
        g_hash_table_foreach_remove(attempts->full_at, is_over, &now_us);
    int64_t wait_us = MAX(wait_of(attempts, of_name, ATTEMPTS_OF_NAME, now_us),
                          wait_of(attempts, of_address, ATTEMPTS_OF_ADDRESS, now_us));
    if (wait_us == 0) {
        use(attempts, of_name, now_us);
        use(attempts, of_address, now_us);
    }
    pthread_mutex_unlock(&attempts->lock);
    return wait_us;
}

static void undo(struct attempts *attempts, const char *kind, const char *text)
{
    g_autofree char *key = g_strconcat(kind, text, NULL);
    int64_t *full_at = g_hash_table_lookup(attempts->full_at, key);
    if (full_at != NULL)
        *full_at -= ATTEMPTS_BACK_US;
}

void attempts_give_back(struct attempts *attempts, const char *name, const char *address)
{
    pthread_mutex_lock(&attempts->lock);
    undo(attempts, "n:", name);
    undo(attempts, "a:", address);
    pthread_mutex_unlock(&attempts->lock);
}
