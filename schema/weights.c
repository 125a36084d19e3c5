#include "schema/weights.h"

#include "core/error.h"
#include "schema/object.h"

#include <stdlib.h>
#include <string.h>

static void zone_weight_clear(gpointer data)
{
    g_free(((struct zone_weight *)data)->zone);
}

static void row_free(gpointer data)
{
    struct weights_row *row = data;
    g_free(row->caller);
    g_array_unref(row->zones);
    g_free(row);
}

static gint zone_compare(gconstpointer a, gconstpointer b)
{
    return strcmp(((const struct zone_weight *)a)->zone, ((const struct zone_weight *)b)->zone);
}

static gint row_compare(gconstpointer a, gconstpointer b)
{
    return strcmp((*(const struct weights_row *const *)a)->caller, (*(const struct weights_row *const *)b)->caller);
}

static bool fail(GError **error, const char *found, const char *expected)
{
    g_autofree char *quoted = text_quote(found);
    g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "weights: found %s, expected %s", quoted, expected);
    return false;
}

/* ZONE:WEIGHT */
static bool zone_parse(struct weights_row *row, const char *text, GError **error)
{
    const char *colon = strchr(text, ':');
    g_autofree char *zone = g_strndup(text, colon != NULL ? (gsize)(colon - text) : 0);
    const char *digits = colon != NULL ? colon + 1 : "";
    size_t len = strlen(digits);
    bool number = len >= 1 && len <= 4 && strspn(digits, "0123456789") == len && (len == 1 || digits[0] != '0');
    unsigned weight = number ? (unsigned)strtoul(digits, NULL, 10) : 0;
    if (!text_valid(FIELD_NAME, zone) || !number || weight > WEIGHT_MAX)
        return fail(error, text, "ZONE:WEIGHT, the weight from 0 to " G_STRINGIFY(WEIGHT_MAX));
    if (weights_of(row, zone) >= 0)
        return fail(error, text, "each zone once in a row");
    if (row->zones->len == WEIGHTS_ZONES_MAX)
        return fail(error, text, "at most " G_STRINGIFY(WEIGHTS_ZONES_MAX) " zones in a row");
    struct zone_weight item = {g_steal_pointer(&zone), weight};
    g_array_append_val(row->zones, item);
    return true;
}

static bool zones_parse(struct weights_row *row, const char *text, GError **error)
{
    g_auto(GStrv) items = g_strsplit(text, "+", WEIGHTS_ZONES_MAX + 2);
    unsigned sum = 0;
    for (char **item = items; *item != NULL; item++) {
        if (!zone_parse(row, *item, error))
            return false;
        sum += g_array_index(row->zones, struct zone_weight, row->zones->len - 1).weight;
    }
    if (sum == 0)
        return fail(error, text, "a weight above 0: somebody must be called");
    g_array_sort(row->zones, zone_compare);
    return true;
}

static bool row_parse(GPtrArray *rows, const char *text, GError **error)
{
    const char *equal = strchr(text, '=');
    struct weights_row *row = g_new0(struct weights_row, 1);
    row->caller = g_strndup(text, equal != NULL ? (gsize)(equal - text) : 0);
    row->zones = g_array_new(FALSE, FALSE, sizeof(struct zone_weight));
    g_array_set_clear_func(row->zones, zone_weight_clear);
    g_ptr_array_add(rows, row);
    if (strcmp(row->caller, WEIGHTS_OTHERS) != 0 && !text_valid(FIELD_NAME, row->caller))
        return fail(error, text, "rows as " WEIGHTS_EXAMPLE);
    for (guint i = 0; i + 1 < rows->len; i++)
        if (strcmp(((const struct weights_row *)rows->pdata[i])->caller, row->caller) == 0)
            return fail(error, text, "one row for each caller");
    return zones_parse(row, equal + 1, error);
}

GPtrArray *weights_parse(const char *text, GError **error)
{
    g_autoptr(GPtrArray) rows = g_ptr_array_new_with_free_func(row_free);
    g_auto(GStrv) texts = g_strsplit(text, ",", WEIGHTS_ROWS_MAX + 1);
    if (texts[0] == NULL || g_strv_length(texts) > WEIGHTS_ROWS_MAX) {
        fail(error, text, "1 to " G_STRINGIFY(WEIGHTS_ROWS_MAX) " rows as " WEIGHTS_EXAMPLE);
        return NULL;
    }
    for (char **row = texts; *row != NULL; row++)
        if (!row_parse(rows, *row, error))
            return NULL;
    g_ptr_array_sort(rows, row_compare);
    return g_steal_pointer(&rows);
}

char *weights_format(const GPtrArray *rows)
{
    GString *text = g_string_new(NULL);
    for (guint i = 0; i < rows->len; i++) {
        const struct weights_row *row = rows->pdata[i];
        g_string_append_printf(text, "%s%s=", i > 0 ? "," : "", row->caller);
        for (guint k = 0; k < row->zones->len; k++) {
            const struct zone_weight *item = &g_array_index(row->zones, struct zone_weight, k);
            g_string_append_printf(text, "%s%s:%u", k > 0 ? "+" : "", item->zone, item->weight);
        }
    }
    return g_string_free(text, FALSE);
}

const struct weights_row *weights_row_of(const GPtrArray *rows, const char *caller)
{
    const struct weights_row *others = NULL;
    for (guint i = 0; i < rows->len; i++) {
        const struct weights_row *row = rows->pdata[i];
        if (strcmp(row->caller, caller) == 0)
            return row;
        if (strcmp(row->caller, WEIGHTS_OTHERS) == 0)
            others = row;
    }
    return others;
}

int weights_of(const struct weights_row *row, const char *zone)
{
    for (guint i = 0; row != NULL && i < row->zones->len; i++) {
        const struct zone_weight *item = &g_array_index(row->zones, struct zone_weight, i);
        if (strcmp(item->zone, zone) == 0)
            return (int)item->weight;
    }
    return -1;
}
