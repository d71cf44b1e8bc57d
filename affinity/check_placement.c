/*
 * Checks of the plan itself: what the machine's shape does to it.
 */
#include <string.h>

#include "affinity/check_look.h"
#include "affinity/sentence.h"

static void look_plan(const hl_check_look *look, hl_finding *finding)
{
    const hl_plan *const plan = look->plan;
    uint32_t errors = 0;
    char text[sizeof finding->value] = "";
    for (uint32_t i = 0; i < plan->warning_count; i++) {
        errors += strncmp(plan->warnings[i], "error: ", 7) == 0;
        hl_sentence_add(text, sizeof text, "%s%s", i == 0 ? "" : "; ", plan->warnings[i]);
    }
    if (plan->warning_count == 0)
        hl_found(finding, HL_CHECK_OK, "every hot thread has its place");
    else
        hl_found(finding, errors > 0 ? HL_CHECK_FAIL : HL_CHECK_WARN, "%s", text);
}

/* Distinct values of one fact (L3 group, package) over the partitions. */
static uint32_t count_groups(const hl_plan *plan, uint32_t (*fact)(const hl_plan_thread *))
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < plan->thread_count; i++) {
        bool is_new = plan->threads[i].role == HL_ROLE_PARTITION;
        for (uint32_t j = 0; j < i && is_new; j++)
            is_new = plan->threads[j].role != HL_ROLE_PARTITION ||
                     fact(&plan->threads[j]) != fact(&plan->threads[i]);
        count += is_new;
    }
    return count;
}

static uint32_t l3_of(const hl_plan_thread *thread)
{
    return thread->l3;
}

static uint32_t package_of(const hl_plan_thread *thread)
{
    return thread->package;
}

static uint32_t partitions_of(const hl_plan *plan)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < plan->thread_count; i++)
        count += plan->threads[i].role == HL_ROLE_PARTITION;
    return count;
}

/* The most cores that one L3 group (or package) could give to partitions. */
static uint32_t largest_group(const hl_check_look *look, bool by_l3)
{
    const hl_topology *const topology = look->topology;
    uint32_t largest = 0, cores = 0;
    for (uint32_t i = 0; i < topology->cpu_count; i++) {
        const hl_cpu *const cpu = &topology->cpus[i];
        const hl_cpu *const before = i > 0 ? cpu - 1 : NULL;
        if (before == NULL || (by_l3 ? before->l3 != cpu->l3 : before->package != cpu->package))
            cores = 0;
        if (cpu->allowed && cpu->smt_rank == 0 &&
            (int)cpu->os_index != look->plan->housekeeping_cpu)
            cores++;
        if (cores > largest)
            largest = cores;
    }
    return largest;
}

static void look_groups(const hl_check_look *look, hl_finding *finding, bool by_l3,
                        const char *name)
{
    const uint32_t partitions = partitions_of(look->plan);
    const uint32_t groups = count_groups(look->plan, by_l3 ? l3_of : package_of);
    const uint32_t room = largest_group(look, by_l3);
    if (groups <= 1)
        hl_found(finding, HL_CHECK_OK, "all %u partitions in one %s", partitions, name);
    else if (room < partitions)
        hl_found(finding, HL_CHECK_OK,
                 "%u partitions in %u %ss; no %s has more than %u core%s for them", partitions,
                 groups, name, name, room, room == 1 ? "" : "s");
    else
        hl_found(finding, HL_CHECK_WARN, "%u partitions are spread over %u %ss", partitions, groups,
                 name);
}

static void look_l3(const hl_check_look *look, hl_finding *finding)
{
    if (look->topology->l3_known)
        look_groups(look, finding, true, "L3");
    else
        hl_found(finding, HL_CHECK_NOT_APPLICABLE, "the machine tells of no L3 cache");
}

static void look_package(const hl_check_look *look, hl_finding *finding)
{
    if (look->topology->packages > 1)
        look_groups(look, finding, false, "package");
    else
        hl_found(finding, HL_CHECK_NOT_APPLICABLE, "one package");
}

static void look_nic(const hl_check_look *look, hl_finding *finding)
{
    const char *const nic = look->input->nic;
    const hl_device *const device = nic != NULL ? hl_topology_device(look->topology, nic) : NULL;
    if (device == NULL) {
        hl_found(finding, HL_CHECK_NOT_APPLICABLE, "no network device is named (--nic)");
        return;
    }
    if (device->numa_node < 0) {
        hl_found(finding, HL_CHECK_UNKNOWN, "the machine does not tell the node of %s", nic);
        return;
    }
    char far[sizeof finding->value - 64] = "";
    for (uint32_t i = 0; i < look->plan->thread_count; i++)
        if (hl_thread_role_is_hot(look->plan->threads[i].role) &&
            look->plan->threads[i].numa_node != (uint32_t)device->numa_node)
            hl_sentence_add_item(far, sizeof far, look->plan->threads[i].name);
    if (far[0] == '\0')
        hl_found(finding, HL_CHECK_OK, "%s and all hot threads are on node %d", nic,
                 device->numa_node);
    else
        hl_found(finding, HL_CHECK_WARN, "%s is on node %d; elsewhere: %s", nic, device->numa_node,
                 far);
}

static void look_hybrid(const hl_check_look *look, hl_finding *finding)
{
    const hl_topology *const topology = look->topology;
    if (topology->efficiency_classes < 2) {
        hl_found(finding, HL_CHECK_NOT_APPLICABLE, "all cores are of one kind");
        return;
    }
    char slow[sizeof finding->value - 64] = "";
    for (uint32_t i = 0; i < look->plan->thread_count; i++) {
        const hl_plan_thread *const thread = &look->plan->threads[i];
        const hl_cpu *const cpu = hl_topology_cpu(topology, (uint32_t)thread->cpu);
        if (hl_thread_role_is_hot(thread->role) &&
            cpu->efficiency_class + 1 < topology->efficiency_classes)
            hl_sentence_add_item(slow, sizeof slow, thread->name);
    }
    if (slow[0] == '\0')
        hl_found(finding, HL_CHECK_OK, "all hot threads on P cores");
    else
        hl_found(finding, HL_CHECK_WARN, "on E cores: %s", slow);
}

static const char *smt_state(const hl_check_look *look)
{
    const char *const control =
        look->host != NULL ? hl_host_text(look->host, NULL, "/sys/devices/system/cpu/smt/control")
                           : NULL;
    return control != NULL ? control : "on";
}

static void look_smt(const hl_check_look *look, hl_finding *finding)
{
    const hl_topology *const topology = look->topology;
    hl_cpu_set foreign = {{0}};
    bool smt = false;
    for (uint32_t i = 0; i < topology->cpu_count; i++) {
        const hl_cpu *const cpu = &topology->cpus[i];
        smt |= cpu->smt_rank > 0;
        for (uint32_t j = 0; j < topology->cpu_count && !cpu->allowed; j++)
            if (topology->cpus[j].core == cpu->core &&
                hl_cpu_set_has(&look->hot_threads, topology->cpus[j].os_index))
                hl_cpu_set_add(&foreign, cpu->os_index);
    }
    if (!smt) {
        hl_found(finding, HL_CHECK_OK, "no core has a second CPU");
        return;
    }
    if (hl_found_no_hot(look, finding))
        return;
    char list[256] = "";
    hl_cpu_set_tell(&foreign, list, sizeof list);
    if (hl_cpu_set_count(&foreign) > 0)
        hl_found(finding, HL_CHECK_WARN, "SMT %s; siblings of hot cores that are not ours: %s",
                 smt_state(look), list);
    else
        hl_found(finding, HL_CHECK_OK, "SMT %s; the plan leaves the siblings of hot cores empty",
                 smt_state(look));
}

static const hl_check checks[] = {
    {"plan", "the plan", "no warnings",
     "A hot thread that shares its core waits for the other one; one that spins there takes the "
     "core away from it.",
     "give the process more cores, use fewer shards, or place by hand (lcores)",
     "docs/topology.md, The plan", false, look_plan},
    {"shared-l3", "partitions share an L3", "one L3, where one has room",
     "An event that passes between cores of one L3 takes 20 to 60 ns a line; across L3s two to "
     "four times that.",
     "allow more cores of one L3, or place by hand (lcores)",
     "nviennot/core-to-core-latency; AMD EPYC tuning guide 58479", false, look_l3},
    {"one-package", "partitions on one package", "one package, where one has room",
     "Between packages a cache line takes 100 to 300 ns each way.",
     "allow more cores of one package, or place by hand (lcores)",
     "Intel Optimization Reference Manual, NUMA", false, look_package},
    {"nic-node", "hot threads near the network device", "the node of the device",
     "The device writes packets into the cache (or memory) of its own node; a reader elsewhere "
     "fetches each of them over the link between sockets.",
     "allow cores of the device's node, or put the card into a slot of the other socket",
     "Linux, Documentation/networking/scaling.rst", false, look_nic},
    {"p-cores", "hot threads on fast cores", "P cores",
     "An E core runs at about half the speed and shares its L2 with three others.",
     "use fewer shards, or a machine with more P cores",
     "hwloc cpukinds; Intel hybrid architecture guide", false, look_hybrid},
    {"smt", "siblings of hot cores", "empty and ours, or SMT off",
     "Whatever runs on the sibling takes a share of the core's execution units, L1 and L2: the hot "
     "thread becomes up to twice as slow, at moments that nobody chose.",
     "turn SMT off (echo off > /sys/devices/system/cpu/smt/control, or nosmt on the kernel command "
     "line), or put the siblings into this cpuset",
     "rigtorp.se/low-latency-guide; Linux Documentation/admin-guide/hw-vuln", false, look_smt},
};

const hl_check_group hl_checks_placement = {"placement", checks, sizeof checks / sizeof checks[0]};
