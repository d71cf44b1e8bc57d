#include "affinity/topology.h"

#include <sched.h>
#include <unistd.h>

#include "machines.h"

typedef struct facts {
    const char *name;
    uint32_t packages, cores, cpus, numa_nodes, l3_groups;
    bool l3_known;
} facts;

/* As the table of the machine files' README counts them; without an L3, a package is a group. */
static const facts expected[] = {
    {"128core-2s-arm64-4numa-clusters", 2, 128, 128, 4, 4, true},
    {"128core-2s-epyc7742-smt-8numa-32l3-nic", 2, 128, 256, 8, 32, true},
    {"16core-1s-tr2950x-smt-2numa-4l3", 1, 16, 32, 2, 4, true},
    {"16core-2s-nosmt-2numa-manynics", 2, 16, 16, 2, 2, true},
    {"24core-2s-e5-2680v3-nosmt-4l3", 2, 24, 24, 1, 4, true},
    {"24core-2s-xeon6146-nosmt-1numa", 2, 24, 24, 1, 2, true},
    {"24core-2s-xeon6146-smt-2numa-nic", 2, 24, 48, 2, 2, true},
    {"24pu-2s-12core-smt-2numa-nic", 2, 12, 24, 2, 2, true},
    {"2core-qemu-vm", 2, 2, 2, 1, 2, false},
    {"48core-2s-epyc7402-smt-8numa-16l3-nic", 2, 48, 96, 8, 16, true},
    {"hybrid-i7-1370p-6p8e", 1, 14, 20, 1, 1, true},
    {"offline-pus-4s", 4, 6, 7, 1, 4, true},
};

Test(topology, real_machines_are_counted_right)
{
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        const facts *const want = &expected[i];
        hl_topology *const found = machine_from_folder(want->name);
        cr_expect_eq(found->packages, want->packages, "%s: %u", want->name, found->packages);
        cr_expect_eq(found->cores, want->cores, "%s: %u", want->name, found->cores);
        cr_expect_eq(found->cpu_count, want->cpus, "%s: %u", want->name, found->cpu_count);
        cr_expect_eq(found->numa_nodes, want->numa_nodes, "%s: %u", want->name, found->numa_nodes);
        cr_expect_eq(found->l3_groups, want->l3_groups, "%s: %u", want->name, found->l3_groups);
        cr_expect_eq(found->l3_known, want->l3_known, "%s", want->name);
        cr_expect_eq(found->allowed, want->cpus, "%s", want->name);
        cr_expect_not(found->this_machine, "%s", want->name);
        hl_topology_free(found);
    }
}

static void check_numbers(const hl_topology *topology, const char *name)
{
    uint32_t cores = 0, packages = 0, l3_groups = 0, allowed = 0;
    for (uint32_t i = 0; i < topology->cpu_count; i++) {
        const hl_cpu *const cpu = &topology->cpus[i];
        cores = cpu->core >= cores ? cpu->core + 1 : cores;
        packages = cpu->package >= packages ? cpu->package + 1 : packages;
        l3_groups = cpu->l3 >= l3_groups ? cpu->l3 + 1 : l3_groups;
        allowed += cpu->allowed;
        cr_expect_eq(hl_topology_cpu(topology, cpu->os_index), cpu, "%s", name);
        const bool new_core = i == 0 || cpu[-1].core != cpu->core;
        cr_expect_eq(cpu->smt_rank, new_core ? 0 : cpu[-1].smt_rank + 1, "%s", name);
    }
    cr_expect_eq(cores, topology->cores, "%s", name);
    cr_expect_eq(packages, topology->packages, "%s", name);
    cr_expect_eq(l3_groups, topology->l3_groups, "%s", name);
    cr_expect_eq(allowed, topology->allowed, "%s", name);
}

Test(topology, numbers_have_no_gaps)
{
    cr_assert_gt(for_each_machine_file(check_numbers), 0);
}

Test(topology, p_cores_are_a_higher_class_than_e_cores)
{
    hl_topology *const hybrid = machine_from_folder("hybrid-i7-1370p-6p8e");
    cr_assert_eq(hybrid->cpu_count, 6 * 2 + 8);
    for (uint32_t i = 0; i < hybrid->cpu_count; i++)
        cr_expect_eq(hybrid->cpus[i].efficiency_class, hybrid->cpus[i].os_index < 12 ? 1 : 0);
    hl_topology_free(hybrid);
}

Test(topology, a_synthetic_machine)
{
    hl_topology *const topology = machine("pack:2 l3:2 core:6 pu:2", NULL);
    cr_assert_eq(topology->cpu_count, 48);
    cr_assert_eq(topology->cores, 24);
    cr_assert_eq(topology->l3_groups, 4);
    cr_assert_eq(topology->packages, 2);
    cr_assert_eq(topology->allowed, 48);
    cr_assert(topology->l3_known);
    cr_assert_null(hl_topology_cpu(topology, 48));
    hl_topology_free(topology);
}

Test(topology, allowed_cpus_restrict_and_leave_the_rest_in_sight)
{
    hl_topology *const topology = machine("pack:1 core:4 pu:2", "0-2,6,40-");
    cr_assert_eq(topology->cpu_count, 8);
    cr_assert_eq(topology->allowed, 4);
    for (uint32_t i = 0; i < 8; i++)
        cr_assert_eq(topology->cpus[i].allowed, i <= 2 || i == 6);
    hl_topology_free(topology);
}

static void expect_refusal(const hl_topology_source *source, hl_status status, const char *words)
{
    hl_topology *const untouched = (hl_topology *)(uintptr_t)1, *topology = untouched;
    hl_error error = {0};
    cr_expect_eq(hl_topology_load(source, &topology, &error), status, "%s", error.text);
    cr_expect_not_null(strstr(error.text, words), "\"%s\" lacks \"%s\"", error.text, words);
    cr_expect_eq(topology, untouched, "ret_topology was touched");
}

Test(topology, bad_sources_are_refused_in_words)
{
    expect_refusal(&(hl_topology_source){.xml_path = "/not/there.xml"}, HL_BAD_INPUT,
                   "/not/there.xml: No such file");
    expect_refusal(&(hl_topology_source){.xml_path = "/tmp"}, HL_BAD_INPUT, "is a directory");
    expect_refusal(&(hl_topology_source){.xml_path = "/proc/self/status"}, HL_BAD_INPUT,
                   "cannot be understood");
    expect_refusal(&(hl_topology_source){.synthetic = "pack:2 cores"}, HL_BAD_INPUT,
                   "pack:2 core:12 pu:2");
    expect_refusal(&(hl_topology_source){.synthetic = "core:4 pu:1", .allowed_cpus = "9-12"},
                   HL_BAD_INPUT, "there are 0-3");
    expect_refusal(&(hl_topology_source){.synthetic = "core:4 pu:1", .allowed_cpus = "two"},
                   HL_BAD_INPUT, "\"two\" is no list");
    expect_refusal(&(hl_topology_source){.synthetic = "core:4 pu:1", .xml_path = "x"}, HL_INVALID,
                   "both");
}

Test(topology, this_machine_honours_the_affinity_mask)
{
    cpu_set_t mask;
    cr_assert_eq(sched_getaffinity(0, sizeof mask, &mask), 0);
    hl_topology *whole = NULL, *part = NULL;
    hl_error error = {0};
    cr_assert_eq(hl_topology_load(NULL, &whole, &error), HL_OK, "%s", error.text);
    cr_assert_eq((int)whole->allowed, CPU_COUNT(&mask));
    cr_assert(whole->this_machine);

    uint32_t last = 0;
    for (uint32_t i = 0; i < whole->cpu_count; i++)
        if (whole->cpus[i].allowed)
            last = whole->cpus[i].os_index;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(last, &one);
    cr_assert_eq(sched_setaffinity(0, sizeof one, &one), 0);
    cr_assert_eq(hl_topology_load(NULL, &part, &error), HL_OK, "%s", error.text);
    cr_assert_eq(part->allowed, 1);
    cr_assert(hl_topology_cpu(part, last)->allowed);
    cr_assert_eq(part->cpu_count, whole->cpu_count);
    cr_assert_eq(sched_getaffinity(0, sizeof mask, &mask), 0);
    cr_assert(CPU_EQUAL(&mask, &one), "loading moved the caller");
    hl_topology_free(whole);
    hl_topology_free(part);
}

Test(topology, free_takes_null)
{
    hl_topology_free(NULL);
}
