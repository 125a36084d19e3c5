#include "server/engine/publication.h"

#include <pthread.h>

struct publication {
    pthread_mutex_t lock;
    struct resolved *kept[PUBLICATIONS_KEPT]; /* newest first */
};

struct publication *publication_new(void)
{
    struct publication *publication = g_new0(struct publication, 1);
    pthread_mutex_init(&publication->lock, NULL);
    return publication;
}

void publication_free(struct publication *publication)
{
    for (unsigned i = 0; i < PUBLICATIONS_KEPT; i++)
        if (publication->kept[i] != NULL)
            resolved_unref(publication->kept[i]);
    pthread_mutex_destroy(&publication->lock);
    g_free(publication);
}

void publication_swap(struct publication *publication, struct resolved *resolved)
{
    pthread_mutex_lock(&publication->lock);
    struct resolved *oldest = publication->kept[PUBLICATIONS_KEPT - 1];
    for (unsigned i = PUBLICATIONS_KEPT - 1; i > 0; i--)
        publication->kept[i] = publication->kept[i - 1];
    publication->kept[0] = resolved_ref(resolved);
    pthread_mutex_unlock(&publication->lock);
    if (oldest != NULL) /* may be the last reference: not under the lock that agents wait for */
        resolved_unref(oldest);
}

struct resolved *publication_get(struct publication *publication)
{
    pthread_mutex_lock(&publication->lock);
    struct resolved *newest = publication->kept[0] != NULL ? resolved_ref(publication->kept[0]) : NULL;
    pthread_mutex_unlock(&publication->lock);
    return newest;
}

GBytes *publication_part(struct publication *publication, const char *hash, struct resolved **owner)
{
    GBytes *part = NULL;
    pthread_mutex_lock(&publication->lock);
    for (unsigned i = 0; i < PUBLICATIONS_KEPT && part == NULL; i++) {
        struct resolved *resolved = publication->kept[i];
        if (resolved != NULL && (part = resolved_part(resolved, hash)) != NULL)
            *owner = resolved_ref(resolved);
    }
    pthread_mutex_unlock(&publication->lock);
    return part;
}
