#include "tests/lab/traffic/traffic_log.h"

#include "core/error.h"
#include "core/fileio.h"
#include "schema/slot.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TRAFFIC_FILE_MAX (512u << 20)

void traffic_log_init(struct traffic_log *log)
{
    log->tag = NULL;
    log->streams = g_array_new(FALSE, TRUE, sizeof(struct measure_stream));
    log->requests = g_array_new(FALSE, TRUE, sizeof(struct request));
    log->stalls = g_array_new(FALSE, TRUE, sizeof(struct measure_stall));
}

void traffic_log_clear(struct traffic_log *log)
{
    g_clear_pointer(&log->tag, g_free);
    g_clear_pointer(&log->streams, g_array_unref);
    g_clear_pointer(&log->requests, g_array_unref);
    g_clear_pointer(&log->stalls, g_array_unref);
}

static json_t *streams_to_json(const GArray *streams)
{
    json_t *list = json_array();
    for (guint i = 0; i < streams->len; i++) {
        const struct measure_stream *s = &g_array_index(streams, struct measure_stream, i);
        json_array_append_new(
            list, json_pack("{s:s, s:s, s:s}", "name", s->name, "edge_class", s->edge_class, "client", s->client));
    }
    return list;
}

/* As load names its users to the edges. */
static unsigned user_slot(uint32_t user)
{
    char id[16], key[SLOT_KEY_SIZE];
    g_snprintf(id, sizeof id, "%u", user);
    return slot_of_key(slot_key(key, id, NULL, NULL));
}

static json_t *request_to_json(const struct request *r)
{
    return json_pack("{s:i, s:I, s:I, s:i, s:I, s:I, s:i, s:b, s:b, s:s, s:s, s:s, s:s, s:s}", "s", r->stream, "q",
                     (json_int_t)r->seq, "u", (json_int_t)r->user, "slot", (int)user_slot(r->user), "t",
                     (json_int_t)r->scheduled_us, "e", (json_int_t)r->end_us, "c", r->status, "post", r->post, "reused",
                     r->reused, "error", r->error, "address", r->address, "edge", r->edge, "room", r->room, "entrance",
                     r->entrance);
}

/* Appends a line; takes json. */
static void put_line(GString *text, json_t *json)
{
    char *line = json_dumps(json, JSON_COMPACT | JSON_PRESERVE_ORDER);
    g_string_append(text, line != NULL ? line : "null");
    g_string_append_c(text, '\n');
    free(line);
    json_decref(json);
}

bool traffic_log_write(const struct traffic_log *log, const char *path, GError **error)
{
    GString *text = g_string_sized_new(1u << 20);
    put_line(text, json_pack("{s:s, s:o}", "tag", log->tag, "streams", streams_to_json(log->streams)));
    for (guint i = 0; i < log->requests->len; i++)
        put_line(text, request_to_json(&g_array_index(log->requests, struct request, i)));
    for (guint i = 0; i < log->stalls->len; i++) {
        const struct measure_stall *stall = &g_array_index(log->stalls, struct measure_stall, i);
        put_line(text, json_pack("{s:I, s:I}", "stall_us", (json_int_t)stall->start_us, "duration_us",
                                 (json_int_t)stall->duration_us));
    }
    bool ok = file_write_atomic(path, text->str, text->len, 0644, error);
    g_string_free(text, TRUE);
    return ok;
}

static void copy_text(char *to, size_t size, const char *from)
{
    g_strlcpy(to, from, size);
}

static bool take_request(struct traffic_log *log, const json_t *json)
{
    int stream, status, post, reused;
    json_int_t seq, user, due, end;
    const char *text, *address, *edge, *room, *entrance;
    struct request r = {0};
    if (json_unpack((json_t *)json, "{s:i, s:I, s:I, s:I, s:I, s:i, s:b, s:b, s:s, s:s, s:s, s:s, s:s}", "s", &stream,
                    "q", &seq, "u", &user, "t", &due, "e", &end, "c", &status, "post", &post, "reused", &reused,
                    "error", &text, "address", &address, "edge", &edge, "room", &room, "entrance", &entrance) != 0)
        return false;
    r.stream = (uint16_t)stream;
    r.status = (uint16_t)status;
    r.seq = (uint32_t)seq;
    r.user = (uint32_t)user;
    r.scheduled_us = due;
    r.end_us = end;
    r.post = post != 0;
    r.reused = reused != 0;
    copy_text(r.error, sizeof r.error, text);
    copy_text(r.address, sizeof r.address, address);
    copy_text(r.edge, sizeof r.edge, edge);
    copy_text(r.room, sizeof r.room, room);
    copy_text(r.entrance, sizeof r.entrance, entrance);
    g_array_append_val(log->requests, r);
    return r.stream < log->streams->len;
}

static bool take_header(struct traffic_log *log, const json_t *json)
{
    size_t index;
    json_t *item;
    log->tag = g_strdup(json_string_value(json_object_get(json, "tag")));
    json_array_foreach (json_object_get(json, "streams"), index, item) {
        const char *name, *edge_class, *client;
        struct measure_stream s = {0};
        if (json_unpack(item, "{s:s, s:s, s:s}", "name", &name, "edge_class", &edge_class, "client", &client) != 0)
            return false;
        copy_text(s.name, sizeof s.name, name);
        copy_text(s.edge_class, sizeof s.edge_class, edge_class);
        copy_text(s.client, sizeof s.client, client);
        g_array_append_val(log->streams, s);
    }
    return log->tag != NULL;
}

static bool take_line(struct traffic_log *log, const json_t *json)
{
    json_int_t start, duration;
    if (json_object_get(json, "tag") != NULL)
        return log->tag == NULL && take_header(log, json);
    if (json_unpack((json_t *)json, "{s:I, s:I}", "stall_us", &start, "duration_us", &duration) != 0)
        return take_request(log, json);
    struct measure_stall stall = {"load", start, duration};
    g_array_append_val(log->stalls, stall);
    return true;
}

bool traffic_log_read(struct traffic_log *log, const char *path, GError **error)
{
    size_t size;
    g_autofree char *text = file_read(path, TRAFFIC_FILE_MAX, &size, error);
    if (text == NULL)
        return false;
    unsigned number = 1;
    for (char *line = text, *end; (end = strchr(line, '\n')) != NULL; line = end + 1, number++) {
        json_t *json = json_loadb(line, (size_t)(end - line), 0, NULL);
        bool ok = json != NULL && take_line(log, json);
        json_decref(json);
        if (!ok) {
            g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "%s:%u: not a line of a traffic log", path, number);
            return false;
        }
    }
    if (log->tag == NULL)
        g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "%s: empty, expected a traffic log", path);
    return log->tag != NULL;
}

bool traffic_writes_read(GHashTable *writes, const char *tag, const char *path, GError **error)
{
    g_autofree char *text = file_read(path, TRAFFIC_FILE_MAX, NULL, error);
    if (text == NULL)
        return false;
    size_t tag_len = strlen(tag);
    for (char *line = text, *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
        const char *id = memchr(line, ' ', (size_t)(end - line));
        if (id == NULL || strncmp(id + 1, tag, tag_len) != 0 || id[1 + tag_len] != '-')
            continue;
        gpointer seq = GUINT_TO_POINTER(strtoul(id + 2 + tag_len, NULL, 10));
        guint count = GPOINTER_TO_UINT(g_hash_table_lookup(writes, seq));
        g_hash_table_insert(writes, seq, GUINT_TO_POINTER(count + 1));
    }
    return true;
}

bool traffic_stalls_read(GArray *stalls, const char *who, const char *path, GError **error)
{
    g_autoptr(GError) missing = NULL;
    g_autofree char *text = file_read(path, TRAFFIC_FILE_MAX, NULL, &missing);
    if (text == NULL && g_error_matches(missing, SB_ERROR, SB_ERROR_NOT_FOUND))
        return true;
    if (text == NULL) {
        g_propagate_error(error, g_steal_pointer(&missing));
        return false;
    }
    for (char *line = text, *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
        long long start, duration;
        if (sscanf(line, "%lld %lld", &start, &duration) != 2) {
            g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "%s: expected lines \"start_us duration_us\"", path);
            return false;
        }
        struct measure_stall stall = {who, start, duration};
        g_array_append_val(stalls, stall);
    }
    return true;
}
