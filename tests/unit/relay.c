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
#define UPDATE_OPCODE 5 /* RFC 2136 1.3 */

struct pair {
    int client, server;       /* -1: unused */
    GByteArray *coming;       /* from the client: the start of a message */
    bool deaf;                /* the server's next bytes are lost */
    struct relay_harm behind; /* .call is for its next bytes; NULL: none */
};

struct relay {
    struct dnsd *server;
    struct endpoint endpoint;
    pthread_t thread;
    pthread_mutex_t lock; /* harm, armed */
    struct relay_harm harm;
    bool armed;
    atomic_int pid; /* of the server when harm was armed */
    atomic_uint updates, largest;
    int stop_fd, udp, tcp, upstream; /* upstream: UDP to the server */
    struct pair pairs[PAIRS];
    struct sockaddr_storage clients[1 << 16]; /* by id of the question */
};

static int server_socket(const struct relay *relay, int type)
{
    struct sockaddr_storage address;
    socklen_t size = endpoint_sockaddr(&relay->server->endpoint, &address);
    int fd = socket(AF_INET, type, 0);
    if (connect(fd, (struct sockaddr *)&address, size) == 0)
        return fd;
    close(fd);
    return -1;
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
    int client = accept(relay->tcp, NULL, NULL), server = server_socket(relay, SOCK_STREAM);
    for (unsigned i = 0; server >= 0 && i < PAIRS; i++) {
        if (relay->pairs[i].client >= 0)
            continue;
        relay->pairs[i] = (struct pair){client, server, g_byte_array_new(), false, {0}};
        return;
    }
    close(client); /* nobody is there, or too many came */
    close(server);
}

static void pair_close(struct pair *pair)
{
    close(pair->client);
    close(pair->server);
    g_byte_array_unref(pair->coming);
    *pair = (struct pair){.client = -1, .server = -1};
}

/* With RST, so that neither side takes it for an orderly end. */
static void pair_reset(struct pair *pair)
{
    const struct linger linger = {.l_onoff = 1};
    setsockopt(pair->client, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    setsockopt(pair->server, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    pair_close(pair);
}

static void send_whole(int fd, const uint8_t *bytes, size_t size)
{
    for (size_t at = 0; at < size;) {
        ssize_t n = send(fd, bytes + at, size - at, MSG_NOSIGNAL);
        if (n <= 0)
            return;
        at += (size_t)n;
    }
}

/* The harm that is meant for this message, if any. */
static bool take_harm(struct relay *relay, struct relay_harm *harm)
{
    pthread_mutex_lock(&relay->lock);
    if (relay->harm.nth > 0)
        relay->harm.nth--;
    bool mine = relay->armed && relay->harm.nth == 0;
    *harm = relay->harm;
    relay->armed = relay->armed && (!mine || harm->what == HARM_RCODE);
    pthread_mutex_unlock(&relay->lock);
    return mine;
}

static void answer_rcode(const struct pair *pair, const uint8_t *message, uint8_t rcode)
{
    uint8_t answer[2 + 12] = {0, 12, message[2], message[3], UPDATE_OPCODE << 3 | 0x80, rcode};
    send_whole(pair->client, answer, sizeof answer);
}

/* message: behind its size, 2 bytes. False: the pair is gone. */
static bool pass_update(struct relay *relay, struct pair *pair, const uint8_t *message, size_t size)
{
    struct relay_harm harm;
    bool harmed = take_harm(relay, &harm);
    if (harmed && harm.what == HARM_RCODE) {
        answer_rcode(pair, message, harm.rcode);
        return true;
    }
    if (harmed && harm.what == HARM_CUT) {
        send_whole(pair->server, message, size / 2);
        pair_reset(pair);
        return false;
    }
    if (harmed && harm.what == HARM_CALL)
        harm.call(harm.data);
    if (harmed && harm.what == HARM_FREEZE) {
        kill(atomic_load(&relay->pid), SIGSTOP);
        waitpid(atomic_load(&relay->pid), NULL, WUNTRACED);
    }
    pair->deaf = harmed && harm.what == HARM_DEAF;
    if (harmed && harm.what == HARM_BEHIND)
        pair->behind = harm;
    atomic_fetch_add(&relay->updates, 1);
    if (size - 2 > atomic_load(&relay->largest))
        atomic_store(&relay->largest, (unsigned)(size - 2));
    send_whole(pair->server, message, size);
    return true;
}

static void pass_request(struct relay *relay, struct pair *pair)
{
    static _Thread_local uint8_t bytes[70000];
    ssize_t got = recv(pair->client, bytes, sizeof bytes, MSG_DONTWAIT);
    if (got <= 0) {
        pair_close(pair);
        return;
    }
    g_byte_array_append(pair->coming, bytes, (guint)got);
    while (pair->coming->len > 2) {
        const uint8_t *message = pair->coming->data;
        guint size = 2u + (guint)(message[0] << 8 | message[1]);
        if (pair->coming->len < size)
            return;
        bool update = size >= 2 + 12 && (message[4] >> 3 & 15) == UPDATE_OPCODE;
        if (update && !pass_update(relay, pair, message, size))
            return;
        if (!update)
            send_whole(pair->server, message, size);
        g_byte_array_remove_range(pair->coming, 0, size);
    }
}

static void pass_reply(struct pair *pair)
{
    static _Thread_local uint8_t bytes[70000];
    ssize_t got = recv(pair->server, bytes, sizeof bytes, MSG_DONTWAIT);
    if (got > 0 && pair->behind.call != NULL) {
        pair->behind.call(pair->behind.data);
        pair->behind.call = NULL;
    }
    if (got > 0 && !pair->deaf)
        send_whole(pair->client, bytes, (size_t)got);
    else if (got > 0)
        pair_reset(pair);
    else
        pair_close(pair);
}

static void *run(void *data)
{
    struct relay *relay = data;
    for (;;) {
        struct pollfd fds[4 + 2 * PAIRS] = {{.fd = relay->stop_fd, .events = POLLIN},
                                            {.fd = relay->udp, .events = POLLIN},
                                            {.fd = relay->upstream, .events = POLLIN},
                                            {.fd = relay->tcp, .events = POLLIN}};
        for (unsigned i = 0; i < PAIRS; i++) {
            fds[4 + 2 * i] = (struct pollfd){.fd = relay->pairs[i].client, .events = POLLIN};
            fds[5 + 2 * i] = (struct pollfd){.fd = relay->pairs[i].server, .events = POLLIN};
        }
        poll(fds, G_N_ELEMENTS(fds), -1);
        if (fds[0].revents != 0)
            return NULL;
        if (fds[1].revents != 0)
            pass_question(relay);
        if (fds[2].revents != 0)
            pass_answer(relay);
        for (unsigned i = 0; i < PAIRS; i++) {
            if (fds[4 + 2 * i].revents != 0)
                pass_request(relay, &relay->pairs[i]);
            if (fds[5 + 2 * i].revents != 0 && relay->pairs[i].server >= 0)
                pass_reply(&relay->pairs[i]);
        }
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
        relay->pairs[i] = (struct pair){.client = -1, .server = -1};
    pthread_mutex_init(&relay->lock, NULL);
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
    for (unsigned i = 0; i < PAIRS; i++)
        if (relay->pairs[i].client >= 0)
            pair_close(&relay->pairs[i]);
    pthread_mutex_destroy(&relay->lock);
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

void relay_arm(struct relay *relay, struct relay_harm harm)
{
    pthread_mutex_lock(&relay->lock);
    relay->harm = harm;
    relay->pid = relay->server->pid; /* here, on the test's thread, which may start the server anew later */
    relay->armed = true;
    pthread_mutex_unlock(&relay->lock);
}

void relay_calm(struct relay *relay)
{
    pthread_mutex_lock(&relay->lock);
    relay->armed = false;
    pthread_mutex_unlock(&relay->lock);
}

unsigned relay_updates(const struct relay *relay)
{
    return atomic_load(&relay->updates);
}

unsigned relay_largest(const struct relay *relay)
{
    return atomic_load(&relay->largest);
}
