/* origin: what answers in a room. One process per room; each of its listeners is named by the entrance it stands for,
 * and every answer says which room and entrance it came by.
 *
 *   origin --room room-a --listen 198.51.100.11:80=pop-a1 --listen 10.1.0.1:80=ring [--log FILE] [--control SOCKET]
 *
 * GET /hz         health
 * POST anything   a write: a line "wall-µs X-Request-Id entrance user path" goes to the log, then 200
 * anything else   200 and a small JSON body that repeats what the edge said in X-SB-... headers
 * Status 200, at once, unless the control socket has set another behaviour (behaviour.h). It takes lines, each answered
 * by a line of JSON. */
#include "core/error.h"
#include "core/loop.h"
#include "tests/lab/traffic/behaviour.h"
#include "tests/lab/traffic/httpmsg.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <jansson.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct origin {
    struct loop *loop;
    const char *room;
    int log_fd; /* -1: writes are not logged */
    GPtrArray *behaviours;
};

struct listener {
    struct origin *origin;
    char *entrance;
    int fd;
};

struct conn {
    struct origin *origin;
    const struct listener *listener;
    int fd;
    struct httpmsg msg;
    int status;               /* of the answer to msg */
    GString *out;             /* answer that the socket has not taken yet */
    struct loop_timer *delay; /* armed while an answer is held back; NULL before the first time */
};

static void conn_free(struct conn *conn)
{
    loop_unwatch(conn->origin->loop, conn->fd);
    loop_timer_free(conn->delay);
    close(conn->fd);
    g_string_free(conn->out, TRUE);
    g_free(conn);
}

/* The user's id: cookie `uid`, "" when absent. */
static void user_of(const struct httpmsg *msg, char user[static 64])
{
    char cookie[256];
    httpmsg_header(msg, "Cookie", cookie, sizeof cookie);
    user[0] = '\0';
    for (const char *at = cookie; *at != '\0'; at += strspn(at, "; ")) {
        if (sscanf(at, "uid=%63[^;]", user) == 1)
            return;
        at += strcspn(at, ";");
    }
}

/* The write counts from here on: the line is in the log before the answer leaves. */
static bool log_write(struct conn *conn, const char *user)
{
    struct origin *origin = conn->origin;
    char id[64], line[512];
    httpmsg_header(&conn->msg, "X-Request-Id", id, sizeof id);
    if (origin->log_fd < 0)
        return true;
    int len = snprintf(line, sizeof line, "%lld %s %s %s %.200s\n", (long long)wall_now_us(), id[0] ? id : "-",
                       conn->listener->entrance, user[0] ? user : "-", conn->msg.path);
    return write(origin->log_fd, line, (size_t)len) == len;
}

/* {"room", "entrance", "method", "path", "user", "x-sb-slot", ...}: the headers X-SB-... by their names. */
static char *answer_body(const struct conn *conn, const char *user)
{
    g_autofree char *head = g_ascii_strdown(conn->msg.head, -1);
    json_t *body =
        json_pack("{s:s, s:s, s:s, s:s, s:s}", "room", conn->origin->room, "entrance", conn->listener->entrance,
                  "method", conn->msg.method, "path", conn->msg.path, "user", user);
    for (const char *at = strstr(head, "\r\nx-sb-"); at != NULL; at = strstr(at, "\r\nx-sb-")) {
        at += 2;
        g_autofree char *name = g_strndup(at, strcspn(at, ":\r"));
        char value[128];
        json_object_set_new(body, name, json_string(httpmsg_header(&conn->msg, name, value, sizeof value)));
    }
    char *text = json_dumps(body, JSON_COMPACT);
    json_decref(body);
    return text;
}

static void answer(struct conn *conn)
{
    struct origin *origin = conn->origin;
    const struct httpmsg *msg = &conn->msg;
    int status = conn->status;
    char user[64];
    user_of(msg, user);
    if (status == 200 && strcmp(msg->method, "POST") == 0 && !log_write(conn, user))
        status = 500;
    char *body = answer_body(conn, user);
    g_string_append_printf(conn->out,
                           "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n"
                           "X-Origin-Room: %s\r\nX-Origin-Entrance: %s\r\n",
                           status, status == 200 ? "OK" : "As Told", body == NULL ? 0 : strlen(body), origin->room,
                           conn->listener->entrance);
    g_string_append(conn->out, msg->keep_alive ? "\r\n" : "Connection: close\r\n\r\n");
    if (strcmp(msg->method, "HEAD") != 0 && body != NULL)
        g_string_append(conn->out, body);
    free(body);
}

/* Sends what is left; at the end the connection reads its next request, or is closed. False: conn is gone. */
static bool flush(struct conn *conn)
{
    while (conn->out->len > 0) {
        ssize_t sent = send(conn->fd, conn->out->str, conn->out->len, MSG_NOSIGNAL);
        if (sent < 0 && errno == EAGAIN)
            return true;
        if (sent < 0) {
            conn_free(conn);
            return false;
        }
        g_string_erase(conn->out, 0, sent);
    }
    if (!conn->msg.keep_alive) {
        conn_free(conn);
        return false;
    }
    httpmsg_init(&conn->msg, false);
    return true;
}

static void conn_ready(void *data, int fd, uint32_t events);

static void answer_now(void *data)
{
    struct conn *conn = data;
    answer(conn);
    if (flush(conn))
        loop_watch(conn->origin->loop, conn->fd, conn->out->len > 0 ? EPOLLOUT : EPOLLIN, conn_ready, conn, NULL);
}

static void request_done(struct conn *conn)
{
    struct origin *origin = conn->origin;
    char host[256];
    httpmsg_header(&conn->msg, "Host", host, sizeof host);
    host[strcspn(host, ":")] = '\0';
    const struct behaviour *behaviour =
        behaviours_match(origin->behaviours, host, conn->msg.path, conn->listener->entrance);
    conn->status = behaviour != NULL ? behaviour->status : 200;
    if (behaviour == NULL || behaviour->delay_us == 0) {
        answer_now(conn);
        return;
    }
    if (conn->delay == NULL)
        conn->delay = loop_timer_new(origin->loop, answer_now, conn);
    loop_watch(origin->loop, conn->fd, 0, conn_ready, conn, NULL); /* no pipelining while an answer is held back */
    loop_timer_arm(conn->delay, loop_now_us() + behaviour->delay_us);
}

static void conn_ready(void *data, int fd, uint32_t events)
{
    struct conn *conn = data;
    char bytes[4096];
    if (events & EPOLLOUT && conn->out->len > 0) {
        if (flush(conn) && conn->out->len == 0)
            loop_watch(conn->origin->loop, fd, EPOLLIN, conn_ready, conn, NULL);
        return;
    }
    ssize_t got = recv(fd, bytes, sizeof bytes, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) {
        conn_free(conn);
        return;
    }
    switch (httpmsg_feed(&conn->msg, bytes, (size_t)got)) {
    case HTTPMSG_MORE:
        break;
    case HTTPMSG_BAD:
        conn_free(conn);
        break;
    case HTTPMSG_DONE:
        request_done(conn);
        break;
    }
}

static void accept_ready(void *data, int fd, uint32_t events)
{
    const struct listener *listener = data;
    (void)events;
    int client;
    while ((client = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        int on = 1;
        setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        struct conn *conn = g_new0(struct conn, 1);
        *conn =
            (struct conn){.origin = listener->origin, .listener = listener, .fd = client, .out = g_string_new(NULL)};
        httpmsg_init(&conn->msg, false);
        if (!loop_watch(listener->origin->loop, client, EPOLLIN, conn_ready, conn, NULL))
            conn_free(conn);
    }
}

/* "198.51.100.11:80=pop-a1" */
static bool listen_on(struct origin *origin, const char *spec, GError **error)
{
    char address[64], entrance[64];
    unsigned port;
    struct sockaddr_in sin = {.sin_family = AF_INET};
    if (sscanf(spec, "%63[0-9.]:%u=%63s", address, &port, entrance) != 3 || port > 65535 ||
        inet_pton(AF_INET, address, &sin.sin_addr) != 1) {
        g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "--listen %s: expected ADDRESS:PORT=ENTRANCE", spec);
        return false;
    }
    sin.sin_port = htons((uint16_t)port);
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    setsockopt(fd, IPPROTO_IP, IP_FREEBIND, &on, sizeof on); /* the address may come with the routes, later */
    struct listener *listener = g_new(struct listener, 1);
    *listener = (struct listener){origin, g_strdup(entrance), fd};
    if (bind(fd, (struct sockaddr *)&sin, sizeof sin) != 0 || listen(fd, 512) != 0 ||
        !loop_watch(origin->loop, fd, EPOLLIN, accept_ready, listener, NULL)) {
        g_set_error(error, SB_ERROR, SB_ERROR_IO, "cannot listen on %s: %s", spec, g_strerror(errno));
        return false;
    }
    return true;
}

/* One datagram-like exchange: a line in, a line out. */
static void control_line(void *data, int fd, uint32_t events)
{
    struct origin *origin = data;
    char line[512] = "";
    (void)events;
    ssize_t got = recv(fd, line, sizeof line - 1, 0);
    if (got < 0 && errno == EAGAIN)
        return;
    if (got <= 0) {
        loop_unwatch(origin->loop, fd);
        close(fd);
        return;
    }
    json_t *answer = behaviours_command(origin->behaviours, line);
    char *text = json_dumps(answer, JSON_COMPACT);
    g_autofree char *reply = g_strconcat(text, "\n", NULL);
    send(fd, reply, strlen(reply), MSG_NOSIGNAL);
    free(text);
    json_decref(answer);
}

static void control_accept(void *data, int fd, uint32_t events)
{
    struct origin *origin = data;
    (void)events;
    int client = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (client >= 0 && !loop_watch(origin->loop, client, EPOLLIN, control_line, origin, NULL))
        close(client);
}

static bool control_on(struct origin *origin, const char *path, GError **error)
{
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (g_strlcpy(sun.sun_path, path, sizeof sun.sun_path) >= sizeof sun.sun_path) {
        g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "--control %s: longer than a socket's name may be", path);
        return false;
    }
    unlink(path);
    if (bind(fd, (struct sockaddr *)&sun, sizeof sun) != 0 || listen(fd, 8) != 0 ||
        !loop_watch(origin->loop, fd, EPOLLIN, control_accept, origin, NULL)) {
        g_set_error(error, SB_ERROR, SB_ERROR_IO, "cannot listen on %s: %s", path, g_strerror(errno));
        return false;
    }
    return true;
}

static bool log_on(struct origin *origin, const char *path, GError **error)
{
    origin->log_fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (origin->log_fd >= 0)
        return true;
    g_set_error(error, SB_ERROR, SB_ERROR_IO, "cannot open %s: %s", path, g_strerror(errno));
    return false;
}

static void signal_ready(void *data, int fd, uint32_t events)
{
    (void)fd;
    (void)events;
    loop_stop(data);
}

static void stop_on_signals(struct loop *loop)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    loop_watch(loop, signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK), EPOLLIN, signal_ready, loop, NULL);
}

static bool parse_flags(struct origin *origin, int argc, char **argv, GError **error)
{
    static const struct option options[] = {{"room", required_argument, NULL, 'r'},
                                            {"listen", required_argument, NULL, 'l'},
                                            {"log", required_argument, NULL, 'w'},
                                            {"control", required_argument, NULL, 'c'},
                                            {NULL, 0, NULL, 0}};
    int option, listeners = 0;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        bool ok = option != '?';
        if (option == 'r')
            origin->room = optarg;
        else if (option == 'l')
            ok = listen_on(origin, optarg, error), listeners++;
        else if (option == 'w')
            ok = log_on(origin, optarg, error);
        else if (option == 'c')
            ok = control_on(origin, optarg, error);
        if (!ok)
            return false;
    }
    if (origin->room != NULL && listeners > 0 && optind == argc)
        return true;
    g_set_error(error, SB_ERROR, SB_ERROR_INVALID,
                "usage: origin --room ROOM --listen ADDRESS:PORT=ENTRANCE... [--log FILE] [--control SOCKET]");
    return false;
}

int main(int argc, char **argv)
{
    g_autoptr(GError) error = NULL;
    static struct origin origin = {.log_fd = -1}; /* the process's end frees and closes what it holds */
    origin.loop = loop_new(&error);
    origin.behaviours = behaviours_new();
    if (origin.loop == NULL || !parse_flags(&origin, argc, argv, &error)) {
        fprintf(stderr, "origin: %s\n", error != NULL ? error->message : "wrong arguments");
        return error != NULL ? error_exit_code(error) : 2;
    }
    stop_on_signals(origin.loop);
    loop_run(origin.loop);
    return 0;
}
