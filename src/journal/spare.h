/*
 * The next segment, made ready ahead: blocks taken, zeros written where they are asked for. It has
 * no segment's name and no header yet. Zeros only make its syncs quicker: one that is not filled to
 * its end can be used all the same. One thread.
 */
#ifndef HL_JOURNAL_SPARE_H
#define HL_JOURNAL_SPARE_H

#include "base/io.h"

typedef struct hl_spare {
    const hl_io *io;
    const char *path;
    uint64_t size; /* bytes of a segment */
    bool zero_fill;
    bool is_open;
    bool is_ready; /* its blocks are there */
    hl_io_file file;
    uint64_t filled; /* bytes of zeros written */
    uint8_t *zeros;  /* HL_SPARE_STEP bytes */
} hl_spare;

#define HL_SPARE_STEP (64u << 10) /* bytes of zeros a step */

/* One step: the blocks, or some zeros. 0 or -errno, after which it has no blocks, and
 * the next step begins anew. Nothing to do: 0. */
int hl_spare_step(hl_spare *spare);

/* Whether there is no step left. */
static inline bool hl_spare_is_whole(const hl_spare *spare)
{
    return spare->is_ready && (!spare->zero_fill || spare->filled == spare->size);
}

/* The blocks, if they are not there yet. */
int hl_spare_make(hl_spare *spare);

/* All steps. */
int hl_spare_make_whole(hl_spare *spare);

/* Closes and removes what there is. Not while the newest segment is sealed as one that another
 * follows. */
void hl_spare_drop(hl_spare *spare);

#endif
