#include "dcdn/hold.h"

#include "dcdn/stat.h"

#include <string.h>

void hold_init(struct hold *hold)
{
    *hold = (struct hold){.home = HOLD_SLOTS};
}

void hold_restore(struct hold *hold, const struct hold_limits *limits, unsigned home, int64_t for_us, int64_t now_us)
{
    *hold =
        (struct hold){.home = MIN(home, HOLD_SLOTS), .began_us = now_us - for_us, .next_us = now_us + limits->hold_us};
}

static enum hold_event seen_down(struct hold *hold, const struct hold_limits *limits, bool elsewhere, int64_t now_us)
{
    bool again = hold->sighted && now_us - hold->sighted_us <= HOLD_SIGHTED_US;
    hold->sighted = true;
    hold->sighted_us = now_us;
    if (hold->home == HOLD_SLOTS && !(again && elsewhere))
        return HOLD_NOTHING;
    enum hold_event event = hold->home == HOLD_SLOTS ? HOLD_BEGUN : hold->home > 0 ? HOLD_AGAIN : HOLD_NOTHING;
    if (event == HOLD_BEGUN)
        hold->began_us = now_us;
    hold->home = 0;
    hold->alone = false;
    hold->next_us = now_us + limits->hold_us;
    return event;
}

/* Up and held, and no other room is. */
static enum hold_event seen_alone(struct hold *hold, int64_t now_us)
{
    bool again = hold->alone && now_us - hold->alone_us <= HOLD_SIGHTED_US;
    hold->alone = true;
    hold->alone_us = now_us;
    if (!again)
        return HOLD_NOTHING;
    hold->home = HOLD_SLOTS;
    hold->alone = false;
    return HOLD_ALONE;
}

enum hold_event hold_step(struct hold *hold, const struct hold_limits *limits, enum hold_health health, bool elsewhere,
                          int64_t now_us)
{
    if (health == HOLD_DOWN)
        return seen_down(hold, limits, elsewhere, now_us);
    if (hold->home == HOLD_SLOTS)
        return HOLD_NOTHING;
    if (health == HOLD_UNSEEN) {
        /* A HAProxy that comes back believes in every entrance until its first checks. */
        hold->next_us = MAX(hold->next_us, now_us + limits->stage_us);
        return HOLD_NOTHING;
    }
    if (!elsewhere)
        return seen_alone(hold, now_us);
    if (now_us < hold->next_us)
        return HOLD_NOTHING;
    hold->home = MIN(hold->home + HOLD_STAGE, HOLD_SLOTS);
    hold->next_us = now_us + limits->stage_us; /* of now: time that was slept away makes no two stages at once */
    return hold->home == HOLD_SLOTS ? HOLD_ENDED : HOLD_RETURNS;
}

char *hold_say(const struct hold *hold, const struct hold_limits *limits, enum hold_event event, const char *room)
{
    double hold_s = (double)limits->hold_us / 1e6;
    switch (event) {
    case HOLD_BEGUN:
        return g_strdup_printf("%s held away: all its entrances are down as seen from here; its users with automatic "
                               "DR go to the other rooms until it has been up for %g s",
                               room, hold_s);
    case HOLD_AGAIN:
        return g_strdup_printf("%s held away: it failed again on their return; all go to the other rooms until it has "
                               "been up for %g s",
                               room, hold_s);
    case HOLD_RETURNS:
        return g_strdup_printf("%s held away: %u of its %u slots are home", room, hold->home, HOLD_SLOTS);
    case HOLD_ENDED:
        return g_strdup_printf("%s no longer held away: all its slots are home", room);
    case HOLD_ALONE:
        return g_strdup_printf("%s no longer held away: it is up and no other room is; all its users are home", room);
    case HOLD_NOTHING:
        break;
    }
    return NULL;
}

/* ---- reading ---- */

enum hold_health hold_health_read(const char *traffic, const char *health, const char *room)
{
    enum hold_health found = HOLD_UNSEEN;
    g_autofree char *prefix = g_strconcat(room, ".", NULL);
    g_autoptr(GPtrArray) rows = stat_read(traffic), checks = stat_read(health);
    for (guint i = 0; i < rows->len; i++) {
        const struct stat_row *row = rows->pdata[i];
        if (!g_str_has_prefix(row->server, prefix))
            continue;
        const char *status = g_str_has_prefix(row->status, "MAINT") ? stat_status(checks, row->server) : row->status;
        if (g_str_has_prefix(status, "UP") || g_str_has_prefix(status, "no check"))
            return HOLD_UP;
        if (g_str_has_prefix(status, "DOWN"))
            found = HOLD_DOWN;
    }
    return found;
}

bool hold_elsewhere_read(const char *away, const char *room)
{
    g_autofree char *prefix = g_strconcat(room, ".", NULL);
    g_autoptr(GPtrArray) rows = stat_read(away);
    for (guint i = 0; i < rows->len; i++) {
        const struct stat_row *row = rows->pdata[i];
        if (g_str_has_prefix(row->status, "UP") && !g_str_has_prefix(row->server, prefix))
            return true;
    }
    return false;
}
