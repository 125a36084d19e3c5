/* signalboxd and real etcd: a lever moves what etcd holds, and a restart claims it. */
#include "tests/unit/authority.h"
#include "tests/unit/etcdd.h"
#include "tests/unit/served.h"
#include "tests/unit/unit.h"

#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>

#define KEY "/signalbox/v1/service/home/zone-1"

/* Waits until the registry says that it has proved the generation; returns how long it took, µs. */
static int64_t wait_converged(struct served *served, int generation)
{
    int64_t start_us = loop_now_us();
    for (bool there = false; !there; poll(NULL, 0, 5)) {
        json_t *status = NULL;
        ck_assert_uint_eq(served_local(served, "GET", "/v1/status", NULL, NULL, &status), 200);
        const json_t *row = json_array_get(json_object_get(status, "registries"), 0);
        there = g_strcmp0(json_string_value(json_object_get(row, "state")), "converged") == 0 &&
                json_integer_value(json_object_get(row, "generation")) >= generation;
        json_decref(status);
        ck_assert_msg(loop_now_us() - start_us < 15 * G_USEC_PER_SEC, "generation %d is not proved", generation);
    }
    return loop_now_us() - start_us;
}

static int move(struct served *served, const char *value)
{
    json_t *answer = NULL;
    g_autofree char *body = g_strdup_printf("{\"value\":\"%s\"}", value);
    unsigned status = served_local(served, "PUT", "/v1/controls/service.eastwest/home", "*", body, &answer);
    ck_assert_uint_eq(status, 200);
    int generation =
        (int)json_integer_value(json_object_get(json_array_get(json_object_get(answer, "controls"), 0), "revision"));
    json_decref(answer);
    return generation;
}

START_TEST(a_lever_reaches_etcd)
{
    struct served served;
    struct etcdd *etcd[1];
    char text[ENDPOINT_TEXT_SIZE];
    served_new(&served);
    etcdd_start(served.dir, 1, etcd);
    served_start(&served, NULL, NULL);
    json_t *site = served_site();
    json_array_append_new(json_object_get(site, "objects"),
                          json_pack("{s:s, s:s, s:s}", "kind", "registry", "name", "disco", "address",
                                    endpoint_format(&etcd[0]->endpoint, text)));
    served_apply(&served, site);
    int generation = move(&served, "*=zone-2:1");
    wait_converged(&served, generation);
    g_autofree char *moved = etcdd_get(etcd[0], KEY);
    ck_assert_str_eq(moved, "{\"service\":\"home\",\"caller\":\"zone-1\",\"destinations\":["
                            "{\"zone\":\"zone-2\",\"weight\":1,\"rooms\":[\"room-b\"]}]}");
    ck_assert_uint_eq(served_local(&served, "GET", "/v1/eastwest/services/home", NULL, NULL, NULL), 200);
    ck_assert_uint_eq(served_local(&served, "GET", "/v1/eastwest", NULL, NULL, NULL), 200);
    ck_assert_uint_eq(served_local(&served, "GET", "/v1/eastwest/rooms/room-a", NULL, NULL, NULL), 404);
    ck_assert_uint_eq(served_local(&served, "GET", "/v1/eastwest/interfaces/none", NULL, NULL, NULL), 404);
    generation = move(&served, "default");
    ck_assert_int_lt(wait_converged(&served, generation), G_USEC_PER_SEC);
    /* A new reign claims, with etcd away while it begins. */
    g_autofree char *before = etcdd_get(etcd[0], "/signalbox/sentinel");
    etcdd_kill(etcd[0]);
    served_end(&served, SIGKILL);
    served_start(&served, NULL, NULL);
    etcdd_run(etcd[0]);
    wait_converged(&served, generation);
    g_autofree char *after = etcdd_get(etcd[0], "/signalbox/sentinel");
    ck_assert_int_gt(g_ascii_strtoll(after, NULL, 10), g_ascii_strtoll(before, NULL, 10));
    etcdd_free(etcd, 1);
    served_clear(&served);
}
END_TEST

/* The registry's complaint, or "". */
static char *registry_error(struct served *served)
{
    json_t *status = NULL;
    ck_assert_uint_eq(served_local(served, "GET", "/v1/status", NULL, NULL, &status), 200);
    const json_t *row = json_array_get(json_object_get(status, "registries"), 0);
    const char *error = json_string_value(json_object_get(row, "error"));
    char *text = g_strdup(error != NULL ? error : "");
    json_decref(status);
    return text;
}

static void wait_complaint(struct served *served, const char *text)
{
    int64_t deadline_us = loop_now_us() + 15 * G_USEC_PER_SEC;
    for (bool there = false; !there; poll(NULL, 0, 5)) {
        g_autofree char *error = registry_error(served);
        there = strstr(error, text) != NULL;
        ck_assert_msg(there || loop_now_us() < deadline_us, "found \"%s\", expected %s", error, text);
    }
}

START_TEST(files_of_tls_are_those_of_the_key_folder)
{
    struct served served;
    struct etcdd *etcd[1];
    char text[ENDPOINT_TEXT_SIZE];
    served_new(&served);
    g_autofree char *tls = g_build_filename(served.dir, "etcd", NULL), *ca = g_strconcat(tls, ".ca.pem", NULL);
    g_autofree char *cert = g_strconcat(tls, ".cert.pem", NULL), *key = g_strconcat(tls, ".key.pem", NULL);
    g_autofree char *aside = g_strconcat(tls, ".aside", NULL), *keys = g_strconcat("--keys=", served.dir, NULL);
    struct authority *authority = authority_new(ca);
    authority_issue(authority, "etcd", 24, cert, key);
    etcdd_start_tls(served.dir, tls, 1, etcd);
    const char *const flags[] = {keys, NULL};
    ck_assert_int_eq(rename(ca, aside), 0);
    served_start(&served, NULL, flags);
    json_t *site = served_site();
    json_array_append_new(json_object_get(site, "objects"),
                          json_pack("{s:s, s:s, s:s, s:s}", "kind", "registry", "name", "disco", "address",
                                    endpoint_format(&etcd[0]->endpoint, text), "tls", "etcd"));
    served_apply(&served, site);
    wait_complaint(&served, "etcd.ca.pem");
    ck_assert_int_eq(rename(aside, ca), 0);
    ck_assert_int_eq(chmod(key, 0644), 0);
    move(&served, "*=zone-1:1"); /* it is tried again with each generation */
    wait_complaint(&served, "found mode 0644");
    ck_assert_int_eq(chmod(key, 0600), 0);
    ck_assert_int_eq(rename(cert, aside), 0);
    move(&served, "*=zone-2:1");
    wait_complaint(&served, "expected also");
    ck_assert_int_eq(rename(aside, cert), 0);
    wait_converged(&served, move(&served, "*=zone-1:1"));
    authority_free(authority);
    etcdd_free(etcd, 1);
    served_clear(&served);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, a_lever_reaches_etcd);
    tcase_add_test(tcase, files_of_tls_are_those_of_the_key_folder);
}

int main(void)
{
    return unit_run("api_eastwest", add);
}
