#include "server/interlocking/ring.h"

#include "server/interlocking/slow_parts.h"
#include "server/interlocking/words.h"

#include <string.h>

/* ---- beforehand ---- */

bool line_has_risk(const struct line *line, const char *risk)
{
    return strcmp(risk, line->o.name) == 0 ||
           (line->srlg != NULL && g_strv_contains((const char *const *)line->srlg, risk));
}

char *line_words(const struct line *line)
{
    g_autofree char *ducts = line->srlg != NULL ? g_strjoinv(" ", line->srlg) : g_strdup("");
    return ducts[0] == '\0' ? g_strdup(line->o.name) : g_strdup_printf("%s (%s)", line->o.name, ducts);
}

/* The site that stands for all that lines join with `site`. */
static const char *root_of(GHashTable *parents, const char *site)
{
    const char *parent;
    while ((parent = g_hash_table_lookup(parents, site)) != NULL)
        site = parent;
    return site;
}

/* Sites that are joined when a risk (NULL: none) has come true, for root_of; borrows names. */
static GHashTable *joined(const struct inventory *inventory, const char *risk)
{
    GHashTable *parents = g_hash_table_new(g_str_hash, g_str_equal);
    INVENTORY_FOREACH (inventory, line, line) {
        const char *from = root_of(parents, line->from), *to = root_of(parents, line->to);
        if ((risk == NULL || !line_has_risk(line, risk)) && strcmp(from, to) != 0)
            g_hash_table_insert(parents, (char *)from, (char *)to);
    }
    return parents;
}

static bool same_part(GHashTable *parents, const char *a, const char *b)
{
    return strcmp(root_of(parents, a), root_of(parents, b)) == 0;
}

/* Every line and every duct; a set of names, borrowed. */
static GHashTable *risks_of(const struct inventory *inventory)
{
    GHashTable *risks = g_hash_table_new(g_str_hash, g_str_equal);
    INVENTORY_FOREACH (inventory, line, line) {
        g_hash_table_add(risks, line->o.name);
        for (char **duct = line->srlg; duct != NULL && *duct != NULL; duct++)
            g_hash_table_add(risks, *duct);
    }
    return risks;
}

void ring_findings(const struct inventory *inventory, GPtrArray *findings)
{
    g_autoptr(GHashTable) risks = risks_of(inventory), whole = joined(inventory, NULL);
    g_autoptr(GList) names = g_list_sort(g_hash_table_get_keys(risks), (GCompareFunc)strcmp);
    for (const GList *at = names; at != NULL; at = at->next) {
        g_autoptr(GHashTable) left = joined(inventory, at->data);
        INVENTORY_FOREACH (inventory, edge, edge) {
            INVENTORY_FOREACH (inventory, room, room) {
                if (edge->class != EDGE_DEDICATED || room->ring.addr.family == 0 ||
                    !same_part(whole, edge->o.name, room->o.name) || same_part(left, edge->o.name, room->o.name))
                    continue;
                g_autofree char *found = g_strdup_printf("%s on every path to %s", (char *)at->data, room->o.name);
                finding_on(findings, &edge->o, NULL, found, "two paths that share no risk");
            }
        }
    }
}

/* ---- afterwards ---- */

/* How an edge sees a room over the ring: 1 up, 0 down, -1 not at all. */
static int sees(const struct edge_report *report, const char *room, int64_t now_us)
{
    for (guint i = 0; edge_report_fresh(report, now_us) && i < report->origins->len; i++) {
        const struct origin_health *origin = report->origins->pdata[i];
        if (strcmp(origin->room, room) == 0 && strcmp(origin->via, "ring") == 0)
            return origin->up;
    }
    return -1;
}

static bool anybody_sees(const struct inventory *inventory, const struct observed *observed, const char *room,
                         int64_t now_us)
{
    INVENTORY_FOREACH (inventory, edge, edge)
        if (sees(observed_edge(observed, edge->o.name), room, now_us) == 1)
            return true;
    return false;
}

/* "line-1 (duct-north), line-2": what leads away from a site; g_free. */
static char *lines_text(const struct inventory *inventory, const char *site)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    INVENTORY_FOREACH (inventory, line, line) {
        if (strcmp(line->from, site) != 0 && strcmp(line->to, site) != 0)
            continue;
        g_ptr_array_add(names, line_words(line));
    }
    return words_list(names, 8);
}

/* Rooms (char *, borrowed) that the edge has lost of those that it sees over the ring, of which there are `seen`; NULL:
 * none, or none whose loss is the ring's. */
static GPtrArray *lost_rooms(const struct inventory *inventory, const struct observed *observed,
                             const struct edge *edge, int64_t now_us, unsigned *seen)
{
    const struct edge_report *report = observed_edge(observed, edge->o.name);
    GPtrArray *lost = g_ptr_array_new();
    unsigned ring_lost = 0;
    *seen = 0;
    INVENTORY_FOREACH (inventory, room, room) {
        int up = sees(report, room->o.name, now_us);
        *seen += up >= 0;
        if (up == 0) {
            g_ptr_array_add(lost, room->o.name);
            ring_lost += anybody_sees(inventory, observed, room->o.name, now_us);
        }
    }
    if (ring_lost > 0 || (*seen >= 2 && lost->len == *seen))
        return lost;
    g_ptr_array_unref(lost);
    return NULL;
}

char *ring_loss_text(const struct inventory *inventory, const struct observed *observed, const struct edge *edge,
                     int64_t now_us)
{
    unsigned seen;
    g_autoptr(GPtrArray) lost = lost_rooms(inventory, observed, edge, now_us, &seen);
    if (lost == NULL)
        return NULL;
    g_autofree char *lines = lines_text(inventory, edge->o.name), *rooms = words_list(lost, 8);
    if (lost->len == seen)
        return g_strdup_printf("%s has lost the ring, no dedicated path is left: %s", edge->o.name, lines);
    return g_strdup_printf("%s no longer reaches %s over the ring: %s", edge->o.name, rooms, lines);
}

bool ring_line_suspect(const struct inventory *inventory, const struct observed *observed, const struct line *line,
                       int64_t now_us)
{
    const struct edge *from = INVENTORY_GET(inventory, edge, line->from),
                      *to = INVENTORY_GET(inventory, edge, line->to);
    const char *room = from != NULL ? line->to : line->from;
    unsigned seen;
    if (from == NULL && to == NULL)
        return false;
    g_autoptr(GPtrArray) lost = lost_rooms(inventory, observed, from != NULL ? from : to, now_us, &seen);
    return lost != NULL && g_ptr_array_find_with_equal_func(lost, room, g_str_equal, NULL);
}
