#include "health/options.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/error.h"
#include "flow/range.h"

#define LONGEST_NS (3600 * HL_SECOND)

static hl_status check_threshold(const char *field, hl_threshold threshold, uint64_t most,
                                 const char *place, hl_error *error)
{
    char path[64];
    snprintf(path, sizeof path, "%s.%s", place, field);
    const hl_option_range ranges[] = {{"degraded", threshold.degraded, 1, most, true},
                                      {"critical", threshold.critical, 1, most, true}};
    const hl_status status =
        hl_option_ranges_check(ranges, sizeof ranges / sizeof *ranges, path, error);
    if (status != HL_OK)
        return status;
    if (threshold.critical != 0 && threshold.critical < threshold.degraded)
        return hl_error_set(error, HL_INVALID,
                            "%s.critical: %" PRIu64 " is under degraded (%" PRIu64
                            "): use that or more, or 0 to switch it off",
                            path, threshold.critical, threshold.degraded);
    return HL_OK;
}

hl_status hl_health_options_check(const hl_health_options *options, const char *place,
                                  hl_error *error)
{
    hl_status status = hl_option_size_check(options->size, sizeof *options,
                                            "HL_HEALTH_OPTIONS_INIT", place, error);
    if (status != HL_OK)
        return status;
    const hl_option_range ranges[] = {
        {"raise_after_ns", options->raise_after_ns, 0, LONGEST_NS, false},
        {"clear_after_ns", options->clear_after_ns, 0, LONGEST_NS, false},
        {"clear_pct", options->clear_pct, 1, 100, false}};
    status = hl_option_ranges_check(ranges, sizeof ranges / sizeof *ranges, place, error);
    const struct {
        const char *field;
        hl_threshold threshold;
        uint64_t most;
    } thresholds[] = {{"thread_stalled_ns", options->thread_stalled_ns, LONGEST_NS},
                      {"thread_busy_pct", options->thread_busy_pct, 100},
                      {"lane_pct", options->lane_pct, 100},
                      {"handler_budget_pct", options->handler_budget_pct, 1000000},
                      {"failures_per_s", options->failures_per_s, UINT64_MAX},
                      {"given_up_per_s", options->given_up_per_s, UINT64_MAX},
                      {"journal_pct", options->journal_pct, 100}};
    for (size_t i = 0; status == HL_OK && i < sizeof thresholds / sizeof *thresholds; i++)
        status = check_threshold(thresholds[i].field, thresholds[i].threshold, thresholds[i].most,
                                 place, error);
    return status;
}
