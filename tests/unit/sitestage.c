#include "tests/unit/sitestage.h"

#include "core/loop.h"
#include "schema/object.h"
#include "schema/yamldoc.h"
#include "tests/unit/unit.h"

#include <check.h>
#include <glib/gstdio.h>
#include <libknot/libknot.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define REST_US (30 * G_USEC_PER_SEC) /* a limit, not a wait */

static const char *const ns_names[SITE_SERVERS] = {"ns-1", "ns-2", "ns-3"};

int site_run_beside(const char *name, void (*add)(TCase *tcase), unsigned n, unsigned *share)
{
    pid_t parent = getpid();
    int status, ended = EXIT_SUCCESS;
    for (*share = 0; *share < n; (*share)++)
        if (fork() == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            return getppid() == parent ? unit_run(name, add) : EXIT_FAILURE;
        }
    while (wait(&status) > 0)
        if (status != 0)
            ended = EXIT_FAILURE;
    return ended;
}

void site_prepare(struct site_stage *stage)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* no site goes on when its run has ended */
    g_autofree char *keys = g_build_filename(served.dir, "keys", NULL);
    g_autofree char *key = g_build_filename(keys, DNSD_KEY ".key", NULL);
    ck_assert_int_eq(g_mkdir(keys, 0700), 0);
    ck_assert(g_file_set_contents_full(key, DNSD_SECRET "\n", -1, G_FILE_SET_CONTENTS_NONE, 0600, NULL));
    *stage = (struct site_stage){.keys_flag = g_strconcat("--keys=", keys, NULL)};
    for (unsigned i = 0; i < SITE_SERVERS; i++)
        stage->ns[i] = dnsd_start(served.dir, ns_names[i], i == 2 ? stage->ns[1] : NULL, DNSD_TYPES);
}

/* The site's name servers are the stage's. */
static void place_servers(const struct site_stage *stage, json_t *body)
{
    json_t *object;
    size_t i;
    json_array_foreach (json_object_get(body, "objects"), i, object)
        for (unsigned k = 0; k < SITE_SERVERS; k++)
            if (strcmp(text_at(object, "kind"), "nameserver") == 0 &&
                strcmp(text_at(object, "name"), ns_names[k]) == 0) {
                char text[ENDPOINT_TEXT_SIZE];
                endpoint_format(&stage->ns[k]->endpoint, text);
                json_object_set_new(object, "address", json_string(text));
            }
}

static void add_plans(json_t *body, const char *plans)
{
    g_autoptr(GPtrArray) findings = finding_list_new();
    json_t *documents = yamldoc_parse(plans, strlen(plans), "plans", NULL);
    yamldoc_collect(documents, "plans", body, findings);
    ck_assert_uint_eq(findings->len, 0);
    json_decref(documents);
}

void site_populate(struct site_stage *stage, const char *plans, const char *const *servers)
{
    char *tokens[CREW_EDGES];
    json_t *body = served_site();
    place_servers(stage, body);
    if (plans != NULL)
        add_plans(body, plans);
    served_apply(&served, body);
    for (unsigned i = 0; i < CREW_EDGES; i++)
        tokens[i] = served_token(&served, crew_names[i], "agent");
    crew_begin(&stage->crew, served.dir, servers, tokens);
    for (unsigned i = 0; i < CREW_EDGES; i++)
        g_free(tokens[i]);
}

void site_end(struct site_stage *stage)
{
    crew_end(&stage->crew);
    for (unsigned i = 0; i < SITE_SERVERS; i++)
        dnsd_free(stage->ns[i]);
    g_free(stage->keys_flag);
}

static bool at_rest(char **why)
{
    json_t *agents = NULL, *row;
    size_t i;
    json_int_t epoch = status_number("epoch"), generation = status_number("generation");
    ck_assert_uint_eq(served_local(&served, "GET", "/v1/agents", NULL, NULL, &agents), 200);
    bool rest = true;
    json_array_foreach (json_object_get(agents, "agents"), i, row) {
        const char *state = text_at(row, "state");
        rest = rest && number_at(row, "epoch") == epoch && number_at(row, "generation") == generation &&
               (strcmp(state, "applied") == 0 || strcmp(state, "converged") == 0);
    }
    g_free(*why);
    *why = json_dumps(agents, JSON_INDENT(1));
    json_decref(agents);
    return rest;
}

void site_await_rest(void)
{
    g_autofree char *why = NULL;
    for (int64_t until_us = loop_now_us() + REST_US; !at_rest(&why);) {
        ck_assert_msg(loop_now_us() < until_us, "the site does not come to rest: %s", why);
        poll(NULL, 0, 20);
    }
}

char *site_records(const struct site_stage *stage, unsigned server)
{
    static const char *const groups[] = {"core", "core-line", "manual", "manual-line", "creator", "creator-line"};
    GString *text = g_string_new(NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(groups); i++) {
        g_autofree char *owner = g_strconcat(groups[i], ".pol." DNSD_ZONE, NULL);
        g_autofree char *found = dnsd_ask(&stage->ns[server]->endpoint, owner, KNOT_RRTYPE_A);
        g_string_append_printf(text, "%s %s\n", groups[i], found);
    }
    return g_string_free(text, FALSE);
}

char *site_levers(void)
{
    json_t *controls = NULL, *row;
    size_t i;
    GString *text = g_string_new(NULL);
    ck_assert_uint_eq(served_local(&served, "GET", "/v1/controls", NULL, NULL, &controls), 200);
    json_array_foreach (json_object_get(controls, "controls"), i, row)
        if (strcmp(text_at(row, "value"), "default") != 0)
            g_string_append_printf(text, "%s/%s %s\n", text_at(row, "control"), text_at(row, "object"),
                                   text_at(row, "value"));
    json_decref(controls);
    return g_string_free(text, FALSE);
}
