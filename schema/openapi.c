/* openapi.c: the description of the API, built as one JSON tree from the tables that the programs obey. */
#include "schema/route.h"

#include "core/error.h"
#include "schema/control.h"
#include "schema/field.h"
#include "schema/plan.h"
#include "schema/yamldoc.h"

#include <string.h>

#define PATTERN_NAME "^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$"
#define PATTERN_PREFIX "^(/[A-Za-z0-9._~-]+)+$"

static json_t *ref(const char *schema)
{
    g_autofree char *path = g_strdup_printf("#/components/schemas/%s", schema);
    return json_pack("{s:s}", "$ref", path);
}

static json_t *words_to_enum(const char *words)
{
    json_t *list = json_array();
    g_auto(GStrv) split = g_strsplit(words, "|", -1);
    for (char **word = split; *word != NULL; word++)
        json_array_append_new(list, json_string(*word));
    return list;
}

/* ---- objects of the inventory ---- */

static json_t *list_schema(const struct field_class *f)
{
    return json_pack("{s:s, s:{s:s}, s:I, s:I, s:b}", "type", "array", "items", "type", "string", "minItems",
                     (json_int_t)f->min, "maxItems", (json_int_t)f->max, "uniqueItems", 1);
}

static json_t *text_schema(enum field_type type)
{
    switch (type) {
    case FIELD_NAME:
        return json_pack("{s:s, s:s}", "type", "string", "pattern", PATTERN_NAME);
    case FIELD_FQDN:
        return json_pack("{s:s, s:i}", "type", "string", "maxLength", 253);
    case FIELD_PREFIX:
        return json_pack("{s:s, s:s, s:i}", "type", "string", "pattern", PATTERN_PREFIX, "maxLength", 200);
    case FIELD_URL:
        return json_pack("{s:s, s:s, s:s, s:i}", "type", "string", "format", "uri", "pattern", "^https?://",
                         "maxLength", 400);
    default:
        return json_pack("{s:s}", "type", "string");
    }
}

static json_t *field_schema(const struct field_class *f)
{
    switch (f->type) {
    case FIELD_TEXT:
        return json_pack("{s:s, s:I, s:I}", "type", "string", "minLength", (json_int_t)f->min, "maxLength",
                         (json_int_t)f->max);
    case FIELD_INT:
        return json_pack("{s:s, s:I, s:I}", "type", "integer", "minimum", (json_int_t)f->min, "maximum",
                         (json_int_t)f->max);
    case FIELD_BOOL:
        return json_pack("{s:s}", "type", "boolean");
    case FIELD_ENUM:
        return json_pack("{s:s, s:o}", "type", "string", "enum", words_to_enum(f->detail));
    case FIELD_REFS:
    case FIELD_NAMES:
        return list_schema(f);
    default:
        return text_schema(f->type);
    }
}

static char *field_doc(const struct field_class *f)
{
    g_autofree char *words = choices_join(f->detail, " or ");
    if (f->type == FIELD_INT)
        return g_strdup_printf("%s; %s", f->doc, words);
    if (f->type == FIELD_REF || f->type == FIELD_REFS)
        return g_strdup_printf("%s; name of a %s", f->doc, words);
    return g_strdup(f->doc);
}

static json_t *class_schema(const struct object_class *class)
{
    json_t *properties =
        json_pack("{s:{s:s}, s:o}", "kind", "const", class->name, "name", text_schema(class->name_type));
    json_t *required = json_pack("[s, s]", "kind", "name");
    for (unsigned i = 0; i < class->n_fields; i++) {
        const struct field_class *f = &class->fields[i];
        g_autofree char *doc = field_doc(f);
        json_t *schema = field_schema(f);
        json_object_set_new(schema, "description", json_string(doc));
        json_object_set_new(properties, f->name, schema);
        if (f->required)
            json_array_append_new(required, json_string(f->name));
    }
    json_object_set_new(properties, "revision",
                        json_pack("{s:s, s:s}", "type", "integer", "description",
                                  "generation that last changed it; passed over when sent"));
    json_object_set_new(properties, "at",
                        json_pack("{s:s, s:s}", "type", "string", "description",
                                  "file and line that it was read from; for messages only"));
    return json_pack("{s:s, s:s, s:o, s:o, s:b}", "type", "object", "description", class->doc, "properties", properties,
                     "required", required, "additionalProperties", 0);
}

static void objects_add(json_t *schemas)
{
    json_t *any = json_array();
    for (unsigned i = 0; i < OBJECT_KINDS; i++) {
        const struct object_class *class = object_class(i);
        json_object_set_new(schemas, class->name, class_schema(class));
        json_array_append_new(any, ref(class->name));
    }
    json_object_set_new(schemas, "Object",
                        json_pack("{s:s, s:o, s:{s:s}}", "description", "an object of the inventory", "oneOf", any,
                                  "discriminator", "propertyName", "kind"));
}

/* ---- levers, steps, errors ---- */

/* "[]T", "T?", a word of JSON Schema or a schema's name. */
static json_t *type_schema(const char *type)
{
    if (g_str_has_prefix(type, "[]"))
        return json_pack("{s:s, s:o}", "type", "array", "items", type_schema(type + 2));
    if (g_str_has_suffix(type, "?")) {
        g_autofree char *base = g_strndup(type, strlen(type) - 1);
        return json_pack("{s:[s, s]}", "type", base, "null");
    }
    return g_ascii_isupper(type[0]) ? ref(type) : json_pack("{s:s}", "type", type);
}

static json_t *lever_schema(void)
{
    json_t *names = json_array();
    GString *doc = g_string_new("what plans and people move:");
    for (unsigned i = 0; i < LEVERS; i++) {
        const struct lever_class *class = lever_class(i);
        json_array_append_new(names, json_string(class->name));
        g_autofree char *expected = lever_value_expected(class);
        g_string_append_printf(doc, "%s %s of a %s (%s): %s", i == 0 ? "" : ";", class->name,
                               object_class(class->kind)->name, expected, class->doc);
    }
    json_t *schema = json_pack("{s:s, s:s, s:o}", "type", "string", "description", doc->str, "enum", names);
    g_string_free(doc, TRUE);
    return schema;
}

static json_t *step_schema(void)
{
    static const struct {
        const char *type, *doc;
    } kinds[] = {
#define STEP(symbol, key, type, timeout, failure, doc) {type, doc},
#include "schema/steps.def"
#undef STEP
    };
    json_t *names = json_pack("{s:s, s:{s:s}, s:s}", "type", "array", "items", "type", "string", "description",
                              "steps that must have ended well; absent: the step before");
    json_t *properties =
        json_pack("{s:o, s:o, s:{s:s, s:s}, s:{s:s, s:o}}", "name", text_schema(FIELD_NAME), "needs", names, "timeout",
                  "type", "string", "description", "as 500ms, 10s or 2m; 30s, of a ramp 5m, of an approve 60m",
                  "on_failure", "type", "string", "enum", words_to_enum("stop|rollback|continue|ask"));
    static const char *const of_transactions[][2] = {
        {"room", "of verify: transactions: the room, $target, a parameter, or others: each open room but the target"},
        {"transaction", "of verify: transactions: the one; absent: all that are about the target, or about none"}};
    for (size_t i = 0; i < G_N_ELEMENTS(of_transactions); i++)
        json_object_set_new(properties, of_transactions[i][0],
                            json_pack("{s:s, s:s}", "type", "string", "description", of_transactions[i][1]));
    static const char *const checks[][2] = {{"pre", "checks that must hold before it begins"},
                                            {"post", "checks that must come to hold when it is done"}};
    for (size_t i = 0; i < G_N_ELEMENTS(checks); i++) {
        json_t *schema = type_schema("[]string");
        json_object_set_new(schema, "description", json_string(checks[i][1]));
        json_object_set_new(properties, checks[i][0], schema);
    }
    json_t *one_of = json_array();
    for (unsigned i = 0; i < STEP_KINDS; i++) {
        json_t *schema = type_schema(kinds[i].type);
        json_object_set_new(schema, "description", json_string(kinds[i].doc));
        json_object_set_new(properties, step_kind_name(i), schema);
        json_array_append_new(one_of, json_pack("{s:[s]}", "required", step_kind_name(i)));
    }
    g_autofree char *exactly = step_kinds_text(), *doc = g_strconcat("a step of a plan: ", exactly, NULL);
    return json_pack("{s:s, s:s, s:o, s:[s], s:o, s:b}", "type", "object", "description", doc, "properties", properties,
                     "required", "name", "oneOf", one_of, "additionalProperties", 0);
}

/* RFC 9457, with all findings. */
static json_t *problem_schema(void)
{
    static const enum sb_error kinds[] = {
#define E(kind, http, exit_code, title) SB_ERROR_##kind,
        SB_ERRORS(E)
#undef E
    };
    json_t *types = json_array();
    for (size_t i = 0; i < G_N_ELEMENTS(kinds); i++) {
        GError error = {.domain = SB_ERROR, .code = (gint)kinds[i]};
        g_autofree char *urn = g_strdup_printf("urn:signalbox:problem:%s", error_kind_name(&error));
        json_array_append_new(types, json_string(urn));
    }
    return json_pack("{s:s, s:s, s:{s:{s:s, s:o}, s:{s:s}, s:{s:s}, s:{s:s}, s:{s:s, s:o}, s:{s:s, s:o}}, s:[s, s, s]}",
                     "type", "object", "description", "why a request changed nothing (RFC 9457)", "properties", "type",
                     "type", "string", "enum", types, "title", "type", "string", "status", "type", "integer", "detail",
                     "type", "string", "errors", "type", "array", "items", ref("Finding"), "refusals", "type", "array",
                     "items", ref("Refusal"), "required", "type", "title", "status");
}

/* ---- bodies ---- */

static json_t *body_open(json_t *schemas, const char *name, const char *doc)
{
    json_t *schema = json_pack("{s:s, s:s, s:{}}", "type", "object", "description", doc, "properties");
    json_object_set_new(schemas, name, schema);
    return schema;
}

static void member_add(json_t *schema, const char *name, const char *type, bool required, const char *doc)
{
    json_t *member = type_schema(type);
    json_object_set_new(member, "description", json_string(doc));
    json_object_set_new(json_object_get(schema, "properties"), name, member);
    if (!required)
        return;
    if (json_object_get(schema, "required") == NULL)
        json_object_set_new(schema, "required", json_array());
    json_array_append_new(json_object_get(schema, "required"), json_string(name));
}

static void bodies_add(json_t *schemas)
{
    json_t *schema;
#define REQUIRED true
#define OPTIONAL false
#define BODY(name, doc) schema = body_open(schemas, #name, doc);
#define MEMBER(body, name, type, need, doc) member_add(schema, #name, type, need, doc);
#define END(body)
#include "schema/bodies.def"
#undef REQUIRED
#undef OPTIONAL
#undef BODY
#undef MEMBER
#undef END
}

/* ---- paths ---- */

static const char *const ids[] = {
#define ROUTE(symbol, ...) #symbol,
#include "schema/routes.def"
#undef ROUTE
};

static json_t *json_content(const char *media, const char *schema)
{
    return json_pack("{s:{s:o}}", media, "schema", ref(schema));
}

static json_t *parameters_of(const char *path)
{
    json_t *parameters = json_array();
    for (const char *p = strchr(path, '{'); p != NULL; p = strchr(p + 1, '{')) {
        g_autofree char *name = g_strndup(p + 1, strcspn(p + 1, "}"));
        json_array_append_new(parameters, json_pack("{s:s, s:s, s:b, s:{s:s}}", "name", name, "in", "path", "required",
                                                    1, "schema", "type", "string"));
    }
    return parameters;
}

static json_t *key_parameter(void)
{
    return json_pack(
        "{s:s, s:s, s:s, s:{s:s, s:i, s:i}}", "name", "Idempotency-Key", "in", "header", "description",
        "who asks again under the same key gets the same answer, for a day, and nothing is done twice; 422: "
        "it was used for another request",
        "schema", "type", "string", "minLength", 1, "maxLength", 255);
}

static json_t *query_schema(const struct query_class *query)
{
    if (query->type == QUERY_TEXT)
        return json_pack("{s:s}", "type", "string");
    if (query->type == QUERY_FLAG)
        return json_pack("{s:s, s:[i, i]}", "type", "integer", "enum", 0, 1);
    json_t *schema = json_pack("{s:s, s:I}", "type", "integer", "minimum", (json_int_t)query->min);
    if (query->max < INT64_MAX)
        json_object_set_new(schema, "maximum", json_integer((json_int_t)query->max));
    if (query->absent >= query->min && query->absent <= query->max)
        json_object_set_new(schema, "default", json_integer((json_int_t)query->absent));
    return schema;
}

static void add_queries(json_t *parameters, enum route_id route)
{
    for (const struct query_class *query = route_queries(); query->name != NULL; query++)
        if (query->route == route)
            json_array_append_new(parameters, json_pack("{s:s, s:s, s:s, s:o}", "name", query->name, "in", "query",
                                                        "description", query->doc, "schema", query_schema(query)));
}

static json_t *operation(const struct route_class *route)
{
    g_autofree char *id = g_ascii_strdown(ids[route->id], -1);
    json_t *out = json_pack("{s:s, s:s, s:s}", "operationId", id, "summary", route->summary, "x-role",
                            route_role_name(route->role));
    if (route->role == ROUTE_ANY)
        json_object_set_new(out, "security", json_array());
    json_t *parameters = parameters_of(route->path);
    add_queries(parameters, route->id);
    if (route->role != ROUTE_ANY && route->role != ROUTE_AGENT && route->id != ROUTE_FORECAST &&
        strcmp(route->method, "GET") != 0)
        json_array_append_new(parameters, key_parameter());
    if (json_array_size(parameters) > 0)
        json_object_set(out, "parameters", parameters);
    json_decref(parameters);
    if (route->request[0] != '\0')
        json_object_set_new(
            out, "requestBody",
            json_pack("{s:b, s:o}", "required", 1, "content", json_content("application/json", route->request)));
    json_t *good = json_pack("{s:s}", "description", "done");
    if (route->response[0] != '\0')
        json_object_set_new(good, "content", json_content("application/json", route->response));
    json_t *bad = json_pack("{s:s, s:o}", "description", "nothing has changed", "content",
                            json_content("application/problem+json", "Problem"));
    json_object_set_new(out, "responses", json_pack("{s:o, s:o}", "2XX", good, "default", bad));
    return out;
}

static json_t *paths(void)
{
    json_t *out = json_object();
    for (unsigned i = 0; i < ROUTES; i++) {
        const struct route_class *route = route_class(i);
        g_autofree char *method = g_ascii_strdown(route->method, -1);
        if (json_object_get(out, route->path) == NULL)
            json_object_set_new(out, route->path, json_object());
        json_object_set_new(json_object_get(out, route->path), method, operation(route));
    }
    return out;
}

char *openapi_yaml(void)
{
    json_t *schemas = json_object();
    objects_add(schemas);
    json_object_set_new(schemas, "Lever", lever_schema());
    json_object_set_new(schemas, "Step", step_schema());
    json_object_set_new(schemas, "Problem", problem_schema());
    bodies_add(schemas);
    json_t *root = json_pack("{s:s, s:{s:s, s:s, s:s}, s:[{s:[]}], s:o, s:{s:{s:{s:s, s:s}}, s:o}}", "openapi", "3.1.0",
                             "info", "title", "signalbox", "version", SIGNALBOX_VERSION, "description",
                             "Multi-active traffic control. Made from the tables in schema/; roles stand in x-role.",
                             "security", "bearer", "paths", paths(), "components", "securitySchemes", "bearer", "type",
                             "http", "scheme", "bearer", "schemas", schemas);
    char *yaml = yamldoc_format(root);
    json_decref(root);
    return yaml;
}
