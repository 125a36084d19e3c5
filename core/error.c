#include "core/error.h"

#include <assert.h>

static const struct {
    unsigned http;
    int exit_code;
    const char *title;
} kinds[] = {
#define E(kind, http, exit_code, title) [SB_ERROR_##kind] = {http, exit_code, title},
    SB_ERRORS(E)
#undef E
};

GQuark sb_error_quark(void)
{
    return g_quark_from_static_string("signalbox");
}

static int kind_of(const GError *error)
{
    return error != NULL && error->domain == SB_ERROR ? error->code : SB_ERROR_IO;
}

unsigned error_http_status(const GError *error)
{
    return kinds[kind_of(error)].http;
}

int error_exit_code(const GError *error)
{
    return kinds[kind_of(error)].exit_code;
}

const char *error_kind_name(const GError *error)
{
    static const char *const names[] = {
        "invalid",   "unauthorized", "forbidden",    "not-found", "method", "conflict",    "refused",     "stale",
        "too-large", "reused",       "precondition", "limited",   "io",     "unreachable", "unavailable", "timeout",
    };
    static_assert(G_N_ELEMENTS(names) == G_N_ELEMENTS(kinds), "a name for each kind");
    return names[kind_of(error)];
}

const char *error_kind_title(const GError *error)
{
    return kinds[kind_of(error)].title;
}
