/*
 * A bus whose orders are journaled in segments of 64 KiB, turned by hand, on a disk whose day a
 * test sets and whose removals and writes may fail: for tests of what is kept, and how.
 *
 *     TestSuite(keeper, .init = kept_set_up, .fini = kept_tear_down);
 *     const hl_config config = kept_config();
 *     hl_bus *const bus = kept_start(&config);
 *     kept_disk.ahead_ns = 31 * DAY_NS;
 *     kept_tick(bus, HOUR_NS);
 */
#ifndef HL_TEST_KEPT_BUS_H
#define HL_TEST_KEPT_BUS_H

#include "base/io.h"
#include "manual_bus.h"
#include "tests/temporary_directory.h"

#define HOUR_NS (3600 * HL_SECOND)
#define DAY_NS  (24 * HOUR_NS)

typedef struct kept_disk_state {
    char directory[TEMPORARY_DIRECTORY_SIZE];
    hl_io io;
    uint64_t ahead_ns;                      /* of the real day */
    int unlink_error;                       /* negative errno; 0: none */
    int pack_error;                         /* likewise of writes into what is half packed */
    uint32_t log_lines;                     /* of the level ERROR */
    uint32_t segments_read, snapshots_read; /* opened to be read */
} kept_disk_state;
extern kept_disk_state kept_disk;

/* Of each test: the directory, made and removed. */
void kept_set_up(void);
void kept_tear_down(void);

/* Whether a segment is being packed into this file of kept_disk.io. Any thread. */
bool kept_is_half_packed(hl_io_file file);

/* Thirty days, and nothing is packed. Points at static memory, domain `system` included. */
hl_config kept_config(void);

void kept_publish(hl_bus *bus, uint64_t count);
void kept_tick(hl_bus *bus, uint64_t after_ns);
hl_partition_journal_stats kept_stats(const hl_bus *bus);

/* Who takes all orders from the journal's start on, and has begun in the oldest segment. The bus
 * has a worker. */
hl_subscription *kept_subscribe_late(hl_bus *bus, recorder *seen);

/* The segments of orders that there are; other files beside them whose names end with `end`. */
size_t kept_segments(void);
size_t kept_files(const char *end);

/* A bus that has looked once and found nothing to do, with several segments. */
hl_bus *kept_start(const hl_config *config);

/*
 * Of a bus with threads of its own, once a test: what the keeper's thread does takes until it is
 * let go. An operation of kept_disk.io calls kept_stand_first, where the first call stands;
 * kept_stands() is how many have come there. Any thread.
 */
void kept_stand_first(void);
uint32_t kept_stands(void);

/* While it stands, events, their journal and the housekeeper go on. */
void kept_expect_life(hl_bus *bus);

/* Stops the bus while it stands, which goes on when it is told to end; the stop is HL_OK. */
void kept_stop_while_it_stands(hl_bus *bus);

#endif
