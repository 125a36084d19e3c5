#include "schema/slot.h"

#include "tests/unit/unit.h"
#include <string.h>

#define X32 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define X128 X32 X32 X32 X32

/* Taken from HAProxy 2.6 itself, %[req.hdr(x-key),xxh32,mod(1000)]: these bytes are fixed for ever. */
START_TEST(slots_are_those_of_haproxy)
{
    static const struct {
        const char *key;
        unsigned slot;
    } rows[] = {
        {"", 589},
        {"u:1", 794},
        {"u:42", 677},
        {"u:1001", 433},
        {"u:alice", 689},
        {"u:Alice", 950},
        {"u:" X128, 908},
        {"u:user@example.test", 75},
        {"u:\xe7\x94\xa8\xe6\x88\xb7", 970},
        {"d:3f2a9c", 213},
        {"d:00000000-0000-4000-8000-000000000000", 276},
        {"a:192.0.2.0", 125},
        {"a:198.51.100.0", 862},
        {"a:2001:db8:1:2::", 615},
        {"a:::", 118},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        ck_assert_msg(slot_of_key(rows[i].key) == rows[i].slot, "%s: %u, not %u", rows[i].key, slot_of_key(rows[i].key),
                      rows[i].slot);
}
END_TEST

START_TEST(keys_name_the_user_then_the_device_then_the_prefix)
{
    char key[SLOT_KEY_SIZE];
    struct addr v4, v6;
    ck_assert(addr_parse("192.0.2.77", &v4) && addr_parse("2001:db8:1:2:3:4:5:6", &v6));
    ck_assert_str_eq(slot_key(key, "42", "dev", &v4), "u:42");
    ck_assert_str_eq(slot_key(key, "", "dev", &v4), "d:dev");
    ck_assert_str_eq(slot_key(key, NULL, "", &v4), "a:192.0.2.0");
    ck_assert_str_eq(slot_key(key, NULL, NULL, &v6), "a:2001:db8:1:2::");
    ck_assert_str_eq(slot_key(key, "42", NULL, NULL), "u:42");
}
END_TEST

START_TEST(long_ids_are_cut_where_the_edge_cuts)
{
    char key[SLOT_KEY_SIZE];
    ck_assert_str_eq(slot_key(key, X128 "tail", NULL, NULL), "u:" X128);
    ck_assert_str_eq(slot_key(key, NULL, X128 "t", NULL), "d:" X128);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, slots_are_those_of_haproxy);
    tcase_add_test(tcase, keys_name_the_user_then_the_device_then_the_prefix);
    tcase_add_test(tcase, long_ids_are_cut_where_the_edge_cuts);
}

int main(void)
{
    return unit_run("slot", add);
}
