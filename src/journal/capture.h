/*
 * How snapshots are taken: for each partition that has aggregates, all their states in one go,
 * between two events, into memory that was made before; then written by a thread of the bus's own.
 *
 *     taker        asks: a call to the executor (command.h)
 *     partition    takes: copies all states, notes the sequence and how far its output has come
 *     taker        writes, when the journals hold durably all events that are in it, and all that
 *                  these have published: so that who loads it lacks neither
 *
 * The taker is a thread beside the housekeeper; with HL_THREADS_MANUAL, before the start and after
 * the stop it is whoever calls.
 *
 *   TAKEN  capture.state: the taker stores ASKED (release) with room for the states, the
 *          partition's thread loads it through the command (COMMAND, command.h) and stores what has
 *          come of it (release), which the taker loads (acquire) before it looks at the copies.
 */
#ifndef HL_JOURNAL_CAPTURE_H
#define HL_JOURNAL_CAPTURE_H

#include "bus/part.h"
#include "journal/aggregate.h"

/* The part: the taker's thread, and the last snapshots when a bus stops. After the journals'. */
extern const hl_part hl_aggregates_part;

#endif
