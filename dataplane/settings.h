/* settings.h: what signalbox-forwarder is told on its command line. Thread safety: none, getopt's. */
#ifndef DATAPLANE_SETTINGS_H
#define DATAPLANE_SETTINGS_H

#include "dataplane/dp_api.h"

#include <stdbool.h>

#define SETTINGS_ERROR 200u /* bytes of a text */

struct settings {
    const char *interfaces[DP_PORTS]; /* n */
    unsigned n;
    const char *socket, *secret; /* paths; secret: NULL, a new one each time */
    const char *ask;             /* NULL: it forwards itself */
    bool busy;                   /* never sleeps */
    bool help, version;          /* nothing else is asked for */
};

extern const char settings_usage[];

/* Texts stay where they are in argv. 0; -EINVAL: error says what is wrong. */
int settings_parse(struct settings *settings, int argc, char **argv, char error[static SETTINGS_ERROR]);

#endif
