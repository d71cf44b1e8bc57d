/*
 * How many workers a pool should have: a pure decision on its backlog and rate, with hysteresis.
 *
 *     const hl_scale_decision decision = hl_scale_step(&scale, &sample);
 *     if (decision.workers != sample.workers)
 *         resize(decision.workers);
 *
 * One more when more than grow_backlog events wait while the rate is below grow_below_per_s (the
 * handlers are slow; more workers help), for grow_after_ns. One less when fewer than shrink_backlog
 * wait for shrink_after_ns. Between the two it stays as it is, and pause_ns lie between changes.
 */
#ifndef HL_FLOW_SCALE_H
#define HL_FLOW_SCALE_H

#include <hotlane/flow.h>

typedef struct hl_scale_sample {
    uint64_t now_ns;
    uint64_t backlog;    /* events that wait */
    uint64_t rate_per_s; /* events that the pool handles */
    uint32_t workers;    /* there are now */
} hl_scale_sample;

typedef enum hl_scale_reason {
    HL_SCALE_STAYS = 0,
    HL_SCALE_BACKLOG, /* one more: too many wait */
    HL_SCALE_IDLE,    /* one less: hardly any wait */
    HL_SCALE_BOUNDS   /* into min_workers..max_workers, at once */
} hl_scale_reason;

typedef struct hl_scale_decision {
    uint32_t workers; /* there should be */
    hl_scale_reason reason;
} hl_scale_decision;

typedef struct hl_scale {
    hl_scale_options options;
    bool is_high, is_low; /* the backlog is now, since: */
    uint64_t high_since_ns, low_since_ns;
    bool has_changed;
    uint64_t changed_ns;
} hl_scale;

/* HL_OK, or HL_INVALID with "PLACE.field: ..." in `error`. Any thread. */
hl_status hl_scale_options_check(const hl_scale_options *options, const char *place,
                                 hl_error *error);

/* The options are checked ones; copied. */
void hl_scale_init(hl_scale *scale, const hl_scale_options *options);

/* Takes a sample and says how many there should be: as many, one more, or one less. One thread. */
hl_scale_decision hl_scale_step(hl_scale *scale, const hl_scale_sample *sample);

/* "stays", "backlog", "idle", "bounds"; "?" for what is none. Static memory. */
const char *hl_scale_reason_name(hl_scale_reason reason);

#endif
