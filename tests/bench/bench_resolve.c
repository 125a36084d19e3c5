/* bench_resolve: how long the inventory of a growing site takes to become tables, with encoding and hashing.
 *
 *   bench_resolve [--json]
 *
 * Sites of 1,000, 10,000 and 100,000 domains in 100 groups, run in turn, so that a busy moment falls on all alike.
 * `resolve` is from nothing; `switch` is the same with one lever moved and the slow parts at hand. Ends with 1 if
 * resolve of 100,000 takes more than RATIO_MAX times that of 10,000: it must stay linear.
 */
#include "server/interlocking/resolve.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define GROUPS 100
#define RUNS 15
#define RATIO_MAX 12.0

enum { SIZES = 3 };
static const unsigned sizes[SIZES] = {1000, 10000, 100000};

struct site {
    unsigned domains;
    struct world *steady, *closed;
    double resolve_ms[RUNS], switch_ms[RUNS];
    size_t routes_size;
};

/* Takes the JSON. */
static void put(struct inventory *inv, json_t *json)
{
    g_autoptr(GPtrArray) findings = finding_list_new();
    struct object *object = object_from_json(json, findings);
    if (object == NULL) {
        g_autofree char *text = finding_text(findings->pdata[0]);
        fprintf(stderr, "bench_resolve: %s\n", text);
        exit(1);
    }
    inventory_put(inv, object);
    json_decref(json);
}

static void put_room(struct inventory *inv, unsigned n)
{
    g_autofree char *room = g_strdup_printf("room-%u", n);
    g_autofree char *ring = g_strdup_printf("10.0.%u.1:80", n);
    put(inv, json_pack("{s:s, s:s, s:s, s:s}", "kind", "room", "name", room, "zone", "zone-1", "ring", ring));
    for (unsigned k = 1; k <= 2; k++) {
        g_autofree char *pop = g_strdup_printf("pop-%u-%u", n, k);
        g_autofree char *origin = g_strdup_printf("198.51.100.%u:80", n * 10 + k);
        put(inv, json_pack("{s:s, s:s, s:s, s:[s], s:s}", "kind", "pop", "name", pop, "room", room, "carriers",
                           "carrier-1", "origin", origin));
    }
}

static void put_edges(struct inventory *inv)
{
    for (unsigned n = 1; n <= 4; n++) {
        g_autofree char *edge = g_strdup_printf("edge-%u", n);
        g_autofree char *address = g_strdup_printf("203.0.113.%u", n);
        put(inv, json_pack("{s:s, s:s, s:s, s:s}", "kind", "edge", "name", edge, "class",
                           n <= 2 ? "public" : "dedicated", "address", address));
    }
}

static void put_group(struct inventory *inv, unsigned n)
{
    g_autofree char *group = g_strdup_printf("group-%u", n);
    g_autofree char *service = g_strdup_printf("service-%u", n);
    g_autofree char *route = g_strdup_printf("route-%u", n);
    put(inv, json_pack("{s:s, s:s, s:s, s:b}", "kind", "service", "name", service, "active", "multi", "auto_dr",
                       (int)(n % 2)));
    put(inv,
        json_pack("{s:s, s:s, s:s, s:s}", "kind", "group", "name", group, "service", service, "zone", "example.test"));
    put(inv, json_pack("{s:s, s:s, s:s, s:s, s:s}", "kind", "route", "name", route, "group", group, "prefix", "/api",
                       "service", "service-0"));
}

static struct inventory *inventory_of(unsigned domains)
{
    struct inventory *inv = inventory_new();
    put(inv, json_pack("{s:s, s:s}", "kind", "zone", "name", "zone-1"));
    put(inv, json_pack("{s:s, s:s}", "kind", "carrier", "name", "carrier-1"));
    put(inv, json_pack("{s:s, s:s}", "kind", "dnszone", "name", "example.test"));
    for (unsigned n = 1; n <= 2; n++)
        put_room(inv, n);
    put_edges(inv);
    for (unsigned n = 0; n < GROUPS; n++)
        put_group(inv, n);
    for (unsigned n = 0; n < domains; n++) {
        g_autofree char *name = g_strdup_printf("name-%u.shop.example.test", n);
        g_autofree char *group = g_strdup_printf("group-%u", n % GROUPS);
        put(inv, json_pack("{s:s, s:s, s:s}", "kind", "domain", "name", name, "group", group));
    }
    /* A published inventory was validated: its lists are sorted. */
    for (int kind = 0; kind < OBJECT_KINDS; kind++)
        inventory_list(inv, (enum object_kind)kind);
    return inv;
}

static void site_init(struct site *site, unsigned domains)
{
    static char room[] = "room-1", closed[] = "closed", actor[] = "bench";
    sb_auto(inventory) inv = inventory_of(domains);
    sb_auto(controls) none = controls_new();
    sb_auto(controls) some = controls_new();
    struct control control = {LEVER_ROOM_INGRESS, room, closed, 2, actor, NULL};
    controls_put(some, &control);
    site->domains = domains;
    site->steady = world_new("bench", (struct stamp){1, 1}, NULL, inv, none, NULL);
    site->closed = world_new("bench", (struct stamp){1, 2}, NULL, inv, some, NULL);
}

static double now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static void site_run(struct site *site, unsigned run)
{
    double start = now_ms();
    sb_auto(resolved) steady = resolve(site->steady, NULL);
    site->resolve_ms[run] = now_ms() - start;
    start = now_ms();
    sb_auto(resolved) closed = resolve(site->closed, steady);
    site->switch_ms[run] = now_ms() - start;
    site->routes_size = g_bytes_get_size(resolved_part(steady, steady->tables[EDGE_PUBLIC].hash[PART_ROUTES]));
    if (resolved_compare(steady, closed).entries[EDGE_PUBLIC] == 0) {
        fprintf(stderr, "bench_resolve: the switch changed nothing\n");
        exit(1);
    }
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

struct spread {
    double median, least, most;
};
static struct spread spread_of(double *samples)
{
    qsort(samples, RUNS, sizeof *samples, compare);
    return (struct spread){samples[RUNS / 2], samples[0], samples[RUNS - 1]};
}

static void report(struct site *sites, bool json)
{
    double medians[SIZES];
    json_t *rows = json_array();
    for (unsigned i = 0; i < SIZES; i++) {
        struct spread full = spread_of(sites[i].resolve_ms), moved = spread_of(sites[i].switch_ms);
        medians[i] = full.median;
        if (!json)
            printf("%7u domains  resolve %8.2f ms (%.2f to %.2f)  switch %6.2f ms (%.2f to %.2f)  routes %zu bytes\n",
                   sites[i].domains, full.median, full.least, full.most, moved.median, moved.least, moved.most,
                   sites[i].routes_size);
        json_array_append_new(rows, json_pack("{s:i, s:f, s:f, s:f, s:f}", "domains", (int)sites[i].domains,
                                              "resolve_ms", full.median, "resolve_min_ms", full.least, "resolve_max_ms",
                                              full.most, "switch_ms", moved.median));
    }
    double ratio = medians[2] / medians[1];
    if (json) {
        json_t *all = json_pack("{s:o, s:i, s:f, s:f, s:b}", "sites", rows, "runs", RUNS, "ratio", ratio, "ratio_max",
                                RATIO_MAX, "ok", ratio <= RATIO_MAX);
        json_dumpf(all, stdout, JSON_COMPACT | JSON_REAL_PRECISION(6));
        printf("\n");
        json_decref(all);
    } else {
        printf("resolve of 100,000 takes %.1f times that of 10,000 (at most %.0f), %d runs\n", ratio, RATIO_MAX, RUNS);
        json_decref(rows);
    }
    if (ratio > RATIO_MAX)
        exit(1);
}

int main(int argc, char **argv)
{
    bool json = argc == 2 && strcmp(argv[1], "--json") == 0;
    if (argc > 1 && !json) {
        fprintf(stderr, "usage: bench_resolve [--json]\n");
        return 2;
    }
    static struct site sites[SIZES];
    for (unsigned i = 0; i < SIZES; i++)
        site_init(&sites[i], sizes[i]);
    for (unsigned run = 0; run < RUNS; run++)
        for (unsigned i = 0; i < SIZES; i++)
            site_run(&sites[i], run);
    report(sites, json);
    for (unsigned i = 0; i < SIZES; i++) {
        world_unref(sites[i].steady);
        world_unref(sites[i].closed);
    }
    return 0;
}
