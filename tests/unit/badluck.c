/* badluck.c: a library for LD_PRELOAD that makes a journal's disk and the wall clock fail as long as a file is there,
 * and kills the process at any call that others can see.
 *
 * BADLUCK is a folder. While it holds `write`, writes to files of the journal fail; while it holds `sync`, their fsync
 * and fdatasync do. The file's content is the errno, a number. While it holds `clock`, the wall clock is off by the
 * number of seconds in it; the monotonic clock never is.
 * Only of the journal (journal.db and what SQLite keeps beside it), or of the database that BADLUCK_FILE names: logs
 * and sockets go on.
 *
 * While it holds `kill`, all calls of all threads that change a file, a folder or what stands at the other end of a
 * socket are counted; before the one whose number is in the file the process gets SIGKILL, and `died` says which it
 * was: "pwrite64 journal.db-wal". When the file comes back they are counted anew. Pipes and what only wakes threads do
 * not count; while it holds `thin`, with a number in it, only each so many-th of the writes within a database's file
 * does. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* The number in a file of the folder; 0: no such file. Leaves errno alone. */
static long trouble(const char *name)
{
    int saved = errno;
    const char *folder = getenv("BADLUCK");
    char path[256], text[32];
    long number = 0;
    if (folder != NULL && snprintf(path, sizeof path, "%s/%s", folder, name) < (int)sizeof path) {
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t n = fd >= 0 ? read(fd, text, sizeof text - 1) : 0;
        if (n > 0) {
            text[n] = '\0';
            number = strtol(text, NULL, 10);
        }
        if (fd >= 0)
            close(fd);
    }
    errno = saved;
    return number;
}

static void path_of(int fd, char *path, size_t size)
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, size - 1);
    path[n > 0 ? n : 0] = '\0';
}

/* True with errno set: this call is to fail. */
static bool fails(int fd, const char *name)
{
    char path[512];
    long number = trouble(name);
    if (number == 0)
        return false;
    path_of(fd, path, sizeof path);
    const char *file = getenv("BADLUCK_FILE");
    if (strstr(path, file != NULL ? file : "/journal.db") == NULL)
        return false;
    errno = (int)number;
    return true;
}

/* ---- the last call ---- */

/* Unless `kill` was taken away meanwhile: who does that knows by `died` whether it was in time. */
static void die(const char *call, const char *path)
{
    char kill[256], died[256], text[256];
    const char *slash = strrchr(path, '/'), *folder = getenv("BADLUCK");
    int n = snprintf(text, sizeof text, "%s %s", call, slash != NULL ? slash + 1 : "socket");
    snprintf(kill, sizeof kill, "%s/kill", folder);
    snprintf(died, sizeof died, "%s/died", folder);
    if (syscall(SYS_renameat, AT_FDCWD, kill, AT_FDCWD, died) != 0)
        return;
    int fd = open(died, O_WRONLY | O_TRUNC | O_CLOEXEC);
    if (fd >= 0)
        syscall(SYS_write, fd, text, (size_t)n);
    raise(SIGKILL);
}

static atomic_long calls, writes; /* since `kill` is there */

/* The number in `kill`; 0: nothing is counted. */
static long armed(void)
{
    long wanted = trouble("kill");
    if (wanted == 0) {
        atomic_store(&calls, 0);
        atomic_store(&writes, 0);
    }
    return wanted;
}

static void count_path(const char *call, const char *path)
{
    long wanted = armed();
    if (wanted != 0 && atomic_fetch_add(&calls, 1) + 1 == wanted)
        die(call, path);
}

/* Is this write one of those that are passed over? */
static bool thinned(const char *call)
{
    long each = trouble("thin");
    return each > 1 && strcmp(call, "pwrite64") == 0 && atomic_fetch_add(&writes, 1) % each != 0;
}

static void count(const char *call, int fd)
{
    int saved = errno;
    struct stat st;
    char path[512];
    if (armed() != 0 && fstat(fd, &st) == 0 && (S_ISREG(st.st_mode) || S_ISSOCK(st.st_mode)) && !thinned(call)) {
        path_of(fd, path, sizeof path);
        count_path(call, path);
    }
    errno = saved;
}

/* What would have been called. */
#define NEXT(type, name) ((type)(dlsym(RTLD_NEXT, #name)))
typedef ssize_t (*write_fn)(int, const void *, size_t);
typedef ssize_t (*pwrite_fn)(int, const void *, size_t, off_t);
typedef int (*sync_fn)(int);
typedef ssize_t (*writev_fn)(int, const struct iovec *, int);
typedef int (*truncate_fn)(int, off_t);
typedef int (*allocate_fn)(int, int, off_t, off_t);
typedef int (*path_fn)(const char *);
typedef int (*paths_fn)(const char *, const char *);
typedef int (*mkdir_fn)(const char *, mode_t);
typedef int (*connect_fn)(int, const struct sockaddr *, socklen_t);
typedef ssize_t (*send_fn)(int, const void *, size_t, int);
typedef ssize_t (*sendto_fn)(int, const void *, size_t, int, const struct sockaddr *, socklen_t);
typedef ssize_t (*sendmsg_fn)(int, const struct msghdr *, int);
typedef ssize_t (*sendfile_fn)(int, int, off_t *, size_t);
typedef int (*clock_fn)(clockid_t, struct timespec *);
typedef int (*day_fn)(struct timeval *restrict, void *restrict);

ssize_t write(int fd, const void *data, size_t size)
{
    count("write", fd);
    return fails(fd, "write") ? -1 : NEXT(write_fn, write)(fd, data, size);
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t at)
{
    count("pwrite", fd);
    return fails(fd, "write") ? -1 : NEXT(pwrite_fn, pwrite)(fd, data, size, at);
}

ssize_t pwrite64(int fd, const void *data, size_t size, off_t at)
{
    count("pwrite64", fd);
    return fails(fd, "write") ? -1 : NEXT(pwrite_fn, pwrite64)(fd, data, size, at);
}

int fsync(int fd)
{
    count("fsync", fd);
    return fails(fd, "sync") ? -1 : NEXT(sync_fn, fsync)(fd);
}

int fdatasync(int fd)
{
    count("fdatasync", fd);
    return fails(fd, "sync") ? -1 : NEXT(sync_fn, fdatasync)(fd);
}

ssize_t writev(int fd, const struct iovec *parts, int n)
{
    count("writev", fd);
    return NEXT(writev_fn, writev)(fd, parts, n);
}

int ftruncate64(int fd, off_t size)
{
    count("ftruncate64", fd);
    return NEXT(truncate_fn, ftruncate64)(fd, size);
}

int fallocate(int fd, int mode, off_t at, off_t size)
{
    count("fallocate", fd);
    return NEXT(allocate_fn, fallocate)(fd, mode, at, size);
}

int unlink(const char *path)
{
    count_path("unlink", path);
    return NEXT(path_fn, unlink)(path);
}

int rename(const char *from, const char *to)
{
    count_path("rename", to);
    return NEXT(paths_fn, rename)(from, to);
}

int mkdir(const char *path, mode_t mode)
{
    count_path("mkdir", path);
    return NEXT(mkdir_fn, mkdir)(path, mode);
}

int connect(int fd, const struct sockaddr *address, socklen_t size)
{
    count("connect", fd);
    return NEXT(connect_fn, connect)(fd, address, size);
}

ssize_t send(int fd, const void *data, size_t size, int flags)
{
    count("send", fd);
    return NEXT(send_fn, send)(fd, data, size, flags);
}

ssize_t sendto(int fd, const void *data, size_t size, int flags, const struct sockaddr *address, socklen_t length)
{
    count("sendto", fd);
    return NEXT(sendto_fn, sendto)(fd, data, size, flags, address, length);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    count("sendmsg", fd);
    return NEXT(sendmsg_fn, sendmsg)(fd, message, flags);
}

ssize_t sendfile64(int to, int from, off_t *at, size_t size)
{
    count("sendfile64", to);
    return NEXT(sendfile_fn, sendfile64)(to, from, at, size);
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    int rc = NEXT(clock_fn, clock_gettime)(clock, now);
    if (rc == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        now->tv_sec += trouble("clock");
    return rc;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    int rc = NEXT(day_fn, gettimeofday)(now, zone);
    if (rc == 0)
        now->tv_sec += trouble("clock");
    return rc;
}

/* The vDSO's own would pass by clock_gettime. */
time_t time(time_t *out)
{
    struct timespec now = {0};
    clock_gettime(CLOCK_REALTIME, &now);
    if (out != NULL)
        *out = now.tv_sec;
    return now.tv_sec;
}
