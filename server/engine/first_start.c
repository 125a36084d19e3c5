#include "server/engine/first_start.h"

#include "core/log.h"
#include "schema/yamldoc.h"

static int by_name(const void *a, const void *b)
{
    return g_strcmp0(*(char *const *)a, *(char *const *)b);
}

static GPtrArray *list_files(const char *dir, GError **error)
{
    GDir *folder = g_dir_open(dir, 0, error);
    if (folder == NULL)
        return NULL;
    GPtrArray *files = g_ptr_array_new_with_free_func(g_free);
    const char *name;
    while ((name = g_dir_read_name(folder)) != NULL)
        if (g_str_has_suffix(name, ".yaml"))
            g_ptr_array_add(files, g_build_filename(dir, name, NULL));
    g_dir_close(folder);
    g_ptr_array_sort(files, by_name);
    return files;
}

static json_t *collect(const GPtrArray *files, GError **error)
{
    json_t *body = json_object();
    g_autoptr(GPtrArray) findings = finding_list_new();
    for (guint i = 0; i < files->len; i++) {
        json_t *documents = yamldoc_load_file(files->pdata[i], error);
        if (documents == NULL) {
            json_decref(body);
            return NULL;
        }
        yamldoc_collect(documents, files->pdata[i], body, findings);
        json_decref(documents);
    }
    if (findings->len == 0)
        return body;
    findings_error(findings, error);
    json_decref(body);
    return NULL;
}

bool first_start_load_plans(const char *dir, struct turn *turn, GError **error)
{
    GHashTable *plans = engine_world(turn->engine)->plans;
    if (dir == NULL || (plans != NULL && g_hash_table_size(plans) > 0))
        return true;
    g_autoptr(GPtrArray) files = list_files(dir, error);
    json_t *body = files == NULL ? NULL : collect(files, error);
    if (body == NULL)
        return false;
    struct asker asker = {.actor = "signalboxd", .reason = "plans that ship, at the first start"};
    size_t n = json_array_size(json_object_get(body, "plans"));
    json_t *applied =
        n == 0 ? json_null() : engine_apply(turn->engine, body, false, &asker, turn->now, &turn->effects, error);
    json_decref(body);
    if (applied == NULL)
        return false;
    json_decref(applied);
    log_info("plans loaded", "folder=%s plans=%zu", dir, n);
    return true;
}
