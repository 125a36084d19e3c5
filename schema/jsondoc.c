#include "schema/jsondoc.h"

#include "core/error.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* Before the parser: jansson goes 2,048 deep, and takes a NUL behind a number for the end (version 2.14). */
static const char *shape_fault(const char *text, size_t size, unsigned *line)
{
    unsigned depth = 0;
    bool in_string = false;
    *line = 1;
    for (size_t i = 0; i < size; i++) {
        char c = text[i];
        if (c == '\0')
            return "a NUL character, expected text without it";
        if (c == '\n')
            ++*line;
        if (in_string && c == '\\' && i + 1 < size && text[i + 1] != '\0')
            i++;
        else if (c == '"')
            in_string = !in_string;
        else if (!in_string && (c == '[' || c == '{') && ++depth > JSONDOC_DEPTH_MAX)
            return "nesting deeper than 32, expected at most that";
        else if (!in_string && (c == ']' || c == '}') && depth > 0)
            depth--;
    }
    return NULL;
}

json_t *jsondoc_parse(const char *text, size_t size, const char *name, GError **error)
{
    unsigned line;
    const char *fault = shape_fault(text, size, &line);
    if (fault != NULL) {
        g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "%s:%u: found %s", name, line, fault);
        return NULL;
    }
    json_error_t at;
    json_t *json = json_loadb(text, size, JSON_REJECT_DUPLICATES, &at);
    if (json == NULL) {
        /* The parser quotes what it met behind " near ": a stranger's bytes, which stay out of messages. */
        const char *end = strstr(at.text, " near ");
        int len = end != NULL ? (int)(end - at.text) : (int)strlen(at.text);
        g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "%s:%d: found no strict JSON: %.*s", name, MAX(at.line, 1), len,
                    at.text);
    }
    return json;
}

json_t *json_merge_patch(const json_t *target, const json_t *patch)
{
    const char *name;
    json_t *value;
    if (!json_is_object(patch))
        return json_deep_copy(patch);
    json_t *merged = json_is_object(target) ? json_deep_copy(target) : json_object();
    json_object_foreach ((json_t *)(uintptr_t)patch, name, value) {
        if (json_is_null(value))
            json_object_del(merged, name);
        else
            json_object_set_new(merged, name, json_merge_patch(json_object_get(merged, name), value));
    }
    return merged;
}

const char *json_member_text(const json_t *json, const char *name)
{
    return json_string_value(json_object_get(json, name));
}

const char *json_member_shown(const json_t *json, const char *name)
{
    const char *text = json_member_text(json, name);
    return text != NULL ? text : "";
}

json_t *strv_to_json(char *const *strv)
{
    json_t *json = json_array();
    for (; strv != NULL && *strv != NULL; strv++)
        json_array_append_new(json, json_string(*strv));
    return json;
}

json_t *names_to_json(const GPtrArray *names)
{
    json_t *json = json_array();
    for (guint i = 0; i < names->len; i++)
        json_array_append_new(json, json_string(names->pdata[i]));
    return json;
}

char **strv_from_json(const json_t *json)
{
    GPtrArray *strv = g_ptr_array_new();
    size_t i;
    json_t *name;
    json_array_foreach (json, i, name)
        if (json_is_string(name))
            g_ptr_array_add(strv, g_strdup(json_string_value(name)));
    g_ptr_array_add(strv, NULL);
    return (char **)g_ptr_array_free(strv, FALSE);
}
