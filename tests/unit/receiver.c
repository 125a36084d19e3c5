#include "tests/unit/receiver.h"

#include "core/loop.h"

#include <check.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define WAIT_US (30 * (int64_t)G_USEC_PER_SEC) /* a limit, not a wait */

static void received_free(gpointer data)
{
    struct received *request = data;
    g_free(request->method);
    g_free(request->path);
    g_hash_table_unref(request->headers);
    g_free(request->body);
    g_free(request);
}

/* Reads until `want` bytes are there, or until an empty line when that is 0. */
static bool read_until(int fd, GString *text, size_t want)
{
    char buffer[4096];
    while (want > 0 ? text->len < want : strstr(text->str, "\r\n\r\n") == NULL) {
        ssize_t n = read(fd, buffer, sizeof buffer);
        if (n <= 0)
            return false;
        g_string_append_len(text, buffer, n);
    }
    return true;
}

/* NULL: it ended before its end. */
static struct received *read_request(int fd)
{
    g_autoptr(GString) text = g_string_new(NULL);
    if (!read_until(fd, text, 0))
        return NULL;
    size_t head = (size_t)(strstr(text->str, "\r\n\r\n") - text->str) + 4;
    g_autofree char *lines_text = g_strndup(text->str, head);
    g_auto(GStrv) lines = g_strsplit(lines_text, "\r\n", -1), words = g_strsplit(lines[0], " ", 3);
    struct received *request = g_new0(struct received, 1);
    request->method = g_strdup(words[0]);
    request->path = g_strdup(words[1]);
    request->headers = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    for (char **line = lines + 1; **line != '\0'; line++) {
        char *value = strchr(*line, ':');
        g_hash_table_insert(request->headers, g_ascii_strdown(*line, value - *line), g_strstrip(g_strdup(value + 1)));
    }
    size_t size = (size_t)g_ascii_strtoull(received_header(request, "content-length"), NULL, 10);
    bool whole = size == 0 || read_until(fd, text, head + size);
    request->body = g_strdup(text->str + head);
    if (whole)
        return request;
    received_free(request);
    return NULL;
}

static void serve_one(struct receiver *r, int fd)
{
    struct received *request = read_request(fd);
    if (request == NULL)
        return;
    pthread_mutex_lock(&r->lock);
    g_ptr_array_add(r->requests, request);
    pthread_cond_broadcast(&r->changed);
    while (r->held && !r->ending)
        pthread_cond_wait(&r->changed, &r->lock);
    g_autofree char *answer = g_strdup_printf("HTTP/1.1 %u X\r\nConnection: close\r\nContent-Length: %zu\r\n%s\r\n%s",
                                              r->status, r->body != NULL ? strlen(r->body) : 0,
                                              r->extra != NULL ? r->extra : "", r->body != NULL ? r->body : "");
    pthread_mutex_unlock(&r->lock);
    send(fd, answer, strlen(answer), MSG_NOSIGNAL);
}

static void *run(void *data)
{
    struct receiver *r = data;
    for (;;) {
        int fd = accept4(r->fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0)
            return NULL;
        serve_one(r, fd);
        close(fd);
    }
}

void receiver_start(struct receiver *r)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof sa;
    *r = (struct receiver){.status = 200, .requests = g_ptr_array_new_with_free_func(received_free)};
    loop_cond_init(&r->changed);
    pthread_mutex_init(&r->lock, NULL);
    r->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(r->fd, (struct sockaddr *)&sa, len), 0);
    ck_assert_int_eq(listen(r->fd, 64), 0);
    getsockname(r->fd, (struct sockaddr *)&sa, &len);
    r->port = ntohs(sa.sin_port);
    ck_assert_int_eq(pthread_create(&r->thread, NULL, run, r), 0);
}

void receiver_end(struct receiver *r)
{
    pthread_mutex_lock(&r->lock);
    r->ending = true;
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->lock);
    shutdown(r->fd, SHUT_RDWR);
    pthread_join(r->thread, NULL);
    close(r->fd);
    g_ptr_array_unref(r->requests);
    g_free(r->extra);
    g_free(r->body);
    pthread_mutex_destroy(&r->lock);
    pthread_cond_destroy(&r->changed);
}

void receiver_answer(struct receiver *r, unsigned status, const char *extra, const char *body)
{
    pthread_mutex_lock(&r->lock);
    g_free(r->extra);
    g_free(r->body);
    r->status = status;
    r->extra = g_strdup(extra);
    r->body = g_strdup(body);
    pthread_mutex_unlock(&r->lock);
}

void receiver_hold(struct receiver *r, bool held)
{
    pthread_mutex_lock(&r->lock);
    r->held = held;
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->lock);
}

unsigned receiver_count(struct receiver *r)
{
    pthread_mutex_lock(&r->lock);
    unsigned n = r->requests->len;
    pthread_mutex_unlock(&r->lock);
    return n;
}

const struct received *receiver_wait(struct receiver *r, unsigned i)
{
    struct timespec until = loop_deadline(WAIT_US);
    int rc = 0;
    pthread_mutex_lock(&r->lock);
    while (r->requests->len <= i && rc == 0)
        rc = pthread_cond_timedwait(&r->changed, &r->lock, &until);
    unsigned n = r->requests->len;
    const struct received *request = n > i ? r->requests->pdata[i] : NULL;
    pthread_mutex_unlock(&r->lock);
    ck_assert_msg(request != NULL, "found %u requests, expected %u", n, i + 1);
    return request;
}

const char *received_header(const struct received *request, const char *name)
{
    const char *value = g_hash_table_lookup(request->headers, name);
    return value != NULL ? value : "";
}
