#include "server/store/journal.h"

#include "core/error.h"
#include "core/failpoint.h"
#include "server/store/audit_chain.h"
#include "server/store/db.h"
#include "server/store/migrations.h"

#include <string.h>

#define EMPTY_STEP 32 /* entries */

struct journal_file {
    struct journal journal;
    struct db *db;
    int64_t seq;                 /* of the last entry */
    int64_t emptied;             /* until which superseded bodies are gone */
    char audit[AUDIT_HASH_SIZE]; /* hash of the last record of the audit; "": none has one */
};

struct journal_reader {
    char *path;
    struct db *db;
    bool still; /* db does not see what is written from now on */
};

/* Of a query that gives one number always. */
static bool one_number(struct db *db, const char *sql, int64_t *number, GError **error)
{
    sb_auto(db_rows) row = NULL;
    if (!db_first(db, sql, NULL, 0, &row, error))
        return false;
    *number = db_int(row, 0);
    return true;
}

#define SQL_REIGNS "select coalesce(max(value), 0) from meta where name = 'reigns'"

static bool epoch_is_ours(struct journal_file *file, uint64_t epoch, GError **error)
{
    int64_t reigns = 0;
    if (!one_number(file->db, SQL_REIGNS, &reigns, error))
        return false;
    if (epoch == file->journal.epoch && (uint64_t)reigns == epoch >> 16)
        return true;
    g_set_error(error, SB_ERROR, SB_ERROR_STALE,
                "another server has begun a reign on this journal: found epoch %" G_GUINT64_FORMAT
                " of the writer, expected one of reign %" G_GINT64_FORMAT,
                epoch, reigns);
    return false;
}

/* 1: one of the keys is there already; 0: none; -1: failed. */
static int key_known(struct journal_file *file, const GPtrArray *entries, GError **error)
{
    for (guint i = 0; i < entries->len; i++) {
        const struct journal_entry *entry = entries->pdata[i];
        if (entry->key == NULL)
            continue;
        struct db_value key = DB_TEXT(entry->key);
        sb_auto(db_rows) row = NULL;
        if (!db_first(file->db, "select seq from entries where key = $1", &key, 1, &row, error))
            return -1;
        if (row != NULL)
            return 1;
    }
    return 0;
}

static bool is_audit(const struct journal_entry *entry)
{
    return strcmp(entry->kind, "audit") == 0;
}

/* Audit is history only: a restart needs the newest entry at most, and state would hold all of it for ever. Messages
 * are for those who read the entries. */
static bool has_state(const struct journal_entry *entry)
{
    return !is_audit(entry) && strcmp(entry->kind, "message") != 0;
}

/* Records of the audit are chained in the order of writing; a new reference. */
static json_t *body_to_write(struct journal_file *file, const struct journal_entry *entry)
{
    if (!is_audit(entry))
        return json_incref(entry->body);
    json_t *sealed = audit_seal(entry->body, file->journal.epoch, file->audit);
    g_strlcpy(file->audit, json_string_value(json_object_get(sealed, "hash")), sizeof file->audit);
    return sealed;
}

/* Events of an execution, "ID/SEQ": '0' comes after '/'; and its keys, which nobody will ask for again. The newest
 * generation stays, whosever it is. */
static bool end_execution(struct journal_file *file, const char *execution, GError **error)
{
    struct db_value values[] = {DB_TEXT(execution)};
    return db_run(file->db, "delete from state where kind = 'event' and id > $1 || '/' and id < $1 || '0'", values, 1,
                  error) &&
           db_run(file->db,
                  "delete from state where kind = 'generation' and key > $1 || '/' and key < $1 || '0' and "
                  "seq < (select max(seq) from state where kind = 'generation')",
                  values, 1, error);
}

/* A generation without a key counts until the next. */
static bool end_generation(struct journal_file *file, GError **error)
{
    return db_run(file->db, "delete from state where kind = 'generation' and key is null", NULL, 0, error);
}

static bool write_state(struct journal_file *file, const struct journal_entry *entry, int64_t seq, const char *body,
                        GError **error)
{
    bool generation = strcmp(entry->kind, "generation") == 0; /* its key may be of an entry before, of another epoch */
    const char *key = generation ? json_string_value(json_object_get(entry->body, "key")) : NULL;
    struct db_value values[] = {DB_TEXT(entry->kind), DB_TEXT(entry->id), DB_INT(seq), DB_TEXT(body), DB_TEXT(key)};
    if (json_is_null(entry->body))
        return db_run(file->db, "delete from state where kind = $1 and id = $2", values, 2, error) &&
               (strcmp(entry->kind, "execution") != 0 || end_execution(file, entry->id, error));
    if (generation && !end_generation(file, error))
        return false;
    return db_run(file->db,
                  "insert into state (kind, id, seq, body, key) values ($1, $2, $3, $4, $5) "
                  "on conflict (kind, id) do update set seq = excluded.seq, body = excluded.body, key = excluded.key",
                  values, 5, error);
}

/* Kinds of which only the newest body is asked for. */
#define SQL_PASSING "kind in ('execution', 'answer', 'token', 'past') and body <> 'null'"

/* Of what this entry supersedes, where empty_old has passed already. The last state of an execution is for the store.
 */
static bool empty_before(struct journal_file *file, const struct journal_entry *entry, GError **error)
{
    struct db_value values[] = {DB_TEXT(entry->kind), DB_TEXT(entry->id), DB_INT(file->emptied)};
    if (file->emptied == 0 || (json_is_null(entry->body) && strcmp(entry->kind, "execution") == 0))
        return true;
    return db_run(file->db,
                  "update entries set body = 'null' where kind = $1 and id = $2 and seq <= $3 and " SQL_PASSING, values,
                  3, error);
}

/* Keeps up with what is appended, in steps: a step costs a commit some milliseconds at most. Behind a restore numbers
 * have a gap (backup.h). */
static bool empty_old(struct journal_file *file, int64_t last, int64_t n, GError **error)
{
    int64_t old = last - JOURNAL_TAIL;
    if (old - file->emptied < EMPTY_STEP)
        return true;
    struct db_value values[] = {DB_INT(file->emptied), DB_INT(old), DB_INT(MAX(EMPTY_STEP, 2 * n))};
    sb_auto(db_rows) row = NULL;
    if (!db_first(file->db,
                  "select coalesce(max(seq), cast($2 as bigint)) from "
                  "(select seq from entries where seq > $1 and seq <= $2 order by seq limit $3) as step",
                  values, 3, &row, error))
        return false;
    file->emptied = db_int(row, 0);
    values[1] = DB_INT(file->emptied);
    return db_run(file->db,
                  "update entries set body = 'null' where seq > $1 and seq <= $2 and " SQL_PASSING
                  " and exists (select 1 from entries as newer where newer.kind = entries.kind and "
                  "newer.id = entries.id and newer.seq > entries.seq and "
                  "(newer.body <> 'null' or newer.kind <> 'execution'))",
                  values, 2, error) &&
           db_run(file->db,
                  "insert into meta (name, value) values ('emptied', $1) "
                  "on conflict (name) do update set value = excluded.value",
                  &values[1], 1, error);
}

static bool write_entry(struct journal_file *file, const struct journal_entry *entry, int64_t seq, int64_t wall_us,
                        GError **error)
{
    json_t *written = body_to_write(file, entry);
    char *body = json_dumps(written, JSON_COMPACT | JSON_ENCODE_ANY);
    json_decref(written);
    struct db_value values[] = {DB_INT(seq),          DB_INT((int64_t)file->journal.epoch),
                                DB_TEXT(entry->kind), DB_TEXT(entry->id),
                                DB_TEXT(entry->key),  DB_TEXT(body),
                                DB_INT(wall_us)};
    bool ok = db_run(file->db,
                     "insert into entries (seq, epoch, kind, id, key, body, at_us) "
                     "values ($1, $2, $3, $4, $5, $6, $7)",
                     values, G_N_ELEMENTS(values), error) &&
              (!has_state(entry) || (write_state(file, entry, seq, body, error) && empty_before(file, entry, error)));
    free(body);
    return ok;
}

static enum journal_result append_in_transaction(struct journal_file *file, uint64_t epoch, const GPtrArray *entries,
                                                 int64_t wall_us, GError **error)
{
    if (!epoch_is_ours(file, epoch, error))
        return JOURNAL_FAILED;
    int known = key_known(file, entries, error);
    if (known != 0)
        return known > 0 ? JOURNAL_REPEATED : JOURNAL_FAILED;
    for (guint i = 0; i < entries->len; i++)
        if (!write_entry(file, entries->pdata[i], file->seq + 1 + (int64_t)i, wall_us, error))
            return JOURNAL_FAILED;
    return empty_old(file, file->seq + entries->len, entries->len, error) && db_commit(file->db, error)
               ? JOURNAL_WRITTEN
               : JOURNAL_FAILED;
}

static enum journal_result file_append(struct journal *journal, uint64_t epoch, const GPtrArray *entries,
                                       int64_t wall_us, GError **error)
{
    struct journal_file *file = (struct journal_file *)journal;
    char audit[AUDIT_HASH_SIZE];
    int64_t emptied = file->emptied;
    if (!db_begin(file->db, error))
        return JOURNAL_FAILED;
    memcpy(audit, file->audit, sizeof audit);
    enum journal_result result = append_in_transaction(file, epoch, entries, wall_us, error);
    if (result == JOURNAL_WRITTEN) {
        file->seq += entries->len;
    } else {
        memcpy(file->audit, audit, sizeof audit);
        file->emptied = emptied;
        db_rollback(file->db);
    }
    return result;
}

static bool replay_rows(struct journal_file *file, const char *sql, journal_entry_fn fn, void *data, GError **error)
{
    GError *failure = NULL;
    sb_auto(db_rows) rows = db_query(file->db, sql, NULL, 0, error);
    if (rows == NULL)
        return false;
    while (failure == NULL && db_next(rows, &failure)) {
        json_error_t at;
        json_t *body = json_loads(db_text(rows, 2), JSON_DECODE_ANY, &at);
        if (body == NULL) {
            g_set_error(&failure, SB_ERROR, SB_ERROR_IO, "journal: state of %s %s is not JSON: %s", db_text(rows, 0),
                        db_text(rows, 1), at.text);
            break;
        }
        struct journal_entry *entry = journal_entry_new(db_text(rows, 0), db_text(rows, 1), NULL, body);
        fn(data, entry, &failure);
        journal_entry_free(entry);
    }
    if (failure != NULL)
        g_propagate_error(error, failure);
    return failure == NULL;
}

static bool file_replay(struct journal *journal, journal_entry_fn fn, void *data, GError **error)
{
    struct journal_file *file = (struct journal_file *)journal;
    return replay_rows(file, "select kind, id, body from state order by seq", fn, data, error) &&
           replay_rows(file, "select kind, id, body from entries where kind = 'audit' order by seq desc limit 1", fn,
                       data, error);
}

static void file_close(struct journal *journal)
{
    struct journal_file *file = (struct journal_file *)journal;
    db_close(file->db);
    g_free(file);
}

static bool file_reigns(struct journal *journal, GError **error)
{
    return epoch_is_ours((struct journal_file *)journal, journal->epoch, error);
}

static const struct journal_ops file_ops = {file_append, file_replay, file_reigns, file_close};

static enum journal_result refuse_append(struct journal *journal, uint64_t epoch, const GPtrArray *entries,
                                         int64_t wall_us, GError **error)
{
    (void)journal, (void)epoch, (void)entries, (void)wall_us;
    g_set_error(error, SB_ERROR, SB_ERROR_UNAVAILABLE, "the journal is open for reading only");
    return JOURNAL_FAILED;
}

static bool reigns_never(struct journal *journal, GError **error)
{
    return refuse_append(journal, 0, NULL, 0, error) == JOURNAL_WRITTEN;
}

static const struct journal_ops reading_ops = {refuse_append, file_replay, reigns_never, file_close};

static bool find_audit(struct journal_file *file, GError **error)
{
    sb_auto(db_rows) row = NULL;
    if (!db_first(file->db, "select body from entries where kind = 'audit' order by seq desc limit 1", NULL, 0, &row,
                  error))
        return false;
    if (row != NULL) {
        json_t *record = json_loads(db_text(row, 0), 0, NULL);
        const char *hash = json_string_value(json_object_get(record, "hash"));
        g_strlcpy(file->audit, hash != NULL ? hash : "", sizeof file->audit);
        json_decref(record);
    }
    return true;
}

static bool begin_reign(struct journal_file *file, unsigned node, GError **error)
{
    int64_t reigns = 0;
    FAIL_POINT(BEFORE_REIGN, "");
    if (!db_begin(file->db, error))
        return false;
    if (one_number(file->db, SQL_REIGNS, &reigns, error)) {
        struct db_value next = DB_INT(reigns + 1);
        file->journal.epoch = (uint64_t)(reigns + 1) << 16 | node;
        if (db_run(file->db,
                   "insert into meta (name, value) values ('reigns', $1) "
                   "on conflict (name) do update set value = excluded.value",
                   &next, 1, error) &&
            one_number(file->db, "select coalesce(max(seq), 0) from entries", &file->seq, error) &&
            one_number(file->db, "select coalesce(max(value), 0) from meta where name = 'emptied'", &file->emptied,
                       error) &&
            find_audit(file, error) && db_commit(file->db, error)) {
            FAIL_POINT(AFTER_REIGN, "");
            return true;
        }
    }
    db_rollback(file->db);
    return false;
}

struct journal *journal_open(const char *path, unsigned node, GError **error)
{
    g_assert(node <= 0xffff);
    struct journal_file *file = g_new0(struct journal_file, 1);
    file->journal.ops = &file_ops;
    file->db = db_open(path, error);
    if (file->db != NULL && db_exec(file->db, "pragma wal_checkpoint(truncate)", error) &&
        db_migrate(file->db, journal_migrations, error) && begin_reign(file, node, error))
        return &file->journal;
    g_prefix_error(error, "journal %s: ", path);
    file_close(&file->journal);
    return NULL;
}

struct journal *journal_open_reading(const char *path, GError **error)
{
    struct journal_file *file = g_new0(struct journal_file, 1);
    file->journal.ops = &reading_ops;
    file->db = db_open_reading(path, NULL, error);
    if (file->db != NULL)
        return &file->journal;
    g_prefix_error(error, "journal %s: ", path);
    file_close(&file->journal);
    return NULL;
}

void journal_close(struct journal *journal)
{
    if (journal != NULL)
        journal->ops->close(journal);
}

struct journal_reader *journal_reader_open(const char *path, GError **error)
{
    struct journal_reader *reader = g_new0(struct journal_reader, 1);
    reader->path = g_strdup(path);
    reader->db = db_open_reading(path, &reader->still, error);
    if (reader->db != NULL)
        return reader;
    journal_reader_close(reader);
    return NULL;
}

/* NULL with *error: it cannot be read now. */
static struct db *reader_db(struct journal_reader *reader, GError **error)
{
    if (reader->db == NULL || reader->still) {
        db_close(reader->db);
        reader->db = db_open_reading(reader->path, &reader->still, error);
    }
    return reader->db;
}

void journal_reader_close(struct journal_reader *reader)
{
    if (reader == NULL)
        return;
    db_close(reader->db);
    g_free(reader->path);
    g_free(reader);
}

json_t *journal_row_body(const struct journal_row *row, GError **error)
{
    json_t *body = json_loads(row->body, JSON_DECODE_ANY, NULL);
    if (body == NULL)
        g_set_error(error, SB_ERROR, SB_ERROR_IO, "journal: %s entry %" G_GUINT64_FORMAT " is not JSON", row->kind,
                    row->seq);
    return body;
}

bool journal_rows(struct db_rows *rows, journal_row_fn fn, void *data, GError **error)
{
    GError *failure = NULL;
    if (rows == NULL)
        return false;
    while (failure == NULL && db_next(rows, &failure)) {
        struct journal_row row = {
            .seq = (uint64_t)db_int(rows, 0),
            .epoch = (uint64_t)db_int(rows, 1),
            .kind = db_text(rows, 2),
            .id = db_text(rows, 3),
            .body = db_text(rows, 4),
            .at_us = db_int(rows, 5),
        };
        if (!fn(data, &row, &failure))
            break;
    }
    db_rows_free(rows);
    if (failure != NULL)
        g_propagate_error(error, failure);
    return failure == NULL;
}

#define SQL_ROW "select seq, epoch, kind, id, body, at_us from entries "

bool journal_read_after(struct journal_reader *reader, const char *kind, uint64_t after, unsigned limit,
                        journal_row_fn fn, void *data, GError **error)
{
    struct db_value values[] = {DB_INT((int64_t)after), DB_INT(limit), DB_TEXT(kind)};
    const char *sql = kind == NULL ? SQL_ROW "where seq > $1 order by seq limit $2"
                                   : SQL_ROW "where kind = $3 and seq > $1 order by seq limit $2";
    struct db *db = reader_db(reader, error);
    return db != NULL && journal_rows(db_query(db, sql, values, kind == NULL ? 2 : 3, error), fn, data, error);
}

bool journal_read_before(struct journal_reader *reader, const char *kind, int64_t before, unsigned limit,
                         journal_row_fn fn, void *data, GError **error)
{
    struct db_value values[] = {DB_INT(limit), DB_INT(before), DB_TEXT(kind)};
    const char *sql =
        kind == NULL ? SQL_ROW
            "where seq in (select seq from entries where seq < $2 order by seq desc limit $1) order by seq"
                     : SQL_ROW "where seq in (select seq from entries where kind = $3 and seq < $2 "
                               "order by seq desc limit $1) order by seq";
    struct db *db = reader_db(reader, error);
    return db != NULL && journal_rows(db_query(db, sql, values, kind == NULL ? 2 : 3, error), fn, data, error);
}

/* A restart writes its generation again, under its epoch: of one generation the first entry counts. */
bool journal_read_generation(struct journal_reader *reader, uint64_t generation, int64_t wall_us, journal_row_fn fn,
                             void *data, GError **error)
{
    g_autofree char *id = g_strdup_printf("%" G_GUINT64_FORMAT, generation);
    struct db_value by_id = DB_TEXT(id), by_time = DB_INT(wall_us);
    struct db *db = reader_db(reader, error);
    return db != NULL &&
           journal_rows(generation > 0
                            ? db_query(db, SQL_ROW "where kind = 'generation' and id = $1 order by seq limit 1", &by_id,
                                       1, error)
                            : db_query(db,
                                       SQL_ROW
                                       "where seq = (select min(seq) from entries where kind = 'generation' and id = "
                                       "(select id from entries where kind = 'generation' and at_us <= $1 "
                                       "order by seq desc limit 1))",
                                       &by_time, 1, error),
                        fn, data, error);
}

bool journal_read_world(struct journal_reader *reader, uint64_t seq, journal_row_fn fn, void *data, GError **error)
{
    struct db_value until = DB_INT((int64_t)seq);
    struct db *db = reader_db(reader, error);
    return db != NULL && journal_rows(db_query(db,
                                               SQL_ROW "where seq in (select max(seq) from entries where kind in "
                                                       "('object', 'plan', 'control') and seq <= $1 group by kind, id) "
                                                       "order by seq",
                                               &until, 1, error),
                                      fn, data, error);
}
