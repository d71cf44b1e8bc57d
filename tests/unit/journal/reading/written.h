/*
 * Journals to read: written by the real writer into a directory of the test's own. What each event
 * holds follows from its partition and sequence, so that a test knows without keeping it.
 */
#ifndef HL_TEST_WRITTEN_H
#define HL_TEST_WRITTEN_H

#include <hotlane/journal_reader.h>

#include "journal/tail.h"
#include "journal/writer.h"

#define WRITTEN_BASE_NS     1750000000000000000u /* published_ns of sequence 0 */
#define WRITTEN_STEP_NS     1000u
#define WRITTEN_KEYS        50u
#define WRITTEN_RARE_KEY    777777u /* of each WRITTEN_RARE_EVERY-th event */
#define WRITTEN_RARE_EVERY  1000u
#define WRITTEN_STORY       4u /* events a story: the first carries no correlation id */
#define WRITTEN_PAYLOAD_MAX 64u

typedef struct written_event {
    hl_event event;
    uint8_t payload[WRITTEN_PAYLOAD_MAX];
} written_event;

void written_event_of(uint16_t partition, uint64_t sequence, written_event *ret_event);
/* The event's topic without its domain: "new", "cancel" or "status". */
const char *written_topic_of(uint64_t sequence);

/* True when the entry is the event of its partition and sequence, names included. */
bool written_is_right(const hl_journal_entry *entry);

typedef struct written_options {
    const char *domain; /* NULL: "order" */
    uint16_t shard;
    uint16_t shards; /* 0: 1 */
    uint16_t partition;
    uint64_t count;         /* events */
    uint64_t segment_bytes; /* 0: the writer's default */
    uint64_t gap_every;     /* so many events, then a gap of 5; 0: none */
    bool abandon;           /* end as if the process had died */
    bool commit_each;       /* a group an event */
} written_options;

/* Opens a writer on it (for tests that write by themselves). `progress` may be NULL. */
hl_journal_writer *written_open(const char *directory, const written_options *options,
                                hl_journal_progress *progress, uint64_t *ret_next_sequence);
/* Appends the events of these sequences, turning the writer until they are taken. */
void written_append(hl_journal_writer *writer, uint16_t partition, uint64_t first, uint64_t last);

/* Writes on in the directory, and closes. Gives the last sequence. */
uint64_t written_journal(const char *directory, const written_options *options);

/* The path of the partition's segment with this index; false: it has fewer. */
bool written_segment(const char *directory, const char *partition, size_t index,
                     char ret_path[HL_JOURNAL_PATH_SIZE]);
size_t written_segments(const char *directory, const char *partition);

/* All of a file, and back. free() the bytes. */
uint8_t *written_read_file(const char *path, size_t *ret_size);
void written_write_file(const char *path, const void *bytes, size_t size);

#endif
