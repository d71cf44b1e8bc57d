/*
 * The next segment, made ready ahead: blocks taken, zeros written where they are asked for. It has
 * no segment's name and no header yet. One thread.
 */
#ifndef HL_JOURNAL_SPARE_H
#define HL_JOURNAL_SPARE_H

#include "journal/io.h"

typedef struct hl_spare {
    const hl_io *io;
    const char *path;
    uint64_t size; /* bytes of a segment */
    bool zero_fill;
    bool is_open;
    bool is_ready;
    hl_io_file file;
    uint64_t filled; /* bytes of zeros written */
    uint8_t *zeros;  /* HL_SPARE_STEP bytes */
} hl_spare;

#define HL_SPARE_STEP (1u << 20) /* bytes of zeros a step */

/* One step towards ready; 0 or -errno, after which there is no file. Nothing to do: 0. */
int hl_spare_step(hl_spare *spare);

/* All steps. */
int hl_spare_make(hl_spare *spare);

/* Closes and removes what there is. */
void hl_spare_drop(hl_spare *spare);

#endif
