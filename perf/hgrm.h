/*
 * A histogram in HdrHistogram's percentile format, which its plotters and spreadsheets read: lines
 * of value, percentile, count up to there, 1/(1-percentile), and a tail of three comments.
 *
 * Source: HdrHistogram, AbstractHistogram.outputPercentileDistribution.
 */
#ifndef HL_PERF_HGRM_H
#define HL_PERF_HGRM_H

#include <stdio.h>

#include "observe/histogram.h"

/* Writes `histogram` (of ns) with values in `ns_per_unit` ns (1000: us). An empty one has the
 * header and the tail only. */
void perf_hgrm_write(const hl_histogram *histogram, double ns_per_unit, FILE *stream);

#endif
