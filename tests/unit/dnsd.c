#include "tests/unit/dnsd.h"

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
#include "tests/unit/unit.h"

#define READY_US (30 * G_USEC_PER_SEC) /* a limit: a secondary whose first copy failed asks again after seconds */

struct endpoint dnsd_free_port(void)
{
    return (struct endpoint){.addr = {AF_INET, {127, 0, 0, 1}}, .port = unit_free_port()};
}

static void write_file(const struct dnsd *server, const char *name, const char *text)
{
    g_autofree char *path = g_build_filename(server->folder, name, NULL);
    ck_assert(g_file_set_contents(path, text, -1, NULL));
}

/* ---- kinds ---- */

struct kind {
    const char *name;
    const char *program;
    const char *state; /* what its folder holds of the zone beside the file it began with; removed as a whole */
    /* Text of folder/conf; g_string_free. */
    GString *(*config)(const struct dnsd *server);
    /* Arguments behind the program's name. */
    const char *arguments[4];
    /* The zone's freeze or thaw as a command for the shell; g_free. */
    char *(*freeze)(const struct dnsd *server, bool frozen);
};

static GString *knot_config(const struct dnsd *server)
{
    GString *text = g_string_new(NULL);
    g_string_append_printf(text, "server:\n    listen: [127.0.0.1@%u, ::1@%u]\n    rundir: %s\n", server->endpoint.port,
                           server->endpoint.port, server->folder);
    g_string_append(text, "    udp-workers: 1\n    tcp-workers: 2\n    background-workers: 2\n");
    g_string_append_printf(text, "log:\n  - target: %s/log\n    any: info\n", server->folder);
    g_string_append_printf(text, "database:\n    storage: %s/db\n    journal-db-max-size: 64M\n", server->folder);
    g_string_append(text, "    kasp-db-max-size: 5M\n    timer-db-max-size: 1M\n    catalog-db-max-size: 5M\n");
    g_string_append_printf(text, "key:\n  - id: %s\n    algorithm: hmac-sha256\n    secret: %s\n", DNSD_KEY,
                           server->secret);
    if (server->primary_port != 0)
        g_string_append_printf(text, "remote:\n  - id: primary\n    address: 127.0.0.1@%u\n    key: %s\n",
                               server->primary_port, DNSD_KEY);
    g_string_append_printf(text, "acl:\n  - id: all\n    address: [127.0.0.0/8, ::1]\n    key: %s\n    action: [%s]\n",
                           DNSD_KEY,
                           server->primary_port == 0 ? "update, transfer"
                           : server->deaf            ? "transfer"
                                                     : "notify");
    if (server->primary_port == 0)
        g_string_append_printf(text, "    update-type: [%s]\n", server->types);
    g_string_append_printf(text, "zone:\n  - domain: %s.\n    storage: %s\n    file: zone\n    acl: all\n", DNSD_ZONE,
                           server->folder);
    g_string_append(text, server->primary_port != 0
                              ? "    master: primary\n    zonefile-sync: -1\n    zonefile-load: none\n"
                                "    journal-content: all\n"
                              : "    zonefile-sync: -1\n    zonefile-load: whole\n"
                                "    journal-content: changes\n");
    return text;
}

static char *knot_freeze(const struct dnsd *server, bool frozen)
{
    return g_strdup_printf("knotc -s %s/knot.sock -b zone-%s %s >/dev/null", server->folder, frozen ? "freeze" : "thaw",
                           DNSD_ZONE);
}

static GString *bind_config(const struct dnsd *server)
{
    GString *text = g_string_new(NULL);
    g_autofree char *types = g_strdelimit(g_strdup(server->types), ",", ' ');
    g_string_append_printf(text, "key \"%s\" { algorithm hmac-sha256; secret \"%s\"; };\n", DNSD_KEY, server->secret);
    g_string_append_printf(text,
                           "options {\n  directory \"%s\"; pid-file none; lock-file none;\n"
                           "  session-keyfile \"session.key\"; managed-keys-directory \"%s\";\n"
                           "  listen-on port %u { 127.0.0.1; }; listen-on-v6 port %u { ::1; };\n"
                           "  recursion no; dnssec-validation no; empty-zones-enable no; notify no; notify-delay 0;\n"
                           "  serial-query-rate 1000; allow-transfer { key %s; };\n};\n",
                           server->folder, server->folder, server->endpoint.port, server->endpoint.port, DNSD_KEY);
    g_string_append_printf(text, "controls { inet 127.0.0.1 port %u allow { 127.0.0.1; } keys { %s; }; };\n",
                           server->control.port, DNSD_KEY);
    g_string_append(text, "logging { channel here { file \"log\"; severity info; print-time yes; };"
                          " category default { here; }; };\n");
    g_string_append_printf(text, "zone \"%s\" {\n  file \"zone\";\n", DNSD_ZONE);
    if (server->primary_port == 0)
        g_string_append_printf(text, "  type primary; update-policy { grant %s zonesub %s; };\n};\n", DNSD_KEY, types);
    else
        g_string_append_printf(text, "  type secondary; primaries { 127.0.0.1 port %u key %s; };\n};\n",
                               server->primary_port, DNSD_KEY);
    return text;
}

static char *bind_freeze(const struct dnsd *server, bool frozen)
{
    return g_strdup_printf("rndc -s 127.0.0.1 -p %u -k %s/rndc.key %s %s >/dev/null", server->control.port,
                           server->folder, frozen ? "freeze" : "thaw", DNSD_ZONE);
}

static const struct kind kinds[] = {
    {"knot", "knotd", "db/journal", knot_config, {"-c", "conf"}, knot_freeze},
    {"bind", "named", "zone.jnl", bind_config, {"-f", "-c", "conf"}, bind_freeze},
};

static const struct kind *kind(void)
{
    const char *name = g_getenv("DNSD_KIND");
    for (unsigned i = 0; i < G_N_ELEMENTS(kinds); i++)
        if (strcmp(name != NULL ? name : "knot", kinds[i].name) == 0)
            return &kinds[i];
    ck_abort_msg("DNSD_KIND is %s, expected knot or bind", name);
}

bool dnsd_is_bind(void)
{
    return strcmp(kind()->name, "bind") == 0;
}

/* ---- life ---- */

static void write_zone(const struct dnsd *server)
{
    write_file(server, "zone",
               "$ORIGIN example.test.\n$TTL 5\n"
               "@ SOA ns-1 hostmaster 1 3600 600 86400 5\n@ NS ns-1\nns-1 A 127.0.0.1\n"
               "hand A 192.0.2.250\n");
}

static void write_config(const struct dnsd *server)
{
    g_autoptr(GString) key = g_string_new(NULL);
    g_string_printf(key, "key \"%s\" { algorithm hmac-sha256; secret \"%s\"; };\n", DNSD_KEY, server->secret);
    write_file(server, "rndc.key", key->str);
    g_autoptr(GString) text = kind()->config(server);
    write_file(server, "conf", text->str);
}

struct dnsd *dnsd_prepare(const char *root, const char *name, const struct dnsd *primary, const char *types)
{
    struct dnsd *server = g_new0(struct dnsd, 1);
    server->folder = g_build_filename(root, name, NULL);
    server->endpoint = dnsd_free_port();
    server->control = dnsd_free_port();
    server->primary_port = primary != NULL ? primary->endpoint.port : 0;
    server->types = types;
    server->secret = DNSD_SECRET;
    g_autofree char *db = g_build_filename(server->folder, "db", NULL); /* Knot serves nothing if it is missing */
    ck_assert_int_eq(g_mkdir_with_parents(db, 0700), 0);
    if (primary == NULL)
        write_zone(server);
    return server;
}

void dnsd_forget(struct dnsd *server)
{
    ck_assert_int_eq(server->pid, 0);
    g_autofree char *state = g_build_filename(server->folder, kind()->state, NULL);
    unit_remove_all(state);
    write_zone(server);
}

void dnsd_set_clock(struct dnsd *server, int skew_s)
{
    g_autofree char *text = g_strdup_printf("%d", skew_s);
    write_file(server, "clock", text);
    server->skewed = true;
}

static void become(const struct dnsd *server)
{
    const struct kind *what = kind();
    const char *argv[G_N_ELEMENTS(what->arguments) + 2] = {what->program};
    memcpy(argv + 1, what->arguments, sizeof what->arguments);
    int null = open("/dev/null", O_RDWR);
    dup2(null, 1);
    dup2(null, 2);
    if (chdir(server->folder) != 0)
        _exit(126);
    if (server->skewed) { /* see badluck.c */
        g_setenv("LD_PRELOAD", BADLUCK_LIBRARY, TRUE);
        g_setenv("BADLUCK", server->folder, TRUE);
    }
    execvp(what->program, (char **)argv);
    g_autofree char *path = g_build_filename("/usr/sbin", what->program, NULL);
    execv(path, (char **)argv);
    _exit(127);
}

void dnsd_run(struct dnsd *server)
{
    write_config(server);
    pid_t parent = getpid();
    server->pid = fork();
    ck_assert_int_ge(server->pid, 0);
    if (server->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(1);
        become(server);
    }
    int64_t deadline_us = loop_now_us() + READY_US;
    for (char *answer = NULL;; g_free(answer)) {
        answer = dnsd_ask(&server->endpoint, DNSD_ZONE, KNOT_RRTYPE_SOA);
        if (strchr(answer, ' ') != NULL) {
            g_free(answer);
            return;
        }
        ck_assert_msg(loop_now_us() < deadline_us, "%s does not serve the zone", server->folder);
        poll(NULL, 0, 5);
    }
}

void dnsd_freeze_zone(const struct dnsd *server, bool frozen)
{
    g_autofree char *command = kind()->freeze(server, frozen);
    ck_assert_msg(system(command) == 0, "%s", command);
}

struct dnsd *dnsd_start(const char *root, const char *name, const struct dnsd *primary, const char *types)
{
    struct dnsd *server = dnsd_prepare(root, name, primary, types);
    dnsd_run(server);
    return server;
}

void dnsd_signal(struct dnsd *server, int signal)
{
    ck_assert_int_gt(server->pid, 0);
    kill(server->pid, signal);
    if (signal == SIGSTOP)
        waitpid(server->pid, NULL, WUNTRACED);
}

void dnsd_kill(struct dnsd *server)
{
    if (server->pid <= 0)
        return;
    kill(server->pid, SIGKILL);
    waitpid(server->pid, NULL, 0);
    server->pid = 0;
}

void dnsd_free(struct dnsd *server)
{
    dnsd_kill(server);
    g_free(server->folder);
    g_free(server);
}

static void take(void *data, struct rrset *set)
{
    *(struct rrset **)data = set;
}

char *dnsd_ask(const struct endpoint *server, const char *owner, uint16_t type)
{
    sb_auto(readback) readback = readback_new(server, -1, NULL);
    struct rrset question = {.owner = (char *)owner, .type = type}, *const questions[] = {&question}, *set = NULL;
    if (!readback_ask(readback, questions, 1, take, &set, NULL) || set == NULL)
        return g_strdup("?");
    char *text = g_strjoinv(" ", set->rdata);
    rrset_delete(set);
    return text;
}

unsigned dnsd_serial(const struct endpoint *server)
{
    g_autofree char *text = dnsd_ask(server, DNSD_ZONE, KNOT_RRTYPE_SOA);
    unsigned serial = 0;
    ck_assert_int_eq(sscanf(text, "%*s %*s %u", &serial), 1);
    return serial;
}
