/* callee: whom to call, at the command line: for each line of input one of output, "ZONE ADDRESS AGE_MS", or "nobody".
 *
 *   callee --etcd URL[,URL...] --what service/home --zone zone-1 --instances /instances/home
 *          [--prefix /signalbox] [--cache FILE] [--ca FILE --cert FILE --key FILE]
 */
#include "callee.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#define FIRST_MS 3000 /* then the answer is "nobody" until there is a row */

static bool parse(struct callee_config *config, int argc, char **argv)
{
    static const struct option options[] = {
        {"etcd", required_argument, NULL, 'e'},   {"what", required_argument, NULL, 'w'},
        {"zone", required_argument, NULL, 'z'},   {"instances", required_argument, NULL, 'i'},
        {"prefix", required_argument, NULL, 'p'}, {"cache", required_argument, NULL, 'f'},
        {"ca", required_argument, NULL, 'a'},     {"cert", required_argument, NULL, 'c'},
        {"key", required_argument, NULL, 'k'},    {NULL, 0, NULL, 0}};
    const char **slots[] = {['e'] = &config->members,   ['w'] = &config->what,   ['z'] = &config->caller,
                            ['i'] = &config->instances, ['p'] = &config->prefix, ['f'] = &config->cache,
                            ['a'] = &config->ca,        ['c'] = &config->cert,   ['k'] = &config->key};
    int flag;
    while ((flag = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (flag == '?')
            return false;
        *slots[flag] = optarg;
    }
    return optind == argc && config->members != NULL && config->what != NULL && config->caller != NULL &&
           config->instances != NULL;
}

static void answer(struct callee *callee)
{
    struct callee_state state;
    g_autofree char *zone = NULL, *address = callee_pick(callee, g_random_int(), &zone);
    callee_state(callee, &state);
    if (address != NULL)
        printf("%s %s %" G_GINT64_FORMAT "\n", zone, address, state.age_us / 1000);
    else
        printf("nobody\n");
    if (state.error != NULL)
        fprintf(stderr, "callee: %s\n", state.error);
    g_free(state.error);
}

int main(int argc, char **argv)
{
    struct callee_config config = {.prefix = "/signalbox"};
    if (!parse(&config, argc, argv)) {
        fprintf(stderr, "callee: expected --etcd, --what, --zone and --instances; see the head of callee_main.c\n");
        return 2;
    }
    g_autoptr(GError) error = NULL;
    struct callee *callee = callee_new(&config, &error);
    if (callee == NULL) {
        fprintf(stderr, "callee: %s\n", error->message);
        return 1;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    callee_wait(callee, FIRST_MS);
    char *line = NULL;
    size_t size = 0;
    while (getline(&line, &size, stdin) >= 0)
        answer(callee);
    free(line);
    callee_free(callee);
    return 0;
}
