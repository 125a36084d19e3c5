/* engine_status.c: the site now, for people: flat rows, as engine.h documents them. */
#include "server/interlocking/alarms.h"
#include "server/interlocking/engine_internal.h"
#include "server/interlocking/escapes.h"
#include "server/interlocking/gateways.h"
#include "server/interlocking/lineview.h"
#include "server/interlocking/ring.h"
#include "server/interlocking/roads.h"
#include "server/interlocking/words.h"

#include <string.h>

struct sums {
    double rate, fail_rate;
};

/* Sums of all fresh reports, made in one walk over the counters: of a large site there are a million of them.
 * What a sum is of: 'e' an edge, 'r' a room, 'v' a room's entrance, 's' a service, 'a' a service in a room, 'l' an edge
 * over the ring to a room, 't' all. */
static struct sums *sums_of(GHashTable *tally, GString *key, char of, const char *name, const char *within)
{
    g_string_printf(key, "%c%s\t%s", of, name, within);
    struct sums *sums = g_hash_table_lookup(tally, key->str);
    if (sums == NULL) {
        sums = g_new0(struct sums, 1);
        g_hash_table_insert(tally, g_strdup(key->str), sums);
    }
    return sums;
}

static void add_counter(GHashTable *tally, GString *key, const char *edge, const struct counter *counter)
{
    const char *dot = strrchr(counter->policy, '.'), *service = dot != NULL ? dot + 1 : "";
    bool counts = counter_counts(counter);
    struct sums *const all[] = {
        sums_of(tally, key, 'e', edge, ""),
        counts ? sums_of(tally, key, 't', "", "") : NULL,
        counts ? sums_of(tally, key, 'r', counter->room, "") : NULL,
        counts ? sums_of(tally, key, 'v', counter->room, counter->via) : NULL,
        counts ? sums_of(tally, key, 's', service, "") : NULL,
        counts ? sums_of(tally, key, 'a', service, counter->room) : NULL,
        counts && strcmp(counter->via, "ring") == 0 ? sums_of(tally, key, 'l', edge, counter->room) : NULL};
    for (size_t i = 0; i < G_N_ELEMENTS(all); i++)
        if (all[i] != NULL) {
            all[i]->rate += counter->rate;
            all[i]->fail_rate += counter->fail_rate;
        }
}

static GHashTable *tally_new(const struct engine *engine, int64_t now_us)
{
    GHashTable *tally = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    g_autoptr(GString) key = g_string_new(NULL);
    GHashTableIter iter;
    gpointer item;
    g_hash_table_iter_init(&iter, engine->observed->edges);
    while (g_hash_table_iter_next(&iter, NULL, &item)) {
        const struct edge_report *report = item;
        for (guint i = 0; edge_report_fresh(report, now_us) && i < report->counters->len; i++)
            add_counter(tally, key, report->edge, report->counters->pdata[i]);
    }
    return tally;
}

static struct sums sum(GHashTable *tally, char of, const char *name, const char *within)
{
    g_autofree char *key = g_strdup_printf("%c%s\t%s", of, name, within);
    const struct sums *sums = g_hash_table_lookup(tally, key);
    return sums != NULL ? *sums : (struct sums){0};
}

static double percent(double part, double of)
{
    return of > 0 ? 100 * part / of : 0;
}

/* The word in force: who looks at the site should not have to know what "default" means for each lever. */
static char *lever_word(const struct world *world, enum lever lever, const char *object)
{
    const char *value = controls_value(world->controls, lever, object), *choices = lever_class(lever)->choices;
    return strcmp(value, "default") != 0 ? g_strdup(value) : g_strndup(choices, strcspn(choices, "|"));
}

/* What edges do with a room by themselves, of fresh reports. */
struct held {
    unsigned edges, asked; /* who hold it away; who are heard */
    unsigned least, most;  /* slots at home, by edge */
    int64_t since_us;      /* the first of them */
};

static struct held held(const struct engine *engine, const char *room, int64_t now_us)
{
    struct held held = {.least = SLOT_COUNT, .since_us = INT64_MAX};
    INVENTORY_FOREACH (engine->resolved->world->inventory, edge, edge) {
        const struct edge_report *report = observed_edge(engine->observed, edge->o.name);
        if (!edge_report_fresh(report, now_us))
            continue;
        held.asked++;
        const struct room_hold *hold = edge_report_hold(report, room);
        if (hold == NULL)
            continue;
        held.edges++;
        held.least = MIN(held.least, hold->home);
        held.most = MAX(held.most, hold->home);
        held.since_us = MIN(held.since_us, hold->since_us);
    }
    return held;
}

/* "held away by 2 of 4 edges themselves since 03:12:44 UTC, 40 % home", or NULL. */
static char *held_text(const struct engine *engine, const struct held *held)
{
    if (held->edges == 0)
        return NULL;
    g_autoptr(GDateTime) since =
        g_date_time_new_from_unix_utc((held->since_us + engine->wall_offset_us) / G_USEC_PER_SEC);
    g_autofree char *time = since != NULL ? g_date_time_format(since, "%H:%M:%S UTC") : g_strdup("long ago");
    g_autofree char *home =
        held->least == held->most
            ? g_strdup_printf("%u %% home", held->most * 100 / SLOT_COUNT)
            : g_strdup_printf("%u to %u %% home", held->least * 100 / SLOT_COUNT, held->most * 100 / SLOT_COUNT);
    return g_strdup_printf("held away by %u of %u edges themselves since %s, %s", held->edges, held->asked, time, home);
}

static json_t *rooms_json(const struct engine *engine, GHashTable *tally, int64_t now_us)
{
    const struct world *world = engine->resolved->world;
    double total = sum(tally, 't', "", "").rate;
    json_t *rows = json_array();
    INVENTORY_FOREACH (world->inventory, room, room) {
        struct sums sums = sum(tally, 'r', room->o.name, "");
        g_autofree char *ingress = lever_word(world, LEVER_ROOM_INGRESS, room->o.name),
                        *compute = lever_word(world, LEVER_ROOM_COMPUTE, room->o.name);
        struct held by = held(engine, room->o.name, now_us);
        g_autofree char *text = held_text(engine, &by);
        json_array_append_new(rows, json_pack("{s:s, s:s, s:s, s:s, s:f, s:f, s:f, s:s?}", "name", room->o.name, "zone",
                                              room->zone, "ingress", ingress, "compute", compute, "rate", sums.rate,
                                              "fail_rate", sums.fail_rate, "share_percent", percent(sums.rate, total),
                                              "held", text));
    }
    return rows;
}

static json_t *entrance_json(const struct engine *engine, GHashTable *tally, const char *room, const char *via,
                             const char *control, int64_t now_us)
{
    int up = 0, seen = 0;
    const char *status = "";
    GHashTableIter iter;
    gpointer item;
    g_hash_table_iter_init(&iter, engine->observed->edges);
    while (g_hash_table_iter_next(&iter, NULL, &item)) {
        const struct edge_report *report = item;
        for (guint i = 0; edge_report_fresh(report, now_us) && i < report->origins->len; i++) {
            const struct origin_health *origin = report->origins->pdata[i];
            if (strcmp(origin->room, room) != 0 || strcmp(origin->via, via) != 0)
                continue;
            seen++;
            up += origin->up;
            if (!origin->up || status[0] == '\0')
                status = origin->status;
        }
    }
    return json_pack("{s:s, s:s, s:s, s:i, s:i, s:s, s:f}", "room", room, "via", via, "control", control, "up", up,
                     "seen", seen, "status", status, "rate", sum(tally, 'v', room, via).rate);
}

static json_t *entrances_json(const struct engine *engine, GHashTable *tally, int64_t now_us)
{
    const struct world *world = engine->resolved->world;
    json_t *rows = json_array();
    INVENTORY_FOREACH (world->inventory, pop, pop) {
        g_autofree char *word = lever_word(world, LEVER_POP, pop->o.name);
        json_array_append_new(rows, entrance_json(engine, tally, pop->room, pop->o.name, word, now_us));
    }
    INVENTORY_FOREACH (world->inventory, room, room)
        if (room->ring.addr.family != 0)
            json_array_append_new(rows, entrance_json(engine, tally, room->o.name, "ring", "in", now_us));
    return rows;
}

/* What a line is, in a word: gateways watch those between rooms; of one that ends at an edge its users tell. */
static const char *line_state(const struct engine *engine, const struct line *line, const struct line_view *view,
                              int64_t now_us)
{
    const struct inventory *inventory = engine->resolved->world->inventory;
    if (view->seen > 0)
        return view->down == 0 ? "up" : view->down < view->seen ? "part" : "down";
    return ring_line_suspect(inventory, engine->observed, line, now_us) ? "suspect" : "unwatched";
}

static json_t *line_row(const struct engine *engine, GHashTable *tally, const struct line *line, int64_t now_us)
{
    struct line_view view;
    line_view(engine->observed, engine->resolved->world->inventory, line, now_us, &view);
    g_autofree char *word = lever_word(engine->resolved->world, LEVER_LINE, line->o.name);
    json_t *row = json_pack("{s:s, s:s, s:s, s:s, s:s, s:i, s:i, s:f}", "name", line->o.name, "from", line->from, "to",
                            line->to, "control", word, "state", line_state(engine, line, &view, now_us), "seen",
                            (int)view.seen, "down", (int)view.down, "rate",
                            sum(tally, 'l', line->from, line->to).rate + sum(tally, 'l', line->to, line->from).rate);
    json_object_set_new(row, "since_us",
                        view.down > 0 ? json_integer(view.since_us + engine->wall_offset_us) : json_null());
    json_object_set_new(row, "mbit_to", view.known ? json_real(view.mbit[0]) : json_null());
    json_object_set_new(row, "mbit_from", view.known ? json_real(view.mbit[1]) : json_null());
    return row;
}

static json_t *lines_json(const struct engine *engine, GHashTable *tally, int64_t now_us)
{
    json_t *rows = json_array();
    INVENTORY_FOREACH (engine->resolved->world->inventory, line, line)
        json_array_append_new(rows, line_row(engine, tally, line, now_us));
    return rows;
}

static const char *const role_words[] = {"primary", "secondary"};

/* "room-a, 40 % home"; NULL when it holds none. */
static char *holds_text(const struct edge_report *report)
{
    GString *text = g_string_new(NULL);
    for (guint i = 0; i < report->holds->len; i++) {
        const struct room_hold *hold = report->holds->pdata[i];
        g_string_append_printf(text, "%s%s, %u %% home", text->len > 0 ? "; " : "", hold->room,
                               hold->home * 100 / SLOT_COUNT);
    }
    return g_string_free(text, text->len == 0);
}

static json_t *edge_row(const struct engine *engine, GHashTable *tally, const struct edge *edge, int64_t now_us)
{
    const struct edge_report *report = observed_edge(engine->observed, edge->o.name);
    struct sums sums = sum(tally, 'e', edge->o.name, "");
    if (report == NULL)
        return json_pack("{s:s, s:s, s:s, s:n, s:n, s:s, s:n, s:f, s:f}", "name", edge->o.name, "kind", "edge", "class",
                         edge_class_name(edge->class), "epoch", "generation", "state", "no report", "age_ms", "rate",
                         0.0, "fail_rate", 0.0);
    g_autofree char *holds = holds_text(report);
    return json_pack("{s:s, s:s, s:s, s:I, s:I, s:s, s:I, s:f, s:f, s:s?, s:s?}", "name", edge->o.name, "kind", "edge",
                     "class", edge_class_name(edge->class), "epoch", (json_int_t)report->applied.epoch, "generation",
                     (json_int_t)report->applied.generation, "state", report->state, "age_ms",
                     (json_int_t)((now_us - report->at_us) / 1000), "rate", sums.rate, "fail_rate", sums.fail_rate,
                     "error", report->error, "holds", holds);
}

static json_t *gateway_row(const struct engine *engine, const struct gateway *gateway, int64_t now_us)
{
    const struct edge_report *report = observed_edge(engine->observed, gateway->o.name);
    g_autofree char *lever = lever_word(engine->resolved->world, LEVER_GATEWAY, gateway->o.name);
    if (report == NULL)
        return json_pack("{s:s, s:s, s:s, s:s, s:n, s:n, s:s, s:n, s:s}", "name", gateway->o.name, "kind", "gateway",
                         "room", gateway->room, "lever", lever, "epoch", "generation", "state", "no report", "age_ms",
                         "announces", "");
    g_autofree char *announces = gateway_announces_words(report->gateway);
    return json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:s, s:I, s:s?, s:s}", "name", gateway->o.name, "kind", "gateway",
                     "room", gateway->room, "lever", lever, "epoch", (json_int_t)report->applied.epoch, "generation",
                     (json_int_t)report->applied.generation, "state", report->state, "age_ms",
                     (json_int_t)((now_us - report->at_us) / 1000), "error", report->error, "announces", announces);
}

static json_t *server_row(const struct engine *engine, const struct nameserver *server, int64_t now_us)
{
    const struct server_report *report = observed_server(engine->observed, server->o.name);
    if (report == NULL)
        return json_pack("{s:s, s:s, s:s, s:s, s:n, s:n, s:s, s:n, s:i}", "name", server->o.name, "kind", "nameserver",
                         "zone", server->zone, "role", role_words[server->role], "epoch", "generation", "state",
                         "no report", "age_ms", "residual_ms", 0);
    return json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:s, s:I, s:I, s:s?}", "name", server->o.name, "kind",
                     "nameserver", "zone", server->zone, "role", role_words[server->role], "epoch",
                     (json_int_t)report->confirmed.epoch, "generation", (json_int_t)report->confirmed.generation,
                     "state", report->state, "age_ms", (json_int_t)((now_us - report->at_us) / 1000), "residual_ms",
                     (json_int_t)(MAX(report->residual_until_us - now_us, 0) / 1000), "error", report->error);
}

static json_t *edges_json(const struct engine *engine, GHashTable *tally, int64_t now_us)
{
    json_t *rows = json_array();
    INVENTORY_FOREACH (engine->resolved->world->inventory, edge, edge)
        json_array_append_new(rows, edge_row(engine, tally, edge, now_us));
    return rows;
}

static json_t *gateways_json(const struct engine *engine, int64_t now_us)
{
    json_t *rows = json_array();
    INVENTORY_FOREACH (engine->resolved->world->inventory, gateway, gateway)
        json_array_append_new(rows, gateway_row(engine, gateway, now_us));
    return rows;
}

static json_t *servers_json(const struct engine *engine, int64_t now_us)
{
    json_t *rows = json_array();
    INVENTORY_FOREACH (engine->resolved->world->inventory, nameserver, server)
        json_array_append_new(rows, server_row(engine, server, now_us));
    return rows;
}

static json_t *registries_json(const struct engine *engine, int64_t now_us)
{
    json_t *rows = json_array();
    INVENTORY_FOREACH (engine->resolved->world->inventory, registry, registry) {
        g_autofree char *server = registry_server(registry->o.name);
        const struct server_report *report = observed_server(engine->observed, server);
        json_array_append_new(
            rows, report == NULL ? json_pack("{s:s, s:s, s:n, s:n, s:s, s:n}", "name", registry->o.name, "kind",
                                             "registry", "epoch", "generation", "state", "no report", "age_ms")
                                 : json_pack("{s:s, s:s, s:I, s:I, s:s, s:I, s:s?}", "name", registry->o.name, "kind",
                                             "registry", "epoch", (json_int_t)report->confirmed.epoch, "generation",
                                             (json_int_t)report->confirmed.generation, "state", report->state, "age_ms",
                                             (json_int_t)((now_us - report->at_us) / 1000), "error", report->error));
    }
    return rows;
}

static json_t *services_json(const struct engine *engine, GHashTable *tally)
{
    static const char *const actives[] = {"multi", "single"}, *const tiers[] = {"normal", "important", "core"};
    const struct inventory *inv = engine->resolved->world->inventory;
    json_t *rows = json_array();
    INVENTORY_FOREACH (inv, service, service) {
        struct sums all = sum(tally, 's', service->o.name, "");
        json_t *rooms = json_array();
        INVENTORY_FOREACH (inv, room, room) {
            double rate = sum(tally, 'a', service->o.name, room->o.name).rate;
            g_autofree char *text = g_strdup_printf("%s %.0f %%", room->o.name, percent(rate, all.rate));
            if (rate > 0)
                json_array_append_new(rooms, json_string(text));
        }
        json_array_append_new(rows, json_pack("{s:s, s:s, s:s, s:f, s:f, s:f, s:o}", "name", service->o.name, "active",
                                              actives[service->active], "tier", tiers[service->tier], "rate", all.rate,
                                              "fail_rate", all.fail_rate, "fail_percent",
                                              percent(all.fail_rate, all.rate), "rooms", rooms));
    }
    return rows;
}

static json_t *running_json(const struct engine *engine)
{
    json_t *rows = json_array();
    for (guint i = 0; i < engine->order->len; i++) {
        const struct execution *ex = engine->order->pdata[i];
        if (execution_ended(ex) || ex->parent != NULL)
            continue;
        const struct execution_event *last = ex->events->len > 0 ? ex->events->pdata[ex->events->len - 1] : NULL;
        json_array_append_new(rows,
                              json_pack("{s:s, s:s, s:s?, s:s, s:s?, s:s?}", "id", ex->id, "plan", ex->plan, "target",
                                        ex->target, "state", execution_state_name(ex->state), "step",
                                        last != NULL ? last->step : NULL, "text", last != NULL ? last->text : NULL));
    }
    return rows;
}

static void warn(json_t *warnings, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void warn(json_t *warnings, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    json_array_append_new(warnings, json_string(text));
}

/* At night nobody remembers what was done by hand. */
static void warn_by_hand(json_t *warnings, const struct edge_report *report)
{
    for (guint i = 0; report != NULL && i < report->hand_acts->len; i++) {
        const struct hand_act *act = report->hand_acts->pdata[i];
        g_autoptr(GDateTime) until = g_date_time_new_from_unix_utc(act->until_us / G_USEC_PER_SEC);
        g_autofree char *time = until != NULL ? g_date_time_format(until, "%Y-%m-%d %H:%M:%S UTC") : NULL;
        bool hold = strcmp(act->verb, "hold") == 0;
        warn(warnings, "%s %s%s by hand there, by %s until %s: %s", report->edge, hold ? "is held" : "has closed ",
             hold ? "" : act->room, act->by, time != NULL ? time : "?", act->reason);
    }
}

/* Executions that a person has to look at. */
static void warn_execution(json_t *warnings, const struct execution *ex)
{
    for (guint i = 0; i < ex->steps->len; i++) {
        const struct execution_step *step = ex->steps->pdata[i];
        if (step->review != NULL)
            warn(warnings, "execution %s, step %s was passed in an emergency by %s: a second person has to review it",
                 ex->id, step->name, step->review);
        if (execution_ended(ex))
            continue;
        if (step_asks(step))
            warn(warnings, "execution %s, step %s has failed and asks: resume tries it again, skip goes on without it",
                 ex->id, step->name);
        if (step->kind == STEP_APPROVE && step->state == STEP_STATE_RUNNING)
            warn(warnings, "execution %s, step %s waits for an approval", ex->id, step->name);
        if (step->stuck && step->state == STEP_STATE_RUNNING)
            warn(warnings, "execution %s, step %s is stuck: %s", ex->id, step->name,
                 step->text != NULL ? step->text : "");
    }
    if (ex->paused && !execution_ended(ex))
        warn(warnings, "execution %s is paused", ex->id);
}

/* Of an agent that is not heard as it should be. */
static void warn_agent(const struct engine *engine, json_t *warnings, const char *name, int64_t now_us)
{
    const struct edge_report *report = observed_edge(engine->observed, name);
    if (report == NULL)
        warn(warnings, "%s has not reported since the server was started", name);
    else if (!edge_report_fresh(report, now_us))
        warn(warnings, "%s reported %.1f s ago: its figures are left out", name,
             (double)(now_us - report->at_us) / G_USEC_PER_SEC);
    else if (report->promised > engine->epoch)
        warn(warnings, "%s has promised epoch %" G_GUINT64_FORMAT ", newer than ours, %" G_GUINT64_FORMAT, name,
             report->promised, engine->epoch);
    warn_by_hand(warnings, report);
}

static json_t *warnings_json(const struct engine *engine, int64_t now_us)
{
    const struct resolved *resolved = engine->resolved;
    json_t *warnings = json_array();
    INVENTORY_FOREACH (resolved->world->inventory, edge, edge) {
        warn_agent(engine, warnings, edge->o.name, now_us);
        g_autofree char *loss = ring_loss_text(resolved->world->inventory, engine->observed, edge, now_us);
        if (loss != NULL)
            warn(warnings, "%s", loss);
    }
    INVENTORY_FOREACH (resolved->world->inventory, gateway, gateway)
        warn_agent(engine, warnings, gateway->o.name, now_us);
    INVENTORY_FOREACH (resolved->world->inventory, gwvip, vip) {
        g_autofree char *small =
            vip->to != NULL ? escape_small_words(resolved->world, engine->observed, vip, now_us) : NULL;
        if (small != NULL)
            warn(warnings, "%s", small);
    }
    if (engine->unclaimed->len > 0) {
        g_autofree char *text = claim_missing(engine);
        warn(warnings, "%s", text);
    }
    INVENTORY_FOREACH (resolved->world->inventory, room, room) {
        struct held by = held(engine, room->o.name, now_us);
        g_autofree char *text = held_text(engine, &by);
        if (text != NULL)
            warn(warnings, "%s: %s", room->o.name, text);
    }
    for (guint i = 0; i < engine->order->len; i++)
        warn_execution(warnings, engine->order->pdata[i]);
    for (guint i = 0; i < resolved->findings->len; i++) {
        g_autofree char *text = finding_text(resolved->findings->pdata[i]);
        warn(warnings, "%s", text);
    }
    return warnings;
}

json_t *engine_alarms(const struct engine *engine, int64_t now_us)
{
    g_autoptr(GPtrArray) alarms = alarms_find(engine->resolved->world, engine->observed, engine->started_us, now_us);
    return alarms_to_json(alarms, engine->wall_offset_us);
}

json_t *engine_status(const struct engine *engine, int64_t now_us)
{
    json_t *json = json_pack("{s:s, s:I, s:I}", "cluster", engine->config.cluster, "epoch", (json_int_t)engine->epoch,
                             "generation", (json_int_t)engine->generation);
    g_autoptr(GHashTable) tally = tally_new(engine, now_us);
    json_object_set_new(json, "rooms", rooms_json(engine, tally, now_us));
    json_object_set_new(json, "entrances", entrances_json(engine, tally, now_us));
    json_object_set_new(json, "lines", lines_json(engine, tally, now_us));
    json_object_set_new(json, "roads",
                        roads_json(engine->resolved->world, engine->observed,
                                   (struct stamp){engine->epoch, engine->generation}, now_us));
    json_object_set_new(json, "edges", edges_json(engine, tally, now_us));
    if (inventory_list(engine->resolved->world->inventory, OBJECT_gateway)->len > 0)
        json_object_set_new(json, "gateways", gateways_json(engine, now_us));
    json_object_set_new(json, "servers", servers_json(engine, now_us));
    if (inventory_list(engine->resolved->world->inventory, OBJECT_registry)->len > 0)
        json_object_set_new(json, "registries", registries_json(engine, now_us));
    json_object_set_new(json, "services", services_json(engine, tally));
    json_object_set_new(json, "executions", running_json(engine));
    json_object_set_new(json, "warnings", warnings_json(engine, now_us));
    json_object_set_new(json, "alarms", engine_alarms(engine, now_us));
    return json;
}

json_t *engine_agents(const struct engine *engine, int64_t now_us)
{
    g_autoptr(GHashTable) tally = tally_new(engine, now_us);
    json_t *rows = edges_json(engine, tally, now_us), *servers = servers_json(engine, now_us);
    json_t *registries = registries_json(engine, now_us), *gateways = gateways_json(engine, now_us);
    json_array_extend(rows, gateways);
    json_array_extend(rows, servers);
    json_array_extend(rows, registries);
    json_decref(gateways);
    json_decref(servers);
    json_decref(registries);
    return rows;
}
