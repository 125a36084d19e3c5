#include "schema/object.h"

#include "core/error.h"

#include <stdlib.h>
#include <string.h>

#define QUOTE_MAX 60 /* characters of strange text in a message */

char *text_quote(const char *text)
{
    if (text == NULL)
        return g_strdup("nothing");
    GString *out = g_string_new("\"");
    unsigned n = 0;
    for (const char *p = text; *p != '\0' && n < QUOTE_MAX; n++) {
        gunichar c = g_utf8_get_char_validated(p, -1);
        if (c == (gunichar)-1 || c == (gunichar)-2) {
            g_string_append_printf(out, "\\x%02x", (unsigned char)*p);
            p++;
            continue;
        }
        if (c == '"' || c == '\\')
            g_string_append_c(out, '\\');
        if (c == '\n')
            g_string_append(out, "\\n");
        else if (g_unichar_isprint(c))
            g_string_append_unichar(out, c);
        else
            g_string_append_printf(out, "\\u%04x", c);
        p = g_utf8_next_char(p);
        if (*p != '\0' && n + 1 == QUOTE_MAX)
            g_string_append(out, "...");
    }
    return g_string_free(g_string_append_c(out, '"'), FALSE);
}

char *json_quote(const json_t *json)
{
    if (json == NULL || json_is_string(json))
        return text_quote(json_string_value(json));
    /* Containers are named, not printed: they can be as deep and long as a stranger likes. */
    if (json_is_object(json))
        return g_strdup("an object");
    if (json_is_array(json))
        return g_strdup_printf("a list of %zu", json_array_size(json));
    char *dumped = json_dumps(json, JSON_ENCODE_ANY);
    char *text = g_strdup(dumped);
    free(dumped);
    return text;
}

void finding_free(struct finding *finding)
{
    g_free(finding->at);
    g_free(finding->object);
    g_free(finding->field);
    g_free(finding->found);
    g_free(finding->expected);
    g_free(finding);
}

char *finding_text(const struct finding *finding)
{
    GString *text = g_string_new(NULL);
    const char *const places[] = {finding->at, finding->object, finding->field};
    for (size_t i = 0; i < G_N_ELEMENTS(places); i++)
        if (places[i] != NULL)
            g_string_append_printf(text, "%s: ", places[i]);
    g_string_append_printf(text, "found %s, expected %s", finding->found, finding->expected);
    return g_string_free(text, FALSE);
}

json_t *finding_json(const struct finding *finding)
{
    return json_pack("{s:s?, s:s?, s:s?, s:s, s:s}", "at", finding->at, "object", finding->object, "field",
                     finding->field, "found", finding->found, "expected", finding->expected);
}

static void finding_destroy(gpointer finding)
{
    finding_free(finding);
}

GPtrArray *finding_list_new(void)
{
    return g_ptr_array_new_with_free_func(finding_destroy);
}

void finding_add(GPtrArray *findings, const char *at, const char *object, const char *field, const char *found,
                 const char *expected)
{
    struct finding *finding = g_new0(struct finding, 1);
    finding->at = g_strdup(at);
    finding->object = g_strdup(object);
    finding->field = g_strdup(field);
    finding->found = g_strdup(found);
    finding->expected = g_strdup(expected);
    g_ptr_array_add(findings, finding);
}

bool findings_error(const GPtrArray *findings, GError **error)
{
    g_assert(findings->len > 0);
    g_autofree char *text = finding_text(findings->pdata[0]);
    if (findings->len == 1)
        g_set_error_literal(error, SB_ERROR, SB_ERROR_INVALID, text);
    else
        g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "%s (and %u more)", text, findings->len - 1);
    return false;
}
