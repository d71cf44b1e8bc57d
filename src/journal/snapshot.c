#include "journal/snapshot.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "journal/durable_file.h"
#include "journal/segment.h"

#define MAGIC         "\x89HLS\r\n\x1a\n"
#define VERSION       1u
#define ENDING        ".hls"
#define DIGITS        20 /* of the sequence in a file's name */
#define POSITIONS_MAX 1024u

typedef struct snapshot_head {
    uint8_t magic[8];
    uint32_t format; /* VERSION */
    uint32_t version;
    char name[HL_CURSOR_NAME_SIZE + 7];
    uint64_t sequence;
    uint64_t time_ns;
    uint64_t size;
    uint32_t positions;
    uint32_t body_crc; /* CRC-32C of all behind this struct */
    uint32_t reserved;
    uint32_t crc; /* CRC-32C of this struct up to here */
} snapshot_head;

_Static_assert(sizeof(snapshot_head) == 128, "no hidden padding");

static hl_status directory_of(const char *directory, char ret_path[HL_JOURNAL_PATH_SIZE],
                              hl_error *error)
{
    const int length =
        snprintf(ret_path, HL_JOURNAL_PATH_SIZE, "%s/" HL_SNAPSHOT_DIRECTORY, directory);
    if (length < 0 || (size_t)length >= HL_JOURNAL_PATH_SIZE - 128)
        return hl_error_set(error, HL_INVALID, "%.200s...: the path is longer than %u bytes",
                            directory, HL_JOURNAL_PATH_SIZE);
    return HL_OK;
}

/* NAME-00000000000000000042.hls */
static bool parse_file_name(const char *text, char ret_name[HL_CURSOR_NAME_SIZE],
                            uint64_t *ret_sequence)
{
    const size_t length = strlen(text);
    const size_t behind = 1 + DIGITS + sizeof ENDING - 1; /* the name */
    if (length <= behind || length - behind >= HL_CURSOR_NAME_SIZE ||
        strcmp(text + length - (sizeof ENDING - 1), ENDING) != 0 || text[length - behind] != '-')
        return false;
    const char *const digits = text + length - behind + 1;
    if (strspn(digits, "0123456789") != DIGITS)
        return false;
    memcpy(ret_name, text, length - behind);
    ret_name[length - behind] = '\0';
    *ret_sequence = strtoull(digits, NULL, 10);
    return hl_cursor_check_name(ret_name, NULL) == HL_OK;
}

static void format_file_name(char *ret_text, size_t size, const char *name, uint64_t sequence)
{
    snprintf(ret_text, size, "%s-%020" PRIu64 ENDING, name, sequence);
}

/* ---- storing ---- */

static uint8_t *encode(const hl_snapshot *snapshot, size_t *ret_size)
{
    const size_t positions_size = snapshot->positions_count * sizeof *snapshot->positions;
    const size_t size = sizeof(snapshot_head) + positions_size + snapshot->size;
    uint8_t *const bytes = malloc(size);
    if (bytes == NULL)
        return NULL;
    snapshot_head head = {.format = VERSION,
                          .version = snapshot->version,
                          .sequence = snapshot->sequence,
                          .time_ns = snapshot->time_ns,
                          .size = snapshot->size,
                          .positions = snapshot->positions_count};
    memcpy(head.magic, MAGIC, sizeof head.magic);
    strcpy(head.name, snapshot->name);
    uint8_t *const body = bytes + sizeof head;
    if (positions_size > 0)
        memcpy(body, snapshot->positions, positions_size);
    if (snapshot->size > 0)
        memcpy(body + positions_size, snapshot->payload, snapshot->size);
    head.body_crc = hl_crc32c(0, body, positions_size + snapshot->size);
    head.crc = hl_crc32c(0, &head, offsetof(snapshot_head, crc));
    memcpy(bytes, &head, sizeof head);
    *ret_size = size;
    return bytes;
}

typedef struct found {
    const char *name; /* NULL: any */
    uint64_t *sequences;
    size_t count;
    size_t room;
} found;

static int add_found(void *argument, const char *text)
{
    found *const this = argument;
    char name[HL_CURSOR_NAME_SIZE];
    uint64_t sequence;
    if (!parse_file_name(text, name, &sequence) || strcmp(name, this->name) != 0)
        return 0;
    if (this->count == this->room) {
        const size_t room = this->room == 0 ? 16 : this->room * 2;
        uint64_t *const sequences = realloc(this->sequences, room * sizeof *sequences);
        if (sequences == NULL)
            return -ENOMEM;
        this->sequences = sequences;
        this->room = room;
    }
    this->sequences[this->count++] = sequence;
    return 0;
}

static int newest_first(const void *left, const void *right)
{
    const uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return (a < b) - (a > b);
}

/* The sequences there are of a name, the newest first. free() *ret_sequences. */
static hl_status list(const hl_io *io, const char *path, const char *name, uint64_t **ret_sequences,
                      size_t *ret_count, hl_error *error)
{
    found all = {.name = name};
    const int result = io->list(io->context, path, add_found, &all);
    if (result < 0 && result != -ENOENT) {
        free(all.sequences);
        return hl_io_error(error, result, path, "list the directory");
    }
    if (all.count > 0)
        qsort(all.sequences, all.count, sizeof *all.sequences, newest_first);
    *ret_sequences = all.sequences;
    *ret_count = all.count;
    return HL_OK;
}

/* Those beyond the newest `keep`; what cannot be removed now is removed with the next one. */
static void remove_old(const hl_io *io, const char *path, const char *name, uint32_t keep)
{
    uint64_t *sequences = NULL;
    size_t count = 0;
    char file[HL_JOURNAL_PATH_SIZE + 128], text[128];
    if (list(io, path, name, &sequences, &count, NULL) != HL_OK)
        return;
    for (size_t i = keep; i < count; i++) {
        format_file_name(text, sizeof text, name, sequences[i]);
        snprintf(file, sizeof file, "%s/%s", path, text);
        io->unlink(io->context, file);
    }
    free(sequences);
}

hl_status hl_snapshot_store(const hl_io *io, const char *directory, const hl_snapshot *snapshot,
                            uint32_t keep, hl_error *error)
{
    char path[HL_JOURNAL_PATH_SIZE], text[128];
    hl_status status = hl_cursor_check_name(snapshot->name, error);
    if (status == HL_OK)
        status = directory_of(directory, path, error);
    if (status != HL_OK)
        return status;
    if (keep < HL_SNAPSHOT_KEEP_MIN || snapshot->positions_count > POSITIONS_MAX ||
        snapshot->size > HL_SNAPSHOT_SIZE_MAX)
        return hl_error_set(error, HL_INVALID,
                            "snapshot \"%s\": keeps %" PRIu32 ", %" PRIu32 " positions, %zu bytes; "
                            "at least %u, at most %u and 4 GiB would be right",
                            snapshot->name, keep, snapshot->positions_count, snapshot->size,
                            HL_SNAPSHOT_KEEP_MIN, POSITIONS_MAX);
    const int made = io->make_directory(io->context, path);
    const int synced = made < 0 ? 0 : io->sync_directory(io->context, directory);
    if (made < 0 || synced < 0)
        return hl_io_error(error, made < 0 ? made : synced, path, "make the directory");
    size_t size = 0;
    uint8_t *const bytes = encode(snapshot, &size);
    if (bytes == NULL)
        return hl_error_set(error, HL_NO_MEMORY, "snapshot \"%s\": out of memory", snapshot->name);
    format_file_name(text, sizeof text, snapshot->name, snapshot->sequence);
    status = hl_durable_file_replace(io, path, text, bytes, size, error);
    free(bytes);
    if (status == HL_OK)
        remove_old(io, path, snapshot->name, keep);
    return status;
}

/* ---- loading ---- */

static bool head_is_good(const snapshot_head *head, size_t size)
{
    return memcmp(head->magic, MAGIC, sizeof head->magic) == 0 &&
           hl_crc32c(0, head, offsetof(snapshot_head, crc)) == head->crc &&
           head->format == VERSION && head->positions <= POSITIONS_MAX &&
           memchr(head->name, '\0', HL_CURSOR_NAME_SIZE) != NULL &&
           head->size <= HL_SNAPSHOT_SIZE_MAX &&
           size == sizeof *head + head->positions * sizeof(hl_cursor_position) + head->size;
}

hl_status hl_snapshot_decode(const void *bytes, size_t size, const char *place,
                             hl_snapshot *ret_snapshot, hl_error *error)
{
    snapshot_head head;
    if (size >= sizeof head)
        memcpy(&head, bytes, sizeof head);
    if (size < sizeof head || !head_is_good(&head, size))
        return hl_error_set(error, HL_DAMAGED, "%s: no snapshot, or its head is damaged", place);
    const uint8_t *const body = (const uint8_t *)bytes + sizeof head;
    if (hl_crc32c(0, body, size - sizeof head) != head.body_crc)
        return hl_error_set(error, HL_DAMAGED, "%s: the snapshot's CRC is wrong", place);
    const size_t positions_size = head.positions * sizeof(hl_cursor_position);
    hl_snapshot snapshot = {.sequence = head.sequence,
                            .time_ns = head.time_ns,
                            .version = head.version,
                            .positions_count = head.positions,
                            .positions = malloc(positions_size + 1),
                            .payload = malloc((size_t)head.size + 1),
                            .size = (size_t)head.size};
    if (snapshot.positions == NULL || snapshot.payload == NULL) {
        hl_snapshot_release(&snapshot);
        return hl_error_set(error, HL_NO_MEMORY, "%s: out of memory", place);
    }
    strcpy(snapshot.name, head.name);
    memcpy(snapshot.positions, body, positions_size);
    for (uint32_t i = 0; i < head.positions; i++) {
        hl_cursor_position *const position = &snapshot.positions[i];
        position->partition[sizeof position->partition - 1] = '\0';
    }
    memcpy(snapshot.payload, body + positions_size, (size_t)head.size);
    *ret_snapshot = snapshot;
    return HL_OK;
}

void hl_snapshot_release(hl_snapshot *snapshot)
{
    free(snapshot->positions);
    free(snapshot->payload);
    snapshot->positions = NULL;
    snapshot->payload = NULL;
}

static hl_status load_file(const hl_io *io, const char *path, hl_snapshot *ret_snapshot,
                           hl_error *error)
{
    void *bytes = NULL;
    size_t size = 0;
    const size_t limit =
        sizeof(snapshot_head) + POSITIONS_MAX * sizeof(hl_cursor_position) + HL_SNAPSHOT_SIZE_MAX;
    hl_status status = hl_durable_file_read(io, path, limit, &bytes, &size, error);
    if (status != HL_OK)
        return status;
    status = hl_snapshot_decode(bytes, size, path, ret_snapshot, error);
    free(bytes);
    return status;
}

hl_status hl_snapshot_load(const hl_io *io, const char *directory, const char *name,
                           uint64_t sequence, uint64_t time_ns, hl_snapshot *ret_snapshot,
                           uint32_t *ret_passed_over, hl_error *error)
{
    char path[HL_JOURNAL_PATH_SIZE], file[HL_JOURNAL_PATH_SIZE + 128], text[128];
    uint64_t *sequences = NULL;
    size_t count = 0;
    uint32_t passed_over = 0;
    hl_snapshot snapshot = {0};
    hl_status status = hl_cursor_check_name(name, error);
    if (status == HL_OK)
        status = directory_of(directory, path, error);
    if (status == HL_OK)
        status = list(io, path, name, &sequences, &count, error);
    if (status != HL_OK)
        return status;
    status = HL_NOT_FOUND;
    for (size_t i = 0; i < count && status != HL_OK; i++) {
        if (sequences[i] > sequence)
            continue;
        format_file_name(text, sizeof text, name, sequences[i]);
        snprintf(file, sizeof file, "%s/%s", path, text);
        status = load_file(io, file, &snapshot, error);
        if (status == HL_NO_MEMORY || status == HL_SYSTEM)
            break;
        const bool another = status == HL_OK && (snapshot.sequence != sequences[i] ||
                                                 strcmp(snapshot.name, name) != 0);
        if (another)
            hl_error_set(error, HL_DAMAGED, "%s: what is in it is another snapshot", file);
        passed_over += status == HL_DAMAGED || another;
        if (status == HL_OK && (another || snapshot.time_ns > time_ns)) {
            hl_snapshot_release(&snapshot);
            status = HL_NOT_FOUND;
        }
    }
    free(sequences);
    if (status == HL_OK)
        *ret_snapshot = snapshot;
    if (ret_passed_over != NULL)
        *ret_passed_over = passed_over;
    if (status == HL_DAMAGED || status == HL_NOT_FOUND)
        return passed_over > 0
                   ? HL_NOT_FOUND
                   : hl_error_set(error, HL_NOT_FOUND, "%s: no snapshot \"%s\"", path, name);
    return status;
}

typedef struct visiting {
    const hl_io *io;
    const char *path;
    hl_snapshot_visit visit;
    void *context;
    hl_error *error;
} visiting;

static int visit_one(void *argument, const char *text)
{
    const visiting *const this = argument;
    char name[HL_CURSOR_NAME_SIZE], file[HL_JOURNAL_PATH_SIZE + 256];
    uint64_t sequence;
    hl_snapshot snapshot = {0};
    if (!parse_file_name(text, name, &sequence))
        return 0;
    snprintf(file, sizeof file, "%s/%s", this->path, text);
    hl_status status = load_file(this->io, file, &snapshot, this->error);
    if (status == HL_NOT_FOUND)
        return 0; /* removed just now */
    if (status != HL_OK && status != HL_DAMAGED)
        return (int)status;
    status = this->visit(this->context, file, status == HL_OK ? &snapshot : NULL);
    hl_snapshot_release(&snapshot);
    return (int)status;
}

hl_status hl_snapshot_each(const hl_io *io, const char *directory, hl_snapshot_visit visit,
                           void *context, hl_error *error)
{
    char path[HL_JOURNAL_PATH_SIZE];
    visiting this = {io, path, visit, context, error};
    const hl_status status = directory_of(directory, path, error);
    if (status != HL_OK)
        return status;
    const int result = io->list(io->context, path, visit_one, &this);
    if (result == -ENOENT)
        return HL_OK;
    return result < 0 ? hl_io_error(error, result, path, "list the directory") : (hl_status)result;
}
