#include "agent/agent.h"

#include <string.h>

/*            +---------------------- failure, refusal: WAITING with a retry ----------------------+
 *            v                       |                |                 |                         |
 *   WAITING --newer manifest--> FETCHING --last part--> PROMISING --> PERSISTING --> APPLYING ----+--> WAITING
 *      |                                                (a newer epoch only)            ^        applied
 *      '--- START with last-good, RESTARTED, TICK after a failed apply -----------------'
 *
 * A poll is asked only in WAITING, but may be under way in any phase. Its answer in another phase is dropped: the next
 * poll gets it again at once, because the server compares stamps and keeps nothing for a connection. */
enum phase { WAITING, FETCHING, PROMISING, PERSISTING, APPLYING };

#define RETRY_MIN_US 100000 /* first pause after a failure; doubled each time */
#define RETRY_MAX_US 500000 /* an edge that comes back is converged within 2 s */
#define POLL_AGAIN_US 20000 /* against a server that does not wait */

/* One table: what it is, and its bytes. */
struct table {
    struct manifest manifest;
    GBytes *parts[PARTS]; /* NULL: not here yet */
};

struct agent {
    char *cluster, *edge;
    unsigned n_servers, bug;
    enum phase phase;
    uint64_t promised;    /* durable */
    struct table kept;    /* durable: last-good; stamp 0: none */
    struct table next;    /* on its way from FETCHING to PERSISTED */
    bool proven;          /* the actuator was read back equal to `kept` since it was last (re)started */
    struct stamp applied; /* last stamp that was read back */
    const char *state;
    char *error;
    char *poll_error; /* of the last poll, when there is nothing worse to say */
    unsigned server;  /* asked next, or being asked */
    bool polling;
    int64_t poll_at_us, apply_at_us; /* INT64_MAX: not wanted */
    int64_t poll_pause_us, apply_pause_us;
};

/* Where a step collects its effects. */
struct step {
    struct agent_effect *out;
    unsigned n;
    int64_t now_us;
    bool changed; /* state or applied stamp */
};

static struct agent_effect *add_effect(struct step *step, enum agent_effect_kind kind)
{
    g_assert(step->n < AGENT_EFFECTS_MAX);
    struct agent_effect *effect = &step->out[step->n++];
    *effect = (struct agent_effect){.kind = kind};
    return effect;
}

static void table_clear(struct table *table)
{
    for (unsigned i = 0; i < PARTS; i++)
        g_clear_pointer(&table->parts[i], g_bytes_unref);
    table->manifest = (struct manifest){0};
}

struct agent *agent_new(const struct agent_config *config)
{
    struct agent *agent = g_new0(struct agent, 1);
    agent->cluster = g_strdup(config->cluster);
    agent->edge = g_strdup(config->edge);
    agent->n_servers = config->n_servers;
    agent->bug = config->bug;
    agent->state = "applying";
    agent->poll_at_us = agent->apply_at_us = INT64_MAX;
    agent->poll_pause_us = agent->apply_pause_us = RETRY_MIN_US;
    return agent;
}

void agent_free(struct agent *agent)
{
    if (agent == NULL)
        return;
    table_clear(&agent->kept);
    table_clear(&agent->next);
    g_free(agent->cluster);
    g_free(agent->edge);
    g_free(agent->error);
    g_free(agent->poll_error);
    g_free(agent);
}

/* Takes error (or NULL). */
static void set_state(struct agent *agent, struct step *step, const char *state, char *error)
{
    step->changed = step->changed || strcmp(agent->state, state) != 0 || g_strcmp0(agent->error, error) != 0;
    agent->state = state;
    g_free(agent->error);
    agent->error = error;
}

static int64_t grow(int64_t *pause_us)
{
    int64_t pause = *pause_us;
    *pause_us = MIN(pause * 2, RETRY_MAX_US);
    return pause;
}

/* Back to WAITING; the next poll goes to the next server of the list after a growing pause. */
static void wait_and_retry(struct agent *agent, struct step *step)
{
    table_clear(&agent->next);
    agent->phase = WAITING;
    if (agent->n_servers > 0)
        agent->server = (agent->server + 1) % agent->n_servers;
    agent->poll_at_us = step->now_us + grow(&agent->poll_pause_us);
}

static void refuse(struct agent *agent, struct step *step, char *why)
{
    set_state(agent, step, "refused", why);
    wait_and_retry(agent, step);
}

static void fail(struct agent *agent, struct step *step, const char *what, const char *why)
{
    set_state(agent, step, "failing", g_strdup_printf("%s: %s", what, why != NULL ? why : "no reason given"));
    wait_and_retry(agent, step);
}

/* What is in force is proven again, or has been all the time: the state says what is true of it. */
static void settle(struct agent *agent, struct step *step)
{
    if (agent->proven)
        set_state(agent, step, "applied", NULL);
    else if (strcmp(agent->state, "refused") == 0)
        set_state(agent, step, "applying", NULL);
}

/* ---- applying what is durable ---- */

static void start_apply(struct agent *agent, struct step *step)
{
    agent->phase = APPLYING;
    agent->apply_at_us = INT64_MAX;
    if (strcmp(agent->state, "failing") != 0)
        set_state(agent, step, "applying", NULL);
    add_effect(step, AGENT_APPLY)->stamp = agent->kept.manifest.stamp;
}

static void on_applied(struct agent *agent, struct step *step)
{
    if (agent->phase != APPLYING)
        return;
    agent->phase = WAITING;
    agent->proven = true;
    agent->apply_pause_us = RETRY_MIN_US;
    step->changed = step->changed || stamp_compare(agent->applied, agent->kept.manifest.stamp) != 0;
    agent->applied = agent->kept.manifest.stamp;
    set_state(agent, step, "applied", NULL);
    agent->poll_at_us = step->now_us;
}

static void on_apply_failed(struct agent *agent, struct step *step, const char *why)
{
    if (agent->phase != APPLYING)
        return;
    agent->phase = WAITING;
    agent->proven = false;
    set_state(agent, step, "failing", g_strdup(why != NULL ? why : "apply failed"));
    agent->apply_at_us = step->now_us + grow(&agent->apply_pause_us);
    agent->poll_at_us = step->now_us; /* a newer table may be the cure */
}

static void on_restarted(struct agent *agent, struct step *step)
{
    agent->proven = false;
    if (agent->kept.manifest.stamp.epoch == 0)
        return;                        /* nothing to apply yet */
    agent->apply_at_us = step->now_us; /* when nothing else is under way; an apply that is may be half old */
}

/* ---- a newer table ---- */

static void promise_or_persist(struct agent *agent, struct step *step)
{
    if (agent->bug & AGENT_BUG_ACK_BEFORE_PERSIST) {
        agent->applied = agent->next.manifest.stamp;
        set_state(agent, step, "applied", NULL);
        step->changed = true;
    }
    uint64_t epoch = agent->next.manifest.stamp.epoch;
    if (epoch > agent->promised) {
        agent->phase = PROMISING;
        add_effect(step, AGENT_WRITE_PROMISE)->epoch = epoch;
    } else {
        agent->phase = PERSISTING;
        add_effect(step, AGENT_WRITE_TABLE)->stamp = agent->next.manifest.stamp;
    }
}

static bool all_here(const struct table *table)
{
    for (unsigned i = 0; i < PARTS; i++)
        if (table->parts[i] == NULL)
            return false;
    return true;
}

/* A hash can stand for two parts when both are empty; it is asked for once. */
static bool asked_before(const struct table *table, unsigned part)
{
    for (unsigned i = 0; i < part; i++)
        if (strcmp(table->manifest.hash[i], table->manifest.hash[part]) == 0)
            return true;
    return false;
}

static void start_fetch(struct agent *agent, struct step *step, const struct manifest *manifest)
{
    table_clear(&agent->next);
    agent->next.manifest = *manifest;
    agent->phase = FETCHING;
    for (unsigned i = 0; i < PARTS; i++) {
        for (unsigned k = 0; k < PARTS && agent->next.parts[i] == NULL; k++)
            if (agent->kept.parts[k] != NULL && strcmp(agent->kept.manifest.hash[k], manifest->hash[i]) == 0)
                agent->next.parts[i] = g_bytes_ref(agent->kept.parts[k]);
        if (agent->next.parts[i] != NULL || asked_before(&agent->next, i))
            continue;
        struct agent_effect *fetch = add_effect(step, AGENT_FETCH);
        fetch->server = agent->server;
        g_strlcpy(fetch->hash, manifest->hash[i], sizeof fetch->hash);
    }
    if (all_here(&agent->next))
        promise_or_persist(agent, step);
}

/* NULL: it may be taken. Otherwise why not; g_free. */
static char *why_refused(const struct agent *agent, const struct manifest *m)
{
    struct stamp have = agent->kept.manifest.stamp;
    if (strcmp(m->cluster, agent->cluster) != 0)
        return g_strdup_printf("the table is of cluster '%s', this edge belongs to '%s'", m->cluster, agent->cluster);
    if (strcmp(m->edge, agent->edge) != 0)
        return g_strdup_printf("the table is for edge '%s', this is '%s'", m->edge, agent->edge);
    if (agent->bug & AGENT_BUG_NO_EPOCH_CHECK)
        return NULL;
    if (m->stamp.epoch < agent->promised)
        return g_strdup_printf("the table has epoch %" G_GUINT64_FORMAT ", epoch %" G_GUINT64_FORMAT " was promised",
                               m->stamp.epoch, agent->promised);
    if (stamp_compare(m->stamp, have) < 0)
        return g_strdup_printf("the table has generation %" G_GUINT64_FORMAT ", generation %" G_GUINT64_FORMAT
                               " of epoch %" G_GUINT64_FORMAT " is in force",
                               m->stamp.generation, have.generation, have.epoch);
    if (stamp_compare(m->stamp, have) == 0 && memcmp(m->hash, agent->kept.manifest.hash, sizeof m->hash) != 0)
        return g_strdup_printf("generation %" G_GUINT64_FORMAT " of epoch %" G_GUINT64_FORMAT
                               " has other parts than when it was taken",
                               m->stamp.generation, m->stamp.epoch);
    return NULL;
}

static void poll_answered(struct agent *agent)
{
    agent->polling = false;
    g_clear_pointer(&agent->poll_error, g_free);
}

static void on_manifest(struct agent *agent, struct step *step, const struct manifest *manifest)
{
    poll_answered(agent);
    if (agent->phase != WAITING)
        return; /* asked again when it is over */
    char *why = why_refused(agent, manifest);
    if (why != NULL) {
        refuse(agent, step, why);
        return;
    }
    if (stamp_compare(manifest->stamp, agent->kept.manifest.stamp) == 0) { /* a server that does not compare stamps */
        settle(agent, step);
        agent->poll_at_us = step->now_us + RETRY_MAX_US;
        return;
    }
    start_fetch(agent, step, manifest);
}

static void on_unchanged(struct agent *agent, struct step *step)
{
    poll_answered(agent);
    agent->poll_pause_us = RETRY_MIN_US;
    if (agent->phase != WAITING)
        return;
    settle(agent, step);
    agent->poll_at_us = step->now_us + POLL_AGAIN_US;
}

static void on_poll_failed(struct agent *agent, struct step *step, const char *why)
{
    agent->polling = false;
    g_free(agent->poll_error);
    agent->poll_error = g_strdup(why != NULL ? why : "poll failed");
    if (agent->phase == WAITING)
        wait_and_retry(agent, step);
}

static void on_part(struct agent *agent, struct step *step, const char *hash, GBytes *bytes)
{
    if (agent->phase != FETCHING)
        return;
    gsize size = 0;
    const char *data = g_bytes_get_data(bytes, &size);
    char found[PART_HASH_SIZE];
    part_hash(data, size, found);
    if (strcmp(found, hash) != 0) {
        refuse(agent, step, g_strdup_printf("part %s has hash %s", hash, found));
        return;
    }
    for (unsigned i = 0; i < PARTS; i++) {
        if (agent->next.parts[i] != NULL || strcmp(agent->next.manifest.hash[i], hash) != 0)
            continue;
        g_autoptr(GError) error = NULL;
        if (!part_validate(i, data != NULL ? data : "", size, &error)) {
            refuse(agent, step, g_strdup(error->message));
            return;
        }
        agent->next.parts[i] = g_bytes_ref(bytes);
    }
    if (all_here(&agent->next))
        promise_or_persist(agent, step);
}

static void on_promised(struct agent *agent, struct step *step)
{
    if (agent->phase != PROMISING)
        return;
    agent->promised = agent->next.manifest.stamp.epoch;
    promise_or_persist(agent, step);
}

static void on_persisted(struct agent *agent, struct step *step)
{
    if (agent->phase != PERSISTING)
        return;
    table_clear(&agent->kept);
    agent->kept = agent->next;
    agent->next = (struct table){0};
    agent->proven = false;
    agent->poll_pause_us = agent->apply_pause_us = RETRY_MIN_US;
    start_apply(agent, step);
}

static void on_start(struct agent *agent, struct step *step, const struct agent_event *event)
{
    agent->promised = event->promised;
    agent->poll_at_us = step->now_us;
    if (event->manifest == NULL || event->manifest->stamp.epoch == 0)
        return;
    agent->kept.manifest = *event->manifest;
    agent->promised = MAX(agent->promised, event->manifest->stamp.epoch);
    start_apply(agent, step);
}

void agent_keep_part(struct agent *agent, const char *hash, GBytes *bytes)
{
    unsigned slot = 0;
    while (slot < PARTS && agent->next.parts[slot] != NULL)
        slot++;
    g_assert(slot < PARTS); /* a table has no more */
    g_strlcpy(agent->next.manifest.hash[slot], hash, PART_HASH_SIZE);
    agent->next.parts[slot] = g_bytes_ref(bytes);
}

/* Parts given before START were put aside in `next`, because only the manifest tells what each of them is. */
static bool take_kept_parts(struct agent *agent, const struct manifest *manifest)
{
    for (unsigned i = 0; i < PARTS; i++)
        for (unsigned k = 0; k < PARTS && agent->kept.parts[i] == NULL; k++)
            if (agent->next.parts[k] != NULL && strcmp(agent->next.manifest.hash[k], manifest->hash[i]) == 0)
                agent->kept.parts[i] = g_bytes_ref(agent->next.parts[k]);
    table_clear(&agent->next);
    bool complete = all_here(&agent->kept);
    if (!complete)
        table_clear(&agent->kept);
    return complete;
}

/* ---- one step ---- */

static void take_event(struct agent *agent, struct step *step, const struct agent_event *event)
{
    switch (event->kind) {
    case AGENT_START: {
        struct agent_event start = *event;
        if (start.manifest != NULL && !take_kept_parts(agent, start.manifest))
            start.manifest = NULL; /* without its parts it is no table; a server will give it again */
        on_start(agent, step, &start);
        break;
    }
    case AGENT_MANIFEST:
        on_manifest(agent, step, event->manifest);
        break;
    case AGENT_UNCHANGED:
        on_unchanged(agent, step);
        break;
    case AGENT_POLL_FAILED:
        on_poll_failed(agent, step, event->text);
        break;
    case AGENT_PART:
        on_part(agent, step, event->hash, event->bytes);
        break;
    case AGENT_PART_FAILED:
        if (agent->phase == FETCHING)
            fail(agent, step, "a part could not be fetched", event->text);
        break;
    case AGENT_PROMISED:
        on_promised(agent, step);
        break;
    case AGENT_PERSISTED:
        on_persisted(agent, step);
        break;
    case AGENT_DISK_FAILED:
        if (agent->phase == PROMISING || agent->phase == PERSISTING)
            fail(agent, step, "the table could not be written to disk", event->text);
        break;
    case AGENT_APPLIED:
        on_applied(agent, step);
        break;
    case AGENT_APPLY_FAILED:
        on_apply_failed(agent, step, event->text);
        break;
    case AGENT_RESTARTED:
        on_restarted(agent, step);
        break;
    case AGENT_TICK:
        break;
    }
}

/* Starts what is due in WAITING; both may be wanted, and an apply does not wait for a poll. */
static void start_due(struct agent *agent, struct step *step)
{
    if (agent->phase == WAITING && !agent->polling && agent->n_servers > 0 && agent->poll_at_us <= step->now_us) {
        struct agent_effect *poll = add_effect(step, AGENT_POLL);
        poll->server = agent->server;
        poll->stamp = agent->kept.manifest.stamp;
        agent->polling = true;
        agent->poll_at_us = INT64_MAX;
    }
    if (agent->phase == WAITING && agent->apply_at_us <= step->now_us)
        start_apply(agent, step);
}

unsigned agent_step(struct agent *agent, const struct agent_event *event, int64_t now_us,
                    struct agent_effect out[static AGENT_EFFECTS_MAX], int64_t *next_us)
{
    struct step step = {.out = out, .now_us = now_us};
    take_event(agent, &step, event);
    start_due(agent, &step);
    if (step.changed)
        add_effect(&step, AGENT_REPORT);
    *next_us = INT64_MAX;
    if (agent->phase == WAITING) {
        *next_us = agent->apply_at_us;
        if (!agent->polling && agent->n_servers > 0)
            *next_us = MIN(*next_us, agent->poll_at_us);
    }
    return step.n;
}

uint64_t agent_promised(const struct agent *agent)
{
    return agent->promised;
}

struct stamp agent_applied(const struct agent *agent)
{
    return agent->applied;
}

const char *agent_state(const struct agent *agent)
{
    return agent->state;
}

const char *agent_error(const struct agent *agent)
{
    return agent->error != NULL ? agent->error : agent->poll_error;
}

const struct manifest *agent_table(const struct agent *agent, GBytes *const **parts)
{
    const struct table *table = agent->phase == PERSISTING ? &agent->next : &agent->kept;
    if (table->manifest.stamp.epoch == 0)
        return NULL;
    *parts = table->parts;
    return &table->manifest;
}
