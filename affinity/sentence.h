/*
 * Sentences built piece by piece in a buffer of fixed size: notes, reasons, warnings. Text that
 * does not fit ends in "...". No allocation; any thread.
 */
#ifndef HL_AFFINITY_SENTENCE_H
#define HL_AFFINITY_SENTENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Appends to the zero-ended `text` in `size` bytes (8 or more). False when it did not fit: the text
 * is full then, and further pieces are dropped. */
bool hl_sentence_add(char *text, size_t size, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Appends `item`, after ", " unless the text is empty. */
bool hl_sentence_add_item(char *text, size_t size, const char *item);

/* Appends CPU numbers, which must ascend, as ranges: "0-3,8"; "none" for count 0. */
bool hl_sentence_add_cpus(char *text, size_t size, const uint32_t *cpus, uint32_t count);

#endif
