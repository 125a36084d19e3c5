/* cli.h: what the commands of `signalbox` share: the connection, output for people or as JSON, errors.
 *
 * A command is a function of commands.def; it gets its own argv (argv[0] is its name) and returns the exit code:
 * 0 ok, 1 failed, 2 usage, 3 refused by a rule, 5 rolled back, 6 unreachable (4 is kept for "approval needed").
 * Data goes to standard output, talk to standard error. Thread safety: one thread.
 */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include "core/httpc.h"

#include <getopt.h>
#include <jansson.h>
#include <stdio.h>

#define CLI_SOCKET "/run/signalbox/signalboxd.sock" /* of the server of this machine */

enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_REFUSED = 3, EXIT_ROLLED_BACK = 5, EXIT_UNREACHABLE = 6 };

struct cli {
    struct httpc_target target;
    bool json;    /* print answers as they are */
    bool patient; /* that the server cannot be reached is not printed: the caller asks again */
    bool quiet;   /* that the server has not got it (404) is not printed: the caller does without */
};

#define COMMAND(name, ...) int command_##name(struct cli *cli, int argc, char **argv);
#include "server/cli/commands.def"
#undef COMMAND

/* commands.c: what `signalbox --help` says. */
void commands_help(FILE *out);
/* The command line from the command on. -1: all is well as far as its usage can tell, go on with *words (g_strfreev),
 * without
 * --json, which is cli's; else help or what is wrong was printed, and it is the exit code. before: the options that
 * stand before commands. */
int commands_check(struct cli *cli, char **argv, const struct option *before, char ***words);
int commands_run(struct cli *cli, char **words);
/* Of a word before the command that getopt has refused: says what may be meant. EXIT_USAGE. */
int commands_flag(const char *word, const struct option *before);
/* Prints the words that may stand at the end of an unfinished command line, of which the last, perhaps empty, is typed
 * so far. */
void commands_complete(struct cli *cli, int argc, char **argv, const struct option *before);
void complete_command(struct cli *cli, const char *usage, int argc, char **argv); /* complete.c; of one command */
void complete_offer(const char *start, const char *const *words);                 /* those that begin so */

/* Prints "usage: signalbox ..." of a command to standard error; returns EXIT_USAGE. */
int cli_usage(const char *command);

/* What stands before the command; members are NULL when absent. */
struct cli_flags {
    const char *server, *socket, *ca, *token_file;
    bool json;
};
/* Where to ask and as whom; what no flag says is taken from the environment, and a flag of one kind outweighs a
 * variable of the other. False: an error was printed. The flags' texts stay in use. */
bool cli_target_choose(struct httpc_target *target, const struct cli_flags *flags);
void cli_target_clear(struct httpc_target *target);

/* One request; a write has an Idempotency-Key of its own and is asked again when the connection is lost. *answer (may
 * be NULL) is a new reference, JSON null for an empty body. Returns 0, or the exit code after the error was printed.
 * etag (may be NULL): g_free. if_match: text of the header or NULL. */
int cli_call(struct cli *cli, const char *method, const char *path, const json_t *body, const char *if_match,
             long timeout_ms, json_t **answer, char **etag);
int cli_get(struct cli *cli, const char *path, json_t **answer);
/* A listing, fetched by pages and put together: *answer has `member` with at most `limit` rows, 0: all of them.
 * backwards: pages lead to older rows, each from old to new. */
int cli_list(struct cli *cli, const char *path, const char *member, unsigned limit, bool backwards, json_t **answer);
/* Reads [--all | --limit N] behind the `from` first words; *limit stays without them. False: something else is there.
 */
bool cli_limit(int argc, char **argv, int from, unsigned *limit);
/* The same of what is not JSON; *bytes: g_free. */
int cli_get_bytes(struct cli *cli, const char *path, char **bytes, size_t *size);
/* Flags that say what a token or a user is good for, --name, --role, --scope and --expires, into members of the body as
 * the API takes them. False: something else is there (usage). */
bool cli_grant_flags(int argc, char **argv, int from, json_t *body);
/* Escapes one path or query component; g_free. */
char *cli_escape(const char *text);

/* Before anything is opened: a standard descriptor that is closed is no other file's afterwards. */
void cli_output_begin(void);
/* Writes what was printed: true when some of it could not be, and who goes on printing may end. */
bool cli_output_lost(void);
/* The exit code, if all that was printed could be written; else a failure, which is said. */
int cli_output_end(int code);

/* Prints JSON as it is (indented, one object). */
void cli_print_json(const json_t *json);
/* Prints rows (JSON array of objects) as a table. columns: "title=member" or "member", NULL-terminated; members of
 * members by dots. */
void cli_print_table(const json_t *rows, const char *const *columns);
/* Text of a value for people: strings bare, null and absent "-", arrays joined by commas. g_free. */
char *cli_value_text(const json_t *value);
/* Member by dotted path, borrowed or NULL; text of it, "" when absent (borrowed). */
const json_t *cli_member(const json_t *json, const char *path);
const char *cli_text(const json_t *json, const char *path);
json_int_t cli_number(const json_t *json, const char *path); /* 0 when absent */

/* A time as people write it (ISO 8601; UTC without a zone) as wall clock, µs since 1970. False: an error that begins
 * with `flag` was printed. */
bool cli_time(const char *flag, const char *text, int64_t *us);
int64_t cli_duration(const char *text); /* "30d", "12h", "90m" in seconds; 0: it is none */
char *cli_time_text(int64_t us);        /* as it is shown, UTC, to the millisecond; g_free */

/* Ends with the exit code of an error, after printing it. */
int cli_error(const GError *error);

/* What a dry run ends with: JSON as it is with --json, else the refusals to standard output. EXIT_REFUSED if there are
 * any, else EXIT_OK. */
int cli_end_dry_run(struct cli *cli, const json_t *answer);

/* Follows an execution until it ends and shows how it goes; *execution is a new reference or NULL. EXIT_OK: it has
 * ended, however that was. A server that went away is asked again for half a minute: it may be starting anew. */
int cli_follow(struct cli *cli, const char *id, json_t **execution);
bool cli_execution_ended(const json_t *execution);
/* Its events, those that repeat a count left out; its steps, times and state. To standard output. */
void cli_print_events(const json_t *execution);
void cli_print_summary(const json_t *execution);

/* `execution report ID [--fault TIME]` (cmd_report.c). */
int execution_report(struct cli *cli, int argc, char **argv);

#endif
