#include "schema/field.h"
#include "schema/jsondoc.h"

#include <stddef.h>
#include <string.h>

#define REQUIRED true
#define OPTIONAL false
#define OBJECT(kind, ...) static const struct field_class kind##_fields[] = {
#define FIELD(kind, field, type, need, min, max, detail, doc)                                                          \
    {#field, FIELD_##type, need, min, max, detail, doc, offsetof(struct kind, field)},
#define END(kind)                                                                                                      \
    {                                                                                                                  \
        0                                                                                                              \
    }                                                                                                                  \
    }                                                                                                                  \
    ;
#include "schema/objects.def"
#undef OBJECT
#undef FIELD
#undef END

static const struct object_class classes[] = {
#define OBJECT(kind, plural, name_type, doc)                                                                           \
    {OBJECT_##kind, #kind, plural, doc, FIELD_##name_type, sizeof(struct kind), G_N_ELEMENTS(kind##_fields) - 1,       \
     kind##_fields},
#define FIELD(...)
#define END(kind)
#include "schema/objects.def"
#undef OBJECT
#undef FIELD
#undef END
};

const struct object_class *object_class(enum object_kind kind)
{
    g_assert((unsigned)kind < OBJECT_KINDS);
    return &classes[kind];
}

const struct object_class *object_class_find(const char *name)
{
    for (unsigned i = 0; i < OBJECT_KINDS; i++)
        if (strcmp(classes[i].name, name) == 0 || strcmp(classes[i].plural, name) == 0)
            return &classes[i];
    return NULL;
}

/* ---- words and texts ---- */

int choice_find(const char *choices, const char *word)
{
    size_t len = strlen(word);
    int i = 0;
    for (const char *p = choices;; i++) {
        size_t n = strcspn(p, "|");
        if (n == len && memcmp(p, word, n) == 0)
            return i;
        if (p[n] == '\0')
            return -1;
        p += n + 1;
    }
}

char *choice_text(const char *choices, int i)
{
    g_auto(GStrv) words = g_strsplit(choices, "|", -1);
    return g_strdup(words[i]);
}

char *choices_join(const char *choices, const char *separator)
{
    g_auto(GStrv) words = g_strsplit(choices, "|", -1);
    return g_strjoinv(separator, words);
}

bool ref_valid(const char *kinds, const char *name)
{
    g_auto(GStrv) words = g_strsplit(kinds, "|", -1);
    for (char **word = words; *word != NULL; word++)
        if (text_valid(object_class_find(*word)->name_type, name))
            return true;
    return false;
}

const char *json_text(const json_t *json)
{
    const char *text = json_string_value(json);
    return text != NULL && strlen(text) == json_string_length(json) ? text : NULL;
}

bool cookie_value_valid(const char *text)
{
    for (; *text != '\0'; text++)
        if (*text <= ' ' || *text >= 0x7f || strchr("\",;\\", *text) != NULL)
            return false;
    return true;
}

/* ---- one field ---- */

static bool list_equal(char *const *a, char *const *b)
{
    if (a == NULL || b == NULL)
        return a == b;
    return g_strv_equal((const char *const *)a, (const char *const *)b);
}

static bool field_equal(const struct field_class *f, const struct object *a, const struct object *b)
{
    switch (f->type) {
    case FIELD_INT:
        return *FIELD_READ(a, f, int64_t) == *FIELD_READ(b, f, int64_t);
    case FIELD_BOOL:
        return *FIELD_READ(a, f, bool) == *FIELD_READ(b, f, bool);
    case FIELD_ENUM:
        return *FIELD_READ(a, f, int) == *FIELD_READ(b, f, int);
    case FIELD_ADDR:
        return addr_equal(FIELD_READ(a, f, struct addr), FIELD_READ(b, f, struct addr));
    case FIELD_ENDPOINT:
        return endpoint_equal(FIELD_READ(a, f, struct endpoint), FIELD_READ(b, f, struct endpoint));
    case FIELD_REFS:
    case FIELD_NAMES:
        return list_equal(*FIELD_READ(a, f, char **), *FIELD_READ(b, f, char **));
    default:
        return g_strcmp0(*FIELD_READ(a, f, char *), *FIELD_READ(b, f, char *)) == 0;
    }
}

static bool field_absent(const struct field_class *f, const struct object *o)
{
    switch (f->type) {
    case FIELD_INT:
        return *FIELD_READ(o, f, int64_t) == 0;
    case FIELD_BOOL:
        return !*FIELD_READ(o, f, bool);
    case FIELD_ENUM:
        return *FIELD_READ(o, f, int) == 0;
    case FIELD_ADDR:
        return FIELD_READ(o, f, struct addr)->family == 0;
    case FIELD_ENDPOINT:
        return FIELD_READ(o, f, struct endpoint)->addr.family == 0;
    case FIELD_REFS:
    case FIELD_NAMES:
        return *FIELD_READ(o, f, char **) == NULL;
    default:
        return *FIELD_READ(o, f, char *) == NULL;
    }
}

static json_t *field_to_json(const struct field_class *f, const struct object *o)
{
    char text[ENDPOINT_TEXT_SIZE];
    switch (f->type) {
    case FIELD_INT:
        return json_integer(*FIELD_READ(o, f, int64_t));
    case FIELD_BOOL:
        return json_boolean(*FIELD_READ(o, f, bool));
    case FIELD_ENUM: {
        g_autofree char *word = choice_text(f->detail, *FIELD_READ(o, f, int));
        return json_string(word);
    }
    case FIELD_ADDR:
        return json_string(addr_format(FIELD_READ(o, f, struct addr), text));
    case FIELD_ENDPOINT:
        return json_string(endpoint_format(FIELD_READ(o, f, struct endpoint), text));
    case FIELD_REFS:
    case FIELD_NAMES:
        return strv_to_json(*FIELD_READ(o, f, char **));
    default:
        return json_string(*FIELD_READ(o, f, char *));
    }
}

char *object_field_text(const struct object *object, unsigned i)
{
    const struct field_class *f = &object_class(object->kind)->fields[i];
    if (f->type != FIELD_BOOL && f->type != FIELD_ENUM && field_absent(f, object))
        return g_strdup("-");
    if (f->type == FIELD_REFS || f->type == FIELD_NAMES)
        return g_strjoinv(",", *FIELD_READ(object, f, char **));
    if (f->type == FIELD_INT)
        return g_strdup_printf("%" G_GINT64_FORMAT, *FIELD_READ(object, f, int64_t));
    if (f->type == FIELD_BOOL)
        return g_strdup(*FIELD_READ(object, f, bool) ? "true" : "false");
    json_t *json = field_to_json(f, object);
    char *text = g_strdup(json_string_value(json));
    json_decref(json);
    return text;
}

/* ---- objects ---- */

json_t *object_to_json(const struct object *object)
{
    const struct object_class *class = object_class(object->kind);
    json_t *out = json_pack("{s:s, s:s}", "kind", class->name, "name", object->name);
    for (unsigned i = 0; i < class->n_fields; i++) {
        const struct field_class *f = &class->fields[i];
        if (f->required || !field_absent(f, object))
            json_object_set_new(out, f->name, field_to_json(f, object));
    }
    return out;
}

bool object_equal(const struct object *a, const struct object *b)
{
    if (a->kind != b->kind || strcmp(a->name, b->name) != 0)
        return false;
    const struct object_class *class = object_class(a->kind);
    for (unsigned i = 0; i < class->n_fields; i++)
        if (!field_equal(&class->fields[i], a, b))
            return false;
    return true;
}

static bool is_list(const struct field_class *f)
{
    return f->type == FIELD_REFS || f->type == FIELD_NAMES;
}

static bool is_text(const struct field_class *f)
{
    return f->type <= FIELD_URL || f->type == FIELD_REF;
}

struct object *object_copy(const struct object *object)
{
    const struct object_class *class = object_class(object->kind);
    struct object *copy = g_memdup2(object, class->size);
    copy->name = g_strdup(object->name);
    copy->at = g_strdup(object->at);
    copy->shared = 0;
    for (unsigned i = 0; i < class->n_fields; i++) {
        const struct field_class *f = &class->fields[i];
        if (is_text(f))
            *FIELD_SLOT(copy, f, char *) = g_strdup(*FIELD_READ(object, f, char *));
        else if (is_list(f))
            *FIELD_SLOT(copy, f, char **) = g_strdupv(*FIELD_READ(object, f, char **));
    }
    return copy;
}

struct object *object_ref(const struct object *object)
{
    struct object *owned = (struct object *)object;
    g_atomic_int_inc(&owned->shared);
    return owned;
}

void object_free(struct object *object)
{
    if (object == NULL || g_atomic_int_add(&object->shared, -1) > 0)
        return;
    const struct object_class *class = object_class(object->kind);
    for (unsigned i = 0; i < class->n_fields; i++) {
        const struct field_class *f = &class->fields[i];
        if (is_text(f))
            g_free(*FIELD_SLOT(object, f, char *));
        else if (is_list(f))
            g_strfreev(*FIELD_SLOT(object, f, char **));
    }
    g_free(object->name);
    g_free(object->at);
    g_free(object);
}
