/* GET /v1/events: nothing is missed and nothing told twice, through restarts and by slow clients too. */
#include "core/loop.h"
#include "server/store/db.h"
#include "tests/unit/served_cli.h"
#include "tests/unit/unit.h"

#include <glib/gstdio.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

struct answer {
    unsigned status;
    char *text;
};

/* last: Last-Event-ID, or NULL. */
static struct answer ask_query(const char *last, const char *query)
{
    struct httpc_target here = {.base_url = "http://localhost", .unix_socket = served.socket};
    g_autofree char *path = g_strdup_printf("/v1/events?%s", query);
    g_autofree char *header = last != NULL ? g_strdup_printf("Last-Event-ID: %s", last) : NULL;
    struct httpc_reply reply = {0};
    struct answer answer = {0};
    if (httpc_call(&here, "GET", path, (const char *const[]){header, NULL}, NULL, 40000, &reply, NULL))
        answer = (struct answer){reply.status, g_strdup(reply.body)};
    httpc_reply_clear(&reply);
    return answer;
}

static struct answer ask(const char *last, int wait_s)
{
    g_autofree char *query = g_strdup_printf("wait=%d", wait_s);
    return ask_query(last, query);
}

/* Takes in an answer: the numbers of what was told, and the new id. */
static void take(struct answer answer, GArray *seqs, char **id)
{
    ck_assert_msg(answer.status == 200, "%u %s", answer.status, answer.text);
    ck_assert(g_str_has_prefix(answer.text, "retry: "));
    g_auto(GStrv) lines = g_strsplit(answer.text, "\n", -1);
    for (char **line = lines; *line != NULL; line++) {
        if (g_str_has_prefix(*line, "id: ")) {
            g_free(*id);
            *id = g_strdup(*line + 4);
        } else if (g_str_has_prefix(*line, "data: ")) {
            json_t *event = json_loads(*line + 6, 0, NULL);
            json_int_t seq = number_at(event, "seq");
            g_array_append_val(seqs, seq);
            json_decref(event);
        }
    }
    g_free(answer.text);
}

/* Everything, asked for at once. */
static GArray *all_of_it(void)
{
    GArray *seqs = g_array_new(FALSE, FALSE, sizeof(json_int_t));
    g_autofree char *id = g_strdup("0");
    for (guint before = G_MAXUINT; before != seqs->len;) {
        before = seqs->len;
        take(ask(id, 0), seqs, &id);
    }
    return seqs;
}

static void expect_all(const GArray *seqs)
{
    g_autoptr(GArray) all = all_of_it();
    ck_assert_uint_eq(seqs->len, all->len);
    for (guint i = 0; i < all->len; i++)
        ck_assert_int_eq(g_array_index(seqs, json_int_t, i), g_array_index(all, json_int_t, i));
}

static void move(const char *value)
{
    g_autofree char *body = g_strdup_printf("{\"value\":\"%s\"}", value);
    ck_assert_uint_eq(served_local(&served, "PUT", "/v1/controls/pop/pop-a1", "*", body, NULL), 200);
}

START_TEST(nothing_is_missed_over_restarts)
{
    g_autoptr(GArray) seqs = g_array_new(FALSE, FALSE, sizeof(json_int_t));
    g_autofree char *id = g_strdup("0");
    served_apply_site(&served);
    apply_pop_plans();
    for (int i = 0; i < 6; i++) {
        take(ask(id, 0), seqs, &id);
        move(i % 2 == 0 ? "out" : "in");
        run_pop_plan(NULL, i, NULL);
        if (i % 2 == 0) {
            ck_assert_int_eq(served_end(&served, SIGKILL) & 0x7f, SIGKILL);
            served_start(&served, NULL, NULL);
        }
    }
    for (guint before = G_MAXUINT; before != seqs->len;) {
        before = seqs->len;
        take(ask(id, 0), seqs, &id);
    }
    ck_assert_uint_gt(seqs->len, 40);
    expect_all(seqs);
    struct answer answer = ask("0", 0);
    static const char *const told[] = {"event: audit\n", "event: generation\n", "event: execution\n", "event: event\n"};
    for (size_t i = 0; i < G_N_ELEMENTS(told); i++)
        ck_assert_ptr_nonnull(strstr(answer.text, told[i]));
    ck_assert_ptr_null(strstr(answer.text, "sha256"));
    g_free(answer.text);
}
END_TEST

static void *ask_beside(void *data)
{
    *(struct answer *)data = ask(*(char **)data, 25);
    return NULL;
}

#define CLIENTS 20

/* Who waits hears of a change at once; all of them. */
START_TEST(who_waits_is_told)
{
    union {
        char *id;
        struct answer answer;
    } clients[CLIENTS];
    pthread_t threads[CLIENTS];
    g_autoptr(GArray) seqs = g_array_new(FALSE, FALSE, sizeof(json_int_t));
    g_autofree char *id = NULL;
    served_apply_site(&served);
    take(ask(NULL, 0), seqs, &id); /* from now on */
    ck_assert_uint_eq(seqs->len, 0);
    int64_t start_us = loop_now_us();
    for (int i = 0; i < CLIENTS; i++) {
        clients[i].id = id;
        ck_assert_int_eq(pthread_create(&threads[i], NULL, ask_beside, &clients[i]), 0);
    }
    g_free(served_token(&served, "tom", "viewer")); /* its entry is not told, its audit is */
    for (int i = 0; i < CLIENTS; i++) {
        pthread_join(threads[i], NULL);
        ck_assert_msg(strstr(clients[i].answer.text, "token created") != NULL, "%s", clients[i].answer.text);
        ck_assert_ptr_null(strstr(clients[i].answer.text, "event: token"));
        g_free(clients[i].answer.text);
    }
    ck_assert_int_lt(loop_now_us() - start_us, 10 * G_USEC_PER_SEC);
}
END_TEST

START_TEST(who_waits_in_vain_gets_a_sign_of_life)
{
    g_autoptr(GArray) seqs = g_array_new(FALSE, FALSE, sizeof(json_int_t));
    g_autofree char *id = NULL;
    take(ask(NULL, 0), seqs, &id);
    struct answer answer = ask(id, 1);
    ck_assert_str_eq(answer.text, "retry: 100\n\n: nothing new\n\n");
    g_free(answer.text);
    /* A server that ends lets those go who wait. */
    struct answer waiting = {.text = NULL};
    pthread_t thread;
    *(char **)&waiting = id;
    ck_assert_int_eq(pthread_create(&thread, NULL, ask_beside, &waiting), 0);
    int64_t start_us = loop_now_us();
    ck_assert_int_eq(served_end(&served, SIGTERM), 0);
    pthread_join(thread, NULL);
    ck_assert_int_lt(loop_now_us() - start_us, 10 * G_USEC_PER_SEC);
    g_free(waiting.status == 0 ? NULL : waiting.text);
    served_start(&served, NULL, NULL);
}
END_TEST

/* The status is of after what was told, and has no id: who comes again goes on behind the events. */
START_TEST(the_status_comes_with_the_events)
{
    g_autoptr(GArray) seqs = g_array_new(FALSE, FALSE, sizeof(json_int_t));
    g_autofree char *id = NULL;
    take(ask(NULL, 0), seqs, &id);
    struct answer answer = ask_query(id, "wait=0&status=1");
    ck_assert_msg(g_str_has_prefix(answer.text, "retry: 100\n\nevent: status\ndata: {\"cluster\":"), "%s", answer.text);
    ck_assert_ptr_null(strstr(answer.text, "id: "));
    g_free(answer.text);
    g_free(served_token(&served, "eve", "viewer"));
    answer = ask_query(id, "wait=25&status=1");
    const char *event = strstr(answer.text, "token created"), *status = strstr(answer.text, "event: status");
    ck_assert_msg(event != NULL && status != NULL && event < status, "%s", answer.text);
    ck_assert_ptr_nonnull(strstr(status, "\"alarms\":["));
    g_free(answer.text);
    answer = ask_query(id, "status=2");
    ck_assert_msg(answer.status == 400, "%u %s", answer.status, answer.text);
    g_free(answer.text);
}
END_TEST

static void report_pops(const char *token, const char *edge, const char *room, const char *const pops[2], bool up)
{
    g_autofree char *url = g_strdup_printf("/agent/v1/edges/%s/report", edge);
    json_t *report =
        json_pack("{s:s, s:s, s:i, s:{s:i, s:i}, s:s, s:n, s:i, s:[], s:[], s:[], s:[]}", "edge", edge, "cluster",
                  "two-rooms", "promised", 65536, "applied", "epoch", 65536, "generation", 2, "state", "applied",
                  "error", "window_us", 1000000, "counters", "origins", "probes", "events");
    for (size_t i = 0; i < 2; i++)
        json_array_append_new(json_object_get(report, "origins"),
                              json_pack("{s:s, s:s, s:b, s:s, s:i}", "room", room, "via", pops[i], "up", up, "status",
                                        up ? "L7OK" : "L4TOUT", "latency_us", 1000));
    char *body = json_dumps(report, JSON_COMPACT);
    ck_assert_uint_eq(served_call(&served, served.agents, token, "POST", url, NULL, body, NULL, NULL), 200);
    free(body);
    json_decref(report);
}

/* Waits for an alarm to be told; at_us of its entry. */
static int64_t alarm_at_us(const char *key)
{
    g_autofree char *begin = g_strdup_printf("\"kind\":\"alarm\",\"id\":\"%s\",\"at_us\":", key), *id = g_strdup("0");
    for (;;) {
        struct answer answer = ask(id, 25);
        const char *found = strstr(answer.text, begin), *waited = strstr(answer.text, ": nothing new");
        int64_t at_us = found != NULL ? g_ascii_strtoll(found + strlen(begin), NULL, 10) : 0;
        ck_assert_msg(found != NULL || waited == NULL, "%s was never told", key);
        g_autoptr(GArray) seqs = g_array_new(FALSE, FALSE, sizeof(json_int_t));
        take(answer, seqs, &id);
        if (at_us != 0)
            return at_us;
    }
}

/* µs from the report that makes it so until the alarm of all POPs, a moment after that of one. */
static int64_t told_after_us(char *const tokens[2], const char *room, const char *const pops[2])
{
    static const char *const edges[] = {"edge-1", "edge-2"};
    g_autofree char *pop = g_strdup_printf("pop/%s", pops[0]), *all = g_strdup_printf("entrances/%s", room);
    for (int i = 0; i < 2; i++)
        report_pops(tokens[i], edges[i], room, pops, true);
    report_pops(tokens[0], edges[0], room, pops, false);
    alarm_at_us(pop);
    int64_t start_us = wall_now_us();
    report_pops(tokens[1], edges[1], room, pops, false);
    return alarm_at_us(all) - start_us;
}

static void *ask_status_beside(void *data)
{
    *(struct answer *)data = ask_query(*(char **)data, "wait=25&status=1");
    return NULL;
}

/* A room that flaps begins no alarm anew; who draws the site is told all the same, and long before the time is up. */
static void expect_told_of_flaps(const char *token, const char *room, const char *const pops[2])
{
    g_autoptr(GArray) seqs = g_array_new(FALSE, FALSE, sizeof(json_int_t));
    g_autofree char *id = NULL;
    take(ask(NULL, 0), seqs, &id);
    union {
        char *id;
        struct answer answer;
    } client = {.id = id};
    pthread_t thread;
    int64_t start_us = loop_now_us();
    ck_assert_int_eq(pthread_create(&thread, NULL, ask_status_beside, &client), 0);
    for (unsigned i = 0; pthread_tryjoin_np(thread, NULL) != 0; i++) {
        report_pops(token, "edge-1", room, pops, i % 2 == 0);
        poll(NULL, 0, 50);
    }
    ck_assert_int_lt(loop_now_us() - start_us, 10 * G_USEC_PER_SEC);
    ck_assert(strstr(client.answer.text, "event: status") != NULL);
    ck_assert(strstr(client.answer.text, "event: alarm") == NULL);
    g_free(client.answer.text);
}

#define SOON_US 300000 /* alarms are looked at twice a second in any case */

/* An entrance that goes down is no matter for the next look. The second room is for a machine that stood still. */
START_TEST(an_alarm_of_entrances_is_told_at_once)
{
    served_apply_site(&served);
    char *tokens[] = {served_token(&served, "edge-1", "agent"), served_token(&served, "edge-2", "agent")};
    int64_t a_us = told_after_us(tokens, "room-a", (const char *const[]){"pop-a1", "pop-a2"});
    int64_t b_us = told_after_us(tokens, "room-b", (const char *const[]){"pop-b1", "pop-b2"});
    ck_assert_int_lt(MIN(a_us, b_us), SOON_US);
    expect_told_of_flaps(tokens[0], "room-b", (const char *const[]){"pop-b1", "pop-b2"});
    g_free(tokens[0]);
    g_free(tokens[1]);
}
END_TEST

START_TEST(what_is_gone_is_said)
{
    g_autoptr(GArray) seqs = g_array_new(FALSE, FALSE, sizeof(json_int_t));
    static const char *const wrong[] = {"x", "12", "-3", "1-2-3", "99999999999999999999-1"};
    served_apply_site(&served);
    for (size_t i = 0; i < G_N_ELEMENTS(wrong); i++) {
        struct answer answer = ask(wrong[i], 0);
        ck_assert_msg(answer.status == 400 && strstr(answer.text, "expected the id of an event") != NULL, "%s: %u %s",
                      wrong[i], answer.status, answer.text);
        g_free(answer.text);
    }
    static const char *const gone[] = {"5-131072", "5000-65536"}; /* of another reign; not there yet */
    for (size_t i = 0; i < G_N_ELEMENTS(gone); i++) {
        g_autofree char *id = NULL;
        struct answer answer = ask(gone[i], 0);
        ck_assert_ptr_nonnull(strstr(answer.text, "event: gap\ndata: {\"after\":5"));
        take(answer, seqs, &id);
        take(ask(id, 0), seqs, &id); /* and goes on from there */
    }
}
END_TEST

START_TEST(a_damaged_entry_is_named)
{
    g_autofree char *path = g_strdup_printf("%s/state/journal.db", served.dir);
    served_apply_site(&served);
    struct db *db = db_open(path, NULL);
    ck_assert(db_exec(db, "update entries set body = '{' where kind = 'generation'", NULL));
    db_close(db);
    struct answer answer = ask("0", 0);
    ck_assert_msg(answer.status == 500 && strstr(answer.text, " is not JSON") != NULL, "%u %s", answer.status,
                  answer.text);
    g_free(answer.text);
}
END_TEST

/* A client that reads nothing is dropped, and others do not notice. */
START_TEST(a_slow_client_costs_nothing)
{
    static const char text[] = "GET /v1/events?after=0 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n";
    g_autofree char *token = served_token(&served, "vera", "viewer");
    g_autofree char *request = g_strdup_printf(text, token);
    served_apply_site(&served);
    int fds[10];
    for (size_t i = 0; i < G_N_ELEMENTS(fds); i++) {
        fds[i] = served_connect(served.port);
        ck_assert_int_eq(send(fds[i], request, strlen(request), MSG_NOSIGNAL), (ssize_t)strlen(request));
    }
    g_autoptr(GArray) seqs = all_of_it();
    ck_assert_uint_gt(seqs->len, 0);
    int64_t start_us = loop_now_us();
    move("out");
    ck_assert_int_lt(loop_now_us() - start_us, 2 * G_USEC_PER_SEC);
    for (size_t i = 0; i < G_N_ELEMENTS(fds); i++)
        close(fds[i]);
}
END_TEST

START_TEST(the_command_follows)
{
    struct beside follow;
    served_apply_site(&served);
    expect_run(SIGNALBOX_RUN("events"), 0, "  audit       uid:0: ", "");
    expect_run(SIGNALBOX_RUN("--json", "events"), 0, "\"kind\":\"generation\"", "");
    expect_run(SIGNALBOX_RUN("events", "--after", "x"), 2, "", "expected the id of an event");
    expect_run(SIGNALBOX_RUN("events", "--after", "5-131072"), 0, "", "restored from an older copy");
    expect_run(SIGNALBOX_RUN("events", "now"), 2, "", "usage: signalbox events");
    beside_start(&follow, (const char *const[]){"events", "--follow", NULL});
    beside_says(&follow, "following the events behind ");
    ck_assert_int_eq(served_end(&served, SIGKILL) & 0x7f, SIGKILL);
    served_start(&served, NULL, NULL);
    move("out");
    kill(follow.pid, SIGTERM);
    int status = 0;
    ck_assert_int_eq(waitpid(follow.pid, &status, 0), follow.pid);
    ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM); /* it was still following */
    g_string_free(follow.err, TRUE);
    close(follow.err_fd);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_checked_fixture(tcase, served_setup, served_teardown);
    tcase_set_timeout(tcase, 200); /* sanitizers are slow */
    tcase_add_test(tcase, nothing_is_missed_over_restarts);
    tcase_add_test(tcase, who_waits_is_told);
    tcase_add_test(tcase, who_waits_in_vain_gets_a_sign_of_life);
    tcase_add_test(tcase, the_status_comes_with_the_events);
    tcase_add_test(tcase, an_alarm_of_entrances_is_told_at_once);
    tcase_add_test(tcase, what_is_gone_is_said);
    tcase_add_test(tcase, a_damaged_entry_is_named);
    tcase_add_test(tcase, a_slow_client_costs_nothing);
    tcase_add_test(tcase, the_command_follows);
}

int main(void)
{
    return unit_run("api_events", add);
}
