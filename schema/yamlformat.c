/* yamlformat.c: JSON -> YAML text, by libyaml's emitter. */
#include "schema/yamldoc.h"

#include <stdbool.h>
#include <string.h>
#include <yaml.h>

static int text_write(void *data, unsigned char *bytes, size_t size)
{
    g_string_append_len(data, (const char *)bytes, (gssize)size);
    return 1;
}

/* Plain only where it is read back as the same text by us and by other readers of YAML (1.1 has many words). */
static bool needs_quotes(const char *text)
{
    static const char *const words[] = {"true", "false", "null", "yes", "no", "on", "off", "y", "n", "~", NULL};
    if (text[0] == '\0' || strchr("0123456789+-.<=@`", text[0]) != NULL)
        return true;
    for (const char *const *word = words; *word != NULL; word++)
        if (g_ascii_strcasecmp(text, *word) == 0)
            return true;
    return false;
}

static void emit(yaml_emitter_t *emitter, yaml_event_t *event)
{
    /* Neither can fail but for lack of memory: the writer never does, and the events are well nested. */
    if (!yaml_emitter_emit(emitter, event))
        g_error("libyaml: %s", emitter->problem);
}

static void scalar_emit(yaml_emitter_t *emitter, const char *text, bool quoted)
{
    yaml_event_t event;
    yaml_scalar_event_initialize(&event, NULL, NULL, (const yaml_char_t *)text, (int)strlen(text), 1, 1,
                                 quoted ? YAML_DOUBLE_QUOTED_SCALAR_STYLE : YAML_ANY_SCALAR_STYLE);
    emit(emitter, &event);
}

static void value_emit(yaml_emitter_t *emitter, const json_t *json);

static void list_emit(yaml_emitter_t *emitter, const json_t *json)
{
    yaml_event_t event;
    yaml_sequence_start_event_initialize(&event, NULL, NULL, 1, YAML_BLOCK_SEQUENCE_STYLE);
    emit(emitter, &event);
    for (size_t i = 0; i < json_array_size(json); i++)
        value_emit(emitter, json_array_get(json, i));
    yaml_sequence_end_event_initialize(&event);
    emit(emitter, &event);
}

static void mapping_emit(yaml_emitter_t *emitter, const json_t *json)
{
    yaml_event_t event;
    const char *key;
    json_t *value;
    yaml_mapping_start_event_initialize(&event, NULL, NULL, 1, YAML_BLOCK_MAPPING_STYLE);
    emit(emitter, &event);
    json_object_foreach ((json_t *)json, key, value) {
        scalar_emit(emitter, key, false);
        value_emit(emitter, value);
    }
    yaml_mapping_end_event_initialize(&event);
    emit(emitter, &event);
}

static void value_emit(yaml_emitter_t *emitter, const json_t *json)
{
    if (json_is_object(json)) {
        mapping_emit(emitter, json);
    } else if (json_is_array(json)) {
        list_emit(emitter, json);
    } else if (json_is_string(json)) {
        scalar_emit(emitter, json_string_value(json), needs_quotes(json_string_value(json)));
    } else {
        char *text = json_dumps(json, JSON_ENCODE_ANY);
        scalar_emit(emitter, text, false);
        free(text);
    }
}

char *yamldoc_format(const json_t *json)
{
    GString *text = g_string_new(NULL);
    yaml_emitter_t emitter;
    yaml_event_t event;
    if (!yaml_emitter_initialize(&emitter))
        g_error("out of memory");
    yaml_emitter_set_output(&emitter, text_write, text);
    yaml_emitter_set_unicode(&emitter, 1);
    yaml_emitter_set_width(&emitter, -1);
    yaml_stream_start_event_initialize(&event, YAML_UTF8_ENCODING);
    emit(&emitter, &event);
    yaml_document_start_event_initialize(&event, NULL, NULL, NULL, 1);
    emit(&emitter, &event);
    value_emit(&emitter, json);
    yaml_document_end_event_initialize(&event, 1);
    emit(&emitter, &event);
    yaml_stream_end_event_initialize(&event);
    emit(&emitter, &event);
    yaml_emitter_delete(&emitter);
    return g_string_free(text, FALSE);
}
