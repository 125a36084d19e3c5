#include "schema/template.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define WORD_CHARACTERS "abcdefghijklmnopqrstuvwxyz0123456789-"

/* At "$...": its length and its word, "" for $$; NULL: no word follows. g_free. */
static char *word_at(const char *text, size_t *len)
{
    if (text[1] == '$') {
        *len = 2;
        return g_strdup("");
    }
    bool braced = text[1] == '{';
    const char *begin = text + 1 + braced;
    size_t n = strspn(begin, WORD_CHARACTERS);
    *len = 1 + (size_t)braced * 2 + n;
    return n > 0 && (!braced || begin[n] == '}') ? g_strndup(begin, n) : NULL;
}

char *template_unknown(const char *text, const json_t *known)
{
    size_t len;
    for (const char *at = strchr(text, '$'); at != NULL; at = strchr(at + len, '$')) {
        g_autofree char *word = word_at(at, &len);
        if (word == NULL)
            return g_strdup("$");
        if (word[0] != '\0' && json_object_get(known, word) == NULL)
            return g_strndup(at, len);
    }
    return NULL;
}

char *template_unknown_in(const json_t *json, const json_t *known)
{
    const char *name;
    json_t *item;
    size_t i;
    char *unknown = json_is_string(json) ? template_unknown(json_string_value(json), known) : NULL;
    json_object_foreach ((json_t *)(uintptr_t)json, name, item)
        unknown = unknown != NULL ? unknown : template_unknown_in(item, known);
    json_array_foreach (json, i, item)
        unknown = unknown != NULL ? unknown : template_unknown_in(item, known);
    return unknown;
}

char *template_fill(const char *text, const json_t *facts)
{
    GString *out = g_string_new(NULL);
    const char *rest = text, *at;
    size_t len;
    while ((at = strchr(rest, '$')) != NULL) {
        g_autofree char *word = word_at(at, &len);
        const char *fact = word != NULL ? json_string_value(json_object_get(facts, word)) : NULL;
        g_string_append_len(out, rest, at - rest);
        g_string_append(out, word == NULL || word[0] == '\0' ? "$" : fact != NULL ? fact : "");
        rest = at + (word != NULL ? len : 1);
    }
    g_string_append(out, rest);
    return g_string_free(out, FALSE);
}

json_t *template_fill_in(const json_t *json, const json_t *facts)
{
    const char *name;
    json_t *item, *copy;
    size_t i;
    if (json_is_string(json)) {
        g_autofree char *text = template_fill(json_string_value(json), facts);
        return json_string(text);
    }
    if (!json_is_object(json) && !json_is_array(json))
        return json_deep_copy(json);
    copy = json_is_object(json) ? json_object() : json_array();
    json_object_foreach ((json_t *)(uintptr_t)json, name, item)
        json_object_set_new(copy, name, template_fill_in(item, facts));
    json_array_foreach (json, i, item)
        json_array_append_new(copy, template_fill_in(item, facts));
    return copy;
}
