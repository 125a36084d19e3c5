#include "schema/object.h"

#include "core/error.h"
#include "tests/unit/unit.h"
#include <stddef.h>
#include <string.h>

#define TEN "abcdefghij"
#define FORTY TEN TEN TEN TEN

static struct object *read_text(const char *text, GPtrArray *findings)
{
    json_error_t at;
    json_t *json = json_loads(text, JSON_DECODE_ANY, &at);
    ck_assert_msg(json != NULL, "%s: %s", text, at.text);
    struct object *object = object_from_json(json, findings);
    json_decref(json);
    return object;
}

static struct object *read_good(const char *text)
{
    g_autoptr(GPtrArray) findings = finding_list_new();
    struct object *object = read_text(text, findings);
    g_autofree char *first = findings->len > 0 ? finding_text(findings->pdata[0]) : NULL;
    ck_assert_msg(object != NULL && findings->len == 0, "%s", first);
    return object;
}

static const char *const pop_text =
    "{\"kind\": \"pop\", \"name\": \"pop-a1\", \"room\": \"room-a\", \"city\": \"Su zhou\", "
    "\"carriers\": [\"carrier-2\", \"carrier-1\"], \"origin\": \"[2001:db8::1]:80\"}";

START_TEST(classes_describe_the_structs)
{
    const struct object_class *class = object_class(OBJECT_pop);
    ck_assert_str_eq(class->name, "pop");
    ck_assert_str_eq(class->plural, "pops");
    ck_assert_uint_eq(class->n_fields, 5);
    ck_assert_str_eq(class->fields[3].name, "origin");
    ck_assert_uint_eq(class->fields[3].offset, offsetof(struct pop, origin));
    ck_assert_uint_eq(object_class(OBJECT_zone)->n_fields, 0);
    ck_assert_ptr_eq(object_class_find("pops"), class);
    ck_assert_ptr_eq(object_class_find("pop"), class);
    ck_assert_ptr_null(object_class_find("popz"));
    ck_assert_int_eq(object_class_find("domain")->name_type, FIELD_FQDN);
}
END_TEST

START_TEST(json_and_struct_are_the_same)
{
    struct object *object = read_good(pop_text);
    const struct pop *pop = (const struct pop *)object;
    ck_assert_str_eq(pop->room, "room-a");
    ck_assert_str_eq(pop->carriers[1], "carrier-1");
    ck_assert_uint_eq(pop->origin.port, 80);
    json_t *json = object_to_json(object), *given = json_loads(pop_text, 0, NULL);
    ck_assert(json_equal(json, given));
    json_decref(json);
    json_decref(given);
    object_free(object);
}
END_TEST

START_TEST(defaults_are_left_out_but_not_required_fields)
{
    struct object *object = read_good("{\"kind\": \"edge\", \"name\": \"e\", \"class\": \"public\", \"address\": "
                                      "\"192.0.2.1\", \"carriers\": []}");
    json_t *json = object_to_json(object);
    char *text = json_dumps(json, JSON_COMPACT);
    ck_assert_str_eq(text, "{\"kind\":\"edge\",\"name\":\"e\",\"class\":\"public\",\"address\":\"192.0.2.1\"}");
    free(text);
    json_decref(json);
    object_free(object);
}
END_TEST

START_TEST(copies_are_equal_and_on_their_own)
{
    struct object *object = read_good(pop_text);
    object->revision = 7;
    struct object *copy = object_copy(object);
    ck_assert(object_equal(object, copy));
    ck_assert_uint_eq(copy->revision, 7);
    struct pop *pop = (struct pop *)copy;
    pop->origin.port = 81;
    ck_assert(!object_equal(object, copy));
    pop->origin.port = 80;
    g_free(pop->carriers[0]);
    pop->carriers[0] = g_strdup("carrier-3");
    ck_assert(!object_equal(object, copy));
    object_free(object);
    ck_assert_str_eq(copy->name, "pop-a1");
    object_free(copy);
}
END_TEST

START_TEST(shared_objects_live_as_long_as_their_last_owner)
{
    struct object *object = read_good(pop_text), *second = object_ref(object);
    object_free(object);
    ck_assert_str_eq(second->name, "pop-a1");
    object_free(second);
}
END_TEST

START_TEST(fields_have_a_text_for_people)
{
    struct object *object = read_good(pop_text);
    static const char *const texts[] = {"room-a", "Su zhou", "carrier-2,carrier-1", "[2001:db8::1]:80"};
    for (unsigned i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autofree char *text = object_field_text(object, i);
        ck_assert_str_eq(text, texts[i]);
    }
    object_free(object);
    object = read_good("{\"kind\": \"service\", \"name\": \"s\", \"active\": \"multi\"}");
    static const char *const absent[] = {"multi", "-", "false", "normal"};
    for (unsigned i = 0; i < G_N_ELEMENTS(absent); i++) {
        g_autofree char *text = object_field_text(object, i);
        ck_assert_str_eq(text, absent[i]);
    }
    object_free(object);
}
END_TEST

#define POP "\"kind\": \"pop\", \"name\": \"p\", \"room\": \"r\", \"carriers\": [\"c\"], "
#define ORIGIN "\"origin\": \"192.0.2.1:80\""
#define LINE "\"kind\": \"line\", \"name\": \"l\", \"from\": \"a\", \"to\": \"b\", "

START_TEST(each_wrong_value_has_its_message)
{
    static const char *const rows[][2] = {
        {"[]", "found a list of 0, expected an object with kind and name"},
        {"{\"name\": \"x\"}", "kind: found nothing, expected one of zone, room, carrier, pop, line, gateway, gwport, "
                              "instance, gwvip, edge, service, "
                              "interface, pool, component, group, variant, domain, route, dnszone, nameserver, "
                              "registry, transaction, txrequest, webhook, reminder, rule"},
        {"{\"kind\": \"zone\"}",
         "zone: name: found nothing, expected a name of 1 to 40 a-z 0-9 -, with a letter or digit at both ends"},
        {"{\"kind\": \"zone\", \"name\": 7}",
         "zone: name: found 7, expected a name of 1 to 40 a-z 0-9 -, with a letter or digit at both ends"},
        {"{\"kind\": \"zone\", \"name\": \"z\", \"at\": \"site.yaml:3\", \"colour\": 1}",
         "site.yaml:3: zone z: found unknown field \"colour\", expected one of name"},
        {"{" POP "\"origin\": \"192.0.2.1\"}",
         "pop p: origin: found \"192.0.2.1\", expected ADDRESS:PORT as 192.0.2.1:80 or [2001:db8::1]:80"},
        {"{" POP ORIGIN ", \"city\": \"\", \"revision\": 5, \"at\": \"x:1\"}", NULL},
        {"{" POP ORIGIN ", \"city\": \"a\\tb\"}",
         "pop p: city: found \"a\\u0009b\", expected printable text of 0 to 60 characters"},
        {"{\"kind\": \"pop\", \"name\": \"p\", \"room\": \"r\", " ORIGIN ", \"carriers\": [\"c\", \"d\", \"c\"]}",
         "pop p: carriers: found \"c\" twice, expected a list of 1 to 16 different names, each of a carrier"},
        {"{\"kind\": \"pop\", \"name\": \"p\", \"room\": \"r\", " ORIGIN ", \"carriers\": [\"c\", 5]}",
         "pop p: carriers: found 5, expected a list of 1 to 16 different names, each of a carrier"},
        {"{\"kind\": \"pop\", \"name\": \"p\", \"room\": \"r\", " ORIGIN ", \"carriers\": []}",
         "pop p: carriers: found a list of 0, expected a list of 1 to 16 different names, each of a carrier"},
        {"{\"kind\": \"pop\", \"name\": \"p\", \"room\": {\"a\": 1}, " ORIGIN ", \"carriers\": [\"c\"]}",
         "pop p: room: found an object, expected the name of a room"},
        {"{" LINE "\"bandwidth\": 0}", "line l: bandwidth: found 0, expected a whole number of 1 to 10000000 (Mbit/s)"},
        {"{" LINE "\"bandwidth\": 1.0}",
         "line l: bandwidth: found 1.0, expected a whole number of 1 to 10000000 (Mbit/s)"},
        {"{" LINE "\"bandwidth\": true}",
         "line l: bandwidth: found true, expected a whole number of 1 to 10000000 (Mbit/s)"},
        {"{" LINE "\"bandwidth\": 1, \"from\": \"A\"}",
         "line l: from: found \"A\", expected the name of a room or edge"},
        {"{\"kind\": \"service\", \"name\": \"s\", \"active\": \"both\"}",
         "service s: active: found \"both\", expected multi or single"},
        {"{\"kind\": \"service\", \"name\": \"s\", \"active\": \"multi\", \"auto_dr\": \"yes\"}",
         "service s: auto_dr: found \"yes\", expected true or false"},
        {"{\"kind\": \"domain\", \"name\": \"a..b\", \"group\": \"g\"}",
         "domain: name: found \"a..b\", expected a domain name in lower case, labels of 1 to 63 a-z 0-9 - _, at most "
         "253, no dot at the end"},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GPtrArray) findings = finding_list_new();
        struct object *object = read_text(rows[i][0], findings);
        g_autofree char *text = findings->len > 0 ? finding_text(findings->pdata[0]) : NULL;
        ck_assert_pstr_eq(text, rows[i][1]);
        ck_assert((object == NULL) == (rows[i][1] != NULL));
        object_free(object);
    }
}
END_TEST

START_TEST(all_that_is_wrong_is_found_at_once)
{
    g_autoptr(GPtrArray) findings = finding_list_new();
    ck_assert_ptr_null(read_text("{\"kind\": \"pop\", \"name\": \"p\", \"colour\": 1}", findings));
    ck_assert_uint_eq(findings->len, 4); /* room, carriers, origin, colour */
    g_autoptr(GError) error = NULL;
    ck_assert(!findings_error(findings, &error));
    ck_assert(g_error_matches(error, SB_ERROR, SB_ERROR_INVALID));
    ck_assert_str_eq(error->message, "pop p: room: found nothing, expected the name of a room (and 3 more)");
    json_t *json = finding_json(findings->pdata[0]);
    ck_assert_str_eq(json_string_value(json_object_get(json, "field")), "room");
    ck_assert(json_is_null(json_object_get(json, "at")));
    json_decref(json);
}
END_TEST

START_TEST(names_have_narrow_sets_of_characters)
{
    static const struct {
        enum field_type type;
        const char *text;
        bool valid;
    } rows[] = {
        {FIELD_NAME, "a", true},
        {FIELD_NAME, "room-a", true},
        {FIELD_NAME, FORTY, true},
        {FIELD_NAME, FORTY "a", false},
        {FIELD_NAME, "", false},
        {FIELD_NAME, "-a", false},
        {FIELD_NAME, "a-", false},
        {FIELD_NAME, "a_b", false},
        {FIELD_NAME, "a.b", false},
        {FIELD_NAME, "a;b", false},
        {FIELD_NAME, "a b", false},
        {FIELD_NAME, "A", false},
        {FIELD_NAME, "a\nb", false},
        {FIELD_NAME, "\xc3\xa9", false},
        {FIELD_FQDN, "a.b", true},
        {FIELD_FQDN, "_dmarc.a.b", true},
        {FIELD_FQDN, "a.b.", false},
        {FIELD_FQDN, ".a", false},
        {FIELD_FQDN, "a..b", false},
        {FIELD_FQDN, "-a.b", false},
        {FIELD_FQDN, "a-.b", false},
        {FIELD_FQDN, "*.b", false},
        {FIELD_FQDN, "a/b", false},
        {FIELD_FQDN, "", false},
        {FIELD_FQDN, FORTY TEN TEN "abc.b", true},
        {FIELD_FQDN, FORTY TEN TEN "abcd.b", false},
        {FIELD_PREFIX, "/a", true},
        {FIELD_PREFIX, "/a/B.c_~-9", true},
        {FIELD_PREFIX, "/", false},
        {FIELD_PREFIX, "/a/", false},
        {FIELD_PREFIX, "//a", false},
        {FIELD_PREFIX, "/../a", false},
        {FIELD_PREFIX, "/a/.", false},
        {FIELD_PREFIX, "/...", true},
        {FIELD_PREFIX, "a", false},
        {FIELD_PREFIX, "/a b", false},
        {FIELD_PREFIX, "/a%2f", false},
        {FIELD_PREFIX, "/a?x", false},
        {FIELD_URL, "https://x.example", true},
        {FIELD_URL, "http://x.example:8080/a/b?c=d&e=%20", true},
        {FIELD_URL, "http://[2001:db8::1]:80/", true},
        {FIELD_URL, "http://[2001:db8::1]", true},
        {FIELD_URL, "http://192.0.2.1?x", true},
        {FIELD_URL, "HTTP://x.example/", false},
        {FIELD_URL, "ftp://x.example/", false},
        {FIELD_URL, "http://", false},
        {FIELD_URL, "http:///a", false},
        {FIELD_URL, "http://x.example:/", false},
        {FIELD_URL, "http://x.example:0/", false},
        {FIELD_URL, "http://x.example:65536/", false},
        {FIELD_URL, "http://x.example:80:81/", false},
        {FIELD_URL, "http://user@x.example/", false},
        {FIELD_URL, "http://user:word@x.example/", false},
        {FIELD_URL, "http://x.example\\@y.example/", false},
        {FIELD_URL, "http://[127.0.0.1]/", false},
        {FIELD_URL, "http://[::1]x/", false},
        {FIELD_URL, "http://[::1%25eth0]/", false},
        {FIELD_URL, "http://x.example/#a", false},
        {FIELD_URL, "http://x.example/a b", false},
        {FIELD_URL, "http://x.example/\r\nHost: y", false},
        {FIELD_URL, "http://\xc3\xa9.example/", false},
        {FIELD_TEXT, "", true},
        {FIELD_TEXT, "\xe4\xb8\x8a\xe6\xb5\xb7", true},
        {FIELD_TEXT, "a\n", false},
        {FIELD_TEXT, "\xff", false},
        {FIELD_TEXT, "a\xe2\x80\xae", false}, /* turns the writing round */
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++)
        ck_assert_msg(text_valid(rows[i].type, rows[i].text) == rows[i].valid, "%s", rows[i].text);
}
END_TEST

START_TEST(strange_text_is_quoted)
{
    g_autofree char *controls = text_quote("a\n\"\\\x1b[2J\xff");
    ck_assert_str_eq(controls, "\"a\\n\\\"\\\\\\u001b[2J\\xff\"");
    g_autofree char *nothing = text_quote(NULL);
    ck_assert_str_eq(nothing, "nothing");
    g_autofree char *just = text_quote(FORTY TEN TEN);
    ck_assert_str_eq(just, "\"" FORTY TEN TEN "\"");
    g_autofree char *cut = text_quote(FORTY FORTY);
    ck_assert_str_eq(cut, "\"" FORTY TEN TEN "...\"");
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, classes_describe_the_structs);
    tcase_add_test(tcase, json_and_struct_are_the_same);
    tcase_add_test(tcase, defaults_are_left_out_but_not_required_fields);
    tcase_add_test(tcase, copies_are_equal_and_on_their_own);
    tcase_add_test(tcase, shared_objects_live_as_long_as_their_last_owner);
    tcase_add_test(tcase, fields_have_a_text_for_people);
    tcase_add_test(tcase, each_wrong_value_has_its_message);
    tcase_add_test(tcase, all_that_is_wrong_is_found_at_once);
    tcase_add_test(tcase, names_have_narrow_sets_of_characters);
    tcase_add_test(tcase, strange_text_is_quoted);
}

int main(void)
{
    return unit_run("object", add);
}
