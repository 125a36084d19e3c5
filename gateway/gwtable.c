#include "gateway/gwtable.h"

#include "core/error.h"
#include "dataplane/dp_api.h"
#include "gateway/bird.h"
#include "schema/addr.h"
#include "schema/table.h"

#include <string.h>

#define BACKEND_FIELDS 5u
#define FIELDS_MAX 8u

/* A line of a backend, until its service is known. */
struct backend {
    char *service;
    struct gwtable_backend told;
    struct dp_backend dp;
};

struct gwtable {
    struct dp_header header;
    struct dp_adjacency adjacencies[DP_ADJACENCIES];
    struct dp_group groups[DP_GROUPS];
    struct dp_local locals[DP_LOCALS];
    GArray *services, *backends; /* of struct gwtable_service, struct gwtable_backend */
    GArray *dp_services, *dp_backends;
    GArray *lines; /* struct backend, as they were read; checks are read before their services, too */
    GHashTable *checks;
    bool is_gateway, out;
    char *before; /* the key of the line before */
    GError *error;
};

/* ---- fields ---- */

static uint64_t hash_of(const char *text)
{
    char hex[PART_HASH_SIZE];
    part_hash(text, strlen(text), hex);
    hex[16] = '\0';
    return g_ascii_strtoull(hex, NULL, 16);
}

static bool number(const char *text, uint64_t max, uint64_t *out)
{
    return g_ascii_string_to_unsigned(text, 10, 0, max, out, NULL);
}

static bool number32(const char *text, uint64_t max, uint32_t *out)
{
    uint64_t value;
    bool good = number(text, max, &value);
    *out = good ? (uint32_t)value : 0;
    return good;
}

static bool ms(const char *text, uint64_t *us)
{
    bool good = number(text, 86400000, us);
    *us *= 1000;
    return good;
}

static bool address(const char *text, uint8_t *bytes, uint8_t *family)
{
    struct addr addr;
    if (!addr_parse(text, &addr))
        return false;
    *family = addr.family == AF_INET ? 4 : 6;
    memset(bytes, 0, 16);
    memcpy(bytes, addr.bytes, *family == 4 ? 4 : 16);
    return true;
}

static bool at(const char *text, uint8_t *bytes, uint8_t *family, uint16_t *port)
{
    struct endpoint endpoint;
    char only[ADDR_TEXT_SIZE];
    if (!endpoint_parse(text, &endpoint))
        return false;
    *port = endpoint.port;
    return address(addr_format(&endpoint.addr, only), bytes, family);
}

/* NN: one text for each place. */
static bool place_of(const char *text, uint32_t max, uint32_t *i)
{
    return strlen(text) == 2 && number32(text, max - 1, i);
}

/* Makes room for a place; the ones between are empty. */
static bool place(const char *text, uint32_t max, uint32_t *n, uint32_t *i)
{
    if (!place_of(text, max, i))
        return false;
    *n = MAX(*n, *i + 1);
    return true;
}

/* A word of an HTTP request; "": none. */
static bool word(const char *text, char **out)
{
    for (const char *c = text; *c != '\0'; c++)
        if (!g_ascii_isgraph(*c))
            return false;
    *out = text[0] != '\0' ? g_strdup(text) : NULL;
    return true;
}

/* ---- lines: rest is what is behind the first / of the key ---- */

static bool read_adjacency(struct gwtable *t, const char *rest, char **f)
{
    uint32_t i, port = 0, mtu = 0;
    uint8_t other;
    if (!place(rest, DP_ADJACENCIES, &t->header.n_adjacencies, &i))
        return false;
    struct dp_adjacency *a = &t->adjacencies[i];
    bool good = number32(f[0], DP_PORTS - 1, &port) && address(f[1], a->own, &a->family) &&
                address(f[2], a->next, &other) && other == a->family && number32(f[3], UINT16_MAX, &mtu);
    a->port = (uint8_t)port;
    a->mtu = (uint16_t)mtu;
    return good;
}

static bool read_backend(struct gwtable *t, const char *rest, char **f)
{
    struct backend b = {0};
    uint32_t slot, way;
    uint8_t family;
    const char *name = strchr(rest, '/');
    bool group = g_str_has_prefix(f[2], "group/");
    bool good = name != NULL && name > rest && name[1] != '\0' && at(f[0], b.dp.address, &family, &b.dp.port) &&
                number32(f[1], DP_BACKENDS - 1, &slot) && (group || g_str_has_prefix(f[2], "adjacency/")) &&
                place_of(strchr(f[2], '/') + 1, group ? DP_GROUPS : DP_ADJACENCIES, &way) &&
                number32(f[3], UINT16_MAX, &b.told.weight) && number32(f[4], UINT32_MAX, &b.dp.limit);
    if (!good)
        return false;
    b.dp.slot = (uint16_t)slot;
    b.dp.way = way | (group ? DP_GROUP : 0);
    b.dp.seed = hash_of(rest);
    b.told.group = group ? (int)way : -1;
    b.service = g_strndup(rest, (gsize)(name - rest));
    b.told.name = g_strdup(name + 1);
    b.told.at = g_strdup(f[0]);
    g_array_append_val(t->lines, b);
    return true;
}

static bool read_bfd(struct gwtable *t, const char *rest, char **f)
{
    uint32_t i, mult = 0;
    if (!place_of(rest, DP_ADJACENCIES, &i) || t->adjacencies[i].family == 0)
        return false;
    struct dp_adjacency *a = &t->adjacencies[i];
    bool good = number32(f[0], UINT32_MAX, &a->min_tx_us) && number32(f[1], UINT32_MAX, &a->min_rx_us) &&
                number32(f[2], UINT8_MAX, &mult) && mult > 0;
    a->mult = (uint8_t)mult;
    return good;
}

static bool read_check(struct gwtable *t, const char *rest, char **f)
{
    static const char *const kinds[] = {"tcp", "http", "udp", NULL};
    struct gwtable_service s = {.checked = true};
    uint64_t interval, timeout, slow;
    unsigned kind = 0;
    while (kinds[kind] != NULL && strcmp(kinds[kind], f[0]) != 0)
        kind++;
    bool good = kinds[kind] != NULL && ms(f[1], &interval) && ms(f[2], &timeout) && timeout > 0 &&
                timeout <= interval && number32(f[3], 1000, &s.limits.rise) && s.limits.rise > 0 &&
                number32(f[4], 1000, &s.limits.fall) && s.limits.fall > 0 && ms(f[5], &slow);
    if (!good || !word(f[6], &s.host) || !word(f[7], &s.path)) {
        g_free(s.host);
        return false;
    }
    s.kind = (enum gwtable_kind)kind;
    s.limits.interval_us = (int64_t)interval;
    s.limits.timeout_us = (int64_t)timeout;
    s.limits.slow_start_us = (int64_t)slow;
    g_hash_table_insert(t->checks, g_strdup(rest), g_memdup2(&s, sizeof s));
    return true;
}

static bool read_class(struct gwtable *t, const char *rest, char **f)
{
    t->is_gateway = strcmp(f[0], "gateway") == 0;
    return rest[0] == '\0' && t->is_gateway;
}

static bool read_gateway(struct gwtable *t, const char *rest, char **f)
{
    t->out = strcmp(f[0], "out") == 0;
    return rest[0] == '\0' && (t->out || strcmp(f[0], "in") == 0);
}

static bool read_group(struct gwtable *t, const char *rest, char **f)
{
    uint32_t i;
    if (!place(rest, DP_GROUPS, &t->header.n_groups, &i))
        return false;
    struct dp_group *g = &t->groups[i];
    return ms(f[0], &g->restore_us) && ms(f[1], &g->restore_max_us) && ms(f[2], &g->calm_us) &&
           ms(f[3], &g->suspect_us);
}

static bool read_line(struct gwtable *t, const char *rest, char **f)
{
    uint32_t i;
    if (!place_of(rest, DP_ADJACENCIES, &i) || t->adjacencies[i].family == 0)
        return false;
    struct dp_adjacency *a = &t->adjacencies[i];
    g_autofree char *name = g_strconcat("line/", rest, NULL);
    a->seed = hash_of(name);
    return number32(f[0], DP_GROUPS - 1, &a->group) && number32(f[1], UINT32_MAX, &a->preference) &&
           number32(f[2], UINT16_MAX, &a->weight) && a->weight > 0 && number(f[3], UINT64_MAX, &a->srlg);
}

/* Those must be without holes: they are never taken away. */
static bool read_local(struct gwtable *t, const char *rest, char **f)
{
    uint32_t i, before = t->header.n_locals;
    return place(rest, DP_LOCALS, &t->header.n_locals, &i) && i == before &&
           address(f[0], t->locals[i].address, &t->locals[i].family);
}

static bool read_peer(struct gwtable *t, const char *rest, char **f)
{
    uint32_t i;
    if (!place_of(rest, DP_ADJACENCIES, &i) || t->adjacencies[i].mult == 0 || t->adjacencies[i].group != DP_NONE)
        return false;
    t->adjacencies[i].peer = 1;
    return f[0][0] != '\0';
}

static bool read_seed(struct gwtable *t, const char *rest, char **f)
{
    g_autofree char *first = g_strndup(f[0], 16);
    const char *second = f[0] + strlen(first);
    (void)rest;
    return strlen(f[0]) == 32 && g_ascii_string_to_unsigned(first, 16, 0, UINT64_MAX, &t->header.seed[0], NULL) &&
           g_ascii_string_to_unsigned(second, 16, 0, UINT64_MAX, &t->header.seed[1], NULL);
}

static bool flags(const char *text, uint32_t *out)
{
    *out = 0;
    if (strcmp(text, "-") == 0)
        return true;
    for (const char *c = text; *c != '\0'; c++) {
        uint32_t flag = *c == 't' ? DP_TOA : *c == 'p' ? DP_PROXY : *c == 'r' ? DP_IN_TURN : 0;
        if (flag == 0 || (*out & flag) != 0)
            return false;
        *out |= flag;
    }
    return *out != 0;
}

static bool read_service(struct gwtable *t, const char *rest, char **f)
{
    struct dp_service dp = {0};
    bool tcp = strcmp(f[1], "tcp") == 0, vip = strcmp(f[3], "-") != 0;
    if (!at(f[0], dp.address, &dp.family, &dp.port) || (!tcp && strcmp(f[1], "udp") != 0) || !flags(f[2], &dp.flags) ||
        (vip && !bird_name_good(f[3])) || t->services->len == DP_SERVICES)
        return false;
    dp.proto = tcp ? 6 : 17; /* of IP */
    const struct gwtable_service *check = g_hash_table_lookup(t->checks, rest);
    struct gwtable_service s = check != NULL ? *check : (struct gwtable_service){0};
    s.name = g_strdup(rest);
    s.at = g_strdup(f[0]);
    s.vip = vip ? g_strdup(f[3]) : NULL;
    s.host = g_strdup(s.host);
    s.path = g_strdup(s.path);
    g_array_append_val(t->services, s);
    g_array_append_val(t->dp_services, dp);
    return true;
}

static const struct kind {
    const char *name;
    unsigned fields;
    bool (*read)(struct gwtable *, const char *, char **);
    const char *expected;
} kinds[] = {
    {"adjacency", 4, read_adjacency, "adjacency/NN PORT|OWN|NEXT|MTU"},
    {"backend", BACKEND_FIELDS, read_backend, "backend/SERVICE/NAME ADDRESS:PORT|SLOT|WAY|WEIGHT|LIMIT"},
    {"bfd", 3, read_bfd, "bfd/NN TX_US|RX_US|MULT of an adjacency"},
    {"check", FIELDS_MAX, read_check, "check/SERVICE KIND|INTERVAL_MS|TIMEOUT_MS|RISE|FALL|SLOW_START_MS|HOST|PATH"},
    {"class", 1, read_class, "class gateway"},
    {"gateway", 1, read_gateway, "gateway in or out"},
    {"group", 4, read_group, "group/NN RESTORE_MS|RESTORE_MAX_MS|CALM_MS|SUSPECT_MS"},
    {"line", 4, read_line, "line/NN GROUP|PREFERENCE|WEIGHT|SRLG of an adjacency"},
    {"local", 1, read_local, "local/NN ADDRESS, without gaps"},
    {"peer", 1, read_peer, "peer/NN GATEWAY of an adjacency with BFD that is no line"},
    {"seed", 1, read_seed, "seed and 32 hex digits"},
    {"service", 4, read_service, "service/NAME ADDRESS:PORT|tcp or udp|FLAGS|VIP"},
};

static const struct kind *kind_of(const char *key)
{
    size_t size = strcspn(key, "/");
    for (unsigned i = 0; i < G_N_ELEMENTS(kinds); i++)
        if (strlen(kinds[i].name) == size && strncmp(kinds[i].name, key, size) == 0)
            return &kinds[i];
    return NULL;
}

static void on_line(void *data, const char *key, const char *value)
{
    struct gwtable *t = data;
    if (t->error != NULL)
        return;
    const struct kind *kind = kind_of(key);
    g_auto(GStrv) fields = g_strsplit(value, "|", -1);
    const char *slash = strchr(key, '/');
    bool in_order = t->before == NULL || strcmp(t->before, key) < 0;
    if (!in_order)
        t->error = g_error_new(SB_ERROR, SB_ERROR_INVALID, "gateway table: found %s behind %s, expected keys in order",
                               key, t->before);
    else if (kind == NULL || g_strv_length(fields) != kind->fields ||
             !kind->read(t, slash != NULL ? slash + 1 : "", fields))
        t->error = g_error_new(SB_ERROR, SB_ERROR_INVALID, "gateway table: found '%.100s %.200s', expected %s", key,
                               value, kind != NULL ? kind->expected : "a known key");
    g_free(t->before);
    t->before = g_strdup(key);
}

/* ---- the whole ---- */

static void clear_service(void *data)
{
    struct gwtable_service *s = data;
    g_free(s->name);
    g_free(s->at);
    g_free(s->vip);
    g_free(s->host);
    g_free(s->path);
}

static void clear_line(void *data)
{
    struct backend *b = data;
    g_free(b->service);
    g_free(b->told.name);
    g_free(b->told.at);
}

static void free_check(void *data)
{
    clear_service(data);
    g_free(data);
}

/* Backends behind their services, in the services' order. */
static void put_together(struct gwtable *t)
{
    unsigned taken = 0;
    for (unsigned s = 0; s < t->services->len; s++) {
        const struct gwtable_service *service = &g_array_index(t->services, struct gwtable_service, s);
        struct dp_service *dp = &g_array_index(t->dp_services, struct dp_service, s);
        dp->first_backend = t->backends->len;
        for (unsigned i = 0; i < t->lines->len; i++) {
            struct backend *b = &g_array_index(t->lines, struct backend, i);
            if (strcmp(b->service, service->name) != 0)
                continue;
            b->told.service = s;
            g_array_append_val(t->backends, b->told);
            g_array_append_val(t->dp_backends, b->dp);
            taken++;
        }
        dp->n_backends = t->backends->len - dp->first_backend;
    }
    if (taken != t->lines->len)
        t->error = g_error_new(SB_ERROR, SB_ERROR_INVALID,
                               "gateway table: found %u backends of %u services, expected "
                               "each backend's service to be there",
                               t->lines->len - taken, t->services->len);
    if (t->lines->len > DP_BACKENDS && t->error == NULL)
        t->error = g_error_new(SB_ERROR, SB_ERROR_INVALID, "gateway table: found %u backends, expected at most %u",
                               t->lines->len, DP_BACKENDS);
    t->header.n_services = t->services->len;
    t->header.n_backends = t->backends->len;
}

static struct gwtable *table_new(void)
{
    struct gwtable *t = g_new0(struct gwtable, 1);
    for (unsigned i = 0; i < DP_ADJACENCIES; i++)
        t->adjacencies[i].group = DP_NONE;
    t->services = g_array_new(FALSE, FALSE, sizeof(struct gwtable_service));
    t->backends = g_array_new(FALSE, FALSE, sizeof(struct gwtable_backend));
    t->dp_services = g_array_new(FALSE, FALSE, sizeof(struct dp_service));
    t->dp_backends = g_array_new(FALSE, FALSE, sizeof(struct dp_backend));
    t->lines = g_array_new(FALSE, FALSE, sizeof(struct backend));
    t->checks = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, free_check);
    g_array_set_clear_func(t->services, clear_service);
    g_array_set_clear_func(t->lines, clear_line);
    return t;
}

struct gwtable *gwtable_parse(const char *text, gsize size, GError **error)
{
    struct gwtable *t = table_new();
    part_foreach(text, size, on_line, t);
    if (t->error == NULL && !t->is_gateway)
        t->error =
            g_error_new(SB_ERROR, SB_ERROR_INVALID, "gateway table: found no line class, expected class gateway");
    if (t->error == NULL)
        put_together(t);
    if (t->error == NULL)
        return t;
    g_propagate_error(error, g_steal_pointer(&t->error));
    gwtable_free(t);
    return NULL;
}

void gwtable_free(struct gwtable *t)
{
    if (t == NULL)
        return;
    GArray *const arrays[] = {t->services, t->backends, t->dp_services, t->dp_backends, t->lines};
    for (unsigned i = 0; i < G_N_ELEMENTS(arrays); i++)
        g_array_unref(arrays[i]);
    g_hash_table_unref(t->checks);
    g_free(t->before);
    g_free(t);
}

struct gwtable *gwtable_of_probes(const struct gwtable *table, int64_t interval_us)
{
    struct gwtable *t = table_new();
    for (unsigned i = 0; i < table->services->len; i++) {
        struct gwtable_service s = g_array_index(table->services, struct gwtable_service, i);
        struct backend self = {.service = g_strdup(s.name), .told = {g_strdup("itself"), g_strdup(s.at), i, 1, -1}};
        s.checked = s.checked && s.vip != NULL;
        s.limits.interval_us = s.limits.timeout_us = interval_us;
        s.limits.slow_start_us = 0;
        s.name = g_strdup(s.name);
        s.at = g_strdup(s.at);
        s.vip = g_strdup(s.vip);
        s.host = g_strdup(s.host);
        s.path = g_strdup(s.path);
        g_array_append_val(t->services, s);
        g_array_append_val(t->lines, self); /* its owner */
        g_array_append_val(t->backends, self.told);
    }
    return t;
}

bool gwtable_is_out(const struct gwtable *t)
{
    return t->out;
}

const struct gwtable_service *gwtable_services(const struct gwtable *t, unsigned *n)
{
    *n = t->services->len;
    return (const struct gwtable_service *)(void *)t->services->data;
}

const struct gwtable_backend *gwtable_backends(const struct gwtable *t, unsigned *n)
{
    *n = t->backends->len;
    return (const struct gwtable_backend *)(void *)t->backends->data;
}

GByteArray *gwtable_message(const struct gwtable *t, uint64_t generation, const uint32_t *weights)
{
    GByteArray *m = g_byte_array_new();
    struct dp_header h = t->header;
    h.magic = DP_MAGIC;
    h.version = DP_VERSION;
    h.generation = generation;
    h.size = (uint32_t)(sizeof h + h.n_adjacencies * sizeof *t->adjacencies + h.n_groups * sizeof *t->groups +
                        h.n_locals * sizeof *t->locals + h.n_services * sizeof(struct dp_service) +
                        h.n_backends * sizeof(struct dp_backend));
    g_byte_array_append(m, (const guint8 *)&h, sizeof h);
    g_byte_array_append(m, (const guint8 *)t->adjacencies, h.n_adjacencies * (guint)sizeof *t->adjacencies);
    g_byte_array_append(m, (const guint8 *)t->groups, h.n_groups * (guint)sizeof *t->groups);
    g_byte_array_append(m, (const guint8 *)t->locals, h.n_locals * (guint)sizeof *t->locals);
    g_byte_array_append(m, (const guint8 *)t->dp_services->data, h.n_services * (guint)sizeof(struct dp_service));
    for (unsigned i = 0; i < h.n_backends; i++) {
        struct dp_backend b = g_array_index(t->dp_backends, struct dp_backend, i);
        b.weight = weights[i];
        g_byte_array_append(m, (const guint8 *)&b, sizeof b);
    }
    return m;
}
