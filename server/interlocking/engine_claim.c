/* engine_claim.c: the claim of a reign, as engine.h defines it.
 *
 *     start --publishes the last world--> CLAIMING --every edge promised, or CLAIM_WAIT_US--> claimed
 *                                            '--a commit: its publication is held until then
 */
#include "server/interlocking/engine_internal.h"
#include "server/interlocking/words.h"

static bool edge_claimed(const struct engine *engine, const char *edge)
{
    const struct edge_report *report = observed_edge(engine->observed, edge);
    return report != NULL && report->promised >= engine->epoch;
}

static bool server_claimed(const struct engine *engine, const char *nameserver)
{
    const struct server_report *report = observed_server(engine->observed, nameserver);
    return report != NULL && report->confirmed.epoch >= engine->epoch;
}

void claim_count(const struct engine *engine, unsigned *claimed, unsigned *asked)
{
    *claimed = *asked = 0;
    g_autoptr(GPtrArray) agents = world_agents(engine->resolved->world);
    *asked = agents->len;
    for (guint i = 0; i < agents->len; i++)
        *claimed += edge_claimed(engine, agents->pdata[i]);
}

static void tell_running(struct engine *engine, const char *text)
{
    for (guint i = 0; i < engine->order->len; i++) {
        struct execution *ex = engine->order->pdata[i];
        if (ex->parent == NULL && !execution_ended(ex))
            execution_note(ex, engine_wall_us(engine), NULL, "%s", text);
    }
}

static void give_up_waiting(struct engine *engine)
{
    g_autoptr(GPtrArray) agents = world_agents(engine->resolved->world);
    for (guint i = 0; i < agents->len; i++)
        if (!edge_claimed(engine, agents->pdata[i]))
            names_add(engine->unclaimed, agents->pdata[i]);
    INVENTORY_FOREACH (engine->resolved->world->inventory, nameserver, server)
        if (!server_claimed(engine, server->o.name))
            names_add(engine->unclaimed, server->o.name);
    g_autofree char *text = claim_missing(engine);
    tell_running(engine, text);
}

char *claim_missing(const struct engine *engine)
{
    g_autofree char *names = words_list(engine->unclaimed, 8);
    return g_strdup_printf("unclaimed: %s: no promise of epoch %" G_GUINT64_FORMAT " within %.1f s of the start", names,
                           engine->epoch, (double)CLAIM_WAIT_US / G_USEC_PER_SEC);
}

void claim_begin(struct engine *engine)
{
    unsigned claimed, asked;
    claim_count(engine, &claimed, &asked);
    engine->claiming = asked > 0 && (engine->config.bug & ENGINE_BUG_NO_CLAIM) == 0;
}

/* What left the inventory is waited for by nobody. */
static void forget_removed(struct engine *engine)
{
    const struct inventory *inv = engine->resolved->world->inventory;
    for (guint i = engine->unclaimed->len; i > 0; i--) {
        const char *name = engine->unclaimed->pdata[i - 1];
        if (world_agent_kind(engine->resolved->world, name) == NULL &&
            inventory_get(inv, OBJECT_nameserver, name) == NULL)
            g_ptr_array_remove_index(engine->unclaimed, i - 1);
    }
}

void claim_publish(struct engine *engine, struct effects *out)
{
    forget_removed(engine);
    engine->held = engine->claiming;
    if (!engine->held)
        effects_publish(out, engine->resolved);
}

void claim_look(struct engine *engine, struct effects *out)
{
    if (!engine->claiming)
        return;
    unsigned claimed, asked;
    claim_count(engine, &claimed, &asked);
    if (claimed < asked && engine->now_us < engine->started_us + CLAIM_WAIT_US)
        return;
    engine->claiming = false;
    if (claimed < asked)
        give_up_waiting(engine);
    if (engine->held)
        claim_publish(engine, out);
}

void claim_take(struct engine *engine, const char *actuator)
{
    bool is_agent = world_agent_kind(engine->resolved->world, actuator) != NULL;
    if (!(is_agent ? edge_claimed : server_claimed)(engine, actuator) || !names_remove(engine->unclaimed, actuator))
        return;
    g_autofree char *text = g_strdup_printf("%s is claimed, %.1f s after the start", actuator,
                                            (double)(engine->now_us - engine->started_us) / G_USEC_PER_SEC);
    tell_running(engine, text);
}

const GPtrArray *engine_unclaimed(const struct engine *engine)
{
    return engine->unclaimed;
}
