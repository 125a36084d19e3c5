#include "tests/lab/lab_fault.h"

#include "core/error.h"
#include "core/loop.h"
#include "tests/lab/lab_net.h"

#include <string.h>

/* ---- selectors ---- */

static bool pop_link_selected(const struct lab_link *link, const char *kind, const char *name)
{
    const struct pop *pop = link->end[0]->object;
    return strcmp(name, strcmp(kind, "pop") == 0 ? pop->o.name : pop->room) == 0;
}

static bool link_selected(const struct lab_link *link, const char *kind, const char *name)
{
    if (kind == NULL && strcmp(name, "all") == 0)
        return link->wire;
    if (kind == NULL)
        return strcmp(link->name, name) == 0;
    if (strcmp(kind, "srlg") == 0)
        return link->wire && link->line != NULL && link->line->srlg != NULL &&
               g_strv_contains((const char *const *)link->line->srlg, name);
    if (strcmp(kind, "node") == 0)
        return link->wire && (strcmp(link->end[0]->name, name) == 0 || strcmp(link->end[1]->name, name) == 0);
    if (strcmp(kind, "pop") == 0 || strcmp(kind, "room") == 0)
        return link->kind == LINK_POP && pop_link_selected(link, kind, name);
    if (strcmp(kind, "lines") == 0)
        return link->kind == LINK_TRUNK &&
               (strcmp(link->end[0]->name, name) == 0 || strcmp(link->end[1]->name, name) == 0);
    if (strcmp(kind, "edge-control") == 0)
        return link->kind == LINK_MANAGEMENT && strcmp(link->end[0]->name, name) == 0;
    return false;
}

/* Links of a selector, at least one, all of them wires. Borrowed from the topology; g_ptr_array_unref. */
static GPtrArray *select_links(const struct lab *lab, const char *selector, GError **error)
{
    g_autoptr(GPtrArray) links = g_ptr_array_new();
    const char *colon = strchr(selector, ':');
    g_autofree char *kind = colon != NULL ? g_strndup(selector, (gsize)(colon - selector)) : NULL;
    TOPO_FOREACH_LINK(lab->topo, link)
    {
        if (!link_selected(link, kind, colon != NULL ? colon + 1 : selector))
            continue;
        if (!link->wire) {
            g_set_error(error, SB_ERROR, SB_ERROR_INVALID,
                        "link %s is inside a site and has no cable that could be cut; give it a delay in `lab:` first",
                        link->name);
            return NULL;
        }
        g_ptr_array_add(links, link);
    }
    if (links->len > 0)
        return g_steal_pointer(&links);
    g_set_error(
        error, SB_ERROR, SB_ERROR_NOT_FOUND,
        "selector %s: found no link, expected LINK, all, srlg:, node:, pop:, room:, lines: or edge-control:NAME "
        "(see `lab status`)",
        selector);
    return NULL;
}

static json_t *names_of(const GPtrArray *links)
{
    json_t *names = json_array();
    for (guint i = 0; i < links->len; i++)
        json_array_append_new(names, json_string(((const struct lab_link *)links->pdata[i])->name));
    return names;
}

/* ---- POPs that refuse ---- */

/* Runs nft in the namespace of a link's POP. */
static bool pop_nft(const struct lab *lab, const struct lab_link *link, const char *commands, GError **error)
{
    const char *argv[] = {"nft", commands, NULL};
    if (!lab_ns_enter(lab, link->end[0]->name, error))
        return false;
    bool ok = lab_run(argv, error);
    lab_ns_leave();
    return ok;
}

static bool pop_refuse(const struct lab *lab, const struct lab_link *link, GError **error)
{
    char origin[ADDR_TEXT_SIZE];
    addr_format(&((const struct pop *)link->end[0]->object)->origin.addr, origin);
    g_autofree char *commands =
        g_strdup_printf("add table ip refuse; "
                        "add chain ip refuse forward { type filter hook forward priority 0; }; "
                        "flush chain ip refuse forward; "
                        "add rule ip refuse forward ip daddr %s ip protocol tcp reject with tcp reset",
                        origin);
    return pop_nft(lab, link, commands, error);
}

/* `add` first, so that a POP that refuses nothing is no error. */
static bool pop_accept(const struct lab *lab, const struct lab_link *link, GError **error)
{
    return pop_nft(lab, link, "add table ip refuse; delete table ip refuse", error);
}

json_t *fault_reset(const struct lab *lab, const char *selector, GError **error)
{
    g_autoptr(GPtrArray) links = select_links(lab, selector, error);
    for (guint i = 0; links != NULL && i < links->len; i++) {
        const struct lab_link *link = links->pdata[i];
        if (link->kind != LINK_POP) {
            g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "rst: found link %s, expected pop:NAME or room:NAME",
                        link->name);
            return NULL;
        }
        if (!pop_refuse(lab, link, error))
            return NULL;
    }
    return links != NULL ? json_pack("{s:I, s:o}", "at_us", (json_int_t)wall_now_us(), "links", names_of(links)) : NULL;
}

/* ---- the wire ---- */

json_t *fault_wire(const struct lab *lab, const char *verb, const char *argument, const char *selector, GError **error)
{
    g_autoptr(GPtrArray) links = select_links(lab, selector, error);
    if (links == NULL)
        return NULL;
    g_autoptr(GString) command = g_string_new(verb);
    if (argument != NULL)
        g_string_append_printf(command, " %s", argument);
    for (guint i = 0; i < links->len; i++) {
        const struct lab_link *link = links->pdata[i];
        g_string_append_printf(command, " %s", link->name);
        if (strcmp(verb, "heal") == 0 && link->kind == LINK_POP && !pop_accept(lab, link, error))
            return NULL;
    }
    json_t *answer = wire_call(lab, command->str, error);
    if (answer != NULL)
        json_object_set_new(answer, "links", names_of(links));
    return answer;
}
