/* engine_rig.h: the engine with a journal in memory, on the two-rooms site, and the words that its tests speak in.
 *
 * A struct server is what a process would be: server_new starts one and applies the site; carrying out effects can end
 * at any of them (`budget`), which is the crash; start begins anew from the journal. Everything that a helper returns
 * as json_t * or char * is the test's, but for borrowed members of JSON. Failures abort the test. One thread.
 */
#ifndef TESTS_ENGINE_RIG_H
#define TESTS_ENGINE_RIG_H

#include "core/error.h"
#include "server/interlocking/engine.h"

#include <check.h>
#include <string.h>

#define SECOND G_USEC_PER_SEC

struct server {
    struct engine *engine;
    GPtrArray *journal; /* struct journal_entry *, all that was ever written */
    struct effects effects;
    struct resolved *published;
    json_t *asked; /* of the last EFFECT_ASK, or NULL */
    uint64_t epoch;
    int64_t now_us;
    int budget; /* effects until the crash; -1: none */
    unsigned carried;
    GPtrArray *calls; /* json_t *, of effects CALL: those without an answer, of this life */
    GString *called;  /* ids of all that were ever made, a line each */
    GString *inputs,
        *done; /* the black box: what the engine is told, as incident.h has it, and effect_lines; or NULL */
};

extern const char *rig_site; /* of tests/lab/sites, which server_new applies; "two-rooms" */
extern const char *const edges[4], *const servers[3];
extern const struct asker alice, robot;

/* Life: effects are carried out by settle and by whatever changes something. */
struct server *server_new(void);
void server_free(struct server *s);
void start(struct server *s);
void tick(struct server *s, int64_t after_us);
void settle(struct server *s);
struct now now(const struct server *s);
json_t *site_body(void);
void load(json_t *body, const char *name); /* a file of the tree, into the body of an apply */
void apply_ok(struct server *s, json_t *body);
void add_plan(struct server *s, const char *yaml);

/* What an edge says: applied `stamp` (0: what is published), and figures. */
struct saying {
    struct stamp stamp;
    const char *policy, *room; /* counters of one policy */
    unsigned requests, failed;
    double rate, fail_rate;
    bool pops_down;    /* of room-a */
    const char *holds; /* a room, of whose slots `home` are home; or NULL */
    unsigned home;
    int latency_us; /* of all entrances; 0: 1000 */
};

json_t *saying_json(const char *edge, const struct saying *saying);
void say(struct server *s, const char *edge, struct saying saying);
void say_all(struct server *s);
/* A report of `agent` with one more member or list; takes it. */
void say_with(struct server *s, const char *agent, struct stamp stamp, const char *name, json_t *value);
/* What the driver of a name server says of the generation that is published. */
void confirm(struct server *s, const char *nameserver, const char *state);

/* Of engine_told_fn: a line of a recording; data: GString *. */
void record_input(void *data, const json_t *input);

/* The oldest call without an answer gets one; error: none came, and why. status 0: refused before it was sent. */
void answer_call(struct server *s, int status, const char *value, const char *error);

/* Asking. */
char *run_ok(struct server *s, const char *plan, const char *target);
json_t *set(struct server *s, const char *control, const char *object, const char *value, int64_t if_match,
            const struct asker *asker, GError **error);
void set_ok(struct server *s, const char *control, const char *object, const char *value);

/* Looking: at an execution as the API gives it, at levers, at the journal. */
json_t *look(const struct server *s, const char *id);
const char *member(const json_t *json, const char *name);
/* The row of a list of the status whose `key` is value; the test fails if there is none. The caller unrefs it. */
json_t *status_row(const struct server *s, const char *list, const char *key, const char *value);
const json_t *step_of(const json_t *execution, const char *name);
const char *lever(const struct server *s, enum lever l, const char *object);
uint64_t generation(const struct server *s);
unsigned count_entries(const struct server *s, const char *kind);

/* The button: brings a run of room-isolated to where `step` is under way, one of stages; what it has set, and not. */
#define STAGES 3
extern const char *const stages[STAGES];
char *run_until(struct server *s, const char *step);
void expect_planned(const struct server *s);
void expect_undone(const struct server *s);

/* text: what must stand in the step's text, in an event, in an error; "" for anything. */
void expect_state(const struct server *s, const char *id, const char *state);
void expect_event(const struct server *s, const char *id, const char *text);
void expect_step(const struct server *s, const char *id, const char *step, const char *state, const char *text);
#define expect_error(error, kind, text)                                                                                \
    do {                                                                                                               \
        ck_assert_ptr_nonnull(error);                                                                                  \
        ck_assert_int_eq((error)->code, SB_ERROR_##kind);                                                              \
        if (strstr((error)->message, text) == NULL)                                                                    \
            ck_abort_msg("found \"%s\", expected \"%s\"", (error)->message, text);                                     \
        g_clear_error(&(error));                                                                                       \
    } while (0)

#endif
