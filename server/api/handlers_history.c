/* handlers_history.c: handler->read of what was: files of the black box, and worlds of old generations. */
#include "server/api/call.h"

#include "core/error.h"
#include "core/fileio.h"
#include "core/gunzip.h"
#include "core/loop.h"
#include "server/api/api_internal.h"
#include "server/engine/recorder.h"
#include "server/interlocking/incident_case.h"

#define AUDIT_ROWS 1000                /* of a difference; who wants more asks for the audit */
#define RECORDING_SIZE_MAX (64u << 20) /* bytes; a file of the black box is smaller by far */
#define RECORDED_TEXT_MAX (512u << 20) /* bytes, of one file */
#define LISTENER_WAIT_US 100000        /* for the black box; the thread is everybody's */
#define REPLAY_WAIT_US G_USEC_PER_SEC
#define REPLAYS_MAX 2 /* who take the processor's time at once, when one more replay begins */

/* ?at=: µs since 1970, or below 0: not given. What is to come is not known, and the last state isn't it. */
static bool asked_at(const struct call *call, int64_t *at_us, GError **error)
{
    if (!call_query_int(call, "at", at_us, error))
        return false;
    bool has_been = *at_us <= wall_now_us();
    if (!has_been)
        g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "at: found a time to come, expected one that has been");
    return has_been;
}

static const char *recordings(const struct call *call, GError **error)
{
    const char *folder = executor_recordings(call->api->executor);
    if (folder == NULL)
        g_set_error(error, SB_ERROR, SB_ERROR_NOT_FOUND,
                    "nothing is recorded here: signalboxd was started with --record 0");
    return folder;
}

bool history_recordings(struct call *call, GError **error)
{
    const char *folder = recordings(call, error);
    if (folder == NULL)
        return false;
    executor_flush_recording(call->api->executor, LISTENER_WAIT_US);
    call->result = json_pack("{s:o}", "recordings", recorder_list(folder));
    return true;
}

/* As it is on disk, also while it is written: gzip up to the last second. */
bool history_recording(struct call *call, GError **error)
{
    struct reply *reply = &call->request->reply;
    const char *folder = recordings(call, error), *name = call->params.value[0];
    if (folder == NULL)
        return false;
    if (!recorder_is_name(name)) {
        g_autofree char *found = text_quote(name);
        g_set_error(error, SB_ERROR, SB_ERROR_NOT_FOUND, "recording: found %s, expected a name of /v1/recordings",
                    found);
        return false;
    }
    g_autofree char *path = g_build_filename(folder, name, NULL);
    reply->body = file_read(path, RECORDING_SIZE_MAX, &reply->size, error);
    if (reply->body == NULL)
        return false;
    reply->status = 200;
    reply->content_type = "application/gzip";
    return true;
}

/* The newest file that began by then, as text; NULL: there is none. */
static GString *recorded_until(const char *folder, int64_t at_us, GError **error)
{
    json_t *files = recorder_list(folder), *file;
    g_autofree char *name = NULL;
    size_t i, size;
    json_array_foreach (files, i, file)
        if (json_integer_value(json_object_get(file, "began_us")) <= at_us) {
            g_free(name);
            name = g_strdup(json_string_value(json_object_get(file, "name")));
        }
    json_decref(files);
    if (name == NULL) {
        g_set_error(error, SB_ERROR, SB_ERROR_NOT_FOUND, "the black box does not go back so far");
        return NULL;
    }
    g_autofree char *path = g_build_filename(folder, name, NULL),
                    *bytes = file_read(path, RECORDING_SIZE_MAX, &size, error);
    GString *text = g_string_new(NULL);
    bool whole;
    if (bytes != NULL && gunzip(bytes, size, RECORDED_TEXT_MAX, text, &whole, error))
        return text;
    g_string_free(text, TRUE);
    return NULL;
}

/* A replay of its own, beside the engine. Whoever waits to log in goes first: it can be asked for again. */
void history_status(struct call *call, GError **error)
{
    int64_t at_us, now_us;
    const char *folder = recordings(call, error);
    if (folder == NULL || !asked_at(call, &at_us, error))
        return;
    if (atomic_load(&call->api->n_hashing) > REPLAYS_MAX) {
        g_set_error(error, SB_ERROR, SB_ERROR_UNAVAILABLE, "others wait: ask again in a moment");
        return;
    }
    if (!executor_flush_recording(call->api->executor, REPLAY_WAIT_US)) { /* what is in the file may be older */
        g_set_error(error, SB_ERROR, SB_ERROR_UNAVAILABLE, "the black box is behind: ask again in a moment");
        return;
    }
    GString *recording = recorded_until(folder, at_us, error);
    if (recording == NULL)
        return;
    struct engine *engine = incident_engine_at(recording->str, at_us, &now_us, error);
    g_string_free(recording, TRUE);
    if (engine == NULL)
        return;
    call->result = engine_status(engine, now_us);
    engine_free(engine);
}

/* ---- generations ---- */

struct history {
    json_t *generation; /* body of its entry, or NULL: none was found */
    uint64_t seq;       /* of that entry */
    int64_t at_us;
    uint64_t until;  /* audit: the last entry of interest */
    json_t *entries; /* of the world; or rows of the audit */
};

static bool take_generation(void *data, const struct journal_row *row, GError **error)
{
    struct history *h = data;
    json_decref(h->generation);
    h->generation = journal_row_body(row, error);
    h->seq = row->seq;
    h->at_us = row->at_us;
    return h->generation != NULL;
}

static bool take_entry(void *data, const struct journal_row *row, GError **error)
{
    struct history *h = data;
    json_t *body = journal_row_body(row, error);
    if (body != NULL)
        json_array_append_new(h->entries, json_pack("{s:s, s:s, s:o}", "kind", row->kind, "id", row->id, "body", body));
    return body != NULL;
}

/* False also ends the walk behind the last row of interest. */
static bool take_audit(void *data, const struct journal_row *row, GError **error)
{
    struct history *h = data;
    json_t *body = row->seq <= h->until ? audit_row_json(row, error) : NULL;
    if (body != NULL)
        json_array_append_new(h->entries, body);
    return body != NULL;
}

static json_int_t generation_of(const json_t *body)
{
    return json_integer_value(json_object_get(body, "generation"));
}

/* Says which there are. */
static bool no_generation(struct journal_reader *reader, uint64_t generation, GError **error)
{
    struct history first = {0}, last = {0};
    g_autofree char *found = generation > 0 ? g_strdup_printf("found %" G_GUINT64_FORMAT, generation)
                                            : g_strdup("found a time before the first");
    if (journal_read_after(reader, "generation", 0, 1, take_generation, &first, error) &&
        journal_read_before(reader, "generation", INT64_MAX, 1, take_generation, &last, error))
        g_set_error(error, SB_ERROR, SB_ERROR_NOT_FOUND, "generation: %s, expected one of the journal's: %lld to %lld",
                    found, (long long)MAX(generation_of(first.generation), 1),
                    (long long)generation_of(last.generation));
    json_decref(first.generation);
    json_decref(last.generation);
    return false;
}

/* The audit behind generation `after` until h. */
static json_t *audit_since(struct journal_reader *reader, const struct history *h, uint64_t after, GError **error)
{
    struct history from = {.until = h->seq, .entries = json_array()};
    if (journal_read_generation(reader, after, 0, take_generation, &from, error) &&
        (from.generation != NULL || no_generation(reader, after, error)) &&
        journal_read_after(reader, "audit", from.seq, AUDIT_ROWS, take_audit, &from, error)) {
        json_decref(from.generation);
        return from.entries;
    }
    json_decref(from.generation);
    json_decref(from.entries);
    return NULL;
}

static json_t *history_answer(struct journal_reader *reader, uint64_t generation, int64_t at_us, int64_t after,
                              GError **error)
{
    struct history h = {.entries = json_array()}, next = {0};
    json_t *answer = NULL, *audit = NULL;
    if (journal_read_generation(reader, generation, at_us, take_generation, &h, error) &&
        (h.generation != NULL || no_generation(reader, generation, error)) &&
        journal_read_generation(reader, (uint64_t)generation_of(h.generation) + 1, 0, take_generation, &next, error) &&
        journal_read_world(reader, h.seq, take_entry, &h, error) &&
        (after <= 0 || (audit = audit_since(reader, &h, (uint64_t)after, error)) != NULL))
        answer = json_pack("{s:O, s:O, s:O, s:I, s:o, s:O, s:o*}", "generation",
                           json_object_get(h.generation, "generation"), "epoch", json_object_get(h.generation, "epoch"),
                           "cause", json_object_get(h.generation, "cause"), "at_us", (json_int_t)h.at_us, "next_us",
                           next.generation != NULL ? json_integer(next.at_us) : json_null(), "entries", h.entries,
                           "audit", audit);
    json_decref(h.generation);
    json_decref(next.generation);
    json_decref(h.entries);
    return answer;
}

/* From the journal, beside the engine. */
bool history_world(struct call *call, GError **error)
{
    int64_t generation, at_us, after;
    if (!call_query_int(call, "generation", &generation, error) || !asked_at(call, &at_us, error) ||
        !call_query_int(call, "after", &after, error))
        return false;
    if ((generation > 0) == (at_us >= 0)) {
        g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "expected one of ?generation=N and ?at=TIME, µs since 1970");
        return false;
    }
    call->result = history_answer(call->api->reader, (uint64_t)generation, at_us, after, error);
    return call->result != NULL;
}
