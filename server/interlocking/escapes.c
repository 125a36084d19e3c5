#include "server/interlocking/escapes.h"

#include "server/interlocking/gateways.h"
#include "server/interlocking/lineview.h"
#include "server/interlocking/words.h"

#include <string.h>

static bool line_is_down(const struct world *w, const struct observed *observed, const struct line *line,
                         int64_t now_us)
{
    struct line_view view;
    line_view(observed, w->inventory, line, now_us, &view);
    return view.seen > 0 && view.down == view.seen;
}

/* Lines of an escape that are not known to be down. */
static GPtrArray *lines_live(const struct world *w, const struct observed *observed, const struct gwvip *escape,
                             int64_t now_us)
{
    g_autoptr(GPtrArray) lines = world_lines_between(w, escape->room, escape->to);
    GPtrArray *live = g_ptr_array_new();
    for (guint i = 0; i < lines->len; i++)
        if (!line_is_down(w, observed, lines->pdata[i], now_us))
            g_ptr_array_add(live, lines->pdata[i]);
    return live;
}

bool escape_is_cut(const struct world *w, const struct observed *observed, const struct gwvip *escape, int64_t now_us)
{
    g_autoptr(GPtrArray) live = lines_live(w, observed, escape, now_us);
    return live->len == 0;
}

bool room_has_escape(const struct world *w, const struct observed *observed, const char *room, int64_t now_us)
{
    g_autoptr(GPtrArray) escapes = world_room_escapes(w, room);
    for (guint i = 0; i < escapes->len; i++)
        if (!escape_is_cut(w, observed, escapes->pdata[i], now_us))
            return true;
    return false;
}

/* ---- would it fit? ---- */

struct load {
    double rate;            /* 1/s */
    double asked, answered; /* Mbit/s */
};

/* What an edge answers of services that live in the room alone. Of "GROUP.SERVICE" the name is behind the last dot. */
static void load_add(const struct world *w, const struct edge_report *report, const char *room, struct load *load)
{
    for (guint i = 0; i < report->counters->len; i++) {
        const struct counter *counter = report->counters->pdata[i];
        const char *dot = strrchr(counter->policy, '.');
        const struct service *service = dot != NULL ? INVENTORY_GET(w->inventory, service, dot + 1) : NULL;
        const struct sizes *sizes = g_hash_table_lookup(report->sizes, counter->policy);
        if (service == NULL || sizes == NULL || service->active != SERVICE_SINGLE ||
            g_strcmp0(service->home, room) != 0 || !counter_counts(counter) || counter_by_edge(counter))
            continue;
        load->rate += counter->rate;
        load->asked += counter->rate * sizes->request * 8 / 1e6;
        load->answered += counter->rate * sizes->answer * 8 / 1e6;
    }
}

char *escape_small_words(const struct world *w, const struct observed *observed, const struct gwvip *escape,
                         int64_t now_us)
{
    struct load load = {0};
    double bandwidth = 0;
    INVENTORY_FOREACH (w->inventory, edge, edge) {
        const struct edge_report *report = observed_edge(observed, edge->o.name);
        if (edge->class == EDGE_PUBLIC && edge_report_fresh(report, now_us))
            load_add(w, report, escape->to, &load);
    }
    g_autoptr(GPtrArray) live = lines_live(w, observed, escape, now_us), carriers = world_lines_carrying(w, live);
    for (guint i = 0; i < carriers->len; i++)
        bandwidth += (double)((const struct line *)carriers->pdata[i])->bandwidth;
    double mbit = MAX(load.asked, load.answered);
    if (carriers->len == 0 || mbit <= bandwidth)
        return NULL;
    g_autofree char *lines = objects_words(carriers), *rate = words_rate(load.rate), *is = words_rate(mbit);
    g_autofree char *most = words_rate(bandwidth);
    return g_strdup_printf("escape %s is too small: what lives in %s alone takes %s Mbit/s (%s requests/s), and %s "
                           "carries %s",
                           escape->o.name, escape->to, is, rate, lines, most);
}
