/*
 * The journal as a part of a bus (bus/part.h): its feeds and threads, made by the configuration.
 */
#ifndef HL_JOURNAL_JOURNALS_H
#define HL_JOURNAL_JOURNALS_H

#include "bus/part.h"

extern const hl_part hl_journals_part;

#endif
