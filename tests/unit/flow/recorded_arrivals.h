/*
 * When the messages of a recorded day came, and for which price. Where the recordings are not, the
 * test is skipped.
 */
#ifndef HL_TEST_RECORDED_ARRIVALS_H
#define HL_TEST_RECORDED_ARRIVALS_H

#include <stddef.h>
#include <stdint.h>

typedef struct arrival {
    uint64_t at_ns; /* since the first */
    uint64_t key;
} arrival;

typedef struct arrivals {
    arrival *list;
    size_t count;
} arrivals;

typedef struct recorded_day {
    const char *format, *file;
} recorded_day;

#define RECORDED_DAYS 3
extern const recorded_day recorded_days[RECORDED_DAYS];

/* A recording, `speed` times as fast, from 0 on; what bears no order is left out. */
arrivals arrivals_recorded(const recorded_day *day, double speed);
void arrivals_free(arrivals *of);

/* Events a second in the busiest 100 ms, when each message stands for two. */
double arrivals_busiest(const arrivals *of);

#endif
