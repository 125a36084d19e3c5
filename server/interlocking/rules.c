#include "server/interlocking/rules.h"
#include "core/error.h"
#include "schema/rule.h"
#include "server/interlocking/rules_internal.h"
#include "server/interlocking/words.h"

#include <string.h>

static const char forecast_known[] = RULE_FORECAST_KNOWN, zone_share[] = RULE_ZONE_SHARE;

/* Those that ship. */
#define SHIPPED(name_, check_, limit_)                                                                                 \
    {.o = {.kind = OBJECT_rule, .name = (char *)name_}, .check = check_, .limit = limit_},
static const struct rule shipped[] = {RULES_SHIPPED(SHIPPED)};

bool rule_exists(const struct inventory *inv, const char *name)
{
    bool known = strcmp(name, forecast_known) == 0 || INVENTORY_GET(inv, rule, name) != NULL ||
                 INVENTORY_GET(inv, reminder, name) != NULL;
    for (size_t i = 0; i < G_N_ELEMENTS(shipped); i++)
        known = known || strcmp(name, shipped[i].o.name) == 0;
    return known;
}

void rules_of_check(const struct inventory *inv, int check, GStrvBuilder *names)
{
    for (size_t i = 0; i < G_N_ELEMENTS(shipped); i++)
        if (shipped[i].check == check && INVENTORY_GET(inv, rule, shipped[i].o.name) == NULL)
            g_strv_builder_add(names, shipped[i].o.name);
    INVENTORY_FOREACH (inv, rule, rule) {
        if (rule->check == check)
            g_strv_builder_add(names, rule->o.name);
    }
}

int64_t rules_period_s(const struct inventory *inv)
{
    int64_t longest = 0;
    INVENTORY_FOREACH (inv, rule, rule) {
        longest = MAX(longest, rule->period);
    }
    return longest;
}

void refusal_free(struct refusal *refusal)
{
    if (refusal == NULL)
        return;
    g_free(refusal->rule);
    g_free(refusal->figures);
    g_free(refusal->way_round);
    g_free(refusal);
}

static void refusal_destroy(gpointer refusal)
{
    refusal_free(refusal);
}

void rules_refuse(struct judging *j, const char *rule, char *figures, char *way_round)
{
    struct refusal *refusal = g_new0(struct refusal, 1);
    refusal->rule = g_strdup(rule);
    refusal->figures = figures;
    refusal->way_round = way_round;
    g_ptr_array_add(j->refusals, refusal);
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

/* Classes of edges from which fewer than `limit` rooms would be open, and fewer than now. */
static const char *classes_closed(const struct world *then, int64_t limit, const GPtrArray *const was[EDGE_CLASSES],
                                  const GPtrArray *const will[EDGE_CLASSES])
{
    bool closed[EDGE_CLASSES];
    for (int c = 0; c < EDGE_CLASSES; c++)
        closed[c] = will[c]->len < was[c]->len && will[c]->len < limit && class_has_edges(then, c);
    if (closed[EDGE_PUBLIC] && closed[EDGE_DEDICATED])
        return "public and dedicated";
    return closed[EDGE_PUBLIC] ? "public" : closed[EDGE_DEDICATED] ? "dedicated" : NULL;
}

static char *open_way_round(const struct world *now, const char *rule)
{
    g_autofree char *levers = closing_levers(now);
    if (levers[0] == '\0')
        return g_strdup_printf("keep one room open, or override %s with a reason", rule);
    return g_strdup_printf("open another room first: %s; or override %s with a reason", levers, rule);
}

static void check_open_rooms(struct judging *j, const struct rule *rule)
{
    const struct world *now = j->change->now, *then = j->change->then;
    const struct forecast *forecast = j->change->forecast;
    g_autofree char *services = services_words(then);
    g_autoptr(GPtrArray) was_public = rooms_open(now, EDGE_PUBLIC);
    g_autoptr(GPtrArray) was_dedicated = rooms_open(now, EDGE_DEDICATED);
    g_autoptr(GPtrArray) public = rooms_open(then, EDGE_PUBLIC);
    g_autoptr(GPtrArray) dedicated = rooms_open(then, EDGE_DEDICATED);
    const char *classes = classes_closed(then, rule->limit, (const GPtrArray *const[]){was_public, was_dedicated},
                                         (const GPtrArray *const[]){public, dedicated});
    if (services == NULL || classes == NULL)
        return;
    bool of_public = g_str_has_prefix(classes, "public");
    const GPtrArray *was = of_public ? was_public : was_dedicated, *will = of_public ? public : dedicated;
    g_autofree char *open_now = words_list(was, 8);
    g_autofree char *lost = words_rate(forecast->lost);
    g_autofree char *least =
        rule->limit > 1 ? g_strdup_printf(", at least %" G_GINT64_FORMAT " must be", rule->limit) : g_strdup("");
    char *figures = g_strdup_printf(
        "%u of %u rooms would be open to %s edges for %s%s; %u of them %s now (%s); %s%s", will->len,
        inventory_list(then->inventory, OBJECT_room)->len, classes, services, least, was->len,
        was->len == 1 ? "is" : "are", open_now, forecast->known ? lost : "an unknown number of",
        forecast->known ? " healthy requests/s would be answered by nobody" : " requests would be answered by nobody");
    rules_refuse(j, rule->o.name, figures, open_way_round(now, rule->o.name));
}

static void check_open(struct judging *j, const struct rule *rule)
{
    if (rule->lever == NULL)
        check_open_rooms(j, rule);
    else
        check_open_levers(j, rule);
}

double rules_share_moved(const struct forecast *forecast)
{
    double healthy = forecast->total - forecast->failing;
    return forecast->known && healthy > 0 ? forecast->moved / healthy : 0;
}

static void check_moved(struct judging *j, const struct rule *rule)
{
    const struct forecast *forecast = j->change->forecast;
    double healthy = forecast->total - forecast->failing, moved = rules_share_moved(forecast);
    double before =
        rule->period > 0 ? rules_past_sum(j->change->past, j->change->wall_us - rule->period * G_USEC_PER_SEC) : 0;
    if (moved <= 0 || (before + moved) * 100 <= (double)rule->limit)
        return;
    g_autofree char *share = words_percent(forecast->moved, healthy);
    g_autofree char *limit = words_percent((double)rule->limit, 100);
    g_autofree char *rate = words_rate(healthy);
    g_autofree char *moved_rate = words_rate(forecast->moved);
    g_autofree char *already = words_percent(before, 1);
    g_autofree char *in =
        rule->period > 0 ? g_strdup_printf(", after %s in the last %" G_GINT64_FORMAT " s, at most %s in that time may",
                                           already, rule->period, limit)
                         : g_strdup_printf(" at once, at most %s may", limit);
    rules_refuse(j, rule->o.name,
                 g_strdup_printf("%s of %s healthy requests/s (%s/s) would change room%s", share, rate, moved_rate, in),
                 g_strdup_printf("move a smaller share at a time, or override %s with a reason", rule->o.name));
}

/* capacity: requests/s, 0: not known. row: what it would get. */
static void check_one_capacity(struct judging *j, const struct rule *rule, int64_t capacity,
                               const struct forecast_row *row)
{
    double most = (double)capacity * (double)rule->limit / 100;
    if (capacity <= 0 || row->after <= most || row->after <= row->before)
        return;
    g_autofree char *after = words_rate(row->after);
    g_autofree char *before = words_rate(row->before);
    g_autofree char *limit = words_rate(most);
    g_autofree char *whole = words_rate((double)capacity);
    rules_refuse(j, rule->o.name,
                 g_strdup_printf("%s would get %s requests/s, %s/s now, at most %s/s may come (%" G_GINT64_FORMAT
                                 " %% of its capacity of %s/s)",
                                 row->name, after, before, limit, rule->limit, whole),
                 g_strdup_printf("move fewer users, or limit or degrade services first, or override %s with a reason",
                                 rule->o.name));
}

/* Of what the row is about, requests/s; 0: not known. */
static int64_t row_capacity(const struct inventory *inv, const struct forecast_row *row)
{
    const char *slash = strchr(row->name, '/');
    const struct room *room = strcmp(row->kind, "room") == 0 ? INVENTORY_GET(inv, room, row->name) : NULL;
    const struct pool *pool = strcmp(row->kind, "pool") == 0 ? INVENTORY_GET(inv, pool, row->name) : NULL;
    const struct pop *pop =
        strcmp(row->kind, "entrance") == 0 && slash != NULL ? INVENTORY_GET(inv, pop, slash + 1) : NULL;
    if (pool != NULL)
        return pool->limit > 0 ? MIN(pool->limit, pool->capacity) : pool->capacity;
    return room != NULL ? room->capacity : pop != NULL ? pop->capacity : 0;
}

/* Of a line: Mbit/s, as far as edges have said how large requests and answers are. */
static void check_line(struct judging *j, const struct rule *rule, const struct forecast_row *row)
{
    double most = (double)row->mbit_max * (double)rule->limit / 100;
    if (row->mbit_after <= most || row->mbit_after <= row->mbit_before)
        return;
    g_autofree char *after = words_rate(row->mbit_after), *before = words_rate(row->mbit_before);
    g_autofree char *limit = words_rate(most), *whole = words_count((uint64_t)row->mbit_max);
    rules_refuse(j, rule->o.name,
                 g_strdup_printf("%s would carry %s Mbit/s, %s now, at most %s may come (%" G_GINT64_FORMAT
                                 " %% of its bandwidth of %s)",
                                 row->name, after, before, limit, rule->limit, whole),
                 g_strdup_printf("move fewer users, or limit or degrade services first, or override %s with a reason",
                                 rule->o.name));
}

const struct forecast_row *rules_fullest(const struct inventory *inv, const struct forecast *forecast,
                                         int64_t *capacity)
{
    const struct forecast_row *fullest = NULL;
    for (guint i = 0; forecast->known && i < forecast->rows->len; i++) {
        const struct forecast_row *row = forecast->rows->pdata[i];
        int64_t most = row_capacity(inv, row);
        if (most <= 0 || row->after <= row->before ||
            (fullest != NULL && row->after / (double)most <= fullest->after / (double)*capacity))
            continue;
        fullest = row;
        *capacity = most;
    }
    return fullest;
}

static void check_capacity(struct judging *j, const struct rule *rule)
{
    const struct forecast *forecast = j->change->forecast;
    for (guint i = 0; forecast->known && i < forecast->rows->len; i++) {
        const struct forecast_row *row = forecast->rows->pdata[i];
        if (row->mbit_max > 0)
            check_line(j, rule, row);
        check_one_capacity(j, rule, row_capacity(j->change->then->inventory, row), row);
    }
}

static void check_forecast_known(struct judging *j)
{
    if (j->change->forecast->known)
        return;
    g_autofree char *notes = words_list(j->change->forecast->notes, 4);
    rules_refuse(j, forecast_known,
                 g_strdup_printf("what would move is not known: %s", notes[0] != '\0' ? notes : "no rates"),
                 g_strdup("wait for the reports of the edges, or let a person ask for the change"));
}

/* No override: it would pass here, and the name servers would refuse it. */
static void check_zone_share(struct judging *j)
{
    const struct rules_case *change = j->change;
    if (change->forecast->zone_share != NULL && change->now->inventory != change->then->inventory)
        rules_refuse(j, zone_share, g_strdup(change->forecast->zone_share),
                     g_strdup("change fewer names at a time, or set dnszone.guard of the zone to off until its name "
                              "servers have converged"));
}

static bool overridden(const struct judging *j, const char *rule)
{
    return j->change->overrides != NULL && g_strv_contains(j->change->overrides, rule);
}

static void check_rule(struct judging *j, const struct rule *rule)
{
    static void (*const checks[RULE_CHECKS])(struct judging * j, const struct rule *rule) = {
        [RULE_OPEN] = check_open,     [RULE_CAPACITY] = check_capacity, [RULE_MOVED] = check_moved,
        [RULE_HOLD] = check_hold,     [RULE_GATE] = check_gate,         [RULE_CLASS] = check_class,
        [RULE_FREEZE] = check_freeze, [RULE_WINDOW] = check_window,     [RULE_HANDOVER] = check_handover,
    };
    if (!overridden(j, rule->o.name))
        checks[rule->check](j, rule);
}

GPtrArray *rules_check(const struct rules_case *change)
{
    g_autoptr(GArray) levers = lever_changes(change->now, change->then);
    struct judging j = {change, levers, g_ptr_array_new_with_free_func(refusal_destroy)};
    for (size_t i = 0; i < G_N_ELEMENTS(shipped); i++) {
        struct rule rule = shipped[i];
        if (rule.check == RULE_MOVED)
            rule.limit = (int64_t)(change->config->share_moved_max * 100 + 0.5);
        if (INVENTORY_GET(change->now->inventory, rule, rule.o.name) == NULL)
            check_rule(&j, &rule);
    }
    INVENTORY_FOREACH (change->now->inventory, rule, rule)
        check_rule(&j, rule);
    INVENTORY_FOREACH (change->now->inventory, reminder, reminder) {
        if (!overridden(&j, reminder->o.name))
            check_lock(&j, reminder);
    }
    check_zone_share(&j);
    if (change->automatic && !overridden(&j, forecast_known))
        check_forecast_known(&j);
    return j.refusals;
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
