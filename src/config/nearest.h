/*
 * The candidate that a mistyped word was probably meant to be: "did you mean ...?". Pure function;
 * any thread.
 */
#ifndef HL_CONFIG_NEAREST_H
#define HL_CONFIG_NEAREST_H

#include <stddef.h>

/*
 * The candidate with the fewest edits (insert, delete, replace, swap of neighbours; case counts
 * for nothing) from `word`, the first of equals; NULL when none is within a third of the longer
 * one's length, or `word` is longer than 63 bytes. NULL among the candidates is skipped.
 */
const char *hl_nearest(const char *word, const char *const *candidates, size_t candidate_count);

#endif
