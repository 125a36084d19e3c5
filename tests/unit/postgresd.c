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

static struct server {
    pid_t pid;
    char folder[64], data[96];
    unsigned port;
} server, follower; /* pid 0: it does not run */
static char bin[64];
static const char *fsync_setting = "fsync=off"; /* tests lose no data of people */
static unsigned databases;

static void find_programs(void)
{
    glob_t found;
    ck_assert_msg(glob("/usr/lib/postgresql/*/bin/initdb", 0, NULL, &found) == 0,
                  "found no initdb under /usr/lib/postgresql, expected the package postgresql-15");
    g_autofree char *folder = g_path_get_dirname(found.gl_pathv[found.gl_pathc - 1]);
    g_strlcpy(bin, folder, sizeof bin);
    globfree(&found);
}

/* A child that runs a program of Postgres as a user that it accepts, and ends with this process. */
static pid_t spawn(const struct server *of, const char *const *argv)
{
    g_autofree char *program = g_build_filename(bin, argv[0], NULL);
    g_autofree char *log = g_build_filename(of->folder, "log", NULL);
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

static PGconn *connect_now(const struct server *to)
{
    g_autofree char *url = g_strdup_printf("postgresql://nobody@127.0.0.1:%u/postgres", to->port);
    PGconn *conn = PQconnectdb(url);
    if (PQstatus(conn) == CONNECTION_OK)
        return conn;
    PQfinish(conn);
    return NULL;
}

/* Returns when it answers. */
static void run(struct server *one)
{
    g_autofree char *port = g_strdup_printf("%u", one->port);
    const char *const argv[] = {"postgres",
                                "-D",
                                one->data,
                                "-p",
                                port,
                                "-h",
                                "127.0.0.1",
                                "-k",
                                "",
                                "-c",
                                fsync_setting,
                                "-c",
                                "shared_buffers=16MB",
                                "-c",
                                "max_connections=20",
                                NULL};
    one->pid = spawn(one, argv);
    int64_t deadline_us = loop_now_us() + START_US;
    PGconn *conn;
    while ((conn = connect_now(one)) == NULL) {
        ck_assert_msg(loop_now_us() < deadline_us && waitpid(one->pid, NULL, WNOHANG) == 0,
                      "Postgres does not answer: see %s/log", one->folder);
        poll(NULL, 0, 10);
    }
    PQfinish(conn);
}

void postgresd_sync(void)
{
    fsync_setting = "fsync=on";
}

void postgresd_run(void)
{
    run(&server);
}

/* A folder and a port of its own. */
static void place(struct server *one)
{
    g_strlcpy(one->folder, "/tmp/sb-postgres-XXXXXX", sizeof one->folder);
    ck_assert_ptr_nonnull(g_mkdtemp(one->folder));
    snprintf(one->data, sizeof one->data, "%s/data", one->folder);
    if (geteuid() == 0)
        ck_assert_int_eq(chown(one->folder, NOBODY, NOBODY), 0);
    one->port = unit_free_port();
}

/* A program of Postgres that does its work and ends. */
static void do_once(const struct server *of, const char *const *argv)
{
    int status = -1;
    waitpid(spawn(of, argv), &status, 0);
    ck_assert_msg(status == 0, "%s failed: see %s/log", argv[0], of->folder);
}

void postgresd_start(void)
{
    find_programs();
    place(&server);
    const char *const argv[] = {"initdb", "-D", server.data, "-U",         "nobody",    "-A",
                                "trust",  "-E", "UTF8",      "--locale=C", "--no-sync", "--no-instructions",
                                NULL};
    do_once(&server, argv);
    postgresd_run();
}

void postgresd_follow(void)
{
    g_autofree char *port = g_strdup_printf("%u", server.port);
    place(&follower);
    const char *const argv[] = {"pg_basebackup", "-D", follower.data, "-h",     "127.0.0.1", "-p",   port,        "-U",
                                "nobody",        "-R", "-X",          "stream", "-c",        "fast", "--no-sync", NULL};
    do_once(&follower, argv);
    run(&follower);
}

static void execute(const char *sql)
{
    PGconn *conn = connect_now(&server);
    ck_assert_ptr_nonnull(conn);
    PGresult *result = PQexec(conn, sql);
    ck_assert_msg(PQresultStatus(result) == PGRES_COMMAND_OK || PQresultStatus(result) == PGRES_TUPLES_OK, "%s",
                  PQerrorMessage(conn));
    PQclear(result);
    PQfinish(conn);
}

char *postgresd_fresh(void)
{
    /* libcheck forks for each test: the counter alone would start again. */
    g_autofree char *name = g_strdup_printf("t%d_%u", (int)getpid(), databases++);
    g_autofree char *sql = g_strdup_printf("create database %s", name);
    g_autofree char *other = follower.pid == 0 ? g_strdup("") : g_strdup_printf("127.0.0.1:%u,", follower.port);
    execute(sql);
    return g_strdup_printf("postgresql://nobody@%s127.0.0.1:%u/%s", other, server.port, name);
}

void postgresd_fail_over(void)
{
    postgresd_kill();
    unit_remove_all(server.folder);
    server = follower;
    follower = (struct server){0};
    execute("select pg_promote()"); /* waits until it has happened */
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

void postgresd_kill(void)
{
    if (server.pid <= 0)
        return;
    kill(server.pid, SIGQUIT);
    waitpid(server.pid, NULL, 0);
    server.pid = 0;
}

void postgresd_end(void)
{
    postgresd_kill();
    unit_remove_all(server.folder);
    if (follower.pid > 0) {
        server = follower;
        follower = (struct server){0};
        postgresd_end();
    }
}
