/* badluck.c: a library for LD_PRELOAD that makes a journal's disk and the wall clock fail as long as a file is there.
 *
 * BADLUCK is a folder. While it holds `write`, writes to files of the journal fail; while it holds `sync`, their fsync
 * and fdatasync do. The file's content is the errno, a number. While it holds `clock`, the wall clock is off by the
 * number of seconds in it; the monotonic clock never is.
 *
 * Only of the journal (journal.db and what SQLite keeps beside it): logs and sockets go on. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
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

/* True with errno set: this call is to fail. */
static bool fails(int fd, const char *name)
{
    char link[64], path[512];
    long number = trouble(name);
    if (number == 0)
        return false;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    path[n > 0 ? n : 0] = '\0';
    if (strstr(path, "/journal.db") == NULL)
        return false;
    errno = (int)number;
    return true;
}

/* What would have been called. */
#define NEXT(type, name) ((type)(dlsym(RTLD_NEXT, #name)))
typedef ssize_t (*write_fn)(int, const void *, size_t);
typedef ssize_t (*pwrite_fn)(int, const void *, size_t, off_t);
typedef int (*sync_fn)(int);
typedef int (*clock_fn)(clockid_t, struct timespec *);
typedef int (*day_fn)(struct timeval *restrict, void *restrict);

ssize_t write(int fd, const void *data, size_t size)
{
    return fails(fd, "write") ? -1 : NEXT(write_fn, write)(fd, data, size);
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t at)
{
    return fails(fd, "write") ? -1 : NEXT(pwrite_fn, pwrite)(fd, data, size, at);
}

ssize_t pwrite64(int fd, const void *data, size_t size, off_t at)
{
    return fails(fd, "write") ? -1 : NEXT(pwrite_fn, pwrite64)(fd, data, size, at);
}

int fsync(int fd)
{
    return fails(fd, "sync") ? -1 : NEXT(sync_fn, fsync)(fd);
}

int fdatasync(int fd)
{
    return fails(fd, "sync") ? -1 : NEXT(sync_fn, fdatasync)(fd);
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    int rc = NEXT(clock_fn, clock_gettime)(clock, now);
    if (rc == 0 && clock == CLOCK_REALTIME)
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
