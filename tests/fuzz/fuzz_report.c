/* What an edge's agent reports: taken, or refused with a reason and nothing changed. */
#include "schema/jsondoc.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/fuzz_json.h"
#include "tests/fuzz/fuzz_site.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_t *report = jsondoc_parse((const char *)data, size, "report", NULL);
    if (report == NULL)
        return 0;
    struct engine *engine = fuzz_site_engine();
    struct now now = fuzz_site_now();
    uint64_t generation = fuzz_site_generation(engine);
    struct effects effects;
    effects_init(&effects);
    GError *error = NULL;
    if (engine_edge_report(engine, "edge-1", report, now.us, &effects, &error)) {
        json_decref(engine_status(engine, now.us));
        json_decref(engine_agents(engine, now.us));
        engine_tick(engine, now.us, &effects);
    } else {
        FUZZ_EXPECT(error != NULL && fuzz_site_carry_out(&effects) == 0);
        g_error_free(error);
    }
    fuzz_site_carry_out(&effects);
    FUZZ_EXPECT(fuzz_site_generation(engine) == generation);
    json_decref(report);
    return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    return fuzz_json_mutate(data, size, max_size, 0, seed);
}
