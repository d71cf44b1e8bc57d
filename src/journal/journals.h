/*
 * The journal as a part of a bus (bus/part.h): its feeds and threads, made by the configuration.
 */
#ifndef HL_JOURNAL_JOURNALS_H
#define HL_JOURNAL_JOURNALS_H

#include "bus/part.h"

typedef struct hl_handover hl_handover;

extern const hl_part hl_journals_part;

/* Who brings async subscribers up; NULL: the bus has no workers, or no journal. */
hl_handover *hl_journals_handover(const hl_bus *bus);

#endif
