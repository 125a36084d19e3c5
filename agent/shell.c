#include "agent/shell.h"

#include "agent/breakglass.h"
#include "agent/protocol.h"
#include "core/log.h"
#include "schema/object.h"

#include <string.h>

#define EVENTS_MAX 100 /* kept for a server that was away */

struct note {
    uint64_t seq;
    int64_t at_us; /* wall clock */
    char *text;
};

struct shell {
    struct loop *loop;
    struct agent *agent;
    struct keep *keep;
    struct link *link;
    struct actuator actuator;
    struct breakglass *glass;
    struct loop_timer *glass_timer;
    bool closed_none;       /* what is to be closed by hand would leave no room open, and is not */
    GBytes *applied[PARTS]; /* given to the actuator: the table's parts, with what was done by hand */
    struct kept kept;       /* as loaded; given to the agent at start */
    char *damage;           /* what could not be loaded, or NULL */
    int64_t unlogged_at_us; /* wall clock; what took effect then is not in applied.log yet; 0: it is */
    char *cluster, *edge;
    struct loop_timer *agent_timer, *report_timer;
    bool sampling;
    GQueue notes; /* struct note *, oldest first */
    uint64_t last_seq;
    GQueue events; /* struct outcome *: of effects that ended at once, taken after the step that asked for them */
    bool stepping;
};

/* An event with its text owned. */
struct outcome {
    enum agent_event_kind kind;
    char *text;
};

static void note_free(void *data)
{
    struct note *note = data;
    g_free(note->text);
    g_free(note);
}

static void outcome_free(void *data)
{
    struct outcome *outcome = data;
    g_free(outcome->text);
    g_free(outcome);
}

void shell_note(struct shell *shell, const char *text)
{
    struct note *note = g_new(struct note, 1);
    *note = (struct note){++shell->last_seq, wall_now_us(), g_strdup(text)};
    g_queue_push_tail(&shell->notes, note);
    if (shell->notes.length > EVENTS_MAX)
        note_free(g_queue_pop_head(&shell->notes));
    log_info("event", "text=\"%s\"", text);
}

/* ---- effects ---- */

static void push_outcome(struct shell *shell, enum agent_event_kind kind, const char *text)
{
    struct outcome *outcome = g_new(struct outcome, 1);
    *outcome = (struct outcome){kind, g_strdup(text)};
    g_queue_push_tail(&shell->events, outcome);
}

static void write_disk(struct shell *shell, const struct agent_effect *effect)
{
    g_autoptr(GError) error = NULL;
    GBytes *const *parts;
    bool promise = effect->kind == AGENT_WRITE_PROMISE;
    const struct manifest *table = agent_table(shell->agent, &parts); /* sets parts: before it is an argument */
    bool ok = promise ? keep_write_promise(shell->keep, effect->epoch, &error)
                      : keep_write_table(shell->keep, table, parts, &error);
    if (!ok)
        log_error("cannot write to disk; what is in force stays, tried again", "why=\"%s\"", error->message);
    push_outcome(shell,
                 !ok       ? AGENT_DISK_FAILED
                 : promise ? AGENT_PROMISED
                           : AGENT_PERSISTED,
                 ok ? NULL : error->message);
}

static void parts_clear(GBytes *parts[static PARTS])
{
    for (unsigned i = 0; i < PARTS; i++)
        g_clear_pointer(&parts[i], g_bytes_unref);
}

static void apply(struct shell *shell)
{
    GBytes *const *parts;
    const struct manifest *manifest = agent_table(shell->agent, &parts);
    bool was_closed_none = shell->closed_none;
    parts_clear(shell->applied);
    shell->closed_none = !breakglass_overlay(shell->glass, parts, shell->applied);
    if (shell->closed_none && !was_closed_none)
        shell_note(shell, "what was closed by hand is open: no other room is open here");
    shell->actuator.apply(shell->actuator.data, manifest, shell->applied);
}

static void carry_out(struct shell *shell, const struct agent_effect *effect)
{
    switch (effect->kind) {
    case AGENT_POLL:
        link_poll(shell->link, effect->server, effect->stamp);
        break;
    case AGENT_FETCH:
        link_fetch(shell->link, effect->server, effect->hash);
        break;
    case AGENT_WRITE_PROMISE:
    case AGENT_WRITE_TABLE:
        write_disk(shell, effect);
        break;
    case AGENT_APPLY:
        apply(shell);
        break;
    case AGENT_REPORT:
        link_report(shell->link);
        break;
    }
}

static void step_once(struct shell *shell, const struct agent_event *event)
{
    struct agent_effect effects[AGENT_EFFECTS_MAX];
    int64_t next_us;
    g_autofree char *before = g_strdup(agent_error(shell->agent));
    unsigned n = agent_step(shell->agent, event, loop_now_us(), effects, &next_us);
    loop_timer_arm(shell->agent_timer, next_us);
    const char *after = agent_error(shell->agent);
    if (after != NULL && g_strcmp0(before, after) != 0)
        log_warning("not as wanted; what is in force stays, tried again", "state=%s why=\"%s\"",
                    agent_state(shell->agent), after);
    for (unsigned i = 0; i < n; i++)
        carry_out(shell, &effects[i]);
}

/* An effect may end at once, inside the step that asked for it; its outcome waits for the step's end. */
static void step(struct shell *shell, const struct agent_event *event)
{
    if (shell->stepping) {
        g_assert(event->manifest == NULL && event->bytes == NULL); /* only outcomes of disk and actuator come here */
        push_outcome(shell, event->kind, event->text);
        return;
    }
    shell->stepping = true;
    step_once(shell, event);
    struct outcome *outcome;
    while ((outcome = g_queue_pop_head(&shell->events)) != NULL) {
        struct agent_event next = {.kind = outcome->kind, .text = outcome->text};
        step_once(shell, &next);
        outcome_free(outcome);
    }
    shell->stepping = false;
}

/* ---- events ---- */

static void on_link_event(void *data, const struct agent_event *event)
{
    step(data, event);
}

static void on_agent_timer(void *data)
{
    struct agent_event event = {.kind = AGENT_TICK};
    step(data, &event);
}

/* What is in force stays so when it cannot be written down; that is tried again with every report. */
static void log_applied(struct shell *shell, const struct manifest *manifest, int64_t at_us)
{
    g_autoptr(GError) error = NULL;
    bool was_logged = shell->unlogged_at_us == 0;
    bool logged = keep_log_applied(shell->keep, manifest, at_us, &error);
    shell->unlogged_at_us = logged ? 0 : at_us;
    if (logged || !was_logged)
        return;
    g_autofree char *text = g_strdup_printf("what took effect is not logged yet: %s", error->message);
    shell_note(shell, text);
}

static void log_again(struct shell *shell)
{
    GBytes *const *parts;
    const struct manifest *manifest = agent_table(shell->agent, &parts);
    if (shell->unlogged_at_us != 0 && stamp_compare(agent_applied(shell->agent), manifest->stamp) == 0)
        log_applied(shell, manifest, shell->unlogged_at_us);
}

void shell_applied(struct shell *shell)
{
    GBytes *const *parts;
    const struct manifest *manifest = agent_table(shell->agent, &parts);
    log_applied(shell, manifest, wall_now_us());
    if (stamp_compare(agent_applied(shell->agent), manifest->stamp) != 0)
        log_info("applied and read back", "epoch=%" G_GUINT64_FORMAT " generation=%" G_GUINT64_FORMAT " cause=\"%s\"",
                 manifest->stamp.epoch, manifest->stamp.generation, manifest->cause);
    struct agent_event event = {.kind = AGENT_APPLIED};
    step(shell, &event);
}

void shell_apply_failed(struct shell *shell, const char *why)
{
    struct agent_event event = {.kind = AGENT_APPLY_FAILED, .text = why};
    step(shell, &event);
}

void shell_restarted(struct shell *shell, const char *what)
{
    shell_note(shell, what);
    struct agent_event event = {.kind = AGENT_RESTARTED, .text = what};
    step(shell, &event);
}

/* ---- reports ---- */

static json_t *stamp_json(struct stamp stamp)
{
    return json_pack("{s:I,s:I}", "epoch", (json_int_t)stamp.epoch, "generation", (json_int_t)stamp.generation);
}

/* Who asks must see that this agent is not all that its table says, and why. */
static void say_by_hand(const struct shell *shell, json_t *report)
{
    g_autofree char *text = breakglass_text(shell->glass);
    json_object_set_new(report, "break_glass", breakglass_to_json(shell->glass));
    if (text == NULL || strcmp(agent_state(shell->agent), "applied") != 0)
        return;
    json_object_set_new(report, "state", json_string("held"));
    json_object_set_new(report, "error",
                        json_sprintf("%s%s", text, shell->closed_none ? "; not so: no other room is open here" : ""));
}

static json_t *report_base(const struct shell *shell)
{
    json_t *report = json_pack("{s:s,s:s,s:I,s:o,s:s,s:s?,s:I}", "edge", shell->edge, "cluster", shell->cluster,
                               "promised", (json_int_t)agent_promised(shell->agent), "applied",
                               stamp_json(agent_applied(shell->agent)), "state", agent_state(shell->agent), "error",
                               agent_error(shell->agent), "window_us", (json_int_t)AGENT_REPORT_EVERY_US);
    say_by_hand(shell, report);
    shell->actuator.report(shell->actuator.data, report);
    return report;
}

static json_t *build_report(void *data, uint64_t seen, uint64_t *newest)
{
    struct shell *shell = data;
    json_t *report = report_base(shell);
    json_t *events = json_array();
    for (GList *l = shell->notes.head; l != NULL; l = l->next) {
        const struct note *note = l->data;
        if (note->seq > seen)
            json_array_append_new(events, json_pack("{s:I,s:s}", "at_us", (json_int_t)note->at_us, "text", note->text));
    }
    json_object_set_new(report, "events", events);
    *newest = shell->last_seq;
    return report;
}

static json_t *status(const struct shell *shell)
{
    json_t *status = report_base(shell);
    GBytes *const *parts;
    const struct manifest *kept = agent_table(shell->agent, &parts);
    json_object_set_new(status, "last_good", kept != NULL ? stamp_json(kept->stamp) : json_null());
    json_object_set_new(status, "servers", link_status(shell->link));
    return status;
}

/* ---- by hand ---- */

static bool applied_differs(const struct shell *shell)
{
    GBytes *const *parts;
    GBytes *wanted[PARTS];
    bool differs = false;
    if (agent_table(shell->agent, &parts) == NULL || shell->applied[0] == NULL)
        return false; /* nothing was ever applied: what comes is laid over as it is now */
    breakglass_overlay(shell->glass, parts, wanted);
    for (unsigned i = 0; i < PARTS; i++)
        differs = differs || !g_bytes_equal(wanted[i], shell->applied[i]);
    parts_clear(wanted);
    return differs;
}

/* Brings into force what has just been done or has ended. */
static void by_hand(struct shell *shell)
{
    g_autofree char *hold = breakglass_hold(shell->glass);
    struct agent_event held = {.kind = AGENT_HOLD, .text = hold};
    struct agent_event again = {.kind = AGENT_RESTARTED, .text = "by hand"};
    loop_timer_arm(shell->glass_timer, breakglass_next_us(shell->glass));
    step(shell, &held);
    if (applied_differs(shell))
        step(shell, &again);
    link_report(shell->link);
}

static void on_glass_timer(void *data)
{
    struct shell *shell = data;
    g_autoptr(GPtrArray) notes = g_ptr_array_new_with_free_func(g_free);
    bool ended = breakglass_expire(shell->glass, loop_now_us(), wall_now_us(), notes);
    for (guint i = 0; i < notes->len; i++)
        shell_note(shell, notes->pdata[i]);
    if (ended)
        by_hand(shell);
    else
        loop_timer_arm(shell->glass_timer, breakglass_next_us(shell->glass));
}

json_t *shell_command(void *data, uid_t uid, const char *line)
{
    struct shell *shell = data;
    if (strcmp(line, "status") == 0)
        return status(shell);
    if (!breakglass_knows(line)) {
        g_autofree char *found = text_quote(line);
        return json_pack("{s:s++}", "error", "unknown command ", found, ", expected status, hold, override or release");
    }
    GBytes *const *parts = NULL;
    g_autoptr(GError) error = NULL;
    g_autofree char *by = g_strdup_printf("uid:%u", (unsigned)uid);
    if (agent_table(shell->agent, &parts) == NULL || shell->applied[0] == NULL)
        parts = NULL; /* nothing was given to the actuator yet: what is done by hand would not be seen */
    g_autofree char *done = breakglass_command(shell->glass, line, by, parts, loop_now_us(), wall_now_us(), &error);
    if (done == NULL)
        return json_pack("{s:s}", "error", error->message);
    shell_note(shell, done);
    by_hand(shell);
    return json_pack("{s:s}", "done", done);
}

static void on_report_timer(void *data)
{
    struct shell *shell = data;
    loop_timer_arm(shell->report_timer, loop_now_us() + AGENT_REPORT_EVERY_US);
    log_again(shell);
    if (shell->sampling) { /* the actuator hangs; servers must hear from us all the same */
        link_report(shell->link);
        return;
    }
    shell->sampling = true;
    shell->actuator.sample(shell->actuator.data);
}

void shell_sampled(struct shell *shell)
{
    shell->sampling = false;
    link_report(shell->link);
}

void shell_changed(struct shell *shell)
{
    link_report(shell->link);
}

/* ---- life ---- */

struct shell *shell_new(struct loop *loop, const struct shell_config *config, const struct actuator *actuator,
                        GError **error)
{
    struct shell *shell = g_new0(struct shell, 1);
    struct link_callbacks callbacks = {shell, on_link_event, build_report};
    shell->loop = loop;
    shell->actuator = *actuator;
    shell->cluster = g_strdup(config->cluster);
    shell->edge = g_strdup(config->link.edge);
    shell->agent_timer = loop_timer_new(loop, on_agent_timer, shell);
    shell->report_timer = loop_timer_new(loop, on_report_timer, shell);
    shell->glass_timer = loop_timer_new(loop, on_glass_timer, shell);
    g_queue_init(&shell->notes);
    g_queue_init(&shell->events);
    shell->keep = keep_new(config->state_dir, error);
    shell->link = shell->keep != NULL ? link_new(loop, &config->link, &callbacks, error) : NULL;
    if (shell->link == NULL) {
        shell_free(shell);
        return NULL;
    }
    g_autoptr(GPtrArray) notes = g_ptr_array_new_with_free_func(g_free);
    keep_load(shell->keep, shell->cluster, shell->edge, &shell->kept, notes);
    for (guint i = 0; i < notes->len; i++)
        shell_note(shell, notes->pdata[i]);
    g_ptr_array_add(notes, NULL);
    if (notes->len > 1)
        shell->damage = g_strjoinv("; ", (char **)notes->pdata);
    g_autoptr(GPtrArray) acts = g_ptr_array_new_with_free_func(g_free);
    shell->glass = breakglass_new(config->state_dir, false, loop_now_us(), wall_now_us(), acts);
    for (guint i = 0; i < acts->len; i++)
        shell_note(shell, acts->pdata[i]);
    struct agent_config agent = {shell->cluster, shell->edge, link_servers(shell->link), 0};
    shell->agent = agent_new(&agent);
    return shell;
}

void shell_free(struct shell *shell)
{
    if (shell == NULL)
        return;
    link_free(shell->link);
    parts_clear(shell->applied);
    breakglass_free(shell->glass);
    loop_timer_free(shell->glass_timer);
    agent_free(shell->agent);
    keep_free(shell->keep);
    kept_clear(&shell->kept);
    loop_timer_free(shell->agent_timer);
    loop_timer_free(shell->report_timer);
    g_queue_clear_full(&shell->notes, note_free);
    g_queue_clear_full(&shell->events, outcome_free);
    g_free(shell->damage);
    g_free(shell->cluster);
    g_free(shell->edge);
    g_free(shell);
}

void shell_start(struct shell *shell)
{
    bool known = shell->kept.manifest.stamp.epoch != 0;
    for (unsigned i = 0; known && i < PARTS; i++)
        agent_keep_part(shell->agent, shell->kept.manifest.hash[i], shell->kept.parts[i]);
    struct agent_event event = {.kind = AGENT_START,
                                .manifest = known ? &shell->kept.manifest : NULL,
                                .promised = shell->kept.promised,
                                .stamp = keep_logged(shell->keep),
                                .text = shell->damage};
    g_autofree char *hold = breakglass_hold(shell->glass);
    struct agent_event held = {.kind = AGENT_HOLD, .text = hold};
    step(shell, &held); /* before a newer table can come */
    step(shell, &event);
    loop_timer_arm(shell->glass_timer, breakglass_next_us(shell->glass));
    kept_clear(&shell->kept);
    on_report_timer(shell);
}
