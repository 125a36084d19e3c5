#include "tests/unit/served_case.h"

#include "core/loop.h"
#include <check.h>
#include <stdlib.h>
#include <string.h>

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

char *in_dir(const char *name)
{
    return g_build_filename(served.dir, name, NULL);
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

void apply_pop_plans(void)
{
    const char *body =
        "{\"plans\":["
        "{\"plan\":\"pop-out\",\"steps\":[{\"name\":\"a\",\"set\":[{\"control\":\"pop\",\"on\":\"pop-a1\","
        "\"value\":\"out\"}]}]},"
        "{\"plan\":\"pop-in\",\"steps\":[{\"name\":\"a\",\"set\":[{\"control\":\"pop\",\"on\":\"pop-a1\","
        "\"value\":\"in\"}]}]}]}";
    ck_assert_uint_eq(served_local(&served, "POST", "/v1/apply", NULL, body, NULL), 200);
}

static unsigned ask(const char *token, const char *method, const char *path, const char *body, json_t **answer)
{
    return token == NULL ? served_local(&served, method, path, NULL, body, answer)
                         : served_call(&served, served.operators, token, method, path, NULL, body, answer, NULL);
}

int64_t run_pop_plan(const char *token, int n, int64_t *started_us)
{
    json_t *run = NULL;
    int64_t start = loop_now_us();
    unsigned status = ask(token, "POST", n % 2 == 0 ? "/v1/plans/pop-out/run" : "/v1/plans/pop-in/run", "{}", &run);
    if (started_us != NULL)
        *started_us = loop_now_us() - start;
    ck_assert_uint_eq(status, 202);
    g_autofree char *url = g_strdup_printf("/v1/executions/%s", text_at(run, "id"));
    json_decref(run);
    for (bool over = false; !over;) {
        json_t *execution = NULL;
        ck_assert_int_lt(loop_now_us() - start, 20 * G_USEC_PER_SEC);
        ck_assert_uint_eq(ask(token, "GET", url, NULL, &execution), 200);
        over = strcmp(text_at(execution, "state"), "running") != 0;
        ck_assert_msg(!over || strcmp(text_at(execution, "state"), "succeeded") == 0, "%s",
                      text_at(execution, "error"));
        json_decref(execution);
    }
    return loop_now_us() - start;
}

static int by_size(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

int64_t median(int64_t *values, size_t n)
{
    qsort(values, n, sizeof values[0], by_size);
    return (values[(n - 1) / 2] + values[n / 2]) / 2;
}
