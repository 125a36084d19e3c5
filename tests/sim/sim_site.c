/* sim_site.c: the site, what operators do, faults. */
#include "tests/sim/sim.h"

#include <string.h>

/* Two rooms of two entrances, two public and two dedicated edges, one service of each kind. */
static const char site_text[] =
    "{'objects': ["
    "{'kind': 'zone', 'name': 'zone-1'},"
    "{'kind': 'room', 'name': 'room-a', 'zone': 'zone-1', 'ring': '10.1.0.1:80'},"
    "{'kind': 'room', 'name': 'room-b', 'zone': 'zone-1', 'ring': '10.2.0.1:80'},"
    "{'kind': 'carrier', 'name': 'carrier-1'},"
    "{'kind': 'pop', 'name': 'pop-a1', 'room': 'room-a', 'carriers': ['carrier-1'], 'origin': '198.51.100.11:80'},"
    "{'kind': 'pop', 'name': 'pop-a2', 'room': 'room-a', 'carriers': ['carrier-1'], 'origin': '198.51.100.12:80'},"
    "{'kind': 'pop', 'name': 'pop-b1', 'room': 'room-b', 'carriers': ['carrier-1'], 'origin': '198.51.100.21:80'},"
    "{'kind': 'pop', 'name': 'pop-b2', 'room': 'room-b', 'carriers': ['carrier-1'], 'origin': '198.51.100.22:80'},"
    "{'kind': 'edge', 'name': 'edge-1', 'class': 'public', 'address': '203.0.113.11'},"
    "{'kind': 'edge', 'name': 'edge-2', 'class': 'public', 'address': '203.0.113.12'},"
    "{'kind': 'edge', 'name': 'edge-3', 'class': 'dedicated', 'address': '203.0.113.13', 'relay': '203.0.113.13:80'},"
    "{'kind': 'edge', 'name': 'edge-4', 'class': 'dedicated', 'address': '203.0.113.14', 'relay': '203.0.113.14:80'},"
    "{'kind': 'dnszone', 'name': 'example.test'},"
    "{'kind': 'nameserver', 'name': 'ns-1', 'zone': 'example.test', 'role': 'primary', 'address': '192.0.2.53:53',"
    " 'key': 'signalbox'},"
    "{'kind': 'service', 'name': 'playback', 'active': 'multi', 'auto_dr': true, 'tier': 'core'},"
    "{'kind': 'service', 'name': 'creator', 'active': 'single', 'home': 'room-a', 'tier': 'normal'},"
    "{'kind': 'group', 'name': 'core', 'service': 'playback', 'zone': 'example.test', 'ttl': 5},"
    "{'kind': 'group', 'name': 'creator', 'service': 'creator', 'zone': 'example.test', 'ttl': 5},"
    "{'kind': 'domain', 'name': 'play.example.test', 'group': 'core'},"
    "{'kind': 'domain', 'name': 'creator.example.test', 'group': 'creator'}"
    "], 'plans': ["
    "{'plan': 'isolate', 'summary': 'out', 'target': 'room', 'steps': ["
    " {'name': 'open', 'check': 'room-open', 'needs': []},"
    " {'name': 'move-out', 'needs': ['open'], 'set': [{'control': 'room.ingress', 'on': '$target', 'value': "
    "'closed'}]},"
    " {'name': 'to-lines', 'needs': ['open'],"
    "  'set': [{'control': 'group.edge_class', 'on': 'home=$target', 'value': 'dedicated'}]},"
    " {'name': 'edges', 'needs': ['move-out', 'to-lines'], 'wait': 'edges', 'timeout': '3s'},"
    " {'name': 'dns', 'needs': ['move-out', 'to-lines'], 'wait': 'dns', 'timeout': '3s'},"
    " {'name': 'proof', 'needs': ['edges'], 'verify': 'share', 'timeout': '3s'}]},"
    "{'plan': 'back', 'summary': 'in', 'target': 'room', 'steps': ["
    " {'name': 'healthy', 'check': 'entrances-healthy', 'needs': [], 'timeout': '4s'},"
    " {'name': 'move-back', 'needs': ['healthy'], 'set': ["
    "  {'control': 'room.ingress', 'on': '$target', 'value': 'default'},"
    "  {'control': 'group.edge_class', 'on': 'home=$target', 'value': 'default'}]},"
    " {'name': 'done', 'needs': ['move-back'], 'wait': 'converged', 'timeout': '3s'}]},"
    "{'plan': 'careful', 'summary': 'undone unless proven', 'target': 'room', 'steps': ["
    " {'name': 'close', 'needs': [], 'set': [{'control': 'room.compute', 'on': '$target', 'value': 'maintenance'}]},"
    " {'name': 'edges', 'needs': ['close'], 'wait': 'edges', 'timeout': '1s', 'on_failure': 'rollback'}]},"
    "{'plan': 'wide', 'summary': 'two branches, undone unless both are proven', 'target': 'room', 'steps': ["
    " {'name': 'close', 'needs': [], 'set': [{'control': 'room.compute', 'on': '$target', 'value': 'maintenance'}]},"
    " {'name': 'lines', 'needs': [],"
    "  'set': [{'control': 'group.edge_class', 'on': 'home=$target', 'value': 'dedicated'}]},"
    " {'name': 'edges', 'needs': ['close'], 'wait': 'edges', 'timeout': '1s', 'on_failure': 'rollback'},"
    " {'name': 'dns', 'needs': ['lines'], 'wait': 'dns', 'timeout': '1s', 'on_failure': 'rollback'},"
    " {'name': 'open', 'needs': ['edges', 'dns'],"
    "  'set': [{'control': 'room.compute', 'on': '$target', 'value': 'default'}]},"
    " {'name': 'all', 'needs': ['open'], 'wait': 'converged', 'timeout': '3s', 'on_failure': 'rollback'}]},"
    "{'plan': 'entrance', 'summary': 'beside plans of rooms', 'steps': ["
    " {'name': 'out', 'needs': [], 'set': [{'control': 'pop', 'on': 'pop-a1', 'value': 'out'}]},"
    " {'name': 'still', 'needs': [], 'set': [{'control': 'service.auto_dr', 'on': 'playback', 'value': 'off'}]},"
    " {'name': 'edges', 'needs': ['out', 'still'], 'wait': 'edges', 'timeout': '2s', 'on_failure': 'rollback'},"
    " {'name': 'in', 'needs': ['edges'], 'set': [{'control': 'pop', 'on': 'pop-a1', 'value': 'in'}]},"
    " {'name': 'again', 'needs': ['edges'],"
    "  'set': [{'control': 'service.auto_dr', 'on': 'playback', 'value': 'default'}]},"
    " {'name': 'done', 'needs': ['in', 'again'], 'wait': 'converged', 'timeout': '3s'}]},"
    "{'plan': 'there-and-back', 'summary': 'of two', 'target': 'room', 'steps': ["
    " {'name': 'there', 'needs': [], 'run': 'isolate'},"
    " {'name': 'again', 'needs': ['there'], 'run': 'back'}]}"
    "]}";

json_t *site_body(void)
{
    g_autofree char *text = g_strdup(site_text);
    json_error_t error;
    for (char *c = text; *c != '\0'; c++)
        if (*c == '\'')
            *c = '"';
    json_t *body = json_loads(text, 0, &error);
    if (body == NULL)
        g_error("site: %s at %d", error.text, error.position);
    return body;
}

static void drop_entry(gpointer entry)
{
    journal_entry_free(entry);
}

/* Engine and journal without anything around them. */
GPtrArray *site_journal(void)
{
    static const struct asker asker = {.actor = "sim"};
    struct engine_config config = {.cluster = (char *)"sim", .rules = {.share_moved_max = 1.0}};
    struct engine *engine = engine_new(&config);
    GPtrArray *journal = g_ptr_array_new_with_free_func(drop_entry);
    GError *error = NULL;
    struct effects effects;
    struct effect *effect;
    effects_init(&effects);
    engine_start(engine, 1 << 16, 0, &effects);
    json_t *body = site_body(), *result;
    result = engine_apply(engine, body, false, &asker, (struct now){0}, &effects, &error);
    if (result == NULL)
        g_error("site: %s", error->message);
    json_decref(result);
    json_decref(body);
    while ((effect = effects_pop(&effects)) != NULL) {
        for (guint i = 0; effect->kind == EFFECT_JOURNAL && i < effect->entries->len; i++) {
            const struct journal_entry *entry = effect->entries->pdata[i];
            g_ptr_array_add(journal, journal_entry_new(entry->kind, entry->id, entry->key, json_incref(entry->body)));
        }
        effect_free(effect);
    }
    engine_free(engine);
    return journal;
}

/* Operators. What is refused is refused: the checks look at what was done. */

static const struct asker operator_asks = {.actor = "operator", .reason = "sim"};

static const char *room(struct sim *sim)
{
    return sim_chance(sim, 50) ? "room-a" : "room-b";
}

static json_t *run_some_plan(struct sim *sim, struct engine *engine, struct effects *effects, GError **error)
{
    static const char *const plans[] = {"isolate", "back",    "careful", "there-and-back",
                                        "wide",    "isolate", "back",    "entrance"};
    const char *plan = plans[sim_random(sim, 0, G_N_ELEMENTS(plans) - 1)];
    const char *target = strcmp(plan, "entrance") == 0 ? NULL : room(sim);
    sim_trace(sim, "operator: plan run %s %s", plan, target == NULL ? "" : target);
    return engine_run_plan(engine, plan, target, false, &operator_asks, server_now(sim), effects, error);
}

static json_t *abort_some(struct sim *sim, struct engine *engine, struct effects *effects, GError **error)
{
    json_t *executions = engine_executions(engine), *result = NULL;
    if (json_array_size(executions) > 0) {
        const char *id = json_string_value(json_object_get(json_array_get(executions, 0), "id"));
        sim_trace(sim, "operator: abort %s", id);
        result = engine_abort(engine, id, &operator_asks, server_now(sim), effects, error);
    }
    json_decref(executions);
    return result;
}

static json_t *set_some(struct sim *sim, struct engine *engine, struct effects *effects, GError **error)
{
    static const struct {
        const char *control, *object, *value;
    } rows[] = {{"room.ingress", "room-a", "open"},
                {"room.ingress", "room-b", "open"},
                {"room.ingress", "room-a", "closed"},
                {"room.ingress", "room-b", "closed"},
                {"room.compute", "room-a", "quarantined"},
                {"room.compute", "room-a", "open"},
                {"group.edge_class", "creator", "public"},
                {"service.auto_dr", "playback", "off"},
                {"pop", "pop-a1", "out"},
                {"pop", "pop-b2", "out"},
                {"split", "playback", "0-99=room-a,100-999=room-b"}};
    size_t i = (size_t)sim_random(sim, 0, G_N_ELEMENTS(rows) - 1);
    sim_trace(sim, "operator: control set %s %s %s", rows[i].control, rows[i].object, rows[i].value);
    json_t *changes =
        json_pack("[{s:s, s:s, s:s}]", "control", rows[i].control, "object", rows[i].object, "value", rows[i].value);
    json_t *result = engine_set_controls(engine, changes, -1, false, &operator_asks, server_now(sim), effects, error);
    json_decref(changes);
    return result;
}

/* What was answered must never be lost. */
static void remember(struct sim *sim, const json_t *result)
{
    size_t i;
    json_t *control;
    json_array_foreach (json_object_get(result, "controls"), i, control) {
        const char *lever, *object, *value;
        json_int_t revision;
        if (json_unpack(control, "{s:s, s:s, s:s, s:I}", "control", &lever, "object", &object, "value", &value,
                        "revision", &revision) != 0) {
            sim_fail(sim, "a control without control, object, value and revision");
            return;
        }
        struct said *said = g_new(struct said, 1);
        *said = (struct said){.value = g_strdup(value), .revision = (uint64_t)revision};
        g_hash_table_replace(sim->promises, g_strdup_printf("%s/%s", lever, object), said);
    }
}

/* Whoever answers is asked, whether its reign is the newest or not. */
static struct server *some_server(struct sim *sim)
{
    unsigned from = sim_chance(sim, 50);
    for (unsigned i = 0; i < SERVERS; i++) {
        struct server *server = &sim->servers[(from + i) % SERVERS];
        if (server->engine != NULL && server->paused_until_us <= sim->now_us)
            return server;
    }
    return NULL;
}

static void operate(struct sim *sim, void *node, void *data)
{
    (void)node, (void)data;
    struct server *server = some_server(sim);
    if (server == NULL)
        return;
    g_autoptr(GError) error = NULL;
    struct effects effects;
    effects_init(&effects);
    int64_t dice = sim_random(sim, 0, 9);
    json_t *result = dice < 5   ? run_some_plan(sim, server->engine, &effects, &error)
                     : dice < 7 ? abort_some(sim, server->engine, &effects, &error)
                                : set_some(sim, server->engine, &effects, &error);
    if (error != NULL)
        sim_trace(sim, "  %s", error->message);
    if (server_carry_out(sim, server, &effects) && result != NULL)
        remember(sim, result);
    json_decref(result);
}

/* Faults. */

static void until(int64_t *until_us, struct sim *sim, int64_t longest_us)
{
    *until_us = MIN(sim->now_us + sim_random(sim, 50000, longest_us), HEAL_US);
}

static void fault(struct sim *sim, void *node, void *data)
{
    struct server *server = &sim->servers[sim_random(sim, 0, SERVERS - 1)];
    struct edge_node *edge = &sim->edges[sim_random(sim, 0, EDGES - 1)];
    (void)node, (void)data;
    sim->injected++;
    if (server->engine == NULL)
        server = &sim->servers[(server->index + 1) % SERVERS];
    switch (sim_random(sim, 0, 15)) {
    case 0:
    case 1:
        server->crash_in = (int)sim_random(sim, 0, 10);
        sim_trace(sim, "fault: server %u dies after %d effects", server->index, server->crash_in);
        break;
    case 2:
    case 14:
        server->pause_in = (int)sim_random(sim, 1, 5);
        sim_trace(sim, "fault: server %u is stopped after %d effects", server->index, server->pause_in);
        break;
    case 3:
        server_kill(sim, server);
        break;
    case 4:
        sim_trace(sim, "fault: server %u is given the lease, too", (server->index + 1) % SERVERS);
        server_start(sim, &sim->servers[(server->index + 1) % SERVERS], server);
        break;
    case 5:
        sim->journal.broken = true;
        sim_trace(sim, "fault: the journal's next write fails");
        break;
    case 6:
        server_pause(sim, server, 2 * SECOND);
        break;
    case 7:
        edge_kill(sim, edge);
        break;
    case 8:
        if (edge->agent == NULL || edge->paused_until_us > sim->now_us)
            break; /* what waits for it to go on keeps its order */
        until(&edge->paused_until_us, sim, 4 * SECOND);
        sim_trace(sim, "fault: %s stopped", edge->name);
        break;
    case 9:
        until(&edge->disk_bad_until_us, sim, 2 * SECOND);
        sim_trace(sim, "fault: disk of %s", edge->name);
        break;
    case 10:
        edge_haproxy_restart(sim, edge);
        break;
    case 11:
        until(&edge->apply_bad_until_us, sim, SECOND);
        sim_trace(sim, "fault: HAProxy of %s does not take commands", edge->name);
        break;
    case 12: {
        bool to = sim_chance(sim, 70), from = !to || sim_chance(sim, 50);
        if (to)
            until(&edge->cut_to_until_us, sim, 4 * SECOND);
        if (from)
            until(&edge->cut_from_until_us, sim, 4 * SECOND);
        sim_trace(sim, "fault: %s cut off%s", edge->name,
                  to && from ? ""
                  : to       ? ", one way: it is not heard"
                             : ", one way: it hears nothing");
        break;
    }
    default:
        until(&sim->loss_until_us, sim, 3 * SECOND);
        sim_trace(sim, "fault: the network loses");
    }
}

static void heal(struct sim *sim, void *node, void *data)
{
    (void)node, (void)data;
    sim_trace(sim, "all faults end");
    sim->healed = true;
    sim->journal.broken = false;
    for (unsigned i = 0; i < SERVERS; i++)
        sim->servers[i].crash_in = sim->servers[i].pause_in = -1;
}

void site_schedule(struct sim *sim)
{
    for (unsigned i = 0; i < sim->faults; i++)
        sim_at(sim, sim_random(sim, 200000, HEAL_US - 1), fault, NULL, NULL, NULL);
    for (int64_t i = sim_random(sim, 8, 16); i > 0; i--)
        sim_at(sim, sim_random(sim, 500000, HEAL_US + SECOND), operate, NULL, NULL, NULL);
    sim_at(sim, HEAL_US, heal, NULL, NULL, NULL);
}
