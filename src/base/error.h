/*
 * Filling an hl_error: hl_error_set(error, HL_INVALID, "ring: ...") writes the sentence, when error
 * is not NULL, and gives the status back, so that `return hl_error_set(...)` is one line.
 */
#ifndef HL_BASE_ERROR_H
#define HL_BASE_ERROR_H

#include <hotlane/status.h>

hl_status hl_error_set(hl_error *error, hl_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
