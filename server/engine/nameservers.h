/* nameservers.h: one DNS driver for each nameserver object of the inventory, made and ended as the inventory changes.
 *
 * The secret of a TSIG key is the file KEYS/NAME.key: base64, one line, readable by its owner only (mode 0600 or
 * stricter). A server whose key cannot be had has no driver and is reported as "unknown" with the reason; it is
 * looked for again at the next generation.
 *
 * Thread safety: belongs to one thread; the report callback runs on drivers' threads, and on the caller's for servers
 * without a driver.
 */
#ifndef ENGINE_NAMESERVERS_H
#define ENGINE_NAMESERVERS_H

#include "dns/dns.h"
#include "server/interlocking/resolve.h"

struct nameservers;
/* keys_dir: NULL when there is none. report as in dns.h; status.error is set for servers without a driver. */
struct nameservers *nameservers_new(const char *keys_dir, dns_report_fn report, void *data);
/* Fits the drivers to the inventory and gives each the records of its zone. */
void nameservers_publish(struct nameservers *nameservers, const struct resolved *resolved);
/* Ends all drivers; no callback runs after it. NULL is allowed. */
void nameservers_free(struct nameservers *nameservers);

#endif
