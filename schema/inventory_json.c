/* inventory_json.c: inventories as JSON and YAML. */
#include "schema/inventory.h"
#include "schema/yamldoc.h"

json_t *inventory_to_json(const struct inventory *inv)
{
    json_t *objects = json_array();
    for (unsigned kind = 0; kind < OBJECT_KINDS; kind++) {
        const GPtrArray *list = inventory_list(inv, kind);
        for (guint i = 0; i < list->len; i++)
            json_array_append_new(objects, object_to_json(list->pdata[i]));
    }
    return json_pack("{s:o}", "objects", objects);
}

static void twice_find(const struct object *object, const struct object *first, GPtrArray *findings)
{
    g_autofree char *label = g_strdup_printf("%s %s", object_class(object->kind)->name, object->name);
    g_autofree char *found =
        first->at != NULL ? g_strdup_printf("the name twice, first at %s", first->at) : g_strdup("the name twice");
    finding_add(findings, object->at, label, "name", found, "each name of a kind once");
}

struct inventory *inventory_from_json(const json_t *json, GPtrArray *findings)
{
    guint before = findings->len;
    const json_t *objects = json_object_get(json, "objects");
    if (!json_is_array(objects)) {
        g_autofree char *found = json_quote(objects);
        finding_add(findings, NULL, NULL, "objects", found, "a list of objects");
        return NULL;
    }
    struct inventory *inv = inventory_new();
    for (size_t i = 0; i < json_array_size(objects); i++) {
        struct object *object = object_from_json(json_array_get(objects, i), findings);
        if (object == NULL)
            continue;
        const struct object *first = inventory_get(inv, object->kind, object->name);
        if (first != NULL)
            twice_find(object, first, findings);
        inventory_put(inv, object);
    }
    if (findings->len > before)
        g_clear_pointer(&inv, inventory_unref);
    return inv;
}

char *inventory_to_yaml(const struct inventory *inv)
{
    json_t *site = json_object();
    for (unsigned kind = 0; kind < OBJECT_KINDS; kind++) {
        const GPtrArray *list = inventory_list(inv, kind);
        if (list->len == 0)
            continue;
        json_t *objects = json_array();
        for (guint i = 0; i < list->len; i++) {
            json_t *object = object_to_json(list->pdata[i]);
            json_object_del(object, "kind"); /* the list's name says it */
            json_array_append_new(objects, object);
        }
        json_object_set_new(site, object_class(kind)->plural, objects);
    }
    char *yaml = yamldoc_format(site);
    json_decref(site);
    return yaml;
}
