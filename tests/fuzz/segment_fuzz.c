/*
 * Any bytes as a segment: examined, verified, read from end to end, by index and by seeks, unpacked
 * where the header says that it is packed. The first byte of the input chooses: with its lowest bit
 * set the CRCs of header, records, frames and index are made right first, so that what is behind
 * them is reached.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "journal/examine.h"
#include "journal/packed.h"
#include "journal/reader.h"
#include "journal/verify.h"
#include "memory_journal.h"

#define ENTRIES_MAX                                                               \
    100000 /* a reader that gives more than this from so few bytes goes in a ring \
            */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fix_records(uint8_t *bytes, size_t size, uint64_t salt)
{
    const uint32_t seed = hl_record_seed(salt);
    for (size_t at = HL_JOURNAL_HEADER_SIZE; at + sizeof(hl_record_word) <= size;) {
        hl_record_word word;
        memcpy(&word, bytes + at, sizeof word);
        const uint32_t length = hl_record_length(word);
        if (length < sizeof word || length % 8 != 0 || length > size - at) {
            at += 8;
            continue;
        }
        word.crc = hl_record_crc(seed, bytes + at, length);
        memcpy(bytes + at, &word, sizeof word);
        at += length;
    }
}

static void fix_index(uint8_t *bytes, size_t size)
{
    hl_pack_tail tail;
    memcpy(&tail, bytes + size - sizeof tail, sizeof tail);
    const uint64_t index_size = 8 + (uint64_t)tail.frames * sizeof(hl_pack_frame) + sizeof tail;
    if (index_size > size - HL_JOURNAL_HEADER_SIZE)
        return;
    uint8_t *const index = bytes + size - index_size;
    for (uint32_t i = 0; i < tail.frames; i++) {
        hl_pack_frame frame;
        memcpy(&frame, index + 8 + i * sizeof frame, sizeof frame);
        if (frame.offset < size && frame.stored_size <= size - frame.offset)
            frame.stored_crc = hl_crc32c(0, bytes + frame.offset, frame.stored_size);
        memcpy(index + 8 + i * sizeof frame, &frame, sizeof frame);
    }
    tail.crc = hl_crc32c(hl_crc32c(0, bytes, HL_JOURNAL_HEADER_SIZE), index,
                         (size_t)index_size - sizeof tail.crc);
    memcpy(bytes + size - sizeof tail.crc, &tail.crc, sizeof tail.crc);
}

static void fix(uint8_t *bytes, size_t size)
{
    hl_segment_header header;
    if (size < HL_JOURNAL_HEADER_SIZE + sizeof(hl_pack_tail))
        return;
    memcpy(&header, bytes, sizeof header);
    hl_segment_header_encode(&header, bytes);
    if (hl_segment_is_packed(&header))
        fix_index(bytes, size);
    else
        fix_records(bytes, size, header.salt);
}

static void read_entries(const hl_io *io, const hl_journal_filter *filter, bool salvage,
                         uint64_t seek)
{
    hl_journal_reader_options options = HL_JOURNAL_READER_OPTIONS_INIT;
    hl_journal_reader *reader = NULL;
    hl_journal_entry entry;
    volatile uint64_t sum = 0; /* every byte that is handed out is read */
    options.directory = "journal";
    options.salvage = salvage;
    options.filter = *filter;
    if (hl_reader_open(io, &options, &reader, NULL) != HL_OK)
        return;
    if (seek != 0 && hl_journal_reader_seek_sequence(reader, seek, NULL) != HL_OK) {
        hl_journal_reader_close(reader);
        return;
    }
    int count = 0;
    while (hl_journal_reader_next(reader, &entry, NULL) == HL_OK) {
        if (++count > ENTRIES_MAX)
            abort();
        sum += strlen(entry.topic) + strlen(entry.source) + strlen(entry.detail);
        for (uint32_t i = 0; entry.event != NULL && i < entry.event->payload_size; i++)
            sum += ((const uint8_t *)hl_payload(entry.event))[i];
    }
    hl_journal_reader_close(reader);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    uint8_t *const bytes = malloc(size); /* exactly: what reads beyond is found */
    if (bytes == NULL)
        return 0;
    memcpy(bytes, data + 1, size - 1);
    if ((data[0] & 1) != 0)
        fix(bytes, size - 1);
    memory_journal journal;
    memory_journal_init(&journal, bytes, size - 1);
    const hl_journal_filter all = {0};
    const hl_journal_filter some = {.topic = "order.*", .by_key = true, .key = 7};
    const hl_journal_filter late = {.from_ns = 1750000000000010000u, .to_ns = UINT64_MAX / 2};
    read_entries(&journal.io, &all, true, 0);
    read_entries(&journal.io, &all, false, 0);
    read_entries(&journal.io, &some, true, 0);
    read_entries(&journal.io, &late, true, 0);
    read_entries(&journal.io, &all, true, 20);
    const hl_verify_options verifying = {.directory = "journal", .partition = "order"};
    const hl_verify_visitor visitor = {0};
    uint64_t damages;
    hl_journal_verify(&journal.io, &verifying, &visitor, &damages, NULL);
    free(bytes);
    return 0;
}
