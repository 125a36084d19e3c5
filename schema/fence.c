#include "schema/fence.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

char *fence_owner(const char *zone)
{
    return g_strconcat("_signalbox.", zone, NULL);
}

/* A number without sign, space or leading zero, so that a text has one reading and a reading one text. */
static bool number(const char **at, guint64 max, guint64 *out)
{
    const char *p = *at;
    if (!g_ascii_isdigit(*p) || (*p == '0' && g_ascii_isdigit(p[1])))
        return false;
    char *end;
    errno = 0;
    *out = g_ascii_strtoull(p, &end, 10);
    *at = end;
    return errno == 0 && *out <= max;
}

static bool literal(const char **at, const char *text)
{
    size_t len = strlen(text);
    if (strncmp(*at, text, len) != 0)
        return false;
    *at += len;
    return true;
}

bool fence_parse(const char *text, struct fence *out)
{
    guint64 epoch, generation, part = 0, parts = 0;
    const char *at = text;
    if (!number(&at, UINT64_MAX, &epoch) || !literal(&at, " ") || !number(&at, UINT64_MAX, &generation))
        return false;
    if (*at != '\0') {
        if (!literal(&at, " part ") || !number(&at, UINT32_MAX, &part) || !literal(&at, "/") ||
            !number(&at, UINT32_MAX, &parts) || *at != '\0')
            return false;
        if (part == 0 || part >= parts)
            return false;
    }
    *out = (struct fence){{epoch, generation}, (unsigned)part, (unsigned)parts};
    return true;
}

char *fence_format(const struct fence *fence, char text[static FENCE_TEXT_SIZE])
{
    int len = snprintf(text, FENCE_TEXT_SIZE, "%" PRIu64 " %" PRIu64, fence->stamp.epoch, fence->stamp.generation);
    if (fence->parts > 0)
        snprintf(text + len, FENCE_TEXT_SIZE - (size_t)len, " part %u/%u", fence->part, fence->parts);
    return text;
}

bool fence_settled(const struct fence *fence, struct stamp stamp)
{
    return fence->parts == 0 && stamp_compare(fence->stamp, stamp) == 0;
}

enum fence_verdict fence_judge(const struct fence *held, struct stamp desired)
{
    if (held == NULL || held->stamp.epoch < desired.epoch)
        return FENCE_CLAIM;
    if (held->stamp.epoch > desired.epoch)
        return FENCE_LOST;
    return held->stamp.generation > desired.generation ? FENCE_OLDER_THAN_HELD : FENCE_OURS;
}
