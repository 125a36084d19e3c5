#include "core/loop.h"

#include "core/error.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

struct watch {
    int fd;
    loop_io_fn fn;
    void *data;
};

struct posted {
    loop_fn fn;
    void *data;
};

struct loop_timer {
    struct loop *loop;
    loop_fn fn;
    void *data;
    int64_t at_us; /* INT64_MAX: not armed */
};

struct loop {
    int epoll, wake;      /* wake: eventfd, written by loop_post and loop_stop */
    GHashTable *watches;  /* fd -> struct watch *, so that an event of a watch gone meanwhile finds nothing */
    GPtrArray *timers;    /* few; searched in order */
    pthread_mutex_t lock; /* of posted */
    GArray *posted;       /* struct posted */
    atomic_bool stop;
};

int64_t loop_now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int64_t wall_now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

struct loop *loop_new(GError **error)
{
    struct loop *loop = g_new0(struct loop, 1);
    loop->epoll = epoll_create1(EPOLL_CLOEXEC);
    loop->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = loop->wake};
    if (loop->epoll < 0 || loop->wake < 0 || epoll_ctl(loop->epoll, EPOLL_CTL_ADD, loop->wake, &event) != 0) {
        g_set_error(error, SB_ERROR, SB_ERROR_IO, "cannot set up an event loop: %s", g_strerror(errno));
        if (loop->epoll >= 0)
            close(loop->epoll);
        if (loop->wake >= 0)
            close(loop->wake);
        g_free(loop);
        return NULL;
    }
    loop->watches = g_hash_table_new_full(NULL, NULL, NULL, g_free);
    loop->timers = g_ptr_array_new();
    loop->posted = g_array_new(FALSE, FALSE, sizeof(struct posted));
    pthread_mutex_init(&loop->lock, NULL);
    return loop;
}

void loop_free(struct loop *loop)
{
    if (loop == NULL)
        return;
    g_assert(loop->timers->len == 0); /* a timer that outlives its loop is the caller's mistake */
    close(loop->epoll);
    close(loop->wake);
    g_hash_table_destroy(loop->watches);
    g_ptr_array_unref(loop->timers);
    g_array_unref(loop->posted);
    pthread_mutex_destroy(&loop->lock);
    g_free(loop);
}

struct timespec loop_deadline(int64_t us)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    int64_t ns = until.tv_nsec + us % G_USEC_PER_SEC * 1000;
    until.tv_sec += us / G_USEC_PER_SEC + ns / 1000000000;
    until.tv_nsec = ns % 1000000000;
    return until;
}

void loop_cond_init(pthread_cond_t *cond)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(cond, &attr);
    pthread_condattr_destroy(&attr);
}

bool loop_watch(struct loop *loop, int fd, uint32_t events, loop_io_fn fn, void *data, GError **error)
{
    struct epoll_event event = {.events = events, .data.fd = fd};
    bool known = g_hash_table_contains(loop->watches, GINT_TO_POINTER(fd));
    int rc = epoll_ctl(loop->epoll, known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event);
    if (rc != 0 && known && errno == ENOENT) /* closed and opened again under the same number */
        rc = epoll_ctl(loop->epoll, EPOLL_CTL_ADD, fd, &event);
    if (rc != 0) {
        g_set_error(error, SB_ERROR, SB_ERROR_IO, "cannot watch descriptor %d: %s", fd, g_strerror(errno));
        return false;
    }
    struct watch *watch = g_new(struct watch, 1);
    *watch = (struct watch){fd, fn, data};
    g_hash_table_replace(loop->watches, GINT_TO_POINTER(fd), watch);
    return true;
}

void loop_unwatch(struct loop *loop, int fd)
{
    if (g_hash_table_remove(loop->watches, GINT_TO_POINTER(fd)))
        epoll_ctl(loop->epoll, EPOLL_CTL_DEL, fd, NULL);
}

struct loop_timer *loop_timer_new(struct loop *loop, loop_fn fn, void *data)
{
    struct loop_timer *timer = g_new(struct loop_timer, 1);
    *timer = (struct loop_timer){loop, fn, data, INT64_MAX};
    g_ptr_array_add(loop->timers, timer);
    return timer;
}

void loop_timer_arm(struct loop_timer *timer, int64_t at_us)
{
    timer->at_us = at_us;
}

void loop_timer_disarm(struct loop_timer *timer)
{
    timer->at_us = INT64_MAX;
}

void loop_timer_free(struct loop_timer *timer)
{
    if (timer == NULL)
        return;
    g_ptr_array_remove(timer->loop->timers, timer);
    g_free(timer);
}

static void wake(struct loop *loop)
{
    uint64_t one = 1;
    if (write(loop->wake, &one, sizeof one) < 0)
        return; /* EAGAIN: it is awake already */
}

void loop_post(struct loop *loop, loop_fn fn, void *data)
{
    struct posted posted = {fn, data};
    pthread_mutex_lock(&loop->lock);
    g_array_append_val(loop->posted, posted);
    pthread_mutex_unlock(&loop->lock);
    wake(loop);
}

void loop_stop(struct loop *loop)
{
    atomic_store(&loop->stop, true);
    wake(loop);
}

static void run_posted(struct loop *loop)
{
    uint64_t count;
    if (read(loop->wake, &count, sizeof count) < 0)
        return;
    pthread_mutex_lock(&loop->lock);
    GArray *todo = loop->posted;
    loop->posted = g_array_new(FALSE, FALSE, sizeof(struct posted));
    pthread_mutex_unlock(&loop->lock);
    for (guint i = 0; i < todo->len; i++) {
        struct posted *p = &g_array_index(todo, struct posted, i);
        p->fn(p->data);
    }
    g_array_unref(todo);
}

/* The earliest timer, or NULL. A callback may free or add timers, so the list is searched anew each time. */
static struct loop_timer *earliest(const struct loop *loop)
{
    struct loop_timer *first = NULL;
    for (guint i = 0; i < loop->timers->len; i++) {
        struct loop_timer *timer = loop->timers->pdata[i];
        if (timer->at_us != INT64_MAX && (first == NULL || timer->at_us < first->at_us))
            first = timer;
    }
    return first;
}

static void run_timers(struct loop *loop)
{
    int64_t now = loop_now_us(); /* a timer armed by a callback for now waits for the next turn */
    struct loop_timer *timer;
    while ((timer = earliest(loop)) != NULL && timer->at_us <= now) {
        timer->at_us = INT64_MAX;
        timer->fn(timer->data);
    }
}

static void wait_events(struct loop *loop)
{
    const struct loop_timer *first = earliest(loop);
    struct timespec timeout, *limit = NULL;
    if (first != NULL) {
        int64_t left = first->at_us - loop_now_us();
        left = MAX(left, 0);
        timeout = (struct timespec){left / 1000000, left % 1000000 * 1000};
        limit = &timeout;
    }
    struct epoll_event events[64];
    int n = epoll_pwait2(loop->epoll, events, G_N_ELEMENTS(events), limit, NULL);
    for (int i = 0; i < n; i++) {
        if (events[i].data.fd == loop->wake) {
            run_posted(loop);
            continue;
        }
        const struct watch *watch = g_hash_table_lookup(loop->watches, GINT_TO_POINTER(events[i].data.fd));
        if (watch != NULL)
            watch->fn(watch->data, events[i].data.fd, events[i].events);
    }
}

void loop_run(struct loop *loop)
{
    while (!atomic_load(&loop->stop)) {
        wait_events(loop);
        run_timers(loop);
    }
}
