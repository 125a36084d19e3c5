/* engine_hook.c: steps that tell others: notify, and hook with its undo.
 *
 * A message is an entry of the journal, written with the step's end: whoever delivers webhooks reads it there, and the
 * plan waits for nobody. A call is an effect. That it will be made is journalled before, its outcome comes back as
 * engine_call_report, and what nobody answered for, because the server ended meanwhile, is asked again under the same
 * key, which the receiver knows it by. Undo calls are made one after the other, the newest hook's first; one that may
 * still be under way is waited for before it is undone.
 *
 *     call   (none) --intent--> called --refused by the receiver (4xx)--> (none)
 *     undo   no --abort, rollback--> intended --> yes | left (refused, or no answer in time: a person is told)
 */
#include "server/interlocking/engine_internal.h"

#include "core/error.h"
#include "schema/jsondoc.h"
#include "schema/template.h"

#include <string.h>

#define CALL_WAIT_US (10 * G_USEC_PER_SEC) /* for one answer */
#define AGAIN_FIRST_US G_USEC_PER_SEC
#define AGAIN_LAST_US (30 * G_USEC_PER_SEC)

/* ---- what is frozen ---- */

/* What the words of a plan's texts stand for (plan.h). */
static json_t *facts_of(const struct execution *ex, const struct execution_step *step)
{
    json_t *facts = ex->params != NULL ? json_copy(ex->params) : json_object();
    json_object_update_new(facts,
                           json_pack("{s:s, s:s, s:s, s:s*, s:s, s:s*}", "plan", ex->plan, "execution", ex->id, "step",
                                     step->name, "target", ex->target, "actor", ex->actor, "reason", ex->reason));
    return facts;
}

static bool fill_call(json_t *call, const json_t *facts, const struct execution_step *step, GError **error)
{
    static const char *const members[] = {"url", "body", "is"};
    for (size_t i = 0; i < G_N_ELEMENTS(members); i++)
        if (json_object_get(call, members[i]) != NULL)
            json_object_set_new(call, members[i], template_fill_in(json_object_get(call, members[i]), facts));
    const char *url = json_member_text(call, "url");
    if (url == NULL || text_valid(FIELD_URL, url))
        return true;
    g_autofree char *found = text_quote(url);
    g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "step %s: url: found %s, expected %s", step->name, found,
                text_expected(FIELD_URL));
    return false;
}

bool hook_freeze(const struct execution *ex, struct execution_step *step, GError **error)
{
    json_t *facts = facts_of(ex, step), *undo = json_object_get(step->spec, "undo");
    bool ok = fill_call(step->spec, facts, step, error) && (undo == NULL || fill_call(undo, facts, step, error));
    json_decref(facts);
    return ok;
}

char *hook_would(const struct execution *ex, const struct execution_step *step)
{
    const json_t *undo = json_object_get(step->spec, "undo");
    if (step->kind == STEP_NOTIFY)
        return g_strdup_printf("would tell %s: %s", json_member_text(step->spec, "to"),
                               json_member_text(step->spec, "text"));
    char *body = json_dumps(json_object_get(step->spec, "body"), JSON_COMPACT);
    char *text = g_strdup_printf(
        "would call %s %s%s%s, as %s/%s/call%s%s%s%s", json_member_text(step->spec, "method"),
        json_member_text(step->spec, "url"), body != NULL ? " with " : "", body != NULL ? body : "", ex->id, step->name,
        undo != NULL ? "; undone by " : "; nothing undoes it", undo != NULL ? json_member_text(undo, "method") : "",
        undo != NULL ? " " : "", undo != NULL ? json_member_text(undo, "url") : "");
    free(body);
    return text;
}

/* ---- notify ---- */

bool look_notify(struct engine *engine, struct execution *ex, struct execution_step *step, struct effects *out)
{
    const char *to = json_member_text(step->spec, "to");
    if (inventory_get(engine->resolved->world->inventory, OBJECT_webhook, to) == NULL) {
        g_autofree char *text = g_strdup_printf("nobody was told: there is no webhook %s any more", to);
        step_end(engine, ex, step, STEP_STATE_FAILED, text);
        return true;
    }
    g_autofree char *generation = g_strdup_printf("%" G_GUINT64_FORMAT, ex->generation),
                    *id = g_strdup_printf("%s/%s", ex->id, step->name), *said = NULL, *text = NULL;
    json_t *facts = facts_of(ex, step);
    json_object_update_new(facts, json_pack("{s:s*, s:s}", "error", ex->error, "generation", generation));
    said = template_fill(json_member_text(step->spec, "text"), facts);
    json_object_update_new(facts, json_pack("{s:s, s:s}", "webhook", to, "text", said));
    text = g_strdup_printf("handed over to %s: %s", to, said);
    step_end(engine, ex, step, STEP_STATE_SUCCEEDED, text);
    GPtrArray *entries = entries_new();
    execution_save(ex, entries);
    ex->events_saved = ex->events->len;
    ex->dirty = false;
    entries_add(entries, "message", id, NULL, facts);
    effects_journal(out, entries);
    return true;
}

/* ---- calls ---- */

static char *call_id(const struct execution *ex, const struct execution_step *step, const char *what)
{
    return g_strdup_printf("%s/%s/%s", ex->id, step->name, what);
}

/* The call goes out behind the intent. `left_us`: of the step's time. */
static void send_call(const struct execution *ex, struct execution_step *step, const char *what, int64_t left_us,
                      struct effects *out)
{
    const json_t *call = strcmp(what, "undo") == 0 ? json_object_get(step->spec, "undo") : step->spec;
    g_autofree char *id = call_id(ex, step, what);
    step->calling = true;
    effects_call(out, json_pack("{s:s, s:s, s:s, s:s, s:O*, s:O*, s:s*, s:I}", "id", id, "key",
                                json_member_text(step->spec, "key"), "method", json_member_text(call, "method"), "url",
                                json_member_text(call, "url"), "headers", json_object_get(call, "headers"), "body",
                                json_object_get(call, "body"), "member", json_member_text(call, "member"), "timeout_us",
                                (json_int_t)CLAMP(left_us, AGAIN_FIRST_US, CALL_WAIT_US)));
}

static void ask_again(const struct engine *engine, struct execution_step *step)
{
    step->again_us = engine->now_us + MIN(AGAIN_FIRST_US << MIN(step->tries, 5u), AGAIN_LAST_US);
    step->tries++;
}

/* What an answer means. */
enum answer {
    ANSWER_RIGHT,
    ANSWER_NOT_YET, /* a GET shows something else than is waited for */
    ANSWER_WRONG,   /* it was done, and is not what was expected */
    ANSWER_REFUSED, /* nothing was done */
    ANSWER_UNKNOWN, /* perhaps it was done */
};

static bool status_expected(const json_t *call, json_int_t status)
{
    const json_t *list = json_object_get(call, "status");
    size_t i;
    json_t *number;
    json_array_foreach (list, i, number)
        if (json_integer_value(number) == status)
            return true;
    return list == NULL && status >= 200 && status < 300;
}

/* 408, 425 and 429 say "later"; a redirect is not followed, so nothing was done. */
static enum answer judge_status(json_int_t status)
{
    bool later = status == 408 || status == 425 || status == 429;
    return status < 300 ? ANSWER_WRONG : status < 500 && !later ? ANSWER_REFUSED : ANSWER_UNKNOWN;
}

/* *text: for people. */
static enum answer judge(const json_t *call, const json_t *result, char **text)
{
    const char *error = json_member_text(result, "error"), *is = json_member_text(call, "is"),
               *value = json_member_text(result, "value");
    const char *method = json_member_text(call, "method"), *url = json_member_text(call, "url");
    json_int_t status = json_integer_value(json_object_get(result, "status"));
    if (error != NULL) {
        *text = g_strdup_printf("%s %s: %s", method, url, error);
        return json_is_true(json_object_get(result, "refused")) ? ANSWER_REFUSED : ANSWER_UNKNOWN;
    }
    if (!status_expected(call, status)) {
        *text = g_strdup_printf("%s %s: found status %" JSON_INTEGER_FORMAT ", expected %s", method, url, status,
                                json_object_get(call, "status") != NULL ? "one of those listed" : "2xx");
        return judge_status(status);
    }
    if (is != NULL && g_strcmp0(value, is) != 0) {
        g_autofree char *found = text_quote(value);
        *text = g_strdup_printf("%s %s: %s: found %s, expected \"%s\"", method, url, json_member_text(call, "member"),
                                found, is);
        return strcmp(method, "GET") == 0 ? ANSWER_NOT_YET : ANSWER_WRONG;
    }
    *text = g_strdup_printf("%s %s: %" JSON_INTEGER_FORMAT "%s%s%s%s", method, url, status, is != NULL ? ", " : "",
                            is != NULL ? json_member_text(call, "member") : "", is != NULL ? " is " : "",
                            is != NULL ? is : "");
    return ANSWER_RIGHT;
}

static bool may_repeat(const struct execution_step *step)
{
    return json_is_true(json_object_get(step->spec, "repeat"));
}

/* In this reign nobody has asked yet, so it was another one, which ended before it had the answer. */
static bool is_unknown(const struct execution_step *step, bool called)
{
    return called && step->tries == 0 && !may_repeat(step);
}

#define UNKNOWN_TEXT "the server ended while it was asked: whether it was done is not known"

bool look_hook(struct engine *engine, struct execution *ex, struct execution_step *step, struct effects *out)
{
    if (step_timed_out(engine, step)) {
        g_autofree char *text = g_strdup_printf("%s, not within %.1f s", step->text, (double)step->timeout_us / 1e6);
        step_end(engine, ex, step, STEP_STATE_TIMED_OUT, text);
        return true;
    }
    if (step->calling || engine->now_us < step->again_us)
        return false;
    if (is_unknown(step, step->called)) {
        step_end(engine, ex, step, STEP_STATE_FAILED, UNKNOWN_TEXT ", and it is not to be repeated");
        return true;
    }
    if (!step->called) {
        step->called = true;
        execution_step_text(ex, step, engine_wall_us(engine), "asking %s %s", json_member_text(step->spec, "method"),
                            json_member_text(step->spec, "url"));
        ex->dirty = true;
        execution_flush_family(engine, execution_root(engine, ex), NULL, out);
    }
    send_call(ex, step, "call", step->since_us + step->timeout_us - engine->now_us, out);
    return false;
}

static void take_answer(struct engine *engine, struct execution *ex, struct execution_step *step, const json_t *result)
{
    g_autofree char *text = NULL;
    enum answer answer = judge(step->spec, result, &text);
    bool again = answer == ANSWER_NOT_YET || (answer == ANSWER_UNKNOWN && may_repeat(step));
    if (answer == ANSWER_REFUSED) { /* there is nothing to undo */
        step->called = false;
        step->undo = WRITE_STANDS;
        ex->dirty = true;
    }
    if (step->state != STEP_STATE_RUNNING || step->posting) {
        return; /* it was aborted or skipped meanwhile */
    } else if (answer == ANSWER_RIGHT) {
        step_end(engine, ex, step, STEP_STATE_SUCCEEDED, text);
    } else if (again) {
        execution_step_text(ex, step, engine_wall_us(engine), "%s; it is asked again", text);
        ask_again(engine, step);
    } else {
        g_autofree char *whole =
            answer == ANSWER_UNKNOWN ? g_strconcat(text, ": whether it was done is not known", NULL) : g_strdup(text);
        step_end(engine, ex, step, STEP_STATE_FAILED, whole);
    }
}

/* ---- undo ---- */

static gint newest_first(gconstpointer a, gconstpointer b)
{
    const struct execution_step *x = *(struct execution_step *const *)a, *y = *(struct execution_step *const *)b;
    return x->started_us < y->started_us ? 1 : x->started_us > y->started_us ? -1 : 0;
}

/* Hooks of the family whose undo stands so; of those that began in the same moment the one written last first. */
static GPtrArray *hooks_of(const struct engine *engine, const struct execution *root, enum write_undo undo)
{
    GPtrArray *hooks = g_ptr_array_new();
    g_autoptr(GPtrArray) family = execution_family(engine, (struct execution *)(uintptr_t)root);
    for (guint i = family->len; i-- > 0;) {
        const struct execution *ex = family->pdata[i];
        for (guint j = ex->steps->len; j-- > 0;) {
            struct execution_step *step = ex->steps->pdata[j];
            if (step->kind == STEP_HOOK && step->called && step->undo == undo)
                g_ptr_array_add(hooks, step);
        }
    }
    g_ptr_array_sort(hooks, newest_first);
    return hooks;
}

static struct execution *owner_of(const struct engine *engine, const struct execution_step *step)
{
    for (guint i = 0; i < engine->order->len; i++) {
        struct execution *ex = engine->order->pdata[i];
        if (g_ptr_array_find(ex->steps, step, NULL))
            return ex;
    }
    g_assert_not_reached();
}

unsigned hooks_to_undo(const struct engine *engine, struct execution *root)
{
    g_autoptr(GPtrArray) hooks = hooks_of(engine, root, WRITE_STANDS);
    unsigned n = 0;
    for (guint i = 0; i < hooks->len; i++)
        n += json_object_get(((const struct execution_step *)hooks->pdata[i])->spec, "undo") != NULL;
    return n;
}

unsigned hooks_undo(struct engine *engine, struct execution *root)
{
    g_autoptr(GPtrArray) hooks = hooks_of(engine, root, WRITE_STANDS);
    unsigned n = 0;
    for (guint i = 0; i < hooks->len; i++) {
        struct execution_step *step = hooks->pdata[i];
        bool can = json_object_get(step->spec, "undo") != NULL;
        step->undo = can ? WRITE_RESTORING : WRITE_LEFT;
        step->tries = 0;
        step->again_us = 0;
        owner_of(engine, step)->dirty = true;
        n += can;
        if (!can)
            execution_note(root, engine_wall_us(engine), step->name, "has no undo: what it asked for stands");
    }
    return n;
}

/* What became of an undo. */
enum undone {
    UNDONE,
    UNDONE_NOT,
    UNDONE_UNKNOWN, /* it was asked for, and no answer says that it was, or was not, done */
};

static void undo_end(struct engine *engine, struct execution *root, struct execution_step *step, enum undone undone,
                     const char *text)
{
    static const char *const advice[] = {"", ": it was not undone, do it by hand",
                                         ": perhaps it was not undone, look there"};
    enum write_undo undo = undone == UNDONE ? WRITE_RESTORED : WRITE_LEFT;
    step->undo = undo;
    step->calling = false;
    owner_of(engine, step)->dirty = root->dirty = true;
    execution_note(root, engine_wall_us(engine), step->name, "undo: %s%s", text, advice[undone]);
    if (undo != WRITE_LEFT)
        return;
    g_autofree char *before = root->error;
    root->error =
        g_strdup_printf("%s%s%s was %snot undone: %s", before != NULL ? before : "", before != NULL ? "; " : "",
                        step->name, undone == UNDONE_UNKNOWN ? "perhaps " : "", text);
}

/* Behind its intent, if it is to be asked for once only. */
static void send_undo(struct engine *engine, struct execution *root, struct execution_step *step, struct effects *out)
{
    struct execution *owner = owner_of(engine, step);
    if (!may_repeat(step) && !step->undo_called) {
        step->undo_called = owner->dirty = true;
        execution_flush_family(engine, root, NULL, out);
    }
    send_call(owner, step, "undo", step->since_us + step->timeout_us - engine->now_us, out);
}

bool hooks_undone(struct engine *engine, struct execution *root, struct effects *out)
{
    for (;;) {
        g_autoptr(GPtrArray) hooks = hooks_of(engine, root, WRITE_RESTORING);
        struct execution_step *step = hooks->len > 0 ? hooks->pdata[0] : NULL;
        if (step == NULL)
            return true;
        if (step->calling)
            return false;
        if (is_unknown(step, step->undo_called)) {
            undo_end(engine, root, step, UNDONE_UNKNOWN, UNKNOWN_TEXT);
            continue;
        }
        if (step->tries == 0 && step->again_us == 0) /* its time begins */
            step->since_us = step->again_us = engine->now_us;
        if (!step_timed_out(engine, step)) {
            if (engine->now_us < step->again_us)
                return false;
            send_undo(engine, root, step, out);
            return false;
        }
        g_autofree char *text = g_strdup_printf("no answer that helps within %.1f s", (double)step->timeout_us / 1e6);
        undo_end(engine, root, step, UNDONE_UNKNOWN, text);
    }
}

static void take_undo(struct engine *engine, struct execution *root, struct execution_step *step, const json_t *result)
{
    g_autofree char *text = NULL;
    enum answer answer = judge(json_object_get(step->spec, "undo"), result, &text);
    bool again = answer == ANSWER_NOT_YET || (answer == ANSWER_UNKNOWN && may_repeat(step));
    if (step->undo != WRITE_RESTORING)
        return;
    if (!again) {
        undo_end(engine, root, step,
                 answer == ANSWER_RIGHT     ? UNDONE
                 : answer == ANSWER_REFUSED ? UNDONE_NOT
                                            : UNDONE_UNKNOWN,
                 text);
        return;
    }
    if (step->tries == 0)
        execution_note(root, engine_wall_us(engine), step->name, "undo: %s; it is asked again", text);
    ask_again(engine, step);
}

/* ---- what comes back ---- */

/* "EXECUTION/STEP/call" -> the step that waits for it; NULL: none does. */
static struct execution_step *find_call(struct engine *engine, const char *id, struct execution **ex, bool *undo)
{
    g_auto(GStrv) words = g_strsplit(id != NULL ? id : "", "/", 3);
    if (g_strv_length(words) != 3 || (*ex = engine_find(engine, words[0])) == NULL)
        return NULL;
    struct execution_step *step = execution_step(*ex, words[1]);
    *undo = strcmp(words[2], "undo") == 0;
    return step != NULL && step->kind == STEP_HOOK && step->calling ? step : NULL;
}

void engine_call_report(struct engine *engine, const json_t *result, int64_t now_us, struct effects *out)
{
    struct execution *ex;
    bool undo;
    tell_call(engine, result, now_us);
    engine->now_us = now_us;
    struct execution_step *step =
        engine->reading ? NULL : find_call(engine, json_string_value(json_object_get(result, "id")), &ex, &undo);
    if (step == NULL)
        return;
    struct execution *root = execution_root(engine, ex);
    step->calling = false;
    if (undo)
        take_undo(engine, root, step, result);
    else
        take_answer(engine, ex, step, result);
    execution_flush_family(engine, root, NULL, out);
    execution_advance(engine, root, out);
}

int64_t hook_next_us(const struct execution_step *step)
{
    bool waits = step->kind == STEP_HOOK && step->state == STEP_STATE_RUNNING && !step->posting && !step->calling;
    return waits ? step->again_us : INT64_MAX;
}

int64_t hooks_undo_next_us(const struct engine *engine, const struct execution *root)
{
    g_autoptr(GPtrArray) hooks = hooks_of(engine, root, WRITE_RESTORING);
    const struct execution_step *step = hooks->len > 0 ? hooks->pdata[0] : NULL;
    return step == NULL || step->calling ? INT64_MAX : MIN(step->again_us, step->since_us + step->timeout_us);
}

bool hooks_undoing(const struct engine *engine, const struct execution *root)
{
    g_autoptr(GPtrArray) hooks = hooks_of(engine, root, WRITE_RESTORING);
    return hooks->len > 0;
}
