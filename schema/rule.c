#include "schema/rule.h"
#include "schema/field.h"

#include <string.h>

static const char *const day_names[] = {"mon", "tue", "wed", "thu", "fri", "sat", "sun"};
#define DAY_MINUTES (24 * 60)

bool rule_time_parse(const char *text, int64_t *wall_us)
{
    if (text == NULL || strlen(text) != strlen("2026-11-10T00:00:00Z") || text[10] != 'T' || text[19] != 'Z')
        return false;
    g_autoptr(GDateTime) time = g_date_time_new_from_iso8601(text, NULL);
    if (time == NULL)
        return false;
    *wall_us = g_date_time_to_unix(time) * G_USEC_PER_SEC;
    return true;
}

bool rule_minute_parse(const char *text, int *minute)
{
    if (text == NULL || strlen(text) != 5 || text[2] != ':' || strspn(text, "0123456789") != 2 ||
        strspn(text + 3, "0123456789") != 2)
        return false;
    int hour = 10 * (text[0] - '0') + text[1] - '0', rest = 10 * (text[3] - '0') + text[4] - '0';
    *minute = 60 * hour + rest;
    return hour < 24 && rest < 60;
}

static int day_find(const char *name)
{
    for (int i = 0; i < (int)G_N_ELEMENTS(day_names); i++)
        if (strcmp(day_names[i], name) == 0)
            return i;
    return -1;
}

static bool day_is_one(const struct rule *rule, int day)
{
    return rule->days == NULL || g_strv_contains((const char *const *)rule->days, day_names[day]);
}

bool rule_window_contains(const struct rule *rule, int64_t wall_us)
{
    int from, until;
    if (!rule_minute_parse(rule->from, &from) || !rule_minute_parse(rule->until, &until))
        return false;
    int64_t minutes = wall_us / (60 * G_USEC_PER_SEC);
    int day = (int)((minutes / DAY_MINUTES + 3) % 7); /* 1 January 1970 was a Thursday */
    int minute = (int)(minutes % DAY_MINUTES);
    if (from < until)
        return day_is_one(rule, day) && minute >= from && minute < until;
    return (day_is_one(rule, day) && minute >= from) || (day_is_one(rule, (day + 6) % 7) && minute < until);
}

bool rule_needs_parse(const char *text, struct rule_needs *out)
{
    const char *equals = text != NULL ? strchr(text, '=') : NULL;
    if (equals == NULL)
        return false;
    g_autofree char *lever = g_strndup(text, (gsize)(equals - text));
    char *slash = strchr(lever, '/');
    if (slash != NULL)
        *slash = '\0';
    const struct lever_class *class = lever_class_find(lever);
    if (class == NULL || class->choices[0] == '\0' || choice_find(class->choices, equals + 1) < 0)
        return false;
    *out = (struct rule_needs){class->lever, slash != NULL ? g_strdup(slash + 1) : NULL, g_strdup(equals + 1)};
    return true;
}

void rule_needs_clear(struct rule_needs *needs)
{
    g_free(needs->object);
    g_free(needs->value);
}

/* ---- validation ---- */

/* Letters of fields: l lever, n limit, p period, g needs, f from, u until, d days. */
static const struct {
    const char *must, *may;
} wants[RULE_CHECKS] = {
    [RULE_OPEN] = {"n", "l"},    [RULE_CAPACITY] = {"n", ""},  [RULE_MOVED] = {"n", "p"},
    [RULE_HOLD] = {"p", "l"},    [RULE_GATE] = {"lg", ""},     [RULE_CLASS] = {"", ""},
    [RULE_FREEZE] = {"fu", "l"}, [RULE_WINDOW] = {"fu", "ld"}, [RULE_HANDOVER] = {"", ""},
};

static void find(GPtrArray *findings, const struct rule *rule, const char *field, const char *found,
                 const char *expected)
{
    g_autofree char *label = g_strdup_printf("rule %s", rule->o.name);
    finding_add(findings, rule->o.at, label, field, found, expected);
}

static void find_text(GPtrArray *findings, const struct rule *rule, const char *field, const char *text,
                      const char *expected)
{
    g_autofree char *quoted = text_quote(text);
    find(findings, rule, field, quoted, expected);
}

static bool fields_validate(const struct rule *rule, GPtrArray *findings)
{
    const struct {
        char letter;
        const char *name;
        bool there;
    } fields[] = {{'l', "lever", rule->lever != NULL}, {'n', "limit", rule->limit > 0},
                  {'p', "period", rule->period > 0},   {'g', "needs", rule->needs != NULL},
                  {'f', "from", rule->from != NULL},   {'u', "until", rule->until != NULL},
                  {'d', "days", rule->days != NULL}};
    g_autofree char *check = object_field_text(&rule->o, 0);
    guint before = findings->len;
    for (size_t i = 0; i < G_N_ELEMENTS(fields); i++) {
        bool must = strchr(wants[rule->check].must, fields[i].letter) != NULL;
        bool may = must || strchr(wants[rule->check].may, fields[i].letter) != NULL;
        g_autofree char *none = g_strdup_printf("none: a rule of check %s does not look at it", check);
        g_autofree char *one = g_strdup_printf("one: a rule of check %s needs it", check);
        if (must && !fields[i].there)
            find(findings, rule, fields[i].name, "nothing", one);
        if (!may && fields[i].there)
            find(findings, rule, fields[i].name, "a value", none);
    }
    return findings->len == before;
}

static void gate_validate(const struct inventory *inv, const struct rule *rule, const struct lever_class *lever,
                          GPtrArray *findings)
{
    struct rule_needs needs;
    if (!rule_needs_parse(rule->needs, &needs)) {
        find_text(findings, rule, "needs", rule->needs,
                  "LEVER=VALUE or LEVER/OBJECT=VALUE, both of schema/controls.def");
        return;
    }
    const struct lever_class *other = lever_class(needs.lever);
    if (needs.object == NULL && other->kind != lever->kind)
        find_text(findings, rule, "needs", rule->needs, "LEVER/OBJECT=VALUE: the levers sit on different kinds");
    if (needs.object != NULL && inventory_get(inv, other->kind, needs.object) == NULL)
        find_text(findings, rule, "needs", rule->needs, "an object that exists");
    rule_needs_clear(&needs);
}

static void times_validate(const struct rule *rule, GPtrArray *findings)
{
    int64_t from = 0, until = 0;
    int minute;
    const char *const texts[][2] = {{"from", rule->from}, {"until", rule->until}};
    bool freeze = rule->check == RULE_FREEZE;
    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++)
        if (freeze ? !rule_time_parse(texts[i][1], i == 0 ? &from : &until) : !rule_minute_parse(texts[i][1], &minute))
            find_text(findings, rule, texts[i][0], texts[i][1],
                      freeze ? "a time like 2026-11-10T00:00:00Z" : "a time of day like 02:00");
    if (freeze && from != 0 && until != 0 && until <= from)
        find_text(findings, rule, "until", rule->until, "a time after from");
    for (char **day = rule->days; day != NULL && *day != NULL; day++)
        if (day_find(*day) < 0)
            find_text(findings, rule, "days", *day, "mon, tue, wed, thu, fri, sat or sun");
}

static void name_validate(const struct rule *rule, GPtrArray *findings)
{
#define SHIPPED(name_, check_, limit_) {.o = {.kind = OBJECT_rule, .name = (char *)name_}, .check = check_},
    static const struct rule shipped[] = {RULES_SHIPPED(SHIPPED)};
#undef SHIPPED
    const char *name = rule->o.name;
    if (strcmp(name, RULE_FORECAST_KNOWN) == 0 || strcmp(name, RULE_ZONE_SHARE) == 0)
        find_text(findings, rule, "name", name, "another name: this one is of a rule that no object changes");
    for (size_t i = 0; i < G_N_ELEMENTS(shipped); i++) {
        if (strcmp(name, shipped[i].o.name) != 0)
            continue;
        g_autofree char *expected = object_field_text(&shipped[i].o, 0);
        g_autofree char *found = object_field_text(&rule->o, 0);
        if (rule->check != shipped[i].check)
            find(findings, rule, "check", found, expected);
        else if (rule->lever != NULL)
            find_text(findings, rule, "lever", rule->lever, "none: the rule of this name that ships is for all");
    }
}

/* Overrides name rules and reminders alike. */
static bool is_rules_name(const struct inventory *inv, const char *name)
{
#define IS_SHIPPED(name_, check_, limit_) || strcmp(name, name_) == 0
    return strcmp(name, RULE_FORECAST_KNOWN) == 0 || strcmp(name, RULE_ZONE_SHARE) == 0 ||
           INVENTORY_GET(inv, rule, name) != NULL RULES_SHIPPED(IS_SHIPPED);
#undef IS_SHIPPED
}

static void reminder_find(GPtrArray *findings, const struct reminder *reminder, const char *field, const char *text,
                          const char *expected)
{
    g_autofree char *label = g_strdup_printf("reminder %s", reminder->o.name), *quoted = text_quote(text);
    finding_add(findings, reminder->o.at, label, field, quoted, expected);
}

void reminder_validate(const struct inventory *inv, const struct reminder *reminder, GPtrArray *findings)
{
    const char *slash = strchr(reminder->on, '/');
    g_autofree char *lever = g_strndup(reminder->on, slash != NULL ? (size_t)(slash - reminder->on) : 0);
    const struct lever_class *class = lever_class_find(lever);
    int64_t until;
    if (class == NULL || inventory_get(inv, class->kind, slash + 1) == NULL)
        reminder_find(findings, reminder, "on", reminder->on,
                      "a lever and an object that it sits on: room.ingress/room-a");
    if (reminder->until != NULL && !rule_time_parse(reminder->until, &until))
        reminder_find(findings, reminder, "until", reminder->until, "a time like 2026-11-10T00:00:00Z");
    if (is_rules_name(inv, reminder->o.name))
        reminder_find(findings, reminder, "name", reminder->o.name, "a name that no rule has");
}

void rule_validate(const struct inventory *inv, const struct rule *rule, GPtrArray *findings)
{
    name_validate(rule, findings);
    if (!fields_validate(rule, findings))
        return;
    const struct lever_class *lever = rule->lever != NULL ? lever_class_find(rule->lever) : NULL;
    if (rule->lever != NULL && lever == NULL) {
        find_text(findings, rule, "lever", rule->lever, "the name of a lever");
        return;
    }
    if (rule->check == RULE_OPEN && lever != NULL && lever->choices[0] == '\0')
        find_text(findings, rule, "lever", rule->lever, "a lever with words to choose from");
    if (rule->check == RULE_GATE)
        gate_validate(inv, rule, lever, findings);
    if (rule->check == RULE_FREEZE || rule->check == RULE_WINDOW)
        times_validate(rule, findings);
}
