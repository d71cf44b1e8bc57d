/*
 * A journal's events under the numbers of a bus that did not write them, or wrote them before it
 * was started anew: topics and publishers are known by their names. One thread; it takes the bus's
 * lock for names it has not seen under their number before.
 */
#ifndef HL_JOURNAL_ADOPT_H
#define HL_JOURNAL_ADOPT_H

#include "bus/bus.h"

typedef struct hl_adoption {
    hl_bus *bus;
    hl_topic_entry **topics; /* by the journal's numbers, as last seen */
    uint16_t *sources;       /* likewise; 0: not seen */
} hl_adoption;

/* False: no memory; hl_adoption_free is due all the same. */
bool hl_adoption_init(hl_adoption *adoption, hl_bus *bus);
void hl_adoption_free(hl_adoption *adoption);

/* The bus's topic of this name, declared as the journal says where it is not. NULL: it cannot be.
 */
hl_topic_entry *hl_adopt_topic(hl_adoption *adoption, uint32_t number, const char *name,
                               hl_topic_kind kind, int priority);

/* The bus's number of a publisher; 0: there is none left. */
uint16_t hl_adopt_source(hl_adoption *adoption, uint16_t number, const char *name);

#endif
