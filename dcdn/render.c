#include "dcdn/render.h"

#include "core/error.h"
#include "dcdn/hold.h"
#include "dcdn/probe.h"
#include "schema/pin.h"

#include <string.h>

/* Time-outs, measured with both entrances of a room silently gone: a GET sent to a dead entrance is given up after
 * tcp-ut (no acknowledgement) or `timeout connect`, at most `retries` times, each time at another server; checks have
 * marked both down after 0.7 s at the latest. So the slowest GET takes about 1 s and none fails, where a backup lives.
 * Layer 4 retries (nothing was sent) are for every method; layer 7 retries for GET, HEAD and OPTIONS only.
 *
 * Where there is a backup, the first connection that fails marks an entrance down, and a request may be sent once more
 * than it can fail: at each entrance over a connection that was kept and over a new one. So it cannot use up its
 * retries on entrances that refuse at once, long before a check finds out. Checks bring it back.
 * They need more checks in a row to be back than the agent needs to see them down and hold the room away (hold.h): a
 * room that flaps does not get its users back in between.
 * Where there is no backup, one lost connection is no reason to do without an entrance.
 *
 * An answer that does not come looks like an entrance that is gone, and asking again multiplies the load of a service
 * that is slow everywhere. So a destination, a policy's room, has a budget: what is asked again in 10 s, and what might
 * be because it waits for its answer, is a tenth of its requests, or RESENT_MIN where that is more. Beyond it, and for
 * services with a time-out of their own, requests go by the patient backends, where only a lost connection is a reason
 * to ask again: an entrance that does not even acknowledge (tcp-ut while something was sent, srvtcpka while nothing is,
 * 2 s at most; sooner where all of a room's are, by giveup.h) is gone, one that does is slow. Connections that are lost
 * count as well; when they alone are more than the budget nothing is asked again. No slow answer marks anything down:
 * `observe layer4` sees connects alone.
 * A request that another edge relayed is that edge's to ask again. */
#define RETRIES_MIN 3u
static const char globals[] =
    "    stats timeout 1h\n"
    /* An old worker's downloads, and its kept connections: it ends none sooner than `timeout http-keep-alive` would. */
    "    hard-stop-after 65s\n"
    "    mworker-max-reloads 20\n"
    "    fd-hard-limit 50000\n"; /* without one HAProxy sizes itself by the system's, which may be 2^30 */
#define LAST_GOOD_S "600"
static const char caches[] = "cache last_good\n"
                             "    total-max-size 16\n"
                             "    max-object-size 262144\n"
                             "    max-age " LAST_GOOD_S "\n"
                             "cache last_good_key\n"
                             "    total-max-size 1\n"
                             "    max-age 1\n";
static const char defaults[] =
    "defaults\n"
    "    mode http\n"
    "    timeout client 30s\n"
    "    timeout http-request 10s\n"
    "    timeout http-keep-alive 60s\n"
    "    timeout connect 250ms\n"
    "    timeout check 200ms\n"
    "    timeout queue 1s\n"
    "    timeout server 700ms\n"
    "    option redispatch 1\n"
    "    retry-on conn-failure empty-response response-timeout\n"
    "    http-reuse safe\n"
    "    default-server inter 200ms fastinter 100ms downinter 300ms fall 2 rise 3 pool-purge-delay 5s tcp-ut 300ms\n";
/* What may not be sent twice gets more time; still less than people wait. */
static const char backend_head[] = "backend %s\n"
                                   "    option forwardfor\n"
                                   "    option httpchk GET /hz\n"
                                   "    http-send-name-header X-SB-Attempt\n"
                                   "    http-request set-timeout server 1200ms unless { method GET HEAD OPTIONS }\n";
/* Counters of a policy in st_unanswered: what nobody answered, what was let through; then, of what was let through, the
 * requests of each interface with a limit, by its number. HAProxy 2.6 tracks three keys of a request and no more, so
 * that there is none left for the interface. */
enum { COUNT_LET = 1, COUNTS = COUNT_LET + 1 + INTERFACE_LIMITS_MAX };
#define RESENT_MIN 40u
#define RESENT_COUNTED 8u /* of one request at most */
#define RESENT_EACH 4u    /* times that one which waits may be asked again, reckoned */
/* Its own checks find out late that nobody answers; its traffic and the other backends' users are faster. A connection
 * kept from before would hide that an entrance is gone: where the way to it has gone too, nothing is sent, and then the
 * kernel does not count tcp-ut. A connect tells in any case. */
static const char patient_head[] =
    "    retry-on conn-failure empty-response\n"
    "    default-server inter 1s pool-max-conn 0\n"
    "    option srvtcpka\n"
    "    srvtcpka-idle 1s\n"
    "    srvtcpka-intvl 1s\n"
    "    srvtcpka-cnt 1\n"
    "    http-request set-timeout server var(txn.timeout),add(%u) if { var(txn.timeout) -m len gt 0 }\n";
#define RELAY_MARGIN_MS 300u       /* the dedicated edge's 504 comes first */
#define SUCCESSOR "successor.sock" /* in the folder of the maps */
#define CHECK "check observe layer4 error-limit 2 on-error mark-down"
#define CHECK_BACKED "check rise 10 observe layer4 error-limit 1 on-error mark-down"
#define CHECK_LONE "check observe layer4 error-limit 2 on-error fastinter"

bool edge_settings_check(const struct edge_settings *settings, GError **error)
{
    const char *const rows[][2] = {
        {"--name", settings->name},
        {"--cluster", settings->cluster},
        {"--state", settings->state_dir},
        {"--listen", settings->listen},
        {"--haproxy-socket", settings->haproxy_socket},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++)
        if (rows[i][1] == NULL || !edge_text_safe(rows[i][1])) {
            g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "%s '%s': expected letters, digits and ./:_~- only",
                        rows[i][0], rows[i][1] != NULL ? rows[i][1] : "");
            return false;
        }
    if (settings->hold_us < 0 || settings->hold_stage_us <= 0) {
        g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "--hold and --hold-stage: expected seconds, the second above 0");
        return false;
    }
    if (settings->relay_allowance < 1 || settings->relay_allowance > EDGE_RELAY_ALLOWANCE_MAX) {
        g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "--relay-allowance %d: expected requests a second, 1 to %d",
                    settings->relay_allowance, EDGE_RELAY_ALLOWANCE_MAX);
        return false;
    }
    struct endpoint listen;
    if (!endpoint_parse(settings->listen, &listen)) {
        g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "--listen '%s': expected ADDRESS:PORT", settings->listen);
        return false;
    }
    if (!g_path_is_absolute(settings->state_dir) || !g_path_is_absolute(settings->haproxy_socket)) {
        g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "--state and --haproxy-socket: expected absolute paths");
        return false;
    }
    return true;
}

/* Where probes of this machine come from: the loopback, or the very address that it listens at. */
static char *own_addresses(const struct edge_settings *s)
{
    static const uint8_t any[16];
    char text[ADDR_TEXT_SIZE] = "";
    struct endpoint listen;
    if (endpoint_parse(s->listen, &listen) && memcmp(listen.addr.bytes, any, sizeof any) != 0)
        addr_format(&listen.addr, text);
    return g_strdup_printf("127.0.0.0/8 ::1 %s", text);
}

/* A reload leaves the connections that users keep to the process before, which has the maps of before. It must neither
 * end one, on which a request may be on its way, nor serve it: it passes each request on to its successor as it is,
 * the client's address in front (PROXY protocol), and ends the connection with the answer. */
static void render_listeners(GString *out, const struct edge_settings *s)
{
    g_string_append_printf(out, "    bind %s\n    bind unix@%s/" SUCCESSOR " mode 600 accept-proxy\n", s->listen,
                           s->state_dir);
    g_string_append(out, "    option idle-close-on-response\n"
                         "    http-request set-var(txn.passed_on) bool(true) if { stopping }\n"
                         "    http-request allow if { var(txn.passed_on) -m bool }\n"
                         "    http-response allow if { var(txn.passed_on) -m bool }\n"
                         "    http-after-response allow if { var(txn.passed_on) -m bool }\n");
}

static void render_successor(GString *out, const struct edge_settings *s)
{
    g_string_append_printf(out,
                           "backend be_successor\n"
                           "    timeout server 30s\n" /* time-outs are the successor's matter */
                           "    retry-on conn-failure\n"
                           "    http-reuse never\n"
                           "    server next unix@%s/" SUCCESSOR " send-proxy-v2\n",
                           s->state_dir);
}

/* A pin (schema/pin.h) takes the place of what the split says, if it is signed by a key of the table, has not ended,
 * and its room is open for a multi-active service; else it is passed over. txn.pin_is says what came of it: the room,
 * or why not, in capitals, which no room's name has. Until the signature is found right nothing of it is used but to
 * look up the key. */
static char *pin_rules(const char *dir)
{
    return g_strdup_printf(
        "    http-request set-var(txn.pin) req.cook(" PIN_COOKIE "),bytes(0,%d)\n"
        "    acl pin var(txn.pin) -m len gt 0\n"
        "    http-request set-var(txn.pin_is) str(UNKNOWN) if pin\n"
        "    http-request set-var(txn.pin_id) 'var(txn.pin),field(1,.)' if pin\n"
        "    http-request set-var(txn.pin_key) str(" PIN_ROW "),concat(,txn.pin_id),map_str(%s/rooms.map) if pin\n"
        "    acl pin_key var(txn.pin_key) -m found\n"
        "    http-request set-var(txn.pin_said) 'var(txn.pin),field(1,.,4)' if pin_key\n"
        "    http-request set-var(txn.pin_said) var(txn.pin_said),concat(.,txn.user) if pin_key "
        "{ var(txn.pin),field(3,.) -m str user }\n"
        "    http-request set-var(txn.pin_mac) 'var(txn.pin_said),hmac(sha256,txn.pin_key),hex,lower' if pin_key\n"
        "    http-request set-var(txn.pin_sign) 'var(txn.pin),field(5,.)' if pin_key\n"
        "    acl pin_good var(txn.pin_sign),secure_memcmp(txn.pin_mac) -m bool\n"
        "    http-request set-var(txn.pin_is) str(ENDED) if pin_key pin_good\n"
        "    http-request set-var(txn.pin_until) 'var(txn.pin),field(4,.),add(0)' if pin_key pin_good\n"
        "    acl pin_lives var(txn.pin_is) -m str ENDED\n"
        "    acl pin_left date,sub(txn.pin_until) -m int lt 0\n"
        "    http-request set-var(txn.pin_is) str(CLOSED) if pin_lives pin_left\n"
        "    acl pin_now var(txn.pin_is) -m str CLOSED\n"
        "    http-request set-var(txn.pin_room) 'var(txn.pin),field(2,.)' if pin_now\n"
        "    http-request set-var(txn.pin_used) var(txn.class),concat(/,txn.pin_room),map_str(%s/rooms.map,-) if "
        "pin_now\n"
        "    acl pin_open var(txn.pin_used),strcmp(txn.pin_room) -m int eq 0\n"
        "    http-request set-var(txn.pin_is) var(txn.pin_room) if pin_now pin_open { var(txn.class) -m str multi }\n"
        "    acl pinned var(txn.pin_room),strcmp(txn.pin_is) -m int eq 0\n"
        "    http-request set-var(txn.want) var(txn.pin_room) if pin pinned\n",
        PIN_COOKIE_MAX, dir, dir);
}

/* Who asks, and what for: policy, slot, room. Headers of edges can be written by anyone; what they are worth here:
 *   probe   not counted; from another machine only for the path that nobody but a probe asks for
 *   slot    of a relayed request, whose client's address only the first edge saw: no more than a cookie could choose
 *   relayed at a public edge, which nobody relays to: it is not relayed again, no more. At a dedicated edge: the
 *           service's own answer where this edge would give a static or the last good one; limits count it all the same
 * The prefix is looked for in the path as an origin may read it: decoded, slashes merged; dot segments, which clients
 * take out before they send (RFC 3986, 5.2.4), are refused. */
static void render_request(GString *out, const struct edge_settings *s)
{
    const char *dir = s->state_dir;
    g_autofree char *own = own_addresses(s), *pin = pin_rules(dir);
    g_string_append_printf(
        out,
        "    http-request set-var(txn.relayed) req.hdr(x-sb-relayed)\n"
        "    acl probe_header req.hdr(x-sb-probe) -m found\n"
        "    http-request set-var(txn.probe) bool(true) if probe_header { src %s }\n"
        "    http-request set-var(txn.probe) bool(true) if probe_header { var(txn.relayed) -m found } "
        "{ path_end /" PROBE_PATH " }\n"
        "    http-request set-var(txn.relayed_slot) req.hdr(x-sb-slot) if { var(txn.relayed) -m found }\n"
        "    http-request set-var(txn.request) uuid()\n"
        "    http-request set-var(txn.request) req.hdr(x-sb-request) if { var(txn.relayed) -m found } "
        "{ req.hdr(x-sb-request) -m reg ^[0-9a-f-]{36}$ }\n"
        "    http-request del-header x-sb- -m beg\n"
        "    http-request return status 200 content-type text/plain string \"ok\\n\" if { path /hz } "
        "!{ req.hdr(host) -m found }\n",
        own);
    g_string_append_printf(
        out,
        "    http-request set-var(txn.host) req.fhdr(host),field(1,:),field(1,/),rtrim(.),lower\n"
        "    http-request set-var(txn.path) path,url_dec,regsub(/+,/,g)\n"
        "    http-request return status 400 content-type text/plain string \"dot segments in the path\\n\" if "
        "{ var(txn.path) -m reg /[.][.]?(/|$) }\n"
        "    http-request set-var(txn.policy) var(txn.host),concat(,txn.path,/),map_beg(%s/routes.map)\n"
        "    http-request set-var(txn.p) var(txn.policy),map_str(%s/policies.map) if { var(txn.policy) -m found }\n"
        "    http-request return status 421 content-type text/plain string \"unknown host\\n\" if !{ var(txn.p) -m "
        "found }\n"
        "    http-request track-sc0 var(txn.policy) table st_unanswered if !{ var(txn.probe) -m bool }\n",
        dir, dir);
    g_string_append_printf(
        out,
        /* schema/slot.h: user, else device, else address prefix */
        "    http-request set-var(txn.user) req.cook(uid),bytes(0,128)\n"
        "    http-request set-var(txn.device) req.cook(sb_device),bytes(0,128)\n"
        "    http-request set-var(txn.net) src,ipmask(24,64)\n"
        "    http-request set-var(txn.key) str(a:),concat(,txn.net)\n"
        "    http-request set-var(txn.key) str(d:),concat(,txn.device) if { var(txn.device) -m len gt 0 }\n"
        "    http-request set-var(txn.key) str(u:),concat(,txn.user) if { var(txn.user) -m len gt 0 }\n"
        "    http-request set-var(txn.slot) var(txn.key),xxh32,mod(1000)\n"
        "    http-request set-var(txn.slot) var(txn.relayed_slot),add(0) if "
        "{ var(txn.relayed_slot) -m reg ^[0-9]{1,3}$ }\n"
        "    http-request set-var(txn.at) 'var(txn.p),field(1,|),mul(1000),add(txn.slot)'\n"
        "    http-request set-var(txn.want) var(txn.at),map_int(%s/splits.map,-)\n"
        /* Between the two look-ups the policy may have got another split and the old one's ranges may have gone. Then
         * the policy is read again: what it says now has its ranges, because they were there first (change.h). */
        "    acl split_gone var(txn.want) -m str -- -\n"
        "    http-request set-var(txn.p) var(txn.policy),map_str(%s/policies.map) if split_gone\n"
        "    http-request set-var(txn.at) 'var(txn.p),field(1,|),mul(1000),add(txn.slot)' if split_gone\n"
        "    http-request set-var(txn.want) var(txn.at),map_int(%s/splits.map,-) if split_gone\n"
        "    http-request set-var(txn.class) 'var(txn.p),field(2,|)'\n"
        "    http-request set-var(txn.dr) 'var(txn.p),field(3,|)'\n"
        "    http-request set-var(txn.road) 'var(txn.p),field(4,|)'\n"
        "%s"
        "    http-request set-var(txn.room) var(txn.class),concat(/,txn.want),map_str(%s/rooms.map,-)\n"
        /* of slots whose room is held away: the turns that are not home yet (hold.h) */
        "    http-request set-var(txn.home) var(txn.room),map_str_int(%s/holds.map,%u)\n"
        "    http-request set-var(txn.away) var(txn.slot),mul(%u),mod(%u),sub(txn.home)\n",
        dir, dir, dir, pin, dir, dir, HOLD_SLOTS, SLOT_SPREAD, HOLD_SLOTS);
}

/* The interface that the request is of, where levers of its service's interfaces were moved: the row with the longest
 * path of the four that can fit, with a host and a method or without; of two alike the later, as interface_of has it.
 * It says who answers, in the service's place, and may have a limit of its own. */
static void render_interface(GString *out, const char *dir)
{
    static const char *const keys[] = {"concat(any/-)", "concat(,txn.method,/-)", "concat(any/,txn.host)",
                                       "concat(,txn.method,/),concat(,txn.host)"};
    g_string_append(out, "    acl by_interface 'var(txn.p),field(8,|)' -m str interfaces\n"
                         "    acl longer 'var(txn.interface_row),field(1,|),sub(txn.interface_len)' -m int ge 0\n"
                         "    http-request set-var(txn.method) method,lower if by_interface\n"
                         "    http-request set-var(txn.service) 'var(txn.policy),field(2,.)' if by_interface\n"
                         "    http-request set-var(txn.interface_len) int(1) if by_interface\n");
    for (size_t i = 0; i < G_N_ELEMENTS(keys); i++)
        g_string_append_printf(
            out,
            "    http-request set-var(txn.interface_row) str(" INTERFACE_ROW "),concat(,txn.service,/),%s,"
            "concat(,txn.path,/),map_beg(%s/policies.map,0) if by_interface\n"
            "    http-request set-var(txn.interface) var(txn.interface_row) if by_interface longer\n"
            "    http-request set-var(txn.interface_len) 'var(txn.interface_row),field(1,|),add(0)' if by_interface "
            "longer\n",
            keys[i], dir);
    g_string_append(out, "    acl interface var(txn.interface) -m found\n"
                         "    http-request set-var(txn.degrade) 'var(txn.interface),field(2,|)' if interface\n"
                         "    http-request set-var(txn.interface_limit) 'var(txn.interface),field(3,|),add(0)' if "
                         "interface !{ var(txn.probe) -m bool }\n"
                         "    http-request set-var(txn.interface_number) 'var(txn.interface),field(4,|),add(0)' if "
                         "interface !{ var(txn.probe) -m bool }\n");
}

/* Who answers: the service, or this edge in its place. A probe goes the real road in any case, and what another edge
 * relayed to this one, a dedicated one then, has been answered there if edges were to; it counts for the limit here as
 * well, because anyone can say so of a request. Each way has a counter of its own, "policy//static", so that what an
 * edge answers is neither taken for an answer of a room nor for nobody's. */
static void render_degrade(GString *out, const struct edge_state *state, const char *dir)
{
    g_string_append_printf(out,
                           "    acl own var(txn.probe) -m bool\n"
                           "%s"
                           "    http-request set-var(txn.degrade) 'var(txn.p),field(6,|)'\n"
                           "    http-request set-var(txn.limit) 'var(txn.p),field(7,|),add(0)' "
                           "if !{ var(txn.probe) -m bool }\n",
                           state->dedicated ? "    acl own var(txn.relayed) -m found\n" : "");
    render_interface(out, dir);
    g_string_append_printf(out,
                           "    http-request set-var(txn.r) str(degrade/),concat(,txn.room),map_str(%s/rooms.map)\n"
                           "    http-request set-var(txn.keeps) bool(true) if { var(txn.degrade) -m str keep stale }\n"
                           "    http-request set-var(txn.mode) 'var(txn.r),field(1,|)'\n"
                           "    http-request set-var(txn.degrade) str(stale) if { var(txn.mode) -m str stale } "
                           "{ var(txn.degrade) -m str keep }\n"
                           "    http-request set-var(txn.degrade) str(static) if { var(txn.mode) -m str static }\n"
                           "    acl by_static var(txn.degrade) -m str static\n"
                           "    http-request set-var(txn.via) str(static) if by_static !own\n"
                           "    http-request set-var(txn.counter) var(txn.policy),concat(//static) if by_static !own\n"
                           "    http-request track-sc1 var(txn.counter) table st_answered if by_static !own\n",
                           dir);
    for (guint i = 0; i < state->answers->len; i++) {
        const struct edge_answer *answer = state->answers->pdata[i];
        bool json = answer->body[0] == '{' || answer->body[0] == '[';
        g_string_append_printf(out,
                               "    http-request return status %u %shdr X-SB-Reason degraded content-type %s string "
                               "'%s' if by_static !own { var(txn.policy),field(2,.) -m str %s }\n",
                               answer->status, answer->status == 503 ? "hdr Retry-After 5 " : "",
                               json ? "application/json" : "text/plain", answer->body, answer->service);
    }
    g_string_append(out, "    http-request return status 503 hdr Retry-After 5 hdr X-SB-Reason degraded content-type "
                         "text/plain string \"degraded\\n\" if by_static !own\n"
                         /* a reload's no-cache or max-age would make HAProxy pass its cache by */
                         "    http-request del-header Cache-Control if { var(txn.degrade) -m str stale } !own\n"
                         "    http-request del-header Pragma if { var(txn.degrade) -m str stale } !own\n"
                         "    http-request cache-use last_good if { var(txn.degrade) -m str stale } !own\n"
                         "    http-request cache-use last_good_key if { var(txn.degrade) -m str keep } !own\n");
}

/* Limits count what was let through, so refusing many lets the allowed ones through. */
static void render_limit(GString *out, const struct edge_state *state)
{
    static const char *const ways[] = {"multi", "multi-dr", "multi-away", "single"};
    static const char *const prefixes[] = {EDGE_BACKEND, EDGE_BACKEND_PATIENT};
    g_string_append_printf(out,
                           "    http-request set-var(txn.let) sc_gpc_rate(%u,0) if { var(txn.limit) -m int gt 0 }\n"
                           "    acl over var(txn.let),sub(txn.limit) -m int ge 0\n"
                           "    acl over var(txn.interface_let),sub(txn.interface_limit) -m int ge 0\n",
                           COUNT_LET);
    for (unsigned i = 1; i <= INTERFACE_LIMITS_MAX; i++)
        g_string_append_printf(out,
                               "    http-request set-var(txn.interface_let) sc_gpc_rate(%u,0) if "
                               "{ var(txn.interface_number) -m int %u }\n",
                               COUNT_LET + i, i);
    g_string_append(out, "    http-request set-var(txn.room_limit) 'var(txn.r),field(2,|),add(0)' if !relay "
                         "{ var(txn.r) -m found } !{ var(txn.probe) -m bool }\n"
                         "    http-request set-var(txn.in_room) int(0) if { var(txn.room_limit) -m int gt 0 }\n");
    for (guint i = 0; i < state->rooms->len; i++)
        for (size_t k = 0; k < G_N_ELEMENTS(ways) * G_N_ELEMENTS(prefixes); k++)
            g_string_append_printf(out,
                                   "    http-request set-var(txn.in_room) be_sess_rate(%s%s_%s),add(txn.in_room) if "
                                   "{ var(txn.room_limit) -m int gt 0 } { var(txn.room) -m str %s }\n",
                                   prefixes[k % 2], ways[k / 2], (char *)state->rooms->pdata[i],
                                   (char *)state->rooms->pdata[i]);
    g_string_append(
        out, "    acl over var(txn.in_room),sub(txn.room_limit) -m int ge 0\n"
             "    http-request set-var(txn.via) str(limit) if over\n"
             "    http-request set-var(txn.counter) var(txn.policy),concat(//limit) if over\n"
             "    http-request track-sc1 var(txn.counter) table st_answered if over\n"
             "    http-request return status 503 hdr Retry-After 1 hdr X-SB-Reason limit content-type text/plain "
             "string \"over the limit\\n\" if over\n");
    g_string_append_printf(out, "    http-request sc-inc-gpc(%u,0) if { var(txn.limit) -m int gt 0 }\n", COUNT_LET);
    for (unsigned i = 1; i <= INTERFACE_LIMITS_MAX; i++)
        g_string_append_printf(out, "    http-request sc-inc-gpc(%u,0) if { var(txn.interface_number) -m int %u }\n",
                               COUNT_LET + i, i);
}

/* The last good answers of services that let edges keep them. They are stored under a life of our own, and leave with
 * the one that they came with, if one line says it; the cache's key is computed by looking into one that stays empty,
 * because an answer is stored only for a request that was looked up. */
static void render_keep(GString *out)
{
    g_string_append(
        out, "    acl kept_mode var(txn.keeps) -m bool\n"
             "    http-response set-var(txn.cc) res.fhdr(cache-control) if kept_mode live\n"
             "    http-response set-var(txn.kept) bool(true) if kept_mode live !own { status 200 } "
             "!{ res.hdr(cache-control) -m sub -i private no-store no-cache } !{ res.hdr(set-cookie) -m found } "
             "{ res.fhdr_cnt(cache-control) le 1 }\n"
             "    http-response set-header Cache-Control max-age=" LAST_GOOD_S " if { var(txn.kept) -m bool }\n"
             "    http-response set-header X-SB-Last-Good 1 if { var(txn.kept) -m bool }\n"
             "    http-response cache-store last_good if { var(txn.kept) -m bool }\n"
             "    http-after-response del-header X-SB-Last-Good if { var(txn.kept) -m bool }\n"
             "    http-after-response set-header Cache-Control %[var(txn.cc)] if { var(txn.kept) -m bool } "
             "{ var(txn.cc) -m found }\n"
             "    http-after-response del-header Cache-Control if { var(txn.kept) -m bool } !{ var(txn.cc) -m found }\n"
             "    http-after-response set-header Cache-Control no-store if { var(txn.via) -m str last-good }\n"
             "    http-after-response set-header X-SB-Reason last-good if { var(txn.via) -m str last-good }\n");
}

/* May it be asked again, and for what? */
static void render_budget(GString *out)
{
    g_string_append_printf(
        out,
        "    acl repeatable method GET HEAD OPTIONS\n"
        "    http-request set-var(txn.timeout) 'var(txn.p),field(5,|)'\n"
        "    http-request set-var(txn.destination) var(txn.policy),concat(/,txn.room) if !relay\n"
        "    http-request set-var(txn.destination) var(txn.policy),concat(/relay) if relay\n"
        "    http-request track-sc2 var(txn.destination) table st_resent if repeatable !{ var(txn.probe) -m bool }\n"
        "    http-request set-var(txn.budget) sc_http_req_rate(2),div(10)\n"
        "    http-request set-var(txn.budget) int(%u) if { var(txn.budget) -m int lt %u }\n"
        "    http-request set-var(txn.resent) sc_gpc0_rate(2)\n"
        "    http-request set-var(txn.waiting) sc_conn_cur(2),mul(%u)\n"
        "    http-request disable-l7-retry unless repeatable { var(txn.budget),sub(txn.resent) -m int ge %u }\n"
        "    http-request set-var(txn.patient) bool(true) if { var(txn.timeout) -m len gt 0 } || "
        "{ var(txn.relayed) -m found } || { var(txn.budget),sub(txn.resent),sub(txn.waiting) -m int lt 0 }\n",
        RESENT_MIN, RESENT_MIN, RESENT_EACH, RESENT_EACH);
}

static void render_ways(GString *out, const char *prefix, const char *condition)
{
    static const struct {
        const char *way, *condition;
    } ways[] = {
        {"multi-away", "{ var(txn.class) -m str multi } { var(txn.dr) -m str on } { var(txn.away) -m int ge 0 }"},
        {"multi-dr", "{ var(txn.class) -m str multi } { var(txn.dr) -m str on }"},
        {"multi", "{ var(txn.class) -m str multi }"},
        {"single", "{ var(txn.class) -m str single }"},
    };
    g_string_append_printf(out, "    use_backend %srelay if relay%s\n", prefix, condition);
    for (size_t i = 0; i < G_N_ELEMENTS(ways); i++)
        g_string_append_printf(out, "    use_backend %s%s_%%[var(txn.room)] if !relay %s%s\n", prefix, ways[i].way,
                               ways[i].condition, condition);
}

/* Dedicated lines are not made for what the internet may send. Users whose names are old, or who are told of a public
 * edge, are answered all the same, but not at any rate: beyond it they are told to come back, and their resolvers learn
 * the way meanwhile. The rate is of what was passed on, so refusing many lets the allowed ones through. */
static void render_allowance(GString *out, const struct edge_settings *s)
{
    g_string_append_printf(
        out,
        "    http-request set-var(txn.relays) be_sess_rate(" EDGE_BACKEND "relay) if relay\n"
        "    http-request return status 503 hdr Retry-After 1 hdr X-SB-Reason relay-allowance content-type text/plain "
        "string \"too much is relayed\\n\" if relay !{ var(txn.probe) -m bool } { be_sess_rate(" EDGE_BACKEND_PATIENT
        "relay),add(txn.relays) -m int ge %d }\n",
        s->relay_allowance);
}

/* Where it goes. */
static void render_routing(GString *out, const struct edge_state *state, const struct edge_settings *s)
{
    g_string_append(
        out, "    acl relay var(txn.road) -m str relay\n"
             "    http-request return status 503 hdr Retry-After 5 hdr X-SB-Reason relay-loop content-type text/plain "
             "string \"relayed twice\\n\" if relay { var(txn.relayed) -m found }\n"
             /* by the edge that answers; of whom they came, so that a stranger's trials are no riddle */
             "    http-request set-var(txn.count) src_inc_gpc0(st_pins) if pin pinned !relay\n"
             "    http-request set-var(txn.count) src_inc_gpc1(st_pins) if pin !pinned !relay\n");
    render_allowance(out, s);
    render_limit(out, state);
    g_string_append(
        out, "    http-request return status 503 hdr Retry-After 5 hdr X-SB-Reason closed content-type text/plain "
             "string \"closed\\n\" if !relay { var(txn.room) -m str -- - }\n"
             "    http-request set-header X-SB-Slot %[var(txn.slot)]\n"
             "    http-request set-header X-SB-Request %[var(txn.request)]\n");
    render_budget(out);
    g_string_append_printf(
        out, "    http-request set-header X-SB-Generation %%[str(generation),map_str(%s/meta.map)]\n", s->state_dir);
    g_string_append_printf(out,
                           "    http-request set-header X-SB-Room %%[var(txn.room)] if !relay\n"
                           "    http-request set-header X-SB-Relayed %s if relay\n"
                           "    http-request set-header X-SB-Probe 1 if { var(txn.probe) -m bool }\n",
                           s->name);
    g_string_append(out, "    use_backend be_successor if { var(txn.passed_on) -m bool }\n");
    render_ways(out, EDGE_BACKEND_PATIENT, " { var(txn.patient) -m bool }");
    render_ways(out, EDGE_BACKEND, "");
    g_string_append(out, "    default_backend be_none\n");
}

/* Who answered; what nobody answered is counted by the fetch with a side effect, the only thing that HAProxy 2.6 can
 * do after an answer of its own. */
static void render_response(GString *out, const struct edge_settings *s)
{
    g_string_append(
        out,
        "    http-response set-var(txn.live) bool(true) if { srv_name -m found }\n"
        "    acl live var(txn.live) -m bool\n"
        "    http-response del-header X-SB-Last-Good if live\n"
        "    http-response set-var(txn.room_answered) srv_name,field(1,.)\n"
        "    http-response set-var(txn.via) srv_name,field(2,.) if !relay\n"
        "    http-response set-var(txn.via) str(relay) if relay live\n"
        "    http-response set-var(txn.via) str(last-good) if !live { res.hdr(x-sb-last-good) -m found }\n"
        "    http-response set-var(txn.counter) var(txn.policy),concat(/,txn.room_answered,/),concat(,txn.via) if "
        "!relay live\n"
        "    http-response set-var(txn.counter) var(txn.policy),concat(//relay) if relay live\n"
        "    http-response set-var(txn.counter) var(txn.policy),concat(//last-good) if { var(txn.via) -m str last-good "
        "}\n"
        "    http-response track-sc1 var(txn.counter) table st_answered if !{ var(txn.probe) -m bool }\n"
        "    http-after-response set-var(txn.nobody) bool(true) if !{ var(txn.via) -m found } { var(txn.p) -m found }\n"
        "    http-after-response set-var(txn.count) sc_inc_gpc0(0) if { var(txn.nobody) -m bool } "
        "!{ var(txn.probe) -m bool }\n"
        "    http-after-response set-header Retry-After 2 if { var(txn.nobody) -m bool } !{ res.hdr(retry-after) -m "
        "found }\n"
        "    http-after-response set-header X-SB-Reason no-answer if { var(txn.nobody) -m bool } "
        "!{ res.hdr(x-sb-reason) -m found }\n"
        "    http-after-response set-header X-SB-Room %[var(txn.room_answered)] if !relay live\n"
        "    http-after-response set-header X-SB-Pin %[var(txn.pin_is)] if pin !relay\n");
    render_keep(out);
    g_string_append_printf(out, "    http-after-response set-header X-SB-Edge %s\n", s->name);
    /* %rc is a number, with a plus when another entrance was asked */
    g_string_append(out, "    http-after-response set-var-fmt(txn.retries) %rc\n"
                         "    http-after-response set-var(txn.retries) var(txn.retries),add(0)\n");
    for (unsigned n = 1; n <= RESENT_COUNTED; n++)
        g_string_append_printf(
            out, "    http-after-response set-var(txn.count) sc_inc_gpc0(2) if { var(txn.retries) -m int ge %u }\n", n);
}

/* Of the backend that begins with server `first`. */
struct backend_size {
    unsigned primaries, backups;
};
static struct backend_size backend_size(const struct edge_state *state, guint first)
{
    struct backend_size size = {0};
    const struct edge_server *head = state->servers->pdata[first];
    for (guint i = first; i < state->servers->len; i++) {
        const struct edge_server *server = state->servers->pdata[i];
        if (strcmp(server->backend, head->backend) != 0)
            break;
        *(server->backup ? &size.backups : &size.primaries) += 1;
    }
    return size;
}

/* A dedicated edge's backups are used in their order, the room's own first: each that is dead may cost an attempt. */
static unsigned backend_retries(const struct edge_state *state, const struct backend_size *size)
{
    if (size->backups == 0)
        return RETRIES_MIN;
    return MAX(RETRIES_MIN, 2 * size->primaries + (state->dedicated ? MIN(size->backups, 4) : 0));
}

static void render_server(GString *out, const struct edge_server *server, const struct backend_size *size)
{
    char address[ENDPOINT_TEXT_SIZE];
    g_string_append_printf(out, "    server %s %s ", server->name, endpoint_format(&server->address, address));
    if (server->backup)
        g_string_append_printf(out, "track be_health/%s backup", server->name);
    else if (strcmp(server->backend, "be_health") == 0)
        g_string_append(out, "check");
    else if (size->backups > 0)
        g_string_append(out, CHECK_BACKED);
    else
        g_string_append(out, size->primaries == 1 ? CHECK_LONE : CHECK);
    g_string_append(out, server->out ? " disabled\n" : "\n");
}

static void render_backends(GString *out, const struct edge_state *state)
{
    const char *open = "";
    bool relays = false;
    struct backend_size size = {0};
    for (guint i = 0; i < state->servers->len; i++) {
        const struct edge_server *server = state->servers->pdata[i];
        if (strcmp(open, server->backend) != 0) {
            open = server->backend;
            size = backend_size(state, i);
            bool relay = strcmp(open, EDGE_BACKEND "relay") == 0 || strcmp(open, EDGE_BACKEND_PATIENT "relay") == 0;
            relays = relays || relay;
            g_string_append_printf(out, backend_head, open);
            if (!state->dedicated)
                g_string_append(out, "    option allbackups\n");
            g_string_append_printf(out, "    retries %u\n", backend_retries(state, &size));
            if (g_str_has_prefix(open, EDGE_BACKEND_PATIENT))
                g_string_append_printf(out, patient_head, relay ? RELAY_MARGIN_MS : 0u);
        }
        render_server(out, server, &size);
    }
    if (!relays)
        g_string_append(out, "backend " EDGE_BACKEND "relay\nbackend " EDGE_BACKEND_PATIENT "relay\n");
}

static char *render(const struct edge_state *state, const struct edge_settings *s, const char *mark)
{
    GString *out =
        g_string_new("# Written by signalbox-edge from its last table; changes here are overwritten.\nglobal\n");
    g_string_append_printf(out, "    description %s\n", mark);
    g_string_append_printf(out, "    stats socket %s mode 600 level admin expose-fd listeners\n", s->haproxy_socket);
    g_string_append(out, globals);
    g_string_append(out, caches);
    g_string_append(out, defaults);
    g_string_append(out, "frontend edge\n");
    render_listeners(out, s);
    render_request(out, s);
    render_degrade(out, state, s->state_dir);
    render_routing(out, state, s);
    render_response(out, s);
    render_backends(out, state);
    render_successor(out, s);
    g_string_append_printf(
        out,
        "backend be_none\n"
        "    http-request return status 503 hdr Retry-After 5 hdr X-SB-Reason no-road content-type text/plain "
        "string \"no road\\n\"\n"
        "backend st_answered\n"
        "    stick-table type string len 200 size 100k expire 1h store "
        "http_req_cnt,http_fail_cnt,bytes_in_cnt,bytes_out_cnt\n"
        "backend st_unanswered\n"
        "    stick-table type string len 100 size 100k expire 1h store gpc(%u),gpc_rate(%u,1s)\n"
        "backend st_pins\n"
        "    stick-table type ipv6 size 10k expire 24h store gpc0,gpc1\n"
        "backend st_resent\n"
        "    stick-table type string len 150 size 100k expire 1m store "
        "conn_cur,http_req_rate(10s),gpc0,gpc0_rate(10s)\n",
        (unsigned)COUNTS, (unsigned)COUNTS);
    return g_string_free(out, FALSE);
}

/* Servers in or out are no reason to reload: the mark is of the text with all of them in. */
char *edge_config_mark(const struct edge_state *state, const struct edge_settings *settings)
{
    g_autofree char *text = render(state, settings, "");
    GString *all_in = g_string_new(text);
    g_string_replace(all_in, " disabled\n", "\n", 0);
    char hash[PART_HASH_SIZE];
    part_hash(all_in->str, all_in->len, hash);
    g_string_free(all_in, TRUE);
    return g_strdup_printf("signalbox-%s", hash);
}

char *edge_config_render(const struct edge_state *state, const struct edge_settings *settings)
{
    g_autofree char *mark = edge_config_mark(state, settings);
    return render(state, settings, mark);
}
