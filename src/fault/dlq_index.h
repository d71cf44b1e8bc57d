/*
 * Which letters there are, by id, and where each lies. The caller excludes others.
 */
#ifndef HL_FAULT_DLQ_INDEX_H
#define HL_FAULT_DLQ_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <hotlane/dlq.h>

typedef struct hl_dlq_entry {
    uint64_t id;
    uint64_t place; /* offset of its record in the file, written or not yet */
    uint64_t state_ns;
    uint32_t size;  /* bytes of its record */
    uint32_t state; /* hl_dead_state; 0: gone */
} hl_dlq_entry;

typedef struct hl_dlq_index {
    hl_dlq_entry *entries; /* by id */
    size_t count, room;
    size_t gone;  /* of count */
    size_t first; /* all positions below are gone: the oldest are dropped one after the other */
    uint64_t in_state[HL_DEAD_REDRIVING + 1]; /* letters by state */
    uint64_t bytes;                           /* of the records of all letters */
} hl_dlq_index;

void hl_dlq_index_free(hl_dlq_index *index);

/* Makes sure that the next put of a new id has its memory. */
bool hl_dlq_index_reserve(hl_dlq_index *index);

/* Puts a letter in, or in place of the one of its id. False: no memory (never after a reserve). */
bool hl_dlq_index_put(hl_dlq_index *index, const hl_dlq_entry *entry);

/* NULL: no such letter. Good until the next call that changes the index. */
hl_dlq_entry *hl_dlq_index_find(const hl_dlq_index *index, uint64_t id);

/* The letter with the lowest id from `id` on; NULL: none. */
hl_dlq_entry *hl_dlq_index_from(const hl_dlq_index *index, uint64_t id);

void hl_dlq_index_set_state(hl_dlq_index *index, hl_dlq_entry *entry, hl_dead_state state,
                            uint64_t at_ns);
void hl_dlq_index_remove(hl_dlq_index *index, hl_dlq_entry *entry);

static inline uint64_t hl_dlq_index_letters(const hl_dlq_index *index)
{
    return index->count - index->gone;
}

#endif
