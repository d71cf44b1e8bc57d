#include "repeat.h"

#include <stdlib.h>

#include "base/error.h"

static int by_value(const void *left, const void *right)
{
    const double a = *(const double *)left;
    const double b = *(const double *)right;
    return (a > b) - (a < b);
}

perf_summary perf_summarise(double *values, uint32_t count)
{
    qsort(values, count, sizeof *values, by_value);
    const double low = values[(count - 1) / 2];
    const double high = values[count / 2];
    return (perf_summary){values[0], (low + high) / 2, values[count - 1], count};
}

/* values[(case * PERF_VALUES_MAX + value) * repeats + repeat] */
static double *place_of(double *values, uint32_t case_index, uint32_t value, uint32_t repeats)
{
    return values + ((size_t)case_index * PERF_VALUES_MAX + value) * repeats;
}

static hl_status measure_once(const perf_case *measured, double *first_place, uint32_t repeats,
                              uint32_t repeat, hl_error *error)
{
    double once[PERF_VALUES_MAX] = {0};
    hl_error reason = {.text = ""};
    const hl_status status = measured->measure(measured->context, once, &reason);
    if (status != HL_OK)
        return hl_error_set(error, status, "%s: %s", measured->name, reason.text);
    for (uint32_t value = 0; value < measured->value_count; value++)
        first_place[(size_t)value * repeats + repeat] = once[value];
    return HL_OK;
}

static hl_status measure_all(const perf_case *cases, uint32_t case_count, uint32_t repeats,
                             perf_progress progress, double *values, hl_error *error)
{
    for (uint32_t repeat = 0; repeat < repeats; repeat++) {
        for (uint32_t turn = 0; turn < case_count; turn++) {
            const uint32_t index = (turn + repeat) % case_count;
            if (progress != NULL)
                progress(cases[index].name, repeat, repeats);
            const hl_status status = measure_once(
                &cases[index], place_of(values, index, 0, repeats), repeats, repeat, error);
            if (status != HL_OK)
                return status;
        }
    }
    return HL_OK;
}

hl_status perf_repeat(const perf_case *cases, uint32_t case_count, uint32_t repeats,
                      perf_progress progress, hl_error *error)
{
    if (repeats == 0 || repeats > PERF_REPEATS_MAX)
        return hl_error_set(error, HL_INVALID, "repeats: %u is not in 1..%u", repeats,
                            PERF_REPEATS_MAX);
    double *const values = calloc((size_t)case_count * PERF_VALUES_MAX * repeats, sizeof *values);
    if (values == NULL)
        return hl_error_set(error, HL_NO_MEMORY, "no memory for %u repeats", repeats);
    const hl_status status = measure_all(cases, case_count, repeats, progress, values, error);
    for (uint32_t i = 0; status == HL_OK && i < case_count; i++)
        for (uint32_t value = 0; value < cases[i].value_count; value++)
            cases[i].summaries[value] =
                perf_summarise(place_of(values, i, value, repeats), repeats);
    free(values);
    return status;
}
