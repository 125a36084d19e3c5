#include "core/sdnotify.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

void notify(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    if (path == NULL || (path[0] != '/' && path[0] != '@') || strlen(path) >= sizeof sa.sun_path)
        return;
    memcpy(sa.sun_path, path, strlen(path));
    if (path[0] == '@') /* of the abstract name space */
        sa.sun_path[0] = '\0';
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
    if (sendto(fd, state, strlen(state), MSG_NOSIGNAL, (const struct sockaddr *)&sa, size) < 0) {
        /* a manager that does not listen is no reason to stop */
    }
    close(fd);
}

struct notify_watchdog {
    struct loop_timer *timer;
    int64_t period_us;
};

static void on_period(void *data)
{
    struct notify_watchdog *watchdog = data;
    notify("WATCHDOG=1");
    loop_timer_arm(watchdog->timer, loop_now_us() + watchdog->period_us);
}

static int64_t number(const char *name)
{
    const char *text = getenv(name);
    return text == NULL ? 0 : g_ascii_strtoll(text, NULL, 10);
}

struct notify_watchdog *notify_watchdog_new(struct loop *loop)
{
    int64_t granted_us = number("WATCHDOG_USEC"), pid = number("WATCHDOG_PID");
    if (granted_us <= 0 || (pid != 0 && pid != getpid()))
        return NULL;
    struct notify_watchdog *watchdog = g_new0(struct notify_watchdog, 1);
    watchdog->period_us = granted_us / 2;
    watchdog->timer = loop_timer_new(loop, on_period, watchdog);
    loop_timer_arm(watchdog->timer, loop_now_us());
    return watchdog;
}

void notify_watchdog_free(struct notify_watchdog *watchdog)
{
    if (watchdog == NULL)
        return;
    loop_timer_free(watchdog->timer);
    g_free(watchdog);
}
