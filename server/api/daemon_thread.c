#include "server/api/daemon_thread.h"

#include "core/error.h"
#include "core/loop.h"

#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>

struct daemon_thread {
    struct MHD_Daemon *daemon;
    struct loop *loop;
    struct loop_timer *timer; /* for the daemon's own time-outs */
    pthread_t thread;
    bool started;
    pthread_mutex_t lock;
    GPtrArray *resumed; /* struct MHD_Connection *; the thread is told of the first; under lock */
};

static unsigned connections(const struct daemon_thread *self)
{
    return MHD_get_daemon_info(self->daemon, MHD_DAEMON_INFO_CURRENT_CONNECTIONS)->num_connections;
}

/* All that can be done now. A daemon that is full looks at its listening socket again only when it is run after a
 * connection has ended. */
static void turn(void *data)
{
    struct daemon_thread *self = data;
    MHD_UNSIGNED_LONG_LONG left_ms;
    unsigned before;
    do {
        before = connections(self);
        MHD_run(self->daemon);
    } while (connections(self) < before);
    if (MHD_get_timeout(self->daemon, &left_ms) == MHD_YES)
        loop_timer_arm(self->timer, loop_now_us() + (int64_t)left_ms * 1000);
    else
        loop_timer_disarm(self->timer);
}

static void on_events(void *data, int fd, uint32_t events)
{
    (void)fd;
    (void)events;
    turn(data);
}

static void on_resumed(void *data)
{
    struct daemon_thread *self = data;
    pthread_mutex_lock(&self->lock);
    g_autoptr(GPtrArray) resumed = g_steal_pointer(&self->resumed);
    self->resumed = g_ptr_array_new();
    pthread_mutex_unlock(&self->lock);
    for (guint i = 0; i < resumed->len; i++)
        MHD_resume_connection(resumed->pdata[i]);
    turn(self);
}

void daemon_thread_resume(struct daemon_thread *self, struct MHD_Connection *connection)
{
    pthread_mutex_lock(&self->lock);
    g_ptr_array_add(self->resumed, connection);
    if (self->resumed->len == 1)
        loop_post(self->loop, on_resumed, self);
    pthread_mutex_unlock(&self->lock);
}

static void *run(void *data)
{
    struct daemon_thread *self = data;
    sigset_t pipe;
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe, NULL);
    loop_run(self->loop);
    MHD_stop_daemon(self->daemon);
    return NULL;
}

struct daemon_thread *daemon_thread_new(struct MHD_Daemon *daemon, GError **error)
{
    struct daemon_thread *self = g_new0(struct daemon_thread, 1);
    int fd = MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
    self->daemon = daemon;
    self->resumed = g_ptr_array_new();
    pthread_mutex_init(&self->lock, NULL);
    if ((self->loop = loop_new(error)) != NULL && loop_watch(self->loop, fd, EPOLLIN, on_events, self, error)) {
        self->timer = loop_timer_new(self->loop, turn, self);
        return self;
    }
    daemon_thread_free(self);
    return NULL;
}

bool daemon_thread_start(struct daemon_thread *self, GError **error)
{
    loop_timer_arm(self->timer, 0); /* for what waits already */
    int rc = pthread_create(&self->thread, NULL, run, self);
    if (rc != 0)
        g_set_error(error, SB_ERROR, SB_ERROR_IO, "cannot start a listener's thread: %s", g_strerror(rc));
    self->started = rc == 0;
    return self->started;
}

static void quiesce(void *data)
{
    MHD_quiesce_daemon(((struct daemon_thread *)data)->daemon);
}

void daemon_thread_quiesce(struct daemon_thread *self)
{
    loop_post(self->loop, quiesce, self);
}

/* Behind what was posted before. */
static void stop(void *data)
{
    loop_stop(((struct daemon_thread *)data)->loop);
}

void daemon_thread_free(struct daemon_thread *self)
{
    if (self == NULL)
        return;
    if (self->started) {
        loop_post(self->loop, stop, self);
        pthread_join(self->thread, NULL);
    } else {
        MHD_stop_daemon(self->daemon);
    }
    loop_timer_free(self->timer);
    loop_free(self->loop);
    g_ptr_array_unref(self->resumed);
    pthread_mutex_destroy(&self->lock);
    g_free(self);
}
