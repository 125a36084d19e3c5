/* object.h: objects of the inventory as C structs, and their classes as data (both from objects.def).
 *
 * struct room, struct pop, ... begin with `struct object o`. Generic code goes by object_class(kind): codec,
 * validation, diff, CLI columns.
 *
 * Types of fields: NAME [a-z0-9-], 1..40, begins and ends with a letter or digit · FQDN lower case, labels 1..63 of
 * [a-z0-9-_], at most 253, no dot at the end · TEXT printable UTF-8 · PREFIX /a/b of [A-Za-z0-9._~-], no slash at the
 * end, at most 200 · URL http or https, no user, no fragment, at most 400 · ADDR, ENDPOINT addr.h · INT int64_t · BOOL
 * · ENUM index into the choices · REF name of an object of the given kinds · REFS, NAMES lists. Nothing else can come
 * into a table, so a value can never hold a separator of HAProxy's command line or of a zone file.
 *
 * Ownership: objects own their strings; object_free. Published objects are immutable; inventories share them by
 * reference count. Thread safety: pure; immutable objects may be read by any thread.
 */
#ifndef SCHEMA_OBJECT_H
#define SCHEMA_OBJECT_H

#include "schema/addr.h"
#include <glib.h>
#include <jansson.h>

/* No request waits longer at an edge than its client may (dcdn/render.c). */
#define SERVICE_TIMEOUT_MIN_MS 100
#define SERVICE_TIMEOUT_MAX_MS 30000
#define WEBHOOK_EVENTS "alarm|audit|event|execution|generation" /* kinds of entries that it may be told */
#define INTERFACE_METHODS "any|get|head|options|post|put|patch|delete"
#define ANSWER_BODY_MAX 400 /* bytes of a static answer; as hex it fits a line of a part */

enum object_kind {
#define OBJECT(kind, ...) OBJECT_##kind,
#define FIELD(...)
#define END(kind)
#include "schema/objects.def"
#undef OBJECT
#undef FIELD
#undef END
    OBJECT_KINDS
};

enum field_type {
    FIELD_NAME,
    FIELD_FQDN,
    FIELD_TEXT,
    FIELD_PREFIX,
    FIELD_URL,
    FIELD_ADDR,
    FIELD_ENDPOINT,
    FIELD_INT,
    FIELD_BOOL,
    FIELD_ENUM,
    FIELD_REF,
    FIELD_REFS,
    FIELD_NAMES,
};

struct object {
    enum object_kind kind;
    char *name;
    uint64_t revision; /* generation that last changed it; 0 before it is published. ETag and If-Match */
    char *at;          /* "file:line" it was read from, or NULL; for messages only */
    gint shared;       /* owners besides the first; object_ref, object_free */
};

#define CTYPE_NAME char *
#define CTYPE_FQDN char *
#define CTYPE_TEXT char *
#define CTYPE_PREFIX char *
#define CTYPE_URL char *
#define CTYPE_ADDR struct addr
#define CTYPE_ENDPOINT struct endpoint
#define CTYPE_INT int64_t
#define CTYPE_BOOL bool
#define CTYPE_ENUM int
#define CTYPE_REF char *
#define CTYPE_REFS char **
#define CTYPE_NAMES char **
#define OBJECT(kind, ...)                                                                                              \
    struct kind {                                                                                                      \
        struct object o;
#define FIELD(kind, field, type, ...) CTYPE_##type field;
#define END(kind)                                                                                                      \
    }                                                                                                                  \
    ;
#include "schema/objects.def"
#undef OBJECT
#undef FIELD
#undef END

/* Values of ENUM fields, in the order of their choices. */
enum { EDGE_PUBLIC, EDGE_DEDICATED, EDGE_CLASSES };
enum { SERVICE_MULTI, SERVICE_SINGLE };
enum { DEGRADED_503, DEGRADED_200 };
enum { INTERFACE_ANY_METHOD }; /* and those of INTERFACE_METHODS behind it */
enum { INTERFACE_AS_SERVICE, INTERFACE_MULTI, INTERFACE_SINGLE };
enum { COMPONENT_CACHE, COMPONENT_TOPIC, COMPONENT_MYSQL, COMPONENT_KV, COMPONENT_OTHER };
enum { GWVIP_TCP, GWVIP_UDP };
enum { GWVIP_TELL_NONE, GWVIP_TELL_TOA, GWVIP_TELL_PROXY, GWVIP_TELL_BOTH };
enum { GWVIP_CHECK_TCP, GWVIP_CHECK_HTTP, GWVIP_CHECK_UDP, GWVIP_CHECK_NONE };
enum { NAMESERVER_PRIMARY, NAMESERVER_SECONDARY };
enum {
    RULE_OPEN,
    RULE_CAPACITY,
    RULE_MOVED,
    RULE_HOLD,
    RULE_GATE,
    RULE_CLASS,
    RULE_FREEZE,
    RULE_WINDOW,
    RULE_HANDOVER,
    RULE_CHECKS
};

struct field_class {
    const char *name;
    enum field_type type;
    bool required;
    int64_t min, max;
    const char *detail; /* unit, choices or kinds, see objects.def */
    const char *doc;
    size_t offset; /* of the member in the object's struct */
};
struct object_class {
    enum object_kind kind;
    const char *name, *plural, *doc;
    enum field_type name_type; /* NAME or FQDN */
    size_t size;
    unsigned n_fields;
    const struct field_class *fields;
};
const struct object_class *object_class(enum object_kind kind);
/* By singular or plural; NULL if unknown. */
const struct object_class *object_class_find(const char *name);

/* One thing that is wrong with what somebody gave us. Also its text: "site.yaml:41: pop pop-a1: origin: found "x",
 * expected ADDRESS:PORT". */
struct finding {
    char *at;     /* "file:line" or NULL */
    char *object; /* "pop pop-a1" or NULL */
    char *field;  /* or NULL */
    char *found, *expected;
};
void finding_free(struct finding *finding);
char *finding_text(const struct finding *finding); /* g_free */
json_t *finding_json(const struct finding *finding);
/* Appends to a GPtrArray of struct finding * (made with finding_list_new); strings are copied. found stands in the
 * text as it is: quote what somebody gave us with text_quote. */
GPtrArray *finding_list_new(void);
void finding_add(GPtrArray *findings, const char *at, const char *object, const char *field, const char *found,
                 const char *expected);
/* SB_ERROR_INVALID with the first finding's text and how many more; false always, for `return`. */
bool findings_error(const GPtrArray *findings, GError **error);

/* True if text is a valid value of the type (NAME, FQDN, TEXT, PREFIX, URL). */
bool text_valid(enum field_type type, const char *text);
/* Is the path the prefix, or below it? Cut at slashes: /a holds /a and /a/b, not /ab. */
bool prefix_holds(const char *prefix, const char *path);
/* May it be the body of a static answer? It stands in HAProxy's configuration between single quotes. */
bool answer_body_valid(const char *text);
/* What such a value looks like, for messages: "a name of 1 to 40 a-z 0-9 -"; static. */
const char *text_expected(enum field_type type);
/* Strange text made safe to stand in a message: in quotes, cut at 60 characters, \u for what is not printable; NULL is
 * "nothing". g_free. */
char *text_quote(const char *text);
/* The same for any JSON value; NULL is "nothing". */
char *json_quote(const json_t *json);

/* From JSON: {"kind": "pop", "name": ..., fields..., "at": "file:line"}; "revision" is passed over. Unknown fields,
 * wrong types and values out of range become findings; the result is NULL then. */
struct object *object_from_json(const json_t *json, GPtrArray *findings);
/* kind, name and all fields that differ from their default, in the order of objects.def; no revision, no at. */
json_t *object_to_json(const struct object *object);
bool object_equal(const struct object *a, const struct object *b); /* but for revision and at */
/* Value of field number `i` of its class as people read it, "-" when absent; g_free. For diffs and columns. */
char *object_field_text(const struct object *object, unsigned i);
/* A copy of its own, with revision and at. */
struct object *object_copy(const struct object *object);
/* One more owner of an object that nobody changes any more. */
struct object *object_ref(const struct object *object);
/* Gives up one ownership; frees with the last. */
void object_free(struct object *object);

#endif
