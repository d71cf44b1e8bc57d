/* What a journal holds, counted by reading it: for the programs of tests/ alone. */
#ifndef HL_TESTS_JOURNAL_COUNT_H
#define HL_TESTS_JOURNAL_COUNT_H

#include <criterion/criterion.h>
#include <hotlane/journal_reader.h>

/* Events of one partition in a journal, which must be whole to its end; *ret_missing: those of
 * which it says that they are missing. */
static inline uint64_t journal_count(const char *directory, const char *partition,
                                     uint64_t *ret_missing)
{
    hl_journal_reader_options options = HL_JOURNAL_READER_OPTIONS_INIT;
    hl_journal_reader *reader;
    hl_journal_entry entry;
    hl_error error = {.text = ""};
    hl_status status;
    uint64_t events = 0;
    *ret_missing = 0;
    options.directory = directory;
    options.partition = partition;
    cr_assert_eq(hl_journal_reader_open(&options, &reader, &error), HL_OK, "%s", error.text);
    while ((status = hl_journal_reader_next(reader, &entry, &error)) == HL_OK) {
        cr_assert(entry.kind == HL_JOURNAL_EVENT || entry.kind == HL_JOURNAL_GAP, "kind %d",
                  entry.kind);
        if (entry.kind == HL_JOURNAL_EVENT)
            events++;
        else
            *ret_missing += entry.last_sequence - entry.first_sequence + 1;
    }
    cr_assert_eq(status, HL_NOT_FOUND, "%s", error.text);
    hl_journal_reader_close(reader);
    return events;
}

#endif
