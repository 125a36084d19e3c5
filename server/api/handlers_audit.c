/* handlers_audit.c: who did what, and whether the records of it are whole. */
#include "server/api/call.h"

#include "core/error.h"
#include "server/api/api_internal.h"
#include "server/store/audit_chain.h"
#include "server/store/store.h"

#define AUDIT_ROWS_MAX 1000
#define AUDIT_ROWS 50

/* ---- rows ---- */

static bool add_audit_row(void *data, const struct journal_row *row, GError **error)
{
    json_t *body = json_loads(row->body, 0, NULL);
    if (body == NULL) {
        g_set_error(error, SB_ERROR, SB_ERROR_IO, "journal: audit entry %" G_GUINT64_FORMAT " is not JSON", row->seq);
        return false;
    }
    json_object_set(body, "number", json_object_get(body, "seq"));
    json_object_set_new(body, "seq", json_integer((json_int_t)row->seq)); /* what ?after= takes */
    json_array_append_new(data, body);
    return true;
}

/* From the journal, which keeps every entry: the store is behind it and may be away. */
bool audit_rows(struct call *call, GError **error)
{
    int64_t limit;
    struct journal_reader *reader = call->api->reader;
    if (!call_query_int(call, "limit", 1, AUDIT_ROWS_MAX, AUDIT_ROWS, &limit, error) ||
        !call_query_int(call, "after", 0, G_MAXINT64, -1, &call->after, error))
        return false;
    json_t *rows = json_array();
    bool ok = call->after >= 0 ? journal_read_after(reader, "audit", (uint64_t)call->after, (unsigned)limit,
                                                    add_audit_row, rows, error)
                               : journal_read_newest(reader, "audit", (unsigned)limit, add_audit_row, rows, error);
    call->result = json_pack("{s:o}", "audit", rows);
    return ok;
}

/* ---- verifying ---- */

struct reading {
    struct audit_check *check;
    enum audit_place place;
    uint64_t epoch, seq; /* of the last row */
    unsigned n;          /* rows of this batch */
};

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
    do {
        reading->n = 0;
        if (!journal_read_after(reader, "audit", reading->seq, AUDIT_ROWS_MAX, take_row, reading, error))
            return false;
    } while (reading->n > 0);
    return true;
}

static bool read_store(struct reading *reading, const struct executor *x, GError **error)
{
    sb_auto(store) store = store_open(executor_store_url(x), error);
    if (store == NULL)
        return false;
    do {
        reading->n = 0;
        if (!store_read_audit(store, reading->epoch, reading->seq, AUDIT_ROWS_MAX, take_row, reading, error))
            return false;
    } while (reading->n > 0);
    return true;
}

/* All of journal and store; other readers wait meanwhile. */
bool audit_verify(struct call *call, GError **error)
{
    const struct api *api = call->api;
    g_autoptr(GError) away = NULL;
    g_autofree char *noted = request_query(call->request, "head");
    sb_auto(audit_check) check = audit_check_new(executor_node(api->executor));
    struct reading journal = {.check = check, .place = AUDIT_JOURNAL}, store = {.check = check, .place = AUDIT_STORE};
    if (!read_journal(&journal, api->reader, error))
        return false;
    read_store(&store, api->executor, &away);
    /* The journal's rest after the store: what was written and drained meanwhile is in both. */
    if (!read_journal(&journal, api->reader, error) || !audit_check_end(check, noted, &call->result, error))
        return false;
    json_object_set_new(call->result, "store_error", away != NULL ? json_string(away->message) : json_null());
    return true;
}
