#include "eastwest/registry.h"

#include <pthread.h>
#include <string.h>

#include "core/error.h"
#include "core/httpc.h"
#include "eastwest/etcd.h"

struct registry_driver {
    char *name;
    char *urls[REGISTRY_MEMBERS_MAX], *ca, *cert, *key;
    registry_report_fn report;
    void *report_data;
    struct loop *loop;
    pthread_t thread;
    bool running;

    /* The thread's own. */
    struct publisher *publisher;
    struct httpc *client;
    struct loop_timer *timer;
    bool asking;
    struct registry_status reported;
    char *reported_error;
};

static void report(struct registry_driver *driver)
{
    const struct registry_status *now = publisher_status(driver->publisher), *last = &driver->reported;
    if (last->state != NULL && strcmp(now->state, last->state) == 0 && g_strcmp0(now->error, last->error) == 0 &&
        stamp_compare(now->confirmed, last->confirmed) == 0 && now->names == last->names)
        return;
    g_free(driver->reported_error);
    driver->reported_error = g_strdup(now->error);
    driver->reported = *now;
    driver->reported.error = driver->reported_error;
    driver->report(driver->report_data, driver->name, &driver->reported);
}

static void turn(void *data);

static void heard(void *data, const struct httpc_reply *reply, const GError *error)
{
    struct registry_driver *driver = data;
    driver->asking = false;
    publisher_heard(driver->publisher, reply != NULL ? reply->status : 0, reply != NULL ? reply->body : NULL, error,
                    loop_now_us());
    report(driver);
    turn(driver);
}

static void turn(void *data)
{
    struct registry_driver *driver = data;
    struct publisher_turn next;
    if (driver->asking)
        return;
    publisher_next(driver->publisher, loop_now_us(), &next);
    if (next.body != NULL) {
        const struct httpc_target target = {.base_url = driver->urls[next.member],
                                            .ca_file = driver->ca,
                                            .cert_file = driver->cert,
                                            .key_file = driver->key};
        driver->asking = true;
        httpc_start(driver->client, &target, "POST", ETCD_TXN_PATH, next.body, REGISTRY_REQUEST_MS, heard, driver);
        g_free(next.body);
    } else if (next.until_us < INT64_MAX) {
        loop_timer_arm(driver->timer, next.until_us);
    }
}

struct set_job {
    struct registry_driver *driver;
    struct stamp stamp;
    GBytes *endpoints;
};

static void set(void *data)
{
    struct set_job *job = data;
    publisher_set(job->driver->publisher, job->stamp, job->endpoints, loop_now_us());
    g_bytes_unref(job->endpoints);
    report(job->driver);
    turn(job->driver);
    g_free(job);
}

void registry_driver_set(struct registry_driver *driver, struct stamp stamp, GBytes *endpoints)
{
    struct set_job *job = g_new(struct set_job, 1);
    *job = (struct set_job){driver, stamp, g_bytes_ref(endpoints)};
    loop_post(driver->loop, set, job);
}

static void *run(void *data)
{
    loop_run(((struct registry_driver *)data)->loop);
    return NULL;
}

static bool start(struct registry_driver *driver, GError **error)
{
    if ((driver->loop = loop_new(error)) == NULL || (driver->client = httpc_new(driver->loop, error)) == NULL)
        return false;
    driver->timer = loop_timer_new(driver->loop, turn, driver);
    int rc = pthread_create(&driver->thread, NULL, run, driver);
    driver->running = rc == 0;
    if (rc != 0)
        g_set_error(error, SB_ERROR, SB_ERROR_IO, "cannot start a registry driver's thread: %s", g_strerror(rc));
    return rc == 0;
}

struct registry_driver *registry_driver_new(const struct registry_config *config, registry_report_fn report_fn,
                                            void *data, GError **error)
{
    struct registry_driver *driver = g_new0(struct registry_driver, 1);
    char text[ENDPOINT_TEXT_SIZE];
    driver->name = g_strdup(config->name);
    driver->report = report_fn;
    driver->report_data = data;
    driver->publisher = publisher_new(config->prefix, config->n_members);
    driver->ca = g_strdup(config->ca);
    driver->cert = g_strdup(config->cert);
    driver->key = g_strdup(config->key);
    for (unsigned i = 0; i < config->n_members; i++)
        driver->urls[i] = g_strdup_printf("%s://%s", config->ca != NULL ? "https" : "http",
                                          endpoint_format(&config->members[i], text));
    if (start(driver, error))
        return driver;
    registry_driver_free(driver);
    return NULL;
}

static void stop(void *data)
{
    struct registry_driver *driver = data;
    httpc_free(driver->client); /* a request under way ends without its callback */
    driver->client = NULL;
    driver->asking = true; /* no other begins */
    loop_stop(driver->loop);
}

void registry_driver_free(struct registry_driver *driver)
{
    if (driver->running) {
        loop_post(driver->loop, stop, driver); /* behind what was set before */
        pthread_join(driver->thread, NULL);
    }
    loop_timer_free(driver->timer);
    httpc_free(driver->client);
    loop_free(driver->loop);
    publisher_free(driver->publisher);
    for (unsigned i = 0; i < REGISTRY_MEMBERS_MAX; i++)
        g_free(driver->urls[i]);
    g_free(driver->ca);
    g_free(driver->cert);
    g_free(driver->key);
    g_free(driver->reported_error);
    g_free(driver->name);
    g_free(driver);
}
