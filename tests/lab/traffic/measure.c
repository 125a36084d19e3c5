#include "tests/lab/traffic/measure.h"

#include <string.h>

bool request_succeeded(const struct request *request)
{
    return request->status >= 200 && request->status < 300;
}

static gint request_compare(gconstpointer a, gconstpointer b)
{
    const struct request *x = a, *y = b;
    if (x->scheduled_us != y->scheduled_us)
        return x->scheduled_us < y->scheduled_us ? -1 : 1;
    return x->seq < y->seq ? -1 : x->seq > y->seq;
}

static gint stall_compare(gconstpointer a, gconstpointer b)
{
    const struct measure_stall *x = a, *y = b;
    return x->start_us < y->start_us ? -1 : x->start_us > y->start_us;
}

int64_t measure_stalled_us(const GArray *stalls, int64_t from_us, int64_t to_us)
{
    int64_t sum = 0, seen_us = from_us;
    g_autoptr(GArray) sorted = g_array_sized_new(FALSE, FALSE, sizeof(struct measure_stall), stalls->len);
    g_array_append_vals(sorted, stalls->data, stalls->len);
    g_array_sort(sorted, stall_compare);
    for (guint i = 0; i < sorted->len; i++) {
        const struct measure_stall *stall = &g_array_index(sorted, struct measure_stall, i);
        int64_t start = MAX(stall->start_us, seen_us), end = MIN(stall->start_us + stall->duration_us, to_us);
        if (end > start) {
            sum += end - start;
            seen_us = end;
        }
    }
    return sum;
}

static gint int64_compare(gconstpointer a, gconstpointer b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

int64_t measure_median(GArray *values)
{
    if (values->len == 0)
        return MEASURE_NONE;
    g_array_sort(values, int64_compare);
    return g_array_index(values, int64_t, (values->len - 1) / 2);
}

/* The fault's phase ends where the failback begins. */
static int64_t phase_end_us(const struct measure_input *in)
{
    return in->failback_us != MEASURE_NONE ? in->failback_us : in->end_us;
}

static bool in_phase(const struct measure_input *in, const struct request *request)
{
    return request->scheduled_us >= in->gate_us && request->scheduled_us < phase_end_us(in);
}

static void count_writes(struct measure_class *out, const struct measure_input *in, const struct request *request)
{
    guint logged = GPOINTER_TO_UINT(g_hash_table_lookup(in->writes, GUINT_TO_POINTER(request->seq)));
    if (logged > 1)
        out->doubled_writes++;
    else if (logged == 0 && request_succeeded(request))
        out->lost_writes++;
}

static void count_answer(struct measure_class *out, const struct request *request)
{
    char *who = g_strdup_printf("%s/%s", request->room, request->entrance);
    guint count = GPOINTER_TO_UINT(g_hash_table_lookup(out->answered_by, who));
    g_hash_table_insert(out->answered_by, who, GUINT_TO_POINTER(count + 1));
}

static void count_moves(struct measure_class *out, const struct measure_input *in, const struct request *request)
{
    if (in->button_us == MEASURE_NONE)
        return;
    if (request->scheduled_us >= in->button_us && strcmp(request->room, in->room) == 0 &&
        strcmp(request->entrance, "ring") != 0)
        out->moved_back++;
    if (request->scheduled_us >= in->button_us + in->settle_us) {
        out->settled++;
        if (!g_hash_table_contains(in->dedicated, request->address))
            out->late_names++;
    }
}

static void count_request(struct measure_class *out, const struct measure_input *in, const struct request *request)
{
    bool success = request_succeeded(request);
    int64_t latency_us = request->end_us - request->scheduled_us;
    out->requests++;
    if (request->post)
        count_writes(out, in, request);
    if (!success && request->post)
        out->failed_other++;
    else if (!success)
        out->failed_get++;
    if (success && request->scheduled_us >= in->fault_us)
        count_answer(out, request);
    if (success)
        count_moves(out, in, request);
    int64_t outside_us = latency_us - measure_stalled_us(in->stalls, request->scheduled_us, request->end_us);
    out->max_latency_us = MAX(out->max_latency_us, latency_us);
    out->max_latency_outside_us = MAX(out->max_latency_outside_us, outside_us);
    if (!request->post)
        out->max_get_outside_us = MAX(out->max_get_outside_us, outside_us);
}

/* Whom the fault hit: users that failed since, and those whom the failed room served last before. */
static GHashTable *users_hit(const struct measure_input *in, uint16_t index)
{
    GHashTable *hit = g_hash_table_new(NULL, NULL);
    for (guint i = 0; i < in->requests->len; i++) {
        const struct request *request = &g_array_index(in->requests, struct request, i);
        gpointer user = GUINT_TO_POINTER(request->user);
        if (request->stream != index || !in_phase(in, request))
            continue;
        if (request->scheduled_us >= in->fault_us || request->end_us >= in->fault_us) {
            if (!request_succeeded(request))
                g_hash_table_add(hit, user);
        } else if (request_succeeded(request) && strcmp(request->room, in->room) == 0) {
            g_hash_table_add(hit, user);
        } else if (request_succeeded(request)) {
            g_hash_table_remove(hit, user);
        }
    }
    return hit;
}

/* When the last request that failed was due; MEASURE_NONE when all succeeded. */
static int64_t last_failure_us(const struct measure_input *in, uint16_t index)
{
    int64_t last_us = MEASURE_NONE;
    for (guint i = 0; i < in->requests->len; i++) {
        const struct request *request = &g_array_index(in->requests, struct request, i);
        if (request->stream == index && in_phase(in, request) && !request_succeeded(request) &&
            request->end_us >= in->fault_us)
            last_us = request->scheduled_us;
    }
    return last_us;
}

/* End of the first success, of a user who was hit, that was due after `last_us`; MEASURE_NONE when there is none. */
static int64_t first_success_us(const struct measure_input *in, uint16_t index, int64_t last_us)
{
    int64_t first_us = MEASURE_NONE;
    g_autoptr(GHashTable) hit = users_hit(in, index);
    for (guint i = 0; i < in->requests->len; i++) {
        const struct request *request = &g_array_index(in->requests, struct request, i);
        if (request->stream != index || !in_phase(in, request) || request->scheduled_us <= last_us ||
            !request_succeeded(request) || !g_hash_table_contains(hit, GUINT_TO_POINTER(request->user)))
            continue;
        if (first_us == MEASURE_NONE || request->end_us < first_us)
            first_us = request->end_us;
    }
    return first_us;
}

static void measure_recovery(struct measure_class *out, const struct measure_input *in, uint16_t index)
{
    out->recovery_us = out->after_button_us = out->after_button_outside_us = MEASURE_NONE;
    out->recovered = true;
    int64_t last_us = last_failure_us(in, index);
    if (last_us == MEASURE_NONE)
        return;
    int64_t end_us = first_success_us(in, index, last_us);
    out->recovered = end_us != MEASURE_NONE;
    if (!out->recovered)
        end_us = phase_end_us(in);
    out->recovery_us = end_us - in->fault_us;
    if (in->button_us == MEASURE_NONE || end_us < in->button_us)
        return;
    out->after_button_us = end_us - in->button_us;
    out->after_button_outside_us = out->after_button_us - measure_stalled_us(in->stalls, in->button_us, end_us);
}

void measure_class_init(struct measure_class *out, const struct measure_input *in, uint16_t index)
{
    memset(out, 0, sizeof *out);
    out->stream = &in->streams[index];
    out->answered_by = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_array_sort(in->requests, request_compare);
    for (guint i = 0; i < in->requests->len; i++) {
        const struct request *request = &g_array_index(in->requests, struct request, i);
        if (request->stream == index && in_phase(in, request))
            count_request(out, in, request);
    }
    measure_recovery(out, in, index);
}

void measure_class_clear(struct measure_class *class)
{
    g_clear_pointer(&class->answered_by, g_hash_table_unref);
}

/* The rooms that a user of a stream was answered by: the last one, and how often it changed since the failback. */
struct user_rooms {
    char room[24];
    unsigned changes;
};

static void follow_user(GHashTable *users, const struct measure_input *in, const struct request *request)
{
    gint64 key = (gint64)request->stream << 32 | request->user;
    struct user_rooms *rooms = g_hash_table_lookup(users, &key);
    if (rooms == NULL) {
        rooms = g_new0(struct user_rooms, 1);
        g_hash_table_insert(users, g_memdup2(&key, sizeof key), rooms);
    } else if (request->scheduled_us >= in->failback_us && strcmp(rooms->room, request->room) != 0) {
        rooms->changes++;
    }
    g_strlcpy(rooms->room, request->room, sizeof rooms->room);
}

void measure_failback(struct measure_failback *out, const struct measure_input *in)
{
    memset(out, 0, sizeof *out);
    if (in->failback_us == MEASURE_NONE)
        return;
    g_autoptr(GHashTable) users = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, g_free);
    g_array_sort(in->requests, request_compare);
    for (guint i = 0; i < in->requests->len; i++) {
        const struct request *request = &g_array_index(in->requests, struct request, i);
        if (request_succeeded(request))
            follow_user(users, in, request);
        else if (request->scheduled_us >= in->failback_us)
            *(request->post ? &out->failed_other : &out->failed_get) += 1;
    }
    GHashTableIter iter;
    gpointer value;
    g_hash_table_iter_init(&iter, users);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const struct user_rooms *rooms = value;
        out->users_moved += rooms->changes > 0;
        out->users_moved_twice += rooms->changes > 1;
    }
}
