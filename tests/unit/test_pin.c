#include "schema/pin.h"
#include "tests/unit/unit.h"

#include <string.h>

static const struct pin_key key = {"k17", "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQR"};

/* Made by hashlib and hmac of Python. */
START_TEST(what_is_signed)
{
    const struct pin rows[] = {{"room-b", PIN_USER, "42", 1767225600}, {"room-b", PIN_STAFF, NULL, 1767225600}};
    static const char *const expected[] = {
        "k17.room-b.user.1767225600.22a3fd7bd38dd784c8db2c06bb9f195f8b42bc7f8ce719287fb80d7beb28266f",
        "k17.room-b.staff.1767225600.f78fe11e30bf2d81a88e716f5c68240ed7506c6de09cd28f3b271a34afa5574c"};
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *cookie = pin_sign(&key, &rows[i]);
        ck_assert_str_eq(cookie, expected[i]);
    }
    g_autofree char *room = g_strnfill(40, 'r');
    g_autofree char *longest = pin_sign(&key, &(struct pin){room, PIN_CANARY, NULL, 99999999999});
    ck_assert_uint_lt(strlen(longest), PIN_COOKIE_MAX);
}
END_TEST

START_TEST(keys_come_and_go)
{
    struct pin_keys keys = {0}, back;
    pin_keys_add(&keys, 5, key.secret, false);
    pin_keys_add(&keys, 6, key.secret, false);
    pin_keys_add(&keys, 7, key.secret, false);
    ck_assert_uint_eq(keys.n, 2);
    ck_assert_str_eq(keys.key[0].id, "k7");
    ck_assert_str_eq(keys.key[1].id, "k6");
    json_t *json = pin_keys_to_json(&keys, true), *bare = pin_keys_to_json(&keys, false);
    ck_assert(pin_keys_from_json(json, &back));
    ck_assert_int_eq(memcmp(&back, &keys, sizeof keys), 0);
    ck_assert(pin_keys_from_json(bare, &back));
    ck_assert_str_eq(back.key[0].secret, "");
    char *text = json_dumps(bare, 0);
    ck_assert_ptr_null(strstr(text, "abcdef"));
    free(text);
    json_object_set_new(json_array_get(json_object_get(json, "keys"), 0), "secret", json_string("short"));
    ck_assert(!pin_keys_from_json(json, &back));
    json_decref(json);
    json_decref(bare);
    pin_keys_add(&keys, 8, key.secret, true);
    ck_assert_uint_eq(keys.n, 1);
}
END_TEST

START_TEST(secrets_are_letters_and_digits)
{
    unsigned char seed[PIN_SECRET_LEN];
    char secret[PIN_SECRET_LEN + 1];
    for (unsigned i = 0; i < 256; i++) {
        memset(seed, (int)i, sizeof seed);
        pin_secret_make(seed, secret);
        ck_assert(pin_secret_valid(secret));
    }
    ck_assert(!pin_secret_valid("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQ+"));
    ck_assert(!pin_secret_valid("abc"));
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, what_is_signed);
    tcase_add_test(tcase, keys_come_and_go);
    tcase_add_test(tcase, secrets_are_letters_and_digits);
}

int main(void)
{
    return unit_run("pin", add);
}
