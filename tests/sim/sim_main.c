/* sim: runs seeds of the simulated site; says which seed fails, and why.
 *
 *   sim [--seeds N] [--from SEED] [--faults N] [--bug NAME] [--expect-failure] [--trace]
 *
 * Stops at the first seed that fails: exit code 1, or 0 with --expect-failure. --seeds 1 --from SEED --trace tells its
 * story.
 */
#include "tests/sim/sim.h"

#include "dns/update.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COVERED_SEEDS 200 /* in so many each fault must have happened */
#define RARE_SEEDS 5000   /* and in so many a durable table that is in force late: about once in 700 */

struct options {
    uint64_t from, seeds;
    unsigned faults, engine_bug, agent_bug, bugs;
    bool trace, expect_failure, gateways;
};

static void drop_resolved(gpointer resolved)
{
    resolved_unref(resolved);
}

static void sim_init(struct sim *sim, const struct options *options, uint64_t seed, const GPtrArray *journal)
{
    *sim = (struct sim){.seed = seed,
                        .random = (seed + 1) * 0x9e3779b97f4a7c15u,
                        .trace = options->trace,
                        .faults = options->faults,
                        .agents = options->gateways ? AGENTS : EDGES,
                        .engine_bug = options->engine_bug,
                        .agent_bug = options->agent_bug,
                        .bugs = options->bugs,
                        .heap = g_ptr_array_new()};
    sim->key_generations = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    sim->promises = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, said_free);
    sim->legal = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    sim->began = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    sim->written = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    sim->fibers = g_hash_table_new(g_int64_hash, g_int64_equal);
    sim->calls = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, dns_message_free);
    sim->worlds = g_hash_table_new_full(NULL, NULL, NULL, drop_resolved);
    sim->update_bytes = sim_chance(sim, 30) ? UPDATE_BYTES_MAX : (unsigned)sim_random(sim, 200, 500);
    journal_init(sim, journal);
    for (unsigned i = 0; i < SERVERS; i++)
        server_init(sim, i);
    for (unsigned i = 0; i < sim->agents; i++)
        edge_init(sim, i);
    for (unsigned i = 0; i < NAMESERVERS; i++)
        nameserver_init(sim, i);
    sim_at(sim, 0, server_start, &sim->servers[0], NULL, NULL);
    site_schedule(sim);
    faults_schedule(sim);
}

static void sim_clear(struct sim *sim)
{
    for (unsigned i = 0; i < SERVERS; i++) /* ends their drivers, which still have events */
        server_clear(&sim->servers[i]);
    for (guint i = 0; i < sim->heap->len; i++) {
        struct event *event = sim->heap->pdata[i];
        if (event->drop != NULL)
            event->drop(event->data);
        g_free(event);
    }
    g_ptr_array_unref(sim->heap);
    for (unsigned i = 0; i < sim->agents; i++)
        edge_clear(&sim->edges[i]);
    for (unsigned i = 0; i < NAMESERVERS; i++)
        nameserver_clear(&sim->nameservers[i]);
    g_hash_table_unref(sim->fibers);
    g_hash_table_unref(sim->calls);
    g_hash_table_unref(sim->worlds);
    journal_clear(sim);
    g_hash_table_unref(sim->key_generations);
    g_hash_table_unref(sim->promises);
    g_hash_table_unref(sim->legal);
    g_hash_table_unref(sim->began);
    g_hash_table_unref(sim->written);
    g_free(sim->failure);
}

/* After the faults, looks ten times a second whether all has come to its end. */
static void run(struct sim *sim)
{
    int64_t look_us = HEAL_US + 2 * SECOND;
    while (sim->failure == NULL && sim_step(sim)) {
        if (sim->now_us < look_us)
            continue;
        look_us = sim->now_us + SECOND / 10;
        if (check_at_rest(sim, sim->now_us >= END_US))
            return;
    }
}

static bool parse_number(const char *text, uint64_t *out)
{
    char *end;
    *out = text == NULL ? 0 : strtoull(text, &end, 10);
    return text != NULL && text[0] >= '0' && text[0] <= '9' && *end == '\0';
}

static bool parse_bug(const char *name, struct options *options)
{
    static const struct {
        const char *name;
        unsigned engine, agent, around;
    } bugs[] = {{"no-idempotency-key", ENGINE_BUG_NO_IDEMPOTENCY_KEY, 0, 0},
                {"no-claim", ENGINE_BUG_NO_CLAIM, 0, 0},
                {"undo-without-cas", ENGINE_BUG_UNDO_WITHOUT_CAS, 0, 0},
                {"no-epoch-check", 0, AGENT_BUG_NO_EPOCH_CHECK, 0},
                {"no-promise", 0, AGENT_BUG_NO_PROMISE, 0},
                {"ack-before-persist", 0, AGENT_BUG_ACK_BEFORE_PERSIST, 0},
                {"promise-not-kept", 0, 0, BUG_PROMISE_NOT_KEPT},
                {"sentinel-not-judged", 0, 0, BUG_SENTINEL},
                {"update-not-atomic", 0, 0, BUG_NOT_ATOMIC},
                {"remove-before-add", 0, 0, BUG_REMOVE_FIRST}};
    for (size_t i = 0; name != NULL && i < G_N_ELEMENTS(bugs); i++) {
        if (strcmp(name, bugs[i].name) != 0)
            continue;
        options->engine_bug |= bugs[i].engine;
        options->agent_bug |= bugs[i].agent;
        options->bugs |= bugs[i].around;
        return true;
    }
    return false;
}

/* One option and, where it has one, its value; false: not known. */
static bool parse_option(const char *name, const char *value, struct options *options, bool *took_value)
{
    uint64_t number;
    *took_value = true;
    if (strcmp(name, "--bug") == 0)
        return parse_bug(value, options);
    if (strcmp(name, "--seeds") == 0)
        return parse_number(value, &options->seeds) && options->seeds > 0;
    if (strcmp(name, "--from") == 0)
        return parse_number(value, &options->from);
    if (strcmp(name, "--faults") == 0) {
        bool valid = parse_number(value, &number) && number <= 10000;
        options->faults = valid ? (unsigned)number : 0;
        return valid;
    }
    *took_value = false;
    if (strcmp(name, "--trace") == 0)
        return options->trace = true;
    if (strcmp(name, "--gateways") == 0)
        return options->gateways = true;
    if (strcmp(name, "--expect-failure") == 0)
        return options->expect_failure = true;
    return false;
}

static bool parse(int argc, char **argv, struct options *options)
{
    bool took_value;
    for (int i = 1; i < argc; i += 1 + took_value)
        if (!parse_option(argv[i], argv[i + 1], options, &took_value))
            return false;
    return true;
}

/* False: something never happened. */
static bool print_seen(const uint64_t seen[static SEEN_KINDS], uint64_t seeds)
{
    bool all = true;
    for (unsigned i = 0; i < SEEN_KINDS; i++) {
        printf("%10" G_GUINT64_FORMAT "  %s\n", seen[i], seen_words((enum seen)i));
        bool due = i != SEEN_older_first || seeds >= RARE_SEEDS;
        all = all && (seen[i] > 0 || !due);
    }
    return all;
}

static const char *const states[] = {"succeeded", "incomplete", "failed", "refused", "aborted"};

static void count_ends(struct sim *sim, uint64_t ends[static G_N_ELEMENTS(states)])
{
    json_t *executions = engine_executions(server_leader(sim)->engine), *execution;
    size_t i;
    json_array_foreach (executions, i, execution) {
        for (size_t k = 0; k < G_N_ELEMENTS(states); k++)
            ends[k] += strcmp(json_string_value(json_object_get(execution, "state")), states[k]) == 0;
    }
    json_decref(executions);
}

int main(int argc, char **argv)
{
    struct options options = {.seeds = 100, .faults = 24};
    if (!parse(argc, argv, &options)) {
        fputs("usage: sim [--seeds N] [--from SEED] [--faults N] [--gateways] [--trace] "
              "[--expect-failure]\n"
              "           [--bug no-idempotency-key | no-claim | no-epoch-check | no-promise | ack-before-persist |\n"
              "                  promise-not-kept | undo-without-cas | sentinel-not-judged | update-not-atomic | "
              "remove-before-add]\n",
              stderr);
        return 2;
    }
    g_autoptr(GPtrArray) journal = site_journal(options.gateways);
    uint64_t steps = 0, failed = 0, done = 0, ends[G_N_ELEMENTS(states)] = {0}, seen[SEEN_KINDS] = {0};
    int64_t virtual_us = 0;
    unsigned least_faults = options.faults;
    for (; done < options.seeds && failed == 0; done++) {
        struct sim sim;
        sim_init(&sim, &options, options.from + done, journal);
        run(&sim);
        steps += sim.steps;
        virtual_us += sim.now_us;
        for (unsigned i = 0; i < SEEN_KINDS; i++)
            seen[i] += sim.seen[i];
        if (sim.failure != NULL) {
            failed++;
            printf("seed %" G_GUINT64_FORMAT " at %.6f s: %s\n", sim.seed, (double)sim.now_us / SECOND, sim.failure);
        } else {
            least_faults = MIN(least_faults, sim.injected);
            count_ends(&sim, ends);
        }
        sim_clear(&sim);
    }
    printf("%" G_GUINT64_FORMAT " seeds, %" G_GUINT64_FORMAT " failed, %" G_GUINT64_FORMAT
           " steps, %.1f virtual minutes, at least %u faults each\n",
           done, failed, steps, (double)virtual_us / SECOND / 60, least_faults);
    for (size_t k = 0; k < G_N_ELEMENTS(states); k++)
        printf("%s%" G_GUINT64_FORMAT " %s", k == 0 ? "executions: " : ", ", ends[k], states[k]);
    putchar('\n');
    if (!options.expect_failure && options.seeds >= COVERED_SEEDS && !print_seen(seen, options.seeds)) {
        puts("what never happened was not tested");
        return 1;
    }
    return (failed > 0) == options.expect_failure ? 0 : 1;
}
