/*
 * Units of durations, which are in ns everywhere: 10 * HL_MILLISECOND.
 */
#ifndef HOTLANE_DURATION_H
#define HOTLANE_DURATION_H

#include <stdint.h>

#define HL_MICROSECOND ((uint64_t)1000)
#define HL_MILLISECOND ((uint64_t)1000000)
#define HL_SECOND      ((uint64_t)1000000000)

#endif
