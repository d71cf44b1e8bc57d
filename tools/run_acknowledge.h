/*
 * --acknowledge FILE of `hotlane run`: how far the journal has come, line by line as it comes, for
 * whoever wants to hold a process that was killed to its word.
 *
 *     order begins 1000000                     the last sequence of before
 *     order 1000420 1000420 1000416            last given out, written, durable
 *
 * A line is written after what it says is so. A thread of its own, below the bus.
 */
#ifndef HL_TOOLS_RUN_ACKNOWLEDGE_H
#define HL_TOOLS_RUN_ACKNOWLEDGE_H

#include <hotlane/hotlane.h>

typedef struct run_acknowledge run_acknowledge;

/* Before the bus starts. `path` NULL: *ret_acknowledge is NULL, which the other call takes. HL_OK,
 * HL_SYSTEM, HL_NO_MEMORY. */
hl_status run_acknowledge_begin(const hl_bus *bus, const char *path,
                                run_acknowledge **ret_acknowledge, hl_error *error);

/* A last line for each, and the end. Before the bus is destroyed; NULL is allowed. HL_OK;
 * HL_SYSTEM: some line could not be written, and none was after it. */
hl_status run_acknowledge_end(run_acknowledge *acknowledge, hl_error *error);

#endif
