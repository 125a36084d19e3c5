#include "gateway/asker.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define HEARD_MAX 512u /* of HTTP's first line */
#define WHY_SIZE 80u

struct asker {
    struct loop *loop;
    struct loop_timer *failed; /* at once, but not before asker_start has returned */
    struct asker_question question;
    GString *say; /* what is to be said, of which `said` bytes were */
    gsize said;
    char heard[HEARD_MAX + 1];
    size_t n_heard;
    int fd; /* -1: nothing is under way */
    int error;
    asker_fn fn;
    void *data;
};

/* ---- beginning and end ---- */

static GString *make_say(const struct asker_question *question)
{
    char at[ENDPOINT_TEXT_SIZE];
    GString *say = g_string_new(NULL);
    if (question->kind == ASKER_HTTP)
        g_string_printf(say,
                        "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: signalbox-gateway\r\nConnection: close\r\n\r\n",
                        question->path != NULL ? question->path : "/",
                        question->host != NULL ? question->host : endpoint_format(&question->at, at));
    else if (question->kind == ASKER_UDP)
        g_string_assign(say, question->say != NULL ? question->say : "\n");
    return say;
}

static void on_failed(void *data);

struct asker *asker_new(struct loop *loop, const struct asker_question *question, asker_fn fn, void *data)
{
    struct asker *a = g_new0(struct asker, 1);
    a->loop = loop;
    a->question = (struct asker_question){.kind = question->kind, .at = question->at};
    a->say = make_say(question);
    a->fd = -1;
    a->fn = fn;
    a->data = data;
    a->failed = loop_timer_new(loop, on_failed, a);
    return a;
}

void asker_stop(struct asker *a)
{
    const struct linger reset = {.l_onoff = 1};
    loop_timer_disarm(a->failed);
    if (a->fd < 0)
        return;
    loop_unwatch(a->loop, a->fd);
    setsockopt(a->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    close(a->fd);
    a->fd = -1;
}

void asker_free(struct asker *a)
{
    if (a == NULL)
        return;
    asker_stop(a);
    loop_timer_free(a->failed);
    g_string_free(a->say, TRUE);
    g_free(a);
}

static void answer(struct asker *a, const char *why)
{
    asker_stop(a);
    a->fn(a->data, why);
}

static void fail(struct asker *a, int error)
{
    char why[WHY_SIZE];
    g_strlcpy(why, g_strerror(error), sizeof why);
    answer(a, why);
}

static void on_failed(void *data)
{
    struct asker *a = data;
    fail(a, a->error);
}

/* ---- talking ---- */

/* The first line is whole, or nothing more will come. */
static void judge_http(struct asker *a)
{
    unsigned minor, status = 0;
    char why[WHY_SIZE];
    a->heard[a->n_heard] = '\0';
    if (sscanf(a->heard, "HTTP/1.%1u %3u", &minor, &status) != 2)
        snprintf(why, sizeof why, "%zu bytes that are no HTTP", a->n_heard);
    else
        snprintf(why, sizeof why, "HTTP %u", status);
    answer(a, status >= 200 && status < 400 ? NULL : why);
}

static void hear(struct asker *a)
{
    ssize_t n = recv(a->fd, a->heard + a->n_heard, HEARD_MAX - a->n_heard, 0);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n < 0) {
        fail(a, errno);
    } else if (a->question.kind == ASKER_UDP) {
        answer(a, NULL);
    } else {
        a->n_heard += (size_t)n;
        if (n == 0 || a->n_heard == HEARD_MAX || memchr(a->heard, '\n', a->n_heard) != NULL)
            judge_http(a);
    }
}

static void fail_soon(struct asker *a, int error)
{
    a->error = error;
    loop_timer_arm(a->failed, loop_now_us());
}

static void on_io(void *data, int fd, uint32_t events);

static void watch(struct asker *a, uint32_t events)
{
    if (!loop_watch(a->loop, a->fd, events, on_io, a, NULL))
        fail_soon(a, EIO);
}

/* When all of it is said, it is listened to. */
static void say(struct asker *a)
{
    ssize_t n = send(a->fd, a->say->str + a->said, a->say->len - a->said, MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN) {
        fail(a, errno);
        return;
    }
    a->said += n > 0 ? (gsize)n : 0;
    if (a->said == a->say->len)
        watch(a, EPOLLIN);
}

static void on_io(void *data, int fd, uint32_t events)
{
    struct asker *a = data;
    int error = 0;
    socklen_t size = sizeof error;
    if (events & EPOLLERR)
        getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0)
        fail(a, error);
    else if (a->question.kind == ASKER_TCP)
        answer(a, NULL); /* it can be written to: it is connected */
    else if (a->said == a->say->len)
        hear(a);
    else
        say(a);
}

void asker_start(struct asker *a)
{
    struct sockaddr_storage to;
    socklen_t size = endpoint_sockaddr(&a->question.at, &to);
    int type = a->question.kind == ASKER_UDP ? SOCK_DGRAM : SOCK_STREAM;
    asker_stop(a);
    a->said = a->n_heard = 0;
    a->fd = socket(to.ss_family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (a->fd < 0 || (connect(a->fd, (struct sockaddr *)&to, size) < 0 && errno != EINPROGRESS)) {
        fail_soon(a, errno);
        return;
    }
    watch(a, EPOLLOUT);
}
