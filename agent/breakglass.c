#include "agent/breakglass.h"

#include "agent/override.h"
#include "core/error.h"
#include "core/fileio.h"
#include "schema/object.h"

#include <string.h>

#define LOG_SIZE_MAX (16u << 20) /* bytes; an act is some hundred */

struct act {
    char *room; /* "": the hold */
    char *by, *reason;
    int64_t since_us, until_us; /* wall clock */
    int64_t end_us;             /* now_us */
};

struct breakglass {
    char *log_path;
    bool log_torn;   /* its last line has no end: a crash cut it */
    bool reading;    /* nothing is written */
    GPtrArray *acts; /* struct act *, in force */
};

static void act_free(void *data)
{
    struct act *act = data;
    g_free(act->room);
    g_free(act->by);
    g_free(act->reason);
    g_free(act);
}

static struct act *act_find(const struct breakglass *glass, const char *room)
{
    for (guint i = 0; i < glass->acts->len; i++)
        if (strcmp(((struct act *)glass->acts->pdata[i])->room, room) == 0)
            return glass->acts->pdata[i];
    return NULL;
}

/* ---- words ---- */

static char *act_text(const struct act *act)
{
    g_autoptr(GDateTime) until = g_date_time_new_from_unix_utc(act->until_us / G_USEC_PER_SEC);
    g_autofree char *time = until != NULL ? g_date_time_format(until, "%Y-%m-%d %H:%M:%S UTC") : NULL;
    return g_strdup_printf("%s%s by %s until %s: %s", act->room[0] == '\0' ? "held" : act->room,
                           act->room[0] == '\0' ? "" : " closed here", act->by, time != NULL ? time : "?", act->reason);
}

char *breakglass_text(const struct breakglass *glass)
{
    GString *text = g_string_new(NULL);
    for (guint i = 0; i < glass->acts->len; i++) {
        g_autofree char *one = act_text(glass->acts->pdata[i]);
        g_string_append_printf(text, "%s%s", i > 0 ? "; " : "", one);
    }
    return g_string_free(text, glass->acts->len == 0);
}

char *breakglass_hold(const struct breakglass *glass)
{
    const struct act *act = act_find(glass, "");
    return act != NULL ? g_strdup_printf("%s: %s", act->by, act->reason) : NULL;
}

json_t *breakglass_to_json(const struct breakglass *glass)
{
    json_t *rows = json_array();
    for (guint i = 0; i < glass->acts->len; i++) {
        const struct act *act = glass->acts->pdata[i];
        json_array_append_new(rows,
                              json_pack("{s:s,s:s,s:s,s:s,s:I,s:I}", "verb", act->room[0] == '\0' ? "hold" : "override",
                                        "room", act->room, "by", act->by, "reason", act->reason, "since_us",
                                        (json_int_t)act->since_us, "until_us", (json_int_t)act->until_us));
    }
    return rows;
}

/* ---- the log ---- */

/* Takes the room's act out of force, and another in its place when it lasts. */
static void replace(struct breakglass *glass, const char *room, struct act *act)
{
    struct act *before = act_find(glass, room);
    if (before != NULL)
        g_ptr_array_remove(glass->acts, before);
    if (act != NULL)
        g_ptr_array_add(glass->acts, act);
}

static const char *member(const json_t *json, const char *key)
{
    const char *text = json_string_value(json_object_get(json, key));
    return text != NULL ? text : "";
}

/* One line of the log, in order. */
static bool replay(struct breakglass *glass, const char *line, int64_t now_us, int64_t wall_us)
{
    json_t *json = json_loads(line, 0, NULL);
    const char *verb = member(json, "verb"), *room = member(json, "room");
    bool ends = strcmp(verb, "release") == 0 || strcmp(verb, "expire") == 0;
    bool known = ends || strcmp(verb, "hold") == 0 || strcmp(verb, "override") == 0;
    if (ends) {
        replace(glass, room, NULL);
    } else if (known) {
        int64_t since_us = json_integer_value(json_object_get(json, "at_us"));
        int64_t until_us = json_integer_value(json_object_get(json, "until_us"));
        int64_t left_us = MIN(until_us - wall_us, MIN(until_us - since_us, BREAKGLASS_MAX_US));
        struct act *act = g_new(struct act, 1);
        *act = (struct act){
            g_strdup(room),  g_strdup(member(json, "by")), g_strdup(member(json, "reason")), since_us, until_us,
            now_us + left_us};
        replace(glass, room, act);
    }
    json_decref(json);
    return known;
}

struct breakglass *breakglass_new(const char *folder, bool reading, int64_t now_us, int64_t wall_us, GPtrArray *notes)
{
    struct breakglass *glass = g_new0(struct breakglass, 1);
    glass->reading = reading;
    glass->log_path = g_build_filename(folder, "breakglass.log", NULL);
    glass->acts = g_ptr_array_new_with_free_func(act_free);
    g_autoptr(GError) error = NULL;
    size_t size = 0;
    g_autofree char *text = file_read(glass->log_path, LOG_SIZE_MAX, &size, &error);
    if (text == NULL) {
        if (!g_error_matches(error, SB_ERROR, SB_ERROR_NOT_FOUND))
            g_ptr_array_add(notes, g_strdup_printf("what was done by hand is not known: %s", error->message));
        return glass;
    }
    glass->log_torn = size > 0 && text[size - 1] != '\n';
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    for (guint i = 0; lines[i] != NULL; i++)
        if (lines[i][0] != '\0' && !replay(glass, lines[i], now_us, wall_us) && lines[i + 1] != NULL)
            g_ptr_array_add(notes, g_strdup_printf("%s: line %u is damaged and left out", glass->log_path, i + 1));
    breakglass_expire(glass, now_us, wall_us, notes);
    for (guint i = 0; i < glass->acts->len; i++) {
        g_autofree char *one = act_text(glass->acts->pdata[i]);
        g_ptr_array_add(notes, g_strdup_printf("still in force: %s", one));
    }
    return glass;
}

void breakglass_free(struct breakglass *glass)
{
    if (glass == NULL)
        return;
    g_ptr_array_unref(glass->acts);
    g_free(glass->log_path);
    g_free(glass);
}

/* Lines are there whole and durable, or not at all. */
static bool write_lines(struct breakglass *glass, const char *lines, GError **error)
{
    bool ok = file_append(glass->log_path, lines, 0640, true, &glass->log_torn, error);
    if (!ok)
        g_prefix_error(error, "nothing was done: ");
    return ok;
}

static void add_line(GString *lines, const char *verb, const struct act *act, const char *by, const char *reason,
                     int64_t wall_us)
{
    json_t *json = json_pack("{s:I,s:s,s:s,s:s,s:I,s:s}", "at_us", (json_int_t)wall_us, "by", by, "verb", verb, "room",
                             act->room, "until_us", (json_int_t)act->until_us, "reason", reason);
    char *body = json_dumps(json, JSON_COMPACT);
    json_decref(json);
    g_string_append_printf(lines, "%s\n", body);
    free(body);
}

/* ---- commands ---- */

struct command_line {
    const char *verb;
    char *object; /* room, "hold" or "all" */
    int64_t for_us;
    char *reason;
};

static void command_line_clear(struct command_line *command)
{
    g_free(command->object);
    g_free(command->reason);
}

static bool expected(GError **error, const char *what, const char *found, const char *expects)
{
    g_autofree char *text = text_quote(found);
    g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "%s: found %s, expected %s", what, text, expects);
    return false;
}

/* Cuts the next word off; "" when there is none. g_free. */
static char *next_word(const char **at)
{
    *at += strspn(*at, " ");
    size_t len = strcspn(*at, " ");
    char *word = g_strndup(*at, len);
    *at += len;
    return word;
}

static bool read_time(const char *word, int64_t *out, GError **error)
{
    static const char units[] = "smh";
    static const int64_t seconds[] = {1, 60, 3600};
    size_t digits = strspn(word, "0123456789");
    const char *unit = digits > 0 && word[digits] != '\0' ? strchr(units, word[digits]) : NULL;
    if (digits > 0 && digits <= 5 && unit != NULL && word[digits + 1] == '\0') {
        *out = (int64_t)g_ascii_strtoull(word, NULL, 10) * seconds[unit - units] * G_USEC_PER_SEC;
        if (*out > 0 && *out <= BREAKGLASS_MAX_US)
            return true;
    }
    return expected(error, "time", word, "a number and s, m or h, more than 0 and at most 24h, like 30m");
}

static bool read_reason(const char *rest, char **out, GError **error)
{
    rest += strspn(rest, " ");
    size_t len = strlen(rest);
    if (len == 0 || len > BREAKGLASS_REASON_MAX || !text_valid(FIELD_TEXT, rest))
        return expected(error, "reason", rest, "1 to 200 bytes of printable text: who reads it later wants to know");
    *out = g_strchomp(g_strdup(rest));
    return true;
}

static const char *const verbs[] = {"hold", "override", "release"};

static const char *verb_of(const char *line)
{
    size_t len = strcspn(line, " ");
    for (size_t i = 0; i < G_N_ELEMENTS(verbs); i++)
        if (strlen(verbs[i]) == len && strncmp(line, verbs[i], len) == 0)
            return verbs[i];
    return NULL;
}

bool breakglass_knows(const char *line)
{
    return verb_of(line) != NULL;
}

static bool read_command(const char *line, struct command_line *out, GError **error)
{
    out->verb = verb_of(line);
    const char *at = line + strlen(out->verb);
    bool hold = strcmp(out->verb, "hold") == 0;
    out->object = hold ? g_strdup("") : next_word(&at);
    if (!hold && !text_valid(FIELD_NAME, out->object))
        return expected(error, strcmp(out->verb, "release") == 0 ? "release" : "room", out->object,
                        strcmp(out->verb, "release") == 0 ? "hold, all or the name of a room" : "the name of a room");
    bool reserved = strcmp(out->object, "hold") == 0 || strcmp(out->object, "all") == 0; /* words of release */
    if (strcmp(out->verb, "override") == 0 && reserved)
        return expected(error, "room", out->object, "the name of a room that release does not take for something else");
    if (strcmp(out->verb, "release") != 0) {
        g_autofree char *time = next_word(&at);
        if (!read_time(time, &out->for_us, error))
            return false;
    }
    return read_reason(at, &out->reason, error);
}

static char *begin(struct breakglass *glass, const struct command_line *command, const char *by, int64_t now_us,
                   int64_t wall_us, GError **error)
{
    struct act *act = g_new(struct act, 1);
    *act = (struct act){g_strdup(command->object), g_strdup(by),
                        g_strdup(command->reason), wall_us,
                        wall_us + command->for_us, now_us + command->for_us};
    g_autoptr(GString) lines = g_string_new(NULL);
    add_line(lines, command->verb, act, by, command->reason, wall_us);
    if (!write_lines(glass, lines->str, error)) {
        act_free(act);
        return NULL;
    }
    replace(glass, act->room, act);
    return act_text(act);
}

/* All that the line speaks of ends together, or nothing does. */
static char *release(struct breakglass *glass, const struct command_line *command, const char *by, int64_t wall_us,
                     GError **error)
{
    bool all = strcmp(command->object, "all") == 0;
    const char *room = strcmp(command->object, "hold") == 0 ? "" : command->object;
    g_autoptr(GString) lines = g_string_new(NULL);
    g_autoptr(GString) text = g_string_new(NULL);
    for (guint i = 0; i < glass->acts->len; i++) {
        const struct act *act = glass->acts->pdata[i];
        if (!all && strcmp(act->room, room) != 0)
            continue;
        g_autofree char *one = act_text(act);
        add_line(lines, "release", act, by, command->reason, wall_us);
        g_string_append_printf(text, "%s%s", text->len > 0 ? "; " : "", one);
    }
    if (text->len == 0) {
        g_autofree char *found = breakglass_text(glass);
        g_set_error(error, SB_ERROR, SB_ERROR_NOT_FOUND, "release %s: nothing to release; in force: %s",
                    command->object, found != NULL ? found : "nothing");
        return NULL;
    }
    if (!write_lines(glass, lines->str, error))
        return NULL;
    if (all)
        g_ptr_array_set_size(glass->acts, 0);
    else
        replace(glass, room, NULL);
    return g_strdup_printf("released by %s (%s): %s", by, command->reason, text->str);
}

/* ---- overrides ---- */

/* Rooms that are closed by hand, and `also` one more, or NULL; NULL-terminated, borrowed; g_free. */
static const char **closed_rooms(const struct breakglass *glass, const char *also)
{
    const char **rooms = g_new0(const char *, glass->acts->len + 2);
    unsigned n = 0;
    for (guint i = 0; i < glass->acts->len; i++) {
        const struct act *act = glass->acts->pdata[i];
        if (act->room[0] != '\0')
            rooms[n++] = act->room;
    }
    rooms[n] = also;
    return rooms;
}

bool breakglass_overlay(const struct breakglass *glass, GBytes *const parts[static PARTS], GBytes *out[static PARTS])
{
    g_autofree const char **rooms = closed_rooms(glass, NULL);
    return override_close(parts, rooms, out);
}

/* A room that this edge has, and not the last one that is open. */
static bool may_close(const struct breakglass *glass, const char *room, GBytes *const *parts, GError **error)
{
    if (parts == NULL) {
        g_set_error(error, SB_ERROR, SB_ERROR_CONFLICT,
                    "override %s: no table was applied yet that it could be laid over", room);
        return false;
    }
    if (!override_knows(parts, room)) {
        g_set_error(error, SB_ERROR, SB_ERROR_NOT_FOUND, "override %s: this edge has no way to such a room", room);
        return false;
    }
    g_autofree const char **rooms = closed_rooms(glass, room);
    GBytes *out[PARTS];
    bool ok = override_close(parts, rooms, out);
    for (unsigned i = 0; i < PARTS; i++)
        g_bytes_unref(out[i]);
    if (!ok)
        g_set_error(error, SB_ERROR, SB_ERROR_CONFLICT, "override %s: no other room would be open here", room);
    return ok;
}

char *breakglass_command(struct breakglass *glass, const char *line, const char *by, GBytes *const *parts,
                         int64_t now_us, int64_t wall_us, GError **error)
{
    struct command_line command = {0};
    char *text = NULL;
    g_assert(breakglass_knows(line) && !glass->reading);
    if (read_command(line, &command, error)) {
        if (strcmp(command.verb, "release") == 0)
            text = release(glass, &command, by, wall_us, error);
        else if (command.object[0] == '\0' || may_close(glass, command.object, parts, error))
            text = begin(glass, &command, by, now_us, wall_us, error);
    }
    command_line_clear(&command);
    return text;
}

/* ---- time ---- */

bool breakglass_expire(struct breakglass *glass, int64_t now_us, int64_t wall_us, GPtrArray *notes)
{
    bool any = false;
    for (guint i = glass->acts->len; i-- > 0;) {
        struct act *act = glass->acts->pdata[i];
        if (act->end_us > now_us)
            continue;
        g_autofree char *one = act_text(act);
        g_autoptr(GString) lines = g_string_new(NULL);
        add_line(lines, "expire", act, "", "its time is over", wall_us);
        if (!glass->reading)
            write_lines(glass, lines->str, NULL); /* who reads the log knows it without */
        g_ptr_array_add(notes, g_strdup_printf("its time is over: %s", one));
        g_ptr_array_remove_index(glass->acts, i);
        any = true;
    }
    return any;
}

int64_t breakglass_next_us(const struct breakglass *glass)
{
    int64_t next_us = INT64_MAX;
    for (guint i = 0; i < glass->acts->len; i++)
        next_us = MIN(next_us, ((const struct act *)glass->acts->pdata[i])->end_us);
    return next_us;
}
