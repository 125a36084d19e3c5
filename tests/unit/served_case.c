#include "tests/unit/served_case.h"

#include <check.h>

struct served served;

void served_setup(void)
{
    served_new(&served);
    served_start(&served, NULL, NULL);
}

void served_teardown(void)
{
    served_clear(&served);
}

json_int_t number_at(const json_t *json, const char *member)
{
    return json_integer_value(json_object_get(json, member));
}

const char *text_at(const json_t *json, const char *member)
{
    const char *text = json_string_value(json_object_get(json, member));
    return text != NULL ? text : "";
}

json_int_t status_number(const char *member)
{
    json_t *status = NULL;
    ck_assert_uint_eq(served_local(&served, "GET", "/v1/status", NULL, NULL, &status), 200);
    json_int_t number = number_at(status, member);
    json_decref(status);
    return number;
}

void report_as(const char *token, const char *edge)
{
    g_autofree char *url = g_strdup_printf("/agent/v1/edges/%s/report", edge),
                    *body = g_strdup_printf("{\"edge\":\"%s\",\"cluster\":\"two-rooms\",\"promised\":65536,\"applied\":"
                                            "{\"epoch\":65536,\"generation\":2},\"state\":\"applied\",\"error\":null,"
                                            "\"window_us\":1000000,\"counters\":[],\"origins\":[],\"probes\":[],"
                                            "\"events\":[]}",
                                            edge);
    unsigned status = served_call(&served, served.agents, token, "POST", url, NULL, body, NULL, NULL);
    ck_assert_uint_eq(status, 200);
}
