#include "server/interlocking/rules_past.h"

struct moved_share {
    int64_t wall_us;
    double share;
};
struct rules_past {
    GHashTable *levers; /* text -> int64_t * */
    GArray *shares;     /* struct moved_share */
};

struct rules_past *rules_past_new(void)
{
    struct rules_past *past = g_new0(struct rules_past, 1);
    past->levers = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    past->shares = g_array_new(FALSE, FALSE, sizeof(struct moved_share));
    return past;
}

void rules_past_free(struct rules_past *past)
{
    if (past == NULL)
        return;
    g_hash_table_unref(past->levers);
    g_array_unref(past->shares);
    g_free(past);
}

void rules_past_lever(struct rules_past *past, const char *lever, int64_t wall_us)
{
    g_hash_table_replace(past->levers, g_strdup(lever), g_memdup2(&wall_us, sizeof wall_us));
}

void rules_past_share(struct rules_past *past, double share, int64_t wall_us)
{
    struct moved_share moved = {wall_us, share};
    if (share > 0)
        g_array_append_val(past->shares, moved);
}

static gboolean is_older(gpointer lever, gpointer at_us, gpointer since_us)
{
    (void)lever;
    return *(const int64_t *)at_us < *(const int64_t *)since_us;
}

void rules_past_forget(struct rules_past *past, int64_t since_us)
{
    g_hash_table_foreach_remove(past->levers, is_older, &since_us);
    for (guint i = past->shares->len; i-- > 0;)
        if (g_array_index(past->shares, struct moved_share, i).wall_us < since_us)
            g_array_remove_index(past->shares, i);
}

int64_t rules_past_moved_us(const struct rules_past *past, const char *lever)
{
    const int64_t *at_us = past == NULL ? NULL : g_hash_table_lookup(past->levers, lever);
    return at_us == NULL ? -1 : *at_us;
}

double rules_past_sum(const struct rules_past *past, int64_t since_us)
{
    double sum = 0;
    for (guint i = 0; past != NULL && i < past->shares->len; i++) {
        const struct moved_share *moved = &g_array_index(past->shares, struct moved_share, i);
        sum += moved->wall_us >= since_us ? moved->share : 0;
    }
    return sum;
}

static gint by_name(gconstpointer a, gconstpointer b)
{
    return g_strcmp0(*(const char *const *)a, *(const char *const *)b);
}

json_t *rules_past_to_json(const struct rules_past *past)
{
    json_t *levers = json_object(), *shares = json_array();
    g_autofree gpointer *names = g_hash_table_get_keys_as_array(past->levers, NULL);
    guint n = g_hash_table_size(past->levers);
    qsort(names, n, sizeof *names, by_name);
    for (guint i = 0; i < n; i++)
        json_object_set_new(levers, names[i], json_integer(rules_past_moved_us(past, names[i])));
    for (guint i = 0; i < past->shares->len; i++) {
        const struct moved_share *moved = &g_array_index(past->shares, struct moved_share, i);
        json_array_append_new(shares, json_pack("[I, f]", (json_int_t)moved->wall_us, moved->share));
    }
    return json_pack("{s:o, s:o}", "levers", levers, "shares", shares);
}

void rules_past_take_json(struct rules_past *past, const json_t *json)
{
    const char *lever;
    json_t *at_us, *pair;
    size_t i;
    g_hash_table_remove_all(past->levers);
    g_array_set_size(past->shares, 0);
    json_object_foreach (json_object_get(json, "levers"), lever, at_us)
        rules_past_lever(past, lever, json_integer_value(at_us));
    json_array_foreach (json_object_get(json, "shares"), i, pair)
        rules_past_share(past, json_number_value(json_array_get(pair, 1)), json_integer_value(json_array_get(pair, 0)));
}
