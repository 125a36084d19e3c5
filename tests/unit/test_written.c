/* test_written.c: every command that README.md and the runbooks tell people to type is typed here, at a real server
 * with edges that apply what they are given (edgecrew.h) and real name servers, or is in the table below with the
 * reason why not. A command is what stands in `back quotes`, or in a line of a fenced block, and begins with the name
 * of a program, or of a command of `signalbox`, or of a lever. */
#include "core/fileio.h"
#include "core/loop.h"
#include "schema/control.h"
#include "tests/unit/served_cli.h"
#include "tests/unit/sitestage.h"
#include "tests/unit/unit.h"

#include <glib/gstdio.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#define DEADLINE_US (60 * G_USEC_PER_SEC) /* a limit, not a wait */

/* What must be so before. */
enum stage_kind {
    ANYHOW,
    PROMOTING, /* ID: component-promote, started by alice, waits for approval B */
    RAMPING,   /* ID: service-switch, started by alice, its first stage is written */
    STOPPED,   /* the server has ended; it is started again behind it */
};
static const struct written {
    const char *text; /* as it is written, with one space between words */
    enum stage_kind stage;
    const char *as; /* lines to type in its place: for what stands for several, or needs more; NULL: itself */
    int code;
    const char *says; /* must stand in its output; NULL: it may say anything */
    const char *why;  /* it is not typed: why; else NULL */
} table[] = {
#define LAB "it needs the lab; tests/lab/scenarios do it"
#define INSTALLED "it needs an installed system; tests/lab/packages.sh does it"
    {.text = "./dev demo", .why = "it ends by Ctrl-C; tests/lab/traffic/replay and the scenarios start the same site"},
    {.text = "./dev test", .why = "it is what runs this test"},
    {.text = "./dev replay", .why = "it needs the lab; the tests replay_hole and replay_cut are it"},
    {.text = "./dev soak", .why = "it lasts for minutes; ./dev test --full runs it"},
    {.text = "./dev package", .why = "it builds all of it anew; tests/lab/packages.sh runs it"},
    {.text = "./dev lab hole room:room-a", .why = LAB},
    {.text = "./dev lab heal room:room-a", .why = LAB},
    {.text = "ctest --test-dir build/dev -L unit", .why = "it is what runs this test"},
    {.text = "apt install ./signalbox-*.deb", .why = INSTALLED},
    {.text = "systemctl start signalboxd", .why = INSTALLED},
    {.text = "systemctl start signalbox-haproxy signalbox-edge", .why = INSTALLED},
#define EDGE "it needs an agent beside HAProxy; test_edge_program does it"
    {.text = "signalbox-edge --name edge-1 --cluster my-site --server https://CONTROL:8441 --ca ca.pem --token-file "
             "edge-1.token",
     .why = EDGE},
    {.text = "signalbox-edge ctl hold --for 30m --reason TEXT", .why = EDGE},
    {.text = "ctl override room-a --reason TEXT", .why = EDGE},
    {.text = "ctl release all --reason TEXT", .why = EDGE},

    {.text = "signalboxd --help", .says = "--ballast"},
    {.text = "signalbox-edge --help", .says = "--cluster"},
    {.text = "signalboxd --cluster my-site --runbooks runbooks --keys /etc/signalbox/keys",
     .as = "signalboxd --cluster my-site --runbooks runbooks --keys KEYS --state STATE --check-config",
     .says = "sound"},
    {.text = "(umask 077; signalbox token create --name admin --role admin >admin.token)",
     .as = "signalbox token create --name admin --role admin",
     .says = "sb_"},
    {.text = "signalbox token create --name edge-1 --role agent",
     .as = "signalbox token create --name edge-5 --role agent",
     .says = "sb_"},
    {.text = "signalbox user add alice --role operator", .why = "it asks for a password; test_api_login gives one"},
    {.text = "signalbox token create --name bot --role operator --scope plans --expires 90d", .says = "sb_"},
    {.text = "signalbox --server https://CONTROL:8440 --ca ca.pem --token-file admin.token status",
     .as = "signalbox --server SERVER --token-file ALICE status",
     .says = "room-a"},
    {.text = "signalbox apply -f site.yaml"},
    {.text = "signalbox diff site.yaml", .says = "nothing to change"},
    {.text = "signalbox export", .says = "room-b"},
    {.text = "signalbox inventory kinds", .says = "component"},
    {.text = "inventory used-by room room-a", .says = "pop-a1"},
    {.text = "signalbox status", .says = "edge-4"},
    {.text = "signalbox status --watch", .code = -1, .says = "edge-4"},
    {.text = "signalbox events --follow", .as = "signalbox events --follow --after 0", .code = -1, .says = "token"},
    {.text = "signalbox audit", .says = "apply"},
    {.text = "signalbox audit verify"},
    {.text = "signalbox eastwest SERVICE", .says = "zone-1"},
    {.text = "explain URL --carrier carrier-1", .says = "play.example.test"},
    {.text = "signalbox explain URL --user ID", .as = "signalbox explain URL --user 42", .says = "room-"},
    {.text = "./dev lab signalbox explain http://creator.example.test/upload --user 42", .says = "upload"},
    {.text = "plan show NAME", .says = "move-out"},

    /* The button and back. */
    {.text = "signalbox plan run room-isolated --confirm room-a --dry-run", .says = "move-out"},
    {.text = "signalbox plan run room-isolated --confirm room-a", .says = "succeeded"},
    {.text = "signalbox execution report ID", .says = "execute"},
    {.text = "signalbox incident export --execution ID", .as = "signalbox incident export --execution ID -o FILE"},
    {.text = "signalbox incident replay FILE", .says = "the same"},
    {.text = "signalbox plan run failback --confirm room-a", .says = "succeeded"},
    {.text = "./dev lab signalbox plan run room-isolated --confirm room-a", .says = "succeeded"},
    {.text = "./dev lab signalbox plan run failback --confirm room-a", .says = "succeeded"},
    {.text = "signalbox diff gen 3..8", .says = "room.ingress"},

    {.text = "signalbox plan run pop-drain --confirm pop-a1", .says = "succeeded"},
    {.text = "signalbox control set pop pop-a1 default"},
    {.text = "signalbox plan run room-drain --confirm room-a", .says = "succeeded"},
    {.text = "signalbox control set room.compute room-a default"},
    {.text = "plan run carrier-to-lines --confirm carrier-1", .says = "succeeded"},
    {.text = "signalbox plan run carrier-back --confirm carrier-1", .says = "succeeded"},
    {.text = "signalbox plan run carrier-to-lines --confirm carrier-1", .says = "succeeded"},

    {.text = "signalbox plan run line-maintenance --confirm line-5", .says = "succeeded"},
    {.text = "plan run line-maintenance --confirm line-5", .says = "succeeded"},
    {.text = "signalbox control set line line-5 default"},
    {.text = "signalbox reminder set",
     .as = "signalbox reminder set works --on line/line-5 --owner alice --why TEXT\nsignalbox reminder clear works"},
#define GATEWAY "the site of this test has no gateway; test_gateway_server moves its lever"
    {.text = "signalbox plan run gateway-drain --confirm gw-a1", .why = GATEWAY},
    {.text = "signalbox control set gateway gw-a1 default", .why = GATEWAY},
    {.text = "signalbox alarm ack entrances/room-a",
     .why = "nothing is wrong with the site of this test; test_cli acknowledges"},
    {.text = "control set room.escape room-a on | off",
     .as = "signalbox control set room.escape room-a on\nsignalbox control set room.escape room-a default"},

    /* Plans that wait for people, or for users: alice has started them, this test is the second person. */
    {.text = "execution pause | resume | skip | force | approve",
     .stage = PROMOTING,
     .as = "signalbox execution pause ID\nsignalbox execution resume ID\nsignalbox execution approve ID --binding B"},
    {.text = "signalbox execution approve ID --binding B --reason TEXT", .stage = PROMOTING},
    {.text = "signalbox execution abort ID", .stage = PROMOTING},
    {.text = "signalbox execution emergency ID --reason TEXT", .stage = PROMOTING},
    {.text = "signalbox plan run component-promote --confirm orders --param to=room-b",
     .as = "signalbox plan run component-promote --confirm orders --param to=room-b --no-wait",
     .says = "component-promote-"},
    {.text = "signalbox plan run component-promote --confirm orders --param to=room-a",
     .as = "signalbox plan run component-promote --confirm orders --param to=room-a --dry-run",
     .says = "promote"},
    {.text = "signalbox plan run topic-takeover --confirm events",
     .as = "signalbox plan run topic-takeover --confirm events --no-wait",
     .says = "topic-takeover-"},
    {.text = "signalbox control set component.consumption events none"},
    {.text = "signalbox control set component.consumption events default"},
    {.text = "signalbox plan run service-switch --confirm playback --param to=room-b",
     .as = "signalbox plan run service-switch --confirm playback --param to=room-b --dry-run",
     .says = "shift"},
    {.text = "signalbox execution force ID --reason TEXT",
     .stage = RAMPING,
     .as = "signalbox execution force ID --reason TEXT\nsignalbox execution wait ID"},
    {.text = "signalbox control set split SERVICE default"},
    {.text = "signalbox plan run site-evacuate --confirm room-a",
     .as = "signalbox plan run site-evacuate --confirm room-a --dry-run",
     .says = "second-person"},

    /* Levers by hand. */
    {.text = "signalbox control set room.ingress room-a closed"},
    {.text = "signalbox control set service.degrade creator static"},
    {.text = "service.limit creator 500", .as = "signalbox control set service.limit creator 500"},
    {.text = "control set service.eastwest home zone-1=zone-1:0+zone-2:1"},

    {.text = "control set split.pin home 0-49=room-b@2027-01-01T00:00:00Z"},
    {.text = "signalbox webhook list"},
    {.text = "signalbox pin rotate"},
    {.text = "pin issue --room room-b --for 1h --user 42"},
    {.text = "pin revoke", .as = "signalbox pin revoke --reason TEXT"},

    {.text = "signalbox backup FILE", .as = "signalbox backup FILE.backup --state STATE"},
    {.text = "signalbox restore FILE", .stage = STOPPED, .as = "signalbox restore FILE.backup --state STATE"},
};

/* ---- what is written ---- */

static bool begins_a_command(const char *word)
{
    static const char *const programs[] = {"signalbox", "signalboxd", "signalbox-edge", "./dev", "apt", "systemctl",
                                           "ctest",     "ctl",        "(umask",
#define COMMAND(name, ...) #name,
#include "server/cli/commands.def"
#undef COMMAND
                                           NULL};
    return g_strv_contains(programs, word) || lever_class_find(word) != NULL;
}

/* Adds a command, without its comment, or nothing if it is none. */
static void take(GPtrArray *found, const char *text)
{
    g_autofree char *copy = g_strdup(text);
    char *comment = strstr(copy, " #");
    if (comment != NULL)
        *comment = '\0';
    g_auto(GStrv) words = g_strsplit_set(g_strstrip(copy), " \n", -1);
    g_autoptr(GString) one = g_string_new(NULL);
    unsigned n = 0;
    for (char **word = words; *word != NULL; word++)
        if (**word != '\0')
            g_string_append_printf(one, "%s%s", n++ > 0 ? " " : "", *word);
    if (n < 2 || !begins_a_command(words[0]) || strstr(one->str, " + ") != NULL) /* that is a picture */
        return;
    for (guint i = 0; i < found->len; i++)
        if (strcmp(found->pdata[i], one->str) == 0)
            return;
    g_ptr_array_add(found, g_strdup(one->str));
}

/* Odd pieces between ``` are blocks, and of the others odd pieces between ` are commands. */
static void read_written(GPtrArray *found, const char *path)
{
    g_autofree char *text = NULL;
    ck_assert_msg(g_file_get_contents(path, &text, NULL, NULL), "%s", path);
    g_auto(GStrv) blocks = g_strsplit(text, "```", -1);
    for (unsigned i = 0; blocks[i] != NULL; i++) {
        g_auto(GStrv) pieces = g_strsplit(blocks[i], i % 2 == 1 ? "\n" : "`", -1);
        for (unsigned k = 0; pieces[k] != NULL; k++) {
            if (i % 2 == 1 || k % 2 == 1)
                take(found, pieces[k]);
            else
                ck_assert_msg(!g_str_has_suffix(path, ".yaml") || strstr(pieces[k], "signalbox ") == NULL,
                              "%s: a command without back quotes: %s", path, strstr(pieces[k], "signalbox "));
        }
    }
}

static GPtrArray *all_written(void)
{
    GPtrArray *found = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GDir) dir = g_dir_open(SOURCE_DIR "/runbooks", 0, NULL);
    const char *name;
    read_written(found, SOURCE_DIR "/README.md");
    while ((name = g_dir_read_name(dir)) != NULL) {
        g_autofree char *path = g_build_filename(SOURCE_DIR "/runbooks", name, NULL);
        read_written(found, path);
    }
    return found;
}

START_TEST(each_is_typed_or_has_a_reason)
{
    g_autoptr(GPtrArray) found = all_written();
    ck_assert_uint_gt(found->len, 50);
    for (guint i = 0; i < found->len; i++) {
        bool known = false;
        for (size_t k = 0; k < G_N_ELEMENTS(table); k++)
            known = known || strcmp(table[k].text, found->pdata[i]) == 0;
        ck_assert_msg(known, "nobody types: %s", (char *)found->pdata[i]);
    }
    for (size_t k = 0; k < G_N_ELEMENTS(table); k++)
        ck_assert_msg(g_ptr_array_find_with_equal_func(found, table[k].text, g_str_equal, NULL),
                      "it is written no more: %s", table[k].text);
}
END_TEST

/* ---- typing ---- */

static struct site_stage stage;
static char *id, *binding, *file, *alice;

static const char *stands_for(const char *word)
{
    static char server[64];
    g_snprintf(server, sizeof server, "%s", served.operators);
    const struct {
        const char *word, *value;
    } names[] = {{"ID", id},
                 {"B", binding},
                 {"NAME", "room-isolated"},
                 {"SERVICE", "home"},
                 {"TEXT", "a drill"},
                 {"URL", "http://play.example.test/"},
                 {"FILE", file},
                 {"SERVER", server},
                 {"ALICE", alice},
                 {"runbooks", SOURCE_DIR "/runbooks"},
                 {"site.yaml", SOURCE_DIR "/tests/cases/components.yaml"}};
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++)
        if (strcmp(names[i].word, word) == 0)
            return names[i].value;
    return NULL;
}

/* Words of a line with what they stand for; the first is the program's file. */
static char **words_of(const char *line)
{
    g_auto(GStrv) words = g_strsplit(line, " ", -1);
    g_autoptr(GStrvBuilder) out = g_strv_builder_new();
    unsigned n = 0;
    if (strcmp(words[0], "./dev") == 0)
        n = 3; /* ./dev lab signalbox */
    else if (g_str_has_prefix(words[0], "signalbox"))
        n = 1;
    const char *program = n == 1 && strcmp(words[0], "signalboxd") == 0       ? SIGNALBOXD
                          : n == 1 && strcmp(words[0], "signalbox-edge") == 0 ? SIGNALBOX_EDGE
                                                                              : SIGNALBOX;
    g_strv_builder_add(out, program);
    if (strcmp(program, SIGNALBOX) == 0)
        g_strv_builder_add_many(out, "--socket", served.socket, NULL);
    for (char **word = words + n; *word != NULL; word++) {
        g_autofree char *state = g_build_filename(served.dir, "state", NULL),
                        *keys = g_build_filename(served.dir, "keys", NULL),
                        *backup = g_strconcat(file, ".backup", NULL);
        const char *value = strcmp(*word, "STATE") == 0         ? state
                            : strcmp(*word, "KEYS") == 0        ? keys
                            : strcmp(*word, "FILE.backup") == 0 ? backup
                                                                : stands_for(*word);
        g_strv_builder_add(out, value != NULL ? value : *word);
    }
    return g_strv_builder_end(out);
}

/* What does not end by itself is watched until it has said the text. */
static void follow(const struct written *row, char **argv)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GString) said = g_string_new(NULL);
    GPid pid;
    int fd, status;
    ck_assert_msg(g_spawn_async_with_pipes(NULL, argv, NULL, G_SPAWN_DO_NOT_REAP_CHILD, NULL, NULL, &pid, NULL, &fd,
                                           NULL, &error),
                  "%s", error != NULL ? error->message : "");
    for (int64_t until_us = loop_now_us() + DEADLINE_US; strstr(said->str, row->says) == NULL;) {
        char buffer[4096];
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        poll(&wait, 1, 1000);
        ssize_t n = wait.revents != 0 ? read(fd, buffer, sizeof buffer) : 0;
        g_string_append_len(said, buffer, MAX(n, 0));
        ck_assert_msg(loop_now_us() < until_us, "%s: found \"%s\", expected \"%s\"", row->text, said->str, row->says);
    }
    kill(pid, SIGINT);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    close(fd);
}

static void type(const struct written *row, const char *line)
{
    g_auto(GStrv) argv = words_of(line);
    g_autofree char *out = NULL, *err = NULL;
    g_autoptr(GError) error = NULL;
    const char *says = row->says != NULL ? row->says : "";
    int status = 0;
    if (row->code < 0) {
        follow(row, argv);
        return;
    }
    ck_assert_msg(g_spawn_sync(NULL, argv, NULL, G_SPAWN_DEFAULT, NULL, NULL, &out, &err, &status, &error), "%s: %s",
                  line, error != NULL ? error->message : "");
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == row->code &&
                      (strstr(out, says) != NULL || strstr(err, says) != NULL),
                  "%s: found %d \"%s\" \"%s\", expected %d \"%s\"", line, WEXITSTATUS(status), out, err, row->code,
                  says);
}

/* ---- stages ---- */

/* The newest execution: its id, and the binding of the approval that it waits for, or NULL. */
static bool look(const char *kind, bool waits)
{
    json_t *list = NULL, *step;
    size_t i;
    bool there = !waits;
    ck_assert_uint_eq(served_local(&served, "GET", "/v1/executions", NULL, NULL, &list), 200);
    const json_t *newest = json_array_get(json_object_get(list, "executions"), 0);
    g_free(id);
    id = g_strdup(text_at(newest, "id"));
    json_array_foreach (json_object_get(newest, "steps"), i, step)
        if (strcmp(text_at(step, "kind"), kind) == 0 && strcmp(text_at(step, "state"), "running") == 0) {
            g_free(binding);
            binding = g_strdup(text_at(step, "binding"));
            there = there || strcmp(kind, "approve") != 0 || binding[0] != '\0';
        }
    json_decref(list);
    return there;
}

/* What is under way is ended, or it would own the levers. */
static void end_all(void)
{
    json_t *list = NULL, *row;
    size_t i;
    ck_assert_uint_eq(served_local(&served, "GET", "/v1/executions", NULL, NULL, &list), 200);
    json_array_foreach (json_object_get(list, "executions"), i, row) {
        const char *state = text_at(row, "state");
        if (strcmp(state, "running") != 0 && strcmp(state, "aborting") != 0)
            continue;
        g_autofree char *path = g_strdup_printf("/v1/executions/%s/abort", text_at(row, "id"));
        served_local(&served, "POST", path, NULL, "{}", NULL); /* refused when it has ended meanwhile */
        struct run waited = SIGNALBOX_RUN("execution", "wait", text_at(row, "id"));
        ck_assert_msg(waited.code == 0 || waited.code == 1 || waited.code == 5, "%s: found %d \"%s\"", path,
                      waited.code, waited.err);
        g_free(waited.out);
        g_free(waited.err);
    }
    json_decref(list);
}

/* Starts a plan as alice, and waits until a step of the kind is under way. */
static void begin(const char *plan, const char *body, const char *kind)
{
    g_autofree char *token = file_read(alice, 4096, NULL, NULL), *path = g_strdup_printf("/v1/plans/%s/run", plan);
    end_all();
    ck_assert_uint_eq(served_call(&served, served.operators, g_strstrip(token), "POST", path, NULL, body, NULL, NULL),
                      202);
    for (int64_t until_us = loop_now_us() + DEADLINE_US; !look(kind, true); poll(NULL, 0, 20))
        ck_assert_msg(loop_now_us() < until_us, "%s: no step %s is under way", plan, kind);
}

static void set_stage(enum stage_kind kind)
{
    if (kind == PROMOTING)
        begin("component-promote", "{\"target\":\"orders\",\"params\":{\"to\":\"room-b\"}}", "approve");
    else if (kind == RAMPING)
        begin("service-switch", "{\"target\":\"home\",\"params\":{\"to\":\"room-b\"}}", "ramp");
    else if (kind == STOPPED)
        ck_assert(WIFEXITED(served_end(&served, SIGTERM)));
    else
        look("", false);
}

static const char more[] = "variants:\n"
                           "  - {name: core-carrier-1, group: core, carrier: carrier-1}\n"
                           "components:\n"
                           "  - {name: orders, type: mysql, rooms: [room-a, room-b], primary: room-a}\n"
                           "  - {name: events, type: topic, rooms: [room-a, room-b], consumption: local}\n";

START_TEST(each_does_what_is_said)
{
    served_new(&served);
    site_prepare(&stage);
    served_start(&served, NULL, (const char *const[]){stage.keys_flag, NULL});
    crew_sees_origins = true;
    site_populate(&stage, more, (const char *const[]){served.agents, NULL});
    site_await_rest();
    file = g_build_filename(served.dir, "file", NULL);
    alice = g_build_filename(served.dir, "alice.token", NULL);
    g_autofree char *token = served_token(&served, "alice", "operator");
    ck_assert(g_file_set_contents(alice, token, -1, NULL));
    for (size_t i = 0; i < G_N_ELEMENTS(table); i++) {
        if (table[i].why != NULL)
            continue;
        set_stage(table[i].stage);
        g_auto(GStrv) lines = g_strsplit(table[i].as != NULL ? table[i].as : table[i].text, "\n", -1);
        for (char **line = lines; *line != NULL; line++)
            type(&table[i], *line);
        if (table[i].stage == STOPPED)
            served_start(&served, NULL, (const char *const[]){stage.keys_flag, NULL});
        else if (table[i].stage != ANYHOW)
            end_all();
    }
    site_end(&stage);
    served_clear(&served);
    g_free(id);
    g_free(binding);
    g_free(file);
    g_free(alice);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_set_timeout(tcase, 300);
    tcase_add_test(tcase, each_is_typed_or_has_a_reason);
    tcase_add_test(tcase, each_does_what_is_said);
}

int main(void)
{
    return unit_run("written", add);
}
