/* plan.c: plans as values, and what they must fit: each other and the inventory. plan_json.c reads them. */
#include "schema/plan.h"

#include <string.h>

static const char *const kind_names[] = {
#define STEP(symbol, key, ...) key,
#include "schema/steps.def"
#undef STEP
};

const char *step_kind_name(enum step_kind kind)
{
    g_assert((unsigned)kind < STEP_KINDS);
    return kind_names[kind];
}

char *step_kinds_text(void)
{
    g_autofree char *names = g_strjoinv(", ", (char *[]){
#define STEP(symbol, key, ...) (char *)key,
#include "schema/steps.def"
#undef STEP
                                                  NULL});
    return g_strconcat("exactly one of ", names, NULL);
}

json_t *plan_to_json(const struct plan *plan)
{
    return json_deep_copy(plan->source);
}

struct plan *plan_copy(const struct plan *plan)
{
    /* What was read once is read again without a finding. */
    g_autoptr(GPtrArray) findings = finding_list_new();
    struct plan *copy = plan_from_json(plan->source, NULL, findings);
    g_assert(copy != NULL);
    copy->revision = plan->revision;
    return copy;
}

void plan_free(struct plan *plan)
{
    if (plan == NULL)
        return;
    g_free(plan->name);
    g_free(plan->summary);
    g_ptr_array_unref(plan->steps);
    json_decref(plan->params);
    json_decref(plan->source);
    g_free(plan);
}

/* ---- plans together ---- */

static void step_find(const struct plan *plan, const struct plan_step *step, const char *field, const char *word,
                      const char *expected, GPtrArray *findings)
{
    g_autofree char *label = g_strdup_printf("plan %s, step %s", plan->name, step->name);
    g_autofree char *found = text_quote(word);
    finding_add(findings, step->at, label, field, found, expected);
}

static const char *target_name(const struct plan *plan)
{
    return plan->target_kind < 0 ? "none" : object_class((enum object_kind)plan->target_kind)->name;
}

static void run_validate(const struct plan *plan, const struct plan_step *step, GHashTable *plans, GPtrArray *findings)
{
    const struct plan *child = g_hash_table_lookup(plans, step->argument);
    if (child == NULL) {
        step_find(plan, step, "run", step->argument, "the name of a plan that exists", findings);
    } else if (child->target_kind >= 0 && child->target_kind != plan->target_kind) {
        g_autofree char *expected = g_strdup_printf("a plan with the target of this one, %s", target_name(plan));
        step_find(plan, step, "run", step->argument, expected, findings);
    }
}

static void sets_validate(const struct plan *plan, const struct plan_step *step, const struct inventory *inv,
                          GPtrArray *findings)
{
    for (guint i = 0; i < step->sets->len; i++) {
        const struct plan_set *set = &g_array_index(step->sets, struct plan_set, i);
        const struct lever_class *class = lever_class(set->lever);
        if (strchr(set->on, '$') != NULL || inventory_get(inv, class->kind, set->on) != NULL)
            continue;
        g_autofree char *expected = g_strdup_printf("the name of a %s that exists", object_class(class->kind)->name);
        step_find(plan, step, "on", set->on, expected, findings);
    }
}

/* Names that stand for objects; what stands for $target and parameters is known when the plan is started. */
static void ramp_validate(const struct plan *plan, const struct plan_step *step, const struct inventory *inv,
                          GPtrArray *findings)
{
    static const struct {
        const char *member;
        enum object_kind kind;
        const char *other, *expected;
    } members[] = {{"on", OBJECT_service, "multi", "the name of a service that exists, $target or multi"},
                   {"to", OBJECT_room, "", "the name of a room that exists, $target or a parameter"},
                   {"away", OBJECT_room, "", "the name of a room that exists, $target or a parameter"}};
    for (size_t i = 0; i < G_N_ELEMENTS(members); i++) {
        const char *word = json_string_value(json_object_get(step->spec, members[i].member));
        if (word != NULL && word[0] != '$' && strcmp(word, members[i].other) != 0 &&
            inventory_get(inv, members[i].kind, word) == NULL)
            step_find(plan, step, members[i].member, word, members[i].expected, findings);
    }
}

static void transactions_validate(const struct plan *plan, const struct plan_step *step, const struct inventory *inv,
                                  GPtrArray *findings)
{
    const char *room = json_string_value(json_object_get(step->spec, "room"));
    const char *name = json_string_value(json_object_get(step->spec, "transaction"));
    if (room != NULL && room[0] != '$' && strcmp(room, "others") != 0 && INVENTORY_GET(inv, room, room) == NULL)
        step_find(plan, step, "room", room, "the name of a room that exists", findings);
    if (name != NULL && INVENTORY_GET(inv, transaction, name) == NULL)
        step_find(plan, step, "transaction", name, "the name of a transaction that exists", findings);
}

static void notify_validate(const struct plan *plan, const struct plan_step *step, const struct inventory *inv,
                            GPtrArray *findings)
{
    const char *to = json_string_value(json_object_get(step->spec, "to"));
    if (inventory_get(inv, OBJECT_webhook, to) == NULL)
        step_find(plan, step, "to", to, "the name of a webhook that exists", findings);
}

static void warm_validate(const struct plan *plan, const struct plan_step *step, const struct inventory *inv,
                          GPtrArray *findings)
{
    const char *room = json_string_value(json_object_get(step->spec, "room"));
    json_t *text;
    size_t i;
    if (room[0] != '$' && INVENTORY_GET(inv, room, room) == NULL)
        step_find(plan, step, "room", room, "the name of a room that exists", findings);
    json_array_foreach (json_object_get(step->spec, "edges"), i, text)
        if (INVENTORY_GET(inv, edge, json_string_value(text)) == NULL)
            step_find(plan, step, "edges", json_string_value(text), "the name of an edge that exists", findings);
    json_array_foreach (json_object_get(step->spec, "urls"), i, text) {
        const char *host = json_string_value(text) + strlen("http://");
        g_autofree char *name = g_strndup(host, strcspn(host, "/"));
        if (INVENTORY_GET(inv, domain, name) == NULL)
            step_find(plan, step, "urls", json_string_value(text), "the name of a domain that exists", findings);
    }
}

/* Does `from` run `goal`, itself or by others? Each plan is looked at once. */
static bool runs(const struct plan *from, const char *goal, GHashTable *plans, GHashTable *seen)
{
    for (guint i = 0; i < from->steps->len; i++) {
        const struct plan_step *step = from->steps->pdata[i];
        if (step->kind != STEP_RUN)
            continue;
        if (strcmp(step->argument, goal) == 0)
            return true;
        const struct plan *child = g_hash_table_lookup(plans, step->argument);
        if (child != NULL && g_hash_table_add(seen, child->name) && runs(child, goal, plans, seen))
            return true;
    }
    return false;
}

static void plan_validate(const struct plan *plan, GHashTable *plans, const struct inventory *inv, GPtrArray *findings)
{
    const char *at = NULL; /* of the first step that runs another plan */
    for (guint i = 0; i < plan->steps->len; i++) {
        const struct plan_step *step = plan->steps->pdata[i];
        if (step->kind == STEP_RUN && at == NULL)
            at = step->at;
        if (step->kind == STEP_RUN)
            run_validate(plan, step, plans, findings);
        if (step->kind == STEP_SET)
            sets_validate(plan, step, inv, findings);
        if (step->kind == STEP_RAMP)
            ramp_validate(plan, step, inv, findings);
        if (step->kind == STEP_WARM)
            warm_validate(plan, step, inv, findings);
        if (step->kind == STEP_VERIFY)
            transactions_validate(plan, step, inv, findings);
        if (step->kind == STEP_NOTIFY)
            notify_validate(plan, step, inv, findings);
    }
    g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);
    if (runs(plan, plan->name, plans, seen)) {
        g_autofree char *label = g_strdup_printf("plan %s", plan->name);
        finding_add(findings, at, label, "run", "a plan that runs itself", "plans without a circle");
    }
}

void plans_validate(GHashTable *plans, const struct inventory *inv, GPtrArray *findings)
{
    g_autoptr(GList) names = g_list_sort(g_hash_table_get_keys(plans), (GCompareFunc)strcmp);
    for (const GList *name = names; name != NULL; name = name->next)
        plan_validate(g_hash_table_lookup(plans, name->data), plans, inv, findings);
}
