#include "tests/unit/agent_server.h"

#include <arpa/inet.h>
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int listen_any(uint16_t *port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    ck_assert_int_eq(listen(fd, 64), 0);
    getsockname(fd, (struct sockaddr *)&at, &len);
    *port = ntohs(at.sin_port);
    return fd;
}

static void send_all(int fd, const char *bytes, size_t size)
{
    for (ssize_t n; size > 0 && (n = send(fd, bytes, size, MSG_NOSIGNAL)) > 0; size -= (size_t)n)
        bytes += n;
}

/* `said`: the length that the head speaks of. */
static void reply(int fd, const char *status, const char *body, size_t size, size_t said)
{
    g_autofree char *head =
        g_strdup_printf("HTTP/1.1 %s\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n", status, said);
    send_all(fd, head, strlen(head));
    send_all(fd, body, size);
}

static void reply_table(struct server *server, int fd, const char *head)
{
    unsigned long long epoch = 0, generation = 0;
    sscanf(strstr(head, "epoch="), "epoch=%llu&generation=%llu", &epoch, &generation);
    struct stamp stamp = server->table.manifest.stamp;
    json_t *json = manifest_to_json(&server->table.manifest);
    char *text = json_dumps(json, 0);
    size_t size = strlen(text);
    server->polls++;
    if (server->lie == STATUS_500)
        reply(fd, "500 Internal Server Error", "{\"detail\":\"out of order\"}", 25, 25);
    else if (server->lie == HALF_JSON)
        reply(fd, "200 OK", text, size / 2, size / 2);
    else if (server->lie == HALF_BODY)
        reply(fd, "200 OK", text, size / 2, size);
    else if (stamp.epoch == epoch && stamp.generation == generation)
        reply(fd, "204 No Content", "", 0, 0);
    else
        reply(fd, "200 OK", text, size, size);
    free(text);
    json_decref(json);
}

static void reply_part(struct server *server, int fd, const char *hash)
{
    for (unsigned i = 0; i < PARTS; i++) {
        gsize size;
        const char *bytes = g_bytes_get_data(server->table.parts[i], &size);
        if (!g_str_has_prefix(hash, server->table.manifest.hash[i]))
            continue;
        if (server->lie == WRONG_BYTES)
            reply(fd, "200 OK", "class private\n", 14, 14);
        else if (server->lie != NO_PARTS)
            reply(fd, "200 OK", size > 0 ? bytes : "", size, size);
        if (server->lie != NO_PARTS)
            return;
    }
    reply(fd, "404 Not Found", "{}", 2, 2);
}

static void serve(struct server *server, int fd)
{
    char head[65536];
    size_t len = 0;
    ssize_t n;
    const char *end = NULL, *body;
    while (end == NULL && (n = recv(fd, head + len, sizeof head - 1 - len, 0)) > 0) {
        len += (size_t)n;
        head[len] = '\0';
        end = strstr(head, "\r\n\r\n");
    }
    if (end == NULL)
        return;
    body = strstr(head, "Content-Length: ");
    size_t want = body != NULL ? strtoul(body + 16, NULL, 10) + (size_t)(end + 4 - head) : 0;
    while (len < MIN(want, sizeof head - 1) && (n = recv(fd, head + len, sizeof head - 1 - len, 0)) > 0)
        len += (size_t)n;
    head[len] = '\0';
    pthread_mutex_lock(&server->lock);
    if (server->lie == NO_ANSWER)
        server->polls++;
    else if (g_str_has_prefix(head, "POST ")) {
        g_autofree char *before = server->reports;
        server->reports = g_strconcat(before != NULL ? before : "", end + 4, "\n", NULL);
        reply(fd, "204 No Content", "", 0, 0);
    } else if (g_str_has_prefix(head, "GET /agent/v1/parts/"))
        reply_part(server, fd, head + strlen("GET /agent/v1/parts/"));
    else
        reply_table(server, fd, head);
    pthread_mutex_unlock(&server->lock);
}

static void *server_run(void *data)
{
    struct server *server = data;
    int fd;
    while ((fd = accept(server->listener, NULL, NULL)) >= 0) {
        serve(server, fd);
        close(fd);
    }
    return NULL;
}

void server_start(struct server *server, uint64_t epoch, uint64_t generation, const struct edge_table_text *text)
{
    *server = (struct server){.lie = NONE};
    pthread_mutex_init(&server->lock, NULL);
    edge_parts_init(&server->table, epoch, generation, text);
    server->listener = listen_any(&server->port);
    pthread_create(&server->thread, NULL, server_run, server);
}

void server_stop(struct server *server)
{
    shutdown(server->listener, SHUT_RDWR);
    pthread_join(server->thread, NULL);
    close(server->listener);
    edge_parts_clear(&server->table);
    g_clear_pointer(&server->reports, g_free);
}

void server_says(struct server *server, uint64_t epoch, uint64_t generation, const char *cluster,
                 const struct edge_table_text *text, enum lie lie)
{
    pthread_mutex_lock(&server->lock);
    edge_parts_clear(&server->table);
    edge_parts_init(&server->table, epoch, generation, text);
    g_strlcpy(server->table.manifest.cluster, cluster, sizeof server->table.manifest.cluster);
    server->lie = lie;
    server->polls = 0;
    g_clear_pointer(&server->reports, g_free);
    pthread_mutex_unlock(&server->lock);
}
