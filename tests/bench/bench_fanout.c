/* bench_fanout: how long a switch takes from its commit until the last of many agents has all that is new.
 *
 * A real signalboxd, and agents as far as the wire goes (crew.h), each with its connection, name and token, all on
 * loopback. A round closes or opens the first room's entrances; its time is from `committed_us` of signalboxd's log
 * (the journal's commit has returned) until the last agent has its table and every part of it that is new. The
 * yardstick is bare libmicrohttpd in a process of its own (bare.h) that lets the same bytes go to as many agents of the
 * same kind, one beside each round. Both begin when all agents wait. Agents do not report here: real ones do, once a
 * second.
 */
#include "core/error.h"
#include "core/fileio.h"
#include "core/httpc.h"
#include "core/loop.h"
#include "tests/bench/bare.h"
#include "tests/bench/crew.h"
#include "tests/bench/figures.h"
#include "tests/bench/flags.h"
#include "tests/bench/loopback.h"
#include "tests/unit/authority.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define WARM_UP 6
#define ROUND_MS 60000 /* one that takes longer is a failure */
#define LIMIT 4.0      /* times the yardstick, of LIMIT_AGENTS without TLS */
#define LIMIT_AGENTS 1000
#define PEM_MAX 65536
#define OTHER_FILES 256 /* descriptors of this process that are no connection of an agent */

static struct flags flags = {.rounds = 100};
static struct {
    unsigned agents;
    gboolean tls;
} own = {.agents = LIMIT_AGENTS};
static const GOptionEntry entries[] = {{"agents", 0, 0, G_OPTION_ARG_INT, &own.agents, "1000 when absent", "N"},
                                       {"tls", 0, 0, G_OPTION_ARG_NONE, &own.tls, "agents speak TLS, to both", NULL},
                                       G_OPTION_ENTRY_NULL};

struct bench {
    struct loopback site;
    struct loopback_server server;
    char *cert_path, *key_path, *cert, *key; /* files, and what is in them */
    char **tokens;
    struct crew *crew, *bare_crew;
    struct bare *bare;
    char *tables[2];
    bool closed;
    GError *failure; /* of an agent, while all are waited for */
};

/* ---- one round ---- */

static unsigned parked(const struct bench *b)
{
    static const char name[] = "signalbox_http_parked{listener=\"agents\"} ";
    struct httpc_target target = {.base_url = "http://localhost", .unix_socket = b->site.socket};
    struct httpc_reply reply = {0};
    const char *line = NULL;
    if (httpc_call(&target, "GET", "/metrics", NULL, NULL, 5000, &reply, NULL))
        line = strstr(reply.body, name);
    unsigned n = line != NULL ? (unsigned)strtoul(line + strlen(name), NULL, 10) : 0;
    httpc_reply_clear(&reply);
    return n;
}

/* Those who have waited long meanwhile are told that there is nothing, and must ask again. */
static bool all_wait(void *data)
{
    struct bench *b = data;
    return !crew_hear(b->crew, &b->failure) || parked(b) == own.agents;
}

static bool all_wait_bare(void *data)
{
    return bare_parked(((struct bench *)data)->bare) == own.agents;
}

static bool move_lever(struct bench *b, GError **error)
{
    const char *room = ((const struct object *)inventory_list(b->site.site, OBJECT_room)->pdata[0])->name;
    g_autofree char *path = g_strdup_printf("/v1/controls/room.ingress/%s", room);
    json_t *body = json_pack("{s:s, s:s, s:[s]}", "value", b->closed ? "default" : "closed", "reason", "bench",
                             "overrides", "share-moved");
    json_t *answer = loopback_call(&b->site, "PUT", path, body, error);
    b->closed = !b->closed;
    json_decref(body);
    json_decref(answer);
    return answer != NULL;
}

static bool switch_once(struct bench *b, double *took_us, GError **error)
{
    int64_t last_us, commit_us;
    if (!crew_ask(b->crew, error))
        return false;
    if (!loopback_wait(&b->site, "all agents wait", all_wait, b, error)) {
        g_prefix_error(error, "%u of %u agents wait at signalboxd: ", parked(b), own.agents);
        return false;
    }
    if (b->failure != NULL) {
        g_propagate_error(error, g_steal_pointer(&b->failure));
        return false;
    }
    if (!move_lever(b, error) || !crew_wait(b->crew, ROUND_MS, &last_us, error) ||
        (commit_us = loopback_committed_us(&b->site, error)) == 0)
        return false;
    *took_us = (double)(last_us - commit_us);
    return true;
}

static bool bare_once(struct bench *b, double *took_us, GError **error)
{
    int64_t last_us;
    if (!crew_ask(b->bare_crew, error) ||
        !loopback_wait(&b->site, "all agents wait at the bare server", all_wait_bare, b, error))
        return false;
    bare_go(b->bare);
    if (!crew_wait(b->bare_crew, ROUND_MS, &last_us, error))
        return false;
    *took_us = (double)(last_us - bare_gone_us(b->bare));
    return true;
}

/* ---- set-up ---- */

static bool make_certificate(struct bench *b, GError **error)
{
    if (!own.tls)
        return true;
    g_autofree char *folder = g_dir_make_tmp("signalbox-fanout-XXXXXX", error);
    if (folder == NULL)
        return false;
    g_autofree char *authority_path = g_build_filename(folder, "ca.pem", NULL);
    b->cert_path = g_build_filename(folder, "cert.pem", NULL);
    b->key_path = g_build_filename(folder, "key.pem", NULL);
    struct authority *authority = authority_new(authority_path);
    authority_issue(authority, "bench", 24, b->cert_path, b->key_path);
    authority_free(authority);
    b->cert = file_read(b->cert_path, PEM_MAX, NULL, error);
    b->key = b->cert != NULL ? file_read(b->key_path, PEM_MAX, NULL, error) : NULL;
    b->server.cert = b->cert_path;
    b->server.key = b->key_path;
    return b->key != NULL;
}

static bool make_tokens(struct bench *b, GError **error)
{
    b->tokens = g_new0(char *, own.agents + 1);
    for (unsigned i = 0; i < own.agents; i++) {
        g_autofree char *name = g_strdup_printf("agent-%u", i + 1);
        if (flags_cancelled || (b->tokens[i] = loopback_token(&b->site, name, error)) == NULL)
            return false;
    }
    return true;
}

/* The two tables that alternate, and all parts of both, are what the bare server has. */
static bool warm_up(struct bench *b, GError **error)
{
    int64_t ignored_us;
    double took_us;
    if ((b->crew = crew_new(b->site.agents, own.tls, b->tokens, error)) == NULL ||
        !crew_wait(b->crew, ROUND_MS, &ignored_us, error))
        return false;
    for (unsigned i = 0; i < WARM_UP; i++) {
        if (!switch_once(b, &took_us, error))
            return false;
        g_free(b->tables[i % 2]);
        b->tables[i % 2] = g_strdup(crew_table(b->crew));
    }
    return true;
}

static bool warm_up_bare(struct bench *b, GError **error)
{
    g_auto(GStrv) parts = g_strsplit(b->site.agents, ":", 2);
    g_autofree char *listen = g_strdup_printf("%s:%d", parts[0], atoi(parts[1]) + 10);
    double took_us;
    b->bare =
        bare_new(listen, (const char *const *)b->tables, crew_parts(b->crew), b->cert, b->key, own.agents + 16, error);
    b->bare_crew = b->bare != NULL ? crew_new(listen, own.tls, b->tokens, error) : NULL;
    if (b->bare_crew == NULL)
        return false;
    if (!loopback_wait(&b->site, "all agents wait at the bare server", all_wait_bare, b, error))
        return false;
    bare_go(b->bare);
    int64_t ignored_us;
    if (!crew_wait(b->bare_crew, ROUND_MS, &ignored_us, error))
        return false;
    for (unsigned i = 0; i < WARM_UP; i++)
        if (!bare_once(b, &took_us, error))
            return false;
    return true;
}

static bool bench_init(struct bench *b, GError **error)
{
    /* Two connections for each agent here, one in each server. */
    const rlim_t wanted = (rlim_t)own.agents * 2 + OTHER_FILES;
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    const rlim_t hard = files.rlim_max;
    files = (struct rlimit){MAX(files.rlim_cur, wanted), MAX(files.rlim_max, wanted)};
    if (setrlimit(RLIMIT_NOFILE, &files) != 0) {
        g_set_error(error, SB_ERROR, SB_ERROR_IO,
                    "found at most %lu open files (ulimit -Hn), enough for %lu agents, expected %lu for %u",
                    (unsigned long)hard, hard > OTHER_FILES ? (unsigned long)(hard - OTHER_FILES) / 2 : 0,
                    (unsigned long)wanted, own.agents);
        return false;
    }
    b->server.agents = own.agents;
    return make_certificate(b, error) && loopback_up_server(&b->site, flags.site, flags.folder, &b->server, error) &&
           make_tokens(b, error) && warm_up(b, error) && warm_up_bare(b, error);
}

static void bench_clear(struct bench *b)
{
    crew_free(b->bare_crew);
    bare_free(b->bare);
    crew_free(b->crew);
    if (b->site.folder != NULL)
        loopback_down(&b->site);
    if (b->cert_path != NULL) {
        g_autofree char *folder = g_path_get_dirname(b->cert_path), *ca = g_build_filename(folder, "ca.pem", NULL);
        remove(b->cert_path);
        remove(b->key_path);
        remove(ca);
        remove(folder);
    }
    g_strfreev(b->tokens);
    g_free(b->tables[0]);
    g_free(b->tables[1]);
    g_free(b->cert_path);
    g_free(b->key_path);
    g_free(b->cert);
    g_free(b->key);
}

/* ---- report ---- */

static size_t changed_bytes(const struct bench *b, unsigned *parts)
{
    json_t *one = json_loads(b->tables[0], 0, NULL), *before = json_object_get(one, "parts"), *hash;
    json_t *other = json_loads(b->tables[1], 0, NULL);
    size_t bytes = 0;
    const char *name;
    *parts = 0;
    json_object_foreach (json_object_get(other, "parts"), name, hash)
        if (!json_equal(hash, json_object_get(before, name))) {
            bytes += g_bytes_get_size(g_hash_table_lookup(crew_parts(b->crew), json_string_value(hash)));
            ++*parts;
        }
    json_decref(one);
    json_decref(other);
    return bytes;
}

/* Within the limit, where there is one? */
static bool report(const struct bench *b, double *switches_us, double *bare_us)
{
    unsigned n = flags.rounds, parts;
    size_t bytes = changed_bytes(b, &parts);
    struct figures change = figures_of(switches_us, n), yard = figures_of(bare_us, n);
    double p50 = change.p50 / yard.p50, p95 = change.p95 / yard.p95, load[3] = {0};
    bool within = own.tls || own.agents != LIMIT_AGENTS || (p50 <= LIMIT && p95 <= LIMIT);
    (void)getloadavg(load, 3);
    if (flags.json) {
        json_t *json = json_pack("{s:f, s:f, s:f, s:b, s:i, s:i, s:b, s:i, s:I, s:o, s:o, s:f}", "ratio_p50", p50,
                                 "ratio_p95", p95, "limit", LIMIT, "within", within, "agents", (int)own.agents,
                                 "rounds", (int)n, "tls", own.tls, "parts", (int)parts, "bytes", (json_int_t)bytes,
                                 "switch", figures_json(&change), "bare", figures_json(&yard), "load", load[0]);
        json_dumpf(json, stdout, JSON_COMPACT | JSON_REAL_PRECISION(5));
        printf("\n");
        json_decref(json);
        return within;
    }
    printf("%.2f times bare libmicrohttpd at p50, %.2f at p95 (limit %.0f, of 1,000 agents without TLS)%s\n", p50, p95,
           LIMIT, within ? "" : ": NOT within the limit");
    printf("%u rounds, %u agents, %s, each fetches its table and %u parts of %zu bytes; load %.1f\n", n, own.agents,
           own.tls ? "TLS" : "no TLS", parts, bytes, load[0]);
    figures_print("commit to the last agent", &change);
    figures_print("\n  bare                    ", &yard);
    printf("\n");
    return within;
}

static bool measure(struct bench *b, bool *within, GError **error)
{
    unsigned n = flags.rounds;
    g_autofree double *switches_us = g_new(double, n), *bare_us = g_new(double, n);
    if (!bench_init(b, error))
        return false;
    for (unsigned i = 0; i < n; i++)
        if (!bare_once(b, &bare_us[i], error) || !switch_once(b, &switches_us[i], error))
            return false;
    *within = report(b, switches_us, bare_us);
    return true;
}

int main(int argc, char **argv)
{
    static const char summary[] =
        "Time from the journal's commit of a switch until the last of many agents has its table and all new parts,\n"
        "beside the same bytes from bare libmicrohttpd. All on loopback, in a temporary folder. Ends with 1 when it\n"
        "could not be measured or is not within the limit.";
    g_autoptr(GError) error = NULL;
    flags_parse(&flags, argc, argv, summary, entries);
    struct bench bench = {0};
    bool within = false, ok = measure(&bench, &within, &error);
    bench_clear(&bench);
    return flags_end(ok, error) != 0 || !within;
}
