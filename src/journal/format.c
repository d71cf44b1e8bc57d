#include "journal/format.h"

#include <inttypes.h>

#include "base/error.h"

#define HEADER_CRC_AT (HL_JOURNAL_HEADER_SIZE - sizeof(uint32_t))

void hl_record_finish(uint32_t seed, void *record, hl_record_kind kind, uint32_t length)
{
    hl_record_word word = {.tag = length | (uint32_t)kind << HL_RECORD_KIND_SHIFT};
    memcpy(record, &word.tag, sizeof word.tag);
    word.crc = hl_record_crc(seed, record, length);
    memcpy(record, &word, sizeof word);
}

/* What each kind may be as far as the tag alone can say; the sizes inside follow after the CRC. */
static bool length_fits(hl_record_kind kind, uint32_t length)
{
    if (length % 8 != 0)
        return false;
    switch (kind) {
    case HL_RECORD_EVENT:
        return length >= sizeof(hl_event) && length <= HL_JOURNAL_EVENT_MAX;
    case HL_RECORD_GROUP:
        return length == sizeof(hl_group);
    case HL_RECORD_DICTIONARY:
        return length >= sizeof(hl_dictionary_record) &&
               length <= hl_record_round(sizeof(hl_dictionary_record) + HL_JOURNAL_NAME_MAX +
                                         HL_JOURNAL_DETAIL_MAX);
    case HL_RECORD_GAP:
        return length == sizeof(hl_gap);
    case HL_RECORD_PADDING:
        return length >= sizeof(hl_record_word);
    case HL_RECORD_ROTATION:
        return length == sizeof(hl_rotation);
    case HL_RECORD_FOOTER:
        return length >= sizeof(hl_footer);
    case HL_RECORD_TRAILER:
        return length == sizeof(hl_trailer);
    }
    return false;
}

uint64_t hl_footer_length(uint64_t blocks, uint64_t dictionary_entries, uint64_t topics,
                          uint64_t bloom_size)
{
    if (blocks > HL_RECORD_LENGTH_MASK || dictionary_entries > HL_RECORD_LENGTH_MASK ||
        topics > HL_RECORD_LENGTH_MASK || bloom_size > HL_RECORD_LENGTH_MASK)
        return UINT64_MAX;
    return sizeof(hl_footer) + blocks * (sizeof(hl_footer_block) + bloom_size) +
           dictionary_entries * sizeof(uint64_t) + topics * sizeof(hl_footer_topic);
}

/* No sequence above HL_JOURNAL_SEQUENCE_MAX gets past here: readers may add 1 to any. */
static bool fields_fit(hl_record_kind kind, const void *record, uint32_t length, uint64_t salt,
                       uint64_t offset)
{
    switch (kind) {
    case HL_RECORD_EVENT: {
        const hl_event *const event = record;
        return event->sequence - 1 < HL_JOURNAL_SEQUENCE_MAX && event->payload_size <= length &&
               hl_record_round(sizeof *event + event->payload_size) == length;
    }
    case HL_RECORD_GROUP: {
        const hl_group *const group = record;
        return group->mark == (HL_JOURNAL_GROUP_MARK ^ salt) && group->offset == offset &&
               group->last_sequence <= HL_JOURNAL_SEQUENCE_MAX;
    }
    case HL_RECORD_DICTIONARY: {
        const hl_dictionary_record *const entry = record;
        return entry->name_size <= HL_JOURNAL_NAME_MAX &&
               entry->detail_size <= HL_JOURNAL_DETAIL_MAX &&
               hl_record_round(sizeof *entry + entry->name_size + entry->detail_size) == length;
    }
    case HL_RECORD_GAP: {
        const hl_gap *const gap = record;
        return gap->first_sequence != 0 && gap->first_sequence <= gap->last_sequence &&
               gap->last_sequence <= HL_JOURNAL_SEQUENCE_MAX;
    }
    case HL_RECORD_FOOTER: {
        const hl_footer *const footer = record;
        const uint64_t needed = hl_footer_length(footer->blocks, footer->dictionary_entries,
                                                 footer->topics, footer->bloom_size);
        return needed <= length && hl_record_round(needed) == length &&
               footer->last_sequence <= HL_JOURNAL_SEQUENCE_MAX;
    }
    case HL_RECORD_TRAILER:
        return ((const hl_trailer *)record)->mark == (HL_JOURNAL_TAIL_MARK ^ salt) &&
               ((const hl_trailer *)record)->file_size == offset + length;
    case HL_RECORD_ROTATION:
        return ((const hl_rotation *)record)->last_sequence <= HL_JOURNAL_SEQUENCE_MAX;
    case HL_RECORD_PADDING:
        return true;
    }
    return false;
}

hl_record_verdict hl_record_check(uint64_t salt, uint32_t seed, const void *bytes,
                                  uint64_t available, uint64_t offset)
{
    hl_record_word word;
    if (available < sizeof word)
        return HL_RECORD_SHORT;
    memcpy(&word, bytes, sizeof word);
    if (word.tag == 0)
        return word.crc == 0 ? HL_RECORD_END : HL_RECORD_BAD_LENGTH;
    const hl_record_kind kind = hl_record_kind_of(word);
    const uint32_t length = hl_record_length(word);
    if (kind > HL_RECORD_TRAILER)
        return HL_RECORD_BAD_KIND;
    if (!length_fits(kind, length))
        return HL_RECORD_BAD_LENGTH;
    if (length > available)
        return HL_RECORD_SHORT;
    if (hl_record_crc(seed, bytes, length) != word.crc)
        return HL_RECORD_BAD_CRC;
    return fields_fit(kind, bytes, length, salt, offset) ? HL_RECORD_GOOD : HL_RECORD_BAD_FIELDS;
}

const char *hl_record_verdict_text(hl_record_verdict verdict)
{
    switch (verdict) {
    case HL_RECORD_GOOD:
        return "good";
    case HL_RECORD_END:
        return "nothing written";
    case HL_RECORD_SHORT:
        return "cut short";
    case HL_RECORD_BAD_LENGTH:
        return "impossible length";
    case HL_RECORD_BAD_CRC:
        return "wrong CRC";
    case HL_RECORD_BAD_FIELDS:
        return "sizes or sequences that cannot be";
    case HL_RECORD_BAD_KIND:
        return "unknown kind";
    }
    return "unknown verdict";
}

uint64_t hl_record_resync(uint64_t salt, uint32_t seed, const void *bytes, uint64_t size,
                          uint64_t at)
{
    const uint8_t *const base = bytes;
    const uint64_t mark = HL_JOURNAL_GROUP_MARK ^ salt;
    for (uint64_t i = 0; i + sizeof(hl_group) <= size; i += 8) {
        uint64_t found;
        memcpy(&found, base + i + offsetof(hl_group, mark), sizeof found);
        if (found == mark &&
            hl_record_check(salt, seed, base + i, size - i, at + i) == HL_RECORD_GOOD)
            return at + i;
    }
    return UINT64_MAX;
}

void hl_segment_header_encode(const hl_segment_header *header, void *ret_block)
{
    uint8_t *const block = ret_block;
    memset(block, 0, HL_JOURNAL_HEADER_SIZE);
    memcpy(block, header, sizeof *header);
    memcpy(block, HL_JOURNAL_MAGIC, sizeof header->magic);
    const uint32_t crc = hl_crc32c(0, block, HEADER_CRC_AT);
    memcpy(block + HEADER_CRC_AT, &crc, sizeof crc);
}

hl_status hl_segment_header_decode(const void *block, const char *place,
                                   hl_segment_header *ret_header, hl_error *error)
{
    hl_segment_header header;
    memcpy(&header, block, sizeof header);
    if (memcmp(header.magic, HL_JOURNAL_MAGIC, sizeof header.magic) != 0)
        return hl_error_set(error, HL_DAMAGED,
                            "%s: no journal segment begins like this: its header is damaged, or "
                            "it is another file that should not lie here",
                            place);
    uint32_t crc;
    memcpy(&crc, (const uint8_t *)block + HEADER_CRC_AT, sizeof crc);
    if (hl_crc32c(0, block, HEADER_CRC_AT) != crc)
        return hl_error_set(error, HL_DAMAGED,
                            "%s: the header's CRC is wrong: without its salt nothing behind it can "
                            "be checked; bring the file back from a copy",
                            place);
    if (header.version != HL_JOURNAL_VERSION || header.event_layout != HL_EVENT_LAYOUT ||
        header.header_size != HL_JOURNAL_HEADER_SIZE)
        return hl_error_set(error, HL_UNSUPPORTED,
                            "%s: format %u with event layout %u; this hotlane reads format %u with "
                            "event layout %u",
                            place, header.version, header.event_layout, HL_JOURNAL_VERSION,
                            (unsigned)HL_EVENT_LAYOUT);
    if (header.first_sequence - 1 >= HL_JOURNAL_SEQUENCE_MAX ||
        header.previous_last_sequence > HL_JOURNAL_SEQUENCE_MAX)
        return hl_error_set(error, HL_DAMAGED,
                            "%s: it says that it begins with sequence %" PRIu64 " behind %" PRIu64
                            ", but sequences go from 1 to 2^54 - 1: no hotlane wrote this "
                            "header; bring the file back from a copy",
                            place, header.first_sequence, header.previous_last_sequence);
    header.domain[sizeof header.domain - 1] = '\0';
    header.writer[sizeof header.writer - 1] = '\0';
    *ret_header = header;
    return HL_OK;
}
