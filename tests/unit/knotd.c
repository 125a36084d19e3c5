#include "tests/unit/knotd.h"

#include <arpa/inet.h>
#include <check.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <libknot/libknot.h>

#include "core/loop.h"
#include "dns/readback.h"
#include "dns/records.h"

static bool bindable(const struct endpoint *endpoint, int type)
{
    struct sockaddr_storage address;
    socklen_t size = endpoint_sockaddr(endpoint, &address);
    int fd = socket(AF_INET, type, 0);
    bool ok = fd >= 0 && bind(fd, (struct sockaddr *)&address, size) == 0;
    close(fd);
    return ok;
}

struct endpoint knotd_free_port(void)
{
    struct endpoint endpoint = {.addr = {AF_INET, {127, 0, 0, 1}}};
    do
        endpoint.port = (uint16_t)g_random_int_range(20000, 32000); /* below the range that clients are given */
    while (!bindable(&endpoint, SOCK_STREAM) || !bindable(&endpoint, SOCK_DGRAM));
    return endpoint;
}

static void write_file(const char *folder, const char *name, const char *text)
{
    g_autofree char *path = g_build_filename(folder, name, NULL);
    ck_assert(g_file_set_contents(path, text, -1, NULL));
}

static void write_zone(const struct knotd *server)
{
    write_file(server->folder, "zone",
               "$ORIGIN example.test.\n$TTL 5\n"
               "@ SOA ns-1 hostmaster 1 3600 600 86400 5\n@ NS ns-1\nns-1 A 127.0.0.1\n"
               "hand A 192.0.2.250\n");
}

static void write_config(const struct knotd *server)
{
    GString *text = g_string_new(NULL);
    g_string_append_printf(text, "server:\n    listen: [127.0.0.1@%u, ::1@%u]\n    rundir: %s\n", server->endpoint.port,
                           server->endpoint.port, server->folder);
    g_string_append(text, "    udp-workers: 1\n    tcp-workers: 2\n    background-workers: 2\n");
    g_string_append_printf(text, "log:\n  - target: %s/log\n    any: info\n", server->folder);
    g_string_append_printf(text, "database:\n    storage: %s/db\n    journal-db-max-size: 64M\n", server->folder);
    g_string_append(text, "    kasp-db-max-size: 5M\n    timer-db-max-size: 1M\n    catalog-db-max-size: 5M\n");
    g_string_append_printf(text, "key:\n  - id: %s\n    algorithm: hmac-sha256\n    secret: %s\n", KNOTD_KEY,
                           KNOTD_SECRET);
    if (server->primary_port != 0)
        g_string_append_printf(text, "remote:\n  - id: primary\n    address: 127.0.0.1@%u\n    key: %s\n",
                               server->primary_port, KNOTD_KEY);
    g_string_append_printf(text, "acl:\n  - id: all\n    address: [127.0.0.0/8, ::1]\n    key: %s\n    action: [%s]\n",
                           KNOTD_KEY, server->primary_port != 0 ? "notify" : "update, transfer");
    if (server->primary_port == 0)
        g_string_append_printf(text, "    update-type: [%s]\n", server->types);
    g_string_append_printf(text, "zone:\n  - domain: %s.\n    storage: %s\n    file: zone\n    acl: all\n", KNOTD_ZONE,
                           server->folder);
    g_string_append(text, server->primary_port != 0
                              ? "    master: primary\n    zonefile-sync: -1\n    zonefile-load: none\n"
                                "    journal-content: all\n"
                              : "    zonefile-sync: -1\n    zonefile-load: whole\n"
                                "    journal-content: changes\n");
    write_file(server->folder, "conf", text->str);
    g_string_free(text, TRUE);
}

struct knotd *knotd_prepare(const char *root, const char *name, const struct knotd *primary, const char *types)
{
    struct knotd *server = g_new0(struct knotd, 1);
    server->folder = g_build_filename(root, name, NULL);
    server->endpoint = knotd_free_port();
    server->primary_port = primary != NULL ? primary->endpoint.port : 0;
    server->types = types;
    g_autofree char *db = g_build_filename(server->folder, "db", NULL); /* Knot serves nothing if it is missing */
    ck_assert_int_eq(g_mkdir_with_parents(db, 0700), 0);
    if (primary == NULL)
        write_zone(server);
    write_config(server);
    return server;
}

void knotd_allow(struct knotd *server, const char *types)
{
    server->types = types;
    write_config(server);
}

void knotd_run(struct knotd *server)
{
    g_autofree char *config = g_build_filename(server->folder, "conf", NULL);
    pid_t parent = getpid();
    server->pid = fork();
    ck_assert_int_ge(server->pid, 0);
    if (server->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(1);
        int null = open("/dev/null", O_RDWR);
        dup2(null, 1);
        dup2(null, 2);
        execlp("knotd", "knotd", "-c", config, (char *)NULL);
        execl("/usr/sbin/knotd", "knotd", "-c", config, (char *)NULL);
        _exit(127);
    }
    int64_t deadline_us = loop_now_us() + 10000000;
    for (char *answer = NULL;; g_free(answer)) {
        answer = knotd_ask(&server->endpoint, KNOTD_ZONE, KNOT_RRTYPE_SOA);
        if (strchr(answer, ' ') != NULL) {
            g_free(answer);
            return;
        }
        ck_assert_msg(loop_now_us() < deadline_us, "%s does not serve the zone", server->folder);
        poll(NULL, 0, 5);
    }
}

struct knotd *knotd_start(const char *root, const char *name, const struct knotd *primary, const char *types)
{
    struct knotd *server = knotd_prepare(root, name, primary, types);
    knotd_run(server);
    return server;
}

void knotd_signal(struct knotd *server, int signal)
{
    ck_assert_int_gt(server->pid, 0);
    kill(server->pid, signal);
    if (signal == SIGSTOP)
        waitpid(server->pid, NULL, WUNTRACED);
}

void knotd_kill(struct knotd *server)
{
    if (server->pid <= 0)
        return;
    kill(server->pid, SIGKILL);
    waitpid(server->pid, NULL, 0);
    server->pid = 0;
}

void knotd_free(struct knotd *server)
{
    knotd_kill(server);
    g_free(server->folder);
    g_free(server);
}

static void take(void *data, struct rrset *set)
{
    *(struct rrset **)data = set;
}

char *knotd_ask(const struct endpoint *server, const char *owner, uint16_t type)
{
    sb_auto(readback) readback = readback_new(server, -1, NULL);
    struct rrset question = {.owner = (char *)owner, .type = type}, *const questions[] = {&question}, *set = NULL;
    if (!readback_ask(readback, questions, 1, take, &set, NULL) || set == NULL)
        return g_strdup("?");
    char *text = g_strjoinv(" ", set->rdata);
    rrset_delete(set);
    return text;
}

unsigned knotd_serial(const struct endpoint *server)
{
    g_autofree char *text = knotd_ask(server, KNOTD_ZONE, KNOT_RRTYPE_SOA);
    unsigned serial = 0;
    ck_assert_int_eq(sscanf(text, "%*s %*s %u", &serial), 1);
    return serial;
}
