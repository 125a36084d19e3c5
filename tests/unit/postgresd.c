#include "tests/unit/postgresd.h"

#include <fcntl.h>
#include <glob.h>
#include <grp.h>
#include <libpq-fe.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/loop.h"
#include "tests/unit/unit.h"

#define NOBODY 65534
#define START_US 30000000

static struct {
    pid_t pid;
    char folder[64], data[96], bin[64];
    unsigned port, databases;
} server;

static void find_programs(void)
{
    glob_t found;
    ck_assert_msg(glob("/usr/lib/postgresql/*/bin/initdb", 0, NULL, &found) == 0,
                  "found no initdb under /usr/lib/postgresql, expected the package postgresql-15");
    g_autofree char *bin = g_path_get_dirname(found.gl_pathv[found.gl_pathc - 1]);
    g_strlcpy(server.bin, bin, sizeof server.bin);
    globfree(&found);
}

/* A child that runs a program of Postgres as a user that it accepts, and ends with this process. */
static pid_t spawn(const char *const *argv)
{
    g_autofree char *program = g_build_filename(server.bin, argv[0], NULL);
    g_autofree char *log = g_build_filename(server.folder, "log", NULL);
    pid_t parent = getpid(), pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid != 0)
        return pid;
    int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0644);
    dup2(fd, 1);
    dup2(fd, 2);
    if (geteuid() == 0 && (setgroups(0, NULL) != 0 || setgid(NOBODY) != 0 || setuid(NOBODY) != 0))
        _exit(126);
    prctl(PR_SET_PDEATHSIG, SIGQUIT); /* behind setuid, which clears it: "immediate shutdown" */
    if (getppid() != parent)
        _exit(1);
    execv(program, (char *const *)argv);
    _exit(127);
}

static char *url(const char *database)
{
    return g_strdup_printf("postgresql://nobody@127.0.0.1:%u/%s", server.port, database);
}

static PGconn *connect_now(void)
{
    g_autofree char *template = url("postgres");
    PGconn *conn = PQconnectdb(template);
    if (PQstatus(conn) == CONNECTION_OK)
        return conn;
    PQfinish(conn);
    return NULL;
}

void postgresd_run(void)
{
    g_autofree char *port = g_strdup_printf("%u", server.port);
    const char *const argv[] = {"postgres",
                                "-D",
                                server.data,
                                "-p",
                                port,
                                "-h",
                                "127.0.0.1",
                                "-k",
                                "",
                                "-c",
                                "fsync=off",
                                "-c",
                                "shared_buffers=16MB",
                                "-c",
                                "max_connections=20",
                                NULL};
    server.pid = spawn(argv);
    int64_t deadline_us = loop_now_us() + START_US;
    PGconn *conn;
    while ((conn = connect_now()) == NULL) {
        ck_assert_msg(loop_now_us() < deadline_us && waitpid(server.pid, NULL, WNOHANG) == 0,
                      "Postgres does not answer: see %s/log", server.folder);
        poll(NULL, 0, 10);
    }
    PQfinish(conn);
}

void postgresd_start(void)
{
    find_programs();
    g_strlcpy(server.folder, "/tmp/sb-postgres-XXXXXX", sizeof server.folder);
    ck_assert_ptr_nonnull(g_mkdtemp(server.folder));
    snprintf(server.data, sizeof server.data, "%s/data", server.folder);
    if (geteuid() == 0)
        ck_assert_int_eq(chown(server.folder, NOBODY, NOBODY), 0);
    server.port = unit_free_port();
    const char *const argv[] = {"initdb", "-D", server.data, "-U",         "nobody",    "-A",
                                "trust",  "-E", "UTF8",      "--locale=C", "--no-sync", "--no-instructions",
                                NULL};
    int status = -1;
    waitpid(spawn(argv), &status, 0);
    ck_assert_msg(status == 0, "initdb failed: see %s/log", server.folder);
    postgresd_run();
}

char *postgresd_fresh(void)
{
    /* libcheck forks for each test: the counter alone would start again. */
    g_autofree char *name = g_strdup_printf("t%d_%u", (int)getpid(), server.databases++);
    g_autofree char *sql = g_strdup_printf("create database %s", name);
    PGconn *conn = connect_now();
    ck_assert_ptr_nonnull(conn);
    PGresult *result = PQexec(conn, sql);
    ck_assert_msg(PQresultStatus(result) == PGRES_COMMAND_OK, "%s", PQerrorMessage(conn));
    PQclear(result);
    PQfinish(conn);
    return url(name);
}

/* Signals the server and its children. */
static void signal_all(int number)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/task/%d/children", server.pid, server.pid), *children = NULL;
    kill(server.pid, number);
    ck_assert(g_file_get_contents(path, &children, NULL, NULL));
    g_auto(GStrv) pids = g_strsplit(g_strstrip(children), " ", -1);
    for (char **pid = pids; *pid != NULL; pid++)
        if (**pid != '\0')
            kill((pid_t)g_ascii_strtoll(*pid, NULL, 10), number);
}

/* Lets them go on when this process ends before it has done so: no signal ends what is stopped but SIGKILL, which a
 * parent cannot bequeath to grandchildren. */
static pid_t guard_pause(int *end)
{
    int ends[2];
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        char nothing;
        close(ends[1]);
        setsid(); /* libcheck ends a test's whole group */
        if (read(ends[0], &nothing, 1) <= 0)
            signal_all(SIGCONT);
        _exit(0);
    }
    close(ends[0]);
    *end = ends[1];
    return pid;
}

void postgresd_pause(bool pause)
{
    static pid_t guard;
    static int guard_end;
    if (pause) {
        guard = guard_pause(&guard_end);
        signal_all(SIGSTOP);
    } else {
        close(guard_end); /* the guard lets them go on */
        waitpid(guard, NULL, 0);
    }
}

void postgresd_kill_soon(void)
{
    kill(server.pid, SIGQUIT);
}

void postgresd_kill(void)
{
    if (server.pid <= 0)
        return;
    postgresd_kill_soon();
    waitpid(server.pid, NULL, 0);
    server.pid = 0;
}

void postgresd_end(void)
{
    postgresd_kill();
    unit_remove_all(server.folder);
}
