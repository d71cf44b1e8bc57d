/*
 * A picture of a result, drawn by gnuplot: the latency of each distribution by percentile, and the
 * throughputs as bars with their ranges; SVG.
 */
#ifndef HL_PERF_PLOT_H
#define HL_PERF_PLOT_H

#include "perf/result.h"

/* HL_OK: it can be drawn here. HL_UNSUPPORTED with a sentence: gnuplot is not installed. */
hl_status perf_plot_ready(hl_error *error);

/*
 * Writes `path`. HL_OK; HL_UNSUPPORTED: as above; HL_NOT_FOUND: the result has neither latencies
 * nor throughputs; HL_SYSTEM: gnuplot failed, or the path cannot be written.
 */
hl_status perf_plot_write(const perf_result *result, const char *path, hl_error *error);

#endif
