#include "dataplane/settings.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

const char settings_usage[] =
    "usage: signalbox-forwarder --port IFACE [--port IFACE...] --socket PATH [--secret FILE] [--busy]\n"
    "       signalbox-forwarder --socket PATH --ask WORDS\n"
    "\n"
    "Forwards TCP and UDP between its ports as the table says that it is told over its local socket.\n"
    "  --port IFACE   a kernel interface without an address; ports are numbered in this order\n"
    "  --socket PATH  where it takes tables (dataplane/dp_api.h); write `show` there, read counters\n"
    "  --secret FILE  keeps what its numbers are chosen by, so that backends take connections of the next process on\n"
    "                 ports of this one; made if it is not there\n"
    "  --busy         never sleeps\n"
    "  --ask WORDS    asks the one that runs there, and prints what it says:\n"
    "                   show                     counters, neighbours, lines, sessions\n"
    "                   trace [ADDRESS [PORT]]   each packet from or to there, where it goes, or why it does not\n"
    "                   pcap [ADDRESS [PORT]]    a capture of them, for tcpdump or Wireshark: > FILE\n"
    "  --version      prints the version\n"
    "An interface that is one end of a veth pair: the other end must compute checksums (ethtool -K IFACE tx off).\n";

#define REFUSE(...) return snprintf(error, SETTINGS_ERROR, __VA_ARGS__), -EINVAL

static int add_port(struct settings *settings, const char *interface, char *error)
{
    if (settings->n == DP_PORTS)
        REFUSE("--port %s: expected %u ports at most", interface, DP_PORTS);
    for (unsigned i = 0; i < settings->n; i++)
        if (strcmp(settings->interfaces[i], interface) == 0)
            REFUSE("--port %s: is there twice", interface);
    settings->interfaces[settings->n++] = interface;
    return 0;
}

int settings_parse(struct settings *settings, int argc, char **argv, char error[static SETTINGS_ERROR])
{
    static const struct option options[] = {
        {"port", 1, NULL, 'p'}, {"socket", 1, NULL, 's'}, {"secret", 1, NULL, 'k'},  {"busy", 0, NULL, 'b'},
        {"ask", 1, NULL, 'a'},  {"help", 0, NULL, 'h'},   {"version", 0, NULL, 'v'}, {0}};
    *settings = (struct settings){0};
    optind = 0; /* of GNU: from the beginning */
    opterr = 0;
    for (int option; (option = getopt_long(argc, argv, ":", options, NULL)) != -1;) {
        if (option == 'p' && add_port(settings, optarg, error) < 0)
            return -EINVAL;
        if (option == ':' || option == '?')
            REFUSE("%s: %s", argv[optind - 1],
                   option == ':' ? "expected a value behind it" : "unknown, or not complete");
        if (option == 's')
            settings->socket = optarg;
        else if (option == 'k')
            settings->secret = optarg;
        else if (option == 'a')
            settings->ask = optarg;
        settings->busy = settings->busy || option == 'b';
        settings->help = settings->help || option == 'h';
        settings->version = settings->version || option == 'v';
    }
    if (settings->help || settings->version)
        return 0;
    if (optind < argc)
        REFUSE("%s: expected options only", argv[optind]);
    if (settings->ask != NULL && (settings->n > 0 || settings->socket == NULL))
        REFUSE("--ask %s: expected --socket, and no --port", settings->ask);
    if (settings->ask == NULL && (settings->n == 0 || settings->socket == NULL))
        REFUSE("expected --port, once at least, and --socket");
    return 0;
}
