/* backup.h: the journal copied while a server writes it, and put back.
 *
 * A backup is one file, a SQLite database of mode 0600 (hashes of tokens are in it). The store needs none: it is fed
 * from the journal. A journal that is put back knows nothing of what was done since, but agents and name servers do,
 * so numbers go on above all that can have been used: by the time since the backup was begun, and above those of the
 * journal that it replaces, if that can be read. Hence
 *   - the next server begins a newer reign, and agents obey it;
 *   - no generation and no number of an entry comes twice, so that the store goes on behind what it has;
 *   - executions that were under way are ended as failed: how they went on is not known. Levers stand as they stood.
 *   - webhooks go on at the places they had when the backup was made (webhooks.db): what was under way then is told
 *     again, under the same id; what had been told is not. The log of deliveries is history, and stays what it is.
 * The journal that was replaced stays beside it, as journal-TIME.db, with its log if that could not be taken in.
 *
 * Thread safety: functions keep no state; a lock on the folder keeps servers and other restores away.
 */
#ifndef STORE_BACKUP_H
#define STORE_BACKUP_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

struct backup_note {
    int64_t made_us;     /* wall clock: when the backup was made */
    uint64_t epoch;      /* of the last entry; restored: of the reign of the restore */
    uint64_t generation; /* in force then; restored: the one that stands for it now */
    unsigned ended;      /* restored: executions that were under way, whose end is not known */
    char *replaced;      /* restored: name of the journal that was there, or NULL; backup_note_clear */
    char *webhooks;      /* restored: why webhooks do not go on at the places of the backup, or NULL if they do */
};
void backup_note_clear(struct backup_note *note);

/* Copies the journal in the state folder, and the places of webhooks, to `file`, which must not exist. A server may be
 * at work. */
bool backup_make(const char *state_dir, const char *file, struct backup_note *note, GError **error);
/* Puts a backup in the place of the journal. SB_ERROR_CONFLICT: a server runs there. INVALID: the file is no backup, or
 * the clock is behind its time. On failure all is as it was. Places of webhooks are written last: what fails then is in
 * note->webhooks, and true is returned, as the journal is restored. The same backup may be restored once more. */
bool backup_restore(const char *state_dir, const char *file, struct backup_note *note, GError **error);

#endif
