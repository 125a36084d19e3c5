/* gwtable.h: what a gateway is told; that its forwarder takes what is made of it is asked of the forwarder's own code.
 */
#include "gateway/gwtable.h"

#include "core/error.h"
#include "dataplane/fib.h"
#include "tests/unit/unit.h"

#include <string.h>

#define PORTS 3u

static const char whole[] = "adjacency/00 0|192.0.2.1|192.0.2.2|1500\n"
                            "adjacency/02 1|172.16.1.1|172.16.1.2|0\n"
                            "adjacency/03 2|2001:db8::1|2001:db8::2|0\n"
                            "adjacency/04 2|2001:db8::1|2001:db8::3|0\n"
                            "backend/home/b1 10.0.0.9:8080|0|adjacency/00|100|0\n"
                            "backend/home/b2 10.0.0.10:8080|7|group/01|50|5000\n"
                            "backend/voice/v [2001:db8:1::9]:5060|8|adjacency/03|1|0\n"
                            "bfd/02 10000|10000|3\n"
                            "bfd/04 50000|50000|3\n"
                            "check/home http|2000|500|3|2|20000|home.example.test|/health\n"
                            "class gateway\n"
                            "gateway out\n"
                            "group/01 1000|8000|10000|100\n"
                            "line/02 1|10|1|3\n"
                            "local/00 10.0.0.1\n"
                            "local/01 2001:db8::11\n"
                            "peer/04 gw-2\n"
                            "seed 00112233445566778899aabbccddeeff\n"
                            "service/empty 198.51.100.9:80|tcp|r|-\n"
                            "service/home 198.51.100.1:80|tcp|tp|vip_home\n"
                            "service/voice [2001:db8:2::1]:5060|udp|-|vip_voice\n";

static struct fib *fib_of(const struct gwtable *table, uint64_t generation, const uint32_t *weights)
{
    char reason[FIB_REASON] = "";
    g_autoptr(GByteArray) message = gwtable_message(table, generation, weights);
    struct fib *fib = fib_new(message->data, message->len, PORTS, reason);
    ck_assert_msg(fib != NULL, "%s", reason);
    return fib;
}

START_TEST(a_forwarder_takes_it)
{
    g_autoptr(GError) error = NULL;
    sb_auto(gwtable) table = gwtable_parse(whole, sizeof whole - 1, &error);
    ck_assert_msg(table != NULL, "%s", error != NULL ? error->message : "");
    struct fib *fib = fib_of(table, 42, (const uint32_t[]){100, 50, 1});
    ck_assert_uint_eq(fib->header.generation, 42);
    ck_assert_uint_eq(fib->header.seed[0], 0x0011223344556677);
    ck_assert_uint_eq(fib->header.seed[1], 0x8899aabbccddeeff);
    ck_assert_uint_eq(fib->header.n_adjacencies, 5);
    ck_assert_uint_eq(fib->adjacencies[1].family, 0); /* an empty place */
    ck_assert_uint_eq(fib->adjacencies[2].mult, 3);
    ck_assert_uint_eq(fib->adjacencies[2].group, 1);
    ck_assert_uint_eq(fib->adjacencies[2].srlg, 3);
    ck_assert_uint_eq(fib->adjacencies[3].family, 6);
    ck_assert(fib->adjacencies[4].peer == 1 && fib->adjacencies[3].peer == 0);
    ck_assert_uint_eq(fib->header.n_groups, 2);
    ck_assert_uint_eq(fib->groups[1].calm_us, 10000000);
    ck_assert_uint_eq(fib->header.n_locals, 2);
    ck_assert_uint_eq(fib->services.n, 3);
    const struct nat_service *home = &fib->services.services[1], *voice = &fib->services.services[2];
    ck_assert_uint_eq(fib->services.services[0].n_pick, 0);
    ck_assert_uint_eq(fib->services.services[0].flags, NAT_IN_TURN);
    ck_assert_uint_eq(home->flags, NAT_TOA | NAT_PROXY);
    ck_assert_mem_eq(home->address, ((const uint8_t[]){198, 51, 100, 1}), 4);
    ck_assert_uint_eq(home->backends[1].slot, 7);
    ck_assert_uint_eq(home->backends[1].limit, 5000);
    ck_assert_uint_eq(home->backends[1].adjacency, DP_ADJACENCIES + 1);
    ck_assert_uint_eq(voice->proto, PROTO_UDP);
    ck_assert_uint_eq(voice->backends[0].adjacency, 3);
    unsigned first = 0;
    for (uint32_t i = 0; i < home->n_pick; i++)
        first += home->pick[i] == 0;
    ck_assert_double_eq_tol((double)first / home->n_pick, 2.0 / 3, 0.01);
    fib_free(fib);
    fib = fib_of(table, 43, (const uint32_t[]){0, 50, 1}); /* the first one is down */
    for (uint32_t i = 0; i < fib->services.services[1].n_pick; i++)
        ck_assert_uint_eq(fib->services.services[1].pick[i], 1);
    fib_free(fib);
}
END_TEST

/* What choices are made by is of names: the same at every gateway, and in every table. */
START_TEST(seeds_are_of_names)
{
    sb_auto(gwtable) table = gwtable_parse(whole, sizeof whole - 1, NULL);
    static const char other[] = "adjacency/00 0|192.0.2.1|192.0.2.2|1500\n"
                                "backend/home/b2 10.0.0.77:80|3|adjacency/00|1|0\n"
                                "class gateway\n"
                                "seed 00112233445566778899aabbccddeeff\n"
                                "service/home 198.51.100.1:80|tcp|-|-\n";
    sb_auto(gwtable) less = gwtable_parse(other, sizeof other - 1, NULL);
    g_autoptr(GByteArray) all = gwtable_message(table, 1, (const uint32_t[]){1, 1, 1});
    g_autoptr(GByteArray) one = gwtable_message(less, 1, (const uint32_t[]){1});
    struct dp_backend backends[3], same;
    struct dp_adjacency line;
    memcpy(backends, all->data + all->len - sizeof backends, sizeof backends);
    memcpy(&same, one->data + one->len - sizeof same, sizeof same);
    memcpy(&line, all->data + sizeof(struct dp_header) + 2 * sizeof line, sizeof line);
    ck_assert_uint_ne(backends[0].seed, backends[1].seed);
    ck_assert_uint_eq(backends[1].seed, same.seed);
    ck_assert(backends[0].seed != 0 && line.seed != 0 && line.group == 1);
}
END_TEST

START_TEST(what_its_agent_reads)
{
    unsigned n;
    sb_auto(gwtable) table = gwtable_parse(whole, sizeof whole - 1, NULL);
    const struct gwtable_service *s = gwtable_services(table, &n);
    ck_assert_uint_eq(n, 3);
    ck_assert_str_eq(s[1].name, "home");
    ck_assert_str_eq(s[1].vip, "vip_home");
    ck_assert(s[1].checked && s[1].kind == GWTABLE_HTTP);
    ck_assert_str_eq(s[1].host, "home.example.test");
    ck_assert_str_eq(s[1].path, "/health");
    ck_assert_int_eq(s[1].limits.interval_us, 2000000);
    ck_assert_int_eq(s[1].limits.timeout_us, 500000);
    ck_assert(s[1].limits.rise == 3 && s[1].limits.fall == 2);
    ck_assert_int_eq(s[1].limits.slow_start_us, 20000000);
    ck_assert(!s[0].checked && s[0].vip == NULL && !s[2].checked);
    const struct gwtable_backend *b = gwtable_backends(table, &n);
    ck_assert_uint_eq(n, 3);
    ck_assert_str_eq(b[1].name, "b2");
    ck_assert_str_eq(b[1].at, "10.0.0.10:8080");
    ck_assert(gwtable_is_out(table));
    ck_assert(b[1].service == 1 && b[1].weight == 50 && b[2].service == 2);
    ck_assert(b[0].group == -1 && b[1].group == 1 && b[2].group == -1);
}
END_TEST

static const struct bad {
    const char *line, *instead; /* NULL: taken out */
    const char *error;
} bads[] = {
    {"adjacency/00", "adjacency/0 0|192.0.2.1|192.0.2.2|1500", "found 'adjacency/0 0|"},
    {"adjacency/00", "adjacency/00 0|192.0.2.1|2001:db8::2|1500", "expected adjacency/NN PORT|OWN|NEXT|MTU"},
    {"adjacency/00", "adjacency/00 0|192.0.2.1|192.0.2.2", "expected adjacency/NN"},
    {"adjacency/00", "adjacency/00 8|192.0.2.1|192.0.2.2|0", "expected adjacency/NN"},
    {"adjacency/00", "adjacency/00 0|192.0.2.1|192.0.2.2|65536", "expected adjacency/NN"},
    {"adjacency/03", "adjacency/64 2|2001:db8::1|2001:db8::2|0", "expected adjacency/NN"},
    {"backend/home/b1", "backend/home/ 10.0.0.9:8080|0|adjacency/00|100|0", "expected backend/SERVICE/NAME"},
    {"backend/home/b1", "backend/home 10.0.0.9:8080|0|adjacency/00|100|0", "expected backend/SERVICE/NAME"},
    {"backend/home/b1", "backend/home/b1 10.0.0.9|0|adjacency/00|100|0", "expected backend/SERVICE/NAME"},
    {"backend/home/b1", "backend/home/b1 10.0.0.9:8080|4096|adjacency/00|100|0", "expected backend/SERVICE/NAME"},
    {"backend/home/b1", "backend/home/b1 10.0.0.9:8080|0|line/00|100|0", "expected backend/SERVICE/NAME"},
    {"backend/home/b1", "backend/home/b1 10.0.0.9:8080|0|group/16|100|0", "expected backend/SERVICE/NAME"},
    {"backend/home/b1", "backend/home/b1 10.0.0.9:8080|0|adjacency/00|-1|0", "expected backend/SERVICE/NAME"},
    {"bfd/02", "bfd/01 10000|10000|3", "expected bfd/NN TX_US|RX_US|MULT of an adjacency"},
    {"bfd/02", "bfd/02 10000|10000|0", "expected bfd/NN"},
    {"check/home", "check/home smtp|2000|500|3|2|20000||", "expected check/SERVICE KIND"},
    {"check/home", "check/home tcp|500|501|3|2|20000||", "expected check/SERVICE KIND"},
    {"check/home", "check/home tcp|500|0|3|2|20000||", "expected check/SERVICE KIND"},
    {"check/home", "check/home tcp|500|500|0|2|20000||", "expected check/SERVICE KIND"},
    {"check/home", "check/home http|500|500|1|2|20000|a\rb|", "expected check/SERVICE KIND"},
    {"check/home", "check/home http|500|500|1|2|20000|a|/ b", "expected check/SERVICE KIND"},
    {"class", NULL, "found no line class, expected class gateway"},
    {"class", "class public", "expected class gateway"},
    {"gateway", "gateway down", "expected gateway in or out"},
    {"group/01", "group/01 1000|8000|10000|86400001", "expected group/NN"},
    {"line/02", "line/01 1|10|1|3", "expected line/NN"},
    {"line/02", "line/02 1|10|0|3", "expected line/NN"},
    {"local/00", NULL, "found 'local/01 2001:db8::11', expected local/NN ADDRESS, without gaps"},
    {"peer/04", "peer/03 gw-2", "expected peer/NN GATEWAY of an adjacency with BFD that is no line"},
    {"peer/04", "peer/02 gw-2", "expected peer/NN"},
    {"peer/04", "peer/05 gw-2", "expected peer/NN"},
    {"peer/04", "peer/04 ", "expected peer/NN"},
    {"seed", "seed 00112233445566778899aabbccddeef", "expected seed and 32 hex digits"},
    {"seed", "seed 00112233445566778899aabbccddeefg", "expected seed"},
    {"service/home", NULL, "found 2 backends of 2 services, expected each backend's service to be there"},
    {"service/home", "service/home 198.51.100.1:80|sctp|tp|vip_home", "expected service/NAME"},
    {"service/home", "service/home 198.51.100.1:80|tcp|tt|vip_home", "expected service/NAME"},
    {"service/home", "service/home 198.51.100.1:80|tcp||vip_home", "expected service/NAME"},
    {"service/home", "service/home 198.51.100.1:80|tcp|t|vip home", "expected service/NAME"},
    {"service/home", "service/aaa 198.51.100.1:80|tcp|t|-", "found service/aaa behind service/empty, expected keys in"},
    {"service/home", "service/empty 198.51.100.1:80|tcp|t|-", "found service/empty behind service/empty"},
    {"seed", "sea x", "expected a known key"},
};

/* The text with one line changed. */
static char *changed(const struct bad *bad)
{
    g_auto(GStrv) lines = g_strsplit(whole, "\n", -1);
    GString *text = g_string_new(NULL);
    unsigned n = 0;
    for (char **line = lines; (*line)[0] != '\0'; line++) {
        gsize size = strlen(bad->line);
        bool is = strncmp(*line, bad->line, size) == 0 && (*line)[size] == ' ';
        n += is;
        if (!is || bad->instead != NULL)
            g_string_append_printf(text, "%s\n", is ? bad->instead : *line);
    }
    ck_assert_uint_eq(n, 1);
    return g_string_free(text, FALSE);
}

START_TEST(what_is_wrong_is_said)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *text = changed(&bads[_i]);
    ck_assert_ptr_null(gwtable_parse(text, strlen(text), &error));
    ck_assert(g_error_matches(error, SB_ERROR, SB_ERROR_INVALID));
    ck_assert_msg(strstr(error->message, bads[_i].error) != NULL, "found: %s", error->message);
}
END_TEST

/* Any one byte changed, any end: a reason, or a table that the forwarder refuses whole or takes. */
START_TEST(bytes_are_changed)
{
    static const char others[] = "0|/\n x";
    for (gsize at = 0; at < sizeof whole - 1; at++)
        for (unsigned k = 0; k < sizeof others; k++) {
            g_autofree char *text = g_memdup2(whole, sizeof whole);
            g_autoptr(GError) error = NULL;
            char reason[FIB_REASON] = "";
            unsigned n;
            text[at] = others[k];
            sb_auto(gwtable) table = gwtable_parse(text, k == 0 ? at : sizeof whole - 1, &error);
            ck_assert((table == NULL) == (error != NULL));
            if (table == NULL)
                continue;
            gwtable_backends(table, &n);
            g_autofree uint32_t *weights = g_new0(uint32_t, n + 1);
            g_autoptr(GByteArray) message = gwtable_message(table, 1, weights);
            struct fib *fib = fib_new(message->data, message->len, PORTS, reason);
            ck_assert((fib == NULL) == (reason[0] != '\0'));
            fib_free(fib);
        }
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, a_forwarder_takes_it);
    tcase_add_test(tcase, seeds_are_of_names);
    tcase_add_test(tcase, what_its_agent_reads);
    tcase_add_loop_test(tcase, what_is_wrong_is_said, 0, G_N_ELEMENTS(bads));
    tcase_add_test(tcase, bytes_are_changed);
}

int main(void)
{
    return unit_run("gwtable", add);
}
