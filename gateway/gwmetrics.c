#include "gateway/gwmetrics.h"

#include "schema/jsondoc.h"

#include <glib.h>
#include <stdbool.h>
#include <string.h>

enum own {
#define OWN(symbol, ...) OWN_##symbol,
#define SHOWN(...)
#include "gateway/gwmetrics.def"
#undef OWN
};
static const struct metric {
    const char *name, *type, *doc;
} owns[] = {
#define OWN(symbol, name, type, doc) {name, type, doc},
#include "gateway/gwmetrics.def"
#undef OWN
#undef SHOWN
};
static const struct shown {
    const char *row, *key, *label;
    struct metric metric;
} showns[] = {
#define OWN(...)
#define SHOWN(row, key, label, name, type, doc) {row, key, label, {name, type, doc}},
#include "gateway/gwmetrics.def"
#undef OWN
#undef SHOWN
};

/* ---- lines ---- */

static void open_metric(GString *out, const struct metric *metric)
{
    g_string_append_printf(out, "# HELP %s %s\n# TYPE %s %s\n", metric->name, metric->doc, metric->name, metric->type);
}

static void add_labels(GString *out, const char *const *labels)
{
    for (unsigned i = 0; labels[i] != NULL; i += 2) {
        GString *value = g_string_new(labels[i + 1]);
        g_string_replace(value, "\\", "\\\\", 0);
        g_string_replace(value, "\"", "\\\"", 0);
        g_string_replace(value, "\n", "\\n", 0);
        g_string_append_printf(out, "%s%s=\"%s\"", i == 0 ? "{" : ",", labels[i], value->str);
        g_string_free(value, TRUE);
    }
    g_string_append(out, labels[0] != NULL ? "} " : " ");
}

/* labels: names and values in turn, then NULL. */
static void add(GString *out, const struct metric *metric, const char *const *labels, const char *value)
{
    g_string_append(out, metric->name);
    add_labels(out, labels);
    g_string_append_printf(out, "%s\n", value);
}

static void add_number(GString *out, enum own own, const char *const *labels, json_int_t value)
{
    g_autofree char *text = g_strdup_printf("%lld", (long long)value);
    add(out, &owns[own], labels, text);
}

static json_int_t number_in(const json_t *row, const char *name)
{
    const json_t *value = json_object_get(row, name);
    return json_is_boolean(value) ? json_is_true(value) : json_integer_value(value);
}

/* ---- the agent's ---- */

static void add_agent(GString *out, const json_t *status, const json_t *gateway)
{
    static const char *const none[] = {NULL};
    const char *const state[] = {"state", json_member_shown(status, "state"), NULL};
    open_metric(out, &owns[OWN_GENERATION]);
    add_number(out, OWN_GENERATION, none, number_in(json_object_get(status, "applied"), "generation"));
    open_metric(out, &owns[OWN_STATE]);
    add_number(out, OWN_STATE, state, 1);
    open_metric(out, &owns[OWN_FORWARDER]);
    add_number(out, OWN_FORWARDER, none, number_in(gateway, "forwarder"));
    open_metric(out, &owns[OWN_TABLE]);
    add_number(out, OWN_TABLE, none, number_in(gateway, "table"));
}

static void add_vips(GString *out, enum own own, const json_t *vips)
{
    size_t i;
    const json_t *row;
    open_metric(out, &owns[own]);
    json_array_foreach (vips, i, row) {
        bool announced = json_is_true(json_object_get(row, "announced"));
        bool fails = json_is_string(json_object_get(row, "bird"));
        const char *const labels[] = {"vip", json_member_shown(row, "name"), own == OWN_WHY ? "cause" : NULL,
                                      json_member_shown(row, "why"), NULL};
        if (own != OWN_WHY || !announced)
            add_number(out, own, labels, own == OWN_ANNOUNCED ? announced : own == OWN_BIRD ? fails : 1);
    }
}

static void add_backends(GString *out, enum own own, const json_t *rows)
{
    size_t i;
    const json_t *row;
    open_metric(out, &owns[own]);
    json_array_foreach (rows, i, row) {
        const char *labels[] = {"service",
                                json_member_shown(row, "service"),
                                own == OWN_PROBE_UP ? NULL : "backend",
                                json_member_shown(row, "backend"),
                                NULL,
                                NULL,
                                NULL};
        if (own == OWN_BACKEND_UP || own == OWN_PROBE_UP)
            add_number(out, own, labels, strcmp(json_member_shown(row, "state"), "down") != 0);
        else if (own == OWN_BACKEND_WEIGHT)
            add_number(out, own, labels, number_in(row, "weight"));
        for (unsigned k = 0; own == OWN_CHECKS && k < 2; k++) {
            labels[4] = "outcome";
            labels[5] = k == 0 ? "good" : "bad";
            add_number(out, own, labels, number_in(row, labels[5]));
        }
    }
}

/* ---- the forwarder's ---- */

/* False: it is no value. */
static bool value_of(const char *key, const char *word, char text[static G_ASCII_DTOSTR_BUF_SIZE])
{
    guint64 number;
    if (g_ascii_string_to_unsigned(word, 10, 0, G_MAXUINT64, &number, NULL)) {
        if (g_str_has_suffix(key, "_us"))
            g_ascii_formatd(text, G_ASCII_DTOSTR_BUF_SIZE, "%.6f", (double)number / 1e6);
        else
            g_snprintf(text, G_ASCII_DTOSTR_BUF_SIZE, "%" G_GUINT64_FORMAT, number);
        return true;
    }
    g_strlcpy(text, strcmp(word, "up") == 0 ? "1" : "0", G_ASCII_DTOSTR_BUF_SIZE);
    return g_ascii_isalpha(word[0]) && strcmp(key, "bfd") == 0;
}

static bool has_entry(const char *row, const char *key)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(showns); i++)
        if (strcmp(showns[i].row, row) == 0 && strcmp(showns[i].key, key) == 0)
            return true;
    return false;
}

/* One line; its pairs begin behind the row's name, and behind its number, where it has one: `stalls 3 ...` is a pair
 * itself. */
static void add_line(GString *out, const struct shown *shown, char **words, guint n)
{
    bool each = strcmp(shown->key, "*") == 0, numbered = !each && shown->label != NULL;
    guint first = strcmp(shown->row, "stalls") == 0 ? 0 : numbered ? 2 : 1;
    char value[G_ASCII_DTOSTR_BUF_SIZE];
    for (guint i = first; i + 1 < n; i += 2) {
        bool is = each ? !has_entry(shown->row, words[i]) : strcmp(words[i], shown->key) == 0;
        const char *const labels[] = {shown->label, each ? words[i] : words[1], NULL};
        if (is && value_of(words[i], words[i + 1], value))
            add(out, &shown->metric, labels, value);
    }
}

static void add_shown(GString *out, const struct shown *shown, const json_t *lines)
{
    size_t i;
    const json_t *line;
    open_metric(out, &shown->metric);
    json_array_foreach (lines, i, line) {
        g_auto(GStrv) words = g_strsplit(json_string_value(line) != NULL ? json_string_value(line) : "", " ", -1);
        if (words[0] != NULL && strcmp(words[0], shown->row) == 0)
            add_line(out, shown, words, g_strv_length(words));
    }
}

char *gwmetrics_text(const json_t *status)
{
    GString *out = g_string_new(NULL);
    const json_t *gateway = json_object_get(status, "gateway");
    add_agent(out, status, gateway);
    for (enum own own = OWN_ANNOUNCED; own <= OWN_BIRD; own++)
        add_vips(out, own, json_object_get(gateway, "vips"));
    for (enum own own = OWN_BACKEND_UP; own <= OWN_CHECKS; own++)
        add_backends(out, own, json_object_get(gateway, "backends"));
    add_backends(out, OWN_PROBE_UP, json_object_get(gateway, "probes"));
    for (unsigned i = 0; i < G_N_ELEMENTS(showns); i++)
        add_shown(out, &showns[i], json_object_get(gateway, "shown"));
    return g_string_free(out, FALSE);
}
