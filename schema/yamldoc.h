/* yamldoc.h: strict YAML (libyaml events) to JSON, with the line of every mapping.
 *
 * A strict subset: no anchors, aliases, tags or merge keys; no duplicate keys; depth at most 16; at most 64 MiB.
 * Plain scalars become integers, true/false or strings; quoted ones are strings. Every mapping that came from a file
 * has a member "@line" (integer); yamldoc_strip removes them.
 * Thread safety: pure functions but for yamldoc_load_file, which reads the file.
 */
#ifndef SCHEMA_YAMLDOC_H
#define SCHEMA_YAMLDOC_H

#include <glib.h>
#include <jansson.h>

/* One JSON value for each document of the stream; json_decref. `name` stands in messages "name:line: ...". */
json_t *yamldoc_parse(const char *text, size_t size, const char *name, GError **error);
json_t *yamldoc_load_file(const char *path, GError **error);
void yamldoc_strip(json_t *json);

/* What `apply -f` sends: {"objects": [{"kind", "name", ..., "at": "file:line"}], "plans": [...]}. Takes all documents
 * of a file: lists under plurals of objects.def, documents with `plan:`; a document `lab:` is skipped by name,
 * anything else is a finding. Appends to `body`. */
void yamldoc_collect(const json_t *documents, const char *file, json_t *body, GPtrArray *findings);
/* As YAML text (block style, insertion order); g_free. */
char *yamldoc_format(const json_t *json);

#endif
