/*
 * A forecast of a rate by its level and trend: Holt's double exponential smoothing (C. C. Holt, ONR
 * Memorandum 52, 1957). The trend is per second, so that samples need not be evenly apart.
 */
#ifndef HL_FLOW_FORECAST_H
#define HL_FLOW_FORECAST_H

#include <stdbool.h>
#include <stdint.h>

typedef struct hl_forecast {
    double level_weight, trend_weight; /* alpha, beta; over 0 to 1 */
    double level, trend;               /* events/s, events/s each second */
    uint64_t last_ns;
    uint32_t samples; /* taken so far, up to 2 */
} hl_forecast;

/* Weights in per cent, 1 to 100. */
void hl_forecast_init(hl_forecast *forecast, uint32_t level_weight_pct, uint32_t trend_weight_pct);

/* The rate up to now_ns. One whose time is not after the last one's is ignored; the next one is as
 * far from it as their times say, so that a clock that steps back stops nothing. */
void hl_forecast_add(hl_forecast *forecast, double rate_per_s, uint64_t now_ns);

/* The rate in horizon_ns; never below 0. */
double hl_forecast_rate(const hl_forecast *forecast, uint64_t horizon_ns);

#endif
