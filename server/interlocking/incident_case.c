/* incident_case.c: cases replayed: expectations written anew, and what changes none of them left out. */
#include "server/interlocking/incident_case.h"
#include "server/interlocking/engine_internal.h"

#include "core/error.h"

#include <stdlib.h>
#include <string.h>

struct replay {
    struct engine *engine; /* or NULL */
    bool timed;            /* base_us is known */
    int64_t base_us;       /* what seconds count from */
    GString *out;
};

/* ---- marks ---- */

static void add_value(GString *out, const char *before, const json_t *value)
{
    char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    g_string_append_printf(out, "| %s%s\n", before, text);
    free(text);
}

/* A line for each member, and for each item of a list. */
static void add_object(GString *out, const json_t *object)
{
    const char *name;
    json_t *value, *item;
    size_t i;
    json_object_foreach ((json_t *)(uintptr_t)object, name, value) {
        g_autofree char *label = g_strconcat(name, ": ", NULL);
        if (!json_is_array(value) || json_array_size(value) == 0) {
            add_value(out, label, value);
            continue;
        }
        g_string_append_printf(out, "| %s:\n", name);
        json_array_foreach (value, i, item)
            add_value(out, "  ", item);
    }
}

static void add_lines(GString *out, const char *text)
{
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    for (char **line = lines; *line != NULL; line++)
        if (line[1] != NULL || **line != '\0')
            g_string_append_printf(out, **line != '\0' ? "| %s\n" : "|%s\n", *line);
}

static bool mark_status(const struct engine *engine, const char *argument, GString *out, GError **error)
{
    (void)argument, (void)error;
    json_t *status = engine_status(engine, engine->now_us);
    add_object(out, status);
    json_decref(status);
    return true;
}

static bool mark_execution(const struct engine *engine, const char *id, GString *out, GError **error)
{
    json_t *execution = engine_execution(engine, id);
    if (execution == NULL) {
        g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "found no execution \"%s\" here", id);
        return false;
    }
    add_object(out, execution);
    json_decref(execution);
    return true;
}

static bool mark_explain(const struct engine *engine, const char *url, GString *out, GError **error)
{
    struct explain_query query = {.url = url};
    json_t *explained = explain(engine->resolved, engine->observed, &query, engine->now_us, error);
    if (explained == NULL)
        return false;
    g_autofree char *text = explain_text(explained);
    add_lines(out, text);
    json_decref(explained);
    return true;
}

static bool replay_mark(struct replay *r, const char *mark, GError **error)
{
    static const struct {
        const char *word;
        bool (*look)(const struct engine *engine, const char *argument, GString *out, GError **error);
    } marks[] = {{"status", mark_status}, {"execution ", mark_execution}, {"explain ", mark_explain}};
    for (size_t i = 0; i < G_N_ELEMENTS(marks); i++)
        if (g_str_has_prefix(mark, marks[i].word) && r->engine != NULL && r->engine->started)
            return marks[i].look(r->engine, mark + strlen(marks[i].word), r->out, error);
    g_set_error(error, SB_ERROR, SB_ERROR_INVALID,
                "found \"? %s\", expected ? status, ? execution ID or ? explain URL behind a snapshot", mark);
    return false;
}

/* ---- inputs ---- */

/* "+12.345678 {...}": gives the input its "at" back. */
static bool take_time(const struct replay *r, const char *line, const char **rest, int64_t *at_us)
{
    char *end;
    gint64 seconds = g_ascii_strtoll(line + 1, &end, 10);
    if (!r->timed || *end != '.' || strspn(end + 1, "0123456789") != 6 || end[7] != ' ')
        return false;
    int64_t us = seconds * G_USEC_PER_SEC + g_ascii_strtoll(end + 1, NULL, 10);
    *at_us = r->base_us + (line[0] == '-' ? -us : us);
    *rest = end + 8;
    return true;
}

/* Not jsondoc_parse: what a stranger sent at the greatest depth stands here one deeper. */
static bool replay_input_line(struct replay *r, const char *line, GError **error)
{
    const char *text = line;
    int64_t at_us = -1;
    json_error_t where;
    if (line[0] != '{' && !take_time(r, line, &text, &at_us)) {
        g_set_error(error, SB_ERROR, SB_ERROR_INVALID,
                    "found \"%.40s\", expected an input like +1.234567 {...} behind a snapshot", line);
        return false;
    }
    json_t *input = json_loads(text, JSON_REJECT_DUPLICATES, &where);
    if (input == NULL) {
        g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "%s", where.text);
        return false;
    }
    if (line[0] != '{')
        json_object_set_new(input, "at", json_integer(at_us));
    bool ok = incident_input(&r->engine, input, r->out, error);
    if (ok && !r->timed && r->engine->started) {
        r->timed = true;
        r->base_us = r->engine->now_us;
    }
    json_decref(input);
    return ok;
}

static bool replay_case_line(struct replay *r, const char *line, GError **error)
{
    if (line[0] == '>' || line[0] == '|')
        return true;
    g_string_append_printf(r->out, "%s\n", line);
    if (line[0] == '#' || line[0] == '\0')
        return true;
    return g_str_has_prefix(line, "? ") ? replay_mark(r, line + 2, error) : replay_input_line(r, line, error);
}

static char *run_lines(const GPtrArray *lines, GError **error)
{
    struct replay r = {.out = g_string_new(NULL)};
    bool ok = true;
    for (guint i = 0; ok && i < lines->len; i++) {
        ok = replay_case_line(&r, lines->pdata[i], error);
        if (!ok)
            g_prefix_error(error, "line %u: ", i + 1);
    }
    engine_free(r.engine);
    return g_string_free(r.out, !ok);
}

static GPtrArray *lines_of(const char *text)
{
    GPtrArray *lines = g_ptr_array_new_with_free_func(g_free);
    for (const char *at = text; *at != '\0';) {
        size_t len = strcspn(at, "\n");
        g_ptr_array_add(lines, g_strndup(at, len));
        at += len + (at[len] == '\n');
    }
    return lines;
}

char *incident_run(const char *incident, GError **error)
{
    g_autoptr(GPtrArray) lines = lines_of(incident);
    return run_lines(lines, error);
}

/* ---- trimming ---- */

/* The expectations alone of a case that has them. */
static char *expectations(const char *text)
{
    GString *out = g_string_new(NULL);
    for (const char *at = text; *at != '\0';) {
        size_t len = strcspn(at, "\n") + 1;
        if (strchr(">|?", *at) != NULL)
            g_string_append_len(out, at, (gssize)len);
        at += len;
    }
    return g_string_free(out, FALSE);
}

static bool may_go(const char *line)
{
    static const char *const parts[] = {"{\"in\":\"edge\"", "{\"in\":\"server\"",
                                        "{\"in\":\"restore\",\"kind\":\"event\"",
                                        "{\"in\":\"restore\",\"kind\":\"execution\""};
    const char *input = strchr(line, '{');
    for (size_t i = 0; i < G_N_ELEMENTS(parts) && input != NULL && strchr("+-{", line[0]) != NULL; i++)
        if (g_str_has_prefix(input, parts[i]))
            return true;
    return false;
}

static GPtrArray *without(const GPtrArray *lines, const bool *gone)
{
    GPtrArray *kept = g_ptr_array_new();
    for (guint i = 0; i < lines->len; i++)
        if (!gone[i])
            g_ptr_array_add(kept, lines->pdata[i]);
    return kept;
}

/* Tries to leave out up to `size` lines that may go, from `from` on; *next: where to go on. */
static bool try_without(const GPtrArray *lines, bool *gone, guint from, guint size, const char *expected, guint *next)
{
    g_autoptr(GArray) tried = g_array_new(FALSE, FALSE, sizeof(guint));
    guint i;
    for (i = from; i < lines->len && tried->len < size; i++)
        if (!gone[i] && may_go(lines->pdata[i])) {
            gone[i] = true;
            g_array_append_val(tried, i);
        }
    *next = i;
    if (tried->len == 0)
        return false;
    g_autoptr(GPtrArray) kept = without(lines, gone);
    g_autofree char *text = run_lines(kept, NULL), *found = text != NULL ? expectations(text) : NULL;
    bool same = g_strcmp0(found, expected) == 0; /* NULL: without them it is none */
    for (guint j = 0; j < tried->len && !same; j++)
        gone[g_array_index(tried, guint, j)] = false;
    return same;
}

char *incident_trim(const char *incident, unsigned *dropped, GError **error)
{
    g_autoptr(GPtrArray) lines = lines_of(incident);
    g_autofree bool *gone = g_new0(bool, lines->len + 1);
    g_autofree char *whole = run_lines(lines, error), *expected = whole != NULL ? expectations(whole) : NULL;
    *dropped = 0;
    if (whole == NULL)
        return NULL;
    for (guint size = 64; size > 0; size /= 4) /* many at once first: each try is a whole replay */
        for (guint at = 0; at < lines->len;)
            try_without(lines, gone, at, size, expected, &at);
    for (guint i = 0; i < lines->len; i++)
        *dropped += gone[i];
    g_autoptr(GPtrArray) kept = without(lines, gone);
    return run_lines(kept, error);
}
