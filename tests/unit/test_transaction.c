/* Golden transactions as values: what may be written, what is asked, what answers are good. */
#include "schema/transaction.h"
#include "tests/unit/unit.h"

#include <string.h>

/* ---- answers ---- */

static json_t *request(const char *more)
{
    g_autofree char *text =
        g_strdup_printf("{\"name\":\"r\",\"method\":\"GET\",\"host\":\"h.test\",\"path\":\"/\",\"headers\":[],"
                        "\"status\":200,\"limit_ms\":100%s}",
                        more);
    json_t *json = json_loads(text, 0, NULL);
    ck_assert_ptr_nonnull(json);
    return json;
}

static const char head[] = "HTTP/1.1 200 OK\r\nLocation: /a/b\r\nX-SB-Room: room-b\r\nEmpty:\r\n\r\n";
static const char body[] = "{\"cart\":{\"items\":[{\"id\":7,\"name\":\"x=y\"}],\"open\":true,\"n\":null}}";

static const struct {
    const char *more;
    struct txanswer answer;
    const char *why; /* NULL: good */
} rows[] = {
    {"", {NULL, 200, head, body, 5000}, NULL},
    {"", {"connection refused", 0, "", "", 5000}, "connection refused"},
    {"", {NULL, 503, head, body, 5000}, "status: found 503, expected 200"},
    {"", {NULL, 200, "HTTP/1.1 200 OK\r\n", body, 5000}, "answered by: found nothing, expected \"room-b\""},
    {"", {NULL, 200, "X-SB-Room: room-a\r\n", body, 5000}, "answered by: found \"room-a\", expected \"room-b\""},
    {"", {NULL, 200, "X-SB-Room: room-b;x\r\n", body, 5000}, "answered by: found nothing"},
    {"", {NULL, 200, head, body, 101000}, "took 101 ms, at most 100 may"},
    {",\"header\":\"location: /a/b\"", {NULL, 200, head, body, 5000}, NULL},
    {",\"header\":\"Location: /a\"", {NULL, 200, head, body, 5000}, "Location: found \"/a/b\", expected \"/a\""},
    {",\"header\":\"Other: 1\"", {NULL, 200, head, body, 5000}, "Other: found nothing"},
    {",\"json\":\"cart.items.0.id=7\"", {NULL, 200, head, body, 5000}, NULL},
    {",\"json\":\"cart.items.0.name=x=y\"", {NULL, 200, head, body, 5000}, NULL},
    {",\"json\":\"cart.open=true\"", {NULL, 200, head, body, 5000}, NULL},
    {",\"json\":\"cart.n=null\"", {NULL, 200, head, body, 5000}, NULL},
    {",\"json\":\"cart.items.1.id=7\"", {NULL, 200, head, body, 5000}, "cart.items.1.id: found nothing"},
    {",\"json\":\"cart.items.0.id=8\"", {NULL, 200, head, body, 5000}, "found \"7\", expected \"8\""},
    {",\"json\":\"a=1\"", {NULL, 200, head, "not json", 5000}, "a: found nothing"},
    {",\"text\":\"open\"", {NULL, 200, head, body, 5000}, NULL},
    {",\"text\":\"shut\"", {NULL, 200, head, body, 5000}, "expected \"shut\""},
    {",\"text\":\"shut\"", {NULL, 200, head, "\xff\xfe\x01\"", 5000}, "expected \"shut\""},
    {",\"take\":\"id=cart.items.0.id\"", {NULL, 200, head, body, 5000}, NULL},
    {",\"take\":\"at=header:location\"", {NULL, 200, head, body, 5000}, NULL},
    {",\"take\":\"id=cart.none\"", {NULL, 200, head, body, 5000}, "id: found nothing, expected \"cart.none\""},
    {",\"take\":\"id=header:Empty\"", {NULL, 200, head, body, 5000}, "id: found"},
    {",\"take\":\"id=a\"", {NULL, 200, head, "{\"a\":\"x\\r\\nEvil: 1\"}", 5000}, "id: found"},
};

START_TEST(answers_are_judged)
{
    json_t *asked = request(rows[_i].more), *vars = json_object();
    json_t *evidence = txrequest_judge(asked, "room-b", &rows[_i].answer, vars);
    const char *why = json_string_value(json_object_get(evidence, "why"));
    ck_assert_ptr_nonnull(evidence);
    if (rows[_i].why == NULL)
        ck_assert_msg(why == NULL, "row %d: %s", _i, why);
    else
        ck_assert_msg(why != NULL && strstr(why, rows[_i].why) != NULL, "row %d: found %s, expected %s", _i, why,
                      rows[_i].why);
    ck_assert_int_eq(json_is_true(json_object_get(evidence, "ok")), rows[_i].why == NULL);
    json_decref(evidence);
    json_decref(asked);
    json_decref(vars);
}
END_TEST

START_TEST(what_an_answer_gave_is_put_in)
{
    json_t *first = request(",\"take\":\"id=cart.items.0.id\""), *vars = json_object();
    json_t *second = request(",\"body\":\"{\\\"id\\\":${id}}\"");
    json_object_set_new(second, "path", json_string("/pay/${id}?a=$&b=${"));
    json_array_append_new(json_object_get(second, "headers"), json_string("X-Id: ${id}${id}"));
    struct txrequest_filled filled;
    g_autoptr(GError) error = NULL;
    ck_assert(!txrequest_fill(second, vars, &filled, &error));
    ck_assert_msg(strstr(error->message, "${id}, which no answer before has given") != NULL, "%s", error->message);
    json_decref(txrequest_judge(first, "room-b", &rows[0].answer, vars));
    ck_assert(txrequest_fill(second, vars, &filled, NULL));
    ck_assert_str_eq(filled.path, "/pay/7?a=$&b=${");
    ck_assert_str_eq(filled.headers[0], "Host: h.test");
    ck_assert_str_eq(filled.headers[1], "X-Id: 77");
    ck_assert_str_eq(filled.body, "{\"id\":7}");
    txrequest_clear(&filled);
    json_decref(first);
    json_decref(second);
    json_decref(vars);
}
END_TEST

/* ---- what may be written ---- */

static struct inventory *inventory_of(const char *fields)
{
    g_autoptr(GPtrArray) findings = finding_list_new();
    g_autofree char *text = g_strdup_printf(
        "{\"objects\":[{\"kind\":\"transaction\",\"name\":\"t\"%s},"
        "{\"kind\":\"txrequest\",\"name\":\"r\",\"transaction\":\"t\",\"order\":2,\"host\":\"h.test\",\"path\":\"/\"},"
        "{\"kind\":\"txrequest\",\"name\":\"q\",\"transaction\":\"t\",\"host\":\"h.test\"%s}]}",
        g_str_has_prefix(fields, ",\"user\"") ? fields : "",
        g_str_has_prefix(fields, ",\"user\"") ? ",\"order\":1,\"path\":\"/\"" : fields);
    json_t *json = json_loads(text, 0, NULL);
    struct inventory *inv = inventory_from_json(json, findings);
    ck_assert_msg(findings->len == 0, "%s", text);
    json_decref(json);
    return inv;
}

#define PLACE ",\"order\":1,\"path\":\"/\""
static const struct {
    const char *fields, *field; /* that is found wrong; NULL: none */
} written[] = {
    {PLACE, NULL},
    {PLACE ",\"headers\":\"A: b | Content-Type: text/plain\"", NULL},
    {PLACE ",\"headers\":\"Cookie: uid=1\"", "headers"},
    {PLACE ",\"headers\":\"X-SB-Probe: 1\"", "headers"},
    {PLACE ",\"headers\":\"host: x\"", "headers"},
    {PLACE ",\"headers\":\"no colon\"", "headers"},
    {PLACE ",\"headers\":\"A: b | \"", "headers"},
    {PLACE ",\"headers\":\"A: \xc3\xa4\"", "headers"},
    {",\"order\":1,\"path\":\"x\"", "path"},
    {",\"order\":1,\"path\":\"/a b\"", "path"},
    {",\"order\":2,\"path\":\"/\"", "order"},
    {PLACE ",\"expect_header\":\"A\"", "expect_header"},
    {PLACE ",\"expect_json\":\"a\"", "expect_json"},
    {PLACE ",\"expect_json\":\"=a\"", "expect_json"},
    {PLACE ",\"take\":\"a b=c\"", "take"},
    {PLACE ",\"take\":\"a=\"", "take"},
    {",\"user\":\"golden@site\"", NULL},
    {",\"user\":\"a; sb-pin=b\"", "user"},
};

START_TEST(what_is_written_is_looked_at)
{
    struct inventory *inv = inventory_of(written[_i].fields);
    g_autoptr(GPtrArray) findings = finding_list_new();
    txrequests_validate(inv, findings);
    ck_assert_msg(findings->len == (written[_i].field != NULL), "%s: found %u findings", written[_i].fields,
                  findings->len);
    if (written[_i].field != NULL)
        ck_assert_str_eq(((struct finding *)findings->pdata[0])->field, written[_i].field);
    if (written[_i].field == NULL) { /* in their order, with what is not said */
        json_t *list = transaction_requests(inv, "t");
        ck_assert_uint_eq(json_array_size(list), 2);
        ck_assert_str_eq(json_string_value(json_object_get(json_array_get(list, 0), "name")), "q");
        ck_assert_int_eq(json_integer_value(json_object_get(json_array_get(list, 0), "limit_ms")), TXREQUEST_LIMIT_MS);
        json_decref(list);
    }
    inventory_unref(inv);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_loop_test(tcase, answers_are_judged, 0, G_N_ELEMENTS(rows));
    tcase_add_test(tcase, what_an_answer_gave_is_put_in);
    tcase_add_loop_test(tcase, what_is_written_is_looked_at, 0, G_N_ELEMENTS(written));
}

int main(void)
{
    return unit_run("transaction", add);
}
