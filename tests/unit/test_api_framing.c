/* test_api_framing.c: bytes on the wire: where a request ends, and how long it may take. */
#include "core/loop.h"
#include "tests/unit/served_case.h"
#include "tests/unit/unit.h"
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define HOST "Host: localhost\r\n"
#define AUTH "Authorization: Bearer @\r\n" /* @ becomes a token */
#define GET "GET /livez HTTP/1.1\r\n" HOST
#define POST "POST /v1/apply?dry_run=1 HTTP/1.1\r\n" HOST AUTH
#define SMALL "POST /v1/forecast HTTP/1.1\r\n" HOST AUTH /* takes 64 KiB at most */
#define CHUNKED "Transfer-Encoding: chunked\r\n"
#define NO_CHANGES "{\"objects\":[]}" /* 14 bytes, 0xe */
#define BYTES(bytes) .text = bytes, .size = sizeof bytes - 1
#define CLOSED 0    /* without an answer */
#define MARK "<<>>" /* in a row: where `fill` goes, `times` times */

/* Each attack is followed by SMUGGLED on the same connection: it must never be answered behind one. */
#define SMUGGLED "GET /livez HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n"

struct attack {
    const char *name, *text;
    size_t size;
    unsigned status;  /* of the answer; CLOSED */
    const char *says; /* in its detail, or "" */
    unsigned answers; /* good ones, when it is not one */
    const char
        *why; /* a request that is sound, or one that is read otherwise than RFC 9112 says, and why that is harmless */
    const char *fill;
    unsigned times;
    bool endless; /* no answer, and still open: a body that has not ended */
};

/* name, bytes, status, what the detail says; more by name */
static const struct attack attacks[] = {
    /* ---- two ways to say where the body ends (RFC 9112 6.1, 6.3) ---- */
    {.name = "CL beside TE",
     BYTES(POST "Content-Length: 4\r\n" CHUNKED "\r\ne\r\n" NO_CHANGES "\r\n0\r\n\r\n"),
     .status = 400,
     .says = "beside Transfer-Encoding",
     .why = NULL},
    {.name = "TE beside CL",
     BYTES(POST CHUNKED "Content-Length: 4\r\n\r\n0\r\n\r\n"),
     .status = 400,
     .says = "beside Transfer-Encoding"},
    {.name = "TE beside CL 0",
     BYTES(POST CHUNKED "Content-Length: 0\r\n\r\n0\r\n\r\n"),
     .status = 400,
     .says = "beside Transfer-Encoding"},
    {.name = "two CL that differ",
     BYTES(POST "Content-Length: 14\r\nContent-Length: 0\r\n\r\n" NO_CHANGES),
     .status = 400,
     .says = "more than one"},
    {.name = "two CL alike",
     BYTES(POST "Content-Length: 14\r\nContent-Length: 14\r\n\r\n" NO_CHANGES),
     .status = 400,
     .says = "more than one"},
    {.name = "two CL in other case",
     BYTES(POST "Content-Length: 14\r\ncONTENT-lENGTH: 0\r\n\r\n" NO_CHANGES),
     .status = 400,
     .says = "more than one"},
    {.name = "CL a list", BYTES(POST "Content-Length: 14, 14\r\n\r\n" NO_CHANGES), .status = 400, .says = ""},
    {.name = "CL +14", BYTES(POST "Content-Length: +14\r\n\r\n" NO_CHANGES), .status = 400, .says = ""},
    {.name = "CL -1", BYTES(POST "Content-Length: -1\r\n\r\n" NO_CHANGES), .status = 400, .says = ""},
    {.name = "CL hex", BYTES(POST "Content-Length: 0xe\r\n\r\n" NO_CHANGES), .status = 400, .says = ""},
    {.name = "CL 14e0", BYTES(POST "Content-Length: 14e0\r\n\r\n" NO_CHANGES), .status = 400, .says = ""},
    {.name = "CL empty", BYTES(POST "Content-Length:\r\n\r\n" NO_CHANGES), .status = 400, .says = ""},
    {.name = "CL with a space inside", BYTES(POST "Content-Length: 1 4\r\n\r\n" NO_CHANGES), .status = 400, .says = ""},
    {.name = "CL 2^63",
     BYTES(POST "Content-Length: 9223372036854775808\r\n\r\n"),
     .status = 400,
     .says = "decimal digits"},
    {.name = "CL 2^64", BYTES(POST "Content-Length: 18446744073709551616\r\n\r\n"), .status = 413, .says = ""},
    {.name = "CL 2^64 + 14",
     BYTES(POST "Content-Length: 18446744073709551630\r\n\r\n" NO_CHANGES),
     .status = 413,
     .says = ""},
    {.name = "CL cut by a NUL", BYTES(POST "Content-Length: 14\0 4\r\n\r\n" NO_CHANGES), .status = 400, .says = "NUL"},
    {.name = "CL hidden behind a NUL", BYTES(POST "X: a\0Content-Length: 14\r\n\r\n"), .status = 400, .says = "NUL"},
    {.name = "space before the colon of CL",
     BYTES(POST "Content-Length : 14\r\n\r\n" NO_CHANGES),
     .status = 400,
     .says = "token"},
    {.name = "tab before the colon of TE",
     BYTES(POST "Transfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n"),
     .status = 400,
     .says = "token"},
    /* ---- codings ---- */
    {.name = "TE xchunked",
     BYTES(POST "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
     .status = 400,
     .says = "chunked once"},
    {.name = "TE chunked, identity",
     BYTES(POST "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n"),
     .status = 400,
     .says = "chunked once"},
    {.name = "TE identity, chunked",
     BYTES(POST "Transfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n"),
     .status = 400,
     .says = "chunked once"},
    {.name = "TE gzip", BYTES(POST "Transfer-Encoding: gzip\r\n\r\n0\r\n\r\n"), .status = 400, .says = "chunked once"},
    {.name = "TE twice", BYTES(POST CHUNKED CHUNKED "\r\n0\r\n\r\n"), .status = 400, .says = "chunked once"},
    {.name = "TE twice, the second unknown",
     BYTES(POST CHUNKED "Transfer-Encoding: x\r\n\r\n0\r\n\r\n"),
     .status = 400,
     .says = "chunked once"},
    {.name = "TE with a parameter",
     BYTES(POST "Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n"),
     .status = 400,
     .says = "chunked once"},
    {.name = "TE with a comma behind",
     BYTES(POST "Transfer-Encoding: chunked,\r\n\r\n0\r\n\r\n"),
     .status = 400,
     .says = "chunked once"},
    {.name = "TE spelt with an underscore",
     BYTES(SMALL "Transfer_Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"),
     .status = 400,
     .says = "body:1"},
    {.name = "CL named a hop-by-hop header",
     BYTES(POST "Connection: Content-Length\r\nContent-Length: 14\r\n\r\n" NO_CHANGES),
     .status = 200,
     .says = "",
     .answers = 2,
     .why = "the length counts, whatever Connection names: what is behind the body is a request (RFC 9112 6.3)"},
    {.name = "an upgrade to h2c",
     BYTES(GET
           "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n"),
     .status = 200,
     .says = "",
     .answers = 2,
     .why = "passed over (RFC 9110 7.8), and HTTP/1.1 is spoken on"},
    {.name = "an expectation of something else",
     BYTES(POST "Expect: 200-ok\r\nContent-Length: 14\r\n\r\n" NO_CHANGES),
     .status = 200,
     .says = "",
     .answers = 2,
     .why = "passed over, which RFC 9110 10.1.1 allows; it moves no end of a body"},
    {.name = "another method in a header",
     BYTES(POST "X-HTTP-Method-Override: DELETE\r\nContent-Length: 14\r\n\r\n" NO_CHANGES),
     .status = 200,
     .says = "",
     .answers = 2,
     .why = "passed over: the request line has the method"},
    {.name = "TE with vertical tab",
     BYTES(POST "Transfer-Encoding: \vchunked\r\n\r\n0\r\n\r\n"),
     .status = 400,
     .says = "control character"},
    {.name = "TE quoted",
     BYTES(POST "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n"),
     .status = 400,
     .says = "chunked once"},
    {.name = "TE empty", BYTES(POST "Transfer-Encoding:\r\n\r\n0\r\n\r\n"), .status = 400, .says = "chunked once"},
    {.name = "TE with HTTP/1.0",
     BYTES("POST /v1/forecast HTTP/1.0\r\n" HOST AUTH CHUNKED "\r\n0\r\n\r\n"),
     .status = 400,
     .says = "HTTP/1.0"},
    {.name = "TE folded", BYTES(POST "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n"), .status = 400, .says = ""},
    {.name = "TE behind a bare LF",
     BYTES(POST "X: y\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
     .status = 400,
     .says = "CR LF"},
    {.name = "TE behind a bare CR",
     BYTES(POST "X: y\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
     .status = 400,
     .says = "control character"},
    /* ---- chunks ---- */
    {.name = "a chunked body",
     BYTES(POST CHUNKED "\r\ne\r\n" NO_CHANGES "\r\n0\r\n\r\n"),
     .status = 200,
     .says = "",
     .why = "sound; the connection ends with it all the same"},
    {.name = "chunk with bare LF",
     BYTES(POST CHUNKED "\r\ne\n" NO_CHANGES "\r\n0\r\n\r\n"),
     .status = 200,
     .says = "",
     .why = "the line's end is read from the LF; the connection ends with the request, so nothing behind is read"},
    {.name = "chunk ended by a bare LF",
     BYTES(POST CHUNKED "\r\ne\r\n" NO_CHANGES "\n0\r\n\r\n"),
     .status = 200,
     .says = "",
     .why = "as before"},
    {.name = "chunk extension",
     BYTES(POST CHUNKED "\r\ne;a=b\r\n" NO_CHANGES "\r\n0\r\n\r\n"),
     .status = 200,
     .says = "",
     .why = "extensions are passed over, as RFC 9112 7.1.1 asks"},
    {.name = "chunk extension ended by a bare LF",
     BYTES(POST CHUNKED "\r\ne;\n" NO_CHANGES "\r\n0\r\n\r\n"),
     .status = 200,
     .says = "",
     .why = "as with the bare LF: whoever reads on into the extension sees another body, but no other request"},
    {.name = "chunk size overflows",
     BYTES(POST CHUNKED "\r\nfffffffffffffffff\r\n" NO_CHANGES "\r\n0\r\n\r\n"),
     .status = 413,
     .says = ""},
    {.name = "chunk size 2^64 - 1",
     BYTES(POST CHUNKED "\r\nffffffffffffffff\r\n" NO_CHANGES),
     .status = 0,
     .says = "",
     .why = "the body never ends; it is cut off at its limit or its deadline, here by our leaving",
     .endless = true},
    {.name = "chunk size with 0x",
     BYTES(POST CHUNKED "\r\n0xe\r\n" NO_CHANGES "\r\n0\r\n\r\n"),
     .status = 400,
     .says = ""},
    {.name = "chunk size negative",
     BYTES(POST CHUNKED "\r\n-e\r\n" NO_CHANGES "\r\n0\r\n\r\n"),
     .status = 400,
     .says = ""},
    {.name = "chunk size with a space before",
     BYTES(POST CHUNKED "\r\n e\r\n" NO_CHANGES "\r\n0\r\n\r\n"),
     .status = 400,
     .says = ""},
    {.name = "chunk size empty", BYTES(POST CHUNKED "\r\n\r\n" NO_CHANGES "\r\n0\r\n\r\n"), .status = 400, .says = ""},
    {.name = "chunk size with a space behind",
     BYTES(POST CHUNKED "\r\ne \r\n" NO_CHANGES "\r\n0\r\n\r\n"),
     .status = 400,
     .says = "malformed"},
    {.name = "chunk size cut by a NUL",
     BYTES(POST CHUNKED "\r\ne\0f\r\n" NO_CHANGES "\r\n0\r\n\r\n"),
     .status = 400,
     .says = "malformed"},
    {.name = "chunk size with an underscore",
     BYTES(POST CHUNKED "\r\n0_e\r\n" NO_CHANGES "\r\n0\r\n\r\n"),
     .status = 400,
     .says = "malformed"},
    {.name = "last chunk of many noughts",
     BYTES(POST CHUNKED "\r\ne\r\n" NO_CHANGES "\r\n00000000000000000000\r\n\r\n"),
     .status = 200,
     .says = "",
     .why = "sound: 1*HEXDIG (RFC 9112 7.1)"},
    {.name = "a bare CR in a chunk's extension",
     BYTES(POST CHUNKED "\r\ne;a\rb\r\n" NO_CHANGES "\r\n0\r\n\r\n"),
     .status = 200,
     .says = "",
     .why = "passed over with the extension; the connection ends with the request"},
    {.name = "chunk without its CR LF",
     BYTES(POST CHUNKED "\r\ne\r\n" NO_CHANGES "0\r\n\r\n"),
     .status = 400,
     .says = ""},
    {.name = "chunk longer than it says",
     BYTES(POST CHUNKED "\r\nd\r\n" NO_CHANGES "\r\n0\r\n\r\n"),
     .status = 400,
     .says = ""},
    {.name = "trailers",
     BYTES(POST CHUNKED "\r\ne\r\n" NO_CHANGES "\r\n0\r\nContent-Length: 5\r\nX: y\r\n\r\n"),
     .status = 200,
     .says = "",
     .why = "passed over (RFC 9110 6.5.1), whatever they are named"},
    /* ---- header lines ---- */
    {.name = "no Host", BYTES("GET /livez HTTP/1.1\r\n\r\n"), .status = 400, .says = ""},
    {.name = "two Host", BYTES(GET "Host: other\r\n\r\n"), .status = 400, .says = "exactly one"},
    {.name = "NUL in a value", BYTES(GET "X: a\0b\r\n\r\n"), .status = 400, .says = "NUL"},
    {.name = "NUL in the middle of headers", BYTES(GET "X: a\0b\r\nY: c\r\n\r\n"), .status = 400, .says = "NUL"},
    {.name = "NULs in place of CR LF", BYTES(GET "X: a\0\0Content-Length: 9\r\n\r\n"), .status = 400, .says = "NUL"},
    {.name = "NULs in place of the end", BYTES(GET "X: a\0\0\0\0Y: b\r\n\r\n"), .status = 400, .says = "NUL"},
    {.name = "a line that begins with NUL", BYTES(GET "\0Content-Length: 52\r\n\r\n"), .status = 400, .says = ""},
    {.name = "NUL in a name", BYTES(GET "X\0Y: a\r\n\r\n"), .status = 400, .says = ""},
    {.name = "bare CR in a value", BYTES(GET "X: a\rb\r\n\r\n"), .status = 400, .says = ""},
    {.name = "bare LF ends a line", BYTES(GET "X: a\nY: b\r\n\r\n"), .status = 400, .says = "CR LF"},
    {.name = "bare LF ends the headers", BYTES(GET "X: a\r\n\n"), .status = 400, .says = "CR LF"},
    {.name = "bare LF everywhere", BYTES("GET /livez HTTP/1.1\nHost: localhost\n\n"), .status = 400, .says = "CR LF"},
    {.name = "CR CR LF", BYTES(GET "X: a\r\r\n\r\n"), .status = 400, .says = ""},
    {.name = "folded line", BYTES(GET "X: a\r\n b\r\n\r\n"), .status = 400, .says = ""},
    {.name = "first line folded", BYTES("GET /livez HTTP/1.1\r\n Host: localhost\r\n\r\n"), .status = 400, .says = ""},
    {.name = "space in a name", BYTES(GET "X Y: 1\r\n\r\n"), .status = 400, .says = "token"},
    {.name = "no name", BYTES(GET ": 1\r\n\r\n"), .status = 400, .says = "header"},
    {.name = "no colon", BYTES(GET "X\r\n\r\n"), .status = 400, .says = ""},
    {.name = "a name above ASCII", BYTES(GET "X\xc3\xa9: 1\r\n\r\n"), .status = 400, .says = "token"},
    {.name = "escape in a value", BYTES(GET "X: \033[2J\r\n\r\n"), .status = 400, .says = "control character"},
    {.name = "DEL in a value", BYTES(GET "X: \177\r\n\r\n"), .status = 400, .says = "control character"},
    {.name = "a header of 20 k",
     BYTES(GET "X: " MARK "\r\n\r\n"),
     .status = 431,
     .says = "",
     .fill = "a",
     .times = 20000},
    {.name = "5,000 headers", BYTES(GET MARK "\r\n"), .status = 431, .says = "", .fill = "X: 1\r\n", .times = 5000},
    /* ---- request line ---- */
    {.name = "a URI of 20 k",
     BYTES("GET /" MARK " HTTP/1.1\r\n" HOST "\r\n"),
     .status = 414,
     .says = "",
     .fill = "a",
     .times = 20000},
    {.name = "NUL in the URI", BYTES("GET /livez\0x HTTP/1.1\r\n" HOST "\r\n"), .status = 400, .says = "request line"},
    {.name = "NUL in the query",
     BYTES("GET /livez?a\0=b HTTP/1.1\r\n" HOST "\r\n"),
     .status = 400,
     .says = "request line"},
    {.name = "control character in the URI",
     BYTES("GET /livez\177 HTTP/1.1\r\n" HOST "\r\n"),
     .status = 400,
     .says = "request line"},
    {.name = "URI above ASCII",
     BYTES("GET /livez\xc3\xa9 HTTP/1.1\r\n" HOST "\r\n"),
     .status = 400,
     .says = "request line"},
    {.name = "two spaces", BYTES("GET  /livez HTTP/1.1\r\n" HOST "\r\n"), .status = 400, .says = "request line"},
    {.name = "a tab", BYTES("GET\t/livez HTTP/1.1\r\n" HOST "\r\n"), .status = 400, .says = ""},
    {.name = "a space in the URI", BYTES("GET /li vez HTTP/1.1\r\n" HOST "\r\n"), .status = CLOSED, .says = ""},
    {.name = "a space behind the version", BYTES("GET /livez HTTP/1.1 \r\n" HOST "\r\n"), .status = 400, .says = ""},
    {.name = "no version", BYTES("GET /livez\r\n" HOST "\r\n"), .status = 400, .says = ""},
    {.name = "HTTP/1.2", BYTES("GET /livez HTTP/1.2\r\n" HOST "\r\n"), .status = 400, .says = "HTTP/1.1 or"},
    {.name = "HTTP/2.0", BYTES("GET /livez HTTP/2.0\r\n" HOST "\r\n"), .status = 505, .says = ""},
    {.name = "http/1.1 in lower case", BYTES("GET /livez http/1.1\r\n" HOST "\r\n"), .status = 400, .says = ""},
    {.name = "a method that is no token",
     BYTES("G(T /livez HTTP/1.1\r\n" HOST "\r\n"),
     .status = 400,
     .says = "request line"},
    {.name = "the preface of HTTP/2", BYTES("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), .status = 505, .says = ""},
    {.name = "absolute URI",
     BYTES("GET http://other.test/livez HTTP/1.1\r\n" HOST "\r\n"),
     .status = 404,
     .says = "which this API does not have",
     .why = "RFC 9112 3.2.2 wants it taken; nobody but a proxy's client sends it, so it is no path here"},
    {.name = "CONNECT", BYTES("CONNECT localhost:22 HTTP/1.1\r\n" HOST "\r\n"), .status = 404, .says = ""},
    {.name = "OPTIONS *", BYTES("OPTIONS * HTTP/1.1\r\n" HOST "\r\n"), .status = 404, .says = ""},
    {.name = "HTTP/1.0 without Host",
     BYTES("GET /livez HTTP/1.0\r\n\r\n"),
     .status = 200,
     .says = "",
     .why = "sound, and closed as 1.0 is"},
    {.name = "NUL line before the request",
     BYTES("\0X\r\n" GET "\r\n"),
     .status = 200,
     .says = "",
     .answers = 2,
     .why = "taken for the empty line that RFC 9112 2.2 lets pass: what follows is a request of the same sender either "
            "way"},
    {.name = "empty lines before the request",
     BYTES("\r\n\r\n" GET "\r\n"),
     .status = 200,
     .says = "",
     .answers = 2,
     .why = "sound (RFC 9112 2.2)"},
    /* ---- bodies where none belongs ---- */
    {.name = "GET with a body", BYTES(GET "Content-Length: 5\r\n\r\nGET /"), .status = 400, .says = "takes none"},
    {.name = "GET whose body is a request",
     BYTES(GET "Content-Length: 63\r\n\r\n" GET "\r\n"),
     .status = 400,
     .says = "takes none"},
    {.name = "DELETE with a body",
     BYTES("DELETE /v1/tokens/x HTTP/1.1\r\n" HOST AUTH "Content-Length: 2\r\n\r\n{}"),
     .status = 400,
     .says = "takes none"},
    {.name = "GET with a chunked body", BYTES(GET CHUNKED "\r\n0\r\n\r\n"), .status = 400, .says = "takes none"},
    {.name = "a body for nobody's path",
     BYTES("POST /x HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\n{}"),
     .status = 404,
     .says = ""},
    {.name = "a body without a token",
     BYTES("POST /v1/forecast HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\n{}"),
     .status = 401,
     .says = ""},
    {.name = "a body too large", BYTES(SMALL "Content-Length: 65537\r\n\r\n{"), .status = 413, .says = "65536"},
    {.name = "a chunked body too large",
     BYTES(SMALL CHUNKED "\r\n20000\r\n" MARK "\r\n0\r\n\r\n"),
     .status = 413,
     .says = "65536",
     .fill = " ",
     .times = 0x20000},
    {.name = "wrong JSON, and a request behind it",
     BYTES(POST "Content-Length: 2\r\n\r\n{]"),
     .status = 400,
     .says = "body:1"},
    {.name = "two sound requests",
     BYTES(GET "\r\n"),
     .status = 200,
     .says = "",
     .answers = 2,
     .why = "sound: pipelining"},
    {.name = "two sound requests, the first with a body",
     BYTES(POST "Content-Length: 14\r\n\r\n" NO_CHANGES),
     .status = 200,
     .says = "",
     .answers = 2,
     .why = "sound: pipelining"},
};

/* The bytes of an attack and of what it would smuggle in. */
static GString *attack_bytes(const struct attack *attack, const char *token)
{
    GString *bytes = g_string_new(NULL);
    for (size_t i = 0; i < attack->size; i++) {
        bool mark = attack->fill != NULL && g_str_has_prefix(attack->text + i, MARK);
        if (mark) {
            for (unsigned n = 0; n < attack->times; n++)
                g_string_append(bytes, attack->fill);
            i += strlen(MARK) - 1;
        } else if (attack->text[i] == '@')
            g_string_append(bytes, token);
        else
            g_string_append_c(bytes, attack->text[i]);
    }
    return g_string_append(bytes, SMUGGLED);
}

static unsigned count(const char *text, const char *part)
{
    unsigned n = 0;
    for (; (text = strstr(text, part)) != NULL; text += strlen(part))
        n++;
    return n;
}

/* Good answers are counted, not refusals: libmicrohttpd 0.9.75 sends the head of some of its own twice, then closes. */
static void attack_check(const struct attack *attack, int port, const char *token)
{
    GString *bytes = attack_bytes(attack, token);
    g_autofree char *got = served_raw(port, bytes->str, bytes->len, attack->endless ? 300 : 5000);
    const char *head = strstr(got, "HTTP/1.1 ");
    unsigned status = head != NULL ? (unsigned)g_ascii_strtoull(head + strlen("HTTP/1.1 "), NULL, 10) : CLOSED;
    unsigned good = count(got, "HTTP/1.1 200 OK"), want = attack->status == 200 ? MAX(attack->answers, 1) : 0;
    ck_assert_msg(status == attack->status && strstr(got, attack->says) != NULL,
                  "%s: found %u, expected %u with \"%s\": %s", attack->name, status, attack->status, attack->says, got);
    ck_assert_msg(good == want, "%s: found %u good answers, expected %u: %s", attack->name, good, want, got);
    ck_assert_msg((strstr(got, "[still open]") != NULL) == attack->endless, "%s: expected it %s: %s", attack->name,
                  attack->endless ? "open" : "closed", got);
    g_string_free(bytes, TRUE);
}

/* One line of the list that VERDICTS=1 in the environment prints; without, only what is taken. */
static void verdict_print(const struct attack *attack)
{
    if (attack->why != NULL)
        printf("taken:   %-42s %3u  %s\n", attack->name, attack->status, attack->why);
    else if (g_getenv("VERDICTS") != NULL && attack->status == CLOSED)
        printf("closed:  %s\n", attack->name);
    else if (g_getenv("VERDICTS") != NULL)
        printf("refused: %-42s %3u  %s\n", attack->name, attack->status, attack->says);
}

START_TEST(every_attack_has_its_verdict)
{
    g_autofree char *token = served_token(&served, "alice", "admin");
    unsigned refused = 0, sound = 0, cut = 0;
    served_apply_site(&served);
    json_int_t before = status_number("generation");
    for (size_t i = 0; i < G_N_ELEMENTS(attacks); i++) {
        attack_check(&attacks[i], served.port, token);
        verdict_print(&attacks[i]);
        refused += attacks[i].why == NULL && attacks[i].status != CLOSED;
        cut += attacks[i].why == NULL && attacks[i].status == CLOSED;
        sound += attacks[i].why != NULL;
    }
    printf("%zu attacks on framing: %u refused and closed, %u closed at once, %u taken for a reason\n",
           G_N_ELEMENTS(attacks), refused, cut, sound);
    ck_assert_int_eq(status_number("generation"), before);
    ck_assert_uint_eq(refused + cut + sound, G_N_ELEMENTS(attacks));
    ck_assert_uint_ge(refused + cut, 40);
}
END_TEST

/* What both listeners have is /livez: what is sent at it has the same verdict at the agents'. */
START_TEST(the_agents_listener_has_the_same_verdicts)
{
    unsigned n = 0;
    for (size_t i = 0; i < G_N_ELEMENTS(attacks); i++) {
        if (!g_str_has_prefix(attacks[i].text, "POST") && !g_str_has_prefix(attacks[i].text, "DELETE")) {
            attack_check(&attacks[i], served.agents_port, "");
            n++;
        }
    }
    printf("%u of these at the agents' listener: the same verdicts\n", n);
    ck_assert_uint_ge(n, 40);
}
END_TEST

/* ---- time ---- */

#define SLOW 400

/* Bytes that trickle in are no reason to keep a connection, and those who trickle keep nobody out. */
START_TEST(four_hundred_slow_connections_and_the_service_is_there)
{
    const int ports[] = {served.port, served.agents_port};
    static int fds[2][SLOW];
    int64_t start = loop_now_us(), slowest_us = 0;
    unsigned open = 2 * SLOW, rounds = 0;
    for (int i = 0; i < 2 * SLOW; i++) {
        fds[i % 2][i / 2] = served_connect(ports[i % 2]);
        send(fds[i % 2][i / 2], "GET /livez HT", 13, MSG_NOSIGNAL);
    }
    while (open > 0) {
        ck_assert_msg(loop_now_us() - start < 12 * G_USEC_PER_SEC, "%u slow connections are still open", open);
        for (int i = 0; i < 2; i++) {
            int64_t asked_us = loop_now_us();
            ck_assert_uint_eq(served_call(&served, i == 0 ? served.operators : served.agents, NULL, "GET", "/livez",
                                          NULL, NULL, NULL, NULL),
                              200);
            slowest_us = MAX(slowest_us, loop_now_us() - asked_us);
        }
        rounds++;
        for (int i = 0; i < 2 * SLOW; i++) {
            int *fd = &fds[i % 2][i / 2];
            struct pollfd gone = {.fd = *fd, .events = POLLIN};
            if (*fd < 0)
                continue;
            if (poll(&gone, 1, i == 0 ? 100 : 0) == 0 && send(*fd, "T", 1, MSG_NOSIGNAL) == 1)
                continue;
            close(*fd);
            *fd = -1;
            open--;
        }
    }
    printf("%d slow connections on each of 2 listeners: all gone after %.1f s; %u answers meanwhile, the slowest in "
           "%.1f ms\n",
           SLOW, (double)(loop_now_us() - start) / 1e6, 2 * rounds, (double)slowest_us / 1e3);
    ck_assert_int_ge(loop_now_us() - start, 4 * G_USEC_PER_SEC);
    ck_assert_int_lt(slowest_us, 2 * G_USEC_PER_SEC);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_checked_fixture(tcase, served_setup, served_teardown);
    tcase_set_timeout(tcase, 200); /* sanitizers are slow */
    tcase_add_test(tcase, every_attack_has_its_verdict);
    tcase_add_test(tcase, the_agents_listener_has_the_same_verdicts);
    tcase_add_test(tcase, four_hundred_slow_connections_and_the_service_is_there);
}

int main(void)
{
    struct rlimit files = {4096, 4096};
    setrlimit(RLIMIT_NOFILE, &files);
    return unit_run("api_framing", add);
}
