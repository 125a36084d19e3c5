#include "server/engine/registries.h"

#include "core/error.h"
#include "core/fileio.h"
#include "core/log.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

struct running {
    struct registry_config config;
    struct registry_driver *driver; /* NULL: it could not be started */
};
struct registries {
    char *keys_dir;
    registry_report_fn report;
    void *data;
    GHashTable *running; /* name -> struct running * */
};

static void running_free(void *data)
{
    struct running *running = data;
    if (running->driver != NULL)
        registry_driver_free(running->driver);
    g_free(running->config.name);
    g_free(running->config.prefix);
    g_free(running->config.ca);
    g_free(running->config.cert);
    g_free(running->config.key);
    g_free(running);
}

static struct running *running_new(const struct registry *registry)
{
    struct running *running = g_new0(struct running, 1);
    const struct endpoint *members[REGISTRY_MEMBERS_MAX] = {&registry->address, &registry->address2,
                                                            &registry->address3};
    running->config.name = g_strdup(registry->o.name);
    running->config.prefix = g_strdup(registry->prefix != NULL ? registry->prefix : REGISTRY_PREFIX);
    for (unsigned i = 0; i < G_N_ELEMENTS(members); i++)
        if (members[i]->port != 0)
            running->config.members[running->config.n_members++] = *members[i];
    return running;
}

static bool config_equal(const struct registry_config *a, const struct registry_config *b)
{
    if (strcmp(a->prefix, b->prefix) != 0 || a->n_members != b->n_members || g_strcmp0(a->ca, b->ca) != 0 ||
        g_strcmp0(a->cert, b->cert) != 0)
        return false;
    for (unsigned i = 0; i < a->n_members; i++)
        if (!endpoint_equal(&a->members[i], &b->members[i]))
            return false;
    return true;
}

static void report_without_driver(struct registries *registries, const char *name, bool first, const GError *error)
{
    const struct registry_status status = {.state = "unknown", .error = error->message};
    if (first)
        log_warning("registry is not driven; it is tried again with each generation", "registry=%s error=\"%s\"", name,
                    error->message);
    registries->report(registries->data, name, &status);
}

/* What is shown to its members is as they want it: both files or none, and the key nobody else's. */
static bool tls_files(const char *keys_dir, const char *name, struct registry_config *config, GError **error)
{
    if (keys_dir == NULL) {
        g_set_error(error, SB_ERROR, SB_ERROR_NOT_FOUND, "tls %s: no folder of keys was given (--keys DIR)", name);
        return false;
    }
    config->ca = g_strdup_printf("%s/%s.ca.pem", keys_dir, name);
    config->cert = g_strdup_printf("%s/%s.cert.pem", keys_dir, name);
    config->key = g_strdup_printf("%s/%s.key.pem", keys_dir, name);
    bool cert = access(config->cert, F_OK) == 0, key = access(config->key, F_OK) == 0;
    if (access(config->ca, R_OK) != 0)
        g_set_error(error, SB_ERROR, SB_ERROR_NOT_FOUND, "tls %s: %s: %s", name, config->ca, g_strerror(errno));
    else if (cert != key)
        g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "tls %s: found %s only, expected also %s", name,
                    cert ? config->cert : config->key, cert ? config->key : config->cert);
    else if (!file_check_private(config->key, error))
        g_prefix_error(error, "tls %s: ", name);
    else {
        if (!cert) {
            g_clear_pointer(&config->cert, g_free);
            g_clear_pointer(&config->key, g_free);
        }
        return true;
    }
    return false;
}

/* Makes the driver of an object anew unless the one that runs has the same configuration. */
static struct running *fit(struct registries *registries, const struct registry *registry)
{
    g_autoptr(GError) error = NULL;
    struct running *old = g_hash_table_lookup(registries->running, registry->o.name);
    struct running *fresh = running_new(registry);
    bool ready = registry->tls == NULL || tls_files(registries->keys_dir, registry->tls, &fresh->config, &error);
    if (ready && old != NULL && old->driver != NULL && config_equal(&old->config, &fresh->config)) {
        running_free(fresh);
        return old;
    }
    bool first = old == NULL || old->driver != NULL;
    g_hash_table_remove(registries->running, registry->o.name);
    if (ready)
        fresh->driver = registry_driver_new(&fresh->config, registries->report, registries->data, &error);
    if (fresh->driver == NULL)
        report_without_driver(registries, registry->o.name, first, error);
    g_hash_table_replace(registries->running, fresh->config.name, fresh);
    return fresh;
}

static gboolean is_gone(void *name, void *value, void *inv)
{
    (void)value;
    return INVENTORY_GET((const struct inventory *)inv, registry, name) == NULL;
}

struct registries *registries_new(const char *keys_dir, registry_report_fn report, void *data)
{
    struct registries *registries = g_new0(struct registries, 1);
    registries->keys_dir = g_strdup(keys_dir);
    registries->report = report;
    registries->data = data;
    registries->running = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, running_free);
    return registries;
}

void registries_publish(struct registries *registries, const struct resolved *resolved)
{
    struct inventory *inv = resolved->world->inventory;
    g_hash_table_foreach_remove(registries->running, is_gone, inv);
    INVENTORY_FOREACH (inv, registry, registry) {
        struct running *running = fit(registries, registry);
        if (running->driver != NULL)
            registry_driver_set(running->driver, resolved->world->stamp, resolved->endpoints);
    }
}

void registries_free(struct registries *registries)
{
    if (registries == NULL)
        return;
    g_hash_table_destroy(registries->running);
    g_free(registries->keys_dir);
    g_free(registries);
}
