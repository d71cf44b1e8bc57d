/*
 * Zeroed memory for structures that hold cache-line groups. Control plane only; free() gives it
 * back. NULL when there is none.
 */
#ifndef HL_BASE_ALLOCATE_H
#define HL_BASE_ALLOCATE_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define HL_LINE_PAIR 128 /* lines are prefetched in pairs */

/* Up to a whole number of line pairs. */
static inline size_t hl_round_up(size_t bytes)
{
    return (bytes + HL_LINE_PAIR - 1) / HL_LINE_PAIR * HL_LINE_PAIR;
}

static inline void *hl_allocate(size_t count, size_t size_bytes)
{
    if (size_bytes != 0 && count > (SIZE_MAX - HL_LINE_PAIR) / size_bytes)
        return NULL;
    const size_t bytes = hl_round_up(count * size_bytes);
    void *const memory = aligned_alloc(HL_LINE_PAIR, bytes == 0 ? HL_LINE_PAIR : bytes);
    if (memory != NULL)
        memset(memory, 0, bytes);
    return memory;
}

#endif
