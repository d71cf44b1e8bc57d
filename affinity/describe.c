#include "affinity/describe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

/* ---- CPUs ----------------------------------------------------------------------------------- */

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
    hwloc_obj_t *cores, *packages, *dies, *nodes, *l3s;
} groups;

static void describe_cpu(hwloc_topology_t machine, hwloc_obj_t object, const groups *met,
                         hl_topology *topology, hl_cpu *cpu)
{
    const hwloc_obj_t root = hwloc_get_root_obj(machine);
    const hwloc_obj_t core = ancestor(machine, HWLOC_OBJ_CORE, object, object);
    const hwloc_obj_t package = ancestor(machine, HWLOC_OBJ_PACKAGE, object, root);
    const hwloc_obj_t die = ancestor(machine, HWLOC_OBJ_DIE, object, package);
    const hwloc_obj_t l3 = ancestor(machine, HWLOC_OBJ_L3CACHE, object, package);
    const hwloc_obj_t node = node_of(machine, object);
    cpu->os_index = object->os_index;
    cpu->core = number_of(met->cores, &topology->cores, core);
    cpu->package = number_of(met->packages, &topology->packages, package);
    cpu->die = number_of(met->dies, &topology->dies, die);
    cpu->l3 = number_of(met->l3s, &topology->l3_groups, l3);
    if (l3 == package)
        topology->l3_known = false;
    number_of(met->nodes, &topology->numa_nodes, node);
    cpu->numa_node = node != NULL ? node->os_index : 0;
    cpu->efficiency_class = efficiency_class_of(machine, object);
    if (cpu->efficiency_class >= topology->efficiency_classes)
        topology->efficiency_classes = cpu->efficiency_class + 1;
}

static hl_status describe_cpus(hwloc_topology_t machine, hwloc_const_bitmap_t allowed,
                               hl_topology *topology, hl_error *error)
{
    const int count = hwloc_get_nbobjs_by_type(machine, HWLOC_OBJ_PU);
    const size_t cpus = count > 0 ? (size_t)count : 1;
    hwloc_obj_t *const objects = calloc(5 * cpus, sizeof(hwloc_obj_t));
    topology->cpus = calloc(cpus, sizeof *topology->cpus);
    if (objects == NULL || topology->cpus == NULL) {
        free(objects);
        return hl_error_set(error, HL_NO_MEMORY, "topology: no memory for %zu CPUs", cpus);
    }
    const groups met = {objects, objects + cpus, objects + 2 * cpus, objects + 3 * cpus,
                        objects + 4 * cpus};
    topology->cpu_count = (uint32_t)count;
    topology->l3_known = true;
    topology->efficiency_classes = 1;
    for (uint32_t i = 0; i < topology->cpu_count; i++) {
        const hwloc_obj_t object = hwloc_get_obj_by_type(machine, HWLOC_OBJ_PU, i);
        hl_cpu *const cpu = &topology->cpus[i];
        describe_cpu(machine, object, &met, topology, cpu);
        cpu->smt_rank = i > 0 && cpu[-1].core == cpu->core ? cpu[-1].smt_rank + 1 : 0;
        cpu->allowed = hwloc_bitmap_isset(allowed, object->os_index) != 0;
        topology->allowed += cpu->allowed;
    }
    free(objects);
    return HL_OK;
}

/* ---- memory --------------------------------------------------------------------------------- */

static uint32_t package_of_node(const hl_topology *topology, hwloc_obj_t object)
{
    uint32_t package = UINT32_MAX;
    for (uint32_t i = 0; i < topology->cpu_count; i++) {
        const hl_cpu *const cpu = &topology->cpus[i];
        if (!hwloc_bitmap_isset(object->cpuset, cpu->os_index))
            continue;
        if (package != UINT32_MAX && package != cpu->package)
            return UINT32_MAX;
        package = cpu->package;
    }
    return package;
}

static void describe_pages(const struct hwloc_numanode_attr_s *memory, hl_numa_node *node)
{
    uint32_t used = 0;
    /* The first kind is the small page: it is not set aside. */
    for (unsigned i = 1; i < memory->page_types_len && used < HL_HUGE_PAGE_SIZES; i++)
        if (memory->page_types[i].size > 65536)
            node->huge_pages[used++] =
                (hl_huge_pages){memory->page_types[i].size, memory->page_types[i].count};
}

static int compare_nodes(const void *a, const void *b)
{
    const uint32_t x = ((const hl_numa_node *)a)->os_index;
    const uint32_t y = ((const hl_numa_node *)b)->os_index;
    return (x > y) - (x < y);
}

static hl_status describe_nodes(hwloc_topology_t machine, hl_topology *topology, hl_error *error)
{
    const int count = hwloc_get_nbobjs_by_type(machine, HWLOC_OBJ_NUMANODE);
    topology->nodes = calloc(count > 0 ? (size_t)count : 1, sizeof *topology->nodes);
    if (topology->nodes == NULL)
        return hl_error_set(error, HL_NO_MEMORY, "topology: no memory for %d nodes", count);
    for (hwloc_obj_t object = NULL;
         (object = hwloc_get_next_obj_by_type(machine, HWLOC_OBJ_NUMANODE, object)) != NULL;) {
        hl_numa_node *const node = &topology->nodes[topology->node_count++];
        node->os_index = object->os_index;
        node->memory_bytes = object->attr->numanode.local_memory;
        node->package = package_of_node(topology, object);
        describe_pages(&object->attr->numanode, node);
    }
    qsort(topology->nodes, topology->node_count, sizeof *topology->nodes, compare_nodes);
    return HL_OK;
}

/* ---- caches --------------------------------------------------------------------------------- */

/* Hybrid machines have caches of one level in several sizes; no machine has this many. */
#define CACHE_KINDS 32u

static void count_cache(hl_topology *topology, hwloc_obj_t object)
{
    static const char types[] = {'u', 'd', 'i'};
    const hl_cache_kind kind = {.level = object->attr->cache.depth,
                                .type = types[object->attr->cache.type],
                                .size_bytes = object->attr->cache.size,
                                .cpus_each = (uint32_t)hwloc_bitmap_weight(object->cpuset)};
    uint32_t at = 0;
    for (; at < topology->cache_count; at++) {
        hl_cache_kind *const known = &topology->caches[at];
        if (known->level == kind.level && known->type == kind.type &&
            known->size_bytes == kind.size_bytes && known->cpus_each == kind.cpus_each)
            break;
    }
    if (at == CACHE_KINDS)
        return;
    if (at == topology->cache_count)
        topology->caches[topology->cache_count++] = kind;
    topology->caches[at].count++;
}

static hl_status describe_caches(hwloc_topology_t machine, hl_topology *topology, hl_error *error)
{
    static const hwloc_obj_type_t levels[] = {HWLOC_OBJ_L4CACHE, HWLOC_OBJ_L3CACHE,
                                              HWLOC_OBJ_L2CACHE, HWLOC_OBJ_L1CACHE,
                                              HWLOC_OBJ_L1ICACHE};
    topology->caches = calloc(CACHE_KINDS, sizeof *topology->caches);
    if (topology->caches == NULL)
        return hl_error_set(error, HL_NO_MEMORY, "topology: no memory");
    for (size_t i = 0; i < sizeof levels / sizeof levels[0]; i++)
        for (hwloc_obj_t object = NULL;
             (object = hwloc_get_next_obj_by_type(machine, levels[i], object)) != NULL;)
            count_cache(topology, object);
    return HL_OK;
}

/* ---- devices -------------------------------------------------------------------------------- */

/* Below the whole machine a device is near to all nodes alike, unless there is but one. */
static int node_of_device(hwloc_topology_t machine, hwloc_obj_t object)
{
    const hwloc_obj_t near = hwloc_get_non_io_ancestor_obj(machine, object);
    if (near == NULL || near->nodeset == NULL || hwloc_bitmap_weight(near->nodeset) != 1)
        return -1;
    return hwloc_bitmap_first(near->nodeset);
}

static const char *info_of(hwloc_obj_t object, const char *name)
{
    const char *const text = hwloc_obj_get_info_by_name(object, name);
    return text != NULL ? text : "";
}

static void describe_device(hwloc_topology_t machine, hwloc_obj_t object, hl_device *device)
{
    const hwloc_obj_osdev_type_t type = object->attr->osdev.type;
    device->kind = type == HWLOC_OBJ_OSDEV_BLOCK ? HL_DEVICE_DISK : HL_DEVICE_NETWORK;
    device->numa_node = node_of_device(machine, object);
    snprintf(device->name, sizeof device->name, "%s", object->name);
    const hwloc_obj_t parent = object->parent;
    if (parent == NULL || parent->type != HWLOC_OBJ_PCI_DEVICE)
        return;
    const struct hwloc_pcidev_attr_s *const pci = &parent->attr->pcidev;
    snprintf(device->place, sizeof device->place, "%04x:%02x:%02x.%x", pci->domain, pci->bus,
             pci->dev, pci->func);
    const char *const vendor = info_of(parent, "PCIVendor");
    const char *const model = info_of(parent, "PCIDevice");
    snprintf(device->model, sizeof device->model, "%s%s%s", vendor,
             vendor[0] != '\0' && model[0] != '\0' ? " " : "", model);
}

static bool is_wanted(hwloc_obj_t object)
{
    const hwloc_obj_osdev_type_t type = object->attr->osdev.type;
    return object->name != NULL &&
           (type == HWLOC_OBJ_OSDEV_NETWORK || type == HWLOC_OBJ_OSDEV_OPENFABRICS ||
            type == HWLOC_OBJ_OSDEV_BLOCK);
}

static int compare_devices(const void *a, const void *b)
{
    const hl_device *const x = a, *const y = b;
    if (x->kind != y->kind)
        return x->kind < y->kind ? -1 : 1;
    return strverscmp(x->name, y->name);
}

static hl_status describe_devices(hwloc_topology_t machine, hl_topology *topology, hl_error *error)
{
    const int count = hwloc_get_nbobjs_by_type(machine, HWLOC_OBJ_OS_DEVICE);
    topology->devices = calloc(count > 0 ? (size_t)count : 1, sizeof *topology->devices);
    if (topology->devices == NULL)
        return hl_error_set(error, HL_NO_MEMORY, "topology: no memory for %d devices", count);
    for (hwloc_obj_t object = NULL; (object = hwloc_get_next_osdev(machine, object)) != NULL;)
        if (is_wanted(object))
            describe_device(machine, object, &topology->devices[topology->device_count++]);
    qsort(topology->devices, topology->device_count, sizeof *topology->devices, compare_devices);
    return HL_OK;
}

/* ---- the same as XML ------------------------------------------------------------------------ */

/* hwloc adds host names, addresses, serial numbers: of its remarks, only these are kept. */
static bool is_harmless(const char *line)
{
    static const char *const kept[] = {
        "CPUVendor",       "CPUModel",  "CoreType",         "PCIVendor",     "PCIDevice",
        "FrequencyMaxMHz", "CPUFamily", "FrequencyBaseMHz", "LinuxCapacity", "CPUStepping"};
    const char *const name = strstr(line, "<info name=\"");
    if (name == NULL)
        return true;
    for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++)
        if (strncmp(name + strlen("<info name=\""), kept[i], strlen(kept[i])) == 0)
            return true;
    return false;
}

static hl_status keep_xml(hwloc_topology_t machine, hl_topology *topology, hl_error *error)
{
    char *text = NULL;
    int length = 0;
    if (hwloc_topology_export_xmlbuffer(machine, &text, &length, 0) != 0)
        return hl_error_set(error, HL_NO_MEMORY, "topology: no memory for its XML");
    topology->xml = calloc(1, (size_t)length + 2);
    char *to = topology->xml, *rest = NULL;
    for (char *line = strtok_r(text, "\n", &rest); line != NULL && to != NULL;
         line = strtok_r(NULL, "\n", &rest))
        if (is_harmless(line))
            to = stpcpy(stpcpy(to, line), "\n");
    hwloc_free_xmlbuffer(machine, text);
    return topology->xml != NULL ? HL_OK : hl_error_set(error, HL_NO_MEMORY, "topology: no memory");
}

/* "Intel(R) Xeon(R) Gold 6146 CPU @ 3.20GHz": said by the first package, or by the machine. */
static void describe_model(hwloc_topology_t machine, hl_topology *topology)
{
    const hwloc_obj_t package = hwloc_get_obj_by_type(machine, HWLOC_OBJ_PACKAGE, 0);
    const char *model = package != NULL ? info_of(package, "CPUModel") : "";
    if (model[0] == '\0')
        model = info_of(hwloc_get_root_obj(machine), "CPUModel");
    snprintf(topology->model, sizeof topology->model, "%s", model);
}

hl_status hl_describe(hwloc_topology_t machine, hwloc_const_bitmap_t allowed, bool want_devices,
                      hl_topology *topology, hl_error *error)
{
    topology->this_machine = hwloc_topology_is_thissystem(machine) != 0;
    describe_model(machine, topology);
    hl_status status = describe_cpus(machine, allowed, topology, error);
    if (status == HL_OK)
        status = describe_nodes(machine, topology, error);
    if (status == HL_OK)
        status = describe_caches(machine, topology, error);
    if (status == HL_OK && want_devices)
        status = describe_devices(machine, topology, error);
    if (status == HL_OK && want_devices)
        status = keep_xml(machine, topology, error);
    return status;
}
