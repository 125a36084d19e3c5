#include "dataplane/fib.h"

#include "dataplane/lines.h"
#include "dataplane/maglev.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A message taken apart. */
struct parts {
    const struct dp_header *header;
    const struct dp_adjacency *adjacencies;
    const struct dp_group *groups;
    const struct dp_local *locals;
    const struct dp_service *services;
    const struct dp_backend *backends;
};

#define REFUSE(...) return snprintf(reason, FIB_REASON, __VA_ARGS__), false

static bool is_family(unsigned family)
{
    return family == 4 || family == 6;
}

static bool check_header(const void *message, size_t size, char *reason)
{
    const struct dp_header *h = message;
    if (size < sizeof *h || h->magic != DP_MAGIC)
        REFUSE("no table: %zu bytes that do not begin with its mark", size);
    if (h->version != DP_VERSION)
        REFUSE("version %u, expected %u", h->version, DP_VERSION);
    if (h->n_adjacencies > DP_ADJACENCIES || h->n_groups > DP_GROUPS || h->n_locals > DP_LOCALS ||
        h->n_services > DP_SERVICES || h->n_backends > DP_BACKENDS)
        REFUSE("%u adjacencies, %u groups, %u locals, %u services, %u backends: at most %u, %u, %u, %u, %u",
               h->n_adjacencies, h->n_groups, h->n_locals, h->n_services, h->n_backends, DP_ADJACENCIES, DP_GROUPS,
               DP_LOCALS, DP_SERVICES, DP_BACKENDS);
    size_t expected = sizeof *h + h->n_adjacencies * sizeof(struct dp_adjacency) +
                      h->n_groups * sizeof(struct dp_group) + h->n_locals * sizeof(struct dp_local) +
                      h->n_services * sizeof(struct dp_service) + h->n_backends * sizeof(struct dp_backend);
    if (h->size != size || expected != size)
        REFUSE("%zu bytes, %u by its header, %zu by its counts", size, h->size, expected);
    return true;
}

static struct parts parts_of(const void *message)
{
    struct parts p = {.header = message};
    p.adjacencies = (const void *)(p.header + 1);
    p.groups = (const void *)(p.adjacencies + p.header->n_adjacencies);
    p.locals = (const void *)(p.groups + p.header->n_groups);
    p.services = (const void *)(p.locals + p.header->n_locals);
    p.backends = (const void *)(p.services + p.header->n_services);
    return p;
}

static bool check_adjacency(const struct parts *p, uint32_t i, unsigned n_ports, char *reason)
{
    const struct dp_adjacency *a = &p->adjacencies[i];
    if (a->family == 0 && (a->group != DP_NONE || a->mult != 0 || a->peer != 0))
        REFUSE("adjacency %u: an empty place, but group %u, BFD multiplier %u, peer %u", i, a->group, a->mult, a->peer);
    if (a->family == 0)
        return true;
    if (!is_family(a->family))
        REFUSE("adjacency %u: family %u, expected 4 or 6", i, a->family);
    if (a->port >= n_ports)
        REFUSE("adjacency %u: port %u, there are %u", i, a->port, n_ports);
    if (a->mult > 0 && (a->min_tx_us < 1000 || a->min_rx_us < 1000))
        REFUSE("adjacency %u: BFD every %u and %u us, expected 1000 at least", i, a->min_tx_us, a->min_rx_us);
    if (a->mtu != 0 && a->mtu < (a->family == 4 ? 576 : 1280))
        REFUSE("adjacency %u: MTU %u, expected %u at least", i, a->mtu, a->family == 4 ? 576 : 1280);
    if (a->peer > 1 || (a->peer == 1 && (a->mult == 0 || a->group != DP_NONE)))
        REFUSE("adjacency %u: peer %u, BFD multiplier %u, group %u: expected 0, or 1 with BFD and without a group", i,
               a->peer, a->mult, a->group);
    if (a->group != DP_NONE && (a->group >= p->header->n_groups || a->weight == 0 || a->mult == 0))
        REFUSE(
            "adjacency %u: a line of group %u of %u, weight %u, BFD multiplier %u: expected a group, a weight and BFD",
            i, a->group, p->header->n_groups, a->weight, a->mult);
    return true;
}

static unsigned lines_in(const struct parts *p, uint32_t group)
{
    unsigned lines = 0;
    for (uint32_t i = 0; i < p->header->n_adjacencies; i++)
        lines += p->adjacencies[i].group == group;
    return lines;
}

static bool check_groups(const struct parts *p, char *reason)
{
    for (uint32_t g = 0; g < p->header->n_groups; g++)
        if (lines_in(p, g) > LINES_MAX)
            REFUSE("group %u: %u lines, expected at most %u", g, lines_in(p, g), LINES_MAX);
    return true;
}

static bool check_service(const struct parts *p, uint32_t i, char *reason)
{
    const struct dp_service *s = &p->services[i];
    const uint32_t known = DP_TOA | DP_IN_TURN | DP_PROXY;
    _Static_assert(DP_TOA == NAT_TOA && DP_IN_TURN == NAT_IN_TURN && DP_PROXY == NAT_PROXY, "taken over as they are");
    if (!is_family(s->family) || (s->proto != PROTO_TCP && s->proto != PROTO_UDP) || s->port == 0)
        REFUSE("service %u: family %u, protocol %u, port %u", i, s->family, s->proto, s->port);
    if ((s->flags & ~known) != 0)
        REFUSE("service %u: flags 0x%x, known are 0x%x", i, s->flags, known);
    if (s->n_backends > MAGLEV_BACKENDS || s->first_backend > p->header->n_backends ||
        s->n_backends > p->header->n_backends - s->first_backend)
        REFUSE("service %u: backends %u and %u more of %u, at most %u", i, s->first_backend, s->n_backends,
               p->header->n_backends, MAGLEV_BACKENDS);
    return true;
}

static bool check_backend(const struct parts *p, uint32_t i, char *reason)
{
    const struct dp_backend *b = &p->backends[i];
    uint32_t number = b->way & ~DP_GROUP, n = b->way & DP_GROUP ? p->header->n_groups : p->header->n_adjacencies;
    if (b->port == 0 || b->slot >= DP_BACKENDS)
        REFUSE("backend %u: port %u, slot %u of %u", i, b->port, b->slot, DP_BACKENDS);
    if (number >= n)
        REFUSE("backend %u: %s %u of %u", i, b->way & DP_GROUP ? "group" : "adjacency", number, n);
    if (b->way & DP_GROUP ? lines_in(p, number) == 0 : p->adjacencies[number].family == 0)
        REFUSE("backend %u: %s %u is an empty place", i, b->way & DP_GROUP ? "group" : "adjacency", number);
    return true;
}

static bool check(const struct parts *p, unsigned n_ports, char *reason)
{
    for (uint32_t i = 0; i < p->header->n_adjacencies; i++)
        if (!check_adjacency(p, i, n_ports, reason))
            return false;
    for (uint32_t i = 0; i < p->header->n_locals; i++)
        if (!is_family(p->locals[i].family))
            REFUSE("local %u: family %u, expected 4 or 6", i, p->locals[i].family);
    for (uint32_t i = 0; i < p->header->n_services; i++)
        if (!check_service(p, i, reason))
            return false;
    for (uint32_t i = 0; i < p->header->n_backends; i++)
        if (!check_backend(p, i, reason))
            return false;
    return check_groups(p, reason);
}

/* ---- what packets need ---- */

static void *take(uint8_t **memory, size_t size)
{
    void *block = *memory;
    *memory += (size + 7) / 8 * 8;
    return block;
}

static void compile_backends(const struct parts *p, struct nat_backend *backends)
{
    for (uint32_t i = 0; i < p->header->n_backends; i++) {
        const struct dp_backend *b = &p->backends[i];
        backends[i] =
            (struct nat_backend){.port = b->port, .adjacency = fib_way(b->way), .slot = b->slot, .limit = b->limit};
        memcpy(backends[i].address, b->address, sizeof b->address);
    }
}

static void compile_service(const struct parts *p, const struct dp_service *s, const struct nat_backend *backends,
                            uint16_t *pick, struct nat_service *service)
{
    struct maglev_backend weights[MAGLEV_BACKENDS];
    for (uint32_t i = 0; i < s->n_backends; i++) {
        const struct dp_backend *b = &p->backends[s->first_backend + i];
        weights[i] = (struct maglev_backend){.seed = b->seed, .weight = b->weight};
    }
    *service = (struct nat_service){.port = s->port, .family = s->family, .proto = s->proto, .flags = s->flags};
    memcpy(service->address, s->address, sizeof s->address);
    service->backends = backends + s->first_backend;
    service->pick = pick;
    service->n_pick = maglev_fill(pick, MAGLEV_SIZE, weights, s->n_backends);
}

static uint64_t compile_inside(const struct parts *p)
{
    uint64_t inside = 0;
    _Static_assert(DP_ADJACENCIES <= 64, "a bit for each");
    for (uint32_t i = 0; i < p->header->n_backends; i++)
        if ((p->backends[i].way & DP_GROUP) == 0)
            inside |= UINT64_C(1) << p->backends[i].way;
    return inside;
}

static void compile_mtu(const struct parts *p, uint16_t *mtu)
{
    memset(mtu, 0, (DP_ADJACENCIES + DP_GROUPS) * sizeof *mtu);
    for (uint32_t i = 0; i < p->header->n_adjacencies; i++) {
        const struct dp_adjacency *a = &p->adjacencies[i];
        mtu[i] = a->mtu;
        uint16_t *least = a->group != DP_NONE ? &mtu[DP_ADJACENCIES + a->group] : &mtu[i];
        if (a->mtu != 0 && (*least == 0 || a->mtu < *least))
            *least = a->mtu;
    }
}

struct fib *fib_new(const void *message, size_t size, unsigned n_ports, char reason[static FIB_REASON])
{
    if (!check_header(message, size, reason))
        return NULL;
    const struct dp_header *h = message;
    size_t pick = (MAGLEV_SIZE * sizeof(uint16_t) + 7) / 8 * 8;
    size_t more = size + 8 + h->n_backends * sizeof(struct nat_backend) +
                  h->n_services * (sizeof(struct nat_service) + pick) + endpoint_size(2 * h->n_services);
    struct fib *table = calloc(1, sizeof *table + more + 64);
    if (table == NULL) {
        snprintf(reason, FIB_REASON, "out of memory");
        return NULL;
    }
    uint8_t *memory = table->memory;
    memcpy(take(&memory, size), message, size); /* aligned, and ours */
    struct parts p = parts_of(table->memory);
    if (!check(&p, n_ports, reason)) {
        free(table);
        return NULL;
    }
    table->header = *p.header;
    table->adjacencies = p.adjacencies;
    table->groups = p.groups;
    table->locals = p.locals;
    compile_mtu(&p, table->mtu);
    table->inside = compile_inside(&p);
    struct nat_backend *backends = take(&memory, h->n_backends * sizeof *backends);
    struct nat_service *services = take(&memory, h->n_services * sizeof *services);
    compile_backends(&p, backends);
    for (uint32_t i = 0; i < h->n_services; i++)
        compile_service(&p, &p.services[i], backends, take(&memory, pick), &services[i]);
    memcpy(table->services.seed, h->seed, sizeof h->seed);
    table->services.mtu = table->mtu;
    nat_services_init(&table->services, memory, services, h->n_services);
    return table;
}

void fib_free(struct fib *table)
{
    free(table);
}

bool fib_may_follow(const struct fib *table, const struct fib *before, char reason[static FIB_REASON])
{
    if (table->header.n_locals != before->header.n_locals ||
        memcmp(table->locals, before->locals, table->header.n_locals * sizeof *table->locals) != 0)
        REFUSE("other local addresses than those that are in use: that takes a restart");
    return true;
}
