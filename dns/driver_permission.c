/* driver_permission.c: what an access list allows, asked of the server itself, because servers word it alike: Knot
 * says BADKEY for a type that the key may not change, BIND says REFUSED for everything.
 *
 * The questions are updates that cannot take effect: their prerequisite is a sentinel with a text that none has.
 */
#include "dns/driver_permission.h"

#include <sys/random.h>
#include <time.h>

#include "dns/exchange.h"

#define NEVER_HELD "-" /* fence_parse takes it for no sentinel's text, and nobody writes it */

enum permission { PERMITTED, DENIED, NOT_TOLD };

/* May the key change this type at this name? owner NULL: anything at all? */
static enum permission ask(struct dns_driver *driver, const char *owner, uint16_t type)
{
    struct rrset set = {.owner = (char *)owner, .type = type, .rdata = (char *[]){NULL}}, *const sets[] = {&set};
    struct update update = {driver->config.zone, NEVER_HELD, NULL, sets, owner != NULL};
    struct message message = {0};
    uint16_t id = 0;
    if (getrandom(&id, sizeof id, 0) != sizeof id ||
        !update_encode(&update, id, &driver->key, (uint64_t)time(NULL), &message, NULL))
        return NOT_TOLD;
    g_autoptr(GByteArray) answer =
        exchange_message(driver->tcp_fd, message.wire, message.size, PERMISSION_MS, driver->stop_fd, NULL);
    enum permission permission = NOT_TOLD;
    if (answer != NULL) {
        g_autofree char *reason = NULL;
        enum update_outcome outcome =
            response_judge(&message, &driver->key, driver->config.zone, answer->data, answer->len, &reason);
        if (outcome == UPDATE_REJECTED)
            permission = DENIED;
        else if (outcome != UPDATE_UNKNOWN)
            permission = PERMITTED;
    }
    message_clear(&message);
    return permission;
}

static const uint16_t types[] = {KNOT_RRTYPE_A, KNOT_RRTYPE_AAAA, KNOT_RRTYPE_CNAME, KNOT_RRTYPE_TXT};

static const char *owner_of(const struct update *refused, uint16_t type)
{
    for (unsigned i = 0; i < refused->n; i++)
        if (refused->sets[i]->type == type)
            return refused->sets[i]->owner;
    return refused->n > 0 ? refused->sets[0]->owner : NULL;
}

/* Names of the types that are denied, with a comma between; NULL: the server does not say. */
static char *denied_types(struct dns_driver *driver, const struct update *refused, unsigned *n_denied)
{
    g_autofree char *sentinel = fence_owner(driver->config.zone);
    g_autoptr(GString) text = g_string_new(NULL);
    *n_denied = 0;
    for (unsigned i = 0; i < G_N_ELEMENTS(types); i++) {
        const char *owner = types[i] == KNOT_RRTYPE_TXT ? sentinel : owner_of(refused, types[i]);
        enum permission permission = ask(driver, owner != NULL ? owner : driver->config.zone, types[i]);
        if (permission == NOT_TOLD)
            return NULL;
        if (permission == DENIED)
            g_string_append_printf(text, "%s%s", (*n_denied)++ == 0 ? "" : ", ", rrtype_name(types[i]));
    }
    return g_strdup(text->str);
}

char *permission_explain(struct dns_driver *driver, const struct update *refused, enum response_cause cause)
{
    if (cause == RESPONSE_OTHER || ask(driver, NULL, 0) != PERMITTED)
        return NULL;
    unsigned n_denied;
    g_autofree char *denied = denied_types(driver, refused, &n_denied);
    if (denied == NULL || n_denied == G_N_ELEMENTS(types))
        return NULL;
    if (n_denied > 0)
        return g_strdup_printf("access list: the server lets key %s update %s, but not records of type %s; allow A, "
                               "AAAA, CNAME and TXT there",
                               driver->config.key_name, driver->config.zone, denied);
    return g_strdup_printf("access list: the server lets key %s update %s, but refuses this update, the first set "
                           "being %s; allow every name of the zone there",
                           driver->config.key_name, driver->config.zone,
                           refused->n > 0 ? refused->sets[0]->owner : "none");
}
