/* The pure part of dcdn/ and what agents keep on disk. */
#include "agent/keep.h"
#include "core/fileio.h"
#include "dcdn/change.h"
#include "dcdn/counters.h"
#include "dcdn/files.h"
#include "dcdn/render.h"

#include "tests/unit/edgeparts.h"
#include "tests/unit/unit.h"
#include <stdio.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct edge_settings settings = {"edge-1",         "two-rooms", "/s",    "0.0.0.0:80", "/s/haproxy.sock",
                                              "/s/master.sock", 60000000,    5000000, 1000};
static const struct edge_table_text rest;
static const struct edge_table_text closed = {
    .rooms = "multi/room-a room-b\nmulti/room-b room-b\nsingle/room-a room-a\nsingle/room-b room-b\n",
    .origins = "multi/room-a/pop-a1 out\nmulti/room-a/pop-a2 out\nrelay/edge-3/relay out\n"};

static struct edge_state *state_of(uint64_t generation, const struct edge_table_text *text)
{
    struct edge_parts table;
    g_autoptr(GError) error = NULL;
    edge_parts_init(&table, 65537, generation, text);
    struct edge_state *state = edge_state_new(&table.manifest, table.parts, &error);
    ck_assert_msg(state != NULL, "%s", error != NULL ? error->message : "");
    edge_parts_clear(&table);
    return state;
}

/* A HAProxy that has exactly this. */
static struct edge_actual actual_of(const struct edge_state *state)
{
    struct edge_actual actual = {0};
    GString *servers = g_string_new("1\n# be_id be_name srv_id ...\n");
    for (guint i = 0; i < state->servers->len; i++) {
        const struct edge_server *server = state->servers->pdata[i];
        char text[ADDR_TEXT_SIZE];
        g_string_append_printf(servers, "3 %s 1 %s %s 2 %d 1 1 19 1 0 2 0 0 0 0 - %u - 0 0 - - 0\n", server->backend,
                               server->name, addr_format(&server->address.addr, text), server->out ? 5 : 4,
                               server->address.port);
    }
    ck_assert(actual_read_servers(&actual, servers->str, NULL));
    g_string_free(servers, TRUE);
    for (unsigned i = 0; i < EDGE_MAPS; i++) {
        GString *rows = g_string_new(NULL);
        GHashTableIter iter;
        void *key, *value;
        g_hash_table_iter_init(&iter, state->maps[i]);
        while (g_hash_table_iter_next(&iter, &key, &value))
            g_string_append_printf(rows, "0x55d0c0ffee00 %s %s\n", (char *)key, (char *)value);
        ck_assert(actual_read_map(&actual, i, rows->str, NULL));
        g_string_free(rows, TRUE);
    }
    return actual;
}

/* ---- rendering ---- */

START_TEST(the_configuration_has_a_server_for_each_road)
{
    static const char *const lines[] = {
        "backend be_health\n",
        "backend be_multi_room-a\n",
        "backend be_multi-dr_room-b\n",
        "backend be_single_room-a\n",
        "    server room-a.pop-a1 198.51.100.11:80 track be_health/room-a.pop-a1 backup\n",
        "    server room-a.pop-a1 198.51.100.11:80 check observe layer4 error-limit 2 on-error mark-down\n",
        "    server edge-3 203.0.113.13:80 check",
        "    bind 0.0.0.0:80\n",
        "map_beg(/s/routes.map)",
        "if probe_header { src 127.0.0.0/8 ::1  }\n",
        "if probe_header { var(txn.relayed) -m found } { path_end /.well-known/signalbox-probe }\n",
        "http-response track-sc1"};
    sb_auto(edge_state) state = state_of(7, &rest);
    g_autofree char *text = edge_config_render(state, &settings);
    for (size_t i = 0; i < G_N_ELEMENTS(lines); i++)
        ck_assert_msg(strstr(text, lines[i]) != NULL, "%s not in\n%s", lines[i], text);
    ck_assert_ptr_null(strstr(text, "disabled"));
    g_autofree char *again = edge_config_render(state, &settings);
    ck_assert_str_eq(text, again);
}
END_TEST

static unsigned times(const char *text, const char *word)
{
    unsigned n = 0;
    for (const char *at = text; (at = strstr(at, word)) != NULL; at++)
        n++;
    return n;
}

START_TEST(a_closed_room_is_disabled_in_every_backend_but_health_and_needs_no_reload)
{
    sb_auto(edge_state) open = state_of(7, &rest);
    sb_auto(edge_state) shut = state_of(8, &closed);
    g_autofree char *text = edge_config_render(shut, &settings);
    g_autofree char *before = edge_config_mark(open, &settings);
    g_autofree char *after = edge_config_mark(shut, &settings);
    ck_assert_str_eq(before, after);
    /* pop-a1 and pop-a2 in be_multi_room-a, both rooms' be_multi-dr_R and be_multi-away_R; and the relay; each twice */
    ck_assert_uint_eq(times(text, " disabled\n"), 22);
    ck_assert_uint_eq(times(text, "198.51.100.11:80 check\n"), 1); /* health */
}
END_TEST

START_TEST(a_changed_inventory_changes_the_mark)
{
    sb_auto(edge_state) one = state_of(7, &rest);
    sb_auto(edge_state) two = state_of(7, &(struct edge_table_text){.layout = "class dedicated\n"
                                                                              "origin/room-a/ring 10.1.0.1:80\n"
                                                                              "origin/room-b/ring 10.2.0.1:80\n"});
    g_autofree char *before = edge_config_mark(one, &settings);
    g_autofree char *after = edge_config_mark(two, &settings);
    g_autofree char *text = edge_config_render(two, &settings);
    ck_assert_str_ne(before, after);
    ck_assert_ptr_nonnull(strstr(text, "    server room-a.ring 10.1.0.1:80 check observe layer4 error-limit 2 on-error "
                                       "fastinter\n")); /* alone in its backend */
    ck_assert_ptr_nonnull(strstr(text, "backend be_relay\n"));
}
END_TEST

START_TEST(text_that_haproxy_would_take_for_more_is_refused)
{
    static const char *const bad[] = {"a;quit", "a b", "a\n", "a\\", "a<<", "a\"", "a'", "a#", "a%[x]", "", "\xc3\xa4"};
    static const char *const good[] = {"creator.example.test/upload/", "7|multi|on|relay", "-", "[2001:db8::1]:80",
                                       "a_b~c"};
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++)
        ck_assert_msg(!edge_text_safe(bad[i]), "%s", bad[i]);
    for (size_t i = 0; i < G_N_ELEMENTS(good); i++)
        ck_assert_msg(edge_text_safe(good[i]), "%s", good[i]);
    struct edge_settings s = settings;
    g_autoptr(GError) error = NULL;
    ck_assert(edge_settings_check(&s, NULL));
    s.listen = "0.0.0.0:80\n";
    ck_assert(!edge_settings_check(&s, &error));
    ck_assert_msg(strstr(error->message, "--listen") != NULL, "%s", error->message);
    for (unsigned i = 0; i < 4; i++) {
        g_clear_error(&error);
        s = settings;
        s.relay_allowance = i == 0 ? 0 : i == 1 ? EDGE_RELAY_ALLOWANCE_MAX + 1 : s.relay_allowance;
        s.hold_us = i == 2 ? -1 : s.hold_us;
        s.hold_stage_us = i == 3 ? 0 : s.hold_stage_us;
        ck_assert(!edge_settings_check(&s, &error));
        ck_assert_msg(strstr(error->message, i < 2 ? "--relay-allowance" : "--hold") != NULL, "%s", error->message);
    }
    struct edge_parts table;
    g_autoptr(GError) refused = NULL;
    edge_parts_init(&table, 65537, 7, &(struct edge_table_text){.rooms = "multi/room-a room-b;quit\n"});
    ck_assert_ptr_null(edge_state_new(&table.manifest, table.parts, &refused));
    ck_assert_msg(strstr(refused->message, "part rooms") != NULL, "%s", refused->message);
    edge_parts_clear(&table);
    g_clear_error(&refused);
    edge_parts_init(&table, 65537, 7, &(struct edge_table_text){.layout = "class gateway\n"});
    ck_assert_ptr_null(edge_state_new(&table.manifest, table.parts, &refused));
    ck_assert_msg(strstr(refused->message, "'class gateway', expected class") != NULL, "%s", refused->message);
    edge_parts_clear(&table);
}
END_TEST

/* Where a server of that name is: "BACKEND" or "BACKEND backup", in order; g_free. */
static char *places_of(const struct edge_state *state, const char *name)
{
    GString *text = g_string_new(NULL);
    for (guint i = 0; i < state->servers->len; i++) {
        const struct edge_server *server = state->servers->pdata[i];
        if (strcmp(server->name, name) == 0)
            g_string_append_printf(text, "%s%s%s ", server->backend, server->backup ? "+" : "", server->out ? "-" : "");
    }
    return g_string_free(text, FALSE);
}

/* Behind the entrances, for what lives in the room alone: nobody who may be served elsewhere goes there. */
START_TEST(an_escape_is_a_backup_of_single_room_services)
{
    const struct edge_table_text text = {.layout = "class public\nescape/room-a/escape-a 198.51.100.41:80\n"
                                                   "origin/room-a/pop-a1 198.51.100.11:80\n"
                                                   "origin/room-b/pop-b1 198.51.100.21:80\n",
                                         .origins = ""};
    const struct edge_table_text out = {.layout = text.layout, .origins = "single/room-a/escape-a out\n"};
    sb_auto(edge_state) state = state_of(7, &text);
    sb_auto(edge_state) shut = state_of(8, &out);
    g_autofree char *in = places_of(state, "room-a.escape-a"), *none = places_of(shut, "room-a.escape-a");
    ck_assert_str_eq(in, "be_health be_single_room-a+ be_patient-single_room-a+ ");
    ck_assert_str_eq(none, "be_health be_single_room-a+- be_patient-single_room-a+- ");
}
END_TEST

/* ---- changes ---- */

START_TEST(nothing_to_change_is_no_command)
{
    sb_auto(edge_state) state = state_of(7, &rest);
    struct edge_actual actual = actual_of(state);
    g_autoptr(GPtrArray) commands = edge_change(&actual, state, "/s");
    ck_assert_uint_eq(commands->len, 0);
    ck_assert_ptr_null(edge_difference(&actual, state));
    actual_clear(&actual);
}
END_TEST

static void expect_order(const char *text, const char *first, const char *second)
{
    const char *a = strstr(text, first), *b = strstr(text, second);
    ck_assert_msg(a != NULL && b != NULL && a < b, "%s, then %s, in: %s", first, second, text);
}

START_TEST(a_room_switch_is_one_short_line_in_a_safe_order)
{
    sb_auto(edge_state) open = state_of(7, &rest);
    sb_auto(edge_state) shut = state_of(8, &closed);
    struct edge_actual actual = actual_of(open);
    g_autofree char *difference = edge_difference(&actual, shut);
    ck_assert_ptr_nonnull(difference);
    g_autoptr(GPtrArray) commands = edge_change(&actual, shut, "/s");
    ck_assert_uint_eq(commands->len, 1);
    const char *text = ((struct command *)commands->pdata[0])->text;
    const char *rooms = strstr(text, "set map /s/rooms.map multi/room-a room-b");
    const char *out = strstr(text, "set server be_multi-dr_room-b/room-a.pop-a1 state maint");
    const char *meta = strstr(text, "set map /s/meta.map generation 8");
    ck_assert_msg(rooms != NULL && out != NULL && meta != NULL && rooms < out && out < meta, "%s", text);
    ck_assert_uint_eq(times(text, "set server"), 22);
    actual_clear(&actual);

    actual = actual_of(shut); /* and back: in before use */
    g_autoptr(GPtrArray) back = edge_change(&actual, open, "/s");
    text = ((struct command *)back->pdata[0])->text;
    expect_order(text, "state ready", "set map /s/rooms.map");
    actual_clear(&actual);
}
END_TEST

START_TEST(a_new_split_is_added_then_used_then_the_old_one_removed)
{
    sb_auto(edge_state) old = state_of(7, &rest);
    sb_auto(edge_state) new = state_of(
        8,
        &(struct edge_table_text){.splits = "3000:3999 room-a\n7000:7499 room-a\n7500:7999 room-b\n9000:9999 room-b\n",
                                  .policies = "core-line.playback 7|multi|on|relay\n"
                                              "core.playback 9|multi|on|local\n"
                                              "creator.creator 3|single|off|local\n"
                                              "creator.upload 3|single|off|local\n"
                                              "manual.home 7|multi|off|local\n"});
    struct edge_actual actual = actual_of(old);
    g_autoptr(GPtrArray) commands = edge_change(&actual, new, "/s");
    const char *text = ((struct command *)commands->pdata[0])->text;
    expect_order(text, "add map /s/splits.map 9000:9999 room-b", "set map /s/policies.map core.playback");
    actual_clear(&actual);
    actual = actual_of(new);
    g_autoptr(GPtrArray) back = edge_change(&actual, old, "/s");
    text = ((struct command *)back->pdata[0])->text;
    expect_order(text, "set map /s/policies.map core.playback", "del map /s/splits.map 9000:9999");
    actual_clear(&actual);
}
END_TEST

START_TEST(few_changed_rows_are_a_command_each)
{
    sb_auto(edge_state) old = state_of(7, &rest);
    sb_auto(edge_state) new =
        state_of(7, &(struct edge_table_text){
                        .rooms = "multi/room-a room-b\nmulti/room-b room-a\nsingle/room-a -\nsingle/room-b room-b\n"});
    struct edge_actual actual = actual_of(old);
    g_autoptr(GPtrArray) commands = edge_change(&actual, new, "/s");
    ck_assert_uint_eq(commands->len, 1);
    const struct command *command = commands->pdata[0];
    ck_assert_ptr_nonnull(command->text);
    ck_assert_ptr_nonnull(strstr(command->text, "set map /s/rooms.map multi/room-b room-a"));
    ck_assert_ptr_null(strstr(command->text, "single/room-b")); /* has not changed */
    actual_clear(&actual);
}
END_TEST

START_TEST(changed_ranges_of_a_split_are_one_transaction)
{
    sb_auto(edge_state) old = state_of(7, &(struct edge_table_text){.splits = "7000:7499 room-a\n7500:7999 room-b\n"});
    sb_auto(edge_state) new = state_of(7, &(struct edge_table_text){.splits = "7000:7499 room-b\n7500:7999 room-a\n"});
    struct edge_actual actual = actual_of(old);
    g_autoptr(GPtrArray) commands = edge_change(&actual, new, "/s");
    ck_assert_uint_eq(commands->len, 1);
    const struct command *command = commands->pdata[0];
    ck_assert_ptr_null(command->text);
    ck_assert_int_eq(command->map, MAP_SPLITS);
    ck_assert_ptr_nonnull(strstr(command->rows->str, "7000:7499 room-b\n"));
    ck_assert_ptr_nonnull(strstr(command->rows->str, "7500:7999 room-a\n"));
    actual_clear(&actual);
}
END_TEST

START_TEST(differences_are_named)
{
    static const struct {
        const char *servers_from, *servers_to, *says;
    } rows[] = {
        {"198.51.100.11", "198.51.100.99", "server be_health/room-a.pop-a1 has address 198.51.100.99:80"},
        {"room-a.pop-a1", "room-a.pop-x1", "server be_health/room-a.pop-a1 is missing"},
    };
    sb_auto(edge_state) state = state_of(7, &rest);
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        struct edge_actual actual = actual_of(state);
        g_autofree char *text = g_strdup_printf("1\n3 be_health 1 %s %s 2 4 1 1 19 1 0 2 0 0 0 0 - 80 - 0 0 - - 0\n",
                                                i == 1 ? rows[i].servers_to : "room-a.pop-a1",
                                                i == 0 ? rows[i].servers_to : "198.51.100.11");
        ck_assert(actual_read_servers(&actual, text, NULL));
        g_autofree char *found = edge_difference(&actual, state);
        ck_assert_msg(found != NULL && strstr(found, rows[i].says) != NULL, "%s", found);
        actual_clear(&actual);
    }
    struct edge_actual actual = {0};
    g_autoptr(GError) error = NULL;
    ck_assert(!actual_read_map(&actual, MAP_ROOMS, "Unknown map identifier.\n", &error));
    ck_assert_msg(strstr(error->message, "Unknown map") != NULL, "%s", error->message);
    ck_assert(!actual_read_info(&actual, "nothing\n", NULL));
    ck_assert(!actual_read_servers(&actual, "2\n", NULL));
}
END_TEST

/* Reads the reply in place of what is there; true: it was an error or a difference, in words that may be printed. */
static bool is_refused(struct edge_actual *actual, const struct edge_state *state, int map, const char *reply)
{
    g_autoptr(GError) error = NULL;
    bool ok = map < 0 ? actual_read_servers(actual, reply, &error)
                      : actual_read_map(actual, (enum edge_map)map, reply, &error);
    g_autofree char *difference = ok ? edge_difference(actual, state) : NULL;
    const char *says = ok ? difference : error->message;
    if (says == NULL)
        return false;
    ck_assert_msg(g_utf8_validate(says, -1, NULL), "%s", says);
    for (const char *c = says; *c != '\0'; c++)
        ck_assert_msg((unsigned char)*c >= ' ' && *c != 0x7f, "%s", says);
    return true;
}

/* Every bit of the reply's `text`, one after the other; each change must be refused. */
static unsigned damage(struct edge_actual *actual, const struct edge_state *state, int map, const char *reply,
                       const char *text)
{
    unsigned n = 0;
    for (size_t at = (size_t)(text - reply), end = at + strcspn(text, " \n"); at < end; at++)
        for (unsigned bit = 0; bit < 8; bit++, n++) {
            g_autofree char *bad = g_strdup(reply);
            bad[at] = (char)(bad[at] ^ (1 << bit));
            ck_assert_msg(is_refused(actual, state, map, bad), "map %d, byte %zu, bit %u", map, at, bit);
        }
    return n;
}

/* A reply that says something else than what is to be, in a key, a value, an address or a port, is never taken for it.
 * (Only bit 0 of a server's admin state is read, and addresses of map entries are not.) */
START_TEST(damaged_answers_are_not_believed)
{
    sb_auto(edge_state) state = state_of(7, &rest);
    unsigned n = 0;
    for (int map = 0; map < EDGE_MAPS; map++) {
        GHashTableIter iter;
        void *key, *value;
        GString *reply = g_string_new(NULL);
        g_hash_table_iter_init(&iter, state->maps[map]);
        while (g_hash_table_iter_next(&iter, &key, &value))
            g_string_append_printf(reply, "0x55d0c0ffee00 %s %s\n", (char *)key, (char *)value);
        struct edge_actual actual = actual_of(state);
        for (const char *line = reply->str; *line != '\0'; line = strchr(line, '\n') + 1) {
            const char *first = strchr(line, ' ') + 1;
            n += damage(&actual, state, map, reply->str, first);
            n += damage(&actual, state, map, reply->str, strchr(first, ' ') + 1);
        }
        for (gsize cut = 0; cut < reply->len; cut++, n++) {
            g_autofree char *bad = g_strndup(reply->str, cut);
            ck_assert_msg(is_refused(&actual, state, map, bad), "map %d, cut at %zu", map, cut);
        }
        actual_clear(&actual);
        g_string_free(reply, TRUE);
    }
    printf("%u damaged maps: each refused or told as a difference\n", n);
}
END_TEST

/* No reply of HAProxy's, whatever it says, ends the agent, or is taken for a state. */
START_TEST(strange_answers_are_refused)
{
    static const char *const replies[] = {
        "",
        "\n",
        "Unknown command: 'show'\n",
        "Permission denied\n",
        "1\n",
        "2\n# be_id\n",
        "1\r\n",
        " 1\n",
        "0x\n",
        "0x1 a\n",
        "0x1  b\n",
        "0x1 multi/room-a room-a;shutdown sessions\n",
        "0x1 multi/room-a \x1b[2J\n",
        "0x1 \x7f\xff \xfe\n",
        "0X1 multi/room-a room-a\n",
        "Pid: \nUptime_sec: \n",
        "Pid 5\nUptime_sec 6\n",
        "xPid: 5\n",
        "<html>\n",
        "%s%s%n\n",
    };
    sb_auto(edge_state) state = state_of(7, &rest);
    for (size_t i = 0; i < G_N_ELEMENTS(replies); i++) {
        for (int map = -1; map < EDGE_MAPS; map++) {
            struct edge_actual actual = actual_of(state);
            bool nothing_wanted = map >= 0 && g_hash_table_size(state->maps[map]) == 0;
            bool empty = replies[i][strspn(replies[i], "\n")] == '\0';
            ck_assert_msg(is_refused(&actual, state, map, replies[i]) || (nothing_wanted && empty), "reply %zu, map %d",
                          i, map);
            actual_clear(&actual);
        }
        struct edge_actual actual = {0};
        ck_assert_msg(!actual_read_info(&actual, replies[i], NULL) || actual.pid == 0, "reply %zu", i);
        actual_clear(&actual);
        sb_auto(counters) counters = counters_new();
        counters_read(counters, 1, replies[i], replies[i], 1000000);
        json_t *rows = counters_to_json(counters), *origins = origins_from_stat(replies[i]);
        ck_assert_msg(json_array_size(rows) == 0 && json_array_size(origins) == 0, "reply %zu", i);
        json_decref(rows);
        json_decref(origins);
    }
}
END_TEST

/* ---- counters ---- */

static json_int_t counted(const struct counters *counters, const char *room, const char *member)
{
    json_t *list = counters_to_json(counters), *row;
    json_int_t found = -1;
    size_t i;
    json_array_foreach (list, i, row) {
        if (strcmp(json_string_value(json_object_get(row, "room")), room) == 0)
            found = (json_int_t)json_number_value(json_object_get(row, member));
    }
    json_decref(list);
    return found;
}

#define ANSWERED(n, bad)                                                                                               \
    "# table: st_answered, type: string, size:102400, used:1\n"                                                        \
    "0x1: key=core.playback/room-a/pop-a1 use=0 exp=3 http_req_cnt=" #n " http_fail_cnt=" #bad "\n"
#define UNANSWERED(n) "# table: st_unanswered, ...\n0x2: key=core.playback use=1 exp=3 gpc0=" #n "\n"

#define BYTES(n, bad, in, out)                                                                                         \
    "# table: st_answered, type: string, size:102400, used:2\n"                                                        \
    "0x1: key=core.playback/room-a/pop-a1 use=0 exp=3 http_req_cnt=" #n " http_fail_cnt=" #bad " bytes_in_cnt=" #in    \
    " bytes_out_cnt=" #out "\n"                                                                                        \
    "0x2: key=core.playback//static use=0 exp=3 http_req_cnt=900 http_fail_cnt=0 bytes_in_cnt=9 bytes_out_cnt=9\n"

static void expect_sizes(const struct counters *counters, double request, double answer)
{
    json_t *list = counters_sizes_to_json(counters);
    const json_t *row = json_array_get(list, 0);
    ck_assert_uint_eq(json_array_size(list), 1);
    ck_assert_str_eq(json_string_value(json_object_get(row, "policy")), "core.playback");
    ck_assert_double_eq_tol(json_number_value(json_object_get(row, "request_bytes")), request, 0.5);
    ck_assert_double_eq_tol(json_number_value(json_object_get(row, "answer_bytes")), answer, 0.5);
    json_decref(list);
}

/* Of the last thousand requests or so, over tables and reloads; what fails, and what edges answer, is not like them. */
START_TEST(sizes_are_averages_of_what_is_answered)
{
    sb_auto(counters) counters = counters_new();
    counters_read(counters, 10, ANSWERED(10, 0), UNANSWERED(0), 1000000); /* counts no bytes */
    json_t *none = counters_sizes_to_json(counters);
    ck_assert_uint_eq(json_array_size(none), 0);
    json_decref(none);
    counters_read(counters, 11, BYTES(100, 0, 50000, 1000000), UNANSWERED(0), 2000000);
    expect_sizes(counters, 500, 10000);
    counters_read(counters, 11, BYTES(200, 0, 150000, 1000000), UNANSWERED(0), 3000000); /* they have not ended yet */
    expect_sizes(counters, 750, 5000);
    counters_read(counters, 11, BYTES(200, 0, 150000, 4000000), UNANSWERED(0), 4000000);
    expect_sizes(counters, 750, 20000);
    counters_restart(counters);
    counters_read(counters, 11, BYTES(400, 100, 151000, 4001000), UNANSWERED(0), 5000000); /* errors are small */
    expect_sizes(counters, 750, 20000);
    counters_read(counters, 12, BYTES(100000, 0, 10000000, 100000000), UNANSWERED(0), 6000000); /* others now */
    expect_sizes(counters, 101, 1038);
    counters_read(counters, 12, BYTES(110000, 0, 110000000, 600000000), UNANSWERED(0), 7000000);
    expect_sizes(counters, 9100, 45549);
}
END_TEST

START_TEST(counters_are_since_the_table_and_go_on_over_reloads)
{
    sb_auto(counters) counters = counters_new();
    counters_read(counters, 10, ANSWERED(100, 5), UNANSWERED(2), 1000000);
    counters_restart(counters);
    ck_assert_int_eq(counted(counters, "room-a", "requests"), 0); /* its rate goes on, its count begins */
    counters_read(counters, 10, ANSWERED(150, 6), UNANSWERED(4), 3000000);
    ck_assert_int_eq(counted(counters, "room-a", "requests"), 50);
    ck_assert_int_eq(counted(counters, "room-a", "failed"), 1);
    ck_assert_int_eq(counted(counters, "room-a", "rate"), 25);
    ck_assert_int_eq(counted(counters, "", "requests"), 2); /* nobody answered */
    ck_assert_int_eq(counted(counters, "", "failed"), 2);
    ck_assert_int_eq(counters_window_us(counters), 2000000);
    counters_read(counters, 11, ANSWERED(160, 0), UNANSWERED(0), 4000000); /* a new process, already beyond */
    ck_assert_int_eq(counted(counters, "room-a", "requests"), 210);
    ck_assert_uint_eq(counters_requests(counters, "core.playback"), 212);
    ck_assert_uint_eq(counters_requests(counters, "core.play"), 0);
}
END_TEST

/* Tables that are applied one after the other make readings at any time; what came between is too little for a rate. */
START_TEST(a_rate_is_of_no_short_window)
{
    sb_auto(counters) counters = counters_new();
    counters_read(counters, 10, ANSWERED(500, 0), UNANSWERED(0), 1000000);
    counters_read(counters, 10, ANSWERED(501, 0), UNANSWERED(0), 1010000); /* the first of all is no window */
    ck_assert_int_eq(counters_window_us(counters), 10000);
    counters_read(counters, 10, ANSWERED(600, 0), UNANSWERED(0), 2010000);
    counters_read(counters, 10, ANSWERED(609, 3), UNANSWERED(0), 2020000); /* 900 a second? */
    ck_assert_int_eq(counters_window_us(counters), 1010000);
    ck_assert_int_eq(counted(counters, "room-a", "rate"), 106);
    ck_assert_int_eq(counted(counters, "room-a", "fail_rate"), 2);
    counters_restart(counters);
    counters_read(counters, 10, ANSWERED(609, 3), UNANSWERED(0), 2320000); /* none? */
    ck_assert_int_eq(counted(counters, "room-a", "requests"), 0);
    ck_assert_int_eq(counted(counters, "room-a", "rate"), 82);
    for (int64_t at_us = 2720000; at_us < 9000000; at_us += 400000) { /* one table after the other */
        counters_read(counters, 10, ANSWERED(610, 3), UNANSWERED(0), at_us);
        ck_assert_int_lt(counters_window_us(counters), 3000000);
    }
    ck_assert_int_eq(counted(counters, "room-a", "rate"), 0);
    ck_assert_int_eq(counted(counters, "room-a", "requests"), 1);
    counters_read(counters, 10, ANSWERED(660, 3), UNANSWERED(0), 10000000);
    ck_assert_int_eq(counted(counters, "room-a", "rate"), 50 * 1000000 / counters_window_us(counters));
}
END_TEST

START_TEST(health_is_read_from_the_checks)
{
    json_t *list = origins_from_stat("# pxname,svname,status,check_status,check_duration,last_chk,\n"
                                     "be_health,room-a.pop-a1,UP,L7OK,3,ok,\n"
                                     "be_health,room-a.pop-a2,DOWN,* L4TOUT,200,,\n"
                                     "be_health,room-b.pop-b1,UP 1/2,,,,\n\n");
    ck_assert_uint_eq(json_array_size(list), 3);
    const json_t *down = json_array_get(list, 1);
    ck_assert(json_is_true(json_object_get(json_array_get(list, 0), "up")));
    ck_assert(json_is_false(json_object_get(down, "up")));
    ck_assert_str_eq(json_string_value(json_object_get(down, "status")), "L4TOUT");
    ck_assert_str_eq(json_string_value(json_object_get(down, "via")), "pop-a2");
    ck_assert_int_eq(json_integer_value(json_object_get(down, "latency_us")), 200000);
    ck_assert_int_eq(json_integer_value(json_object_get(json_array_get(list, 2), "latency_us")), -1);
    json_decref(list);
    list = origins_from_stat("No such proxy.\n");
    ck_assert_uint_eq(json_array_size(list), 0);
    json_decref(list);
}
END_TEST

/* ---- what is kept ---- */

struct disk {
    char *dir;
    struct keep *keep;
    struct kept kept;
    GPtrArray *notes;
};

static void disk_load(struct disk *disk)
{
    keep_free(disk->keep);
    kept_clear(&disk->kept);
    g_ptr_array_set_size(disk->notes, 0);
    disk->keep = keep_new(disk->dir, NULL);
    ck_assert_ptr_nonnull(disk->keep);
    keep_load(disk->keep, "two-rooms", "edge-1", &disk->kept, disk->notes);
}

static void disk_begin(struct disk *disk)
{
    *disk =
        (struct disk){.dir = g_dir_make_tmp("sb-keep-XXXXXX", NULL), .notes = g_ptr_array_new_with_free_func(g_free)};
    disk_load(disk);
    ck_assert_uint_eq(disk->notes->len, 0);
    ck_assert_uint_eq(disk->kept.manifest.stamp.epoch, 0);
}

static void disk_end(struct disk *disk)
{
    keep_free(disk->keep);
    kept_clear(&disk->kept);
    g_ptr_array_unref(disk->notes);
    unit_remove_all(disk->dir);
    g_free(disk->dir);
}

static void disk_write(struct disk *disk, uint64_t generation, const struct edge_table_text *text)
{
    struct edge_parts table;
    g_autoptr(GError) error = NULL;
    edge_parts_init(&table, 65537, generation, text);
    ck_assert_msg(keep_write_table(disk->keep, &table.manifest, table.parts, &error), "%s",
                  error != NULL ? error->message : "");
    edge_parts_clear(&table);
}

START_TEST(what_was_written_is_loaded)
{
    struct disk disk;
    GString *routes = g_string_new(NULL); /* beyond what stands in the table file itself */
    for (unsigned i = 10000; i < 14000; i++)
        g_string_append_printf(routes, "d%u.example.test/ core.playback\n", i);
    disk_begin(&disk);
    ck_assert(keep_write_promise(disk.keep, 65540, NULL));
    disk_write(&disk, 7, &(struct edge_table_text){.routes = routes->str});
    disk_load(&disk);
    ck_assert_uint_eq(disk.notes->len, 0);
    ck_assert_uint_eq(disk.kept.promised, 65540);
    ck_assert_uint_eq(disk.kept.manifest.stamp.generation, 7);
    ck_assert_uint_eq(g_bytes_get_size(disk.kept.parts[PART_ROUTES]), routes->len);
    ck_assert_uint_eq(g_bytes_get_size(disk.kept.parts[PART_ROOMS]), strlen(edge_table_rest.rooms));
    g_string_free(routes, TRUE);
    disk_end(&disk);
}
END_TEST

/* Each row damages the newest table; the one before is taken, with a message. */
START_TEST(a_damaged_table_is_refused_and_the_one_before_is_taken)
{
    for (unsigned damage = 0; damage < 4; damage++) {
        struct disk disk;
        disk_begin(&disk);
        disk_write(&disk, 7, &rest);
        disk_write(&disk, 8, &closed);
        g_autofree char *path = g_build_filename(disk.dir, "table", NULL);
        size_t size;
        g_autofree char *text = file_read(path, 1 << 20, &size, NULL);
        if (damage == 0)
            size /= 2; /* half a file */
        else if (damage == 1)
            size = 0;
        else if (damage == 2)
            text[size / 2] ^= 1; /* one bit */
        else
            memcpy(text, "x", 1);
        ck_assert(file_write_atomic(path, text, size, 0600, NULL));
        disk_load(&disk);
        ck_assert_uint_eq(disk.kept.manifest.stamp.generation, 7);
        ck_assert_uint_eq(disk.notes->len, 1);
        ck_assert_msg(strstr(disk.notes->pdata[0], "is not a whole table") != NULL, "%s", (char *)disk.notes->pdata[0]);
        disk_end(&disk);
    }
}
END_TEST

START_TEST(state_of_another_edge_or_cluster_is_not_used)
{
    struct disk disk;
    disk_begin(&disk);
    disk_write(&disk, 7, &rest);
    struct kept other;
    g_ptr_array_set_size(disk.notes, 0);
    keep_load(disk.keep, "other", "edge-1", &other, disk.notes);
    ck_assert_uint_eq(other.manifest.stamp.epoch, 0);
    ck_assert_uint_eq(disk.notes->len, 1);
    kept_clear(&other);
    disk_end(&disk);
}
END_TEST

START_TEST(a_damaged_promise_is_said_and_never_below_the_table)
{
    struct disk disk;
    disk_begin(&disk);
    disk_write(&disk, 7, &rest);
    g_autofree char *path = g_build_filename(disk.dir, "promise", NULL);
    ck_assert(file_write_atomic(path, "6553", 4, 0600, NULL)); /* cut */
    disk_load(&disk);
    ck_assert_uint_eq(disk.notes->len, 1);
    ck_assert_uint_eq(disk.kept.promised, 65537);
    disk_end(&disk);
}
END_TEST

START_TEST(what_took_effect_is_logged_once)
{
    struct disk disk;
    struct manifest manifest = {.stamp = {65537, 7}, .cause = "e-1/close/set"};
    disk_begin(&disk);
    ck_assert(keep_log_applied(disk.keep, &manifest, 1, NULL));
    ck_assert(keep_log_applied(disk.keep, &manifest, 2, NULL)); /* applied again after a restart of HAProxy */
    disk_load(&disk);
    ck_assert(keep_log_applied(disk.keep, &manifest, 3, NULL)); /* and of the agent */
    manifest.stamp.generation = 8;
    ck_assert(keep_log_applied(disk.keep, &manifest, 4, NULL));
    g_autofree char *path = g_build_filename(disk.dir, "applied.log", NULL);
    g_autofree char *text = file_read(path, 4096, NULL, NULL);
    ck_assert_str_eq(text, "{\"at_us\":1,\"epoch\":65537,\"generation\":7,\"cause\":\"e-1/close/set\"}\n"
                           "{\"at_us\":4,\"epoch\":65537,\"generation\":8,\"cause\":\"e-1/close/set\"}\n");
    disk_end(&disk);
}
END_TEST

/* A disk that is full behind `size` bytes of any file. */
static void limit_files(rlim_t size)
{
    struct rlimit limit = {size, RLIM_INFINITY};
    signal(SIGXFSZ, SIG_IGN);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

START_TEST(a_full_disk_leaves_whole_lines_and_maps_of_one_table)
{
    struct disk disk;
    struct manifest manifest = {.stamp = {65537, 7}, .cause = "e-1/close/set"};
    g_autoptr(GError) error = NULL;
    disk_begin(&disk);
    g_autofree char *log = g_build_filename(disk.dir, "applied.log", NULL);
    ck_assert(keep_log_applied(disk.keep, &manifest, 1, NULL));
    g_autofree char *line = file_read(log, 4096, NULL, NULL);
    limit_files(strlen(line) + 10);
    manifest.stamp.generation = 8;
    ck_assert(!keep_log_applied(disk.keep, &manifest, 2, &error));
    ck_assert_msg(strstr(error->message, "No space left on device") != NULL, "%s", error->message);
    g_clear_error(&error);
    g_autofree char *same = file_read(log, 4096, NULL, NULL);
    ck_assert_str_eq(same, line);
    limit_files(RLIM_INFINITY);
    ck_assert(keep_log_applied(disk.keep, &manifest, 3, NULL));
    g_autofree char *both = file_read(log, 4096, NULL, NULL);
    ck_assert_ptr_nonnull(strstr(both, "\n{\"at_us\":3,"));

    struct edge_settings here = settings;
    here.state_dir = disk.dir;
    struct edge_files files = {0};
    sb_auto(edge_state) at_rest = state_of(7, &rest);
    sb_auto(edge_state) a_closed = state_of(8, &closed);
    ck_assert(edge_files_write(&files, at_rest, &here, NULL));
    limit_files(1000); /* maps are smaller, the configuration is larger */
    ck_assert(!edge_files_write(&files, a_closed, &here, &error));
    limit_files(RLIM_INFINITY);
    for (unsigned i = 0; i < EDGE_MAPS; i++) {
        g_autofree char *path = edge_map_path(&here, i);
        size_t size = 0;
        g_autofree char *text = file_read(path, 4096, &size, NULL);
        g_autofree char *fresh = g_strdup_printf("%s.%ld.tmp", path, (long)getpid());
        g_autoptr(GBytes) found = g_bytes_new(text, size);
        ck_assert(g_bytes_equal(found, at_rest->text[i]));
        ck_assert(!g_file_test(fresh, G_FILE_TEST_EXISTS));
    }
    ck_assert(edge_files_write(&files, a_closed, &here, NULL));
    edge_files_clear(&files);

    /* What a killed process leaves goes; what one that lives is writing, and what is none of this, stays. */
    pid_t gone = fork();
    if (gone == 0)
        _exit(0);
    ck_assert_int_eq(waitpid(gone, NULL, 0), gone);
    g_autofree char *left = g_strdup_printf("%s/rooms.map.%ld.tmp", disk.dir, (long)gone);
    g_autofree char *under_way = g_strdup_printf("%s/rooms.map.%ld.tmp", disk.dir, (long)getpid());
    g_autofree char *other = g_strdup_printf("%s/table.prev.tmp", disk.dir);
    const char *const paths[] = {left, under_way, other};
    for (size_t i = 0; i < G_N_ELEMENTS(paths); i++)
        ck_assert(g_file_set_contents(paths[i], "x", 1, NULL));
    edge_files_sweep(&here);
    for (size_t i = 0; i < G_N_ELEMENTS(paths); i++)
        ck_assert_int_eq(g_file_test(paths[i], G_FILE_TEST_EXISTS), i > 0);
    disk_end(&disk);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, the_configuration_has_a_server_for_each_road);
    tcase_add_test(tcase, a_closed_room_is_disabled_in_every_backend_but_health_and_needs_no_reload);
    tcase_add_test(tcase, a_changed_inventory_changes_the_mark);
    tcase_add_test(tcase, text_that_haproxy_would_take_for_more_is_refused);
    tcase_add_test(tcase, an_escape_is_a_backup_of_single_room_services);
    tcase_add_test(tcase, nothing_to_change_is_no_command);
    tcase_add_test(tcase, a_room_switch_is_one_short_line_in_a_safe_order);
    tcase_add_test(tcase, a_new_split_is_added_then_used_then_the_old_one_removed);
    tcase_add_test(tcase, few_changed_rows_are_a_command_each);
    tcase_add_test(tcase, changed_ranges_of_a_split_are_one_transaction);
    tcase_add_test(tcase, differences_are_named);
    tcase_add_test(tcase, damaged_answers_are_not_believed);
    tcase_add_test(tcase, strange_answers_are_refused);
    tcase_add_test(tcase, sizes_are_averages_of_what_is_answered);
    tcase_add_test(tcase, counters_are_since_the_table_and_go_on_over_reloads);
    tcase_add_test(tcase, a_rate_is_of_no_short_window);
    tcase_add_test(tcase, health_is_read_from_the_checks);
    tcase_add_test(tcase, what_was_written_is_loaded);
    tcase_add_test(tcase, a_damaged_table_is_refused_and_the_one_before_is_taken);
    tcase_add_test(tcase, state_of_another_edge_or_cluster_is_not_used);
    tcase_add_test(tcase, a_damaged_promise_is_said_and_never_below_the_table);
    tcase_add_test(tcase, what_took_effect_is_logged_once);
    tcase_add_test(tcase, a_full_disk_leaves_whole_lines_and_maps_of_one_table);
}

int main(void)
{
    return unit_run("edge", add);
}
