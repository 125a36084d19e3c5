/* cmd_inventory.c: apply, export and looking at objects. Files are read and checked here, so that an error names file
 * and line. */
#include "server/cli/cli.h"

#include "core/error.h"
#include "schema/inventory.h"
#include "schema/plan.h"
#include "schema/yamldoc.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static bool collect_file(const char *path, json_t *body, GPtrArray *findings, GError **error)
{
    json_t *documents = yamldoc_load_file(path, error);
    if (documents == NULL)
        return false;
    yamldoc_collect(documents, path, body, findings);
    json_decref(documents);
    return true;
}

static gint compare_names(gconstpointer a, gconstpointer b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The .yaml and .yml files of a folder, in the order of their names. */
static bool collect_folder(const char *path, json_t *body, GPtrArray *findings, GError **error)
{
    GDir *dir = g_dir_open(path, 0, error);
    if (dir == NULL)
        return false;
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    const char *name;
    while ((name = g_dir_read_name(dir)) != NULL)
        if (g_str_has_suffix(name, ".yaml") || g_str_has_suffix(name, ".yml"))
            g_ptr_array_add(names, g_build_filename(path, name, NULL));
    g_dir_close(dir);
    g_ptr_array_sort(names, compare_names);
    for (guint i = 0; i < names->len; i++)
        if (!collect_file(names->pdata[i], body, findings, error))
            return false;
    return true;
}

static bool collect(const char *path, json_t *body, GPtrArray *findings, GError **error)
{
    struct stat st;
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
        return collect_folder(path, body, findings, error);
    return collect_file(path, body, findings, error);
}

/* Each object and plan by itself; what only the whole can tell is the server's to say. */
static void check_items(const json_t *body, GPtrArray *findings)
{
    size_t i;
    json_t *item;
    json_array_foreach (json_object_get(body, "objects"), i, item)
        object_free(object_from_json(item, findings));
    json_array_foreach (json_object_get(body, "plans"), i, item) {
        struct plan *plan = plan_from_json(item, json_string_value(json_object_get(item, "at")), findings);
        if (plan != NULL)
            plan_free(plan);
    }
}

static int report_findings(const GPtrArray *findings)
{
    for (guint i = 0; i < findings->len; i++) {
        g_autofree char *text = finding_text(findings->pdata[i]);
        fprintf(stderr, "%s\n", text);
    }
    fprintf(stderr, "signalbox: %u %s; nothing was changed\n", findings->len,
            findings->len == 1 ? "thing is wrong" : "things are wrong");
    return EXIT_USAGE;
}

int command_apply(struct cli *cli, int argc, char **argv)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) findings = finding_list_new();
    json_t *body = json_object(), *overrides = json_array(), *answer = NULL;
    const char *reason = NULL;
    bool dry_run = false, prune = false;
    int files = 0, code = EXIT_OK;
    for (int i = 1; i < argc && code == EXIT_OK; i++) {
        if (strcmp(argv[i], "-f") == 0 && i + 1 < argc) {
            files++;
            if (!collect(argv[++i], body, findings, &error)) {
                fprintf(stderr, "signalbox: %s; nothing was changed\n", error->message);
                code = EXIT_USAGE;
            }
        } else if (strcmp(argv[i], "--reason") == 0 && i + 1 < argc)
            reason = argv[++i];
        else if (strcmp(argv[i], "--override") == 0 && i + 1 < argc)
            json_array_append_new(overrides, json_string(argv[++i]));
        else if (strcmp(argv[i], "--dry-run") == 0)
            dry_run = true;
        else if (strcmp(argv[i], "--prune") == 0)
            prune = true;
        else
            code = cli_usage("apply");
    }
    if (code == EXIT_OK && files == 0)
        code = cli_usage("apply");
    if (code == EXIT_OK)
        check_items(body, findings);
    if (code == EXIT_OK && findings->len > 0)
        code = report_findings(findings);
    if (code == EXIT_OK && json_array_size(json_object_get(body, "objects")) == 0 &&
        (prune || json_array_size(json_object_get(body, "plans")) == 0)) {
        fprintf(stderr, "signalbox: found no object in it, expected some%s; nothing was changed\n",
                prune ? ": --prune would remove all that there are" : " or a plan");
        code = EXIT_USAGE;
    }
    if (code == EXIT_OK) {
        json_object_set_new(body, "prune", json_boolean(prune));
        json_object_set(body, "overrides", overrides);
        if (reason != NULL)
            json_object_set_new(body, "reason", json_string(reason));
        code = cli_call(cli, "POST", dry_run ? "/v1/apply?dry_run=1" : "/v1/apply", body, NULL, 60000, &answer, NULL);
    }
    const char *diff = cli_text(answer, "diff");
    if (code == EXIT_OK && !cli->json) {
        fputs(diff, stdout);
        if (diff[0] == '\0')
            fprintf(stderr, "nothing to change\n");
    }
    if (code == EXIT_OK && dry_run) {
        code = cli_end_dry_run(cli, answer);
    } else if (code == EXIT_OK && cli->json) {
        cli_print_json(answer);
    } else if (code == EXIT_OK && diff[0] != '\0') {
        g_autofree char *generation = cli_value_text(json_object_get(answer, "generation"));
        fprintf(stderr, "applied as generation %s\n", generation);
    }
    json_decref(body);
    json_decref(overrides);
    json_decref(answer);
    return code;
}

int command_export(struct cli *cli, int argc, char **argv)
{
    bool plans = argc == 2 && strcmp(argv[1], "--plans") == 0;
    if (argc > 1 && !plans)
        return cli_usage("export");
    json_t *answer = NULL;
    int code = cli_get(cli, "/v1/export", &answer);
    if (code != EXIT_OK)
        return code;
    if (cli->json) {
        cli_print_json(answer);
    } else {
        g_autoptr(GPtrArray) findings = finding_list_new();
        struct inventory *inv = inventory_from_json(answer, findings);
        if (inv == NULL) {
            code = report_findings(findings);
        } else {
            g_autofree char *yaml = inventory_to_yaml(inv);
            fputs(yaml, stdout);
            inventory_unref(inv);
        }
        size_t i;
        json_t *plan;
        json_array_foreach (plans ? json_object_get(answer, "plans") : NULL, i, plan) {
            g_autofree char *yaml = yamldoc_format(plan);
            printf("---\n%s", yaml);
        }
    }
    json_decref(answer);
    return code;
}

/* ---- looking at objects ---- */

static int inventory_kinds(const struct cli *cli)
{
    json_t *rows = json_array();
    for (unsigned kind = 0; kind < OBJECT_KINDS; kind++)
        json_array_append_new(
            rows, json_pack("{s:s, s:s}", "kind", object_class(kind)->name, "meaning", object_class(kind)->doc));
    if (cli->json)
        cli_print_json(rows);
    else
        cli_print_table(rows, (const char *const[]){"kind", "meaning", NULL});
    json_decref(rows);
    return EXIT_OK;
}

/* Columns of a kind are its fields, as far as an object has them. */
static void print_objects(const struct object_class *class, const json_t *objects)
{
    const json_t *object;
    size_t i;
    g_autoptr(GPtrArray) columns = g_ptr_array_new();
    g_ptr_array_add(columns, (gpointer) "name");
    for (unsigned f = 0; f < class->n_fields; f++) {
        bool has = false;
        json_array_foreach (objects, i, object)
            has = has || json_object_get(object, class->fields[f].name) != NULL;
        if (has)
            g_ptr_array_add(columns, (gpointer) class->fields[f].name);
    }
    g_ptr_array_add(columns, NULL);
    cli_print_table(objects, (const char *const *)columns->pdata);
}

static void print_object(const struct object_class *class, const json_t *object)
{
    json_t *rows = json_array();
    for (unsigned f = 0; f < class->n_fields; f++) {
        const struct field_class *field = &class->fields[f];
        json_t *value = json_object_get(object, field->name);
        json_array_append_new(
            rows, json_pack("{s:s, s:O?, s:s}", "field", field->name, "value", value, "meaning", field->doc));
    }
    cli_print_table(rows, (const char *const[]){"field", "value", "meaning", NULL});
    json_decref(rows);
}

static void print_users(const struct object_class *class, const char *name, const json_t *users)
{
    if (json_array_size(users) > 0)
        cli_print_table(users, (const char *const[]){"kind", "name", "field", NULL});
    else
        fprintf(stderr, "nothing names %s %s\n", class->name, name);
}

int command_inventory(struct cli *cli, int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "kinds") == 0)
        return inventory_kinds(cli);
    unsigned limit = 0;
    bool list = argc > 2 && strcmp(argv[1], "list") == 0 && cli_limit(argc, argv, 3, &limit),
         users = argc == 4 && strcmp(argv[1], "used-by") == 0;
    if (!list && !users && !(argc == 4 && strcmp(argv[1], "show") == 0))
        return cli_usage("inventory");
    const struct object_class *class = object_class_find(argv[2]);
    if (class == NULL) {
        fprintf(stderr, "signalbox: \"%s\" is no kind of object; signalbox inventory kinds lists them\n", argv[2]);
        return EXIT_USAGE;
    }
    g_autofree char *name = list ? NULL : cli_escape(argv[3]);
    g_autofree char *path = list ? g_strdup_printf("/v1/inventory/%s", class->name)
                                 : g_strdup_printf("/v1/inventory/%s/%s%s", class->name, name, users ? "/users" : "");
    json_t *answer = NULL;
    int code = list ? cli_list(cli, path, "objects", limit, false, &answer) : cli_get(cli, path, &answer);
    if (code == EXIT_OK && cli->json)
        cli_print_json(answer);
    else if (code == EXIT_OK && list)
        print_objects(class, json_object_get(answer, "objects"));
    else if (code == EXIT_OK && users)
        print_users(class, argv[3], json_object_get(answer, "users"));
    else if (code == EXIT_OK)
        print_object(class, answer);
    json_decref(answer);
    return code;
}
