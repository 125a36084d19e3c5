#include "tests/lab/traffic/httpmsg.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <stdio.h>

void httpmsg_init(struct httpmsg *msg, bool response)
{
    memset(msg, 0, sizeof *msg);
    msg->response = response;
}

bool httpmsg_begun(const struct httpmsg *msg)
{
    return msg->head_len > 0;
}

char *httpmsg_header(const struct httpmsg *msg, const char *name, char *value, size_t size)
{
    size_t name_len = strlen(name);
    value[0] = '\0';
    for (const char *line = strstr(msg->head, "\r\n"); line != NULL; line = strstr(line, "\r\n")) {
        line += 2;
        if (strncasecmp(line, name, name_len) != 0 || line[name_len] != ':')
            continue;
        const char *start = line + name_len + 1;
        start += strspn(start, " \t");
        size_t len = strcspn(start, "\r");
        if (len >= size)
            len = size - 1;
        memcpy(value, start, len);
        value[len] = '\0';
        return value;
    }
    return value;
}

/* Version of the start line decides whether connections are kept by default (RFC 9112, 9.3). */
static bool parse_start_line(struct httpmsg *msg)
{
    int minor = 0;
    if (msg->response) {
        if (sscanf(msg->head, "HTTP/1.%1d %3d", &minor, &msg->status) != 2)
            return false;
        if (msg->status < 100 || msg->status > 599)
            return false;
    } else if (sscanf(msg->head, "%15[A-Z] %511[^ \r\n] HTTP/1.%1d", msg->method, msg->path, &minor) != 3) {
        return false;
    }
    msg->keep_alive = minor >= 1;
    return true;
}

static bool parse_length(struct httpmsg *msg)
{
    char text[32];
    if (httpmsg_header(msg, "Transfer-Encoding", text, sizeof text)[0] != '\0')
        return false;
    if (httpmsg_header(msg, "Content-Length", text, sizeof text)[0] != '\0') {
        char *end;
        msg->body_left = strtoll(text, &end, 10);
        return *end == '\0' && msg->body_left >= 0;
    }
    msg->until_close = msg->response && msg->status >= 200 && msg->status != 204 && msg->status != 304;
    return true;
}

static bool parse_head(struct httpmsg *msg)
{
    char text[32];
    if (!parse_start_line(msg) || !parse_length(msg))
        return false;
    httpmsg_header(msg, "Connection", text, sizeof text);
    if (strcasecmp(text, "close") == 0)
        msg->keep_alive = false;
    else if (strcasecmp(text, "keep-alive") == 0)
        msg->keep_alive = true;
    if (msg->until_close)
        msg->keep_alive = false;
    msg->head_done = true;
    return true;
}

/* Moves bytes into the head up to and with the empty line; returns how many were taken. */
static size_t take_head(struct httpmsg *msg, const char *bytes, size_t size, bool *complete)
{
    size_t taken = 0;
    *complete = false;
    while (taken < size && msg->head_len < HTTPMSG_HEAD_SIZE && !*complete) {
        msg->head[msg->head_len++] = bytes[taken++];
        *complete = msg->head_len >= 4 && memcmp(msg->head + msg->head_len - 4, "\r\n\r\n", 4) == 0;
    }
    msg->head[msg->head_len] = '\0';
    return taken;
}

enum httpmsg_state httpmsg_feed(struct httpmsg *msg, const char *bytes, size_t size)
{
    if (!msg->head_done) {
        bool complete;
        size_t taken = take_head(msg, bytes, size, &complete);
        if (!complete)
            return msg->head_len == HTTPMSG_HEAD_SIZE ? HTTPMSG_BAD : HTTPMSG_MORE;
        if (!parse_head(msg))
            return HTTPMSG_BAD;
        bytes += taken;
        size -= taken;
    }
    if (msg->until_close)
        return HTTPMSG_MORE;
    if ((int64_t)size > msg->body_left)
        return HTTPMSG_BAD;
    msg->body_left -= (int64_t)size;
    return msg->body_left == 0 ? HTTPMSG_DONE : HTTPMSG_MORE;
}

enum httpmsg_state httpmsg_eof(const struct httpmsg *msg)
{
    return msg->head_done && msg->until_close ? HTTPMSG_DONE : HTTPMSG_BAD;
}
