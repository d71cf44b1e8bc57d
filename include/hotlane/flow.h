/*
 * What happens when there is too much: the options of throttling, sampling, the ladder, and the
 * scaling of workers. Plain structs with defaults; 0 in a field that says so switches its part off.
 *
 *     hl_throttle_options throttle = HL_THROTTLE_OPTIONS_INIT;
 *     throttle.rate_per_s = 50000;
 *     throttle.burst = 1000;
 *
 * Every value is checked before it is used: one out of its range is HL_INVALID with a sentence that
 * names the field and what would be right. Durations are in ns (HL_MILLISECOND, HL_SECOND).
 */
#ifndef HOTLANE_FLOW_H
#define HOTLANE_FLOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <hotlane/duration.h>
#include <hotlane/event.h>
#include <hotlane/status.h>

/* A token bucket: on average rate_per_s events a second, and up to `burst` at once after a pause.
 * An event over it is refused with HL_THROTTLED. */
typedef struct hl_throttle_options {
    size_t size;
    uint64_t rate_per_s; /* 1..1,000,000,000; 0: no limit */
    uint64_t burst;      /* 1..1,000,000,000; 0: what the rate gives in 10 ms, at least one */
} hl_throttle_options;

#define HL_THROTTLE_OPTIONS_INIT          \
    {                                     \
        sizeof(hl_throttle_options), 0, 0 \
    }

/* Sampling by key, of `state` topics only: the first event of a key opens a window, the newest
 * value is delivered when it closes; a key without events costs nothing. */
typedef struct hl_sampling_options {
    size_t size;
    uint64_t window_ns;       /* 1 ms..10 s; 0: no sampling */
    uint32_t max_keys;        /* windows open at one time; 1..16,777,216 */
    uint32_t closes_per_look; /* most windows that close between two events; 1..65,536 */
} hl_sampling_options;

#define HL_SAMPLING_OPTIONS_INIT                                     \
    {                                                                \
        sizeof(hl_sampling_options), 100 * HL_MILLISECOND, 16384, 16 \
    }

/* The rungs of the ladder, in four steps (SHED is two); each does what those below it do, too.
 * CRITICAL and HIGH priorities and `delta` topics never pay. */
typedef enum hl_rung {
    HL_RUNG_CALM = 0,   /* nothing is held back */
    HL_RUNG_SAMPLE = 1, /* `state` topics of NORMAL and below are sampled */
    HL_RUNG_SHED = 2,   /* `expendable` topics are shed: BACKGROUND, at the next step LOW too */
    HL_RUNG_REFUSE = 3, /* `state` topics of NORMAL and below are refused with HL_THROTTLED, and
                           `expendable` ones of NORMAL shed */
    HL_RUNGS = 4
} hl_rung;

/* What the load of a partition is made of: the worst of them counts. */
typedef enum hl_load_cause {
    HL_LOAD_NONE = 0,    /* no load */
    HL_LOAD_OCCUPANCY,   /* how full its fullest lane is */
    HL_LOAD_ORDER_DELAY, /* how long an event of CRITICAL or HIGH waits */
    HL_LOAD_CPU,         /* how busy its executor is */
    HL_LOAD_ARRIVALS,    /* events a second */
    HL_LOAD_FORECAST,    /* what the trend of the arrivals will make of the lane or of the rate */
    HL_LOAD_CAUSES
} hl_load_cause;

/* The adaptive controller of a partition. A load of 100 % is a threshold that is reached. */
typedef struct hl_ladder_options {
    size_t size;
    bool enabled;              /* false: the rung is always HL_RUNG_CALM */
    uint32_t occupancy_pct;    /* of a lane's slots that is full load; 1..100; 0: not looked at */
    uint64_t order_delay_ns;   /* wait that is full load; 1 us..10 s; 0: not looked at */
    uint32_t cpu_pct;          /* busy time that is full load; 1..100; 0: not looked at */
    uint64_t arrivals_per_s;   /* rate that is full load; up to 1,000,000,000; 0: not looked at */
    uint64_t step_up_ns;       /* between two steps up at least, until the last shows; 0..1 s */
    uint32_t down_pct;         /* load under which it comes down; 1..95 */
    uint64_t step_down_ns;     /* under down_pct for so long: one step down, of four; 100 ms to
                                  1.25 s, so that all four take at most 5 s */
    bool predictive;           /* sample by the forecast too, before the lane is full */
    uint64_t horizon_ns;       /* how far ahead it looks; 1 ms..1 s */
    uint32_t level_weight_pct; /* Holt's alpha: weight of the newest rate; 1..100 */
    uint32_t trend_weight_pct; /* Holt's beta: weight of the newest trend; 1..100 */
} hl_ladder_options;

#define HL_LADDER_OPTIONS_INIT                                                                \
    {                                                                                         \
        sizeof(hl_ladder_options), true, 80, HL_MILLISECOND, 95, 0, 100 * HL_MILLISECOND, 60, \
            HL_SECOND, true, 100 * HL_MILLISECOND, 40, 20                                     \
    }

/* A ring of a lane has reached its domain's high water, or has gone down to its low water since. As
 * the housekeeper sees it, every 10 ms: what is shorter is not told. */
typedef struct hl_watermark {
    char domain[64];
    uint32_t shard;
    hl_priority priority; /* with domain and shard, the lane */
    bool is_high;         /* false: low water */
    uint16_t
        source;     /* the publisher whose ring it is (hl_source_name); 0: one that several share */
    uint32_t used;  /* slots taken in the lane's fullest ring, up to an eighth of it too many */
    uint32_t slots; /* that the ring has */
    uint64_t at_ns; /* bus clock */
} hl_watermark;

/* Called by the housekeeper; it may publish through a publisher of its own, and is not to take
 * long. */
typedef void (*hl_watermark_handler)(const hl_watermark *watermark, void *context);

/* How a pool of workers grows and shrinks with its backlog. */
typedef struct hl_scale_options {
    size_t size;
    uint32_t min_workers;        /* 1..max_workers */
    uint32_t max_workers;        /* 1..1,024 */
    uint64_t grow_backlog;       /* more events than this wait: grow, if the rate is low; 1.. */
    uint64_t grow_below_per_s;   /* the rate under which the workers are what is slow; 0: any */
    uint64_t grow_after_ns;      /* for so long; 0..60 s */
    uint64_t shrink_backlog;     /* fewer events than this wait; below grow_backlog; 1.. */
    uint64_t shrink_after_ns;    /* for so long: one worker less; 10 ms..1 h */
    uint64_t shrink_above_per_s; /* only while the rate is over this; an idle pool then never
                                    shrinks, hence 0: whatever the rate */
    uint64_t pause_ns;           /* between two changes, until the last shows; 0..60 s */
} hl_scale_options;

#define HL_SCALE_OPTIONS_INIT                                                                 \
    {                                                                                         \
        sizeof(hl_scale_options), 1, 4, 1000, 5000, 0, 10, HL_SECOND, 0, 100 * HL_MILLISECOND \
    }

#ifdef __cplusplus
extern "C" {
#endif

/* "calm", "sample", "shed", "refuse"; "?" for what is none. Static memory. Any thread. */
HL_API const char *hl_rung_name(hl_rung rung);

/* "none", "occupancy", "order_delay", "cpu", "arrivals", "forecast"; "?" for what is none. Static
 * memory. Any thread. */
HL_API const char *hl_load_cause_name(hl_load_cause cause);

#ifdef __cplusplus
}
#endif
#endif
