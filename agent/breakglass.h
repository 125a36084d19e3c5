/* breakglass.h: what a person does to one agent by hand, on its own machine, when nothing else works.
 *
 *   hold      what is in force stays: newer tables are promised and fetched, but wait (agent.h)
 *   override  a room is closed here, whatever the tables say: its users go to another room that is open here, those of
 *             services that live in it alone are told so (503); never the last open room
 * Both end when they are released, or by themselves after the time that was given, BREAKGLASS_MAX_US at most.
 *
 * Commands, one line each; TIME is a number and s, m or h:
 *   hold TIME REASON · override ROOM TIME REASON · release hold|ROOM|all REASON
 *
 * FOLDER/breakglass.log has a line of JSON for each act, {"at_us","by","verb","room","until_us","reason"}. It is on
 * disk before anything is done, it is never shortened, and it is the state as well: what it says and what has not
 * ended is in force again after a restart. An act that cannot be written down is not done.
 *
 * Two clocks: wall_us is written down and shown; now_us, which never jumps, ends an act. After a restart only the wall
 * clock is left, and an act lasts no longer than it was given at first, however that has jumped.
 * Thread safety: a struct breakglass belongs to one thread.
 */
#ifndef AGENT_BREAKGLASS_H
#define AGENT_BREAKGLASS_H

#include "core/auto.h"
#include "schema/table.h"

#define BREAKGLASS_MAX_US (INT64_C(24) * 3600 * G_USEC_PER_SEC)
#define BREAKGLASS_REASON_MAX 200 /* bytes */

struct breakglass;
/* What the folder's log leaves in force, or damage in it, is said in `notes` (char *, owned by the array). reading: an
 * agent may be at work in the folder; nothing is written, not even that something has ended, and no command is taken.
 */
struct breakglass *breakglass_new(const char *folder, bool reading, int64_t now_us, int64_t wall_us, GPtrArray *notes);
void breakglass_free(struct breakglass *glass);
SB_AUTO_DEFINE(breakglass, breakglass_free)

/* Is the line's first word one of the commands above? */
bool breakglass_knows(const char *line);
/* Does what `line` says, for `by` ("uid:0"). parts: of the table in force, or NULL when none was applied. What was done
 * in words, g_free; NULL and nothing done: SB_ERROR_INVALID (what was found and expected), NOT_FOUND, CONFLICT, IO. */
char *breakglass_command(struct breakglass *glass, const char *line, const char *by, GBytes *const *parts,
                         int64_t now_us, int64_t wall_us, GError **error);
/* Ends what has had its time, and says so in `notes`; true when there was something. */
bool breakglass_expire(struct breakglass *glass, int64_t now_us, int64_t wall_us, GPtrArray *notes);
int64_t breakglass_next_us(const struct breakglass *glass); /* when that is wanted; INT64_MAX: never */

char *breakglass_hold(const struct breakglass *glass); /* "uid:0: reason" or NULL: nobody holds; g_free */
/* All that is in force in words, or NULL; g_free. */
char *breakglass_text(const struct breakglass *glass);
/* [{"verb": "hold"|"override", "room": "" | name, "by", "reason", "since_us", "until_us"}], wall clock; new reference.
 */
json_t *breakglass_to_json(const struct breakglass *glass);
/* Table parts with the overrides laid over them: new references in out. False: closing these rooms would leave none
 * open, and out is as parts. */
bool breakglass_overlay(const struct breakglass *glass, GBytes *const parts[static PARTS], GBytes *out[static PARTS]);

#endif
