#include "gateway/gateway.h"

#include "core/error.h"
#include "core/log.h"
#include "gateway/announcer.h"
#include "gateway/checks.h"
#include "gateway/dpclient.h"
#include "gateway/gwtable.h"

#include <stdio.h>
#include <string.h>

#define ASK_US 2000000        /* a forwarder that takes longer to answer does not */
#define AGAIN_US 200000       /* one that did not is asked again */
#define SHOW_TRIES_US 2000000 /* within which what it took must be in force */

struct gateway {
    struct shell *shell;
    struct dpclient *client;
    struct checks *checks, *probes;
    struct gwtable *probed; /* of probes; NULL: none */
    int64_t probe_us;
    struct announcer *announcer;
    struct loop_timer *again;
    struct gwtable *table; /* in force, or given to the forwarder last; NULL: none yet */
    struct gwtable *next;  /* to be in force: apply waits for it; or NULL */
    uint64_t numbered;     /* number of the last message */
    uint64_t in_force;     /* number of the one that the forwarder has shown to be; 0: none of this process of it */
    uint32_t *weights;     /* of that message */
    unsigned n_weights;
    bool asking, sampling;  /* a question is under way; it is that of a sample */
    bool dirty, wants_show; /* weights may be others; the last message is not known to be in force yet */
    int64_t shown_until_us; /* the last message must be in force by then */
    char *shown;            /* what it has shown last; NULL: nothing */
    uint32_t stranded;      /* then: a bit for each group none of whose lines is up */
};

static void go_on(struct gateway *g);

/* ---- what its addresses are to know ---- */

/* Adds a service's backends, and those of them that no line leads to. */
static void count_stranded(const struct gateway *g, unsigned service, unsigned *behind, unsigned *stranded)
{
    unsigned n;
    const struct gwtable_backend *backends = gwtable_backends(g->table, &n);
    for (unsigned i = 0; i < n; i++) {
        const struct gwtable_backend *b = &backends[i];
        *behind += b->service == service;
        *stranded += b->service == service && b->group >= 0 && (g->stranded >> b->group & 1) != 0;
    }
}

static bool see(void *data, const char *name, struct vip_sight *sight)
{
    const struct gateway *g = data;
    unsigned n = 0, asked = 0, lost = 0, behind = 0, stranded = 0;
    bool known = false;
    const struct gwtable_service *services = g->table != NULL ? gwtable_services(g->table, &n) : NULL;
    *sight = (struct vip_sight){.forwarder = dpclient_there(g->client), .table = g->in_force > 0};
    for (unsigned i = 0; i < n; i++) {
        if (g_strcmp0(services[i].vip, name) != 0)
            continue;
        known = true;
        sight->backends += checks_up(g->checks, i);
        asked += services[i].checked;
        lost += checks_lost(g->probes, i);
        count_stranded(g, i, &behind, &stranded);
    }
    sight->stranded = behind > 0 && stranded == behind;
    sight->silent = asked > 0 && lost == asked;
    sight->drained = known && gwtable_is_out(g->table);
    return known;
}

static void on_note(void *data, const char *text)
{
    shell_note(((struct gateway *)data)->shell, text);
}

static void addresses_add(struct gateway *g)
{
    unsigned n;
    const struct gwtable_service *services = gwtable_services(g->table, &n);
    for (unsigned i = 0; i < n; i++)
        if (services[i].vip != NULL)
            announcer_add(g->announcer, services[i].vip);
    announcer_look(g->announcer);
}

static void probes_set(struct gateway *g)
{
    struct gwtable *before = g->probed;
    g->probed = g->probe_us > 0 ? gwtable_of_probes(g->table, g->probe_us) : NULL;
    checks_set(g->probes, g->probed);
    gwtable_free(before);
}

/* ---- tables ---- */

static const struct gwtable *wanted(const struct gateway *g)
{
    return g->next != NULL ? g->next : g->table;
}

static void apply_failed(struct gateway *g, const char *why)
{
    if (g->next == NULL)
        return;
    checks_set(g->checks, g->table);
    g_clear_pointer(&g->next, gwtable_free);
    shell_apply_failed(g->shell, why);
}

static void ask_again(struct gateway *g)
{
    loop_timer_arm(g->again, loop_now_us() + AGAIN_US);
}

/* The forwarder shows which table is in force: "table in-force generation N". */
static uint64_t shown_number(const char *shown)
{
    static const char begin[] = "table in-force generation ";
    return g_str_has_prefix(shown, begin) ? g_ascii_strtoull(shown + strlen(begin), NULL, 10) : 0;
}

/* "group N carrying MASK stranded 0|1 ..." */
static void note_stranded(struct gateway *g)
{
    uint32_t before = g->stranded;
    g_auto(GStrv) lines = g_strsplit(g->shown, "\n", -1);
    g->stranded = 0;
    for (char **line = lines; *line != NULL; line++) {
        unsigned group, stranded;
        if (sscanf(*line, "group %u carrying %*s stranded %u", &group, &stranded) == 2 && group < 32 && stranded != 0)
            g->stranded |= UINT32_C(1) << group;
    }
    if (g->stranded != before)
        announcer_look(g->announcer);
}

static void take_force(struct gateway *g)
{
    bool applied = g->next != NULL;
    g->in_force = g->numbered;
    g->wants_show = false;
    if (applied) {
        gwtable_free(g->table);
        g->table = g_steal_pointer(&g->next);
        probes_set(g);
        addresses_add(g);
        shell_applied(g->shell);
    }
    announcer_look(g->announcer);
}

static void on_shown(void *data, const char *answer, const GError *error)
{
    struct gateway *g = data;
    bool sampling = g->sampling;
    g->asking = false;
    g->sampling = false;
    if (answer != NULL) {
        g_free(g->shown);
        g->shown = g_strdup(answer);
        note_stranded(g);
    }
    if (g->wants_show && answer != NULL && shown_number(answer) == g->numbered)
        take_force(g);
    else if (g->wants_show && loop_now_us() >= g->shown_until_us) {
        g->wants_show = false;
        apply_failed(g, error != NULL ? error->message : "the forwarder took the table, but does not show it");
    } else if (g->wants_show)
        ask_again(g);
    if (sampling)
        shell_sampled(g->shell);
    go_on(g);
}

static void on_told(void *data, const char *answer, const GError *error)
{
    struct gateway *g = data;
    g->asking = false;
    if (answer != NULL) {
        g->wants_show = true;
        g->shown_until_us = loop_now_us() + SHOW_TRIES_US;
    } else {
        log_warning("the forwarder has not taken a table", "why=\"%s\"", error->message);
        apply_failed(g, error->message);
        g->dirty = g->table != NULL && !g_error_matches(error, SB_ERROR, SB_ERROR_INVALID); /* who knows what it has */
        if (g->dirty)
            ask_again(g);
        return;
    }
    go_on(g);
}

/* The table as it is wanted now. True: a question is under way. */
static bool tell(struct gateway *g)
{
    unsigned n;
    const struct gwtable *table = wanted(g);
    g->dirty = false;
    gwtable_backends(table, &n);
    g_autofree uint32_t *weights = g_new0(uint32_t, n + 1);
    checks_weights(g->checks, weights);
    bool same = g->next == NULL && g->in_force == g->numbered && n == g->n_weights &&
                memcmp(weights, g->weights, n * sizeof *weights) == 0;
    if (same)
        return false;
    g_autoptr(GByteArray) message = gwtable_message(table, ++g->numbered, weights);
    g_free(g->weights);
    g->weights = g_steal_pointer(&weights);
    g->n_weights = n;
    return g->asking = dpclient_ask(g->client, message->data, message->len, ASK_US, on_told, g);
}

/* One question at a time: tables first. */
static void go_on(struct gateway *g)
{
    if (g->asking || !dpclient_there(g->client))
        return;
    if (g->dirty && !g->wants_show && tell(g))
        return;
    if (g->wants_show)
        g->asking = dpclient_ask(g->client, "show\n", 5, ASK_US, on_shown, g);
}

static void on_again(void *data)
{
    go_on(data);
}

/* ---- what happens ---- */

static void on_life(void *data, bool there)
{
    struct gateway *g = data;
    g->in_force = 0;
    g->wants_show = false;
    if (!there) {
        g_clear_pointer(&g->shown, g_free);
        g->stranded = 0;
        announcer_look(g->announcer); /* before anything else: who is sent here finds nothing */
        apply_failed(g, "the forwarder is gone");
    }
    shell_restarted(g->shell, there ? "the forwarder is there" : "the forwarder is gone");
}

static void on_check(void *data, const char *why)
{
    struct gateway *g = data;
    if (why != NULL) {
        shell_note(g->shell, why);
        announcer_look(g->announcer);
    }
    g->dirty = wanted(g) != NULL;
    go_on(g);
}

static void on_probe(void *data, const char *why)
{
    struct gateway *g = data;
    if (why == NULL)
        return;
    shell_note(g->shell, why);
    announcer_look(g->announcer);
}

static void gateway_apply(void *data, const struct manifest *manifest, GBytes *const parts[static PARTS])
{
    struct gateway *g = data;
    g_autoptr(GError) error = NULL;
    gsize size;
    const char *text = g_bytes_get_data(parts[PART_LAYOUT], &size);
    (void)manifest;
    struct gwtable *next = gwtable_parse(text != NULL ? text : "", size, &error);
    if (next == NULL) {
        shell_apply_failed(g->shell, error->message);
        return;
    }
    if (!dpclient_there(g->client)) {
        gwtable_free(next);
        shell_apply_failed(g->shell, "the forwarder is not there");
        return;
    }
    g->next = next;
    checks_set(g->checks, next);
    g->wants_show = false;
    g->dirty = true;
    go_on(g);
}

/* Tables go first: while one is under way, what was shown before it is good enough. */
static void gateway_sample(void *data)
{
    struct gateway *g = data;
    g->sampling = !g->asking && dpclient_there(g->client) && dpclient_ask(g->client, "show\n", 5, ASK_US, on_shown, g);
    g->asking = g->asking || g->sampling;
    if (!g->sampling)
        shell_sampled(g->shell);
}

static void gateway_report(void *data, json_t *report)
{
    const struct gateway *g = data;
    json_t *shown = json_array();
    g_auto(GStrv) lines = g_strsplit(g->shown != NULL ? g->shown : "", "\n", -1);
    for (unsigned i = 0; lines[i] != NULL && lines[i][0] != '\0' && i < GATEWAY_SHOWN; i++)
        json_array_append_new(shown, json_string(lines[i]));
    json_object_set_new(report, "gateway",
                        json_pack("{s:b,s:I,s:o,s:o,s:o,s:o}", "forwarder", dpclient_there(g->client), "table",
                                  (json_int_t)g->in_force, "vips", announcer_to_json(g->announcer), "backends",
                                  g->table != NULL ? checks_to_json(g->checks, true) : json_array(), "probes",
                                  checks_to_json(g->probes, false), "shown", shown));
}

/* ---- life ---- */

struct gateway *gateway_new(struct loop *loop, const struct gateway_settings *settings)
{
    struct gateway *g = g_new0(struct gateway, 1);
    struct announcer_callbacks callbacks = {g, see, on_note};
    g->numbered = (uint64_t)loop_now_us(); /* so that none is that of an agent before */
    g->client = dpclient_new(loop, settings->forwarder_socket, on_life, g);
    g->checks = checks_new(loop, on_check, g);
    g->probes = checks_new(loop, on_probe, g);
    g->probe_us = settings->probe_us;
    g->announcer = announcer_new(loop, settings->bird_socket, &settings->limits, &callbacks);
    g->again = loop_timer_new(loop, on_again, g);
    return g;
}

void gateway_free(struct gateway *g)
{
    if (g == NULL)
        return;
    dpclient_free(g->client);
    announcer_free(g->announcer);
    checks_free(g->checks);
    checks_free(g->probes);
    gwtable_free(g->probed);
    loop_timer_free(g->again);
    gwtable_free(g->table);
    gwtable_free(g->next);
    g_free(g->weights);
    g_free(g->shown);
    g_free(g);
}

struct actuator gateway_actuator(struct gateway *g)
{
    return (struct actuator){g, gateway_apply, gateway_sample, gateway_report};
}

void gateway_set_shell(struct gateway *g, struct shell *shell)
{
    g->shell = shell;
}
