/* engine_warm.c: pages that a room is to have at hand before users come: a step warm asks edges for them, each with a
 * pin to the room (schema/pin.h), so that they go down the road that users will take and land in no one's share of
 * slots.
 *
 * It is asked like a golden transaction (EFFECT_ASK, engine_transaction.c) of one request for each page and edge,
 * "pace_us" apart at least; what comes of it is kept as evidence. A restart asks again: what is asked for are GETs. An
 * execution that is forced does not warm.
 */
#include "server/interlocking/engine_internal.h"
#include "server/interlocking/words.h"

#include "core/error.h"

#include <string.h>

#define PAGE_LIMIT_MS 5000 /* of an answer: a cold cache is why this is done */
#define ASKED_MAX 400      /* pages and edges: its evidence stays with the execution */
#define FAILURES_MAX 3     /* named in the step's text */

static json_int_t spec_number(const struct execution_step *step, const char *member)
{
    return json_integer_value(json_object_get(step->spec, member));
}

/* How many requests it makes. */
static size_t asked_of(const struct execution_step *step)
{
    return json_array_size(json_object_get(step->spec, "urls")) *
           MAX(json_array_size(json_object_get(step->spec, "edges")), 1);
}

bool warm_freeze(const struct engine *engine, struct execution_step *step, const char *target, const json_t *params,
                 GError **error)
{
    const char *room =
        word_stands_for(json_string_value(json_object_get(step->spec, "room")), target, params, step->name, error);
    json_int_t rate = spec_number(step, "rate");
    if (room == NULL)
        return false;
    if (INVENTORY_GET(engine->resolved->world->inventory, room, room) == NULL)
        g_set_error(error, SB_ERROR, SB_ERROR_NOT_FOUND, "step %s: found %s, expected the name of a room", step->name,
                    room);
    else if (asked_of(step) > ASKED_MAX)
        g_set_error(error, SB_ERROR, SB_ERROR_INVALID,
                    "step %s: found %zu requests (urls times edges), expected at most %d", step->name, asked_of(step),
                    ASKED_MAX);
    else if ((int64_t)asked_of(step) * G_USEC_PER_SEC / rate >= step->timeout_us)
        g_set_error(error, SB_ERROR, SB_ERROR_INVALID,
                    "step %s: found %zu requests at %" JSON_INTEGER_FORMAT "/s, expected what %.1f s have room for",
                    step->name, asked_of(step), rate, (double)step->timeout_us / G_USEC_PER_SEC);
    else {
        g_autofree char *copy = g_strdup(room); /* it may be the word itself */
        json_object_set_new(step->spec, "room", json_string(copy));
        return true;
    }
    return false;
}

static char *edges_text(const struct execution_step *step)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    json_t *name;
    size_t i;
    json_array_foreach (json_object_get(step->spec, "edges"), i, name)
        g_ptr_array_add(names, (gpointer)(uintptr_t)json_string_value(name));
    return names->len > 0 ? words_list(names, 8) : g_strdup("a public edge");
}

char *warm_words(const struct engine *engine, const struct execution_step *step)
{
    g_autofree char *edges = edges_text(step);
    size_t asked = asked_of(step);
    g_autofree char *requests = words_plural((unsigned)asked, "request");
    return g_strdup_printf(
        "asks %s for pages of %s: %s, at most %" JSON_INTEGER_FORMAT "/s, so %.1f s at least; %" JSON_INTEGER_FORMAT
        " %% must succeed%s",
        edges, json_string_value(json_object_get(step->spec, "room")), requests, spec_number(step, "rate"),
        (double)asked / (double)spec_number(step, "rate"), spec_number(step, "share"),
        engine->resolved->world->pins.n > 0 ? "" : "; there is no key for pins yet: signalbox pin rotate");
}

/* ---- what is asked ---- */

static json_t *request_json(const char *url)
{
    const char *host = url + strlen("http://"), *path = strchr(host, '/');
    return json_pack("{s:s, s:s, s:s%, s:s, s:[], s:i, s:i}", "name", url, "method", "GET", "host", host,
                     (size_t)(path - host), "path", path, "headers", "status", 200, "limit_ms", PAGE_LIMIT_MS);
}

static void runs_add(const struct execution_step *step, const struct edge *edge, json_t *runs)
{
    json_t *url;
    size_t i;
    json_array_foreach (json_object_get(step->spec, "urls"), i, url)
        json_array_append_new(runs,
                              transaction_run("warm", json_string_value(json_object_get(step->spec, "room")), NULL,
                                              edge, 0, json_pack("[o]", request_json(json_string_value(url)))));
}

/* All of it; *lacking (g_free): who has not applied the table that the pins need, or NULL. */
static json_t *runs_json(const struct engine *engine, const struct execution_step *step, char **lacking)
{
    const struct inventory *inv = engine->resolved->world->inventory;
    const json_t *names = json_object_get(step->spec, "edges");
    json_t *runs = json_array();
    *lacking = NULL;
    if (names == NULL) {
        const struct edge *edge = transaction_edge(engine, EDGE_PUBLIC);
        if (edge != NULL)
            runs_add(step, edge, runs);
        else
            *lacking = g_strdup("a public edge");
    }
    for (size_t i = 0; i < json_array_size(names) && *lacking == NULL; i++) {
        const char *name = json_string_value(json_array_get(names, i));
        const struct edge *edge = INVENTORY_GET(inv, edge, name);
        if (edge != NULL && edge_proves(engine, name, engine->generation))
            runs_add(step, edge, runs);
        else
            *lacking = g_strdup(name);
    }
    return runs;
}

bool look_warm(struct engine *engine, struct execution *ex, struct execution_step *step, struct effects *out)
{
    g_autofree char *lacking = NULL;
    bool asked = step->baking_us != 0, late = step_timed_out(engine, step);
    if (late || execution_is_forced(engine, ex)) {
        step->baking_us = 0;
        step_end(engine, ex, step, late ? STEP_STATE_TIMED_OUT : STEP_STATE_SUCCEEDED,
                 !late   ? "forced: nothing was warmed"
                 : asked ? "not all was answered in time"
                         : "no edge could be asked");
        return true;
    }
    if (asked)
        return false;
    json_t *runs = runs_json(engine, step, &lacking);
    bool ended = lacking == NULL && engine->resolved->world->pins.n == 0;
    if (lacking != NULL)
        execution_step_text(ex, step, engine_wall_us(engine), "waits for %s to apply generation %" G_GUINT64_FORMAT,
                            lacking, engine->generation);
    else if (ended)
        step_end(engine, ex, step, STEP_STATE_FAILED, PINS_LACK);
    else {
        g_autofree char *words = warm_words(engine, step);
        execution_step_text(ex, step, engine_wall_us(engine), "%s", words);
        transactions_send(engine, ex, step, runs, G_USEC_PER_SEC / spec_number(step, "rate"), out);
    }
    json_decref(runs);
    return ended;
}

/* ---- what came of it ---- */

void warm_conclude(struct engine *engine, struct execution *ex, struct execution_step *step, const json_t *runs)
{
    const char *room = json_string_value(json_object_get(step->spec, "room"));
    size_t all = json_array_size(runs), good = 0, i;
    g_autoptr(GString) failures = g_string_new(NULL);
    unsigned named = 0;
    json_t *run;
    json_array_foreach (runs, i, run) {
        g_autofree char *failure = transaction_failure(run);
        good += failure == NULL;
        if (failure != NULL && named++ < FAILURES_MAX)
            g_string_append_printf(failures, "; %s", failure);
    }
    double took_s = (double)(engine->now_us - step->baking_us) / G_USEC_PER_SEC;
    bool enough = good * 100 >= (size_t)spec_number(step, "share") * all;
    g_autofree char *text =
        g_strdup_printf("%zu of %zu pages of %s answered in %.1f s, at least %" JSON_INTEGER_FORMAT " %% must be%s",
                        good, all, room, took_s, spec_number(step, "share"), failures->str);
    json_object_set(step->spec, "runs", (json_t *)(uintptr_t)runs);
    step->baking_us = 0;
    step_end(engine, ex, step, enough ? STEP_STATE_SUCCEEDED : STEP_STATE_FAILED, text);
}
