/* override.h: a table with rooms closed in it, as a person at the agent wants it. Pure.
 *
 * Multi-active users of a closed room go to the first other room, by name, that is open here; services that live in it
 * alone are closed ("-"); its entrances are out, also as a last resort. What the table itself says of it stays.
 *
 * Thread safety: pure functions.
 */
#ifndef AGENT_OVERRIDE_H
#define AGENT_OVERRIDE_H

#include "schema/table.h"

/* Does the table have an entrance of this room? */
bool override_knows(GBytes *const parts[static PARTS], const char *room);
/* rooms: NULL-terminated. New references in out. False: no room would stay open, and out is as parts. */
bool override_close(GBytes *const parts[static PARTS], const char *const *rooms, GBytes *out[static PARTS]);

#endif
