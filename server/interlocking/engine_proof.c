/* engine_proof.c: evidence: who has applied what, and where requests really go. */
#include "server/interlocking/engine_internal.h"
#include "server/interlocking/words.h"

#include <string.h>

/* Who has applied it. */

void proof_clear(struct proof *proof)
{
    g_ptr_array_unref(proof->missing);
    g_free(proof->text);
}

/* Only what this reign has published is proof: a stamp from after us is another leader's table, not this one. */
static bool stamp_proves(const struct engine *engine, struct stamp stamp, uint64_t generation)
{
    return stamp.epoch == engine->epoch && stamp.generation >= generation && stamp.generation <= engine->generation;
}

bool edge_proves(const struct engine *engine, const char *edge, uint64_t generation)
{
    const struct edge_report *report = observed_edge(engine->observed, edge);
    /* What is applied without a promise could be replaced by an older reign's at any moment. */
    return report != NULL && report->promised >= engine->epoch && stamp_proves(engine, report->applied, generation) &&
           !edge_report_overridden(report);
}

bool server_proves(const struct engine *engine, const char *nameserver, uint64_t generation)
{
    const struct server_report *report = observed_server(engine->observed, nameserver);
    return report != NULL && stamp_proves(engine, report->confirmed, generation);
}

bool engine_blind(const struct engine *engine)
{
    GHashTableIter iter;
    gpointer report;
    g_hash_table_iter_init(&iter, engine->observed->edges);
    while (g_hash_table_iter_next(&iter, NULL, &report))
        if (edge_report_fresh(report, engine->now_us))
            return false;
    return true;
}

void proof_edges(const struct engine *engine, uint64_t generation, struct proof *out)
{
    *out = (struct proof){.missing = g_ptr_array_new_with_free_func(g_free)};
    g_autoptr(GPtrArray) agents = world_agents(engine->resolved->world);
    const char *who =
        inventory_list(engine->resolved->world->inventory, OBJECT_gateway)->len > 0 ? "edges and gateways" : "edges";
    out->asked = agents->len;
    for (guint i = 0; i < agents->len; i++)
        if (edge_proves(engine, agents->pdata[i], generation))
            out->proven++;
        else
            g_ptr_array_add(out->missing, g_strdup(agents->pdata[i]));
    g_autofree char *names = words_list(out->missing, 8);
    unsigned claimed, asked;
    claim_count(engine, &claimed, &asked);
    out->text = out->missing->len == 0 ? g_strdup_printf("%u/%u %s applied generation %" G_GUINT64_FORMAT, out->proven,
                                                         out->asked, who, generation)
                : engine->held         ? g_strdup_printf("claiming %u/%u %s before the first act", claimed, asked, who)
                               : g_strdup_printf("converging %u/%u, waiting for %s", out->proven, out->asked, names);
}

/* How long resolvers may still hold old answers, µs; 0: no more. */
static int64_t residual_us(const struct engine *engine)
{
    GHashTableIter iter;
    gpointer report;
    int64_t until_us = 0;
    g_hash_table_iter_init(&iter, engine->observed->servers);
    while (g_hash_table_iter_next(&iter, NULL, &report))
        until_us = MAX(until_us, ((struct server_report *)report)->residual_until_us);
    return MAX(until_us - engine->now_us, 0);
}

/* "ns-1 (unreachable)". What any change passes through is not said: each new text is an entry of the journal. */
static char *waited_for(const struct server_report *report, const char *name)
{
    static const char *const ordinary[] = {"converged", "updating", NULL};
    if (report == NULL)
        return g_strdup_printf("%s (no report)", name);
    return g_strv_contains(ordinary, report->state) ? g_strdup(name) : g_strdup_printf("%s (%s)", name, report->state);
}

void proof_servers(const struct engine *engine, uint64_t generation, const GPtrArray *zones, struct proof *out)
{
    unsigned asked[2] = {0}, proven[2] = {0};
    *out = (struct proof){.missing = g_ptr_array_new_with_free_func(g_free)};
    g_autoptr(GPtrArray) why = g_ptr_array_new_with_free_func(g_free);
    INVENTORY_FOREACH (engine->resolved->world->inventory, nameserver, server) {
        if (!g_ptr_array_find_with_equal_func((GPtrArray *)zones, server->zone, g_str_equal, NULL))
            continue;
        bool proves = server_proves(engine, server->o.name, generation);
        asked[server->role]++;
        proven[server->role] += proves;
        if (proves)
            continue;
        g_ptr_array_add(out->missing, g_strdup(server->o.name));
        g_ptr_array_add(why, waited_for(observed_server(engine->observed, server->o.name), server->o.name));
    }
    out->asked = asked[NAMESERVER_PRIMARY] + asked[NAMESERVER_SECONDARY];
    out->proven = proven[NAMESERVER_PRIMARY] + proven[NAMESERVER_SECONDARY];
    g_autoptr(GString) text = g_string_new(NULL);
    g_string_append_printf(text, "%u of %u primaries", proven[NAMESERVER_PRIMARY], asked[NAMESERVER_PRIMARY]);
    if (asked[NAMESERVER_SECONDARY] > 0)
        g_string_append_printf(text, ", %u of %u secondaries", proven[NAMESERVER_SECONDARY],
                               asked[NAMESERVER_SECONDARY]);
    g_autofree char *names = words_list(why, 8);
    if (why->len > 0)
        g_string_append_printf(text, ", waiting for %s", names);
    else if (residual_us(engine) > 0)
        g_string_append_printf(text, "; resolvers may hold old answers for %.1f s",
                               (double)residual_us(engine) / G_USEC_PER_SEC);
    out->text = out->asked == 0 ? g_strdup("no records changed") : g_strdup(text->str);
}

void proof_registries(const struct engine *engine, uint64_t generation, const GPtrArray *zones, struct proof *out)
{
    *out = (struct proof){.missing = g_ptr_array_new_with_free_func(g_free)};
    g_autoptr(GPtrArray) why = g_ptr_array_new_with_free_func(g_free);
    bool changed = g_ptr_array_find_with_equal_func((GPtrArray *)zones, EASTWEST_ZONE, g_str_equal, NULL);
    INVENTORY_FOREACH (engine->resolved->world->inventory, registry, registry) {
        g_autofree char *name = registry_server(registry->o.name);
        if (!changed)
            break;
        out->asked++;
        if (server_proves(engine, name, generation)) {
            out->proven++;
            continue;
        }
        g_ptr_array_add(out->missing, g_strdup(name));
        g_ptr_array_add(why, waited_for(observed_server(engine->observed, name), name));
    }
    g_autofree char *names = words_list(why, 8);
    out->text = out->asked == 0 ? g_strdup("no endpoints changed")
                                : g_strdup_printf("%u of %u registries%s%s", out->proven, out->asked,
                                                  why->len > 0 ? ", waiting for " : "", names);
}

/* Roads: where a table sends the requests of each policy. */

struct road {
    char *mode;     /* row of the policy without its index: how it is answered */
    unsigned index; /* of its split */
    bool multi, relay;
    bool dr;          /* automatic: an edge may hold a room away by itself */
    GPtrArray *rooms; /* char *: used, "-": nobody answers */
    GString *print;   /* slots and the rooms used: equal prints are equal roads */
};

static void road_free(gpointer data)
{
    struct road *road = data;
    g_free(road->mode);
    g_ptr_array_unref(road->rooms);
    g_string_free(road->print, TRUE);
    g_free(road);
}

struct roads {
    GHashTable *by_policy; /* policy -> struct road * */
    GHashTable *rooms;     /* "multi/room-a" -> room used; strings owned */
};

static void read_room(void *data, const char *key, const char *value)
{
    g_hash_table_replace(((struct roads *)data)->rooms, g_strdup(key), g_strdup(value));
}

static void read_policy(void *data, const char *key, const char *value)
{
    struct roads *roads = data;
    g_auto(GStrv) words =
        g_strsplit(value, "|", 5); /* index, multi or single, automatic DR, local or relay; then time-out, levers */
    if (g_strv_length(words) < 4 || g_str_has_prefix(key, INTERFACE_ROW))
        return;
    struct road *road = g_new0(struct road, 1);
    road->mode = g_strdup(strchr(value, '|'));
    road->index = (unsigned)strtoul(words[0], NULL, 10);
    road->multi = strcmp(words[1], "multi") == 0;
    road->dr = road->multi && strcmp(words[2], "on") == 0;
    road->relay = strcmp(words[3], "relay") == 0;
    road->rooms = g_ptr_array_new_with_free_func(g_free);
    road->print = g_string_new(road->mode);
    g_hash_table_replace(roads->by_policy, g_strdup(key), road);
}

static void read_split(void *data, const char *key, const char *value)
{
    struct roads *roads = data;
    char *end;
    unsigned long first = strtoul(key, &end, 10), last = *end == ':' ? strtoul(end + 1, NULL, 10) : first;
    GHashTableIter iter;
    gpointer item;
    g_hash_table_iter_init(&iter, roads->by_policy);
    while (g_hash_table_iter_next(&iter, NULL, &item)) {
        struct road *road = item;
        if (road->index != first / SLOT_COUNT)
            continue;
        g_autofree char *wanted_key = g_strdup_printf("%s/%s", road->multi ? "multi" : "single", value);
        const char *used = g_hash_table_lookup(roads->rooms, wanted_key);
        if (!road->relay) /* where the others send it is not this edge's road */
            g_string_append_printf(road->print, " %lu-%lu=%s", first % SLOT_COUNT, last % SLOT_COUNT,
                                   used == NULL ? "-" : used);
        names_add(road->rooms, used == NULL ? "-" : used);
    }
}

static void read_part(const struct resolved *resolved, int edge_class, enum part part, part_fn fn, struct roads *roads)
{
    GBytes *bytes = resolved_part(resolved, resolved->tables[edge_class].hash[part]);
    gsize size = 0;
    const char *text = bytes == NULL ? NULL : g_bytes_get_data(bytes, &size);
    if (text != NULL)
        part_foreach(text, size, fn, roads);
}

static void roads_read(const struct resolved *resolved, int edge_class, struct roads *out)
{
    out->by_policy = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, road_free);
    out->rooms = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    read_part(resolved, edge_class, PART_ROOMS, read_room, out);
    read_part(resolved, edge_class, PART_POLICIES, read_policy, out);
    read_part(resolved, edge_class, PART_SPLITS, read_split, out);
}

static void roads_clear(struct roads *roads)
{
    g_hash_table_unref(roads->by_policy);
    g_hash_table_unref(roads->rooms);
}

static void note_policies(const struct resolved *before, const struct resolved *after, int edge_class,
                          GPtrArray *policies)
{
    static const enum part fast[] = {PART_ROOMS, PART_POLICIES, PART_SPLITS};
    bool same = true;
    for (size_t i = 0; i < G_N_ELEMENTS(fast); i++)
        same = same && strcmp(before->tables[edge_class].hash[fast[i]], after->tables[edge_class].hash[fast[i]]) == 0;
    if (same)
        return;
    struct roads old, new;
    roads_read(before, edge_class, &old);
    roads_read(after, edge_class, &new);
    GList *names = g_list_sort(g_hash_table_get_keys(new.by_policy), (GCompareFunc)strcmp);
    for (const GList *name = names; name != NULL; name = name->next) {
        const struct road *was = g_hash_table_lookup(old.by_policy, name->data);
        const struct road *is = g_hash_table_lookup(new.by_policy, name->data);
        g_autofree char *row = g_strdup_printf("%s %s", edge_class_name(edge_class), (char *)name->data);
        if (was == NULL || strcmp(was->print->str, is->print->str) != 0)
            names_add(policies, row);
    }
    g_list_free(names);
    roads_clear(&old);
    roads_clear(&new);
}

static bool same_records(const struct zone_records *a, const struct zone_records *b)
{
    if (a == NULL || a->rrsets->len != b->rrsets->len)
        return false;
    for (guint i = 0; i < a->rrsets->len; i++)
        if (a->rrsets->pdata[i] != b->rrsets->pdata[i] && !rrset_equal(a->rrsets->pdata[i], b->rrsets->pdata[i]))
            return false;
    return true;
}

void proof_note_changes(const struct resolved *before, const struct resolved *after, GPtrArray *zones,
                        GPtrArray *policies)
{
    for (guint i = 0; i < after->zones->len; i++) {
        const struct zone_records *records = after->zones->pdata[i];
        if (!same_records(resolved_zone(before, records->zone), records))
            names_add(zones, records->zone);
    }
    if (!g_bytes_equal(before->endpoints, after->endpoints))
        names_add(zones, EASTWEST_ZONE);
    for (int edge_class = 0; edge_class < EDGE_CLASSES; edge_class++)
        note_policies(before, after, edge_class, policies);
}

/* Where requests go. */

static bool is_intended(const struct road *road, const char *room, const char *via)
{
    if (road->relay)
        return strcmp(via, "relay") == 0;
    if (strcmp(via, "relay") == 0)
        return false;
    return g_ptr_array_find_with_equal_func(road->rooms, room[0] == '\0' ? "-" : room, g_str_equal, NULL);
}

enum evidence { BY_NOTHING, BY_PROBE, BY_COUNTERS, AGAINST, SOON };

struct asking { /* one policy at one edge */
    const struct engine *engine;
    const struct road *road;
    const struct road *relayed; /* its road at dedicated edges, or NULL */
    const char *policy, *edge;
};

static enum evidence ask_probe(const struct asking *asking, const struct edge_report *report)
{
    const char *room = g_hash_table_lookup(report->probes, asking->policy);
    const struct road *road = asking->road->relay ? asking->relayed : asking->road;
    if (room == NULL || road == NULL)
        return BY_NOTHING;
    if (g_ptr_array_find_with_equal_func(road->rooms, room[0] == '\0' ? "-" : room, g_str_equal, NULL))
        return BY_PROBE;
    return room[0] == '\0' ? BY_NOTHING : AGAINST;
}

/* Two readings of the same counters. Since the table was applied: requests that were under way then end badly on the
 * road that they were on, so on a quiet edge a few of them spoil the share for long. In the last window: those are
 * over. */
struct tally {
    uint64_t requests, good;
    double rate, good_rate;
};

static struct tally count(const struct asking *asking, const struct edge_report *report)
{
    struct tally t = {0};
    for (guint i = 0; i < report->counters->len; i++) {
        const struct counter *counter = report->counters->pdata[i];
        if (strcmp(counter->policy, asking->policy) != 0 || counter_by_edge(counter))
            continue;
        bool closed = counter->room[0] == '\0' && strcmp(counter->via, "relay") != 0;
        t.requests += counter->requests;
        t.rate += counter->rate;
        if (!is_intended(asking->road, counter->room, counter->via))
            continue;
        t.good += closed ? counter->requests : counter->requests - MIN(counter->failed, counter->requests);
        t.good_rate += closed ? counter->rate : MAX(counter->rate - counter->fail_rate, 0);
    }
    return t;
}

static const struct room_hold *held_on_road(const struct asking *asking, const struct edge_report *report)
{
    const struct room_hold *hold = NULL;
    for (guint i = 0; asking->road->dr && !asking->road->relay && hold == NULL && i < asking->road->rooms->len; i++)
        hold = edge_report_hold(report, asking->road->rooms->pdata[i]);
    return hold;
}

static enum evidence ask(const struct asking *asking, uint64_t generation, bool waited, char **seen)
{
    const struct edge_report *report = observed_edge(asking->engine->observed, asking->edge);
    if (!edge_proves(asking->engine, asking->edge, generation)) {
        *seen = g_strdup_printf("has not applied generation %" G_GUINT64_FORMAT, generation);
        return AGAINST;
    }
    const struct room_hold *hold = held_on_road(asking, report);
    if (hold != NULL) { /* wherever its requests are answered, it is not by this table */
        *seen = g_strdup_printf("holds %s away by itself, %u of %u slots are home", hold->room, hold->home, SLOT_COUNT);
        return AGAINST;
    }
    struct tally t = count(asking, report);
    if (t.requests >= EVIDENCE_REQUESTS) {
        if ((double)t.good >= EVIDENCE_SHARE * (double)t.requests)
            return BY_COUNTERS;
        if (t.good >= EVIDENCE_REQUESTS && t.rate > 0 && t.good_rate >= EVIDENCE_SHARE * t.rate)
            return BY_COUNTERS;
        *seen = g_strdup_printf("%" G_GUINT64_FORMAT " of %" G_GUINT64_FORMAT " requests answered as intended", t.good,
                                t.requests);
        return AGAINST;
    }
    if (!waited && t.rate * EVIDENCE_WAIT_US / G_USEC_PER_SEC >= EVIDENCE_REQUESTS)
        return SOON;
    enum evidence probe = ask_probe(asking, report);
    if (probe == AGAINST)
        *seen =
            g_strdup_printf("a probe was answered by %s", (char *)g_hash_table_lookup(report->probes, asking->policy));
    return probe;
}

/* One policy at all edges of its class; it is proven as well as at its weakest edge. */
static void share_policy(const struct engine *engine, struct asking *asking, int edge_class, uint64_t generation,
                         struct share *out)
{
    bool probed = false, open = false, asked = false, contradicted = false;
    INVENTORY_FOREACH (engine->resolved->world->inventory, edge, edge) {
        if (edge->class != edge_class)
            continue;
        g_autofree char *seen = NULL;
        asking->edge = edge->o.name;
        enum evidence evidence = ask(asking, generation, out->waited, &seen);
        asked = true;
        probed |= evidence == BY_PROBE;
        contradicted |= evidence == AGAINST;
        open |= evidence == BY_NOTHING || evidence == AGAINST || evidence == SOON;
        out->counting |= evidence == SOON;
        if (evidence == BY_NOTHING || evidence == SOON)
            g_ptr_array_add(out->unproven, g_strdup_printf("%s at %s", asking->policy, asking->edge));
        else if (evidence == AGAINST)
            g_ptr_array_add(out->contradicted, g_strdup_printf("%s at %s (%s)", asking->policy, asking->edge, seen));
    }
    if (asked && !open)
        *(probed ? &out->by_probe : &out->by_counters) += 1;
    out->by_nothing += open && !contradicted;
}

void proof_share(const struct engine *engine, uint64_t generation, const GPtrArray *policies, bool waited,
                 struct share *out)
{
    *out = (struct share){.waited = waited,
                          .unproven = g_ptr_array_new_with_free_func(g_free),
                          .contradicted = g_ptr_array_new_with_free_func(g_free)};
    struct roads roads[EDGE_CLASSES];
    for (int c = 0; c < EDGE_CLASSES; c++)
        roads_read(engine->resolved, c, &roads[c]);
    for (int c = 0; c < EDGE_CLASSES; c++) {
        GList *names = g_list_sort(g_hash_table_get_keys(roads[c].by_policy), (GCompareFunc)strcmp);
        for (const GList *name = names; name != NULL; name = name->next) {
            g_autofree char *row = g_strdup_printf("%s %s", edge_class_name(c), (char *)name->data);
            if (policies->len > 0 && !g_ptr_array_find_with_equal_func((GPtrArray *)policies, row, g_str_equal, NULL))
                continue;
            struct asking asking = {.engine = engine,
                                    .policy = name->data,
                                    .road = g_hash_table_lookup(roads[c].by_policy, name->data),
                                    .relayed = g_hash_table_lookup(roads[EDGE_DEDICATED].by_policy, name->data)};
            share_policy(engine, &asking, c, generation, out);
        }
        g_list_free(names);
    }
    for (int c = 0; c < EDGE_CLASSES; c++)
        roads_clear(&roads[c]);
}

void share_clear(struct share *share)
{
    g_ptr_array_unref(share->unproven);
    g_ptr_array_unref(share->contradicted);
}
