/* Idempotency-Key: who asks again gets the same answer and nothing is done twice, through a crash too. */
#include "core/error.h"
#include "core/loop.h"
#include "server/api/answers.h"
#include "tests/unit/served_cli.h"
#include "tests/unit/unit.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#define RUN "/v1/plans/pop-out/run"

/* ---- one request with a key ---- */

struct told {
    unsigned status; /* 0: no answer */
    char *body, *etag, *location;
};

static struct told ask(const char *token, const char *method, const char *path, const char *key, const char *body)
{
    struct httpc_target here = {.base_url = "http://localhost", .unix_socket = served.socket},
                        there = {.base_url = served.operators, .token = token};
    g_autofree char *header = g_strdup_printf("Idempotency-Key: %s", key);
    const char *const headers[] = {"If-Match: *", header, NULL};
    struct httpc_reply reply = {0};
    struct told told = {0};
    if (httpc_call(token != NULL ? &there : &here, method, path, headers, body, 20000, &reply, NULL))
        told = (struct told){reply.status, g_strdup(reply.body), g_strdup(reply.etag), g_strdup(reply.location)};
    httpc_reply_clear(&reply);
    return told;
}

static void told_clear(struct told *told)
{
    g_free(told->body);
    g_free(told->etag);
    g_free(told->location);
}

static void expect_same(const struct told *a, struct told b)
{
    ck_assert_uint_eq(b.status, a->status);
    ck_assert_str_eq(b.body, a->body);
    ck_assert_pstr_eq(b.etag, a->etag);
    ck_assert_pstr_eq(b.location, a->location);
    told_clear(&b);
}

static void expect_status(unsigned status, const char *text, struct told told)
{
    ck_assert_msg(told.status == status && strstr(told.body, text) != NULL, "%u %s", told.status, told.body);
    told_clear(&told);
}

static size_t executions(void)
{
    json_t *answer = NULL;
    ck_assert_uint_eq(served_local(&served, "GET", "/v1/executions", NULL, NULL, &answer), 200);
    size_t n = json_array_size(json_object_get(answer, "executions"));
    json_decref(answer);
    return n;
}

static void restart(void)
{
    ck_assert_int_eq(served_end(&served, SIGKILL) & 0x7f, SIGKILL);
    served_start(&served, NULL, NULL);
}

START_TEST(a_replayed_key_starts_one_execution)
{
    served_apply_site(&served);
    apply_pop_plans();
    g_autofree char *token = served_token(&served, "oscar", "operator");
    struct told first = ask(token, "POST", RUN, "k-1", "{}");
    ck_assert_uint_eq(first.status, 202);
    ck_assert_ptr_nonnull(first.location);
    expect_same(&first, ask(token, "POST", RUN, "k-1", "{}"));
    ck_assert_uint_eq(executions(), 1);
    expect_status(422, "problem:reused", ask(token, "POST", RUN, "k-1", "{\"reason\":\"x\"}"));
    expect_status(422, "problem:reused", ask(token, "POST", "/v1/plans/pop-in/run", "k-1", "{}"));
    restart();
    expect_same(&first, ask(token, "POST", RUN, "k-1", "{}"));
    expect_status(422, "expected a new one", ask(token, "POST", RUN, "k-1", "{\"reason\":\"x\"}"));
    ck_assert_uint_eq(executions(), 1);
    told_clear(&first);
    /* A key is its owner's; a dry run and a failure leave none. */
    g_autofree char *other = served_token(&served, "olga", "operator");
    expect_status(200, "steps", ask(other, "POST", RUN "?dry_run=1", "k-1", "{}"));
    expect_status(404, "", ask(other, "POST", "/v1/plans/nothing/run", "k-1", "{}"));
    expect_status(202, "", ask(other, "POST", RUN, "k-1", "{}"));
    ck_assert_uint_eq(executions(), 2);
}
END_TEST

/* Each write, asked twice: the same bytes, and the audit does not grow. */
START_TEST(every_write_takes_a_key)
{
    static const struct {
        const char *method, *path, *body;
    } writes[] = {
        {"POST", "/v1/apply", "{\"objects\":[{\"kind\":\"zone\",\"name\":\"zone-7\"}]}"},
        {"POST", "/v1/apply", "{\"objects\":[{\"kind\":\"zone\",\"name\":\"zone-7\"}],\"reason\":\"nothing new\"}"},
        {"PUT", "/v1/inventory/zone/zone-1", "{}"},
        {"DELETE", "/v1/inventory/zone/zone-7", NULL},
        {"PUT", "/v1/controls/pop/pop-a1", "{\"value\":\"out\"}"},
        {"POST", "/v1/controls", "{\"changes\":[{\"control\":\"pop\",\"object\":\"pop-a1\",\"value\":\"in\"}]}"},
        {"DELETE", "/v1/tokens/tom", NULL},
    };
    served_apply_site(&served);
    g_free(served_token(&served, "tom", "viewer"));
    for (size_t i = 0; i < G_N_ELEMENTS(writes); i++) {
        g_autofree char *key = g_strdup_printf("\"w-%zu\"", i);
        struct told first = ask(NULL, writes[i].method, writes[i].path, key, writes[i].body);
        ck_assert_msg(first.status / 100 == 2, "%s %s: %u %s", writes[i].method, writes[i].path, first.status,
                      first.body);
        json_t *before = NULL, *after = NULL;
        served_local(&served, "GET", "/v1/audit?limit=1", NULL, NULL, &before);
        expect_same(&first, ask(NULL, writes[i].method, writes[i].path, key, writes[i].body));
        restart();
        expect_same(&first, ask(NULL, writes[i].method, writes[i].path, key, writes[i].body));
        served_local(&served, "GET", "/v1/audit?limit=1", NULL, NULL, &after);
        ck_assert(json_equal(before, after));
        json_decref(before);
        json_decref(after);
        told_clear(&first);
    }
    expect_status(400, "Idempotency-Key: found", ask(NULL, "POST", "/v1/apply", "a b", "{}"));
}
END_TEST

/* What has no dry run does nothing when it is asked for one. */
START_TEST(no_dry_run_is_no_change)
{
    served_apply_site(&served);
    g_free(served_token(&served, "tom", "viewer"));
    json_t *execution = NULL, *before = NULL, *after = NULL;
    ck_assert_uint_eq(
        served_local(&served, "POST", "/v1/plans/failback/run", NULL, "{\"target\":\"room-a\"}", &execution), 202);
    g_autofree char *abort = g_strdup_printf("/v1/executions/%s/abort?dry_run=1", text_at(execution, "id")),
                    *act = g_strdup_printf("/v1/executions/%s/acts?dry_run=1", text_at(execution, "id"));
    const struct {
        const char *method, *path, *body;
    } rows[] = {
        {"POST", abort, "{\"reason\":\"x\"}"},
        {"POST", act, "{\"act\":\"pause\"}"},
        {"POST", "/v1/tokens?dry_run=1", "{\"name\":\"tina\",\"role\":\"viewer\"}"},
        {"DELETE", "/v1/tokens/tom?dry_run=1", NULL},
    };
    served_local(&served, "GET", "/v1/audit?limit=1", NULL, NULL, &before);
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++)
        expect_status(400, "dry_run: found one, expected none",
                      ask(NULL, rows[i].method, rows[i].path, "dry", rows[i].body));
    served_local(&served, "GET", "/v1/audit?limit=1", NULL, NULL, &after);
    ck_assert(json_equal(before, after));
    json_decref(execution);
    json_decref(before);
    json_decref(after);
}
END_TEST

START_TEST(a_secret_is_shown_once)
{
    const char *body = "{\"name\":\"ada\",\"role\":\"admin\"}";
    struct told first = ask(NULL, "POST", "/v1/tokens", "t", body);
    ck_assert_uint_eq(first.status, 201);
    json_t *answer = json_loads(first.body, 0, NULL);
    expect_status(409, "shown once", ask(NULL, "POST", "/v1/tokens", "t", body));
    ck_assert_int_eq(served_end(&served, SIGTERM), 0);
    static const char *const files[] = {"journal.db", "journal.db-wal"};
    for (size_t i = 0; i < G_N_ELEMENTS(files); i++) {
        g_autofree char *path = g_strdup_printf("%s/state/%s", served.dir, files[i]), *bytes = NULL;
        gsize size = 0;
        const char *secret = text_at(answer, "token");
        if (g_file_get_contents(path, &bytes, &size, NULL))
            ck_assert_ptr_null(memmem(bytes, size, secret, strlen(secret)));
    }
    json_decref(answer);
    told_clear(&first);
}
END_TEST

#define THREADS 8

static void *ask_beside(void *data)
{
    *(struct told *)data = ask(NULL, "POST", RUN, "together", "{}");
    return NULL;
}

START_TEST(many_at_once_are_one)
{
    pthread_t threads[THREADS];
    struct told told[THREADS];
    served_apply_site(&served);
    apply_pop_plans();
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, ask_beside, &told[i]), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    ck_assert_uint_eq(told[0].status, 202);
    for (int i = 1; i < THREADS; i++)
        expect_same(&told[0], told[i]);
    told_clear(&told[0]);
    ck_assert_uint_eq(executions(), 1);
}
END_TEST

#ifdef SIGNALBOX_FAILPOINTS
/* No execution is under way. */
static void wait_quiet(void)
{
    int64_t until_us = loop_now_us() + 20 * G_USEC_PER_SEC;
    for (bool busy = true; busy;) {
        json_t *answer = NULL, *row;
        size_t i;
        busy = false;
        ck_assert_int_lt(loop_now_us(), until_us);
        served_local(&served, "GET", "/v1/executions", NULL, NULL, &answer);
        json_array_foreach (json_object_get(answer, "executions"), i, row)
            busy |= strcmp(text_at(row, "state"), "running") == 0;
        json_decref(answer);
    }
}

static const char *const points[] = {"before-journal~answer", "after-journal~answer", "before-reply"};

/* Starts the server anew, to be killed at the point as soon as *armed is there. */
static void arm(const char *point, const char *armed)
{
    g_autofree char *env = g_strdup_printf("SIGNALBOX_FP=%s:kill", point),
                    *when = g_strdup_printf("SIGNALBOX_FP_ARMED=%s", armed);
    ck_assert_int_eq(served_end(&served, SIGTERM), 0);
    served_start(&served, (const char *const[]){env, when, NULL}, NULL);
    wait_quiet();
    ck_assert(g_file_set_contents(armed, "", 0, NULL));
}

/* Killed before the change is durable, or after it but before the answer: asked again, it was done once, */
START_TEST(killed_in_between)
{
    g_autofree char *armed = g_build_filename(served.dir, "armed", NULL);
    served_apply_site(&served);
    apply_pop_plans();
    for (size_t i = 0; i < G_N_ELEMENTS(points); i++) {
        g_autofree char *key = g_strdup_printf("killed-%zu", i);
        arm(points[i], armed);
        struct told lost = ask(NULL, "POST", RUN, key, "{}");
        ck_assert_msg(lost.status == 0, "%s: %u", points[i], lost.status);
        ck_assert_int_eq(served_wait(&served) & 0x7f, SIGKILL);
        ck_assert_int_eq(unlink(armed), 0);
        served_start(&served, NULL, NULL);
        struct told again = ask(NULL, "POST", RUN, key, "{}");
        ck_assert_uint_eq(again.status, 202);
        expect_same(&again, ask(NULL, "POST", RUN, key, "{}"));
        told_clear(&again);
        ck_assert_uint_eq(executions(), i + 1);
    }
}
END_TEST

/* and so it is by the command, which asks again by itself. */
START_TEST(the_command_asks_again)
{
    g_autofree char *armed = g_build_filename(served.dir, "armed", NULL);
    served_apply_site(&served);
    apply_pop_plans();
    for (size_t i = 0; i < G_N_ELEMENTS(points); i++) {
        struct beside run;
        arm(points[i], armed);
        beside_start(&run, (const char *const[]){"plan", "run", "pop-out", "--no-wait", NULL});
        beside_says(&run, "the connection was lost before the answer");
        ck_assert_int_eq(served_wait(&served) & 0x7f, SIGKILL);
        ck_assert_int_eq(unlink(armed), 0);
        served_start(&served, NULL, NULL);
        ck_assert_int_eq(beside_end(&run), 0);
        ck_assert_msg(executions() == i + 1, "%s: %zu executions", points[i], executions());
    }
}
END_TEST
#endif

/* ---- time and number ---- */

/* Answers a request of this key at this time; returns how many answers it ended. */
static unsigned keep(struct answers *answers, const char *id, int64_t wall_us, char *body)
{
    struct answer_key key = {0};
    struct reply reply = {.status = 200, .body = body, .size = strlen(body)};
    g_autoptr(GPtrArray) entries = entries_new();
    unsigned ended = 0;
    g_strlcpy(key.id, id, sizeof key.id);
    answers_make(answers, &key, &reply, false, wall_us, entries);
    for (guint i = 0; i < entries->len; i++) {
        const struct journal_entry *entry = entries->pdata[i];
        ended += json_is_null(entry->body);
        ck_assert(answers_restore(answers, entry, NULL));
    }
    return ended;
}

static bool kept(struct answers *answers, const char *id, int64_t wall_us)
{
    struct answer_key key = {0};
    struct reply reply = {0};
    g_strlcpy(key.id, id, sizeof key.id);
    bool found = answers_find(answers, &key, wall_us, &reply, NULL);
    g_free(reply.body);
    return found;
}

START_TEST(answers_end)
{
    sb_auto(answers) answers = answers_new();
    char small[] = "{}";
    g_autofree char *large = g_strnfill(ANSWERS_SIZE_MAX / 2, 'x');
    ck_assert_uint_eq(keep(answers, "a", 1000, small), 0);
    ck_assert_uint_eq(keep(answers, "b", 2000, small), 0);
    ck_assert(kept(answers, "a", 999 + ANSWERS_KEPT_US));
    ck_assert(!kept(answers, "a", 1000 + ANSWERS_KEPT_US) && kept(answers, "b", 1000 + ANSWERS_KEPT_US));
    ck_assert_uint_eq(keep(answers, "a", 1500 + ANSWERS_KEPT_US, small), 0); /* its own, anew */
    ck_assert_uint_eq(keep(answers, "c", 2000 + ANSWERS_KEPT_US, small), 1);
    ck_assert(kept(answers, "a", 2000 + ANSWERS_KEPT_US) && !kept(answers, "b", 0));
    /* bytes */
    ck_assert_uint_eq(keep(answers, "d", 3000 + ANSWERS_KEPT_US, large), 0);
    ck_assert_uint_eq(keep(answers, "e", 3000 + ANSWERS_KEPT_US, large), 2);
    ck_assert(!kept(answers, "c", 0) && kept(answers, "d", 0) && kept(answers, "e", 0));
    /* number */
    for (int i = 0; i < ANSWERS_MAX - 1; i++) {
        char id[16];
        snprintf(id, sizeof id, "n%d", i);
        ck_assert_uint_eq(keep(answers, id, 4000 + ANSWERS_KEPT_US, small), i == 0 ? 1 : 0);
    }
    ck_assert_uint_eq(keep(answers, "m", 4000 + ANSWERS_KEPT_US, small), 1);
    ck_assert(!kept(answers, "e", 0) && kept(answers, "n0", 0));
    ck_assert_uint_eq(keep(answers, "o", 4000 + ANSWERS_KEPT_US, small), 1);
    ck_assert(!kept(answers, "n0", 0) && kept(answers, "n1", 0));
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_checked_fixture(tcase, served_setup, served_teardown);
    tcase_set_timeout(tcase, 200); /* sanitizers are slow */
    tcase_add_test(tcase, a_replayed_key_starts_one_execution);
    tcase_add_test(tcase, every_write_takes_a_key);
    tcase_add_test(tcase, no_dry_run_is_no_change);
    tcase_add_test(tcase, a_secret_is_shown_once);
    tcase_add_test(tcase, many_at_once_are_one);
#ifdef SIGNALBOX_FAILPOINTS
    tcase_add_test(tcase, killed_in_between);
    tcase_add_test(tcase, the_command_asks_again);
#endif
    tcase_add_test(tcase, answers_end);
}

int main(void)
{
    return unit_run("api_keys", add);
}
