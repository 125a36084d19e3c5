#include "core/error.h"
#include "server/store/db.h"
#include "tests/unit/unit.h"

#include <stdio.h>
#include <unistd.h>

static char path[64];

static struct db *open_fresh(void)
{
    snprintf(path, sizeof path, "/tmp/sb-test-db-%d", (int)getpid());
    GError *error = NULL;
    struct db *db = db_open(path, &error);
    ck_assert_ptr_nonnull(db);
    return db;
}

static void drop(struct db *db)
{
    db_close(db);
    static const char *const ends[] = {"", "-wal", "-shm"};
    for (int i = 0; i < 3; i++) {
        g_autofree char *file = g_strconcat(path, ends[i], NULL);
        unlink(file);
    }
}

static int64_t number(struct db *db, const char *sql)
{
    sb_auto(db_rows) rows = db_query(db, sql, NULL, 0, NULL);
    ck_assert(db_next(rows, NULL));
    return db_int(rows, 0);
}

START_TEST(parameters_go_by_name)
{
    struct db *db = open_fresh();
    GError *error = NULL;
    ck_assert(db_exec(db, "create table t (a text, b bigint, c boolean, d text)", NULL));
    /* $2 stands first: SQLite numbers by appearance, the values must not. */
    struct db_value in[] = {DB_TEXT("it's; -- \"x\""), DB_INT(INT64_MIN), DB_BOOL(true), DB_NULL};
    ck_assert(db_run(db, "insert into t (b, a, d, c) values ($2, $1, $4, $3)", in, 4, &error));
    struct db_value which = DB_INT(INT64_MIN);
    struct db_rows *rows = db_query(db, "select a, b, c, d from t where b = $1", &which, 1, &error);
    ck_assert(db_next(rows, &error));
    ck_assert_str_eq(db_text(rows, 0), "it's; -- \"x\"");
    ck_assert_int_eq(db_int(rows, 1), INT64_MIN);
    ck_assert_int_eq(db_int(rows, 2), 1);
    ck_assert_ptr_null(db_text(rows, 3));
    ck_assert(!db_next(rows, &error));
    ck_assert_ptr_null(error);
    db_rows_free(rows);
    drop(db);
}
END_TEST

START_TEST(transactions_are_all_or_nothing)
{
    struct db *db = open_fresh();
    ck_assert(db_exec(db, "create table t (a bigint primary key)", NULL));
    ck_assert(db_begin(db, NULL) && db_exec(db, "insert into t values (1)", NULL));
    db_rollback(db);
    ck_assert_int_eq(number(db, "select count(*) from t"), 0);
    ck_assert(db_begin(db, NULL) && db_exec(db, "insert into t values (1)", NULL) && db_commit(db, NULL));
    ck_assert_int_eq(number(db, "select count(*) from t"), 1);
    db_rollback(db); /* none is open: does nothing */
    drop(db);
}
END_TEST

START_TEST(errors_say_what_and_leave_the_connection_usable)
{
    struct db *db = open_fresh();
    g_autoptr(GError) error = NULL, twice = NULL, scheme = NULL;
    ck_assert(!db_exec(db, "select nonsense", &error));
    ck_assert(g_error_matches(error, SB_ERROR, SB_ERROR_IO));
    ck_assert_ptr_nonnull(strstr(error->message, "nonsense"));
    struct db_value one = DB_INT(1);
    ck_assert(db_exec(db, "create table t (a bigint primary key)", NULL));
    ck_assert(db_run(db, "insert into t values ($1)", &one, 1, NULL));
    ck_assert(!db_run(db, "insert into t values ($1)", &one, 1, &twice));
    ck_assert(g_error_matches(twice, SB_ERROR, SB_ERROR_CONFLICT));
    ck_assert_int_eq(number(db, "select count(*) from t"), 1);
    ck_assert_ptr_null(db_open("mysql://host/x", &scheme));
    ck_assert(g_error_matches(scheme, SB_ERROR, SB_ERROR_INVALID));
    drop(db);
}
END_TEST

START_TEST(migrations_run_once_in_order)
{
    struct db *db = open_fresh();
    static const struct db_migration first[] = {{1, "create table t (a bigint); insert into t values (1)"}, {0, NULL}};
    static const struct db_migration both[] = {
        {1, "create table t (a bigint); insert into t values (1)"}, {2, "update t set a = a + 10"}, {0, NULL}};
    static const struct db_migration broken[] = {
        {1, ""}, {2, ""}, {3, "update t set a = 99; update nowhere set a = 1"}, {0, NULL}};
    g_autoptr(GError) error = NULL, newer = NULL;
    ck_assert(db_migrate(db, first, NULL) && db_migrate(db, first, NULL) && db_migrate(db, both, NULL));
    ck_assert_int_eq(number(db, "select a from t"), 11);
    ck_assert(!db_migrate(db, broken, &error));
    ck_assert_int_eq(number(db, "select a from t"), 11);
    ck_assert(!db_migrate(db, first, &newer)); /* an older program */
    ck_assert(g_error_matches(newer, SB_ERROR, SB_ERROR_INVALID));
    drop(db);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, parameters_go_by_name);
    tcase_add_test(tcase, transactions_are_all_or_nothing);
    tcase_add_test(tcase, errors_say_what_and_leave_the_connection_usable);
    tcase_add_test(tcase, migrations_run_once_in_order);
}

int main(void)
{
    return unit_run("db", add);
}
