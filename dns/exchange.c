#include "dns/exchange.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/error.h"
#include "core/loop.h"

/* Until fd is ready; false: the deadline has passed or it is time to stop. */
static bool wait_ready(int fd, short events, int64_t deadline_us, int stop_fd, GError **error)
{
    for (;;) {
        int64_t left_us = deadline_us - loop_now_us();
        struct pollfd fds[] = {{.fd = fd, .events = events}, {.fd = stop_fd, .events = POLLIN}};
        int n = poll(fds, 2, left_us > 0 ? (int)((left_us + 999) / 1000) : 0);
        if (n > 0 && fds[1].revents != 0) {
            g_set_error(error, SB_ERROR, SB_ERROR_TIMEOUT, "stopped");
            return false;
        }
        if (n > 0)
            return true;
        if (n < 0 && errno != EINTR) {
            g_set_error(error, SB_ERROR, SB_ERROR_IO, "poll: %s", g_strerror(errno));
            return false;
        }
        if (left_us <= 0) {
            g_set_error(error, SB_ERROR, SB_ERROR_TIMEOUT, "no answer in time");
            return false;
        }
    }
}

static bool finish_connect(int fd, int64_t deadline_us, int stop_fd, GError **error)
{
    if (!wait_ready(fd, POLLOUT, deadline_us, stop_fd, error))
        return false;
    int code = 0;
    socklen_t size = sizeof code;
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &size);
    if (code != 0)
        g_set_error(error, SB_ERROR, SB_ERROR_UNREACHABLE, "%s", g_strerror(code));
    return code == 0;
}

int exchange_connect(const struct endpoint *server, int timeout_ms, int stop_fd, GError **error)
{
    struct sockaddr_storage address;
    socklen_t size = endpoint_sockaddr(server, &address);
    int fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        g_set_error(error, SB_ERROR, SB_ERROR_IO, "socket: %s", g_strerror(errno));
        return -1;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    g_autoptr(GError) cause = NULL;
    if (connect(fd, (struct sockaddr *)&address, size) == 0 ||
        (errno == EINPROGRESS && finish_connect(fd, loop_now_us() + timeout_ms * 1000, stop_fd, &cause)))
        return fd;
    char text[ENDPOINT_TEXT_SIZE];
    g_set_error(error, SB_ERROR, SB_ERROR_UNREACHABLE, "%s can't be reached over TCP: %s",
                endpoint_format(server, text), cause != NULL ? cause->message : g_strerror(errno));
    close(fd);
    return -1;
}

static bool fail_io(GError **error, const char *what)
{
    g_set_error(error, SB_ERROR, SB_ERROR_UNREACHABLE, "%s", what);
    return false;
}

static bool send_all(int fd, const uint8_t *bytes, size_t size, int64_t deadline_us, int stop_fd, GError **error)
{
    while (size > 0) {
        ssize_t n = send(fd, bytes, size, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            return fail_io(error, g_strerror(errno));
        if (n < 0 && !wait_ready(fd, POLLOUT, deadline_us, stop_fd, error))
            return false;
        if (n > 0) {
            bytes += n;
            size -= (size_t)n;
        }
    }
    return true;
}

static bool receive_all(int fd, uint8_t *bytes, size_t size, int64_t deadline_us, int stop_fd, GError **error)
{
    while (size > 0) {
        ssize_t n = recv(fd, bytes, size, 0);
        if (n == 0)
            return fail_io(error, "the server closed the connection without an answer");
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            return fail_io(error, g_strerror(errno));
        if (n < 0 && !wait_ready(fd, POLLIN, deadline_us, stop_fd, error))
            return false;
        if (n > 0) {
            bytes += n;
            size -= (size_t)n;
        }
    }
    return true;
}

GByteArray *exchange_message(int fd, const uint8_t *wire, size_t size, int timeout_ms, int stop_fd, GError **error)
{
    int64_t deadline_us = loop_now_us() + timeout_ms * 1000;
    uint8_t prefix[2] = {(uint8_t)(size >> 8), (uint8_t)size};
    g_autoptr(GByteArray) bytes = g_byte_array_new();
    g_byte_array_append(bytes, prefix, sizeof prefix);
    g_byte_array_append(bytes, wire, (guint)size);
    if (!send_all(fd, bytes->data, bytes->len, deadline_us, stop_fd, error) ||
        !receive_all(fd, prefix, sizeof prefix, deadline_us, stop_fd, error))
        return NULL;
    g_byte_array_set_size(bytes, (guint)(prefix[0] << 8 | prefix[1]));
    if (!receive_all(fd, bytes->data, bytes->len, deadline_us, stop_fd, error))
        return NULL;
    return g_steal_pointer(&bytes);
}
