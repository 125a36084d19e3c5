/* config.h: settings of signalboxd (config.def). A flag outweighs SIGNALBOX_NAME, that the file of --config, that the
 * default. What is not known is an error, never passed over.
 *
 * Ownership: struct config owns all; config_clear. Thread safety: pure but for reading environment and files.
 */
#ifndef SERVER_CONFIG_H
#define SERVER_CONFIG_H

#include "schema/addr.h"
#include <glib.h>

struct config {
#define SETTING(member, ...) char *member;
#include "server/config.def"
#undef SETTING
    /* The same, parsed. */
    unsigned node_number;
    uint64_t ballast_size; /* bytes */
    uint64_t record_size;  /* bytes; 0: off */
    int64_t record_us;     /* that it goes back */
    struct endpoint listen_endpoint, agents_endpoint;
    bool check_only, debug;
};
enum config_result {
    CONFIG_RUN,   /* go on */
    CONFIG_DONE,  /* --help or --version was answered */
    CONFIG_WRONG, /* *error says what */
};
/* Reads flags, environment and file, and checks everything that can be checked without a start. */
enum config_result config_load(struct config *config, int argc, char **argv, GError **error);
void config_clear(struct config *config);

#endif
