#include "server/api/waiters.h"

#include <pthread.h>

struct waiter {
    struct request *request;
    int64_t until_us;
};
struct waiters {
    pthread_mutex_t lock;
    GHashTable *by_agent; /* name -> struct waiter * */
};

struct waiters *waiters_new(void)
{
    struct waiters *waiters = g_new(struct waiters, 1);
    pthread_mutex_init(&waiters->lock, NULL);
    waiters->by_agent = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    return waiters;
}

void waiters_free(struct waiters *waiters)
{
    g_assert(g_hash_table_size(waiters->by_agent) == 0);
    g_hash_table_destroy(waiters->by_agent);
    pthread_mutex_destroy(&waiters->lock);
    g_free(waiters);
}

static void wake_locked(struct waiters *waiters, const char *agent)
{
    const struct waiter *waiter = g_hash_table_lookup(waiters->by_agent, agent);
    if (waiter == NULL)
        return;
    request_resume(waiter->request);
    g_hash_table_remove(waiters->by_agent, agent);
}

bool waiters_add(struct waiters *waiters, const char *agent, struct request *request, int64_t until_us)
{
    struct waiter *waiter = g_new(struct waiter, 1);
    *waiter = (struct waiter){request, until_us};
    pthread_mutex_lock(&waiters->lock);
    bool parked = request_park(request);
    if (parked) {
        wake_locked(waiters, agent);
        g_hash_table_insert(waiters->by_agent, g_strdup(agent), waiter);
    }
    pthread_mutex_unlock(&waiters->lock);
    if (!parked)
        g_free(waiter);
    return parked;
}

void waiters_wake(struct waiters *waiters, const char *agent)
{
    pthread_mutex_lock(&waiters->lock);
    wake_locked(waiters, agent);
    pthread_mutex_unlock(&waiters->lock);
}

static gboolean wake_if_due(void *agent, void *value, void *now_us)
{
    const struct waiter *waiter = value;
    (void)agent;
    if (waiter->until_us > *(const int64_t *)now_us)
        return FALSE;
    request_resume(waiter->request);
    return TRUE;
}

void waiters_wake_due(struct waiters *waiters, int64_t now_us)
{
    pthread_mutex_lock(&waiters->lock);
    g_hash_table_foreach_remove(waiters->by_agent, wake_if_due, &now_us);
    pthread_mutex_unlock(&waiters->lock);
}
