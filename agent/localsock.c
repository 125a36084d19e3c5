#include "agent/localsock.h"

#include "core/error.h"
#include "schema/object.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define CLIENTS_MAX 16

struct client {
    struct localsock *sock;
    int fd; /* -1: free */
    uid_t uid;
    struct loop_timer *timer;
    char line[LOCALSOCK_LINE_MAX + 2];
    size_t len;
    char *answer; /* NULL: still reading */
    size_t size, sent;
};

struct localsock {
    struct loop *loop;
    char *path;
    int fd;
    localsock_fn fn;
    void *data;
    struct client clients[CLIENTS_MAX];
};

static void client_close(struct client *client)
{
    if (client->fd < 0)
        return;
    loop_unwatch(client->sock->loop, client->fd);
    close(client->fd);
    loop_timer_disarm(client->timer);
    g_clear_pointer(&client->answer, g_free);
    client->fd = -1;
}

static void on_timeout(void *data)
{
    client_close(data);
}

static void write_answer(struct client *client)
{
    while (client->sent < client->size) {
        ssize_t n = send(client->fd, client->answer + client->sent, client->size - client->sent, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN)
            return;
        if (n < 0)
            break;
        client->sent += (size_t)n;
    }
    client_close(client);
}

static json_t *answer_json(struct client *client, bool whole)
{
    struct localsock *sock = client->sock;
    if (!whole)
        return json_pack("{s:s}", "error", "expected one line of at most 511 bytes and its newline");
    if (memchr(client->line, '\0', client->len) != NULL)
        return json_pack("{s:s}", "error", "found a NUL, expected one line of text");
    client->line[client->len] = '\0';
    return sock->fn(sock->data, client->uid, g_strstrip(client->line));
}

/* whole: a line came, and not only its beginning. */
static void answer(struct client *client, bool whole)
{
    json_t *json = answer_json(client, whole);
    char *text = json_dumps(json, JSON_INDENT(2));
    json_decref(json);
    client->answer = g_strconcat(text != NULL ? text : "{\"error\": \"the command is not text\"}", "\n", NULL);
    free(text);
    client->size = strlen(client->answer);
    client->sent = 0;
}

static void on_client(void *data, int fd, uint32_t events)
{
    struct client *client = data;
    (void)events;
    if (client->answer == NULL) {
        ssize_t n = recv(fd, client->line + client->len, LOCALSOCK_LINE_MAX + 1 - client->len, 0);
        if (n < 0 && errno == EAGAIN)
            return;
        if (n > 0)
            client->len += (size_t)n;
        char *end = memchr(client->line, '\n', client->len);
        if (end == NULL && n > 0 && client->len < LOCALSOCK_LINE_MAX + 1)
            return;
        if (end != NULL)
            client->len = (size_t)(end - client->line);
        answer(client, end != NULL);
        if (!loop_watch(client->sock->loop, fd, EPOLLOUT, on_client, client, NULL)) {
            client_close(client);
            return;
        }
    }
    write_answer(client);
}

static bool peer_allowed(int fd, uid_t *uid)
{
    struct ucred peer;
    socklen_t len = sizeof peer;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0)
        return false;
    *uid = peer.uid;
    return peer.uid == 0 || peer.uid == geteuid();
}

static void on_accept(void *data, int listener, uint32_t events)
{
    struct localsock *sock = data;
    (void)events;
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        return;
    uid_t uid;
    for (unsigned i = 0; i < CLIENTS_MAX && peer_allowed(fd, &uid); i++) {
        struct client *client = &sock->clients[i];
        if (client->fd >= 0)
            continue;
        client->fd = fd;
        client->uid = uid;
        client->len = 0;
        loop_timer_arm(client->timer, loop_now_us() + LOCALSOCK_TIMEOUT_US);
        if (!loop_watch(sock->loop, fd, EPOLLIN, on_client, client, NULL))
            client_close(client);
        return;
    }
    close(fd); /* not allowed, or too many at once */
}

/* A listening socket at `path`; -1 with error. */
static int listen_at(const char *path, GError **error)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (g_strlcpy(address.sun_path, path, sizeof address.sun_path) >= sizeof address.sun_path) {
        g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "socket path '%s' is longer than %zu bytes", path,
                    sizeof address.sun_path - 1);
        return -1;
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0 || errno == EAGAIN) {
        g_set_error(error, SB_ERROR, SB_ERROR_CONFLICT, "another process answers at %s", path);
        close(fd);
        return -1;
    }
    unlink(path);
    mode_t mask = umask(0177);
    bool ok = bind(fd, (struct sockaddr *)&address, sizeof address) == 0 && listen(fd, 16) == 0;
    umask(mask);
    if (!ok) {
        g_set_error(error, SB_ERROR, SB_ERROR_IO, "cannot listen at %s: %s", path, g_strerror(errno));
        close(fd);
        return -1;
    }
    return fd;
}

struct localsock *localsock_new(struct loop *loop, const char *path, localsock_fn fn, void *data, GError **error)
{
    int fd = listen_at(path, error);
    if (fd < 0)
        return NULL;
    struct localsock *sock = g_new0(struct localsock, 1);
    *sock = (struct localsock){.loop = loop, .path = g_strdup(path), .fd = fd, .fn = fn, .data = data};
    for (unsigned i = 0; i < CLIENTS_MAX; i++)
        sock->clients[i] =
            (struct client){.sock = sock, .fd = -1, .timer = loop_timer_new(loop, on_timeout, &sock->clients[i])};
    if (!loop_watch(loop, fd, EPOLLIN, on_accept, sock, error)) {
        localsock_free(sock);
        return NULL;
    }
    return sock;
}

void localsock_free(struct localsock *sock)
{
    if (sock == NULL)
        return;
    for (unsigned i = 0; i < CLIENTS_MAX; i++) {
        client_close(&sock->clients[i]);
        loop_timer_free(sock->clients[i].timer);
    }
    loop_unwatch(sock->loop, sock->fd);
    close(sock->fd);
    unlink(sock->path);
    g_free(sock->path);
    g_free(sock);
}
