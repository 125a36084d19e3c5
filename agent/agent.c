#include "agent/agent.h"

#include <string.h>

/*            +---------------------- failure, refusal: WAITING with a retry ----------------------+
 *            v                     |                  |                 |                         |
 *   WAITING --newer epoch--> PROMISING --manifest--> FETCHING --last part--> PERSISTING --> APPLYING --> WAITING
 *    | | ^ '------------- newer manifest --------------^ |                       ^             ^      applied
 *    | | '-- claimed without a manifest; held: the table waits in `ahead` -------|             |
 *    | '-------------------- released: the table that waited --------------------'             |
 *    '------------------- START with last-good, RESTARTED, TICK after a failed apply ----------'
 *
 * A poll is asked only in WAITING, but may be under way in any phase. Its answer in another phase is dropped: the next
 * poll gets it again at once, because the server compares stamps and keeps nothing for a connection. */
enum phase { WAITING, PROMISING, FETCHING, PERSISTING, APPLYING };

#define RETRY_MIN_US 100000 /* first pause after a failure; doubled each time */
#define RETRY_MAX_US 500000 /* an edge that comes back is converged within 2 s */
#define POLL_AGAIN_US 20000 /* against a server that does not wait */
#define SHUN_US 2000000     /* a server that failed is asked after the others for so long */

/* One table: what it is, and its bytes. */
struct table {
    struct manifest manifest;
    GBytes *parts[PARTS]; /* NULL: not here yet */
};

struct agent {
    char *cluster, *edge;
    unsigned bug;
    enum phase phase;
    uint64_t promised;      /* durable */
    uint64_t claim;         /* newest epoch that a server told of */
    uint64_t promising;     /* being made durable */
    struct stamp floor;     /* was in force before the start, whatever the disk has kept of it */
    struct manifest wanted; /* fetched when the promise is durable; stamp 0: none */
    struct table kept;      /* durable: last-good; stamp 0: none */
    struct table next;      /* on its way from FETCHING to PERSISTED; afterwards what came of a table that did not */
    struct table ahead;     /* whole, and waits for the end of the hold; stamp 0: none */
    char *hold;             /* who holds and why; NULL: nobody */
    bool proven;            /* the actuator was read back equal to `kept` since it was last (re)started */
    struct stamp applied;   /* last stamp that was read back */
    const char *state;
    char *error;
    char *poll_error; /* of the last poll, when there is nothing worse to say */
    struct servers servers;
    unsigned server; /* asked next, or being asked */
    bool polling;
    int64_t poll_at_us, apply_at_us; /* INT64_MAX: not wanted */
    int64_t retry_at_us;             /* not before: what the disk refused */
    int64_t poll_pause_us, apply_pause_us;
    int64_t give_up_us; /* when the fetch, or a poll that has an answer to get, has taken too long; INT64_MAX: never */
    int64_t patience_us;
};

/* Where a step collects its effects. */
struct step {
    struct agent_effect *out;
    unsigned n;
    int64_t now_us;
    bool changed; /* state, promise or applied stamp */
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
    g_assert(config->n_servers <= AGENT_SERVERS_MAX);
    agent->servers.n = config->n_servers;
    agent->bug = config->bug;
    agent->state = "applying";
    agent->poll_at_us = agent->apply_at_us = agent->give_up_us = INT64_MAX;
    agent->poll_pause_us = agent->apply_pause_us = RETRY_MIN_US;
    agent->patience_us = AGENT_PATIENCE_US;
    return agent;
}

void agent_free(struct agent *agent)
{
    if (agent == NULL)
        return;
    table_clear(&agent->kept);
    table_clear(&agent->next);
    table_clear(&agent->ahead);
    g_free(agent->hold);
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

/* Newest table that is here; servers are asked for what is newer. */
static struct stamp newest_here(const struct agent *agent)
{
    return agent->ahead.manifest.stamp.epoch != 0 ? agent->ahead.manifest.stamp : agent->kept.manifest.stamp;
}

/* Back to WAITING. Parts that came stay in `next`: the table may be the same when it is asked for again. */
static void wait_and_retry(struct agent *agent, struct step *step)
{
    agent->phase = WAITING;
    agent->give_up_us = INT64_MAX;
    agent->poll_at_us = step->now_us + grow(&agent->poll_pause_us);
}

/* The server asked was no help: the others first, for a while. */
static void try_another(struct agent *agent, struct step *step)
{
    if (agent->servers.n > 0) {
        servers_shun(&agent->servers, agent->server, step->now_us + SHUN_US);
        agent->server = (agent->server + 1) % agent->servers.n;
    }
    wait_and_retry(agent, step);
}

static void refuse(struct agent *agent, struct step *step, char *why)
{
    set_state(agent, step, "refused", why);
    try_another(agent, step);
}

static void say_failing(struct agent *agent, struct step *step, const char *what, const char *why)
{
    set_state(agent, step, "failing", g_strdup_printf("%s: %s", what, why != NULL ? why : "no reason given"));
}

/* What is in force was read back equal; a newer one may wait. */
static void say_in_force(struct agent *agent, struct step *step)
{
    struct stamp ahead = agent->ahead.manifest.stamp;
    if (ahead.epoch == 0)
        set_state(agent, step, "applied", NULL);
    else
        set_state(agent, step, "held",
                  g_strdup_printf("held by %s; generation %" G_GUINT64_FORMAT " of epoch %" G_GUINT64_FORMAT " waits",
                                  agent->hold, ahead.generation, ahead.epoch));
}

/* What is in force is proven again, or has been all the time: the state says what is true of it. A promise that could
 * not be written is still wanted. */
static void settle(struct agent *agent, struct step *step)
{
    if (agent->claim > agent->promised)
        return;
    if (agent->proven)
        say_in_force(agent, step);
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
    say_in_force(agent, step);
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

static void on_restarted(struct agent *agent, struct step *step, const char *what)
{
    agent->proven = false;
    if (agent->kept.manifest.stamp.epoch == 0)
        return;                        /* nothing to apply yet */
    agent->apply_at_us = step->now_us; /* when nothing else is under way; an apply that is may be half old */
    /* That may take long to fail: who looks meanwhile sees what it is about. */
    set_state(agent, step, "failing", g_strdup(what != NULL ? what : "the actuator has restarted"));
}

/* ---- a newer table ---- */

static void persist(struct agent *agent, struct step *step)
{
    if (agent->bug & AGENT_BUG_ACK_BEFORE_PERSIST) {
        agent->applied = agent->next.manifest.stamp;
        set_state(agent, step, "applied", NULL);
        step->changed = true;
    }
    agent->phase = PERSISTING;
    agent->give_up_us = INT64_MAX;
    add_effect(step, AGENT_WRITE_TABLE)->stamp = agent->next.manifest.stamp;
}

/* All parts of `next` are here. */
static void persist_or_hold(struct agent *agent, struct step *step)
{
    agent->patience_us = AGENT_PATIENCE_US;
    if (agent->hold == NULL) {
        persist(agent, step);
        return;
    }
    table_clear(&agent->ahead);
    agent->ahead = agent->next;
    agent->next = (struct table){0};
    agent->phase = WAITING;
    agent->give_up_us = INT64_MAX;
    agent->poll_pause_us = RETRY_MIN_US;
    agent->poll_at_us = step->now_us;
    if (agent->proven)
        say_in_force(agent, step);
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

/* A part that is here already, of this table or another. */
static GBytes *part_at_hand(const struct agent *agent, const struct table *kept, const char *hash)
{
    const struct table *const tables[] = {&agent->kept, &agent->ahead, kept};
    for (size_t t = 0; t < G_N_ELEMENTS(tables); t++)
        for (unsigned i = 0; i < PARTS; i++)
            if (tables[t]->parts[i] != NULL && strcmp(tables[t]->manifest.hash[i], hash) == 0)
                return g_bytes_ref(tables[t]->parts[i]);
    return NULL;
}

/* Of the table whose manifest is in `next`; its parts, if any, are left over from an earlier attempt. */
static void start_fetch(struct agent *agent, struct step *step, const struct manifest *manifest)
{
    struct table before = agent->next;
    agent->next = (struct table){.manifest = *manifest};
    agent->phase = FETCHING;
    for (unsigned i = 0; i < PARTS; i++) {
        agent->next.parts[i] = part_at_hand(agent, &before, manifest->hash[i]);
        if (agent->next.parts[i] != NULL || asked_before(&agent->next, i))
            continue;
        struct agent_effect *fetch = add_effect(step, AGENT_FETCH);
        fetch->server = agent->server;
        g_strlcpy(fetch->hash, manifest->hash[i], sizeof fetch->hash);
    }
    table_clear(&before);
    if (all_here(&agent->next))
        persist_or_hold(agent, step);
    else
        agent->give_up_us = step->now_us + agent->patience_us;
}

static void take_claim(struct agent *agent, uint64_t epoch)
{
    if (epoch > agent->claim && !(agent->bug & AGENT_BUG_NO_PROMISE))
        agent->claim = epoch;
}

static void promise(struct agent *agent, struct step *step)
{
    agent->phase = PROMISING;
    agent->give_up_us = INT64_MAX;
    agent->promising = agent->claim;
    add_effect(step, AGENT_WRITE_PROMISE)->epoch = agent->promising;
}

/* NULL: it may be taken. Otherwise why not; g_free. */
static char *why_refused(const struct agent *agent, const struct manifest *m)
{
    struct stamp have = newest_here(agent);
    const struct manifest *same =
        agent->ahead.manifest.stamp.epoch != 0 ? &agent->ahead.manifest : &agent->kept.manifest;
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
                               " of epoch %" G_GUINT64_FORMAT " %s",
                               m->stamp.generation, have.generation, have.epoch,
                               same == &agent->kept.manifest ? "is in force" : "waits");
    if (stamp_compare(m->stamp, agent->floor) < 0)
        return g_strdup_printf("the table has generation %" G_GUINT64_FORMAT ", generation %" G_GUINT64_FORMAT
                               " of epoch %" G_GUINT64_FORMAT " was in force",
                               m->stamp.generation, agent->floor.generation, agent->floor.epoch);
    if (stamp_compare(m->stamp, have) == 0 && memcmp(m->hash, same->hash, sizeof m->hash) != 0)
        return g_strdup_printf("generation %" G_GUINT64_FORMAT " of epoch %" G_GUINT64_FORMAT
                               " has other parts than when it was taken",
                               m->stamp.generation, m->stamp.epoch);
    return NULL;
}

static void poll_answered(struct agent *agent)
{
    agent->polling = false;
    if (agent->phase == WAITING)
        agent->give_up_us = INT64_MAX;
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
    if (stamp_compare(manifest->stamp, newest_here(agent)) == 0) { /* a server that does not compare stamps */
        settle(agent, step);
        agent->poll_at_us = step->now_us + RETRY_MAX_US;
        return;
    }
    take_claim(agent, manifest->stamp.epoch);
    if (agent->claim > agent->promised) {
        agent->wanted = *manifest;
        promise(agent, step);
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
        try_another(agent, step);
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
        persist_or_hold(agent, step);
}

static void on_part_failed(struct agent *agent, struct step *step, const char *why)
{
    if (agent->phase != FETCHING)
        return;
    say_failing(agent, step, "a part could not be fetched", why);
    try_another(agent, step);
}

static void on_promised(struct agent *agent, struct step *step)
{
    if (agent->phase != PROMISING)
        return;
    struct manifest wanted = agent->wanted;
    agent->wanted = (struct manifest){0};
    agent->promised = agent->promising;
    step->changed = true; /* whoever claims waits for it */
    agent->phase = WAITING;
    agent->poll_at_us = agent->polling ? INT64_MAX : step->now_us;
    bool over = agent->ahead.manifest.stamp.epoch != 0 && agent->ahead.manifest.stamp.epoch < agent->promised;
    if (over)
        table_clear(&agent->ahead);
    if (over || strcmp(agent->state, "failing") == 0)
        settle(agent, step);
    if (wanted.stamp.epoch >= agent->promised)
        start_fetch(agent, step, &wanted);
}

static void on_disk_failed(struct agent *agent, struct step *step, const char *why)
{
    if (agent->phase != PROMISING && agent->phase != PERSISTING)
        return;
    say_failing(agent, step,
                agent->phase == PROMISING ? "the promise could not be written to disk"
                                          : "the table could not be written to disk",
                why);
    agent->wanted = (struct manifest){0};
    wait_and_retry(agent, step); /* no server can help */
    agent->retry_at_us = agent->poll_at_us;
}

static void on_persisted(struct agent *agent, struct step *step)
{
    if (agent->phase != PERSISTING)
        return;
    table_clear(&agent->kept);
    agent->kept = agent->next;
    agent->next = (struct table){0};
    table_clear(&agent->ahead);
    agent->proven = false;
    agent->poll_pause_us = agent->apply_pause_us = RETRY_MIN_US;
    start_apply(agent, step);
}

/* ---- servers ---- */

static void on_heard(struct agent *agent, struct step *step, unsigned server, struct stamp stamp)
{
    servers_heard(&agent->servers, server, stamp);
    take_claim(agent, stamp.epoch);
    if (agent->phase == FETCHING && agent->claim > agent->promised) {
        agent->phase = WAITING; /* of a reign that is over */
        agent->give_up_us = INT64_MAX;
        agent->poll_at_us = step->now_us;
    }
}

static void on_silent(struct agent *agent, struct step *step, unsigned server, const char *why)
{
    servers_silent(&agent->servers, server);
    if (agent->polling && server == agent->server && agent->phase == WAITING)
        on_poll_failed(agent, step, why);
}

/* A server whose answer to a report came, but no manifest or no part: a trickle, or something in between that eats it.
 */
static void give_up(struct agent *agent, struct step *step)
{
    g_autofree char *why = g_strdup_printf("nothing whole came within %.1f s", (double)agent->patience_us / 1e6);
    agent->patience_us = MIN(agent->patience_us * 2, AGENT_PATIENCE_MAX_US);
    if (agent->phase == FETCHING)
        on_part_failed(agent, step, why);
    else
        on_poll_failed(agent, step, why);
}

static void on_hold(struct agent *agent, struct step *step, const char *text)
{
    g_free(agent->hold);
    agent->hold = g_strdup(text);
    if (agent->ahead.manifest.stamp.epoch != 0 && agent->phase == WAITING)
        settle(agent, step);
}

/* The hold is over: what waited goes on from where it stood. */
static void release(struct agent *agent, struct step *step)
{
    table_clear(&agent->next);
    agent->next = agent->ahead;
    for (unsigned i = 0; i < PARTS; i++)
        g_bytes_ref(agent->next.parts[i]); /* `ahead` stays until it is durable */
    persist(agent, step);
}

static void on_start(struct agent *agent, struct step *step, const struct agent_event *event)
{
    agent->floor = event->stamp;
    agent->promised = agent->claim = MAX(event->promised, event->stamp.epoch);
    agent->poll_at_us = step->now_us;
    if (event->text != NULL)
        say_failing(agent, step, "what was saved is damaged", event->text);
    if (event->manifest == NULL || event->manifest->stamp.epoch == 0)
        return;
    agent->kept.manifest = *event->manifest;
    agent->promised = agent->claim = MAX(agent->promised, event->manifest->stamp.epoch);
    if (stamp_compare(event->manifest->stamp, agent->floor) >= 0) /* else a newer one is in force, and stays there */
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
        on_part_failed(agent, step, event->text);
        break;
    case AGENT_PROMISED:
        on_promised(agent, step);
        break;
    case AGENT_PERSISTED:
        on_persisted(agent, step);
        break;
    case AGENT_DISK_FAILED:
        on_disk_failed(agent, step, event->text);
        break;
    case AGENT_APPLIED:
        on_applied(agent, step);
        break;
    case AGENT_APPLY_FAILED:
        on_apply_failed(agent, step, event->text);
        break;
    case AGENT_RESTARTED:
        on_restarted(agent, step, event->text);
        break;
    case AGENT_TICK:
        break;
    case AGENT_HEARD:
        on_heard(agent, step, event->server, event->stamp);
        break;
    case AGENT_SILENT:
        on_silent(agent, step, event->server, event->text);
        break;
    case AGENT_HOLD:
        on_hold(agent, step, event->text);
        break;
    }
}

static void start_poll(struct agent *agent, struct step *step)
{
    struct agent_effect *poll = add_effect(step, AGENT_POLL);
    poll->server = agent->server;
    poll->stamp = newest_here(agent);
    agent->polling = true;
    agent->poll_at_us = agent->give_up_us = INT64_MAX;
}

/* Where the newest table is. A long-poll that waits elsewhere is left; one that waits where there is something to get
 * must not take long. */
static void poll_where_newest(struct agent *agent, struct step *step)
{
    struct stamp have = newest_here(agent);
    bool due = !agent->polling && agent->poll_at_us <= step->now_us;
    unsigned best = servers_choose(&agent->servers, agent->server, have, agent->promised, step->now_us);
    bool ahead = servers_is_ahead(&agent->servers, best, have, agent->promised, step->now_us);
    if (due || (agent->polling && ahead && best != agent->server)) {
        agent->server = best;
        start_poll(agent, step);
    }
    if (agent->polling && ahead && agent->give_up_us == INT64_MAX)
        agent->give_up_us = step->now_us + agent->patience_us;
}

/* Starts what is due in WAITING. An apply does not wait for a poll, and a promise waits for nothing. */
static void start_due(struct agent *agent, struct step *step)
{
    if ((agent->phase == WAITING || agent->phase == FETCHING) && agent->give_up_us <= step->now_us)
        give_up(agent, step);
    if (agent->phase == WAITING && agent->claim > agent->promised && agent->retry_at_us <= step->now_us)
        promise(agent, step);
    if (agent->phase == WAITING && agent->ahead.manifest.stamp.epoch != 0 && agent->hold == NULL &&
        agent->retry_at_us <= step->now_us)
        release(agent, step);
    if (agent->phase == WAITING && agent->servers.n > 0)
        poll_where_newest(agent, step);
    if (agent->phase == WAITING && agent->apply_at_us <= step->now_us)
        start_apply(agent, step);
}

/* When agent_step is wanted again though nothing has happened. */
static int64_t next_due_us(const struct agent *agent)
{
    int64_t at_us = agent->phase == WAITING || agent->phase == FETCHING ? agent->give_up_us : INT64_MAX;
    if (agent->phase != WAITING)
        return at_us;
    at_us = MIN(at_us, agent->apply_at_us);
    if (!agent->polling && agent->servers.n > 0)
        at_us = MIN(at_us, agent->poll_at_us);
    if (agent->claim > agent->promised || (agent->ahead.manifest.stamp.epoch != 0 && agent->hold == NULL))
        at_us = MIN(at_us, agent->retry_at_us);
    return at_us;
}

unsigned agent_step(struct agent *agent, const struct agent_event *event, int64_t now_us,
                    struct agent_effect out[static AGENT_EFFECTS_MAX], int64_t *next_us)
{
    struct step step = {.out = out, .now_us = now_us};
    take_event(agent, &step, event);
    start_due(agent, &step);
    if (step.changed)
        add_effect(&step, AGENT_REPORT);
    *next_us = next_due_us(agent);
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
