#include "tests/unit/site.h"
#include "schema/yamldoc.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void die(const char *what, const char *why)
{
    fprintf(stderr, "%s: %s\n", what, why);
    abort();
}

static void die_of(const char *what, const GPtrArray *findings)
{
    if (findings->len == 0)
        return;
    g_autofree char *text = finding_text(findings->pdata[0]);
    die(what, text);
}

struct inventory *site_inventory(const char *name)
{
    g_autofree char *path = g_strdup_printf("%s/tests/lab/sites/%s.yaml", SOURCE_DIR, name);
    g_autoptr(GError) error = NULL;
    json_t *documents = yamldoc_load_file(path, &error);
    if (documents == NULL)
        die(path, error->message);
    g_autoptr(GPtrArray) findings = finding_list_new();
    json_t *body = json_object();
    yamldoc_collect(documents, path, body, findings);
    die_of(path, findings);
    struct inventory *inv = inventory_from_json(body, findings);
    die_of(path, findings);
    inventory_validate(inv, findings);
    die_of(path, findings);
    json_decref(body);
    json_decref(documents);
    return inv;
}

struct inventory *site_with_interfaces(void)
{
    static const struct {
        const char *name, *service, *host, *method, *path;
        int share;
    } rows[] = {{"search", "home", NULL, "get", "/search", 25},
                {"cart", "home", "home.example.test", "any", "/cart", 10},
                {"cart-pay", "home", NULL, "post", "/cart/pay", 0},
                {"help", "home", NULL, "any", "/help", 0},
                {"draft", "creator", NULL, "any", "/draft", 0}};
    struct inventory *inv = site_inventory("two-rooms");
    g_autoptr(GPtrArray) findings = finding_list_new();
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        json_t *json =
            json_pack("{s:s, s:s, s:s, s:s*, s:s, s:s}", "kind", "interface", "name", rows[i].name, "service",
                      rows[i].service, "host", rows[i].host, "method", rows[i].method, "path", rows[i].path);
        if (rows[i].share > 0)
            json_object_set_new(json, "share", json_integer(rows[i].share));
        struct object *object = object_from_json(json, findings);
        json_decref(json);
        die_of("interfaces", findings);
        inventory_put(inv, object);
    }
    inventory_validate(inv, findings);
    die_of("interfaces", findings);
    return inv;
}

struct inventory *site_shuffled(const struct inventory *inv, unsigned seed)
{
    g_autoptr(GPtrArray) objects = g_ptr_array_new();
    for (int kind = 0; kind < OBJECT_KINDS; kind++) {
        const GPtrArray *list = inventory_list(inv, (enum object_kind)kind);
        for (guint i = 0; i < list->len; i++)
            g_ptr_array_add(objects, list->pdata[i]);
    }
    g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
    struct inventory *shuffled = inventory_new();
    while (objects->len > 0) {
        gint at = g_rand_int_range(rand, 0, (gint32)objects->len);
        inventory_put(shuffled, object_copy(g_ptr_array_steal_index_fast(objects, (guint)at)));
    }
    return shuffled;
}

/* "room.ingress/room-a=closed by alice in x-1" */
static void lever_put(struct controls *controls, const struct inventory *inv, const char *text, uint64_t revision)
{
    bool checked = text[0] != '!';
    char lever[64], object[64], value[512] = "", actor[64] = "alice", execution[64] = "";
    if (sscanf(text + !checked, "%63[^/]/%63[^=]=%511s by %63s in %63s", lever, object, value, actor, execution) < 3)
        die(text, "not a lever");
    const struct lever_class *class = lever_class_find(lever);
    if (class == NULL)
        die(text, "no such lever");
    g_autoptr(GError) error = NULL;
    g_autofree char *canonical = NULL;
    if (checked && !control_validate(inv, class->lever, object, value, &canonical, &error))
        die(text, error->message);
    struct control control = {.lever = class->lever,
                              .object = object,
                              .value = checked ? canonical : value,
                              .revision = revision,
                              .actor = actor,
                              .execution = execution[0] != '\0' ? execution : NULL};
    controls_put(controls, &control);
}

struct world *site_world(struct inventory *inv, const char *const *levers)
{
    sb_auto(controls) controls = controls_new();
    struct stamp stamp = {.epoch = 65537, .generation = 10};
    for (; *levers != NULL; levers++)
        lever_put(controls, inv, *levers, ++stamp.generation);
    return world_new("two-rooms", stamp, "x-1/move-out/set", inv, controls, NULL);
}

static const char *dash(const char *text)
{
    return strcmp(text, "-") == 0 ? "" : text;
}

static void row_put(const char *text, json_t *report)
{
    char kind[16], a[100], b[100], c[100], d[100];
    int requests, failed;
    double rate, fail_rate;
    if (sscanf(text, "counter %99s %99s %99s %d %d %lf %lf", a, b, c, &requests, &failed, &rate, &fail_rate) == 7)
        json_array_append_new(json_object_get(report, "counters"),
                              json_pack("{s:s, s:s, s:s, s:i, s:i, s:f, s:f}", "policy", a, "room", dash(b), "via",
                                        dash(c), "requests", requests, "failed", failed, "rate", rate, "fail_rate",
                                        fail_rate));
    else if (sscanf(text, "size %99s %lf %lf", a, &rate, &fail_rate) == 3)
        json_array_append_new(
            json_object_get(report, "sizes"),
            json_pack("{s:s, s:f, s:f}", "policy", a, "request_bytes", rate, "answer_bytes", fail_rate));
    else if (sscanf(text, "hold %99s %d", a, &requests) == 2)
        json_array_append_new(json_object_get(report, "holds"),
                              json_pack("{s:s, s:i, s:i}", "room", a, "home", requests, "for_us", 9000000));
    else if (sscanf(text, "%15s %99s %99s %99s %99s", kind, a, b, c, d) == 5)
        json_array_append_new(json_object_get(report, "origins"),
                              json_pack("{s:s, s:s, s:b, s:s, s:i}", "room", a, "via", b, "up", strcmp(c, "up") == 0,
                                        "status", d, "latency_us", 900));
    else if (sscanf(text, "%15s %99s %99s", kind, a, b) == 3)
        json_array_append_new(json_object_get(report, "probes"), json_pack("{s:s, s:s}", "policy", a, "room", dash(b)));
    else
        die(text, "not a row of a report");
}

void site_report(struct observed *observed, const char *edge, uint64_t generation, int64_t now_us,
                 const char *const *rows)
{
    json_t *report =
        json_pack("{s:s, s:s, s:i, s:{s:i, s:I}, s:s, s:n, s:i, s:[], s:[], s:[], s:[], s:[]}", "edge", edge, "cluster",
                  "two-rooms", "promised", 65537, "applied", "epoch", 65537, "generation", (json_int_t)generation,
                  "state", "applied", "error", "window_us", 1000000, "counters", "sizes", "origins", "holds", "probes");
    for (; *rows != NULL; rows++)
        row_put(*rows, report);
    g_autoptr(GError) error = NULL;
    if (!observed_edge_report(observed, edge, report, now_us, &error))
        die(edge, error->message);
    json_decref(report);
}

static void dump_zone(GString *text, const struct zone_records *records)
{
    g_string_append_printf(text, "[records of %s]\n", records->zone);
    for (guint i = 0; i < records->rrsets->len; i++) {
        const struct rrset *set = records->rrsets->pdata[i];
        g_autofree char *rdata = g_strjoinv(" ", set->rdata);
        g_string_append_printf(text, "%s %u %s %s ; %s\n", set->owner, set->ttl, rrtype_name(set->type), rdata,
                               set->why);
    }
}

char *site_dump(const struct resolved *resolved)
{
    GString *text = g_string_new(NULL);
    for (int c = 0; c < EDGE_CLASSES; c++)
        for (enum part part = 0; part < PARTS; part++) {
            GBytes *bytes = resolved_part(resolved, resolved->tables[c].hash[part]);
            g_string_append_printf(text, "[%s %s]\n", c == EDGE_PUBLIC ? "public" : "dedicated", part_name(part));
            g_string_append_len(text, g_bytes_get_data(bytes, NULL), (gssize)g_bytes_get_size(bytes));
        }
    for (guint i = 0; i < resolved->zones->len; i++)
        dump_zone(text, resolved->zones->pdata[i]);
    if (g_bytes_get_size(resolved->endpoints) > 0)
        g_string_append_printf(text, "[endpoints]\n%.*s", (int)g_bytes_get_size(resolved->endpoints),
                               (const char *)g_bytes_get_data(resolved->endpoints, NULL));
    g_string_append(text, "[findings]\n");
    for (guint i = 0; i < resolved->findings->len; i++) {
        g_autofree char *finding = finding_text(resolved->findings->pdata[i]);
        g_string_append_printf(text, "%s\n",
                               strstr(finding, ".yaml:") != NULL ? strstr(finding, ".yaml:") + 6 : finding);
    }
    return g_string_free(text, FALSE);
}

void golden_check(const char *name, const char *text)
{
    g_autofree char *path = g_strdup_printf("%s/tests/cases/%s", SOURCE_DIR, name);
    g_autofree char *expected = NULL;
    g_autoptr(GError) error = NULL;
    if (g_strcmp0(g_getenv("UPDATE"), "1") == 0) {
        g_autofree char *folder = g_path_get_dirname(path);
        if (g_mkdir_with_parents(folder, 0777) != 0 || !g_file_set_contents(path, text, -1, &error))
            die(path, error != NULL ? error->message : "no folder");
        return;
    }
    if (!g_file_get_contents(path, &expected, NULL, &error))
        die(path, error->message);
    ck_assert_msg(strcmp(expected, text) == 0, "%s differs (UPDATE=1 rewrites it); found:\n%s", name, text);
}
