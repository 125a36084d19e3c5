/* gwoptions.h: what signalbox-gateway is told on its command line.
 *
 * Thread safety: none: one set of options, of the process.
 */
#ifndef GATEWAY_GWOPTIONS_H
#define GATEWAY_GWOPTIONS_H

#include "gateway/gateway.h"

struct gwoptions {
    char *name, *cluster, **servers; /* servers: as link_config has them */
    char *ca, *cert, *key, *token_file, *state, *socket;
    struct gateway_settings gateway;
    char *metrics; /* where metrics are given; NULL: nowhere */
    gboolean version, verbose;
};

/* NULL: SB_ERROR_INVALID. What is left out has its default; with version nothing else is set. Good until the process
 * ends. */
const struct gwoptions *gwoptions_parse(int argc, char **argv, GError **error);

#endif
