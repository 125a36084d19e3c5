#include "dataplane/lines.h"

#include <assert.h>
#include <string.h>

/* splitmix64: Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", 2014 */
static uint64_t mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

/* log2 of (value + 1) / 2^32 as a fixed-point number with 16 bits behind the point: 0 to -32. The same on every
 * machine, which floating point does not promise. */
static int64_t log2_fixed(uint32_t value)
{
    uint64_t x = (uint64_t)value + 1;
    int64_t whole = 63 - __builtin_clzll(x), part = 0;
    uint64_t mantissa = whole > 31 ? x >> (whole - 31) : x << (31 - whole); /* 1 to 2, 31 bits behind the point */
    for (int bit = 15; bit >= 0; bit--) {
        mantissa = mantissa * mantissa >> 31;
        if (mantissa >> 32) {
            mantissa >>= 1;
            part |= (int64_t)1 << bit;
        }
    }
    return whole * 65536 + part - 32 * 65536;
}

/* Weighted rendezvous: of -log(random) / weight the least wins (Mosko, 1999). Greater is better here. */
static int64_t score(const struct line *line, unsigned bucket)
{
    uint32_t random = (uint32_t)(mix(line->config.seed ^ mix(bucket)) >> 32);
    return log2_fixed(random) * 65536 / line->config.weight;
}

static bool in(uint32_t set, unsigned i)
{
    return set >> i & 1;
}

static uint8_t best_of(const struct lines *lines, uint32_t carrying, unsigned bucket)
{
    int best = -1;
    int64_t best_score = 0;
    for (unsigned i = 0; i < lines->n; i++) {
        if (!in(carrying, i))
            continue;
        int64_t own = score(&lines->line[i], bucket);
        if (best < 0 || own > best_score) {
            best = (int)i;
            best_score = own;
        }
    }
    return (uint8_t)best;
}

static bool carry(struct lines *lines, uint32_t carrying)
{
    if (carrying == lines->carrying)
        return false;
    lines->carrying = carrying;
    lines->moves++;
    for (unsigned b = 0; b < LINES_BUCKETS; b++)
        __atomic_store_n(&lines->bucket[b], best_of(lines, carrying, b), __ATOMIC_RELAXED);
    return true;
}

/* Of `candidates` those with the best preference. */
static uint32_t preferred(const struct lines *lines, uint32_t candidates)
{
    uint32_t best = 0;
    uint32_t preference = UINT32_MAX;
    for (unsigned i = 0; i < lines->n; i++) {
        uint32_t own = lines->line[i].config.preference;
        if (!in(candidates, i) || own > preference)
            continue;
        best = own < preference ? 0 : best;
        preference = own;
        best |= 1u << i;
    }
    return best;
}

bool lines_turn(struct lines *lines, uint64_t now_us)
{
    uint32_t live = 0, waited = 0, trusted = 0;
    lines->waiting = 0;
    for (unsigned i = 0; i < lines->n; i++) {
        const struct line *line = &lines->line[i];
        if (!line->up)
            continue;
        live |= 1u << i;
        if (now_us < line->restore_us) {
            lines->waiting++;
            continue;
        }
        waited |= 1u << i;
        if (now_us >= line->suspect_us)
            trusted |= 1u << i;
    }
    lines->stranded = live == 0;
    if (live == 0)
        return false;
    /* What waits or is suspected is still better than nothing. */
    return carry(lines, preferred(lines, trusted != 0 ? trusted : waited != 0 ? waited : live));
}

void lines_init(struct lines *lines, const struct lines_config *config, const struct line_config *line, unsigned n)
{
    assert(n > 0 && n <= LINES_MAX);
    memset(lines, 0, sizeof *lines);
    lines->config = *config;
    lines->n = n;
    for (unsigned i = 0; i < n; i++) {
        assert(line[i].weight > 0);
        lines->line[i].config = line[i];
    }
    carry(lines, preferred(lines, UINT32_MAX >> (32 - n)));
    lines->stranded = true;
    lines->moves = 0;
}

static uint64_t wait_us(const struct lines *lines, const struct line *line)
{
    uint64_t wait = lines->config.restore_us;
    for (unsigned i = 1; i < line->losses && wait < lines->config.restore_max_us; i++)
        wait *= 2;
    return wait < lines->config.restore_max_us ? wait : lines->config.restore_max_us;
}

static void lose(struct lines *lines, unsigned i, uint64_t now_us)
{
    struct line *line = &lines->line[i];
    bool waited = now_us >= line->restore_us; /* one that flaps says nothing about its duct any more */
    line->losses = line->losses > 0 && now_us < line->restore_us + lines->config.calm_us ? line->losses + 1 : 1;
    for (unsigned k = 0; waited && k < lines->n; k++)
        if (k != i && (lines->line[k].config.srlg & line->config.srlg) != 0)
            lines->line[k].suspect_us = now_us + lines->config.suspect_us;
}

void lines_set_up(struct lines *lines, unsigned i, bool up, uint64_t now_us)
{
    struct line *line = &lines->line[i];
    if (up != line->up) {
        line->up = up;
        if (!up)
            lose(lines, i, now_us);
        else if (line->losses > 0)
            line->restore_us = now_us + wait_us(lines, line);
    }
    lines_turn(lines, now_us);
}

uint64_t lines_next_us(const struct lines *lines, uint64_t now_us)
{
    uint64_t next = LINES_NEVER;
    for (unsigned i = 0; i < lines->n; i++) {
        const struct line *line = &lines->line[i];
        if (line->up && line->restore_us > now_us && line->restore_us < next)
            next = line->restore_us;
        if (line->up && line->suspect_us > now_us && line->suspect_us < next)
            next = line->suspect_us;
    }
    return next;
}
