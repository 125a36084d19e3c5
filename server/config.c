#include "server/config.h"

#include "core/error.h"
#include "core/fileio.h"
#include "schema/object.h"
#include "schema/yamldoc.h"
#include "server/api/api.h"
#include "server/engine/outside.h"

#include <getopt.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct setting {
    size_t offset;
    const char *name, *argument, *fallback, *doc;
} settings[] = {
#define SETTING(member, ...) {offsetof(struct config, member), __VA_ARGS__},
#include "server/config.def"
#undef SETTING
};
enum { FLAG_CONFIG = 1000, FLAG_CHECK, FLAG_DEBUG, FLAG_HELP, FLAG_VERSION };

static char **slot(struct config *config, const struct setting *setting)
{
    return (char **)(void *)((char *)config + setting->offset);
}

static void print_help(void)
{
    puts("usage: signalboxd --cluster NAME [SETTING ...]\n\n"
         "Control server of a site: API, journal, plans, DNS drivers.\n\n"
         "Each setting is a flag, a variable SIGNALBOX_NAME or a key of the file; the first of these that has it "
         "counts.");
    for (size_t i = 0; i < G_N_ELEMENTS(settings); i++) {
        const struct setting *s = &settings[i];
        g_autofree char *flag = g_strdup_printf("--%s %s", s->name, s->argument);
        printf("  %-26s %s%s%s%s\n", flag, s->doc, s->fallback != NULL ? " (default: " : "",
               s->fallback != NULL ? s->fallback : "", s->fallback != NULL ? ")" : "");
    }
    puts("  --config FILE              YAML: `name: value` for each setting\n"
         "  --check-config             check all settings, change nothing; exit 0 or 2\n"
         "  --debug                    log more\n"
         "  --help, --version");
}

/* Flags into config; *file: of --config. */
static enum config_result read_flags(struct config *config, int argc, char **argv, const char **file, GError **error)
{
    struct option options[G_N_ELEMENTS(settings) + 6] = {0};
    static const struct option others[] = {{"config", required_argument, NULL, FLAG_CONFIG},
                                           {"check-config", no_argument, NULL, FLAG_CHECK},
                                           {"debug", no_argument, NULL, FLAG_DEBUG},
                                           {"help", no_argument, NULL, FLAG_HELP},
                                           {"version", no_argument, NULL, FLAG_VERSION}};
    for (size_t i = 0; i < G_N_ELEMENTS(settings); i++)
        options[i] = (struct option){settings[i].name, required_argument, NULL, (int)i};
    memcpy(&options[G_N_ELEMENTS(settings)], others, sizeof others);
    opterr = 0;
    int flag;
    while ((flag = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (flag) {
        case FLAG_CONFIG:
            *file = optarg;
            break;
        case FLAG_CHECK:
            config->check_only = true;
            break;
        case FLAG_DEBUG:
            config->debug = true;
            break;
        case FLAG_HELP:
            print_help();
            return CONFIG_DONE;
        case FLAG_VERSION:
            puts("signalboxd " SIGNALBOX_VERSION);
            return CONFIG_DONE;
        case '?':
            g_set_error(error, SB_ERROR, SB_ERROR_INVALID,
                        "flag: found %s, which is unknown or lacks its argument; see "
                        "signalboxd --help",
                        argv[optind - 1]);
            return CONFIG_WRONG;
        default:
            g_free(*slot(config, &settings[flag]));
            *slot(config, &settings[flag]) = g_strdup(optarg);
        }
    }
    if (optind == argc)
        return CONFIG_RUN;
    g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "argument: found %s, expected flags only; see signalboxd --help",
                argv[optind]);
    return CONFIG_WRONG;
}

static void read_environment(struct config *config)
{
    for (size_t i = 0; i < G_N_ELEMENTS(settings); i++) {
        g_autofree char *upper = g_ascii_strup(settings[i].name, -1);
        g_autofree char *name = g_strdup_printf("SIGNALBOX_%s", g_strdelimit(upper, "-", '_'));
        if (*slot(config, &settings[i]) == NULL)
            *slot(config, &settings[i]) = g_strdup(g_getenv(name));
    }
}

static const struct setting *find_setting(const char *name)
{
    for (size_t i = 0; i < G_N_ELEMENTS(settings); i++)
        if (strcmp(settings[i].name, name) == 0)
            return &settings[i];
    return NULL;
}

static bool take_key(struct config *config, const char *file, const char *key, const json_t *value, GError **error)
{
    const struct setting *setting = find_setting(key);
    if (setting == NULL) {
        g_autofree char *found = text_quote(key);
        g_set_error(error, SB_ERROR, SB_ERROR_INVALID,
                    "%s: found the key %s, which is no setting; see signalboxd --help", file, found);
        return false;
    }
    if (!json_is_string(value) && !json_is_integer(value)) {
        g_autofree char *found = json_quote(value);
        g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "%s: %s: found %s, expected one value", file, key, found);
        return false;
    }
    if (*slot(config, setting) == NULL)
        *slot(config, setting) = json_is_string(value) ? g_strdup(json_string_value(value))
                                                       : g_strdup_printf("%lld", (long long)json_integer_value(value));
    return true;
}

static bool read_file(struct config *config, const char *file, GError **error)
{
    json_t *documents = yamldoc_load_file(file, error);
    if (documents == NULL)
        return false;
    yamldoc_strip(documents);
    const char *key;
    json_t *value;
    bool ok = json_array_size(documents) == 1 && json_is_object(json_array_get(documents, 0));
    if (!ok)
        g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "%s: expected one document of `name: value` lines", file);
    json_object_foreach (json_array_get(documents, 0), key, value)
        ok = ok && take_key(config, file, key, value, error);
    json_decref(documents);
    return ok;
}

static bool parse_endpoint(const char *name, const char *text, struct endpoint *out, GError **error)
{
    if (endpoint_parse(text, out))
        return true;
    g_autofree char *found = text_quote(text);
    g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "--%s: found %s, expected ADDRESS:PORT like 127.0.0.1:8440", name,
                found);
    return false;
}

/* Nobody else may read a secret. */
static bool check_mode(const char *flag, const char *path, GError **error)
{
    bool ok = path == NULL || file_check_private(path, error);
    if (!ok)
        g_prefix_error(error, "--%s: ", flag);
    return ok;
}

static bool check_folder(const char *flag, const char *path, GError **error)
{
    if (path == NULL || g_file_test(path, G_FILE_TEST_IS_DIR))
        return true;
    g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "--%s: found %s, expected a folder", flag, path);
    return false;
}

static bool check_names(struct config *config, GError **error)
{
    g_autofree char *cluster = text_quote(config->cluster), *node = text_quote(config->node);
    guint64 number;
    if (config->cluster == NULL || !text_valid(FIELD_NAME, config->cluster)) {
        g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "--cluster: found %s, expected %s", cluster,
                    text_expected(FIELD_NAME));
        return false;
    }
    if (!g_ascii_string_to_unsigned(config->node, 10, 0, 0xffff, &number, NULL)) {
        g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "--node: found %s, expected a number from 0 to 65535", node);
        return false;
    }
    config->node_number = (unsigned)number;
    return true;
}

static bool check_ballast(struct config *config, GError **error)
{
    guint64 mib;
    if (g_ascii_string_to_unsigned(config->ballast, 10, 0, 1 << 20, &mib, NULL)) {
        config->ballast_size = mib << 20;
        return true;
    }
    g_autofree char *found = text_quote(config->ballast);
    g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "--ballast: found %s, expected MiB from 0 to %d", found, 1 << 20);
    return false;
}

static bool check_record(struct config *config, GError **error)
{
    guint64 mib, hours;
    bool size_ok = g_ascii_string_to_unsigned(config->record, 10, 0, 1 << 20, &mib, NULL);
    if (size_ok && g_ascii_string_to_unsigned(config->record_hours, 10, 1, 8784, &hours, NULL)) {
        config->record_size = mib << 20;
        config->record_us = (int64_t)hours * 3600 * G_USEC_PER_SEC;
        return true;
    }
    g_autofree char *found = text_quote(size_ok ? config->record_hours : config->record);
    if (size_ok)
        g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "--record-hours: found %s, expected hours from 1 to 8784",
                    found);
    else
        g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "--record: found %s, expected MiB from 0 to %d", found, 1 << 20);
    return false;
}

static bool check_tls(struct config *config, GError **error)
{
    if ((config->tls_cert == NULL) != (config->tls_key == NULL)) {
        g_set_error(error, SB_ERROR, SB_ERROR_INVALID,
                    "found only one of --tls-cert and --tls-key, expected both or none");
        return false;
    }
    if ((config->agents_ca != NULL && config->tls_cert == NULL) ||
        (config->agents_revoked != NULL && config->agents_ca == NULL)) {
        g_set_error(error, SB_ERROR, SB_ERROR_INVALID,
                    config->agents_ca != NULL ? "found --agents-ca, expected --tls-cert and --tls-key beside it"
                                              : "found --agents-revoked, expected --agents-ca beside it");
        return false;
    }
    if (config->tls_cert == NULL)
        return true;
    const struct tls_files files = {config->tls_cert, config->tls_key, config->agents_ca, config->agents_revoked};
    sb_auto(tls) tls = check_mode("tls-key", config->tls_key, error) ? tls_new(&files, error) : NULL;
    return tls != NULL;
}

static bool check_allow(const struct config *config, GError **error)
{
    sb_auto(outside) outside = outside_new(config->call_allow, error);
    if (outside == NULL)
        g_prefix_error(error, "--call-allow: ");
    return outside != NULL;
}

static bool check(struct config *config, GError **error)
{
    return check_names(config, error) && check_ballast(config, error) && check_record(config, error) &&
           parse_endpoint("listen", config->listen, &config->listen_endpoint, error) &&
           parse_endpoint("agents-listen", config->agents_listen, &config->agents_endpoint, error) &&
           check_tls(config, error) &&
           api_check_address("--listen", &config->listen_endpoint, config->tls_cert != NULL, error) &&
           api_check_address("--agents-listen", &config->agents_endpoint, config->tls_cert != NULL, error) &&
           check_allow(config, error) && check_folder("keys", config->keys, error) &&
           check_folder("runbooks", config->runbooks, error);
}

enum config_result config_load(struct config *config, int argc, char **argv, GError **error)
{
    const char *file = NULL;
    memset(config, 0, sizeof *config);
    enum config_result result = read_flags(config, argc, argv, &file, error);
    if (result != CONFIG_RUN)
        return result;
    read_environment(config);
    if (file != NULL && !read_file(config, file, error))
        return CONFIG_WRONG;
    for (size_t i = 0; i < G_N_ELEMENTS(settings); i++)
        if (*slot(config, &settings[i]) == NULL)
            *slot(config, &settings[i]) = g_strdup(settings[i].fallback);
    if (config->store == NULL)
        config->store = g_strdup_printf("%s/store.db", config->state);
    return check(config, error) ? CONFIG_RUN : CONFIG_WRONG;
}

void config_clear(struct config *config)
{
    for (size_t i = 0; i < G_N_ELEMENTS(settings); i++)
        g_clear_pointer(slot(config, &settings[i]), g_free);
}
