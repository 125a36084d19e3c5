/* Which server is asked, what an agent promises before it has a table, and what a hold holds. */
#include "tests/unit/agent_run.h"
#include "tests/unit/unit.h"

#define EPOCH 65537u

static const struct edge_table_text rest, closed = {.rooms = "multi/room-a room-b\nmulti/room-b room-b\n"};

static void send_heard(struct run *run, unsigned server, uint64_t epoch, uint64_t generation)
{
    send_event(run, (struct agent_event){.kind = AGENT_HEARD, .server = server, .stamp = {epoch, generation}});
}

static void send_silent(struct run *run, unsigned server)
{
    send_event(run, (struct agent_event){.kind = AGENT_SILENT, .server = server, .text = "no answer"});
}

static void send_hold(struct run *run, const char *text)
{
    send_event(run, (struct agent_event){.kind = AGENT_HOLD, .text = text});
}

static unsigned polled(const struct run *run)
{
    const struct agent_effect *poll = NULL;
    ck_assert_uint_eq(count(run, AGENT_POLL, &poll), 1);
    return poll->server;
}

/* An agent that has `table` in force and a long-poll waiting at server 0. */
static void begin_with(struct run *run, unsigned servers, struct edge_parts *table)
{
    run_begin(run, servers, 0);
    edge_parts_init(table, EPOCH, 7, &rest);
    send_kind(run, AGENT_START);
    take_table(run, table);
    ck_assert_uint_eq(polled(run), 0);
}

static void end(struct run *run, struct edge_parts *table)
{
    edge_parts_clear(table);
    agent_free(run->agent);
}

#define SECOND 1000000

/* Each row: what three servers say (a: ahead, A: more so, l: level, b: behind, o: an epoch that is over, ?: nothing
 * yet, s: silent, x: failed a moment ago), where one looks from, and who is asked. */
START_TEST(the_newest_server_that_answers_is_asked)
{
    static const struct {
        const char *says;
        unsigned from, asked;
    } rows[] = {
        {"???", 1, 1}, {"llb", 2, 0}, {"lal", 0, 1}, {"aAa", 0, 1}, {"Aaa", 2, 0}, {"bb?", 0, 2}, {"sll", 0, 1},
        {"xbs", 0, 1}, {"ols", 0, 1}, {"sss", 1, 1}, {"xsx", 2, 2}, {"oos", 2, 0}, {"aal", 1, 1},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        struct servers servers = {.n = 3};
        for (unsigned k = 0; k < 3; k++) {
            char says = rows[i].says[k];
            struct stamp stamp = {EPOCH, says == 'b' ? 6 : says == 'a' || says == 'x' || says == 's' ? 8 : 7};
            if (says == 'o' || says == 'A')
                stamp = (struct stamp){says == 'o' ? EPOCH - 1 : EPOCH + 1, 9};
            if (says != '?')
                servers_heard(&servers, k, stamp);
            if (says == 's')
                servers_silent(&servers, k);
            if (says == 'x')
                servers_shun(&servers, k, 2 * SECOND);
        }
        unsigned asked = servers_choose(&servers, rows[i].from, (struct stamp){EPOCH, 7}, EPOCH, SECOND);
        ck_assert_msg(asked == rows[i].asked, "%s: asked %u, expected %u", rows[i].says, asked, rows[i].asked);
    }
}
END_TEST

/* A live server with nothing new does not hide one that has something. */
START_TEST(a_long_poll_is_left_for_a_server_that_is_ahead)
{
    struct run run;
    struct edge_parts one, two;
    begin_with(&run, 2, &one);
    send_heard(&run, 0, EPOCH, 7);
    ck_assert_uint_eq(run.n, 0);
    send_heard(&run, 1, EPOCH, 7);
    ck_assert_uint_eq(run.n, 0);
    send_heard(&run, 1, EPOCH, 8);
    ck_assert_uint_eq(polled(&run), 1);
    edge_parts_init(&two, EPOCH, 8, &closed);
    take_table(&run, &two);
    ck_assert_uint_eq(polled(&run), 1);
    send_heard(&run, 0, EPOCH, 7); /* behind now: not gone back to */
    ck_assert_uint_eq(run.n, 0);
    send_heard(&run, 0, EPOCH - 1, 100); /* a reign that is over has nothing newer, whatever it counts */
    ck_assert_uint_eq(run.n, 0);
    edge_parts_clear(&two);
    end(&run, &one);
}
END_TEST

START_TEST(a_silent_server_is_left_and_passed_over_until_it_is_heard)
{
    struct run run;
    struct edge_parts table;
    begin_with(&run, 3, &table);
    send_silent(&run, 1);
    ck_assert_uint_eq(run.n, 0);
    send_silent(&run, 0);
    ck_assert_str_eq(agent_error(run.agent), "no answer");
    tick_to(&run, run.next_us);
    ck_assert_uint_eq(polled(&run), 2);
    send_silent(&run, 2);
    tick_to(&run, run.next_us);
    polled(&run); /* nobody is given up */
    run.now_us += 10 * SECOND;
    send_heard(&run, 1, EPOCH, 8);
    ck_assert_uint_eq(polled(&run), 1);
    end(&run, &table);
}
END_TEST

/* It says that it has a newer table, and does not give it. */
START_TEST(a_server_that_trickles_is_given_up_and_parts_that_came_are_kept)
{
    struct run run;
    struct edge_parts one, two;
    const struct agent_effect *fetch = NULL;
    begin_with(&run, 2, &one);
    edge_parts_init(&two, EPOCH, 8,
                    &(struct edge_table_text){.rooms = closed.rooms, .origins = "multi/room-a/pop-a1 out\n"});
    send_heard(&run, 0, EPOCH, 8);
    ck_assert_uint_eq(run.n, 0);
    ck_assert_int_eq(run.next_us - run.now_us, AGENT_PATIENCE_US);
    send_heard(&run, 1, EPOCH, 8); /* the same, so the poll stays */
    ck_assert_uint_eq(run.n, 0);
    tick_to(&run, run.next_us);
    ck_assert_ptr_nonnull(strstr(agent_error(run.agent), "nothing whole came within 1.0 s"));
    tick_to(&run, run.next_us);
    ck_assert_uint_eq(polled(&run), 1);

    send_manifest(&run, &two.manifest);
    ck_assert_uint_eq(count(&run, AGENT_FETCH, &fetch), 2);
    ck_assert_uint_eq(fetch->server, 1);
    send_event(&run, (struct agent_event){
                         .kind = AGENT_PART, .hash = two.manifest.hash[PART_ROOMS], .bytes = two.parts[PART_ROOMS]});
    ck_assert_int_eq(run.next_us - run.now_us, 2 * AGENT_PATIENCE_US); /* a slow line gets more time each time */
    tick_to(&run, run.next_us);
    ck_assert_str_eq(agent_state(run.agent), "failing");
    ck_assert_ptr_nonnull(strstr(agent_error(run.agent), "nothing whole came within 2.0 s"));
    tick_to(&run, run.next_us);
    ck_assert_uint_eq(polled(&run), 0);
    send_manifest(&run, &two.manifest);
    ck_assert_uint_eq(count(&run, AGENT_FETCH, &fetch), 1);
    ck_assert_uint_eq(fetch->server, 0);
    ck_assert_str_eq(fetch->hash, two.manifest.hash[PART_ORIGINS]);
    send_parts(&run, &two);
    expect(&run, AGENT_WRITE_TABLE);
    edge_parts_clear(&two);
    end(&run, &one);
}
END_TEST

START_TEST(a_new_epoch_is_promised_without_a_table_and_older_ones_are_refused)
{
    struct run run;
    struct edge_parts one, old;
    const struct agent_effect *promise = NULL;
    begin_with(&run, 2, &one);
    send_heard(&run, 1, EPOCH + 3, 7);
    ck_assert_uint_eq(count(&run, AGENT_WRITE_PROMISE, &promise), 1);
    ck_assert_uint_eq(promise->epoch, EPOCH + 3);
    ck_assert_uint_eq(agent_promised(run.agent), EPOCH);
    send_kind(&run, AGENT_PROMISED);
    ck_assert_uint_eq(agent_promised(run.agent), EPOCH + 3);
    expect(&run, AGENT_REPORT);
    ck_assert_uint_eq(polled(&run), 1);
    ck_assert_str_eq(agent_state(run.agent), "applied"); /* what is in force stays */
    edge_parts_init(&old, EPOCH + 2, 9, &closed);
    send_manifest(&run, &old.manifest);
    ck_assert_str_eq(agent_state(run.agent), "refused");
    ck_assert_uint_eq(count(&run, AGENT_FETCH, NULL), 0);
    edge_parts_clear(&old);
    end(&run, &one);
}
END_TEST

/* In each phase: what is being applied ends first, what is being fetched is dropped. */
START_TEST(a_claim_in_the_middle_of_a_table)
{
    struct run run;
    struct edge_parts one, two;
    begin_with(&run, 1, &one);
    edge_parts_init(&two, EPOCH, 8, &closed);
    send_manifest(&run, &two.manifest);
    send_heard(&run, 0, EPOCH + 1, 8); /* FETCHING */
    expect(&run, AGENT_WRITE_PROMISE);
    send_event(&run, (struct agent_event){
                         .kind = AGENT_PART, .hash = two.manifest.hash[PART_ROOMS], .bytes = two.parts[PART_ROOMS]});
    ck_assert_uint_eq(run.n, 0);
    send_kind(&run, AGENT_DISK_FAILED);
    ck_assert_ptr_nonnull(strstr(agent_error(run.agent), "the promise could not be written to disk: because"));
    send_kind(&run, AGENT_UNCHANGED); /* which does not make it better */
    ck_assert_str_eq(agent_state(run.agent), "failing");
    ck_assert_uint_eq(count(&run, AGENT_WRITE_PROMISE, NULL), 0);
    tick_to(&run, run.next_us);
    while (count(&run, AGENT_WRITE_PROMISE, NULL) == 0)
        tick_to(&run, run.next_us);
    send_kind(&run, AGENT_PROMISED);
    ck_assert_str_eq(agent_state(run.agent), "applied");
    ck_assert_ptr_null(agent_error(run.agent));

    edge_parts_clear(&two);
    edge_parts_init(&two, EPOCH + 1, 8, &closed);
    send_manifest(&run, &two.manifest);
    send_parts(&run, &two);
    send_heard(&run, 0, EPOCH + 2, 8); /* PERSISTING */
    ck_assert_uint_eq(run.n, 0);
    send_kind(&run, AGENT_PERSISTED);
    expect(&run, AGENT_APPLY);
    send_heard(&run, 0, EPOCH + 3, 8); /* APPLYING */
    ck_assert_uint_eq(run.n, 0);
    send_kind(&run, AGENT_APPLIED);
    const struct agent_effect *promise = NULL;
    ck_assert_uint_eq(count(&run, AGENT_WRITE_PROMISE, &promise), 1);
    ck_assert_uint_eq(promise->epoch, EPOCH + 3);
    ck_assert_uint_eq(agent_applied(run.agent).epoch, EPOCH + 1);
    edge_parts_clear(&two);
    end(&run, &one);
}
END_TEST

START_TEST(without_the_promise_an_older_epoch_comes_through)
{
    struct run run;
    struct edge_parts one, old;
    run_begin(&run, 1, AGENT_BUG_NO_PROMISE);
    edge_parts_init(&one, EPOCH, 7, &rest);
    edge_parts_init(&old, EPOCH + 1, 9, &closed);
    send_kind(&run, AGENT_START);
    send_manifest(&run, &one.manifest);
    send_parts(&run, &one);
    send_kind(&run, AGENT_PERSISTED);
    send_kind(&run, AGENT_APPLIED);
    send_heard(&run, 0, EPOCH + 2, 9);
    ck_assert_uint_eq(count(&run, AGENT_WRITE_PROMISE, NULL), 0);
    send_manifest(&run, &old.manifest);
    send_parts(&run, &old);
    expect(&run, AGENT_WRITE_TABLE);
    edge_parts_clear(&old);
    end(&run, &one);
}
END_TEST

/* ---- hold ---- */

/* Everything up to the disk; then, when the hold is over, the rest. */
START_TEST(a_held_agent_promises_and_fetches_and_applies_when_released)
{
    struct run run;
    struct edge_parts one, two, three;
    const struct agent_effect *effect = NULL;
    begin_with(&run, 1, &one);
    edge_parts_init(&two, EPOCH + 1, 8, &closed);
    edge_parts_init(&three, EPOCH + 1, 9, &closed);
    send_hold(&run, "uid 0: disk is being replaced");
    ck_assert_str_eq(agent_state(run.agent), "applied"); /* nothing waits yet */

    send_manifest(&run, &two.manifest);
    send_kind(&run, AGENT_PROMISED);
    ck_assert_uint_eq(agent_promised(run.agent), EPOCH + 1);
    send_parts(&run, &two);
    ck_assert_uint_eq(count(&run, AGENT_WRITE_TABLE, NULL), 0);
    expect(&run, AGENT_REPORT);
    ck_assert_str_eq(agent_state(run.agent), "held");
    ck_assert_str_eq(agent_error(run.agent),
                     "held by uid 0: disk is being replaced; generation 8 of epoch 65538 waits");
    ck_assert_uint_eq(agent_applied(run.agent).generation, 7);
    ck_assert_uint_eq(count(&run, AGENT_POLL, &effect), 1);
    ck_assert_uint_eq(effect->stamp.generation, 8); /* what waits is not asked for again */

    send_kind(&run, AGENT_RESTARTED); /* what is in force is kept in force */
    expect(&run, AGENT_APPLY);
    GBytes *const *parts;
    ck_assert_uint_eq(agent_table(run.agent, &parts)->stamp.generation, 7);
    send_kind(&run, AGENT_APPLIED);
    ck_assert_str_eq(agent_state(run.agent), "held");
    send_manifest(&run, &one.manifest); /* older than what waits */
    ck_assert_str_eq(agent_state(run.agent), "refused");

    tick_to(&run, run.next_us);
    send_manifest(&run, &three.manifest); /* a newer one takes the place of the one that waits */
    ck_assert_str_eq(agent_state(run.agent), "held");
    ck_assert_ptr_nonnull(strstr(agent_error(run.agent), "generation 9"));

    send_hold(&run, NULL);
    expect(&run, AGENT_WRITE_TABLE);
    send_kind(&run, AGENT_DISK_FAILED);
    ck_assert_str_eq(agent_state(run.agent), "failing");
    tick_to(&run, run.next_us);
    expect(&run, AGENT_WRITE_TABLE); /* it still waits, and no server is needed for it */
    send_kind(&run, AGENT_PERSISTED);
    expect(&run, AGENT_APPLY);
    send_kind(&run, AGENT_APPLIED);
    ck_assert_str_eq(agent_state(run.agent), "applied");
    ck_assert_uint_eq(agent_applied(run.agent).generation, 9);
    edge_parts_clear(&two);
    edge_parts_clear(&three);
    end(&run, &one);
}
END_TEST

START_TEST(what_waits_is_dropped_when_its_reign_is_over)
{
    struct run run;
    struct edge_parts one, two;
    begin_with(&run, 1, &one);
    edge_parts_init(&two, EPOCH, 8, &closed);
    send_hold(&run, "uid 0: looking");
    send_manifest(&run, &two.manifest);
    send_parts(&run, &two);
    ck_assert_str_eq(agent_state(run.agent), "held");
    send_heard(&run, 0, EPOCH + 1, 8);
    send_kind(&run, AGENT_PROMISED);
    ck_assert_str_eq(agent_state(run.agent), "applied");
    send_hold(&run, NULL);
    ck_assert_uint_eq(count(&run, AGENT_WRITE_TABLE, NULL), 0);
    edge_parts_clear(&two);
    end(&run, &one);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, the_newest_server_that_answers_is_asked);
    tcase_add_test(tcase, a_long_poll_is_left_for_a_server_that_is_ahead);
    tcase_add_test(tcase, a_silent_server_is_left_and_passed_over_until_it_is_heard);
    tcase_add_test(tcase, a_server_that_trickles_is_given_up_and_parts_that_came_are_kept);
    tcase_add_test(tcase, a_new_epoch_is_promised_without_a_table_and_older_ones_are_refused);
    tcase_add_test(tcase, a_claim_in_the_middle_of_a_table);
    tcase_add_test(tcase, without_the_promise_an_older_epoch_comes_through);
    tcase_add_test(tcase, a_held_agent_promises_and_fetches_and_applies_when_released);
    tcase_add_test(tcase, what_waits_is_dropped_when_its_reign_is_over);
}

int main(void)
{
    return unit_run("agent_servers", add);
}
