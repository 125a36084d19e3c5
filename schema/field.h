/* field.h: what the files about objects share: members by descriptor, and lists of words "a|b". Private to schema/.
 * Thread safety: pure functions. */
#ifndef SCHEMA_FIELD_H
#define SCHEMA_FIELD_H

#include "schema/object.h"

#define AT_MAX_LEN 400 /* bytes of "file:line" that a stranger gave */

/* The member that `field` (a struct field_class *) describes. */
#define FIELD_SLOT(object, field, ctype) ((ctype *)(void *)((char *)(object) + (field)->offset))
#define FIELD_READ(object, field, ctype) ((ctype const *)(const void *)((const char *)(object) + (field)->offset))

/* Position of `word` in "a|b|c", or -1. */
int choice_find(const char *choices, const char *word);
/* Word number i, and all with another separator; g_free. */
char *choice_text(const char *choices, int i);
char *choices_join(const char *choices, const char *separator);
/* A JSON string without a NUL inside, or NULL. Borrowed. */
const char *json_text(const json_t *json);
/* Can it be a cookie's value (RFC 6265, 4.1.1)? Not whether it is empty, or too long for one. */
bool cookie_value_valid(const char *text);
/* "pop|room": could `name` be the name of an object of one of the kinds? */
bool ref_valid(const char *kinds, const char *name);

#endif
