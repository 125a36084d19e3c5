/* publication.h: the generation that agents are given, and the parts of those before it, for agents that are still
 * fetching when the next one comes.
 *
 * Thread safety: any thread.
 */
#ifndef ENGINE_PUBLICATION_H
#define ENGINE_PUBLICATION_H

#include "server/interlocking/resolve.h"

#define PUBLICATIONS_KEPT 8

struct publication;
struct publication *publication_new(void);
void publication_free(struct publication *publication);
/* Takes a reference of its own. */
void publication_swap(struct publication *publication, struct resolved *resolved);
/* The newest, with a reference for the caller; NULL before the first. */
struct resolved *publication_get(struct publication *publication);
/* A part of one of the last PUBLICATIONS_KEPT; *owner gets a reference to what it lives in. NULL: unknown. */
GBytes *publication_part(struct publication *publication, const char *hash, struct resolved **owner);

#endif
