#include "dcdn/edge.h"

#include "agent/breakglass.h"
#include "core/log.h"
#include "dcdn/counters.h"
#include "agent/dialogue.h"
#include "dcdn/files.h"
#include "dcdn/haproxy.h"
#include "dcdn/holder.h"
#include "dcdn/probe.h"

#include <string.h>

#define SAMPLE "show info; show table st_answered; show table st_unanswered; show stat be_health 4 -1"
/* A row for each client that sent a pin within a day, strangers' trials too: not each second. */
#define SAMPLE_PINS SAMPLE "; show table st_pins\n"
#define PINS_EVERY 10 /* samples */
#define RESTARTS_MAX 50

struct edge {
    struct loop *loop;
    struct shell *shell;
    char *haproxy_socket;
    struct haproxy *haproxy;
    struct counters *counters;
    struct prober *prober;
    json_t *origins, *pins;   /* as last sampled */
    unsigned samples;         /* that were asked for */
    struct stamp counted;     /* table that the counters are since */
    struct exchange *sample;  /* once a second */
    struct exchange *restart; /* the reading that counters of a new table start from */
    unsigned restarts;        /* of them that a process answered that goes */
};

/* ---- sampling ---- */

/* The part of a reply that ends in an empty line; moves *at behind it; g_free. */
static char *paragraph(const char **at)
{
    const char *end = strstr(*at, "\n\n");
    size_t len = end != NULL ? (size_t)(end - *at) + 1 : strlen(*at);
    char *text = g_strndup(*at, len);
    *at += end != NULL ? len + 1 : len;
    return text;
}

/* False: it is of another process than the one whose state was read last. Around a reload the one that goes may answer
 * last; what it says is not of this table. */
static bool take_sample(struct edge *edge, const char *reply)
{
    g_autofree char *info = paragraph(&reply);
    g_autofree char *answered = paragraph(&reply);
    g_autofree char *unanswered = paragraph(&reply);
    g_autofree char *origins = paragraph(&reply);
    const char *pid = strstr(info, "\nPid: ");
    int64_t of = pid != NULL ? g_ascii_strtoll(pid + strlen("\nPid: "), NULL, 10) : 0;
    int64_t known = haproxy_pid(edge->haproxy);
    if (known != 0 && of != known)
        return false;
    if (!g_str_has_prefix(answered, "# table") || !g_str_has_prefix(unanswered, "# table"))
        return true; /* not our configuration; an apply says so */
    counters_read(edge->counters, of, answered, unanswered, loop_now_us());
    json_decref(edge->origins);
    edge->origins = origins_from_stat(origins);
    if (!g_str_has_prefix(reply, "# table"))
        return true;
    json_decref(edge->pins);
    edge->pins = pins_from_table(reply);
    return true;
}

static void on_sample(void *data, const char *reply, const GError *error)
{
    struct edge *edge = data;
    (void)error; /* the watch of haproxy.h says so */
    edge->sample = NULL;
    if (reply != NULL)
        take_sample(edge, reply);
    prober_run(edge->prober, edge->counters);
    shell_sampled(edge->shell);
}

static void edge_sample(void *data)
{
    struct edge *edge = data;
    const char *commands = edge->samples++ % PINS_EVERY == 0 ? SAMPLE_PINS : SAMPLE "\n";
    edge->sample = exchange_start_unix(edge->loop, edge->haproxy_socket, commands, HAPROXY_TIMEOUT_US, on_sample, edge);
}

/* ---- applying ---- */

static void restart_counters(struct edge *edge);

static void on_restart_sample(void *data, const char *reply, const GError *error)
{
    struct edge *edge = data;
    const struct edge_state *state = haproxy_state(edge->haproxy);
    edge->restart = NULL;
    if (error != NULL) {
        shell_apply_failed(edge->shell, error->message);
        return;
    }
    if (!take_sample(edge, reply)) {
        if (++edge->restarts < RESTARTS_MAX)
            restart_counters(edge);
        else
            shell_apply_failed(edge->shell, "HAProxy answers as another process than the one that was read back");
        return;
    }
    counters_restart(edge->counters);
    edge->counted = state->stamp;
    prober_set(edge->prober, state);
    prober_run(edge->prober, edge->counters);
    shell_applied(edge->shell);
}

static void restart_counters(struct edge *edge)
{
    edge->restart =
        exchange_start_unix(edge->loop, edge->haproxy_socket, SAMPLE "\n", HAPROXY_TIMEOUT_US, on_restart_sample, edge);
}

/* A report must never show requests of an older table under the stamp of a newer one. */
static void on_applied(void *data)
{
    struct edge *edge = data;
    edge->restarts = 0;
    if (stamp_compare(edge->counted, haproxy_state(edge->haproxy)->stamp) == 0)
        shell_applied(edge->shell);
    else
        restart_counters(edge);
}

static void on_failed(void *data, const char *why)
{
    struct edge *edge = data;
    shell_apply_failed(edge->shell, why);
}

static void on_restarted(void *data, const char *what)
{
    struct edge *edge = data;
    shell_restarted(edge->shell, what);
}

static void on_noted(void *data, const char *text)
{
    struct edge *edge = data;
    shell_note(edge->shell, text);
}

static void edge_apply(void *data, const struct manifest *manifest, GBytes *const parts[static PARTS])
{
    struct edge *edge = data;
    g_autoptr(GError) error = NULL;
    struct edge_state *state = edge_state_new(manifest, parts, &error);
    if (state == NULL)
        shell_apply_failed(edge->shell, error->message);
    else
        haproxy_apply(edge->haproxy, state);
}

/* ---- reporting ---- */

/* The same entrances are up, in the same order. */
static bool same_health(const json_t *before, const json_t *now)
{
    bool same = json_array_size(before) == json_array_size(now);
    for (size_t i = 0; same && i < json_array_size(now); i++)
        for (const char *const *member = (const char *const[]){"room", "via", "up", NULL}; *member != NULL; member++)
            same = same && json_equal(json_object_get(json_array_get(before, i), *member),
                                      json_object_get(json_array_get(now, i), *member));
    return same;
}

/* An entrance that is down, or back, is what people wait to be told. The rest is as it was last sampled: a window of
 * its own would be too short for a rate. */
static void on_checked(void *data, const char *stat)
{
    struct edge *edge = data;
    json_t *origins = origins_from_stat(stat);
    bool same = same_health(edge->origins, origins);
    json_decref(edge->origins);
    edge->origins = origins;
    if (!same)
        shell_changed(edge->shell);
}

static void edge_report(void *data, json_t *report)
{
    const struct edge *edge = data;
    int64_t window_us = counters_window_us(edge->counters);
    if (window_us > 0)
        json_object_set_new(report, "window_us", json_integer(window_us));
    json_object_set_new(report, "haproxy",
                        json_pack("{s:I,s:I}", "pid", (json_int_t)haproxy_pid(edge->haproxy), "uptime_s",
                                  (json_int_t)haproxy_uptime_s(edge->haproxy)));
    json_object_set_new(report, "counters", counters_to_json(edge->counters));
    json_object_set_new(report, "sizes", counters_sizes_to_json(edge->counters));
    json_object_set(report, "origins", edge->origins);
    json_object_set(report, "pins", edge->pins);
    json_object_set_new(report, "holds", haproxy_holds(edge->haproxy));
    json_object_set_new(report, "probes", prober_to_json(edge->prober));
}

/* ---- life ---- */

struct edge *edge_new(struct loop *loop, const struct edge_settings *settings)
{
    struct edge *edge = g_new0(struct edge, 1);
    struct haproxy_callbacks callbacks = {edge, on_applied, on_failed, on_restarted, on_noted, on_checked};
    struct endpoint listen = {0};
    endpoint_parse(settings->listen, &listen); /* edge_settings_check has seen it */
    edge_files_sweep(settings);
    edge->loop = loop;
    edge->haproxy_socket = g_strdup(settings->haproxy_socket);
    edge->haproxy = haproxy_new(loop, settings, &callbacks);
    edge->counters = counters_new();
    edge->prober = prober_new(loop, &listen);
    edge->origins = json_array();
    edge->pins = pins_from_table("");
    return edge;
}

void edge_free(struct edge *edge)
{
    if (edge == NULL)
        return;
    exchange_cancel(edge->sample);
    exchange_cancel(edge->restart);
    haproxy_free(edge->haproxy);
    prober_free(edge->prober);
    counters_free(edge->counters);
    json_decref(edge->origins);
    json_decref(edge->pins);
    g_free(edge->haproxy_socket);
    g_free(edge);
}

struct actuator edge_actuator(struct edge *edge)
{
    return (struct actuator){edge, edge_apply, edge_sample, edge_report};
}

void edge_set_shell(struct edge *edge, struct shell *shell)
{
    edge->shell = shell;
}

/* Of the table that was kept, with what was done by hand. */
static struct edge_state *state_by_hand(const struct edge_settings *settings, const struct kept *kept, GPtrArray *notes,
                                        GError **error)
{
    sb_auto(breakglass) glass = breakglass_new(settings->state_dir, true, loop_now_us(), wall_now_us(), notes);
    GBytes *parts[PARTS];
    breakglass_overlay(glass, kept->parts, parts);
    struct edge_state *state = edge_state_new(&kept->manifest, parts, error);
    for (unsigned i = 0; i < PARTS; i++)
        g_bytes_unref(parts[i]);
    return state;
}

bool edge_render_files(const struct edge_settings *settings, GError **error)
{
    sb_auto(keep) keep = keep_new(settings->state_dir, error);
    if (keep == NULL)
        return false;
    g_autoptr(GPtrArray) notes = g_ptr_array_new_with_free_func(g_free);
    struct kept kept;
    keep_load(keep, settings->cluster, settings->name, &kept, notes);
    g_autoptr(GError) bad = NULL;
    struct edge_state *state = NULL;
    if (kept.manifest.stamp.epoch != 0 && (state = state_by_hand(settings, &kept, notes, &bad)) == NULL)
        g_ptr_array_add(notes, g_strdup(bad->message));
    for (guint i = 0; i < notes->len; i++)
        log_warning("part of the saved state is not used", "why=\"%s\"", (char *)notes->pdata[i]);
    if (state == NULL)
        state = edge_state_empty();
    sb_auto(holder) holder = holder_new(settings, loop_now_us(), wall_now_us());
    holder_adopt(holder, state);
    struct edge_files files = {0};
    bool ok = edge_files_write(&files, state, settings, error);
    edge_files_sync(&files, settings);
    if (ok)
        log_info("files for HAProxy are written", "folder=%s epoch=%" G_GUINT64_FORMAT " generation=%" G_GUINT64_FORMAT,
                 settings->state_dir, state->stamp.epoch, state->stamp.generation);
    edge_files_clear(&files);
    edge_state_free(state);
    kept_clear(&kept);
    return ok;
}
