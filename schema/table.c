#include "schema/table.h"

#include "core/error.h"
#include "schema/field.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

void part_hash(const void *bytes, size_t size, char hash[static PART_HASH_SIZE])
{
    unsigned char digest[32];
    crypto_generichash(digest, sizeof digest, bytes, size, NULL, 0);
    sodium_bin2hex(hash, PART_HASH_SIZE, digest, (PART_HASH_SIZE - 1) / 2);
}

int stamp_compare(struct stamp a, struct stamp b)
{
    if (a.epoch != b.epoch)
        return a.epoch < b.epoch ? -1 : 1;
    return (a.generation > b.generation) - (a.generation < b.generation);
}

/* ---- manifest ---- */

json_t *manifest_to_json(const struct manifest *manifest)
{
    json_t *parts = json_object();
    for (unsigned i = 0; i < PARTS; i++)
        json_object_set_new(parts, part_name(i), json_string(manifest->hash[i]));
    return json_pack("{s:s, s:I, s:I, s:s, s:s, s:o}", "cluster", manifest->cluster, "epoch",
                     (json_int_t)manifest->stamp.epoch, "generation", (json_int_t)manifest->stamp.generation, "edge",
                     manifest->edge, "cause", manifest->cause, "parts", parts);
}

static bool member_refuse(const json_t *object, const char *member, const char *expected, GError **error)
{
    g_autofree char *found = json_quote(json_object_get(object, member));
    g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "manifest: %s: found %s, expected %s", member, found, expected);
    return false;
}

static bool name_read(const json_t *json, const char *member, char out[static 41], GError **error)
{
    const char *text = json_text(json_object_get(json, member));
    if (text == NULL || !text_valid(FIELD_NAME, text))
        return member_refuse(json, member, text_expected(FIELD_NAME), error);
    memcpy(out, text, strlen(text) + 1);
    return true;
}

static bool number_read(const json_t *json, const char *member, uint64_t *out, GError **error)
{
    const json_t *number = json_object_get(json, member);
    if (!json_is_integer(number) || json_integer_value(number) < 0)
        return member_refuse(json, member, "a whole number of 0 or more", error);
    *out = (uint64_t)json_integer_value(number);
    return true;
}

static bool cause_read(const json_t *json, struct manifest *out, GError **error)
{
    const char *text = json_text(json_object_get(json, "cause"));
    bool good = text != NULL && strlen(text) < sizeof out->cause;
    for (const char *p = text; good && *p != '\0'; p++)
        good = g_ascii_isgraph(*p) && strchr(";\"'\\`", *p) == NULL;
    if (!good)
        return member_refuse(json, "cause", "at most 119 printable ASCII characters without space ; \" ' \\ `", error);
    memcpy(out->cause, text, strlen(text) + 1);
    return true;
}

static bool hash_valid(const char *text)
{
    return strlen(text) == PART_HASH_SIZE - 1 && strspn(text, "0123456789abcdef") == PART_HASH_SIZE - 1;
}

static bool parts_read(const json_t *json, struct manifest *out, GError **error)
{
    const json_t *hashes = json_object_get(json, "parts");
    if (!json_is_object(hashes))
        return member_refuse(json, "parts", "an object of hashes", error);
    for (unsigned i = 0; i < PARTS; i++) {
        const char *hash = json_text(json_object_get(hashes, part_name(i)));
        if (hash == NULL || !hash_valid(hash))
            return member_refuse(hashes, part_name(i), "32 hex digits", error);
        memcpy(out->hash[i], hash, PART_HASH_SIZE);
    }
    if (json_object_size(hashes) > PARTS) {
        /* A part that this version does not know may mean a rule that it would not obey. */
        g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "manifest: parts: found %zu, expected the %d that are known",
                    json_object_size(hashes), PARTS);
        return false;
    }
    return true;
}

bool manifest_from_json(const json_t *json, struct manifest *out, GError **error)
{
    struct manifest manifest = {0};
    if (!name_read(json, "cluster", manifest.cluster, error) || !name_read(json, "edge", manifest.edge, error) ||
        !number_read(json, "epoch", &manifest.stamp.epoch, error) ||
        !number_read(json, "generation", &manifest.stamp.generation, error) || !cause_read(json, &manifest, error) ||
        !parts_read(json, &manifest, error))
        return false;
    *out = manifest;
    return true;
}

/* ---- records ---- */

void zone_records_free(struct zone_records *records)
{
    g_free(records->zone);
    g_ptr_array_unref(records->rrsets);
    g_free(records);
}

bool zone_guard_stops(unsigned touched, unsigned names)
{
    return touched > ZONE_GUARD_NAMES && (uint64_t)touched * 100 > (uint64_t)names * ZONE_GUARD_PERCENT;
}

bool rrset_equal(const struct rrset *a, const struct rrset *b)
{
    return strcmp(a->owner, b->owner) == 0 && a->type == b->type && a->ttl == b->ttl &&
           g_strv_equal((const char *const *)a->rdata, (const char *const *)b->rdata);
}

const char *rrtype_name(uint16_t type)
{
    switch (type) {
    case 1:
        return "A";
    case 5:
        return "CNAME";
    case 16:
        return "TXT";
    case 28:
        return "AAAA";
    default:
        return "unknown";
    }
}
