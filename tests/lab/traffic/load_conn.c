/* A connection and the request on it:
 *
 *   RESOLVING ──► CONNECTING ──► WAITING ──► (done) ──► closed, or IDLE ──► WAITING ...
 *       └──────────────┴────────────┴─► failed: closed
 */
#include "tests/lab/traffic/load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum conn_state { CONN_RESOLVING, CONN_CONNECTING, CONN_WAITING, CONN_IDLE };
static const char *const timeout_texts[] = {"time-out resolving", "time-out connecting", "time-out waiting", ""};

/* Outlives its connection when the resolver is slower than the user. */
struct lookup {
    struct load_conn *conn;
};

struct load_conn {
    struct load_stream *stream;
    enum conn_state state;
    int fd;              /* -1: none yet */
    bool keep;           /* the connection of a keep-alive user */
    uint32_t user_index; /* of the stream's users */
    guint record;        /* index of the request in the log */
    int64_t due_us;      /* loop's clock */
    uint64_t pick;       /* random number of the request */
    const struct load_target *target;
    struct lookup *lookup; /* while RESOLVING */
    GString *out;
    size_t out_sent;
    struct httpmsg msg;
    GList link; /* in load->in_flight, but for IDLE */
};

static void conn_ready(void *data, int fd, uint32_t events);

static struct request *record_of(const struct load_conn *conn)
{
    return &g_array_index(conn->stream->load->log.requests, struct request, conn->record);
}

static void conn_free(struct load_conn *conn)
{
    struct load_stream *stream = conn->stream;
    if (conn->lookup != NULL)
        conn->lookup->conn = NULL;
    if (conn->fd >= 0) {
        loop_unwatch(stream->load->loop, conn->fd);
        close(conn->fd);
    }
    if (stream->kept[conn->user_index] == conn)
        stream->kept[conn->user_index] = NULL;
    g_string_free(conn->out, TRUE);
    g_free(conn);
}

/* Ends the request in the books. */
static void settle(struct load_conn *conn, const char *error)
{
    struct load_stream *stream = conn->stream;
    struct load *load = stream->load;
    struct request *record = record_of(conn);
    int64_t now_us = loop_now_us();
    g_queue_unlink(&load->in_flight, &conn->link);
    record->end_us = now_us + load->wall_offset_us;
    g_strlcpy(record->error, error, sizeof record->error);
    *(request_succeeded(record) ? &stream->ok : &stream->failed) += 1;
    stream->max_latency_us = MAX(stream->max_latency_us, now_us - conn->due_us);
    if (load->draining && load->in_flight.length == 0)
        loop_stop(load->loop);
}

static void conn_fail(struct load_conn *conn, const char *what, int err)
{
    char error[64];
    snprintf(error, sizeof error, "%s%s%s", what, err != 0 ? ": " : "", err != 0 ? g_strerror(err) : "");
    record_of(conn)->status = 0;
    settle(conn, error);
    conn_free(conn);
}

static void conn_done(struct load_conn *conn)
{
    struct request *record = record_of(conn);
    char reason[sizeof record->error] = "";
    record->status = (uint16_t)conn->msg.status;
    if (!request_succeeded(record))
        httpmsg_header(&conn->msg, "X-SB-Reason", reason, sizeof reason);
    httpmsg_header(&conn->msg, "X-SB-Edge", record->edge, sizeof record->edge);
    httpmsg_header(&conn->msg, "X-Origin-Room", record->room, sizeof record->room);
    httpmsg_header(&conn->msg, "X-Origin-Entrance", record->entrance, sizeof record->entrance);
    settle(conn, reason);
    if (!conn->keep || !conn->msg.keep_alive) {
        conn_free(conn);
        return;
    }
    conn->state = CONN_IDLE;
    loop_watch(conn->stream->load->loop, conn->fd, EPOLLIN, conn_ready, conn, NULL);
}

static void conn_send(struct load_conn *conn)
{
    struct load *load = conn->stream->load;
    while (conn->out_sent < conn->out->len) {
        ssize_t sent = send(conn->fd, conn->out->str + conn->out_sent, conn->out->len - conn->out_sent, MSG_NOSIGNAL);
        if (sent < 0 && errno == EAGAIN)
            break;
        if (sent < 0) {
            conn_fail(conn, "send", errno);
            return;
        }
        conn->out_sent += (size_t)sent;
    }
    uint32_t events = EPOLLIN | (conn->out_sent < conn->out->len ? (uint32_t)EPOLLOUT : 0u);
    loop_watch(load->loop, conn->fd, events, conn_ready, conn, NULL);
}

static void write_request(struct load_conn *conn)
{
    static const char body[] = "{\"title\":\"a user's write\",\"n\":1}";
    const struct load *load = conn->stream->load;
    const struct request *record = record_of(conn);
    g_string_printf(conn->out, "%s %s/%s/%u HTTP/1.1\r\nHost: %s\r\nCookie: uid=%u\r\nX-Request-Id: %s-%u\r\n",
                    record->post ? "POST" : "GET", conn->target->prefix, conn->stream->id.name,
                    (unsigned)(conn->pick >> 32 & 0xfff), conn->target->host, record->user, load->log.tag, record->seq);
    if (!conn->keep)
        g_string_append(conn->out, "Connection: close\r\n");
    if (record->post)
        g_string_append_printf(conn->out, "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                               sizeof body - 1, body);
    else
        g_string_append(conn->out, "\r\n");
    conn->out_sent = 0;
    httpmsg_init(&conn->msg, true);
    conn->state = CONN_WAITING;
}

static void conn_read(struct load_conn *conn)
{
    char bytes[4096];
    ssize_t got = recv(conn->fd, bytes, sizeof bytes, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got < 0) {
        conn_fail(conn, "receive", errno);
        return;
    }
    enum httpmsg_state state = got == 0 ? httpmsg_eof(&conn->msg) : httpmsg_feed(&conn->msg, bytes, (size_t)got);
    if (state == HTTPMSG_DONE)
        conn_done(conn);
    else if (state == HTTPMSG_BAD && got == 0)
        conn_fail(conn, httpmsg_begun(&conn->msg) ? "closed within the answer" : "closed without an answer", 0);
    else if (state == HTTPMSG_BAD)
        conn_fail(conn, "not an answer that is understood", 0);
}

static void conn_ready(void *data, int fd, uint32_t events)
{
    struct load_conn *conn = data;
    int err = 0;
    socklen_t size = sizeof err;
    switch (conn->state) {
    case CONN_CONNECTING:
        getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &size);
        if (err != 0) {
            conn_fail(conn, "connect", err);
            return;
        }
        write_request(conn);
        conn_send(conn);
        return;
    case CONN_WAITING:
        if (events & EPOLLOUT)
            conn_send(conn);
        else
            conn_read(conn);
        return;
    case CONN_IDLE: /* the edge has ended it, or speaks out of turn */
        conn_free(conn);
        return;
    case CONN_RESOLVING:
        return;
    }
}

static void conn_connect(struct load_conn *conn, struct in_addr address)
{
    const struct load *load = conn->stream->load;
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_port = load->port, .sin_addr = address};
    int on = 1;
    inet_ntop(AF_INET, &address, record_of(conn)->address, sizeof record_of(conn)->address);
    conn->state = CONN_CONNECTING;
    conn->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(conn->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (conn->fd < 0 || (connect(conn->fd, (struct sockaddr *)&sin, sizeof sin) != 0 && errno != EINPROGRESS))
        conn_fail(conn, "connect", errno);
    else
        loop_watch(load->loop, conn->fd, EPOLLOUT, conn_ready, conn, NULL);
}

static void resolved(void *data, const struct load_addresses *addresses, const char *error)
{
    g_autofree struct lookup *lookup = data;
    struct load_conn *conn = lookup->conn;
    if (conn == NULL)
        return;
    conn->lookup = NULL;
    if (addresses == NULL) {
        g_autofree char *text = g_strdup_printf("resolve: %s", error);
        conn_fail(conn, text, 0);
        return;
    }
    conn_connect(conn, addresses->at[conn->pick % addresses->len]);
}

/* A connection finds its edge: fixed, remembered, or asked for. */
static void conn_locate(struct load_conn *conn)
{
    struct load *load = conn->stream->load;
    const struct load_addresses *known = &conn->target->addresses;
    if (load->fixed.s_addr != 0) {
        conn_connect(conn, load->fixed);
    } else if (strcmp(conn->stream->id.client, "stubborn") == 0) {
        if (known->len == 0)
            conn_fail(conn, "resolve: no answer since the start", 0);
        else
            conn_connect(conn, known->at[conn->user_index % known->len]);
    } else {
        conn->lookup = g_new(struct lookup, 1);
        conn->lookup->conn = conn;
        load_resolve(load->resolver, conn->target->host, resolved, conn->lookup);
    }
}

/* Without a log only what is in flight, and the address of kept connections, is looked at again: a ring is enough. */
static guint new_record(struct load_stream *stream, uint32_t user_index, int64_t due_us, uint64_t pick)
{
    struct load *load = stream->load;
    GArray *records = load->log.requests;
    struct request record = {.scheduled_us = due_us + load->wall_offset_us,
                             .seq = load->seq++,
                             .user = stream->user_base + user_index,
                             .stream = stream->index,
                             .post = pick % 1000 < load->post_permille};
    if (load->keep_records || records->len < LOAD_RING) {
        g_array_append_val(records, record);
        return records->len - 1;
    }
    g_array_index(records, struct request, record.seq % LOAD_RING) = record;
    return record.seq % LOAD_RING;
}

static struct load_conn *conn_new(struct load_stream *stream, uint32_t user_index)
{
    struct load_conn *conn = g_new0(struct load_conn, 1);
    *conn = (struct load_conn){.stream = stream, .fd = -1, .user_index = user_index, .out = g_string_new(NULL)};
    conn->link.data = conn;
    conn->target = &g_array_index(stream->targets, struct load_target, user_index % stream->targets->len);
    if (strcmp(stream->id.client, "keepalive") == 0 && stream->kept[user_index] == NULL) {
        conn->keep = true;
        stream->kept[user_index] = conn;
    }
    return conn;
}

void load_request(struct load_stream *stream, int64_t due_us)
{
    /* 7919 is a prime: every user once in each round, neighbours far apart */
    uint32_t user_index = (uint32_t)((uint64_t)stream->turn++ * 7919 % stream->users);
    uint64_t pick = load_random(&stream->rng);
    struct load_conn *conn = stream->kept[user_index];
    bool reused = conn != NULL && conn->state == CONN_IDLE;
    if (!reused)
        conn = conn_new(stream, user_index);
    conn->due_us = due_us;
    conn->pick = pick;
    guint before = conn->record;
    conn->record = new_record(stream, user_index, due_us, pick);
    g_queue_push_tail_link(&stream->load->in_flight, &conn->link);
    stream->sent++;
    if (!reused) {
        conn_locate(conn);
        return;
    }
    struct request *record = record_of(conn);
    record->reused = true;
    g_strlcpy(record->address, g_array_index(stream->load->log.requests, struct request, before).address,
              sizeof record->address);
    write_request(conn);
    conn_send(conn);
}

void load_expire(struct load *load, int64_t now_us)
{
    struct load_conn *conn;
    while ((conn = g_queue_peek_head(&load->in_flight)) != NULL && now_us - conn->due_us >= load->timeout_us)
        conn_fail(conn, timeout_texts[conn->state], 0);
}

static void stubborn_resolved(void *data, const struct load_addresses *addresses, const char *error)
{
    struct load_target *target = data;
    (void)error; /* asked again in the next second; until then requests fail and say so */
    if (addresses != NULL && target->addresses.len == 0)
        target->addresses = *addresses;
}

void load_stubborn_resolve(struct load_stream *stream)
{
    if (strcmp(stream->id.client, "stubborn") != 0 || stream->load->resolver == NULL)
        return;
    for (guint i = 0; i < stream->targets->len; i++) {
        struct load_target *target = &g_array_index(stream->targets, struct load_target, i);
        if (target->addresses.len == 0)
            load_resolve(stream->load->resolver, target->host, stubborn_resolved, target);
    }
}
