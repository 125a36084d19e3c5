/* plan_ramp.c: the steps of plans that move users, or ready a room for them: ramp, warm, verify of transactions. */
#include "schema/plan_read.h"

#include "schema/field.h"

#include <string.h>

#define STAGES_MAX 20

/* A whole number of `member`; `standard` when it is absent. */
static json_int_t number_read(const struct reader *r, const json_t *json, const char *step, const char *member,
                              json_int_t max, json_int_t standard)
{
    const json_t *value = json_object_get(json, member);
    json_int_t number = json_integer_value(value);
    if (value == NULL)
        return standard;
    if (json_is_integer(value) && number >= 0 && number <= max)
        return number;
    g_autofree char *expected = g_strdup_printf("a whole number from 0 to %" JSON_INTEGER_FORMAT, max);
    find_member(r, json, step, member, expected);
    return standard;
}

static void stages_read(const struct reader *r, const json_t *json, struct plan_step *step)
{
    const json_t *list = json_object_get(json, "stages");
    size_t n = json_array_size(list);
    json_int_t last = 0;
    bool good = n >= 1 && n <= STAGES_MAX;
    for (size_t i = 0; good && i < n; i++) {
        json_int_t percent = json_integer_value(json_array_get(list, i));
        good = percent > last && percent <= 100;
        last = percent;
    }
    if (!good || last != 100)
        find_member(r, json, step->name, "stages", "a list of 1 to 20 rising percentages, the last one 100");
    else
        json_object_set(step->spec, "stages", (json_t *)(uintptr_t)list);
}

void ramp_read(const struct reader *r, const json_t *step_json, struct plan_step *step)
{
    static const char *const known[] = {"on", "to", "away", "stages", "bake", "errors", "latency", "requests", NULL};
    const json_t *json = json_object_get(step_json, "ramp");
    const char *on = json_text(json_object_get(json, "on"));
    const json_t *to = json_object_get(json, "to"), *away = json_object_get(json, "away");
    if (!json_is_object(json)) {
        find_member(r, step_json, step->name, "ramp", "{on: SERVICE, to: ROOM or away: ROOM, stages: [5, 100], ...}");
        return;
    }
    find_unknown(r, json, step->name, known, "one of on, to, away, stages, bake, errors, latency, requests");
    step->spec = json_pack("{s:I, s:I, s:I, s:I}", "bake_us", time_read(r, json, step->name, "bake"), "latency_us",
                           time_read(r, json, step->name, "latency"), "errors",
                           number_read(r, json, step->name, "errors", 100, 1), "requests",
                           number_read(r, json, step->name, "requests", 1000000, 50));
    stages_read(r, json, step);
    if (!stands_for(r, on, OBJECT_service))
        find_member(r, json, step->name, "on", "the name of a service, $target of a plan with such a target, or multi");
    const char *member = to != NULL ? "to" : "away", *room = json_text(to != NULL ? to : away);
    if ((to == NULL) == (away == NULL) || !stands_for(r, room, OBJECT_room)) {
        find_member(r, json, step->name, member, "either to or away, the name of a room, $target or a parameter");
        return;
    }
    json_object_set_new(step->spec, "on", json_string(on));
    json_object_set_new(step->spec, member, json_string(room));
}

/* "http://play.example.test/list?n=1": a name and what may stand in a request's first line. */
static bool is_warm_url(const char *url)
{
    if (url == NULL || !g_str_has_prefix(url, "http://") || strlen(url) > SUMMARY_MAX)
        return false;
    const char *path = strchr(url + strlen("http://"), '/');
    g_autofree char *host = path != NULL ? g_strndup(url + strlen("http://"), (gsize)(path - url) - 7) : NULL;
    bool good = host != NULL && text_valid(FIELD_FQDN, host);
    for (const char *p = path; good && *p != '\0'; p++)
        good = *p > ' ' && *p < 0x7f;
    return good;
}

/* A list of different texts, into the spec. */
static void texts_read(const struct reader *r, const json_t *json, struct plan_step *step, const char *member,
                       bool (*valid)(const char *text), size_t max, const char *expected)
{
    const json_t *list = json_object_get(json, member);
    size_t n = json_array_size(list);
    bool good = n >= 1 && n <= max;
    for (size_t i = 0; good && i < n; i++) {
        const char *text = json_text(json_array_get(list, i));
        good = valid(text);
        for (size_t k = 0; good && k < i; k++)
            good = strcmp(json_text(json_array_get(list, k)), text) != 0;
    }
    if (good)
        json_object_set(step->spec, member, (json_t *)(uintptr_t)list);
    else
        find_member(r, json, step->name, member, expected);
}

void warm_read(const struct reader *r, const json_t *step_json, struct plan_step *step)
{
    static const char *const known[] = {"room", "urls", "edges", "rate", "share", NULL};
    const json_t *json = json_object_get(step_json, "warm");
    const char *room = json_text(json_object_get(json, "room"));
    if (!json_is_object(json)) {
        find_member(r, step_json, step->name, "warm", "{room: ROOM, urls: [URL, ...], ...}");
        return;
    }
    find_unknown(r, json, step->name, known, "one of room, urls, edges, rate, share");
    json_int_t rate = number_read(r, json, step->name, "rate", 1000, 10);
    step->spec = json_pack("{s:I, s:I, s:s}", "rate", MAX(rate, 1), "share",
                           number_read(r, json, step->name, "share", 100, 95), "room", room != NULL ? room : "");
    if (!stands_for(r, room, OBJECT_room))
        find_member(r, json, step->name, "room", "the name of a room, $target or a parameter");
    texts_read(r, json, step, "urls", is_warm_url, 100, "1 to 100 different http://HOST/PATH of printable ASCII");
    if (json_object_get(json, "edges") != NULL)
        texts_read(r, json, step, "edges", is_name, 16, "1 to 16 different names of edges");
}

void transactions_read(const struct reader *r, const json_t *json, struct plan_step *step)
{
    const json_t *room = json_object_get(json, "room"), *name = json_object_get(json, "transaction");
    bool asks = step->kind == STEP_VERIFY && g_strcmp0(step->argument, "transactions") == 0;
    if (!asks) {
        if (room != NULL || name != NULL)
            find_member(r, json, step->name, room != NULL ? "room" : "transaction",
                        "nothing: only verify: transactions has it");
        return;
    }
    bool others = g_strcmp0(json_text(room), "others") == 0 && r->plan->target_kind == OBJECT_room;
    if (!others && !stands_for(r, json_text(room), OBJECT_room))
        find_member(r, json, step->name, "room",
                    "the name of a room, $target, a parameter, or of a plan with a target room others");
    else if (name != NULL && !is_name(json_text(name)))
        find_member(r, json, step->name, "transaction", "the name of a golden transaction; absent: all");
    else
        step->spec = json_pack("{s:O, s:O*}", "room", room, "transaction", name);
}
