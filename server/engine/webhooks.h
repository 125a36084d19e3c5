/* webhooks.h: what happens, told to the webhooks of the inventory, at least once, and to each in the order it happened.
 *
 * The journal is the outbox: an entry is durable before anybody can be told of it, and a webhook's place in it is kept
 * in a file beside it (schema/sql/webhooks-001.sql), so a server that is killed goes on where it was. An entry's number
 * is the message's id: told again, it is the same. One message is under way for a webhook at a time; what fails is
 * tried again, after 1 s, 2 s, ... up to an hour, each with a fifth of jitter. One that failed for `give_up`, or
 * answers 410, is disabled, which is audited; it is enabled again by a change of the object or webhooks_retry. Nothing
 * is queued in memory: a dead receiver costs nobody anything.
 *
 * A message is a CloudEvent 1.0 in structured JSON: type signalbox.KIND, subject the entry's id, data its body; for one
 * that is a chat, a line of text (chat.h). A notify step's or a test's (entries "message") is for the one webhook that
 * it names; one with "redeliver" has the message of that id sent again, if it is one that this webhook is told.
 *
 * Thread safety: all but webhooks_warn and webhooks_figures belongs to the loop's thread.
 */
#ifndef ENGINE_WEBHOOKS_H
#define ENGINE_WEBHOOKS_H

#include "schema/inventory.h"
#include "server/engine/sender.h"

#include <jansson.h>

#define WEBHOOKS_LOG 1000 /* deliveries kept of each */

struct webhooks_config {
    struct loop *loop;
    struct sender *sender;
    const char *cluster, *state_dir, *journal_path;
    /* One was disabled. Called again, seconds later and after a restart, until an entry "webhook" of its name has
     * "since_us", when it began to fail. */
    void (*disabled)(void *data, const char *webhook, const char *why, int64_t since_us);
    void *data;
};
struct webhooks;
struct webhooks *webhooks_new(const struct webhooks_config *config);
void webhooks_free(struct webhooks *webhooks); /* before its sender; NULL is allowed */
/* The webhooks are those of the inventory. */
void webhooks_fit(struct webhooks *webhooks, const struct inventory *inv);
/* There are new entries in the journal. */
void webhooks_look(struct webhooks *webhooks);
/* Tries again now, also what is disabled. */
void webhooks_retry(struct webhooks *webhooks, const char *name);
/* Appends texts: what fails, what is disabled. Any thread. */
void webhooks_warn(struct webhooks *webhooks, json_t *warnings);
/* [{"name", "delivered", "failed": attempts since the server started, "disabled", "behind": entries of the journal that
 * it has not gone through, "waiting_us": when that happened which it is to be told next, wall clock, 0: nothing}]; a
 * new reference. Any thread. */
json_t *webhooks_figures(struct webhooks *webhooks);

#endif
