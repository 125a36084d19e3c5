/* engine_ramp.c: ramps: slots of users that move in stages, each proved by the edges, watched, and only then the next.
 *
 *     write stage --edges applied it--> bake --time and requests enough--> next stage ... --> succeeded
 *          |                             |
 *          '-------- the guard ----------'--> failed, and by on_failure (rollback when absent) back to the beginning
 *
 * The guard looks at what edges have counted since they applied the stage: of requests that the gaining rooms answered
 * at most `errors` percent may fail, of all requests of the services so many more than before the ramp (a room that
 * answers nothing is in no counter of its own), and the median of the probes of the gaining rooms' entrances may take
 * `latency`. Too few requests are no evidence: the stage waits for them, and times out.
 */
#include "server/interlocking/engine_internal.h"
#include "server/interlocking/words.h"

#include "core/error.h"

#include <string.h>

/* ---- freezing ---- */

const char *word_stands_for(const char *word, const char *target, const json_t *params, const char *step,
                            GError **error)
{
    if (word[0] != '$')
        return word;
    const char *name = strcmp(word, "$target") == 0 ? target : json_string_value(json_object_get(params, word + 1));
    if (name == NULL)
        g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "step %s: found no value for %s, expected one", step, word);
    return name;
}

static unsigned room_index(struct split *split, const char *room)
{
    for (unsigned i = 0; i < split->n_rooms; i++)
        if (strcmp(split->rooms[i], room) == 0)
            return i;
    if (split->n_rooms == SPLIT_ROOMS_MAX)
        return SPLIT_ROOMS_MAX;
    split->rooms[split->n_rooms] = g_strdup(room);
    return split->n_rooms++;
}

static void split_copy(const struct split *from, struct split *out)
{
    *out = *from;
    for (unsigned i = 0; i < from->n_rooms; i++)
        out->rooms[i] = g_strdup(from->rooms[i]);
}

/* Rooms besides `room` that can take its users: names of the world. */
static GPtrArray *other_rooms(const struct world *world, const char *room)
{
    GPtrArray *rooms = g_ptr_array_new();
    INVENTORY_FOREACH (world->inventory, room, other) {
        if (strcmp(other->o.name, room) != 0 && world_room_usable(world, EDGE_PUBLIC, true, other->o.name))
            g_ptr_array_add(rooms, other->o.name);
    }
    return rooms;
}

/* Where each slot is to be in the end: all at `to`, or those of `away` evenly at the other open rooms, in runs. */
static bool split_end(const struct world *world, const struct split *from, const char *to, const char *away,
                      struct split *out, GError **error)
{
    g_autoptr(GPtrArray) others = to != NULL ? g_ptr_array_new() : other_rooms(world, away);
    if (to != NULL)
        g_ptr_array_add(others, (gpointer)(uintptr_t)to);
    unsigned moving = 0, index[SPLIT_ROOMS_MAX], nth = 0;
    split_copy(from, out);
    for (guint i = 0; i < others->len && i < SPLIT_ROOMS_MAX; i++)
        index[i] = room_index(out, others->pdata[i]);
    if (others->len == 0 || others->len > SPLIT_ROOMS_MAX || out->n_rooms == SPLIT_ROOMS_MAX) {
        g_set_error(error, SB_ERROR, SB_ERROR_REFUSED, "found %u other open rooms, expected 1 to %d", others->len,
                    SPLIT_ROOMS_MAX - 1);
        split_clear(out);
        return false;
    }
    for (unsigned slot = 0; slot < SLOT_COUNT; slot++)
        moving += to != NULL || strcmp(from->rooms[from->room_of[slot]], away) == 0;
    for (unsigned slot = 0; slot < SLOT_COUNT; slot++)
        if (to != NULL || strcmp(from->rooms[from->room_of[slot]], away) == 0)
            out->room_of[slot] = (uint8_t)index[nth++ * others->len / moving];
    return true;
}

/* What stands between: of the slots that go from one room to another, the first `percent`. So no slot moves twice. */
static char *stage_text(const struct split *from, const struct split *end, unsigned percent)
{
    unsigned all[SPLIT_ROOMS_MAX][SPLIT_ROOMS_MAX] = {0};
    unsigned nth[SPLIT_ROOMS_MAX][SPLIT_ROOMS_MAX] = {0};
    struct split stage;
    split_copy(end, &stage);
    for (unsigned slot = 0; slot < SLOT_COUNT; slot++)
        all[from->room_of[slot]][end->room_of[slot]]++;
    for (unsigned slot = 0; slot < SLOT_COUNT; slot++) {
        unsigned a = from->room_of[slot], b = end->room_of[slot];
        stage.room_of[slot] = (uint8_t)(a == b || nth[a][b]++ * 100 < percent * all[a][b] ? b : a);
    }
    char *text = split_format(&stage);
    split_clear(&stage);
    return text;
}

static void note_gains(json_t *gains, const struct split *from, const struct split *end)
{
    for (unsigned slot = 0; slot < SLOT_COUNT; slot++) {
        const char *room = end->rooms[end->room_of[slot]];
        bool known = from->room_of[slot] == end->room_of[slot];
        for (size_t i = 0; !known && i < json_array_size(gains); i++)
            known = strcmp(json_string_value(json_array_get(gains, i)), room) == 0;
        if (!known)
            json_array_append_new(gains, json_string(room));
    }
}

/* The rooms of `end` begin with those of `from`, so indexes of both mean the same. */
static bool freeze_service(const struct engine *engine, struct execution_step *step, const char *name, const char *to,
                           const char *away, GError **error)
{
    const struct world *world = engine->resolved->world;
    const struct service *service = INVENTORY_GET(world->inventory, service, name);
    struct split from, end;
    if (service == NULL || service->active != SERVICE_MULTI) {
        g_set_error(error, SB_ERROR, service == NULL ? SB_ERROR_NOT_FOUND : SB_ERROR_INVALID,
                    "found %s, expected a multi-active service: others have no slots to move", name);
        return false;
    }
    world_service_unpinned(world, service, &from);
    if (!split_end(world, &from, to, away, &end, error)) {
        split_clear(&from);
        return false;
    }
    const struct control *control = controls_get(world->controls, LEVER_SPLIT, name);
    const json_t *stages = json_object_get(step->spec, "stages");
    for (size_t i = 0; split_distance(&from, &end) > 0 && i < json_array_size(stages); i++) {
        struct execution_set set = {
            .lever = LEVER_SPLIT,
            .object = g_strdup(name),
            .value = stage_text(&from, &end, (unsigned)json_integer_value(json_array_get(stages, i))),
            .stage = (unsigned)i + 1,
            .revision = control == NULL ? 0 : control->revision};
        g_array_append_val(step->sets, set);
    }
    note_gains(json_object_get(step->spec, "gains"), &from, &end);
    split_clear(&from);
    split_clear(&end);
    return true;
}

static gint by_stage(gconstpointer a, gconstpointer b)
{
    const struct execution_set *x = a, *y = b;
    return x->stage != y->stage ? (x->stage < y->stage ? -1 : 1) : strcmp(x->object, y->object);
}

bool ramp_freeze(const struct engine *engine, struct execution_step *step, const char *target, const json_t *params,
                 GError **error)
{
    const struct inventory *inv = engine->resolved->world->inventory;
    g_autofree char *on = g_strdup(json_string_value(json_object_get(step->spec, "on")));
    bool is_to = json_object_get(step->spec, "to") != NULL;
    g_autofree char *word = g_strdup(json_string_value(json_object_get(step->spec, is_to ? "to" : "away")));
    const char *room = word_stands_for(word, target, params, step->name, error);
    const char *names = room == NULL ? NULL : word_stands_for(on, target, params, step->name, error);
    if (names == NULL)
        return false;
    if (INVENTORY_GET(inv, room, room) == NULL) {
        g_set_error(error, SB_ERROR, SB_ERROR_NOT_FOUND, "step %s: found %s, expected the name of a room", step->name,
                    room);
        return false;
    }
    json_object_set_new(step->spec, is_to ? "to" : "away", json_string(room));
    json_object_set_new(step->spec, "on", json_string(names));
    json_object_set_new(step->spec, "gains", json_array());
    bool ok = true, multi = strcmp(on, "multi") == 0;
    g_auto(GStrv) listed = multi ? NULL : g_strsplit(names, ",", -1);
    for (char **name = listed; ok && name != NULL && *name != NULL; name++)
        ok = freeze_service(engine, step, *name, is_to ? room : NULL, is_to ? NULL : room, error);
    INVENTORY_FOREACH (inv, service, service) {
        if (ok && multi && service->active == SERVICE_MULTI)
            ok = freeze_service(engine, step, service->o.name, is_to ? room : NULL, is_to ? NULL : room, error);
    }
    if (!ok)
        g_prefix_error(error, "step %s: ", step->name);
    g_array_sort(step->sets, by_stage);
    return ok;
}

double ramp_largest(const GPtrArray *family)
{
    json_int_t largest = 0;
    for (guint i = 0; i < family->len; i++) {
        const struct execution *ex = family->pdata[i];
        for (guint j = 0; j < ex->steps->len; j++) {
            const struct execution_step *step = ex->steps->pdata[j];
            if (step->kind == STEP_SET && step->sets->len > 0)
                return 1;
            const json_t *stages = json_object_get(step->spec, "stages");
            json_int_t before = 0, most = 0;
            for (size_t k = 0; step->kind == STEP_RAMP && k < json_array_size(stages); k++) {
                json_int_t percent = json_integer_value(json_array_get(stages, k));
                most = MAX(most, percent - before);
                before = percent;
            }
            largest += most;
        }
    }
    return largest == 0 ? 1 : MIN((double)largest / 100, 1);
}

/* ---- what is seen ---- */

struct seen {
    uint64_t gained, gained_failed; /* requests that the gaining rooms answered since the stage */
    uint64_t all, all_failed;       /* requests of the services since the stage */
    double rate, fail_rate;         /* of the services, in the last window */
    int64_t latency_us;             /* median of the gaining rooms' entrances; -1: none was probed */
};

static bool is_ramped(const struct execution_step *step, const char *policy)
{
    const char *dot = strrchr(policy, '.');
    for (guint i = 0; dot != NULL && i < step->sets->len; i++)
        if (strcmp(g_array_index(step->sets, struct execution_set, i).object, dot + 1) == 0)
            return true;
    return false;
}

static bool gains(const struct execution_step *step, const char *room)
{
    const json_t *list = json_object_get(step->spec, "gains");
    for (size_t i = 0; i < json_array_size(list); i++)
        if (strcmp(json_string_value(json_array_get(list, i)), room) == 0)
            return true;
    return false;
}

static void see_counters(const struct execution_step *step, const struct edge_report *report, bool proves,
                         struct seen *seen)
{
    for (guint i = 0; i < report->counters->len; i++) {
        const struct counter *counter = report->counters->pdata[i];
        if (!is_ramped(step, counter->policy))
            continue;
        seen->rate += counter->rate;
        seen->fail_rate += counter->fail_rate;
        if (!proves)
            continue;
        seen->all += counter->requests;
        seen->all_failed += counter->failed;
        if (!gains(step, counter->room))
            continue;
        seen->gained += counter->requests;
        seen->gained_failed += counter->failed;
    }
}

static gint by_number(gconstpointer a, gconstpointer b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

static void see(const struct engine *engine, const struct execution *ex, const struct execution_step *step,
                struct seen *seen)
{
    g_autoptr(GArray) latencies = g_array_new(FALSE, FALSE, sizeof(int64_t));
    *seen = (struct seen){.latency_us = -1};
    INVENTORY_FOREACH (engine->resolved->world->inventory, edge, edge) {
        const struct edge_report *report = observed_edge(engine->observed, edge->o.name);
        if (!edge_report_fresh(report, engine->now_us))
            continue;
        see_counters(step, report, edge_proves(engine, edge->o.name, ex->generation), seen);
        for (guint i = 0; i < report->origins->len; i++) {
            const struct origin_health *origin = report->origins->pdata[i];
            if (gains(step, origin->room) && origin->latency_us >= 0)
                g_array_append_val(latencies, origin->latency_us);
        }
    }
    g_array_sort(latencies, by_number);
    if (latencies->len > 0)
        seen->latency_us = g_array_index(latencies, int64_t, latencies->len / 2);
}

/* ---- the guard ---- */

static json_int_t spec_number(const struct execution_step *step, const char *member)
{
    return json_integer_value(json_object_get(step->spec, member));
}

static char *gains_text(const struct execution_step *step)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    const json_t *list = json_object_get(step->spec, "gains");
    for (size_t i = 0; i < json_array_size(list); i++)
        g_ptr_array_add(names, (gpointer)(uintptr_t)json_string_value(json_array_get(list, i)));
    return words_list(names, 8);
}

/* Why it must not go on; NULL: it may. */
static char *guard_text(const struct execution_step *step, const struct seen *seen)
{
    double limit = (double)spec_number(step, "errors"), before = step->baseline * 100;
    uint64_t enough = (uint64_t)MAX(spec_number(step, "requests"), 1);
    double gained = seen->gained > 0 ? 100.0 * (double)seen->gained_failed / (double)seen->gained : 0;
    double all = seen->all > 0 ? 100.0 * (double)seen->all_failed / (double)seen->all : 0;
    int64_t latency_us = spec_number(step, "latency_us");
    g_autofree char *rooms = gains_text(step);
    if (seen->gained >= enough && gained > limit)
        return g_strdup_printf("%.1f %% of %" G_GUINT64_FORMAT " requests failed in %s, at most %.1f %% may", gained,
                               seen->gained, rooms, limit);
    if (seen->all >= enough && all > before + limit)
        return g_strdup_printf("%.1f %% of %" G_GUINT64_FORMAT " requests failed, %.1f %% did before: at most %.1f %% "
                               "more may",
                               all, seen->all, before, limit);
    if (latency_us > 0 && seen->latency_us > latency_us)
        return g_strdup_printf("probes of %s take %.0f ms, at most %.0f ms may", rooms, (double)seen->latency_us / 1000,
                               (double)latency_us / 1000);
    return NULL;
}

/* ---- stages ---- */

static unsigned stages_of(const struct execution_step *step)
{
    return (unsigned)json_array_size(json_object_get(step->spec, "stages"));
}

static char *stage_words(const struct execution_step *step)
{
    json_int_t percent = json_integer_value(json_array_get(json_object_get(step->spec, "stages"), step->stage - 1));
    return g_strdup_printf("stage %u of %u (%" JSON_INTEGER_FORMAT " %%)", step->stage, stages_of(step), percent);
}

void ramp_written(struct engine *engine, struct execution *ex, struct execution_step *step, unsigned stage,
                  const char *text)
{
    step->stage = stage;
    step->since_us = engine->now_us;
    step->baking_us = 0;
    g_autofree char *words = stage_words(step);
    execution_step_text(ex, step, engine_wall_us(engine), "%s: %s", words, text);
}

static void ramp_end(struct engine *engine, struct execution *ex, struct execution_step *step, enum step_state state,
                     const char *text)
{
    g_autofree char *words = stage_words(step), *whole = g_strdup_printf("%s: %s", words, text);
    step_end(engine, ex, step, state, whole);
}

/* The stage is good. */
static bool stage_passed(struct engine *engine, struct execution *ex, struct execution_step *step,
                         const struct seen *seen, struct effects *out)
{
    if (execution_is_paused(engine, ex))
        return false;
    g_autofree char *words = stage_words(step), *rooms = gains_text(step);
    double failed = seen->gained > 0 ? 100.0 * (double)seen->gained_failed / (double)seen->gained : 0;
    g_autofree char *text =
        g_strdup_printf("good: %" G_GUINT64_FORMAT " requests in %s, %.1f %% failed", seen->gained, rooms, failed);
    if (step->stage == stages_of(step)) {
        ramp_end(engine, ex, step, STEP_STATE_SUCCEEDED, text);
        return true;
    }
    execution_note(ex, engine_wall_us(engine), step->name, "%s: %s", words, text);
    return step_write(engine, ex, step, execution_is_forced(engine, ex) ? stages_of(step) : step->stage + 1, out);
}

static bool stage_waits(struct engine *engine, struct execution *ex, struct execution_step *step,
                        const struct proof *proof, const struct seen *seen)
{
    json_int_t bake_us = spec_number(step, "bake_us"), enough = spec_number(step, "requests");
    bool baked = step->baking_us != 0 && engine->now_us - step->baking_us >= bake_us;
    g_autofree char *rooms = gains_text(step), *words = stage_words(step), *text = NULL;
    if (step->baking_us == 0)
        text = g_strdup(proof->text);
    else if (!baked)
        text = g_strdup_printf("baking for %.1f s", (double)bake_us / G_USEC_PER_SEC);
    else
        text = g_strdup_printf("fewer than %" JSON_INTEGER_FORMAT " requests in %s", enough, rooms);
    if (engine->now_us - step->since_us < bake_us + step->timeout_us) {
        execution_step_text(ex, step, engine_wall_us(engine), "%s: %s", words, text);
        return false;
    }
    g_autofree char *late =
        baked ? g_strdup_printf("found %" G_GUINT64_FORMAT " requests in %s, expected %" JSON_INTEGER_FORMAT
                                ", not within %.1f s",
                                seen->gained, rooms, enough, (double)step->timeout_us / G_USEC_PER_SEC)
              : g_strdup_printf("%s, not within %.1f s", text, (double)step->timeout_us / G_USEC_PER_SEC);
    ramp_end(engine, ex, step, STEP_STATE_TIMED_OUT, late);
    return true;
}

bool look_ramp(struct engine *engine, struct execution *ex, struct execution_step *step, struct effects *out)
{
    bool forced = execution_is_forced(engine, ex);
    struct seen seen;
    unsigned intended = ex->resumed ? step_intended_stage(ex, step) : 0;
    if (intended > 0) /* before it is judged: what may be in force must be known to be written, or nobody undoes it */
        return step_write(engine, ex, step, intended, out);
    see(engine, ex, step, &seen);
    if (step->sets->len == 0) {
        step_end(engine, ex, step, STEP_STATE_SUCCEEDED, "nothing to move: all slots are there");
        return true;
    }
    if (step->stage == 0) {
        step->baseline = seen.rate > 0 ? seen.fail_rate / seen.rate : 0;
        return step_write(engine, ex, step, forced ? stages_of(step) : 1, out);
    }
    g_autofree char *stop = forced ? NULL : guard_text(step, &seen);
    if (stop != NULL) {
        ramp_end(engine, ex, step, STEP_STATE_FAILED, stop);
        return true;
    }
    struct proof proof;
    proof_edges(engine, ex->generation, &proof);
    if (proof.missing->len == 0 && step->baking_us == 0) {
        step->baking_us = engine->now_us;
        note_converged(engine, ex);
    }
    bool baked = step->baking_us != 0 && (forced || engine->now_us - step->baking_us >= spec_number(step, "bake_us"));
    bool good = baked && (forced || seen.gained >= (uint64_t)spec_number(step, "requests"));
    bool changed = good ? stage_passed(engine, ex, step, &seen, out) : stage_waits(engine, ex, step, &proof, &seen);
    proof_clear(&proof);
    return changed;
}
