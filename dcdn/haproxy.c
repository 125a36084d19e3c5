#include "dcdn/haproxy.h"

#include "core/error.h"
#include "dcdn/change.h"
#include "agent/dialogue.h"
#include "dcdn/files.h"
#include "dcdn/giveup.h"
#include "dcdn/holder.h"

#include <stdio.h>
#include <string.h>

#define TURNS_MAX 3
#define RELOAD_LOOK_US 20000
#define PAYLOAD_MAX 12000 /* bytes of rows in one command; HAProxy's buffer has 16384 */

/* Where an apply is. */
enum phase { IDLE, READING, COMMANDING, RELOADING };

struct haproxy {
    struct loop *loop;
    struct edge_settings settings; /* strings owned */
    struct haproxy_callbacks callbacks;
    struct edge_files files;
    struct edge_state *state; /* desired; NULL before the first apply */
    char *mark;               /* of its configuration */

    enum phase phase;
    struct exchange *exchange; /* of the apply */
    unsigned turn;
    bool reload_asked;
    int64_t reload_until_us; /* 0: no reload in this apply */
    struct loop_timer *reload_timer;
    GPtrArray *commands;
    guint next_command;
    unsigned long version; /* of the transaction under way; 0: none */
    size_t rows_sent;
    char *refused; /* what HAProxy answered to a command, the last time */

    bool proven;        /* the process `pid` was read back equal to `state` */
    bool routes_proven; /* and its largest map need not be read again */
    GBytes *routes;     /* which routes that was */
    int64_t pid, uptime_s;
    struct exchange *watch; /* or NULL */
    struct loop_timer *watch_timer;
    int64_t audit_at_us;
    bool auditing;

    struct holder *holder;
    struct exchange *holding; /* MAP_HOLDS on its way, outside of an apply; or NULL */
    struct giveup *giveup;
    struct exchange *giving; /* commands of it; or NULL */
};

static void read_state(struct haproxy *h);
static void next_command(struct haproxy *h);

static void ask(struct haproxy *h, const char *text, exchange_fn fn)
{
    g_autofree char *line = g_strconcat(text, "\n", NULL);
    h->exchange = exchange_start_unix(h->loop, h->settings.haproxy_socket, line, HAPROXY_TIMEOUT_US, fn, h);
}

/* Cuts the replies to several commands apart: each ends in an empty line, and one without output is nothing else.
 * Moves *at behind it; g_free. */
static char *next_reply(const char **at)
{
    if ((*at)[0] == '\n') {
        (*at)++;
        return g_strdup("");
    }
    const char *end = strstr(*at, "\n\n");
    size_t len = end != NULL ? (size_t)(end - *at) + 1 : strlen(*at);
    char *reply = g_strndup(*at, len);
    *at += end != NULL ? len + 1 : len;
    return reply;
}

/* ---- holds ---- */

static void lost(struct haproxy *h, const char *what);

static void on_held(void *data, const char *reply, const GError *error)
{
    struct haproxy *h = data;
    struct edge_actual actual = {0};
    g_autoptr(GError) bad = NULL;
    h->holding = NULL;
    if (error != NULL || !h->proven)
        return; /* the watch says so; an apply reads it itself */
    reply += strspn(reply, "\n");
    g_autofree char *difference = NULL;
    if (actual_read_map(&actual, MAP_HOLDS, reply, &bad))
        difference = edge_difference(&actual, h->state);
    actual_clear(&actual);
    g_autofree char *what = g_strdup_printf("HAProxy did not take a hold: %s", bad != NULL ? bad->message : difference);
    if (bad != NULL || difference != NULL)
        lost(h, what);
}

/* The state's MAP_HOLDS has changed: to its file, for whatever starts next, and to HAProxy, by a command a room. */
static void publish_holds(struct haproxy *h, GPtrArray *notes)
{
    g_autoptr(GError) error = NULL;
    if (!edge_files_write(&h->files, h->state, &h->settings, &error))
        g_ptr_array_add(notes, g_strdup_printf("a hold would not outlive HAProxy: %s", error->message));
    g_autofree char *path = edge_map_path(&h->settings, MAP_HOLDS);
    GString *text = g_string_new(NULL);
    GHashTableIter iter;
    void *room, *home;
    g_hash_table_iter_init(&iter, h->state->maps[MAP_HOLDS]);
    while (g_hash_table_iter_next(&iter, &room, &home))
        g_string_append_printf(text, "set map %s %s %s; ", path, (char *)room, (char *)home);
    g_string_append_printf(text, "show map %s\n", path);
    exchange_cancel(h->holding);
    h->holding = exchange_start_unix(h->loop, h->settings.haproxy_socket, text->str, HAPROXY_TIMEOUT_US, on_held, h);
    g_string_free(text, TRUE);
}

static void say_notes(struct haproxy *h, const GPtrArray *notes)
{
    for (guint i = 0; i < notes->len; i++)
        h->callbacks.noted(h->callbacks.data, notes->pdata[i]);
}

static void settle_holds(struct haproxy *h)
{
    g_autoptr(GPtrArray) notes = g_ptr_array_new_with_free_func(g_free);
    if (holder_settle(h->holder, h->state, notes))
        publish_holds(h, notes);
    say_notes(h, notes);
}

static void step_holds(struct haproxy *h, const GPtrArray *replies)
{
    g_autoptr(GPtrArray) notes = g_ptr_array_new_with_free_func(g_free);
    if (h->state == NULL)
        return;
    if (holder_step(h->holder, h->state, replies, loop_now_us(), wall_now_us(), notes))
        publish_holds(h, notes);
    say_notes(h, notes);
}

static void on_given(void *data, const char *reply, const GError *error)
{
    struct haproxy *h = data;
    (void)reply;
    (void)error; /* the watch says so; the requests end by their time-outs */
    h->giving = NULL;
}

/* health: of be_health, or NULL. */
static void step_giveup(struct haproxy *h, const char *health)
{
    g_autoptr(GPtrArray) notes = g_ptr_array_new_with_free_func(g_free);
    int64_t now = loop_now_us();
    g_autofree char *commands = h->state != NULL ? giveup_step(h->giveup, h->state, health, now, notes) : NULL;
    int64_t due = giveup_due_us(h->giveup);
    if (due != 0 && due < now + HAPROXY_WATCH_US)
        loop_timer_arm(h->watch_timer, due);
    if (commands == NULL)
        return;
    g_autofree char *line = g_strconcat(commands, "\n", NULL);
    exchange_cancel(h->giving);
    h->giving = exchange_start_unix(h->loop, h->settings.haproxy_socket, line, HAPROXY_TIMEOUT_US, on_given, h);
    say_notes(h, notes);
}

/* replies: to holder_question, or NULL. */
static void step_rooms(struct haproxy *h, const GPtrArray *replies)
{
    step_giveup(h, replies != NULL ? replies->pdata[0] : NULL);
    step_holds(h, replies);
}

/* ---- the end of an apply ---- */

static void end_apply(struct haproxy *h, const char *why)
{
    h->phase = IDLE;
    h->proven = why == NULL;
    loop_timer_disarm(h->reload_timer);
    g_clear_pointer(&h->commands, g_ptr_array_unref);
    h->audit_at_us = loop_now_us() + HAPROXY_AUDIT_US;
    if (why == NULL) {
        settle_holds(h);
        h->callbacks.applied(h->callbacks.data);
    } else {
        h->callbacks.failed(h->callbacks.data, why);
    }
}

static void end_with_error(struct haproxy *h, const char *what, const GError *error)
{
    g_autofree char *why = g_strdup_printf("HAProxy: %s: %s", what, error->message);
    end_apply(h, why);
}

static void end_with_difference(struct haproxy *h, const char *difference)
{
    g_autofree char *why =
        g_strdup_printf("HAProxy does not have what it was given: %s%s%s", difference,
                        h->refused != NULL ? "; it answered: " : "", h->refused != NULL ? h->refused : "");
    end_apply(h, why);
}

/* ---- commands ---- */

/* True when there was nothing but empty lines; the first line otherwise is what HAProxy had against it. */
static bool accepted(struct haproxy *h, const char *reply)
{
    reply += strspn(reply, "\n ");
    if (reply[0] == '\0')
        return true;
    g_free(h->refused);
    h->refused = g_strndup(reply, MIN(strcspn(reply, "\n"), 200));
    return false;
}

static void on_command(void *data, const char *reply, const GError *error)
{
    struct haproxy *h = data;
    h->exchange = NULL;
    if (error != NULL) {
        end_with_error(h, "its socket", error);
        return;
    }
    accepted(h, reply); /* refused or not: what counts is what is read back */
    h->next_command++;
    next_command(h);
}

static void on_rows(void *data, const char *reply, const GError *error);

/* The next rows of a transaction, or its end. */
static void send_rows(struct haproxy *h)
{
    const struct command *command = h->commands->pdata[h->next_command];
    g_autofree char *path = edge_map_path(&h->settings, command->map);
    g_autofree char *text = NULL;
    if (h->rows_sent == command->rows->len) {
        text = g_strdup_printf("commit map @%lu %s", h->version, path);
        ask(h, text, on_command);
        return;
    }
    const char *rows = command->rows->str + h->rows_sent;
    size_t size = command->rows->len - h->rows_sent;
    if (size > PAYLOAD_MAX) {
        size = PAYLOAD_MAX;
        while (rows[size - 1] != '\n')
            size--; /* a row is far shorter than this */
    }
    h->rows_sent += size;
    text = g_strdup_printf("add map @%lu %s <<\n%.*s", h->version, path, (int)size, rows);
    ask(h, text, on_rows);
}

static void on_rows(void *data, const char *reply, const GError *error)
{
    struct haproxy *h = data;
    h->exchange = NULL;
    if (error != NULL) {
        end_with_error(h, "its socket", error);
        return;
    }
    if (accepted(h, reply)) {
        send_rows(h);
        return;
    }
    const struct command *command = h->commands->pdata[h->next_command];
    g_autofree char *path = edge_map_path(&h->settings, command->map);
    g_autofree char *text = g_strdup_printf("clear map @%lu %s", h->version, path);
    ask(h, text, on_command);
}

static void on_prepared(void *data, const char *reply, const GError *error)
{
    struct haproxy *h = data;
    h->exchange = NULL;
    if (error != NULL) {
        end_with_error(h, "its socket", error);
        return;
    }
    h->rows_sent = 0;
    if (sscanf(reply, "New version created: %lu", &h->version) == 1) {
        send_rows(h);
        return;
    }
    accepted(h, reply);
    h->next_command++;
    next_command(h);
}

static void next_command(struct haproxy *h)
{
    if (h->next_command == h->commands->len) {
        read_state(h);
        return;
    }
    const struct command *command = h->commands->pdata[h->next_command];
    if (command->text != NULL) {
        ask(h, command->text, on_command);
        return;
    }
    g_autofree char *path = edge_map_path(&h->settings, command->map);
    g_autofree char *text = g_strdup_printf("prepare map %s", path);
    ask(h, text, on_prepared);
}

/* ---- reload ---- */

static void on_reload_asked(void *data, const char *reply, const GError *error)
{
    struct haproxy *h = data;
    (void)reply;
    h->exchange = NULL;
    /* A master that has just started does not listen yet: it is asked again. */
    h->reload_asked = error == NULL || g_error_matches(error, SB_ERROR, SB_ERROR_TIMEOUT);
    loop_timer_arm(h->reload_timer, loop_now_us() + RELOAD_LOOK_US);
}

static void on_reload_timer(void *data)
{
    read_state(data);
}

/* The configuration of the running process is another one. */
static void reload(struct haproxy *h)
{
    int64_t now = loop_now_us();
    h->phase = RELOADING;
    h->routes_proven = false;
    if (h->reload_until_us == 0)
        h->reload_until_us = now + HAPROXY_RELOAD_US;
    if (h->settings.master_socket == NULL) {
        end_apply(h, "HAProxy must be reloaded for a changed inventory, and --master-socket was not given");
    } else if (now >= h->reload_until_us) {
        end_apply(h,
                  h->reload_asked
                      ? "HAProxy was asked to reload for a changed inventory and still runs with its old configuration"
                      : "HAProxy's master process does not take the reload that a changed inventory needs");
    } else if (h->reload_asked) {
        loop_timer_arm(h->reload_timer, now + RELOAD_LOOK_US);
    } else {
        h->exchange =
            exchange_start_unix(h->loop, h->settings.master_socket, "reload\n", HAPROXY_TIMEOUT_US, on_reload_asked, h);
    }
}

/* ---- reading ---- */

/* Maps are named by their files. with_routes: the largest of them too. */
static char *read_commands(const struct haproxy *h, bool with_routes)
{
    GString *text = g_string_new("show info; show servers state");
    for (unsigned i = 0; i < EDGE_MAPS; i++)
        if (i != MAP_ROUTES || with_routes)
            g_string_append_printf(text, "; show map %s/%s.map", h->settings.state_dir, edge_map_name(i));
    return g_string_free(text, FALSE);
}

static bool same_config(const struct haproxy *h, const struct edge_actual *actual)
{
    return strcmp(actual->mark, h->mark) == 0;
}

/* Reads all of the replies; what follows `show info` is left out when the configuration is another one. */
static bool parse_state(const struct haproxy *h, const char *reply, bool with_routes, struct edge_actual *actual,
                        GError **error)
{
    g_autofree char *info = next_reply(&reply);
    if (!actual_read_info(actual, info, error))
        return false;
    if (!same_config(h, actual))
        return true;
    g_autofree char *servers = next_reply(&reply);
    if (!actual_read_servers(actual, servers, error))
        return false;
    for (unsigned i = 0; i < EDGE_MAPS; i++) {
        if (i == MAP_ROUTES && !with_routes)
            continue;
        g_autofree char *map = next_reply(&reply);
        if (!actual_read_map(actual, i, map, error))
            return false;
    }
    return true;
}

static void note_process(struct haproxy *h, const struct edge_actual *actual)
{
    h->routes_proven = h->routes_proven && h->pid == actual->pid;
    h->pid = actual->pid;
    h->uptime_s = actual->uptime_s;
}

/* One turn: proven, or what to do about it. */
static void decide(struct haproxy *h, const struct edge_actual *actual, bool with_routes)
{
    g_autofree char *difference = edge_difference(actual, h->state);
    if (difference == NULL) {
        if (with_routes) {
            g_clear_pointer(&h->routes, g_bytes_unref);
            h->routes = g_bytes_ref(h->state->text[MAP_ROUTES]);
            h->routes_proven = true;
        }
        end_apply(h, NULL);
        return;
    }
    g_clear_pointer(&h->commands, g_ptr_array_unref);
    h->commands = edge_change(actual, h->state, h->settings.state_dir);
    if (h->turn++ == TURNS_MAX || h->commands->len == 0) {
        end_with_difference(h, difference);
        return;
    }
    h->phase = COMMANDING;
    h->next_command = 0;
    next_command(h);
}

static bool routes_wanted(const struct haproxy *h)
{
    return !h->routes_proven || !g_bytes_equal(h->routes, h->state->text[MAP_ROUTES]);
}

static void on_state(void *data, const char *reply, const GError *error)
{
    struct haproxy *h = data;
    h->exchange = NULL;
    bool reloading = h->phase == RELOADING;
    if (error != NULL && reloading && loop_now_us() < h->reload_until_us) {
        loop_timer_arm(h->reload_timer, loop_now_us() + RELOAD_LOOK_US); /* between two processes */
        return;
    }
    if (error != NULL) {
        h->pid = 0;
        end_with_error(h, "its socket", error);
        return;
    }
    struct edge_actual actual = {0};
    g_autoptr(GError) bad = NULL;
    bool with_routes = routes_wanted(h);
    bool ok = parse_state(h, reply, with_routes, &actual, &bad);
    int64_t pid = h->pid;
    if (ok)
        note_process(h, &actual);
    if (!ok)
        end_with_error(h, "what it has", bad);
    else if (!same_config(h, &actual))
        reload(h);
    else if (!with_routes && pid != h->pid)
        read_state(h); /* a new process since the question: it must be asked for its routes as well */
    else
        decide(h, &actual, with_routes);
    actual_clear(&actual);
}

static void read_state(struct haproxy *h)
{
    if (h->phase != RELOADING)
        h->phase = READING;
    g_autofree char *text = read_commands(h, routes_wanted(h));
    ask(h, text, on_state);
}

void haproxy_apply(struct haproxy *h, struct edge_state *state)
{
    g_assert(h->phase == IDLE);
    exchange_cancel(g_steal_pointer(&h->watch));
    exchange_cancel(g_steal_pointer(&h->holding)); /* this apply reads them back as well */
    holder_adopt(h->holder, state);
    edge_state_free(h->state);
    g_free(h->mark);
    h->state = state;
    h->mark = edge_config_mark(state, &h->settings);
    h->proven = false;
    h->reload_asked = false;
    h->reload_until_us = 0;
    h->turn = 0;
    g_clear_pointer(&h->refused, g_free);
    g_autoptr(GError) error = NULL;
    h->phase = READING;
    if (!edge_files_write(&h->files, state, &h->settings, &error))
        end_apply(h, error->message);
    else
        read_state(h);
}

/* ---- watching ---- */

static void lost(struct haproxy *h, const char *what)
{
    h->proven = false; /* said once: from here on applies say how it is */
    h->callbacks.restarted(h->callbacks.data, what);
}

/* The replies to holder_question, cut off the front. */
static GPtrArray *cut_hold_replies(const struct haproxy *h, const char **reply)
{
    GPtrArray *replies = g_ptr_array_new_with_free_func(g_free);
    for (unsigned i = 0; i < holder_replies(h->state); i++)
        g_ptr_array_add(replies, next_reply(reply));
    return replies;
}

static void on_watch(void *data, const char *reply, const GError *error)
{
    struct haproxy *h = data;
    h->watch = NULL;
    g_autoptr(GPtrArray) replies = error == NULL ? cut_hold_replies(h, &reply) : NULL;
    struct edge_actual actual = {0};
    g_autoptr(GError) bad = NULL;
    g_autofree char *what = NULL;
    if (error != NULL) {
        h->pid = 0;
        what = g_strdup_printf("HAProxy does not answer: %s", error->message);
    } else if (h->auditing ? !parse_state(h, reply, true, &actual, &bad) : !actual_read_info(&actual, reply, &bad)) {
        what = g_strdup_printf("HAProxy does not say what it has: %s", bad->message);
    } else if (actual.pid != h->pid) {
        what = g_strdup_printf("HAProxy is a new process, pid %" G_GINT64_FORMAT, actual.pid);
    } else if (!same_config(h, &actual)) {
        what = g_strdup("HAProxy runs with another configuration");
    } else if (h->auditing) {
        g_autofree char *difference = edge_difference(&actual, h->state);
        h->routes_proven = h->routes_proven && difference == NULL;
        if (difference != NULL)
            what = g_strdup_printf("HAProxy was changed by someone else: %s", difference);
    }
    h->uptime_s = actual.uptime_s;
    actual_clear(&actual);
    step_rooms(h, what == NULL ? replies : NULL);
    if (what != NULL)
        lost(h, what);
    else
        h->callbacks.checked(h->callbacks.data, replies->pdata[0]);
}

static void on_watch_timer(void *data)
{
    struct haproxy *h = data;
    int64_t now = loop_now_us();
    loop_timer_arm(h->watch_timer, now + HAPROXY_WATCH_US);
    if (!h->proven)
        step_rooms(h, NULL);
    if (!h->proven || h->watch != NULL)
        return;
    edge_files_sync(&h->files, &h->settings);
    h->auditing = now >= h->audit_at_us && h->holding == NULL; /* or it would read what is being changed */
    if (h->auditing)
        h->audit_at_us = now + HAPROXY_AUDIT_US;
    g_autofree char *text = h->auditing ? read_commands(h, true) : g_strdup("show info");
    g_autofree char *question = holder_question(h->state);
    g_autofree char *line = g_strconcat(question, "; ", text, "\n", NULL);
    h->watch = exchange_start_unix(h->loop, h->settings.haproxy_socket, line, HAPROXY_TIMEOUT_US, on_watch, h);
}

/* ---- life ---- */

struct haproxy *haproxy_new(struct loop *loop, const struct edge_settings *settings,
                            const struct haproxy_callbacks *callbacks)
{
    struct haproxy *h = g_new0(struct haproxy, 1);
    h->loop = loop;
    h->callbacks = *callbacks;
    h->settings = (struct edge_settings){g_strdup(settings->name),
                                         g_strdup(settings->cluster),
                                         g_strdup(settings->state_dir),
                                         g_strdup(settings->listen),
                                         g_strdup(settings->haproxy_socket),
                                         g_strdup(settings->master_socket),
                                         settings->hold_us,
                                         settings->hold_stage_us,
                                         settings->relay_allowance};
    h->holder = holder_new(settings, loop_now_us(), wall_now_us());
    h->giveup = giveup_new();
    h->reload_timer = loop_timer_new(loop, on_reload_timer, h);
    h->watch_timer = loop_timer_new(loop, on_watch_timer, h);
    loop_timer_arm(h->watch_timer, loop_now_us() + HAPROXY_WATCH_US);
    return h;
}

void haproxy_free(struct haproxy *h)
{
    if (h == NULL)
        return;
    exchange_cancel(h->exchange);
    exchange_cancel(h->watch);
    exchange_cancel(h->holding);
    exchange_cancel(h->giving);
    holder_free(h->holder);
    giveup_free(h->giveup);
    loop_timer_free(h->reload_timer);
    loop_timer_free(h->watch_timer);
    edge_files_clear(&h->files);
    edge_state_free(h->state);
    g_clear_pointer(&h->commands, g_ptr_array_unref);
    g_clear_pointer(&h->routes, g_bytes_unref);
    g_free(h->mark);
    g_free(h->refused);
    char *const strings[] = {(char *)h->settings.name,           (char *)h->settings.cluster,
                             (char *)h->settings.state_dir,      (char *)h->settings.listen,
                             (char *)h->settings.haproxy_socket, (char *)h->settings.master_socket};
    for (size_t i = 0; i < G_N_ELEMENTS(strings); i++)
        g_free(strings[i]);
    g_free(h);
}

const struct edge_state *haproxy_state(const struct haproxy *h)
{
    return h->state;
}

int64_t haproxy_pid(const struct haproxy *h)
{
    return h->pid;
}

json_t *haproxy_holds(const struct haproxy *h)
{
    return holder_to_json(h->holder, loop_now_us());
}

int64_t haproxy_uptime_s(const struct haproxy *h)
{
    return h->uptime_s;
}
