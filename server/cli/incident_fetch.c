#include "server/cli/incident_fetch.h"

#include "core/gunzip.h"

#define TEXT_MAX ((size_t)2 << 30) /* bytes of a recording, unpacked */

static int fetch_file(struct cli *cli, const char *name, GString *out)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *escaped = cli_escape(name), *path = g_strdup_printf("/v1/recordings/%s", escaped), *bytes = NULL;
    size_t size, from = out->len;
    bool whole = true;
    int code = cli_get_bytes(cli, path, &bytes, &size);
    if (code == EXIT_OK && size > 0 && !gunzip(bytes, size, TEXT_MAX, out, &whole, &error))
        code = cli_error(error);
    if (!whole) { /* its server was killed, perhaps amid a line: the next file begins a line of its own */
        const char *end = g_strrstr_len(out->str + from, (gssize)(out->len - from), "\n");
        g_string_truncate(out, end != NULL ? (gsize)(end + 1 - out->str) : from);
    }
    return code;
}

int incident_fetch(struct cli *cli, int64_t from_us, int64_t to_us, GString **recording)
{
    json_t *answer = NULL, *row;
    size_t i;
    *recording = NULL;
    int code = cli_get(cli, "/v1/recordings", &answer);
    json_array_foreach (json_object_get(answer, "recordings"), i, row) {
        if (code != EXIT_OK || cli_number(row, "ended_us") < from_us || cli_number(row, "began_us") > to_us)
            continue;
        if (*recording == NULL)
            *recording = g_string_new(NULL);
        code = fetch_file(cli, cli_text(row, "name"), *recording);
    }
    json_decref(answer);
    if (code != EXIT_OK && *recording != NULL) {
        g_string_free(*recording, TRUE);
        *recording = NULL;
    }
    return code;
}
