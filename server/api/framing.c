#include "server/api/framing.h"

#include <glib.h>
#include <microhttpd.h>
#include <string.h>

/* How far the walk over the bytes has come, and what it has met. */
struct walk {
    const char *at, *end;
    unsigned hosts, lengths, codings;
    const char *length, *coding;
    const char *wrong;
};

/* RFC 9110 5.6.2 */
static bool is_token(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (!g_ascii_isalnum(text[i]) && (text[i] == '\0' || strchr("!#$%&'*+-.^_`|~", text[i]) == NULL))
            return false;
    return size > 0;
}

/* RFC 9110 5.5: visible, spaces, tabs, and bytes above ASCII. */
static bool is_value(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (((unsigned char)text[i] < ' ' && text[i] != '\t') || text[i] == 0x7f)
            return false;
    return true;
}

size_t framing_uri(const char *uri)
{
    size_t size = uri != NULL ? strlen(uri) : 0;
    for (size_t i = 0; i < size; i++)
        if (!g_ascii_isgraph(uri[i]))
            return 0;
    return size;
}

/* ---- the walk ---- */

/* CR and LF, each now a NUL. Behind a bare CR or LF, or a NUL that a stranger sent, something else stands. */
static bool step_line_end(struct walk *walk)
{
    if (walk->end - walk->at < 2 || walk->at[0] != '\0' || walk->at[1] != '\0')
        return false;
    walk->at += 2;
    return true;
}

/* A piece of `size` bytes that libmicrohttpd found at `text`, where the walk must have come to. */
static bool step_over(struct walk *walk, const char *text, size_t size)
{
    if (text != walk->at || (size_t)(walk->end - walk->at) < size)
        return false;
    walk->at += size;
    return true;
}

/* The one separator between two pieces, now a NUL. */
static bool step_separator(struct walk *walk)
{
    if (walk->at == walk->end || *walk->at != '\0')
        return false;
    walk->at++;
    return true;
}

static bool step_line(struct walk *walk, const struct request_line *line)
{
    size_t method_size = strlen(line->method);
    return is_token(line->method, method_size) && step_over(walk, line->method, method_size) && step_separator(walk) &&
           step_over(walk, line->path, line->uri_size) && step_separator(walk) &&
           step_over(walk, line->version, strlen(line->version)) && step_line_end(walk);
}

static bool step_header(struct walk *walk, const char *name, size_t name_size, const char *value, size_t value_size)
{
    if (!step_over(walk, name, name_size) || !step_separator(walk))
        return false;
    while (walk->at < walk->end && (*walk->at == ' ' || *walk->at == '\t'))
        walk->at++;
    return step_over(walk, value, value_size) && step_line_end(walk);
}

static void note_header(struct walk *walk, const char *name, const char *value)
{
    if (g_ascii_strcasecmp(name, "Host") == 0)
        walk->hosts++;
    else if (g_ascii_strcasecmp(name, "Content-Length") == 0) {
        walk->lengths++;
        walk->length = value;
    } else if (g_ascii_strcasecmp(name, "Transfer-Encoding") == 0) {
        walk->codings++;
        walk->coding = value;
    }
}

static enum MHD_Result see_header(void *data, enum MHD_ValueKind kind, const char *name, size_t name_size,
                                  const char *value, size_t value_size)
{
    struct walk *walk = data;
    (void)kind;
    if (!is_token(name, name_size))
        walk->wrong = "header: found a name that is not a token";
    else if (value == NULL || !is_value(value, value_size))
        walk->wrong = "header: found a control character in a value";
    else if (!step_header(walk, name, name_size, value, value_size))
        walk->wrong = "header: found a line that is folded or does not end in CR LF, or a NUL";
    else
        note_header(walk, name, value);
    return walk->wrong == NULL ? MHD_YES : MHD_NO;
}

/* ---- where the body ends ---- */

static bool parse_length(const char *text, uint64_t *out)
{
    if (text == NULL || text[0] == '\0' || strspn(text, "0123456789") != strlen(text))
        return false;
    return g_ascii_string_to_unsigned(text, 10, 0, G_MAXINT64, out, NULL);
}

static const char *check_body(const struct walk *walk, const struct request_line *line, struct framing *framing)
{
    bool http_1_0 = strcmp(line->version, MHD_HTTP_VERSION_1_0) == 0;
    if (walk->hosts > 1 || (walk->hosts == 0 && !http_1_0))
        return "Host: expected exactly one";
    if (walk->lengths > 1)
        return "Content-Length: found more than one, expected at most one";
    if (walk->lengths > 0 && walk->codings > 0)
        return "found Content-Length beside Transfer-Encoding, expected one of them";
    if (walk->codings > 1 || (walk->codings == 1 && g_ascii_strcasecmp(walk->coding, "chunked") != 0))
        return "Transfer-Encoding: expected chunked once or nothing";
    if (walk->codings > 0 && http_1_0)
        return "found Transfer-Encoding with HTTP/1.0, which does not have it";
    if (walk->lengths > 0 && !parse_length(walk->length, &framing->content_length))
        return "Content-Length: expected decimal digits";
    framing->chunked = walk->codings > 0;
    framing->has_body = framing->chunked || framing->content_length > 0;
    if (framing->has_body && strcmp(line->method, "POST") != 0 && strcmp(line->method, "PUT") != 0 &&
        strcmp(line->method, "PATCH") != 0)
        return "found a body with a method that takes none, expected it with POST, PUT or PATCH";
    return NULL;
}

const char *framing_check(struct MHD_Connection *connection, const struct request_line *line, struct framing *framing)
{
    size_t size = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE)->header_size;
    struct walk walk = {.at = line->method, .end = line->method + size};
    *framing = (struct framing){0};
    if (strcmp(line->version, MHD_HTTP_VERSION_1_1) != 0 && strcmp(line->version, MHD_HTTP_VERSION_1_0) != 0)
        return "request line: expected HTTP/1.1 or HTTP/1.0";
    if (line->uri_size == 0 || !step_line(&walk, line))
        return "request line: expected METHOD URI VERSION of printable ASCII, one space between them, CR LF behind "
               "them";
    MHD_get_connection_values_n(connection, MHD_HEADER_KIND, see_header, &walk);
    if (walk.wrong != NULL)
        return walk.wrong;
    if (!step_line_end(&walk) || walk.at != walk.end)
        return "header: found a NUL or a line that does not end in CR LF";
    return check_body(&walk, line, framing);
}
