/* handlers_events.c: what happens, as server-sent events out of the journal: a client's queue is the journal itself, so
 * that a slow one costs nothing, and one that comes again, to a server started anew too, goes on where it was.
 *
 * An answer ends when it has told what there is (or waited in vain, with a comment as sign of life), and the client
 * comes again with Last-Event-ID, as EventSource does by itself. An id is SEQ-EPOCH of the entry: if the journal has no
 * such one any more (it was restored from an older copy), an event `gap` says so and it goes on with the newest.
 *
 * With ?status=1 each answer ends with the site as it is then: who draws it needs no other request.
 */
#include "server/api/call.h"

#include "core/error.h"
#include "core/loop.h"
#include "schema/object.h"
#include "server/api/api_internal.h"

#include <string.h>

#define ROWS 500                 /* read at once */
#define TEXT_SIZE_MAX (1u << 20) /* bytes of an answer, but for its last event */
#define RETRY "retry: 100\n\n"   /* ms until a client comes again */
/* An entrance that goes down or comes back is no entry of the journal. Whoever draws the site is told at once, also if
 * it was while he came again; a client that has heard of it already is told once or twice more. */
#define FLIP_US 300000

static const char *const kinds[] = {"alarm", "audit", "event", "execution", "generation", NULL};

struct telling {
    GString *text;
    uint64_t seq; /* of the last row, told or not */
    unsigned n;   /* rows of this batch */
};

/* Execution bodies without their events, which are told one by one. */
static json_t *body_of(const struct journal_row *row, GError **error)
{
    json_t *body = journal_row_body(row, error);
    if (body != NULL && strcmp(row->kind, "execution") == 0)
        json_object_del(body, "events");
    return body;
}

static bool tell_row(void *data, const struct journal_row *row, GError **error)
{
    struct telling *telling = data;
    telling->seq = row->seq;
    telling->n++;
    if (!g_strv_contains(kinds, row->kind) || strcmp(row->body, "null") == 0)
        return true;
    json_t *body = body_of(row, error);
    if (body == NULL)
        return false;
    json_t *event =
        json_pack("{s:I, s:I, s:s, s:s, s:I, s:o}", "seq", (json_int_t)row->seq, "epoch", (json_int_t)row->epoch,
                  "kind", row->kind, "id", row->id, "at_us", (json_int_t)row->at_us, "body", body);
    char *text = json_dumps(event, JSON_COMPACT);
    g_string_append_printf(telling->text, "id: %" G_GUINT64_FORMAT "-%" G_GUINT64_FORMAT "\nevent: %s\ndata: %s\n\n",
                           row->seq, row->epoch, row->kind, text);
    free(text);
    json_decref(event);
    return telling->text->len < TEXT_SIZE_MAX;
}

struct place {
    uint64_t seq, epoch; /* 0: none */
};

static bool take_place(void *data, const struct journal_row *row, GError **error)
{
    (void)error;
    *(struct place *)data = (struct place){row->seq, row->epoch};
    return true;
}

/* Where the client was, which is what it last had; or, for one that says nothing, the newest entry. */
static bool find_place(struct call *call, GString *text, GError **error)
{
    struct journal_reader *reader = call->api->reader;
    struct place found = {0}, newest = {0};
    if (call->after > 0 && !journal_read_after(reader, NULL, (uint64_t)call->after - 1, 1, take_place, &found, error))
        return false;
    bool known = call->after == 0 || (found.seq == (uint64_t)call->after && found.epoch == call->after_epoch);
    if (known)
        return true;
    if (!journal_read_before(reader, NULL, INT64_MAX, 1, take_place, &newest, error))
        return false;
    if (call->after > 0)
        g_string_append_printf(text,
                               "event: gap\ndata: {\"after\":%" G_GINT64_FORMAT ",\"newest\":%" G_GUINT64_FORMAT "}\n",
                               call->after, newest.seq);
    g_string_append_printf(text, "id: %" G_GUINT64_FORMAT "-%" G_GUINT64_FORMAT "\n\n", newest.seq, newest.epoch);
    call->after = (int64_t)newest.seq;
    call->after_epoch = newest.epoch;
    return true;
}

static void answer(struct call *call, GString *text)
{
    struct reply *reply = &call->request->reply;
    g_string_prepend(text, RETRY);
    reply->status = 200;
    reply->content_type = "text/event-stream";
    reply->size = text->len;
    reply->body = g_string_free(text, FALSE);
}

bool events_prepare(struct call *call, GError **error)
{
    int64_t wait_s, status;
    g_autofree char *query = request_query(call->request, "after");
    const char *text = query != NULL ? query : call->request->last_event_id;
    guint64 seq = 0, epoch = 0;
    if (!call_query_int(call, "wait", &wait_s, error) || !call_query_int(call, "status", &status, error))
        return false;
    call->with_status = status != 0;
    call->until_us = loop_now_us() + wait_s * G_USEC_PER_SEC;
    call->after = -1;
    if (text == NULL || text[0] == '\0')
        return true;
    g_auto(GStrv) parts = g_strsplit(text, "-", 2);
    bool sound = g_ascii_string_to_unsigned(parts[0], 10, 0, G_MAXINT64, &seq, NULL) &&
                 (parts[1] != NULL ? g_ascii_string_to_unsigned(parts[1], 10, 0, G_MAXINT64, &epoch, NULL) : seq == 0);
    if (!sound) {
        g_autofree char *found = text_quote(text);
        g_set_error(error, SB_ERROR, SB_ERROR_INVALID,
                    "Last-Event-ID (or ?after=): found %s, expected the id of an event, like 12-65536, or 0 for all",
                    found);
        return false;
    }
    call->after = (int64_t)seq;
    call->after_epoch = epoch;
    return true;
}

bool events_read(struct call *call, GError **error)
{
    struct telling telling = {.text = g_string_new(NULL)};
    call->writes = executor_writes(call->api->executor);
    bool ok = find_place(call, telling.text, error);
    telling.seq = (uint64_t)MAX(call->after, 0);
    do {
        telling.n = 0;
        ok = ok && journal_read_after(call->api->reader, NULL, telling.seq, ROWS, tell_row, &telling, error);
    } while (ok && telling.n == ROWS && telling.text->len < TEXT_SIZE_MAX);
    if (ok && telling.text->len > 0 && call->with_status)
        call->told = telling.text;
    else if (ok && telling.text->len > 0)
        answer(call, telling.text);
    else
        g_string_free(telling.text, TRUE);
    return ok;
}

/* Behind what was told: who has the status has all that it came of. */
static void answer_with_status(struct call *call, const struct turn *turn)
{
    json_t *status = status_now(call, turn);
    char *json = json_dumps(status, JSON_COMPACT);
    GString *text = call->told != NULL ? g_steal_pointer(&call->told) : g_string_new(NULL);
    g_string_append_printf(text, "event: status\ndata: %s\n\n", json);
    free(json);
    json_decref(status);
    answer(call, text);
}

/* Something was written since the journal was read, or the time is up. */
bool events_ready(struct call *call, struct turn *turn, bool last, GError **error)
{
    (void)error;
    bool flipped = turn->now.us - engine_observed(turn->engine)->flipped_us < FLIP_US;
    if (call->with_status && (last || call->told != NULL || flipped)) {
        answer_with_status(call, turn);
        return true;
    }
    if (last)
        answer(call, g_string_new(": nothing new\n\n"));
    return last || executor_writes(call->api->executor) != call->writes;
}
