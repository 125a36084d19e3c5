#include "core/error.h"
#include "core/loop.h"
#include "server/store/db.h"
#include "server/store/journal.h"
#include "server/store/outbox.h"
#include "server/store/store.h"
#include "tests/unit/postgresd.h"
#include "tests/unit/unit.h"

#include <glib/gstdio.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static char dir[64], journal_path[96], store_url[128];

static void setup(void)
{
    g_autofree char *made = g_dir_make_tmp("sb-journal-XXXXXX", NULL);
    ck_assert(made != NULL && g_strlcpy(dir, made, sizeof dir) < sizeof dir);
    snprintf(journal_path, sizeof journal_path, "%s/journal.db", dir);
    snprintf(store_url, sizeof store_url, "%s/store.db", dir);
}

static void teardown(void)
{
    GDir *files = g_dir_open(dir, 0, NULL);
    const char *name;
    while ((name = g_dir_read_name(files)) != NULL) {
        g_autofree char *file = g_build_filename(dir, name, NULL);
        unlink(file);
    }
    g_dir_close(files);
    rmdir(dir);
}

static enum journal_result append(struct journal *journal, uint64_t epoch, const char *kind, const char *id,
                                  const char *key, json_t *body, GError **error)
{
    g_autoptr(GPtrArray) entries = entries_new();
    entries_add(entries, kind, id, key, body);
    return journal->ops->append(journal, epoch, entries, 1000, error);
}

static bool see_state(void *text, const struct journal_entry *entry, GError **error)
{
    (void)error;
    const json_t *what = json_object_get(entry->body, "what"); /* of a record of audit, without its seal */
    char *body = json_dumps(what != NULL ? what : entry->body, JSON_COMPACT | JSON_ENCODE_ANY);
    g_string_append_printf(text, "%s/%s=%s ", entry->kind, entry->id, body);
    free(body);
    return true;
}

static char *states(struct journal *journal)
{
    GString *text = g_string_new(NULL);
    ck_assert(journal->ops->replay(journal, see_state, text, NULL));
    return g_string_free(text, FALSE);
}

START_TEST(replays_newest_states_in_order)
{
    struct journal *journal = journal_open(journal_path, 3, NULL);
    uint64_t epoch = journal->epoch;
    ck_assert_uint_eq(epoch, (1u << 16) + 3);
    ck_assert_int_eq(append(journal, epoch, "control", "a", NULL, json_integer(1), NULL), JOURNAL_WRITTEN);
    append(journal, epoch, "control", "b", NULL, json_integer(2), NULL);
    append(journal, epoch, "audit", "1", NULL, json_pack("{s:s}", "what", "old"), NULL);
    append(journal, epoch, "audit", "2", NULL, json_pack("{s:s}", "what", "new"), NULL);
    append(journal, epoch, "control", "a", NULL, json_integer(3), NULL);
    append(journal, epoch, "plan", "p", NULL, json_object(), NULL);
    append(journal, epoch, "plan", "p", NULL, json_null(), NULL); /* its state ends */
    journal_close(journal);
    journal = journal_open(journal_path, 3, NULL);
    ck_assert_uint_eq(journal->epoch, (2u << 16) + 3); /* a reign never comes twice */
    g_autofree char *text = states(journal);
    ck_assert_str_eq(text, "control/b=2 control/a=3 audit/2=\"new\" ");
    journal_close(journal);
}
END_TEST

START_TEST(a_known_key_makes_the_whole_list_a_repetition)
{
    struct journal *journal = journal_open(journal_path, 0, NULL);
    g_autoptr(GPtrArray) entries = entries_new();
    ck_assert_int_eq(append(journal, journal->epoch, "control", "a", "x/1/set", json_integer(1), NULL),
                     JOURNAL_WRITTEN);
    entries_add(entries, "control", "b", NULL, json_integer(2));
    entries_add(entries, "control", "a", "x/1/set", json_integer(9));
    ck_assert_int_eq(journal->ops->append(journal, journal->epoch, entries, 0, NULL), JOURNAL_REPEATED);
    g_autofree char *text = states(journal);
    ck_assert_str_eq(text, "control/a=1 ");
    ck_assert_int_eq(append(journal, journal->epoch, "control", "c", NULL, json_integer(1), NULL), JOURNAL_WRITTEN);
    journal_close(journal);
}
END_TEST

static bool count_row(void *n, const struct journal_row *row, GError **error)
{
    (void)row, (void)error;
    ++*(unsigned *)n;
    return true;
}

static void append_generation(struct journal *journal, const char *id, const char *key)
{
    json_t *body = json_pack("{s:s*}", "key", key);
    ck_assert_int_eq(append(journal, journal->epoch, "generation", id, key, body, NULL), JOURNAL_WRITTEN);
}

static void expect_states(struct journal *journal, const char *expected)
{
    g_autofree char *found = states(journal);
    ck_assert_str_eq(found, expected);
}

/* A restart is told the newest generation and the keys of executions that are at hand; history keeps all. */
START_TEST(old_generations_have_no_state)
{
    struct journal *journal = journal_open(journal_path, 0, NULL);
    append(journal, journal->epoch, "execution", "x-1", NULL, json_object(), NULL);
    append(journal, journal->epoch, "execution", "x-10", NULL, json_object(), NULL);
    append_generation(journal, "1", NULL);
    append_generation(journal, "2", "x-1/a/set");
    append_generation(journal, "3", NULL);
    append_generation(journal, "4", "x-10/a/set");
    append_generation(journal, "5", NULL);
    expect_states(journal, "execution/x-1={} execution/x-10={} generation/2={\"key\":\"x-1/a/set\"} "
                           "generation/4={\"key\":\"x-10/a/set\"} generation/5={} ");
    append(journal, journal->epoch, "execution", "x-1", NULL, json_null(), NULL);
    expect_states(journal, "execution/x-10={} generation/4={\"key\":\"x-10/a/set\"} generation/5={} ");
    append_generation(journal, "6", "x-10/b/set");
    append(journal, journal->epoch, "execution", "x-10", NULL, json_null(), NULL);
    expect_states(journal, "generation/6={\"key\":\"x-10/b/set\"} ");
    unsigned n = 0;
    sb_auto(journal_reader) reader = journal_reader_open(journal_path, NULL);
    ck_assert(journal_read_after(reader, "generation", 0, 100, count_row, &n, NULL));
    ck_assert_uint_eq(n, 6);
    journal_close(journal);
}
END_TEST

START_TEST(an_older_reign_cannot_write)
{
    struct journal *old = journal_open(journal_path, 0, NULL), *new = journal_open(journal_path, 1, NULL);
    g_autoptr(GError) error = NULL, wrong = NULL;
    ck_assert_uint_gt(new->epoch, old->epoch);
    ck_assert_int_eq(append(old, old->epoch, "control", "a", NULL, json_integer(1), &error), JOURNAL_FAILED);
    ck_assert(g_error_matches(error, SB_ERROR, SB_ERROR_STALE));
    ck_assert_int_eq(append(new, old->epoch, "control", "a", NULL, json_integer(1), &wrong), JOURNAL_FAILED);
    ck_assert(!old->ops->reigns(old, NULL) && new->ops->reigns(new, NULL));
    g_autofree char *text = states(new);
    ck_assert_str_eq(text, "");
    journal_close(old);
    journal_close(new);
}
END_TEST

/* A child writes and says so; killed at any moment, all that it said is there, in order and without a gap. */
START_TEST(what_was_said_to_be_written_survives_sigkill)
{
    for (int round = 0; round < 10; round++) {
        int said[2];
        ck_assert_int_eq(pipe(said), 0);
        pid_t child = fork();
        if (child == 0) {
            struct journal *journal = journal_open(journal_path, 0, NULL);
            for (int i = 0;; i++) {
                g_autofree char *id = g_strdup_printf("%d", i);
                if (append(journal, journal->epoch, "control", id, NULL, json_integer(i), NULL) != JOURNAL_WRITTEN ||
                    write(said[1], &i, sizeof i) != sizeof i)
                    _exit(1);
            }
        }
        close(said[1]);
        int last = -1, n;
        for (int i = 0; i < 5 + round * 3; i++)
            ck_assert_int_eq(read(said[0], &last, sizeof last), sizeof last);
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        while (read(said[0], &n, sizeof n) == sizeof n)
            last = n;
        close(said[0]);
        struct db *db = db_open(journal_path, NULL);
        struct db_rows *rows = db_query(db, "select count(*), max(seq) from entries", NULL, 0, NULL);
        ck_assert(db_next(rows, NULL));
        ck_assert_int_ge(db_int(rows, 0), last + 1);
        ck_assert_int_eq(db_int(rows, 0), db_int(rows, 1));
        db_rows_free(rows);
        db_close(db);
    }
}
END_TEST

START_TEST(a_failed_write_is_an_error_and_nothing_is_written)
{
    struct journal *journal = journal_open(journal_path, 0, NULL);
    struct db *db = db_open(journal_path, NULL);
    g_autoptr(GError) error = NULL;
    /* Stands for a disk that fails in the middle of a transaction. */
    ck_assert(db_exec(db, "create trigger full before insert on entries begin select raise(abort, 'disk is full'); end",
                      NULL));
    ck_assert_int_eq(append(journal, journal->epoch, "control", "a", NULL, json_integer(1), &error), JOURNAL_FAILED);
    ck_assert_ptr_nonnull(strstr(error->message, "disk is full"));
    g_autofree char *text = states(journal);
    ck_assert_str_eq(text, "");
    db_close(db);
    journal_close(journal);
}
END_TEST

/* ---- what is superseded ---- */

static int64_t number(const char *sql)
{
    sb_auto(db) db = db_open_reading(journal_path, NULL, NULL);
    sb_auto(db_rows) row = NULL;
    ck_assert(db_first(db, sql, NULL, 0, &row, NULL) && row != NULL);
    return db_int(row, 0);
}

/* Entries `from`.., as a site has them: ten states of an execution, an answer, an event, a control of each kind. */
static void fill(struct journal *journal, int from, int n)
{
    g_autoptr(GPtrArray) entries = entries_new();
    g_autofree char *filling = g_strnfill(800, 'x');
    for (int i = from; i < from + n; i++) {
        static const char *const kinds[] = {"execution", "answer", "event", "control"};
        int kind = i % 4;
        g_autofree char *id = kind == 3 ? g_strdup("c") : g_strdup_printf("%d", kind == 0 ? i / 40 : i);
        entries_add(entries, kinds[kind], id, NULL, json_pack("{s:i, s:s}", "i", i, "filling", filling));
    }
    ck_assert_int_eq(journal->ops->append(journal, journal->epoch, entries, 0, NULL), JOURNAL_WRITTEN);
}

#define SUPERSEDED                                                                                                     \
    "kind in ('execution', 'answer') and exists (select 1 from entries n where n.kind = e.kind and n.id = e.id and "   \
    "n.seq > e.seq and (n.body <> 'null' or n.kind = 'answer'))"
#define EMPTIED "(select coalesce(max(value), 0) from meta where name = 'emptied')"

/* Until where it has come all that is superseded is empty, and nothing else is; a restart finds what it needs. */
static void expect_emptied(void)
{
    int64_t emptied = number("select " EMPTIED), last = number("select max(seq) from entries");
    ck_assert_int_le(emptied, last - JOURNAL_TAIL);
    ck_assert_int_eq(
        number("select count(*) from entries e where seq <= " EMPTIED " and body <> 'null' and " SUPERSEDED), 0);
    ck_assert_int_eq(number("select count(*) from entries where body = 'null' and kind in ('event', 'control')"), 0);
    ck_assert_int_eq(number("select count(*) from entries where body = 'null' and seq > " EMPTIED
                            " and kind = 'execution' and id not in ('0', '1')"),
                     0);
    ck_assert_int_eq(number("select count(*) from state s join entries e on e.seq = s.seq where s.body <> e.body"), 0);
    ck_assert_int_eq(number("select count(distinct id) from entries where kind = 'execution'"),
                     number("select count(distinct id) from entries where kind = 'execution' and body <> 'null'"));
}

START_TEST(what_is_superseded_is_emptied)
{
    struct journal *journal = journal_open(journal_path, 0, NULL);
    int n = 0;
    for (; n < JOURNAL_TAIL; n += 1000)
        fill(journal, n, 1000);
    append(journal, journal->epoch, "execution", "0", NULL, json_null(), NULL);
    ck_assert_int_eq(number("select " EMPTIED), 0);
    for (; n < JOURNAL_TAIL + 3000; n += 1000)
        fill(journal, n, 1000);
    ck_assert_int_eq(number("select " EMPTIED), 3001);
    ck_assert_int_eq(number("select count(*) from entries where kind = 'execution' and body <> 'null' and seq <= 3000"),
                     3000 / 40);
    ck_assert_int_eq(number("select count(*) from entries where body = 'null' and kind = 'answer'"),
                     0); /* they stand */
    expect_emptied();
    /* What ends, or moves on, behind that is emptied with what comes. */
    append(journal, journal->epoch, "answer", "1", NULL, json_null(), NULL);
    append(journal, journal->epoch, "execution", "1", NULL, json_string("later"), NULL);
    append(journal, journal->epoch, "execution", "1", NULL, json_null(), NULL);
    ck_assert_int_eq(number("select count(*) from entries where kind = 'answer' and id = '1' and body <> 'null'"), 0);
    ck_assert_int_eq(number("select count(*) from entries where kind = 'execution' and id = '1' and body <> 'null'"),
                     1);
    expect_emptied();
    g_autofree char *text = states(journal);
    journal_close(journal);
    journal = journal_open(journal_path, 0, NULL);
    expect_states(journal, text);
    fill(journal, n, 1000);
    ck_assert_int_gt(number("select " EMPTIED), 3900);
    expect_emptied();
    journal_close(journal);
    /* A store that has nothing yet is given all that one has that was there all the time. */
    struct outbox *outbox = outbox_new(journal_path, store_url, 0, NULL);
    ck_assert_ptr_nonnull(outbox);
    outbox_free(outbox);
    sb_auto(db) db = db_open(store_url, NULL);
    sb_auto(db_rows) row = NULL;
    ck_assert(db_first(db,
                       "select (select count(*) from events), (select count(*) from executions where body <> 'null'), "
                       "(select body from executions where id = '1')",
                       NULL, 0, &row, NULL));
    ck_assert_int_eq(db_int(row, 0), (n + 1000) / 4);
    ck_assert_int_eq(db_int(row, 1), (n + 1000) / 40);
    ck_assert_str_eq(db_text(row, 2), "\"later\"");
}
END_TEST

/* Killed at any moment while it empties: what is emptied and how far it says to have come go together. */
START_TEST(emptying_survives_sigkill)
{
    struct journal *journal = journal_open(journal_path, 0, NULL);
    for (int n = 0; n < JOURNAL_TAIL + 1000; n += 1000)
        fill(journal, n, 1000);
    journal_close(journal);
    int64_t before = number("select " EMPTIED);
    for (int round = 0; round < 10; round++) {
        int said[2], last;
        ck_assert_int_eq(pipe(said), 0);
        pid_t child = fork();
        if (child == 0) {
            journal = journal_open(journal_path, 0, NULL);
            for (int i = (int)number("select max(seq) from entries");; i += 32) {
                fill(journal, i, 32);
                if (write(said[1], &i, sizeof i) != sizeof i)
                    _exit(1);
            }
        }
        close(said[1]);
        for (int i = 0; i < 3 + round; i++)
            ck_assert_int_eq(read(said[0], &last, sizeof last), sizeof last);
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        close(said[0]);
        expect_emptied();
        sb_auto(db) db = db_open(journal_path, NULL);
        sb_auto(db_rows) row = NULL;
        ck_assert(db_first(db, "pragma integrity_check(1)", NULL, 0, &row, NULL));
        ck_assert_str_eq(db_text(row, 0), "ok");
    }
    ck_assert_int_ge(number("select " EMPTIED), before + 10 * 3 * 32);
}
END_TEST

/* -1: nobody answers, or there are no tables yet. */
static int64_t count(const char *sql)
{
    sb_auto(db) db = db_open(store_url, NULL);
    sb_auto(db_rows) rows = db == NULL ? NULL : db_query(db, sql, NULL, 0, NULL);
    return rows != NULL && db_next(rows, NULL) ? db_int(rows, 0) : -1;
}

/* Ending the outbox drains what is there: no waiting by time. */
static void drain(void)
{
    struct outbox *outbox = outbox_new(journal_path, store_url, 0, NULL);
    ck_assert_ptr_nonnull(outbox);
    outbox_free(outbox);
}

enum { SQLITE, POSTGRES, ENGINES };

static void use_postgres(void)
{
    g_autofree char *url = postgresd_fresh();
    g_strlcpy(store_url, url, sizeof store_url);
}

START_TEST(the_store_gets_each_entry_once)
{
    if (_i == POSTGRES)
        use_postgres();
    struct journal *journal = journal_open(journal_path, 0, NULL);
    for (int i = 0; i < 600; i++) { /* more than two batches */
        g_autofree char *id = g_strdup_printf("%d", i);
        append(journal, journal->epoch, "audit", id, NULL, json_object(), NULL);
    }
    append(journal, journal->epoch, "execution", "x", NULL, json_string("running"), NULL);
    append(journal, journal->epoch, "execution", "x", NULL, json_string("succeeded"), NULL);
    append(journal, journal->epoch, "token", "t", NULL, json_string("secret"), NULL);
    drain();
    ck_assert_int_eq(count("select count(*) from audit"), 600);
    ck_assert_int_eq(count("select count(*) from executions where body = '\"succeeded\"'"), 1);
    ck_assert_int_eq(count("select count(*) from objects"), 0);
    ck_assert_int_eq(count("select seq from drained where node = 0"), 603);
    drain();
    ck_assert_int_eq(count("select count(*) from audit"), 600);
    /* The position lost (a crash of another engine's kind): draining anew changes nothing. */
    struct db *db = db_open(store_url, NULL);
    ck_assert(db_exec(db, "delete from drained", NULL));
    db_close(db);
    append(journal, journal->epoch, "audit", "600", NULL, json_object(), NULL);
    drain();
    ck_assert_int_eq(count("select count(*) from audit"), 601);
    journal_close(journal);
}
END_TEST

/* A journal whose entries have the same numbers, of other reigns, is another one: nothing of it is put there. */
START_TEST(a_store_of_another_journal_is_left_alone)
{
    struct journal *journal = journal_open(journal_path, 0, NULL);
    append(journal, journal->epoch, "audit", "1", NULL, json_object(), NULL);
    drain();
    ck_assert_int_eq(count("select count(*) from audit"), 1);
    struct db *db = db_open(store_url, NULL);
    ck_assert(db_exec(db, "update drained set epoch = epoch + 65536", NULL));
    db_close(db);
    append(journal, journal->epoch, "audit", "2", NULL, json_object(), NULL);
    drain();
    ck_assert_int_eq(count("select count(*) from audit"), 1);
    journal_close(journal);
}
END_TEST

/* What the engine has forgotten leaves the state with its events, which a restart would read; history keeps it. */
START_TEST(a_forgotten_execution_is_history)
{
    static const char *const events[] = {"x-1/1", "x/1", "x/2", "x/10", "x0/1", "y/1"};
    struct journal *journal = journal_open(journal_path, 0, NULL);
    append(journal, journal->epoch, "execution", "x", NULL, json_string("succeeded"), NULL);
    for (guint i = 0; i < G_N_ELEMENTS(events); i++)
        append(journal, journal->epoch, "event", events[i], NULL, json_integer((json_int_t)i), NULL);
    append(journal, journal->epoch, "execution", "x", NULL, json_null(), NULL);
    g_autofree char *text = states(journal);
    ck_assert_str_eq(text, "event/x-1/1=0 event/x0/1=4 event/y/1=5 ");
    drain();
    ck_assert_int_eq(count("select count(*) from executions where body = '\"succeeded\"'"), 1);
    ck_assert_int_eq(count("select count(*) from events"), G_N_ELEMENTS(events));
    journal_close(journal);
}
END_TEST

static void wait_audit(int64_t n)
{
    int64_t deadline_us = loop_now_us() + 20000000;
    while (count("select count(*) from audit") != n) {
        ck_assert_msg(loop_now_us() < deadline_us, "the store did not catch up");
        poll(NULL, 0, 20);
    }
}

static void append_audits(struct journal *journal, struct outbox *outbox, int first, int n)
{
    for (int i = first; i < first + n; i++) {
        g_autofree char *id = g_strdup_printf("%d", i);
        ck_assert_int_eq(append(journal, journal->epoch, "audit", id, NULL, json_object(), NULL), JOURNAL_WRITTEN);
        outbox_wake(outbox);
    }
}

/* The store away at the start, killed, and stopped in the middle: the journal takes everything at once, and the history
 * is whole when the store is back. */
START_TEST(the_store_may_be_away)
{
    postgresd_start();
    use_postgres();
    postgresd_kill();
    struct journal *journal = journal_open(journal_path, 0, NULL);
    struct outbox *outbox = outbox_new(journal_path, store_url, 0, NULL);
    append_audits(journal, outbox, 0, 300);
    postgresd_run();
    wait_audit(300);
    postgresd_kill();
    append_audits(journal, outbox, 300, 300);
    postgresd_run();
    wait_audit(600);
    postgresd_pause(true);
    append_audits(journal, outbox, 600, 300);
    postgresd_pause(false);
    wait_audit(900);
    outbox_free(outbox);
    ck_assert_int_eq(count("select count(distinct id) from audit"), 900);
    journal_close(journal);
    postgresd_end();
}
END_TEST

static bool see_seq(void *text, const struct journal_row *row, GError **error)
{
    (void)error;
    g_string_append_printf(text, "%" G_GUINT64_FORMAT " ", row->seq);
    return true;
}

START_TEST(reading_beside_the_writer)
{
    struct journal *journal = journal_open(journal_path, 0, NULL);
    sb_auto(journal_reader) reader = journal_reader_open(journal_path, NULL);
    g_autoptr(GString) text = g_string_new(NULL);
    for (int i = 0; i < 6; i++) {
        g_autofree char *id = g_strdup_printf("%d", i);
        append(journal, journal->epoch, i % 2 == 0 ? "audit" : "control", id, NULL, json_object(), NULL);
    }
    ck_assert(journal_read_after(reader, NULL, 2, 3, see_seq, text, NULL));
    ck_assert_str_eq(text->str, "3 4 5 ");
    g_string_truncate(text, 0);
    ck_assert(journal_read_after(reader, "audit", 1, 10, see_seq, text, NULL));
    ck_assert_str_eq(text->str, "3 5 ");
    g_string_truncate(text, 0);
    ck_assert(journal_read_before(reader, "audit", INT64_MAX, 2, see_seq, text, NULL));
    ck_assert_str_eq(text->str, "3 5 ");
    g_string_truncate(text, 0);
    ck_assert(journal_read_before(reader, NULL, 5, 3, see_seq, text, NULL));
    ck_assert_str_eq(text->str, "2 3 4 ");
    journal_close(journal);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_unchecked_fixture(tcase, postgresd_start, postgresd_end);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, replays_newest_states_in_order);
    tcase_add_test(tcase, a_known_key_makes_the_whole_list_a_repetition);
    tcase_add_test(tcase, old_generations_have_no_state);
    tcase_add_test(tcase, an_older_reign_cannot_write);
    tcase_add_test(tcase, what_was_said_to_be_written_survives_sigkill);
    tcase_add_test(tcase, what_is_superseded_is_emptied);
    tcase_add_test(tcase, emptying_survives_sigkill);
    tcase_add_test(tcase, a_failed_write_is_an_error_and_nothing_is_written);
    tcase_add_loop_test(tcase, the_store_gets_each_entry_once, 0, ENGINES);
    tcase_add_test(tcase, a_store_of_another_journal_is_left_alone);
    tcase_add_test(tcase, a_forgotten_execution_is_history);
    tcase_add_test(tcase, the_store_may_be_away);
    tcase_add_test(tcase, reading_beside_the_writer);
}

int main(void)
{
    return unit_run("journal", add);
}
