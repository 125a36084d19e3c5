#include "server/api/framing.h"

#include <glib.h>
#include <microhttpd.h>
#include <string.h>

struct scan {
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

static bool is_value(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if ((unsigned char)text[i] < ' ' && text[i] != '\t')
            return false;
    return true;
}

static enum MHD_Result see_header(void *data, enum MHD_ValueKind kind, const char *name, size_t name_size,
                                  const char *value, size_t value_size)
{
    struct scan *scan = data;
    (void)kind;
    if (!is_token(name, name_size))
        scan->wrong = "header: found a name that is not a token";
    else if (value != NULL && !is_value(value, value_size))
        scan->wrong = "header: found a control character in a value";
    else if (g_ascii_strcasecmp(name, "Host") == 0)
        scan->hosts++;
    else if (g_ascii_strcasecmp(name, "Content-Length") == 0) {
        scan->lengths++;
        scan->length = value;
    } else if (g_ascii_strcasecmp(name, "Transfer-Encoding") == 0) {
        scan->codings++;
        scan->coding = value;
    }
    return scan->wrong == NULL ? MHD_YES : MHD_NO;
}

static bool parse_length(const char *text, uint64_t *out)
{
    if (text == NULL || text[0] == '\0' || strspn(text, "0123456789") != strlen(text))
        return false;
    return g_ascii_string_to_unsigned(text, 10, 0, G_MAXINT64, out, NULL);
}

const char *framing_check(struct MHD_Connection *connection, struct framing *framing)
{
    struct scan scan = {0};
    *framing = (struct framing){0};
    MHD_get_connection_values_n(connection, MHD_HEADER_KIND, see_header, &scan);
    if (scan.wrong != NULL)
        return scan.wrong;
    if (scan.hosts > 1)
        return "Host: found more than one, expected one";
    if (scan.lengths > 1)
        return "Content-Length: found more than one, expected at most one";
    if (scan.lengths > 0 && scan.codings > 0)
        return "found Content-Length beside Transfer-Encoding, expected one of them";
    if (scan.codings > 1 || (scan.codings == 1 && g_ascii_strcasecmp(scan.coding, "chunked") != 0))
        return "Transfer-Encoding: expected chunked once or nothing";
    if (scan.lengths > 0 && !parse_length(scan.length, &framing->content_length))
        return "Content-Length: expected decimal digits";
    framing->has_body = scan.codings > 0 || framing->content_length > 0;
    return NULL;
}
