/* handlers_history.c: what was: files of the black box, and worlds of old generations. */
#include "server/api/call.h"

#include "core/error.h"
#include "core/fileio.h"
#include "server/api/api_internal.h"
#include "server/engine/recorder.h"

#define RECORDING_SIZE_MAX (64u << 20) /* bytes; a file of the black box is smaller by far */

static const char *recordings(const struct call *call, GError **error)
{
    const char *folder = executor_recordings(call->api->executor);
    if (folder == NULL)
        g_set_error(error, SB_ERROR, SB_ERROR_NOT_FOUND,
                    "nothing is recorded here: signalboxd was started with --record 0");
    return folder;
}

bool history_recordings(struct call *call, GError **error)
{
    const char *folder = recordings(call, error);
    if (folder == NULL)
        return false;
    executor_flush_recording(call->api->executor);
    call->result = json_pack("{s:o}", "recordings", recorder_list(folder));
    return true;
}

/* As it is on disk, also while it is written: gzip up to the last second. */
bool history_recording(struct call *call, GError **error)
{
    struct reply *reply = &call->request->reply;
    const char *folder = recordings(call, error), *name = call->params.value[0];
    if (folder == NULL)
        return false;
    if (!recorder_is_name(name)) {
        g_autofree char *found = text_quote(name);
        g_set_error(error, SB_ERROR, SB_ERROR_NOT_FOUND, "recording: found %s, expected a name of /v1/recordings",
                    found);
        return false;
    }
    g_autofree char *path = g_build_filename(folder, name, NULL);
    reply->body = file_read(path, RECORDING_SIZE_MAX, &reply->size, error);
    if (reply->body == NULL)
        return false;
    reply->status = 200;
    reply->content_type = "application/gzip";
    return true;
}
