/* db.h: a SQL database, by URL: one text of SQL for every engine, parameters $1..$n, typed values.
 *
 * Types are text, bigint and boolean; JSON is text; times are bigint with _us. SQL that is not shared by SQLite and
 * Postgres stays out: casts are written cast($1 as bigint), no identity columns, no now(), no JSON operators.
 * Statements are prepared once for each connection and kept; the SQL text is the key.
 *
 *   struct db_value v[] = {DB_TEXT("room-a"), DB_INT(12)};
 *   db_run(db, "insert into t (name, n) values ($1, $2)", v, 2, &error);
 *
 *   struct db_rows *rows = db_query(db, "select name from t where n > $1", &DB_INT(3), 1, &error);
 *   while (db_next(rows, &error)) puts(db_text(rows, 0));
 *   db_rows_free(rows);
 *
 * Errors are SB_ERROR_IO with the engine's words and the SQL; a constraint that refuses a row is SB_ERROR_CONFLICT.
 * After an error inside a transaction the only right call is db_rollback. An error of db_commit leaves open whether
 * the transaction is durable: only who opens the database anew knows.
 * Thread safety: a connection belongs to one thread at a time.
 */
#ifndef STORE_DB_H
#define STORE_DB_H

#include "core/auto.h"
#include <stdbool.h>
#include <stdint.h>
#include <glib.h>

enum db_type { DB_TYPE_NULL, DB_TYPE_TEXT, DB_TYPE_INT, DB_TYPE_BOOL };
struct db_value {
    enum db_type type;
    const char *text; /* borrowed for the call */
    int64_t number;   /* INT, BOOL */
};
#define DB_NULL ((struct db_value){DB_TYPE_NULL, NULL, 0})
#define DB_TEXT(s) ((struct db_value){DB_TYPE_TEXT, (s), 0}) /* NULL pointer: NULL */
#define DB_INT(n) ((struct db_value){DB_TYPE_INT, NULL, (n)})
#define DB_BOOL(b) ((struct db_value){DB_TYPE_BOOL, NULL, (b)})

struct db;
struct db_rows;

/* url: path of a SQLite file, also "sqlite:PATH" (made when absent, mode 0600, write-ahead log, synchronous=FULL), or
 * postgresql://..., as libpq takes it (RFC 3986; what it leaves out comes from the PG* environment and ~/.pgpass).
 * Other schemes are SB_ERROR_INVALID. A Postgres that does not answer is an error after 2 s here and 5 s later; a
 * connection that was lost once stays lost: open anew.
 * Of several servers, postgresql://a,b/x, the first counts that answers and can be written, 2 s for each: a standby is
 * passed over until it is promoted (target_session_attrs=read-write, unless the URL says another). */
struct db *db_open(const char *url, GError **error);
/* The same for reading only: the file must exist, nothing is ever written, and a folder that cannot be written or a
 * disk that is full is no obstacle. *still (may be NULL): nobody has the file open for writing, and what is read stays
 * as it is now whoever writes later: open anew to see that. */
struct db *db_open_reading(const char *url, bool *still, GError **error);
/* The URL for people, passwords replaced by "***"; g_free. */
char *db_url_shown(const char *url);
void db_close(struct db *db); /* NULL is allowed */
SB_AUTO_DEFINE(db, db_close)

/* Several statements without parameters or results. */
bool db_exec(struct db *db, const char *sql, GError **error);
/* One statement with n values for $1..$n. */
bool db_run(struct db *db, const char *sql, const struct db_value *values, unsigned n, GError **error);
/* A statement that gives rows; NULL on failure. Text values must live until db_rows_free;
 * an error of the statement may come here or at db_next. */
struct db_rows *db_query(struct db *db, const char *sql, const struct db_value *values, unsigned n, GError **error);
/* Steps to the next row. False at the end and on failure; on failure *error is set. */
bool db_next(struct db_rows *rows, GError **error);
void db_rows_free(struct db_rows *rows); /* NULL is allowed */
SB_AUTO_DEFINE(db_rows, db_rows_free)
/* Such a statement's first row; *row NULL: there is none, and on failure. */
bool db_first(struct db *db, const char *sql, const struct db_value *values, unsigned n, struct db_rows **row,
              GError **error);
/* Columns of the row, from 0. Text is the row's until the next step; NULL for SQL NULL. */
const char *db_text(const struct db_rows *rows, unsigned column);
int64_t db_int(const struct db_rows *rows, unsigned column); /* also of boolean: 0 or 1 */

/* A transaction that writes; commit is durable when it returns true. */
bool db_begin(struct db *db, GError **error);
bool db_commit(struct db *db, GError **error); /* on failure all of it or nothing is there; roll back */
void db_rollback(struct db *db);               /* no transaction: does nothing */

/* Brings the schema up to date: runs each migration that the database has not had, in order, one transaction each.
 * A database that is newer than this program is SB_ERROR_INVALID. */
struct db_migration {
    unsigned number; /* 1, 2, ...; 0 ends the list */
    const char *sql;
};
bool db_migrate(struct db *db, const struct db_migration *migrations, GError **error);

#endif
