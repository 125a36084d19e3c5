/* handlers_audit.c: who did what, and whether the records of it are whole. */
#include "server/api/call.h"

#include "core/error.h"
#include "server/api/api_internal.h"
#include "server/store/audit_chain.h"
#include "server/store/store.h"

#include <string.h>

#define BATCH 1000 /* rows of a verify's turn */

/* ---- rows ---- */

json_t *audit_row_json(const struct journal_row *row, GError **error)
{
    json_t *body = journal_row_body(row, error);
    if (body == NULL)
        return NULL;
    json_object_set(body, "number", json_object_get(body, "seq"));
    json_object_set_new(body, "seq", json_integer((json_int_t)row->seq)); /* what ?after= takes */
    return body;
}

static bool add_audit_row(void *data, const struct journal_row *row, GError **error)
{
    json_t *body = audit_row_json(row, error);
    if (body != NULL)
        json_array_append_new(data, body);
    return body != NULL;
}

/* Which way a page leads, and from where: key of a cursor. */
struct direction {
    bool older;
    int64_t seq;
};

static bool read_direction(const struct call *call, struct direction *direction, GError **error)
{
    const char *word = call->page.after[0], *seq = call->page.after[1];
    if (word == NULL) {
        if (!call_query_int(call, "after", &direction->seq, error))
            return false;
        direction->older = direction->seq < 0;
        direction->seq = direction->older ? INT64_MAX : direction->seq;
        return true;
    }
    direction->older = strcmp(word, "older") == 0;
    if ((direction->older || strcmp(word, "newer") == 0) && seq != NULL &&
        g_ascii_string_to_signed(seq, 10, 0, INT64_MAX, &direction->seq, NULL))
        return true;
    g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "cursor: expected `next` of a page of the audit, as it was given");
    return false;
}

/* One row more than was asked for says that there is another page. */
static void cut_rows(struct call *call, bool older, json_t *rows)
{
    size_t n = json_array_size(rows);
    bool more = n > (size_t)call->page.limit;
    if (more)
        json_array_remove(rows, older ? 0 : n - 1);
    const json_t *last = json_array_get(rows, older ? 0 : json_array_size(rows) - 1);
    g_autofree char *seq = g_strdup_printf("%" JSON_INTEGER_FORMAT, json_integer_value(json_object_get(last, "seq")));
    page_set_next(&call->page, (const char *const[]){more ? older ? "older" : "newer" : NULL, seq}, call->result,
                  call->request);
}

/* From the journal, which keeps every entry: the store is behind it and may be away. */
bool audit_rows(struct call *call, GError **error)
{
    struct journal_reader *reader = call->api->reader;
    struct direction from;
    if (!read_direction(call, &from, error))
        return false;
    json_t *rows = json_array();
    unsigned n = (unsigned)call->page.limit + 1;
    bool ok = from.older ? journal_read_before(reader, "audit", from.seq, n, add_audit_row, rows, error)
                         : journal_read_after(reader, "audit", (uint64_t)from.seq, n, add_audit_row, rows, error);
    call->result = json_pack("{s:o}", "audit", rows);
    cut_rows(call, from.older, rows);
    return ok;
}

/* ---- verifying ---- */

struct reading {
    struct audit_check *check;
    enum audit_place place;
    uint64_t epoch, seq; /* of the last row */
    unsigned n;          /* rows of this batch */
};

/* All of journal and store, a batch in each turn. The journal's rest comes after the store: what was written and
 * drained meanwhile is in both. */
struct verifying {
    const struct call *call;
    enum { VERIFY_JOURNAL, VERIFY_STORE, VERIFY_REST } phase;
    struct audit_check *check;
    struct reading journal, stored;
    struct store *store; /* NULL before its phase */
    GError *away;        /* why the store cannot be read, or NULL */
};

static struct verifying *verifying_new(const struct call *call)
{
    struct verifying *v = g_new0(struct verifying, 1);
    v->call = call;
    v->check = audit_check_new(executor_node(call->api->executor));
    v->journal = (struct reading){.check = v->check, .place = AUDIT_JOURNAL};
    v->stored = (struct reading){.check = v->check, .place = AUDIT_STORE};
    return v;
}

static void verifying_free(struct verifying *v)
{
    store_close(v->store);
    audit_check_free(v->check);
    g_clear_error(&v->away);
    g_free(v);
}

static bool take_row(void *data, const struct journal_row *row, GError **error)
{
    struct reading *reading = data;
    (void)error;
    audit_check_add(reading->check, reading->place, row->id, row->epoch, row->body);
    reading->epoch = row->epoch;
    reading->seq = row->seq;
    reading->n++;
    return true;
}

static bool read_journal(struct reading *reading, struct journal_reader *reader, GError **error)
{
    reading->n = 0;
    return journal_read_after(reader, "audit", reading->seq, BATCH, take_row, reading, error);
}

static bool read_store(struct verifying *v, const struct executor *x, GError **error)
{
    struct reading *reading = &v->stored;
    reading->n = 0;
    if (v->store == NULL && (v->store = store_open(executor_store_url(x), error)) == NULL)
        return false;
    return store_read_audit(v->store, reading->epoch, reading->seq, BATCH, take_row, reading, error);
}

static bool tell(struct verifying *v, struct call *call, GError **error)
{
    g_autofree char *noted = request_query(call->request, "head");
    if (!audit_check_end(v->check, noted, &call->result, error))
        return false;
    json_object_set_new(call->result, "store_error", v->away != NULL ? json_string(v->away->message) : json_null());
    return true;
}

/* One batch; call->again unless it was the last. */
static bool verify_on(struct verifying *v, struct call *call, GError **error)
{
    const struct api *api = call->api;
    call->again = true;
    if (v->phase == VERIFY_STORE) {
        if (!read_store(v, api->executor, &v->away) || v->stored.n == 0)
            v->phase = VERIFY_REST;
        return true;
    }
    if (read_journal(&v->journal, api->reader, error) && v->journal.n > 0)
        return true;
    call->again = v->phase == VERIFY_JOURNAL && *error == NULL;
    v->phase = VERIFY_STORE;
    return call->again || (*error == NULL && tell(v, call, error));
}

static bool unavailable(const char *why, GError **error)
{
    g_set_error_literal(error, SB_ERROR, SB_ERROR_UNAVAILABLE, why);
    return false;
}

/* One at a time: it takes its time, and memory for each record. */
bool audit_verify(struct call *call, GError **error)
{
    struct api *api = call->api;
    if (api->verifying != NULL && api->verifying->call != call)
        return unavailable("another verify is under way", error);
    if (api->verifying == NULL)
        api->verifying = verifying_new(call);
    bool ok =
        atomic_load(&api->ending) ? unavailable("the server is ending", error) : verify_on(api->verifying, call, error);
    if (!call->again)
        g_clear_pointer(&api->verifying, verifying_free);
    return ok;
}
