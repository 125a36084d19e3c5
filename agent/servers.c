#include "agent/servers.h"

/* Best last. */
enum rank { AWAY, BEHIND, LEVEL, AHEAD };

static enum rank rank_of(const struct servers *servers, unsigned server, struct stamp have, uint64_t promised,
                         int64_t now_us)
{
    struct stamp heard = servers->row[server].heard;
    if (servers->row[server].silent || servers->row[server].shun_until_us > now_us)
        return AWAY;
    if (heard.epoch == 0)
        return LEVEL;
    if (heard.epoch < promised || stamp_compare(heard, have) < 0)
        return BEHIND;
    return stamp_compare(heard, have) > 0 ? AHEAD : LEVEL;
}

void servers_heard(struct servers *servers, unsigned server, struct stamp stamp)
{
    servers->row[server].silent = false;
    servers->row[server].heard = stamp;
}

void servers_silent(struct servers *servers, unsigned server)
{
    servers->row[server].silent = true;
}

void servers_shun(struct servers *servers, unsigned server, int64_t until_us)
{
    servers->row[server].shun_until_us = until_us;
}

unsigned servers_choose(const struct servers *servers, unsigned from, struct stamp have, uint64_t promised,
                        int64_t now_us)
{
    unsigned best = from;
    enum rank best_rank = AWAY;
    for (unsigned i = 0; i < servers->n; i++) {
        unsigned server = (from + i) % servers->n;
        enum rank rank = rank_of(servers, server, have, promised, now_us);
        bool newer = rank == AHEAD && best_rank == AHEAD &&
                     stamp_compare(servers->row[server].heard, servers->row[best].heard) > 0;
        if (rank > best_rank || newer) {
            best = server;
            best_rank = rank;
        }
    }
    return best;
}

bool servers_is_ahead(const struct servers *servers, unsigned server, struct stamp have, uint64_t promised,
                      int64_t now_us)
{
    return rank_of(servers, server, have, promised, now_us) == AHEAD;
}
