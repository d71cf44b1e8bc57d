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

/* ---- the paces of a machine ---- */

/* What was measured so far, round by round. */
typedef struct record {
    const perf_case *cases;
    uint32_t case_count;
    uint32_t rounds; /* room for so many */
    uint32_t rounds_run;
    double *values;  /* [(case * PERF_VALUES_MAX + value) * rounds + round] */
    uint8_t *paces;  /* [case * rounds + round] */
    perf_pace *pace; /* NULL: not asked for; all is of pace 0 */
    double probes[PERF_PACES_MAX];
    uint32_t pace_count;
} record;

static double *place_of(const record *all, uint32_t case_index, uint32_t value)
{
    return all->values + ((size_t)case_index * PERF_VALUES_MAX + value) * all->rounds;
}

static uint8_t *pace_of(const record *all, uint32_t case_index)
{
    return all->paces + (size_t)case_index * all->rounds;
}

static uint32_t look_at_pace(record *all)
{
    if (all->pace == NULL)
        return 0;
    const double probe = all->pace->probe(all->pace->context);
    for (uint32_t i = 0; i < all->pace_count; i++)
        if (probe < all->probes[i] * PERF_PACE_WITHIN && all->probes[i] < probe * PERF_PACE_WITHIN)
            return i;
    if (all->pace_count == PERF_PACES_MAX)
        return PERF_NO_PACE;
    all->probes[all->pace_count] = probe;
    return all->pace_count++;
}

static hl_status measure_once(record *all, uint32_t case_index, hl_error *error)
{
    const perf_case *const measured = &all->cases[case_index];
    double once[PERF_VALUES_MAX] = {0};
    hl_error reason = {.text = ""};
    const uint32_t before = look_at_pace(all);
    const hl_status status = measured->measure(measured->context, once, &reason);
    if (status != HL_OK)
        return hl_error_set(error, status, "%s: %s", measured->name, reason.text);
    const uint32_t after = look_at_pace(all);
    const uint32_t pace = before == after ? before : PERF_NO_PACE;
    pace_of(all, case_index)[all->rounds_run] = (uint8_t)pace;
    if (all->pace != NULL && all->pace->measured_at != NULL)
        all->pace->measured_at(all->pace->listener, pace);
    for (uint32_t value = 0; value < measured->value_count; value++)
        place_of(all, case_index, value)[all->rounds_run] = once[value];
    return HL_OK;
}

static uint32_t count_of_pace(const record *all, uint32_t case_index, uint32_t pace)
{
    uint32_t count = 0;
    for (uint32_t round = 0; round < all->rounds_run; round++)
        count += pace_of(all, case_index)[round] == pace;
    return count;
}

/* The pace of which the case that has fewest measurements has most; how many that are. */
static uint32_t best_pace(const record *all, uint32_t *ret_pace)
{
    uint32_t most = 0;
    for (uint32_t pace = 0; pace < PERF_PACES_MAX; pace++) {
        uint32_t fewest = UINT32_MAX;
        for (uint32_t i = 0; i < all->case_count; i++) {
            const uint32_t count = count_of_pace(all, i, pace);
            if (count < fewest)
                fewest = count;
        }
        if (fewest > most) {
            most = fewest;
            *ret_pace = pace;
        }
    }
    return most;
}

/* ---- rounds ---- */

static hl_status run_round(record *all, uint32_t repeats, perf_progress progress, hl_error *error)
{
    hl_status status = HL_OK;
    for (uint32_t turn = 0; status == HL_OK && turn < all->case_count; turn++) {
        const uint32_t index = (turn + all->rounds_run) % all->case_count;
        if (progress != NULL)
            progress(all->cases[index].name,
                     all->rounds_run < repeats ? all->rounds_run : repeats - 1, repeats);
        status = measure_once(all, index, error);
    }
    all->rounds_run++;
    return status;
}

static hl_status run_rounds(record *all, uint32_t repeats, perf_progress progress, hl_error *error)
{
    hl_status status = HL_OK;
    uint32_t pace = 0;
    while (status == HL_OK && all->rounds_run < all->rounds &&
           (all->rounds_run < repeats || best_pace(all, &pace) < repeats))
        status = run_round(all, repeats, progress, error);
    return status;
}

/* Of one case, by what is of this pace, or by all with PERF_NO_PACE. */
static void summarise_case(const record *all, uint32_t case_index, uint32_t pace)
{
    const perf_case *const measured = &all->cases[case_index];
    for (uint32_t value = 0; value < measured->value_count; value++) {
        double *const values = place_of(all, case_index, value);
        uint32_t count = 0;
        for (uint32_t round = 0; round < all->rounds_run; round++)
            if (pace == PERF_NO_PACE || pace_of(all, case_index)[round] == pace)
                values[count++] = values[round];
        measured->summaries[value] = perf_summarise(values, count);
    }
}

static void summarise(const record *all)
{
    uint32_t pace = PERF_NO_PACE;
    best_pace(all, &pace);
    uint32_t left_out = 0;
    for (uint32_t i = 0; i < all->case_count; i++) {
        summarise_case(all, i, pace);
        left_out += pace == PERF_NO_PACE ? 0 : all->rounds_run - count_of_pace(all, i, pace);
    }
    if (all->pace == NULL)
        return;
    all->pace->measured = all->rounds_run * all->case_count;
    all->pace->left_out = left_out;
    all->pace->pace = pace;
    all->pace->probed = pace == PERF_NO_PACE ? 0 : all->probes[pace];
}

hl_status perf_repeat_at_one_pace(const perf_case *cases, uint32_t case_count, uint32_t repeats,
                                  perf_pace *pace, perf_progress progress, hl_error *error)
{
    if (repeats == 0 || repeats > PERF_REPEATS_MAX)
        return hl_error_set(error, HL_INVALID, "repeats: %u is not in 1..%u", repeats,
                            PERF_REPEATS_MAX);
    record all = {.cases = cases, .case_count = case_count, .pace = pace};
    all.rounds = pace == NULL ? repeats : repeats * PERF_PACE_ROUNDS;
    all.values = calloc((size_t)case_count * PERF_VALUES_MAX * all.rounds, sizeof *all.values);
    all.paces = calloc((size_t)case_count * all.rounds, sizeof *all.paces);
    hl_status status = HL_OK;
    if (all.values == NULL || all.paces == NULL)
        status = hl_error_set(error, HL_NO_MEMORY, "no memory for %u repeats", repeats);
    if (status == HL_OK)
        status = run_rounds(&all, repeats, progress, error);
    if (status == HL_OK)
        summarise(&all);
    free(all.paces);
    free(all.values);
    return status;
}

hl_status perf_repeat(const perf_case *cases, uint32_t case_count, uint32_t repeats,
                      perf_progress progress, hl_error *error)
{
    return perf_repeat_at_one_pace(cases, case_count, repeats, NULL, progress, error);
}
