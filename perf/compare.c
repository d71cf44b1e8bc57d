#include "compare.h"

#include <stdlib.h>
#include <string.h>

#include "base/allocate.h"
#include "base/error.h"
#include "perf/result.h"

#define WANTED "a result of `hotlane perf SCENARIO --json` is wanted"

typedef struct row_view {
    const char *name;
    const char *unit;
    bool lower_is_better;
    double median, min, max;
    bool few_repeats; /* it says so */
} row_view;

/* A figure by its name among scenarios, or by that among peers. */
static const json_t *figure(const json_t *row, const char *name, const char *beside_peers)
{
    const json_t *const value = json_object_get(row, name);
    return value != NULL ? value : json_object_get(row, beside_peers);
}

/* False: it is no row. */
static bool view(const json_t *row, row_view *ret_view)
{
    const json_t *const median = figure(row, "median", "hotlane");
    const json_t *const min = figure(row, "min", "hotlane_min");
    const json_t *const max = figure(row, "max", "hotlane_max");
    const char *const name = json_string_value(json_object_get(row, "case"));
    const char *const unit = json_string_value(json_object_get(row, "unit"));
    if (name == NULL || unit == NULL || !json_is_number(median) || !json_is_number(min) ||
        !json_is_number(max))
        return false;
    const char *const better = json_string_value(json_object_get(row, "better"));
    ret_view->name = name;
    ret_view->unit = unit;
    ret_view->lower_is_better =
        better != NULL ? strcmp(better, "lower") == 0 : strstr(unit, "per_s") == NULL;
    ret_view->median = json_number_value(median);
    ret_view->min = json_number_value(min);
    ret_view->max = json_number_value(max);
    const json_t *const repeats = json_object_get(row, "repeats");
    ret_view->few_repeats =
        json_is_integer(repeats) && json_integer_value(repeats) < PERF_COMPARED_REPEATS;
    return true;
}

/* Every row can be read: then a comparison need not stop halfway. */
static hl_status check_rows(const char *path, const json_t *result, hl_error *error)
{
    size_t index;
    const json_t *row;
    row_view unused;
    const json_t *const rows = json_object_get(result, "rows");
    if (!json_is_array(rows))
        return hl_error_set(error, HL_BAD_INPUT, "%s: has no \"rows\"; " WANTED, path);
    json_array_foreach(rows, index, row)
    {
        if (!view(row, &unused))
            return hl_error_set(error, HL_BAD_INPUT,
                                "%s: rows[%zu]: lacks case, unit, median, min or max; " WANTED,
                                path, index);
    }
    return HL_OK;
}

hl_status perf_compare_load(const char *path, json_t **ret_result, hl_error *error)
{
    json_error_t place;
    json_t *const result = json_load_file(path, 0, &place);
    if (result == NULL && place.line <= 0)
        return hl_error_set(error, HL_SYSTEM, "%s: %s", path, place.text);
    if (result == NULL)
        return hl_error_set(error, HL_BAD_INPUT, "%s:%d:%d: %s; " WANTED, path, place.line,
                            place.column, place.text);
    const hl_status status = check_rows(path, result, error);
    if (status == HL_OK)
        *ret_result = result;
    else
        json_decref(result);
    return status;
}

static bool find(const json_t *result, const row_view *wanted, row_view *ret_view)
{
    size_t index;
    const json_t *row;
    json_array_foreach(json_object_get(result, "rows"), index, row)
    {
        if (view(row, ret_view) && strcmp(ret_view->name, wanted->name) == 0 &&
            strcmp(ret_view->unit, wanted->unit) == 0)
            return true;
    }
    return false;
}

static perf_verdict judge(const row_view *before, const row_view *after)
{
    const bool above = after->min > before->max;
    const bool below = after->max < before->min;
    if (!above && !below)
        return PERF_SAME;
    return above != before->lower_is_better ? PERF_BETTER : PERF_WORSE;
}

static void add(perf_comparison *comparison, const row_view *before, const row_view *after,
                perf_verdict verdict)
{
    const row_view *const named = before != NULL ? before : after;
    perf_change *const change = &comparison->changes[comparison->count++];
    *change = (perf_change){.name = named->name, .unit = named->unit, .verdict = verdict};
    if (before != NULL)
        change->before = before->median;
    if (after != NULL)
        change->after = after->median;
    if (before != NULL && after != NULL && before->median != 0)
        change->ratio = after->median / before->median;
    if (before != NULL && after != NULL)
        comparison->few_repeats += before->few_repeats || after->few_repeats;
    comparison->counts[verdict]++;
}

static void compare_rows(const json_t *before, const json_t *after, perf_comparison *comparison)
{
    size_t index;
    const json_t *row;
    row_view old, new;
    json_array_foreach(json_object_get(before, "rows"), index, row)
    {
        view(row, &old);
        if (find(after, &old, &new))
            add(comparison, &old, &new, judge(&old, &new));
        else
            add(comparison, &old, NULL, PERF_ONLY_BEFORE);
    }
    json_array_foreach(json_object_get(after, "rows"), index, row)
    {
        view(row, &new);
        if (!find(before, &new, &old))
            add(comparison, NULL, &new, PERF_ONLY_AFTER);
    }
}

static double round_trip(const json_t *result)
{
    return json_number_value(
        json_object_get(json_object_get(result, "floor"), "round_trip_1_line_ns"));
}

/* Whether both have a floor, and that of another pace: of a machine whose CPUs are moved, two runs
 * of one build are such. */
static bool paces_differ(const json_t *before, const json_t *after)
{
    const double was = round_trip(before);
    const double is = round_trip(after);
    return was > 0 && is > 0 && (was > is * PERF_PACE_WITHIN || is > was * PERF_PACE_WITHIN);
}

/* What makes two results hard to compare. */
static void compare_environments(const json_t *before, const json_t *after,
                                 perf_comparison *comparison)
{
    static char *const members[PERF_COMPARED] = {
        "cpu",      "cpus_usable", "kernel", "kernel_command_line", "governor", "scheduler",
        "compiler", "flags",       "cores"};
    const json_t *const old = json_object_get(before, "environment");
    const json_t *const new = json_object_get(after, "environment");
    for (size_t i = 0; i < PERF_COMPARED; i++) {
        const json_t *const was = json_object_get(old, members[i]);
        const json_t *const is = json_object_get(new, members[i]);
        if (was != is && !json_equal(was, is)) /* NULL, of both, is not equal to itself */
            comparison->differences[comparison->difference_count++] = members[i];
    }
    static char floor[] = "the floor";
    if (paces_differ(before, after))
        comparison->differences[comparison->difference_count++] = floor;
}

hl_status perf_compare(const json_t *before, const json_t *after, perf_comparison *ret_comparison,
                       hl_error *error)
{
    const char *const old = json_string_value(json_object_get(before, "scenario"));
    const char *const new = json_string_value(json_object_get(after, "scenario"));
    if (old != NULL && new != NULL && strcmp(old, new) != 0)
        return hl_error_set(error, HL_INVALID,
                            "the results are of different scenarios, %s and %s: compare two of "
                            "one",
                            old, new);
    const size_t rows = json_array_size(json_object_get(before, "rows")) +
                        json_array_size(json_object_get(after, "rows"));
    perf_comparison comparison = {.changes = hl_allocate(rows, sizeof *comparison.changes)};
    if (comparison.changes == NULL)
        return hl_error_set(error, HL_NO_MEMORY, "no memory for %zu rows", rows);
    compare_rows(before, after, &comparison);
    compare_environments(before, after, &comparison);
    *ret_comparison = comparison;
    return HL_OK;
}

void perf_compare_free(perf_comparison *comparison)
{
    free(comparison->changes);
    comparison->changes = NULL;
    comparison->count = 0;
}

static const char *const verdict_names[PERF_VERDICTS] = {
    [PERF_SAME] = "same",
    [PERF_BETTER] = "better",
    [PERF_WORSE] = "worse",
    [PERF_ONLY_BEFORE] = "only before",
    [PERF_ONLY_AFTER] = "only after",
};

static int name_width(const perf_comparison *comparison)
{
    size_t width = 4;
    for (uint32_t i = 0; i < comparison->count; i++) {
        const size_t bytes = strlen(comparison->changes[i].name);
        width = bytes > width ? bytes : width;
    }
    return (int)width;
}

static void print_change(const perf_change *change, int width, FILE *stream)
{
    char before[24] = "-", after[24] = "-";
    if (change->verdict != PERF_ONLY_AFTER)
        perf_figure_text(change->before, change->unit, before, sizeof before);
    if (change->verdict != PERF_ONLY_BEFORE)
        perf_figure_text(change->after, change->unit, after, sizeof after);
    fprintf(stream, "  %-*s %14s -> %14s", width, change->name, before, after);
    if (change->ratio != 0)
        fprintf(stream, "   x %.3f", change->ratio);
    fputc('\n', stream);
}

void perf_compare_print(const perf_comparison *comparison, FILE *stream)
{
    static const perf_verdict shown[] = {PERF_WORSE, PERF_BETTER, PERF_ONLY_BEFORE,
                                         PERF_ONLY_AFTER};
    for (uint32_t i = 0; i < comparison->difference_count; i++)
        fprintf(stream, "%s differs: what follows may come from that\n",
                comparison->differences[i]);
    if (comparison->few_repeats != 0)
        fprintf(stream,
                "%u rows are of fewer than %d repeats: what lies outside their range may be "
                "chance\n",
                comparison->few_repeats, PERF_COMPARED_REPEATS);
    const int width = name_width(comparison);
    for (size_t s = 0; s < sizeof shown / sizeof *shown; s++) {
        if (comparison->counts[shown[s]] == 0)
            continue;
        fprintf(stream, "%s:\n", verdict_names[shown[s]]);
        for (uint32_t i = 0; i < comparison->count; i++)
            if (comparison->changes[i].verdict == shown[s])
                print_change(&comparison->changes[i], width, stream);
    }
    fprintf(stream,
            "%u better, %u worse, %u the same within the spread of both (ranges of all repeats "
            "overlap)\n",
            comparison->counts[PERF_BETTER], comparison->counts[PERF_WORSE],
            comparison->counts[PERF_SAME]);
}

json_t *perf_compare_json(const perf_comparison *comparison)
{
    json_t *const differences = json_array();
    for (uint32_t i = 0; i < comparison->difference_count; i++)
        json_array_append_new(differences, json_string(comparison->differences[i]));
    json_t *const changes = json_array();
    for (uint32_t i = 0; i < comparison->count; i++) {
        const perf_change *const change = &comparison->changes[i];
        json_t *const object = json_pack("{s:s, s:s, s:s}", "case", change->name, "unit",
                                         change->unit, "verdict", verdict_names[change->verdict]);
        if (change->verdict != PERF_ONLY_AFTER)
            json_object_set_new(object, "before", json_real(change->before));
        if (change->verdict != PERF_ONLY_BEFORE)
            json_object_set_new(object, "after", json_real(change->after));
        if (change->ratio != 0)
            json_object_set_new(object, "ratio", json_real(change->ratio));
        json_array_append_new(changes, object);
    }
    return json_pack(
        "{s:i, s:i, s:i, s:i, s:o, s:o}", "better", (int)comparison->counts[PERF_BETTER], "worse",
        (int)comparison->counts[PERF_WORSE], "same", (int)comparison->counts[PERF_SAME],
        "few_repeats", (int)comparison->few_repeats, "environment_differs", differences, "changes",
        changes);
}
