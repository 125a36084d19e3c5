/* engine_step.c: the steps of an execution. Each turn looks at every step and does what can be done now.
 *
 *     pending --needs ended well--> running --> succeeded
 *        |                             '------> timed-out | failed | refused --on_failure--> stop, continue, rollback
 *        '--a need did not end well, or the execution stops--> skipped
 */
#include "server/interlocking/engine_internal.h"
#include "server/interlocking/words.h"

#include "core/error.h"

#include <string.h>

/* Keeping. */

void execution_save(const struct execution *ex, GPtrArray *entries)
{
    entries_add(entries, "execution", ex->id, NULL, execution_to_json(ex));
    for (guint i = ex->events_saved; i < ex->events->len; i++) {
        const struct execution_event *event = ex->events->pdata[i];
        g_autofree char *id = g_strdup_printf("%s/%" G_GUINT64_FORMAT, ex->id, event->seq);
        entries_add(entries, "event", id, NULL, execution_event_to_json(event));
    }
}

void execution_flush(struct engine *engine, struct execution *ex, struct effects *out)
{
    (void)engine;
    if (!ex->dirty)
        return;
    GPtrArray *entries = entries_new();
    execution_save(ex, entries);
    ex->events_saved = ex->events->len;
    ex->dirty = false;
    effects_journal(out, entries);
}

/* Ends. */

static bool ended_badly(const struct execution_step *step)
{
    return step->state > STEP_STATE_SKIPPED;
}

bool step_asks(const struct execution_step *step)
{
    return ended_badly(step) && step->on_failure == ON_FAILURE_ASK && !step->passed_over;
}

static void take_late(const struct engine *engine, struct execution *ex, const GPtrArray *names)
{
    for (guint i = 0; i < names->len; i++) {
        const char *name = names->pdata[i];
        const char *kind = world_agent_kind(engine->resolved->world, name);
        g_autofree char *who = g_strdup_printf("%s %s", kind != NULL ? kind : "nameserver", name);
        names_add(ex->late, who);
    }
}

void execution_end(struct engine *engine, struct execution *ex, enum execution_state state, const char *error_text)
{
    ex->state = state;
    ex->ended_us = engine_wall_us(engine);
    if (error_text != ex->error) {
        g_free(ex->error);
        ex->error = g_strdup(error_text);
    }
    for (guint i = 0; i < ex->steps->len; i++) {
        const struct execution_step *step = ex->steps->pdata[i];
        if (step->kind == STEP_WAIT && step->state == STEP_STATE_TIMED_OUT)
            take_late(engine, ex, step->stragglers);
    }
    g_autofree char *unproven =
        ex->unproven > 0 ? g_strdup_printf(", %u %s unproven", ex->unproven, ex->unproven == 1 ? "policy" : "policies")
                         : g_strdup("");
    execution_note(ex, ex->ended_us, NULL, "%s%s%s%s", execution_state_name(state), unproven,
                   error_text != NULL ? ": " : "", error_text != NULL ? error_text : "");
}

void step_end(struct engine *engine, struct execution *ex, struct execution_step *step, enum step_state state,
              const char *text)
{
    if (state == STEP_STATE_SUCCEEDED && step->post != NULL && !step->posting) {
        step->posting = true;
        step->state = STEP_STATE_RUNNING;
        step->since_us = engine->now_us;
        execution_step_text(ex, step, engine_wall_us(engine), "%s", text);
        return;
    }
    step->state = state;
    step->ended_us = engine_wall_us(engine);
    ex->dirty = true;
    execution_step_text(ex, step, step->ended_us, "%s", text);
    if (step_asks(step))
        execution_note(ex, step->ended_us, step->name,
                       "asks: resume tries it again, skip goes on without it, abort sets back");
    if (ended_badly(step) && ex->error == NULL)
        ex->error = g_strdup_printf("%s: %s", step->name, text);
}

bool step_timed_out(const struct engine *engine, const struct execution_step *step)
{
    return engine->now_us - step->since_us >= step->timeout_us;
}

/* check */

static bool look_check(struct engine *engine, struct execution *ex, struct execution_step *step, struct effects *out)
{
    (void)out;
    g_autofree char *text = NULL;
    enum check_result result = check_word(engine, ex, step->argument, &text);
    if (result == CHECK_WAITS && !step_timed_out(engine, step)) {
        execution_step_text(ex, step, engine_wall_us(engine), "%s", text);
        return false;
    }
    step_end(engine, ex, step, result == CHECK_HOLDS ? STEP_STATE_SUCCEEDED : STEP_STATE_REFUSED, text);
    return true;
}

/* set: intent, controls under a key, outcome. */

static char *set_key(const struct execution *ex, const struct execution_step *step, unsigned stage)
{
    return stage == 0 ? g_strdup_printf("%s/%s/set", ex->id, step->name)
                      : g_strdup_printf("%s/%s/set-%u", ex->id, step->name, stage);
}

static bool is_intent(const struct execution_write *write, const struct execution_step *step)
{
    return write->generation == 0 && strcmp(write->step, step->name) == 0;
}

unsigned step_intended_stage(const struct execution *ex, const struct execution_step *step)
{
    for (guint i = 0; i < ex->writes->len; i++) {
        const struct execution_write *write = ex->writes->pdata[i];
        if (is_intent(write, step))
            return write->stage;
    }
    return 0;
}

static bool has_intent(const struct execution *ex, const struct execution_step *step)
{
    for (guint i = 0; i < ex->writes->len; i++)
        if (is_intent(ex->writes->pdata[i], step))
            return true;
    return false;
}

/* Times are kept by the execution and by the one that it is a part of. */
static void note_time(struct engine *engine, struct execution *ex, enum step_kind kind)
{
    for (; ex != NULL; ex = engine_find(engine, ex->parent)) {
        int64_t since_us = engine_wall_us(engine) - ex->started_us;
        int64_t executed_us = MAX(ex->execute_us, 0), converged_us = MAX(ex->converge_us, 0);
        if (kind == STEP_SET)
            ex->execute_us = since_us;
        else if (kind == STEP_WAIT)
            ex->converge_us = MAX(since_us - executed_us, 0);
        else
            ex->recover_us = MAX(since_us - executed_us - converged_us, 0);
        ex->dirty = true;
    }
}

void note_converged(struct engine *engine, struct execution *ex)
{
    note_time(engine, ex, STEP_WAIT);
}

static void set_outcome(struct engine *engine, struct execution *ex, struct execution_step *step, unsigned stage,
                        uint64_t generation, struct effects *out)
{
    g_autoptr(GString) text = g_string_new(NULL);
    g_string_append_printf(text, "generation %" G_GUINT64_FORMAT ":", generation);
    for (guint i = 0; i < ex->writes->len; i++) {
        struct execution_write *write = ex->writes->pdata[i];
        if (!is_intent(write, step))
            continue;
        write->generation = generation;
        g_string_append_printf(text, " %s/%s %s", lever_class(write->lever)->name, write->object, write->after);
    }
    ex->generation = MAX(ex->generation, generation);
    note_time(engine, ex, STEP_SET);
    if (stage == 0)
        step_end(engine, ex, step, STEP_STATE_SUCCEEDED, text->str);
    else
        ramp_written(engine, ex, step, stage, text->str);
    execution_flush(engine, ex, out);
}

/* What is still to be written: a lever that someone else has moved since the start is his. */
static GArray *set_moves(struct engine *engine, struct execution *ex, struct execution_step *step, unsigned stage)
{
    GArray *moves = moves_new();
    for (guint i = 0; i < step->sets->len; i++) {
        const struct execution_set *set = &g_array_index(step->sets, struct execution_set, i);
        if (set->stage != stage)
            continue;
        const struct control *control = controls_get(engine->resolved->world->controls, set->lever, set->object);
        struct execution *writer = control == NULL ? NULL : engine_find(engine, control->execution);
        bool ours = writer != NULL && execution_root(engine, writer) == execution_root(engine, ex);
        if (control == NULL || control->revision == set->revision || ours) {
            moves_add(moves, set->lever, set->object, set->value);
            continue;
        }
        g_autofree char *lever = lever_text(set->lever, set->object);
        execution_note(ex, engine_wall_us(engine), step->name,
                       "%s was moved by %s to %s (generation %" G_GUINT64_FORMAT "): left as it is", lever,
                       control->actor, control->value, control->revision);
    }
    return moves;
}

static void set_intend(struct engine *engine, struct execution *ex, struct execution_step *step, unsigned stage,
                       const GArray *moves, const struct resolved *draft, struct effects *out)
{
    for (guint i = ex->writes->len; i > 0; i--) /* of an intent that came to nothing */
        if (is_intent(ex->writes->pdata[i - 1], step))
            g_ptr_array_remove_index(ex->writes, i - 1);
    for (guint i = 0; i < moves->len; i++) {
        const struct move *move = &g_array_index(moves, struct move, i);
        struct execution_write *write = g_new0(struct execution_write, 1);
        write->lever = move->lever;
        write->object = g_strdup(move->object);
        write->before = g_strdup(controls_value(engine->resolved->world->controls, move->lever, move->object));
        write->after = g_strdup(move->value);
        write->step = g_strdup(step->name);
        write->stage = stage;
        g_ptr_array_add(ex->writes, write);
    }
    proof_note_changes(engine->resolved, draft, ex->zones, ex->policies);
    step->state = STEP_STATE_RUNNING;
    ex->dirty = true;
    /* With what the parents have found so far: it is not to be judged again behind what is written here. */
    execution_flush_family(engine, execution_root(engine, ex), NULL, out);
}

/* Takes draft. */
static void set_commit(struct engine *engine, struct execution *ex, struct execution_step *step, unsigned stage,
                       const GArray *moves, struct resolved *draft, const char *key, struct effects *out)
{
    GPtrArray *entries = entries_new();
    entries_add_moves(entries, moves, draft);
    for (guint i = 0; i < moves->len; i++) {
        const struct move *move = &g_array_index(moves, struct move, i);
        g_autofree char *lever = lever_text(move->lever, move->object);
        struct audit audit = {.actor = ex->actor,
                              .reason = ex->reason,
                              .what = "plan set",
                              .object = lever,
                              .before = controls_value(engine->resolved->world->controls, move->lever, move->object),
                              .after = move->value,
                              .execution = ex->id,
                              .overrides = execution_overrides(engine, ex),
                              .generation = draft->world->stamp.generation};
        engine_audit(engine, entries, &audit);
    }
    bool bug = (engine->config.bug & ENGINE_BUG_NO_IDEMPOTENCY_KEY) != 0;
    engine_commit(engine, draft, entries, bug ? NULL : key, out);
    set_outcome(engine, ex, step, stage, engine->generation, out);
}

/* At the moment of the write: what would move, and may it? True: yes. */
static bool set_allowed(struct engine *engine, struct execution *ex, struct execution_step *step,
                        const struct resolved *draft)
{
    sb_auto(forecast) fc = forecast(engine->resolved, draft, engine->observed, engine->now_us);
    g_autoptr(GPtrArray) refusals =
        engine_judge(engine, draft, fc, NULL, ex->automatic, execution_overrides(engine, ex));
    g_autoptr(GError) error = NULL;
    if (refusals->len == 0)
        return true;
    refusals_error(refusals, &error);
    step_end(engine, ex, step, STEP_STATE_REFUSED, error->message);
    return false;
}

static guint sets_of_stage(const struct execution_step *step, unsigned stage)
{
    guint n = 0;
    for (guint i = 0; i < step->sets->len; i++)
        n += g_array_index(step->sets, struct execution_set, i).stage == stage;
    return n;
}

bool step_write(struct engine *engine, struct execution *ex, struct execution_step *step, unsigned stage,
                struct effects *out)
{
    bool intended = ex->resumed && has_intent(ex, step);
    g_autofree char *key = set_key(ex, step, stage);
    const uint64_t *done = g_hash_table_lookup(engine->keys, key);
    if (done != NULL) {
        set_outcome(engine, ex, step, stage, *done, out);
        return true;
    }
    g_autoptr(GArray) moves = set_moves(engine, ex, step, stage);
    if (stage > 0 && moves->len < sets_of_stage(step, stage)) {
        step_end(engine, ex, step, STEP_STATE_FAILED, "a split was moved by someone else on the way");
        return true;
    }
    if (moves->len == 0) {
        step_end(engine, ex, step, STEP_STATE_SUCCEEDED, "nothing to set");
        return true;
    }
    struct resolved *draft = engine_draft_moves(engine, moves, ex->actor, ex->id, key);
    if (!intended && !set_allowed(engine, ex, step, draft)) { /* an intent was allowed before it was written */
        resolved_unref(draft);
        return true;
    }
    set_intend(engine, ex, step, stage, moves, draft, out);
    set_commit(engine, ex, step, stage, moves, draft, key, out);
    return true;
}

static bool look_set(struct engine *engine, struct execution *ex, struct execution_step *step, struct effects *out)
{
    return step_write(engine, ex, step, 0, out);
}

/* wait */

static void take_stragglers(struct execution_step *step, const GPtrArray *names)
{
    g_ptr_array_set_size(step->stragglers, 0);
    for (guint i = 0; i < names->len; i++)
        g_ptr_array_add(step->stragglers, g_strdup(names->pdata[i]));
}

static gpointer copy_text(gconstpointer text, gpointer data)
{
    (void)data;
    return g_strdup(text);
}

static void proof_dns(const struct engine *engine, const struct execution *ex, uint64_t generation, struct proof *out)
{
    proof_servers(engine, generation, ex->zones, out);
}

static void proof_eastwest(const struct engine *engine, const struct execution *ex, uint64_t generation,
                           struct proof *out)
{
    proof_registries(engine, generation, ex->zones, out);
}

static void proof_tables(const struct engine *engine, const struct execution *ex, uint64_t generation,
                         struct proof *out)
{
    (void)ex;
    proof_edges(engine, generation, out);
}

static bool look_wait(struct engine *engine, struct execution *ex, struct execution_step *step, struct effects *out)
{
    (void)out;
    static const struct {
        const char *word;
        void (*look)(const struct engine *, const struct execution *, uint64_t, struct proof *);
    } kinds[] = {{"edges", proof_tables}, {"dns", proof_dns}, {"eastwest", proof_eastwest}};
    uint64_t generation = ex->generation != 0 ? ex->generation : engine->generation;
    g_autoptr(GPtrArray) missing = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GString) text = g_string_new(NULL);
    bool all = step->argument == NULL || strcmp(step->argument, "converged") == 0;
    for (size_t i = 0; i < G_N_ELEMENTS(kinds); i++) {
        struct proof proof;
        if (!all && strcmp(step->argument, kinds[i].word) != 0)
            continue;
        kinds[i].look(engine, ex, generation, &proof);
        if (proof.asked > 0 || kinds[i].look != proof_eastwest || !all)
            words_append(text, "; ", proof.text);
        g_ptr_array_extend(missing, proof.missing, copy_text, NULL);
        proof_clear(&proof);
    }
    take_stragglers(step, missing);
    if (missing->len == 0) {
        if (all || strcmp(step->argument, "edges") == 0)
            note_time(engine, ex, STEP_WAIT);
        step_end(engine, ex, step, STEP_STATE_SUCCEEDED, text->str);
    } else if (step_timed_out(engine, step)) {
        g_string_append_printf(text, ", not within %.1f s", (double)step->timeout_us / G_USEC_PER_SEC);
        step_end(engine, ex, step, STEP_STATE_TIMED_OUT, text->str);
    } else {
        execution_step_text(ex, step, engine_wall_us(engine), "%s", text->str);
        return false;
    }
    return true;
}

/* verify */

static char *share_text(const struct share *share)
{
    GString *text = g_string_new(NULL);
    g_autofree char *unproven = words_list(share->unproven, 8), *wrong = words_list(share->contradicted, 8);
    g_string_printf(text, "%u %s proved by counters, %u by probe", share->by_counters,
                    share->by_counters == 1 ? "policy" : "policies", share->by_probe);
    if (share->contradicted->len > 0)
        g_string_append_printf(text, ", %u contradicted: %s", share->contradicted->len, wrong);
    if (share->unproven->len > 0)
        g_string_append_printf(text, ", %u unproven: %s", share->unproven->len, unproven);
    return g_string_free(text, FALSE);
}

static bool look_verify(struct engine *engine, struct execution *ex, struct execution_step *step, struct effects *out)
{
    if (step->spec != NULL)
        return look_transactions(engine, ex, step, out);
    uint64_t generation = ex->generation != 0 ? ex->generation : engine->generation;
    int64_t elapsed_us = engine->now_us - step->since_us;
    bool waited = elapsed_us >= MIN(EVIDENCE_WAIT_US, step->timeout_us);
    struct share share;
    proof_share(engine, generation, ex->policies, waited, &share);
    g_autofree char *text = share_text(&share);
    bool ended = true;
    if (share.contradicted->len == 0 && (waited || (share.unproven->len == 0 && !share.counting))) {
        take_stragglers(step, share.unproven);
        ex->unproven += share.by_nothing;
        note_time(engine, ex, STEP_VERIFY);
        step_end(engine, ex, step, STEP_STATE_SUCCEEDED, text);
    } else if (step_timed_out(engine, step)) {
        take_stragglers(step, share.contradicted);
        step_end(engine, ex, step, STEP_STATE_TIMED_OUT, text);
    } else {
        ended = false;
    }
    share_clear(&share);
    return ended;
}

/* run: its time is that of the child's steps. */

static const struct execution_step *failed_for_rollback(const struct execution *ex)
{
    for (guint i = 0; i < ex->steps->len; i++) {
        const struct execution_step *step = ex->steps->pdata[i];
        if (ended_badly(step) && step->on_failure == ON_FAILURE_ROLLBACK)
            return step;
    }
    return NULL;
}

static bool look_run(struct engine *engine, struct execution *ex, struct execution_step *step, struct effects *out)
{
    struct execution *child = engine_find(engine, step->child);
    if (child == NULL) {
        step_end(engine, ex, step, STEP_STATE_FAILED, "its execution is not in the journal");
        return true;
    }
    if (child->state == EXECUTION_PENDING) {
        child->state = EXECUTION_RUNNING;
        child->started_us = engine_wall_us(engine);
        child->dirty = true;
    }
    execution_advance(engine, child, out);
    if (!execution_ended(child))
        return false;
    ex->generation = MAX(ex->generation, child->generation);
    ex->unproven += child->unproven;
    for (guint i = 0; i < child->zones->len; i++)
        names_add(ex->zones, child->zones->pdata[i]);
    for (guint i = 0; i < child->policies->len; i++)
        names_add(ex->policies, child->policies->pdata[i]);
    enum step_state state = child->state == EXECUTION_SUCCEEDED    ? STEP_STATE_SUCCEEDED
                            : child->state == EXECUTION_INCOMPLETE ? STEP_STATE_TIMED_OUT
                            : child->state == EXECUTION_REFUSED    ? STEP_STATE_REFUSED
                                                                   : STEP_STATE_FAILED;
    g_autofree char *text = g_strdup_printf("%s %s%s%s", child->id, execution_state_name(child->state),
                                            child->error != NULL ? ": " : "", child->error != NULL ? child->error : "");
    /* A child that is to be set back is set back by the root, for only that has all writes; who says more than stop in
     * the parent's plan has said what is to come of it. */
    if (step->on_failure == ON_FAILURE_STOP && failed_for_rollback(child) != NULL)
        step->on_failure = ON_FAILURE_ROLLBACK;
    step_end(engine, ex, step, state, text);
    return true;
}

/* The whole. */

static bool stops(const struct execution_step *step)
{
    return ended_badly(step) && (step->on_failure == ON_FAILURE_STOP || step->on_failure == ON_FAILURE_ROLLBACK);
}

enum needs { NEEDS_WAIT, NEEDS_MET, NEEDS_BROKEN };

static enum needs step_needs(const struct execution *ex, const struct execution_step *step)
{
    enum needs needs = NEEDS_MET;
    for (char **name = step->needs; name != NULL && *name != NULL; name++) {
        const struct execution_step *need = execution_step(ex, *name);
        if (need != NULL && need->passed_over)
            continue;
        if (need == NULL || need->state == STEP_STATE_SKIPPED || stops(need))
            return NEEDS_BROKEN;
        if (need->state <= STEP_STATE_RUNNING || step_asks(need))
            needs = NEEDS_WAIT;
    }
    return needs;
}

static bool stopping(const struct execution *ex)
{
    for (guint i = 0; i < ex->steps->len; i++) {
        if (stops(ex->steps->pdata[i]))
            return true;
    }
    return false;
}

/* After a restart nothing has been observed yet; a moment later there are reports to judge by, and for a ramp to start
 * from. */
static bool settling(const struct engine *engine, const struct execution *ex, const struct execution_step *step)
{
    return ex->resumed && (step->kind == STEP_SET || step->kind == STEP_RAMP) && engine_blind(engine) &&
           engine->now_us - engine->started_us < SETTLE_US;
}

static bool look_post(struct engine *engine, struct execution *ex, struct execution_step *step)
{
    g_autofree char *text = NULL;
    const char *word = NULL;
    enum check_result result = checks_hold(engine, ex, step->post, &word, &text);
    if (result == CHECK_HOLDS) {
        g_autofree char *said = g_strdup(step->text);
        step_end(engine, ex, step, STEP_STATE_SUCCEEDED, said);
        return true;
    }
    if (result == CHECK_WAITS && !step_timed_out(engine, step))
        return false;
    g_autofree char *whole = g_strdup_printf("post-condition %s: %s", word, text);
    step_end(engine, ex, step, result == CHECK_WAITS ? STEP_STATE_TIMED_OUT : STEP_STATE_FAILED, whole);
    return true;
}

static bool look(struct engine *engine, struct execution *ex, struct execution_step *step, struct effects *out)
{
    static bool (*const looks[STEP_KINDS])(struct engine *, struct execution *, struct execution_step *,
                                           struct effects *) = {
        [STEP_CHECK] = look_check,   [STEP_SET] = look_set,         [STEP_RAMP] = look_ramp, [STEP_WAIT] = look_wait,
        [STEP_VERIFY] = look_verify, [STEP_APPROVE] = look_approve, [STEP_RUN] = look_run,   [STEP_HOOK] = look_hook,
        [STEP_NOTIFY] = look_notify, [STEP_WARM] = look_warm,
    };
    return step->posting ? look_post(engine, ex, step) : looks[step->kind](engine, ex, step, out);
}

/* May it begin? A pre-condition that does not hold yet has the step's time to come to hold. True: something changed. */
static bool look_pre(struct engine *engine, struct execution *ex, struct execution_step *step, bool *holds)
{
    g_autofree char *text = NULL;
    const char *word = NULL;
    bool first = step->started_us == 0;
    if (first) {
        step->started_us = engine_wall_us(engine);
        step->since_us = engine->now_us;
        ex->dirty = true;
    }
    enum check_result result = checks_hold(engine, ex, step->pre, &word, &text);
    *holds = result == CHECK_HOLDS;
    if (*holds || (result == CHECK_WAITS && !step_timed_out(engine, step)))
        return first;
    g_autofree char *whole = g_strdup_printf("pre-condition %s: %s", word, text);
    step_end(engine, ex, step, STEP_STATE_REFUSED, whole);
    return true;
}

/* True if something changed. */
static bool turn(struct engine *engine, struct execution *ex, struct execution_step *step, struct effects *out)
{
    if (step->state == STEP_STATE_RUNNING)
        return look(engine, ex, step, out);
    if (step->state != STEP_STATE_PENDING)
        return false;
    enum needs needs = step_needs(ex, step);
    if (needs == NEEDS_BROKEN || stopping(ex)) {
        step->state = STEP_STATE_SKIPPED;
        ex->dirty = true;
        return true;
    }
    if (needs == NEEDS_WAIT || settling(engine, ex, step) || execution_is_paused(engine, ex))
        return false;
    bool holds, changed = look_pre(engine, ex, step, &holds);
    if (!holds)
        return changed;
    step->started_us = engine_wall_us(engine);
    step->since_us = engine->now_us;
    ex->dirty = true;
    if (step->kind != STEP_SET) /* a set is running when its intent is written */
        step->state = STEP_STATE_RUNNING;
    look(engine, ex, step, out);
    return true;
}

static enum execution_state result(const struct execution *ex)
{
    enum execution_state state = EXECUTION_SUCCEEDED;
    for (guint i = 0; i < ex->steps->len; i++) {
        const struct execution_step *step = ex->steps->pdata[i];
        if (step->passed_over)
            continue;
        if (step->state == STEP_STATE_REFUSED)
            return ex->generation == 0 ? EXECUTION_REFUSED : EXECUTION_FAILED; /* of children's writes too */
        if (step->state == STEP_STATE_FAILED || step->state == STEP_STATE_ABORTED)
            return EXECUTION_FAILED;
        if (step->state == STEP_STATE_TIMED_OUT)
            state = EXECUTION_INCOMPLETE;
    }
    return state;
}

static void finish(struct engine *engine, struct execution *ex, struct effects *out)
{
    for (guint i = 0; i < ex->steps->len; i++)
        if (((struct execution_step *)ex->steps->pdata[i])->state <= STEP_STATE_RUNNING ||
            step_asks(ex->steps->pdata[i]))
            return;
    g_autoptr(GError) error = NULL;
    if (ex->parent == NULL && failed_for_rollback(ex) != NULL) {
        if (execution_undo(engine, ex, NULL, out, &error))
            return;
        execution_note(ex, engine_wall_us(engine), NULL, "rollback: %s", error->message);
    }
    g_autofree char *text = g_strdup(ex->error);
    execution_end(engine, ex, result(ex), text);
}

/* Levers that were set back are proved by the edges, or it says by which they are not; hooks answer for themselves. */
static void look_undo(struct engine *engine, struct execution *ex, struct effects *out)
{
    bool calls = hooks_undone(engine, ex, out), levers = ex->undo_generation == 0;
    struct proof proof;
    if (!levers) {
        proof_edges(engine, ex->undo_generation, &proof);
        levers = proof.missing->len == 0 || engine->now_us - ex->undo_since_us >= UNDO_WAIT_US;
        if (calls && levers) {
            execution_note(ex, engine_wall_us(engine), NULL, "undo: %s", proof.text);
            take_late(engine, ex, proof.missing);
        }
        proof_clear(&proof);
    }
    if (calls && levers)
        execution_end(engine, ex, EXECUTION_ABORTED, ex->error);
    execution_flush_family(engine, ex, NULL, out);
}

void execution_advance(struct engine *engine, struct execution *ex, struct effects *out)
{
    bool moved = ex->state == EXECUTION_RUNNING;
    while (moved && ex->state == EXECUTION_RUNNING) {
        moved = false;
        for (guint i = 0; i < ex->steps->len; i++)
            moved |= turn(engine, ex, ex->steps->pdata[i], out);
    }
    if (ex->state == EXECUTION_RUNNING)
        finish(engine, ex, out);
    pace_look(engine, ex);
    if (ex->state == EXECUTION_ABORTING)
        look_undo(engine, ex, out);
    execution_flush(engine, ex, out);
}

int64_t execution_next_us(const struct engine *engine, const struct execution *ex)
{
    int64_t next_us = pace_next_us(engine, ex);
    int64_t proof_us = ex->undo_since_us + UNDO_WAIT_US;
    if (ex->state == EXECUTION_ABORTING)
        return MIN(hooks_undo_next_us(engine, ex), proof_us > engine->now_us ? proof_us : INT64_MAX);
    for (guint i = 0; ex->state == EXECUTION_RUNNING && i < ex->steps->len; i++) {
        const struct execution_step *step = ex->steps->pdata[i];
        bool timed =
            step->state == STEP_STATE_RUNNING && (step->kind == STEP_CHECK || step->kind == STEP_VERIFY ||
                                                  step->kind == STEP_WARM || step->kind == STEP_RAMP || step->posting);
        timed |= step->state == STEP_STATE_PENDING && step->started_us != 0; /* waits for what is before it */
        if (timed || (step->state == STEP_STATE_PENDING && ex->resumed && engine_blind(engine)))
            next_us = MIN(next_us, engine->now_us + LOOK_US);
        /* A ramp's stage may last longer than that, and is looked at often enough. */
        if (step->state == STEP_STATE_RUNNING && step->kind != STEP_RUN && step->kind != STEP_RAMP)
            next_us = MIN(next_us, step->since_us + step->timeout_us);
        next_us = MIN(next_us, hook_next_us(step));
    }
    return next_us;
}
