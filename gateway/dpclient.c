#include "gateway/dpclient.h"

#include "agent/dialogue.h"
#include "core/error.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct dpclient {
    struct loop *loop;
    struct loop_timer *look; /* for one that is not there */
    struct sockaddr_un at;
    int watch_fd; /* -1: it is not there */
    dpclient_life_fn life;
    void *life_data;
    struct exchange *exchange;
    dpclient_fn fn;
    void *data;
};

/* ---- is it there? ---- */

/* A connection that ends with the process; -1: nobody listens. */
static int watch_at(const struct sockaddr_un *at)
{
    static const char say[] = "watch\n";
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)at, sizeof *at) == 0 &&
        send(fd, say, strlen(say), MSG_NOSIGNAL) == (ssize_t)strlen(say))
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

static void lose(struct dpclient *c)
{
    if (c->watch_fd < 0)
        return;
    loop_unwatch(c->loop, c->watch_fd);
    close(c->watch_fd);
    c->watch_fd = -1;
}

static void on_gone(void *data, int fd, uint32_t events)
{
    struct dpclient *c = data;
    (void)fd;
    (void)events;
    lose(c);
    loop_timer_arm(c->look, loop_now_us() + DPCLIENT_LOOK_US);
    c->life(c->life_data, false);
}

static void on_look(void *data)
{
    struct dpclient *c = data;
    c->watch_fd = watch_at(&c->at);
    if (c->watch_fd >= 0 && loop_watch(c->loop, c->watch_fd, EPOLLIN, on_gone, c, NULL)) {
        c->life(c->life_data, true);
        return;
    }
    lose(c);
    loop_timer_arm(c->look, loop_now_us() + DPCLIENT_LOOK_US);
}

struct dpclient *dpclient_new(struct loop *loop, const char *path, dpclient_life_fn life, void *data)
{
    struct dpclient *c = g_new0(struct dpclient, 1);
    *c = (struct dpclient){.loop = loop, .at.sun_family = AF_UNIX, .watch_fd = -1, .life = life, .life_data = data};
    g_strlcpy(c->at.sun_path, path, sizeof c->at.sun_path); /* one that is too long is nobody's */
    c->look = loop_timer_new(loop, on_look, c);
    loop_timer_arm(c->look, loop_now_us());
    return c;
}

void dpclient_free(struct dpclient *c)
{
    if (c == NULL)
        return;
    lose(c);
    loop_timer_free(c->look);
    exchange_cancel(c->exchange);
    g_free(c);
}

bool dpclient_there(const struct dpclient *c)
{
    return c->watch_fd >= 0;
}

/* ---- what it answers ---- */

static void on_answer(void *data, const char *reply, const GError *error)
{
    struct dpclient *c = data;
    g_autoptr(GError) refused = NULL;
    c->exchange = NULL;
    if (error == NULL && g_str_has_prefix(reply, "refused: "))
        refused = g_error_new(SB_ERROR, SB_ERROR_INVALID, "forwarder: %.*s", (int)strcspn(reply, "\n"), reply);
    else if (error == NULL && !g_str_has_suffix(reply, "\n"))
        refused = g_error_new(SB_ERROR, SB_ERROR_UNREACHABLE, "forwarder: ended after %zu bytes of its answer",
                              strlen(reply));
    error = refused != NULL ? refused : error;
    c->fn(c->data, error == NULL ? reply : NULL, error);
}

bool dpclient_ask(struct dpclient *c, const void *bytes, size_t size, int64_t timeout_us, dpclient_fn fn, void *data)
{
    if (c->exchange != NULL)
        return false;
    c->fn = fn;
    c->data = data;
    c->exchange =
        exchange_start(c->loop, (const struct sockaddr *)&c->at, sizeof c->at, bytes, size, timeout_us, on_answer, c);
    return true;
}
