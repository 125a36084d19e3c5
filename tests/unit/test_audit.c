/* The audit's chain: what was altered, taken out, moved or put in is named, and nothing else; on both engines of the
 * store, and on a real server whose journal was restored from an older copy.
 */
#include "core/loop.h"
#include "server/store/audit_chain.h"
#include "server/store/db.h"
#include "server/store/journal.h"
#include "server/store/store.h"
#include "tests/unit/postgresd.h"
#include "tests/unit/served_cli.h"
#include "tests/unit/unit.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define RECORDS 12
#define ENGINES 2 /* SQLite, Postgres */

/* ---- a journal and a store by hand ---- */

static char folder[64], path[96], *store_url;

static void begin(int engine)
{
    g_autofree char *made = g_dir_make_tmp("sb-audit-XXXXXX", NULL);
    g_strlcpy(folder, made, sizeof folder);
    snprintf(path, sizeof path, "%s/journal.db", folder);
    store_url = engine == 0 ? g_strdup_printf("%s/store.db", folder) : postgresd_fresh();
}

static void end(void)
{
    unit_remove_all(folder);
    g_free(store_url);
}

/* Records from..to, each in a transaction with something else. */
static void write_records(int from, int to)
{
    g_autoptr(GError) error = NULL;
    sb_auto(journal) journal = journal_open(path, 0, &error);
    ck_assert_msg(journal != NULL, "%s", error != NULL ? error->message : "");
    for (int n = from; n <= to; n++) {
        g_autoptr(GPtrArray) entries = entries_new();
        g_autofree char *id = g_strdup_printf("%d", n);
        entries_add(entries, "control", "room.ingress/room-a", NULL, json_pack("{s:i}", "n", n));
        entries_add(entries, "audit", id, NULL,
                    json_pack("{s:i, s:s, s:s?, s:s}", "seq", n, "what", "set", "reason", NULL, "actor", "张三 \"x\""));
        ck_assert_int_eq(journal->ops->append(journal, journal->epoch, entries, 1000 + n, &error), JOURNAL_WRITTEN);
    }
}

static bool put(void *store, const struct journal_row *row, GError **error)
{
    return store_put(store, row, error) && store_commit(store, 0, row->epoch, row->seq, error) &&
           store_begin(store, error);
}

static void drain(void)
{
    g_autoptr(GError) error = NULL;
    sb_auto(store) store = store_open(store_url, &error);
    sb_auto(journal_reader) reader = journal_reader_open(path, &error);
    ck_assert_msg(store != NULL && store_begin(store, &error) &&
                      journal_read_after(reader, NULL, 0, 1000, put, store, &error),
                  "%s", error != NULL ? error->message : "");
    store_rollback(store);
}

static void in_journal(const char *sql)
{
    g_autoptr(GError) error = NULL;
    sb_auto(db) db = db_open(path, &error);
    ck_assert_msg(db != NULL && db_exec(db, sql, &error), "%s", error != NULL ? error->message : "");
}

static void in_store(const char *sql)
{
    g_autoptr(GError) error = NULL;
    sb_auto(db) db = db_open(store_url, &error);
    ck_assert_msg(db != NULL && db_exec(db, sql, &error), "%s", error != NULL ? error->message : "");
}

struct adding {
    struct audit_check *check;
    enum audit_place place;
};

static bool add_row(void *data, const struct journal_row *row, GError **error)
{
    const struct adding *adding = data;
    (void)error;
    audit_check_add(adding->check, adding->place, row->id, row->epoch, row->body);
    return true;
}

static json_t *verified(const char *noted)
{
    json_t *result = NULL;
    sb_auto(audit_check) check = audit_check_new(0);
    sb_auto(store) store = store_open(store_url, NULL);
    sb_auto(journal_reader) reader = journal_reader_open(path, NULL);
    struct adding journal = {check, AUDIT_JOURNAL}, stored = {check, AUDIT_STORE};
    ck_assert(journal_read_after(reader, "audit", 0, 1000, add_row, &journal, NULL));
    ck_assert(store_read_audit(store, 0, 0, 1000, add_row, &stored, NULL));
    ck_assert(audit_check_end(check, noted, &result, NULL));
    return result;
}

/* "journal missing 4-6; store altered 2-2; " */
static char *found(const char *noted)
{
    json_t *result = verified(noted), *finding;
    GString *text = g_string_new(NULL);
    size_t i;
    json_array_foreach (json_object_get(result, "findings"), i, finding)
        g_string_append_printf(text, "%s %s %lld-%lld; ", text_at(finding, "where"), text_at(finding, "what"),
                               (long long)number_at(finding, "from"), (long long)number_at(finding, "to"));
    json_decref(result);
    return g_string_free(text, FALSE);
}

static void expect_found(const char *expected)
{
    g_autofree char *text = found(NULL);
    ck_assert_str_eq(text, expected);
}

/* What is done to twelve records that were all drained, and what must be named. */
static const struct {
    const char *journal, *store, *expected;
} cases[] = {
    {NULL, NULL, ""},
    {"update entries set body = replace(body, '\"set\"', '\"put\"') where kind = 'audit' and id = '5'", NULL,
     "journal altered 5-5; "},
    {"update entries set id = '55' where kind = 'audit' and id = '5'", NULL, "journal altered 55-55; "},
    {"update entries set epoch = 131072 where kind = 'audit' and id = '5'", NULL, "journal altered 5-5; "},
    {"update entries set body = 'x' where kind = 'audit' and id = '5'", NULL,
     "journal altered 5-5; journal altered 5-5; "},
    {"update entries set body = replace(body, '\"hash\"', '\"hush\"') where kind = 'audit' and id = '5'", NULL,
     "journal altered 5-5; journal altered 5-5; "},
    {"delete from entries where kind = 'audit' and id = '5'", NULL, "journal missing 5-5; journal missing 5-5; "},
    {"delete from entries where kind = 'audit' and id in ('1', '2')", NULL,
     "journal missing 1-2; journal missing 1-2; "},
    {"delete from entries where kind = 'audit' and id in ('5', '6', '9')", NULL,
     "journal missing 5-6; journal missing 9-9; journal missing 5-6; journal missing 9-9; "},
    {"delete from entries where kind = 'audit' and id in ('11', '12')", NULL, "journal missing 11-12; "},
    {"update entries set seq = 1000 where kind = 'audit' and id = '5'", NULL, "journal out of order 6-6; "},
    {"insert into entries select 1000, epoch, kind, '13', null, body, at_us from entries where id = '12'", NULL,
     "journal altered 13-13; "},
    {"insert into entries select 1000, epoch, kind, id, null, body, at_us from entries where id = '5'", NULL,
     "journal inserted 5-5; "},
    {NULL, "update audit set body = replace(body, '\"set\"', '\"put\"') where id = '5'", "store altered 5-5; "},
    {"update entries set body = json_remove(body, '$.hash', '$.prev', '$.epoch') where kind = 'audit'", NULL,
     "journal altered 1-12; "},
    {"update entries set body = json_remove(body, '$.hash') where kind = 'audit' and cast(id as bigint) < 4", NULL,
     "journal altered 3-3; journal altered 1-3; "},
    {NULL, "update audit set body = replace(body, '\"hash\"', '\"hush\"')", "store altered 1-12; "},
    {NULL, "delete from audit where id in ('5', '6')", "store missing 5-6; "},
    {NULL, "delete from audit where id = '12'", ""},  /* it may have to come yet */
    {NULL, "update audit set epoch = epoch + 7", ""}, /* of another server */
};

START_TEST(what_was_done_is_named)
{
    int engine = _i % ENGINES, row = _i / ENGINES;
    if (engine > 0 && cases[row].store == NULL && row > 0) /* the same as on SQLite */
        return;
    begin(engine);
    write_records(1, 7);
    write_records(8, RECORDS); /* a restart */
    drain();
    if (cases[row].journal != NULL)
        in_journal(cases[row].journal);
    if (cases[row].store != NULL)
        in_store(cases[row].store);
    expect_found(cases[row].expected);
    end();
}
END_TEST

/* One who alters a record and makes its hash anew is betrayed by the next one. */
START_TEST(a_forged_hash_is_found)
{
    begin(0);
    write_records(1, RECORDS);
    sb_auto(db) db = db_open(path, NULL);
    sb_auto(db_rows) rows = db_query(db, "select body from entries where kind = 'audit' and id = '5'", NULL, 0, NULL);
    ck_assert(db_next(rows, NULL));
    json_t *record = json_loads(db_text(rows, 0), 0, NULL);
    json_object_set_new(record, "actor", json_string("nobody"));
    json_t *forged = audit_seal(record, (uint64_t)number_at(record, "epoch"), text_at(record, "prev"));
    char *text = json_dumps(forged, JSON_COMPACT);
    struct db_value value = DB_TEXT(text);
    ck_assert(db_run(db, "update entries set body = $1 where kind = 'audit' and id = '5'", &value, 1, NULL));
    expect_found("journal altered 5-5; ");
    free(text);
    json_decref(record);
    json_decref(forged);
    end();
}
END_TEST

/* Whoever has the records can check them: the recipe of the header, by hand. */
START_TEST(the_recipe_holds)
{
    begin(0);
    write_records(1, 2);
    g_autofree char *script = g_strdup_printf(
        "import sqlite3,json,hashlib\n"
        "prev=''\n"
        "for (body,) in sqlite3.connect('%s').execute(\"select body from entries where kind='audit' order by seq\"):\n"
        "  r=json.loads(body); h=r.pop('hash')\n"
        "  t=json.dumps(r,sort_keys=True,separators=(',',':'),ensure_ascii=False)\n"
        "  assert r['prev']==prev and hashlib.blake2b(t.encode(),digest_size=32).hexdigest()==h\n"
        "  prev=h\n"
        "assert prev\n",
        path);
    const char *argv[] = {"python3", "-c", script, NULL};
    int status = -1;
    ck_assert(
        g_spawn_sync(NULL, (char **)(uintptr_t)argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL, &status, NULL));
    ck_assert_int_eq(status, 0);
    end();
}
END_TEST

/* A journal from before there was a chain. */
START_TEST(old_records_are_counted)
{
    begin(0);
    write_records(1, 4);
    in_journal("update entries set body = json_remove(body, '$.hash', '$.prev', '$.epoch') where kind = 'audit'");
    write_records(5, 8);
    json_t *result = verified(NULL);
    ck_assert_int_eq(number_at(result, "records"), 8);
    ck_assert_int_eq(number_at(result, "unchained"), 4);
    json_decref(result);
    expect_found("");
    in_journal("delete from entries where kind = 'audit' and id = '3'");
    expect_found("journal missing 3-3; ");
    in_journal("delete from entries where kind = 'audit' and id = '4'");
    expect_found("journal missing 3-4; ");
    end();
}
END_TEST

START_TEST(a_noted_head_betrays_a_cut)
{
    begin(0);
    write_records(1, RECORDS);
    json_t *result = verified(NULL), *bad = NULL;
    g_autofree char *head = g_strdup(text_at(result, "head"));
    json_decref(result);
    write_records(13, 14);
    g_autofree char *whole = found(head);
    ck_assert_str_eq(whole, "");
    in_journal("delete from entries where kind = 'audit' and cast(id as bigint) > 10");
    g_autofree char *cut = found(head);
    ck_assert_str_eq(cut, "journal missing 12-12; ");
    write_records(11, 12); /* others */
    in_journal("update entries set body = replace(body, 'x', 'y')");
    g_autofree char *other = found(head);
    ck_assert_ptr_nonnull(strstr(other, "journal altered 12-12; "));
    sb_auto(audit_check) check = audit_check_new(0);
    g_autoptr(GError) error = NULL;
    ck_assert(!audit_check_end(check, "12:abc", &bad, &error));
    ck_assert_str_eq(error->message, "head: found \"12:abc\", expected NUMBER:HASH as it was shown");
    end();
}
END_TEST

/* ---- a server ---- */

static void move_levers(int n)
{
    for (int i = 0; i < n; i++)
        ck_assert_uint_eq(served_local(&served, "PUT", "/v1/controls/service.auto_dr/home", "*",
                                       i % 2 == 0 ? "{\"value\":\"on\"}" : "{\"value\":\"off\"}", NULL),
                          200);
}

static json_int_t last_number(void)
{
    json_t *audit = NULL;
    ck_assert_uint_eq(served_local(&served, "GET", "/v1/audit?limit=1", NULL, NULL, &audit), 200);
    json_int_t number = number_at(json_array_get(json_object_get(audit, "audit"), 0), "number");
    json_decref(audit);
    return number;
}

/* All of it is in the store, and whole. */
static void wait_whole(void)
{
    int64_t until_us = loop_now_us() + 30 * G_USEC_PER_SEC;
    for (json_int_t stored = -1; stored != last_number();) {
        json_t *result = NULL;
        ck_assert_int_lt(loop_now_us(), until_us);
        ck_assert_uint_eq(served_local(&served, "GET", "/v1/audit/verify", NULL, NULL, &result), 200);
        ck_assert_uint_eq(json_array_size(json_object_get(result, "findings")), 0);
        ck_assert_str_eq(text_at(result, "store_error"), "");
        stored = number_at(result, "stored");
        json_decref(result);
        poll(NULL, 0, 20);
    }
}

static void start_with_store(void)
{
    g_autofree char *flag = g_strdup_printf("--store=%s", store_url);
    served_start(&served, NULL, (const char *const[]){flag, NULL});
}

static void copy_state(const char *from, const char *to)
{
    static const char *const suffixes[] = {"", "-wal"};
    for (size_t i = 0; i < G_N_ELEMENTS(suffixes); i++) {
        g_autofree char *source = g_strdup_printf("%s/%s/journal.db%s", served.dir, from, suffixes[i]),
                        *target = g_strdup_printf("%s/%s/journal.db%s", served.dir, to, suffixes[i]), *bytes = NULL;
        gsize size = 0;
        unlink(target);
        if (g_file_get_contents(source, &bytes, &size, NULL))
            ck_assert(g_file_set_contents(target, bytes, (gssize)size, NULL));
    }
}

START_TEST(a_restored_journal_tells_what_is_missing)
{
    store_url = _i == 0 ? NULL : postgresd_fresh();
    served_new(&served);
    if (_i == 0)
        store_url = g_strdup_printf("%s/history.db", served.dir);
    start_with_store();
    served_apply_site(&served);
    move_levers(5);
    wait_whole();
    g_autofree char *backup = g_build_filename(served.dir, "backup", NULL);
    ck_assert_int_eq(g_mkdir_with_parents(backup, 0700), 0);
    ck_assert_int_eq(served_end(&served, SIGTERM), 0);
    copy_state("state", "backup");
    start_with_store();
    json_int_t kept = last_number();
    move_levers(6);
    wait_whole();
    json_int_t lost = last_number();
    ck_assert_int_gt(lost, kept + 1);
    g_autofree char *whole = g_strdup_printf("\nhead %lld:", (long long)lost);
    expect_run(SIGNALBOX_RUN("audit", "verify"), 0, whole, "");
    ck_assert_int_eq(served_end(&served, SIGKILL) & 0x7f, SIGKILL);
    copy_state("backup", "state");
    start_with_store();
    g_autofree char *missing =
        g_strdup_printf("! journal: missing %lld to %lld (of epoch ", (long long)kept + 1, (long long)lost);
    expect_run(SIGNALBOX_RUN("audit", "verify"), 1, missing, "");
    move_levers(2); /* numbers are used again; what is missing stays so */
    expect_run(SIGNALBOX_RUN("audit", "verify"), 1, missing, "");
    expect_run(SIGNALBOX_RUN("audit", "verify", "--head", "zzz"), 2, "", "head: found \"zzz\", expected NUMBER:HASH");
    expect_run(SIGNALBOX_RUN("audit"), 0, "NO ", "");
    served_clear(&served);
    g_free(store_url);
}
END_TEST

/* Who verifies hears it by the code, too, when there was nothing to compare with. */
START_TEST(without_the_store_nothing_is_proven)
{
    served_new(&served);
    store_url = g_strdup_printf("%s/no/such/folder/store.db", served.dir);
    start_with_store();
    expect_run(SIGNALBOX_RUN("audit", "verify"), 1, "the store cannot be read", "");
    served_clear(&served);
    g_free(store_url);
}
END_TEST

/* ---- one that is long ---- */

struct asked {
    pthread_t thread;
    unsigned status;
    json_t *answer;
    int done; /* a pipe; its own address goes in */
};

static void *ask_verify(void *data)
{
    struct asked *asked = data;
    asked->status = served_local(&served, "GET", "/v1/audit/verify", NULL, NULL, &asked->answer);
    ck_assert_int_eq(write(asked->done, &asked, sizeof asked), sizeof asked);
    return NULL;
}

/* The next of them that has its answer. */
static void expect_answer(int pipe, unsigned status, const char *detail)
{
    struct asked *asked;
    ck_assert_int_eq(read(pipe, &asked, sizeof asked), sizeof asked);
    pthread_join(asked->thread, NULL);
    ck_assert_msg(asked->status == status && strcmp(text_at(asked->answer, "detail"), detail) == 0, "%u %s, not %s",
                  asked->status, text_at(asked->answer, "detail"), detail);
    json_decref(asked->answer);
}

/* A server with a journal so long that to verify it takes some time. */
static void start_with_much(void)
{
    served_new(&served);
    store_url = g_strdup_printf("%s/no/such/folder/store.db", served.dir);
    snprintf(path, sizeof path, "%s/state/journal.db", served.dir);
    start_with_store();
    ck_assert_int_eq(served_end(&served, SIGTERM), 0);
    in_journal("with recursive n(i) as (select 1000000 union all select i + 1 from n where i < 1200000) "
               "insert into entries (seq, epoch, kind, id, body, at_us) "
               "select i, 65536, 'audit', cast(i as text), '{\"seq\":' || i || '}', 0 from n");
    start_with_store();
}

/* A second one is refused, others are read for meanwhile, and the server's end does not wait for it. */
START_TEST(a_long_verify_is_in_nobodys_way)
{
    struct asked asked[2] = {0};
    int ends[2];
    start_with_much();
    ck_assert_int_eq(pipe(ends), 0);
    for (int i = 0; i < 2; i++) {
        asked[i].done = ends[1];
        ck_assert_int_eq(pthread_create(&asked[i].thread, NULL, ask_verify, &asked[i]), 0);
    }
    expect_answer(ends[0], 503, "another verify is under way");
    ck_assert_uint_eq(served_local(&served, "GET", "/v1/audit?limit=1", NULL, NULL, NULL), 200);
    ck_assert_int_eq(served_end(&served, SIGTERM), 0);
    expect_answer(ends[0], 503, "the server is ending");
    close(ends[0]);
    close(ends[1]);
    served_clear(&served);
    g_free(store_url);
}
END_TEST

static void start_postgres(void)
{
    postgresd_start();
}

static void add(TCase *tcase)
{
    tcase_add_unchecked_fixture(tcase, start_postgres, postgresd_end);
    tcase_set_timeout(tcase, 200); /* sanitizers are slow */
    tcase_add_loop_test(tcase, what_was_done_is_named, 0, ENGINES * (int)G_N_ELEMENTS(cases));
    tcase_add_test(tcase, a_forged_hash_is_found);
    tcase_add_test(tcase, the_recipe_holds);
    tcase_add_test(tcase, old_records_are_counted);
    tcase_add_test(tcase, a_noted_head_betrays_a_cut);
    tcase_add_loop_test(tcase, a_restored_journal_tells_what_is_missing, 0, ENGINES);
    tcase_add_test(tcase, without_the_store_nothing_is_proven);
    tcase_add_test(tcase, a_long_verify_is_in_nobodys_way);
}

int main(void)
{
    return unit_run("audit", add);
}
