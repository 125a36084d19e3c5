/* route.h: the paths of the REST API (routes.def), and the match of a request to one of them.
 *
 * (`struct route` is the inventory's: a path prefix of a group.)  Thread safety: pure functions.
 */
#ifndef SCHEMA_ROUTE_H
#define SCHEMA_ROUTE_H

#include <stdbool.h>

enum route_id {
#define ROUTE(symbol, ...) ROUTE_##symbol,
#include "schema/routes.def"
#undef ROUTE
    ROUTES
};
enum route_role {
    ROUTE_ANY, /* no token is needed */
    ROUTE_OPERATOR,
    ROUTE_AGENT, /* {name} must be the token's own name */
    ROUTE_LOCAL, /* local socket only */
};
struct route_class {
    enum route_id id;
    const char *method, *path; /* "GET", "/v1/inventory/{kind}/{name}" */
    enum route_role role;
    const char *request, *response; /* schemas of the bodies (bodies.def), "" for none */
    const char *summary;
};
const struct route_class *route_class(enum route_id id);
/* "operator" */
const char *route_role_name(enum route_role role);

#define ROUTE_PARAMS_MAX 2
#define ROUTE_PARAM_SIZE 256 /* bytes with NUL */
struct route_params {
    unsigned n;
    char value[ROUTE_PARAMS_MAX][ROUTE_PARAM_SIZE]; /* decoded, in the order of the path */
};
/* The route of a request. path: without query, still percent-encoded. A parameter is 1 to 255 of A-Z a-z 0-9 . _ ~ : -
 * after decoding and neither "." nor "..": nothing else is a name here, so that it can safely stand anywhere.
 * NULL: no route; *path_known then says whether the path has other methods (405) or none (404). *params is written for
 * a match only; path_known may be NULL. */
const struct route_class *route_match(const char *method, const char *path, struct route_params *params,
                                      bool *path_known);
/* The methods of a path for Allow, "GET, PUT"; "" if it is unknown. g_free. */
char *route_methods(const char *path);

/* The whole API as OpenAPI 3.1, YAML text made from routes, bodies, objects, levers, steps and errors; g_free. */
char *openapi_yaml(void);

#endif
