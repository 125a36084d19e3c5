/* What operators send: JSON bodies of changes, and of plans that are then run. The first byte chooses the request. A
 * refusal has a reason and changes nothing. */
#include "schema/jsondoc.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/fuzz_json.h"
#include "tests/fuzz/fuzz_site.h"

#include <string.h>

static json_t *ask(struct engine *engine, uint8_t what, const json_t *body, struct now now, struct effects *effects,
                   GError **error)
{
    static const char *const overrides[] = {"share-moved", NULL};
    const struct asker person = {.actor = "alice", .reason = "fuzz", .overrides = (what & 8) != 0 ? overrides : NULL};
    bool dry_run = (what & 16) != 0;
    switch (what & 3) {
    case 0:
        return engine_apply(engine, body, dry_run, &person, now, effects, error);
    case 1:
        return engine_set_controls(engine, body, -1, dry_run, &person, now, effects, error);
    default: {
        const char *plan = json_string_value(json_object_get(body, "plan"));
        return engine_run_plan(engine, plan != NULL ? plan : "room-isolated",
                               json_string_value(json_object_get(body, "target")), NULL, dry_run, &person, now, effects,
                               error);
    }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_t *body = size > 0 ? jsondoc_parse((const char *)data + 1, size - 1, "body", NULL) : NULL;
    if (body == NULL)
        return 0;
    struct engine *engine = fuzz_site_engine();
    uint64_t generation = fuzz_site_generation(engine);
    struct effects effects;
    effects_init(&effects);
    GError *error = NULL;
    json_t *answer = ask(engine, data[0], body, fuzz_site_now(), &effects, &error);
    if (answer == NULL) {
        FUZZ_EXPECT(error != NULL && error->message[0] != '\0');
        FUZZ_EXPECT(fuzz_site_carry_out(&effects) == 0 && fuzz_site_generation(engine) == generation);
        g_error_free(error);
    }
    engine_tick(engine, fuzz_site_now().us, &effects);
    fuzz_site_carry_out(&effects);
    json_decref(answer);
    json_decref(body);
    return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    return fuzz_json_mutate(data, size, max_size, 1, seed);
}
