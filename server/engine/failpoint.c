#include "server/engine/failpoint.h"

#ifdef SIGNALBOX_FAILPOINTS

#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void fail_point(const char *name)
{
    static atomic_ulong hits;
    const char *spec = getenv("SIGNALBOX_FP");
    size_t len = strlen(name);
    if (spec == NULL || strncmp(spec, name, len) != 0)
        return;
    bool stop = strncmp(spec + len, ":stop", 5) == 0;
    if (!stop && strncmp(spec + len, ":kill", 5) != 0)
        return;
    const char *armed = getenv("SIGNALBOX_FP_ARMED");
    if (armed != NULL && access(armed, F_OK) != 0)
        return;
    const char *at = strchr(spec + len, '@');
    unsigned long wanted = at != NULL ? strtoul(at + 1, NULL, 10) : 1;
    if (atomic_fetch_add(&hits, 1) + 1 == wanted)
        raise(stop ? SIGSTOP : SIGKILL);
}

#else

typedef int failpoint_unused; /* ISO C forbids an empty translation unit */

#endif
