#include "tests/lab/lab_lock.h"

#include "core/error.h"
#include "core/fileio.h"
#include "core/loop.h"
#include "tests/lab/lab_proc.h"

#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define PATIENCE_US (2 * G_USEC_PER_SEC) /* a child of a builder that was killed lets go in less */

/* What people call a process; g_free. */
static char *process_name(pid_t pid)
{
    gsize size = 0;
    char *text = NULL;
    g_autofree char *path = g_strdup_printf("/proc/%d/cmdline", (int)pid);
    if (!g_file_get_contents(path, &text, &size, NULL) || size == 0) {
        g_free(text);
        return g_strdup("?");
    }
    for (gsize i = 0; i + 1 < size; i++)
        if (text[i] == '\0')
            text[i] = ' ';
    return text;
}

static bool in_use(const struct lab *lab, pid_t pid, GError **error)
{
    g_autofree char *name = process_name(pid);
    g_set_error(error, SB_ERROR, SB_ERROR_CONFLICT,
                "the lab at %s is in use by process %d (%s): end that first, or take another --run and --prefix",
                lab->run, (int)pid, name);
    return false;
}

/* ---- the owner ---- */

bool lab_owner_write(const struct lab *lab, GError **error)
{
    struct proc_stat stat;
    if (lab->owner == 0)
        return true;
    if (!proc_stat_read(lab->owner, &stat)) {
        g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "--owner %d: there is no such process", (int)lab->owner);
        return false;
    }
    g_autofree char *text = g_strdup_printf("%d %llu\n", (int)lab->owner, stat.start);
    return lab_write(lab, "owner", text, error);
}

static bool is_ancestor(pid_t pid)
{
    struct proc_stat stat;
    for (pid_t at = getpid(); at > 0; at = stat.parent)
        if (at == pid || !proc_stat_read(at, &stat))
            return at == pid;
    return false;
}

static bool owner_allows(const struct lab *lab, GError **error)
{
    int pid;
    unsigned long long start;
    struct proc_stat stat;
    g_autofree char *path = lab_path(lab, "owner");
    g_autofree char *text = file_read(path, 100, NULL, NULL);
    if (text == NULL || sscanf(text, "%d %llu", &pid, &start) != 2 || !proc_stat_read(pid, &stat) ||
        stat.start != start || stat.state == 'Z')
        return true;
    return is_ancestor(pid) || in_use(lab, pid, error);
}

/* ---- the lock ---- */

static socklen_t lock_address(const struct lab *lab, struct sockaddr_un *address)
{
    /* A name of any length, in one that has room: 32 hex digits tell folders apart. */
    g_autofree char *folder = g_canonicalize_filename(lab->run, NULL);
    g_autofree char *hash = g_compute_checksum_for_string(G_CHECKSUM_MD5, folder, -1);
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    int len = snprintf(address->sun_path + 1, sizeof address->sun_path - 1, "signalbox-lab-%s", hash);
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)len);
}

/* Pid of the process that listens; 0 if it has gone meanwhile. */
static pid_t lock_holder(const struct sockaddr_un *address, socklen_t size)
{
    struct ucred peer = {0};
    socklen_t peer_size = sizeof peer;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)address, size) != 0 ||
        getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &peer_size) != 0)
        peer.pid = 0;
    if (fd >= 0)
        close(fd);
    return peer.pid;
}

int lab_lock(const struct lab *lab, GError **error)
{
    struct sockaddr_un address;
    socklen_t size = lock_address(lab, &address);
    int64_t deadline_us = loop_now_us() + PATIENCE_US;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool locked = false;
    while (fd >= 0 && !(locked = bind(fd, (const struct sockaddr *)&address, size) == 0 && listen(fd, 8) == 0) &&
           errno == EADDRINUSE && loop_now_us() < deadline_us)
        poll(NULL, 0, 20);
    if (!locked && errno != EADDRINUSE)
        g_set_error(error, SB_ERROR, SB_ERROR_IO, "the lock of %s: %s", lab->run, g_strerror(errno));
    else if (!locked)
        in_use(lab, lock_holder(&address, size), error);
    if (locked && owner_allows(lab, error))
        return fd;
    lab_unlock(fd);
    return -1;
}

void lab_unlock(int lock)
{
    if (lock >= 0)
        close(lock);
}
