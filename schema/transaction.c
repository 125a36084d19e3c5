#include "schema/transaction.h"

#include "core/error.h"
#include "schema/field.h"
#include "schema/jsondoc.h"

#include <string.h>
#include <strings.h>

#define VAR_MAX 2000  /* bytes of what an answer gives for a later request */
#define SHOWN_MAX 120 /* bytes of an answer in evidence */

/* ---- what is asked ---- */

static gint by_order(gconstpointer a, gconstpointer b)
{
    const struct txrequest *const *x = a, *const *y = b;
    return (*x)->order < (*y)->order ? -1 : (*x)->order > (*y)->order;
}

static json_t *headers_json(const char *headers)
{
    json_t *list = json_array();
    g_auto(GStrv) lines = g_strsplit(headers != NULL ? headers : "", " | ", -1);
    for (char **line = lines; *line != NULL; line++)
        if (**line != '\0')
            json_array_append_new(list, json_string(*line));
    return list;
}

static json_t *request_json(const struct txrequest *r)
{
    g_autofree char *word = choice_text("get|post|put|patch|delete", r->method), *method = g_ascii_strup(word, -1);
    return json_pack("{s:s, s:s, s:s, s:s, s:o, s:s*, s:I, s:s*, s:s*, s:s*, s:I, s:s*}", "name", r->o.name, "method",
                     method, "host", r->host, "path", r->path, "headers", headers_json(r->headers), "body", r->body,
                     "status", (json_int_t)(r->status > 0 ? r->status : TXREQUEST_STATUS), "header", r->expect_header,
                     "json", r->expect_json, "text", r->expect_text, "limit_ms",
                     (json_int_t)(r->limit > 0 ? r->limit : TXREQUEST_LIMIT_MS), "take", r->take);
}

json_t *transaction_requests(const struct inventory *inv, const char *transaction)
{
    g_autoptr(GPtrArray) requests = g_ptr_array_new();
    json_t *list = json_array();
    INVENTORY_FOREACH (inv, txrequest, request) {
        if (strcmp(request->transaction, transaction) == 0)
            g_ptr_array_add(requests, (gpointer)(uintptr_t)request);
    }
    g_ptr_array_sort(requests, by_order);
    for (guint i = 0; i < requests->len; i++)
        json_array_append_new(list, request_json(requests->pdata[i]));
    return list;
}

/* ---- is it well formed? ---- */

static void find(GPtrArray *findings, const struct txrequest *r, const char *field, const char *value,
                 const char *expected)
{
    g_autofree char *label = g_strdup_printf("txrequest %s", r->o.name), *found = text_quote(value);
    finding_add(findings, r->o.at, label, field, found, expected);
}

/* Visible ASCII: what may stand in a request's first line. */
static bool is_target(const char *text)
{
    bool good = text[0] == '/';
    for (const char *p = text; good && *p != '\0'; p++)
        good = *p > ' ' && *p < 0x7f;
    return good;
}

static bool is_token(const char *text, size_t len)
{
    bool good = len > 0;
    for (size_t i = 0; good && i < len; i++)
        good = g_ascii_isalnum(text[i]) || strchr("-_", text[i]) != NULL;
    return good;
}

/* "Name: value" of ASCII. */
static bool is_header(const char *text)
{
    const char *colon = strstr(text, ": ");
    bool good = colon != NULL && colon[2] != '\0' && is_token(text, (size_t)(colon - text));
    for (const char *p = text; good && *p != '\0'; p++)
        good = *p >= ' ' && *p < 0x7f;
    return good;
}

/* Those that say who asks, and where, are the run's. */
static bool is_own_header(const char *text)
{
    static const char *const taken[] = {"host:", "cookie:", "x-sb-", "content-length:", "transfer-encoding:"};
    for (size_t i = 0; i < G_N_ELEMENTS(taken); i++)
        if (strncasecmp(text, taken[i], strlen(taken[i])) == 0)
            return false;
    return is_header(text);
}

static bool is_pair(const char *text)
{
    const char *equals = strchr(text, '=');
    return equals != NULL && equals != text && equals[1] != '\0';
}

static void request_validate(const struct txrequest *r, GPtrArray *findings)
{
    g_auto(GStrv) headers = g_strsplit(r->headers != NULL ? r->headers : "", " | ", -1);
    if (!is_target(r->path))
        find(findings, r, "path", r->path, "a path that begins with /, visible ASCII");
    for (char **line = headers; *line != NULL; line++)
        if (r->headers != NULL && !is_own_header(*line))
            find(findings, r, "headers", *line,
                 "Name: value, several with \" | \" between them; Host, Cookie, Content-Length and X-SB- are not to be "
                 "written");
    if (r->expect_header != NULL && !is_header(r->expect_header))
        find(findings, r, "expect_header", r->expect_header, "Name: value");
    if (r->expect_json != NULL && !is_pair(r->expect_json))
        find(findings, r, "expect_json", r->expect_json, "MEMBER=VALUE, as cart.items.0.id=7");
    if (r->take != NULL && (!is_pair(r->take) || !is_token(r->take, strcspn(r->take, "="))))
        find(findings, r, "take", r->take, "NAME=MEMBER, as id=cart.id, or NAME=header:Location");
}

/* It becomes a cookie's value. */
static void user_validate(const struct transaction *transaction, GPtrArray *findings)
{
    if (transaction->user == NULL || cookie_value_valid(transaction->user))
        return;
    g_autofree char *label = g_strdup_printf("transaction %s", transaction->o.name);
    g_autofree char *found = text_quote(transaction->user);
    finding_add(findings, transaction->o.at, label, "user", found, "visible ASCII without \" , ; \\");
}

void txrequests_validate(const struct inventory *inv, GPtrArray *findings)
{
    INVENTORY_FOREACH (inv, transaction, transaction)
        user_validate(transaction, findings);
    g_autoptr(GHashTable) places = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    INVENTORY_FOREACH (inv, txrequest, request) {
        g_autofree char *order = g_strdup_printf("%" G_GINT64_FORMAT, request->order);
        request_validate(request, findings);
        if (!g_hash_table_add(places, g_strdup_printf("%s/%s", request->transaction, order)))
            find(findings, request, "order", order, "a place that no other request of the transaction has");
    }
}

/* ---- filling ---- */

static char *fill(const char *text, const json_t *vars, GError **error)
{
    GString *out = g_string_new(NULL);
    for (const char *p = text; *p != '\0';) {
        const char *end = g_str_has_prefix(p, "${") ? strchr(p, '}') : NULL;
        if (end == NULL) {
            g_string_append_c(out, *p++);
            continue;
        }
        g_autofree char *name = g_strndup(p + 2, (gsize)(end - p - 2));
        const char *value = json_member_text(vars, name);
        if (value == NULL) {
            g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "found ${%s}, which no answer before has given", name);
            g_string_free(out, TRUE);
            return NULL;
        }
        g_string_append(out, value);
        p = end + 1;
    }
    return g_string_free(out, FALSE);
}

static bool fill_headers(const json_t *request, const json_t *vars, char **out, GError **error)
{
    const json_t *list = json_object_get(request, "headers");
    out[0] = g_strdup_printf("Host: %s", json_member_text(request, "host"));
    for (size_t i = 0; i < json_array_size(list); i++)
        if ((out[i + 1] = fill(json_string_value(json_array_get(list, i)), vars, error)) == NULL)
            return false;
    return true;
}

bool txrequest_fill(const json_t *request, const json_t *vars, struct txrequest_filled *out, GError **error)
{
    const char *body = json_member_text(request, "body");
    *out = (struct txrequest_filled){
        .method = g_strdup(json_member_text(request, "method")),
        .path = fill(json_member_text(request, "path"), vars, error),
        .headers = g_new0(char *, json_array_size(json_object_get(request, "headers")) + 2),
    };
    if (out->path != NULL && fill_headers(request, vars, out->headers, error) &&
        (body == NULL || (out->body = fill(body, vars, error)) != NULL))
        return true;
    txrequest_clear(out);
    return false;
}

void txrequest_clear(struct txrequest_filled *filled)
{
    g_free(filled->method);
    g_free(filled->path);
    g_free(filled->body);
    g_strfreev(filled->headers);
    *filled = (struct txrequest_filled){0};
}

/* ---- judging ---- */

/* Value of a header in the lines of a head; g_free; NULL: there is none. */
static char *header_value(const char *head, const char *name, size_t len)
{
    for (const char *line = head; line != NULL && *line != '\0';) {
        const char *end = strchr(line, '\n');
        size_t size = end != NULL ? (size_t)(end - line) : strlen(line);
        if (size > len && line[len] == ':' && strncasecmp(line, name, len) == 0)
            return g_strstrip(g_strndup(line + len + 1, size - len - 1));
        line = end != NULL ? end + 1 : NULL;
    }
    return NULL;
}

/* "cart.items.0.id"; a text as it is, anything else as JSON writes it. g_free; NULL: there is none. */
static char *member_value(const json_t *json, const char *path)
{
    g_auto(GStrv) words = g_strsplit(path, ".", -1);
    for (char **word = words; *word != NULL && json != NULL; word++)
        json = json_is_array(json) && strspn(*word, "0123456789") == strlen(*word)
                   ? json_array_get(json, (size_t)g_ascii_strtoull(*word, NULL, 10))
                   : json_object_get(json, *word);
    if (json == NULL || json_is_string(json))
        return g_strdup(json_string_value(json));
    char *text = json_dumps(json, JSON_COMPACT | JSON_ENCODE_ANY | JSON_SORT_KEYS), *copy = g_strdup(text);
    free(text);
    return copy;
}

/* Strangers' text, made short and safe. */
static char *shown(const char *text)
{
    g_autofree char *cut = text != NULL ? g_strndup(text, SHOWN_MAX) : NULL;
    return text_quote(cut);
}

static char *wrong(const char *what, const char *found, const char *expected)
{
    g_autofree char *quoted = shown(found);
    return g_strdup_printf("%s: found %s, expected \"%s\"", what, quoted, expected);
}

static char *judge_header(const char *expected, const char *head)
{
    const char *colon = strchr(expected, ':');
    g_autofree char *found = header_value(head, expected, (size_t)(colon - expected));
    g_autofree char *name = g_strndup(expected, (gsize)(colon - expected));
    return g_strcmp0(found, colon + 2) == 0 ? NULL : wrong(name, found, colon + 2);
}

static char *judge_json(const char *expected, const char *body)
{
    const char *equals = strchr(expected, '=');
    g_autofree char *path = g_strndup(expected, (gsize)(equals - expected));
    json_t *json = json_loads(body, JSON_DECODE_ANY, NULL);
    g_autofree char *found = json != NULL ? member_value(json, path) : NULL;
    json_decref(json);
    return g_strcmp0(found, equals + 1) == 0 ? NULL : wrong(path, found, equals + 1);
}

/* NAME=MEMBER or NAME=header:NAME into vars; NULL, or why not. */
static char *take(const char *what, const struct txanswer *answer, json_t *vars)
{
    const char *equals = strchr(what, '='), *header = equals + 1 + strlen("header:");
    g_autofree char *name = g_strndup(what, (gsize)(equals - what)), *found = NULL;
    if (g_str_has_prefix(equals + 1, "header:")) {
        found = header_value(answer->head, header, strlen(header));
    } else {
        json_t *json = json_loads(answer->body, JSON_DECODE_ANY, NULL);
        found = json != NULL ? member_value(json, equals + 1) : NULL;
        json_decref(json);
    }
    bool good = found != NULL && found[0] != '\0' && strlen(found) <= VAR_MAX;
    for (const char *p = found; good && *p != '\0'; p++)
        good = (unsigned char)*p > ' ' && *p != 0x7f; /* it goes into a first line or a header */
    if (!good)
        return wrong(name, found, equals + 1);
    json_object_set_new(vars, name, json_string(found));
    return NULL;
}

static char *judge(const json_t *request, const char *room, const struct txanswer *answer, const char *answered_by,
                   json_t *vars)
{
    json_int_t status = json_integer_value(json_object_get(request, "status"));
    json_int_t limit_ms = json_integer_value(json_object_get(request, "limit_ms"));
    const char *header = json_member_text(request, "header"), *json = json_member_text(request, "json"),
               *text = json_member_text(request, "text"), *what = json_member_text(request, "take");
    char *why = NULL;
    if (answer->failure != NULL)
        return g_strdup(answer->failure);
    if (answer->status != (unsigned)status)
        why = g_strdup_printf("status: found %u, expected %" JSON_INTEGER_FORMAT, answer->status, status);
    else if (g_strcmp0(answered_by, room) != 0)
        why = wrong("answered by", answered_by, room);
    else if (answer->took_us > limit_ms * 1000)
        why = g_strdup_printf("took %" G_GINT64_FORMAT " ms, at most %" JSON_INTEGER_FORMAT " may",
                              answer->took_us / 1000, limit_ms);
    if (why == NULL && header != NULL)
        why = judge_header(header, answer->head);
    if (why == NULL && json != NULL)
        why = judge_json(json, answer->body);
    if (why == NULL && text != NULL && strstr(answer->body, text) == NULL)
        why = wrong("body", answer->body, text);
    if (why == NULL && what != NULL)
        why = take(what, answer, vars);
    return why;
}

json_t *txrequest_judge(const json_t *request, const char *room, const struct txanswer *answer, json_t *vars)
{
    g_autofree char *answered_by = header_value(answer->head, "x-sb-room", strlen("x-sb-room"));
    bool named = answered_by != NULL && text_valid(FIELD_NAME, answered_by);
    g_autofree char *why = judge(request, room, answer, named ? answered_by : NULL, vars);
    g_autofree char *safe = why != NULL ? g_utf8_make_valid(why, -1) : NULL;
    return json_pack("{s:s, s:b, s:I, s:I, s:s?, s:s?}", "request", json_member_text(request, "name"), "ok",
                     why == NULL, "status", (json_int_t)answer->status, "ms", (json_int_t)(answer->took_us / 1000),
                     "room", named ? answered_by : NULL, "why", safe);
}
