#include "core/fileio.h"

#include "core/error.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool fail(GError **error, const char *what, const char *path)
{
    int saved = errno;
    g_set_error(error, SB_ERROR, saved == ENOENT ? SB_ERROR_NOT_FOUND : SB_ERROR_IO, "%s %s: %s", what, path,
                g_strerror(saved));
    return false;
}

static bool write_all(int fd, const char *bytes, size_t size)
{
    while (size > 0) {
        ssize_t n = write(fd, bytes, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        bytes += n;
        size -= (size_t)n;
    }
    return true;
}

bool file_write_atomic(const char *path, const void *bytes, size_t size, mode_t mode, GError **error)
{
    g_autofree char *tmp = g_strdup_printf("%s.tmp", path);
    g_autofree char *folder = g_path_get_dirname(path);
    int fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    if (fd < 0)
        return fail(error, "cannot create", tmp);
    if (!write_all(fd, bytes, size) || fsync(fd) != 0) {
        fail(error, "cannot write", tmp);
        close(fd);
        unlink(tmp);
        return false;
    }
    close(fd);
    if (rename(tmp, path) != 0) {
        fail(error, "cannot rename to", path);
        unlink(tmp);
        return false;
    }
    int dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return fail(error, "cannot open folder", folder);
    bool ok = fsync(dir) == 0 || fail(error, "cannot fsync folder", folder);
    close(dir);
    return ok;
}

bool file_append(const char *path, const char *text, mode_t mode, bool sync, bool *torn, GError **error)
{
    g_autofree char *whole = g_strconcat(*torn ? "\n" : "", text, NULL);
    size_t size = strlen(whole);
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, mode);
    if (fd < 0)
        return fail(error, "cannot append to", path);
    ssize_t n = write(fd, whole, size);
    bool ok = n == (ssize_t)size;
    if (n >= 0 && !ok) /* a full disk takes a part of it */
        errno = ENOSPC;
    ok = (ok && (!sync || fsync(fd) == 0)) || fail(error, "cannot append to", path);
    if (ok)
        *torn = false;
    else if (n > 0 && ftruncate(fd, lseek(fd, 0, SEEK_END) - n) != 0)
        *torn = true;
    close(fd);
    return ok;
}

char *file_read(const char *path, size_t max, size_t *size, GError **error)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        fail(error, "cannot open", path);
        return NULL;
    }
    GByteArray *out = g_byte_array_new();
    char buffer[16384];
    ssize_t n;
    while ((n = read(fd, buffer, sizeof buffer)) != 0) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 || out->len + (size_t)n > max) {
            if (n < 0)
                fail(error, "cannot read", path);
            else
                g_set_error(error, SB_ERROR, SB_ERROR_TOO_LARGE, "%s is larger than %zu bytes", path, max);
            close(fd);
            g_byte_array_unref(out);
            return NULL;
        }
        g_byte_array_append(out, (const guint8 *)buffer, (guint)n);
    }
    close(fd);
    if (size != NULL)
        *size = out->len;
    g_byte_array_append(out, (const guint8 *)"", 1);
    return (char *)g_byte_array_free(out, FALSE);
}

bool file_check_private(const char *path, GError **error)
{
    struct stat st;
    if (stat(path, &st) != 0 || (st.st_mode & 077) == 0)
        return true;
    g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "found mode %04o of %s, expected 0600: chmod 600 %s",
                (unsigned)st.st_mode & 07777, path, path);
    return false;
}

bool file_mkdir(const char *path, mode_t mode, GError **error)
{
    if (g_mkdir_with_parents(path, (int)mode) != 0)
        return fail(error, "cannot make folder", path);
    return true;
}
