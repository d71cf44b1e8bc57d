#include "result.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/allocate.h"

perf_result *perf_result_create(const char *scenario, const perf_environment *environment,
                                const perf_floor *floor)
{
    perf_result *const result = hl_allocate(1, sizeof *result);
    if (result == NULL)
        return NULL;
    snprintf(result->scenario, sizeof result->scenario, "%s", scenario);
    result->environment = *environment;
    result->floor = *floor;
    result->notes = json_array();
    return result;
}

void perf_result_destroy(perf_result *result)
{
    if (result == NULL)
        return;
    for (uint32_t i = 0; i < result->distribution_count; i++) {
        free(result->distributions[i].ns);
        for (uint32_t pace = 0; pace <= PERF_PACES_MAX; pace++)
            free(result->distributions[i].of_pace[pace]);
    }
    free(result->distributions);
    free(result->rows);
    json_decref(result->notes);
    free(result);
}

/* Room for one more at the end of an array; false, and the result is marked, when there is none. */
static bool grow(perf_result *result, void **array, uint32_t count, size_t size)
{
    void *const larger = realloc(*array, ((size_t)count + 1) * size);
    if (larger == NULL) {
        result->out_of_memory = true;
        return false;
    }
    *array = larger;
    return true;
}

void perf_result_add(perf_result *result, const perf_row *row)
{
    void *rows = result->rows;
    if (!grow(result, &rows, result->row_count, sizeof *row))
        return;
    result->rows = rows;
    result->rows[result->row_count++] = *row;
}

/* Adds `ns` to *sum, which is made when there is none; false, and the result is marked: no memory.
 */
static bool merge(perf_result *result, hl_histogram **sum, const hl_histogram *ns)
{
    if (*sum == NULL) {
        *sum = hl_allocate(1, hl_histogram_size_bytes(PERF_HISTOGRAM_DIGITS));
        if (*sum == NULL) {
            result->out_of_memory = true;
            return false;
        }
        hl_histogram_init(*sum, PERF_HISTOGRAM_DIGITS);
    }
    hl_histogram_merge(*sum, ns);
    return true;
}

void perf_result_add_distribution(perf_result *result, const char *name, const hl_histogram *ns)
{
    for (uint32_t i = 0; i < result->distribution_count; i++) {
        if (strcmp(result->distributions[i].name, name) == 0) {
            merge(result, &result->distributions[i].ns, ns);
            return;
        }
    }
    void *all = result->distributions;
    if (!grow(result, &all, result->distribution_count, sizeof *result->distributions))
        return;
    result->distributions = all;
    perf_distribution *const added = &result->distributions[result->distribution_count];
    *added = (perf_distribution){.ns = NULL};
    snprintf(added->name, sizeof added->name, "%s", name);
    if (merge(result, &added->ns, ns))
        result->distribution_count++;
}

void perf_result_measured_at(void *context, uint32_t pace)
{
    perf_result *const result = context;
    for (uint32_t i = 0; i < result->distribution_count; i++) {
        perf_distribution *const distribution = &result->distributions[i];
        if (hl_histogram_count(distribution->ns) != 0 &&
            merge(result, &distribution->of_pace[pace], distribution->ns))
            hl_histogram_reset(distribution->ns);
    }
}

void perf_result_settle_pace(perf_result *result, uint32_t pace)
{
    for (uint32_t i = 0; i < result->distribution_count; i++) {
        perf_distribution *const distribution = &result->distributions[i];
        for (uint32_t of = 0; of <= PERF_PACES_MAX; of++) {
            if (distribution->of_pace[of] != NULL && (pace == PERF_NO_PACE || of == pace))
                hl_histogram_merge(distribution->ns, distribution->of_pace[of]);
            free(distribution->of_pace[of]);
            distribution->of_pace[of] = NULL;
        }
    }
}

void perf_result_note(perf_result *result, const char *format, ...)
{
    char text[400];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (json_array_append_new(result->notes, json_string(text)) != 0)
        result->out_of_memory = true;
}

void perf_figure_text(double figure, const char *unit, char *ret_text, size_t room)
{
    if (strstr(unit, "per_s") != NULL) {
        if (figure >= 1e6)
            snprintf(ret_text, room, "%.2f M/s", figure / 1e6);
        else if (figure >= 1e3)
            snprintf(ret_text, room, "%.2f k/s", figure / 1e3);
        else
            snprintf(ret_text, room, "%.2f /s", figure);
    } else if (strncmp(unit, "ns", 2) == 0) {
        if (figure >= 1e6)
            snprintf(ret_text, room, "%.2f ms", figure / 1e6);
        else if (figure >= 1e4)
            snprintf(ret_text, room, "%.2f us", figure / 1e3);
        else
            snprintf(ret_text, room, "%.1f ns", figure);
    } else if (strcmp(unit, "percent") == 0) {
        snprintf(ret_text, room, "%.2f %%", figure);
    } else {
        snprintf(ret_text, room, "%.2f", figure);
    }
}

static int name_width(const perf_result *result)
{
    size_t width = 4;
    for (uint32_t i = 0; i < result->row_count; i++) {
        const size_t bytes = strlen(result->rows[i].name);
        if (bytes > width)
            width = bytes;
    }
    return (int)width;
}

static void print_row(const perf_row *row, int width, FILE *stream)
{
    char median[24], low[24], high[24];
    perf_figure_text(row->figure.median, row->unit, median, sizeof median);
    perf_figure_text(row->figure.min, row->unit, low, sizeof low);
    perf_figure_text(row->figure.max, row->unit, high, sizeof high);
    fprintf(stream, "  %-*s %12s %12s %12s", width, row->name, median, low, high);
    if (row->times_floor > 0)
        fprintf(stream, "   %6.2f x floor", row->times_floor);
    else if (row->note[0] != '\0')
        fprintf(stream, "   %14s", "");
    fprintf(stream, "%s%s\n", row->note[0] == '\0' ? "" : "  ", row->note);
}

/* Where the machine's pace changed, some cases have more repeats of the one that counts. */
static void print_head(const perf_result *result, int width, FILE *stream)
{
    uint32_t least = UINT32_MAX, most = 0;
    for (uint32_t i = 0; i < result->row_count; i++) {
        const uint32_t count = result->rows[i].figure.count;
        least = count < least ? count : least;
        most = count > most ? count : most;
    }
    fprintf(stream, "\n%-*s %12s %12s %12s   (of %u", width + 2, result->scenario, "median", "min",
            "max", least);
    if (most != least)
        fprintf(stream, " to %u", most);
    fputs(" repeats)\n", stream);
}

void perf_result_print(const perf_result *result, FILE *stream)
{
    perf_environment_print(&result->environment, stream);
    fputc('\n', stream);
    perf_floor_print(&result->floor, stream);
    const int width = name_width(result);
    if (result->row_count != 0)
        print_head(result, width, stream);
    for (uint32_t i = 0; i < result->row_count; i++)
        print_row(&result->rows[i], width, stream);
    size_t index;
    const json_t *note;
    if (json_array_size(result->notes) != 0)
        fputc('\n', stream);
    json_array_foreach(result->notes, index, note)
        fprintf(stream, "note: %s\n", json_string_value(note));
}

static json_t *row_json(const perf_row *row)
{
    json_t *const object = json_pack(
        "{s:s, s:s, s:s, s:f, s:f, s:f, s:i}", "case", row->name, "unit", row->unit, "better",
        row->lower_is_better ? "lower" : "higher", "median", row->figure.median, "min",
        row->figure.min, "max", row->figure.max, "repeats", (int)row->figure.count);
    if (row->times_floor > 0)
        json_object_set_new(object, "times_floor", json_real(row->times_floor));
    if (row->note[0] != '\0')
        json_object_set_new(object, "note", json_string(row->note));
    return object;
}

json_t *perf_result_json(const perf_result *result)
{
    json_t *const object = json_object();
    json_object_set_new(object, "scenario", json_string(result->scenario));
    json_object_set_new(object, "environment", perf_environment_json(&result->environment));
    json_object_set_new(object, "floor", perf_floor_json(&result->floor));
    json_object_set(object, "notes", result->notes);
    json_t *const rows = json_array();
    for (uint32_t i = 0; i < result->row_count; i++)
        json_array_append_new(rows, row_json(&result->rows[i]));
    json_object_set_new(object, "rows", rows);
    return object;
}
