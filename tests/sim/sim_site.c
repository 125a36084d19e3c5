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
    "{'kind': 'edge', 'name': 'edge-1', 'class': 'public', 'address': '203.0.113.11', 'address6': '2001:db8::1'},"
    "{'kind': 'edge', 'name': 'edge-2', 'class': 'public', 'address': '203.0.113.12', 'address6': '2001:db8::2'},"
    "{'kind': 'edge', 'name': 'edge-3', 'class': 'dedicated', 'address': '203.0.113.13', 'address6': '2001:db8::3', "
    "'relay': '203.0.113.13:80'},"
    "{'kind': 'edge', 'name': 'edge-4', 'class': 'dedicated', 'address': '203.0.113.14', 'address6': '2001:db8::4', "
    "'relay': '203.0.113.14:80'},"
    "{'kind': 'dnszone', 'name': 'example.test'},"
    "{'kind': 'nameserver', 'name': 'ns-1', 'zone': 'example.test', 'role': 'primary', 'address': '192.0.2.53:53',"
    " 'key': 'signalbox'},"
    "{'kind': 'nameserver', 'name': 'ns-2', 'zone': 'example.test', 'role': 'primary', 'address': '192.0.2.54:53',"
    " 'key': 'signalbox'},"
    "{'kind': 'nameserver', 'name': 'ns-3', 'zone': 'example.test', 'role': 'secondary', 'primary': 'ns-1',"
    " 'address': '192.0.2.55:53', 'key': 'signalbox'},"
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

/* --gateways: one in room B, and an escape by it to room A. */
static const char gateways_text[] =
    "{'objects': ["
    "{'kind': 'line', 'name': 'line-5', 'from': 'room-a', 'to': 'room-b', 'bandwidth': 10000},"
    "{'kind': 'gateway', 'name': 'gw-b1', 'room': 'room-b', 'local': '10.2.40.1'},"
    "{'kind': 'gwport', 'name': 'gw-b1-room', 'gateway': 'gw-b1', 'place': 0, 'port': 0, 'own': '10.2.51.2',"
    " 'next': '10.2.51.1', 'inside': true},"
    "{'kind': 'gwport', 'name': 'gw-b1-line5', 'gateway': 'gw-b1', 'place': 1, 'port': 1, 'own': '10.9.51.2',"
    " 'next': '10.9.51.1', 'line': 'line-5'},"
    "{'kind': 'instance', 'name': 'origin-b', 'room': 'room-b', 'address': '10.2.0.1:80'},"
    "{'kind': 'gwvip', 'name': 'vip-a', 'room': 'room-a', 'address': '198.51.100.11:80'},"
    "{'kind': 'gwvip', 'name': 'vip-b', 'room': 'room-b', 'address': '198.51.100.21:80'},"
    "{'kind': 'gwvip', 'name': 'escape-a', 'room': 'room-b', 'address': '198.51.100.41:80', 'to': 'room-a'}"
    "]}";

static json_t *json_of(const char *quoted)
{
    g_autofree char *text = g_strdup(quoted);
    json_error_t error;
    for (char *c = text; *c != '\0'; c++)
        if (*c == '\'')
            *c = '"';
    json_t *body = json_loads(text, 0, &error);
    if (body == NULL)
        g_error("site: %s at %d", error.text, error.position);
    return body;
}

json_t *site_body(void)
{
    return json_of(site_text);
}

/* Engine and journal without anything around them. */
GPtrArray *site_journal(bool gateways)
{
    static const struct asker asker = {.actor = "sim"};
    struct engine_config config = {.cluster = (char *)"sim", .rules = {.share_moved_max = 1.0}};
    struct engine *engine = engine_new(&config);
    GPtrArray *journal = entries_new();
    GError *error = NULL;
    struct effects effects;
    struct effect *effect;
    effects_init(&effects);
    engine_start(engine, 1 << 16, 0, &effects);
    json_t *bodies[] = {site_body(), json_of(gateways_text)};
    for (unsigned i = 0; i < G_N_ELEMENTS(bodies); i++) {
        json_t *result = i == 0 || gateways
                             ? engine_apply(engine, bodies[i], false, &asker, (struct now){0}, &effects, &error)
                             : NULL;
        if (error != NULL)
            g_error("site: %s", error->message);
        json_decref(result);
        json_decref(bodies[i]);
    }
    while ((effect = effects_pop(&effects)) != NULL) {
        for (guint i = 0; effect->kind == EFFECT_JOURNAL && i < effect->entries->len; i++) {
            const struct journal_entry *entry = effect->entries->pdata[i];
            entries_add(journal, entry->kind, entry->id, entry->key, json_incref(entry->body));
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

static json_t *run_some_plan(struct sim *sim, struct server *server, struct effects *effects, GError **error)
{
    static const char *const plans[] = {"isolate", "back",    "careful", "there-and-back",
                                        "wide",    "isolate", "back",    "entrance"};
    const char *plan = plans[sim_random(sim, 0, G_N_ELEMENTS(plans) - 1)];
    const char *target = strcmp(plan, "entrance") == 0 ? NULL : room(sim);
    sim_trace(sim, "operator: plan run %s %s", plan, target == NULL ? "" : target);
    return engine_run_plan(server->engine, plan, target, NULL, false, &operator_asks, server_now(sim, server), effects,
                           error);
}

static json_t *abort_some(struct sim *sim, struct server *server, struct effects *effects, GError **error)
{
    json_t *executions = engine_executions(server->engine), *result = NULL;
    if (json_array_size(executions) > 0) {
        const char *id = json_string_value(json_object_get(json_array_get(executions, 0), "id"));
        sim_trace(sim, "operator: abort %s", id);
        result = engine_abort(server->engine, id, &operator_asks, server_now(sim, server), effects, error);
    }
    json_decref(executions);
    return result;
}

static json_t *set_some(struct sim *sim, struct server *server, struct effects *effects, GError **error)
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
                {"split", "playback", "0-99=room-a,100-999=room-b"},
                {"room.escape", "room-a", "on"}, /* from here on of gateways */
                {"room.escape", "room-a", "off"},
                {"line", "line-5", "out"},
                {"gateway", "gw-b1", "out"}};
    unsigned last = G_N_ELEMENTS(rows) - (sim->agents > EDGES ? 1 : 5);
    size_t i = (size_t)sim_random(sim, 0, last);
    sim_trace(sim, "operator: control set %s %s %s", rows[i].control, rows[i].object, rows[i].value);
    json_t *changes =
        json_pack("[{s:s, s:s, s:s}]", "control", rows[i].control, "object", rows[i].object, "value", rows[i].value);
    json_t *result = engine_set_controls(server->engine, changes, -1, false, &operator_asks, server_now(sim, server),
                                         effects, error);
    json_decref(changes);
    return result;
}

/* Names that come and go: a domain of a group, a group with its only domain, or without it. */
static json_t *apply_some(struct sim *sim, struct server *server, struct effects *effects, GError **error)
{
    static const char *const texts[] = {
        "{'objects': [{'kind': 'domain', 'name': 'a.example.test', 'group': 'core'}]}",
        "{'remove': ['domain/a.example.test']}",
        ("{'objects': [{'kind': 'group', 'name': 'extra', 'service': 'playback', 'zone': 'example.test', 'ttl': 5},"
         " {'kind': 'domain', 'name': 'extra.example.test', 'group': 'extra'}]}"),
        "{'remove': ['domain/extra.example.test', 'group/extra']}",
        "{'objects': [{'kind': 'domain', 'name': 'extra.example.test', 'group': 'core'}], 'remove': ['group/extra']}"};
    const char *text = texts[sim_random(sim, 0, G_N_ELEMENTS(texts) - 1)];
    sim_trace(sim, "operator: apply %s", text);
    json_t *body = json_of(text);
    json_t *result = engine_apply(server->engine, body, false, &operator_asks, server_now(sim, server), effects, error);
    json_decref(body);
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
    json_t *result = dice == 9  ? apply_some(sim, server, &effects, &error)
                     : dice < 5 ? run_some_plan(sim, server, &effects, &error)
                     : dice < 7 ? abort_some(sim, server, &effects, &error)
                                : set_some(sim, server, &effects, &error);
    if (error != NULL)
        sim_trace(sim, "  %s", error->message);
    if (error != NULL && strstr(error->message, "belongs to execution") != NULL)
        sim_count(sim, SEEN_collided);
    if (server_carry_out(sim, server, &effects) && result != NULL)
        remember(sim, result);
    json_decref(result);
}

void site_schedule(struct sim *sim)
{
    for (int64_t i = sim_random(sim, 8, 16); i > 0; i--)
        sim_at(sim, sim_random(sim, 500000, HEAL_US + SECOND), operate, NULL, NULL, NULL);
}
