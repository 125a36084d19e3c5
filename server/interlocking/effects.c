/* effects.c: what the engine asks its caller to carry out, in order. */
#include "server/interlocking/engine.h"
#include "server/interlocking/engine_internal.h"

void effects_init(struct effects *effects)
{
    g_queue_init(&effects->queue);
}

void effects_clear(struct effects *effects)
{
    struct effect *effect;
    while ((effect = effects_pop(effects)) != NULL)
        effect_free(effect);
}

struct effect *effects_pop(struct effects *effects)
{
    return g_queue_pop_head(&effects->queue);
}

void effect_free(struct effect *effect)
{
    if (effect == NULL)
        return;
    if (effect->entries != NULL)
        g_ptr_array_unref(effect->entries);
    if (effect->resolved != NULL)
        resolved_unref(effect->resolved);
    json_decref(effect->ask);
    json_decref(effect->call);
    g_free(effect);
}

void effects_journal(struct effects *out, GPtrArray *entries)
{
    struct effect *effect = g_new0(struct effect, 1);
    effect->kind = EFFECT_JOURNAL;
    effect->entries = entries;
    g_queue_push_tail(&out->queue, effect);
}

void effects_call(struct effects *out, json_t *call)
{
    struct effect *effect = g_new0(struct effect, 1);
    effect->kind = EFFECT_CALL;
    effect->call = call;
    g_queue_push_tail(&out->queue, effect);
}

void effects_publish(struct effects *out, struct resolved *resolved)
{
    struct effect *effect = g_new0(struct effect, 1);
    effect->kind = EFFECT_PUBLISH;
    effect->resolved = resolved_ref(resolved);
    g_queue_push_tail(&out->queue, effect);
}

void effects_ask(struct effects *out, struct resolved *resolved, json_t *ask)
{
    struct effect *effect = g_new0(struct effect, 1);
    effect->kind = EFFECT_ASK;
    effect->resolved = resolved_ref(resolved);
    effect->ask = ask;
    g_queue_push_tail(&out->queue, effect);
}
