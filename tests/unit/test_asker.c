/* asker.h against real sockets on loopback: who is well, who is not, and what is said of it. */
#include "gateway/asker.h"

#include "tests/unit/unit.h"

#include <pthread.h>
#include <string.h>
#include <sys/poll.h>

#define WAIT_US 20000000

/* A backend: for each connection, reads a request if it is HTTP, says its words, ends. */
struct backend {
    int fd;
    const char *says; /* NULL: says nothing, and does not end */
    bool reads;
    pthread_t thread;
    int stop[2];
    char heard[1024];
};

static int bound(int type, uint16_t *port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&at, &size), 0);
    *port = ntohs(at.sin_port);
    return fd;
}

static void serve(struct backend *b, int fd)
{
    size_t n = 0;
    ssize_t part = 1;
    b->heard[0] = '\0';
    while (b->reads && part > 0 && strstr(b->heard, "\r\n\r\n") == NULL && n < sizeof b->heard - 1) {
        part = read(fd, b->heard + n, sizeof b->heard - 1 - n);
        n += part > 0 ? (size_t)part : 0;
        b->heard[n] = '\0';
    }
    for (const char *c = b->says; *c != '\0'; c++) /* byte by byte */
        if (send(fd, c, 1, MSG_NOSIGNAL) != 1)
            break;
}

static void *run(void *context)
{
    struct backend *b = context;
    struct pollfd fds[] = {{.fd = b->fd, .events = POLLIN}, {.fd = b->stop[0], .events = POLLIN}};
    int silent = -1;
    while (poll(fds, 2, -1) > 0 && fds[1].revents == 0) {
        int fd = accept(b->fd, NULL, NULL);
        if (fd < 0)
            continue;
        if (b->says != NULL) {
            serve(b, fd);
            shutdown(fd, SHUT_WR);
            close(fd);
        } else {
            close(silent);
            silent = fd;
        }
    }
    close(silent);
    return NULL;
}

static uint16_t backend_start(struct backend *b, const char *says, bool reads)
{
    uint16_t port;
    *b = (struct backend){.says = says, .reads = reads};
    b->fd = bound(SOCK_STREAM, &port);
    ck_assert_int_eq(listen(b->fd, 16), 0);
    ck_assert_int_eq(pipe(b->stop), 0);
    ck_assert_int_eq(pthread_create(&b->thread, NULL, run, b), 0);
    return port;
}

static void backend_stop(struct backend *b)
{
    ck_assert_int_eq(write(b->stop[1], "", 1), 1);
    pthread_join(b->thread, NULL);
    close(b->fd);
    close(b->stop[0]);
    close(b->stop[1]);
}

/* ---- one that asks ---- */

struct asked {
    struct loop *loop;
    struct loop_timer *late;
    struct asker *asker;
    int64_t wait_us;
    char *why; /* "": it is well; NULL: no answer */
    unsigned answers, lates, rounds;
};

/* Asks again from within its answer; the last time, is freed there. */
static void on_answer(void *data, const char *why)
{
    struct asked *a = data;
    g_autofree char *before = a->why;
    a->why = g_strdup(why != NULL ? why : "");
    ck_assert_msg(before == NULL || strcmp(before, a->why) == 0, "found %s, then %s", before, a->why);
    if (++a->answers < a->rounds) {
        asker_start(a->asker);
    } else {
        g_clear_pointer(&a->asker, asker_free);
        loop_stop(a->loop);
    }
}

/* Asks again while a question is under way; every other time, behind it. */
static void on_late(void *data)
{
    struct asked *a = data;
    if (++a->lates == a->rounds) {
        loop_stop(a->loop);
        return;
    }
    if (a->lates % 2 == 0)
        asker_stop(a->asker);
    asker_start(a->asker);
    loop_timer_arm(a->late, loop_now_us() + a->wait_us);
}

static struct asker_question question(enum asker_kind kind, uint16_t port)
{
    struct asker_question q = {.kind = kind, .at.port = port};
    ck_assert(addr_parse("127.0.0.1", &q.at.addr));
    return q;
}

/* Asks four times, or gives up so often; a->why is g_free'd by the caller. */
static void ask(struct asked *a, const struct asker_question *q, int64_t wait_us)
{
    *a = (struct asked){.loop = loop_new(NULL), .wait_us = wait_us, .rounds = 4};
    a->late = loop_timer_new(a->loop, on_late, a);
    a->asker = asker_new(a->loop, q, on_answer, a);
    asker_start(a->asker);
    ck_assert_uint_eq(a->answers, 0); /* not before it has returned */
    loop_timer_arm(a->late, loop_now_us() + wait_us);
    loop_run(a->loop);
    asker_free(a->asker);
    loop_timer_free(a->late);
    loop_free(a->loop);
}

static void check(const struct asker_question *q, const char *expected)
{
    struct asked a;
    ask(&a, q, WAIT_US);
    ck_assert_msg(a.why != NULL && strcmp(a.why, expected) == 0, "found %s, expected %s", a.why, expected);
    ck_assert_uint_eq(a.answers, a.rounds);
    g_free(a.why);
}

/* ---- tests ---- */

START_TEST(connections_are_taken)
{
    struct backend b;
    uint16_t port = backend_start(&b, NULL, false);
    struct asker_question q = question(ASKER_TCP, port);
    check(&q, "");
    backend_stop(&b);
    check(&q, "Connection refused");
}
END_TEST

static const struct answer {
    const char *says, *why;
} answers[] = {
    {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", ""},
    {"HTTP/1.0 204\n", ""},
    {"HTTP/1.1 399 x\r\n", ""},
    {"HTTP/1.1 199 x\r\n", "HTTP 199"},
    {"HTTP/1.1 400 x\r\n", "HTTP 400"},
    {"HTTP/1.1 503 Service Unavailable\r\n\r\n", "HTTP 503"},
    {"SSH-2.0-x\r\n", "11 bytes that are no HTTP"},
    {"HTTP/2 200\r\n", "12 bytes that are no HTTP"},
    {"", "0 bytes that are no HTTP"},
    {"HTTP/1.1 200", ""}, /* ended behind it */
};

START_TEST(http_is_answered)
{
    struct backend b;
    struct asker_question q = question(ASKER_HTTP, backend_start(&b, answers[_i].says, true));
    q.path = "/health";
    q.host = "home.example.test";
    check(&q, answers[_i].why);
    backend_stop(&b);
    ck_assert_str_eq(b.heard, "GET /health HTTP/1.1\r\nHost: home.example.test\r\nUser-Agent: signalbox-gateway\r\n"
                              "Connection: close\r\n\r\n");
}
END_TEST

START_TEST(a_line_without_end)
{
    struct backend b;
    g_autofree char *endless = g_strnfill(100000, 'x');
    struct asker_question q = question(ASKER_HTTP, backend_start(&b, endless, true));
    check(&q, "512 bytes that are no HTTP");
    backend_stop(&b);
}
END_TEST

/* Silence has no answer: who asked gives up; and may ask again, or be freed, in the middle of it. */
START_TEST(silence_is_given_up)
{
    struct backend b;
    struct asked a;
    struct asker_question q = question(ASKER_HTTP, backend_start(&b, NULL, false));
    ask(&a, &q, 20000);
    ck_assert_ptr_null(a.why);
    ck_assert_uint_eq(a.lates, a.rounds);
    backend_stop(&b);
}
END_TEST

static void *echo(void *context)
{
    struct sockaddr_in from;
    socklen_t size = sizeof from;
    char byte[16];
    for (ssize_t n; (n = recvfrom(*(int *)context, byte, sizeof byte, 0, (struct sockaddr *)&from, &size)) > 0;) {
        if (byte[0] == 'q')
            break;
        sendto(*(int *)context, byte, (size_t)n, 0, (struct sockaddr *)&from, size);
    }
    return NULL;
}

START_TEST(datagrams_are_answered)
{
    uint16_t port;
    pthread_t thread;
    int fd = bound(SOCK_DGRAM, &port);
    struct asker_question q = question(ASKER_UDP, port), last = q;
    ck_assert_int_eq(pthread_create(&thread, NULL, echo, &fd), 0);
    check(&q, "");
    struct asked a;
    last.say = "q"; /* ends it, and has no answer */
    ask(&a, &last, 20000);
    ck_assert_ptr_null(a.why);
    pthread_join(thread, NULL);
    close(fd);
    check(&q, "Connection refused");
}
END_TEST

START_TEST(who_cannot_be_reached_at_all)
{
    struct asker_question q = {.kind = ASKER_TCP, .at.port = 80};
    struct asked a;
    ck_assert(addr_parse("255.255.255.255", &q.at.addr)); /* connect(2) itself refuses */
    ask(&a, &q, WAIT_US);
    ck_assert_msg(a.why != NULL && a.why[0] != '\0', "found %s", a.why);
    g_free(a.why);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, connections_are_taken);
    tcase_add_loop_test(tcase, http_is_answered, 0, G_N_ELEMENTS(answers));
    tcase_add_test(tcase, a_line_without_end);
    tcase_add_test(tcase, silence_is_given_up);
    tcase_add_test(tcase, datagrams_are_answered);
    tcase_add_test(tcase, who_cannot_be_reached_at_all);
}

int main(void)
{
    return unit_run("asker", add);
}
