/* handlers_agent.c: what agents ask (agent/protocol.h). */
#include "server/api/call.h"

#include "core/error.h"
#include "core/loop.h"
#include "server/api/api_internal.h"

#include <string.h>

static bool current_manifest(const struct call *call, struct manifest *manifest, GError **error)
{
    sb_auto(resolved) resolved = executor_resolved(call->api->executor);
    if (resolved != NULL && resolved_manifest(resolved, call->params.value[0], manifest))
        return true;
    g_set_error(error, SB_ERROR, SB_ERROR_NOT_FOUND, "edge %s: the inventory has no such edge", call->params.value[0]);
    return false;
}

/* True when there is something else than what the agent has; the answer is then set. */
static bool answer_news(struct call *call, GError **error)
{
    struct manifest manifest;
    if (!current_manifest(call, &manifest, error))
        return false;
    if (stamp_compare(manifest.stamp, call->have) == 0)
        return false;
    call->result = manifest_to_json(&manifest);
    return true;
}

static void answer_nothing_new(struct call *call)
{
    call->request->reply.status = 204;
}

bool agent_table(struct call *call, GError **error)
{
    int64_t epoch, generation, wait_s;
    GError *failure = NULL;
    if (!call_query_int(call, "epoch", &epoch, error) || !call_query_int(call, "generation", &generation, error) ||
        !call_query_int(call, "wait", &wait_s, error))
        return false;
    call->have = (struct stamp){(uint64_t)epoch, (uint64_t)generation};
    if (!answer_news(call, &failure) && failure == NULL) {
        const char *agent = call->params.value[0];
        int64_t until_us = loop_now_us() + wait_s * G_USEC_PER_SEC;
        if (wait_s == 0 || !waiters_add(call->api->waiters, agent, call->request, until_us)) {
            answer_nothing_new(call);
        } else { /* what was published between the two looks has woken nobody */
            struct manifest manifest;
            if (!current_manifest(call, &manifest, NULL) || stamp_compare(manifest.stamp, call->have) != 0)
                waiters_wake(call->api->waiters, agent);
        }
    }
    if (failure != NULL)
        g_propagate_error(error, failure);
    return failure == NULL;
}

void agent_table_resumed(struct call *call)
{
    if (!answer_news(call, &call->error) && call->error == NULL)
        answer_nothing_new(call);
}

bool agent_part(struct call *call, GError **error)
{
    struct reply *reply = &call->request->reply;
    const char *hash = call->params.value[0];
    reply->part = executor_part(call->api->executor, hash, &reply->owner);
    if (reply->part == NULL) {
        g_set_error(error, SB_ERROR, SB_ERROR_NOT_FOUND,
                    "part %s is of none of the last generations; ask for the table again", hash);
        return false;
    }
    reply->status = 200;
    reply->content_type = "text/plain; charset=utf-8";
    reply->etag = g_strdup_printf("\"%s\"", hash);
    return true;
}

void agent_report(struct call *call, struct turn *turn, GError **error)
{
    if (!engine_edge_report(turn->engine, call->params.value[0], call->body, turn->now.us, &turn->effects, error))
        return;
    sb_auto(resolved) published =
        executor_resolved(call->api->executor); /* not what this turn has yet to make durable */
    struct stamp stamp = published->world->stamp;
    call->result = json_pack("{s:I,s:I}", "epoch", (json_int_t)stamp.epoch, "generation", (json_int_t)stamp.generation);
}
