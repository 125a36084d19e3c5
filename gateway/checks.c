#include "gateway/checks.h"

#include "gateway/asker.h"

#include <string.h>

struct check {
    struct checks *checks;
    char *key; /* service, name and address */
    struct health health;
    struct asker *asker; /* NULL: it is not checked */
};
struct checks {
    struct loop *loop;
    struct loop_timer *timer;
    checks_fn fn;
    void *data;
    const struct gwtable *table;
    GPtrArray *all; /* struct check *, as the table's backends */
};

static void check_free(void *data)
{
    struct check *c = data;
    asker_free(c->asker);
    g_free(c->key);
    g_free(c);
}

static const struct gwtable_backend *backend_of(const struct checks *checks, guint i)
{
    unsigned n;
    return &gwtable_backends(checks->table, &n)[i];
}

static const struct gwtable_service *service_of(const struct checks *checks, guint i)
{
    unsigned n;
    return &gwtable_services(checks->table, &n)[backend_of(checks, i)->service];
}

static guint place_of(const struct check *c)
{
    guint i = 0;
    g_ptr_array_find(c->checks->all, c, &i);
    return i;
}

static void arm(struct checks *checks)
{
    int64_t now_us = loop_now_us(), next_us = HEALTH_NEVER;
    for (guint i = 0; i < checks->all->len; i++) {
        const struct check *c = checks->all->pdata[i];
        if (c->asker == NULL)
            continue;
        int64_t changes_us = health_changes_us(&c->health, &service_of(checks, i)->limits, now_us);
        next_us = MIN(next_us, MIN(c->health.next_us, changes_us));
    }
    loop_timer_disarm(checks->timer);
    if (next_us != HEALTH_NEVER)
        loop_timer_arm(checks->timer, next_us);
}

static void tell_state(struct check *c, guint i)
{
    const struct gwtable_backend *backend = backend_of(c->checks, i);
    bool down = c->health.state == HEALTH_DOWN;
    g_autofree char *text =
        g_strdup_printf("backend %s of %s is %s%s%s", backend->name, service_of(c->checks, i)->name,
                        health_state_name(c->health.state), down ? ": " : "", down ? c->health.why : "");
    c->checks->fn(c->checks->data, text);
}

static void on_asked(void *data, const char *why)
{
    struct check *c = data;
    guint i = place_of(c);
    bool changed = health_result(&c->health, &service_of(c->checks, i)->limits, why, loop_now_us());
    arm(c->checks);
    if (changed)
        tell_state(c, i);
}

/* Begins what is to begin now; a state may change by what did not end in time. */
static void turn(struct check *c, guint i, int64_t now_us)
{
    enum health_state before = c->health.state;
    if (health_turn(&c->health, &service_of(c->checks, i)->limits, now_us))
        asker_start(c->asker);
    else if (!c->health.asking)
        asker_stop(c->asker);
    if (c->health.state != before)
        tell_state(c, i);
}

static void on_timer(void *data)
{
    struct checks *checks = data;
    int64_t now_us = loop_now_us();
    bool slow = false;
    for (guint i = 0; i < checks->all->len; i++) {
        struct check *c = checks->all->pdata[i];
        if (c->asker == NULL)
            continue;
        slow = slow || c->health.slow;
        turn(c, i, now_us);
    }
    arm(checks);
    if (slow)
        checks->fn(checks->data, NULL);
}

struct checks *checks_new(struct loop *loop, checks_fn fn, void *data)
{
    struct checks *checks = g_new0(struct checks, 1);
    *checks = (struct checks){.loop = loop, .fn = fn, .data = data};
    checks->all = g_ptr_array_new_with_free_func(check_free);
    checks->timer = loop_timer_new(loop, on_timer, checks);
    return checks;
}

void checks_free(struct checks *checks)
{
    if (checks == NULL)
        return;
    g_ptr_array_unref(checks->all);
    loop_timer_free(checks->timer);
    g_free(checks);
}

/* ---- a table ---- */

static struct asker *asker_of(struct check *c, const struct gwtable_service *service,
                              const struct gwtable_backend *backend)
{
    static const enum asker_kind kinds[] = {
        [GWTABLE_TCP] = ASKER_TCP, [GWTABLE_HTTP] = ASKER_HTTP, [GWTABLE_UDP] = ASKER_UDP};
    struct asker_question question = {
        .kind = kinds[service->kind], .host = service->host, .path = service->path != NULL ? service->path : "/"};
    endpoint_parse(backend->at, &question.at); /* gwtable_parse has seen it */
    return asker_new(c->checks->loop, &question, on_asked, c);
}

/* What is known of it, from the table before; what was asked then is given up. */
static void take_over(struct check *c, const GHashTable *known, int64_t now_us)
{
    const struct check *before = g_hash_table_lookup((GHashTable *)known, c->key);
    if (before == NULL || before->asker == NULL)
        return;
    c->health = before->health;
    if (c->health.asking)
        c->health.next_us = now_us;
    c->health.asking = false;
}

static struct check *check_new(struct checks *checks, const struct gwtable_service *service,
                               const struct gwtable_backend *backend, const GHashTable *known)
{
    struct check *c = g_new0(struct check, 1);
    int64_t now_us = loop_now_us();
    c->checks = checks;
    c->key = g_strdup_printf("%s/%s %s", service->name, backend->name, backend->at);
    if (!service->checked)
        return c;
    health_init(&c->health, &service->limits, g_str_hash(c->key), now_us);
    take_over(c, known, now_us);
    c->asker = asker_of(c, service, backend);
    return c;
}

void checks_set(struct checks *checks, const struct gwtable *table)
{
    g_autoptr(GPtrArray) before = checks->all;
    g_autoptr(GHashTable) known = g_hash_table_new(g_str_hash, g_str_equal);
    for (guint i = 0; i < before->len; i++)
        g_hash_table_insert(known, ((struct check *)before->pdata[i])->key, before->pdata[i]);
    checks->all = g_ptr_array_new_with_free_func(check_free);
    checks->table = table;
    unsigned n = 0;
    if (table != NULL)
        gwtable_backends(table, &n);
    for (unsigned i = 0; i < n; i++)
        g_ptr_array_add(checks->all, check_new(checks, service_of(checks, i), backend_of(checks, i), known));
    arm(checks);
}

/* ---- what is known ---- */

static uint32_t weight_of(const struct checks *checks, guint i, int64_t now_us)
{
    const struct check *c = checks->all->pdata[i];
    uint32_t full = backend_of(checks, i)->weight;
    return c->asker == NULL ? full : health_weight(&c->health, &service_of(checks, i)->limits, full, now_us);
}

void checks_weights(const struct checks *checks, uint32_t *weights)
{
    int64_t now_us = loop_now_us();
    for (guint i = 0; i < checks->all->len; i++)
        weights[i] = weight_of(checks, i, now_us);
}

unsigned checks_up(const struct checks *checks, unsigned service)
{
    unsigned up = 0;
    for (guint i = 0; i < checks->all->len; i++) {
        const struct check *c = checks->all->pdata[i];
        up += backend_of(checks, i)->service == service && (c->asker == NULL || c->health.state != HEALTH_DOWN);
    }
    return up;
}

bool checks_lost(const struct checks *checks, unsigned service)
{
    uint64_t good = 0;
    for (guint i = 0; i < checks->all->len; i++) {
        const struct check *c = checks->all->pdata[i];
        good += backend_of(checks, i)->service == service && c->asker != NULL ? c->health.good : 0;
    }
    return good > 0 && checks_up(checks, service) == 0;
}

json_t *checks_to_json(const struct checks *checks, bool all)
{
    json_t *list = json_array();
    int64_t now_us = loop_now_us();
    for (guint i = 0; i < checks->all->len; i++) {
        const struct check *c = checks->all->pdata[i];
        const struct health *h = &c->health;
        if (c->asker == NULL && !all)
            continue;
        json_array_append_new(list, json_pack("{s:s,s:s,s:s,s:I,s:I,s:I,s:s}", "service", service_of(checks, i)->name,
                                              "backend", backend_of(checks, i)->name, "state",
                                              c->asker == NULL ? "up" : health_state_name(h->state), "weight",
                                              (json_int_t)weight_of(checks, i, now_us), "good", (json_int_t)h->good,
                                              "bad", (json_int_t)h->bad, "why", h->why));
    }
    return list;
}
