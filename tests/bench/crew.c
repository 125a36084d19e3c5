#include "tests/bench/crew.h"

#include <errno.h>
#include <fcntl.h>
#include <gnutls/gnutls.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/protocol.h"
#include "core/error.h"
#include "core/loop.h"
#include "schema/addr.h"
#include "schema/table.h"
#include "tests/bench/flags.h"

#define SOURCES 8 /* addresses that they come from: a server bounds the connections of one */
#define READ_SIZE 65536
#define EVENTS 256

struct member {
    struct crew *crew;
    unsigned number; /* of its name */
    const char *token;
    int fd;
    gnutls_session_t tls; /* NULL: none */
    GString *input;
    struct stamp have;
    char hash[PARTS][PART_HASH_SIZE]; /* of its table */
    bool lacks[PARTS];
    int fetching; /* part that was asked for; -1: the table was */
    bool done;    /* it has all that is new */
};
struct crew {
    struct member *members;
    unsigned n, left; /* who are not done */
    int epoll_fd;
    gnutls_certificate_credentials_t credentials;
    char *table;
    GHashTable *parts;
    uint64_t fetched;
    int64_t last_us;
};

static bool fail(GError **error, unsigned number, const char *what, const char *why)
{
    g_set_error(error, SB_ERROR, SB_ERROR_IO, "agent-%u: cannot %s: %s", number, what, why);
    return false;
}

/* ---- the wire ---- */

/* What is asked is short: it fits into the socket's buffer at once, or something is wrong. */
static bool send_all(struct member *m, const char *text, GError **error)
{
    size_t size = strlen(text);
    ssize_t sent = m->tls != NULL ? gnutls_record_send(m->tls, text, size) : send(m->fd, text, size, MSG_NOSIGNAL);
    return sent == (ssize_t)size || fail(error, m->number, "ask", sent < 0 ? g_strerror(errno) : "it is not taken");
}

/* Bytes, 0: nothing now, -1: the end. */
static ssize_t receive(struct member *m, char *bytes, size_t size)
{
    ssize_t got = m->tls != NULL ? gnutls_record_recv(m->tls, bytes, size) : recv(m->fd, bytes, size, 0);
    if (got > 0)
        return got;
    bool again = m->tls != NULL ? got == GNUTLS_E_AGAIN || got == GNUTLS_E_INTERRUPTED : got < 0 && errno == EAGAIN;
    return again ? 0 : -1;
}

static bool ask(struct member *m, const char *path, GError **error)
{
    g_autofree char *text = g_strdup_printf(
        "GET %s HTTP/1.1\r\nHost: bench\r\nAccept: */*\r\nAuthorization: Bearer %s\r\n\r\n", path, m->token);
    return send_all(m, text, error);
}

static bool ask_table(struct member *m, GError **error)
{
    g_autofree char *path = g_strdup_printf("/agent/v1/edges/agent-%u/table?epoch=%" G_GUINT64_FORMAT
                                            "&generation=%" G_GUINT64_FORMAT "&wait=%d",
                                            m->number, m->have.epoch, m->have.generation, AGENT_POLL_WAIT_S);
    m->fetching = -1;
    return ask(m, path, error);
}

/* ---- what comes ---- */

static bool fetch_next(struct member *m, GError **error)
{
    for (int part = 0; part < PARTS; part++) {
        g_autofree char *path = m->lacks[part] ? g_strdup_printf("/agent/v1/parts/%s", m->hash[part]) : NULL;
        if (path == NULL)
            continue;
        m->fetching = part;
        return ask(m, path, error);
    }
    m->done = true;
    m->crew->left--;
    m->crew->last_us = wall_now_us();
    return true;
}

static bool take_table(struct member *m, const char *body, GError **error)
{
    struct manifest manifest;
    json_t *json = json_loads(body, 0, NULL);
    bool ok = json != NULL && manifest_from_json(json, &manifest, error);
    json_decref(json);
    if (!ok)
        return error != NULL && *error != NULL ? false : fail(error, m->number, "read its table", body);
    for (int part = 0; part < PARTS; part++)
        m->lacks[part] = strcmp(m->hash[part], manifest.hash[part]) != 0;
    memcpy(m->hash, manifest.hash, sizeof m->hash);
    m->have = manifest.stamp;
    if (m->number == 1) {
        g_free(m->crew->table);
        m->crew->table = g_strdup(body);
    }
    return fetch_next(m, error);
}

static bool take_part(struct member *m, const char *body, size_t size, GError **error)
{
    m->lacks[m->fetching] = false;
    m->crew->fetched++;
    if (m->number == 1 && !g_hash_table_contains(m->crew->parts, m->hash[m->fetching]))
        g_hash_table_insert(m->crew->parts, g_strdup(m->hash[m->fetching]), g_bytes_new(body, size));
    return fetch_next(m, error);
}

static bool take_reply(struct member *m, unsigned status, const char *body, size_t size, GError **error)
{
    if (status == 204 && m->fetching < 0)
        return ask_table(m, error); /* a long time without news */
    if (status != 200) {
        g_autofree char *why = g_strdup_printf("status %u %.*s", status, (int)size, body);
        return fail(error, m->number, "have an answer", why);
    }
    if (m->fetching >= 0)
        return take_part(m, body, size, error);
    g_autofree char *text = g_strndup(body, size);
    return take_table(m, text, error);
}

/* Takes an answer from the input when it is whole. */
static bool take_input(struct member *m, GError **error)
{
    const char *end = strstr(m->input->str, "\r\n\r\n");
    if (end == NULL)
        return true;
    const char *length = strcasestr(m->input->str, "\r\ncontent-length:");
    size_t head = (size_t)(end + 4 - m->input->str);
    size_t size = length != NULL && length < end ? strtoul(length + 17, NULL, 10) : 0;
    if (m->input->len < head + size)
        return true;
    unsigned status = (unsigned)strtoul(m->input->str + strlen("HTTP/1.1 "), NULL, 10);
    g_autofree char *body = g_memdup2(m->input->str + head, size + 1);
    body[size] = '\0';
    g_string_erase(m->input, 0, (gssize)(head + size));
    return take_reply(m, status, body, size, error);
}

static bool hear(struct member *m, GError **error)
{
    char bytes[READ_SIZE];
    ssize_t got;
    while ((got = receive(m, bytes, sizeof bytes)) > 0)
        g_string_append_len(m->input, bytes, got);
    if (got < 0)
        return fail(error, m->number, "hear the server", "it has closed the connection");
    return take_input(m, error);
}

bool crew_ask(struct crew *crew, GError **error)
{
    crew->left = crew->n;
    for (unsigned i = 0; i < crew->n; i++) {
        crew->members[i].done = false;
        if (!ask_table(&crew->members[i], error))
            return false;
    }
    return true;
}

/* How many were heard; -1 with an error: one of them has failed; -1 without: a signal came. */
static int hear_some(struct crew *crew, int timeout_ms, GError **error)
{
    struct epoll_event events[EVENTS];
    int n = epoll_wait(crew->epoll_fd, events, EVENTS, timeout_ms);
    for (int i = 0; i < n; i++)
        if (!hear(events[i].data.ptr, error))
            return -1;
    return n;
}

bool crew_hear(struct crew *crew, GError **error)
{
    GError *failure = NULL;
    while (hear_some(crew, 0, &failure) > 0)
        ;
    if (failure != NULL)
        g_propagate_error(error, failure);
    return failure == NULL;
}

bool crew_wait(struct crew *crew, int64_t timeout_ms, int64_t *last_us, GError **error)
{
    int64_t until_us = loop_now_us() + timeout_ms * 1000;
    GError *failure = NULL;
    while (crew->left > 0) {
        int64_t left_us = until_us - loop_now_us();
        if (left_us > 0)
            hear_some(crew, (int)(left_us / 1000) + 1, &failure);
        if (failure != NULL) {
            g_propagate_error(error, failure);
            return false;
        }
        if (flags_cancelled)
            return false;
        if (left_us <= 0) {
            g_set_error(error, SB_ERROR, SB_ERROR_TIMEOUT, "%u of %u agents have no new table in time", crew->left,
                        crew->n);
            return false;
        }
    }
    *last_us = crew->last_us;
    return true;
}

/* ---- set-up ---- */

static bool join(struct crew *crew, struct member *m, const struct endpoint *server, GError **error)
{
    struct sockaddr_storage to, from = {0};
    struct endpoint source = *server;
    int one = 1;
    source.port = 0;
    source.addr.bytes[3] = (uint8_t)(200 + m->number % SOURCES);
    socklen_t to_len = endpoint_sockaddr(server, &to), from_len = endpoint_sockaddr(&source, &from);
    m->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(m->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (m->fd < 0 || bind(m->fd, (struct sockaddr *)&from, from_len) != 0 ||
        connect(m->fd, (struct sockaddr *)&to, to_len) != 0)
        return fail(error, m->number, "connect", g_strerror(errno));
    if (crew->credentials != NULL) {
        gnutls_init(&m->tls, GNUTLS_CLIENT);
        gnutls_set_default_priority(m->tls);
        gnutls_credentials_set(m->tls, GNUTLS_CRD_CERTIFICATE, crew->credentials);
        gnutls_transport_set_int(m->tls, m->fd);
        int rc = gnutls_handshake(m->tls);
        if (rc != 0)
            return fail(error, m->number, "speak TLS", gnutls_strerror(rc));
    }
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = m};
    int flags = fcntl(m->fd, F_GETFL);
    if (fcntl(m->fd, F_SETFL, flags | O_NONBLOCK) != 0 || epoll_ctl(crew->epoll_fd, EPOLL_CTL_ADD, m->fd, &event) != 0)
        return fail(error, m->number, "be watched", g_strerror(errno));
    /* Who has not asked yet is a stranger: not too many of them at once. */
    return ask_table(m, error);
}

struct crew *crew_new(const char *server, bool tls, char *const *tokens, GError **error)
{
    struct endpoint endpoint;
    struct crew *crew = g_new0(struct crew, 1);
    crew->n = g_strv_length((char **)(uintptr_t)tokens);
    crew->members = g_new0(struct member, crew->n);
    crew->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    crew->parts = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)g_bytes_unref);
    crew->left = crew->n;
    if (tls)
        gnutls_certificate_allocate_credentials(&crew->credentials);
    for (unsigned i = 0; i < crew->n; i++)
        crew->members[i] =
            (struct member){.crew = crew, .number = i + 1, .token = tokens[i], .fd = -1, .input = g_string_new(NULL)};
    bool ok = endpoint_parse(server, &endpoint);
    g_assert(ok);
    for (unsigned i = 0; ok && i < crew->n; i++)
        ok = join(crew, &crew->members[i], &endpoint, error);
    if (ok)
        return crew;
    crew_free(crew);
    return NULL;
}

void crew_free(struct crew *crew)
{
    if (crew == NULL)
        return;
    for (unsigned i = 0; i < crew->n; i++) {
        struct member *m = &crew->members[i];
        if (m->tls != NULL)
            gnutls_deinit(m->tls);
        if (m->fd >= 0)
            close(m->fd);
        g_string_free(m->input, TRUE);
    }
    if (crew->credentials != NULL)
        gnutls_certificate_free_credentials(crew->credentials);
    close(crew->epoll_fd);
    g_hash_table_unref(crew->parts);
    g_free(crew->members);
    g_free(crew->table);
    g_free(crew);
}

const char *crew_table(const struct crew *crew)
{
    return crew->table;
}

GHashTable *crew_parts(const struct crew *crew)
{
    return crew->parts;
}

uint64_t crew_fetched(const struct crew *crew)
{
    return crew->fetched;
}
