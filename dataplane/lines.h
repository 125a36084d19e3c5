/* lines.h: which of the dedicated lines to a room carries a flow now.
 *
 * A line is live while its BFD session is up. Of the live ones those of the best preference carry, in proportion to
 * their weights; a flow stays on its line as long as that carries (rendezvous hashing: HRW, Thaler and Ravishankar,
 * 1998), so a loss moves only the flows of what was lost. A change of line is a change of next hop: connections live
 * on.
 *
 * Back to use: a line that was lost waits (wait-to-restore, ITU-T G.8031), twice as long for each time that it was lost
 * before it has carried for `calm_us`, at most `restore_max_us`: one that flaps is left alone.
 * Shared risk: a line that is lost is seldom alone. Those that share a duct with it are suspects for `suspect_us`,
 * until their own sessions have had the time to tell, and carry only when nobody else can. Nothing live: what carried
 * last goes on carrying, for a session may be wrong and a packet that is not sent is surely lost; `stranded` says so.
 *
 * Pure; no allocation. Thread safety: one writer; the buckets are bytes that readers of other cores may load at any
 * time and see old or new, each a line of the group. Times: µs of any clock that does not go back.
 */
#ifndef DATAPLANE_LINES_H
#define DATAPLANE_LINES_H

#include <stdbool.h>
#include <stdint.h>

#define LINES_MAX 16u
#define LINES_BUCKETS 256u
#define LINES_NEVER UINT64_MAX

struct line_config {
    uint32_t preference; /* the lowest carries */
    uint32_t weight;     /* share among those of one preference; at least 1 */
    uint64_t srlg;       /* shared-risk groups, a bit each */
    uint64_t seed;       /* what its flows are found by: of its name, so that it is the same after a restart */
};
struct lines_config {
    uint64_t restore_us, restore_max_us; /* wait before a line that was lost carries again */
    uint64_t calm_us;                    /* carrying without a loss: its wait is restore_us again */
    uint64_t suspect_us;                 /* about two detection times */
};
struct line {
    struct line_config config;
    bool up;             /* its session */
    uint64_t restore_us; /* when it may carry again */
    unsigned losses;     /* in a row, each before it had carried for calm_us */
    uint64_t suspect_us; /* until then */
};
struct lines {
    struct lines_config config;
    unsigned n;
    struct line line[LINES_MAX];
    uint32_t carrying;             /* a bit for each line that has buckets */
    bool stranded;                 /* none of them is live */
    unsigned waiting;              /* how many are live that may not carry yet */
    uint64_t moves;                /* times that flows were given another line */
    uint8_t bucket[LINES_BUCKETS]; /* index of a line */
};

/* All lines are down; those of the best preference carry until one is up (stranded). n: 1 to LINES_MAX. */
void lines_init(struct lines *lines, const struct lines_config *config, const struct line_config *line, unsigned n);
/* What its session says. The first time that a line comes up it carries at once. */
void lines_set_up(struct lines *lines, unsigned i, bool up, uint64_t now_us);
/* Looks at the clock; true when flows have moved. Called by lines_set_up too. */
bool lines_turn(struct lines *lines, uint64_t now_us);
/* When lines_turn is to be called at the latest. */
uint64_t lines_next_us(const struct lines *lines, uint64_t now_us);

/* The line of a flow. hash: of its addresses and ports. */
static inline unsigned lines_of(const struct lines *lines, uint32_t hash)
{
    return __atomic_load_n(&lines->bucket[hash % LINES_BUCKETS], __ATOMIC_RELAXED);
}

#endif
