#include "flow/forecast.h"

void hl_forecast_init(hl_forecast *forecast, uint32_t level_weight_pct, uint32_t trend_weight_pct)
{
    *forecast = (hl_forecast){.level_weight = level_weight_pct / 100.0,
                              .trend_weight = trend_weight_pct / 100.0};
}

void hl_forecast_add(hl_forecast *forecast, double rate_per_s, uint64_t now_ns)
{
    if (forecast->samples == 0) {
        forecast->level = rate_per_s;
        forecast->last_ns = now_ns;
        forecast->samples = 1;
        return;
    }
    if (now_ns <= forecast->last_ns) {
        forecast->last_ns = now_ns;
        return;
    }
    const double elapsed_s = (double)(now_ns - forecast->last_ns) / 1e9;
    const double before = forecast->level;
    const double expected = before + forecast->trend * elapsed_s;
    forecast->level = expected + forecast->level_weight * (rate_per_s - expected);
    const double slope = (forecast->level - before) / elapsed_s;
    forecast->trend += forecast->trend_weight * (slope - forecast->trend);
    forecast->last_ns = now_ns;
    forecast->samples = 2;
}

double hl_forecast_rate(const hl_forecast *forecast, uint64_t horizon_ns)
{
    const double rate = forecast->level + forecast->trend * ((double)horizon_ns / 1e9);
    return rate > 0 ? rate : 0;
}
