/* explain_gateway.c: the part of a request's road that gateways make, in words. */
#include "server/interlocking/gateways.h"
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

/* "line-5 (duct-middle), else line-6 (duct-middle), else line-7"; levers that are off their defaults are added to `out`. */
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
