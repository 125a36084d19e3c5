/* engine_check.c: the checks of plans: does it hold, may it still come to hold, or not? */
#include "server/interlocking/engine_internal.h"
#include "server/interlocking/words.h"

#include <string.h>

static bool target_is_room(const struct engine *engine, const struct execution *ex, const char *check, char **text)
{
    if (ex->target != NULL && INVENTORY_GET(engine->resolved->world->inventory, room, ex->target) != NULL)
        return true;
    *text = g_strdup_printf("%s needs a room as target, found %s", check, ex->target == NULL ? "none" : ex->target);
    return false;
}

/* Can a room take the users of another? *text says why, in either case. */
static bool room_takes(const struct engine *engine, const char *room, char **text)
{
    const struct world *world = engine->resolved->world;
    g_autoptr(GPtrArray) entrances = world_room_entrances(world, EDGE_PUBLIC, room);
    unsigned up = 0;
    for (guint i = 0; i < entrances->len; i++)
        up += !observed_entrance_down(engine->observed, world->inventory, room, entrances->pdata[i], engine->now_us);
    bool compute = world_room_compute_open(world, room), ingress = world_room_ingress_open(world, room);
    bool takes = compute && ingress && up > 0;
    *text = g_strdup_printf("%s: compute %s, ingress %s, %u of %u entrances up", room, compute ? "open" : "closed",
                            ingress ? "open" : "closed", up, entrances->len);
    return takes;
}

static enum check_result check_room_open(const struct engine *engine, struct execution *ex, char **text)
{
    if (!target_is_room(engine, ex, "room-open", text))
        return CHECK_FAILS;
    bool blind = engine_blind(engine);
    if (blind && ex->resumed && engine->now_us - engine->started_us < SETTLE_US) {
        *text = g_strdup("waiting for reports of the edges");
        return CHECK_WAITS;
    }
    if (blind && ex->automatic) {
        *text = g_strdup("no edge has reported lately, so no entrance is known to be up");
        return CHECK_FAILS;
    }
    g_autoptr(GString) reasons = g_string_new(NULL);
    INVENTORY_FOREACH (engine->resolved->world->inventory, room, room) {
        if (strcmp(room->o.name, ex->target) == 0)
            continue;
        g_autofree char *reason = NULL;
        if (room_takes(engine, room->o.name, &reason)) {
            *text = g_strdup_printf("%s%s", reason, blind ? " (warning: no edge has reported lately)" : "");
            return CHECK_HOLDS;
        }
        words_append(reasons, "; ", reason);
    }
    *text = g_strdup_printf("no other room can take the traffic of %s: %s", ex->target,
                            reasons->len > 0 ? reasons->str : "there is no other room");
    return CHECK_FAILS;
}

/* What an edge's fresh report says of an entrance: -1 nothing, 0 down or not stable yet, 1 healthy. */
static int entrance_at(const struct engine *engine, const struct edge_report *report, const char *room, const char *via)
{
    for (guint i = 0; i < report->origins->len; i++) {
        const struct origin_health *origin = report->origins->pdata[i];
        if (strcmp(origin->room, room) == 0 && strcmp(origin->via, via) == 0)
            return origin->up && engine->now_us - origin->since_us >= STABLE_US;
    }
    return -1;
}

int64_t target_down_us(const struct engine *engine, enum object_kind kind, const char *target)
{
    if (kind != OBJECT_room && kind != OBJECT_pop)
        return -1;
    int64_t down_us = -1;
    INVENTORY_FOREACH (engine->resolved->world->inventory, pop, pop) {
        if (strcmp(kind == OBJECT_room ? pop->room : pop->o.name, target) != 0 ||
            !observed_entrance_down(engine->observed, engine->resolved->world->inventory, pop->room, pop->o.name,
                                    engine->now_us))
            continue;
        int64_t since_us = observed_entrance_since(engine->observed, engine->resolved->world->inventory, pop->room,
                                                   pop->o.name, engine->now_us);
        down_us = MAX(down_us, engine->now_us - since_us);
    }
    return down_us;
}

static enum check_result check_entrances_healthy(const struct engine *engine, struct execution *ex, char **text)
{
    if (!target_is_room(engine, ex, "entrances-healthy", text))
        return CHECK_FAILS;
    unsigned healthy = 0, asked = 0;
    g_autoptr(GString) reasons = g_string_new(NULL);
    INVENTORY_FOREACH (engine->resolved->world->inventory, pop, pop) {
        if (strcmp(pop->room, ex->target) != 0)
            continue;
        unsigned seen = 0, up = 0;
        GHashTableIter iter;
        gpointer item;
        g_hash_table_iter_init(&iter, engine->observed->edges);
        while (g_hash_table_iter_next(&iter, NULL, &item)) {
            const struct edge_report *report = item;
            const struct edge *edge = INVENTORY_GET(engine->resolved->world->inventory, edge, report->edge);
            if (edge == NULL || edge->class != EDGE_PUBLIC)
                continue; /* its fallback */
            int at =
                edge_report_fresh(report, engine->now_us) ? entrance_at(engine, report, ex->target, pop->o.name) : -1;
            seen += at >= 0;
            up += at > 0;
        }
        asked++;
        healthy += seen > 0 && up == seen;
        g_autofree char *reason = g_strdup_printf("%s up for 2 s at %u of %u edges", pop->o.name, up, seen);
        if (seen == 0 || up < seen)
            words_append(reasons, "; ", reason);
    }
    if (healthy == asked && asked > 0) {
        *text = g_strdup_printf("%u of %u entrances of %s healthy", healthy, asked, ex->target);
        return CHECK_HOLDS;
    }
    *text = g_strdup_printf("%u of %u entrances of %s healthy: %s", healthy, asked, ex->target,
                            asked > 0 ? reasons->str : "it has none");
    return asked > 0 ? CHECK_WAITS : CHECK_FAILS;
}

/* What is still to be written by the execution, judged as a whole. */
static enum check_result check_forecast(const struct engine *engine, struct execution *ex, char **text)
{
    g_autoptr(GArray) moves = moves_new();
    for (guint i = 0; i < ex->steps->len; i++) {
        const struct execution_step *step = ex->steps->pdata[i];
        for (guint j = 0; step->state == STEP_STATE_PENDING && j < step->sets->len; j++) {
            const struct execution_set *set = &g_array_index(step->sets, struct execution_set, j);
            moves_add(moves, set->lever, set->object, set->value);
        }
    }
    sb_auto(resolved) draft = engine_draft_moves(engine, moves, ex->actor, ex->id, "");
    sb_auto(forecast) fc = forecast(engine->resolved, draft, engine->observed, engine->now_us);
    g_autoptr(GPtrArray) alone = g_ptr_array_new();
    g_ptr_array_add(alone, ex);
    g_autoptr(GPtrArray) refusals =
        engine_judge_family(engine, draft, fc, moves, alone, ex->automatic, execution_overrides(engine, ex));
    g_autoptr(GError) error = NULL;
    if (refusals->len > 0) {
        refusals_error(refusals, &error);
        *text = g_strdup(error->message);
        return CHECK_FAILS;
    }
    g_autofree char *moved = words_rate(fc->moved), *total = words_rate(fc->total);
    *text = fc->known ? g_strdup_printf("%s of %s requests/s will change room", moved, total)
                      : g_strdup("warning: no fresh rates, so the forecast is not known");
    return CHECK_HOLDS;
}

/* Does nobody write to the component, or consume, as far as those know who ask a registry? */
static enum check_result check_stopped(const struct engine *engine, struct execution *ex, enum lever lever, char **text)
{
    const struct world *world = engine->resolved->world;
    const struct component *component =
        ex->target != NULL ? INVENTORY_GET(world->inventory, component, ex->target) : NULL;
    const char *name = lever_class(lever)->name, *value = NULL;
    if (component == NULL) {
        *text = g_strdup_printf("found target %s, expected a component", ex->target != NULL ? ex->target : "none");
        return CHECK_FAILS;
    }
    value = world_component_value(world, component, lever);
    if (g_strcmp0(value, "none") != 0) {
        *text =
            g_strdup_printf("%s/%s is %s, expected none", name, ex->target, value != NULL ? value : "each room's own");
        return CHECK_FAILS;
    }
    const struct control *control = controls_get(world->controls, lever, ex->target);
    g_autoptr(GPtrArray) zones = g_ptr_array_new();
    g_ptr_array_add(zones, (gpointer)(uintptr_t)EASTWEST_ZONE);
    struct proof proof;
    proof_registries(engine, control != NULL ? control->revision : 0, zones, &proof);
    bool proven = proof.missing->len == 0;
    *text = g_strdup_printf("%s/%s is none: %s", name, ex->target,
                            proof.asked > 0 ? proof.text : "there is no registry to publish it");
    proof_clear(&proof);
    return proven ? CHECK_HOLDS : CHECK_WAITS;
}

static enum check_result check_writes_stopped(const struct engine *engine, struct execution *ex, char **text)
{
    return check_stopped(engine, ex, LEVER_COMPONENT_PRIMARY, text);
}

static enum check_result check_consumption_stopped(const struct engine *engine, struct execution *ex, char **text)
{
    return check_stopped(engine, ex, LEVER_COMPONENT_CONSUMPTION, text);
}

enum check_result check_word(const struct engine *engine, struct execution *ex, const char *word, char **text)
{
    static const struct {
        const char *word;
        enum check_result (*check)(const struct engine *engine, struct execution *ex, char **text);
    } checks[] = {
        {"room-open", check_room_open},
        {"entrances-healthy", check_entrances_healthy},
        {"forecast", check_forecast},
        {"writes-stopped", check_writes_stopped},
        {"consumption-stopped", check_consumption_stopped},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(checks); i++)
        if (g_strcmp0(word, checks[i].word) == 0)
            return checks[i].check(engine, ex, text);
    *text = g_strdup_printf("check %s is not known", word);
    return CHECK_FAILS;
}

enum check_result checks_hold(const struct engine *engine, struct execution *ex, char **words, const char **word,
                              char **text)
{
    enum check_result result = CHECK_HOLDS;
    for (char **each = words; each != NULL && *each != NULL && result == CHECK_HOLDS; each++) {
        g_clear_pointer(text, g_free);
        *word = *each;
        result = check_word(engine, ex, *each, text);
    }
    return result;
}
