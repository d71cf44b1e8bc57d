#include "affinity/topology.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <hwloc.h>
#include <hwloc/linux.h>

#include "affinity/cpu_quota.h"
#include "base/error.h"

static hl_status refuse_file(const char *path, const char *reason, hl_error *error)
{
    return hl_error_set(error, HL_BAD_INPUT,
                        "topology: %s: %s; an hwloc XML file (lstopo FILE.xml) would be right",
                        path, reason);
}

static hl_status set_xml(hwloc_topology_t machine, const char *path, hl_error *error)
{
    struct stat facts;
    if (stat(path, &facts) != 0 || access(path, R_OK) != 0)
        return refuse_file(path, strerror(errno), error);
    if (S_ISDIR(facts.st_mode))
        return refuse_file(path, "is a directory", error);
    if (hwloc_topology_set_xml(machine, path) != 0)
        return refuse_file(path, "cannot be understood", error);
    return HL_OK;
}

static hl_status set_source(hwloc_topology_t machine, const hl_topology_source *source,
                            hl_error *error)
{
    if (source->xml_path != NULL && source->synthetic != NULL)
        return hl_error_set(error, HL_INVALID,
                            "topology: xml_path and synthetic are both given; give one of them");
    if (source->xml_path != NULL)
        return set_xml(machine, source->xml_path, error);
    if (source->synthetic != NULL && hwloc_topology_set_synthetic(machine, source->synthetic) != 0)
        return hl_error_set(error, HL_BAD_INPUT,
                            "topology: synthetic description \"%s\" cannot be understood; \"pack:2 "
                            "core:12 pu:2\" is one",
                            source->synthetic);
    return HL_OK;
}

/* Loads it with all CPUs, also those that are not ours, so that a hot core's sibling in foreign
 * hands is seen. */
static hl_status load(hwloc_topology_t machine, const hl_topology_source *source, hl_error *error)
{
    const hl_status status = set_source(machine, source, error);
    if (status != HL_OK)
        return status;
    if (hwloc_topology_set_flags(machine, HWLOC_TOPOLOGY_FLAG_INCLUDE_DISALLOWED) != 0)
        return hl_error_set(error, HL_SYSTEM, "topology: hwloc refuses a flag: %s",
                            strerror(errno));
    if (hwloc_topology_load(machine) == 0)
        return HL_OK;
    if (source->xml_path != NULL)
        return refuse_file(source->xml_path, "cannot be understood", error);
    return hl_error_set(error, HL_SYSTEM, "topology: hwloc cannot load it: %s", strerror(errno));
}

/* What the cpuset (or the file) allows, less what the affinity mask and `allowed_cpus` leave out.
 */
static hl_status find_allowed(hwloc_topology_t machine, const hl_topology_source *source,
                              hwloc_bitmap_t ret_allowed, hl_error *error)
{
    hwloc_bitmap_t other = hwloc_bitmap_alloc();
    if (other == NULL || hwloc_bitmap_and(ret_allowed, hwloc_topology_get_allowed_cpuset(machine),
                                          hwloc_topology_get_topology_cpuset(machine)) != 0) {
        hwloc_bitmap_free(other);
        return hl_error_set(error, HL_NO_MEMORY, "topology: no memory");
    }
    if (hwloc_topology_is_thissystem(machine) &&
        hwloc_linux_get_tid_cpubind(machine, getpid(), other) == 0)
        hwloc_bitmap_and(ret_allowed, ret_allowed, other);
    hl_status status = HL_OK;
    if (source->allowed_cpus != NULL) {
        char *before = NULL;
        hwloc_bitmap_list_asprintf(&before, ret_allowed);
        if (hwloc_bitmap_list_sscanf(other, source->allowed_cpus) != 0)
            status = hl_error_set(error, HL_BAD_INPUT,
                                  "topology: allowed CPUs \"%s\" is no list; \"0-3,8\" is one",
                                  source->allowed_cpus);
        else if (hwloc_bitmap_and(ret_allowed, ret_allowed, other),
                 hwloc_bitmap_iszero(ret_allowed))
            status = hl_error_set(error, HL_BAD_INPUT,
                                  "topology: allowed CPUs \"%s\" leaves none; there are %.300s",
                                  source->allowed_cpus, before != NULL ? before : "others");
        free(before);
    }
    hwloc_bitmap_free(other);
    if (status == HL_OK && hwloc_bitmap_iszero(ret_allowed))
        status = hl_error_set(error, HL_BAD_INPUT, "topology: it has no CPU that may be used");
    return status;
}

/* Groups get their number when the first of their CPUs is met; as CPUs come in logical order, that
 * is hwloc's logical order too. */
static uint32_t number_of(hwloc_obj_t *groups, uint32_t *count, hwloc_obj_t group)
{
    for (uint32_t i = *count; i-- > 0;)
        if (groups[i] == group)
            return i;
    groups[*count] = group;
    return (*count)++;
}

/* The nearest memory of a CPU: nodes hang beside the tree, so they are told by their cpuset. */
static hwloc_obj_t node_of(hwloc_topology_t machine, hwloc_obj_t cpu)
{
    hwloc_obj_t nearest = NULL;
    for (hwloc_obj_t node = NULL;
         (node = hwloc_get_next_obj_by_type(machine, HWLOC_OBJ_NUMANODE, node)) != NULL;)
        if (hwloc_bitmap_isset(node->cpuset, cpu->os_index) &&
            (nearest == NULL ||
             hwloc_bitmap_weight(node->cpuset) < hwloc_bitmap_weight(nearest->cpuset)))
            nearest = node;
    return nearest;
}

static hwloc_obj_t ancestor(hwloc_topology_t machine, hwloc_obj_type_t type, hwloc_obj_t cpu,
                            hwloc_obj_t otherwise)
{
    const hwloc_obj_t found = hwloc_get_ancestor_obj_by_type(machine, type, cpu);
    return found != NULL ? found : otherwise;
}

static uint32_t efficiency_class_of(hwloc_topology_t machine, hwloc_obj_t cpu)
{
    const int kind = hwloc_cpukinds_get_by_cpuset(machine, cpu->cpuset, 0);
    int efficiency = -1;
    if (kind < 0 ||
        hwloc_cpukinds_get_info(machine, (unsigned)kind, NULL, &efficiency, NULL, NULL, 0) != 0)
        return 0;
    return efficiency > 0 ? (uint32_t)efficiency : 0;
}

/* Objects met so far; the index is the number that hl_cpu carries. */
typedef struct groups {
    hwloc_obj_t *cores, *packages, *nodes, *l3s;
} groups;

static void describe_cpus(hwloc_topology_t machine, hwloc_const_bitmap_t allowed, const groups *met,
                          hl_topology *topology)
{
    const hwloc_obj_t root = hwloc_get_root_obj(machine);
    topology->l3_known = true;
    for (uint32_t i = 0; i < topology->cpu_count; i++) {
        const hwloc_obj_t object = hwloc_get_obj_by_type(machine, HWLOC_OBJ_PU, i);
        const hwloc_obj_t core = ancestor(machine, HWLOC_OBJ_CORE, object, object);
        const hwloc_obj_t package = ancestor(machine, HWLOC_OBJ_PACKAGE, object, root);
        const hwloc_obj_t l3 = ancestor(machine, HWLOC_OBJ_L3CACHE, object, package);
        const hwloc_obj_t node = node_of(machine, object);
        hl_cpu *const cpu = &topology->cpus[i];
        cpu->os_index = object->os_index;
        cpu->core = number_of(met->cores, &topology->cores, core);
        cpu->package = number_of(met->packages, &topology->packages, package);
        cpu->l3 = number_of(met->l3s, &topology->l3_groups, l3);
        if (l3 == package)
            topology->l3_known = false;
        number_of(met->nodes, &topology->numa_nodes, node);
        cpu->numa_node = node != NULL ? node->os_index : 0;
        cpu->efficiency_class = efficiency_class_of(machine, object);
        cpu->smt_rank = i > 0 && cpu[-1].core == cpu->core ? cpu[-1].smt_rank + 1 : 0;
        cpu->allowed = hwloc_bitmap_isset(allowed, object->os_index) != 0;
        topology->allowed += cpu->allowed;
    }
}

static hl_status describe(hwloc_topology_t machine, hwloc_const_bitmap_t allowed,
                          hl_topology **ret_topology, hl_error *error)
{
    const int count = hwloc_get_nbobjs_by_type(machine, HWLOC_OBJ_PU);
    const size_t cpus = count > 0 ? (size_t)count : 1;
    hl_topology *const topology = calloc(1, sizeof *topology);
    hwloc_obj_t *const objects = calloc(4 * cpus, sizeof(hwloc_obj_t));
    hl_cpu *const described = calloc(cpus, sizeof *described);
    if (topology == NULL || objects == NULL || described == NULL) {
        free(topology);
        free(objects);
        free(described);
        return hl_error_set(error, HL_NO_MEMORY, "topology: no memory for %zu CPUs", cpus);
    }
    const groups met = {objects, objects + cpus, objects + 2 * cpus, objects + 3 * cpus};
    topology->cpus = described;
    topology->cpu_count = (uint32_t)count;
    topology->this_machine = hwloc_topology_is_thissystem(machine) != 0;
    describe_cpus(machine, allowed, &met, topology);
    if (topology->this_machine)
        topology->cpu_quota = hl_cpu_quota_read("/proc/self/cgroup", "/sys/fs/cgroup");
    free(objects);
    *ret_topology = topology;
    return HL_OK;
}

hl_status hl_topology_load(const hl_topology_source *source, hl_topology **ret_topology,
                           hl_error *error)
{
    static const hl_topology_source this_machine;
    if (source == NULL)
        source = &this_machine;
    hwloc_topology_t machine;
    if (hwloc_topology_init(&machine) != 0)
        return hl_error_set(error, HL_NO_MEMORY, "topology: no memory");
    hwloc_bitmap_t allowed = hwloc_bitmap_alloc();
    hl_status status = allowed != NULL ? load(machine, source, error)
                                       : hl_error_set(error, HL_NO_MEMORY, "topology: no memory");
    if (status == HL_OK)
        status = find_allowed(machine, source, allowed, error);
    if (status == HL_OK)
        status = describe(machine, allowed, ret_topology, error);
    hwloc_bitmap_free(allowed);
    hwloc_topology_destroy(machine);
    return status;
}

void hl_topology_free(hl_topology *topology)
{
    if (topology == NULL)
        return;
    free(topology->cpus);
    free(topology);
}

const hl_cpu *hl_topology_cpu(const hl_topology *topology, uint32_t os_index)
{
    for (uint32_t i = 0; i < topology->cpu_count; i++)
        if (topology->cpus[i].os_index == os_index)
            return &topology->cpus[i];
    return NULL;
}
