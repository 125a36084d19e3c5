#include "server/interlocking/lineview.h"

#include <string.h>

/* ---- of one gateway ---- */

static void read_pair(struct adjacency *adjacency, const char *name, const char *value)
{
    if (strcmp(name, "bfd") == 0) {
        adjacency->watched = true;
        adjacency->up = strcmp(value, "up") == 0;
    } else if (strcmp(name, "tx_bytes") == 0) {
        adjacency->tx_bytes = g_ascii_strtoull(value, NULL, 10);
    } else if (strcmp(name, "loss") == 0) {
        adjacency->loss = g_ascii_strtod(value, NULL);
    } else if (strcmp(name, "rtt_us") == 0) {
        adjacency->rtt_us = g_ascii_strtoll(value, NULL, 10);
    } else if (strcmp(name, "jitter_us") == 0) {
        adjacency->jitter_us = g_ascii_strtoll(value, NULL, 10);
    }
}

GArray *adjacencies_read(const json_t *gateway, int64_t at_us)
{
    GArray *all = g_array_new(FALSE, TRUE, sizeof(struct adjacency));
    const json_t *row;
    size_t i;
    json_array_foreach (json_object_get(gateway, "shown"), i, row) {
        const char *text = json_string_value(row);
        if (text == NULL || !g_str_has_prefix(text, "adjacency "))
            continue;
        g_auto(GStrv) words = g_strsplit(text, " ", -1);
        struct adjacency adjacency = {
            .since_us = at_us, .base_us = at_us, .tx_mbit = -1, .loss = -1, .rtt_us = -1, .jitter_us = -1};
        for (guint w = 2; words[w - 1] != NULL && words[w] != NULL && words[w + 1] != NULL; w += 2)
            read_pair(&adjacency, words[w], words[w + 1]);
        adjacency.place = (unsigned)g_ascii_strtoull(words[1], NULL, 10);
        adjacency.base_bytes = adjacency.tx_bytes;
        g_array_append_val(all, adjacency);
    }
    return all;
}

static const struct adjacency *at_place(const GArray *adjacencies, unsigned place)
{
    for (guint i = 0; i < adjacencies->len; i++) {
        const struct adjacency *adjacency = &g_array_index(adjacencies, struct adjacency, i);
        if (adjacency->place == place)
            return adjacency;
    }
    return NULL;
}

void adjacencies_keep(GArray *now, const GArray *before, int64_t at_us)
{
    for (guint i = 0; i < now->len; i++) {
        struct adjacency *adjacency = &g_array_index(now, struct adjacency, i);
        const struct adjacency *was = at_place(before, adjacency->place);
        if (was == NULL)
            continue;
        if (was->watched == adjacency->watched && was->up == adjacency->up)
            adjacency->since_us = was->since_us;
        if (adjacency->tx_bytes < was->tx_bytes) /* a forwarder that was started anew */
            continue;
        if (at_us - was->base_us < LINE_WINDOW_US) {
            adjacency->base_us = was->base_us;
            adjacency->base_bytes = was->base_bytes;
            adjacency->tx_mbit = was->tx_mbit;
        } else {
            adjacency->tx_mbit = 8.0 * (double)(adjacency->tx_bytes - was->base_bytes) / (double)(at_us - was->base_us);
        }
    }
}

json_t *adjacencies_to_json(const GArray *adjacencies, int64_t now_us)
{
    json_t *ages = json_array();
    for (guint i = 0; i < adjacencies->len; i++) {
        const struct adjacency *adjacency = &g_array_index(adjacencies, struct adjacency, i);
        json_array_append_new(ages, json_pack("{s:i, s:I}", "place", (int)adjacency->place, "for_us",
                                              (json_int_t)(now_us - adjacency->since_us)));
    }
    return ages;
}

void adjacencies_restore(GArray *adjacencies, const json_t *ages, int64_t now_us)
{
    const json_t *age;
    size_t i;
    json_array_foreach (ages, i, age) {
        struct adjacency *adjacency =
            (struct adjacency *)at_place(adjacencies, (unsigned)json_integer_value(json_object_get(age, "place")));
        if (adjacency != NULL)
            adjacency->since_us = now_us - json_integer_value(json_object_get(age, "for_us"));
    }
}

/* ---- of one line ---- */

static void add_end(struct line_view *view, const struct adjacency *adjacency, double *mbit)
{
    if (adjacency->watched)
        view->seen++;
    if (adjacency->watched && !adjacency->up) {
        view->down++;
        view->since_us = MIN(view->since_us, adjacency->since_us);
    }
    if (adjacency->tx_mbit >= 0) {
        view->known = true;
        *mbit += adjacency->tx_mbit;
    }
    view->loss = MAX(view->loss, adjacency->loss);
    view->rtt_us = MAX(view->rtt_us, adjacency->rtt_us);
    view->jitter_us = MAX(view->jitter_us, adjacency->jitter_us);
}

void line_view(const struct observed *observed, const struct inventory *inventory, const struct line *line,
               int64_t now_us, struct line_view *out)
{
    *out = (struct line_view){.since_us = now_us, .loss = -1, .rtt_us = -1, .jitter_us = -1};
    INVENTORY_FOREACH (inventory, gwport, port) {
        if (g_strcmp0(port->line, line->o.name) != 0)
            continue;
        const struct gateway *gateway = INVENTORY_GET(inventory, gateway, port->gateway);
        const struct edge_report *report = observed_edge(observed, port->gateway);
        if (gateway == NULL || !edge_report_fresh(report, now_us))
            continue;
        const struct adjacency *adjacency = at_place(report->adjacencies, (unsigned)port->place);
        if (adjacency != NULL)
            add_end(out, adjacency, &out->mbit[strcmp(gateway->room, line->from) != 0]);
    }
}
