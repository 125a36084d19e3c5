#include "tests/lab/traffic/replay.h"

#include <stdio.h>
#include <string.h>

/* Limits: what users may notice. Microseconds. */
#define UNHARMED_LONGEST_US 1500000
#define MANUAL_MEDIAN_US 500000
#define MANUAL_WORST_US 800000
#define SINGLE_WORST_US 1000000

/* One limit over all runs. */
struct verdict {
    const char *name;
    bool applies; /* something was measured for it */
    bool ok;
    GString *text;
};

static void verdict_init(struct verdict *v, const char *name)
{
    *v = (struct verdict){name, false, true, g_string_new(NULL)};
}

static void verdict_add(struct verdict *v, bool ok, const struct measure_class *c, const char *format, ...)
    G_GNUC_PRINTF(4, 5);

/* Notes one measurement; what is not ok is told. */
static void verdict_add(struct verdict *v, bool ok, const struct measure_class *c, const char *format, ...)
{
    v->applies = true;
    if (ok)
        return;
    va_list args;
    va_start(args, format);
    g_string_append(v->text, v->text->len > 0 ? "; " : "");
    if (c != NULL)
        g_string_append_printf(v->text, "%s %s %s: ", c->stream->name, c->stream->edge_class, c->stream->client);
    g_string_append_vprintf(v->text, format, args);
    va_end(args);
    v->ok = false;
}

/* Prints and clears. True when the limit held; a limit that nothing was measured for does not hold. */
static bool verdict_close(struct verdict *v, bool wanted)
{
    bool ok = !wanted || (v->applies && v->ok);
    if (wanted)
        printf("%s  %s%s%s\n", ok ? "PASS" : "FAIL", v->name,
               !v->applies ? ": not measured"
               : v->ok     ? ""
                           : ": ",
               v->text->str);
    g_string_free(v->text, TRUE);
    return ok;
}

/* Whole milliseconds, rounded up; null for a time that does not exist. */
static json_t *ms_to_json(int64_t us)
{
    return us == MEASURE_NONE ? json_null() : json_integer((us + 999) / 1000);
}

static gint name_compare(gconstpointer a, gconstpointer b)
{
    return strcmp(a, b);
}

static json_t *counts_to_json(GHashTable *counts)
{
    json_t *json = json_object();
    g_autoptr(GList) names = g_list_sort(g_hash_table_get_keys(counts), name_compare);
    for (GList *at = names; at != NULL; at = at->next)
        json_object_set_new(json, at->data, json_integer(GPOINTER_TO_UINT(g_hash_table_lookup(counts, at->data))));
    return json;
}

static json_t *class_to_json(const struct measure_class *c)
{
    return json_pack("{s:s, s:s, s:s, s:i, s:i, s:i, s:i, s:o, s:o, s:o, s:o, s:o}", "name", c->stream->name,
                     "edge_class", c->stream->edge_class, "client", c->stream->client, "requests", c->requests,
                     "failed_get", c->failed_get, "failed_other", c->failed_other, "lost_acknowledged_writes",
                     c->lost_writes + c->doubled_writes, "recovery_ms", ms_to_json(c->recovery_us),
                     "recovery_after_button_ms", ms_to_json(c->after_button_us), "max_latency_ms",
                     ms_to_json(c->max_latency_us), "max_latency_outside_stalls_ms",
                     ms_to_json(c->max_latency_outside_us), "answered_by", counts_to_json(c->answered_by));
}

static bool in_run(const struct replay_run *run, const struct measure_stall *stall)
{
    return stall->start_us + stall->duration_us >= run->in.gate_us && stall->start_us <= run->in.end_us;
}

/* at_ms counts from the fault. */
static json_t *stalls_to_json(const struct replay_run *run)
{
    json_t *json = json_array();
    for (guint i = 0; i < run->in.stalls->len; i++) {
        const struct measure_stall *stall = &g_array_index(run->in.stalls, struct measure_stall, i);
        if (in_run(run, stall))
            json_array_append_new(json, json_pack("{s:s, s:I, s:I}", "who", stall->who, "at_ms",
                                                  (json_int_t)((stall->start_us - run->in.fault_us) / 1000),
                                                  "duration_ms", (json_int_t)((stall->duration_us + 999) / 1000)));
    }
    return json;
}

json_t *replay_run_to_json(const struct replay *replay, const struct replay_run *run)
{
    json_t *classes = json_array();
    struct measure_failback failback;
    measure_failback(&failback, &run->in);
    for (uint16_t i = 0; i < run->in.streams_len; i++) {
        struct measure_class c;
        measure_class_init(&c, &run->in, i);
        json_array_append_new(classes, class_to_json(&c));
        measure_class_clear(&c);
    }
    json_t *back = run->in.failback_us == MEASURE_NONE ? json_null()
                                                       : json_pack("{s:i, s:i}", "failed_get", failback.failed_get,
                                                                   "users_moved_twice", failback.users_moved_twice);
    return json_pack("{s:I, s:s, s:b, s:o, s:o, s:o}", "seed", (json_int_t)run->seed, "fault", replay->fault, "server",
                     replay->server, "classes", classes, "stalls", stalls_to_json(run), "failback", back);
}

/* ---- for people ---- */

static void print_ms(int64_t us)
{
    if (us == MEASURE_NONE)
        printf(" %9s", "-");
    else
        printf(" %9ld", (us + 999) / 1000);
}

static void print_class(const struct measure_class *c)
{
    printf("  %-11s %-9s %-9s %6u %6u %6u %5u", c->stream->name, c->stream->edge_class, c->stream->client, c->requests,
           c->failed_get, c->failed_other, c->lost_writes + c->doubled_writes);
    print_ms(c->recovery_us);
    print_ms(c->after_button_us);
    print_ms(c->max_latency_us);
    print_ms(c->max_latency_outside_us);
    json_t *who = counts_to_json(c->answered_by);
    const char *name;
    json_t *count;
    json_object_foreach (who, name, count)
        printf(" %s:%lld", name, json_integer_value(count));
    json_decref(who);
    printf("%s\n", c->recovered ? "" : " never recovered");
}

static void print_head(const struct replay *replay, const struct replay_run *run)
{
    printf("seed %lu, %s, %s\n", run->seed, replay->fault, replay->server ? "button" : "no control server");
    printf("  %-11s %-9s %-9s %6s %6s %6s %5s %9s %9s %9s %9s %s\n", "class", "edges", "client", "sent", "GET!",
           "POST!", "lost", "recovery", "button", "longest", "-stalls", "answered by, since the fault");
}

/* ---- limits ---- */

struct verdicts {
    struct verdict hit, core_gets, writes, core_longest, manual_median, manual_worst, single, single_gets,
        single_longest, single_home, names, dedicated, moved_back, failback, moved_twice, plans;
    GArray *manual_us; /* int64_t: recovery after the button */
    bool gateways;     /* single-room services escape: held to the limits of core ones, never moved */
};

static void verdicts_init(struct verdicts *v, bool gateways)
{
    v->gateways = gateways;
    verdict_init(&v->hit, "the fault hit: services without automatic DR failed on public edges");
    verdict_init(&v->core_gets, "core, public edges: no failed GET");
    verdict_init(&v->writes, "no acknowledged write lost or written twice");
    verdict_init(&v->core_longest, "core, public edges: longest answer 1.5 s outside stalls");
    verdict_init(&v->manual_median, "manual, public edges: median recovery 500 ms after the button");
    verdict_init(&v->manual_worst, "manual, public edges: worst recovery 800 ms after the button");
    verdict_init(&v->single, "single-room, public edges: recovery 1 s after the button");
    verdict_init(&v->single_gets, "single-room, public edges: no failed GET");
    verdict_init(&v->single_longest, "single-room, public edges: longest GET 1.5 s outside stalls");
    verdict_init(&v->single_home, "single-room: every answer is its home's");
    verdict_init(&v->names, "single-room, new clients: on dedicated edges after TTL + 1 s");
    verdict_init(&v->dedicated, "dedicated edges: no failure");
    verdict_init(&v->moved_back, "nothing moved back by itself");
    verdict_init(&v->failback, "failback: no failed GET");
    verdict_init(&v->moved_twice, "failback: users moved, none more than once");
    verdict_init(&v->plans, "both plans ended well");
    v->manual_us = g_array_new(FALSE, FALSE, sizeof(int64_t));
}

static bool verdicts_close(struct verdicts *v, bool server)
{
    int64_t median_us = measure_median(v->manual_us);
    if (median_us != MEASURE_NONE)
        verdict_add(&v->manual_median, median_us <= MANUAL_MEDIAN_US, NULL, "%ld ms", median_us / 1000);
    g_array_unref(v->manual_us);
    bool ok = verdict_close(&v->hit, true);
    ok &= verdict_close(&v->core_gets, true);
    ok &= verdict_close(&v->writes, true);
    ok &= verdict_close(&v->core_longest, true);
    ok &= verdict_close(&v->manual_median, server);
    ok &= verdict_close(&v->manual_worst, server);
    ok &= verdict_close(&v->single, server && !v->gateways);
    ok &= verdict_close(&v->single_gets, v->gateways);
    ok &= verdict_close(&v->single_longest, v->gateways);
    ok &= verdict_close(&v->single_home, v->gateways);
    ok &= verdict_close(&v->names, server && !v->gateways);
    ok &= verdict_close(&v->dedicated, true);
    ok &= verdict_close(&v->moved_back, server);
    ok &= verdict_close(&v->failback, server);
    ok &= verdict_close(&v->moved_twice, server);
    ok &= verdict_close(&v->plans, server);
    return ok;
}

static void judge_unharmed(struct verdict *gets, struct verdict *longest, const struct measure_class *c,
                           int64_t longest_us)
{
    verdict_add(gets, c->failed_get == 0, c, "%u failed", c->failed_get);
    verdict_add(longest, longest_us <= UNHARMED_LONGEST_US, c, "%ld ms", longest_us / 1000);
}

/* Its home is the room that was cut off. */
static void judge_home(struct verdict *v, const struct measure_class *c)
{
    GHashTableIter iter;
    gpointer who, count;
    g_hash_table_iter_init(&iter, c->answered_by);
    while (g_hash_table_iter_next(&iter, &who, &count))
        verdict_add(v, g_str_has_prefix(who, REPLAY_ROOM "/"), c, "%u by %s", GPOINTER_TO_UINT(count),
                    (const char *)who);
}

/* A recovery that came before the button is as good as one at it; none at all means that nothing failed. */
static void judge_recovery(struct verdict *v, const struct measure_class *c, int64_t limit_us)
{
    verdict_add(v, c->recovered && c->after_button_outside_us <= limit_us, c, "%ld ms%s",
                c->after_button_outside_us / 1000, c->recovered ? "" : " and more");
}

static void judge_class(struct verdicts *v, const struct measure_class *c)
{
    bool public_edge = strcmp(c->stream->edge_class, "public") == 0;
    bool single = strcmp(c->stream->name, "core") != 0 && strcmp(c->stream->name, "manual") != 0;
    if (single)
        judge_home(&v->single_home, c);
    verdict_add(&v->writes, c->lost_writes + c->doubled_writes == 0, c, "%u lost, %u twice", c->lost_writes,
                c->doubled_writes);
    if (!public_edge) {
        verdict_add(&v->dedicated, c->failed_get + c->failed_other == 0, c, "%u failed",
                    c->failed_get + c->failed_other);
        return;
    }
    verdict_add(&v->moved_back, c->moved_back == 0, c, "%u requests", c->moved_back);
    if (strcmp(c->stream->name, "core") == 0) {
        judge_unharmed(&v->core_gets, &v->core_longest, c, c->max_latency_outside_us);
        return;
    }
    if (single && v->gateways) {
        judge_unharmed(&v->single_gets, &v->single_longest, c, c->max_get_outside_us);
        return;
    }
    verdict_add(&v->hit, c->failed_get > 0, c, "nothing failed");
    if (strcmp(c->stream->name, "manual") == 0) {
        judge_recovery(&v->manual_worst, c, MANUAL_WORST_US);
        if (c->after_button_us != MEASURE_NONE)
            g_array_append_val(v->manual_us, c->after_button_outside_us);
        return;
    }
    judge_recovery(&v->single, c, SINGLE_WORST_US);
    if (strcmp(c->stream->client, "new") == 0)
        verdict_add(&v->names, c->settled > 0 && c->late_names == 0, c, "%u of %u elsewhere", c->late_names,
                    c->settled);
}

/* What failed, by class and reason, with the first and the last time it was due, in seconds from the fault. */
static void print_failures(const struct replay_run *run)
{
    struct kind {
        unsigned count;
        int64_t first_us, last_us;
    };
    g_autoptr(GHashTable) kinds = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    for (guint i = 0; i < run->in.requests->len; i++) {
        const struct request *r = &g_array_index(run->in.requests, struct request, i);
        if (request_succeeded(r) || r->scheduled_us < run->in.gate_us)
            continue;
        const struct measure_stream *s = &run->in.streams[r->stream];
        char *name =
            g_strdup_printf("%s %s %s, %s %u %s at %s%s", s->name, s->edge_class, s->client, r->post ? "POST" : "GET",
                            r->status, r->error, r->edge[0] != '\0' ? r->edge : r->address, r->reused ? ", kept" : "");
        struct kind *kind = g_hash_table_lookup(kinds, name);
        if (kind == NULL) {
            kind = g_new(struct kind, 1);
            *kind = (struct kind){0, r->scheduled_us, r->scheduled_us};
            g_hash_table_insert(kinds, g_strdup(name), kind);
        }
        g_free(name);
        kind->count++;
        kind->last_us = r->scheduled_us;
    }
    g_autoptr(GList) names = g_list_sort(g_hash_table_get_keys(kinds), name_compare);
    for (GList *at = names; at != NULL; at = at->next) {
        const struct kind *kind = g_hash_table_lookup(kinds, at->data);
        printf("  failed: %5u %s, %+.2f to %+.2f s\n", kind->count, (char *)at->data,
               (double)(kind->first_us - run->in.fault_us) / 1e6, (double)(kind->last_us - run->in.fault_us) / 1e6);
    }
}

static void judge_run(struct verdicts *v, const struct replay_run *run)
{
    struct measure_failback failback;
    for (uint16_t i = 0; i < run->in.streams_len; i++) {
        struct measure_class c;
        measure_class_init(&c, &run->in, i);
        print_class(&c);
        judge_class(v, &c);
        measure_class_clear(&c);
    }
    print_failures(run);
    measure_failback(&failback, &run->in);
    verdict_add(&v->failback, failback.failed_get == 0, NULL, "%u failed", failback.failed_get);
    verdict_add(&v->moved_twice, failback.users_moved_twice == 0 && failback.users_moved > 0, NULL,
                "%u moved, %u of them more than once", failback.users_moved, failback.users_moved_twice);
    verdict_add(&v->plans, run->button_exit == 0 && run->failback_exit == 0, NULL, "exit codes %d and %d",
                run->button_exit, run->failback_exit);
    if (run->in.failback_us != MEASURE_NONE)
        printf("  failback: %u failed GET, %u failed POST, %u users moved, %u more than once\n", failback.failed_get,
               failback.failed_other, failback.users_moved, failback.users_moved_twice);
}

bool replay_report(const struct replay *replay, const GPtrArray *runs, json_t **json)
{
    struct verdicts verdicts;
    verdicts_init(&verdicts, replay->gateways);
    json_t *list = json_array();
    for (guint i = 0; i < runs->len; i++) {
        const struct replay_run *run = runs->pdata[i];
        print_head(replay, run);
        judge_run(&verdicts, run);
        json_array_append_new(list, replay_run_to_json(replay, run));
    }
    if (json != NULL)
        *json = json_pack("{s:o}", "runs", list);
    else
        json_decref(list);
    return verdicts_close(&verdicts, replay->server);
}
