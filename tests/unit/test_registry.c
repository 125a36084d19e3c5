/* The publisher and the registry's driver against real etcd. Where the moment of a fault matters, the test carries the
 * publisher's requests itself; where threads and time matter, the driver does. */
#include "tests/unit/authority.h"
#include "tests/unit/etcdd.h"
#include "tests/unit/unit.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>

#include "core/error.h"
#include "core/httpc.h"
#include "eastwest/etcd.h"
#include "eastwest/registry.h"

#define SENTINEL "/sb/sentinel"

static char *folder;
static struct etcdd *etcd[ETCDD_MEMBERS_MAX];
static unsigned n_etcd;

static void begin(unsigned n)
{
    folder = g_dir_make_tmp("registry-XXXXXX", NULL);
    etcdd_start(folder, n, etcd);
    n_etcd = n;
}

static void end(void)
{
    etcdd_free(etcd, n_etcd);
    unit_remove_all(folder);
    g_free(folder);
}

/* n services, called in zone `zone`. */
static GBytes *endpoints(unsigned n, const char *zone)
{
    GString *text = g_string_new(NULL);
    for (unsigned i = 0; i < n; i++)
        g_string_append_printf(text, "service/s-%05u/zone-1 {\"zone\":\"%s\"}\n", i, zone);
    return g_string_free_to_bytes(text);
}

static void set(struct publisher *p, uint64_t epoch, uint64_t generation, unsigned n, const char *zone)
{
    g_autoptr(GBytes) bytes = endpoints(n, zone);
    publisher_set(p, (struct stamp){epoch, generation}, bytes, loop_now_us());
}

/* ---- by hand: one request, whose answer may be lost ---- */

enum fate { WHOLE, ANSWER_LOST, REQUEST_LOST };

/* False: the publisher waits. */
static bool step(struct publisher *p, enum fate fate)
{
    struct publisher_turn turn;
    publisher_next(p, loop_now_us(), &turn);
    if (turn.body == NULL)
        return false;
    g_autoptr(GError) lost = g_error_new(SB_ERROR, SB_ERROR_TIMEOUT, "lost");
    g_autofree char *answer = fate == REQUEST_LOST ? NULL : etcdd_post(etcd[turn.member], ETCD_TXN_PATH, turn.body);
    g_free(turn.body);
    publisher_heard(p, answer != NULL ? 200 : 0, fate == WHOLE ? answer : NULL,
                    fate == WHOLE && answer != NULL ? NULL : lost, loop_now_us());
    return true;
}

static const char *state(const struct publisher *p)
{
    return publisher_status(p)->state;
}

/* Carries requests until the publisher is in the state; which is its word after one of them. */
static void until(struct publisher *p, const char *wanted)
{
    int64_t deadline_us = loop_now_us() + 10 * G_USEC_PER_SEC;
    while (step(p, WHOLE) || strcmp(state(p), wanted) != 0) {
        ck_assert_msg(loop_now_us() < deadline_us, "found state %s (%s), expected %s", state(p),
                      publisher_status(p)->error, wanted);
        if (strcmp(state(p), wanted) == 0)
            return;
        poll(NULL, 0, 1);
    }
}

static void check_key(const char *key, const char *expected)
{
    g_autofree char *value = etcdd_get(etcd[0], key);
    ck_assert_msg(g_strcmp0(value, expected) == 0, "%s: found %s, expected %s", key, value, expected);
}

START_TEST(what_was_set_is_there_and_again_changes_nothing)
{
    begin(1);
    struct publisher *p = publisher_new("/sb", 1);
    ck_assert(!step(p, WHOLE)); /* nothing was set */
    set(p, 7, 3, 2, "zone-1");
    until(p, "converged");
    check_key(SENTINEL, "7 3");
    check_key("/sb/v1/service/s-00001/zone-1", "{\"zone\":\"zone-1\"}");
    ck_assert_uint_eq(publisher_status(p)->confirmed.generation, 3);
    ck_assert_uint_eq(publisher_status(p)->names, 2);
    /* The same content: the sentinel moves, no key does. */
    set(p, 7, 4, 2, "zone-1");
    until(p, "converged");
    check_key(SENTINEL, "7 4");
    ck_assert_uint_eq(publisher_status(p)->names, 0);
    /* The same stamp: nothing at all; nor from another publisher of the same reign. */
    int64_t revision = etcdd_revision(etcd[0]);
    struct publisher *twin = publisher_new("/sb", 1);
    set(twin, 7, 4, 2, "zone-1");
    until(twin, "converged");
    ck_assert_int_eq(etcdd_revision(etcd[0]), revision);
    set(p, 7, 5, 1, "zone-2");
    until(p, "converged");
    check_key("/sb/v1/service/s-00000/zone-1", "{\"zone\":\"zone-2\"}");
    check_key("/sb/v1/service/s-00001/zone-1", NULL);
    publisher_free(twin);
    publisher_free(p);
    end();
}
END_TEST

START_TEST(an_older_writer_loses)
{
    begin(1);
    struct publisher *old = publisher_new("/sb", 1), *new = publisher_new("/sb", 1);
    set(old, 7, 3, 2, "zone-1");
    until(old, "converged");
    /* The old one has looked and is about to write when the new reign claims. */
    set(old, 7, 4, 2, "zone-9");
    ck_assert(step(old, WHOLE));
    ck_assert_str_eq(state(old), "updating");
    set(new, 9, 4, 2, "zone-2");
    until(new, "converged");
    ck_assert(step(old, WHOLE)); /* its compare fails */
    until(old, "conflict");
    ck_assert_msg(strstr(publisher_status(old)->error, "found \"9 4\", ours is epoch 7 generation 4") != NULL, "%s",
                  publisher_status(old)->error);
    ck_assert_uint_eq(publisher_status(old)->confirmed.generation, 3);
    check_key("/sb/v1/service/s-00000/zone-1", "{\"zone\":\"zone-2\"}");
    /* An older generation of the same reign does not write either. */
    struct publisher *behind = publisher_new("/sb", 1);
    set(behind, 9, 3, 2, "zone-9");
    until(behind, "conflict");
    check_key(SENTINEL, "9 4");
    /* Nobody else's keys are taken. */
    etcdd_put(etcd[0], SENTINEL, "mine");
    until(new, "refused");
    check_key(SENTINEL, "mine");
    publisher_free(behind);
    publisher_free(new);
    publisher_free(old);
    end();
}
END_TEST

START_TEST(a_lost_answer_is_settled_by_looking)
{
    begin(1);
    struct publisher *p = publisher_new("/sb", 1);
    set(p, 7, 3, 2, "zone-1");
    until(p, "converged");
    for (enum fate fate = ANSWER_LOST; fate <= REQUEST_LOST; fate++) {
        set(p, 7, 4 + fate, 2, fate == ANSWER_LOST ? "zone-2" : "zone-3");
        int64_t revision = etcdd_revision(etcd[0]);
        ck_assert(step(p, WHOLE)); /* look */
        ck_assert(step(p, fate));  /* write */
        ck_assert_str_eq(state(p), "unknown");
        ck_assert_int_eq(etcdd_revision(etcd[0]), revision + (fate == ANSWER_LOST));
        until(p, "converged");
        ck_assert_int_eq(etcdd_revision(etcd[0]), revision + 1); /* once */
        ck_assert_uint_eq(publisher_status(p)->confirmed.generation, 4 + fate);
    }
    check_key("/sb/v1/service/s-00001/zone-1", "{\"zone\":\"zone-3\"}");
    publisher_free(p);
    end();
}
END_TEST

START_TEST(many_changes_go_in_parts_and_nothing_is_emptied)
{
    begin(1);
    struct publisher *p = publisher_new("/sb", 1);
    set(p, 7, 3, 350, "zone-1");
    ck_assert(step(p, WHOLE) && step(p, WHOLE)); /* look, claim */
    check_key(SENTINEL, "7 0");
    ck_assert(step(p, WHOLE) && step(p, WHOLE)); /* look, the first part */
    check_key(SENTINEL, "7 3 part 1/4");
    /* A newer generation overtakes it there. */
    set(p, 7, 4, 350, "zone-2");
    until(p, "converged");
    check_key(SENTINEL, "7 4");
    for (unsigned i = 0; i < 350; i += 50) {
        g_autofree char *key = g_strdup_printf("/sb/v1/service/s-%05u/zone-1", i);
        check_key(key, "{\"zone\":\"zone-2\"}");
    }
    set(p, 7, 5, 100, "zone-3"); /* 100 other, then 250 too many */
    ck_assert(step(p, WHOLE) && step(p, WHOLE));
    check_key(SENTINEL, "7 5 part 1/4");
    until(p, "converged");
    check_key("/sb/v1/service/s-00100/zone-1", NULL);
    ck_assert_uint_eq(publisher_status(p)->names, 350);
    set(p, 7, 6, 0, "");
    until(p, "refused");
    check_key("/sb/v1/service/s-00099/zone-1", "{\"zone\":\"zone-3\"}");
    publisher_free(p);
    end();
}
END_TEST

/* Each time it looks (answer NULL: etcd's own), it says so and waits, longer than before. */
static void expect_refusals(struct publisher *p, const char *answer, const char *text)
{
    int64_t now_us = loop_now_us(), waited_us = 0;
    for (unsigned i = 0; i < 3; i++) {
        struct publisher_turn turn;
        publisher_next(p, now_us, &turn);
        ck_assert_ptr_nonnull(turn.body);
        g_autofree char *heard = answer == NULL ? etcdd_post(etcd[0], ETCD_TXN_PATH, turn.body) : g_strdup(answer);
        g_free(turn.body);
        publisher_heard(p, 200, heard, NULL, now_us);
        ck_assert_str_eq(state(p), "refused");
        ck_assert_msg(strstr(publisher_status(p)->error, text) != NULL, "%s", publisher_status(p)->error);
        publisher_next(p, now_us, &turn);
        ck_assert_ptr_null(turn.body);
        ck_assert_int_gt(turn.until_us - now_us, waited_us);
        waited_us = turn.until_us - now_us;
        now_us = turn.until_us;
    }
}

START_TEST(what_cannot_be_told_apart_is_said_and_not_asked_for_at_once)
{
    begin(1);
    struct publisher *p = publisher_new("/sb", 1);
    g_free(etcdd_post(etcd[0], "/v3/kv/put", "{\"key\":\"L3NiL3YxL2EAYg==\"}")); /* "/sb/v1/a\0b" */
    set(p, 7, 3, 3, "zone-1");
    expect_refusals(p, NULL, "zero byte");
    g_free(etcdd_post(etcd[0], "/v3/kv/deleterange", "{\"key\":\"L3NiL3YxL2EAYg==\"}"));
    until(p, "converged");
    publisher_free(p);
    /* Twice the same key: etcd has none, what stands between might. */
    p = publisher_new("/sb", 1);
    set(p, 7, 3, 3, "zone-1");
    expect_refusals(p,
                    "{\"header\":{\"cluster_id\":\"1\",\"revision\":\"9\"},\"responses\":[{\"response_range\":{}},"
                    "{\"response_range\":{\"count\":\"2\",\"kvs\":[{\"key\":\"L3NiL3YxL2E=\"},"
                    "{\"key\":\"L3NiL3YxL2E=\"}]}}]}",
                    "cannot be told apart");
    publisher_free(p);
    end();
}
END_TEST

START_TEST(what_others_do_is_put_right)
{
    begin(1);
    struct publisher *p = publisher_new("/sb", 1);
    set(p, 7, 3, 3, "zone-1");
    until(p, "converged");
    etcdd_put(etcd[0], "/sb/v1/service/s-00000/zone-1", "{\"zone\":\"evil\"}");
    etcdd_delete(etcd[0], "/sb/v1/service/s-00001/zone-1");
    etcdd_put(etcd[0], "/sb/v1/service/s-00009/zone-1", "{}");
    etcdd_put(etcd[0], "/sb/other", "theirs"); /* not below v1 */
    etcdd_compact(etcd[0]);
    until(p, "updating");
    until(p, "converged");
    check_key("/sb/v1/service/s-00000/zone-1", "{\"zone\":\"zone-1\"}");
    check_key("/sb/v1/service/s-00001/zone-1", "{\"zone\":\"zone-1\"}");
    check_key("/sb/v1/service/s-00009/zone-1", NULL);
    check_key("/sb/other", "theirs");
    /* All its data lost: another cluster, whose revisions begin anew. */
    etcdd_kill(etcd[0]);
    etcdd_forget(etcd[0]);
    etcdd_run(etcd[0]);
    until(p, "updating");
    until(p, "converged");
    check_key(SENTINEL, "7 3");
    check_key("/sb/v1/service/s-00002/zone-1", "{\"zone\":\"zone-1\"}");
    publisher_free(p);
    end();
}
END_TEST

/* ---- the driver ---- */

struct heard {
    pthread_mutex_t lock;
    struct stamp confirmed;
    char state[32];
    int64_t confirmed_us;
};

static void on_report(void *data, const char *registry, const struct registry_status *status)
{
    struct heard *heard = data;
    ck_assert_str_eq(registry, "disco");
    pthread_mutex_lock(&heard->lock);
    if (stamp_compare(heard->confirmed, status->confirmed) != 0)
        heard->confirmed_us = loop_now_us();
    heard->confirmed = status->confirmed;
    g_strlcpy(heard->state, status->state, sizeof heard->state);
    pthread_mutex_unlock(&heard->lock);
}

/* Waits for a state, and if generation is not 0, for its proof; returns when that was. */
static int64_t wait_heard(struct heard *heard, const char *wanted, uint64_t generation)
{
    int64_t deadline_us = loop_now_us() + 15 * G_USEC_PER_SEC;
    for (;;) {
        pthread_mutex_lock(&heard->lock);
        bool there =
            strcmp(heard->state, wanted) == 0 && (generation == 0 || heard->confirmed.generation == generation);
        int64_t at_us = heard->confirmed_us;
        g_autofree char *found = g_strdup(heard->state);
        pthread_mutex_unlock(&heard->lock);
        if (there)
            return at_us;
        ck_assert_msg(loop_now_us() < deadline_us, "found %s, expected %s", found, wanted);
        poll(NULL, 0, 2);
    }
}

/* tls: of TLS.ca.pem and the others, or NULL. shown: a certificate is shown to etcd. */
static struct registry_driver *driver_new_tls(struct heard *heard, const char *tls, bool shown)
{
    g_autofree char *ca = g_strdup_printf("%s.ca.pem", tls), *cert = g_strdup_printf("%s.cert.pem", tls);
    g_autofree char *key = g_strdup_printf("%s.key.pem", tls);
    struct registry_config config = {.name = (char *)"disco", .prefix = (char *)"/sb", .n_members = n_etcd};
    if (tls != NULL)
        config.ca = ca;
    if (shown) {
        config.cert = cert;
        config.key = key;
    }
    for (unsigned i = 0; i < n_etcd; i++)
        config.members[i] = etcd[i]->endpoint;
    struct registry_driver *driver = registry_driver_new(&config, on_report, heard, NULL);
    ck_assert_ptr_nonnull(driver);
    return driver;
}

static struct registry_driver *driver_new(struct heard *heard)
{
    return driver_new_tls(heard, NULL, false);
}

static void drive(struct registry_driver *driver, uint64_t generation, const char *zone)
{
    g_autoptr(GBytes) bytes = endpoints(5, zone);
    registry_driver_set(driver, (struct stamp){7, generation}, bytes);
}

START_TEST(etcd_dies_and_comes_back)
{
    struct heard heard = {.lock = PTHREAD_MUTEX_INITIALIZER};
    begin(1);
    struct registry_driver *driver = driver_new(&heard);
    drive(driver, 3, "zone-1");
    wait_heard(&heard, "converged", 3);
    etcdd_kill(etcd[0]);
    wait_heard(&heard, "unreachable", 3);
    drive(driver, 4, "zone-2");
    wait_heard(&heard, "unreachable", 3);
    etcdd_run(etcd[0]);
    wait_heard(&heard, "converged", 4);
    check_key("/sb/v1/service/s-00000/zone-1", "{\"zone\":\"zone-2\"}");
    /* Silent: it is ended without waiting for an answer. */
    etcdd_signal(etcd[0], SIGSTOP);
    drive(driver, 5, "zone-3");
    int64_t start_us = loop_now_us();
    registry_driver_free(driver);
    ck_assert_int_lt(loop_now_us() - start_us, 300000);
    etcdd_signal(etcd[0], SIGCONT);
    end();
}
END_TEST

START_TEST(dead_and_silent_members_are_passed_over)
{
    struct heard heard = {.lock = PTHREAD_MUTEX_INITIALIZER};
    begin(3);
    struct registry_driver *driver = driver_new(&heard);
    drive(driver, 3, "zone-1");
    wait_heard(&heard, "converged", 3);
    etcdd_signal(etcd[0], SIGSTOP); /* the one that it speaks to */
    drive(driver, 4, "zone-2");
    wait_heard(&heard, "converged", 4);
    etcdd_signal(etcd[0], SIGCONT);
    etcdd_kill(etcd[1]);
    drive(driver, 5, "zone-3");
    wait_heard(&heard, "converged", 5);
    int64_t start_us = loop_now_us();
    drive(driver, 6, "zone-4"); /* it has found a good one: nobody is waited for */
    int64_t took_us = wait_heard(&heard, "converged", 6) - start_us;
    ck_assert_msg(took_us < 500000, "took %.3f s", (double)took_us / G_USEC_PER_SEC);
    /* Without a majority nothing can be read or written; with it, it goes on. */
    etcdd_kill(etcd[0]);
    drive(driver, 7, "zone-5");
    pthread_mutex_lock(&heard.lock);
    bool early = heard.confirmed.generation == 7;
    pthread_mutex_unlock(&heard.lock);
    ck_assert(!early);
    etcdd_run(etcd[1]);
    wait_heard(&heard, "converged", 7);
    registry_driver_free(driver);
    end();
}
END_TEST

/* DIR/NAME.ca.pem, .cert.pem, .key.pem. */
static void make_files(const char *name, unsigned hours)
{
    g_autofree char *ca = g_strdup_printf("%s/%s.ca.pem", folder, name);
    g_autofree char *cert = g_strdup_printf("%s/%s.cert.pem", folder, name);
    g_autofree char *key = g_strdup_printf("%s/%s.key.pem", folder, name);
    struct authority *authority = authority_new(ca);
    authority_issue(authority, name, hours, cert, key);
    authority_free(authority);
}

static void copy_file(const char *from, const char *to)
{
    g_autofree char *source = g_build_filename(folder, from, NULL), *target = g_build_filename(folder, to, NULL);
    g_autofree char *text = NULL;
    gsize size;
    ck_assert(g_file_get_contents(source, &text, &size, NULL) && g_file_set_contents(target, text, (gssize)size, NULL));
}

START_TEST(tls_is_checked_both_ways)
{
    folder = g_dir_make_tmp("registry-XXXXXX", NULL);
    make_files("etcd", 24);
    make_files("stranger", 24); /* of another authority */
    make_files("doubt", 24);    /* as the first, but for who vouches for etcd */
    copy_file("etcd.cert.pem", "doubt.cert.pem");
    copy_file("etcd.key.pem", "doubt.key.pem");
    g_autofree char *tls = g_build_filename(folder, "etcd", NULL), *other = g_build_filename(folder, "stranger", NULL);
    g_autofree char *doubt = g_build_filename(folder, "doubt", NULL);
    etcdd_start_tls(folder, tls, n_etcd = 1, etcd);
    struct heard heard = {.lock = PTHREAD_MUTEX_INITIALIZER};
    struct registry_driver *driver = driver_new_tls(&heard, tls, true);
    drive(driver, 3, "zone-1");
    wait_heard(&heard, "converged", 3);
    check_key("/sb/v1/service/s-00000/zone-1", "{\"zone\":\"zone-1\"}");
    registry_driver_free(driver);
    /* Without TLS; an etcd that nobody vouches for; no certificate of ours; one of a stranger. */
    const struct {
        const char *tls;
        bool shown;
    } bad[] = {{NULL, false}, {doubt, true}, {tls, false}};
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        heard = (struct heard){.lock = PTHREAD_MUTEX_INITIALIZER};
        driver = driver_new_tls(&heard, bad[i].tls, bad[i].shown);
        drive(driver, 4, "evil");
        wait_heard(&heard, "unreachable", 0);
        registry_driver_free(driver);
    }
    copy_file("etcd.ca.pem", "stranger.ca.pem");
    heard = (struct heard){.lock = PTHREAD_MUTEX_INITIALIZER};
    driver = driver_new_tls(&heard, other, true);
    drive(driver, 5, "zone-2");
    wait_heard(&heard, "unreachable", 0);
    check_key("/sb/v1/service/s-00000/zone-1", "{\"zone\":\"zone-1\"}");
    /* The right ones come in their place: no restart. */
    copy_file("etcd.cert.pem", "stranger.cert.pem");
    copy_file("etcd.key.pem", "stranger.key.pem");
    wait_heard(&heard, "converged", 5);
    check_key("/sb/v1/service/s-00000/zone-1", "{\"zone\":\"zone-2\"}");
    registry_driver_free(driver);
    end();
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, tls_is_checked_both_ways);
    tcase_add_test(tcase, what_was_set_is_there_and_again_changes_nothing);
    tcase_add_test(tcase, an_older_writer_loses);
    tcase_add_test(tcase, a_lost_answer_is_settled_by_looking);
    tcase_add_test(tcase, many_changes_go_in_parts_and_nothing_is_emptied);
    tcase_add_test(tcase, what_cannot_be_told_apart_is_said_and_not_asked_for_at_once);
    tcase_add_test(tcase, what_others_do_is_put_right);
    tcase_add_test(tcase, etcd_dies_and_comes_back);
    tcase_add_test(tcase, dead_and_silent_members_are_passed_over);
}

int main(void)
{
    return unit_run("registry", add);
}
