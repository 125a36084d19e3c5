#include "server/store/backup.h"

#include "core/error.h"
#include "core/fileio.h"
#include "core/loop.h"
#include "server/interlocking/execution.h"
#include "server/store/db.h"
#include "server/store/journal.h"
#include "server/store/lease.h"
#include "server/store/migrations.h"

#include <fcntl.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* What a server can use up in a second, generously. */
#define REIGNS_A_SECOND 16
#define ENTRIES_A_SECOND 1000 /* and generations */
#define BURST (1 << 24)       /* of both, beyond that: one change may be of a hundred thousand objects */

void backup_note_clear(struct backup_note *note)
{
    g_clear_pointer(&note->replaced, g_free);
    g_clear_pointer(&note->webhooks, g_free);
}

static bool io_error(const char *what, const char *path, GError **error)
{
    g_set_error(error, SB_ERROR, SB_ERROR_IO, "%s %s: %s", what, path, g_strerror(errno));
    return false;
}

/* ---- numbers ---- */

struct numbers {
    int64_t reigns, epoch, generation, seq, made_us; /* made_us 0: it is no backup */
};

static bool read_numbers(struct db *db, struct numbers *out, GError **error)
{
    sb_auto(db_rows) row = NULL;
    if (!db_first(db,
                  "select (select coalesce(max(value), 0) from meta where name = 'reigns'), "
                  "(select epoch from entries order by seq desc limit 1), "
                  "(select coalesce(max(cast(id as bigint)), 0) from state where kind = 'generation'), "
                  "(select max(seq) from entries), (select value from meta where name = 'made_us')",
                  NULL, 0, &row, error))
        return false;
    *out = (struct numbers){db_int(row, 0), db_int(row, 1), db_int(row, 2), db_int(row, 3), db_int(row, 4)};
    return true;
}

static void note_numbers(struct backup_note *note, const struct numbers *numbers)
{
    note->made_us = numbers->made_us;
    note->epoch = (uint64_t)numbers->epoch;
    note->generation = (uint64_t)numbers->generation;
}

/* What stands for the state of the backup: above all that was used since, here or by who has forgotten it. */
static struct numbers numbers_above(const struct numbers *backup, const struct numbers *replaced, int64_t now_us)
{
    int64_t seconds = (now_us - backup->made_us) / G_USEC_PER_SEC + 1;
    struct numbers out = {
        .reigns = MAX(backup->reigns + REIGNS_A_SECOND * seconds, replaced->reigns + 1),
        .generation = MAX(backup->generation + BURST + ENTRIES_A_SECOND * seconds, replaced->generation + 1),
        .seq = MAX(backup->seq + BURST + ENTRIES_A_SECOND * seconds, replaced->seq + 1),
        .made_us = backup->made_us,
    };
    out.epoch = out.reigns << 16 | (backup->epoch & 0xffff); /* of the same server */
    return out;
}

/* ---- copying ---- */

/* Of what can be read at `path`, to the end; `to` is made, mode 0600. */
static bool copy(const char *path, const char *to, GError **error)
{
    sb_auto(db) db = db_open_reading(path, NULL, error);
    struct db_value name = DB_TEXT(to);
    if (db == NULL)
        return false;
    int fd = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600); /* SQLite would make it for all to read */
    if (fd < 0)
        return io_error("cannot make", to, error);
    close(fd);
    return db_run(db, "vacuum into $1", &name, 1, error);
}

static bool sync_folder(const char *folder, GError **error)
{
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = (fd >= 0 && fsync(fd) == 0) || io_error("cannot sync", folder, error);
    if (fd >= 0)
        close(fd);
    return ok;
}

static bool check_sound(struct db *db, const char *file, GError **error)
{
    sb_auto(db_rows) row = NULL;
    if (!db_first(db, "pragma quick_check(1)", NULL, 0, &row, error))
        return false;
    const char *found = row != NULL ? db_text(row, 0) : "nothing";
    if (strcmp(found, "ok") == 0)
        return true;
    g_set_error(error, SB_ERROR, SB_ERROR_IO, "%s: the check found %s, expected ok", file, found);
    return false;
}

/* One file by itself, checked and durable: all is in it, and nobody needs its log, which others may lose. A checkpoint
 * at the close of the database would pass over its errors. */
static bool settle(struct db *db, const char *file, GError **error)
{
    g_autofree char *log = g_strconcat(file, "-wal", NULL);
    if (!check_sound(db, file, error) ||
        !db_exec(db, "pragma wal_checkpoint(truncate); pragma journal_mode=delete", error))
        return false;
    if (access(log, F_OK) != 0)
        return true;
    g_set_error(error, SB_ERROR, SB_ERROR_IO, "%s: found a log, expected all of it in %s", log, file);
    return false;
}

static bool settle_file(const char *file, GError **error)
{
    sb_auto(db) db = db_open(file, error);
    return db != NULL && settle(db, file, error);
}

/* ---- places of webhooks ---- */

/* It was made by who called; the server may be another. */
static bool give_to_owner(const char *state_dir, const char *file, GError **error)
{
    struct stat folder;
    if (stat(state_dir, &folder) != 0 || (geteuid() == 0 && chown(file, folder.st_uid, folder.st_gid) != 0))
        return io_error("cannot give to the owner of its folder", file, error);
    return true;
}

static bool has_places(struct db *db, bool *has, GError **error)
{
    sb_auto(db_rows) row = NULL;
    if (!db_first(db, "select count(*) from sqlite_master where type = 'table' and name = 'webhooks'", NULL, 0, &row,
                  error))
        return false;
    *has = db_int(row, 0) > 0;
    return true;
}

/* Those of `from`, and no others. */
static bool copy_places(struct db *from, struct db *to, GError **error)
{
    GError *failure = NULL;
    sb_auto(db_rows) rows =
        db_query(from, "select name, seq, attempts, failing_us, next_us, disabled, why from webhooks", NULL, 0, error);
    if (rows == NULL || !db_run(to, "delete from webhooks", NULL, 0, error))
        return false;
    while (db_next(rows, &failure)) {
        const struct db_value place[] = {DB_TEXT(db_text(rows, 0)), DB_INT(db_int(rows, 1)), DB_INT(db_int(rows, 2)),
                                         DB_INT(db_int(rows, 3)),   DB_INT(db_int(rows, 4)), DB_INT(db_int(rows, 5)),
                                         DB_TEXT(db_text(rows, 6))};
        if (!db_run(to,
                    "insert into webhooks (name, seq, attempts, failing_us, next_us, disabled, why) "
                    "values ($1, $2, $3, $4, $5, $6, $7)",
                    place, G_N_ELEMENTS(place), error))
            return false;
    }
    if (failure != NULL)
        g_propagate_error(error, failure);
    return failure == NULL;
}

/* Into the backup; where nobody was told anything there is no file, or no table in it. */
static bool take_places(const char *state_dir, struct db *backup, GError **error)
{
    bool has = false;
    g_autofree char *path = g_build_filename(state_dir, WEBHOOKS_FILE, NULL);
    if (access(path, F_OK) != 0)
        return true;
    sb_auto(db) told = db_open_reading(path, NULL, error);
    if (told == NULL || !has_places(told, &has, error))
        return false;
    return !has ||
           (db_exec(backup, "create table webhooks (name, seq, attempts, failing_us, next_us, disabled, why)", error) &&
            copy_places(told, backup, error));
}

/* Out of the backup that is to be the journal, into *told, which the caller commits when it is. *told NULL: it holds
 * none. */
static bool give_places(const char *state_dir, const char *fresh, struct db **told, GError **error)
{
    bool has = false;
    g_autofree char *path = g_build_filename(state_dir, WEBHOOKS_FILE, NULL);
    sb_auto(db) backup = db_open(fresh, error);
    if (backup == NULL || !has_places(backup, &has, error))
        return false;
    if (!has)
        return true;
    if ((*told = db_open(path, error)) != NULL && db_migrate(*told, webhooks_migrations, error) &&
        db_begin(*told, error) && copy_places(backup, *told, error))
        return db_exec(backup, "drop table webhooks", error);
    g_prefix_error(error, "%s, which may be removed: ", path);
    return false;
}

/* Ends what give_places began; `keep`: the journal is in its place. What fails then does not undo that: it is noted. */
static void end_places(const char *state_dir, struct db *told, bool keep, struct backup_note *note)
{
    g_autofree char *path = g_build_filename(state_dir, WEBHOOKS_FILE, NULL);
    g_autoptr(GError) error = NULL;
    if (told == NULL)
        return;
    bool kept = keep && db_commit(told, &error);
    db_rollback(told);
    db_close(told); /* takes its log in: there is one file to give away */
    if (keep && !(kept && give_to_owner(state_dir, path, &error)))
        note->webhooks = g_strdup_printf("%s: %s", path, error->message);
}

static bool finish_backup(const char *state_dir, const char *file, int64_t made_us, struct numbers *numbers,
                          GError **error)
{
    sb_auto(db) db = db_open(file, error);
    struct db_value made = DB_INT(made_us);
    g_autofree char *folder = g_path_get_dirname(file);
    return db != NULL &&
           db_run(db,
                  "insert into meta (name, value) values ('made_us', $1) "
                  "on conflict (name) do update set value = excluded.value",
                  &made, 1, error) &&
           take_places(state_dir, db, error) && settle(db, file, error) && read_numbers(db, numbers, error) &&
           sync_folder(folder, error);
}

static void remove_copy(const char *file)
{
    static const char *const suffixes[] = {"", "-wal", "-shm", "-journal"};
    for (size_t i = 0; i < G_N_ELEMENTS(suffixes); i++) {
        g_autofree char *path = g_strconcat(file, suffixes[i], NULL);
        unlink(path);
    }
}

bool backup_make(const char *state_dir, const char *file, struct backup_note *note, GError **error)
{
    g_autofree char *journal = g_build_filename(state_dir, "journal.db", NULL);
    struct numbers numbers = {0};
    int64_t made_us = wall_now_us(); /* what is done while it is copied is not in it */
    *note = (struct backup_note){0};
    if (access(file, F_OK) == 0) {
        g_set_error(error, SB_ERROR, SB_ERROR_CONFLICT, "%s: found a file, expected a name that is free", file);
        return false;
    }
    if (!copy(journal, file, error) || !finish_backup(state_dir, file, made_us, &numbers, error)) {
        remove_copy(file);
        return false;
    }
    note_numbers(note, &numbers);
    return true;
}

/* ---- putting back ---- */

/* The generation that the backup was in, under a number that nobody had. Agents and the outbox know it by "restored".
 */
static bool renumber(struct db *db, const struct numbers *n, int64_t now_us, GError **error)
{
    g_autofree char *id = g_strdup_printf("%" G_GINT64_FORMAT, n->generation);
    json_t *json = json_pack("{s:I, s:I, s:s, s:I, s:b}", "generation", (json_int_t)n->generation, "epoch",
                             (json_int_t)n->epoch, "cause", "", "at_us", (json_int_t)now_us, "restored", true);
    char *body = json_dumps(json, JSON_COMPACT);
    struct db_value entry[] = {DB_INT(n->seq), DB_INT(n->epoch), DB_TEXT(id), DB_TEXT(body), DB_INT(now_us)};
    struct db_value state[] = {DB_TEXT(id), DB_INT(n->seq), DB_TEXT(body)}, reigns = DB_INT(n->reigns);
    bool ok = db_run(db,
                     "insert into entries (seq, epoch, kind, id, body, at_us) "
                     "values ($1, $2, 'generation', $3, $4, $5)",
                     entry, G_N_ELEMENTS(entry), error) &&
              db_run(db, "delete from state where kind = 'generation' and key is null", NULL, 0, error) &&
              db_run(db, "insert into state (kind, id, seq, body) values ('generation', $1, $2, $3)", state,
                     G_N_ELEMENTS(state), error) &&
              db_run(db, "update meta set value = $1 where name = 'reigns'", &reigns, 1, error) &&
              db_run(db, "delete from meta where name = 'made_us'", NULL, 0, error);
    free(body);
    json_decref(json);
    return ok;
}

static char *time_text(int64_t us)
{
    g_autoptr(GDateTime) time = g_date_time_new_from_unix_utc(us / G_USEC_PER_SEC);
    return time != NULL ? g_date_time_format(time, "%Y-%m-%d %H:%M:%S UTC") : g_strdup("?");
}

static bool renumber_copy(const char *path, const struct numbers *replaced, struct numbers *numbers, char **cause,
                          GError **error)
{
    struct numbers backup = {0};
    int64_t now_us = wall_now_us();
    sb_auto(db) db = db_open(path, error);
    if (db == NULL || !read_numbers(db, &backup, error))
        return false;
    g_autofree char *made = time_text(backup.made_us), *now = time_text(now_us);
    if (backup.made_us == 0 || now_us < backup.made_us) {
        g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "found %s, expected %s", backup.made_us == 0 ? "a journal" : now,
                    backup.made_us == 0 ? "what `signalbox backup` made" : made);
        if (backup.made_us != 0)
            g_prefix_error(error, "the clock is behind the time of the backup: ");
        return false;
    }
    *numbers = numbers_above(&backup, replaced, now_us);
    *cause = g_strdup_printf("restored from the backup of %s", made);
    if (db_migrate(db, journal_migrations, error) && db_begin(db, error) && renumber(db, numbers, now_us, error) &&
        db_commit(db, error))
        return true;
    db_rollback(db);
    return false;
}

/* ---- what was under way ---- */

struct ending {
    GPtrArray *entries;
    const char *cause;
    int64_t now_us;
    uint64_t audit; /* number of the newest record */
};

static bool is_under_way(const json_t *execution)
{
    static const enum execution_state states[] = {EXECUTION_PENDING, EXECUTION_RUNNING, EXECUTION_ABORTING};
    const char *state = json_string_value(json_object_get(execution, "state"));
    for (size_t i = 0; i < G_N_ELEMENTS(states) && state != NULL; i++)
        if (strcmp(state, execution_state_name(states[i])) == 0)
            return true;
    return false;
}

static bool take_state(void *data, const struct journal_entry *entry, GError **error)
{
    struct ending *ending = data;
    (void)error;
    if (strcmp(entry->kind, "audit") == 0)
        ending->audit = (uint64_t)json_integer_value(json_object_get(entry->body, "seq"));
    if (strcmp(entry->kind, "execution") != 0 || !is_under_way(entry->body))
        return true;
    json_t *body = json_copy(entry->body);
    json_object_set_new(body, "state", json_string(execution_state_name(EXECUTION_FAILED)));
    json_object_set_new(body, "error", json_sprintf("%s: how it went on is not known", ending->cause));
    json_object_set_new(body, "ended_us", json_integer(ending->now_us));
    entries_add(ending->entries, "execution", entry->id, NULL, body);
    return true;
}

/* Under a reign of its own, as any other change. */
static bool end_under_way(const char *path, const struct numbers *numbers, const char *cause, struct backup_note *note,
                          GError **error)
{
    g_autoptr(GPtrArray) entries = entries_new();
    g_autofree char *actor = g_strdup_printf("uid:%u", (unsigned)getuid());
    struct ending ending = {entries, cause, wall_now_us(), 0};
    sb_auto(journal) journal = journal_open(path, (unsigned)(numbers->epoch & 0xffff), error);
    if (journal == NULL || !journal->ops->replay(journal, take_state, &ending, error))
        return false;
    note_numbers(note, numbers);
    note->epoch = journal->epoch;
    note->ended = entries->len;
    struct audit audit = {.actor = actor, .what = cause, .object = "journal", .generation = note->generation};
    entries_add_audit(entries, &audit, ending.audit + 1, ending.now_us);
    return journal->ops->append(journal, journal->epoch, entries, ending.now_us, error) == JOURNAL_WRITTEN;
}

/* ---- the place ---- */

/* What cannot be read has used nothing that is known: time alone counts then. */
static struct numbers numbers_of(const char *journal)
{
    struct numbers numbers = {0};
    sb_auto(db) db = access(journal, F_OK) == 0 ? db_open_reading(journal, NULL, NULL) : NULL;
    if (db == NULL || !read_numbers(db, &numbers, NULL))
        return (struct numbers){0};
    return numbers;
}

/* What SQLite keeps beside a journal and would lay over another one that gets its name. */
static const char *const logs[] = {"-wal", "-journal"};

static bool move_logs(const char *from, const char *to)
{
    for (size_t i = 0; i < G_N_ELEMENTS(logs); i++) {
        g_autofree char *log = g_strconcat(from, logs[i], NULL), *moved = g_strconcat(to, logs[i], NULL);
        if (rename(log, moved) != 0 && errno != ENOENT)
            return false;
    }
    return true;
}

/* The journal under another name, too; with its log taken in, if that can be done. */
static bool keep_journal(const char *journal, const char *kept, GError **error)
{
    struct db *db = db_open(journal, NULL);
    if (db != NULL)
        db_exec(db, "pragma wal_checkpoint(truncate)", NULL);
    db_close(db);
    return link(journal, kept) == 0 || io_error("cannot keep the journal that is there as", kept, error);
}

static void put_back(const char *journal, const char *kept, bool was_there)
{
    if (!was_there) {
        unlink(journal);
    } else {
        rename(kept, journal);
        unlink(kept); /* of two names of one file rename leaves both */
    }
    move_logs(kept, journal);
}

/* What is there gets another name, with its log, which may be there alone. */
static bool take_place(const char *state_dir, const char *fresh, const char *journal, struct backup_note *note,
                       GError **error)
{
    g_autofree char *name = g_strdup_printf("journal-%" G_GINT64_FORMAT ".db", wall_now_us()),
                    *kept = g_build_filename(state_dir, name, NULL), *index = g_strconcat(journal, "-shm", NULL);
    bool was_there = access(journal, F_OK) == 0;
    if (was_there && !keep_journal(journal, kept, error))
        return false;
    bool ok = move_logs(journal, kept) || io_error("cannot keep the journal's log beside", kept, error);
    if (ok)
        unlink(index);
    ok = ok && (rename(fresh, journal) == 0 || io_error("cannot rename to", journal, error)) &&
         sync_folder(state_dir, error);
    if (!ok)
        put_back(journal, kept, was_there);
    else if (was_there)
        note->replaced = g_steal_pointer(&name);
    return ok;
}

static bool replace(const char *state_dir, const char *file, struct backup_note *note, GError **error)
{
    g_autofree char *fresh = g_build_filename(state_dir, "restore.db", NULL),
                    *journal = g_build_filename(state_dir, "journal.db", NULL), *cause = NULL;
    struct numbers replaced = numbers_of(journal), numbers = {0};
    remove_copy(fresh);
    bool readable = copy(file, fresh, error) && renumber_copy(fresh, &replaced, &numbers, &cause, error);
    if (!readable)
        g_prefix_error(error, "%s cannot be restored: ", file);
    struct db *told = NULL;
    bool ok = readable && end_under_way(fresh, &numbers, cause, note, error) &&
              give_places(state_dir, fresh, &told, error) && settle_file(fresh, error) &&
              give_to_owner(state_dir, fresh, error) && take_place(state_dir, fresh, journal, note, error);
    end_places(state_dir, told, ok, note);
    if (!ok)
        remove_copy(fresh);
    return ok;
}

bool backup_restore(const char *state_dir, const char *file, struct backup_note *note, GError **error)
{
    g_autofree char *lock = g_build_filename(state_dir, "lock", NULL); /* made by the lease, if there was none */
    *note = (struct backup_note){0};
    if (!file_mkdir(state_dir, 0700, error))
        return false;
    struct lease *lease = lease_open_folder(state_dir, error);
    bool ok = lease != NULL && give_to_owner(state_dir, lock, error) && replace(state_dir, file, note, error);
    lease_close(lease);
    return ok;
}
