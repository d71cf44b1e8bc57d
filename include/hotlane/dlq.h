/*
 * Dead letters: events that a subscription could not handle, kept whole with what is needed to
 * understand and to redrive them. They lie in bounded memory, and in a file where one is given; a
 * file carries its own dictionary of names, so that any process can read it.
 *
 *     hl_dlq_options options = HL_DLQ_OPTIONS_INIT;
 *     options.path = "orders.dlq";
 *     hl_dlq *dlq;
 *     if (hl_dlq_open(&options, &dlq, &error) != HL_OK)
 *         return fprintf(stderr, "%s\n", error.text), 1;
 *     hl_dlq_filter filter = HL_DLQ_FILTER_INIT;
 *     filter.topic = "order.>";
 *     hl_dlq_list(dlq, &filter, print_letter, stdout, &error);
 *     hl_dlq_close(dlq, &error);
 *
 * Every call is for any thread but a handler's hot path: they take the queue's lock, allocate, and
 * may read or write the file. In a fork's child each answers HL_DETACHED: the queue is its
 * parent's.
 *
 * What lasts: a letter that the bus has written (hl_dlq_stats.unwritten is 0) survives the death of
 * the process; one that it has synced (each sync_interval_ns) survives a power cut. A torn end of
 * the file is cut when it is opened for writing, and reported; damage before the end is never
 * skipped: the file is refused with its place.
 */
#ifndef HOTLANE_DLQ_H
#define HOTLANE_DLQ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <hotlane/config.h>
#include <hotlane/event.h>
#include <hotlane/topic.h>

/* Why an event was given up. code, value (part of the file format: append, never renumber), name in
 * listings, sentence. */
#define HL_DEAD_REASON_LIST(X)                                                            \
    X(HL_DEAD_EXHAUSTED, 1, "exhausted", "the handler failed at every attempt")           \
    X(HL_DEAD_REJECTED, 2, "rejected", "the handler refused it for good")                 \
    X(HL_DEAD_RETRY_FULL, 3, "retry_full", "there was no room among the retries")         \
    X(HL_DEAD_BREAKER_OPEN, 4, "breaker_open", "the subscription's breaker was open")     \
    X(HL_DEAD_HOLD_FULL, 5, "hold_full", "the breaker was open, and its hold full")       \
    X(HL_DEAD_STOPPED, 6, "stopped", "the bus stopped before its retry was due")          \
    X(HL_DEAD_NO_WORKER, 7, "no_worker", "there was no room in the queue of the workers") \
    X(HL_DEAD_SLOW, 8, "slow", "the handler was over its budget")

typedef enum hl_dead_reason {
#define HL_DEAD_REASON_CODE(code, value, name, text) code = value,
    HL_DEAD_REASON_LIST(HL_DEAD_REASON_CODE)
#undef HL_DEAD_REASON_CODE
} hl_dead_reason;

/* What is to become of a letter. */
typedef enum hl_dead_state {
    HL_DEAD_WAITING = 1,  /* for someone to decide */
    HL_DEAD_ASKED = 2,    /* to be redriven as soon as the bus can, or at its next start */
    HL_DEAD_REDRIVING = 3 /* given to the subscription, outcome open; after a crash: ASKED again */
} hl_dead_state;

/* An earlier life of a letter: it was redriven, and failed again. */
typedef struct hl_dead_history {
    uint64_t first_failed_ns;
    uint64_t last_failed_ns;
    uint64_t redriven_ns; /* when it was given to the subscription again */
    int32_t error_code;
    uint32_t attempts;
    hl_dead_reason reason;
    uint32_t reserved; /* 0 */
} hl_dead_history;

#define HL_DEAD_TEXT_BYTES  160 /* of an error text, with its end */
#define HL_DEAD_HISTORY_MAX 8   /* lives kept; `redrives` counts all */

/* A dead letter. Times in ns since the Unix epoch, bus clock. */
typedef struct hl_dead_letter {
    uint64_t id;           /* of the letter, from 1; never used twice in one file */
    uint64_t event_id;     /* hl_event_id_of partition and sequence */
    const hl_event *event; /* its `topic` and `source` are numbers of the process that wrote it */
    const char *topic;
    const char *source;       /* the publisher's name */
    const char *subscription; /* its name */
    const char *pattern;      /* of the subscription */
    hl_dead_reason reason;
    hl_dead_state state;
    int32_t error_code;
    const char *error_text; /* "" when none was given */
    uint32_t attempts;      /* deliveries, the first included */
    uint32_t redrives;      /* how often it was redriven and failed again */
    uint64_t first_failed_ns;
    uint64_t last_failed_ns;
    uint64_t state_ns;              /* when it came into its state */
    const hl_dead_history *history; /* the newest history_count lives, oldest first */
    uint32_t history_count;
} hl_dead_letter;

typedef struct hl_dlq hl_dlq;

typedef struct hl_dlq_options {
    size_t size;
    const char *path;        /* NULL: memory only */
    bool read_only;          /* of a file that exists: nothing is written, locked, or cut */
    bool must_exist;         /* do not make a new file */
    bool salvage;            /* with read_only: show what is whole of a damaged file */
    size_t memory_bytes;     /* 1 MiB..4 GiB: all letters without a file, unwritten ones with it */
    uint64_t max_file_bytes; /* the file grows no further: HL_FULL, once memory is full too */
    uint64_t max_letters;    /* kept at once, 1..2^32; each takes 48 bytes of memory besides */
    uint64_t sync_interval_ns; /* 0: with every write; UINT64_MAX: the system decides */
    bool drop_oldest; /* memory only: a full memory drops the oldest letters and counts them as
                         lost; false: HL_FULL, and the bus keeps what it cannot hand over */
} hl_dlq_options;

#define HL_DLQ_OPTIONS_INIT                                                                     \
    {                                                                                           \
        sizeof(hl_dlq_options), NULL, false, false, false, (size_t)16 << 20, (uint64_t)1 << 30, \
            1000000, HL_SECOND, true                                                            \
    }

/* Which letters: all that is set must hold. */
typedef struct hl_dlq_filter {
    size_t size;
    uint64_t id;              /* 0: any */
    const char *topic;        /* a pattern, as of a subscription; NULL: any */
    const char *subscription; /* its name or its pattern, letter by letter; NULL: any */
    uint64_t from_ns;         /* last_failed_ns at or after this */
    uint64_t to_ns;           /* and before this; UINT64_MAX: no end */
    int reason;               /* hl_dead_reason; 0: any */
    int state;                /* hl_dead_state; 0: any */
} hl_dlq_filter;

#define HL_DLQ_FILTER_INIT                                        \
    {                                                             \
        sizeof(hl_dlq_filter), 0, NULL, NULL, 0, UINT64_MAX, 0, 0 \
    }

/* Counts since the queue was opened, but for the first three, which say what is in it now. */
typedef struct hl_dlq_stats {
    uint64_t waiting;
    uint64_t asked;
    uint64_t redriving;
    uint64_t added;          /* letters taken in, those that came back included */
    uint64_t redriven;       /* redriven and handled: gone */
    uint64_t purged;         /* gone by hl_dlq_purge */
    uint64_t lost;           /* dropped because memory was full (drop_oldest) */
    uint64_t refused;        /* hand-overs from a bus's thread that had to wait for room */
    uint64_t unwritten;      /* letters and marks not yet in the file */
    uint64_t write_failures; /* writes and syncs that the system refused */
    uint64_t memory_bytes;   /* of letters in memory */
    uint64_t file_bytes;
    uint64_t cut_bytes;     /* of a torn end, when it was opened (read-only: passed over) */
    uint64_t damaged_bytes; /* passed over (salvage) */
    uint64_t cut_at;        /* offset of that end in the file; 0: none */
    uint64_t compactions;   /* times the file was rewritten without what was gone */
} hl_dlq_stats;

/* Sees a letter, valid until it returns; false: no more. It may call hl_dlq_* itself. */
typedef bool (*hl_dlq_visitor)(const hl_dead_letter *letter, void *context);

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Opens the dead letters of `options` (NULL: memory only, defaults).
 * - HL_OK: a torn end was cut if there was one: hl_dlq_stats tells.
 * - HL_INVALID: an option is out of its range.
 * - HL_NOT_FOUND: no such file, and it was not to be made.
 * - HL_LOCKED: another process, a running bus perhaps, has the file open for writing.
 * - HL_BAD_INPUT: not a file of dead letters. HL_DAMAGED: damaged before its end, at the place that
 *   `error` names.
 * - HL_SYSTEM, HL_NO_MEMORY
 */
HL_API hl_status hl_dlq_open(const hl_dlq_options *options, hl_dlq **ret_dlq, hl_error *error);

/* Writes and syncs what is unwritten, and gives all back. NULL is allowed. HL_SYSTEM: some letters
 * could not be written and are gone; `error` says how many and why. */
HL_API hl_status hl_dlq_close(hl_dlq *dlq, hl_error *error);

/* The dead letters of a bus; theirs, do not close. NULL when it keeps none. */
HL_API hl_dlq *hl_bus_dlq(hl_bus *bus);

HL_API void hl_dlq_stats_get(hl_dlq *dlq, hl_dlq_stats *ret_stats);

/* Shows each letter that the filter lets through, by id (`filter` NULL: all). Letters that come
 * meanwhile may or may not be seen.
 * - HL_OK
 * - HL_INVALID: the filter is malformed.
 * - HL_SYSTEM, HL_DAMAGED: the file could not be read back, or is damaged now. */
HL_API hl_status hl_dlq_list(hl_dlq *dlq, const hl_dlq_filter *filter, hl_dlq_visitor visitor,
                             void *context, hl_error *error);

/* How many letters the filter lets through. Outcomes as of hl_dlq_list. */
HL_API hl_status hl_dlq_count(hl_dlq *dlq, const hl_dlq_filter *filter, uint64_t *ret_count,
                              hl_error *error);

/* A copy of one letter, the caller's to free with hl_dead_letter_free; its names are good as long
 * as the queue is open.
 * - HL_OK
 * - HL_NOT_FOUND: no letter of that id is kept.
 * - HL_SYSTEM, HL_DAMAGED, HL_NO_MEMORY */
HL_API hl_status hl_dlq_get(hl_dlq *dlq, uint64_t id, hl_dead_letter **ret_letter, hl_error *error);
HL_API void hl_dead_letter_free(hl_dead_letter *letter);

/*
 * Redrives the letters that the filter lets through, each to the one subscription that failed. On a
 * running bus they are handed over at once and stay REDRIVING until they are handled (gone) or fail
 * again (back, with their history); a letter that cannot be handed over now stays ASKED. On a file
 * that no bus runs on, they are marked ASKED, and redriven when a bus next starts on it.
 * - HL_OK: ret_count (NULL: not wanted) letters were handed over or marked.
 * - HL_NOT_FOUND: no letter passed the filter.
 * - HL_NO_SPACE: neither the disk nor the memory has room for the marks; those counted are marked.
 * - HL_NOT_ALLOWED: it was opened read-only. HL_INVALID, HL_SYSTEM, HL_DAMAGED.
 */
HL_API hl_status hl_dlq_redrive(hl_dlq *dlq, const hl_dlq_filter *filter, uint64_t *ret_count,
                                hl_error *error);

/* Removes the letters that the filter lets through, but for those being redriven now. Nobody is
 * shown them any more; their bytes lie in the file until it is rewritten: by hl_dlq_compact, or
 * when it reaches max_file_bytes. Outcomes as of hl_dlq_redrive. */
HL_API hl_status hl_dlq_purge(hl_dlq *dlq, const hl_dlq_filter *filter, uint64_t *ret_count,
                              hl_error *error);

/*
 * Rewrites the file without what is gone (handled after a redrive, or purged): nothing of that is
 * in it then, nor in any file beside it. Where nothing is gone, or without a file, it only writes
 * what is unwritten. It takes room on the disk for what is left, and the queue's lock while that is
 * copied: a running bus's letters wait in memory meanwhile. Whenever the process dies, the file is
 * the old one or the new one, whole.
 * - HL_OK: the new one is on the disk.
 * - HL_NO_SPACE: there is no room for it; HL_DAMAGED, HL_NO_MEMORY: the file is as it was.
 * - HL_SYSTEM: likewise; or it is the new one, and may be the old one again after a power cut.
 * - HL_NOT_ALLOWED: it was opened read-only.
 */
HL_API hl_status hl_dlq_compact(hl_dlq *dlq, hl_error *error);

/* Writes and syncs what is unwritten now. HL_OK, HL_NO_SPACE, HL_SYSTEM: all is still in memory. */
HL_API hl_status hl_dlq_sync(hl_dlq *dlq, hl_error *error);

/* "exhausted", "waiting"; "unknown" for a value that is none. Static memory. Any thread. */
HL_API const char *hl_dead_reason_name(hl_dead_reason reason);
HL_API const char *hl_dead_reason_text(hl_dead_reason reason);
HL_API const char *hl_dead_state_name(hl_dead_state state);

#ifdef __cplusplus
}
#endif
#endif
