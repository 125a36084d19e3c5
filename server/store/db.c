#include "server/store/db_driver.h"

#include "core/error.h"

#include <string.h>

static const struct db_driver *const drivers[] = {&db_sqlite, &db_postgres};

/* The driver of a URL, and what stands behind its scheme. */
static const struct db_driver *find_driver(const char *url, const char **rest, GError **error)
{
    const char *colon = strchr(url, ':');
    const char *slash = strchr(url, '/');
    *rest = url;
    if (colon == NULL || (slash != NULL && slash < colon)) /* a path may hold colons behind its first slash */
        return &db_sqlite;
    *rest = colon + 1;
    for (size_t i = 0; i < G_N_ELEMENTS(drivers); i++) {
        size_t len = strlen(drivers[i]->scheme);
        if (len == (size_t)(colon - url) && strncmp(url, drivers[i]->scheme, len) == 0)
            return drivers[i];
    }
    g_set_error(error, SB_ERROR, SB_ERROR_INVALID,
                "database URL: found scheme \"%.*s\", expected a path, sqlite:PATH or postgresql://...",
                (int)(colon - url), url);
    return NULL;
}

struct db *db_open(const char *url, GError **error)
{
    const char *rest;
    const struct db_driver *driver = find_driver(url, &rest, error);
    return driver == NULL ? NULL : driver->open(rest, error);
}

struct db *db_open_reading(const char *url, bool *still, GError **error)
{
    const char *rest;
    const struct db_driver *driver = find_driver(url, &rest, error);
    return driver == NULL ? NULL : driver->open_reading(rest, still, error);
}

char *db_url_shown(const char *url)
{
    g_autoptr(GRegex) secret =
        g_regex_new("^([a-z]+://[^/?#@:]*:)[^/?#]*(?=@)|([?&][a-z]*password=)[^&#]*", 0, 0, NULL);
    return strstr(url, "://") == NULL && strchr(url, '?') == NULL
               ? g_strdup(url)
               : g_regex_replace(secret, url, -1, 0, "\\1\\2***", 0, NULL);
}

void db_close(struct db *db)
{
    if (db != NULL)
        db->driver->close(db);
}

bool db_exec(struct db *db, const char *sql, GError **error)
{
    return db->driver->exec(db, sql, error);
}

bool db_run(struct db *db, const char *sql, const struct db_value *values, unsigned n, GError **error)
{
    struct db_rows *rows = db_query(db, sql, values, n, error);
    if (rows == NULL)
        return false;
    GError *failure = NULL;
    while (db_next(rows, &failure))
        ;
    db_rows_free(rows);
    if (failure != NULL)
        g_propagate_error(error, failure);
    return failure == NULL;
}

struct db_rows *db_query(struct db *db, const char *sql, const struct db_value *values, unsigned n, GError **error)
{
    return db->driver->query(db, sql, values, n, error);
}

bool db_next(struct db_rows *rows, GError **error)
{
    return rows->db->driver->next(rows, error);
}

void db_rows_free(struct db_rows *rows)
{
    if (rows != NULL)
        rows->db->driver->rows_free(rows);
}

bool db_first(struct db *db, const char *sql, const struct db_value *values, unsigned n, struct db_rows **row,
              GError **error)
{
    GError *failure = NULL;
    *row = db_query(db, sql, values, n, &failure);
    if (*row != NULL && !db_next(*row, &failure))
        g_clear_pointer(row, db_rows_free);
    if (failure != NULL)
        g_propagate_error(error, failure);
    return failure == NULL;
}

const char *db_text(const struct db_rows *rows, unsigned column)
{
    return rows->db->driver->text(rows, column);
}

int64_t db_int(const struct db_rows *rows, unsigned column)
{
    return rows->db->driver->number(rows, column);
}

bool db_begin(struct db *db, GError **error)
{
    g_assert(!db->in_transaction);
    db->in_transaction = db_exec(db, db->driver->begin, error);
    return db->in_transaction;
}

bool db_commit(struct db *db, GError **error)
{
    g_assert(db->in_transaction);
    if (!db_exec(db, "commit", error))
        return false;
    db->in_transaction = false;
    return true;
}

void db_rollback(struct db *db)
{
    if (db->in_transaction)
        db_exec(db, "rollback", NULL); /* an engine that rolled back by itself has nothing left to do */
    db->in_transaction = false;
}

/* The last migration that the database has had; inside the transaction. */
static bool schema_number(struct db *db, int64_t *number, GError **error)
{
    sb_auto(db_rows) row = NULL;
    if ((db->driver->lock_schema != NULL && !db_exec(db, db->driver->lock_schema, error)) ||
        !db_exec(db, "create table if not exists migrations (number bigint primary key)", error) ||
        !db_first(db, "select coalesce(max(number), 0) from migrations", NULL, 0, &row, error))
        return false;
    *number = db_int(row, 0);
    return true;
}

static bool migrate_one(struct db *db, const struct db_migration *migration, GError **error)
{
    struct db_value number = DB_INT(migration->number);
    int64_t have = 0;
    if (db_begin(db, error) && schema_number(db, &have, error) &&
        (have >= migration->number || /* another program was quicker */
         (db_exec(db, migration->sql, error) &&
          db_run(db, "insert into migrations (number) values ($1)", &number, 1, error))) &&
        db_commit(db, error))
        return true;
    db_rollback(db);
    return false;
}

bool db_migrate(struct db *db, const struct db_migration *migrations, GError **error)
{
    int64_t have = 0;
    unsigned last = 0;
    bool known = db_begin(db, error) && schema_number(db, &have, error) && db_commit(db, error);
    db_rollback(db);
    if (!known)
        return false;
    for (const struct db_migration *m = migrations; m->number != 0; m++) {
        last = m->number;
        if (m->number > have && !migrate_one(db, m, error))
            return false;
    }
    if (have > last) {
        g_set_error(error, SB_ERROR, SB_ERROR_INVALID,
                    "database schema: found migration %" G_GINT64_FORMAT ", this program knows %u at most", have, last);
        return false;
    }
    return true;
}
