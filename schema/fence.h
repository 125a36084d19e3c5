/* fence.h: the sentinel that drivers leave in what they write, says who wrote it last, and how far. In DNS it is the
 * TXT record _signalbox.ZONE, in a registry the key PREFIX/sentinel.
 *
 *   "EPOCH GENERATION"            the records of the generation are all written; generation 0: claimed, nothing written
 *   "EPOCH GENERATION part K/M"   the generation is written in M updates, of which K are done
 *
 * What was read is the prerequisite of the next update (RFC 2136 2.4.2; a compare of etcd's transactions), so it fences
 * at the server itself: of two writers that read the same sentinel one wins.
 *
 * Thread safety: pure functions.
 */
#ifndef SCHEMA_FENCE_H
#define SCHEMA_FENCE_H

#include "schema/table.h"

#define FENCE_TEXT_SIZE 80

struct fence {
    struct stamp stamp;
    unsigned part, parts; /* 0, 0: whole */
};
char *fence_owner(const char *zone); /* g_free */
/* False, *out untouched: not a sentinel's text. */
bool fence_parse(const char *text, struct fence *out);
char *fence_format(const struct fence *fence, char text[static FENCE_TEXT_SIZE]);
/* The generation is written whole. */
bool fence_settled(const struct fence *fence, struct stamp stamp);

/* What a writer of `desired` does where `held` (NULL: no sentinel) is found. */
enum fence_verdict {
    FENCE_CLAIM,           /* nobody's, or an older epoch's: claim first */
    FENCE_OURS,            /* our epoch: go on */
    FENCE_OLDER_THAN_HELD, /* our epoch, but a newer generation is there: never write */
    FENCE_LOST,            /* a newer epoch: never write */
};
enum fence_verdict fence_judge(const struct fence *held, struct stamp desired);

#endif
