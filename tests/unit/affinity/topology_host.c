/*
 * What a topology takes from /proc and /sys, and its devices, memory and caches.
 */
#include "affinity/topology.h"

#include "captured.h"
#include "machines.h"

TestSuite(topology_host, .init = captured_make, .fini = captured_unmake);

static hl_topology *load(const char *synthetic, hl_host *host)
{
    const hl_topology_source source = {.synthetic = synthetic, .host = host};
    hl_topology *topology = NULL;
    hl_error error = {0};
    cr_assert_eq(hl_topology_load(&source, &topology, &error), HL_OK, "%s", error.text);
    return topology;
}

/* Those CPUs of pack:1 core:8 pu:1 for which `wanted` holds, a bit each. */
static uint32_t cpus_that(bool (*wanted)(const hl_cpu *))
{
    hl_host *const host = captured_open();
    hl_topology *const topology = load("pack:1 core:8 pu:1", host);
    uint32_t bits = 0;
    for (uint32_t i = 0; i < topology->cpu_count; i++)
        bits |= (uint32_t)wanted(&topology->cpus[i]) << topology->cpus[i].os_index;
    hl_topology_free(topology);
    hl_host_close(host);
    return bits;
}

static bool is_allowed(const hl_cpu *cpu)
{
    return cpu->allowed;
}

static bool is_isolated(const hl_cpu *cpu)
{
    return cpu->isolated;
}

static bool takes_interrupts(const hl_cpu *cpu)
{
    return cpu->takes_interrupts;
}

Test(topology_host, a_mask_of_what_is_not_isolated_takes_no_isolated_cpu_away)
{
    captured_write("/sys/devices/system/cpu/isolated", "4-7\n");
    captured_write("/proc/self/status", "Cpus_allowed_list:\t0-3\n");
    cr_expect_eq(cpus_that(is_isolated), 0xf0);
    cr_expect_eq(cpus_that(is_allowed), 0xff, "every process begins with that mask");
    captured_write("/proc/self/status", "Cpus_allowed_list:\t0-2\n");
    cr_expect_eq(cpus_that(is_allowed), 0x07, "somebody meant that mask");
    captured_write("/sys/devices/system/cpu/isolated", "\n");
    captured_write("/proc/self/status", "Cpus_allowed_list:\t0-3\n");
    cr_expect_eq(cpus_that(is_allowed), 0x0f);
}

Test(topology_host, cpus_with_more_bound_interrupts_than_others_are_marked)
{
    captured_write("/proc/irq/10/smp_affinity_list", "1\n");
    captured_write("/proc/irq/11/smp_affinity_list", "2-3\n");
    captured_write("/proc/irq/12/smp_affinity_list", "0-7\n"); /* anywhere: says nothing */
    cr_expect_eq(cpus_that(takes_interrupts), 0x0e);
    captured_path("/run/irqbalance/");
    cr_expect_eq(cpus_that(takes_interrupts), 0, "a daemon moves them about");
    captured_write("/proc/irq/default_smp_affinity", "03\n");
    cr_expect_eq(cpus_that(takes_interrupts), 0x03);
    captured_write("/proc/irq/default_smp_affinity", "ff\n");
    cr_expect_eq(cpus_that(takes_interrupts), 0);
}

Test(topology_host, one_bound_interrupt_for_each_cpu_marks_none)
{
    for (int i = 0; i < 8; i++) {
        char path[64], cpu[8];
        snprintf(path, sizeof path, "/proc/irq/%d/smp_affinity_list", 30 + i);
        snprintf(cpu, sizeof cpu, "%d\n", i);
        captured_write(path, cpu);
    }
    cr_expect_eq(cpus_that(takes_interrupts), 0);
}

Test(topology_host, a_captured_quota_is_read)
{
    captured_write("/proc/self/cgroup", "0::/\n");
    captured_write("/sys/fs/cgroup/cpu.max", "250000 100000\n");
    hl_host *const host = captured_open();
    hl_topology *const topology = load("pack:1 core:8 pu:1", host);
    cr_expect_float_eq(topology->cpu_quota, 2.5, 1e-9);
    cr_expect_not(topology->this_machine);
    hl_topology_free(topology);
    hl_host_close(host);
}

Test(topology_host, a_capture_that_does_not_tell_its_cpus_is_refused)
{
    hl_host *const host = captured_open();
    const hl_topology_source source = {.host = host};
    hl_topology *topology = NULL;
    hl_error error = {0};
    cr_expect_eq(hl_topology_load(&source, &topology, &error), HL_BAD_INPUT);
    cr_expect_not_null(strstr(error.text, "give them with --input"), "%s", error.text);
    cr_expect_null(getenv("HWLOC_FSROOT"));
    hl_host_close(host);
}

static hl_topology *load_file(const char *name)
{
    char path[2048];
    snprintf(path, sizeof path, "%s/%s.xml", topology_folder(), name);
    const hl_topology_source source = {.xml_path = path, .want_devices = true};
    hl_topology *topology = NULL;
    hl_error error = {0};
    cr_assert_eq(hl_topology_load(&source, &topology, &error), HL_OK, "%s", error.text);
    return topology;
}

Test(topology_devices, network_devices_know_their_node)
{
    hl_topology *const topology = load_file("16core-2s-nosmt-2numa-manynics");
    static const struct {
        const char *name;
        int node;
    } wanted[] = {{"eth0", 0}, {"usnic_1", 0}, {"eth6", 1}, {"eth7", 1}};
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        const hl_device *const device = hl_topology_device(topology, wanted[i].name);
        cr_assert_not_null(device, "%s", wanted[i].name);
        cr_expect_eq(device->kind, HL_DEVICE_NETWORK);
        cr_expect_eq(device->numa_node, wanted[i].node, "%s", wanted[i].name);
    }
    cr_expect_null(hl_topology_device(topology, "eth99"));
    hl_topology_free(topology);
}

Test(topology_devices, nodes_caches_and_models_are_described)
{
    hl_topology *const topology = load_file("24core-2s-xeon6146-smt-2numa-nic");
    cr_expect_eq(topology->node_count, 2);
    cr_expect_eq(topology->nodes[0].package, 0);
    cr_expect_eq(topology->nodes[1].package, 1);
    cr_expect_gt(topology->nodes[0].memory_bytes, 90ull << 30);
    cr_expect_eq(topology->dies, 2);
    cr_expect_not_null(strstr(topology->model, "Gold 6146"), "%s", topology->model);
    cr_expect_eq(topology->caches[0].level, 3);
    cr_expect_eq(topology->caches[0].count, 2);
    cr_expect_eq(topology->caches[0].cpus_each, 24);
    hl_topology_free(topology);
}

Test(topology_devices, the_xml_of_a_capture_names_nobody_and_loads_as_the_same_machine)
{
    hl_topology *const topology = load_file("hybrid-i7-1370p-6p8e");
    cr_assert_not_null(topology->xml);
    cr_expect_null(strstr(topology->xml, "HostName"));
    cr_expect_null(strstr(topology->xml, "DMI"));
    cr_expect_null(strstr(topology->xml, "Address"));
    char path[] = "/tmp/hotlane-machine-XXXXXX";
    const int descriptor = mkstemp(path);
    FILE *const file = fdopen(descriptor, "w");
    fputs(topology->xml, file);
    fclose(file);
    hl_topology *const again = machine_from_file(path);
    remove(path);
    cr_assert_eq(again->cpu_count, topology->cpu_count);
    cr_expect_eq(again->efficiency_classes, 2);
    cr_expect_eq(memcmp(again->cpus, topology->cpus, topology->cpu_count * sizeof *again->cpus), 0);
    hl_topology_free(again);
    hl_topology_free(topology);
}
