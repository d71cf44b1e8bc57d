/*
 * Checks options against their ranges. HL_OK, or HL_INVALID with "PLACE.FIELD: 7 is out of range:
 * use 1 to 5" in `error` (which may be NULL); with `or_off` 0 is right too, and the sentence says
 * so.
 */
#ifndef HL_FLOW_RANGE_H
#define HL_FLOW_RANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <hotlane/status.h>

typedef struct hl_option_range {
    const char *field;
    uint64_t value, least, most;
    bool or_off;
} hl_option_range;

/* Whether options were built against these headers: their `size` is what this library knows. HL_OK,
 * or HL_INVALID with a sentence; `init`: "HL_SCALE_OPTIONS_INIT". */
hl_status hl_option_size_check(size_t size, size_t known, const char *init, const char *place,
                               hl_error *error);

/* All of them, in their order, up to the first that is not in its range. */
hl_status hl_option_ranges_check(const hl_option_range *ranges, size_t count, const char *place,
                                 hl_error *error);

#endif
