/* explain_text.c: what explain() found, as people and golden cases read it. */
#include "server/interlocking/explain.h"
#include "schema/jsondoc.h"
#include "server/interlocking/words.h"

#include <string.h>

static uint64_t count_of(const json_t *json, const char *key)
{
    return (uint64_t)json_integer_value(json_object_get(json, key));
}

static size_t widest(const json_t *list, const char *key)
{
    size_t i, width = 0;
    const json_t *row;
    json_array_foreach (list, i, row)
        width = MAX(width, strlen(json_member_shown(row, key)));
    return width;
}

static void text_head(GString *text, const json_t *explained)
{
    const json_t *user = json_object_get(explained, "user");
    g_string_append(text, json_member_shown(explained, "url"));
    if (json_is_string(user))
        g_string_append_printf(text, "  user %s", json_string_value(user));
    g_string_append_c(text, '\n');
}

static void text_turns(GString *text, const json_t *explained)
{
    const json_t *turns = json_object_get(explained, "turns"), *row;
    int at = MAX(8, (int)widest(turns, "at")), width = (int)widest(turns, "is");
    g_string_append_printf(text, "intended, generation %" G_GUINT64_FORMAT "\n", count_of(explained, "generation"));
    size_t i;
    json_array_foreach (turns, i, row)
        g_string_append_printf(text, "  %-*s  %-*s  %s\n", at, json_member_shown(row, "at"), width,
                               json_member_shown(row, "is"), json_member_shown(row, "why"));
}

/* "room-a/pop-a1", "relay", or "nobody" */
static char *answerer(const json_t *row)
{
    const char *room = json_member_shown(row, "room"), *via = json_member_shown(row, "via");
    if (room[0] == '\0')
        return g_strdup(via[0] != '\0' ? via : "nobody");
    return via[0] != '\0' ? g_strdup_printf("%s/%s", room, via) : g_strdup(room);
}

static void text_counters(GString *text, const json_t *explained, const char *edge)
{
    const json_t *rows = json_object_get(explained, "observed"), *row;
    size_t i;
    json_array_foreach (rows, i, row) {
        if (strcmp(json_member_shown(row, "edge"), edge) != 0)
            continue;
        g_autofree char *who = answerer(row);
        g_autofree char *requests = words_plural(count_of(row, "requests"), "request");
        g_autofree char *failed = words_count(count_of(row, "failed"));
        g_autofree char *rate = words_rate(json_number_value(json_object_get(row, "rate")));
        g_string_append_printf(text, "    %-16s  %s, %s failed, %s/s\n", who, requests, failed, rate);
    }
}

static void text_probe(GString *text, const json_t *explained, const char *edge)
{
    const json_t *rows = json_object_get(explained, "probes"), *row;
    size_t i;
    json_array_foreach (rows, i, row) {
        const char *room = json_member_shown(row, "room");
        if (strcmp(json_member_shown(row, "edge"), edge) == 0)
            g_string_append_printf(text, "    %-16s  %s\n", "probe", room[0] != '\0' ? room : "failed");
    }
}

static void text_origins(GString *text, const json_t *explained, const char *edge)
{
    const json_t *rows = json_object_get(explained, "origins"), *row;
    GString *line = g_string_new(NULL);
    size_t i;
    json_array_foreach (rows, i, row) {
        if (strcmp(json_member_shown(row, "edge"), edge) != 0)
            continue;
        g_autofree char *who = answerer(row);
        bool up = json_is_true(json_object_get(row, "up"));
        g_autofree char *words =
            up ? g_strdup_printf("%s up", who) : g_strdup_printf("%s down (%s)", who, json_member_shown(row, "status"));
        words_append(line, ", ", words);
    }
    if (line->len > 0)
        g_string_append_printf(text, "    %-16s  %s\n", "entrances", line->str);
    g_string_free(line, TRUE);
}

static void text_holds(GString *text, const json_t *explained, const char *edge)
{
    const json_t *rows = json_object_get(explained, "holds"), *row;
    size_t i;
    json_array_foreach (rows, i, row) {
        if (strcmp(json_member_shown(row, "edge"), edge) != 0)
            continue;
        const json_t *user = json_object_get(row, "user_home");
        g_string_append_printf(text, "    %-16s  %s, by the edge itself: %u of %u slots are home%s\n", "held away",
                               json_member_shown(row, "room"), (unsigned)count_of(row, "home"), SLOT_COUNT,
                               user == NULL         ? ""
                               : json_is_true(user) ? "; this user is"
                                                    : "; this user is not");
    }
}

static void text_edge(GString *text, const json_t *explained, const json_t *row)
{
    const char *edge = json_member_shown(row, "edge");
    if (json_is_null(json_object_get(row, "age_us"))) {
        g_string_append_printf(text, "  %s  has never reported\n", edge);
        return;
    }
    uint64_t tenths = count_of(row, "age_us") / 100000;
    g_string_append_printf(text, "  %s  %s, generation %" G_GUINT64_FORMAT ", %u.%u s ago\n", edge,
                           json_member_shown(row, "state"), count_of(row, "generation"), (unsigned)(tenths / 10),
                           (unsigned)(tenths % 10));
    text_counters(text, explained, edge);
    text_probe(text, explained, edge);
    text_origins(text, explained, edge);
    text_holds(text, explained, edge);
}

static void text_gateway(GString *text, const json_t *row)
{
    const char *name = json_member_shown(row, "gateway");
    const char *announces = json_member_shown(row, "announces"), *backends = json_member_shown(row, "backends");
    if (json_is_null(json_object_get(row, "age_us"))) {
        g_string_append_printf(text, "  %s  has never reported\n", name);
        return;
    }
    g_string_append_printf(text, "  %s  %s\n    %-16s  %s\n", name, json_member_shown(row, "state"), "announces",
                           announces[0] != '\0' ? announces : "nothing");
    if (backends[0] != '\0')
        g_string_append_printf(text, "    %-16s  %s\n", "backends", backends);
}

static void text_line(GString *text, const json_t *row)
{
    uint64_t seen = count_of(row, "seen"), down = count_of(row, "down");
    const json_t *to = json_object_get(row, "mbit_to"), *loss = json_object_get(row, "loss");
    g_autofree char *ends = words_plural(seen, "end");
    g_string_append_printf(text, "  %s  ", json_member_shown(row, "line"));
    if (seen == 0)
        g_string_append(text, "no gateway has told of it");
    else if (down == 0)
        g_string_append_printf(text, "up at %s", ends);
    else
        g_string_append_printf(text, "down at %u of %s for %.1f s", (unsigned)down, ends,
                               (double)count_of(row, "down_us") / G_USEC_PER_SEC);
    if (to != NULL) {
        g_autofree char *forth = words_rate(json_number_value(to));
        g_autofree char *back = words_rate(json_number_value(json_object_get(row, "mbit_from")));
        g_string_append_printf(text, "; %s Mbit/s to %s, %s to %s", forth, json_member_shown(row, "to"), back,
                               json_member_shown(row, "from"));
    }
    if (loss != NULL)
        g_string_append_printf(text, "; loss %.1f %%", 100 * json_number_value(loss));
    if (json_object_get(row, "rtt_us") != NULL)
        g_string_append_printf(text, "; %.1f ms there and back", (double)count_of(row, "rtt_us") / 1000);
    g_string_append_c(text, '\n');
}

char *explain_text(const json_t *explained)
{
    GString *text = g_string_new(NULL);
    text_head(text, explained);
    text_turns(text, explained);
    g_string_append_printf(text, "observed, policy %s\n", json_member_shown(explained, "policy"));
    const json_t *edges = json_object_get(explained, "edges"), *row;
    size_t i;
    json_array_foreach (edges, i, row)
        text_edge(text, explained, row);
    json_array_foreach (json_object_get(explained, "gateways"), i, row)
        text_gateway(text, row);
    json_array_foreach (json_object_get(explained, "lines"), i, row)
        text_line(text, row);
    return g_string_free(text, FALSE);
}
