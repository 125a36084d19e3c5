/* template.h: texts of plans with words that stand for facts of a run: $target, ${target}; $$ is a single $.
 *
 * A word is of a-z 0-9 -, and $NAME takes as much as it can: ${NAME} stands where more of these follow. What is filled
 * in is not looked at again, so a fact can never be a template. Thread safety: pure functions.
 */
#ifndef SCHEMA_TEMPLATE_H
#define SCHEMA_TEMPLATE_H

#include <glib.h>
#include <jansson.h>

/* The first $WORD of `text` that is no member of `known` (an object, for its keys), as it stands there; NULL: there is
 * none. g_free. */
char *template_unknown(const char *text, const json_t *known);
/* The same for all texts within a JSON value; names of members are not looked at. */
char *template_unknown_in(const json_t *json, const json_t *known);

/* `text` with its words filled in from `facts` (an object of strings; what is absent or null is nothing). g_free. */
char *template_fill(const char *text, const json_t *facts);
/* A copy of a JSON value, all texts within it filled; what is filled in stays within its text, whatever it holds. */
json_t *template_fill_in(const json_t *json, const json_t *facts);

#endif
