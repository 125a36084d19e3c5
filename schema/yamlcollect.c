/* yamlcollect.c: documents of a file -> the body of `apply`. */
#include "schema/object.h"
#include "schema/yamldoc.h"

#include <string.h>

static char *at_of(const char *file, const json_t *mapping)
{
    const json_t *line = json_object_get(mapping, "@line");
    if (line == NULL)
        return g_strdup(file);
    return g_strdup_printf("%s:%" JSON_INTEGER_FORMAT, file, json_integer_value(line));
}

static json_t *list_of(json_t *body, const char *key)
{
    json_t *list = json_object_get(body, key);
    if (list == NULL) {
        list = json_array();
        json_object_set_new(body, key, list);
    }
    return list;
}

/* One mapping of a list: {"kind", "at", name and fields}. */
static void object_collect(const struct object_class *class, const json_t *item, const char *file, json_t *body,
                           GPtrArray *findings)
{
    g_autofree char *at = at_of(file, item);
    if (!json_is_object(item)) {
        g_autofree char *found = json_quote(item);
        finding_add(findings, at, class->plural, NULL, found, "a mapping with a name");
        return;
    }
    static const char *const ours[] = {"kind", "at", "revision"};
    for (size_t i = 0; i < G_N_ELEMENTS(ours); i++) {
        if (json_object_get(item, ours[i]) == NULL)
            continue;
        g_autofree char *found = g_strdup_printf("unknown field \"%s\"", ours[i]);
        finding_add(findings, at, class->name, NULL, found, "fields of the object; its list says the kind");
        return;
    }
    json_t *object = json_pack("{s:s, s:s}", "kind", class->name, "at", at);
    json_t *copy = json_deep_copy(item);
    yamldoc_strip(copy);
    json_object_update(object, copy);
    json_decref(copy);
    json_array_append_new(list_of(body, "objects"), object);
}

static void list_collect(const struct object_class *class, const json_t *list, const char *at, const char *file,
                         json_t *body, GPtrArray *findings)
{
    if (!json_is_array(list)) {
        g_autofree char *found = json_quote(list);
        finding_add(findings, at, class->plural, NULL, found, "a list");
        return;
    }
    for (size_t i = 0; i < json_array_size(list); i++)
        object_collect(class, json_array_get(list, i), file, body, findings);
}

/* Plans keep "@line" inside, so that a finding can name the line of a step; plan_from_json takes it out. */
static void plan_collect(const json_t *document, const char *at, json_t *body)
{
    json_t *plan = json_deep_copy(document);
    json_object_set_new(plan, "at", json_string(at));
    json_array_append_new(list_of(body, "plans"), plan);
}

static char *plurals_join(void)
{
    GString *text = g_string_new("plan, lab or a list of objects:");
    for (unsigned i = 0; i < OBJECT_KINDS; i++)
        g_string_append_printf(text, "%s %s", i == 0 ? "" : ",", object_class(i)->plural);
    return g_string_free(text, FALSE);
}

static void site_collect(const json_t *document, const char *at, const char *file, json_t *body, GPtrArray *findings)
{
    const char *key;
    json_t *value;
    json_object_foreach ((json_t *)document, key, value) {
        const struct object_class *class = object_class_find(key);
        if (strcmp(key, "@line") == 0)
            continue;
        if (class != NULL && strcmp(class->plural, key) == 0) {
            list_collect(class, value, at, file, body, findings);
            continue;
        }
        g_autofree char *found = text_quote(key), *expected = plurals_join();
        finding_add(findings, at, NULL, NULL, found, expected);
    }
}

static void document_collect(const json_t *document, const char *file, json_t *body, GPtrArray *findings)
{
    g_autofree char *at = at_of(file, document);
    if (json_is_string(document) && json_string_length(document) == 0)
        return; /* nothing between two "---" */
    if (!json_is_object(document)) {
        g_autofree char *found = json_quote(document), *expected = plurals_join();
        finding_add(findings, at, NULL, NULL, found, expected);
    } else if (json_object_get(document, "plan") != NULL) {
        plan_collect(document, at, body);
    } else if (json_object_get(document, "lab") == NULL) {
        site_collect(document, at, file, body, findings);
    }
}

void yamldoc_collect(const json_t *documents, const char *file, json_t *body, GPtrArray *findings)
{
    list_of(body, "objects");
    list_of(body, "plans");
    for (size_t i = 0; i < json_array_size(documents); i++)
        document_collect(json_array_get(documents, i), file, body, findings);
}
