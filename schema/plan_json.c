/* plan_json.c: plans from JSON, with findings that name plan, step and line. */
#include "schema/plan_read.h"

#include "schema/field.h"
#include "schema/yamldoc.h"

#include <string.h>

#define STEPS_MAX 100
#define SETS_MAX 100
#define NOTES_MAX 20
#define TIMEOUT_MAX_US (24 * 3600 * (int64_t)G_USEC_PER_SEC)

/* ---- findings ---- */

/* "site.yaml:12" -> "site.yaml"; NULL if there is no line. */
static char *file_of(const char *at)
{
    const char *colon = at != NULL ? strrchr(at, ':') : NULL;
    if (colon == NULL || colon[1] == '\0' || strspn(colon + 1, "0123456789") != strlen(colon + 1))
        return NULL;
    return g_strndup(at, (gsize)(colon - at));
}

/* "file:line" of a mapping, or where the plan stands, or NULL; g_free. */
static char *place_text(const struct reader *r, const json_t *place)
{
    const json_t *line = json_object_get(place, "@line");
    return r->file != NULL && json_is_integer(line)
               ? g_strdup_printf("%s:%" JSON_INTEGER_FORMAT, r->file, json_integer_value(line))
               : g_strdup(r->at);
}

void find_text(const struct reader *r, const json_t *place, const char *step, const char *field, const char *found,
               const char *expected)
{
    g_autofree char *at = place_text(r, place);
    g_autofree char *label = step != NULL ? g_strdup_printf("%s, step %s", r->label, step) : g_strdup(r->label);
    finding_add(r->findings, at, label, field, found, expected);
}

void find_member(const struct reader *r, const json_t *place, const char *step, const char *member,
                 const char *expected)
{
    g_autofree char *found = json_quote(json_object_get(place, member));
    find_text(r, place, step, member, found, expected);
}

void find_unknown(const struct reader *r, const json_t *place, const char *step, const char *const *known,
                  const char *expected)
{
    const char *key;
    json_t *value;
    json_object_foreach ((json_t *)place, key, value) {
        if (strcmp(key, "@line") == 0 || g_strv_contains(known, key))
            continue;
        g_autofree char *quoted = text_quote(key);
        g_autofree char *found = g_strdup_printf("unknown key %s", quoted);
        find_text(r, place, step, NULL, found, expected);
    }
}

/* ---- small values ---- */

/* "500ms", "10s", "2m"; 0 if it is none, or out of range. */
static int64_t duration_parse(const char *text)
{
    static const struct {
        const char *unit;
        int64_t us;
    } units[] = {{"ms", 1000}, {"s", G_USEC_PER_SEC}, {"m", 60 * G_USEC_PER_SEC}};
    size_t len = strspn(text, "0123456789");
    if (len < 1 || len > 9)
        return 0;
    int64_t n = g_ascii_strtoll(text, NULL, 10);
    for (size_t i = 0; i < G_N_ELEMENTS(units); i++)
        if (strcmp(text + len, units[i].unit) == 0)
            return n * units[i].us <= TIMEOUT_MAX_US ? n * units[i].us : 0;
    return 0;
}

json_int_t time_read(const struct reader *r, const json_t *json, const char *step, const char *member)
{
    const json_t *value = json_object_get(json, member);
    int64_t us = value == NULL || json_text(value) == NULL ? 0 : duration_parse(json_text(value));
    if (value != NULL && us == 0)
        find_member(r, json, step, member, "a time as 500ms, 10s or 2m, at most 1440m");
    return us;
}

bool is_name(const char *text)
{
    return text != NULL && text_valid(FIELD_NAME, text);
}

bool stands_for(const struct reader *r, const char *word, enum object_kind kind)
{
    if (word == NULL || word[0] != '$')
        return is_name(word);
    if (strcmp(word, "$target") == 0)
        return r->plan->target_kind == (int)kind;
    return g_strcmp0(json_string_value(json_object_get(r->plan->params, word + 1)), object_class(kind)->name) == 0;
}

/* ---- set ---- */

/* What `on` may be besides a name and $target, for which kinds of objects, and with which target. */
static const struct selector {
    const char *on, *kinds;
    enum object_kind target;
    const char *is_for;
} selectors[] = {
    {"home=$target", "group|service", OBJECT_room, "home=$target is for groups and services, of a target room"},
    {"stranded=$target", "group|service", OBJECT_room, "stranded=$target is for groups and services, of a target room"},
    {"carrier=$target", "variant", OBJECT_carrier, "carrier=$target is for variants, of a target carrier"},
};

static const struct selector *selector_find(const char *on)
{
    for (size_t i = 0; on != NULL && i < G_N_ELEMENTS(selectors); i++)
        if (strcmp(selectors[i].on, on) == 0)
            return &selectors[i];
    return NULL;
}

static void on_read(const struct reader *r, const json_t *json, const char *step, const struct lever_class *class,
                    struct plan_set *set)
{
    const char *on = json_text(json_object_get(json, "on"));
    const char *kind = object_class(class->kind)->name;
    int target = r->plan->target_kind;
    const struct selector *selector = selector_find(on);
    g_autofree char *expected = NULL;
    if (on != NULL && strcmp(on, "$target") == 0) {
        if (target == (int)class->kind)
            set->on = g_strdup(on);
        else
            expected = g_strdup_printf("the name of a %s: the plan's target is no %s", kind, kind);
    } else if (selector != NULL) {
        if (choice_find(selector->kinds, kind) >= 0 && target == (int)selector->target)
            set->on = g_strdup(on);
        else
            expected = g_strdup_printf("the name of a %s: %s", kind, selector->is_for);
    } else if (on != NULL && text_valid(object_class(class->kind)->name_type, on)) {
        set->on = g_strdup(on);
    } else {
        expected =
            g_strdup_printf("the name of a %s, $target, home=$target, stranded=$target or carrier=$target", kind);
    }
    if (set->on == NULL)
        find_member(r, json, step, "on", expected);
}

static void value_read(const struct reader *r, const json_t *json, const char *step, const struct lever_class *class,
                       struct plan_set *set)
{
    const char *value = json_text(json_object_get(json, "value"));
    bool param = value != NULL && value[0] == '$' && strcmp(value, "$target") != 0 && class->type == LEVER_TYPE_ROOM;
    if (value != NULL && (param ? stands_for(r, value, OBJECT_room) : lever_value_parses(class, value, NULL))) {
        set->value = g_strdup(value);
        return;
    }
    g_autofree char *expected = lever_value_expected(class);
    find_member(r, json, step, "value", expected);
}

static void set_read(const struct reader *r, const json_t *json, const char *step, GArray *sets)
{
    static const char *const known[] = {"control", "on", "value", NULL};
    if (!json_is_object(json)) {
        g_autofree char *found = json_quote(json);
        find_text(r, json, step, "set", found, "{control: LEVER, on: OBJECT, value: VALUE}");
        return;
    }
    find_unknown(r, json, step, known, "one of control, on, value");
    const char *lever = json_text(json_object_get(json, "control"));
    const struct lever_class *class = lever != NULL ? lever_class_find(lever) : NULL;
    if (class == NULL) {
        GString *expected = g_string_new("one of");
        for (unsigned i = 0; i < LEVERS; i++)
            g_string_append_printf(expected, "%s %s", i == 0 ? "" : ",", lever_class(i)->name);
        find_member(r, json, step, "control", expected->str);
        g_string_free(expected, TRUE);
        return;
    }
    struct plan_set set = {.lever = class->lever};
    on_read(r, json, step, class, &set);
    value_read(r, json, step, class, &set);
    g_array_append_val(sets, set);
}

static void sets_read(const struct reader *r, const json_t *json, struct plan_step *step)
{
    const json_t *list = json_object_get(json, "set");
    size_t n = json_array_size(list);
    if (!json_is_array(list) || n < 1 || n > SETS_MAX) {
        find_member(r, json, step->name, "set", "a list of 1 to 100 {control, on, value}");
        return;
    }
    for (size_t i = 0; i < n; i++)
        set_read(r, json_array_get(list, i), step->name, step->sets);
}

/* ---- steps ---- */

static void set_clear(gpointer data)
{
    struct plan_set *set = data;
    g_free(set->on);
    g_free(set->value);
}

static void step_free(gpointer data)
{
    struct plan_step *step = data;
    g_free(step->name);
    g_free(step->at);
    g_strfreev(step->needs);
    g_free(step->argument);
    g_array_unref(step->sets);
    json_decref(step->spec);
    g_strfreev(step->pre);
    g_strfreev(step->post);
    g_free(step);
}

/* The checks, and the kind of target that their plan has; -1: any, or none. */
static const struct check {
    const char *word;
    int target;
} checks[] = {{"room-open", OBJECT_room},
              {"forecast", -1},
              {"entrances-healthy", OBJECT_room},
              {"writes-stopped", OBJECT_component},
              {"consumption-stopped", OBJECT_component}};

static bool check_fits(const struct reader *r, const char *word)
{
    for (size_t i = 0; word != NULL && i < G_N_ELEMENTS(checks); i++)
        if (strcmp(checks[i].word, word) == 0)
            return checks[i].target < 0 || checks[i].target == r->plan->target_kind;
    return false;
}

/* Those that fit the plan: "room-open, forecast, entrances-healthy"; g_free. */
static char *checks_text(const struct reader *r)
{
    GString *text = g_string_new(NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(checks); i++)
        if (check_fits(r, checks[i].word))
            g_string_append_printf(text, "%s%s", text->len > 0 ? ", " : "", checks[i].word);
    return g_string_free(text, FALSE);
}

/* The word of a check, wait, verify or run; the text of an approve. */
static void argument_read(const struct reader *r, const json_t *json, struct plan_step *step)
{
    static const char *const words[STEP_KINDS] = {
        [STEP_WAIT] = "edges|dns|eastwest|converged",
        [STEP_VERIFY] = "share|transactions",
    };
    const char *key = step_kind_name(step->kind);
    const char *word = json_text(json_object_get(json, key));
    if (step->kind == STEP_RUN) {
        if (!is_name(word))
            find_member(r, json, step->name, key, "the name of a plan");
    } else if (step->kind == STEP_APPROVE) {
        if (word == NULL || !text_valid(FIELD_TEXT, word) || g_utf8_strlen(word, -1) > SUMMARY_MAX)
            find_member(r, json, step->name, key, "printable text of 1 to 400 characters");
    } else if (step->kind == STEP_CHECK ? !check_fits(r, word)
                                        : word == NULL || choice_find(words[step->kind], word) < 0) {
        g_autofree char *choices = step->kind == STEP_CHECK ? checks_text(r) : choices_join(words[step->kind], ", ");
        g_autofree char *expected = g_strdup_printf("one of %s", choices);
        find_member(r, json, step->name, key, expected);
    }
    step->argument = g_strdup(word);
}

/* ---- a step ---- */

/* Checks before or behind a step. */
static char **checks_read(const struct reader *r, const json_t *json, const char *step, const char *member)
{
    const json_t *list = json_object_get(json, member);
    if (list == NULL)
        return NULL;
    size_t n = json_array_size(list);
    char **words = g_new0(char *, n + 1);
    bool good = json_is_array(list) && n <= 10;
    for (size_t i = 0; good && i < n; i++) {
        const char *word = json_text(json_array_get(list, i));
        good = check_fits(r, word);
        words[i] = good ? g_strdup(word) : NULL;
    }
    g_autofree char *choices = checks_text(r), *expected = g_strdup_printf("a list of checks, of %s", choices);
    if (!good)
        find_member(r, json, step, member, expected);
    return words;
}

/* Exactly one key says what the step is. */
static bool kind_read(const struct reader *r, const json_t *json, struct plan_step *step)
{
    unsigned n = 0;
    for (unsigned i = 0; i < STEP_KINDS; i++) {
        if (json_object_get(json, step_kind_name(i)) == NULL)
            continue;
        step->kind = i;
        n++;
    }
    if (n == 1)
        return true;
    g_autofree char *found = g_strdup_printf("%u of them", n);
    g_autofree char *expected = step_kinds_text();
    find_text(r, json, step->name, NULL, found, expected);
    return false;
}

static void timeout_read(const struct reader *r, const json_t *json, struct plan_step *step)
{
    static const int64_t standard_s[] = {
#define STEP(symbol, key, type, timeout, ...) timeout,
#include "schema/steps.def"
#undef STEP
    };
    step->timeout_us = standard_s[step->kind] * G_USEC_PER_SEC;
    if (json_object_get(json, "timeout") != NULL)
        step->timeout_us = time_read(r, json, step->name, "timeout");
}

static void on_failure_read(const struct reader *r, const json_t *json, struct plan_step *step)
{
    static const enum on_failure standard[] = {
#define STEP(symbol, key, type, timeout, failure, ...) ON_FAILURE_##failure,
#include "schema/steps.def"
#undef STEP
    };
    const json_t *value = json_object_get(json, "on_failure");
    step->on_failure = standard[step->kind];
    if (value == NULL)
        return;
    int choice = json_text(value) != NULL ? choice_find("stop|rollback|continue|ask", json_text(value)) : -1;
    if (choice < 0)
        find_member(r, json, step->name, "on_failure", "one of stop, rollback, continue, ask");
    if (choice == ON_FAILURE_CONTINUE && step->kind == STEP_APPROVE)
        find_member(r, json, step->name, "on_failure", "stop, rollback or ask: what is declined is not to be done");
    step->on_failure = (enum on_failure)MAX(choice, 0);
}

/* `before`: the step written before this one, or NULL. Whether the names exist is known later. */
static void needs_read(const struct reader *r, const json_t *json, const struct plan_step *before,
                       struct plan_step *step)
{
    const json_t *list = json_object_get(json, "needs");
    size_t n = json_array_size(list);
    step->needs = g_new0(char *, MAX(n, 1) + 1);
    if (list == NULL && before != NULL)
        step->needs[0] = g_strdup(before->name);
    if (list == NULL)
        return;
    bool good = json_is_array(list) && n <= STEPS_MAX;
    for (size_t i = 0; good && i < n; i++) {
        const char *name = json_text(json_array_get(list, i));
        good = is_name(name) && !g_strv_contains((const char *const *)step->needs, name);
        step->needs[i] = good ? g_strdup(name) : NULL;
    }
    if (!good)
        find_member(r, json, step->name, "needs", "a list of different names of steps");
}

static struct plan_step *step_read(const struct reader *r, const json_t *json, const struct plan_step *before)
{
    static const char *const known[] = {"name", "needs", "timeout", "on_failure", "pre", "post", "transaction", "room",
#define STEP(symbol, key, ...) key,
#include "schema/steps.def"
#undef STEP
                                        NULL};
    const char *name = json_text(json_object_get(json, "name"));
    if (!json_is_object(json)) {
        g_autofree char *found = json_quote(json);
        find_text(r, NULL, NULL, "steps", found, "a mapping with the step's name and what it does");
        return NULL;
    }
    if (!is_name(name)) {
        find_member(r, json, NULL, "name", text_expected(FIELD_NAME));
        return NULL;
    }
    struct plan_step *step = g_new0(struct plan_step, 1);
    step->name = g_strdup(name);
    step->at = place_text(r, json);
    step->sets = g_array_new(FALSE, FALSE, sizeof(struct plan_set));
    g_array_set_clear_func(step->sets, set_clear);
    find_unknown(r, json, name, known, "one of name, needs, timeout, on_failure, pre, post, transaction, room"
#define STEP(symbol, key, ...) ", " key
#include "schema/steps.def"
#undef STEP
    );
    needs_read(r, json, before, step);
    step->pre = checks_read(r, json, name, "pre");
    step->post = checks_read(r, json, name, "post");
    bool is_one = kind_read(r, json, step);
    timeout_read(r, json, step);
    on_failure_read(r, json, step);
    if (is_one) {
        if (step->kind == STEP_SET)
            sets_read(r, json, step);
        else if (step->kind == STEP_RAMP)
            ramp_read(r, json, step);
        else if (step->kind == STEP_HOOK)
            hook_read(r, json, step);
        else if (step->kind == STEP_NOTIFY)
            notify_read(r, json, step);
        else if (step->kind == STEP_WARM)
            warm_read(r, json, step);
        else
            argument_read(r, json, step);
        transactions_read(r, json, step);
    }
    return step;
}

/* ---- order ---- */

static const struct plan_step *step_find(const GPtrArray *steps, const char *name)
{
    for (guint i = 0; i < steps->len; i++)
        if (strcmp(((const struct plan_step *)steps->pdata[i])->name, name) == 0)
            return steps->pdata[i];
    return NULL;
}

/* The first name in needs that is not among `steps`, or NULL. */
static const char *need_missing(const struct plan_step *step, const GPtrArray *steps)
{
    for (char **need = step->needs; *need != NULL; need++)
        if (step_find(steps, *need) == NULL)
            return *need;
    return NULL;
}

/* From any step that waits for ever, needs lead into the circle; once around it is its text. */
static char *circle_text(const GPtrArray *steps, const GPtrArray *placed)
{
    const struct plan_step *step = NULL;
    for (guint i = 0; step == NULL && i < steps->len; i++)
        if (step_find(placed, ((const struct plan_step *)steps->pdata[i])->name) == NULL)
            step = steps->pdata[i];
    for (guint i = 0; i < steps->len; i++)
        step = step_find(steps, need_missing(step, placed));
    const struct plan_step *first = step;
    GString *text = g_string_new("the circle ");
    do {
        g_string_append_printf(text, "%s -> ", step->name);
        step = step_find(steps, need_missing(step, placed));
    } while (step != first);
    return g_string_free(g_string_append(text, first->name), FALSE);
}

/* Puts each step behind those that it needs, and else keeps the order. */
static void steps_order(const struct reader *r, const json_t *json)
{
    GPtrArray *steps = r->plan->steps;
    g_autoptr(GPtrArray) placed = g_ptr_array_new();
    for (guint i = 0; i < steps->len;) {
        struct plan_step *step = steps->pdata[i];
        if (step_find(placed, step->name) != NULL || need_missing(step, placed) != NULL) {
            i++;
            continue;
        }
        g_ptr_array_add(placed, step);
        i = 0;
    }
    if (placed->len < steps->len) {
        g_autofree char *found = circle_text(steps, placed);
        find_text(r, json, NULL, "needs", found, "steps that can all start");
        return;
    }
    memcpy(steps->pdata, placed->pdata, placed->len * sizeof(gpointer));
}

static void steps_read(const struct reader *r, const json_t *json)
{
    const json_t *list = json_object_get(json, "steps");
    GPtrArray *steps = r->plan->steps;
    guint before = r->findings->len;
    size_t n = json_array_size(list);
    if (!json_is_array(list) || n < 1 || n > STEPS_MAX) {
        find_member(r, json, NULL, "steps", "a list of 1 to 100 steps");
        return;
    }
    for (size_t i = 0; i < n; i++) {
        const json_t *item = json_array_get(list, i);
        struct plan_step *step = step_read(r, item, steps->len > 0 ? steps->pdata[steps->len - 1] : NULL);
        if (step != NULL && step_find(steps, step->name) != NULL)
            find_member(r, item, NULL, "name", "a name that no other step has");
        if (step != NULL)
            g_ptr_array_add(steps, step);
    }
    for (size_t i = 0; r->findings->len == before && i < n; i++) {
        const struct plan_step *step = steps->pdata[i];
        const char *missing = need_missing(step, steps);
        if (missing == NULL)
            continue;
        g_autofree char *found = text_quote(missing);
        find_text(r, json_array_get(list, i), step->name, "needs", found, "names of steps of this plan");
    }
    if (r->findings->len == before)
        steps_order(r, json);
}

/* ---- the plan ---- */

static void target_read(const struct reader *r, const json_t *json)
{
    const json_t *value = json_object_get(json, "target");
    const struct object_class *class = json_text(value) != NULL ? object_class_find(json_text(value)) : NULL;
    if (class != NULL && strcmp(class->name, json_text(value)) == 0)
        r->plan->target_kind = (int)class->kind;
    else if (value != NULL)
        find_member(r, json, NULL, "target", "a kind of object, as room");
}

static void params_read(const struct reader *r, const json_t *json)
{
    const json_t *params = json_object_get(json, "params");
    const char *name;
    json_t *kind;
    bool good = params == NULL || (json_is_object(params) && json_object_size(params) <= 10);
    r->plan->params = json_object();
    json_object_foreach ((json_t *)(uintptr_t)params, name, kind) {
        if (strcmp(name, "@line") == 0)
            continue;
        const struct object_class *class = json_text(kind) != NULL ? object_class_find(json_text(kind)) : NULL;
        good = good && is_name(name) && strcmp(name, "target") != 0 && class != NULL &&
               strcmp(class->name, json_text(kind)) == 0;
        json_object_set_new(r->plan->params, name, json_string(class != NULL ? class->name : ""));
    }
    if (!good)
        find_member(r, json, NULL, "params", "names, not target, each with a kind of object, as {to: room}");
}

static void summary_read(const struct reader *r, const json_t *json)
{
    const json_t *value = json_object_get(json, "summary");
    const char *text = value != NULL ? json_text(value) : "";
    if (text == NULL || !text_valid(FIELD_TEXT, text) || g_utf8_strlen(text, -1) > SUMMARY_MAX) {
        find_member(r, json, NULL, "summary", "printable text of at most 400 characters");
        text = "";
    }
    r->plan->summary = g_strdup(text);
}

static void notes_read(const struct reader *r, const json_t *json)
{
    const json_t *list = json_object_get(json, "notes");
    size_t n = json_array_size(list);
    bool good = list == NULL || (json_is_array(list) && n <= NOTES_MAX);
    for (size_t i = 0; good && i < n; i++) {
        const char *text = json_text(json_array_get(list, i));
        good = text != NULL && text_valid(FIELD_TEXT, text) && g_utf8_strlen(text, -1) <= SUMMARY_MAX;
    }
    if (!good)
        find_member(r, json, NULL, "notes",
                    "a list of at most 20 lines of printable text, each at most 400 characters");
}

/* As it was given, without what the reader of the file put in. */
static json_t *source_of(const json_t *json)
{
    json_t *source = json_deep_copy(json);
    json_object_del(source, "at");
    yamldoc_strip(source);
    return source;
}

static struct plan *plan_new(const char *name)
{
    struct plan *plan = g_new0(struct plan, 1);
    plan->name = g_strdup(name);
    plan->target_kind = -1;
    plan->steps = g_ptr_array_new_with_free_func(step_free);
    return plan;
}

struct plan *plan_from_json(const json_t *json, const char *at, GPtrArray *findings)
{
    static const char *const known[] = {"plan", "summary", "notes", "target", "params", "steps", "at", NULL};
    guint before = findings->len;
    const char *own_at = json_text(json_object_get(json, "at"));
    struct reader r = {.findings = findings, .at = at};
    if (own_at != NULL && strlen(own_at) <= AT_MAX_LEN && text_valid(FIELD_TEXT, own_at))
        r.at = own_at;
    r.label = g_strdup("plan");
    r.file = file_of(r.at);
    const char *name = json_text(json_object_get(json, "plan"));
    if (!is_name(name)) {
        find_member(&r, json, NULL, "plan", text_expected(FIELD_NAME));
    } else {
        g_free(r.label);
        r.label = g_strdup_printf("plan %s", name);
        r.plan = plan_new(name);
        find_unknown(&r, json, NULL, known, "one of plan, summary, notes, target, params, steps");
        target_read(&r, json);
        params_read(&r, json);
        summary_read(&r, json);
        notes_read(&r, json);
        steps_read(&r, json);
        r.plan->source = source_of(json);
    }
    g_free(r.label);
    g_free(r.file);
    if (findings->len > before)
        g_clear_pointer(&r.plan, plan_free);
    return r.plan;
}
