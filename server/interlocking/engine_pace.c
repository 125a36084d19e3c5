/* engine_pace.c: how long steps take, against what they took before: who is slower than twice the 75th percentile of
 * the runs of the same step that succeeded is stuck. Nothing is done about it but to say so. */
#include "server/interlocking/engine_internal.h"

#include <string.h>

#define RUNS_MIN 4                    /* fewer say nothing of what is usual */
#define STUCK_MIN_US (G_USEC_PER_SEC) /* what is faster than this is never stuck */

static gint by_number(gconstpointer a, gconstpointer b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

/* p75 of this step's successful runs, by the executions at hand; 0: too few. */
static int64_t usual_us(const struct engine *engine, const struct execution *ex, const struct execution_step *step)
{
    g_autoptr(GArray) times = g_array_new(FALSE, FALSE, sizeof(int64_t));
    for (guint i = 0; i < engine->order->len; i++) {
        const struct execution *past = engine->order->pdata[i];
        const struct execution_step *same =
            past != ex && g_strcmp0(past->plan, ex->plan) == 0 ? execution_step(past, step->name) : NULL;
        if (same == NULL || same->kind != step->kind || same->state != STEP_STATE_SUCCEEDED)
            continue;
        int64_t took_us = same->ended_us - same->started_us;
        g_array_append_val(times, took_us);
    }
    if (times->len < RUNS_MIN)
        return 0;
    g_array_sort(times, by_number);
    return g_array_index(times, int64_t, (times->len * 3 + 3) / 4 - 1);
}

/* When it is to be called stuck (clock of the engine); INT64_MAX: not, or it was. A person's time is his own. */
static int64_t stuck_at_us(const struct engine *engine, const struct execution *ex, const struct execution_step *step,
                           int64_t *usual)
{
    if (step->state != STEP_STATE_RUNNING || step->stuck || step->kind == STEP_APPROVE ||
        (*usual = usual_us(engine, ex, step)) == 0)
        return INT64_MAX;
    return step->started_us - engine->wall_offset_us + MAX(2 * *usual, STUCK_MIN_US);
}

int64_t pace_next_us(const struct engine *engine, const struct execution *ex)
{
    int64_t next_us = INT64_MAX, usual;
    for (guint i = 0; ex->state == EXECUTION_RUNNING && i < ex->steps->len; i++)
        next_us = MIN(next_us, stuck_at_us(engine, ex, ex->steps->pdata[i], &usual));
    return next_us;
}

void pace_look(const struct engine *engine, struct execution *ex)
{
    for (guint i = 0; ex->state == EXECUTION_RUNNING && i < ex->steps->len; i++) {
        struct execution_step *step = ex->steps->pdata[i];
        int64_t usual;
        if (engine->now_us < stuck_at_us(engine, ex, step, &usual))
            continue;
        step->stuck = true;
        execution_note(ex, engine_wall_us(engine), step->name, "stuck: for %.1f s now, usually at most %.1f s (p75)",
                       (double)(engine_wall_us(engine) - step->started_us) / G_USEC_PER_SEC,
                       (double)usual / G_USEC_PER_SEC);
    }
}
