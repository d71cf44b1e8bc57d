/*
 * The journal as a part of a bus (bus/part.h): its feeds and threads, made by the configuration.
 */
#ifndef HL_JOURNAL_JOURNALS_H
#define HL_JOURNAL_JOURNALS_H

#include <hotlane/journal_reader.h>

#include "bus/part.h"

typedef struct hl_handover hl_handover;

/* Events of a partition that has a journal, that are in flight to the disk. Any thread. */
uint64_t hl_journals_in_flight(const hl_bus *bus, uint32_t partition);

extern const hl_part hl_journals_part;

/* The keys of a bus: of journal_key_file, else the environment; NULL: none. Read once, valid while
 * the bus lives. The control plane before the start. HL_INVALID: the file of the configuration is
 * not one of keys, or not there; else as hl_journal_keys_load. */
hl_status hl_journals_keys(hl_bus *bus, const hl_journal_keys **ret_keys, hl_error *error);

/* Who brings async subscribers up; NULL: the bus has no workers, or no journal. */
hl_handover *hl_journals_handover(const hl_bus *bus);

#endif
