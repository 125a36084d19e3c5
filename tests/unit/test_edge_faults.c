/* A real HAProxy whose origins fail: what a request meets meanwhile. */
#include "tests/unit/edgestage.h"

#include <stdio.h>
#include <string.h>

static const struct edge_table_text rest;

/* Checks would need 0.3 s at least to find out: each of these first requests meets entrances that are thought well. */
START_TEST(a_request_passes_over_a_room_whose_entrances_all_refuse_at_once)
{
    struct stage s;
    stage_begin(&s);
    stage_must_apply(&s, 7, &rest);
    for (unsigned i = 0; i < 25; i++) {
        unsigned first = i % 2 == 0 ? POP_A1 : POP_B1;
        origin_stop(&s.origins[first]);
        origin_stop(&s.origins[first + 1]);
        for (unsigned k = 0; k < 4; k++) { /* users of both rooms */
            g_autofree char *cookie = g_strdup_printf("Cookie: uid=%u\r\n", i * 4 + k);
            struct answer answer = stage_request(&s, k % 2 == 0 ? "GET" : "POST", "play.example.test", "/", cookie);
            ck_assert_msg(answer.status == 200, "%s", answer.text);
            ck_assert_int_lt(answer.took_us, 1500000);
            g_free(answer.text);
        }
        origin_start(&s.origins[first]);
        origin_start(&s.origins[first + 1]);
        stage_stop_haproxy(&s); /* a fresh one believes in all of them */
        stage_start_haproxy(&s);
    }
    stage_end(&s);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, a_request_passes_over_a_room_whose_entrances_all_refuse_at_once);
}

int main(void)
{
    return unit_run("edge_faults", add);
}
