/* world_diff.c: what two generations have apart. */
#include "server/interlocking/world_diff.h"

#include "schema/jsondoc.h"

#include <string.h>

/* ---- levers and plans ---- */

static void add_lever(json_t *list, const struct control *lever, const char *before, const char *after)
{
    if (strcmp(before, after) != 0)
        json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s}", "control", lever_class(lever->lever)->name,
                                              "object", lever->object, "before", before, "after", after));
}

static json_t *levers_diff(const struct controls *from, const struct controls *to)
{
    json_t *list = json_array();
    g_autoptr(GPtrArray) now = controls_list(to), then = controls_list(from);
    for (guint i = 0; i < now->len; i++) {
        const struct control *lever = now->pdata[i];
        add_lever(list, lever, controls_value(from, lever->lever, lever->object), lever->value);
    }
    for (guint i = 0; i < then->len; i++) { /* a lever ends with its object */
        const struct control *lever = then->pdata[i];
        if (controls_get(to, lever->lever, lever->object) == NULL)
            add_lever(list, lever, lever->value, "default");
    }
    return list;
}

static gint by_text(gconstpointer a, gconstpointer b)
{
    return strcmp(a, b);
}

static bool same_plan(const struct plan *a, const struct plan *b)
{
    json_t *x = plan_to_json(a), *y = plan_to_json(b);
    bool same = json_equal(x, y);
    json_decref(x);
    json_decref(y);
    return same;
}

static void add_plans(json_t *list, GHashTable *of, GHashTable *other, bool other_is_older)
{
    GList *names = g_list_sort(g_hash_table_get_keys(of), by_text);
    for (const GList *item = names; item != NULL; item = item->next) {
        const struct plan *plan = g_hash_table_lookup(of, item->data), *before = g_hash_table_lookup(other, item->data);
        const char *change = before == NULL ? (other_is_older ? "added" : "removed") : NULL;
        if (before != NULL && other_is_older && !same_plan(plan, before))
            change = "changed";
        if (change != NULL)
            json_array_append_new(list, json_pack("{s:s, s:s}", "plan", item->data, "change", change));
    }
    g_list_free(names);
}

/* ---- tables and records ---- */

struct lists {
    json_t *entries, *records;
};

static json_t *line_json(const char *line, size_t len)
{
    return line != NULL ? json_stringn(line, len) : json_null();
}

static json_t *rdata_json(const struct rrset *set)
{
    if (set == NULL)
        return json_null();
    g_autofree char *rdata = g_strjoinv(", ", set->rdata), *text = g_strdup_printf("%s, ttl %u", rdata, set->ttl);
    return json_string(text);
}

static void add_difference(void *data, const struct resolved_difference *d)
{
    struct lists *lists = data;
    if (d->zone == NULL) {
        const char *class = d->endpoints ? "east-west" : d->gateway != NULL ? "gateway" : edge_class_name(d->class);
        const char *part = d->endpoints ? "endpoints" : d->gateway != NULL ? d->gateway : part_name(d->part);
        json_array_append_new(lists->entries, json_pack("{s:s, s:s, s:o, s:o}", "class", class, "part", part, "before",
                                                        line_json(d->before, d->before_len), "after",
                                                        line_json(d->after, d->after_len)));
        return;
    }
    const struct rrset *any = d->set_before != NULL ? d->set_before : d->set_after;
    json_array_append_new(lists->records, json_pack("{s:s, s:s, s:s, s:o, s:o}", "zone", d->zone, "name", any->owner,
                                                    "type", rrtype_name(any->type), "before", rdata_json(d->set_before),
                                                    "after", rdata_json(d->set_after)));
}

json_t *world_diff(const struct resolved *from, const struct resolved *to)
{
    struct lists lists = {json_array(), json_array()};
    json_t *plans = json_array();
    GArray *changes = inventory_diff(from->world->inventory, to->world->inventory);
    g_autofree char *objects = inventory_diff_text(changes);
    g_array_unref(changes);
    add_plans(plans, to->world->plans, from->world->plans, true);
    add_plans(plans, from->world->plans, to->world->plans, false);
    resolved_each_difference(from, to, add_difference, &lists);
    return json_pack("{s:o, s:s, s:o, s:o, s:o}", "levers", levers_diff(from->world->controls, to->world->controls),
                     "objects", objects, "plans", plans, "entries", lists.entries, "records", lists.records);
}

/* ---- text ---- */

static void lever_row(GString *out, const json_t *row)
{
    g_string_append_printf(out, "  %s/%s: %s -> %s\n", json_member_shown(row, "control"),
                           json_member_shown(row, "object"), json_member_shown(row, "before"),
                           json_member_shown(row, "after"));
}

static void plan_row(GString *out, const json_t *row)
{
    g_string_append_printf(out, "  %s %s\n", json_member_shown(row, "plan"), json_member_shown(row, "change"));
}

static void two_lines(GString *out, const char *where, const char *what, const json_t *row)
{
    if (json_is_string(json_object_get(row, "before")))
        g_string_append_printf(out, "  - %s %s: %s\n", where, what, json_member_shown(row, "before"));
    if (json_is_string(json_object_get(row, "after")))
        g_string_append_printf(out, "  + %s %s: %s\n", where, what, json_member_shown(row, "after"));
}

static void entry_row(GString *out, const json_t *row)
{
    two_lines(out, json_member_shown(row, "class"), json_member_shown(row, "part"), row);
}

static void record_row(GString *out, const json_t *row)
{
    two_lines(out, json_member_shown(row, "name"), json_member_shown(row, "type"), row);
}

char *world_diff_text(const json_t *diff, size_t rows_max)
{
    static const struct {
        const char *member, *title;
        void (*row)(GString *out, const json_t *row);
    } lists[] = {{"levers", "levers", lever_row},
                 {"plans", "plans", plan_row},
                 {"entries", "table entries", entry_row},
                 {"records", "records", record_row}};
    GString *out = g_string_new(NULL);
    const char *objects = json_member_shown(diff, "objects");
    if (objects[0] != '\0')
        g_string_append_printf(out, "inventory\n%s", objects);
    for (size_t i = 0; i < G_N_ELEMENTS(lists); i++) {
        const json_t *rows = json_object_get(diff, lists[i].member);
        size_t n = json_array_size(rows);
        if (n > 0)
            g_string_append_printf(out, "%s\n", lists[i].title);
        for (size_t j = 0; j < MIN(n, rows_max); j++)
            lists[i].row(out, json_array_get(rows, j));
        if (n > rows_max)
            g_string_append_printf(out, "  and %zu more (--json has them all)\n", n - rows_max);
    }
    if (out->len == 0)
        g_string_append(out, "nothing differs\n");
    return g_string_free(out, FALSE);
}
