#include "schema/route.h"

#include "core/fileio.h"
#include "schema/yamldoc.h"
#include "tests/unit/unit.h"
#include <string.h>

START_TEST(requests_find_their_route)
{
    static const struct {
        const char *method, *path;
        enum route_id id;
        const char *first, *second;
    } rows[] = {
        {"GET", "/v1/status", ROUTE_STATUS, NULL, NULL},
        {"GET", "/v1/inventory/pop", ROUTE_OBJECTS, "pop", NULL},
        {"PUT", "/v1/inventory/pop/pop-a1", ROUTE_OBJECT_PUT, "pop", "pop-a1"},
        {"GET", "/v1/inventory/domain/play.example.test", ROUTE_OBJECT, "domain", "play.example.test"},
        {"GET", "/v1/controls/room.ingress/room-a", ROUTE_CONTROL, "room.ingress", "room-a"},
        {"GET", "/v1/controls/room%2Eingress/room%2da", ROUTE_CONTROL, "room.ingress", "room-a"},
        {"POST", "/v1/controls", ROUTE_CONTROLS_SET, NULL, NULL},
        {"GET", "/livez", ROUTE_LIVEZ, NULL, NULL},
        {"GET", "/agent/v1/edges/edge-1/table", ROUTE_AGENT_TABLE, "edge-1", NULL},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        struct route_params params;
        bool known = false;
        const struct route_class *route = route_match(rows[i].method, rows[i].path, &params, &known);
        ck_assert_msg(route != NULL && known, "%s", rows[i].path);
        ck_assert_ptr_eq(route, route_class(rows[i].id));
        ck_assert_int_eq((int)params.n, (rows[i].first != NULL) + (rows[i].second != NULL));
        if (rows[i].first != NULL)
            ck_assert_str_eq(params.value[0], rows[i].first);
        if (rows[i].second != NULL)
            ck_assert_str_eq(params.value[1], rows[i].second);
    }
}
END_TEST

START_TEST(other_requests_find_none)
{
    static const struct {
        const char *method, *path;
        bool known;
    } rows[] = {
        {"PATCH", "/v1/status", true},
        {"get", "/v1/status", true},
        {"DELETE", "/v1/inventory/pop", true},
        {"GET", "/v1/status/", false},
        {"GET", "v1/status", false},
        {"GET", "//v1/status", false},
        {"GET", "/v1/stat", false},
        {"GET", "/v1/status2", false},
        {"GET", "/", false},
        {"GET", "", false},
        {"GET", "/v1/inventory/", false},
        {"GET", "/v1/inventory/pop/", false},
        {"GET", "/v1/inventory/pop/..", false},
        {"GET", "/v1/inventory/pop/%2e%2e", false},
        {"GET", "/v1/inventory/pop/.", false},
        {"GET", "/v1/inventory/pop/a%2fb", false},
        {"GET", "/v1/inventory/pop/a%00", false},
        {"GET", "/v1/inventory/pop/a%0a", false},
        {"GET", "/v1/inventory/pop/a%2", false},
        {"GET", "/v1/inventory/pop/a%zz", false},
        {"GET", "/v1/inventory/pop/a%", false},
        {"GET", "/v1/inventory/pop/a;b", false},
        {"GET", "/v1/inventory/pop/a%3bb", false},
        {"GET", "/v1/inventory/pop/a b", false},
        {"GET", "/v1/inventory/pop/a%2561", false}, /* decoded once only */
        {"GET", "/v1/inventory/pop/\xc3\xa9", false},
        {"GET", "/V1/status", false},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        struct route_params params = {.n = 99};
        bool known = !rows[i].known;
        ck_assert_msg(route_match(rows[i].method, rows[i].path, &params, &known) == NULL, "%s", rows[i].path);
        ck_assert_msg(known == rows[i].known, "%s", rows[i].path);
        ck_assert_uint_eq(params.n, 99);
    }
}
END_TEST

START_TEST(parameters_are_bounded)
{
    struct route_params params;
    g_autofree char *name = g_strnfill(ROUTE_PARAM_SIZE - 1, 'a');
    g_autofree char *good = g_strdup_printf("/v1/plans/%s", name), *bad = g_strdup_printf("/v1/plans/%sa", name);
    ck_assert_ptr_eq(route_match("GET", good, &params, NULL), route_class(ROUTE_PLAN));
    ck_assert_str_eq(params.value[0], name);
    ck_assert_ptr_null(route_match("GET", bad, &params, NULL));
}
END_TEST

START_TEST(methods_of_a_path_are_told)
{
    g_autofree char *three = route_methods("/v1/inventory/pop/p"), *none = route_methods("/v2");
    ck_assert_str_eq(three, "GET, PUT, PATCH, DELETE");
    ck_assert_str_eq(none, "");
}
END_TEST

START_TEST(every_route_can_be_reached)
{
    for (unsigned i = 0; i < ROUTES; i++) {
        const struct route_class *route = route_class(i);
        g_auto(GStrv) segments = g_strsplit(route->path, "/", -1);
        for (char **segment = segments; *segment != NULL; segment++)
            if ((*segment)[0] == '{') {
                g_free(*segment);
                *segment = g_strdup("x");
            }
        g_autofree char *path = g_strjoinv("/", segments);
        struct route_params params;
        ck_assert_ptr_eq(route_match(route->method, path, &params, NULL), route);
        ck_assert_int_eq(route->role == ROUTE_AGENT, g_str_has_prefix(route->path, "/agent/"));
    }
}
END_TEST

START_TEST(the_committed_description_is_what_the_tables_say)
{
    g_autofree char *made = openapi_yaml();
    g_autofree char *committed = file_read(SOURCE_DIR "/schema/openapi.yaml", 1 << 24, NULL, NULL);
    ck_assert_msg(g_strcmp0(made, committed) == 0, "run `openapi > schema/openapi.yaml` and commit it");
}
END_TEST

/* All "$ref"s of a tree lead somewhere. */
static void refs_check(const json_t *json, const json_t *schemas)
{
    static const char prefix[] = "#/components/schemas/";
    const char *key, *target = json_string_value(json_object_get(json, "$ref"));
    json_t *value;
    size_t i;
    if (target != NULL) {
        ck_assert_msg(g_str_has_prefix(target, prefix), "%s", target);
        ck_assert_msg(json_object_get(schemas, target + strlen(prefix)) != NULL, "%s has no schema", target);
    }
    json_object_foreach ((json_t *)json, key, value)
        refs_check(value, schemas);
    json_array_foreach (json, i, value)
        refs_check(value, schemas);
}

START_TEST(the_description_has_every_route_and_schema)
{
    g_autofree char *yaml = openapi_yaml();
    json_t *documents = yamldoc_parse(yaml, strlen(yaml), "openapi.yaml", NULL), *root = json_array_get(documents, 0);
    ck_assert_ptr_nonnull(root);
    json_t *paths = json_object_get(root, "paths");
    for (unsigned i = 0; i < ROUTES; i++) {
        g_autofree char *method = g_ascii_strdown(route_class(i)->method, -1);
        json_t *operation = json_object_get(json_object_get(paths, route_class(i)->path), method);
        ck_assert_ptr_nonnull(json_object_get(operation, "operationId"));
        ck_assert_ptr_nonnull(json_object_get(json_object_get(operation, "responses"), "2XX"));
    }
    refs_check(root, json_object_get(json_object_get(root, "components"), "schemas"));
    json_decref(documents);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, requests_find_their_route);
    tcase_add_test(tcase, other_requests_find_none);
    tcase_add_test(tcase, parameters_are_bounded);
    tcase_add_test(tcase, methods_of_a_path_are_told);
    tcase_add_test(tcase, every_route_can_be_reached);
    tcase_add_test(tcase, the_committed_description_is_what_the_tables_say);
    tcase_add_test(tcase, the_description_has_every_route_and_schema);
}

int main(void)
{
    return unit_run("route", add);
}
