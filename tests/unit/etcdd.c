#include "tests/unit/etcdd.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "core/httpc.h"
#include "schema/object.h"
#include "tests/unit/unit.h"

#define WAIT_US (40 * G_USEC_PER_SEC) /* of a busy machine */

static struct endpoint free_port(void)
{
    return (struct endpoint){.addr = {AF_INET, {127, 0, 0, 1}}, .port = unit_free_port()};
}

static char *url(const char *scheme, const struct endpoint *endpoint)
{
    char text[ENDPOINT_TEXT_SIZE];
    return g_strdup_printf("%s://%s", scheme, endpoint_format(endpoint, text));
}

static char *client_url(const struct etcdd *member)
{
    return url(member->tls != NULL ? "https" : "http", &member->endpoint);
}

/* NULL without TLS; g_free. */
static char *tls_file(const struct etcdd *member, const char *what)
{
    return member->tls != NULL ? g_strdup_printf("%s.%s.pem", member->tls, what) : NULL;
}

char *etcdd_post(const struct etcdd *member, const char *path, const char *body)
{
    g_autofree char *base = client_url(member), *ca = tls_file(member, "ca"), *cert = tls_file(member, "cert");
    g_autofree char *key = tls_file(member, "key");
    const struct httpc_target target = {.base_url = base, .ca_file = ca, .cert_file = cert, .key_file = key};
    struct httpc_reply reply = {0};
    if (!httpc_call(&target, "POST", path, NULL, body, 2000, &reply, NULL))
        return NULL;
    char *answer = reply.status == 200 ? g_strdup(reply.body) : NULL;
    httpc_reply_clear(&reply);
    return answer;
}

static char *encode(const char *text)
{
    return g_base64_encode((const guchar *)text, strlen(text));
}

char *etcdd_get(const struct etcdd *member, const char *key)
{
    g_autofree char *encoded = encode(key), *body = g_strdup_printf("{\"key\":\"%s\"}", encoded);
    g_autofree char *answer = etcdd_post(member, "/v3/kv/range", body);
    json_t *json = json_loads(answer != NULL ? answer : "{}", 0, NULL);
    const char *value = json_string_value(json_object_get(json_array_get(json_object_get(json, "kvs"), 0), "value"));
    gsize size = 0;
    g_autofree guchar *bytes = value != NULL ? g_base64_decode(value, &size) : NULL;
    char *text = bytes != NULL ? g_strndup((char *)bytes, size) : NULL;
    json_decref(json);
    return text;
}

/* What may be done twice: a busy machine loses its leader now and then, and has another one soon. */
static void post_surely(const struct etcdd *member, const char *path, const char *body)
{
    int64_t deadline_us = loop_now_us() + WAIT_US;
    char *answer;
    while ((answer = etcdd_post(member, path, body)) == NULL) {
        ck_assert_msg(loop_now_us() < deadline_us, "etcd of %s does not take %s", member->folder, path);
        poll(NULL, 0, 10);
    }
    g_free(answer);
}

void etcdd_put(const struct etcdd *member, const char *key, const char *value)
{
    g_autofree char *k = encode(key), *v = encode(value);
    g_autofree char *body = g_strdup_printf("{\"key\":\"%s\",\"value\":\"%s\"}", k, v);
    post_surely(member, "/v3/kv/put", body);
}

void etcdd_delete(const struct etcdd *member, const char *key)
{
    g_autofree char *k = encode(key), *body = g_strdup_printf("{\"key\":\"%s\"}", k);
    post_surely(member, "/v3/kv/deleterange", body);
}

int64_t etcdd_revision(const struct etcdd *member)
{
    g_autofree char *answer = etcdd_post(member, "/v3/kv/range", "{\"key\":\"AA==\"}");
    json_t *json = json_loads(answer != NULL ? answer : "{}", 0, NULL);
    const char *text = json_string_value(json_object_get(json_object_get(json, "header"), "revision"));
    int64_t revision = text != NULL ? g_ascii_strtoll(text, NULL, 10) : -1;
    json_decref(json);
    return revision;
}

void etcdd_compact(const struct etcdd *member)
{
    g_autofree char *body =
        g_strdup_printf("{\"revision\":\"%" G_GINT64_FORMAT "\",\"physical\":true}", etcdd_revision(member));
    post_surely(member, "/v3/kv/compaction", body);
}

static void become(const struct etcdd *member)
{
    g_autofree char *client = client_url(member), *peer = url("http", &member->peer);
    g_autofree char *ca = tls_file(member, "ca"), *cert = tls_file(member, "cert"), *key = tls_file(member, "key");
    g_autofree char *data = g_build_filename(member->folder, "data", NULL);
    g_autofree char *log = g_build_filename(member->folder, "log", NULL);
    int fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    dup2(fd, 1);
    dup2(fd, 2);
    execlp("etcd", "etcd", "--name", member->name, "--data-dir", data, "--listen-client-urls", client,
           "--advertise-client-urls", client, "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
           "--initial-cluster", member->cluster, "--heartbeat-interval", "20", "--election-timeout", "200", "--logger",
           "zap", "--log-level", "warn", ca != NULL ? "--client-cert-auth" : (char *)NULL, "--trusted-ca-file", ca,
           "--cert-file", cert, "--key-file", key, (char *)NULL);
    _exit(127);
}

static void launch(struct etcdd *member)
{
    pid_t parent = getpid();
    member->pid = fork();
    ck_assert_int_ge(member->pid, 0);
    if (member->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(1);
        become(member);
    }
}

static void wait_for(const struct etcdd *member)
{
    int64_t deadline_us = loop_now_us() + WAIT_US;
    while (etcdd_revision(member) < 0) {
        ck_assert_msg(loop_now_us() < deadline_us, "etcd of %s does not answer", member->folder);
        poll(NULL, 0, 10);
    }
}

void etcdd_run(struct etcdd *member)
{
    launch(member);
    wait_for(member);
}

void etcdd_start(const char *root, unsigned n, struct etcdd *members[])
{
    etcdd_start_tls(root, NULL, n, members);
}

void etcdd_start_tls(const char *root, const char *tls, unsigned n, struct etcdd *members[])
{
    g_autoptr(GString) cluster = g_string_new(NULL);
    for (unsigned i = 0; i < n; i++) {
        struct etcdd *member = members[i] = g_new0(struct etcdd, 1);
        member->name = g_strdup_printf("etcd-%u", i + 1);
        member->folder = g_build_filename(root, member->name, NULL);
        member->tls = g_strdup(tls);
        member->endpoint = free_port();
        member->peer = free_port();
        ck_assert_int_eq(g_mkdir_with_parents(member->folder, 0700), 0);
        g_autofree char *peer = url("http", &member->peer);
        g_string_append_printf(cluster, "%s%s=%s", i > 0 ? "," : "", member->name, peer);
    }
    for (unsigned i = 0; i < n; i++) {
        members[i]->cluster = g_strdup(cluster->str);
        launch(members[i]);
    }
    for (unsigned i = 0; i < n; i++)
        wait_for(members[i]);
}

void etcdd_signal(struct etcdd *member, int signal)
{
    ck_assert_int_gt(member->pid, 0);
    kill(member->pid, signal);
    if (signal == SIGSTOP)
        waitpid(member->pid, NULL, WUNTRACED);
}

void etcdd_kill(struct etcdd *member)
{
    if (member->pid <= 0)
        return;
    kill(member->pid, SIGKILL);
    waitpid(member->pid, NULL, 0);
    member->pid = 0;
}

void etcdd_forget(struct etcdd *member)
{
    ck_assert_int_eq(member->pid, 0);
    g_autofree char *data = g_build_filename(member->folder, "data", NULL);
    unit_remove_all(data);
}

void etcdd_free(struct etcdd *members[], unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        etcdd_kill(members[i]);
        unit_remove_all(members[i]->folder);
        g_free(members[i]->folder);
        g_free(members[i]->name);
        g_free(members[i]->cluster);
        g_free(members[i]->tls);
        g_free(members[i]);
    }
}
