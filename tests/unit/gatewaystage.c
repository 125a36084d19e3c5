#include "tests/unit/gatewaystage.h"

#include "dataplane/dpsocket.h"

#include <arpa/inet.h>
#include <check.h>
#include <glib.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define WAIT_US (20 * G_USEC_PER_SEC)

static void end_with_parent(gpointer unused)
{
    (void)unused;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
}

/* What birdc prints; g_free. */
static char *birdc(const char *path, const char *words)
{
    char *out = NULL;
    g_autofree char *command = g_strdup_printf("birdc -r -s %s %s", path, words);
    ck_assert(g_spawn_command_line_sync(command, &out, NULL, NULL, NULL));
    return out;
}

#define VIP(name, table, last)                                                                                         \
    "protocol static " name " { disabled; ipv4 " table "; route 198.51.100." last "/32 blackhole; }\n"

pid_t birdd_start(const char *path)
{
    g_autofree char *folder = g_path_get_dirname(path);
    g_autofree char *config = g_build_filename(folder, "bird.conf", NULL);
    g_autofree char *pid_file = g_build_filename(folder, "bird.pid", NULL);
    ck_assert(g_file_set_contents(config,
                                  "router id 192.0.2.1;\n"
                                  "protocol device { }\n" VIP("vip_a", "", "1")
                                      VIP("last_vip_a", "{ preference 100; }", "1") VIP("vip_b", "", "2")
                                          VIP("last_vip_b", "{ preference 100; }", "2"),
                                  -1, NULL));
    char *argv[] = {(char *)"bird", (char *)"-f", (char *)"-c", config, (char *)"-s",
                    (char *)path,   (char *)"-P", pid_file,     NULL};
    g_autoptr(GError) error = NULL;
    GPid pid = 0;
    GSpawnFlags flags = G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_SEARCH_PATH | G_SPAWN_STDERR_TO_DEV_NULL;
    remove(path);
    ck_assert_msg(g_spawn_async(NULL, argv, NULL, flags, end_with_parent, NULL, &pid, &error), "%s",
                  error != NULL ? error->message : "");
    int64_t until_us = g_get_monotonic_time() + WAIT_US;
    for (bool ready = false; !ready; poll(NULL, 0, ready ? 0 : 10)) {
        g_autofree char *said = birdc(path, "show status");
        ready = strstr(said, "Daemon is up and running") != NULL;
        ck_assert_msg(g_get_monotonic_time() < until_us, "BIRD is not up: %s", said);
    }
    return pid;
}

bool birdd_announces(const char *path, const char *vip)
{
    g_autofree char *words = g_strdup_printf("show route protocol %s", vip);
    g_autofree char *out = birdc(path, words);
    return strstr(out, "blackhole") != NULL;
}

static void forward(const char *path, unsigned n_ports, bool stuck)
{
    static const int none[DP_PORTS] = {-1, -1, -1, -1, -1, -1, -1, -1};
    static const uint8_t mac[DP_PORTS][ETHER_ADDRESS] = {{2}, {2, 1}, {2, 2}, {2, 3}, {2, 4}, {2, 5}, {2, 6}, {2, 7}};
    static struct forwarder forwarder;
    struct port_counters ports = {0};
    struct dpsocket_settings settings = {
        .path = path, .n_ports = n_ports, .watch_fds = none, .wake_fd = eventfd(0, EFD_CLOEXEC)};
    uint64_t woken;
    signal(SIGTERM, SIG_DFL);
    signal(SIGPIPE, SIG_IGN);
    end_with_parent(NULL);
    forwarder_init(&forwarder, mac, n_ports, 1);
    struct dpsocket *socket = dpsocket_start(&settings);
    while (socket != NULL && read(settings.wake_fd, &woken, sizeof woken) > 0) {
        struct fib *table = dpsocket_turn(socket, &forwarder, &ports), *before = (struct fib *)forwarder.table;
        if (table == NULL || (stuck && before != NULL))
            continue;
        forwarder_set_table(&forwarder, table, 1);
        dpsocket_give_back(socket, before);
    }
    _exit(1);
}

static pid_t forward_start(const char *path, unsigned n_ports, bool stuck)
{
    pid_t pid = fork();
    if (pid == 0)
        forward(path, n_ports, stuck);
    return pid;
}

pid_t portless_start(const char *path, unsigned n_ports)
{
    return forward_start(path, n_ports, false);
}

pid_t stuck_start(const char *path)
{
    return forward_start(path, 1, true);
}

pid_t backend_start(uint16_t *port)
{
    struct sockaddr_in at = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(*port)};
    socklen_t size = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), yes = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    ck_assert(bind(fd, (struct sockaddr *)&at, sizeof at) == 0 && listen(fd, 64) == 0);
    getsockname(fd, (struct sockaddr *)&at, &size);
    *port = ntohs(at.sin_port);
    pid_t pid = fork();
    if (pid == 0) {
        end_with_parent(NULL);
        for (;;)
            close(accept(fd, NULL, NULL));
    }
    close(fd);
    return pid;
}

void kill9(pid_t *pid)
{
    if (*pid > 0) {
        kill(*pid, SIGKILL);
        waitpid(*pid, NULL, 0);
    }
    *pid = 0;
}
