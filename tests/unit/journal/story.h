/*
 * What a journal should hold, known without reading it: events whose every byte follows from their
 * sequence, a record of what was appended and what was acknowledged, and the comparison with what a
 * disk gives back.
 */
#ifndef HL_TESTS_JOURNAL_STORY_H
#define HL_TESTS_JOURNAL_STORY_H

#include "journal/writer.h"
#include "simulated_disk.h"

#define STORY_PAYLOAD_MAX 240u
#define STORY_RANGES      256u
#define STORY_DIRECTORY   "root/journal/order"

/* An event and room for its payload. */
typedef struct story_event {
    hl_event event;
    uint8_t payload[STORY_PAYLOAD_MAX];
} story_event;

/* Sequences that were appended one after the other. */
typedef struct story_range {
    uint64_t first;
    uint64_t last;
} story_range;

typedef struct journal_story {
    story_range ranges[STORY_RANGES];
    size_t count;
    uint64_t written; /* highest acknowledged: outlives the process */
    uint64_t durable; /* highest acknowledged: outlives the power */
} journal_story;

/* The one event that has this sequence. */
void story_event_of(uint64_t sequence, story_event *ret_event);

/* Small segments and groups, so that much happens in little: 64 KiB, 4 KiB, blocks of 200
 * sequences. */
hl_journal_writer_options story_options(const hl_io *io);

/* Appends the next event. False: it was not taken. */
bool story_append(journal_story *story, hl_journal_writer *writer, uint64_t sequence);

/* Takes down what the writer acknowledges now. */
void story_note(journal_story *story, const hl_journal_writer *writer);

/*
 * Reads all segments from the disk and compares. NULL: every appended event up to `kept` is there,
 * in order, whole; nothing is there that was not appended; nothing is damaged; links hold. Else
 * what is wrong, static memory. `events` (may be NULL) takes how many there are.
 */
const char *story_compare(const journal_story *story, const hl_io *io, uint64_t kept,
                          uint64_t *ret_events);

#endif
