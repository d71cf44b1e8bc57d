#include "flow/scale.h"

#include <inttypes.h>

#include "base/error.h"
#include "flow/range.h"

#define WORKERS_MAX      UINT32_C(1024)
#define AFTER_MAX_NS     (60 * HL_SECOND)
#define SHRINK_AFTER_MIN (10 * HL_MILLISECOND)
#define SHRINK_AFTER_MAX (3600 * HL_SECOND)

hl_status hl_scale_options_check(const hl_scale_options *options, const char *place,
                                 hl_error *error)
{
    const hl_status size =
        hl_option_size_check(options->size, sizeof *options, "HL_SCALE_OPTIONS_INIT", place, error);
    if (size != HL_OK)
        return size;
    const hl_option_range ranges[] = {
        {"max_workers", options->max_workers, 1, WORKERS_MAX, false},
        {"min_workers", options->min_workers, 1, WORKERS_MAX, false},
        {"grow_backlog", options->grow_backlog, 1, UINT64_MAX, false},
        {"grow_after_ns", options->grow_after_ns, 0, AFTER_MAX_NS, false},
        {"shrink_backlog", options->shrink_backlog, 1, UINT64_MAX, false},
        {"shrink_after_ns", options->shrink_after_ns, SHRINK_AFTER_MIN, SHRINK_AFTER_MAX, false},
        {"pause_ns", options->pause_ns, 0, AFTER_MAX_NS, false}};
    const hl_status status =
        hl_option_ranges_check(ranges, sizeof ranges / sizeof *ranges, place, error);
    if (status != HL_OK)
        return status;
    if (options->min_workers > options->max_workers)
        return hl_error_set(error, HL_INVALID,
                            "%s.min_workers: %" PRIu32 " is more than max_workers (%" PRIu32
                            "): use at most that many",
                            place, options->min_workers, options->max_workers);
    if (options->shrink_backlog >= options->grow_backlog)
        return hl_error_set(error, HL_INVALID,
                            "%s.shrink_backlog: %" PRIu64 " is not below grow_backlog (%" PRIu64
                            "), so that the pool would grow and shrink at once: use less",
                            place, options->shrink_backlog, options->grow_backlog);
    return HL_OK;
}

void hl_scale_init(hl_scale *scale, const hl_scale_options *options)
{
    *scale = (hl_scale){.options = *options};
}

/* Whether something holds, and for how long it has: `after_ns` or more. */
static bool has_lasted(bool holds, bool *held, uint64_t *since_ns, uint64_t after_ns,
                       uint64_t now_ns)
{
    if (holds && (!*held || now_ns < *since_ns)) /* a clock that stepped back: begin anew */
        *since_ns = now_ns;
    *held = holds;
    return holds && now_ns - *since_ns >= after_ns;
}

static hl_scale_decision change(hl_scale *scale, uint64_t now_ns, uint32_t workers,
                                hl_scale_reason reason)
{
    scale->has_changed = true;
    scale->changed_ns = now_ns;
    scale->is_high = scale->is_low = false; /* the next change counts its time from here */
    return (hl_scale_decision){workers, reason};
}

hl_scale_decision hl_scale_step(hl_scale *scale, const hl_scale_sample *sample)
{
    const hl_scale_options *const options = &scale->options;
    const uint64_t now_ns = sample->now_ns;
    const uint32_t workers = sample->workers;
    if (workers < options->min_workers)
        return change(scale, now_ns, options->min_workers, HL_SCALE_BOUNDS);
    if (workers > options->max_workers)
        return change(scale, now_ns, options->max_workers, HL_SCALE_BOUNDS);
    const bool is_slow =
        options->grow_below_per_s == 0 || sample->rate_per_s < options->grow_below_per_s;
    const bool may_shrink =
        options->shrink_above_per_s == 0 || sample->rate_per_s > options->shrink_above_per_s;
    const bool grows =
        has_lasted(sample->backlog > options->grow_backlog && is_slow, &scale->is_high,
                   &scale->high_since_ns, options->grow_after_ns, now_ns);
    const bool shrinks =
        has_lasted(sample->backlog < options->shrink_backlog && may_shrink, &scale->is_low,
                   &scale->low_since_ns, options->shrink_after_ns, now_ns);
    if (scale->has_changed && now_ns < scale->changed_ns)
        scale->changed_ns = now_ns;
    if (scale->has_changed && now_ns - scale->changed_ns < options->pause_ns)
        return (hl_scale_decision){workers, HL_SCALE_STAYS};
    if (grows && workers < options->max_workers)
        return change(scale, now_ns, workers + 1, HL_SCALE_BACKLOG);
    if (shrinks && workers > options->min_workers)
        return change(scale, now_ns, workers - 1, HL_SCALE_IDLE);
    return (hl_scale_decision){workers, HL_SCALE_STAYS};
}

const char *hl_scale_reason_name(hl_scale_reason reason)
{
    static const char *const names[] = {[HL_SCALE_STAYS] = "stays",
                                        [HL_SCALE_BACKLOG] = "backlog",
                                        [HL_SCALE_IDLE] = "idle",
                                        [HL_SCALE_BOUNDS] = "bounds"};
    return (unsigned)reason < sizeof names / sizeof *names ? names[reason] : "?";
}
