#include "core/error.h"
#include "core/loop.h"
#include "server/store/db.h"
#include "tests/unit/postgresd.h"
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SQLITE, POSTGRES, ENGINES }; /* each test runs on both, from this one source */
static char path[64];

static char *fresh_url(int engine)
{
    if (engine == POSTGRES)
        return postgresd_fresh();
    snprintf(path, sizeof path, "/tmp/sb-test-db-%d", (int)getpid());
    return g_strdup(path);
}

static struct db *open_fresh(int engine)
{
    g_autofree char *url = fresh_url(engine);
    GError *error = NULL;
    struct db *db = db_open(url, &error);
    ck_assert_msg(db != NULL, "%s", db == NULL ? error->message : "");
    return db;
}

static void drop(struct db *db)
{
    db_close(db);
    static const char *const ends[] = {"", "-wal", "-shm"};
    for (int i = 0; path[0] != '\0' && i < 3; i++) {
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
    struct db *db = open_fresh(_i);
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
    struct db *db = open_fresh(_i);
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
    struct db *db = open_fresh(_i);
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
    struct db *db = open_fresh(_i);
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

START_TEST(two_programs_may_migrate_at_once)
{
    g_autofree char *url = fresh_url(_i);
    static const struct db_migration steps[] = {
        {1, "create table t (a bigint); insert into t values (1)"}, {2, "update t set a = a + 10"}, {0, NULL}};
    pid_t children[4];
    for (int i = 0; i < 4; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            struct db *mine = db_open(url, NULL);
            _exit(mine != NULL && db_migrate(mine, steps, NULL) ? 0 : 1);
        }
    }
    for (int i = 0; i < 4; i++) {
        int status = -1;
        ck_assert_int_eq(waitpid(children[i], &status, 0), children[i]);
        ck_assert_int_eq(status, 0);
    }
    struct db *db = db_open(url, NULL);
    ck_assert_int_eq(number(db, "select sum(a) from t"), 11);
    drop(db);
}
END_TEST

/* Which process has a lock on the file, 0: none. */
static pid_t who_locks(const char *file)
{
    int fd = open(file, O_RDWR | O_CLOEXEC);
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    ck_assert_int_eq(fcntl(fd, F_GETLK, &lock), 0);
    close(fd);
    return lock.l_type == F_UNLCK ? 0 : lock.l_pid;
}

/* A connection's lock keeps other programs from taking the log for nobody's and removing it. */
START_TEST(a_second_connection_leaves_the_first_ones_locks)
{
    struct db *first = open_fresh(SQLITE);
    ck_assert(db_exec(first, "create table t (n bigint)", NULL));
    db_close(db_open(path, NULL));
    pid_t asker = fork();
    if (asker == 0)
        _exit(who_locks(path) == getppid() ? 0 : 1);
    int status;
    waitpid(asker, &status, 0);
    ck_assert_int_eq(status, 0);
    drop(first);
}
END_TEST

/* The places of readers in the log's index, which a program that changes one has for itself for a moment: here one that
 * was stopped in that moment. */
static void hold_places(const char *index)
{
    int fd = open(index, O_RDWR | O_CLOEXEC);
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 123, .l_len = 5};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (fcntl(fd, F_SETLK, &lock) != 0)
        _exit(1);
    raise(SIGSTOP);
    _exit(0);
}

START_TEST(who_was_stopped_with_a_lock_of_the_index_is_told_of_in_time)
{
    struct db *first = open_fresh(SQLITE);
    g_autoptr(GError) error = NULL;
    g_autofree char *index = g_strconcat(path, "-shm", NULL);
    int status;
    ck_assert(db_exec(first, "create table t (n bigint)", NULL));
    pid_t holder = fork();
    if (holder == 0)
        hold_places(index);
    ck_assert_int_eq(waitpid(holder, &status, WUNTRACED), holder);
    ck_assert(WIFSTOPPED(status));
    int64_t begun_us = loop_now_us();
    ck_assert_ptr_null(db_open(path, &error));
    ck_assert_int_lt(loop_now_us() - begun_us, 2 * G_USEC_PER_SEC); /* SQLite's own limit is 10 s */
    ck_assert_msg(strstr(error->message, "locking protocol") != NULL, "%s", error->message);
    kill(holder, SIGKILL);
    waitpid(holder, NULL, 0);
    struct db *next = db_open(path, NULL);
    ck_assert_ptr_nonnull(next);
    db_close(next);
    drop(first);
}
END_TEST

START_TEST(a_lost_connection_says_so_and_a_new_one_works)
{
    postgresd_start();
    g_autofree char *url = postgresd_fresh();
    struct db *db = db_open(url, NULL);
    ck_assert(db_exec(db, "create table t (a bigint); insert into t values (7)", NULL));
    postgresd_kill();
    g_autoptr(GError) lost = NULL, still = NULL, refused = NULL, silent = NULL;
    ck_assert(!db_exec(db, "select 1", &lost) && !db_exec(db, "select 1", &still));
    ck_assert(g_error_matches(lost, SB_ERROR, SB_ERROR_IO) && g_error_matches(still, SB_ERROR, SB_ERROR_IO));
    db_close(db);
    ck_assert_ptr_null(db_open(url, &refused));
    ck_assert_ptr_nonnull(strstr(refused->message, "refused"));
    postgresd_run();
    db = db_open(url, NULL);
    ck_assert_int_eq(number(db, "select a from t"), 7); /* what was committed is there */
    db_close(db);
    postgresd_pause(true);
    int64_t before_us = loop_now_us();
    ck_assert_ptr_null(db_open(url, &silent)); /* the kernel still takes connections for it */
    ck_assert_int_lt(loop_now_us() - before_us, 4000000);
    ck_assert_msg(strstr(silent->message, "no answer within 2000 ms") != NULL, "%s", silent->message);
    postgresd_pause(false);
    postgresd_end();
}
END_TEST

static struct db *open_or_say(const char *url)
{
    g_autoptr(GError) error = NULL;
    struct db *db = db_open(url, &error);
    ck_assert_msg(db != NULL, "%s: %s", url, db == NULL ? error->message : "");
    return db;
}

/* Of several servers the first that can be written: behind one that is dead, one that says nothing, and a standby. */
START_TEST(the_server_that_can_be_written_is_found)
{
    postgresd_start();
    postgresd_follow();
    g_autofree char *url = postgresd_fresh(), *only = NULL;
    struct db *db = open_or_say(url);
    ck_assert(db_exec(db, "create table t (a bigint); insert into t values (7)", NULL));
    db_close(db);
    g_auto(GStrv) parts = g_strsplit_set(url, "@,/", -1); /* postgresql: "" nobody STANDBY PRIMARY DATABASE */
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof sa;
    int silent = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(silent, (struct sockaddr *)&sa, len), 0);
    ck_assert_int_eq(listen(silent, 8), 0);
    getsockname(silent, (struct sockaddr *)&sa, &len);
    g_autofree char *all = g_strdup_printf("postgresql://nobody@127.0.0.1:1,127.0.0.1:%u,%s,%s/%s", ntohs(sa.sin_port),
                                           parts[3], parts[4], parts[5]);
    db = open_or_say(all);
    ck_assert_int_eq(number(db, "select a from t"), 7);
    db_close(db);
    only =
        g_strdup_printf("postgresql://nobody@127.0.0.1:1,127.0.0.1:%u,%s/%s", ntohs(sa.sin_port), parts[3], parts[5]);
    g_autoptr(GError) none = NULL;
    ck_assert_ptr_null(db_open(only, &none));
    ck_assert_msg(strstr(none->message, "refused; 127.0.0.1 port ") != NULL &&
                      strstr(none->message, "no answer within 2000 ms; connection") != NULL &&
                      strstr(none->message, "session is read-only") != NULL,
                  "%s", none->message);
    close(silent);
    while (db = db_open_reading(only, NULL, NULL), db == NULL || !db_exec(db, "select a from t", NULL))
        db_close(db); /* the standby does for that, as soon as it has got so far */
    ck_assert_int_eq(number(db, "select a from t"), 7);
    db_close(db);
    postgresd_fail_over();
    db = open_or_say(all);
    ck_assert(db_exec(db, "insert into t values (8)", NULL));
    db_close(db);
    postgresd_end();
}
END_TEST

START_TEST(a_password_is_never_shown)
{
    static const char *const shown[][2] = {
        {"postgresql://sb:geheim@db.example/x", "postgresql://sb:***@db.example/x"},
        {"postgresql://sb@db.example/x?password=geheim&sslmode=require",
         "postgresql://sb@db.example/x?password=***&sslmode=require"},
        {"postgresql:///x?sslpassword=geheim", "postgresql:///x?sslpassword=***"},
        {"/var/lib/a:b@c/store.db", "/var/lib/a:b@c/store.db"},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(shown); i++) {
        g_autofree char *text = db_url_shown(shown[i][0]);
        ck_assert_str_eq(text, shown[i][1]);
    }
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_unchecked_fixture(tcase, postgresd_start, postgresd_end);
    tcase_add_loop_test(tcase, parameters_go_by_name, 0, ENGINES);
    tcase_add_loop_test(tcase, transactions_are_all_or_nothing, 0, ENGINES);
    tcase_add_loop_test(tcase, errors_say_what_and_leave_the_connection_usable, 0, ENGINES);
    tcase_add_loop_test(tcase, migrations_run_once_in_order, 0, ENGINES);
    tcase_add_loop_test(tcase, two_programs_may_migrate_at_once, 0, ENGINES);
    tcase_add_test(tcase, a_second_connection_leaves_the_first_ones_locks);
    tcase_add_test(tcase, who_was_stopped_with_a_lock_of_the_index_is_told_of_in_time);
    tcase_add_test(tcase, a_lost_connection_says_so_and_a_new_one_works);
    tcase_add_test(tcase, the_server_that_can_be_written_is_found);
    tcase_add_test(tcase, a_password_is_never_shown);
}

int main(void)
{
    return unit_run("db", add);
}
