/*
 * Numbers as people write them: on a command line, in a spec. Never with a sign of plus, a blank
 * before them, or less than all of their digits: what cannot be held is no number. Any thread, no
 * allocation; what is returned through ret_ is untouched on failure.
 */
#ifndef HL_BASE_NUMBER_H
#define HL_BASE_NUMBER_H

#include <stdbool.h>
#include <stdint.h>

/* The whole number that `text` begins with, decimal or 0x and hexadecimal; *ret_end: what follows
 * it. False: it begins with none, or with one of more than 64 bits. */
bool hl_number_begin(const char *text, uint64_t *ret_number, const char **ret_end);

/* A whole number from `least` to `most`, and nothing behind it. */
bool hl_number_parse(const char *text, uint64_t least, uint64_t most, uint64_t *ret_number);

/* The number that `text` begins with, with or without a fraction, a minus before it. False: it
 * begins with none, or with one that is too large or too small for a double. */
bool hl_real_begin(const char *text, double *ret_number, const char **ret_end);

/* A number from `least` to `most`, and nothing behind it. */
bool hl_real_parse(const char *text, double least, double most, double *ret_number);

#endif
