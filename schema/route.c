#include "schema/route.h"

#include <glib.h>
#include <string.h>

static const struct route_class classes[] = {
#define ROUTE(symbol, method, path, role, request, response, summary)                                                  \
    {ROUTE_##symbol, #method, path, ROUTE_##role, request, response, summary},
#include "schema/routes.def"
#undef ROUTE
};

const struct route_class *route_class(enum route_id id)
{
    g_assert((unsigned)id < ROUTES);
    return &classes[id];
}

static const struct query_class queries[] = {
#define QUERY(route, name, type, min, max, absent, doc) {ROUTE_##route, #name, QUERY_##type, min, max, absent, doc},
#include "schema/queries.def"
#undef QUERY
    {ROUTES, NULL, QUERY_TEXT, 0, 0, 0, NULL},
};

const struct query_class *route_queries(void)
{
    return queries;
}

const struct query_class *route_query(enum route_id route, const char *name)
{
    for (const struct query_class *query = queries; query->name != NULL; query++)
        if (query->route == route && strcmp(query->name, name) == 0)
            return query;
    return NULL;
}

static const char *const role_names[] = {"any", "viewer", "operator", "admin", "agent"};

const char *route_role_name(enum route_role role)
{
    return role_names[role];
}

bool route_role_parse(const char *text, enum route_role *role)
{
    for (unsigned i = ROUTE_VIEWER; i < G_N_ELEMENTS(role_names); i++)
        if (g_strcmp0(text, role_names[i]) == 0) {
            *role = (enum route_role)i;
            return true;
        }
    return false;
}

bool route_role_may(enum route_role have, enum route_role want)
{
    if (want == ROUTE_ANY || have == want)
        return true;
    return have != ROUTE_AGENT && want != ROUTE_AGENT && have > want;
}

char *route_roles_text(enum route_role want)
{
    GString *text = g_string_new(NULL);
    const char *last = NULL;
    for (unsigned i = ROUTE_VIEWER; i < G_N_ELEMENTS(role_names); i++) {
        if (!route_role_may((enum route_role)i, want))
            continue;
        if (last != NULL)
            g_string_append_printf(text, "%s%s", text->len > 0 ? ", " : "", last);
        last = role_names[i];
    }
    g_string_append_printf(text, "%s%s", text->len > 0 ? " or " : "", last);
    return g_string_free(text, FALSE);
}

static bool param_char_valid(char c)
{
    return g_ascii_isalnum(c) || (c != '\0' && strchr("._~:-", c) != NULL);
}

/* One segment of a path, decoded; false if it is no parameter. */
static bool param_decode(const char *segment, size_t len, char out[static ROUTE_PARAM_SIZE])
{
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        char c = segment[i];
        if (c == '%') {
            if (len - i < 3 || !g_ascii_isxdigit(segment[i + 1]) || !g_ascii_isxdigit(segment[i + 2]))
                return false;
            c = (char)(g_ascii_xdigit_value(segment[i + 1]) * 16 + g_ascii_xdigit_value(segment[i + 2]));
            i += 2;
        }
        if (!param_char_valid(c) || n + 1 == ROUTE_PARAM_SIZE)
            return false;
        out[n++] = c;
    }
    out[n] = '\0';
    return n > 0 && strcmp(out, ".") != 0 && strcmp(out, "..") != 0;
}

/* Segment by segment: "{x}" takes a parameter, everything else must be equal. */
static bool path_match(const char *pattern, const char *path, struct route_params *params)
{
    params->n = 0;
    while (*pattern == '/' && *path == '/') {
        pattern++, path++;
        size_t pattern_len = strcspn(pattern, "/"), len = strcspn(path, "/");
        if (*pattern == '{') {
            g_assert(params->n < ROUTE_PARAMS_MAX);
            if (!param_decode(path, len, params->value[params->n++]))
                return false;
        } else if (pattern_len != len || memcmp(pattern, path, len) != 0) {
            return false;
        }
        pattern += pattern_len;
        path += len;
    }
    return *pattern == '\0' && *path == '\0';
}

const struct route_class *route_match(const char *method, const char *path, struct route_params *params,
                                      bool *path_known)
{
    bool known = false;
    struct route_params found;
    for (unsigned i = 0; i < ROUTES; i++) {
        if (!path_match(classes[i].path, path, &found))
            continue;
        known = true;
        if (strcmp(classes[i].method, method) != 0)
            continue;
        *params = found;
        if (path_known != NULL)
            *path_known = true;
        return &classes[i];
    }
    if (path_known != NULL)
        *path_known = known;
    return NULL;
}

char *route_methods(const char *path)
{
    GString *methods = g_string_new(NULL);
    struct route_params params;
    for (unsigned i = 0; i < ROUTES; i++)
        if (path_match(classes[i].path, path, &params))
            g_string_append_printf(methods, "%s%s", methods->len > 0 ? ", " : "", classes[i].method);
    return g_string_free(methods, FALSE);
}

/* Where the first word of a path behind its version begins; "" for what has none. */
static const char *part_of(const char *path, size_t *len)
{
    const char *part = g_str_has_prefix(path, "/v1/") ? path + strlen("/v1/") : path + 1;
    *len = strcspn(part, "/");
    return part;
}

bool route_scope_valid(const char *text)
{
    size_t size = text != NULL ? strcspn(text, "/") : 0, len;
    for (unsigned id = 0; size > 0 && id < ROUTES; id++) {
        const struct route_class *route = route_class(id);
        const char *part = part_of(route->path, &len);
        if (route->role == ROUTE_ANY || route->role == ROUTE_AGENT || len != size || strncmp(part, text, len) != 0)
            continue;
        const char *name = text[size] == '/' ? text + size + 1 : "x";
        return name[0] != '\0' && strlen(name) < ROUTE_PARAM_SIZE && strchr(name, '/') == NULL && g_str_is_ascii(name);
    }
    return false;
}

bool route_scope_holds(const char *scope, const struct route_class *route, const struct route_params *params)
{
    size_t len;
    const char *part = part_of(route->path, &len);
    if (strncmp(scope, part, len) != 0 || (scope[len] != '\0' && scope[len] != '/'))
        return false;
    return scope[len] == '\0' || (params->n > 0 && strcmp(scope + len + 1, params->value[0]) == 0);
}
