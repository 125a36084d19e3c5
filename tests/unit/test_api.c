/* test_api.c: what operators ask of a real signalboxd, and what a wrong body changes: nothing. */
#include "core/loop.h"
#include "schema/jsondoc.h"
#include "tests/unit/served_case.h"
#include "tests/unit/unit.h"
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- conditions ---- */

START_TEST(writes_need_the_revision_they_replace)
{
    served_apply_site(&served);
    g_autofree char *token = served_token(&served, "alice", "admin"), *first = NULL, *second = NULL;
    const char *lever = "/v1/controls/pop/pop-a1", *room = "/v1/inventory/rooms/room-c";
    const char *out = "{\"value\":\"out\",\"reason\":\"a test\"}", *base = served.operators;
    served_call(&served, base, token, "GET", lever, NULL, NULL, NULL, &first);
    ck_assert_str_eq(first, "\"0\"");
    ck_assert_uint_eq(served_call(&served, base, token, "PUT", lever, NULL, out, NULL, NULL), 428);
    ck_assert_uint_eq(served_call(&served, base, token, "PUT", lever, "W/\"0\"", out, NULL, NULL), 400);
    ck_assert_uint_eq(served_call(&served, base, token, "PUT", lever, "\"7\"", out, NULL, NULL), 412);
    ck_assert_uint_eq(served_call(&served, base, token, "PUT", lever, first, out, NULL, &second), 200);
    ck_assert_str_ne(first, second);
    ck_assert_uint_eq(served_call(&served, base, token, "PUT", lever, first, out, NULL, NULL), 412);
    ck_assert_uint_eq(served_call(&served, base, token, "PUT", lever, second, "{\"value\":\"in\"}", NULL, NULL), 200);
    ck_assert_uint_eq(served_call(&served, base, token, "PUT", lever, "*", out, NULL, NULL), 200);
    const char *body = "{\"zone\":\"zone-1\"}";
    ck_assert_uint_eq(served_call(&served, base, token, "PUT", room, NULL, body, NULL, NULL), 428);
    ck_assert_uint_eq(served_call(&served, base, token, "PUT", room, "*", body, NULL, NULL), 412);
    ck_assert_uint_eq(served_call(&served, base, token, "PUT", room, "\"0\"", body, NULL, NULL), 200);
    ck_assert_uint_eq(served_call(&served, base, token, "PUT", room, "\"0\"", body, NULL, NULL), 412);
    g_autofree char *etag = NULL;
    json_t *got = NULL;
    ck_assert_uint_eq(served_call(&served, base, token, "GET", room, NULL, NULL, &got, &etag), 200);
    ck_assert_str_eq(text_at(got, "zone"), "zone-1");
    json_decref(got);
    ck_assert_uint_eq(served_call(&served, base, token, "DELETE", room, "\"1\"", NULL, NULL, NULL), 412);
    ck_assert_uint_eq(served_call(&served, base, token, "DELETE", room, etag, NULL, NULL, NULL), 200);
    ck_assert_uint_eq(served_call(&served, base, token, "GET", room, NULL, NULL, NULL, NULL), 404);
    ck_assert_uint_eq(served_call(&served, base, token, "DELETE", "/v1/inventory/pops/pop-a1", "*", NULL, NULL, NULL),
                      200);
}
END_TEST

/* RFC 7396, appendix A. */
START_TEST(merge_patches)
{
    static const char *const rows[][3] = {
        {"{\"a\":\"b\"}", "{\"a\":\"c\"}", "{\"a\":\"c\"}"},
        {"{\"a\":\"b\"}", "{\"b\":\"c\"}", "{\"a\":\"b\",\"b\":\"c\"}"},
        {"{\"a\":\"b\"}", "{\"a\":null}", "{}"},
        {"{\"a\":\"b\",\"b\":\"c\"}", "{\"a\":null}", "{\"b\":\"c\"}"},
        {"{\"a\":[\"b\"]}", "{\"a\":\"c\"}", "{\"a\":\"c\"}"},
        {"{\"a\":\"c\"}", "{\"a\":[\"b\"]}", "{\"a\":[\"b\"]}"},
        {"{\"a\":{\"b\":\"c\"}}", "{\"a\":{\"b\":\"d\",\"c\":null}}", "{\"a\":{\"b\":\"d\"}}"},
        {"{\"a\":[{\"b\":\"c\"}]}", "{\"a\":[1]}", "{\"a\":[1]}"},
        {"[\"a\",\"b\"]", "[\"c\",\"d\"]", "[\"c\",\"d\"]"},
        {"{\"a\":\"b\"}", "[\"c\"]", "[\"c\"]"},
        {"{\"a\":\"foo\"}", "null", "null"},
        {"{\"a\":\"foo\"}", "\"bar\"", "\"bar\""},
        {"{\"e\":null}", "{\"a\":1}", "{\"e\":null,\"a\":1}"},
        {"[1,2]", "{\"a\":\"b\",\"c\":null}", "{\"a\":\"b\"}"},
        {"{}", "{\"a\":{\"bb\":{\"ccc\":null}}}", "{\"a\":{\"bb\":{}}}"},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        json_t *target = json_loads(rows[i][0], JSON_DECODE_ANY, NULL),
               *patch = json_loads(rows[i][1], JSON_DECODE_ANY, NULL),
               *wanted = json_loads(rows[i][2], JSON_DECODE_ANY, NULL), *found = json_merge_patch(target, patch);
        ck_assert_msg(json_equal(found, wanted), "%s and %s", rows[i][0], rows[i][1]);
        json_decref(target);
        json_decref(patch);
        json_decref(wanted);
        json_decref(found);
    }
}
END_TEST

START_TEST(an_object_is_patched)
{
    served_apply_site(&served);
    const char *pop = "/v1/inventory/pops/pop-a1", *base = served.operators;
    g_autofree char *token = served_token(&served, "alice", "admin"), *first = NULL, *later = NULL;
    json_t *before = NULL, *after = NULL, *answer = NULL;
    served_call(&served, base, token, "GET", pop, NULL, NULL, &before, &first);
    const char *city = "{\"city\":\"Wuxi\",\"reason\":\"it moved\"}";
    ck_assert_uint_eq(served_call(&served, base, token, "PATCH", pop, NULL, city, NULL, NULL), 428);
    ck_assert_uint_eq(served_call(&served, base, token, "PATCH", pop, "\"99\"", city, NULL, NULL), 412);
    ck_assert_uint_eq(served_call(&served, base, token, "PATCH", pop, first, city, NULL, NULL), 200);
    ck_assert_uint_eq(served_call(&served, base, token, "PATCH", pop, first, city, NULL, NULL), 412);
    served_call(&served, base, token, "GET", pop, NULL, NULL, &after, &later);
    ck_assert_str_ne(first, later);
    ck_assert_str_eq(text_at(after, "city"), "Wuxi");
    json_object_set(before, "city", json_object_get(after, "city"));
    json_object_set(before, "revision", json_object_get(after, "revision"));
    ck_assert(json_equal(before, after)); /* nothing else */
    static const struct {
        const char *path, *body, *said;
        unsigned status;
    } wrong[] = {{"pops/pop-a1", "{\"origin\":null}", "origin", 400},
                 {"pops/pop-a1", "{\"colour\":\"red\"}", "colour", 400},
                 {"pops/pop-a1", "{\"name\":\"pop-x\"}", "as in the path", 400},
                 {"pops/pop-a1", "[]", "expected a JSON object", 400},
                 {"pops/pop-a1", "{\"room\":\"room-z\"}", "room-z", 400},
                 {"pops/nobody", "{}", "none of this name", 404},
                 {"things/x", "{}", "expected a kind", 404}};
    for (size_t i = 0; i < G_N_ELEMENTS(wrong); i++) {
        g_autofree char *path = g_strdup_printf("/v1/inventory/%s", wrong[i].path);
        unsigned status = served_call(&served, base, token, "PATCH", path, "*", wrong[i].body, &answer, NULL);
        ck_assert_msg(status == wrong[i].status && strstr(text_at(answer, "detail"), wrong[i].said) != NULL,
                      "%s: %u %s", wrong[i].body, status, text_at(answer, "detail"));
        json_decref(answer);
    }
    ck_assert_uint_eq(served_call(&served, base, token, "PATCH", pop, "*", "{\"city\":\"Suzhou\"}", NULL, NULL), 200);
    json_decref(before);
    json_decref(after);
}
END_TEST

START_TEST(apply_after_export_changes_nothing)
{
    served_apply_site(&served);
    json_t *all = NULL, *answer = NULL;
    ck_assert_uint_eq(served_local(&served, "GET", "/v1/export", NULL, NULL, &all), 200);
    json_object_set_new(all, "prune", json_true());
    char *text = json_dumps(all, 0);
    json_int_t before = status_number("generation");
    ck_assert_uint_eq(served_local(&served, "POST", "/v1/apply", NULL, text, &answer), 200);
    ck_assert_str_eq(text_at(answer, "diff"), "");
    ck_assert_int_eq(status_number("generation"), before);
    free(text);
    json_decref(all);
    json_decref(answer);
}
END_TEST

/* ---- hostile input ---- */

static char *nested(unsigned depth)
{
    GString *text = g_string_new("{\"objects\":");
    for (unsigned i = 0; i < depth; i++)
        g_string_append_c(text, '[');
    for (unsigned i = 0; i < depth; i++)
        g_string_append_c(text, ']');
    g_string_append_c(text, '}');
    return g_string_free(text, FALSE);
}

START_TEST(hostile_bodies_change_nothing)
{
    served_apply_site(&served);
    g_autofree char *deep = nested(100), *deeper = nested(100000), *label = g_strnfill(64, 'a');
    g_autofree char *long_label =
        g_strdup_printf("{\"objects\":[{\"kind\":\"domain\",\"name\":\"%s.test\",\"group\":\"core\"}]}", label);
    const struct {
        const char *method, *path, *body;
        unsigned status;
        const char *text; /* in the detail */
    } cases[] = {
        {"POST", "/v1/apply", "{\"objects\":[{\"kind\":\"room\",\"name\":\"a;b\",\"zone\":\"zone-1\"}]}", 400, "a;b"},
        {"POST", "/v1/apply", "{\"objects\":[{\"kind\":\"room\",\"name\":\"a\\nb\",\"zone\":\"zone-1\"}]}", 400,
         "name"},
        {"POST", "/v1/apply", "{\"objects\":[{\"kind\":\"room\",\"name\":\"a\\\"b\",\"zone\":\"zone-1\"}]}", 400,
         "name"},
        {"POST", "/v1/apply", "{\"objects\":[{\"kind\":\"room\",\"name\":\"a\\u0000b\",\"zone\":\"zone-1\"}]}", 400,
         ""},
        {"POST", "/v1/apply", long_label, 400, "domain"},
        {"POST", "/v1/apply", "{\"objects\":[{\"kind\":\"room\",\"name\":\"room-c\",\"zone\":\"zone-9\"}]}", 400,
         "zone-9"},
        {"POST", "/v1/apply",
         "{\"objects\":[{\"kind\":\"room\",\"name\":\"room-c\",\"zone\":\"zone-1\",\"colour\":1}]}", 400, "colour"},
        {"POST", "/v1/apply", "{\"objects\":[{\"kind\":\"castle\",\"name\":\"x\"}]}", 400, "castle"},
        {"POST", "/v1/apply",
         "{\"objects\":[{\"kind\":\"nameserver\",\"name\":\"ns-2\",\"zone\":\"example.test\",\"role\":\"secondary\","
         "\"primary\":\"ns-3\",\"address\":\"192.0.2.54:53\",\"key\":\"signalbox\"}]}",
         400, "ns-"},
        {"POST", "/v1/apply", "{\"objects\":[],\"objects\":[]}", 400, "duplicate"},
        {"POST", "/v1/apply", "{\"everything\":[]}", 400, "everything"},
        {"POST", "/v1/apply", deep, 400, ""},
        {"POST", "/v1/apply", deeper, 400, ""},
        {"POST", "/v1/apply", "{\"objects\":", 400, "body"},
        {"POST", "/v1/apply", "[1,2]", 400, "object"},
        {"POST", "/v1/apply",
         "{\"plans\":[{\"plan\":\"p\",\"steps\":[{\"name\":\"a\",\"needs\":[\"b\"],\"check\":\"room-open\"},"
         "{\"name\":\"b\",\"needs\":[\"a\"],\"check\":\"room-open\"}]}]}",
         400, ""},
        {"POST", "/v1/controls", "{\"changes\":[{\"control\":\"pop\",\"object\":\"pop-a1\",\"value\":\"out;quit\"}]}",
         400, "out"},
        {"POST", "/v1/controls", "{\"changes\":[{\"control\":\"pop\",\"object\":\"pop-zz\",\"value\":\"out\"}]}", 404,
         "pop-zz"},
        {"POST", "/v1/controls", "{\"changes\":[],\"reason\":7}", 400, "reason"},
        {"POST", "/v1/controls", "{\"changes\":[],\"overrides\":[\"Gravity\"]}", 400, "Gravity"},
        {"POST", "/v1/apply", "{\"objects\":[],\"overrides\":[\"gravity\"]}", 400, "gravity"},
        {"POST", "/v1/plans/room-isolated/run", "{\"target\":\"room-a\",\"confirm\":\"room-b\"}", 400, "room-b"},
        {"POST", "/v1/plans/nonsense/run", "{}", 404, "nonsense"},
        {"POST", "/v1/status", "{}", 405, "GET"},
        {"GET", "/v1/nothing%00here", NULL, 404, "path"},
        {"GET", "/v1/inventory/pops/..%2f..%2fetc", NULL, 404, "path"},
        {"GET", "/v1/inventory/castles", NULL, 404, "castles"},
        {"GET", "/v1/audit?limit=1e9", NULL, 400, "limit"},
        {"GET", "/v1/explain?url=http%3A%2F%2Fnobody.test%2F%3B", NULL, 404, ""},
    };
    json_int_t before = status_number("generation");
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        json_t *answer = NULL;
        unsigned status = served_local(&served, cases[i].method, cases[i].path, NULL, cases[i].body, &answer);
        ck_assert_msg(status == cases[i].status && strstr(text_at(answer, "detail"), cases[i].text) != NULL,
                      "case %zu: %s %s: found %u \"%s\", expected %u with \"%s\"", i, cases[i].method, cases[i].path,
                      status, text_at(answer, "detail"), cases[i].status, cases[i].text);
        ck_assert_int_eq(number_at(answer, "status"), status);
        ck_assert(g_str_has_prefix(text_at(answer, "type"), "urn:signalbox:problem:"));
        ck_assert_uint_ge(json_array_size(json_object_get(answer, "errors")), 1);
        json_decref(answer);
    }
    ck_assert_int_eq(status_number("generation"), before);
}

START_TEST(executions_are_followed)
{
    served_apply_site(&served);
    json_t *run = NULL, *answer = NULL;
    ck_assert_uint_eq(served_local(&served, "POST", "/v1/plans/room-isolated/run", NULL,
                                   "{\"target\":\"room-a\",\"dry_run\":true}", &answer),
                      200);
    ck_assert_ptr_nonnull(json_object_get(answer, "steps"));
    json_int_t looked_at = number_at(answer, "generation");
    json_decref(answer);
    /* No edge reports, which was known to be so; but then that was not what was looked at. */
    ck_assert_uint_eq(served_local(&served, "POST", "/v1/plans/room-isolated/run", NULL,
                                   "{\"target\":\"room-a\",\"checks\":{\"levers\":\"pass\",\"figures\":\"pass\"}}",
                                   &answer),
                      412);
    ck_assert_msg(strstr(text_at(answer, "detail"), "figures was pass and is warn: 0 of 4 edges report") != NULL, "%s",
                  text_at(answer, "detail"));
    ck_assert_ptr_null(strstr(text_at(answer, "detail"), "levers"));
    json_decref(answer);
    ck_assert_uint_eq(served_local(&served, "PUT", "/v1/controls/pop/pop-b1", "*", "{\"value\":\"out\"}", NULL), 200);
    g_autofree char *bound =
        g_strdup_printf("{\"target\":\"room-a\",\"generation\":%" JSON_INTEGER_FORMAT "}", looked_at);
    ck_assert_uint_eq(served_local(&served, "POST", "/v1/plans/room-isolated/run", NULL, bound, &answer), 412);
    ck_assert_msg(strstr(text_at(answer, "detail"), "pop/pop-b1 is out (uid:0)") != NULL, "%s",
                  text_at(answer, "detail"));
    json_decref(answer);
    ck_assert_uint_eq(served_local(&served, "GET", "/v1/executions", NULL, NULL, &answer), 200);
    ck_assert_uint_eq(json_array_size(json_object_get(answer, "executions")), 0);
    json_decref(answer);
    ck_assert_uint_eq(served_local(&served, "POST", "/v1/plans/room-isolated/run", NULL,
                                   "{\"target\":\"room-a\",\"confirm\":\"room-a\",\"reason\":\"a test\"}", &run),
                      202);
    g_autofree char *url = g_strdup_printf("/v1/executions/%s", text_at(run, "id"));
    ck_assert_uint_eq(served_local(&served, "GET", url, NULL, NULL, &answer), 200);
    json_t *events = json_object_get(answer, "events");
    json_int_t last = number_at(json_array_get(events, json_array_size(events) - 1), "seq");
    ck_assert_int_gt(last, 0);
    json_decref(answer);
    /* Nothing newer: it waits for as long as it was told to. */
    g_autofree char *later = g_strdup_printf("%s?after=%lld&wait=1", url, (long long)last + 1000);
    int64_t start = loop_now_us();
    ck_assert_uint_eq(served_local(&served, "GET", later, NULL, NULL, NULL), 200);
    ck_assert_int_ge(loop_now_us() - start, G_USEC_PER_SEC);
    /* The end of the plan is an event: who waits gets it long before his time is up. */
    g_autofree char *abort = g_strdup_printf("%s/abort", url),
                    *next = g_strdup_printf("%s?after=%lld&wait=25", url, (long long)last);
    pid_t aborter = fork();
    if (aborter == 0)
        _exit(served_local(&served, "POST", abort, NULL, "{\"reason\":\"enough\",\"overrides\":[\"share-moved\"]}",
                           NULL) == 202
                  ? 0
                  : 1);
    start = loop_now_us();
    ck_assert_uint_eq(served_local(&served, "GET", next, NULL, NULL, &answer), 200);
    ck_assert_int_lt(loop_now_us() - start, 10 * G_USEC_PER_SEC);
    json_decref(answer);
    int status;
    waitpid(aborter, &status, 0);
    ck_assert_int_eq(status, 0);
    json_decref(run);
    ck_assert_uint_eq(served_local(&served, "GET", "/v1/executions/none", NULL, NULL, NULL), 404);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_checked_fixture(tcase, served_setup, served_teardown);
    tcase_set_timeout(tcase, 200); /* sanitizers are slow */
    tcase_add_test(tcase, writes_need_the_revision_they_replace);
    tcase_add_test(tcase, merge_patches);
    tcase_add_test(tcase, an_object_is_patched);
    tcase_add_test(tcase, apply_after_export_changes_nothing);
    tcase_add_test(tcase, hostile_bodies_change_nothing);
    tcase_add_test(tcase, executions_are_followed);
}

int main(void)
{
    return unit_run("api", add);
}
