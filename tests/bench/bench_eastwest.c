/* bench_eastwest: how long a switch inside the site takes until every instance that watches has it.
 *
 * A real signalboxd and a real etcd on loopback. The instances are watches of etcd (POST /v3/watch of its JSON gateway,
 * as eastwest/client does it), many on a connection, half of them callers in zone-1, half in zone-2; all call the same
 * service, so that every one of them is told of every switch. Those of a connection, a host's, share a watch for each
 * row; with --each they have one each, and etcd's gateway makes thousands of texts of one change. A round moves lever
 * service.eastwest of it, to and fro; the time of an instance is from `committed_us` of signalboxd's log (the journal's
 * commit has returned) until its event has come. Ends with 1 when the 95th percentile of all instances in all rounds is
 * above a second.
 */
#include "core/error.h"
#include "core/httpc.h"
#include "core/loop.h"
#include "schema/addr.h"
#include "tests/bench/figures.h"
#include "tests/bench/flags.h"
#include "tests/bench/loopback.h"

#include <curl/curl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WARM_UP 4                      /* even */
#define ROUND_US (30 * G_USEC_PER_SEC) /* one that takes longer is a failure */
#define LIMIT_MS 1000.0
#define SERVICE "home"
#define ETCD_PORT 2379

static struct flags flags = {.rounds = 100};
static struct {
    unsigned instances, connections;
    gboolean each;
} own = {.instances = 5000, .connections = 50};
static const GOptionEntry entries[] = {{"instances", 0, 0, G_OPTION_ARG_INT, &own.instances, "5000 when absent", "N"},
                                       {"connections", 0, 0, G_OPTION_ARG_INT, &own.connections, "50 when absent", "N"},
                                       {"each", 0, 0, G_OPTION_ARG_NONE, &own.each,
                                        "a watch for each instance; else those of a connection share one for each row",
                                        NULL},
                                       G_OPTION_ENTRY_NULL};

struct connection {
    struct bench *bench;
    unsigned callers[2]; /* its instances in zone-1 and zone-2 */
    CURL *easy;
    char *body;
    GString *input;
};
struct bench {
    struct loopback site;
    struct loopback_server server;
    json_t *objects;
    char *etcd; /* ADDR:PORT */
    CURLM *multi;
    struct curl_slist *headers;
    struct connection *connections;
    unsigned created; /* watches that etcd has confirmed */
    double *at_us;    /* of the events of this round, wall clock */
    unsigned n_at;
    bool ended; /* a connection has */
};

/* ---- the instances ---- */

/* Without --each the first watch of a connection is of zone-1's row, the second of zone-2's, for all callers of it. */
static void hear_line(struct connection *c, const char *line)
{
    struct bench *b = c->bench;
    unsigned heard = own.each ? 1 : c->callers[strstr(line, "\"watch_id\":\"1\"") != NULL];
    if (strstr(line, "\"created\":true") != NULL)
        b->created += heard;
    else if (strstr(line, "\"events\":") == NULL)
        b->ended = true;
    else
        for (double at_us = (double)wall_now_us(); heard > 0 && b->n_at < own.instances; heard--)
            b->at_us[b->n_at++] = at_us;
}

static size_t on_bytes(char *bytes, size_t size, size_t n, void *data)
{
    struct connection *c = data;
    char *end;
    g_string_append_len(c->input, bytes, (gssize)(size * n));
    while ((end = strchr(c->input->str, '\n')) != NULL) {
        *end = '\0';
        hear_line(c, c->input->str);
        g_string_erase(c->input, 0, end + 1 - c->input->str);
    }
    return size * n;
}

static void add_watch(GString *body, unsigned zone)
{
    g_autofree char *key = g_strdup_printf("/signalbox/v1/service/" SERVICE "/zone-%u", 1 + zone);
    g_autofree char *encoded = g_base64_encode((const guchar *)key, strlen(key));
    g_string_append_printf(body, "{\"create_request\":{\"key\":\"%s\"}}\n", encoded);
}

static void connect_one(struct bench *b, unsigned number)
{
    struct connection *c = &b->connections[number];
    g_autofree char *url = g_strdup_printf("http://%s/v3/watch", b->etcd);
    GString *body = g_string_new(NULL);
    *c = (struct connection){.bench = b, .easy = curl_easy_init(), .input = g_string_new(NULL)};
    for (unsigned i = number; i < own.instances; i += own.connections) {
        unsigned zone = i / own.connections % 2; /* both zones on each connection */
        c->callers[zone]++;
        if (own.each || c->callers[zone] == 1)
            add_watch(body, zone);
    }
    c->body = g_string_free(body, FALSE);
    curl_easy_setopt(c->easy, CURLOPT_URL, url);
    curl_easy_setopt(c->easy, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(c->easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c->easy, CURLOPT_POSTFIELDS, c->body);
    curl_easy_setopt(c->easy, CURLOPT_HTTPHEADER, b->headers);
    curl_easy_setopt(c->easy, CURLOPT_WRITEFUNCTION, on_bytes);
    curl_easy_setopt(c->easy, CURLOPT_WRITEDATA, c);
    curl_multi_add_handle(b->multi, c->easy);
}

/* Until *count is that of all instances. */
static bool hear(struct bench *b, const unsigned *count, const char *what, GError **error)
{
    int64_t until_us = loop_now_us() + ROUND_US;
    unsigned wanted = own.instances;
    int running = 1;
    while (*count < wanted && !b->ended && running > 0 && !flags_cancelled && loop_now_us() < until_us) {
        curl_multi_perform(b->multi, &running);
        if (*count < wanted)
            curl_multi_poll(b->multi, NULL, 0, 1000, NULL);
    }
    if (*count >= wanted)
        return true;
    g_set_error(error, SB_ERROR, SB_ERROR_TIMEOUT, "found %u of %u instances that %s %s", *count, wanted, what,
                b->ended || running == 0 ? "when a watch ended" : "in time");
    return false;
}

/* ---- one round ---- */

/* An even round moves all callers to zone-2, an odd one to zone-1: each time both rows change. */
static bool move_lever(struct bench *b, unsigned round, GError **error)
{
    json_t *body = json_pack("{s:s, s:s}", "value", round % 2 == 0 ? "*=zone-2:1" : "*=zone-1:1", "reason", "bench");
    json_t *answer = loopback_call(&b->site, "PUT", "/v1/controls/service.eastwest/" SERVICE, body, error);
    json_decref(body);
    json_decref(answer);
    return answer != NULL;
}

static bool at_rest(void *data)
{
    json_t *status = loopback_call(&((struct bench *)data)->site, "GET", "/v1/status", NULL, NULL);
    const json_t *registry = json_array_get(json_object_get(status, "registries"), 0);
    bool rest = json_integer_value(json_object_get(registry, "generation")) ==
                    json_integer_value(json_object_get(status, "generation")) &&
                g_strcmp0(json_string_value(json_object_get(registry, "state")), "converged") == 0;
    json_decref(status);
    return rest;
}

/* took_us: of each instance. */
static bool switch_once(struct bench *b, unsigned round, double *took_us, GError **error)
{
    int64_t commit_us;
    b->at_us = took_us;
    b->n_at = 0;
    if (!move_lever(b, round, error) || !hear(b, &b->n_at, "have the switch", error) ||
        (commit_us = loopback_committed_us(&b->site, error)) == 0)
        return false;
    for (unsigned i = 0; i < b->n_at; i++)
        took_us[i] -= (double)commit_us;
    return loopback_wait(&b->site, "the registry has converged", at_rest, b, error);
}

/* ---- set-up ---- */

static bool etcd_answers(void *data)
{
    g_autofree char *url = g_strdup_printf("http://%s", ((struct bench *)data)->etcd);
    const struct httpc_target target = {.base_url = url};
    struct httpc_reply reply = {0};
    bool ok = httpc_call(&target, "GET", "/health", NULL, NULL, 1000, &reply, NULL) && reply.status == 200;
    httpc_reply_clear(&reply);
    return ok;
}

/* Beside the server, at the next address. */
static bool etcd_start(struct bench *b, GError **error)
{
    g_autofree char *data = g_build_filename(b->site.folder, "etcd", NULL),
                    *url = g_strdup_printf("http://%s", b->etcd);
    g_autofree char *peer = g_strdup_printf("%.*s:%d", (int)(strrchr(url, ':') - url), url, ETCD_PORT + 1);
    g_autofree char *cluster = g_strconcat("default=", peer, NULL);
    const char *argv[] = {"etcd",  "--data-dir",
                          data,    "--listen-client-urls",
                          url,     "--advertise-client-urls",
                          url,     "--listen-peer-urls",
                          peer,    "--initial-advertise-peer-urls",
                          peer,    "--initial-cluster",
                          cluster, "--logger",
                          "zap",   "--log-level",
                          "warn",  NULL};
    return loopback_start(&b->site, "etcd", argv, error) &&
           loopback_wait(&b->site, "etcd answers", etcd_answers, b, error);
}

static bool bench_init(struct bench *b, GError **error)
{
    g_autofree double *ignored = g_new(double, own.instances);
    b->etcd = g_strdup_printf("127.%d.%d.250:%d", 16 + (getpid() >> 8) % 200, getpid() & 0xff, ETCD_PORT);
    b->objects = json_pack("[{s:s, s:s, s:s}]", "kind", "registry", "name", "disco", "address", b->etcd);
    b->server.objects = b->objects;
    if (!loopback_up_server(&b->site, flags.site, flags.folder, &b->server, error) || !etcd_start(b, error) ||
        !move_lever(b, 1, error) || !loopback_wait(&b->site, "the registry has converged", at_rest, b, error))
        return false;
    b->multi = curl_multi_init();
    b->headers = curl_slist_append(NULL, "Expect:");
    /* Without this etcd's HTTP server may throw away the rest of a body, watches, when it begins to answer. */
    b->headers = curl_slist_append(b->headers, "Connection: close");
    b->connections = g_new0(struct connection, own.connections);
    for (unsigned i = 0; i < own.connections; i++)
        connect_one(b, i);
    if (!hear(b, &b->created, "watch", error))
        return false;
    for (unsigned i = 0; i < WARM_UP; i++)
        if (!switch_once(b, i, ignored, error))
            return false;
    return true;
}

static void bench_clear(struct bench *b)
{
    for (unsigned i = 0; b->connections != NULL && i < own.connections; i++) {
        struct connection *c = &b->connections[i];
        curl_multi_remove_handle(b->multi, c->easy);
        curl_easy_cleanup(c->easy);
        g_string_free(c->input, TRUE);
        g_free(c->body);
    }
    curl_multi_cleanup(b->multi);
    curl_slist_free_all(b->headers);
    loopback_down(&b->site);
    json_decref(b->objects);
    g_free(b->connections);
    g_free(b->etcd);
}

/* ---- report ---- */

static void report(const struct figures *all, const struct figures *last)
{
    double load[3] = {0};
    (void)getloadavg(load, 3);
    if (flags.json) {
        json_t *json = json_pack("{s:b, s:o, s:o, s:f, s:i, s:i, s:i, s:f}", "each", own.each, "instances_have_it",
                                 figures_json(all), "last_has_it", figures_json(last), "limit_p95_ms", LIMIT_MS,
                                 "instances", (int)own.instances, "connections", (int)own.connections, "rounds",
                                 (int)flags.rounds, "load", load[0]);
        json_dumpf(json, stdout, JSON_COMPACT | JSON_REAL_PRECISION(5));
        printf("\n");
        json_decref(json);
        return;
    }
    printf("%u switches of service.eastwest, %u instances on %u connections to etcd, %s; load %.1f\n", flags.rounds,
           own.instances, own.connections, own.each ? "a watch each" : "watches shared", load[0]);
    figures_print("an instance has it  ", all);
    printf("  (limit of p95 %.0f ms)", LIMIT_MS);
    figures_print("\n  the last one has it ", last);
    printf("\n");
}

static bool measure(struct bench *b, double *p95_ms, GError **error)
{
    unsigned n = own.instances, rounds = flags.rounds;
    g_autofree double *all_us = g_new(double, (gsize)n *rounds), *last_us = g_new(double, rounds);
    if (!bench_init(b, error))
        return false;
    for (unsigned i = 0; i < rounds; i++) {
        double *round_us = &all_us[(gsize)i * n];
        if (!switch_once(b, i + WARM_UP, round_us, error))
            return false;
        last_us[i] = figures_percentile(round_us, n, 100);
    }
    struct figures all = figures_of(all_us, (size_t)n * rounds), last = figures_of(last_us, rounds);
    *p95_ms = all.p95;
    report(&all, &last);
    return true;
}

int main(int argc, char **argv)
{
    static const char summary[] =
        "Time from the journal's commit of a switch inside the site until instances that watch a real etcd have it.\n"
        "Ends with 1 when that is above a second for one in twenty.";
    g_autoptr(GError) error = NULL;
    flags_parse(&flags, argc, argv, summary, entries);
    own.connections = MIN(own.connections, own.instances);
    struct bench bench = {0};
    double p95_ms = 0;
    bool ok = measure(&bench, &p95_ms, &error);
    bench_clear(&bench);
    return flags_end(ok, error) == 0 && p95_ms <= LIMIT_MS ? 0 : 1;
}
