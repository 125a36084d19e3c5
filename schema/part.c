/* part.c: the grammar of the parts of an edge's table: the last gate before text becomes a HAProxy map. */
#include "schema/table.h"

#include "core/error.h"
#include "schema/control.h"
#include "schema/field.h"
#include "schema/pin.h"
#include "schema/slot.h"

#include <stdlib.h>
#include <string.h>

#define LINE_MAX_LEN 1024
#define SPLIT_INDEX_MAX 1048575u

/* ---- words ---- */

static bool one_of(const char *word, const char *a, const char *b)
{
    return strcmp(word, a) == 0 || strcmp(word, b) == 0;
}

/* Up to `n` words of `text` between separators, in place; false unless there are exactly n. */
static bool words_split(char *text, char separator, char *words[], unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        words[i] = text;
        char *end = strchr(text, separator);
        if ((end == NULL) != (i + 1 == n))
            return false;
        if (end != NULL) {
            *end = '\0';
            text = end + 1;
        }
    }
    return true;
}

static bool name_valid(const char *text)
{
    return text_valid(FIELD_NAME, text);
}

static bool policy_valid(char *text)
{
    char *words[2];
    return words_split(text, '.', words, 2) && name_valid(words[0]) && name_valid(words[1]);
}

/* Digits without a needless zero, at most `max`. */
static bool number_parse(const char *text, unsigned long max, unsigned long *out)
{
    size_t len = strspn(text, "0123456789");
    if (len < 1 || len > 10 || text[len] != '\0' || (len > 1 && text[0] == '0'))
        return false;
    *out = strtoul(text, NULL, 10);
    return *out <= max;
}

static bool endpoint_valid(const char *text)
{
    struct endpoint ep;
    return endpoint_parse(text, &ep);
}

/* ---- one line of each part; both strings may be cut up ---- */

struct range {
    unsigned long first, last; /* split index * SLOT_COUNT + slot */
};
struct check {
    GArray *ranges;               /* SPLITS: struct range */
    bool has_class;               /* LAYOUT */
    bool is_gateway;              /* LAYOUT: that class is */
    unsigned of_gateway, of_edge; /* LAYOUT: lines that only a gateway, only an edge has */
};

static bool routes_line(char *key, char *value, struct check *check)
{
    (void)check;
    size_t len = strlen(key);
    char *slash = strchr(key, '/');
    if (slash == NULL || key[len - 1] != '/')
        return false;
    key[len - 1] = '\0';
    bool prefix = slash == key + len - 1 || text_valid(FIELD_PREFIX, slash);
    *slash = '\0';
    return prefix && text_valid(FIELD_FQDN, key) && policy_valid(value);
}

static bool hex_body_valid(const char *hex)
{
    char body[ANSWER_BODY_MAX + 1];
    return hex_decode(hex, body, sizeof body) && answer_body_valid(body);
}

static bool answer_valid(char *value)
{
    char *words[2];
    return words_split(value, '|', words, 2) && one_of(words[0], "503", "200") && hex_body_valid(words[1]);
}

/* What it says is for gateway/gwtable.h to judge; here it is text that is one line of one of those kinds. */
static bool gateway_line(const char *key, const char *value)
{
    static const char *const kinds[] = {"adjacency", "backend", "bfd",  "check", "gateway", "group",
                                        "line",      "local",   "peer", "seed",  "service"};
    size_t size = strcspn(key, "/"), i = 0;
    while (i < G_N_ELEMENTS(kinds) && (strlen(kinds[i]) != size || strncmp(kinds[i], key, size) != 0))
        i++;
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789./:_|[]~-";
    return i < G_N_ELEMENTS(kinds) && value[0] != '\0' && key[strspn(key, allowed)] == '\0' &&
           value[strspn(value, allowed)] == '\0';
}

static bool layout_line(char *key, char *value, struct check *check)
{
    if (strcmp(key, "class") == 0) {
        check->is_gateway = strcmp(value, "gateway") == 0;
        return check->has_class = check->is_gateway || one_of(value, "public", "dedicated");
    }
    if (gateway_line(key, value))
        return ++check->of_gateway > 0;
    check->of_edge++;
    char *words[3];
    if (g_str_has_prefix(key, "answer/"))
        return name_valid(key + strlen("answer/")) && answer_valid(value);
    if (g_str_has_prefix(key, "origin/") || g_str_has_prefix(key, "fallback/") || g_str_has_prefix(key, "escape/"))
        return words_split(key, '/', words, 3) && name_valid(words[1]) && name_valid(words[2]) && endpoint_valid(value);
    return g_str_has_prefix(key, "relay/") && name_valid(key + strlen("relay/")) && endpoint_valid(value);
}

/* SERVICE/METHOD/HOST, and a path with a slash behind it, whose length is found. */
static bool interface_key_valid(char *key, size_t *path_len)
{
    char *slash = key;
    for (unsigned i = 0; i < 3 && slash != NULL; i++)
        slash = strchr(slash + (i > 0), '/');
    if (slash == NULL)
        return false;
    char *words[3], path[LINE_MAX_LEN + 1];
    size_t len = *path_len = strlen(slash);
    memcpy(path, slash, len + 1);
    *slash = '\0';
    path[len - 1] = '\0';
    return slash[len - 1] == '/' && words_split(key, '/', words, 3) && name_valid(words[0]) &&
           choice_find(INTERFACE_METHODS, words[1]) >= 0 &&
           (strcmp(words[2], "-") == 0 || text_valid(FIELD_FQDN, words[2])) && text_valid(FIELD_PREFIX, path);
}

static bool answers_valid(const char *word)
{
    return one_of(word, "live", "keep") || one_of(word, "stale", "static");
}

static bool interface_line(char *key, char *value)
{
    char *words[4];
    size_t path_len;
    unsigned long len, limit, number;
    return interface_key_valid(key, &path_len) && words_split(value, '|', words, 4) &&
           number_parse(words[0], LINE_MAX_LEN, &len) && len == path_len && answers_valid(words[1]) &&
           number_parse(words[2], CONTROL_RATE_MAX, &limit) && number_parse(words[3], INTERFACE_LIMITS_MAX, &number) &&
           (limit > 0) == (number > 0);
}

static bool policies_line(char *key, char *value, struct check *check)
{
    (void)check;
    if (g_str_has_prefix(key, INTERFACE_ROW))
        return interface_line(key + strlen(INTERFACE_ROW), value);
    char *words[8] = {NULL};
    unsigned long index, timeout_ms = SERVICE_TIMEOUT_MIN_MS;
    unsigned long limit;
    unsigned n = 1;
    for (const char *p = value; *p != '\0'; p++)
        n += *p == '|';
    return policy_valid(key) && words_split(value, '|', words, n == 5 || n == 7 || n == 8 ? n : 4) &&
           number_parse(words[0], SPLIT_INDEX_MAX, &index) && one_of(words[1], "multi", "single") &&
           one_of(words[2], "on", "off") && one_of(words[3], "local", "relay") &&
           (words[4] == NULL || (n >= 7 && words[4][0] == '\0') ||
            number_parse(words[4], SERVICE_TIMEOUT_MAX_MS, &timeout_ms)) &&
           timeout_ms >= SERVICE_TIMEOUT_MIN_MS &&
           (n < 7 || (answers_valid(words[5]) && number_parse(words[6], CONTROL_RATE_MAX, &limit))) &&
           (n < 8 || strcmp(words[7], "interfaces") == 0);
}

static bool splits_line(char *key, char *value, struct check *check)
{
    char *words[2];
    struct range range;
    unsigned long max = (SPLIT_INDEX_MAX + 1ul) * SLOT_COUNT - 1;
    if (!words_split(key, ':', words, 2) || !number_parse(words[0], max, &range.first) ||
        !number_parse(words[1], max, &range.last) || range.last < range.first ||
        range.first / SLOT_COUNT != range.last / SLOT_COUNT || !name_valid(value))
        return false;
    g_array_append_val(check->ranges, range);
    return true;
}

static bool rooms_line(char *key, char *value, struct check *check)
{
    (void)check;
    char *words[2];
    unsigned long limit;
    if (g_str_has_prefix(key, PIN_ROW))
        return name_valid(key + strlen(PIN_ROW)) && pin_secret_valid(value);
    if (g_str_has_prefix(key, "degrade/"))
        return name_valid(key + strlen("degrade/")) && words_split(value, '|', words, 2) &&
               (strcmp(words[0], "live") == 0 || one_of(words[0], "stale", "static")) &&
               number_parse(words[1], CONTROL_RATE_MAX, &limit);
    return words_split(key, '/', words, 2) && one_of(words[0], "multi", "single") && name_valid(words[1]) &&
           (strcmp(value, "-") == 0 || name_valid(value));
}

static bool origins_line(char *key, char *value, struct check *check)
{
    (void)check;
    char *words[3];
    if (!words_split(key, '/', words, 3) || !name_valid(words[1]) || !one_of(value, "in", "out"))
        return false;
    return strcmp(words[0], "relay") == 0 ? strcmp(words[2], "relay") == 0
                                          : one_of(words[0], "multi", "single") && name_valid(words[2]);
}

static const struct {
    const char *name;
    const char *expected;
    bool (*line)(char *key, char *value, struct check *check);
} parts[PARTS] = {
    [PART_ROUTES] = {"routes", "HOST/ or HOST/PREFIX/, then GROUP.SERVICE", routes_line},
    [PART_LAYOUT] = {"layout",
                     "class public|dedicated|gateway, origin/ROOM/ENTRANCE ADDRESS:PORT, fallback/ROOM/ENTRANCE "
                     "ADDRESS:PORT, escape/ROOM/ENTRANCE ADDRESS:PORT, "
                     "relay/EDGE ADDRESS:PORT or answer/SERVICE 503|HEX (or 200), or a line of a gateway",
                     layout_line},
    [PART_POLICIES] = {"policies",
                       "GROUP.SERVICE INDEX|multi|on|local (or single, off, relay), and maybe |MS, 100 to 30000, "
                       "or |MS|live|LIMIT (MS may be missing; or keep, stale, static), and maybe |interfaces; "
                       "interface/SERVICE/METHOD/HOST/PATH/ LENGTH|live|LIMIT|NUMBER",
                       policies_line},
    [PART_SPLITS] = {"splits", "FIRST:LAST ROOM, both of one split index * 1000 + slot", splits_line},
    [PART_ROOMS] = {"rooms",
                    "multi/ROOM or single/ROOM, then ROOM or -; degrade/ROOM live|LIMIT (or stale, static); "
                    "pin/KEY SECRET",
                    rooms_line},
    [PART_ORIGINS] = {"origins", "multi/ROOM/ENTRANCE, single/ROOM/ENTRANCE or relay/EDGE/relay, then in or out",
                      origins_line},
};

const char *part_name(enum part part)
{
    g_assert((unsigned)part < PARTS);
    return parts[part].name;
}

bool hex_decode(const char *hex, char *text, size_t size)
{
    size_t len = strlen(hex);
    if (len % 2 != 0 || len / 2 >= size || strspn(hex, "0123456789abcdef") != len)
        return false;
    for (size_t i = 0; i < len / 2; i++)
        text[i] = (char)(16 * g_ascii_xdigit_value(hex[2 * i]) + g_ascii_xdigit_value(hex[2 * i + 1]));
    text[len / 2] = '\0';
    return strlen(text) == len / 2;
}

/* ---- whole parts ---- */

static bool line_refuse(enum part part, unsigned line, const char *found, const char *expected, GError **error)
{
    bool secret = g_str_has_prefix(found, PIN_ROW);
    g_autofree char *quoted = text_quote(secret ? PIN_ROW : found);
    g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "part %s, line %u: found %s, expected %s", parts[part].name, line,
                quoted, expected);
    return false;
}

static gint by_first(gconstpointer a, gconstpointer b)
{
    const struct range *x = a, *y = b;
    return (x->first > y->first) - (x->first < y->first);
}

static bool slot_refuse(unsigned long slot, const char *how, GError **error)
{
    g_set_error(error, SB_ERROR, SB_ERROR_INVALID,
                "part splits: found slot %lu of split %lu %s, expected every slot of a split once", slot % SLOT_COUNT,
                slot / SLOT_COUNT, how);
    return false;
}

/* Every slot of every split that has one belongs to exactly one room. */
static bool ranges_cover(GArray *ranges, GError **error)
{
    g_array_sort(ranges, by_first);
    unsigned long next = 0; /* all slots below it are done with */
    for (guint i = 0; i < ranges->len; i++) {
        const struct range *range = &g_array_index(ranges, struct range, i);
        if (range->first < next)
            return slot_refuse(range->first, "twice", error);
        if (next % SLOT_COUNT == 0)
            next = range->first - range->first % SLOT_COUNT;
        if (range->first > next)
            return slot_refuse(next, "missing", error);
        next = range->last + 1;
    }
    return next % SLOT_COUNT == 0 || slot_refuse(next, "missing", error);
}

/* A line of `len` bytes without its end; `last` is the key before it and becomes this one. */
static bool line_validate(enum part part, unsigned n, const char *bytes, size_t len, char last[static LINE_MAX_LEN + 1],
                          struct check *check, GError **error)
{
    char line[LINE_MAX_LEN + 1], cut[LINE_MAX_LEN + 1];
    memcpy(line, bytes, len);
    line[len] = '\0';
    memcpy(cut, line, len + 1);
    char *value = strchr(cut, ' ');
    if (strlen(line) != len || value == NULL)
        return line_refuse(part, n, line, parts[part].expected, error);
    *value++ = '\0';
    if (n > 1 && strcmp(last, cut) >= 0)
        return line_refuse(part, n, cut, "a key greater than that of the line before", error);
    memcpy(last, cut, strlen(cut) + 1);
    if (!parts[part].line(cut, value, check))
        return line_refuse(part, n, line, parts[part].expected, error);
    return true;
}

static bool lines_validate(enum part part, const char *bytes, size_t size, struct check *check, GError **error)
{
    char last[LINE_MAX_LEN + 1] = "";
    unsigned n = 1;
    for (const char *p = bytes, *end = bytes + size; p < end; n++) {
        const char *newline = memchr(p, '\n', (size_t)(end - p));
        if (newline == NULL || newline - p > LINE_MAX_LEN) {
            g_set_error(error, SB_ERROR, SB_ERROR_INVALID,
                        "part %s, line %u: found %s, expected a line of at most %d bytes and its end", parts[part].name,
                        n, newline == NULL ? "no end of line" : "a longer line", LINE_MAX_LEN);
            return false;
        }
        if (!line_validate(part, n, p, (size_t)(newline - p), last, check, error))
            return false;
        p = newline + 1;
    }
    return true;
}

bool part_validate(enum part part, const char *bytes, size_t size, GError **error)
{
    if (size > PART_SIZE_MAX) {
        g_set_error(error, SB_ERROR, SB_ERROR_TOO_LARGE, "part %s: found %zu bytes, expected at most %u",
                    parts[part].name, size, PART_SIZE_MAX);
        return false;
    }
    g_autoptr(GArray) ranges = g_array_new(FALSE, FALSE, sizeof(struct range));
    struct check check = {.ranges = ranges};
    if (!lines_validate(part, bytes, size, &check, error))
        return false;
    if (part == PART_LAYOUT && !check.has_class) {
        g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "part layout: found no line \"class\", expected one");
        return false;
    }
    if (part == PART_LAYOUT && (check.is_gateway ? check.of_edge : check.of_gateway) > 0) {
        g_set_error(error, SB_ERROR, SB_ERROR_INVALID,
                    "part layout: found lines of a gateway and of an edge, expected those of its class");
        return false;
    }
    return part != PART_SPLITS || ranges_cover(ranges, error);
}

void part_foreach(const char *bytes, size_t size, part_fn fn, void *data)
{
    g_autoptr(GString) line = g_string_new(NULL);
    for (const char *p = bytes, *end = bytes + size; p < end;) {
        const char *newline = memchr(p, '\n', (size_t)(end - p));
        const char *stop = newline != NULL ? newline : end;
        g_string_truncate(line, 0);
        g_string_append_len(line, p, stop - p);
        char *value = strchr(line->str, ' ');
        if (value != NULL)
            *value++ = '\0';
        fn(data, line->str, value != NULL ? value : "");
        p = stop + 1;
    }
}
