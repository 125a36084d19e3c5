/* test_hostile.c: what strangers may send, each with the exact message that it gets. Every input goes the whole way of
 * `apply`: parse, collect, read, validate. Nothing may crash, hang, leak or be taken in. */
#include "core/error.h"
#include "schema/inventory.h"
#include "schema/jsondoc.h"
#include "schema/plan.h"
#include "schema/yamldoc.h"
#include "tests/unit/unit.h"
#include <string.h>

#define L64 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define SITE                                                                                                           \
    "zones: [{name: z}]\nrooms: [{name: r, zone: z}]\ndnszones: [{name: t.test}]\n"                                    \
    "services: [{name: s, active: multi}]\ngroups: [{name: g, service: s, zone: t.test}]\n"
#define DOMAIN_NAME                                                                                                    \
    ", expected a domain name in lower case, labels of 1 to 63 a-z 0-9 - _, at most 253, no dot at the end"
#define NAME ", expected a name of 1 to 40 a-z 0-9 -, with a letter or digit at both ends"

/* The first message for a body of `apply`, "" when it is good; g_free. */
static char *body_complaint(json_t *body, GPtrArray *findings)
{
    size_t i;
    json_t *item;
    struct inventory *inv = inventory_from_json(body, findings);
    if (inv != NULL)
        inventory_validate(inv, findings);
    json_array_foreach (json_object_get(body, "plans"), i, item)
        plan_free(plan_from_json(item, NULL, findings));
    inventory_unref(inv);
    return findings->len > 0 ? finding_text(findings->pdata[0]) : g_strdup("");
}

static char *yaml_complaint(const char *text, size_t size)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) findings = finding_list_new();
    json_t *documents = yamldoc_parse(text, size, "f", &error), *body = json_object();
    if (documents != NULL)
        yamldoc_collect(documents, "f", body, findings);
    char *complaint = error != NULL       ? g_strdup(error->message)
                      : findings->len > 0 ? finding_text(findings->pdata[0])
                                          : body_complaint(body, findings);
    json_decref(documents);
    json_decref(body);
    return complaint;
}

static char *json_complaint(const char *text, size_t size)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) findings = finding_list_new();
    json_t *body = jsondoc_parse(text, size, "body", &error);
    char *complaint = error != NULL ? g_strdup(error->message) : body_complaint(body, findings);
    json_decref(body);
    return complaint;
}

struct row {
    const char *text;
    size_t size; /* 0: strlen(text) */
    const char *message;
};
#define BYTES(literal) literal, sizeof literal - 1

static void rows_check(const struct row *rows, size_t n, char *(*complaint)(const char *, size_t))
{
    for (size_t i = 0; i < n; i++) {
        g_autofree char *got = complaint(rows[i].text, rows[i].size > 0 ? rows[i].size : strlen(rows[i].text));
        ck_assert_msg(strcmp(got, rows[i].message) == 0, "%s\n  gave %s\n  not  %s", rows[i].text, got,
                      rows[i].message);
    }
}

START_TEST(hostile_yaml)
{
    static const struct row rows[] = {
        {SITE, 0, ""},
        {"a: &x 1\nb: *x\n", 0, "f:1: found the anchor \"x\", expected none"},
        {"a: &a [1]\nb: &b [*a, *a]\nc: &c [*b, *b]\n", 0, "f:1: found the anchor \"a\", expected none"},
        {"a: *x\n", 0, "f:1: found the alias \"x\", expected none"},
        {"a: !!python/object 1\n", 0, "f:1: found the tag \"tag:yaml.org,2002:python/object\", expected none"},
        {"zones: !x [1]\n", 0, "f:1: found the tag \"!x\", expected none"},
        {"%YAML 1.1\n---\na: 1\n", 0, "f:1: found a directive, expected none"},
        {"a: 1\n<<: {b: 2}\n", 0, "f:2: found the merge key \"<<\", expected a key"},
        {"zones:\n  - {name: z, name: y}\n", 0, "f:2: found the key \"name\" twice, expected it once"},
        {"zones: []\n\nzones: []\n", 0, "f:3: found the key \"zones\" twice, expected it once"},
        {"\"@line\": 5\n", 0, "f:1: found the key \"@line\", expected one that does not begin with @"},
        {"{[a]: 1}\n", 0, "f:1: found a list or mapping as a key, expected text"},
        {"a: [[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]\n", 0, "f:1: found nesting deeper than 16, expected at most that"},
        {"a: \"x\\0y\"\n", 0, "f:1: found a NUL character, expected text without it"},
        {"\"x\\0y\": 1\n", 0, "f:1: found a NUL character, expected text without it"},
        {BYTES("zones: []\na\0b: 1\n"), "f:2: found something that is not YAML: control characters are not allowed"},
        {"zones:\n- {name: \xff}\n", 0, "f:2: found something that is not YAML: invalid leading UTF-8 octet"},
        {BYTES("\xff\xfe"
               "a\0"),
         "f:1: found something that is not YAML: invalid leading UTF-8 octet"},
        {"a: [1\nb: 2\n", 0,
         "f:2: found something that is not YAML: while parsing a flow sequence, did not find expected ',' or ']'"},
        {"a: 99999999999999999999\n", 0,
         "f:1: found the number \"99999999999999999999\", expected one of at most 64 bits"},
        {"\ta: 1\n", 0,
         "f:1: found something that is not YAML: while scanning for the next token, found character that cannot start "
         "any token"},
        {SITE "domains: [{name: \"a;b.t.test\", group: g}]\n", 0,
         "f:6: domain: name: found \"a;b.t.test\"" DOMAIN_NAME},
        {SITE "domains:\n- {name: \"a\\nb.t.test\", group: g}\n", 0,
         "f:7: domain: name: found \"a\\nb.t.test\"" DOMAIN_NAME},
        {SITE "domains: [{name: 'a\"b.t.test', group: g}]\n", 0,
         "f:6: domain: name: found \"a\\\"b.t.test\"" DOMAIN_NAME},
        {SITE "domains: [{name: " L64 ".t.test, group: g}]\n", 0,
         "f:6: domain: name: found \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa...\"" DOMAIN_NAME},
        {SITE "domains: [{name: A.t.test, group: g}]\n", 0, "f:6: domain: name: found \"A.t.test\"" DOMAIN_NAME},
        {SITE "domains: [{name: a.t.test, group: h}]\n", 0,
         "f:6: domain a.t.test: group: found \"h\", expected the name of a group that exists"},
        {SITE "domains: [{name: a.t.test, group: g, ttl: 5}]\n", 0,
         "f:6: domain a.t.test: found unknown field \"ttl\", expected one of name, group, variant"},
        {SITE "domains: [{name: a.t.test, group: {name: g}}]\n", 0,
         "f:6: domain a.t.test: group: found an object, expected the name of a group"},
        {SITE "carriers: [{name: 1234}]\n", 0, "f:6: carrier: name: found 1234" NAME},
        {SITE "carriers: [{name: true}]\n", 0, "f:6: carrier: name: found true" NAME},
        {SITE "carriers: [{name: \"\\e[2J\"}]\n", 0, "f:6: carrier: name: found \"\\u001b[2J\"" NAME},
        {SITE "routes: [{name: x, group: g, service: s, prefix: /../etc}]\n", 0,
         "f:6: route x: prefix: found \"/../etc\", expected a path prefix as /a/b of A-Z a-z 0-9 . _ ~ -, at most 200, "
         "no "
         "slash at the end"},
        {SITE "lines: [{name: l, from: r, to: q, bandwidth: 9223372036854775807}]\n", 0,
         "f:6: line l: bandwidth: found 9223372036854775807, expected a whole number of 1 to 10000000 (Mbit/s)"},
        {"plan: p\nsteps:\n  - {name: a, check: forecast, needs: [b]}\n  - {name: b, check: forecast}\n", 0,
         "f:1: plan p: needs: found the circle a -> b -> a, expected steps that can all start"},
        {"plan: \"p;q\"\nsteps: [{name: a, check: forecast}]\n", 0, "f:1: plan: plan: found \"p;q\"" NAME},
        {"plan: p\nsteps:\n  - {name: a, set: [{control: pop, on: \"x; shutdown\", value: out}]}\n", 0,
         "f:3: plan p, step a: on: found \"x; shutdown\", expected the name of a pop, $target, home=$target, "
         "stranded=$target or "
         "carrier=$target"},
    };
    rows_check(rows, G_N_ELEMENTS(rows), yaml_complaint);
}
END_TEST

#define OBJECTS(text) "{\"objects\": [" text "]}"

START_TEST(hostile_json)
{
    static const struct row rows[] = {
        {OBJECTS("{\"kind\": \"zone\", \"name\": \"z\"}"), 0, ""},
        {"", 0, "body:1: found no strict JSON: '[' or '{' expected"},
        {"5", 0, "body:1: found no strict JSON: '[' or '{' expected"},
        {"{\"objects\": []} x", 0, "body:1: found no strict JSON: end of file expected"},
        {"{\"objects\": [],\n\"objects\": []}", 0, "body:2: found no strict JSON: duplicate object key"},
        {"{\"objects\": [1, ]}", 0, "body:1: found no strict JSON: unexpected token"},
        {BYTES("[123\0]"), "body:1: found a NUL character, expected text without it"},
        {OBJECTS("{\"kind\": \"zone\", \"name\": \"a\\u0000b\"}"), 0,
         "body:1: found no strict JSON: \\u0000 is not allowed without JSON_ALLOW_NUL"},
        {OBJECTS("{\"kind\": \"zone\", \"name\": \"\xff\"}"), 0,
         "body:1: found no strict JSON: unable to decode byte 0xff"},
        {"[99999999999999999999]", 0, "body:1: found no strict JSON: too big integer"},
        {"[1e999]", 0, "body:1: found no strict JSON: real number overflow"},
        {"[NaN]", 0, "body:1: found no strict JSON: invalid token"},
        {"{\"objects\": {}}", 0, "objects: found an object, expected a list of objects"},
        {"[]", 0, "objects: found nothing, expected a list of objects"},
        {OBJECTS("null"), 0, "found null, expected an object with kind and name"},
        {OBJECTS("{\"kind\": \"zones\", \"name\": \"z\"}"), 0,
         "kind: found \"zones\", expected one of zone, room, carrier, pop, line, gateway, gwport, instance, gwvip, "
         "edge, service, interface, pool, "
         "component, group, variant, "
         "domain, route, dnszone, nameserver, registry, transaction, txrequest, webhook, reminder, rule"},
        {OBJECTS("{\"kind\": [[]], \"name\": \"z\"}"), 0,
         "kind: found a list of 1, expected one of zone, room, carrier, pop, line, gateway, gwport, instance, gwvip, "
         "edge, service, interface, pool, "
         "component, group, variant, "
         "domain, route, dnszone, nameserver, registry, transaction, txrequest, webhook, reminder, rule"},
        {OBJECTS("{\"kind\": \"zone\", \"name\": \"z\", \"at\": \"evil\\nlog line\", \"x\": 1}"), 0,
         "zone z: found unknown field \"x\", expected one of name"},
        {OBJECTS("{\"kind\": \"zone\", \"name\": \"z\", \"a\\nb\": 1}"), 0,
         "zone z: found unknown field \"a\\nb\", expected one of name"},
        {OBJECTS("{\"kind\": \"edge\", \"name\": \"e\", \"class\": \"public\", \"address\": \"192.0.2.1\\u000a\"}"), 0,
         "edge e: address: found \"192.0.2.1\\n\", expected an address as 192.0.2.1 or 2001:db8::1"},
        {"{\"objects\": [], \"plans\": [{\"plan\": \"p\", \"steps\": [{\"name\": \"a\", \"check\": {\"x\": 1}}]}]}", 0,
         "plan p, step a: check: found an object, expected one of forecast"},
        {"{\"objects\": [], \"plans\": [5]}", 0, "plan: plan: found nothing" NAME},
    };
    rows_check(rows, G_N_ELEMENTS(rows), json_complaint);
}
END_TEST

static char *repeat(const char *before, const char *text, unsigned n, const char *after)
{
    GString *out = g_string_new(before);
    for (unsigned i = 0; i < n; i++)
        g_string_append(out, text);
    return g_string_free(g_string_append(out, after), FALSE);
}

#define DEEP 100000
START_TEST(depth_and_size_are_bounded)
{
    static const struct {
        const char *before, *text, *message;
        char *(*complaint)(const char *, size_t);
    } rows[] = {
        {"a: ", "[", "f:1: found nesting deeper than 16, expected at most that", yaml_complaint},
        {"a: ", "{a: ", "f:1: found nesting deeper than 16, expected at most that", yaml_complaint},
        {"", "- ", "f:1: found nesting deeper than 16, expected at most that", yaml_complaint},
        {"", "? ", "f:1: found a list or mapping as a key, expected text", yaml_complaint},
        {"", "[", "body:1: found nesting deeper than 32, expected at most that", json_complaint},
        {"", "{\"a\": ", "body:1: found nesting deeper than 32, expected at most that", json_complaint},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *text = repeat(rows[i].before, rows[i].text, DEEP, "");
        g_autofree char *got = rows[i].complaint(text, strlen(text));
        ck_assert_str_eq(got, rows[i].message);
    }
    /* A long name stays out of the message. */
    g_autofree char *text = repeat("zones: [{name: ", "a", DEEP, "}]");
    g_autofree char *got = yaml_complaint(text, strlen(text));
    ck_assert_str_eq(got,
                     "f:1: zone: name: found \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa...\"" NAME);
    g_autofree char *huge = yaml_complaint("", (64u << 20) + 1);
    ck_assert_str_eq(huge, "f: found 67108865 bytes, expected at most 67108864");
}
END_TEST

/* Cut anywhere, a good file is bad or smaller, but never a crash. */
START_TEST(every_prefix_of_a_good_file_is_survived)
{
    static const char yaml[] =
        SITE "domains: [{name: \"a.t.test\", group: g}]\n---\nplan: p\nsteps:\n  - {name: a, check: "
             "forecast, needs: []}\n";
    static const char json[] = OBJECTS("{\"kind\": \"zone\", \"name\": \"z\\u00e9\\n\"}, {\"kind\": \"zone\"}");
    for (size_t size = 0; size < sizeof yaml; size++) {
        g_autofree char *cut = g_strndup(yaml, size), *got = yaml_complaint(cut, size);
        ck_assert_ptr_nonnull(got);
    }
    for (size_t size = 0; size < sizeof json; size++) {
        g_autofree char *cut = g_strndup(json, size), *got = json_complaint(cut, size);
        ck_assert_str_ne(got, "");
    }
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, hostile_yaml);
    tcase_add_test(tcase, hostile_json);
    tcase_add_test(tcase, depth_and_size_are_bounded);
    tcase_add_test(tcase, every_prefix_of_a_good_file_is_survived);
}

int main(void)
{
    return unit_run("hostile", add);
}
