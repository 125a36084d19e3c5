/* callee_etcd.c: the thread of callee.h: etcd's JSON gateway (keys and values are base64, 64-bit numbers are text), and
 * the cache. Every change is taken under the lock, whole. */
#include "callee_table.h"

#include <curl/curl.h>
#include <jansson.h>
#include <pthread.h>
#include <string.h>

#define BACKOFF_FIRST_MS 100
#define BACKOFF_LAST_MS 2000
#define ANSWER_SIZE_MAX (16u << 20)
/* What has not changed is written again for its time, by which its age is told. */
#define SAVE_US (60 * G_USEC_PER_SEC)

struct callee {
    char **members, *cache, *ca, *cert, *key;
    CURLM *multi;
    pthread_t thread;

    /* The thread's own. */
    guint member;     /* of members: the one that is asked */
    int64_t revision; /* all up to this one was heard */
    unsigned created; /* watches of this stream, of two */
    bool doubt;       /* the watch has ended, or said something that needs a look */
    GString *input;   /* bytes of the answer that are not taken yet */
    int backoff_ms;
    char *saved; /* what the cache says, but for its time; NULL: not known */
    int64_t saved_us;

    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t settled;
    struct callee_table *table;
    struct callee_state state;
    int64_t heard_us; /* when etcd has last answered; with a cache: before now, as long as the cache is old */
    bool stopping;
};

/* ---- what is said and heard ---- */

static char *encode(const char *text)
{
    return g_base64_encode((const guchar *)text, strlen(text));
}

/* g_free; NULL: it has a zero byte in it, and is nothing that we know. */
static char *decode(const json_t *json)
{
    gsize size = 0;
    g_autofree guchar *bytes = json_is_string(json) ? g_base64_decode(json_string_value(json), &size) : NULL;
    return size > 0 && memchr(bytes, '\0', size) == NULL ? g_strndup((const char *)bytes, size) : NULL;
}

/* "key": ..., "range_end": ... of all instances. */
static char *instances_range(const struct callee *callee)
{
    g_autofree char *end = g_strdup(callee_table_instances_prefix(callee->table));
    g_autofree char *from = encode(end);
    end[strlen(end) - 1]++; /* the first key behind the prefix */
    g_autofree char *to = encode(end);
    return g_strdup_printf("\"key\":\"%s\",\"range_end\":\"%s\"", from, to);
}

static char *look_body(const struct callee *callee)
{
    g_autofree char *row = encode(callee_table_row_key(callee->table)), *range = instances_range(callee);
    return g_strdup_printf("{\"success\":[{\"request_range\":{\"key\":\"%s\"}},{\"request_range\":{%s}}]}", row, range);
}

/* Two watches in one stream. */
static char *watch_body(const struct callee *callee)
{
    g_autofree char *row = encode(callee_table_row_key(callee->table)), *range = instances_range(callee);
    gint64 from = callee->revision + 1;
    return g_strdup_printf("{\"create_request\":{\"key\":\"%s\",\"start_revision\":\"%" G_GINT64_FORMAT "\"}}\n"
                           "{\"create_request\":{%s,\"start_revision\":\"%" G_GINT64_FORMAT "\"}}",
                           row, from, range, from);
}

static int64_t header_revision(const json_t *json)
{
    const char *text = json_string_value(json_object_get(json_object_get(json, "header"), "revision"));
    return text != NULL ? g_ascii_strtoll(text, NULL, 10) : 0;
}

/* Takes the error, or NULL: what was wrong is not so any more. */
static void complain_locked(struct callee *callee, GError *error)
{
    g_free(callee->state.error);
    callee->state.error = error != NULL ? g_strdup(error->message) : NULL;
    g_clear_error(&error);
}

static void hear_locked(struct callee *callee, const char *key, const char *value, int64_t now_us)
{
    GError *error = NULL;
    bool ok = callee_table_hear(callee->table, key, value, now_us, &error);
    if (!ok || strcmp(key, callee_table_row_key(callee->table)) == 0)
        complain_locked(callee, error);
}

static void settle_locked(struct callee *callee, int64_t now_us)
{
    callee_table_settle(callee->table, now_us);
    callee->heard_us = now_us;
    pthread_cond_broadcast(&callee->settled);
}

static void save(struct callee *callee)
{
    if (callee->cache == NULL || !callee_table_known(callee->table)) /* nobody else writes the table */
        return;
    g_autofree char *what = callee_table_dump(callee->table, 0);
    int64_t now_us = g_get_monotonic_time();
    if (g_strcmp0(what, callee->saved) == 0 && now_us < callee->saved_us + SAVE_US)
        return;
    g_clear_pointer(&callee->saved, g_free);
    g_autofree char *text = callee_table_dump(callee->table, g_get_real_time());
    GError *error = NULL;
    if (!g_file_set_contents_full(callee->cache, text, -1, G_FILE_SET_CONTENTS_CONSISTENT | G_FILE_SET_CONTENTS_DURABLE,
                                  0600, &error)) {
        pthread_mutex_lock(&callee->lock);
        complain_locked(callee, error);
        pthread_mutex_unlock(&callee->lock);
        return;
    }
    callee->saved = g_steal_pointer(&what);
    callee->saved_us = now_us;
}

/* ---- looking ---- */

static void hear_range_locked(struct callee *callee, const json_t *range, GHashTable *keys, int64_t now_us)
{
    json_t *pair;
    size_t i;
    json_array_foreach (json_object_get(json_object_get(range, "response_range"), "kvs"), i, pair) {
        char *key = decode(json_object_get(pair, "key"));
        g_autofree char *value = decode(json_object_get(pair, "value"));
        if (key == NULL)
            continue;
        hear_locked(callee, key, value, now_us);
        g_hash_table_add(keys, key);
    }
}

static bool hear_look(struct callee *callee, const char *body)
{
    json_t *json = json_loads(body, 0, NULL), *ranges = json_object_get(json, "responses");
    int64_t revision = header_revision(json), now_us = g_get_monotonic_time();
    g_autoptr(GHashTable) keys = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    bool ok = revision > 0 && json_array_size(ranges) == 2;
    pthread_mutex_lock(&callee->lock);
    if (ok) {
        const char *row = callee_table_row_key(callee->table);
        complain_locked(callee, NULL);
        for (size_t i = 0; i < 2; i++)
            hear_range_locked(callee, json_array_get(ranges, i), keys, now_us);
        if (!g_hash_table_contains(keys, row))
            hear_locked(callee, row, NULL, now_us);
        callee_table_only(callee->table, keys, now_us);
        settle_locked(callee, now_us);
        callee->state.looks++;
    }
    pthread_mutex_unlock(&callee->lock);
    callee->revision = ok ? revision : callee->revision;
    json_decref(json);
    return ok;
}

/* ---- watching ---- */

static void hear_events(struct callee *callee, const json_t *result)
{
    callee->created += json_is_true(json_object_get(result, "created"));
    json_t *event;
    size_t i;
    int64_t now_us = g_get_monotonic_time();
    pthread_mutex_lock(&callee->lock);
    json_array_foreach (json_object_get(result, "events"), i, event) {
        const json_t *pair = json_object_get(event, "kv");
        bool gone = g_strcmp0(json_string_value(json_object_get(event, "type")), "DELETE") == 0;
        g_autofree char *key = decode(json_object_get(pair, "key"));
        g_autofree char *value = gone ? NULL : decode(json_object_get(pair, "value"));
        if (key != NULL)
            hear_locked(callee, key, value, now_us);
    }
    settle_locked(callee, now_us);
    callee->state.watching = callee->created == 2;
    pthread_mutex_unlock(&callee->lock);
}

static void hear_line(struct callee *callee, const char *line)
{
    json_t *json = json_loads(line, 0, NULL), *result = json_object_get(json, "result");
    if (result == NULL || json_is_true(json_object_get(result, "canceled"))) {
        callee->doubt = true; /* compacted, or an error */
    } else {
        hear_events(callee, result);
        if (json_array_size(json_object_get(result, "events")) > 0)
            save(callee);
    }
    json_decref(json);
}

static size_t on_watch(char *bytes, size_t size, size_t n, void *data)
{
    struct callee *callee = data;
    char *end;
    g_string_append_len(callee->input, bytes, (gssize)(size * n));
    while (!callee->doubt && (end = strchr(callee->input->str, '\n')) != NULL) {
        *end = '\0';
        hear_line(callee, callee->input->str);
        g_string_erase(callee->input, 0, end + 1 - callee->input->str);
    }
    return callee->doubt || callee->input->len > ANSWER_SIZE_MAX ? 0 : size * n; /* 0 ends it */
}

static size_t on_look(char *bytes, size_t size, size_t n, void *data)
{
    struct callee *callee = data;
    if (callee->input->len > ANSWER_SIZE_MAX)
        return 0;
    g_string_append_len(callee->input, bytes, (gssize)(size * n));
    return size * n;
}

/* ---- the wire ---- */

static bool stopping(struct callee *callee)
{
    pthread_mutex_lock(&callee->lock);
    bool yes = callee->stopping;
    pthread_mutex_unlock(&callee->lock);
    return yes;
}

/* One request, until it ends or callee_free wakes us. */
static CURLcode carry(struct callee *callee, CURL *easy)
{
    int running = 1, left;
    CURLMsg *message;
    CURLcode code = CURLE_ABORTED_BY_CALLBACK;
    curl_multi_add_handle(callee->multi, easy);
    while (running > 0 && !stopping(callee)) {
        curl_multi_perform(callee->multi, &running);
        if (running > 0)
            curl_multi_poll(callee->multi, NULL, 0, 60000, NULL);
    }
    while ((message = curl_multi_info_read(callee->multi, &left)) != NULL)
        code = message->msg == CURLMSG_DONE ? message->data.result : code;
    curl_multi_remove_handle(callee->multi, easy);
    return code;
}

static void set_tls(const struct callee *callee, CURL *easy)
{
    if (callee->ca != NULL)
        curl_easy_setopt(easy, CURLOPT_CAINFO, callee->ca);
    if (callee->cert != NULL)
        curl_easy_setopt(easy, CURLOPT_SSLCERT, callee->cert);
    if (callee->key != NULL)
        curl_easy_setopt(easy, CURLOPT_SSLKEY, callee->key);
}

/* POST; the answer goes to `take`. Returns the status, 0: none, with the reason in message. */
static long post(struct callee *callee, const char *path, const char *body, long timeout_ms, curl_write_callback take,
                 char message[CURL_ERROR_SIZE])
{
    long status = 0;
    CURL *easy = curl_easy_init();
    /* A member that has lost its leader ends its watches; without this they would be silent. */
    struct curl_slist *headers = curl_slist_append(NULL, "Grpc-Metadata-hasleader: true");
    /* Without this etcd's HTTP server may throw away the rest of a body, a watch, when it begins to answer. */
    headers = curl_slist_append(headers, "Connection: close");
    g_autofree char *url = g_strconcat(callee->members[callee->member], path, NULL);
    message[0] = '\0';
    g_string_truncate(callee->input, 0);
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, timeout_ms);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, message);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, callee);
    set_tls(callee, easy);
    CURLcode code = carry(callee, easy);
    if (code == CURLE_OK)
        curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    else if (message[0] == '\0')
        g_strlcpy(message, curl_easy_strerror(code), CURL_ERROR_SIZE);
    curl_easy_cleanup(easy);
    curl_slist_free_all(headers);
    return status;
}

/* ---- the thread ---- */

static bool look(struct callee *callee)
{
    char message[CURL_ERROR_SIZE];
    g_autofree char *body = look_body(callee);
    long status = post(callee, "/v3/kv/txn", body, CALLEE_LOOK_MS, on_look, message);
    if (status == 200 && hear_look(callee, callee->input->str))
        return true;
    pthread_mutex_lock(&callee->lock);
    complain_locked(callee,
                    g_error_new(G_FILE_ERROR, G_FILE_ERROR_FAILED, "%s: found %ld %.200s, expected an answer of etcd",
                                callee->members[callee->member], status, status == 0 ? message : callee->input->str));
    pthread_mutex_unlock(&callee->lock);
    return false;
}

/* False: there was none to be had. */
static bool watch(struct callee *callee)
{
    char message[CURL_ERROR_SIZE];
    g_autofree char *body = watch_body(callee);
    callee->doubt = false;
    callee->created = 0;
    post(callee, "/v3/watch", body, CALLEE_WATCH_S * 1000, on_watch, message);
    pthread_mutex_lock(&callee->lock);
    bool watched = callee->state.watching;
    callee->state.watching = false;
    pthread_mutex_unlock(&callee->lock);
    return watched;
}

/* Longer each time, and not all callers at once. */
static void back_off(struct callee *callee)
{
    curl_multi_poll(callee->multi, NULL, 0, g_random_int_range(callee->backoff_ms / 2, callee->backoff_ms + 1), NULL);
    callee->backoff_ms = MIN(2 * callee->backoff_ms, BACKOFF_LAST_MS);
}

static void *run(void *data)
{
    struct callee *callee = data;
    guint n = g_strv_length(callee->members), failures = 0;
    while (!stopping(callee)) {
        if (look(callee)) {
            failures = 0;
            callee->backoff_ms = BACKOFF_FIRST_MS;
            save(callee);
            if (!watch(callee))
                back_off(callee);
        } else {
            callee->member = (callee->member + 1) % n;
            if (++failures % n == 0) /* no member of several is worse than another: the next is asked at once */
                back_off(callee);
        }
    }
    return NULL;
}

/* ---- for everybody ---- */

static void load(struct callee *callee)
{
    g_autofree char *text = NULL;
    GError *error = NULL;
    int64_t written_us, now_us = g_get_monotonic_time();
    if (callee->cache == NULL || !g_file_test(callee->cache, G_FILE_TEST_EXISTS))
        return;
    if (g_file_get_contents(callee->cache, &text, NULL, &error) &&
        callee_table_load(callee->table, text, now_us, &written_us, &error)) {
        callee_table_settle(callee->table, now_us);
        int64_t age_us = g_get_real_time() - written_us;
        callee->heard_us = now_us - MAX(0, age_us);
    }
    complain_locked(callee, error);
}

struct callee *callee_new(const struct callee_config *config, GError **error)
{
    if (config->members[0] == '\0') {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "found no member of etcd, expected one at least");
        return NULL;
    }
    struct callee *callee = g_new0(struct callee, 1);
    curl_global_init(CURL_GLOBAL_DEFAULT);
    pthread_condattr_t clock; /* of g_get_monotonic_time */
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_mutex_init(&callee->lock, NULL);
    pthread_cond_init(&callee->settled, &clock);
    pthread_condattr_destroy(&clock);
    callee->members = g_strsplit(config->members, ",", -1);
    callee->cache = g_strdup(config->cache);
    callee->ca = g_strdup(config->ca);
    callee->cert = g_strdup(config->cert);
    callee->key = g_strdup(config->key);
    callee->multi = curl_multi_init();
    callee->input = g_string_new(NULL);
    callee->backoff_ms = BACKOFF_FIRST_MS;
    callee->table = callee_table_new(config);
    load(callee);
    int rc = pthread_create(&callee->thread, NULL, run, callee);
    if (rc == 0)
        return callee;
    g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_FAILED, "cannot start a thread: %s", g_strerror(rc));
    callee->stopping = true;
    callee_free(callee);
    return NULL;
}

void callee_free(struct callee *callee)
{
    if (!callee->stopping) {
        pthread_mutex_lock(&callee->lock);
        callee->stopping = true;
        pthread_mutex_unlock(&callee->lock);
        curl_multi_wakeup(callee->multi);
        pthread_join(callee->thread, NULL);
    }
    curl_multi_cleanup(callee->multi);
    callee_table_free(callee->table);
    g_string_free(callee->input, TRUE);
    g_strfreev(callee->members);
    g_free(callee->state.error);
    g_free(callee->cache);
    g_free(callee->saved);
    g_free(callee->ca);
    g_free(callee->cert);
    g_free(callee->key);
    pthread_cond_destroy(&callee->settled);
    pthread_mutex_destroy(&callee->lock);
    g_free(callee);
}

bool callee_wait(struct callee *callee, unsigned timeout_ms)
{
    int64_t until_us = g_get_monotonic_time() + (int64_t)timeout_ms * 1000;
    const struct timespec until = {until_us / G_USEC_PER_SEC, until_us % G_USEC_PER_SEC * 1000};
    pthread_mutex_lock(&callee->lock);
    while (!callee_table_known(callee->table) && pthread_cond_timedwait(&callee->settled, &callee->lock, &until) == 0)
        ;
    bool known = callee_table_known(callee->table);
    pthread_mutex_unlock(&callee->lock);
    return known;
}

char *callee_pick(struct callee *callee, uint64_t roll, char **zone)
{
    const char *picked_zone = NULL;
    pthread_mutex_lock(&callee->lock);
    char *address = g_strdup(callee_table_pick(callee->table, roll, &picked_zone));
    if (zone != NULL)
        *zone = g_strdup(picked_zone);
    pthread_mutex_unlock(&callee->lock);
    return address;
}

void callee_state(struct callee *callee, struct callee_state *out)
{
    pthread_mutex_lock(&callee->lock);
    *out = callee->state;
    out->error = g_strdup(callee->state.error);
    out->protected = callee_table_protected(callee->table);
    out->age_us = callee_table_known(callee->table) ? g_get_monotonic_time() - callee->heard_us : -1;
    pthread_mutex_unlock(&callee->lock);
}
