#include "journal/packed.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#if HL_HAVE_ZSTD
#include <zstd.h>
#endif

#include "base/error.h"
#include "journal/segment.h"

#define OPEN_FILES_MAX 4096
#define NO_FRAME       UINT32_MAX

/* An open file: a packed segment, or (frames NULL) any other. */
typedef struct open_file {
    bool used;
    hl_io_file file; /* of the table below */
    char *path;
    hl_segment_header header;
    hl_pack_tail tail;
    hl_pack_frame *frames;
    uint8_t *block;  /* the header block as the file has it */
    uint8_t *stored; /* of one frame, as it lies in the file */
    uint8_t *middle; /* decrypted, not yet decompressed */
    uint8_t *plain;  /* the frame `cached` */
    size_t stored_room;
    uint32_t cached;
    const hl_crypt_key *key;
} open_file;

struct hl_packed_io {
    hl_io table;
    const hl_io *inner;
    const hl_journal_keys *keys;
    open_file *files;
    int file_count;
    hl_error open_error;
    hl_error frame_error;
    uint64_t damaged_frames;
#if HL_HAVE_ZSTD
    ZSTD_DCtx *decompressor;
#endif
};

static size_t frame_plain_size(const hl_pack_tail *tail, uint32_t frame)
{
    const uint64_t body = tail->plain_size - HL_JOURNAL_HEADER_SIZE;
    const uint64_t from = (uint64_t)frame * tail->frame_size;
    return body - from < tail->frame_size ? (size_t)(body - from) : tail->frame_size;
}

static size_t frame_stored_limit(size_t frame_size)
{
    /* zstd's own bound for what does not compress, and the tag. */
    return frame_size + frame_size / 128 + 1024 + HL_CRYPT_TAG_SIZE;
}

/* Decrypts and decompresses `stored` into file->plain. False: it cannot be had. */
static bool decode(hl_packed_io *packed, open_file *file, uint32_t frame)
{
    const size_t plain_size = frame_plain_size(&file->tail, frame);
    const uint8_t *bytes = file->stored;
    size_t size = file->frames[frame].stored_size;
    const bool compressed = file->header.codec == HL_PACK_CODEC_ZSTD;
    if (file->key != NULL) {
        const hl_pack_binding binding = {file->header.salt, plain_size};
        const hl_crypt_place place = {file->header.nonce, frame, &binding, sizeof binding};
        uint8_t *const target = compressed ? file->middle : file->plain;
        if (size < HL_CRYPT_TAG_SIZE || (!compressed && size != plain_size + HL_CRYPT_TAG_SIZE) ||
            hl_crypt_unlock(file->key, &place, bytes, size, target) != HL_OK)
            return false;
        bytes = target;
        size -= HL_CRYPT_TAG_SIZE;
    }
    if (compressed) {
#if HL_HAVE_ZSTD
        const size_t got =
            ZSTD_decompressDCtx(packed->decompressor, file->plain, plain_size, bytes, size);
        if (ZSTD_isError(got) || got != plain_size)
            return false;
#else
        (void)packed;
        return false; /* check_features does not let it come to this */
#endif
    } else if (bytes != file->plain) {
        if (size != plain_size)
            return false;
        memcpy(file->plain, bytes, size);
    }
    return file->key != NULL ||
           hl_crc32c(0, file->plain, plain_size) == file->frames[frame].plain_crc;
}

/* Brings a frame into file->plain. 0 or -errno; damage is no error. */
static int load_frame(hl_packed_io *packed, open_file *file, uint32_t frame)
{
    if (file->cached == frame)
        return 0;
    const hl_pack_frame *const entry = &file->frames[frame];
    const size_t plain_size = frame_plain_size(&file->tail, frame);
    file->cached = NO_FRAME;
    const int64_t got =
        hl_io_read_all(packed->inner, file->file, file->stored, entry->stored_size, entry->offset);
    if (got < 0)
        return (int)got;
    const bool same = (uint64_t)got == entry->stored_size &&
                      hl_crc32c(0, file->stored, entry->stored_size) == entry->stored_crc;
    const bool decoded = (uint64_t)got == entry->stored_size && decode(packed, file, frame);
    if (!same || !decoded) {
        packed->damaged_frames++;
        hl_error_set(&packed->frame_error, HL_DAMAGED,
                     "%s: frame %" PRIu32 " at byte %" PRIu64 " (%s), bytes %" PRIu64 " to %" PRIu64
                     " of the segment",
                     file->path, frame, entry->offset,
                     decoded ? "its CRC is wrong, its content is right" : "it cannot be unpacked",
                     HL_JOURNAL_HEADER_SIZE + (uint64_t)frame * file->tail.frame_size,
                     HL_JOURNAL_HEADER_SIZE + (uint64_t)frame * file->tail.frame_size + plain_size);
    }
    if (!decoded)
        memset(file->plain, 0xff, plain_size);
    file->cached = frame;
    return 0;
}

static int64_t packed_pread(void *context, hl_io_file number, void *bytes, size_t size,
                            uint64_t offset)
{
    hl_packed_io *const packed = context;
    open_file *const file = &packed->files[number];
    if (file->frames == NULL)
        return packed->inner->pread(packed->inner->context, file->file, bytes, size, offset);
    if (offset >= file->tail.plain_size || size == 0)
        return 0;
    if (offset < HL_JOURNAL_HEADER_SIZE) {
        const size_t rest = HL_JOURNAL_HEADER_SIZE - (size_t)offset;
        const size_t take = size < rest ? size : rest;
        memcpy(bytes, file->block + offset, take);
        return (int64_t)take;
    }
    const uint64_t at = offset - HL_JOURNAL_HEADER_SIZE;
    const uint32_t frame = (uint32_t)(at / file->tail.frame_size);
    const size_t inside = (size_t)(at % file->tail.frame_size);
    const int result = load_frame(packed, file, frame);
    if (result < 0)
        return result;
    const size_t rest = frame_plain_size(&file->tail, frame) - inside;
    const size_t take = size < rest ? size : rest;
    memcpy(bytes, file->plain + inside, take);
    return (int64_t)take;
}

/* Which of its features this build and these keys can do. */
static int check_features(hl_packed_io *packed, open_file *file)
{
    const hl_segment_header *const header = &file->header;
    const bool compressed = (header->flags & HL_SEGMENT_COMPRESSED) != 0;
    const bool encrypted = (header->flags & HL_SEGMENT_ENCRYPTED) != 0;
    if (header->codec != (compressed ? HL_PACK_CODEC_ZSTD : 0) ||
        header->cipher != (encrypted ? HL_PACK_CIPHER_XCHACHA : 0)) {
        hl_error_set(&packed->open_error, HL_UNSUPPORTED,
                     "%s: packed with codec %" PRIu32 " and cipher %" PRIu32
                     "; this hotlane knows codec 1 (zstd) and cipher 1 (XChaCha20-Poly1305)",
                     file->path, header->codec, header->cipher);
        return -EOPNOTSUPP;
    }
#if !HL_HAVE_ZSTD
    if (compressed) {
        hl_error_set(&packed->open_error, HL_UNSUPPORTED,
                     "%s: it is compressed, and this hotlane was built without zstd", file->path);
        return -EOPNOTSUPP;
    }
#endif
    if (!encrypted)
        return 0;
    return hl_crypt_find(packed->keys, header->key_id, file->path, &file->key,
                         &packed->open_error) == HL_OK
               ? 0
               : -ENOKEY;
}

static bool frames_fit(const open_file *file, uint64_t index_at)
{
    uint64_t offset = HL_JOURNAL_HEADER_SIZE;
    const size_t limit = frame_stored_limit(file->tail.frame_size);
    for (uint32_t i = 0; i < file->tail.frames; i++) {
        const hl_pack_frame *const frame = &file->frames[i];
        if (frame->offset != offset || frame->stored_size > limit)
            return false;
        offset += frame->stored_size;
    }
    return offset == index_at;
}

/* The index proves itself and, encrypted, the header too: its tag is over both. */
static bool index_is_genuine(const open_file *file, const uint8_t *index, size_t size)
{
    const uint32_t crc = hl_crc32c(hl_crc32c(0, file->block, HL_JOURNAL_HEADER_SIZE), index,
                                   size - sizeof file->tail.crc);
    if (crc != file->tail.crc || file->tail.reserved != 0)
        return false;
    if (file->key == NULL)
        return true;
    const size_t bound = size - sizeof file->tail + offsetof(hl_pack_tail, tag);
    uint8_t *const also = malloc(HL_JOURNAL_HEADER_SIZE + bound);
    if (also == NULL)
        return false;
    memcpy(also, file->block, HL_JOURNAL_HEADER_SIZE);
    memcpy(also + HL_JOURNAL_HEADER_SIZE, index, bound);
    const hl_crypt_place place = {file->header.nonce, HL_PACK_INDEX_NUMBER, also,
                                  HL_JOURNAL_HEADER_SIZE + bound};
    uint8_t nothing;
    const hl_status status =
        hl_crypt_unlock(file->key, &place, file->tail.tag, sizeof file->tail.tag, &nothing);
    free(also);
    return status == HL_OK;
}

/* Reads and checks the index. */
static int load_index(hl_packed_io *packed, open_file *file, uint64_t file_size)
{
    const hl_io *const inner = packed->inner;
    const hl_pack_tail *const tail = &file->tail;
    const uint64_t least = HL_JOURNAL_HEADER_SIZE + 8 + sizeof *tail;
    if (file_size < least)
        return -EBADMSG;
    int64_t got =
        hl_io_read_all(inner, file->file, &file->tail, sizeof *tail, file_size - sizeof *tail);
    if (got < 0)
        return (int)got;
    const uint64_t index_size = 8 + (uint64_t)tail->frames * sizeof *file->frames + sizeof *tail;
    if (tail->mark != (HL_PACK_TAIL_MARK ^ file->header.salt) || tail->frame_size == 0 ||
        tail->frame_size > HL_PACK_FRAME_SIZE_MAX || tail->plain_size < HL_JOURNAL_HEADER_SIZE ||
        index_size > file_size - HL_JOURNAL_HEADER_SIZE ||
        tail->frames !=
            (tail->plain_size - HL_JOURNAL_HEADER_SIZE + tail->frame_size - 1) / tail->frame_size)
        return -EBADMSG;
    uint8_t *const index = malloc((size_t)index_size);
    file->frames = malloc((size_t)tail->frames * sizeof *file->frames + 1);
    if (index == NULL || file->frames == NULL) {
        free(index);
        return -ENOMEM;
    }
    got = hl_io_read_all(inner, file->file, index, (size_t)index_size, file_size - index_size);
    const uint32_t begins[2] = {HL_PACK_SKIPPABLE_MAGIC, (uint32_t)index_size - 8};
    memcpy(file->frames, index + 8, (size_t)tail->frames * sizeof *file->frames);
    const bool good = got == (int64_t)index_size && memcmp(index, begins, sizeof begins) == 0 &&
                      index_is_genuine(file, index, (size_t)index_size) &&
                      frames_fit(file, file_size - index_size);
    free(index);
    return got < 0 ? (int)got : good ? 0 : -EBADMSG;
}

static int make_room_for_frames(open_file *file)
{
    file->stored_room = frame_stored_limit(file->tail.frame_size);
    file->stored = malloc(file->stored_room);
    file->middle = malloc(file->stored_room);
    file->plain = malloc(file->tail.frame_size);
    file->cached = NO_FRAME;
    return file->stored == NULL || file->middle == NULL || file->plain == NULL ? -ENOMEM : 0;
}

static void release(open_file *file)
{
    free(file->path);
    free(file->frames);
    free(file->block);
    free(file->stored);
    free(file->middle);
    free(file->plain);
    *file = (open_file){0};
}

/* Looks whether it is a packed segment, and if so makes it ready. 0 or -errno. */
static int look_inside(hl_packed_io *packed, open_file *file)
{
    file->block = malloc(HL_JOURNAL_HEADER_SIZE);
    if (file->block == NULL)
        return -ENOMEM;
    const int64_t got =
        hl_io_read_all(packed->inner, file->file, file->block, HL_JOURNAL_HEADER_SIZE, 0);
    if (got < 0)
        return (int)got;
    if (got < (int64_t)HL_JOURNAL_HEADER_SIZE ||
        hl_segment_header_decode(file->block, file->path, &file->header, NULL) != HL_OK ||
        !hl_segment_is_packed(&file->header))
        return 0; /* who asked for it says what is wrong with it */
    int result = check_features(packed, file);
    const int64_t size = packed->inner->size(packed->inner->context, file->file);
    if (result == 0)
        result = size < 0 ? (int)size : load_index(packed, file, (uint64_t)size);
    if (result == -EBADMSG)
        hl_error_set(&packed->open_error, HL_DAMAGED,
                     "%s: the index at its end is damaged%s: bring the file back from a copy%s",
                     file->path, file->key != NULL ? ", or its key is not the one it names" : "",
                     file->key != NULL ? "" : "; `tail -c +4097 | zstd -d` may still read it");
    return result == 0 ? make_room_for_frames(file) : result;
}

static int free_slot(hl_packed_io *packed)
{
    for (int i = 0; i < packed->file_count; i++)
        if (!packed->files[i].used)
            return i;
    const int count = packed->file_count == 0 ? 8 : packed->file_count * 2;
    if (count > OPEN_FILES_MAX)
        return -EMFILE;
    open_file *const files = realloc(packed->files, (size_t)count * sizeof *files);
    if (files == NULL)
        return -ENOMEM;
    memset(files + packed->file_count, 0, (size_t)(count - packed->file_count) * sizeof *files);
    packed->files = files;
    const int slot = packed->file_count;
    packed->file_count = count;
    return slot;
}

static int packed_open(void *context, const char *path, unsigned flags)
{
    hl_packed_io *const packed = context;
    if (flags != HL_IO_READ)
        return -EROFS;
    const int slot = free_slot(packed);
    if (slot < 0)
        return slot;
    const hl_io_file inner = packed->inner->open(packed->inner->context, path, flags);
    if (inner < 0)
        return inner;
    open_file *const file = &packed->files[slot];
    *file = (open_file){.used = true, .file = inner, .path = strdup(path)};
    const int result = file->path == NULL ? -ENOMEM : look_inside(packed, file);
    if (result < 0) {
        packed->inner->close(packed->inner->context, inner);
        release(file);
        return result;
    }
    return slot;
}

static int packed_close(void *context, hl_io_file number)
{
    hl_packed_io *const packed = context;
    open_file *const file = &packed->files[number];
    const int result = packed->inner->close(packed->inner->context, file->file);
    release(file);
    return result;
}

static int64_t packed_size(void *context, hl_io_file number)
{
    hl_packed_io *const packed = context;
    const open_file *const file = &packed->files[number];
    return file->frames != NULL ? (int64_t)file->tail.plain_size
                                : packed->inner->size(packed->inner->context, file->file);
}

static int packed_list(void *context, const char *path,
                       int (*each)(void *argument, const char *name), void *argument)
{
    const hl_io *const inner = ((hl_packed_io *)context)->inner;
    return inner->list(inner->context, path, each, argument);
}

static uint64_t packed_now(void *context)
{
    const hl_io *const inner = ((hl_packed_io *)context)->inner;
    return inner->now(inner->context);
}

static uint64_t packed_ticks(void *context)
{
    const hl_io *const inner = ((hl_packed_io *)context)->inner;
    return inner->ticks(inner->context);
}

hl_packed_io *hl_packed_io_create(const hl_io *inner, const hl_journal_keys *keys)
{
    hl_packed_io *const packed = calloc(1, sizeof *packed);
    if (packed == NULL)
        return NULL;
#if HL_HAVE_ZSTD
    packed->decompressor = ZSTD_createDCtx();
    if (packed->decompressor == NULL) {
        free(packed);
        return NULL;
    }
#endif
    packed->inner = inner;
    packed->keys = keys;
    /* What writes stays NULL: nothing that reads a journal may call it. */
    packed->table = (hl_io){.context = packed,
                            .open = packed_open,
                            .close = packed_close,
                            .pread = packed_pread,
                            .size = packed_size,
                            .list = packed_list,
                            .now = packed_now,
                            .ticks = packed_ticks};
    return packed;
}

const hl_io *hl_packed_io_table(const hl_packed_io *packed)
{
    return &packed->table;
}

void hl_packed_io_free(hl_packed_io *packed)
{
    if (packed == NULL)
        return;
    for (int i = 0; i < packed->file_count; i++)
        if (packed->files[i].used)
            packed_close(packed, i);
#if HL_HAVE_ZSTD
    ZSTD_freeDCtx(packed->decompressor);
#endif
    free(packed->files);
    free(packed);
}

bool hl_packed_io_take_error(hl_packed_io *packed, hl_error *error)
{
    if (packed->open_error.status == HL_OK)
        return false;
    if (error != NULL)
        *error = packed->open_error;
    packed->open_error = (hl_error){0};
    return true;
}

uint64_t hl_packed_io_damage(const hl_packed_io *packed, hl_error *ret_error)
{
    if (ret_error != NULL && packed->damaged_frames > 0)
        *ret_error = packed->frame_error;
    return packed->damaged_frames;
}
