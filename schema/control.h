/* control.h: levers (controls.def) and their values; a set of them is immutable and shared by reference count.
 *
 * A lever is addressed as "room.ingress/room-a". A lever that was never moved has the value "default" and revision 0.
 * Thread safety: as inventory.h.
 */
#ifndef SCHEMA_CONTROL_H
#define SCHEMA_CONTROL_H

#include "core/auto.h"
#include "schema/inventory.h"
#include "schema/split.h"
#include "schema/weights.h"

enum lever {
#define CONTROL(symbol, ...) LEVER_##symbol,
#include "schema/controls.def"
#undef CONTROL
    LEVERS
};
enum lever_type {
    LEVER_TYPE_ENUM,
    LEVER_TYPE_SPLIT,
    LEVER_TYPE_WEIGHTS,
    LEVER_TYPE_RATE,
    LEVER_TYPE_ROOM,
    LEVER_TYPE_PIN
};
struct lever_class {
    enum lever lever;
    const char *name;      /* "room.ingress" */
    enum object_kind kind; /* of the objects it sits on */
    enum lever_type type;
    const char *choices; /* ENUM: "open|closed"; ROOM: the words that are no room */
    const char *doc;
};
const struct lever_class *lever_class(enum lever lever);
const struct lever_class *lever_class_find(const char *name); /* NULL if unknown */
/* Has the value the form that the lever takes, whatever the inventory holds? "default" has. */
bool lever_value_parses(const struct lever_class *class, const char *value, GError **error);
/* What such a value looks like: "default or one of open, closed"; g_free. */
char *lever_value_expected(const struct lever_class *class);

struct control {
    enum lever lever;
    char *object;
    char *value;       /* canonical text */
    uint64_t revision; /* generation that wrote it */
    char *actor;       /* who */
    char *execution;   /* id of the execution that wrote it, or NULL: a person's override */
};

struct controls;
struct controls *controls_new(void);
struct controls *controls_ref(struct controls *controls);
void controls_unref(struct controls *controls);
SB_AUTO_DEFINE(controls, controls_unref)
struct controls *controls_copy(const struct controls *controls);
/* Takes nothing, copies the strings. */
void controls_put(struct controls *controls, const struct control *control);
const struct control *controls_get(const struct controls *controls, enum lever lever, const char *object); /* or NULL */
/* Value or "default". */
const char *controls_value(const struct controls *controls, enum lever lever, const char *object);
/* Sorted GPtrArray of const struct control *; g_ptr_array_unref. */
GPtrArray *controls_list(const struct controls *controls);

/* Is `value` right for the lever on this object of this inventory (rooms of a split exist, ...)? On success *canonical
 * (g_free) is what is stored. SB_ERROR_INVALID or NOT_FOUND, with found and expected. */
bool control_validate(const struct inventory *inv, enum lever lever, const char *object, const char *value,
                      char **canonical, GError **error);

/* A value of type RATE: requests per second, 1 to CONTROL_RATE_MAX. */
#define CONTROL_RATE_MAX 1000000
bool control_rate_parse(const char *value, int64_t *rate);

json_t *control_to_json(const struct control *control);
/* The body of journal entries; false with an error if it is not one. *out is cleared with control_clear. */
bool control_from_json(const json_t *json, struct control *out, GError **error);
void control_clear(struct control *control);

#endif
