/* test_network: the lab's own network: what can be reached and what must not, how fast routing sees each kind of fault,
 * and that nothing is left after a crash. Builds a lab of its own (namespaces sb-n-...); needs root.
 *
 * Limits are twice what a quiet machine of two cores measures, which is what each test prints. BFD sees a silent fault
 * after 3 x 50 ms: of several in a test, all but one keep to BFD_LIMIT_MS.
 */
#include "core/error.h"
#include "core/fileio.h"
#include "core/loop.h"
#include "tests/lab/lab_fault.h"
#include "tests/lab/lab_net.h"
#include "tests/lab/lab_proc.h"
#include "tests/lab/lab_ready.h"
#include "tests/lab/lab_up.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROBE_US 5000
#define BEFORE_US 200000 /* probes before the fault */
#define AFTER_US 1500000 /* and after it */
#define SILENT_LIMIT_MS 400
#define BFD_LIMIT_MS 200
#define CARRIER_LIMIT_MS 200
#define WAIT_S 30

static struct lab lab;

#define must(call)                                                                                                     \
    do {                                                                                                               \
        g_autoptr(GError) error = NULL;                                                                                \
        if (!(call))                                                                                                   \
            ck_abort_msg("%s: %s", #call, error != NULL ? error->message : "failed");                                  \
    } while (0)

/* ---- probes: ICMP echo from inside a node ---- */

struct probe {
    int fd;
    uint16_t sent;
    int64_t sent_us[1024]; /* by sequence number */
    bool answered[1024];
    int64_t first_error_us; /* the network itself said no: ICMP unreachable */
};

static void probe_open(struct probe *probe, const char *node, const char *address)
{
    struct sockaddr_in peer = {.sin_family = AF_INET};
    *probe = (struct probe){0};
    inet_pton(AF_INET, address, &peer.sin_addr);
    must(lab_ns_enter(&lab, node, &error));
    probe->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_ICMP);
    lab_ns_leave();
    const int on = 1;
    ck_assert_int_ge(probe->fd, 0);
    ck_assert_int_eq(setsockopt(probe->fd, IPPROTO_IP, IP_RECVERR, &on, sizeof on), 0);
    if (connect(probe->fd, (struct sockaddr *)&peer, sizeof peer) != 0)
        probe->first_error_us = loop_now_us(); /* no route */
}

static void probe_send(struct probe *probe)
{
    struct icmphdr echo = {.type = ICMP_ECHO};
    echo.un.echo.sequence = htons(probe->sent);
    probe->sent_us[probe->sent] = loop_now_us();
    if (send(probe->fd, &echo, sizeof echo, 0) < 0 && probe->first_error_us == 0)
        probe->first_error_us = loop_now_us();
    probe->sent++;
}

static void probe_receive(struct probe *probe)
{
    struct icmphdr echo;
    for (;;) {
        ssize_t size = recv(probe->fd, &echo, sizeof echo, 0);
        if (size < 0 && errno == EAGAIN)
            return;
        if (size < 0 && probe->first_error_us == 0)
            probe->first_error_us = loop_now_us();
        if (size == sizeof echo && echo.type == ICMP_ECHOREPLY && ntohs(echo.un.echo.sequence) < probe->sent)
            probe->answered[ntohs(echo.un.echo.sequence)] = true;
    }
}

/* Probes until `until_us`, one each PROBE_US. */
static void probe_run(struct probe *probe, int64_t until_us)
{
    int64_t next_us = loop_now_us();
    while (loop_now_us() < until_us && probe->sent < G_N_ELEMENTS(probe->answered)) {
        if (loop_now_us() >= next_us) {
            probe_send(probe);
            next_us += PROBE_US;
        }
        int64_t left_us = next_us - loop_now_us();
        struct pollfd wait = {.fd = probe->fd, .events = POLLIN};
        struct timespec timeout = {.tv_nsec = left_us > 0 ? left_us * 1000 : 0};
        ppoll(&wait, 1, &timeout, NULL);
        probe_receive(probe);
    }
}

struct outcome {
    unsigned lost;     /* probes without an answer, from 100 ms before the fault on */
    double lost_ms;    /* from the first of them to the last */
    double refused_ms; /* from the fault until the network said unreachable; -1: it never did */
};

/* Probes still under way at the end do not count. */
static struct outcome probe_outcome(const struct probe *probe, int64_t at_us)
{
    int64_t first_us = 0, last_us = 0, begin_us = at_us - BEFORE_US / 2, end_us = loop_now_us() - 100000;
    struct outcome out = {.refused_ms = -1};
    for (unsigned i = 0; i < probe->sent; i++) {
        if (probe->answered[i] || probe->sent_us[i] < begin_us || probe->sent_us[i] > end_us)
            continue;
        first_us = out.lost++ == 0 ? probe->sent_us[i] : first_us;
        last_us = probe->sent_us[i];
    }
    if (out.lost > 0)
        out.lost_ms = (double)(last_us - first_us + PROBE_US) / 1000;
    if (probe->first_error_us != 0)
        out.refused_ms = (double)(probe->first_error_us - at_us) / 1000;
    return out;
}

static bool reaches(const char *node, const char *address)
{
    struct probe probe;
    probe_open(&probe, node, address);
    probe_run(&probe, loop_now_us() + 60000);
    close(probe.fd);
    return probe.answered[0];
}

/* ---- faults ---- */

static void heal(const char *selector)
{
    json_t *answer;
    must((answer = fault_wire(&lab, "heal", NULL, selector, &error)) != NULL);
    json_decref(answer);
    must(ready_wait(&lab, ready_routing, WAIT_S, &error));
}

static struct outcome fault_measure(const char *verb, const char *argument, const char *selector, const char *node,
                                    const char *address)
{
    struct probe probe;
    probe_open(&probe, node, address);
    probe_run(&probe, loop_now_us() + BEFORE_US);
    json_t *answer;
    must((answer = fault_wire(&lab, verb, argument, selector, &error)) != NULL);
    int64_t at_us = loop_now_us();
    json_decref(answer);
    probe_run(&probe, at_us + AFTER_US);
    close(probe.fd);
    struct outcome out = probe_outcome(&probe, at_us);
    printf("%s %s %s: %s -> %s: lost %u in %.0f ms, unreachable after %.0f ms\n", verb,
           argument != NULL ? argument : "", selector, node, address, out.lost, out.lost_ms, out.refused_ms);
    return out;
}

/* ---- tests ---- */

/* What a test that failed has left. */
static void heal_all(void)
{
    heal("all");
}

START_TEST(test_roads)
{
    static const char *const origins[] = {"198.51.100.11", "198.51.100.12", "198.51.100.21", "198.51.100.22"};
    static const char *const rings[] = {"10.1.0.1", "10.2.0.1"};
    for (size_t i = 0; i < G_N_ELEMENTS(origins); i++) {
        ck_assert_msg(reaches("edge-1", origins[i]), "edge-1 does not reach %s", origins[i]);
        ck_assert_msg(reaches("edge-3", origins[i]), "edge-3 does not reach %s", origins[i]);
        ck_assert_msg(!reaches(i < 2 ? "room-b" : "room-a", origins[i]), "%s is reached from the other room",
                      origins[i]);
    }
    for (size_t i = 0; i < G_N_ELEMENTS(rings); i++) {
        ck_assert_msg(reaches("edge-3", rings[i]), "edge-3 does not reach %s", rings[i]);
        ck_assert_msg(reaches("edge-4", rings[i]), "edge-4 does not reach %s", rings[i]);
        ck_assert_msg(!reaches("edge-1", rings[i]), "the internet reaches the ring address %s", rings[i]);
        ck_assert_msg(!reaches("user-1", rings[i]), "a user reaches the ring address %s", rings[i]);
    }
    ck_assert(reaches("room-a", "10.2.0.1"));
    ck_assert(reaches("user-1", "203.0.113.12"));
    ck_assert(reaches("edge-1", "192.0.2.1"));
}
END_TEST

/* A router says "unreachable" five times to a host, then once a second (ip_error() in the kernel's route.c), so each
 * test that waits for it asks from a node of its own.
 *
 * The fibre of 2 July: the room's entrances go within BFD's time, the ring does not notice. */
START_TEST(test_room_hole)
{
    struct outcome out = fault_measure("hole", "both", "room:room-a", "edge-2", "198.51.100.12");
    ck_assert_double_ge(out.lost_ms, AFTER_US / 1000.0 - 150);
    ck_assert_double_ge(out.refused_ms, 0);
    ck_assert_double_le(out.refused_ms, SILENT_LIMIT_MS);
    ck_assert(!reaches("edge-1", "198.51.100.11"));
    ck_assert(reaches("edge-1", "198.51.100.21"));
    ck_assert(reaches("edge-3", "10.1.0.1"));
    heal("room:room-a");
    ck_assert(reaches("edge-1", "198.51.100.11"));
}
END_TEST

START_TEST(test_room_cut)
{
    struct outcome out = fault_measure("cut", NULL, "room:room-a", "user-2", "198.51.100.12");
    ck_assert_double_ge(out.refused_ms, 0);
    ck_assert_double_le(out.refused_ms, CARRIER_LIMIT_MS);
    ck_assert(reaches("edge-3", "10.1.0.1"));
    heal("room:room-a");
    ck_assert(reaches("user-2", "198.51.100.12"));
}
END_TEST

/* Nothing comes from the POP, or nothing comes to it: the routers know it as soon as when both ways are gone. */
START_TEST(test_pop_one_way)
{
    static const char *const ways[] = {"ab", "ba"}, *const nodes[] = {"user-1", "edge-1"};
    double best_ms = SILENT_LIMIT_MS;
    for (size_t i = 0; i < G_N_ELEMENTS(ways); i++) {
        struct outcome out = fault_measure("hole", ways[i], "pop:pop-a1", nodes[i], "198.51.100.11");
        ck_assert_double_ge(out.refused_ms, 0);
        ck_assert_double_le(out.refused_ms, SILENT_LIMIT_MS);
        best_ms = MIN(best_ms, out.refused_ms);
        heal("pop:pop-a1");
    }
    ck_assert_double_le(best_ms, BFD_LIMIT_MS);
}
END_TEST

/* Each line of the ring has a way round. */
START_TEST(test_ring_line)
{
    static const struct {
        const char *verb, *argument, *selector;
        double limit_ms;
    } faults[] = {
        {"hole", "both", "line-1", SILENT_LIMIT_MS},
        {"hole", "ab", "line-1", SILENT_LIMIT_MS},
        {"hole", "ba", "line-1", SILENT_LIMIT_MS},
        {"cut", NULL, "srlg:duct-north", CARRIER_LIMIT_MS},
    };
    unsigned quick = 0;
    for (size_t i = 0; i < G_N_ELEMENTS(faults); i++) {
        struct outcome out =
            fault_measure(faults[i].verb, faults[i].argument, faults[i].selector, "edge-3", "10.1.0.1");
        if (faults[i].argument != NULL) /* a lost carrier may be known before the next probe */
            ck_assert_double_gt(out.lost_ms, 0);
        ck_assert_double_le(out.lost_ms, faults[i].limit_ms);
        quick += faults[i].argument != NULL && out.lost_ms <= BFD_LIMIT_MS;
        heal(faults[i].selector);
    }
    ck_assert_uint_ge(quick, 2); /* of three silent ones */
}
END_TEST

/* A partitioned agent is partitioned: there is no way round by the internet, and users do not notice. */
START_TEST(test_edge_control)
{
    for (int i = 0; i < 2; i++) {
        fault_measure(i == 0 ? "cut" : "hole", i == 0 ? NULL : "both", "edge-control:edge-1", "user-1", "203.0.113.11");
        ck_assert(!reaches("edge-1", "192.0.2.1"));
        ck_assert(reaches("user-1", "203.0.113.11"));
        ck_assert(reaches("edge-2", "192.0.2.1"));
        heal("edge-control:edge-1");
        ck_assert(reaches("edge-1", "192.0.2.1"));
    }
}
END_TEST

START_TEST(test_selectors)
{
    static const char *const wrong[] = {"line-9", "room:pop-a1", "srlg:", "pop-a1-in", "colour:red"};
    for (size_t i = 0; i < G_N_ELEMENTS(wrong); i++) {
        g_autoptr(GError) error = NULL;
        ck_assert_ptr_null(fault_wire(&lab, "cut", NULL, wrong[i], &error));
        ck_assert_ptr_nonnull(strstr(error->message, wrong[i]));
    }
}
END_TEST

/* A fifth lost in each direction: 36 % of the round trips, 108 of the 300 probes; and then none. */
START_TEST(test_set)
{
    struct outcome out = fault_measure("set", "loss_ppm=200000", "edge-1", "user-1", "203.0.113.11");
    ck_assert_uint_ge(out.lost, 60);
    ck_assert_uint_le(out.lost, 160);
    fault_measure("set", "loss_ppm=0", "edge-1", "user-1", "203.0.113.11");
    out = fault_measure("set", "delay_us=3000", "edge-1", "user-1", "203.0.113.11");
    ck_assert_uint_eq(out.lost, 0);
    fault_measure("set", "delay_us=1000", "edge-1", "user-1", "203.0.113.11");
}
END_TEST

/* A server that was killed and started again serves what it was told before. */
START_TEST(test_process)
{
    must(proc_signal(&lab, "ns-1", "knotd", SIGKILL, NULL, &error));
    ck_assert_int_eq(proc_state(&lab, "ns-1", "knotd", NULL), PROC_DEAD);
    ck_assert(!proc_signal(&lab, "ns-1", "knotd", SIGSTOP, NULL, NULL));
    must(proc_start_again(&lab, "ns-1", "knotd", &error));
    ck_assert(!proc_start_again(&lab, "ns-1", "knotd", NULL));
    must(ready_wait(&lab, ready_all, WAIT_S, &error));
    must(proc_signal(&lab, "ns-1", "knotd", SIGSTOP, NULL, &error));
    ck_assert_int_eq(proc_state(&lab, "ns-1", "knotd", NULL), PROC_PAUSED);
    must(proc_signal(&lab, "ns-1", "knotd", SIGCONT, NULL, &error));
    must(ready_wait(&lab, ready_all, WAIT_S, &error));
}
END_TEST

static void lab_setup(const char *run)
{
    g_autofree char *self = g_file_read_link("/proc/self/exe", NULL);
    g_autofree char *folder = g_path_get_dirname(self);
    lab = (struct lab){
        .run = g_strdup(run), .prefix = g_strdup("sb-n-"), .build = g_build_filename(folder, "../..", NULL)};
}

static void lab_forget(void)
{
    topo_free(lab.topo);
    g_free(lab.run);
    g_free(lab.prefix);
    g_free(lab.build);
    lab = (struct lab){0};
}

static void network_up(void)
{
    lab_setup("/run/signalbox-test-network");
    must(lab_up(&lab, LAB_SITE_DEFAULT, LAB_NETWORK, &error));
}

static void network_down(void)
{
    must(lab_down(&lab, &error));
    lab_forget();
}

/* ---- crashes ---- */

static unsigned left_over(void)
{
    unsigned n = 0;
    GDir *dir = g_dir_open("/run/netns", 0, NULL);
    const char *name;
    while (dir != NULL && (name = g_dir_read_name(dir)) != NULL)
        n += g_str_has_prefix(name, "sb-n-") ? 1 : 0;
    if (dir != NULL)
        g_dir_close(dir);
    return n;
}

/* The builder is killed at many moments of its work; the next one cleans up, and down leaves nothing. */
START_TEST(test_crash)
{
    lab_setup("/run/signalbox-test-network");
    for (int64_t after_us = 5000; after_us < 1500000; after_us = after_us * 2) {
        pid_t builder = fork();
        if (builder == 0)
            _exit(lab_up(&lab, LAB_SITE_DEFAULT, LAB_NETWORK, NULL) ? 0 : 1);
        poll(NULL, 0, (int)(after_us / 1000)); /* the moment is the test's parameter, nothing is waited for */
        kill(builder, SIGKILL);
        waitpid(builder, NULL, 0);
    }
    must(lab_down(&lab, &error));
    ck_assert_uint_eq(left_over(), 0);
    ck_assert_int_ne(access(lab.run, F_OK), 0);
    must(lab_down(&lab, &error)); /* idempotent */
    lab_forget();
}
END_TEST

/* A folder that is no lab's keeps what is in it. */
START_TEST(test_foreign_folder)
{
    char folder[] = "/tmp/test_network.XXXXXX";
    ck_assert_ptr_nonnull(mkdtemp(folder));
    lab_setup(folder);
    g_autofree char *file = lab_path(&lab, "letter");
    must(file_write_atomic(file, "x", 1, 0600, &error));
    ck_assert(!lab_down(&lab, NULL));
    ck_assert_int_eq(access(file, F_OK), 0);
    unlink(file);
    rmdir(folder);
    lab_forget();
}
END_TEST

int main(void)
{
    if (geteuid() != 0) {
        fprintf(stderr, "needs root\n");
        return 77;
    }
    /* Another build's run of this test waits for its turn. */
    int lock = open("/run/signalbox-test-network.lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (lock < 0 || flock(lock, LOCK_EX) != 0) {
        perror("lock");
        return 77;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    Suite *suite = suite_create("network");
    TCase *network = tcase_create("network");
    tcase_add_unchecked_fixture(network, network_up, network_down);
    tcase_add_checked_fixture(network, heal_all, NULL);
    tcase_set_timeout(network, 60);
    tcase_add_test(network, test_roads);
    tcase_add_test(network, test_room_hole);
    tcase_add_test(network, test_room_cut);
    tcase_add_test(network, test_pop_one_way);
    tcase_add_test(network, test_ring_line);
    tcase_add_test(network, test_edge_control);
    tcase_add_test(network, test_selectors);
    tcase_add_test(network, test_set);
    tcase_add_test(network, test_process);
    suite_add_tcase(suite, network);
    TCase *crash = tcase_create("crash");
    tcase_set_timeout(crash, 60);
    tcase_add_test(crash, test_crash);
    tcase_add_test(crash, test_foreign_folder);
    suite_add_tcase(suite, crash);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
