/* handlers_webhooks.c: webhooks as they stand, what they were told, and telling them again. The objects themselves are
 * the inventory's. What was told is read from the file of the thread that delivers (server/engine/webhooks.h). */
#include "server/api/call.h"

#include "core/error.h"
#include "schema/jsondoc.h"
#include "server/api/api_internal.h"
#include "server/engine/webhooks.h"
#include "server/store/migrations.h"

#include <string.h>

/* It may be being made just now. */
static bool has_tables(struct db *db, GError **error)
{
    sb_auto(db_rows) rows = db_query(db, "select 1 from sqlite_master where name = 'deliveries'", NULL, 0, error);
    return rows != NULL && db_next(rows, error);
}

/* NULL without *error: there is no file yet, and so nothing was told. */
static struct db *open_file(const struct call *call, GError **error)
{
    g_autofree char *folder = g_path_get_dirname(executor_journal_path(call->api->executor)),
                    *path = g_build_filename(folder, WEBHOOKS_FILE, NULL);
    struct db *db = g_file_test(path, G_FILE_TEST_EXISTS) ? db_open_reading(path, NULL, error) : NULL;
    if (db == NULL || has_tables(db, error))
        return db;
    db_close(db);
    return NULL;
}

/* Text or null. */
static json_t *text_or_null(const char *text)
{
    return text != NULL ? json_string(text) : json_null();
}

/* ---- as they stand ---- */

static json_t *webhook_json(const struct webhook *webhook)
{
    return json_pack("{s:s, s:s, s:o, s:s, s:i, s:i, s:i, s:n}", "name", webhook->o.name, "url", webhook->url, "events",
                     strv_to_json(webhook->events), "state", "ok", "attempts", 0, "failing_us", 0, "next_us", 0, "why");
}

/* What the file knows of one, into its row. */
static void take_state(json_t *row, uint64_t revision, const struct db_rows *rows)
{
    bool disabled = db_int(rows, 3) != 0 && (uint64_t)db_int(rows, 3) == revision;
    const char *state = disabled ? "disabled" : db_int(rows, 1) > 0 ? "failing" : "ok";
    json_object_set_new(row, "state", json_string(state));
    json_object_set_new(row, "attempts", json_integer(db_int(rows, 1)));
    json_object_set_new(row, "failing_us", json_integer(db_int(rows, 2)));
    json_object_set_new(row, "next_us", json_integer(disabled ? 0 : db_int(rows, 4)));
    json_object_set_new(row, "why", text_or_null(db_text(rows, 5)));
}

static bool take_states(struct db *db, const struct inventory *inv, json_t *list, GError **error)
{
    GError *failure = NULL;
    size_t i;
    json_t *row;
    sb_auto(db_rows) rows = db_query(
        db, "select name, attempts, failing_us, disabled, next_us, why from webhooks order by name", NULL, 0, error);
    if (rows == NULL)
        return false;
    while (db_next(rows, &failure)) {
        const struct webhook *webhook = INVENTORY_GET(inv, webhook, db_text(rows, 0));
        json_array_foreach (list, i, row)
            if (webhook != NULL && strcmp(json_string_value(json_object_get(row, "name")), webhook->o.name) == 0)
                take_state(row, webhook->o.revision, rows);
    }
    if (failure != NULL)
        g_propagate_error(error, failure);
    return failure == NULL;
}

bool webhooks_list(struct call *call, GError **error)
{
    sb_auto(resolved) resolved = executor_look(call->api->executor);
    const struct inventory *inv = resolved->world->inventory;
    GError *failure = NULL;
    json_t *list = json_array();
    INVENTORY_FOREACH (inv, webhook, webhook)
        json_array_append_new(list, webhook_json(webhook));
    call->result = json_pack("{s:o}", "webhooks", list);
    sb_auto(db) db = open_file(call, &failure);
    if (db != NULL)
        take_states(db, inv, list, &failure);
    if (failure != NULL)
        g_propagate_error(error, failure);
    return failure == NULL;
}

/* ---- what they were told ---- */

static bool known(const struct inventory *inv, const char *name, GError **error)
{
    if (INVENTORY_GET(inv, webhook, name) != NULL)
        return true;
    g_set_error(error, SB_ERROR, SB_ERROR_NOT_FOUND, "webhook %s: there is none of this name", name);
    return false;
}

static json_t *delivery_json(const struct db_rows *rows)
{
    bool delivered = db_text(rows, 9) == NULL;
    return json_pack("{s:I, s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:o}", "number", (json_int_t)db_int(rows, 0),
                     "id", db_text(rows, 1), "type", db_text(rows, 2), "subject", db_text(rows, 3), "state",
                     delivered              ? "delivered"
                     : db_int(rows, 8) != 0 ? "again"
                                            : "failed",
                     "attempt", (json_int_t)db_int(rows, 4), "status", (json_int_t)db_int(rows, 5), "latency_us",
                     (json_int_t)db_int(rows, 6), "at_us", (json_int_t)db_int(rows, 7), "next_us",
                     (json_int_t)db_int(rows, 8), "error", text_or_null(db_text(rows, 9)));
}

static bool take_deliveries(struct db *db, const char *name, json_t *list, GError **error)
{
    GError *failure = NULL;
    const struct db_value values[] = {DB_TEXT(name), DB_INT(WEBHOOKS_LOG)};
    sb_auto(db_rows) rows = db_query(db,
                                     "select number, id, type, subject, attempt, status, latency_us, at_us, next_us, "
                                     "error from deliveries where webhook = $1 order by number desc limit $2",
                                     values, G_N_ELEMENTS(values), error);
    if (rows == NULL)
        return false;
    while (db_next(rows, &failure))
        json_array_append_new(list, delivery_json(rows));
    if (failure != NULL)
        g_propagate_error(error, failure);
    return failure == NULL;
}

bool webhooks_deliveries(struct call *call, GError **error)
{
    sb_auto(resolved) resolved = executor_look(call->api->executor);
    const char *name = call->params.value[0];
    GError *failure = NULL;
    json_t *list = json_array();
    call->result = json_pack("{s:o}", "deliveries", list);
    if (!known(resolved->world->inventory, name, error))
        return false;
    sb_auto(db) db = open_file(call, &failure);
    if (db != NULL)
        take_deliveries(db, name, list, &failure);
    if (failure != NULL)
        g_propagate_error(error, failure);
    return failure == NULL;
}

/* ---- telling ---- */

/* "SEQ-EPOCH" */
static bool is_id(const char *text)
{
    g_auto(GStrv) parts = g_strsplit(text, "-", 2);
    return g_strv_length(parts) == 2 && g_ascii_string_to_unsigned(parts[0], 10, 1, G_MAXINT64, NULL, NULL) &&
           g_ascii_string_to_unsigned(parts[1], 10, 1, G_MAXINT64, NULL, NULL);
}

/* The entry is the message, or the wish for an old one; it is told in its turn. */
void webhooks_tell(struct call *call, struct turn *turn, GError **error)
{
    const char *name = call->params.value[0];
    const json_t *asked = json_object_get(call->body, "id");
    const char *id = json_string_value(asked);
    struct asker asker = call_asker(call);
    if (!known(engine_world(turn->engine)->inventory, name, error))
        return;
    if (asked != NULL && (id == NULL || !is_id(id))) {
        g_autofree char *found = json_quote(asked);
        g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "id: found %s, expected that of a delivery, like 12-65536",
                    found);
        return;
    }
    json_t *body = id != NULL ? json_pack("{s:s, s:s}", "webhook", name, "redeliver", id)
                              : json_pack("{s:s, s:s, s:s, s:s*}", "webhook", name, "text", "a test", "actor",
                                          asker.actor, "reason", asker.reason);
    engine_journal(turn->engine, journal_entry_new("message", name, NULL, body),
                   id != NULL ? "webhook redeliver" : "webhook test", &asker, turn->now, &turn->effects);
    executor_retry_webhook(call->api->executor, name);
    call->result = json_pack("{s:s, s:s*}", "webhook", name, "id", id);
}
