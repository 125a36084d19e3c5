/* chat.h: an entry of the journal as a line for a chat, with links to the console's page of it.
 *
 * Thread safety: pure functions.
 */
#ifndef ENGINE_CHAT_H
#define ENGINE_CHAT_H

#include <jansson.h>

/* Of an entry of this kind, id and body: what a person on call wants to know; NULL: nothing. Alarms that begin, are
 * acknowledged or are over, executions that begin and end, what notify steps and tests say. console: address of the
 * console, "https://signalbox.example". What stands in names cannot make a link of its own: & < > are written as
 * chats expect it. g_free. */
char *chat_text(const char *kind, const char *id, const json_t *body, const char *console);

#endif
