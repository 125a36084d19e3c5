/* SQLite behind db.h. `$N` is a *named* parameter to SQLite, numbered by first appearance, so that values are bound by
 * sqlite3_bind_parameter_index and never by N itself. */
#include "server/store/db_driver.h"

#include "core/error.h"
#include "core/loop.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <unistd.h>

#define BUSY_TIMEOUT_MS 1500  /* another connection's write; whoever waits behind us is to hear of it within 2 s */
#define NAP_US 10000          /* at most, of the hundred naps that SQLite takes for a reader's place in the log */
#define CHECKPOINT_PAGES 1000 /* of the write-ahead log, as SQLite's own default */

struct sqlite_db {
    struct db db;
    sqlite3 *handle;
    int64_t busy_until_us;  /* of the wait that began last */
    GHashTable *statements; /* SQL -> sqlite3_stmt *, those not in use */
};
struct sqlite_rows {
    struct db_rows rows;
    sqlite3_stmt *statement;
    char *sql;
};

static bool fail(struct sqlite_db *db, const char *sql, GError **error)
{
    int code = sqlite3_extended_errcode(db->handle), system = sqlite3_system_errno(db->handle);
    bool io = (code & 0xff) == SQLITE_IOERR || (code & 0xff) == SQLITE_CANTOPEN;
    g_set_error(error, SB_ERROR, (code & 0xff) == SQLITE_CONSTRAINT ? SB_ERROR_CONFLICT : SB_ERROR_IO,
                "SQLite: %s%s%s (code %d) in: %.200s", sqlite3_errmsg(db->handle), io && system != 0 ? ": " : "",
                io && system != 0 ? g_strerror(system) : "", code, sql);
    return false;
}

/* ---- waiting ---- */

/* Locks of the log's index are held for microseconds, but a program that was stopped with one keeps it: SQLite then
 * naps for 10 s in all before it says so, and a server that is to take over would be silent for as long, at every
 * connection. Shorter naps make that less than one second; the file system is SQLite's own in all else. */
static sqlite3_vfs short_naps;

static int nap(sqlite3_vfs *vfs, int us)
{
    (void)vfs;
    poll(NULL, 0, (MIN(us, NAP_US) + 999) / 1000);
    return us;
}

static void register_short_naps(void)
{
    short_naps = *sqlite3_vfs_find("unix");
    short_naps.zName = "unix-short-naps";
    short_naps.xSleep = nap;
    sqlite3_vfs_register(&short_naps, 0);
}

/* As sqlite3_busy_timeout, which counts its naps instead of the time. */
static int on_busy(void *data, int tries)
{
    struct sqlite_db *db = data;
    if (tries == 0)
        db->busy_until_us = loop_now_us() + BUSY_TIMEOUT_MS * 1000;
    if (loop_now_us() >= db->busy_until_us)
        return 0;
    poll(NULL, 0, MIN(1 << MIN(tries, 6), 50));
    return 1;
}

/* Instead of SQLite's own checkpoints, which pass over their errors: an fsync of the database that failed would be
 * repeated at the next one, succeed (the kernel reports an error once) and let the log be overwritten, whose frames
 * never reached the disk. Here the commit that brought it on fails, though it is in the log. */
static int on_commit(void *data, sqlite3 *handle, const char *schema, int pages)
{
    (void)data;
    int rc = pages < CHECKPOINT_PAGES
                 ? SQLITE_OK
                 : sqlite3_wal_checkpoint_v2(handle, schema, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    return rc == SQLITE_BUSY || rc == SQLITE_LOCKED ? SQLITE_OK : rc; /* a reader is in the way: next time */
}

static void finalize(void *statement)
{
    sqlite3_finalize(statement);
}

static void sqlite_close(struct db *base)
{
    struct sqlite_db *db = (struct sqlite_db *)base;
    g_hash_table_destroy(db->statements);
    sqlite3_close(db->handle);
    g_free(db);
}

static bool sqlite_exec(struct db *base, const char *sql, GError **error)
{
    struct sqlite_db *db = (struct sqlite_db *)base;
    return sqlite3_exec(db->handle, sql, NULL, NULL, NULL) == SQLITE_OK || fail(db, sql, error);
}

/* Two programs that both make the log of a new file would wait for each other: SQLite tells one of them at once that it
 * is busy, without the handler. It begins anew. */
static bool set_up(struct sqlite_db *db, const char *pragmas, GError **error)
{
    int64_t until_us = loop_now_us() + BUSY_TIMEOUT_MS * 1000;
    while (sqlite3_exec(db->handle, pragmas, NULL, NULL, NULL) != SQLITE_OK) {
        if (sqlite3_errcode(db->handle) != SQLITE_BUSY || loop_now_us() >= until_us)
            return fail(db, pragmas, error);
        poll(NULL, 0, 1);
    }
    return true;
}

static struct db *connect_file(const char *name, const char *path, int flags, const char *pragmas, GError **error)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct sqlite_db *db = g_new0(struct sqlite_db, 1);
    pthread_once(&once, register_short_naps);
    db->db.driver = &db_sqlite;
    db->statements = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, finalize);
    int rc = sqlite3_open_v2(name, &db->handle, flags | SQLITE_OPEN_NOMUTEX, short_naps.zName);
    if (rc != SQLITE_OK) {
        g_set_error(error, SB_ERROR, SB_ERROR_IO, "cannot open database %s: %s", path, sqlite3_errstr(rc));
    } else {
        sqlite3_busy_handler(db->handle, on_busy, db);
        if (flags & SQLITE_OPEN_READONLY) /* who only reads leaves the log to the writer */
            sqlite3_db_config(db->handle, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
        sqlite3_wal_hook(db->handle, on_commit, NULL);
        if (set_up(db, pragmas, error))
            return &db->db;
        g_prefix_error(error, "database %s: ", path);
    }
    sqlite_close(&db->db);
    return NULL;
}

static struct db *sqlite_open(const char *path, GError **error)
{
    /* Made before SQLite does it, because the file holds hashes of tokens and SQLite would use 0644. One that is there
     * is not touched: closing a descriptor of it gives up the locks of every connection of this process to it, and
     * another program would take the log for nobody's. */
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd >= 0)
        close(fd);
    return connect_file(path, path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE,
                        "pragma journal_mode=wal; pragma synchronous=full; pragma foreign_keys=on; "
                        "pragma trusted_schema=off",
                        error);
}

/* Without a log all that was committed is in the file itself: it may be read as if it never changed ("immutable"),
 * which needs no other file beside it. With a log SQLite reads both, and needs no room to do it. */
static struct db *sqlite_open_reading(const char *path, bool *still, GError **error)
{
    g_autofree char *log = g_strconcat(path, "-wal", NULL), *absolute = g_canonicalize_filename(path, NULL);
    g_autofree char *uri = g_filename_to_uri(absolute, NULL, NULL);
    g_autofree char *fixed = g_strconcat(uri, "?immutable=1", NULL);
    bool alone = access(log, F_OK) != 0;
    if (still != NULL)
        *still = alone;
    struct db *db = connect_file(alone ? fixed : path, path, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI,
                                 "pragma trusted_schema=off; select count(*) from sqlite_master", NULL);
    /* Where not even the index of the log can be written nobody else writes either: then no locks are needed, and the
     * index may live in memory. */
    g_autofree char *unlocked = g_strconcat(uri, "?vfs=unix-none", NULL);
    return db != NULL ? db
                      : connect_file(unlocked, path, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI,
                                     "pragma locking_mode=exclusive; pragma trusted_schema=off; "
                                     "select count(*) from sqlite_master",
                                     error);
}

static sqlite3_stmt *prepare(struct sqlite_db *db, const char *sql, GError **error)
{
    void *key = NULL, *statement = NULL;
    if (g_hash_table_steal_extended(db->statements, sql, &key, &statement)) {
        g_free(key);
        return statement;
    }
    sqlite3_stmt *fresh = NULL;
    if (sqlite3_prepare_v3(db->handle, sql, -1, SQLITE_PREPARE_PERSISTENT, &fresh, NULL) != SQLITE_OK)
        fail(db, sql, error);
    return fresh;
}

static int bind_one(sqlite3_stmt *statement, int index, const struct db_value *value)
{
    if (value->type == DB_TYPE_NULL || (value->type == DB_TYPE_TEXT && value->text == NULL))
        return sqlite3_bind_null(statement, index);
    if (value->type == DB_TYPE_TEXT)
        return sqlite3_bind_text(statement, index, value->text, -1, SQLITE_STATIC);
    return sqlite3_bind_int64(statement, index, value->number);
}

static bool bind_all(struct sqlite_db *db, sqlite3_stmt *statement, const char *sql, const struct db_value *values,
                     unsigned n, GError **error)
{
    g_assert(sqlite3_bind_parameter_count(statement) == (int)n);
    for (unsigned i = 0; i < n; i++) {
        char name[16];
        snprintf(name, sizeof name, "$%u", i + 1);
        int index = sqlite3_bind_parameter_index(statement, name);
        g_assert(index > 0);
        if (bind_one(statement, index, &values[i]) != SQLITE_OK)
            return fail(db, sql, error);
    }
    return true;
}

static struct db_rows *sqlite_query(struct db *base, const char *sql, const struct db_value *values, unsigned n,
                                    GError **error)
{
    struct sqlite_db *db = (struct sqlite_db *)base;
    sqlite3_stmt *statement = prepare(db, sql, error);
    if (statement == NULL)
        return NULL;
    if (!bind_all(db, statement, sql, values, n, error)) {
        sqlite3_finalize(statement);
        return NULL;
    }
    struct sqlite_rows *rows = g_new(struct sqlite_rows, 1);
    *rows = (struct sqlite_rows){{base}, statement, g_strdup(sql)};
    return &rows->rows;
}

static bool sqlite_next(struct db_rows *base, GError **error)
{
    struct sqlite_rows *rows = (struct sqlite_rows *)base;
    int rc = sqlite3_step(rows->statement);
    if (rc != SQLITE_ROW && rc != SQLITE_DONE)
        fail((struct sqlite_db *)base->db, rows->sql, error);
    return rc == SQLITE_ROW;
}

static void sqlite_rows_free(struct db_rows *base)
{
    struct sqlite_rows *rows = (struct sqlite_rows *)base;
    struct sqlite_db *db = (struct sqlite_db *)base->db;
    sqlite3_reset(rows->statement); /* its error was told by the step */
    sqlite3_clear_bindings(rows->statement);
    g_hash_table_replace(db->statements, rows->sql, rows->statement);
    g_free(rows);
}

static const char *sqlite_text(const struct db_rows *rows, unsigned column)
{
    return (const char *)sqlite3_column_text(((const struct sqlite_rows *)rows)->statement, (int)column);
}

static int64_t sqlite_number(const struct db_rows *rows, unsigned column)
{
    return sqlite3_column_int64(((const struct sqlite_rows *)rows)->statement, (int)column);
}

const struct db_driver db_sqlite = {
    .scheme = "sqlite",
    .open = sqlite_open,
    .open_reading = sqlite_open_reading,
    .close = sqlite_close,
    .exec = sqlite_exec,
    .query = sqlite_query,
    .next = sqlite_next,
    .rows_free = sqlite_rows_free,
    .text = sqlite_text,
    .number = sqlite_number,
    .begin = "begin immediate", /* a deferred one would find out at its first write that it lost a race */
};
