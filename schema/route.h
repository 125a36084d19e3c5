/* route.h: the paths of the REST API (routes.def), and the match of a request to one of them.
 *
 * (`struct route` is the inventory's: a path prefix of a group.)  Thread safety: pure functions.
 */
#ifndef SCHEMA_ROUTE_H
#define SCHEMA_ROUTE_H

#include <stdbool.h>
#include <stdint.h>

enum route_id {
#define ROUTE(symbol, ...) ROUTE_##symbol,
#include "schema/routes.def"
#undef ROUTE
    ROUTES
};
/* Of a route: who may ask it. Of a token: what its holder is; never ROUTE_ANY. */
enum route_role {
    ROUTE_ANY, /* no token is needed */
    ROUTE_VIEWER,
    ROUTE_OPERATOR, /* and what a viewer may */
    ROUTE_ADMIN,    /* and what an operator may */
    ROUTE_AGENT,    /* {name} must be the token's own name */
};
struct route_class {
    enum route_id id;
    const char *method, *path; /* "GET", "/v1/inventory/{kind}/{name}" */
    enum route_role role;
    const char *request, *response; /* schemas of the bodies (bodies.def), "" for none */
    const char *summary;
};
const struct route_class *route_class(enum route_id id);

/* What may stand behind the ? of a route's path (queries.def). */
enum query_type { QUERY_INTEGER, QUERY_FLAG, QUERY_TEXT };
struct query_class {
    enum route_id route;
    const char *name; /* "limit" */
    enum query_type type;
    int64_t min, max, absent; /* of an integer: its range, and what stands for one that is not given */
    const char *doc;
};
/* NULL: the route takes none of this name. */
const struct query_class *route_query(enum route_id route, const char *name);
/* All of them, route by route; the last has no name. */
const struct query_class *route_queries(void);

/* "operator" */
const char *route_role_name(enum route_role role);
/* The role of a token by its name; false: there is none of it. text may be NULL. */
bool route_role_parse(const char *text, enum route_role *role);
/* May who has the one role ask what wants the other? */
bool route_role_may(enum route_role have, enum route_role want);
/* The roles of tokens that may, "operator or admin"; of ROUTE_ANY all of them. g_free. */
char *route_roles_text(enum route_role want);

/* A scope is a part of the API, which is the first word of paths behind /v1/ ("plans", "controls"), or one thing in it:
 * "plans/room-isolated" is what has this as the first parameter of its path. Is there such a part, and may the name
 * behind it be one? text may be NULL. */
bool route_scope_valid(const char *text);

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
/* Does the scope hold a request for this route? */
bool route_scope_holds(const char *scope, const struct route_class *route, const struct route_params *params);
/* The methods of a path for Allow, "GET, PUT"; "" if it is unknown. g_free. */
char *route_methods(const char *path);

/* The whole API as OpenAPI 3.1, YAML text made from routes, bodies, objects, levers, steps and errors; g_free. */
char *openapi_yaml(void);

#endif
