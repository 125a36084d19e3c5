#include "dataplane/dpsecret.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define SIZE (2 * sizeof(uint64_t))

static int fail(const char *path, const char *what, char *error)
{
    int status = -errno;
    snprintf(error, DPSECRET_ERROR, "%s: %s: %s", path, what, strerror(errno));
    return status;
}

static int make(const char *path, uint64_t *secret, char *error)
{
    if (getrandom(secret, SIZE, 0) != SIZE)
        return fail("getrandom", "no randomness", error);
    int fd = path == NULL ? -1 : open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (path == NULL)
        return 0;
    if (fd < 0)
        return fail(path, "cannot be made", error);
    bool ok = write(fd, secret, SIZE) == (ssize_t)SIZE && fsync(fd) == 0;
    if (close(fd) < 0 || !ok) {
        int status = fail(path, "cannot be written", error);
        unlink(path);
        return status;
    }
    return 0;
}

static int take(int fd, const char *path, uint64_t *secret, char *error)
{
    struct stat file;
    if (fstat(fd, &file) < 0)
        return fail(path, "cannot be asked about", error);
    if (!S_ISREG(file.st_mode) || (file.st_mode & 077) != 0 || file.st_size != (off_t)SIZE) {
        snprintf(error, DPSECRET_ERROR,
                 "%s: %lld bytes, mode %04o; expected a file of %zu bytes that only its owner reads", path,
                 (long long)file.st_size, (unsigned)file.st_mode & 07777, SIZE);
        return -EINVAL;
    }
    errno = EIO;
    return read(fd, secret, SIZE) == (ssize_t)SIZE ? 0 : fail(path, "cannot be read", error);
}

int dpsecret_get(const char *path, uint64_t secret[static 2], char error[static DPSECRET_ERROR])
{
    int fd = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    if (path == NULL || (fd < 0 && errno == ENOENT))
        return make(path, secret, error);
    if (fd < 0)
        return fail(path, "cannot be opened", error);
    int status = take(fd, path, secret, error);
    close(fd);
    return status;
}
