/* split.h: which room each slot belongs to, and the minimal move from one split to another.
 *
 * Text form: ranges in order, no gap, no overlap, adjacent ranges of one room joined: "0-499=room-a,500-999=room-b".
 * Thread safety: pure functions.
 */
#ifndef SCHEMA_SPLIT_H
#define SCHEMA_SPLIT_H

#include "schema/slot.h"
#include <glib.h>

#define SPLIT_ROOMS_MAX 16

struct split {
    unsigned n_rooms;
    char *rooms[SPLIT_ROOMS_MAX]; /* owned names */
    uint8_t room_of[SLOT_COUNT];  /* index into rooms */
};
void split_clear(struct split *split);
/* SB_ERROR_INVALID with what was found and expected; *out untouched on failure. */
bool split_parse(const char *text, struct split *out, GError **error);
char *split_format(const struct split *split); /* g_free */
/* Even over `rooms` (n names, in this order), contiguous ranges. */
void split_even(const char *const *rooms, unsigned n, struct split *out);

/* Slots that are somewhere else than their split says, until a time: "0-49=room-b,100-119=room-c@2026-11-22T08:00:00Z".
 * Ranges in order, UTC. */
#define SPLIT_UNPINNED 255u
#define SPLIT_PINS_EXAMPLE "0-49=room-b@2026-11-22T08:00:00Z"
struct split_pins {
    struct split slots; /* room_of is SPLIT_UNPINNED where none is pinned */
    int64_t until_us;   /* wall clock */
};
bool split_pins_parse(const char *text, struct split_pins *out, GError **error); /* split_clear(&out->slots) */
char *split_pins_format(const struct split_pins *pins);                          /* g_free */
/* The split with the pins in force; a room that would be one too many is left out. */
void split_pin(struct split *split, const struct split_pins *pins);

/* The split nearest to `from` in which rooms[i] has shares[i] slots (sum SLOT_COUNT): only slots that must move do,
 * from rooms above their share to rooms below it, highest slots first; no slot moves between two rooms that both
 * keep or gain. For a ramp in stages towards the same shares no slot moves twice. */
void split_move(const struct split *from, const char *const *rooms, const unsigned *shares, unsigned n,
                struct split *out);
/* Number of slots whose room differs. */
unsigned split_distance(const struct split *a, const struct split *b);

#endif
