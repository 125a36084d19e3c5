/* test_api_hostile.c: what strangers may say at every door of the programs: REST on each listener, the local socket,
 * the command line, files that it is given, the agent's own socket. Each input must be refused with a message that
 * names what was wrong, in printable text; all of them together must change nothing and take nothing down.
 * (test_hostile.c has the exact messages of the parsers behind the doors.)
 */
#include "core/loop.h"
#include "schema/object.h"
#include "tests/unit/served_case.h"
#include "tests/unit/unit.h"
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define A16 "aaaaaaaaaaaaaaaa"
#define A64 A16 A16 A16 A16
#define A256 A64 A64 A64 A64

/* Words that are good nowhere, or are skipped where they are (struct place, valid_as). */
static const char *const nasty[] = {
    "",
    " ",
    ".",
    "..",
    "-",
    "-a",
    "a-",
    "*",
    "*.example.test",
    "a*",
    "A",
    "a b",
    " a",
    "a ",
    "a;b",
    "; shutdown",
    "a\nb",
    "a\r\nX-Injected: yes",
    "a\tb",
    "a\"b",
    "a'b",
    "a\\b",
    "a/b",
    "../../etc/passwd",
    "..\\..\\boot.ini",
    "a|b",
    "a,b",
    "a#b",
    "a=b",
    "@line",
    "$(reboot)",
    "`reboot`",
    "$target$target",
    "{{7*7}}",
    "%s%s%s%n",
    "%2e%2e",
    "%00",
    "%",
    "<script>alert(1)</script>",
    "' or 1=1 --",
    "Robert'); drop table entries;--",
    "\x01",
    "\x1b[2J",
    "\x7f",
    "b\xc3\xbc"
    "cher.test",                /* not in its IDN form */
    "\xef\xbd\x81\xef\xbd\x82", /* full width */
    "\xe2\x80\xae"
    "txt.exe",      /* right to left */
    "\xe2\x80\x8b", /* zero width */
    "\xef\xbb\xbf"
    "a",                /* byte order mark */
    "\xf0\x9f\x94\xa5", /* a flame */
    "\xc4\xb0",         /* its lower case is another length */
    "-1",
    "1e999",
    "0x10",
    "9223372036854775808",
    "18446744073709551616",
    "NaN",
    "a..b",
    "a.",
    A64, /* a label of 64 */
    A64 ".example.test",
    A256,
    A256 A256 A256 A256,
};

enum door { OPERATORS, LOCAL, AGENTS, COMMAND_LINE, FILES, AGENT_SOCKET, DOORS };
static const char *const door_names[DOORS] = {"operators' listener", "local socket",   "agents' listener",
                                              "command line",        "files of apply", "agent's socket"};
enum { NOWHERE = -1 };

/* A place for a word. @J becomes it as JSON, @P percent-encoded, in path or body. */
struct place {
    enum door door;
    const char *method, *path, *body;
    const char *says; /* what the message must name */
    int valid_as;     /* words that are a good enum field_type are left out */
};
#define OBJECT(text) "{\"objects\":[{" text "}]}"
#define STEP(text) "{\"plans\":[{\"plan\":\"p\",\"steps\":[{\"name\":\"a\"," text "}]}]}"
#define REPORT(cluster, state, error, counters)                                                                        \
    "{\"edge\":\"edge-1\",\"cluster\":" cluster ",\"promised\":65536,\"applied\":{\"epoch\":65536,\"generation\":2},"  \
    "\"state\":" state ",\"error\":" error ",\"window_us\":1000000,\"counters\":[" counters "],\"origins\":[],"        \
    "\"probes\":[],\"events\":[]}"
#define REPORT_PATH "/agent/v1/edges/edge-1/report"

static const struct place places[] = {
    {OPERATORS, "POST", "/v1/apply", OBJECT("\"kind\":\"room\",\"name\":@J,\"zone\":\"zone-1\""), "name", FIELD_NAME},
    {OPERATORS, "POST", "/v1/apply", OBJECT("\"kind\":\"domain\",\"name\":@J,\"group\":\"core\""), "name", FIELD_FQDN},
    {OPERATORS, "POST", "/v1/apply", OBJECT("\"kind\":\"room\",\"name\":\"room-z\",\"zone\":@J"), "zone", NOWHERE},
    {OPERATORS, "POST", "/v1/controls", "{\"changes\":[{\"control\":\"pop\",\"object\":\"pop-a1\",\"value\":@J}]}",
     "pop/pop-a1", NOWHERE},
    {OPERATORS, "POST", "/v1/controls", "{\"changes\":[{\"control\":@J,\"object\":\"pop-a1\",\"value\":\"out\"}]}",
     "control", NOWHERE},
    {OPERATORS, "POST", "/v1/forecast", "{\"changes\":[{\"control\":\"pop\",\"object\":@J,\"value\":\"out\"}]}", "pop",
     NOWHERE},
    {OPERATORS, "PUT", "/v1/controls/pop/@P", "{\"value\":\"out\"}", "", NOWHERE},
    {OPERATORS, "GET", "/v1/inventory/rooms/@P", NULL, "", NOWHERE},
    {OPERATORS, "GET", "/v1/plans/@P", NULL, "", NOWHERE},
    {OPERATORS, "GET", "/v1/audit?limit=@P", NULL, "limit", NOWHERE},
    {OPERATORS, "GET", "/v1/explain?url=@P", NULL, "", NOWHERE},
    {OPERATORS, "GET", "/v1/explain?url=http://home.example.test/&from=x@P", NULL, "from", NOWHERE},
    {OPERATORS, "GET", "/v1/explain?url=http://home.example.test/&carrier=x@P", NULL, "carrier", NOWHERE},
    {OPERATORS, "POST", "/v1/plans/room-isolated/run", "{\"target\":@J}", "target", NOWHERE},
    {OPERATORS, "POST", "/v1/plans/room-isolated/run", "{\"target\":\"room-a\",\"confirm\":@J}", "confirm", NOWHERE},
    {OPERATORS, "POST", "/v1/plans/room-isolated/run", "{\"target\":\"room-a\",\"overrides\":[@J]}", "overrides",
     NOWHERE},
    {LOCAL, "POST", "/v1/apply", OBJECT("\"kind\":@J,\"name\":\"x\""), "kind", NOWHERE},
    {LOCAL, "POST", "/v1/apply", OBJECT("\"kind\":\"zone\",\"name\":\"zone-9\",@J:1"), "zone-9", NOWHERE},
    {LOCAL, "POST", "/v1/apply", OBJECT("\"kind\":\"edge\",\"name\":\"edge-9\",\"class\":\"public\",\"address\":@J"),
     "address", NOWHERE},
    {LOCAL, "POST", "/v1/apply",
     OBJECT("\"kind\":\"route\",\"name\":\"x\",\"group\":\"core\",\"service\":\"home\",\"prefix\":@J"), "prefix",
     FIELD_PREFIX},
    {LOCAL, "POST", "/v1/apply", "{\"plans\":[{\"plan\":@J,\"steps\":[{\"name\":\"a\",\"check\":\"forecast\"}]}]}",
     "plan", FIELD_NAME},
    {LOCAL, "POST", "/v1/apply", STEP("\"set\":[{\"control\":\"pop\",\"on\":@J,\"value\":\"out\"}]"), "on", FIELD_NAME},
    {LOCAL, "POST", "/v1/apply", STEP("\"set\":[{\"control\":\"pop\",\"on\":\"pop-a1\",\"value\":@J}]"), "value",
     NOWHERE},
    {LOCAL, "POST", "/v1/apply", STEP("\"check\":@J"), "check", NOWHERE},
    {LOCAL, "POST", "/v1/apply", STEP("\"check\":\"forecast\",\"timeout\":@J"), "timeout", NOWHERE},
    {LOCAL, "POST", "/v1/apply", "{\"objects\":[],\"remove\":[@J]}", "remove", NOWHERE},
    {LOCAL, "POST", "/v1/apply", "{\"objects\":[],\"if_match\":{@J:1}}", "if_match", NOWHERE},
    {LOCAL, "POST", "/v1/apply", "{\"objects\":[],@J:[]}", "member", NOWHERE},
    {LOCAL, "POST", "/v1/tokens", "{\"name\":@J,\"role\":\"viewer\"}", "name", FIELD_NAME},
    {LOCAL, "POST", "/v1/tokens", "{\"name\":\"x\",\"role\":@J}", "role", NOWHERE},
    {LOCAL, "DELETE", "/v1/tokens/@P", NULL, "", NOWHERE},
    {AGENTS, "GET", "/agent/v1/edges/@P/table", NULL, "", NOWHERE},
    {AGENTS, "GET", "/agent/v1/edges/edge-1/table?epoch=@P", NULL, "epoch", NOWHERE},
    {AGENTS, "GET", "/agent/v1/parts/@P", NULL, "", NOWHERE},
    {AGENTS, "POST", REPORT_PATH, REPORT("@J", "\"applied\"", "null", ""), "cluster", NOWHERE},
    {AGENTS, "POST", REPORT_PATH, REPORT("\"two-rooms\"", "@J", "null", ""), "state", NOWHERE},
    {AGENTS, "POST", REPORT_PATH, REPORT("\"two-rooms\"", "\"applied\"", "null", "@J"), "counters", NOWHERE},
};

/* Bodies that are no sound JSON, or hold numbers that are none of ours; sent to every place that takes a body. */
static const struct {
    const char *text;
    size_t size;
} broken[] = {
#define BODY(text)                                                                                                     \
    {                                                                                                                  \
        text, sizeof text - 1                                                                                          \
    }
    BODY("{"),
    BODY("}"),
    BODY("[]"),
    BODY("[1,2]"),
    BODY("null"),
    BODY("5"),
    BODY("\"text\""),
    BODY("{}x"),
    BODY("{}{}"),
    BODY("{\"a\":1,\"a\":2}"),
    BODY("{\"a\":1,}"),
    BODY("{'a':1}"),
    BODY("{a:1}"),
    BODY("{\"a\":01}"),
    BODY("{\"a\":+1}"),
    BODY("{\"a\":1e999}"),
    BODY("{\"a\":-1e999}"),
    BODY("{\"a\":9223372036854775808}"),
    BODY("{\"a\":-9223372036854775809}"),
    BODY("{\"a\":99999999999999999999999999}"),
    BODY("{\"a\":NaN}"),
    BODY("{\"a\":Infinity}"),
    BODY("{\"a\":\"\\ud800\"}"),
    BODY("{\"a\":\"\\udc00\\ud800\"}"),
    BODY("{\"a\":\"\\u0000\"}"),
    BODY("{\"a\0\":1}"),
    BODY("{\"a\":\"\0\"}"),
    BODY("{}\0"),
    BODY("{\"a\":\"\x01\"}"),
    BODY("{\"a\":\"\xff\"}"),
    BODY("{\"a\":\"\xc0\x80\"}"),
    BODY("{\"a\":\"\xed\xa0\x80\"}"),
    BODY("{\"a\":\"\xf4\x90\x80\x80\"}"),
    BODY("\xef\xbb\xbf{}"),
    BODY("{\"\":-0}"),
    BODY("{\"__proto__\":{\"role\":\"admin\"}}"),
    BODY("{\"a\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}"),
    BODY("{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{"
         "\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{"
         "\"a\":{\"a\":{\"a\":1"),
    BODY("a=1&b=2"),
    BODY("<?xml version=\"1.0\"?><!DOCTYPE a [<!ENTITY b SYSTEM \"file:///etc/passwd\">]><a>&b;</a>"),
};

/* Commands that a person may mistype, or that somebody makes another type; @ becomes each nasty word. */
static const char *const commands[][7] = {
    {"control", "set", "pop", "@", "out"},
    {"plan", "run", "room-isolated", "--confirm", "@"},
    {"audit", "--limit", "@"},
    {"@"},
};

static char *tokens[DOORS];
static unsigned counts[DOORS];
static pid_t edge_pid;
static char *edge_socket;

/* ---- what every answer must be ---- */

static void check_printable(const char *text, const char *what)
{
    ck_assert_msg(g_utf8_validate(text, -1, NULL), "%s: not UTF-8: %s", what, text);
    for (const char *c = text; *c != '\0'; c++)
        ck_assert_msg((unsigned char)*c >= ' ' || *c == '\n', "%s: control character %02x in: %s", what, (unsigned)*c,
                      text);
    ck_assert_msg(strchr(text, 0x7f) == NULL, "%s: DEL in: %s", what, text);
}

static void check_refusal(enum door door, const char *what, const char *says, unsigned status, const json_t *answer)
{
    const char *detail = text_at(answer, "detail");
    ck_assert_msg(status >= 400 && status < 500, "%s: status %u: %s", what, status, detail);
    ck_assert_msg(strlen(detail) > 10 && strlen(detail) < 1000 && strstr(detail, says) != NULL,
                  "%s: %u \"%s\", expected one that names \"%s\"", what, status, detail, says);
    check_printable(detail, what);
    ck_assert_msg(number_at(answer, "status") == status, "%s: the problem has another status", what);
    counts[door]++;
}

/* ---- REST ---- */

static char *fill(const char *template, const char *word)
{
    GString *text = g_string_new(template);
    json_t *string = json_string(word);
    char *json = json_dumps(string, JSON_ENCODE_ANY);
    g_autofree char *escaped = g_uri_escape_string(word, NULL, FALSE);
    g_string_replace(text, "@J", json, 0);
    g_string_replace(text, "@P", escaped, 0);
    free(json);
    json_decref(string);
    return g_string_free(text, FALSE);
}

static void try_word(const struct place *place, const char *word)
{
    g_autofree char *path = fill(place->path, word), *body = place->body != NULL ? fill(place->body, word) : NULL;
    g_autofree char *what = g_strdup_printf("%s %s %s", place->method, path, body != NULL ? body : "");
    json_t *answer = NULL;
    const char *match = strcmp(place->method, "PUT") == 0 ? "*" : NULL;
    const char *base = place->door == AGENTS ? served.agents : served.operators;
    unsigned status = place->door == LOCAL ? served_local(&served, place->method, path, match, body, &answer)
                                           : served_call(&served, base, tokens[place->door], place->method, path, match,
                                                         body, &answer, NULL);
    check_refusal(place->door, what, place->says, status, answer);
    json_decref(answer);
}

/* Bytes that no client library would send. The answer's body is behind the first empty line. */
static void try_bytes(const struct place *place, const char *text, size_t size)
{
    GString *request = g_string_new(NULL);
    g_autofree char *path = fill(place->path, "x");
    g_string_printf(request,
                    "%s %s HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\nIf-Match: *\r\nConnection: "
                    "close\r\nContent-Length: %zu\r\n\r\n",
                    place->method, path, tokens[place->door], size);
    g_string_append_len(request, text, (gssize)size);
    g_autofree char *got =
        served_raw(place->door == AGENTS ? served.agents_port : served.port, request->str, request->len, 10000);
    const char *body = strstr(got, "\r\n\r\n");
    json_t *answer = body != NULL ? json_loads(body, 0, NULL) : NULL;
    check_refusal(place->door, path, "", (unsigned)number_at(answer, "status"), answer);
    json_decref(answer);
    g_string_free(request, TRUE);
}

/* ---- the command line ---- */

static void try_command(enum door door, const char *const *command, const char *word)
{
    const char *argv[16] = {SIGNALBOX, "--socket", served.socket};
    int n = 3, status = 0;
    g_autofree char *out = NULL, *err = NULL;
    g_autoptr(GError) error = NULL;
    for (; *command != NULL; command++)
        argv[n++] = strcmp(*command, "@") == 0 ? word : *command;
    ck_assert_msg(
        g_spawn_sync(NULL, (char **)(uintptr_t)argv, NULL, G_SPAWN_DEFAULT, NULL, NULL, &out, &err, &status, &error),
        "%s", error != NULL ? error->message : "");
    ck_assert_msg(WIFEXITED(status) && (WEXITSTATUS(status) == 1 || WEXITSTATUS(status) == 2),
                  "%s %s \"%s\": ended with %x: %s", argv[3], argv[4], word, (unsigned)status, err);
    ck_assert_msg(strlen(err) > 10, "%s \"%s\": says \"%s\"", argv[3], word, err);
    check_printable(err, argv[3]);
    counts[door]++;
}

/* The same words in a site's file; and files that are none at all. */
static void try_file(const char *text, size_t size, const char *word)
{
    static const char *const apply[] = {"apply", "-f", "@", NULL};
    g_autofree char *path = g_build_filename(served.dir, "strange.yaml", NULL);
    ck_assert_msg(g_file_set_contents(path, text, (gssize)size, NULL), "%s", word);
    try_command(FILES, apply, path);
}

static void try_files(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(nasty); i++) {
        g_autofree char *site = fill("zones:\n  - {name: zone-9}\nrooms:\n  - {name: room-9, zone: @J}\n", nasty[i]);
        try_file(site, strlen(site), nasty[i]);
    }
    for (size_t i = 0; i < G_N_ELEMENTS(broken); i++)
        if (broken[i].text[0] != '\xef') /* YAML may begin with a byte order mark (1.1, 5.2) */
            try_file(broken[i].text, broken[i].size, broken[i].text);
}

/* ---- the agent's socket ---- */

static int connect_edge(void)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    g_strlcpy(to.sun_path, edge_socket, sizeof to.sun_path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, (struct sockaddr *)&to, sizeof to) == 0)
        return fd;
    close(fd);
    return -1;
}

static void start_edge(void)
{
    g_autofree char *state = g_strdup_printf("%s/edge", served.dir);
    edge_socket = g_strdup_printf("%s/edge.sock", served.dir);
    g_autofree char *socket = g_strdup_printf("--socket=%s", edge_socket), *dir = g_strdup_printf("--state=%s", state);
    edge_pid = fork();
    if (edge_pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (freopen("/dev/null", "w", stderr) != NULL)
            execl(SIGNALBOX_EDGE, SIGNALBOX_EDGE, "--name=edge-1", "--cluster=two-rooms", dir, socket,
                  "--listen=127.0.0.1:1", NULL);
        _exit(127);
    }
    int64_t until_us = loop_now_us() + 20 * G_USEC_PER_SEC;
    int fd;
    while ((fd = connect_edge()) < 0) {
        ck_assert_int_lt(loop_now_us(), until_us);
        poll(NULL, 0, 10);
    }
    close(fd);
}

/* "" when it was closed without an answer; g_free. */
static char *ask_edge(const char *bytes, size_t size)
{
    GString *got = g_string_new(NULL);
    char buffer[4096];
    ssize_t n;
    int fd = connect_edge();
    ck_assert_int_ge(fd, 0);
    send(fd, bytes, size, MSG_NOSIGNAL);
    shutdown(fd, SHUT_WR);
    while ((n = recv(fd, buffer, sizeof buffer, 0)) > 0)
        g_string_append_len(got, buffer, n);
    close(fd);
    return g_string_free(got, FALSE);
}

/* A word is answered with an error, or, when it is too long to be a line, not at all. */
static void try_line(const char *word)
{
    g_autofree char *line = g_strdup_printf("%s\n", word), *got = ask_edge(line, strlen(line));
    json_t *answer = json_loads(got, 0, NULL);
    ck_assert_msg(got[0] == '\0' || strlen(text_at(answer, "error")) > 10, "\"%s\" gave %s", word, got);
    ck_assert_msg(got[0] != '\0' || strlen(word) > 200, "\"%s\" was not answered", word);
    check_printable(text_at(answer, "error"), word);
    json_decref(answer);
    counts[AGENT_SOCKET]++;
}

/* ---- all of it ---- */

static char *everything(void)
{
    json_t *all = NULL;
    ck_assert_uint_eq(served_local(&served, "GET", "/v1/export", NULL, NULL, &all), 200);
    char *text = json_dumps(all, JSON_SORT_KEYS);
    json_decref(all);
    return text;
}

static void check_alive(void)
{
    ck_assert_int_eq(waitpid(served.pid, NULL, WNOHANG), 0);
    ck_assert_int_eq(waitpid(edge_pid, NULL, WNOHANG), 0);
    ck_assert_uint_eq(served_call(&served, served.operators, NULL, "GET", "/readyz", NULL, NULL, NULL, NULL), 200);
    ck_assert_uint_eq(served_call(&served, served.agents, NULL, "GET", "/readyz", NULL, NULL, NULL, NULL), 200);
    ck_assert_uint_eq(served_local(&served, "GET", "/readyz", NULL, NULL, NULL), 200);
    g_autofree char *status = ask_edge("status\n", 7);
    json_t *answer = json_loads(status, 0, NULL);
    ck_assert_msg(strcmp(text_at(answer, "edge"), "edge-1") == 0, "%s", status);
    json_decref(answer);
}

static json_int_t newest_audit(void)
{
    json_t *audit = NULL;
    served_local(&served, "GET", "/v1/audit?limit=1", NULL, NULL, &audit);
    json_int_t seq = number_at(json_array_get(json_object_get(audit, "audit"), 0), "seq");
    json_decref(audit);
    return seq;
}

START_TEST(what_strangers_say_changes_nothing)
{
    served_apply_site(&served);
    tokens[OPERATORS] = served_token(&served, "ada", "admin");
    tokens[AGENTS] = served_token(&served, "edge-1", "agent");
    start_edge();
    char *before = everything();
    json_int_t audit = newest_audit(), generation = status_number("generation");
    for (size_t p = 0; p < G_N_ELEMENTS(places); p++) {
        const struct place *place = &places[p];
        for (size_t i = 0; i < G_N_ELEMENTS(nasty); i++)
            if (place->valid_as == NOWHERE || !text_valid((enum field_type)place->valid_as, nasty[i]))
                try_word(place, nasty[i]);
        for (size_t i = 0; i < G_N_ELEMENTS(broken) && place->body != NULL && place->door != LOCAL; i++)
            try_bytes(place, broken[i].text, broken[i].size);
    }
    for (size_t i = 0; i < G_N_ELEMENTS(nasty); i++) {
        for (size_t c = 0; c < G_N_ELEMENTS(commands); c++)
            try_command(COMMAND_LINE, commands[c], nasty[i]);
        try_line(nasty[i]);
    }
    try_files();
    char *after = everything();
    ck_assert_str_eq(before, after);
    ck_assert_int_eq(status_number("generation"), generation);
    ck_assert_int_eq(newest_audit(), audit);
    check_alive();
    unsigned total = 0;
    for (int d = 0; d < DOORS; d++) {
        printf("%5u hostile inputs at the %s\n", counts[d], door_names[d]);
        ck_assert_uint_ge(counts[d], 50);
        total += counts[d];
    }
    printf("%5u in all: each refused with a message, nothing changed, all programs alive\n", total);
    ck_assert_uint_ge(total, 300);
    free(before);
    free(after);
    kill(edge_pid, SIGTERM);
    waitpid(edge_pid, NULL, 0);
    g_free(edge_socket);
    for (int d = 0; d < DOORS; d++)
        g_free(tokens[d]);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_checked_fixture(tcase, served_setup, served_teardown);
    tcase_set_timeout(tcase, 250); /* sanitizers are slow */
    tcase_add_test(tcase, what_strangers_say_changes_nothing);
}

int main(void)
{
    return unit_run("api_hostile", add);
}
