/*
 * The journal's threads: each takes what the feeds of its partitions hold, and writes it down. One
 * for all `async` domains, and one for each `sync` domain, so that no other domain's sync delays
 * it.
 *
 *   HALT  halt: who stops the bus stores it (release) when the executors have ended; the thread
 *         loads it (acquire), so that it then finds all that they have fed.
 */
#ifndef HL_JOURNAL_SCRIBE_H
#define HL_JOURNAL_SCRIBE_H

#include <pthread.h>

#include <hotlane/stats.h>

#include "journal/feed.h"

typedef enum hl_scribe_state {
    HL_SCRIBE_STOPPED = 0,
    HL_SCRIBE_BUSY, /* writes, syncs, or looks for something to write */
    HL_SCRIBE_ASLEEP
} hl_scribe_state;

struct hl_scribe {
    hl_sleeper sleeper; /* ASLEEP */
    /* Read-only after create. */
    hl_bus *bus;
    char name[64];
    int cpu; /* OS index; -1: none */
    hl_feed **feeds;
    uint32_t feed_count;
    /* Others. */
    pthread_t thread;
    bool thread_started;
    uint32_t halt; /* HALT */
    /* The journal's thread writes; others read them for statistics: relaxed. */
    alignas(128) uint64_t turns;
    uint64_t events;
    uint64_t sleeps;
    uint32_t state;       /* hl_scribe_state */
    uint32_t running_cpu; /* an int in disguise: -1 before it runs */
};

/* Opens a partition's journal: recovers it, and has its sequences go on. The control plane, before
 * the bus starts. As hl_journal_writer_open. */
hl_status hl_scribe_open(hl_feed *feed, hl_error *error);

/* Gives the writer what the feed holds, and has it do what is due; `commit`: all of it durable, if
 * it can be. Whether there was anything new. One thread at a time. */
bool hl_scribe_turn(hl_feed *feed, bool commit);

/* All that was fed is made durable, and the journal closed. HL_OK, HL_NO_SPACE, HL_FAILED. Nobody
 * feeds it any more. */
hl_status hl_scribe_close(hl_feed *feed, hl_error *error);

/* What the thread does. Any thread. */
void hl_scribe_status(const hl_scribe *scribe, hl_thread_status *ret_status);

/* Starts and ends the thread; an end takes up all that was fed. HL_OK, HL_SYSTEM. */
hl_status hl_scribe_start(hl_scribe *scribe, hl_error *error);
void hl_scribe_end(hl_scribe *scribe);

#endif
