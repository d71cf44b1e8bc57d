/*
 * The picture's heat map, for machines that cannot be measured here: ways between CPUs are made up
 * by how far apart they are. HOTLANE_PICTURES names a folder that gets the pictures, to be looked
 * at.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/topology_report.h"

static double way_ns(const hl_cpu *a, const hl_cpu *b)
{
    if (a->core == b->core)
        return 9.0;
    if (a->l3 == b->l3)
        return 28.0 + (a->core * 7 + b->core * 7) % 9;
    return a->package == b->package ? 92.0 : 178.0 + (a->core + b->core) % 13;
}

static topology_measures *made_up(const hl_topology *topology)
{
    topology_measures *const measures = calloc(1, sizeof *measures);
    const uint32_t count = topology->cpu_count;
    measures->cpu_count = count;
    measures->cpus = calloc(count, sizeof *measures->cpus);
    measures->gaps = calloc(count, sizeof *measures->gaps);
    measures->hops_ns = calloc((size_t)count * count, sizeof *measures->hops_ns);
    for (uint32_t i = 0; i < count; i++) {
        measures->cpus[i] = topology->cpus[i].os_index;
        for (uint32_t j = 0; j < count; j++)
            if (i != j)
                measures->hops_ns[i * count + j] = way_ns(&topology->cpus[i], &topology->cpus[j]);
    }
    return measures;
}

static void keep(const char *name, const char *text)
{
    const char *const folder = getenv("HOTLANE_PICTURES");
    char path[512];
    if (folder == NULL)
        return;
    snprintf(path, sizeof path, "%s/%s.svg", folder, name);
    FILE *const file = fopen(path, "w");
    cr_assert_not_null(file);
    fputs(text, file);
    fclose(file);
}

static char *draw(const char *name, const char *description)
{
    const hl_topology_source source = {.synthetic = description};
    const hl_thread_request threads[] = {
        {.name = "order <&>", .role = HL_ROLE_PUBLISHER},
        {.name = "fill", .role = HL_ROLE_PARTITION, .domain = "fill"}};
    const hl_plan_request request = {.threads = threads + 1, .thread_count = 1};
    hl_topology *topology = NULL;
    hl_plan *plan = NULL;
    cr_assert_eq(hl_topology_load(&source, &topology, NULL), HL_OK);
    cr_assert_eq(hl_plan_make(topology, &request, &plan, NULL), HL_OK);
    strcpy(plan->threads[0].name, threads[0].name); /* what XML must not take for its own */
    topology_measures *const measures = made_up(topology);
    topology_report report = {.topology = topology, .plan = plan, .measures = measures};
    snprintf(report.source, sizeof report.source, "%s", description);
    char *text = NULL;
    size_t size = 0;
    FILE *const stream = open_memstream(&text, &size);
    cr_assert(topology_svg(&report, stream));
    fclose(stream);
    keep(name, text);
    free(measures->cpus);
    free(measures->gaps);
    free(measures->hops_ns);
    free(measures);
    hl_plan_free(plan);
    hl_topology_free(topology);
    return text;
}

/* Not by strstr: a checked one looks for the end of megabytes each time. */
static uint32_t occurrences(const char *text, const char *words)
{
    uint32_t count = 0;
    const size_t length = strlen(words);
    for (; *text != '\0'; text++)
        count += strncmp(text, words, length) == 0;
    return count;
}

Test(topology_svg, a_heat_map_has_a_cell_a_pair_and_a_legend_in_ns)
{
    char *const text = draw("heat-24", "pack:2 [numa] l3:1 core:12 pu:1");
    cr_expect_not_null(strstr(text, "one way of a cache line"));
    cr_expect_eq(occurrences(text, "stroke=\"#ffffff\""), 24 * 23, "cells");
    cr_expect_gt(occurrences(text, ">178<"), 1, "numbers in the cells");
    cr_expect_not_null(strstr(text, " ns</text>"), "the legend's unit");
    free(text);
}

Test(topology_svg, a_heat_map_of_many_cpus_has_cells_without_numbers)
{
    char *const text = draw("heat-192", "pack:2 [numa] l3:12 core:8 pu:1");
    cr_expect_gt(occurrences(text, "<rect"), 192 * 191);
    cr_expect_eq(occurrences(text, ">178<"), 1, "once, as a CPU's number");
    free(text);
}

Test(topology_svg, names_cannot_break_the_xml)
{
    char *const text = draw("escaped", "pack:1 core:4 pu:2");
    cr_expect_not_null(strstr(text, "order &lt;&amp;&gt;"));
    cr_expect_null(strstr(text, "order <"));
    free(text);
}
