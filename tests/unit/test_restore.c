/* Replay of a journal gives the same bytes: what a server that has been used leaves behind is restored, twice and on
 * another server, to the same tables, records, hashes and texts. */
#include "server/interlocking/incident.h"
#include "server/store/journal.h"
#include "tests/unit/served_case.h"
#include "tests/unit/unit.h"

#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>

#define URL "http://creator.example.test/upload"
#define START_US (5 * (int64_t)G_USEC_PER_SEC)

static void use(const char *method, const char *path, const char *body, unsigned status)
{
    unsigned found = served_local(&served, method, path, "*", body, NULL);
    ck_assert_msg(found == status, "%s %s: %u", method, path, found);
}

/* Objects that came and went, levers, a plan under way and one undone, tokens. */
static void used_server(void)
{
    served_apply_site(&served);
    g_autofree char *token = served_token(&served, "edge-1", "agent");
    report_as(token, "edge-1");
    use("PUT", "/v1/controls/service.auto_dr/home", "{\"value\":\"on\",\"reason\":\"a try\"}", 200);
    use("PUT", "/v1/inventory/zone/zone-1", "{}", 200);
    use("POST", "/v1/apply",
        "{\"objects\":[{\"kind\":\"zone\",\"name\":\"zone-3\"},{\"kind\":\"zone\",\"name\":\"zone-4\"}]}", 200);
    use("DELETE", "/v1/inventory/zone/zone-3", NULL, 200);
    json_t *execution = NULL;
    ck_assert_uint_eq(
        served_local(&served, "POST", "/v1/plans/room-drain/run", NULL, "{\"target\":\"room-b\"}", &execution), 202);
    g_autofree char *abort = g_strdup_printf("/v1/executions/%s/abort", text_at(execution, "id"));
    json_decref(execution);
    served_local(&served, "POST", abort, NULL, "{}", NULL); /* it may have ended by itself */
    use("POST", "/v1/plans/room-isolated/run", "{\"target\":\"room-a\"}", 202);
    use("PUT", "/v1/controls/service.auto_dr/home", "{\"value\":\"default\"}", 200);
}

/* ---- restoring ---- */

/* The journal is copied to a folder of its own: a restore begins a reign in it. */
static char *copy_journal(const char *name)
{
    static const char *const suffixes[] = {"", "-wal", "-shm"};
    g_autofree char *dir = g_build_filename(served.dir, name, NULL);
    ck_assert_int_eq(g_mkdir(dir, 0700), 0);
    for (size_t i = 0; i < G_N_ELEMENTS(suffixes); i++) {
        g_autofree char *from = g_strdup_printf("%s/state/journal.db%s", served.dir, suffixes[i]),
                        *to = g_strdup_printf("%s/journal.db%s", dir, suffixes[i]), *bytes = NULL;
        gsize size;
        if (g_file_get_contents(from, &bytes, &size, NULL))
            ck_assert(g_file_set_contents(to, bytes, (gssize)size, NULL));
    }
    return g_build_filename(dir, "journal.db", NULL);
}

static bool restore(void *engine, const struct journal_entry *entry, GError **error)
{
    return engine_restore(engine, entry, error);
}

/* What another server makes of the journal. */
static struct engine *restored(const char *name, uint64_t *epoch, struct effects *effects)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *path = copy_journal(name);
    struct engine_config config = {.cluster = (char *)(uintptr_t) "two-rooms",
                                   .rules = {.share_moved_max = RULES_SHARE_MOVED_MAX},
                                   .seed = 11,
                                   .wall_offset_us = 1000};
    sb_auto(journal) journal = journal_open(path, 0, &error);
    ck_assert_msg(journal != NULL, "%s", error != NULL ? error->message : "");
    struct engine *engine = engine_new(&config);
    ck_assert_msg(journal->ops->replay(journal, restore, engine, &error), "%s", error != NULL ? error->message : "");
    *epoch = journal->epoch;
    engine_start(engine, journal->epoch, START_US, effects);
    return engine;
}

static void add_json(GString *out, json_t *json)
{
    char *text = json_dumps(json, JSON_COMPACT | JSON_ENCODE_ANY);
    g_string_append_printf(out, "%s\n", text);
    free(text);
    json_decref(json);
}

static json_t *explained(const struct engine *engine)
{
    const struct explain_query query = {.url = URL, .user = "42"};
    GError *error = NULL;
    json_t *json = explain(engine_resolved(engine), engine_observed(engine), &query, START_US, &error);
    ck_assert_ptr_nonnull(json);
    return json;
}

/* Every part's bytes, every record, every effect, every text. */
static char *all_of(const struct engine *engine, struct effects *effects)
{
    GString *out = g_string_new(NULL);
    const struct resolved *resolved = engine_resolved(engine);
    struct effect *effect;
    while ((effect = effects_pop(effects)) != NULL) {
        effect_lines(effect, out);
        effect_free(effect);
    }
    for (int class = 0; class < EDGE_CLASSES; class ++)
        for (int part = 0; part < PARTS; part++) {
            const char *hash = resolved->tables[class].hash[part];
            GBytes *bytes = g_hash_table_lookup(resolved->parts, hash);
            ck_assert_ptr_nonnull(bytes);
            g_string_append_printf(out, "%s ", hash);
            g_string_append_len(out, g_bytes_get_data(bytes, NULL), (gssize)g_bytes_get_size(bytes));
        }
    json_t *all = engine_executions(engine), *row;
    size_t i;
    json_array_foreach (all, i, row)
        add_json(out, engine_execution(engine, text_at(row, "id")));
    json_decref(all);
    add_json(out, engine_status(engine, START_US));
    json_t *road = explained(engine);
    g_autofree char *text = explain_text(road);
    g_string_append(out, text);
    json_decref(road);
    return g_string_free(out, FALSE);
}

/* A server that serves: its manifest and its road are those of the engine that was restored here. */
static void expect_served(const struct engine *engine)
{
    g_autofree char *token = served_token(&served, "edge-2", "agent");
    json_t *manifest = NULL, *answer = NULL, *road = explained(engine);
    const struct resolved *resolved = engine_resolved(engine);
    ck_assert_uint_eq(
        served_call(&served, served.agents, token, "GET", "/agent/v1/edges/edge-2/table", NULL, NULL, &manifest, NULL),
        200);
    ck_assert_int_eq(number_at(manifest, "generation"), (json_int_t)resolved->world->stamp.generation);
    ck_assert_uint_eq(json_object_size(json_object_get(manifest, "parts")), PARTS);
    const char *name;
    json_t *hash;
    json_object_foreach (json_object_get(manifest, "parts"), name, hash) {
        bool found = false;
        for (int part = 0; part < PARTS; part++)
            found |= strcmp(resolved->tables[EDGE_PUBLIC].hash[part], json_string_value(hash)) == 0;
        ck_assert_msg(found, "%s %s", name, json_string_value(hash));
    }
    ck_assert_uint_eq(served_local(&served, "GET", "/v1/explain?url=" URL "&user=42", NULL, NULL, &answer), 200);
    ck_assert(json_equal(json_object_get(answer, "turns"), json_object_get(road, "turns")));
    ck_assert_uint_ge(json_array_size(json_object_get(road, "turns")), 5);
    json_decref(manifest);
    json_decref(answer);
    json_decref(road);
}

START_TEST(a_journal_gives_the_same_bytes)
{
    struct effects effects, more;
    uint64_t epoch, again;
    used_server();
    ck_assert_int_eq(served_end(&served, SIGTERM), 0);
    effects_init(&effects);
    effects_init(&more);
    struct engine *one = restored("one", &epoch, &effects), *two = restored("two", &again, &more);
    ck_assert_uint_eq(epoch, again);
    g_autofree char *first = all_of(one, &effects), *second = all_of(two, &more);
    ck_assert_uint_ge(strlen(first), 5000);
    ck_assert_ptr_nonnull(strstr(first, "\n> publish "));
    ck_assert_ptr_nonnull(strstr(first, "\"plan\":\"room-isolated\""));
    unit_same_text(first, second);
    served_start(&served, NULL, NULL); /* on the journal itself */
    expect_served(one);
    engine_free(one);
    engine_free(two);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_checked_fixture(tcase, served_setup, served_teardown);
    tcase_set_timeout(tcase, 200); /* sanitizers are slow */
    tcase_add_test(tcase, a_journal_gives_the_same_bytes);
}

int main(void)
{
    return unit_run("restore", add);
}
