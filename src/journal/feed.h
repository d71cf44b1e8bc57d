/*
 * A partition's way to its journal: a ring of copies of its events, from the partition's thread to
 * the journal's, and the recorder (bus/recorder.h) that fills it.
 *
 *     partition --take--> ring --scribe.h--> writer.h --> segments
 *         ^                |
 *         +---- serve -----+    sync: handlers see the copies, once they are durable
 *
 * Slots are freed when the journal no longer needs them, even if it has to be opened anew: of an
 * `async` domain when they are written, of a `sync` domain when they are durable and handed out. So
 * at most `journal_slots` events are in flight to the disk.
 *
 *   FED     filled: the partition's thread stores it (release) when the copies up to it are whole;
 *           the journal's thread loads it (acquire) before it reads them.
 *   DONE    done: the journal's thread stores it (release) when it needs the slots before it no
 *           more; the partition's loads it (acquire), its licence to overwrite them.
 *   ASLEEP  (park.h) `filled` is the work that wakes the journal's thread; progress, when it
 * advances, is what wakes the executor of a sync domain.
 *   JOURNALED (progress.h) how far the journal has come.
 */
#ifndef HL_JOURNAL_FEED_H
#define HL_JOURNAL_FEED_H

#include "affinity/memory.h"
#include "bus/bus.h"
#include "bus/recorder.h"
#include "journal/io_uring.h"
#include "journal/tail.h"
#include "journal/writer.h"

typedef struct hl_scribe hl_scribe;

typedef struct hl_feed {
    hl_recorder recorder; /* first: partition->recorder points here */
    /* Read-only after create. */
    hl_partition *partition;
    hl_scribe *scribe; /* who writes it down; NULL: the application's thread, in its turns */
    hl_memory memory;
    unsigned char *slots;
    uint64_t mask; /* slots - 1 */
    uint32_t slot_size_bytes;
    bool is_sync;
    bool goes_on;         /* HL_JOURNAL_GO_ON */
    uint64_t patience_ns; /* of HL_JOURNAL_GO_ON */

    /* The partition's thread writes. */
    alignas(128) uint64_t filled; /* FED: positions */
    uint64_t done_seen;           /* as last read */
    uint64_t reserved_seen;       /* the last sequence that may be given out, as last read */
    uint64_t handed_out;          /* sync: position of the next event for the handlers */
    uint32_t in_flight_of[HL_PRIORITIES];
    hl_due due; /* sync: open while events are in flight */
    bool due_is_open;
    bool is_blocked;         /* sync: a lossless subscriber had no room; until due.due_ns */
    uint64_t stuck_since_ns; /* no room, or the first in flight not durable; 0: it moves */
    uint32_t degraded;       /* others may read: events pass without waiting for the journal */
    uint64_t degradations;   /* others may read */
    uint64_t unjournaled;    /* likewise: events that were never given to the journal */

    /* The journal's thread writes. */
    alignas(128) uint64_t done; /* DONE: position */
    uint64_t appended;          /* position of the next event for the writer */
    uint64_t last_sequence;     /* the last one the writer has taken or passed over */
    uint64_t refused;           /* others may read: events that no journal can hold */
    hl_journal_writer *writer;  /* NULL: closed */
    hl_io_uring *uring;         /* what it writes through; NULL: another table */
    hl_tail *tail;              /* what readers in other processes go by; NULL: closed */
    hl_journal_writer_options options;
    hl_journal_state told;     /* the state that was last announced */
    pthread_mutex_t lock;      /* of the reason, which others read */
    char reason[160];          /* why it has last stopped running; "": it never has */
    uint64_t reopen_at_ticks;  /* of a journal that failed; 0: it has not */
    hl_io_file directory_lock; /* likewise: no other bus is to have it meanwhile */
    char io_refused[120];      /* why it does not write through what it should; empty: it does */
    uint8_t topic_detail[2];
    hl_recovery recovery; /* read-only once the bus starts */

    alignas(128) hl_journal_progress progress; /* JOURNALED */
} hl_feed;

/* The ring and what is read-only; `progress` and the sequences come with the writer. HL_OK,
 * HL_NO_MEMORY. The control plane. */
hl_status hl_feed_init(hl_feed *feed, hl_partition *partition, hl_error *error);
void hl_feed_free(hl_feed *feed);

/* Says why the journal is about to stop running: before its state says that it has. The journal's
 * thread. And what was said last; any thread. */
void hl_feed_set_reason(hl_feed *feed, const char *reason);
void hl_feed_reason(const hl_feed *feed, char ret_reason[160]);

static inline hl_event *hl_feed_event(const hl_feed *feed, uint64_t position)
{
    return (hl_event *)(void *)(feed->slots + (position & feed->mask) * feed->slot_size_bytes);
}

#endif
