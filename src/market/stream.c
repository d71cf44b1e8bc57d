#include "market/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <zlib.h>
#include <zstd.h>

#include "base/error.h"

#define WINDOW_BYTES   ((size_t)1024 * 1024)
#define PACKED_BYTES   ((size_t)256 * 1024)
#define NAME_MAX_BYTES 160 /* leaves room for the sentence in an hl_error */

_Static_assert(WINDOW_BYTES >= 2 * MARKET_PEEK_MAX, "a look ahead leaves room to read into");

typedef struct market_source market_source;

/* Unpacks into room_bytes at `room`; 0: the end, or source->failure is set. */
typedef size_t (*source_read)(market_source *source, uint8_t *room, size_t room_bytes);

struct market_source {
    source_read read;
    int descriptor;
    bool finished;     /* nothing more will come */
    bool inside_unit;  /* in the middle of a gzip member or zstd frame */
    bool holds_output; /* zstd: the room was too small for all that is decoded */
    uint8_t *packed;   /* [PACKED_BYTES] as read from the file */
    size_t packed_at;
    size_t packed_end;
    uint64_t file_bytes; /* read from the file so far */
    z_stream gzip;
    ZSTD_DStream *zstd;
    hl_error failure;
    const char *name;
};

/* ---- where the bytes come from ---- */

/* read() until something came; 0 at the end of the file or after a failure. */
static size_t read_file(market_source *source, uint8_t *room, size_t room_bytes)
{
    ssize_t got;
    do
        got = read(source->descriptor, room, room_bytes);
    while (got < 0 && errno == EINTR);
    if (got < 0) {
        hl_error_set(&source->failure, HL_SYSTEM, "%s: byte %llu of the file: cannot read: %s",
                     source->name, (unsigned long long)source->file_bytes, strerror(errno));
        return 0;
    }
    source->file_bytes += (uint64_t)got;
    return (size_t)got;
}

/* More packed bytes when there are none left; false at the end of the file or after a failure. */
static bool refill_packed(market_source *source, const char *kind)
{
    if (source->packed_at < source->packed_end)
        return true;
    source->packed_at = 0;
    source->packed_end = read_file(source, source->packed, PACKED_BYTES);
    if (source->packed_end > 0)
        return true;
    if (source->inside_unit && source->failure.status == HL_OK)
        hl_error_set(&source->failure, HL_BAD_INPUT,
                     "%s: the %s data is cut off after %llu bytes: get the whole file",
                     source->name, kind, (unsigned long long)source->file_bytes);
    return false;
}

static size_t damaged(market_source *source, const char *kind, const char *reason)
{
    const uint64_t packed_offset = source->file_bytes - (source->packed_end - source->packed_at);
    hl_error_set(&source->failure, HL_BAD_INPUT,
                 "%s: the %s data is damaged near byte %llu of the file: %s", source->name, kind,
                 (unsigned long long)packed_offset, reason);
    return 0;
}

/* As read_file; before it, what was already read to tell the kind of file. */
static size_t read_plain(market_source *source, uint8_t *room, size_t room_bytes)
{
    const size_t left_bytes = source->packed_end - source->packed_at;
    if (left_bytes == 0)
        return read_file(source, room, room_bytes);
    const size_t size_bytes = left_bytes < room_bytes ? left_bytes : room_bytes;
    memcpy(room, source->packed + source->packed_at, size_bytes);
    source->packed_at += size_bytes;
    return size_bytes;
}

static size_t read_gzip(market_source *source, uint8_t *room, size_t room_bytes)
{
    z_stream *const gzip = &source->gzip;
    gzip->next_out = room;
    gzip->avail_out = (uInt)room_bytes;
    while (gzip->avail_out == room_bytes && refill_packed(source, "gzip")) {
        gzip->next_in = source->packed + source->packed_at;
        gzip->avail_in = (uInt)(source->packed_end - source->packed_at);
        source->inside_unit = true;
        const int result = inflate(gzip, Z_NO_FLUSH);
        source->packed_at = source->packed_end - gzip->avail_in;
        if (result == Z_STREAM_END) { /* the next member, if any, starts afresh */
            source->inside_unit = false;
            inflateReset(gzip);
        } else if (result != Z_OK) {
            damaged(source, "gzip", gzip->msg != NULL ? gzip->msg : zError(result));
            break;
        }
    }
    return room_bytes - gzip->avail_out;
}

static size_t read_zstd(market_source *source, uint8_t *room, size_t room_bytes)
{
    ZSTD_outBuffer out = {.dst = room, .size = room_bytes};
    while (out.pos == 0) {
        if (!source->holds_output && !refill_packed(source, "zstd"))
            break;
        ZSTD_inBuffer in = {source->packed, source->packed_end, source->packed_at};
        const size_t result = ZSTD_decompressStream(source->zstd, &out, &in);
        source->packed_at = in.pos;
        if (ZSTD_isError(result)) {
            damaged(source, "zstd", ZSTD_getErrorName(result));
            break;
        }
        source->inside_unit = result != 0;
        source->holds_output = source->inside_unit && out.pos == out.size;
    }
    return out.pos;
}

/* ---- opening ---- */

static hl_status no_memory(const char *name, hl_error *error)
{
    return hl_error_set(error, HL_NO_MEMORY, "%s: out of memory", name);
}

/* The path, or "..." and its tail. */
static char *short_name(const char *path)
{
    const size_t length = strlen(path);
    if (length <= NAME_MAX_BYTES)
        return strdup(path);
    char *const name = malloc(NAME_MAX_BYTES + 4);
    if (name != NULL)
        sprintf(name, "...%s", path + length - NAME_MAX_BYTES);
    return name;
}

static hl_status open_descriptor(const char *path, const char *name, int *ret_descriptor,
                                 hl_error *error)
{
    const int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0)
        return hl_error_set(error, HL_SYSTEM, "%s: cannot open: %s", name, strerror(errno));
    struct stat about;
    if (fstat(descriptor, &about) == 0 && S_ISDIR(about.st_mode)) {
        close(descriptor);
        return hl_error_set(error, HL_SYSTEM, "%s: is a directory: name a file in it", name);
    }
    *ret_descriptor = descriptor;
    return HL_OK;
}

/* Reads the first packed bytes and makes the decoder that they ask for (RFC 1952, RFC 8878). */
static hl_status choose_decoder(market_source *source, hl_error *error)
{
    static const uint8_t gzip_magic[] = {0x1f, 0x8b};
    static const uint8_t zstd_magic[] = {0x28, 0xb5, 0x2f, 0xfd};
    while (source->packed_end < sizeof zstd_magic) {
        const size_t got = read_file(source, source->packed + source->packed_end,
                                     PACKED_BYTES - source->packed_end);
        if (got == 0)
            break;
        source->packed_end += got;
    }
    source->read = read_plain;
    if (source->packed_end >= sizeof gzip_magic &&
        memcmp(source->packed, gzip_magic, sizeof gzip_magic) == 0) {
        if (inflateInit2(&source->gzip, MAX_WBITS + 16) != Z_OK)
            return no_memory(source->name, error);
        source->read = read_gzip;
    } else if (source->packed_end >= sizeof zstd_magic &&
               memcmp(source->packed, zstd_magic, sizeof zstd_magic) == 0) {
        source->zstd = ZSTD_createDStream();
        if (source->zstd == NULL)
            return no_memory(source->name, error);
        source->read = read_zstd;
    }
    return HL_OK;
}

static void source_free(market_source *source)
{
    if (source == NULL)
        return;
    if (source->read == read_gzip)
        inflateEnd(&source->gzip);
    ZSTD_freeDStream(source->zstd);
    if (source->descriptor >= 0)
        close(source->descriptor);
    free(source->packed);
    free(source);
}

static hl_status source_open(const char *path, const char *name, market_source **ret_source,
                             hl_error *error)
{
    market_source *const source = calloc(1, sizeof *source);
    if (source == NULL)
        return no_memory(name, error);
    source->descriptor = -1;
    source->name = name;
    source->packed = malloc(PACKED_BYTES);
    hl_status status = source->packed == NULL
                           ? no_memory(name, error)
                           : open_descriptor(path, name, &source->descriptor, error);
    if (status == HL_OK)
        status = choose_decoder(source, error);
    if (status == HL_OK)
        *ret_source = source;
    else
        source_free(source);
    return status;
}

/* An empty input is refused here, once for all formats. */
static hl_status refuse_empty(market_stream *stream, hl_error *error)
{
    if (market_stream_has(stream, 1) > 0)
        return HL_OK;
    const hl_status status = market_stream_failure(stream, error);
    if (status != HL_OK)
        return status;
    return hl_error_set(error, HL_BAD_INPUT, "%s: byte 0: is empty: there is nothing to read",
                        stream->name);
}

static hl_status finish_open(market_stream *stream, market_stream **ret_stream, hl_error *error)
{
    const hl_status status = refuse_empty(stream, error);
    if (status == HL_OK)
        *ret_stream = stream;
    else
        market_stream_close(stream);
    return status;
}

hl_status market_stream_open(const char *path, market_stream **ret_stream, hl_error *error)
{
    market_stream *const stream = calloc(1, sizeof *stream);
    char *const name = short_name(path);
    uint8_t *const window = malloc(WINDOW_BYTES);
    if (stream == NULL || name == NULL || window == NULL) {
        free(stream);
        free(name);
        free(window);
        return no_memory(path, error);
    }
    *stream = (market_stream){.at = window, .end = window, .name = name, .window = window};
    const hl_status status = source_open(path, name, &stream->source, error);
    if (status != HL_OK) {
        market_stream_close(stream);
        return status;
    }
    return finish_open(stream, ret_stream, error);
}

hl_status market_stream_open_memory(const char *name, uint8_t *bytes, size_t size_bytes,
                                    market_stream **ret_stream, hl_error *error)
{
    market_stream *const stream = calloc(1, sizeof *stream);
    char *const own_name = short_name(name);
    if (stream == NULL || own_name == NULL) {
        free(stream);
        free(own_name);
        free(bytes);
        return no_memory(name, error);
    }
    *stream =
        (market_stream){.at = bytes, .end = bytes + size_bytes, .name = own_name, .window = bytes};
    return finish_open(stream, ret_stream, error);
}

void market_stream_close(market_stream *stream)
{
    if (stream == NULL)
        return;
    source_free(stream->source);
    free((void *)(uintptr_t)stream->window);
    free((void *)(uintptr_t)stream->name);
    free(stream);
}

/* ---- reading ---- */

size_t market_stream_fill(market_stream *stream, size_t want_bytes)
{
    market_source *const source = stream->source;
    size_t have_bytes = (size_t)(stream->end - stream->at);
    if (source == NULL || source->finished)
        return have_bytes;
    uint8_t *const window = (uint8_t *)(uintptr_t)stream->window;
    stream->window_offset = market_stream_offset(stream);
    memmove(window, stream->at, have_bytes);
    while (have_bytes < want_bytes && !source->finished) {
        const size_t got = source->read(source, window + have_bytes, WINDOW_BYTES - have_bytes);
        source->finished = got == 0;
        have_bytes += got;
    }
    stream->at = window;
    stream->end = window + have_bytes;
    return have_bytes;
}

hl_status market_stream_failure(const market_stream *stream, hl_error *error)
{
    if (stream->source == NULL || stream->source->failure.status == HL_OK)
        return HL_OK;
    if (error != NULL)
        *error = stream->source->failure;
    return stream->source->failure.status;
}

/* ---- finding the next good record ---- */

#define GOOD_RECORDS 3

static bool good_records_follow(market_stream *stream, size_t record_max_bytes,
                                market_plausible plausible)
{
    market_stream_has(stream, GOOD_RECORDS * record_max_bytes);
    const uint8_t *at = stream->at;
    for (int good = 0; good < GOOD_RECORDS && at < stream->end; good++) {
        const size_t left_bytes = (size_t)(stream->end - at);
        const size_t size_bytes = plausible(at, left_bytes);
        if (size_bytes == 0 || size_bytes > left_bytes)
            return false;
        at += size_bytes;
    }
    return true;
}

uint64_t market_stream_resync(market_stream *stream, size_t record_max_bytes,
                              market_plausible plausible)
{
    const uint64_t start = market_stream_offset(stream);
    do
        market_stream_skip(stream, 1);
    while (market_stream_has(stream, 1) > 0 &&
           !good_records_follow(stream, record_max_bytes, plausible));
    return market_stream_offset(stream) - start;
}
