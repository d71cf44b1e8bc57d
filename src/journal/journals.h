/*
 * The journal as a part of a bus (bus/part.h): its feeds and threads, made by the configuration.
 */
#ifndef HL_JOURNAL_JOURNALS_H
#define HL_JOURNAL_JOURNALS_H

#include "bus/part.h"

typedef struct hl_handover hl_handover;

/* Events of a partition that has a journal, that are in flight to the disk. Any thread. */
uint64_t hl_journals_in_flight(const hl_bus *bus, uint32_t partition);

extern const hl_part hl_journals_part;

/* Who brings async subscribers up; NULL: the bus has no workers, or no journal. */
hl_handover *hl_journals_handover(const hl_bus *bus);

#endif
