/*
 * Packed segments: sealed ones that have been compressed, encrypted, or both. The file keeps its
 * name; what a reader sees through hl_packed_io is the segment as it was, byte for byte, with the
 * flags in its header set.
 *
 *     [header block][frame 0][frame 1]...[index]
 *
 * The header block is the segment's own, in the clear, with HL_SEGMENT_COMPRESSED or
 * HL_SEGMENT_ENCRYPTED (or both) set and codec, cipher, key_id and nonce filled. What follows it in
 * the segment is cut in frames of frame_size bytes (the last one shorter); each is compressed, then
 * encrypted, by itself. The index is a skippable frame of zstd's: [magic 0x184D2A5D, size: u32
 * each][hl_pack_frame...][hl_pack_tail], so that of a segment that is compressed only,
 * `tail -c +4097 FILE | zstd -d` gives all that follows the header.
 */
#ifndef HL_JOURNAL_PACKED_H
#define HL_JOURNAL_PACKED_H

#include <hotlane/journal_reader.h>

#include "journal/crypt.h"
#include "journal/durable_file.h"
#include "journal/format.h"
#include "base/io.h"

#define HL_PACK_FRAME_SIZE      (256u << 10) /* bytes of the segment in one frame */
#define HL_PACK_FRAME_SIZE_MAX  (16u << 20)
#define HL_PACK_SKIPPABLE_MAGIC 0x184D2A5Du
#define HL_PACK_TAIL_MARK       0xa7d1f03b62c94e85u /* xor the salt: hl_pack_tail.mark */
#define HL_PACK_CODEC_ZSTD      1u
#define HL_PACK_CIPHER_XCHACHA  HL_CRYPT_XCHACHA
/* Behind a segment's name: what is packed of it so far. Of use to nobody once its packer is gone.
 */
#define HL_PACK_TEMPORARY ".pack" HL_DURABLE_TEMPORARY

typedef struct hl_pack_frame {
    uint64_t offset;      /* in the file */
    uint32_t stored_size; /* bytes there */
    uint32_t stored_crc;  /* CRC-32C of them */
    uint32_t plain_crc;   /* CRC-32C of the segment's bytes; 0 where they are encrypted */
    uint32_t reserved;    /* 0 */
} hl_pack_frame;

/* The last bytes of the file. */
typedef struct hl_pack_tail {
    uint64_t mark;
    uint64_t plain_size; /* of the segment, its header block included */
    uint32_t frame_size;
    uint32_t frames;
    uint8_t tag[HL_CRYPT_TAG_SIZE]; /* encrypted: proves header block and index; else 0 */
    uint32_t reserved;              /* 0 */
    uint32_t crc;                   /* CRC-32C of the header block and the index up to here */
} hl_pack_tail;

_Static_assert(sizeof(hl_pack_frame) == 24 && sizeof(hl_pack_tail) == 48, "no hidden padding");

/* Packed already, as its header says. */
static inline bool hl_segment_is_packed(const hl_segment_header *header)
{
    return (header->flags & (HL_SEGMENT_COMPRESSED | HL_SEGMENT_ENCRYPTED)) != 0;
}

/* What a frame's cipher text is bound to besides its number: salt, segment bytes in it. */
typedef struct hl_pack_binding {
    uint64_t salt;
    uint64_t plain_size;
} hl_pack_binding;
#define HL_PACK_INDEX_NUMBER UINT64_MAX /* of the index, among the frames' */

/*
 * A table of I/O operations that reads packed segments as if they were plain, and plain ones (and
 * everything else) as they are. It opens for reading only. One thread.
 *
 * A frame that cannot be given back reads as bytes 0xff, which are no record: so a walk finds
 * damage where it is, and good records behind it. hl_packed_io_damage says how many, and what was
 * wrong.
 */
typedef struct hl_packed_io hl_packed_io;

/* `inner` is the table below, `keys` (may be NULL) decrypt; both outlive it. NULL: no memory. */
hl_packed_io *hl_packed_io_create(const hl_io *inner, const hl_journal_keys *keys);
const hl_io *hl_packed_io_table(const hl_packed_io *packed);
void hl_packed_io_free(hl_packed_io *packed);

/*
 * Why the last `open` failed, where the number alone does not tell: HL_NOT_ALLOWED (no key, wrong
 * key), HL_UNSUPPORTED (this build lacks zstd or libsodium), HL_DAMAGED (index or header). False:
 * nothing to say. Forgets it.
 */
bool hl_packed_io_take_error(hl_packed_io *packed, hl_error *error);

/* Frames found damaged so far, whether or not their bytes could still be had; *ret_error (may be
 * NULL) is about the last. */
uint64_t hl_packed_io_damage(const hl_packed_io *packed, hl_error *ret_error);

typedef struct hl_pack_options {
    bool compress;
    int level;                      /* of zstd, 1 to 19; 0: 3 */
    const hl_journal_keys *keys;    /* encrypted with the newest; NULL: not encrypted */
    bool (*goes_on)(void *context); /* asked before each frame; NULL: it does */
    void *context;
} hl_pack_options;

typedef struct hl_pack_result {
    uint64_t plain_bytes;
    uint64_t packed_bytes;
} hl_pack_result;

/*
 * Packs DIRECTORY's segment of this name in place: writes the packed one beside it, reads it back
 * and compares every byte, then renames. Readers that have the old one open go on with it. Any
 * thread, one at a time for one name (retention.h has the lock).
 * - HL_OK.
 * - HL_WRONG_STATE: not sealed and finished yet. HL_EXISTS: packed already. HL_NOT_FOUND: it is
 *   gone. HL_TIMEOUT: goes_on() said no; the old file is as it was.
 * - HL_UNSUPPORTED: built without zstd, or libsodium.
 * - HL_DAMAGED, HL_NO_SPACE, HL_SYSTEM, HL_NO_MEMORY: the old file is as it was, but for the one
 *   failure of hl_durable_file_replace.
 */
hl_status hl_segment_pack(const hl_io *io, const char *directory, const char *name,
                          const hl_pack_options *options, hl_pack_result *ret_result,
                          hl_error *error);

#endif
