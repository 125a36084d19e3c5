#include "server/store/store.h"

#include "server/store/db.h"
#include "server/store/migrations.h"

#include <string.h>

struct store {
    struct db *db;
};

struct store *store_open(const char *url, GError **error)
{
    struct db *db = db_open(url, error);
    if (db == NULL)
        return NULL;
    if (!db_migrate(db, store_migrations, error)) {
        db_close(db);
        return NULL;
    }
    struct store *store = g_new(struct store, 1);
    store->db = db;
    return store;
}

void store_close(struct store *store)
{
    if (store == NULL)
        return;
    db_close(store->db);
    g_free(store);
}

bool store_position(struct store *store, unsigned node, uint64_t *epoch, uint64_t *seq, GError **error)
{
    struct db_value value = DB_INT(node);
    sb_auto(db_rows) row = NULL;
    if (!db_first(store->db, "select epoch, seq from drained where node = $1", &value, 1, &row, error))
        return false;
    *epoch = row != NULL ? (uint64_t)db_int(row, 0) : 0;
    *seq = row != NULL ? (uint64_t)db_int(row, 1) : 0;
    return true;
}

bool store_begin(struct store *store, GError **error)
{
    return db_begin(store->db, error);
}

void store_rollback(struct store *store)
{
    db_rollback(store->db);
}

/* Where the rows of each kind go. $1 epoch, $2 seq, $3 id, $4 body, $5 at_us, $6 kind. */
static const struct {
    const char *kind;
    const char *sql;
    unsigned n;
} targets[] = {
#define INSERT_ONCE(table)                                                                                             \
    "insert into " table " (epoch, seq, id, body, at_us) values ($1, $2, $3, $4, $5) "                                 \
    "on conflict (epoch, seq) do nothing"
#define UPSERT_OBJECT                                                                                                  \
    "insert into objects (epoch, seq, id, body, at_us, kind) values ($1, $2, $3, $4, $5, $6) "                         \
    "on conflict (kind, id) do update set epoch = excluded.epoch, seq = excluded.seq, body = excluded.body, "          \
    "at_us = excluded.at_us where (objects.epoch, objects.seq) < (excluded.epoch, excluded.seq)"
    {"audit", INSERT_ONCE("audit"), 5},
    {"event", INSERT_ONCE("events"), 5},
    {"execution",
     "insert into executions (epoch, seq, id, body, at_us) values ($1, $2, $3, $4, $5) "
     "on conflict (id) do update set epoch = excluded.epoch, seq = excluded.seq, body = excluded.body, "
     "at_us = excluded.at_us where (executions.epoch, executions.seq) < (excluded.epoch, excluded.seq)",
     5},
    {"object", UPSERT_OBJECT, 6},
    {"control", UPSERT_OBJECT, 6},
    {"plan", UPSERT_OBJECT, 6},
};

bool store_put(struct store *store, const struct journal_row *row, GError **error)
{
    struct db_value values[] = {DB_INT((int64_t)row->epoch), DB_INT((int64_t)row->seq), DB_TEXT(row->id),
                                DB_TEXT(row->body),          DB_INT(row->at_us),        DB_TEXT(row->kind)};
    /* An execution that the engine has forgotten stands here as it ended. */
    if (strcmp(row->kind, "execution") == 0 && strcmp(row->body, "null") == 0)
        return true;
    for (size_t i = 0; i < G_N_ELEMENTS(targets); i++)
        if (strcmp(targets[i].kind, row->kind) == 0)
            return db_run(store->db, targets[i].sql, values, targets[i].n, error);
    return true;
}

bool store_commit(struct store *store, unsigned node, uint64_t epoch, uint64_t seq, GError **error)
{
    struct db_value values[] = {DB_INT(node), DB_INT((int64_t)epoch), DB_INT((int64_t)seq)};
    return db_run(store->db,
                  "insert into drained (node, epoch, seq) values ($1, $2, $3) "
                  "on conflict (node) do update set epoch = excluded.epoch, seq = excluded.seq",
                  values, 3, error) &&
           db_commit(store->db, error);
}

bool store_read_audit(struct store *store, uint64_t epoch, uint64_t seq, unsigned limit, journal_row_fn fn, void *data,
                      GError **error)
{
    struct db_value values[] = {DB_INT((int64_t)epoch), DB_INT((int64_t)seq), DB_INT(limit)};
    return journal_rows(db_query(store->db,
                                 "select seq, epoch, 'audit', id, body, at_us from audit "
                                 "where (epoch, seq) > ($1, $2) order by epoch, seq limit $3",
                                 values, 3, error),
                        fn, data, error);
}
