#include "tests/unit/relay.h"

#include <check.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAIRS 8

struct relay {
    struct dnsd *server;
    struct endpoint endpoint;
    pthread_t thread;
    atomic_int armed;                         /* process to freeze, or 0 */
    int stop_fd, udp, tcp, upstream;          /* upstream: UDP to the server */
    int pairs[PAIRS][2];                      /* client, server; -1: unused */
    struct sockaddr_storage clients[1 << 16]; /* by id of the question */
};

static int server_socket(const struct relay *relay, int type)
{
    struct sockaddr_storage address;
    socklen_t size = endpoint_sockaddr(&relay->server->endpoint, &address);
    int fd = socket(AF_INET, type, 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, size), 0);
    return fd;
}

static int listening_socket(const struct relay *relay, int type)
{
    struct sockaddr_storage address;
    socklen_t size = endpoint_sockaddr(&relay->endpoint, &address);
    int fd = socket(AF_INET, type, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, size), 0);
    if (type == SOCK_STREAM)
        ck_assert_int_eq(listen(fd, PAIRS), 0);
    return fd;
}

static void pass_question(struct relay *relay)
{
    uint8_t bytes[4096];
    struct sockaddr_storage from;
    socklen_t from_size = sizeof from;
    ssize_t size = recvfrom(relay->udp, bytes, sizeof bytes, MSG_DONTWAIT, (struct sockaddr *)&from, &from_size);
    if (size < 2)
        return;
    relay->clients[bytes[0] << 8 | bytes[1]] = from;
    (void)!send(relay->upstream, bytes, (size_t)size, 0);
}

static void pass_answer(struct relay *relay)
{
    uint8_t bytes[4096];
    ssize_t size = recv(relay->upstream, bytes, sizeof bytes, MSG_DONTWAIT);
    if (size < 2)
        return;
    const struct sockaddr_storage *to = &relay->clients[bytes[0] << 8 | bytes[1]];
    (void)!sendto(relay->udp, bytes, (size_t)size, 0, (const struct sockaddr *)to, sizeof(struct sockaddr_in));
}

static void accept_pair(struct relay *relay)
{
    int client = accept(relay->tcp, NULL, NULL);
    for (unsigned i = 0; i < PAIRS; i++) {
        if (relay->pairs[i][0] >= 0)
            continue;
        relay->pairs[i][0] = client;
        relay->pairs[i][1] = server_socket(relay, SOCK_STREAM);
        return;
    }
    close(client);
}

static void pass_stream(struct relay *relay, int pair[2], unsigned from)
{
    static _Thread_local uint8_t bytes[70000];
    ssize_t size = recv(pair[from], bytes, sizeof bytes, MSG_DONTWAIT);
    pid_t pid = size > 0 && from == 0 ? atomic_exchange(&relay->armed, 0) : 0;
    if (pid > 0) {
        kill(pid, SIGSTOP);
        waitpid(pid, NULL, WUNTRACED);
    }
    if (size > 0 && send(pair[1 - from], bytes, (size_t)size, MSG_NOSIGNAL) == size)
        return;
    close(pair[0]);
    close(pair[1]);
    pair[0] = pair[1] = -1;
}

static void *run(void *data)
{
    struct relay *relay = data;
    for (;;) {
        struct pollfd fds[4 + 2 * PAIRS] = {{.fd = relay->stop_fd, .events = POLLIN},
                                            {.fd = relay->udp, .events = POLLIN},
                                            {.fd = relay->upstream, .events = POLLIN},
                                            {.fd = relay->tcp, .events = POLLIN}};
        for (unsigned i = 0; i < 2 * PAIRS; i++)
            fds[4 + i] = (struct pollfd){.fd = relay->pairs[i / 2][i % 2], .events = POLLIN};
        poll(fds, G_N_ELEMENTS(fds), -1);
        if (fds[0].revents != 0)
            return NULL;
        if (fds[1].revents != 0)
            pass_question(relay);
        if (fds[2].revents != 0)
            pass_answer(relay);
        for (unsigned i = 0; i < 2 * PAIRS; i++)
            if (fds[4 + i].revents != 0 && relay->pairs[i / 2][i % 2] == fds[4 + i].fd)
                pass_stream(relay, relay->pairs[i / 2], i % 2);
        if (fds[3].revents != 0)
            accept_pair(relay);
    }
}

struct relay *relay_new(struct dnsd *server)
{
    struct relay *relay = g_new0(struct relay, 1);
    relay->server = server;
    relay->endpoint = dnsd_free_port();
    relay->stop_fd = eventfd(0, 0);
    for (unsigned i = 0; i < PAIRS; i++)
        relay->pairs[i][0] = relay->pairs[i][1] = -1;
    relay->udp = listening_socket(relay, SOCK_DGRAM);
    relay->tcp = listening_socket(relay, SOCK_STREAM);
    relay->upstream = server_socket(relay, SOCK_DGRAM);
    ck_assert_int_eq(pthread_create(&relay->thread, NULL, run, relay), 0);
    return relay;
}

void relay_free(struct relay *relay)
{
    eventfd_write(relay->stop_fd, 1);
    pthread_join(relay->thread, NULL);
    for (unsigned i = 0; i < 2 * PAIRS; i++)
        if (relay->pairs[i / 2][i % 2] >= 0)
            close(relay->pairs[i / 2][i % 2]);
    close(relay->udp);
    close(relay->tcp);
    close(relay->upstream);
    close(relay->stop_fd);
    g_free(relay);
}

const struct endpoint *relay_endpoint(const struct relay *relay)
{
    return &relay->endpoint;
}

void relay_arm(struct relay *relay)
{
    atomic_store(&relay->armed, relay->server->pid);
}
