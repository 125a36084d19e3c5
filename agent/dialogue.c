#include "agent/dialogue.h"

#include "core/error.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/un.h>
#include <unistd.h>

struct exchange {
    struct loop *loop;
    struct loop_timer *timer; /* time-out; or at once, for a failure before the first event */
    int fd;                   /* -1: failed at the start */
    GString *out;
    size_t sent;
    GString *in;
    exchange_fn fn;
    void *data;
    GError *error; /* failed at the start: why */
};

void exchange_cancel(struct exchange *exchange)
{
    if (exchange == NULL)
        return;
    if (exchange->fd >= 0) {
        loop_unwatch(exchange->loop, exchange->fd);
        close(exchange->fd);
    }
    loop_timer_free(exchange->timer);
    g_string_free(exchange->out, TRUE);
    g_string_free(exchange->in, TRUE);
    g_clear_error(&exchange->error);
    g_free(exchange);
}

/* Takes error. The exchange is gone before its callback, which may start the next one. */
static void end(struct exchange *exchange, GError *error)
{
    exchange_fn fn = exchange->fn;
    void *data = exchange->data;
    GString *in = exchange->in;
    exchange->in = g_string_new(NULL);
    exchange_cancel(exchange);
    fn(data, error == NULL ? in->str : NULL, error);
    g_string_free(in, TRUE);
    g_clear_error(&error);
}

static void end_errno(struct exchange *exchange, const char *what)
{
    end(exchange, g_error_new(SB_ERROR, SB_ERROR_UNREACHABLE, "%s: %s", what, g_strerror(errno)));
}

static void on_timer(void *data)
{
    struct exchange *exchange = data;
    GError *error = g_steal_pointer(&exchange->error);
    end(exchange, error != NULL ? error : g_error_new(SB_ERROR, SB_ERROR_TIMEOUT, "no answer in time"));
}

static void on_io(void *data, int fd, uint32_t events)
{
    struct exchange *exchange = data;
    while ((events & EPOLLOUT) && exchange->sent < exchange->out->len) {
        ssize_t n = send(fd, exchange->out->str + exchange->sent, exchange->out->len - exchange->sent, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN)
            return;
        if (n < 0) {
            end_errno(exchange, "cannot send");
            return;
        }
        exchange->sent += (size_t)n;
        if (exchange->sent == exchange->out->len)
            loop_watch(exchange->loop, fd, EPOLLIN, on_io, exchange, NULL);
    }
    char buffer[65536];
    ssize_t n;
    while ((n = recv(fd, buffer, sizeof buffer, 0)) > 0 && exchange->in->len < EXCHANGE_SIZE_MAX)
        g_string_append_len(exchange->in, buffer, n);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n != 0)
        end_errno(exchange, n < 0 ? "cannot receive" : "the answer is too long");
    else
        end(exchange, NULL);
}

struct exchange *exchange_start(struct loop *loop, const struct sockaddr *to, socklen_t to_len, const char *bytes,
                                size_t size, int64_t timeout_us, exchange_fn fn, void *data)
{
    struct exchange *exchange = g_new0(struct exchange, 1);
    *exchange = (struct exchange){.loop = loop, .fn = fn, .data = data, .in = g_string_new(NULL)};
    exchange->out = g_string_new_len(bytes, (gssize)size);
    exchange->timer = loop_timer_new(loop, on_timer, exchange);
    exchange->fd = socket(to->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int rc = exchange->fd < 0 ? -1 : connect(exchange->fd, to, to_len);
    if ((rc != 0 && errno != EINPROGRESS) ||
        !loop_watch(loop, exchange->fd, EPOLLIN | EPOLLOUT, on_io, exchange, NULL)) {
        exchange->error = g_error_new(SB_ERROR, SB_ERROR_UNREACHABLE, "cannot connect: %s", g_strerror(errno));
        timeout_us = 0;
    }
    loop_timer_arm(exchange->timer, loop_now_us() + timeout_us);
    return exchange;
}

struct exchange *exchange_start_unix(struct loop *loop, const char *path, const char *text, int64_t timeout_us,
                                     exchange_fn fn, void *data)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    g_strlcpy(to.sun_path, path, sizeof to.sun_path); /* too long a path is nobody's: it fails to connect */
    return exchange_start(loop, (struct sockaddr *)&to, sizeof to, text, strlen(text), timeout_us, fn, data);
}
