/* plan_call.c: the steps of plans that tell others: hook and notify. */
#include "schema/plan_read.h"

#include "schema/field.h"
#include "schema/template.h"
#include "schema/yamldoc.h"

#include <string.h>

#define METHODS "GET|POST|PUT|PATCH|DELETE"
#define HEADERS_MAX 10
#define STATUSES_MAX 10
#define BODY_MAX 4096 /* bytes as JSON */
#define MEMBER_MAX 100

/* ---- words ---- */

enum words { WORDS_NAMES, WORDS_PEOPLE, WORDS_COURSE }; /* each of them with those before it */

/* An object, for its keys: what may stand in a text (plan.h). */
static json_t *words_known(const struct plan *plan, enum words words)
{
    json_t *known = json_pack("{s:s, s:s, s:s}", "plan", "", "execution", "", "step", "");
    json_object_update(known, plan->params);
    if (plan->target_kind >= 0)
        json_object_set_new(known, "target", json_string(""));
    if (words >= WORDS_PEOPLE)
        json_object_update_new(known, json_pack("{s:s, s:s}", "actor", "", "reason", ""));
    if (words >= WORDS_COURSE)
        json_object_update_new(known, json_pack("{s:s, s:s}", "error", "", "generation", ""));
    return known;
}

/* All texts within `value` have known words only. */
static bool words_check(const struct reader *r, const json_t *place, const char *step, const char *member,
                        const json_t *value, enum words words)
{
    json_t *known = words_known(r->plan, words), *name;
    g_autofree char *unknown = template_unknown_in(value, known);
    if (unknown != NULL) {
        GString *expected = g_string_new("$$ for a $, or a word of the plan:");
        const char *word;
        json_object_foreach (known, word, name)
            g_string_append_printf(expected, " $%s", word);
        g_autofree char *found = text_quote(unknown);
        find_text(r, place, step, member, found, expected->str);
        g_string_free(expected, TRUE);
    }
    json_decref(known);
    return unknown == NULL;
}

/* ---- hook ---- */

struct call {
    const struct reader *r;
    const json_t *json; /* as written */
    const char *step;
    json_t *spec; /* gets it */
};

/* Facts are names of a-z 0-9 - and ., and never in the host: the URL stays one, and goes where it is written to go. */
static void url_read(const struct call *c)
{
    const json_t *value = json_object_get(c->json, "url");
    const char *url = json_text(value);
    g_autofree char *filled = url != NULL ? template_fill(url, NULL) : NULL;
    const char *host = url != NULL ? strstr(url, "://") : NULL;
    if (filled == NULL || host == NULL || !text_valid(FIELD_URL, filled) ||
        memchr(host, '$', strcspn(host + 3, "/?") + 3) != NULL)
        find_member(c->r, c->json, c->step, "url", text_expected(FIELD_URL));
    else if (words_check(c->r, c->json, c->step, "url", value, WORDS_NAMES))
        json_object_set_new(c->spec, "url", json_string(url));
}

static void method_read(const struct call *c)
{
    const json_t *value = json_object_get(c->json, "method");
    const char *method = value == NULL ? "POST" : json_text(value);
    if (method == NULL || choice_find(METHODS, method) < 0)
        find_member(c->r, c->json, c->step, "method", "one of GET, POST, PUT, PATCH, DELETE");
    else
        json_object_set_new(c->spec, "method", json_string(method));
}

static void body_read(const struct call *c)
{
    json_t *body = json_deep_copy(json_object_get(c->json, "body"));
    if (body == NULL)
        return;
    yamldoc_strip(body);
    char *text = json_dumps(body, JSON_COMPACT);
    if (!json_is_object(body) || text == NULL || strlen(text) > BODY_MAX)
        find_member(c->r, c->json, c->step, "body", "an object of at most 4096 bytes as JSON");
    else if (words_check(c->r, c->json, c->step, "body", body, WORDS_PEOPLE))
        json_object_set(c->spec, "body", body);
    free(text);
    json_decref(body);
}

/* What is said by us, or by whoever carries it, is nobody else's to say. */
static bool header_valid(const char *name, const char *value)
{
    static const char *const ours[] = {
        "host",    "content-length", "transfer-encoding", "connection",        "content-type",    "expect", "te",
        "upgrade", "webhook-id",     "webhook-timestamp", "webhook-signature", "idempotency-key", NULL};
    g_autofree char *lower = g_ascii_strdown(name, -1);
    size_t len = strlen(name);
    if (len < 1 || len > 40 || strspn(lower, "abcdefghijklmnopqrstuvwxyz0123456789-_") != len ||
        g_strv_contains(ours, lower) || value == NULL || strlen(value) > SUMMARY_MAX)
        return false;
    for (const char *p = value; *p != '\0'; p++)
        if (*p < ' ' || *p > '~')
            return false;
    return true;
}

static void headers_read(const struct call *c)
{
    const json_t *list = json_object_get(c->json, "headers");
    json_t *headers = json_object(), *value;
    const char *name;
    bool good = list == NULL || json_is_object(list);
    json_object_foreach ((json_t *)(uintptr_t)list, name, value) {
        if (strcmp(name, "@line") == 0)
            continue;
        good = good && header_valid(name, json_text(value));
        json_object_set(headers, name, value);
    }
    if (good && json_object_size(headers) <= HEADERS_MAX)
        json_object_set(c->spec, "headers", headers);
    else
        find_member(c->r, c->json, c->step, "headers",
                    "at most 10 names with values of printable ASCII; not Host, Content-Type, Idempotency-Key and the "
                    "like, which are ours");
    json_decref(headers);
}

/* What is right: statuses, and a member of the answer. */
static void expected_read(const struct call *c)
{
    json_t *status = json_object_get(c->json, "status");
    const char *member = json_text(json_object_get(c->json, "member")), *is = json_text(json_object_get(c->json, "is"));
    size_t n = json_array_size(status);
    bool good = status == NULL || (n >= 1 && n <= STATUSES_MAX);
    for (size_t i = 0; i < n; i++) {
        const json_t *number = json_array_get(status, i);
        good = good && json_is_integer(number) && json_integer_value(number) >= 200 && json_integer_value(number) < 600;
    }
    if (!good)
        find_member(c->r, c->json, c->step, "status", "a list of 1 to 10 statuses from 200 to 599");
    else if (status != NULL)
        json_object_set(c->spec, "status", status);
    bool both = json_object_get(c->json, "member") != NULL || json_object_get(c->json, "is") != NULL;
    if (both && (member == NULL || is == NULL || !text_valid(FIELD_TEXT, member) || !text_valid(FIELD_TEXT, is) ||
                 strlen(member) > MEMBER_MAX || strlen(is) > MEMBER_MAX || member[0] == '\0'))
        find_member(c->r, c->json, c->step, "member", "a member of the answer, with is: what it must be, both texts");
    else if (both && words_check(c->r, c->json, c->step, "is", json_object_get(c->json, "is"), WORDS_NAMES))
        json_object_update_new(c->spec, json_pack("{s:s, s:s}", "member", member, "is", is));
}

#define CALL_MEMBERS "url", "method", "body", "headers", "status", "member", "is"

/* The spec of a call; new reference. `known`: what it may have. */
static json_t *call_read(const struct reader *r, const json_t *json, const char *step, const char *const *known)
{
    const struct call c = {.r = r, .json = json, .step = step, .spec = json_object()};
    g_autofree char *names = g_strjoinv(", ", (char **)(uintptr_t)known),
                    *expected = g_strdup_printf("one of %s", names);
    find_unknown(r, json, step, known, expected);
    url_read(&c);
    method_read(&c);
    body_read(&c);
    headers_read(&c);
    expected_read(&c);
    return c.spec;
}

static void undo_read(const struct reader *r, const json_t *json, struct plan_step *step)
{
    static const char *const known[] = {CALL_MEMBERS, NULL};
    const json_t *undo = json_object_get(json, "undo");
    if (undo == NULL)
        return;
    if (json_is_object(undo))
        json_object_set_new(step->spec, "undo", call_read(r, undo, step->name, known));
    else
        find_member(r, json, step->name, "undo", "{url: URL, method: DELETE, ...}");
}

void hook_read(const struct reader *r, const json_t *step_json, struct plan_step *step)
{
    static const char *const known[] = {CALL_MEMBERS, "key", "repeat", "undo", NULL};
    const json_t *json = json_object_get(step_json, "hook");
    const json_t *repeat = json_object_get(json, "repeat");
    const char *key = json_text(json_object_get(json, "key"));
    if (!json_is_object(json)) {
        find_member(r, step_json, step->name, "hook", "{url: URL, key: NAME, ...}");
        return;
    }
    step->spec = call_read(r, json, step->name, known);
    if (!is_name(key))
        find_member(r, json, step->name, "key", text_expected(FIELD_NAME));
    if (repeat != NULL && !json_is_boolean(repeat))
        find_member(r, json, step->name, "repeat", text_expected(FIELD_BOOL));
    json_object_set_new(step->spec, "key", json_string(key != NULL ? key : ""));
    json_object_set_new(step->spec, "repeat", json_boolean(!json_is_false(repeat)));
    undo_read(r, json, step);
}

/* ---- notify ---- */

void notify_read(const struct reader *r, const json_t *step_json, struct plan_step *step)
{
    static const char *const known[] = {"to", "text", NULL};
    const json_t *json = json_object_get(step_json, "notify"), *value = json_object_get(json, "text");
    const char *to = json_text(json_object_get(json, "to")), *text = json_text(value);
    if (!json_is_object(json)) {
        find_member(r, step_json, step->name, "notify", "{to: WEBHOOK, text: TEXT}");
        return;
    }
    find_unknown(r, json, step->name, known, "one of to, text");
    if (!is_name(to))
        find_member(r, json, step->name, "to", "the name of a webhook");
    if (text == NULL || text[0] == '\0' || !text_valid(FIELD_TEXT, text) || g_utf8_strlen(text, -1) > SUMMARY_MAX)
        find_member(r, json, step->name, "text", "printable text of 1 to 400 characters");
    else
        words_check(r, json, step->name, "text", value, WORDS_COURSE);
    step->spec = json_pack("{s:s, s:s}", "to", to != NULL ? to : "", "text", text != NULL ? text : "");
}
