/* test_api_schema.c: every endpoint as openapi.yaml describes it, found by an implementation that is not ours
 * (schema_requests.js: node and ajv). SIGNALBOX_SEED draws other requests. */
#include "tests/unit/served_case.h"
#include "tests/unit/unit.h"

#include <sys/wait.h>

#define REQUESTS "200" /* of each endpoint */

START_TEST(requests_by_the_schema)
{
    int status = 0;
    g_autofree char *admin = NULL, *agent = NULL;
    g_autoptr(GError) error = NULL;
    const char *seed = g_getenv("SIGNALBOX_SEED");
    served_apply_site(&served);
    apply_pop_plans();
    served_apply(&served, json_pack("{s:[{s:s, s:s, s:s, s:s}]}", "objects", "kind", "webhook", "name", "hook-1", "url",
                                    "https://hook.invalid/", "key", "none")); /* without a key nothing is sent */
    served_apply(&served, json_pack("{s:[{s:s, s:s, s:s, s:s, s:s}]}", "objects", "kind", "reminder", "name", "splice",
                                    "on", "room.ingress/room-b", "owner", "alice", "why", "fibre works"));
    ck_assert_uint_eq(served_local(&served, "POST", "/v1/users", NULL,
                                   "{\"name\":\"alice\",\"role\":\"viewer\",\"password\":\"correct horse battery\"}",
                                   NULL),
                      201);
    admin = served_token(&served, "keep-admin", "admin");
    agent = served_token(&served, "edge-1", "agent");
    g_setenv("NODE_PATH", "/usr/share/nodejs", TRUE); /* where Debian's packages are, for a node of any origin */
    const char *argv[] = {"node",
                          SOURCE_DIR "/tests/unit/schema_requests.js",
                          served.operators,
                          served.agents,
                          admin,
                          agent,
                          REQUESTS,
                          seed != NULL ? seed : "1",
                          NULL};
    if (!g_spawn_sync(NULL, (char **)(uintptr_t)argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL, &status,
                      &error))
        ck_abort_msg("%s", error->message);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "see above");
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_checked_fixture(tcase, served_setup, served_teardown);
    tcase_set_timeout(tcase, 900);
    tcase_add_test(tcase, requests_by_the_schema);
}

int main(void)
{
    return unit_run("api_schema", add);
}
