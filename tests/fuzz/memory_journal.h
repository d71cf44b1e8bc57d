/*
 * A journal of one segment that lies in memory: a table of I/O operations that reads it as
 * "journal/order/DATE-SEQUENCE.hlj" and writes nothing. Or any other file, under the name that is
 * put into `name`.
 */
#ifndef HL_FUZZ_MEMORY_JOURNAL_H
#define HL_FUZZ_MEMORY_JOURNAL_H

#include "base/io.h"

typedef struct memory_journal {
    hl_io io;
    const uint8_t *bytes;
    size_t size;
    char name[64]; /* of the file: the segment's, as its header would have it */
} memory_journal;

void memory_journal_init(memory_journal *journal, const uint8_t *bytes, size_t size);

#endif
