/* fuzz_json.h: changes JSON so that it stays JSON: values of other types, extremes, members gone, doubled or exchanged.
 * Bytes alone would seldom get past the parser.
 *
 * Thread safety: one thread.
 */
#ifndef TESTS_FUZZ_JSON_H
#define TESTS_FUZZ_JSON_H

#include "tests/fuzz/fuzz.h"

/* What LLVMFuzzerCustomMutator is to do; the first `skip` bytes are not JSON and are now and then changed, too. */
size_t fuzz_json_mutate(uint8_t *data, size_t size, size_t max_size, size_t skip, unsigned seed);

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size); /* libFuzzer's own */

#endif
