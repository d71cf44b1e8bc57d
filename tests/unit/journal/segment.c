#include "journal/segment.h"

#include <criterion/criterion.h>
#include <stdlib.h>

#include "story.h"

Test(segment, a_name_has_date_and_sequence)
{
    char text[HL_SEGMENT_NAME_SIZE];
    hl_segment_name_format((hl_segment_name){.day = 20413, .first_sequence = 1000001}, text);
    cr_assert_str_eq(text, "2025-11-21-00000000000001000001.hlj");
    hl_segment_name name;
    cr_assert(hl_segment_name_parse(text, &name));
    cr_assert_eq(name.day, 20413);
    cr_assert_eq(name.first_sequence, 1000001);
}

Test(segment, names_of_all_days_and_the_last_sequence_come_back)
{
    char text[HL_SEGMENT_NAME_SIZE];
    for (uint32_t day = 0; day <= 2932896; day += 613) {
        hl_segment_name name;
        hl_segment_name_format((hl_segment_name){day, UINT64_MAX - day}, text);
        cr_assert(hl_segment_name_parse(text, &name), "%s", text);
        cr_assert_eq(name.day, day);
        cr_assert_eq(name.first_sequence, UINT64_MAX - day);
    }
}

Test(segment, other_names_are_passed_over)
{
    static const char *const others[] = {"",
                                         "lock",
                                         "next.tmp",
                                         "2025-02-31-00000000000000000001.hlj",
                                         "2025-11-21-1.hlj",
                                         "2025-11-21-00000000000000000001.hlj.zst",
                                         "2025-11-21-+0000000000000000001.hlj",
                                         " 2025-11-21-00000000000000000001.hlj",
                                         "2025-11-21-00000000000000000001.hlj~"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        hl_segment_name name;
        cr_assert_not(hl_segment_name_parse(others[i], &name), "%s", others[i]);
    }
}

/* A journal of three segments; gives how many events. */
static uint64_t fill(sim_disk *disk, journal_story *story)
{
    hl_journal_writer *writer;
    const hl_journal_writer_options options = story_options(sim_io(disk));
    cr_assert_eq(hl_journal_writer_open(&options, &writer, NULL, NULL), HL_OK);
    uint64_t sequence = 1;
    while (hl_journal_writer_progress(writer)->segment < 500) {
        cr_assert(story_append(story, writer, sequence++));
        cr_assert_eq(hl_journal_writer_turn(writer, false), HL_OK);
    }
    cr_assert_eq(hl_journal_writer_close(writer, NULL), HL_OK);
    return sequence - 1;
}

Test(segment, the_list_is_by_sequence_and_leaves_others_out)
{
    sim_disk *const disk = sim_create();
    journal_story story = {0};
    fill(disk, &story);
    hl_segment_name *names;
    size_t count;
    cr_assert_eq(hl_segment_list(sim_io(disk), STORY_DIRECTORY, &names, &count, NULL), HL_OK);
    cr_assert_geq(count, 2);
    cr_assert_eq(names[0].first_sequence, 1);
    for (size_t i = 1; i < count; i++)
        cr_assert_gt(names[i].first_sequence, names[i - 1].first_sequence);
    free(names);
    sim_destroy(disk);
}

Test(segment, a_walk_finds_the_index_of_a_sealed_segment_right)
{
    sim_disk *const disk = sim_create();
    journal_story story = {0};
    fill(disk, &story);
    hl_segment_name *names;
    size_t count;
    cr_assert_eq(hl_segment_list(sim_io(disk), STORY_DIRECTORY, &names, &count, NULL), HL_OK);
    char path[HL_JOURNAL_PATH_SIZE];
    cr_assert_eq(hl_segment_path(STORY_DIRECTORY, names[0], path, NULL), HL_OK);
    hl_segment_walk walk;
    cr_assert_eq(hl_segment_walk_open(&walk, sim_io(disk), path, NULL), HL_OK);
    hl_segment_walk_seek(&walk, walk.file_size - sizeof(hl_trailer));
    cr_assert_eq(hl_segment_walk_next(&walk), HL_RECORD_GOOD);
    hl_segment_walk_seek(&walk, ((const hl_trailer *)walk.record)->footer_offset);
    cr_assert_eq(hl_segment_walk_next(&walk), HL_RECORD_GOOD);
    hl_footer footer;
    memcpy(&footer, walk.record, sizeof footer);
    cr_assert_gt(footer.events, 100);
    cr_assert_eq(footer.last_sequence - footer.first_sequence + 1, footer.events);
    const hl_footer_block block = hl_footer_blocks(walk.record)[0];
    const uint64_t entry = hl_footer_dictionary(walk.record)[0];
    hl_segment_walk_seek(&walk, block.offset);
    cr_assert_eq(hl_segment_walk_next(&walk), HL_RECORD_GOOD);
    cr_assert_eq(((const hl_event *)walk.record)->sequence, block.sequence);
    hl_segment_walk_seek(&walk, entry);
    cr_assert_eq(hl_segment_walk_next(&walk), HL_RECORD_GOOD);
    cr_assert_eq(((const hl_dictionary_record *)walk.record)->entry, HL_DICTIONARY_TOPIC);
    hl_segment_walk_close(&walk);
    free(names);
    sim_destroy(disk);
}

Test(segment, a_walk_sees_what_is_written_after_it_came_to_the_end)
{
    sim_disk *const disk = sim_create();
    journal_story story = {0};
    hl_journal_writer *writer;
    const hl_journal_writer_options options = story_options(sim_io(disk));
    cr_assert_eq(hl_journal_writer_open(&options, &writer, NULL, NULL), HL_OK);
    hl_segment_name *names;
    size_t count;
    cr_assert_eq(hl_segment_list(sim_io(disk), STORY_DIRECTORY, &names, &count, NULL), HL_OK);
    char path[HL_JOURNAL_PATH_SIZE];
    cr_assert_eq(hl_segment_path(STORY_DIRECTORY, names[0], path, NULL), HL_OK);
    hl_segment_walk walk;
    cr_assert_eq(hl_segment_walk_open(&walk, sim_io(disk), path, NULL), HL_OK);
    cr_assert_eq(hl_segment_walk_next(&walk), HL_RECORD_END);
    for (uint64_t sequence = 1; sequence <= 3; sequence++) {
        cr_assert(story_append(&story, writer, sequence));
        cr_assert_eq(hl_journal_writer_commit(writer), HL_OK);
        uint64_t seen = 0;
        while (hl_segment_walk_next(&walk) == HL_RECORD_GOOD) {
            hl_record_word word;
            memcpy(&word, walk.record, sizeof word);
            if (hl_record_kind_of(word) == HL_RECORD_EVENT)
                seen = ((const hl_event *)walk.record)->sequence;
        }
        cr_assert_eq(seen, sequence);
    }
    hl_segment_walk_close(&walk);
    hl_journal_writer_abandon(writer);
    free(names);
    sim_destroy(disk);
}
