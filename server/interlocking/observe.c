#include "server/interlocking/observe.h"
#include "core/error.h"
#include "schema/slot.h"
#include "server/interlocking/lineview.h"

#include <string.h>

/* A report has one row for each policy, room and entrance: far more than any site needs, and bounded. */
#define GATEWAY_ROWS_MAX 8192
#define REPORT_ROWS_MAX 20000
/* Two reports that put the beginning of a hold so close mean the same; between them lies how long they were under way.
 */
#define HOLD_SAME_US (2 * G_USEC_PER_SEC)

bool counter_counts(const struct counter *counter)
{
    return strcmp(counter->via, "relay") != 0 || counter->fail_rate >= counter->rate;
}

bool counter_by_edge(const struct counter *counter)
{
    return counter->room[0] == '\0' && counter->via[0] != '\0' && strcmp(counter->via, "relay") != 0;
}

static void counter_free(gpointer data)
{
    struct counter *counter = data;
    g_free(counter->policy);
    g_free(counter->room);
    g_free(counter->via);
    g_free(counter);
}

static void origin_health_free(gpointer data)
{
    struct origin_health *origin = data;
    g_free(origin->room);
    g_free(origin->via);
    g_free(origin->status);
    g_free(origin);
}

static void room_hold_free(gpointer data)
{
    struct room_hold *hold = data;
    g_free(hold->room);
    g_free(hold);
}

static void hand_act_free(gpointer data)
{
    struct hand_act *act = data;
    g_free(act->verb);
    g_free(act->room);
    g_free(act->by);
    g_free(act->reason);
    g_free(act);
}

static void edge_report_free(gpointer data)
{
    struct edge_report *report = data;
    if (report == NULL)
        return;
    g_free(report->edge);
    g_free(report->state);
    g_free(report->error);
    g_ptr_array_unref(report->counters);
    g_ptr_array_unref(report->origins);
    g_ptr_array_unref(report->holds);
    g_hash_table_unref(report->sizes);
    g_hash_table_unref(report->probes);
    g_ptr_array_unref(report->hand_acts);
    json_decref(report->gateway);
    g_array_unref(report->adjacencies);
    g_free(report);
}

static void server_report_free(gpointer data)
{
    struct server_report *report = data;
    g_free(report->server);
    g_free(report->state);
    g_free(report->error);
    g_free(report);
}

struct observed *observed_new(void)
{
    struct observed *observed = g_new0(struct observed, 1);
    observed->edges = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, edge_report_free);
    observed->servers = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, server_report_free);
    return observed;
}

void observed_free(struct observed *observed)
{
    if (observed == NULL)
        return;
    g_hash_table_unref(observed->edges);
    g_hash_table_unref(observed->servers);
    g_free(observed);
}

const struct edge_report *observed_edge(const struct observed *observed, const char *edge)
{
    return g_hash_table_lookup(observed->edges, edge);
}

const struct server_report *observed_server(const struct observed *observed, const char *server)
{
    return g_hash_table_lookup(observed->servers, server);
}

char *registry_server(const char *registry)
{
    return g_strconcat("registry/", registry, NULL);
}

/* found: the member, NULL if there is none. */
static bool bad(GError **error, const char *field, const json_t *found, const char *expected)
{
    g_autofree char *text = json_quote(found);
    g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "report: %s: found %s, expected %s", field, text, expected);
    return false;
}

/* Reads a member; *out is a new string, "" allowed. */
static bool read_text(const json_t *json, const char *key, char **out, GError **error)
{
    const char *text = json_string_value(json_object_get(json, key));
    if (text == NULL || strlen(text) > 200)
        return bad(error, key, json_object_get(json, key), "a string of at most 200 bytes");
    *out = g_strdup(text);
    return true;
}

static bool read_count(const json_t *json, const char *key, uint64_t *out, GError **error)
{
    const json_t *value = json_object_get(json, key);
    if (!json_is_integer(value) || json_integer_value(value) < 0)
        return bad(error, key, value, "an integer of at least 0");
    *out = (uint64_t)json_integer_value(value);
    return true;
}

/* Of requests a second, or bytes a request, no edge has more; what all of them say can be added up, and counted. */
#define READING_MAX 1e12

static bool read_rate(const json_t *json, const char *key, double *out, GError **error)
{
    const json_t *value = json_object_get(json, key);
    if (!json_is_number(value) || json_number_value(value) < 0 || json_number_value(value) > READING_MAX)
        return bad(error, key, value, "a number from 0 to 1e12");
    *out = json_number_value(value);
    return true;
}

static bool read_state(const json_t *json, char **out, GError **error)
{
    static const char *const states[] = {"applied", "applying", "refused", "failing", "held", NULL};
    const char *text = json_string_value(json_object_get(json, "state"));
    if (text == NULL || !g_strv_contains(states, text))
        return bad(error, "state", json_object_get(json, "state"), "applied, applying, refused, failing or held");
    *out = g_strdup(text);
    return true;
}

static bool read_counter(struct edge_report *report, const json_t *json, GError **error)
{
    struct counter *counter = g_new0(struct counter, 1);
    g_ptr_array_add(report->counters, counter);
    if (!read_text(json, "policy", &counter->policy, error) || !read_text(json, "room", &counter->room, error) ||
        !read_text(json, "via", &counter->via, error) || !read_count(json, "requests", &counter->requests, error) ||
        !read_count(json, "failed", &counter->failed, error) || !read_rate(json, "rate", &counter->rate, error) ||
        !read_rate(json, "fail_rate", &counter->fail_rate, error))
        return false;
    counter->failing_since_us = counter->fail_rate > 0 ? report->at_us : 0;
    return true;
}

static bool read_origin(struct edge_report *report, const json_t *json, GError **error)
{
    struct origin_health *origin = g_new0(struct origin_health, 1);
    g_ptr_array_add(report->origins, origin);
    const json_t *up = json_object_get(json, "up"), *latency = json_object_get(json, "latency_us");
    if (!json_is_boolean(up))
        return bad(error, "up", up, "true or false");
    if (latency != NULL && !json_is_integer(latency))
        return bad(error, "latency_us", latency, "an integer");
    origin->up = json_is_true(up);
    origin->latency_us = json_is_integer(latency) ? json_integer_value(latency) : -1;
    origin->since_us = report->at_us;
    return read_text(json, "room", &origin->room, error) && read_text(json, "via", &origin->via, error) &&
           read_text(json, "status", &origin->status, error);
}

static bool read_hold(struct edge_report *report, const json_t *json, GError **error)
{
    struct room_hold *hold = g_new0(struct room_hold, 1);
    uint64_t home, for_us;
    g_ptr_array_add(report->holds, hold);
    if (!read_text(json, "room", &hold->room, error) || !read_count(json, "home", &home, error) ||
        !read_count(json, "for_us", &for_us, error))
        return false;
    if (home >= SLOT_COUNT)
        return bad(error, "home", json_object_get(json, "home"), "fewer than all slots");
    hold->home = (unsigned)home;
    hold->since_us = report->at_us - (int64_t)MIN(for_us, (uint64_t)INT64_MAX / 2);
    return true;
}

static bool read_probe(struct edge_report *report, const json_t *json, GError **error)
{
    g_autofree char *policy = NULL;
    char *room;
    if (!read_text(json, "policy", &policy, error) || !read_text(json, "room", &room, error))
        return false;
    g_hash_table_replace(report->probes, g_steal_pointer(&policy), room);
    return true;
}

static bool read_sizes(struct edge_report *report, const json_t *json, GError **error)
{
    struct sizes sizes;
    char *policy;
    if (!read_rate(json, "request_bytes", &sizes.request, error) ||
        !read_rate(json, "answer_bytes", &sizes.answer, error) || !read_text(json, "policy", &policy, error))
        return false;
    g_hash_table_replace(report->sizes, policy, g_memdup2(&sizes, sizeof sizes));
    return true;
}

static bool read_hand_act(struct edge_report *report, const json_t *json, GError **error)
{
    struct hand_act *act = g_new0(struct hand_act, 1);
    uint64_t since_us, until_us;
    g_ptr_array_add(report->hand_acts, act);
    if (!read_text(json, "verb", &act->verb, error) || !read_text(json, "room", &act->room, error) ||
        !read_text(json, "by", &act->by, error) || !read_text(json, "reason", &act->reason, error) ||
        !read_count(json, "since_us", &since_us, error) || !read_count(json, "until_us", &until_us, error))
        return false;
    act->since_us = (int64_t)since_us;
    act->until_us = (int64_t)until_us;
    if (strcmp(act->verb, "hold") == 0 || strcmp(act->verb, "override") == 0)
        return true;
    return bad(error, "verb", json_object_get(json, "verb"), "hold or override");
}

/* For logs of agents' own; nothing is derived from it, but a report is sound as a whole or not at all. */
static bool read_event(struct edge_report *report, const json_t *json, GError **error)
{
    uint64_t at_us;
    (void)report;
    if (!json_is_string(json_object_get(json, "text")))
        return bad(error, "text", json_object_get(json, "text"), "a string");
    return read_count(json, "at_us", &at_us, error);
}

/* An absent list is empty. */
static bool read_rows(struct edge_report *report, const json_t *json, const char *key,
                      bool (*read_row)(struct edge_report *, const json_t *, GError **), GError **error)
{
    const json_t *rows = json_object_get(json, key), *row;
    size_t i;
    if (rows == NULL)
        return true;
    if (!json_is_array(rows) || json_array_size(rows) > REPORT_ROWS_MAX)
        return bad(error, key, rows, "a list of at most 20,000 rows");
    json_array_foreach (rows, i, row) {
        if (!json_is_object(row))
            return bad(error, key, row, "a list of objects");
        if (!read_row(report, row, error))
            return false;
    }
    return true;
}

/* What a gateway says of itself is kept as it came; here: that it can be shown. */
static bool gateway_good(const json_t *gateway)
{
    static const char *const lists[] = {"vips", "backends"};
    const json_t *shown = json_object_get(gateway, "shown"), *row;
    size_t i;
    bool good = json_is_boolean(json_object_get(gateway, "forwarder")) &&
                json_is_integer(json_object_get(gateway, "table")) && json_is_array(shown) &&
                json_array_size(shown) <= GATEWAY_ROWS_MAX;
    json_array_foreach (shown, i, row)
        good = good && json_is_string(row);
    for (unsigned k = 0; k < G_N_ELEMENTS(lists); k++) {
        const json_t *list = json_object_get(gateway, lists[k]);
        good = good && json_is_array(list) && json_array_size(list) <= GATEWAY_ROWS_MAX;
        json_array_foreach (list, i, row)
            good = good && json_is_object(row);
    }
    return good;
}

static bool read_head(struct edge_report *report, const json_t *json, GError **error)
{
    const json_t *applied = json_object_get(json, "applied"), *text = json_object_get(json, "error"),
                 *haproxy = json_object_get(json, "haproxy");
    uint64_t window_us;
    if (!read_count(json, "promised", &report->promised, error) ||
        !read_count(applied, "epoch", &report->applied.epoch, error) ||
        !read_count(applied, "generation", &report->applied.generation, error) ||
        !read_count(json, "window_us", &window_us, error) || !read_state(json, &report->state, error))
        return false;
    report->window_us = (int64_t)window_us;
    const json_t *pins = json_object_get(json, "pins");
    if (pins != NULL && (!read_count(pins, "used", &report->pins_used, error) ||
                         !read_count(pins, "passed_over", &report->pins_passed_over, error)))
        return false;
    if (text != NULL && !json_is_null(text) && !json_is_string(text))
        return bad(error, "error", text, "a string or null");
    if (haproxy != NULL && !json_is_object(haproxy))
        return bad(error, "haproxy", haproxy, "an object");
    json_t *gateway = json_object_get(json, "gateway");
    if (gateway != NULL && !gateway_good(gateway))
        return bad(error, "gateway", gateway, "forwarder, table, and lists vips, backends, shown");
    report->gateway = json_incref(gateway);
    report->error = g_strdup(json_string_value(text));
    return true;
}

static struct edge_report *edge_report_parse(const char *edge, const json_t *json, int64_t now_us, GError **error)
{
    struct edge_report *report = g_new0(struct edge_report, 1);
    report->edge = g_strdup(edge);
    report->at_us = report->applied_at_us = report->error_since_us = now_us;
    report->counters = g_ptr_array_new_with_free_func(counter_free);
    report->origins = g_ptr_array_new_with_free_func(origin_health_free);
    report->holds = g_ptr_array_new_with_free_func(room_hold_free);
    report->probes = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    report->sizes = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    report->hand_acts = g_ptr_array_new_with_free_func(hand_act_free);
    report->adjacencies = adjacencies_read(json_object_get(json, "gateway"), now_us);
    if (read_head(report, json, error) && read_rows(report, json, "counters", read_counter, error) &&
        read_rows(report, json, "origins", read_origin, error) && read_rows(report, json, "holds", read_hold, error) &&
        read_rows(report, json, "probes", read_probe, error) && read_rows(report, json, "sizes", read_sizes, error) &&
        read_rows(report, json, "break_glass", read_hand_act, error) &&
        read_rows(report, json, "events", read_event, error))
        return report;
    edge_report_free(report);
    return NULL;
}

static const struct origin_health *origin_find(const struct edge_report *report, const char *room, const char *via)
{
    for (guint i = 0; i < report->origins->len; i++) {
        const struct origin_health *origin = report->origins->pdata[i];
        if (strcmp(origin->room, room) == 0 && strcmp(origin->via, via) == 0)
            return origin;
    }
    return NULL;
}

const struct room_hold *edge_report_hold(const struct edge_report *report, const char *room)
{
    for (guint i = 0; i < report->holds->len; i++) {
        const struct room_hold *hold = report->holds->pdata[i];
        if (strcmp(hold->room, room) == 0)
            return hold;
    }
    return NULL;
}

/* Which counter it is; g_free. No name has a tab in it. */
static char *counter_key(const struct counter *counter)
{
    return g_strjoin("\t", counter->policy, counter->room, counter->via, NULL);
}

/* Those that failed before and fail still. A report that fails nowhere, as most, costs nothing. */
static void keep_failing(struct edge_report *report, const struct edge_report *before)
{
    g_autoptr(GHashTable) old = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    for (guint i = 0; i < before->counters->len; i++) {
        struct counter *counter = before->counters->pdata[i];
        if (counter->failing_since_us != 0)
            g_hash_table_insert(old, counter_key(counter), counter);
    }
    for (guint i = 0; g_hash_table_size(old) > 0 && i < report->counters->len; i++) {
        struct counter *counter = report->counters->pdata[i];
        if (counter->failing_since_us == 0)
            continue;
        g_autofree char *key = counter_key(counter);
        const struct counter *was = g_hash_table_lookup(old, key);
        if (was != NULL)
            counter->failing_since_us = was->failing_since_us;
    }
}

/* What has not changed keeps the time at which it was first reported. */
static void keep_times(struct observed *observed, struct edge_report *report, const struct edge_report *before)
{
    if (stamp_compare(report->applied, before->applied) == 0)
        report->applied_at_us = before->applied_at_us;
    if (report->error != NULL && before->error != NULL)
        report->error_since_us = before->error_since_us;
    keep_failing(report, before);
    for (guint i = 0; i < report->origins->len; i++) {
        struct origin_health *origin = report->origins->pdata[i];
        const struct origin_health *old = origin_find(before, origin->room, origin->via);
        if (old != NULL && old->up == origin->up)
            origin->since_us = old->since_us;
        else if (old != NULL)
            observed->flipped_us = report->at_us;
    }
    for (guint i = 0; i < report->holds->len; i++) {
        struct room_hold *hold = report->holds->pdata[i];
        const struct room_hold *old = edge_report_hold(before, hold->room);
        if (old != NULL && ABS(old->since_us - hold->since_us) < HOLD_SAME_US)
            hold->since_us = old->since_us;
    }
    adjacencies_keep(report->adjacencies, before->adjacencies, report->at_us);
}

bool observed_edge_report(struct observed *observed, const char *edge, const json_t *json, int64_t now_us,
                          GError **error)
{
    const char *named = json_string_value(json_object_get(json, "edge"));
    if (named == NULL || strcmp(named, edge) != 0) {
        g_autofree char *found = json_quote(json_object_get(json, "edge"));
        g_set_error(error, SB_ERROR, named == NULL ? SB_ERROR_INVALID : SB_ERROR_FORBIDDEN,
                    "report: edge: found %s, expected \"%s\"", found, edge);
        return false;
    }
    struct edge_report *report = edge_report_parse(edge, json, now_us, error);
    if (report == NULL)
        return false;
    const struct edge_report *before = observed_edge(observed, edge);
    if (before != NULL)
        keep_times(observed, report, before);
    g_hash_table_replace(observed->edges, report->edge, report);
    return true;
}

/* A member that is an age. */
static int64_t since(const json_t *json, const char *member, int64_t now_us)
{
    return now_us - json_integer_value(json_object_get(json, member));
}

bool observed_edge_restore(struct observed *observed, const json_t *json, int64_t now_us, GError **error)
{
    const char *edge = json_string_value(json_object_get(json, "edge"));
    if (!observed_edge_report(observed, edge == NULL ? "" : edge, json, since(json, "age_us", now_us), error))
        return false;
    struct edge_report *report = g_hash_table_lookup(observed->edges, edge);
    const json_t *origins = json_object_get(json, "origins");
    report->applied_at_us = since(json, "applied_for_us", now_us);
    for (guint i = 0; i < report->origins->len; i++)
        ((struct origin_health *)report->origins->pdata[i])->since_us =
            since(json_array_get(origins, i), "for_us", now_us);
    for (guint i = 0; i < report->holds->len; i++)
        ((struct room_hold *)report->holds->pdata[i])->since_us =
            since(json_array_get(json_object_get(json, "holds"), i), "for_us", now_us);
    adjacencies_restore(report->adjacencies, json_object_get(json, "adjacencies"), now_us);
    return true;
}

void observed_server_report(struct observed *observed, struct server_report *report)
{
    const struct server_report *before = observed_server(observed, report->server);
    if (before != NULL && stamp_compare(before->confirmed, report->confirmed) == 0)
        report->confirmed_at_us = before->confirmed_at_us;
    else if (report->confirmed_at_us == 0)
        report->confirmed_at_us = report->at_us;
    report->error_since_us = before != NULL && before->error != NULL ? before->error_since_us : report->at_us;
    g_hash_table_replace(observed->servers, report->server, report);
}

static json_t *stamp_json(struct stamp stamp)
{
    return json_pack("{s:I, s:I}", "epoch", (json_int_t)stamp.epoch, "generation", (json_int_t)stamp.generation);
}

static json_t *counters_json(const struct edge_report *report)
{
    json_t *list = json_array();
    for (guint i = 0; i < report->counters->len; i++) {
        const struct counter *c = report->counters->pdata[i];
        json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:I, s:I, s:f, s:f}", "policy", c->policy, "room",
                                              c->room, "via", c->via, "requests", (json_int_t)c->requests, "failed",
                                              (json_int_t)c->failed, "rate", c->rate, "fail_rate", c->fail_rate));
    }
    return list;
}

static json_t *origins_json(const struct edge_report *report, int64_t now_us)
{
    json_t *list = json_array();
    for (guint i = 0; i < report->origins->len; i++) {
        const struct origin_health *o = report->origins->pdata[i];
        json_array_append_new(list, json_pack("{s:s, s:s, s:b, s:s, s:I, s:I}", "room", o->room, "via", o->via, "up",
                                              o->up, "status", o->status, "latency_us", (json_int_t)o->latency_us,
                                              "for_us", (json_int_t)(now_us - o->since_us)));
    }
    return list;
}

static json_t *holds_json(const struct edge_report *report, int64_t now_us)
{
    json_t *list = json_array();
    for (guint i = 0; i < report->holds->len; i++) {
        const struct room_hold *hold = report->holds->pdata[i];
        json_array_append_new(list, json_pack("{s:s, s:I, s:I}", "room", hold->room, "home", (json_int_t)hold->home,
                                              "for_us", (json_int_t)(now_us - hold->since_us)));
    }
    return list;
}

static gint key_compare(gconstpointer a, gconstpointer b)
{
    return strcmp(a, b);
}

static json_t *probes_json(const struct edge_report *report)
{
    json_t *list = json_array();
    GList *policies = g_list_sort(g_hash_table_get_keys(report->probes), key_compare);
    for (GList *at = policies; at != NULL; at = at->next)
        json_array_append_new(list, json_pack("{s:s, s:s}", "policy", at->data, "room",
                                              (const char *)g_hash_table_lookup(report->probes, at->data)));
    g_list_free(policies);
    return list;
}

static json_t *sizes_json(const struct edge_report *report)
{
    json_t *list = json_array();
    GList *policies = g_list_sort(g_hash_table_get_keys(report->sizes), key_compare);
    for (GList *at = policies; at != NULL; at = at->next) {
        const struct sizes *sizes = g_hash_table_lookup(report->sizes, at->data);
        json_array_append_new(list, json_pack("{s:s, s:f, s:f}", "policy", at->data, "request_bytes", sizes->request,
                                              "answer_bytes", sizes->answer));
    }
    g_list_free(policies);
    return list;
}

static json_t *hand_acts_json(const struct edge_report *report)
{
    json_t *list = json_array();
    for (guint i = 0; i < report->hand_acts->len; i++) {
        const struct hand_act *act = report->hand_acts->pdata[i];
        json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s, s:I, s:I}", "verb", act->verb, "room", act->room,
                                              "by", act->by, "reason", act->reason, "since_us",
                                              (json_int_t)act->since_us, "until_us", (json_int_t)act->until_us));
    }
    return list;
}

bool edge_report_overridden(const struct edge_report *report)
{
    for (guint i = 0; i < report->hand_acts->len; i++)
        if (strcmp(((const struct hand_act *)report->hand_acts->pdata[i])->verb, "override") == 0)
            return true;
    return false;
}

json_t *edge_report_to_json(const struct edge_report *report, int64_t now_us)
{
    json_t *json =
        json_pack("{s:s, s:I, s:I, s:o, s:I, s:s, s:s?, s:I, s:o, s:o, s:o, s:o, s:o}", "edge", report->edge, "age_us",
                  (json_int_t)(now_us - report->at_us), "promised", (json_int_t)report->promised, "applied",
                  stamp_json(report->applied), "applied_for_us", (json_int_t)(now_us - report->applied_at_us), "state",
                  report->state, "error", report->error, "window_us", (json_int_t)report->window_us, "counters",
                  counters_json(report), "origins", origins_json(report, now_us), "holds", holds_json(report, now_us),
                  "probes", probes_json(report), "break_glass", hand_acts_json(report));
    if (report->pins_used + report->pins_passed_over > 0)
        json_object_set_new(json, "pins",
                            json_pack("{s:I, s:I}", "used", (json_int_t)report->pins_used, "passed_over",
                                      (json_int_t)report->pins_passed_over));
    if (g_hash_table_size(report->sizes) > 0)
        json_object_set_new(json, "sizes", sizes_json(report));
    if (report->gateway != NULL) {
        json_object_set(json, "gateway", report->gateway);
        json_object_set_new(json, "adjacencies", adjacencies_to_json(report->adjacencies, now_us));
    }
    return json;
}

json_t *server_report_to_json(const struct server_report *report, int64_t now_us)
{
    return json_pack("{s:s, s:I, s:o, s:I, s:s, s:s?, s:I, s:I}", "nameserver", report->server, "age_us",
                     (json_int_t)(now_us - report->at_us), "confirmed", stamp_json(report->confirmed),
                     "confirmed_for_us", (json_int_t)(now_us - report->confirmed_at_us), "state", report->state,
                     "error", report->error, "names", (json_int_t)report->names, "residual_us",
                     (json_int_t)MAX(report->residual_until_us - now_us, 0));
}

/* A dedicated edge's view of a POP, its fallback, says nothing of the users who come by it. */
static bool comes_by(const struct inventory *inventory, const char *name, const char *via)
{
    const struct edge *edge = INVENTORY_GET(inventory, edge, name);
    return edge != NULL && (edge->class == EDGE_DEDICATED) == (strcmp(via, "ring") == 0);
}

void observed_entrance(const struct observed *observed, const struct inventory *inventory, const char *room,
                       const char *via, int64_t now_us, struct entrance_view *out)
{
    *out = (struct entrance_view){.since_us = now_us, .status = ""};
    GHashTableIter iter;
    gpointer report;
    g_hash_table_iter_init(&iter, observed->edges);
    while (g_hash_table_iter_next(&iter, NULL, &report)) {
        const struct edge_report *r = report;
        const struct origin_health *origin = origin_find(r, room, via);
        if (origin == NULL || !edge_report_fresh(r, now_us) || !comes_by(inventory, r->edge, via))
            continue;
        if (out->seen++ == 0 || (!origin->up && out->down == 0))
            out->status = origin->status;
        if (origin->up)
            continue;
        out->down++;
        out->since_us = MIN(out->since_us, origin->since_us);
    }
}

bool observed_entrance_down(const struct observed *observed, const struct inventory *inventory, const char *room,
                            const char *via, int64_t now_us)
{
    struct entrance_view view;
    observed_entrance(observed, inventory, room, via, now_us, &view);
    return view.seen > 0 && 2 * view.down >= view.seen;
}

int64_t observed_entrance_since(const struct observed *observed, const struct inventory *inventory, const char *room,
                                const char *via, int64_t now_us)
{
    struct entrance_view view;
    observed_entrance(observed, inventory, room, via, now_us, &view);
    return view.since_us;
}
