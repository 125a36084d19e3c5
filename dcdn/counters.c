#include "dcdn/counters.h"

#include "dcdn/stat.h"

#include <stdlib.h>
#include <string.h>

#define SIZES_OF 1000 /* requests that an average is over, about */
/* A table is read when it is applied, whenever that is: few requests come between that reading and the one before or
 * behind it, and their rate is chance. Such a reading goes into the window before it, but no window gets longer than
 * WINDOW_MAX_US by that. */
#define WINDOW_MIN_US (G_USEC_PER_SEC / 2)
#define WINDOW_MAX_US (3 * G_USEC_PER_SEC)

struct row {
    uint64_t raw_requests, raw_failed, raw_in, raw_out; /* as HAProxy said last */
    uint64_t requests, failed;                          /* since the restart */
    uint64_t more_requests, more_failed;                /* by the last reading */
    uint64_t new_requests, new_failed;                  /* in the last window */
};

/* Of a policy. */
struct size {
    double request, answer; /* bytes, of one */
    uint64_t n;             /* requests that say so, at most SIZES_OF */
};

struct counters {
    GHashTable *rows;  /* "policy/room/via" -> struct row * */
    GHashTable *sizes; /* policy -> struct size * */
    int64_t pid;
    int64_t begun_us, read_us; /* the last window; 0: nothing was read yet */
};

struct counters *counters_new(void)
{
    struct counters *counters = g_new0(struct counters, 1);
    counters->rows = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    counters->sizes = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    return counters;
}

void counters_free(struct counters *counters)
{
    if (counters == NULL)
        return;
    g_hash_table_unref(counters->rows);
    g_hash_table_unref(counters->sizes);
    g_free(counters);
}

/* Number behind " name=" in a line, 0 when it is not there. */
static uint64_t number_of(const char *line, size_t len, const char *name)
{
    g_autofree char *text = g_strndup(line, len);
    const char *at = strstr(text, name);
    return at != NULL ? strtoull(at + strlen(name), NULL, 10) : 0;
}

/* HAProxy forgot when its figure is smaller than it was: then all of it is new. */
static uint64_t grown(uint64_t *raw, uint64_t now)
{
    uint64_t by = now >= *raw ? now - *raw : now;
    *raw = now;
    return by;
}

/* "policy//static" and the like: the edge itself answered, which says nothing of the road. */
static bool by_edge(const char *key)
{
    const char *room = strchr(key, '/');
    return room != NULL && room[1] == '/' && room[2] != '\0' && strcmp(room, "//relay") != 0;
}

/* What a reading adds to the average. An answer that ends behind the reading that it was counted in is added then. */
static void take_sizes(struct counters *counters, const char *key, const struct row *row, uint64_t in, uint64_t out)
{
    if (by_edge(key) || row->raw_out == 0 || 10 * row->more_failed > row->more_requests)
        return; /* a configuration of before counts no bytes */
    g_autofree char *policy = g_strndup(key, strcspn(key, "/"));
    struct size *size = g_hash_table_lookup(counters->sizes, policy);
    if (size == NULL) {
        size = g_new0(struct size, 1);
        g_hash_table_insert(counters->sizes, g_steal_pointer(&policy), size);
    }
    double all = (double)(size->n + row->more_requests);
    if (all == 0)
        return;
    size->request = (size->request * (double)size->n + (double)in) / all;
    size->answer = (size->answer * (double)size->n + (double)out) / all;
    size->n = MIN(size->n + row->more_requests, SIZES_OF);
}

static struct row *take_row(struct counters *counters, const char *key, uint64_t requests, uint64_t failed)
{
    struct row *row = g_hash_table_lookup(counters->rows, key);
    if (row == NULL) {
        row = g_new0(struct row, 1);
        g_hash_table_insert(counters->rows, g_strdup(key), row);
    }
    row->more_requests = grown(&row->raw_requests, requests);
    row->more_failed = grown(&row->raw_failed, failed);
    row->new_requests += row->more_requests;
    row->new_failed += row->more_failed;
    row->requests += row->more_requests;
    row->failed += row->more_failed;
    return row;
}

/* Lines are "0x55: key=KEY use=0 exp=1 gpc0=0" or with http_req_cnt, http_fail_cnt and bytes. */
static void take_table(struct counters *counters, const char *reply, bool answered)
{
    for (const char *line = reply, *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
        size_t len = (size_t)(end - line);
        const char *key = g_strstr_len(line, (gssize)len, " key=");
        if (key == NULL)
            continue;
        key += strlen(" key=");
        g_autofree char *name = g_strndup(key, strcspn(key, " \n"));
        if (answered) {
            uint64_t requests = number_of(line, len, " http_req_cnt=");
            bool refused = g_str_has_suffix(name, "//limit");
            uint64_t failed = refused ? requests : number_of(line, len, " http_fail_cnt=");
            struct row *row = take_row(counters, name, requests, failed);
            take_sizes(counters, name, row, grown(&row->raw_in, number_of(line, len, " bytes_in_cnt=")),
                       grown(&row->raw_out, number_of(line, len, " bytes_out_cnt=")));
        } else {
            g_autofree char *nobody = g_strconcat(name, "//", NULL);
            uint64_t count = number_of(line, len, " gpc0=");
            take_row(counters, nobody, count, count);
        }
    }
}

void counters_read(struct counters *counters, int64_t pid, const char *answered, const char *unanswered, int64_t now_us)
{
    GHashTableIter iter;
    void *value;
    bool goes_on = counters_window_us(counters) > 0 && now_us - counters->read_us < WINDOW_MIN_US &&
                   now_us - counters->begun_us < WINDOW_MAX_US;
    g_hash_table_iter_init(&iter, counters->rows);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        struct row *row = value;
        if (!goes_on)
            row->new_requests = row->new_failed = 0;
        if (pid != counters->pid)
            row->raw_requests = row->raw_failed = row->raw_in = row->raw_out = 0;
    }
    if (!goes_on)
        counters->begun_us = counters->read_us == 0 ? now_us : counters->read_us;
    counters->read_us = now_us;
    counters->pid = pid;
    take_table(counters, answered, true);
    take_table(counters, unanswered, false);
}

void counters_restart(struct counters *counters)
{
    GHashTableIter iter;
    void *value;
    g_hash_table_iter_init(&iter, counters->rows);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        struct row *row = value;
        row->requests = row->failed = 0;
    }
}

uint64_t counters_requests(const struct counters *counters, const char *policy)
{
    uint64_t sum = 0;
    size_t len = strlen(policy);
    GHashTableIter iter;
    void *key, *value;
    g_hash_table_iter_init(&iter, counters->rows);
    while (g_hash_table_iter_next(&iter, &key, &value))
        if (strncmp(key, policy, len) == 0 && ((const char *)key)[len] == '/' && !by_edge(key))
            sum += ((const struct row *)value)->requests;
    return sum;
}

int64_t counters_window_us(const struct counters *counters)
{
    return counters->read_us - counters->begun_us;
}

static int compare_keys(const void *a, const void *b)
{
    return strcmp(a, b);
}

json_t *counters_to_json(const struct counters *counters)
{
    json_t *list = json_array();
    double window_s = (double)counters_window_us(counters) / 1e6;
    GList *keys = g_list_sort(g_hash_table_get_keys(counters->rows), compare_keys);
    for (GList *l = keys; l != NULL; l = l->next) {
        const struct row *row = g_hash_table_lookup(counters->rows, l->data);
        g_auto(GStrv) words = g_strsplit(l->data, "/", 3);
        if (g_strv_length(words) != 3 || (row->requests == 0 && row->new_requests == 0))
            continue;
        json_array_append_new(list, json_pack("{s:s,s:s,s:s,s:I,s:I,s:f,s:f}", "policy", words[0], "room", words[1],
                                              "via", words[2], "requests", (json_int_t)row->requests, "failed",
                                              (json_int_t)row->failed, "rate",
                                              window_s > 0 ? (double)row->new_requests / window_s : 0.0, "fail_rate",
                                              window_s > 0 ? (double)row->new_failed / window_s : 0.0));
    }
    g_list_free(keys);
    return list;
}

json_t *counters_sizes_to_json(const struct counters *counters)
{
    json_t *list = json_array();
    GList *keys = g_list_sort(g_hash_table_get_keys(counters->sizes), compare_keys);
    for (GList *l = keys; l != NULL; l = l->next) {
        const struct size *size = g_hash_table_lookup(counters->sizes, l->data);
        if (size->n > 0)
            json_array_append_new(list, json_pack("{s:s,s:f,s:f}", "policy", (const char *)l->data, "request_bytes",
                                                  size->request, "answer_bytes", size->answer));
    }
    g_list_free(keys);
    return list;
}

json_t *pins_from_table(const char *reply)
{
    uint64_t used = 0, passed_over = 0;
    for (const char *line = reply, *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
        used += number_of(line, (size_t)(end - line), " gpc0=");
        passed_over += number_of(line, (size_t)(end - line), " gpc1=");
    }
    return json_pack("{s:I,s:I}", "used", (json_int_t)used, "passed_over", (json_int_t)passed_over);
}

/* ---- health ---- */

static json_t *origin_row(const struct stat_row *row)
{
    g_auto(GStrv) place = g_strsplit(row->server, ".", 2);
    if (g_strv_length(place) != 2 || row->check == NULL || row->check_duration == NULL)
        return NULL;
    const char *text = g_str_has_prefix(row->check, "* ") ? row->check + 2 : row->check; /* a check is under way */
    const char *duration = row->check_duration;
    json_int_t latency_ms = duration[0] != '\0' ? CLAMP(strtoll(duration, NULL, 10), 0, INT32_MAX) : -1;
    return json_pack("{s:s,s:s,s:b,s:s,s:I}", "room", place[0], "via", place[1], "up",
                     g_str_has_prefix(row->status, "UP"), "status", text, "latency_us",
                     latency_ms < 0 ? latency_ms : latency_ms * 1000);
}

json_t *origins_from_stat(const char *reply)
{
    json_t *list = json_array();
    g_autoptr(GPtrArray) rows = stat_read(reply);
    for (guint i = 0; i < rows->len; i++) {
        json_t *row = origin_row(rows->pdata[i]);
        if (row != NULL)
            json_array_append_new(list, row);
    }
    return list;
}
