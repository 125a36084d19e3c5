/* object_json.c: JSON to objects, with findings. */
#include "schema/field.h"

#include <string.h>

/* ---- messages ---- */

static char *field_expected(const struct field_class *f)
{
    g_autofree char *words = f->detail[0] != '\0' ? choices_join(f->detail, " or ") : NULL;
    switch (f->type) {
    case FIELD_TEXT:
        return g_strdup_printf("printable text of %" G_GINT64_FORMAT " to %" G_GINT64_FORMAT " characters", f->min,
                               f->max);
    case FIELD_INT:
        return g_strdup_printf("a whole number of %" G_GINT64_FORMAT " to %" G_GINT64_FORMAT " (%s)", f->min, f->max,
                               f->detail);
    case FIELD_ENUM:
        return g_strdup(words);
    case FIELD_REF:
        return g_strdup_printf("the name of a %s", words);
    case FIELD_REFS:
        return g_strdup_printf("a list of %" G_GINT64_FORMAT " to %" G_GINT64_FORMAT " different names, each of a %s",
                               f->min, f->max, words);
    case FIELD_NAMES:
        return g_strdup_printf("a list of %" G_GINT64_FORMAT " to %" G_GINT64_FORMAT
                               " different names of 1 to 40 a-z 0-9 -",
                               f->min, f->max);
    default:
        return g_strdup(text_expected(f->type));
    }
}

/* ---- JSON to struct ---- */

static bool list_read(const struct field_class *f, const json_t *json, char ***out)
{
    size_t n = json_array_size(json);
    if (!json_is_array(json) || (int64_t)n < f->min || (int64_t)n > f->max)
        return false;
    char **list = g_new0(char *, n + 1);
    for (size_t i = 0; i < n; i++) {
        const char *name = json_text(json_array_get(json, i));
        bool valid = name != NULL &&
                     (f->type == FIELD_REFS ? ref_valid(f->detail, name) : text_valid(FIELD_NAME, name)) &&
                     !g_strv_contains((const char *const *)list, name);
        if (!valid) {
            g_strfreev(list);
            return false;
        }
        list[i] = g_strdup(name);
    }
    if (n > 0)
        *out = list;
    else
        g_strfreev(list); /* empty and absent are the same */
    return true;
}

static bool text_read(const struct field_class *f, const char *text, char **out)
{
    bool valid = f->type == FIELD_REF ? ref_valid(f->detail, text) : text_valid(f->type, text);
    if (valid && f->type == FIELD_TEXT) {
        glong len = g_utf8_strlen(text, -1);
        valid = len >= f->min && len <= f->max;
    }
    if (valid)
        *out = g_strdup(text);
    return valid;
}

static bool field_read(const struct field_class *f, const json_t *json, struct object *object)
{
    const char *text = json_text(json);
    switch (f->type) {
    case FIELD_INT:
        if (!json_is_integer(json) || json_integer_value(json) < f->min || json_integer_value(json) > f->max)
            return false;
        *FIELD_SLOT(object, f, int64_t) = json_integer_value(json);
        return true;
    case FIELD_BOOL:
        *FIELD_SLOT(object, f, bool) = json_is_true(json);
        return json_is_boolean(json);
    case FIELD_ENUM: {
        int choice = text != NULL ? choice_find(f->detail, text) : -1;
        *FIELD_SLOT(object, f, int) = MAX(choice, 0);
        return choice >= 0;
    }
    case FIELD_ADDR:
        return text != NULL && addr_parse(text, FIELD_SLOT(object, f, struct addr));
    case FIELD_ENDPOINT:
        return text != NULL && endpoint_parse(text, FIELD_SLOT(object, f, struct endpoint));
    case FIELD_REFS:
    case FIELD_NAMES:
        return list_read(f, json, FIELD_SLOT(object, f, char **));
    default:
        return text != NULL && text_read(f, text, FIELD_SLOT(object, f, char *));
    }
}

/* What is wrong with a value that field_read refused: of a list, the first member that is to blame. */
static char *field_found(const struct field_class *f, const json_t *json)
{
    if (f->type != FIELD_REFS && f->type != FIELD_NAMES)
        return json_quote(json);
    for (size_t i = 0; i < json_array_size(json); i++) {
        const json_t *member = json_array_get(json, i);
        const char *name = json_text(member);
        g_autofree char *quoted = json_quote(member);
        if (name == NULL || !(f->type == FIELD_REFS ? ref_valid(f->detail, name) : text_valid(FIELD_NAME, name)))
            return g_steal_pointer(&quoted);
        for (size_t k = 0; k < i; k++)
            if (json_equal(member, json_array_get(json, k)))
                return g_strdup_printf("%s twice", quoted);
    }
    return json_quote(json);
}

/* ---- one object ---- */

struct reader {
    const struct object_class *class;
    GPtrArray *findings;
    const char *at;
    char *label; /* "pop pop-a1" */
};

static void reader_find(const struct reader *r, const char *field, const char *found, const char *expected)
{
    finding_add(r->findings, r->at, r->label, field, found, expected);
}

static char *class_fields_join(const struct object_class *class)
{
    GString *names = g_string_new("name");
    for (unsigned i = 0; i < class->n_fields; i++)
        g_string_append_printf(names, ", %s", class->fields[i].name);
    return g_string_free(names, FALSE);
}

static char *kinds_join(void)
{
    GString *names = g_string_new(NULL);
    for (unsigned i = 0; i < OBJECT_KINDS; i++)
        g_string_append_printf(names, "%s%s", i == 0 ? "one of " : ", ", object_class(i)->name);
    return g_string_free(names, FALSE);
}

/* Where it was read from, unless that is no text for a message. */
static const char *at_read(const json_t *json)
{
    const char *at = json_text(json_object_get(json, "at"));
    return at != NULL && strlen(at) <= AT_MAX_LEN && text_valid(FIELD_TEXT, at) ? at : NULL;
}

/* The object with its kind and name; NULL with a finding. */
static struct object *head_read(struct reader *r, const json_t *json)
{
    const json_t *kind = json_object_get(json, "kind"), *name = json_object_get(json, "name");
    g_autofree char *found = NULL;
    if (!json_is_object(json)) {
        found = json_quote(json);
        reader_find(r, NULL, found, "an object with kind and name");
        return NULL;
    }
    const char *word = json_text(kind);
    r->class = word != NULL ? object_class_find(word) : NULL;
    if (r->class == NULL || strcmp(r->class->name, word) != 0) {
        found = json_quote(kind);
        g_autofree char *expected = kinds_join();
        reader_find(r, "kind", found, expected);
        return NULL;
    }
    word = json_text(name);
    if (word == NULL || !text_valid(r->class->name_type, word)) {
        found = json_quote(name);
        r->label = g_strdup(r->class->name);
        reader_find(r, "name", found, text_expected(r->class->name_type));
        return NULL;
    }
    r->label = g_strdup_printf("%s %s", r->class->name, word);
    struct object *object = g_malloc0(r->class->size);
    object->kind = r->class->kind;
    object->name = g_strdup(word);
    object->at = g_strdup(r->at);
    return object;
}

static void fields_read(const struct reader *r, const json_t *json, struct object *object)
{
    for (unsigned i = 0; i < r->class->n_fields; i++) {
        const struct field_class *f = &r->class->fields[i];
        const json_t *value = json_object_get(json, f->name);
        if (value == NULL ? !f->required : field_read(f, value, object))
            continue;
        g_autofree char *found = field_found(f, value);
        g_autofree char *expected = field_expected(f);
        reader_find(r, f->name, found, expected);
    }
}

static bool field_known(const struct object_class *class, const char *name)
{
    /* revision: what was got can be put back; If-Match decides, not the body */
    static const char *const common[] = {"kind", "name", "at", "revision", NULL};
    if (g_strv_contains(common, name))
        return true;
    for (unsigned i = 0; i < class->n_fields; i++)
        if (strcmp(class->fields[i].name, name) == 0)
            return true;
    return false;
}

static void unknown_fields_find(const struct reader *r, const json_t *json)
{
    const char *key;
    json_t *value;
    json_object_foreach ((json_t *)json, key, value) {
        if (field_known(r->class, key))
            continue;
        g_autofree char *quoted = text_quote(key);
        g_autofree char *found = g_strdup_printf("unknown field %s", quoted);
        g_autofree char *fields = class_fields_join(r->class);
        g_autofree char *expected = g_strdup_printf("one of %s", fields);
        reader_find(r, NULL, found, expected);
    }
}

struct object *object_from_json(const json_t *json, GPtrArray *findings)
{
    guint before = findings->len;
    struct reader r = {.findings = findings, .at = at_read(json)};
    struct object *object = head_read(&r, json);
    if (object != NULL) {
        fields_read(&r, json, object);
        unknown_fields_find(&r, json);
    }
    g_free(r.label);
    if (findings->len > before)
        g_clear_pointer(&object, object_free);
    return object;
}
