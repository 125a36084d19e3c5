/* test_listener.c: nobody is left without an answer when all others are quiet: what a listener's thread may sleep over.
 *
 * Clients on a socket of this machine, one thread that asks for all of them. The paths: /hold stops the listener's
 * thread until it may go on, /park is parked until this test resumes it, all others are answered at once.
 */
#include "core/loop.h"
#include "server/api/listener.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <poll.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#define IDLE_US (300 * (int64_t)G_USEC_PER_SEC) /* far longer than a client waits here */
#define WAIT_MS 10000
#define BATCH 128 /* events that libmicrohttpd fetches at a time */
#define CLIENTS_MAX 400

static struct {
    struct listener *listener;
    char *folder, *socket;
    sem_t held, go_on, parked;
    struct request *request; /* that is parked */
    int clients[CLIENTS_MAX];
    GThread *tester;
} rig;

/* In the midst of libmicrohttpd's turn, behind its look for the resumed and before its look for events: its call comes
 * here. */
static _Atomic(struct request *) resume_in_turn;

static atomic_uint turns;

int epoll_wait(int fd, struct epoll_event *events, int n, int timeout_ms)
{
    atomic_fetch_add(&turns, 1);
    struct request *request = atomic_exchange(&resume_in_turn, NULL);
    if (request != NULL)
        request_resume(request);
    return (int)syscall(SYS_epoll_pwait, fd, events, n, timeout_ms, NULL, 0);
}

/* A look at libmicrohttpd's set and a change of it by two threads at once can abort the process. */
static _Atomic bool changed_by_other;

int epoll_ctl(int set, int op, int fd, struct epoll_event *event)
{
    if (op == EPOLL_CTL_DEL && g_thread_self() == rig.tester)
        atomic_store(&changed_by_other, true);
    return (int)syscall(SYS_epoll_ctl, set, op, fd, event);
}

/* ---- the listener's user ---- */

static void begin(void *data, struct request *request)
{
    (void)data;
    (void)request;
}

static void finish(void *data, struct request *request)
{
    (void)data;
    request->reply.status = 204;
}

static void handle(void *data, struct request *request)
{
    if (strcmp(request->path, "/hold") == 0) {
        sem_post(&rig.held);
        sem_wait(&rig.go_on);
    }
    if (strcmp(request->path, "/park") == 0) {
        ck_assert(request_park(request));
        rig.request = request;
        sem_post(&rig.parked);
        return;
    }
    finish(data, request);
}

static void set_up(unsigned connections_max)
{
    g_autoptr(GError) error = NULL;
    rig.tester = g_thread_self();
    rig.folder = g_dir_make_tmp("sb-listener-XXXXXX", &error);
    rig.socket = g_build_filename(rig.folder, "sock", NULL);
    sem_init(&rig.held, 0, 0);
    sem_init(&rig.go_on, 0, 0);
    sem_init(&rig.parked, 0, 0);
    struct listener_config config = {
        .name = "test",
        .fd = listen_unix(rig.socket, 0600, &error),
        .limits = {.connections_max = connections_max,
                   .strangers_max = connections_max,
                   .headers_us = IDLE_US,
                   .body_us = IDLE_US,
                   .answer_us = IDLE_US,
                   .idle_us = IDLE_US},
        .local = true,
        .begin = begin,
        .handle = handle,
        .finish = finish,
        .end = begin,
    };
    rig.listener = listener_new(&config, &error);
    ck_assert_msg(rig.listener != NULL, "%s", error != NULL ? error->message : "");
}

/* listener_free took the listener. */
static void clean_up(void)
{
    for (unsigned i = 0; i < CLIENTS_MAX; i++)
        if (rig.clients[i] > 0)
            close(rig.clients[i]);
    unit_remove_all(rig.folder);
    g_free(rig.socket);
    g_free(rig.folder);
}

static void tear_down(void)
{
    listener_quiesce(rig.listener);
    listener_free(rig.listener);
    clean_up();
}

/* ---- clients ---- */

static bool try_to_join(unsigned client)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    g_strlcpy(address.sun_path, rig.socket, sizeof address.sun_path);
    rig.clients[client] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return connect(rig.clients[client], (struct sockaddr *)&address, sizeof address) == 0;
}

static void join(unsigned client)
{
    ck_assert_msg(try_to_join(client), "client %u cannot connect: %s", client, g_strerror(errno));
}

static void ask(unsigned client, const char *path)
{
    g_autofree char *text = g_strdup_printf("GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", path);
    ck_assert_int_eq(send(rig.clients[client], text, strlen(text), MSG_NOSIGNAL), (int)strlen(text));
}

static bool answered(unsigned client, int wait_ms)
{
    static const char expected[] = "HTTP/1.1 204 ";
    struct pollfd ready = {.fd = rig.clients[client], .events = POLLIN};
    char answer[1024] = "";
    if (poll(&ready, 1, wait_ms) != 1)
        return false;
    ck_assert_int_gt(recv(rig.clients[client], answer, sizeof answer - 1, 0), 0);
    ck_assert_msg(g_str_has_prefix(answer, expected), "found %s, expected %s", answer, expected);
    return true;
}

static void wait_for(sem_t *what)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += WAIT_MS / 1000;
    ck_assert_int_eq(sem_timedwait(what, &until), 0);
}

/* ---- tests ---- */

/* All that libmicrohttpd fetches at a time, once or several times, and nothing behind it: by its own thread nobody
 * would be answered now. One more and one less are as good. */
START_TEST(clients_that_ask_at_once_are_answered)
{
    static const unsigned sizes[] = {BATCH, 2 * BATCH, 3 * BATCH, BATCH + 1, BATCH - 1, 1};
    unsigned n = sizes[_i];
    set_up(CLIENTS_MAX);
    for (unsigned i = 0; i <= n; i++) {
        join(i);
        ask(i, "/");
        ck_assert(answered(i, WAIT_MS));
    }
    ask(n, "/hold"); /* what comes while the thread is busy, it sees at once */
    wait_for(&rig.held);
    for (unsigned i = 0; i < n; i++)
        ask(i, "/");
    sem_post(&rig.go_on);
    int64_t until_us = loop_now_us() + (int64_t)WAIT_MS * 1000;
    for (unsigned i = 0; i < n; i++) {
        int64_t left_ms = (until_us - loop_now_us()) / 1000;
        ck_assert_msg(answered(i, (int)MAX(left_ms, 0)), "client %u of %u has no answer after %d ms", i, n, WAIT_MS);
    }
    tear_down();
}
END_TEST

START_TEST(who_is_resumed_in_the_midst_of_a_turn_is_answered)
{
    set_up(2);
    join(0);
    ask(0, "/park");
    wait_for(&rig.parked);
    join(1);
    ask(1, "/");
    ck_assert(answered(1, WAIT_MS));
    ck_assert(!answered(0, 0));
    atomic_store(&resume_in_turn, rig.request);
    ask(1, "/"); /* its answer is not taken yet: that would be an event, too */
    ck_assert(answered(0, WAIT_MS));
    ck_assert(answered(1, WAIT_MS));
    ck_assert_ptr_null(atomic_load(&resume_in_turn));
    tear_down();
}
END_TEST

START_TEST(who_waits_for_a_place_has_the_first_that_becomes_free)
{
    set_up(2);
    for (unsigned i = 0; i < 2; i++) {
        join(i);
        ask(i, "/");
        ck_assert(answered(i, WAIT_MS));
    }
    join(2);
    ask(2, "/");
    ck_assert(!answered(2, 0));
    close(rig.clients[0]);
    rig.clients[0] = 0;
    ck_assert(answered(2, WAIT_MS));
    tear_down();
}
END_TEST

/* The lowest descriptor that is free. */
static rlim_t next_descriptor(void)
{
    int fd = dup(rig.clients[0]);
    ck_assert_int_ge(fd, 0);
    close(fd);
    return (rlim_t)fd;
}

START_TEST(who_waits_for_a_descriptor_has_the_first_that_becomes_free)
{
    struct rlimit files, few;
    set_up(CLIENTS_MAX);
    join(0);
    ask(0, "/hold");
    wait_for(&rig.held);
    for (unsigned i = 1; i <= 2; i++) {
        join(i);
        ask(i, "/");
    }
    getrlimit(RLIMIT_NOFILE, &files);
    few = (struct rlimit){next_descriptor() + 1, files.rlim_max}; /* one more */
    setrlimit(RLIMIT_NOFILE, &few);
    sem_post(&rig.go_on);
    ck_assert(answered(0, WAIT_MS));
    ck_assert(answered(1, WAIT_MS));
    unsigned before = atomic_load(&turns);
    ck_assert(!answered(2, 100));
    ck_assert_uint_le(atomic_load(&turns) - before, 20); /* nor is it tried again and again */
    close(rig.clients[0]);
    rig.clients[0] = 0;
    ck_assert(answered(2, WAIT_MS));
    setrlimit(RLIMIT_NOFILE, &files);
    tear_down();
}
END_TEST

START_TEST(who_is_resumed_is_answered_before_the_listener_ends)
{
    set_up(2);
    join(0);
    ask(0, "/park");
    wait_for(&rig.parked);
    listener_quiesce(rig.listener);
    request_resume(rig.request);
    listener_free(rig.listener);
    ck_assert(answered(0, 0));
    clean_up();
}
END_TEST

START_TEST(who_is_connected_is_answered_by_a_listener_that_takes_nobody_new)
{
    set_up(2);
    join(0);
    ask(0, "/");
    ck_assert(answered(0, WAIT_MS));
    listener_quiesce(rig.listener);
    ck_assert(!try_to_join(1));
    ck_assert_int_eq(errno, ECONNREFUSED);
    ask(0, "/");
    ck_assert(answered(0, WAIT_MS));
    ck_assert(!atomic_load(&changed_by_other));
    listener_free(rig.listener);
    clean_up();
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_add_loop_test(tcase, clients_that_ask_at_once_are_answered, 0, 6);
    tcase_add_test(tcase, who_is_resumed_in_the_midst_of_a_turn_is_answered);
    tcase_add_test(tcase, who_waits_for_a_place_has_the_first_that_becomes_free);
    tcase_add_test(tcase, who_waits_for_a_descriptor_has_the_first_that_becomes_free);
    tcase_add_test(tcase, who_is_resumed_is_answered_before_the_listener_ends);
    tcase_add_test(tcase, who_is_connected_is_answered_by_a_listener_that_takes_nobody_new);
}

int main(void)
{
    return unit_run("listener", add_tests);
}
