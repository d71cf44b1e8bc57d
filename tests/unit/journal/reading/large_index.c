/*
 * Ten gigabytes of journal over ten years, as sparse files: each event is followed by a padding
 * record of zeros that take no room on disk. What is looked for is found by reading next to
 * nothing.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "journal/seal.h"
#include "written.h"
#include "tests/temporary_directory.h"

#define SEGMENTS     40u
#define SEGMENT_SIZE (256u << 20)
#define EVERY        (1u << 20) /* bytes from event to event */
#define EVENTS       (SEGMENT_SIZE / EVERY - 1)
#define TOTAL        (SEGMENTS * EVENTS)
#define TEN_YEARS_NS (UINT64_C(3650) * 86400 * 1000000000)
#define STEP_NS      (TEN_YEARS_NS / TOTAL)
#define READ_LIMIT   (8u << 20) /* bytes that finding one event may read */

static char directory[TEMPORARY_DIRECTORY_SIZE];

static void put(int file, const void *bytes, size_t size, uint64_t offset)
{
    cr_assert_eq(pwrite(file, bytes, size, (off_t)offset), (ssize_t)size);
}

static hl_event event_of(uint64_t sequence)
{
    return (hl_event){.sequence = sequence,
                      .published_ns = WRITTEN_BASE_NS + sequence * STEP_NS,
                      .key = sequence % 97,
                      .correlation_id = sequence / 3 + 1,
                      .topic = 1,
                      .priority = HL_NORMAL};
}

static uint64_t put_group(int file, uint32_t seed, uint64_t salt, uint64_t first)
{
    hl_group group = {.mark = HL_JOURNAL_GROUP_MARK ^ salt,
                      .offset = HL_JOURNAL_HEADER_SIZE,
                      .durable_offset = HL_JOURNAL_HEADER_SIZE,
                      .last_sequence = first - 1,
                      .reserved_through = UINT64_MAX / 2,
                      .events = EVENTS};
    hl_record_finish(seed, &group, HL_RECORD_GROUP, sizeof group);
    put(file, &group, sizeof group, group.offset);
    return HL_JOURNAL_HEADER_SIZE + sizeof group;
}

/* The padding's word: its bytes are zeros, so that its CRC is the same for the same length. */
static hl_record_word padding_word(uint32_t seed, uint32_t length)
{
    uint8_t *const zeros = calloc(1, length);
    hl_record_word word;
    hl_record_finish(seed, zeros, HL_RECORD_PADDING, length);
    memcpy(&word, zeros, sizeof word);
    free(zeros);
    return word;
}

static void make_segment(hl_index *index, uint32_t number)
{
    const uint64_t salt = 0x1234567 + number, first = 1 + (uint64_t)number * EVENTS;
    const uint32_t seed = hl_record_seed(salt);
    hl_segment_header header = {.version = HL_JOURNAL_VERSION,
                                .header_size = HL_JOURNAL_HEADER_SIZE,
                                .event_layout = HL_EVENT_LAYOUT,
                                .salt = salt,
                                .epoch = 1,
                                .shards = 1,
                                .day = 20000 + number,
                                .number = number + 1,
                                .first_sequence = first,
                                .previous_first_sequence = number > 0 ? first - EVENTS : 0,
                                .previous_last_sequence = first - 1,
                                .domain = "order"};
    uint8_t block[HL_JOURNAL_HEADER_SIZE];
    char partition[HL_JOURNAL_PATH_SIZE], path[HL_JOURNAL_PATH_SIZE];
    snprintf(partition, sizeof partition, "%.4000s/order", directory);
    const hl_segment_name name = {header.day, first};
    cr_assert_eq(hl_segment_path(partition, name, path, NULL), HL_OK);
    const int file = open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
    cr_assert_geq(file, 0);
    hl_segment_header_encode(&header, block);
    put(file, block, sizeof block, 0);
    hl_index_clear(index);
    uint64_t offset = put_group(file, seed, salt, first);
    const uint32_t length = EVERY - (uint32_t)sizeof(hl_event);
    const hl_record_word padding = padding_word(seed, length);
    for (uint64_t i = 0; i < EVENTS; i++) {
        hl_event event = event_of(first + i);
        hl_record_finish(seed, &event, HL_RECORD_EVENT, sizeof event);
        put(file, &event, sizeof event, offset);
        hl_index_add_event(index, &event, offset);
        put(file, &padding, sizeof padding, offset + sizeof event);
        offset += EVERY;
    }
    cr_assert_eq(ftruncate(file, (off_t)(offset + hl_seal_limit(index))), 0);
    index->footer.groups = 1;
    index->footer.last_sequence = first + EVENTS - 1;
    const hl_seal seal = {.io = hl_io_posix(),
                          .file = file,
                          .path = path,
                          .salt = salt,
                          .offset = offset,
                          .durable_sequence = first + EVENTS - 1,
                          .next_sequence = first + EVENTS,
                          .has_next = number + 1 < SEGMENTS,
                          .index = index,
                          .buffer = malloc(hl_seal_limit(index))};
    cr_assert_eq(hl_seal_write(&seal, NULL), HL_OK);
    free(seal.buffer);
    close(file);
}

static void set_up(void)
{
    char partition[HL_JOURNAL_PATH_SIZE];
    hl_index index = {0};
    temporary_directory_make(NULL, "journal", directory);
    snprintf(partition, sizeof partition, "%.4000s/order", directory);
    const hl_io *const io = hl_io_posix();
    cr_assert_eq(io->make_directory(io->context, partition), 0);
    cr_assert(hl_index_init(&index, SEGMENT_SIZE, 8));
    for (uint32_t number = 0; number < SEGMENTS; number++)
        make_segment(&index, number);
    hl_index_free(&index);
}

static void tear_down(void)
{
    temporary_directory_remove(directory);
}

TestSuite(large_index, .init = set_up, .fini = tear_down);

static uint64_t bytes_read(void)
{
    char line[128];
    unsigned long long bytes = 0;
    FILE *const file = fopen("/proc/self/io", "r");
    cr_assert_not_null(file);
    while (fgets(line, sizeof line, file) != NULL)
        sscanf(line, "rchar: %llu", &bytes);
    fclose(file);
    return bytes;
}

Test(large_index, ten_gigabytes_are_searched_by_reading_next_to_nothing, .timeout = 120)
{
    hl_journal_reader_options options = HL_JOURNAL_READER_OPTIONS_INIT;
    hl_journal_reader *reader = NULL;
    hl_journal_entry entry;
    hl_error error = {0};
    options.directory = directory;
    cr_assert_eq(hl_journal_reader_open(&options, &reader, &error), HL_OK, "%s", error.text);
    for (uint64_t sequence = 1; sequence <= TOTAL; sequence += 509) {
        const uint64_t before = bytes_read();
        cr_assert_eq(hl_journal_reader_seek_sequence(reader, sequence, &error), HL_OK);
        cr_assert_eq(hl_journal_reader_next(reader, &entry, &error), HL_OK, "%s", error.text);
        cr_assert_eq(entry.event->sequence, sequence);
        /* Just behind the event before: the first that was published then or later. */
        const uint64_t time_ns = WRITTEN_BASE_NS + (sequence - 1) * STEP_NS + 1;
        cr_assert_eq(hl_journal_reader_seek_time(reader, time_ns, &error), HL_OK);
        do
            cr_assert_eq(hl_journal_reader_next(reader, &entry, &error), HL_OK, "%s", error.text);
        while (entry.event->published_ns < time_ns);
        cr_assert_eq(entry.event->sequence, sequence);
        cr_assert_lt(bytes_read() - before, READ_LIMIT, "%" PRIu64 " bytes for %" PRIu64,
                     bytes_read() - before, sequence);
    }
    hl_journal_reader_close(reader);
}

Test(large_index, a_story_in_ten_gigabytes_is_found_by_its_index, .timeout = 120)
{
    hl_journal_reader_options options = HL_JOURNAL_READER_OPTIONS_INIT;
    hl_journal_reader *reader = NULL;
    hl_journal_entry entry;
    hl_error error = {0};
    uint64_t found = 0;
    options.directory = directory;
    options.filter.by_correlation = true;
    options.filter.correlation_id = 3000;
    const uint64_t before = bytes_read();
    cr_assert_eq(hl_journal_reader_open(&options, &reader, &error), HL_OK, "%s", error.text);
    while (hl_journal_reader_next(reader, &entry, &error) == HL_OK)
        found += entry.event->correlation_id == 3000 || entry.id == 3000;
    cr_assert_eq(found, 4, "three, and the one with this id");
    /* The footers, and the blocks that may hold it: one in thirty is a false alarm. */
    cr_assert_lt(bytes_read() - before, (uint64_t)SEGMENTS * EVENTS * EVERY / 10);
    hl_journal_reader_close(reader);
}
