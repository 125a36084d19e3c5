#include "schema/slot.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

unsigned slot_of_key(const char *key)
{
    return XXH32(key, strlen(key), 0) % SLOT_COUNT;
}

char *slot_key(char key[static SLOT_KEY_SIZE], const char *user, const char *device, const struct addr *addr)
{
    if (user != NULL && user[0] != '\0') {
        snprintf(key, SLOT_KEY_SIZE, "u:%.*s", SLOT_ID_MAX, user);
    } else if (device != NULL && device[0] != '\0') {
        snprintf(key, SLOT_KEY_SIZE, "d:%.*s", SLOT_ID_MAX, device);
    } else {
        assert(addr != NULL && addr->family != 0);
        char text[ADDR_TEXT_SIZE];
        struct addr prefix = addr_mask(addr, addr->family == AF_INET ? 24 : 64);
        snprintf(key, SLOT_KEY_SIZE, "a:%s", addr_format(&prefix, text));
    }
    return key;
}
