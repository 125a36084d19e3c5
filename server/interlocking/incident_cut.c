/* incident_cut.c: from a recording to a case, or to the engine as it was. */
#include "server/interlocking/engine_internal.h"
#include "server/interlocking/incident_case.h"

#include "core/error.h"

#include <stdlib.h>
#include <string.h>

#define URLS_MAX 12u /* that are explained at each mark: one of each domain group */

/* A walk along a recording. */
struct walk {
    struct engine *engine;        /* or NULL */
    bool continues;               /* the snapshot that comes says nothing new */
    bool passing;                 /* this is such a snapshot */
    int64_t from_us, to_us;       /* wall clock */
    bool over;                    /* behind to_us */
    GString *expected, *recorded; /* effects of the last input: as replayed, as the server did them */
    unsigned line;
    struct incident_note *note;
    /* The case. */
    GString *out; /* NULL: none is wanted */
    bool begun;
    int64_t base_us;
};

void incident_note_clear(struct incident_note *note)
{
    g_free(note->differs);
    *note = (struct incident_note){0};
}

/* ---- the case ---- */

static void add_snapshot_line(void *out, const json_t *input)
{
    char *text = json_dumps(input, JSON_COMPACT);
    g_string_append_printf(out, "%s\n", text);
    free(text);
}

/* One URL of each group that has a domain. */
static void mark_explains(const struct engine *engine, GString *out)
{
    const struct inventory *inventory = engine->resolved->world->inventory;
    unsigned urls = 0;
    INVENTORY_FOREACH (inventory, group, group)
        INVENTORY_FOREACH (inventory, domain, domain)
            if (urls < URLS_MAX && strcmp(domain->group, group->o.name) == 0) {
                g_string_append_printf(out, "? explain http://%s/\n", domain->o.name);
                urls++;
                break;
            }
}

static void case_begin(struct walk *w)
{
    struct engine_snapshot *snapshot = engine_snapshot_new(w->engine);
    w->begun = true;
    w->base_us = w->engine->now_us;
    engine_snapshot_emit(snapshot, add_snapshot_line, w->out);
    engine_snapshot_free(snapshot);
    g_string_append(w->out, "? status\n");
    mark_explains(w->engine, w->out);
}

static void case_end(struct walk *w)
{
    g_string_append(w->out, "? status\n");
    mark_explains(w->engine, w->out);
    for (guint i = 0; i < w->engine->order->len; i++) {
        const struct execution *ex = w->engine->order->pdata[i];
        if (!execution_ended(ex) || ex->ended_us >= w->from_us)
            g_string_append_printf(w->out, "? execution %s\n", ex->id);
    }
}

static void add_timed_line(struct walk *w, const json_t *input)
{
    int64_t us = json_integer_value(json_object_get(input, "at")) - w->base_us, size = us < 0 ? -us : us;
    json_t *rest = json_copy((json_t *)(uintptr_t)input);
    json_object_del(rest, "at");
    char *text = json_dumps(rest, JSON_COMPACT);
    g_string_append_printf(w->out, "%c%" G_GINT64_FORMAT ".%06d %s\n", us < 0 ? '-' : '+', size / G_USEC_PER_SEC,
                           (int)(size % G_USEC_PER_SEC), text);
    free(text);
    json_decref(rest);
    w->note->inputs++;
}

/* ---- the walk ---- */

/* What the server did about the last input, against what came out here. */
static void compare(struct walk *w)
{
    if (w->begun && w->recorded->len > 0)
        w->note->effects++;
    if (w->begun && w->note->differs == NULL && strcmp(w->expected->str, w->recorded->str) != 0)
        w->note->differs = g_strdup_printf("before line %u of the recording: found\n%sexpected as recorded\n%s",
                                           w->line, w->expected->str, w->recorded->str);
    g_string_truncate(w->expected, 0);
    g_string_truncate(w->recorded, 0);
}

/* "# {...}": a file begins. What the one before lacks at its end is not compared. */
static void take_head(struct walk *w, const char *text, size_t len)
{
    json_t *head = json_loadb(text, len, 0, NULL);
    if (json_object_get(head, "recording") != NULL) {
        w->continues = json_is_true(json_object_get(head, "continues")) && w->engine != NULL;
        if (w->continues)
            compare(w);
        else {
            g_string_truncate(w->expected, 0);
            g_string_truncate(w->recorded, 0);
        }
    }
    json_decref(head);
}

static int64_t wall_of(const struct walk *w, const json_t *input)
{
    const json_t *offset = json_object_get(input, "offset");
    return json_integer_value(json_object_get(input, "at")) +
           (offset != NULL ? json_integer_value(offset) : w->engine->wall_offset_us);
}

/* Into the engine; effects, without what it refused, into w->expected. */
static bool apply(struct walk *w, const json_t *input, GError **error)
{
    g_autoptr(GString) out = g_string_new(NULL);
    if (!incident_input(&w->engine, input, out, error))
        return false;
    for (const char *at = out->str; *at != '\0'; at += strcspn(at, "\n") + 1)
        if (!g_str_has_prefix(at, "> refused: "))
            g_string_append_len(w->expected, at, (gssize)strcspn(at, "\n") + 1);
    return true;
}

static bool is_in(const json_t *input, const char *word)
{
    return g_strcmp0(json_string_value(json_object_get(input, "in")), word) == 0;
}

/* Of a snapshot, or what a new engine is told: without a time of its own, whatever it says. */
static bool take_restoring(struct walk *w, const json_t *input, GError **error)
{
    if (is_in(input, "config") && w->begun) {
        w->note->gaps++;
        g_string_append(w->out, "# here something is missing, or the server began anew\n");
    }
    if (w->begun)
        add_snapshot_line(w->out, input);
    if (!apply(w, input, error))
        return false;
    g_string_truncate(w->expected, 0); /* of a start: the black box does not have it */
    return true;
}

static bool take_timed(struct walk *w, const json_t *input, GError **error)
{
    int64_t wall_us = wall_of(w, input);
    if (w->note->began_us == 0)
        w->note->began_us = wall_us;
    if (w->over || wall_us > w->to_us) {
        w->over = true;
        w->note->ended_us = wall_us;
        return true;
    }
    if (w->out != NULL && !w->begun && wall_us >= w->from_us)
        case_begin(w);
    if (w->begun)
        add_timed_line(w, input);
    w->note->ended_us = wall_us;
    if (!apply(w, input, error))
        return false;
    if (w->begun && strstr(w->expected->str, "> publish") != NULL)
        mark_explains(w->engine, w->out);
    return true;
}

static bool take_input(struct walk *w, const json_t *input, GError **error)
{
    if (w->over)
        return take_timed(w, input, error);
    compare(w);
    if (is_in(input, "config")) {
        w->passing = w->continues;
        w->continues = false;
    }
    if (w->passing) {
        w->passing = !is_in(input, "state");
        return true;
    }
    bool restoring = is_in(input, "config") || w->engine == NULL || !w->engine->started;
    return restoring ? take_restoring(w, input, error) : take_timed(w, input, error);
}

static bool take_line(struct walk *w, const char *line, size_t len, GError **error)
{
    json_error_t where;
    if (line[0] == '#' && len > 2)
        take_head(w, line + 2, len - 2);
    if (line[0] == '>' && !w->over && !w->passing)
        g_string_append_len(w->recorded, line, (gssize)len + 1);
    if (line[0] != '{')
        return true;
    json_t *input = json_loadb(line, len, JSON_REJECT_DUPLICATES, &where);
    if (input == NULL) {
        g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "%s", where.text);
        return false;
    }
    bool ok = take_input(w, input, error);
    json_decref(input);
    return ok;
}

/* A last line without its end was cut off. */
static bool walk_along(struct walk *w, const char *recording, GError **error)
{
    bool ok = true;
    w->expected = g_string_new(NULL);
    w->recorded = g_string_new(NULL);
    for (const char *at = recording, *end; ok && !w->over && (end = strchr(at, '\n')) != NULL; at = end + 1) {
        w->line++;
        ok = take_line(w, at, (size_t)(end - at), error);
        if (!ok)
            g_prefix_error(error, "recording, line %u: ", w->line);
    }
    g_string_free(w->expected, TRUE);
    g_string_free(w->recorded, TRUE);
    return ok;
}

static bool nothing_there(GError **error)
{
    g_set_error(error, SB_ERROR, SB_ERROR_NOT_FOUND, "the black box recorded nothing at that time");
    return false;
}

char *incident_cut(const char *recording, int64_t from_us, int64_t to_us, struct incident_note *note, GError **error)
{
    struct walk w = {.from_us = from_us, .to_us = to_us, .note = note, .out = g_string_new(NULL)};
    *note = (struct incident_note){0};
    bool ok = walk_along(&w, recording, error) && (w.begun || nothing_there(error));
    char *incident = NULL;
    if (ok) {
        case_end(&w);
        incident = incident_run(w.out->str, error);
    }
    g_string_free(w.out, TRUE);
    engine_free(w.engine);
    return incident;
}

struct engine *incident_engine_at(const char *recording, int64_t wall_us, int64_t *now_us, GError **error)
{
    struct incident_note note;
    struct walk w = {.to_us = wall_us, .note = &note};
    note = (struct incident_note){0};
    bool ok = walk_along(&w, recording, error) &&
              ((w.engine != NULL && w.engine->started && note.began_us != 0 && note.began_us <= wall_us) ||
               nothing_there(error));
    if (!ok)
        g_clear_pointer(&w.engine, engine_free);
    else
        *now_us = wall_us - w.engine->wall_offset_us;
    incident_note_clear(&note);
    return w.engine;
}
