/* engine_commit.c: drafts of worlds, and the one road by which a draft becomes a generation. */
#include "server/interlocking/engine_internal.h"

#include <string.h>

static void move_clear(gpointer data)
{
    struct move *move = data;
    g_free(move->object);
    g_free(move->value);
    g_free(move->execution);
}

GArray *moves_new(void)
{
    GArray *moves = g_array_new(FALSE, FALSE, sizeof(struct move));
    g_array_set_clear_func(moves, move_clear);
    return moves;
}

void moves_add(GArray *moves, enum lever lever, const char *object, const char *value)
{
    struct move move = {.lever = lever, .object = g_strdup(object), .value = g_strdup(value)};
    g_array_append_val(moves, move);
}

char *lever_text(enum lever lever, const char *object)
{
    return g_strdup_printf("%s/%s", lever_class(lever)->name, object);
}

int64_t engine_wall_us(const struct engine *engine)
{
    return engine->now_us + engine->wall_offset_us;
}

void engine_take_now(struct engine *engine, struct now now)
{
    engine->now_us = now.us;
    engine->wall_offset_us = now.wall_us - now.us;
}

static struct resolved *draft_with(const struct engine *engine, struct inventory *inventory, struct controls *controls,
                                   GHashTable *plans, const struct pin_keys *pins, const char *cause)
{
    const struct world *old = engine->resolved->world;
    struct stamp stamp = {.epoch = engine->epoch, .generation = engine->generation + 1};
    sb_auto(world) world =
        world_new(engine->config.cluster, stamp, cause, inventory != NULL ? inventory : old->inventory,
                  controls != NULL ? controls : old->controls, plans != NULL ? plans : old->plans);
    world->pins = pins != NULL ? *pins : old->pins;
    return resolve(world, engine->resolved);
}

struct resolved *engine_draft(const struct engine *engine, struct inventory *inventory, struct controls *controls,
                              GHashTable *plans, const char *cause)
{
    return draft_with(engine, inventory, controls, plans, NULL, cause);
}

struct resolved *engine_draft_pins(const struct engine *engine, const struct pin_keys *pins)
{
    return draft_with(engine, NULL, NULL, NULL, pins, "");
}

struct resolved *engine_draft_moves(const struct engine *engine, const GArray *moves, const char *actor,
                                    const char *execution, const char *cause)
{
    sb_auto(controls) controls = controls_copy(engine->resolved->world->controls);
    for (guint i = 0; i < moves->len; i++) {
        const struct move *move = &g_array_index(moves, struct move, i);
        struct control control = {.lever = move->lever,
                                  .object = move->object,
                                  .value = move->value,
                                  .revision = engine->generation + 1,
                                  .actor = (char *)actor,
                                  .execution = move->execution != NULL ? move->execution : (char *)execution};
        controls_put(controls, &control);
    }
    return engine_draft(engine, NULL, controls, NULL, cause);
}

GPtrArray *engine_judge(const struct engine *engine, const struct resolved *draft, const struct forecast *forecast,
                        const GArray *moves, bool automatic, const char *const *overrides)
{
    const struct rules_case change = {.config = &engine->config.rules,
                                      .now = engine->resolved->world,
                                      .then = draft->world,
                                      .forecast = forecast,
                                      .past = engine->past,
                                      .wall_us = engine_wall_us(engine),
                                      .automatic = automatic,
                                      .overrides = overrides,
                                      .moves = moves};
    return rules_check(&change);
}

GPtrArray *engine_judge_family(const struct engine *engine, const struct resolved *draft,
                               const struct forecast *forecast, const GArray *moves, const GPtrArray *family,
                               bool automatic, const char *const *overrides)
{
    struct forecast largest = *forecast;
    largest.moved *= ramp_largest(family);
    return engine_judge(engine, draft, &largest, moves, automatic, overrides);
}

/* Only while a rule looks back: most sites have none that does. */
static void past_note(struct engine *engine, const struct resolved *draft, GPtrArray *entries)
{
    int64_t period_s = rules_period_s(draft->world->inventory), now_us = engine_wall_us(engine);
    g_autoptr(GPtrArray) levers = controls_list(draft->world->controls);
    if (period_s == 0)
        return;
    rules_past_forget(engine->past, now_us - period_s * G_USEC_PER_SEC);
    for (guint i = 0; i < levers->len; i++) {
        const struct control *control = levers->pdata[i];
        const char *before = controls_value(engine->resolved->world->controls, control->lever, control->object);
        g_autofree char *name = lever_text(control->lever, control->object);
        if (strcmp(before, control->value) != 0)
            rules_past_lever(engine->past, name, now_us);
    }
    sb_auto(forecast) fc = forecast(engine->resolved, draft, engine->observed, engine->now_us);
    rules_past_share(engine->past, rules_share_moved(fc), now_us);
    entries_add(entries, "past", "rules", NULL, rules_past_to_json(engine->past));
}

void engine_commit(struct engine *engine, struct resolved *draft, GPtrArray *entries, const char *key,
                   struct effects *out)
{
    const struct world *world = draft->world;
    g_autofree char *id = g_strdup_printf("%" G_GUINT64_FORMAT, world->stamp.generation);
    past_note(engine, draft, entries);
    entries_add(entries, "generation", id, key,
                json_pack("{s:I, s:I, s:s, s:s*, s:I}", "generation", (json_int_t)world->stamp.generation, "epoch",
                          (json_int_t)world->stamp.epoch, "cause", world->cause, "key", key, "at_us",
                          (json_int_t)engine_wall_us(engine)));
    if (key != NULL)
        g_hash_table_insert(engine->keys, g_strdup(key), g_memdup2(&world->stamp.generation, sizeof(uint64_t)));
    effects_journal(out, entries);
    resolved_unref(engine->resolved);
    engine->resolved = draft;
    engine->generation = world->stamp.generation;
    claim_publish(engine, out);
}

void entries_add_moves(GPtrArray *entries, const GArray *moves, const struct resolved *draft)
{
    for (guint i = 0; i < moves->len; i++) {
        const struct move *move = &g_array_index(moves, struct move, i);
        g_autofree char *id = lever_text(move->lever, move->object);
        entries_add(entries, "control", id, NULL,
                    control_to_json(controls_get(draft->world->controls, move->lever, move->object)));
    }
}

void engine_audit(struct engine *engine, GPtrArray *entries, const struct audit *audit)
{
    entries_add_audit(entries, audit, ++engine->audit_seq, engine_wall_us(engine));
}

void engine_journal(struct engine *engine, struct journal_entry *entry, const char *what, const struct asker *asker,
                    struct now now, struct effects *out)
{
    tell_journal(engine, entry, what, asker, now);
    engine_take_now(engine, now);
    GPtrArray *entries = entries_new();
    g_ptr_array_add(entries, entry);
    g_autofree char *object = g_strdup_printf("%s/%s", entry->kind, entry->id);
    struct audit audit = {.actor = asker->actor,
                          .reason = asker->reason,
                          .what = what,
                          .object = object,
                          .overrides = asker->overrides,
                          .generation = engine->generation};
    engine_audit(engine, entries, &audit);
    effects_journal(out, entries);
}

json_t *refusals_to_json(const GPtrArray *refusals)
{
    json_t *json = json_array();
    for (guint i = 0; i < refusals->len; i++) {
        const struct refusal *refusal = refusals->pdata[i];
        json_array_append_new(json, json_pack("{s:s, s:s, s:s}", "rule", refusal->rule, "figures", refusal->figures,
                                              "way_round", refusal->way_round));
    }
    return json;
}
