/* yamldoc.c: libyaml's events to JSON. The stack is our own and bounded, so no input can make it deep. */
#include "schema/yamldoc.h"

#include "core/error.h"
#include "schema/object.h"

#include <string.h>
#include <yaml.h>

#define DEPTH_MAX 16
#define SIZE_MAX_BYTES (64u << 20)
#define VALUES_MAX 4000000 /* a value takes about 100 bytes of memory, however short its text is */

struct frame {
    json_t *container; /* borrowed from its parent; documents hold the outermost */
    char *key;         /* of a mapping: the key whose value comes next */
};
struct reader {
    yaml_parser_t parser;
    const char *name;
    json_t *documents;
    struct frame stack[DEPTH_MAX];
    unsigned depth;
    unsigned n_values;
    GError **error;
};

__attribute__((format(printf, 3, 4))) static bool refuse(struct reader *r, size_t line, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    g_set_error(r->error, SB_ERROR, SB_ERROR_INVALID, "%s:%zu: %s", r->name, line, text);
    return false;
}

/* ---- scalars ---- */

/* -?(0|[1-9][0-9]*): everything else that looks like a number stays text, as it was written. */
static bool is_integer(const char *text)
{
    text += *text == '-';
    size_t len = strspn(text, "0123456789");
    return len > 0 && text[len] == '\0' && (text[0] != '0' || len == 1);
}

/* A new reference, or NULL with an error. */
static json_t *scalar_to_json(struct reader *r, const yaml_event_t *event)
{
    const char *text = (const char *)event->data.scalar.value;
    size_t line = event->start_mark.line + 1;
    if (strlen(text) != event->data.scalar.length) {
        refuse(r, line, "found a NUL character, expected text without it");
        return NULL;
    }
    if (event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
        return json_string(text);
    if (strcmp(text, "true") == 0 || strcmp(text, "false") == 0)
        return json_boolean(text[0] == 't');
    if (!is_integer(text))
        return json_string(text);
    gint64 number;
    if (!g_ascii_string_to_signed(text, 10, G_MININT64, G_MAXINT64, &number, NULL)) {
        g_autofree char *quoted = text_quote(text);
        refuse(r, line, "found the number %s, expected one of at most 64 bits", quoted);
        return NULL;
    }
    return json_integer(number);
}

static bool key_read(struct reader *r, struct frame *top, const yaml_event_t *event)
{
    const char *text = (const char *)event->data.scalar.value;
    size_t line = event->start_mark.line + 1;
    if (strlen(text) != event->data.scalar.length)
        return refuse(r, line, "found a NUL character, expected text without it");
    g_autofree char *quoted = text_quote(text);
    if (strcmp(text, "<<") == 0)
        return refuse(r, line, "found the merge key \"<<\", expected a key");
    if (text[0] == '@')
        return refuse(r, line, "found the key %s, expected one that does not begin with @", quoted);
    if (json_object_get(top->container, text) != NULL)
        return refuse(r, line, "found the key %s twice, expected it once", quoted);
    top->key = g_strdup(text);
    return true;
}

/* ---- structure ---- */

/* Puts a value (taken) where it belongs. */
static bool value_place(struct reader *r, json_t *value, size_t line)
{
    if (++r->n_values > VALUES_MAX) {
        json_decref(value);
        return refuse(r, line, "found more than %d values, expected fewer", VALUES_MAX);
    }
    if (r->depth == 0) {
        json_array_append_new(r->documents, value);
        return true;
    }
    struct frame *top = &r->stack[r->depth - 1];
    if (json_is_array(top->container)) {
        json_array_append_new(top->container, value);
    } else {
        json_object_set_new(top->container, top->key, value);
        g_clear_pointer(&top->key, g_free);
    }
    return true;
}

static bool container_open(struct reader *r, json_t *container, size_t line)
{
    if (r->depth == DEPTH_MAX) {
        json_decref(container);
        return refuse(r, line, "found nesting deeper than %d, expected at most that", DEPTH_MAX);
    }
    if (json_is_object(container))
        json_object_set_new(container, "@line", json_integer((json_int_t)line));
    if (!value_place(r, container, line))
        return false;
    r->stack[r->depth++] = (struct frame){container, NULL};
    return true;
}

/* Is the next event at this place the key of a mapping? */
static bool at_key(const struct reader *r)
{
    return r->depth > 0 && json_is_object(r->stack[r->depth - 1].container) && r->stack[r->depth - 1].key == NULL;
}

static bool no_extras(struct reader *r, const yaml_char_t *anchor, const yaml_char_t *tag, size_t line)
{
    if (anchor != NULL) {
        g_autofree char *quoted = text_quote((const char *)anchor);
        return refuse(r, line, "found the anchor %s, expected none", quoted);
    }
    if (tag != NULL) {
        g_autofree char *quoted = text_quote((const char *)tag);
        return refuse(r, line, "found the tag %s, expected none", quoted);
    }
    return true;
}

static bool event_read(struct reader *r, const yaml_event_t *event)
{
    size_t line = event->start_mark.line + 1;
    switch (event->type) {
    case YAML_DOCUMENT_START_EVENT:
        if (event->data.document_start.version_directive != NULL ||
            event->data.document_start.tag_directives.start != event->data.document_start.tag_directives.end)
            return refuse(r, line, "found a directive, expected none");
        return true;
    case YAML_ALIAS_EVENT: {
        g_autofree char *quoted = text_quote((const char *)event->data.alias.anchor);
        return refuse(r, line, "found the alias %s, expected none", quoted);
    }
    case YAML_SCALAR_EVENT: {
        if (!no_extras(r, event->data.scalar.anchor, event->data.scalar.tag, line))
            return false;
        if (at_key(r))
            return key_read(r, &r->stack[r->depth - 1], event);
        json_t *value = scalar_to_json(r, event);
        return value != NULL && value_place(r, value, line);
    }
    case YAML_SEQUENCE_START_EVENT:
    case YAML_MAPPING_START_EVENT: {
        bool mapping = event->type == YAML_MAPPING_START_EVENT;
        if (!no_extras(r, mapping ? event->data.mapping_start.anchor : event->data.sequence_start.anchor,
                       mapping ? event->data.mapping_start.tag : event->data.sequence_start.tag, line))
            return false;
        if (at_key(r))
            return refuse(r, line, "found a list or mapping as a key, expected text");
        return container_open(r, mapping ? json_object() : json_array(), line);
    }
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        r->depth--;
        return true;
    default:
        return true;
    }
}

/* libyaml's own complaint; its reader knows an offset only. */
static bool parser_refuse(struct reader *r, const char *text)
{
    const yaml_parser_t *p = &r->parser;
    size_t line = p->problem_mark.line + 1;
    if (p->error == YAML_READER_ERROR) {
        line = 1;
        for (size_t i = 0; i < p->problem_offset; i++)
            line += text[i] == '\n';
    }
    return refuse(r, line, "found something that is not YAML: %s%s%s", p->context != NULL ? p->context : "",
                  p->context != NULL ? ", " : "", p->problem != NULL ? p->problem : "it cannot be read");
}

static bool events_read(struct reader *r, const char *text)
{
    for (bool end = false; !end;) {
        yaml_event_t event;
        if (!yaml_parser_parse(&r->parser, &event))
            return parser_refuse(r, text);
        end = event.type == YAML_STREAM_END_EVENT;
        bool good = event_read(r, &event);
        yaml_event_delete(&event);
        if (!good)
            return false;
    }
    return true;
}

json_t *yamldoc_parse(const char *text, size_t size, const char *name, GError **error)
{
    struct reader r = {.name = name, .error = error};
    if (size > SIZE_MAX_BYTES) {
        g_set_error(error, SB_ERROR, SB_ERROR_TOO_LARGE, "%s: found %zu bytes, expected at most %u", name, size,
                    SIZE_MAX_BYTES);
        return NULL;
    }
    if (!yaml_parser_initialize(&r.parser))
        g_error("out of memory");
    yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)text, size);
    r.documents = json_array();
    if (!events_read(&r, text)) {
        json_decref(r.documents);
        r.documents = NULL;
    }
    for (unsigned i = 0; i < DEPTH_MAX; i++)
        g_free(r.stack[i].key);
    yaml_parser_delete(&r.parser);
    return r.documents;
}

void yamldoc_strip(json_t *json)
{
    size_t i;
    json_t *value;
    const char *key;
    json_object_del(json, "@line");
    json_array_foreach (json, i, value)
        yamldoc_strip(value);
    json_object_foreach (json, key, value)
        yamldoc_strip(value);
}
