/* explain_gateway.c: the part of a request's road that gateways make, in words. */
#include "server/interlocking/gateways.h"
#include "server/interlocking/lineview.h"
#include "server/interlocking/ring.h"
#include "server/interlocking/words.h"

#include <string.h>

static GPtrArray *gateways_of(const struct world *w, const char *room, GString *out)
{
    GPtrArray *in = g_ptr_array_new();
    INVENTORY_FOREACH (w->inventory, gateway, gateway) {
        g_autofree char *lever = NULL;
        if (strcmp(gateway->room, room) != 0)
            continue;
        if (strcmp(controls_value(w->controls, LEVER_GATEWAY, gateway->o.name), "out") == 0) {
            lever = world_lever_words(w, LEVER_GATEWAY, gateway->o.name);
            g_string_append_printf(out, "; %s", lever);
        } else {
            g_ptr_array_add(in, (gpointer)gateway);
        }
    }
    return in;
}

/* "line-5 (duct-middle), else line-6 (duct-middle), else line-7"; levers that are off their defaults are added to
 * `out`. */
static char *lines_words(const struct world *w, const GPtrArray *all, GString *out)
{
    GString *text = g_string_new(NULL);
    g_autoptr(GPtrArray) left = g_ptr_array_copy((GPtrArray *)all, NULL, NULL);
    while (left->len > 0) {
        g_autoptr(GPtrArray) carriers = world_lines_carrying(w, left);
        for (guint i = 0; i < carriers->len; i++) {
            g_autofree char *words = line_words(carriers->pdata[i]);
            words_append(text, i == 0 ? ", else " : ", ", words);
            g_ptr_array_remove(left, carriers->pdata[i]);
        }
    }
    for (guint i = 0; i < all->len; i++) {
        g_autofree char *lever = world_lever_words(w, LEVER_LINE, ((const struct object *)all->pdata[i])->name);
        if (lever != NULL)
            g_string_append_printf(out, "; %s", lever);
    }
    return g_string_free(text, FALSE);
}

/* "; gateways of room-b stand by at shared-a" for each; g_free. */
static char *standby_words(const GPtrArray *vips)
{
    GString *text = g_string_new(NULL);
    for (guint i = 0; i < vips->len; i++) {
        const struct gwvip *vip = vips->pdata[i];
        if (vip->standby != NULL)
            g_string_append_printf(text, "; gateways of %s stand by at %s", vip->standby, vip->o.name);
    }
    return g_string_free(text, FALSE);
}

static void turn_gateway(const struct world *w, const char *room, gateway_turn_fn fn, void *data)
{
    g_autoptr(GString) levers = g_string_new(NULL);
    g_autoptr(GPtrArray) in = gateways_of(w, room, levers), vips = g_ptr_array_new(), instances = g_ptr_array_new();
    INVENTORY_FOREACH (w->inventory, gwvip, vip)
        if (vip->to == NULL && strcmp(vip->room, room) == 0)
            g_ptr_array_add(vips, (gpointer)vip);
    INVENTORY_FOREACH (w->inventory, instance, instance)
        if (strcmp(instance->room, room) == 0)
            g_ptr_array_add(instances, (gpointer)instance);
    if (vips->len == 0)
        return;
    g_autofree char *is = objects_words(in), *at = objects_words(vips), *to = objects_words(instances),
                    *others = standby_words(vips);
    g_autofree char *why = g_strdup_printf("announce %s; hand over to %s%s%s", at, to, others, levers->str);
    fn(data, "gateway", in->len > 0 ? is : "-", why);
}

static void turn_escape(const struct world *w, const struct gwvip *vip, gateway_turn_fn fn, void *data)
{
    g_autoptr(GString) levers = g_string_new(NULL);
    g_autoptr(GPtrArray) lines = world_lines_between(w, vip->room, vip->to), in = gateways_of(w, vip->room, levers);
    g_autofree char *roads = lines_words(w, lines, levers), *who = objects_words(in);
    g_autofree char *ingress = world_lever_words(w, LEVER_ROOM_INGRESS, vip->to);
    g_autofree char *escape = world_lever_words(w, LEVER_ROOM_ESCAPE, vip->to);
    char *when = world_room_escapes_always(w, vip->to) ? g_strdup("always")
                 : world_room_ingress_open(w, vip->to) ? g_strdup_printf("while no entrance of %s is up", vip->to)
                                                       : g_strdup_printf("now: %s", ingress);
    g_autofree char *why = g_strdup_printf("%s, through %s (%s) and %s%s%s%s", when, vip->room,
                                           in->len > 0 ? who : "none of its gateways is in", roads,
                                           escape != NULL ? "; " : "", escape != NULL ? escape : "", levers->str);
    fn(data, "escape", vip->o.name, why);
    g_free(when);
}

static bool has_escape(const struct world *w, const char *room)
{
    INVENTORY_FOREACH (w->inventory, gwvip, vip)
        if (g_strcmp0(vip->to, room) == 0)
            return true;
    return false;
}

void gateway_turns(const struct world *w, const char *room, bool escapes, gateway_turn_fn fn, void *data)
{
    g_autoptr(GPtrArray) used = world_room_escapes(w, room);
    for (guint i = 0; escapes && i < used->len; i++)
        turn_escape(w, used->pdata[i], fn, data);
    if (escapes && used->len == 0 && has_escape(w, room)) {
        g_autofree char *lever = world_lever_words(w, LEVER_ROOM_ESCAPE, room);
        fn(data, "escape", "-", lever != NULL ? lever : "the room that it leads through has no public entrances");
    }
    turn_gateway(w, room, fn, data);
}

/* ---- observed ---- */

char *gateway_announces_words(const json_t *gateway)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    const json_t *vips = json_object_get(gateway, "vips"), *row;
    size_t i;
    json_array_foreach (vips, i, row)
        if (json_is_true(json_object_get(row, "announced")) && json_is_string(json_object_get(row, "name")))
            g_ptr_array_add(names, (gpointer)json_string_value(json_object_get(row, "name")));
    return words_list(names, 8);
}

/* Instances as its checks have them, each once: "origin-a up, origin-a2 down"; g_free. */
static char *backends_words(const json_t *gateway)
{
    g_autoptr(GPtrArray) words = g_ptr_array_new_with_free_func(g_free);
    const json_t *row;
    size_t i;
    json_array_foreach (json_object_get(gateway, "backends"), i, row) {
        const char *name = json_string_value(json_object_get(row, "backend"));
        const char *state = json_string_value(json_object_get(row, "state"));
        char *text = name != NULL && state != NULL ? g_strdup_printf("%s %s", name, state) : NULL;
        if (text == NULL || g_ptr_array_find_with_equal_func(words, text, g_str_equal, NULL))
            g_free(text);
        else
            g_ptr_array_add(words, text);
    }
    return words_list(words, 8);
}

static void observe_gateway(const struct gateway *gateway, const struct edge_report *report, int64_t now_us,
                            json_t *list)
{
    if (report == NULL) {
        json_array_append_new(list,
                              json_pack("{s:s, s:n, s:s}", "gateway", gateway->o.name, "age_us", "state", "silent"));
        return;
    }
    g_autofree char *announces = gateway_announces_words(report->gateway), *backends = backends_words(report->gateway);
    bool fresh = edge_report_fresh(report, now_us);
    json_array_append_new(list,
                          json_pack("{s:s, s:I, s:s, s:s, s:s}", "gateway", gateway->o.name, "age_us",
                                    (json_int_t)(now_us - report->at_us), "state", fresh ? report->state : "silent",
                                    "announces", announces, "backends", backends));
}

static void observe_line(const struct world *w, const struct observed *observed, const struct line *line,
                         int64_t now_us, json_t *list)
{
    struct line_view view;
    line_view(observed, w->inventory, line, now_us, &view);
    json_t *row = json_pack("{s:s, s:s, s:s, s:I, s:I}", "line", line->o.name, "from", line->from, "to", line->to,
                            "seen", (json_int_t)view.seen, "down", (json_int_t)view.down);
    if (view.down > 0)
        json_object_set_new(row, "down_us", json_integer((json_int_t)(now_us - view.since_us)));
    if (view.known)
        json_object_update_new(row, json_pack("{s:f, s:f}", "mbit_to", view.mbit[0], "mbit_from", view.mbit[1]));
    if (view.loss >= 0)
        json_object_set_new(row, "loss", json_real(view.loss));
    if (view.rtt_us >= 0)
        json_object_set_new(row, "rtt_us", json_integer((json_int_t)view.rtt_us));
    if (view.jitter_us >= 0)
        json_object_set_new(row, "jitter_us", json_integer((json_int_t)view.jitter_us));
    json_array_append_new(list, row);
}

static void rooms_put(GPtrArray *rooms, const char *room)
{
    if (!g_ptr_array_find_with_equal_func(rooms, room, g_str_equal, NULL))
        g_ptr_array_add(rooms, (gpointer)room);
}

void gateways_observe(const struct world *w, const struct observed *observed, const GPtrArray *rooms, bool escapes,
                      int64_t now_us, json_t *out)
{
    json_t *gateways = json_array(), *list = json_array();
    g_autoptr(GPtrArray) all = g_ptr_array_new();
    if (inventory_list(w->inventory, OBJECT_gateway)->len > 0) {
        json_object_set(out, "gateways", gateways);
        json_object_set(out, "lines", list);
    }
    for (guint i = 0; i < rooms->len; i++) {
        g_autoptr(GPtrArray) used = world_room_escapes(w, rooms->pdata[i]);
        rooms_put(all, rooms->pdata[i]);
        for (guint k = 0; escapes && k < used->len; k++) {
            const struct gwvip *escape = used->pdata[k];
            g_autoptr(GPtrArray) lines = world_lines_between(w, escape->room, escape->to);
            rooms_put(all, escape->room);
            for (guint n = 0; n < lines->len; n++)
                observe_line(w, observed, lines->pdata[n], now_us, list);
        }
    }
    INVENTORY_FOREACH (w->inventory, gateway, gateway)
        if (g_ptr_array_find_with_equal_func(all, gateway->room, g_str_equal, NULL))
            observe_gateway(gateway, observed_edge(observed, gateway->o.name), now_us, gateways);
    json_decref(gateways);
    json_decref(list);
}
