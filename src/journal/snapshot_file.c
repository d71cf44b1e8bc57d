#include "journal/snapshot_file.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "journal/durable_file.h"
#include "journal/segment.h"

#define MAGIC           "\x89HLS\r\n\x1a\n"
#define FORMAT_PLAIN    1u
#define FORMAT_LOCKED   2u
#define FRAME_SIZE_MAX  (16u << 20)
#define NUMBER_OF_PROOF UINT64_MAX /* among the frames' */

typedef struct snapshot_head {
    uint8_t magic[8];
    uint32_t format; /* FORMAT_... */
    uint32_t version;
    char name[HL_CURSOR_NAME_SIZE + 7];
    uint64_t sequence;
    uint64_t time_ns;
    uint64_t size; /* of the payload as it was */
    uint32_t positions;
    uint32_t body_crc; /* CRC-32C of all behind this struct */
    uint32_t reserved; /* 0 */
    uint32_t crc;      /* CRC-32C of this struct up to here */
} snapshot_head;

/* Behind the head of an encrypted one. */
typedef struct snapshot_lock {
    uint64_t key_id;
    uint8_t nonce[HL_CRYPT_NONCE_SIZE];
    uint32_t cipher;                /* HL_CRYPT_XCHACHA */
    uint32_t frame_size;            /* bytes of payload in a frame; the last may be shorter */
    uint8_t tag[HL_CRYPT_TAG_SIZE]; /* proves head, lock and positions */
    uint32_t reserved;              /* 0 */
    uint32_t crc;                   /* CRC-32C of this struct up to here */
} snapshot_lock;

_Static_assert(sizeof(snapshot_head) == 128 && sizeof(snapshot_lock) == 64, "no hidden padding");

/* All that stands before the payload, as it lies in the file. */
typedef struct front {
    uint8_t *bytes;
    size_t size;
} front;

static size_t front_size(const snapshot_head *head)
{
    return sizeof *head + (head->format == FORMAT_LOCKED ? sizeof(snapshot_lock) : 0) +
           head->positions * sizeof(hl_cursor_position);
}

static uint64_t frames_of(uint64_t size, uint32_t frame_size)
{
    return (size + frame_size - 1) / frame_size;
}

/* The tag over what is not encrypted: without the CRCs, which follow from it, and itself. */
static hl_status prove(const front *all, const hl_crypt_key *key, snapshot_lock *lock, bool make)
{
    uint8_t *const also = malloc(all->size);
    uint8_t nothing;
    if (also == NULL)
        return HL_NO_MEMORY;
    memcpy(also, all->bytes, all->size);
    memset(also + offsetof(snapshot_head, body_crc), 0, sizeof(uint32_t));
    memset(also + offsetof(snapshot_head, crc), 0, sizeof(uint32_t));
    memset(also + sizeof(snapshot_head) + offsetof(snapshot_lock, tag), 0,
           sizeof *lock - offsetof(snapshot_lock, tag));
    const hl_crypt_place place = {lock->nonce, NUMBER_OF_PROOF, also, all->size};
    const hl_status status =
        make ? hl_crypt_lock(key, &place, "", 0, lock->tag)
             : hl_crypt_unlock(key, &place, lock->tag, sizeof lock->tag, &nothing);
    free(also);
    return status;
}

/* ---- writing ---- */

typedef struct writing {
    const hl_snapshot *snapshot;
    const hl_crypt_key *key; /* NULL: plain */
    front front;
    snapshot_lock lock;
    uint8_t *frame; /* one, encrypted */
} writing;

static hl_status make_lock(writing *this, hl_error *error)
{
    uint8_t *const at = this->front.bytes + sizeof(snapshot_head);
    this->lock = (snapshot_lock){
        .key_id = this->key->id, .cipher = HL_CRYPT_XCHACHA, .frame_size = HL_SNAPSHOT_FRAME_SIZE};
    this->frame = malloc(HL_SNAPSHOT_FRAME_SIZE + HL_CRYPT_TAG_SIZE);
    hl_status status = this->frame != NULL ? hl_crypt_nonce(this->lock.nonce) : HL_NO_MEMORY;
    memcpy(at, &this->lock, sizeof this->lock);
    if (status == HL_OK)
        status = prove(&this->front, this->key, &this->lock, true);
    this->lock.crc = hl_crc32c(0, &this->lock, offsetof(snapshot_lock, crc));
    memcpy(at, &this->lock, sizeof this->lock);
    return status == HL_OK
               ? HL_OK
               : hl_error_set(error, status, "snapshot \"%s\": it cannot be encrypted: %s",
                              this->snapshot->name, hl_status_text(status));
}

/* But for the head's CRCs, which are of the payload too. */
static hl_status make_front(writing *this, hl_error *error)
{
    const hl_snapshot *const snapshot = this->snapshot;
    snapshot_head head = {.format = this->key != NULL ? FORMAT_LOCKED : FORMAT_PLAIN,
                          .version = snapshot->version,
                          .sequence = snapshot->sequence,
                          .time_ns = snapshot->time_ns,
                          .size = snapshot->size,
                          .positions = snapshot->positions_count};
    const size_t positions_size = head.positions * sizeof *snapshot->positions;
    memcpy(head.magic, MAGIC, sizeof head.magic);
    strcpy(head.name, snapshot->name);
    this->front.size = front_size(&head);
    this->front.bytes = malloc(this->front.size);
    if (this->front.bytes == NULL)
        return hl_error_set(error, HL_NO_MEMORY, "snapshot \"%s\": out of memory", snapshot->name);
    memcpy(this->front.bytes, &head, sizeof head);
    if (positions_size > 0)
        memcpy(this->front.bytes + this->front.size - positions_size, snapshot->positions,
               positions_size);
    return this->key != NULL ? make_lock(this, error) : HL_OK;
}

/* One frame of the payload, behind the others; the body's CRC goes on over it. 0 or -errno. */
static int write_frame(const writing *this, const hl_io *io, hl_io_file file, uint64_t number,
                       uint32_t *crc)
{
    const uint64_t at = number * HL_SNAPSHOT_FRAME_SIZE;
    const uint64_t rest = this->snapshot->size - at;
    const uint8_t *bytes = (const uint8_t *)this->snapshot->payload + at;
    size_t size = rest < HL_SNAPSHOT_FRAME_SIZE ? (size_t)rest : HL_SNAPSHOT_FRAME_SIZE;
    uint64_t offset = this->front.size + at;
    if (this->key != NULL) {
        const hl_crypt_place place = {this->lock.nonce, number, NULL, 0};
        if (hl_crypt_lock(this->key, &place, bytes, size, this->frame) != HL_OK)
            return -EOPNOTSUPP;
        bytes = this->frame;
        size += HL_CRYPT_TAG_SIZE;
        offset += number * HL_CRYPT_TAG_SIZE;
    }
    *crc = hl_crc32c(*crc, bytes, size);
    return hl_io_write_all(io, file, bytes, size, offset, NULL);
}

static int write_all(void *context, const hl_io *io, hl_io_file file)
{
    writing *const this = context;
    const uint64_t frames = frames_of(this->snapshot->size, HL_SNAPSHOT_FRAME_SIZE);
    uint32_t crc = hl_crc32c(0, this->front.bytes + sizeof(snapshot_head),
                             this->front.size - sizeof(snapshot_head));
    int result = 0;
    for (uint64_t i = 0; i < frames && result == 0; i++)
        result = write_frame(this, io, file, i, &crc);
    if (result < 0)
        return result;
    memcpy(this->front.bytes + offsetof(snapshot_head, body_crc), &crc, sizeof crc);
    crc = hl_crc32c(0, this->front.bytes, offsetof(snapshot_head, crc));
    memcpy(this->front.bytes + offsetof(snapshot_head, crc), &crc, sizeof crc);
    return hl_io_write_all(io, file, this->front.bytes, this->front.size, 0, NULL);
}

hl_status hl_snapshot_file_write(const hl_io *io, const char *directory, const char *name,
                                 const hl_snapshot *snapshot, const hl_crypt_key *key,
                                 hl_error *error)
{
    writing this = {.snapshot = snapshot, .key = key};
    if (snapshot->positions_count > HL_SNAPSHOT_POSITIONS_MAX ||
        snapshot->size > HL_SNAPSHOT_SIZE_MAX)
        return hl_error_set(
            error, HL_INVALID,
            "snapshot \"%s\": %" PRIu32 " positions, %zu bytes; at most %u and 4 GiB "
            "would be right",
            snapshot->name, snapshot->positions_count, snapshot->size, HL_SNAPSHOT_POSITIONS_MAX);
    hl_status status = make_front(&this, error);
    if (status == HL_OK)
        status = hl_durable_file_make(io, directory, name, write_all, &this, error);
    free(this.front.bytes);
    free(this.frame);
    return status;
}

/* ---- reading ---- */

typedef struct reading {
    const hl_io *io;
    hl_io_file file;
    const char *path;
    const hl_journal_keys *keys;
    bool look;               /* without the payload */
    const hl_crypt_key *key; /* NULL: plain, or only held against its CRCs */
    front front;
    snapshot_head head;
    snapshot_lock lock;
    uint8_t *frame; /* one, as it is stored; plain ones: only to look */
    hl_snapshot snapshot;
    hl_error *error;
} reading;

static hl_status damaged(const reading *this, const char *what)
{
    return hl_error_set(this->error, HL_DAMAGED, "%s: %s", this->path, what);
}

static hl_status out_of_memory(const reading *this)
{
    return hl_error_set(this->error, HL_NO_MEMORY, "%s: out of memory", this->path);
}

/* All `size` bytes, which the file's size says are there. */
static hl_status read_at(const reading *this, void *bytes, size_t size, uint64_t offset)
{
    const int64_t got = hl_io_read_all(this->io, this->file, bytes, size, offset);
    if (got < 0)
        return hl_io_error(this->error, got, this->path, "read");
    return (uint64_t)got == size ? HL_OK : damaged(this, "the snapshot was cut while it was read");
}

static bool head_is_good(const snapshot_head *head)
{
    return memcmp(head->magic, MAGIC, sizeof head->magic) == 0 &&
           hl_crc32c(0, head, offsetof(snapshot_head, crc)) == head->crc;
}

static bool head_fits(const snapshot_head *head)
{
    return head->positions <= HL_SNAPSHOT_POSITIONS_MAX && head->size <= HL_SNAPSHOT_SIZE_MAX &&
           memchr(head->name, '\0', HL_CURSOR_NAME_SIZE) != NULL;
}

/* Whether the file is as long as its head, and lock, say. */
static bool size_is_right(const reading *this, uint64_t file_size)
{
    uint64_t size = front_size(&this->head) + this->head.size;
    if (this->head.format == FORMAT_LOCKED)
        size += frames_of(this->head.size, this->lock.frame_size) * HL_CRYPT_TAG_SIZE;
    return size == file_size;
}

/* Reads the lock, and finds its key. */
static hl_status read_lock(reading *this, uint64_t file_size)
{
    const snapshot_lock *const lock = &this->lock;
    hl_status status = file_size < sizeof this->head + sizeof *lock
                           ? damaged(this, "the snapshot is cut")
                           : read_at(this, &this->lock, sizeof *lock, sizeof this->head);
    if (status != HL_OK)
        return status;
    if (hl_crc32c(0, lock, offsetof(snapshot_lock, crc)) != lock->crc || lock->frame_size == 0 ||
        lock->frame_size > FRAME_SIZE_MAX || lock->key_id == 0 || lock->reserved != 0)
        return damaged(this, "the snapshot's second head is damaged");
    if (lock->cipher != HL_CRYPT_XCHACHA)
        return hl_error_set(this->error, HL_UNSUPPORTED,
                            "%s: encrypted with cipher %" PRIu32
                            "; this hotlane knows cipher 1 (XChaCha20-Poly1305)",
                            this->path, lock->cipher);
    status = hl_crypt_find(this->keys, lock->key_id, this->path, &this->key,
                           this->look ? NULL : this->error);
    return this->look ? HL_OK : status;
}

static hl_status read_head(reading *this)
{
    const int64_t file_size = this->io->size(this->io->context, this->file);
    hl_status status = HL_OK;
    if (file_size < 0)
        return hl_io_error(this->error, file_size, this->path, "find the size of");
    if ((uint64_t)file_size < sizeof this->head)
        return damaged(this, "no snapshot: it is shorter than a head");
    status = read_at(this, &this->head, sizeof this->head, 0);
    if (status != HL_OK)
        return status;
    if (!head_is_good(&this->head))
        return damaged(this, "no snapshot, or its head is damaged");
    if (this->head.format != FORMAT_PLAIN && this->head.format != FORMAT_LOCKED)
        return hl_error_set(this->error, HL_UNSUPPORTED,
                            "%s: a snapshot of format %" PRIu32 "; this hotlane knows 1 and 2",
                            this->path, this->head.format);
    if (!head_fits(&this->head))
        return damaged(this, "the snapshot's head is damaged");
    if (this->head.format == FORMAT_LOCKED)
        status = read_lock(this, (uint64_t)file_size);
    if (status != HL_OK)
        return status;
    return size_is_right(this, (uint64_t)file_size) ? HL_OK : damaged(this, "the snapshot is cut");
}

static hl_status read_front(reading *this)
{
    hl_snapshot *const snapshot = &this->snapshot;
    const size_t positions_size = this->head.positions * sizeof *snapshot->positions;
    this->front.size = front_size(&this->head);
    this->front.bytes = malloc(this->front.size);
    snapshot->positions = malloc(positions_size + 1);
    if (this->front.bytes == NULL || snapshot->positions == NULL)
        return out_of_memory(this);
    hl_status status = read_at(this, this->front.bytes, this->front.size, 0);
    if (status != HL_OK)
        return status;
    if (this->key != NULL)
        status = prove(&this->front, this->key, &this->lock, false);
    if (status != HL_OK)
        return status == HL_NO_MEMORY ? out_of_memory(this)
                                      : damaged(this, "its key does not open it: it was changed");
    memcpy(snapshot->positions, this->front.bytes + this->front.size - positions_size,
           positions_size);
    for (uint32_t i = 0; i < this->head.positions; i++) {
        hl_cursor_position *const position = &snapshot->positions[i];
        position->partition[sizeof position->partition - 1] = '\0';
    }
    return HL_OK;
}

/* A frame of the payload into its place; the body's CRC goes on over what is stored. */
static hl_status read_frame(reading *this, uint64_t number, uint32_t *crc)
{
    const bool is_locked = this->head.format == FORMAT_LOCKED;
    const uint32_t tag_size = is_locked ? HL_CRYPT_TAG_SIZE : 0;
    const uint32_t frame_size = is_locked ? this->lock.frame_size : HL_SNAPSHOT_FRAME_SIZE;
    const uint64_t at = number * frame_size;
    const uint64_t rest = this->head.size - at;
    const size_t stored = (rest < frame_size ? (size_t)rest : frame_size) + tag_size;
    uint8_t *const target = this->look ? this->frame : (uint8_t *)this->snapshot.payload + at;
    uint8_t *const bytes = is_locked ? this->frame : target;
    const hl_status status =
        read_at(this, bytes, stored, this->front.size + at + number * tag_size);
    if (status != HL_OK)
        return status;
    *crc = hl_crc32c(*crc, bytes, stored);
    const hl_crypt_place place = {this->lock.nonce, number, NULL, 0};
    return this->key == NULL || hl_crypt_unlock(this->key, &place, bytes, stored, target) == HL_OK
               ? HL_OK
               : damaged(this, "its key does not open it: it was changed");
}

static hl_status read_payload(reading *this)
{
    const bool is_locked = this->head.format == FORMAT_LOCKED;
    const uint32_t frame_size = is_locked ? this->lock.frame_size : HL_SNAPSHOT_FRAME_SIZE;
    const uint64_t frames = frames_of(this->head.size, frame_size);
    uint32_t crc =
        hl_crc32c(0, this->front.bytes + sizeof this->head, this->front.size - sizeof this->head);
    hl_status status = HL_OK;
    if (!this->look)
        this->snapshot.payload = malloc((size_t)this->head.size + 1);
    if (this->look || is_locked)
        this->frame = malloc(frame_size + HL_CRYPT_TAG_SIZE);
    if ((this->look ? this->frame : this->snapshot.payload) == NULL ||
        (is_locked && this->frame == NULL))
        return out_of_memory(this);
    for (uint64_t i = 0; i < frames && status == HL_OK; i++)
        status = read_frame(this, i, &crc);
    if (status == HL_OK && crc != this->head.body_crc)
        status = damaged(this, "the snapshot's CRC is wrong");
    return status;
}

static hl_status read_file(const hl_io *io, const char *path, const hl_journal_keys *keys,
                           bool look, hl_snapshot *ret_snapshot, hl_error *error)
{
    reading this = {.io = io, .path = path, .keys = keys, .look = look, .error = error};
    this.file = io->open(io->context, path, HL_IO_READ);
    if (this.file == -ENOENT)
        return hl_error_set(error, HL_NOT_FOUND, "%s: there is no such file", path);
    if (this.file < 0)
        return hl_io_error(error, this.file, path, "open");
    hl_status status = read_head(&this);
    if (status == HL_OK)
        status = read_front(&this);
    if (status == HL_OK)
        status = read_payload(&this);
    io->close(io->context, this.file);
    free(this.front.bytes);
    free(this.frame);
    if (status != HL_OK) {
        hl_snapshot_release(&this.snapshot);
        return status;
    }
    this.snapshot.sequence = this.head.sequence;
    this.snapshot.time_ns = this.head.time_ns;
    this.snapshot.key_id = this.lock.key_id;
    this.snapshot.version = this.head.version;
    this.snapshot.positions_count = this.head.positions;
    this.snapshot.size = (size_t)this.head.size;
    strcpy(this.snapshot.name, this.head.name);
    *ret_snapshot = this.snapshot;
    return HL_OK;
}

hl_status hl_snapshot_file_read(const hl_io *io, const char *path, const hl_journal_keys *keys,
                                hl_snapshot *ret_snapshot, hl_error *error)
{
    return read_file(io, path, keys, false, ret_snapshot, error);
}

hl_status hl_snapshot_file_look(const hl_io *io, const char *path, const hl_journal_keys *keys,
                                hl_snapshot *ret_snapshot, hl_error *error)
{
    return read_file(io, path, keys, true, ret_snapshot, error);
}

void hl_snapshot_release(hl_snapshot *snapshot)
{
    free(snapshot->positions);
    free(snapshot->payload);
    snapshot->positions = NULL;
    snapshot->payload = NULL;
}
