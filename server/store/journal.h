/* journal.h: the commit point. What journal_append has accepted is durable and survives anything but the disk.
 *
 * The engine decides what is written (server/interlocking/journal_entry.h), the journal only writes. A reign begins
 * when a journal is opened: its epoch is counter x 65536 + node, the counter one more than that of any reign before,
 * and it is durable before the journal is given to anybody. An append under another epoch is refused.
 *
 * `struct journal` is an interface, so that a replicated journal fits; journal_open gives the local one: a SQLite file
 * with write-ahead log and synchronous=FULL. After a failed append nothing is known about the disk any more: the
 * process must end and restore (fsync is never tried again). Opening writes anew what the log holds: after a failed
 * fsync it may be in the kernel's memory only, and look sound.
 *
 * What is kept: the newest state of each thing, all that a start reads, so that one takes as long behind a million
 * entries as behind a hundred; and every entry, for the store, for who reads events, and for worlds and records of old.
 * Of executions, answers, tokens and `past`, which are most of the bytes, nobody asks for what was superseded: when it
 * is JOURNAL_TAIL entries old its body becomes null, a few entries at a time, in the transaction of an append. The line
 * stays, so that who reads on from it finds his place. The last state of an execution keeps its body: a store that has
 * been away, or is new, is given it.
 *
 * Records of kind "audit", objects, are chained as they are written (audit_chain.h).
 *
 * Thread safety: a journal belongs to one thread at a time. A reader has its own connection and may be used beside
 * it, by one thread at a time.
 */
#ifndef STORE_JOURNAL_H
#define STORE_JOURNAL_H

#include "core/auto.h"
#include "server/interlocking/journal_entry.h"
#include <stdbool.h>
#include <stdint.h>

#define JOURNAL_TAIL 10000 /* newest entries, which are whole */

enum journal_result {
    JOURNAL_WRITTEN,  /* durable */
    JOURNAL_REPEATED, /* an entry's key is there already: nothing was written; end and restore */
    JOURNAL_FAILED,   /* *error is set; SB_ERROR_STALE: another reign has begun */
};
/* False with *error ends the walk. */
typedef bool (*journal_entry_fn)(void *data, const struct journal_entry *entry, GError **error);

struct journal;
struct journal_ops {
    /* All of `entries` (struct journal_entry *) in one transaction. wall_us: for people. */
    enum journal_result (*append)(struct journal *journal, uint64_t epoch, const GPtrArray *entries, int64_t wall_us,
                                  GError **error);
    /* The newest state of each (kind, id), in the order of writing; of kind "audit", which has no
     * state, the last entry at the end. */
    bool (*replay)(struct journal *journal, journal_entry_fn fn, void *data, GError **error);
    /* Is this reign still the newest? SB_ERROR_STALE: another has begun. */
    bool (*reigns)(struct journal *journal, GError **error);
    void (*close)(struct journal *journal);
};
struct journal {
    const struct journal_ops *ops;
    uint64_t epoch; /* of the reign that its opening began; 0: opened for reading */
};

/* Opens or makes the file and begins a reign. node: 0..65535, this server's number. */
struct journal *journal_open(const char *path, unsigned node, GError **error);
/* Opens what is there without writing anything, for a disk that cannot be written: no reign begins and append is
 * refused with SB_ERROR_UNAVAILABLE. */
struct journal *journal_open_reading(const char *path, GError **error);
void journal_close(struct journal *journal); /* NULL is allowed */
SB_AUTO_DEFINE(journal, journal_close)

/* Reading beside the writer: history in the order of writing. */
struct journal_row {
    uint64_t seq, epoch;
    const char *kind, *id, *body; /* body: JSON text */
    int64_t at_us;                /* wall clock */
};
typedef bool (*journal_row_fn)(void *data, const struct journal_row *row, GError **error);
/* The body, a new reference. SB_ERROR_IO, which names the entry, when it is not JSON. */
json_t *journal_row_body(const struct journal_row *row, GError **error);
/* Calls fn for each row of (seq, epoch, kind, id, body, at_us). Takes rows; NULL, with *error set by the query, is
 * passed on as failure. False of fn without an error ends the walk well. */
struct db_rows;
bool journal_rows(struct db_rows *rows, journal_row_fn fn, void *data, GError **error);

struct journal_reader;
struct journal_reader *journal_reader_open(const char *path, GError **error);
void journal_reader_close(struct journal_reader *reader); /* NULL is allowed */
SB_AUTO_DEFINE(journal_reader, journal_reader_close)
/* Entries with seq > after, oldest first, at most `limit`; kind NULL: of every kind. */
bool journal_read_after(struct journal_reader *reader, const char *kind, uint64_t after, unsigned limit,
                        journal_row_fn fn, void *data, GError **error);
/* Of the entries with seq < before (INT64_MAX: of all) the newest `limit`, oldest of them first; kind as above. */
bool journal_read_before(struct journal_reader *reader, const char *kind, int64_t before, unsigned limit,
                         journal_row_fn fn, void *data, GError **error);

/* The first entry of a generation, or, if generation is 0, of the last one that was committed at wall_us or before.
 * True without a call of `fn`: there is none. *row is valid until `fn` returns. */
bool journal_read_generation(struct journal_reader *reader, uint64_t generation, int64_t wall_us, journal_row_fn fn,
                             void *data, GError **error);
/* The world behind entry `seq`: the newest entries until then of all objects, plans and controls, in the order of
 * writing; of what had ended by then, body "null". */
bool journal_read_world(struct journal_reader *reader, uint64_t seq, journal_row_fn fn, void *data, GError **error);

#endif
