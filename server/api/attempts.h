/* attempts.h: how often passwords may be guessed.
 *
 * Each name, and each address that asks, has a number of attempts at hand; one used comes back after a time, and a
 * successful one at once. So one address can try neither many passwords of a person nor one password of many people,
 * and many addresses together cannot try many passwords of one person. Who has none left hears how long to wait, and
 * no password is looked at. (A person can be kept out so, by somebody who asks in his name from everywhere: tokens and
 * the local socket are not touched by it.)
 *
 * Thread safety: any thread. The time is an argument.
 */
#ifndef API_ATTEMPTS_H
#define API_ATTEMPTS_H

#include "core/auto.h"
#include <stdint.h>

#define ATTEMPTS_OF_NAME 10
#define ATTEMPTS_OF_ADDRESS 20
#define ATTEMPTS_BACK_US ((int64_t)30 * 1000 * 1000) /* one comes back */
#define ATTEMPTS_KNOWN_MAX 10000                     /* names and addresses that are remembered */

struct attempts;
struct attempts *attempts_new(void);
void attempts_free(struct attempts *attempts);
SB_AUTO_DEFINE(attempts, attempts_free)

/* Takes one of both; 0: it may be made. Else nothing was taken, and that many µs are to be waited. */
int64_t attempts_take(struct attempts *attempts, const char *name, const char *address, int64_t now_us);
/* It was successful. */
void attempts_give_back(struct attempts *attempts, const char *name, const char *address);

#endif
