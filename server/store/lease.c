#include "server/store/lease.h"

#include "core/error.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

struct folder_lease {
    struct lease lease;
    char *path;
    int fd;
    struct stat locked; /* the file that is locked */
};

static bool folder_held(const struct lease *base, GError **error)
{
    const struct folder_lease *lease = (const struct folder_lease *)base;
    struct stat now;
    int rc = stat(lease->path, &now);
    if (rc == 0 && now.st_dev == lease->locked.st_dev && now.st_ino == lease->locked.st_ino)
        return true;
    if (rc != 0 && errno != ENOENT) /* a disk that fails takes no lease away; the journal will tell */
        return true;
    g_set_error(error, SB_ERROR, SB_ERROR_STALE, "the lease is lost: found %s, expected the file locked at the start",
                rc == 0 ? "another lock file" : "no lock file");
    return false;
}

static void folder_close(struct lease *base)
{
    struct folder_lease *lease = (struct folder_lease *)base;
    if (lease->fd >= 0)
        close(lease->fd);
    g_free(lease->path);
    g_free(lease);
}

static const struct lease_ops folder_ops = {folder_held, folder_close};

struct lease *lease_open_folder(const char *folder, GError **error)
{
    struct folder_lease *lease = g_new0(struct folder_lease, 1);
    lease->lease.ops = &folder_ops;
    lease->path = g_build_filename(folder, "lock", NULL);
    lease->fd = open(lease->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (lease->fd < 0) /* a folder that cannot be written may hold a journal to read */
        lease->fd = open(lease->path, O_RDONLY | O_CLOEXEC);
    if (lease->fd >= 0 && flock(lease->fd, LOCK_EX | LOCK_NB) == 0 && fstat(lease->fd, &lease->locked) == 0 &&
        folder_held(&lease->lease, NULL)) /* else it was replaced in between */
        return &lease->lease;
    bool taken = lease->fd >= 0 && errno == EWOULDBLOCK;
    g_set_error(error, SB_ERROR, taken ? SB_ERROR_CONFLICT : SB_ERROR_IO, "state folder %s: %s", folder,
                taken ? "another signalboxd uses it" : g_strerror(errno));
    folder_close(&lease->lease);
    return NULL;
}

void lease_close(struct lease *lease)
{
    if (lease != NULL)
        lease->ops->close(lease);
}
