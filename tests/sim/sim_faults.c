/* sim_faults.c: what goes wrong; faults.def lists it. */
#include "tests/sim/sim.h"

#define YEAR_US (365 * 86400 * SECOND)

static const char *const words[SEEN_KINDS] = {
#define FAULT(name, weight, text) text,
#define EVENT(name, text) text,
#include "tests/sim/faults.def"
#undef FAULT
#undef EVENT
};

const char *seen_words(enum seen seen)
{
    return words[seen];
}

void sim_count(struct sim *sim, enum seen seen)
{
    sim->seen[seen]++;
}

static void until(int64_t *until_us, struct sim *sim, int64_t longest_us)
{
    *until_us = MIN(sim->now_us + sim_random(sim, 50000, longest_us), HEAL_US);
}

/* Who is hit. */
struct hit {
    struct server *server;
    struct edge_node *edge;
    struct nameserver_node *ns;
};

static struct server *other(struct sim *sim, const struct server *server)
{
    return &sim->servers[(server->index + 1) % SERVERS];
}

/* Each returns false where it cannot happen now. */

static bool fault_server_dies_between(struct sim *sim, const struct hit *hit)
{
    hit->server->crash_in = (int)sim_random(sim, 0, 10);
    return hit->server->engine != NULL;
}

static bool fault_server_stops_between(struct sim *sim, const struct hit *hit)
{
    hit->server->pause_in = (int)sim_random(sim, 1, 5);
    return hit->server->engine != NULL;
}

static bool fault_server_killed(struct sim *sim, const struct hit *hit)
{
    bool alive = hit->server->engine != NULL;
    server_kill(sim, hit->server);
    return alive;
}

static bool fault_server_stopped(struct sim *sim, const struct hit *hit)
{
    server_pause(sim, hit->server, 2 * SECOND);
    return hit->server->engine != NULL;
}

static bool fault_server_second_lease(struct sim *sim, const struct hit *hit)
{
    server_start(sim, other(sim, hit->server), hit->server);
    return true;
}

static bool fault_server_wall_jumps(struct sim *sim, const struct hit *hit)
{
    hit->server->wall_us = sim_chance(sim, 40) ? 0 : sim_chance(sim, 50) ? YEAR_US : -YEAR_US;
    return hit->server->wall_us != 0;
}

static bool fault_server_cut(struct sim *sim, const struct hit *hit)
{
    until(&hit->server->cut_until_us, sim, 4 * SECOND);
    return true;
}

static bool fault_server_dns_cut(struct sim *sim, const struct hit *hit)
{
    until(&hit->server->dns_cut_until_us, sim, 4 * SECOND);
    return true;
}

static bool fault_journal_refuses(struct sim *sim, const struct hit *hit)
{
    (void)hit;
    sim->journal.broken = JOURNAL_REFUSES;
    return true;
}

static bool fault_journal_doubts(struct sim *sim, const struct hit *hit)
{
    (void)hit;
    sim->journal.broken = JOURNAL_DOUBTS;
    return true;
}

static bool fault_edge_killed(struct sim *sim, const struct hit *hit)
{
    bool alive = hit->edge->agent != NULL;
    edge_kill(sim, hit->edge);
    return alive;
}

static bool fault_edge_stopped(struct sim *sim, const struct hit *hit)
{
    if (hit->edge->agent == NULL || hit->edge->paused_until_us > sim->now_us)
        return false; /* what waits for it to go on keeps its order */
    until(&hit->edge->paused_until_us, sim, 4 * SECOND);
    return true;
}

static bool fault_edge_disk_fails(struct sim *sim, const struct hit *hit)
{
    until(&hit->edge->disk_bad_until_us, sim, 2 * SECOND);
    return true;
}

static bool fault_edge_disk_torn(struct sim *sim, const struct hit *hit)
{
    return edge_tear(sim, hit->edge);
}

static bool fault_edge_cut(struct sim *sim, const struct hit *hit)
{
    until(&hit->edge->cut_to_until_us, sim, 4 * SECOND);
    hit->edge->cut_from_until_us = hit->edge->cut_to_until_us;
    return true;
}

static bool fault_edge_cut_one_way(struct sim *sim, const struct hit *hit)
{
    until(sim_chance(sim, 50) ? &hit->edge->cut_to_until_us : &hit->edge->cut_from_until_us, sim, 4 * SECOND);
    return true;
}

static bool fault_haproxy_restarts(struct sim *sim, const struct hit *hit)
{
    edge_haproxy_restart(sim, hit->edge);
    return true;
}

static bool fault_haproxy_refuses(struct sim *sim, const struct hit *hit)
{
    until(&hit->edge->apply_bad_until_us, sim, 2 * SECOND);
    return true;
}

static bool fault_nameserver_restarts(struct sim *sim, const struct hit *hit)
{
    nameserver_restart(sim, hit->ns, false);
    return true;
}

static bool fault_nameserver_old_zone(struct sim *sim, const struct hit *hit)
{
    nameserver_restart(sim, hit->ns, true);
    return true;
}

static bool fault_nameserver_stopped(struct sim *sim, const struct hit *hit)
{
    until(&hit->ns->stopped_until_us, sim, 3 * SECOND);
    return true;
}

static bool fault_nameserver_cut(struct sim *sim, const struct hit *hit)
{
    until(&hit->ns->cut_until_us, sim, 3 * SECOND);
    return true;
}

static bool fault_nameserver_fails(struct sim *sim, const struct hit *hit)
{
    until(&hit->ns->fails_until_us, sim, 2 * SECOND);
    return true;
}

static bool fault_nameserver_refuses(struct sim *sim, const struct hit *hit)
{
    until(&hit->ns->refuses_until_us, sim, 2 * SECOND);
    return nameserver_is_primary(hit->ns->index);
}

static bool fault_nameserver_wall_jumps(struct sim *sim, const struct hit *hit)
{
    hit->ns->wall_us = sim_chance(sim, 40) ? 0 : (sim_chance(sim, 50) ? 600 : -600) * SECOND;
    return hit->ns->wall_us != 0 && nameserver_is_primary(hit->ns->index);
}

static bool fault_nameserver_foreign(struct sim *sim, const struct hit *hit)
{
    if (!nameserver_is_primary(hit->ns->index))
        return false;
    nameserver_foreign(sim, hit->ns);
    return true;
}

static bool fault_nameserver_late(struct sim *sim, const struct hit *hit)
{
    until(&hit->ns->late_until_us, sim, 4 * SECOND);
    return !nameserver_is_primary(hit->ns->index);
}

static bool fault_network_loses(struct sim *sim, const struct hit *hit)
{
    (void)hit;
    until(&sim->loss_until_us, sim, 3 * SECOND);
    return true;
}

static const struct {
    unsigned weight;
    bool (*fn)(struct sim *sim, const struct hit *hit);
} faults[] = {
#define FAULT(name, weight, text) {weight, fault_##name},
#define EVENT(name, text)
#include "tests/sim/faults.def"
#undef FAULT
#undef EVENT
};

static unsigned draw(struct sim *sim)
{
    unsigned total = 0, kind = 0;
    for (unsigned i = 0; i < G_N_ELEMENTS(faults); i++)
        total += faults[i].weight;
    for (int64_t left = sim_random(sim, 0, total - 1); left >= (int64_t)faults[kind].weight; kind++)
        left -= faults[kind].weight;
    return kind;
}

static void fault(struct sim *sim, void *node, void *data)
{
    struct hit hit = {.server = &sim->servers[sim_random(sim, 0, SERVERS - 1)],
                      .edge = &sim->edges[sim_random(sim, 0, sim->agents - 1)],
                      .ns = &sim->nameservers[sim_random(sim, 0, NAMESERVERS - 1)]};
    (void)node, (void)data;
    if (hit.server->engine == NULL)
        hit.server = other(sim, hit.server);
    unsigned kind = draw(sim);
    sim->injected++;
    sim_trace(sim, "fault: %s (server %u, %s, %s)", words[kind], hit.server->index, hit.edge->name,
              nameserver_name(hit.ns->index));
    if (faults[kind].fn(sim, &hit))
        sim_count(sim, (enum seen)kind);
}

static void heal(struct sim *sim, void *node, void *data)
{
    (void)node, (void)data;
    sim_trace(sim, "all faults end");
    sim->healed = true;
    sim->journal.broken = JOURNAL_SOUND;
    for (unsigned i = 0; i < SERVERS; i++) {
        sim->servers[i].crash_in = sim->servers[i].pause_in = -1;
        sim->servers[i].wall_us = 0;
    }
    for (unsigned i = 0; i < NAMESERVERS; i++)
        sim->nameservers[i].wall_us = 0;
}

void faults_schedule(struct sim *sim)
{
    for (unsigned i = 0; i < sim->faults; i++)
        sim_at(sim, sim_random(sim, 200000, HEAL_US - 1), fault, NULL, NULL, NULL);
    sim_at(sim, HEAL_US, heal, NULL, NULL, NULL);
}
