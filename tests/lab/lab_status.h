/* lab_status.h: what the lab is made of and how it is, for people or as JSON:
 * {"run", "site", "ready", "missing": [...], "nodes": [{"name", "address", "processes": [{"name", "pid", "state"}]}],
 *  "links": [{"name", "a", "b", "state", "delay_us", "jitter_us", "loss_ppm", "rate_kbit", "ab": {...}, "ba": {...}}]}
 */
#ifndef LAB_STATUS_H
#define LAB_STATUS_H

#include "tests/lab/lab.h"
#include <jansson.h>

json_t *status_json(const struct lab *lab);
void status_print(const json_t *status);

#endif
