/* test_api_flood.c: a plan on the operators' listener starts in time while strangers hold slow connections on both
 * listeners and a flood runs on the agents': of strangers who connect anew for each request, and of an edge with a
 * token that reports as fast as it can. Figures are printed; the rates are what this machine reached, flooders
 * included.
 */
#include "core/loop.h"
#include "tests/unit/served_case.h"
#include "tests/unit/unit.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define SLOW 600    /* on each listener: more than operators may have */
#define FLOODERS 64 /* connections of each flood */
#define STARTS 20
#define START_MAX_US 200000

/* Answers that flooders got, connections that the slow ones have open; shared with the children. */
struct tally {
    _Atomic uint64_t strangers, reports;
    _Atomic unsigned slow;
};
static struct tally *tally;

static int connect_fast(int port)
{
    struct sockaddr_in sa = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    connect(fd, (struct sockaddr *)&sa, sizeof sa); /* EINPROGRESS: poll tells when */
    return fd;
}

/* ---- what the children do, until they are killed ---- */

/* Each connection sends its request, waits for the answer and begins again: on a new connection when the other side has
 * closed this one. */
static void flood(int port, const char *request, _Atomic uint64_t *answers)
{
    struct pollfd polls[FLOODERS];
    char buffer[4096];
    for (int i = 0; i < FLOODERS; i++)
        polls[i] = (struct pollfd){.fd = connect_fast(port), .events = POLLOUT};
    for (;;) {
        poll(polls, FLOODERS, -1);
        for (int i = 0; i < FLOODERS; i++) {
            struct pollfd *p = &polls[i];
            ssize_t n = -1;
            if (p->revents == 0)
                continue;
            if ((p->revents & POLLOUT) != 0 && (p->revents & (POLLERR | POLLHUP)) == 0) {
                n = send(p->fd, request, strlen(request), MSG_NOSIGNAL);
                p->events = POLLIN;
            } else if ((p->revents & POLLIN) != 0 && (n = recv(p->fd, buffer, sizeof buffer, 0)) > 0) {
                atomic_fetch_add(answers, 1);
                p->events = POLLOUT;
            }
            if (n <= 0) {
                close(p->fd);
                *p = (struct pollfd){.fd = connect_fast(port), .events = POLLOUT};
            }
        }
    }
}

/* SLOW connections on each listener that send a byte of a header now and then; who is cut off comes again. */
static void be_slow(void)
{
    static struct pollfd polls[2 * SLOW];
    const int ports[] = {served.port, served.agents_port};
    char buffer[64];
    for (int i = 0; i < 2 * SLOW; i++)
        polls[i] = (struct pollfd){.fd = connect_fast(ports[i % 2]), .events = POLLIN};
    for (;;) {
        unsigned open = 0;
        poll(polls, 2 * SLOW, 200);
        for (int i = 0; i < 2 * SLOW; i++) {
            bool gone = polls[i].revents != 0 && recv(polls[i].fd, buffer, sizeof buffer, 0) <= 0;
            if (gone || (send(polls[i].fd, "G", 1, MSG_NOSIGNAL) < 0 && errno != EAGAIN)) {
                close(polls[i].fd);
                polls[i] = (struct pollfd){.fd = connect_fast(ports[i % 2]), .events = POLLIN};
            } else {
                open++;
            }
        }
        atomic_store(&tally->slow, open);
    }
}

static pid_t child(void)
{
    pid_t pid = fork();
    if (pid == 0)
        prctl(PR_SET_PDEATHSIG, SIGKILL);
    return pid;
}

/* ---- the measurement ---- */

static int64_t measure(const char *token, const char *what)
{
    int64_t took_us[STARTS];
    uint64_t strangers = atomic_load(&tally->strangers), reports = atomic_load(&tally->reports);
    int64_t start = loop_now_us();
    for (int i = 0; i < STARTS; i++)
        run_pop_plan(token, i, &took_us[i]);
    double seconds = (double)(loop_now_us() - start) / 1e6;
    int64_t median_us = median(took_us, STARTS);
    printf("%s: a plan starts in %.1f ms (median of %d, slowest %.1f ms); %u slow connections, %.0f requests/s of "
           "strangers, %.0f reports/s\n",
           what, (double)median_us / 1e3, STARTS, (double)took_us[STARTS - 1] / 1e3, atomic_load(&tally->slow),
           (double)(atomic_load(&tally->strangers) - strangers) / seconds,
           (double)(atomic_load(&tally->reports) - reports) / seconds);
    return median_us;
}

static void wait_for(bool (*ready)(void))
{
    int64_t until_us = loop_now_us() + 30 * G_USEC_PER_SEC;
    while (!ready()) {
        ck_assert_int_lt(loop_now_us(), until_us);
        poll(NULL, 0, 10);
    }
}

static bool flood_runs(void)
{
    return atomic_load(&tally->slow) > SLOW && atomic_load(&tally->strangers) > 1000 &&
           atomic_load(&tally->reports) > 1000;
}

START_TEST(a_plan_starts_in_time_amid_a_flood)
{
    tally = mmap(NULL, sizeof *tally, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    served_apply_site(&served);
    apply_pop_plans();
    g_autofree char *operator= served_token(&served, "oscar", "operator"),
                    *edge = served_token(&served, "edge-1", "agent");
    g_autofree char *body = g_strdup(
        "{\"edge\":\"edge-1\",\"cluster\":\"two-rooms\",\"promised\":65536,\"applied\":{\"epoch\":65536,\"generation\":"
        "2},"
        "\"state\":\"applied\",\"error\":null,\"window_us\":1000000,\"counters\":[],\"origins\":[],\"probes\":[],"
        "\"events\":[]}");
    g_autofree char *report = g_strdup_printf("POST /agent/v1/edges/edge-1/report HTTP/1.1\r\nHost: localhost\r\n"
                                              "Authorization: Bearer %s\r\nContent-Length: %zu\r\n\r\n%s",
                                              edge, strlen(body), body);
    measure(operator, "quiet");
    pid_t pids[3];
    if ((pids[0] = child()) == 0)
        be_slow();
    if ((pids[1] = child()) == 0)
        flood(served.agents_port, "GET /agent/v1/edges/edge-1/table HTTP/1.1\r\nHost: localhost\r\n\r\n",
              &tally->strangers);
    if ((pids[2] = child()) == 0)
        flood(served.agents_port, report, &tally->reports);
    wait_for(flood_runs);
    int64_t median_us = measure(operator, "flood");
    int64_t start = loop_now_us();
    ck_assert_uint_eq(served_local(&served, "GET", "/v1/status", NULL, NULL, NULL), 200);
    printf("the local socket answers status in %.1f ms\n", (double)(loop_now_us() - start) / 1e3);
    for (int i = 0; i < 3; i++) {
        kill(pids[i], SIGKILL);
        waitpid(pids[i], NULL, 0);
    }
    ck_assert_int_le(median_us, START_MAX_US);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_checked_fixture(tcase, served_setup, served_teardown);
    tcase_set_timeout(tcase, 200);
    tcase_add_test(tcase, a_plan_starts_in_time_amid_a_flood);
}

int main(void)
{
    struct rlimit files = {8192, 8192};
    setrlimit(RLIMIT_NOFILE, &files);
    return unit_run("api_flood", add);
}
