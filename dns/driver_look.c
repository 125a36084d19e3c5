/* driver_look.c: what the driver's server shows, and how long others may have kept what it showed before. */
#include "dns/driver_internal.h"

#include <stdlib.h>

#include "core/error.h"
#include "core/loop.h"

#define LOOK_AGAIN_US 200000 /* with READBACK_SILENCE_MS: a server that is back is seen within 1 s */
#define DISTURBED_US 2000000 /* the serial of a busy zone always moves: all names are read for it this often */

/* ---- names ---- */

/* RFC 2308 5: "there is none" lives as long as the SOA's TTL and minimum allow. */
static uint32_t lifetime_s(const struct dns_driver *driver, const struct rrset *old)
{
    return rrset_absent(old) ? driver->negative_ttl : old->ttl;
}

static void take_answer(void *data, struct rrset *set)
{
    struct dns_driver *driver = data;
    char *key = rrset_key(set);
    const struct rrset *old = g_hash_table_lookup(driver->seen, key);
    if (old != NULL && !update_same(old, set)) {
        driver->status.names++;
        /* The old set may have been given out until a moment ago. */
        int64_t gone_us = loop_now_us() + (int64_t)lifetime_s(driver, old) * 1000000;
        driver->status.residual_until_us = MAX(driver->status.residual_until_us, gone_us);
    }
    g_hash_table_remove(driver->doubt, key);
    g_hash_table_replace(driver->seen, key, set);
}

const struct rrset *look_seen(const struct dns_driver *driver, const struct rrset *expected)
{
    g_autofree char *key = rrset_key(expected);
    return g_hash_table_lookup(driver->seen, key);
}

bool look_matches(const struct dns_driver *driver, const struct rrset *expected)
{
    const struct rrset *seen = look_seen(driver, expected);
    return seen != NULL && update_same(seen, expected);
}

const struct rrset *look_first_mismatch(const struct dns_driver *driver, struct rrset *const *sets, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        if (!look_matches(driver, sets[i]))
            return sets[i];
    return NULL;
}

/* What is known of a set stays known until an update touched it, somebody else may have, or the audit is due. A
 * secondary changes without us: there, what does not match is read again. */
static bool must_read(const struct dns_driver *driver, const struct rrset *expected)
{
    g_autofree char *key = rrset_key(expected);
    return driver->doubt_all || !g_hash_table_contains(driver->seen, key) ||
           g_hash_table_contains(driver->doubt, key) || (!driver->config.primary && !look_matches(driver, expected));
}

bool look_sets(struct dns_driver *driver, struct rrset *const *sets, unsigned n, GError **error)
{
    return readback_ask(driver->readback, sets, n, take_answer, driver, error);
}

/* What the server showed before it was looked at for the first time, or what another driver has just replaced, is not
 * known: that it was something else until now is assumed. */
static uint32_t longest_ttl(const struct dns_driver *driver)
{
    GHashTableIter iter;
    gpointer set;
    uint32_t ttl = 0;
    g_hash_table_iter_init(&iter, driver->seen);
    while (g_hash_table_iter_next(&iter, NULL, &set))
        if (!rrset_absent(set))
            ttl = MAX(ttl, ((struct rrset *)set)->ttl);
    return ttl;
}

bool look_names(struct dns_driver *driver, GError **error)
{
    g_autoptr(GPtrArray) questions = g_ptr_array_new();
    for (unsigned i = 0; i < driver->expected->len; i++)
        if (must_read(driver, driver->expected->pdata[i]))
            g_ptr_array_add(questions, driver->expected->pdata[i]);
    if (!look_sets(driver, (struct rrset *const *)questions->pdata, questions->len, error))
        return false;
    if (driver->doubt_all) {
        driver->read_serial = driver->serial; /* from before: what is written meanwhile is seen at the next look */
        driver->read_us = loop_now_us();
    }
    driver->doubt_all = false;
    if (!driver->looked)
        driver->replaced_ttl = MAX(driver->replaced_ttl, longest_ttl(driver));
    driver->looked = true;
    return true;
}

/* ---- sentinel, serial ---- */

static void take_set(void *data, struct rrset *set)
{
    rrset_delete(*(struct rrset **)data);
    *(struct rrset **)data = set;
}

struct rrset *look_one(struct dns_driver *driver, const char *owner, uint16_t type, GError **error)
{
    struct rrset question = {.owner = (char *)owner, .type = type}, *const questions[] = {&question};
    struct rrset *answer = NULL;
    if (readback_ask(driver->readback, questions, 1, take_set, &answer, error))
        return answer;
    rrset_delete(answer);
    return NULL;
}

static void take_soa(struct dns_driver *driver, const struct rrset *set)
{
    if (rrset_absent(set))
        return;
    g_auto(GStrv) fields = g_strsplit(set->rdata[0], " ", -1); /* names, serial, refresh, retry, expire, minimum */
    if (g_strv_length(fields) != 7)
        return;
    driver->serial = (uint32_t)strtoul(fields[2], NULL, 10);
    driver->negative_ttl = MIN(set->ttl, (uint32_t)strtoul(fields[6], NULL, 10));
}

struct head {
    struct rrset *soa, *sentinel;
};

static void take_head(void *data, struct rrset *set)
{
    struct head *head = data;
    take_set(set->type == KNOT_RRTYPE_SOA ? &head->soa : &head->sentinel, set);
}

bool look_head(struct dns_driver *driver, char **held, GError **error)
{
    g_autofree char *owner = fence_owner(driver->config.zone);
    struct rrset questions[] = {{.owner = driver->config.zone, .type = KNOT_RRTYPE_SOA},
                                {.owner = owner, .type = KNOT_RRTYPE_TXT}},
                 *const asked[] = {&questions[0], &questions[1]};
    struct head head = {0};
    bool ok = readback_ask(driver->readback, asked, G_N_ELEMENTS(asked), take_head, &head, error);
    if (ok) {
        take_soa(driver, head.soa);
        /* Several texts are no sentinel: refused. */
        *held = rrset_absent(head.sentinel) ? NULL : g_strjoinv("\", \"", head.sentinel->rdata);
    }
    rrset_delete(head.soa);
    rrset_delete(head.sentinel);
    return ok;
}

bool look_disturbed(const struct dns_driver *driver)
{
    return driver->serial != driver->read_serial && loop_now_us() - driver->read_us >= DISTURBED_US;
}

int64_t look_lost(struct dns_driver *driver, const GError *error)
{
    driver->doubt_all = true;
    if (driver_stopping(driver))
        return 0;
    bool silent = g_error_matches(error, SB_ERROR, SB_ERROR_UNREACHABLE);
    driver_say(driver, driver->outstanding != NULL ? "unknown" : silent ? "unreachable" : "refused", error->message);
    return LOOK_AGAIN_US;
}
