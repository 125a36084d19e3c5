/* test_api_mtls.c: agents' certificates: who is heard and who is not, revocation and renewal without a restart. */
#include "core/loop.h"
#include "tests/unit/served_case.h"
#include "tests/unit/unit.h"

#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#define TABLE "/agent/v1/edges/edge-1/table"
#define WAIT_US (20 * G_USEC_PER_SEC) /* a limit, not a wait */

/* ---- certificates, by certtool ---- */

static char *file(const char *name, const char *suffix)
{
    return g_strdup_printf("%s/%s%s", served.dir, name, suffix);
}

static void certtool(const char *const *words)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *err = NULL, *out = NULL;
    int status = 0;
    if (!g_spawn_sync(served.dir, (char **)(uintptr_t)words, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &out, &err, &status,
                      &error))
        ck_abort_msg("certtool: %s", error->message);
    ck_assert_msg(status == 0, "certtool: %s", err);
}

/* NAME.pem and NAME.key, in the server's folder; ca NULL: it vouches for itself. */
static void certify(const char *name, const char *ca, const char *template)
{
    g_autofree char *pem = g_strconcat(name, ".pem", NULL), *key = g_strconcat(name, ".key", NULL),
                    *path = file(name, ".template"), *ca_pem = g_strconcat(ca != NULL ? ca : "", ".pem", NULL),
                    *ca_key = g_strconcat(ca != NULL ? ca : "", ".key", NULL), *key_path = file(name, ".key");
    ck_assert(g_file_set_contents(path, template, -1, NULL));
    certtool((const char *const[]){"certtool", "--generate-privkey", "--key-type", "ecdsa", "--outfile", key, NULL});
    ck_assert_int_eq(g_chmod(key_path, 0600), 0);
    if (ca == NULL)
        certtool((const char *const[]){"certtool", "--generate-self-signed", "--load-privkey", key, "--template", path,
                                       "--outfile", pem, NULL});
    else
        certtool((const char *const[]){"certtool", "--generate-certificate", "--load-privkey", key,
                                       "--load-ca-certificate", ca_pem, "--load-ca-privkey", ca_key, "--template", path,
                                       "--outfile", pem, NULL});
}

/* OUT revokes one certificate; it takes its place in one step. */
static void make_list(const char *ca, const char *name, const char *out)
{
    g_autofree char *ca_pem = g_strconcat(ca, ".pem", NULL), *ca_key = g_strconcat(ca, ".key", NULL),
                    *pem = g_strconcat(name, ".pem", NULL), *path = file("crl", ".template"),
                    *made = file("made", ".pem"), *final = file(out, ".pem");
    ck_assert(g_file_set_contents(path, "crl_next_update = 1\ncrl_number = 1\n", -1, NULL));
    certtool((const char *const[]){"certtool", "--generate-crl", "--load-ca-certificate", ca_pem, "--load-ca-privkey",
                                   ca_key, "--load-certificate", pem, "--template", path, "--outfile", "made.pem",
                                   NULL});
    ck_assert_int_eq(g_rename(made, final), 0);
}

#define CA "cn = the CA\nca\ncert_signing_key\ncrl_signing_key\nexpiration_days = 2\n"
#define SERVER "cn = control\nip_address = 127.0.0.1\ntls_www_server\nexpiration_days = 2\n"
#define AGENT "tls_www_client\nsigning_key\nexpiration_days = 2\n"

static char *token;

static void setup(void)
{
    served_new(&served);
    certify("ca", NULL, CA);
    certify("other-ca", NULL, CA);
    certify("server", "ca", SERVER);
    certify("edge-1", "ca", "cn = agent\ndns_name = edge-1\n" AGENT);
    certify("edge-9", "ca", "cn = edge-9\n" AGENT);
    make_list("ca", "edge-9", "revoked");
}

static void start(void)
{
    g_autofree char *cert = g_strdup_printf("--tls-cert=%s/server.pem", served.dir),
                    *key = g_strdup_printf("--tls-key=%s/server.key", served.dir),
                    *ca = g_strdup_printf("--agents-ca=%s/ca.pem", served.dir),
                    *revoked = g_strdup_printf("--agents-revoked=%s/revoked.pem", served.dir);
    served_start(&served, NULL, (const char *const[]){cert, key, ca, revoked, NULL});
    served_apply_site(&served);
    token = served_token(&served, "edge-1", "agent");
}

static void teardown(void)
{
    g_clear_pointer(&token, g_free);
    served_clear(&served);
}

/* ---- asking ---- */

static struct httpc_target target_of(const char *ca, const char *cert)
{
    return (struct httpc_target){.base_url = g_strdup_printf("https://127.0.0.1:%d", served.agents_port),
                                 .ca_file = file(ca, ".pem"),
                                 .cert_file = cert != NULL ? file(cert, ".pem") : NULL,
                                 .key_file = cert != NULL ? file(cert, ".key") : NULL,
                                 .token = token};
}

static void target_clear(struct httpc_target *target)
{
    g_free((char *)(uintptr_t)target->base_url);
    g_free((char *)(uintptr_t)target->ca_file);
    g_free((char *)(uintptr_t)target->cert_file);
    g_free((char *)(uintptr_t)target->key_file);
}

/* 0: no connection. *detail: g_free. As agents do it tries again where a handshake was too slow, on a busy machine. */
static unsigned ask(const char *ca, const char *cert, const char *path, char **detail)
{
    struct httpc_target target = target_of(ca, cert);
    unsigned status = 0;
    *detail = NULL;
    for (int64_t until_us = loop_now_us() + WAIT_US; status == 0 && loop_now_us() < until_us;) {
        struct httpc_reply reply = {0};
        g_autoptr(GError) error = NULL;
        status = httpc_call(&target, "GET", path, NULL, NULL, 20000, &reply, &error) ? reply.status : 0;
        g_free(*detail);
        *detail = g_strdup(error != NULL ? error->message : reply.body != NULL ? reply.body : "");
        httpc_reply_clear(&reply);
        if (error != NULL && strstr(error->message, "timeout") == NULL)
            break;
    }
    target_clear(&target);
    return status;
}

static unsigned status_of(const char *ca, const char *cert)
{
    char *detail = NULL;
    unsigned status = ask(ca, cert, TABLE, &detail);
    g_free(detail);
    return status;
}

static void wait_for(unsigned status, const char *ca, const char *cert)
{
    int64_t until_us = loop_now_us() + WAIT_US;
    unsigned found;
    while ((found = status_of(ca, cert)) != status)
        ck_assert_msg(loop_now_us() < until_us, "%s: found %u, expected %u", cert, found, status);
}

/* Value of a line of /metrics. */
static int figure(const char *line)
{
    struct httpc_target here = {.base_url = "http://localhost", .unix_socket = served.socket};
    struct httpc_reply reply = {0};
    ck_assert(httpc_call(&here, "GET", "/metrics", NULL, NULL, 20000, &reply, NULL));
    const char *at = strstr(reply.body, line);
    ck_assert_msg(at != NULL, "%s: %s", line, reply.body);
    int value = atoi(at + strlen(line));
    httpc_reply_clear(&reply);
    return value;
}

START_TEST(who_is_heard)
{
    certify("stranger", "other-ca", "cn = edge-1\ndns_name = edge-1\n" AGENT);
    certify("edge-2", "ca", "cn = edge-2\ndns_name = edge-2\n" AGENT);
    certify("by-cn", "ca", "cn = edge-1\n" AGENT);
    certify("two-names", "ca", "cn = edge-1\ndns_name = edge-2\n" AGENT);
    certify("wide", "ca", "cn = x\ndns_name = edge-*\n" AGENT);
    certify("no-client", "ca", "cn = edge-1\ntls_www_server\nexpiration_days = 2\n");
    certify("itself", NULL, "cn = edge-1\n" AGENT);
    certify("old", "ca",
            "cn = edge-1\ntls_www_client\nactivation_date = \"2020-01-01 00:00:00\"\n"
            "expiration_date = \"2020-02-01 00:00:00\"\n");
    certify("young", "ca",
            "cn = edge-1\ntls_www_client\nactivation_date = \"2090-01-01 00:00:00\"\n"
            "expiration_date = \"2091-02-01 00:00:00\"\n");
    start();
    static const struct {
        const char *cert;
        unsigned status;
        const char *detail, *reason;
    } rows[] = {
        {NULL, 401, "found no certificate", "none"},
        {"stranger", 401, "the CA of --agents-ca", "untrusted"},
        {"itself", 401, "the CA of --agents-ca", "untrusted"},
        {"no-client", 401, "not one for TLS clients", "untrusted"},
        {"old", 401, "has ended", "expired"},
        {"young", 401, "has not begun", "expired"},
        {"edge-9", 401, "is revoked", "revoked"},
        {"edge-2", 403, "an agent speaks for itself only", "name"},
        {"two-names", 403, "an agent speaks for itself only", "name"},
        {"wide", 403, "an agent speaks for itself only", "name"},
        {"edge-1", 200, "", NULL},
        {"by-cn", 200, "", NULL},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *line = g_strdup_printf("signalbox_agent_certificates_refused_total{reason=\"%s\"} ",
                                                rows[i].reason != NULL ? rows[i].reason : "none"),
                        *detail = NULL;
        int before = figure(line);
        unsigned status = ask("ca", rows[i].cert, TABLE, &detail);
        ck_assert_msg(status == rows[i].status && strstr(detail, rows[i].detail) != NULL, "%s: %u %s", rows[i].cert,
                      status, detail);
        ck_assert_int_eq(figure(line) - before, rows[i].reason != NULL);
    }
    /* Nothing at all is said to strangers here; on the operators' listener a token is enough. */
    g_autofree char *detail = NULL, *operators = g_strdup_printf("https://127.0.0.1:%d", served.port),
                    *ca = file("ca", ".pem"), *viewer = served_token(&served, "vera", "viewer");
    unsigned status = ask("ca", NULL, "/livez", &detail);
    ck_assert_msg(status == 401, "%u %s", status, detail);
    struct httpc_target person = {.base_url = operators, .ca_file = ca, .token = viewer};
    struct httpc_reply reply = {0};
    ck_assert(httpc_call(&person, "GET", "/v1/status", NULL, NULL, 20000, &reply, NULL));
    ck_assert_uint_eq(reply.status, 200);
    httpc_reply_clear(&reply);
    /* And an agent talks to nobody whose certificate another CA has signed. */
    ck_assert_uint_eq(status_of("other-ca", "edge-1"), 0);
    kill(served.pid, SIGTERM);
    ck_assert_int_eq(served_wait(&served), 0);
    ck_assert_ptr_nonnull(strstr(served.log->str, "an agent was refused for its certificate reason=none"));
}
END_TEST

/* An agent that asks on and on, on one connection; its certificate is revoked after the first answers. */
struct kept {
    struct loop *loop;
    struct httpc *client;
    struct httpc_target target;
    unsigned answers, status; /* status: of the last */
    int connections;          /* that agents have made until then */
    int64_t until_us;
};
#define CONNECTIONS "signalbox_http_connections_total{listener=\"agents\"} "

static void on_answer(void *data, const struct httpc_reply *reply, const GError *error)
{
    struct kept *kept = data;
    if (reply == NULL && kept->answers == 0 && loop_now_us() < kept->until_us) { /* a slow handshake */
        httpc_start(kept->client, &kept->target, "GET", TABLE, NULL, 20000, on_answer, kept);
        return;
    }
    ck_assert_msg(reply != NULL, "answer %u: %s", kept->answers + 1, error->message);
    kept->status = reply->status;
    if (++kept->answers == 2) {
        kept->connections = figure(CONNECTIONS);
        make_list("ca", "edge-1", "revoked");
    }
    if (kept->status == 200 && loop_now_us() < kept->until_us)
        httpc_start(kept->client, &kept->target, "GET", TABLE, NULL, 20000, on_answer, kept);
    else
        loop_stop(kept->loop);
}

START_TEST(revoked_while_connected)
{
    start();
    struct kept kept = {
        .loop = loop_new(NULL), .target = target_of("ca", "edge-1"), .until_us = loop_now_us() + WAIT_US};
    kept.client = httpc_new(kept.loop, NULL);
    httpc_start(kept.client, &kept.target, "GET", TABLE, NULL, 20000, on_answer, &kept);
    loop_run(kept.loop);
    ck_assert_uint_gt(kept.answers, 2);
    ck_assert_uint_eq(kept.status, 401);
    ck_assert_int_eq(figure(CONNECTIONS), kept.connections); /* it was the same one all the time */
    ck_assert_uint_eq(status_of("ca", "edge-1"), 401);
    /* What is taken off the list is heard again, and a list that is none changes nothing. */
    make_list("ca", "edge-9", "revoked");
    wait_for(200, "ca", "edge-1");
    make_list("other-ca", "edge-1", "revoked");
    ck_assert(served_says(&served, "certificates have changed and cannot be used"));
    ck_assert_uint_eq(status_of("ca", "edge-1"), 200);
    ck_assert_uint_eq(status_of("ca", "edge-9"), 401);
    httpc_free(kept.client);
    loop_free(kept.loop);
    target_clear(&kept.target);
}
END_TEST

START_TEST(renewed_without_a_restart)
{
    start();
    g_autofree char *cert = file("server", ".pem"), *key = file("server", ".key"), *new_cert = file("new", ".pem"),
                    *new_key = file("new", ".key");
    ck_assert_uint_eq(status_of("other-ca", "edge-1"), 0);
    certify("new", "other-ca", SERVER);
    ck_assert_int_eq(g_rename(new_cert, cert), 0); /* for a moment they do not fit: what was before stays */
    ck_assert_uint_eq(status_of("ca", "edge-1"), 200);
    ck_assert_int_eq(g_rename(new_key, key), 0);
    wait_for(200, "other-ca", "edge-1");
    ck_assert_uint_eq(status_of("ca", "edge-1"), 0);
    ck_assert(served_says(&served, "certificates have changed and are in force"));
    g_string_truncate(served.log, 0);
    ck_assert(g_file_set_contents(cert, "no certificate\n", -1, NULL));
    ck_assert(served_says(&served, "certificates have changed and cannot be used"));
    ck_assert_uint_eq(status_of("other-ca", "edge-1"), 200);
}
END_TEST

static void expect_config(const char *says, const char *const *words)
{
    const char *argv[16] = {SIGNALBOXD, "--check-config", "--cluster=two-rooms"};
    g_autofree char *err = NULL;
    int status = 0, n = 3;
    while (*words != NULL)
        argv[n++] = *words++;
    ck_assert(g_spawn_sync(served.dir, (char **)(uintptr_t)argv, NULL, G_SPAWN_STDOUT_TO_DEV_NULL, NULL, NULL, NULL,
                           &err, &status, NULL));
    ck_assert_msg(WEXITSTATUS(status) == (says[0] != '\0' ? 2 : 0) && strstr(err, says) != NULL, "%d %s", status, err);
}

START_TEST(settings_that_do_not_fit)
{
    const char *cert = "--tls-cert=server.pem", *key = "--tls-key=server.key", *ca = "--agents-ca=ca.pem";
    make_list("other-ca", "edge-1", "foreign");
    expect_config("", (const char *const[]){cert, key, ca, "--agents-revoked=revoked.pem", NULL});
    expect_config("expected --tls-cert", (const char *const[]){ca, NULL});
    expect_config("expected --agents-ca", (const char *const[]){cert, key, "--agents-revoked=revoked.pem", NULL});
    expect_config("--agents-ca: server.key: expected certificates",
                  (const char *const[]){cert, key, "--agents-ca=server.key", NULL});
    expect_config("signed by the CA of --agents-ca",
                  (const char *const[]){cert, key, ca, "--agents-revoked=foreign.pem", NULL});
    expect_config("--agents-revoked: ", (const char *const[]){cert, key, ca, "--agents-revoked=nothing", NULL});
    start(); /* for teardown */
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 200); /* sanitizers are slow */
    tcase_add_test(tcase, who_is_heard);
    tcase_add_test(tcase, revoked_while_connected);
    tcase_add_test(tcase, renewed_without_a_restart);
    tcase_add_test(tcase, settings_that_do_not_fit);
}

int main(void)
{
    return unit_run("api_mtls", add);
}
