#include "tests/fuzz/fuzz_site.h"

#include "schema/object.h"
#include "schema/yamldoc.h"
#include "tests/fuzz/fuzz.h"

#define INPUTS_PER_ENGINE 5000

static int64_t now_us = 1000 * G_USEC_PER_SEC;

struct now fuzz_site_now(void)
{
    now_us += G_USEC_PER_SEC / 10;
    return (struct now){.us = now_us, .wall_us = now_us};
}

unsigned fuzz_site_carry_out(struct effects *effects)
{
    unsigned n = 0;
    struct effect *effect;
    while ((effect = effects_pop(effects)) != NULL) {
        effect_free(effect);
        n++;
    }
    return n;
}

uint64_t fuzz_site_generation(const struct engine *engine)
{
    return engine_resolved(engine)->world->stamp.generation;
}

static void load(json_t *body, const char *name)
{
    g_autofree char *path = g_strdup_printf("%s/%s", SOURCE_DIR, name);
    GPtrArray *findings = finding_list_new();
    json_t *documents = yamldoc_load_file(path, NULL);
    FUZZ_EXPECT(documents != NULL);
    yamldoc_collect(documents, name, body, findings);
    FUZZ_EXPECT(findings->len == 0);
    g_ptr_array_unref(findings);
    json_decref(documents);
}

static struct engine *make(void)
{
    static json_t *body;
    if (body == NULL) {
        body = json_pack("{s:[], s:[]}", "objects", "plans");
        load(body, "tests/lab/sites/two-rooms.yaml");
        load(body, "runbooks/room-isolated.yaml");
        load(body, "runbooks/failback.yaml");
        load(body, "runbooks/room-drain.yaml");
    }
    struct engine_config config = {.cluster = (char *)"two-rooms", .rules = {.share_moved_max = 0.6}, .seed = 7};
    const struct asker asker = {.actor = "site"};
    struct effects effects;
    effects_init(&effects);
    struct engine *engine = engine_new(&config);
    engine_start(engine, 65536, fuzz_site_now().us, &effects);
    json_t *result = engine_apply(engine, body, false, &asker, fuzz_site_now(), &effects, NULL);
    FUZZ_EXPECT(result != NULL);
    json_decref(result);
    fuzz_site_carry_out(&effects);
    return engine;
}

struct engine *fuzz_site_engine(void)
{
    static struct engine *engine;
    static unsigned inputs;
    if (inputs++ % INPUTS_PER_ENGINE == 0) {
        engine_free(engine);
        engine = make();
    }
    return engine;
}
