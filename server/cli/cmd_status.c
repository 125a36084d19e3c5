/* cmd_status.c: the site at a glance, once or again every second. */
#include "server/cli/cli.h"

#include "core/error.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define STALE_MS 5000 /* the server leaves out the figures of who was not heard for so long */

struct watch {
    struct cli *cli;
    struct loop *loop;
    struct loop_timer *timer;
    int code;
};

static void section(const json_t *status, const char *title, const char *member, const char *const *columns)
{
    const json_t *rows = json_object_get(status, member);
    if (json_array_size(rows) == 0)
        return;
    printf("%s\n", title);
    cli_print_table(rows, columns);
    putchar('\n');
}

/* Marks: a row that a person should look at begins with "!". */

static double number(const json_t *row, const char *member)
{
    return json_number_value(json_object_get(row, member));
}

static bool room_needs_a_look(const json_t *room)
{
    return number(room, "fail_rate") > 0 || json_is_string(json_object_get(room, "held"));
}

static bool entrance_needs_a_look(const json_t *entrance)
{
    return number(entrance, "up") < number(entrance, "seen") || number(entrance, "seen") <= 0;
}

static bool edge_needs_a_look(const json_t *edge)
{
    return strcmp(cli_text(edge, "state"), "applied") != 0 || number(edge, "age_ms") > STALE_MS ||
           number(edge, "fail_rate") > 0;
}

static bool server_needs_a_look(const json_t *server)
{
    return strcmp(cli_text(server, "state"), "converged") != 0;
}

static bool service_needs_a_look(const json_t *service)
{
    return number(service, "fail_rate") > 0;
}

static void mark(const json_t *status, const char *member, bool (*needs_a_look)(const json_t *row))
{
    size_t i;
    json_t *row;
    json_array_foreach (json_object_get(status, member), i, row)
        json_object_set_new(row, "mark", json_string(needs_a_look(row) ? "!" : ""));
}

static void milliseconds_to_seconds(const json_t *status, const char *member, const char *ms, const char *s)
{
    size_t i;
    json_t *row;
    json_array_foreach (json_object_get(status, member), i, row)
        if (json_is_number(json_object_get(row, ms)))
            json_object_set_new(row, s, json_real(number(row, ms) / 1000));
}

/* A room's entrances together: its POPs, then its ring. */
static void gather_by_room(json_t *status)
{
    const json_t *entrances = json_object_get(status, "entrances");
    json_t *gathered = json_array();
    size_t i, j;
    json_t *room, *entrance;
    json_array_foreach (json_object_get(status, "rooms"), i, room)
        json_array_foreach (entrances, j, entrance)
            if (strcmp(cli_text(entrance, "room"), cli_text(room, "name")) == 0)
                json_array_append(gathered, entrance);
    json_object_set_new(status, "entrances", gathered);
}

/* Levers that are off their defaults: whoever comes to it at night must see what was moved, and by whom. */
static void add_levers(json_t *status, const json_t *controls)
{
    json_t *moved = json_array();
    size_t i;
    json_t *control;
    json_array_foreach (json_object_get(controls, "controls"), i, control)
        if (strcmp(cli_text(control, "value"), "default") != 0)
            json_array_append(moved, control);
    json_object_set_new(status, "levers", moved);
}

/* When it began, how that is known, and what to type: at night nobody puts a command together from two columns. */
static void print_alarms(const json_t *status)
{
    size_t i;
    json_t *alarm;
    json_array_foreach (json_object_get(status, "alarms"), i, alarm) {
        g_autoptr(GDateTime) since = g_date_time_new_from_unix_utc((gint64)number(alarm, "since_us") / G_USEC_PER_SEC);
        g_autofree char *time = since != NULL ? g_date_time_format(since, "%H:%M:%S") : g_strdup("?");
        printf("! P%.0f since %s  %s\n      %s\n", number(alarm, "priority"), time, cli_text(alarm, "title"),
               cli_text(alarm, "evidence"));
        if (cli_text(alarm, "plan")[0] != '\0')
            printf("      signalbox plan run %s --confirm %s\n", cli_text(alarm, "plan"), cli_text(alarm, "object"));
    }
    if (i > 0)
        putchar('\n');
}

static void print_status(const json_t *status)
{
    g_autofree char *generation = cli_value_text(cli_member(status, "generation"));
    g_autoptr(GDateTime) now = g_date_time_new_now_utc();
    g_autofree char *time = g_date_time_format(now, "%Y-%m-%d %H:%M:%S UTC");
    printf("%s   generation %s   %s\n\n", cli_text(status, "cluster"), generation, time);
    print_alarms(status);
    section(status, "Rooms", "rooms",
            (const char *const[]){"!=mark", "name", "ingress", "compute", "requests/s=rate", "share %=share_percent",
                                  "failing/s=fail_rate", NULL});
    section(status, "Entrances, as the edges see them", "entrances",
            (const char *const[]){"!=mark", "room", "entrance=via", "control", "up at=up", "of=seen", "check=status",
                                  NULL});
    section(status, "Edges", "edges",
            (const char *const[]){"!=mark", "name", "class", "state", "generation", "requests/s=rate",
                                  "failing/s=fail_rate", "heard s ago=age_s", "error", NULL});
    section(status, "Gateways", "gateways",
            (const char *const[]){"!=mark", "name", "room", "gateway=lever", "state", "generation", "announces",
                                  "heard s ago=age_s", "error", NULL});
    section(status, "Name servers", "servers",
            (const char *const[]){"!=mark", "name", "role", "state", "generation", "old answers s=residual_s", "error",
                                  NULL});
    section(status, "Registries", "registries",
            (const char *const[]){"!=mark", "name", "state", "generation", "error", NULL});
    section(status, "Services", "services",
            (const char *const[]){"!=mark", "name", "active", "tier", "requests/s=rate", "failing/s=fail_rate",
                                  "failing %=fail_percent", "answered in=rooms", NULL});
    section(status, "Levers off their defaults", "levers",
            (const char *const[]){"lever=control", "object", "value", "who=actor", "execution", NULL});
    section(status, "Executions under way", "executions",
            (const char *const[]){"id", "plan", "target", "state", "text", NULL});
    size_t i;
    json_t *warning;
    json_array_foreach (json_object_get(status, "warnings"), i, warning)
        printf("! %s\n", json_string_value(warning));
}

static void arrange(json_t *status, const json_t *controls)
{
    gather_by_room(status);
    add_levers(status, controls);
    mark(status, "rooms", room_needs_a_look);
    mark(status, "entrances", entrance_needs_a_look);
    mark(status, "edges", edge_needs_a_look);
    mark(status, "gateways", edge_needs_a_look);
    mark(status, "servers", server_needs_a_look);
    mark(status, "registries", server_needs_a_look);
    mark(status, "services", service_needs_a_look);
    milliseconds_to_seconds(status, "edges", "age_ms", "age_s");
    milliseconds_to_seconds(status, "gateways", "age_ms", "age_s");
    milliseconds_to_seconds(status, "servers", "residual_ms", "residual_s");
}

static int show(struct cli *cli, bool clear)
{
    json_t *status = NULL, *controls = NULL;
    int code = cli_get(cli, "/v1/status", &status);
    if (code == EXIT_OK && !cli->json)
        code = cli_get(cli, "/v1/controls", &controls);
    if (code == EXIT_OK && clear)
        fputs("\033[H\033[J", stdout);
    if (code == EXIT_OK && cli->json) {
        cli_print_json(status);
    } else if (code == EXIT_OK) {
        arrange(status, controls);
        print_status(status);
    }
    json_decref(status);
    json_decref(controls);
    return code;
}

/* A server that is gone for a moment ends nothing: whoever watches wants to see it come back. */
static void on_second(void *data)
{
    struct watch *watch = data;
    watch->code = show(watch->cli, isatty(STDOUT_FILENO) && !watch->cli->json);
    if (cli_output_lost())
        loop_stop(watch->loop);
    loop_timer_arm(watch->timer, loop_now_us() + G_USEC_PER_SEC);
}

int command_status(struct cli *cli, int argc, char **argv)
{
    if (argc == 1)
        return show(cli, false);
    if (argc != 2 || strcmp(argv[1], "--watch") != 0)
        return cli_usage("status");
    g_autoptr(GError) error = NULL;
    struct watch watch = {.cli = cli, .loop = loop_new(&error)};
    if (watch.loop == NULL)
        return cli_error(error);
    watch.timer = loop_timer_new(watch.loop, on_second, &watch);
    loop_timer_arm(watch.timer, loop_now_us());
    loop_run(watch.loop); /* until the terminal's Ctrl-C, or nobody reads */
    loop_timer_free(watch.timer);
    loop_free(watch.loop);
    return watch.code;
}
