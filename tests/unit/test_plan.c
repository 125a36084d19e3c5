#include "schema/plan.h"

#include "schema/yamldoc.h"
#include "tests/unit/unit.h"
#include <string.h>

static json_t *collect(const char *yaml, GPtrArray *findings)
{
    g_autoptr(GError) error = NULL;
    json_t *documents = yamldoc_parse(yaml, strlen(yaml), "p.yaml", &error), *body = json_object();
    ck_assert_msg(documents != NULL, "%s", error != NULL ? error->message : "");
    yamldoc_collect(documents, "p.yaml", body, findings);
    json_t *plan = json_incref(json_array_get(json_object_get(body, "plans"), 0));
    json_decref(documents);
    json_decref(body);
    return plan;
}

static struct plan *read_yaml(const char *yaml, GPtrArray *findings)
{
    json_t *json = collect(yaml, findings);
    struct plan *plan = plan_from_json(json, NULL, findings);
    json_decref(json);
    return plan;
}

static struct plan *read_good(const char *yaml)
{
    g_autoptr(GPtrArray) findings = finding_list_new();
    struct plan *plan = read_yaml(yaml, findings);
    g_autofree char *text = findings->len > 0 ? finding_text(findings->pdata[0]) : NULL;
    ck_assert_msg(plan != NULL && findings->len == 0, "%s", text);
    return plan;
}

static const struct plan_step *step(const struct plan *plan, unsigned i)
{
    return plan->steps->pdata[i];
}

static const char *const example = "plan: room-isolated\n"
                                   "summary: The room is alive.\n"
                                   "target: room\n"
                                   "steps:\n"
                                   "  - name: close-entrances\n"
                                   "    needs: [other-room]\n"
                                   "    timeout: 10s\n"
                                   "    on_failure: rollback\n"
                                   "    set:\n"
                                   "      - {control: room.ingress, on: $target, value: closed}\n"
                                   "      - {control: group.edge_class, on: home=$target, value: dedicated}\n"
                                   "      - {control: split, on: playback, value: \"0-999=room-b\"}\n"
                                   "  - {name: other-room, check: room-open, needs: []}\n"
                                   "  - {name: edges, wait: edges, timeout: 500ms, needs: [close-entrances]}\n"
                                   "  - {name: proof, verify: share, timeout: 2m}\n"
                                   "  - {name: child, run: other-plan, needs: [edges, proof]}\n";

START_TEST(every_member_is_read)
{
    sb_auto(plan) plan = read_good(example);
    ck_assert_str_eq(plan->name, "room-isolated");
    ck_assert_str_eq(plan->summary, "The room is alive.");
    ck_assert_int_eq(plan->target_kind, OBJECT_room);
    ck_assert_uint_eq(plan->steps->len, 5);
    const struct plan_step *close = step(plan, 1), *child = step(plan, 4);
    ck_assert_int_eq(close->kind, STEP_SET);
    ck_assert_int_eq(close->timeout_us, 10 * G_USEC_PER_SEC);
    ck_assert_int_eq(close->on_failure, ON_FAILURE_ROLLBACK);
    const struct plan_set *set = &g_array_index(close->sets, struct plan_set, 1);
    ck_assert_int_eq(set->lever, LEVER_GROUP_EDGE_CLASS);
    ck_assert_str_eq(set->on, "home=$target");
    ck_assert_str_eq(set->value, "dedicated");
    ck_assert_str_eq(child->argument, "other-plan");
    ck_assert_str_eq(child->needs[1], "proof");
    ck_assert_int_eq(step(plan, 2)->timeout_us, 500000);
    ck_assert_int_eq(step(plan, 3)->timeout_us, 120 * G_USEC_PER_SEC);
    ck_assert_int_eq(child->timeout_us, 30 * G_USEC_PER_SEC);
}
END_TEST

START_TEST(steps_stand_behind_what_they_need)
{
    sb_auto(plan) plan = read_good(example);
    static const char *const order[] = {"other-room", "close-entrances", "edges", "proof", "child"};
    for (unsigned i = 0; i < G_N_ELEMENTS(order); i++)
        ck_assert_str_eq(step(plan, i)->name, order[i]);
    ck_assert_ptr_null(step(plan, 0)->needs[0]);
    ck_assert_str_eq(step(plan, 3)->needs[0], "edges"); /* none were given: the step before */
}
END_TEST

START_TEST(the_source_comes_back_without_lines)
{
    sb_auto(plan) plan = read_good(example);
    plan->revision = 4;
    sb_auto(plan) copy = plan_copy(plan);
    ck_assert_uint_eq(copy->revision, 4);
    json_t *json = plan_to_json(copy);
    g_autofree char *yaml = yamldoc_format(json);
    ck_assert_ptr_null(strchr(yaml, '@'));
    ck_assert_ptr_null(strstr(yaml, "p.yaml"));
    ck_assert(g_str_has_prefix(
        yaml, "plan: room-isolated\nsummary: The room is alive.\ntarget: room\nsteps:\n- name: close"));
    sb_auto(plan) again = read_good(yaml);
    ck_assert(json_equal(again->source, plan->source));
    json_decref(json);
}
END_TEST

START_TEST(what_a_call_sends_is_what_was_written)
{
    sb_auto(plan) plan =
        read_good("plan: p\nsteps:\n  - name: tell\n    hook:\n      url: https://x.test/\n      key: k\n"
                  "      body: {a: {b: [{c: 1}]}}\n"
                  "      undo: {url: \"https://x.test/\", body: {d: {e: 2}}}\n");
    json_t *body = json_pack("{s:{s:[{s:i}]}}", "a", "b", "c", 1), *back = json_pack("{s:{s:i}}", "d", "e", 2);
    const json_t *spec = step(plan, 0)->spec;
    ck_assert(json_equal(json_object_get(spec, "body"), body));
    ck_assert(json_equal(json_object_get(json_object_get(spec, "undo"), "body"), back));
    json_decref(body);
    json_decref(back);
}
END_TEST

START_TEST(the_runbooks_that_ship_are_good)
{
    g_autoptr(GDir) dir = g_dir_open(SOURCE_DIR "/runbooks", 0, NULL);
    unsigned seen = 0;
    for (const char *file; (file = g_dir_read_name(dir)) != NULL; seen++) {
        g_autofree char *path = g_strdup_printf("%s/runbooks/%s", SOURCE_DIR, file);
        g_autoptr(GPtrArray) findings = finding_list_new();
        json_t *documents = yamldoc_load_file(path, NULL), *body = json_object();
        yamldoc_collect(documents, path, body, findings);
        sb_auto(plan) plan = plan_from_json(json_array_get(json_object_get(body, "plans"), 0), NULL, findings);
        ck_assert_uint_eq(findings->len, 0);
        g_autofree char *expected = g_strconcat(plan->name, ".yaml", NULL);
        ck_assert_str_eq(file, expected);
        const json_t *notes = json_object_get(plan->source, "notes"); /* for who is woken by it */
        ck_assert_msg(json_array_size(notes) >= 2, "%s: expected notes", file);
        ck_assert_msg(g_str_has_prefix(json_string_value(json_array_get(notes, 0)), "When: "), "%s", file);
        bool back = false;
        for (size_t i = 0; i < json_array_size(notes); i++)
            back |= strstr(json_string_value(json_array_get(notes, i)), "Way back") != NULL;
        ck_assert_msg(back, "%s: expected the way back", file);
        json_decref(documents);
        json_decref(body);
    }
    ck_assert_uint_ge(seen, 8);
}
END_TEST

#define HEAD "plan: p\ntarget: room\nsteps:\n"
#define AT "p.yaml:4: plan p, step a: "

START_TEST(what_is_wrong_is_found_with_its_line)
{
    static const char *const rows[][2] = {
        {"plan: P\n", "p.yaml:1: plan: plan: found \"P\", expected a name of 1 to 40 a-z 0-9 -, with a letter or digit "
                      "at both ends"},
        {"plan: p\n", "p.yaml:1: plan p: steps: found nothing, expected a list of 1 to 100 steps"},
        {"plan: p\nsteps: []\n", "p.yaml:1: plan p: steps: found a list of 0, expected a list of 1 to 100 steps"},
        {"plan: p\ntarget: cat\nsteps:\n  - {name: a, check: forecast}\n",
         "p.yaml:1: plan p: target: found \"cat\", expected a kind of object, as room"},
        {"plan: p\nstep: 1\nsteps:\n  - {name: a, check: forecast}\n",
         "p.yaml:1: plan p: found unknown key \"step\", expected one of plan, summary, notes, target, params, steps"},
        {HEAD "  - word\n",
         "p.yaml:1: plan p: steps: found \"word\", expected a mapping with the step's name and what it does"},
        {HEAD "  - {name: a}\n", AT
         "found 0 of them, expected exactly one of check, set, ramp, wait, verify, warm, approve, run, hook, notify"},
        {HEAD "  - {name: a, wait: dns, check: forecast}\n", AT
         "found 2 of them, expected exactly one of check, set, ramp, wait, verify, warm, approve, run, hook, notify"},
        {HEAD "  - {name: a, check: room-shut}\n",
         AT "check: found \"room-shut\", expected one of room-open, forecast, entrances-healthy"},
        {HEAD "  - {name: a, wait: 5}\n", AT "wait: found 5, expected one of edges, dns, eastwest, converged"},
        {HEAD "  - {name: a, run: ../x}\n", AT "run: found \"../x\", expected the name of a plan"},
        {HEAD "  - {name: a, check: forecast, timeout: 10}\n",
         AT "timeout: found 10, expected a time as 500ms, 10s or 2m, at most 1440m"},
        {HEAD "  - {name: a, check: forecast, timeout: 10h}\n",
         AT "timeout: found \"10h\", expected a time as 500ms, 10s or 2m, at most 1440m"},
        {HEAD "  - {name: a, check: forecast, timeout: 0s}\n",
         AT "timeout: found \"0s\", expected a time as 500ms, 10s or 2m, at most 1440m"},
        {HEAD "  - {name: a, check: forecast, timeout: 1441m}\n",
         AT "timeout: found \"1441m\", expected a time as 500ms, 10s or 2m, at most 1440m"},
        {HEAD "  - {name: a, check: forecast, on_failure: panic}\n",
         AT "on_failure: found \"panic\", expected one of stop, rollback, continue, ask"},
        {HEAD "  - {name: a, approve: Look., on_failure: continue}\n",
         AT "on_failure: found \"continue\", expected stop, rollback or ask: what is declined is not to be done"},
        {HEAD "  - {name: a, check: forecast, needs: b}\n",
         AT "needs: found \"b\", expected a list of different names of steps"},
        {HEAD "  - {name: a, check: forecast, needs: [b]}\n",
         AT "needs: found \"b\", expected names of steps of this plan"},
        {HEAD "  - {name: a, check: forecast, needs: [a]}\n",
         "p.yaml:1: plan p: needs: found the circle a -> a, expected steps that can all start"},
        {HEAD "  - {name: a, check: forecast, needs: [c]}\n  - {name: b, wait: dns}\n  - {name: c, wait: dns}\n",
         "p.yaml:1: plan p: needs: found the circle a -> c -> b -> a, expected steps that can all start"},
        {HEAD "  - {name: a, check: forecast}\n  - {name: a, check: forecast}\n",
         "p.yaml:5: plan p: name: found \"a\", expected a name that no other step has"},
        {HEAD "  - {name: a, set: []}\n",
         AT "set: found a list of 0, expected a list of 1 to 100 {control, on, value}"},
        {HEAD "  - {name: a, set: [{control: door, on: x, value: y}]}\n", AT
         "control: found \"door\", expected one of room.ingress, room.compute, pop, line, gateway, room.escape, edge, "
         "split, split.pin, "
         "group.edge_class, "
         "variant.edge_class, dnszone.guard, service.auto_dr, interface.eastwest, service.eastwest, service.degrade, "
         "service.limit, interface.degrade, interface.limit, room.degrade, room.limit, component.primary, "
         "component.consumption"},
        {HEAD "  - {name: a, set: [{control: pop, on: p, value: shut}]}\n",
         AT "value: found \"shut\", expected default or one of in, out"},
        {HEAD "  - {name: a, set: [{control: pop, on: $target, value: out}]}\n",
         AT "on: found \"$target\", expected the name of a pop: the plan's target is no pop"},
        {HEAD "  - {name: a, set: [{control: pop, on: home=$target, value: out}]}\n",
         AT "on: found \"home=$target\", expected the name of a pop: home=$target is for groups and services, of a "
            "target room"},
        {HEAD "  - {name: a, set: [{control: variant.edge_class, on: carrier=$target, value: dedicated}]}\n", AT
         "on: found \"carrier=$target\", expected the name of a variant: carrier=$target is for variants, of a target "
         "carrier"},
        {HEAD "  - {name: a, set: [{control: variant.edge_class, on: home=$target, value: dedicated}]}\n",
         AT "on: found \"home=$target\", expected the name of a variant: home=$target is for groups and services, of a "
            "target room"},
        {HEAD "  - {name: a, set: [{control: split, on: s, value: half}]}\n",
         AT "value: found \"half\", expected default or ranges as 0-499=room-a,500-999=room-b"},
        {"plan: p\ntarget: component\nsteps:\n  - {name: a, set: [{control: component.primary, on: $target, value: "
         "$to}]}\n",
         "p.yaml:4: plan p, step a: value: found \"$to\", expected default, none or the name of a room"},
        {"plan: p\ntarget: component\nsteps:\n  - {name: a, check: entrances-healthy}\n",
         "p.yaml:4: plan p, step a: check: found \"entrances-healthy\", expected one of forecast, writes-stopped, "
         "consumption-stopped"},
        {HEAD "  - {name: a, warm: {room: room-b, urls: [play.example.test/]}}\n",
         AT "urls: found a list of 1, expected 1 to 100 different http://HOST/PATH of printable ASCII"},
        {HEAD "  - {name: a, warm: {room: room-b, urls: [\"http://a.b/x y\"]}}\n",
         AT "urls: found a list of 1, expected 1 to 100 different http://HOST/PATH of printable ASCII"},
        {HEAD "  - {name: a, warm: {room: $to, urls: [\"http://a.b/\"]}}\n",
         AT "room: found \"$to\", expected the name of a room, $target or a parameter"},
        {HEAD "  - {name: a, warm: {room: room-b, urls: [\"http://a.b/\"], rate: 1001}}\n",
         AT "rate: found 1001, expected a whole number from 0 to 1000"},
        {"plan: p\nsteps:\n  - {name: a, check: room-open}\n",
         "p.yaml:3: plan p, step a: check: found \"room-open\", expected one of forecast"},
        {HEAD "  - {name: a, hook: x}\n", AT "hook: found \"x\", expected {url: URL, key: NAME, ...}"},
        {HEAD "  - {name: a, hook: {url: \"https://x.test/\"}}\n",
         AT "key: found nothing, expected a name of 1 to 40 a-z 0-9 -, with a letter or digit at both ends"},
        {HEAD "  - {name: a, hook: {url: \"https://$target/\", key: k}}\n", AT
         "url: found \"https://$target/\", expected a URL as https://host.example/path, http or https, without user or "
         "fragment, at most 400 ASCII"},
        {HEAD "  - {name: a, hook: {url: \"https://x.test/$reason\", key: k}}\n",
         AT "url: found \"$reason\", expected $$ for a $, or a word of the plan: $plan $execution $step $target"},
        {HEAD "  - {name: a, hook: {url: \"https://x.test/\", key: k, method: LOOK}}\n",
         AT "method: found \"LOOK\", expected one of GET, POST, PUT, PATCH, DELETE"},
        {HEAD "  - {name: a, hook: {url: \"https://x.test/\", key: k, body: [1]}}\n",
         AT "body: found a list of 1, expected an object of at most 4096 bytes as JSON"},
        {HEAD "  - {name: a, hook: {url: \"https://x.test/\", key: k, body: {a: [\"${b}\"]}}}\n",
         AT "body: found \"${b}\", expected $$ for a $, or a word of the plan: $plan $execution $step $target $actor "
            "$reason"},
        {HEAD "  - {name: a, hook: {url: \"https://x.test/\", key: k, headers: {host: y}}}\n", AT
         "headers: found an object, expected at most 10 names with values of printable ASCII; not Host, Content-Type, "
         "Idempotency-Key and the like, which are ours"},
        {HEAD "  - {name: a, hook: {url: \"https://x.test/\", key: k, headers: {X-A: \"b\\r\\nHost: y\"}}}\n", AT
         "headers: found an object, expected at most 10 names with values of printable ASCII; not Host, Content-Type, "
         "Idempotency-Key and the like, which are ours"},
        {HEAD "  - {name: a, hook: {url: \"https://x.test/\", key: k, status: [99]}}\n",
         AT "status: found a list of 1, expected a list of 1 to 10 statuses from 200 to 599"},
        {HEAD "  - {name: a, hook: {url: \"https://x.test/\", key: k, member: state}}\n",
         AT "member: found \"state\", expected a member of the answer, with is: what it must be, both texts"},
        {HEAD "  - {name: a, hook: {url: \"https://x.test/\", key: k, undo: {url: \"https://x.test/\", key: k}}}\n",
         AT "found unknown key \"key\", expected one of url, method, body, headers, status, member, is"},
        {HEAD "  - {name: a, notify: {to: ops, text: \"5 $\"}}\n", AT
         "text: found \"$\", expected $$ for a $, or a word of the plan: $plan $execution $step $target $actor $reason "
         "$error $generation"},
        {HEAD "  - {name: a, notify: ops}\n", AT "notify: found \"ops\", expected {to: WEBHOOK, text: TEXT}"},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GPtrArray) findings = finding_list_new();
        struct plan *plan = read_yaml(rows[i][0], findings);
        ck_assert_msg(plan == NULL && findings->len == 1, "%s: %u findings", rows[i][0], findings->len);
        g_autofree char *text = finding_text(findings->pdata[0]);
        ck_assert_str_eq(text, rows[i][1]);
    }
}
END_TEST

static void plan_put(GHashTable *plans, const char *yaml)
{
    struct plan *plan = read_good(yaml);
    g_hash_table_insert(plans, plan->name, plan);
}

static void plan_destroy(gpointer plan)
{
    plan_free(plan);
}

START_TEST(plans_fit_each_other_and_the_inventory)
{
    g_autoptr(GHashTable) plans = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, plan_destroy);
    g_autoptr(GPtrArray) findings = finding_list_new();
    sb_auto(inventory) inv = inventory_new();
    plan_put(plans, "plan: a\nsteps:\n  - {name: s, run: b}\n");
    plan_put(plans, "plan: b\nsteps:\n  - {name: s, run: a}\n");
    plan_put(plans, "plan: c\nsteps:\n  - {name: s, run: nowhere}\n  - {name: t, run: d}\n");
    plan_put(plans, "plan: d\ntarget: room\nsteps:\n  - {name: s, check: room-open}\n");
    plan_put(plans, "plan: e\nsteps:\n  - {name: s, set: [{control: pop, on: pop-9, value: out}]}\n");
    plans_validate(plans, inv, findings);
    static const char *const texts[] = {
        "p.yaml:3: plan a: run: found a plan that runs itself, expected plans without a circle",
        "p.yaml:3: plan b: run: found a plan that runs itself, expected plans without a circle",
        "p.yaml:3: plan c, step s: run: found \"nowhere\", expected the name of a plan that exists",
        "p.yaml:4: plan c, step t: run: found \"d\", expected a plan with the target of this one, none",
        "p.yaml:3: plan e, step s: on: found \"pop-9\", expected the name of a pop that exists",
    };
    ck_assert_uint_eq(findings->len, G_N_ELEMENTS(texts));
    for (unsigned i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autofree char *text = finding_text(findings->pdata[i]);
        ck_assert_str_eq(text, texts[i]);
    }
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, every_member_is_read);
    tcase_add_test(tcase, steps_stand_behind_what_they_need);
    tcase_add_test(tcase, the_source_comes_back_without_lines);
    tcase_add_test(tcase, what_a_call_sends_is_what_was_written);
    tcase_add_test(tcase, the_runbooks_that_ship_are_good);
    tcase_add_test(tcase, what_is_wrong_is_found_with_its_line);
    tcase_add_test(tcase, plans_fit_each_other_and_the_inventory);
}

int main(void)
{
    return unit_run("plan", add);
}
