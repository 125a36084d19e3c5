#include "server/interlocking/rules.h"
#include "core/error.h"
#include "server/interlocking/words.h"

#include <string.h>

static const char last_open[] = "last-open", share_moved[] = "share-moved", forecast_known[] = "forecast-known",
                  zone_share[] = "zone-share";

bool rule_exists(const char *name)
{
    return strcmp(name, last_open) == 0 || strcmp(name, share_moved) == 0 || strcmp(name, forecast_known) == 0;
}

void refusal_free(struct refusal *refusal)
{
    if (refusal == NULL)
        return;
    g_free(refusal->figures);
    g_free(refusal->way_round);
    g_free(refusal);
}

static void refusal_destroy(gpointer refusal)
{
    refusal_free(refusal);
}

/* Takes both texts. */
static void refuse(GPtrArray *refusals, const char *rule, char *figures, char *way_round)
{
    struct refusal *refusal = g_new0(struct refusal, 1);
    refusal->rule = rule;
    refusal->figures = figures;
    refusal->way_round = way_round;
    g_ptr_array_add(refusals, refusal);
}

static bool class_has_edges(const struct world *w, int edge_class)
{
    INVENTORY_FOREACH (w->inventory, edge, edge) {
        if (edge->class == edge_class)
            return true;
    }
    return false;
}

/* Rooms that multi-active services can be reached in from edges of a class: names of the world. */
static GPtrArray *rooms_open(const struct world *w, int edge_class)
{
    GPtrArray *rooms = g_ptr_array_new();
    INVENTORY_FOREACH (w->inventory, room, room) {
        if (world_room_usable(w, edge_class, true, room->o.name))
            g_ptr_array_add(rooms, room->o.name);
    }
    return rooms;
}

static char *services_words(const struct world *w)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    INVENTORY_FOREACH (w->inventory, service, service) {
        if (service->active == SERVICE_MULTI)
            g_ptr_array_add(names, service->o.name);
    }
    if (names->len == 0)
        return NULL;
    g_autofree char *list = words_list(names, 8);
    g_autofree char *count = words_plural(names->len, "multi-active service");
    return g_strdup_printf("%s (%s)", count, list);
}

/* The levers that keep rooms closed to multi-active services; "" when there are none. */
static char *closing_levers(const struct world *w)
{
    static const enum lever levers[] = {LEVER_ROOM_COMPUTE, LEVER_ROOM_INGRESS};
    GString *text = g_string_new(NULL);
    INVENTORY_FOREACH (w->inventory, room, room) {
        const bool open[] = {world_room_compute_open(w, room->o.name), world_room_ingress_open(w, room->o.name)};
        for (guint i = 0; i < G_N_ELEMENTS(levers); i++) {
            g_autofree char *words = open[i] ? NULL : world_lever_words(w, levers[i], room->o.name);
            if (words != NULL)
                words_append(text, "; ", words);
        }
    }
    return g_string_free(text, FALSE);
}

/* A change is not refused for what was so before it: else nothing could be mended. */
static const char *classes_closed(const struct world *then, const GPtrArray *const was[EDGE_CLASSES],
                                  const GPtrArray *const will[EDGE_CLASSES])
{
    bool closed[EDGE_CLASSES];
    for (int c = 0; c < EDGE_CLASSES; c++)
        closed[c] = was[c]->len > 0 && will[c]->len == 0 && class_has_edges(then, c);
    if (closed[EDGE_PUBLIC] && closed[EDGE_DEDICATED])
        return "public and dedicated";
    return closed[EDGE_PUBLIC] ? "public" : closed[EDGE_DEDICATED] ? "dedicated" : NULL;
}

static char *last_open_way_round(const struct world *now)
{
    g_autofree char *levers = closing_levers(now);
    if (levers[0] == '\0')
        return g_strdup("keep one room open, or override last-open with a reason");
    return g_strdup_printf("open another room first: %s; or override last-open with a reason", levers);
}

static void check_last_open(GPtrArray *refusals, const struct world *now, const struct world *then,
                            const struct forecast *forecast)
{
    g_autofree char *services = services_words(then);
    g_autoptr(GPtrArray) was_public = rooms_open(now, EDGE_PUBLIC);
    g_autoptr(GPtrArray) was_dedicated = rooms_open(now, EDGE_DEDICATED);
    g_autoptr(GPtrArray) public = rooms_open(then, EDGE_PUBLIC);
    g_autoptr(GPtrArray) dedicated = rooms_open(then, EDGE_DEDICATED);
    const char *classes = classes_closed(then, (const GPtrArray *const[]){was_public, was_dedicated},
                                         (const GPtrArray *const[]){public, dedicated});
    if (services == NULL || classes == NULL)
        return;
    const GPtrArray *was = was_public->len > 0 ? was_public : was_dedicated;
    g_autofree char *open_now = words_list(was, 8);
    g_autofree char *lost = words_rate(forecast->lost);
    char *figures = g_strdup_printf(
        "0 of %u rooms would be open to %s edges for %s; %u of them %s now (%s); %s%s",
        inventory_list(then->inventory, OBJECT_room)->len, classes, services, was->len, was->len == 1 ? "is" : "are",
        open_now, forecast->known ? lost : "an unknown number of",
        forecast->known ? " healthy requests/s would be answered by nobody" : " requests would be answered by nobody");
    refuse(refusals, last_open, figures, last_open_way_round(now));
}

static void check_share_moved(GPtrArray *refusals, double max, const struct forecast *forecast)
{
    double healthy = forecast->total - forecast->failing;
    if (!forecast->known || healthy <= 0 || forecast->moved <= max * healthy)
        return;
    g_autofree char *share = words_percent(forecast->moved, healthy);
    g_autofree char *limit = words_percent(max, 1);
    g_autofree char *rate = words_rate(healthy);
    g_autofree char *moved = words_rate(forecast->moved);
    refuse(refusals, share_moved,
           g_strdup_printf("%s of %s healthy requests/s (%s/s) would change room at once, at most %s may", share, rate,
                           moved, limit),
           g_strdup("move a smaller share at a time, or override share-moved with a reason"));
}

static void check_forecast_known(GPtrArray *refusals, const struct forecast *forecast)
{
    if (forecast->known)
        return;
    g_autofree char *notes = words_list(forecast->notes, 4);
    refuse(refusals, forecast_known,
           g_strdup_printf("what would move is not known: %s", notes[0] != '\0' ? notes : "no rates"),
           g_strdup("wait for the reports of the edges, or let a person ask for the change"));
}

/* No override: it would pass here, and the name servers would refuse it. */
static void check_zone_share(GPtrArray *refusals, const struct world *now, const struct world *then,
                             const struct forecast *forecast)
{
    if (forecast->zone_share != NULL && now->inventory != then->inventory)
        refuse(refusals, zone_share, g_strdup(forecast->zone_share),
               g_strdup("change fewer names at a time, or set dnszone.guard of the zone to off until its name servers "
                        "have converged"));
}

static bool overridden(const char *const *overrides, const char *rule)
{
    return overrides != NULL && g_strv_contains(overrides, rule);
}

GPtrArray *rules_check(const struct rules_config *config, const struct world *now, const struct world *then,
                       const struct forecast *forecast, bool automatic, const char *const *overrides)
{
    GPtrArray *refusals = g_ptr_array_new_with_free_func(refusal_destroy);
    if (!overridden(overrides, last_open))
        check_last_open(refusals, now, then, forecast);
    if (!overridden(overrides, share_moved))
        check_share_moved(refusals, config->share_moved_max, forecast);
    check_zone_share(refusals, now, then, forecast);
    if (automatic && !overridden(overrides, forecast_known))
        check_forecast_known(refusals, forecast);
    return refusals;
}

bool refusals_error(const GPtrArray *refusals, GError **error)
{
    GString *text = g_string_new(NULL);
    for (guint i = 0; i < refusals->len; i++) {
        const struct refusal *refusal = refusals->pdata[i];
        g_string_append_printf(text, "%srule %s: %s. Way round: %s", i == 0 ? "" : ". ", refusal->rule,
                               refusal->figures, refusal->way_round);
    }
    g_set_error_literal(error, SB_ERROR, SB_ERROR_REFUSED, text->str);
    g_string_free(text, TRUE);
    return false;
}
