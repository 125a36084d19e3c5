/* Postgres behind db.h, by libpq. Everything waits with a deadline: a server that is stopped or behind a dead line
 * still holds its TCP session, and libpq's own calls would wait for it for ever. A connection that missed a deadline is
 * not used again, because its answer may still come: every further call fails, and who wants to go on opens anew. */
#include "server/store/db_driver.h"

#include "core/error.h"
#include "core/loop.h"

#include <errno.h>
#include <libpq-fe.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#define CONNECT_MS 2000
#define ANSWER_MS 5000
#define PORT_DEFAULT "5432"
#define OID_INT8 20 /* pg_type.h: the numbers of types never change */
#define OID_BOOL 16
#define OID_TEXT 25

struct postgres_db {
    struct db db;
    PGconn *conn;
    GHashTable *statements; /* SQL -> name of the prepared statement */
    bool broken;
};
struct postgres_rows {
    struct db_rows rows;
    PGresult *result;
    int row;
};

/* Waits for the socket; false when the time is up. */
static bool wait_socket(PGconn *conn, short events, int64_t deadline_us)
{
    struct pollfd fd = {.fd = PQsocket(conn), .events = events};
    for (;;) {
        int64_t left = (deadline_us - loop_now_us()) / 1000;
        int n = left <= 0 ? 0 : poll(&fd, 1, (int)left);
        if (n >= 0 || errno != EINTR)
            return n > 0;
    }
}

/* The first line of what libpq says, without its line break. */
static void set_error(GError **error, gint code, const char *message, const char *sql)
{
    g_set_error(error, SB_ERROR, code, "Postgres: %.*s%s%.200s", (int)strcspn(message, "\n"), message,
                sql == NULL ? "" : " in: ", sql == NULL ? "" : sql);
}

static bool lose(struct postgres_db *db, const char *why, const char *sql, GError **error)
{
    db->broken = true;
    set_error(error, SB_ERROR_IO, why, sql);
    return false;
}

static void postgres_close(struct db *base)
{
    struct postgres_db *db = (struct postgres_db *)base;
    g_hash_table_destroy(db->statements);
    PQfinish(db->conn);
    g_free(db);
}

static bool connect_wait(PGconn *conn)
{
    int64_t deadline = loop_now_us() + CONNECT_MS * 1000;
    for (PostgresPollingStatusType next = PGRES_POLLING_WRITING; next != PGRES_POLLING_OK; next = PQconnectPoll(conn))
        if (next == PGRES_POLLING_FAILED ||
            !wait_socket(conn, next == PGRES_POLLING_READING ? POLLIN : POLLOUT, deadline))
            return false;
    return true;
}

static void ignore_notice(void *data, const PGresult *result)
{
    (void)data;
    (void)result;
}

/* What the URL says of a keyword, borrowed; NULL: nothing. */
static const char *option(const PQconninfoOption *options, const char *keyword)
{
    for (; options->keyword != NULL; options++)
        if (strcmp(options->keyword, keyword) == 0)
            return options->val;
    return NULL;
}

/* The i-th of a list like "a,b" (libpq 34.1.1.3); what is there once counts for all. g_free. */
static char *item(const char *list, unsigned i)
{
    g_auto(GStrv) items = g_strsplit(list != NULL ? list : "", ",", -1);
    unsigned n = g_strv_length(items);
    return g_strdup(n == 1 ? items[0] : i < n ? items[i] : "");
}

static unsigned items(const char *list)
{
    g_auto(GStrv) items = g_strsplit(list != NULL ? list : "", ",", -1);
    return MAX(g_strv_length(items), 1);
}

/* A connection to the i-th server of the URL, or NULL: why says so behind what it said before. attrs: what the server
 * must allow, unless the URL says something else. */
static PGconn *connect_to(const char *url, const PQconninfoOption *options, unsigned i, const char *attrs, GString *why)
{
    g_autofree char *host = item(option(options, "host"), i), *address = item(option(options, "hostaddr"), i),
                    *said = item(option(options, "port"), i);
    bool listed = *said == '\0' && option(options, "port") != NULL; /* "a,b:5433" */
    static const char *const keys[] = {"client_encoding",
                                       "fallback_application_name",
                                       "target_session_attrs",
                                       "dbname",
                                       "host",
                                       "hostaddr",
                                       "port",
                                       NULL}; /* those behind dbname outweigh the URL */
    const char *const values[] = {"UTF8", "signalbox", attrs, url, host, address, listed ? PORT_DEFAULT : said, NULL};
    PGconn *conn = PQconnectStartParams(keys, values, 1);
    if (conn != NULL && PQstatus(conn) != CONNECTION_BAD && connect_wait(conn))
        return conn;
    const char *text = conn == NULL ? "out of memory" : PQerrorMessage(conn);
    g_string_append(why, why->len > 0 ? "; " : "");
    if (PQstatus(conn) == CONNECTION_BAD) /* also of NULL */
        g_string_append_len(why, text, (gssize)strcspn(text, "\n"));
    else
        g_string_append_printf(why, "%s port %s: no answer within %d ms", PQhost(conn), PQport(conn), CONNECT_MS);
    PQfinish(conn);
    return NULL;
}

/* The first of the URL's servers that answers and allows what attrs says. libpq would try them itself, but it leaves
 * the deadline of each to who polls, and has no call for "try the next". */
static PGconn *connect_any(const char *url, const char *attrs, GError **error)
{
    char *wrong = NULL;
    PQconninfoOption *options = PQconninfoParse(url, &wrong);
    if (options == NULL) {
        set_error(error, SB_ERROR_INVALID, wrong != NULL ? wrong : "out of memory", NULL);
        g_prefix_error(error, "cannot open database: ");
        PQfreemem(wrong);
        return NULL;
    }
    unsigned n = MAX(items(option(options, "host")), items(option(options, "hostaddr")));
    g_autoptr(GString) why = g_string_new(NULL);
    PGconn *conn = NULL;
    for (unsigned i = 0; i < n && conn == NULL; i++)
        conn = connect_to(url, options, i, attrs, why);
    PQconninfoFree(options);
    if (conn == NULL) {
        set_error(error, SB_ERROR_IO, why->str, NULL);
        g_prefix_error(error, "cannot open database: ");
    }
    return conn;
}

/* rest: behind "postgresql:". What the URL does not say comes from libpq's environment and its password file. */
static struct db *open_with(const char *rest, const char *attrs, GError **error)
{
    g_autofree char *url = g_strconcat("postgresql:", rest, NULL);
    PGconn *conn = connect_any(url, attrs, error);
    if (conn == NULL)
        return NULL;
    PQsetNoticeReceiver(conn, ignore_notice, NULL); /* "already exists, skipping" */
    PQsetnonblocking(conn, 1);
    struct postgres_db *db = g_new0(struct postgres_db, 1);
    db->db.driver = &db_postgres;
    db->conn = conn;
    db->statements = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    return &db->db;
}

/* A standby that has not been promoted is passed over. */
static struct db *postgres_open(const char *rest, GError **error)
{
    return open_with(rest, "read-write", error);
}

static struct db *postgres_open_reading(const char *rest, bool *still, GError **error)
{
    if (still != NULL)
        *still = false;
    struct db *db = open_with(rest, "any", error);
    if (db != NULL && !db_exec(db, "set default_transaction_read_only = on", error)) {
        postgres_close(db);
        return NULL;
    }
    return db;
}

/* Sends what libpq holds back, reading meanwhile: a server that has answers to write may not read before. */
static bool flush(PGconn *conn, int64_t deadline_us)
{
    int rc;
    while ((rc = PQflush(conn)) == 1)
        if (!wait_socket(conn, POLLIN | POLLOUT, deadline_us) || PQconsumeInput(conn) == 0)
            return false;
    return rc == 0;
}

/* The next result of what was sent; NULL at the end, and (*late) when the connection is of no use any more. */
static PGresult *next_result(struct postgres_db *db, int64_t deadline_us, bool *late)
{
    *late = false;
    while (PQisBusy(db->conn))
        if (!wait_socket(db->conn, POLLIN, deadline_us) || PQconsumeInput(db->conn) == 0) {
            *late = true;
            return NULL;
        }
    return PQgetResult(db->conn);
}

static bool is_good(const PGresult *result)
{
    ExecStatusType status = PQresultStatus(result);
    return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK || status == PGRES_EMPTY_QUERY;
}

static void fail(const PGresult *result, const char *sql, GError **error)
{
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    bool refused = state != NULL && strncmp(state, "23", 2) == 0; /* integrity constraint violation */
    set_error(error, refused ? SB_ERROR_CONFLICT : SB_ERROR_IO, PQresultErrorMessage(result), sql);
}

/* Waits for all results of what was sent (sent: it was taken) and keeps the last good one; NULL: *error is set. A pool
 * of statements that failed ends at the first failure, and the server has rolled it back. */
static PGresult *collect(struct postgres_db *db, int sent, const char *sql, GError **error)
{
    int64_t deadline = loop_now_us() + ANSWER_MS * 1000;
    GError *failure = NULL;
    PGresult *last = NULL, *result;
    bool late = false;
    if (sent != 1 || !flush(db->conn, deadline))
        late = true;
    while (!late && (result = next_result(db, deadline, &late)) != NULL) {
        if (!is_good(result) && failure == NULL)
            fail(result, sql, &failure);
        PQclear(last);
        last = result;
    }
    if (late || PQstatus(db->conn) != CONNECTION_OK) {
        const char *said = PQerrorMessage(db->conn);
        g_clear_error(&failure);
        g_autofree char *silent = g_strdup_printf("no answer within %d ms", ANSWER_MS);
        lose(db, *said != '\0' ? said : silent, sql, &failure);
    }
    if (failure == NULL)
        return last;
    PQclear(last);
    g_propagate_error(error, failure);
    return NULL;
}

static bool usable(struct postgres_db *db, const char *sql, GError **error)
{
    return !db->broken || lose(db, "the connection was lost before", sql, error);
}

static bool postgres_exec(struct db *base, const char *sql, GError **error)
{
    struct postgres_db *db = (struct postgres_db *)base;
    if (!usable(db, sql, error))
        return false;
    PGresult *result = collect(db, PQsendQuery(db->conn, sql), sql, error);
    PQclear(result);
    return result != NULL;
}

static Oid type_of(const struct db_value *value)
{
    switch (value->type) {
    case DB_TYPE_TEXT:
        return OID_TEXT;
    case DB_TYPE_INT:
        return OID_INT8;
    case DB_TYPE_BOOL:
        return OID_BOOL;
    case DB_TYPE_NULL:
        break;
    }
    return 0; /* the server finds out by itself */
}

/* The name of the statement, prepared at its first use. */
static const char *prepare(struct postgres_db *db, const char *sql, const struct db_value *values, unsigned n,
                           GError **error)
{
    const char *known = g_hash_table_lookup(db->statements, sql);
    if (known != NULL)
        return known;
    g_autofree Oid *types = g_new0(Oid, n + 1);
    for (unsigned i = 0; i < n; i++)
        types[i] = type_of(&values[i]);
    char *name = g_strdup_printf("s%u", g_hash_table_size(db->statements) + 1);
    PGresult *result = collect(db, PQsendPrepare(db->conn, name, sql, (int)n, types), sql, error);
    PQclear(result);
    if (result == NULL) {
        g_free(name);
        return NULL;
    }
    g_hash_table_insert(db->statements, g_strdup(sql), name);
    return name;
}

static struct db_rows *postgres_query(struct db *base, const char *sql, const struct db_value *values, unsigned n,
                                      GError **error)
{
    struct postgres_db *db = (struct postgres_db *)base;
    const char *name = usable(db, sql, error) ? prepare(db, sql, values, n, error) : NULL;
    if (name == NULL)
        return NULL;
    g_autofree const char **texts = g_new0(const char *, n + 1);
    g_autofree char(*numbers)[24] = g_malloc0_n(n + 1, sizeof *numbers);
    for (unsigned i = 0; i < n; i++) {
        snprintf(numbers[i], sizeof numbers[i], "%" G_GINT64_FORMAT, values[i].number);
        if (values[i].type == DB_TYPE_BOOL)
            texts[i] = values[i].number != 0 ? "t" : "f";
        else
            texts[i] = values[i].type == DB_TYPE_INT ? numbers[i] : values[i].text; /* NULL: SQL NULL */
    }
    int sent = PQsendQueryPrepared(db->conn, name, (int)n, texts, NULL, NULL, 0);
    PGresult *result = collect(db, sent, sql, error);
    if (result == NULL)
        return NULL;
    struct postgres_rows *rows = g_new(struct postgres_rows, 1);
    *rows = (struct postgres_rows){{base}, result, -1};
    return &rows->rows;
}

/* All rows are here already. */
static bool postgres_next(struct db_rows *base, GError **error)
{
    (void)error;
    struct postgres_rows *rows = (struct postgres_rows *)base;
    return ++rows->row < PQntuples(rows->result);
}

static void postgres_rows_free(struct db_rows *base)
{
    PQclear(((struct postgres_rows *)base)->result);
    g_free(base);
}

static const char *postgres_text(const struct db_rows *base, unsigned column)
{
    const struct postgres_rows *rows = (const struct postgres_rows *)base;
    return PQgetisnull(rows->result, rows->row, (int)column) ? NULL : PQgetvalue(rows->result, rows->row, (int)column);
}

static int64_t postgres_number(const struct db_rows *base, unsigned column)
{
    const char *text = postgres_text(base, column);
    return text == NULL ? 0 : *text == 't' ? 1 : g_ascii_strtoll(text, NULL, 10); /* "t", "f", or decimal digits */
}

const struct db_driver db_postgres = {
    .scheme = "postgresql",
    .open = postgres_open,
    .open_reading = postgres_open_reading,
    .close = postgres_close,
    .exec = postgres_exec,
    .query = postgres_query,
    .next = postgres_next,
    .rows_free = postgres_rows_free,
    .text = postgres_text,
    .number = postgres_number,
    .begin = "begin",
    .lock_schema = "select pg_advisory_xact_lock(7165)", /* any number that all signalboxd share */
};
