/* test_api_server.c: the life of signalboxd: settings, TLS, crashes, name servers that are away. */
#include "core/loop.h"
#include "server/store/db.h"
#include "tests/unit/authority.h"
#include "tests/unit/served_case.h"
#include "tests/unit/unit.h"
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- crashes ---- */

START_TEST(a_killed_server_goes_on_under_a_new_epoch)
{
    served_apply_site(&served);
    ck_assert_uint_eq(served_local(&served, "PUT", "/v1/controls/pop/pop-a1", "*", "{\"value\":\"out\"}", NULL), 200);
    json_int_t epoch = status_number("epoch"), generation = status_number("generation");
    ck_assert_int_eq(served_end(&served, SIGKILL), SIGKILL);
    served_start(&served, NULL, NULL);
    ck_assert_int_eq(status_number("epoch"), epoch + 65536);
    ck_assert_int_eq(status_number("generation"), generation);
    json_t *control = NULL;
    served_local(&served, "GET", "/v1/controls/pop/pop-a1", NULL, NULL, &control);
    ck_assert_str_eq(text_at(control, "value"), "out");
    json_decref(control);
    ck_assert_uint_eq(served_local(&served, "PUT", "/v1/controls/pop/pop-a1", "*", "{\"value\":\"in\"}", NULL), 200);
    ck_assert_int_eq(status_number("generation"), generation + 1);
}
END_TEST

#ifdef SIGNALBOX_FAILPOINTS
/* Before the journal nothing has happened; from then on all of it has. */
START_TEST(killed_at_each_place)
{
    static const struct {
        const char *place;
        const char *value; /* after the restart */
    } cases[] = {{"before-journal", "default"},
                 {"after-journal", "out"},
                 {"before-publish", "out"},
                 {"after-publish", "out"},
                 {"before-reply", "out"}};
    const char *place = cases[_i].place, *value = cases[_i].value;
    served_apply_site(&served);
    ck_assert_int_eq(served_end(&served, SIGTERM), 0);
    /* A start passes each place some times; count them by the first number at which it survives until ready. */
    for (int n = 1;; n++) {
        g_autofree char *fp = g_strdup_printf("SIGNALBOX_FP=%s:kill@%d", place, n);
        served_start(&served, (const char *const[]){fp, NULL}, NULL);
        if (strstr(served.log->str, ">ready ") == NULL) {
            ck_assert_int_eq(served_wait(&served), SIGKILL);
            ck_assert_int_lt(n, 20);
            continue;
        }
        struct httpc_target target = {.base_url = "http://localhost", .unix_socket = served.socket};
        const char *const headers[] = {"If-Match: *", NULL};
        struct httpc_reply reply = {0};
        g_autoptr(GError) error = NULL;
        bool answered = httpc_call(&target, "PUT", "/v1/controls/pop/pop-a1", headers, "{\"value\":\"out\"}", 20000,
                                   &reply, &error);
        httpc_reply_clear(&reply);
        /* A reign that still claims its edges answers when it is durable, and publishes when they have promised. */
        ck_assert(!answered || strstr(place, "publish") != NULL);
        ck_assert_int_eq(served_wait(&served), SIGKILL);
        break;
    }
    served_start(&served, NULL, NULL);
    json_t *control = NULL;
    served_local(&served, "GET", "/v1/controls/pop/pop-a1", NULL, NULL, &control);
    ck_assert_str_eq(text_at(control, "value"), value);
    json_decref(control);
}
END_TEST
#endif

/* The engine believes that an effect is new, the journal has its key: going on would publish what no restart knows. */
START_TEST(a_repeated_effect_ends_the_server)
{
    json_t *run = NULL;
    served_apply_site(&served);
    served_local(&served, "POST", "/v1/plans/room-isolated/run", NULL, "{\"target\":\"room-a\"}", &run);
    g_autofree char *path = g_strdup_printf("%s/state/journal.db", served.dir),
                    *key = g_strdup_printf("%s/undo/set", text_at(run, "id")),
                    *abort = g_strdup_printf("/v1/executions/%s/abort", text_at(run, "id"));
    json_int_t generation = status_number("generation");
    ck_assert_int_eq(served_end(&served, SIGTERM), 0);
    struct db *db = db_open(path, NULL);
    struct db_value value = DB_TEXT(key);
    ck_assert(db_run(db,
                     "insert into entries (seq, epoch, kind, id, key, body, at_us) "
                     "select max(seq) + 1, max(epoch), 'other', 'x', $1, '{}', 0 from entries",
                     &value, 1, NULL));
    db_close(db);
    served_start(&served, NULL, NULL);
    struct httpc_target target = {.base_url = "http://localhost", .unix_socket = served.socket};
    struct httpc_reply reply = {0};
    ck_assert(!httpc_call(&target, "POST", abort, NULL, "{}", 20000, &reply, NULL));
    int status = served_wait(&served);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 1);
    db = db_open(path, NULL);
    struct db_rows *rows =
        db_query(db, "select max(cast(id as bigint)) from state where kind = 'generation'", NULL, 0, NULL);
    ck_assert(db_next(rows, NULL));
    ck_assert_int_eq(db_int(rows, 0), generation);
    db_rows_free(rows);
    db_close(db);
    json_decref(run);
}
END_TEST

/* ---- start ---- */

static int run_to_end(const char *const *flags, const char *text)
{
    struct served other;
    served_new(&other);
    served_start(&other, NULL, flags);
    int status = served_wait(&other);
    ck_assert_msg(strstr(other.log->str, text) != NULL, "found: %s", other.log->str);
    served_clear(&other);
    return WEXITSTATUS(status);
}

START_TEST(settings_are_checked)
{
    g_autofree char *state = g_strdup_printf("--state=%s/state", served.dir);
    g_autofree char *file = g_strdup_printf("%s/config.yaml", served.dir),
                    *config = g_strconcat("--config=", file, NULL);
    ck_assert_int_eq(run_to_end((const char *const[]){"--listen=0.0.0.0:1", NULL}, "--tls-cert FILE --tls-key FILE"),
                     2);
    ck_assert_int_eq(run_to_end((const char *const[]){"--agents-listen=[::]:1", NULL}, "--agents-listen 127.0.0.1:1"),
                     2);
    ck_assert_int_eq(run_to_end((const char *const[]){"--node=65536", NULL}, "65535"), 2);
    ck_assert_int_eq(run_to_end((const char *const[]){"--nonsense", NULL}, "--nonsense"), 2);
    ck_assert_int_eq(run_to_end((const char *const[]){"--cluster=A B", NULL}, "--cluster"), 2);
    ck_assert_int_eq(run_to_end((const char *const[]){state, NULL}, "another signalboxd uses it"), 1);
    ck_assert(g_file_set_contents(file, "node: 7\nnames: x\n", -1, NULL));
    ck_assert_int_eq(run_to_end((const char *const[]){config, NULL}, "names"), 2);
    ck_assert(g_file_set_contents(file, "node: 7\n", -1, NULL));
    ck_assert_int_eq(run_to_end((const char *const[]){config, "--check-config", NULL}, ""), 0);
    /* Flag over variable over file over default. */
    const struct {
        const char *env, *flag;
        int node;
    } order[] = {{"A=", "--debug", 7}, {"SIGNALBOX_NODE=8", "--debug", 8}, {"SIGNALBOX_NODE=8", "--node=9", 9}};
    for (size_t i = 0; i < G_N_ELEMENTS(order); i++) {
        ck_assert_int_eq(served_end(&served, SIGTERM), 0);
        served_start(&served, (const char *const[]){order[i].env, NULL},
                     (const char *const[]){config, order[i].flag, NULL});
        ck_assert_int_eq(status_number("epoch") % 65536, order[i].node);
    }
    struct stat st;
    ck_assert_int_eq(stat(served.socket, &st), 0);
    ck_assert_uint_eq(st.st_mode & 0777, 0660);
}
END_TEST

START_TEST(tls_on_both_listeners)
{
    char ca[96], cert[96], key[96], other[96];
    g_autofree char *cert_flag = NULL, *key_flag = NULL, *other_flag = NULL;
    snprintf(ca, sizeof ca, "%s/ca.pem", served.dir);
    snprintf(cert, sizeof cert, "%s/cert.pem", served.dir);
    snprintf(key, sizeof key, "%s/other.pem", served.dir);
    struct authority *authority = authority_new(ca);
    authority_issue(authority, "signalbox test", 2, cert, key);
    other_flag = g_strconcat("--tls-key=", key, NULL);
    snprintf(other, sizeof other, "%s/key.pem", served.dir);
    authority_issue(authority, "signalbox test", 2, cert, other);
    authority_free(authority);
    cert_flag = g_strconcat("--tls-cert=", cert, NULL);
    key_flag = g_strconcat("--tls-key=", other, NULL);
    ck_assert_int_eq(run_to_end((const char *const[]){cert_flag, NULL}, "expected both or none"), 2);
    ck_assert_int_eq(
        run_to_end((const char *const[]){cert_flag, other_flag, NULL}, "expected a certificate and its key"), 2);
    ck_assert_int_eq(chmod(other, 0644), 0);
    ck_assert_int_eq(run_to_end((const char *const[]){cert_flag, key_flag, NULL}, "chmod 600"), 2);
    ck_assert_int_eq(chmod(other, 0600), 0);
    ck_assert_int_eq(served_end(&served, SIGTERM), 0);
    served_start(&served, NULL, (const char *const[]){cert_flag, key_flag, NULL});
    g_autofree char *token = served_token(&served, "alice", "operator");
    const int ports[] = {served.port, served.agents_port};
    for (int i = 0; i < 2; i++) {
        g_autofree char *url = g_strdup_printf("https://127.0.0.1:%d", ports[i]);
        g_autofree char *plain = g_strdup_printf("http://127.0.0.1:%d", ports[i]);
        const struct httpc_target good = {.base_url = url, .ca_file = ca, .token = token}, blind = {.base_url = url},
                                  bare = {.base_url = plain};
        struct httpc_reply reply = {0};
        ck_assert(httpc_call(&good, "GET", i == 0 ? "/v1/status" : "/livez", NULL, NULL, 10000, &reply, NULL));
        ck_assert_uint_eq(reply.status, 200);
        httpc_reply_clear(&reply);
        ck_assert(!httpc_call(&blind, "GET", "/livez", NULL, NULL, 10000, &reply, NULL));
        ck_assert(!httpc_call(&bare, "GET", "/livez", NULL, NULL, 10000, &reply, NULL));
    }
}
END_TEST

/* Name servers that do not answer hold up neither a switch nor the end. */
START_TEST(dead_name_servers_hold_nobody_up)
{
    g_autofree char *keys = g_strdup_printf("--keys=%s", served.dir);
    g_autofree char *key = g_strdup_printf("%s/signalbox.key", served.dir);
    ck_assert_int_eq(served_end(&served, SIGTERM), 0);
    ck_assert(g_file_set_contents_full(key, "c2lnbmFsYm94IGxhYiBrZXkgb2YgMzIgYnl0ZXMhISE=\n", -1,
                                       G_FILE_SET_CONTENTS_NONE, 0600, NULL));
    served_start(&served, NULL, (const char *const[]){keys, NULL});
    const char *body =
        "{\"objects\":[{\"kind\":\"nameserver\",\"name\":\"ns-1\",\"zone\":\"example.test\",\"role\":\"primary\","
        "\"address\":\"127.0.0.1:9\",\"key\":\"signalbox\"}]}";
    served_apply_site(&served);
    ck_assert_uint_eq(served_local(&served, "POST", "/v1/apply", NULL, body, NULL), 200);
    int64_t start = loop_now_us();
    ck_assert_uint_eq(served_local(&served, "PUT", "/v1/controls/pop/pop-a1", "*", "{\"value\":\"out\"}", NULL), 200);
    ck_assert_int_lt(loop_now_us() - start, G_USEC_PER_SEC);
    ck_assert_uint_eq(served_local(&served, "DELETE", "/v1/inventory/nameservers/ns-1", "*", NULL, NULL), 200);
    start = loop_now_us();
    int status = served_end(&served, SIGTERM);
    if (status != 0) /* more than a message of libcheck can hold */
        fputs(served.log->str, stderr);
    ck_assert_int_eq(status, 0);
    ck_assert_int_lt(loop_now_us() - start, 5 * G_USEC_PER_SEC);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_checked_fixture(tcase, served_setup, served_teardown);
    tcase_set_timeout(tcase, 200); /* sanitizers are slow */
    tcase_add_test(tcase, a_killed_server_goes_on_under_a_new_epoch);
#ifdef SIGNALBOX_FAILPOINTS
    tcase_add_loop_test(tcase, killed_at_each_place, 0, 5);
#endif
    tcase_add_test(tcase, a_repeated_effect_ends_the_server);
    tcase_add_test(tcase, settings_are_checked);
    tcase_add_test(tcase, tls_on_both_listeners);
    tcase_add_test(tcase, dead_name_servers_hold_nobody_up);
}

int main(void)
{
    return unit_run("api_server", add);
}
