/* jsondoc.h: strict JSON from strangers: no duplicate keys, no NUL, nothing behind the value, depth at most 32.
 * Thread safety: pure functions.
 */
#ifndef SCHEMA_JSONDOC_H
#define SCHEMA_JSONDOC_H

#include <glib.h>
#include <jansson.h>

#define JSONDOC_DEPTH_MAX 32

/* A new reference, or NULL with SB_ERROR_INVALID: "name:line: found ..., expected ...". The value is an object or an
 * array. size: bytes of text, which needs no NUL behind it; the caller has bounded it. */
json_t *jsondoc_parse(const char *text, size_t size, const char *name, GError **error);

/* The text of a member, borrowed; where there is none, or it is no text, NULL, and to be shown to people "". */
const char *json_member_text(const json_t *json, const char *name);
const char *json_member_shown(const json_t *json, const char *name);

/* Lists of texts. NULL is an empty list; what of the JSON is no text is passed over. g_strfreev. */
json_t *strv_to_json(char *const *strv);
json_t *names_to_json(const GPtrArray *names); /* of char * */
char **strv_from_json(const json_t *json);

/* What a merge patch (RFC 7396) makes of a value; a new reference. Neither is changed. target NULL: there is none. */
json_t *json_merge_patch(const json_t *target, const json_t *patch);

#endif
