#include "journal/packed.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if HL_HAVE_ZSTD
#include <zstd.h>
#endif

#include "base/error.h"
#include "journal/segment.h"

#define DEFAULT_LEVEL         3
#define SKIPPABLE_HEADER_SIZE 8u

typedef struct packing {
    const hl_io *io;
    const hl_pack_options *options;
    const hl_crypt_key *key; /* NULL: not encrypted */
    const char *source_path;
    char temporary[HL_JOURNAL_PATH_SIZE];
    hl_io_file source;
    hl_io_file target;
    uint64_t plain_size;
    uint64_t offset; /* in the target */
    hl_segment_header header;
    uint8_t *block; /* the header block */
    uint8_t *plain;
    uint8_t *middle; /* compressed, not yet encrypted */
    uint8_t *stored;
    size_t room;
    hl_pack_frame *frames;
    uint32_t frame_count;
#if HL_HAVE_ZSTD
    ZSTD_CCtx *compressor;
#endif
} packing;

static hl_status out_of_memory(const packing *this, hl_error *error)
{
    return hl_error_set(error, HL_NO_MEMORY, "%s: out of memory", this->source_path);
}

/* Before each frame. */
static hl_status check_goes_on(const packing *this, hl_error *error)
{
    const hl_pack_options *const options = this->options;
    return options->goes_on == NULL || options->goes_on(options->context)
               ? HL_OK
               : hl_error_set(error, HL_TIMEOUT, "%s: not packed to its end", this->source_path);
}

/* A good trailer as its last bytes: nobody writes to it any more. */
static hl_status check_finished(packing *this, hl_error *error)
{
    _Alignas(8) uint8_t bytes[sizeof(hl_trailer)];
    hl_record_word word = {0};
    const uint64_t offset = this->plain_size - sizeof bytes;
    const int64_t got = this->plain_size < HL_JOURNAL_HEADER_SIZE + sizeof bytes
                            ? 0
                            : hl_io_read_all(this->io, this->source, bytes, sizeof bytes, offset);
    if (got < 0)
        return hl_io_error(error, got, this->source_path, "read");
    memcpy(&word, bytes, sizeof word);
    if (got < (int64_t)sizeof bytes ||
        hl_record_check(this->header.salt, hl_record_seed(this->header.salt), bytes, sizeof bytes,
                        offset) != HL_RECORD_GOOD ||
        hl_record_kind_of(word) != HL_RECORD_TRAILER)
        return hl_error_set(error, HL_WRONG_STATE,
                            "%s: not sealed: it is still written to, or its writer died and has "
                            "not been started again",
                            this->source_path);
    return HL_OK;
}

static hl_status read_source(packing *this, hl_error *error)
{
    const hl_io *const io = this->io;
    this->source = io->open(io->context, this->source_path, HL_IO_READ);
    if (this->source == -ENOENT)
        return hl_error_set(error, HL_NOT_FOUND, "%s: it is gone", this->source_path);
    if (this->source < 0)
        return hl_io_error(error, this->source, this->source_path, "open");
    const int64_t size = io->size(io->context, this->source);
    if (size < 0)
        return hl_io_error(error, size, this->source_path, "find the size of");
    this->plain_size = (uint64_t)size;
    this->block = malloc(HL_JOURNAL_HEADER_SIZE);
    if (this->block == NULL)
        return out_of_memory(this, error);
    const int64_t got = hl_io_read_all(io, this->source, this->block, HL_JOURNAL_HEADER_SIZE, 0);
    if (got < 0)
        return hl_io_error(error, got, this->source_path, "read");
    if (got < (int64_t)HL_JOURNAL_HEADER_SIZE)
        return hl_error_set(error, HL_DAMAGED, "%s: shorter than a segment's header",
                            this->source_path);
    const hl_status status =
        hl_segment_header_decode(this->block, this->source_path, &this->header, error);
    if (status != HL_OK)
        return status;
    if (hl_segment_is_packed(&this->header))
        return hl_error_set(error, HL_EXISTS, "%s: it is packed already", this->source_path);
    return check_finished(this, error);
}

static hl_status prepare(packing *this, hl_error *error)
{
    const hl_pack_options *const options = this->options;
    this->room = HL_PACK_FRAME_SIZE + HL_CRYPT_TAG_SIZE;
    if (options->compress) {
#if HL_HAVE_ZSTD
        this->room = ZSTD_compressBound(HL_PACK_FRAME_SIZE) + HL_CRYPT_TAG_SIZE;
        this->compressor = ZSTD_createCCtx();
        if (this->compressor == NULL)
            return out_of_memory(this, error);
        ZSTD_CCtx_setParameter(this->compressor, ZSTD_c_compressionLevel,
                               options->level == 0 ? DEFAULT_LEVEL : options->level);
        ZSTD_CCtx_setParameter(this->compressor, ZSTD_c_checksumFlag, 1);
        this->header.flags |= HL_SEGMENT_COMPRESSED;
        this->header.codec = HL_PACK_CODEC_ZSTD;
#else
        return hl_error_set(error, HL_UNSUPPORTED,
                            "this hotlane was built without zstd: it cannot compress");
#endif
    }
    if (this->key != NULL) {
        this->header.flags |= HL_SEGMENT_ENCRYPTED;
        this->header.cipher = HL_PACK_CIPHER_XCHACHA;
        this->header.key_id = this->key->id;
        const hl_status status = hl_crypt_nonce(this->header.nonce);
        if (status != HL_OK)
            return hl_error_set(error, status, "%s: no nonce: libsodium does not start",
                                this->source_path);
    }
    const uint64_t body = this->plain_size - HL_JOURNAL_HEADER_SIZE;
    this->frame_count = (uint32_t)((body + HL_PACK_FRAME_SIZE - 1) / HL_PACK_FRAME_SIZE);
    this->frames = calloc((size_t)this->frame_count + 1, sizeof *this->frames);
    this->plain = malloc(HL_PACK_FRAME_SIZE);
    this->middle = malloc(this->room);
    this->stored = malloc(this->room);
    if (this->frames == NULL || this->plain == NULL || this->middle == NULL || this->stored == NULL)
        return out_of_memory(this, error);
    hl_segment_header_encode(&this->header, this->block);
    return HL_OK;
}

static hl_status write_out(packing *this, const void *bytes, size_t size, hl_error *error)
{
    const int result = hl_io_write_all(this->io, this->target, bytes, size, this->offset, NULL);
    if (result < 0)
        return hl_io_error(error, result, this->temporary, "write");
    /* Down bit by bit: a sync of all of it at the end would stand in the way of the journal's. */
    this->io->flush_ahead(this->io->context, this->target, this->offset, size);
    this->offset += size;
    return HL_OK;
}

/* Compresses and encrypts what is in this->plain; *ret_bytes points at what is to be stored. */
static hl_status encode(packing *this, uint32_t frame, size_t plain_size, const uint8_t **ret_bytes,
                        size_t *ret_size, hl_error *error)
{
    const uint8_t *bytes = this->plain;
    size_t size = plain_size;
#if HL_HAVE_ZSTD
    if (this->compressor != NULL) {
        size = ZSTD_compress2(this->compressor, this->middle, this->room, bytes, size);
        if (ZSTD_isError(size))
            return hl_error_set(error, HL_SYSTEM, "%s: zstd: %s", this->source_path,
                                ZSTD_getErrorName(size));
        bytes = this->middle;
    }
#endif
    if (this->key != NULL) {
        const hl_pack_binding binding = {this->header.salt, plain_size};
        const hl_crypt_place place = {this->header.nonce, frame, &binding, sizeof binding};
        const hl_status status = hl_crypt_lock(this->key, &place, bytes, size, this->stored);
        if (status != HL_OK)
            return hl_error_set(error, status, "%s: cannot encrypt", this->source_path);
        bytes = this->stored;
        size += HL_CRYPT_TAG_SIZE;
    }
    *ret_bytes = bytes;
    *ret_size = size;
    return HL_OK;
}

static hl_status pack_frame(packing *this, uint32_t frame, hl_error *error)
{
    const uint64_t from = HL_JOURNAL_HEADER_SIZE + (uint64_t)frame * HL_PACK_FRAME_SIZE;
    const uint64_t rest = this->plain_size - from;
    const size_t plain_size = rest < HL_PACK_FRAME_SIZE ? (size_t)rest : HL_PACK_FRAME_SIZE;
    const int64_t got = hl_io_read_all(this->io, this->source, this->plain, plain_size, from);
    if (got != (int64_t)plain_size)
        return hl_io_error(error, got < 0 ? got : -EIO, this->source_path, "read all of");
    const uint8_t *bytes = NULL;
    size_t size = 0;
    const hl_status status = encode(this, frame, plain_size, &bytes, &size, error);
    if (status != HL_OK)
        return status;
    const bool encrypted = this->key != NULL;
    this->frames[frame] = (hl_pack_frame){
        .offset = this->offset,
        .stored_size = (uint32_t)size,
        .stored_crc = hl_crc32c(0, bytes, size),
        /* A CRC of the plain text in the clear would say something about it. */
        .plain_crc = encrypted ? 0 : hl_crc32c(0, this->plain, plain_size),
    };
    return write_out(this, bytes, size, error);
}

/* The tag in the tail: over the header block and the index before it. */
static hl_status prove_index(packing *this, const uint8_t *index, size_t size,
                             uint8_t ret_tag[HL_CRYPT_TAG_SIZE], hl_error *error)
{
    uint8_t *const also = malloc(HL_JOURNAL_HEADER_SIZE + size);
    if (also == NULL)
        return out_of_memory(this, error);
    memcpy(also, this->block, HL_JOURNAL_HEADER_SIZE);
    memcpy(also + HL_JOURNAL_HEADER_SIZE, index, size);
    const hl_crypt_place place = {this->header.nonce, HL_PACK_INDEX_NUMBER, also,
                                  HL_JOURNAL_HEADER_SIZE + size};
    const hl_status status = hl_crypt_lock(this->key, &place, "", 0, ret_tag);
    free(also);
    return status == HL_OK ? HL_OK
                           : hl_error_set(error, status, "%s: cannot encrypt", this->source_path);
}

static hl_status write_index(packing *this, hl_error *error)
{
    const size_t frames_size = this->frame_count * sizeof *this->frames;
    const size_t size = SKIPPABLE_HEADER_SIZE + frames_size + sizeof(hl_pack_tail);
    uint8_t *const index = malloc(size);
    if (index == NULL)
        return out_of_memory(this, error);
    const uint32_t begins[2] = {HL_PACK_SKIPPABLE_MAGIC, (uint32_t)(size - SKIPPABLE_HEADER_SIZE)};
    hl_pack_tail tail = {
        .mark = HL_PACK_TAIL_MARK ^ this->header.salt,
        .plain_size = this->plain_size,
        .frame_size = HL_PACK_FRAME_SIZE,
        .frames = this->frame_count,
    };
    uint8_t *const tail_at = index + SKIPPABLE_HEADER_SIZE + frames_size;
    memcpy(index, begins, sizeof begins);
    memcpy(index + SKIPPABLE_HEADER_SIZE, this->frames, frames_size);
    memcpy(tail_at, &tail, sizeof tail);
    hl_status status = HL_OK;
    if (this->key != NULL)
        status = prove_index(this, index, size - sizeof tail + offsetof(hl_pack_tail, tag),
                             tail.tag, error);
    memcpy(tail_at, &tail, sizeof tail);
    tail.crc =
        hl_crc32c(hl_crc32c(0, this->block, HL_JOURNAL_HEADER_SIZE), index, size - sizeof tail.crc);
    memcpy(tail_at, &tail, sizeof tail);
    if (status == HL_OK)
        status = write_out(this, index, size, error);
    free(index);
    return status;
}

static hl_status write_target(packing *this, hl_error *error)
{
    const hl_io *const io = this->io;
    this->target = io->open(io->context, this->temporary, HL_IO_WRITE | HL_IO_CREATE | HL_IO_EMPTY);
    if (this->target < 0)
        return hl_io_error(error, this->target, this->temporary, "make");
    hl_status status = write_out(this, this->block, HL_JOURNAL_HEADER_SIZE, error);
    for (uint32_t frame = 0; status == HL_OK && frame < this->frame_count; frame++) {
        status = check_goes_on(this, error);
        if (status == HL_OK)
            status = pack_frame(this, frame, error);
    }
    if (status == HL_OK)
        status = write_index(this, error);
    return status;
}

/* Every byte behind the header must come back as it was. */
static hl_status compare_all(packing *this, const hl_io *unpacked, hl_io_file file, hl_error *error)
{
    if (unpacked->size(unpacked->context, file) != (int64_t)this->plain_size)
        return hl_error_set(error, HL_DAMAGED, "%s: read back it has another size; not used",
                            this->temporary);
    uint8_t *const again = this->middle; /* room for a frame at least */
    for (uint64_t at = HL_JOURNAL_HEADER_SIZE; at < this->plain_size;) {
        const hl_status status = check_goes_on(this, error);
        if (status != HL_OK)
            return status;
        const uint64_t rest = this->plain_size - at;
        const size_t size = rest < HL_PACK_FRAME_SIZE ? (size_t)rest : HL_PACK_FRAME_SIZE;
        const int64_t one = hl_io_read_all(this->io, this->source, this->plain, size, at);
        const int64_t two = hl_io_read_all(unpacked, file, again, size, at);
        if (one != (int64_t)size || two != (int64_t)size || memcmp(this->plain, again, size) != 0)
            return hl_error_set(error, HL_DAMAGED,
                                "%s: read back it differs from byte %llu on; not used",
                                this->temporary, (unsigned long long)at);
        at += size;
    }
    return HL_OK;
}

static hl_status verify_target(packing *this, const hl_journal_keys *keys, hl_error *error)
{
    hl_packed_io *const packed = hl_packed_io_create(this->io, keys);
    if (packed == NULL)
        return out_of_memory(this, error);
    const hl_io *const unpacked = hl_packed_io_table(packed);
    const hl_io_file file = unpacked->open(unpacked->context, this->temporary, HL_IO_READ);
    hl_status status;
    if (file < 0) {
        if (!hl_packed_io_take_error(packed, error))
            hl_io_error(error, file, this->temporary, "read back");
        status = file == -ENOMEM ? HL_NO_MEMORY : HL_DAMAGED;
    } else {
        status = compare_all(this, unpacked, file, error);
    }
    hl_packed_io_free(packed); /* closes it */
    return status;
}

static void finish(packing *this)
{
    const hl_io *const io = this->io;
    if (this->source >= 0)
        io->close(io->context, this->source);
    if (this->target >= 0)
        io->close(io->context, this->target);
    free(this->block);
    free(this->plain);
    free(this->middle);
    free(this->stored);
    free(this->frames);
#if HL_HAVE_ZSTD
    ZSTD_freeCCtx(this->compressor);
#endif
}

hl_status hl_segment_pack(const hl_io *io, const char *directory, const char *name,
                          const hl_pack_options *options, hl_pack_result *ret_result,
                          hl_error *error)
{
    char path[HL_JOURNAL_PATH_SIZE];
    packing this = {.io = io,
                    .options = options,
                    .key = hl_crypt_newest(options->keys),
                    .source_path = path,
                    .source = -1,
                    .target = -1};
    const int length = snprintf(path, sizeof path, "%s/%s", directory, name);
    const int longer =
        snprintf(this.temporary, sizeof this.temporary, "%s/%s" HL_PACK_TEMPORARY, directory, name);
    if (length < 0 || longer < 0 || (size_t)longer >= sizeof this.temporary)
        return hl_error_set(error, HL_INVALID, "%.200s...: the path is longer than %u bytes",
                            directory, HL_JOURNAL_PATH_SIZE);
    hl_status status = read_source(&this, error);
    if (status == HL_OK)
        status = prepare(&this, error);
    if (status == HL_OK)
        status = write_target(&this, error);
    if (status == HL_OK)
        status = verify_target(&this, options->keys, error);
    if (status == HL_OK)
        *ret_result = (hl_pack_result){this.plain_size, this.offset};
    const bool made = this.target >= 0;
    finish(&this);
    if (status == HL_OK)
        return hl_durable_file_put(io, directory, this.temporary, path, error);
    if (made)
        io->unlink(io->context, this.temporary);
    return status;
}
