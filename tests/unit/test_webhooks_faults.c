/* Webhooks, in this process, when what they read cannot be read, and when who audits does not: nothing is lost, and
 * nobody has to do anything. */
#include "core/error.h"
#include "core/fileio.h"
#include "core/loop.h"
#include "server/engine/webhooks.h"
#include "server/store/journal.h"
#include "tests/unit/receiver.h"
#include "tests/unit/unit.h"

#include <string.h>

#define LIMIT_US (30 * (int64_t)G_USEC_PER_SEC) /* a limit, not a wait */

/* ---- reading fails so often ---- */

extern typeof(journal_read_after) __wrap_journal_read_after, __real_journal_read_after;
extern typeof(journal_read_generation) __wrap_journal_read_generation, __real_journal_read_generation;

static unsigned fail_place, fail_next, fail_old;

static bool fails(unsigned *left, GError **error)
{
    if (*left == 0)
        return false;
    --*left;
    g_set_error(error, SB_ERROR, SB_ERROR_IO, "the disk does not answer");
    return true;
}

bool __wrap_journal_read_generation(struct journal_reader *reader, uint64_t generation, int64_t wall_us,
                                    journal_row_fn fn, void *data, GError **error)
{
    return !fails(&fail_place, error) && __real_journal_read_generation(reader, generation, wall_us, fn, data, error);
}

bool __wrap_journal_read_after(struct journal_reader *reader, const char *kind, uint64_t after, unsigned limit,
                               journal_row_fn fn, void *data, GError **error)
{
    return !fails(limit == 1 ? &fail_old : &fail_next, error) &&
           __real_journal_read_after(reader, kind, after, limit, fn, data, error);
}

/* ---- the stage: webhooks on a thread of their own ---- */

static char *folder, *path;
static struct journal *journal; /* the thread's, while it runs */
static struct loop *loop;
static struct sender *sender;
static struct webhooks *webhooks;
static struct receiver receiver;
static pthread_t thread;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed;
static unsigned disablings, acts; /* under lock */
static bool audits;               /* or loses what it is told */

static void tell(unsigned *count)
{
    pthread_mutex_lock(&lock);
    ++*count;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

static void wait_until(const unsigned *count, unsigned least)
{
    struct timespec until = loop_deadline(LIMIT_US);
    int rc = 0;
    pthread_mutex_lock(&lock);
    while (*count < least && rc == 0)
        rc = pthread_cond_timedwait(&changed, &lock, &until);
    unsigned found = *count;
    pthread_mutex_unlock(&lock);
    ck_assert_uint_ge(found, least);
}

static unsigned how_many(const unsigned *count)
{
    pthread_mutex_lock(&lock);
    unsigned n = *count;
    pthread_mutex_unlock(&lock);
    return n;
}

struct act {
    loop_fn fn;
    void *data;
};

static void act(void *data)
{
    const struct act *a = data;
    a->fn(a->data);
    tell(&acts);
}

/* On the thread; it was done when this returns. */
static void do_there(loop_fn fn, void *data)
{
    struct act a = {fn, data};
    unsigned before = how_many(&acts);
    loop_post(loop, act, &a);
    wait_until(&acts, before + 1);
}

static void append(const char *kind, const char *id, json_t *body)
{
    g_autoptr(GPtrArray) entries = entries_new();
    entries_add(entries, kind, id, NULL, body);
    ck_assert_int_eq(journal->ops->append(journal, journal->epoch, entries, wall_now_us(), NULL), JOURNAL_WRITTEN);
}

static void on_disabled(void *data, const char *webhook, const char *why, int64_t since_us)
{
    (void)data;
    if (audits)
        append("webhook", webhook, json_pack("{s:s, s:I}", "disabled", why, "since_us", (json_int_t)since_us));
    tell(&disablings);
}

static void fit(void *data)
{
    g_autoptr(GPtrArray) findings = finding_list_new();
    g_autofree char *url = g_strdup_printf("http://127.0.0.1:%d/", receiver.port);
    json_t *json = json_pack("{s:s, s:s, s:s, s:s, s:[s]}", "kind", "webhook", "name", "ops", "url", url, "key", "a",
                             "events", "generation");
    struct object *object = object_from_json(json, findings);
    ck_assert_ptr_nonnull(object);
    object->revision = 1;
    struct inventory *inv = inventory_new();
    inventory_put(inv, object);
    webhooks_fit(data, inv);
    inventory_unref(inv);
    json_decref(json);
}

static void *run(void *data)
{
    loop_run(data);
    return NULL;
}

static void start(void)
{
    const struct sender_config config = {.keys_dir = folder, .allow = "127.0.0.1"};
    loop = loop_new(NULL);
    sender = sender_new(loop, &config, NULL);
    const struct webhooks_config hooks = {.loop = loop,
                                          .sender = sender,
                                          .cluster = "c",
                                          .state_dir = folder,
                                          .journal_path = path,
                                          .disabled = on_disabled};
    webhooks = webhooks_new(&hooks);
    ck_assert_int_eq(pthread_create(&thread, NULL, run, loop), 0);
    do_there(fit, webhooks);
}

static void end(void)
{
    loop_stop(loop);
    pthread_join(thread, NULL);
    webhooks_free(webhooks);
    sender_free(sender);
    loop_free(loop);
}

static void look(void *data)
{
    webhooks_look(data);
}

static void happen(void *data)
{
    (void)data;
    append("generation", "2", json_pack("{s:i}", "generation", 2));
    webhooks_look(webhooks);
}

/* data: an id that is to be told again. */
static void wish(void *data)
{
    fail_old = 1;
    append("message", "ops", json_pack("{s:s, s:s}", "webhook", "ops", "redeliver", data));
    webhooks_look(webhooks);
}

static void begin_to_audit(void *data)
{
    (void)data;
    audits = true;
}

static void retry(void *data)
{
    webhooks_retry(data, "ops");
}

static void setup(void)
{
    static const char secret[] = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    loop_cond_init(&changed);
    folder = g_dir_make_tmp("sb-webhooks-XXXXXX", NULL);
    path = g_strdup_printf("%s/journal.db", folder);
    g_autofree char *key = g_strdup_printf("%s/a.whsec", folder);
    ck_assert(file_write_atomic(key, secret, strlen(secret), 0600, NULL));
    journal = journal_open(path, 0, NULL);
    ck_assert_ptr_nonnull(journal);
    append("generation", "1", json_pack("{s:i}", "generation", 1));
    receiver_start(&receiver);
}

static void teardown(void)
{
    receiver_end(&receiver);
    journal_close(journal);
    unit_remove_all(folder);
    g_clear_pointer(&folder, g_free);
    g_clear_pointer(&path, g_free);
}

/* ---- the tests ---- */

/* Its place, or what comes next: nothing but time gives a reason to look again. */
START_TEST(what_could_not_be_read_is_read_again)
{
    append("generation", "2", json_pack("{s:i}", "generation", 2));
    fail_place = _i == 0;
    fail_next = _i == 1;
    start();
    receiver_wait(&receiver, 0);
    end();
    ck_assert_uint_eq(fail_place + fail_next, 0);
}
END_TEST

/* That it cannot be read is not that there is none. */
START_TEST(an_old_message_that_cannot_be_read_is_told_later)
{
    start();
    do_there(happen, NULL);
    char *id = (char *)(uintptr_t)received_header(receiver_wait(&receiver, 0), "webhook-id");
    do_there(wish, id);
    ck_assert_str_eq(received_header(receiver_wait(&receiver, 1), "webhook-id"), id);
    end();
    ck_assert_uint_eq(fail_old, 0);
}
END_TEST

/* Who audits was told and ended, or could not write: it is told again, by the next life, too, and then no more. */
START_TEST(that_one_is_disabled_is_audited_once)
{
    receiver_answer(&receiver, 410, NULL, NULL);
    start();
    do_there(happen, NULL);
    wait_until(&disablings, 1);
    for (int i = 0; i < 3; i++) /* it may be under way */
        do_there(look, webhooks);
    ck_assert_uint_eq(how_many(&disablings), 1);
    do_there(begin_to_audit, NULL);
    if (_i == 1) {
        end();
        start();
    }
    wait_until(&disablings, 2);
    do_there(look, webhooks);
    end();
    start();
    do_there(look, webhooks);
    ck_assert_uint_eq(how_many(&disablings), 2);
    do_there(retry, webhooks); /* and disabled anew it is audited anew */
    wait_until(&disablings, 3);
    ck_assert_uint_eq(receiver_count(&receiver), 2);
    end();
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_loop_test(tcase, what_could_not_be_read_is_read_again, 0, 2);
    tcase_add_test(tcase, an_old_message_that_cannot_be_read_is_told_later);
    tcase_add_loop_test(tcase, that_one_is_disabled_is_audited_once, 0, 2);
}

int main(void)
{
    return unit_run("webhooks_faults", add);
}
