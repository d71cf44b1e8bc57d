/*
 * Open-loop latency: a schedule of intended times that the sender keeps to whatever happens, and a
 * record of how long after its intended time each message was handled. A sender that falls behind
 * sends late and at once, nothing is skipped, and the delay counts for every message that it hit
 * (no coordinated omission; G. Tene, "How NOT to Measure Latency").
 *
 * The sender's thread owns the schedule, the handler's thread the record.
 */
#ifndef HL_PERF_LATENCY_H
#define HL_PERF_LATENCY_H

#include "observe/histogram.h"
#include "perf/scenario.h"
#include "perf/timer.h"

/* ---- the schedule ---- */

#define PERF_SCHEDULE_GAPS 4096u /* of a Poisson schedule, used again and again */

typedef struct perf_schedule {
    uint64_t start;  /* ticks */
    uint64_t end;    /* ticks: intended times are before it */
    double intended; /* ticks since start, of the next message */
    double gap;      /* ticks, mean */
    uint32_t turn;   /* of gaps */
    bool poisson;
    float gaps[PERF_SCHEDULE_GAPS]; /* times the mean */
} perf_schedule;

/* per_s: above 0. Poisson: the gaps are exponential, from a fixed seed. Some 100 us of work. */
void perf_schedule_init(perf_schedule *schedule, const perf_timer *timer, double per_s,
                        bool poisson);

/* Starts it now, for `seconds`. */
void perf_schedule_begin(perf_schedule *schedule, const perf_timer *timer, double seconds);

/* The intended time of the next message, in ticks; UINT64_MAX: the schedule is over. */
static inline uint64_t perf_schedule_next(const perf_schedule *schedule)
{
    const uint64_t intended = schedule->start + (uint64_t)schedule->intended;
    return intended < schedule->end ? intended : UINT64_MAX;
}

/* The message was sent: on to the one after it. */
static inline void perf_schedule_advance(perf_schedule *schedule)
{
    schedule->intended +=
        schedule->poisson
            ? schedule->gap * (double)schedule->gaps[schedule->turn++ % PERF_SCHEDULE_GAPS]
            : schedule->gap;
}

/* ---- the record ---- */

#define PERF_WINDOW_NS   5e8 /* longer in runs that would have more than PERF_WINDOWS_MAX */
#define PERF_WINDOWS_MAX 512u

typedef struct perf_latency {
    const perf_timer *timer;
    hl_histogram *ns;       /* all of them, PERF_HISTOGRAM_DIGITS */
    hl_histogram **windows; /* by intended time, so that a bad moment is not diluted; 2 digits */
    uint32_t window_count;
    uint64_t start; /* ticks: where the first window begins; set before the first record */
    double ticks_per_window;
} perf_latency;

/* An empty one, the caller's to free(); NULL: no memory. */
hl_histogram *perf_histogram_make(uint32_t digits);

/* Room for a run of `seconds`. HL_NO_MEMORY. */
hl_status perf_latency_create(const perf_timer *timer, double seconds, perf_latency *ret_latency,
                              hl_error *error);
void perf_latency_destroy(perf_latency *latency);

/* A message intended at `intended` was handled at `now`, both in ticks. */
static inline void perf_latency_record(perf_latency *latency, uint64_t intended, uint64_t now)
{
    const uint64_t ns = (uint64_t)perf_timer_ns(latency->timer, now - intended);
    hl_histogram_record(latency->ns, ns);
    const double window = (double)(intended - latency->start) / latency->ticks_per_window;
    const uint32_t index = (uint32_t)window;
    if (index < latency->window_count)
        hl_histogram_record(latency->windows[index], ns);
}

/* The values that a measurement of latencies gives, in this order, and their metrics. */
typedef enum perf_latency_value {
    PERF_LATENCY_P50,
    PERF_LATENCY_P90,
    PERF_LATENCY_P99,
    PERF_LATENCY_P999,
    PERF_LATENCY_P9999,
    PERF_LATENCY_MAX,
    PERF_LATENCY_WORST_WINDOW, /* the largest p99 of a window of half a second */
    PERF_LATENCY_VALUES
} perf_latency_value;

#define PERF_LATENCY_METRICS                                                              \
    {"p50", "ns", true}, {"p90", "ns", true}, {"p99", "ns", true}, {"p99.9", "ns", true}, \
        {"p99.99", "ns", true}, {"max", "ns", true},                                      \
    {                                                                                     \
        "p99_worst_half_second", "ns", true                                               \
    }

void perf_latency_values(const perf_latency *latency, double *ret_values);

#endif
