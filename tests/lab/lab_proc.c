#include "tests/lab/lab_proc.h"

#include "core/error.h"
#include "core/fileio.h"
#include "core/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define TERM_US (3 * G_USEC_PER_SEC) /* a process has this long to end by itself */
#define KILL_US (5 * G_USEC_PER_SEC) /* and the kernel this long to end it */
#define LOG_TAIL 800                 /* bytes */

bool proc_stat_read(pid_t pid, struct proc_stat *out)
{
    char path[64], text[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t size = read(fd, text, sizeof text - 1);
    close(fd);
    if (size <= 0)
        return false;
    text[size] = '\0';
    /* The second field is the name, in parentheses, and may hold anything. */
    const char *rest = strrchr(text, ')');
    return rest != NULL &&
           sscanf(rest, ") %c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu", &out->state,
                  &out->parent, &out->start) == 3;
}

/* ---- records ---- */

static char *record_path(const struct lab *lab, const char *kind, const char *node, const char *name)
{
    return lab_path(lab, "%s/%s.%s", kind, node, name);
}

static bool record_read(const struct lab *lab, const char *node, const char *name, pid_t *pid,
                        unsigned long long *start)
{
    g_autofree char *path = record_path(lab, "pids", node, name);
    g_autofree char *text = file_read(path, 100, NULL, NULL);
    return text != NULL && sscanf(text, "%d %llu", pid, start) == 2;
}

enum proc_state proc_state(const struct lab *lab, const char *node, const char *name, pid_t *pid)
{
    pid_t found;
    unsigned long long start;
    struct proc_stat now;
    if (!record_read(lab, node, name, &found, &start))
        return PROC_ABSENT;
    if (pid != NULL)
        *pid = found;
    if (!proc_stat_read(found, &now) || now.start != start || now.state == 'Z' || now.state == 'X')
        return PROC_DEAD;
    return now.state == 'T' ? PROC_PAUSED : PROC_RUNNING;
}

GPtrArray *proc_list(const struct lab *lab)
{
    GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
    g_autofree char *folder = lab_path(lab, "pids");
    GDir *dir = g_dir_open(folder, 0, NULL);
    const char *name;
    while (dir != NULL && (name = g_dir_read_name(dir)) != NULL)
        if (strchr(name, '.') != NULL)
            g_ptr_array_add(names, g_strdup(name));
    if (dir != NULL)
        g_dir_close(dir);
    g_ptr_array_sort(names, (GCompareFunc)(void (*)(void))g_strcmp0);
    return names;
}

char *proc_obituary(const struct lab *lab, const char *node, const char *name)
{
    g_autofree char *path = lab_path(lab, "log/%s.%s.log", node, name);
    g_autofree char *text = file_read(path, 64 << 20, NULL, NULL);
    size_t size = text != NULL ? strlen(text) : 0;
    const char *tail = size == 0 ? "" : text + (size > LOG_TAIL ? size - LOG_TAIL : 0);
    return g_strdup_printf("%s on %s is not running; the end of %s:\n%s", name, node, path, tail);
}

/* Daemons with a pid file take a dead process that nobody has reaped yet for a living one: wait until it is. */
static void wait_reaped(const struct lab *lab, const char *node, const char *name)
{
    pid_t pid;
    unsigned long long start;
    struct proc_stat now;
    int64_t deadline_us = loop_now_us() + TERM_US;
    if (!record_read(lab, node, name, &pid, &start))
        return;
    while (proc_stat_read(pid, &now) && now.start == start && loop_now_us() < deadline_us)
        poll(NULL, 0, 10);
}

/* ---- start ---- */

static bool command_write(const struct lab *lab, const char *node, const char *name, const char *const *argv,
                          int priority, GError **error)
{
    json_t *list = json_array();
    for (const char *const *arg = argv; *arg != NULL; arg++)
        json_array_append_new(list, json_string(*arg));
    json_t *command = json_pack("{s:o, s:i}", "argv", list, "priority", priority);
    char *text = json_dumps(command, JSON_INDENT(2));
    g_autofree char *path = g_strdup_printf("cmds/%s.%s", node, name);
    bool ok = lab_write(lab, path, text, error);
    free(text);
    json_decref(command);
    return ok;
}

/* What a child needs; everything is opened before the fork. */
struct launch {
    const char *const *argv;
    int priority, log_fd, pid_fd, ns_fd;
};

/* Returns only on failure. */
static void child_become(const struct launch *launch)
{
    char record[64];
    struct proc_stat self;
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (setsid() < 0 || !proc_stat_read(getpid(), &self))
        return;
    int size = snprintf(record, sizeof record, "%d %llu\n", (int)getpid(), self.start);
    if (write(launch->pid_fd, record, (size_t)size) != size)
        return;
    if (launch->ns_fd >= 0 && setns(launch->ns_fd, CLONE_NEWNET) != 0)
        return;
    struct sched_param param = {.sched_priority = launch->priority};
    if (launch->priority > 0)
        sched_setscheduler(0, SCHED_FIFO, &param);
    if (dup2(null_fd, 0) < 0 || dup2(launch->log_fd, 1) < 0 || dup2(launch->log_fd, 2) < 0)
        return;
    execvp(launch->argv[0], (char *const *)launch->argv);
}

/* The child forks once more and ends, so that whoever runs this is never the parent that must reap. */
static void child_main(const struct launch *launch, int error_fd)
{
    pid_t pid = fork();
    if (pid > 0)
        _exit(0);
    if (pid == 0)
        child_become(launch);
    int child_errno = errno;
    ssize_t written = write(error_fd, &child_errno, sizeof child_errno);
    _exit(written > 0 ? 127 : 126);
}

/* Returns when the process is the program: its errno comes back through a pipe that exec closes. */
static bool launch_fork(const struct launch *launch, GError **error)
{
    int pipe_fd[2], child_errno = 0;
    if (pipe2(pipe_fd, O_CLOEXEC) != 0) {
        g_set_error(error, SB_ERROR, SB_ERROR_IO, "pipe: %s", g_strerror(errno));
        return false;
    }
    pid_t pid = fork();
    if (pid == 0)
        child_main(launch, pipe_fd[1]);
    if (pid < 0)
        child_errno = errno;
    close(pipe_fd[1]);
    bool failed = pid < 0 || read(pipe_fd[0], &child_errno, sizeof child_errno) > 0;
    close(pipe_fd[0]);
    if (pid > 0)
        waitpid(pid, NULL, 0);
    if (failed)
        g_set_error(error, SB_ERROR, SB_ERROR_IO, "cannot start %s: %s", launch->argv[0], g_strerror(child_errno));
    return !failed;
}

static int open_below(const struct lab *lab, const char *kind, const char *name, int flags, GError **error)
{
    g_autofree char *folder = lab_path(lab, "%s", kind);
    g_autofree char *path = g_build_filename(folder, name, NULL);
    if (!file_mkdir(folder, 0755, error))
        return -1;
    int fd = open(path, flags | O_CLOEXEC, 0644);
    if (fd < 0)
        g_set_error(error, SB_ERROR, SB_ERROR_IO, "%s: %s", path, g_strerror(errno));
    return fd;
}

static bool launch_run(const struct lab *lab, const char *node, const char *name, const char *const *argv, int priority,
                       GError **error)
{
    g_autofree char *log = g_strdup_printf("%s.%s.log", node, name);
    g_autofree char *record = g_strdup_printf("%s.%s", node, name);
    struct launch launch = {.argv = argv, .priority = priority, .log_fd = -1, .pid_fd = -1, .ns_fd = -1};
    bool ok = false;
    if (strcmp(node, PROC_NO_NODE) != 0) {
        g_autofree char *ns = g_strdup_printf("%s%s", lab->prefix, node);
        g_autofree char *path = g_build_filename("/run/netns", ns, NULL);
        launch.ns_fd = open(path, O_RDONLY | O_CLOEXEC);
        if (launch.ns_fd < 0) {
            g_set_error(error, SB_ERROR, SB_ERROR_NOT_FOUND, "no namespace %s", ns);
            return false;
        }
    }
    launch.log_fd = open_below(lab, "log", log, O_WRONLY | O_CREAT | O_APPEND, error);
    if (launch.log_fd >= 0)
        launch.pid_fd = open_below(lab, "pids", record, O_WRONLY | O_CREAT | O_TRUNC, error);
    if (launch.pid_fd >= 0)
        ok = launch_fork(&launch, error);
    for (unsigned i = 0; i < 3; i++) {
        int fd = i == 0 ? launch.log_fd : i == 1 ? launch.pid_fd : launch.ns_fd;
        if (fd >= 0)
            close(fd);
    }
    return ok;
}

bool proc_start(const struct lab *lab, const char *node, const char *name, const char *const *argv, int priority,
                GError **error)
{
    return command_write(lab, node, name, argv, priority, error) && launch_run(lab, node, name, argv, priority, error);
}

bool proc_start_again(const struct lab *lab, const char *node, const char *name, GError **error)
{
    enum proc_state state = proc_state(lab, node, name, NULL);
    if (state == PROC_RUNNING || state == PROC_PAUSED) {
        g_set_error(error, SB_ERROR, SB_ERROR_CONFLICT, "%s on %s runs already", name, node);
        return false;
    }
    wait_reaped(lab, node, name);
    g_autofree char *path = record_path(lab, "cmds", node, name);
    json_t *command = json_load_file(path, 0, NULL);
    if (command == NULL) {
        g_set_error(error, SB_ERROR, SB_ERROR_NOT_FOUND, "%s on %s was never started (no %s)", name, node, path);
        return false;
    }
    g_autoptr(GPtrArray) argv = g_ptr_array_new();
    size_t i;
    json_t *arg;
    json_array_foreach (json_object_get(command, "argv"), i, arg)
        g_ptr_array_add(argv, (char *)json_string_value(arg));
    g_ptr_array_add(argv, NULL);
    int priority = (int)json_integer_value(json_object_get(command, "priority"));
    bool ok = launch_run(lab, node, name, (const char *const *)argv->pdata, priority, error);
    json_decref(command);
    return ok;
}

/* ---- signals ---- */

/* Waits until all of these have ended, with poll(2) on pidfds; false at the deadline. */
static bool wait_gone(const GArray *pids, int64_t deadline_us)
{
    bool gone = true;
    for (guint i = 0; i < pids->len; i++) {
        int fd = (int)syscall(SYS_pidfd_open, g_array_index(pids, pid_t, i), 0);
        if (fd < 0)
            continue; /* no such process any more */
        int64_t left_us = deadline_us - loop_now_us();
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        if (poll(&wait, 1, left_us > 0 ? (int)(left_us / 1000) + 1 : 0) != 1)
            gone = false;
        close(fd);
    }
    return gone;
}

static bool pid_gone(pid_t pid, int64_t patience_us)
{
    g_autoptr(GArray) pids = g_array_new(FALSE, FALSE, sizeof(pid_t));
    g_array_append_val(pids, pid);
    return wait_gone(pids, loop_now_us() + patience_us);
}

/* False, for `return`. */
static bool still_there(const char *node, const char *name, pid_t pid, GError **error)
{
    g_set_error(error, SB_ERROR, SB_ERROR_TIMEOUT, "%s on %s (%d) does not end", name, node, (int)pid);
    return false;
}

/* The last thread stops a little after kill(2) has returned. */
static void wait_paused(const struct lab *lab, const char *node, const char *name)
{
    int64_t deadline_us = loop_now_us() + TERM_US;
    while (proc_state(lab, node, name, NULL) == PROC_RUNNING && loop_now_us() < deadline_us)
        poll(NULL, 0, 1);
}

bool proc_signal(const struct lab *lab, const char *node, const char *name, int signal_number, int64_t *at_us,
                 GError **error)
{
    pid_t pid;
    enum proc_state state = proc_state(lab, node, name, &pid);
    if (state == PROC_ABSENT || state == PROC_DEAD) {
        g_set_error(error, SB_ERROR, SB_ERROR_NOT_FOUND, "%s on %s is not running (see `lab status`)", name, node);
        return false;
    }
    if (kill(-pid, signal_number) != 0) {
        g_set_error(error, SB_ERROR, SB_ERROR_IO, "kill %d: %s", (int)pid, g_strerror(errno));
        return false;
    }
    if (at_us != NULL)
        *at_us = wall_now_us();
    if (signal_number == SIGKILL)
        return pid_gone(pid, KILL_US) || still_there(node, name, pid, error);
    if (signal_number == SIGSTOP)
        wait_paused(lab, node, name);
    return true;
}

bool proc_stop(const struct lab *lab, const char *node, const char *name, GError **error)
{
    pid_t pid;
    g_autofree char *record = record_path(lab, "pids", node, name);
    enum proc_state state = proc_state(lab, node, name, &pid);
    if (state == PROC_RUNNING || state == PROC_PAUSED) {
        kill(-pid, SIGTERM);
        kill(-pid, SIGCONT);
        if (!pid_gone(pid, TERM_US))
            kill(-pid, SIGKILL);
        if (!pid_gone(pid, KILL_US))
            return still_there(node, name, pid, error);
    }
    wait_reaped(lab, node, name);
    unlink(record);
    return true;
}

/* ---- everything ---- */

static void collect_recorded(const struct lab *lab, GArray *pids)
{
    g_autoptr(GPtrArray) names = proc_list(lab);
    for (guint i = 0; i < names->len; i++) {
        g_auto(GStrv) parts = g_strsplit(names->pdata[i], ".", 2);
        pid_t pid;
        enum proc_state state = proc_state(lab, parts[0], parts[1], &pid);
        if (state == PROC_RUNNING || state == PROC_PAUSED)
            g_array_append_val(pids, pid);
    }
}

/* Processes inside these namespaces: workers whose master was killed, and what `lab exec` left. */
static void collect_inside(char **namespaces, GArray *pids)
{
    GDir *proc = g_dir_open("/proc", 0, NULL);
    const char *name;
    while (proc != NULL && (name = g_dir_read_name(proc)) != NULL) {
        pid_t pid = (pid_t)atoi(name);
        g_autofree char *path = g_strdup_printf("/proc/%s/ns/net", name);
        struct stat of_process, of_namespace;
        if (pid <= 0 || pid == getpid() || stat(path, &of_process) != 0)
            continue;
        for (char **ns = namespaces; *ns != NULL; ns++) {
            g_autofree char *ns_path = g_build_filename("/run/netns", *ns, NULL);
            if (stat(ns_path, &of_namespace) == 0 && of_namespace.st_ino == of_process.st_ino &&
                of_namespace.st_dev == of_process.st_dev)
                g_array_append_val(pids, pid);
        }
    }
    if (proc != NULL)
        g_dir_close(proc);
}

bool proc_stop_all(const struct lab *lab, char **namespaces, GError **error)
{
    g_autoptr(GArray) recorded = g_array_new(FALSE, FALSE, sizeof(pid_t));
    collect_recorded(lab, recorded);
    for (guint i = 0; i < recorded->len; i++) {
        kill(-g_array_index(recorded, pid_t, i), SIGTERM);
        kill(-g_array_index(recorded, pid_t, i), SIGCONT);
    }
    wait_gone(recorded, loop_now_us() + TERM_US);

    g_autoptr(GArray) left = g_array_new(FALSE, FALSE, sizeof(pid_t));
    collect_recorded(lab, left);
    collect_inside(namespaces, left);
    for (guint i = 0; i < left->len; i++)
        kill(g_array_index(left, pid_t, i), SIGKILL);
    if (wait_gone(left, loop_now_us() + KILL_US))
        return true;
    g_set_error(error, SB_ERROR, SB_ERROR_TIMEOUT, "processes of the lab do not end: see %s/pids", lab->run);
    return false;
}
