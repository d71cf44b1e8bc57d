/*
 * Reading a journal: event by event, from a sequence, a time or a cursor; one partition or several
 * merged by time; while it is being written, from any process. Every record's CRC and every
 * sequence is checked on every read. Nothing is changed in the journal but by the cursor calls.
 *
 *     hl_journal_reader_options options = HL_JOURNAL_READER_OPTIONS_INIT;
 *     options.directory = "/var/lib/hotlane";
 *     options.filter.topic = "order.*";
 *     options.follow = true;
 *     if (hl_journal_reader_open(&options, &reader, &error) != HL_OK) ...
 *     for (;;) {
 *         status = hl_journal_reader_next(reader, &entry, &error);
 *         if (status == HL_OK)
 *             use(entry.event, entry.topic);
 *         else if (status != HL_NOT_FOUND || hl_journal_reader_wait(reader, HL_SECOND) ==
 * HL_FAILED) break;
 *     }
 *     hl_journal_reader_close(reader);
 *
 * Threads: a reader belongs to one thread at a time; any number of readers, in any number of
 * processes, read one journal. No call blocks but for the disk, and hl_journal_reader_wait.
 *
 * Order: a partition's events come in its order, always. Of several partitions the one whose next
 * event was published first goes first, and an event never before the one that caused it, as far as
 * both are in the journal and read. While following, "first" is among what has been published.
 *
 * What a reader never shows while the writer lives: of an `async` domain an event above its
 * written_sequence, of a `sync` domain one above its durable_sequence.
 */
#ifndef HOTLANE_JOURNAL_READER_H
#define HOTLANE_JOURNAL_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <hotlane/event.h>
#include <hotlane/status.h>

/* Which events: those that all of it is true of. All zero: every event. */
typedef struct hl_journal_filter {
    const char *topic; /* a pattern ("order.*", "market_data.>"); NULL: all */
    bool by_key;
    bool by_correlation;
    uint64_t key;
    uint64_t correlation_id; /* the story's first event is part of it, known by its own id */
    uint64_t from_sequence;  /* in each partition; the first wanted */
    uint64_t to_sequence;    /* the last wanted; 0: no end */
    uint64_t from_ns;        /* published_ns, ns since the Unix epoch; the first wanted */
    uint64_t to_ns;          /* the last wanted; 0: no end */
} hl_journal_filter;

/* Keys for segments and snapshots that are encrypted; see hl_journal_keys_load. */
typedef struct hl_journal_keys hl_journal_keys;

typedef struct hl_journal_reader_options {
    size_t size;
    const char *directory; /* the journal's */
    const char *partition; /* "order" (with all its shards) or "order.3"; NULL: all there are */
    const char *cursor; /* begin where the cursor of this name stands; where there is none yet, at
                           the filter's beginning. NULL: the latter always */
    hl_journal_filter filter; /* its pattern is copied */
    bool salvage; /* damage is an entry, and it goes on behind it; else HL_DAMAGED, and it stays */
    bool follow;  /* partitions and segments that come are read too; hl_journal_reader_wait works */
    const hl_journal_keys *keys; /* outlives the reader; NULL: encrypted segments are refused (in a
                                    replay or rebuild: the bus's journal_key_file is read) */
} hl_journal_reader_options;

#define HL_JOURNAL_READER_OPTIONS_INIT                                 \
    {                                                                  \
        sizeof(hl_journal_reader_options), NULL, NULL, NULL,           \
            {NULL, false, false, 0, 0, 0, 0, 0, 0}, false, false, NULL \
    }

typedef enum hl_journal_entry_kind {
    HL_JOURNAL_EVENT = 0,
    HL_JOURNAL_GAP,     /* the writer put down that it did not write these: the journal was off */
    HL_JOURNAL_REMOVED, /* asked for, but retention has removed them */
    HL_JOURNAL_DAMAGE   /* salvage: these could not be read */
} hl_journal_entry_kind;

typedef struct hl_journal_entry {
    hl_journal_entry_kind kind;
    const char *partition; /* "order.3": the directory's name */
    const char *domain;
    uint16_t shard;
    uint16_t shards;           /* of the domain, when this was written; 1: not sharded */
    uint16_t partition_number; /* the upper 10 bits of its events' ids */
    const hl_event *event; /* HL_JOURNAL_EVENT: as it was written but for `stamp`; payload behind
                              it, 8-byte aligned */
    const char *topic;     /* its topic and source by name; "" where the journal has none */
    const char *source;
    uint8_t topic_kind; /* hl_topic_kind and hl_priority, as the topic was declared */
    uint8_t topic_priority;
    uint64_t id;             /* of the event */
    uint64_t first_sequence; /* the event's, or of what is missing; 0 and 0: none is missing */
    uint64_t last_sequence;
    const char *detail; /* HL_JOURNAL_DAMAGE: file, place and what is wrong; else "" */
} hl_journal_entry;

typedef struct hl_journal_reader hl_journal_reader;

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Opens every partition that the options name, and goes to the beginning that they ask for.
 * - HL_OK: *ret_reader is set.
 * - HL_NOT_FOUND: no such directory, or no such partition in it (while following: none is needed).
 * - HL_INVALID: an option; HL_DAMAGED: strict, and the place to begin cannot be found for damage;
 *   HL_NOT_ALLOWED: an encrypted segment and no key, or not its key; HL_UNSUPPORTED: a newer
 * format, or this build cannot decompress or decrypt; HL_SYSTEM, HL_NO_MEMORY.
 */
HL_API hl_status hl_journal_reader_open(const hl_journal_reader_options *options,
                                        hl_journal_reader **ret_reader, hl_error *error);

/*
 * The next entry. Its pointers hold until the next call for this reader.
 * - HL_OK: *ret_entry is filled.
 * - HL_NOT_FOUND: nothing more, or while following: not yet.
 * - HL_DAMAGED: strict; the sentence says file, bytes and sequences. Each further call says it
 *   again. Open with `salvage` to go on behind it.
 * - HL_NOT_ALLOWED, HL_UNSUPPORTED, HL_SYSTEM, HL_NO_MEMORY: as hl_journal_reader_open.
 */
HL_API hl_status hl_journal_reader_next(hl_journal_reader *reader, hl_journal_entry *ret_entry,
                                        hl_error *error);

/* Sleeps until there may be more. With `follow` only. HL_OK: look; HL_TIMEOUT; HL_FAILED: not
 * following, or the system's wait failed. Woken by the kernel (inotify), it does not poll. */
HL_API hl_status hl_journal_reader_wait(hl_journal_reader *reader, uint64_t timeout_ns);

/* For an event loop: readable when there may be more (then call hl_journal_reader_wait with 0 and
 * hl_journal_reader_next until HL_NOT_FOUND). -1: not following. Do not read or close it. */
HL_API int hl_journal_reader_fd(const hl_journal_reader *reader);

/* Goes to the first event with a sequence of at least this, in every partition. Forwards or
 * backwards. Status as hl_journal_reader_open. */
HL_API hl_status hl_journal_reader_seek_sequence(hl_journal_reader *reader, uint64_t sequence,
                                                 hl_error *error);

/* Goes to a place before which no event was published at or after `time_ns`, as near to the first
 * such event as the index knows (the filter's from_ns is what leaves out the rest). */
HL_API hl_status hl_journal_reader_seek_time(hl_journal_reader *reader, uint64_t time_ns,
                                             hl_error *error);

/*
 * Makes durable (temporary file, sync, rename, sync of the directory) that all that
 * hl_journal_reader_next has given is done with: a later reader with this cursor begins behind it.
 * Retention removes nothing that a cursor still needs.
 * - HL_OK; HL_INVALID: a name that is not 1 to 64 of letters, digits, '-', '_', '.' (no '.' first);
 *   HL_SYSTEM, HL_NO_SPACE, HL_NO_MEMORY: the cursor stands where it stood.
 */
HL_API hl_status hl_journal_reader_store_cursor(hl_journal_reader *reader, const char *name,
                                                hl_error *error);

HL_API void hl_journal_reader_close(hl_journal_reader *reader);

/* Removes a cursor for good; what it held may be removed by retention from now on. HL_OK,
 * HL_NOT_FOUND, HL_INVALID, HL_SYSTEM. */
HL_API hl_status hl_journal_cursor_remove(const char *directory, const char *name, hl_error *error);

/*
 * Keys from a file, or with `path` NULL from the environment: HOTLANE_JOURNAL_KEY_FILE names a
 * file, HOTLANE_JOURNAL_KEY holds a key. A key is 64 hexadecimal digits; a file has one a line, the
 * newest first: new segments and snapshots are encrypted with the first, old ones are read with
 * the one they name. Empty lines and lines that begin with # are passed over. At most 64 keys.
 * - HL_OK; HL_NOT_FOUND: `path` is NULL and neither variable is set; HL_BAD_INPUT: not a key, the
 *   sentence says where; HL_UNSUPPORTED: built without libsodium; HL_SYSTEM, HL_NO_MEMORY.
 */
HL_API hl_status hl_journal_keys_load(const char *path, hl_journal_keys **ret_keys,
                                      hl_error *error);

/* Overwrites the keys in memory and frees them. NULL: nothing happens. */
HL_API void hl_journal_keys_free(hl_journal_keys *keys);

#ifdef __cplusplus
}
#endif
#endif
