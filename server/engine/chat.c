#include "server/engine/chat.h"

#include <glib.h>
#include <stdbool.h>
#include <string.h>

static const char *word(const json_t *body, const char *member)
{
    const char *text = json_string_value(json_object_get(body, member));
    return text != NULL ? text : "";
}

static int64_t number(const json_t *body, const char *member)
{
    return json_integer_value(json_object_get(body, member));
}

/* Appends a text that is not ours. */
static void say(GString *line, const char *text)
{
    for (; *text != '\0'; text++) {
        const char *entity = *text == '&' ? "&amp;" : *text == '<' ? "&lt;" : *text == '>' ? "&gt;" : NULL;
        if (entity != NULL)
            g_string_append(line, entity);
        else
            g_string_append_c(line, g_ascii_iscntrl(*text) ? ' ' : *text);
    }
}

static void link_to(GString *line, const char *console, const char *what, const char *path, const char *id)
{
    g_autofree char *word = g_uri_escape_string(id, NULL, false);
    size_t len = strlen(console);
    while (len > 0 && console[len - 1] == '/')
        len--;
    g_string_append_printf(line, "\n%s: %.*s%s%s", what, (int)len, console, path, word);
}

static void say_alarm(GString *line, const json_t *alarm, const char *console)
{
    const char *state = word(alarm, "state"), *plan = word(alarm, "plan");
    const json_t *ack = json_object_get(alarm, "ack");
    bool over = strcmp(state, "over") == 0, taken = strcmp(state, "acknowledged") == 0;
    if (taken) {
        say(line, word(ack, "actor"));
        g_string_append(line, " looks after ");
    }
    g_string_append_printf(line, "%sP%" G_GINT64_FORMAT " ", over ? "over: " : "", number(alarm, "priority"));
    say(line, word(alarm, "title"));
    const char *more = taken ? word(ack, "reason") : over ? "" : word(alarm, "evidence");
    g_string_append(line, more[0] != '\0' ? ": " : "");
    say(line, more);
    if (over || taken)
        return;
    if (plan[0] != '\0') {
        g_autofree char *name = g_uri_escape_string(plan, NULL, false);
        g_autofree char *path = g_strdup_printf("/failover?plan=%s&target=", name);
        link_to(line, console, plan, path, word(alarm, "object"));
    }
    link_to(line, console, "acknowledge", "/?alarm=", word(alarm, "key"));
}

static bool none_begun(const json_t *execution)
{
    const json_t *step;
    size_t i;
    bool none = true;
    json_array_foreach (json_object_get(execution, "steps"), i, step)
        none = none && strcmp(word(step, "state"), "pending") == 0;
    return none;
}

/* In between it is the console's. */
static void say_execution(GString *line, const char *id, const json_t *execution, const char *console)
{
    bool ended = number(execution, "ended_us") > 0;
    if (word(execution, "parent")[0] != '\0' || (!ended && !none_begun(execution)))
        return;
    say(line, word(execution, "plan"));
    g_string_append(line, word(execution, "target")[0] != '\0' ? " " : "");
    say(line, word(execution, "target"));
    g_string_append_printf(line, " %s, ", ended ? word(execution, "state") : "begins");
    say(line, word(execution, "actor"));
    const char *why = ended ? word(execution, "error") : word(execution, "reason");
    g_string_append(line, why[0] != '\0' ? ": " : "");
    say(line, why);
    link_to(line, console, "see", "/executions/", id);
}

char *chat_text(const char *kind, const char *id, const json_t *body, const char *console)
{
    GString *line = g_string_new(NULL);
    if (strcmp(kind, "alarm") == 0)
        say_alarm(line, body, console);
    else if (strcmp(kind, "execution") == 0)
        say_execution(line, id, body, console);
    else if (strcmp(kind, "message") == 0)
        say(line, word(body, "text")[0] != '\0' ? word(body, "text") : "a test of this webhook");
    return g_string_free(line, line->len == 0);
}
