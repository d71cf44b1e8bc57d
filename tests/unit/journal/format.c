#include "journal/format.h"

#include <criterion/criterion.h>

#define SALT 0x1122334455667788u

typedef struct record {
    hl_event event;
    uint8_t payload[40];
} record;

static uint32_t seed_of_salt(void)
{
    return hl_record_seed(SALT);
}

/* An event record of 13 payload bytes: 80 bytes. */
static record make_event(void)
{
    record made = {.event = {.sequence = 7, .payload_size = 13, .key = 3}};
    for (uint8_t i = 0; i < 13; i++)
        made.payload[i] = i;
    hl_record_finish(seed_of_salt(), &made, HL_RECORD_EVENT, 80);
    return made;
}

static hl_record_verdict check(const void *bytes, uint64_t available)
{
    return hl_record_check(SALT, seed_of_salt(), bytes, available, 4096);
}

Test(format, a_record_as_written_is_good)
{
    const record made = make_event();
    cr_assert_eq(check(&made, 80), HL_RECORD_GOOD);
    cr_assert_eq(check(&made, sizeof made), HL_RECORD_GOOD);
}

Test(format, a_record_that_is_not_all_there_is_short)
{
    const record made = make_event();
    for (uint64_t available = 0; available < 80; available++)
        cr_assert_eq(check(&made, available), HL_RECORD_SHORT);
}

Test(format, each_flipped_bit_is_found)
{
    record made = make_event();
    uint8_t *const bytes = (uint8_t *)&made;
    for (size_t bit = 0; bit < 80 * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        cr_assert_neq(check(bytes, sizeof made), HL_RECORD_GOOD, "bit %zu", bit);
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

Test(format, a_record_of_another_salt_is_not_good)
{
    const record made = make_event();
    const uint64_t other = SALT + 1;
    cr_assert_eq(hl_record_check(other, hl_record_seed(other), &made, 80, 4096), HL_RECORD_BAD_CRC);
}

Test(format, zeros_are_the_end)
{
    const uint8_t zeros[128] = {0};
    cr_assert_eq(check(zeros, sizeof zeros), HL_RECORD_END);
}

Test(format, sizes_inside_that_do_not_fit_are_refused_though_the_crc_is_right)
{
    record made = make_event();
    made.event.payload_size = 20;
    hl_record_finish(seed_of_salt(), &made, HL_RECORD_EVENT, 80);
    cr_assert_eq(check(&made, 80), HL_RECORD_BAD_FIELDS);
    made.event.payload_size = UINT32_MAX;
    hl_record_finish(seed_of_salt(), &made, HL_RECORD_EVENT, 80);
    cr_assert_eq(check(&made, 80), HL_RECORD_BAD_FIELDS);

    hl_dictionary_record entry[2] = {{.name_size = 24, .detail_size = 1}};
    hl_record_finish(seed_of_salt(), entry, HL_RECORD_DICTIONARY, sizeof entry);
    cr_assert_eq(check(entry, sizeof entry), HL_RECORD_BAD_FIELDS);

    _Alignas(8) uint8_t footer_bytes[sizeof(hl_footer) + 64] = {0};
    hl_footer *const footer = (hl_footer *)footer_bytes;
    footer->blocks = UINT32_MAX;
    footer->bloom_size = UINT32_MAX;
    hl_record_finish(seed_of_salt(), footer, HL_RECORD_FOOTER, sizeof footer_bytes);
    cr_assert_eq(check(footer, sizeof footer_bytes), HL_RECORD_BAD_FIELDS);
}

static hl_record_verdict check_event_of(uint64_t sequence)
{
    record made = make_event();
    made.event.sequence = sequence;
    hl_record_finish(seed_of_salt(), &made, HL_RECORD_EVENT, 80);
    return check(&made, 80);
}

/* Readers add 1 to every sequence that they meet. */
Test(format, sequences_that_fit_no_id_are_refused_though_the_crc_is_right)
{
    cr_assert_eq(check_event_of(0), HL_RECORD_BAD_FIELDS);
    cr_assert_eq(check_event_of(1), HL_RECORD_GOOD);
    cr_assert_eq(check_event_of(HL_JOURNAL_SEQUENCE_MAX), HL_RECORD_GOOD);
    cr_assert_eq(check_event_of(HL_JOURNAL_SEQUENCE_MAX + 1), HL_RECORD_BAD_FIELDS);
    cr_assert_eq(check_event_of(UINT64_MAX), HL_RECORD_BAD_FIELDS);

    hl_group group = {
        .mark = HL_JOURNAL_GROUP_MARK ^ SALT, .offset = 4096, .last_sequence = UINT64_MAX};
    hl_record_finish(seed_of_salt(), &group, HL_RECORD_GROUP, sizeof group);
    cr_assert_eq(check(&group, sizeof group), HL_RECORD_BAD_FIELDS);
    hl_gap gap = {.first_sequence = 7, .last_sequence = UINT64_MAX};
    hl_record_finish(seed_of_salt(), &gap, HL_RECORD_GAP, sizeof gap);
    cr_assert_eq(check(&gap, sizeof gap), HL_RECORD_BAD_FIELDS);
    hl_rotation rotation = {.last_sequence = UINT64_MAX};
    hl_record_finish(seed_of_salt(), &rotation, HL_RECORD_ROTATION, sizeof rotation);
    cr_assert_eq(check(&rotation, sizeof rotation), HL_RECORD_BAD_FIELDS);
    _Alignas(8) hl_footer footer = {.last_sequence = UINT64_MAX};
    hl_record_finish(seed_of_salt(), &footer, HL_RECORD_FOOTER, sizeof footer);
    cr_assert_eq(check(&footer, sizeof footer), HL_RECORD_BAD_FIELDS);
}

Test(format, impossible_lengths_and_unknown_kinds_are_refused_before_the_crc)
{
    _Alignas(8) uint8_t bytes[256] = {0};
    const hl_record_word word_of_odd_length = {.tag = 77, .crc = 1};
    memcpy(bytes, &word_of_odd_length, sizeof word_of_odd_length);
    cr_assert_eq(check(bytes, sizeof bytes), HL_RECORD_BAD_LENGTH);
    const hl_record_word word_below_an_event = {.tag = 56, .crc = 1};
    memcpy(bytes, &word_below_an_event, sizeof word_below_an_event);
    cr_assert_eq(check(bytes, sizeof bytes), HL_RECORD_BAD_LENGTH);
    const hl_record_word word_of_kind_15 = {.tag = 64 | 15u << HL_RECORD_KIND_SHIFT, .crc = 1};
    memcpy(bytes, &word_of_kind_15, sizeof word_of_kind_15);
    cr_assert_eq(check(bytes, sizeof bytes), HL_RECORD_BAD_KIND);
    const hl_record_word word_without_tag = {.tag = 0, .crc = 1};
    memcpy(bytes, &word_without_tag, sizeof word_without_tag);
    cr_assert_eq(check(bytes, sizeof bytes), HL_RECORD_BAD_LENGTH);
}

static hl_group make_group(uint64_t offset)
{
    hl_group group = {.mark = HL_JOURNAL_GROUP_MARK ^ SALT, .offset = offset};
    hl_record_finish(seed_of_salt(), &group, HL_RECORD_GROUP, sizeof group);
    return group;
}

Test(format, a_group_at_another_place_than_its_own_is_not_good)
{
    const hl_group group = make_group(4096);
    cr_assert_eq(check(&group, sizeof group), HL_RECORD_GOOD);
    cr_assert_eq(hl_record_check(SALT, seed_of_salt(), &group, sizeof group, 8192),
                 HL_RECORD_BAD_FIELDS);
}

Test(format, resync_finds_the_first_good_group)
{
    _Alignas(8) uint8_t bytes[1024];
    memset(bytes, 0x5a, sizeof bytes);
    cr_assert_eq(hl_record_resync(SALT, seed_of_salt(), bytes, sizeof bytes, 8192), UINT64_MAX);
    const hl_group elsewhere = make_group(64), here = make_group(8192 + 512);
    memcpy(bytes + 128, &elsewhere, sizeof elsewhere); /* its bytes, at the wrong place */
    memcpy(bytes + 512, &here, sizeof here);
    cr_assert_eq(hl_record_resync(SALT, seed_of_salt(), bytes, sizeof bytes, 8192), 8192 + 512);
    cr_assert_eq(hl_record_resync(SALT, seed_of_salt(), bytes, 512 + sizeof here - 1, 8192),
                 UINT64_MAX);
    cr_assert_eq(hl_record_resync(SALT, seed_of_salt(), bytes, 512 + sizeof here, 8192),
                 8192 + 512);
}

static hl_segment_header make_header(void)
{
    hl_segment_header header = {.version = HL_JOURNAL_VERSION,
                                .header_size = HL_JOURNAL_HEADER_SIZE,
                                .event_layout = HL_EVENT_LAYOUT,
                                .salt = SALT,
                                .first_sequence = 42};
    strcpy(header.domain, "order");
    return header;
}

Test(format, a_header_comes_back_as_it_was)
{
    uint8_t block[HL_JOURNAL_HEADER_SIZE];
    const hl_segment_header header = make_header();
    hl_segment_header_encode(&header, block);
    hl_segment_header back;
    cr_assert_eq(hl_segment_header_decode(block, "file", &back, NULL), HL_OK);
    cr_assert_eq(back.first_sequence, 42);
    cr_assert_eq(back.salt, SALT);
    cr_assert_str_eq(back.domain, "order");
}

Test(format, each_flipped_bit_of_a_header_block_is_found)
{
    uint8_t block[HL_JOURNAL_HEADER_SIZE];
    const hl_segment_header header = make_header();
    hl_segment_header_encode(&header, block);
    for (size_t bit = 0; bit < sizeof block * 8; bit++) {
        hl_segment_header back;
        hl_error error;
        block[bit / 8] ^= (uint8_t)(1u << bit % 8);
        cr_assert_eq(hl_segment_header_decode(block, "DIR/file", &back, &error), HL_DAMAGED);
        cr_assert_eq(strncmp(error.text, "DIR/file: ", 10), 0);
        block[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

Test(format, a_later_version_is_refused_as_such)
{
    uint8_t block[HL_JOURNAL_HEADER_SIZE];
    hl_segment_header header = make_header();
    header.version++;
    hl_segment_header_encode(&header, block);
    hl_segment_header back;
    cr_assert_eq(hl_segment_header_decode(block, "file", &back, NULL), HL_UNSUPPORTED);
}
