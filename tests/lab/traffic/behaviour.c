#include "tests/lab/traffic/behaviour.h"

#include <string.h>

#define STATUS_OK 200

/* How specific a key is for a request; 0: it is not for it. A prefix adds its length. */
enum { MATCH_ALL = 1, MATCH_ENTRANCE, MATCH_HOST };

static void behaviour_free(gpointer data)
{
    struct behaviour *behaviour = data;
    g_free(behaviour->key);
    g_free(behaviour);
}

GPtrArray *behaviours_new(void)
{
    return g_ptr_array_new_with_free_func(behaviour_free);
}

static size_t match(const char *key, const char *host, const char *path, const char *entrance)
{
    if (strcmp(key, "*") == 0)
        return MATCH_ALL;
    if (key[0] == '@')
        return strcmp(key + 1, entrance) == 0 ? MATCH_ENTRANCE : 0;
    size_t host_len = strcspn(key, "/"), prefix_len = strlen(key + host_len);
    if (strlen(host) != host_len || g_ascii_strncasecmp(host, key, host_len) != 0)
        return 0;
    bool inside = strncmp(path, key + host_len, prefix_len) == 0 &&
                  (prefix_len == 0 || path[prefix_len] == '\0' || strchr("/?", path[prefix_len]) != NULL);
    return inside ? MATCH_HOST + prefix_len : 0;
}

const struct behaviour *behaviours_match(const GPtrArray *behaviours, const char *host, const char *path,
                                         const char *entrance)
{
    struct behaviour *best = NULL;
    size_t best_match = 0;
    for (guint i = 0; i < behaviours->len; i++) {
        struct behaviour *behaviour = behaviours->pdata[i];
        size_t found = match(behaviour->key, host, path, entrance);
        if (found == MATCH_ALL || found == MATCH_ENTRANCE)
            behaviour->requests++;
        if (found > best_match) {
            best = behaviour;
            best_match = found;
        }
    }
    if (best_match >= MATCH_HOST)
        best->requests++;
    return best;
}

/* ---- control socket ---- */

static struct behaviour *behaviour_at(GPtrArray *behaviours, const char *key)
{
    for (guint i = 0; i < behaviours->len; i++) {
        struct behaviour *behaviour = behaviours->pdata[i];
        if (strcmp(behaviour->key, key) == 0)
            return behaviour;
    }
    struct behaviour *behaviour = g_new0(struct behaviour, 1);
    behaviour->key = g_strdup(key);
    behaviour->status = STATUS_OK;
    g_ptr_array_add(behaviours, behaviour);
    return behaviour;
}

static json_t *usage_error(void)
{
    return json_pack("{s:s}", "error", "expected: at KEY [status=200..599] [delay_ms=0..60000], heal, or show");
}

static bool settings_read(char **words, int *status, int64_t *delay_us)
{
    guint64 value;
    for (; *words != NULL; words++) {
        const char *equals = strchr(*words, '=');
        if (equals == NULL || !g_ascii_string_to_unsigned(equals + 1, 10, 0, 60000, &value, NULL))
            return false;
        if (g_str_has_prefix(*words, "status=") && value >= 200 && value <= 599)
            *status = (int)value;
        else if (g_str_has_prefix(*words, "delay_ms="))
            *delay_us = (int64_t)value * 1000;
        else
            return false;
    }
    return true;
}

static void behaviour_to(json_t *list, const struct behaviour *behaviour)
{
    json_array_append_new(list, json_pack("{s:s, s:i, s:I, s:I}", "at", behaviour->key, "status", behaviour->status,
                                          "delay_ms", (json_int_t)(behaviour->delay_us / 1000), "requests",
                                          (json_int_t)behaviour->requests));
}

json_t *behaviours_command(GPtrArray *behaviours, const char *line)
{
    g_autofree char *text = g_strstrip(g_strdup(line));
    g_auto(GStrv) words = g_strsplit(text, " ", -1);
    json_t *list = json_array();
    if (g_strcmp0(words[0], "at") == 0 && words[1] != NULL && words[1][0] != '\0') {
        int status = -1;
        int64_t delay_us = -1;
        if (!settings_read(words + 2, &status, &delay_us)) {
            json_decref(list);
            return usage_error();
        }
        struct behaviour *behaviour = behaviour_at(behaviours, words[1]);
        behaviour->status = status >= 0 ? status : behaviour->status;
        behaviour->delay_us = delay_us >= 0 ? delay_us : behaviour->delay_us;
        behaviour_to(list, behaviour);
    } else if (strcmp(text, "heal") == 0) {
        g_ptr_array_set_size(behaviours, 0);
    } else if (strcmp(text, "show") == 0) {
        for (guint i = 0; i < behaviours->len; i++)
            behaviour_to(list, behaviours->pdata[i]);
    } else {
        json_decref(list);
        return usage_error();
    }
    return json_pack("{s:o}", "behaviours", list);
}
