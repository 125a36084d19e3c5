#include "server/cli/incident_fetch.h"

#include "core/gunzip.h"

#define TEXT_MAX ((size_t)2 << 30) /* bytes of a recording, unpacked */

static json_int_t number_of(const json_t *row, const char *member)
{
    return json_integer_value(json_object_get(row, member));
}

static int fetch_file(struct cli *cli, const char *name, GString *out)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *escaped = cli_escape(name), *path = g_strdup_printf("/v1/recordings/%s", escaped), *bytes = NULL;
    size_t size;
    bool whole;
    int code = cli_get_bytes(cli, path, &bytes, &size);
    if (code == EXIT_OK && size > 0 && !gunzip(bytes, size, TEXT_MAX, out, &whole, &error))
        code = cli_error(error);
    return code;
}

int incident_fetch(struct cli *cli, int64_t from_us, int64_t to_us, GString **recording)
{
    json_t *answer = NULL, *row;
    size_t i;
    *recording = NULL;
    int code = cli_get(cli, "/v1/recordings", &answer);
    json_array_foreach (json_object_get(answer, "recordings"), i, row) {
        if (code != EXIT_OK || number_of(row, "ended_us") < from_us || number_of(row, "began_us") > to_us)
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
