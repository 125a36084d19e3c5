#include "server/api/problem.h"

#include "core/error.h"
#include "schema/object.h"

#include <string.h>

/* Errors of other domains (GLib's own) are ours to explain: kind io. Text that is no UTF-8 is made so. */
void problem_reply(struct reply *reply, const GError *error, const GPtrArray *findings)
{
    g_autofree char *type = g_strdup_printf("urn:signalbox:problem:%s", error_kind_name(error));
    g_autofree char *detail = g_utf8_make_valid(error->message, -1);
    json_t *errors = json_array();
    for (guint i = 0; findings != NULL && i < findings->len; i++) {
        json_t *row = finding_json(findings->pdata[i]);
        g_autofree char *text = finding_text(findings->pdata[i]);
        json_object_set_new(row, "text", json_string(text));
        json_array_append_new(errors, row);
    }
    if (json_array_size(errors) == 0)
        json_array_append_new(errors, json_pack("{s:s}", "text", detail));
    json_t *problem = json_pack("{s:s, s:s, s:i, s:s, s:o}", "type", type, "title", error_kind_title(error), "status",
                                (int)error_http_status(error), "detail", detail, "errors", errors);
    reply->status = error_http_status(error);
    reply->content_type = "application/problem+json";
    g_free(reply->body);
    reply->body = json_dumps(problem, JSON_COMPACT);
    reply->size = strlen(reply->body);
    json_decref(problem);
}
