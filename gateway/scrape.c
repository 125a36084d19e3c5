#include "gateway/scrape.h"

#include "core/error.h"
#include "schema/addr.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

struct client {
    struct scrape *scrape;
    int fd; /* -1: free */
    struct loop_timer *timer;
    char request[SCRAPE_REQUEST_MAX + 1];
    size_t size;
    GString *answer; /* NULL: still reading */
    gsize sent;
};
struct scrape {
    struct loop *loop;
    int fd;
    scrape_fn fn;
    void *data;
    struct client clients[SCRAPE_CLIENTS];
};

static void hang_up(struct client *c)
{
    if (c->fd < 0)
        return;
    loop_timer_disarm(c->timer);
    loop_unwatch(c->scrape->loop, c->fd);
    close(c->fd);
    c->fd = -1;
    if (c->answer != NULL)
        g_string_free(c->answer, TRUE);
    c->answer = NULL;
}

static void on_timeout(void *data)
{
    hang_up(data);
}

static GString *answer_of(const char *status, const char *type, const char *body)
{
    GString *answer = g_string_new(NULL);
    g_string_printf(answer,
                    "HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\nConnection: close\r\n"
                    "Cache-Control: no-store\r\n\r\n%s",
                    status, type, strlen(body), body);
    return answer;
}

/* whole: the request's head has come to its end. */
static GString *answer_to(const struct client *c, bool whole)
{
    static const char plain[] = "text/plain; charset=utf-8";
    const char *request = c->request, *target = "GET /metrics";
    if (!whole)
        return answer_of("431 Request Header Fields Too Large", plain, "found more than 4095 bytes\n");
    if (!g_str_has_prefix(request, "GET "))
        return answer_of("405 Method Not Allowed", plain, "expected GET\n");
    if (!g_str_has_prefix(request, target) || strchr(" ?", request[strlen(target)]) == NULL)
        return answer_of("404 Not Found", plain, "expected /metrics\n");
    g_autofree char *text = c->scrape->fn(c->scrape->data);
    return answer_of("200 OK", "text/plain; version=0.0.4; charset=utf-8", text);
}

static void say(struct client *c)
{
    while (c->sent < c->answer->len) {
        ssize_t n = send(c->fd, c->answer->str + c->sent, c->answer->len - c->sent, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN)
            return;
        if (n < 0)
            break;
        c->sent += (gsize)n;
    }
    shutdown(c->fd, SHUT_WR); /* what is still on its way to us must not reset what is on its way to him */
    hang_up(c);
}

static void on_client(void *data, int fd, uint32_t events)
{
    struct client *c = data;
    (void)events;
    if (c->answer == NULL) {
        ssize_t n = recv(fd, c->request + c->size, SCRAPE_REQUEST_MAX - c->size, 0);
        if (n < 0 && errno == EAGAIN)
            return;
        if (n <= 0) {
            hang_up(c);
            return;
        }
        c->size += (size_t)n;
        c->request[c->size] = '\0';
        bool whole = strstr(c->request, "\r\n\r\n") != NULL;
        if (!whole && c->size < SCRAPE_REQUEST_MAX)
            return;
        c->answer = answer_to(c, whole);
        c->sent = 0;
        if (!loop_watch(c->scrape->loop, fd, EPOLLOUT, on_client, c, NULL)) {
            hang_up(c);
            return;
        }
    }
    say(c);
}

static void on_accept(void *data, int listener, uint32_t events)
{
    struct scrape *scrape = data;
    (void)events;
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    for (unsigned i = 0; i < SCRAPE_CLIENTS && fd >= 0; i++) {
        struct client *c = &scrape->clients[i];
        if (c->fd >= 0)
            continue;
        c->fd = fd;
        c->size = 0;
        loop_timer_arm(c->timer, loop_now_us() + SCRAPE_TIMEOUT_US);
        if (!loop_watch(scrape->loop, fd, EPOLLIN, on_client, c, NULL))
            hang_up(c);
        return;
    }
    if (fd >= 0)
        close(fd);
}

static int listen_at(const char *at, GError **error)
{
    struct endpoint endpoint;
    struct sockaddr_storage address;
    const int yes = 1;
    if (!endpoint_parse(at, &endpoint)) {
        g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "metrics: found '%s', expected ADDRESS:PORT", at);
        return -1;
    }
    socklen_t size = endpoint_sockaddr(&endpoint, &address);
    int fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (fd >= 0 && bind(fd, (struct sockaddr *)&address, size) == 0 && listen(fd, (int)SCRAPE_CLIENTS) == 0)
        return fd;
    g_set_error(error, SB_ERROR, SB_ERROR_IO, "cannot listen at %s: %s", at, g_strerror(errno));
    if (fd >= 0)
        close(fd);
    return -1;
}

struct scrape *scrape_new(struct loop *loop, const char *at, scrape_fn fn, void *data, GError **error)
{
    int fd = listen_at(at, error);
    if (fd < 0)
        return NULL;
    struct scrape *scrape = g_new0(struct scrape, 1);
    *scrape = (struct scrape){.loop = loop, .fd = fd, .fn = fn, .data = data};
    for (unsigned i = 0; i < SCRAPE_CLIENTS; i++) {
        struct client *c = &scrape->clients[i];
        *c = (struct client){.scrape = scrape, .fd = -1, .timer = loop_timer_new(loop, on_timeout, c)};
    }
    if (loop_watch(loop, fd, EPOLLIN, on_accept, scrape, error))
        return scrape;
    scrape_free(scrape);
    return NULL;
}

void scrape_free(struct scrape *scrape)
{
    if (scrape == NULL)
        return;
    for (unsigned i = 0; i < SCRAPE_CLIENTS; i++) {
        hang_up(&scrape->clients[i]);
        loop_timer_free(scrape->clients[i].timer);
    }
    loop_unwatch(scrape->loop, scrape->fd);
    close(scrape->fd);
    g_free(scrape);
}
