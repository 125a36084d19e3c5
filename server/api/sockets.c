/* sockets.c: the sockets that listeners take. */
#include "server/api/listener.h"

#include "core/error.h"
#include "core/fileio.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 1024

static int fail(int fd, const char *what, const char *where, GError **error)
{
    g_set_error(error, SB_ERROR, SB_ERROR_IO, "cannot %s %s: %s", what, where, g_strerror(errno));
    if (fd >= 0)
        close(fd);
    return -1;
}

int listen_tcp(const struct endpoint *address, GError **error)
{
    struct sockaddr_storage sa;
    socklen_t len = endpoint_sockaddr(address, &sa);
    char text[ENDPOINT_TEXT_SIZE];
    int one = 1;
    endpoint_format(address, text);
    int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return fail(fd, "make a socket for", text, error);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (sa.ss_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one);
    if (bind(fd, (const struct sockaddr *)&sa, len) != 0 || listen(fd, BACKLOG) != 0)
        return fail(fd, "listen on", text, error);
    return fd;
}

/* Does a server answer behind the file? */
static bool in_use(const struct sockaddr_un *sa)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool used = fd >= 0 && connect(fd, (const struct sockaddr *)sa, sizeof *sa) == 0;
    if (fd >= 0)
        close(fd);
    return used;
}

int listen_unix(const char *path, mode_t mode, GError **error)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof sa.sun_path) {
        g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "socket %s: found %zu bytes, expected at most %zu", path,
                    strlen(path), sizeof sa.sun_path - 1);
        return -1;
    }
    memcpy(sa.sun_path, path, strlen(path) + 1);
    g_autofree char *folder = g_path_get_dirname(path);
    if (!file_mkdir(folder, 0755, error))
        return -1;
    if (in_use(&sa)) {
        g_set_error(error, SB_ERROR, SB_ERROR_CONFLICT, "socket %s: another server answers there", path);
        return -1;
    }
    unlink(path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    mode_t before = umask(0777 & ~mode); /* bind makes the file with its mode, so there is no moment with another */
    int rc = fd < 0 ? -1 : bind(fd, (const struct sockaddr *)&sa, sizeof sa);
    int saved = errno;
    umask(before);
    errno = saved;
    if (rc != 0 || listen(fd, BACKLOG) != 0)
        return fail(fd, "listen on", path, error);
    return fd;
}
