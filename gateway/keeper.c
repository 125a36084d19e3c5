#include "gateway/keeper.h"

#include "core/error.h"
#include "core/log.h"
#include "gateway/bird.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define TRY_US 10000 /* between two tries to get the lock */

struct keeper {
    struct loop *loop;
    struct loop_timer *again;
    char *folder;
    struct sockaddr_un bird;
    pid_t pid;   /* 0: there is none */
    int pipe_fd; /* its end of the pipe is the other one; -1 */
};

/* ---- the child ---- */

enum { PIPE_FD = 3, LOCK_FD, FDS }; /* all that it has, beside those of standard */

/* To standard error, as core/log.h does: of that nothing can be used behind fork(2). */
#define SAY(text) (void)!write(STDERR_FILENO, text "\n", sizeof text)

/* Reads BIRD's greeting and its reply: each ends with a line that has a space behind its code. */
static bool heard_both(int fd)
{
    char part[512];
    ssize_t n;
    unsigned column = 0, replies = 0;
    bool refused = false;
    while (replies < 2 && (n = read(fd, part, sizeof part)) > 0)
        for (ssize_t i = 0; i < n; i++) {
            refused = refused || (column == 0 && part[i] >= '8');
            replies += column == 4 && part[i] == ' ';
            column = part[i] == '\n' ? 0 : column + 1;
        }
    return replies >= 2 && !refused;
}

static void tell_bird(const struct sockaddr_un *bird)
{
    static const char words[] = "disable \"" BIRD_NORMAL "*\"\n";
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (connect(fd, (const struct sockaddr *)bird, sizeof *bird) < 0)
        SAY("<4>the agent is gone, and BIRD is not there: it announces nothing");
    else if (write(fd, words, sizeof words - 1) != sizeof words - 1 || !heard_both(fd))
        SAY("<4>the agent is gone, and BIRD does not do as it is told: its addresses may still be announced");
    else
        SAY("<4>the agent is gone: its addresses are announced as the last resort only");
}

static void become(int pipe_fd, int lock_fd)
{
    static const int ignored[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGABRT, SIGPIPE};
    sigset_t none;
    for (unsigned i = 0; i < sizeof ignored / sizeof *ignored; i++)
        signal(ignored[i], SIG_IGN);
    signal(SIGALRM, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setsid();
    prctl(PR_SET_NAME, "signalbox-keep");
    /* First out of the way of where they go to. */
    pipe_fd = fcntl(pipe_fd, F_DUPFD, FDS);
    lock_fd = fcntl(lock_fd, F_DUPFD, FDS);
    dup2(pipe_fd, PIPE_FD);
    dup2(lock_fd, LOCK_FD);
    close_range(FDS, ~0u, 0);
}

static _Noreturn void keep(const struct sockaddr_un *bird)
{
    char word;
    ssize_t n;
    while ((n = read(PIPE_FD, &word, 1)) < 0 && errno == EINTR)
        continue;
    if (n == 0) {
        alarm(KEEPER_S);
        tell_bird(bird);
    }
    _exit(0);
}

/* ---- the agent ---- */

static bool io_failed(const char *what, const char *of, GError **error)
{
    g_set_error(error, SB_ERROR, SB_ERROR_IO, "%s%s: %s", of, what, g_strerror(errno));
    return false;
}

/* -1: SB_ERROR_CONFLICT, somebody has it; IO. */
static int take_lock(const char *folder, GError **error)
{
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
        return fd;
    if (fd >= 0 && errno == EWOULDBLOCK)
        g_set_error(error, SB_ERROR, SB_ERROR_CONFLICT, "%s: an agent has it already, or the keeper of one", folder);
    else
        io_failed("", folder, error);
    if (fd >= 0)
        close(fd);
    return -1;
}

static void on_end(void *data, int fd, uint32_t events)
{
    struct keeper *k = data;
    (void)events;
    loop_unwatch(k->loop, fd);
    close(fd);
    waitpid(k->pid, NULL, 0);
    k->pid = 0;
    k->pipe_fd = -1;
    log_warning("the keeper has ended; another one is started", "%s", "");
    loop_timer_arm(k->again, loop_now_us() + KEEPER_AGAIN_US);
}

static bool start_with(struct keeper *k, int lock_fd, GError **error)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) < 0)
        return io_failed("pipe", "", error);
    k->pid = fork();
    if (k->pid == 0) {
        become(fds[0], lock_fd);
        keep(&k->bird);
    }
    close(fds[0]);
    k->pipe_fd = fds[1];
    if (k->pid > 0)
        return loop_watch(k->loop, k->pipe_fd, 0, on_end, k, error); /* of its end it is told unasked */
    k->pid = 0;
    return io_failed("fork", "", error);
}

static bool start(struct keeper *k, GError **error)
{
    int lock_fd = take_lock(k->folder, error);
    bool ok = lock_fd >= 0 && start_with(k, lock_fd, error);
    if (lock_fd >= 0)
        close(lock_fd); /* it is the child's */
    return ok;
}

static void on_again(void *data)
{
    struct keeper *k = data;
    g_autoptr(GError) error = NULL;
    if (start(k, &error))
        return;
    log_warning("no keeper; it is tried again", "why=\"%s\"", error->message);
    loop_timer_arm(k->again, loop_now_us() + KEEPER_AGAIN_US);
}

struct keeper *keeper_new(struct loop *loop, const char *folder, const char *bird_path, GError **error)
{
    int64_t until_us = loop_now_us() + KEEPER_WAIT_US;
    struct keeper *k = g_new0(struct keeper, 1);
    *k = (struct keeper){.loop = loop, .folder = g_strdup(folder), .bird.sun_family = AF_UNIX, .pipe_fd = -1};
    g_strlcpy(k->bird.sun_path, bird_path, sizeof k->bird.sun_path); /* one that is too long is not there */
    k->again = loop_timer_new(loop, on_again, k);
    GError *why = NULL;
    while (!start(k, &why)) {
        if (!g_error_matches(why, SB_ERROR, SB_ERROR_CONFLICT) || loop_now_us() >= until_us) {
            g_propagate_error(error, why);
            keeper_free(k);
            return NULL;
        }
        g_clear_error(&why);
        poll(NULL, 0, TRY_US / 1000);
    }
    return k;
}

void keeper_dismiss(struct keeper *k)
{
    if (k->pipe_fd >= 0 && write(k->pipe_fd, "", 1) != 1)
        log_warning("the keeper has ended before the agent", "%s", "");
}

void keeper_free(struct keeper *k)
{
    if (k == NULL)
        return;
    if (k->pipe_fd >= 0) {
        loop_unwatch(k->loop, k->pipe_fd);
        close(k->pipe_fd);
    }
    if (k->pid > 0)
        waitpid(k->pid, NULL, 0);
    loop_timer_free(k->again);
    g_free(k->folder);
    g_free(k);
}
