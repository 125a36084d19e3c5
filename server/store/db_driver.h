/* db_driver.h: what an engine has to give to be behind db.h. The functions are those of db.h, without the parts that
 * are alike for every engine (URL, transactions, migrations: db.c). */
#ifndef STORE_DB_DRIVER_H
#define STORE_DB_DRIVER_H

#include "server/store/db.h"

struct db_driver {
    const char *scheme;                                   /* "sqlite" */
    struct db *(*open)(const char *rest, GError **error); /* rest: the URL behind "scheme:" */
    struct db *(*open_reading)(const char *rest, bool *still, GError **error);
    void (*close)(struct db *db);
    bool (*exec)(struct db *db, const char *sql, GError **error);
    struct db_rows *(*query)(struct db *db, const char *sql, const struct db_value *values, unsigned n, GError **error);
    bool (*next)(struct db_rows *rows, GError **error);
    void (*rows_free)(struct db_rows *rows);
    const char *(*text)(const struct db_rows *rows, unsigned column);
    int64_t (*number)(const struct db_rows *rows, unsigned column);
    const char *begin;       /* the statement that begins a transaction which will write */
    const char *lock_schema; /* in it: keeps others from changing the schema; NULL: its beginning does */
};

/* Every engine's connection and result begin with these. */
struct db {
    const struct db_driver *driver;
    bool in_transaction;
};
struct db_rows {
    struct db *db;
};

extern const struct db_driver db_sqlite, db_postgres;

#endif
