#include "schema/control.h"

#include "core/error.h"
#include "schema/field.h"

#include <string.h>

static const struct lever_class classes[] = {
#define CONTROL(symbol, name, kind, type, choices, doc)                                                                \
    {LEVER_##symbol, name, OBJECT_##kind, LEVER_TYPE_##type, choices, doc},
#include "schema/controls.def"
#undef CONTROL
};

const struct lever_class *lever_class(enum lever lever)
{
    g_assert((unsigned)lever < LEVERS);
    return &classes[lever];
}

const struct lever_class *lever_class_find(const char *name)
{
    for (unsigned i = 0; i < LEVERS; i++)
        if (strcmp(classes[i].name, name) == 0)
            return &classes[i];
    return NULL;
}

/* ---- the set ---- */

struct controls {
    gint refs;
    GHashTable *by_object[LEVERS]; /* object (the control's) -> struct control *, owned */
};

void control_clear(struct control *control)
{
    g_free(control->object);
    g_free(control->value);
    g_free(control->actor);
    g_free(control->execution);
    memset(control, 0, sizeof *control);
}

static void control_destroy(gpointer data)
{
    control_clear(data);
    g_free(data);
}

struct controls *controls_new(void)
{
    struct controls *controls = g_new0(struct controls, 1);
    controls->refs = 1;
    for (unsigned i = 0; i < LEVERS; i++)
        controls->by_object[i] = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, control_destroy);
    return controls;
}

struct controls *controls_ref(struct controls *controls)
{
    g_atomic_int_inc(&controls->refs);
    return controls;
}

void controls_unref(struct controls *controls)
{
    if (controls == NULL || !g_atomic_int_dec_and_test(&controls->refs))
        return;
    for (unsigned i = 0; i < LEVERS; i++)
        g_hash_table_unref(controls->by_object[i]);
    g_free(controls);
}

void controls_put(struct controls *controls, const struct control *control)
{
    struct control *copy = g_memdup2(control, sizeof *control);
    copy->object = g_strdup(control->object);
    copy->value = g_strdup(control->value);
    copy->actor = g_strdup(control->actor);
    copy->execution = g_strdup(control->execution);
    g_hash_table_replace(controls->by_object[control->lever], copy->object, copy);
}

struct controls *controls_copy(const struct controls *controls)
{
    struct controls *copy = controls_new();
    for (unsigned i = 0; i < LEVERS; i++) {
        GHashTableIter iter;
        gpointer control;
        g_hash_table_iter_init(&iter, controls->by_object[i]);
        while (g_hash_table_iter_next(&iter, NULL, &control))
            controls_put(copy, control);
    }
    return copy;
}

const struct control *controls_get(const struct controls *controls, enum lever lever, const char *object)
{
    return g_hash_table_lookup(controls->by_object[lever], object);
}

const char *controls_value(const struct controls *controls, enum lever lever, const char *object)
{
    const struct control *control = controls_get(controls, lever, object);
    return control != NULL ? control->value : "default";
}

static gint by_lever_and_object(gconstpointer a, gconstpointer b)
{
    const struct control *const *x = a, *const *y = b;
    if ((*x)->lever != (*y)->lever)
        return (*x)->lever < (*y)->lever ? -1 : 1;
    return strcmp((*x)->object, (*y)->object);
}

GPtrArray *controls_list(const struct controls *controls)
{
    GPtrArray *list = g_ptr_array_new();
    for (unsigned i = 0; i < LEVERS; i++) {
        GHashTableIter iter;
        gpointer control;
        g_hash_table_iter_init(&iter, controls->by_object[i]);
        while (g_hash_table_iter_next(&iter, NULL, &control))
            g_ptr_array_add(list, control);
    }
    g_ptr_array_sort(list, by_lever_and_object);
    return list;
}

/* ---- values ---- */

__attribute__((format(printf, 5, 6))) static bool refuse(GError **error, enum sb_error kind, enum lever lever,
                                                         const char *object, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    g_set_error(error, SB_ERROR, (gint)kind, "%s/%s: %s", lever_class(lever)->name, object, text);
    return false;
}

bool control_rate_parse(const char *value, int64_t *rate)
{
    size_t len = strspn(value, "0123456789");
    if (len < 1 || len > 7 || value[len] != '\0' || value[0] == '0')
        return false;
    *rate = g_ascii_strtoll(value, NULL, 10);
    return *rate <= CONTROL_RATE_MAX;
}

bool lever_value_parses(const struct lever_class *class, const char *value, GError **error)
{
    struct split split = {0};
    struct split_pins pins = {0};
    bool good = true;
    int64_t rate;
    if (strcmp(value, "default") == 0)
        return true;
    if (class->type == LEVER_TYPE_WEIGHTS) {
        g_autoptr(GPtrArray) weights = weights_parse(value, error);
        return weights != NULL;
    }
    if (class->type == LEVER_TYPE_PIN) {
        good = split_pins_parse(value, &pins, error);
        split_clear(&pins.slots);
    } else if (class->type == LEVER_TYPE_SPLIT) {
        good = split_parse(value, &split, error);
        if (good)
            split_clear(&split);
    } else if (class->type == LEVER_TYPE_RATE   ? !control_rate_parse(value, &rate)
               : class->type == LEVER_TYPE_ROOM ? !text_valid(FIELD_NAME, value)
                                                : choice_find(class->choices, value) < 0) {
        g_autofree char *quoted = text_quote(value), *expected = lever_value_expected(class);
        g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "found %s, expected %s", quoted, expected);
        good = false;
    }
    return good;
}

char *lever_value_expected(const struct lever_class *class)
{
    if (class->type == LEVER_TYPE_SPLIT)
        return g_strdup("default or ranges as 0-499=room-a,500-999=room-b");
    if (class->type == LEVER_TYPE_PIN)
        return g_strdup("default or ranges of slots and an end as " SPLIT_PINS_EXAMPLE);
    if (class->type == LEVER_TYPE_WEIGHTS)
        return g_strdup("default or rows as " WEIGHTS_EXAMPLE);
    if (class->type == LEVER_TYPE_RATE)
        return g_strdup_printf("default or requests per second, 1 to %d", CONTROL_RATE_MAX);
    if (class->type == LEVER_TYPE_ROOM)
        return g_strdup("default, none or the name of a room");
    g_autofree char *choices = choices_join(class->choices, ", ");
    return g_strdup_printf("default or one of %s", choices);
}

static bool must_exist(const struct inventory *inv, enum object_kind kind, enum lever lever, const char *object,
                       const char *name, GError **error)
{
    return inventory_get(inv, kind, name) != NULL ||
           refuse(error, SB_ERROR_NOT_FOUND, lever, object, "found %s \"%s\", expected the name of a %s that exists",
                  object_class(kind)->name, name, object_class(kind)->name);
}

static bool split_validate(const struct inventory *inv, enum lever lever, const char *object, const char *value,
                           char **canonical, GError **error)
{
    struct split split;
    if (!split_parse(value, &split, NULL))
        return false;
    bool good = true;
    for (unsigned i = 0; good && i < split.n_rooms; i++)
        good = must_exist(inv, OBJECT_room, lever, object, split.rooms[i], error);
    if (good)
        *canonical = split_format(&split);
    split_clear(&split);
    return good;
}

static bool pins_validate(const struct inventory *inv, enum lever lever, const char *object, const char *value,
                          char **canonical, GError **error)
{
    struct split_pins pins;
    if (!split_pins_parse(value, &pins, NULL))
        return false;
    bool good = true;
    for (unsigned i = 0; good && i < pins.slots.n_rooms; i++)
        good = must_exist(inv, OBJECT_room, lever, object, pins.slots.rooms[i], error);
    if (good)
        *canonical = split_pins_format(&pins);
    split_clear(&pins.slots);
    return good;
}

static bool weights_validate(const struct inventory *inv, enum lever lever, const char *object, const char *value,
                             char **canonical, GError **error)
{
    g_autoptr(GPtrArray) rows = weights_parse(value, NULL);
    for (guint i = 0; i < rows->len; i++) {
        const struct weights_row *row = rows->pdata[i];
        if (strcmp(row->caller, WEIGHTS_OTHERS) != 0 &&
            !must_exist(inv, OBJECT_zone, lever, object, row->caller, error))
            return false;
        for (guint k = 0; k < row->zones->len; k++)
            if (!must_exist(inv, OBJECT_zone, lever, object, g_array_index(row->zones, struct zone_weight, k).zone,
                            error))
                return false;
    }
    *canonical = weights_format(rows);
    return true;
}

/* The service that a lever on it, or on an interface of it, is about; NULL: it is about neither. */
static const struct service *service_of(const struct inventory *inv, enum object_kind kind, const char *object)
{
    const struct interface *interface = kind == OBJECT_interface ? INVENTORY_GET(inv, interface, object) : NULL;
    return INVENTORY_GET(inv, service, interface != NULL ? interface->service : object);
}

/* Of answers that were never kept none can be given. */
static bool stale_is_kept(const struct inventory *inv, enum lever lever, const char *object, const char *value,
                          GError **error)
{
    bool of_interface = lever == LEVER_INTERFACE_DEGRADE;
    const struct service *service = (of_interface || lever == LEVER_SERVICE_DEGRADE) && strcmp(value, "stale") == 0
                                        ? service_of(inv, lever_class(lever)->kind, object)
                                        : NULL;
    return service == NULL || service->last_good ||
           refuse(error, SB_ERROR_INVALID, lever, object,
                  "found \"stale\", expected default, off or static: %s does not say last_good, so edges keep no "
                  "answers of it",
                  of_interface ? "its service" : "the service");
}

/* A primary is a room that the component runs in, of one that has a primary; consumption is a topic's. */
static bool component_takes(const struct inventory *inv, enum lever lever, const char *object, const char *value,
                            GError **error)
{
    bool primary = lever == LEVER_COMPONENT_PRIMARY, consumption = lever == LEVER_COMPONENT_CONSUMPTION;
    const struct component *component = primary || consumption ? INVENTORY_GET(inv, component, object) : NULL;
    if (component == NULL || strcmp(value, "default") == 0)
        return true;
    if (consumption)
        return component->type == COMPONENT_TOPIC ||
               refuse(error, SB_ERROR_INVALID, lever, object, "found no topic, expected one: others are not consumed");
    if (component->primary == NULL)
        return refuse(error, SB_ERROR_INVALID, lever, object,
                      "found a component without a primary, expected one: each room takes its own writes");
    g_autofree char *rooms = g_strjoinv(", ", component->rooms);
    return strcmp(value, "none") == 0 || g_strv_contains((const char *const *)component->rooms, value) ||
           refuse(error, SB_ERROR_INVALID, lever, object, "found \"%s\", expected none or one of its rooms: %s", value,
                  rooms);
}

static bool is_single(const struct inventory *inv, enum object_kind kind, const char *object)
{
    const struct service *service = service_of(inv, kind, object);
    return service != NULL &&
           interface_single(service, kind == OBJECT_interface ? INVENTORY_GET(inv, interface, object) : NULL);
}

bool control_validate(const struct inventory *inv, enum lever lever, const char *object, const char *value,
                      char **canonical, GError **error)
{
    const struct lever_class *class = lever_class(lever);
    if (inventory_get(inv, class->kind, object) == NULL) {
        g_autofree char *quoted = text_quote(object);
        g_set_error(error, SB_ERROR, SB_ERROR_NOT_FOUND, "%s: found %s, expected the name of a %s that exists",
                    class->name, quoted, object_class(class->kind)->name);
        return false;
    }
    bool (*const by_type[])(const struct inventory *, enum lever, const char *, const char *, char **, GError **) = {
        [LEVER_TYPE_SPLIT] = split_validate,
        [LEVER_TYPE_WEIGHTS] = weights_validate,
        [LEVER_TYPE_PIN] = pins_validate,
    };
    bool by_place = by_type[class->type] != NULL && strcmp(value, "default") != 0;
    if (by_place && is_single(inv, class->kind, object))
        return refuse(error, SB_ERROR_INVALID, lever, object, "found a single %s, expected a multi %s",
                      object_class(class->kind)->name, object_class(class->kind)->name);
    if (!lever_value_parses(class, value, error)) {
        g_prefix_error(error, "%s/%s: ", class->name, object);
        return false;
    }
    if (by_place)
        return by_type[class->type](inv, lever, object, value, canonical, error);
    if (!stale_is_kept(inv, lever, object, value, error) || !component_takes(inv, lever, object, value, error))
        return false;
    *canonical = g_strdup(value);
    return true;
}

/* ---- codec ---- */

json_t *control_to_json(const struct control *control)
{
    return json_pack("{s:s, s:s, s:s, s:I, s:s?, s:s?}", "control", lever_class(control->lever)->name, "object",
                     control->object, "value", control->value, "revision", (json_int_t)control->revision, "actor",
                     control->actor, "execution", control->execution);
}

bool control_from_json(const json_t *json, struct control *out, GError **error)
{
    const char *name = json_text(json_object_get(json, "control"));
    const struct lever_class *class = name != NULL ? lever_class_find(name) : NULL;
    const char *object = json_text(json_object_get(json, "object"));
    const char *value = json_text(json_object_get(json, "value"));
    const json_t *revision = json_object_get(json, "revision");
    if (class == NULL || object == NULL || value == NULL || !json_is_integer(revision) ||
        json_integer_value(revision) < 0) {
        const char *field = class == NULL    ? "control"
                            : object == NULL ? "object"
                            : value == NULL  ? "value"
                                             : "revision";
        g_autofree char *found = json_quote(json_object_get(json, field));
        g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "control: %s: found %s, expected %s", field, found,
                    class == NULL                     ? "the name of a lever"
                    : object == NULL || value == NULL ? "text"
                                                      : "a generation");
        return false;
    }
    *out = (struct control){
        .lever = class->lever,
        .object = g_strdup(object),
        .value = g_strdup(value),
        .revision = (uint64_t)json_integer_value(revision),
        .actor = g_strdup(json_text(json_object_get(json, "actor"))),
        .execution = g_strdup(json_text(json_object_get(json, "execution"))),
    };
    return true;
}
