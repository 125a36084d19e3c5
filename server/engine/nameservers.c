#include "server/engine/nameservers.h"

#include "core/error.h"
#include "core/log.h"
#include "server/engine/keys.h"

#include <sodium.h>
#include <string.h>

struct running {
    struct dns_server_config config;
    struct dns_driver *driver; /* NULL: its key cannot be had */
};
struct nameservers {
    char *keys_dir;
    dns_report_fn report;
    void *data;
    GHashTable *running; /* name -> struct running * */
};

static void config_clear(struct dns_server_config *config)
{
    g_free(config->name);
    g_free(config->zone);
    g_free(config->key_name);
    if (config->key_secret != NULL)
        sodium_memzero(config->key_secret, strlen(config->key_secret));
    g_free(config->key_secret);
    g_free(config->notify);
}

static void running_free(void *data)
{
    struct running *running = data;
    if (running->driver != NULL)
        dns_driver_free(running->driver);
    config_clear(&running->config);
    g_free(running);
}

static bool config_equal(const struct dns_server_config *a, const struct dns_server_config *b)
{
    if (strcmp(a->zone, b->zone) != 0 || !endpoint_equal(&a->address, &b->address) || a->primary != b->primary ||
        strcmp(a->key_name, b->key_name) != 0 || g_strcmp0(a->key_secret, b->key_secret) != 0 ||
        a->n_notify != b->n_notify)
        return false;
    for (unsigned i = 0; i < a->n_notify; i++)
        if (!endpoint_equal(&a->notify[i], &b->notify[i]))
            return false;
    return true;
}

static char *read_secret(const char *keys_dir, const char *key, GError **error)
{
    char *secret = key_read(keys_dir, key, "key", error);
    if (secret == NULL)
        return NULL;
    unsigned char raw[KEY_SIZE_MAX];
    size_t size;
    bool ok = sodium_base642bin(raw, sizeof raw, secret, strlen(secret), NULL, &size, NULL,
                                sodium_base64_VARIANT_ORIGINAL) == 0 &&
              size > 0;
    sodium_memzero(raw, sizeof raw);
    if (ok)
        return secret;
    g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "key %s: %s/%s.key is not one line of base64", key, keys_dir, key);
    sodium_memzero(secret, strlen(secret));
    g_free(secret);
    return NULL;
}

/* Who copies from a primary, and so gets its NOTIFY. */
static struct endpoint *secondaries(const struct inventory *inv, const char *primary, unsigned *n)
{
    GArray *out = g_array_new(FALSE, FALSE, sizeof(struct endpoint));
    INVENTORY_FOREACH (inv, nameserver, ns)
        if (ns->role == NAMESERVER_SECONDARY && g_strcmp0(ns->primary, primary) == 0)
            g_array_append_val(out, ns->address);
    *n = out->len;
    return (struct endpoint *)(void *)g_array_free(out, FALSE);
}

static void report_without_driver(struct nameservers *nameservers, const char *name, bool first, const GError *error)
{
    struct dns_status status = {.state = "unknown", .error = error->message};
    if (first)
        log_warning("name server is not driven; it is tried again with each generation", "nameserver=%s error=\"%s\"",
                    name, error->message);
    nameservers->report(nameservers->data, name, &status);
}

static struct running *running_new(const struct inventory *inv, const struct nameserver *ns)
{
    struct running *running = g_new0(struct running, 1);
    running->config = (struct dns_server_config){
        .name = g_strdup(ns->o.name),
        .zone = g_strdup(ns->zone),
        .address = ns->address,
        .primary = ns->role == NAMESERVER_PRIMARY,
        .key_name = g_strdup(ns->key),
    };
    running->config.notify = secondaries(inv, ns->o.name, &running->config.n_notify);
    return running;
}

/* Makes the driver of an object anew unless the one that runs has the same configuration. */
static struct running *fit(struct nameservers *nameservers, const struct inventory *inv, const struct nameserver *ns)
{
    g_autoptr(GError) error = NULL;
    struct running *old = g_hash_table_lookup(nameservers->running, ns->o.name);
    struct running *fresh = running_new(inv, ns);
    fresh->config.key_secret = read_secret(nameservers->keys_dir, ns->key, &error);
    if (old != NULL && old->driver != NULL && config_equal(&old->config, &fresh->config)) {
        running_free(fresh);
        return old;
    }
    bool first = old == NULL || old->driver != NULL;
    g_hash_table_remove(nameservers->running, ns->o.name); /* before the new one speaks to the same server */
    if (fresh->config.key_secret != NULL)
        fresh->driver = dns_driver_new(&fresh->config, nameservers->report, nameservers->data, &error);
    if (fresh->driver == NULL)
        report_without_driver(nameservers, ns->o.name, first, error);
    g_hash_table_replace(nameservers->running, fresh->config.name, fresh);
    return fresh;
}

static gboolean is_gone(void *name, void *value, void *inv)
{
    (void)value;
    return INVENTORY_GET((const struct inventory *)inv, nameserver, name) == NULL;
}

struct nameservers *nameservers_new(const char *keys_dir, dns_report_fn report, void *data)
{
    struct nameservers *nameservers = g_new0(struct nameservers, 1);
    nameservers->keys_dir = g_strdup(keys_dir);
    nameservers->report = report;
    nameservers->data = data;
    nameservers->running = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, running_free);
    return nameservers;
}

void nameservers_publish(struct nameservers *nameservers, const struct resolved *resolved)
{
    struct inventory *inv = resolved->world->inventory;
    g_hash_table_foreach_remove(nameservers->running, is_gone, inv);
    INVENTORY_FOREACH (inv, nameserver, ns) {
        struct running *running = fit(nameservers, inv, ns);
        const struct zone_records *records = resolved_zone(resolved, ns->zone);
        if (running->driver != NULL && records != NULL)
            dns_driver_set(running->driver, resolved->world->stamp, records);
    }
}

void nameservers_free(struct nameservers *nameservers)
{
    if (nameservers == NULL)
        return;
    g_hash_table_destroy(nameservers->running);
    g_free(nameservers->keys_dir);
    g_free(nameservers);
}
