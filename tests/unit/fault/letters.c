#include "letters.h"
#include "tests/temporary_directory.h"

#include <dirent.h>
#include <errno.h>
#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ------- the disk ------- */

/* Whether it is this call's turn to fail. */
static bool fails(void *context)
{
    test_disk *const disk = context;
    return ++disk->calls == disk->fail_at;
}

static int disk_open(void *context, const char *path, unsigned flags)
{
    return fails(context) ? -EIO : hl_io_posix()->open(NULL, path, flags);
}

static int64_t disk_pwrite(void *context, hl_io_file file, const void *bytes, size_t size,
                           uint64_t offset)
{
    const test_disk *const disk = context;
    if (fails(context))
        return -EIO;
    if (offset >= disk->room_bytes)
        return -ENOSPC;
    const uint64_t room = disk->room_bytes - offset;
    return hl_io_posix()->pwrite(NULL, file, bytes, size < room ? size : (size_t)room, offset);
}

static int64_t disk_pread(void *context, hl_io_file file, void *bytes, size_t size, uint64_t offset)
{
    return fails(context) ? -EIO : hl_io_posix()->pread(NULL, file, bytes, size, offset);
}

static int disk_sync(void *context, hl_io_file file)
{
    const test_disk *const disk = context;
    return fails(context) || disk->fail_sync ? -EIO : hl_io_posix()->sync(NULL, file);
}

static int disk_sync_directory(void *context, const char *path)
{
    return fails(context) ? -EIO : hl_io_posix()->sync_directory(NULL, path);
}

static int64_t disk_size(void *context, hl_io_file file)
{
    return fails(context) ? -EIO : hl_io_posix()->size(NULL, file);
}

static int disk_truncate(void *context, hl_io_file file, uint64_t size)
{
    return fails(context) ? -EIO : hl_io_posix()->truncate(NULL, file, size);
}

static int disk_rename(void *context, const char *from, const char *to)
{
    return fails(context) ? -EIO : hl_io_posix()->rename(NULL, from, to);
}

static int disk_lock(void *context, const char *path, hl_io_owner *ret_owner)
{
    return fails(context) ? -EIO : hl_io_posix()->lock(NULL, path, ret_owner);
}

void test_disk_init(test_disk *disk)
{
    *disk = (test_disk){.io = *hl_io_posix(), .room_bytes = UINT64_MAX};
    disk->io.context = disk;
    disk->io.open = disk_open;
    disk->io.pwrite = disk_pwrite;
    disk->io.pread = disk_pread;
    disk->io.sync = disk_sync;
    disk->io.sync_directory = disk_sync_directory;
    disk->io.size = disk_size;
    disk->io.truncate = disk_truncate;
    disk->io.rename = disk_rename;
    disk->io.lock = disk_lock;
}

/* ------- files ------- */

static char directory[TEMPORARY_DIRECTORY_SIZE];

void letters_set_up(void)
{
    /* In memory where there is such a place: the tests open thousands of files. */
    temporary_directory_make(temporary_directory_in_memory(), "letters", directory);
}

void letters_tear_down(void)
{
    temporary_directory_remove(directory);
}

const char *letters_file(void)
{
    static char path[sizeof directory + 8];
    snprintf(path, sizeof path, "%s/a.dlq", directory);
    return path;
}

const char *letters_path(const char *name)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    return path;
}

unsigned char *letters_read_file(const char *path, size_t *ret_size)
{
    FILE *const file = fopen(path, "rb");
    cr_assert_not_null(file, "%s", path);
    fseek(file, 0, SEEK_END);
    *ret_size = (size_t)ftell(file);
    rewind(file);
    unsigned char *const bytes = malloc(*ret_size + 1);
    cr_assert_eq(fread(bytes, 1, *ret_size, file), *ret_size);
    fclose(file);
    return bytes;
}

void letters_write_file(const char *path, const void *bytes, size_t size)
{
    FILE *const file = fopen(path, "wb");
    cr_assert_not_null(file, "%s", path);
    cr_assert_eq(fwrite(bytes, 1, size, file), size);
    fclose(file);
}

/* ------- letters ------- */

hl_dlq *letters_open(const char *path)
{
    hl_dlq_options options = HL_DLQ_OPTIONS_INIT;
    options.path = path;
    options.sync_interval_ns = UINT64_MAX;
    hl_dlq *dlq = NULL;
    hl_error error;
    cr_assert_eq(hl_dlq_open(&options, &dlq, &error), HL_OK, "%s", error.text);
    return dlq;
}

void letters_close(hl_dlq *dlq)
{
    hl_error error;
    cr_assert_eq(hl_dlq_close(dlq, &error), HL_OK, "%s", error.text);
}

hl_dead_letters *letters_ring(hl_dlq *dlq, uint32_t ring_slots)
{
    hl_dead_letters *letters = NULL;
    hl_error error;
    const uint32_t largest = ring_slots < 512 ? 512u : 64u + LETTERS_PAYLOAD_MAX;
    cr_assert_eq(hl_dead_letters_create(dlq, ring_slots, largest, &letters, &error), HL_OK, "%s",
                 error.text);
    return letters;
}

static unsigned char payload_byte(uint64_t number, uint32_t i)
{
    return (unsigned char)(number * 31 + i * 7 + 1);
}

const hl_event *letters_event(uint64_t number, uint32_t payload_size)
{
    static _Thread_local struct {
        alignas(64) hl_event event;
        unsigned char payload[LETTERS_PAYLOAD_MAX];
    } made;
    made.event = (hl_event){.sequence = number,
                            .published_ns = number * HL_SECOND,
                            .key = number * 3,
                            .correlation_id = number + 1,
                            .payload_size = payload_size,
                            .priority = 1};
    for (uint32_t i = 0; i < payload_size; i++)
        made.payload[i] = payload_byte(number, i);
    return &made.event;
}

bool letters_event_is(const hl_event *event, uint64_t number, uint32_t payload_size)
{
    const unsigned char *const payload = hl_payload(event);
    if (event->sequence != number || event->key != number * 3 ||
        event->payload_size != payload_size || (uintptr_t)payload % 64 != 0)
        return false;
    for (uint32_t i = 0; i < payload_size; i++) {
        if (payload[i] != payload_byte(number, i))
            return false;
    }
    return true;
}

static uint32_t name(hl_dead_letters *letters, const char *text)
{
    uint32_t number = 0;
    cr_assert_eq(hl_dead_letters_intern(letters, text, &number), HL_OK);
    return number;
}

hl_dead_post letters_post(hl_dead_letters *letters, uint64_t number)
{
    const bool odd = number % 2 != 0;
    return (hl_dead_post){.topic = name(letters, odd ? "fill.done" : "order.new"),
                          .source = name(letters, "gateway-a"),
                          .subscription = name(letters, odd ? "book" : "risk"),
                          .pattern = name(letters, odd ? "fill.*" : "order.>"),
                          .partition = 3,
                          .reason = odd ? HL_DEAD_REJECTED : HL_DEAD_EXHAUSTED,
                          .error_code = -(int32_t)number,
                          .attempts = 4,
                          .error_text = "limit exceeded",
                          .first_failed_ns = number * HL_SECOND,
                          .last_failed_ns = number * HL_SECOND};
}

void letters_add(hl_dead_letters *letters, uint64_t number, uint32_t payload_size)
{
    const hl_dead_post post = letters_post(letters, number);
    hl_error error;
    cr_assert_eq(hl_dead_letters_post(letters, &post, letters_event(number, payload_size)), HL_OK);
    cr_assert_eq(hl_dead_letters_drain(letters, &error), HL_OK, "%s", error.text);
}

uint64_t letters_count(hl_dlq *dlq)
{
    uint64_t count = 0;
    hl_error error;
    cr_assert_eq(hl_dlq_count(dlq, NULL, &count, &error), HL_OK, "%s", error.text);
    return count;
}
