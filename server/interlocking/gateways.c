#include "server/interlocking/gateways.h"

#include "server/interlocking/slow_parts.h"

#include <string.h>

#define GROUPS 16u /* as many as a forwarder has (dataplane/dp_api.h) */
#define SLOTS 4096u
#define RISKS 64u
#define OUT_PREFERENCE 100000 /* behind every preference that a line may have */
#define LINE_BFD_MS 50        /* of peers, too */
#define BFD_MULT 3u
#define MTU 1500
#define INSTANCE_WEIGHT 100
#define CHECK_MS 1000
#define CHECK_RISE 2
#define CHECK_FALL 3
/* Wait-to-restore of a line, at most, and how long it must carry to be calm (dataplane/lines.h). */
#define RESTORE_MS 1000
#define RESTORE_MAX_MS 60000
#define CALM_MS 30000

struct maker {
    const struct world *w;
    const struct inventory *inv;
    const struct gateway *gateway;
    GPtrArray *ports;                   /* const struct gwport *, of the gateway, by name */
    GHashTable *groups, *slots, *risks; /* names -> place + 1 */
    GPtrArray *lines, *findings;
};

/* ---- escapes and lines ---- */

static bool lever_is(const struct world *w, enum lever lever, const char *object, const char *value)
{
    return strcmp(controls_value(w->controls, lever, object), value) == 0;
}

static bool joins(const struct inventory *inv, const struct line *line, const char *a, const char *b)
{
    return g_strcmp0(line_far_room(inv, line, a), b) == 0;
}

/* As gateways are told it. */
static int64_t preference_of(const struct world *w, const struct line *line)
{
    return line->preference + (world_line_in(w, line) ? 0 : OUT_PREFERENCE);
}

GPtrArray *world_lines_between(const struct world *w, const char *a, const char *b)
{
    GPtrArray *lines = g_ptr_array_new();
    INVENTORY_FOREACH (w->inventory, line, line) {
        if (joins(w->inventory, line, a, b))
            g_ptr_array_add(lines, (gpointer)line);
    }
    return lines;
}

GPtrArray *world_lines_carrying(const struct world *w, const GPtrArray *lines)
{
    GPtrArray *carrying = g_ptr_array_new();
    int64_t best = INT64_MAX;
    for (guint i = 0; i < lines->len; i++)
        best = MIN(best, preference_of(w, lines->pdata[i]));
    for (guint i = 0; i < lines->len; i++)
        if (preference_of(w, lines->pdata[i]) == best)
            g_ptr_array_add(carrying, lines->pdata[i]);
    return carrying;
}

/* ---- places ---- */

static gint by_text(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Each name's number below n, by its hash; where two would have the same, the later takes the next free one. names: are
 * sorted, and the table's keys. */
static GHashTable *places_draw(GPtrArray *names, unsigned n)
{
    GHashTable *places = g_hash_table_new(g_str_hash, g_str_equal);
    g_autoptr(GHashTable) taken = g_hash_table_new(NULL, NULL);
    g_ptr_array_sort(names, by_text);
    for (guint i = 0; i < names->len && i < n; i++) {
        char hash[PART_HASH_SIZE];
        part_hash(names->pdata[i], strlen(names->pdata[i]), hash);
        hash[8] = '\0';
        unsigned place = (unsigned)g_ascii_strtoull(hash, NULL, 16) % n;
        while (g_hash_table_contains(taken, GUINT_TO_POINTER(place)))
            place = (place + 1) % n;
        g_hash_table_add(taken, GUINT_TO_POINTER(place));
        g_hash_table_insert(places, names->pdata[i], GUINT_TO_POINTER(place + 1));
    }
    return places;
}

/* False: there are too many. */
static bool place_of(const GHashTable *places, const char *name, unsigned *place)
{
    unsigned found = GPOINTER_TO_UINT(g_hash_table_lookup((GHashTable *)places, name));
    *place = found - 1;
    return found > 0;
}

static void places_make(struct maker *m)
{
    g_autoptr(GPtrArray) rooms = g_ptr_array_new(), targets = g_ptr_array_new(), risks = g_ptr_array_new();
    INVENTORY_FOREACH (m->inv, room, room)
        g_ptr_array_add(rooms, room->o.name);
    INVENTORY_FOREACH (m->inv, instance, instance)
        g_ptr_array_add(targets, instance->o.name);
    INVENTORY_FOREACH (m->inv, gwvip, vip)
        g_ptr_array_add(targets, vip->o.name);
    INVENTORY_FOREACH (m->inv, line, line)
        for (char **name = line->srlg; name != NULL && *name != NULL; name++)
            if (!g_ptr_array_find_with_equal_func(risks, *name, g_str_equal, NULL))
                g_ptr_array_add(risks, *name);
    m->risks = places_draw(risks, RISKS);
    m->groups = places_draw(rooms, GROUPS);
    m->slots = places_draw(targets, SLOTS);
}

/* ---- ports and lines ---- */

static const char *address(const struct addr *addr, char text[static ADDR_TEXT_SIZE])
{
    return addr_format(addr, text);
}

/* The other gateway of the same room that is the neighbour at a port; NULL: it is none. */
static const struct gateway *peer_of(const struct maker *m, const struct gwport *port)
{
    INVENTORY_FOREACH (m->inv, gwport, far) {
        const struct gateway *gateway = INVENTORY_GET(m->inv, gateway, far->gateway);
        if (port->line == NULL && gateway != NULL && gateway != m->gateway && addr_equal(&far->own, &port->next) &&
            strcmp(gateway->room, m->gateway->room) == 0)
            return gateway;
    }
    return NULL;
}

static int64_t bfd_ms(const struct maker *m, const struct gwport *port)
{
    bool has = port->line != NULL || peer_of(m, port) != NULL;
    return port->bfd > 0 ? port->bfd : has ? LINE_BFD_MS : 0;
}

/* A bit for each shared-risk group of a line; those of which there are too many have none. */
static uint64_t srlg_of(const struct maker *m, const struct line *line)
{
    uint64_t bits = 0;
    unsigned bit;
    for (char **name = line->srlg; name != NULL && *name != NULL; name++)
        if (place_of(m->risks, *name, &bit))
            bits |= UINT64_C(1) << bit;
    return bits;
}

/* The line that the port is the end of, and the room behind it; NULL: none. */
static const struct line *line_of(const struct maker *m, const struct gwport *port, const char **room)
{
    const struct line *line = port->line != NULL ? INVENTORY_GET(m->inv, line, port->line) : NULL;
    *room = line != NULL ? line_far_room(m->inv, line, m->gateway->room) : NULL;
    return *room != NULL ? line : NULL;
}

static void port_add(struct maker *m, const struct gwport *port)
{
    char own[ADDR_TEXT_SIZE], next[ADDR_TEXT_SIZE];
    unsigned group;
    const char *room;
    const struct line *line = line_of(m, port, &room);
    const struct gateway *peer = peer_of(m, port);
    int64_t bfd = bfd_ms(m, port) * 1000;
    lines_add(m->lines, "adjacency/%02" G_GINT64_FORMAT " %" G_GINT64_FORMAT "|%s|%s|%" G_GINT64_FORMAT "\n",
              port->place, port->port, address(&port->own, own), address(&port->next, next),
              port->mtu > 0 ? port->mtu : MTU);
    if (bfd > 0)
        lines_add(m->lines, "bfd/%02" G_GINT64_FORMAT " %" G_GINT64_FORMAT "|%" G_GINT64_FORMAT "|%u\n", port->place,
                  bfd, bfd, BFD_MULT);
    if (peer != NULL)
        lines_add(m->lines, "peer/%02" G_GINT64_FORMAT " %s\n", port->place, peer->o.name);
    if (line == NULL || !place_of(m->groups, room, &group))
        return;
    int64_t weight = CLAMP(line->bandwidth / 100, 1, 65535);
    lines_add(m->lines,
              "line/%02" G_GINT64_FORMAT " %u|%" G_GINT64_FORMAT "|%" G_GINT64_FORMAT "|%" G_GUINT64_FORMAT "\n",
              port->place, group, preference_of(m->w, line), weight, srlg_of(m, line));
}

/* Lines to a room; false: the gateway has none. */
static bool group_add(struct maker *m, const char *room)
{
    int64_t slowest_ms = 0;
    unsigned group;
    for (guint i = 0; i < m->ports->len; i++) {
        const char *far;
        const struct gwport *port = m->ports->pdata[i];
        if (line_of(m, port, &far) != NULL && strcmp(far, room) == 0)
            slowest_ms = MAX(slowest_ms, bfd_ms(m, port));
    }
    if (slowest_ms == 0 || !place_of(m->groups, room, &group))
        return false;
    lines_add(m->lines, "group/%02u %d|%d|%d|%" G_GINT64_FORMAT "\n", group, RESTORE_MS, RESTORE_MAX_MS, CALM_MS,
              2 * BFD_MULT * slowest_ms);
    return true;
}

static void ports_add(struct maker *m)
{
    char text[ADDR_TEXT_SIZE];
    for (guint i = 0; i < m->ports->len; i++)
        port_add(m, m->ports->pdata[i]);
    INVENTORY_FOREACH (m->inv, room, room)
        group_add(m, room->o.name);
    lines_add(m->lines, "local/00 %s\n", address(&m->gateway->local, text));
    if (m->gateway->local6.family != 0)
        lines_add(m->lines, "local/01 %s\n", address(&m->gateway->local6, text));
}

/* ---- addresses ---- */

static void complain(struct maker *m, const struct gwvip *vip, const char *found, const char *expected)
{
    g_autofree char *text = g_strdup_printf("%s at gateway %s", found, m->gateway->o.name);
    finding_on(m->findings, &vip->o, "room", text, expected);
}

static void backend_add(struct maker *m, const struct gwvip *vip, const char *name, const struct endpoint *at,
                        const char *way, int64_t weight, int64_t limit)
{
    char text[ENDPOINT_TEXT_SIZE];
    unsigned slot;
    if (place_of(m->slots, name, &slot))
        lines_add(m->lines, "backend/%s/%s %s|%u|%s|%" G_GINT64_FORMAT "|%" G_GINT64_FORMAT "\n", vip->o.name, name,
                  endpoint_format(at, text), slot, way, weight, limit);
    else
        complain(m, vip, "more instances and addresses than there is room for", "at most 4096");
}

/* The port that a room's instances are behind; NULL: none of that family. */
static const struct gwport *inside_of(const struct maker *m, uint8_t family)
{
    for (guint i = 0; i < m->ports->len; i++) {
        const struct gwport *port = m->ports->pdata[i];
        if (port->inside && port->own.family == family)
            return port;
    }
    return NULL;
}

static void instances_add(struct maker *m, const struct gwvip *vip)
{
    const struct gwport *port = inside_of(m, vip->address.addr.family);
    if (port == NULL) {
        complain(m, vip, "no port that instances are behind", "one of the address's family");
        return;
    }
    g_autofree char *way = g_strdup_printf("adjacency/%02" G_GINT64_FORMAT, port->place);
    INVENTORY_FOREACH (m->inv, instance, instance) {
        bool same = instance->address.addr.family == vip->address.addr.family;
        if (same && strcmp(instance->room, m->gateway->room) == 0)
            backend_add(m, vip, instance->o.name, &instance->address, way,
                        instance->weight > 0 ? instance->weight : INSTANCE_WEIGHT, instance->sessions);
    }
}

/* What is behind an escape: the addresses of the room that it leads to, which lead to its instances and nowhere else.
 */
static void escape_add(struct maker *m, const struct gwvip *vip)
{
    g_autoptr(GPtrArray) in_use = world_room_escapes(m->w, vip->to);
    bool used = g_ptr_array_find(in_use, vip, NULL);
    unsigned group, n = 0;
    bool lines = false;
    for (guint i = 0; i < m->ports->len; i++) {
        const char *far;
        lines = lines || (line_of(m, m->ports->pdata[i], &far) != NULL && strcmp(far, vip->to) == 0);
    }
    if (!lines || !place_of(m->groups, vip->to, &group)) {
        complain(m, vip, "no line to the room that it leads to", "one at each gateway");
        return;
    }
    g_autofree char *way = g_strdup_printf("group/%02u", group);
    INVENTORY_FOREACH (m->inv, gwvip, target) {
        if (strcmp(target->room, vip->to) != 0 || target->to != NULL || target->proto != vip->proto ||
            target->address.port != vip->address.port || target->address.addr.family != vip->address.addr.family)
            continue;
        backend_add(m, vip, target->o.name, &target->address, way, used ? INSTANCE_WEIGHT : 0, 0);
        n++;
    }
    if (n == 0)
        complain(m, vip, "no address of the room that it leads to", "one of the same protocol, port and family");
}

static void check_add(struct maker *m, const struct gwvip *vip)
{
    static const char *const kinds[] = {
        [GWVIP_CHECK_TCP] = "tcp", [GWVIP_CHECK_HTTP] = "http", [GWVIP_CHECK_UDP] = "udp"};
    int64_t every = vip->interval > 0 ? vip->interval : CHECK_MS;
    if (vip->check != GWVIP_CHECK_NONE)
        lines_add(m->lines, "check/%s %s|%" G_GINT64_FORMAT "|%" G_GINT64_FORMAT "|%d|%d|%" G_GINT64_FORMAT "||%s\n",
                  vip->o.name, kinds[vip->check], every, MIN(every, CHECK_MS), CHECK_RISE, CHECK_FALL,
                  vip->slow_start * 1000, vip->path != NULL ? vip->path : "");
}

static void vip_add(struct maker *m, const struct gwvip *vip)
{
    static const char *const flags[] = {
        [GWVIP_TELL_NONE] = "-", [GWVIP_TELL_TOA] = "t", [GWVIP_TELL_PROXY] = "p", [GWVIP_TELL_BOTH] = "tp"};
    char text[ENDPOINT_TEXT_SIZE];
    g_autofree char *protocol = g_strdelimit(g_strdup(vip->o.name), "-", '_');
    lines_add(m->lines, "service/%s %s|%s|%s|vip_%s\n", vip->o.name, endpoint_format(&vip->address, text),
              vip->proto == GWVIP_UDP ? "udp" : "tcp", flags[vip->tell], protocol);
    if (vip->to != NULL) {
        escape_add(m, vip); /* lines have BFD; who is at their end checks its own instances */
    } else {
        check_add(m, vip);
        instances_add(m, vip);
    }
}

/* ---- the whole ---- */

GBytes *gateway_layout(const struct world *w, const struct gateway *gateway, GPtrArray *findings)
{
    char seed[PART_HASH_SIZE];
    struct maker m = {.w = w, .inv = w->inventory, .gateway = gateway, .findings = findings};
    m.ports = g_ptr_array_new();
    m.lines = lines_new();
    INVENTORY_FOREACH (m.inv, gwport, port) {
        if (strcmp(port->gateway, gateway->o.name) == 0)
            g_ptr_array_add(m.ports, (gpointer)port);
    }
    places_make(&m);
    part_hash(w->cluster, strlen(w->cluster), seed);
    lines_add(m.lines, "class gateway\n");
    lines_add(m.lines, "seed %s\n", seed);
    if (lever_is(w, LEVER_GATEWAY, gateway->o.name, "out"))
        lines_add(m.lines, "gateway out\n");
    ports_add(&m);
    INVENTORY_FOREACH (m.inv, gwvip, vip) {
        if (gwvip_answered_by(vip, gateway->room))
            vip_add(&m, vip);
    }
    g_ptr_array_unref(m.ports);
    g_hash_table_unref(m.groups);
    g_hash_table_unref(m.slots);
    g_hash_table_unref(m.risks);
    return lines_encode(m.lines);
}
