#include "server/api/console.h"

#include "schema/route.h"
#include "server/api/listener.h"

#include <string.h>

#define PAGE "/index.html"
#define FOR_EVER "public, max-age=31536000, immutable"

static const struct console_file *find(const struct console_file *files, const char *path)
{
    for (const struct console_file *file = files; file->path != NULL; file++)
        if (strcmp(file->path, path) == 0)
            return file;
    return NULL;
}

/* Does a list like "br;q=1.0, gzip" have the word, and not with q=0 (RFC 9110 12.4.2)? */
static bool accepts(const char *list, const char *word)
{
    g_auto(GStrv) items = g_strsplit(list != NULL ? list : "", ",", -1);
    for (char **item = items; *item != NULL; item++) {
        g_auto(GStrv) parts = g_strsplit(*item, ";", 2);
        if (g_ascii_strcasecmp(g_strstrip(parts[0]), word) != 0)
            continue;
        const char *q = parts[1] != NULL ? strstr(parts[1], "q=") : NULL;
        return q == NULL || g_ascii_strtod(q + 2, NULL) > 0;
    }
    return false;
}

/* A browser goes to a place that the API does not have: it is one of the console's. */
static bool navigates(const struct request *request)
{
    struct route_params params;
    bool known;
    if (g_str_has_prefix(request->path, "/v1/") || g_str_has_prefix(request->path, "/agent/") ||
        g_str_has_prefix(request->path, "/assets/"))
        return false;
    route_match("GET", request->path, &params, &known);
    return !known && accepts(request_header(request, "Accept"), "text/html");
}

static const struct console_file *wanted(const struct request *request, const struct console_file *files)
{
    if (strcmp(request->method, "GET") != 0)
        return NULL;
    if (strcmp(request->path, "/") == 0)
        return find(files, PAGE);
    const struct console_file *file = find(files, request->path);
    return file != NULL || !navigates(request) ? file : find(files, PAGE);
}

bool console_answer(struct request *request, const struct console_file *files)
{
    const struct console_file *file = wanted(request, files);
    struct reply *reply = &request->reply;
    if (file == NULL)
        return false;
    bool packed = accepts(request_header(request, "Accept-Encoding"), "gzip");
    const char *known = request_header(request, "If-None-Match");
    reply->fixed = packed ? file->gzip : file->raw;
    reply->size = (size_t)(packed ? file->gzip_end - file->gzip : file->raw_end - file->raw);
    reply->content_type = file->type;
    reply->encoding = packed ? "gzip" : NULL;
    reply->etag = g_strdup_printf("\"%s%s\"", file->hash, packed ? "-gz" : ""); /* strong: other bytes, another tag */
    reply->cache = g_str_has_prefix(file->path, "/assets/") ? FOR_EVER : "no-cache";
    reply->policy = CONSOLE_POLICY;
    reply->status = known != NULL && strstr(known, reply->etag) != NULL ? 304 : 200;
    if (reply->status == 304)
        reply->size = 0;
    return true;
}
