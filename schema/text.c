/* text.c: the narrow sets of characters that names and values are made of. */
#include "schema/object.h"

#include <string.h>

#define NAME_MAX_LEN 40
#define FQDN_MAX_LEN 253 /* RFC 1035, 2.3.4, as text without the dot at the end */
#define LABEL_MAX_LEN 63
#define PREFIX_MAX_LEN 200
#define URL_MAX_LEN 400

#define LOWER "abcdefghijklmnopqrstuvwxyz"
#define UPPER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS "0123456789"

static bool name_valid(const char *text)
{
    size_t len = strlen(text);
    return len >= 1 && len <= NAME_MAX_LEN && strspn(text, LOWER DIGITS "-") == len && text[0] != '-' &&
           text[len - 1] != '-';
}

static bool fqdn_valid(const char *text)
{
    if (strlen(text) > FQDN_MAX_LEN)
        return false;
    for (const char *label = text;; label++) {
        size_t len = strspn(label, LOWER DIGITS "-_");
        if (len < 1 || len > LABEL_MAX_LEN || label[0] == '-' || label[len - 1] == '-')
            return false;
        label += len;
        if (*label == '\0')
            return true;
        if (*label != '.')
            return false;
    }
}

/* Segments "." and ".." would be another path to whoever normalizes. */
static bool prefix_valid(const char *text)
{
    if (text[0] != '/' || strlen(text) > PREFIX_MAX_LEN)
        return false;
    for (const char *segment = text; *segment == '/';) {
        segment++;
        size_t len = strspn(segment, LOWER UPPER DIGITS "._~-");
        if (len == 0 || (len <= 2 && strspn(segment, ".") == len))
            return false;
        segment += len;
        if (*segment == '\0')
            return true;
    }
    return false;
}

bool prefix_holds(const char *prefix, const char *path)
{
    size_t len = strlen(prefix);
    return strncmp(path, prefix, len) == 0 && (path[len] == '/' || path[len] == '\0');
}

/* "HOST", "HOST:PORT", "[V6]:PORT": nobody may read another host out of it than who asks there. */
static bool authority_valid(const char *text)
{
    g_autofree char *host = g_strdup(text);
    char *port = strchr(text[0] == '[' ? host + strcspn(host, "]") : host, ':');
    struct addr addr;
    if (port != NULL) {
        *port++ = '\0';
        if (strlen(port) > 5 || !g_ascii_string_to_unsigned(port, 10, 1, UINT16_MAX, NULL, NULL))
            return false;
    }
    size_t len = strlen(host);
    if (host[0] != '[')
        return len >= 1 && strspn(host, LOWER UPPER DIGITS ".-_") == len;
    if (len < 2 || host[len - 1] != ']')
        return false;
    host[len - 1] = '\0';
    return addr_parse(host + 1, &addr) && addr.family == AF_INET6;
}

static bool url_valid(const char *text)
{
    const char *host = g_str_has_prefix(text, "https://")  ? text + strlen("https://")
                       : g_str_has_prefix(text, "http://") ? text + strlen("http://")
                                                           : NULL;
    if (host == NULL || strlen(text) > URL_MAX_LEN)
        return false;
    for (const char *p = text; *p != '\0'; p++)
        if (*p <= ' ' || *p > '~' || strchr("\"<>\\^`{|}#", *p) != NULL)
            return false;
    g_autofree char *authority = g_strndup(host, strcspn(host, "/?"));
    return authority_valid(authority);
}

static bool printable_valid(const char *text)
{
    if (!g_utf8_validate(text, -1, NULL))
        return false;
    for (const char *p = text; *p != '\0'; p = g_utf8_next_char(p))
        if (!g_unichar_isprint(g_utf8_get_char(p)))
            return false;
    return true;
}

bool text_valid(enum field_type type, const char *text)
{
    switch (type) {
    case FIELD_NAME:
        return name_valid(text);
    case FIELD_FQDN:
        return fqdn_valid(text);
    case FIELD_PREFIX:
        return prefix_valid(text);
    case FIELD_URL:
        return url_valid(text);
    case FIELD_TEXT:
        return printable_valid(text);
    default:
        g_assert_not_reached();
    }
}

bool answer_body_valid(const char *text)
{
    size_t len = strlen(text);
    for (const char *p = text; *p != '\0'; p++)
        if (*p < ' ' || *p > '~' || *p == '\'')
            return false;
    return len >= 1 && len <= ANSWER_BODY_MAX;
}

const char *text_expected(enum field_type type)
{
    switch (type) {
    case FIELD_NAME:
        return "a name of 1 to 40 a-z 0-9 -, with a letter or digit at both ends";
    case FIELD_FQDN:
        return "a domain name in lower case, labels of 1 to 63 a-z 0-9 - _, at most 253, no dot at the end";
    case FIELD_PREFIX:
        return "a path prefix as /a/b of A-Z a-z 0-9 . _ ~ -, at most 200, no slash at the end";
    case FIELD_URL:
        return "a URL as https://host.example/path, http or https, without user or fragment, at most 400 ASCII";
    case FIELD_TEXT:
        return "printable text";
    case FIELD_ADDR:
        return "an address as 192.0.2.1 or 2001:db8::1";
    case FIELD_ENDPOINT:
        return "ADDRESS:PORT as 192.0.2.1:80 or [2001:db8::1]:80";
    case FIELD_BOOL:
        return "true or false";
    default:
        g_assert_not_reached();
    }
}
