/* test_plan_cases.c: tests/cases/plans: plans, what people and edges do while they run, and what comes of it.
 *
 * A case is a file: plans as YAML up to a line "do", a line for each deed up to "===", and behind it what happened, as
 * this test writes it (UPDATE=1). Deeds:
 *   run PLAN TARGET|- [NAME=OBJECT ...]     as alice; the execution that the others are about
 *   say EDGE|all [ROOM REQUESTS FAILED [MS [RATE]]]  has applied what is published; counters of core.playback, RATE
 *                                           requests/s; probes take MS
 *   old EDGE|all                            reports, but has not applied it
 *   down | up                               the entrances of room-a, from the next report on
 *   confirm                                 all name servers have the records, all registries the endpoints
 *   load FILE                               applies a file of the tree
 *   tick SECONDS                            in steps of a tenth, all edges saying again what they said
 *   act WHO ACT [STEP] [bind|replay|override=RULE|-] [REASON...]   bind: with the binding asked for; replay: with that
 *                                           of the first run
 *   key                                     a key for pins
 *   answer good | answer bad REQUEST WHY... what came of the golden transactions that were asked last
 *   reply STATUS [VALUE]                    to the oldest call without one, with the member asked for
 *   lose WHY... | refuse                    no answer comes; it was not sent
 *   dry PLAN TARGET|- [NAME=OBJECT ...]     what a run would do
 *   remove KIND/NAME ...                    objects and plans, in one apply
 *   messages                                those of notify steps, as the journal has them
 *   set WHO LEVER OBJECT VALUE | edit PLAN | abort WHO | restart
 * Beside plans the YAML may have objects: rules, or rooms as they are to be.
 */
#include "tests/unit/engine_rig.h"
#include "tests/unit/site.h"
#include "tests/unit/unit.h"

#include "schema/yamldoc.h"

#include <stdlib.h>

struct play {
    struct server *s;
    GString *out;
    char *id, *first_binding;
    struct saying said[G_N_ELEMENTS(edges)];
    bool old[G_N_ELEMENTS(edges)], down;
    int64_t began_us;
    json_int_t seen; /* events that were printed */
    size_t called;   /* of s->called, printed */
};

static void print_news(struct play *play)
{
    if (play->id == NULL)
        return;
    json_t *json = engine_execution(play->s->engine, play->id), *event;
    size_t i;
    json_array_foreach (json_object_get(json, "events"), i, event) {
        json_int_t seq = json_integer_value(json_object_get(event, "seq"));
        if (seq <= play->seen)
            continue;
        play->seen = seq;
        double at = (double)(json_integer_value(json_object_get(event, "at_us")) - play->began_us) / SECOND;
        g_string_append_printf(play->out, "%8.1f s  %-10s %s\n", at, member(event, "step"), member(event, "text"));
    }
    json_decref(json);
}

static void print_calls(struct play *play)
{
    g_auto(GStrv) ids = g_strsplit(play->s->called->str + play->called, "\n", -1);
    for (char **id = ids; *id != NULL && **id != '\0'; id++)
        g_string_append_printf(play->out, "            call %s\n", *id);
    play->called = play->s->called->len;
}

static void print_messages(struct play *play)
{
    for (guint i = 0; i < play->s->journal->len; i++) {
        const struct journal_entry *entry = play->s->journal->pdata[i];
        if (strcmp(entry->kind, "message") != 0)
            continue;
        char *body = json_dumps(entry->body, JSON_COMPACT | JSON_SORT_KEYS);
        g_string_append_printf(play->out, "            message %s %s\n", entry->id, body);
        free(body);
    }
}

static void do_reply(struct play *play, char **words, unsigned n)
{
    g_autofree char *rest = n > 1 ? g_strjoinv(" ", words + 1) : NULL;
    bool answered = strcmp(words[0], "reply") == 0;
    answer_call(play->s, answered ? atoi(words[1]) : 0, answered && n > 2 ? words[2] : NULL,
                strcmp(words[0], "lose") == 0 ? rest : NULL);
}

static void report_all(struct play *play)
{
    for (size_t i = 0; i < G_N_ELEMENTS(edges); i++) {
        struct saying saying = play->said[i];
        saying.pops_down = play->down;
        if (!play->old[i])
            saying.stamp = play->s->published->world->stamp;
        play->said[i].stamp = saying.stamp;
        if (saying.stamp.generation != play->s->published->world->stamp.generation)
            saying.requests = saying.failed = 0;
        say(play->s, edges[i], saying);
    }
}

static void do_say(struct play *play, char **words, unsigned n, bool old)
{
    for (size_t i = 0; i < G_N_ELEMENTS(edges); i++) {
        if (strcmp(words[1], "all") != 0 && strcmp(words[1], edges[i]) != 0)
            continue;
        play->old[i] = old;
        if (old)
            continue;
        play->said[i] = (struct saying){.policy = "core.playback", .room = "room-b"};
        if (n > 4) {
            play->said[i].room = strcmp(words[2], "nobody") == 0   ? ""
                                 : strcmp(words[2], "room-a") == 0 ? "room-a"
                                                                   : "room-b";
            play->said[i].requests = (unsigned)atoi(words[3]);
            play->said[i].failed = (unsigned)atoi(words[4]);
        }
        if (n > 5)
            play->said[i].latency_us = atoi(words[5]) * 1000;
        if (n > 6)
            play->said[i].rate = atof(words[6]);
    }
    report_all(play);
}

static void print_dry(GString *out, const json_t *answer)
{
    size_t i, j;
    json_t *step, *set, *refusal;
    json_array_foreach (json_object_get(answer, "steps"), i, step) {
        const char *text = member(step, "text");
        g_string_append_printf(out, "  %-16s %-8s %s%s%s\n", member(step, "name"), member(step, "kind"),
                               member(step, "argument"), text[0] != '\0' ? ": " : "", text);
        json_array_foreach (json_object_get(step, "sets"), j, set)
            g_string_append_printf(out, "      %s/%s: %s -> %s\n", member(set, "control"), member(set, "object"),
                                   member(set, "before"), member(set, "value"));
    }
    g_string_append(out, member(json_object_get(answer, "forecast"), "text"));
    json_array_foreach (json_object_get(answer, "refusals"), i, refusal)
        g_string_append_printf(out, "refused by %s: %s\n", member(refusal, "rule"), member(refusal, "figures"));
}

static void do_run(struct play *play, char **words, unsigned n)
{
    GError *error = NULL;
    json_t *params = n > 3 ? json_object() : NULL;
    bool dry = strcmp(words[0], "dry") == 0;
    for (unsigned i = 3; i < n; i++) {
        g_auto(GStrv) pair = g_strsplit(words[i], "=", 2);
        json_object_set_new(params, pair[0], json_string(pair[1]));
    }
    json_t *json = engine_run_plan(play->s->engine, words[1], strcmp(words[2], "-") == 0 ? NULL : words[2], params, dry,
                                   &alice, now(play->s), &play->s->effects, &error);
    json_decref(params);
    if (json == NULL) {
        g_string_append_printf(play->out, "            refused: %s\n", error->message);
        g_clear_error(&error);
        return;
    }
    if (dry) {
        print_dry(play->out, json);
        json_decref(json);
        return;
    }
    g_free(play->id);
    play->id = g_strdup(member(json, "id"));
    play->began_us = json_integer_value(json_object_get(json, "started_us"));
    play->seen = 0;
    json_decref(json);
    settle(play->s);
}

static const char *binding_now(struct play *play, json_t **owner)
{
    size_t i;
    json_t *step;
    *owner = engine_execution(play->s->engine, play->id);
    json_array_foreach (json_object_get(*owner, "steps"), i, step)
        if (json_object_get(step, "binding") != NULL)
            return member(step, "binding");
    return "none";
}

static void do_act(struct play *play, char **words, unsigned n)
{
    GError *error = NULL;
    json_t *owner = NULL, *body = json_pack("{s:s}", "act", words[2]);
    const char *binding = binding_now(play, &owner);
    g_autofree char *reason = n > 5 ? g_strjoinv(" ", words + 5) : NULL;
    const char *rule = n > 4 && g_str_has_prefix(words[4], "override=") ? strchr(words[4], '=') + 1 : NULL;
    struct asker asker = {.actor = words[1],
                          .reason = reason,
                          .automatic = strcmp(words[1], "robot") == 0,
                          .overrides = rule != NULL ? (const char *const[]){rule, NULL} : NULL};
    if (n > 3 && strcmp(words[3], "-") != 0)
        json_object_set_new(body, "step", json_string(words[3]));
    if (n > 4 && strcmp(words[4], "bind") == 0)
        json_object_set_new(body, "binding", json_string(binding));
    if (n > 4 && strcmp(words[4], "replay") == 0)
        json_object_set_new(body, "binding", json_string(play->first_binding));
    if (play->first_binding == NULL)
        play->first_binding = g_strdup(binding);
    json_t *json = engine_act(play->s->engine, play->id, body, &asker, now(play->s), &play->s->effects, &error);
    if (json == NULL)
        g_string_append_printf(play->out, "            refused: %s\n", error->message);
    g_clear_error(&error);
    json_decref(json);
    json_decref(body);
    json_decref(owner);
    settle(play->s);
}

static void do_key(struct play *play)
{
    json_t *body = json_pack("{s:s}", "act", "rotate");
    json_t *json = engine_pin_keys(play->s->engine, body, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQR", &alice,
                                   now(play->s), &play->s->effects, NULL);
    ck_assert_ptr_nonnull(json);
    json_decref(json);
    json_decref(body);
    settle(play->s);
}

/* Evidence as transactions.c gives it: the first that is bad ends its transaction. */
static json_t *evidence(const json_t *requests, const char *bad, const char *why)
{
    json_t *list = json_array(), *request;
    size_t i;
    json_array_foreach (requests, i, request) {
        bool good = g_strcmp0(member(request, "name"), bad) != 0;
        json_array_append_new(list, json_pack("{s:s, s:b, s:i, s:i, s:s, s:s?}", "request", member(request, "name"),
                                              "ok", good, "status", good ? 200 : 500, "ms", 3, "room", "room-b", "why",
                                              good ? NULL : why));
        if (!good)
            break;
    }
    return list;
}

static void do_answer(struct play *play, char **words, unsigned n)
{
    if (play->s->asked == NULL) {
        g_string_append(play->out, "            nothing was asked\n");
        return;
    }
    g_autofree char *why = n > 3 ? g_strjoinv(" ", words + 3) : NULL;
    json_t *result = json_deep_copy(play->s->asked), *run;
    size_t i;
    json_array_foreach (json_object_get(result, "runs"), i, run) {
        g_string_append_printf(play->out, "            asked: %s of %s by %s at %s as %s, %zu requests\n",
                               member(run, "transaction"), member(run, "room"), member(run, "edge"),
                               member(run, "address"), member(run, "user"),
                               json_array_size(json_object_get(run, "requests")));
        json_object_set_new(run, "evidence", evidence(json_object_get(run, "requests"), n > 2 ? words[2] : NULL, why));
    }
    engine_transactions_done(play->s->engine, result, play->s->now_us, &play->s->effects);
    json_decref(result);
    settle(play->s);
}

static void do_other(struct play *play, char **words)
{
    GError *error = NULL;
    struct server *s = play->s;
    if (strcmp(words[0], "set") == 0) {
        struct asker asker = {.actor = words[1]};
        json_t *json = set(s, words[2], words[3], words[4], -1, &asker, &error);
        if (json == NULL)
            g_string_append_printf(play->out, "            refused: %s\n", error->message);
        json_decref(json);
    } else if (strcmp(words[0], "abort") == 0) {
        struct asker asker = {.actor = words[1]};
        json_t *json = engine_abort(s->engine, play->id, &asker, now(s), &s->effects, &error);
        if (json == NULL)
            g_string_append_printf(play->out, "            refused: %s\n", error->message);
        json_decref(json);
        settle(s);
    } else if (strcmp(words[0], "remove") == 0) {
        json_t *names = json_array(), *body = json_pack("{s:o}", "remove", names);
        for (char **name = words + 1; *name != NULL; name++)
            json_array_append_new(names, json_string(*name));
        json_t *json = engine_apply(s->engine, body, false, &alice, now(s), &s->effects, &error);
        if (json == NULL)
            g_string_append_printf(play->out, "            refused: %s\n", error->message);
        json_decref(json);
        json_decref(body);
        settle(s);
    } else if (strcmp(words[0], "edit") == 0) {
        json_t *plan = plan_to_json(g_hash_table_lookup(engine_world(s->engine)->plans, words[1]));
        json_object_set_new(plan, "summary", json_string("edited"));
        apply_ok(s, json_pack("{s:[o]}", "plans", plan));
    } else if (strcmp(words[0], "restart") == 0) {
        start(s);
        settle(s);
    } else if (strcmp(words[0], "confirm") == 0) {
        for (size_t i = 0; i < G_N_ELEMENTS(servers); i++)
            confirm(s, servers[i], "converged");
        INVENTORY_FOREACH (engine_world(s->engine)->inventory, registry, registry) {
            g_autofree char *name = registry_server(registry->o.name);
            confirm(s, name, "converged");
        }
    } else if (strcmp(words[0], "load") == 0) {
        json_t *body = json_pack("{s:[], s:[]}", "objects", "plans");
        load(body, words[1]);
        apply_ok(s, body);
    } else {
        ck_abort_msg("what is %s?", words[0]);
    }
    g_clear_error(&error);
}

static void perform(struct play *play, const char *line)
{
    g_auto(GStrv) words = g_strsplit(line, " ", -1);
    unsigned n = g_strv_length(words);
    g_string_append_printf(play->out, "> %s\n", line);
    if (strcmp(words[0], "run") == 0 || strcmp(words[0], "dry") == 0)
        do_run(play, words, n);
    else if (strcmp(words[0], "say") == 0 || strcmp(words[0], "old") == 0)
        do_say(play, words, n, words[0][0] == 'o');
    else if (strcmp(words[0], "down") == 0 || strcmp(words[0], "up") == 0)
        play->down = words[0][0] == 'd';
    else if (strcmp(words[0], "act") == 0)
        do_act(play, words, n);
    else if (strcmp(words[0], "key") == 0)
        do_key(play);
    else if (strcmp(words[0], "answer") == 0)
        do_answer(play, words, n);
    else if (g_strv_contains((const char *const[]){"reply", "lose", "refuse", NULL}, words[0]))
        do_reply(play, words, n);
    else if (strcmp(words[0], "messages") == 0)
        print_messages(play);
    else if (strcmp(words[0], "tick") == 0)
        for (int tenth = 0; tenth < (int)(atof(words[1]) * 10 + 0.5); tenth++) {
            tick(play->s, SECOND / 10);
            settle(play->s);
            report_all(play);
        }
    else
        do_other(play, words);
    print_news(play);
    print_calls(play);
}

/* How it stands at the end: the execution, its steps, the levers that are off their defaults. */
static void print_end(struct play *play)
{
    json_t *json = engine_execution(play->s->engine, play->id), *step;
    size_t i;
    g_string_append_printf(play->out, "end: %s%s%s\n", member(json, "state"), member(json, "error")[0] ? ": " : "",
                           member(json, "error"));
    json_array_foreach (json_object_get(json, "steps"), i, step)
        g_string_append_printf(play->out, "  %-10s %-10s %s\n", member(step, "name"), member(step, "state"),
                               member(step, "text"));
    g_autoptr(GPtrArray) levers = controls_list(engine_world(play->s->engine)->controls);
    for (guint k = 0; k < levers->len; k++) {
        const struct control *control = levers->pdata[k];
        if (strcmp(control->value, "default") != 0)
            g_string_append_printf(play->out, "  lever %s/%s %s\n", lever_class(control->lever)->name, control->object,
                                   control->value);
    }
    json_t *status = engine_status(play->s->engine, play->s->now_us), *warning;
    json_array_foreach (json_object_get(status, "warnings"), i, warning)
        if (strstr(json_string_value(warning), "step ") != NULL)
            g_string_append_printf(play->out, "  warning %s\n", json_string_value(warning));
    json_decref(status);
    json_decref(json);
}

static void play_deeds(const char *plans, const char *deeds, GString *out)
{
    struct play play = {.s = server_new(), .out = out};
    say_all(play.s);
    add_plan(play.s, plans);
    report_all(&play);
    g_auto(GStrv) lines = g_strsplit(deeds, "\n", -1);
    for (char **line = lines; *line != NULL; line++)
        perform(&play, *line);
    print_end(&play);
    g_free(play.id);
    g_free(play.first_binding);
    server_free(play.s);
}

static void play_case(const char *file)
{
    g_autofree char *path = g_strdup_printf("%s/tests/cases/plans/%s", SOURCE_DIR, file), *text = NULL;
    ck_assert(g_file_get_contents(path, &text, NULL, NULL));
    char *script = strstr(text, "\ndo\n"), *end = strstr(text, "\n===\n");
    ck_assert_msg(script != NULL && end != NULL && script < end, "%s: expected plans, \"do\", deeds, \"===\"", file);
    g_autoptr(GString) out = g_string_new_len(text, end + 5 - text);
    g_autofree char *plans = g_strndup(text, (gsize)(script - text) + 1),
                    *deeds = g_strndup(script + 4, (gsize)(end - script - 4));
    play_deeds(plans, deeds, out);
    g_autofree char *name = g_strdup_printf("plans/%s", file);
    golden_check(name, out->str);
}

static const char *const files[] = {
    "check.txt",
    "set.txt",
    "set-several.txt",
    "wait.txt",
    "verify.txt",
    "run.txt",
    "run-guard.txt",
    "run-refused.txt",
    "run-ask.txt",
    "run-again.txt",
    "ramp-again.txt",
    "run-override.txt",
    "ramp.txt",
    "ramp-guard.txt",
    "ramp-nobody.txt",
    "ramp-latency.txt",
    "ramp-silent.txt",
    "ramp-forced.txt",
    "ramp-restart.txt",
    "ramp-moved.txt",
    "ramp-rules.txt",
    "ramp-paused.txt",
    "ramp-settling.txt",
    "approve.txt",
    "approve-edited.txt",
    "approve-expired.txt",
    "approve-emergency.txt",
    "approve-post.txt",
    "approve-forced.txt",
    "pause.txt",
    "pre.txt",
    "post.txt",
    "stop.txt",
    "rollback.txt",
    "continue.txt",
    "ask.txt",
    "stuck.txt",
    "warm.txt",
    "warm-share.txt",
    "warm-silent.txt",
    "transaction.txt",
    "transaction-restart.txt",
    "transaction-silent.txt",
    "transaction-none.txt",
    "promote.txt",
    "promote-abort.txt",
    "takeover.txt",
    "notify.txt",
    "notify-gone.txt",
    "hook.txt",
    "hook-waits.txt",
    "hook-stop.txt",
    "hook-rollback.txt",
    "hook-continue.txt",
    "hook-ask.txt",
    "hook-once.txt",
    "hook-undo-once.txt",
    "hook-late.txt",
    "hook-undo-left.txt",
    "hook-restart.txt",
    "hook-child.txt",
};

START_TEST(goes_as_it_went)
{
    play_case(files[_i]);
}
END_TEST

/* ---- a step of each kind that fails, with each on_failure ---- */

/* Between a step that moved something and one that would: what comes of them shows what the failure led to. */
static const struct failing {
    const char *step;         /* what it is besides its name and on_failure */
    const char *before, *run; /* deeds before and behind the start, with "\n" at the end */
    const char *plans;        /* others, or NULL */
} failings[STEP_KINDS + 1] = {
    [STEP_CHECK] = {"check: entrances-healthy, timeout: 1s", "down\nsay all\n", "tick 1.5\n", NULL},
    [STEP_SET] = {"needs: [edges], set: [{control: room.ingress, on: room-a, value: closed}]", "old edge-2\n",
                  "set carol room.ingress room-b closed\nsay all\ntick 0.1\n", NULL},
    [STEP_RAMP] = {"ramp: {on: playback, to: room-b, stages: [50, 100], bake: 1s}", "",
                   "say all room-b 100 50\ntick 2\n", NULL},
    [STEP_WAIT] = {"wait: edges, timeout: 1s", "old edge-2\n", "tick 1.5\n", NULL},
    [STEP_VERIFY] = {"verify: share, timeout: 1s", "", "say all room-b 100 60\ntick 4\n", NULL},
    [STEP_APPROVE] = {"approve: Is it so, timeout: 1s", "", "tick 1.5\n", NULL},
    [STEP_RUN] = {"run: child", "old edge-2\n", "tick 1.5\n",
                  "---\nplan: child\ntarget: room\nsteps:\n  - {name: inner, wait: edges, timeout: 1s}\n"},
    [STEP_HOOK] = {"hook: {url: \"https://db.example.test/\", key: db, undo: {url: \"https://db.example.test/back\"}, "
                   "status: [204]}",
                   "", "reply 200\n", NULL},
    [STEP_NOTIFY] = {"needs: [edges], notify: {to: ops, text: it goes on}", "old edge-2\n",
                     "remove plan/p webhook/ops\nsay all\ntick 0.1\n",
                     "---\nwebhooks: [{name: ops, url: \"https://chat.example.test/\", key: ops}]\n"},
    [STEP_WARM] = {"warm: {room: room-b, urls: [\"http://home.example.test/\"], share: 50}", "key\n",
                   "say all\nanswer bad http://home.example.test/ status: found 500\n", NULL},
    [STEP_KINDS] =
        {"verify: transactions, room: room-b", "key\n", "say all\nanswer bad buy-2 status: found 500\n",
         "---\ntransactions: [{name: buy}]\ntxrequests:\n"
         "  - {name: buy-1, transaction: buy, order: 1, host: home.example.test, path: /}\n"
         "  - {name: buy-2, transaction: buy, order: 2, host: home.example.test, path: /pay, method: post}\n"},
};
static const char *const on_failures[] = {"stop", "rollback", "continue", "ask"};

START_TEST(each_kind_fails)
{
    const struct failing *f = &failings[_i];
    const char *kind = _i == STEP_KINDS ? "verify-transactions" : step_kind_name((enum step_kind)_i);
    g_autoptr(GString) out = g_string_new(NULL);
    ck_assert_msg(f->step != NULL, "a step %s that fails: expected how, in failings", kind);
    for (size_t i = 0; i < G_N_ELEMENTS(on_failures); i++) {
        if (_i == STEP_APPROVE && strcmp(on_failures[i], "continue") == 0)
            continue; /* no plan may say so */
        g_autofree char *plans =
            g_strdup_printf("plan: p\ntarget: room\nsteps:\n"
                            "  - {name: first, set: [{control: pop, on: pop-a1, value: out}]}\n"
                            "%s  - {name: failing, %s, on_failure: %s}\n"
                            "  - {name: next, needs: [failing], set: [{control: pop, on: pop-b1, value: out}]}\n%s",
                            _i == STEP_SET || _i == STEP_NOTIFY ? "  - {name: edges, wait: edges}\n" : "", f->step,
                            on_failures[i], f->plans != NULL ? f->plans : "");
        bool asks = strcmp(on_failures[i], "ask") == 0;
        bool undone = _i == STEP_HOOK && strcmp(on_failures[i], "rollback") == 0;
        g_autofree char *deeds = g_strdup_printf("%srun p room-a\n%ssay all\ntick 1%s", f->before, f->run,
                                                 asks     ? "\nact bob skip failing - it is known"
                                                 : undone ? "\nreply 200"
                                                          : "");
        g_string_append_printf(out, "==== %s, on_failure %s\n%s", kind, on_failures[i], plans);
        play_deeds(plans, deeds, out);
    }
    g_autofree char *name = g_strdup_printf("plans/fails-%s.txt", kind);
    golden_check(name, out->str);
}
END_TEST

/* ---- the runbooks that ship, tried dry ---- */

/* Rates of a site at rest: users of room-a and room-b, through public edges. */
static void say_rates(struct server *s)
{
    for (size_t i = 0; i < 2; i++)
        say(s, edges[i], (struct saying){.policy = "core.playback", .room = i == 0 ? "room-a" : "room-b", .rate = 100});
}

static const struct {
    const char *plan, *target, *to;
} runs[] = {
    {"component-promote", "orders", "room-b"},
    {"component-promote", "orders", "room-a"},
    {"component-promote", "views", "room-b"},
    {"topic-takeover", "views", NULL},
    {"topic-takeover", "orders", NULL},
    {"service-switch", "playback", "room-b"},
    {"service-switch", "playback,home", "room-b"},
    {"service-switch", "creator", "room-b"},
    {"service-switch", "playback", NULL},
    {"site-evacuate", "room-a", NULL},
    {"pop-drain", "pop-a1", NULL},
    {"room-isolated", "room-a", NULL},
    {"failback", "room-a", NULL},
    {"room-drain", "room-a", NULL},
    {"carrier-to-lines", "carrier-1", NULL},
    {"carrier-back", "carrier-1", NULL},
    {"line-maintenance", "line-5", NULL},
    {"gateway-drain", "gw-a1", NULL},
};
static const char *const sites[] = {"two-rooms", "three-rooms", "gateways"};

START_TEST(runbooks_tried_dry)
{
    rig_site = sites[_i];
    struct server *s = server_new();
    g_autoptr(GString) out = g_string_new(NULL);
    json_t *more = json_pack("{s:[], s:[]}", "objects", "plans");
    load(more, "runbooks/service-switch.yaml");
    load(more, "runbooks/site-evacuate.yaml");
    load(more, "runbooks/pop-drain.yaml");
    load(more, "runbooks/carrier-to-lines.yaml");
    load(more, "runbooks/carrier-back.yaml");
    load(more, "runbooks/component-promote.yaml");
    load(more, "runbooks/topic-takeover.yaml");
    load(more, "runbooks/line-maintenance.yaml");
    load(more, "runbooks/gateway-drain.yaml");
    load(more, "tests/cases/components.yaml");
    apply_ok(s, more);
    say_rates(s);
    uint64_t before = generation(s);
    for (size_t i = 0; i < G_N_ELEMENTS(runs); i++) {
        GError *error = NULL;
        json_t *params = runs[i].to != NULL ? json_pack("{s:s}", "to", runs[i].to) : NULL;
        g_string_append_printf(out, "%s %s %s\n", runs[i].plan, runs[i].target, runs[i].to != NULL ? runs[i].to : "");
        json_t *answer =
            engine_run_plan(s->engine, runs[i].plan, runs[i].target, params, true, &alice, now(s), &s->effects, &error);
        if (answer != NULL)
            print_dry(out, answer);
        else
            g_string_append_printf(out, "  refused: %s\n", error->message);
        g_clear_error(&error);
        json_decref(answer);
        json_decref(params);
    }
    ck_assert_uint_eq(generation(s), before); /* and nothing was done */
    g_autofree char *name = g_strdup_printf("%s/runbooks.txt", sites[_i]);
    golden_check(name, out->str);
    server_free(s);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_loop_test(tcase, runbooks_tried_dry, 0, G_N_ELEMENTS(sites));
    tcase_add_loop_test(tcase, each_kind_fails, 0, STEP_KINDS + 1);
    tcase_add_loop_test(tcase, goes_as_it_went, 0, G_N_ELEMENTS(files));
}

int main(void)
{
    return unit_run("plan_cases", add);
}
