#include "core/gunzip.h"

#include "core/error.h"

#include <stdint.h>
#include <zlib.h>

#define GZIP_ONLY (16 + MAX_WBITS)

static bool inflate_all(z_stream *stream, size_t max, GString *out, bool *whole, GError **error)
{
    static const size_t step = 256u << 10;
    const gsize from = out->len;
    int rc = Z_OK;
    while (rc == Z_OK) {
        gsize len = out->len;
        g_string_set_size(out, len + step);
        stream->next_out = (Bytef *)out->str + len;
        stream->avail_out = (uInt)step;
        rc = inflate(stream, Z_SYNC_FLUSH);
        g_string_set_size(out, len + step - stream->avail_out);
        if (out->len - from > max) {
            g_set_error(error, SB_ERROR, SB_ERROR_TOO_LARGE, "found more than %zu bytes in gzip", max);
            return false;
        }
    }
    *whole = rc == Z_STREAM_END;
    if (rc == Z_STREAM_END || rc == Z_BUF_ERROR) /* the latter: the bytes end here */
        return true;
    g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "expected gzip: %s", stream->msg != NULL ? stream->msg : "damaged");
    return false;
}

bool gunzip(const void *bytes, size_t size, size_t max, GString *out, bool *whole, GError **error)
{
    z_stream stream = {.next_in = (Bytef *)(uintptr_t)bytes, .avail_in = (uInt)size};
    *whole = false;
    if (size > G_MAXUINT || inflateInit2(&stream, GZIP_ONLY) != Z_OK) {
        g_set_error(error, SB_ERROR, SB_ERROR_TOO_LARGE, "found %zu bytes of gzip, which is too much", size);
        return false;
    }
    bool ok = inflate_all(&stream, max, out, whole, error);
    inflateEnd(&stream);
    return ok;
}
