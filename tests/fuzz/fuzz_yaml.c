/* What `apply -f` reads: any text gives documents or an error that names a line; what was read can be written and read
 * again. */
#include "tests/fuzz/fuzz.h"

#include "schema/object.h"
#include "schema/yamldoc.h"

#include <string.h>

static void write_and_read(json_t *documents)
{
    size_t i;
    json_t *document;
    json_array_foreach (documents, i, document) {
        yamldoc_strip(document);
        if (!json_is_object(document) || json_object_size(document) == 0)
            continue;
        char *text = yamldoc_format(document);
        json_t *again = yamldoc_parse(text, strlen(text), "again", NULL);
        FUZZ_EXPECT(again != NULL && json_array_size(again) == 1);
        yamldoc_strip(json_array_get(again, 0));
        FUZZ_EXPECT(json_equal(json_array_get(again, 0), document));
        json_decref(again);
        g_free(text);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    GError *error = NULL;
    json_t *documents = yamldoc_parse((const char *)data, size, "input", &error);
    if (documents == NULL) {
        FUZZ_EXPECT(error != NULL && g_str_has_prefix(error->message, "input"));
        g_error_free(error);
        return 0;
    }
    GPtrArray *findings = finding_list_new();
    json_t *body = json_pack("{s:[], s:[]}", "objects", "plans");
    yamldoc_collect(documents, "input", body, findings);
    write_and_read(documents);
    json_decref(body);
    json_decref(documents);
    g_ptr_array_unref(findings);
    return 0;
}
