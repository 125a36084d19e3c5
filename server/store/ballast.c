#include "server/store/ballast.h"

#include "core/error.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

struct ballast {
    char *path;
    uint64_t size;
    bool kept;
};

bool disk_look(const char *folder, struct disk *disk, GError **error)
{
    struct statvfs fs;
    if (statvfs(folder, &fs) != 0) {
        g_set_error(error, SB_ERROR, SB_ERROR_IO, "cannot look at the disk of %s: %s", folder, g_strerror(errno));
        return false;
    }
    uint64_t used = (uint64_t)(fs.f_blocks - fs.f_bfree) * fs.f_frsize;
    disk->free = (uint64_t)fs.f_bavail * fs.f_frsize;
    disk->size = used + disk->free;
    disk->used_percent = disk->size == 0 ? 0 : (unsigned)(used * 100 / disk->size);
    return true;
}

struct ballast *ballast_new(const char *folder, uint64_t size)
{
    struct stat st;
    struct ballast *ballast = g_new0(struct ballast, 1);
    ballast->path = g_build_filename(folder, "ballast", NULL);
    ballast->size = size;
    ballast->kept = stat(ballast->path, &st) == 0 && (uint64_t)st.st_blocks * 512 >= size;
    if (size == 0) /* of a start that wanted one */
        ballast_give_up(ballast);
    return ballast;
}

void ballast_free(struct ballast *ballast)
{
    if (ballast == NULL)
        return;
    g_free(ballast->path);
    g_free(ballast);
}

bool ballast_kept(const struct ballast *ballast)
{
    return ballast->kept;
}

bool ballast_make(struct ballast *ballast, const struct disk *disk, GError **error)
{
    if (ballast->kept || ballast->size == 0 || disk->free / 2 < ballast->size)
        return true;
    int fd = open(ballast->path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    /* Not posix_fallocate: where the file system cannot do it, that one writes all of it. */
    ballast->kept = fd >= 0 && fallocate(fd, 0, 0, (off_t)ballast->size) == 0;
    int saved = errno;
    if (fd >= 0)
        close(fd);
    if (ballast->kept)
        return true;
    unlink(ballast->path); /* half of one keeps nothing back */
    g_set_error(error, SB_ERROR, SB_ERROR_IO, "cannot make the ballast %s of %" G_GUINT64_FORMAT " bytes: %s",
                ballast->path, ballast->size, g_strerror(saved));
    return false;
}

bool ballast_give_up(struct ballast *ballast)
{
    ballast->kept = false;
    return unlink(ballast->path) == 0;
}
