/* call.h: one call of the REST API on its way from listener to engine and back.
 *
 *   listener's thread    route, who, role           -> problem at once
 *                        handler->prepare           parse the body, look at headers; may answer from what is published
 *   reader's thread      handler->read              what is read from disk, one call after the other; the long in turns
 *   engine's thread      handler->work or ->ready   what needs the engine; the result is text when it leaves
 *   hashing thread       handler->slow              passwords, replays: what takes the processor's time; before ->work
 *   listener's thread    the answer
 * A handler is one row of the table in handlers.c. Each function may set *error instead; that becomes a problem
 * (RFC 9457), and nothing has changed.
 *
 * Thread safety: a call belongs to the thread that it is on.
 */
#ifndef API_CALL_H
#define API_CALL_H

#include "schema/route.h"
#include "server/api/answers.h"
#include "server/api/api.h"
#include "server/api/listener.h"
#include "server/api/paging.h"
#include "server/api/sessions.h"
#include "server/api/tokens.h"
#include "server/engine/executor.h"
#include "server/store/journal.h"

struct handler;
struct call {
    struct api *api;
    struct request *request;
    const struct route_class *route;
    const struct handler *handler;
    struct route_params params; /* {name} of the path, in order */
    char *who;                  /* token's or user's name, "uid:0", or NULL where no token is asked for */
    char **scopes;              /* of the token (tokens.h), or NULL: all */
    int64_t expires_us;         /* of the token; 0: never */
    json_t *body;               /* parsed, or NULL */
    /* Prepared from body, query and headers. */
    char *reason_text; /* or NULL */
    char **overrides;  /* names of rules, NULL-terminated, or NULL */
    bool dry_run;
    bool keyed; /* a change with an Idempotency-Key */
    struct answer_key key;
    struct page page;             /* of a listing */
    int64_t if_match;             /* revision; IF_MATCH_ANY, IF_MATCH_ABSENT */
    int64_t after;                /* ?after= */
    uint64_t after_epoch, writes; /* events: of the entry `after`; how often the journal was written when it was read */
    bool with_status;             /* events: ?status= */
    GString *told;                /* events: what was read, until the status joins it; or NULL */
    int64_t until_us;             /* end of ?wait= */
    struct stamp have;            /* agents: what they have */
    char hash[TOKEN_PASSWORD_SIZE]; /* of a password */
    /* The outcome. */
    bool again;                  /* handler->read goes on in another turn: others are read for in between */
    json_t *result;              /* becomes the reply's body */
    bool accepted;               /* 202 instead of the handler's status: it goes on */
    bool unwritten;              /* the executor waits for the answer to be sent */
    GError *error;               /* becomes a problem */
    GPtrArray *findings;         /* errors[] of the problem, or NULL */
    struct journal_entry *token; /* taken into the tokens when it is durable */
    GPtrArray *answers;          /* of struct journal_entry: the same into the answers; or NULL */
};
#define IF_MATCH_ANY (-1) /* "*" */
#define IF_MATCH_ABSENT (-2)

struct handler {
    const char
        *members; /* of the body, with "reason", "overrides", "dry_run" where they are; NULL: the handler looks */
    bool (*prepare)(struct call *call, GError **error);                 /* may be NULL */
    bool (*read)(struct call *call, GError **error);                    /* or NULL: what takes its time with the disk */
    void (*slow)(struct call *call, GError **error);                    /* or NULL: with passwords, or a replay */
    void (*work)(struct call *call, struct turn *turn, GError **error); /* or NULL */
    bool (*ready)(struct call *call, struct turn *turn, bool last, GError **error); /* or NULL: for those that wait;
                                                                                     * with read: to read again */
    void (*resumed)(struct call *call); /* or NULL: of calls that prepare has parked */
    unsigned status;                    /* of a success */
    size_t body_size_max;               /* 0: BODY_SIZE_MAX */
    bool secret;                        /* its answer is shown once */
    struct paging paging;               /* its answer is a listing */
    bool dry_run;                       /* it can say what would be, and change nothing; others refuse to be asked */
    bool anyhow;                        /* it goes on while the journal cannot be written */
};
const struct handler *handler_for(enum route_id id);
/* What agents ask (handlers_agent.c). */
bool agent_table(struct call *call, GError **error);
void agent_table_resumed(struct call *call);
bool agent_part(struct call *call, GError **error);
json_t *status_now(const struct call *call, const struct turn *turn); /* as GET /v1/status */
bool events_prepare(struct call *call, GError **error);               /* handlers_events.c */
bool events_read(struct call *call, GError **error);
bool events_ready(struct call *call, struct turn *turn, bool last, GError **error);
json_t *plans_answer(const struct world *world);   /* plans by name */
bool get_plans(struct call *call, GError **error); /* handlers_plan.c */
bool get_plan(struct call *call, GError **error);
bool get_plan_text(struct call *call, GError **error);
bool run_prepare(struct call *call, GError **error);
void run_plan(struct call *call, struct turn *turn, GError **error);
void get_executions(struct call *call, struct turn *turn, GError **error);
bool execution_prepare(struct call *call, GError **error);
bool execution_ready(struct call *call, struct turn *turn, bool last, GError **error);
void get_undo(struct call *call, struct turn *turn, GError **error);
void abort_execution(struct call *call, struct turn *turn, GError **error);
bool act_prepare(struct call *call, GError **error);
void act_on_execution(struct call *call, struct turn *turn, GError **error);
bool webhooks_list(struct call *call, GError **error); /* handlers_webhooks.c */
bool webhooks_deliveries(struct call *call, GError **error);
void webhooks_tell(struct call *call, struct turn *turn, GError **error);
bool audit_rows(struct call *call, GError **error); /* handlers_audit.c */
/* A row as the API shows it, a new reference; NULL: the journal is damaged. */
json_t *audit_row_json(const struct journal_row *row, GError **error);
bool audit_verify(struct call *call, GError **error);
bool history_recordings(struct call *call, GError **error); /* handlers_history.c */
bool history_recording(struct call *call, GError **error);
void history_status(struct call *call, GError **error);
bool history_world(struct call *call, GError **error);
void get_pin_keys(struct call *call, struct turn *turn, GError **error); /* handlers_pin.c */
void change_pin_keys(struct call *call, struct turn *turn, GError **error);
void issue_pin(struct call *call, struct turn *turn, GError **error);
void acknowledge_alarm(struct call *call, struct turn *turn, GError **error); /* handlers_alarms.c */
void agent_report(struct call *call, struct turn *turn, GError **error);
bool get_tokens(struct call *call, GError **error); /* handlers_tokens.c */
void create_token(struct call *call, struct turn *turn, GError **error);
void delete_token(struct call *call, struct turn *turn, GError **error);
bool session_get(struct call *call, GError **error); /* handlers_users.c */
bool login_prepare(struct call *call, GError **error);
void login_slow(struct call *call, GError **error);
void login(struct call *call, struct turn *turn, GError **error);
bool logout_prepare(struct call *call, GError **error);
void logout(struct call *call, struct turn *turn, GError **error);
bool get_users(struct call *call, GError **error);
bool password_prepare(struct call *call, GError **error);
void password_slow(struct call *call, GError **error);
void create_user(struct call *call, struct turn *turn, GError **error);
void change_password(struct call *call, struct turn *turn, GError **error);
void delete_user(struct call *call, struct turn *turn, GError **error);
/* The cookie of a session, NULL: none was sent. */
const char *session_cookie(const struct call *call);
/* Whose it is and what he may, as tokens_check. FORBIDDEN: a change that the session's own page has not asked for. */
bool session_authorize(struct call *call, struct token_grant *grant, GError **error);

/* Helpers of handlers: what a call asks for. All set *error and return false when it is not right. */
bool call_if_match(struct call *call, GError **error); /* header into if_match; SB_ERROR_PRECONDITION if absent */
bool call_query_int(const struct call *call, const char *name, int64_t *out, GError **error); /* as queries.def */
struct world *call_world(const struct call *call); /* the one in force; the caller unrefs it */
struct asker call_asker(const struct call *call);
/* The journal first; the token reaches the tokens when it is durable. Takes body; null ends it. */
void call_journal_token(struct call *call, struct turn *turn, const char *name, json_t *body, const char *what);
bool call_may_grant(const struct call *call, GError **error); /* scopes and end of the body: no more than the asker's */
void call_set_etag(struct call *call, uint64_t revision);

#endif
