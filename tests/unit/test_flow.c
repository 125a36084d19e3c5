/* Sessions found by their packets, and their timers. */
#include "dataplane/endpoint.h"
#include "dataplane/flow.h"
#include "dataplane/wheel.h"
#include "tests/unit/unit.h"

#include <string.h>

#define SESSIONS 50000u
static const uint64_t secret[2] = {0x0123456789abcdef, 0xfedcba9876543210};

static struct flow_key key_of(uint32_t i)
{
    struct flow_key key = {.client_port = (uint16_t)(1024 + i % 60000), .service_port = 443, .proto = 6, .family = 4};
    memcpy(key.client, &i, sizeof i);
    key.service[0] = 192;
    return key;
}

static bool found(const struct flows *flows, uint64_t hash, uint32_t session, unsigned *candidates)
{
    unsigned at = 0;
    uint32_t candidate, first = flow_first(flows, hash);
    bool has_first = first == FLOW_NONE, has_session = false;
    while ((candidate = flow_find(flows, hash, &at)) != FLOW_NONE && !(has_first && has_session)) {
        *candidates += 1;
        has_first = has_first || candidate == first;
        has_session = has_session || candidate == session;
    }
    if (!has_first || (first == FLOW_NONE && has_session))
        ck_abort_msg("the first candidate is %u, which is none of them, or there are others", first);
    return has_session;
}

START_TEST(a_full_table_finds_every_one)
{
    struct flows flows;
    void *memory = aligned_alloc(64, flow_size(SESSIONS));
    flow_init(&flows, memory, SESSIONS, secret);
    unsigned candidates = 0;
    for (uint32_t i = 0; i < SESSIONS; i++) {
        struct flow_key key = key_of(i);
        ck_assert(flow_add(&flows, flow_hash(flows.secret, &key), i));
    }
    ck_assert_uint_eq(flows.n, SESSIONS);
    for (uint32_t i = 0; i < SESSIONS; i++) {
        struct flow_key key = key_of(i);
        ck_assert(found(&flows, flow_hash(flows.secret, &key), i, &candidates));
    }
    ck_assert_uint_lt(candidates, SESSIONS + SESSIONS / 1000); /* the mark tells them apart */
    for (uint32_t i = 0; i < SESSIONS; i += 2) {
        struct flow_key key = key_of(i);
        ck_assert(flow_remove(&flows, flow_hash(flows.secret, &key), i));
        ck_assert(!flow_remove(&flows, flow_hash(flows.secret, &key), i));
    }
    for (uint32_t i = 0; i < SESSIONS; i++) {
        struct flow_key key = key_of(i);
        ck_assert(found(&flows, flow_hash(flows.secret, &key), i, &candidates) == (i % 2 == 1));
    }
    ck_assert_uint_eq(flows.n, SESSIONS / 2);
    free(memory);
}
END_TEST

START_TEST(full_buckets_refuse)
{
    struct flows flows;
    void *memory = aligned_alloc(64, flow_size(8));
    flow_init(&flows, memory, 8, secret);
    uint64_t hash = 0; /* always the same: both of its buckets fill */
    uint32_t n = 0;
    while (flow_add(&flows, hash, n))
        n++;
    ck_assert(n == FLOW_SLOTS || n == 2 * FLOW_SLOTS); /* its two may be one */
    ck_assert_uint_eq(flows.n, n);
    ck_assert(flow_remove(&flows, hash, 3));
    ck_assert(flow_add(&flows, hash, 3));
    free(memory);
}
END_TEST

START_TEST(every_part_of_a_key_counts)
{
    struct flows flows = {.secret = {secret[0], secret[1]}};
    struct flow_key key = key_of(77);
    uint64_t hash = flow_hash(flows.secret, &key);
    uint8_t *bytes = (uint8_t *)&key;
    for (size_t i = 0; i < sizeof key; i++) {
        bytes[i] ^= 1;
        ck_assert_uint_ne(flow_hash(flows.secret, &key), hash);
        bytes[i] ^= 1;
    }
    struct flows other = {.secret = {secret[0], secret[1] + 1}};
    ck_assert_uint_ne(flow_hash(other.secret, &key), hash);
}
END_TEST

START_TEST(configured_endpoints_are_found_and_no_others)
{
    enum { N = 300 };
    struct endpoints endpoints;
    g_autofree void *memory = g_malloc(endpoint_size(N));
    endpoint_init(&endpoints, memory, N);
    struct endpoint_key key = {.family = 4, .proto = 6};
    for (uint32_t i = 0; i < N; i++) { /* addresses and ports that are near each other, as configured ones are */
        key.address[3] = (uint8_t)(i % 10);
        key.port = (uint16_t)(80 + i / 10);
        ck_assert_uint_eq(endpoint_find(&endpoints, &key), ENDPOINT_NONE);
        endpoint_add(&endpoints, &key, i);
        endpoint_add(&endpoints, &key, 999);
    }
    for (uint32_t i = 0; i < N; i++) {
        key.address[3] = (uint8_t)(i % 10);
        key.port = (uint16_t)(80 + i / 10);
        ck_assert_uint_eq(endpoint_find(&endpoints, &key), i);
        for (unsigned byte = 0; byte < sizeof key; byte++) {
            struct endpoint_key other = key;
            ((uint8_t *)&other)[byte] ^= 0x80;
            ck_assert_uint_eq(endpoint_find(&endpoints, &other), ENDPOINT_NONE);
        }
    }
    endpoint_init(&endpoints, memory, 0); /* nothing is configured */
    ck_assert_uint_eq(endpoint_find(&endpoints, &key), ENDPOINT_NONE);
}
END_TEST

#define TIMERS 2000u
static struct wheel_timer timers[TIMERS];
static struct wheel wheel;

START_TEST(timers_fire_once_and_in_time)
{
    uint64_t now_us = 7654321, due_us[TIMERS];
    uint32_t seed = 3, n = TIMERS;
    wheel_init(&wheel, timers, TIMERS, now_us);
    for (uint32_t i = 0; i < TIMERS; i++) {
        seed = seed * 1664525 + 1013904223;
        due_us[i] = now_us + 1 + (seed >> 4) % 40000000;
        wheel_set(&wheel, i, now_us + 5);
        wheel_set(&wheel, i, due_us[i]); /* anew */
    }
    for (uint32_t i = 0; i < TIMERS; i += 10) {
        wheel_clear(&wheel, i);
        wheel_clear(&wheel, i);
        n--;
    }
    ck_assert_uint_eq(wheel.n, n);
    while (n > 0) {
        now_us = MAX(now_us, wheel_next_us(&wheel));
        uint32_t timer;
        while ((timer = wheel_fired(&wheel, now_us)) != WHEEL_NONE) {
            ck_assert_uint_ne(timer % 10, 0);
            ck_assert_uint_ge(now_us, due_us[timer]);
            ck_assert_uint_lt(now_us, due_us[timer] + WHEEL_TICK_US);
            due_us[timer] = UINT64_MAX / 2; /* never again */
            n--;
        }
    }
    ck_assert_uint_eq(wheel_next_us(&wheel), UINT64_MAX);
}
END_TEST

START_TEST(far_times_and_long_pauses)
{
    uint64_t now_us = 1000;
    wheel_init(&wheel, timers, TIMERS, now_us);
    wheel_set(&wheel, 0, 3600ull * 1000000); /* an hour: looked at once a turn, and set again */
    unsigned fired = 0;
    while (now_us < 3600ull * 1000000) {
        now_us += 100000;
        if (wheel_fired(&wheel, now_us) == 0 && now_us < 3600ull * 1000000) {
            fired++;
            wheel_set(&wheel, 0, 3600ull * 1000000);
        }
    }
    ck_assert_uint_ge(fired, 87);
    ck_assert_uint_le(fired, 89);
    for (uint32_t i = 1; i < 100; i++)
        wheel_set(&wheel, i, now_us + i * 400000);
    now_us += 500ull * 1000000; /* it did not run for minutes */
    unsigned n = 0;
    while (wheel_fired(&wheel, now_us) != WHEEL_NONE)
        n++;
    ck_assert_uint_eq(n, 99);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, a_full_table_finds_every_one);
    tcase_add_test(tcase, full_buckets_refuse);
    tcase_add_test(tcase, every_part_of_a_key_counts);
    tcase_add_test(tcase, configured_endpoints_are_found_and_no_others);
    tcase_add_test(tcase, timers_fire_once_and_in_time);
    tcase_add_test(tcase, far_times_and_long_pauses);
}

int main(void)
{
    return unit_run("flow", add);
}
