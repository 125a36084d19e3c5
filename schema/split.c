#include "schema/split.h"

#include "core/error.h"
#include "schema/object.h"
#include "schema/rule.h"

#include <stdlib.h>
#include <string.h>

void split_clear(struct split *split)
{
    for (unsigned i = 0; i < split->n_rooms; i++)
        g_free(split->rooms[i]);
    memset(split, 0, sizeof *split);
}

/* Index of the room, added if it is new; -1 when there are too many. */
static int room_index(struct split *split, const char *room)
{
    for (unsigned i = 0; i < split->n_rooms; i++)
        if (strcmp(split->rooms[i], room) == 0)
            return (int)i;
    if (split->n_rooms == SPLIT_ROOMS_MAX)
        return -1;
    split->rooms[split->n_rooms] = g_strdup(room);
    return (int)split->n_rooms++;
}

/* A slot number without needless zeros; false if there is none. */
static bool slot_parse(const char **text, unsigned *out)
{
    size_t len = strspn(*text, "0123456789");
    if (len < 1 || len > 3 || (len > 1 && **text == '0'))
        return false;
    *out = (unsigned)strtoul(*text, NULL, 10);
    *text += len;
    return true;
}

/* One range, FIRST-LAST=ROOM, which must begin at *next; with gaps, there or later. */
static bool range_parse(const char *range, unsigned *next, bool gaps, struct split *split, GError **error)
{
    unsigned first, last;
    const char *p = range;
    bool numbers = slot_parse(&p, &first) && *p++ == '-' && slot_parse(&p, &last) && *p++ == '=';
    g_autofree char *quoted = text_quote(range);
    if (!numbers || (gaps ? first < *next : first != *next) || last < first || !text_valid(FIELD_NAME, p)) {
        g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "split: found %s, expected %u-LAST=ROOM, LAST from %u to %u",
                    quoted, *next, *next, SLOT_COUNT - 1);
        return false;
    }
    int room = room_index(split, p);
    if (room < 0) {
        g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "split: found another room in %s, expected at most %d", quoted,
                    SPLIT_ROOMS_MAX);
        return false;
    }
    memset(split->room_of + first, room, last - first + 1);
    *next = last + 1;
    return true;
}

bool split_parse(const char *text, struct split *out, GError **error)
{
    struct split split = {0};
    unsigned next = 0;
    g_auto(GStrv) ranges = g_strsplit(text, ",", SLOT_COUNT + 1);
    bool good = true;
    for (char **range = ranges; good && *range != NULL && next < SLOT_COUNT; range++) {
        good = range_parse(*range, &next, false, &split, error);
        if (good && next == SLOT_COUNT && range[1] != NULL) {
            g_autofree char *quoted = text_quote(range[1]);
            g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "split: found %s behind slot %u, expected nothing", quoted,
                        SLOT_COUNT - 1);
            good = false;
        }
    }
    if (good && next < SLOT_COUNT) {
        g_autofree char *quoted = text_quote(text);
        g_set_error(error, SB_ERROR, SB_ERROR_INVALID,
                    "split: found %s, expected ranges up to slot %u, %u-... is missing", quoted, SLOT_COUNT - 1, next);
        good = false;
    }
    if (good)
        *out = split;
    else
        split_clear(&split);
    return good;
}

char *split_format(const struct split *split)
{
    GString *text = g_string_new(NULL);
    for (unsigned first = 0; first < SLOT_COUNT;) {
        unsigned last = first;
        while (last + 1 < SLOT_COUNT && split->room_of[last + 1] == split->room_of[first])
            last++;
        if (split->room_of[first] != SPLIT_UNPINNED)
            g_string_append_printf(text, "%s%u-%u=%s", text->len == 0 ? "" : ",", first, last,
                                   split->rooms[split->room_of[first]]);
        first = last + 1;
    }
    return g_string_free(text, FALSE);
}

/* ---- pins ---- */

bool split_pins_parse(const char *text, struct split_pins *out, GError **error)
{
    struct split_pins pins = {0};
    unsigned next = 0;
    const char *at = strchr(text, '@');
    bool good = at != NULL && at != text && rule_time_parse(at + 1, &pins.until_us);
    g_autofree char *slots = good ? g_strndup(text, (gsize)(at - text)) : g_strdup("");
    g_auto(GStrv) ranges = g_strsplit(slots, ",", SLOT_COUNT + 1);
    memset(pins.slots.room_of, SPLIT_UNPINNED, sizeof pins.slots.room_of);
    for (char **range = ranges; good && *range != NULL; range++)
        good = range_parse(*range, &next, true, &pins.slots, NULL);
    if (good) {
        *out = pins;
        return true;
    }
    g_autofree char *quoted = text_quote(text);
    g_set_error(error, SB_ERROR, SB_ERROR_INVALID,
                "found %s, expected ranges of slots and an end as " SPLIT_PINS_EXAMPLE, quoted);
    split_clear(&pins.slots);
    return false;
}

char *split_pins_format(const struct split_pins *pins)
{
    g_autofree char *slots = split_format(&pins->slots);
    g_autoptr(GDateTime) until = g_date_time_new_from_unix_utc(pins->until_us / G_USEC_PER_SEC);
    g_autofree char *time = g_date_time_format(until, "%Y-%m-%dT%H:%M:%SZ");
    return g_strdup_printf("%s@%s", slots, time);
}

void split_pin(struct split *split, const struct split_pins *pins)
{
    for (unsigned slot = 0; slot < SLOT_COUNT; slot++) {
        unsigned pinned = pins->slots.room_of[slot];
        int room = pinned != SPLIT_UNPINNED ? room_index(split, pins->slots.rooms[pinned]) : -1;
        if (room >= 0)
            split->room_of[slot] = (uint8_t)room;
    }
}

static void rooms_set(struct split *split, const char *const *rooms, unsigned n)
{
    g_assert(n >= 1 && n <= SPLIT_ROOMS_MAX);
    memset(split, 0, sizeof *split);
    split->n_rooms = n;
    for (unsigned i = 0; i < n; i++)
        split->rooms[i] = g_strdup(rooms[i]);
}

void split_even(const char *const *rooms, unsigned n, struct split *out)
{
    rooms_set(out, rooms, n);
    for (unsigned slot = 0; slot < SLOT_COUNT; slot++)
        out->room_of[slot] = (uint8_t)(slot * n / SLOT_COUNT);
}

static int room_find(const struct split *split, const char *room)
{
    for (unsigned i = 0; i < split->n_rooms; i++)
        if (strcmp(split->rooms[i], room) == 0)
            return (int)i;
    return -1;
}

void split_move(const struct split *from, const char *const *rooms, const unsigned *shares, unsigned n,
                struct split *out)
{
    int kept[SPLIT_ROOMS_MAX];         /* room of `from` -> room of `out`, -1: gone */
    int wanted[SPLIT_ROOMS_MAX] = {0}; /* slots that the room is to gain, negative: to lose */
    unsigned sum = 0;
    rooms_set(out, rooms, n);
    for (unsigned i = 0; i < from->n_rooms; i++)
        kept[i] = room_find(out, from->rooms[i]);
    for (unsigned i = 0; i < n; i++) {
        wanted[i] = (int)shares[i];
        sum += shares[i];
    }
    g_assert(sum == SLOT_COUNT);
    for (unsigned slot = 0; slot < SLOT_COUNT; slot++)
        if (kept[from->room_of[slot]] >= 0)
            wanted[kept[from->room_of[slot]]]--;

    unsigned gaining = 0;
    for (unsigned slot = SLOT_COUNT; slot-- > 0;) {
        int room = kept[from->room_of[slot]];
        if (room < 0 || wanted[room] < 0) {
            if (room >= 0)
                wanted[room]++;
            while (wanted[gaining] <= 0)
                gaining++;
            wanted[gaining]--;
            room = (int)gaining;
        }
        out->room_of[slot] = (uint8_t)room;
    }
}

unsigned split_distance(const struct split *a, const struct split *b)
{
    unsigned n = 0;
    for (unsigned slot = 0; slot < SLOT_COUNT; slot++)
        n += strcmp(a->rooms[a->room_of[slot]], b->rooms[b->room_of[slot]]) != 0;
    return n;
}
