#include "schema/yamldoc.h"

#include "core/error.h"
#include "schema/object.h"
#include "tests/unit/unit.h"
#include <string.h>

static json_t *parse_good(const char *yaml)
{
    g_autoptr(GError) error = NULL;
    json_t *json = yamldoc_parse(yaml, strlen(yaml), "f", &error);
    ck_assert_msg(json != NULL, "%s", error != NULL ? error->message : "");
    return json;
}

static void same(const char *yaml, const char *text)
{
    json_t *json = parse_good(yaml), *expected = json_loads(text, 0, NULL);
    ck_assert_ptr_nonnull(expected);
    char *got = json_dumps(json, JSON_COMPACT);
    ck_assert_msg(json_equal(json, expected), "%s: %s, not %s", yaml, got, text);
    free(got);
    json_decref(json);
    json_decref(expected);
}

START_TEST(scalars_have_few_types)
{
    same("[1, -7, 0, -0, 9223372036854775807]", "[[1, -7, 0, 0, 9223372036854775807]]");
    same("[true, false]", "[[true, false]]");
    same("[\"1\", 'true', \"a\\nb\"]", "[[\"1\", \"true\", \"a\\nb\"]]");
    same("[yes, on, null, ~, 1.5, 0x10, 007, +1, 1e3, 12:30]",
         "[[\"yes\", \"on\", \"null\", \"~\", \"1.5\", \"0x10\", \"007\", \"+1\", \"1e3\", \"12:30\"]]");
    same("[a, ]", "[[\"a\"]]");
}
END_TEST

START_TEST(mappings_know_their_line)
{
    same("# comment\na:\n  - {b: 1}\n  -\n    c: 2\n",
         "[{\"@line\": 2, \"a\": [{\"@line\": 3, \"b\": 1}, {\"@line\": 5, \"c\": 2}]}]");
    json_t *json = parse_good("a: {b: [{c: 1}]}");
    yamldoc_strip(json);
    char *text = json_dumps(json, JSON_COMPACT);
    ck_assert_str_eq(text, "[{\"a\":{\"b\":[{\"c\":1}]}}]");
    free(text);
    json_decref(json);
}
END_TEST

START_TEST(a_stream_has_any_number_of_documents)
{
    same("", "[]");
    same("# nothing\n", "[]");
    same("a: 1\n---\nb: 2\n", "[{\"@line\": 1, \"a\": 1}, {\"@line\": 3, \"b\": 2}]");
    same("\xef\xbb\xbf"
         "a: 1\n",
         "[{\"@line\": 1, \"a\": 1}]"); /* some editors put a mark in front */
}
END_TEST

START_TEST(what_is_formatted_is_read_back)
{
    json_t *given =
        json_loads("{\"text\": \"plain words\", \"number\": \"1\", \"word\": \"true\", \"empty\": \"\", \"i\": -5,"
                   "\"b\": false, \"colon\": \"a: b\", \"hash\": \"a #b\", \"line\": \"a\\nb\", \"null\": \"null\","
                   "\"list\": [], \"map\": {}, \"nested\": [[1, \"~\"], {\"x\": \"yes\"}], \"\": \"empty key\","
                   "\"utf\": \"\\u4e0a\\u6d77\", \"escape\": \"\\u001b[0m\", \"- x\": \"- y\", \"7\": \"@z\"}",
                   0, NULL);
    ck_assert_ptr_nonnull(given);
    g_autofree char *yaml = yamldoc_format(given);
    json_t *json = parse_good(yaml);
    yamldoc_strip(json);
    ck_assert_msg(json_equal(json_array_get(json, 0), given), "%s", yaml);
    json_decref(json);
    json_decref(given);
}
END_TEST

START_TEST(files_are_collected_into_the_body_of_apply)
{
    g_autoptr(GPtrArray) findings = finding_list_new();
    json_t *documents =
        parse_good("zones:\n  - {name: z}\nrooms:\n  - name: r\n    zone: z\n---\nlab: {x: 1}\nrate: 5\n"
                   "---\n---\nplan: p\nsteps: []\n");
    json_t *body = json_object();
    yamldoc_collect(documents, "f.yaml", body, findings);
    ck_assert_uint_eq(findings->len, 0);
    json_t *expected =
        json_loads("{\"objects\": [{\"kind\": \"zone\", \"at\": \"f.yaml:2\", \"name\": \"z\"},"
                   "{\"kind\": \"room\", \"at\": \"f.yaml:4\", \"name\": \"r\", \"zone\": \"z\"}],"
                   "\"plans\": [{\"@line\": 11, \"plan\": \"p\", \"steps\": [], \"at\": \"f.yaml:11\"}]}",
                   0, NULL);
    ck_assert(json_equal(body, expected));
    json_decref(expected);
    json_decref(documents);
    json_decref(body);
}
END_TEST

START_TEST(what_cannot_be_collected_is_found)
{
#define PLACES                                                                                                         \
    "expected plan, lab or a list of objects: zones, rooms, carriers, pops, lines, gateways, gwports, "                \
    "instances, gwvips, edges, services, interfaces, pools, components, groups, variants, domains, "                   \
    "routes, dnszones, nameservers, registries, transactions, txrequests, webhooks, reminders, rules"
    static const char *const rows[][2] = {
        {"room: []\n", "f:1: found \"room\", " PLACES},
        {"- a\n", "f: found a list of 1, " PLACES},
        {"words\n", "f: found \"words\", " PLACES},
        {"rooms: 5\n", "f:1: rooms: found 5, expected a list"},
        {"rooms: [5]\n", "f: rooms: found 5, expected a mapping with a name"},
        {"rooms:\n  - {name: r, revision: 5}\n",
         "f:2: room: found unknown field \"revision\", expected fields of the object; its list says the kind"},
        {"rooms:\n  - {name: r, kind: pop}\n",
         "f:2: room: found unknown field \"kind\", expected fields of the object; its list says the kind"},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GPtrArray) findings = finding_list_new();
        json_t *documents = parse_good(rows[i][0]), *body = json_object();
        yamldoc_collect(documents, "f", body, findings);
        ck_assert_uint_eq(findings->len, 1);
        g_autofree char *text = finding_text(findings->pdata[0]);
        ck_assert_str_eq(text, rows[i][1]);
        ck_assert_uint_eq(json_array_size(json_object_get(body, "objects")), 0);
        json_decref(documents);
        json_decref(body);
    }
}
END_TEST

START_TEST(files_that_are_not_there_are_told)
{
    g_autoptr(GError) error = NULL;
    ck_assert_ptr_null(yamldoc_load_file("/nonexistent/x.yaml", &error));
    ck_assert(g_error_matches(error, SB_ERROR, SB_ERROR_NOT_FOUND));
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, scalars_have_few_types);
    tcase_add_test(tcase, mappings_know_their_line);
    tcase_add_test(tcase, a_stream_has_any_number_of_documents);
    tcase_add_test(tcase, what_is_formatted_is_read_back);
    tcase_add_test(tcase, files_are_collected_into_the_body_of_apply);
    tcase_add_test(tcase, what_cannot_be_collected_is_found);
    tcase_add_test(tcase, files_that_are_not_there_are_told);
}

int main(void)
{
    return unit_run("yamldoc", add);
}
