#include "tests/lab/traffic/replay.h"

#include "core/error.h"
#include "core/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define POLL_MS 20

static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
    interrupted = number;
}

void replay_catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
}

bool replay_interrupted(GError **error)
{
    if (interrupted == 0)
        return false;
    g_set_error(error, SB_ERROR, SB_ERROR_UNAVAILABLE, "interrupted by signal %d", (int)interrupted);
    return true;
}

pid_t replay_start(const char *output, const char *const *argv, GError **error)
{
    int fd = open(output, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    pid_t pid = fd >= 0 ? fork() : -1;
    if (pid == 0) {
        setpgid(0, 0); /* a Ctrl-C is ours to pass on, so that nothing is cut off half way */
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        dup2(fd, STDOUT_FILENO);
        dup2(fd, STDERR_FILENO);
        execvp(argv[0], (char *const *)argv);
        _exit(127);
    }
    if (pid < 0)
        g_set_error(error, SB_ERROR, SB_ERROR_IO, "cannot start %s with output to %s: %s", argv[0], output,
                    g_strerror(errno));
    if (fd >= 0)
        close(fd);
    return MAX(pid, 0);
}

static int exit_code(int status)
{
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Exit code, or -1 when it still runs at the deadline. */
static int reap(pid_t pid, int64_t deadline_us, bool heed_interrupt)
{
    int status;
    while (waitpid(pid, &status, WNOHANG) == 0) {
        if (wall_now_us() >= deadline_us || (heed_interrupt && interrupted))
            return -1;
        poll(NULL, 0, POLL_MS);
    }
    return exit_code(status);
}

int replay_wait(pid_t pid, int64_t deadline_us, GError **error)
{
    int code = reap(pid, deadline_us, true);
    if (code < 0 && !replay_interrupted(error))
        g_set_error(error, SB_ERROR, SB_ERROR_TIMEOUT, "process %d did not end in time", (int)pid);
    return code;
}

int replay_end(pid_t pid, int grace_s)
{
    kill(pid, SIGTERM);
    int code = reap(pid, wall_now_us() + (int64_t)grace_s * G_USEC_PER_SEC, false);
    if (code >= 0)
        return code;
    kill(pid, SIGKILL);
    return reap(pid, INT64_MAX, false);
}

bool replay_until(int64_t at_us, pid_t pid, GError **error)
{
    for (int64_t left_us; (left_us = at_us - wall_now_us()) > 0;) {
        siginfo_t info = {0};
        if (replay_interrupted(error))
            return false;
        if (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid != 0) {
            g_set_error(error, SB_ERROR, SB_ERROR_UNAVAILABLE, "the load client ended before its time");
            return false;
        }
        poll(NULL, 0, (int)MIN(left_us / 1000 + 1, POLL_MS));
    }
    return true;
}

/* Last line that is not empty. */
static const char *last_line(char *text)
{
    char *newline = strrchr(g_strchomp(text), '\n');
    return newline != NULL ? newline + 1 : text;
}

static void leave_group(gpointer data)
{
    (void)data;
    setpgid(0, 0);
}

char *replay_command(const struct replay *replay, int timeout_s, const char *const *argv, GError **error)
{
    g_autoptr(GPtrArray) full = g_ptr_array_new_with_free_func(g_free);
    g_autofree char *err = NULL;
    char *out = NULL;
    int status;
    (void)replay;
    g_ptr_array_add(full, g_strdup("timeout"));
    g_ptr_array_add(full, g_strdup_printf("%d", timeout_s));
    for (; *argv != NULL; argv++)
        g_ptr_array_add(full, g_strdup(*argv));
    g_ptr_array_add(full, NULL);
    if (!g_spawn_sync(NULL, (char **)full->pdata, NULL, G_SPAWN_SEARCH_PATH, leave_group, NULL, &out, &err, &status,
                      error))
        return NULL;
    int code = exit_code(status);
    if (code == 0)
        return out;
    g_set_error(error, SB_ERROR, SB_ERROR_UNAVAILABLE, "%s %s ended with %d: %s", (char *)full->pdata[2],
                full->len > 4 ? (char *)full->pdata[3] : "", code, last_line(err));
    g_free(out);
    return NULL;
}

char *replay_lab(const struct replay *replay, int timeout_s, const char *const *argv, GError **error)
{
    g_autofree char *lab = g_build_filename(replay->build, "tests/lab/lab", NULL);
    g_autoptr(GPtrArray) full = g_ptr_array_new();
    g_ptr_array_add(full, lab);
    for (; *argv != NULL; argv++)
        g_ptr_array_add(full, (gpointer)*argv);
    g_ptr_array_add(full, NULL);
    return replay_command(replay, timeout_s, (const char *const *)full->pdata, error);
}

int64_t replay_fault(const struct replay *replay, const char *verb, const char *selector, GError **error)
{
    const char *argv[] = {verb, selector, NULL};
    g_autofree char *text = replay_lab(replay, 10, argv, error);
    if (text == NULL)
        return MEASURE_NONE;
    json_t *json = json_loads(text, 0, NULL);
    json_int_t at_us = json_integer_value(json_object_get(json, "at_us"));
    json_decref(json);
    if (at_us > 0)
        return at_us;
    g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "lab %s: found %s, expected {\"at_us\": ...}", verb, text);
    return MEASURE_NONE;
}
