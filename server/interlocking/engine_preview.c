/* engine_preview.c: a plan before it is run: its steps, what stands in its way, who stays behind and by what road.
 *
 * A precheck is "pass", "warn" or "block", with the value found, the limit it is held against, the age of what it was
 * found in, and what mends it. What blocks would be refused when the plan is run; a warning is for the person.
 */
#include "server/interlocking/engine_internal.h"

#include "core/error.h"
#include "schema/jsondoc.h"
#include "schema/rule.h"
#include "server/interlocking/words.h"

#include <string.h>

enum check_state { PASSES, WARNS, BLOCKS };
static const char *const state_words[] = {"pass", "warn", "block"};

/* One precheck; texts are borrowed, NULL: there is none. */
struct precheck {
    const char *name;
    enum check_state state;
    const char *value, *limit, *mend;
    int64_t age_us; /* -1: it is of now */
    bool override;  /* a person may pass it over by its name */
};

static void add(json_t *checks, const struct precheck *check)
{
    json_t *age = check->age_us >= 0 ? json_integer(check->age_us / 1000) : json_null();
    json_array_append_new(checks, json_pack("{s:s, s:s, s:s, s:s?, s:o, s:s?, s:b}", "name", check->name, "state",
                                            state_words[check->state], "value", check->value, "limit", check->limit,
                                            "age_ms", age, "mend", check->mend, "override", check->override));
}

/* ---- rules ---- */

static const struct refusal *refusal_of(const GPtrArray *refusals, const char *rule)
{
    for (guint i = 0; i < refusals->len; i++) {
        const struct refusal *refusal = refusals->pdata[i];
        if (strcmp(refusal->rule, rule) == 0)
            return refusal;
    }
    return NULL;
}

static char *moved_words(const struct forecast *forecast)
{
    double healthy = forecast->total - forecast->failing;
    g_autofree char *share = words_percent(forecast->moved, healthy), *rate = words_rate(healthy);
    return forecast->known ? g_strdup_printf("%s of %s healthy requests/s change room", share, rate)
                           : g_strdup("what changes room is not known");
}

/* How full the fullest of what gains would be. */
static char *fullest_words(const struct preview *p, bool *known)
{
    int64_t capacity = 0;
    const struct forecast_row *row = rules_fullest(p->draft->world->inventory, p->forecast, &capacity);
    *known = row != NULL;
    if (row == NULL)
        return g_strdup(p->forecast->known ? "nothing whose capacity is known gets more requests"
                                           : "what rooms would get is not known");
    g_autofree char *after = words_rate(row->after), *percent = words_percent(row->after, (double)capacity);
    g_autofree char *whole = words_rate((double)capacity);
    return g_strdup_printf("%s would get %s of %s requests/s (%s)", row->name, after, whole, percent);
}

static int64_t rule_limit(const struct preview *p, const char *name)
{
    const struct rule *rule = INVENTORY_GET(p->engine->resolved->world->inventory, rule, name);
#define LIMIT_OF(name_, check_, limit_) strcmp(name, name_) == 0 ? (limit_):
    int64_t shipped = RULES_SHIPPED(LIMIT_OF) 0;
#undef LIMIT_OF
    if (rule == NULL && strcmp(name, "share-moved") == 0)
        shipped = (int64_t)(p->engine->config.rules.share_moved_max * 100 + 0.5);
    return rule != NULL ? rule->limit : shipped;
}

/* A rule that lets it pass, with what it measured. */
static void add_passed_rule(const struct preview *p, json_t *checks, const char *name, int check)
{
    static const char *const silent[RULE_CHECKS] = {
        [RULE_HOLD] = "no lever that rests would move",
        [RULE_GATE] = "every lever's condition is met",
        [RULE_CLASS] = "no group leaves its class of edges",
        [RULE_FREEZE] = "no freeze is in force",
        [RULE_WINDOW] = "it is the time for it",
        [RULE_HANDOVER] = "nothing is handed over without a pause",
        [RULE_OPEN] = "enough stays open",
    };
    bool overridden = p->asker->overrides != NULL && g_strv_contains(p->asker->overrides, name), known = true;
    g_autofree char *value = check == RULE_MOVED      ? moved_words(p->forecast)
                             : check == RULE_CAPACITY ? fullest_words(p, &known)
                                                      : g_strdup(silent[check]);
    g_autofree char *limit = NULL;
    if (check == RULE_MOVED || check == RULE_CAPACITY)
        limit = g_strdup_printf("at most %" G_GINT64_FORMAT " %%", rule_limit(p, name));
    else if (check == RULE_OPEN)
        limit = g_strdup_printf("at least %" G_GINT64_FORMAT, rule_limit(p, name));
    bool blind = (check == RULE_MOVED || check == RULE_CAPACITY) && !p->forecast->known;
    const char *mend = overridden ? "it is passed over, and the audit says so"
                       : blind    ? "wait until edges report, or look at the room yourself"
                       : !known   ? "write capacity of rooms and POPs into the inventory"
                                  : NULL;
    add(checks, &(struct precheck){.name = name,
                                   .state = overridden || blind ? WARNS : PASSES,
                                   .value = overridden ? "passed over" : value,
                                   .limit = limit,
                                   .mend = mend,
                                   .age_us = check == RULE_MOVED || check == RULE_CAPACITY ? p->age_us : -1,
                                   .override = true});
}

static void add_refusal(json_t *checks, const struct refusal *refusal)
{
    add(checks, &(struct precheck){.name = refusal->rule,
                                   .state = BLOCKS,
                                   .value = refusal->figures,
                                   .mend = refusal->way_round,
                                   .age_us = -1,
                                   .override = strcmp(refusal->rule, RULE_ZONE_SHARE) != 0});
}

/* What refuses first. */
static void add_rules(const struct preview *p, json_t *checks)
{
    for (guint i = 0; i < p->refusals->len; i++)
        add_refusal(checks, p->refusals->pdata[i]);
    for (int check = 0; check < RULE_CHECKS; check++) {
        GStrvBuilder *builder = g_strv_builder_new();
        rules_of_check(p->engine->resolved->world->inventory, check, builder);
        g_auto(GStrv) names = g_strv_builder_end(builder);
        g_strv_builder_unref(builder);
        for (char **name = names; *name != NULL; name++)
            if (refusal_of(p->refusals, *name) == NULL)
                add_passed_rule(p, checks, *name, check);
    }
}

/* ---- who is heard ---- */

static void add_figures(const struct preview *p, json_t *checks, GPtrArray *silent, unsigned asked)
{
    g_autofree char *names = words_list(silent, 8);
    g_autofree char *value = silent->len == 0
                                 ? g_strdup_printf("%u of %u edges report", asked, asked)
                                 : g_strdup_printf("%u of %u edges report; not %s", asked - silent->len, asked, names);
    add(checks, &(struct precheck){.name = "figures",
                                   .state = silent->len > 0 || !p->forecast->known ? WARNS : PASSES,
                                   .value = value,
                                   .limit = "reports of the last 5 s, of half of the edges at least",
                                   .mend = silent->len > 0 ? "they serve on and follow when they are back; what goes "
                                                             "through them is not in the figures"
                                                           : NULL,
                                   .age_us = p->age_us});
}

static void add_agents(const struct preview *p, json_t *checks)
{
    const struct inventory *inv = p->engine->resolved->world->inventory;
    g_autoptr(GPtrArray) silent = g_ptr_array_new(), behind = g_ptr_array_new();
    unsigned asked = 0;
    INVENTORY_FOREACH (inv, edge, edge) {
        const struct edge_report *report = observed_edge(p->engine->observed, edge->o.name);
        bool fresh = edge_report_fresh(report, p->engine->now_us);
        asked++;
        if (!fresh)
            g_ptr_array_add(silent, edge->o.name);
        else if (!edge_proves(p->engine, edge->o.name, p->engine->generation))
            g_ptr_array_add(behind, edge->o.name);
    }
    add_figures(p, checks, silent, asked);
    if (behind->len == 0)
        return;
    g_autofree char *names = words_list(behind, 8);
    g_autofree char *value = g_strdup_printf("%s: not at generation %" G_GUINT64_FORMAT, names, p->engine->generation);
    add(checks, &(struct precheck){.name = "edges",
                                   .state = WARNS,
                                   .value = value,
                                   .limit = "all have what is in force",
                                   .mend = "the plan waits for them and names those that do not follow",
                                   .age_us = p->age_us});
}

static void add_servers(const struct preview *p, json_t *checks)
{
    g_autoptr(GPtrArray) bad = g_ptr_array_new();
    unsigned asked = 0;
    INVENTORY_FOREACH (p->engine->resolved->world->inventory, nameserver, server) {
        const struct server_report *report = observed_server(p->engine->observed, server->o.name);
        asked++;
        if (report == NULL || report->error != NULL)
            g_ptr_array_add(bad, server->o.name);
    }
    if (asked == 0)
        return;
    g_autofree char *names = words_list(bad, 8);
    g_autofree char *value = bad->len == 0 ? g_strdup_printf("%u of %u answer", asked, asked)
                                           : g_strdup_printf("%u of %u answer; not %s", asked - bad->len, asked, names);
    add(checks,
        &(struct precheck){.name = "nameservers",
                           .state = bad->len > 0 ? WARNS : PASSES,
                           .value = value,
                           .limit = "all",
                           .mend = bad->len > 0 ? "users whose resolvers ask them stay until they are back; what "
                                                  "edges do needs no DNS"
                                                : NULL,
                           .age_us = -1});
}

/* ---- where it goes ---- */

/* Does the plan's target, or the room of one that is a POP, lose its users? */
static bool is_left(const struct preview *p, const char *room)
{
    const struct execution *root = p->family->pdata[0];
    g_auto(GStrv) targets = g_strsplit(root->target != NULL ? root->target : "", ",", -1);
    bool left = false;
    for (char **target = targets; *target != NULL; target++) {
        const struct pop *pop = INVENTORY_GET(p->draft->world->inventory, pop, *target);
        left = left || strcmp(pop != NULL ? pop->room : *target, room) == 0;
    }
    return left;
}

static void add_gaining_room(const struct preview *p, json_t *checks, const char *room)
{
    const struct engine *engine = p->engine;
    g_autoptr(GPtrArray) entrances = world_room_entrances(p->draft->world, EDGE_PUBLIC, room);
    unsigned up = 0;
    for (guint i = 0; i < entrances->len; i++)
        up += !observed_entrance_down(engine->observed, engine->resolved->world->inventory, room, entrances->pdata[i],
                                      engine->now_us);
    g_autofree char *name = g_strdup_printf("entrances of %s", room);
    g_autofree char *value = g_strdup_printf("%u of %u up", up, entrances->len);
    bool all = up == entrances->len && up > 0;
    add(checks, &(struct precheck){.name = name,
                                   .state = all ? PASSES : WARNS,
                                   .value = value,
                                   .limit = "all that are in",
                                   .mend = all ? NULL : "it is to take more users: heal or drain what is down there",
                                   .age_us = p->age_us});
}

/* Of a line that would carry more: edges have said how large answers are. */
static void add_line(const struct preview *p, json_t *checks, const struct forecast_row *row)
{
    g_autofree char *after = words_rate(row->mbit_after), *whole = words_count((uint64_t)row->mbit_max);
    g_autofree char *percent = words_percent(row->mbit_after, (double)row->mbit_max);
    g_autofree char *value = g_strdup_printf("would carry %s of %s Mbit/s (%s)", after, whole, percent);
    bool full = row->mbit_after > (double)row->mbit_max;
    g_autofree char *limit = g_strdup_printf("at most %" G_GINT64_FORMAT " %%", rule_limit(p, "capacity-kept"));
    add(checks, &(struct precheck){.name = row->name,
                                   .state = full ? WARNS : PASSES,
                                   .value = value,
                                   .limit = limit,
                                   .mend = full ? "limit or degrade services first, or move fewer users" : NULL,
                                   .age_us = p->age_us});
}

static void add_gaining_rooms(const struct preview *p, json_t *checks)
{
    for (guint i = 0; i < p->forecast->rows->len; i++) {
        const struct forecast_row *row = p->forecast->rows->pdata[i];
        if (strcmp(row->kind, "room") == 0 && row->after > row->before && !is_left(p, row->name) &&
            INVENTORY_GET(p->draft->world->inventory, room, row->name) != NULL)
            add_gaining_room(p, checks, row->name);
        if (strcmp(row->kind, "line") == 0 && row->mbit_max > 0 && row->mbit_after > row->mbit_before)
            add_line(p, checks, row);
    }
}

/* ---- the plan itself ---- */

static void add_owner(const struct preview *p, json_t *checks)
{
    g_autoptr(GError) error = NULL;
    bool is_free = check_owners(p->engine, p->moves, &error);
    g_autofree char *value = is_free ? g_strdup_printf("%u levers are free", p->moves->len) : g_strdup(error->message);
    add(checks, &(struct precheck){.name = "levers",
                                   .state = is_free ? PASSES : BLOCKS,
                                   .value = value,
                                   .limit = "of no other run",
                                   .mend = is_free ? NULL : "wait for its end, or abort it",
                                   .age_us = -1});
}

/* What the plan asks before anything else. */
static void add_step(const struct preview *p, json_t *checks, struct execution *ex, const struct execution_step *step)
{
    if (step->kind == STEP_APPROVE) {
        g_autofree char *name = g_strdup_printf("approval %s", step->name);
        add(checks, &(struct precheck){.name = name,
                                       .state = WARNS,
                                       .value = step->argument,
                                       .limit = "a second person",
                                       .mend = "tell somebody now that the plan will ask",
                                       .age_us = -1});
        return;
    }
    bool first = step->kind == STEP_CHECK && (step->needs == NULL || step->needs[0] == NULL);
    if (!first || strcmp(step->argument, "forecast") == 0) /* the rules above are that */
        return;
    g_autofree char *text = NULL;
    enum check_result result = check_word(p->engine, ex, step->argument, &text);
    add(checks, &(struct precheck){.name = step->argument,
                                   .state = result == CHECK_HOLDS   ? PASSES
                                            : result == CHECK_WAITS ? WARNS
                                                                    : BLOCKS,
                                   .value = text,
                                   .limit = "the plan's own condition",
                                   .mend = result == CHECK_HOLDS   ? NULL
                                           : result == CHECK_WAITS ? "the plan waits for it until its time is over"
                                                                   : "the plan would fail there: choose another",
                                   .age_us = p->age_us});
}

static json_t *checks_json(const struct preview *p)
{
    json_t *checks = json_array();
    add_rules(p, checks);
    add_owner(p, checks);
    for (guint i = 0; i < p->family->len; i++) {
        struct execution *ex = p->family->pdata[i];
        for (guint j = 0; j < ex->steps->len; j++)
            add_step(p, checks, ex, ex->steps->pdata[j]);
    }
    add_agents(p, checks);
    add_servers(p, checks);
    add_gaining_rooms(p, checks);
    return checks;
}

/* ---- who stays ---- */

static double service_rate(const struct preview *p, const char *service)
{
    double rate = 0;
    INVENTORY_FOREACH (p->engine->resolved->world->inventory, edge, edge) {
        const struct edge_report *report = observed_edge(p->engine->observed, edge->o.name);
        bool fresh = edge_report_fresh(report, p->engine->now_us);
        for (guint i = 0; fresh && i < report->counters->len; i++) {
            const struct counter *counter = report->counters->pdata[i];
            const char *dot = strrchr(counter->policy, '.');
            if (dot != NULL && strcmp(dot + 1, service) == 0 && counter_counts(counter))
                rate += counter->rate;
        }
    }
    return rate;
}

/* By what the group's requests would come to the room; NULL: by nothing. g_free. */
static char *road_words(const struct world *w, const struct group *group, const char *room)
{
    int class = world_group_edge_class(w, group);
    g_autoptr(GPtrArray) entrances = world_room_entrances(w, class, room), escapes = world_room_escapes(w, room);
    g_autofree char *names = words_list(entrances, 4);
    if (!world_room_compute_open(w, room))
        return NULL;
    if (world_room_usable(w, class, false, room) && class == EDGE_DEDICATED)
        return g_strdup_printf("%s over dedicated edges and lines", group->o.name);
    if (class == EDGE_PUBLIC && escapes->len > 0)
        return g_strdup_printf("%s by escape %s, over lines", group->o.name,
                               ((const struct gwvip *)escapes->pdata[0])->o.name);
    return world_room_usable(w, class, false, room) ? g_strdup_printf("%s by %s", group->o.name, names) : NULL;
}

/* Do names of the group lead to the service, all of them or some paths? */
static bool asks_for(const struct world *w, const struct group *group, const struct service *service)
{
    bool asks = strcmp(group->service, service->o.name) == 0;
    INVENTORY_FOREACH (w->inventory, route, route) {
        asks = asks || (strcmp(route->group, group->o.name) == 0 && strcmp(route->service, service->o.name) == 0);
    }
    return asks;
}

static void add_staying(const struct preview *p, json_t *stays, const struct service *service)
{
    const struct world *w = p->draft->world;
    g_autoptr(GString) roads = g_string_new(NULL);
    g_autoptr(GPtrArray) none = g_ptr_array_new();
    INVENTORY_FOREACH (w->inventory, group, group) {
        bool asks = asks_for(w, group, service);
        g_autofree char *road = asks ? road_words(w, group, service->home) : NULL;
        if (road != NULL)
            words_append(roads, "; ", road);
        else if (asks)
            g_ptr_array_add(none, group->o.name);
    }
    g_autofree char *lost = words_list(none, 4);
    if (none->len > 0) {
        g_autofree char *text = g_strdup_printf("%s: nobody answers", lost);
        words_append(roads, "; ", text);
    }
    json_array_append_new(stays,
                          json_pack("{s:s, s:s, s:f, s:s, s:b}", "service", service->o.name, "room", service->home,
                                    "rate", service_rate(p, service->o.name), "road",
                                    roads->len > 0 ? roads->str : "no names of its own", "reached", none->len == 0));
}

static json_t *stays_json(const struct preview *p)
{
    json_t *stays = json_array();
    INVENTORY_FOREACH (p->draft->world->inventory, service, service) {
        if (service->active == SERVICE_SINGLE && service->home != NULL && is_left(p, service->home))
            add_staying(p, stays, service);
    }
    return stays;
}

/* ---- undo ---- */

json_t *undo_preview_json(const struct engine *engine, const struct undoing *u)
{
    sb_auto(forecast) fc = forecast(engine->resolved, u->draft, engine->observed, engine->now_us);
    g_autoptr(GPtrArray) refusals =
        u->moves->len > 0 ? engine_judge(engine, u->draft, fc, NULL, false, NULL) : g_ptr_array_new();
    json_t *controls = json_array();
    for (guint i = 0; i < u->moves->len; i++) {
        const struct move *move = &g_array_index(u->moves, struct move, i);
        json_array_append_new(controls, json_pack("{s:s, s:s, s:s}", "control", lever_class(move->lever)->name,
                                                  "object", move->object, "value", move->value));
    }
    return json_pack("{s:o, s:o, s:i, s:o, s:o}", "controls", controls, "left", names_to_json(u->left), "calls",
                     (int)u->calls, "forecast", forecast_answer(fc), "refusals", refusals_to_json(refusals));
}

/* ---- steps ---- */

static json_t *steps_json(const struct preview *p)
{
    struct engine *engine = p->engine;
    json_t *steps = json_array();
    for (guint i = 0; i < p->family->len; i++) {
        json_t *execution = execution_to_json(p->family->pdata[i]), *step, *set;
        size_t j, k;
        json_array_foreach (json_object_get(execution, "steps"), j, step) {
            json_array_foreach (json_object_get(step, "sets"), k, set) {
                const char *lever = json_string_value(json_object_get(set, "control"));
                const char *object = json_string_value(json_object_get(set, "object"));
                json_object_set_new(set, "before",
                                    json_string(controls_value(engine->resolved->world->controls,
                                                               lever_class_find(lever)->lever, object)));
            }
            const struct execution *ex = p->family->pdata[i];
            const struct execution_step *frozen = ex->steps->pdata[j];
            bool tells = frozen->kind == STEP_HOOK || frozen->kind == STEP_NOTIFY;
            g_autofree char *would = tells                       ? hook_would(ex, frozen)
                                     : frozen->kind == STEP_WARM ? warm_words(engine, frozen)
                                     : frozen->kind == STEP_VERIFY && frozen->spec != NULL
                                         ? transactions_words(engine, ex, frozen)
                                         : NULL;
            if (would != NULL)
                json_object_set_new(step, "text", json_string(would));
            json_object_set_new(step, "plan", json_string(ex->plan));
            json_array_append(steps, step);
        }
        json_decref(execution);
    }
    return steps;
}

/* Of the fresh reports that figures are made of; -1: there is none. */
static int64_t oldest_age_us(const struct engine *engine)
{
    int64_t age_us = -1;
    INVENTORY_FOREACH (engine->resolved->world->inventory, edge, edge) {
        const struct edge_report *report = observed_edge(engine->observed, edge->o.name);
        if (edge_report_fresh(report, engine->now_us))
            age_us = MAX(age_us, engine->now_us - report->at_us);
    }
    return age_us;
}

json_t *preview_json(struct preview *p)
{
    p->age_us = oldest_age_us(p->engine);
    return json_pack("{s:o, s:o, s:o, s:o, s:o}", "steps", steps_json(p), "forecast", forecast_answer(p->forecast),
                     "refusals", refusals_to_json(p->refusals), "checks", checks_json(p), "stays", stays_json(p));
}
