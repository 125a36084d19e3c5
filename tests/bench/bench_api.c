/* bench_api: what the API costs above what it stands on.
 *
 * Reads: one lever of a real signalboxd (GET /v1/controls/..., with a token), against bare libmicrohttpd with the same
 * bytes in a process of its own (bare.h): requests per second of 16 connections that are kept, each asking again as
 * soon as it is answered. Writes: one lever moved durably (PUT, one after the other), against one row of as
 * many bytes in a transaction of the same engine in the same folder (SQLite, synchronous=FULL): medians. What makes a
 * write durable is the journal, and that is SQLite with every --store; the history follows later, and nobody waits.
 * Each round does all four, so that what else the machine does meets all alike; the load of the host stands beside.
 */
#include "core/error.h"
#include "core/loop.h"
#include "server/store/db.h"
#include "tests/bench/bare.h"
#include "tests/bench/figures.h"
#include "tests/bench/flags.h"
#include "tests/bench/loopback.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECTIONS 16
#define ANSWER_MS 10000 /* one that takes longer is a failure */
#define READS_MIN 0.5   /* of bare libmicrohttpd */
#define WRITES_MAX 3.0  /* times a bare commit */
#define BARE_PATH "/agent/v1/parts/lever"

static struct flags flags = {.rounds = 7};
static struct {
    unsigned seconds, writes; /* of reads of each kind, and writes, a round */
    char *store;
} own = {.seconds = 2, .writes = 100};
static const GOptionEntry entries[] = {
    {"seconds", 0, 0, G_OPTION_ARG_INT, &own.seconds, "of reads a round, each kind; 2 when absent", "S"},
    {"writes", 0, 0, G_OPTION_ARG_INT, &own.writes, "a round; 100 when absent", "N"},
    {"store", 0, 0, G_OPTION_ARG_STRING, &own.store,
     "where the server keeps its history: its own file, or a Postgres, whose bare commits are measured beside", "URL"},
    G_OPTION_ENTRY_NULL};

struct bench {
    struct loopback site;
    struct bare *bare;
    char *bare_listen, *token, *lever; /* lever: path of the one that is read and moved */
    struct db *db, *store;             /* of bare commits; store: NULL, or where the server has its history */
    char *payload;                     /* of a bare commit */
    char *fsync;                       /* of a Postgres: on or off */
    GHashTable *parts;
    unsigned moves;
};

/* ---- connections ---- */

struct client {
    int fd;
    char answer[8192];
    size_t size;
};

static bool client_open(struct client *client, const char *listen, GError **error)
{
    struct endpoint endpoint;
    struct sockaddr_storage address;
    int one = 1;
    endpoint_parse(listen, &endpoint);
    socklen_t size = endpoint_sockaddr(&endpoint, &address);
    client->size = 0;
    client->fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(client->fd, (struct sockaddr *)&address, size) == 0)
        return true;
    g_set_error(error, SB_ERROR, SB_ERROR_UNREACHABLE, "%s: %s", listen, g_strerror(errno));
    return false;
}

/* Takes what has come. 1: a whole answer of 2xx, 0: not yet, -1: failed. */
static int client_read(struct client *client, GError **error)
{
    ssize_t n = read(client->fd, client->answer + client->size, sizeof client->answer - 1 - client->size);
    if (n > 0)
        client->answer[client->size += (size_t)n] = '\0';
    const char *end = n > 0 ? strstr(client->answer, "\r\n\r\n") : NULL, *length;
    if (n > 0 && (end == NULL || (length = strcasestr(client->answer, "\r\nContent-Length:")) == NULL))
        return 0;
    if (n > 0 && strncmp(client->answer, "HTTP/1.1 2", 10) == 0) {
        size_t whole = (size_t)(end + 4 - client->answer) + strtoul(length + strlen("\r\nContent-Length:"), NULL, 10);
        if (client->size >= whole)
            client->size = 0;
        return client->size == 0;
    }
    g_set_error(error, SB_ERROR, SB_ERROR_IO, "found \"%.300s\", expected an answer of 2xx",
                n > 0 ? client->answer : "");
    return -1;
}

static bool client_send(const struct client *client, const char *text, GError **error)
{
    if (send(client->fd, text, strlen(text), MSG_NOSIGNAL) == (ssize_t)strlen(text))
        return true;
    g_set_error(error, SB_ERROR, SB_ERROR_IO, "a request could not be sent: %s", g_strerror(errno));
    return false;
}

/* ---- reads ---- */

/* All ask, again and again, until the time is over; how many answers came. */
static bool read_for(struct client *clients, const char *request, int64_t until_us, uint64_t *answers, GError **error)
{
    struct pollfd waits[CONNECTIONS];
    for (unsigned i = 0; i < CONNECTIONS; i++) {
        waits[i] = (struct pollfd){.fd = clients[i].fd, .events = POLLIN};
        if (!client_send(&clients[i], request, error))
            return false;
    }
    while (!flags_cancelled && loop_now_us() < until_us) {
        if (poll(waits, CONNECTIONS, ANSWER_MS) <= 0) {
            g_set_error(error, SB_ERROR, SB_ERROR_TIMEOUT, "no answer for %d ms", ANSWER_MS);
            return false;
        }
        for (unsigned i = 0; i < CONNECTIONS; i++) {
            int got = waits[i].revents != 0 ? client_read(&clients[i], error) : 0;
            if (got < 0 || (got > 0 && !client_send(&clients[i], request, error)))
                return false;
            *answers += got > 0;
        }
    }
    return !flags_cancelled;
}

/* Answers per second. */
static bool read_rate(const char *listen, const char *request, double *rate, GError **error)
{
    struct client clients[CONNECTIONS] = {0};
    uint64_t answers = 0;
    unsigned open = 0;
    bool ok = true;
    while (ok && open < CONNECTIONS)
        ok = client_open(&clients[open++], listen, error);
    int64_t start_us = loop_now_us();
    ok = ok && read_for(clients, request, start_us + own.seconds * G_USEC_PER_SEC, &answers, error);
    *rate = (double)answers * G_USEC_PER_SEC / (double)(loop_now_us() - start_us);
    for (unsigned i = 0; i < open; i++)
        close(clients[i].fd);
    return ok;
}

/* ---- writes ---- */

static bool write_once(struct bench *b, struct client *client, double *took_us, GError **error)
{
    const char *body = b->moves++ % 2 == 0 ? "{\"value\":\"out\"}" : "{\"value\":\"in\"}";
    g_autofree char *request =
        g_strdup_printf("PUT %s HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer %s\r\nIf-Match: *\r\n"
                        "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                        b->lever, b->token, strlen(body), body);
    int64_t start_us = loop_now_us();
    int got = 0;
    if (!client_send(client, request, error))
        return false;
    while (got == 0 && !flags_cancelled)
        got = client_read(client, error);
    *took_us = (double)(loop_now_us() - start_us);
    return got > 0;
}

static bool commit_once(struct db *db, const char *payload, double *took_us, GError **error)
{
    static int64_t number;
    const struct db_value values[] = {DB_INT(++number), DB_TEXT(payload)};
    int64_t start_us = loop_now_us();
    bool ok = db_begin(db, error) && db_run(db, "insert into bare (n, body) values ($1, $2)", values, 2, error) &&
              db_commit(db, error);
    *took_us = (double)(loop_now_us() - start_us);
    return ok;
}

/* One of each in turn; their medians. */
static bool write_round(struct bench *b, double *write_us, double *commit_us, double *store_us, GError **error)
{
    unsigned n = own.writes;
    g_autofree double *writes = g_new(double, n), *commits = g_new(double, n), *stores = g_new0(double, n);
    struct client client;
    bool ok = client_open(&client, b->site.operators, error);
    for (unsigned i = 0; ok && i < n; i++)
        ok = commit_once(b->db, b->payload, &commits[i], error) &&
             (b->store == NULL || commit_once(b->store, b->payload, &stores[i], error)) &&
             write_once(b, &client, &writes[i], error);
    if (ok) {
        *write_us = figures_percentile(writes, n, 50);
        *commit_us = figures_percentile(commits, n, 50);
        *store_us = figures_percentile(stores, n, 50);
    }
    close(client.fd);
    return ok;
}

/* ---- set-up ---- */

static bool make_bare(struct bench *b, GError **error)
{
    static const char *const tables[2] = {"", ""};
    json_t *answer = loopback_call(&b->site, "GET", b->lever, NULL, error);
    if (answer == NULL)
        return false;
    char *text = json_dumps(answer, JSON_COMPACT);
    json_decref(answer);
    b->parts = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, (GDestroyNotify)g_bytes_unref);
    g_hash_table_insert(b->parts, (char *)(uintptr_t) "lever", g_bytes_new(text, strlen(text)));
    free(text);
    g_auto(GStrv) parts = g_strsplit(b->site.operators, ":", 2);
    b->bare_listen = g_strdup_printf("%s:%d", parts[0], atoi(parts[1]) + 10);
    b->bare = bare_new(b->bare_listen, tables, b->parts, NULL, NULL, 64, error);
    return b->bare != NULL;
}

/* As much as the journal keeps of one move of the lever. */
static bool make_payload(struct bench *b, GError **error)
{
    struct client client;
    double ignored_us;
    bool moved = client_open(&client, b->site.operators, error) && write_once(b, &client, &ignored_us, error);
    close(client.fd);
    g_autofree char *path = g_build_filename(b->site.folder, "server", "journal.db", NULL);
    sb_auto(db) journal = moved ? db_open_reading(path, NULL, error) : NULL;
    sb_auto(db_rows) row = NULL;
    if (journal == NULL ||
        !db_first(journal, "select sum(length(body)) from entries where at_us = (select max(at_us) from entries)", NULL,
                  0, &row, error))
        return false;
    b->payload = g_strnfill((gsize)db_int(row, 0), 'x');
    return true;
}

/* One without it says little: nothing waits for its disk. */
static bool look_at_fsync(struct bench *b, GError **error)
{
    sb_auto(db_rows) row = NULL;
    if (!g_str_has_prefix(own.store, "postgres"))
        return true;
    if (!db_first(b->store, "select setting from pg_settings where name = 'fsync'", NULL, 0, &row, error))
        return false;
    b->fsync = g_strdup(db_text(row, 0));
    return true;
}

static struct db *make_table(const char *url, GError **error)
{
    sb_auto(db) db = db_open(url, error);
    if (db == NULL || !db_exec(db, "create table bare (n bigint primary key, body text)", error))
        return NULL;
    return g_steal_pointer(&db);
}

static bool bench_init(struct bench *b, GError **error)
{
    const char *postgres = g_getenv("SERVED_STORE"); /* tests/unit/with_postgres.c */
    if (own.store == NULL && postgres != NULL)
        own.store = g_strconcat(postgres, "postgres", NULL);
    static struct loopback_server server;
    server.store = own.store;
    if (!loopback_up_server(&b->site, flags.site, flags.folder, &server, error))
        return false;
    const char *pop = ((const struct object *)inventory_list(b->site.site, OBJECT_pop)->pdata[0])->name;
    b->lever = g_strdup_printf("/v1/controls/pop/%s", pop);
    json_t *asked = json_pack("{s:s, s:s}", "name", "bench", "role", "operator"),
           *answer = loopback_call(&b->site, "POST", "/v1/tokens", asked, error);
    b->token = g_strdup(json_string_value(json_object_get(answer, "token")));
    json_decref(asked);
    json_decref(answer);
    g_autofree char *path = g_build_filename(b->site.folder, "bare.db", NULL);
    return b->token != NULL && make_bare(b, error) && make_payload(b, error) &&
           (b->db = make_table(path, error)) != NULL &&
           (own.store == NULL || ((b->store = make_table(own.store, error)) != NULL && look_at_fsync(b, error)));
}

static void bench_clear(struct bench *b)
{
    bare_free(b->bare);
    db_close(b->db);
    db_close(b->store);
    g_free(b->payload);
    g_free(b->fsync);
    g_clear_pointer(&b->parts, g_hash_table_unref);
    loopback_down(&b->site);
    g_free(b->bare_listen);
    g_free(b->token);
    g_free(b->lever);
}

/* ---- report ---- */

enum { API_READS, BARE_READS, READ_RATIO, API_WRITES, BARE_COMMITS, WRITE_RATIO, STORE_COMMITS, SERIES };
static const char *const names[SERIES] = {"reads_per_s",    "bare_reads_per_s", "reads_of_bare",  "write_us",
                                          "bare_commit_us", "writes_of_bare",   "store_commit_us"};

static bool measure(struct bench *b, double *series[static SERIES], GError **error)
{
    g_autofree char *request =
        g_strdup_printf("GET %s HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer %s\r\n\r\n", b->lever, b->token);
    const char *bare = "GET " BARE_PATH " HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer sb_\r\n\r\n";
    for (unsigned i = 0; i < flags.rounds; i++) {
        if (!read_rate(b->bare_listen, bare, &series[BARE_READS][i], error) ||
            !read_rate(b->site.operators, request, &series[API_READS][i], error) ||
            !write_round(b, &series[API_WRITES][i], &series[BARE_COMMITS][i], &series[STORE_COMMITS][i], error))
            return false;
        series[READ_RATIO][i] = series[API_READS][i] / series[BARE_READS][i];
        series[WRITE_RATIO][i] = series[API_WRITES][i] / series[BARE_COMMITS][i];
    }
    return true;
}

/* Within the limits? */
static bool report(double *series[static SERIES], const struct bench *b)
{
    double p50[SERIES], min[SERIES], max[SERIES], load[3] = {0};
    getloadavg(load, 3);
    json_t *json = json_object();
    for (unsigned s = 0; s < SERIES; s++) {
        p50[s] = figures_percentile(series[s], flags.rounds, 50);
        min[s] = figures_percentile(series[s], flags.rounds, 0);
        max[s] = figures_percentile(series[s], flags.rounds, 100);
        if (s != STORE_COMMITS || b->store != NULL)
            json_object_set_new(json, names[s],
                                json_pack("{s:f, s:f, s:f}", "p50", p50[s], "min", min[s], "max", max[s]));
    }
    bool within = p50[READ_RATIO] >= READS_MIN && p50[WRITE_RATIO] <= WRITES_MAX;
    json_object_set_new(json, "write_bytes", json_integer((json_int_t)strlen(b->payload)));
    json_object_set_new(json, "rounds", json_integer((json_int_t)flags.rounds));
    if (b->fsync != NULL)
        json_object_set_new(json, "store_fsync", json_string(b->fsync));
    json_object_set_new(json, "load", json_real(load[0]));
    json_object_set_new(json, "within", json_boolean(within));
    if (flags.json) {
        char *text = json_dumps(json, JSON_COMPACT | JSON_REAL_PRECISION(6));
        puts(text);
        free(text);
    } else {
        printf("small read: %.2f of bare libmicrohttpd (%.2f to %.2f; at least %.1f): %.0f/s against %.0f/s\n",
               p50[READ_RATIO], min[READ_RATIO], max[READ_RATIO], READS_MIN, p50[API_READS], p50[BARE_READS]);
        printf("durable write: %.2f times a bare commit (%.2f to %.2f; at most %.1f): %.0f µs against %.0f µs\n",
               p50[WRITE_RATIO], min[WRITE_RATIO], max[WRITE_RATIO], WRITES_MAX, p50[API_WRITES], p50[BARE_COMMITS]);
        printf("  a bare commit is a row of as many bytes as the journal keeps of a write, %zu\n", strlen(b->payload));
        if (own.store != NULL)
            printf("  the history is in --store and follows: nobody waits for it; a bare commit there: %.0f µs (fsync: "
                   "%s)\n",
                   p50[STORE_COMMITS], b->fsync != NULL ? b->fsync : "on");
        printf("medians of %u rounds, interleaved; load of the host %.1f: %s\n", flags.rounds, load[0],
               within ? "within the limits" : "NOT within the limits");
    }
    json_decref(json);
    return within;
}

int main(int argc, char **argv)
{
    static const char summary[] =
        "What the API costs above what it stands on: a small read against bare libmicrohttpd, a durable write\n"
        "against a bare commit of the same engine. Ends with 1 when it could not be measured or is not within the\n"
        "limits.";
    g_autoptr(GError) error = NULL;
    flags_parse(&flags, argc, argv, summary, entries);
    struct bench bench = {0};
    double *series[SERIES];
    for (unsigned s = 0; s < SERIES; s++)
        series[s] = g_new0(double, flags.rounds);
    bool ok = bench_init(&bench, &error) && measure(&bench, series, &error), within = ok && report(series, &bench);
    bench_clear(&bench);
    for (unsigned s = 0; s < SERIES; s++)
        g_free(series[s]);
    return flags_end(ok, error) != 0 || !within;
}
