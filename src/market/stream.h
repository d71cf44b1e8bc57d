/*
 * The bytes of a file, plain, gzip or zstd (by its first bytes), as one moving window; or of a
 * block of memory. Offsets count unpacked bytes from 0.
 *
 * Files are read through a buffer and not mapped: a file that shrinks while it is mapped kills the
 * process (SIGBUS). Several gzip members or zstd frames in a row are one stream. One thread at a
 * time.
 */
#ifndef MARKET_STREAM_H
#define MARKET_STREAM_H

#include <stddef.h>
#include <stdint.h>

#include <hotlane/status.h>

#define MARKET_PEEK_MAX ((size_t)256 * 1024) /* the widest look ahead, bytes */

/* Read `at`, `end` and `name`; the rest is stream.c's. */
typedef struct market_stream {
    const uint8_t *at; /* the next byte */
    const uint8_t *end;
    const char *name;      /* for sentences: the path, its tail when it is long */
    const uint8_t *window; /* first byte in memory, at `window_offset` of the stream */
    uint64_t window_offset;
    struct market_source *source; /* NULL: a block of memory */
} market_stream;

/*
 * HL_SYSTEM: cannot be opened or read (no such file, no permission, a directory). HL_BAD_INPUT:
 * empty. HL_NO_MEMORY. *ret_stream is the caller's: market_stream_close.
 */
hl_status market_stream_open(const char *path, market_stream **ret_stream, hl_error *error);

/* Takes over `bytes` (from malloc), also on failure; name is copied. */
hl_status market_stream_open_memory(const char *name, uint8_t *bytes, size_t size_bytes,
                                    market_stream **ret_stream, hl_error *error);

void market_stream_close(market_stream *stream);

/* Slow path of market_stream_has. */
size_t market_stream_fill(market_stream *stream, size_t want_bytes);

/*
 * Bytes that lie at stream->at: at least want_bytes (at most MARKET_PEEK_MAX), fewer only when the
 * input ends there or fails there; market_stream_failure then tells which. Invalidates pointers
 * into the window.
 */
static inline size_t market_stream_has(market_stream *stream, size_t want_bytes)
{
    const size_t have_bytes = (size_t)(stream->end - stream->at);
    return have_bytes >= want_bytes ? have_bytes : market_stream_fill(stream, want_bytes);
}

/* size_bytes: at most what market_stream_has returned. */
static inline void market_stream_skip(market_stream *stream, size_t size_bytes)
{
    stream->at += size_bytes;
}

static inline uint64_t market_stream_offset(const market_stream *stream)
{
    return stream->window_offset + (uint64_t)(stream->at - stream->window);
}

/*
 * Why the bytes end where they do: HL_OK, the input is at its end; HL_BAD_INPUT, the packed data is
 * damaged or cut; HL_SYSTEM, a read failed. Fills `error` with the sentence when it is not HL_OK.
 */
hl_status market_stream_failure(const market_stream *stream, hl_error *error);

/* The whole size in bytes of the record that `bytes` seem to start, 0 when they start none. */
typedef size_t (*market_plausible)(const uint8_t *bytes, size_t size_bytes);

/*
 * Goes forward at least one byte, to the next good record or else to the end: three plausible
 * records in a row, or fewer and then exactly the end of the input. Returns how many bytes were
 * passed over.
 */
uint64_t market_stream_resync(market_stream *stream, size_t record_max_bytes,
                              market_plausible plausible);

#endif
