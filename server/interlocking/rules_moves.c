/* rules_moves.c: rules about levers: which move, where to, and when. */
#include "schema/rule.h"
#include "server/interlocking/rules_internal.h"
#include "server/interlocking/words.h"

#include <string.h>

GArray *lever_changes(const struct world *now, const struct world *then)
{
    GArray *changes = g_array_new(FALSE, FALSE, sizeof(struct lever_change));
    g_autoptr(GPtrArray) list = controls_list(then->controls);
    for (guint i = 0; i < list->len; i++) {
        const struct control *control = list->pdata[i];
        const struct control *old = controls_get(now->controls, control->lever, control->object);
        struct lever_change change = {.lever = control->lever,
                                      .object = control->object,
                                      .before = old != NULL ? old->value : "default",
                                      .after = control->value};
        change.its_own =
            old != NULL && control->execution != NULL && g_strcmp0(old->execution, control->execution) == 0;
        if (strcmp(change.before, change.after) != 0)
            g_array_append_val(changes, change);
    }
    return changes;
}

static bool concerns(const struct rule *rule, enum lever lever)
{
    return rule->lever == NULL || strcmp(rule->lever, lever_class(lever)->name) == 0;
}

/* True for "default" and for the word that stands for it. */
static bool is_default(enum lever lever, const char *value)
{
    const char *choices = lever_class(lever)->choices;
    size_t len = strcspn(choices, "|");
    return strcmp(value, "default") == 0 || (len > 0 && strlen(value) == len && strncmp(choices, value, len) == 0);
}

static char *change_words(const struct lever_change *change)
{
    return g_strdup_printf("%s/%s from %s to %s", lever_class(change->lever)->name, change->object, change->before,
                           change->after);
}

static char *override_words(const char *first, const struct rule *rule)
{
    return g_strdup_printf("%s, or override %s with a reason", first, rule->o.name);
}

static guint at_default(const struct world *w, const struct lever_class *class, GPtrArray *names)
{
    const GPtrArray *objects = inventory_list(w->inventory, class->kind);
    for (guint i = 0; i < objects->len; i++) {
        const struct object *object = objects->pdata[i];
        if (is_default(class->lever, controls_value(w->controls, class->lever, object->name)))
            g_ptr_array_add(names, object->name);
    }
    return names->len;
}

void check_open_levers(struct judging *j, const struct rule *rule)
{
    const struct lever_class *class = lever_class_find(rule->lever);
    g_autoptr(GPtrArray) was_names = g_ptr_array_new(), will_names = g_ptr_array_new();
    guint was = at_default(j->change->now, class, was_names), will = at_default(j->change->then, class, will_names);
    if (will >= rule->limit || will >= was)
        return;
    g_autofree char *word = g_strndup(class->choices, strcspn(class->choices, "|"));
    g_autofree char *names = words_list(was_names, 8);
    g_autofree char *way = g_strdup_printf("set another %s to default first", class->name);
    rules_refuse(j, rule->o.name,
                 g_strdup_printf("%u of %u would have %s %s, at least %" G_GINT64_FORMAT " must; %u have now (%s)",
                                 will, inventory_list(j->change->then->inventory, class->kind)->len, class->name, word,
                                 rule->limit, was, names),
                 override_words(way, rule));
}

void check_hold(struct judging *j, const struct rule *rule)
{
    for (guint i = 0; i < j->levers->len; i++) {
        const struct lever_change *change = &g_array_index(j->levers, struct lever_change, i);
        g_autofree char *name = g_strdup_printf("%s/%s", lever_class(change->lever)->name, change->object);
        int64_t moved_us = rules_past_moved_us(j->change->past, name);
        int64_t age_s = (j->change->wall_us - moved_us) / G_USEC_PER_SEC;
        if (change->its_own || !concerns(rule, change->lever) || moved_us < 0 || age_s >= rule->period)
            continue;
        g_autofree char *way = g_strdup_printf("wait %" G_GINT64_FORMAT " s", rule->period - age_s);
        rules_refuse(j, rule->o.name,
                     g_strdup_printf("%s was moved %" G_GINT64_FORMAT " s ago, it rests for %" G_GINT64_FORMAT " s",
                                     name, age_s, rule->period),
                     override_words(way, rule));
    }
}

void check_gate(struct judging *j, const struct rule *rule)
{
    struct rule_needs needs;
    if (!rule_needs_parse(rule->needs, &needs))
        return;
    const struct lever_class *class = lever_class(needs.lever);
    for (guint i = 0; i < j->levers->len; i++) {
        const struct lever_change *change = &g_array_index(j->levers, struct lever_change, i);
        if (!concerns(rule, change->lever) || is_default(change->lever, change->after))
            continue;
        const char *object = needs.object != NULL ? needs.object : change->object;
        const char *found = controls_value(j->change->then->controls, needs.lever, object);
        if (strcmp(found, needs.value) == 0 || (is_default(needs.lever, found) && is_default(needs.lever, needs.value)))
            continue;
        g_autofree char *words = change_words(change);
        g_autofree char *way = g_strdup_printf("set %s/%s to %s first", class->name, object, needs.value);
        rules_refuse(
            j, rule->o.name,
            g_strdup_printf("%s needs %s/%s to be %s, it would be %s", words, class->name, object, needs.value, found),
            override_words(way, rule));
    }
    rule_needs_clear(&needs);
}

/* What a group's or a variant's lever would send to dedicated edges, or NULL. */
static const struct group *sent_to_dedicated(const struct world *w, const struct lever_change *change)
{
    const struct variant *variant =
        change->lever == LEVER_VARIANT_EDGE_CLASS ? INVENTORY_GET(w->inventory, variant, change->object) : NULL;
    const char *name = variant != NULL ? variant->group : change->object;
    bool lever = variant != NULL || change->lever == LEVER_GROUP_EDGE_CLASS;
    const struct group *group =
        lever && strcmp(change->after, "dedicated") == 0 ? INVENTORY_GET(w->inventory, group, name) : NULL;
    const struct service *service = group != NULL ? INVENTORY_GET(w->inventory, service, group->service) : NULL;
    return service != NULL && service->active == SERVICE_MULTI && group->edge_class != EDGE_DEDICATED ? group : NULL;
}

void check_class(struct judging *j, const struct rule *rule)
{
    g_autoptr(GPtrArray) sent = g_ptr_array_new_with_free_func(g_free);
    for (guint i = 0; i < j->levers->len; i++) {
        const struct lever_change *change = &g_array_index(j->levers, struct lever_change, i);
        const struct group *group = sent_to_dedicated(j->change->then, change);
        if (group != NULL)
            g_ptr_array_add(sent, g_strdup_printf("%s (service %s)", change->object, group->service));
    }
    if (sent->len == 0)
        return;
    g_autofree char *names = words_list(sent, 8);
    g_autofree char *count = words_plural(sent->len, "multi-active group or variant");
    rules_refuse(j, rule->o.name, g_strdup_printf("%s would go to dedicated edges, 0 may: %s", count, names),
                 override_words("move their users to another room instead", rule));
}

/* Figures of what moves and may not now, g_free; NULL: nothing. inventory: does its change count? */
static char *moves_now(const struct judging *j, const struct rule *rule, bool inventory)
{
    g_autoptr(GPtrArray) moved = g_ptr_array_new_with_free_func(g_free);
    for (guint i = 0; i < j->levers->len; i++) {
        const struct lever_change *change = &g_array_index(j->levers, struct lever_change, i);
        if (!change->its_own && concerns(rule, change->lever))
            g_ptr_array_add(moved, change_words(change));
    }
    g_autofree char *names = words_list(moved, 4);
    g_autofree char *count = words_plural(moved->len, "lever");
    if (moved->len > 0)
        return g_strdup_printf("%s would move (%s)", count, names);
    return inventory && j->change->now->inventory != j->change->then->inventory ? g_strdup("the inventory would change")
                                                                                : NULL;
}

static char *time_words(int64_t wall_us)
{
    g_autoptr(GDateTime) time = g_date_time_new_from_unix_utc(wall_us / G_USEC_PER_SEC);
    return time != NULL ? g_date_time_format(time, "%Y-%m-%dT%H:%M:%SZ") : g_strdup("at no time");
}

void check_freeze(struct judging *j, const struct rule *rule)
{
    int64_t from, until;
    if (!rule_time_parse(rule->from, &from) || !rule_time_parse(rule->until, &until) || j->change->wall_us < from ||
        j->change->wall_us >= until)
        return;
    g_autofree char *what = moves_now(j, rule, rule->lever == NULL);
    if (what == NULL)
        return;
    g_autofree char *at = time_words(j->change->wall_us);
    rules_refuse(j, rule->o.name,
                 g_strdup_printf("%s at %s, and nothing may from %s until %s", what, at, rule->from, rule->until),
                 override_words("wait for its end", rule));
}

void check_window(struct judging *j, const struct rule *rule)
{
    g_autofree char *what = rule_window_contains(rule, j->change->wall_us) ? NULL : moves_now(j, rule, false);
    if (what == NULL)
        return;
    g_autofree char *at = time_words(j->change->wall_us);
    g_autofree char *days = rule->days != NULL ? g_strjoinv(", ", rule->days) : g_strdup("every day");
    rules_refuse(j, rule->o.name,
                 g_strdup_printf("%s at %s, the window is %s to %s UTC on %s", what, at, rule->from, rule->until, days),
                 override_words("wait for the window", rule));
}

void check_lock(struct judging *j, const struct reminder *reminder)
{
    int64_t until = INT64_MAX;
    if (!reminder->lock ||
        (reminder->until != NULL && rule_time_parse(reminder->until, &until) && j->change->wall_us >= until))
        return;
    for (guint i = 0; i < j->levers->len; i++) {
        const struct lever_change *change = &g_array_index(j->levers, struct lever_change, i);
        g_autofree char *name = g_strdup_printf("%s/%s", lever_class(change->lever)->name, change->object);
        if (change->its_own || strcmp(name, reminder->on) != 0)
            continue;
        rules_refuse(j, reminder->o.name,
                     g_strdup_printf("%s is locked by %s%s%s: %s", name, reminder->owner,
                                     reminder->until != NULL ? " until " : "",
                                     reminder->until != NULL ? reminder->until : "", reminder->why),
                     g_strdup_printf("ask %s, take the reminder off, or override %s with a reason", reminder->owner,
                                     reminder->o.name));
    }
}

/* Neither of them stops in between: for a while both would be at work. */
static bool is_handover(const char *from, const char *to)
{
    return from != NULL && to != NULL && strcmp(from, "none") != 0 && strcmp(to, "none") != 0 && strcmp(from, to) != 0;
}

/* One lever of a component: by way of the moves, if they are known, to where it is then. */
static void hand_over(struct judging *j, const struct rule *rule, const struct component *component, enum lever lever)
{
    const GArray *moves = j->change->moves;
    const struct component *before = INVENTORY_GET(j->change->now->inventory, component, component->o.name);
    const char *from = before != NULL ? world_component_value(j->change->now, before, lever) : NULL;
    const char *to = moves == NULL ? world_component_value(j->change->then, component, lever) : from;
    for (guint i = 0; moves != NULL && i < moves->len && !is_handover(from, to); i++) {
        const struct move *move = &g_array_index(moves, struct move, i);
        if (move->lever != lever || strcmp(move->object, component->o.name) != 0)
            continue;
        from = to;
        to = component_value(component, lever, move->value);
    }
    if (!is_handover(from, to))
        return;
    const char *name = lever_class(lever)->name;
    g_autofree char *way = g_strdup_printf("set %s/%s to none, prove that %s has stopped, then set it to %s", name,
                                           component->o.name, from, to);
    rules_refuse(j, rule->o.name,
                 g_strdup_printf("%s/%s would go from %s to %s at once, and for a while both may be at work", name,
                                 component->o.name, from, to),
                 override_words(way, rule));
}

void check_handover(struct judging *j, const struct rule *rule)
{
    INVENTORY_FOREACH (j->change->then->inventory, component, component) {
        hand_over(j, rule, component, LEVER_COMPONENT_PRIMARY);
        hand_over(j, rule, component, LEVER_COMPONENT_CONSUMPTION);
    }
}
