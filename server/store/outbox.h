/* outbox.h: the thread that drains the journal into the store. Its position is kept in the store, in the transaction
 * that writes the rows, so that the journal has one writer only and a crash repeats nothing.
 *
 * While the store cannot be reached the thread tries again after 1 s, 2 s, ... 60 s and logs the first failure and the
 * recovery; nobody waits for it.
 * Thread safety: outbox_wake may be called from any thread.
 */
#ifndef STORE_OUTBOX_H
#define STORE_OUTBOX_H

#include <glib.h>
#include <stdbool.h>

struct outbox;
/* Starts the thread. journal_path: of an open journal. */
struct outbox *outbox_new(const char *journal_path, const char *store_url, unsigned node, GError **error);
/* There are new entries. */
void outbox_wake(struct outbox *outbox);
/* Drains what is there if the store answers, ends and joins the thread. NULL is allowed. */
void outbox_free(struct outbox *outbox);

#endif
