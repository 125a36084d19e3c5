/* outgoing.h: the thread that talks to the outside: calls of hook steps, and webhooks. Whoever is slow or dead there
 * costs the engine nothing, and no other receiver.
 *
 * Thread safety: functions may be called from any thread but its own, outgoing_free from one.
 */
#ifndef ENGINE_OUTGOING_H
#define ENGINE_OUTGOING_H

#include "server/interlocking/resolve.h"

#include <jansson.h>

struct outgoing_config {
    const char *cluster, *state_dir, *journal_path;
    const char *keys_dir; /* of signing keys, or NULL */
    const char *allow;    /* addresses besides public ones, as outside_new takes it; NULL: none */
    /* On its thread: what came of a call (engine.h, engine_call_report), taken; a webhook that was disabled. */
    void (*answered)(void *data, json_t *result);
    void (*disabled)(void *data, const char *webhook, const char *why, int64_t since_us);
    void *data;
};
struct outgoing;
struct outgoing *outgoing_new(const struct outgoing_config *config, GError **error);
void outgoing_free(struct outgoing *outgoing); /* what is under way ends without an answer; NULL is allowed */

void outgoing_call(struct outgoing *outgoing, const json_t *call); /* of an effect CALL; `answered` follows, once */
void outgoing_publish(struct outgoing *outgoing, const struct resolved *resolved); /* for its webhooks */
void outgoing_wake(struct outgoing *outgoing);                                     /* the journal has new entries */
void outgoing_retry(struct outgoing *outgoing, const char *webhook);               /* tries it now */
void outgoing_warn(struct outgoing *outgoing, json_t *warnings);                   /* webhooks_warn */
json_t *outgoing_figures(struct outgoing *outgoing);                               /* webhooks_figures */

#endif
