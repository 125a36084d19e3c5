#include "server/interlocking/alarms.h"
#include "server/interlocking/escapes.h"
#include "server/interlocking/gateways.h"
#include "server/interlocking/lineview.h"
#include "server/interlocking/ring.h"
#include "server/interlocking/words.h"

#include <string.h>

/* What is looked at, and what was found. */
struct search {
    const struct world *world;
    const struct observed *observed;
    int64_t started_us, now_us;
    GPtrArray *found;
    GHashTable *told; /* const struct line *: alarms of escapes are theirs, too */
};

static void alarm_free(gpointer data)
{
    struct alarm *alarm = data;
    g_free(alarm->key);
    g_free(alarm->object);
    g_free(alarm->title);
    g_free(alarm->evidence);
    g_free(alarm->plan);
    g_free(alarm);
}

/* Takes title and evidence. */
static struct alarm *add(struct search *s, const char *kind, enum alarm_priority priority, const char *object,
                         int64_t since_us, char *title, char *evidence)
{
    struct alarm *alarm = g_new0(struct alarm, 1);
    *alarm = (struct alarm){.kind = kind,
                            .priority = priority,
                            .key = g_strdup_printf("%s/%s", kind, object),
                            .object = g_strdup(object),
                            .title = title,
                            .evidence = evidence,
                            .since_us = since_us};
    g_ptr_array_add(s->found, alarm);
    return alarm;
}

/* A site may have removed the plan, or written its own of that name. */
static void suggest(const struct search *s, struct alarm *alarm, const char *name, enum object_kind target)
{
    const struct plan *plan = s->world->plans != NULL ? g_hash_table_lookup(s->world->plans, name) : NULL;
    if (plan != NULL && plan->target_kind == (int)target)
        alarm->plan = g_strdup(name);
}

/* ---- entrances ---- */

/* "pop-a1 down at 2 of 2 edges, L4TOUT"; g_free. */
static char *view_text(const char *via, const struct entrance_view *view)
{
    g_autofree char *edges = words_plural(view->seen, "edge");
    return g_strdup_printf("%s down at %u of %s%s%s", via, view->down, edges, view->status[0] != '\0' ? ", " : "",
                           view->status);
}

static bool given_up(const struct entrance_view *view)
{
    return view->down >= MIN(view->seen, ALARM_EDGES) && 2 * view->down >= view->seen && view->down > 0;
}

static void find_pop(struct search *s, const struct pop *pop)
{
    struct entrance_view view;
    observed_entrance(s->observed, s->world->inventory, pop->room, pop->o.name, s->now_us, &view);
    if (view.down == 0)
        return;
    bool whole = given_up(&view), in = world_pop_in(s->world, pop);
    struct alarm *alarm =
        add(s, "pop", whole && in ? ALARM_NEAR : ALARM_LOOK, pop->o.name, view.since_us,
            g_strdup_printf("%s is down%s", pop->o.name, whole ? "" : " at some edges"), view_text(pop->o.name, &view));
    if (in)
        suggest(s, alarm, "pop-drain", OBJECT_pop);
}

/* Some edges that do not come to it over the ring are alarms of their own, find_ring_loss. */
static void find_ring(struct search *s, const char *room)
{
    struct entrance_view view;
    observed_entrance(s->observed, s->world->inventory, room, "ring", s->now_us, &view);
    if (given_up(&view))
        add(s, "ring", ALARM_NEAR, room, view.since_us, g_strdup_printf("%s: no dedicated line leads there", room),
            view_text("ring", &view));
}

/* All of a room's POPs are down: one alarm, and none for each. False: they are not. */
static bool find_entrances(struct search *s, const struct room *room)
{
    g_autoptr(GString) evidence = g_string_new(NULL);
    int64_t since_us = INT64_MIN; /* the last of them made it so */
    unsigned pops = 0;
    INVENTORY_FOREACH (s->world->inventory, pop, pop) {
        struct entrance_view view;
        if (strcmp(pop->room, room->o.name) != 0)
            continue;
        observed_entrance(s->observed, s->world->inventory, room->o.name, pop->o.name, s->now_us, &view);
        if (!given_up(&view))
            return false;
        g_autofree char *text = view_text(pop->o.name, &view);
        words_append(evidence, "; ", text);
        since_us = MAX(since_us, view.since_us);
        pops++;
    }
    if (pops == 0)
        return false;
    bool open = world_room_ingress_open(s->world, room->o.name) && world_room_compute_open(s->world, room->o.name);
    struct alarm *alarm = add(s, "entrances", open ? ALARM_HURT : ALARM_LOOK, room->o.name, since_us,
                              g_strdup_printf("%s: every POP is down", room->o.name), g_strdup(evidence->str));
    if (open)
        suggest(s, alarm, "room-isolated", OBJECT_room);
    return true;
}

/* "line-5 down at 4 of 4 ends"; g_free. */
static char *line_view_text(const struct line *line, const struct line_view *view)
{
    g_autofree char *ends = words_plural(view->seen, "end"), *words = line_words(line);
    return g_strdup_printf("%s down at %u of %s", words, view->down, ends);
}

/* All escapes of a room are cut: one alarm, and none for each line. entrances: all of the room's are down. */
static void find_escapes(struct search *s, const char *room, bool entrances)
{
    g_autoptr(GString) evidence = g_string_new(NULL);
    g_autoptr(GPtrArray) escapes = world_room_escapes(s->world, room);
    int64_t since_us = INT64_MIN; /* the last of them made it so */
    if (escapes->len == 0 || room_has_escape(s->world, s->observed, room, s->now_us))
        return;
    for (guint i = 0; i < escapes->len; i++) {
        g_autoptr(GPtrArray) lines =
            world_lines_between(s->world, ((const struct gwvip *)escapes->pdata[i])->room, room);
        for (guint k = 0; k < lines->len; k++) {
            struct line_view view;
            line_view(s->observed, s->world->inventory, lines->pdata[k], s->now_us, &view);
            if (!g_hash_table_add(s->told, lines->pdata[k]))
                continue;
            g_autofree char *text = line_view_text(lines->pdata[k], &view);
            words_append(evidence, "; ", text);
            since_us = MAX(since_us, view.since_us);
        }
    }
    if (evidence->len == 0)
        return; /* there are no lines, which is a finding of resolve */
    bool needed = entrances || !world_room_ingress_open(s->world, room);
    struct alarm *alarm = add(s, "escape", needed ? ALARM_HURT : ALARM_NEAR, room, since_us,
                              g_strdup_printf("%s: every line of its escape is down", room), g_strdup(evidence->str));
    if (needed)
        suggest(s, alarm, "room-isolated", OBJECT_room);
}

/* One that some gateways see is what one-way faults look like: better used by nobody. */
static void find_line(struct search *s, const struct line *line)
{
    struct line_view view;
    line_view(s->observed, s->world->inventory, line, s->now_us, &view);
    if (view.down == 0 || g_hash_table_contains(s->told, line))
        return;
    bool whole = view.down == view.seen, in = world_line_in(s->world, line);
    struct alarm *alarm = add(s, "line", in ? ALARM_NEAR : ALARM_LOOK, line->o.name, view.since_us,
                              g_strdup_printf("%s is down%s", line->o.name, whole ? "" : " at some gateways"),
                              line_view_text(line, &view));
    if (in && !whole)
        suggest(s, alarm, "line-maintenance", OBJECT_line);
}

static void find_rooms(struct search *s)
{
    INVENTORY_FOREACH (s->world->inventory, room, room) {
        bool all = find_entrances(s, room);
        INVENTORY_FOREACH (s->world->inventory, pop, pop)
            if (!all && strcmp(pop->room, room->o.name) == 0)
                find_pop(s, pop);
        if (room->ring.addr.family != 0)
            find_ring(s, room->o.name);
        find_escapes(s, room->o.name, all);
    }
    INVENTORY_FOREACH (s->world->inventory, line, line)
        find_line(s, line);
}

/* ---- agents ---- */

static void find_ring_loss(struct search *s, const struct edge *edge)
{
    const struct edge_report *report = observed_edge(s->observed, edge->o.name);
    g_autofree char *loss = ring_loss_text(s->world->inventory, s->observed, edge, s->now_us);
    if (loss == NULL)
        return;
    int64_t since_us = s->now_us;
    for (guint i = 0; i < report->origins->len; i++) {
        const struct origin_health *origin = report->origins->pdata[i];
        if (!origin->up && strcmp(origin->via, "ring") == 0)
            since_us = MIN(since_us, origin->since_us);
    }
    add(s, "line", ALARM_NEAR, edge->o.name, since_us, g_strdup_printf("%s has lost a dedicated road", edge->o.name),
        g_steal_pointer(&loss));
}

static void find_edges(struct search *s)
{
    unsigned asked = 0, silent = 0;
    int64_t since_us = INT64_MIN;
    INVENTORY_FOREACH (s->world->inventory, edge, edge) {
        const struct edge_report *report = observed_edge(s->observed, edge->o.name);
        asked++;
        if (edge_report_fresh(report, s->now_us)) {
            find_ring_loss(s, edge);
            if (report->error != NULL)
                add(s, "edge", ALARM_NEAR, edge->o.name, report->error_since_us,
                    g_strdup_printf("%s: %s", edge->o.name, report->state), g_strdup(report->error));
            continue;
        }
        int64_t heard_us = report != NULL ? report->at_us : s->started_us;
        if (s->now_us - heard_us <= OBSERVED_FRESH_US)
            continue;
        silent++;
        since_us = MAX(since_us, heard_us);
        add(s, "edge", ALARM_NEAR, edge->o.name, heard_us, g_strdup_printf("%s does not report", edge->o.name),
            g_strdup(report != NULL ? "it serves on with its last table; what users meet there is not known"
                                    : "it has not since the server was started"));
    }
    if (asked > 0 && silent == asked)
        add(s, "blind", ALARM_HURT, s->world->cluster, since_us, g_strdup("no edge reports"),
            g_strdup("the edges serve on; what users meet is not known, and nothing can be proved"));
}

/* server: as reports name it. */
static void find_server(struct search *s, const char *kind, const char *name, const char *server)
{
    const struct server_report *report = observed_server(s->observed, server);
    if (report == NULL && s->now_us - s->started_us > OBSERVED_FRESH_US)
        add(s, kind, ALARM_NEAR, name, s->started_us, g_strdup_printf("%s does not answer", name),
            g_strdup("it has not since the server was started"));
    else if (report != NULL && report->error != NULL)
        add(s, kind, ALARM_NEAR, name, report->error_since_us, g_strdup_printf("%s: %s", name, report->state),
            g_strdup(report->error));
}

static void find_servers(struct search *s)
{
    INVENTORY_FOREACH (s->world->inventory, nameserver, nameserver)
        find_server(s, "nameserver", nameserver->o.name, nameserver->o.name);
    INVENTORY_FOREACH (s->world->inventory, registry, registry) {
        g_autofree char *server = registry_server(registry->o.name);
        find_server(s, "registry", registry->o.name, server);
    }
}

/* ---- services ---- */

struct sums {
    double rate, fail_rate;
    int64_t since_us; /* the first of those that fail */
};

/* Requests by service, each counter looked at once; of "GROUP.SERVICE" the name is what follows the last dot. */
static GHashTable *sums_by_service(const struct search *s)
{
    GHashTable *all = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, g_free);
    GHashTableIter iter;
    gpointer item;
    g_hash_table_iter_init(&iter, s->observed->edges);
    while (g_hash_table_iter_next(&iter, NULL, &item)) {
        const struct edge_report *report = item;
        for (guint i = 0; edge_report_fresh(report, s->now_us) && i < report->counters->len; i++) {
            const struct counter *counter = report->counters->pdata[i];
            const char *dot = strrchr(counter->policy, '.');
            if (dot == NULL || !counter_counts(counter))
                continue;
            struct sums *sums = g_hash_table_lookup(all, dot + 1);
            if (sums == NULL) {
                sums = g_new0(struct sums, 1);
                sums->since_us = INT64_MAX;
                g_hash_table_insert(all, (gpointer)(dot + 1), sums);
            }
            sums->rate += counter->rate;
            sums->fail_rate += counter->fail_rate;
            if (counter->fail_rate > 0)
                sums->since_us = MIN(sums->since_us, counter->failing_since_us);
        }
    }
    return all;
}

static void find_services(struct search *s)
{
    g_autoptr(GHashTable) all = sums_by_service(s);
    INVENTORY_FOREACH (s->world->inventory, service, service) {
        const struct sums *sums = g_hash_table_lookup(all, service->o.name);
        if (sums == NULL || sums->fail_rate <= 0 || sums->fail_rate < ALARM_FAIL_SHARE * sums->rate)
            continue;
        g_autofree char *share = words_percent(sums->fail_rate, sums->rate), *rate = words_rate(sums->rate);
        add(s, "service", service->tier == 0 ? ALARM_NEAR : ALARM_HURT, service->o.name, sums->since_us,
            g_strdup_printf("%s fails", service->o.name), g_strdup_printf("%s of %s requests/s", share, rate));
    }
}

/* ---- all ---- */

static gint by_weight(gconstpointer a, gconstpointer b)
{
    const struct alarm *x = *(const struct alarm *const *)a, *y = *(const struct alarm *const *)b;
    if (x->priority != y->priority)
        return x->priority < y->priority ? -1 : 1;
    if (x->since_us != y->since_us)
        return x->since_us < y->since_us ? -1 : 1;
    return strcmp(x->key, y->key);
}

GPtrArray *alarms_find(const struct world *world, const struct observed *observed, int64_t started_us, int64_t now_us)
{
    struct search s = {.world = world,
                       .observed = observed,
                       .started_us = started_us,
                       .now_us = now_us,
                       .found = g_ptr_array_new_with_free_func(alarm_free),
                       .told = g_hash_table_new(NULL, NULL)};
    find_rooms(&s);
    find_services(&s);
    find_edges(&s);
    find_servers(&s);
    g_hash_table_unref(s.told);
    g_ptr_array_sort(s.found, by_weight);
    return s.found;
}

json_t *alarms_to_json(const GPtrArray *alarms, int64_t wall_offset_us)
{
    json_t *list = json_array();
    for (guint i = 0; i < alarms->len; i++) {
        const struct alarm *alarm = alarms->pdata[i];
        json_array_append_new(list, json_pack("{s:s, s:s, s:i, s:s, s:s, s:s, s:I, s:s?}", "key", alarm->key, "kind",
                                              alarm->kind, "priority", (int)alarm->priority, "object", alarm->object,
                                              "title", alarm->title, "evidence", alarm->evidence, "since_us",
                                              (json_int_t)(alarm->since_us + wall_offset_us), "plan", alarm->plan));
    }
    return list;
}
