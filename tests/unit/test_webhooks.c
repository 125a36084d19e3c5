/* Webhooks and hook steps with a real server and real receivers: who is told, signed, once more after a crash, and what
 * happens to receivers that fail. */
#include "core/fileio.h"
#include "core/loop.h"
#include "server/store/db.h"
#include "tests/unit/receiver.h"
#include "tests/unit/served_cli.h"
#include "tests/unit/unit.h"

#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>

#define LIMIT_US (30 * (int64_t)G_USEC_PER_SEC) /* a limit, not a wait */
#define OLD "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
#define NEW "whsec_bmV3bmV3bmV3bmV3bmV3bmV3bmV3bmV3"

static struct receiver one, two;
static char *keys_flag;

static void put_key(const char *text)
{
    g_autofree char *path = g_strdup_printf("%s/keys/ops.whsec", served.dir);
    ck_assert(file_write_atomic(path, text, strlen(text), 0600, NULL));
}

static void start_server(const char *allow)
{
    g_autofree char *allow_flag = g_strdup_printf("--call-allow=%s", allow);
    served_start(&served, NULL, (const char *const[]){keys_flag, allow_flag, NULL});
}

static void setup(void)
{
    served_new(&served);
    g_autofree char *folder = g_strdup_printf("%s/keys", served.dir);
    ck_assert(file_mkdir(folder, 0700, NULL));
    keys_flag = g_strdup_printf("--keys=%s", folder);
    put_key(OLD "\n");
    receiver_start(&one);
    receiver_start(&two);
    start_server("127.0.0.0/8");
    served_apply_site(&served);
}

static void teardown(void)
{
    receiver_end(&one);
    receiver_end(&two);
    served_clear(&served);
    g_clear_pointer(&keys_flag, g_free);
}

/* more: ",\"give_up\":1", or "". */
static void put_webhook(const char *name, const struct receiver *to, const char *events, const char *more)
{
    g_autofree char *body =
        g_strdup_printf("{\"objects\":[{\"kind\":\"webhook\",\"name\":\"%s\",\"url\":\"http://127.0.0.1:%d/in\","
                        "\"key\":\"ops\",\"events\":[%s]%s}]}",
                        name, to->port, events, more);
    ck_assert_uint_eq(served_local(&served, "POST", "/v1/apply", NULL, body, NULL), 200);
}

static void move(const char *value)
{
    g_autofree char *body = g_strdup_printf("{\"value\":\"%s\",\"reason\":\"quotes \\\" and \\u00fc\"}", value);
    ck_assert_uint_eq(served_local(&served, "PUT", "/v1/controls/pop/pop-a1", "*", body, NULL), 200);
}

static void tell(const char *name, const char *body)
{
    g_autofree char *path = g_strdup_printf("/v1/webhooks/%s/deliveries", name);
    ck_assert_uint_eq(served_local(&served, "POST", path, NULL, body, NULL), 202);
}

static json_t *get(const char *path)
{
    json_t *answer = NULL;
    ck_assert_uint_eq(served_local(&served, "GET", path, NULL, NULL, &answer), 200);
    return answer;
}

/* Asks until `text` stands in the answer; 404 is one, too: a server that has just started publishes a second later. */
static void wait_for(const char *path, const char *text)
{
    int64_t until_us = loop_now_us() + LIMIT_US;
    for (bool seen = false; !seen;) {
        json_t *answer = NULL;
        unsigned status = served_local(&served, "GET", path, NULL, NULL, &answer);
        ck_assert_msg(status == 200 || status == 404, "%s: found %u %s", path, status, text_at(answer, "detail"));
        char *whole = json_dumps(answer, JSON_COMPACT);
        seen = strstr(whole, text) != NULL;
        ck_assert_msg(seen || loop_now_us() < until_us, "%s: found %s, expected %s", path, whole, text);
        free(whole);
        json_decref(answer);
    }
}

/* Asks for metrics until that of webhook ops is so much, which is returned. outcome: a further label, or "". */
static double wait_metric(const char *name, const char *outcome, double least, double most)
{
    const struct httpc_target here = {.base_url = "http://localhost", .unix_socket = served.socket};
    g_autofree char *line = g_strdup_printf("\nsignalbox_webhook_%s{webhook=\"ops\"%s} ", name, outcome);
    double found = -1;
    for (int64_t until_us = loop_now_us() + LIMIT_US; !(found >= least && found <= most);) {
        struct httpc_reply reply = {0};
        ck_assert(httpc_call(&here, "GET", "/metrics", NULL, NULL, 30000, &reply, NULL));
        const char *at = strstr(reply.body, line);
        found = at != NULL ? g_ascii_strtod(at + strlen(line), NULL) : -1;
        ck_assert_msg(loop_now_us() < until_us, "%s: found %f, expected %f to %f", line, found, least, most);
        httpc_reply_clear(&reply);
    }
    return found;
}
#define DELIVERED ",outcome=\"delivered\""
#define FAILED ",outcome=\"failed\""

static const char *id_of(const struct received *request)
{
    return received_header(request, "webhook-id");
}

/* An implementation that is not ours: each of the secrets must have signed it. */
static void expect_signed(const struct received *request, const char *secrets)
{
    static const char script[] =
        "import sys,hmac,hashlib,base64,time\n"
        "i,t,s,b,secrets=sys.argv[1:]\n"
        "assert abs(time.time()-int(t))<300\n"
        "want=['v1,'+base64.b64encode(hmac.new(base64.b64decode(k[6:]),(i+'.'+t+'.'+b).encode(),"
        "hashlib.sha256).digest()).decode() for k in secrets.split()]\n"
        "assert s.split()==want,(s,want)\n";
    const char *argv[] = {"python3",
                          "-c",
                          script,
                          id_of(request),
                          received_header(request, "webhook-timestamp"),
                          received_header(request, "webhook-signature"),
                          request->body,
                          secrets,
                          NULL};
    int status = -1;
    g_autofree char *err = NULL;
    ck_assert(
        g_spawn_sync(NULL, (char **)(uintptr_t)argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, &err, &status, NULL));
    ck_assert_msg(status == 0, "%s", err);
}

/* Ids of all events of these kinds behind `id`, as everybody is told them. */
static GPtrArray *ids_told(const char *after)
{
    GPtrArray *ids = g_ptr_array_new_with_free_func(g_free);
    struct httpc_target here = {.base_url = "http://localhost", .unix_socket = served.socket};
    g_autofree char *path = g_strdup_printf("/v1/events?wait=0&after=%s", after);
    struct httpc_reply reply = {0};
    ck_assert(httpc_call(&here, "GET", path, NULL, NULL, 30000, &reply, NULL));
    g_auto(GStrv) lines = g_strsplit(reply.body, "\n", -1);
    for (char **line = lines; *line != NULL; line++)
        if (g_str_has_prefix(*line, "id: ") && line[1] != NULL && g_str_has_prefix(line[1], "event: "))
            g_ptr_array_add(ids, g_strdup(*line + 4));
    httpc_reply_clear(&reply);
    return ids;
}

static json_t *event_of(const struct received *request)
{
    json_t *event = json_loads(request->body, 0, NULL);
    ck_assert_msg(event != NULL, "%s", request->body);
    return event;
}

#define ALL "\"alarm\",\"audit\",\"event\",\"execution\",\"generation\""

START_TEST(everything_is_told_signed_and_in_order)
{
    put_webhook("ops", &one, ALL, "");
    put_webhook("some", &two, "\"generation\"", "");
    apply_pop_plans();
    for (int i = 0; i < 4; i++)
        move(i % 2 == 0 ? "out" : "in");
    run_pop_plan(NULL, 0, NULL);
    const struct received *first = receiver_wait(&one, 0);
    g_autoptr(GPtrArray) ids = ids_told(id_of(first));
    ck_assert_uint_gt(ids->len, 10);
    for (guint i = 0; i < ids->len; i++) {
        const struct received *request = receiver_wait(&one, i + 1);
        ck_assert_str_eq(id_of(request), ids->pdata[i]);
    }
    for (guint i = 0; i < ids->len; i += 4) {
        const struct received *request = receiver_wait(&one, i);
        json_t *event = event_of(request);
        expect_signed(request, OLD);
        ck_assert_str_eq(request->method, "POST");
        ck_assert_str_eq(request->path, "/in");
        ck_assert(g_str_has_prefix(received_header(request, "content-type"), "application/cloudevents+json"));
        ck_assert_str_eq(text_at(event, "specversion"), "1.0");
        ck_assert_str_eq(text_at(event, "id"), id_of(request));
        ck_assert_str_eq(text_at(event, "source"), "/signalbox/two-rooms");
        ck_assert(g_str_has_prefix(text_at(event, "type"), "signalbox."));
        ck_assert(g_str_has_suffix(text_at(event, "time"), "Z") && json_is_object(json_object_get(event, "data")));
        json_decref(event);
    }
    for (guint i = 0; i < 5; i++) {
        json_t *event = event_of(receiver_wait(&two, i));
        ck_assert_str_eq(text_at(event, "type"), "signalbox.generation");
        json_decref(event);
    }
}
END_TEST

/* Waits for a line of this chat that begins so; it is returned, the receiver's. */
static const char *wait_line(struct receiver *chat, const char *begin)
{
    for (unsigned i = 0;; i++) {
        const struct received *request = receiver_wait(chat, i);
        g_autofree char *start = g_strdup_printf("{\"text\":\"%s", begin);
        ck_assert(g_str_has_prefix(received_header(request, "content-type"), "application/json"));
        if (g_str_has_prefix(request->body, start))
            return request->body;
    }
}

START_TEST(a_chat_is_told_of_alarms_with_links_and_of_who_takes_them)
{
    /* No edge has ever reported: that is an alarm, five seconds after the start. */
    put_webhook("ops", &one, "\"alarm\",\"execution\"", ",\"chat\":\"https://console.example.test/\"");
    const char *line = wait_line(&one, "P1 no edge reports: ");
    ck_assert_msg(strstr(line, "acknowledge: https://console.example.test/?alarm=blind%2Ftwo-rooms") != NULL, "%s",
                  line);
    json_t *answer = NULL;
    const char *path = "/v1/alarms/blind/two-rooms/acks";
    ck_assert_uint_eq(served_local(&served, "POST", path, NULL, "{\"reason\":\"on <my> way\"}", &answer), 200);
    ck_assert_str_eq(text_at(answer, "state"), "acknowledged");
    json_decref(answer);
    wait_line(&one, "uid:0 looks after P1 no edge reports: on &lt;my&gt; way\"");
    wait_for("/v1/status", "\"ack\":{\"actor\":\"uid:0\"");
    wait_for("/v1/audit", "alarm acknowledged");
    ck_assert_uint_eq(served_local(&served, "POST", "/v1/alarms/pop/pop-a1/acks", NULL, "{}", NULL), 404);
    served_end(&served, SIGKILL); /* he looks after it still */
    start_server("127.0.0.0/8");
    wait_for("/v1/status", "\"ack\":{\"actor\":\"uid:0\"");
    apply_pop_plans();
    run_pop_plan(NULL, 0, NULL);
    line = wait_line(&one, "pop-out begins, uid:0");
    ck_assert_msg(strstr(line, "see: https://console.example.test/executions/pop-out-") != NULL, "%s", line);
}
END_TEST

START_TEST(secrets_are_exchanged_without_a_restart)
{
    put_webhook("ops", &one, "", "");
    tell("ops", "{}");
    expect_signed(receiver_wait(&one, 0), OLD);
    put_key(NEW "\n" OLD "\n");
    tell("ops", "{}");
    expect_signed(receiver_wait(&one, 1), NEW " " OLD);
    put_key(NEW "\n");
    tell("ops", "{}");
    expect_signed(receiver_wait(&one, 2), NEW);
}
END_TEST

START_TEST(killed_in_mid_delivery_it_tells_again_under_the_same_id)
{
    put_webhook("ops", &one, "\"generation\"", "");
    move("out");
    receiver_wait(&one, 0);
    wait_for("/v1/webhooks/ops/deliveries", "delivered"); /* else that would be told again, too */
    receiver_hold(&one, true);
    for (int i = 0; i < 3; i++)
        move(i % 2 == 0 ? "in" : "out");
    const struct received *before = receiver_wait(&one, 1);
    served_end(&served, SIGKILL);
    receiver_hold(&one, false);
    start_server("127.0.0.0/8");
    ck_assert_str_eq(id_of(receiver_wait(&one, 2)), id_of(before));
    ck_assert_str_eq(receiver_wait(&one, 2)->body, before->body);
    g_autoptr(GPtrArray) told = g_ptr_array_new();
    for (unsigned i = 2; i < 5; i++) { /* the three moves; the new reign's own comes behind them */
        json_t *event = event_of(receiver_wait(&one, i));
        g_ptr_array_add(told, GSIZE_TO_POINTER(strtoul(text_at(event, "subject"), NULL, 10)));
        json_decref(event);
    }
    for (guint i = 1; i < told->len; i++)
        ck_assert_uint_eq(GPOINTER_TO_SIZE(told->pdata[i]), GPOINTER_TO_SIZE(told->pdata[i - 1]) + 1);
}
END_TEST

START_TEST(what_fails_is_tried_again_and_logged)
{
    receiver_answer(&one, 503, NULL, NULL);
    put_webhook("ops", &one, "", "");
    tell("ops", "{\"reason\":\"try\"}");
    const struct received *first = receiver_wait(&one, 0), *second = receiver_wait(&one, 1);
    ck_assert_str_eq(id_of(first), id_of(second));
    receiver_answer(&one, 204, NULL, NULL);
    wait_for("/v1/webhooks/ops/deliveries", "\"delivered\"");
    json_t *answer = get("/v1/webhooks/ops/deliveries?limit=1"),
           *newest = json_array_get(json_object_get(answer, "deliveries"), 0);
    ck_assert_str_eq(text_at(newest, "state"), "delivered");
    ck_assert_int_eq(number_at(newest, "status"), 204);
    ck_assert_int_ge(number_at(newest, "attempt"), 3);
    ck_assert_int_gt(number_at(newest, "latency_us"), 0);
    g_autofree char *next = g_strdup_printf("/v1/webhooks/ops/deliveries?limit=1&cursor=%s", text_at(answer, "next"));
    json_t *older = get(next), *row = json_array_get(json_object_get(older, "deliveries"), 0);
    ck_assert_str_eq(text_at(row, "state"), "again");
    ck_assert_int_eq(number_at(row, "status"), 503);
    ck_assert_int_gt(number_at(row, "next_us"), number_at(row, "at_us"));
    ck_assert_str_eq(text_at(row, "id"), text_at(newest, "id"));
    json_decref(older);
    json_decref(answer);
    wait_metric("deliveries_total", DELIVERED, 1, 1);
    wait_metric("deliveries_total", FAILED, 2, 100);
    wait_metric("disabled", "", 0, 0);
    wait_metric("behind", "", 0, 0);
    wait_metric("oldest_seconds", "", 0, 0);
}
END_TEST

START_TEST(who_fails_for_long_is_disabled_and_audited)
{
    receiver_answer(&one, 500, NULL, NULL);
    put_webhook("ops", &one, "\"generation\"", ",\"give_up\":1");
    move("out");
    wait_for("/v1/webhooks", "\"disabled\"");
    wait_for("/v1/audit", "webhook disabled");
    wait_for("/v1/status", "webhook ops is disabled");
    unsigned asked = receiver_count(&one);
    wait_metric("disabled", "", 1, 1);
    double behind = wait_metric("behind", "", 1, 1000);
    move("in");
    wait_metric("behind", "", behind + 1, 1000);
    wait_metric("oldest_seconds", "", 0.000001, 1000); /* of the first: pop-a1 went out */
    served_end(&served, SIGTERM);                      /* a restart is no reason to ask again */
    start_server("127.0.0.0/8");
    wait_for("/v1/webhooks", "\"disabled\"");
    ck_assert_uint_eq(receiver_count(&one), asked);
    receiver_answer(&one, 200, NULL, NULL);
    tell("ops", "{}");
    const struct received *again = receiver_wait(&one, asked);
    ck_assert_str_eq(id_of(again), id_of(receiver_wait(&one, 0))); /* and nothing was lost meanwhile */
    for (unsigned i = asked + 1;; i++) {
        json_t *event = event_of(receiver_wait(&one, i));
        bool test = strcmp(text_at(event, "type"), "signalbox.message") == 0;
        ck_assert(test || strcmp(text_at(event, "type"), "signalbox.generation") == 0);
        json_decref(event);
        if (test)
            break;
    }
    receiver_answer(&two, 410, NULL, NULL);
    put_webhook("gone", &two, "", "");
    tell("gone", "{}");
    wait_for("/v1/webhooks", "it answered 410"); /* 410 alone may stand in a port */
    ck_assert_uint_eq(receiver_count(&two), 1);
    wait_for("/v1/audit", "it answered 410");
}
END_TEST

/* It is tried when it can be, though what it was told could not be read when somebody asked for it. */
START_TEST(who_is_enabled_before_his_place_is_known)
{
    g_autofree char *path = g_strdup_printf("%s/state/webhooks.db", served.dir), *aside = g_strconcat(path, "-a", NULL);
    receiver_answer(&one, 410, NULL, NULL);
    put_webhook("ops", &one, "\"generation\"", "");
    move("out");
    wait_for("/v1/webhooks", "it answered 410");
    served_end(&served, SIGTERM);
    ck_assert(g_rename(path, aside) == 0 && g_mkdir(path, 0700) == 0);
    receiver_answer(&one, 200, NULL, NULL);
    start_server("127.0.0.0/8");
    served_says(&served, "what webhooks were told cannot be kept");
    tell("ops", "{}");
    ck_assert(g_rmdir(path) == 0 && g_rename(aside, path) == 0);
    move("in"); /* a reason to look again */
    ck_assert_str_eq(id_of(receiver_wait(&one, 1)), id_of(receiver_wait(&one, 0)));
}
END_TEST

/* One that was removed when the server ended, before it could be forgotten; its name is used again later. */
START_TEST(a_name_that_is_used_again_begins_anew)
{
    put_webhook("ops", &one, "\"generation\"", "");
    move("out");
    receiver_wait(&one, 0);
    served_end(&served, SIGKILL);
    g_autofree char *path = g_strdup_printf("%s/state/webhooks.db", served.dir);
    sb_auto(db) db = db_open(path, NULL);
    ck_assert(db_exec(db,
                      "insert into webhooks (name, seq, attempts, failing_us, next_us, disabled) "
                      "values ('late', 1, 0, 0, 0, 0)",
                      NULL));
    start_server("127.0.0.0/8");
    receiver_wait(&one, 1); /* the new reign's generation: it works again, and so has looked at its file */
    put_webhook("late", &two, "\"generation\"", "");
    move("in");
    json_t *status = get("/v1/status"), *event = event_of(receiver_wait(&two, 0));
    ck_assert_int_ge(atoi(text_at(event, "subject")), number_at(status, "generation"));
    json_decref(event);
    json_decref(status);
}
END_TEST

/* Nothing but what is its own, whoever knows the number of an entry: keys of pins are in the journal, too. */
START_TEST(secrets_of_the_journal_are_told_to_nobody)
{
    g_autofree char *path = g_strdup_printf("%s/state/journal.db", served.dir);
    ck_assert_uint_eq(served_local(&served, "POST", "/v1/pins/keys", NULL, "{\"act\":\"rotate\"}", NULL), 200);
    put_webhook("ops", &one, ALL, "");
    put_webhook("some", &two, "", "");
    tell("some", "{}");
    g_autofree char *told = g_strdup(id_of(receiver_wait(&two, 0)));
    sb_auto(db) db = db_open_reading(path, NULL, NULL);
    sb_auto(db_rows) rows =
        db_query(db, "select seq || '-' || epoch from entries where kind = 'pinkeys'", NULL, 0, NULL);
    ck_assert(db_next(rows, NULL));
    const char *const others[] = {db_text(rows, 0), told};
    for (size_t i = 0; i < G_N_ELEMENTS(others); i++) {
        g_autofree char *body = g_strdup_printf("{\"id\":\"%s\"}", others[i]);
        tell("ops", body);
    }
    tell("ops", "{\"reason\":\"the last\"}");
    for (unsigned i = 0;; i++) {
        const struct received *request = receiver_wait(&one, i);
        ck_assert_msg(strcmp(id_of(request), others[0]) != 0 && strcmp(id_of(request), told) != 0, "%s", request->body);
        if (strstr(request->body, "\"a test\"") != NULL)
            break;
    }
    wait_for("/v1/webhooks/ops/deliveries", "found no such entry");
}
END_TEST

START_TEST(who_is_slow_holds_up_nobody)
{
    receiver_hold(&one, true);
    put_webhook("slow", &one, ALL, "");
    put_webhook("fast", &two, "\"generation\"", "");
    apply_pop_plans();
    receiver_wait(&one, 0);
    unsigned before = receiver_count(&two);
    for (int i = 0; i < 6; i++)
        run_pop_plan(NULL, i, NULL);
    receiver_wait(&two, before + 5);
    ck_assert_uint_eq(receiver_count(&one), 1); /* it has not answered the first yet */
}
END_TEST

START_TEST(nobody_is_led_inside)
{
    served_end(&served, SIGTERM);
    start_server("");
    put_webhook("inside", &one, "", "");
    tell("inside", "{}");
    wait_for("/v1/webhooks/inside/deliveries", "127.0.0.1, a loopback address");
    ck_assert_uint_eq(receiver_count(&one), 0);
    const char *const wrong[] = {"ftp://x.example/",
                                 "http://user@x.example/",
                                 "http://x.example/#a",
                                 "file:///etc/passwd",
                                 "http://x.example:0/",
                                 "http://x.example:99999/",
                                 "http://",
                                 "http://x.example/a b",
                                 "http://x.example\\@y.example/"};
    for (size_t i = 0; i < G_N_ELEMENTS(wrong); i++) {
        json_t *object = json_pack("{s:[{s:s, s:s, s:s, s:s}]}", "objects", "kind", "webhook", "name", "w", "url",
                                   wrong[i], "key", "ops");
        char *body = json_dumps(object, 0);
        unsigned status = served_local(&served, "POST", "/v1/apply", NULL, body, NULL);
        ck_assert_msg(status == 400, "%s: found %u", wrong[i], status);
        free(body);
        json_decref(object);
    }
}
END_TEST

/* ---- steps ---- */

static void put_plan(const char *steps)
{
    g_autofree char *body = g_strdup_printf("{\"plans\":[{\"plan\":\"p\",\"steps\":[%s]}]}", steps);
    json_t *answer = NULL;
    unsigned status = served_local(&served, "POST", "/v1/apply", NULL, body, &answer);
    ck_assert_msg(status == 200, "%s", text_at(answer, "detail"));
    json_decref(answer);
}

static char *run_plan(void)
{
    json_t *answer = NULL;
    ck_assert_uint_eq(served_local(&served, "POST", "/v1/plans/p/run", NULL, "{\"reason\":\"because\"}", &answer), 202);
    char *path = g_strdup_printf("/v1/executions/%s", text_at(answer, "id"));
    json_decref(answer);
    return path;
}

#define PROMOTE                                                                                                        \
    "{\"name\":\"promote\",\"timeout\":\"20s\",\"hook\":{\"url\":\"http://127.0.0.1:%d/p/$step\",\"key\":\"ops\","     \
    "\"method\":\"PUT\",\"headers\":{\"X-Site\":\"here\"},\"body\":{\"by\":\"$actor\",\"why\":\"$reason\"},"           \
    "\"member\":\"a.state\",\"is\":\"primary\",\"undo\":{\"url\":\"http://127.0.0.1:%d/"                               \
    "undo\",\"method\":\"DELETE\"}}}"
#define WAIT ",{\"name\":\"second\",\"approve\":\"Well?\"}"

START_TEST(a_hook_is_called_and_undone)
{
    g_autofree char *steps = g_strdup_printf(PROMOTE WAIT, one.port, one.port);
    json_t *dry = NULL;
    receiver_answer(&one, 200, NULL, "{\"a\":{\"state\":\"primary\"}}");
    put_plan(steps);
    ck_assert_uint_eq(served_local(&served, "POST", "/v1/plans/p/run?dry_run=1", NULL, "{}", &dry), 200);
    char *text = json_dumps(dry, 0);
    ck_assert_msg(strstr(text, "would call PUT http://127.0.0.1:") != NULL, "%s", text);
    free(text);
    json_decref(dry);
    ck_assert_uint_eq(receiver_count(&one), 0);
    g_autofree char *path = run_plan(), *abort = g_strconcat(path, "/abort", NULL);
    wait_for(path, "waits for a second person");
    const struct received *call = receiver_wait(&one, 0);
    ck_assert_str_eq(call->method, "PUT");
    ck_assert_str_eq(call->path, "/p/promote");
    ck_assert_str_eq(received_header(call, "x-site"), "here");
    g_autofree char *key = g_strdup_printf("%s/promote/call", path + strlen("/v1/executions/"));
    ck_assert_str_eq(received_header(call, "idempotency-key"), key);
    ck_assert_str_eq(call->body, "{\"by\":\"uid:0\",\"why\":\"because\"}");
    expect_signed(call, OLD);
    ck_assert_uint_eq(served_local(&served, "POST", abort, NULL, "{}", NULL), 202);
    wait_for(path, "\"aborted\"");
    const struct received *undo = receiver_wait(&one, 1);
    ck_assert_str_eq(undo->method, "DELETE");
    ck_assert(g_str_has_suffix(received_header(undo, "idempotency-key"), "/promote/undo"));
    ck_assert_uint_eq(receiver_count(&one), 2);
}
END_TEST

START_TEST(a_hook_under_way_when_the_server_is_killed)
{
    g_autofree char *steps = g_strdup_printf(PROMOTE, one.port, one.port);
    receiver_answer(&one, 200, NULL, "{\"a\":{\"state\":\"primary\"}}");
    receiver_hold(&one, true);
    put_plan(steps);
    g_autofree char *path = run_plan();
    const struct received *before = receiver_wait(&one, 0);
    served_end(&served, SIGKILL);
    receiver_hold(&one, false);
    start_server("127.0.0.0/8");
    const struct received *again = receiver_wait(&one, 1);
    ck_assert_str_eq(received_header(again, "idempotency-key"), received_header(before, "idempotency-key"));
    ck_assert_str_eq(again->body, before->body);
    wait_for(path, "\"succeeded\"");
    ck_assert_uint_eq(receiver_count(&one), 2);
}
END_TEST

START_TEST(a_plan_tells_a_webhook)
{
    receiver_hold(&one, true); /* who takes his time holds up no plan */
    put_webhook("ops", &one, "", "");
    put_plan("{\"name\":\"tell\",\"notify\":{\"to\":\"ops\",\"text\":\"$plan by $actor: $reason\"}}");
    g_autofree char *path = run_plan();
    wait_for(path, "\"succeeded\"");
    receiver_hold(&one, false);
    const struct received *message = receiver_wait(&one, 0);
    json_t *event = event_of(message), *data = json_object_get(event, "data");
    ck_assert_str_eq(text_at(event, "type"), "signalbox.message");
    ck_assert_str_eq(text_at(data, "text"), "p by uid:0: because");
    ck_assert_str_eq(text_at(data, "step"), "tell");
    expect_signed(message, OLD);
    json_decref(event);
}
END_TEST

/* ---- the command ---- */

START_TEST(the_command)
{
    g_autofree char *url = g_strdup_printf("http://127.0.0.1:%d/", one.port);
    expect_run(SIGNALBOX_RUN("webhook", "set", "ops", "--url", url, "--key", "ops", "--event", "generation"), 0, "ops",
               "");
    expect_run(SIGNALBOX_RUN("webhook", "list"), 0, "generation", "");
    expect_run(SIGNALBOX_RUN("webhook", "test", "ops"), 0, "will be told", "");
    g_autofree char *id = g_strdup(id_of(receiver_wait(&one, 0)));
    wait_for("/v1/webhooks/ops/deliveries", "delivered");
    expect_run(SIGNALBOX_RUN("webhook", "deliveries", "ops"), 0, "signalbox.message", "");
    expect_run(SIGNALBOX_RUN("webhook", "redeliver", "ops", id), 0, "will be told", "");
    ck_assert_str_eq(id_of(receiver_wait(&one, 1)), id);
    ck_assert_str_eq(receiver_wait(&one, 1)->body, receiver_wait(&one, 0)->body);
    expect_run(SIGNALBOX_RUN("webhook", "redeliver", "ops", "999999-65536"), 0, "", "");
    wait_for("/v1/webhooks/ops/deliveries", "found no such entry");
    expect_run(SIGNALBOX_RUN("webhook", "redeliver", "ops", "x"), 2, "", "expected that of a delivery");
    expect_run(SIGNALBOX_RUN("webhook", "test", "nobody"), 1, "", "there is none of this name");
    expect_run(SIGNALBOX_RUN("webhook", "set", "ops", "--url", url), 2, "", "usage");
    put_webhook("ops", &two, "\"audit\"", ",\"give_up\":77,\"deadline\":500");
    expect_run(SIGNALBOX_RUN("webhook", "set", "ops", "--url", url, "--key", "ops", "--reason", "back"), 0,
               "~ webhook ops", "");
    json_t *object = get("/v1/inventory/webhook/ops");
    ck_assert_str_eq(text_at(object, "url"), url);
    ck_assert_int_eq(number_at(object, "give_up"), 77);
    ck_assert_int_eq(number_at(object, "deadline"), 500);
    ck_assert_uint_eq(json_array_size(json_object_get(object, "events")), 0);
    json_decref(object);
    expect_run(SIGNALBOX_RUN("webhook", "delete", "ops"), 0, "ops", "");
    json_t *list = run_json(SIGNALBOX_RUN("webhook", "list", "--json"));
    ck_assert_uint_eq(json_array_size(json_object_get(list, "webhooks")), 0);
    json_decref(list);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 200); /* sanitizers are slow, and so is a busy machine */
    tcase_add_test(tcase, everything_is_told_signed_and_in_order);
    tcase_add_test(tcase, a_chat_is_told_of_alarms_with_links_and_of_who_takes_them);
    tcase_add_test(tcase, secrets_are_exchanged_without_a_restart);
    tcase_add_test(tcase, killed_in_mid_delivery_it_tells_again_under_the_same_id);
    tcase_add_test(tcase, what_fails_is_tried_again_and_logged);
    tcase_add_test(tcase, who_fails_for_long_is_disabled_and_audited);
    tcase_add_test(tcase, who_is_enabled_before_his_place_is_known);
    tcase_add_test(tcase, a_name_that_is_used_again_begins_anew);
    tcase_add_test(tcase, secrets_of_the_journal_are_told_to_nobody);
    tcase_add_test(tcase, who_is_slow_holds_up_nobody);
    tcase_add_test(tcase, nobody_is_led_inside);
    tcase_add_test(tcase, a_hook_is_called_and_undone);
    tcase_add_test(tcase, a_hook_under_way_when_the_server_is_killed);
    tcase_add_test(tcase, a_plan_tells_a_webhook);
    tcase_add_test(tcase, the_command);
}

int main(void)
{
    return unit_run("webhooks", add);
}
