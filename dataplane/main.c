/* signalbox-forwarder: flags and wiring. */
#include "dataplane/dpsecret.h"
#include "dataplane/iface.h"
#include "dataplane/worker.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

static int wake_fd;

static void on_signal(int number)
{
    (void)number;
    worker_stop(wake_fd);
}

static int refuse(const char *text)
{
    fprintf(stderr, "signalbox-forwarder: %s\n", text);
    return 1;
}

/* Is each of them fit to be a port? 0, or why not. */
static int check_ports(const struct settings *settings, char *error)
{
    struct iface_facts facts;
    for (unsigned i = 0; i < settings->n; i++) {
        int status = iface_ask(settings->interfaces[i], &facts);
        if (status < 0)
            return snprintf(error, IFACE_ERROR, "interface %s: %s", settings->interfaces[i], strerror(-status)), status;
        if ((status = iface_check(&facts, error)) < 0)
            return status;
    }
    return 0;
}

static int watch_ports(const struct settings *settings, int *watch_fds, char *error)
{
    for (unsigned i = 0; i < settings->n; i++)
        if ((watch_fds[i] = iface_watch(settings->interfaces[i])) < 0)
            return snprintf(error, IFACE_ERROR, "interface %s: cannot be watched: %s", settings->interfaces[i],
                            strerror(-watch_fds[i])),
                   watch_fds[i];
    return 0;
}

/* Ports and socket are there: forwards until it is stopped. The exit status. */
static int forward(const struct settings *settings, struct worker *worker, const int *watch_fds)
{
    struct dpsocket_settings local = {
        .path = settings->socket, .n_ports = settings->n, .watch_fds = watch_fds, .wake_fd = wake_fd};
    worker->socket = dpsocket_start(&local);
    if (worker->socket == NULL) {
        fprintf(stderr, "signalbox-forwarder: %s: %s\n", settings->socket, strerror(errno));
        return 1;
    }
    unsigned offload = worker_run(worker);
    dpsocket_stop(worker->socket);
    if (offload < DP_PORTS)
        fprintf(stderr,
                "signalbox-forwarder: interface %s: what is at its other end leaves checksums to be computed, which "
                "translated packets would carry wrong; there: ethtool -K IFACE tx off\n",
                settings->interfaces[offload]);
    return offload < DP_PORTS;
}

static int ask(const struct settings *settings)
{
    int status = dpsocket_ask(settings->socket, settings->ask, STDOUT_FILENO);
    if (status < 0 && status != -EPROTO)
        fprintf(stderr, "signalbox-forwarder: %s: %s\n", settings->socket, strerror(-status));
    return status < 0;
}

int main(int argc, char **argv)
{
    static struct forwarder forwarder;
    struct worker worker = {.forwarder = &forwarder};
    struct settings settings;
    uint8_t mac[DP_PORTS][ETHER_ADDRESS];
    int watch_fds[DP_PORTS];
    char error[SETTINGS_ERROR];
    _Static_assert(SETTINGS_ERROR >= IFACE_ERROR && SETTINGS_ERROR >= PORT_ERROR && SETTINGS_ERROR >= DPSECRET_ERROR,
                   "room for any of them");
    if (settings_parse(&settings, argc, argv, error) < 0)
        return refuse(error), fputs(settings_usage, stderr), 2;
    if (settings.help)
        return fputs(settings_usage, stdout) < 0;
    if (settings.version)
        return puts("signalbox-forwarder " SIGNALBOX_VERSION) < 0;
    if (settings.ask != NULL)
        return ask(&settings);
    worker.wake_fd = wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    signal(SIGTERM, on_signal);
    signal(SIGINT, on_signal);
    signal(SIGPIPE, SIG_IGN);
    if (check_ports(&settings, error) < 0 || dpsecret_get(settings.secret, worker.secret, error) < 0 ||
        port_open(&settings, mac, error) < 0 || watch_ports(&settings, watch_fds, error) < 0)
        return refuse(error);
    forwarder_init(&forwarder, mac, settings.n, (uint32_t)(worker.secret[0] ^ worker_now_us()));
    forwarder.send = port_send;
    int status = forward(&settings, &worker, watch_fds);
    port_close();
    return status;
}
