/* journal_entry.h: what the engine asks the journal to make durable. The engine decides, the journal only writes.
 *
 * An entry sets the newest state of (kind, id) and is kept in the order of writing (server/store/journal.h). A list of
 * entries is one transaction. `key`: an entry whose key is already in the journal makes the whole list a repetition:
 * nothing is written and the journal says so (idempotency).
 *
 *   kind        id                     body
 *   object      pop/pop-a1             {"object": as object_to_json, "revision"}
 *   plan        room-isolated          {"plan": as it was given, "revision"}
 *   control     room.ingress/room-a    control_to_json
 *   generation  12                     {"generation", "epoch", "cause", "key", "at_us"}
 *                                      state: the newest, and those with a key of an execution that is not forgotten
 *   execution   room-isolated-1f2e3d4c execution_to_json; null: forgotten, its events and its keys with it
 *   event       EXECUTION/SEQ          {"seq", "at_us", "step", "text"}
 *   audit       SEQ                    {"seq", "at", "at_us", "actor", "reason", "what", "object", "before", "after",
 *                                       "generation", "execution", "overrides"}; the journal adds
 *                                       "epoch", "prev", "hash"
 *   pinkeys     keys                   pin_keys_to_json, with secrets
 *   token, session, answer  (of the server, not of the engine)
 */
#ifndef INTERLOCKING_JOURNAL_ENTRY_H
#define INTERLOCKING_JOURNAL_ENTRY_H

#include <glib.h>
#include <jansson.h>
#include <stdint.h>

struct journal_entry {
    char *kind;
    char *id;     /* within the kind */
    char *key;    /* idempotency key or NULL */
    json_t *body; /* owned; JSON null: the state of (kind, id) ends */
};
/* Takes the reference of body. */
struct journal_entry *journal_entry_new(const char *kind, const char *id, const char *key, json_t *body);
void journal_entry_free(struct journal_entry *entry);
/* A list of struct journal_entry *, which it owns; g_ptr_array_unref. */
GPtrArray *entries_new(void);
void entries_add(GPtrArray *entries, const char *kind, const char *id, const char *key, json_t *body);

/* "2024-07-02T12:00:00.000001Z"; g_free. */
char *journal_time_text(int64_t wall_us);

/* A record of the audit. */
struct audit {
    const char *actor, *reason; /* reason NULL: none was given */
    const char *what;
    const char *object, *before, *after, *execution; /* or NULL */
    const char *const *overrides;                    /* rules that were passed over; NULL: none */
    uint64_t generation;
};
/* Appends it under its number. wall_us: wall clock. */
void entries_add_audit(GPtrArray *entries, const struct audit *audit, uint64_t seq, int64_t wall_us);

#endif
