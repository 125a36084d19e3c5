/* handlers_alarms.c: who looks after an alarm. */
#include "server/api/call.h"

#include "core/error.h"
#include "server/api/api_internal.h"

#include <string.h>

void acknowledge_alarm(struct call *call, struct turn *turn, GError **error)
{
    struct asker asker = call_asker(call);
    g_autofree char *key = g_strdup_printf("%s/%s", call->params.value[0], call->params.value[1]);
    struct journal_entry *entry = executor_acknowledge(call->api->executor, key, &asker, turn, error);
    if (entry == NULL)
        return;
    call->result = json_deep_copy(entry->body);
    engine_journal(turn->engine, entry, "alarm acknowledged", &asker, turn->now, &turn->effects);
}
