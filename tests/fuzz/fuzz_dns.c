/* What name servers answer: to an update (response.h), to a question of read-back, and the sentinel's text. The first
 * byte chooses. readback.c is taken in whole, because its parser is behind a socket. */
#include "tests/fuzz/fuzz.h"

#include "schema/fence.h"
#include "dns/readback.c" // NOLINT(bugprone-suspicious-include)
#include "dns/response.h"

static const knot_tsig_key_t *key(void)
{
    static knot_tsig_key_t made;
    if (made.name == NULL)
        knot_tsig_key_init(&made, "hmac-sha256", "signalbox", "c2lnbmFsYm94LXRlc3Qta2V5LTMyLWJ5dGVzLWxvbmc=");
    return &made;
}

static void fuzz_response(const uint8_t *data, size_t size)
{
    static struct message request;
    if (request.wire == NULL)
        FUZZ_EXPECT(
            message_sign(message_begin("example.test", KNOT_OPCODE_UPDATE, 1, key()), key(), 1000000, &request, NULL));
    char *reason = NULL;
    enum update_outcome outcome = response_judge(&request, key(), "example.test", data, size, &reason);
    FUZZ_EXPECT(outcome != UPDATE_APPLIED); /* nobody can sign */
    g_free(reason);
    uint8_t rcode;
    FUZZ_EXPECT(!response_verified(&request, key(), data, size, &rcode));
}

static void take_set(void *data, struct rrset *set)
{
    (void)data;
    rrset_delete(set);
}

static void fuzz_answer(const uint8_t *data, size_t size)
{
    char owner[] = "core.example.test";
    struct rrset question = {.owner = owner, .type = size > 0 && data[0] % 2 == 0 ? KNOT_RRTYPE_A : KNOT_RRTYPE_TXT};
    struct readback readback = {.fn = take_set};
    uint8_t *wire = g_memdup2(data, size);
    if (size >= 12 && size <= MESSAGE_SIZE_MAX) /* c-ares gives no less and no more */
        take_answer(&readback, &question, wire, (int)size);
    g_clear_error(&readback.error);
    g_free(wire);
}

static void fuzz_fence(const uint8_t *data, size_t size)
{
    g_autofree char *text = g_strndup((const char *)data, size);
    struct fence fence, again;
    char formatted[FENCE_TEXT_SIZE];
    if (fence_parse(text, &fence))
        FUZZ_EXPECT(fence_parse(fence_format(&fence, formatted), &again) &&
                    stamp_compare(fence.stamp, again.stamp) == 0 && fence.part == again.part);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const targets[])(const uint8_t *, size_t) = {fuzz_response, fuzz_answer, fuzz_fence};
    if (size > 0)
        targets[data[0] % G_N_ELEMENTS(targets)](data + 1, size - 1);
    return 0;
}
