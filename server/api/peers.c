#include "server/api/peers.h"

#include <glib.h>
#include <pthread.h>
#include <sys/socket.h>

struct peer {
    int fd;
    int64_t deadline_us;
    GList stranger; /* its place in peers->strangers; data is NULL when it has none */
};

struct peers {
    pthread_mutex_t lock; /* all below is under it */
    GHashTable *all;      /* struct peer *, owned */
    GQueue strangers;     /* struct peer *, the oldest first */
    unsigned strangers_max;
    struct peers_figures figures;
};

struct peers *peers_new(unsigned strangers_max)
{
    struct peers *peers = g_new0(struct peers, 1);
    pthread_mutex_init(&peers->lock, NULL);
    peers->all = g_hash_table_new_full(NULL, NULL, g_free, NULL);
    g_queue_init(&peers->strangers);
    peers->strangers_max = strangers_max;
    return peers;
}

void peers_free(struct peers *peers)
{
    g_hash_table_destroy(peers->all);
    pthread_mutex_destroy(&peers->lock);
    g_free(peers);
}

static void forget_stranger(struct peers *peers, struct peer *peer)
{
    if (peer->stranger.data == NULL)
        return;
    g_queue_unlink(&peers->strangers, &peer->stranger);
    peer->stranger.data = NULL;
}

static void cut(struct peers *peers, struct peer *peer)
{
    forget_stranger(peers, peer);
    shutdown(peer->fd, SHUT_RDWR);
    peer->deadline_us = PEERS_NO_DEADLINE;
}

struct peer *peers_add(struct peers *peers, int fd, bool stranger, int64_t deadline_us)
{
    struct peer *peer = g_new0(struct peer, 1);
    peer->fd = fd;
    peer->deadline_us = deadline_us;
    pthread_mutex_lock(&peers->lock);
    g_hash_table_add(peers->all, peer);
    peers->figures.accepted++;
    if (stranger) {
        peer->stranger.data = peer;
        g_queue_push_tail_link(&peers->strangers, &peer->stranger);
    }
    if (peers->strangers.length > peers->strangers_max) {
        cut(peers, peers->strangers.head->data);
        peers->figures.evicted++;
    }
    pthread_mutex_unlock(&peers->lock);
    return peer;
}

void peers_remove(struct peers *peers, struct peer *peer)
{
    pthread_mutex_lock(&peers->lock);
    forget_stranger(peers, peer);
    g_hash_table_remove(peers->all, peer);
    pthread_mutex_unlock(&peers->lock);
}

void peers_trust(struct peers *peers, struct peer *peer)
{
    pthread_mutex_lock(&peers->lock);
    forget_stranger(peers, peer);
    pthread_mutex_unlock(&peers->lock);
}

bool peers_is_stranger(struct peers *peers, const struct peer *peer)
{
    pthread_mutex_lock(&peers->lock);
    bool stranger = peer->stranger.data != NULL;
    pthread_mutex_unlock(&peers->lock);
    return stranger;
}

void peers_set_deadline(struct peers *peers, struct peer *peer, int64_t deadline_us)
{
    pthread_mutex_lock(&peers->lock);
    peer->deadline_us = deadline_us;
    pthread_mutex_unlock(&peers->lock);
}

void peers_reap(struct peers *peers, int64_t now_us)
{
    GHashTableIter each;
    void *key;
    pthread_mutex_lock(&peers->lock);
    g_hash_table_iter_init(&each, peers->all);
    while (g_hash_table_iter_next(&each, &key, NULL)) {
        struct peer *peer = key;
        if (peer->deadline_us > now_us)
            continue;
        cut(peers, peer);
        peers->figures.late++;
    }
    pthread_mutex_unlock(&peers->lock);
}

void peers_count(struct peers *peers, struct peers_figures *figures)
{
    pthread_mutex_lock(&peers->lock);
    *figures = peers->figures;
    figures->open = g_hash_table_size(peers->all);
    figures->strangers = peers->strangers.length;
    pthread_mutex_unlock(&peers->lock);
}
