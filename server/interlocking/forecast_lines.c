#include "server/interlocking/forecast_lines.h"

#include "server/interlocking/gateways.h"
#include "server/interlocking/ring.h"
#include "server/interlocking/words.h"

#include <string.h>

enum { NOW, THEN, TIMES };

/* What comes from one place into one room. */
struct stream {
    char *from, *room;
    double rate[TIMES];                   /* 1/s */
    double unsized[TIMES];                /* of these, those whose size is not known */
    double asked[TIMES], answered[TIMES]; /* Mbit/s, of the others */
};
struct line_load {
    GHashTable *streams; /* "from/room" -> struct stream * */
};
/* Mbit/s of a line, towards each of its ends. */
struct ways {
    double to[TIMES], from[TIMES];
};

static void stream_free(gpointer data)
{
    struct stream *stream = data;
    g_free(stream->from);
    g_free(stream->room);
    g_free(stream);
}

struct line_load *line_load_new(void)
{
    struct line_load *load = g_new0(struct line_load, 1);
    load->streams = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, stream_free);
    return load;
}

void line_load_free(struct line_load *load)
{
    if (load == NULL)
        return;
    g_hash_table_unref(load->streams);
    g_free(load);
}

void line_load_add(struct line_load *load, const char *from, const char *room, bool then, double rate,
                   const struct sizes *sizes)
{
    int time = then ? THEN : NOW;
    g_autofree char *key = g_strdup_printf("%s/%s", from, room);
    struct stream *stream = g_hash_table_lookup(load->streams, key);
    if (stream == NULL) {
        stream = g_new0(struct stream, 1);
        stream->from = g_strdup(from);
        stream->room = g_strdup(room);
        g_hash_table_insert(load->streams, g_steal_pointer(&key), stream);
    }
    stream->rate[time] += rate;
    stream->unsized[time] += sizes == NULL ? rate : 0;
    stream->asked[time] += sizes != NULL ? rate * sizes->request * 8 / 1e6 : 0;
    stream->answered[time] += sizes != NULL ? rate * sizes->answer * 8 / 1e6 : 0;
}

/* ---- over which lines ---- */

static const struct gwvip *escape_of(const struct world *w, const struct stream *stream)
{
    const struct gwvip *vip = INVENTORY_GET(w->inventory, gwvip, stream->from);
    return vip != NULL && g_strcmp0(vip->to, stream->room) == 0 ? vip : NULL;
}

/* Lines that join them. */
static GPtrArray *lines_joining(const struct world *w, const struct stream *stream)
{
    const struct gwvip *vip = escape_of(w, stream);
    if (vip != NULL)
        return world_lines_between(w, vip->room, stream->room);
    GPtrArray *lines = g_ptr_array_new();
    INVENTORY_FOREACH (w->inventory, line, line) {
        const char *far = strcmp(line->from, stream->from) == 0 ? line->to
                          : strcmp(line->to, stream->from) == 0 ? line->from
                                                                : "";
        if (strcmp(far, stream->room) == 0)
            g_ptr_array_add(lines, (gpointer)line);
    }
    return lines;
}

static double bandwidth_of(const GPtrArray *lines)
{
    double sum = 0;
    for (guint i = 0; i < lines->len; i++)
        sum += (double)((const struct line *)lines->pdata[i])->bandwidth;
    return sum;
}

/* ---- rows ---- */

struct telling {
    struct forecast *out;
    GHashTable *rows; /* line -> struct forecast_row *, of out */
    GHashTable *ways; /* line -> struct ways * */
};

static void note(struct telling *t, const char *format, ...) G_GNUC_PRINTF(2, 3);
static void note(struct telling *t, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_ptr_array_add(t->out->notes, g_strdup_vprintf(format, args));
    va_end(args);
}

static struct forecast_row *row_of(struct telling *t, const struct line *line)
{
    struct forecast_row *row = g_hash_table_lookup(t->rows, line->o.name);
    if (row != NULL)
        return row;
    row = g_new0(struct forecast_row, 1);
    row->kind = g_strdup("line");
    row->name = g_strdup(line->o.name);
    g_ptr_array_add(t->out->rows, row);
    g_hash_table_insert(t->rows, line->o.name, row);
    g_hash_table_insert(t->ways, line->o.name, g_new0(struct ways, 1));
    return row;
}

static void line_tell(struct telling *t, const struct stream *stream, const struct line *line, int time, double share)
{
    struct forecast_row *row = row_of(t, line);
    struct ways *ways = g_hash_table_lookup(t->ways, line->o.name);
    bool to_room = strcmp(line->to, stream->room) == 0;
    *(time == THEN ? &row->after : &row->before) += stream->rate[time] * share;
    (to_room ? ways->to : ways->from)[time] += stream->asked[time] * share;
    (to_room ? ways->from : ways->to)[time] += stream->answered[time] * share;
    if (stream->unsized[time] < stream->rate[time])
        row->mbit_max = line->bandwidth;
    *(time == THEN ? &row->mbit_after : &row->mbit_before) = MAX(ways->to[time], ways->from[time]);
}

static void stream_rows_tell(struct telling *t, const struct stream *stream, const struct world *w, int time)
{
    g_autoptr(GPtrArray) lines = lines_joining(w, stream), carriers = world_lines_carrying(w, lines);
    double bandwidth = bandwidth_of(carriers);
    for (guint i = 0; stream->rate[time] > 0 && i < carriers->len; i++) {
        const struct line *line = carriers->pdata[i];
        line_tell(t, stream, line, time, (double)line->bandwidth / bandwidth);
    }
}

/* ---- notes ---- */

static double mbit_of(const struct stream *stream)
{
    return MAX(stream->asked[THEN], stream->answered[THEN]);
}

/* Of these lines, those that have, or have not, a risk. */
static GPtrArray *lines_with(const GPtrArray *lines, const char *risk, bool has)
{
    GPtrArray *found = g_ptr_array_new();
    for (guint i = 0; i < lines->len; i++) {
        const struct line *line = lines->pdata[i];
        if (line_has_risk(line, risk) == has)
            g_ptr_array_add(found, lines->pdata[i]);
    }
    return found;
}

/* What carries on when a risk of the lines that carry comes true. */
static void risk_tell(struct telling *t, const struct world *w, const struct stream *stream, const GPtrArray *lines,
                      const char *risk)
{
    g_autoptr(GPtrArray) lost = lines_with(lines, risk, true), left = lines_with(lines, risk, false);
    g_autoptr(GPtrArray) carriers = world_lines_carrying(w, left);
    g_autofree char *gone = objects_words(lost), *others = objects_words(carriers);
    g_autofree char *mbit = words_rate(mbit_of(stream)), *bandwidth = words_rate(bandwidth_of(carriers));
    if (left->len == 0)
        note(t, "if %s fails (%s): nothing leads to %s any more", risk, gone, stream->room);
    else if (stream->unsized[THEN] >= stream->rate[THEN])
        note(t, "if %s fails (%s): %s, %s Mbit/s", risk, gone, others, bandwidth);
    else
        note(t, "if %s fails (%s): %s, %s of %s Mbit/s%s", risk, gone, others, mbit, bandwidth,
             mbit_of(stream) > bandwidth_of(carriers) ? ", which is more than it can" : "");
}

static void risks_tell(struct telling *t, const struct world *w, const struct stream *stream, const GPtrArray *lines,
                       const GPtrArray *carriers)
{
    g_autoptr(GHashTable) told = g_hash_table_new(g_str_hash, g_str_equal);
    for (guint i = 0; i < carriers->len; i++) {
        const struct line *line = carriers->pdata[i];
        if (line->srlg == NULL)
            risk_tell(t, w, stream, lines, line->o.name);
        for (char **risk = line->srlg; risk != NULL && *risk != NULL; risk++)
            if (g_hash_table_add(told, *risk))
                risk_tell(t, w, stream, lines, *risk);
    }
}

static void escape_notes_tell(struct telling *t, const struct world *w, const struct gwvip *vip,
                              const struct stream *stream)
{
    g_autoptr(GPtrArray) lines = lines_joining(w, stream), carriers = world_lines_carrying(w, lines);
    double rate = stream->rate[THEN], bandwidth = bandwidth_of(carriers);
    g_autofree char *is = words_rate(rate), *unsized = words_rate(stream->unsized[THEN]);
    g_autofree char *mbit = words_rate(mbit_of(stream)), *most = words_rate(bandwidth);
    if (carriers->len == 0) {
        note(t, "%s would take %s requests/s, but no line leads from %s to %s", vip->o.name, is, vip->room, vip->to);
        return;
    }
    if (stream->unsized[THEN] >= rate)
        note(t,
             "%s would take %s requests/s over %s Mbit/s of dedicated lines; how large answers are nobody has said: of "
             "%.0f kB they would fill them",
             vip->o.name, is, most, bandwidth * 1e6 / 8 / rate / 1e3);
    else if (stream->unsized[THEN] > 0)
        note(t, "%s would take %s requests/s, of which nobody has said how large %s are: the others, %s of %s Mbit/s",
             vip->o.name, is, unsized, mbit, most);
    else
        note(t, "%s would take %s requests/s, %s of %s Mbit/s of dedicated lines", vip->o.name, is, mbit, most);
    risks_tell(t, w, stream, lines, carriers);
}

/* ---- all ---- */

void line_load_tell(const struct line_load *load, const struct world *now, const struct world *then,
                    struct forecast *out)
{
    g_autoptr(GHashTable) rows = g_hash_table_new(g_str_hash, g_str_equal);
    g_autoptr(GHashTable) ways = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, g_free);
    g_autoptr(GList) keys = g_list_sort(g_hash_table_get_keys(load->streams), (GCompareFunc)strcmp);
    struct telling t = {.out = out, .rows = rows, .ways = ways};
    for (const GList *at = keys; at != NULL; at = at->next) {
        const struct stream *stream = g_hash_table_lookup(load->streams, at->data);
        const struct gwvip *vip = escape_of(then, stream);
        stream_rows_tell(&t, stream, now, NOW);
        stream_rows_tell(&t, stream, then, THEN);
        if (vip != NULL && stream->rate[THEN] > 0)
            escape_notes_tell(&t, then, vip, stream);
    }
}
