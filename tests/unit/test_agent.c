/* Every edge of the state diagram of agent/agent.c, and every refusal. */
#include "tests/unit/agent_run.h"
#include "tests/unit/unit.h"

#define EPOCH 65537u

static const struct edge_table_text rest, closed = {.rooms = "multi/room-a room-b\nmulti/room-b room-b\n"};

START_TEST(a_table_goes_the_whole_road_in_order)
{
    struct run run;
    struct edge_parts table;
    const struct agent_effect *effect;
    GBytes *const *parts;
    run_begin(&run, 2, 0);
    edge_parts_init(&table, EPOCH, 7, &rest);

    send_kind(&run, AGENT_START);
    ck_assert_uint_eq(count(&run, AGENT_POLL, &effect), 1);
    ck_assert_uint_eq(effect->server, 0);
    ck_assert_uint_eq(effect->stamp.generation, 0);
    ck_assert_ptr_null(agent_table(run.agent, &parts));

    send_manifest(&run, &table.manifest);
    ck_assert_uint_eq(count(&run, AGENT_WRITE_PROMISE, &effect), 1);
    ck_assert_uint_eq(run.n, 1);
    ck_assert_uint_eq(effect->epoch, EPOCH);
    ck_assert_uint_eq(agent_promised(run.agent), 0); /* not durable yet */

    send_kind(&run, AGENT_PROMISED);
    ck_assert_uint_eq(agent_promised(run.agent), EPOCH);
    ck_assert_uint_eq(count(&run, AGENT_FETCH, NULL), PARTS);
    expect(&run, AGENT_REPORT); /* who claims waits for it */
    ck_assert_uint_eq(run.n, PARTS + 1);
    send_parts(&run, &table);
    ck_assert_uint_eq(count(&run, AGENT_WRITE_TABLE, NULL), 1);
    ck_assert_uint_eq(run.n, 1);
    ck_assert_str_eq(agent_table(run.agent, &parts)->edge, "edge-1");
    ck_assert_ptr_eq(parts[PART_ROOMS], table.parts[PART_ROOMS]);

    send_kind(&run, AGENT_PERSISTED);
    ck_assert_uint_eq(count(&run, AGENT_APPLY, NULL), 1);
    ck_assert_uint_eq(agent_applied(run.agent).generation, 0); /* not read back yet */
    ck_assert_str_eq(agent_state(run.agent), "applying");

    send_kind(&run, AGENT_APPLIED);
    ck_assert_uint_eq(agent_applied(run.agent).generation, 7);
    expect(&run, AGENT_REPORT);
    ck_assert_uint_eq(count(&run, AGENT_POLL, &effect), 1);
    ck_assert_uint_eq(effect->stamp.epoch, EPOCH);
    ck_assert_uint_eq(effect->stamp.generation, 7);
    edge_parts_clear(&table);
    agent_free(run.agent);
}
END_TEST

START_TEST(a_switch_fetches_only_what_changed_and_promises_nothing_anew)
{
    struct run run;
    struct edge_parts one, two;
    run_begin(&run, 1, 0);
    edge_parts_init(&one, EPOCH, 7, &rest);
    edge_parts_init(&two, EPOCH, 8, &closed);
    send_kind(&run, AGENT_START);
    take_table(&run, &one);
    send_manifest(&run, &two.manifest);
    ck_assert_uint_eq(count(&run, AGENT_FETCH, NULL), 1);
    ck_assert_uint_eq(run.n, 1);
    send_parts(&run, &two);
    ck_assert_uint_eq(count(&run, AGENT_WRITE_PROMISE, NULL), 0);
    expect(&run, AGENT_WRITE_TABLE);
    edge_parts_clear(&one);
    edge_parts_clear(&two);
    agent_free(run.agent);
}
END_TEST

/* Each row: a manifest that must not be taken after (EPOCH + 1, 7) was. */
START_TEST(what_must_not_be_taken_is_refused)
{
    static const struct {
        uint64_t epoch, generation;
        const char *cluster, *edge, *says;
    } rows[] = {
        {EPOCH + 1, 8, "other", "edge-1", "cluster 'other'"},
        {EPOCH + 1, 8, "two-rooms", "edge-2", "edge 'edge-2'"},
        {EPOCH, 9, "two-rooms", "edge-1", "epoch 65537, epoch 65538 was promised"},
        {EPOCH + 1, 6, "two-rooms", "edge-1", "generation 6, generation 7"},
        {EPOCH + 1, 7, "two-rooms", "edge-1", "other parts"},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        struct run run;
        struct edge_parts good, bad;
        const struct agent_effect *poll = NULL;
        run_begin(&run, 2, 0);
        edge_parts_init(&good, EPOCH + 1, 7, &rest);
        edge_parts_init(&bad, rows[i].epoch, rows[i].generation, &closed);
        g_strlcpy(bad.manifest.cluster, rows[i].cluster, sizeof bad.manifest.cluster);
        g_strlcpy(bad.manifest.edge, rows[i].edge, sizeof bad.manifest.edge);
        send_kind(&run, AGENT_START);
        take_table(&run, &good);
        send_manifest(&run, &bad.manifest);
        ck_assert_str_eq(agent_state(run.agent), "refused");
        ck_assert_msg(strstr(agent_error(run.agent), rows[i].says) != NULL, "%s", agent_error(run.agent));
        expect(&run, AGENT_REPORT);
        ck_assert_uint_eq(run.n, 1); /* nothing is fetched, written or applied */
        ck_assert_uint_eq(agent_applied(run.agent).generation, 7);
        tick_to(&run, run.next_us);
        ck_assert_uint_eq(count(&run, AGENT_POLL, &poll), 1);
        ck_assert_uint_eq(poll->server, 1); /* another server may know better */
        send_kind(&run, AGENT_UNCHANGED);
        ck_assert_str_eq(agent_state(run.agent), "applied");
        ck_assert_ptr_null(agent_error(run.agent));
        edge_parts_clear(&good);
        edge_parts_clear(&bad);
        agent_free(run.agent);
    }
}
END_TEST

START_TEST(a_newer_epoch_is_taken_even_with_a_lower_generation)
{
    struct run run;
    struct edge_parts one, two;
    run_begin(&run, 1, 0);
    edge_parts_init(&one, EPOCH, 7, &rest);
    edge_parts_init(&two, EPOCH + 1, 2, &closed);
    send_kind(&run, AGENT_START);
    take_table(&run, &one);
    take_table(&run, &two);
    ck_assert_uint_eq(agent_promised(run.agent), EPOCH + 1);
    ck_assert_uint_eq(agent_applied(run.agent).generation, 2);
    edge_parts_clear(&one);
    edge_parts_clear(&two);
    agent_free(run.agent);
}
END_TEST

START_TEST(a_part_with_another_hash_or_grammar_is_refused)
{
    static const char bad_rooms[] = "multi/room-a room-b;quit\n";
    for (unsigned i = 0; i < 2; i++) {
        struct run run;
        struct edge_parts table;
        run_begin(&run, 1, 0);
        edge_parts_init(&table, EPOCH, 7, &rest);
        g_autoptr(GBytes) bad = g_bytes_new_static(bad_rooms, strlen(bad_rooms));
        if (i == 1) /* the right hash of text that is wrong */
            part_hash(bad_rooms, strlen(bad_rooms), table.manifest.hash[PART_ROOMS]);
        send_kind(&run, AGENT_START);
        send_manifest(&run, &table.manifest);
        send_kind(&run, AGENT_PROMISED);
        send_event(&run,
                   (struct agent_event){.kind = AGENT_PART, .hash = table.manifest.hash[PART_ROOMS], .bytes = bad});
        ck_assert_str_eq(agent_state(run.agent), "refused");
        ck_assert_msg(strstr(agent_error(run.agent), i == 0 ? "has hash" : "part rooms") != NULL, "%s",
                      agent_error(run.agent));
        ck_assert_uint_eq(count(&run, AGENT_WRITE_TABLE, NULL), 0);
        edge_parts_clear(&table);
        agent_free(run.agent);
    }
}
END_TEST

/* Each failure on the road: last-good stays, the state says why, and it is tried again after a pause. */
START_TEST(failures_go_back_to_waiting_and_are_tried_again)
{
    static const struct {
        enum agent_event_kind kind;
        int after; /* steps of the road that went well: 0 manifest, 1 promise, 2 parts, 3 table */
        const char *says;
    } rows[] = {
        {AGENT_DISK_FAILED, 0, "promise could not be written to disk: because"},
        {AGENT_PART_FAILED, 1, "part could not be fetched: because"},
        {AGENT_DISK_FAILED, 2, "table could not be written to disk: because"},
        {AGENT_APPLY_FAILED, 3, "because"},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        struct run run;
        struct edge_parts one, two;
        run_begin(&run, 2, 0);
        edge_parts_init(&one, EPOCH, 7, &rest);
        edge_parts_init(&two, EPOCH + 1, 8, &closed);
        send_kind(&run, AGENT_START);
        take_table(&run, &one);
        send_manifest(&run, &two.manifest);
        if (rows[i].after >= 1)
            send_kind(&run, AGENT_PROMISED);
        if (rows[i].after >= 2)
            send_parts(&run, &two);
        if (rows[i].after >= 3)
            send_kind(&run, AGENT_PERSISTED);
        send_kind(&run, rows[i].kind);
        ck_assert_str_eq(agent_state(run.agent), "failing");
        ck_assert_msg(strstr(agent_error(run.agent), rows[i].says) != NULL, "%s", agent_error(run.agent));
        ck_assert_uint_eq(agent_applied(run.agent).generation, 7);
        ck_assert_uint_eq(agent_promised(run.agent), rows[i].after >= 1 ? EPOCH + 1 : EPOCH);
        ck_assert_int_gt(run.next_us, run.now_us);
        tick_to(&run, run.next_us);
        expect(&run, rows[i].kind == AGENT_APPLY_FAILED ? AGENT_APPLY
                     : rows[i].after == 0               ? AGENT_WRITE_PROMISE
                                                        : AGENT_POLL);
        if (rows[i].after == 0)
            send_kind(&run, AGENT_PROMISED);
        if (rows[i].kind == AGENT_APPLY_FAILED)
            send_kind(&run, AGENT_APPLIED);
        else
            take_table(&run, &two);
        ck_assert_uint_eq(agent_applied(run.agent).generation, 8);
        edge_parts_clear(&one);
        edge_parts_clear(&two);
        agent_free(run.agent);
    }
}
END_TEST

START_TEST(pauses_grow_and_end_with_success)
{
    struct run run;
    struct edge_parts table;
    int64_t last = 0;
    run_begin(&run, 1, 0);
    edge_parts_init(&table, EPOCH, 7, &rest);
    send_kind(&run, AGENT_START);
    for (int i = 0; i < 6; i++) {
        send_kind(&run, AGENT_POLL_FAILED);
        ck_assert_int_ge(run.next_us - run.now_us, last);
        last = run.next_us - run.now_us;
        tick_to(&run, run.next_us - 1);
        ck_assert_uint_eq(run.n, 0);
        tick_to(&run, run.next_us);
        expect(&run, AGENT_POLL);
    }
    ck_assert_int_eq(last, 500000);
    take_table(&run, &table);
    send_kind(&run, AGENT_POLL_FAILED);
    ck_assert_int_eq(run.next_us - run.now_us, 100000);
    ck_assert_str_eq(agent_state(run.agent), "applied"); /* no server is no failure of what is in force */
    ck_assert_str_eq(agent_error(run.agent), "because");
    edge_parts_clear(&table);
    agent_free(run.agent);
}
END_TEST

static void load(struct run *run, const struct edge_parts *table, uint64_t promised)
{
    for (unsigned i = 0; i < PARTS; i++)
        agent_keep_part(run->agent, table->manifest.hash[i], table->parts[i]);
    send_event(run, (struct agent_event){.kind = AGENT_START, .manifest = &table->manifest, .promised = promised});
}

START_TEST(last_good_is_applied_at_start_before_and_without_any_server)
{
    for (unsigned servers = 0; servers <= 1; servers++) {
        struct run run;
        struct edge_parts table;
        run_begin(&run, servers, 0);
        edge_parts_init(&table, EPOCH, 7, &rest);
        load(&run, &table, EPOCH + 3);
        expect(&run, AGENT_APPLY);
        ck_assert_uint_eq(agent_applied(run.agent).generation, 0);
        send_kind(&run, AGENT_APPLIED);
        ck_assert_uint_eq(agent_applied(run.agent).generation, 7);
        ck_assert_uint_eq(count(&run, AGENT_POLL, NULL), servers);
        ck_assert_uint_eq(agent_promised(run.agent), EPOCH + 3);
        if (servers == 1) { /* the promise is kept over the restart */
            struct edge_parts late;
            edge_parts_init(&late, EPOCH + 2, 9, &closed);
            send_manifest(&run, &late.manifest);
            ck_assert_str_eq(agent_state(run.agent), "refused");
            edge_parts_clear(&late);
        }
        edge_parts_clear(&table);
        agent_free(run.agent);
    }
}
END_TEST

START_TEST(last_good_without_all_parts_is_none)
{
    struct run run;
    struct edge_parts table;
    GBytes *const *parts;
    run_begin(&run, 1, 0);
    edge_parts_init(&table, EPOCH, 7, &rest);
    agent_keep_part(run.agent, table.manifest.hash[0], table.parts[0]);
    send_event(&run, (struct agent_event){.kind = AGENT_START, .manifest = &table.manifest, .promised = EPOCH});
    ck_assert_uint_eq(count(&run, AGENT_APPLY, NULL), 0);
    ck_assert_ptr_null(agent_table(run.agent, &parts));
    expect(&run, AGENT_POLL);
    ck_assert_uint_eq(agent_promised(run.agent), EPOCH);
    take_table(&run, &table);
    edge_parts_clear(&table);
    agent_free(run.agent);
}
END_TEST

START_TEST(a_restarted_actuator_gets_its_table_again_in_every_phase)
{
    struct edge_parts one, two;
    edge_parts_init(&one, EPOCH, 7, &rest);
    edge_parts_init(&two, EPOCH, 8, &closed);
    struct run run;
    run_begin(&run, 1, 0);
    send_kind(&run, AGENT_START);
    send_kind(&run, AGENT_RESTARTED);
    ck_assert_uint_eq(count(&run, AGENT_APPLY, NULL), 0); /* nothing to give it yet */
    take_table(&run, &one);

    send_event(&run, (struct agent_event){.kind = AGENT_RESTARTED, .text = "another process"}); /* WAITING */
    expect(&run, AGENT_APPLY);
    ck_assert_str_eq(agent_state(run.agent), "failing");
    ck_assert_str_eq(agent_error(run.agent), "another process");
    ck_assert_uint_eq(agent_applied(run.agent).generation, 7);
    send_kind(&run, AGENT_RESTARTED); /* APPLYING: once more after it */
    ck_assert_uint_eq(count(&run, AGENT_APPLY, NULL), 0);
    send_kind(&run, AGENT_APPLIED);
    expect(&run, AGENT_APPLY);
    send_kind(&run, AGENT_APPLIED);
    ck_assert_uint_eq(count(&run, AGENT_APPLY, NULL), 0);
    ck_assert_str_eq(agent_state(run.agent), "applied");

    send_manifest(&run, &two.manifest);
    send_kind(&run, AGENT_RESTARTED); /* FETCHING, and the fetch fails */
    send_kind(&run, AGENT_PART_FAILED);
    expect(&run, AGENT_APPLY);
    send_kind(&run, AGENT_APPLIED);
    ck_assert_str_eq(agent_state(run.agent), "applied");
    edge_parts_clear(&one);
    edge_parts_clear(&two);
    agent_free(run.agent);
}
END_TEST

START_TEST(answers_out_of_turn_change_nothing)
{
    static const enum agent_event_kind kinds[] = {AGENT_PROMISED, AGENT_PERSISTED,    AGENT_DISK_FAILED,
                                                  AGENT_APPLIED,  AGENT_APPLY_FAILED, AGENT_PART_FAILED,
                                                  AGENT_TICK};
    struct run run;
    struct edge_parts one, two;
    run_begin(&run, 1, 0);
    edge_parts_init(&one, EPOCH, 7, &rest);
    edge_parts_init(&two, EPOCH, 8, &closed);
    send_kind(&run, AGENT_START);
    take_table(&run, &one);
    for (size_t i = 0; i < G_N_ELEMENTS(kinds); i++) {
        send_kind(&run, kinds[i]);
        ck_assert_uint_eq(run.n, 0);
        ck_assert_str_eq(agent_state(run.agent), "applied");
    }
    send_event(&run, (struct agent_event){.kind = AGENT_PART, .hash = two.manifest.hash[0], .bytes = two.parts[0]});
    ck_assert_uint_eq(run.n, 0);
    /* a manifest while an apply is under way is dropped, and asked for again after it */
    send_kind(&run, AGENT_RESTARTED);
    send_manifest(&run, &two.manifest);
    ck_assert_uint_eq(run.n, 0);
    send_kind(&run, AGENT_APPLIED);
    expect(&run, AGENT_POLL);
    take_table(&run, &two);
    edge_parts_clear(&one);
    edge_parts_clear(&two);
    agent_free(run.agent);
}
END_TEST

START_TEST(an_equal_table_is_taken_as_unchanged_without_haste)
{
    struct run run;
    struct edge_parts table;
    run_begin(&run, 1, 0);
    edge_parts_init(&table, EPOCH, 7, &rest);
    send_kind(&run, AGENT_START);
    take_table(&run, &table);
    send_manifest(&run, &table.manifest);
    ck_assert_uint_eq(run.n, 0);
    ck_assert_str_eq(agent_state(run.agent), "applied");
    ck_assert_int_eq(run.next_us - run.now_us, 500000);
    edge_parts_clear(&table);
    agent_free(run.agent);
}
END_TEST

/* The simulator must find these; here they are seen to be planted. */
START_TEST(planted_bugs_do_what_they_say)
{
    struct run run;
    struct edge_parts one, old;
    run_begin(&run, 1, AGENT_BUG_NO_EPOCH_CHECK);
    edge_parts_init(&one, EPOCH + 1, 7, &rest);
    edge_parts_init(&old, EPOCH, 6, &closed);
    send_kind(&run, AGENT_START);
    take_table(&run, &one);
    take_table(&run, &old);
    ck_assert_uint_eq(agent_applied(run.agent).generation, 6);
    agent_free(run.agent);

    run_begin(&run, 1, AGENT_BUG_ACK_BEFORE_PERSIST);
    send_kind(&run, AGENT_START);
    send_manifest(&run, &one.manifest);
    send_kind(&run, AGENT_PROMISED);
    send_parts(&run, &one);
    ck_assert_uint_eq(agent_applied(run.agent).generation, 7); /* before anything is on disk */
    expect(&run, AGENT_REPORT);
    edge_parts_clear(&one);
    edge_parts_clear(&old);
    agent_free(run.agent);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, a_table_goes_the_whole_road_in_order);
    tcase_add_test(tcase, a_switch_fetches_only_what_changed_and_promises_nothing_anew);
    tcase_add_test(tcase, what_must_not_be_taken_is_refused);
    tcase_add_test(tcase, a_newer_epoch_is_taken_even_with_a_lower_generation);
    tcase_add_test(tcase, a_part_with_another_hash_or_grammar_is_refused);
    tcase_add_test(tcase, failures_go_back_to_waiting_and_are_tried_again);
    tcase_add_test(tcase, pauses_grow_and_end_with_success);
    tcase_add_test(tcase, last_good_is_applied_at_start_before_and_without_any_server);
    tcase_add_test(tcase, last_good_without_all_parts_is_none);
    tcase_add_test(tcase, a_restarted_actuator_gets_its_table_again_in_every_phase);
    tcase_add_test(tcase, answers_out_of_turn_change_nothing);
    tcase_add_test(tcase, an_equal_table_is_taken_as_unchanged_without_haste);
    tcase_add_test(tcase, planted_bugs_do_what_they_say);
}

int main(void)
{
    return unit_run("agent", add);
}
