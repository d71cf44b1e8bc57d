/*
 * A picture of a result, drawn by gnuplot: the latency of each distribution by percentile, and the
 * throughputs as bars with their ranges; SVG.
 */
#ifndef HL_PERF_PLOT_H
#define HL_PERF_PLOT_H

#include "perf/result.h"

/*
 * Writes `path`. HL_OK; HL_UNSUPPORTED: gnuplot is not installed; HL_NOT_FOUND: the result has
 * neither latencies nor throughputs; HL_SYSTEM: gnuplot failed, or the path cannot be written.
 */
hl_status perf_plot_write(const perf_result *result, const char *path, hl_error *error);

#endif
