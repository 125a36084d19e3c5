/* engine_transaction.c: golden transactions (schema/transaction.h) as a step verify: asked down the real road, of an
 * edge, with a pin to the room (schema/pin.h), before anybody is sent there.
 *
 *     running --a table with the keys is applied by an edge--> asked (EFFECT_ASK) --engine_transactions_done-->
 *     succeeded | failed; timed-out when no answer comes
 *
 * What is asked: {"execution", "step", "asked", "for_s", "pace_us"?: between two requests at least, "runs":
 * [{"transaction", "room", "user", "edge", "address", "requests": as transaction_requests}]}. `asked` tells one asking
 * from another. After a restart it is asked again: a golden transaction is made to be asked any number of times. A site
 * that has none loses nothing by the step.
 */
#include "server/interlocking/engine_internal.h"
#include "server/interlocking/words.h"

#include "core/error.h"
#include "schema/jsondoc.h"
#include "schema/transaction.h"

#include <string.h>

#define PIN_SPARE_S 60 /* that a pin lives longer than its step may take: clocks of edges differ */
#define FAILURES_MAX 3 /* named in the step's text; the evidence has all */
#define EDGE_PORT 80

static const char *spec_text(const struct execution_step *step, const char *member)
{
    return json_string_value(json_object_get(step->spec, member));
}

bool transactions_freeze(const struct engine *engine, struct execution_step *step, const struct plan *plan,
                         const char *target, const json_t *params, GError **error)
{
    const char *word = spec_text(step, "room");
    const char *room = strcmp(word, "others") == 0 ? word : word_stands_for(word, target, params, step->name, error);
    if (room == NULL)
        return false;
    if (strcmp(room, "others") != 0 && INVENTORY_GET(engine->resolved->world->inventory, room, room) == NULL) {
        g_set_error(error, SB_ERROR, SB_ERROR_NOT_FOUND, "step %s: found %s, expected the name of a room", step->name,
                    room);
        return false;
    }
    g_autofree char *copy = g_strdup(room);
    json_object_set_new(step->spec, "room", json_string(copy));
    if (plan->target_kind == OBJECT_service && target != NULL)
        json_object_set_new(step->spec, "services", json_string(target));
    return true;
}

/* ---- what is asked ---- */

static bool is_wanted(const struct execution_step *step, const struct transaction *transaction)
{
    const char *name = spec_text(step, "transaction"), *services = spec_text(step, "services");
    if (name != NULL)
        return strcmp(name, transaction->o.name) == 0;
    if (services == NULL || transaction->service == NULL)
        return true;
    g_auto(GStrv) names = g_strsplit(services, ",", -1);
    return g_strv_contains((const char *const *)names, transaction->service);
}

/* Names of the world. */
static GPtrArray *wanted_rooms(const struct world *world, const struct execution *ex, const struct execution_step *step)
{
    GPtrArray *rooms = g_ptr_array_new();
    bool others = strcmp(spec_text(step, "room"), "others") == 0;
    INVENTORY_FOREACH (world->inventory, room, room) {
        bool other =
            g_strcmp0(room->o.name, ex->target) != 0 && world_room_usable(world, EDGE_PUBLIC, true, room->o.name);
        if (others ? other : strcmp(room->o.name, spec_text(step, "room")) == 0)
            g_ptr_array_add(rooms, room->o.name);
    }
    return rooms;
}

const struct edge *transaction_edge(const struct engine *engine, int edge_class)
{
    INVENTORY_FOREACH (engine->resolved->world->inventory, edge, edge) {
        const struct edge_report *report = observed_edge(engine->observed, edge->o.name);
        if (edge->class == edge_class && world_edge_in(engine->resolved->world, edge) &&
            edge_proves(engine, edge->o.name, engine->generation) && edge_report_fresh(report, engine->now_us))
            return edge;
    }
    return NULL;
}

json_t *transaction_run(const char *name, const char *room, const char *user, const struct edge *edge, int64_t port,
                        json_t *requests)
{
    struct endpoint endpoint = {.addr = edge->address, .port = (uint16_t)(port > 0 ? port : EDGE_PORT)};
    char address[ENDPOINT_TEXT_SIZE];
    return json_pack("{s:s, s:s, s:s*, s:s, s:s, s:o}", "transaction", name, "room", room, "user", user, "edge",
                     edge->o.name, "address", endpoint_format(&endpoint, address), "requests", requests);
}

/* All runs of the step. *lacking: class of edges of which none can be asked, -1: no class. */
static json_t *runs_json(const struct engine *engine, const struct execution *ex, const struct execution_step *step,
                         int *lacking)
{
    const struct world *world = engine->resolved->world;
    g_autoptr(GPtrArray) rooms = wanted_rooms(world, ex, step);
    json_t *runs = json_array();
    *lacking = -1;
    INVENTORY_FOREACH (world->inventory, transaction, transaction) {
        if (!is_wanted(step, transaction))
            continue;
        const struct edge *edge = transaction_edge(engine, transaction->class);
        if (edge == NULL)
            *lacking = transaction->class;
        for (guint i = 0; edge != NULL && i < rooms->len; i++)
            json_array_append_new(runs, transaction_run(transaction->o.name, rooms->pdata[i], transaction->user, edge,
                                                        transaction->port,
                                                        transaction_requests(world->inventory, transaction->o.name)));
    }
    return runs;
}

char *transactions_words(const struct engine *engine, const struct execution *ex, const struct execution_step *step)
{
    const struct world *world = engine->resolved->world;
    g_autoptr(GPtrArray) rooms = wanted_rooms(world, ex, step), names = g_ptr_array_new();
    INVENTORY_FOREACH (world->inventory, transaction, transaction) {
        if (is_wanted(step, transaction))
            g_ptr_array_add(names, transaction->o.name);
    }
    g_autofree char *asked = words_list(names, 8), *of = words_list(rooms, 8);
    if (names->len == 0)
        return g_strdup("there is no golden transaction for it: nothing is asked");
    return g_strdup_printf("asks %s of %s%s", asked, rooms->len > 0 ? of : "no room: none is open",
                           world->pins.n > 0 ? "" : "; there is no key for pins yet: signalbox pin rotate");
}

/* ---- the step ---- */

static bool end(struct engine *engine, struct execution *ex, struct execution_step *step, enum step_state state,
                const char *text)
{
    step->baking_us = 0;
    step_end(engine, ex, step, state, text);
    return true;
}

void transactions_send(struct engine *engine, struct execution *ex, struct execution_step *step, json_t *runs,
                       int64_t pace_us, struct effects *out)
{
    step->baking_us = engine->now_us;
    execution_flush(engine, ex, out); /* the intent first */
    effects_ask(out, engine->resolved,
                json_pack("{s:s, s:s, s:I, s:I, s:o*, s:O}", "execution", ex->id, "step", step->name, "asked",
                          (json_int_t)step->baking_us, "for_s",
                          (json_int_t)(step->timeout_us / G_USEC_PER_SEC + PIN_SPARE_S), "pace_us",
                          pace_us > 0 ? json_integer(pace_us) : NULL, "runs", runs));
}

bool look_transactions(struct engine *engine, struct execution *ex, struct execution_step *step, struct effects *out)
{
    int lacking;
    if (step_timed_out(engine, step))
        return end(engine, ex, step, STEP_STATE_TIMED_OUT,
                   step->baking_us != 0 ? "no answer whether the golden transactions are good"
                                        : "no edge could be asked");
    if (step->baking_us != 0)
        return false;
    json_t *runs = runs_json(engine, ex, step, &lacking);
    bool ended = true;
    if (lacking >= 0) {
        ended = false;
        execution_step_text(ex, step, engine_wall_us(engine),
                            "waits for a %s edge that has applied generation %" G_GUINT64_FORMAT,
                            edge_class_name(lacking), engine->generation);
    } else if (json_array_size(runs) == 0) {
        g_autofree char *text = transactions_words(engine, ex, step);
        bool none = strstr(text, "nothing is asked") != NULL;
        end(engine, ex, step, none ? STEP_STATE_SUCCEEDED : STEP_STATE_FAILED, text);
    } else if (engine->resolved->world->pins.n == 0) {
        end(engine, ex, step, STEP_STATE_FAILED, PINS_LACK);
    } else {
        execution_step_text(ex, step, engine_wall_us(engine), "golden transactions asked: %zu", json_array_size(runs));
        transactions_send(engine, ex, step, runs, 0, out);
        ended = false;
    }
    json_decref(runs);
    return ended;
}

/* ---- what came of it ---- */

char *transaction_failure(const json_t *run)
{
    const json_t *rows = json_object_get(run, "evidence"), *row;
    size_t i;
    json_array_foreach (rows, i, row)
        if (!json_is_true(json_object_get(row, "ok")))
            return g_strdup_printf("%s in %s by %s: %s: %s", json_member_shown(run, "transaction"),
                                   json_member_shown(run, "room"), json_member_shown(run, "edge"),
                                   json_member_shown(row, "request"), json_member_shown(row, "why"));
    return json_array_size(rows) > 0 ? NULL
                                     : g_strdup_printf("%s: nothing was asked", json_member_shown(run, "transaction"));
}

static void conclude(struct engine *engine, struct execution *ex, struct execution_step *step, const json_t *runs)
{
    g_autoptr(GPtrArray) failures = g_ptr_array_new_with_free_func(g_free);
    size_t i, requests = 0;
    json_t *run;
    json_array_foreach (runs, i, run) {
        char *failure = transaction_failure(run);
        requests += json_array_size(json_object_get(run, "evidence"));
        if (failure != NULL)
            g_ptr_array_add(failures, failure);
    }
    g_autoptr(GString) text = g_string_new(NULL);
    if (failures->len == 0)
        g_string_append_printf(text, "golden transactions good: %zu, requests: %zu", json_array_size(runs), requests);
    else
        g_string_append_printf(text, "golden transactions failed: %u of %zu", failures->len, json_array_size(runs));
    for (guint k = 0; k < failures->len && k < FAILURES_MAX; k++)
        g_string_append_printf(text, "; %s", (char *)failures->pdata[k]);
    json_object_set(step->spec, "runs", (json_t *)(uintptr_t)runs);
    end(engine, ex, step, failures->len == 0 ? STEP_STATE_SUCCEEDED : STEP_STATE_FAILED, text->str);
}

void engine_transactions_done(struct engine *engine, const json_t *result, int64_t now_us, struct effects *out)
{
    tell_asked(engine, result, now_us);
    engine->now_us = now_us;
    const char *id = json_string_value(json_object_get(result, "execution"));
    const char *name = json_string_value(json_object_get(result, "step"));
    json_int_t asked = json_integer_value(json_object_get(result, "asked"));
    struct execution *ex = engine_find(engine, id);
    struct execution_step *step = ex != NULL && name != NULL ? execution_step(ex, name) : NULL;
    bool asks = step != NULL && (step->kind == STEP_VERIFY || step->kind == STEP_WARM) && step->spec != NULL;
    bool waits =
        asks && step->state == STEP_STATE_RUNNING && !step->posting && step->baking_us != 0 && step->baking_us == asked;
    const json_t *runs = json_object_get(result, "runs");
    if (waits && !execution_ended(ex) && json_array_size(runs) > 0)
        (step->kind == STEP_WARM ? warm_conclude : conclude)(engine, ex, step, runs);
    advance_all(engine, out);
}
