#include "server/engine/transactions.h"

#include "core/httpc.h"
#include "schema/jsondoc.h"
#include "schema/transaction.h"

#include <string.h>

#define SPARE_MS 200 /* a late answer is said to be late, not missing */

struct transactions {
    struct loop *loop;
    struct httpc *client;
    transactions_fn done;
    void *data;
    GPtrArray *asked; /* struct asking * */
};

/* One EFFECT_ASK under way. */
struct asking {
    struct transactions *transactions;
    json_t *result; /* with the runs, whose requests become evidence */
    size_t run, request;
    json_t *vars;
    struct pin_key key;
    int64_t until_s, began_us;
    int64_t pace_us, next_us; /* between two requests; when the next may begin */
    struct loop_timer *timer; /* of the pace */
};

static void asking_free(void *data)
{
    struct asking *asking = data;
    json_decref(asking->result);
    json_decref(asking->vars);
    loop_timer_free(asking->timer);
    g_free(asking);
}

struct transactions *transactions_new(struct loop *loop, transactions_fn done, void *data, GError **error)
{
    struct httpc *client = httpc_new(loop, error);
    if (client == NULL)
        return NULL;
    struct transactions *transactions = g_new(struct transactions, 1);
    *transactions = (struct transactions){loop, client, done, data, g_ptr_array_new_with_free_func(asking_free)};
    return transactions;
}

void transactions_free(struct transactions *transactions)
{
    if (transactions == NULL)
        return;
    httpc_free(transactions->client); /* no callback comes after it */
    g_ptr_array_unref(transactions->asked);
    g_free(transactions);
}

static json_t *run_of(const struct asking *asking)
{
    return json_array_get(json_object_get(asking->result, "runs"), asking->run);
}

static void go_on(struct asking *asking);

/* The next request, or behind a failure the next transaction. */
static void judge(struct asking *asking, const struct txanswer *answer)
{
    json_t *run = run_of(asking), *requests = json_object_get(run, "requests");
    json_t *row =
        txrequest_judge(json_array_get(requests, asking->request), json_member_text(run, "room"), answer, asking->vars);
    bool good = json_is_true(json_object_get(row, "ok"));
    json_array_append_new(json_object_get(run, "evidence"), row);
    asking->request++;
    if (!good || asking->request >= json_array_size(requests)) {
        asking->run++;
        asking->request = 0;
        json_object_clear(asking->vars);
    }
    go_on(asking);
}

static void on_answer(void *data, const struct httpc_reply *reply, const GError *error)
{
    struct asking *asking = data;
    struct txanswer answer = {.failure = error != NULL ? error->message : NULL,
                              .status = reply != NULL ? reply->status : 0,
                              .head = reply != NULL ? reply->head : "",
                              .body = reply != NULL ? reply->body : "",
                              .took_us = loop_now_us() - asking->began_us};
    judge(asking, &answer);
}

static char *cookie_header(const struct asking *asking, const json_t *run)
{
    const struct pin pin = {json_member_text(run, "room"), PIN_CANARY, NULL, asking->until_s};
    g_autofree char *signed_pin = pin_sign(&asking->key, &pin);
    const char *user = json_member_text(run, "user");
    return g_strdup_printf("Cookie: %s%s%s" PIN_COOKIE "=%s", user != NULL ? "uid=" : "", user != NULL ? user : "",
                           user != NULL ? "; " : "", signed_pin);
}

static void start(struct asking *asking, const json_t *run, const json_t *request,
                  const struct txrequest_filled *filled)
{
    g_autofree char *base = g_strconcat("http://", json_member_text(run, "address"), NULL),
                    *cookie = cookie_header(asking, run);
    GPtrArray *headers = g_ptr_array_new();
    for (char **line = filled->headers; *line != NULL; line++)
        g_ptr_array_add(headers, *line);
    g_ptr_array_add(headers, cookie);
    g_ptr_array_add(headers, NULL);
    struct httpc_target target = {.base_url = base, .headers = (const char *const *)headers->pdata};
    long limit_ms = (long)json_integer_value(json_object_get(request, "limit_ms"));
    asking->began_us = loop_now_us();
    httpc_start(asking->transactions->client, &target, filled->method, filled->path, filled->body, limit_ms + SPARE_MS,
                on_answer, asking);
    g_ptr_array_unref(headers);
}

static void go_on(struct asking *asking)
{
    struct transactions *transactions = asking->transactions;
    json_t *run = run_of(asking);
    if (run == NULL) {
        json_t *result = json_incref(asking->result), *each;
        size_t i;
        json_array_foreach (json_object_get(result, "runs"), i, each)
            json_object_del(each, "requests"); /* the inventory has them */
        g_ptr_array_remove(transactions->asked, asking);
        transactions->done(transactions->data, result);
        json_decref(result);
        return;
    }
    if (asking->request == 0)
        json_object_set_new(run, "evidence", json_array());
    const json_t *request = json_array_get(json_object_get(run, "requests"), asking->request);
    if (request == NULL) { /* a transaction without requests proves nothing, which its empty evidence says */
        asking->run++;
        go_on(asking);
        return;
    }
    if (asking->next_us > loop_now_us()) {
        loop_timer_arm(asking->timer, asking->next_us);
        return;
    }
    asking->next_us = asking->pace_us > 0 ? loop_now_us() + asking->pace_us : 0;
    struct txrequest_filled filled;
    g_autoptr(GError) error = NULL;
    if (txrequest_fill(request, asking->vars, &filled, &error)) {
        start(asking, run, request, &filled);
        txrequest_clear(&filled);
    } else {
        judge(asking, &(struct txanswer){.failure = error->message, .head = "", .body = ""});
    }
}

static void go_on_later(void *data)
{
    go_on(data);
}

void transactions_ask(struct transactions *transactions, const json_t *ask, const struct pin_keys *keys)
{
    struct asking *asking = g_new(struct asking, 1);
    *asking =
        (struct asking){.transactions = transactions,
                        .result = json_deep_copy(ask),
                        .vars = json_object(),
                        .key = keys->key[0],
                        .pace_us = json_integer_value(json_object_get(ask, "pace_us")),
                        .until_s = wall_now_us() / G_USEC_PER_SEC + json_integer_value(json_object_get(ask, "for_s"))};
    json_object_del(asking->result, "for_s");
    json_object_del(asking->result, "pace_us");
    asking->timer = loop_timer_new(transactions->loop, go_on_later, asking);
    g_ptr_array_add(transactions->asked, asking);
    go_on(asking);
}
