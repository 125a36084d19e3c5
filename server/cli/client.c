/* client.c: requests to the server and its answers; problems (RFC 9457) become text and an exit code. */
#include "server/cli/cli.h"

#include "core/error.h"
#include "core/fileio.h"
#include "core/loop.h"
#include "schema/addr.h"
#include "schema/object.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

#define PAGE 1000u                               /* rows asked for at once */
#define REPEAT_US (30 * (int64_t)G_USEC_PER_SEC) /* for a server that starts anew */
#define REPEAT_MS 200

int cli_error(const GError *error)
{
    fprintf(stderr, "signalbox: %s\n", error->message);
    return error_exit_code(error);
}

/* flag > environment */
static const char *setting(const char *flag, const char *variable)
{
    return flag != NULL ? flag : g_getenv(variable);
}

/* One word of letters that stand in a header as they are, so that a file that is something else is not sent. */
static char *token_read(const char *path)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *token = file_read(path, 4096, NULL, &error);
    if (token == NULL) {
        cli_error(error);
        return NULL;
    }
    g_strstrip(token);
    bool word = token[0] != '\0';
    for (const char *c = token; *c != '\0'; c++)
        word = word && g_ascii_isgraph(*c);
    if (word)
        return g_steal_pointer(&token);
    fprintf(stderr, "signalbox: --token-file: found no token in %s, expected one line like sb_...\n", path);
    return NULL;
}

static bool is_loopback(const char *host)
{
    struct addr addr;
    return strcmp(host, "localhost") == 0 || (addr_parse(host, &addr) && addr_is_loopback(&addr));
}

/* Whether it says a server and nothing else. with_token: one will be sent to it. */
static bool server_valid(const char *text, bool with_token)
{
    g_autoptr(GUri) uri = g_uri_parse(text, G_URI_FLAGS_NONE, NULL);
    const char *scheme = uri != NULL ? g_uri_get_scheme(uri) : "", *host = uri != NULL ? g_uri_get_host(uri) : NULL;
    bool tls = strcmp(scheme, "https") == 0;
    bool bare = uri != NULL && g_uri_get_userinfo(uri) == NULL && g_uri_get_query(uri) == NULL &&
                g_uri_get_fragment(uri) == NULL && strspn(g_uri_get_path(uri), "/") == strlen(g_uri_get_path(uri));
    if (bare && host != NULL && host[0] != '\0' && (tls || strcmp(scheme, "http") == 0)) {
        if (tls || !with_token || is_loopback(host))
            return true;
        fprintf(stderr,
                "signalbox: --server: found %s, expected https://: a token is not sent over a network in clear\n",
                text);
        return false;
    }
    g_autofree char *found = text_quote(text);
    fprintf(stderr, "signalbox: --server: found %s, expected https://ADDRESS:PORT\n", found);
    return false;
}

bool cli_target_choose(struct httpc_target *target, const struct cli_flags *flags)
{
    const char *server = flags->socket == NULL ? setting(flags->server, "SIGNALBOX_SERVER") : flags->server;
    const char *socket = setting(flags->socket, "SIGNALBOX_SOCKET");
    const char *token_file = setting(flags->token_file, "SIGNALBOX_TOKEN_FILE");
    target->ca_file = setting(flags->ca, "SIGNALBOX_CA");
    if (server == NULL) {
        target->base_url = g_strdup("http://localhost");
        target->unix_socket = socket != NULL ? socket : CLI_SOCKET;
        return true;
    }
    if (!server_valid(server, token_file != NULL) ||
        (token_file != NULL && (target->token = token_read(token_file)) == NULL))
        return false;
    char *base = g_strdup(server);
    for (size_t n = strlen(base); n > 0 && base[n - 1] == '/'; n--)
        base[n - 1] = '\0';
    target->base_url = base;
    return true;
}

void cli_target_clear(struct httpc_target *target)
{
    g_free((char *)target->base_url);
    g_free((char *)target->token);
}

char *cli_escape(const char *text)
{
    return g_uri_escape_string(text, NULL, FALSE);
}

static int problem(const struct httpc_reply *reply, const json_t *json)
{
    const char *detail = cli_text(json, "detail");
    if (json != NULL)
        fprintf(stderr, "signalbox: %s\n", detail[0] != '\0' ? detail : cli_text(json, "title"));
    else
        fprintf(stderr, "signalbox: the server answered %u%s and did not say why\n", reply->status,
                reply->status == 414 ? ", what was asked is too long," : "");
    size_t i;
    json_t *row;
    json_array_foreach (json_object_get(json, "errors"), i, row) {
        const char *text = json_is_string(row) ? json_string_value(row) : cli_text(row, "text");
        if (strcmp(text, detail) != 0)
            fprintf(stderr, "  %s\n", text);
    }
    json_array_foreach (json_object_get(json, "refusals"), i, row)
        fprintf(stderr, "  rule %s: %s\n  way round: %s\n", cli_text(row, "rule"), cli_text(row, "figures"),
                cli_text(row, "way_round"));
    const char *type = cli_text(json, "type");
    if (g_str_has_suffix(type, ":refused"))
        return EXIT_REFUSED;
    if (reply->status >= 502 && reply->status <= 504)
        return EXIT_UNREACHABLE;
    return reply->status == 400 || reply->status == 405 || reply->status == 413 || reply->status == 414 ||
                   reply->status == 428
               ? EXIT_USAGE
               : EXIT_FAILED;
}

static int unanswered(const struct cli *cli, const GError *error)
{
    int code = error_exit_code(error);
    if (code == EXIT_UNREACHABLE && cli->patient)
        return code;
    cli_error(error);
    if (g_error_matches(error, SB_ERROR, SB_ERROR_TIMEOUT)) {
        fprintf(stderr, "signalbox: it is there and does not answer: whether what was asked was done is not known\n");
        return code;
    }
    if (code == EXIT_UNREACHABLE && cli->target.unix_socket != NULL)
        fprintf(stderr, "signalbox: is signalboxd running here? --server URL is for one elsewhere\n");
    if (code == EXIT_UNREACHABLE && g_str_has_prefix(cli->target.base_url, "http://") &&
        cli->target.unix_socket == NULL)
        fprintf(stderr, "signalbox: a server that speaks TLS answers to https:// only\n");
    return code;
}

/* httpc_call; what the answer to a write was when the connection is lost is found out by asking the same once more:
 * under its key it is done once (RFC draft-ietf-httpapi-idempotency-key-header). */
static bool send_request(struct cli *cli, const char *method, const char *path, const char *const *headers,
                         const char *body, long timeout_ms, struct httpc_reply *reply, GError **error)
{
    int64_t until_us = loop_now_us() + REPEAT_US;
    GError *failure = NULL;
    bool ok = httpc_call(&cli->target, method, path, headers, body, timeout_ms, reply, &failure);
    if (!ok && reply->lost && strcmp(method, "GET") != 0) {
        fprintf(stderr,
                "signalbox: the connection was lost before the answer; the same is asked again for %d s, under "
                "a key with which it is done once\n",
                (int)(REPEAT_US / G_USEC_PER_SEC));
        do {
            g_clear_error(&failure);
            httpc_reply_clear(reply);
            poll(NULL, 0, REPEAT_MS); /* not to ask too often */
            ok = httpc_call(&cli->target, method, path, headers, body, timeout_ms, reply, &failure);
        } while (g_error_matches(failure, SB_ERROR, SB_ERROR_UNREACHABLE) && loop_now_us() < until_us);
    }
    if (failure != NULL)
        g_propagate_error(error, failure);
    return ok;
}

/* The reply, to be cleared by the caller, when it is not a problem; else the exit code after that was printed. */
static int call(struct cli *cli, const char *method, const char *path, const json_t *body, const char *if_match,
                long timeout_ms, struct httpc_reply *reply)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *text = body != NULL ? json_dumps(body, JSON_COMPACT) : NULL;
    g_autofree char *match = if_match != NULL ? g_strconcat("If-Match: ", if_match, NULL) : NULL;
    g_autofree char *uuid = g_uuid_string_random(), *key = g_strconcat("Idempotency-Key: ", uuid, NULL);
    const char *headers[3] = {NULL};
    unsigned n = 0;
    if (strcmp(method, "GET") != 0)
        headers[n++] = key;
    if (match != NULL)
        headers[n++] = match;
    if (!send_request(cli, method, path, headers, text, timeout_ms, reply, &error)) {
        httpc_reply_clear(reply);
        return unanswered(cli, error);
    }
    if (reply->status < 400)
        return EXIT_OK;
    bool away = reply->status == 502 || reply->status == 503;
    json_t *json = json_loadb(reply->body, reply->size, 0, NULL);
    int code = away && cli->patient                 ? EXIT_UNREACHABLE
               : cli->quiet && reply->status == 404 ? EXIT_FAILED
                                                    : problem(reply, json);
    json_decref(json);
    httpc_reply_clear(reply);
    return code;
}

int cli_call(struct cli *cli, const char *method, const char *path, const json_t *body, const char *if_match,
             long timeout_ms, json_t **answer, char **etag)
{
    struct httpc_reply reply = {0};
    int code = call(cli, method, path, body, if_match, timeout_ms, &reply);
    if (code != EXIT_OK)
        return code;
    json_t *json = json_loadb(reply.body, reply.size, 0, NULL);
    if (answer != NULL)
        *answer = json != NULL ? json_incref(json) : json_null();
    if (etag != NULL)
        *etag = g_strdup(reply.etag);
    json_decref(json);
    httpc_reply_clear(&reply);
    return EXIT_OK;
}

int cli_get_bytes(struct cli *cli, const char *path, char **bytes, size_t *size)
{
    struct httpc_reply reply = {0};
    int code = call(cli, "GET", path, NULL, NULL, 60000, &reply);
    if (code == EXIT_OK) {
        *bytes = g_steal_pointer(&reply.body);
        *size = reply.size;
        httpc_reply_clear(&reply);
    }
    return code;
}

int cli_get(struct cli *cli, const char *path, json_t **answer)
{
    return cli_call(cli, "GET", path, NULL, NULL, 30000, answer, NULL);
}

int cli_list(struct cli *cli, const char *path, const char *member, unsigned limit, bool backwards, json_t **answer)
{
    json_t *rows = json_array();
    g_autofree char *cursor = g_strdup("");
    int code;
    do {
        json_t *page = NULL;
        unsigned left = limit - (unsigned)json_array_size(rows), n = limit == 0 ? PAGE : MIN(left, PAGE);
        g_autofree char *url = g_strdup_printf("%s?limit=%u%s%s", path, n, cursor[0] != '\0' ? "&cursor=" : "", cursor);
        code = cli_get(cli, url, &page);
        json_t *of_page = json_incref(json_object_get(page, member));
        json_array_extend(backwards ? of_page : rows, backwards ? rows : of_page);
        json_decref(backwards ? rows : of_page);
        rows = backwards ? of_page : rows;
        g_free(cursor);
        cursor = g_strdup(cli_text(page, "next"));
        json_decref(page);
    } while (code == EXIT_OK && cursor[0] != '\0' && (limit == 0 || json_array_size(rows) < limit));
    *answer = code == EXIT_OK ? json_pack("{s:O}", member, rows) : NULL;
    json_decref(rows);
    return code;
}

bool cli_limit(int argc, char **argv, int from, unsigned *limit)
{
    guint64 number;
    if (argc == from)
        return true;
    if (argc == from + 1 && strcmp(argv[from], "--all") == 0) {
        *limit = 0;
        return true;
    }
    if (argc != from + 2 || strcmp(argv[from], "--limit") != 0)
        return false;
    if (g_ascii_string_to_unsigned(argv[from + 1], 10, 1, G_MAXINT32, &number, NULL)) {
        *limit = (unsigned)number;
        return true;
    }
    g_autofree char *found = text_quote(argv[from + 1]);
    fprintf(stderr, "signalbox: --limit: found %s, expected a number from 1 to %d\n", found, G_MAXINT32);
    return false;
}
