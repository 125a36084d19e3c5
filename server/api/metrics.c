#include "server/api/metrics.h"

#include "core/histogram.h"
#include "schema/jsondoc.h"

#include <string.h>

enum metric {
#define METRIC(symbol, ...) METRIC_##symbol,
#include "server/api/metrics.def"
#undef METRIC
    METRICS
};

static const struct {
    const char *name, *type, *doc;
} metrics[METRICS] = {
#define METRIC(symbol, name, type, doc) {name, type, doc},
#include "server/api/metrics.def"
#undef METRIC
};

/* ---- lines ---- */

static void open_metric(GString *out, enum metric metric)
{
    g_string_append_printf(out, "# HELP %s %s\n# TYPE %s %s\n", metrics[metric].name, metrics[metric].doc,
                           metrics[metric].name, metrics[metric].type);
}

/* A label as `name="value"`; what an edge says of itself is a stranger's text. */
static char *label(const char *name, const char *value)
{
    GString *text = g_string_new(value);
    g_string_replace(text, "\\", "\\\\", 0);
    g_string_replace(text, "\"", "\\\"", 0);
    g_string_replace(text, "\n", "\\n", 0);
    char *out = g_strdup_printf("%s=\"%s\"", name, text->str);
    g_string_free(text, TRUE);
    return out;
}

static void add_whole(GString *out, enum metric metric, const char *labels, uint64_t value)
{
    g_string_append_printf(out, labels[0] != '\0' ? "%s{%s} " : "%s%s ", metrics[metric].name, labels);
    g_string_append_printf(out, "%" G_GUINT64_FORMAT "\n", value);
}

static void add_seconds(GString *out, enum metric metric, const char *labels, double seconds)
{
    char text[G_ASCII_DTOSTR_BUF_SIZE];
    g_ascii_formatd(text, sizeof text, "%.6f", seconds);
    g_string_append_printf(out, "%s{%s} %s\n", metrics[metric].name, labels, text);
}

static void add_one(GString *out, enum metric metric, uint64_t value)
{
    open_metric(out, metric);
    add_whole(out, metric, "", value);
}

/* ---- rows of the engine ---- */

static bool is_kind(const json_t *row, const char *kind)
{
    return kind == NULL || strcmp(json_member_shown(row, "kind"), kind) == 0;
}

/* How many rows of a kind (NULL: of any) there are in each state. */
static void add_by_state(GString *out, enum metric metric, const json_t *rows, const char *kind)
{
    json_t *counts = json_object(), *value;
    const char *state;
    const json_t *row;
    size_t i;
    json_array_foreach (rows, i, row) {
        state = json_member_shown(row, "state");
        if (is_kind(row, kind))
            json_object_set_new(counts, state, json_integer(json_integer_value(json_object_get(counts, state)) + 1));
    }
    open_metric(out, metric);
    json_object_foreach (counts, state, value) {
        g_autofree char *labels = label("state", state);
        add_whole(out, metric, labels, (uint64_t)json_integer_value(value));
    }
    json_decref(counts);
}

static void add_ages(GString *out, enum metric metric, const json_t *rows, const char *kind)
{
    const json_t *row;
    size_t i;
    open_metric(out, metric);
    json_array_foreach (rows, i, row) {
        const json_t *age_ms = json_object_get(row, "age_ms");
        g_autofree char *labels = label(kind, json_member_shown(row, "name"));
        if (is_kind(row, kind) && json_is_integer(age_ms))
            add_seconds(out, metric, labels, (double)json_integer_value(age_ms) / 1e3);
    }
}

static void add_generations(GString *out, const json_t *rows)
{
    const json_t *row;
    size_t i;
    open_metric(out, METRIC_EDGE_GENERATION);
    json_array_foreach (rows, i, row) {
        const json_t *generation = json_object_get(row, "generation");
        g_autofree char *labels = label("edge", json_member_shown(row, "name"));
        if (is_kind(row, "edge") && json_is_integer(generation))
            add_whole(out, METRIC_EDGE_GENERATION, labels, (uint64_t)json_integer_value(generation));
    }
}

static void add_holds(GString *out, const json_t *rows)
{
    const json_t *row;
    size_t i;
    open_metric(out, METRIC_EDGE_HOLDS);
    json_array_foreach (rows, i, row) {
        g_autofree char *labels = label("edge", json_member_shown(row, "name"));
        if (is_kind(row, "edge") && json_is_integer(json_object_get(row, "age_ms")))
            add_whole(out, METRIC_EDGE_HOLDS, labels, json_is_string(json_object_get(row, "holds")));
    }
}

static void add_pins(GString *out, const struct turn *turn)
{
    open_metric(out, METRIC_EDGE_PINS);
    INVENTORY_FOREACH (engine_world(turn->engine)->inventory, edge, edge) {
        const struct edge_report *report = observed_edge(engine_observed(turn->engine), edge->o.name);
        if (report == NULL)
            continue;
        g_autofree char *name = label("edge", edge->o.name), *used = g_strconcat(name, ",outcome=\"used\"", NULL),
                        *passed_over = g_strconcat(name, ",outcome=\"passed_over\"", NULL);
        add_whole(out, METRIC_EDGE_PINS, used, report->pins_used);
        add_whole(out, METRIC_EDGE_PINS, passed_over, report->pins_passed_over);
    }
}

static void add_engine(GString *out, const struct turn *turn)
{
    struct stamp stamp = engine_world(turn->engine)->stamp;
    json_t *agents = engine_agents(turn->engine, turn->now.us), *executions = engine_executions(turn->engine);
    add_one(out, METRIC_GENERATION, stamp.generation);
    add_one(out, METRIC_EPOCH, stamp.epoch);
    add_one(out, METRIC_WRITABLE, turn->unwritable == NULL);
    add_by_state(out, METRIC_EXECUTIONS, executions, NULL);
    add_by_state(out, METRIC_EDGES, agents, "edge");
    add_ages(out, METRIC_EDGE_AGE, agents, "edge");
    add_generations(out, agents);
    add_holds(out, agents);
    add_pins(out, turn);
    add_by_state(out, METRIC_NAMESERVERS, agents, "nameserver");
    add_ages(out, METRIC_NAMESERVER_AGE, agents, "nameserver");
    json_decref(agents);
    json_decref(executions);
}

/* ---- journal and listeners ---- */

static void add_journal(GString *out, const struct histogram *times)
{
    const char *name = metrics[METRIC_JOURNAL].name;
    char bound[G_ASCII_DTOSTR_BUF_SIZE];
    uint64_t total = 0;
    open_metric(out, METRIC_JOURNAL);
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        total += atomic_load_explicit(&times->counts[i], memory_order_relaxed);
        g_ascii_formatd(bound, sizeof bound, "%g", (double)histogram_bounds_us[i] / 1e6);
        g_string_append_printf(out, "%s_bucket{le=\"%s\"} %" G_GUINT64_FORMAT "\n", name, bound, total);
    }
    total += atomic_load_explicit(&times->counts[HISTOGRAM_BUCKETS], memory_order_relaxed);
    g_ascii_formatd(bound, sizeof bound, "%.6f",
                    (double)atomic_load_explicit(&times->sum_us, memory_order_relaxed) / 1e6);
    g_string_append_printf(out,
                           "%s_bucket{le=\"+Inf\"} %" G_GUINT64_FORMAT "\n%s_sum %s\n%s_count %" G_GUINT64_FORMAT "\n",
                           name, total, name, bound, name, total);
}

/* One metric of all listeners; values: one for each. */
static void add_listeners(GString *out, enum metric metric, struct api *api, const uint64_t values[static LISTENERS])
{
    open_metric(out, metric);
    for (int l = 0; l < LISTENERS; l++) {
        g_autofree char *labels = label("listener", listener_config(api->listeners[l])->name);
        add_whole(out, metric, labels, values[l]);
    }
}

static void add_requests(GString *out, struct api *api, const struct listener_figures *figures)
{
    open_metric(out, METRIC_REQUESTS);
    for (int l = 0; l < LISTENERS; l++)
        for (unsigned i = 0; i < LISTENER_STATUSES; i++) {
            if (figures[l].answers[i] == 0)
                continue;
            g_autofree char *name = label("listener", listener_config(api->listeners[l])->name);
            g_autofree char *labels = g_strdup_printf("%s,status=\"%u\"", name, i + 100);
            add_whole(out, METRIC_REQUESTS, labels, figures[l].answers[i]);
        }
}

static void add_cut(GString *out, struct api *api, const struct listener_figures *figures)
{
    open_metric(out, METRIC_CUT);
    for (int l = 0; l < LISTENERS; l++) {
        g_autofree char *name = label("listener", listener_config(api->listeners[l])->name),
                        *late = g_strconcat(name, ",cause=\"late\"", NULL),
                        *evicted = g_strconcat(name, ",cause=\"evicted\"", NULL);
        add_whole(out, METRIC_CUT, late, figures[l].peers.late);
        add_whole(out, METRIC_CUT, evicted, figures[l].peers.evicted);
    }
}

static void add_certificates(GString *out, struct api *api)
{
    open_metric(out, METRIC_CERTIFICATES);
    for (unsigned i = 0; api->tls != NULL && i < TLS_REFUSED_KINDS; i++) {
        g_autofree char *labels = label("reason", tls_refusal_name((enum tls_refusal)i));
        add_whole(out, METRIC_CERTIFICATES, labels, tls_refused(api->tls, (enum tls_refusal)i));
    }
}

static void add_traffic(GString *out, struct api *api)
{
    g_autofree struct listener_figures *figures = g_new0(struct listener_figures, LISTENERS);
    for (int l = 0; l < LISTENERS; l++)
        listener_count(api->listeners[l], &figures[l]);
    add_requests(out, api, figures);
    uint64_t open[LISTENERS], strangers[LISTENERS], parked[LISTENERS], accepted[LISTENERS];
    for (int l = 0; l < LISTENERS; l++) {
        open[l] = figures[l].peers.open;
        strangers[l] = figures[l].peers.strangers;
        parked[l] = figures[l].parked;
        accepted[l] = figures[l].peers.accepted;
    }
    add_listeners(out, METRIC_CONNECTIONS, api, open);
    add_listeners(out, METRIC_STRANGERS, api, strangers);
    add_listeners(out, METRIC_PARKED, api, parked);
    add_listeners(out, METRIC_ACCEPTED, api, accepted);
    add_certificates(out, api);
    add_cut(out, api, figures);
}

/* ---- webhooks ---- */

static void add_webhook(GString *out, enum metric metric, const json_t *row, int64_t now_us)
{
    g_autofree char *name = label("webhook", json_member_shown(row, "name"));
    int64_t waiting_us = json_integer_value(json_object_get(row, "waiting_us"));
    if (metric == METRIC_WEBHOOK_DISABLED)
        add_whole(out, metric, name, json_is_true(json_object_get(row, "disabled")));
    if (metric == METRIC_WEBHOOK_BEHIND)
        add_whole(out, metric, name, (uint64_t)json_integer_value(json_object_get(row, "behind")));
    if (metric == METRIC_WEBHOOK_OLDEST)
        add_seconds(out, metric, name, waiting_us > 0 ? (double)MAX(0, now_us - waiting_us) / 1e6 : 0);
    static const char *const outcomes[] = {"delivered", "failed"};
    for (size_t i = 0; metric == METRIC_WEBHOOK_DELIVERIES && i < G_N_ELEMENTS(outcomes); i++) {
        g_autofree char *labels = g_strdup_printf("%s,outcome=\"%s\"", name, outcomes[i]);
        add_whole(out, metric, labels, (uint64_t)json_integer_value(json_object_get(row, outcomes[i])));
    }
}

static void add_webhooks(GString *out, struct api *api)
{
    static const enum metric of[] = {METRIC_WEBHOOK_DELIVERIES, METRIC_WEBHOOK_DISABLED, METRIC_WEBHOOK_BEHIND,
                                     METRIC_WEBHOOK_OLDEST};
    json_t *rows = executor_webhook_figures(api->executor), *row;
    size_t k;
    for (size_t i = 0; i < G_N_ELEMENTS(of); i++) {
        open_metric(out, of[i]);
        json_array_foreach (rows, k, row)
            add_webhook(out, of[i], row, g_get_real_time());
    }
    json_decref(rows);
}

char *metrics_text(struct api *api, const struct turn *turn)
{
    GString *out = g_string_new(NULL);
    add_engine(out, turn);
    add_journal(out, executor_append_times(api->executor));
    add_traffic(out, api);
    add_webhooks(out, api);
    return g_string_free(out, FALSE);
}
