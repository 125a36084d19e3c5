#include "core/failpoint.h"

#ifdef SIGNALBOX_FAILPOINTS

#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TEXT_MAX 128

#define FAILPOINT(id, name, text) name,
static const char *const names[] = {
#include "core/failpoint.def"
};
#undef FAILPOINT

/* What stands behind the place's name in SIGNALBOX_FP; NULL: it is not this place. */
static const char *spec_of(enum fail_point point)
{
    const char *spec = getenv("SIGNALBOX_FP");
    size_t len = strlen(names[point]);
    bool ours = spec != NULL && strncmp(spec, names[point], len) == 0 && (spec[len] == ':' || spec[len] == '~');
    return ours ? spec + len : NULL;
}

bool fail_point_wanted(enum fail_point point)
{
    return spec_of(point) != NULL;
}

/* Is the text behind ~, if there is one, a part of it? *spec then is at the colon. */
static bool is_about(const char **spec, const char *about)
{
    char text[TEXT_MAX] = "";
    size_t len = 0;
    if (**spec == '~')
        for (++*spec; **spec != ':' && **spec != '\0' && len + 1 < sizeof text; ++*spec)
            text[len++] = **spec;
    return strstr(about, text) != NULL;
}

void fail_point(enum fail_point point, const char *about)
{
    static atomic_ulong hits;
    const char *spec = spec_of(point);
    if (spec == NULL || !is_about(&spec, about))
        return;
    bool stop = strncmp(spec, ":stop", 5) == 0;
    if (!stop && strncmp(spec, ":kill", 5) != 0)
        return;
    const char *armed = getenv("SIGNALBOX_FP_ARMED");
    if (armed != NULL && access(armed, F_OK) != 0)
        return;
    const char *at = strchr(spec, '@');
    unsigned long wanted = at != NULL ? strtoul(at + 1, NULL, 10) : 1;
    if (atomic_fetch_add(&hits, 1) + 1 == wanted)
        raise(stop ? SIGSTOP : SIGKILL);
}

#else

typedef int failpoint_unused; /* ISO C forbids an empty translation unit */

#endif
